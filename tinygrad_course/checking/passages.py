"""Passages: from one value of a graph to another of the same shape that depends on it alone.

A sigmoid written as ``1 / (1 + np.exp(-z))`` is four operations to the recorder and one activation
to its author. A passage is such a stretch, whatever number of operations it took.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_course.checking.tape import Step, backward_with
from tinygrad_course.graph import Node, enable_grad
from tinygrad_course.primitive import FUNCTIONS
from tinygrad_course.tensor import Tensor
from tinygrad_course.transforms import gradients

LONGEST = 16
"""Operations in a passage at most."""

MOST = 400
"""Passages in a graph at most, so that a large one is not searched forever."""

_BY_ELEMENT = {"sigmoid", "relu", "leaky_relu", "softplus", "clip", "where", "power", "astype"}


class Passage:
    """A stretch of the graph, from a value to another one of the same shape."""

    def __init__(self, start: Any, steps: list[Step], value: np.ndarray) -> None:
        self.start, self.steps, self.input = start, steps, value
        self.end = steps[-1]
        self.output = np.asarray(self.end.result)
        self.elementwise = all(_by_element(step) for step in steps)

    @property
    def text(self) -> str:
        """What the passage is called in a sentence."""
        first, last = self.steps[0], self.end
        if first is last:
            return f"{last.name} at {last.line}"
        lines = last.line if first.line == last.line else f"{first.line} to {last.line}"
        return f"the steps {', '.join(step.name for step in self.steps)} at {lines}"

    def _replayed(self, value: Any) -> tuple[Any, Any] | None:
        """Compute the passage again from another value; return leaf and result."""
        leaf = Tensor(np.array(value), requires_grad=True)
        known: dict[int, Any] = {id(self.start): leaf}
        try:
            with enable_grad(), np.errstate(all="ignore"):
                for step in self.steps:
                    given = [
                        known.get(id(parent), x) if parent is not None else x
                        for parent, x in zip(step.node.parents, step.inputs, strict=True)
                    ]
                    known[id(step.node)] = FUNCTIONS[step.name](*given, **step.params)
        except Exception:  # noqa: BLE001 - another value may be outside the function's domain
            return None
        result = known[id(self.end.node)]
        return (leaf, result) if isinstance(result, Tensor) and result.requires_grad else None

    def slope(self, value: np.ndarray) -> np.ndarray | None:
        """Return the derivative of an elementwise passage at another value."""
        found = self._replayed(value)
        if found is None:
            return None
        leaf, result = found
        with np.errstate(all="ignore"):
            slope = np.asarray(gradients(result, leaf, np.ones(result.shape)))
        return slope if np.all(np.isfinite(slope)) else None

    @cached_property
    def _here(self) -> tuple[Any, Any] | None:
        return self._replayed(self.input)

    def slope_matrix_free(self) -> Any:
        """Return the function from upstream to downstream gradient at the recorded values."""
        found = self._here
        if found is None:
            return None
        leaf, result = found
        return lambda g: np.asarray(backward_with([result], [g], {"x": leaf})["x"])


def _by_element(step: Step) -> bool:
    row = step.node.primitive
    functions = (*row.numpy, row.forward)
    return step.name in _BY_ELEMENT or any(
        isinstance(f, np.ufunc) and f.signature is None for f in functions
    )


def passages(steps: list[Step]) -> Iterator[Passage]:
    """Yield the passages of a graph, shortest first for each end."""
    by_node = {id(step.node): step for step in steps}
    values: dict[int, np.ndarray] = {}
    for step in steps:
        for parent, x in zip(step.node.parents, step.inputs, strict=True):
            if parent is not None and not isinstance(step.result, tuple):
                values.setdefault(id(parent), x)
    count = 0
    for step in steps:
        if isinstance(step.result, tuple) or np.asarray(step.result).dtype.kind != "f":
            continue
        for start, inside in _dominators(step, by_node):
            value = values.get(id(start))
            if value is None or np.shape(value) != np.shape(step.result):
                continue
            if np.asarray(value).dtype.kind != "f":
                continue
            yield Passage(start, inside, np.asarray(value))
            count += 1
            if count >= MOST:
                return


def _dominators(step: Step, by_node: dict[int, Step]) -> Iterator[tuple[Any, list[Step]]]:
    """Yield the values on which a step's result depends alone, and the steps in between."""
    inside = [step]
    edge = {id(p): p for p in step.node.parents if p is not None}
    while edge and len(inside) <= LONGEST:
        if len(edge) == 1:
            (start,) = edge.values()
            yield start, sorted(inside, key=lambda s: s.node.time)
        if not all(isinstance(p, Node) for p in edge.values()) and len(edge) == 1:
            return
        nodes = [p for p in edge.values() if isinstance(p, Node)]
        if not nodes:
            return
        latest = max(nodes, key=lambda node: node.time)
        inner = by_node.get(id(latest))
        if inner is None or isinstance(inner.result, tuple):
            return
        del edge[id(latest)]
        inside.append(inner)
        edge |= {id(p): p for p in latest.parents if p is not None}


__all__ = ["Passage", "passages"]
