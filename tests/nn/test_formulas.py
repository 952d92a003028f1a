"""Formulas of the notes, as they stand there."""

from __future__ import annotations

import numpy as np

from tinygrad_course import nn


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
