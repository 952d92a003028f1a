"""Regularization: the notes' formulas, in the graph and in the optimizer, and where both agree."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, optim
from tinygrad_course.errors import ArgumentError
from tinygrad_course.nn.regularization import weights

LMBDA, M = 0.7, 40
PENALTIES = {
    "l2": (nn.L2Penalty(LMBDA, M), lambda w: LMBDA / (2 * M) * np.sum(w**2)),
    "l1": (nn.L1Penalty(LMBDA, M), lambda w: LMBDA / M * np.sum(np.abs(w))),
    "l1 of lessons 000 and 001": (
        nn.L1Penalty(LMBDA, M, coefficient=0.5),
        lambda w: LMBDA / (2 * M) * np.sum(np.abs(w)),
    ),
    "elastic net": (
        nn.ElasticNetPenalty(LMBDA, M, l1_ratio=0.3),
        lambda w: LMBDA / M * (0.3 * np.sum(np.abs(w)) + 0.35 * np.sum(w**2)),
    ),
}
every_penalty = pytest.mark.parametrize("name", PENALTIES)


def network(dtype=float):
    """Return a net with weights, biases, and scales of batch normalization."""
    rng = np.random.default_rng(3)
    model = nn.Sequential(
        nn.Linear(3, 4, dtype=dtype, generator=rng),
        nn.BatchNorm(4, dtype=dtype),
        nn.Tanh(),
        nn.Linear(4, 2, dtype=dtype, generator=rng),
    )
    return nn.init.initialize(model, "nielsen", generator=rng)


def batch():
    rng = np.random.default_rng(4)
    return rng.normal(size=(8, 3)), rng.integers(0, 2, 8)


# ---- the formulas -----------------------------------------------------------------------------


@every_penalty
def test_a_penalty_is_the_formula_of_the_notes(name):
    """The weights of the linear layers count; biases and scales only with the switch."""
    penalty, formula = PENALTIES[name]
    model = network()
    of_weights = sum(formula(model[i].weight.data) for i in (0, 3))
    assert penalty(model).item() == pytest.approx(of_weights, rel=1e-14)
    everything = copy.copy(penalty)
    everything.include_biases = True
    of_all = sum(formula(p.data) for p in model.parameters())
    assert everything(model).item() == pytest.approx(of_all, rel=1e-14)
    assert of_all != pytest.approx(of_weights, rel=1e-3)


@every_penalty
def test_a_penalty_takes_modules_and_parameters(name):
    """A model, a layer, a list, a generator and one parameter all name weights."""
    penalty, formula = PENALTIES[name]
    model = network()
    first = formula(model[0].weight.data)
    whole = penalty(model).item()
    assert penalty(list(model.parameters())).item() == whole
    assert penalty(model.parameters()).item() == whole
    for target in (model[0], model[0].weight, [model[0].weight, model[0].bias]):
        assert penalty(target).item() == pytest.approx(first, rel=1e-14)


@every_penalty
def test_the_gradient_check_includes_the_penalty(name):
    """Loss and penalty together pass; the penalty's share of the gradient is its own."""
    penalty, _ = PENALTIES[name]
    model, (x, y) = network(), batch()
    criterion = nn.CrossEntropyLoss()
    report = tc.gradcheck_module(model, lambda out, y: criterion(out, y) + penalty(model), x, y)
    assert report, str(report)
    plain = tc.gradients(criterion(model(x), y), list(model.parameters()))
    full = tc.gradients(criterion(model(x), y) + penalty(model), list(model.parameters()))
    for (key, p), a, b in zip(model.named_parameters(), plain, full, strict=True):
        assert np.allclose(a, b, rtol=1e-12) != (p.ndim == 2), key


def test_a_forgotten_penalty_is_found():
    """A gradient by hand without λ/m W fails the check of the penalized loss."""
    w = np.array([[0.5, -2.0], [1.5, 1.0]])
    penalty = nn.L2Penalty(LMBDA, M)
    right = tc.gradcheck_pair(
        lambda w: np.sum(w * w) + penalty(w), lambda w: (2 + LMBDA / M) * w, w
    )
    assert right, str(right)
    wrong = tc.gradcheck_pair(lambda w: np.sum(w * w) + penalty(w), lambda w: 2 * w, w)
    assert wrong.verdict == "fail"


@every_penalty
def test_a_penalty_has_second_derivatives(name):
    """Away from 0 each penalty passes the check to second order."""
    penalty, _ = PENALTIES[name]
    report = tc.gradcheck(penalty, np.array([[0.5, -2.0], [1.5, 1.0]]), order=2, seed=0)
    assert report, str(report)


def test_weights_of_zero_are_not_pulled():
    """sgn(0) = 0: the gradient of L1 at 0 is 0, and ±λ/m elsewhere (lesson 004)."""
    w = nn.Parameter(np.array([[0.0, 2.0, -0.0, -1e-300]]))
    nn.L1Penalty(LMBDA, M)(w).backward()
    np.testing.assert_array_equal(w.grad, LMBDA / M * np.array([[0, 1, 0, -1]]))


