"""Activations as modules, over `functional`."""

from __future__ import annotations

from typing import Any

from tinygrad_course import ops
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn.functional.words import speaks_torch
from tinygrad_course.nn.module import Module


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

    @speaks_torch
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

    @speaks_torch
    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        """Turn scores into log-probabilities."""
        return F.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"dim={self.dim}"


__all__ = [
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]
