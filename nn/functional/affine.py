"""Affine and bilinear maps as functions."""

from __future__ import annotations

from typing import Any

from tinygrad_course import functions, ops
from tinygrad_course.errors import ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn.functional.arrays import as_array

linear = ops.linear


def bilinear(x1: Any, x2: Any, weight: Any, bias: Any = None) -> Any:
    """Return y_k = x1ᵀ W_k x2 + b_k.

    Args:
        x1: shape (..., n1).
        x2: shape (..., n2), with the same axes before.
        weight: shape (out, n1, n2).
        bias: shape (out,), or None.

    Raises:
        ShapeError: the shapes do not fit together.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.bilinear(np.array([1.0, 2.0]), np.array([3.0]), np.array([[[1.0], [10.0]]]))
        array([63.])
    """
    x1, x2, weight = (as_array(x) for x in (x1, x2, weight))
    fits = weight.ndim == 3 and 0 not in (x1.ndim, x2.ndim)
    if not fits or (*x1.shape[:-1], *weight.shape[1:]) != (
        *x2.shape[:-1],
        x1.shape[-1],
        x2.shape[-1],
    ):
        raise ShapeError(
            f"bilinear{describe(SCOPE.get())}: got x1 {x1.shape}, x2 {x2.shape} and weight "
            f"{weight.shape}; expected x1 (..., n1), x2 (..., n2) with the same axes before, and "
            f"weight (out, n1, n2)"
        )
    count, n1, n2 = weight.shape
    # W x2 for all outputs in one product, then the inner products with x1.
    mapped = ops.linear(x2, functions.reshape(weight, (count * n1, n2)))
    mapped = functions.reshape(mapped, (*x1.shape[:-1], count, n1))
    y = ops.matmul(mapped, functions.expand_dims(x1, -1))
    y = functions.reshape(y, (*x1.shape[:-1], count))
    return y if bias is None else y + bias


__all__ = [
    "bilinear",
    "linear",
]
