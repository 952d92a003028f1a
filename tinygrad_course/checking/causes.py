"""Why a gradient is wrong, in words, and only if it is proved.

A cause is a repair: the gradient with the repair applied must agree with the measured one. Repairs
that cannot be told apart at these values are named together. Where none fits, the pattern of the
wrong elements is described instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, permutations
from typing import Any

import numpy as np

from tinygrad_course.checking.differences import TOLERANCE, Comparison
from tinygrad_course.checking.mistakes import mistakes
from tinygrad_course.checking.settling import settle
from tinygrad_course.checking.subjects import Results, Subject
from tinygrad_course.checking.tape import Tape, backward_with, taped

MOST_DIAGONAL = 200
"""Up to how many elements the diagonal of a Jacobian is computed; each is a backward pass."""

MOST_PASSES = 1000
"""How many mistakes are acted out at most; each is a backward pass."""

MOST_WORK = 2e8
"""How many elements all these passes may compute."""

MOST_NUMBERS = 10_000
"""Larger constant arrays are not searched for a number that they repeat."""


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

    def at(self, array: Any) -> np.ndarray:
        """Return an array's values at the checked elements, as a vector."""
        values: np.ndarray = np.asarray(array)[self.places].reshape(-1)
        return values

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
        tolerance = TOLERANCE * np.abs(numeric) + 3 * errors
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
    constants = list(_constants(subject, tape))
    found = {
        item.name: list(_repairs(subject, item, tape, weights, constants)) for item in evidence
    }
    if tape is not None:
        acted = _acted_out(tape, outputs, leaves, weights, analytic, evidence)
        everywhere = [t for t, names in acted.items() if len(names) == len(evidence)]
        for item in evidence:
            # A mistake that explains all wrong inputs is likelier than one for each.
            mine = everywhere or [t for t, names in acted.items() if item.name in names]
            found[item.name] += mine
            if not mine and _diagonal_only(item, outputs, leaves, weights):
                found[item.name].append(
                    "the coupling between the elements is left out: this is the diagonal of the "
                    "Jacobian alone, as if each result depended on its own element only"
                )
    causes = {}
    for item in evidence:
        texts = _distinct(found[item.name])
        text = _joined(texts) if texts else _pattern(item)
        if text:
            causes[item.name] = text
    return causes


def pattern_left(item: Evidence) -> str | None:
    """Describe in numbers a fault that no known mistake explains, None if too little is known."""
    numeric = item.numeric
    wrong = np.array([c.verdict == "fail" for c in item.comparisons], dtype=bool) & (numeric != 0)
    if not np.any(wrong):
        return None
    ratio = item.at(item.analytic)[wrong] / numeric[wrong]
    return (
        f"{item.name}: no known mistake gives these numbers; where they are wrong, analytic / "
        f"numeric is {np.median(ratio):.3g} in the middle, between {np.min(ratio):.3g} and "
        f"{np.max(ratio):.3g}"
    )


SHOWN = 6
"""Alternatives that are spelled out."""


def _joined(texts: Sequence[str]) -> str:
    more = len(texts) - SHOWN
    return " OR ".join(texts[:SHOWN]) + (
        f" OR {more} more that cannot be told apart here" if more > 0 else ""
    )


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
    subject: Subject,
    item: Evidence,
    tape: Tape | None,
    weights: Results,
    constants: Sequence[tuple[float, str]],
) -> Iterator[str]:
    """Yield the repairs of one input's gradient that agree with the measurement."""
    if not item.comparisons or item.analytic.shape != item.point.shape:
        return
    a = item.at(item.analytic)
    if item.agrees(a):
        return  # too little is wrong for a repair to show
    if subject.hand_written:
        yield from _upstream(subject, item, weights)
    yield from _factors(item, a, [*_USUAL, *_lengths(subject, tape, weights), *constants])
    yield from _reordered(item, a)
    # The factor of a penalty is that of the cost, not that of the cost times a random upstream.
    whole = weights[0].item() if len(weights) == 1 and weights[0].size == 1 else 1.0
    yield from _penalties(item, a, whole or 1.0)


