"""Blame: in random models with one wrong operation, that one is found, placed and drawn."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.checking import gradcheck_module
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES, primitive

UNARY = [tc.tanh, tc.sin, tc.exp, tc.sigmoid, tc.softplus, tc.square, tc.softmax, tc.arctan]
BINARY = [tc.add, tc.multiply, tc.subtract, tc.maximum, tc.arctan2]


@pytest.fixture
def faulty():
    """Register a tanh whose derivative is off by 1e-4 of its norm, in one random direction."""

    def rule(g, ans, _x):
        right = g * (1 - ans * ans)
        off = np.cos(np.arange(1, right.size + 1) ** 1.7).reshape(right.shape)
        return right + off * (1e-4 * np.linalg.norm(right) / np.linalg.norm(off))

    yield primitive("test_off", np.tanh, lambda _rng: iter(()), rule, doc="For a test.")
    del PRIMITIVES["test_off"], FUNCTIONS["test_off"]


class RandomModel(nn.Module):
    """A random graph of a given number of operations; `at` is where `op` stands among them."""

    def __init__(self, seed, size, op=None):
        rng = np.random.default_rng(seed)
        self.weight = nn.Parameter(rng.standard_normal((3, 4)) / 2)
        self.bias = nn.Parameter(rng.standard_normal(4) / 2)
        self.at = int(rng.integers(size)) if op is not None else -1
        self.op = op
        self.choices = [(rng.random(), rng.integers(1 << 30, size=3)) for _ in range(size)]

    def forward(self, x):
        values = [x @ self.weight + self.bias]
        for k, (kind, (which, first, second)) in enumerate(self.choices):
            a = values[-1 - first % min(len(values), 6)]
            if k == self.at:
                values.append(self.op(a))
            elif kind < 0.6:
                values.append(UNARY[which % len(UNARY)](a))
            else:
                b = values[-1 - second % min(len(values), 6)]
                values.append(BINARY[which % len(BINARY)](a, b))
            # Values of ordinary size, so that products of many of them stay finite.
            if np.max(np.abs(values[-1].data)) > 3:
                values[-1] = tc.tanh(values[-1] * 0.3)
        # Everything is used, so that nothing that is wrong goes without effect.
        return sum(values[1:], values[0])


X = np.random.default_rng(5).standard_normal((5, 3))


def squared(out):
    return (out * out).mean()


SIZES = np.unique(np.geomspace(5, 200, 25).astype(int))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("size", SIZES)
def test_the_wrong_node_of_a_random_graph_is_found_and_placed(faulty, size, seed):
    """One node's derivative off by 1e-4 of its norm: that node is named, with its line, alone."""
    model = RandomModel(1000 * seed + size, size, faulty)
    report = gradcheck_module(model, squared, X, seed=0, max_elements=4)
    assert report.verdict == "fail", str(report)
    assert {blame.op for blame in report.blame} == {"test_off"}
    assert "test_blame.py" in report.blame[0].line
    assert 1e-6 < report.blame[0].difference < 1e-3


@pytest.mark.parametrize("size", SIZES[::6])
def test_nobody_is_blamed_in_a_right_graph(size):
    """The same graphs without the fault pass, and no operation is blamed."""
    report = gradcheck_module(RandomModel(size, size), squared, X, seed=0, max_elements=4)
    assert report.verdict == "pass", str(report)
    assert report.blame == ()


def test_the_node_is_marked_on_the_picture(faulty):
    """`viz.graph(report.graph, mark=report.marks)` writes the blame beside the node, in red."""
    report = gradcheck_module(RandomModel(3, 8, faulty), squared, X, seed=0)
    source = tc.viz.graph(report.graph, mark=report.marks).source
    plain = tc.viz.graph(report.graph).source
    assert len(report.marks) == 1
    assert "the derivative for" in source.replace("\\n", " ").replace("<BR/>", " ")
    assert "the derivative for" not in plain.replace("\\n", " ")


def penalized(model):
    def loss(out, labels):
        cost = nn.CrossEntropyLoss()(out, labels)
        return cost + 0.1 * sum((p * p).sum() for p in model.parameters())

    return loss


def test_a_penalty_is_part_of_the_loss_and_training_goes_before():
    """A regularized network passes at initialization and again after some steps of training."""
    tc.seed(0)
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    labels = np.array([0, 1, 1, 0, 1])
    loss = penalized(model)
    for _ in range(2):
        report = gradcheck_module(model, loss, X, labels, seed=0)
        assert report.verdict == "pass", str(report)
        steps = tc.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(5):
            steps.zero_grad()
            loss(model(X.astype(np.float32)), labels).backward()
            steps.step()


def test_a_detached_penalty_is_noticed():
    """A regularization term that is not recorded fails under the name of its parameter."""
    tc.seed(0)
    model = nn.Linear(3, 2)

    def loss(out, labels):
        weight = model.weight.detach()
        return nn.CrossEntropyLoss()(out, labels) + 0.1 * (weight * weight).sum()

    report = gradcheck_module(model, loss, X, np.array([0, 1, 1, 0, 1]), seed=0)
    assert report.verdict == "fail"
    assert {f.input for f in report.findings} == {"weight"}
    assert "regularization term is missing" in report.findings[0].cause
    assert "0.2 times w" in report.findings[0].cause
    assert "detach" in str(report)
