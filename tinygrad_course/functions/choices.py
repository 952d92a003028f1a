"""NumPy's functions that choose elementwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_course.functions.words import implements
from tinygrad_course.graph import Value
from tinygrad_course.primitive import NUMPY_FUNCTIONS

_ABSENT = object()


@implements(np.where)
def where(condition: Any, x: Any = _ABSENT, y: Any = _ABSENT) -> Any:
    """Choose elementwise: x where the condition holds, y elsewhere.

    With the condition alone, return the indices at which it holds, one vector per axis. The
    condition has no derivative. A gradient of 0 times an infinite derivative in the branch not
    taken is nan, as everywhere in IEEE arithmetic: make the argument safe before the function.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.where([True, False], [1.0, 2.0], 0.0)
        array([1., 0.])
        >>> tc.where(tc.Tensor([5.0, 0.0, 7.0]))
        (Tensor([0, 2]),)
    """
    if x is _ABSENT and y is _ABSENT:
        return NUMPY_FUNCTIONS[np.nonzero](condition)
    if x is _ABSENT or y is _ABSENT:
        raise ArgumentError("where: give both x and y, or neither")
    return ops.where(condition, x, y)


@implements(np.clip)
def clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:  # noqa: A002 - NumPy's names
    """Limit to [a_min, a_max], also called min and max; the slope is 1 inside and at the bounds.

    Outside, the slope is 0 with respect to x, and 1 with respect to the bound that was reached.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.clip(tc.Tensor([-2.0, 0.5, 2.0]), -1.0, 1.0)
        Tensor([-1. ,  0.5,  1. ])
    """
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ArgumentError("clip: a bound is given twice; use either a_min, a_max or min, max")
    return ops.clip_between(x, min if a_min is None else a_min, max if a_max is None else a_max)


def _dtype(*values: Any) -> Any:
    """Return the dtype that NumPy gives to a choice between values; Python's numbers adapt."""
    return np.result_type(
        *(v._data if isinstance(v, Value) else v for v in values)  # an array, as it is
    )


@implements(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Take from the first choice whose condition holds, elementwise, or the default.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([-2.0, 0.5, 3.0])
        >>> tc.select([x < 0, x > 1], [-x, x * x], 1.0)
        Tensor([2., 1., 9.])
    """
    if len(condlist) != len(choicelist) or not condlist:
        raise ArgumentError(
            f"select: got {len(condlist)} conditions and {len(choicelist)} choices; expected as "
            f"many, and at least one"
        )
    for i, condition in enumerate(condlist):
        kind = getattr(condition, "dtype", None) or np.asarray(condition).dtype
        if kind != np.bool_:
            raise DtypeError(f"select: condition {i} has dtype {kind}; expected bool")
    numbers = (int, float, complex)
    choices = [
        c if type(c) in numbers or hasattr(c, "dtype") else np.asarray(c) for c in choicelist
    ]
    dtype = _dtype(*choices, default)
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        result = ops.where(condition, choice, result)
    return result if result.dtype == dtype else ops.astype(result, dtype=dtype)


@implements(np.piecewise)
def piecewise(
    x: Any,
    condlist: Any,
    funclist: Sequence[Callable[..., Any] | Any],
    *args: Any,
    **kw: Any,
) -> Any:
    """Evaluate function k where condition k holds; one more function serves all other places.

    Functions are called with the chosen elements of x and with the further arguments; numbers stand
    for constant functions. Where several conditions hold, the last one counts; where none does, the
    result is 0. It has the dtype of x, as NumPy's.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([-2.0, 0.5, 3.0])
        >>> tc.piecewise(x, [x < 0, x > 1], [lambda v: -v, lambda v: v * v, 1.0])
        Tensor([2., 1., 9.])
    """
    shape = np.shape(x)
    single = np.ndim(condlist) == 0 or (np.ndim(condlist[0]) == 0 and len(shape) != 0)
    masks = [np.asarray(mask, dtype=bool) for mask in ([condlist] if single else condlist)]
    count = len(funclist)
    if len(masks) == count - 1:
        masks.append(~np.any(masks, axis=0))
    if len(masks) != count:
        raise ArgumentError(
            f"piecewise: got {len(masks)} conditions and {count} functions; expected as many "
            f"functions, or one more"
        )
    result = ops.zeros_like(x)
    for mask, function in zip(masks, funclist, strict=True):
        if mask.shape != shape:
            raise ShapeError(f"piecewise: a condition has shape {mask.shape}, expected {shape}")
        if not mask.any():
            continue
        value = function(ops.getitem(x, key=mask), *args, **kw) if callable(function) else function
        result = ops.replace_at(result, value, key=mask)
    return result


__all__ = ["clip", "piecewise", "select", "where"]
