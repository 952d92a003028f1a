"""The numeric side: two-sided differences that know their own error.

Along one direction the function is evaluated at three steps; extrapolation removes the error of
order h², the disagreement of two extrapolated values estimates what is left, and the rounding of
the results gives a floor. The results themselves are subtracted, not their weighted sums: what does
not change then contributes no rounding at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

TOLERANCE = 1e-6
"""Relative difference of a derivative that is still put down to rounding."""

STEP = 1e-3
"""First step relative to an element's scale."""


class Estimate(NamedTuple):
    """A numeric derivative, its error, and whether the function has a kink there."""

    value: float
    error: float
    floor: float
    """What rounding alone contributes to the error."""
    kink: bool
    jump: float = 0.0
    """How much the slope differs between the two sides."""


class Comparison(NamedTuple):
    """Analytic and numeric derivative by one element, or (place None) along one direction."""

    place: tuple[int, ...] | None
    analytic: float
    estimate: Estimate
    verdict: str


Move = Callable[[float], Sequence[np.ndarray]]
"""``move(t)`` returns the function's results at the point moved by t, and moves it back."""


def precision(results: Sequence[np.ndarray]) -> float:
    """Return the relative rounding of the coarsest of some results."""
    kinds = [y.dtype for y in results if y.dtype.kind in "fc"]
    return float(max((np.finfo(kind).eps for kind in kinds), default=np.finfo(float).eps))


def difference(
    move: Move,
    centre: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    scale: float,
    eps: float | None = None,
    extent: float = 0.0,
) -> Estimate:
    """Differentiate the weighted sum of the results along one direction.

    `extent` is the size of what moves: its own rounding makes small steps inexact.
    """
    steps = [scale * STEP / 2**k for k in range(3)]
    slopes, bends, rounding = [], [], 0.0
    eps = precision(centre) if eps is None else eps
    for h in steps:
        above, below = move(h), move(-h)
        slope = bend = noise = 0.0
        for w, up, mid, down in zip(weights, above, centre, below, strict=True):
            change = np.subtract(up, down, dtype=float)
            slope += float(np.sum(w * change))
            bend += float(np.sum(w * (np.add(up, down, dtype=float) - 2.0 * mid)))
            # Rounding of results that stayed the same cancels, but one of them may hide a change
            # that is too small to be seen.
            sizes = np.abs(w) * np.maximum(np.abs(up), np.abs(down))
            noise += float(np.sum(sizes * (change != 0)) + np.max(sizes, initial=0.0))
        slopes.append(slope / (2 * h))
        bends.append(bend / h)
        rounding = max(rounding, noise)
    first, second = ((4 * slopes[k + 1] - slopes[k]) / 3 for k in range(2))
    inexact = float(np.finfo(float).eps) * extent / steps[-1]
    floor = 8 * eps * rounding / steps[-1] + inexact * abs(second)
    error = abs(second - first) + floor
    # The second difference divided by h halves with h where f is smooth, and stays at a kink.
    jump = abs(bends[-1])
    kink = jump > 1e3 * floor and jump > 0.8 * abs(bends[0]) and jump > 1e-4 * abs(second)
    return Estimate(float(second), float(error), float(floor), bool(kink), float(jump))


def judge(
    analytic: float, estimate: Estimate, scale: float, eps: float, *, zeros: bool = True
) -> str:
    """Return the verdict on one derivative; `scale` is the size of the whole gradient.

    `zeros` says whether a derivative that drowns in rounding may count as 0: with a step made
    small on purpose every derivative drowns.
    """
    if not np.isfinite(estimate.value + estimate.error):
        return "inconclusive"
    if estimate.kink:
        return "kink"
    loose = max(1.0, (eps / np.finfo(float).eps) ** 0.25)  # float32: 1e-4
    tolerance = TOLERANCE * loose * max(abs(analytic), abs(estimate.value), 1e-3 * scale)
    gap = abs(analytic - estimate.value)
    error = 3 * estimate.error
    # Where the error is neither small nor rounding, the step is longer than what happens in it.
    known = error < 0.01 * abs(estimate.value) or error <= 30 * estimate.floor
    if gap > tolerance + error:
        return "fail" if known else "inconclusive"
    # Two zeros up to rounding agree, however small the tolerance has become.
    zero = zeros and max(abs(analytic), abs(estimate.value)) <= error <= 30 * estimate.floor
    # An error of 3e-5 still tells a fault of 1e-4.
    return "pass" if gap <= tolerance or error <= 30 * tolerance or zero else "inconclusive"


