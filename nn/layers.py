"""Layers with state, and activations as modules: a few lines each over `functional`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn import init
from tinygrad_course.nn.module import Module, cast_input
from tinygrad_course.nn.parameter import Buffer, Parameter, default_dtype


def _positive(layer: str, **sizes: int) -> None:
    for name, size in sizes.items():
        whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if not whole or size < 1:
            raise ArgumentError(f"{layer}: {name} must be a positive whole number, got {size!r}")


class Linear(Module):
    """An affine map: y = x Wᵀ + b, with W of shape (out_features, in_features).

    Weights and biases start uniform in ±1/sqrt(in_features), as PyTorch's.

    Args:
        in_features: size of the last axis of x.
        out_features: size of the last axis of y.
        bias: whether to add b.
        dtype: of the parameters; float32 by default.
        generator: draws the initial values.

    Raises:
        ArgumentError: a size is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Linear(3, 2)(np.zeros((5, 3))).shape
        (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        _positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        kind = default_dtype(dtype)
        self.weight = Parameter(np.empty((out_features, in_features), kind))
        init.kaiming_uniform_(self.weight, a=math.sqrt(5), generator=generator)
        self.bias = Parameter(np.empty(out_features, kind)) if bias else None
        if self.bias is not None:
            bound = 1 / math.sqrt(in_features)
            init.uniform_(self.bias, -bound, bound, generator)

    def forward(self, x: Any) -> Any:
        """Map x of shape (..., in_features) to (..., out_features)."""
        return ops.linear(cast_input(x, self.weight._data.dtype), self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{bias}"


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
        _positive("BatchNorm", num_features=num_features)
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


class Flatten(Module):
    """Join all axes but the first.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Flatten()(np.zeros((5, 8, 8))).shape
        (5, 64)
    """

    def forward(self, x: Any) -> Any:
        """Map (m, ...) to (m, n)."""
        shape = np.shape(x)
        if not shape:
            raise ShapeError("Flatten: expected x of shape (m, ...), got a single number")
        return functions.reshape(x, (shape[0], math.prod(shape[1:])))


class Identity(Module):
    """Return the input."""

    def forward(self, x: Any) -> Any:
        """Return x."""
        return x


class ReLU(Module):
    """max(x, 0); the derivative at 0 is 0."""

    def forward(self, x: Any) -> Any:
        """Apply elementwise."""
        return ops.relu(x)


class LeakyReLU(Module):
    """x for x > 0, negative_slope x otherwise."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = float(negative_slope)

    def forward(self, x: Any) -> Any:
        """Apply elementwise."""
        return ops.leaky_relu(x, negative_slope=self.negative_slope)

    def extra_repr(self) -> str:
        """Return the slope."""
        return f"negative_slope={self.negative_slope:g}"


class Sigmoid(Module):
    """1 / (1 + e**-x)."""

    def forward(self, x: Any) -> Any:
        """Apply elementwise."""
        return ops.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Any) -> Any:
        """Apply elementwise."""
        return ops.tanh(x)


class Softplus(Module):
    """log(1 + e**x)."""

    def forward(self, x: Any) -> Any:
        """Apply elementwise."""
        return ops.softplus(x)


class Softmax(Module):
    """e**x / sum(e**x) along `dim`."""

    @F.speaks_torch
    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        """Turn scores into probabilities."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """log(softmax(x)) along `dim`."""

    @F.speaks_torch
    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        """Turn scores into log-probabilities."""
        return F.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"dim={self.dim}"


class Sequential(Module):
    """Modules applied one after the other.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        Sequential(
          (0): Linear(4, 3)
          (1): ReLU()
        )
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise ArgumentError(
                    f"Sequential: argument {i} is {type(layer).__name__}, not a Module; "
                    f"pass layers such as nn.ReLU() rather than functions"
                )
        self.layers = list(layers)

    def _members(self) -> Any:
        """Yield the layers by number, then what a subclass holds besides."""
        yield from ((str(i), layer) for i, layer in enumerate(self.layers))
        yield from ((n, m) for n, m in super()._members() if n.partition(".")[0] != "layers")

    def forward(self, x: Any) -> Any:
        """Pass x through all layers."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: Any) -> Any:
        """Return a layer, or for a slice a Sequential of the same layers."""
        found = self.layers[index]
        return Sequential(*found) if isinstance(index, slice) else found

    def __iter__(self) -> Any:
        return iter(self.layers)
