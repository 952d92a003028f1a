# ruff: noqa: A002 - `input` is PyTorch's name
"""Losses of classifiers: cross-entropy of labels and of probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.nn.functional.reducing import (
    ROUNDING,
    check_between,
    check_not_empty,
    check_reduction,
    fitting,
    floating,
    like,
    pair,
    raw,
    reduced,
    weighted,
)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Return the cross-entropy of softmax(input) with labels or probabilities.

    L = -w[y] log softmax(z)[y] for a label y, and -Σ_c w[c] y[c] log softmax(z)[c] for
    probabilities. Scores have shape (m, classes), (m, classes, ...) or (classes,), with the classes
    on axis 1. Whole-number targets are labels, of the scores' shape without the classes; floating
    targets of the scores' shape are probabilities.

    Args:
        input: the scores.
        target: labels or probabilities.
        weight: one weight per class, (classes,); the mean of labels is then Σ L / Σ w[y].
        ignore_index: examples with this label cost nothing, and do not count in the mean.
        reduction: "mean", "sum", "none", or "batchmean".
        label_smoothing: ε: the target becomes (1 - ε) y + ε / classes (Szegedy et al. 2016).

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a label or probability is out of range, every label is ignored, or an option
            is unknown.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.cross_entropy([[0.0, 0.0]], [1]).round(4))
        0.6931
    """
    name = "cross_entropy"
    check_reduction(name, reduction)
    scores, labels = floating(input), raw(target)
    plain = weight is None and not label_smoothing and labels.dtype.kind != "f"
    if plain and scores.ndim == 2:
        return _of_labels(scores, labels, ignore_index, reduction)
    if scores.ndim < 2:
        options: Any = {"ignore_index": ignore_index, "label_smoothing": label_smoothing}
        return _of_one(cross_entropy, scores, target, weight, reduction, **options)
    smoothing = _smoothing(name, label_smoothing)
    if labels.dtype.kind == "f":
        losses = _of_probabilities(name, scores, target, weight, ignore_index, smoothing)
        return reduced(name, losses, reduction)
    if plain:
        return _of_places(scores, labels, ignore_index, reduction)
    labels, kept = checked_labels(name, labels, scores, ignore_index)
    logs = functions.log_softmax(scores, axis=1)
    losses, counts = _chosen(name, logs, labels, kept, weight)
    if smoothing:
        spread = -functions.sum(_by_class(name, logs, weight), axis=1) / scores.shape[1]
        losses = (1 - smoothing) * losses + smoothing * functions.where(kept, spread, 0.0)
    return _averaged(name, losses, counts, reduction)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """Return the negative log-likelihood -w[y] input[y] of labels y, given log-probabilities.

    Shapes and options are those of `cross_entropy`, which is this after log_softmax.

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a label is out of range, or every label is ignored.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.nll_loss(np.log([[0.25, 0.75]]), [0]).round(4))
        1.3863
    """
    name = "nll_loss"
    check_reduction(name, reduction)
    logs = floating(input)
    if logs.ndim < 2:
        return _of_one(nll_loss, logs, target, weight, reduction, ignore_index=ignore_index)
    labels, kept = checked_labels(name, raw(target), logs, ignore_index)
    losses, counts = _chosen(name, logs, labels, kept, weight)
    return _averaged(name, losses, counts, reduction)


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean"
) -> Any:
    """Return the cross-entropy -w (y log p + (1 - y) log(1 - p)) of probabilities p.

    The logarithms are at least -100, as PyTorch's. `binary_cross_entropy_with_logits` takes the
    scores instead, and is exact for all of them.

    Raises:
        ShapeError: the shapes differ, or the weights do not broadcast.
        ArgumentError: a probability is outside [0, 1].

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.binary_cross_entropy([0.5], [1.0]).round(4))
        0.6931
    """
    name = "binary_cross_entropy"
    p, y = pair(name, input, target)
    check_between(name, "probabilities", p)
    check_between(name, "targets", y, ROUNDING)
    return reduced(name, weighted(name, ops.binary_cross_entropy(p, y), weight), reduction)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """Return the cross-entropy of sigmoid(z) with targets y in [0, 1], stable for any score z.

    L = -w (q y log σ(z) + (1 - y) log(1 - σ(z))). Summed over the outputs and averaged over the
    mini-batch, reduction="batchmean", it is Nielsen's cross-entropy cost (lesson 004).

    Args:
        input: the scores z.
        target: y, of the scores' shape.
        weight: w, which broadcasts to the scores.
        reduction: "mean", "sum", "none", or "batchmean".
        pos_weight: q, the weight of the positive class, which broadcasts to the scores.

    Raises:
        ShapeError: the shapes differ, or weights do not broadcast.
        ArgumentError: a target is outside [0, 1].

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.binary_cross_entropy_with_logits([0.0], [1.0]).round(4))
        0.6931
    """
    name = "binary_cross_entropy_with_logits"
    z, y = pair(name, input, target)
    check_between(name, "targets", y, ROUNDING)
    if pos_weight is None:
        losses = ops.logistic_loss(z, y)
    else:
        yes = y * fitting(name, pos_weight, z, "pos_weight")
        losses = yes * ops.softplus(-z) + (1 - y) * ops.softplus(z)
    return reduced(name, weighted(name, losses, weight), reduction)


