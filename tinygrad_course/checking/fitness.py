"""What makes a comparison meaningless: it is looked at before anything is compared.

A value that is not finite, an exception, randomness, a hidden state, a changed input or upstream
gradient, a wrong shape or dtype. Each has a verdict and words of its own.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from tinygrad_course.checking.randomness import Frozen
from tinygrad_course.checking.report import Finding, GradcheckReport
from tinygrad_course.checking.subjects import Results, Subject
from tinygrad_course.errors import ShapeError

REPEATS = 4
"""How often a small function is evaluated once more at the point, to see whether it drifted."""

SMALL = 1e5
"""Elements of a function that is small in this sense."""


Agrees = Callable[[str, np.ndarray], bool]
"""Whether a repaired gradient of an input agrees with the measurement."""


def alone(
    verdict: str, kind: str, message: str, name: str = "function", cause: str | None = None
) -> GradcheckReport:
    """Return a report of one finding, where nothing could be compared."""
    finding = Finding(kind, name, message, cause=cause)
    return GradcheckReport(verdict, float("nan"), findings=(finding,))


def raised(what: str, error: Exception, start: dict[str, np.ndarray]) -> GradcheckReport:
    """Report an exception with the line of the user's code and the point at which it happened."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "tinygrad_course" not in f[0]]
    line = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    with np.printoptions(precision=4, threshold=6, edgeitems=2):
        point = ", ".join(f"{n} of shape {p.shape} = {p!s}" for n, p in start.items())
    said = f"{type(error).__name__}: {str(error)[:200]}{line}"
    message = f"{what} raised {said} at {' '.join(point.split())[:400]}"
    # The engine refuses a rule's gradient that no sum over broadcast axes brings into shape.
    if isinstance(error, ShapeError) and "derivative rule returned shape" in str(error):
        return alone("shape", "shape", message)
    return alone("nonfinite", "error", message)


