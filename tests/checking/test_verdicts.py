"""Every verdict has its own words: what is unfit for comparison is told before anything else."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course.checking import gradcheck, gradcheck_pair
from tinygrad_course.errors import ArgumentError
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES, primitive

X = np.random.default_rng(0).standard_normal((3, 2))


@pytest.fixture
def register():
    """Register primitives for one test only."""
    names = []

    def add(name, forward, *vjps, **options):
        names.append(name)
        return primitive(name, forward, lambda _rng: iter(()), *vjps, doc="For a test.", **options)

    yield add
    for name in names:
        del PRIMITIVES[name], FUNCTIONS[name]


def overwrites_input(x, g):
    x *= 2
    return g


def overwrites_upstream(_x, g):
    g *= 2
    return g


@pytest.mark.parametrize(
    ("gradient", "verdict", "words"),
    [
        (overwrites_input, "mutation", "input 0"),
        (overwrites_upstream, "mutation", "upstream"),
        (lambda _x, g: g.T, "shape", "transposed"),
        (lambda _x, g: g.sum(), "shape", r"\(\)"),
        (lambda _x, g: g.astype(np.float32), "dtype", "float32"),
        (lambda _x, g: g * 1j, "dtype", "complex"),
        (lambda _x, _g: None, "missing", "no gradient"),
        (lambda _x, g: g * np.nan, "nonfinite", "nan"),
        (lambda _x, _g: np.ones((3, 2)), "fail", "upstream gradient is ignored"),
        (lambda _x, g: g[5], "nonfinite", "IndexError"),
    ],
)
def test_each_fault_of_a_pair_has_its_verdict(gradient, verdict, words):
    """Mutation, shape, dtype, None, NaN and exceptions of a gradient by hand are told apart."""
    report = gradcheck_pair(lambda x: 1.0 * x, gradient, X, seed=0)
    assert report.verdict == verdict, str(report)
    import re

    assert re.search(words, " ".join(str(report).split()))


def test_none_is_right_where_nothing_depends():
    """None for an input without influence passes; for one with influence it is missing."""
    pair = (lambda x, y: x * 2 + 0 * y, lambda _x, _y, g: (2 * g, None))
    assert gradcheck_pair(*pair, X, X)
    other = (lambda x, y: x * 2 + y, lambda _x, _y, g: (2 * g, None))
    report = gradcheck_pair(*other, X, X)
    assert (report.verdict, report.findings[0].input) == ("missing", "input 1")


def test_options_of_a_gradient_function_are_not_taken_for_an_upstream_gradient():
    """For a scalar cost, arguments with default values are options."""
    report = gradcheck_pair(
        lambda w: np.sum(w**2), lambda w, scale=2.0: scale * w, np.array([1.0, -2.0])
    )
    assert report.verdict == "pass", str(report)
    given = gradcheck_pair(lambda w: np.sum(w**2), lambda w, g: 2 * w * g, np.array([1.0, -2.0]))
    assert given.verdict == "pass"


def test_shape_causes_are_proved():
    """A wrong shape is explained only if the repaired gradient is right."""
    right = gradcheck_pair(lambda b: X + b, lambda _b, g: g, np.array([1.0, 2.0]))
    assert (right.verdict, "summed" in right.findings[0].cause) == ("shape", True)
    wrong = gradcheck_pair(lambda b: X + b, lambda _b, g: 3.3 * g, np.array([1.0, 2.0]))
    assert (wrong.verdict, wrong.findings[0].cause) == ("shape", None)


def test_a_rule_that_overwrites_is_told(register):
    """A registered rule that writes into its input or into its upstream gradient is `mutation`."""

    def in_place(g, _ans, x):
        x *= 2
        return g

    def of_upstream(g, _ans, _x):
        g *= 2
        return g

    first = register("test_first", lambda x: x + 0.0, in_place)
    second = register("test_second", lambda x: x + 0.0, of_upstream)
    assert gradcheck(first, X).verdict == "mutation"
    assert gradcheck(second, X).verdict == "mutation"


def test_hidden_state_and_randomness_are_told_apart():
    """A counter is hidden state; drawn numbers are random, and can be frozen."""
    calls = []

    def counts(x):
        calls.append(1)
        return x * len(calls)

    report = gradcheck_pair(counts, lambda _x, g: g, X)
    assert (report.verdict, report.findings[0].kind) == ("random", "hidden state")
    rng = np.random.default_rng(0)

    def drops(x):
        return x * (rng.random(x.shape) < 0.5)

    report = gradcheck(drops, X)
    assert (report.verdict, report.findings[0].kind) == ("random", "random")
    assert "freeze=True" in report.findings[0].message
    assert gradcheck(drops, X, freeze=True).verdict == "pass"
    frozen = gradcheck(lambda x: tc.nn.functional.dropout(x, 0.5, training=True), X, freeze=True)
    assert frozen.verdict == "pass"


def test_states_that_change_during_the_check_are_told():
    """A function that remembers what it saw last has hidden state."""
    seen = {"n": 0}

    def drifts(x):
        seen["n"] += 1
        return x * (1.0 if seen["n"] < 6 else 1.5)

    report = gradcheck_pair(drifts, lambda _x, g: g, X)
    assert "hidden state" in {f.kind for f in report.findings}


def test_an_exception_is_reported_with_its_line_and_point():
    """What the function raises is a report with the exception, the user's line and the point."""

    def raises(x):
        raise ValueError("no such thing")

    for report in (gradcheck(raises, X), gradcheck_pair(raises, lambda x, g: g, X)):
        assert (report.verdict, report.findings[0].kind) == ("nonfinite", "error")
        for word in ("ValueError", "no such thing", "test_verdicts.py", "shape (3, 2)"):
            assert word in report.findings[0].message


