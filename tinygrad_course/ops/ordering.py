"""Sorting, and what follows from the sorted order: quantiles, sets, places among sorted numbers.

All these functions put the elements in another order, and pick or average. Their derivatives send
the gradient back to where the elements came from. Equal elements cannot be told apart, so they
share what arrives at any of them: the median of [1, 2, 2, 3] has the gradient [0, 1/2, 1/2, 0], and
that of [1, 1, 2, 2] has 1/4 everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_course.errors import UnsupportedFunctionError
from tinygrad_course.ops.choices import where as choose
from tinygrad_course.ops.indexing import getitem, scatter_add
from tinygrad_course.ops.joining import concatenate_all
from tinygrad_course.ops.lanes import from_lanes, no_out, raw, to_lanes
from tinygrad_course.ops.samples import listed, values
from tinygrad_course.ops.shaping import broadcast_to, reshape
from tinygrad_course.primitive import Op, Sample, Samples, primitive

# ---- back to where they came from ----------------------------------------------------------


def _rows(lanes: Any) -> Any:
    """Return the row numbers of a matrix, to stand beside an array of columns in an index."""
    return np.arange(lanes.shape[0])[:, None]


def _unsorted(g: Any, lanes: Any) -> Any:
    """Return the gradient of the lanes from that of the sorted ones; equal elements share theirs.

    `lanes` is a plain matrix with one lane in each row; `g` has its shape.
    """
    order = np.argsort(lanes, axis=1, kind="stable")
    ascending = lanes[_rows(lanes), order]
    first = np.ones(lanes.shape, bool)  # whether an element differs from the one before it
    first[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    if first.all():
        ranks = np.empty_like(order)
        ranks[_rows(lanes), order] = np.arange(lanes.shape[1])
        return getitem(g, key=(_rows(lanes), ranks))
    groups = np.cumsum(first) - 1
    sizes = np.bincount(groups)
    total = scatter_add(reshape(g, shape=(-1,)), key=groups, shape=sizes.shape)
    # Division by an array of the gradient's own dtype: an integer count would upcast float32.
    share = total / sizes.astype(g.dtype)
    group_of = np.empty(lanes.shape, np.intp)
    group_of[_rows(lanes), order] = groups.reshape(lanes.shape)
    return getitem(share, key=group_of)


def _sort_rule(g: Any, _ans: Any, x: Any, *, axis: int | None = -1, **_options: Any) -> Any:
    return from_lanes(_unsorted(to_lanes(g, axis), to_lanes(raw(x), axis)), x.shape, axis)


def _partition_rule(g: Any, ans: Any, x: Any, *, axis: int | None = -1, **_options: Any) -> Any:
    # Both hold the same elements, so sorting the result too makes pairs of them.
    lanes = to_lanes(raw(ans), axis)
    order = np.argsort(lanes, axis=1, kind="stable")
    ascending = getitem(to_lanes(g, axis), key=(_rows(lanes), order))
    return from_lanes(_unsorted(ascending, to_lanes(raw(x), axis)), x.shape, axis)


# ---- sorting -------------------------------------------------------------------------------


def _sorting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return np.sort or np.argsort as the forward function of a row."""

    def forward(
        x: Any, *, axis: int | None = -1, kind: Any = None, order: Any = None, stable: Any = None
    ) -> Any:
        return function(x, axis, kind, order, stable=stable)

    return forward


_SORTS = listed(
    (((4,),), {}),
    (((5,),), {"axis": 0, "kind": "stable"}),
    (((1,),), {}),
    (((2, 3),), {}),
    (((2, 3),), {"axis": None}),
    (((3, 2),), {"axis": 0, "stable": True}),
    (((2, 3, 2),), {"axis": 1}),
    (((0, 3),), {"axis": 0}),
    (((0, 3),), {"axis": 1}),
    (((),), {"axis": None}),
)

sort: Op = primitive(
    "sort",
    _sorting(np.sort),
    _SORTS,
    _sort_rule,
    numpy=(np.sort,),
    expects="at least one axis; axis=None for the flattened array",
    doc="""Sort along an axis; the gradient goes back to where the elements came from.

    Equal elements share what arrives at them equally.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([3.0, 1.0, 2.0], requires_grad=True)
        >>> tc.sort(x)
        Tensor([1., 2., 3.], op=sort)
        >>> tc.sort(x).backward([10.0, 20.0, 30.0])
        >>> x.grad
        array([30., 10., 20.])
    """,
)

