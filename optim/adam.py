"""Adam and its relatives: averages of the gradient and of its square, corrected for their start.

m ← β₁ m + (1 - β₁) g and v ← β₂ v + (1 - β₂) g² start at 0, so that after t steps they are too
small by 1 - β₁ᵗ and 1 - β₂ᵗ; m̂ and v̂ are m and v divided by these. As in PyTorch, eps stands
outside the root (lesson 2.5 of the notes draws it inside).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_course.functions import abs as absolute
from tinygrad_course.ops import assign, maximum, sqrt
from tinygrad_course.optim.optimizer import Group, Optimizer, check_betas, check_sizes
from tinygrad_course.optim.rules import (
    State,
    average,
    average_squares,
    buffer,
    count,
    decayed,
    descend,
    penalized,
)


class Adam(Optimizer):
    """Adam: p ← p - lr m̂ / (sqrt(v̂) + eps), with m and v averages of g and g².

    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).
    Weight decay is added to g. With `amsgrad`, v̂ is taken of the largest v so far.
    Source: Kingma and Ba 2015; lesson 2.5; amsgrad: Reddi et al. 2018.

    Args:
        params: Tensors or groups.
        lr: learning rate.
        betas: (β₁, β₂).
        eps: keeps the quotient finite.
        weight_decay: coefficient of the L2 term.
        amsgrad: whether v never shrinks.
        maximize: whether to climb.
        decoupled_weight_decay: p ← (1 - lr weight_decay) p in place of the L2 term (`AdamW`).

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

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes(cls.__name__, options, "lr", "eps", "weight_decay")
        check_betas(cls.__name__, options["betas"])

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        amsgrad: bool,
        maximize: bool,
        decoupled_weight_decay: bool,
    ) -> None:
        """Change p in place."""
        m, v = buffer(state, "exp_avg", p), buffer(state, "exp_avg_sq", p)
        t = count(state)
        beta1, beta2 = betas
        g = decayed(p, g, lr, weight_decay, maximize, decoupled_weight_decay)
        average(m, g, 1 - beta1)
        average_squares(v, g, beta2)
        if amsgrad:
            largest = buffer(state, "max_exp_avg_sq", p)
            assign(largest, maximum(largest, v))
            v = largest
        correction = (1 - beta2**t) ** 0.5
        # One pass less: sqrt(v̂) + eps = (sqrt(v) + eps correction) / correction.
        root = sqrt(v)
        root += eps * correction
        descend(p, lr * correction / (1 - beta1**t), m / root)


class AdamW(Adam):
    """Adam with decoupled weight decay: p ← (1 - lr weight_decay) p before every step.

    The decay then is not divided by sqrt(v̂), as it is when it is a part of g. Source: Loshchilov
    and Hutter 2019.

    Args:
        params: Tensors or groups.
        lr: learning rate.
        betas: (β₁, β₂).
        eps: keeps the quotient finite.
        weight_decay: coefficient of the decay.
        amsgrad: whether v never shrinks.
        maximize: whether to climb.

    Raises:
        ArgumentError: an option is out of range.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.AdamW([w], lr=0.1, weight_decay=0.5)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.data.round(6)
        array([0.85])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
        )


class NAdam(Optimizer):
    """Adam with Nesterov's look ahead: the step is along a mixture of g and the next m̂.

    p ← p - lr ((1 - μₜ) g / (1 - Πμ) + μₜ₊₁ m / (1 - Πμ μₜ₊₁)) / (sqrt(v̂) + eps), with
    μₜ = β₁ (1 - 0.96^(t momentum_decay) / 2) and Πμ = μ₁ ⋯ μₜ. Source: Dozat 2016.

    Args:
        params: Tensors or groups.
        lr: learning rate.
        betas: (β₁, β₂).
        eps: keeps the quotient finite.
        weight_decay: coefficient of the L2 term.
        momentum_decay: how fast μ grows to β₁.
        decoupled_weight_decay: p ← (1 - lr weight_decay) p in place of the L2 term.
        maximize: whether to climb.

    Raises:
        ArgumentError: an option is out of range.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.NAdam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.data.round(3)
        array([0.894])
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes(cls.__name__, options, "lr", "eps", "weight_decay", "momentum_decay")
        check_betas(cls.__name__, options["betas"])

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        momentum_decay: float,
        decoupled_weight_decay: bool,
        maximize: bool,
    ) -> None:
        """Change p in place."""
        m, v = buffer(state, "exp_avg", p), buffer(state, "exp_avg_sq", p)
        t = count(state)
        beta1, beta2 = betas
        g = decayed(p, g, lr, weight_decay, maximize, decoupled_weight_decay)
        average(m, g, 1 - beta1)
        average_squares(v, g, beta2)
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
        product = state["mu_product"] = state.get("mu_product", 1.0) * mu
        ahead = ((1 - mu) / (1 - product)) * g
        ahead += (mu_next / (1 - product * mu_next)) * m
        correction = (1 - beta2**t) ** 0.5
        root = sqrt(v)
        root += eps * correction
        ahead /= root
        descend(p, lr * correction, ahead)


