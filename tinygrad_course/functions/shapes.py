"""NumPy's functions that give the same elements another shape, other axes or another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.functions.words import Axis, implements
from tinygrad_course.graph import Value
from tinygrad_course.ops.picking import repeat, resize
from tinygrad_course.ops.shaping import flip, moveaxis, roll, rot90, swapaxes, tile, tril, triu


def _shape(shape: Any) -> tuple[int, ...]:
    single = isinstance(shape, int) or np.ndim(shape) == 0
    return (int(shape),) if single else tuple(int(n) for n in shape)


def _layout(x: Any) -> Any:
    """Return the array whose memory decides what order="A" or "K" means."""
    return x._data if isinstance(x, Value) else np.asarray(x)


def _order(name: str, x: Any, order: Any) -> str:
    """Return the order of reading, "C" or "F", that `order` means for x."""
    known = str(order).upper()
    if known in {"C", "F"}:
        return known
    if known != "A":
        raise ArgumentError(f'{name}: got order={order!r}, expected "C", "F" or "A"')
    return "F" if _layout(x).flags.fnc else "C"


@implements(np.reshape)
def reshape(x: Any, /, shape: Any, order: Any = "C", *, copy: bool | None = None) -> Any:
    """Give the elements another shape; one size may be -1.

    `order` is the order in which the elements are read and placed: "C" (the last axis runs
    fastest), "F" (the first one does) or "A" ("F" if x lies in memory so). ``copy=True`` always
    copies, ``copy=False`` never does and fails where a copy is needed (NumPy 2.1 and newer).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.reshape(tc.Tensor([1.0, 2.0, 3.0, 4.0]), (2, -1))
        Tensor([[1., 2.],
                [3., 4.]])
    """
    if order == "C" and copy is None:
        return ops.reshape(x, shape=_shape(shape))
    options = {} if copy is None else {"copy": copy}
    return ops.reshape(x, shape=_shape(shape), order=_order("reshape", x, order), **options)


@implements(np.ravel)
def ravel(x: Any, order: Any = "C") -> Any:
    """Return the elements as a vector.

    `order` is as in `reshape`, or "K": as they lie in memory.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.ravel(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]), order="F")
        Tensor([1., 3., 2., 4.])
    """
    if order == "C":
        return ops.reshape(x, shape=(-1,))
    if str(order).upper() == "K":
        strides = [abs(step) for step in _layout(x).strides]
        axes = sorted(range(len(strides)), key=lambda axis: -strides[axis])
        return ops.reshape(ops.transpose_axes(x, axes=tuple(axes)), shape=(-1,))
    return ops.reshape(x, shape=(-1,), order=_order("ravel", x, order))


# ---- axes ----------------------------------------------------------------------------------


@implements(np.transpose)  # np.permute_dims is the same function
def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """Permute the axes; without `axes` reverse them.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.transpose(tc.Tensor([[1.0, 2.0]])).shape
        (2, 1)
    """
    return ops.transpose_axes(x, axes=None if axes is None else tuple(int(a) for a in axes))


permute_dims = transpose


@implements(np.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """Exchange the last two axes.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.matrix_transpose(tc.Tensor([[[1.0, 2.0]]])).shape
        (1, 2, 1)
    """
    if np.ndim(x) < 2:
        raise ShapeError(f"matrix_transpose: got shape {np.shape(x)}, expected at least two axes")
    return swapaxes(x, axis1=-1, axis2=-2)


@implements(np.rollaxis)
def rollaxis(x: Any, axis: int, start: int = 0) -> Any:
    """Move an axis back until it stands before axis `start`; `moveaxis` is easier to read.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.rollaxis(tc.Tensor([[[1.0, 2.0]]]), 2).shape
        (2, 1, 1)
    """
    rank = np.ndim(x)
    if not -rank <= axis < rank or not -rank <= start <= rank:
        raise ShapeError(f"rollaxis: axis {axis} and start {start} do not fit to {np.shape(x)}")
    axis, start = axis % rank, start + rank if start < 0 else start
    return moveaxis(x, source=axis, destination=start - 1 if axis < start else start)


@implements(np.expand_dims)
def expand_dims(x: Any, axis: Axis) -> Any:
    """Insert axes of size 1 so that they stand at `axis` in the result.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.expand_dims(tc.Tensor([1.0, 2.0]), 0).shape
        (1, 2)
    """
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    rank = np.ndim(x) + len(axes)
    places = {a % rank for a in axes if a is not None and -rank <= a < rank}
    if len(places) != len(axes):
        raise ShapeError(
            f"expand_dims: axis {axis} does not name {len(axes)} different axes of a result "
            f"with {rank}; expected values from {-rank} to {rank - 1}"
        )
    sizes = iter(np.shape(x))
    return ops.reshape(x, shape=tuple(1 if i in places else next(sizes) for i in range(rank)))


@implements(np.squeeze)
def squeeze(x: Any, axis: Axis = None) -> Any:
    """Remove axes of size 1: all of them, or those named.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.squeeze(tc.Tensor([[1.0, 2.0]])).shape
        (2,)
    """
    shape = np.shape(x)
    if axis is None:
        return ops.reshape(x, shape=tuple(n for n in shape if n != 1))
    given = axis if isinstance(axis, tuple) else (axis,)
    outside = [a for a in given if not -len(shape) <= a < len(shape)]
    if outside:
        raise ShapeError(f"squeeze: axis {outside[0]} does not exist in shape {shape}")
    axes = {a % len(shape) for a in given}
    wrong = [a for a in axes if shape[a] != 1]
    if wrong:
        raise ShapeError(
            f"squeeze: axis {wrong[0]} of shape {shape} has size {shape[wrong[0]]}; "
            f"only axes of size 1 can be removed"
        )
    return ops.reshape(x, shape=tuple(n for i, n in enumerate(shape) if i not in axes))


def _at_least(rank: int, xs: tuple[Any, ...]) -> Any:
    """Return one array, or a tuple of several, each with `rank` axes or more."""
    results = []
    for x in xs:
        shape = np.shape(x)
        if len(shape) >= rank:
            results.append(x if isinstance(x, Value) else np.asanyarray(x))
        elif rank == 3 and shape:  # a vector becomes a row, and rows and matrices one layer
            results.append(ops.reshape(x, shape=(1,) * (2 - len(shape)) + shape + (1,)))
        else:
            results.append(ops.reshape(x, shape=(1,) * (rank - len(shape)) + shape))
    return results[0] if len(results) == 1 else tuple(results)


@implements(np.atleast_1d)
def atleast_1d(*xs: Any) -> Any:
    """Give numbers an axis; for several arguments return a tuple.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.atleast_1d(tc.Tensor(2.0))
        Tensor([2.])
    """
    return _at_least(1, xs)


@implements(np.atleast_2d)
def atleast_2d(*xs: Any) -> Any:
    """Make rows of numbers and vectors; for several arguments return a tuple.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.atleast_2d(tc.Tensor([1.0, 2.0])).shape
        (1, 2)
    """
    return _at_least(2, xs)


@implements(np.atleast_3d)
def atleast_3d(*xs: Any) -> Any:
    """Give numbers, vectors and matrices three axes; for several arguments return a tuple.

    A vector of n becomes (1, n, 1), a matrix of (m, n) becomes (m, n, 1).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.atleast_3d(tc.Tensor([1.0, 2.0])).shape
        (1, 2, 1)
    """
    return _at_least(3, xs)


# ---- broadcasting and order ----------------------------------------------------------------


@implements(np.broadcast_to)
def broadcast_to(x: Any, shape: Any, subok: bool = False) -> Any:  # noqa: ARG001 - NumPy's signature
    """Repeat along new axes and axes of size 1, without copying.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.broadcast_to(tc.Tensor([1.0, 2.0]), (3, 2)).shape
        (3, 2)
    """
    return ops.broadcast_to(x, shape=_shape(shape))


@implements(np.broadcast_arrays)
def broadcast_arrays(*xs: Any, subok: bool = False) -> tuple[Any, ...]:  # noqa: ARG001 - the same
    """Bring arrays to the shape that they have together; returns a tuple.

    Example:
        >>> import tinygrad_course as tc
        >>> [x.shape for x in tc.broadcast_arrays(tc.Tensor([[1.0], [2.0]]), [1.0, 2.0, 3.0])]
        [(2, 3), (2, 3)]
    """
    shapes = [np.shape(x) for x in xs]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError as error:
        text = ", ".join(map(str, shapes))
        raise ShapeError(f"broadcast_arrays: the shapes {text} do not broadcast") from error
    return tuple(ops.broadcast_to(x, shape=shape) for x in xs)


@implements(np.flipud)
def flipud(x: Any) -> Any:
    """Reverse the order of the rows.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.flipud(tc.Tensor([[1.0], [2.0]]))
        Tensor([[2.],
                [1.]])
    """
    return flip(x, axis=0)


@implements(np.fliplr)
def fliplr(x: Any) -> Any:
    """Reverse the order of the columns.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.fliplr(tc.Tensor([[1.0, 2.0]]))
        Tensor([[2., 1.]])
    """
    return flip(x, axis=1)


__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_to",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "ravel",
    "repeat",
    "reshape",
    "resize",
    "roll",
    "rollaxis",
    "rot90",
    "squeeze",
    "swapaxes",
    "tile",
    "transpose",
    "tril",
    "triu",
]
