"""Modules: what they hold, how they are saved, and what they say to wrong input."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, DataError, DtypeError, FileError, ShapeError

F = nn.functional

LAYERS = {
    "Linear": (lambda: nn.Linear(4, 3), (5, 4)),
    "BatchNorm": (lambda: nn.BatchNorm(4), (5, 4)),
    "BatchNorm, no averages": (lambda: nn.BatchNorm(4, track_running_stats=False), (5, 4)),
    "BatchNorm of images": (lambda: nn.BatchNorm(4), (3, 4, 2, 2)),
    "Dropout": (lambda: nn.Dropout(0.3), (5, 4)),
    "ReLU": (nn.ReLU, (5, 4)),
    "LeakyReLU": (nn.LeakyReLU, (5, 4)),
    "Sigmoid": (nn.Sigmoid, (5, 4)),
    "Tanh": (nn.Tanh, (5, 4)),
    "Softplus": (nn.Softplus, (5, 4)),
    "Softmax": (lambda: nn.Softmax(dim=1), (5, 4)),
    "LogSoftmax": (lambda: nn.LogSoftmax(dim=1), (5, 4)),
    "Flatten": (nn.Flatten, (5, 2, 2)),
    "Identity": (nn.Identity, (5, 4)),
    "Sequential": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), (5, 4)),
}
MODES = ["train", "eval"]


def values(shape, seed=0, dtype=float):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_of_every_layer_is_right(name, mode):
    """Parameters and input pass the gradient check in both modes."""
    build, shape = LAYERS[name]
    layer = build().train(mode == "train")
    if list(layer.parameters()):
        target = values(np.shape(layer.eval()(values(shape)).data), 1)
        layer.train(mode == "train")
        report = tc.gradcheck_module(layer, nn.MSELoss(), values(shape), target)
        assert report, str(report)

    def call(x):
        tc.seed(0)  # the same mask at every evaluation
        return layer(x)

    layer.to(np.float64)
    report = tc.gradcheck(call, values(shape), seed=0)
    assert report, str(report)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", LAYERS)
def test_float32_goes_in_and_comes_out(name, mode):
    """A float32 layer computes in float32: output, gradients, statistics."""
    build, shape = LAYERS[name]
    layer = build().train(mode == "train")
    x = tc.Tensor(values(shape, dtype=np.float32), requires_grad=True)
    out = layer(x)
    assert out.dtype == np.float32
    (out * out).sum().backward()
    assert x.grad.dtype == np.float32
    for _, parameter in layer.named_parameters():
        assert parameter.grad.dtype == parameter.dtype == np.float32
    for _, buffer in layer.named_buffers():
        assert buffer.dtype in (np.float32, np.int64)


def test_float64_scalars_do_not_upcast_a_float32_net():
    """NumPy scalars as options leave everything in float32."""
    model = nn.Sequential(
        nn.Linear(4, 4),
        nn.BatchNorm(4, eps=np.float64(1e-5), momentum=np.float64(0.1)),
        nn.LeakyReLU(np.float64(0.1)),
        nn.Dropout(np.float64(0.5)),
    )
    out = model(values((6, 4), dtype=np.float32))
    assert out.dtype == np.float32
    out.sum().backward()
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    assert model[1].running_mean.dtype == np.float32


@pytest.mark.parametrize("x", [values((5, 4)), np.arange(20, dtype=np.uint8).reshape(5, 4)])
def test_input_is_cast_to_the_parameters(x):
    """float64 numbers and bytes become the layer's dtype."""
    assert nn.Linear(4, 2)(x).dtype == np.float32
    assert nn.Linear(4, 2, dtype=np.float64)(x).dtype == np.float64


def test_the_default_dtype_can_be_changed():
    """set_default_dtype decides what layers create, and refuses whole numbers."""
    tc.set_default_dtype("float64")
    try:
        assert nn.Linear(2, 2).bias.dtype == np.float64
        assert nn.BatchNorm(2).running_var.dtype == np.float64
    finally:
        tc.set_default_dtype("float32")
    with pytest.raises(DtypeError, match="int64"):
        tc.set_default_dtype(np.int64)


# ---- what a module holds ---------------------------------------------------------------------


class Nested(nn.Module):
    """Parameters in attributes, lists, dicts and submodules, one of them twice."""

    def __init__(self):
        self.scale = nn.Parameter([1.0, 2.0])
        self.blocks = [nn.Linear(2, 2), {"gate": nn.Linear(2, 1)}]
        self.heads = {"a": nn.Sequential(nn.Linear(2, 1)), "b": nn.BatchNorm(2)}
        self.again = self.blocks[0]
        self.size = 3


