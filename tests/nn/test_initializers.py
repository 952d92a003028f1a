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
OTHERS = {
    "truncated": (init.trunc_normal_, {}, None),
    "truncated, far": (init.trunc_normal_, {"a": 3.0, "b": 9.0}, None),
    "orthogonal": (init.orthogonal_, {}, None),
    "sparse": (init.sparse_, {"sparsity": 0.3}, None),
}
DRAWS = pytest.mark.parametrize(
    ("function", "options"),
    [
        pytest.param(function, options, id=f"{kind} {name}")
        for kind, table in (("U", UNIFORM), ("N", NORMAL), ("", OTHERS))
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
        ("conv_transpose2d", None, 1.0),
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
    assert init.calculate_gain(word, param) == pytest.approx(value, rel=1e-15)


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize(
    "word", ["linear", "conv1d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"]
)
def test_gains_are_those_of_the_installed_pytorch(word):
    """calculate_gain of torch gives the same factors."""
    from torch.nn.init import calculate_gain

    for param in (None, 0.3):
        if word == "leaky_relu" or param is None:
            assert init.calculate_gain(word, param) == pytest.approx(
                calculate_gain(word, param), rel=1e-15
            )


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
    with pytest.raises(ArgumentError, match="slope must be a number, got True"):
        init.calculate_gain("leaky_relu", True)


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


# ---- truncated, orthogonal, sparse ---------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        pytest.param(0.0, 1.0, -2.0, 2.0, id="symmetric"),
        pytest.param(1.0, 0.5, 0.9, 9.0, id="one side"),
        pytest.param(0.0, 1.0, 2.0, 3.0, id="tail"),
        pytest.param(0.0, 0.1, 1.0, 1000.0, id="far tail"),
        pytest.param(5.0, 2.0, 5.5, 5.6, id="narrow"),
        pytest.param(3.0, 1.0, -20.0, -1.0, id="far below"),
    ],
)
def test_truncated_values_have_the_moments_of_the_truncated_bell(mean, std, a, b):
    """Mean and deviation are those of the formulas, and nothing lies outside."""
    values = init.trunc_normal_(
        weight((200_000,)), mean, std, a, b, generator=np.random.default_rng(0)
    ).data
    assert a <= values.min()
    assert values.max() <= b
    low, high = (a - mean) / std, (b - mean) / std

    def density(x):
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    sign = 1 if low + high > 0 else -1  # the smaller tail, which erfc knows to all digits
    ends = sorted((sign * low, sign * high))
    share = (math.erfc(ends[0] / math.sqrt(2)) - math.erfc(ends[1] / math.sqrt(2))) / 2
    shift = (density(low) - density(high)) / share
    spread = math.sqrt(1 + (low * density(low) - high * density(high)) / share - shift**2)
    error = std * spread / math.sqrt(values.size)
    assert abs(values.mean() - (mean + std * shift)) < 5 * error
    assert values.std() == pytest.approx(std * spread, rel=0.02)


def test_truncated_values_stay_inside_in_float32():
    """Rounding does not step over a bound that float32 has; whole Tensors are filled."""
    parameter = weight((100, 100), np.float32)
    init.trunc_normal_(parameter, std=1e-9, a=0.0, b=1.0)
    assert parameter.data.min() >= 0
    assert np.isfinite(parameter.data).all()
    for bounds in ((1.0, 1.0), (2.0, 1.0)):
        with pytest.raises(ArgumentError, match="a < b"):
            init.trunc_normal_(parameter, 0.0, 1.0, *bounds)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (3, 2, 2), (8, 2, 3), (1, 1)])
def test_orthogonal_values_are_orthogonal(shape):
    """The shorter side is orthonormal, times the gain, whatever the dtype."""
    for dtype, digits in ((np.float64, 1e-12), (np.float32, 1e-5)):
        w = init.orthogonal_(weight(shape, dtype), gain=2.0).data.reshape(shape[0], -1)
        product = w @ w.T if len(w) <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=digits)


def test_there_is_nothing_to_draw_for_an_empty_weight():
    """Weights without elements stay as they are."""
    for function in (init.orthogonal_, init.trunc_normal_, init.normal_, init.dirac_):
        parameter = weight((0, 3, 2))
        assert function(parameter) is parameter
        assert parameter.shape == (0, 3, 2)


def test_orthogonal_values_have_no_favourite_direction():
    """Without the correction of signs the diagonal would be negative: its mean is 0 here."""
    rng = np.random.default_rng(0)
    drawn = np.stack([init.orthogonal_(weight((3, 3)), generator=rng).data for _ in range(3000)])
    assert np.abs(drawn.mean(axis=0)).max() < 5 / math.sqrt(3 * 3000)
    np.testing.assert_allclose((drawn**2).mean(axis=0), 1 / 3, atol=0.02)


@pytest.mark.parametrize(("sparsity", "zeros"), [(0.0, 0), (0.25, 25), (0.251, 26), (1.0, 100)])
def test_sparse_values_have_their_zeros(sparsity, zeros):
    """Every column has as many zeros, at places of its own, and the rest is normal."""
    w = init.sparse_(weight((100, 60)), sparsity, 0.5, generator=np.random.default_rng(0)).data
    assert ((w == 0).sum(axis=0) == zeros).all()
    if 0 < zeros < 100:
        assert len({tuple(column) for column in (w == 0).T}) == 60
        counts = (w == 0).sum(axis=1)
        assert counts.mean() == pytest.approx(60 * zeros / 100)
        assert counts.std() < 6
    if zeros < 100:
        assert w[w != 0].std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2)])
