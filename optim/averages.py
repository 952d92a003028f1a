"""Exponentially weighted averages: of numbers and arrays, and of the weights of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_course.buffers import note_write
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.optim.rules import average
from tinygrad_course.tensor import Tensor


class ExponentialAverage:
    """The exponentially weighted average v ← β v + (1 - β) θ of lesson 2.2.

    v starts at 0 and is too small at first; the correction divides it by 1 - βᵗ. It is about the
    mean of the last 1/(1 - β) values. Source: lesson 2.2 of the notes.

    Args:
        beta: share of the old average that is kept, in [0, 1).
        bias_correction: whether `value` is corrected for the start at 0.

    Raises:
        ArgumentError: `beta` is outside [0, 1).

    Example:
        >>> from tinygrad_course.optim import ExponentialAverage
        >>> average = ExponentialAverage(beta=0.5)
        >>> [average.update(temperature) for temperature in (40.0, 49.0, 45.0)]
        [40.0, 46.0, 45.42857142857143]
        >>> average.window, average.steps
        (2.0, 3)
    """

    def __init__(self, beta: float, bias_correction: bool = True) -> None:
        if not 0 <= beta < 1:
            raise ArgumentError(f"ExponentialAverage: beta must lie in [0, 1), got {beta!r}")
        self.beta, self.bias_correction = float(beta), bias_correction
        self.steps = 0
        self._sum: Any = 0.0

    @property
    def window(self) -> float:
        """About how many values the average is made of: 1/(1 - β)."""
        return 1 / (1 - self.beta)

    @property
    def value(self) -> Any:
        """The average so far.

        Raises:
            ArgumentError: there was no value yet.
        """
        if not self.steps:
            raise ArgumentError("ExponentialAverage: no value yet; call update(x) first")
        if not self.bias_correction:
            return self._sum
        return self._sum / (1 - self.beta**self.steps)

    def update(self, x: Any) -> Any:
        """Take in a number, an array or a Tensor's values; return the average.

        Raises:
            ShapeError: x has another shape than before.
        """
        given = x.data if isinstance(x, Tensor) else x
        if self.steps and np.shape(given) != np.shape(self._sum):
            raise ShapeError(
                f"ExponentialAverage: got shape {np.shape(given)}, before it was "
                f"{np.shape(self._sum)}"
            )
        self.steps += 1
        self._sum = self.beta * self._sum + (1 - self.beta) * given
        return self.value

    def state_dict(self) -> dict[str, Any]:
        """Return all there is: plain values, and an array if arrays are averaged."""
        kept = np.copy(self._sum) if isinstance(self._sum, np.ndarray) else self._sum
        return {
            "beta": self.beta,
            "bias_correction": self.bias_correction,
            "steps": self.steps,
            "sum": kept,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        fresh = ExponentialAverage(state_dict["beta"], state_dict["bias_correction"])
        self.beta, self.bias_correction = fresh.beta, fresh.bias_correction
        self.steps = int(state_dict["steps"])
        kept = state_dict["sum"]
        self._sum = np.copy(kept) if isinstance(kept, np.ndarray) else kept

    def __repr__(self) -> str:
        return (
            f"ExponentialAverage(beta={self.beta}, bias_correction={self.bias_correction}, "
            f"steps={self.steps})"
        )


class EMA:
    """Averaged weights: w̄ ← decay w̄ + (1 - decay) w after every step, for evaluation.

    The first `update` takes the weights as they are, as PyTorch's AveragedModel does. With
    ``decay=None`` it is the mean of all updates (stochastic weight averaging). Running statistics
    of batch norm are not averaged. Source: Polyak and Juditsky 1992; Izmailov et al. 2018.

    Args:
        parameters: a model, or Tensors.
        decay: share of the old average that is kept, in [0, 1), or None.

    Raises:
        ArgumentError: `decay` is outside [0, 1), or there are no parameters.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0], requires_grad=True)
        >>> ema = tc.optim.EMA([w], decay=0.5)
        >>> for value in (2.0, 4.0):
        ...     w.data[...] = value
        ...     ema.update()
        >>> with ema.applied():
        ...     w.data.tolist()
        [3.0]
        >>> w.data.tolist()
        [4.0]
    """

    def __init__(self, parameters: Any, decay: float | None = 0.999) -> None:
        if decay is not None and not 0 <= decay < 1:
            raise ArgumentError(f"EMA: decay must lie in [0, 1) or be None, got {decay!r}")
        given = parameters.parameters() if hasattr(parameters, "parameters") else parameters
        self.parameters = _tensors(given)
        self.decay = decay
        self.updates = 0
        self.averages = [np.copy(p.data, order="K") for p in self.parameters]

    def update(self) -> None:
        """Take in the present weights: call it after ``optimizer.step()``."""
        share = 1 / (self.updates + 1) if self.decay is None else 1 - self.decay
        self.updates += 1
        for mean, p in zip(self.averages, self.parameters, strict=True):
            if self.updates == 1:
                mean[...] = p.data
            else:
                average(mean, p.data, share)

    def swap(self) -> None:
        """Exchange the weights and their averages; a second call puts them back."""
        for mean, p in zip(self.averages, self.parameters, strict=True):
            data = p.data
            kept = data.copy()
            data[...] = mean
            mean[...] = kept
            note_write(data, "EMA.swap()")

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the averages inside: for evaluation, or to save the model."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state_dict(self) -> dict[str, Any]:
        """Return the averages, in the order of the parameters, and two plain values."""
        return {
            "decay": self.decay,
            "updates": self.updates,
            "averages": [mean.copy() for mean in self.averages],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            ShapeError: the averages are not those of these parameters.
        """
        theirs = [np.shape(mean) for mean in state_dict["averages"]]
        mine = [mean.shape for mean in self.averages]
        if theirs != mine:
            raise ShapeError(
                f"EMA.load_state_dict: the state has shapes {theirs}, the parameters {mine}"
            )
        self.decay, self.updates = state_dict["decay"], int(state_dict["updates"])
        for mean, saved in zip(self.averages, state_dict["averages"], strict=True):
            mean[...] = saved

    def __repr__(self) -> str:
        return f"EMA(decay={self.decay}, updates={self.updates}, {len(self.averages)} parameters)"


def _tensors(given: Iterable[Any]) -> list[Tensor]:
    listed = [given] if isinstance(given, Tensor) else list(given)
    if not listed:
        raise ArgumentError("EMA: got no parameters; was model.parameters() used up before?")
    for i, p in enumerate(listed):
        if not isinstance(p, Tensor):
            raise ArgumentError(f"EMA: parameter {i} is {type(p).__name__}, not a Tensor")
    return listed


__all__ = ["EMA", "ExponentialAverage"]
