"""Optimizers that give every element a step size of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_course.ops import sqrt
from tinygrad_course.optim.optimizer import Group, Optimizer, buffer, check_betas, check_sizes


class RMSprop(Optimizer):
    """RMSprop: p ← p - lr g / (sqrt(s) + eps) with s ← alpha s + (1 - alpha) g².

    As PyTorch, eps stands outside the root (the notes draw it inside). With `centered` the square
    of the averaged gradient is subtracted from s; with momentum the quotient feeds a velocity.
    Source: lesson 2.4 of the notes; Hinton's lecture 6e, 2012.

    Args:
        params: Tensors or groups.
        lr: learning rate.
        alpha: share of the old average that is kept (the notes' β₂).
        eps: keeps the quotient finite.
        weight_decay: coefficient of the L2 term.
        momentum: share of the previous step that is kept.
        centered: whether to use an estimate of the variance instead of the mean square.

    Raises:
        ArgumentError: an option is out of range.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.RMSprop([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.data.round(6)
        array([0.])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
            },
        )

    @staticmethod
    def check(options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes("RMSprop", options, "lr", "alpha", "eps", "weight_decay", "momentum")

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: dict[str, Any],
        *,
        lr: float,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        centered: bool,
    ) -> None:
        """Change p in place."""
        s = buffer(state, "square_avg", p)
        if weight_decay:
            g = g + weight_decay * p
        s *= alpha
        s += (1 - alpha) * (g * g)
        if centered:
            mean = buffer(state, "grad_avg", p)
            mean += (1 - alpha) * (g - mean)
            step = g / (sqrt(s - mean * mean) + eps)
        else:
            step = g / (sqrt(s) + eps)
        if momentum:
            v = buffer(state, "momentum_buffer", p)
            v *= momentum
            v += step
            step = v
        p -= lr * step


class Adam(Optimizer):
    """Adam: p ← p - lr m̂ / (sqrt(v̂) + eps), with m and v averages of g and g².

    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).
    Weight decay is added to g, as in PyTorch's Adam. Source: Kingma and Ba 2015; lesson 2.5.

    Args:
        params: Tensors or groups.
        lr: learning rate.
        betas: (β₁, β₂).
        eps: keeps the quotient finite.
        weight_decay: coefficient of the L2 term.

    Raises:
        ArgumentError: an option is out of range.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.Adam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.data.round(6)
        array([0.9])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @staticmethod
    def check(options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes("Adam", options, "lr", "eps", "weight_decay")
        check_betas("Adam", options["betas"])

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: dict[str, Any],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        """Change p in place."""
        m, v = buffer(state, "exp_avg", p), buffer(state, "exp_avg_sq", p)
        t = state["step"] = state.get("step", 0) + 1
        if weight_decay:
            g = g + weight_decay * p
        beta1, beta2 = betas
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        root = sqrt(v) / (1 - beta2**t) ** 0.5
        root += eps
        p -= (lr / (1 - beta1**t)) * (m / root)
