# ruff: noqa: A002 - `input` is PyTorch's name
"""Losses as modules, over `functional`: of numbers, of classes, of distributions.

All take ``reduction=``: "mean", "sum", "none", or "batchmean", the sum over everything divided by
the number of examples. Losses refuse shapes that would broadcast, such as (n,) against (n, 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn.functional.reducing import check_reduction, positive_number, raw
from tinygrad_course.nn.module import Module
from tinygrad_course.nn.parameter import Buffer


class Loss(Module):
    """Base of the losses: keeps the reduction, and shows the options.

    Raises:
        ArgumentError: the reduction is unknown.
    """

    function: ClassVar[Callable[..., Any]]

    def __init__(self, *, reduction: str = "mean") -> None:
        check_reduction(type(self).__name__, reduction)
        self.reduction = reduction

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of the input against the target."""
        return type(self).function(input, target, reduction=self.reduction)

    def extra_repr(self) -> str:
        """Return the options that are numbers or words."""
        options = {k: v for k, v in vars(self).items() if isinstance(v, bool | int | float | str)}
        options.pop("training", None)
        return ", ".join(f"{key}={value!r}" for key, value in options.items())


def constant(weight: Any) -> Buffer | None:
    """Return weights of a loss as a part of its state, as in PyTorch."""
    return None if weight is None else Buffer(raw(weight))


# ---- of classes -------------------------------------------------------------------------------


