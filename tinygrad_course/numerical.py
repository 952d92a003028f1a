"""Gradient checking: compare derivatives with two-sided differences, element by element.

The numeric side is an extrapolated two-sided difference with an estimate of its own error, always
in float64; the verdict is scale-free. Beside it stands Andrew Ng's norm ratio with his reading.
Source: lessons 12-14 of the notes on gradient checking.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from tinygrad_course.errors import ArgumentError, GradientError
from tinygrad_course.graph import Value, enable_grad, no_grad
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES
from tinygrad_course.random import generator as default_generator
from tinygrad_course.tensor import Tensor
from tinygrad_course.transforms import gradients

Progress = Callable[[int, int], None]

TOLERANCE = 1e-6
"""Relative difference of an element that is still put down to rounding."""

STEP = 1e-3
"""First step relative to an element's scale; extrapolation removes the error of order step²."""

VERDICTS = (
    "nonfinite",
    "shape",
    "dtype",
    "missing",
    "random",
    "mutation",
    "kink",
    "fail",
    "inconclusive",
    "pass",
)
"""From the most to the least urgent: a report's verdict is the first that applies."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    input: str
    message: str
    index: tuple[int, ...] | None = None
    analytic: float | None = None
    numeric: float | None = None
    error: float | None = None
    cause: str | None = None


@dataclass(frozen=True)
class InputRow:
    """The comparison of one input: its norm ratio and its worst element."""

    name: str
    shape: tuple[int, ...]
    checked: int
    difference: float
    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    error: float
    verdict: str
    norms: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """‖analytic − numeric‖, ‖analytic‖ and ‖numeric‖ over the checked elements."""


@dataclass(frozen=True, repr=False)
class GradcheckReport:
    """What a gradient check found. Truthy only if it passed; ``str()`` is the terminal report."""

    verdict: str
    difference: float
    rows: tuple[InputRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    blind_spots: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.verdict == "pass"

    @property
    def reading(self) -> str:
        """Ng's reading of the norm ratio."""
        return ng_reading(self.difference)

    def raise_if_failed(self) -> None:
        """Raise GradientError with the whole report unless the check passed."""
        if not self:
            raise GradientError(str(self))

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(asdict(self), indent=2)

    def to_html(self) -> str:
        """Return the report as a fragment of HTML."""
        cells = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>"
            for line in _table(self.rows)
        )
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in _HEAD)
        said = "".join(f"<li>{html.escape(f.message)}</li>" for f in self.findings)
        colour = "#1a7f37" if self else "#b42318"
        return (
            f'<section class="gradcheck"><p style="color:{colour}"><strong>'
            f"{html.escape(self._headline())}</strong></p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>"
            f"<ul>{said}</ul></section>"
        )

    def _headline(self) -> str:
        if not np.isfinite(self.difference):
            return f"gradcheck: {self.verdict.upper()}"
        return (
            f"gradcheck: {self.verdict.upper()}  difference {self.difference:.1e}: {self.reading}"
        )

    def __repr__(self) -> str:
        return f"<{self._headline()}>"

    def __str__(self) -> str:
        lines = [self._headline()]
        if self.rows:
            table = [_HEAD, *_table(self.rows)]
            widths = [max(len(line[i]) for line in table) for i in range(len(_HEAD))]
            lines += [
                "  " + "  ".join(c.ljust(w) for c, w in zip(t, widths, strict=True)).rstrip()
                for t in table
            ]
        lines += [f"  {finding.kind}: {finding.message}" for finding in self.findings]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


_HEAD = ("input", "shape", "difference", "worst at", "analytic", "numeric", "±", "verdict")


def _table(rows: Sequence[InputRow]) -> list[tuple[str, ...]]:
    return [
        (
            row.name,
            "×".join(map(str, row.shape)) or "scalar",
            f"{row.difference:.1e}",
            "-" if row.index is None else str(list(row.index)),
            f"{row.analytic:.6g}",
            f"{row.numeric:.6g}",
            f"{row.error:.0e}",
            row.verdict,
        )
        for row in sorted(rows, key=lambda r: VERDICTS.index(r.verdict))
    ]


