"""NumPy's functions that rearrange, join and cut arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.functions.words import Axis, implements


def _shape(shape: Any) -> tuple[int, ...]:
    return (int(shape),) if np.ndim(shape) == 0 else tuple(int(n) for n in shape)


@implements(np.reshape)
def reshape(x: Any, shape: Any) -> Any:
    """Give the elements another shape; one size may be -1.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.reshape(tc.Tensor([1.0, 2.0, 3.0, 4.0]), (2, -1))
        Tensor([[1., 2.],
                [3., 4.]])
    """
    return ops.reshape(x, shape=_shape(shape))


@implements(np.ravel)
def ravel(x: Any) -> Any:
    """Return the elements as a vector.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.ravel(tc.Tensor([[1.0], [2.0]]))
        Tensor([1., 2.])
    """
    return ops.reshape(x, shape=(-1,))


@implements(np.transpose)
def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """Permute the axes; without `axes` reverse them.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.transpose(tc.Tensor([[1.0, 2.0]])).shape
        (2, 1)
    """
    return ops.transpose_axes(x, axes=None if axes is None else tuple(int(a) for a in axes))


@implements(np.swapaxes)
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.swapaxes(tc.Tensor([[[1.0, 2.0]]]), 0, 2).shape
        (2, 1, 1)
    """
    order = list(range(np.ndim(x)))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return ops.transpose_axes(x, axes=tuple(order))


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


@implements(np.broadcast_to)
def broadcast_to(x: Any, shape: Any) -> Any:
    """Repeat along new axes and axes of size 1, without copying.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.broadcast_to(tc.Tensor([1.0, 2.0]), (3, 2)).shape
        (3, 2)
    """
    return ops.broadcast_to(x, shape=_shape(shape))


def _several(name: str, xs: Any) -> tuple[Any, ...]:
    xs = list(xs)
    if not xs:
        raise ArgumentError(f"{name}: got no arrays; expected a sequence of at least one")
    return tuple(xs)


@implements(np.concatenate)
def concatenate(xs: Sequence[Any], axis: int | None = 0) -> Any:
    """Join arrays along an axis; None joins them flattened.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.concatenate([tc.Tensor([1.0]), [2.0, 3.0]])
        Tensor([1., 2., 3.])
    """
    parts = _several("concatenate", xs)
    if axis is None:
        parts, axis = tuple(ravel(part) for part in parts), 0
    return ops.concatenate_all(*parts, axis=axis)


@implements(np.stack)
def stack(xs: Sequence[Any], axis: int = 0) -> Any:
    """Join arrays of one shape along a new axis.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.stack([tc.Tensor([1.0, 2.0]), [3.0, 4.0]]).shape
        (2, 2)
    """
    return ops.stack_all(*_several("stack", xs), axis=axis)


@implements(np.split)
def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> Any:
    """Cut into equal sections, or before each of the given indices; returns a tuple.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.split(tc.Tensor([1.0, 2.0, 3.0, 4.0]), 2)
        (Tensor([1., 2.]), Tensor([3., 4.]))
    """
    if np.ndim(indices_or_sections) == 0:
        size, sections = np.shape(x)[axis], int(cast("int", indices_or_sections))
        if sections < 1 or size % sections:
            raise ShapeError(
                f"split: {size} elements along axis {axis} do not divide by {sections}"
            )
        step = size // sections
        indices: tuple[int, ...] = tuple(range(step, size, step))
    else:
        indices = tuple(int(i) for i in cast("Sequence[int]", indices_or_sections))
    ends = (0, *indices, np.shape(x)[axis])
    if list(ends) != sorted(ends):
        return tuple(_slice(x, axis, start, stop) for start, stop in pairwise((*ends[:-1], None)))
    return ops.split_at(x, sections=indices, axis=axis)


def _slice(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """Cut as NumPy's split does where its sections overlap, go backwards or leave the range."""
    key = [slice(None)] * np.ndim(x)
    key[axis] = slice(start, stop)
    return ops.getitem(x, key=tuple(key))


__all__ = [
    "broadcast_to",
    "concatenate",
    "expand_dims",
    "ravel",
    "reshape",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "transpose",
]
