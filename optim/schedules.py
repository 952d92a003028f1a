"""Learning rates as functions of the epoch.

A schedule writes ``group["lr"]``; `step` is called once an epoch (or once a batch, and "epoch" then
means batch), after ``optimizer.step()``. Where PyTorch multiplies the present rate, so does this:
schedules can then be chained, and a rate that was changed by hand stays changed.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tinygrad_course.errors import ArgumentError
from tinygrad_course.graph import SCOPE
from tinygrad_course.optim.optimizer import Group, Optimizer

Rates = list[float]


def _at_the_end_of_a_replay(step: Callable[..., None]) -> Callable[..., None]:
    """Let a schedule that is part of a compiled step go on after each replay, not in the trace."""

    @functools.wraps(step)
    def run(self: LRScheduler, *args: Any, **keywords: Any) -> None:
        observer = SCOPE.get().observer
        if observer is not None and observer.replays:
            observer.later(functools.partial(step, self), args, keywords)
        else:
            step(self, *args, **keywords)

    return run


class LRScheduler:
    """Base of the schedules.

    A subclass defines `get_lr`, and where a formula in the epoch exists, `closed_form`.

    Args:
        optimizer: whose rates are set.
        last_epoch: -1 to start; to go on without a saved state, the number of the last epoch, for
            an optimizer whose groups hold "initial_lr".

    Raises:
        ArgumentError: this is no optimizer, or the groups lack "initial_lr".
    """

    unsaved: tuple[str, ...] = ("optimizer",)
    """Attributes that do not belong to the state."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "step" in vars(cls):
            cls.step = _at_the_end_of_a_replay(cls.step)  # type: ignore[method-assign]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked_optimizer(type(self).__name__, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: last_epoch={last_epoch} means to go on, but group {i} "
                    f"has no 'initial_lr'; load the optimizer's state first, or start with -1"
                )
        self.base_lrs: Rates = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._last_lr: Rates = []
        self._start()

    def _start(self) -> None:
        """Set the rates of the first epoch."""
        self._is_initial = True
        self.step()
        self._is_initial = False

    @property
    def groups(self) -> list[Group]:
        """The groups of the optimizer."""
        return self.optimizer.param_groups

    def present(self) -> Rates:
        """Return the rates that stand in the groups."""
        return [group["lr"] for group in self.groups]

    def get_lr(self) -> Rates:
        """Return the rates of epoch `last_epoch`, one a group."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr()")

    def closed_form(self) -> Rates:
        """Return the rates of epoch `last_epoch` whatever stands in the groups."""
        return self.get_lr()

    def get_last_lr(self) -> Rates:
        """Return the rates that the last `step` set."""
        return self._last_lr

    @_at_the_end_of_a_replay
    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch; with `epoch`, to that one."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._set(self.get_lr() if epoch is None else self.closed_form())

    def _set(self, rates: Rates) -> None:
        for group, rate in zip(self.groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self.present()

    def _rewind(self) -> None:
        """Take back the start: another schedule goes first."""
        self.last_epoch -= 1

    # ---- state ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer and given functions, as plain values."""
        return {
            key: list(value) if isinstance(value, list) else value
            for key, value in vars(self).items()
            if key not in self.unsaved
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; the rates themselves are the optimizer's state.

        Raises:
            ArgumentError: the state is that of another schedule, or of other groups.
        """
        name = f"{type(self).__name__}.load_state_dict"
        mine = self.state_dict()
        if state_dict.keys() != mine.keys():
            missing, extra = mine.keys() - state_dict.keys(), state_dict.keys() - mine.keys()
            raise ArgumentError(
                f"{name}: the state lacks {sorted(missing)} and has {sorted(extra)} more; was it "
                f"saved by another schedule?"
            )
        for key in ("base_lrs", "min_lrs", "_last_lr"):
            if key in mine and len(mine[key]) != len(state_dict[key]):
                raise ArgumentError(
                    f"{name}: the state is of {len(state_dict[key])} groups, the optimizer has "
                    f"{len(mine[key])}"
                )
        vars(self).update(
            {k: list(v) if isinstance(v, list | tuple) else v for k, v in state_dict.items()}
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(last_epoch={self.last_epoch}, lr={self.present()})"


def checked_optimizer(name: str, optimizer: Any) -> Optimizer:
    """Refuse what is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"{name}: {type(optimizer).__name__} is not an optimizer")
    return optimizer


