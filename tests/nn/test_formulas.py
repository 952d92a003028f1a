"""Formulas of the notes, as they stand there."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, optim
from tinygrad_course.errors import ArgumentError, ShapeError


def test_batch_norm_with_its_own_statistics_is_the_identity():
    """weight = sqrt(var + eps) and bias = mean undo the normalization (lesson 3.2)."""
    layer = nn.BatchNorm(3, dtype=float)
    x = np.random.default_rng(0).normal(7, 4, (50, 3))
    layer.weight.data[...] = np.sqrt(x.var(axis=0) + layer.eps)
    layer.bias.data[...] = x.mean(axis=0)
    np.testing.assert_allclose(layer(x).data, x, rtol=1e-12)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def nielsen():
    """Return scores, activations and desired outputs of a mini-batch of five digits."""
    z = np.random.default_rng(0).normal(size=(5, 10)) * 2
    return z, sigmoid(z), np.eye(10)[[7, 2, 1, 0, 4]]


def test_the_quadratic_cost_of_nielsen():
    """½ ‖a - y‖² averaged over the examples; its delta is (a - y) σ'(z) (lesson 004)."""
    z, a, y = nielsen()
    scores = tc.Tensor(z, requires_grad=True)
    cost = nn.QuadraticCost()(tc.sigmoid(scores), y)
    cost.backward()
    by_hand = [0.5 * np.linalg.norm(a[i] - y[i]) ** 2 for i in range(5)]
    np.testing.assert_allclose(cost.item(), np.mean(by_hand), rtol=1e-14)
    np.testing.assert_allclose(scores.grad, (a - y) * a * (1 - a) / 5, rtol=1e-13)
    each = nn.QuadraticCost(reduction="none")(a, y)
    np.testing.assert_allclose(each, by_hand, rtol=1e-14)
    half = nn.MSELoss(reduction="batchmean")(a, y) / 2
    np.testing.assert_allclose(cost.item(), half, rtol=1e-14)


def test_the_cross_entropy_of_nielsen():
    """The sum over the outputs, averaged over the examples; its delta is a - y (lesson 004)."""
    z, a, y = nielsen()
    by_hand = [np.sum(-y[i] * np.log(a[i]) - (1 - y[i]) * np.log(1 - a[i])) for i in range(5)]
    for loss, squash in (
        (nn.BCEWithLogitsLoss(reduction="batchmean"), lambda scores: scores),
        (nn.BCELoss(reduction="batchmean"), tc.sigmoid),
    ):
        scores = tc.Tensor(z, requires_grad=True)
        cost = loss(squash(scores), y)
        cost.backward()
        np.testing.assert_allclose(cost.item(), np.mean(by_hand), rtol=1e-13)
        np.testing.assert_allclose(scores.grad, (a - y) / 5, rtol=1e-12)
    usual = nn.BCEWithLogitsLoss()(z, y)
    np.testing.assert_allclose(usual, np.mean(by_hand) / 10, rtol=1e-13)


def test_a_saturated_unit_learns_from_cross_entropy_only():
    """At z = 20 with y = 0 the quadratic cost's delta has vanished, cross-entropy's is 1."""
    scores = tc.Tensor([[20.0]], requires_grad=True)
    nn.QuadraticCost()(tc.sigmoid(scores), [[0.0]]).backward()
    assert abs(scores.grad.item()) < 1e-8
    scores.grad = None
    nn.BCEWithLogitsLoss()(scores, [[0.0]]).backward()
    assert scores.grad.item() == pytest.approx(1)


def test_softmax_with_cross_entropy_has_the_delta_of_the_notes():
    """The derivative of the cost by the scores is (a - y) / m (lesson 3.4)."""
    z, _, y = nielsen()
    scores = tc.Tensor(z, requires_grad=True)
    nn.CrossEntropyLoss()(scores, y.argmax(axis=1)).backward()
    a = nn.functional.softmax(z, dim=1)
    np.testing.assert_allclose(scores.grad, (a - y) / 5, rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("z", [-1000.0, 1000.0])
def test_logistic_regression_at_extreme_scores(z):
    """From scores of ±1000 the loss is exact; from the activations it is PyTorch's 100."""
    assert nn.BCEWithLogitsLoss()([z], [1.0]) == max(-z, 0)
    found = nn.BCELoss()(tc.sigmoid(np.array([z])), [1.0])
    assert found == (100 if z < 0 else 0)


def test_softmax_has_the_numbers_of_the_notes():
    """softmax([5, 2, -1, 3]) is [0.842, 0.042, 0.002, 0.114] (lesson 3.4)."""
    found = nn.functional.softmax(np.array([5.0, 2.0, -1.0, 3.0]), dim=0)
    np.testing.assert_allclose(found, [0.842, 0.042, 0.002, 0.114], atol=5e-4)


def test_two_classes_of_softmax_are_logistic_regression():
    """The cross-entropy of scores (0, z) is the logistic loss of z, and so is its derivative."""
    z, y = tc.Tensor([-2.0, 0.5, 3.0], requires_grad=True), np.array([0, 1, 1])
    one = nn.functional.cross_entropy(tc.stack([tc.zeros_like(z), z], axis=1), y)
    one.backward()
    of_one, z.grad = z.grad, None
    two = nn.functional.binary_cross_entropy_with_logits(z, y)
    two.backward()
    np.testing.assert_allclose(one.data, two.data, rtol=1e-14)
    np.testing.assert_allclose(of_one, z.grad, rtol=1e-13)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: nn.functional.cross_entropy(np.zeros((0, 3)), np.zeros(0, int)),
            ShapeError,
            "empty",
        ),
        (lambda: nn.MSELoss()(np.zeros(0), np.zeros(0)), ShapeError, "empty"),
        (lambda: nn.Softmax(axis=1), TypeError, "Softmax.*'axis'.*'dim'"),
        (lambda: nn.Softmax(dim=3)(np.zeros((2, 2))), ShapeError, "dim 3"),
        (lambda: nn.Linear(True, 2), ArgumentError, "in_features"),
        (lambda: nn.Flatten()(1.0), ShapeError, "Flatten"),
    ],
)
def test_odd_input_is_explained(call, error, words):
    """Empty batches, wrong words and axes, and sizes that are no numbers get a clear error."""
    with pytest.raises(error, match=words):
        call()


def test_the_state_of_an_optimizer_follows_its_parameters():
    """After the model is converted, the state has the parameters' dtype again."""
    layer = nn.Linear(2, 2)
    optimizer = optim.Adam(layer.parameters())
    for dtype in (np.float32, np.float64):
        layer.to(dtype)
        layer(np.ones((3, 2))).sum().backward()
        optimizer.step()
        for state in optimizer.state.values():
            assert state["exp_avg"].dtype == state["exp_avg_sq"].dtype == dtype


def test_slices_and_copies_keep_what_they_are():
    """A slice of a Sequential is one, and a copied parameter keeps its name."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    assert [type(layer) for layer in model[:2]] == [nn.Linear, nn.ReLU]
    assert model[:2][0] is model[0]
    model[0].weight.name = "w"
    assert copy.deepcopy(model)[0].weight.name == "w"
