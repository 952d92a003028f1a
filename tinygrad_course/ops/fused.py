"""Primitives that do in one step what a network does most: losses and dropout.

Each has a fast rule on arrays and, beside it, the same function as a formula in differentiable
operations, which serves when the backward pass itself is recorded. A test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError
from tinygrad_course.kernels import kernel
from tinygrad_course.ops.activations import sigmoid
from tinygrad_course.ops.choices import where
from tinygrad_course.ops.contraction import ones
from tinygrad_course.ops.indexing import getitem
from tinygrad_course.ops.reduction import log_softmax_along
from tinygrad_course.ops.samples import values
from tinygrad_course.primitive import Op, Sample, primitive

# ---- softmax and cross-entropy --------------------------------------------------------------


@kernel
def _check_labels(scores: Any, labels: Any, ignore_index: int | None) -> tuple[Any, Any]:
    """Return the labels as int64, and the mask of the rows to ignore or None.

    Ignored labels become 0. Rows are only looked for where a label is out of range, or where
    `ignore_index` is a class.
    """
    m, classes = scores.shape
    if labels.shape != (m,) or labels.dtype.kind not in "iu":
        hint = "; drop the last axis with labels[:, 0]" if labels.shape == (m, 1) else ""
        raise ValueError(
            f"labels of shape {labels.shape} and dtype {labels.dtype} do not name one class per "
            f"row{hint}"
        )
    if labels.dtype != np.int64:
        labels = labels.astype(np.int64)
    # One pass: seen as unsigned numbers, negative labels are the largest of all.
    unsigned = labels.view("u8")
    a_class = ignore_index is not None and 0 <= ignore_index < classes
    if not a_class and not (m and np.maximum.reduce(unsigned) >= classes):
        return labels, None
    ignored = np.zeros(m, bool) if ignore_index is None else labels == ignore_index
    wrong = (unsigned >= classes) & ~ignored
    if wrong.any():
        bad = int(np.argmax(wrong))
        raise ArgumentError(
            f"softmax_cross_entropy: label {labels[bad]} in row {bad} is outside "
            f"0..{classes - 1}; the scores have {classes} columns"
        )
    return (np.where(ignored, 0, labels), ignored) if ignored.any() else (labels, None)


def _count(m: int, ignored: Any) -> int:
    """Return how many rows the mean is taken of."""
    count = m - int(np.count_nonzero(ignored))
    if not count:
        raise ArgumentError(
            "softmax_cross_entropy: every label is ignore_index, and the mean of nothing is not a "
            "number; leave such a batch out"
        )
    return count


def _cross_entropy(
    scores: Any, labels: Any, *, reduction: str = "none", ignore_index: int | None = None
) -> Any:
    labels, ignored = _check_labels(scores, labels, ignore_index)
    m, classes = scores.shape
    chosen = np.arange(0, m * classes, classes) + labels  # one flat index is faster than two
    # The maximum of short rows, once there are many, is faster along the transpose's columns.
    largest = np.maximum.reduce(scores.T.copy(), axis=0)
    # In C order whatever the scores' is: reshape(-1) must be the same memory, not a copy.
    z = np.subtract(scores, largest[:, None], order="C")
    picked = z.reshape(-1)[chosen]
    e = np.exp(z, out=z)
    total = np.dot(e, ones(classes, e.dtype))
    losses = np.log(total) - picked
    e /= total[:, None]
    e.reshape(-1)[chosen] -= 1  # now softmax - onehot: the derivative itself
    if ignored is not None:
        losses[ignored] = 0
        e[ignored] = 0
    if reduction == "none":
        return losses, e
    ans = np.add.reduce(losses)
    if reduction == "sum":
        return ans, e
    if ignored is None:
        return ans / m, e
    count = _count(m, ignored)
    e *= m / count  # the rule divides by m
    return ans / count, e


def _cross_entropy_rule(
    g: Any,
    _ans: Any,
    _scores: Any,
    _labels: Any,
    *,
    reduction: str = "none",
    ignore_index: int | None = None,  # noqa: ARG001 - its rows are 0 in the residuals
    residuals: Any,
    wanted: Any,  # noqa: ARG001 - labels never are
) -> Any:
    if reduction == "mean":
        g = g / len(residuals)
    return residuals * (g[:, None] if reduction == "none" else g), None


def _cross_entropy_formula(
    scores: Any, labels: Any, *, reduction: str = "none", ignore_index: int | None = None
) -> Any:
    labels, ignored = _check_labels(scores, labels, ignore_index)
    m = scores.shape[0]
    losses = -getitem(log_softmax_along(scores, axis=1), key=(np.arange(m), labels))
    if ignored is not None:
        losses = where(ignored, 0.0, losses)
    if reduction == "none":
        return losses
    total = losses.sum()
    return total if reduction == "sum" else total / (m if ignored is None else _count(m, ignored))


def _labelled(rng: np.random.Generator) -> Iterator[Sample]:
    yield (values(rng, (4, 3), -2, 2), np.array([0, 2, 1, 2])), {}
    yield (values(rng, (1, 2), -2, 2), np.array([1])), {}
    yield (values(rng, (2, 1), -2, 2), np.array([0, 0])), {}
    for reduction in ("mean", "sum"):
        yield (values(rng, (3, 4), -2, 2), np.array([3, 3, 0])), {"reduction": reduction}
        holes = {"reduction": reduction, "ignore_index": -1}
        yield (values(rng, (4, 3), -2, 2), np.array([2, -1, 0, -1])), holes
    yield (values(rng, (4, 3), -2, 2), np.array([2, 1, 0, 1])), {"ignore_index": 1}


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
    labels (m,); the result has shape (m,), or is one number with reduction="mean" or "sum". Rows
    whose label is `ignore_index` cost nothing, and the mean is taken of the others.

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
    "logistic_loss",
    "softmax_cross_entropy",
]
