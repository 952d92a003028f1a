"""Checking functions: of Tensors, or in plain NumPy with a gradient by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_course.checking.blame import (
    careless_operations,
    with_unrecorded_path,
    wrong_operations,
)
from tinygrad_course.checking.by_hand import ComplexPair, HandWritten
from tinygrad_course.checking.coverage import blind_spots, degenerate_inputs, points_that_reach
from tinygrad_course.checking.forward import pushed_forward
from tinygrad_course.checking.report import VERDICTS, Finding, GradcheckReport
from tinygrad_course.checking.subjects import (
    Subject,
    TensorFunction,
    checked_inputs,
    is_complex,
    is_real,
    on_parts,
    parts,
    slope_of,
)
from tinygrad_course.checking.tape import Step, Tape, taped
from tinygrad_course.checking.verdicts import Options, Progress, examine, stream
from tinygrad_course.errors import ArgumentError
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    order: int = 1,
    seed: int | None = None,
    max_elements: int = 10_000,
    freeze: bool = False,
    explore: bool = False,
    modes: Sequence[str] = ("vjp",),
    diagnose: bool = True,
    progress: Progress | None = None,
) -> GradcheckReport:
    """Check the derivative of a function built from this library's operations.

    The function's results are multiplied by a random upstream gradient and summed; the derivative
    of that number is compared, element by element, with two-sided differences in float64 that
    estimate their own error. There is no ε to choose. What is wrong is explained, and the first
    recorded operation whose own derivative is wrong is named.

    Args:
        f: takes Tensors, returns a Tensor or several.
        *inputs: arrays, Tensors or numbers; floating and complex ones are checked, others passed.
        order: 2 checks the derivative of the derivative too.
        seed: of the upstream gradient.
        max_elements: per input; beyond it, that many random elements and three random directions
            through all of them are checked, and the report says so.
        freeze: restart every random generator before each evaluation (dropout left on).
        explore: also check at points that reach the branches which these inputs do not.
        modes: ``"jvp"`` beside ``"vjp"`` also checks `tinygrad_course.jvp` along random directions.
        diagnose: False leaves out causes, blame and blind spots, for who wants the verdict alone.
        progress: called with (done, total) elements.

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
    if not modes or not set(modes) <= {"vjp", "jvp"}:
        raise ArgumentError(f"gradcheck: modes are 'vjp' and 'jvp', got {modes!r}")
    given = checked_inputs("gradcheck", inputs)
    complexes = [i for i, x in enumerate(given) if is_complex(x)]
    if complexes:
        f = on_parts(f, complexes)
        given = [parts(x) if is_complex(x) else x for x in given]
    rng = stream(seed)
    options = Options(max_elements, progress, freeze, diagnose)
    report = _checked(TensorFunction(f, given), rng, options)
    if complexes:
        where = ", ".join(map(str, complexes))
        note = f"complex input {where}: the last index is 0 for real parts and 1 for imaginary ones"
        report = replace(report, notes=(note, *report.notes))
    if report and "jvp" in modes:
        report = pushed_forward(report, f, given, rng, options)
    if report and order == 2:
        places = [i for i, x in enumerate(given) if is_real(x)]
        slope = slope_of(f, places, int(rng.integers(1 << 31)))
        report = _joined(report, examine(TensorFunction(slope, given), rng, options))
    if report and explore:
        return _explored(f, given, report, rng, options)
    return _with_proposals(f, given, report, rng) if report else report


def _checked(subject: Subject, rng: np.random.Generator, options: Options) -> GradcheckReport:
    """Examine a subject; look at its graph for what is untested, careless or wrong."""
    report = examine(subject, rng, options)
    if not options.diagnose or report.verdict in ("random", "mutation"):
        return report
    poor = degenerate_inputs(subject.points)
    report = replace(report, blind_spots=tuple(poor))
    with taped() as tape, np.errstate(all="ignore"):
        try:
            recorded = subject.recorded()
        except Exception:  # noqa: BLE001 - the report says already what the function raises
            return report
    if recorded is None:
        return report
    report = replace(report, blind_spots=(*blind_spots(tape), *poor))
    if subject.hand_written:
        return report
    report = _with_carelessness(report, careless_operations(tape, rng))
    return _blamed(report, tape, recorded[0][0], rng) if report.verdict in _LOCAL else report


_LOCAL = ("fail", "missing", "nonfinite", "shape", "dtype")
"""Verdicts that may have their origin in a single operation."""


def _blamed(
    report: GradcheckReport, tape: Tape, result: Any, rng: np.random.Generator
) -> GradcheckReport:
    """Name the recorded operations that are wrong by themselves, and give their causes."""
    wrong = wrong_operations(tape, rng)
    if not wrong:
        return with_unrecorded_path(report)
    cause = " OR ".join(dict.fromkeys(f"{b.op}: {b.cause}" for b, _ in wrong if b.cause))
    return replace(
        report,
        findings=tuple(_of_operation(finding, cause) for finding in report.findings),
        blame=tuple(blame for blame, _ in wrong),
        graph=result,
        wrong_nodes=tuple(step.node for _, step in wrong),
    )


