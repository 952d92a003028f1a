"""A schedule that looks at the progress: less when it stalls, and at last nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tinygrad_course.errors import ArgumentError
from tinygrad_course.optim.optimizer import Group, Optimizer
from tinygrad_course.optim.schedules import (
    LRScheduler,
    checked_number,
    checked_optimizer,
    per_group,
)

ROUNDING = 1 + 1e-9
"""0.1³ is not exactly a thousandth."""


def first_rate(group: Group) -> float:
    """Return the rate that a group began with."""
    rate: float = group["initial_lr"] if "initial_lr" in group else group["lr"]
    return rate


class ReduceLROnPlateau(LRScheduler):
    """The rate times `factor` when a metric has not become better for more than `patience` epochs.

    The notes halve the rate when the accuracy on the development set stalls, and stop at 1/1024 of
    the first rate: ``ReduceLROnPlateau(opt, mode="max", factor=0.5, patience=9, stop_at=1/1024)``
    (or ``factor=0.1, stop_at=1/1000``), with ``if schedule.finished: break`` in the loop. Source:
    lesson 4 of the notes, "no improvement in ten"; options and numbers are PyTorch's.

    Args:
        optimizer: whose rates are set.
        mode: "min" if small is good, "max" if large is.
        factor: of the rate, below 1.
        patience: epochs without progress that are waited for.
        threshold: what counts as progress.
        threshold_mode: "rel": a share of the best, "abs": a difference.
        cooldown: epochs after a change in which no lack of progress counts.
        min_lr: lowest rate, or one a group.
        eps: changes smaller than this are not made.
        stop_at: lowest rate as a share of the first one.

    Raises:
        ArgumentError: an option is out of range or unknown.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=0.5)
        >>> schedule = tc.optim.lr_scheduler.ReduceLROnPlateau(
        ...     opt, mode="max", factor=0.5, patience=1, stop_at=1 / 4
        ... )
        >>> rates = []
        >>> for accuracy in [0.8, 0.9, 0.9, 0.9, 0.9, 0.9]:
        ...     schedule.step(accuracy)
        ...     rates.append(opt.param_groups[0]["lr"])
        >>> rates, schedule.finished
        ([0.5, 0.5, 0.5, 0.25, 0.25, 0.125], True)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
        *,
        stop_at: float = 0.0,
    ) -> None:
        name = "ReduceLROnPlateau"
        self.optimizer = checked_optimizer(name, optimizer)
        if mode not in {"min", "max"}:
            raise ArgumentError(f"{name}: mode must be 'min' or 'max', got {mode!r}")
        if threshold_mode not in {"rel", "abs"}:
            raise ArgumentError(
                f"{name}: threshold_mode must be 'rel' or 'abs', got {threshold_mode!r}"
            )
        self.factor = checked_number(name, "factor", factor)
        if factor >= 1:
            raise ArgumentError(f"{name}: factor must be below 1, got {factor!r}")
        self.mode, self.threshold_mode = mode, threshold_mode
        self.threshold = checked_number(name, "threshold", threshold)
        self.patience = checked_number(name, "patience", patience)
        self.cooldown = checked_number(name, "cooldown", cooldown)
        self.eps = checked_number(name, "eps", eps)
        self.stop_at = checked_number(name, "stop_at", stop_at, most=1.0)
        lowest = per_group(name, "min_lr", min_lr, optimizer)
        self.min_lrs = [
            max(checked_number(name, "min_lr", low), stop_at * first_rate(group))
            for low, group in zip(lowest, optimizer.param_groups, strict=True)
        ]
        self.last_epoch = 0
        self.best = self._worst
        self.cooldown_counter: float = 0
        self.num_bad_epochs = 0
        self._last_lr = self.present()

    @property
    def _worst(self) -> float:
        return math.inf if self.mode == "min" else -math.inf

    @property
    def finished(self) -> bool:
        """Whether every group has reached its lowest rate; never, if that is 0."""
        return all(
            low > 0 and group["lr"] <= low * ROUNDING
            for group, low in zip(self.groups, self.min_lrs, strict=True)
        )

    @property
    def in_cooldown(self) -> bool:
        """Whether lack of progress does not count now."""
        return self.cooldown_counter > 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:
        """Look at the metric of an epoch."""
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self.present()

    def is_better(self, metric: float) -> bool:
        """Whether a metric is progress beyond the best so far."""
        sign = -1.0 if self.mode == "min" else 1.0
        if self.threshold_mode == "rel":
            mark = self.best * (1.0 + sign * self.threshold)
        else:
            mark = self.best + sign * self.threshold
        return metric < mark if self.mode == "min" else metric > mark

    def _reduce(self) -> None:
        if len(self.groups) != len(self.min_lrs):
            raise ArgumentError(
                f"ReduceLROnPlateau: the optimizer has {len(self.groups)} groups now, and had "
                f"{len(self.min_lrs)}; make a new schedule after add_param_group"
            )
        for group, low in zip(self.groups, self.min_lrs, strict=True):
            rate = max(group["lr"] * self.factor, low)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer, as plain values; no best so far is None."""
        best = self.best if math.isfinite(self.best) else None
        return {**super().state_dict(), "best": best}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            ArgumentError: the state is that of another schedule, or of other groups.
        """
        super().load_state_dict(state_dict)
        if state_dict["best"] is None:
            self.best = self._worst


__all__ = ["ReduceLROnPlateau"]
