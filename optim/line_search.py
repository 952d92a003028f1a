"""A step length that fulfils the strong Wolfe conditions, as PyTorch's L-BFGS searches it.

Along d from x, with f(t) the loss and s(t) the slope at x + t d, a length t is good when the loss
has fallen enough, f(t) ≤ f(0) + c₁ t s(0), and the slope has become flat, |s(t)| ≤ c₂ |s(0)|.
Source: Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6; Schmidt's minFunc.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

ENOUGH_FALL = 1e-4
FLAT = 0.9

Evaluate = Callable[[float], tuple[float, Any]]
"""Loss and gradient at a length."""


class Trial(NamedTuple):
    """A length that was tried: the loss, the gradient and the slope there."""

    t: float
    loss: float
    gradient: Any
    slope: float


def strong_wolfe(
    evaluate: Evaluate,
    t: float,
    direction: Any,
    start: tuple[float, Any, float],
    *,
    tolerance: float,
    most: int,
) -> tuple[float, Any, float]:
    """Return loss, gradient and length at a good length, or at the best of those tried.

    Args:
        evaluate: returns loss and gradient at a length.
        t: the length that is tried first.
        direction: d.
        start: loss, gradient and slope at length 0.
        tolerance: stop when the bracket, times the largest |d|, is as small.
        most: how often lengths may be tried beyond the first.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.optim.line_search import strong_wolfe
        >>> d = np.array([1.0])
        >>> def parabola(t):
        ...     return (t - 3) ** 2, 2 * (t - 3) * d
        >>> start = (9.0, -6 * d, -6.0)
        >>> strong_wolfe(parabola, 10.0, d, start, tolerance=1e-9, most=20)
        (0.0, array([0.]), 3.0)
    """

    def tried(length: float) -> Trial:
        loss, gradient = evaluate(length)
        return Trial(length, loss, gradient, float(gradient @ direction))

    origin = Trial(0.0, *start)
    bracket, used = _bracket(tried, t, origin, most)
    if len(bracket) == 2:
        reach = float(np.abs(direction).max())
        best = _zoom(tried, bracket, origin, lambda t: t * reach < tolerance, most - used)
    else:
        best = bracket[0]
    return best.loss, best.gradient, best.t


def _too_high(trial: Trial, origin: Trial) -> bool:
    return trial.loss > origin.loss + ENOUGH_FALL * trial.t * origin.slope


def _flat(trial: Trial, origin: Trial) -> bool:
    return abs(trial.slope) <= -FLAT * origin.slope


def _bracket(
    tried: Callable[[float], Trial], t: float, origin: Trial, most: int
) -> tuple[list[Trial], int]:
    """Go on until a length is good, or two lengths have one between them; count the trials."""
    previous, trial, used = origin, tried(t), 0
    while used < most:
        if _too_high(trial, origin) or (used > 1 and trial.loss >= previous.loss):
            return [previous, trial], used
        if _flat(trial, origin):
            return [trial], used
        if trial.slope >= 0:
            return [previous, trial], used
        nearest = trial.t + 0.01 * (trial.t - previous.t)
        t = _cubic_minimum(previous, trial, nearest, trial.t * 10)
        previous, trial, used = trial, tried(t), used + 1
    return [origin, trial], used


def _zoom(
    tried: Callable[[float], Trial],
    bracket: list[Trial],
    origin: Trial,
    narrow: Callable[[float], bool],
    most: int,
) -> Trial:
    """Shrink a bracket until a length in it is good; return the best."""
    pair = list(bracket)
    low = _lower(pair)
    stuck = False
    for _ in range(most):
        first, last = sorted((pair[0].t, pair[1].t))
        if narrow(last - first):
            break
        t = _cubic_minimum(pair[0], pair[1], first, last)
        t, stuck = _inside(t, first, last, stuck)
        trial = tried(t)
        if _too_high(trial, origin) or trial.loss >= pair[low].loss:
            pair[1 - low] = trial
            low = _lower(pair)
            continue
        if _flat(trial, origin):
            return trial
        if trial.slope * (pair[1 - low].t - pair[low].t) >= 0:
            pair[1 - low] = pair[low]
        pair[low] = trial
    return pair[low]


def _lower(pair: list[Trial]) -> int:
    return 0 if pair[0].loss <= pair[1].loss else 1


def _inside(t: float, first: float, last: float, stuck: bool) -> tuple[float, bool]:
    """Keep a length away from the ends of the bracket when it was near one already before."""
    margin = 0.1 * (last - first)
    if min(last - t, t - first) >= margin:
        return t, False
    if not (stuck or t >= last or t <= first):
        return t, True
    return (last - margin if abs(t - last) < abs(t - first) else first + margin), False


def _cubic_minimum(a: Trial, b: Trial, lowest: float, highest: float) -> float:
    """Return where the cubic through both trials is smallest, at least `lowest`, at most `highest`.

    Nocedal and Wright, equation 3.59.
    """
    if a.t > b.t:
        a, b = b, a
    chord = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = chord**2 - a.slope * b.slope
    if square < 0:
        return (lowest + highest) / 2
    root = math.sqrt(square)
    t = b.t - (b.t - a.t) * ((b.slope + root - chord) / (b.slope - a.slope + 2 * root))
    return min(max(t, lowest), highest)


__all__ = ["strong_wolfe"]
