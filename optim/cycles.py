"""Schedules that go down and up again: cosines, triangles, one cycle."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygrad_course.errors import ArgumentError
from tinygrad_course.optim.optimizer import Group, Optimizer
from tinygrad_course.optim.schedules import (
    LRScheduler,
    Rates,
    checked_count,
    checked_number,
    checked_optimizer,
    per_group,
)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first rate to `eta_min` in `T_max` epochs, and back again.

    lr = eta_min + (α₀ - eta_min) (1 + cos(π epoch / T_max)) / 2. Source: Loshchilov and Hutter
    2017.

    Args:
        optimizer: whose rates are set.
        T_max: epochs of half a wave.
        eta_min: the lowest rate.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: `T_max` is not a positive whole number, or `eta_min` is negative.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=1.0)
        >>> schedule = tc.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=2)
        >>> schedule.step()
        >>> opt.param_groups[0]["lr"]
        0.5
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = checked_count("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = checked_number("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this epoch."""
        if self._is_initial:
            return self.present()
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # from the lowest point up
            rise = 1 - math.cos(math.pi / self.T_max)
            pairs = zip(self.present(), self.base_lrs, strict=True)
            return [rate + (base - self.eta_min) * rise / 2 for rate, base in pairs]
        now, before = (
            1 + math.cos(math.pi * e / self.T_max) for e in (self.last_epoch, self.last_epoch - 1)
        )
        return [now / before * (rate - self.eta_min) + self.eta_min for rate in self.present()]

    def closed_form(self) -> Rates:
        """Return the rates of this epoch whatever stands in the groups."""
        height = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return [self.eta_min + (rate - self.eta_min) * height / 2 for rate in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine down to `eta_min`, then a jump back up; every wave is `T_mult` times as long.

    Source: Loshchilov and Hutter 2017. ``step(epoch + i / batches)`` sets the rate within an epoch.

    Args:
        optimizer: whose rates are set.
        T_0: epochs of the first wave.
        T_mult: factor from wave to wave.
        eta_min: the lowest rate.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: `T_0` or `T_mult` is not a positive whole number, or `eta_min` is negative.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=1.0)
        >>> schedule = tc.optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, T_0=2)
        >>> rates = []
        >>> for epoch in range(4):
        ...     rates.append(opt.param_groups[0]["lr"])
        ...     schedule.step()
        >>> rates
        [1.0, 0.5, 1.0, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        name = "CosineAnnealingWarmRestarts"
        self.T_0 = checked_count(name, "T_0", T_0)
        self.T_mult = checked_count(name, "T_mult", T_mult)
        self.eta_min = checked_number(name, "eta_min", eta_min)
        self.T_i: float = T_0
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this place in the wave."""
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (rate - self.eta_min) * height / 2 for rate in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch; with `epoch`, which may be broken, to that one.

        Raises:
            ArgumentError: `epoch` is negative.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._go_to(checked_number(type(self).__name__, "epoch", epoch))
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def _go_to(self, epoch: float) -> None:
        self.T_i, self.T_cur = self.T_0, epoch
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult


class _WithMomentum(LRScheduler):
    """A schedule that moves the momentum against the rate, if the optimizer has one."""

    cycle_momentum: bool

    def _start_momentum(
        self, optimizer: Optimizer, base: Any, highest: Any, last_epoch: int
    ) -> None:
        """Write both ends into the groups, which then start with the highest momentum."""
        name = type(self).__name__
        if not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ArgumentError(
                f"{name}: {type(optimizer).__name__} has neither momentum nor betas; pass "
                f"cycle_momentum=False"
            )
        if last_epoch != -1:
            return
        bases = per_group(name, "base_momentum", base, optimizer)
        tops = per_group(name, "max_momentum", highest, optimizer)
        for group, low, high in zip(optimizer.param_groups, bases, tops, strict=True):
            group["base_momentum"] = checked_number(name, "base_momentum", low)
            group["max_momentum"] = checked_number(name, "max_momentum", high)
            set_momentum(group, high)


def set_momentum(group: Group, value: float) -> None:
    """Write the momentum of a group, which Adam's family calls β₁."""
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


class CyclicLR(_WithMomentum):
    """Triangles between `base_lr` and `max_lr`; the momentum goes the other way.

    The height of triangle c is 1 ("triangular"), 1/2ᶜ⁻¹ ("triangular2"), or gammaᵉᵖᵒᶜʰ
    ("exp_range"). `step` is called after every batch. Source: Smith 2017.

    Args:
        optimizer: whose rates are set.
        base_lr: lowest rate, or one a group.
        max_lr: highest rate of the first triangle, or one a group.
        step_size_up: steps up.
        step_size_down: steps down, by default as many.
        mode: "triangular", "triangular2" or "exp_range".
        gamma: for "exp_range".
        scale_fn: height as a function of what `scale_mode` says, in place of `mode`.
        scale_mode: "cycle", the number of the triangle from 1, or "iterations".
        cycle_momentum: whether to move momentum (or β₁), too.
        base_momentum: lowest momentum, or one a group.
        max_momentum: highest momentum, or one a group.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: an option is out of range or unknown, or there is no momentum to move.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=1.0, momentum=0.9)
        >>> schedule = tc.optim.lr_scheduler.CyclicLR(opt, 0.0, 1.0, step_size_up=2)
        >>> rates = []
        >>> for step in range(5):
        ...     rates.append(opt.param_groups[0]["lr"])
        ...     schedule.step()
        >>> rates
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    unsaved = ("optimizer", "scale_fn")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        name = "CyclicLR"
        checked_optimizer(name, optimizer)
        lowest = [
            checked_number(name, "base_lr", rate)
            for rate in per_group(name, "base_lr", base_lr, optimizer)
        ]
        self.max_lrs = [
            checked_number(name, "max_lr", rate)
            for rate in per_group(name, "max_lr", max_lr, optimizer)
        ]
        if mode not in {"triangular", "triangular2", "exp_range"} and scale_fn is None:
            raise ArgumentError(
                f"{name}: mode must be 'triangular', 'triangular2' or 'exp_range', got {mode!r}"
            )
        if scale_mode not in {"cycle", "iterations"}:
            raise ArgumentError(
                f"{name}: scale_mode must be 'cycle' or 'iterations', got {scale_mode!r}"
            )
        up = checked_number(name, "step_size_up", step_size_up, least=1)
        down = up if step_size_down is None else step_size_down
        self.total_size = up + checked_number(name, "step_size_down", down, least=1)
        self.step_ratio = up / self.total_size
        self.mode, self.gamma, self.scale_fn = mode, gamma, scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, lowest, strict=True):
                group["lr"] = rate
        self._lowest = lowest
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest

    def _height(self, cycle: int) -> float:
        place = cycle if self.scale_mode == "cycle" else self.last_epoch
        if self.scale_fn is not None:
            return self.scale_fn(place)
        if self.mode == "exp_range":
            return float(self.gamma**place)
        return 1.0 if self.mode == "triangular" else 1 / 2.0 ** (place - 1)

    def get_lr(self) -> Rates:
        """Return the rates of this step, and move the momentum."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        rising = x <= self.step_ratio
        scale = x / self.step_ratio if rising else (x - 1) / (self.step_ratio - 1)
        height = self._height(cycle)
        if self.cycle_momentum:
            for group in self.groups:
                reach = (group["max_momentum"] - group["base_momentum"]) * scale
                set_momentum(group, group["max_momentum"] - reach * height)
        return [
            low + (high - low) * scale * height
            for low, high in zip(self._lowest, self.max_lrs, strict=True)
        ]


class OneCycleLR(_WithMomentum):
    """Up from max_lr / div_factor to `max_lr`, then down to 1 / final_div_factor of the start.

    The momentum goes the other way. `step` is called after every batch, `total_steps` times in all.
    Source: Smith and Topin 2018.

    Args:
        optimizer: whose rates are set.
        max_lr: highest rate, or one a group.
        total_steps: number of steps; or give `epochs` and `steps_per_epoch`.
        epochs: number of epochs.
        steps_per_epoch: number of batches.
        pct_start: share of the steps that go up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether to move momentum (or β₁), too.
        base_momentum: lowest momentum, or one a group.
        max_momentum: highest momentum, or one a group.
        div_factor: max_lr divided by the first rate.
        final_div_factor: first rate divided by the last.
        three_phase: whether to go down as slowly as up, and then on to the last rate.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: an option is out of range or unknown, the number of steps is not given, there
            is no momentum to move, or `step` is called too often.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=1.0, momentum=0.9)
        >>> schedule = tc.optim.lr_scheduler.OneCycleLR(opt, max_lr=1.0, total_steps=10)
        >>> rates = []
        >>> for step in range(9):
        ...     rates.append(round(opt.param_groups[0]["lr"], 3))
        ...     schedule.step()
        >>> rates
        [0.04, 0.52, 1.0, 0.95, 0.812, 0.611, 0.389, 0.188, 0.05]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        name = "OneCycleLR"
        checked_optimizer(name, optimizer)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ArgumentError(f"{name}: give total_steps, or epochs and steps_per_epoch")
            total_steps = checked_count(name, "epochs", epochs)
            total_steps *= checked_count(name, "steps_per_epoch", steps_per_epoch)
        self.total_steps = checked_count(name, "total_steps", total_steps)
        share = float(checked_number(name, "pct_start", pct_start, most=1.0))
        if anneal_strategy not in {"cos", "linear"}:
            raise ArgumentError(
                f"{name}: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}"
            )
        self.anneal_strategy = anneal_strategy
        top = share * self.total_steps - 1
        ends: list[tuple[float, str, str]] = [(top, "max_lr", "base_momentum")]
        if three_phase:
            ends.append((2 * share * self.total_steps - 2, "initial_lr", "max_momentum"))
        ends.append((self.total_steps - 1, "min_lr", "max_momentum"))
        self.phase_ends = [end for end, _, _ in ends]
        self.phase_targets = [[lr, momentum] for _, lr, momentum in ends]
        highest = per_group(name, "max_lr", max_lr, optimizer)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, highest, strict=True):
                group["max_lr"] = checked_number(name, "max_lr", rate)
                group["initial_lr"] = rate / div_factor
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Return the rates of this step, and move the momentum.

        Raises:
            ArgumentError: there have been `total_steps` steps.
        """
        if self.last_epoch > self.total_steps:
            raise ArgumentError(
                f"OneCycleLR: step {self.last_epoch} of {self.total_steps}; the cycle is over"
            )
        start, lr, momentum = 0.0, "initial_lr", "max_momentum"
        for end, (to_lr, to_momentum) in zip(self.phase_ends, self.phase_targets, strict=True):
            if self.last_epoch <= end or end == self.phase_ends[-1]:
                break
            start, lr, momentum = end, to_lr, to_momentum
        share = (self.last_epoch - start) / (end - start)
        if self.cycle_momentum:
            for group in self.groups:
                set_momentum(group, self._between(group[momentum], group[to_momentum], share))
        return [self._between(group[lr], group[to_lr], share) for group in self.groups]

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]
