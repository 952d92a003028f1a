"""A second opinion on a gradient: the Taylor remainder, and the error against the step size.

Along a direction u the remainder |f(x + hu) - f(x) - h ∇f·u| shrinks like h² if the gradient is
right and like h if it is wrong, whatever the function and its scale; no tolerance is involved.
The error of a one-sided or two-sided difference against the step h is the V of the notes (lesson
12): falling with slope 1 or 2 until rounding takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_course.checking.by_hand import HandWritten
from tinygrad_course.checking.subjects import (
    Subject,
    TensorFunction,
    checked_inputs,
)
from tinygrad_course.checking.verdicts import stream
from tinygrad_course.errors import ArgumentError

STEPS = tuple(float(2.0**-k) for k in range(1, 34))


@dataclass(frozen=True)
class Curve:
    """Errors at decreasing steps, and the slope of their straight part in the double logarithm."""

    name: str
    steps: tuple[float, ...]
    errors: tuple[float, ...]
    slope: float
    expected: float


@dataclass(frozen=True, repr=False)
class CurveReport:
    """Curves of error against step size, as text and as a picture. Truthy if the slopes are right.

    Attributes:
        curves: one or more curves.
        title: what is drawn.
    """

    title: str
    curves: tuple[Curve, ...]

    def __bool__(self) -> bool:
        return all(abs(curve.slope - curve.expected) < 0.25 for curve in self.curves)

    def __repr__(self) -> str:
        slopes = ", ".join(f"{c.name}: slope {c.slope:.2f}" for c in self.curves)
        return f"<{self.title}: {slopes}>"

    def __str__(self) -> str:
        lines = [self.title]
        for c in self.curves:
            good = "as it should be" if abs(c.slope - c.expected) < 0.25 else "WRONG"
            lines.append(f"  {c.name}: slope {c.slope:.2f}, expected {c.expected:.0f}: {good}")
            lines += [
                f"    h {h:.1e}  error {e:.1e}  {_bar(e, max(c.errors))}"
                for h, e in zip(c.steps[::3], c.errors[::3], strict=True)
            ]
        return "\n".join(lines)

    def figure(self) -> Any:
        """Return a matplotlib figure with both axes logarithmic.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and optional

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot(xlabel="step h", ylabel="error", title=self.title)
        for c in self.curves:
            axes.loglog(
                c.steps,
                c.errors,
                "o-",
                markersize=3,
                label=f"{c.name}: {c.slope:.2f}, right: {c.expected:.0f}",
            )
        axes.legend(title="slope")
        axes.grid(visible=True, alpha=0.3)
        return figure

    def save(self, path: Any) -> None:
        """Write the picture to a file; the ending says the format."""
        self.figure().savefig(path)


def _bar(value: float, largest: float) -> str:
    if not value or not largest:
        return ""
    return "#" * max(1, round(40 * (1 + float(np.log10(value / largest)) / 20)))


def taylor_test(
    f: Callable[..., Any],
    *inputs: Any,
    gradient: Callable[..., Any] | None = None,
    seed: int | None = None,
) -> CurveReport:
    """Test a gradient by its Taylor remainder: slope 2 if it is right, 1 if it is wrong.

    Args:
        f: takes Tensors, or arrays if `gradient` is given.
        *inputs: floating ones are moved along a random direction.
        gradient: a gradient by hand, with the signature of `gradcheck_pair`'s.
        seed: of the direction and of the upstream gradient.

    Returns:
        A report that is truthy if the slope is 2; for a function that is linear, or so flat that
        only rounding is left, the remainder vanishes and the slope is given as 2.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> bool(tc.taylor_test(lambda x: tc.sin(x), np.array([0.3, 1.2]), seed=0))
        True
        >>> def wrong(x, upstream):
        ...     return upstream * np.sin(x)
        >>> report = tc.taylor_test(np.sin, np.array([0.3, 1.2]), gradient=wrong, seed=0)
        >>> round(report.curves[0].slope)
        1
    """
    subject, given, weights, directions = _along(f, inputs, gradient, seed)
    start = _moved(subject, directions, 0.0)
    slope = sum(
        float(np.sum(np.asarray(given[n]) * d))
        for n, d in directions.items()
        if given[n] is not None
    )

    def remainder(h: float) -> tuple[float, float]:
        rest = rounding = 0.0
        for w, y, z in zip(weights, _moved(subject, directions, h), start, strict=True):
            rest += float(np.sum(w * (y - z)))
            rounding += float(np.sum(np.abs(w) * (np.abs(y) + np.abs(z)) * (y != z)))
        return abs(rest - h * slope), 4 * np.finfo(float).eps * rounding

    curve = _curve("remainder", remainder, expected=2.0)
    return CurveReport("Taylor remainder |f(x+hu) - f(x) - h g·u|", (curve,))


