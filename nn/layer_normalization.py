"""Normalization of each example by itself; see `normalization` for that over the batch."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn.functional.layer_normalization import trailing
from tinygrad_course.nn.module import Module, cast_input
from tinygrad_course.nn.options import positive
from tinygrad_course.nn.parameter import Buffer, Parameter, default_dtype


def _dtype(parameter: Any) -> Any:
    return None if parameter is None else parameter._data.dtype


class LayerNorm(Module):
    """Normalization over the last axes: y = (x - mean) / sqrt(var + eps) * weight + bias.

    It is the same in training and evaluation. Source: Ba, Kiros and Hinton 2016.

    Args:
        normalized_shape: size of the last axis of x, or sizes of the last axes.
        eps: added to the variance.
        elementwise_affine: whether weight and bias are learned.
        bias: whether there is a bias beside the weight.
        dtype: of the parameters; float32 by default.

    Raises:
        ArgumentError: the sizes are no positive whole numbers.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.LayerNorm(2)(np.array([[1.0, 3.0], [5.0, 9.0]])).data.round(3)
        array([[-1.,  1.],
               [-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = trailing("LayerNorm", normalized_shape)
        self.eps, self.elementwise_affine = float(eps), elementwise_affine
        shape, kind = self.normalized_shape, default_dtype(dtype)
        self.weight = Parameter(np.ones(shape, kind)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(shape, kind)) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Any:
        """Normalize x of shape (..., *normalized_shape)."""
        x = cast_input(x, _dtype(self.weight))
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the sizes and the options."""
        bias = ", bias=False" if self.elementwise_affine and self.bias is None else ""
        return (
            f"{self.normalized_shape}, eps={self.eps:g}, "
            f"elementwise_affine={self.elementwise_affine}{bias}"
        )


class RMSNorm(Module):
    """Scaling over the last axes: y = x / sqrt(mean(x²) + eps) * weight.

    Source: Zhang and Sennrich 2019.

    Args:
        normalized_shape: size of the last axis of x, or sizes of the last axes.
        eps: added to the mean of the squares; None for the dtype's own.
        elementwise_affine: whether a weight is learned.
        dtype: of the weight; float32 by default.

    Raises:
        ArgumentError: the sizes are no positive whole numbers.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.RMSNorm(2)(np.array([[3.0, -3.0]])).data
        array([[ 1., -1.]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = trailing("RMSNorm", normalized_shape)
        self.eps = None if eps is None else float(eps)
        self.elementwise_affine = elementwise_affine
        start = np.ones(self.normalized_shape, default_dtype(dtype))
        self.weight = Parameter(start) if elementwise_affine else None

    def forward(self, x: Any) -> Any:
        """Scale x of shape (..., *normalized_shape)."""
        x = cast_input(x, _dtype(self.weight))
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Return the sizes and the options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    """Normalization of groups of channels: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Source: Wu and He 2018.

    Args:
        num_groups: into how many groups the channels are cut.
        num_channels: size of axis 1 of x.
        eps: added to the variance.
        affine: whether weight and bias, one number per channel, are learned.
        dtype: of the parameters; float32 by default.
        bias: whether there is a bias beside the weight.

    Raises:
        ArgumentError: the channels make no equal groups.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.GroupNorm(2, 4)(np.array([[1.0, 3.0, 5.0, 9.0]])).data.round(3)
        array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        positive("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ArgumentError(
                f"GroupNorm: num_channels={num_channels} is no multiple of num_groups={num_groups}"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = float(eps), affine
        kind = default_dtype(dtype)
        self.weight = Parameter(np.ones(num_channels, kind)) if affine else None
        self.bias = Parameter(np.zeros(num_channels, kind)) if affine and bias else None

    def forward(self, x: Any) -> Any:
        """Normalize x of shape (m, num_channels, ...)."""
        x = cast_input(x, _dtype(self.weight))
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(
                f"group_norm{describe(SCOPE.get())}: expected x of shape "
                f"(m, {self.num_channels}, ...), got {x.shape}"
            )
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the sizes and the options."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps:g}, affine={self.affine}"


class _InstanceNorm(Module):
    """Normalization of each channel of each example; the classes below say of which rank."""

    rank: ClassVar[int]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        positive(type(self).__name__, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, float(eps), float(momentum)
        self.affine, self.track_running_stats = affine, track_running_stats
        kind = default_dtype(dtype)
        self.weight = Parameter(np.ones(num_features, kind)) if affine else None
        self.bias = Parameter(np.zeros(num_features, kind)) if affine and bias else None
        tracked = track_running_stats
        self.running_mean = Buffer(np.zeros(num_features, kind)) if tracked else None
        self.running_var = Buffer(np.ones(num_features, kind)) if tracked else None
        self.num_batches_tracked = Buffer(np.array(0)) if tracked else None

    def forward(self, x: Any) -> Any:
        """Normalize x of shape (m, num_features, ...), or one example without its first axis."""
        x = cast_input(x, _dtype(self.weight if self.weight is not None else self.running_mean))
        single = x.ndim == self.rank + 1
        if (not single and x.ndim != self.rank + 2) or x.shape[-self.rank - 1] != self.num_features:
            inner = ", ".join(("length",) if self.rank == 1 else ("height", "width"))
            raise ShapeError(
                f"instance_norm{describe(SCOPE.get())}: expected x of shape "
                f"(m, {self.num_features}, {inner}) or ({self.num_features}, {inner}), "
                f"got {x.shape}"
            )
        y = F.instance_norm(
            x[None] if single else x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum,
            self.eps,
        )
        return y[0] if single else y

    def extra_repr(self) -> str:
        """Return the size and the options."""
        return (
            f"{self.num_features}, eps={self.eps:g}, momentum={self.momentum:g}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class InstanceNorm1d(_InstanceNorm):
    """Normalization of each channel of each signal: y = (x - mean) / sqrt(var + eps).

    With `track_running_stats` evaluation uses running averages. Source: Ulyanov et al. 2016.

    Args:
        num_features: number of channels.
        eps: added to the variance.
        momentum: weight of a batch in the running averages.
        affine: whether a weight and a bias per channel are learned.
        track_running_stats: whether to keep running averages.
        dtype: of parameters and averages.
        bias: whether there is a bias beside the weight.

    Raises:
        ArgumentError: the size is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.InstanceNorm1d(1)(np.array([[[1.0, 3.0]], [[5.0, 9.0]]])).round(3)
        array([[[-1.,  1.]],
        <BLANKLINE>
               [[-1.,  1.]]])
    """

    rank = 1


class InstanceNorm2d(_InstanceNorm):
    """`InstanceNorm1d` of images (m, channels, height, width), with PyTorch's name.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.InstanceNorm2d(3)(np.zeros((4, 3, 8, 8))).shape
        (4, 3, 8, 8)
    """

    rank = 2


__all__ = [
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "RMSNorm",
]