def ng_reading(difference: float) -> str:
    """Return what the notes say about a norm ratio: ≤1e-7, ~1e-5, ≥1e-3.

    Example:
        >>> from tinygrad_course.numerical import ng_reading
        >>> ng_reading(3e-9)
        'great, the gradient is right'
    """
    if difference <= 1e-7:
        return "great, the gradient is right"
    if difference <= 1e-5:
        return "probably right, look again"
    if difference < 1e-3:
        return "suspicious, look at the elements"
    return "wrong, there is a bug"


def norm_ratio(analytic: Any, numeric: Any) -> float:
    """Return ‖numeric − analytic‖ / (‖numeric‖ + ‖analytic‖), 0 if both vanish.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.numerical import norm_ratio
        >>> norm_ratio(np.array([1.0, 1.0]), np.array([2.0, 2.0])).__round__(4)
        0.3333
    """
    total = float(np.linalg.norm(numeric) + np.linalg.norm(analytic))
    return float(np.linalg.norm(numeric - analytic)) / total if total else 0.0


# --------------------------------------------------------------------------------------------
# The numeric side


class _Estimate(NamedTuple):
    """A numeric derivative, its error, and whether the function has a kink there."""

    value: float
    error: float
    floor: float
    """What rounding alone contributes to the error."""
    kink: bool


Evaluate = Callable[[], tuple[float, float]]
"""Return the scalar function at the current point, and the sum of magnitudes that went into it."""


def _difference(evaluate: Evaluate, shift: Callable[[float], None], scale: float) -> _Estimate:
    """Differentiate along one direction: two-sided differences at three steps, extrapolated.

    ``shift(t)`` moves the point by t in the direction. One extrapolation removes the error of
    order h², and comparing two extrapolated values estimates what is left.
    """
    shift(0.0)
    centre, magnitude = evaluate()
    steps = [scale * STEP / 2**k for k in range(3)]
    slopes, bends = [], []
    for h in steps:
        shift(h)
        above, size_above = evaluate()
        shift(-h)
        below, size_below = evaluate()
        magnitude = max(magnitude, size_above, size_below)
        slopes.append((above - below) / (2 * h))
        bends.append((above - 2 * centre + below) / h)
    shift(0.0)
    first, second = ((4 * slopes[k + 1] - slopes[k]) / 3 for k in range(2))
    floor = 8 * np.finfo(float).eps * magnitude / steps[-1]
    error = abs(second - first) + floor
    # The second difference divided by h halves with h where f is smooth, and stays at a kink.
    jump = abs(bends[-1])
    kink = jump > 1e3 * floor and jump > 0.8 * abs(bends[0]) and jump > 1e-4 * abs(second)
    return _Estimate(float(second), float(error), float(floor), bool(kink))


def _judge(analytic: float, estimate: _Estimate, scale: float) -> str:
    """Return the verdict on one derivative; `scale` is the size of the whole gradient."""
    if estimate.kink:
        return "kink"
    tolerance = TOLERANCE * max(abs(analytic), abs(estimate.value), 1e-3 * scale)
    gap = abs(analytic - estimate.value)
    error = 3 * estimate.error
    if gap > tolerance + error:
        return "fail"
    # Two zeros up to rounding agree, however small the tolerance has become.
    zero = max(abs(analytic), abs(estimate.value)) <= error <= 30 * estimate.floor
    return "pass" if gap <= tolerance or error <= 100 * tolerance or zero else "inconclusive"


class _Comparison(NamedTuple):
    """Analytic and numeric derivative by one element, or (place None) along one direction."""

    place: tuple[int, ...] | None
    analytic: float
    estimate: _Estimate
    verdict: str


def _settle(
    evaluate: Evaluate,
    shift: Callable[[float], None],
    reach: float,
    place: tuple[int, ...] | None,
    analytic: float,
    scale: float,
) -> _Comparison:
    """Compare one derivative; where rounding or a kink spoils that, look again with other steps.

    A step may have crossed a kink near the point, such as a hidden unit's zero: smaller steps
    follow. Where rounding dominates, because the function is large beside its change, a larger
    step follows. Of the tries the one with the smallest error of its own decides.
    """

    def attempt(factor: float) -> _Comparison:
        estimate = _difference(evaluate, shift, reach * factor)
        return _Comparison(place, analytic, estimate, _judge(analytic, estimate, scale))

    tries = [attempt(1.0)]
    if tries[0].verdict != "pass":
        tries += [attempt(1 / 32), attempt(1 / 1024)]
    elif tries[0].estimate.floor > 1e-8 * abs(tries[0].estimate.value):
        tries.append(attempt(32.0))
    passed = [comparison for comparison in tries if comparison.verdict == "pass"]
    return min(passed or tries, key=lambda comparison: comparison.estimate.error)


