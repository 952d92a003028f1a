"""Batch normalization."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn.functional.normalization import normalize
from tinygrad_course.nn.module import Module, cast_input
from tinygrad_course.nn.options import positive
from tinygrad_course.nn.parameter import Buffer, Parameter, default_dtype


class BatchNorm(Module):
    """Batch normalization per channel: y = (x - mean) / sqrt(var + eps) * weight + bias.

    In training the batch's statistics normalize and feed the running averages, in evaluation the
    running averages normalize. As in PyTorch, the running variance is the unbiased one and
    `momentum` is the weight of the new value; None averages all batches. The notes call the weight
    of the old value β: ``beta=0.9`` is ``momentum=0.1``. With weight √(var + eps) and bias mean
    the layer is the identity. Source: Ioffe and Szegedy 2015; lesson 3.2 of the notes.

    Args:
        num_features: number of channels: the size of axis 1 of x.
        eps: added to the variance.
        momentum: weight of the batch in the running averages.
        affine: whether weight (γ of the notes) and bias (their β) are learned.
        bias: whether an affine layer learns a bias too.
        track_running_stats: whether to keep running averages.
        dtype: of parameters and averages.
        beta: the notes' word: 1 - momentum; give one of the two.

    Raises:
        ArgumentError: the size is not a positive whole number, or both words are given.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> y = nn.BatchNorm(2)(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> y.data.round(3)
        array([[-1.,  0.],
               [ 1.,  0.]], dtype=float32)
    """

    ranks: ClassVar[tuple[int, ...]] = ()
    shapes: ClassVar[str] = "(m, {}, ...)"

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = None,
        *,
        bias: bool = True,
        beta: float | None = None,
    ) -> None:
        name = type(self).__name__
        positive(name, num_features=num_features)
        if beta is not None:
            if momentum != 0.1:  # the default
                raise ArgumentError(f"{name}: give momentum or beta, not both; beta = 1 - momentum")
            if not 0.0 <= beta <= 1.0:
                raise ArgumentError(f"{name}: beta must lie in [0, 1], got {beta!r}")
            momentum = 1.0 - beta
        self.num_features, self.eps = num_features, float(eps)
        self.momentum = None if momentum is None else float(momentum)
        self.affine, self.track_running_stats = affine, track_running_stats
        kind = default_dtype(dtype)
        self.weight = Parameter(np.ones(num_features, kind)) if affine else None
        self.bias = Parameter(np.zeros(num_features, kind)) if affine and bias else None
        tracked = track_running_stats
        self.running_mean = Buffer(np.zeros(num_features, kind)) if tracked else None
        self.running_var = Buffer(np.ones(num_features, kind)) if tracked else None
        self.num_batches_tracked = Buffer(np.array(0)) if tracked else None

    def forward(self, x: Any) -> Any:
        """Normalize x of shape (m, num_features, ...)."""
        known = self.weight if self.weight is not None else self.running_mean
        x = cast_input(x, None if known is None else known._data.dtype)
        fits = x.ndim in self.ranks if self.ranks else x.ndim > 1
        if not fits or x.shape[1] != self.num_features:
            raise ShapeError(
                f"batch_norm{describe(SCOPE.get())}: expected x of shape "
                f"{self.shapes.format(self.num_features)}, got {x.shape}"
            )
        mean, var, count = self.running_mean, self.running_var, self.num_batches_tracked
        if not self.training or mean is None or var is None or count is None:
            batch = self.training or mean is None
            return F.batch_norm(x, mean, var, self.weight, self.bias, batch, 0.0, self.eps)
        y, new_mean, new_var, factor = normalize(x, self.weight, self.bias, self.eps)
        # Only now: a batch that was refused does not count.
        share = 1.0 / (count.item() + 1) if self.momentum is None else self.momentum
        ops.track_batch(mean, var, count, new_mean, new_var, share=share, factor=factor)
        return y

    def extra_repr(self) -> str:
        """Return the size and the options."""
        return (
            f"{self.num_features}, eps={self.eps:g}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(BatchNorm):
    """`BatchNorm` of (m, channels) or (m, channels, length) input, with PyTorch's name.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.BatchNorm1d(3)
        BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
    """

    ranks = (2, 3)
    shapes = "(m, {0}) or (m, {0}, length)"


class BatchNorm2d(BatchNorm):
    """`BatchNorm` of images (m, channels, height, width), with PyTorch's name.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.BatchNorm2d(3)(np.zeros((4, 3, 8, 8))).shape
        (4, 3, 8, 8)
    """

    ranks = (4,)
    shapes = "(m, {}, height, width)"


__all__ = [
    "BatchNorm",
    "BatchNorm1d",
    "BatchNorm2d",
]