def step_size_study(f: Callable[..., Any], *inputs: Any, seed: int | None = None) -> CurveReport:
    """Measure the error of one-sided and two-sided differences against the step size.

    The exact slope is the engine's. The curves fall with slope 1 and 2, and rise again where
    rounding takes over: the V of the notes, whose floor lies near h = 1e-8 and h = 1e-5.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> study = tc.step_size_study(lambda x: tc.exp(x), np.array([0.5]), seed=0)
        >>> [round(curve.slope) for curve in study.curves]
        [1, 2]
    """
    subject, given, weights, directions = _along(f, inputs, None, seed)
    slope = sum(
        float(np.sum(np.asarray(given[n]) * d))
        for n, d in directions.items()
        if given[n] is not None
    )
    start = _moved(subject, directions, 0.0)

    def total(values: Sequence[np.ndarray]) -> float:
        return sum(float(np.sum(w * y)) for w, y in zip(weights, values, strict=True))

    size = sum(float(np.sum(np.abs(w * y))) for w, y in zip(weights, start, strict=True))
    eps = float(np.finfo(float).eps)

    def one_sided(h: float) -> tuple[float, float]:
        found = (total(_moved(subject, directions, h)) - total(start)) / h
        return abs(found - slope), 8 * eps * size / h

    def two_sided(h: float) -> tuple[float, float]:
        above, below = (total(_moved(subject, directions, t)) for t in (h, -h))
        return abs((above - below) / (2 * h) - slope), 8 * eps * size / h

    curves = (
        _curve("one-sided", one_sided, expected=1.0),
        _curve("two-sided", two_sided, expected=2.0),
    )
    return CurveReport("Error of the difference against the step size", curves)


def _along(
    f: Callable[..., Any], inputs: Sequence[Any], gradient: Any, seed: int | None
) -> tuple[Subject, dict[str, Any], list[np.ndarray], dict[str, np.ndarray]]:
    """Return the subject, its gradient, the upstream gradient and a direction for each input."""
    if not callable(f):
        raise ArgumentError(f"taylor_test: the first argument is {type(f).__name__}, no function")
    given = checked_inputs("taylor_test", inputs)
    subject: Subject = (
        TensorFunction(f, given) if gradient is None else HandWritten(f, gradient, given)
    )
    rng = stream(seed)
    weights = [np.asarray(rng.standard_normal(y.shape)) for y in subject.values()]
    found = subject.gradient([w.copy() for w in weights])
    directions = {}
    for name, point in subject.points.items():
        rms = float(np.sqrt(np.mean(point**2))) if point.size else 1.0
        directions[name] = np.asarray(rng.standard_normal(point.shape)) * (rms or 1.0) * 0.2
    return subject, found, weights, directions


def _moved(subject: Subject, directions: dict[str, np.ndarray], t: float) -> list[np.ndarray]:
    originals = {name: subject.points[name].copy() for name in directions}
    try:
        for name, direction in directions.items():
            subject.points[name][...] = originals[name] + t * direction
        return subject.values()
    finally:
        for name, original in originals.items():
            subject.points[name][...] = original


def _curve(name: str, measure: Callable[[float], tuple[float, float]], expected: float) -> Curve:
    """Measure an error at every step and fit a line through what stands out of the rounding."""
    errors, kept = [], []
    for h in STEPS:
        error, rounding = measure(h)
        errors.append(error)
        if error > 10 * rounding and np.isfinite(error):
            kept.append((np.log(h), np.log(error)))
    # Where all is rounding, or too little is left for a line, nothing contradicts the gradient.
    if len(kept) < 3:
        return Curve(name, STEPS, tuple(errors), expected, expected)
    small = kept[len(kept) // 3 :]  # the larger steps still feel higher powers
    small = small if len(small) >= 3 else kept
    x, y = np.array(small).T
    slope = float(np.polyfit(x, y, 1)[0])
    return Curve(name, STEPS, tuple(errors), slope, expected)


__all__ = ["Curve", "CurveReport", "step_size_study", "taylor_test"]
