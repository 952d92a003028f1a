"""Activations at kinks and extremes."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn

F = nn.functional


def tensor(array, dtype=None):
    return tc.Tensor(np.array(array, dtype), requires_grad=True)


def test_activations_have_pytorchs_slopes_at_zero():
    """At their kinks relu has slope 0 and leaky relu its negative slope."""
    for layer, slope in [(nn.ReLU(), 0.0), (nn.LeakyReLU(0.25), 0.25)]:
        x = tensor([0.0])
        layer(x).backward(np.ones(1))
        assert x.grad.tolist() == [slope]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [nn.Sigmoid, nn.Tanh, nn.Softplus])
def test_activations_survive_extreme_input(kind, dtype):
    """Scores of ±10000 give the limits, finite gradients and no overflow warning."""
    limits = {nn.Sigmoid: [0, 1], nn.Tanh: [-1, 1], nn.Softplus: [0, 1e4]}[kind]
    slopes = {nn.Sigmoid: [0, 0], nn.Tanh: [0, 0], nn.Softplus: [0, 1]}[kind]
    x = tensor([-1e4, 1e4], dtype)
    out = kind()(x)
    out.sum().backward()
    assert out.data.tolist() == limits
    assert x.grad.tolist() == slopes


@pytest.mark.parametrize("x", [-40.0, -20.1, 20.1, 40.0])
def test_softplus_is_exact_where_pytorch_approximates(x):
    """Beyond 20, where PyTorch returns x itself, softplus is still log(1 + e**x)."""
    assert nn.Softplus()(tensor([x])).item() == pytest.approx(np.logaddexp(0, x), rel=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [nn.Softmax, nn.LogSoftmax])
def test_softmax_survives_extreme_scores(kind, dtype):
    """The largest of scores 10000 apart takes everything, without overflow or nan."""
    x = tensor([[-1e4, 0.0, 1e4]], dtype)
    out = kind(dim=1)(x)
    out.sum().backward()
    expected = [0, 0, 1] if kind is nn.Softmax else [-2e4, -1e4, 0]
    assert out.data.tolist() == [expected]
    assert np.isfinite(x.grad).all()
