# ruff: noqa: A002 - `input` is PyTorch's name
"""How far vectors are from one another, and vectors made one long."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_course import functions
from tinygrad_course.nn.functional.reducing import floating
from tinygrad_course.nn.functional.words import speaks_torch


@speaks_torch
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """Return x1·x2 / (max(‖x1‖, eps) max(‖x2‖, eps)) along an axis; the inputs broadcast.

    The derivative is that of this formula. PyTorch's is another for vectors shorter than eps: it
    ignores the limit there.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.cosine_similarity([[3.0, 4.0]], [[4.0, 3.0]]).round(2)
        array([0.96])
    """
    x1, x2 = floating(x1), floating(x2)
    if x1.shape != x2.shape:
        x1, x2 = functions.broadcast_arrays(x1, x2)
    units = [x / functions.clip(_norm(x, 2.0, dim, keepdim=True), float(eps)) for x in (x1, x2)]
    return functions.sum(units[0] * units[1], axis=dim)


@speaks_torch
def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """Return the p-norm of x1 - x2 + eps along the last axis; the inputs broadcast.

    As in PyTorch eps is added to every difference, which keeps the root differentiable.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.pairwise_distance([[0.0, 0.0]], [[3.0, 4.0]]).round(4)
        array([5.])
    """
    return _norm(floating(x1) - floating(x2) + float(eps), p, -1, keepdim=keepdim)


@speaks_torch
def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """Return x / max(‖x‖_p, eps): vectors along an axis get length 1.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.normalize([[3.0, 4.0]])
        array([[0.6, 0.8]])
    """
    x = floating(input)
    return x / functions.clip(_norm(x, p, dim, keepdim=True), float(eps))


def _norm(x: Any, p: float, dim: int, *, keepdim: bool) -> Any:
    """Return (Σ |x|**p)**(1/p); a norm of 0 has gradient 0, and p=0 counts what is not 0."""
    p = float(p)
    options: Any = {"axis": dim, "keepdims": keepdim}
    if p == 2:
        return _root(functions.sum(x * x, **options), 2.0)
    size = functions.abs(x)
    if math.isinf(p):
        return (functions.max if p > 0 else functions.min)(size, **options)
    if p == 1:
        return functions.sum(size, **options)
    null = size == 0
    powers = functions.where(
        null, 0.0 if p >= 0 else math.inf, functions.where(null, 1.0, size) ** p
    )
    total = functions.sum(powers, **options)
    return _root(total, p) if p else total


def _root(x: Any, p: float) -> Any:
    """Return x**(1/p), with the slope 0 where it is 0."""
    null = x == (0 if p > 0 else math.inf)
    safe = functions.where(null, 1.0, x)
    return functions.where(null, 0.0, functions.sqrt(safe) if p == 2 else safe ** (1 / p))


__all__ = [
    "cosine_similarity",
    "normalize",
    "pairwise_distance",
]
