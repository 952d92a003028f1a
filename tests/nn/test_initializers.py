"""Initial values: the spread of every formula, and draws that can be repeated."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, ModifiedValueError, ShapeError

init = nn.init

# A weight of shape (300, 200, 2): fan-in 400, fan-out 600.
SHAPE, FAN_IN, FAN_OUT = (300, 200, 2), 400, 600
RELU, TANH = {"nonlinearity": "relu"}, {"nonlinearity": "tanh"}

UNIFORM = {
    "uniform": (init.uniform_, {}, (0.0, 1.0)),
    "uniform, bounds": (init.uniform_, {"a": -1.0, "b": 3.0}, (-1.0, 3.0)),
    "xavier": (init.xavier_uniform_, {}, math.sqrt(6 / (FAN_IN + FAN_OUT))),
    "xavier, gain": (init.xavier_uniform_, {"gain": 2.0}, 2 * math.sqrt(6 / (FAN_IN + FAN_OUT))),
    "kaiming": (init.kaiming_uniform_, {}, math.sqrt(6 / FAN_IN)),
    "kaiming, a": (init.kaiming_uniform_, {"a": 2.0}, math.sqrt(6 / 5 / FAN_IN)),
    "kaiming, fan_out": (init.kaiming_uniform_, {"mode": "fan_out"}, math.sqrt(6 / FAN_OUT)),
    "kaiming, tanh": (init.kaiming_uniform_, TANH, 5 / 3 * math.sqrt(3 / FAN_IN)),
}
NORMAL = {
    "normal": (init.normal_, {}, (0.0, 1.0)),
    "normal, options": (init.normal_, {"mean": 5.0, "std": 2.0}, (5.0, 2.0)),
    "xavier": (init.xavier_normal_, {}, (0.0, math.sqrt(2 / (FAN_IN + FAN_OUT)))),
    "xavier, gain": (
        init.xavier_normal_,
        {"gain": 2.0},
        (0.0, 2 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
    ),
    "kaiming": (init.kaiming_normal_, RELU, (0.0, math.sqrt(2 / FAN_IN))),
    "kaiming, a": (init.kaiming_normal_, {"a": 2.0}, (0.0, math.sqrt(2 / 5 / FAN_IN))),
    "kaiming, fan_out": (init.kaiming_normal_, {"mode": "fan_out"}, (0.0, math.sqrt(2 / FAN_OUT))),
    "kaiming, tanh": (init.kaiming_normal_, TANH, (0.0, 5 / 3 / math.sqrt(FAN_IN))),
    "lecun": (init.lecun_normal_, {}, (0.0, 1 / math.sqrt(FAN_IN))),
}
DRAWS = pytest.mark.parametrize(
    ("function", "options"),
    [
        pytest.param(function, options, id=f"{kind} {name}")
        for kind, table in (("U", UNIFORM), ("N", NORMAL))
        for name, (function, options, _) in table.items()
    ],
)


def weight(shape=SHAPE, dtype=float):
    return nn.Parameter(np.full(shape, np.nan, dtype))


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_values_fill_their_interval(name):
    """Mean, standard deviation and both ends are those of the formula's interval."""
    function, options, bounds = UNIFORM[name]
    low, high = bounds if isinstance(bounds, tuple) else (-bounds, bounds)
    values = function(weight(), **options, generator=np.random.default_rng(0)).data
    spread = (high - low) / math.sqrt(12)
    assert abs(values.mean() - (low + high) / 2) < 5 * spread / math.sqrt(values.size)
    assert values.std() == pytest.approx(spread, rel=0.01)
    assert low <= values.min() < low + 1e-3 * (high - low)
    assert high - 1e-3 * (high - low) < values.max() <= high


@pytest.mark.parametrize("name", NORMAL)
def test_normal_values_have_their_mean_and_deviation(name):
    """Mean and standard deviation are the formula's, and the shape is a bell."""
    function, options, (mean, std) = NORMAL[name]
    values = function(weight(), **options, generator=np.random.default_rng(0)).data
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(values.size)
    assert values.std() == pytest.approx(std, rel=5 / math.sqrt(2 * values.size))
    within = np.mean(np.abs(values - mean) < std)
    assert within == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.01)


@DRAWS
def test_draws_follow_their_generator(function, options):
    """Equal generators, or the same seed without one, give the same bits; others do not."""

    def draw(seed):
        return function(weight((4, 3)), **options, generator=np.random.default_rng(seed)).data

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))
    seeded = []
    for seed in (1, 1, 2):
        tc.seed(seed)
        seeded.append(function(weight((4, 3)), **options).data)
    np.testing.assert_array_equal(seeded[0], seeded[1])
    assert not np.array_equal(seeded[0], seeded[2])


