"""NumPy's functions that join and cut arrays, and those that apply a function piece by piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, ShapeError, UnsupportedFunctionError
from tinygrad_course.functions.shapes import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    expand_dims,
    moveaxis,
)
from tinygrad_course.functions.words import implements
from tinygrad_course.graph import Value
from tinygrad_course.ops.joining import unstack


def no_out(name: str, out: Any) -> None:
    """Refuse an `out` that NumPy's protocol has not taken care of."""
    if out is not None:
        raise UnsupportedFunctionError(
            f"{name}: out= works by keyword in NumPy's own function, np.{name}(..., out=t)"
        )


def _several(name: str, xs: Any) -> tuple[Any, ...]:
    parts = tuple(xs)
    if not parts:
        raise ArgumentError(f"{name}: got no arrays; expected a sequence of at least one")
    return parts


def _conversion(dtype: Any, casting: Any) -> dict[str, Any]:
    """Return what NumPy's options of joining are, beside the axis, if they are not its defaults."""
    options = {} if dtype is None else {"dtype": np.dtype(dtype)}
    return options if casting == "same_kind" else {**options, "casting": casting}


# ---- joining -------------------------------------------------------------------------------


@implements(np.concatenate)  # np.concat is the same function
def concatenate(
    xs: Sequence[Any],
    /,
    axis: int | None = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: Any = "same_kind",
) -> Any:
    """Join arrays along an axis; None joins them flattened.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.concatenate([tc.Tensor([1.0]), [2.0, 3.0]])
        Tensor([1., 2., 3.])
    """
    no_out("concatenate", out)
    parts = _several("concatenate", xs)
    return ops.concatenate_all(*parts, axis=axis, **_conversion(dtype, casting))


concat = concatenate


@implements(np.stack)
def stack(
    xs: Sequence[Any],
    axis: int = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: Any = "same_kind",
) -> Any:
    """Join arrays of one shape along a new axis.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.stack([tc.Tensor([1.0, 2.0]), [3.0, 4.0]]).shape
        (2, 2)
    """
    no_out("stack", out)
    return ops.stack_all(*_several("stack", xs), axis=axis, **_conversion(dtype, casting))


@implements(np.vstack)
def vstack(xs: Sequence[Any], *, dtype: Any = None, casting: Any = "same_kind") -> Any:
    """Join rows, and matrices one below the other.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.vstack([tc.Tensor([1.0, 2.0]), [[3.0, 4.0]]]).shape
        (2, 2)
    """
    parts = [atleast_2d(x) for x in _several("vstack", xs)]
    return ops.concatenate_all(*parts, axis=0, **_conversion(dtype, casting))


@implements(np.hstack)
def hstack(xs: Sequence[Any], *, dtype: Any = None, casting: Any = "same_kind") -> Any:
    """Join vectors end to end, and matrices side by side.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.hstack([tc.Tensor([1.0, 2.0]), [3.0]])
        Tensor([1., 2., 3.])
    """
    parts = [atleast_1d(x) for x in _several("hstack", xs)]
    axis = 0 if np.ndim(parts[0]) == 1 else 1
    return ops.concatenate_all(*parts, axis=axis, **_conversion(dtype, casting))


@implements(np.dstack)
def dstack(xs: Sequence[Any]) -> Any:
    """Join along the third axis.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.dstack([tc.Tensor([1.0, 2.0]), [3.0, 4.0]]).shape
        (1, 2, 2)
    """
    return ops.concatenate_all(*[atleast_3d(x) for x in _several("dstack", xs)], axis=2)


@implements(np.column_stack)
def column_stack(xs: Sequence[Any]) -> Any:
    """Join vectors as columns, and matrices side by side.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.column_stack([tc.Tensor([1.0, 2.0]), [3.0, 4.0]])
        Tensor([[1., 3.],
                [2., 4.]])
    """
    parts = [
        ops.reshape(x, shape=(-1, 1)) if np.ndim(x) < 2 else x for x in _several("column_stack", xs)
    ]
    return ops.concatenate_all(*parts, axis=1)


@implements(np.append)
def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """Join `values` to the end of an array; without an axis both are flattened first.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.append(tc.Tensor([1.0]), [2.0, 3.0])
        Tensor([1., 2., 3.])
    """
    return ops.concatenate_all(x, values, axis=axis)


