"""NumPy's reductions on Tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.functions.words import Axis, axes, implements


@implements(np.sum)
def sum(x: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Any:  # noqa: A001 - NumPy's name
    """Sum over `axis` (all axes by default).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sum(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
        Tensor([4., 6.])
    """
    if dtype is not None:
        x = ops.astype(x, dtype=np.dtype(dtype))
    return ops.reduce_sum(x, axis=axes(axis), keepdims=keepdims)


@implements(np.mean)
def mean(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Average over `axis`; every element's derivative is 1/n.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.mean(tc.Tensor([1.0, 2.0, 6.0]))
        Tensor(3.)
    """
    return ops.reduce_mean(x, axis=axes(axis), keepdims=keepdims)


@implements(np.var)
def var(x: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """Take the variance over `axis`: sum((x - mean)²) / (n - ddof).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.var(tc.Tensor([1.0, 3.0]))
        Tensor(1.)
    """
    return ops.reduce_var(x, axis=axes(axis), ddof=ddof, keepdims=keepdims)


@implements(np.max, np.amax)
def max(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:  # noqa: A001 - NumPy's name
    """Take the maximum over `axis`; tied elements share the gradient equally.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.max(tc.Tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1)
        Tensor([5., 3.])
    """
    return ops.reduce_max(x, axis=axes(axis), keepdims=keepdims)


@implements(np.min, np.amin)
def min(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:  # noqa: A001 - NumPy's name
    """Take the minimum over `axis`; tied elements share the gradient equally.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.min(tc.Tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1)
        Tensor([1., 2.])
    """
    return ops.reduce_min(x, axis=axes(axis), keepdims=keepdims)


@implements(np.argmax)
def argmax(x: Any, axis: int | None = None) -> Any:
    """Return the index of the maximum along `axis`; it has no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.argmax(tc.Tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1)
        Tensor([1, 0])
    """
    return ops.argmax(x, axis=axis)


@implements(np.argmin)
def argmin(x: Any, axis: int | None = None) -> Any:
    """Return the index of the minimum along `axis`; it has no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.argmin(tc.Tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1)
        Tensor([0, 1])
    """
    return ops.argmin(x, axis=axis)


@implements(np.all)
def all(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:  # noqa: A001 - NumPy's name
    """Return whether all elements along `axis` are true.

    Example:
        >>> import tinygrad_course as tc
        >>> bool(tc.all(tc.Tensor([1.0, 2.0]) > 0))
        True
    """
    return ops.reduce_all(x, axis=axes(axis), keepdims=keepdims)


@implements(np.any)
def any(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:  # noqa: A001 - NumPy's name
    """Return whether any element along `axis` is true.

    Example:
        >>> import tinygrad_course as tc
        >>> bool(tc.any(tc.Tensor([1.0, 2.0]) > 5))
        False
    """
    return ops.reduce_any(x, axis=axes(axis), keepdims=keepdims)


@implements()
def logsumexp(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Take log(sum(exp(x))) over `axis`, shifted by the maximum so that nothing overflows.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.logsumexp(tc.Tensor([1000.0, 1000.0]))
        Tensor(1000.69314718)
    """
    return ops.logsumexp_over(x, axis=axes(axis), keepdims=keepdims)


@implements()
def softmax(x: Any, axis: Axis = -1) -> Any:
    """Turn scores into probabilities: e**x / sum(e**x) along `axis` (lesson 3.4 of the notes).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.softmax([5.0, 2.0, -1.0, 3.0]).round(3)
        array([0.842, 0.042, 0.002, 0.114])
    """
    return ops.softmax_along(x, axis=axes(axis))


@implements()
def log_softmax(x: Any, axis: Axis = -1) -> Any:
    """Take log(softmax(x)) along `axis` without losing digits.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.log_softmax([0.0, 1000.0])
        array([-1000.,     0.])
    """
    return ops.log_softmax_along(x, axis=axes(axis))


__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "softmax",
    "sum",
    "var",
]