_USUAL = [
    (2.0, "a 2 too many, such as that of a square whose cost has 1/2"),
    (0.5, "a 1/2 too many, or the 2 of a square is missing"),
]


def _factors(item: Evidence, a: np.ndarray, sizes: Sequence[tuple[float, str]]) -> Iterator[str]:
    numeric = item.numeric
    with np.errstate(all="ignore"):
        top = float(np.max(np.abs(a), initial=0.0))
        scaled = a / top if top else a  # squares of very small or large numbers leave the range
        repair = float(scaled @ (numeric / top)) / float(scaled @ scaled) if top else 0.0
    if not np.isfinite(repair) or repair == 0 or not item.agrees(repair * a):
        return
    if abs(repair - 1) < 1e-9:
        return
    factor = 1 / repair
    if np.isclose(factor, -1, rtol=1e-6):
        yield "the sign is wrong"
        return
    origins = _distinct(
        [text for value, text in sizes if np.isclose(abs(factor), value, rtol=2e-6)]
    )
    if np.sum(numeric != 0) < 2 and not origins:
        return  # of one number everything is a multiple
    sign = "the sign is wrong and " if factor < 0 else ""
    text = f"{sign}the gradient is {abs(factor):.6g} times the right one"
    yield text + (f": {' or '.join(origins[:SHOWN])}" if origins else "")


def _lengths(subject: Subject, tape: Tape | None, weights: Results) -> Iterator[tuple[float, str]]:
    """Yield the counts that people lose or gain, each with its likely origin."""
    lengths: dict[int, str] = {}
    for name, point in subject.points.items():
        for axis, n in enumerate(point.shape):
            lengths.setdefault(n, f"the length {n} of axis {axis} of {name}")
        lengths.setdefault(point.size, f"the number {point.size} of elements of {name}")
    for w in weights:
        for axis, n in enumerate(np.shape(w)):
            lengths.setdefault(n, f"the length {n} of axis {axis} of the result")
        lengths.setdefault(np.size(w), f"the number {np.size(w)} of elements of the result")
    arrays = [(x, "of an input") for x in getattr(subject, "inputs", ())]
    for step in tape.steps if tape else []:
        arrays += [(x, f"in {step.name} at {step.line}") for x in (*step.inputs, step.result)]
    for x, where in arrays:
        for n in (*np.shape(x), np.size(x)) if isinstance(x, np.ndarray) else ():
            lengths.setdefault(n, f"the length {n} of an axis {where}")
    for n, origin in lengths.items():
        if n > 1:
            yield float(n), f"{origin}, the batch size m or the N of a mean: its 1/{n} is missing"
            yield 1 / n, f"{origin}, the batch size m or the N of a mean: a 1/{n} too many"


def _constants(subject: Subject, tape: Tape | None) -> Iterator[tuple[float, str]]:
    """Yield the numbers of the function, such as a keep probability or a λ, and their inverses."""
    seen = set()
    for value, origin in (*_named_numbers(subject), *_recorded_numbers(tape)):
        size = abs(value)
        if size in (0.0, 1.0) or not np.isfinite(size) or (size, origin) in seen:
            continue
        seen.add((size, origin))
        yield size, f"the constant {value:g} ({origin}) counts once too often"
        yield 1 / size, f"the constant {value:g} ({origin}) is missing"


def _named_numbers(subject: Subject) -> Iterator[tuple[float, str]]:
    """Yield the numbers that the function reads under a name."""
    for name, point in subject.points.items():
        if point.ndim == 0:
            yield float(point), name
    try:
        known = inspect.getclosurevars(getattr(subject, "f", None))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # not written in Python
        return
    for name, value in {**known.globals, **known.nonlocals}.items():
        if isinstance(value, float | int | np.floating) and not isinstance(value, bool):
            yield float(value), name


