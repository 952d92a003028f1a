"""Rows of a table by number, and numbers as rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn.functional.arrays import as_array
from tinygrad_course.tensor import Tensor


def _whole_numbers(name: str, indices: Any) -> Any:
    """Return indices as an array of whole numbers."""
    numbers = np.asarray(indices._data if isinstance(indices, Tensor) else indices)
    if not numbers.size and numbers.dtype.kind == "f":
        return numbers.astype(np.int64)  # an empty list
    if numbers.dtype.kind not in "iu":
        raise DtypeError(
            f"{name}{describe(SCOPE.get())}: needs whole numbers, got dtype {numbers.dtype}"
        )
    return numbers


def _check_range(name: str, numbers: Any, count: int, what: str) -> None:
    if numbers.size and (numbers.min() < 0 or numbers.max() >= count):
        wrong = numbers[(numbers < 0) | (numbers >= count)].flat[0]
        raise ArgumentError(
            f"{name}{describe(SCOPE.get())}: index {wrong} is outside 0..{count - 1}; {what}"
        )


def embedding(
    indices: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Return the rows of a table: y[..., :] = weight[indices[...], :].

    The gradients of a row that is read several times add up.

    Args:
        indices: whole numbers of any shape.
        weight: the table, of shape (count, size).
        padding_idx: a row that gets no gradient.
        max_norm: not supported.
        norm_type: not supported.
        scale_grad_by_freq: not supported.
        sparse: not supported; gradients are dense.

    Returns:
        Shape (*indices.shape, size).

    Raises:
        ArgumentError: an index is outside the table, or an option is not supported.
        DtypeError: the indices are no whole numbers.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.embedding([2, 0], np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]))
        array([[4., 5.],
               [0., 1.]])
    """
    refuse_options("embedding", max_norm, norm_type, scale_grad_by_freq, sparse)
    shape = np.shape(weight)
    if len(shape) != 2:
        raise ShapeError(
            f"embedding{describe(SCOPE.get())}: expected a weight of shape (count, size), "
            f"got {shape}"
        )
    numbers = _whole_numbers("embedding", indices)
    _check_range("embedding", numbers, shape[0], f"the table has {shape[0]} rows")
    weight = as_array(weight)
    rows = ops.getitem(weight, key=np.array(numbers))
    if padding_idx is None:
        return rows
    padding = row_number("embedding", padding_idx, shape[0])
    if not isinstance(weight, Tensor):
        return rows
    return ops.where((numbers == padding)[..., None], weight._data[padding], rows)


def refuse_options(
    name: str, max_norm: Any, norm_type: float, scale_grad_by_freq: bool, sparse: bool
) -> None:
    """Refuse what PyTorch's embedding can do and this one cannot."""
    wrong = {
        "max_norm": max_norm is not None,
        "norm_type": norm_type != 2.0,
        "scale_grad_by_freq": scale_grad_by_freq,
        "sparse": sparse,
    }
    for word, given in wrong.items():
        if given:
            raise ArgumentError(
                f"{name}: {word} is not supported; rows keep their norm (renormalize the weight "
                f"after a step if you need it), and gradients are dense and not scaled"
            )


def row_number(name: str, padding_idx: int, count: int) -> int:
    """Return the number of the padding row, counted from the start.

    Raises:
        ArgumentError: the table has no such row.
    """
    if not -count <= padding_idx < count:
        raise ArgumentError(
            f"{name}: padding_idx={padding_idx} is outside the table of {count} rows"
        )
    return padding_idx % count


def one_hot(labels: Any, num_classes: int = -1) -> Any:
    """Return rows of zeros with a one at the label, as whole numbers.

    Args:
        labels: whole numbers from 0, of any shape.
        num_classes: length of the rows; -1 for one more than the largest label.

    Raises:
        ArgumentError: a label is outside the classes.
        DtypeError: the labels are no whole numbers.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.one_hot([2, 0], 3)
        array([[0, 0, 1],
               [1, 0, 0]])
    """
    numbers = _whole_numbers("one_hot", labels)
    if num_classes == -1:
        if not numbers.size:
            raise ArgumentError("one_hot: of no labels, num_classes cannot be found out")
        num_classes = int(numbers.max()) + 1
    _check_range("one_hot", numbers, num_classes, f"there are {num_classes} classes")
    return (numbers[..., None] == np.arange(num_classes)).astype(np.int64)


__all__ = [
    "embedding",
    "one_hot",
]