def test_parameters_are_found_wherever_they_are():
    """Names follow attributes, list positions and dict keys, in the order they were set."""
    assert [name for name, _ in Nested().named_parameters()] == [
        "scale",
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.gate.weight",
        "blocks.1.gate.bias",
        "heads.a.0.weight",
        "heads.a.0.bias",
        "heads.b.weight",
        "heads.b.bias",
    ]
    assert len(list(Nested().parameters())) == 9
    assert [name for name, _ in Nested().named_buffers()] == [
        "heads.b.running_mean",
        "heads.b.running_var",
        "heads.b.num_batches_tracked",
    ]
    paths = [path for path, _ in Nested().named_modules()]
    assert paths == ["", "blocks.0", "blocks.1.gate", "heads.a", "heads.a.0", "heads.b"]


def test_modes_reach_every_module():
    """train and eval switch all modules below, and return the module."""
    model = Nested()
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())


def test_zero_grad_and_freezing():
    """zero_grad forgets gradients; frozen parameters get none."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(requires_grad=False)
    model(np.ones((3, 2))).sum().backward()
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_the_text_shows_the_structure():
    """repr nests the modules with their options."""
    text = repr(nn.Sequential(nn.Linear(4, 3, bias=False), nn.Sequential(nn.Softmax(dim=1))))
    assert text == (
        "Sequential(\n  (0): Linear(4, 3, bias=False)\n  (1): Sequential(\n"
        "    (0): Softmax(dim=1)\n  )\n)"
    )


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_models_can_be_copied(duplicate):
    """A copy has equal parameters of its own."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm(2), nn.Dropout(0.2))
    other = duplicate(model)
    for (name, a), (_, b) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data, err_msg=name)
        assert not np.shares_memory(a.data, b.data)
        assert type(b) is nn.Parameter


# ---- state and files -------------------------------------------------------------------------


def test_states_travel_through_files_bit_by_bit(tmp_path):
    """A saved state comes back equal, with its metadata, into another model."""
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm(2))
    model(values((4, 3)))
    path = tmp_path / "model.safetensors"
    nn.save(model.state_dict(), path, {"note": "größer ≤ 1"})
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm(2))
    other.load_state_dict(nn.load(path))
    for name, array in model.state_dict().items():
        loaded = other.state_dict()[name]
        np.testing.assert_array_equal(array, loaded)
        assert (array.dtype, array.shape) == (loaded.dtype, loaded.shape)
    assert nn.load_metadata(path) == {"note": "größer ≤ 1"}


def test_arrays_of_any_layout_can_be_saved(tmp_path):
    """Transposed, reversed and 0-d arrays are stored in C order."""
    arrays = {"t": values((3, 2)).T, "r": np.arange(4.0)[::-1], "s": np.array(7)}
    nn.save(arrays, tmp_path / "a.safetensors")
    for name, array in nn.load(tmp_path / "a.safetensors").items():
        np.testing.assert_array_equal(array, arrays[name])


