"""The check itself: one subject in, one report out.

The order is that of `VERDICTS`: what makes a comparison meaningless is looked at before anything is
compared.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np

from tinygrad_course.checking.causes import Evidence, explain
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
from tinygrad_course.checking.report import (
    VERDICTS,
    Finding,
    GradcheckReport,
    InputRow,
    norm_ratio,
)
from tinygrad_course.checking.subjects import Frozen, Results, Subject, UnsuitableError

Progress = Callable[[int, int], None]

HEAT_SIDE = 64


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
        return _raised("the function", error, start)
    early = _unfit_function(subject, start, centre, again)
    if early is not None:
        return early
    try:
        weights = subject.upstream(rng, centre)
        lent = [w.copy() for w in weights]
        given = subject.gradient(lent)
    except UnsuitableError:
        raise
    except Exception as error:  # noqa: BLE001 - the same
        return _raised("the gradient", error, start)
    early = _unfit_gradient(subject, start, given, weights, lent)
    if early is not None:
        if early.verdict == "shape":
            early = _shape_causes(early, given, _Check(subject, centre, weights, rng))
        return early
    # A gradient that the subject hands out may change while the subject goes on.
    analytic = {k: None if g is None else np.array(g, dtype=float) for k, g in given.items()}
    return _compare_all(subject, analytic, centre, weights, rng, options)


def _raised(what: str, error: Exception, start: dict[str, np.ndarray]) -> GradcheckReport:
    """Report an exception with the line of the user's code and the point at which it happened."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "tinygrad_course" not in f[0]]
    line = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    with np.printoptions(precision=4, threshold=6, edgeitems=2):
        point = ", ".join(f"{n} of shape {p.shape} = {p!s}" for n, p in start.items())
    said = f"{type(error).__name__}: {str(error)[:200]}{line}"
    return _alone("nonfinite", "error", f"{what} raised {said} at {' '.join(point.split())[:400]}")


def _alone(
    verdict: str, kind: str, message: str, name: str = "function", cause: str | None = None
) -> GradcheckReport:
    finding = Finding(kind, name, message, cause=cause)
    return GradcheckReport(verdict, float("nan"), findings=(finding,))


# ---- what makes a comparison meaningless -------------------------------------------------------


def _unfit_function(
    subject: Subject, start: dict[str, np.ndarray], centre: Results, again: Results
) -> GradcheckReport | None:
    for name, point in subject.points.items():
        if not np.all(np.isfinite(start[name])):
            return _alone("nonfinite", "nonfinite", f"{name} itself is not finite", name)
        if not np.array_equal(point, start[name], equal_nan=True):
            return _alone("mutation", "mutation", f"the function changed its {name} in place", name)
    if not all(np.all(np.isfinite(y)) for y in centre):
        return _alone(
            "nonfinite", "nonfinite", "the function's value is not finite at this point", "value"
        )
    return None if _equal(centre, again) else _told_random(subject)


def _told_random(subject: Subject) -> GradcheckReport:
    """Say whether a function that gives different results draws numbers, or remembers something."""
    frozen = Frozen(subject)
    if _equal(frozen.values(), frozen.values()):
        return _alone(
            "random",
            "random",
            "two evaluations at the same point differ: switch off dropout (model.eval()), or pass "
            "freeze=True, which restarts every generator for each evaluation",
        )
    return _alone(
        "random",
        "hidden state",
        "two evaluations at the same point differ, even when the generators of this library, of "
        "NumPy and of Python, and those that the function names, are restarted: it depends on a "
        "hidden state, such as a counter, a cache or running statistics, or on a generator that "
        "is out of reach",
    )


def _equal(first: Results, second: Results) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


def _unfit_gradient(
    subject: Subject,
    start: dict[str, np.ndarray],
    given: dict[str, Any],
    weights: Results,
    lent: Results,
) -> GradcheckReport | None:
    for name, point in subject.points.items():
        if not np.array_equal(point, start[name], equal_nan=True):
            message = f"the gradient function changed {name} in place"
            return _alone("mutation", "mutation", message, name)
    if not _equal(weights, lent):
        return _alone(
            "mutation",
            "mutation",
            "the gradient function changed the upstream gradient in place; other inputs and the "
            "caller still need it, so write to a copy",
            "upstream",
        )
    for check in (_nonfinite, _misshapen, _mistyped):
        for name, point in subject.points.items():
            if given[name] is not None:
                report = check(name, point, given[name], subject)
                if report is not None:
                    return report
    return None


