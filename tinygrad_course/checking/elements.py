"""Comparing the gradient of one input, element by element, in bounded time.

A small input is compared element by element. Of a larger one, blocks of elements are moved at once;
a block whose difference agrees far more sharply than the smallest fault worth finding is settled,
and the elements of any other block are compared one by one. Of a very large one a random choice of
elements is compared, and all of them together along random directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_course.checking.differences import (
    Comparison,
    Estimate,
    difference,
    judge,
    undecided,
)
from tinygrad_course.checking.settling import settle
from tinygrad_course.checking.subjects import Results, Subject

WORK = 4e8
"""Elements that all evaluations together may compute for one input, so that time stays bounded."""

DIRECTIONS = 3
"""Random directions through all elements of an input that is sampled."""

SINGLE = 128
"""Up to this size every element has differences of its own."""

BLOCK = 32

SHARP = 1e-5
"""Fault of one element, relative to its derivative, that a block's difference must tell."""

COARSE = 1e-5
"""Relative error of a measurement that would hide a fault of one small element."""

ENOUGH = 300
"""After so many wrong elements further ones say nothing new."""

LOOKS = 1e8
"""Elements that may be computed to look at the elements of blocks that disagree."""

SHOWN = 8
"""So many wrong elements at least are shown, however long each takes."""

HURRIED = 20_000
"""Inputs of more elements are accused after two measurements that agree."""

Tick = Callable[[int], None]


class Measured(NamedTuple):
    """One input at its point, and all that its comparisons have in common."""

    subject: Subject
    name: str
    gradient: np.ndarray
    centre: Results
    weights: Results
    eps: float

    @property
    def point(self) -> np.ndarray:
        """The array that the subject reads."""
        return self.subject.points[self.name]

    def spread(self) -> float:
        """Return the root mean square of the elements."""
        flat = self.point.reshape(-1)
        with np.errstate(over="ignore"):
            rms = float(np.sqrt(np.mean(flat**2))) if flat.size else 0.0
        return rms if np.isfinite(rms) else float(np.max(np.abs(flat)))


