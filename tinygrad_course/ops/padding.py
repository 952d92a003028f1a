"""Primitives that put elements around an array, in all of NumPy's modes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.indexing import getitem
from tinygrad_course.ops.joining import concatenate_all
from tinygrad_course.ops.picking import numbered, sent_back
from tinygrad_course.ops.samples import listed, values
from tinygrad_course.ops.shaping import broadcast_to, moveaxis
from tinygrad_course.primitive import Op, Sample, primitive


def _pairs(pad_width: Any, rank: int) -> list[tuple[int, int]]:
    """Return how much is added before and after each axis."""
    if isinstance(pad_width, dict):
        pairs = np.zeros((rank, 2), int)
        for axis, width in pad_width.items():
            pairs[axis] = width
    else:
        pairs = np.broadcast_to(np.asarray(pad_width).astype(int), (rank, 2))
    return [(int(before), int(after)) for before, after in pairs]


def _pad(x: Any, *, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    return np.pad(x, pad_width, mode, **options)


def _pad_rule(
    g: Any,
    _ans: Any,
    _x: Any,
    *,
    pad_width: Any,
    mode: Any = "constant",
    shapes: Any,
    **options: Any,
) -> Any:
    (shape,) = shapes
    pairs = _pairs(pad_width, len(shape))
    if mode in ("constant", "empty"):
        key = tuple(slice(before, before + n) for (before, _), n in zip(pairs, shape, strict=True))
        return getitem(g, key=key)
    if mode in ("edge", "wrap", "reflect", "symmetric") and options.get("reflect_type") != "odd":
        return sent_back(g, np.pad(numbered(shape), pad_width, mode, **options), shape)
    # The other modes are linear along each axis: padding the unit vectors gives the matrix.
    options.pop("end_values", None)
    for axis, (pair, n) in enumerate(zip(pairs, shape, strict=True)):
        if pair != (0, 0):
            length = options.get("stat_length")
            own: Any = {} if length is None else {"stat_length": _pairs(length, len(shape))[axis]}
            rest = {k: v for k, v in options.items() if k != "stat_length"}
            matrix = np.stack([np.pad(unit, pair, mode, **own, **rest) for unit in np.eye(n)], 1)
            kind = g.real.dtype if g.dtype.kind == "c" else g.dtype
            g = moveaxis(moveaxis(g, axis, -1) @ matrix.astype(kind), -1, axis)
    return g


pad_linear: Op = primitive(
    "pad",
    _pad,
    listed(
        (((3,),), {"pad_width": 2}),
        (((2, 3),), {"pad_width": ((1, 0), (2, 1)), "constant_values": 4.0}),
        (((2, 3),), {"pad_width": (1, 2), "mode": "edge"}),
        (((3,),), {"pad_width": (4, 1), "mode": "wrap"}),
        (((3, 2),), {"pad_width": ((2, 5), (1, 1)), "mode": "reflect"}),
        (((3,),), {"pad_width": (2, 7), "mode": "reflect", "reflect_type": "odd"}),
        (((2, 3),), {"pad_width": ((0, 0), (4, 5)), "mode": "symmetric"}),
        (((3,),), {"pad_width": (5, 4), "mode": "symmetric", "reflect_type": "odd"}),
        (((2, 3),), {"pad_width": 2, "mode": "linear_ramp", "end_values": (1.0, -2.0)}),
        (((2, 3),), {"pad_width": ((1, 2), (0, 1)), "mode": "mean"}),
        (((4, 3),), {"pad_width": 1, "mode": "mean", "stat_length": ((1, 2), (2, 9))}),
        (((0, 2),), {"pad_width": ((1, 1), (0, 1))}),
        (((2, 1),), {"pad_width": 1, "mode": "reflect"}),
    ),
    _pad_rule,
    expects="a width, or one (before, after) for each axis",
    doc="""Put elements around an array, by a mode that is linear in the array.""",
)


def _pad_formula(x: Any, *, pad_width: Any, mode: str, stat_length: Any = None) -> Any:
    rank = x.ndim
    lengths = [(None, None)] * rank if stat_length is None else _pairs(stat_length, rank)
    for axis, (before, after) in enumerate(_pairs(pad_width, rank)):
        n = x.shape[axis]
        first, last = (n if length is None else min(length, n) for length in lengths[axis])
        key = (slice(None),) * axis
        parts = [
            _spread(x[(*key, slice(None, first))], mode, axis, before),
            x,
            _spread(x[(*key, slice(n - last, None))], mode, axis, after),
        ]
        x = concatenate_all(*parts, axis=axis)
    return x


def _spread(chunk: Any, mode: str, axis: int, width: int) -> Any:
    reduce: Any = {"maximum": np.max, "minimum": np.min, "median": np.median}[mode]
    value = reduce(chunk, axis=axis, keepdims=True)
    shape = list(chunk.shape)
    shape[axis] = width
    return broadcast_to(value, shape=tuple(shape))


def _statistics(rng: np.random.Generator) -> Iterator[Sample]:
    yield (values(rng, (4,), -2, 2),), {"pad_width": 2, "mode": "maximum"}
    yield (values(rng, (2, 3), -2, 2),), {"pad_width": ((1, 2), (0, 1)), "mode": "minimum"}
    yield (values(rng, (3, 4), -2, 2),), {"pad_width": 1, "mode": "median"}
    case = {"pad_width": (1, 2), "mode": "maximum", "stat_length": ((2, 1), (1, 2))}
    yield (values(rng, (3, 4), -2, 2),), case


pad_statistic: Op = primitive(
    "pad_statistic",
    _pad,
    _statistics,
    formula=_pad_formula,
    real=True,
    expects="a width, or one (before, after) for each axis",
    doc="""Put maxima, minima or medians around an array.""",
)


__all__ = [
    "pad_linear",
    "pad_statistic",
]