def test_errors_of_this_library_inside_the_function_are_reported_too():
    """A ShapeError of an operation is a finding, not a traceback out of the checker."""
    report = gradcheck(lambda x: x @ np.ones((5, 5)), X)
    assert report.findings[0].kind == "error"
    assert "matmul" in report.findings[0].message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((lambda x: "text", lambda x, g: g, X), "str"),
        ((lambda x: x, 3, X), "int, not a function"),
        ((3, lambda x, g: g, X), "int, not a function"),
        ((lambda x: x, lambda x, g: g, np.arange(3)), "decimal point"),
        ((lambda x: x, lambda x: x, X), "no upstream"),
        ((lambda x, y: x + y, lambda x, y, g: g, X, X), "one gradient per input"),
    ],
)
def test_unsuitable_arguments_get_clear_words(arguments, words):
    """What cannot be checked at all is an ArgumentError that says what was expected."""
    with pytest.raises(ArgumentError, match=words):
        gradcheck_pair(*arguments)


def test_empty_and_infinite_inputs():
    """An empty input passes with a word about it, one that is not finite is told."""
    report = gradcheck(tc.tanh, np.zeros((0, 3)))
    assert report.verdict == "pass"
    assert "no elements" in str(report)
    assert gradcheck(tc.tanh, np.array([np.inf, 1.0])).verdict == "nonfinite"
    assert "not depend" in str(gradcheck(lambda x, y: x * 2, X, X))


def test_complex_pairs_follow_the_convention():
    """dL/dx - i dL/dy: a holomorphic gradient needs no conjugate, and its conjugate fails."""
    z = X + 1j * X[::-1]
    assert gradcheck_pair(np.exp, lambda z, g: g * np.exp(z), z).verdict == "pass"
    wrong = gradcheck_pair(np.exp, lambda z, g: np.conj(g * np.exp(z)), z)
    assert wrong.verdict == "fail"
    size = gradcheck_pair(lambda z: np.sum(np.abs(z) ** 2), lambda z: 2 * np.conj(z), z)
    assert size.verdict == "pass", str(size)
    mixed = gradcheck_pair(
        lambda z, w: z * w, lambda z, w, g: (g * w, np.real(g * z)), z, np.ones((3, 2)) * X
    )
    assert mixed.verdict == "pass", str(mixed)