def budget(size: int, centre: Results, wanted: int) -> int:
    """Return how many elements of an input may be checked one by one."""
    work = max(size, sum(y.size for y in centre), 1) * 7
    blocks = BLOCK if WORK // work > SINGLE else 1
    return int(min(wanted, max(WORK * blocks // work, 4)))


def compared(m: Measured, rng: np.random.Generator, count: int, tick: Tick) -> list[Comparison]:
    """Compare `count` elements of an input, and all of them at once if these are not all."""
    flat = m.point.reshape(-1)
    sampled = flat.size > count
    chosen = rng.choice(flat.size, count, replace=False) if sampled else np.arange(flat.size)
    rms = m.spread()
    # A floor, because an element at 0 must move too.
    reach = np.maximum(np.abs(flat[chosen]), 0.1 * rms)
    reach[reach == 0] = 1.0
    reaches = dict(zip(chosen, reach, strict=True))
    whole = _directions(m, rng, rms) if sampled else []
    if len(chosen) <= SINGLE:
        enough = SHOWN if any(c.verdict == "fail" for c in whole) else ENOUGH
        return _one_by_one(m, np.sort(chosen), reaches, tick, enough) + whole
    return _in_blocks(m, rng, chosen, reaches, tick) + whole


def _directions(m: Measured, rng: np.random.Generator, rms: float) -> list[Comparison]:
    """Compare along random directions; one that is wrong says all."""
    found: list[Comparison] = []
    while len(found) < DIRECTIONS and not any(c.verdict == "fail" for c in found):
        found.append(_whole(m, rng, rms))
    return found


def _one_by_one(
    m: Measured, chosen: Any, reach: dict[Any, float], tick: Tick, enough: int
) -> list[Comparison]:
    """Compare single elements, until enough of them are wrong."""
    found: list[Comparison] = []
    wrong = 0
    for i in chosen:
        found.append(_element(m, int(i), float(reach[i])))
        wrong += found[-1].verdict != "pass"
        tick(1)
        if wrong >= enough:
            break
    return found


def _element(m: Measured, i: int, reach: float) -> Comparison:
    flat, original = m.point.reshape(-1), m.point.reshape(-1)[i]

    def move(t: float) -> Results:
        flat[i] = original + t
        try:
            return m.subject.values()
        finally:
            flat[i] = original

    place = tuple(int(k) for k in np.unravel_index(i, m.point.shape))
    size = float(np.max(np.abs(m.gradient), initial=0.0))
    given = float(m.gradient.reshape(-1)[i])
    found = _settled(m, move, reach, place, given, size)
    own = abs(float(original))
    coarse = found.estimate.error > COARSE * max(abs(given), abs(found.estimate.value))
    if 0 < own < reach / 8 and (found.verdict != "pass" or coarse):  # smaller than its neighbours
        again = _settled(m, move, own, place, given, size)
        better = again.estimate.error < found.estimate.error
        if again.verdict == "pass" or found.verdict == "inconclusive" or (coarse and better):
            found = again
    return _exactly(m, found, size) if found.verdict == "inconclusive" else found


def _settled(
    m: Measured,
    move: Any,
    reach: float,
    place: tuple[int, ...] | None,
    analytic: float,
    size: float,
) -> Comparison:
    """Compare one derivative; a function that fails at a moved point leaves it undecided."""
    hurried = m.point.size > HURRIED
    try:
        return settle(
            move, m.centre, m.weights, reach, place, analytic, size, m.eps, hurried=hurried
        )
    except Exception:  # noqa: BLE001 - a function may be defined at the point and not beside it
        return undecided(place, analytic)


def _exactly(m: Measured, found: Comparison, size: float) -> Comparison:
    """Decide by a complex step, if the function takes one and the differences do not contradict."""
    direction = np.zeros(m.point.shape)
    direction[found.place] = 1.0
    slopes = m.subject.complex_step(m.name, direction)
    if slopes is None:
        return found
    value = float(sum(np.sum(w * d) for w, d in zip(m.weights, slopes, strict=True)))
    rough = found.estimate
    if not abs(value - rough.value) <= 10 * rough.error:  # not analytic: the step means nothing
        return found
    eps = float(np.finfo(float).eps)
    estimate = Estimate(value, 16 * eps * abs(value), 16 * eps * abs(value), kink=False)
    return Comparison(
        found.place, found.analytic, estimate, judge(found.analytic, estimate, size, eps)
    )


def _in_blocks(
    m: Measured, rng: np.random.Generator, chosen: Any, reach: dict[Any, float], tick: Tick
) -> list[Comparison]:
    """Compare blocks of elements, and the elements of every block that does not agree sharply."""
    found: list[Comparison] = []
    work = max(m.point.size, sum(y.size for y in m.centre), 1)
    enough = int(np.clip(LOOKS / (30 * work), SHOWN, ENOUGH))
    # A block is as sharp as its smallest derivative, so that equally large ones stand together.
    chosen = rng.permutation(chosen)
    chosen = chosen[np.argsort(np.abs(m.gradient.reshape(-1)[chosen]), kind="stable")]
    for start in range(0, len(chosen), BLOCK):
        block = chosen[start : start + BLOCK]
        # At random, so that faults of several elements do not cancel.
        moves = rng.uniform(0.5, 1.0, len(block)) * rng.choice([-1.0, 1.0], len(block))
        together = _block(m, block, np.array([reach[i] for i in block]) * moves)
        if together is not None:
            found.append(together)
            tick(len(block))
            continue
        found += _one_by_one(m, block, reach, tick, enough)
        enough -= sum(c.verdict != "pass" for c in found[-len(block) :] if c.place is not None)
        if enough <= 0:
            break
    return found


def _block(m: Measured, block: Any, reach: np.ndarray) -> Comparison | None:
    """Return the comparison of a block, or None if it does not prove each of its elements."""
    flat = m.point.reshape(-1)
    original = flat[block]

    def move(t: float) -> Results:
        flat[block] = original + t * reach
        try:
            return m.subject.values()
        finally:
            flat[block] = original

    gradient = m.gradient.reshape(-1)[block]
    analytic = float(gradient @ reach)
    try:
        estimate = difference(move, m.centre, m.weights, 1.0, m.eps)
    except Exception:  # noqa: BLE001 - one of them leaves the function's domain
        return None
    smallest = float(np.min(np.abs(gradient * reach)))
    gap = abs(analytic - estimate.value)
    sharp = gap + 3 * estimate.error <= SHARP * smallest or gap == estimate.error == 0
    if estimate.kink or not np.isfinite(estimate.value) or not sharp:
        return None
    # Per unit of length, so that the numbers are comparable with those of single elements.
    length = float(np.linalg.norm(reach))
    value, error, floor = (part / length for part in estimate[:3])
    unit = Estimate(value, error, floor, kink=False)
    return Comparison(None, analytic / length, unit, "pass", len(block))


def _whole(m: Measured, rng: np.random.Generator, rms: float) -> Comparison:
    """Compare all elements at once along a random direction, so that none goes untested."""
    flat, grad = m.point.reshape(-1), m.gradient.reshape(-1)
    direction = rng.standard_normal(flat.size)
    direction /= float(np.linalg.norm(direction)) or 1.0
    original = flat.copy()

    def move(t: float) -> Results:
        np.multiply(direction, t, out=flat)
        flat.__iadd__(original)
        try:
            return m.subject.values()
        finally:
            flat[:] = original

    # A typical derivative along a random direction is the norm divided by the root of the size.
    scale = float(np.linalg.norm(grad)) / max(np.sqrt(flat.size), 1.0)
    reach = (rms or 1.0) * float(np.sqrt(flat.size)) * 0.1
    return _settled(m, move, reach, None, float(grad @ direction), scale)


def rounding(subject: Subject, centre: Results, eps: float) -> float:
    """Return the relative rounding of a function, which may compute in less than it returns.

    A result that stays exactly the same when all inputs move by 1e-10, although it changes enough
    when they move by 1e-3, was rounded to single precision on its way.
    """
    if eps > 1e-10:
        return eps
    near, far = (_moved(subject, relative) for relative in (1e-10, 1e-3))
    if near is None or far is None:
        return eps
    double = float(np.finfo(float).eps)
    seen = stuck = 0
    for y, n, f in zip(centre, near, far, strict=True):
        change = np.abs(np.subtract(f, y, dtype=float))
        visible = (1e-7 * change > 64 * double * np.abs(y)) & (y != 0)
        seen += int(np.sum(visible))
        stuck += int(np.sum(visible & (n == y)))
    return float(np.finfo(np.float32).eps) if seen and stuck > 0.9 * seen else eps


def _moved(subject: Subject, relative: float) -> Results | None:
    """Return the results at a point where every element has moved a little differently."""
    originals = {name: point.copy() for name, point in subject.points.items()}
    try:
        for (name, point), sign in zip(subject.points.items(), _signs(), strict=False):
            # Irregular, so that no product of elements stands still.
            uneven = 0.75 + 0.25 * np.cos(np.arange(1, point.size + 1) ** 1.7)
            point[...] = originals[name] * (1 + sign * relative * uneven.reshape(point.shape))
        with np.errstate(all="ignore"):
            return subject.values()
    except Exception:  # noqa: BLE001 - the function is not defined there: nothing is known
        return None
    finally:
        for name, original in originals.items():
            subject.points[name][...] = original


def _signs() -> Iterator[float]:
    """Yield what keeps a product of two inputs from standing still."""
    while True:
        yield 1.0
        yield 0.7


__all__ = ["BLOCK", "DIRECTIONS", "SINGLE", "Measured", "budget", "compared", "rounding"]