class RAdam(Optimizer):
    """Adam whose adaptive part waits until the variance of v̂ is known well enough.

    With ρ∞ = 2 / (1 - β₂) - 1 and ρ = ρ∞ - 2 t β₂ᵗ / (1 - β₂ᵗ): p ← p - lr r m̂ / (sqrt(v̂) + eps)
    where r² = (ρ - 4)(ρ - 2) ρ∞ / ((ρ∞ - 4)(ρ∞ - 2) ρ), and p ← p - lr m̂ as long as ρ ≤ 5.
    As PyTorch, eps is added to sqrt(v), before the correction. Source: Liu et al. 2020.

    Args:
        params: Tensors or groups.
        lr: learning rate.
        betas: (β₁, β₂).
        eps: keeps the quotient finite.
        weight_decay: coefficient of the L2 term.
        decoupled_weight_decay: p ← (1 - lr weight_decay) p in place of the L2 term.
        maximize: whether to climb.

    Raises:
        ArgumentError: an option is out of range.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.RAdam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.data.round(6)
        array([0.8])
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes(cls.__name__, options, "lr", "eps", "weight_decay")
        check_betas(cls.__name__, options["betas"])

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        decoupled_weight_decay: bool,
        maximize: bool,
    ) -> None:
        """Change p in place."""
        m, v = buffer(state, "exp_avg", p), buffer(state, "exp_avg_sq", p)
        t = count(state)
        beta1, beta2 = betas
        g = decayed(p, g, lr, weight_decay, maximize, decoupled_weight_decay)
        average(m, g, 1 - beta1)
        average_squares(v, g, beta2)
        size = lr / (1 - beta1**t)
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / (1 - beta2**t)
        if length <= 5:
            p -= size * m
            return
        known = (length - 4) * (length - 2) * longest
        known /= (longest - 4) * (longest - 2) * length
        root = sqrt(v)
        root += eps
        descend(p, size * (known * (1 - beta2**t)) ** 0.5, m / root)


class Adamax(Optimizer):
    """Adam with a decaying maximum in place of the mean square: p ← p - lr m̂ / u.

    u ← max(β₂ u, |g| + eps). Source: Kingma and Ba 2015, section 7.1.

    Args:
        params: Tensors or groups.
        lr: learning rate.
        betas: (β₁, β₂).
        eps: keeps the quotient finite.
        weight_decay: coefficient of the L2 term.
        maximize: whether to climb.

    Raises:
        ArgumentError: an option is out of range.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.Adamax([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.data.round(6)
        array([0.9])
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes(cls.__name__, options, "lr", "eps", "weight_decay")
        check_betas(cls.__name__, options["betas"])

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        maximize: bool,
    ) -> None:
        """Change p in place."""
        m, u = buffer(state, "exp_avg", p), buffer(state, "exp_inf", p)
        t = count(state)
        beta1, beta2 = betas
        g = penalized(p, g, weight_decay, maximize)
        average(m, g, 1 - beta1)
        size = absolute(g)
        size += eps
        u *= beta2
        assign(u, maximum(u, size))
        descend(p, lr / (1 - beta1**t), m / u)


__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"]
