"""Causes of faults in operations, models and steps: each is named, and no wrong one is printed."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.checking import gradcheck, gradcheck_module, gradcheck_pair, gradcheck_steps
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES, primitive


@pytest.fixture
def register():
    """Register primitives for one test only."""
    names = []

    def add(forward, *rules):
        names.append(f"test_cause_{len(names)}")
        return primitive(names[-1], forward, lambda _rng: iter(()), *rules, doc="For a test.")

    yield add
    for name in names:
        del PRIMITIVES[name], FUNCTIONS[name]


# ---- operations with a fault in their structure ------------------------------------------------


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def normalized(x):
    return (x - np.mean(x, axis=0)) / np.sqrt(np.var(x, axis=0) + 1e-5)


def spread(x):
    return np.sqrt(np.var(x, axis=0) + 1e-5)


def picked(x):
    return x[[0, 1, 1, 0]]


def assigned(g, _ans, x):
    found = np.zeros(x.shape)
    found[[0, 1, 1, 0]] = g
    return found


def both(x):
    return np.sin(x) * np.tanh(x)


def one_row(g, _ans, x):
    found = g * np.cos(x)
    found[1] *= 1.5
    return found


def one_corner(g, _ans, x):
    found = g * np.cos(x)
    found[-1, -1] *= -1
    return found


STRUCTURES = {
    "softmax diagonal": (softmax, lambda g, a, _x: g * a * (1 - a), "coupling"),
    "softmax sum constant": (softmax, lambda g, a, _x: g * a, "constant|coupling"),
    "statistics constant": (normalized, lambda g, _a, x: g / spread(x), "constant"),
    "variance constant": (
        normalized,
        lambda g, _a, x: (g - g.mean(axis=0)) / spread(x),
        "constant",
    ),
    "duplicate index": (picked, assigned, "duplicate index"),
    "N of a mean": (
        lambda x: np.mean(x, axis=0),
        lambda g, _a, x: g * np.ones(x.shape),
        "its 1/[0-9] is missing",
    ),
    "derivative missing": (sigmoid, lambda g, _a, _x: g, "missing"),
    "at input": (sigmoid, lambda g, _a, x: g * x * (1 - x), "taken at its input"),
    "at output": (sigmoid, lambda g, a, _x: g * sigmoid(a) * (1 - sigmoid(a)), "at its output"),
    "ignored": (sigmoid, lambda _g, a, _x: a * (1 - a), "upstream gradient is ignored"),
    "path cut": (both, lambda g, _a, x: g * np.cos(x) * np.tanh(x), "cut|overwritten"),
    "row": (np.sin, one_row, "row 1"),
    "corner": (np.sin, one_corner, "corner"),
}


@pytest.mark.parametrize("shape", [(2, 4), (3, 3), (5, 4)])
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_fault_of_an_operation_is_named_alone_and_in_a_chain(register, name, shape):
    """The cause of a wrong rule is found where it is alone, in a chain and in a model."""
    forward, rule, words = STRUCTURES[name]
    faulty = register(forward, rule)
    x = np.random.default_rng(sum(shape)).standard_normal(shape)
    w = np.random.default_rng(1).standard_normal((shape[1], shape[1]))
    tc.seed(0)
    model = nn.Linear(shape[1], shape[1])
    reports = [
        gradcheck(faulty, x, seed=0),
        gradcheck(lambda x: tc.tanh(faulty(tc.sin(x @ w))), x, seed=0),
        gradcheck_module(model, lambda out: (faulty(out) ** 2).mean(), x, seed=0),
    ]
    for report in reports:
        assert report.verdict == "fail", str(report)
        assert re.search(words, " ".join(str(report).split())), str(report)


def test_factor_two_and_the_batch_size_are_printed_together():
    """With m = 2 a factor 2 and a missing 1/m cannot be told apart, and both are said."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((2, 3)), rng.standard_normal(2)
    report = gradcheck_pair(
        lambda w: np.mean((X @ w - y) ** 2),
        lambda w: 2 * X.T @ (X @ w - y),
        rng.standard_normal(3),
    )
    cause = report.findings[0].cause
    assert "a 2 too many" in cause
    assert "batch size m" in cause


def test_overwritten_pieces_in_loops_are_named():
    """Rows that are read one by one, and whose gradients overwrite each other, are named."""
    index = np.array([1, 3, 3, 0, 1, 1])

    def wrong(table, g):
        found = np.zeros_like(table)
        found[index] = g
        return found

    report = gradcheck_pair(
        lambda table: np.stack([table[i] for i in index]),
        wrong,
        np.random.default_rng(0).standard_normal((5, 3)),
    )
    assert "duplicate index" in report.findings[0].cause


# ---- no wrong cause ----------------------------------------------------------------------------


X = np.random.default_rng(3).standard_normal((4, 3))


@pytest.mark.parametrize(
    "change",
    [
        lambda g: g + 0.01,
        np.abs,
        np.tanh,
        lambda g: g * g,
        lambda g: g - g.mean(axis=0),
        lambda g: np.cumsum(g, axis=0),
        lambda g: np.round(g, 2),
        lambda g: np.clip(g, -0.1, 0.1),
        lambda g: g[[2, 0, 3, 1]],
        lambda g: np.where(X > 0, 2 * g, -g),
    ],
)
def test_a_fault_on_no_list_gets_no_cause_but_its_pattern(change):
    """What no known mistake explains has no cause; the ratio of the numbers is shown."""
    report = gradcheck_pair(np.sin, lambda x, g: change(g * np.cos(x)), X, seed=0)
    assert report.verdict == "fail"
    assert report.findings[0].cause is None
    assert "no known mistake" in str(report)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e6, 1e12])
