"""Passes for images: rectifiers behind maxima keep every bit, convolutions with maxima agree."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, threads
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's name for it
from tinygrad_course.replay.passes import PASSES


@pytest.fixture
def rng():
    return np.random.default_rng(5)


LATE = ["late rectifiers"]
POOLED = ["late rectifiers", "pooled convolutions"]


def value_and_gradients(function, passes, *arrays, frozen=()):
    """Return a function's value and gradients, and the calls of the replay; no passes: eager."""
    tensors = [tc.Tensor(x.copy(), requires_grad=i not in frozen) for i, x in enumerate(arrays)]

    def step():
        for tensor in tensors:
            tensor.grad = None
        y = function(*tensors)
        weights = np.cos(np.arange(y.size)).astype(y.dtype).reshape(y.shape)
        y.backward(weights)
        return y

    run = step if passes is None else tc.compile(step, passes=passes)
    y = run().data.copy()
    grads = [None if tensor.grad is None else tensor.grad.copy() for tensor in tensors]
    return (y, *grads), {} if passes is None else calls(run)


def calls(compiled):
    """Return the arguments by keyword of each call of a replay, by what is called, in order."""
    return {step.text: step.keywords for step in compiled.plan.steps}


def assert_agree(function, passes, *arrays, frozen=(), exact=False):
    """Hold a replay against the eager function; return the replay's calls."""
    expected, _ = value_and_gradients(function, None, *arrays, frozen=frozen)
    found, made = value_and_gradients(function, passes, *arrays, frozen=frozen)
    for theirs, ours in zip(expected, found, strict=True):
        assert (theirs is None) == (ours is None)
        if exact and theirs is not None:
            np.testing.assert_array_equal(ours, theirs)
        elif theirs is not None:
            scale = np.abs(theirs).max(initial=1.0)
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12 * scale)
    return made


# ---- rectifiers behind maxima ------------------------------------------------------------------


def with_ties(rng, shape, dtype):
    """Return whole numbers from -2 to 2: windows with several maxima, with none above 0, -0."""
    x = rng.integers(-2, 3, size=shape).astype(dtype)
    x[x == 0] *= rng.choice([-1.0, 1.0], size=(x == 0).sum())
    return x


def with_infinities(rng, shape, dtype):
    """Return numbers among which there are infinities of both signs."""
    x = rng.normal(size=shape).astype(dtype)
    return np.where(rng.random(shape) < 0.2, np.copysign(np.inf, x), x)


VALUES = {
    "any": lambda rng, shape, dtype: rng.normal(size=shape).astype(dtype),
    "negative": lambda rng, shape, dtype: -rng.random(shape).astype(dtype),
    "ties": with_ties,
    "zeros": lambda _rng, shape, dtype: np.zeros(shape, dtype),
    "infinities": with_infinities,
}
WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": (3, 2), "stride": (1, 2), "padding": 1},
    {"kernel_size": 2, "stride": 3, "dilation": 2},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", WINDOWS, ids=str)
@pytest.mark.parametrize("values", VALUES)
def test_a_rectifier_behind_maxima_keeps_every_bit(values, options, dtype, rng):
    """Value and gradient are equal to the bit, for ties, windows below 0, zeros, infinities."""
    x = VALUES[values](rng, (3, 2, 7, 8), dtype)
    made = assert_agree(lambda t: F.max_pool2d(F.relu(t), **options), LATE, x, exact=True)
    assert list(made).index("max_pool2d") < list(made).index("np.maximum")


def test_a_rectifier_behind_maxima_lets_not_a_number_through(rng):
    """NaNs come out where they did, and windows without one have the gradient that they had."""
    x = rng.normal(size=(2, 3, 8, 8))
    x[rng.random(x.shape) < 0.1] = np.nan

    def function(t):
        return F.max_pool2d(F.relu(t), 2)

    (y, grad), _ = value_and_gradients(function, None, x)
    (found, found_grad), _ = value_and_gradients(function, LATE, x)
    np.testing.assert_array_equal(found, y)
    whole = np.kron(~np.isnan(y), np.ones((2, 2), bool))
    np.testing.assert_array_equal(found_grad[whole], grad[whole])
    assert 0 < whole.sum() < whole.size