@DRAWS
def test_draws_change_the_tensor_they_are_given(function, options):
    """The Tensor itself is returned, with its dtype, its memory and its requires_grad."""
    parameter = weight((4, 3), np.float32)
    memory = parameter.data
    assert function(parameter, **options) is parameter
    assert parameter.data is memory
    assert parameter.dtype == np.float32
    assert parameter.requires_grad
    assert np.isfinite(memory).all()


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (init.zeros_, 0.0),
        (init.ones_, 1.0),
        (lambda t: init.constant_(t, 0.25), 0.25),
        (lambda t: init.constant_(t, np.float64(3)), 3.0),
    ],
)
def test_constants_fill_the_tensor(function, value):
    """Every element has the value, and float32 stays float32."""
    parameter = weight((4, 3), np.float32)
    assert function(parameter) is parameter
    assert (parameter.data == value).all()
    assert parameter.dtype == np.float32


def test_an_initializer_between_forward_and_backward_is_noticed():
    """Backward refuses to use a weight that was initialized anew after it was saved."""
    parameter = nn.Parameter(np.ones(3))
    out = (parameter * parameter).sum()
    init.normal_(parameter)
    with pytest.raises(ModifiedValueError):
        out.backward()


@pytest.mark.parametrize(
    ("shape", "fans"), [((8, 4), (4, 8)), ((8, 4, 3, 3), (36, 72)), ((1, 1), (1, 1))]
)
def test_fans_count_the_trailing_axes(shape, fans):
    """Fan-in and fan-out of (n_out, n_in, ...) are multiplied by the size of the rest."""
    assert init.fans(weight(shape)) == fans


@pytest.mark.parametrize(
    ("word", "param", "value"),
    [
        ("linear", None, 1.0),
        ("sigmoid", None, 1.0),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("selu", None, 0.75),
        ("leaky_relu", None, math.sqrt(2 / (1 + 1e-4))),
        ("leaky_relu", 0.5, math.sqrt(1.6)),
    ],
)
def test_gains_are_pytorchs(word, param, value):
    """The gain of each nonlinearity is the number in the documentation of PyTorch."""
    assert init.gain(word, param) == pytest.approx(value, rel=1e-15)


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize("word", ["linear", "sigmoid", "tanh", "relu", "selu", "leaky_relu"])
def test_gains_are_those_of_the_installed_pytorch(word):
    """calculate_gain of torch gives the same factors."""
    from torch.nn.init import calculate_gain

    for param in (None, 0.3):
        if word == "leaky_relu" or param is None:
            assert init.gain(word, param) == pytest.approx(calculate_gain(word, param), rel=1e-15)


@pytest.mark.parametrize(
    "function",
    [
        init.xavier_normal_,
        init.xavier_uniform_,
        init.kaiming_normal_,
        init.kaiming_uniform_,
        init.lecun_normal_,
    ],
)
@pytest.mark.parametrize("shape", [(3,), ()])
def test_fans_need_two_axes(function, shape):
    """A bias has no fans: the refusal shows its shape, and the values stay."""
    parameter = nn.Parameter(np.ones(shape))
    with pytest.raises(ShapeError) as caught:
        function(parameter)
    assert f"two axes, got {shape}" in str(caught.value)
    assert (parameter.data == 1).all()


def test_unknown_words_are_refused():
    """Modes and nonlinearities that do not exist are named beside those that do."""
    for function in (init.kaiming_normal_, init.kaiming_uniform_):
        with pytest.raises(ArgumentError, match="'fan_in' or 'fan_out', got 'fan_both'"):
            function(weight((3, 3)), mode="fan_both")
        with pytest.raises(ArgumentError, match="'swish'.*leaky_relu.*relu"):
            function(weight((3, 3)), nonlinearity="swish")


@pytest.mark.parametrize("bias", [True, False])
def test_linear_starts_as_pytorchs(bias):
    """Weight and bias are uniform within 1/sqrt(in_features) and follow generator and seed."""
    layer = nn.Linear(400, 300, bias=bias, generator=np.random.default_rng(0))
    for parameter in layer.parameters():
        largest = np.abs(parameter.data).max()
        assert 0.049 < largest <= np.float32(0.05)
        assert parameter.data.std() == pytest.approx(0.05 / math.sqrt(3), rel=0.1)
    again = nn.Linear(400, 300, bias=bias, generator=np.random.default_rng(0))
    np.testing.assert_array_equal(layer.weight.data, again.weight.data)
    tc.seed(5)
    first = nn.Linear(4, 3)
    tc.seed(5)
    np.testing.assert_array_equal(first.bias.data, nn.Linear(4, 3).bias.data)
