"""Which operation is wrong: every recorded one is checked alone, at the values that it had.

An operation's derivative depends on nothing but its own inputs, so a wrong one can be found without
looking at the rest of the graph, and the first wrong one in the order of the forward pass is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_course.checking.causes import Evidence, explain
from tinygrad_course.checking.differences import Comparison, settle
from tinygrad_course.checking.report import Blame
from tinygrad_course.checking.subjects import Results, Subject
from tinygrad_course.checking.tape import Step, Tape, fitted
from tinygrad_course.graph import enable_grad
from tinygrad_course.primitive import TupleGradient
from tinygrad_course.tensor import Tensor

DIRECTIONS = 3
"""Random directions per input; a fault of 1e-4 of the gradient shows in each of them."""

ELEMENTS = 400
"""Up to this size an input of a wrong operation is compared element by element, for the cause."""


class Operation(Subject):
    """One recorded operation as a subject of its own; complex numbers are pairs of real ones."""

    hand_written = True

    def __init__(self, step: Step) -> None:
        self.step = step
        self.row = step.node.primitive
        numbers = (np.ndarray, np.generic, float, complex)
        self.inputs = [np.array(x) if isinstance(x, numbers) else x for x in step.inputs]
        self.places = [
            i
            for i, parent in enumerate(step.node.parents)
            if parent is not None and self.inputs[i].dtype.kind in "fc"
        ]
        self.points = {f"input {i}": _pairs(self.inputs[i]) for i in self.places}

    def values(self) -> Results:
        """Return the operation's floating results that have a derivative."""
        ans = self.row.forward(*self.inputs, **self.step.params)
        if self.row.residuals:
            ans = ans[0]
        parts = ans if isinstance(ans, tuple) else (ans,)
        return [_pairs(np.array(parts[k])) for k in self._kept(parts)]

    def _kept(self, parts: Sequence[Any]) -> list[int]:
        constant = self.row.constant_outputs
        kinds = [np.asarray(y).dtype.kind for y in parts]
        return [k for k, kind in enumerate(kinds) if k not in constant and kind in "fc"]

    def gradient(self, weights: Results) -> dict[str, Any]:
        """Return what the operation's rule gives at the recorded values."""
        node, result = self.step.node, self.step.result
        parts = result if isinstance(result, tuple) else (result,)
        kept = self._kept(parts)
        upstream = {k: _from_pairs(w, parts[k]) for k, w in zip(kept, weights, strict=True)}
        g: Any = upstream[kept[0]]
        if isinstance(result, tuple):
            g = TupleGradient(tuple(upstream.get(k) for k in range(len(parts))))
        pieces = self.row.pull(g, node, node.parents)
        return {
            f"input {i}": None
            if pieces[i] is None
            else _pairs(np.conj(fitted(pieces[i], node.parents[i])))
            for i in self.places
        }

    def recorded(self) -> tuple[list[Any], dict[str, Any]] | None:
        """Return the operation written in others, if it is, so that its inside can be looked at."""
        function = self.row.formula or self.row.forward
        if any(self.inputs[i].dtype.kind == "c" for i in self.places):
            return None
        if self.row.residuals and not self.row.formula:
            return None
        leaves = [
            Tensor(x.copy(), requires_grad=True) if i in self.places else x
            for i, x in enumerate(self.inputs)
        ]
        with enable_grad():
            ans = function(*leaves, **self.step.params)
        outputs = list(ans) if isinstance(ans, tuple) else [ans]
        if not all(isinstance(out, Tensor) for out in outputs):
            return None
        outputs = [outputs[k] for k in self._kept([out.data for out in outputs])]
        return outputs, {f"input {i}": leaves[i] for i in self.places}


def _pairs(x: Any) -> np.ndarray:
    """Return real numbers as they are, complex ones as a flat view of their real parts."""
    array: np.ndarray = np.asarray(x)
    if array.dtype.kind != "c":
        return array
    flat: np.ndarray = np.ascontiguousarray(array).reshape(-1).view(array.real.dtype)
    return flat


def _from_pairs(weights: np.ndarray, like: Any) -> Any:
    """Return the upstream gradient whose real pairing with a complex result has these weights."""
    if np.asarray(like).dtype.kind == "c":
        weights = np.conj(weights.view(np.complex128)).reshape(np.shape(like))
    return weights if np.ndim(weights) else weights[()]


def wrong_operations(
    tape: Tape,
    rng: np.random.Generator,
    *,
    progress: Callable[[int, int], None] | None = None,
    causes: bool = True,
) -> list[tuple[Blame, Step]]:
    """Return the operations whose own derivative is wrong, in the order of the forward pass."""
    found = []
    for position, step in enumerate(tape.steps):
        found += [(blame, step) for blame in _faults(position, step, rng, causes=causes)]
        if progress is not None:
            progress(position + 1, len(tape.steps))
    return found


