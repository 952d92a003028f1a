"""Powers and roots, element by element."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.choices import where
from tinygrad_course.ops.constants import equal, greater_equal, less, logical_and
from tinygrad_course.ops.conversion import astype
from tinygrad_course.ops.exponentials import log
from tinygrad_course.ops.samples import pairs, reals, values
from tinygrad_course.primitive import Op, Sample, primitive


def _power_base(g: Any, _ans: Any, x: Any, y: Any) -> Any:
    if isinstance(y, int | float):  # a Python number leaves float32 as it is
        return g * (2 * x) if y == 2 else g * 0.0 if y == 0 else g * (y * x ** (y - 1))
    # d/dx x**0 is 0 everywhere, also next to x = 0, where y * x**(y-1) would be 0 * inf. Elsewhere
    # the exponent stays y-1, because its own derivative is needed for the second order.
    flat = logical_and(equal(y, 0), less(abs(x), float(np.finfo(x.dtype).tiny)))
    return g * (y * x ** where(flat, 1.0, y - 1))


def _power_exponent(g: Any, ans: Any, x: Any, y: Any) -> Any:
    # The logarithm in the precision of the result: x may be a float32 number beside float64.
    flat = logical_and(equal(x, 0), greater_equal(y, 0))
    return g * ans * log(astype(where(flat, 1.0, x), dtype=ans.dtype))


def _powers(rng: np.random.Generator) -> Iterator[Sample]:
    yield from pairs(0.5, 2.0)(rng)
    x = values(rng, (2, 3), 0.5, 2.0)
    for exponent in (0, 1, 2, 3, -1, 0.5, 2.0):
        yield (x, exponent), {}
    yield (values(rng, (3,), -2.0, 2.0), 3), {}
    yield (values(rng, (4,), -2.0, 2.0), np.array([0, 1, 2, 3], np.int16)), {}
    yield (2, values(rng, (2, 3), -2.0, 2.0)), {}


power: Op = primitive(
    "power",
    np.power,
    _powers,
    _power_base,
    _power_exponent,
    operator=operator.pow,
    numpy=(np.power,),
    doc="""Raise elementwise: ans = x**y, d/dx = y x**(y-1), d/dy = x**y log x.

    The derivative of x**0 with respect to x is 0, also at x = 0, and that of 0**y with respect to y
    is 0 for y >= 0. That of x**0.5 at x = 0 is inf, that of x**y with respect to y at x < 0 is nan.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.power([1.0, 2.0, 3.0], 2)
        array([1., 4., 9.])
    """,
)

float_power_of: Op = primitive(
    "float_power",
    # NumPy's own bits, which differ from those of its power; the caller brings float64.
    lambda x, y: np.float_power(x, y).astype(np.result_type(x, y)),
    pairs(0.5, 2.0),
    _power_base,
    _power_exponent,
    doc="Raise elementwise, as NumPy's float_power does; derivatives as those of power.",
)

square: Op = primitive(
    "square",
    np.square,
    reals(),
    lambda g, _ans, x: g * (2 * x),
    numpy=(np.square,),
    doc="""Square elementwise: ans = x², derivative 2x.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.square([1.0, -3.0])
        array([1., 9.])
    """,
)

sqrt: Op = primitive(
    "sqrt",
    np.sqrt,
    reals(0.2, 3.0),
    lambda g, ans, _x: g / (2 * ans),
    numpy=(np.sqrt,),
    doc="""Take the square root elementwise: derivative 1 / (2 sqrt(x)), which is inf at 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sqrt([1.0, 4.0])
        array([1., 2.])
    """,
)

cbrt: Op = primitive(
    "cbrt",
    np.cbrt,
    reals(0.2, 3.0),
    lambda g, ans, _x: g / (3 * ans * ans),
    numpy=(np.cbrt,),
    real=True,
    doc="""Take the real cube root elementwise: derivative 1 / (3 ans²), inf at 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.cbrt([1.0, -8.0])
        array([ 1., -2.])
    """,
)

hypot: Op = primitive(
    "hypot",
    np.hypot,
    pairs(0.5, 2.0),
    # At the origin the sum below is 1, and the gradient 0.
    lambda g, ans, x, _y: g * (x / (ans + equal(ans, 0))),
    lambda g, ans, _x, y: g * (y / (ans + equal(ans, 0))),
    numpy=(np.hypot,),
    real=True,
    doc="""Return sqrt(x² + y²) without overflow: derivatives x / ans and y / ans, 0 at the origin.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.hypot([3.0, 5.0], [4.0, 12.0])
        array([ 5., 13.])
    """,
)

__all__ = ["cbrt", "float_power_of", "hypot", "power", "sqrt", "square"]
