"""Dropout: noise in training, nothing in evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn.module import Module


class Dropout(Module):
    """Inverted dropout: in training zero elements with probability p, scale the others by 1/(1-p).

    Args:
        p: probability of zeroing.
        keep_prob: the notes' word: 1 - p; give one of the two.
        generator: draws the masks.

    Raises:
        ArgumentError: the probability lies outside [0, 1], or both words are given.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Dropout(keep_prob=0.8)
        Dropout(p=0.2)
    """

    def __init__(
        self,
        p: float | None = None,
        *,
        keep_prob: float | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        if p is not None and keep_prob is not None:
            raise ArgumentError("Dropout: give p or keep_prob, not both; p = 1 - keep_prob")
        if keep_prob is not None:
            p = 1.0 - keep_prob
        self.p = 0.5 if p is None else float(p)
        if not 0.0 <= self.p <= 1.0:
            word = f"p={p!r}" if keep_prob is None else f"keep_prob={keep_prob!r}"
            raise ArgumentError(f"Dropout: {word} is not a probability in [0, 1]")
        self.generator = generator

    def forward(self, x: Any) -> Any:
        """Return x with some elements zeroed in training, x itself in evaluation."""
        return F.dropout(x, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p:g}"


__all__ = [
    "Dropout",
]