def test_one_spoiled_element_is_found_and_shown_at_every_scale(scale):
    """One element off by 1e-4 of itself fails, and the pattern names it, not a coupling."""

    def wrong(x, g):
        found = 3 * g * x * x
        found[2, 1] *= 1 + 1e-4
        return found

    report = gradcheck_pair(lambda x: x**3, wrong, X * scale, seed=1)
    assert report.verdict == "fail", str(report)
    assert "one element alone is wrong, [2, 1]" in report.findings[0].cause


def test_an_ignored_upstream_gradient_is_named_only_if_that_is_all():
    """A gradient that ignores its upstream gradient and has a wrong sign gets no cause."""
    alone = gradcheck_pair(np.sin, lambda x, _g: np.cos(x), X, seed=0)
    assert alone.findings[0].kind == "upstream ignored"
    together = gradcheck_pair(np.sin, lambda x, _g: -np.cos(x), X, seed=0)
    assert (together.verdict, together.findings[0].cause) == ("fail", None)


# ---- steps -------------------------------------------------------------------------------------


def forward(X, Y, W1, b1, W2, b2):
    Z1 = W1 @ X + b1
    A1 = np.maximum(0, Z1)
    Z2 = W2 @ A1 + b2
    A2 = 1 / (1 + np.exp(-Z2))
    cost = -np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)) / X.shape[1]
    return {"Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2, "loss": cost}


def backward_with(**changes):
    """Return a right backward pass in which some gradients are changed as they are computed."""

    def backward(X, Y, _W1, _b1, W2, _b2, cache):
        found = {}

        def put(name, value):
            found[name] = changes[name](value, found, cache) if name in changes else value

        A1, A2 = cache["A1"], cache["A2"]
        put("dA2", -(Y / A2 - (1 - Y) / (1 - A2)) / X.shape[1])
        put("dZ2", found["dA2"] * A2 * (1 - A2))
        put("dW2", found["dZ2"] @ A1.T)
        put("db2", found["dZ2"].sum(axis=1, keepdims=True))
        put("dA1", W2.T @ found["dZ2"])
        put("dZ1", found["dA1"] * (cache["Z1"] > 0))
        put("dW1", found["dZ1"] @ X.T)
        put("db1", found["dZ1"].sum(axis=1, keepdims=True))
        return found

    return backward


def steps_of(m, backward):
    rng = np.random.default_rng(m)
    shapes = [(4, m), (1, m), (3, 4), (3, 1), (1, 3), (1, 1)]
    X, Y, *rest = (rng.standard_normal(shape) for shape in shapes)
    return gradcheck_steps(forward, backward, X, (Y > 0) * 1.0, *rest, seed=0)


STEPS = {
    "sign": ("dA2", lambda v, _f, _c: -v, "sign"),
    "derivative of the sigmoid": ("dZ2", lambda _v, f, _c: f["dA2"] * 1.0, "missing"),
    "derivative of relu": ("dZ1", lambda _v, f, _c: f["dA1"] * 1.0, "missing"),
    "mean for sum": ("db2", lambda _v, f, _c: f["dZ2"].mean(axis=1, keepdims=True), "mean|1/"),
    "twice": ("dW2", lambda v, _f, _c: 2 * v, r"\b2 times"),
    "corner": ("dW1", lambda v, _f, _c: v + 0.1 * np.eye(3, 4) * ([1], [0], [0]), "corner"),
}


@pytest.mark.parametrize("m", [2, 5])
@pytest.mark.parametrize("name", STEPS)
def test_the_first_wrong_step_and_its_cause(name, m):
    """The first wrong gradient is named with its cause; later ones only follow from it."""
    wrong, change, words = STEPS[name]
    report = steps_of(m, backward_with(**{wrong: change}))
    assert (report.verdict, report.first_wrong) == ("fail", wrong)
    row = next(row for row in report.rows if row.name == wrong)
    assert re.search(words, row.cause), str(report)
    assert [r.name for r in report.rows if r.status == "wrong"] == [wrong]
    assert max(map(len, str(report).splitlines())) <= 80
    assert wrong in report.to_html()
    assert wrong in report.to_json()


def test_steps_that_cannot_be_compared_get_words():
    """A shape, None, text, an exception and a changed input are told, each in its own words."""
    assert steps_of(5, backward_with()).verdict == "pass"
    for change, words in (
        (lambda v, _f, _c: v.T, "expected shape"),
        (lambda _v, _f, _c: None, "no array"),
        (lambda _v, _f, _c: "text", "no array"),
    ):
        report = steps_of(5, backward_with(dW1=change))
        assert (report.verdict, report.first_wrong) == ("fail", "dW1")
        assert words in str(report)

    def raises(*_given):
        raise ZeroDivisionError

    assert steps_of(5, raises).verdict == "nonfinite"

    def overwrites(value, _found, cache):
        cache["A1"] *= 2
        return value

    report = steps_of(5, backward_with(dA2=overwrites))
    assert report.verdict == "mutation"
    assert "A1" in str(report)
    with pytest.raises(tc.errors.ArgumentError, match="not a function"):
        gradcheck_steps(3, raises, X)