@every_penalty
def test_float32_weights_have_a_float32_penalty(name):
    """Neither value nor gradient is upcast."""
    penalty, _ = PENALTIES[name]
    model = network(np.float32)
    value = penalty(model)
    value.backward()
    assert value.dtype == model[0].weight.grad.dtype == np.float32


def test_the_strength_is_read_at_every_call():
    """λ and m may be changed between calls: when the training set shrinks, for example."""
    penalty, w = nn.L2Penalty(1.0, 10), nn.Parameter([[2.0]])
    assert penalty(w).item() == pytest.approx(0.2)
    penalty.lmbda, penalty.m = 3.0, 5
    assert penalty(w).item() == pytest.approx(1.2)
    assert repr(penalty) == "L2Penalty(lmbda=3.0, m=5, include_biases=False)"


def test_names_decide_what_is_a_bias():
    """A bias of two axes is one; a one-axis weight of normalization is no weight."""

    class Net(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.ones((2, 2)))
            self.bias = nn.Parameter(np.ones((2, 1)))
            self.scale = nn.Parameter(np.ones(2))

    net = Net()
    assert [id(p) for p in weights(net)] == [id(net.weight)]
    assert len(weights(net, include_biases=True)) == 3


# ---- the same by the optimizer -----------------------------------------------------------------


def trained(make_optimizer, penalty=None, steps=20):
    """Return a network's parameters after some steps on one batch."""
    model, (x, y) = network(), batch()
    optimizer = make_optimizer(model)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(x), y)
        if penalty is not None:
            loss = loss + penalty(model)
        loss.backward()
        optimizer.step()
    return {key: p.data for key, p in model.named_parameters()}


def difference(first, second):
    return max(np.abs(first[key] - second[key]).max() for key in first)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_for_sgd_the_penalty_is_weight_decay(options):
    """λ/(2m) Σ‖W‖² in the loss and weight_decay=λ/m on the weights give the same trajectory."""
    penalized = trained(
        lambda model: optim.SGD(model.parameters(), lr=0.3, **options), nn.L2Penalty(LMBDA, M)
    )
    decayed = trained(lambda model: optim.SGD(nn.decay_groups(model, LMBDA / M), lr=0.3, **options))
    plain = trained(lambda model: optim.SGD(model.parameters(), lr=0.3, **options))
    assert difference(penalized, decayed) < 1e-12
    assert difference(penalized, plain) > 1e-3


def test_for_adam_decoupled_decay_is_something_else():
    """Adam rescales the penalty's gradient with the loss's; AdamW's decay beside it does not."""
    penalized = trained(
        lambda model: optim.Adam(model.parameters(), lr=0.05), nn.L2Penalty(LMBDA, M)
    )
    as_option = trained(lambda model: optim.Adam(nn.decay_groups(model, LMBDA / M), lr=0.05))
    decoupled = trained(lambda model: optim.AdamW(nn.decay_groups(model, LMBDA / M), lr=0.05))
    assert difference(penalized, as_option) < 1e-12
    assert difference(penalized, decoupled) > 1e-3


def test_decoupled_decay_of_sgd_and_adamw_is_one_factor():
    """Where the loss is flat, AdamW and SGD shrink the weights by the same (1 - ηλ/m)^k."""
    ends = []
    for kind in (optim.SGD, optim.AdamW):
        model = network()
        optimizer = kind(nn.decay_groups(model, LMBDA / M), lr=0.5)
        for _ in range(10):
            for p in model.parameters():
                p.grad = np.zeros(p.shape)
            optimizer.step()
        ends.append({key: p.data for key, p in model.named_parameters()})
    assert difference(*ends) < 1e-14
    start = network()[0].weight.data
    np.testing.assert_allclose(ends[0]["0.weight"], start * (1 - 0.5 * LMBDA / M) ** 10, rtol=1e-13)
    np.testing.assert_array_equal(ends[0]["0.bias"], network()[0].bias.data)


def test_a_step_shrinks_the_weights_by_the_factor_of_the_notes():
    """Where the loss is flat, k steps of SGD leave (1 - ηλ/m)^k W, close to exp(-kηλ/m) W."""
    w = nn.Parameter(np.array([[3.0, -4.0]]))
    penalty, rate = nn.L2Penalty(LMBDA, M), 0.5
    optimizer = optim.SGD([w], lr=rate)
    for _ in range(100):
        optimizer.zero_grad()
        penalty(w).backward()
        optimizer.step()
    factor = 1 - rate * LMBDA / M
    np.testing.assert_allclose(w.data, factor**100 * np.array([[3, -4]]), rtol=1e-13)
    assert factor**100 == pytest.approx(math.exp(-100 * rate * LMBDA / M), rel=0.01)