def overwriting_operations(tape: Tape, rng: np.random.Generator) -> list[tuple[Step, str]]:
    """Return the operations whose rule writes into what it is given, and into what."""
    found = []
    for step in tape.steps:
        if step.node.saved is None or isinstance(step.result, tuple):
            continue
        result = np.asarray(step.result)
        if result.dtype.kind != "f" or not result.ndim:  # a number cannot be overwritten
            continue
        upstream = rng.standard_normal(result.shape).astype(result.dtype)
        kept = upstream.copy()
        before = [np.copy(x) if isinstance(x, np.ndarray) else x for x in step.inputs]
        with np.errstate(all="ignore"):
            step.node.primitive.pull(upstream, step.node, step.node.parents)
        if not np.array_equal(upstream, kept):
            found.append((step, "the upstream gradient"))
        for i, (x, y) in enumerate(zip(step.inputs, before, strict=True)):
            if not isinstance(x, np.ndarray):
                continue
            if not np.array_equal(x, y, equal_nan=x.dtype.kind in "fc"):
                found.append((step, f"its input {i}"))
                x[...] = y
    return found


def _faults(
    position: int, step: Step, rng: np.random.Generator, *, causes: bool
) -> Iterator[Blame]:
    operation = Operation(step)
    if not operation.points or step.node.saved is None:
        return
    with np.errstate(all="ignore"):
        centre = operation.values()
        if not centre:
            return
        weights = [np.asarray(rng.standard_normal(y.shape)) for y in centre]
        given = operation.gradient([w.copy() for w in weights])
        for name, point in operation.points.items():
            gradient = given[name]
            gradient = np.zeros(point.shape) if gradient is None else gradient
            size = _off_by(operation, name, gradient, centre, weights, rng)
            if size is None:
                continue
            cause = None
            if causes and point.size <= ELEMENTS:
                cause = _cause(operation, name, gradient, centre, weights, given)
            yield Blame(
                step.name,
                position,
                step.line,
                step.modules,
                int(name.removeprefix("input ")),
                size,
                cause,
            )


def _off_by(
    operation: Operation,
    name: str,
    gradient: np.ndarray,
    centre: Results,
    weights: Results,
    rng: np.random.Generator,
) -> float | None:
    """Return the relative size of a fault along random directions, None if there is none."""
    point = operation.points[name]
    norm = float(np.linalg.norm(gradient))
    worst = None
    for _ in range(DIRECTIONS):
        direction = rng.standard_normal(point.shape) * _reach(point)
        comparison = _along(operation, name, direction, gradient, centre, weights)
        if comparison.verdict == "fail":
            gap = abs(comparison.analytic - comparison.estimate.value)
            size = gap / max(norm * float(np.max(_reach(point), initial=0.0)), 1e-300)
            worst = max(worst or 0.0, size)
    return worst


def _reach(point: np.ndarray) -> np.ndarray:
    """Return how far each element may move: relative to itself, and to the others where it is 0."""
    rms = float(np.sqrt(np.mean(point**2))) if point.size else 0.0
    return np.maximum(np.abs(point), 0.1 * rms) if rms else np.ones(point.shape)


def _along(
    operation: Operation,
    name: str,
    direction: np.ndarray,
    gradient: np.ndarray,
    centre: Results,
    weights: Results,
) -> Comparison:
    point = operation.points[name]
    original = point.copy()

    def move(t: float) -> Results:
        np.add(original, t * direction, out=point)
        try:
            return operation.values()
        finally:
            point[...] = original

    slope = float(np.sum(gradient * direction))
    scale = float(np.linalg.norm(gradient * direction))
    return settle(move, centre, weights, 1.0, None, slope, scale)


def _cause(
    operation: Operation,
    name: str,
    gradient: np.ndarray,
    centre: Results,
    weights: Results,
    given: dict[str, Any],
) -> str | None:
    """Compare a wrong operation element by element, and explain what is found."""
    point = operation.points[name]
    reach = _reach(point)
    scale = float(np.max(np.abs(gradient), initial=0.0))
    comparisons = []
    for place in np.ndindex(point.shape):
        original = point[place]

        def move(t: float, place: Any = place, original: Any = original) -> Results:
            point[place] = original + t
            try:
                return operation.values()
            finally:
                point[place] = original

        comparisons.append(
            settle(move, centre, weights, float(reach[place]), place, float(gradient[place]), scale)
        )
    evidence = Evidence(name, point, gradient, comparisons)
    return explain(operation, [evidence], weights, given).get(name)


__all__ = ["Operation", "overwriting_operations", "wrong_operations"]
