"""What layers take: the dtype of their input, its shape, and options that make no sense."""

from __future__ import annotations

import numpy as np
import pytest
from reference.layers import LAYERS

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, ShapeError

F = nn.functional


def tensor(array, dtype=None):
    return tc.Tensor(np.array(array, dtype), requires_grad=True)


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


def test_the_cast_of_the_input_is_recorded():
    """A float64 input of a float32 layer gets a float64 gradient through the cast."""
    layer = nn.Linear(3, 1, bias=False)
    x = tensor(np.ones((2, 3)))
    layer(x).sum().backward()
    assert x.grad.dtype == np.float64
    np.testing.assert_array_equal(x.grad, np.repeat(layer.weight.data, 2, axis=0))


@pytest.mark.parametrize("kind", ["float64", "float16", "uint8", "bool", "list", "Tensor"])
@pytest.mark.parametrize("name", ["linear", "linear, no bias", "batch norm"])
def test_input_of_any_kind_is_cast_to_the_layer(name, kind):
    """Numbers, pixels and lists give what their float32 copy gives, in float32."""
    layer = LAYERS[name].build(nn, np.dtype(np.float32))
    (shape,) = LAYERS[name].inputs
    pixels = np.arange(np.prod(shape)).reshape(shape) * 7 % 11
    given = {"list": pixels.tolist(), "Tensor": tc.Tensor(pixels.astype(float))}.get(kind)
    if given is None:
        given = pixels.astype(kind)
    plain = pixels.astype(bool) if kind == "bool" else pixels
    out = layer(given)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out.data, layer(tc.Tensor(plain.astype(np.float32))).data)


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "shape", "words"),
    [
        (lambda: nn.Linear(4, 3), (5, 7), r"linear in Sequential > Linear.*\(5, 7\).*\(3, 4\)"),
        (lambda: nn.Linear(4, 3), (4, 1), r"linear in Sequential > Linear.*\(4, 1\).*\(3, 4\)"),
        (lambda: nn.Linear(4, 3), (), r"linear in Sequential > Linear.*\(\)"),
        (lambda: nn.BatchNorm1d(3), (5, 4), r"BatchNorm1d.*\(m, 3, length\), got \(5, 4\)"),
        (lambda: nn.BatchNorm1d(3), (3,), r"BatchNorm1d.*\(m, 3, length\), got \(3,\)"),
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
