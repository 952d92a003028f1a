"""Optimizer: parameter groups, state, and the loop that calls an update rule.

An optimizer is one function ``update(p, g, state, **hyper)`` that changes p and state in place. It
is written in operators and registered functions, so it runs on arrays (eager training) and on
Tensors alike. Hyper-parameters are read from the group at every step, so a schedule just writes
``group["lr"]``. A rule that treats every element by itself says so (`elementwise`), and is run over
blocks of large parameters, in several threads (see `tinygrad_course.optim.blocks`).

PyTorch's `foreach`, `fused`, `capturable` and `differentiable` are left out: they choose among
implementations, and here is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tinygrad_course.buffers import note_write
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, enable_grad
from tinygrad_course.optim.blocks import BLOCK, run
from tinygrad_course.optim.rules import State
from tinygrad_course.tensor import Tensor

Group = dict[str, Any]

SCHEDULED = frozenset({"initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum"})
"""What schedules keep in a group beside the options."""


class Optimizer:
    """Base of the optimizers.

    Args:
        params: Tensors that require grad, or groups: dicts with "params" and their own options.
        defaults: the options of groups that do not set them.

    Raises:
        ArgumentError: there are no parameters, one stands in two groups or does not require grad,
            or a group has an unknown option.
    """

    elementwise: bool = False
    """Whether `update` treats every element by itself, so that it may run over blocks."""

    update: Callable[..., None]
    """``update(p, g, state, **hyper)``: change p and state in place."""

    check: Callable[[Group], None]
    """``check(options)``: refuse options of a group that make no sense."""

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise ArgumentError(f"{name}: params is one Tensor; pass a list: [tensor]")
        given = list(params)
        if not given:
            raise ArgumentError(
                f"{name}: got no parameters; was model.parameters() used up before?"
            )
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, State] = {}
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own.

        Raises:
            ArgumentError: as for the constructor.
        """
        name = type(self).__name__
        number = len(self.param_groups)
        if not isinstance(group, Mapping):
            raise ArgumentError(
                f"{name}: group {number} is {type(group).__name__}, not a dict; pass Tensors only, "
                f"or dicts with 'params' only"
            )
        unknown = group.keys() - self.defaults.keys() - SCHEDULED - {"params"}
        if unknown:
            raise ArgumentError(
                f"{name}: group {number} has unknown options {sorted(unknown)}; "
                f"known are {sorted(self.defaults)}"
            )
        params = group.get("params", ())
        params = [params] if isinstance(params, Tensor) else list(params)
        if not params:
            raise ArgumentError(f"{name}: group {number} has no parameters")
        self._check_parameters(params, number)
        options = {**self.defaults, **group, "params": params}
        type(self).check(options)
        self.param_groups.append(options)

    def _check_parameters(self, params: list[Any], number: int) -> None:
        """Refuse what cannot be optimized, and what would be moved twice."""
        name = type(self).__name__
        known = {
            id(p): f"parameter {i} of group {n}"
            for n, group in enumerate(self.param_groups)
            for i, p in enumerate(group["params"])
        }
        for i, p in enumerate(params):
            here = f"parameter {i} of group {number}"
            if not isinstance(p, Tensor) or not p.requires_grad or not p.is_leaf:
                raise ArgumentError(f"{name}: {here} is not a leaf Tensor that requires grad")
            if id(p) in known:
                raise ArgumentError(
                    f"{name}: {here} (shape {p.shape}) stands in two places: it is {known[id(p)]}, "
                    f"too"
                )
            known[id(p)] = here

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; with ``set_to_none=False`` fill them with zeros."""
        for p in self._params():
            if set_to_none or p._grad is None:
                p._grad = None
            else:
                p.grad[...] = 0

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: computes the loss and the gradients (``zero_grad``, ``backward``) first.

        Returns:
            What `closure` returned, or None.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        observer = SCOPE.get().observer
        for group in self.param_groups:
            if observer is not None and observer.replays:
                self._note_group(group, observer)
            else:
                self._step_group(group)
        return loss

    def _note_group(self, group: Group, trace: Any) -> None:
        """Update with options and state that a replay reads anew at every step."""
        hyper = {key: trace.number(group, key) for key in self.defaults}
        for p in group["params"]:
            data, grad = p._data, p._grad
            if grad is None:
                continue
            if data.dtype.kind == "c":
                data, grad = _pairs(data), _pairs(np.conj(grad))
            self.update(data, grad, trace.state(self, p), **hyper)

    def _step_group(self, group: Group) -> None:
        rule = partial(self.update, **self._hyper(group))
        jobs, total = [], 0
        for p in group["params"]:
            data, grad = p._data, p._grad
            if grad is None:
                continue
            own = self.state.get(p)
            if own is None:
                own = self.state[p] = {}
            if type(data) is not np.ndarray or type(grad) is not np.ndarray:
                data, grad = p.data, p.grad  # which make arrays of NumPy scalars
            total += data.size
            if data.dtype.kind == "c":
                data, grad = _pairs(data), _pairs(np.conj(grad))
            jobs.append((data, grad, own))
        if self.elementwise and total > BLOCK:
            run(rule, jobs)
        else:
            for data, grad, own in jobs:
                rule(data, grad, own)
        by = f"{type(self).__name__}.step()"
        for data, _, _ in jobs:
            note_write(data, by)

    def _hyper(self, group: Group) -> dict[str, Any]:
        """Return the options of a group as plain numbers."""
        values = ((key, group[key]) for key in self.defaults)
        return {key: v if type(v) in _PLAIN else _plain(v) for key, v in values}

    # ---- state ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state and options by parameter number: arrays and plain Python values."""
        numbers = {id(p): i for i, p in enumerate(self._params())}
        return {
            "state": {numbers[id(p)]: _copied(own) for p, own in self.state.items()},
            "param_groups": [
                {
                    **{k: _plain(v) for k, v in group.items()},
                    "params": [numbers[id(p)] for p in group["params"]],
                }
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, for the same parameters in the same order.

        Arrays are converted to their parameter's dtype. Nothing changes if something does not fit.

        Raises:
            ArgumentError: the groups differ in number or size, or have options that this optimizer
                does not know or cannot work with.
            ShapeError: a saved array does not have its parameter's shape.
        """
        name = f"{type(self).__name__}.load_state_dict"
        missing = {"state", "param_groups"} - saved.keys()
        if missing:
            raise ArgumentError(f"{name}: {sorted(missing)} is missing; pass a state_dict()")
        theirs = [len(group["params"]) for group in saved["param_groups"]]
        mine = [len(group["params"]) for group in self.param_groups]
        if theirs != mine:
            raise ArgumentError(
                f"{name}: the state has groups of {theirs} parameters, this optimizer {mine}"
            )
        options = [{k: v for k, v in g.items() if k != "params"} for g in saved["param_groups"]]
        groups = [
            {**mine, **theirs} for mine, theirs in zip(self.param_groups, options, strict=True)
        ]
        for number, group in enumerate(options):
            unknown = group.keys() - self.defaults.keys() - SCHEDULED
            if unknown:
                raise ArgumentError(
                    f"{name}: group {number} of the state has the options {sorted(unknown)}, which "
                    f"{type(self).__name__} does not know; was it saved by another optimizer?"
                )
            type(self).check(groups[number])
        params = self._params()
        self.state = {
            params[int(number)]: self._fitted(int(number), params[int(number)], own)
            for number, own in saved["state"].items()
        }
        for group, fresh in zip(self.param_groups, groups, strict=True):
            group.update(fresh)

    def _fitted(self, number: int, p: Tensor, own: State) -> State:
        """Return a copy of a parameter's saved state that lies in memory as the parameter does."""
        like = _pairs(p.data)
        fitted: State = _copied(own)
        for key, value in own.items():
            if not isinstance(value, np.ndarray):
                continue
            if value.shape != like.shape:
                raise ShapeError(
                    f"{type(self).__name__}.load_state_dict: {key} of parameter {number} has shape "
                    f"{value.shape}, the parameter {p.shape}"
                )
            fitted[key] = np.empty_like(like)
            fitted[key][...] = value
        return fitted

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        groups = [
            ", ".join(f"{k}={v!r}" for k, v in group.items() if k != "params")
            + f", {len(group['params'])} parameters"
            for group in self.param_groups
        ]
        return f"{type(self).__name__}({'; '.join(groups)})"


def _pairs(data: Any) -> Any:
    """Return a complex array as a view of its real and imaginary parts, a real one as it is.

    Every update rule is one of real numbers; downhill is the conjugate of the gradient.
    """
    return data if data.dtype.kind != "c" else data[..., None].view(data.real.dtype)


_PLAIN = frozenset({float, int, bool})


def _plain(value: Any) -> Any:
    """Return Python numbers: NumPy's, as from a schedule, would upcast float32 parameters."""
    if isinstance(value, tuple | list):
        return tuple(_plain(part) for part in value)
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


def _copied(value: Any) -> Any:
    """Return state that shares no memory with the given one."""
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_copied(part) for part in value]
    return np.copy(value) if isinstance(value, np.ndarray) else value


# ---- checks ----------------------------------------------------------------------------------


def check_sizes(name: str, options: Group, *keys: str) -> None:
    """Refuse hyper-parameters that are not finite numbers ≥ 0, naming the one that is not."""
    for key in keys:
        value = _plain(options[key])
        number = isinstance(value, int | float)
        if not number or not value >= 0 or not np.isfinite(value):
            raise ArgumentError(f"{name}: {key} must be a finite number ≥ 0, got {value!r}")


def check_numbers(name: str, key: str, values: Any, count: int) -> tuple[float, ...]:
    """Refuse an option that is not `count` numbers; return them."""
    numbers = _plain(values) if isinstance(values, tuple | list) else ()
    if len(numbers) != count or not all(isinstance(v, int | float) for v in numbers):
        raise ArgumentError(f"{name}: {key} must be {count} numbers, got {values!r}")
    return tuple(numbers)


def check_betas(name: str, betas: Any) -> None:
    """Refuse decay rates that are not two numbers in [0, 1)."""
    for i, beta in enumerate(check_numbers(name, "betas", betas, 2), 1):
        if not 0 <= beta < 1:
            raise ArgumentError(f"{name}: beta{i} must lie in [0, 1), got {beta!r}")


__all__ = ["Group", "Optimizer", "check_betas", "check_numbers", "check_sizes"]
