"""The update of a large parameter goes over blocks of it, which stay in the processor's cache.

A rule makes a dozen passes over parameter, gradient, state and a temporary array. Over a block at a
time, the temporary is as small as a block, and what one pass brought into the cache the next finds
there; blocks of very large parameters are shared among threads. The bits are the same.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_course.replay.liveness import buffers
from tinygrad_course.replay.passes.updates import Update, updates
from tinygrad_course.replay.program import Layout, Note, Program, Step, Var, is_array, mapped
from tinygrad_course.replay.traced import Attribute, Method

BLOCK = 1 << 17
"""Elements of a block at most: in smaller ones threads wait for Python's lock between the calls, in
larger ones the temporary arrays fill the cache. What is not larger is updated as a whole."""

CALL = 9e-11
"""About how many seconds a call takes for an element."""

BUSY = 1e-3
"""Seconds of work from which on threads share it. After a matrix product BLAS's threads keep the
other cores busy, waiting for the next one, and a short update is done before it gets one."""


class Scratch(threading.local):
    """Arrays to compute in, each thread its own."""

    def __init__(self, size: int, dtypes: tuple[Any, ...]) -> None:
        """Make the arrays, in every thread when it first asks."""
        super().__init__()
        self.arrays = [np.empty(size, dtype) for dtype in dtypes]

    def __call__(self, size: int) -> list[np.ndarray]:
        """Return the arrays, or the first `size` elements of each."""
        return [array[:size] for array in self.arrays]


@dataclass(eq=False, slots=True)
class Blocks:
    """What is done to a block.

    Attributes:
        size: the elements of all blocks together.
        block: the most elements of one.
        slices: which variable stands for a block of which.
        scratch: the variables of temporary arrays.
        memory: where these arrays come from.
        steps: the calls.
        seconds: about how long all blocks take; 0 keeps them in one thread.
    """

    size: int
    block: int
    slices: dict[Var, Var]
    scratch: list[Var]
    memory: Scratch
    steps: list[Step]
    seconds: float

    def __call__(self, *_args: Any) -> None:
        """Blocks are written out in the source and not called from elsewhere."""
        raise NotImplementedError


def in_blocks(program: Program) -> Program:
    """Let the update of a large parameter go over blocks of it."""
    fresh: dict[int, list[Step]] = {}
    gone: set[int] = set()
    for update in updates(program):
        if update.size > BLOCK and len(update.steps) > 1:
            fresh[update.places[-1]] = _blocks(update)
            gone |= set(update.places)
    steps: list[Step] = []
    for place, step in enumerate(program.steps):
        steps += fresh.get(place, ())
        if place not in gone:
            steps.append(step)
    return replace(program, steps=steps)


def _blocks(update: Update) -> list[Step]:
    """Return the calls that take the place of an update's: views along one axis, and one loop."""
    made = update.made()
    note = update.steps[0].note
    views: list[Step] = []
    slices: dict[Var, Var] = {}
    inner: dict[Var, Var] = {}
    for var in update.arrays():
        outer = var.root not in made
        inner[var] = Var("temporary", var.root, _line(BLOCK, var.example.dtype, owns=not outer))
        if outer:
            inner[var].name = _word(var, update)
            slices[_flat(var, update, note, views)] = inner[var]
    steps = [_inside(step, inner) for step in update.steps]
    steps, scratch = _with_scratch(steps)
    numbers = {v: None for s in update.steps for v in s.reads() if not is_array(v)}
    seconds = len(steps) * update.size * CALL
    loop = Blocks(
        update.size,
        BLOCK,
        slices,
        scratch,
        Scratch(BLOCK, tuple(v.example.dtype for v in scratch)),
        steps,
        seconds if seconds >= BUSY else 0.0,
    )
    roots = frozenset(update.written() - made)
    args = (*slices, *numbers)
    return [*views, Step(loop, "blocks", "update", args, {}, None, roots, note)]


def _word(var: Var, update: Update) -> str:
    """Return what the update rules call an array."""
    if var.role == "state":
        return str(var.source[1])
    return "p" if var.root in update.written() else "g"


def _line(size: int, dtype: Any, *, owns: bool) -> Layout:
    layout = Layout(np.empty(size, dtype))
    layout.owns = owns
    return layout


def _flat(var: Var, update: Update, note: Note, views: list[Step]) -> Var:
    """Return a view of an array along one axis, in the order of memory; note how it is taken."""
    shape, order = update.form
    if len(shape) == 1:
        return var
    if order == "F":
        turned = Layout(np.empty(shape[::-1], var.example.dtype))
        turned.owns = False
        t = Var("temporary", var.root, turned)
        views.append(Step(Attribute("T"), "attribute", "T", (var,), {}, t, note=note))
        var = t
    flat = Var("temporary", var.root, _line(update.size, var.example.dtype, owns=False))
    views.append(Step(Method("reshape"), "method", "reshape", (var, -1), {}, flat, note=note))
    return flat


def _inside(step: Step, inner: dict[Var, Var]) -> Step:
    def change(leaf: Any) -> Any:
        return inner.get(leaf, leaf) if isinstance(leaf, Var) else leaf

    words = {key: mapped(value, change) for key, value in step.keywords.items()}
    return replace(
        step, args=mapped(step.args, change), keywords=words, result=mapped(step.result, change)
    )


def _with_scratch(steps: list[Step]) -> tuple[list[Step], list[Var]]:
    """Let the calls write what they make into as few temporary arrays as possible."""
    chosen = buffers(Program(steps, [], [], None, [], [], [], [], [], []))
    scratch: dict[int, Var] = {}
    where: dict[Var, Var] = {}
    for step, index in chosen.items():
        made = step.result
        if index not in scratch:
            scratch[index] = replace(made, name="spare")
        where[made] = scratch[index]
    placed = []
    for step in steps:
        words = dict(step.keywords)
        if step in chosen:
            words["out"] = where[step.result]
        result = None if step in chosen else step.result
        placed.append(_inside(replace(step, keywords=words, result=result), where))
    return placed, list(scratch.values())


__all__ = ["BLOCK", "Blocks", "Scratch", "in_blocks"]