def test_the_forward_mode_is_checked_on_request(register):
    """modes=("vjp", "jvp") adds rows of directions, and finds what only forward mode has wrong."""
    report = gradcheck(lambda x, y: tc.tanh(x) * y, X, X + 3, modes=("vjp", "jvp"), seed=0)
    assert report.verdict == "pass", str(report)
    assert [row.name for row in report.rows] == ["input 0", "input 1", "jvp"]
    cut = register(
        "test_cut",
        lambda x: x * x,
        lambda g, _ans, x: (g.detach() if isinstance(g, tc.Tensor) else g) * (2 * x),
    )
    report = gradcheck(cut, X, modes=("vjp", "jvp"), seed=0)
    assert report.verdict == "fail"
    with pytest.raises(ArgumentError, match="modes"):
        gradcheck(tc.tanh, X, modes=("forward",))


def test_functions_in_single_precision_are_judged_by_their_rounding():
    """A function that rounds to float32 inside passes when it is right and fails when it is not."""

    def coarse(x):
        return tc.tanh(x.astype(np.float32)).astype(np.float64) * 2

    report = gradcheck(coarse, X, seed=0)
    assert report.verdict == "pass", str(report)
    assert "single precision" in str(report)
    wrong = gradcheck_pair(
        lambda x: np.tanh(x.astype(np.float32)), lambda x, g: g * (1.01 - np.tanh(x) ** 2), X
    )
    assert wrong.verdict == "fail"


def test_oscillation_faster_than_the_step_is_no_fault():
    """sin at 1e8 passes, or stays undecided: nobody is accused."""
    for scale in (1e4, 1e6, 1e8):
        assert gradcheck(tc.sin, X * scale, seed=0).verdict in ("pass", "inconclusive")


def test_blind_spots_are_named_and_explored():
    """Branches that no point takes are named, and explore=True goes there."""

    def f(x):
        return tc.relu(x) * tc.maximum(x, 0.5)

    report = gradcheck(f, np.abs(X) + 1)
    assert any("no input below 0" in spot for spot in report.blind_spots)
    assert "explore=True, at the inputs with the opposite sign" in " ".join(report.notes)
    again = gradcheck(f, np.abs(X) + 1, explore=True, seed=0)
    assert again.verdict == "pass"
    assert not any("no input below 0" in spot for spot in again.blind_spots)
    assert any("also checked at" in note for note in again.notes)


def test_a_fault_in_a_branch_not_taken_is_found_by_exploring(register):
    """A wrong slope on the negative side passes at positive points, and fails when explored."""
    half = register(
        "test_half",
        lambda x: np.where(x > 0, x, 0.1 * x),
        lambda g, _a, x: g * np.where(x > 0, 1, 0.2),
    )
    f = lambda x: half(x) + 0 * tc.relu(x)  # noqa: E731
    assert gradcheck(f, np.abs(X) + 1, seed=0)
    assert gradcheck(f, np.abs(X) + 1, seed=0, explore=True).verdict == "fail"


def test_reports_survive_json_and_eighty_columns():
    """JSON holds every finding; no line of the text is wider than 80 columns."""
    report = gradcheck_pair(np.sin, lambda x, g: g * x, X, seed=0)
    assert json.loads(report.to_json())["findings"][0]["kind"] == "fail"
    assert max(map(len, str(report).splitlines())) <= 80
    assert "<svg" in report.to_html()


