"""Formulas of the notes, as they stand there."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tinygrad_course import nn, optim
from tinygrad_course.errors import ArgumentError, ShapeError


def test_batch_norm_with_its_own_statistics_is_the_identity():
    """weight = sqrt(var + eps) and bias = mean undo the normalization (lesson 3.2)."""
    layer = nn.BatchNorm(3, dtype=float)
    x = np.random.default_rng(0).normal(7, 4, (50, 3))
    layer.weight.data[...] = np.sqrt(x.var(axis=0) + layer.eps)
    layer.bias.data[...] = x.mean(axis=0)
    np.testing.assert_allclose(layer(x).data, x, rtol=1e-12)


def test_softmax_has_the_numbers_of_the_notes():
    """softmax([5, 2, -1, 3]) is [0.842, 0.042, 0.002, 0.114] (lesson 3.4)."""
    found = nn.functional.softmax(np.array([5.0, 2.0, -1.0, 3.0]), dim=0)
    np.testing.assert_allclose(found, [0.842, 0.042, 0.002, 0.114], atol=5e-4)


def test_two_classes_of_softmax_are_logistic_regression():
    """The cross-entropy of scores (0, z) is the logistic loss of z."""
    z, y = np.array([-2.0, 0.5, 3.0]), np.array([0, 1, 1])
    pairs = np.stack([np.zeros(3), z], axis=1)
    np.testing.assert_allclose(
        nn.functional.cross_entropy(pairs, y),
        nn.functional.binary_cross_entropy_with_logits(z, y.astype(float)),
    )


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
