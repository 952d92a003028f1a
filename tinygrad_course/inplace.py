"""Writing into a Tensor: where nothing is recorded into its memory, otherwise by a new node.

Every in-place operation, ``t[key] = v``, ``t += v``, ``np.add.at`` and ``out=t``, ends here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.buffers import name_line, note_write
from tinygrad_course.errors import ShapeError, UnsupportedFunctionError
from tinygrad_course.graph import SCOPE, Value, refuse


def records(*values: Any) -> bool:
    """Whether an operation on these values is recorded."""
    needs = any(isinstance(value, Value) and value._needs for value in values)
    return needs and SCOPE.get().recording


def write(what: str, target: Value, result: Any) -> None:
    """Let `target` have the value of `result`; `what` is the operation in the user's words.

    Raises:
        GraphError: `target` is a leaf that requires grad, or another Tensor is a view of it.
        ShapeError: the shapes differ.
    """
    if records(target, result):
        become(what, target, result)
    else:
        ops.assign(target, result)
        name_line(target._data)


def become(what: str, target: Value, result: Value) -> None:
    """Let `target` take the place of a freshly recorded result; the old memory stays as it was."""
    if target._node is None and target._needs:
        raise refuse(
            f"{what}: this Tensor is a leaf that requires grad, and its value is what the "
            f"derivative is taken at. Write the result to a new name, or update it inside "
            f"no_grad()"
        )
    if target._views is not None and target._views.others(target):  # type: ignore[attr-defined]
        raise refuse(
            f"{what}: another Tensor is a view of the same memory and would keep the old "
            f"values. Write the result to a new name, or take a copy() first"
        )
    shape = target._data.shape
    if result._data.shape != shape:
        raise ShapeError(f"{what}: the result has shape {result._data.shape}, the Tensor {shape}")
    target._data, target._node, target._needs = result._data, result._node, result._needs
    target._views = None


def write_array(what: str, target: np.ndarray, result: Any) -> None:
    """Write a result into a plain array, which cannot keep a history.

    Raises:
        UnsupportedFunctionError: the result has a history.
    """
    if isinstance(result, Value):
        if result._needs:
            raise UnsupportedFunctionError(
                f"{what}: the result requires grad, and the plain array would lose its history; "
                f"assign the result to a name (in place of out= or an operator like +=), or let "
                f"the target be a Tensor"
            )
        result = result._data
    np.copyto(target, result, casting="same_kind")
    note_write(target, what)


__all__ = ["become", "records", "write", "write_array"]