def checked_number(
    name: str, option: str, value: Any, least: float = 0.0, most: float = math.inf
) -> float:
    """Refuse what is no finite number from `least` to `most`."""
    number = isinstance(value, int | float) and math.isfinite(value)
    if not number or not least <= value <= most:
        limits = f"≥ {least}" if most == math.inf else f"between {least} and {most}"
        raise ArgumentError(f"{name}: {option} must be a number {limits}, got {value!r}")
    checked: float = value
    return checked


def checked_count(name: str, option: str, value: Any) -> int:
    """Refuse what is no positive whole number."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"{name}: {option} must be a positive whole number, got {value!r}")
    return value


def per_group(name: str, option: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """Return one value a group, of a list or of one value for all."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ArgumentError(
            f"{name}: {option} has {len(value)} entries, the optimizer {count} groups"
        )
    return list(value)


class _FunctionLR(LRScheduler):
    """What a function of the epoch says, one for all groups or a list with one a group."""

    unsaved = ("optimizer", "lr_lambdas")

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        name = type(self).__name__
        checked_optimizer(name, optimizer)
        self.lr_lambdas = per_group(name, "lr_lambda", lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise ArgumentError(
                    f"{name}: lr_lambda must be a function, got {type(function).__name__}"
                )
        super().__init__(optimizer, last_epoch)


class LambdaLR(_FunctionLR):
    """First rate times ``lr_lambda(epoch)``; the functions are not part of the saved state.

    Args:
        optimizer: whose rates are set.
        lr_lambda: a function of the epoch, or one a group.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: these are no functions, or not one a group.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=0.5)
        >>> schedule = tc.optim.lr_scheduler.LambdaLR(opt, lambda epoch: 1 / (1 + epoch))
        >>> schedule.step()
        >>> opt.param_groups[0]["lr"]
        0.25
    """

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        return [
            rate * function(self.last_epoch)
            for rate, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]


class MultiplicativeLR(_FunctionLR):
    """Present rate times ``lr_lambda(epoch)``, from the second epoch on.

    Args:
        optimizer: whose rates are set.
        lr_lambda: a function of the epoch, or one a group.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: these are no functions, or not one a group.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=0.5)
        >>> schedule = tc.optim.lr_scheduler.MultiplicativeLR(opt, lambda epoch: 0.5)
        >>> schedule.step()
        >>> opt.param_groups[0]["lr"]
        0.25
    """

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        if self._is_initial:
            return self.present()
        return [
            rate * function(self.last_epoch)
            for rate, function in zip(self.present(), self.lr_lambdas, strict=True)
        ]


class StepLR(LRScheduler):
    """A staircase: the rate is multiplied by `gamma` every `step_size` epochs (lesson 2.6).

    Args:
        optimizer: whose rates are set.
        step_size: epochs on one stair.
        gamma: factor from stair to stair.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: `step_size` is not a positive whole number, or `gamma` is negative.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=0.5)
        >>> schedule = tc.optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.5)
        >>> rates = []
        >>> for epoch in range(5):
        ...     rates.append(opt.param_groups[0]["lr"])
        ...     schedule.step()
        >>> rates
        [0.5, 0.5, 0.25, 0.25, 0.125]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = checked_count("StepLR", "step_size", step_size)
        self.gamma = checked_number("StepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self.present()
        return [rate * self.gamma for rate in self.present()]

    def closed_form(self) -> Rates:
        """Return the rates of this epoch whatever stands in the groups."""
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return [rate * factor for rate in self.base_lrs]


class MultiStepLR(LRScheduler):
    """The rate is multiplied by `gamma` at every milestone.

    Args:
        optimizer: whose rates are set.
        milestones: epochs; one that is given twice counts twice.
        gamma: factor from stair to stair.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: `gamma` is negative, or a milestone is not a whole number.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=0.5)
        >>> schedule = tc.optim.lr_scheduler.MultiStepLR(opt, [1, 3], gamma=0.5)
        >>> rates = []
        >>> for epoch in range(4):
        ...     rates.append(opt.param_groups[0]["lr"])
        ...     schedule.step()
        >>> rates
        [0.5, 0.25, 0.25, 0.125]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(milestones)
        for milestone in self.milestones:
            if not isinstance(milestone, int):
                raise ArgumentError(
                    f"MultiStepLR: milestones must be whole numbers, got {milestone!r}"
                )
        self.gamma = checked_number("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        factor = self.gamma ** self.milestones.count(self.last_epoch)
        return [rate * factor for rate in self.present()]

    def closed_form(self) -> Rates:
        """Return the rates of this epoch whatever stands in the groups."""
        factor = self.gamma ** bisect_right(self.milestones, self.last_epoch)
        return [rate * factor for rate in self.base_lrs]


class ConstantLR(LRScheduler):
    """The rate times `factor` in the first `total_iters` epochs, then the rate itself.

    Args:
        optimizer: whose rates are set.
        factor: between 0 (excluded) and 1.
        total_iters: number of epochs.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: `factor` is outside (0, 1]: by 0 the way back is lost.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=0.5)
        >>> schedule = tc.optim.lr_scheduler.ConstantLR(opt, factor=0.5, total_iters=1)
        >>> first = opt.param_groups[0]["lr"]
        >>> schedule.step()
        >>> first, opt.param_groups[0]["lr"]
        (0.25, 0.5)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.factor = _checked_factor("ConstantLR", "factor", factor)
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self.present()]
        if self.last_epoch != self.total_iters:
            return self.present()
        return [rate * (1.0 / self.factor) for rate in self.present()]

    def closed_form(self) -> Rates:
        """Return the rates of this epoch whatever stands in the groups."""
        factor = 1.0 if self.last_epoch >= self.total_iters else self.factor
        return [rate * factor for rate in self.base_lrs]


def _checked_factor(name: str, option: str, value: Any) -> float:
    if not isinstance(value, int | float) or not 0 < value <= 1:
        raise ArgumentError(f"{name}: {option} must lie in (0, 1], got {value!r}")
    return value


class LinearLR(LRScheduler):
    """The rate times a factor that goes straight from `start_factor` to `end_factor`.

    Args:
        optimizer: whose rates are set.
        start_factor: factor of the first epoch, in (0, 1].
        end_factor: factor from epoch `total_iters` on, in [0, 1].
        total_iters: number of epochs.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: an option is out of range.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=1.0)
        >>> schedule = tc.optim.lr_scheduler.LinearLR(opt, start_factor=0.5, total_iters=2)
        >>> rates = []
        >>> for epoch in range(4):
        ...     rates.append(opt.param_groups[0]["lr"])
        ...     schedule.step()
        >>> rates
        [0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = _checked_factor("LinearLR", "start_factor", start_factor)
        self.end_factor = checked_number("LinearLR", "end_factor", end_factor, most=1.0)
        self.total_iters = checked_count("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        if self.last_epoch == 0:
            return [rate * self.start_factor for rate in self.present()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self.present()
        change = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * change
        return [rate * (1.0 + change / before) for rate in self.present()]

    def closed_form(self) -> Rates:
        """Return the rates of this epoch whatever stands in the groups."""
        share = min(self.total_iters, self.last_epoch) / self.total_iters
        factor = self.start_factor + (self.end_factor - self.start_factor) * share
        return [rate * factor for rate in self.base_lrs]


class ExponentialLR(LRScheduler):
    """First rate times gammaᵉᵖᵒᶜʰ (lesson 2.6: 0.95ᵉᵖᵒᶜʰ α₀).

    Args:
        optimizer: whose rates are set.
        gamma: factor from epoch to epoch.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: `gamma` is negative.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=0.5)
        >>> schedule = tc.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5)
        >>> schedule.step()
        >>> opt.param_groups[0]["lr"]
        0.25
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = checked_number("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        if self._is_initial:
            return self.present()
        return [rate * self.gamma for rate in self.present()]

    def closed_form(self) -> Rates:
        """Return the rates of this epoch whatever stands in the groups."""
        return [rate * self.gamma**self.last_epoch for rate in self.base_lrs]


class PolynomialLR(LRScheduler):
    """First rate times (1 - epoch / total_iters)ᵖᵒʷᵉʳ, and 0 from then on.

    Args:
        optimizer: whose rates are set.
        total_iters: number of epochs.
        power: of the polynomial.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: `total_iters` is not a positive whole number, or `power` is negative.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=1.0)
        >>> schedule = tc.optim.lr_scheduler.PolynomialLR(opt, total_iters=4)
        >>> schedule.step()
        >>> opt.param_groups[0]["lr"]
        0.75
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters = checked_count("PolynomialLR", "total_iters", total_iters)
        self.power = checked_number("PolynomialLR", "power", power)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return self.present()
        now = 1.0 - self.last_epoch / self.total_iters
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return [rate * (now / before) ** self.power for rate in self.present()]

    def closed_form(self) -> Rates:
        """Return the rates of this epoch whatever stands in the groups."""
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [rate * left**self.power for rate in self.base_lrs]


# ---- the formulas of the notes that PyTorch has no class for ---------------------------------


class InverseTimeLR(LRScheduler):
    """First rate divided by 1 + decay_rate · epoch (lesson 2.6).

    Args:
        optimizer: whose rates are set.
        decay_rate: how fast the rate falls.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: `decay_rate` is negative.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=0.2)
        >>> schedule = tc.optim.lr_scheduler.InverseTimeLR(opt, decay_rate=1.0)
        >>> schedule.step()
        >>> opt.param_groups[0]["lr"]
        0.1
    """

    def __init__(self, optimizer: Optimizer, decay_rate: float, last_epoch: int = -1) -> None:
        self.decay_rate = checked_number("InverseTimeLR", "decay_rate", decay_rate)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        return [rate / (1.0 + self.decay_rate * self.last_epoch) for rate in self.base_lrs]


class InverseSqrtLR(LRScheduler):
    """First rate times k / √epoch, where the first epoch is 1 (lesson 2.6).

    Args:
        optimizer: whose rates are set.
        k: factor; the rate of the first epoch is k α₀.
        last_epoch: see `LRScheduler`; here as everywhere the number of the first epoch is 0.

    Raises:
        ArgumentError: `k` is negative.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=0.5)
        >>> schedule = tc.optim.lr_scheduler.InverseSqrtLR(opt)
        >>> schedule.step(3)
        >>> opt.param_groups[0]["lr"]
        0.25
    """

    def __init__(self, optimizer: Optimizer, k: float = 1.0, last_epoch: int = -1) -> None:
        self.k = checked_number("InverseSqrtLR", "k", k)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        return [rate * self.k / math.sqrt(self.last_epoch + 1) for rate in self.base_lrs]


class TableLR(LRScheduler):
    """Rates by hand: each holds from its epoch on, for all groups (lesson 2.6, manual decay).

    Args:
        optimizer: whose rates are set.
        table: epoch to rate; before the first one the optimizer's own rate holds.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: a rate is negative.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=0.5)
        >>> schedule = tc.optim.lr_scheduler.TableLR(opt, {2: 0.1, 3: 0.02})
        >>> rates = []
        >>> for epoch in range(5):
        ...     rates.append(opt.param_groups[0]["lr"])
        ...     schedule.step()
        >>> rates
        [0.5, 0.5, 0.1, 0.02, 0.02]
    """

    def __init__(
        self, optimizer: Optimizer, table: Mapping[int, float], last_epoch: int = -1
    ) -> None:
        self.epochs = sorted(table)
        self.rates = [checked_number("TableLR", f"table[{e}]", table[e]) for e in self.epochs]
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        passed = bisect_right(self.epochs, self.last_epoch)
        return [self.rates[passed - 1] if passed else rate for rate in self.base_lrs]


__all__ = [
    "ConstantLR",
    "ExponentialLR",
    "InverseSqrtLR",
    "InverseTimeLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "PolynomialLR",
    "StepLR",
    "TableLR",
]
