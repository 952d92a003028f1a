"""The check itself: one subject in, one report out.

The order is that of `VERDICTS`: what makes a comparison meaningless is looked at before anything is
compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_course.checking.causes import Evidence, explain, pattern_left
from tinygrad_course.checking.differences import Comparison, precision
from tinygrad_course.checking.elements import (
    BLOCK,
    DIRECTIONS,
    SINGLE,
    Measured,
    budget,
    compared,
    rounding,
)
from tinygrad_course.checking.fitness import (
    drifted,
    raised,
    unfaithful,
    unfit_function,
    unfit_gradient,
    with_shape_causes,
)
from tinygrad_course.checking.randomness import Frozen
from tinygrad_course.checking.report import (
    VERDICTS,
    Finding,
    GradcheckReport,
    InputRow,
    norm_ratio,
)
from tinygrad_course.checking.subjects import Results, Subject, UnsuitableError

Progress = Callable[[int, int], None]

HEAT_SIDE = 64

REPAIRED = 256
"""Elements at which the repair of a wrong shape is compared."""


@dataclass(frozen=True)
class Options:
    """How a check is done."""

    max_elements: int = 10_000
    progress: Progress | None = None
    freeze: bool = False
    diagnose: bool = True


def stream(seed: int | None) -> np.random.Generator:
    """Return a generator of its own for a seed: inputs drawn with the same seed stay independent.

    An upstream gradient equal to the input hides faults and makes right gradients look odd.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x67726164,)))


def examine(subject: Subject, rng: np.random.Generator, options: Options) -> GradcheckReport:
    """Check the gradient of a subject at its point."""
    if options.freeze:
        subject = Frozen(subject)
    start = {name: point.copy() for name, point in subject.points.items()}
    try:
        centre, again = subject.values(), subject.values()
    except UnsuitableError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
        return raised("the function", error, start)
    early = unfit_function(subject, start, centre, again)
    if early is not None:
        return early
    try:
        weights = subject.upstream(rng, centre)
        lent = [w.copy() for w in weights]
        given = subject.gradient(lent)
    except UnsuitableError:
        raise
    except Exception as error:  # noqa: BLE001 - the same
        return raised("the gradient", error, start)
    check = _Check(subject, start, centre, weights, rng, options)
    early = unfit_gradient(subject, start, given, weights, lent)
    if early is not None:
        shape = early.verdict == "shape"
        return with_shape_causes(early, given, subject, check.agrees) if shape else early
    # A gradient that the subject hands out may change while the subject goes on.
    analytic = {k: None if g is None else np.array(g, dtype=float) for k, g in given.items()}
    with np.errstate(all="ignore"):
        return check.run(analytic)


