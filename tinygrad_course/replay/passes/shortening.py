"""Passes that leave calls out, or write them shorter; the results keep every bit."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_course.replay.liveness import takes_out
from tinygrad_course.replay.program import Layout, Program, Step, Var, Wrapped, mapped, order
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
        step = step_with(step, renamed)  # noqa: PLW2901 - the same step in other words
        if step.form == "method" and step.text == "copy" and len(step.args) == 1:
            source, result = step.args[0], step.result
            written = max(last_write.get(source.root, -1), last_write.get(result.root, -1))
            free = source.root not in outside and written <= number
            # A copy in another order of memory is made on purpose.
            free = free and order(source.example) == order(result.example)
            if result.root in taken:  # a gradient owns its memory, and nobody else leaves with it
                own = isinstance(source.example, Layout) and source.example.owns
                free = free and own and source.root not in taken
            if free:
                if result.root in taken:
                    taken.add(source.root)
                renamed[result] = source
                continue
        kept.append(step)
    return program_with(replace(program, steps=kept), renamed)


def without_repetitions(program: Program) -> Program:
    """Compute what is computed twice from the same values only once."""
    version: dict[int, int] = defaultdict(int)
    known: dict[Any, Var] = {}
    renamed: dict[Var, Var] = {}
    leaving = {var.root for var in program.outputs()}
    written = {root for step in program.steps for root in step.writes}
    kept: list[Step] = []
    for step in program.steps:
        step = step_with(step, renamed)  # noqa: PLW2901 - the same step in other words
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
    return program_with(replace(program, steps=kept), renamed)


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


def step_with(step: Step, renamed: dict[Var, Var]) -> Step:
    """Return a call on other variables."""
    if not renamed or not any(var in renamed for var in step.reads()):
        return step

    def change(leaf: Any) -> Any:
        return renamed.get(leaf, leaf) if isinstance(leaf, Var) else leaf

    words = {key: mapped(value, change) for key, value in step.keywords.items()}
    return replace(step, args=mapped(step.args, change), keywords=words)


def program_with(program: Program, renamed: dict[Var, Var]) -> Program:
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


__all__ = [
    "program_with",
    "step_with",
    "with_plain_reductions",
    "without_assignments",
    "without_copies",
    "without_dead_steps",
    "without_repetitions",
]
