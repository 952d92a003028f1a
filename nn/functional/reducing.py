"""What all losses share: the reductions, shapes that must agree, and targets in the right dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import functions
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.tensor import Tensor

REDUCTIONS = ("mean", "sum", "none", "batchmean")
"""PyTorch's words; "batchmean", which it has for KLDivLoss, is understood by every loss here."""


def check_reduction(name: str, reduction: Any) -> None:
    """Refuse a reduction that does not exist."""
    if reduction not in REDUCTIONS:
        raise ArgumentError(
            f"{name}: unknown reduction {reduction!r}; expected 'mean', 'sum', 'none' or "
            f"'batchmean' (the sum over all outputs, averaged over the examples)"
        )


def check_not_empty(name: str, size: int) -> None:
    """Refuse to average over nothing."""
    if not size:
        raise ShapeError(f"{name}: the batch is empty, and the mean of nothing is not a number")


def reduced(name: str, losses: Any, reduction: str) -> Any:
    """Return the mean or sum of losses, the sum per example, or the losses as they are."""
    check_reduction(name, reduction)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return functions.sum(losses)
    check_not_empty(name, losses.size)
    if reduction == "mean":
        return functions.mean(losses)
    return functions.sum(losses) / (losses.shape[0] if losses.ndim else 1)


def raw(x: Any) -> Any:
    """Return the array of a Tensor, or x as an array."""
    if isinstance(x, Tensor):
        return x._data
    return x if hasattr(x, "__array_function__") else np.asarray(x)


def floating(x: Any) -> Any:
    """Return x as a Tensor or array of floating numbers; whole numbers become float64."""
    if not isinstance(x, Tensor | np.ndarray) and not hasattr(x, "__array_function__"):
        x = np.asarray(x)
    return x.astype(float) if x.dtype.kind in "biu" else x


def like(target: Any, x: Any) -> Any:
    """Return a target in the dtype of x: NumPy's usual float64 must not upcast float32 scores.

    A target that requires grad stays as it is.
    """
    if not hasattr(target, "__array_function__"):
        target = np.asarray(target)
    if target.dtype == x.dtype or (isinstance(target, Tensor) and target.requires_grad):
        return target
    return target.astype(x.dtype)


def pair(name: str, x: Any, target: Any) -> tuple[Any, Any]:
    """Return scores and targets of one shape and dtype.

    Raises:
        ShapeError: the shapes differ.
    """
    x = floating(x)
    target = like(target, x)
    if x.shape != target.shape:
        raise ShapeError(
            f"{name}: got shapes {x.shape} and {target.shape}; they must be equal, because "
            f"broadcasting here would average over pairs that do not belong together. "
            f"Use reshape to make them agree"
        )
    return x, target


def weighted(name: str, losses: Any, weight: Any, word: str = "weight") -> Any:
    """Return the losses times weights that broadcast to them."""
    return losses if weight is None else losses * fitting(name, weight, losses, word)


def fitting(name: str, weight: Any, x: Any, word: str) -> Any:
    """Return weights in the dtype of x.

    Raises:
        ShapeError: they do not broadcast to the shape of x.
    """
    weight = like(weight, x)
    try:
        fits = np.broadcast_shapes(weight.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name}: {word} has shape {weight.shape}, which does not broadcast to {x.shape}"
        )
    return weight


def check_between(name: str, word: str, x: Any, slack: float = 0.0) -> None:
    """Refuse numbers outside [0, 1]; what rounding alone can do passes where `slack` says so."""
    numbers = raw(x)
    if not numbers.size:
        return
    low, high = numbers.min(), numbers.max()
    if low >= -slack and high <= 1 + slack:  # nan fails, too
        return
    wrong = low if not low >= -slack else high
    raise ArgumentError(f"{name}: {word} must lie in [0, 1], got {wrong:g}")


def check_signs(name: str, target: Any) -> None:
    """Refuse targets other than 1 and -1."""
    numbers = raw(target)
    wrong = numbers[np.abs(numbers) != 1]
    if wrong.size:
        raise ArgumentError(
            f"{name}: targets must be 1 or -1, got {wrong.flat[0]:g}; for 0 and 1 write 2 y - 1"
        )


ROUNDING = 1e-5
"""How far a mixture of targets such as t y1 + (1 - t) y2 may leave [0, 1] in float32."""


def positive_number(name: str, word: str, value: Any, *, zero: bool = False) -> float:
    """Return an option as a Python float: a NumPy scalar would upcast float32.

    Raises:
        ArgumentError: it is not a positive number (or 0, where `zero` allows it).
    """
    number = float(value)
    if not (number > 0 or (zero and number == 0)):
        least = "at least 0" if zero else "positive"
        raise ArgumentError(f"{name}: {word} must be {least}, got {value!r}")
    return number