# ---- parts --------------------------------------------------------------------------------------


def _of_one(
    loss: Callable[..., Any], scores: Any, target: Any, weight: Any, reduction: str, **options: Any
) -> Any:
    """Return the loss of one example (classes,) as that of a batch of one."""
    name = loss.__name__
    if scores.ndim == 0:
        raise ShapeError(f"{name}: expected scores of shape (m, classes), got a single number")
    target = target if hasattr(target, "__array_function__") else np.asarray(target)
    if target.ndim and target.shape != scores.shape:
        raise ShapeError(
            f"{name}: scores of shape {scores.shape} are one example, and need one label, got "
            f"shape {target.shape}"
        )
    losses = loss(scores[None], target[None], weight, reduction=reduction, **options)
    return losses[0] if reduction == "none" else losses


def _smoothing(name: str, value: float) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ArgumentError(f"{name}: label_smoothing must lie in [0, 1], got {value!r}")
    return number


def _of_labels(scores: Any, labels: Any, ignore_index: int, reduction: str) -> Any:
    """Return the unweighted cross-entropy of scores (m, classes): one primitive."""
    if reduction == "batchmean":
        return _of_labels(scores, labels, ignore_index, "sum") / _examples(scores)
    if reduction == "mean":
        check_not_empty("cross_entropy", labels.size)
    return ops.softmax_cross_entropy(scores, labels, reduction=reduction, ignore_index=ignore_index)


def _of_places(scores: Any, labels: Any, ignore_index: int, reduction: str) -> Any:
    """Return the same of scores (m, classes, ...): every place is a row."""
    if labels.shape != (scores.shape[0], *scores.shape[2:]):
        raise _misshapen("cross_entropy", scores, labels)
    rows = functions.reshape(functions.moveaxis(scores, 1, -1), (-1, scores.shape[1]))
    once = "sum" if reduction == "batchmean" else reduction
    losses = _of_labels(rows, labels.reshape(-1), ignore_index, once)
    if reduction == "batchmean":
        return losses / _examples(scores)
    return losses.reshape(labels.shape) if reduction == "none" else losses


def _examples(scores: Any) -> int:
    check_not_empty("cross_entropy", scores.shape[0])
    return int(scores.shape[0])