class _Check:
    """The comparison of every input, and what is said about it."""

    def __init__(
        self,
        subject: Subject,
        start: dict[str, np.ndarray],
        centre: Results,
        weights: Results,
        rng: np.random.Generator,
        options: Options,
    ) -> None:
        self.subject, self.start, self.centre, self.weights = subject, start, centre, weights
        self.rng, self.options = rng, options
        self.eps = rounding(subject, centre, precision(centre))
        points = subject.points.items()
        self.counts = {n: budget(p.size, centre, options.max_elements) for n, p in points}
        self.total = sum(min(self.counts[n], p.size) for n, p in points)
        self.done = 0

    def _tick(self, count: int) -> None:
        self.done += count
        if self.options.progress is not None:
            self.options.progress(self.done, self.total)

    def _compared(self, name: str, gradient: np.ndarray) -> list[Comparison]:
        measured = Measured(self.subject, name, gradient, self.centre, self.weights, self.eps)
        return compared(measured, self.rng, self.counts[name], self._tick)

    def agrees(self, name: str, gradient: np.ndarray) -> bool:
        """Whether a repaired gradient passes at up to a few hundred elements."""
        gradient = np.array(gradient)
        measured = Measured(self.subject, name, gradient, self.centre, self.weights, self.eps)
        with np.errstate(all="ignore"):
            count = budget(gradient.size, self.centre, REPAIRED)
            found = compared(measured, self.rng, count, lambda _count: None)
        return all(c.verdict == "pass" for c in found)

    def run(self, analytic: dict[str, Any]) -> GradcheckReport:
        """Compare every input, look for causes, and report."""
        rows: list[InputRow] = []
        findings: list[Finding] = []
        notes: list[str] = []
        evidence: list[Evidence] = []
        for name, point in self.subject.points.items():
            given = analytic[name]
            gradient = np.zeros(point.shape) if given is None else given
            comparisons = self._compared(name, gradient)
            row = _row(name, gradient, comparisons)
            rows.append(row)
            findings += _findings(row, comparisons, missing=given is None)
            if given is not None and any(c.verdict == "fail" for c in comparisons):
                evidence.append(Evidence(name, point, gradient, comparisons))
            notes += self._how(name, point)
        idle = [row for row in rows if _idle(row)]
        notes += [f"the result does not depend on {row.name}, whose gradient is 0" for row in idle]
        findings = [*self._unsteady(rows, analytic), *findings]
        if evidence and self.options.diagnose:
            findings, said = _explained(findings, self.subject, evidence, self.weights, analytic)
            notes += said
        return _report(rows, findings, notes)

    def _how(self, name: str, point: np.ndarray) -> list[str]:
        """Return what is unusual in how an input was compared."""
        notes, count = [], self.counts[name]
        if self.eps > precision([point]):
            notes.append(
                f"the function computes in single precision: {name} is judged by its rounding"
            )
        if SINGLE < point.size <= count:
            notes.append(
                f"{name} ({point.size} elements): moved in blocks of {BLOCK}, and one by one where "
                f"a block disagreed"
            )
        if point.size > count:
            notes.append(
                f"{name} ({point.size} elements): {count} random elements and {DIRECTIONS} "
                f"random directions through all of them"
            )
        return notes

    def _unsteady(self, rows: list[InputRow], analytic: dict[str, Any]) -> list[Finding]:
        """Return what the function or the gradient remembers of earlier calls."""
        found = [drifted(self.subject, self.start, self.centre)]
        if found == [None] and all(row.verdict == "pass" for row in rows):
            found.append(unfaithful(self.subject, analytic, self.weights))
        return [finding for finding in found if finding is not None]


def _idle(row: InputRow) -> bool:
    return bool(row.checked) and row.verdict == "pass" and not any(row.norms[1:])


def _explained(
    findings: list[Finding],
    subject: Subject,
    evidence: list[Evidence],
    weights: Results,
    analytic: dict[str, Any],
) -> tuple[list[Finding], list[str]]:
    """Add the proved causes to the findings."""
    try:
        causes = explain(subject, evidence, weights, analytic)
    except Exception as error:  # noqa: BLE001 - the verdict stands without a cause
        return findings, [f"the search for a cause ended in {type(error).__name__}: {error}"]
    left = [pattern_left(item) for item in evidence if item.name not in causes]
    return [_with_cause(finding, causes) for finding in findings], [text for text in left if text]


def _with_cause(finding: Finding, causes: dict[str, str]) -> Finding:
    cause = causes.get(finding.input) if finding.kind in ("fail", "missing") else None
    if cause is None:
        return finding
    ignored = cause.startswith("the upstream gradient is ign")
    return replace(finding, cause=cause, kind="upstream ignored" if ignored else finding.kind)


# ---- rows and findings -------------------------------------------------------------------------


def _row(name: str, analytic: np.ndarray, comparisons: list[Comparison]) -> InputRow:
    """Sum up the comparisons of one input: norms, verdict and worst element."""
    shape = analytic.shape
    if not comparisons:
        return InputRow(name, shape, 0, 0.0, None, 0.0, 0.0, 0.0, "pass")
    finite = [c for c in comparisons if np.isfinite(c.estimate.value)] or comparisons
    given = np.array([c.analytic for c in finite])
    numeric = np.array([c.estimate.value for c in finite])
    norms = [float(np.linalg.norm(v)) for v in (numeric - given, given, numeric)]
    verdict = min((c.verdict for c in comparisons), key=VERDICTS.index)
    worst = _worst(comparisons, verdict)
    noise = 3 * float(np.linalg.norm([c.estimate.error for c in finite]))
    zero = verdict == "pass" and max(norms[1:]) <= noise  # a ratio of two noises says nothing
    return InputRow(
        name,
        shape,
        sum(c.elements for c in comparisons),
        0.0 if zero else norm_ratio(given, numeric),
        worst.place,
        worst.analytic,
        worst.estimate.value,
        worst.estimate.error,
        verdict,
        (norms[0], norms[1], norms[2]),
        _heat(shape, comparisons) if any(c.verdict == "fail" for c in comparisons) else (),
    )


