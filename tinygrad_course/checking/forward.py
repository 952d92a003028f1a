"""The forward mode: is the derivative along a direction what differences say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_course.checking.differences import Comparison, precision
from tinygrad_course.checking.elements import DIRECTIONS, rounding
from tinygrad_course.checking.report import GradcheckReport
from tinygrad_course.checking.settling import settle
from tinygrad_course.checking.subjects import Results, TensorFunction, real_outputs
from tinygrad_course.checking.verdicts import Options, added
from tinygrad_course.transforms import jvp


def pushed_forward(
    report: GradcheckReport,
    f: Callable[..., Any],
    given: list[Any],
    rng: np.random.Generator,
    options: Options,  # noqa: ARG001 - directions cost the same whatever the options
) -> GradcheckReport:
    """Add to a report the check of Jacobian-vector products along random directions."""
    subject = TensorFunction(f, given)
    places, centre = subject.places, subject.values()
    eps = rounding(subject, centre, precision(centre))

    def of_points(*points: Any) -> Any:
        tensors = list(subject.inputs)
        for i, point in zip(places, points, strict=True):
            tensors[i] = point
        return tuple(real_outputs(f(*tensors)))

    comparisons = []
    for _ in range(DIRECTIONS):
        directions = [_direction(subject.inputs[i], rng) for i in places]
        points = tuple(subject.inputs[i].copy() for i in places)
        with np.errstate(all="ignore"):
            _, tangents = jvp(of_points, points, tuple(directions))
            comparisons.append(_along(subject, directions, tangents, centre, rng, eps))
    return added(report, "jvp", comparisons)


def _direction(point: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a direction in which each element moves relative to its size."""
    rms = float(np.sqrt(np.mean(point**2))) if point.size else 0.0
    reach = np.maximum(np.abs(point), 0.1 * rms) if rms else np.ones(point.shape)
    return np.asarray(rng.standard_normal(point.shape) * reach)


def _along(
    subject: TensorFunction,
    directions: list[np.ndarray],
    tangents: Any,
    centre: Results,
    rng: np.random.Generator,
    eps: float,
) -> Comparison:
    """Compare a weighted sum of the tangent's elements with the differences."""
    weights = [np.asarray(rng.standard_normal(y.shape)) for y in centre]
    products = [w * np.asarray(t) for w, t in zip(weights, tangents, strict=True)]
    points = [subject.inputs[i] for i in subject.places]
    originals = [point.copy() for point in points]

    def move(t: float) -> Results:
        try:
            for point, original, direction in zip(points, originals, directions, strict=True):
                np.add(original, t * direction, out=point)
            return subject.values()
        finally:
            for point, original in zip(points, originals, strict=True):
                point[...] = original

    size = float(np.sqrt(sum(np.sum(p**2) for p in products)))
    slope = float(sum(np.sum(p) for p in products))
    return settle(move, centre, weights, 1.0, None, slope, size, eps)


__all__ = ["pushed_forward"]
