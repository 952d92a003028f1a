"""Losses as modules, over `functional`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tinygrad_course.errors import ArgumentError
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn.module import Module


class _Loss(Module):
    """A loss with a reduction: "mean", "sum" or "none"."""

    function: ClassVar[Callable[..., Any]]

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum", "none"):
            raise ArgumentError(
                f"{type(self).__name__}: unknown reduction {reduction!r}; "
                f"expected 'mean', 'sum' or 'none'"
            )
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        """Return the loss of x against target."""
        return type(self).function(x, target, self.reduction)


class CrossEntropyLoss(_Loss):
    """Cross-entropy of softmax(scores) with labels (m,) or probabilities (m, classes).

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.CrossEntropyLoss()([[0.0, 0.0]], [1]).round(4))
        0.6931
    """

    function = staticmethod(F.cross_entropy)


class BCEWithLogitsLoss(_Loss):
    """Cross-entropy of sigmoid(scores) with targets in [0, 1], stable for any score.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.BCEWithLogitsLoss()([0.0], [1.0]).round(4))
        0.6931
    """

    function = staticmethod(F.binary_cross_entropy_with_logits)


class MSELoss(_Loss):
    """Mean squared error of two Tensors of one shape.

    Example:
        >>> from tinygrad_course import nn
        >>> float(nn.MSELoss()([1.0, 3.0], [1.0, 1.0]))
        2.0
    """

    function = staticmethod(F.mse_loss)


__all__ = [
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "MSELoss",
]
