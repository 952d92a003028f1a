"""Gradient descent, with momentum and Nesterov's correction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_course.errors import ArgumentError
from tinygrad_course.optim.optimizer import Group, Optimizer, check_sizes
from tinygrad_course.optim.rules import State, buffer, decayed


class SGD(Optimizer):
    """Gradient descent: p ← p - lr v with v ← momentum v + (1 - dampening) g.

    The first v is g. Without momentum v = g; with `nesterov` the step is along g + momentum v.
    Weight decay adds weight_decay p to g.

    This is PyTorch's form. The momentum of the notes, v ← β v + (1 - β) g with v = 0 at first, is
    ``SGD(params, lr, momentum=β, dampening=β, dampen_first=True)``; without `dampen_first` the
    first step is 1/(1 - β) times as long. Nielsen's v ← μ v - η ∇C, w ← w + v is ``momentum=μ`` as
    long as the rate η does not change: here a new rate holds for the whole velocity.

    Source: lessons 2.1, 2.3 and 4 of the notes; Nesterov 1983; for decoupled decay Loshchilov and
    Hutter 2019.

    Args:
        params: Tensors or groups.
        lr: learning rate.
        momentum: share of the previous step that is kept.
        dampening: share of the new gradient that is left out.
        weight_decay: coefficient of the L2 term.
        nesterov: whether to look ahead.
        maximize: whether to climb.
        dampen_first: whether dampening holds for the first gradient, too.
        decoupled_weight_decay: p ← (1 - lr weight_decay) p before the step, in place of the L2
            term: then momentum does not see the decay.

    Raises:
        ArgumentError: an option is negative, or `nesterov` lacks momentum or has dampening.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.data
        array([0.8])
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        dampen_first: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "dampen_first": dampen_first,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes(cls.__name__, options, "lr", "momentum", "dampening", "weight_decay")
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ArgumentError("SGD: nesterov needs momentum > 0 and dampening = 0")

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
        maximize: bool,
        dampen_first: bool,
        decoupled_weight_decay: bool,
    ) -> None:
        """Change p in place."""
        g = decayed(p, g, lr, weight_decay, maximize, decoupled_weight_decay)
        if momentum:
            dampened = dampen_first or "momentum_buffer" in state
            v = buffer(state, "momentum_buffer", p)
            v *= momentum
            v += (1 - dampening) * g if dampened and dampening else g
            g = g + momentum * v if nesterov else v
        p -= lr * g


__all__ = ["SGD"]
