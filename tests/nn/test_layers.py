"""Layers: PyTorch's numbers, right gradients, one dtype throughout, and refusals that name them."""

from __future__ import annotations

import runpy
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, ShapeError

SCRIPT = Path(__file__).resolve().parents[1] / "reference" / "make_torch_reference.py"
reference = SimpleNamespace(**runpy.run_path(str(SCRIPT)))
ANSWERS = reference.read()["layers"]

F = nn.functional
LAYERS = pytest.mark.parametrize("name", reference.LAYERS)
NORMS = pytest.mark.parametrize("name", [n for n in reference.LAYERS if n.startswith("batch norm")])
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
STATELESS_NORM = "batch norm, no state at all"
KINKED = ("relu", "leaky relu", "leaky relu, slope")


def build(name, dtype=np.float64):
    make, shape = reference.LAYERS[name]
    return make(nn, np.dtype(dtype)), shape


def tensor(array, dtype=None):
    return tc.Tensor(np.array(array, dtype), requires_grad=True)


def follow(name, answer):
    """Run our layer through PyTorch's runs and compare everything after each."""
    layer, _ = build(name)
    assert {k: p.shape for k, p in layer.named_parameters()} == {
        k: v.shape for k, v in answer["parameters"].items()
    }
    layer.load_state_dict(answer["parameters"], strict=False)
    for number, run in enumerate(answer["runs"]):
        layer.train(run["mode"] == "train").zero_grad()
        x = tensor(run["x"])
        out = layer(x)
        out.backward(run["g"])
        where = f"run {number} ({run['mode']}): "
        reference.close(out.data, run["out"], where + "output")
        reference.close(x.grad, run["dx"], where + "input gradient")
        grads = {key: p.grad for key, p in layer.named_parameters()}
        buffers = {key: b.data for key, b in layer.named_buffers()}
        assert grads.keys() == run["grads"].keys()
        assert buffers.keys() == run["buffers"].keys()
        for key, value in (run["grads"] | run["buffers"]).items():
            reference.close((grads | buffers)[key], value, where + key)


@LAYERS
def test_a_layer_has_the_stored_numbers_of_pytorch(name):
    """Output, gradients and running averages are PyTorch's over three batches and evaluation."""
    follow(name, ANSWERS[name])


@needs_torch
@pytest.mark.parametrize("seed", [1001, 1002])
@LAYERS
def test_a_layer_has_pytorchs_numbers_on_fresh_input(name, seed):
    """The agreement does not depend on the stored random numbers."""
    follow(name, reference.torch_layer(name, seed))


@LAYERS
def test_the_stored_answers_are_those_of_the_table(name):
    """Every case of the table is stored with the shape that the table gives."""
    assert ANSWERS[name]["runs"][0]["x"].shape == reference.LAYERS[name][1]
    assert ANSWERS.keys() == reference.LAYERS.keys()


# ---- gradients -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["train", "eval"])
@LAYERS
def test_the_input_gradient_is_right(name, mode, rng):
    """The input's derivative passes the gradient check in both modes, smooth ones to 2nd order."""
    layer, shape = build(name)
    layer.load_state_dict(ANSWERS[name]["parameters"], strict=False)
    layer.train(mode == "train")
    report = tc.gradcheck(layer, rng.normal(size=shape), order=1 if name in KINKED else 2, seed=0)
    assert report, str(report)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", [n for n, a in ANSWERS.items() if a["parameters"]])
def test_the_parameter_gradients_are_right(name, mode, rng):
    """Every parameter's derivative passes the gradient check, from float32 layers too."""
    layer, shape = build(name, np.float32)
    layer.load_state_dict(ANSWERS[name]["parameters"], strict=False)
    x = rng.normal(size=shape)
    target = rng.normal(size=ANSWERS[name]["runs"][0]["out"].shape)
    report = tc.gradcheck_module(layer.train(mode == "train"), nn.MSELoss(), x, target, seed=0)
    assert report, str(report)
    assert [row.name for row in report.rows] == [key for key, _ in layer.named_parameters()]


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2)])
def test_batch_norm_is_right_to_second_order_in_everything(shape, rng):
    """Input, weight and bias of batch normalization pass the check of second derivatives."""

    def normalize(x, weight, bias):
        return F.batch_norm(x, None, None, weight, bias, training=True)

    given = [rng.normal(size=s) for s in (shape, 3, 3)]
    report = tc.gradcheck(normalize, *given, order=2, seed=0)
    assert report, str(report)


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


