"""Finding in a program what an optimizer does to one parameter: a run of elementwise calls.

An update rule treats every element by itself, and so do the calls it makes: parameter, gradient,
state and everything between have one shape and lie in memory alike. Such calls may be made for a
part of the elements at a time (`blocks`), or for several parameters at once (`arenas`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from tinygrad_course.replay.program import Program, Step, Var, is_array, order

Form = tuple[tuple[int, ...], str]
"""The shape of arrays, and "C" or "F" for how they lie in memory."""


@dataclass(slots=True)
class Update:
    """The calls that update one parameter, or a part of them that is elementwise.

    Attributes:
        parameter: whose update it is.
        form: shape and order of all arrays in it.
        places: where the calls stand in the program.
        steps: the calls.
    """

    parameter: Any
    form: Form
    places: list[int] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def size(self) -> int:
        """The number of elements of each array."""
        return prod(self.form[0])

    def arrays(self) -> dict[Var, None]:
        """Return all arrays in order of appearance."""
        return {v: None for step in self.steps for v in _variables(step) if is_array(v)}

    def made(self) -> set[int]:
        """Return the roots that its calls make anew."""
        return {var.root for step in self.steps for var in step.results()}

    def written(self) -> set[int]:
        """Return the roots that its calls overwrite."""
        return {root for step in self.steps for root in step.writes}


def updates(program: Program) -> Iterator[Update]:
    """Yield the elementwise runs among the calls of an optimizer's step.

    Calls on numbers may stand between the calls of a run: they neither see arrays nor change them.
    What a run makes is not used outside of it, and what it overwrites is reached in one way only.
    """
    readers: dict[int, set[int]] = defaultdict(set)
    for place, step in enumerate(program.steps):
        for var in step.reads():
            readers[var.root].add(place)
    leaving = {var.root for var in program.outputs()} | {g.var.root for g in program.guards}
    for run in _runs(program):
        made = run.made()
        inside = all(readers[root] <= set(run.places) for root in made)
        if inside and not made & leaving and _reached_in_one_way(run):
            yield run


def _runs(program: Program) -> Iterator[Update]:
    run: Update | None = None
    for place, step in enumerate(program.steps):
        updating = step.note.phase == "update"
        if updating and not step.writes and not any(map(is_array, _variables(step))):
            continue
        form = _form(step) if updating else None
        if run is not None and (form != run.form or step.note.parameter is not run.parameter):
            yield run
            run = None
        if form is not None:
            run = run or Update(step.note.parameter, form)
            run.places.append(place)
            run.steps.append(step)
    if run is not None:
        yield run


def _variables(step: Step) -> Iterator[Var]:
    yield from step.reads()
    yield from step.results()


def _form(step: Step) -> Form | None:
    """Return shape and order of a call's arrays, if it is elementwise and all are alike."""
    plain = isinstance(step.function, np.ufunc) and step.function.signature is None
    known = plain or step.function is np.copyto
    if not known or step.form != "call" or not step.keywords.keys() <= {"out"}:
        return None
    arrays = [var for var in _variables(step) if is_array(var)]
    forms = {(var.example.shape, order(var.example)) for var in arrays}
    own = isinstance(step.result, Var) or step.result is None
    ours = not any(var.role == "grad" and var.root in step.writes for var in arrays)
    return forms.pop() if len(forms) == 1 and own and ours and all(f[1] for f in forms) else None


def _reached_in_one_way(run: Update) -> bool:
    ways: dict[int, set[Var]] = defaultdict(set)
    for var in run.arrays():
        ways[var.root].add(var)
    return all(len(ways[root]) == 1 for root in run.written())


__all__ = ["Form", "Update", "updates"]
