"""NumPy's functions that pick elements, leave some out or put others around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, ShapeError, UnsupportedFunctionError
from tinygrad_course.functions.joining import no_out
from tinygrad_course.functions.shapes import ravel
from tinygrad_course.functions.words import implements
from tinygrad_course.graph import Value
from tinygrad_course.ops.indexing import take_along_axis
from tinygrad_course.ops.picking import diagflat, diagonal, trace


def _raw(x: Any) -> Any:
    return x._data if isinstance(x, Value) else np.asarray(x)


def _indices(obj: Any) -> Any:
    """Return indices with a list as an array: an empty list holds no floats, but no indices."""
    return ops.positions(obj) if isinstance(obj, list | tuple) else obj


@implements(np.take)
def take(
    x: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise"
) -> Any:
    """Read the elements at `indices` along an axis, or of the flattened array.

    An index outside is an error, or with mode "wrap" counts on from the other end, or with "clip"
    means the first or last element. Gradients of repeated elements add up.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.take(tc.Tensor([1.0, 2.0, 3.0]), [2, 0, 2])
        Tensor([3., 1., 3.])
    """
    no_out("take", out)
    params = {} if mode == "raise" else {"mode": mode}
    return ops.take_from(x, indices=_indices(indices), axis=axis, **params)


@implements(np.compress)
def compress(condition: Any, x: Any, axis: int | None = None, out: Any = None) -> Any:
    """Read the slices along an axis, or the elements, where `condition` (a vector) is true.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.compress([True, False, True], tc.Tensor([1.0, 2.0, 3.0]))
        Tensor([1., 3.])
    """
    no_out("compress", out)
    mask = _raw(condition)
    if mask.ndim != 1:
        raise ShapeError(f"compress: the condition has shape {mask.shape}, expected a vector")
    return ops.take_from(x, indices=np.flatnonzero(mask), axis=axis)


@implements(np.extract)
def extract(condition: Any, x: Any) -> Any:
    """Read the elements where `condition`, an array of the same size, is true: ``x[condition]``.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([1.0, -2.0, 3.0])
        >>> tc.extract(x > 0, x)
        Tensor([1., 3.])
    """
    return ops.take_from(ravel(x), indices=np.flatnonzero(_raw(condition)), axis=None)


@implements(np.choose)
def choose(indices: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """Take each element from the choice that its index names; all broadcast.

    The indices are whole numbers and have no derivative; `mode` is as in `take`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.choose([0, 1, 0], [tc.Tensor([1.0, 2.0, 3.0]), [10.0, 20.0, 30.0]])
        Tensor([ 1., 20.,  3.])
    """
    no_out("choose", out)
    parts = tuple(choices)
    if not parts:
        raise ArgumentError("choose: got no choices; expected at least one")
    params = {} if mode == "raise" else {"mode": mode}
    return ops.choose_from(*parts, indices=_indices(indices), **params)


@implements(np.diag)
def diag(x: Any, k: int = 0) -> Any:
    """Read diagonal `k` of a matrix, or make a matrix with a vector on its diagonal `k`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.diag(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]))
        Tensor([1., 4.])
        >>> tc.diag(tc.Tensor([1.0, 2.0]))
        Tensor([[1., 0.],
                [0., 2.]])
    """
    rank = np.ndim(x)
    if rank not in (1, 2):
        raise ShapeError(f"diag: got shape {np.shape(x)}, expected a vector or a matrix")
    return diagflat(x, k=k) if rank == 1 else diagonal(x, offset=k)


@implements(np.delete)
def delete(x: Any, obj: Any, axis: int | None = None) -> Any:
    """Leave out the elements at `obj` along an axis, or of the flattened array.

    `obj` is an index, a slice, a list of indices or a mask.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.delete(tc.Tensor([1.0, 2.0, 3.0]), 1)
        Tensor([1., 3.])
    """
    return ops.delete_from(x, obj=_indices(obj), axis=axis)


@implements(np.insert)
def insert(x: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """Insert values before the elements at `obj` along an axis, or of the flattened array.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.insert(tc.Tensor([1.0, 3.0]), 1, 2.0)
        Tensor([1., 2., 3.])
    """
    return ops.insert_into(x, values, obj=_indices(obj), axis=axis)


@implements(np.trim_zeros)
def trim_zeros(x: Any, trim: str = "fb", axis: int | Sequence[int] | None = None) -> Any:
    """Cut off the zeros at the front ("f"), at the back ("b") or at both ends.

    Of an array with several axes, the slices of nothing but zeros are cut off along `axis`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.trim_zeros(tc.Tensor([0.0, 1.0, 0.0, 2.0, 0.0]))
        Tensor([1., 0., 2.])
    """
    ends = trim.lower()
    if ends not in {"f", "b", "fb", "bf"}:
        raise ArgumentError(f'trim_zeros: got trim={trim!r}, expected "f", "b" or "fb"')
    raw = _raw(x)
    axes = range(raw.ndim) if axis is None else np.ravel(axis).tolist()
    outside = [a for a in axes if not -raw.ndim <= a < raw.ndim]
    if outside:
        raise ShapeError(f"trim_zeros: axis {outside[0]} does not exist in shape {raw.shape}")
    places = np.argwhere(raw)
    key = [slice(None)] * raw.ndim
    for a in axes:
        if not len(places):
            key[a] = slice(0, 0)
        else:
            start = int(places[:, a].min()) if "f" in ends else None
            key[a] = slice(start, int(places[:, a].max()) + 1 if "b" in ends else None)
    return ops.getitem(x, key=tuple(key))


@implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    """Look at every window of a shape; the windows' own axes come last.

    The result is a view and cannot be written into. Windows overlap, and their gradients add up.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sliding_window_view(tc.Tensor([1.0, 2.0, 3.0]), 2)
        Tensor([[1., 2.],
                [2., 3.]])
    """
    if writeable or subok:
        raise UnsupportedFunctionError(
            "sliding_window_view: windows share elements, so a write into one would change others; "
            "leave writeable= and subok= out, and write into a copy()"
        )
    return ops.sliding_windows(x, window_shape=window_shape, axis=axis)


_STATISTICS = {"maximum", "minimum", "median"}


@implements(np.pad)
def pad(x: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    """Put elements around an array: `pad_width` of them, or (before, after) for each axis.

    Modes are NumPy's: "constant" (`constant_values`), "edge", "wrap", "reflect" and "symmetric"
    (`reflect_type`), "linear_ramp" (`end_values`), "mean", "maximum", "minimum" and "median"
    (`stat_length`), and "empty". New elements that repeat old ones add to the gradient of those.

    Raises:
        UnsupportedFunctionError: the mode is a function, or a constant requires grad.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.pad(tc.Tensor([1.0, 2.0]), (1, 2))
        Tensor([0., 1., 2., 0., 0.])
        >>> tc.pad(tc.Tensor([1.0, 2.0, 3.0]), 1, mode="reflect")
        Tensor([2., 1., 2., 3., 2.])
    """
    if callable(mode):
        raise UnsupportedFunctionError(
            "pad: a function as mode writes into plain memory and has no derivative; compute the "
            "margins and join them with concatenate"
        )
    padded = ops.pad_statistic if mode in _STATISTICS else ops.pad_linear
    return padded(x, pad_width=pad_width, mode=mode, **options)


__all__ = [
    "choose",
    "compress",
    "delete",
    "diag",
    "diagflat",
    "diagonal",
    "extract",
    "insert",
    "pad",
    "sliding_window_view",
    "take",
    "take_along_axis",
    "trace",
    "trim_zeros",
]