# ---- dtype -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["train", "eval"])
@LAYERS
def test_float32_stays_float32(name, mode, rng):
    """A float32 layer has float32 output, gradients and averages."""
    layer, shape = build(name, np.float32)
    x = tensor(rng.normal(size=shape), np.float32)
    out = layer.train(mode == "train")(x)
    out.sum().backward()
    assert out.dtype == x.grad.dtype == np.float32
    assert {p.grad.dtype for p in layer.parameters()} <= {np.dtype(np.float32)}
    kinds = {key: b.dtype for key, b in layer.named_buffers()}
    counters = {key: kinds.pop(key) for key in list(kinds) if key.endswith("tracked")}
    assert set(kinds.values()) <= {np.dtype(np.float32)}
    assert set(counters.values()) <= {np.dtype(np.int64)}


@pytest.mark.parametrize("scalar", [np.float64, np.float32, np.array])
def test_numpy_scalars_as_options_do_not_upcast(scalar, rng):
    """Options given as NumPy numbers leave a float32 net in float32."""
    model = nn.Sequential(
        nn.Linear(np.int64(4), np.int32(4)),
        nn.BatchNorm1d(4, eps=scalar(1e-5), momentum=scalar(0.1)),
        nn.LeakyReLU(scalar(0.1)),
        nn.Dropout(scalar(0.5)),
    )
    for mode in (True, False):
        model.train(mode).zero_grad()
        x = tensor(rng.normal(size=(6, 4)), np.float32)
        out = model(x)
        out.sum().backward()
        assert out.dtype == x.grad.dtype == np.float32
        assert {p.grad.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    assert model[1].running_mean.dtype == model[1].running_var.dtype == np.float32


@pytest.mark.parametrize("training", [True, False])
def test_numpy_scalars_as_options_of_the_function_do_not_upcast(training, rng):
    """batch_norm as a function keeps float32 too, whatever eps and momentum are."""
    x = tensor(rng.normal(size=(6, 3)), np.float32)
    mean, var = (nn.Buffer(np.ones(3, np.float32)) for _ in range(2))
    options = {"eps": np.float64(1e-5), "momentum": np.float64(0.1)}
    out = F.batch_norm(x, mean, var, training=training, **options)
    out.sum().backward()
    assert out.dtype == x.grad.dtype == mean.dtype == var.dtype == np.float32


@pytest.mark.parametrize("kind", ["float64", "float16", "uint8", "bool", "list", "Tensor"])
@pytest.mark.parametrize("name", ["linear", "linear, no bias", "batch norm"])
def test_input_of_any_kind_is_cast_to_the_layer(name, kind):
    """Numbers, pixels and lists give what their float32 copy gives, in float32."""
    layer, shape = build(name, np.float32)
    pixels = np.arange(np.prod(shape)).reshape(shape) * 7 % 11
    given = {"list": pixels.tolist(), "Tensor": tc.Tensor(pixels.astype(float))}.get(kind)
    if given is None:
        given = pixels.astype(kind)
    plain = pixels.astype(bool) if kind == "bool" else pixels
    out = layer(given)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out.data, layer(tc.Tensor(plain.astype(np.float32))).data)


def test_the_cast_of_the_input_is_recorded():
    """A float64 input of a float32 layer gets a float64 gradient through the cast."""
    layer = nn.Linear(3, 1, bias=False)
    x = tensor(np.ones((2, 3)))
    layer(x).sum().backward()
    assert x.grad.dtype == np.float64
    np.testing.assert_array_equal(x.grad, np.repeat(layer.weight.data, 2, axis=0))


# ---- batch norm ------------------------------------------------------------------------------


