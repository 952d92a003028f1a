# ruff: noqa: A002 - `input` is PyTorch's name
"""Losses that ask for a margin, and distances, as modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_course.errors import ArgumentError
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn.functional.reducing import positive_number
from tinygrad_course.nn.losses import Loss, constant
from tinygrad_course.nn.module import Module


class HingeEmbeddingLoss(Loss):
    """x for targets 1, and max(0, margin - x) for targets -1; x is a distance.

    Args:
        margin: how large the distance of a pair that does not belong together should be.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: a target is neither 1 nor -1.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.HingeEmbeddingLoss(reduction="none")([0.3, 0.3], [1, -1])
        array([0.3, 0.7])
    """

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = float(margin)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of distances against 1 and -1."""
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class SoftMarginLoss(Loss):
    """log(1 + exp(-y x)) for targets y of 1 and -1: the logistic loss in other words.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: a target is 0, which would say nothing.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.SoftMarginLoss()([0.0], [1.0]).round(4))
        0.6931
    """

    function = staticmethod(F.soft_margin_loss)


class MultiMarginLoss(Loss):
    """The multi-class hinge: w[y] / classes · Σ_{c≠y} max(0, margin - x[y] + x[c])**p.

    With two classes whose scores are x/2 and -x/2 it is half of the support vector machine's hinge
    max(0, 1 - y x). The slope at the hinge is 0. Source: Crammer and Singer 2001.

    Args:
        p: 1, or 2 for the squared hinge.
        margin: how much the right score should be larger than the others.
        weight: one weight per class.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a label is out of range, or p is neither 1 nor 2.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.MultiMarginLoss()([[0.5, 0.25]], [0]))
        0.375
    """

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        if p not in (1, 2):
            raise ArgumentError(f"MultiMarginLoss: p must be 1 or 2, got {p!r}")
        self.p, self.margin, self.weight = p, float(margin), constant(weight)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores against labels."""
        return F.multi_margin_loss(
            input, target, self.p, self.margin, self.weight, reduction=self.reduction
        )


class MultiLabelMarginLoss(Loss):
    """Σ max(0, 1 - x[i] + x[j]) / classes over the labels i of an example and all other classes j.

    The target lists an example's labels and, after them, -1; it has the shape of the scores.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: a label is out of range.

    Example:
        >>> from tinygrad_course import nn
        >>> x, y = [[0.1, 0.2, 0.4, 0.8]], [[3, 0, -1, 1]]
        >>> float(nn.MultiLabelMarginLoss()(x, y).round(2))
        0.85
    """

    function = staticmethod(F.multilabel_margin_loss)


class MultiLabelSoftMarginLoss(Loss):
    """The mean over the classes of the logistic losses, each class being yes (1) or no (0).

    Args:
        weight: one weight per class, or of the scores' shape.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes differ, or the weights do not broadcast.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.MultiLabelSoftMarginLoss()([[0.0, 0.0]], [[1.0, 0.0]]).round(4))
        0.6931
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.weight = constant(weight)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores against zeros and ones."""
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class CosineEmbeddingLoss(Loss):
    """1 - cos(x1, x2) for targets 1, and max(0, cos(x1, x2) - margin) for targets -1.

    Args:
        margin: how large the cosine of a pair that does not belong together may be.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a target is neither 1 nor -1.

    Example:
        >>> from tinygrad_course import nn
        >>> x1, x2 = [[3.0, 4.0]] * 2, [[4.0, 3.0]] * 2
        >>> nn.CosineEmbeddingLoss(reduction="none")(x1, x2, [1, -1]).round(2)
        array([0.04, 0.96])
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = float(margin)

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:  # type: ignore[override]
        """Return the loss of two batches of vectors (m, n) against (m,)."""
        options: Any = {"reduction": self.reduction}
        return F.cosine_embedding_loss(input1, input2, target, self.margin, **options)


class MarginRankingLoss(Loss):
    """max(0, -y (x1 - x2) + margin): x1 should rank higher if y is 1, lower if y is -1.

    Args:
        margin: by how much it should.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.MarginRankingLoss(reduction="none")([1.0, 1.0], [3.0, 3.0], [1, -1])
        array([2., 0.])
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = float(margin)

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:  # type: ignore[override]
        """Return the loss of two batches of scores against 1 and -1."""
        options: Any = {"reduction": self.reduction}
        return F.margin_ranking_loss(input1, input2, target, self.margin, **options)


class TripletMarginLoss(Loss):
    """max(0, margin + d(anchor, positive) - d(anchor, negative)), d the `PairwiseDistance`.

    Source: Schroff et al. 2015 (FaceNet); swap: Balntas et al. 2016.

    Args:
        margin: how much farther the negatives should be.
        p: of the norm.
        eps: added to every difference.
        swap: whether d(positive, negative) counts where it is smaller than d(anchor, negative).
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: the margin is not positive.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.TripletMarginLoss()([[0.0]], [[2.0]], [[1.5]]).round(4))
        1.5
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.margin = positive_number("TripletMarginLoss", "margin", margin)
        self.p, self.eps, self.swap = float(p), float(eps), swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:  # type: ignore[override]
        """Return the loss of three batches of vectors (m, n)."""
        options: Any = {"swap": self.swap, "reduction": self.reduction}
        given = (anchor, positive, negative)
        return F.triplet_margin_loss(*given, self.margin, self.p, self.eps, **options)


class TripletMarginWithDistanceLoss(Loss):
    """`TripletMarginLoss` with a distance of one's own.

    Args:
        distance_function: called with two batches; `PairwiseDistance` by default.
        margin: how much farther the negatives should be.
        swap: whether d(positive, negative) counts where it is smaller than d(anchor, negative).
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: the margin is not positive.

    Example:
        >>> from tinygrad_course import nn
        >>> loss = nn.TripletMarginWithDistanceLoss(distance_function=nn.PairwiseDistance(p=1))
        >>> float(loss([[0.0, 0.0]], [[1.0, 1.0]], [[0.5, 0.5]]).round(4))
        2.0
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Any, Any], Any] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.margin = positive_number("TripletMarginWithDistanceLoss", "margin", margin)
        self.distance_function, self.swap = distance_function, swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:  # type: ignore[override]
        """Return the loss of three batches."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class CosineSimilarity(Module):
    """The cosine x1·x2 / (max(‖x1‖, eps) max(‖x2‖, eps)) along an axis.

    Args:
        dim: the axis of the vectors.
        eps: keeps the quotient finite for vectors of zeros.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.CosineSimilarity()([[3.0, 4.0]], [[4.0, 3.0]]).round(2)
        array([0.96])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim, self.eps = dim, float(eps)

    def forward(self, x1: Any, x2: Any) -> Any:
        """Return one cosine for every pair of vectors."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        """Return the options."""
        return f"dim={self.dim}, eps={self.eps:g}"


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps along the last axis.

    Args:
        p: of the norm: 2 is the Euclidean distance, 1 the sum of the absolute differences.
        eps: added to every difference.
        keepdim: whether the last axis stays, with size 1.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.PairwiseDistance()([[0.0, 0.0]], [[3.0, 4.0]]).round(4)
        array([5.])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        self.p, self.eps, self.keepdim = float(p), float(eps), keepdim

    def forward(self, x1: Any, x2: Any) -> Any:
        """Return one distance for every pair of vectors."""
        return F.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)

    def extra_repr(self) -> str:
        """Return the options."""
        return f"p={self.p:g}, eps={self.eps:g}, keepdim={self.keepdim}"


__all__ = [
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "PairwiseDistance",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]
