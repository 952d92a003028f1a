"""Affine layers, and those that only rearrange."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ShapeError
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn import init
from tinygrad_course.nn.functional.words import speaks_torch
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


class Bilinear(Module):
    """A bilinear map of two inputs: y_k = x1ᵀ W_k x2 + b_k.

    Weights and biases start uniform in ±1/sqrt(in1_features), as PyTorch's.

    Args:
        in1_features: size of the last axis of x1.
        in2_features: size of the last axis of x2.
        out_features: size of the last axis of y.
        bias: whether to add b.
        dtype: of the parameters; float32 by default.
        generator: draws the initial values.

    Raises:
        ArgumentError: a size is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Bilinear(3, 2, 4)(np.zeros((5, 3)), np.zeros((5, 2))).shape
        (5, 4)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        positive(
            "Bilinear",
            in1_features=in1_features,
            in2_features=in2_features,
            out_features=out_features,
        )
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        kind, bound = default_dtype(dtype), 1 / math.sqrt(in1_features)
        self.weight = Parameter(np.empty((out_features, in1_features, in2_features), kind))
        init.uniform_(self.weight, -bound, bound, generator)
        self.bias = Parameter(np.empty(out_features, kind)) if bias else None
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound, generator)

    def forward(self, x1: Any, x2: Any) -> Any:
        """Map x1 (..., in1_features) and x2 (..., in2_features) to (..., out_features)."""
        kind = self.weight._data.dtype
        return F.bilinear(cast_input(x1, kind), cast_input(x2, kind), self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in1_features}, {self.in2_features}, {self.out_features}{bias}"


class Flatten(Module):
    """Join the axes from `start_dim` to `end_dim`; by default all but the first.

    Raises:
        ShapeError: at the call, if there are no such axes.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Flatten()(np.zeros((5, 8, 8))).shape
        (5, 64)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Any:
        """Map (m, ...) to (m, n), or as the axes say."""
        shape = np.shape(x)
        if not shape:
            raise ShapeError("Flatten: expected x of shape (m, ...), got a single number")
        rank = len(shape)
        start, end = (d + rank if d < 0 else d for d in (self.start_dim, self.end_dim))
        if not 0 <= start <= rank or not start - 1 <= end < rank:
            raise ShapeError(
                f"Flatten: there are no axes {self.start_dim} to {self.end_dim} in shape {shape}"
            )
        joined = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
        return functions.reshape(x, joined)

    def extra_repr(self) -> str:
        """Return the axes, if they are not the usual ones."""
        usual = self.start_dim == 1 and self.end_dim == -1
        return "" if usual else f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Cut one axis into several.

    Args:
        dim: the axis.
        unflattened_size: the sizes; one may be -1 and is computed.

    Raises:
        ShapeError: at the call, if the sizes do not make up the axis.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Unflatten(1, (8, -1))(np.zeros((5, 64))).shape
        (5, 8, 8)
    """

    @speaks_torch
    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim, self.unflattened_size = dim, tuple(int(n) for n in unflattened_size)

    def forward(self, x: Any) -> Any:
        """Map (..., n, ...) to (..., n1, n2, ..., ...)."""
        shape, sizes = np.shape(x), self.unflattened_size
        rank = len(shape)
        if not -rank <= self.dim < rank:
            raise ShapeError(f"Unflatten: dim {self.dim} does not exist in shape {shape}")
        axis = self.dim % rank
        known = math.prod(n for n in sizes if n != -1)
        free = sizes.count(-1)
        fits = known == shape[axis] if not free else known > 0 and shape[axis] % known == 0
        if free > 1 or not fits:
            raise ShapeError(
                f"Unflatten: dim {self.dim} of shape {shape} cannot be cut into {sizes}"
            )
        sizes = tuple(shape[axis] // known if n == -1 else n for n in sizes)
        return functions.reshape(x, (*shape[:axis], *sizes, *shape[axis + 1 :]))

    def extra_repr(self) -> str:
        """Return the axis and the sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """Return the input; as in PyTorch, arguments of any kind are taken and forgotten.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Identity(54, unused=True)(3.0)
        3.0
    """

    def __init__(self, *_arguments: Any, **_options: Any) -> None: ...

    def forward(self, x: Any) -> Any:
        """Return x."""
        return x


__all__ = [
    "Bilinear",
    "Flatten",
    "Identity",
    "Linear",
    "Unflatten",
]
