"""What makes a program shorter, faster and smaller: small passes, each with a name.

A pass takes a program's steps and returns other steps of the same meaning. All of them respect
memory: a call that writes into a buffer stands before every later call that reads the buffer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_course.replay.program import Layout, Program, Step, Var, Wrapped, mapped, variables
from tinygrad_course.replay.traced import Attribute, Method

_VIEWS = frozenset({"T", "mT", "real", "imag"})


def without_dead_steps(program: Program) -> Program:
    """Leave out calls whose results nobody reads and whose writes nobody sees."""
    live = {var.root for var in program.outputs()} | {guard.var.root for guard in program.guards}
    outside = {var.root for var in (*program.outside, *program.inputs)}
    kept: list[Step] = []
    for step in reversed(program.steps):
        results = {var.root for var in step.results()}
        needed = results & live or step.writes & (live | outside) or _draws(step)
        checks = step.result is None and not step.writes
        if needed or checks:
            kept.append(step)
            live |= {var.root for var in step.reads()}
    return replace(program, steps=kept[::-1])


def _draws(step: Step) -> bool:
    return "generator" in step.keywords


def without_copies(program: Program) -> Program:
    """Let a copy be its source where neither is written afterwards and only one leaves."""
    leaving = [var.root for var in program.outputs()]
    outside = {var.root for var in (*program.outside, *program.inputs)}
    last_write: dict[int, int] = {}
    for number, step in enumerate(program.steps):
        for root in step.writes:
            last_write[root] = number
    renamed: dict[Var, Var] = {}
    taken = set(leaving)
    kept: list[Step] = []
    for number, step in enumerate(program.steps):
        step = _with(step, renamed)  # noqa: PLW2901 - the same step in other words
        if step.form == "method" and step.text == "copy" and len(step.args) == 1:
            source, result = step.args[0], step.result
            written = max(last_write.get(source.root, -1), last_write.get(result.root, -1))
            free = source.root not in outside and written <= number
            if result.root in taken:  # a gradient owns its memory, and nobody else leaves with it
                own = isinstance(source.example, Layout) and source.example.owns
                free = free and own and source.root not in taken
            if free:
                if result.root in taken:
                    taken.add(source.root)
                renamed[result] = source
                continue
        kept.append(step)
    return _renamed(replace(program, steps=kept), renamed)


def without_repetitions(program: Program) -> Program:
    """Compute what is computed twice from the same values only once."""
    version: dict[int, int] = defaultdict(int)
    known: dict[Any, Var] = {}
    renamed: dict[Var, Var] = {}
    leaving = {var.root for var in program.outputs()}
    written = {root for step in program.steps for root in step.writes}
    kept: list[Step] = []
    for step in program.steps:
        step = _with(step, renamed)  # noqa: PLW2901 - the same step in other words
        for root in step.writes:
            version[root] += 1
        result = step.result
        # What is written later, or leaves the step, must keep memory of its own.
        pure = isinstance(result, Var) and not step.writes and not _draws(step)
        if pure and result.root not in leaving and result.root not in written:
            key = _key(step, version)
            if key in known:
                renamed[result] = known[key]
                continue
            known[key] = result
        kept.append(step)
    return _renamed(replace(program, steps=kept), renamed)


def _key(step: Step, version: dict[int, int]) -> Any:
    def frozen(tree: Any) -> Any:
        if isinstance(tree, Var):
            return ("var", id(tree), version[tree.root])
        if isinstance(tree, tuple | list):
            return (type(tree), tuple(frozen(part) for part in tree))
        if isinstance(tree, slice):
            return ("slice", frozen(tree.start), frozen(tree.stop), frozen(tree.step))
        return (type(tree), repr(tree))

    words = tuple((key, frozen(value)) for key, value in step.keywords.items())
    function = step.function
    same = function if isinstance(function, Method | Attribute) else id(function)
    name = type(function).__name__, same, step.text
    return (name, frozen(step.args), words)


def _with(step: Step, renamed: dict[Var, Var]) -> Step:
    if not renamed or not any(var in renamed for var in step.reads()):
        return step

    def change(leaf: Any) -> Any:
        return renamed.get(leaf, leaf) if isinstance(leaf, Var) else leaf

    words = {key: mapped(value, change) for key, value in step.keywords.items()}
    return replace(step, args=mapped(step.args, change), keywords=words)


def _renamed(program: Program, renamed: dict[Var, Var]) -> Program:
    """Replace variables in what leaves the program, and the roots of views of what was merged."""
    if not renamed:
        return program
    roots = {old.root: new.root for old, new in renamed.items()}

    def final(root: int) -> int:
        while root in roots and roots[root] != root:
            root = roots[root]
        return root

    for step in program.steps:
        for var in step.results():
            var.root = final(var.root)
        step.writes = frozenset(final(root) for root in step.writes)

    def change(leaf: Any) -> Any:
        if isinstance(leaf, Wrapped):
            return Wrapped(renamed.get(leaf.var, leaf.var))
        return renamed.get(leaf, leaf) if isinstance(leaf, Var) else leaf

    effects = [
        replace(e, value=change(e.value) if e.value is not None else None) for e in program.effects
    ]
    guards = [replace(guard, var=change(guard.var)) for guard in program.guards]
    result = [change(leaf) for leaf in program.result]
    return replace(program, result=result, effects=effects, guards=guards)


_REDUCTIONS = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "all": np.logical_and,
    "any": np.logical_or,
}


def with_plain_reductions(program: Program) -> Program:
    """Write ``x.sum(axis=0)`` as the ufunc's reduction that it stands for, a microsecond sooner."""
    return replace(program, steps=[_plain_reduction(step) for step in program.steps])


