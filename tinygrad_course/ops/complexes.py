"""Parts of complex numbers. The gradient of a real loss is ∂L/∂x - i ∂L/∂y, as JAX's and HIPS'."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.choices import where
from tinygrad_course.ops.constants import equal
from tinygrad_course.ops.samples import layouts, nonzero, nonzeros, reals
from tinygrad_course.primitive import Op, Sample, primitive

real: Op = primitive(
    "real",
    lambda x: np.real(x) if x.dtype.kind == "c" else x,
    reals(),
    lambda g, _ans, _x: g,
    numpy=(np.real,),
    view=True,
    doc="""Take the real part: ans = x of z = x + iy, gradient g.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.real(tc.Tensor([1 + 2j]))
        Tensor([1.])
    """,
)

imag: Op = primitive(
    "imag",
    lambda x: np.imag(x),  # noqa: PLW0108 - NumPy's takes anything, a row arrays
    reals(),
    lambda g, _ans, x: g * -1j if x.dtype.kind == "c" else g * 0.0,
    numpy=(np.imag,),
    view=True,
    doc="""Take the imaginary part: ans = y of z = x + iy, gradient -i g; 0 for real input.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.imag(tc.Tensor([1 + 2j]))
        Tensor([2.])
    """,
)

conjugate: Op = primitive(
    "conjugate",
    np.conjugate,
    reals(),
    lambda g, _ans, _x: conjugate(g),
    numpy=(np.conjugate,),
    doc="""Change the sign of the imaginary part: ans = x - iy, gradient the conjugate of g.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.conjugate(tc.Tensor([1 + 2j]))
        Tensor([1.-2.j])
    """,
)


def _angle_rule(g: Any, _ans: Any, x: Any, *, deg: bool = False) -> Any:
    if x.dtype.kind != "c":
        return g * 0.0
    size = abs(x)
    size = size + equal(size, 0)
    scale = -180j / math.pi if deg else -1j
    return g * (scale * (x.conj() / size / size))


def _angles(rng: np.random.Generator) -> Iterator[Sample]:
    for x in layouts(nonzero)(rng):
        yield (x,), {}
        yield (x,), {"deg": True}


angle: Op = primitive(
    "angle",
    lambda x, *, deg=False: np.angle(x, deg),
    _angles,
    _angle_rule,
    numpy=(np.angle,),
    doc="""Return the angle of z = x + iy, in radians or degrees: gradient -i g / z, and 0 at 0.

    The angle of a real number is 0 or π and has derivative 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.angle(tc.Tensor([1j, -2.0]), deg=True)
        Tensor([ 90., 180.])
    """,
)


def _direction_rule(g: Any, ans: Any, x: Any) -> Any:
    size = abs(x)
    zero = equal(size, 0)
    # What changes only the length of z, the part of dz along z, does not change the result.
    across = g - (g * ans).real * ans.conj()
    return where(zero, 0.0, across / (size + zero))


direction: Op = primitive(
    "direction",
    np.sign,
    nonzeros(),
    _direction_rule,
    doc="Return z / |z|, 0 at 0: gradient (g - Re(g ans) conj(ans)) / |z|; 0 for real numbers.",
)

__all__ = ["angle", "conjugate", "direction", "imag", "real"]