def test_a_kink_is_told_whatever_the_gradient_is_there():
    """At a kink the verdict is `kink`, also where the gradient is the mean of both slopes."""
    at = X.copy()
    at[1, 1] = 0.0
    functions = (
        tc.abs,
        tc.relu,
        lambda x: tc.maximum(x, 0.0),
        lambda x: tc.clip(x, -5.0, 0.0),
        lambda x: tc.where(x > 0, x, -2.0 * x),
    )
    for function in functions:
        report = gradcheck(function, at, seed=0)
        assert report.verdict == "kink", str(report)
        assert report.findings[0].index == (1, 1)
    tie = gradcheck(tc.max, np.array([1.0, 3.0, 3.0, 2.0]))
    assert "kink or tie" in str(tie)


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-12, -1e-3, -1e-6, -1e-9, -1e-12])
def test_a_right_gradient_beside_a_kink_passes(distance):
    """Beside a kink, however near, a right gradient passes."""
    near = X.copy()
    near[1, 1] = distance
    for function in (tc.abs, tc.relu, lambda x: tc.where(x > 0, x, -2.0 * x)):
        report = gradcheck(function, near, seed=0)
        assert report.verdict == "pass", str(report)


def test_a_fault_beside_a_kink_is_a_finding_of_its_own(register):
    """Where one element lies at a kink and another is wrong, both are told."""
    faulty = register("test_twice", lambda x: np.maximum(x, 0), lambda g, _ans, x: 2 * g * (x > 0))
    report = gradcheck(faulty, np.array([0.0, 1.0]), seed=0)
    assert report.verdict == "kink"
    assert {f.kind for f in report.findings} == {"kink", "fail"}


def test_rules_that_raise_or_return_nonsense_are_reported(register):
    """A rule's wrong shape is `shape`, its exception an error: the operation is named."""

    def raises(_g, _ans, _x):
        raise ZeroDivisionError

    for rule, verdict, words in (
        (lambda g, _ans, _x: g.T, "shape", "shape (2, 3)"),
        (lambda _g, _ans, _x: [1, 2], "nonfinite", "shape (2,)"),
        (lambda _g, _ans, _x: "text", "nonfinite", "first wrong operation"),
        (raises, "nonfinite", "ZeroDivisionError"),
        (lambda g, _ans, _x: g * np.nan, "nonfinite", "nan"),
    ):
        name = f"test_rule_{len(PRIMITIVES)}"
        report = gradcheck(register(name, lambda x: x * 1.0, rule), X, seed=0)
        assert report.verdict == verdict, str(report)
        assert words in " ".join(str(report).split())


def test_a_rule_that_overwrites_its_result_or_rounds_is_told(register):
    """Writing into the saved result is `mutation`; a gradient in single precision is `dtype`."""

    def of_result(g, ans, _x):
        ans *= 2
        return g

    overwriting = register("test_result", lambda x: x * 1.0, of_result)
    report = gradcheck(lambda x: tc.sin(overwriting(x)), X, seed=0)
    assert report.verdict == "mutation"
    assert "its result" in " ".join(str(report).split())
    rounding = register(
        "test_rounds", lambda x: x * 2.0, lambda g, _ans, _x: (g * 2).astype(np.float32)
    )
    report = gradcheck(rounding, X, seed=0)
    assert report.verdict == "dtype"
    assert "float32" in str(report)


def test_a_gradient_that_keeps_its_first_upstream_gradient_is_told():
    """The gradient is asked a second time: what it kept from the first time shows."""
    kept = {}

    def keeps(_x, g):
        kept.setdefault("g", g.copy())
        return 2 * kept["g"]

    report = gradcheck_pair(lambda x: 2 * x, keeps, X)
    assert (report.verdict, report.findings[0].kind) == ("mutation", "upstream kept")
    calls = []

    def counts(_x, g):
        calls.append(1)
        return 2.0 * g * len(calls)

    report = gradcheck_pair(lambda x: 2 * x, counts, X)
    assert (report.verdict, report.findings[0].kind) == ("random", "hidden state")


