"""Initial values of weights, in place and with PyTorch's names.

Every function takes ``generator=`` (the library's default generator otherwise), changes the
Tensor it is given and returns it. For a weight of shape (n_out, n_in, ...) the fan-in is n_in
times the size of the trailing axes.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.ops import assign
from tinygrad_course.random import generator as default_generator
from tinygrad_course.tensor import Tensor

Generator: TypeAlias = "np.random.Generator | None"  # quoted: np.random loads when it is used


def fans(tensor: Tensor) -> tuple[int, int]:
    """Return the fan-in and fan-out of a weight.

    Raises:
        ShapeError: the Tensor has fewer than two axes.
    """
    if tensor.ndim < 2:
        raise ShapeError(
            f"init: fan-in and fan-out need a weight of at least two axes, got {tensor.shape}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor that keeps the variance of activations, by nonlinearity.

    Example:
        >>> from tinygrad_course.nn import init
        >>> round(init.gain("relu"), 4)
        1.4142
    """
    known = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 0.75}
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope * slope))
    if nonlinearity not in known:
        raise ArgumentError(
            f"init.gain: unknown nonlinearity {nonlinearity!r}; "
            f"expected one of {', '.join(sorted((*known, 'leaky_relu')))}"
        )
    return known[nonlinearity]


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Set every element to one value."""
    assign(tensor, val)
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """Set every element to 0: then hidden units never differ (lesson 11 of the notes)."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Set every element to 1."""
    return constant_(tensor, 1.0)


def _draw(tensor: Tensor, values: Any) -> Tensor:
    assign(tensor, values.astype(tensor.dtype))
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator = None) -> Tensor:
    """Draw from U(a, b)."""
    return _draw(tensor, default_generator(generator).uniform(a, b, tensor.shape))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator = None
) -> Tensor:
    """Draw from N(mean, std²)."""
    return _draw(tensor, default_generator(generator).normal(mean, std, tensor.shape))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator = None) -> Tensor:
    """Draw from U(-a, a) with a = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator = None) -> Tensor:
    """Draw from N(0, gain² 2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"init: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return fans(tensor)[mode == "fan_out"]


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
) -> Tensor:
    """Draw from U(-b, b) with b = gain sqrt(3 / fan) (He et al. 2015)."""
    bound = gain(nonlinearity, a) * math.sqrt(3.0 / _fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
) -> Tensor:
    """Draw from N(0, gain² / fan): for ReLU the 2 / n_in of the notes (He et al. 2015)."""
    return normal_(tensor, 0.0, gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator)


def lecun_normal_(tensor: Tensor, generator: Generator = None) -> Tensor:
    """Draw from N(0, 1 / n_in): the notes' choice for tanh, and Nielsen's default weights."""
    return normal_(tensor, 0.0, 1.0 / math.sqrt(fans(tensor)[0]), generator)
