"""Axes of a reduction: which they are, how to bring them back, and how to make one of several.

A *lane* is what one result of a reduction comes from: a row of the matrix in which the reduced axes
are merged to the last one.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_course.errors import UnsupportedFunctionError
from tinygrad_course.graph import Value
from tinygrad_course.ops.shaping import reshape, transpose_axes


def axes_of(axis: Any, rank: int) -> tuple[int, ...]:
    """Return the axes that `axis` names (None: all of them), counted from 0."""
    if axis is None:
        return tuple(range(rank))
    axes = axis if isinstance(axis, tuple) else (axis,)
    return tuple([int(a) % rank for a in axes]) if rank else ()


def kept_shape(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """Return `shape` with the reduced axes of size 1, as keepdims=True would leave it."""
    if axis is None:
        return (1,) * len(shape)
    axes = axes_of(axis, len(shape))
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def count(shape: tuple[int, ...], axis: Any) -> int:
    """Return how many elements each result of a reduction comes from."""
    return math.prod([shape[a] for a in axes_of(axis, len(shape))])


def spread(g: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """Give a reduced array its lost axes back, with size 1."""
    kept = kept_shape(shape, axis)
    return g if g.shape == kept else reshape(g, shape=kept)


def _order(axis: Any, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    axes = axes_of(axis, rank)
    return tuple([i for i in range(rank) if i not in axes]), axes


def to_lanes(x: Any, axis: Any) -> Any:
    """Return a matrix with one lane in each row."""
    others, axes = _order(axis, x.ndim)
    shape = x.shape
    if others + axes != tuple(range(x.ndim)):
        x = transpose_axes(x, axes=others + axes)
    sizes = math.prod([shape[i] for i in others]), math.prod([shape[i] for i in axes])
    return reshape(x, shape=sizes)


def from_lanes(lanes: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """Undo `to_lanes` for an array of the given shape."""
    others, axes = _order(axis, len(shape))
    order = others + axes
    x = reshape(lanes, shape=tuple([shape[i] for i in order]))
    if order == tuple(range(len(shape))):
        return x
    return transpose_axes(x, axes=tuple([order.index(i) for i in range(len(shape))]))


def raw(x: Any) -> Any:
    """Return the array of a Tensor, for what needs no history: masks, orders, counts."""
    return x._data if isinstance(x, Value) else x


def no_out(out: Any) -> Any:
    """Refuse `out` where it is not NumPy that asks: NumPy's own call writes to it afterwards."""
    if out is not None:
        raise UnsupportedFunctionError(
            "out= is known by NumPy's own functions alone, and by name: write np.sum(t, out=target)"
        )
    return None


__all__ = [
    "axes_of",
    "count",
    "from_lanes",
    "kept_shape",
    "no_out",
    "raw",
    "spread",
    "to_lanes",
]