def _of_operation(finding: Finding, cause: str) -> Finding:
    """Return a finding with the cause that was proved for an operation, if there is one."""
    if finding.kind != "fail" or not cause:
        return finding
    ignored = "upstream gradient is ignored" in cause
    return replace(finding, cause=cause, kind="upstream ignored" if ignored else finding.kind)


def _with_carelessness(
    report: GradcheckReport, found: list[tuple[Step, str, str]]
) -> GradcheckReport:
    """Add the rules that write into what they are given, or round what they return."""
    if not found:
        return report
    said = {
        "mutation": "writes into {}, which others still need: write to a copy",
        "dtype": "rounds {}",
    }
    new = tuple(
        Finding(
            verdict, step.name, f"the rule of {step.name} at {step.line} {said[verdict].format(it)}"
        )
        for step, verdict, it in found
    )
    verdict = min(report.verdict, *(f.kind for f in new), key=VERDICTS.index)
    findings = sorted((*report.findings, *new), key=lambda f: f.kind != verdict)
    return replace(report, verdict=verdict, findings=tuple(findings))


def _joined(first: GradcheckReport, second: GradcheckReport) -> GradcheckReport:
    rows = tuple(replace(row, name=f"{row.name}, 2nd order") for row in second.rows)
    return replace(
        second,
        difference=float(np.fmax(first.difference, second.difference)),
        rows=first.rows + rows,
        notes=first.notes + second.notes,
        blind_spots=first.blind_spots,
    )


def _with_proposals(
    f: Callable[..., Any], given: list[Any], report: GradcheckReport, rng: np.random.Generator
) -> GradcheckReport:
    """Name the points that would reach the branches which the given ones do not."""
    poor = degenerate_inputs({f"input {i}": x for i, x in enumerate(given) if is_real(x)})
    spots = [spot for spot in report.blind_spots if spot not in poor]
    names = [name for name, _ in points_that_reach(f, given, spots, rng)]
    if not names:
        return report
    note = f"some of what is not tested is reached with explore=True, at {', and at '.join(names)}"
    return replace(report, notes=(*report.notes, note))


def _explored(
    f: Callable[..., Any],
    given: list[Any],
    report: GradcheckReport,
    rng: np.random.Generator,
    options: Options,
) -> GradcheckReport:
    """Check again at points that reach what the given inputs leave untested."""
    for name, point in points_that_reach(f, given, report.blind_spots, rng):
        again = _checked(TensorFunction(f, point), rng, options)
        left = tuple(spot for spot in report.blind_spots if spot in again.blind_spots)
        note = f"also checked at {name}: {again.verdict}"
        if not again:
            return replace(again, notes=(*report.notes, note, *again.notes))
        report = replace(report, blind_spots=left, notes=(*report.notes, note))
    return report


def gradcheck_pair(
    f: Callable[..., Any],
    grad_f: Callable[..., Any],
    *inputs: Any,
    seed: int | None = None,
    max_elements: int = 10_000,
    freeze: bool = False,
    diagnose: bool = True,
    progress: Progress | None = None,
) -> GradcheckReport:
    """Check a gradient that was derived by hand, written in plain NumPy.

    Args:
        f: takes arrays, returns a number, an array or a tuple of arrays.
        grad_f: ``grad_f(*inputs, upstream)`` returns one gradient per input, a single array for
            one input; None stands for an input without derivative. For an `f` that returns one
            number ``grad_f(*inputs)`` is accepted too.
        *inputs: arrays or numbers; floating ones are checked, others passed on.
        seed: of the upstream gradient.
        max_elements: as in `gradcheck`.
        freeze: restart every random generator before each evaluation.
        diagnose: False leaves out causes and blind spots.
        progress: called with (done, total) elements.

    Raises:
        ArgumentError: an argument is not callable, no input is floating, or the gradient function
            returns another number of gradients than there are inputs.

    Complex inputs and results follow the library's convention: the gradient of a real loss L is
    dL/dx - i dL/dy for z = x + iy, so that a holomorphic function's is upstream times f'(z).

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> x = np.arange(6.0).reshape(3, 2)
        >>> def cost(w):
        ...     return np.mean((x @ w) ** 2)
        >>> def by_hand(w):
        ...     return 2 * x.T @ (x @ w)  # the 1/m is missing
        >>> report = tc.gradcheck_pair(cost, by_hand, np.array([1.0, -2.0]))
        >>> report.verdict, "its 1/3 is missing" in report.findings[0].cause
        ('fail', True)
    """
    for name, function in (("f", f), ("grad_f", grad_f)):
        if not callable(function):
            raise ArgumentError(
                f"gradcheck_pair: {name} is {type(function).__name__}, not a function"
            )
    given = checked_inputs("gradcheck_pair", inputs)
    options = Options(max_elements, progress, freeze, diagnose)
    if not any(is_complex(x) for x in given):
        return _checked(HandWritten(f, grad_f, given), stream(seed), options)
    return _checked(ComplexPair(f, grad_f, given), stream(seed), options)


def check_primitive(name: str, *, order: int = 2, seed: int = 0) -> list[GradcheckReport]:
    """Check a registered primitive over all its samples; one report per sample.

    Raises:
        ArgumentError: no primitive has this name.

    Example:
        >>> from tinygrad_course.checking import check_primitive
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


__all__ = ["check_primitive", "gradcheck", "gradcheck_pair"]
