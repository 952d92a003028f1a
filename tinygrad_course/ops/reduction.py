"""Primitives that reduce axes, and the normalizing ones built on a reduction.

Rules bring the upstream gradient back to the input's rank with `spread`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course.ops.elementwise import equal, exp
from tinygrad_course.ops.samples import listed, reductions
from tinygrad_course.ops.shaping import broadcast_to, reshape
from tinygrad_course.primitive import Op, primitive


def kept_shape(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """Return `shape` with the reduced axes of size 1, as keepdims=True would leave it."""
    if axis is None:
        return (1,) * len(shape)
    axes = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))} if shape else ()
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def count(shape: tuple[int, ...], axis: Any) -> int:
    """Return how many elements each result of a reduction comes from."""
    kept = kept_shape(shape, axis)
    return int(np.prod([n for n, k in zip(shape, kept, strict=True) if k == 1], dtype=int))


def spread(g: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """Give a reduced array its lost axes back, with size 1."""
    kept = kept_shape(shape, axis)
    return g if g.shape == kept else reshape(g, shape=kept)


def _sum_rule(g: Any, _ans: Any, _x: Any, *, axis: Any, keepdims: bool, shapes: Any) -> Any:  # noqa: ARG001
    return broadcast_to(spread(g, shapes[0], axis), shape=shapes[0])


reduce_sum: Op = primitive(
    "sum",
    lambda x, *, axis=None, keepdims=False: np.add.reduce(x, axis=axis, keepdims=keepdims),
    reductions(),
    _sum_rule,
    doc="""Sum over `axis`: every element's derivative is 1.""",
)