argsort: Op = primitive(
    "argsort",
    _sorting(np.argsort),
    _SORTS,
    None,
    numpy=(np.argsort,),
    doc="""Return the indices that sort along an axis; without derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.argsort(tc.Tensor([3.0, 1.0, 2.0]))
        Tensor([1, 2, 0])
    """,
)

_PARTITIONS = listed(
    (((4,),), {"kth": 1}),
    (((9,),), {"kth": -2}),
    (((2, 5),), {"kth": 2}),
    (((7, 2),), {"kth": np.array([1, 4]), "axis": 0}),
    (((2, 3),), {"kth": 4, "axis": None}),
    (((2, 1),), {"kth": 0}),
)

partition: Op = primitive(
    "partition",
    lambda x, *, kth, axis=-1, kind="introselect", order=None: np.partition(
        x, kth, axis, kind, order
    ),
    _PARTITIONS,
    _partition_rule,
    numpy=(np.partition,),
    expects="kth inside the axis",
    doc="""Put the kth smallest in its place, the smaller ones before it, the larger behind it.

    The gradient goes back to where the elements came from; equal elements share it equally.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.partition(tc.Tensor([3.0, 1.0, 2.0]), 0)[0]
        Tensor(1.)
    """,
)

argpartition: Op = primitive(
    "argpartition",
    lambda x, *, kth, axis=-1, kind="introselect", order=None: np.argpartition(
        x, kth, axis, kind, order
    ),
    _PARTITIONS,
    None,
    numpy=(np.argpartition,),
    expects="kth inside the axis",
    doc="""Return the indices that partition along an axis; without derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.argpartition(tc.Tensor([3.0, 1.0, 2.0]), 0)[0]
        Tensor(1)
    """,
)

sort_complex: Op = primitive(
    "sort_complex",
    lambda x: np.sort_complex(x),  # noqa: PLW0108 - a row's input is an array, NumPy's perhaps more
    listed((((4,),), {}), (((2, 3),), {}), (((1,),), {}), (((2, 0),), {})),
    _sort_rule,
    numpy=(np.sort_complex,),
    doc="""Sort along the last axis by the real, then by the imaginary part; the result is complex.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sort_complex(tc.Tensor([2.0, 1 - 1j]))
        Tensor([1.-1.j, 2.+0.j])
    """,
)

lexsort_keys: Op = primitive(
    "lexsort",
    lambda *keys, axis=-1: np.lexsort(keys, axis),
    listed(
        (((3,), (3,)), {}),
        (((2, 3),), {}),
        ((np.array([2, 1, 2, 1]), np.array([1, 1, 0, 0])), {}),
        (((2, 3), (2, 3)), {"axis": 0}),
    ),
    variadic=True,
    expects="keys of one shape",
    doc="""Return the indices that sort by several keys, the last one first.""",
)


# ---- quantiles -----------------------------------------------------------------------------


def _virtual(function: Callable[..., Any], size: int, dtype: Any, q: Any, method: str) -> Any:
    """Return where among `size` sorted elements a quantile lies, 2.25 being behind the third.

    Each of NumPy's methods weights two neighbours, and so tells the place itself: it is the
    quantile of 0, 1, 2, ….
    """
    places = function(np.arange(size, dtype=dtype), q, method=method)
    return np.clip(np.reshape(places, -1), 0, size - 1)


def _quantile_rule(function: Callable[..., Any], *, skips_nan: bool = False) -> Callable[..., Any]:
    """Return the rule of np.quantile, np.percentile, or of one that leaves nan out."""

    def rule(
        g: Any,
        _ans: Any,
        x: Any,
        *,
        q: Any = 0.5,
        axis: Any = None,
        method: str = "linear",
        **_options: Any,
    ) -> Any:
        lanes = to_lanes(raw(x), axis)
        rows, size = lanes.shape
        if not lanes.size:
            return broadcast_to(g.sum(), shape=x.shape)
        missing = np.isnan(lanes).sum(axis=1)
        sizes = size - missing if skips_nan else np.full(rows, size)
        places = np.zeros((np.size(q), rows))
        for n in np.unique(sizes):
            if n:
                there = _virtual(function, int(n), lanes.dtype, q, method)
                places[:, sizes == n] = there[:, None]
        if not skips_nan:  # a nan makes the result nan, and takes the gradient
            places[:, missing > 0] = size - 1
        low = np.floor(places).astype(np.intp)
        above = (places - low).astype(g.dtype)
        row = np.broadcast_to(np.arange(rows), low.shape)
        g = reshape(g, shape=low.shape)
        if skips_nan:
            g = choose(sizes > 0, g, 0.0)
        # Behind the last element there is none, and none is needed: the share above is 0 there.
        high = np.minimum(low + 1, size - 1)
        sent = scatter_add(g * (1 - above), key=(row, low), shape=lanes.shape)
        if above.any():
            sent = sent + scatter_add(g * above, key=(row, high), shape=lanes.shape)
        return from_lanes(_unsorted(sent, lanes), x.shape, axis)

    return rule


