"""Which step to trust: one derivative measured with several steps until it can be judged.

A step may have crossed a kink near the point, such as a hidden unit's zero: smaller steps follow.
Where rounding dominates, because the function is large beside its change, larger ones follow. Of
the tries the one with the smallest error of its own decides; a failure is measured once more before
anybody is accused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from tinygrad_course.checking.differences import (
    Comparison,
    Move,
    difference,
    judge,
    precision,
    undecided,
)

SMALLER = (32.0, 32.0**2, 32.0**3, 32.0**4, 4 * 32.0**4, 16 * 32.0**4)
"""How much smaller than the usual step others are: for kinks near the point and oscillations."""

LARGER = (32.0, 32.0**2, 32.0**3, 32.0**4, 32.0**5)
"""How much larger: for functions that are large beside their change."""

CONFIRMING = 0.37
"""A step that shares no period with the others."""

SLIGHT = 1e-8
"""Relative rounding up to which the usual step alone is enough."""

Attempt = Callable[[float], Comparison]
Tries = dict[float, Comparison]
"""Comparisons by how many times the usual step they took."""


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

    `hurried` stops at two steps that agree on a fault.
    """
    eps = precision(centre) if eps is None else eps
    # A coarse function needs a step that stands out of its rounding.
    usual = 1.0 if eps < 1e-10 else 32.0

    def attempt(factor: float) -> Comparison:
        estimate = difference(move, centre, weights, reach * factor, eps, reach)
        verdict = judge(analytic, estimate, scale, eps, zeros=factor >= usual)
        return Comparison(place, analytic, estimate, verdict, int(place is not None))

    tries = {usual: attempt(usual)}
    first = tries[usual]
    if first.verdict == "pass" and first.estimate.floor > SLIGHT * abs(first.estimate.value):
        tries[usual * 32] = attempt(usual * 32)
    _smaller_steps(tries, attempt, usual, hurried=hurried)
    _larger_steps(tries, attempt, usual)
    passed = _passed(tries)
    if passed:
        return min(passed, key=lambda comparison: comparison.estimate.error)
    return _failed(tries, attempt)


def _smaller_steps(tries: Tries, attempt: Attempt, usual: float, *, hurried: bool) -> None:
    for shrunk, steps in pairwise((1.0, *SMALLER)):
        if _passed(tries) or (hurried and shrunk > 1 and _agreed(tries)):
            return
        tries[usual / steps] = attempt(usual / steps)


def _larger_steps(tries: Tries, attempt: Attempt, usual: float) -> None:
    for larger in (usual * k for k in LARGER):
        if _passed(tries) or all(c.verdict != "inconclusive" for c in tries.values()):
            return
        found = _from_afar(attempt, larger)
        if not found.estimate.error < min(c.estimate.error for c in _finite(tries)):
            return  # no longer rounding, but the function's own curve
        tries[larger] = found


def _failed(tries: Tries, attempt: Attempt) -> Comparison:
    """Return the fault or kink that the tries agree on, or that nothing is known."""
    tries = {
        k: c._replace(verdict="inconclusive") if _contradicted(k, tries) else c
        for k, c in tries.items()
    }
    agreeing = [tries[k] for k in tries if k / 32 in tries and _both_fail(tries[k], tries[k / 32])]
    if agreeing:
        return min(agreeing, key=lambda c: c.estimate.error)
    finite = {k: c for k, c in tries.items() if c in _finite(tries)}
    best = min(finite, key=lambda k: finite[k].estimate.error)
    found = tries[best]
    if found.verdict == "inconclusive":
        return found
    below = [k for k in tries if k < best]
    smaller = tries[max(below)] if below else None
    if found.verdict == "fail" and smaller is not None and _sure(found, smaller):
        return found._replace(verdict="inconclusive")  # or the two would agree
    return _confirmed(found, attempt(best * CONFIRMING))


def _from_afar(attempt: Attempt, factor: float) -> Comparison:
    """Compare by a large step, which can prove a derivative right, and no kink at the point."""
    try:
        found = attempt(factor)
    except Exception:  # noqa: BLE001 - far away the function may not be defined
        return undecided(None, np.nan)
    return found._replace(verdict="inconclusive") if found.verdict == "kink" else found


def _contradicted(step: float, tries: Tries) -> bool:
    """Whether a smaller step, nearer to the point, sees the given derivative instead of a fault."""
    fault = tries[step]
    return fault.verdict == "fail" and any(
        k < step and _sure(fault, c) and abs(c.estimate.value - c.analytic) <= 3 * c.estimate.error
        for k, c in tries.items()
    )


def _finite(tries: Tries) -> list[Comparison]:
    """Return the measurements that are numbers, or all if none is."""
    return [c for c in tries.values() if np.isfinite(c.estimate.error)] or list(tries.values())


def _agreed(tries: Tries) -> list[Comparison]:
    """Return the failures that the next smaller step confirms."""
    ordered = [tries[k] for k in sorted(tries, reverse=True)]
    return [one for one, two in pairwise(ordered) if _both_fail(one, two)]


def _passed(tries: Tries) -> list[Comparison]:
    """Return the agreements that no other step contradicts.

    One with the jump of a kink that another step saw is none, nor one too coarse to see what a
    finer measurement saw.
    """
    jumps = [c.estimate.jump for c in tries.values() if c.verdict == "kink"]
    smooth = 0.5 * max(jumps, default=np.inf)
    faults = [c for c in tries.values() if c.verdict == "fail"]
    return [
        c
        for c in tries.values()
        if c.verdict == "pass"
        and not c.estimate.jump > smooth
        and all(c.estimate.error <= f.estimate.error or _sure(f, c) for f in faults)
    ]


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
    """Whether two measurements tell the same: closer to each other than to what they accuse."""
    a, b = one.estimate, two.estimate
    gap = min(abs(c.estimate.value - c.analytic) for c in (one, two))
    slack = min(1e-3 * max(abs(a.value), abs(b.value)), 0.3 * gap)
    return abs(a.value - b.value) <= 3 * (a.error + b.error) + slack


def _both_fail(one: Comparison, two: Comparison) -> bool:
    """Whether two steps measure the same fault."""
    return one.verdict == two.verdict == "fail" and _sure(one, two) and _agree(one, two)


__all__ = ["settle"]
