"""Real and imaginary parts. The gradient of a real loss is ∂L/∂x - i ∂L/∂y, as JAX's and HIPS'."""

from __future__ import annotations

import numpy as np

from tinygrad_course.ops.samples import reals
from tinygrad_course.primitive import Op, primitive


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

__all__ = ["conjugate", "imag", "real"]