def _compare(
    point: np.ndarray,
    analytic: np.ndarray,
    evaluate: Evaluate,
    rng: np.random.Generator,
    max_elements: int,
    tick: Callable[[], None],
) -> list[_Comparison]:
    """Check one input, which `evaluate` reads from the array `point` as it is changed here."""
    flat, grad = point.reshape(-1), analytic.reshape(-1)
    rms = float(np.sqrt(np.mean(flat**2))) if flat.size else 0.0
    size = float(np.max(np.abs(grad))) if grad.size else 0.0
    chosen = np.arange(flat.size)
    sampled = flat.size > max_elements
    if sampled:
        chosen = np.sort(rng.choice(flat.size, max_elements, replace=False))
    comparisons = []
    for i in chosen:
        original = flat[i]

        def shift(t: float, i: Any = i, original: Any = original) -> None:
            flat[i] = original + t

        reach = max(abs(original), 0.1 * rms) or 1.0
        place = tuple(int(k) for k in np.unravel_index(i, point.shape))
        comparisons.append(_settle(evaluate, shift, reach, place, float(grad[i]), size))
        tick()
    if sampled:
        comparisons.append(_whole_direction(flat, grad, evaluate, rng, rms))
    return comparisons


def _whole_direction(
    flat: np.ndarray, grad: np.ndarray, evaluate: Evaluate, rng: np.random.Generator, rms: float
) -> _Comparison:
    """Check all elements at once along a random direction, so that none goes untested."""
    direction = rng.standard_normal(flat.size)
    direction /= np.linalg.norm(direction)
    original = flat.copy()

    def shift(t: float) -> None:
        flat[:] = original + t * direction if t else original

    slope = float(grad @ direction)
    reach = (rms or 1.0) * float(np.sqrt(flat.size))
    return _settle(evaluate, shift, reach, None, slope, float(np.linalg.norm(grad)))


def _row(name: str, shape: tuple[int, ...], comparisons: list[_Comparison]) -> InputRow:
    """Sum up the comparisons of one input: norms, verdict and worst element."""
    if not comparisons:
        return InputRow(name, shape, 0, 0.0, None, 0.0, 0.0, 0.0, "pass")
    analytic = np.array([c.analytic for c in comparisons])
    numeric = np.array([c.estimate.value for c in comparisons])
    norms = [float(np.linalg.norm(v)) for v in (numeric - analytic, analytic, numeric)]
    verdict = min((c.verdict for c in comparisons), key=VERDICTS.index)
    worst = max(
        (c for c in comparisons if c.verdict == verdict),
        key=lambda c: abs(c.analytic - c.estimate.value),
    )
    noise = 3 * float(np.linalg.norm([c.estimate.error for c in comparisons]))
    zero = verdict == "pass" and max(norms[1:]) <= noise  # a ratio of two noises says nothing
    return InputRow(
        name,
        shape,
        len(comparisons),
        0.0 if zero else norm_ratio(analytic, numeric),
        worst.place,
        worst.analytic,
        worst.estimate.value,
        worst.estimate.error,
        verdict,
        (norms[0], norms[1], norms[2]),
    )


def _findings(row: InputRow, count: int, *, missing: bool) -> list[Finding]:
    """Say in words what is wrong with an input, whose `count` elements have its verdict."""
    if row.verdict == "pass":
        return []
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


def _report(
    rows: list[InputRow], findings: list[Finding], notes: list[str], stacked: float
) -> GradcheckReport:
    kinds = [f.kind for f in findings] + [row.verdict for row in rows] + ["pass"]
    return GradcheckReport(
        min(kinds, key=VERDICTS.index), stacked, tuple(rows), tuple(findings), (), tuple(notes)
    )


def _alone(kind: str, message: str, name: str = "function") -> GradcheckReport:
    return GradcheckReport(kind, float("nan"), findings=(Finding(kind, name, message),))


