"""Primitives that reduce axes, and the normalizing ones built on a reduction.

The options are NumPy's. With `where` only the chosen elements take part, and the gradient of the
others is 0, whatever they hold. Rules bring the upstream gradient back to the input's rank with
`spread`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.choices import where as choose
from tinygrad_course.ops.complexes import conjugate
from tinygrad_course.ops.conversion import astype
from tinygrad_course.ops.exponentials import exp
from tinygrad_course.ops.lanes import count, no_out, raw, spread
from tinygrad_course.ops.samples import listed, reductions, values
from tinygrad_course.ops.shaping import broadcast_to
from tinygrad_course.primitive import Op, Sample, Samples, primitive

_MASK = np.array([[True, False, True, True], [False, False, True, True], [False, True, True, True]])


def _with_masks(samples: Samples, shape: tuple[int, ...] = (3, 4), **params: Any) -> Samples:
    """Return the same samples and some with `where`."""

    def more(rng: np.random.Generator) -> Iterator[Sample]:
        yield from samples(rng)
        cases: list[dict[str, Any]] = [
            {"where": _MASK},
            {"axis": 0, "where": _MASK, "keepdims": True},
            {"axis": (1, 0), "where": _MASK[2]},
            {"axis": -1, "where": _MASK[:, 2:3]},
        ]
        for case in cases:
            yield (values(rng, shape, -2.0, 2.0),), {**case, **params}

    return more


def _filled(samples: Samples) -> Samples:
    """Return the samples whose input is not empty: an extreme needs an element to choose."""
    return lambda rng: ((arrays, p) for arrays, p in samples(rng) if arrays[0].size)


def kept(piece: Any, where: Any) -> Any:
    """Set to 0 what the mask leaves out."""
    return piece if where is True else choose(where, piece, 0.0)


def counts(shape: tuple[int, ...], axis: Any, where: Any) -> Any:
    """Return how many elements each result comes from: a number, or an array if masked."""
    if where is True:
        return count(shape, axis)
    return np.add.reduce(np.broadcast_to(where, shape), axis=axis, keepdims=True, dtype=np.intp)


# ---- sums ----------------------------------------------------------------------------------


def _sum(
    x: Any,
    *,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    if initial is None and where is True:
        return np.add.reduce(x, axis=axis, dtype=dtype, out=no_out(out), keepdims=keepdims)
    start = 0 if initial is None else initial
    options: dict[str, Any] = {"keepdims": keepdims, "initial": start, "where": where}
    return np.add.reduce(x, axis, dtype, no_out(out), **options)


def sum_rule(
    g: Any, _ans: Any, _x: Any, *, shapes: Any, axis: Any = None, where: Any = True, **_options: Any
) -> Any:
    """Return g at every element that takes part."""
    return broadcast_to(kept(spread(g, shapes[0], axis), where), shape=shapes[0])


reduce_sum: Op = primitive(
    "sum",
    _sum,
    _with_masks(reductions(), initial=0.5),
    sum_rule,
    numpy=(np.sum,),
    doc="""Sum over `axis` (all axes by default): every element's derivative is 1.

    `dtype` is what the sum is computed in, `initial` a number to start from.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sum(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
        Tensor([4., 6.])
    """,
)


def _mean(
    x: Any,
    *,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    where: Any = True,
) -> Any:
    plain = where is True and dtype is None and out is None and x.dtype.kind == "f"
    if not plain or x.itemsize < 4 or not 0 < x.size < 1 << 24:
        return np.mean(x, axis, dtype, no_out(out), keepdims, where=where)
    # Its own arithmetic without the bookkeeping, which takes longer than a short sum. Whole
    # numbers and float16 are widened there, and more than 2**24 elements do not fit into float32.
    return np.add.reduce(x, axis=axis, keepdims=keepdims) / count(x.shape, axis)


def mean_rule(
    g: Any, _ans: Any, _x: Any, *, shapes: Any, axis: Any = None, where: Any = True, **_options: Any
) -> Any:
    """Return g/n at each of the n elements that take part."""
    (shape,) = shapes
    n = counts(shape, axis, where)
    g = spread(g, shape, axis)
    # An integer array would turn float32 into float64.
    share = g / max(n, 1) if where is True else kept(g / np.maximum(n, 1).astype(g.dtype), where)
    return broadcast_to(share, shape=shape)


reduce_mean: Op = primitive(
    "mean",
    _mean,
    _with_masks(reductions()),
    mean_rule,
    numpy=(np.mean,),
    doc="""Average over `axis`; every element's derivative is 1/n.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.mean(tc.Tensor([1.0, 2.0, 6.0]))
        Tensor(3.)
    """,
)


# ---- variance ------------------------------------------------------------------------------


def _scale(
    shape: tuple[int, ...], axis: Any, where: Any, ddof: float, correction: Any, dtype: Any
) -> Any:
    """Return 1 / (n - ddof), nan where there are too few elements for it."""
    freedom = counts(shape, axis, where) - (ddof if correction is None else correction)
    if where is True:
        return 1 / freedom if freedom > 0 else float("nan")
    return (1 / np.where(freedom > 0, freedom, np.nan)).astype(dtype)


def _deviation(
    x: Any, mean: Any, *, axis: Any = None, dtype: Any = None, where: Any = True, **_options: Any
) -> Any:
    """Return the conjugate of x - mean, 0 where the mask leaves an element out."""
    if dtype is not None:
        x = astype(x, dtype=np.dtype(dtype))
    if mean is None and where is True and x.size:
        mean = reduce_mean(x, axis=axis, keepdims=True)
    elif mean is None:  # where nothing takes part, NumPy's mean would warn once more
        n = np.maximum(counts(x.shape, axis, where), 1).astype(x.dtype)
        mean = reduce_sum(x, axis=axis, keepdims=True, where=where) / n
    centred = kept(x - mean, where)
    return conjugate(centred) if centred.dtype.kind == "c" else centred


def var_rule(
    g: Any,
    _ans: Any,
    x: Any,
    mean: Any = None,
    *,
    axis: Any = None,
    ddof: float = 0,
    where: Any = True,
    correction: Any = None,
    **options: Any,
) -> Any:
    """Return g 2 conj(x - mean) / (n - ddof)."""
    deviation = _deviation(x, mean, axis=axis, where=where, **options)
    scale = _scale(x.shape, axis, where, ddof, correction, g.dtype)
    return kept(spread(g, x.shape, axis) * deviation * (2 * scale), where)


def _constant(x: Any, axis: Any, where: Any) -> Any:
    """Return in which lanes all elements that take part are equal, with the axes kept."""
    parts = (x.real, x.imag) if x.dtype.kind == "c" else (x,)
    same: Any = True
    for part in parts:
        high = np.max(part, axis, keepdims=True, initial=-np.inf, where=where)
        low = np.min(part, axis, keepdims=True, initial=np.inf, where=where)
        same = same & (high <= low)
    return same


def std_rule(
    g: Any,
    ans: Any,
    x: Any,
    mean: Any = None,
    *,
    axis: Any = None,
    ddof: float = 0,
    where: Any = True,
    correction: Any = None,
    **options: Any,
) -> Any:
    """Return g conj(x - mean) / (std (n - ddof)), and 0 where all elements are equal."""
    deviation = _deviation(x, mean, axis=axis, where=where, **options)
    scale = _scale(x.shape, axis, where, ddof, correction, g.dtype)
    ans = spread(ans, x.shape, axis)
    # The mean of equal numbers may be off by a rounding error, and the deviation then not be 0.
    flat = raw(ans) == 0
    if mean is None:
        flat = flat | _constant(raw(x), axis, where)
    return choose(flat, 0.0, spread(g, x.shape, axis) * deviation * scale / choose(flat, 1.0, ans))


def _deviations(function: Any) -> Any:
    """Return np.var or np.std as the forward function of a row."""

    def forward(
        x: Any,
        *,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        where: Any = True,
        correction: Any = None,
    ) -> Any:
        ddof = ddof if correction is None else correction
        return function(x, axis, dtype, no_out(out), ddof, keepdims, where=where)

    return forward


def _deviations_about(function: Any) -> Any:
    """Return np.var or np.std about a given mean."""

    def forward(
        x: Any,
        mean: Any,
        *,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        where: Any = True,
        correction: Any = None,
    ) -> Any:
        ddof = ddof if correction is None else correction
        return function(x, axis, dtype, no_out(out), ddof, keepdims, where=where, mean=mean)

    return forward


_SPREAD = _with_masks(
    listed(
        (((3,),), {}),
        (((3, 4),), {"axis": None, "keepdims": True, "ddof": 0}),
        (((3, 4),), {"axis": 0, "keepdims": False, "ddof": 1}),
        (((3, 4),), {"axis": -1, "keepdims": True, "ddof": 1.5}),
        (((2, 3, 4),), {"axis": (0, 2), "correction": 1}),
        (((2, 0),), {"axis": 0}),
    )
)


def _about_means(rng: np.random.Generator) -> Iterator[Sample]:
    yield (values(rng, (3,), -2, 2), values(rng, (1,), -1, 1)), {"axis": 0}
    yield (values(rng, (3, 4), -2, 2), values(rng, (3, 1), -1, 1)), {"axis": 1, "ddof": 1}
    yield (values(rng, (3, 4), -2, 2), values(rng, (1, 1), -1, 1)), {"keepdims": True}
    yield (
        (values(rng, (3, 4), -2, 2), values(rng, (1, 4), -1, 1)),
        {"axis": 0, "where": _MASK, "correction": 0.5},
    )


reduce_var: Op = primitive(
    "var",
    _deviations(np.var),
    lambda rng: (*_SPREAD(rng), ((values(rng, (2, 1), -2, 2),), {"axis": 1})),
    var_rule,
    doc="""Take the variance over `axis`: derivative 2 (x - mean) / (n - ddof).""",
)

var_about: Op = primitive(
    "var_about",
    _deviations_about(np.var),
    _about_means,
    var_rule,
    lambda g, ans, x, mean, **params: -var_rule(g, ans, x, mean, **params),
    doc="""Take the mean square distance from a given mean, over `axis`.""",
)

reduce_std: Op = primitive(
    "std",
    _deviations(np.std),
    _SPREAD,
    std_rule,
    doc="""Take the standard deviation: derivative (x - mean) / (std (n - ddof)).""",
)

std_about: Op = primitive(
    "std_about",
    _deviations_about(np.std),
    _about_means,
    std_rule,
    lambda g, ans, x, mean, **params: -std_rule(g, ans, x, mean, **params),
    doc="""Take the root of the mean square distance from a given mean, over `axis`.""",
)


# ---- extremes ------------------------------------------------------------------------------


def extreme_rule(
    g: Any,
    ans: Any,
    x: Any,
    *,
    axis: Any = None,
    initial: Any = None,
    where: Any = True,
    **_options: Any,
) -> Any:
    """Share g equally among the elements that are the extreme."""
    elements, best = raw(x), raw(spread(ans, x.shape, axis))
    chosen = elements == best
    if where is not True:
        chosen &= where
    ties = np.add.reduce(chosen, axis=axis, keepdims=True)
    if initial is not None:  # it is one more element to choose from
        ties = np.maximum(ties + (best == initial), 1)
    elif not ties.all():  # a nan makes the result nan, and takes the gradient
        chosen = chosen | (np.isnan(elements) & np.isnan(best) & where)
        ties = np.maximum(np.add.reduce(chosen, axis=axis, keepdims=True), 1)
    # Division by an array of the gradient's own dtype: an integer count would upcast float32.
    return spread(g, x.shape, axis) * chosen / ties.astype(g.dtype)


def _extreme(ufunc: Any) -> Any:
    def forward(
        x: Any,
        *,
        axis: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        if where is True:
            return ufunc.reduce(x, axis, None, no_out(out), keepdims, initial)
        return ufunc.reduce(x, axis, None, no_out(out), keepdims, initial, where)

    return forward


def _extremes(rng: np.random.Generator) -> Iterator[Sample]:
    yield from _filled(reductions())(rng)
    for start in (-3.0, 0.01, 3.0):
        yield (values(rng, (3, 4), -2, 2),), {"axis": 1, "initial": start, "where": _MASK}
    yield (np.zeros((2, 0)),), {"axis": 1, "initial": 0.0}


reduce_max: Op = primitive(
    "max",
    _extreme(np.maximum),
    _extremes,
    extreme_rule,
    numpy=(np.max, np.amax),
    expects="at least one element to choose from, or initial=",
    doc="""Take the maximum over `axis`; tied elements share the gradient equally.

    `initial` is one more element to choose from, `where` needs it. A nan makes the result nan, and
    takes the gradient.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.max(tc.Tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1)
        Tensor([5., 3.])
    """,
)

reduce_min: Op = primitive(
    "min",
    _extreme(np.minimum),
    _extremes,
    extreme_rule,
    numpy=(np.min, np.amin),
    expects="at least one element to choose from, or initial=",
    doc="""Take the minimum over `axis`; tied elements share the gradient equally.

    `initial` is one more element to choose from, `where` needs it. A nan makes the result nan, and
    takes the gradient.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.min(tc.Tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1)
        Tensor([1., 2.])
    """,
)


# ---- without derivative --------------------------------------------------------------------


def place(function: Any, text: str) -> Any:
    """Register one of NumPy's four functions that return the index of an extreme."""
    largest = "max" in function.__name__
    places = "Tensor([1, 0])" if largest else "Tensor([0, 1])"
    return primitive(
        function.__name__,
        lambda x, *, axis=None, out=None, keepdims=False: function(
            x, axis, no_out(out), keepdims=keepdims
        ),
        listed(
            (((3,),), {"axis": None}), (((2, 3),), {"axis": 1}), (((2, 3),), {"keepdims": True})
        ),
        None,
        numpy=(function,),
        expects="at least one number to choose from",
        doc=f"""Return the index of the {text} along `axis`; without derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.{function.__name__}(tc.Tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1)
        {places}
    """,
    )


argmax: Op = place(np.argmax, "maximum")

argmin: Op = place(np.argmin, "minimum")

reduce_all: Op = primitive(
    "all",
    lambda x, *, axis=None, out=None, keepdims=False, where=True: np.all(
        x, axis, no_out(out), keepdims, where=where
    ),
    _with_masks(reductions()),
    None,
    numpy=(np.all,),
    doc="""Return whether all elements along `axis` are true; without derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> bool(tc.all(tc.Tensor([1.0, 2.0]) > 0))
        True
    """,
)

reduce_any: Op = primitive(
    "any",
    lambda x, *, axis=None, out=None, keepdims=False, where=True: np.any(
        x, axis, no_out(out), keepdims, where=where
    ),
    _with_masks(reductions()),
    None,
    numpy=(np.any,),
    doc="""Return whether any element along `axis` is true; without derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> bool(tc.any(tc.Tensor([1.0, 2.0]) > 5))
        False
    """,
)

count_nonzero: Op = primitive(
    "count_nonzero",
    # An array or NumPy scalar: before NumPy 2.3 a count over all axes was Python's.
    lambda x, *, axis=None, keepdims=False: np.asarray(
        np.count_nonzero(x, axis, keepdims=keepdims)
    )[()],
    listed(
        (((3,),), {}), (((2, 3),), {"axis": 1}), (((2, 3),), {"axis": (0, 1), "keepdims": True})
    ),
    None,
    numpy=(np.count_nonzero,),
    doc="""Count the elements along `axis` that are not 0; without derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.count_nonzero(tc.Tensor([[1.0, 0.0], [3.0, 2.0]]), axis=1)
        Tensor([1, 2])
    """,
)

nonzero_places: Op = primitive(
    "nonzero",
    lambda x: np.nonzero(x),  # noqa: PLW0108 - a row's input is an array, NumPy's perhaps more
    listed((((3,),), {}), (((2, 3),), {}), ((np.array([[0.0, 1.0], [2.0, 0.0]]),), {})),
    None,
    numpy=(np.nonzero,),
    outputs=-1,
    expects="at least one axis",
    doc="""Return the indices of the elements that are not 0, one array for each axis.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.nonzero(tc.Tensor([0.0, 5.0, 3.0]))
        (Tensor([1, 2]),)
    """,
)

argwhere: Op = primitive(
    "argwhere",
    lambda x: np.argwhere(x),  # noqa: PLW0108 - the same
    listed((((3,),), {}), (((2, 3),), {}), ((np.array([[0.0, 1.0], [2.0, 0.0]]),), {})),
    None,
    numpy=(np.argwhere,),
    doc="""Return the indices of the elements that are not 0, one row for each; no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.argwhere(tc.Tensor([0.0, 5.0, 3.0]))
        Tensor([[1],
                [2]])
    """,
)

flatnonzero: Op = primitive(
    "flatnonzero",
    lambda x: np.flatnonzero(x),  # noqa: PLW0108 - the same
    listed((((3,),), {}), (((2, 3),), {}), ((np.array([[0.0, 1.0], [2.0, 0.0]]),), {})),
    None,
    numpy=(np.flatnonzero,),
    doc="""Return the indices, in the flattened array, of the elements that are not 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.flatnonzero(tc.Tensor([[0.0, 5.0], [3.0, 0.0]]))
        Tensor([1, 2])
    """,
)

# ---- exponentials, shifted by the maximum so that none overflows -----------------------------


def _shift(x: Any, axis: Any) -> Any:
    # Real, so that the imaginary part of a complex logarithm stays within ±π.
    size = x.real if x.dtype.kind == "c" else x
    top = np.maximum.reduce(size, axis=axis, keepdims=True)
    return np.where(np.isfinite(top), top, 0)  # -inf everywhere must give -inf, not nan


def _logsumexp(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    top = _shift(x, axis)
    total = np.add.reduce(np.exp(x - top), axis=axis, keepdims=True)
    with np.errstate(divide="ignore"):
        ans = np.log(total) + top
    return ans if keepdims else ans.reshape(np.add.reduce(x, axis=axis).shape)


def _logsumexp_rule(g: Any, ans: Any, x: Any, *, axis: Any = None, **_options: Any) -> Any:
    top = spread(raw(ans), x.shape, axis)
    infinite = np.isinf(top)
    if not infinite.any():  # not exp(x - ans): for large x the rounding of ans would show
        return spread(g, x.shape, axis) * softmax_along(x, axis=axis)
    # Where all elements are -inf, none of them can move the result. Those that are inf take it all.
    chosen = (raw(x) == top) & (top == np.inf)
    ties = np.maximum(np.add.reduce(chosen, axis=axis, keepdims=True), 1).astype(g.dtype)
    slope = choose(infinite, chosen / ties, softmax_along(choose(infinite, 0.0, x), axis=axis))
    return spread(g, x.shape, axis) * slope


logsumexp_over: Op = primitive(
    "logsumexp",
    _logsumexp,
    _filled(reductions()),
    _logsumexp_rule,
    expects="at least one element",
    doc="""Take log(sum(exp(x))) over `axis` without overflow: derivative softmax(x).""",
)


def _softmax(x: Any, *, axis: Any) -> Any:
    if not x.size:  # there is no maximum to take
        return np.exp(x)
    e = np.exp(x - np.maximum.reduce(x, axis=axis, keepdims=True))
    return e / np.add.reduce(e, axis=axis, keepdims=True)


_NORMALIZING = listed(
    (((3,),), {"axis": 0}),
    (((2, 3),), {"axis": -1}),
    (((2, 3),), {"axis": 0}),
    (((2, 3, 2),), {"axis": 1}),
    (((2, 1),), {"axis": 1}),
    (((0, 3),), {"axis": 1}),
    (((2, 0),), {"axis": 1}),
    (((2, 3),), {"axis": (0, 1)}),
    (((2, 3),), {"axis": None}),
)

softmax_along: Op = primitive(
    "softmax",
    _softmax,
    _NORMALIZING,
    lambda g, ans, _x, *, axis: ans * (g - reduce_sum(g * ans, axis=axis, keepdims=True)),
    doc="""Turn scores into probabilities along `axis`: a = e**x / sum(e**x).""",
)


def _log_softmax(x: Any, *, axis: Any) -> Any:
    if not x.size:
        return np.exp(x)
    z = x - np.maximum.reduce(x, axis=axis, keepdims=True)
    return z - np.log(np.add.reduce(np.exp(z), axis=axis, keepdims=True))


log_softmax_along: Op = primitive(
    "log_softmax",
    _log_softmax,
    _NORMALIZING,
    lambda g, ans, _x, *, axis: g - exp(ans) * reduce_sum(g, axis=axis, keepdims=True),
    doc="""Take the logarithm of softmax along `axis` without losing digits.""",
)


__all__ = [
    "argmax",
    "argmin",
    "argwhere",
    "count_nonzero",
    "flatnonzero",
    "log_softmax_along",
    "logsumexp_over",
    "nonzero_places",
    "reduce_all",
    "reduce_any",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_std",
    "reduce_sum",
    "reduce_var",
    "softmax_along",
    "std_about",
    "var_about",
]
