"""Where results lie: preallocated buffers, used again as soon as nobody reads what is in them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from tinygrad_course.replay.program import Layout, Program, Step, Var, order, variables


def buffers(program: Program, *, reuse: bool = True) -> dict[Step, int]:
    """Return which preallocated buffer each call writes its result to.

    A call takes a buffer if NumPy can write its result somewhere (``out=``) and the result does not
    leave the step except as a gradient. A buffer whose content nobody reads any more is used again;
    an elementwise call may write over an operand that dies with it.
    """
    steps = program.steps
    last_use: dict[int, int] = {}
    for number, step in enumerate(steps):
        for var in (*step.reads(), *step.results()):
            last_use[var.root] = number
    returned = {var.root for var in variables(program.result)}
    returned |= {e.value.root for e in program.effects if e.value is not None and e.kind != "grad"}
    given = {id(var.source) for step in steps for var in step.reads() if var.role == "grad"}
    returned |= {  # a gradient that is also read may not lie where this replay computes
        e.value.root for e in program.effects if e.value is not None and id(e.target) in given
    }
    kept = {e.value.root for e in program.effects if e.value is not None}
    for root in kept | {guard.var.root for guard in program.guards}:
        last_use[root] = len(steps)
    pool = _Pool(reuse=reuse)
    chosen: dict[Step, int] = {}
    for number, step in enumerate(steps):
        reads = {var.root for var in step.reads()}
        dying = [root for root in reads if last_use[root] == number and root in pool.holder]
        if takes_out(step) and step.result.root not in returned:
            chosen[step] = pool.take(step, dying)
            if last_use[step.result.root] == number:  # nobody reads it
                dying.append(step.result.root)
        for root in dying:
            pool.give_back(root)
    return chosen


class _Pool:
    """Buffers by layout: who holds which, and which are free."""

    def __init__(self, *, reuse: bool) -> None:
        self.reuse = reuse
        self.count = 0
        self.holder: dict[int, tuple[Any, int]] = {}  # root: layout and number of its buffer
        self.free: dict[Any, list[int]] = defaultdict(list)

    def take(self, step: Step, dying: list[int]) -> int:
        """Return the buffer for a call's result: an operand's that dies, a free or a new one."""
        layout = _layout(step.result.example)
        for root in dying if self.reuse else ():
            if _may_overwrite(step, root) and self.holder[root][0] == layout:
                dying.remove(root)
                index = self.holder.pop(root)[1]
                break
        else:
            if self.reuse and self.free[layout]:
                index = self.free[layout].pop()
            else:
                index, self.count = self.count, self.count + 1
        self.holder[step.result.root] = (layout, index)
        return index

    def give_back(self, root: int) -> None:
        """Let others have the buffer of a value that nobody reads any more."""
        layout, index = self.holder.pop(root)
        self.free[layout].append(index)


def _layout(example: Layout) -> tuple[Any, ...]:
    return example.shape, example.dtype, order(example)


def takes_out(step: Step) -> bool:
    """Whether a call makes one new array and can be told where."""
    var = step.result
    if not isinstance(var, Var) or step.writes or "out" in step.keywords:
        return False
    example = var.example
    if not isinstance(example, Layout) or not example.ndim or not example.owns:
        return False
    if not (example.c_contiguous or example.f_contiguous):
        return False
    if step.text == "np.dot" and not example.c_contiguous:
        return False
    return step.text in _WITH_OUT or isinstance(step.function, np.ufunc) or _reduces(step)


_WITH_OUT = frozenset(
    {"np.dot", "take_rows", "np.sum", "np.mean", "np.max", "np.min", "np.clip", "np.round"}
)


def _reduces(step: Step) -> bool:
    method = getattr(step.function, "__self__", None)
    return isinstance(method, np.ufunc) and step.text.endswith((".reduce", ".accumulate", ".outer"))


def _may_overwrite(step: Step, root: int) -> bool:
    """Whether an elementwise call may put its result over an operand that dies with it."""
    elementwise = isinstance(step.function, np.ufunc) and step.function.signature is None
    same = [var.example for var in step.reads() if var.root == root]
    return elementwise and all(isinstance(e, Layout) and e.owns for e in same)


__all__ = ["buffers", "takes_out"]
