"""Activations with PyTorch's names and words."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ShapeError
from tinygrad_course.nn.functional.words import speaks_torch

relu = ops.relu
sigmoid = ops.sigmoid
tanh = ops.tanh
softplus = ops.softplus


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """Rectify with a slope below 0.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.leaky_relu([-1.0, 2.0], 0.1)
        array([-0.1,  2. ])
    """
    return ops.leaky_relu(x, negative_slope=float(negative_slope))


def _existing(name: str, x: Any, dim: int) -> int:
    rank = np.ndim(x)
    if not -rank <= dim < rank:
        raise ShapeError(f"{name}: dim {dim} does not exist in shape {np.shape(x)}")
    return dim


@speaks_torch
def softmax(x: Any, dim: int) -> Any:
    """Turn scores into probabilities along `dim`: e**x / sum(e**x).

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.softmax([[0.0, 0.0]], dim=1)
        array([[0.5, 0.5]])
    """
    return functions.softmax(x, axis=_existing("softmax", x, dim))


@speaks_torch
def log_softmax(x: Any, dim: int) -> Any:
    """Take log(softmax(x)) along `dim`.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.log_softmax([[0.0, 0.0]], dim=1).round(4)
        array([[-0.6931, -0.6931]])
    """
    return functions.log_softmax(x, axis=_existing("log_softmax", x, dim))


__all__ = [
    "leaky_relu",
    "log_softmax",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "tanh",
]