def _unweighted(name: str, weights: Any) -> None:
    if weights is not None:
        raise UnsupportedFunctionError(
            f"{name} with weights= has no rule for Tensors: leave the weights out, repeat the "
            f"elements if they are whole numbers, or take .numpy() if no derivative is wanted"
        )


def _quantiles(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return one of NumPy's four functions for quantiles as the forward function of a row."""

    def forward(
        x: Any,
        *,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,  # noqa: ARG001 - an input is never overwritten
        method: str = "linear",
        keepdims: bool = False,
        weights: Any = None,
    ) -> Any:
        _unweighted(function.__name__, weights)
        no_out(out)
        if np.ndim(q) > 1:
            # One after the other: NumPy 2.4 mixes up the results of its functions without nan
            # where q has several axes and so has the lane.
            ans = function(x, np.ravel(q), axis, method=method, keepdims=keepdims)
            return ans.reshape(np.shape(q) + ans.shape[1:])
        return function(x, q, axis, method=method, keepdims=keepdims)

    return forward


def _medians(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return np.median or np.nanmedian as the forward function of a row."""

    def forward(
        x: Any,
        *,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,  # noqa: ARG001 - an input is never overwritten
        keepdims: bool = False,
    ) -> Any:
        return function(x, axis, no_out(out), keepdims=keepdims)

    return forward


_AXES: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((), {}),
    ((3,), {}),
    ((4,), {"axis": 0, "keepdims": True}),
    ((3, 4), {}),
    ((3, 4), {"axis": 0}),
    ((2, 3, 4), {"axis": (2, 0)}),
    ((2, 3, 4), {"axis": -2, "keepdims": True}),
    ((0, 3), {"axis": 1}),
]


_METHODS = (
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "median_unbiased",
    "normal_unbiased",
    "lower",
    "higher",
    "midpoint",
    "nearest",
)


def _quantile_samples(top: float) -> Samples:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shape, params in _AXES:
            yield (values(rng, shape, -2.0, 2.0),), {"q": 0.3 * top, **params}
        several = np.array([[0.0, 0.21, 0.5], [0.77, 1.0, 0.4]]) * top
        yield (values(rng, (3, 4), -2.0, 2.0),), {"q": several, "axis": 0}
        yield (values(rng, (3, 4), -2.0, 2.0),), {"q": several[0], "keepdims": True}
        for method in _METHODS:
            params = {"q": several[1], "axis": 1, "method": method}
            yield (values(rng, (3, 5), -2.0, 2.0),), params

    return samples


def _median_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, params in _AXES:
        yield (values(rng, shape, -2.0, 2.0),), dict(params)


_METHODS_TEXT = """`method` is any of NumPy's. Equal elements share the gradient equally."""

median: Op = primitive(
    "median",
    _medians(np.median),
    _median_samples,
    _quantile_rule(np.quantile),
    numpy=(np.median,),
    real=True,
    doc="""Take the middle element of each lane, or the mean of the two middle ones.

    Equal elements share the gradient equally. A nan makes the result nan, and takes the gradient.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.median(tc.Tensor([5.0, 1.0, 2.0, 3.0]))
        Tensor(2.5)
    """,
)

quantile: Op = primitive(
    "quantile",
    _quantiles(np.quantile),
    _quantile_samples(1.0),
    _quantile_rule(np.quantile),
    numpy=(np.quantile,),
    real=True,
    expects="elements to choose from, and q from 0 to 1",
    doc=f"""Take the q-quantile of each lane, a mean of two neighbours in the sorted order.

    {_METHODS_TEXT} `q` itself has no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.quantile(tc.Tensor([5.0, 1.0, 2.0, 3.0]), [0.0, 0.25])
        Tensor([1.  , 1.75])
    """,
)

percentile: Op = primitive(
    "percentile",
    _quantiles(np.percentile),
    _quantile_samples(100.0),
    _quantile_rule(np.percentile),
    numpy=(np.percentile,),
    real=True,
    expects="elements to choose from, and q from 0 to 100",
    doc=f"""Take the q-th percentile of each lane, a mean of two neighbours in the sorted order.

    {_METHODS_TEXT} `q` itself has no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.percentile(tc.Tensor([5.0, 1.0, 2.0, 3.0]), 25)
        Tensor(1.75)
    """,
)

nanmedian: Op = primitive(
    "nanmedian",
    _medians(np.nanmedian),
    _median_samples,
    _quantile_rule(np.nanquantile, skips_nan=True),
    numpy=(np.nanmedian,),
    real=True,
    doc="""Take the median of each lane without the nan, whose gradient is 0.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nanmedian(tc.Tensor([5.0, np.nan, 2.0, 3.0]))
        Tensor(3.)
    """,
)

nanquantile: Op = primitive(
    "nanquantile",
    _quantiles(np.nanquantile),
    _quantile_samples(1.0),
    _quantile_rule(np.nanquantile, skips_nan=True),
    numpy=(np.nanquantile,),
    real=True,
    expects="q from 0 to 1",
    doc=f"""Take the q-quantile of each lane without the nan, whose gradient is 0.

    {_METHODS_TEXT} `q` itself has no derivative.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nanquantile(tc.Tensor([5.0, np.nan, 2.0, 3.0]), 0.25)
        Tensor(2.5)
    """,
)

nanpercentile: Op = primitive(
    "nanpercentile",
    _quantiles(np.nanpercentile),
    _quantile_samples(100.0),
    _quantile_rule(np.nanpercentile, skips_nan=True),
    numpy=(np.nanpercentile,),
    real=True,
    expects="q from 0 to 100",
    doc=f"""Take the q-th percentile of each lane without the nan, whose gradient is 0.

    {_METHODS_TEXT} `q` itself has no derivative.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nanpercentile(tc.Tensor([5.0, np.nan, 2.0, 3.0]), 25)
        Tensor(2.5)
    """,
)


# ---- sets ----------------------------------------------------------------------------------


def _unique(
    x: Any,
    *,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    equal_nan: bool = True,
    sorted: bool = True,  # noqa: A002 - NumPy's name
) -> Any:
    options: dict[str, Any] = {
        "return_index": return_index,
        "return_inverse": return_inverse,
        "return_counts": return_counts,
        "axis": axis,
        "equal_nan": equal_nan,
    }
    if not sorted:  # an argument since NumPy 2.3
        options["sorted"] = False
    return np.unique(x, **options)


def _unique_rule(
    g: Any,
    ans: Any,
    x: Any,
    *,
    wanted: Any,  # noqa: ARG001 - there is one input
    axis: int | None = None,
    equal_nan: bool = True,
    **_options: Any,
) -> Any:
    found = raw(ans[0] if type(ans) is tuple else ans)
    piece = g[0] if type(g) is tuple else g
    place = 0 if axis is None else axis % x.ndim
    _, inverse, sizes = np.unique(
        raw(x), return_inverse=True, return_counts=True, axis=axis, equal_nan=equal_nan
    )
    if axis is None:  # the values may stand in another order, with sorted=False
        order = np.argsort(found, kind="stable")
        piece = getitem(piece, key=order)
    sizes = sizes.reshape([-1 if i == place else 1 for i in range(piece.ndim)])
    share = piece / sizes.astype(piece.dtype)
    spread = getitem(share, key=(*[slice(None)] * place, inverse.reshape(-1)))
    return [reshape(spread, shape=x.shape)]


unique: Op = primitive(
    "unique",
    _unique,
    listed(
        (((4,),), {}),
        (((2, 3),), {}),
        (((2, 3),), {"axis": 0}),
        (((2, 3, 2),), {"axis": -2, "return_counts": True}),
        (((5,),), {"return_index": True, "return_inverse": True, "return_counts": True}),
        (((),), {}),
        (((0,),), {}),
    ),
    joint=_unique_rule,
    outputs=-1,
    constant_outputs=(1, 2, 3),
    numpy=(np.unique,),
    doc="""Return the different values in ascending order; equal elements share a value's gradient.

    With `return_index`, `return_inverse` or `return_counts` a tuple, in which the further results
    are constants. `axis` compares slices.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([3.0, 1.0, 3.0], requires_grad=True)
        >>> tc.unique(x)
        Tensor([1., 3.], op=unique)
        >>> tc.unique(x).backward([10.0, 20.0])
        >>> x.grad
        array([10., 10., 10.])
    """,
)


def _flat(x: Any) -> Any:
    return reshape(x, shape=(-1,))


def _union_formula(x: Any, y: Any) -> Any:
    return unique(concatenate_all(_flat(x), _flat(y), axis=0))


union1d: Op = primitive(
    "union1d",
    lambda x, y: np.union1d(x, y),  # noqa: PLW0108 - a row's inputs are arrays
    listed((((3,), (4,)), {}), (((2, 3), ()), {}), (((0,), (2,)), {})),
    formula=_union_formula,
    numpy=(np.union1d,),
    doc="""Return the different values of two arrays, sorted; equal ones share the gradient.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.union1d(tc.Tensor([3.0, 1.0]), [2.0, 1.0])
        Tensor([1., 2., 3.])
    """,
)

isin: Op = primitive(
    "isin",
    lambda x, y, *, assume_unique=False, invert=False, kind=None: np.isin(
        x, y, assume_unique, invert, kind=kind
    ),
    listed(
        (((2, 3), ()), {}),
        ((np.array([0.5, 2.0, 1.0]), np.array([2.0, 3.0, 0.5])), {"invert": True}),
        (((0,), (2,)), {}),
    ),
    None,
    None,
    numpy=(np.isin,),
    doc="""Return whether each element of x is in y; without derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.isin(tc.Tensor([3.0, 1.0]), [2.0, 1.0])
        Tensor([False,  True])
    """,
)


# ---- places among sorted numbers -----------------------------------------------------------

searchsorted: Op = primitive(
    "searchsorted",
    lambda a, v, *, side="left", sorter=None: np.searchsorted(a, v, side, sorter),
    listed(
        ((np.arange(4.0), (3,)), {}),
        ((np.arange(4.0), (2, 3)), {"side": "right"}),
        ((np.array([2.0, 0.0, 1.0]), ()), {"sorter": np.array([1, 2, 0])}),
    ),
    None,
    None,
    numpy=(np.searchsorted,),
    expects="a sorted vector, and the values to look up",
    doc="""Return where values would have to be inserted to keep an array sorted; no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.searchsorted([1.0, 2.0, 3.0], tc.Tensor([0.5, 2.5]))
        Tensor([0, 2])
    """,
)

digitize: Op = primitive(
    "digitize",
    lambda x, bins, *, right=False: np.digitize(x, bins, right),
    listed((((3,), np.arange(4.0)), {}), (((2, 3), np.arange(4.0)[::-1]), {"right": True})),
    None,
    None,
    numpy=(np.digitize,),
    expects="bins in ascending or descending order",
    doc="""Return the number of the bin that each value lies in; without derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.digitize(tc.Tensor([0.5, 2.5]), [1.0, 2.0, 3.0])
        Tensor([0, 2])
    """,
)

bincount_weighted: Op = primitive(
    "bincount",
    lambda x, weights=None, *, minlength=0: np.bincount(x, weights, minlength),
    listed(
        ((np.array([0, 2, 0]), (3,)), {}),
        ((np.array([0, 2, 0]), (3,)), {"minlength": 5}),
        ((np.array([1]), (1,)), {}),
    ),
    None,
    lambda g, _ans, x, _weights, *, minlength=0: getitem(g, key=np.asarray(x)),  # noqa: ARG005
    optional=True,
    real=True,
    expects="a vector of whole numbers of 0 or more, and as many weights",
    doc="""Add up the weights of the elements that are 0, 1, 2, …; without weights count them.""",
)


__all__ = [
    "argpartition",
    "argsort",
    "bincount_weighted",
    "digitize",
    "isin",
    "lexsort_keys",
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "partition",
    "percentile",
    "quantile",
    "searchsorted",
    "sort",
    "sort_complex",
    "union1d",
    "unique",
]