def test_l1_makes_weights_zero_and_l2_makes_them_small():
    """On a problem with one useful input, L1 leaves the useless weights nearer to 0 than L2."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 10))
    y = x[:, :1] * 2 + rng.normal(size=(200, 1)) * 0.1
    largest = {}
    for penalty in (nn.L1Penalty(20.0, 200), nn.L2Penalty(20.0, 200)):
        layer = nn.Linear(10, 1, dtype=float, generator=np.random.default_rng(1))
        optimizer = optim.SGD(layer.parameters(), lr=0.01)
        for _ in range(600):
            optimizer.zero_grad()
            (nn.MSELoss()(layer(x), y) + penalty(layer)).backward()
            optimizer.step()
        largest[type(penalty)] = np.abs(layer.weight.data[0, 1:]).max()
    assert largest[nn.L1Penalty] < 2e-3
    assert largest[nn.L1Penalty] < largest[nn.L2Penalty]


def test_the_groups_hold_every_parameter_once():
    """Weights decay; biases and scales stand in the second group, which does not."""
    model = network()
    decaying, others = nn.decay_groups(model, 0.1)
    assert [p.ndim for p in decaying["params"]] == [2, 2]
    assert [p.ndim for p in others["params"]] == [1] * 4
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert len(nn.decay_groups([model[0].weight], 0.1)) == 1


# ---- max-norm ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_long_rows_are_scaled_and_short_ones_stay(dtype):
    """Each unit's incoming weights have length c at most; those below keep their bits."""
    layer = nn.Linear(3, 4, dtype=dtype)
    values = np.array([[3, 4, 0], [0, 0, 0], [0.1, 0.2, 0.2], [0, 0, -2]], dtype)
    layer.weight.data[...] = values
    bias = layer.bias.data.copy()
    assert nn.MaxNorm(2.0)(layer) is None
    expected = values * np.array([[0.4], [1], [1], [1]], dtype)
    np.testing.assert_allclose(layer.weight.data, expected, rtol=1e-6)
    np.testing.assert_array_equal(layer.weight.data[1:], values[1:])
    np.testing.assert_array_equal(layer.bias.data, bias)
    assert layer.weight.dtype == dtype


def test_filters_are_limited_as_wholes():
    """All trailing axes count together; with the switch each bias is limited to ±c."""
    w, b = nn.Parameter(np.ones((2, 3, 2, 2)) * [[[[1.0]]], [[[0.01]]]]), nn.Parameter([5.0, -0.5])
    small = w.data[1].copy()
    nn.MaxNorm(1.0, include_biases=True)([w, b])
    assert np.linalg.norm(w.data[0]) == pytest.approx(1, rel=1e-14)
    np.testing.assert_array_equal(w.data[1], small)
    assert b.data.tolist() == [1, -0.5]


def test_the_projection_is_no_part_of_the_graph():
    """It records nothing, keeps requires_grad, and a value saved before it is noticed."""
    layer = nn.Linear(2, 2)
    layer.weight.data[...] = 9.0
    out = layer(tc.Tensor([[1.0, 2.0]], requires_grad=True)).sum()
    nn.MaxNorm(1.0)(layer)
    assert layer.weight.is_leaf
    assert layer.weight.requires_grad
    with pytest.raises(tc.errors.ModifiedValueError):
        out.backward()
    assert repr(nn.MaxNorm(1.0)) == "MaxNorm(c=1.0, include_biases=False)"


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.L2Penalty(-1.0, 10), "L2Penalty: lmbda must be at least 0, got -1"),
        (lambda: nn.L2Penalty(math.nan, 10), "lmbda must be at least 0, got nan"),
        (lambda: nn.L1Penalty(1.0, 0), "L1Penalty: m must be a positive whole number, got 0"),
        (lambda: nn.L1Penalty(1.0, 2.5), "m must be a positive whole number, got 2.5"),
        (lambda: nn.L1Penalty(1.0, 2, coefficient=-1), "coefficient must be at least 0"),
        (lambda: nn.ElasticNetPenalty(1.0, 2, l1_ratio=1.5), r"l1_ratio .*\[0, 1\], got 1\.5"),
        (lambda: nn.MaxNorm(0.0), "MaxNorm: c must be positive"),
        (lambda: nn.L2Penalty(1.0, 2)(nn.ReLU()), "no weights among 0 parameters"),
        (lambda: nn.L2Penalty(1.0, 2)(nn.BatchNorm(3)), "no weights among 2 .*include_biases"),
        (lambda: nn.L2Penalty(1.0, 2)([1.0]), "expected a module or parameters, got float"),
        (lambda: nn.decay_groups([nn.Parameter(np.ones(2))], 0.1), "no weights among 1"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    """Wrong options and targets without weights are explained."""
    with pytest.raises(ArgumentError, match=words):
        call()
