"""Exponentials and logarithms, element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_course.ops.activations import sigmoid
from tinygrad_course.ops.choices import where
from tinygrad_course.ops.constants import equal, isinf, logical_and
from tinygrad_course.ops.samples import pairs, reals
from tinygrad_course.primitive import Op, primitive

LOG2 = math.log(2)
LOG10 = math.log(10)

exp: Op = primitive(
    "exp",
    np.exp,
    reals(),
    lambda g, ans, _x: g * ans,
    numpy=(np.exp,),
    doc="""Exponentiate elementwise: ans = e**x, its own derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.exp([0.0, 1.0]).round(3)
        array([1.   , 2.718])
    """,
)

exp2: Op = primitive(
    "exp2",
    np.exp2,
    reals(),
    lambda g, ans, _x: g * (ans * LOG2),
    numpy=(np.exp2,),
    doc="""Raise 2 to the power x, elementwise: derivative 2**x log(2).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.exp2([0.0, 3.0])
        array([1., 8.])
    """,
)

expm1: Op = primitive(
    "expm1",
    np.expm1,
    reals(),
    lambda g, ans, _x: g * (ans + 1),
    numpy=(np.expm1,),
    doc="""Return e**x - 1 without losing digits near 0: derivative e**x.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.expm1([0.0, 1e-12])
        array([0.e+00, 1.e-12])
    """,
)

log: Op = primitive(
    "log",
    np.log,
    reals(0.2, 3.0),
    lambda g, _ans, x: g / x,
    numpy=(np.log,),
    doc="""Take the natural logarithm elementwise: derivative 1/x.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.log([1.0, 2.0]).round(3)
        array([0.   , 0.693])
    """,
)

log2: Op = primitive(
    "log2",
    np.log2,
    reals(0.2, 3.0),
    lambda g, _ans, x: g / (x * LOG2),
    numpy=(np.log2,),
    doc="""Take the logarithm to base 2 elementwise: derivative 1 / (x log 2).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.log2([1.0, 8.0])
        array([0., 3.])
    """,
)

log10: Op = primitive(
    "log10",
    np.log10,
    reals(0.2, 3.0),
    lambda g, _ans, x: g / (x * LOG10),
    numpy=(np.log10,),
    doc="""Take the logarithm to base 10 elementwise: derivative 1 / (x log 10).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.log10([1.0, 1000.0])
        array([0., 3.])
    """,
)

log1p: Op = primitive(
    "log1p",
    np.log1p,
    reals(-0.6, 2.0),
    lambda g, _ans, x: g / (1 + x),
    numpy=(np.log1p,),
    doc="""Return log(1 + x) without losing digits near 0: derivative 1 / (1 + x).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.log1p([0.0, 1e-12])
        array([0.e+00, 1.e-12])
    """,
)


def _lead(x: Any, y: Any) -> Any:
    """Return x - y, and 0 where both are the same infinity."""
    same = logical_and(equal(x, y), isinf(x))
    return where(same, 0.0, x) - where(same, 0.0, y)


logaddexp: Op = primitive(
    "logaddexp",
    np.logaddexp,
    pairs(),
    lambda g, _ans, x, y: g * sigmoid(_lead(x, y)),
    lambda g, _ans, x, y: g * sigmoid(_lead(y, x)),
    numpy=(np.logaddexp,),
    real=True,
    doc="""Return log(e**x + e**y) without overflow: derivatives sigmoid(x - y) and sigmoid(y - x).

    Where both inputs are -inf (or inf), each has derivative 1/2.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.logaddexp([0.0, 1e4], [0.0, -1e4]).round(3)
        array([6.93e-01, 1.00e+04])
    """,
)

logaddexp2: Op = primitive(
    "logaddexp2",
    np.logaddexp2,
    pairs(),
    lambda g, _ans, x, y: g * sigmoid(_lead(x, y) * LOG2),
    lambda g, _ans, x, y: g * sigmoid(_lead(y, x) * LOG2),
    numpy=(np.logaddexp2,),
    real=True,
    doc="""Return log2(2**x + 2**y) without overflow: derivative 1 / (1 + 2**(y - x)), and so for y.

    Where both inputs are -inf (or inf), each has derivative 1/2.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.logaddexp2([0.0, 1e4], [0.0, -1e4])
        array([1.e+00, 1.e+04])
    """,
)

__all__ = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
]
