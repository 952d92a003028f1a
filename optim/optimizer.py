"""Optimizer: parameter groups, state, and the loop that calls an update rule.

An optimizer is one function ``update(p, g, state, **hyper)`` that changes p and state in place. It
is written in operators and registered functions, so it runs on arrays (eager training) and on
Tensors alike. Hyper-parameters are read from the group at every step, so a schedule just writes
``group["lr"]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_course.buffers import note_write
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.ops import astype, zeros_like
from tinygrad_course.tensor import Tensor

Group = dict[str, Any]


class Optimizer:
    """Base of the optimizers.

    Args:
        params: Tensors that require grad, or groups: dicts with "params" and their own options.
        defaults: the options of groups that do not set them.

    Raises:
        ArgumentError: there are no parameters, one stands in two groups or does not require grad,
            or a group has an unknown option.
    """

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
        self.state: dict[Tensor, dict[str, Any]] = {}
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own.

        Raises:
            ArgumentError: as for the constructor.
        """
        name = type(self).__name__
        number = len(self.param_groups)
        unknown = group.keys() - self.defaults.keys() - {"params"}
        if unknown:
            raise ArgumentError(
                f"{name}: group {number} has unknown options {sorted(unknown)}; "
                f"known are {sorted(self.defaults)}"
            )
        params = group.get("params", ())
        params = [params] if isinstance(params, Tensor) else list(params)
        if not params:
            raise ArgumentError(f"{name}: group {number} has no parameters")
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor) or not p.requires_grad or not p.is_leaf:
                raise ArgumentError(
                    f"{name}: parameter {i} of group {number} is not a leaf Tensor that "
                    f"requires grad"
                )
            if id(p) in known:
                raise ArgumentError(
                    f"{name}: parameter {i} of group {number} (shape {p.shape}) stands in two "
                    f"places"
                )
            known.add(id(p))
        options = {**self.defaults, **group, "params": params}
        type(self).check(options)
        self.param_groups.append(options)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; with ``set_to_none=False`` fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p._grad is None:
                    p._grad = None
                else:
                    p.grad[...] = 0

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        by = f"{type(self).__name__}.step()"
        update = self.update
        state = self.state
        for group in self.param_groups:
            hyper = {
                key: value if type(value) in _PLAIN else _plain(value)
                for key, value in group.items()
                if key != "params"
            }
            for p in group["params"]:
                data, grad = p._data, p._grad
                if grad is None:
                    continue
                own = state.get(p)
                if own is None:
                    own = state[p] = {}
                if type(data) is not np.ndarray or type(grad) is not np.ndarray:
                    data, grad = p.data, p.grad  # which make arrays of NumPy scalars
                if data.dtype.kind == "c":
                    update(_pairs(data), _pairs(np.conj(grad)), own, **hyper)
                else:
                    update(data, grad, own, **hyper)
                note_write(data, by)

    # ---- state ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state and options by parameter number: arrays and plain Python values."""
        numbers = {id(p): i for i, p in enumerate(self._params())}
        return {
            "state": {
                numbers[id(p)]: {k: np.copy(v) if _is_array(v) else v for k, v in own.items()}
                for p, own in self.state.items()
            },
            "param_groups": [
                {**group, "params": [numbers[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, for the same parameters in the same order.

        Raises:
            ArgumentError: the groups differ in number or size.
            ShapeError: a saved array does not have its parameter's shape.
        """
        name = type(self).__name__
        theirs = [len(group["params"]) for group in saved["param_groups"]]
        mine = [len(group["params"]) for group in self.param_groups]
        if theirs != mine:
            raise ArgumentError(
                f"{name}.load_state_dict: the state has groups of {theirs} parameters, "
                f"this optimizer {mine}"
            )
        params = self._params()
        state: dict[Tensor, dict[str, Any]] = {}
        for number, own in saved["state"].items():
            p = params[int(number)]
            for key, value in own.items():
                if _is_array(value) and np.shape(value) != _pairs(p.data).shape:
                    raise ShapeError(
                        f"{name}.load_state_dict: {key} of parameter {number} has shape "
                        f"{np.shape(value)}, the parameter {p.shape}"
                    )
            state[p] = {
                k: np.array(v, dtype=p.data.real.dtype) if _is_array(v) else v
                for k, v in own.items()
            }
        self.state = state
        for group, other in zip(self.param_groups, saved["param_groups"], strict=True):
            group.update({k: v for k, v in other.items() if k != "params"})

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        groups = [
            ", ".join(f"{k}={v!r}" for k, v in group.items() if k != "params")
            + f", {len(group['params'])} parameters"
            for group in self.param_groups
        ]
        return f"{type(self).__name__}({'; '.join(groups)})"


def buffer(state: dict[str, Any], name: str, like: Any) -> Any:
    """Return a state array of the parameter's shape and dtype, zero at first."""
    if name not in state:
        state[name] = zeros_like(like)
    elif state[name].dtype != like.dtype:  # the model was converted since
        state[name] = astype(state[name], dtype=like.dtype)
    return state[name]


def _pairs(data: Any) -> Any:
    """Return a complex array as a view of its real and imaginary parts, a real one as it is.

    Every update rule is one of real numbers; downhill is the conjugate of the gradient.
    """
    return data if data.dtype.kind != "c" else data[..., None].view(data.real.dtype)


_PLAIN = frozenset({float, int, bool})


def _plain(value: Any) -> Any:
    """Return Python numbers: NumPy's, as from a schedule, would upcast float32 parameters."""
    if isinstance(value, tuple):
        return tuple(_plain(part) for part in value)
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def check_sizes(name: str, options: Group, *keys: str) -> None:
    """Refuse hyper-parameters that are not finite numbers ≥ 0, naming the one that is not."""
    for key in keys:
        value = _plain(options[key]) if np.ndim(options[key]) == 0 else options[key]
        number = isinstance(value, int | float)
        if not number or not value >= 0 or not np.isfinite(value):
            raise ArgumentError(f"{name}: {key} must be a finite number ≥ 0, got {value!r}")


def check_betas(name: str, betas: Any) -> None:
    """Refuse decay rates that are not two numbers in [0, 1)."""
    if len(betas) != 2:
        raise ArgumentError(f"{name}: betas must be two numbers, got {betas!r}")
    for i, beta in enumerate(betas, 1):
        if not 0 <= beta < 1:
            raise ArgumentError(f"{name}: beta{i} must lie in [0, 1), got {beta!r}")