@pytest.mark.parametrize("train", [True, False])
def test_a_rectifier_goes_behind_maxima_with_a_gradient_and_without(train, rng):
    """The call of the rectifier that is left has the maxima's shape."""
    x = tc.Tensor(rng.normal(size=(2, 3, 4, 6)), requires_grad=train)

    def step():
        y = F.max_pool2d(F.relu(x), 2)
        if train:
            x.grad = None
            y.sum().backward()
        return y

    compiled = tc.compile(step, passes=LATE)
    np.testing.assert_array_equal(compiled().data, step().data)
    rectifiers = [s for s in compiled.plan.steps if s.function is np.maximum]
    assert [s.result.example.shape for s in rectifiers] == [(2, 3, 2, 3)]


READERS = {
    "sum": lambda high: F.max_pool2d(high, 2).sum() + (high**2).sum(),
    "averages": lambda high: F.max_pool2d(high, 2) + F.avg_pool2d(high, 2),
    "other maxima": lambda high: F.max_pool2d(high, 2) + F.max_pool2d(high, 3, stride=1),
}


@pytest.mark.parametrize("name", READERS)
def test_a_rectifier_that_somebody_else_reads_stays(name, rng):
    """Nothing moves where all that is rectified is wanted elsewhere."""
    x = rng.normal(size=(2, 2, 4, 4))
    made = assert_agree(lambda t: READERS[name](F.relu(t)), LATE, x, exact=True)
    assert list(made).index("np.maximum") < list(made).index("max_pool2d")


@pytest.mark.parametrize("name", READERS)
def test_a_rectifier_that_somebody_else_reads_stays_without_a_gradient(name, rng):
    """Nor does anything move in a forward pass alone."""
    x = rng.normal(size=(2, 2, 4, 4))

    def function(t):
        return READERS[name](F.relu(t))

    compiled = tc.compile(function, passes=LATE)
    np.testing.assert_array_equal(compiled(x), function(x))
    made = list(calls(compiled))
    assert made.index("np.maximum") < made.index("max_pool2d")


def test_a_rectifier_stays_where_its_argument_is_overwritten(rng):
    """Maxima taken later would be those of other numbers."""

    def step(x, y):
        high = tc.relu(x * 1.0)
        x_later = F.max_pool2d(high, 2)
        y += 1.0
        return x_later

    x, y = rng.normal(size=(1, 1, 4, 4)), np.zeros(2)
    compiled = tc.compile(step)
    np.testing.assert_array_equal(compiled(x, y), step(x, y.copy()))

    def overwriting(x):
        high = np.maximum(x, 0)
        x -= 10.0
        return F.max_pool2d(high, 2)

    compiled = tc.compile(overwriting, passes=LATE)
    np.testing.assert_array_equal(compiled(x.copy()), overwriting(x.copy()))


# ---- convolutions with maxima ------------------------------------------------------------------

BLOCKS = {
    "rectified first": lambda y, k: F.max_pool2d(F.relu(y), k),
    "rectified last": lambda y, k: F.relu(F.max_pool2d(y, k)),
    "not rectified": F.max_pool2d,
    "squashed": lambda y, k: tc.tanh(F.max_pool2d(y, k)),
    "leaky": lambda y, k: F.leaky_relu(F.max_pool2d(y, k)),
}
CONVOLUTIONS = [
    ((2, 3, 8, 8), (4, 3, 3, 3), {"padding": 1}, 2),
    ((3, 1, 7, 9), (2, 1, 2, 4), {}, (3, 2)),
    ((2, 2, 9, 8), (3, 2, 3, 2), {"stride": 2, "padding": (1, 0)}, (5, 4)),
    ((2, 2, 9, 9), (3, 2, 2, 3), {"dilation": (2, 1), "padding": (0, 2)}, (7, 11)),
    ((2, 5, 4, 4), (3, 5, 1, 1), {}, (1, 2)),
    ((2, 24, 6, 6), (3, 24, 3, 3), {}, 2),
    ((0, 2, 5, 5), (3, 2, 2, 2), {}, 2),
]


def block(body, options, window):
    return lambda x, weight, bias=None: BLOCKS[body](F.conv2d(x, weight, bias, **options), window)


