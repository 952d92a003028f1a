"""Normalization as functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ShapeError
from tinygrad_course.graph import no_grad
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
    shape = np.shape(x)
    if len(shape) < 2:
        raise ShapeError(f"batch_norm: expected x of shape (m, channels, ...), got {shape}")
    if not training and running_mean is not None and running_var is not None:
        along = (1, -1, *(1,) * (len(shape) - 2))
        scale = 1.0 / ops.sqrt(running_var + eps)
        if weight is not None:
            scale = weight * scale
        shift = -running_mean * scale if bias is None else bias - running_mean * scale
        return x * scale.reshape(along) + shift.reshape(along)
    count = int(np.prod(shape)) // max(shape[1], 1)
    if count < 2:
        raise ShapeError(
            f"batch_norm: training needs more than one value per channel, got shape {shape}; "
            f"use a larger batch, or eval mode"
        )
    y, mean, var = ops.batch_norm(x, weight, bias, eps=eps)
    with no_grad():
        if running_mean is not None:
            ops.assign(running_mean, running_mean + momentum * (mean - running_mean))
        if running_var is not None:
            unbiased = var * (count / (count - 1))
            ops.assign(running_var, running_var + momentum * (unbiased - running_var))
    return y


__all__ = [
    "batch_norm",
]
