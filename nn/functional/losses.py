"""Losses with PyTorch's names and reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.tensor import Tensor


def _not_empty(size: int, reduction: str, name: str) -> None:
    if reduction == "mean" and not size:
        raise ShapeError(f"{name}: the batch is empty, and the mean of nothing is not a number")


def _reduce(losses: Any, reduction: str, name: str) -> Any:
    _not_empty(losses.size if losses is not None else 1, reduction, name)
    if reduction == "mean":
        return functions.mean(losses)
    if reduction == "sum":
        return functions.sum(losses)
    if reduction == "none":
        return losses
    raise ArgumentError(
        f"{name}: unknown reduction {reduction!r}; expected 'mean', 'sum' or 'none'"
    )


def _raw(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else np.asarray(x)


def cross_entropy(scores: Any, target: Any, reduction: str = "mean") -> Any:
    """Return the cross-entropy of softmax(scores) with labels or probabilities.

    Scores have shape (m, classes) or (m, classes, ...), with the classes on axis 1. Whole-number
    targets are labels of shape (m, ...); floating targets of the scores' shape are probabilities.

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a label is out of range, or the reduction is unknown.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.cross_entropy([[0.0, 0.0]], [1]).round(4))
        0.6931
    """
    if reduction not in ("mean", "sum", "none"):
        _reduce(None, reduction, "cross_entropy")
    if not isinstance(scores, Tensor):
        scores = np.asarray(scores)
    labels = _raw(target)
    if scores.ndim < 2:
        raise ShapeError(
            f"cross_entropy: expected scores of shape (m, classes), got {scores.shape}"
        )
    if labels.dtype.kind == "f":
        if labels.shape != scores.shape:
            raise ShapeError(
                f"cross_entropy: probabilities have shape {labels.shape}, the scores "
                f"{scores.shape}; labels must be whole numbers"
            )
        shares = _as_scores(target, scores)
        losses = -functions.sum(shares * functions.log_softmax(scores, axis=1), axis=1)
        return _reduce(losses, reduction, "cross_entropy")
    _not_empty(labels.size, reduction, "cross_entropy")
    if scores.ndim == 2:
        return ops.softmax_cross_entropy(scores, labels, reduction=reduction)
    rest = (scores.shape[0], *scores.shape[2:])
    if labels.shape != rest:
        raise ShapeError(
            f"cross_entropy: scores of shape {scores.shape} need labels of shape {rest}, "
            f"got {labels.shape}"
        )
    last = functions.transpose(scores, (0, *range(2, scores.ndim), 1))
    rows = functions.reshape(last, (-1, scores.shape[1]))
    losses = ops.softmax_cross_entropy(rows, labels.reshape(-1), reduction=reduction)
    return losses.reshape(rest) if reduction == "none" else losses


def _same_shape(name: str, x: Any, target: Any) -> None:
    if np.shape(x) != np.shape(target):
        raise ShapeError(
            f"{name}: got shapes {np.shape(x)} and {np.shape(target)}; they must be equal, because "
            f"broadcasting here would average over pairs that do not belong together. "
            f"Use reshape to make them agree"
        )


def _as_scores(target: Any, scores: Any) -> Any:
    """Return a constant target in the scores' dtype: NumPy's usual float64 must not upcast them."""
    if isinstance(target, Tensor) and target.requires_grad:
        return target
    raw, kind = _raw(target), _raw(scores).dtype
    return raw.astype(kind if kind.kind == "f" else float, copy=False)


def binary_cross_entropy_with_logits(scores: Any, target: Any, reduction: str = "mean") -> Any:
    """Return the cross-entropy of sigmoid(scores) with targets in [0, 1], stable for any score.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.binary_cross_entropy_with_logits([0.0], [1.0]).round(4))
        0.6931
    """
    _same_shape("binary_cross_entropy_with_logits", scores, target)
    losses = ops.logistic_loss(scores, _as_scores(target, scores))
    return _reduce(losses, reduction, "binary_cross_entropy_with_logits")


def mse_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    """Return the mean squared error: the mean of (x - target)².

    Raises:
        ShapeError: the shapes differ; (n,) against (n, 1) is refused, not broadcast.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.mse_loss([1.0, 3.0], [1.0, 1.0]))
        2.0
    """
    _same_shape("mse_loss", x, target)
    return _reduce(ops.square(ops.subtract(x, _as_scores(target, x))), reduction, "mse_loss")


__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "mse_loss",
]