@pytest.mark.parametrize("body", BLOCKS)
@pytest.mark.parametrize(("images", "kernels", "options", "window"), CONVOLUTIONS, ids=str)
def test_a_convolution_with_its_maxima_agrees(images, kernels, options, window, body, rng):
    """Values and all three gradients agree within rounding."""
    arrays = [rng.normal(size=shape) for shape in (images, kernels, kernels[:1])]
    for given in (arrays, arrays[:2]):
        made = assert_agree(block(body, options, window), POOLED, *given)
        assert "max_pool2d" not in made
        for name in ("conv_pool", "conv_pool_backward"):
            assert made[name]["rectified"] == body.startswith("rectified")


@pytest.mark.parametrize("frozen", [f for n in (1, 2) for f in itertools.combinations(range(3), n)])
def test_only_wanted_gradients_are_computed(frozen, rng):
    """Of images, weight and bias any may be constants."""
    arrays = [rng.normal(size=shape) for shape in ((2, 3, 6, 6), (4, 3, 3, 3), (4,))]
    made = assert_agree(block("rectified first", {}, 2), POOLED, *arrays, frozen=frozen)
    wanted = [i not in frozen for i in range(3)]
    assert list(made["conv_pool_backward"]["wanted"]) == wanted


@pytest.mark.parametrize("body", BLOCKS)
def test_without_a_gradient_no_winners_are_noted(body, rng):
    """A forward pass alone takes its maxima with the convolution, too."""
    arrays = [rng.normal(size=shape) for shape in ((2, 3, 6, 6), (4, 3, 3, 3), (4,))]
    function = block(body, {}, 2)
    compiled = tc.compile(function, passes=POOLED)
    np.testing.assert_allclose(compiled(*arrays), function(*arrays), rtol=1e-12, atol=1e-12)
    assert calls(compiled)["conv_pool"]["winners"] is False


def test_among_equal_sums_the_first_wins(rng):
    """Flat images make windows of equal sums, whose gradient goes to the first of them."""
    x = np.zeros((2, 1, 8, 8))
    x[:, :, 3:, 2:] = rng.integers(0, 2, size=(2, 1, 5, 6))
    weight = rng.integers(-1, 2, size=(3, 1, 3, 3)).astype(float)
    function = block("rectified first", {}, 2)
    assert_agree(function, POOLED, x, weight, np.ones(3), exact=True)


def test_not_a_number_passes_a_convolution_with_its_maxima(rng):
    """The maxima of windows with a NaN are NaN."""
    x = rng.normal(size=(1, 1, 8, 8))
    x[0, 0, 0, 0] = np.nan
    weight = rng.normal(size=(2, 1, 3, 3))
    function = block("rectified first", {}, 2)
    (expected, *_), _ = value_and_gradients(function, None, x, weight)
    (found, *_), _ = value_and_gradients(function, POOLED, x, weight)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.isnan(found).sum() == 2


APART = {
    "windows that overlap": lambda x, w: F.max_pool2d(F.conv2d(x, w), 2, stride=1),
    "windows that leave some out": lambda x, w: F.max_pool2d(F.conv2d(x, w), 3),
    "padded windows": lambda x, w: F.max_pool2d(F.conv2d(x, w), 2, padding=1),
    "groups": lambda x, w: F.max_pool2d(F.conv2d(x, w[:, :1], groups=2), 2),
    "averages": lambda x, w: F.avg_pool2d(F.conv2d(x, w), 2),
    "read again": lambda x, w: READERS["sum"](F.conv2d(x, w)),
}


@pytest.mark.parametrize("name", APART)
def test_other_maxima_stay_by_themselves(name, rng):
    """Only maxima of windows side by side, and of nothing that is read again, are taken along."""
    x, weight = rng.normal(size=(2, 2, 6, 6)), rng.normal(size=(4, 2, 3, 3))
    made = assert_agree(APART[name], POOLED, x, weight)
    assert "conv_pool" not in made