@implements(np.block)
def block(arrays: Any) -> Any:
    """Build an array from nested lists of blocks: the innermost lists are joined side by side.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.block([[tc.Tensor([[1.0]]), 2.0], [3.0, 4.0]])
        Tensor([[1., 2.],
                [3., 4.]])
    """
    depth = _depth(arrays)
    rank = max([depth, *(np.ndim(leaf) for leaf in _leaves(arrays))])
    result = _joined(arrays, depth, rank)
    return ops.copy(result) if depth == 0 else result


def _leaves(arrays: Any) -> Iterator[Any]:
    if isinstance(arrays, list):
        for part in arrays:
            yield from _leaves(part)
    else:
        yield arrays


def _depth(arrays: Any) -> int:
    """Return how deep the lists are nested, which must be the same everywhere."""
    if isinstance(arrays, tuple):
        raise ArgumentError("block: got a tuple; only lists say how blocks are arranged")
    if not isinstance(arrays, list):
        return 0
    if not arrays:
        raise ArgumentError("block: got an empty list; expected at least one block")
    first, *others = (_depth(part) for part in arrays)
    for other in others:
        if other != first:
            raise ArgumentError(f"block: lists are nested {first} deep here and {other} deep there")
    return first + 1


def _joined(arrays: Any, depth: int, rank: int) -> Any:
    if depth:
        parts = [_joined(part, depth - 1, rank) for part in arrays]
        return ops.concatenate_all(*parts, axis=-depth)
    shape = np.shape(arrays)
    return ops.reshape(arrays, shape=(1,) * (rank - len(shape)) + shape)


# ---- cutting -------------------------------------------------------------------------------


def _cut(name: str, x: Any, places: Any, axis: int, *, equal: bool) -> list[Any]:
    shape = np.shape(x)
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"{name}: axis {axis} does not exist in shape {shape}")
    size = shape[axis]
    if np.ndim(places) == 0:
        sections = int(places)
        if sections < 1 or (equal and size % sections):
            raise ShapeError(f"{name}: {size} elements along axis {axis} do not divide by {places}")
        short, longer = divmod(size, sections)
        lengths = [short + 1] * longer + [short] * (sections - longer)
        indices = tuple(int(end) for end in np.cumsum(lengths[:-1]))
    else:
        indices = tuple(int(i) for i in places)
    ends = (0, *indices, size)
    if list(ends) == sorted(ends):
        return list(ops.split_at(x, sections=indices, axis=axis))
    # NumPy cuts slices also where its sections overlap, go backwards or leave the range.
    before = (slice(None),) * (axis % len(shape))
    pairs = pairwise((*ends[:-1], None))
    return [ops.getitem(x, key=(*before, slice(start, stop))) for start, stop in pairs]


@implements(np.split)
def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Cut into equal sections, or before each of the given indices; returns a list.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.split(tc.Tensor([1.0, 2.0, 3.0, 4.0]), 2)
        [Tensor([1., 2.]), Tensor([3., 4.])]
    """
    return _cut("split", x, indices_or_sections, axis, equal=True)


@implements(np.array_split)
def array_split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Cut as `split`, into sections that need not be equal; the first ones are longer.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.array_split(tc.Tensor([1.0, 2.0, 3.0]), 2)
        [Tensor([1., 2.]), Tensor([3.])]
    """
    return _cut("array_split", x, indices_or_sections, axis, equal=False)


