"""NumPy's functions that write into their first argument: a Tensor keeps a history of it.

Where nothing is recorded, NumPy's own function writes into the Tensor's memory. Otherwise the
Tensor takes the place of a new result, as with ``t[key] = value``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_course import inplace, ops
from tinygrad_course.buffers import name_line, note_write
from tinygrad_course.errors import (
    ArgumentError,
    DtypeError,
    ShapeError,
    UnsupportedFunctionError,
)
from tinygrad_course.functions.words import implements
from tinygrad_course.graph import Value


def _raw(x: Any) -> Any:
    return x._data if isinstance(x, Value) else x


def _write(
    function: Callable[..., Any],
    target: Any,
    values: Any,
    result: Callable[[], Any],
    call: Callable[[Any, Any], Any],
) -> None:
    """Do ``call(array, values)`` to the target's array, or let the target become ``result()``."""
    name = f"np.{function.__name__}"
    recorded = inplace.records(target, values)
    if not isinstance(target, Value):
        if recorded:
            raise UnsupportedFunctionError(
                f"{name}: the values require grad, and the plain array would lose their history; "
                f"let the target be a Tensor"
            )
        call(target, _raw(values))
        note_write(target, name)
        return
    if isinstance(target._data, np.generic):
        target._data = np.asarray(target._data)  # a NumPy scalar cannot be written into
    if recorded:
        inplace.become(name, target, result())
        return
    call(target._data, _raw(values))
    note_write(target._data, name)
    name_line(target._data)


def _flat_replaced(target: Any, values: Any, index: Any) -> Any:
    """Return the target with elements replaced, which `index` counts through all its axes."""
    shape = np.shape(target)
    flat = ops.replace_at(ops.reshape(target, shape=(-1,)), values, key=index)
    return ops.reshape(flat, shape=shape)


def _cycled(name: str, values: Any, places: Any) -> Any:
    """Return the values at `places`, beginning again where they end."""
    flat = ops.reshape(values, shape=(-1,))
    if not flat.size:
        if len(places):
            raise ArgumentError(f"{name}: got no values for {len(places)} places")
        return flat
    return ops.take_from(flat, indices=places % flat.size)


@implements(np.put)
def put(target: Any, ind: Any, v: Any, mode: Any = "raise") -> None:
    """Write values at indices of the flattened target; too few values begin again.

    Example:
        >>> import tinygrad_course as tc
        >>> t = tc.Tensor([1.0, 2.0, 3.0])
        >>> tc.put(t, [0, 2], 9.0)
        >>> t
        Tensor([9., 2., 9.])
    """
    index = np.ravel(_raw(ind))
    index = index if index.size else index.astype(np.intp)
    size = math.prod(np.shape(target))

    def result() -> Any:
        if mode == "raise" and ((index < -size) | (index >= size)).any():
            raise IndexError(f"np.put: an index is outside a Tensor of {size} elements")
        places = ops.inside(index, size, mode)
        return _flat_replaced(target, _cycled("np.put", v, np.arange(len(places))), places)

    _write(np.put, target, v, result, lambda array, values: np.put(array, index, values, mode))


@implements(np.place)
def place(target: Any, mask: Any, vals: Any) -> None:
    """Write values, one after the other, where a mask is true; too few values begin again.

    Example:
        >>> import tinygrad_course as tc
        >>> t = tc.Tensor([1.0, 2.0, 3.0])
        >>> tc.place(t, t > 1, [7.0, 8.0])
        >>> t
        Tensor([1., 7., 8.])
    """
    chosen = np.asarray(_raw(mask)).astype(bool)
    _same_size("np.place", target, chosen)
    places = np.flatnonzero(chosen)
    vals = vals if isinstance(vals, Value) else np.asarray(vals)

    def result() -> Any:
        return _flat_replaced(target, _cycled("np.place", vals, np.arange(len(places))), places)

    _write(np.place, target, vals, result, lambda array, values: np.place(array, chosen, values))


@implements(np.putmask)
def putmask(target: Any, mask: Any, values: Any) -> None:
    """Write the values that stand where a mask is true; too few values repeat over the target.

    Example:
        >>> import tinygrad_course as tc
        >>> t = tc.Tensor([1.0, 2.0, 3.0])
        >>> tc.putmask(t, t > 1, [7.0, 8.0, 9.0])
        >>> t
        Tensor([1., 8., 9.])
    """
    chosen = np.asarray(_raw(mask)).astype(bool)
    _same_size("np.putmask", target, chosen)
    places = np.flatnonzero(chosen)
    values = values if isinstance(values, Value) else np.asarray(values)

    def result() -> Any:
        return _flat_replaced(target, _cycled("np.putmask", values, places), places)

    _write(np.putmask, target, values, result, lambda array, v: np.putmask(array, chosen, v))