def _nonfinite(name: str, _point: np.ndarray, given: Any, _s: Subject) -> GradcheckReport | None:
    array = np.asarray(given)
    if array.dtype.kind not in "fc" or np.all(np.isfinite(array)):
        return None
    place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    return _alone(
        "nonfinite",
        "nonfinite",
        f"the gradient of {name} is not finite at this point: {array[place]} at {list(place)}",
        name,
    )


def _misshapen(name: str, point: np.ndarray, given: Any, _s: Subject) -> GradcheckReport | None:
    shape = np.shape(given)
    if shape == point.shape:
        return None
    message = f"the gradient of {name} has shape {shape}, the input {point.shape}"
    return _alone("shape", "shape", message, name)


def _reshaped(given: np.ndarray, want: tuple[int, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield repairs of a gradient that has the wrong shape."""
    shape = given.shape
    for axes in permutations(range(len(shape))) if 2 <= len(shape) <= 4 else ():
        turned = np.transpose(given, axes)
        if turned.shape == want:
            yield "the gradient is transposed", turned
    spread = _unsummed(shape, want)
    if spread:
        text = (
            f"the input was broadcast along axis {', '.join(map(str, spread))}, and its gradient "
            f"must be summed over that"
        )
        yield text, given.sum(axis=tuple(spread), keepdims=True).reshape(want)
    if given.size == int(np.prod(want)):
        yield "the gradient has the right elements and needs a reshape", given.reshape(want)
    try:
        whole = np.broadcast_to(given, want)
    except ValueError:
        return
    yield "the gradient is the same for all elements and must be broadcast to the input", whole


def _unsummed(have: tuple[int, ...], want: tuple[int, ...]) -> list[int] | None:
    """Return the axes over which a gradient was not summed, or None if that is not it."""
    extra = len(have) - len(want)
    if extra < 0:
        return None
    aligned = (1,) * extra + want
    if not all(w in (1, h) for h, w in zip(have, aligned, strict=True)):
        return None
    return [i for i, (h, w) in enumerate(zip(have, aligned, strict=True)) if i < extra or h != w]


def _shape_causes(report: GradcheckReport, given: dict[str, Any], check: Any) -> GradcheckReport:
    """Add to a report of a wrong shape the repairs that make the gradient right."""
    (finding,) = report.findings
    wrong = np.asarray(given[finding.input])
    if wrong.dtype.kind not in "biuf":
        return report
    want = check.subject.points[finding.input].shape
    proved = [
        text
        for text, repaired in _reshaped(wrong.astype(float), want)
        if check.agrees(finding.input, repaired)
    ]
    if not proved:
        return report
    cause = " OR ".join(dict.fromkeys(proved))
    return replace(report, findings=(replace(finding, cause=cause),))


@dataclass
class _Check:
    """Whether a repaired gradient passes."""

    subject: Subject
    centre: Results
    weights: Results
    rng: np.random.Generator

    def agrees(self, name: str, gradient: np.ndarray) -> bool:
        """Compare up to a few hundred elements."""
        gradient = np.array(gradient)
        eps = rounding(self.subject, self.centre, precision(self.centre))
        measured = Measured(self.subject, name, gradient, self.centre, self.weights, eps)
        with np.errstate(all="ignore"):
            count = budget(gradient.size, self.centre, 256)
            found = compared(measured, self.rng, count, lambda _count: None)
        return all(c.verdict == "pass" for c in found)


def _mistyped(
    name: str, _point: np.ndarray, given: Any, subject: Subject
) -> GradcheckReport | None:
    dtype = np.asarray(given).dtype
    if dtype == np.float64 or (dtype.kind == "f" and not subject.hand_written):
        return None
    if dtype.kind in "biu" and np.asarray(given).ndim == 0 and not np.any(given):
        return None  # a literal 0
    return _alone(
        "dtype",
        "dtype",
        f"the gradient of {name} has dtype {dtype}, the input float64: it was rounded, or is not "
        f"a real number",
        name,
    )


# ---- the comparison ----------------------------------------------------------------------


def _compare_all(
    subject: Subject,
    analytic: dict[str, Any],
    centre: Results,
    weights: Results,
    rng: np.random.Generator,
    options: Options,
) -> GradcheckReport:
    counts = {n: budget(p.size, centre, options.max_elements) for n, p in subject.points.items()}
    eps = rounding(subject, centre, precision(centre))
    total, done = sum(min(counts[n], p.size) for n, p in subject.points.items()), 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        if options.progress is not None:
            options.progress(done, total)

    rows, findings, notes, evidence = [], [], [], []
    for name, point in subject.points.items():
        given = analytic[name]
        gradient = np.zeros(point.shape) if given is None else given
        with np.errstate(all="ignore"):
            measured = Measured(subject, name, gradient, centre, weights, eps)
            comparisons = compared(measured, rng, counts[name], tick)
        row = _row(name, gradient, comparisons)
        rows.append(row)
        findings += _findings(row, comparisons, missing=given is None)
        if row.verdict == "fail" and given is not None:
            evidence.append(Evidence(name, point, gradient, comparisons))
        if eps > precision([point]):
            notes.append(
                f"the function computes in single precision: {name} is judged by its rounding"
            )
        if SINGLE < point.size <= counts[name]:
            notes.append(
                f"{name} ({point.size} elements): moved in blocks of {BLOCK}, and one by one where "
                f"a block disagreed"
            )
        if point.size > counts[name]:
            notes.append(
                f"{name} ({point.size} elements): {counts[name]} random elements and {DIRECTIONS} "
                f"random directions through all of them"
            )
    idle = [row for row in rows if row.checked and row.verdict == "pass" and not any(row.norms[1:])]
    notes += [f"the result does not depend on {row.name}, whose gradient is 0" for row in idle]
    if not _equal(centre, subject.values()):
        findings.insert(
            0,
            Finding(
                "hidden state",
                "function",
                "the function's value at the same point changed during the check: it depends on "
                "a hidden state, such as a counter, a cache or running statistics",
            ),
        )
    if evidence and options.diagnose:
        causes = explain(subject, evidence, weights, analytic)
        findings = [_with_cause(finding, causes) for finding in findings]
    return _report(rows, findings, notes)


def _with_cause(finding: Finding, causes: dict[str, str]) -> Finding:
    cause = causes.get(finding.input) if finding.kind in ("fail", "missing") else None
    if cause is None:
        return finding
    kind = "upstream ignored" if cause.startswith("the upstream gradient is ign") else finding.kind
    return Finding(**{**finding.__dict__, "cause": cause, "kind": kind})


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
    worst = max(
        (c for c in comparisons if c.verdict == verdict),
        key=lambda c: np.nan_to_num(abs(c.analytic - c.estimate.value), nan=-1.0),
    )
    noise = 3 * float(np.linalg.norm([c.estimate.error for c in finite]))
    zero = verdict == "pass" and max(norms[1:]) <= noise  # a ratio of two noises says nothing
    return InputRow(
        name,
        shape,
        len(comparisons),
        0.0 if zero else norm_ratio(given, numeric),
        worst.place,
        worst.analytic,
        worst.estimate.value,
        worst.estimate.error,
        verdict,
        (norms[0], norms[1], norms[2]),
        _heat(shape, comparisons) if verdict == "fail" else (),
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
    """Say in words what is wrong with an input."""
    if row.verdict == "pass":
        return []
    count = sum(c.verdict == row.verdict for c in comparisons)
    where = "along a random direction" if row.index is None else f"at {list(row.index)}"
    share = f"{count} of {row.checked} elements"
    values = f"analytic {row.analytic:.8g}, numeric {row.numeric:.8g} ± {row.error:.0e}"
    kind = row.verdict
    if missing and kind == "fail":
        kind, text = "missing", f"no gradient arrived, but the result depends on it {where}"
    elif kind == "kink":
        text = f"{share} lie at a kink or tie, such as {where}"
    elif kind == "inconclusive":
        text = f"the differences are too noisy to decide on {share}, worst {where}"
    else:
        text = f"{share} disagree, worst {where}"
    message = f"{row.name}: {text}: {values}"
    return [Finding(kind, row.name, message, row.index, row.analytic, row.numeric, row.error)]


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


_COUNTS_AS = {"upstream ignored": "fail", "hidden state": "random", "error": "nonfinite"}


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
