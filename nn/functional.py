"""Layers and losses as functions, with PyTorch's names and words (`dim`, `reduction`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.functions import speaks
from tinygrad_course.graph import no_grad
from tinygrad_course.random import generator as default_generator
from tinygrad_course.tensor import Tensor

speaks_torch = speaks("PyTorch", {"axis": "dim", "keepdims": "keepdim"})

linear = ops.linear
relu = ops.relu
sigmoid = ops.sigmoid
tanh = ops.tanh
softplus = ops.softplus


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """Rectify with a slope below 0.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.leaky_relu([-1.0, 2.0], 0.1)
        array([-0.1,  2. ])
    """
    return ops.leaky_relu(x, negative_slope=float(negative_slope))


def _existing(name: str, x: Any, dim: int) -> int:
    rank = np.ndim(x)
    if not -rank <= dim < rank:
        raise ShapeError(f"{name}: dim {dim} does not exist in shape {np.shape(x)}")
    return dim


@speaks_torch
def softmax(x: Any, dim: int) -> Any:
    """Turn scores into probabilities along `dim`: e**x / sum(e**x).

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.softmax([[0.0, 0.0]], dim=1)
        array([[0.5, 0.5]])
    """
    return functions.softmax(x, axis=_existing("softmax", x, dim))


@speaks_torch
def log_softmax(x: Any, dim: int) -> Any:
    """Take log(softmax(x)) along `dim`.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.log_softmax([[0.0, 0.0]], dim=1).round(4)
        array([[-0.6931, -0.6931]])
    """
    return functions.log_softmax(x, axis=_existing("log_softmax", x, dim))


def dropout(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    generator: np.random.Generator | None = None,
) -> Any:
    """Zero each element with probability p and scale the others by 1/(1-p): inverted dropout.

    The probability is rounded to a multiple of 2**-16, and the scale is that of the rounded one.
    Source: lesson 6 of the notes; Srivastava et al. 2014.

    Raises:
        ArgumentError: p lies outside [0, 1].

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.dropout(np.ones(4), p=0.5, training=False)
        array([1., 1., 1., 1.])
    """
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout: p must lie in [0, 1], got {p!r}; it is 1 - keep_prob")
    if not training or p == 0.0:
        return x
    shape = np.shape(x)
    keep = ops.effective_keep(1.0 - p)
    mask = ops.random_mask(generator=default_generator(generator), shape=shape, keep_prob=keep)
    return ops.apply_mask(x, mask, scale=1.0 / keep if keep else 0.0)


def batch_norm(
    x: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize each channel of x (m, channels, ...): with its batch, or with running statistics.

    y = (x - mean) / sqrt(var + eps) * weight + bias. In training the batch's biased variance
    normalizes, and the running averages move towards the batch's mean and unbiased variance:
    running = (1 - momentum) running + momentum batch. Source: Ioffe and Szegedy 2015.

    Raises:
        ShapeError: x has fewer than two axes, or training with one value per channel.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.batch_norm(np.array([[1.0], [3.0]]), None, None, training=True, eps=0.0)
        array([[-1.],
               [ 1.]])
    """
    eps, momentum = float(eps), float(momentum)  # a NumPy scalar would upcast float32
    shape = np.shape(x)
    if len(shape) < 2:
        raise ShapeError(f"batch_norm: expected x of shape (m, channels, ...), got {shape}")
    if not training and running_mean is not None and running_var is not None:
        along = (1, -1, *(1,) * (len(shape) - 2))
        scale = 1.0 / ops.sqrt(running_var + eps)
        if weight is not None:
            scale = weight * scale
        shift = -running_mean * scale if bias is None else bias - running_mean * scale
        return x * scale.reshape(along) + shift.reshape(along)
    count = int(np.prod(shape)) // max(shape[1], 1)
    if count < 2:
        raise ShapeError(
            f"batch_norm: training needs more than one value per channel, got shape {shape}; "
            f"use a larger batch, or eval mode"
        )
    y, mean, var = ops.batch_norm(x, weight, bias, eps=eps)
    with no_grad():
        if running_mean is not None:
            ops.assign(running_mean, running_mean + momentum * (mean - running_mean))
        if running_var is not None:
            unbiased = var * (count / (count - 1))
            ops.assign(running_var, running_var + momentum * (unbiased - running_var))
    return y


# ---- losses -----------------------------------------------------------------------------------


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
