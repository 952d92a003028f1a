"""Why a gradient is wrong, in words, and only if it is proved.

A cause is a repair: the gradient with the repair applied must agree with the measured one. Repairs
that cannot be told apart at these values are named together. Where none fits, the pattern of the
wrong elements is described instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_course.checking.differences import TOLERANCE, Comparison
from tinygrad_course.checking.mistakes import mistakes
from tinygrad_course.checking.subjects import Results, Subject
from tinygrad_course.checking.tape import Tape, backward_with, taped

MOST_DIAGONAL = 200
"""Up to how many elements the diagonal of a Jacobian is computed; each is a backward pass."""

MOST_PASSES = 600
"""How many mistakes are acted out at most; each is a backward pass."""


@dataclass(frozen=True)
class Evidence:
    """Everything known about one input whose gradient is wrong."""

    name: str
    point: np.ndarray
    analytic: np.ndarray
    comparisons: Sequence[Comparison]

    def __post_init__(self) -> None:
        kept = [c for c in self.comparisons if c.place is not None and c.verdict != "kink"]
        object.__setattr__(self, "comparisons", kept)

    @property
    def places(self) -> tuple[np.ndarray, ...]:
        """The checked elements, as an index."""
        return tuple(np.array([c.place for c in self.comparisons], dtype=int).T)

    @property
    def numeric(self) -> np.ndarray:
        """The measured derivatives at `places`."""
        return np.array([c.estimate.value for c in self.comparisons])

    def agrees(self, candidate: np.ndarray) -> bool:
        """Whether values at `places` agree with the measured ones."""
        numeric = self.numeric
        if candidate.shape != numeric.shape or not numeric.size or not np.any(numeric):
            return False
        if not np.all(np.isfinite(candidate)):
            return False
        errors = np.array([c.estimate.error for c in self.comparisons])
        scale = float(np.max(np.abs(numeric)))
        tolerance = TOLERANCE * np.maximum(np.abs(numeric), 1e-3 * scale) + 3 * errors
        # A measurement too coarse to tell anything proves nothing.
        return bool(
            np.all(np.abs(candidate - numeric) <= tolerance) and np.max(errors) < 1e-3 * scale
        )


def explain(
    subject: Subject,
    evidence: Sequence[Evidence],
    weights: Results,
    analytic: dict[str, Any],
) -> dict[str, str]:
    """Return the proved cause by input name, for the inputs that have one."""
    tape, outputs, leaves = _recorded(subject)
    found: dict[str, list[str]] = {}
    for item in evidence:
        found[item.name] = list(_repairs(subject, item, tape, weights))
    acted = _acted_out(tape, outputs, leaves, weights, analytic, evidence) if tape else []
    if tape and not acted:
        for item in evidence:
            if _diagonal_only(item, outputs, leaves, weights):
                found[item.name].append(
                    "the coupling between the elements is left out: this is the diagonal of the "
                    "Jacobian alone, as if each result depended on its own element only"
                )
    causes = {}
    for item in evidence:
        texts = _distinct(found[item.name] + acted)
        if texts:
            causes[item.name] = " OR ".join(texts[:4]) + (
                f" OR {len(texts) - 4} more that cannot be told apart here"
                if len(texts) > 4
                else ""
            )
        else:
            pattern = _pattern(item)
            if pattern:
                causes[item.name] = pattern
    return causes


def _distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _recorded(subject: Subject) -> tuple[Tape | None, list[Any], dict[str, Any]]:
    with taped() as tape:
        try:
            recorded = subject.recorded()
        except Exception:  # noqa: BLE001 - without a graph there are fewer repairs to try
            recorded = None
    return (None, [], {}) if recorded is None else (tape, *recorded)


# ---- repairs of the gradient itself -----------------------------------------------------------


def _repairs(
    subject: Subject, item: Evidence, tape: Tape | None, weights: Results
) -> Iterator[str]:
    """Yield the repairs of one input's gradient that agree with the measurement."""
    if not item.comparisons:
        return
    a = item.analytic[item.places]
    if item.analytic.shape == item.point.shape:
        yield from _factors(item, a, _sizes(subject, item, tape, weights))
        if item.analytic.ndim == 2 and len(set(item.analytic.shape)) == 1:
            turned = item.analytic.T[item.places]
            if not np.array_equal(turned, a) and item.agrees(turned):
                yield "the gradient is transposed"
        yield from _penalties(item, a)
    if subject.hand_written:
        yield from _upstream(subject, item, weights)


