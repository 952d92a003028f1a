"""Primitives that do in one step what a network does most: losses and batch normalization.

Each has a fast rule on arrays and, beside it, the same function as a formula in differentiable
operations, which serves when the backward pass itself is recorded. A test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError
from tinygrad_course.ops.activations import sigmoid
from tinygrad_course.ops.arithmetic import multiply
from tinygrad_course.ops.indexing import getitem
from tinygrad_course.ops.powers import sqrt
from tinygrad_course.ops.reduction import log_softmax_along, reduce_mean, reduce_var
from tinygrad_course.ops.samples import values
from tinygrad_course.primitive import Op, Sample, primitive

# ---- softmax and cross-entropy --------------------------------------------------------------


def _check_labels(scores: Any, labels: Any) -> None:
    m, classes = scores.shape
    if labels.shape != (m,) or labels.dtype.kind not in "iu":
        hint = "; drop the last axis with labels[:, 0]" if labels.shape == (m, 1) else ""
        raise ValueError(
            f"labels of shape {labels.shape} and dtype {labels.dtype} do not name one class per "
            f"row{hint}"
        )
    # One pass: seen as unsigned numbers, negative labels are the largest of all.
    labels = _plain_labels(labels)
    unsigned = labels.view(f"u{labels.itemsize}")
    if m and np.maximum.reduce(unsigned) >= classes:
        bad = int(np.argmax(unsigned >= classes))
        raise ArgumentError(
            f"softmax_cross_entropy: label {labels[bad]} in row {bad} is outside "
            f"0..{classes - 1}; the scores have {classes} columns"
        )


def _plain_labels(labels: Any) -> Any:
    """Return labels as int64 in this machine's byte order."""
    return labels if labels.dtype == np.int64 else labels.astype(np.int64)


def _cross_entropy(scores: Any, labels: Any, *, reduction: str = "none") -> Any:
    _check_labels(scores, labels)
    labels = _plain_labels(labels)
    m, classes = scores.shape
    chosen = np.arange(0, m * classes, classes) + labels  # one flat index is faster than two
    # The maximum of short rows, once there are many, is faster along the transpose's columns.
    largest = np.maximum.reduce(scores.T.copy(), axis=0)
    # In C order whatever the scores' is: reshape(-1) must be the same memory, not a copy.
    z = np.subtract(scores, largest[:, None], order="C")
    picked = z.reshape(-1)[chosen]
    e = np.exp(z, out=z)
    total = np.add.reduce(e, axis=1, keepdims=True)
    losses = np.log(total[:, 0]) - picked
    e /= total
    e.reshape(-1)[chosen] -= 1  # now softmax - onehot: the derivative itself
    if reduction == "none":
        return losses, e
    ans = np.add.reduce(losses)
    return (ans / m if reduction == "mean" else ans), e


def _cross_entropy_rule(
    g: Any,
    _ans: Any,
    _scores: Any,
    _labels: Any,
    *,
    reduction: str = "none",
    residuals: Any,
    wanted: Any,  # noqa: ARG001 - labels never are
) -> Any:
    if reduction == "mean":
        g = g / len(residuals)
    return residuals * (g[:, None] if reduction == "none" else g), None


def _cross_entropy_formula(scores: Any, labels: Any, *, reduction: str = "none") -> Any:
    rows = np.arange(scores.shape[0])
    losses = -getitem(log_softmax_along(scores, axis=1), key=(rows, labels))
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def _labelled(rng: np.random.Generator) -> Iterator[Sample]:
    yield (values(rng, (4, 3), -2, 2), np.array([0, 2, 1, 2])), {}
    yield (values(rng, (1, 2), -2, 2), np.array([1])), {}
    yield (values(rng, (2, 1), -2, 2), np.array([0, 0])), {}
    for reduction in ("mean", "sum"):
        yield (values(rng, (3, 4), -2, 2), np.array([3, 3, 0])), {"reduction": reduction}


softmax_cross_entropy: Op = primitive(
    "softmax_cross_entropy",
    _cross_entropy,
    _labelled,
    joint=_cross_entropy_rule,
    real=True,
    formula=_cross_entropy_formula,
    residuals=True,
    expects="scores (m, classes) and m whole-number labels",
    doc="""Return each row's cross-entropy of softmax(scores): -log softmax(z)[label].

    Derivative: softmax(z) - onehot(label), the a - y of the notes. Scores have shape (m, classes),
    labels (m,); the result has shape (m,), or is one number with reduction="mean" or "sum".

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.softmax_cross_entropy(np.array([[5.0, 2.0, -1.0, 3.0]]), np.array([0])).round(4)
        array([0.1719])
    """,
)


# ---- logistic loss --------------------------------------------------------------------------


def _logistic_loss(scores: Any, targets: Any) -> Any:
    return np.maximum(scores, 0) - scores * targets + np.log1p(np.exp(-np.abs(scores)))


def _logistic_rule(g: Any, _ans: Any, scores: Any, targets: Any) -> Any:
    return g * (sigmoid(scores) - targets)


def _targets(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(), (3,), (2, 3), (0,)]:
        yield (values(rng, shape, -3, 3), values(rng, shape, 0.1, 0.9)), {}
    yield (values(rng, (3,), 30, 40), values(rng, (3,), 0.1, 0.9)), {}


