"""What update rules are made of: state that starts by itself, and averages kept in place.

Everything here is written in operators and registered functions, as the rules are, so that it runs
on arrays and on Tensors. Temporary arrays are reused where that is possible: a step over many
parameters is bound by memory.
"""

from __future__ import annotations

from typing import Any

from tinygrad_course.ops import astype, zeros_like

State = dict[str, Any]


def buffer(state: State, name: str, like: Any, start: float = 0.0) -> Any:
    """Return a state array of the parameter's shape and dtype, filled with `start` at first."""
    if name not in state:
        state[name] = zeros_like(like)
        if start:
            state[name] += start
    elif state[name].dtype != like.dtype:  # the model was converted since
        state[name] = astype(state[name], dtype=like.dtype)
    return state[name]


def count(state: State) -> int:
    """Count a step, and return how many there have been."""
    t: int = state.get("step", 0) + 1
    state["step"] = t
    return t


def penalized(p: Any, g: Any, weight_decay: float, maximize: bool) -> Any:
    """Return the gradient to descend along: -g to maximize, plus weight_decay p."""
    if maximize:
        g = -g
    return g + weight_decay * p if weight_decay else g


def decayed(p: Any, g: Any, lr: float, weight_decay: float, maximize: bool, decoupled: bool) -> Any:
    """Return the gradient to descend along; decoupled decay shrinks p at once instead."""
    if not decoupled:
        return penalized(p, g, weight_decay, maximize)
    if weight_decay:
        p *= 1 - lr * weight_decay
    return -g if maximize else g


def average(mean: Any, x: Any, share: float) -> None:
    """Move `mean` towards x: mean ← mean + share (x - mean)."""
    change = x - mean
    change *= share
    mean += change


def average_squares(mean: Any, x: Any, keep: float) -> None:
    """Move `mean` towards x²: mean ← keep mean + (1 - keep) x²."""
    square = x * x
    square *= 1 - keep
    mean *= keep
    mean += square


def descend(p: Any, size: float, direction: Any) -> None:
    """Move p: p ← p - size direction; `direction` is used up."""
    direction *= size
    p -= direction


__all__ = [
    "State",
    "average",
    "average_squares",
    "buffer",
    "count",
    "decayed",
    "descend",
    "penalized",
]