def _worst(comparisons: list[Comparison], verdict: str) -> Comparison:
    return max(
        (c for c in comparisons if c.verdict == verdict),
        key=lambda c: np.nan_to_num(abs(c.analytic - c.estimate.value), nan=-1.0),
    )


def _heat(shape: tuple[int, ...], comparisons: list[Comparison]) -> tuple[tuple[float, ...], ...]:
    """Return |analytic − numeric| relative to the largest derivative as rows of a picture."""
    if not shape or max(np.prod(shape[:-1], dtype=int), shape[-1]) > HEAT_SIDE:
        return ()
    heat = np.full(shape, np.nan)
    scale = max(max(abs(c.analytic), abs(c.estimate.value)) for c in comparisons) or 1.0
    for c in comparisons:
        if c.place is not None:
            heat[c.place] = abs(c.analytic - c.estimate.value) / scale
    return tuple(tuple(float(v) for v in row) for row in heat.reshape(-1, shape[-1]))


def _findings(row: InputRow, comparisons: list[Comparison], *, missing: bool) -> list[Finding]:
    """Say in words what is wrong with an input, one finding for each kind of trouble."""
    kinds = {c.verdict for c in comparisons} - {"pass"}
    return [
        _finding(row, kind, [c for c in comparisons if c.verdict == kind], missing=missing)
        for kind in sorted(kinds, key=VERDICTS.index)
    ]


def _finding(row: InputRow, kind: str, these: list[Comparison], *, missing: bool) -> Finding:
    worst = _worst(these, kind)
    where = "along a random direction" if worst.place is None else f"at {list(worst.place)}"
    count = sum(c.elements for c in these)
    share = f"{count} of {row.checked} elements" if count else f"{len(these)} random directions"
    if missing and kind == "fail":
        kind, text = "missing", f"no gradient arrived, but the result depends on it {where}"
    elif kind == "kink":
        text = f"{share} lie at a kink or tie, such as {where}"
    elif kind == "inconclusive":
        text = f"the differences are too noisy to decide on {share}, worst {where}"
    else:
        text = f"{share} disagree, worst {where}"
    numeric, error = worst.estimate.value, worst.estimate.error
    values = f"analytic {worst.analytic:.8g}, numeric {numeric:.8g} ± {error:.0e}"
    message = f"{row.name}: {text}: {values}"
    return Finding(kind, row.name, message, worst.place, worst.analytic, numeric, error)


def added(report: GradcheckReport, name: str, comparisons: list[Comparison]) -> GradcheckReport:
    """Return a report with one more row, of comparisons that belong to no single input."""
    row = _row(name, np.zeros(()), comparisons)
    findings = [*report.findings, *_findings(row, comparisons, missing=False)]
    whole = _report([*report.rows, row], findings, report.notes)
    return replace(
        report,
        verdict=whole.verdict,
        rows=whole.rows,
        findings=whole.findings,
        difference=whole.difference,
    )


_COUNTS_AS = {
    "upstream ignored": "fail",
    "upstream kept": "mutation",
    "hidden state": "random",
    "error": "nonfinite",
}


def _report(
    rows: Sequence[InputRow], findings: Sequence[Finding], notes: Sequence[str]
) -> GradcheckReport:
    kinds = [_COUNTS_AS.get(f.kind, f.kind) for f in findings]
    kinds += [row.verdict for row in rows] + ["pass"]
    # hypot neither overflows nor underflows on the way.
    gap, size_a, size_n = np.hypot.reduce(
        np.array([row.norms for row in rows] or [(0.0, 0.0, 0.0)])
    )
    ratio = float(gap / (size_a + size_n)) if size_a + size_n else 0.0
    ordered = sorted(findings, key=lambda f: VERDICTS.index(_COUNTS_AS.get(f.kind, f.kind)))
    return GradcheckReport(
        min(kinds, key=VERDICTS.index), ratio, tuple(rows), tuple(ordered), (), tuple(notes)
    )


__all__ = ["Options", "Progress", "added", "examine", "stream"]