logistic_loss: Op = primitive(
    "logistic_loss",
    _logistic_loss,
    _targets,
    _logistic_rule,
    lambda g, _ans, scores, _targets: -(g * scores),
    expects="scores and targets of one shape",
    real=True,
    doc="""Return the cross-entropy of sigmoid(z) with targets y, elementwise and without overflow.

    L = max(z, 0) - z y + log(1 + e**-|z|); derivatives sigmoid(z) - y and -z.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.logistic_loss([0.0, 1000.0], [1.0, 0.0]).round(4)
        array([6.931e-01, 1.000e+03])
    """,
)

# ---- batch normalization ---------------------------------------------------------------------


def _column(x: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes to average over and the shape that aligns a vector with the channels."""
    axes = (0, *range(2, x.ndim))
    return axes, (1, -1, *(1,) * (x.ndim - 2))


def _batch_norm(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    axes, along = _column(x)
    m = x.size // x.shape[1]
    mean = np.add.reduce(x, axis=axes) / m
    centred = x - mean.reshape(along)
    var = np.add.reduce(centred * centred, axis=axes) / m
    scale = 1 / np.sqrt(var + eps)
    normalized = np.multiply(centred, scale.reshape(along), out=centred)
    ans = normalized
    if weight is not None:
        ans = ans * weight.reshape(along)
    if bias is not None:
        ans = ans + bias.reshape(along)
    elif ans is normalized:
        ans = normalized.copy()  # the residual must not be the array that the caller gets
    return (ans, mean, var), (normalized, scale)


def _batch_norm_rule(
    g: Any,
    _ans: Any,
    x: Any,
    weight: Any,
    _bias: Any,
    *,
    eps: float,  # noqa: ARG001 - it stands in the residual `scale`
    residuals: Any,
    wanted: Any,
) -> Any:
    upstream, g_mean, g_var = g
    normalized, scale = residuals
    axes, along = _column(x)
    m = x.size // x.shape[1]
    if upstream is None:
        upstream = np.zeros_like(normalized)
    d_bias = np.add.reduce(upstream, axis=axes)
    d_weight = np.add.reduce(upstream * normalized, axis=axes)
    if not wanted[0]:
        return None, d_weight, d_bias
    factor = scale if weight is None else scale * weight
    d_x = normalized * (d_weight / -m).reshape(along)
    d_x += upstream
    d_x -= (d_bias / m).reshape(along)
    d_x *= factor.reshape(along)
    if g_mean is not None:
        d_x += (g_mean / m).reshape(along)
    if g_var is not None:  # x - mean is normalized / scale
        d_x += normalized * (g_var * (2 / m) / scale).reshape(along)
    return d_x, d_weight, d_bias


def _batch_norm_formula(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    axes, along = _column(x)
    mean = reduce_mean(x, axis=axes, keepdims=True)
    var = reduce_var(x, axis=axes, keepdims=True, ddof=0)
    ans = (x - mean) / sqrt(var + eps)
    if weight is not None:
        ans = multiply(ans, weight.reshape(along))
    if bias is not None:
        ans = ans + bias.reshape(along)
    channels = (x.shape[1],)
    return ans, mean.reshape(channels), var.reshape(channels)


def _batches(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(4, 3), (5, 1), (2, 3, 2), (2, 2, 2, 3)]:
        x, weight, bias = (values(rng, s, -2, 2) for s in (shape, (shape[1],), (shape[1],)))
        yield (x, weight, bias), {"eps": 1e-5}
        yield (x, None, None), {"eps": 1e-3}
    yield (values(rng, (4, 3), -2, 2), values(rng, (3,), -2, 2), None), {"eps": 1e-5}


batch_norm: Op = primitive(
    "batch_norm",
    _batch_norm,
    _batches,
    joint=_batch_norm_rule,
    real=True,
    formula=_batch_norm_formula,
    residuals=True,
    outputs=3,
    optional=True,
    expects="x (m, channels, ...), weight and bias (channels,) or None",
    doc="""Normalize each channel over the batch: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Returns (y, mean, var): the statistics, with the biased variance, feed the running averages.
    Source: Ioffe and Szegedy 2015; lesson 3.2 of the notes.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> y, mean, var = tc.batch_norm(np.array([[1.0], [3.0]]), None, None, eps=0.0)
        >>> y.ravel(), mean, var
        (array([-1.,  1.]), array([2.]), array([1.]))
    """,
)

# ---- dropout -----------------------------------------------------------------------------------


def _apply_mask(x: Any, mask: Any, *, scale: float) -> Any:
    ans = np.multiply(x, mask)
    return np.multiply(ans, scale, out=ans) if ans.dtype.kind == "f" else ans * scale


def _masks(rng: np.random.Generator) -> Iterator[Sample]:
    mask = np.array([True, False, True])
    yield (values(rng, (2, 3), -2, 2), mask), {"scale": 1.25}
    yield (values(rng, (3,), -2, 2), mask), {"scale": 2.0}


apply_mask: Op = primitive(
    "apply_mask",
    _apply_mask,
    _masks,
    lambda g, _ans, _x, mask, *, scale: apply_mask(g, mask, scale=scale),
    None,
    expects="x and a mask that broadcasts to it",
    doc="""Keep the elements where the mask is true, multiplied by `scale`; the others become 0.""",
)


__all__ = [
    "apply_mask",
    "batch_norm",
    "logistic_loss",
    "softmax_cross_entropy",
]