# --------------------------------------------------------------------------------------------
# Functions


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    order: int = 1,
    seed: int | None = None,
    max_elements: int = 1000,
) -> GradcheckReport:
    """Check the derivative of a function built from this library's operations.

    The function's results are multiplied by a random upstream gradient and summed; the derivative
    of that number is compared with two-sided differences in float64.

    Args:
        f: takes Tensors, returns a Tensor or several.
        *inputs: arrays, Tensors or numbers; floating and complex ones are checked, others passed on.
        order: 2 checks the derivative of the derivative too.
        seed: of the upstream gradient.
        max_elements: per input; beyond it, that many random elements and one random direction
            through all of them are checked, and the report says so.

    Returns:
        A report that is truthy when the check passed. Nothing is raised for a wrong gradient;
        ``.raise_if_failed()`` does that.

    Raises:
        ArgumentError: `f` is not callable or returns no Tensor, or no input is floating.

    Example:
        >>> import tinygrad_course as tc
        >>> report = tc.gradcheck(lambda x: (tc.exp(x) * x).sum(), [0.5, -1.0])
        >>> bool(report), report.reading
        (True, 'great, the gradient is right')
    """
    if not callable(f):
        raise ArgumentError(f"gradcheck: the first argument is {type(f).__name__}, not a function")
    if order not in (1, 2):
        raise ArgumentError(f"gradcheck: order must be 1 or 2, got {order!r}")
    rng = _stream(seed)
    prepared = [_prepare(x) for x in inputs]
    notes: tuple[str, ...] = ()
    complexes = [i for i, x in enumerate(prepared) if _is_complex(x)]
    if complexes:
        f = _on_parts(f, complexes)
        prepared = [_parts(x) if _is_complex(x) else x for x in prepared]
        notes = (
            f"complex input {', '.join(map(str, complexes))}: the last index is 0 for real parts "
            f"and 1 for imaginary parts",
        )
    places = [i for i, x in enumerate(prepared) if _is_floating(x)]
    if not places:
        raise ArgumentError(
            "gradcheck: no input is a floating array; whole numbers have no derivative, so write "
            "them with a decimal point"
        )
    report = _check_function(f, prepared, places, rng, max_elements)
    report = replace(report, notes=notes + report.notes)
    if order == 1 or not report:
        return report

    second = _check_function(
        _slope_of(f, places, int(rng.integers(1 << 31))), prepared, places, rng, max_elements
    )
    return GradcheckReport(
        second.verdict,
        float(np.fmax(report.difference, second.difference)),
        report.rows + tuple(replace(row, name=f"{row.name}, 2nd order") for row in second.rows),
        second.findings,
        (),
        report.notes + second.notes,
    )