def _recorded_numbers(tape: Tape | None) -> Iterator[tuple[float, str]]:
    for step in tape.steps if tape else []:
        where = f"{step.name} at {step.line}"
        for x, parent in zip(step.inputs, step.node.parents, strict=True):
            if x is None or parent is not None:
                continue
            values = np.unique(np.asarray(x)) if np.size(x) < MOST_NUMBERS else np.zeros(0)
            if values.dtype.kind not in "biuf":
                continue
            different = values[values != 0]
            if different.size == 1:  # a number, or a mask that is already divided by keep_prob
                yield float(different[0]), where
        for name, value in step.params.items():
            if isinstance(value, float):
                yield value, f"{name} of {where}"


def _reordered(item: Evidence, a: np.ndarray) -> Iterator[str]:
    """Yield the repairs that put the elements elsewhere."""
    shape = item.analytic.shape
    for axes in permutations(range(len(shape))) if 2 <= len(shape) <= 4 else ():
        turned = np.transpose(item.analytic, axes)
        if axes == tuple(range(len(shape))) or turned.shape != shape:
            continue
        values = item.at(turned)
        if not np.array_equal(values, a) and item.agrees(values):
            yield "the gradient is transposed" + (f": axes {axes}" if len(shape) > 2 else "")
    if len(shape) == 2:
        filled = item.analytic.reshape(shape, order="C").ravel().reshape(shape, order="F")
        values = item.at(filled)
        if not np.array_equal(values, a) and item.agrees(values):
            yield "the gradient was reshaped where it should be transposed"
    for axis, n in enumerate(shape):
        values = item.at(np.flip(item.analytic, axis))
        if n > 1 and not np.array_equal(values, a) and item.agrees(values):
            yield f"the gradient runs backwards along axis {axis}"


def _penalties(item: Evidence, a: np.ndarray, whole: float) -> Iterator[str]:
    """Yield the repairs by a term that a penalty on the weights would give."""
    point = item.at(item.point)
    missing = item.numeric - a
    signs = np.sign(point)
    for direction, word in ((point, "w"), (signs, "sgn(w)")):
        size = float(direction @ direction)
        if not size or direction.size < 3 or len(set(signs[signs != 0])) < 2:
            continue  # too little to recognise a pattern
        factor = float(direction @ missing) / size
        if not factor or not item.agrees(a + factor * direction):
            continue
        factor /= whole
        # If the right gradient is itself such a term, a wrong factor explains it as well.
        kind = "is missing" if factor > 0 else "counts twice, or too much"
        yield f"a regularization term {kind}: the difference is {abs(factor):.6g} times {word}"


def _upstream(subject: Subject, item: Evidence, weights: Results) -> Iterator[str]:
    """Yield the repair for a gradient that does not change with its upstream gradient."""
    rng = np.random.default_rng(0)
    others = [rng.standard_normal(w.shape) for w in weights]
    try:
        again = np.asarray(subject.gradient(others)[item.name])
        same = np.array_equal(again, item.analytic) and bool(np.any(again))
        if same and _right_for_ones(subject, item, rng):
            yield "the upstream gradient is ignored: multiply by it (chain rule)"
    except Exception:  # noqa: BLE001 - the gradient worked once; nothing is said if it fails now
        return


def _right_for_ones(subject: Subject, item: Evidence, rng: np.random.Generator) -> bool:
    """Whether a gradient is right where the upstream gradient is 1, along a random direction."""
    point, original = subject.points[item.name], item.point.copy()
    rms = float(np.sqrt(np.mean(original**2))) or 1.0
    direction = rng.standard_normal(point.shape) * np.maximum(np.abs(original), 0.1 * rms)

    def move(t: float) -> Results:
        np.add(original, t * direction, out=point)
        try:
            return subject.values()
        finally:
            point[...] = original

    centre = subject.values()
    slope = float(np.sum(item.analytic * direction))
    scale = float(np.linalg.norm(item.analytic * direction))
    ones = subject.ones(centre)
    return settle(move, centre, ones, 1.0, None, slope, scale).verdict == "pass"