def settle(
    move: Move,
    centre: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    reach: float,
    place: tuple[int, ...] | None,
    analytic: float,
    scale: float,
    eps: float | None = None,
    *,
    hurried: bool = False,
) -> Comparison:
    """Compare one derivative; where rounding or a kink spoils that, look again with other steps.

    A step may have crossed a kink near the point, such as a hidden unit's zero: smaller steps
    follow. Where rounding dominates, because the function is large beside its change, a larger
    step follows. Of the tries the one with the smallest error of its own decides; a failure is
    measured once more before anybody is accused. `hurried` stops at two steps that agree.
    """
    eps = precision(centre) if eps is None else eps
    # A coarse function needs a step that stands out of its rounding.
    usual = 1.0 if eps < 1e-10 else 32.0

    def attempt(factor: float) -> Comparison:
        estimate = difference(move, centre, weights, reach * factor, eps, reach)
        verdict = judge(analytic, estimate, scale, eps, zeros=factor >= usual)
        return Comparison(place, analytic, estimate, verdict)

    tries = {usual: attempt(usual)}
    first = tries[usual]
    if first.verdict == "pass" and first.estimate.floor > 1e-8 * abs(first.estimate.value):
        tries[usual * 32] = attempt(usual * 32)
    for shrunk, steps in pairwise((1.0, *SMALLER)):
        if _passed(tries) or (hurried and shrunk > 1 and _agreed(tries)):
            break
        tries[usual / steps] = attempt(usual / steps)
    for larger in (usual * 32, usual * 1024):
        if not _passed(tries) and any(c.verdict == "inconclusive" for c in tries.values()):
            tries[larger] = attempt(larger)
    passed = _passed(tries)
    if passed:
        return min(passed, key=lambda comparison: comparison.estimate.error)
    agreeing = [tries[k] for k in tries if k / 32 in tries and _both_fail(tries[k], tries[k / 32])]
    finite = {k: c for k, c in tries.items() if np.isfinite(c.estimate.error)} or tries
    best = min(finite, key=lambda k: finite[k].estimate.error)
    found = min(agreeing, key=lambda c: c.estimate.error) if agreeing else tries[best]
    if agreeing or found.verdict == "inconclusive":
        return found
    below = [k for k in tries if k < best]
    smaller = tries[max(below)] if below else None
    if found.verdict == "fail" and smaller is not None and _sure(found, smaller):
        return found._replace(verdict="inconclusive")  # or the two would agree
    return _confirmed(found, attempt(best * CONFIRMING))


SMALLER = (32.0, 32.0**2, 32.0**3, 32.0**4, 4 * 32.0**4, 16 * 32.0**4)
"""How much smaller than the usual step others are: for kinks near the point and oscillations."""

CONFIRMING = 0.37
"""A step that shares no period with the others."""


def _agreed(tries: dict[float, Comparison]) -> list[Comparison]:
    """Return the failures that the next smaller step confirms."""
    ordered = [tries[k] for k in sorted(tries, reverse=True)]
    return [one for one, two in pairwise(ordered) if _both_fail(one, two)]


def _passed(tries: dict[float, Comparison]) -> list[Comparison]:
    return [comparison for comparison in tries.values() if comparison.verdict == "pass"]


def _confirmed(found: Comparison, again: Comparison) -> Comparison:
    """Return a failure or kink if a second measurement agrees with it, else that nothing is known.

    A function that oscillates within a step has differences that seem precise and mean nothing.
    """
    if again.verdict == "pass":
        return again
    if found.verdict == "kink":
        sides = sorted((found.estimate.jump, again.estimate.jump))
        same = again.verdict == "kink" and sides[0] > 0.8 * sides[1]
        return found if same else found._replace(verdict="inconclusive")
    sure = _sure(found, again) and _agree(found, again)
    return found if sure else found._replace(verdict="inconclusive")


def _sure(found: Comparison, again: Comparison) -> bool:
    """Whether a second measurement could contradict a fault."""
    return 6 * again.estimate.error < abs(found.estimate.value - found.analytic)


def _agree(one: Comparison, two: Comparison) -> bool:
    a, b = one.estimate, two.estimate
    slack = 1e-3 * max(abs(a.value), abs(b.value))
    return abs(a.value - b.value) <= 3 * (a.error + b.error) + slack


def _both_fail(one: Comparison, two: Comparison) -> bool:
    """Whether two steps measure the same fault."""
    return one.verdict == two.verdict == "fail" and _sure(one, two) and _agree(one, two)


def complex_step(
    function: Callable[..., Any], inputs: Sequence[Any], position: int, direction: np.ndarray
) -> list[np.ndarray] | None:
    """Return the results' derivatives along a direction by a step i·1e-20, or None.

    Exact to rounding for analytic functions that take complex numbers; others raise, or lose the
    imaginary part, so the caller compares with a two-sided difference before trusting it.
    """
    moved = list(inputs)
    moved[position] = inputs[position] + 1e-20j * direction
    try:
        with np.errstate(all="ignore"):
            results = function(*moved)
    except Exception:  # noqa: BLE001 - any failure says: not a function of complex numbers
        return None
    parts = list(results) if isinstance(results, tuple | list) else [results]
    if not all(isinstance(y, np.ndarray | np.generic) and y.dtype.kind == "c" for y in parts):
        return None
    return [np.imag(y) / 1e-20 for y in parts]


__all__ = [
    "STEP",
    "TOLERANCE",
    "Comparison",
    "Estimate",
    "complex_step",
    "difference",
    "judge",
    "precision",
    "settle",
]