def _same_size(name: str, target: Any, mask: Any) -> None:
    if mask.size != math.prod(np.shape(target)):
        raise ShapeError(
            f"{name}: the mask has shape {mask.shape}, the target {np.shape(target)}; expected "
            f"as many elements"
        )


@implements(np.copyto)
def copyto(target: Any, source: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """Overwrite the target with a source that broadcasts, everywhere or where a mask is true.

    Example:
        >>> import tinygrad_course as tc
        >>> t = tc.Tensor([1.0, 2.0])
        >>> tc.copyto(t, 5.0, where=[True, False])
        >>> t
        Tensor([5., 2.])
    """
    mask, shape = _raw(where), np.shape(target)
    source = source if isinstance(source, Value | int | float | complex) else np.asarray(source)

    def result() -> Any:
        kind, own = np.result_type(_raw(source)), target._data.dtype
        if not np.can_cast(kind, own, casting):
            raise DtypeError(f"np.copyto: {kind} does not fit into {own} with casting={casting!r}")
        if mask is True:
            return ops.replace_at(target, source, key=...)
        chosen = np.asarray(mask, bool)
        extra = len(shape) - chosen.ndim
        fits = extra >= 0 and all(
            n in (1, m) for n, m in zip(chosen.shape, shape[extra:], strict=True)
        )
        if not fits:
            raise ShapeError(f"np.copyto: where has shape {chosen.shape}, the target {shape}")
        chosen = np.broadcast_to(chosen, shape)
        spread = ops.broadcast_to(source, shape=shape)
        return ops.replace_at(target, ops.getitem(spread, key=chosen), key=chosen)

    _write(np.copyto, target, source, result, lambda array, v: np.copyto(array, v, casting, mask))


@implements(np.fill_diagonal)
def fill_diagonal(target: Any, val: Any, wrap: bool = False) -> None:
    """Write a value, or values one after the other, onto the main diagonal.

    The target is a matrix, or has more axes of one size. In a tall matrix `wrap` lets the diagonal
    begin again below.

    Example:
        >>> import tinygrad_course as tc
        >>> t = tc.Tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> tc.fill_diagonal(t, 0.0)
        >>> t
        Tensor([[0., 2.],
                [3., 0.]])
    """
    shape = np.shape(target)
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ShapeError(
            f"np.fill_diagonal: got shape {shape}, expected a matrix, or more axes of one size"
        )
    size = math.prod(shape)
    if len(shape) == 2:
        step, end = shape[1] + 1, size if wrap else shape[1] * shape[1]
    else:
        step, end = 1 + sum(math.prod(shape[:k]) for k in range(1, len(shape))), size
    places = np.arange(size)[:end:step]

    def result() -> Any:
        values = _cycled("np.fill_diagonal", val, np.arange(len(places)))
        return _flat_replaced(target, values, places)

    _write(
        np.fill_diagonal,
        target,
        val,
        result,
        lambda array, values: np.fill_diagonal(array, values, wrap),
    )


@implements(np.put_along_axis)
def put_along_axis(target: Any, indices: Any, values: Any, axis: int | None = -1) -> None:
    """Write into each vector along `axis` at that vector's own indices.

    Example:
        >>> import tinygrad_course as tc
        >>> t = tc.Tensor([[3.0, 1.0], [2.0, 4.0]])
        >>> tc.put_along_axis(t, [[1], [0]], 0.0, axis=1)
        >>> t
        Tensor([[3., 0.],
                [0., 4.]])
    """
    index = np.asarray(_raw(indices))
    shape = np.shape(target)
    flat_or_axis = (index.ndim == 1) if axis is None else (index.ndim == len(shape))
    if not flat_or_axis or index.dtype.kind not in "iu":
        raise ShapeError(
            f"np.put_along_axis: got indices of shape {index.shape} and dtype {index.dtype}; "
            f"expected whole numbers, with as many axes as the target's shape {shape}"
        )
    if axis is not None and not -len(shape) <= axis < len(shape):
        raise ShapeError(f"np.put_along_axis: axis {axis} does not exist in shape {shape}")

    def result() -> Any:
        if axis is None:
            return _flat_replaced(target, values, index)
        return ops.replace_at(target, values, key=ops.along(index, shape, axis))

    def call(array: Any, new: Any) -> None:
        if axis is None:  # NumPy 2.4 writes into a copy there
            array.flat[index] = new
        else:
            np.put_along_axis(array, index, new, axis)

    _write(np.put_along_axis, target, values, result, call)


__all__ = [
    "copyto",
    "fill_diagonal",
    "place",
    "put",
    "put_along_axis",
    "putmask",
]
