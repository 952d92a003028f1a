"""Activations at kinks and extremes."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import scipy.special

import tinygrad_course as tc
from tinygrad_course import nn, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.primitive import FUNCTIONS

F = nn.functional


def tensor(array, dtype=None):
    return tc.Tensor(np.array(array, dtype), requires_grad=True)


KINKS = {
    # name: (layer, places, PyTorch's slopes there)
    "relu": (nn.ReLU(), [0.0], [0.0]),
    "relu6": (nn.ReLU6(), [0.0, 6.0], [0.0, 0.0]),
    "leaky relu": (nn.LeakyReLU(0.25), [0.0], [0.25]),
    "prelu": (nn.PReLU(init=0.25, dtype=float), [0.0], [0.25]),
    "rrelu": (nn.RReLU(0.25, 0.25), [0.0], [0.25]),
    "threshold": (nn.Threshold(1.0, 3.0), [1.0], [0.0]),
    "elu": (nn.ELU(0.5), [0.0], [0.5]),
    "celu": (nn.CELU(0.5), [0.0], [1.0]),
    "selu": (nn.SELU(), [0.0], [1.0507009873554805 * 1.6732632423543772]),
    "softsign": (nn.Softsign(), [0.0], [1.0]),
    "hardtanh": (nn.Hardtanh(), [-1.0, 1.0], [0.0, 0.0]),
    "hardsigmoid": (nn.Hardsigmoid(), [-3.0, 3.0], [0.0, 0.0]),
    "hardswish": (nn.Hardswish(), [-3.0, 3.0], [0.0, 1.0]),
    "hardshrink": (nn.Hardshrink(), [-0.5, 0.5], [0.0, 0.0]),
    "softshrink": (nn.Softshrink(), [-0.5, 0.5], [0.0, 0.0]),
}


@pytest.mark.parametrize("name", KINKS)
def test_activations_have_pytorchs_slopes_at_their_kinks(name):
    """Where there are two slopes, the one that PyTorch chose is chosen."""
    layer, places, slopes = KINKS[name]
    x = tensor(places)
    layer(x).sum().backward()
    np.testing.assert_allclose(x.grad, slopes, rtol=1e-15)


LIMITS = {
    # layer: (values at -10000 and 10000, slopes there)
    nn.Sigmoid: ([0, 1], [0, 0]),
    nn.Tanh: ([-1, 1], [0, 0]),
    nn.Softplus: ([0, 1e4], [0, 1]),
    nn.LogSigmoid: ([-1e4, 0], [1, 0]),
    nn.SiLU: ([0, 1e4], [0, 1]),
    nn.GELU: ([0, 1e4], [0, 1]),
    nn.Mish: ([0, 1e4], [0, 1]),
    nn.ELU: ([-1, 1e4], [0, 1]),
    nn.CELU: ([-1, 1e4], [0, 1]),
    nn.Tanhshrink: ([1 - 1e4, 1e4 - 1], [1, 1]),
    nn.Hardsigmoid: ([0, 1], [0, 0]),
    nn.Hardswish: ([0, 1e4], [0, 1]),
    nn.Hardtanh: ([-1, 1], [0, 0]),
    nn.ReLU6: ([0, 6], [0, 0]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", LIMITS)
def test_activations_survive_extreme_input(kind, dtype):
    """Scores of ±10000 give the limits, finite gradients and no overflow warning."""
    limits, slopes = LIMITS[kind]
    x = tensor([-1e4, 1e4], dtype)
    out = kind()(x)
    out.sum().backward()
    assert out.data.tolist() == limits
    assert x.grad.tolist() == slopes


def test_gelu_by_tanh_survives_extreme_input():
    """The cube of 10000 does no harm, in float32 either."""
    x = tensor([-1e4, 1e4], np.float32)
    out = nn.GELU("tanh")(x)
    out.sum().backward()
    assert out.data.tolist() == [0, 1e4]
    assert x.grad.tolist() == [0, 1]


def test_the_normal_distribution_has_all_digits():
    """Φ agrees with SciPy's to 2e-15 relative from the far left tail to 1."""
    x = np.concatenate([np.linspace(-20, 9, 2901), [-0.46875 * 2**0.5, 4 * 2**0.5]])
    np.testing.assert_allclose(ops.normal_cdf(x), scipy.special.ndtr(x), rtol=2e-15)
    assert ops.normal_cdf(np.array([-np.inf, np.inf, np.nan])).tolist()[:2] == [0, 1]
    assert np.isnan(ops.normal_cdf(np.nan))


ROWS = [
    "elu",
    "gelu",
    "gelu_tanh",
    "gru_sequence",
    "gru_step",
    "hardtanh",
    "log_sigmoid",
    "lstm_sequence",
    "lstm_step",
    "normal_cdf",
    "normalize_rows",
    "random_uniform",
    "rnn_sequence",
    "silu",
]


