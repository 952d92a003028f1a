"""Elementwise update rules over blocks of large arrays, in several threads.

A rule makes a dozen passes over a parameter, its gradient and its state. A block of them stays in
the processor's cache from pass to pass, with temporary arrays as small as itself, and blocks can be
shared among threads, because NumPy lets other threads run while it computes. Every element sees the
same operations as without blocks, so the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinygrad_course.memory import keep_freed_memory
from tinygrad_course.threads import cut, spread

BLOCK = 1 << 17
"""Elements of a block at most: in smaller ones threads wait for Python's lock between the passes,
in larger ones the temporary arrays fill the cache. What is not larger is updated as a whole."""

SECONDS = 1e-9
"""About how long an element takes on one core."""

BUSY = 1e-3
"""Seconds of work from which on threads share it. After a matrix product BLAS's threads keep the
other cores busy, waiting for the next one, and a short update is done before it gets one."""

State = dict[str, Any]
Job = tuple[Any, Any, State]
"""A parameter, its gradient and its state."""


def run(rule: Callable[[Any, Any, State], None], jobs: Iterable[Job]) -> None:
    """Call ``rule(p, g, state)`` for every job; for a large one block by block.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.optim.blocks import run
        >>> def rule(p, g, state):
        ...     state["calls"] = state.get("calls", 0) + 1
        ...     p -= g
        >>> p, state = np.ones(600_000), {}
        >>> run(rule, [(p, np.ones(600_000), state)])
        >>> p.any(), state
        (np.False_, {'calls': 1})
    """
    pieces: list[Job] = []
    split: list[tuple[Any, State, list[State]]] = []
    total = 0
    for p, g, state in jobs:
        if p.size <= BLOCK or not _divisible(p, state):
            rule(p, g, state)
            continue
        total += p.size
        places = cut(p.size, BLOCK)
        parts = [_part(p, state, place) for place in places]
        flat, slope = _flat(p, p), _flat(g, p)
        pieces += [(flat[s], slope[s], part) for s, part in zip(places, parts, strict=True)]
        split.append((p, state, parts))
    if pieces:
        keep_freed_memory()  # of the temporary arrays, for those of the next block
        seconds = total * SECONDS
        # What follows an update is the next forward pass, whose products want BLAS's threads.
        spread(lambda piece: rule(*piece), pieces, seconds if seconds >= BUSY else 0.0, more=False)
    for p, state, parts in split:
        _gather(p, state, parts)


def _divisible(p: Any, state: State) -> bool:
    """Whether blocks of p and of its state are views: all lie in memory alike, without gaps."""
    whole = p.flags.c_contiguous or p.flags.f_contiguous
    return whole and all(v.strides == p.strides for v in state.values() if _is_array(v))


def _flat(array: Any, like: Any) -> Any:
    """Return the elements in the order in which those of `like` lie in memory."""
    return (array if like.flags.c_contiguous else array.T).reshape(-1)


def _part(p: Any, state: State, place: slice) -> State:
    return {k: _flat(v, p)[place] if _is_array(v) else v for k, v in state.items()}


def _gather(p: Any, state: State, parts: list[State]) -> None:
    """Take over what the rule put into the states of the blocks anew: numbers, first arrays."""
    for key, value in parts[0].items():
        if not _is_array(value):
            state[key] = value
        elif key not in state or not np.may_share_memory(value, state[key]):
            whole = np.concatenate([part[key] for part in parts])
            shaped = whole.reshape(p.shape if p.flags.c_contiguous else p.T.shape)
            state[key] = shaped if p.flags.c_contiguous else shaped.T


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


__all__ = ["BLOCK", "run"]