class CrossEntropyLoss(Loss):
    """Cross-entropy of softmax(scores) with labels or probabilities.

    L = -w[y] log softmax(z)[y] for labels y, whose derivative is a - y with a = softmax(z); and
    -Σ_c w[c] y[c] log softmax(z)[c] for probabilities. Scores have shape (m, classes),
    (m, classes, ...) or (classes,); labels have it without the classes, probabilities as it is.
    Source: lesson 3.4 of the notes.

    Args:
        weight: one weight per class; the mean over labels becomes Σ L / Σ w[y].
        ignore_index: examples with this label cost nothing, and do not count in the mean.
        reduction: "mean", "sum", "none", or "batchmean".
        label_smoothing: ε: the target becomes (1 - ε) y + ε / classes (Szegedy et al. 2016).

    Raises:
        ShapeError: the shapes do not fit: (n, 1) labels, or an empty batch.
        ArgumentError: a label or probability is out of range, or all labels are ignored.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.CrossEntropyLoss()([[0.0, 0.0]], [1]).round(4))
        0.6931
        >>> float(nn.CrossEntropyLoss(label_smoothing=0.5)([[0.0, 4.0]], [1]).round(4))
        1.0181
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction=reduction)
        self.weight = constant(weight)
        self.ignore_index, self.label_smoothing = ignore_index, float(label_smoothing)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores against labels or probabilities."""
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(Loss):
    """Negative log-likelihood -w[y] x[y] of labels y, given log-probabilities x.

    After LogSoftmax it is `CrossEntropyLoss`, with its shapes and options.

    Args:
        weight: one weight per class; the mean becomes Σ L / Σ w[y].
        ignore_index: examples with this label cost nothing, and do not count in the mean.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a label is out of range, or all labels are ignored.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> float(nn.NLLLoss()(np.log([[0.25, 0.75]]), [0]).round(4))
        1.3863
    """

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        self.weight, self.ignore_index = constant(weight), ignore_index

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of log-probabilities against labels."""
        options: Any = {"ignore_index": self.ignore_index, "reduction": self.reduction}
        return F.nll_loss(input, target, self.weight, **options)


class BCELoss(Loss):
    """Cross-entropy -w (y log p + (1 - y) log(1 - p)) of probabilities p with targets in [0, 1].

    The logarithms are at least -100, and the derivative is (p - y) / (p (1 - p)) with a denominator
    of at least 1e-12, as in PyTorch: a wrong certainty costs 100. `BCEWithLogitsLoss` takes the
    scores instead, and is exact for all of them. Summed over the outputs and averaged over the
    examples, reduction="batchmean", it is the cross-entropy cost of Nielsen's network2.py.

    Args:
        weight: w, which broadcasts to the probabilities.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: a probability is outside [0, 1], or nan.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.BCELoss(reduction="none")([0.5, 0.0], [1.0, 1.0]).round(4)
        array([  0.6931, 100.    ])
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.weight = constant(weight)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of probabilities against targets."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """Cross-entropy of sigmoid(z) with targets y in [0, 1], stable for any score z.

    L = -w (q y log σ(z) + (1 - y) log(1 - σ(z))); without weights its derivative is a - y with
    a = σ(z), the `delta` of Nielsen's CrossEntropyCost. His cost is the sum over the outputs,
    averaged over the mini-batch: reduction="batchmean", where PyTorch's "mean" divides by the
    number of outputs, too, and so learns ten times more slowly from digits at the same learning
    rate (lesson 004 of the notes).

    Args:
        weight: w, which broadcasts to the scores.
        reduction: "mean", "sum", "none", or "batchmean".
        pos_weight: q, the weight of the positive class, which broadcasts to the scores.

    Raises:
        ShapeError: the shapes differ, or weights do not broadcast.
        ArgumentError: a target is outside [0, 1].

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> z, y = np.zeros((2, 10)), np.eye(10)[[3, 7]]
        >>> [float(nn.BCEWithLogitsLoss(reduction=r)(z, y).round(4)) for r in ("mean", "batchmean")]
        [0.6931, 6.9315]
    """

    def __init__(
        self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
    ) -> None:
        super().__init__(reduction=reduction)
        self.weight, self.pos_weight = constant(weight), constant(pos_weight)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores against targets."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


# ---- of numbers -------------------------------------------------------------------------------


class MSELoss(Loss):
    """Mean squared error: the mean of (x - y)² of two Tensors of one shape.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.MSELoss()([1.0, 3.0], [1.0, 1.0]))
        2.0
    """

    function = staticmethod(F.mse_loss)


class QuadraticCost(Loss):
    """Nielsen's quadratic cost: ½ Σ (a - y)² over the outputs, averaged over the mini-batch.

    The first axis counts the examples; reduction="none" gives one cost for each. It is half of
    ``MSELoss(reduction="batchmean")``. Behind a sigmoid its derivative by the score is
    (a - y) σ'(z), Nielsen's `delta`: a saturated unit learns slowly, however wrong it is.
    Source: lesson 004 of the notes.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.QuadraticCost()([[1.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]))
        1.25
    """

    function = staticmethod(F.quadratic_cost)


class L1Loss(Loss):
    """Mean absolute error: the mean of |x - y|; its derivative at 0 is 0.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.L1Loss()([1.0, 3.0], [1.0, 1.0]))
        1.0
    """

    function = staticmethod(F.l1_loss)


class HuberLoss(Loss):
    """½ d² for differences |d| ≤ delta, and delta (|d| - ½ delta) beyond (Huber 1964).

    Args:
        reduction: "mean", "sum", "none", or "batchmean".
        delta: where the parabola becomes a line.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: delta is not positive.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.HuberLoss("none")([0.5, 3.0], [0.0, 0.0])
        array([0.125, 2.5  ])
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = positive_number("HuberLoss", "delta", delta)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of x against y."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class SmoothL1Loss(Loss):
    """½ d² / beta for differences |d| < beta, and |d| - ½ beta beyond (Girshick 2015).

    It is `HuberLoss` divided by beta; with beta=0 it is `L1Loss`.

    Args:
        reduction: "mean", "sum", "none", or "batchmean".
        beta: where the parabola becomes a line.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: beta is negative.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.SmoothL1Loss(reduction="none", beta=2.0)([0.5, 3.0], [0.0, 0.0])
        array([0.0625, 2.    ])
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.beta = positive_number("SmoothL1Loss", "beta", beta, zero=True)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of x against y."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


# ---- of distributions -------------------------------------------------------------------------


class KLDivLoss(Loss):
    """Kullback-Leibler divergence: y (log y - x) of log-probabilities x from probabilities y.

    Args:
        reduction: "batchmean" is the mathematical divergence, the sum over the classes averaged
            over the examples; "mean" divides by the classes, too, as PyTorch's.
        log_target: whether the target is given as logarithms.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: a probability is negative.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> x, y = np.log([[0.5, 0.5]]), [[0.0, 1.0]]
        >>> float(nn.KLDivLoss(reduction="batchmean")(x, y).round(4))
        0.6931
    """

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.log_target = log_target

    def forward(self, input: Any, target: Any) -> Any:
        """Return the divergence of x from y."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class GaussianNLLLoss(Loss):
    """Negative log-likelihood ½ (log v + (y - x)² / v) of a normal distribution N(x, v).

    Args:
        full: whether to add the constant ½ log 2π.
        eps: the least variance. As in PyTorch the derivative ignores the limit, so that a variance
            that has become too small can grow again.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a variance is negative.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.GaussianNLLLoss()([1.0], [3.0], [4.0]).round(4))
        1.1931
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, positive_number("GaussianNLLLoss", "eps", eps)

    def forward(self, input: Any, target: Any, var: Any) -> Any:  # type: ignore[override]
        """Return the loss of expected values and variances against what was observed."""
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class PoissonNLLLoss(Loss):
    """Negative log-likelihood exp(x) - y x of counts y that have a Poisson distribution.

    Args:
        log_input: whether x is the logarithm of the rate; else the loss is x - y log(x + eps).
        full: whether to add Stirling's y log y - y + ½ log(2π y) for counts above 1.
        eps: keeps the logarithm of a rate of 0 finite.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.PoissonNLLLoss()([0.0], [2.0]))
        1.0
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        *,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.log_input, self.full = log_input, full
        self.eps = positive_number("PoissonNLLLoss", "eps", eps)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of x against counts."""
        options: Any = {"eps": self.eps, "reduction": self.reduction}
        return F.poisson_nll_loss(input, target, self.log_input, self.full, **options)


__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "QuadraticCost",
    "SmoothL1Loss",
]
