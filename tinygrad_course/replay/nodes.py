"""A program as a graph of nodes, so that what draws a recorded graph draws a replay too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_course.graph import Node, Scope, Value
from tinygrad_course.primitive import _output
from tinygrad_course.replay.program import Program, Step, Var, variables


@dataclass(frozen=True, slots=True)
class Call:
    """A NumPy call in the place of a primitive: what a picture asks of it."""

    name: str
    constant_outputs: tuple[int, ...] = ()


def results_of(program: Program) -> dict[str, Value]:
    """Return what a program returns and overwrites as Values, with its calls as nodes behind."""
    graph = _Graph()
    for step in program.steps:
        graph.add(step)
    found = {var.name: graph.value(var) for var in program.outputs()}
    written = {root for step in program.steps for root in step.writes}
    found |= {v.name: graph.value(v) for v in program.outside if v.root in written and v.name}
    return {name: value for name, value in found.items() if value._node is not None}


class _Graph:
    def __init__(self) -> None:
        self.made: dict[Var, Node] = {}
        self.writers: dict[int, Node] = {}
        self.leaves: dict[Var, Value] = {}
        self.scopes: dict[tuple[Any, ...], Scope] = {}
        self.time = 0

    def source(self, var: Var) -> Node | Value:
        """Return the node that last wrote a variable's memory or made it, or its leaf."""
        node = self.writers.get(var.root) or self.made.get(var)
        if node is not None:
            return node
        if var not in self.leaves:
            leaf = self.leaves[var] = _output(var.example, None)
            leaf._name = var.name
            leaf._needs = isinstance(var.source, Value) and var.source._needs
        return self.leaves[var]

    def value(self, var: Var) -> Value:
        """Return a variable as a Value that stands at its place in the graph."""
        source = self.source(var)
        value: Value = _output(var.example, source if isinstance(source, Node) else None)
        return value

    def add(self, step: Step) -> None:
        """Add a call behind the calls whose results it reads."""
        node = Node()
        name = step.text.removeprefix("np.") or step.form
        node.primitive = Call(f"{name} ({step.note.phase})" if step.note.phase else name)
        words = {key: value for key, value in step.keywords.items() if key != "out"}  # not read
        read = dict.fromkeys(variables((step.args, words)))
        node.parents = tuple(self.source(var) for var in read if _is_array(var))
        node.saved = ()
        node.params = node.grad = node.retained = None
        node.scope = self.scope(step)
        self.time += 1
        node.time = self.time
        made = next(iter(step.results()), None) or next(step.reads())
        node.shape = getattr(made.example, "shape", ())
        node.dtype = getattr(made.example, "dtype", np.dtype(float))
        for var in step.results():
            self.made[var] = node
        for root in step.writes:
            self.writers[root] = node

    def scope(self, step: Step) -> Scope:
        """Return the scope of the modules that ran, one for each phase."""
        scope = Scope()
        for depth in range(1, len(step.note.modules) + 1):
            key = (step.note.phase, *map(id, step.note.modules[:depth]))
            if key not in self.scopes:
                self.scopes[key] = Scope(module=step.note.modules[depth - 1], parent=scope)
            scope = self.scopes[key]
        return scope


def _is_array(var: Var) -> bool:
    return hasattr(var.example, "shape")


__all__ = ["Call", "results_of"]