def _factors(item: Evidence, a: np.ndarray, sizes: Sequence[tuple[float, str]]) -> Iterator[str]:
    numeric = item.numeric
    size = float(a @ a)
    if not size:
        return
    repair = float(a @ numeric) / size
    if repair == 0 or abs(repair - 1) < 1e-9 or not item.agrees(repair * a):
        return
    factor = 1 / repair
    sign = "the sign is wrong" if factor < 0 else ""
    if np.isclose(factor, -1, rtol=1e-6):
        yield sign
        return
    text = f"{sign} and " * bool(sign) + f"the gradient is {abs(factor):.6g} times the right one"
    origins = [origin for value, origin in sizes if np.isclose(abs(factor), value, rtol=1e-5)]
    yield text + (f": {' or '.join(_distinct(origins)[:4])}" if origins else "")


def _sizes(
    subject: Subject, item: Evidence, tape: Tape | None, weights: Results
) -> list[tuple[float, str]]:
    """Return the factors that people lose or gain, each with its likely origin."""
    known = [
        (2.0, "a 2 too many, such as that of a square whose cost has 1/2"),
        (0.5, "a 1/2 too many, or the 2 of a square is missing"),
    ]
    lengths: dict[int, str] = {}
    for name, point in subject.points.items():
        for axis, n in enumerate(point.shape):
            lengths.setdefault(n, f"the length {n} of axis {axis} of {name}")
        lengths.setdefault(point.size, f"the number {point.size} of elements of {name}")
    for w in weights:
        for axis, n in enumerate(np.shape(w)):
            lengths.setdefault(n, f"the length {n} of axis {axis} of the result")
    for step in tape.steps if tape else []:
        for x in step.inputs:
            for n in np.shape(x):
                lengths.setdefault(n, f"the length {n} of an axis in {step.name} at {step.line}")
    for n, origin in lengths.items():
        if n > 1:
            known += [
                (float(n), f"{origin}, the batch size m or the N of a mean: its 1/{n} is missing"),
                (1 / n, f"{origin}: it is divided by that once too often"),
            ]
    for value, origin in _constants(tape):
        if value not in (0.0, 1.0):
            known += [
                (abs(value), f"the constant {value:g} of {origin} counts once too often"),
                (1 / abs(value), f"the constant {value:g} of {origin} is missing"),
            ]
    del item
    return known


def _constants(tape: Tape | None) -> Iterator[tuple[float, str]]:
    """Yield the numbers that stand in the graph, such as a keep probability or a λ."""
    for step in tape.steps if tape else []:
        where = f"{step.name} at {step.line}"
        for x in step.inputs:
            if isinstance(x, float | int | np.generic) or (x is not None and np.ndim(x) == 0):
                if np.isrealobj(x) and np.isfinite(float(x)):
                    yield float(x), where
        for value in step.params.values():
            if isinstance(value, float):
                yield value, where


def _penalties(item: Evidence, a: np.ndarray) -> Iterator[str]:
    """Yield the repairs by a term that a penalty on the weights would give."""
    point = item.point[item.places]
    missing = item.numeric - a
    for direction, word in ((point, "w"), (np.sign(point), "sgn(w)")):
        size = float(direction @ direction)
        if not size:
            continue
        factor = float(direction @ missing) / size
        if abs(factor) > 1e-12 and item.agrees(a + factor * direction) and direction.size > 1:
            if np.allclose(missing, a * float(a @ missing) / max(float(a @ a), 1e-300), rtol=1e-5):
                continue  # the whole gradient is a multiple of w: nothing is told apart
            kind = "is missing" if factor > 0 else "counts twice or has the wrong sign"
            yield (
                f"a regularization term {kind}: the difference is {abs(factor):.6g} times {word}"
            )