def test_the_identity_passes_its_input_on(shape):
    """eye_ sets ones on the diagonal and zeros beside it, in the dtype of the Tensor."""
    parameter = weight(shape, np.float32)
    assert init.eye_(parameter) is parameter
    np.testing.assert_array_equal(parameter.data, np.eye(*shape, dtype=np.float32))
    assert parameter.dtype == np.float32


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("shape", [(4, 2, 3), (4, 6, 3, 2), (2, 2, 3, 3, 3), (6, 1, 4)])
def test_impulses_are_pytorchs(shape, groups):
    """dirac_ sets the same elements as torch's."""
    import torch

    theirs = torch.nn.init.dirac_(torch.zeros(shape), groups).numpy()
    np.testing.assert_array_equal(init.dirac_(weight(shape), groups).data, theirs)


def test_impulses_pass_channels_on():
    """Each filter is 1 in the middle of its channel; what is too much is 0."""
    w = init.dirac_(weight((3, 2, 3, 3))).data
    expected = np.zeros((3, 2, 3, 3))
    expected[0, 0, 1, 1] = expected[1, 1, 1, 1] = 1
    np.testing.assert_array_equal(w, expected)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: init.eye_(weight((3,))), ShapeError, r"eye_: needs .* two axes, got \(3,\)"),
        (lambda: init.dirac_(weight((3, 3))), ShapeError, r"three, four or five axes"),
        (lambda: init.dirac_(weight((3, 3, 3)), 2), ArgumentError, "3 filters .* 2 groups"),
        (lambda: init.orthogonal_(weight((3,))), ShapeError, "orthogonal_: needs .* two or more"),
        (lambda: init.sparse_(weight((3, 2, 2)), 0.1), ShapeError, "sparse_"),
        (lambda: init.sparse_(weight((3, 2)), 1.5), ArgumentError, r"\[0, 1\], got 1\.5"),
        (lambda: init.initialize(nn.Linear(2, 2), "she"), ArgumentError, "'she'.*he.*nielsen"),
        (lambda: init.initialize(nn.ReLU(), "he"), ArgumentError, "ReLU has no weights"),
    ],
)
def test_wrong_calls_are_explained(call, error, words):
    """Wrong shapes and options are refused with what they are."""
    with pytest.raises(error, match=words):
        call()


# ---- whole models ------------------------------------------------------------------------------


RULES = {  # of T9 in the notes: deviation of W (n_in 400, n_out 300), deviation of b
    "zeros": (0.0, 0.0),
    "large": (1.0, 1.0),
    "small": (0.01, 0.0),
    "lecun": (1 / 20, 0.0),
    "glorot": (math.sqrt(2 / 700), 0.0),
    "xavier": (math.sqrt(2 / 700), 0.0),
    "he": (math.sqrt(2 / 400), 0.0),
    "kaiming": (math.sqrt(2 / 400), 0.0),
    "nielsen": (1 / 20, 1.0),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_initializes_every_layer(rule):
    """Weights and biases have the deviations of the notes, and mean 0."""
    assert init.RULES.keys() == RULES.keys()
    model = nn.Sequential(nn.Linear(400, 300), nn.Tanh(), nn.Sequential(nn.Linear(400, 300)))
    assert init.initialize(model, rule, generator=np.random.default_rng(0)) is model
    of_weights, of_biases = RULES[rule]
    for layer in (model[0], model[2][0]):
        for p, std in ((layer.weight, of_weights), (layer.bias, of_biases)):
            if not std:
                assert not p.data.any()
                continue
            assert p.data.std() == pytest.approx(std, rel=5 / math.sqrt(2 * p.size))
            assert abs(p.data.mean()) < 5 * std / math.sqrt(p.size)
    if of_weights:
        assert not np.array_equal(model[0].weight.data, model[2][0].weight.data)


def test_other_parameters_are_left_alone():
    """Scales and shifts of normalization, and averages, keep their values."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4))
    before = {k: v.copy() for k, v in model[1].state_dict().items()}
    init.initialize(model, "large")
    for key, value in model[1].state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_a_function_may_be_the_rule():
    """Weights get the function's values, biases 0; equal generators give equal bits."""
    drawn = []
    for _ in range(2):
        model = nn.Linear(3, 4, dtype=float)
        init.initialize(model, init.orthogonal_, generator=np.random.default_rng(1))
        drawn.append(model.weight.data)
    np.testing.assert_allclose(drawn[0].T @ drawn[0], np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(*drawn)
    assert not model.bias.data.any()


def test_zeros_never_break_the_symmetry():
    """All hidden units compute the same after a step, and their weights stay equal (lesson 11)."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))
    init.initialize(model, "zeros")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)), rng.integers(0, 2, 8)
    for _ in range(5):
        model.zero_grad()
        nn.CrossEntropyLoss()(model(x), y).backward()
        with tc.no_grad():
            for p in model.parameters():
                p.data -= p.grad
    hidden = model[0].weight.data
    assert hidden.any()
    assert (hidden == hidden[0]).all()
