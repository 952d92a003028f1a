"""Weighted averages, covariances, interpolation and histograms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.choices import where as choose
from tinygrad_course.ops.complexes import conjugate, real
from tinygrad_course.ops.contraction import matmul
from tinygrad_course.ops.conversion import astype
from tinygrad_course.ops.indexing import getitem
from tinygrad_course.ops.joining import concatenate_all
from tinygrad_course.ops.lanes import axes_of, raw
from tinygrad_course.ops.powers import sqrt
from tinygrad_course.ops.reduction import reduce_max, reduce_min, reduce_sum
from tinygrad_course.ops.samples import listed, values
from tinygrad_course.ops.shaping import broadcast_to, reshape, transpose_axes
from tinygrad_course.primitive import Op, Sample, primitive

# ---- averages ------------------------------------------------------------------------------


def _average(x: Any, weights: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    try:
        options: dict[str, Any] = {"keepdims": keepdims}
        return tuple(np.average(x, axis, weights, returned=True, **options))
    except ZeroDivisionError as error:
        raise ZeroDivisionError(
            f"average: the weights, of shape {np.shape(weights)}, sum to 0 over axis {axis}; "
            f"expected a sum other than 0"
        ) from error


def _average_formula(x: Any, weights: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    if weights.shape != x.shape:  # one weight for each place along the axes, in their order
        axes = axes_of(axis, x.ndim)
        order = tuple(int(i) for i in np.argsort(axes))
        shape = tuple(n if i in axes else 1 for i, n in enumerate(x.shape))
        weights = reshape(transpose_axes(weights, axes=order), shape=shape)
    total = reduce_sum(weights, axis=axis, keepdims=keepdims)
    mean = reduce_sum(x * weights, axis=axis, keepdims=keepdims) / total
    return mean, broadcast_to(total, shape=mean.shape)


def _weighted(rng: np.random.Generator) -> Iterator[Sample]:
    cases: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
        ((3,), (3,), {}),
        ((2, 3), (2, 3), {}),
        ((2, 3), (2,), {"axis": 0}),
        ((2, 3), (3,), {"axis": -1, "keepdims": True}),
        ((2, 3), (2, 3), {"axis": 1}),
        ((2, 3, 4), (4, 2), {"axis": (2, 0)}),
        ((0, 3), (3,), {"axis": 1}),
    ]
    for shape, weights, params in cases:
        yield (values(rng, shape, -2.0, 2.0), values(rng, weights, 0.2, 2.0)), params


average_weighted: Op = primitive(
    "average",
    _average,
    _weighted,
    formula=_average_formula,
    outputs=2,
    expects="weights of the shape of x, or one for each place along `axis`",
    doc="""Return Σ w x / Σ w over `axis`, and Σ w.""",
)


# ---- covariances ---------------------------------------------------------------------------


def _variables(x: Any, rowvar: bool, dtype: Any) -> Any:
    """Return a matrix with one variable in each row."""
    x = astype(x, dtype=dtype)
    if x.ndim < 2:
        return reshape(x, shape=(1, -1))
    return x if rowvar else x.T


def _cov(
    x: Any,
    y: Any = None,
    aweights: Any = None,
    *,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    dtype: Any = None,
) -> Any:
    return np.cov(x, y, rowvar, bias, ddof, fweights, aweights, dtype=dtype)


def _matrix_formula(
    x: Any,
    y: Any,
    aweights: Any,
    *,
    rowvar: bool,
    ddof: Any = 1,
    fweights: Any = None,
    dtype: Any = None,
) -> Any:
    if dtype is None:
        dtype = np.result_type(np.float64, x.dtype, *([] if y is None else [y.dtype]))
    rows = _variables(x, rowvar, np.dtype(dtype))
    if y is not None:
        # NumPy takes a y of one row for a variable, whatever rowvar says.
        further = _variables(y, rowvar or y.shape[0] == 1, np.dtype(dtype))
        rows = concatenate_all(rows, further, axis=0)
    size = rows.shape[1]
    weights: Any = 1.0 if fweights is None else fweights.astype(float)
    if aweights is not None:
        weights = aweights * weights
    total: Any = reduce_sum(weights) if np.ndim(weights) else float(size)
    centred = rows - reduce_sum(rows * weights, axis=1, keepdims=True) / total
    freedom = total - ddof
    if aweights is not None and ddof:
        freedom = total - ddof * reduce_sum(weights * aweights) / total
    if not raw(freedom) > 0:
        freedom = float("nan")
    return matmul(centred * weights, conjugate(centred).T) / freedom


def _squeezed(x: Any) -> Any:
    return reshape(x, shape=tuple(n for n in x.shape if n != 1))


def _cov_formula(
    x: Any,
    y: Any = None,
    aweights: Any = None,
    *,
    bias: bool = False,
    ddof: Any = None,
    rowvar: bool = True,
    **options: Any,
) -> Any:
    ddof = (0 if bias else 1) if ddof is None else ddof
    return _squeezed(_matrix_formula(x, y, aweights, rowvar=rowvar, ddof=ddof, **options))


def _corrcoef_formula(x: Any, y: Any = None, *, rowvar: bool = True, dtype: Any = None) -> Any:
    matrix = _matrix_formula(x, y, None, rowvar=rowvar, dtype=dtype)
    places = np.arange(matrix.shape[0])
    spread = sqrt(real(getitem(matrix, key=(places, places))))
    # NumPy clips to [-1, 1], where only rounding errors reach.
    return _squeezed(matrix / reshape(spread, shape=(-1, 1)) / spread)


covariance: Op = primitive(
    "cov",
    _cov,
    listed(
        (((4,), None, None), {}),
        (((2, 4), None, None), {}),
        (((2, 4), None, None), {"bias": True}),
        (((4, 2), None, None), {"rowvar": False, "ddof": 0}),
        (((4,), (4,), None), {}),
        (((2, 4), (4,), None), {"ddof": 2}),
        (((4, 2), (4, 1), None), {"rowvar": False}),
        (((2, 4), None, None), {"fweights": np.array([1, 2, 1, 3])}),
    ),
    formula=_cov_formula,
    optional=True,
    expects="variables in rows (columns with rowvar=False), equally many observations of each",
    doc="""Return the covariances of several variables, one pair at each place of a matrix.""",
)

correlation: Op = primitive(
    "corrcoef",
    lambda x, y=None, *, rowvar=True, dtype=None: np.corrcoef(x, y, rowvar, dtype=dtype),
    listed(
        (((2, 4), None), {}),
        (((4, 3), None), {"rowvar": False}),
        (((4,), (4,)), {}),
        (((2, 4), (1, 4)), {}),
    ),
    formula=_corrcoef_formula,
    optional=True,
    expects="variables in rows (columns with rowvar=False), equally many observations of each",
    doc="""Return the correlations of several variables: covariances over standard deviations.""",
)


# ---- interpolation -------------------------------------------------------------------------


def _around(x: Any, xp: Any, fp: Any, period: float) -> Any:
    """Bring x and xp into one period, and repeat the last point before the first and vice versa."""
    period = abs(period)
    x = x - np.floor_divide(raw(x), period) * period
    xp = xp - np.floor_divide(raw(xp), period) * period
    order = np.argsort(raw(xp))
    xp, fp = xp[order], fp[order]
    xp = concatenate_all(xp[-1:] - period, xp, xp[:1] + period, axis=0)
    return x, xp, concatenate_all(fp[-1:], fp, fp[:1], axis=0)


def _interp_formula(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, *, period: Any = None
) -> Any:
    if period is not None:
        x, xp, fp = _around(x, xp, fp, period)
        left = right = None
    here, knots = raw(x), raw(xp)
    last = len(knots) - 1
    first = np.clip(np.searchsorted(knots, here, side="right") - 1, 0, max(last - 1, 0))
    second = np.minimum(first + 1, last)
    width = xp[second] - xp[first]
    width = choose(raw(width) == 0, 1.0, width)
    value = fp[first] + (fp[second] - fp[first]) / width * (x - xp[first])
    value = choose(here == knots[-1], fp[-1], value)
    value = choose(here < knots[0], fp[0] if left is None else left, value)
    return choose(here > knots[-1], fp[-1] if right is None else right, value)


def _curves(rng: np.random.Generator) -> Iterator[Sample]:
    def knots(size: int) -> Any:
        return np.cumsum(values(rng, (size,), 0.5, 1.5))

    cases: list[tuple[Any, int, Any, Any, dict[str, Any]]] = [
        ((), 3, None, None, {}),
        ((5,), 4, None, None, {}),
        ((2, 3), 4, (), None, {}),
        ((4,), 3, (), (), {}),
        ((5,), 4, None, None, {"period": 3.1}),
        ((0,), 2, None, None, {}),
        ((3,), 1, None, (), {}),
    ]
    for shape, size, left, right, params in cases:
        ends = [end if end is None else values(rng, end, -2.0, 2.0) for end in (left, right)]
        x = values(rng, shape, 0.3, 5.0)
        yield (x, knots(size), values(rng, (size,), -2.0, 2.0), *ends), params


interpolation: Op = primitive(
    "interp",
    lambda x, xp, fp, left=None, right=None, *, period=None: np.asarray(
        np.interp(x, xp, fp, left, right, period)
    )[()],
    _curves,
    formula=_interp_formula,
    optional=True,
    real=True,
    expects="xp in ascending order, and as many fp",
    doc="""Interpolate linearly between the points (xp, fp).""",
)


# ---- histograms ----------------------------------------------------------------------------


def _bin_of(x: Any, edges: Any) -> tuple[Any, Any]:
    """Return the bin of each element, and whether it lies in one; the last bin is closed."""
    place = np.searchsorted(edges, x, side="right") - 1
    place = np.where(x == edges[-1], len(edges) - 2, place)
    return np.clip(place, 0, len(edges) - 2), (x >= edges[0]) & (x <= edges[-1])


def _counts_rule(
    g: Any,
    _ans: Any,
    x: Any,
    _weights: Any,
    *,
    bins: Any = 10,
    range: Any = None,  # noqa: A002
) -> Any:
    x = np.asarray(x)
    place, inside = _bin_of(x, np.histogram_bin_edges(x, bins, range))
    return choose(inside, getitem(g, key=place), 0.0)


histogram_counts: Op = primitive(
    "histogram",
    lambda x, weights=None, *, bins=10, range=None: np.histogram(  # noqa: A006
        x, bins, range, weights=weights
    )[0],
    listed(
        (((6,), (6,)), {"bins": 3}),
        (((2, 3), (2, 3)), {"bins": 4, "range": (-1.0, 1.5)}),
        (((6,), (6,)), {"bins": np.array([-2.0, -0.5, 0.1, 1.0])}),
    ),
    None,
    _counts_rule,
    optional=True,
    real=True,
    expects="weights of the shape of x, and bins in ascending order",
    doc="""Add up the weights of the elements in each bin; without weights count them.""",
)


def _edges_formula(x: Any, *, bins: Any = 10, **options: Any) -> Any:
    lowest, highest = reduce_min(x), reduce_max(x)
    if raw(lowest) == raw(highest):  # then the bins cover a half on both sides
        lowest, highest = lowest - 0.5, highest + 0.5
    size = len(np.histogram_bin_edges(raw(x), bins, **options))
    return lowest + (highest - lowest) * np.linspace(0, 1, size, dtype=x.dtype)


bin_edges: Op = primitive(
    "histogram_bin_edges",
    lambda x, *, bins=10, weights=None: np.histogram_bin_edges(x, bins, weights=weights),
    listed((((6,),), {"bins": 3}), (((2, 3),), {}), (((9,),), {"bins": "auto"})),
    formula=_edges_formula,
    real=True,
    expects="at least one finite element",
    doc="""Space the edges of bins evenly from the least to the greatest element.""",
)


__all__ = [
    "average_weighted",
    "bin_edges",
    "correlation",
    "covariance",
    "histogram_counts",
    "interpolation",
]
