"""Gradient descent, with momentum and Nesterov's correction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_course.errors import ArgumentError
from tinygrad_course.optim.optimizer import Group, Optimizer, buffer, check_sizes


class SGD(Optimizer):
    """Gradient descent: p ← p - lr v with v ← momentum v + (1 - dampening) g.

    The first v is g. Without momentum v = g; with `nesterov` the step is along g + momentum v.
    Weight decay adds weight_decay p to g. PyTorch's form; the (1 - β) of the notes' momentum is
    ``dampening=momentum``. Source: lessons 2.1 and 2.3 of the notes; Nesterov 1983.

    Args:
        params: Tensors or groups.
        lr: learning rate.
        momentum: share of the previous step that is kept.
        dampening: share of the new gradient that is left out.
        weight_decay: coefficient of the L2 term.
        nesterov: whether to look ahead.

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

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
        )

    @staticmethod
    def check(options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes("SGD", options, "lr", "momentum", "dampening", "weight_decay")
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ArgumentError("SGD: nesterov needs momentum > 0 and dampening = 0")

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: dict[str, Any],
        *,
        lr: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
    ) -> None:
        """Change p in place."""
        if weight_decay:
            g = g + weight_decay * p
        if momentum:
            started = "momentum_buffer" in state
            v = buffer(state, "momentum_buffer", p)
            v *= momentum
            v += (1 - dampening) * g if started else g
            g = g + momentum * v if nesterov else v
        p -= lr * g