MAXIMA_READ_TWICE = {
    "beside the rectifier": lambda y: F.relu(y) + y,
    "rectified twice": lambda y: F.relu(y) + tc.maximum(y, 0.0),
    "behind the rectifier": lambda y: tc.exp(F.relu(y)) * F.relu(-y),
}


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", MAXIMA_READ_TWICE)
def test_a_rectifier_of_maxima_that_somebody_else_reads_stays(name, train, rng):
    """The maxima go with the convolution, the rectifier does not."""
    x, weight = rng.normal(size=(2, 2, 6, 6)), rng.normal(size=(4, 2, 3, 3))

    def function(x, weight):
        return MAXIMA_READ_TWICE[name](F.max_pool2d(F.conv2d(x, weight), 2))

    if train:
        made = assert_agree(function, POOLED, x, weight)
    else:
        compiled = tc.compile(function, passes=POOLED)
        np.testing.assert_allclose(compiled(x, weight), function(x, weight), rtol=1e-12)
        made = calls(compiled)
    assert made["conv_pool"]["rectified"] is False


def test_the_result_of_a_convolution_that_leaves_the_step_stays(rng):
    """What a step returns is computed as a whole."""
    x, weight = rng.normal(size=(2, 2, 6, 6)), rng.normal(size=(4, 2, 3, 3))

    def step(x, weight):
        y = F.conv2d(x, weight)
        return y, F.max_pool2d(y, 2)

    compiled = tc.compile(step)
    for ours, theirs in zip(compiled(x, weight), step(x, weight), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "conv_pool" not in calls(compiled)


def lenet(dtype=np.float64):
    rng = np.random.default_rng(0)
    words = {"dtype": dtype, "generator": rng}
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, **words),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 2, **words),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 3, **words),
    )


def training_step(model):
    def step(x, y):
        for p in model.parameters():
            p.grad = None
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        with tc.no_grad():
            for p in model.parameters():
                p.data -= 0.1 * p.grad
        return loss

    return step


def test_a_network_of_images_trains_alike(rng):
    """Losses and parameters of several steps agree with the eager ones and with no passes."""
    eager, replayed = lenet(), lenet()
    step, compiled = training_step(eager), tc.compile(training_step(replayed))
    for _ in range(4):
        x, y = rng.normal(size=(5, 1, 12, 12)), rng.integers(0, 3, 5)
        assert compiled(x, y).item() == pytest.approx(step(x, y).item(), rel=1e-12)
    for p, q in zip(replayed.parameters(), eager.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-10, atol=1e-12)
    made = [step.text for step in compiled.plan.steps]
    assert made.count("conv_pool") == made.count("conv_pool_backward") == 2
    assert "max_pool2d" not in made
    text = [line.strip() for line in compiled.source.splitlines()]
    for layer, name in ((1, "ReLU"), (2, "MaxPool2d"), (4, "MaxPool2d"), (5, "ReLU")):
        assert any(line.startswith(f"#   with {layer} {name}") for line in text)


@pytest.mark.parametrize("layer", [1, 2, 4])
def test_options_of_layers_that_are_taken_along_are_noticed(layer, rng):
    """A change of a layer whose own calls have gone makes a new trace."""
    model = lenet()
    compiled = tc.compile(model.__call__)
    x = rng.normal(size=(5, 1, 12, 12))
    compiled(x)
    assert len(next(iter(compiled._replays.values()))) == 1
    model[layer].training = False
    np.testing.assert_allclose(compiled(x).data, model(x).data, rtol=1e-12, atol=1e-12)
    assert len(next(iter(compiled._replays.values()))) == 2


def test_the_bits_of_a_pooled_convolution_do_not_depend_on_the_threads(monkeypatch, rng):
    """One thread and three give the same bits: the pieces follow from the shapes alone."""
    shapes = ((32, 2, 24, 24), (8, 2, 5, 5), (8,))
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    found = []
    for count in (1, 3):
        monkeypatch.setattr(threads, "_available", lambda count=count: count)
        monkeypatch.setattr(threads, "ENOUGH", 0.0)
        found.append(value_and_gradients(block("rectified first", {}, 2), POOLED, *arrays)[0])
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)


def test_the_passes_are_on_by_default():
    """They run without being asked for, rectifiers first."""
    names = list(PASSES)
    assert names.index("late rectifiers") < names.index("pooled convolutions")


def test_batch_normalization_of_large_images_is_two_calls(rng):
    """What goes through a large table block by block is one call of a replay each way."""
    arrays = [rng.normal(size=shape) for shape in ((8, 3, 64, 64), (3,), (3,))]
    made = assert_agree(lambda *xs: tc.batch_norm(*xs, eps=1e-5)[0], tuple(PASSES), *arrays)
    assert {"normalize_blocks", "rule_blocks"} <= made.keys()
