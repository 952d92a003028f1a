"""nn.summary: counts to do by hand, text that fits the screen, a model left as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError

F = nn.functional


def by_name(result):
    return {row.name: row for row in result.rows}


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8 * 4 * 4, 10),
    )


def test_rows_have_the_numbers_of_a_calculation_by_hand():
    """Shapes, parameters and multiply-adds of a small convolutional net."""
    result = nn.summary(convolutional(), np.zeros((5, 1, 8, 8), np.float32))
    rows = by_name(result)
    assert list(rows) == ["", "0", "1", "2", "3", "4", "5", "6"]
    assert [row.kind for row in result.rows][:3] == ["Sequential", "Conv2d", "BatchNorm2d"]
    assert [row.depth for row in result.rows] == [0, 1, 1, 1, 1, 1, 1, 1]
    assert rows["0"].output_shape == (5, 8, 8, 8)
    assert rows["3"].output_shape == (5, 8, 4, 4)
    assert rows[""].output_shape == rows["6"].output_shape == (5, 10)
    assert rows["0"].parameters == 8 * 9 + 8
    assert rows["1"].parameters == 16
    assert rows["6"].parameters == 1290
    assert rows[""].parameters == 0
    assert rows["0"].multiply_adds == 5 * 8 * 8 * 8 * 9
    assert rows["6"].multiply_adds == 5 * 128 * 10
    assert result.parameters == result.trainable == 80 + 16 + 1290
    assert result.multiply_adds == rows["0"].multiply_adds + rows["6"].multiply_adds
    assert result.input_memory == 5 * 64 * 4
    assert result.state_memory == 4 * (80 + 16 + 1290) + 4 * 16 + 8


def test_memory_is_what_the_graph_keeps():
    """The bytes kept are those of the saved arrays, each counted once, parameters left out."""
    x = np.zeros((64, 20), np.float32)
    rows = by_name(nn.summary(nn.Sequential(nn.Linear(20, 10), nn.ReLU(), nn.Tanh()), x))
    assert rows["0"].memory == 0  # its input and its weight are there anyway
    assert rows["1"].memory == 64 * 10 * 4  # relu keeps its result
    assert rows["2"].memory == 64 * 10 * 4  # tanh keeps its result, and not relu's again


COUNTS = {
    # name: (function of two arrays, shapes, multiply-adds)
    "matmul": (lambda a, b: a @ b, (2, 3, 4), (2, 4, 5), 2 * 3 * 4 * 5),
    "dot": (np.dot, (3, 4), (4, 5), 60),
    "inner": (np.inner, (3, 4), (5, 4), 60),
    "outer": (np.outer, (3,), (4,), 12),
    "vdot": (np.vdot, (3, 4), (3, 4), 12),
    "tensordot": (lambda a, b: np.tensordot(a, b, axes=1), (2, 3, 4), (4, 5), 120),
    "einsum": (lambda a, b: np.einsum("bij,bjk->bik", a, b), (2, 3, 4), (2, 4, 5), 120),
    "einsum, dots": (lambda a, b: np.einsum("...i,ij->...j", a, b), (2, 3, 4), (4, 5), 120),
    "sum of labels": (lambda a, b: np.einsum("ij->i", a) * b, (3, 4), (3,), 0),
    "elementwise": (lambda a, b: a * b, (3, 4), (3, 4), 0),
    "transposed": (
        F.conv_transpose2d,
        (1, 2, 3, 3),
        (2, 4, 2, 2),
        2 * 9 * 4 * 4,
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_product_is_counted(name):
    """Multiply-adds of all forms of products, also in a model's own forward."""
    function, left, right, expected = COUNTS[name]

    class Model(nn.Module):
        def forward(self, a, b):
            return function(a, b)

    result = nn.summary(Model(), np.ones(left), np.ones(right))
    assert result.multiply_adds == expected


def test_shared_parts_are_counted_once_and_what_they_do_twice():
    """A layer applied twice has one row, with all its multiply-adds; a tied weight counts once."""
    layer = nn.Linear(4, 4)
    other = nn.Linear(4, 4, bias=False)
    other.weight = layer.weight
    result = nn.summary(nn.Sequential(layer, layer, other), (3, 4))
    assert [row.name for row in result.rows] == ["", "0", "2"]
    assert result.parameters == 20
    assert by_name(result)["0"].multiply_adds == 2 * 3 * 16
    assert result.multiply_adds == 3 * 3 * 16


