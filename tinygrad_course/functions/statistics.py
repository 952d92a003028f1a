"""NumPy's averages, covariances, differences, integrals, interpolation and histograms."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_course.functions.words import Axis, implements
from tinygrad_course.graph import Value
from tinygrad_course.ops.lanes import raw


@implements(np.average)
def average(
    x: Any,
    axis: Axis = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    """Average over `axis`, each element counting as much as its weight: Σ w x / Σ w.

    Derivatives: w / Σ w for x, (x - average) / Σ w for the weights. With `returned` a tuple of the
    average and Σ w.

    Raises:
        ZeroDivisionError: the weights sum to 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.average(tc.Tensor([1.0, 5.0]), weights=[3.0, 1.0])
        Tensor(2.)
    """
    if weights is not None:
        both = ops.average_weighted(x, weights, axis=axis, keepdims=keepdims)
        return both if returned else both[0]
    mean = ops.reduce_mean(x, axis=axis, keepdims=keepdims)
    if not returned:
        return mean
    size = np.size(x) / np.size(mean)
    return mean, ops.zeros_like(mean) + mean.dtype.type(size)


@implements(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """Return the matrix of the covariances of several variables, which stand in the rows of m.

    `y` holds further variables; `fweights` says how often each observation counts, `aweights` how
    much. m, y and aweights have gradients. As NumPy's, the result is float64 unless `dtype` says
    otherwise.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.cov(tc.Tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
        Tensor([[ 1., -1.],
                [-1.,  1.]])
    """
    return ops.covariance(
        m, y, aweights, rowvar=rowvar, bias=bias, ddof=ddof, fweights=fweights, dtype=dtype
    )


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """Return the matrix of the correlations of several variables, which stand in the rows of x.

    As NumPy's, the result is float64 unless `dtype` says otherwise.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.corrcoef(tc.Tensor([1.0, 2.0, 3.0]), [2.0, 4.0, 6.0])
        Tensor([[1., 1.],
                [1., 1.]])
    """
    return ops.correlation(x, y, rowvar=rowvar, dtype=dtype)


# ---- differences and integrals -------------------------------------------------------------


def _edge(x: Any, a: Any, axis: int) -> Any:
    """Return what stands before or behind an array; a number is repeated along the other axes."""
    if np.ndim(x):
        return x
    shape = list(np.shape(a))
    shape[axis] = 1
    return ops.broadcast_to(x, shape=tuple(shape))


@implements(np.diff)
def diff(
    a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue
) -> Any:
    """Take the n-th difference along an axis: for n = 1 a[i + 1] - a[i].

    `prepend` and `append` stand before and behind the array first; they have gradients too.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.diff(tc.Tensor([1.0, 4.0, 9.0]))
        Tensor([3., 5.])
    """
    if n < 0:
        raise ArgumentError(f"diff: got n = {n}, expected 0 or more")
    if not np.ndim(a):
        raise ShapeError("diff: got a number, expected an array with at least one axis")
    if n:
        before = [] if prepend is np._NoValue else [_edge(prepend, a, axis)]
        behind = [] if append is np._NoValue else [_edge(append, a, axis)]
        if before or behind:
            a = ops.concatenate_all(*before, a, *behind, axis=axis)
    return ops.diff_along(a, n=n, axis=axis)


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Take the differences of the flattened array, between `to_begin` and `to_end`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.ediff1d(tc.Tensor([1.0, 4.0, 9.0]), to_begin=0.0)
        Tensor([0., 3., 5.])
    """
    inner = ops.diff_along(ops.reshape(ary, shape=(-1,)))
    parts = []
    for name, end in (("to_begin", to_begin), ("to_end", to_end)):
        if end is None:
            continue
        have = raw(end) if isinstance(end, Value) else np.asanyarray(end)
        if not np.can_cast(have.dtype, inner.dtype, "same_kind"):
            raise DtypeError(
                f"ediff1d: {name} is {have.dtype}, which does not fit into {inner.dtype}; convert "
                f"the array with astype first"
            )
        flat = ops.reshape(end, shape=(-1,))
        parts.append((name, ops.astype(flat, dtype=inner.dtype)))
    before = [part for name, part in parts if name == "to_begin"]
    behind = [part for name, part in parts if name == "to_end"]
    return ops.concatenate_all(*before, inner, *behind, axis=0) if parts else inner


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Axis = None, edge_order: int = 1) -> Any:
    """Estimate the slope of sampled values along each axis, from central differences.

    At the ends the difference is one-sided, or with `edge_order` 2 that of a parabola through
    three points. The distances are 1, one number, one number per axis, or the coordinates along
    each axis; they have gradients too.

    Returns:
        An array for one axis, a tuple of arrays for several.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.gradient(tc.Tensor([1.0, 4.0, 9.0, 16.0]))
        Tensor([3., 4., 6., 7.])
    """
    rank = np.ndim(f)
    places = axis if isinstance(axis, tuple) else tuple(range(rank)) if axis is None else (axis,)
    if len({place % max(rank, 1) for place in places}) < len(places):
        raise ArgumentError(f"gradient: axis {axis} names an axis twice")
    if len(varargs) == 1 and not np.ndim(varargs[0]):
        distances = varargs * len(places)
    else:
        distances = varargs or (None,) * len(places)
    if len(distances) != len(places):
        raise ArgumentError(
            f"gradient: got {len(varargs)} distances for {len(places)} axes; expected none, one "
            f"number for all axes, or one number or array of coordinates for each axis"
        )
    found = tuple(
        ops.gradient_along(f, distance, axis=place, edge_order=edge_order)
        for place, distance in zip(places, distances, strict=True)
    )
    return found[0] if len(found) == 1 else found


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Integrate along an axis by the trapezoidal rule: Σ (x[i + 1] - x[i]) (y[i + 1] + y[i]) / 2.

    y, the coordinates x, and the distance dx that counts without them have gradients.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.trapezoid(tc.Tensor([1.0, 2.0, 3.0]), x=[0.0, 1.0, 3.0])
        Tensor(6.5)
    """
    return ops.trapezoid_along(y, x, dx, axis=axis)


@implements(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: float | None = None
) -> Any:
    """Interpolate linearly between the points (xp, fp), with xp in ascending order.

    x, xp, fp, left and right have gradients. At a knot the slope is the one to its right, which is
    0 at the last knot and wherever x lies outside. As NumPy's, the result is float64.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.interp(tc.Tensor([0.5, 9.0]), [0.0, 1.0, 2.0], [0.0, 10.0, 20.0])
        Tensor([ 5., 20.])
    """
    return ops.interpolation(x, xp, fp, left, right, period=period)


# ---- histograms ----------------------------------------------------------------------------


def _ends(given: Any) -> Any:
    """Return a range as two numbers, which may have been Tensors."""
    return None if given is None else tuple(float(end) for end in given)


@implements(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:  # noqa: A002 - NumPy's name
    """Return the edges of the bins of a histogram.

    Without a range they run from the least to the greatest element, and have a gradient there.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.histogram_bin_edges(tc.Tensor([1.0, 5.0, 2.0]), 2)
        Tensor([1., 3., 5.])
    """
    plain = raw(weights)
    if isinstance(bins, Value) and np.ndim(raw(bins)):
        return bins
    if range is None and not np.ndim(raw(bins)) and np.size(a):
        return ops.bin_edges(a, bins=bins if isinstance(bins, str) else int(bins), weights=plain)
    edges = np.histogram_bin_edges(raw(a), raw(bins), _ends(range), plain)
    return ops.zeros_like(a, shape=edges.shape, dtype=edges.dtype) + edges


@implements(np.histogram)
def histogram(
    a: Any,
    bins: Any = 10,
    range: Any = None,  # noqa: A002 - NumPy's name
    density: bool | None = None,
    weights: Any = None,
) -> Any:
    """Count the elements in each bin, or add up their weights; return that and the edges.

    The counts are constant for small changes of the elements; the weights have a gradient, and so
    have the edges where they depend on the elements (see `histogram_bin_edges`), and with
    `density` the widths of the bins.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.histogram(tc.Tensor([1.0, 5.0, 2.0]), 2)
        (Tensor([2, 1]), Tensor([1., 3., 5.]))
    """
    edges = histogram_bin_edges(a, bins, range, weights)
    counts = ops.histogram_counts(a, weights, bins=raw(bins), range=_ends(range))
    if density:
        width = ops.astype(ops.diff_along(edges), dtype=np.dtype(float))
        counts = ops.divide(ops.divide(counts, width), ops.reduce_sum(counts))
    return counts, edges


__all__ = [
    "average",
    "corrcoef",
    "cov",
    "diff",
    "ediff1d",
    "gradient",
    "histogram",
    "histogram_bin_edges",
    "interp",
    "trapezoid",
]
