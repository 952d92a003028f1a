"""The Bessel functions that NumPy has: i0, and sinc, which is the spherical one of order 0.

Their derivatives are functions of the same family with another order, which are rows here too, so
that derivatives of any order are as exact at 0 as elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.samples import layouts, reals, values
from tinygrad_course.primitive import Op, Sample, primitive

# ---- modified Bessel functions of the first kind ---------------------------------------------


def _bessel_i(x: Any, *, order: int) -> Any:
    """Sum the power series below 30, where its positive terms lose nothing, and above the other."""
    z = np.abs(np.asarray(x, dtype=float))
    near, far = np.minimum(z, 30.0), np.maximum(z, 30.0)
    term = (near / 2) ** order / math.factorial(order)
    series = term.copy()
    for k in range(1, 80):
        term = term * (near / 2) ** 2 / (k * (k + order))
        series += term
    term = np.ones_like(far)
    asymptotic = term.copy()
    for k in range(1, 25):
        term = term * ((2 * k - 1) ** 2 - 4 * order**2) / (8 * k * far)
        asymptotic += term
    with np.errstate(over="ignore"):
        asymptotic *= np.exp(far) / np.sqrt(2 * math.pi * far)
    result = np.where(z < 30.0, series, asymptotic)
    result = np.where(x < 0, -result, result) if order % 2 else result
    return result.astype(x.dtype)[()]


def _bessel_i_rule(g: Any, _ans: Any, x: Any, *, order: int) -> Any:
    if order == 0:
        return g * bessel_i(x, order=1)
    return g * ((bessel_i(x, order=order - 1) + bessel_i(x, order=order + 1)) * 0.5)


def _orders(rng: np.random.Generator) -> Iterator[Sample]:
    for order in (0, 1, 2, 3):
        yield (values(rng, (2, 3), -3.0, 3.0),), {"order": order}
    yield (np.array(0.0),), {"order": 1}
    yield (values(rng, (3,), 28.0, 33.0),), {"order": 1}


bessel_i: Op = primitive(
    "bessel_i",
    _bessel_i,
    _orders,
    _bessel_i_rule,
    real=True,
    doc="Return the modified Bessel function I of a whole order: derivative (I[n-1] + I[n+1]) / 2.",
)

i0: Op = primitive(
    "i0",
    np.i0,
    reals(-3.0, 3.0),
    lambda g, _ans, x: g * bessel_i(x, order=1),
    numpy=(np.i0,),
    real=True,
    doc="""Return the modified Bessel function of order 0, whose derivative is that of order 1.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.i0([0.0, 1.0]).round(3)
        array([1.   , 1.266])
    """,
)

# ---- sinc -------------------------------------------------------------------------------------


def _sinc_slope(x: Any, *, order: int) -> Any:
    """Differentiate sin(z)/z: by its power series near 0, by the recurrence away from it."""
    z = np.pi * np.asarray(x, dtype=complex if x.dtype.kind == "c" else float)
    edge = order + 1.0
    near = np.abs(z) < edge
    small, large = np.where(near, z, 0.0), np.where(near, edge, z)
    series = np.zeros_like(z)
    for j in range((order + 1) // 2, order + 30):
        power = 2 * j - order
        series = series + (-1) ** j * small**power / ((2 * j + 1) * math.factorial(power))
    direct = np.sin(large) / large
    for n in range(1, order + 1):
        direct = (np.sin(large + n * (math.pi / 2)) - n * direct) / large
    result = math.pi**order * np.where(near, series, direct)
    return result.astype(x.dtype)[()]


def _slopes(rng: np.random.Generator) -> Iterator[Sample]:
    for order in (1, 2, 3):
        yield (values(rng, (2, 4), -3.0, 3.0),), {"order": order}
    yield (np.zeros(2),), {"order": 2}


sinc_slope: Op = primitive(
    "sinc_slope",
    _sinc_slope,
    _slopes,
    lambda g, _ans, x, *, order: g * sinc_slope(x, order=order + 1),
    doc="Return the derivative of sinc of some order; its derivative is that of the next order.",
)


def _around_zero(rng: np.random.Generator) -> Iterator[Sample]:
    for x in layouts(lambda r, shape: values(r, shape, -3.0, 3.0))(rng):
        yield (x,), {}
    yield (np.zeros(2),), {}


sinc: Op = primitive(
    "sinc",
    np.sinc,
    _around_zero,
    lambda g, _ans, x: g * sinc_slope(x, order=1),
    numpy=(np.sinc,),
    doc="""Return sin(πx) / (πx), which is 1 at 0: derivative (cos(πx) - ans) / x, 0 at 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sinc([0.0, 0.5, 1.0]).round(3)
        array([1.   , 0.637, 0.   ])
    """,
)

__all__ = ["bessel_i", "i0", "sinc", "sinc_slope"]