def test_damaged_files_are_refused(tmp_path):
    """Missing, truncated and foreign files give an error that names the file."""
    path = tmp_path / "model.safetensors"
    with pytest.raises(DataError, match="no file"):
        nn.load(path)
    nn.save({"w": values((10, 10))}, path)
    whole = path.read_bytes()
    for content in (whole[:100], whole[:4], b"", b"PK\x03\x04 something else"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"model\.safetensors"):
            nn.load(path)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    """When the disk refuses, the old file is whole and no draft stays behind."""
    path = tmp_path / "model.safetensors"
    nn.save({"w": np.ones(3)}, path)

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(FileError, match="No space left"):
        nn.save({"w": np.zeros(3)}, path)
    np.testing.assert_array_equal(nn.load(path)["w"], np.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_state_that_does_not_fit_changes_nothing():
    """All differences are listed at once, and no parameter is touched."""
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    before = {name: array.copy() for name, array in model.state_dict().items()}
    state = {**model.state_dict(), "0.weight": np.zeros((5, 3)), "extra": np.zeros(1)}
    del state["1.bias"]
    with pytest.raises(ShapeError) as caught:
        model.load_state_dict(state)
    for words in (
        "0.weight: file (5, 3), model (2, 3)",
        "missing      1.bias",
        "not in model extra",
    ):
        assert words in str(caught.value)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(ArgumentError, match="missing"):
        model.load_state_dict({})
    model.load_state_dict({"0.bias": np.ones(2)}, strict=False)
    np.testing.assert_array_equal(model[0].bias.data, 1)


def test_to_converts_parameters_and_statistics():
    """to(dtype) converts floating state and leaves counters alone."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm(2)).to("float64")
    kinds = {name: array.dtype for name, array in model.state_dict().items()}
    assert kinds.pop("1.num_batches_tracked") == np.int64
    assert set(kinds.values()) == {np.dtype(float)}
    with pytest.raises(DtypeError, match="int32"):
        model.to(np.int32)


# ---- dropout, batch norm ---------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_scales_by_the_probability_it_really_has(p):
    """Kept elements are multiplied by exactly 1 over the quantised probability."""
    tc.seed(0)
    out = nn.Dropout(p)(np.ones((400, 500)))
    kept = out.data != 0 if isinstance(out, tc.Tensor) else out != 0
    share = round((1 - p) * 2**16) / 2**16
    data = np.asarray(out if not isinstance(out, tc.Tensor) else out.data)
    np.testing.assert_array_equal(data[kept], 1 / share)
    deviation = np.sqrt(share * (1 - share) / data.size)
    assert abs(kept.mean() - share) < 5 * deviation


def test_dropout_uses_one_mask_forward_and_backward():
    """The gradient is zero exactly where the output is, and scaled alike elsewhere."""
    x = tc.Tensor(np.ones((20, 20)), requires_grad=True)
    out = nn.Dropout(0.4)(x)
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, out.data)


def test_dropout_at_the_ends_and_in_evaluation():
    """p = 0 and evaluation return the input, p = 1 zeros."""
    x = tc.Tensor(values((3, 3)), requires_grad=True)
    assert nn.Dropout(0.0)(x) is x
    assert nn.Dropout(0.9).eval()(x) is x
    np.testing.assert_array_equal(nn.Dropout(1.0)(x).data, 0)


def test_dropout_repeats_itself_with_its_seed():
    """The same seed, or the same generator state, gives the same mask."""
    x = tc.Tensor(np.ones(100))

    def draw(layer):
        return layer(x).data

    tc.seed(3)
    first = draw(nn.Dropout())
    tc.seed(3)
    np.testing.assert_array_equal(draw(nn.Dropout()), first)
    a, b = (draw(nn.Dropout(generator=np.random.default_rng(1))) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first, a)


def test_keep_prob_is_the_notes_word():
    """keep_prob is 1 - p; both together, or values that are no probabilities, are refused."""
    assert nn.Dropout(keep_prob=0.75).p == 0.25
    with pytest.raises(ArgumentError, match="not both"):
        nn.Dropout(0.5, keep_prob=0.5)
    with pytest.raises(ArgumentError, match=r"p=1\.5"):
        nn.Dropout(1.5)
    with pytest.raises(ArgumentError, match=r"keep_prob=-1"):
        nn.Dropout(keep_prob=-1)


def test_batch_norm_refuses_what_it_cannot_normalize():
    """One example in training, and a wrong number of channels, are refused with the shapes."""
    with pytest.raises(ShapeError, match="more than one value"):
        nn.BatchNorm(3)(np.ones((1, 3)))
    nn.BatchNorm(3).eval()(np.ones((1, 3)))
    with pytest.raises(ShapeError, match=r"\(m, 3, \.\.\.\), got \(5, 4\)"):
        nn.BatchNorm(3)(np.ones((5, 4)))


def test_batch_norm_of_its_own_statistics_is_the_identity():
    """weight = sqrt(var + eps) and bias = mean undo the normalization (lesson 3.2)."""
    layer = nn.BatchNorm(3, dtype=float)
    x = values((50, 3)) * 4 + 7
    layer.weight.data[...] = np.sqrt(x.var(0) + layer.eps)
    layer.bias.data[...] = x.mean(0)
    np.testing.assert_allclose(layer(x).data, x, rtol=1e-12)


# ---- initial values --------------------------------------------------------------------------

BOUNDS = {
    "xavier_uniform_": (6 / (300 + 200)) ** 0.5,
    "kaiming_uniform_": (6 / 200) ** 0.5,
}
DEVIATIONS = {
    "xavier_normal_": (2 / (300 + 200)) ** 0.5,
    "kaiming_normal_": (2 / 200) ** 0.5,
    "lecun_normal_": (1 / 200) ** 0.5,
}


@pytest.mark.parametrize("name", [*BOUNDS, *DEVIATIONS])
def test_initial_values_have_the_spread_of_their_formula(name):
    """Bound or standard deviation of a (300, 200) weight is the one of the paper."""
    weight = nn.Parameter(np.empty((300, 200)))
    rng = np.random.default_rng(0)
    getattr(nn.init, name)(weight, generator=rng)
    assert abs(weight.data.mean()) < 5 * weight.data.std() / np.sqrt(weight.size)
    if name in BOUNDS:
        assert BOUNDS[name] * 0.999 < np.abs(weight.data).max() <= BOUNDS[name]
    else:
        np.testing.assert_allclose(weight.data.std(), DEVIATIONS[name], rtol=0.02)


def test_simple_initial_values():
    """constant, zeros, ones, uniform and normal do what they say, in the parameter's dtype."""
    weight = nn.Parameter(np.empty((200, 200), np.float32))
    assert (nn.init.constant_(weight, 3.0).data == 3).all()
    assert (nn.init.zeros_(weight).data == 0).all()
    assert (nn.init.ones_(weight).data == 1).all()
    nn.init.uniform_(weight, -1, 3, np.random.default_rng(0))
    assert -1 <= weight.data.min() < -0.99
    assert 2.99 < weight.data.max() <= 3
    nn.init.normal_(weight, 5, 2, np.random.default_rng(0))
    np.testing.assert_allclose([weight.data.mean(), weight.data.std()], [5, 2], rtol=0.02)
    assert weight.dtype == np.float32


def test_fans_and_gains():
    """The fan counts trailing axes, and unknown words are refused."""
    assert nn.init.fans(nn.Parameter(np.empty((8, 4, 3, 3)))) == (36, 72)
    assert nn.init.gain("tanh") == 5 / 3
    with pytest.raises(ShapeError, match="two axes"):
        nn.init.xavier_normal_(nn.Parameter(np.empty(3)))
    with pytest.raises(ArgumentError, match="mode"):
        nn.init.kaiming_normal_(nn.Parameter(np.empty((3, 3))), mode="fan_both")
    with pytest.raises(ArgumentError, match="nonlinearity"):
        nn.init.gain("swish")


def test_linear_starts_as_pytorchs():
    """Weights and biases are uniform within 1/sqrt(in_features), and follow the seed."""
    tc.seed(1)
    first = nn.Linear(400, 300)
    tc.seed(1)
    np.testing.assert_array_equal(first.weight.data, nn.Linear(400, 300).weight.data)
    for parameter in first.parameters():
        assert 0.045 < np.abs(parameter.data).max() <= 0.05


# ---- bad input -------------------------------------------------------------------------------


def test_losses_refuse_shapes_that_would_broadcast():
    """(n,) against (n, 1) is an error that shows both shapes."""
    for loss in (nn.MSELoss(), nn.BCEWithLogitsLoss()):
        with pytest.raises(ShapeError, match=r"\(4,\) and \(4, 1\)"):
            loss(np.zeros(4), np.zeros((4, 1)))


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ([0, 3], ArgumentError, r"label 3 in row 1 is outside 0\.\.2"),
        ([-1, 0], ArgumentError, "label -1 in row 0"),
        ([[0], [1]], ShapeError, r"labels\[:, 0\]"),
        ([0, 1, 2], ShapeError, r"\(3,\)"),
        ([0.0, 1.0], ShapeError, "whole numbers"),
    ],
)
def test_wrong_labels_are_explained(target, error, words):
    """Labels out of range, of another shape or dtype are refused by name."""
    with pytest.raises(error, match=words):
        nn.CrossEntropyLoss()(np.zeros((2, 3)), np.array(target))


def test_wrong_options_are_explained():
    """Unknown reductions, sizes, arguments and words are named."""
    with pytest.raises(ArgumentError, match="'avg'"):
        nn.MSELoss(reduction="avg")
    with pytest.raises(ArgumentError, match="'avg'"):
        F.cross_entropy(np.zeros((2, 3)), np.array([0, 1]), reduction="avg")
    with pytest.raises(ArgumentError, match="out_features"):
        nn.Linear(3, 0)
    with pytest.raises(ArgumentError, match="argument 1 is function"):
        nn.Sequential(nn.ReLU(), lambda x: x)
    with pytest.raises(TypeError, match="'axis'.*PyTorch.*'dim'"):
        F.softmax(np.zeros(3), axis=0)


def test_a_shape_error_names_the_layers_on_the_way():
    """The message of a failing operation lists the modules that were running."""
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 3)))
    with pytest.raises(ShapeError, match=r"linear in Sequential > Sequential > Linear.*\(5, 7\)"):
        model(np.zeros((5, 7)))


def test_a_module_without_forward_says_so():
    """Calling a module that defines no forward names its class."""
    with pytest.raises(NotImplementedError, match="Nested"):
        Nested()(1.0)