def _upstream(subject: Subject, item: Evidence, weights: Results) -> Iterator[str]:
    """Yield the repair for a gradient that does not change with its upstream gradient."""
    rng = np.random.default_rng(0)
    others = [rng.standard_normal(w.shape) for w in weights]
    try:
        again = subject.gradient(others)[item.name]
    except Exception:  # noqa: BLE001 - the gradient worked once; nothing is said if it fails now
        return
    if (
        again is not None
        and np.shape(again) == item.analytic.shape
        and np.array_equal(again, item.analytic)
        and np.any(item.analytic)
    ):
        yield "the upstream gradient is ignored: multiply by it (chain rule)"


# ---- mistakes acted out on the graph ------------------------------------------------------------


def _acted_out(
    tape: Tape,
    outputs: list[Any],
    leaves: dict[str, Any],
    weights: Results,
    analytic: dict[str, Any],
    evidence: Sequence[Evidence],
) -> list[str]:
    """Return the mistakes that give exactly the wrong gradient, for all wrong inputs at once."""
    right = backward_with(outputs, weights, leaves)
    for item in evidence:  # the graph must be the function that was measured
        whole = right[item.name]
        if whole is None or not item.agrees(np.asarray(whole)[item.places]):
            return []
    wrong = [item.name for item in evidence]
    proved = []
    for count, mistake in enumerate(mistakes(tape.steps)):
        if count >= MOST_PASSES:
            break
        given = _passed(lambda m=mistake: backward_with(outputs, weights, leaves, m.change))
        if given is not None and all(_same(given[name], analytic[name]) for name in wrong):
            proved.append(mistake.text)
    return proved


def _diagonal_only(
    item: Evidence, outputs: list[Any], leaves: dict[str, Any], weights: Results
) -> bool:
    """Whether the gradient is the upstream gradient times the Jacobian's diagonal."""
    if len(outputs) != 1 or outputs[0].shape != item.point.shape or item.point.size > MOST_DIAGONAL:
        return False
    for place in np.ndindex(item.point.shape):
        one = np.zeros(item.point.shape)
        one[place] = weights[0][place]
        column = backward_with(outputs, [one], leaves)[item.name]
        mine = 0.0 if column is None else float(np.asarray(column)[place])
        if abs(mine - item.analytic[place]) > 1e-8 * max(abs(mine), 1e-3):
            return False
    return True


def _passed(run: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """Return what a pass gives, or None where the mistake cannot be made in this graph."""
    try:
        with np.errstate(all="ignore"):
            return run()
    except Exception:  # noqa: BLE001 - shapes that do not fit: then nobody made this mistake
        return None


def _same(acted: Any, given: Any) -> bool:
    if acted is None or given is None:
        zero = acted if given is None else given
        return zero is None or not np.any(zero)
    acted, given = np.asarray(acted), np.asarray(given)
    if acted.shape != given.shape:
        return False
    scale = float(np.max(np.abs(given), initial=0.0))
    return bool(np.all(np.abs(acted - given) <= 1e-8 * scale + 1e-300))


# ---- the pattern of what is left ----------------------------------------------------------------


def _pattern(item: Evidence) -> str | None:
    """Describe where the wrong elements lie, if they lie together and others are right."""
    wrong = np.array([c.place for c in item.comparisons if c.verdict == "fail"])
    if not len(wrong) or len(wrong) == len(item.comparisons) or item.point.ndim == 0:
        return None
    if len(wrong) == 1:
        place = ", ".join(map(str, wrong[0]))
        return f"one element alone is wrong, [{place}]: look at a boundary or at an index there"
    for axis in range(item.point.ndim):
        if len(set(wrong[:, axis])) == 1 and item.point.shape[axis] > 1:
            word = {0: "row", 1: "column"}.get(axis, "slice") if item.point.ndim == 2 else "slice"
            return f"all wrong elements lie in {word} {wrong[0, axis]} (axis {axis})"
    return None


__all__ = ["Evidence", "explain"]
