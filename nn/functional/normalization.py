"""Normalization as functions."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.tensor import Tensor


def batch_norm(
    x: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize each channel of x (m, channels, ...): with its batch, or with running statistics.

    y = (x - mean) / sqrt(var + eps) * weight + bias. In training the batch's biased variance
    normalizes, and the running averages move towards the batch's mean and unbiased variance:
    running = (1 - momentum) running + momentum batch. Source: Ioffe and Szegedy 2015.

    Raises:
        ShapeError: x has fewer than two axes, or training with one value per channel.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.batch_norm(np.array([[1.0], [3.0]]), None, None, training=True, eps=0.0)
        array([[-1.],
               [ 1.]])
    """
    eps, momentum = float(eps), float(momentum)  # a NumPy scalar would upcast float32
    if not hasattr(x, "__array_function__"):
        x = np.asarray(x)
    shape = x.shape
    if len(shape) < 2:
        raise ShapeError(
            f"batch_norm{describe(SCOPE.get())}: expected x of shape (m, channels, ...), "
            f"got {shape}"
        )
    if not training and running_mean is not None and running_var is not None:
        along = (1, -1, *(1,) * (len(shape) - 2))
        scale = 1.0 / ops.sqrt(running_var + eps)
        if weight is not None:
            scale = weight * scale
        shift = -running_mean * scale if bias is None else bias - running_mean * scale
        return x * scale.reshape(along) + shift.reshape(along)
    y, mean, var, factor = normalize(x, weight, bias, eps)
    if running_mean is not None:
        ops.move_average(running_mean, mean, share=momentum)
    if running_var is not None:
        ops.move_average(running_var, var, share=momentum, factor=factor)
    return y


def normalize(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any, float]:
    """Return x normalized by its batch, the batch's mean and variance, and what unbiases that.

    Raises:
        ShapeError: there is one value per channel.
    """
    shape = x.shape
    count = prod(shape) // max(shape[1], 1)
    if count < 2:
        raise ShapeError(
            f"batch_norm{describe(SCOPE.get())}: training needs more than one value per channel, "
            f"got shape {shape}; use a larger batch, or eval mode"
        )
    y, mean, var = ops.batch_norm(x, weight, bias, eps=eps)
    return y, mean, var, count / (count - 1)


__all__ = [
    "batch_norm",
]
