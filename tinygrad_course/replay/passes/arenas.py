"""The state of many small parameters lies in one array, so that one call updates all of it.

A call on a thousand elements takes longer to begin than to compute. Where the updates of several
parameters make the same calls with the same numbers, their state arrays become views of one line of
memory, an arena: only what reads a gradient or changes a parameter, which stay where they are, is
still called for each of them. The bits are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate, pairwise
from math import prod
from operator import getitem
from typing import Any

import numpy as np

from tinygrad_course.buffers import owner
from tinygrad_course.replay.liveness import buffers
from tinygrad_course.replay.passes.shortening import program_with, step_with
from tinygrad_course.replay.passes.updates import Update, updates
from tinygrad_course.replay.program import (
    FIXED,
    Layout,
    Note,
    Program,
    Step,
    Var,
    is_array,
    made,
    mapped,
)

ARENA = 1 << 16
"""Elements of an arena at most: what is updated together stays in the processor's cache."""


class Arena:
    """A line of memory that holds an entry of several parameters' state.

    Attributes:
        members: the variables of the entries, in order.
        bounds: where each begins, and where the last ends.
    """

    def __init__(self, members: list[Var]) -> None:
        self.members = members
        self.bounds = [0, *accumulate(var.example.size for var in members)]
        self._name = members[0].source[1]

    def line(self) -> np.ndarray | None:
        """Return the memory, into which the state moves if it lies elsewhere; None: it cannot."""
        arrays = [var.current() for var in self.members]
        for array, var in zip(arrays, self.members, strict=True):
            then = var.example
            same = array is not None and array.shape == then.shape and array.dtype == then.dtype
            if not same or not array.flags.c_contiguous:
                return None
        found = self._where(arrays)
        if found is None:
            found = np.empty(self.bounds[-1], arrays[0].dtype)
            for part, var, array in zip(
                views(found, [a.shape for a in arrays]), self.members, arrays, strict=True
            ):
                part[...] = array
                table, key = var.source
                table[key] = part
        return found

    def _where(self, arrays: list[np.ndarray]) -> np.ndarray | None:
        """Return the line in which the arrays already lie one behind another, if they do."""
        base = owner(arrays[0])
        if any(owner(array) is not base for array in arrays) or not base.flags.c_contiguous:
            return None
        if base.dtype != arrays[0].dtype:
            return None
        size = base.itemsize
        start = (_address(arrays[0]) - _address(base)) // size
        at = [(_address(array) - _address(base)) // size - start for array in arrays]
        whole = at == self.bounds[:-1]
        return base.reshape(-1)[start : start + self.bounds[-1]] if whole else None


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def views(line: np.ndarray, shapes: Any) -> list[np.ndarray]:
    """Return arrays of these shapes that lie one behind another in a line.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.replay.passes.arenas import views
        >>> views(np.arange(3), [(1, 2), (1,)])
        [array([[0, 1]]), array([2])]
    """
    bounds = pairwise([0, *accumulate(map(prod, shapes))])
    return [line[a:b].reshape(shape) for (a, b), shape in zip(bounds, shapes, strict=True)]


def with_arenas(program: Program) -> Program:
    """Let the updates of many small parameters with state be calls on all of it."""
    alike = _with_equal_numbers(program)
    several = (members for members in _groups(alike) if len(members) > 1)
    groups = [_Group(members) for members in several if _may_move(alike, members)]
    groups = [group for group in groups if group.shorter]
    if not groups:
        return program
    spare = _Spare(max(group.bounds[-1] for group in groups))
    fresh = {group.members[-1].places[-1]: list(group.calls(spare)) for group in groups}
    gone = {place for group in groups for member in group.members for place in member.places}
    steps = list(spare.steps)
    for place, step in enumerate(alike.steps):
        steps += fresh.get(place, ())
        if place not in gone:
            steps.append(step)
    return replace(alike, steps=steps)


# ---- which updates are alike ---------------------------------------------------------------------


def _with_equal_numbers(program: Program) -> Program:
    """Let parameters that have made equally many steps share that number and what follows of it."""
    owners = {id(table): id(optimizer) for optimizer, _, table in program.tables}
    first: dict[Any, Var] = {}
    renamed: dict[Var, Var] = {}
    for var in program.outside:
        if var.role == "number" and id(var.source[0]) in owners:
            table, key, index = var.source
            value = (type(var.example), var.example)
            known = first.setdefault((owners[id(table)], key, index, value), var)
            if known is not var:
                renamed[var] = known
    equal = [*program.equal, *renamed.items()]
    made_before: dict[Any, Var] = {}
    kept: list[Step] = []
    for step in program.steps:
        step = step_with(step, renamed)  # noqa: PLW2901 - the same step in other words
        if step.form == "operator" and not any(map(is_array, step.reads())):
            key = (step.text, tuple(map(_name, step.args)))
            known = made_before.setdefault(key, step.result)
            if known is not step.result:
                renamed[step.result] = known
                continue
        kept.append(step)
    return program_with(replace(program, steps=kept, equal=equal), renamed)


def _name(leaf: Any) -> Any:
    return id(leaf) if isinstance(leaf, Var) else (type(leaf), repr(leaf))


def _groups(program: Program) -> Iterator[list[Update]]:
    """Yield lists of updates that make the same calls, each with as much state as fits."""
    alike: dict[Any, list[Update]] = defaultdict(list)
    for update in updates(program):
        if update.size <= ARENA // 2 and update.form[1] == "C":
            alike[_calls(update)].append(update)
    for members in alike.values():
        chosen: list[Update] = []
        size = 0
        for member in members:
            if size + member.size > ARENA:
                yield chosen
                chosen, size = [], 0
            chosen.append(member)
            size += member.size
        yield chosen


def _calls(update: Update) -> Any:
    """Return what an update does, with its arrays numbered: equal for updates that are alike."""
    number = {var: i for i, var in enumerate(update.arrays())}
    kinds = tuple((var.example.dtype, _kind(var, update)) for var in number)

    def name(leaf: Any) -> Any:
        return ("array", number[leaf]) if leaf in number else _name(leaf)

    calls = tuple(
        (
            step.text,
            tuple(name(x) if isinstance(x, Var) else _name(x) for x in step.args),
            tuple((key, name(x)) for key, x in step.keywords.items()),
            None if step.result is None else name(step.result),
        )
        for step in update.steps
    )
    return kinds, calls


def _kind(var: Var, update: Update) -> Any:
    """Return the entry of an array that is state, "" for one that the update makes, else None."""
    if var.role == "state":
        return var.source[1]
    return "" if var.root in update.made() else None


def _may_move(program: Program, members: list[Update]) -> bool:
    """Whether all of these updates may be made where the last of them stands."""
    written: dict[int, int] = defaultdict(int)
    touched: dict[int, int] = defaultdict(int)
    for member in members:
        for root in member.written():
            written[root] += 1
        for root in {var.root for var in member.arrays()}:
            touched[root] += 1
    inside = {place for member in members for place in member.places}
    between = range(members[0].places[0], members[-1].places[-1])
    others = [program.steps[place] for place in between if place not in inside]
    return not (
        any(touched[root] > 1 for root in written)
        or any(var.root in written for step in others for var in step.reads())
        or any(step.writes & touched.keys() for step in others)
    )


# ---- the calls that take their place -------------------------------------------------------------


class _Spare:
    """Lines of memory for what updates make on the way, the same for all groups."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.lines: dict[Any, Var] = {}
        self.steps: list[Step] = []

    def line(self, number: int, dtype: Any, size: int) -> Var:
        """Return the first `size` elements of one."""
        key = (number, dtype)
        if key not in self.lines:
            var = self.lines[key] = made(_layout(self.size, dtype))
            words = {"dtype": dtype}
            self.steps.append(_fixed(np.empty, "call", "np.empty", (self.size,), var, words))
        whole = self.lines[key]
        if size == self.size:
            return whole
        part = Var("temporary", whole.root, _layout(size, dtype))
        self.steps.append(_fixed(getitem, "getitem", "", (whole, slice(0, size)), part, {}))
        return part


class _Group:
    """Updates that are alike, and where their arrays lie.

    Attributes:
        members: the updates.
        bounds: where each member's elements begin in a line, and where the last ones end.
        slots: the arrays of each member, which stand for one another in this order.
    """

    def __init__(self, members: list[Update]) -> None:
        self.members = members
        self.bounds = [0, *accumulate(member.size for member in members)]
        self.slots = [list(member.arrays()) for member in members]
        self.number = {var: slot for slot, var in enumerate(self.slots[0])}
        kinds = [_kind(var, members[0]) for var in self.slots[0]]
        self.apart = {slot for slot, kind in enumerate(kinds) if kind is None}

    @property
    def shorter(self) -> bool:
        """Whether there are calls that can be made for all members at once."""
        return len(self._single()) < len(self.members[0].steps)

    def _single(self) -> list[Step]:
        """Return the first member's calls that have to be made for each member."""
        return [step for step in self.members[0].steps if self._slots(step) & self.apart]

    def _slots(self, step: Step) -> set[int]:
        return {self.number[v] for v in (*step.reads(), *step.results()) if v in self.number}

    def calls(self, spare: _Spare) -> Iterator[Step]:
        """Yield the arenas with their parts, and the calls."""
        lines = self._lines(spare)
        single = self._single()
        parts: dict[Var, list[Var]] = {}
        for slot in sorted({slot for step in single for slot in self._slots(step)} - self.apart):
            line = lines[slot]
            if line not in parts:
                parts[line] = [self._part(line, i) for i in range(len(self.members))]
                shapes = tuple(member.form[0] for member in self.members)
                yield _fixed(views, "call", "views", (line, shapes), tuple(parts[line]), {})
        for number, step in enumerate(self.members[0].steps):
            if step not in single:
                yield self._call(step, self.slots[0], lines, self.slots)
                continue
            for i, member in enumerate(self.members):
                own = {slot: parts[line][i] for slot, line in lines.items() if line in parts}
                yield self._call(member.steps[number], self.slots[i], own, [self.slots[i]])

    def _part(self, line: Var, member: int) -> Var:
        example = _layout(self.members[member].form[0], line.example.dtype)
        return Var("temporary", line.root, example)

    def _lines(self, spare: _Spare) -> dict[int, Var]:
        """Return the line in which each slot's arrays lie; slots that are apart have none."""
        lines: dict[int, Var] = {}
        size = self.bounds[-1]
        for slot, var in enumerate(self.slots[0]):
            if var.role == "state":
                arena = Arena([arrays[slot] for arrays in self.slots])
                lines[slot] = Var("arena", var.root, arena.line(), arena)
        chosen = buffers(Program(list(self.members[0].steps), [], [], None, [], [], [], [], [], []))
        for step, index in chosen.items():
            lines[self.number[step.result]] = spare.line(index, step.result.example.dtype, size)
        return lines

    @staticmethod
    def _call(
        step: Step, arrays: list[Var], places: dict[int, Var], written: list[list[Var]]
    ) -> Step:
        """Return a call with its arrays where they lie now; it writes for these members."""
        where = {var: places.get(slot, var) for slot, var in enumerate(arrays)}

        def change(leaf: Any) -> Any:
            return where.get(leaf, leaf) if isinstance(leaf, Var) else leaf

        words = {key: mapped(value, change) for key, value in step.keywords.items()}
        if step.result is not None:
            words["out"] = where[step.result]
            roots = {words["out"].root}
        else:
            target = step.keywords.get("out", step.args[0])  # np.copyto has no out
            slot = arrays.index(target)
            roots = {where[target].root, *(own[slot].root for own in written)}
        args = mapped(step.args, change)
        return replace(step, args=args, keywords=words, result=None, writes=frozenset(roots))


def _layout(shape: Any, dtype: Any) -> Layout:
    layout = Layout(np.empty(shape, dtype))
    layout.owns = False  # not a buffer that others may have
    return layout


def _fixed(
    function: Any, form: str, text: str, args: tuple[Any, ...], result: Any, words: dict[str, Any]
) -> Step:
    return Step(function, form, text, args, words, result, note=Note(FIXED))


__all__ = ["ARENA", "Arena", "views", "with_arenas"]