def test_batch_norm_tracks_the_unbiased_variance_and_normalizes_with_the_biased(rng):
    """One batch with momentum 1 leaves its mean and its unbiased variance behind."""
    layer = nn.BatchNorm1d(3, momentum=1.0, eps=0.0, dtype=float)
    x = rng.normal(size=(7, 3)) * 4 + 2
    np.testing.assert_allclose(layer(x).data.std(axis=0), 1, rtol=1e-13)
    np.testing.assert_allclose(layer.running_mean.data, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(layer.running_var.data, x.var(axis=0, ddof=1), rtol=1e-13)


def test_batch_norm_without_momentum_averages_all_batches(rng):
    """momentum=None keeps the plain mean of all batches' statistics."""
    layer = nn.BatchNorm1d(2, momentum=None, dtype=float)
    batches = rng.normal(size=(5, 8, 2))
    for batch in batches:
        layer(batch)
    assert layer.num_batches_tracked.item() == 5
    mean, var = batches.mean(axis=1).mean(axis=0), batches.var(axis=1, ddof=1).mean(axis=0)
    np.testing.assert_allclose(layer.running_mean.data, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.data, var, rtol=1e-12)


@NORMS
def test_evaluation_leaves_the_averages_alone(name, rng):
    """In evaluation mode no buffer changes."""
    layer, shape = build(name)
    layer(rng.normal(size=shape))
    before = {key: b.data.copy() for key, b in layer.named_buffers()}
    layer.eval()(rng.normal(size=shape))
    for key, buffer in layer.named_buffers():
        np.testing.assert_array_equal(buffer.data, before[key], err_msg=key)


def test_one_value_per_channel_is_refused_in_training():
    """A batch of one has no variance: training refuses it with its shape, evaluation takes it."""
    layer = nn.BatchNorm1d(3)
    with pytest.raises(ShapeError, match=r"more than one value per channel.*\(1, 3\)"):
        layer(np.ones((1, 3)))
    assert layer(np.ones((1, 3, 2))).shape == (1, 3, 2)
    assert layer.eval()(np.ones((1, 3))).shape == (1, 3)
    with pytest.raises(ShapeError, match="more than one value"):
        nn.BatchNorm1d(3, track_running_stats=False).eval()(np.ones((1, 3)))


def test_a_refused_batch_changes_nothing(rng):
    """After a batch that was refused, the plain average counts only the batches it has seen."""
    layer = nn.BatchNorm1d(2, momentum=None, dtype=float)
    with pytest.raises(ShapeError):
        layer(np.ones((1, 2)))
    batch = rng.normal(size=(4, 2))
    layer(batch)
    np.testing.assert_allclose(layer.running_mean.data, batch.mean(axis=0), rtol=1e-12)


def test_batch_norm_without_state_follows_to():
    """to(float64) makes a batch norm that has neither parameters nor averages compute in it."""
    layer = nn.BatchNorm1d(2, affine=False, track_running_stats=False).to(np.float64)
    assert layer(np.array([[1.0, 2.0], [3.0, 5.0]])).dtype == np.float64


def test_batch_norm_without_state_can_be_checked_inside_a_model(rng):
    """gradcheck_module computes in float64 through a batch norm that holds no arrays."""
    norm = nn.BatchNorm1d(3, affine=False, track_running_stats=False)
    model = nn.Sequential(nn.Linear(4, 3), norm)
    x, target = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    report = tc.gradcheck_module(model, nn.MSELoss(), x, target, seed=0)
    assert report, str(report)


def test_two_forward_passes_before_backward():
    """Running averages that moved on do not stand in the way of an earlier batch's backward."""
    layer = nn.BatchNorm1d(2, dtype=float)
    first, second = (tensor([[1.0, 2.0], [3.0, 5.0]]) for _ in range(2))
    (layer(first) + layer(second)).sum().backward()
    np.testing.assert_array_equal(first.grad, second.grad)


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "shape", "words"),
    [
        (lambda: nn.Linear(4, 3), (5, 7), r"linear in Sequential > Linear.*\(5, 7\).*\(3, 4\)"),
        (lambda: nn.Linear(4, 3), (4, 1), r"linear in Sequential > Linear.*\(4, 1\).*\(3, 4\)"),
        (lambda: nn.Linear(4, 3), (), r"linear in Sequential > Linear.*\(\)"),
        (lambda: nn.BatchNorm1d(3), (5, 4), r"BatchNorm.*\(m, 3, \.\.\.\), got \(5, 4\)"),
        (lambda: nn.BatchNorm1d(3), (3,), r"BatchNorm.*\(m, 3, \.\.\.\), got \(3,\)"),
    ],
)
def test_input_of_a_wrong_shape_is_refused_by_name(make, shape, words):
    """The message has the layer and the shapes, also from inside a model."""
    with pytest.raises(ShapeError, match=words):
        nn.Sequential(make())(np.ones(shape))


@pytest.mark.parametrize("size", [0, -1, 2.0, "3", None])
def test_sizes_must_be_positive_whole_numbers(size):
    """A wrong size is refused with the name of the argument and its value."""
    with pytest.raises(ArgumentError, match=f"Linear: in_features .* got {size!r}"):
        nn.Linear(size, 2)
    with pytest.raises(ArgumentError, match=f"Linear: out_features .* got {size!r}"):
        nn.Linear(2, size)
    with pytest.raises(ArgumentError, match=f"num_features .* got {size!r}"):
        nn.BatchNorm1d(size)


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_numpys_word_for_dim_is_corrected(function):
    """nn.functional given axis= says that the word here is dim."""
    with pytest.raises(TypeError, match="'axis'.*PyTorch.*'dim'"):
        function(np.zeros((2, 3)), axis=1)


def test_sequential_takes_modules_only():
    """A function or a list among the layers is refused with its place."""
    with pytest.raises(ArgumentError, match="argument 1 is function"):
        nn.Sequential(nn.ReLU(), lambda x: x)
    with pytest.raises(ArgumentError, match="argument 0 is list"):
        nn.Sequential([nn.ReLU()])
