"""What makes a network nonlinear."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course.ops.choices import where
from tinygrad_course.ops.samples import nonzeros, reals
from tinygrad_course.primitive import Op, primitive


def _sigmoid(x: Any) -> Any:
    # exp of a non-positive number cannot overflow, and keeps the digits of both tails.
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


sigmoid: Op = primitive(
    "sigmoid",
    _sigmoid,
    reals(-4.0, 4.0),
    lambda g, ans, _x: g * (ans * (1 - ans)),
    real=True,
    doc="""Squash elementwise: s = 1 / (1 + e**-x), derivative s (1 - s); exact in both tails.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sigmoid([0.0, 2.0]).round(3)
        array([0.5  , 0.881])
    """,
)

LARGE = 1 << 15
"""Elements from which on NumPy's clip, with its slow start and fast loop, rectifies sooner."""


def _relu(x: Any) -> Any:
    if x.size >= LARGE and x.dtype.kind == "f":
        return np.clip(x, 0, np.inf)
    return np.maximum(x, 0)


relu: Op = primitive(
    "relu",
    _relu,
    nonzeros(),
    lambda g, ans, _x: g * (ans > 0),
    real=True,
    doc="""Rectify elementwise: ans = max(x, 0); the derivative at 0 is 0, as PyTorch's.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.relu([-1.0, 2.0])
        array([0., 2.])
    """,
)

leaky_relu: Op = primitive(
    "leaky_relu",
    lambda x, *, negative_slope=0.01: np.where(x > 0, x, x * negative_slope),
    nonzeros(negative_slope=0.1),
    lambda g, _ans, x, *, negative_slope=0.01: where(x > 0, g, g * negative_slope),
    real=True,
    doc="""Rectify with a slope below 0: x for x > 0, negative_slope x otherwise.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.leaky_relu([-1.0, 2.0])
        array([-0.01,  2.  ])
    """,
)

softplus: Op = primitive(
    "softplus",
    lambda x: np.logaddexp(x, 0),
    reals(-4.0, 4.0),
    lambda g, _ans, x: g * sigmoid(x),
    real=True,
    doc="""Smooth the rectifier: ans = log(1 + e**x), derivative sigmoid(x); no overflow.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.softplus([0.0, 1000.0]).round(3)
        array([6.93e-01, 1.00e+03])
    """,
)

__all__ = [
    "leaky_relu",
    "relu",
    "sigmoid",
    "softplus",
]
