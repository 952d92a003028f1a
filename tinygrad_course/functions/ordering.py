"""NumPy's functions that sort, and sets of different values."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.functions.words import implements
from tinygrad_course.graph import Value
from tinygrad_course.ops.lanes import raw
from tinygrad_course.ops.ordering import (
    argpartition,
    argsort,
    digitize,
    isin,
    median,
    nanmedian,
    nanpercentile,
    nanquantile,
    partition,
    percentile,
    quantile,
    searchsorted,
    sort,
    sort_complex,
    union1d,
    unique,
)


@implements(np.lexsort)
def lexsort(keys: Any, axis: int = -1) -> Any:
    """Return the indices that sort by several keys, the last one first; without derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.lexsort((tc.Tensor([3.0, 1.0, 2.0]), [1, 1, 0]))
        Tensor([2, 1, 0])
    """
    return ops.lexsort_keys(*keys, axis=axis)


def _namedtuple(like: Any, values: Any) -> Any:
    """Return values in NumPy's own type, which has names for them."""
    return type(like(np.zeros(0)))(*values)


@implements(np.unique_values)
def unique_values(x: Any) -> Any:
    """Return the different values; every nan counts as different.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.unique_values(tc.Tensor([3.0, 1.0, 3.0])).shape
        (2,)
    """
    return ops.unique(x, equal_nan=False)


@implements(np.unique_counts)
def unique_counts(x: Any) -> Any:
    """Return the different values, and how often each occurs.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.unique_counts(tc.Tensor([3.0, 1.0, 3.0])).counts
        Tensor([1, 2])
    """
    return _namedtuple(np.unique_counts, ops.unique(x, return_counts=True, equal_nan=False))


@implements(np.unique_inverse)
def unique_inverse(x: Any) -> Any:
    """Return the different values, and for each element which of them it is.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.unique_inverse(tc.Tensor([3.0, 1.0, 3.0])).inverse_indices
        Tensor([1, 0, 1])
    """
    return _namedtuple(np.unique_inverse, ops.unique(x, return_inverse=True, equal_nan=False))


@implements(np.unique_all)
def unique_all(x: Any) -> Any:
    """Return the different values, where each first occurs, the inverse, and the counts.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.unique_all(tc.Tensor([3.0, 1.0, 3.0])).indices
        Tensor([1, 0])
    """
    results = ops.unique(
        x, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    return _namedtuple(np.unique_all, results)


def _different(x: Any, assume_unique: bool) -> Any:
    flat = ops.reshape(x, shape=(-1,))
    return flat if assume_unique else ops.unique(flat)


@implements(np.intersect1d)
def intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    """Return the values that both arrays hold, sorted; both share the gradient.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.intersect1d(tc.Tensor([3.0, 1.0]), [2.0, 1.0])
        Tensor([1.])
    """
    both = ops.concatenate_all(
        _different(ar1, assume_unique), _different(ar2, assume_unique), axis=0
    )
    ascending = ops.sort(both)
    plain = raw(ascending)
    common = ops.getitem(ascending, key=np.flatnonzero(plain[1:] == plain[:-1]))
    if not return_indices:
        return common
    _, *places = np.intersect1d(raw(ar1), raw(ar2), assume_unique, return_indices=True)
    if isinstance(common, Value):
        places = [ops.zeros_like(common, dtype=np.intp) + place for place in places]
    return (common, *places)


@implements(np.setdiff1d)
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """Return the different values of the first array that the second does not hold.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.setdiff1d(tc.Tensor([3.0, 1.0]), [2.0, 1.0])
        Tensor([3.])
    """
    first = _different(ar1, assume_unique)
    return ops.getitem(first, key=~np.isin(raw(first), raw(ar2), assume_unique=True))


@implements(np.setxor1d)
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """Return the values that exactly one of two arrays holds, sorted.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.setxor1d(tc.Tensor([3.0, 1.0]), [2.0, 1.0])
        Tensor([2., 3.])
    """
    ascending = ops.sort(
        ops.concatenate_all(_different(ar1, assume_unique), _different(ar2, assume_unique), axis=0)
    )
    plain = raw(ascending)
    single = np.ones(plain.shape, bool)
    single[1:] &= plain[1:] != plain[:-1]
    single[:-1] &= plain[1:] != plain[:-1]
    return ops.getitem(ascending, key=single)


@implements(np.bincount)
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """Add up the weights of the elements that are 0, 1, 2, …; without weights count them.

    The weights have a gradient, the whole numbers have none. As NumPy's, the result is float64.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.bincount([0, 2, 2], tc.Tensor([1.0, 2.0, 3.0]))
        Tensor([1., 0., 5.])
    """
    return ops.bincount_weighted(x, weights, minlength=minlength)


__all__ = [
    "argpartition",
    "argsort",
    "bincount",
    "digitize",
    "intersect1d",
    "isin",
    "lexsort",
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "partition",
    "percentile",
    "quantile",
    "searchsorted",
    "setdiff1d",
    "setxor1d",
    "sort",
    "sort_complex",
    "union1d",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]