def test_a_function_that_fails_later_or_remembers_is_no_traceback():
    """A function that raises after some calls, or keeps its last input, has hidden state."""
    calls = []

    def fails_later(x):
        calls.append(1)
        if len(calls) > 5:
            raise ZeroDivisionError
        return x * 1.0

    report = gradcheck_pair(fails_later, lambda _x, g: g, X)
    assert "hidden state" in {f.kind for f in report.findings}
    last = [None]

    def remembers(x):
        drift = 0.0 if last[0] is None else np.sum(last[0] - x)
        last[0] = x.copy()
        return 2 * x + 0.1 * drift

    report = gradcheck_pair(remembers, lambda _x, g: 2 * g, X)
    assert report.verdict == "random"


@pytest.mark.parametrize(
    "result", [(), [], None, "text", 3.0, {"y": 1}, tc.Tensor(np.arange(3))], ids=repr
)
def test_a_function_without_a_floating_result_is_refused(result):
    """Results that have no derivative are an ArgumentError that says what was returned."""
    with pytest.raises(ArgumentError, match="returned"):
        gradcheck(lambda _x: result, X)


@pytest.mark.parametrize(
    ("gradient", "verdict"),
    [
        (lambda _x, _g: "text", "shape"),
        (lambda _x, _g: {1}, "shape"),
        (lambda _x, _g: [[[1.0, 2.0], [3.0]]], "shape"),
        (lambda _x, _g: np.full((3, 2), None), "dtype"),
        (lambda _x, _g: np.ones((3, 2), int), "dtype"),
        (lambda _x, _g: np.ones((3, 2), bool), "dtype"),
        (lambda _x, g: (g, g), None),
    ],
)
def test_gradients_that_are_no_arrays_of_numbers(gradient, verdict):
    """What a gradient by hand returns instead of numbers has a verdict or clear words."""
    if verdict is None:
        with pytest.raises(ArgumentError, match="one gradient per input"):
            gradcheck_pair(lambda x: 1.0 * x, gradient, X)
    else:
        report = gradcheck_pair(lambda x: 1.0 * x, gradient, X)
        assert report.verdict == verdict, str(report)


@pytest.mark.parametrize(
    "x",
    [
        0.3,
        np.float64(0.3),
        np.array(0.3),
        [0.3, 0.4],
        np.asfortranarray(X),
        X[::2, ::-1],
        np.broadcast_to(X[0], (3, 2)),
        X.astype(np.float16),
        X.astype(np.float32),
        X + 1j * X[::-1],
    ],
    ids=lambda x: type(x).__name__,
)
def test_inputs_of_every_form_pass(x):
    """Numbers, lists, views, strides, read-only memory, other precisions: all are inputs."""
    report = gradcheck(lambda t: tc.sin(t) * t, x, order=2, modes=("vjp", "jvp"), seed=0)
    assert report.verdict == "pass", str(report)
    assert max(map(len, str(report).splitlines())) <= 80


def test_a_large_input_is_judged_in_bounded_time():
    """Faults of a million elements are found without going through them, and at once."""
    x = np.random.default_rng(0).standard_normal(1_000_000)
    evaluations = []

    def sine(x):
        evaluations.append(1)
        return np.sin(x)

    for factor in (0.0, -1.0, 1 + 1e-4):
        evaluations.clear()
        report = gradcheck_pair(sine, lambda x, g, k=factor: k * g * np.cos(x), x, diagnose=False)
        assert report.verdict == "fail"
        assert len(evaluations) < 400
    assert gradcheck_pair(sine, lambda x, g: g * np.cos(x), x, diagnose=False)


def test_a_function_that_writes_at_moved_points_alone_is_told():
    """An input changed in place only beside the given point is a mutation too."""

    def writes(x):
        if x[0, 0] != 1.0:
            x[0, 1] += 1.0
        return x * 1.0

    report = gradcheck_pair(writes, lambda _x, g: g, np.array([[1.0, 2.0]]))
    assert report.verdict == "mutation"
    assert "beside" in str(report)
