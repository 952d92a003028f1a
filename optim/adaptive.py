"""Optimizers that give every element a step size of its own, from the squares of its gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_course.errors import ArgumentError
from tinygrad_course.ops import sqrt
from tinygrad_course.optim.optimizer import Group, Optimizer, check_sizes
from tinygrad_course.optim.rules import (
    State,
    average,
    average_squares,
    buffer,
    count,
    descend,
    penalized,
)


class Adagrad(Optimizer):
    """Adagrad: p ← p - lr g / (sqrt(s) + eps), where s is the sum of all g² so far.

    The rate itself may fall, too: lr / (1 + (t - 1) lr_decay) in step t. Source: Duchi, Hazan and
    Singer 2011.

    Args:
        params: Tensors or groups.
        lr: learning rate.
        lr_decay: how fast the rate falls.
        weight_decay: coefficient of the L2 term.
        initial_accumulator_value: s at the start.
        eps: keeps the quotient finite.
        maximize: whether to climb.

    Raises:
        ArgumentError: an option is negative.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.Adagrad([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.data.round(6)
        array([0.9])
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
            },
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        sizes = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        check_sizes(cls.__name__, options, *sizes)

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        lr_decay: float,
        weight_decay: float,
        initial_accumulator_value: float,
        eps: float,
        maximize: bool,
    ) -> None:
        """Change p in place."""
        s = buffer(state, "sum", p, start=initial_accumulator_value)
        t = count(state)
        g = penalized(p, g, weight_decay, maximize)
        s += g * g
        root = sqrt(s)
        root += eps
        descend(p, lr / (1 + (t - 1) * lr_decay), g / root)


class Adadelta(Optimizer):
    """Adadelta: steps as large as the steps so far: p ← p - lr sqrt((d + eps) / (s + eps)) g.

    s and d are averages of g² and of the squared steps: s ← rho s + (1 - rho) g². The unit of the
    step is that of p, which gradient descent's is not. Source: Zeiler 2012.

    Args:
        params: Tensors or groups.
        lr: factor of the step.
        rho: share of the old averages that is kept.
        eps: keeps the quotient finite, and starts the movement.
        weight_decay: coefficient of the L2 term.
        maximize: whether to climb.

    Raises:
        ArgumentError: an option is negative, or rho is above 1.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.Adadelta([w])
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.data.round(6)
        array([0.996838])
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes(cls.__name__, options, "lr", "eps", "weight_decay", "rho")
        if options["rho"] > 1:
            raise ArgumentError(f"Adadelta: rho must lie in [0, 1], got {options['rho']!r}")

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        rho: float,
        eps: float,
        weight_decay: float,
        maximize: bool,
    ) -> None:
        """Change p in place."""
        s, d = buffer(state, "square_avg", p), buffer(state, "acc_delta", p)
        count(state)
        g = penalized(p, g, weight_decay, maximize)
        average_squares(s, g, rho)
        step = sqrt(d + eps)
        step /= sqrt(s + eps)
        step *= g
        average_squares(d, step, rho)
        descend(p, lr, step)


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
        maximize: whether to climb.

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

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
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
                "maximize": maximize,
            },
        )

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        check_sizes(cls.__name__, options, "lr", "alpha", "eps", "weight_decay", "momentum")

    @staticmethod
    def update(
        p: Any,
        g: Any,
        state: State,
        *,
        lr: float,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        centered: bool,
        maximize: bool,
    ) -> None:
        """Change p in place."""
        s = buffer(state, "square_avg", p)
        count(state)
        g = penalized(p, g, weight_decay, maximize)
        average_squares(s, g, alpha)
        if centered:
            mean = buffer(state, "grad_avg", p)
            average(mean, g, 1 - alpha)
            root = sqrt(s - mean * mean)
        else:
            root = sqrt(s)
        root += eps
        step = g / root
        if momentum:
            v = buffer(state, "momentum_buffer", p)
            v *= momentum
            v += step
            p -= lr * v
        else:
            descend(p, lr, step)


__all__ = ["Adadelta", "Adagrad", "RMSprop"]