# ---- mistakes acted out on the graph ------------------------------------------------------------


def _acted_out(
    tape: Tape,
    outputs: list[Any],
    leaves: dict[str, Any],
    weights: Results,
    analytic: dict[str, Any],
    evidence: Sequence[Evidence],
) -> dict[str, list[str]]:
    """Return the mistakes that give exactly the wrong gradients, with the inputs they explain."""
    right = _passed(partial(backward_with, outputs, weights, leaves))
    if right is None:
        return {}
    # The graph must be the function that was measured.
    wrong = [
        item.name
        for item in evidence
        if right[item.name] is not None and item.agrees(item.at(right[item.name]))
    ]
    if len(wrong) < len(evidence):
        return {}
    work = sum(np.size(step.result) for step in tape.steps) + sum(w.size for w in weights)
    most = min(MOST_PASSES, int(MOST_WORK / max(work, 1)))
    proved = {}
    for mistake in islice(mistakes(tape.steps), most):
        given = _passed(partial(backward_with, outputs, weights, leaves, mistake.change))
        if given is None:
            continue
        names = [
            name
            for name in wrong
            if _same(given[name], analytic[name]) and not _same(given[name], right[name])
        ]
        if names:
            proved[mistake.text] = names
    return proved


def _diagonal_only(
    item: Evidence, outputs: list[Any], leaves: dict[str, Any], weights: Results
) -> bool:
    """Whether the gradient is the upstream gradient times the Jacobian's diagonal."""
    right = (_passed(partial(backward_with, outputs, weights, leaves)) or {}).get(item.name)
    if right is None or not item.agrees(item.at(right)):
        return False
    if len(outputs) != 1 or outputs[0].shape != item.point.shape or item.point.size > MOST_DIAGONAL:
        return False
    diagonal = np.zeros(item.point.shape)
    for place in np.ndindex(item.point.shape):
        one = np.zeros(item.point.shape)
        one[place] = weights[0][place]
        column = backward_with(outputs, [one], leaves)[item.name]
        diagonal[place] = 0.0 if column is None else float(np.asarray(column)[place])
    return _same(diagonal, item.analytic) and not _same(diagonal, right)


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
    slack = 1e-8 * np.maximum(np.abs(given), 1e-6 * scale)
    return bool(np.all(np.abs(acted - given) <= slack + 1e-300))


# ---- the pattern of what is left ----------------------------------------------------------------


def _pattern(item: Evidence) -> str | None:
    """Describe where the wrong elements lie, if they lie together and others are right."""
    wrong = np.array([c.place for c in item.comparisons if c.verdict == "fail"])
    if not len(wrong) or len(wrong) == len(item.comparisons) or item.point.ndim == 0:
        return None
    shape = item.point.shape
    if len(wrong) == 1:
        place = ", ".join(map(str, wrong[0]))
        ends = all(k in (0, n - 1) for k, n in zip(wrong[0], shape, strict=True))
        corner = "a corner" if ends and len(shape) > 1 else "look at a boundary or an index there"
        return f"one element alone is wrong, [{place}]: {corner}"
    for axis in range(item.point.ndim):
        if len(set(wrong[:, axis])) == 1 and shape[axis] > 1:
            word = {0: "row", 1: "column"}.get(axis, "slice") if len(shape) == 2 else "slice"
            return f"all wrong elements lie in {word} {wrong[0, axis]} (axis {axis})"
    low, high = wrong.min(axis=0), wrong.max(axis=0) + 1
    if np.prod(high - low) <= item.point.size / 2:
        block = ", ".join(f"{i}:{j}" for i, j in zip(low, high, strict=True))
        ends = all(i == 0 or j == n for i, j, n in zip(low, high, shape, strict=True))
        return f"all wrong elements lie in the block [{block}]" + ", a corner" * bool(ends)
    return None


__all__ = ["Evidence", "explain", "pattern_left"]
