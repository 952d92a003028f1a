"""Affine layers, and those that only rearrange."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ShapeError
from tinygrad_course.nn import init
from tinygrad_course.nn.module import Module, cast_input
from tinygrad_course.nn.options import positive
from tinygrad_course.nn.parameter import Parameter, default_dtype


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
        positive("Linear", in_features=in_features, out_features=out_features)
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


__all__ = [
    "Flatten",
    "Identity",
    "Linear",
]