def _plain_reduction(step: Step) -> Step:
    name = step.text.removeprefix("np.")
    ufunc = _REDUCTIONS.get(name)
    known = step.form == "method" or step.function is getattr(np, name, None)
    if ufunc is None or not known or len(step.args) > 2 or not isinstance(step.args[0], Var):
        return step
    words = dict(step.keywords)
    if len(step.args) == 2:
        words["axis"] = step.args[1]
    if not words.keys() <= {"axis", "keepdims", "dtype"}:
        return step
    words.setdefault("axis", None)
    text = f"np.{ufunc.__name__}.reduce"
    return replace(
        step, function=ufunc.reduce, form="call", text=text, args=step.args[:1], keywords=words
    )


def without_assignments(program: Program) -> Program:
    """Let a call write where its result is copied to, if nobody else wants the result."""
    uses: dict[int, int] = defaultdict(int)
    for step in program.steps:
        for var in step.reads():
            uses[var.root] += 1
    for var in program.outputs():
        uses[var.root] += 1
    kept: list[Step] = []
    for step in program.steps:
        if step.function is np.copyto and len(step.args) == 2:
            target, value = step.args
            if target is value:
                continue
            last = kept[-1] if kept else step
            fits = last.result is value and uses[value.root] == 1 and takes_out(last)
            if fits and _same_layout(target, value) and _apart(last, target):
                words = {**last.keywords, "out": target}
                kept[-1] = replace(last, keywords=words, result=None, writes=step.writes)
                continue
        kept.append(step)
    return replace(program, steps=kept)


def _same_layout(target: Any, value: Any) -> bool:
    x, y = target.example, value.example
    return bool(x.shape == y.shape and x.dtype == y.dtype)


def _apart(step: Step, target: Var) -> bool:
    """Whether a call may write to the target: an elementwise one reads it only in its own place."""
    elementwise = isinstance(step.function, np.ufunc) and step.function.signature is None
    return all(var.root != target.root or (var is target and elementwise) for var in step.reads())


PASSES: dict[str, Callable[[Program], Program]] = {
    "dead steps": without_dead_steps,
    "repetitions": without_repetitions,
    "copies": without_copies,
    "reductions": with_plain_reductions,
    "assignments": without_assignments,
}
"""The passes by name, in the order in which they run."""


# ---- memory ------------------------------------------------------------------------------------


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
    order = "C" if example.c_contiguous else "F"
    return example.shape, example.dtype, order


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
    return step.text in _WITH_OUT or isinstance(step.function, np.ufunc) or _reduces(step)


_WITH_OUT = frozenset({"np.dot", "np.sum", "np.mean", "np.max", "np.min", "np.clip", "np.round"})


def _reduces(step: Step) -> bool:
    method = getattr(step.function, "__self__", None)
    return isinstance(method, np.ufunc) and step.text.endswith((".reduce", ".accumulate", ".outer"))


def _may_overwrite(step: Step, root: int) -> bool:
    """Whether an elementwise call may put its result over an operand that dies with it."""
    elementwise = isinstance(step.function, np.ufunc) and step.function.signature is None
    same = [var.example for var in step.reads() if var.root == root]
    return elementwise and all(isinstance(e, Layout) and e.owns for e in same)


__all__ = [
    "PASSES",
    "buffers",
    "takes_out",
    "with_plain_reductions",
    "without_assignments",
    "without_copies",
    "without_dead_steps",
    "without_repetitions",
]
