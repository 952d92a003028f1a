# ruff: noqa: A002 - `input` is PyTorch's name
"""Losses that ask for a margin: hinges, and comparisons of pairs and triplets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.nn.functional.classification import checked_labels, class_weights
from tinygrad_course.nn.functional.distances import pairwise_distance
from tinygrad_course.nn.functional.reducing import (
    check_reduction,
    check_signs,
    floating,
    like,
    pair,
    positive_number,
    raw,
    reduced,
    weighted,
)


def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, *, reduction: str = "mean"
) -> Any:
    """Return x for targets 1 and max(0, margin - x) for targets -1; x is a distance.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: a target is neither 1 nor -1.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.hinge_embedding_loss([0.3, 0.3], [1, -1], reduction="none")
        array([0.3, 0.7])
    """
    x, y = pair("hinge_embedding_loss", input, target)
    check_signs("hinge_embedding_loss", y)
    losses = functions.where(y == 1, x, _at_least_0(float(margin) - x))
    return reduced("hinge_embedding_loss", losses, reduction)


def soft_margin_loss(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """Return log(1 + exp(-y x)) for targets y of 1 and -1: the logistic loss in other words.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: a target is 0, which would say nothing.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.soft_margin_loss([0.0], [1.0]).round(4))
        0.6931
    """
    x, y = pair("soft_margin_loss", input, target)
    if (raw(y) == 0).any():
        raise ArgumentError(
            "soft_margin_loss: targets must be 1 or -1, got 0; for 0 and 1 write 2 y - 1"
        )
    return reduced("soft_margin_loss", ops.softplus(-(y * x)), reduction)


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    *,
    reduction: str = "mean",
) -> Any:
    """Return the multi-class hinge w[y] / classes · Σ_{c≠y} max(0, margin - x[y] + x[c])**p.

    Scores have shape (m, classes) or (classes,), labels (m,) or (). The slope at the hinge is 0.
    Source: Crammer and Singer 2001.

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a label is out of range, or p is neither 1 nor 2.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.multi_margin_loss([[0.5, 0.25]], [0]))
        0.375
    """
    name = "multi_margin_loss"
    check_reduction(name, reduction)
    if p not in (1, 2):
        raise ArgumentError(f"{name}: p must be 1 or 2, got {p!r}")
    scores, unbatched = _rows(name, input)
    given = raw(target)
    labels = given.reshape(-1) if unbatched else given
    labels, _ = checked_labels(name, labels, scores, None)
    classes = scores.shape[1]
    others = labels[:, None] != np.arange(classes)
    own = functions.take_along_axis(scores, labels[:, None], axis=1)
    gaps = ops.relu(float(margin) - own + scores)
    losses = functions.sum(functions.where(others, gaps if p == 1 else gaps * gaps, 0.0), axis=1)
    losses = losses / classes
    if weight is not None:
        losses = losses * functions.take(class_weights(name, weight, scores), labels)
    if unbatched and reduction == "none":
        return losses.reshape(given.shape)
    return reduced(name, losses, reduction)


def multilabel_margin_loss(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """Return Σ max(0, 1 - x[i] + x[j]) / classes over labels i of an example and classes j besides.

    Scores have shape (m, classes) or (classes,). The target has the same shape: it lists an
    example's labels and, after them, -1. The slope at the hinge is 0.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: a label is out of range.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.multilabel_margin_loss([[0.1, 0.2, 0.4, 0.8]], [[3, 0, -1, 1]]).round(2))
        0.85
    """
    name = "multilabel_margin_loss"
    check_reduction(name, reduction)
    scores, unbatched = _rows(name, input)
    labels = raw(target).reshape(1, -1) if unbatched else raw(target)
    if labels.shape != scores.shape or labels.dtype.kind not in "iu":
        raise ShapeError(
            f"{name}: scores of shape {scores.shape} need whole-number labels of that shape, got "
            f"{labels.shape} of dtype {labels.dtype}"
        )
    classes = scores.shape[1]
    listed = np.logical_and.accumulate(labels != -1, axis=1)
    wrong = listed & ((labels < 0) | (labels >= classes))
    if wrong.any():
        raise ArgumentError(f"{name}: label {labels[wrong][0]} is outside 0..{classes - 1}")
    safe = np.where(listed, labels, 0)
    chosen = ((safe[:, :, None] == np.arange(classes)) & listed[:, :, None]).any(axis=1)
    own = functions.take_along_axis(scores, safe, axis=1)
    gaps = ops.relu(1.0 - own[:, :, None] + scores[:, None, :])
    pairs = listed[:, :, None] & ~chosen[:, None, :]
    losses = functions.sum(functions.where(pairs, gaps, 0.0), axis=(1, 2)) / classes
    return losses[0] if unbatched and reduction == "none" else reduced(name, losses, reduction)


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean"
) -> Any:
    """Return the mean over the classes of the logistic losses, each class yes (1) or no (0).

    Raises:
        ShapeError: the shapes differ, or the weights do not broadcast.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.multilabel_soft_margin_loss([[0.0, 0.0]], [[1.0, 0.0]]).round(4))
        0.6931
    """
    name = "multilabel_soft_margin_loss"
    z, y = pair(name, input, target)
    losses = weighted(name, ops.logistic_loss(z, y), weight)
    return reduced(name, functions.mean(losses, axis=-1), reduction)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, *, reduction: str = "mean"
) -> Any:
    """Return 1 - cos(x1, x2) for targets 1, and max(0, cos(x1, x2) - margin) for targets -1.

    The inputs have shape (m, n), the targets (m,); or (n,) and ().

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a target is neither 1 nor -1.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.cosine_embedding_loss([[3.0, 4.0]] * 2, [[4.0, 3.0]] * 2, [1, -1], reduction="none")
        array([0.04, 0.96])
    """
    name = "cosine_embedding_loss"
    x1, x2 = pair(name, input1, input2)
    y = like(target, x1)
    if x1.ndim not in (1, 2) or y.shape != x1.shape[:-1]:
        raise ShapeError(
            f"{name}: expected inputs (m, n) and targets (m,), or (n,) and (); got {x1.shape} and "
            f"{y.shape}"
        )
    check_signs(name, y)
    squares = [functions.sum(x * x, axis=-1) + 1e-12 for x in (x1, x2)]  # PyTorch's guard
    cosine = functions.sum(x1 * x2, axis=-1) / functions.sqrt(squares[0] * squares[1])
    losses = functions.where(y == 1, 1 - cosine, _at_least_0(cosine - float(margin)))
    return reduced(name, losses, reduction)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, *, reduction: str = "mean"
) -> Any:
    """Return max(0, -y (x1 - x2) + margin): x1 should rank higher if y is 1, lower if y is -1.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.margin_ranking_loss([1.0, 1.0], [3.0, 3.0], [1, -1], reduction="none")
        array([2., 0.])
    """
    name = "margin_ranking_loss"
    x1, x2 = pair(name, input1, input2)
    _, y = pair(name, x1, target)
    return reduced(name, _at_least_0(float(margin) - y * (x1 - x2)), reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Any:
    """Return max(0, margin + d(anchor, positive) - d(anchor, negative)), d = `pairwise_distance`.

    Args:
        anchor: (m, n) or (n,), as the other two.
        positive: examples of the anchors' class.
        negative: examples of other classes.
        margin: how much farther the negatives should be.
        p: of the norm.
        eps: added to the differences.
        swap: whether d(positive, negative) counts where it is smaller (Balntas et al. 2016).
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: the margin is not positive.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.triplet_margin_loss([[0.0]], [[2.0]], [[1.5]]).round(4))
        1.5
    """

    def distance(x1: Any, x2: Any) -> Any:
        return pairwise_distance(x1, x2, p, eps)

    given = (anchor, positive, negative)
    return _of_triplets("triplet_margin_loss", given, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """Return `triplet_margin_loss` with a distance of one's own.

    Args:
        anchor: a batch of examples, as the other two.
        positive: examples of the anchors' class.
        negative: examples of other classes.
        distance_function: called with two batches; `pairwise_distance` by default.
        margin: how much farther the negatives should be.
        swap: whether d(positive, negative) counts where it is smaller.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: the margin is not positive.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> def apart(x, y):
        ...     return 1.0 - F.cosine_similarity(x, y)
        >>> x, y, z = [[1.0, 0.0]], [[3.0, 0.0]], [[0.0, 2.0]]
        >>> float(F.triplet_margin_with_distance_loss(x, y, z, distance_function=apart, margin=1.5))
        0.5
    """
    name = "triplet_margin_with_distance_loss"
    distance = distance_function or pairwise_distance
    return _of_triplets(name, (anchor, positive, negative), distance, margin, swap, reduction)


# ---- parts --------------------------------------------------------------------------------------


def _of_triplets(
    name: str,
    given: tuple[Any, Any, Any],
    distance: Callable[[Any, Any], Any],
    margin: float,
    swap: bool,
    reduction: str,
) -> Any:
    """Return max(0, margin + d(anchor, positive) - d(anchor, negative)), reduced."""
    margin = positive_number(name, "margin", margin)
    anchor, positive = pair(name, given[0], given[1])
    anchor, negative = pair(name, anchor, given[2])
    far = distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return reduced(name, _at_least_0(margin + distance(anchor, positive) - far), reduction)


def _at_least_0(x: Any) -> Any:
    """Return max(x, 0), with the slope 1 at 0, as PyTorch has it in these losses."""
    return functions.clip(x, 0.0)


def _rows(name: str, input: Any) -> tuple[Any, bool]:
    """Return scores (m, classes), and whether one example came without a batch."""
    scores = floating(input)
    if scores.ndim > 2:
        raise ShapeError(f"{name}: expected scores (m, classes) or (classes,), got {scores.shape}")
    return (scores, False) if scores.ndim == 2 else (scores.reshape(1, -1), True)


__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]
