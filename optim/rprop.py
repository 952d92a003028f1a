"""Optimizers of whole training sets: resilient propagation and averaged gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_course.errors import ArgumentError
from tinygrad_course.functions import clip, sign, where
from tinygrad_course.ops import assign
from tinygrad_course.optim.optimizer import Group, Optimizer, check_numbers, check_sizes
from tinygrad_course.optim.rules import State, average, buffer, count, penalized


class Rprop(Optimizer):
    """Resilient propagation: steps that depend on the signs of the gradients alone.

    Every element has a step size. It grows by η⁺ while the sign of g stays and shrinks by η⁻ when
    it changes, and then the element rests for one step. For gradients of the whole training set:
    the noise of mini-batches changes signs. The rate counts at the first step only. Source:
    Riedmiller and Braun 1993.

    Args:
        params: Tensors or groups.
        lr: the step size at the start.
        etas: (η⁻, η⁺).
        step_sizes: the smallest and the largest step size.
        maximize: whether to climb.

    Raises:
        ArgumentError: not 0 < η⁻ < 1 < η⁺, or another option is out of range.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.Rprop([w], lr=0.1)
        >>> for _ in range(2):
        ...     opt.zero_grad()
        ...     (w * w).sum().backward()
        ...     opt.step()
        >>> w.data.round(6)
        array([0.78])
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize}
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes(cls.__name__, options, "lr")
        shrink, grow = check_numbers(cls.__name__, "etas", options["etas"], 2)
        if not 0 < shrink < 1 < grow:
            raise ArgumentError(f"Rprop: etas must be 0 < η⁻ < 1 < η⁺, got {options['etas']!r}")
        smallest, largest = check_numbers(cls.__name__, "step_sizes", options["step_sizes"], 2)
        if not 0 <= smallest <= largest:
            raise ArgumentError(
                f"Rprop: step_sizes must be (smallest, largest), got {options['step_sizes']!r}"
            )

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        etas: tuple[float, float],
        step_sizes: tuple[float, float],
        maximize: bool,
    ) -> None:
        """Change p in place."""
        previous = buffer(state, "prev", p)
        size = buffer(state, "step_size", p, start=lr)
        count(state)
        shrink, grow = etas
        g = penalized(p, g, 0.0, maximize)
        same = sign(g * previous)
        grown = where(same > 0, size * grow, where(same < 0, size * shrink, size))
        assign(size, clip(grown, *step_sizes))
        assign(previous, where(same < 0, g * 0.0, g))
        p -= sign(previous) * size


class ASGD(Optimizer):
    """Averaged gradient descent: plain steps, and an average of the parameters beside them.

    p ← (1 - lambd η) p - η g with η = lr / (1 + lambd lr t)^alpha; the average ``state[p]["ax"]``
    follows p exactly until step t0 and is their mean from then on. Source: Polyak and Juditsky
    1992.

    Args:
        params: Tensors or groups.
        lr: learning rate.
        lambd: decay.
        alpha: power with which the rate falls.
        t0: where averaging starts.
        weight_decay: coefficient of the L2 term.
        maximize: whether to climb.

    Raises:
        ArgumentError: an option is negative.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.ASGD([w], lr=0.1, t0=0)
        >>> for _ in range(2):
        ...     opt.zero_grad()
        ...     (w * w).sum().backward()
        ...     opt.step()
        >>> w.data.round(3), opt.state[w]["ax"].round(3)
        (array([0.64]), array([0.64]))
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes(cls.__name__, options, "lr", "lambd", "alpha", "t0", "weight_decay")

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        lambd: float,
        alpha: float,
        t0: float,
        weight_decay: float,
        maximize: bool,
    ) -> None:
        """Change p in place."""
        mean = buffer(state, "ax", p)
        t = count(state)
        rate, share = state.get("eta", lr), state.get("mu", 1.0)
        g = penalized(p, g, weight_decay, maximize)
        p *= 1 - lambd * rate
        p -= rate * g
        if share == 1:
            assign(mean, p)
        else:
            average(mean, p, share)
        state["eta"] = lr / (1 + lambd * lr * t) ** alpha
        state["mu"] = 1 / max(1, t - t0)


__all__ = ["ASGD", "Rprop"]
