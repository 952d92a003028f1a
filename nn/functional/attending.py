"""Attention: averages of values, weighted by how well keys answer queries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn.functional.arrays import as_array
from tinygrad_course.nn.functional.noise import dropout
from tinygrad_course.tensor import Tensor


def additive(name: str, mask: Any, dtype: Any, *, true_means_masked: bool) -> Any:
    """Return a mask as numbers to add to the scores: 0 and minus infinity for a Boolean one.

    Raises:
        DtypeError: the mask is neither Boolean nor floating.
    """
    mask = as_array(mask)
    if mask.dtype.kind == "f":
        wanted = isinstance(mask, Tensor) and mask.requires_grad
        return mask if mask.dtype == dtype or wanted else mask.astype(dtype)
    if mask.dtype.kind != "b":
        raise DtypeError(
            f"{name}: a mask must be Boolean, or floating to be added to the scores, got dtype "
            f"{mask.dtype}"
        )
    masked = np.asarray(mask._data if isinstance(mask, Tensor) else mask)
    if not true_means_masked:
        masked = ~masked
    return np.where(masked, -np.inf, 0.0).astype(dtype)


def causal(queries: int, keys: int, dtype: Any) -> Any:
    """Return what to add to the scores so that query i sees the keys up to i only."""
    seen = np.tri(queries, keys, dtype=bool)
    return np.where(seen, 0.0, -np.inf).astype(dtype)


def attend(
    query: Any,
    key: Any,
    value: Any,
    bias: Any,
    scale: float,
    dropout_p: float,
    generator: np.random.Generator | None,
) -> tuple[Any, Any]:
    """Return softmax(scale Q Kᵀ + bias) V, and the weights; a query without keys gets zeros."""
    scores = ops.matmul(query * scale, functions.swapaxes(key, -1, -2))
    blind = None
    if bias is not None:
        scores = scores + bias
        barred = np.isneginf(bias._data if isinstance(bias, Tensor) else bias)
        blind = barred.all(axis=-1, keepdims=True)
        if not blind.any():
            blind = None
    if blind is not None:
        scores = ops.where(blind, 0.0, scores)
    weights = ops.softmax_along(scores, axis=-1)
    if blind is not None:
        weights = ops.where(blind, 0.0, weights)
    weights = dropout(weights, dropout_p, generator=generator)
    return ops.matmul(weights, value), weights


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    generator: np.random.Generator | None = None,
) -> Any:
    """Return softmax(Q Kᵀ / √E + mask) V: for every query the average of the values.

    A query that may see no key gets zeros. Source: Vaswani et al. 2017.

    Args:
        query: shape (..., L, E).
        key: shape (..., S, E).
        value: shape (..., S, F).
        attn_mask: broadcasts to (..., L, S); Boolean, where True lets a key take part, or floating,
            and added to the scores.
        dropout_p: probability of dropping a weight; also outside training, as in PyTorch.
        is_causal: whether query i sees the keys up to i only; not together with `attn_mask`.
        scale: in place of 1/√E.
        enable_gqa: whether several heads (axis -3) of the queries share one of keys and values.
        generator: draws the dropped weights.

    Returns:
        Shape (..., L, F).

    Raises:
        ShapeError: the shapes do not fit together.
        ArgumentError: `attn_mask` together with `is_causal`.
        DtypeError: the mask is neither Boolean nor floating.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> x = np.array([[0.0, 1.0], [2.0, 0.0]])
        >>> F.scaled_dot_product_attention(x, x, x, is_causal=True).round(3)
        array([[0.   , 1.   ],
               [1.888, 0.056]])
    """
    query, key, value = (as_array(x) for x in (query, key, value))
    name = f"scaled_dot_product_attention{describe(SCOPE.get())}"
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ShapeError(f"{name}: needs matrices or stacks of them, got {shapes}")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"{name}: expected query (..., L, E), key (..., S, E) and value (..., S, F), "
            f"got {shapes}"
        )
    if is_causal and attn_mask is not None:
        raise ArgumentError(f"{name}: give attn_mask or is_causal, not both")
    if enable_gqa:
        key, value = (_repeated(name, x, query) for x in (key, value))
    bias = None
    if is_causal:
        bias = causal(query.shape[-2], key.shape[-2], query.dtype)
    elif attn_mask is not None:
        bias = additive(name, attn_mask, query.dtype, true_means_masked=False)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    return attend(query, key, value, bias, factor, dropout_p, generator)[0]


def _repeated(name: str, x: Any, query: Any) -> Any:
    """Return keys or values with every head as often as the queries need it."""
    heads = query.shape[-3] if query.ndim > 2 else 0
    if x.ndim < 3 or not heads or heads % x.shape[-3]:
        raise ShapeError(
            f"{name}: enable_gqa needs heads on axis -3, those of the query {query.shape} a "
            f"multiple of the others' {x.shape}"
        )
    return functions.repeat(x, heads // x.shape[-3], axis=-3)


__all__ = [
    "scaled_dot_product_attention",
]
