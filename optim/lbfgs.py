"""L-BFGS: Newton's direction from the last few changes of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_course.buffers import note_write
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import enable_grad
from tinygrad_course.optim.line_search import strong_wolfe
from tinygrad_course.optim.optimizer import Group, Optimizer, check_sizes
from tinygrad_course.optim.rules import State
from tinygrad_course.tensor import Tensor

CURVED = 1e-10
"""The smallest y·s whose pair of changes is kept: below it the function is not convex there."""


class LBFGS(Optimizer):
    """L-BFGS: x ← x + t d, where d ≈ -H⁻¹ g is made of the last `history_size` changes.

    The changes s of x and y of g say how the slope changes along s; the two-loop recursion turns
    them into -H⁻¹ g without a matrix. One `step` makes up to `max_iter` iterations. For losses of
    the whole training set: the noise of mini-batches spoils y. There is one group, whose vector is
    all parameters one after the other.

    Without a line search t = lr (in the first iteration at most lr / Σ|g|); "strong_wolfe" searches
    a t at which the loss has fallen enough and the slope has become flat. As PyTorch. Source:
    Nocedal and Wright, Numerical Optimization, algorithms 7.4, 3.5 and 3.6; Schmidt's minFunc.

    Args:
        params: real Tensors, or one group.
        lr: length of the step, or the first one that the line search tries.
        max_iter: most iterations in one step.
        max_eval: most calls of the closure in one step; by default 1.25 max_iter.
        tolerance_grad: stop when the largest |g| is as small.
        tolerance_change: stop when loss or parameters change by less.
        history_size: number of changes that are remembered.
        line_search_fn: None or "strong_wolfe".

    Raises:
        ArgumentError: there are several groups, or an option is out of range.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([2.0, -3.0], requires_grad=True)
        >>> opt = tc.optim.LBFGS([w], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     opt.zero_grad()
        ...     loss = ((w - [1.0, 5.0]) ** 2 * [1.0, 10.0]).sum()
        ...     loss.backward()
        ...     return loss
        >>> float(opt.step(closure))
        641.0
        >>> w.data.round(6)
        array([1., 5.])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )

    def add_param_group(self, group: Any) -> None:
        """Take the one group that there may be.

        Raises:
            ArgumentError: there is one already.
        """
        if self.param_groups:
            raise ArgumentError("LBFGS: all parameters are one vector; give them as one group")
        super().add_param_group(group)

    @classmethod
    def check(cls, options: Group) -> None:
        """Refuse options of a group that make no sense."""
        numbers = ("lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change")
        check_sizes(cls.__name__, options, *numbers, "history_size")
        if options["line_search_fn"] not in {None, "strong_wolfe"}:
            raise ArgumentError(
                f"LBFGS: line_search_fn must be None or 'strong_wolfe', "
                f"got {options['line_search_fn']!r}"
            )
        if any(p.dtype.kind == "c" for p in options["params"]):
            raise ArgumentError("LBFGS: parameters must be real")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make up to `max_iter` iterations.

        Args:
            closure: forgets the gradients, computes the loss, calls backward and returns the loss.

        Returns:
            The loss before the step, as `closure` returned it.

        Raises:
            ArgumentError: there is no closure.
        """
        if closure is None:
            raise ArgumentError(
                "LBFGS.step: needs a closure, because it computes the loss several times: "
                "step(closure) with zero_grad(), the loss and backward() in closure, which "
                "returns the loss"
            )
        parameters = self.param_groups[0]["params"]
        return _Step(parameters, closure, self._hyper(self.param_groups[0]), self._history()).run()

    def _history(self) -> State:
        """Return the state, which as in PyTorch stands at the first parameter."""
        first = self.param_groups[0]["params"][0]
        fresh = {"func_evals": 0, "n_iter": 0, "old_dirs": [], "old_stps": [], "ro": []}
        own: State = self.state.setdefault(first, fresh)
        return own

    def _fitted(self, _number: int, p: Tensor, own: State) -> State:
        size = sum(q.size for q in self._params())
        fitted: State = {}
        for key, value in own.items():
            vectors = value if isinstance(value, list) else [value]
            for vector in vectors:
                if isinstance(vector, np.ndarray) and vector.shape != (size,):
                    raise ShapeError(
                        f"LBFGS.load_state_dict: {key} has shape {vector.shape}, all parameters "
                        f"together are {size} numbers"
                    )
            copies = [v.astype(p.dtype) if isinstance(v, np.ndarray) else v for v in vectors]
            fitted[key] = copies if isinstance(value, list) else copies[0]
        return fitted


class _Point(NamedTuple):
    """A loss and its gradient, as one vector."""

    loss: float
    gradient: Any


class _Step:
    """One call of `LBFGS.step`: the parameters as one vector, and the iterations."""

    def __init__(
        self, params: list[Tensor], closure: Callable[[], Any], options: Group, state: State
    ) -> None:
        self.params, self.closure, self.options, self.state = params, closure, options, state
        self.evaluations = 0

    def evaluate(self) -> Any:
        with enable_grad():
            self.latest = self.closure()
        self.evaluations += 1
        return _Point(float(self.latest), self.gradient())

    def gradient(self) -> Any:
        return np.concatenate(
            [np.zeros(p.size, p.dtype) if p.grad is None else np.ravel(p.grad) for p in self.params]
        )

    def move(self, size: float, direction: Any) -> None:
        start = 0
        for p in self.params:
            part = direction[start : start + p.size].reshape(p.shape)
            data = p.data
            data += size * part
            note_write(data, "LBFGS.step()")
            start += p.size

    def run(self) -> Any:
        options, state = self.options, self.state
        here = self.evaluate()
        first_loss = self.latest
        flat = np.abs(here.gradient).max() <= options["tolerance_grad"]
        iterations = 0
        while not flat and iterations < options["max_iter"]:
            iterations += 1
            state["n_iter"] += 1
            t, direction = self.first_length(here.gradient), self.direction(here.gradient)
            state["d"], state["t"] = direction, t
            state["prev_flat_grad"], previous = here.gradient.copy(), here.loss
            state["prev_loss"] = previous
            slope = float(here.gradient @ direction)
            if slope > -options["tolerance_change"]:
                break
            last = iterations == options["max_iter"]
            here, t = self.advance(here, t, direction, slope, last)
            state["t"] = t
            flat = np.abs(here.gradient).max() <= options["tolerance_grad"]
            if self.evaluations >= options["max_eval"]:
                break
            change = options["tolerance_change"]
            if np.abs(direction * t).max() <= change or abs(here.loss - previous) < change:
                break
        state["func_evals"] += self.evaluations
        return first_loss

    def first_length(self, gradient: Any) -> float:
        rate: float = self.options["lr"]
        if self.state["n_iter"] > 1:
            return rate
        return min(1.0, 1.0 / float(np.abs(gradient).sum())) * rate

    def direction(self, gradient: Any) -> Any:
        """Return -H⁻¹ g by the two-loop recursion."""
        state = self.state
        if state["n_iter"] == 1:
            state["H_diag"] = 1.0
            return -gradient
        self.remember(gradient - state["prev_flat_grad"], state["d"] * state["t"])
        pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        d = -gradient
        shares = []
        for y, s, ro in reversed(pairs):
            share = float(s @ d) * ro
            d -= share * y
            shares.append(share)
        d *= state["H_diag"]
        for (y, s, ro), share in zip(pairs, reversed(shares), strict=True):
            d += (share - float(y @ d) * ro) * s
        return d

    def remember(self, y: Any, s: Any) -> None:
        """Keep the changes of the gradient and of the parameters, if the loss is convex there."""
        state, product = self.state, float(y @ s)
        if product <= CURVED:
            return
        for name, value in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / product)):
            state[name].append(value)
            del state[name][: -self.options["history_size"] or None]
        state["H_diag"] = product / float(y @ y)

    def advance(
        self, here: _Point, t: float, direction: Any, slope: float, last: bool
    ) -> tuple[_Point, float]:
        """Move along the direction; return where that leads, and the length."""
        if self.options["line_search_fn"] is None:
            self.move(t, direction)
            return (here if last else self.evaluate()), t  # nobody asks after the last one
        starts = [p.data.copy() for p in self.params]

        def at(length: float) -> _Point:
            self.move(length, direction)
            found: _Point = self.evaluate()
            for p, start in zip(self.params, starts, strict=True):
                p.data[...] = start
            return found

        loss, gradient, t = strong_wolfe(
            at,
            t,
            direction,
            (here.loss, here.gradient, slope),
            tolerance=self.options["tolerance_change"],
            most=self.options["max_eval"] - self.evaluations,
        )
        self.move(t, direction)
        return _Point(loss, gradient), t


__all__ = ["LBFGS"]