def _of_probabilities(
    name: str, scores: Any, target: Any, weight: Any, ignore_index: int, smoothing: float
) -> Any:
    """Return -Σ_c w[c] y[c] log softmax(z)[c] for every example."""
    if scores.shape != target.shape:
        raise ShapeError(
            f"{name}: probabilities have shape {target.shape}, the scores {scores.shape}; labels "
            f"must be whole numbers"
        )
    if ignore_index >= 0:
        raise ArgumentError(f"{name}: ignore_index works on labels, but the target is floating")
    shares = like(target, scores)
    check_between(name, "probabilities", shares, ROUNDING)
    if smoothing:
        shares = (1 - smoothing) * shares + smoothing / scores.shape[1]
    logs = _by_class(name, functions.log_softmax(scores, axis=1), weight)
    return -functions.sum(shares * logs, axis=1)


def _by_class(name: str, logs: Any, weight: Any) -> Any:
    """Return the logarithms times the weight of their class."""
    if weight is None:
        return logs
    return logs * class_weights(name, weight, logs).reshape(1, -1, *(1,) * (logs.ndim - 2))


def class_weights(name: str, weight: Any, x: Any) -> Any:
    """Return class weights in the dtype of x (m, classes, ...).

    Raises:
        ShapeError: there is not one per class.
    """
    weight = like(weight, x)
    if weight.shape != (x.shape[1],):
        raise ShapeError(
            f"{name}: class weights have shape {weight.shape}; expected ({x.shape[1]},), one "
            f"weight per class"
        )
    return weight


def _misshapen(name: str, scores: Any, labels: Any) -> ShapeError:
    wanted = (scores.shape[0], *scores.shape[2:])
    hint = "; drop the last axis with labels[:, 0]" if labels.shape == (*wanted, 1) else ""
    return ShapeError(
        f"{name}: scores of shape {scores.shape} need labels of shape {wanted}, got "
        f"{labels.shape}{hint}"
    )


def checked_labels(
    name: str, labels: Any, scores: Any, ignore_index: int | None
) -> tuple[Any, Any]:
    """Return labels, 0 where they are ignored, and where they are kept.

    Raises:
        ShapeError: they do not name one class per example.
        ArgumentError: a label is out of range.
    """
    if labels.shape != (scores.shape[0], *scores.shape[2:]):
        raise _misshapen(name, scores, labels)
    if labels.dtype.kind not in "iu":
        raise ShapeError(f"{name}: labels must be whole numbers, got dtype {labels.dtype}")
    labels = labels.astype(np.int64, copy=False)
    kept = np.ones(labels.shape, bool) if ignore_index is None else labels != ignore_index
    classes = scores.shape[1]
    wrong = ((labels < 0) | (labels >= classes)) & kept
    if wrong.any():
        place = np.argwhere(wrong)[0]
        where = ", ".join(map(str, place))
        raise ArgumentError(
            f"{name}: label {labels[tuple(place)]} in row {where} is outside 0..{classes - 1}"
        )
    return np.where(kept, labels, 0), kept


def _chosen(name: str, logs: Any, labels: Any, kept: Any, weight: Any) -> tuple[Any, Any]:
    """Return -w[y] logs[y] and w[y], both 0 where a label is not kept."""
    picked = functions.take_along_axis(logs, np.expand_dims(labels, 1), axis=1)[:, 0]
    picked = functions.where(kept, picked, 0.0)  # before anything multiplies an infinite logarithm
    if weight is None:
        return -picked, kept.astype(logs.dtype)
    counts = functions.where(kept, functions.take(class_weights(name, weight, logs), labels), 0.0)
    return -(counts * picked), counts


def _averaged(name: str, losses: Any, counts: Any, reduction: str) -> Any:
    """Return losses reduced; a mean is divided by the sum of the weights, as PyTorch's."""
    if reduction != "mean":
        return reduced(name, losses, reduction)
    check_not_empty(name, losses.size)
    total = functions.sum(counts)
    if not float(raw(total)):
        raise ArgumentError(
            f"{name}: every label of the batch is ignore_index or has weight 0, and the mean of "
            f"nothing is not a number; leave such a batch out"
        )
    return functions.sum(losses) / total


__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "nll_loss",
]
