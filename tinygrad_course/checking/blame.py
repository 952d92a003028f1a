"""Which operation is wrong: every recorded one is checked alone, at the values that it had.

An operation's derivative depends on nothing but its own inputs, so a wrong one can be found without
looking at the rest of the graph, and the first wrong one in the order of the forward pass is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_course.checking.causes import Evidence, explain
from tinygrad_course.checking.differences import Comparison, undecided
from tinygrad_course.checking.report import Blame, GradcheckReport
from tinygrad_course.checking.settling import settle
from tinygrad_course.checking.subjects import Results, Subject
from tinygrad_course.checking.tape import Step, Tape, fitted
from tinygrad_course.graph import enable_grad
from tinygrad_course.primitive import TupleGradient
from tinygrad_course.tensor import Tensor

DIRECTIONS = 3
"""Random directions per input; a fault of 1e-4 of the gradient shows in each of them."""

SEEN = 1e-4
"""Relative size of a fault that an operation checked alone does not hide."""

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
        if step.node.saved is None:
            continue
        faults = _faults(Operation(step), rng, causes=causes)
        found += [
            (Blame(step.name, position, step.line, step.modules, *fault), step) for fault in faults
        ]
        if progress is not None:
            progress(position + 1, len(tape.steps))
    return found


def careless_operations(tape: Tape, rng: np.random.Generator) -> list[tuple[Step, str, str]]:
    """Return the operations whose rule writes into what it is given, or rounds its result.

    Each comes with the verdict, ``mutation`` or ``dtype``, and what is written or rounded.
    """
    found = []
    for step in tape.steps:
        if step.node.saved is None or isinstance(step.result, tuple):
            continue
        result = np.asarray(step.result)
        if result.dtype.kind == "f" and result.ndim:  # a number cannot be overwritten
            found += [(step, verdict, what) for verdict, what in _careless(step, result, rng)]
    return found


def _careless(
    step: Step, result: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, str]]:
    upstream = np.asarray(rng.standard_normal(result.shape), dtype=result.dtype)
    lent = {"the upstream gradient": upstream, "its result": result}
    lent |= {f"its input {i}": x for i, x in enumerate(step.inputs) if isinstance(x, np.ndarray)}
    before = {what: x.copy() for what, x in lent.items()}
    try:
        with np.errstate(all="ignore"):
            pieces = step.node.primitive.pull(upstream, step.node, step.node.parents)
    except Exception:  # noqa: BLE001 - a rule that raises is reported as a wrong one
        return
    for what, x in lent.items():
        if not np.array_equal(x, before[what], equal_nan=x.dtype.kind in "fc"):
            yield "mutation", what
            x[...] = before[what]
    for i, (piece, x) in enumerate(zip(pieces, step.inputs, strict=True)):
        if isinstance(piece, np.ndarray) and _rounded(piece, x, upstream):
            yield "dtype", f"the gradient of its input {i} to {piece.dtype}"


def _rounded(piece: np.ndarray, x: Any, upstream: np.ndarray) -> bool:
    exact = min(np.asarray(x).dtype.itemsize, upstream.dtype.itemsize)
    return piece.dtype.kind == "f" and piece.dtype.itemsize < exact


Fault = tuple[int, float, "str | None"]
"""Which input's derivative is wrong, by how much, and why if that could be proved."""


def _faults(operation: Operation, rng: np.random.Generator, *, causes: bool) -> list[Fault]:
    """Return the inputs for which an operation's rule is wrong at the recorded values."""
    if not operation.points:
        return []
    with np.errstate(all="ignore"):
        try:
            centre = operation.values()
        except Exception:  # noqa: BLE001 - what cannot be evaluated again accuses nobody
            return []
        if not centre:
            return []
        weights = [np.asarray(rng.standard_normal(y.shape)) for y in centre]
        try:
            given = operation.gradient([w.copy() for w in weights])
        except Exception as error:  # noqa: BLE001 - the user's rule, whatever it raises
            said = f"its rule raises {type(error).__name__}: {str(error)[:200]}"
            return [(operation.places[0], float("nan"), said)]
        return list(_compared(operation, given, centre, weights, rng, causes=causes))


def _compared(
    operation: Operation,
    given: dict[str, Any],
    centre: Results,
    weights: Results,
    rng: np.random.Generator,
    *,
    causes: bool,
) -> Iterator[Fault]:
    for name, point in operation.points.items():
        gradient = given[name]
        gradient = np.zeros(point.shape) if gradient is None else gradient
        size = _off_by(operation, name, gradient, centre, weights, rng)
        if size is None:
            continue
        cause: str | None = None
        if causes and point.size <= ELEMENTS:
            try:
                cause = _cause(operation, name, gradient, centre, weights, given)
            except Exception:  # noqa: BLE001 - the blame stands without a cause
                cause = None
        yield int(name.removeprefix("input ")), size, cause


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
    reach = _reach(point)
    norm = float(np.linalg.norm(gradient * reach))
    worst = None
    for _ in range(DIRECTIONS):
        direction = rng.standard_normal(point.shape) * reach
        comparison = _along(operation, name, direction, gradient, centre, weights)
        if comparison.verdict == "fail":
            numeric = comparison.estimate.value
            gap = abs(comparison.analytic - numeric)
            worst = max(worst or 0.0, gap / max(norm, abs(numeric)))
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
    try:
        return settle(move, centre, weights, 1.0, None, slope, scale)
    except Exception:  # noqa: BLE001 - the operation may not be defined beside the point
        return undecided(None, slope)


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


def with_unrecorded_path(report: GradcheckReport) -> GradcheckReport:
    """Say what is left to suspect where the whole is wrong and every operation by itself right."""
    if report.verdict not in ("fail", "missing") or report.difference < SEEN:
        return report
    note = (
        "every recorded operation is right by itself, so a path was not recorded: look for "
        "detach(), .data, .numpy(), no_grad() or a constant computed from an input or parameter"
    )
    return replace(report, notes=(*report.notes, note))


__all__ = ["Operation", "careless_operations", "with_unrecorded_path", "wrong_operations"]
