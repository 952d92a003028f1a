"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from tinygrad_course.errors import ArgumentError
from tinygrad_course.optim.optimizer import Optimizer
from tinygrad_course.optim.plateau import ReduceLROnPlateau
from tinygrad_course.optim.schedules import LRScheduler


class _Several(LRScheduler):
    """Schedules of one optimizer."""

    unsaved = ("optimizer", "schedulers")

    def _take(self, optimizer: Optimizer | None, schedulers: Sequence[LRScheduler]) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ArgumentError(f"{name}: got no schedulers")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
                raise ArgumentError(
                    f"{name}: scheduler {i} is {type(scheduler).__name__}, expected a schedule "
                    f"whose step() needs no metric"
                )
            if scheduler.optimizer is not (optimizer or schedulers[0].optimizer):
                raise ArgumentError(f"{name}: scheduler {i} belongs to another optimizer")
        self.schedulers = list(schedulers)
        self.optimizer = schedulers[0].optimizer

    def _rewind(self) -> None:
        for scheduler in self.schedulers:
            scheduler._rewind()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all, as plain values."""
        states = [scheduler.state_dict() for scheduler in self.schedulers]
        return {**super().state_dict(), "_schedulers": states}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            ArgumentError: the state is that of other schedules, or of other groups.
        """
        states = state_dict.get("_schedulers", ())
        if len(states) != len(self.schedulers):
            raise ArgumentError(
                f"{type(self).__name__}.load_state_dict: the state is of {len(states)} schedules, "
                f"these are {len(self.schedulers)}"
            )
        for scheduler, state in zip(self.schedulers, states, strict=True):
            scheduler.load_state_dict(state)
        super().load_state_dict(state_dict)
        del vars(self)["_schedulers"]


class SequentialLR(_Several):
    """One schedule after the other; each begins at its milestone with its own epoch 0.

    Args:
        optimizer: whose rates are set.
        schedulers: in their order, all made for this optimizer.
        milestones: epochs at which the second, third, … begins.
        last_epoch: -1.

    Raises:
        ArgumentError: the numbers do not fit, or a schedule is of another optimizer.

    Example:
        >>> import tinygrad_course as tc
        >>> from tinygrad_course.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=1.0)
        >>> warm = LinearLR(opt, start_factor=0.5, total_iters=2)
        >>> schedule = SequentialLR(opt, [warm, ExponentialLR(opt, 0.5)], milestones=[2])
        >>> rates = []
        >>> for epoch in range(5):
        ...     rates.append(opt.param_groups[0]["lr"])
        ...     schedule.step()
        >>> rates
        [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self._take(optimizer, schedulers)
        self.milestones = list(milestones)
        if len(self.milestones) != len(self.schedulers) - 1:
            raise ArgumentError(
                f"SequentialLR: {len(self.schedulers)} schedulers need "
                f"{len(self.schedulers) - 1} milestones, got {len(self.milestones)}"
            )
        self.last_epoch = last_epoch + 1
        for group in self.groups:
            group["lr"] = group["initial_lr"]
        self._rewind()
        first = self.schedulers[bisect_right(self.milestones, 0)]
        first._start()
        self._last_lr = self.present()

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch.

        Raises:
            ArgumentError: an epoch is given.
        """
        if epoch is not None:
            raise ArgumentError("SequentialLR.step: goes on epoch by epoch; leave `epoch` out")
        self.last_epoch += 1
        place = bisect_right(self.milestones, self.last_epoch)
        begins = place > 0 and self.milestones[place - 1] == self.last_epoch
        self.schedulers[place].step(0 if begins else None)
        self._last_lr = self.present()


class ChainedScheduler(_Several):
    """All schedules at once: each goes on from the rate that the one before has set.

    Args:
        schedulers: of one optimizer.
        optimizer: by default theirs.

    Raises:
        ArgumentError: there are none, or they belong to several optimizers.

    Example:
        >>> import tinygrad_course as tc
        >>> from tinygrad_course.optim.lr_scheduler import ChainedScheduler, ConstantLR, StepLR
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> opt = tc.optim.SGD([w], lr=1.0)
        >>> warm = ConstantLR(opt, factor=0.5, total_iters=2)
        >>> schedule = ChainedScheduler([warm, StepLR(opt, step_size=1, gamma=0.1)])
        >>> rates = []
        >>> for epoch in range(4):
        ...     rates.append(round(opt.param_groups[0]["lr"], 6))
        ...     schedule.step()
        >>> rates
        [0.5, 0.05, 0.01, 0.001]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._take(optimizer, schedulers)
        self._last_lr = self.present()

    def _start(self) -> None:
        for scheduler in self.schedulers:
            scheduler._start()

    def step(self, epoch: int | None = None) -> None:
        """Let every schedule make its step."""
        for scheduler in self.schedulers:
            scheduler.step(epoch)
        self._last_lr = self.present()

    def __repr__(self) -> str:
        return f"ChainedScheduler({self.schedulers})"


__all__ = ["ChainedScheduler", "SequentialLR"]
