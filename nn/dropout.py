"""Dropout: noise in training, nothing in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tinygrad_course.errors import ArgumentError
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn.module import Module


class _Dropout(Module):
    """What all forms share: the probability, under either name, and the generator."""

    function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        p: float | None = None,
        inplace: bool = False,
        *,
        keep_prob: float | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        name = type(self).__name__
        if p is not None and keep_prob is not None:
            raise ArgumentError(f"{name}: give p or keep_prob, not both; p = 1 - keep_prob")
        if keep_prob is not None:
            p = 1.0 - keep_prob
        self.p = 0.5 if p is None else float(p)
        if not 0.0 <= self.p <= 1.0:
            word = f"p={p!r}" if keep_prob is None else f"keep_prob={keep_prob!r}"
            raise ArgumentError(f"{name}: {word} is not a probability in [0, 1]")
        self.inplace, self.generator = inplace, generator

    def forward(self, x: Any) -> Any:
        """Return x with noise in training, x itself in evaluation."""
        return type(self).function(x, self.p, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p:g}"


class Dropout(_Dropout):
    """Inverted dropout: in training zero elements with probability p, scale the others by 1/(1-p).

    The original form scales nothing in training, and multiplies by 1-p in evaluation; it is the
    same as halving the outgoing weights of a layer that was trained with p = 1/2.
    Source: lesson 6 of the notes; Srivastava et al. 2014; Nielsen, chapter 3.

    Args:
        p: probability of zeroing.
        inplace: PyTorch's advice about memory; it changes nothing.
        keep_prob: the notes' word: 1 - p; give one of the two.
        generator: draws the masks.
        inverted: False for the original form.

    Raises:
        ArgumentError: the probability lies outside [0, 1], or both words are given.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Dropout(keep_prob=0.8)
        Dropout(p=0.2)
        >>> nn.Dropout(0.5, inverted=False).eval()([1.0, 2.0])
        array([0.5, 1. ])
    """

    def __init__(
        self,
        p: float | None = None,
        inplace: bool = False,
        *,
        keep_prob: float | None = None,
        generator: np.random.Generator | None = None,
        inverted: bool = True,
    ) -> None:
        super().__init__(p, inplace, keep_prob=keep_prob, generator=generator)
        self.inverted = inverted

    def forward(self, x: Any) -> Any:
        """Return x with some elements zeroed in training, x itself in evaluation."""
        return F.dropout(x, self.p, self.training, generator=self.generator, inverted=self.inverted)

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p:g}{'' if self.inverted else ', inverted=False'}"


class Dropout1d(_Dropout):
    """Dropout of whole channels of signals (m, channels, length).

    Source: Tompson et al. 2015.

    Args:
        p: probability of zeroing.
        inplace: PyTorch's advice about memory; it changes nothing.
        keep_prob: the notes' word: 1 - p; give one of the two.
        generator: draws the masks.

    Raises:
        ArgumentError: the probability lies outside [0, 1], or both words are given.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Dropout1d(0.2).eval()(np.ones((1, 1, 3)))
        array([[[1., 1., 1.]]])
    """

    function = F.dropout1d


class Dropout2d(_Dropout):
    """`Dropout1d` for images (m, channels, height, width).

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Dropout2d(0.2)(np.ones((4, 3, 8, 8))).shape
        (4, 3, 8, 8)
    """

    function = F.dropout2d


class AlphaDropout(_Dropout):
    """Dropout for nets of `SELU`: mean 0 and variance 1 stay what they are.

    Elements become the left limit of `SELU` instead of 0. Source: Klambauer et al. 2017.

    Args:
        p: probability of replacing an element.
        inplace: PyTorch's advice about memory; it changes nothing.
        keep_prob: 1 - p; give one of the two.
        generator: draws the masks.

    Raises:
        ArgumentError: the probability lies outside [0, 1], or both words are given.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.AlphaDropout(0.2)
        AlphaDropout(p=0.2)
    """

    function = F.alpha_dropout


__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
]