def _is_complex(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "c"


def _parts(x: np.ndarray) -> np.ndarray:
    """Return a complex array as real and imaginary parts along a new last axis."""
    return np.stack([x.real, x.imag], axis=-1)


def _on_parts(f: Callable[..., Any], complexes: list[int]) -> Callable[..., Any]:
    """Return `f` as a function of real and imaginary parts, in which all differences are real."""

    def on_parts(*tensors: Any) -> Any:
        given = list(tensors)
        for i in complexes:
            given[i] = given[i][..., 0] + 1j * given[i][..., 1]
        return f(*given)

    return on_parts


def _slope_of(f: Callable[..., Any], places: list[int], seed: int) -> Callable[..., Any]:
    """Return the function whose first derivative is the second derivative of `f`."""

    def slope(*points: Any) -> Any:
        tensors = list(points)
        with enable_grad():
            for i in places:  # the numeric side brings Tensors that are not recorded
                if not tensors[i].requires_grad:
                    tensors[i] = Tensor(tensors[i].data, requires_grad=True)
            outputs = [out for out in _outputs(f(*tensors)) if out.requires_grad]
            draw = np.random.default_rng(seed)
            weights = [draw.standard_normal(out.shape) for out in outputs]
            targets = [tensors[i] for i in places]
            found = gradients(outputs, targets, weights, create_graph=True)
        return tuple(
            Tensor(np.zeros(t.shape)) if g is None else g
            for g, t in zip(found, targets, strict=True)
        )

    return slope


def _stream(seed: int | None) -> np.random.Generator:
    """Return a generator of its own for a seed: inputs drawn with the same seed stay independent.

    An upstream gradient equal to the input hides faults and makes right gradients look odd.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x67726164,)))


def _prepare(x: Any) -> Any:
    """Return a floating input as a float64 array of its own; anything else as it is."""
    raw = x._data if isinstance(x, Value) else x
    array = np.asarray(raw) if isinstance(raw, float | complex | list | np.ndarray | np.generic) else None
    if array is None or array.dtype.kind not in "fc":
        return x
    return np.array(array, dtype=np.complex128 if array.dtype.kind == "c" else np.float64)


def _is_floating(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _outputs(result: Any) -> list[Tensor]:
    parts = list(result) if isinstance(result, list | tuple) else [result]
    for part in parts:
        if not isinstance(part, Tensor):
            raise ArgumentError(
                f"gradcheck: the function returned {type(part).__name__}, not a Tensor; compute "
                f"with the Tensors that it is given"
            )
    real = []
    for part in parts:  # what is complex is two real results
        if part.dtype.kind == "c":
            real += [part.real, part.imag]
        elif part.dtype.kind == "f":
            real.append(part)
    return real


def _check_function(
    f: Callable[..., Any],
    prepared: list[Any],
    places: list[int],
    rng: np.random.Generator,
    max_elements: int,
) -> GradcheckReport:
    points = [x.copy() if _is_floating(x) else x for x in prepared]
    leaves = [Tensor(x, requires_grad=True) if _is_floating(x) else x for x in points]
    outputs = _outputs(f(*leaves))
    weights = [rng.standard_normal(out.shape) for out in outputs]
    for i in places:
        if not np.array_equal(points[i], prepared[i], equal_nan=True):
            return _alone("mutation", f"the function changed its input {i} in place", f"input {i}")
    recorded = [(out, w) for out, w in zip(outputs, weights, strict=True) if out.requires_grad]
    found = gradients(
        [out for out, _ in recorded], [leaves[i] for i in places], [w for _, w in recorded]
    )
    analytic = {f"input {i}": g for i, g in zip(places, found, strict=True)}

    def evaluate() -> tuple[float, float]:
        with no_grad():
            given = [Tensor(x) if _is_floating(x) else x for x in points]
            return _weighted([out.data for out in _outputs(f(*given))], weights)

    return _check_points(
        {f"input {i}": points[i] for i in places}, analytic, evaluate, rng, max_elements
    )


def _weighted(results: list[Any], weights: list[Any]) -> tuple[float, float]:
    products = [np.asarray(w * y) for w, y in zip(weights, results, strict=True)]
    return (
        float(sum(product.sum() for product in products)),
        float(sum(np.abs(product).sum() for product in products)),
    )


def _check_points(
    points: dict[str, np.ndarray],
    analytic: dict[str, Any],
    evaluate: Evaluate,
    rng: np.random.Generator,
    max_elements: int,
    progress: Progress | None = None,
) -> GradcheckReport:
    """Check every named input, which `evaluate` reads from `points` as they are changed."""
    first, _ = evaluate()
    if first != evaluate()[0] and np.isfinite(first):
        return _alone(
            "random",
            "two evaluations at the same point differ: switch off dropout (model.eval()), or draw "
            "its masks from a generator that is restarted at every call",
        )
    bad = [name for name, g in analytic.items() if g is not None and not np.all(np.isfinite(g))]
    if bad or not np.isfinite(first):
        what = f"the gradient of {bad[0]}" if bad else "the function's value"
        return _alone(
            "nonfinite", f"{what} is not finite at this point", bad[0] if bad else "value"
        )
    rows: list[InputRow] = []
    findings: list[Finding] = []
    notes: list[str] = []
    total = sum(min(point.size, max_elements) for point in points.values())
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for name, point in points.items():
        given = analytic[name]
        gradient = np.zeros(point.shape) if given is None else np.asarray(given)
        comparisons = _compare(point, gradient, evaluate, rng, max_elements, tick)
        row = _row(name, point.shape, comparisons)
        rows.append(row)
        count = sum(c.verdict == row.verdict for c in comparisons)
        findings += _findings(row, count, missing=given is None)
    sampled = [f"{name} ({p.size})" for name, p in points.items() if p.size > max_elements]
    if sampled:
        notes.append(
            f"{max_elements} random elements, and one random direction through all of them: "
            + ", ".join(sampled)
        )
    gap, size_a, size_n = np.sqrt(np.sum(np.square([row.norms for row in rows]), axis=0))
    difference = float(gap / (size_a + size_n)) if size_a + size_n else 0.0
    return _report(rows, findings, notes, difference)


# --------------------------------------------------------------------------------------------
# Whole models


def gradcheck_module(
    model: Any,
    loss: Callable[..., Any],
    *batch: Any,
    seed: int | None = None,
    max_elements: int = 50,
    progress: Progress | None = None,
) -> GradcheckReport:
    """Check the derivative of a model's loss with respect to every parameter, by name.

    The parameters are those of ``model.named_parameters()``, in that order: the θ of the notes.
    Computation is in float64 on a copy of the state; parameters, running statistics and random
    generators are put back bit for bit. Dropout draws the same mask at every evaluation.

    Args:
        model: a module, in the mode (train or eval) in which it is to be checked.
        loss: called as ``loss(model(x), *rest)`` for ``batch = (x, *rest)``.
        *batch: the inputs.
        seed: chooses which elements are checked.
        max_elements: per parameter; beyond it, that many random elements and one random direction
            through all of them are checked, and the report says so.
        progress: called with (done, total) elements.

    Raises:
        ArgumentError: the model has no parameters, or the loss is not one number.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.seed(0)
        >>> model = tc.nn.Linear(3, 2)
        >>> x, y = np.arange(12.0).reshape(4, 3), np.array([0, 1, 1, 0])
        >>> tc.gradcheck_module(model, tc.nn.CrossEntropyLoss(), x, y).verdict
        'pass'
    """
    named = dict(model.named_parameters())
    if not named:
        raise ArgumentError("gradcheck_module: the model has no parameters")
    if not batch:
        raise ArgumentError("gradcheck_module: pass the batch: gradcheck_module(model, loss, x, y)")
    first, *rest = batch
    with _in_float64(model, named) as points:

        def value() -> Any:
            with _same_randomness(model):
                result = loss(model(first), *rest)
            if not isinstance(result, Tensor) or result.size != 1:
                raise ArgumentError("gradcheck_module: the loss must be a Tensor of one element")
            return result

        result = value()
        wanted = [p for p in named.values() if p.requires_grad]
        found = iter(gradients(result, wanted) if result.requires_grad else [None] * len(wanted))
        analytic = {name: next(found) for name, p in named.items() if p.requires_grad}
        checked = {name: points[name] for name in analytic}

        def evaluate() -> tuple[float, float]:
            with no_grad():
                number = value().item()
            return number, abs(number)

        rng = _stream(seed)
        return _check_points(checked, analytic, evaluate, rng, max_elements, progress)


@contextmanager
def _in_float64(model: Any, named: dict[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    """Lend a model float64 copies of its state; the original arrays come back untouched."""
    tensors = [*named.values(), *(b for _, b in model.named_buffers())]
    originals = [(t, t._data, t._grad) for t in tensors]
    try:
        for t in tensors:
            kind = np.float64 if t._data.dtype.kind == "f" else t._data.dtype
            t._data = np.array(t._data, dtype=kind, order="C")
        yield {name: p._data for name, p in named.items()}
    finally:
        for t, data, grad in originals:
            t._data, t._grad = data, grad


@contextmanager
def _same_randomness(model: Any) -> Iterator[None]:
    """Rewind every generator that the model draws from when the block ends."""
    generators = [default_generator()]
    generators += [
        m.generator for m in model.modules() if getattr(m, "generator", None) is not None
    ]
    states = [g.bit_generator.state for g in generators]
    try:
        yield
    finally:
        for g, state in zip(generators, states, strict=True):
            g.bit_generator.state = state


def check_primitive(name: str, *, order: int = 2, seed: int = 0) -> list[GradcheckReport]:
    """Check a registered primitive over all its samples; one report per sample.

    Raises:
        ArgumentError: no primitive has this name.

    Example:
        >>> from tinygrad_course.numerical import check_primitive
        >>> all(check_primitive("tanh"))
        True
    """
    row = PRIMITIVES.get(name)
    if row is None:
        raise ArgumentError(f"check_primitive: there is no primitive {name!r}")
    function = FUNCTIONS[name]
    reports = []
    for inputs, params in row.samples(np.random.default_rng(seed)):

        def call(*tensors: Any, params: Any = params) -> Any:
            return function(*tensors, **params)

        reports.append(gradcheck(call, *inputs, order=order, seed=seed))
    return reports