@implements(np.hsplit)
def hsplit(x: Any, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """Cut vertically: along the second axis, or along the only one of a vector.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.hsplit(tc.Tensor([[1.0, 2.0]]), 2)
        [Tensor([[1.]]), Tensor([[2.]])]
    """
    return _cut("hsplit", x, indices_or_sections, 0 if np.ndim(x) == 1 else 1, equal=True)


@implements(np.vsplit)
def vsplit(x: Any, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """Cut a matrix, or an array of more axes, along the first axis.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.vsplit(tc.Tensor([[1.0], [2.0]]), 2)
        [Tensor([[1.]]), Tensor([[2.]])]
    """
    if np.ndim(x) < 2:
        raise ShapeError(f"vsplit: got shape {np.shape(x)}, expected at least two axes")
    return _cut("vsplit", x, indices_or_sections, 0, equal=True)


@implements(np.dsplit)
def dsplit(x: Any, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """Cut along the third axis.

    Example:
        >>> import tinygrad_course as tc
        >>> [part.shape for part in tc.dsplit(tc.Tensor([[[1.0, 2.0]]]), 2)]
        [(1, 1, 1), (1, 1, 1)]
    """
    return _cut("dsplit", x, indices_or_sections, 2, equal=True)


# ---- grids ---------------------------------------------------------------------------------


@implements(np.meshgrid)
def meshgrid(
    *xs: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Any, ...]:
    """Return the coordinates of a grid over vectors: one array for each of them, as a tuple.

    With "xy" the first vector runs along the second axis, as in a picture; with "ij" along the
    first. `sparse` leaves the sizes of the other axes at 1.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.meshgrid(tc.Tensor([1.0, 2.0]), [5.0])[0]
        Tensor([[1., 2.]])
    """
    if indexing not in {"xy", "ij"}:
        raise ArgumentError(f'meshgrid: got indexing={indexing!r}, expected "xy" or "ij"')
    axes = list(range(len(xs)))
    if indexing == "xy":
        axes[:2] = axes[:2][::-1]
    rank = len(xs)
    grids = [
        ops.reshape(x, shape=tuple(-1 if i == axis else 1 for i in range(rank)))
        for x, axis in zip(xs, axes, strict=True)
    ]
    if not sparse:
        shape = np.broadcast_shapes(*(np.shape(grid) for grid in grids))
        grids = [ops.broadcast_to(grid, shape=shape) for grid in grids]
    return tuple(ops.copy(grid) if copy else grid for grid in grids)


@implements(np.ix_)
def ix_(*xs: Any) -> tuple[Any, ...]:
    """Return vectors of indices as an open grid: ``x[ix_(rows, columns)]`` is a block of x.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> x[tc.ix_([1, 0], [1])]
        Tensor([[4.],
                [2.]])
    """
    grid = []
    for axis, x in enumerate(xs):
        vector: Any = x if isinstance(x, Value) else ops.positions(x)
        if vector.ndim != 1:
            raise ShapeError(f"ix_: got shape {vector.shape}, expected vectors")
        if vector.dtype.kind == "b":
            (vector,) = np.nonzero(vector._data if isinstance(vector, Value) else vector)
        shape = tuple(-1 if i == axis else 1 for i in range(len(xs)))
        grid.append(ops.reshape(vector, shape=shape))
    return tuple(grid)


# ---- piece by piece ------------------------------------------------------------------------


@implements(np.apply_along_axis)
def apply_along_axis(
    func1d: Callable[..., Any], axis: int, x: Any, *args: Any, **kwargs: Any
) -> Any:
    """Call a function on every vector along an axis, and put its results there.

    The function takes a vector and returns an array of any shape, the same for every vector. It is
    a loop in Python: a function that takes an axis is many times faster.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.apply_along_axis(lambda row: row[0] * row[1], 1, tc.Tensor([[1.0, 2.0], [3.0, 4.0]]))
        Tensor([ 2., 12.])
    """
    moved = moveaxis(x, source=axis, destination=-1)
    *others, length = moved.shape
    count = math.prod(others)
    if not count:
        raise ShapeError(f"apply_along_axis: shape {np.shape(x)} has no vectors along axis {axis}")
    rows = unstack(ops.reshape(moved, shape=(count, length)))
    results = ops.stack_all(*[func1d(row, *args, **kwargs) for row in rows])
    own = results.ndim - 1
    results = ops.reshape(results, shape=(*others, *results.shape[1:]))
    place = axis % np.ndim(x)
    source = tuple(range(len(others), len(others) + own))
    return moveaxis(results, source=source, destination=tuple(range(place, place + own)))


@implements(np.apply_over_axes)
def apply_over_axes(func: Callable[[Any, int], Any], x: Any, axes: Any) -> Any:
    """Call ``func(x, axis)`` for one axis after the other; axes that it removes stay with size 1.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.apply_over_axes(tc.sum, tc.Tensor([[1.0, 2.0], [3.0, 4.0]]), (0, 1))
        Tensor([[10.]])
    """
    value: Any = x if isinstance(x, Value) else np.asarray(x)
    rank = value.ndim
    for axis in np.ravel(axes).tolist():
        result = func(value, axis % rank if axis < 0 else axis)
        if np.ndim(result) != rank:
            result = expand_dims(result, axis % rank if axis < 0 else axis)
        if np.ndim(result) != rank:
            raise ShapeError(
                f"apply_over_axes: the function made shape {np.shape(result)} of {value.shape}; "
                f"expected as many axes, or one less"
            )
        value = result
    return value


__all__ = [
    "append",
    "apply_along_axis",
    "apply_over_axes",
    "array_split",
    "block",
    "column_stack",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "ix_",
    "meshgrid",
    "split",
    "stack",
    "unstack",
    "vsplit",
    "vstack",
]
