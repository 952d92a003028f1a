"""Muon: momentum whose matrix is made orthogonal before it is taken as a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.functions import matmul, sqrt, swapaxes
from tinygrad_course.functions import sum as total
from tinygrad_course.ops import maximum
from tinygrad_course.optim.optimizer import Group, Optimizer, check_numbers, check_sizes
from tinygrad_course.optim.rules import State, average, buffer

ADJUSTMENTS = (None, "original", "match_rms_adamw")


def orthogonalized(x: Any, coefficients: tuple[float, float, float], steps: int, eps: float) -> Any:
    """Return nearly U Vᵀ for a matrix x = U S Vᵀ, by Newton-Schulz iterations.

    x / ‖x‖ has singular values of at most 1; x ← a x + (b (x xᵀ) + c (x xᵀ)²) x brings them near 1
    (between about 0.7 and 1.2 with PyTorch's coefficients, which were chosen for speed).
    """
    tall = x.shape[0] > x.shape[1]
    a, b, c = coefficients
    if tall:
        x = swapaxes(x, 0, 1)
    x = x / maximum(sqrt(total(x * x)), eps)
    for _ in range(steps):
        gram = matmul(x, swapaxes(x, 0, 1))
        x = a * x + matmul(b * gram + c * matmul(gram, gram), x)
    return swapaxes(x, 0, 1) if tall else x


class Muon(Optimizer):
    """Muon: p ← (1 - lr weight_decay) p - lr f O, where O is the momentum made orthogonal.

    v ← momentum v + (1 - momentum) g; O is `orthogonalized` v, or with `nesterov` that of
    (1 - momentum) g + momentum v. f makes steps of matrices of different shapes (A, B) alike:
    sqrt(max(1, A / B)) ("original"), or 0.2 sqrt(max(A, B)) ("match_rms_adamw").

    For the matrices of hidden layers; give biases, embeddings and the last layer to `AdamW`.
    PyTorch computes O in bfloat16, here it has the parameter's precision. Source: Jordan et al.
    2024; Liu et al. 2025 for "match_rms_adamw".

    Args:
        params: Tensors with two axes, or groups.
        lr: learning rate.
        weight_decay: coefficient of the decoupled decay.
        momentum: share of the old average that is kept.
        nesterov: whether to look ahead.
        ns_coefficients: (a, b, c) of the Newton-Schulz iteration.
        eps: the smallest norm that is divided by.
        ns_steps: number of Newton-Schulz iterations, below 100.
        adjust_lr_fn: "original", which is the default, or "match_rms_adamw".

    Raises:
        ArgumentError: an option is out of range or unknown.
        ShapeError: a parameter is not a matrix.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([[3.0, 0.0], [0.0, 1.0]], requires_grad=True)
        >>> opt = tc.optim.Muon([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.data.round(2)
        array([[2.89, 0.  ],
               [0.  , 0.88]])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense, and parameters that are no matrices."""
        check_sizes(cls.__name__, options, "lr", "weight_decay", "momentum", "eps", "ns_steps")
        check_numbers(cls.__name__, "ns_coefficients", options["ns_coefficients"], 3)
        if options["ns_steps"] != int(options["ns_steps"]) or options["ns_steps"] >= 100:
            raise ArgumentError(
                f"Muon: ns_steps must be a whole number below 100, got {options['ns_steps']!r}"
            )
        if options["adjust_lr_fn"] not in ADJUSTMENTS:
            raise ArgumentError(
                f"Muon: adjust_lr_fn must be one of {ADJUSTMENTS}, got {options['adjust_lr_fn']!r}"
            )
        for i, p in enumerate(options["params"]):
            if p.ndim != 2 or p.dtype.kind == "c":
                raise ShapeError(
                    f"Muon: parameter {i} has shape {p.shape} and dtype {p.dtype}, expected a real "
                    f"matrix; give other parameters to another optimizer, as AdamW"
                )

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        weight_decay: float,
        momentum: float,
        nesterov: bool,
        ns_coefficients: tuple[float, float, float],
        eps: float,
        ns_steps: int,
        adjust_lr_fn: str | None,
    ) -> None:
        """Change p in place."""
        v = buffer(state, "momentum_buffer", p)
        average(v, g, 1 - momentum)
        step = orthogonalized(
            (1 - momentum) * g + momentum * v if nesterov else v, ns_coefficients, ns_steps, eps
        )
        rows, columns = p.shape
        if adjust_lr_fn == "match_rms_adamw":
            factor = 0.2 * max(rows, columns) ** 0.5
        else:
            factor = max(1, rows / columns) ** 0.5
        p *= 1 - lr * weight_decay
        p -= lr * factor * step


__all__ = ["Muon", "orthogonalized"]
