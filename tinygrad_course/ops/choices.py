"""Functions that choose, element by element, between their inputs.

The gradient goes to the input that was chosen; inputs that tie share it equally.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.constants import (
    equal,
    greater,
    greater_equal,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
)
from tinygrad_course.ops.samples import pairs, values
from tinygrad_course.primitive import Op, Sample, primitive


def _choices(rng: np.random.Generator) -> Iterator[Sample]:
    mask = np.array([[True, False, True], [False, False, True]])
    yield (mask, values(rng, (2, 3), -2, 2), values(rng, (2, 3), -2, 2)), {}
    yield (mask, values(rng, (3,), -2, 2), values(rng, (2, 1), -2, 2)), {}
    yield (mask[0], values(rng, (2, 3), -2, 2), values(rng, (), -2, 2)), {}
    yield (np.array(True), values(rng, (), -2, 2), values(rng, (2,), -2, 2)), {}
    yield (mask[:0], values(rng, (0, 3), -2, 2), values(rng, (3,), -2, 2)), {}


where: Op = primitive(
    "where",
    lambda condition, x, y: np.where(condition, x, y),  # noqa: PLW0108 - np.where takes one too
    _choices,
    None,
    lambda g, _ans, condition, _x, _y: where(condition, g, 0.0),
    lambda g, _ans, condition, _x, _y: where(condition, 0.0, g),
    doc="""Choose elementwise: x where the condition holds, y elsewhere.

    A gradient of 0 times an infinite derivative in the branch not taken is nan, as everywhere in
    IEEE arithmetic: make the argument safe before the function, not after it.
    """,
)

maximum: Op = primitive(
    "maximum",
    np.maximum,
    pairs(),
    lambda g, _ans, x, y: where(greater(x, y), g, where(equal(x, y), g * 0.5, 0.0)),
    lambda g, _ans, x, y: where(greater(y, x), g, where(equal(x, y), g * 0.5, 0.0)),
    numpy=(np.maximum,),
    doc="""Take the larger elementwise; at a tie both share the gradient equally.

    Where an input is not a number, so is the result, and the gradient is 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.maximum([1.0, 5.0], 3.0)
        array([3., 5.])
    """,
)

minimum: Op = primitive(
    "minimum",
    np.minimum,
    pairs(),
    lambda g, _ans, x, y: where(less(x, y), g, where(equal(x, y), g * 0.5, 0.0)),
    lambda g, _ans, x, y: where(less(y, x), g, where(equal(x, y), g * 0.5, 0.0)),
    numpy=(np.minimum,),
    doc="""Take the smaller elementwise; at a tie both share the gradient equally.

    Where an input is not a number, so is the result, and the gradient is 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.minimum([1.0, 5.0], 3.0)
        array([1., 3.])
    """,
)


def _to_first(g: Any, better: Any, x: Any, y: Any) -> Any:
    return where(logical_or(better, isnan(y)), g, where(equal(x, y), g * 0.5, 0.0))


def _to_second(g: Any, better: Any, x: Any, y: Any) -> Any:
    only_first = logical_and(isnan(x), logical_not(isnan(y)))  # of two nan NumPy returns the first
    return where(logical_or(better, only_first), g, where(equal(x, y), g * 0.5, 0.0))


fmax: Op = primitive(
    "fmax",
    np.fmax,
    pairs(),
    lambda g, _ans, x, y: _to_first(g, greater(x, y), x, y),
    lambda g, _ans, x, y: _to_second(g, greater(y, x), x, y),
    numpy=(np.fmax,),
    doc="""Take the larger elementwise, or the one that is a number; ties share the gradient.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.fmax([1.0, 5.0, float("nan")], 3.0)
        array([3., 5., 3.])
    """,
)

fmin: Op = primitive(
    "fmin",
    np.fmin,
    pairs(),
    lambda g, _ans, x, y: _to_first(g, less(x, y), x, y),
    lambda g, _ans, x, y: _to_second(g, less(y, x), x, y),
    numpy=(np.fmin,),
    doc="""Take the smaller elementwise, or the one that is a number; ties share the gradient.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.fmin([1.0, 5.0, float("nan")], 3.0)
        array([1., 3., 3.])
    """,
)


def _inside(x: Any, lower: Any, upper: Any) -> Any:
    above = True if lower is None else greater_equal(x, lower)
    below = True if upper is None else less_equal(x, upper)
    return logical_and(above, below)


def _clip_rule(g: Any, _ans: Any, x: Any, lower: Any, upper: Any, *, wanted: Any) -> Any:
    pieces = [None, None, None]
    if wanted[0]:
        pieces[0] = where(_inside(x, lower, upper), g, 0.0)
    if wanted[1]:
        below = less(x, lower)
        pieces[1] = where(
            below if upper is None else logical_and(below, less_equal(lower, upper)), g, 0.0
        )
    if wanted[2]:
        above = greater(x, upper)  # where the bounds have changed places, NumPy returns the upper
        pieces[2] = where(
            above if lower is None else logical_or(above, greater(lower, upper)), g, 0.0
        )
    return pieces


def _clips(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(), (3,), (2, 3), (0,)]:
        yield (values(rng, shape, -2.0, 2.0), -1.03, 0.97), {}
    yield (values(rng, (4,), -2.0, 2.0), 0.11, None), {}
    yield (values(rng, (2, 3), -2.0, 2.0), None, np.array([0.013, 0.511, 1.017])), {}
    low, high = values(rng, (3,), -1.5, -0.5), values(rng, (2, 1), 0.5, 1.5)
    yield (values(rng, (2, 3), -2.0, 2.0), low, high), {}
    yield (values(rng, (), -2.0, 2.0), low, high), {}
    yield (values(rng, (3,), -2.0, 2.0), high[:, 0].max() + low * 0, low), {}


clip_between: Op = primitive(
    "clip",
    lambda x, lower, upper: np.clip(x, lower, upper),  # noqa: PLW0108 - three inputs exactly
    _clips,
    joint=_clip_rule,
    optional=True,
    doc="""Limit to [lower, upper]; the slope is 1 inside and at a bound, 0 outside.

    Outside, the bound that was reached has slope 1. Bounds may be None.
    """,
)


def _steps(rng: np.random.Generator) -> Iterator[Sample]:
    # Whole numbers for the input without derivative: it is 0 at some places, where it jumps.
    x = np.array([[-2, 0, 3], [0, 0, -1]], np.int8)
    for shape in [(), (3,), (2, 3), (2, 1)]:
        yield (x, values(rng, shape, -2.0, 2.0)), {}


heaviside: Op = primitive(
    "heaviside",
    np.heaviside,
    _steps,
    None,
    lambda g, _ans, x, _y: where(equal(x, 0), g, 0.0),
    numpy=(np.heaviside,),
    real=True,
    doc="""Step at 0: ans = 0 for x < 0, y at x = 0, 1 for x > 0.

    The derivative is 0 with respect to x, and with respect to y 1 where x = 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.heaviside([-1.0, 0.0, 2.0], 0.5)
        array([0. , 0.5, 1. ])
    """,
)

__all__ = [
    "clip_between",
    "fmax",
    "fmin",
    "heaviside",
    "maximum",
    "minimum",
    "where",
]
