"""Lion: the sign of an interpolated momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_course.functions import sign
from tinygrad_course.optim.optimizer import Group, Optimizer, check_betas, check_sizes
from tinygrad_course.optim.rules import State, average, buffer, decayed, descend


class Lion(Optimizer):
    """Lion: p ← (1 - lr weight_decay) p - lr sign(β₁ m + (1 - β₁) g), then m ← β₂ m + (1 - β₂) g.

    Every element moves by lr, so lr is a third to a tenth of Adam's, and weight_decay as many times
    larger. Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms".

    Args:
        params: Tensors or groups.
        lr: learning rate.
        betas: (β₁, β₂).
        weight_decay: coefficient of the decoupled decay.
        maximize: whether to climb.

    Raises:
        ArgumentError: an option is out of range.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.Lion([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.data
        array([0.9])
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize},
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes(cls.__name__, options, "lr", "weight_decay")
        check_betas(cls.__name__, options["betas"])

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        maximize: bool,
    ) -> None:
        """Change p in place."""
        m = buffer(state, "exp_avg", p)
        beta1, beta2 = betas
        g = decayed(p, g, lr, weight_decay, maximize, decoupled=True)
        mixed = beta1 * m
        mixed += (1 - beta1) * g
        descend(p, lr, sign(mixed))
        average(m, g, 1 - beta2)


__all__ = ["Lion"]