def test_parameters_of_a_models_own_are_counted():
    """What a module holds beside its layers stands in its row, in lists and dicts too."""

    class Model(nn.Module):
        def __init__(self):
            self.scale = nn.Parameter(np.ones(4))
            self.blocks = [nn.Linear(4, 4), {"head": nn.Linear(4, 2)}]
            self.unused = nn.Linear(9, 9)

        def forward(self, x):
            return self.blocks[1]["head"](self.blocks[0](x * self.scale))

    result = nn.summary(Model(), (3, 4))
    rows = by_name(result)
    assert rows[""].parameters == 4
    assert rows["blocks.1.head"].output_shape == (3, 2)
    assert rows["unused"].output_shape is None
    assert rows["unused"].parameters == 90
    assert "blocks.1.head: Linear(4, 2)" in str(result)


def test_frozen_parameters_are_measured_and_told_apart():
    """A frozen layer costs what it costs, and stays frozen."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    model[0].requires_grad_(requires_grad=False)
    result = nn.summary(model, np.zeros((5, 4)))
    assert by_name(result)["0"].multiply_adds == 60
    assert by_name(result)["0"].trainable == 0
    assert (result.parameters, result.trainable) == (23, 8)
    assert not any(p.requires_grad for p in model[0].parameters())


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(fails):
    """Modes, averages, gradients, hooks and random numbers are untouched, after an error too."""
    tc.seed(3)
    model = convolutional()
    model[1].eval()
    x = np.ones((2, 1, 8, 8), np.float32)
    model(x).sum().backward()
    before = copy.deepcopy(model.state_dict())
    grads = [p.grad.copy() for p in model.parameters()]
    tc.seed(5)
    if fails:
        with pytest.raises(ValueError, match=r"\[layer 0: Conv2d"):
            nn.summary(model, np.ones((2, 3, 8, 8)))
    else:
        nn.summary(model, x)
    assert [module.training for module in model] == [True, False, True, True, True, True, True]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        np.testing.assert_array_equal(parameter.grad, grad)
    drawn = tc.generator().random()
    tc.seed(5)
    assert drawn == tc.generator().random()
    assert all(module._hooks is None for module in model.modules())


def test_several_inputs_and_outputs():
    """Inputs one by one or as a tuple; outputs of several parts have a list of shapes."""
    attention = nn.MultiheadAttention(4, 2)
    x = np.zeros((3, 2, 4))
    for result in (nn.summary(attention, x, x, x), nn.summary(attention, (x, x, x))):
        assert result.rows[0].output_shape == [(3, 2, 4), (2, 3, 3)]
    assert nn.summary(nn.LSTM(4, 5), x).rows[0].output_shape == [(3, 2, 5), [(1, 2, 5), (1, 2, 5)]]
    assert nn.summary(nn.Embedding(7, 3), np.array([1, 2])).rows[0].output_shape == (2, 3)


def test_the_text_fits_and_has_all_rows():
    """No line is longer than 100 columns, however deep and long-winded the model is."""
    layer = nn.TransformerEncoderLayer(64, 4, 128, activation=nn.GELU("tanh"))
    model = nn.Sequential(nn.Sequential(nn.Sequential(nn.TransformerEncoder(layer, 2))))
    result = nn.summary(model, (10, 2, 64))
    lines = str(result).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) == len(result.rows) + 6
    assert repr(result) == str(result)
    assert "…" in str(result)
    assert f"parameters: {result.parameters:,}, of which" in str(result)
    wide = nn.summary(nn.Linear(2**12, 2**10), (2**8, 2**12))
    assert "1,073,741,824" in str(wide)
    assert "16.0 MiB" in str(wide)


@pytest.mark.parametrize("model", [np.tanh, nn.Linear])
def test_what_is_no_module_is_refused(model):
    """A function or a class is refused by its type."""
    with pytest.raises(ArgumentError, match="summary: expected a Module"):
        nn.summary(model, (1, 2))
