"""Layers that normalize: over the batch, over a layer, over groups of channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ShapeError
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn.module import Module, cast_input
from tinygrad_course.nn.options import positive
from tinygrad_course.nn.parameter import Buffer, Parameter, default_dtype


class BatchNorm(Module):
    """Batch normalization per channel: y = (x - mean) / sqrt(var + eps) * weight + bias.

    In training the batch's statistics normalize and feed the running averages, in evaluation the
    running averages normalize. As in PyTorch, the running variance is the unbiased one and
    `momentum` is the weight of the new value (1 - β of the notes); None averages all batches.

    Args:
        num_features: number of channels: the size of axis 1 of x.
        eps: added to the variance.
        momentum: weight of the batch in the running averages.
        affine: whether weight (γ) and bias (β) are learned.
        track_running_stats: whether to keep running averages.
        dtype: of parameters and averages.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> y = nn.BatchNorm(2)(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> y.data.round(3)
        array([[-1.,  0.],
               [ 1.,  0.]], dtype=float32)
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = None,
    ) -> None:
        positive("BatchNorm", num_features=num_features)
        self.num_features, self.eps = num_features, float(eps)
        self.momentum = None if momentum is None else float(momentum)
        kind = default_dtype(dtype)
        self.weight = Parameter(np.ones(num_features, kind)) if affine else None
        self.bias = Parameter(np.zeros(num_features, kind)) if affine else None
        tracked = track_running_stats
        self.running_mean = Buffer(np.zeros(num_features, kind)) if tracked else None
        self.running_var = Buffer(np.ones(num_features, kind)) if tracked else None
        self.num_batches_tracked = Buffer(np.array(0)) if tracked else None

    def forward(self, x: Any) -> Any:
        """Normalize x of shape (m, num_features, ...)."""
        known = self.weight if self.weight is not None else self.running_mean
        x = cast_input(x, None if known is None else known.dtype)
        if x.ndim < 2 or x.shape[1] != self.num_features:
            raise ShapeError(
                f"BatchNorm({self.num_features}): expected x of shape (m, {self.num_features}, "
                f"...), got {x.shape}"
            )
        batch = self.training or self.running_mean is None
        counter = self.num_batches_tracked if self.training else None
        momentum = self.momentum
        if momentum is None:
            momentum = 0.0 if counter is None else 1.0 / (counter.item() + 1)
        y = F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            batch,
            momentum,
            self.eps,
        )
        if counter is not None:  # only now: a batch that was refused does not count
            ops.assign(counter, counter + 1)
        return y

    def extra_repr(self) -> str:
        """Return the size and the options."""
        return f"{self.num_features}, eps={self.eps:g}, momentum={self.momentum}"


class BatchNorm1d(BatchNorm):
    """PyTorch's name for `BatchNorm` of (m, channels) or (m, channels, length) input."""


__all__ = [
    "BatchNorm",
    "BatchNorm1d",
]
