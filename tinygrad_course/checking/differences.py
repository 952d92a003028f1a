"""The numeric side: two-sided differences that know their own error.

Along one direction the function is evaluated at three steps; extrapolation removes the error of
order h², the disagreement of two extrapolated values estimates what is left, and the rounding of
the results gives a floor. The results themselves are subtracted, not their weighted sums: what does
not change then contributes no rounding at all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

TOLERANCE = 1e-6
"""Relative difference of a derivative that is still put down to rounding."""

UNDERFLOW = 1e-60
"""A smaller derivative cannot be seen in a result that stands still."""

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
    elements: int = 1
    """How many elements it is about; 0 for a direction through all of them."""


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
    # The second difference divided by h halves with h where f is smooth, and stays at a kink;
    # extrapolation leaves what stays.
    before, jump = (abs(2 * bends[k + 1] - bends[k]) for k in range(2))
    stays = abs(jump - before) < 0.2 * jump
    kink = stays and jump > 1e3 * floor and jump > 1e-4 * abs(second)
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
    size = max(abs(analytic), abs(estimate.value))
    tolerance = TOLERANCE * loose * size
    gap = abs(analytic - estimate.value)
    error = 3 * estimate.error
    if estimate.value == error == 0 and 0 < abs(analytic) < UNDERFLOW:
        return "inconclusive"  # such a change may be lost on its way to the result
    # Where the error is neither small nor rounding, the step is longer than what happens in it.
    known = error < 0.01 * abs(estimate.value) or error <= 30 * estimate.floor
    if gap > tolerance + error:
        return "fail" if known else "inconclusive"
    # Two zeros up to rounding agree, however small the tolerance has become.
    zero = zeros and size <= error <= 30 * estimate.floor
    # An error of 3e-5 still tells a fault of 1e-4; a very small derivative may be known less well.
    fine = 30 * TOLERANCE * loose * max(size, 1e-3 * scale)
    return "pass" if gap <= tolerance or error <= fine or zero else "inconclusive"


def undecided(place: tuple[int, ...] | None, analytic: float) -> Comparison:
    """Return the comparison with a derivative that could not be measured."""
    nothing = Estimate(np.nan, np.nan, np.nan, kink=False)
    return Comparison(place, analytic, nothing, "inconclusive", int(place is not None))


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
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an imaginary part that is dropped
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
    "undecided",
]