@pytest.mark.parametrize("name", ROWS)
def test_the_examples_of_the_rows_are_true(name):
    """What the documentation of a row shows is what comes out."""
    test = doctest.DocTestParser().get_doctest(FUNCTIONS[name].__doc__, {}, name, None, 0)
    assert test.examples
    assert not doctest.DocTestRunner().run(test).failed


def test_hardsigmoid_is_exact_where_pytorch_rounds():
    """The slope is 1/6, not PyTorch's float32 number."""
    x = tensor([-2.0, 0.5, 4.0])
    out = nn.Hardsigmoid()(x)
    out.sum().backward()
    np.testing.assert_allclose(out.data, [1 / 6, 3.5 / 6, 1], rtol=1e-15)
    np.testing.assert_allclose(x.grad, [1 / 6, 1 / 6, 0], rtol=1e-15)


def test_random_slopes_lie_between_the_bounds():
    """In training every negative number has a slope of its own; in evaluation all have the mean."""
    layer = nn.RReLU(0.2, 0.6, generator=np.random.default_rng(0))
    x = tensor(np.concatenate([np.full(5000, -1.0), np.full(10, 2.0)]))
    out = layer(x)
    out.sum().backward()
    slopes = -out.data[:5000]
    assert 0.2 <= slopes.min() < 0.21
    assert 0.59 < slopes.max() <= 0.6
    assert abs(slopes.mean() - 0.4) < 0.01
    np.testing.assert_array_equal(out.data[5000:], 2.0)
    np.testing.assert_allclose(x.grad, np.concatenate([slopes, np.ones(10)]), rtol=1e-15)
    np.testing.assert_allclose(layer.eval()(x).data[:5000], -0.4, rtol=1e-15)


def test_random_slopes_are_drawn_anew_and_repeatably():
    """Two calls differ, equal generators agree, and float32 stays."""
    x = np.full(20, -1.0, np.float32)
    layer = nn.RReLU(generator=np.random.default_rng(3))
    first, second = layer(x), layer(x)
    assert first.dtype == np.float32
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(nn.RReLU(generator=np.random.default_rng(3))(x), first)


def test_a_slope_per_channel_belongs_to_axis_1():
    """PReLU's weights meet the channels of (m, channels, length); a vector has one slope."""
    layer = nn.PReLU(2)
    layer.weight.data = np.array([0.5, 0.25], np.float32)
    out = layer(-np.ones((3, 2, 4), np.float32))
    np.testing.assert_array_equal(out.data[:, :, 0], [[-0.5, -0.25]] * 3)
    assert nn.PReLU()(np.float32(-2)).data.reshape(()) == -0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.ReLU(inplace=True),
        lambda: nn.ELU(1.0, True),
        lambda: nn.Hardtanh(-1.0, 1.0, True),
        lambda: nn.RReLU(0.1, 0.3, True),
        lambda: nn.Threshold(0.0, 0.0, True),
    ],
)
def test_inplace_is_understood_and_leaves_the_input_alone(make):
    """inplace=True, which PyTorch's models carry, gives the same numbers in new memory."""
    x = np.array([-1.0, 0.5, 2.0])
    make()(x)
    assert x.tolist() == [-1.0, 0.5, 2.0]
    assert F.relu(x, inplace=True).tolist() == [0, 0.5, 2]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.GELU("exact"), "GELU: approximate must be 'none' or 'tanh'"),
        (lambda: F.gelu(1.0, "exact"), "gelu: approximate"),
        (lambda: nn.Hardtanh(1.0, -1.0), "min_val < max_val"),
        (lambda: F.hardtanh(1.0, 2.0, 1.0), "larger than max_val"),
        (lambda: nn.Softshrink(-1.0), "lambd must not be negative"),
        (lambda: F.softshrink(1.0, -1.0), "lambd must not be negative"),
        (lambda: nn.RReLU(0.5, 0.1), "lower=0.5"),
        (lambda: F.rrelu(1.0, 0.5, 0.1), "lower=0.5"),
        (lambda: F.celu(1.0, 0.0), "alpha must not be 0"),
        (lambda: F.softplus(1.0, 0.0), "beta must not be 0"),
        (lambda: nn.PReLU(0), "num_parameters must be a positive whole number"),
    ],
)
def test_options_without_sense_are_refused(call, words):
    """The refusal names the activation and the option."""
    with pytest.raises(ArgumentError, match=words):
        call()


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (nn.GLU(), (2, 3), r"glu in Sequential > GLU: dim -1 of shape \(2, 3\)"),
        (nn.Softmax2d(), (2, 3), r"Softmax2d in Sequential > Softmax2d: expected"),
        (nn.PReLU(4), (2, 3), r"prelu in Sequential > PReLU: got 4 slopes"),
        (nn.Softmin(2), (2, 3), r"softmin in Sequential > Softmin: dim 2 does not exist"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(layer, shape, words):
    """The refusal names the function, the layer's path and the shape."""
    with pytest.raises(ShapeError, match=words):
        nn.Sequential(layer)(np.zeros(shape))


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