def _mean(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    if not x.size or x.dtype.kind not in "fc" or x.itemsize < 4:
        return np.mean(x, axis=axis, keepdims=keepdims)  # widens whole numbers and float16
    # Otherwise its own arithmetic without the bookkeeping, which takes longer than a short sum.
    total = reduce_sum(x, axis=axis, keepdims=keepdims)
    return total / count(x.shape, axis)


def _mean_rule(g: Any, _ans: Any, _x: Any, *, axis: Any, keepdims: bool, shapes: Any) -> Any:  # noqa: ARG001
    (shape,) = shapes
    return broadcast_to(spread(g / max(count(shape, axis), 1), shape, axis), shape=shape)


reduce_mean: Op = primitive(
    "mean",
    _mean,
    reductions(),
    _mean_rule,
    doc="""Average over `axis`: every element's derivative is 1/n.""",
)


def _var(x: Any, *, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    return np.var(x, axis=axis, ddof=ddof, keepdims=keepdims)


def _var_rule(g: Any, _ans: Any, x: Any, *, axis: Any, keepdims: bool, ddof: float) -> Any:  # noqa: ARG001
    centred = x - reduce_mean(x, axis=axis, keepdims=True)
    return spread(g, x.shape, axis) * centred * (2 / (count(x.shape, axis) - ddof))


reduce_var: Op = primitive(
    "var",
    _var,
    listed(
        (((3,),), {"axis": None, "keepdims": False, "ddof": 0}),
        (((3, 4),), {"axis": None, "keepdims": True, "ddof": 0}),
        (((3, 4),), {"axis": 0, "keepdims": False, "ddof": 1}),
        (((3, 4),), {"axis": -1, "keepdims": True, "ddof": 1}),
        (((2, 3, 4),), {"axis": (0, 2), "keepdims": False, "ddof": 0}),
        (((2, 1),), {"axis": 1, "keepdims": False, "ddof": 0}),
    ),
    _var_rule,
    doc="""Take the variance over `axis`: derivative 2 (x - mean) / (n - ddof).""",
)


def _extreme_rule(g: Any, ans: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:  # noqa: ARG001
    chosen = equal(x, spread(ans, x.shape, axis))
    ties = reduce_sum(chosen, axis=axis, keepdims=True)
    # Division by an array of the gradient's own dtype: an integer count would upcast float32.
    return spread(g, x.shape, axis) * chosen / ties.astype(g.dtype)


reduce_max: Op = primitive(
    "max",
    lambda x, *, axis=None, keepdims=False: np.maximum.reduce(x, axis=axis, keepdims=keepdims),
    lambda rng: ((a, p) for a, p in reductions()(rng) if a[0].size),
    _extreme_rule,
    expects="at least one element to choose from",
    doc="""Take the maximum over `axis`; tied elements share the gradient equally.""",
)

reduce_min: Op = primitive(
    "min",
    lambda x, *, axis=None, keepdims=False: np.minimum.reduce(x, axis=axis, keepdims=keepdims),
    lambda rng: ((a, p) for a, p in reductions()(rng) if a[0].size),
    _extreme_rule,
    expects="at least one element to choose from",
    doc="""Take the minimum over `axis`; tied elements share the gradient equally.""",
)

argmax: Op = primitive(
    "argmax",
    lambda x, *, axis=None: np.argmax(x, axis=axis),
    listed((((3,),), {"axis": None}), (((2, 3),), {"axis": 1})),
    None,
    doc="""Return the index of the maximum along `axis`; without derivative.""",
)

argmin: Op = primitive(
    "argmin",
    lambda x, *, axis=None: np.argmin(x, axis=axis),
    listed((((3,),), {"axis": None}), (((2, 3),), {"axis": 1})),
    None,
    doc="""Return the index of the minimum along `axis`; without derivative.""",
)

reduce_all: Op = primitive(
    "all",
    lambda x, *, axis=None, keepdims=False: np.all(x, axis=axis, keepdims=keepdims),
    reductions(),
    None,
    doc="""Return whether every element along `axis` is true; without derivative.""",
)

reduce_any: Op = primitive(
    "any",
    lambda x, *, axis=None, keepdims=False: np.any(x, axis=axis, keepdims=keepdims),
    reductions(),
    None,
    doc="""Return whether some element along `axis` is true; without derivative.""",
)

# ---- exponentials, shifted by the maximum so that none overflows -----------------------------


def _shift(x: Any, axis: Any) -> Any:
    top = np.maximum.reduce(x, axis=axis, keepdims=True)
    return np.where(np.isfinite(top), top, 0)  # -inf everywhere must give -inf, not nan


def _logsumexp(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    top = _shift(x, axis)
    total = np.add.reduce(np.exp(x - top), axis=axis, keepdims=True)
    with np.errstate(divide="ignore"):
        ans = np.log(total) + top
    return ans if keepdims else ans.reshape(np.add.reduce(x, axis=axis).shape)


def _logsumexp_rule(g: Any, ans: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:  # noqa: ARG001
    return spread(g, x.shape, axis) * exp(x - spread(ans, x.shape, axis))


logsumexp_over: Op = primitive(
    "logsumexp",
    _logsumexp,
    lambda rng: ((a, p) for a, p in reductions()(rng) if a[0].size),
    _logsumexp_rule,
    doc="""Take log(sum(exp(x))) over `axis` without overflow: derivative softmax(x).""",
)


def _softmax(x: Any, *, axis: Any) -> Any:
    e = np.exp(x - np.maximum.reduce(x, axis=axis, keepdims=True))
    return e / np.add.reduce(e, axis=axis, keepdims=True)


_NORMALIZING = listed(
    (((3,),), {"axis": 0}),
    (((2, 3),), {"axis": -1}),
    (((2, 3),), {"axis": 0}),
    (((2, 3, 2),), {"axis": 1}),
    (((2, 1),), {"axis": 1}),
    (((0, 3),), {"axis": 1}),
    (((2, 3),), {"axis": (0, 1)}),
)

softmax_along: Op = primitive(
    "softmax",
    _softmax,
    _NORMALIZING,
    lambda g, ans, _x, *, axis: ans * (g - reduce_sum(g * ans, axis=axis, keepdims=True)),
    doc="""Turn scores into probabilities along `axis`: a = e**x / sum(e**x).""",
)


def _log_softmax(x: Any, *, axis: Any) -> Any:
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
    "log_softmax_along",
    "logsumexp_over",
    "reduce_all",
    "reduce_any",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_sum",
    "reduce_var",
    "softmax_along",
]
