"""Limits for gradients: between ``backward()`` and ``step()``, the gradients change in place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError
from tinygrad_course.tensor import Tensor


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients by one factor, so that their norm together is at most `max_norm`.

    The norm is that of all gradients as one vector; the factor is
    min(1, max_norm / (norm + 1e-6)), as in PyTorch. Source: Pascanu et al. 2013.

    Args:
        parameters: a Tensor or several; those without a gradient are passed over.
        max_norm: the largest norm.
        norm_type: p of the p-norm; `math.inf` for the largest element.
        error_if_nonfinite: whether to refuse a norm that is nan or infinite.

    Returns:
        The norm before.

    Raises:
        ArgumentError: `max_norm` is negative, or the norm is not finite and that is an error.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([3.0, 4.0], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> tc.optim.clip_grad_norm_([w], max_norm=1.0)
        10.0
        >>> w.grad.round(4)
        array([0.6, 0.8])
    """
    if not max_norm >= 0:
        raise ArgumentError(f"clip_grad_norm_: max_norm must be a number ≥ 0, got {max_norm!r}")
    gradients = _gradients("clip_grad_norm_", parameters)
    norms = [float(np.linalg.norm(g.reshape(-1), norm_type)) for g in gradients if g.size]
    total = float(np.linalg.norm(norms, norm_type)) if norms else 0.0
    if error_if_nonfinite and not math.isfinite(total):
        raise ArgumentError(
            f"clip_grad_norm_: the norm of the gradients is {total}, so it cannot be clipped; find "
            f"the cause with tc.anomaly_mode, or pass error_if_nonfinite=False"
        )
    factor = float(max_norm) / (total + 1e-6)
    if not factor >= 1.0:  # nan scales, too, as in PyTorch
        for g in gradients:
            np.multiply(g, factor, out=g)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value].

    Args:
        parameters: a Tensor or several; those without a gradient are passed over.
        clip_value: the largest absolute value.

    Raises:
        ArgumentError: `clip_value` is negative, or a gradient is complex.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([3.0, 0.5], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> tc.optim.clip_grad_value_([w], 2.0)
        >>> w.grad
        array([2., 1.])
    """
    if not clip_value >= 0:
        raise ArgumentError(f"clip_grad_value_: clip_value must be ≥ 0, got {clip_value!r}")
    limit = float(clip_value)
    for g in _gradients("clip_grad_value_", parameters):
        if g.dtype.kind == "c":
            raise ArgumentError("clip_grad_value_: complex gradients have no order")
        np.clip(g, -limit, limit, out=g)


def _gradients(name: str, parameters: Any) -> list[np.ndarray]:
    """Return the gradients that there are."""
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for i, p in enumerate(listed):
        if not isinstance(p, Tensor):
            raise ArgumentError(
                f"{name}: parameter {i} is {type(p).__name__}, not a Tensor; pass "
                f"model.parameters()"
            )
    return [p.grad for p in listed if p.grad is not None]


__all__ = ["clip_grad_norm_", "clip_grad_value_"]