def equal(first: Results, second: Results) -> bool:
    """Whether two evaluations gave the same bits."""
    return len(first) == len(second) and all(
        np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


# ---- the function ------------------------------------------------------------------------------


def unfit_function(
    subject: Subject, start: dict[str, np.ndarray], centre: Results, again: Results
) -> GradcheckReport | None:
    """Return what is wrong with the function itself, None if it can be compared."""
    for name, point in subject.points.items():
        if not np.all(np.isfinite(start[name])):
            return alone("nonfinite", "nonfinite", f"{name} itself is not finite", name)
        if not np.array_equal(point, start[name], equal_nan=True):
            return alone("mutation", "mutation", f"the function changed its {name} in place", name)
    if not all(np.all(np.isfinite(y)) for y in centre):
        return alone(
            "nonfinite", "nonfinite", "the function's value is not finite at this point", "value"
        )
    return None if equal(centre, again) else _told_random(subject)


def _told_random(subject: Subject) -> GradcheckReport:
    """Say whether a function that gives different results draws numbers, or remembers something."""
    frozen = Frozen(subject)
    try:
        draws = equal(frozen.values(), frozen.values())
    except Exception:  # noqa: BLE001 - it did not raise before, so it remembers something
        draws = False
    if draws:
        return alone(
            "random",
            "random",
            "two evaluations at the same point differ: switch off dropout (model.eval()), or pass "
            "freeze=True, which restarts every generator for each evaluation",
        )
    return alone(
        "random",
        "hidden state",
        "two evaluations at the same point differ, even when the generators of this library, of "
        "NumPy and of Python, and those that the function names, are restarted: it depends on a "
        "hidden state, such as a counter, a cache or running statistics, or on a generator that "
        "is out of reach",
    )


def drifted(subject: Subject, start: dict[str, np.ndarray], centre: Results) -> Finding | None:
    """Say if the point has changed, or the function gives something else there than before."""
    for name, point in subject.points.items():
        if not np.array_equal(point, start[name]):
            point[...] = start[name]
            said = f"the function changed its {name} in place at a point beside the given one"
            return Finding("mutation", name, said)
    work = sum(y.size for y in centre) + sum(p.size for p in subject.points.values())
    try:
        for _ in range(REPEATS if work < SMALL else 1):
            if not equal(centre, subject.values()):
                how = "changed during the check"
                break
        else:
            return None
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
        how = f"could not be computed again after the check ({type(error).__name__})"
    return Finding(
        "hidden state",
        "function",
        f"the function's value at the same point {how}: it depends on a hidden state, such as a "
        f"counter, a cache or running statistics, or draws random numbers now and then",
    )


# ---- the gradient ------------------------------------------------------------------------------


def unfit_gradient(
    subject: Subject,
    start: dict[str, np.ndarray],
    given: dict[str, Any],
    weights: Results,
    lent: Results,
) -> GradcheckReport | None:
    """Return what is wrong with the gradient before its values matter, None if nothing is."""
    for name, point in subject.points.items():
        if not np.array_equal(point, start[name], equal_nan=True):
            message = f"the gradient function changed {name} in place"
            return alone("mutation", "mutation", message, name)
    if not equal(weights, lent):
        return alone(
            "mutation",
            "mutation",
            "the gradient function changed the upstream gradient in place; other inputs and the "
            "caller still need it, so write to a copy",
            "upstream",
        )
    for name, gradient in given.items():
        try:
            np.asarray(gradient)
        except ValueError:
            message = f"the gradient of {name} is a list whose rows have different lengths"
            return alone("shape", "shape", message, name)
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
    return alone(
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
    return alone("shape", "shape", message, name)


def _mistyped(
    name: str, _point: np.ndarray, given: Any, subject: Subject
) -> GradcheckReport | None:
    dtype = np.asarray(given).dtype
    if dtype == np.float64 or (dtype.kind == "f" and not subject.hand_written):
        return None
    if dtype.kind in "biu" and np.asarray(given).ndim == 0 and not np.any(given):
        return None  # a literal 0
    return alone(
        "dtype",
        "dtype",
        f"the gradient of {name} has dtype {dtype}, the input float64: it was rounded, or is not "
        f"a real number",
        name,
    )


def unfaithful(subject: Subject, analytic: dict[str, Any], weights: Results) -> Finding | None:
    """Say if the gradient does not follow its upstream gradient when it is asked again.

    A gradient is linear in what comes from above, and twice is exact in floating point.
    """
    try:
        again = subject.gradient([2.0 * w for w in weights])
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
        how = f"raised {type(error).__name__}"
        return _remembers(f"the gradient {how} when it was asked a second time", "gradient")
    for name, first in analytic.items():
        if first is None or again[name] is None:
            continue
        second = np.asarray(again[name])
        if second.shape != first.shape:
            return _remembers(f"the gradient of {name} has another shape the second time", name)
        if _close(second, 2.0 * first):
            continue
        if np.array_equal(second, first):
            return Finding(
                "upstream kept",
                name,
                f"the gradient of {name} is the same for another upstream gradient: it keeps the "
                f"upstream gradient, or its result, of an earlier call",
            )
        return _remembers(
            f"the gradient of {name} for twice the upstream gradient is not twice what it was",
            name,
        )
    return None


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    if not np.all(np.isfinite(b)):  # twice a very large number
        return True
    scale = float(np.max(np.abs(b), initial=0.0))
    return bool(np.all(np.abs(a - b) <= 1e-6 * scale + np.finfo(float).tiny))


def _remembers(said: str, name: str) -> Finding:
    return Finding("hidden state", name, f"{said}: it depends on a hidden state, such as a cache")


# ---- wrong shapes ------------------------------------------------------------------------------


def with_shape_causes(
    report: GradcheckReport, given: dict[str, Any], subject: Subject, agrees: Agrees
) -> GradcheckReport:
    """Add to a report of a wrong shape the repairs that make the gradient right."""
    (finding,) = report.findings
    try:
        wrong = np.asarray(given[finding.input])
    except ValueError:  # rows of different lengths
        return report
    if wrong.dtype.kind not in "biuf":
        return report
    want = subject.points[finding.input].shape
    proved = [
        text
        for text, repaired in _reshaped(wrong.astype(float), want)
        if agrees(finding.input, repaired)
    ]
    if not proved:
        return report
    cause = " OR ".join(dict.fromkeys(proved))
    return replace(report, findings=(replace(finding, cause=cause),))


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


__all__ = [
    "alone",
    "drifted",
    "equal",
    "raised",
    "unfaithful",
    "unfit_function",
    "unfit_gradient",
    "with_shape_causes",
]
