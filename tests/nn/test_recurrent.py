"""Recurrent layers: definitions step by step, cells and layers agree, dropout, refusals."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, ShapeError

LAYERS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
CELLS = {"RNN": nn.RNNCell, "LSTM": nn.LSTMCell, "GRU": nn.GRUCell}
every_kind = pytest.mark.parametrize("kind", LAYERS)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hidden(state):
    """Return h of a state that may be the pair (h, c)."""
    return state[0] if isinstance(state, tuple) else state


def weights(layer, suffix="_l0"):
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [getattr(layer, name + suffix).data for name in names]


def test_the_definitions_hold(rng):
    """One step of each kind is its textbook formula, in PyTorch's order of gates."""
    x, h, c = rng.normal(size=(2, 3)), rng.normal(size=(2, 4)), rng.normal(size=(2, 4))
    cells = {kind: cell(3, 4, dtype=float) for kind, cell in CELLS.items()}
    w, v, b, d = weights(cells["RNN"], "")
    np.testing.assert_allclose(
        cells["RNN"](x, h).data, np.tanh(x @ w.T + b + h @ v.T + d), rtol=1e-13
    )
    w, v, b, d = weights(cells["LSTM"], "")
    i, f, g, o = np.split(x @ w.T + b + h @ v.T + d, 4, axis=1)
    memory = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    new_h, new_c = cells["LSTM"](x, (h, c))
    np.testing.assert_allclose(new_c.data, memory, rtol=1e-13)
    np.testing.assert_allclose(new_h.data, sigmoid(o) * np.tanh(memory), rtol=1e-13)
    w, v, b, d = weights(cells["GRU"], "")
    (r1, z1, n1), (r2, z2, n2) = (np.split(a, 3, axis=1) for a in (x @ w.T + b, h @ v.T + d))
    z = sigmoid(z1 + z2)
    n = np.tanh(n1 + sigmoid(r1 + r2) * n2)
    np.testing.assert_allclose(cells["GRU"](x, h).data, (1 - z) * n + z * h, rtol=1e-12)


@every_kind
def test_a_layer_is_its_cell_applied_step_by_step(kind, rng):
    """Outputs, last states and gradients are those of a loop over the cell."""
    layer, cell = LAYERS[kind](3, 4, dtype=float), CELLS[kind](3, 4, dtype=float)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x, g = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 4))
    output, last = layer(x)
    output.backward(g)
    state, outputs = None, []
    for step in x:
        state = cell(step, state)
        outputs.append(hidden(state))
    sum((out * up).sum() for out, up in zip(outputs, g, strict=True)).backward()
    for ours, expected in zip(output.data, outputs, strict=True):
        np.testing.assert_allclose(ours, expected.data, rtol=1e-12)
    np.testing.assert_allclose(hidden(last).data[0], hidden(state).data, rtol=1e-12)
    for name, parameter in cell.named_parameters():
        grad = layer.get_parameter(f"{name}_l0").grad
        np.testing.assert_allclose(parameter.grad, grad, rtol=1e-10, atol=1e-13)


@every_kind
def test_a_sequence_can_be_cut_in_two(kind, rng):
    """Giving the last state of the first half to the second is running over the whole."""
    layer = LAYERS[kind](3, 4, num_layers=2, dtype=float)
    x = rng.normal(size=(6, 2, 3))
    whole, last = layer(x)
    first, state = layer(x[:4])
    second, end = layer(x[4:], state)
    np.testing.assert_allclose(np.concatenate([first.data, second.data]), whole.data, rtol=1e-12)
    np.testing.assert_allclose(hidden(end).data, hidden(last).data, rtol=1e-12)


@every_kind
def test_the_second_direction_reads_backwards(kind, rng):
    """The right half of the output is a one-directional layer over the reversed sequence."""
    both = LAYERS[kind](3, 4, bidirectional=True, dtype=float)
    back = LAYERS[kind](3, 4, dtype=float)
    back.load_state_dict(
        {f"{k}_l0": both.state_dict()[f"{k}_l0_reverse"] for k in CELLS["RNN"](1, 1).state_dict()}
    )
    x = rng.normal(size=(5, 2, 3))
    output, last = both(x)
    reverse, end = back(x[::-1])
    np.testing.assert_allclose(output.data[..., 4:], reverse.data[::-1], rtol=1e-12)
    np.testing.assert_allclose(hidden(last).data[1], hidden(end).data[0], rtol=1e-12)


@every_kind
def test_parameters_are_pytorchs(kind):
    """Names, order and shapes; uniform in ±1/sqrt(hidden_size), repeated by a generator."""
    first, second = (
        LAYERS[kind](3, 25, 2, bidirectional=True, generator=np.random.default_rng(0))
        for _ in range(2)
    )
    gates = {"RNN": 25, "LSTM": 100, "GRU": 75}[kind]
    shapes = {name: p.shape for name, p in first.named_parameters()}
    assert list(shapes)[:8] == [
        f"{name}_l0{end}"
        for end in ("", "_reverse")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    assert shapes["weight_ih_l0"] == (gates, 3)
    assert shapes["weight_ih_l1_reverse"] == (gates, 50)
    assert shapes["weight_hh_l1"] == (gates, 25)
    assert shapes["bias_hh_l0_reverse"] == (gates,)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
        assert 0.1 < np.abs(a.data).max() <= 0.2
    assert len(list(LAYERS[kind](3, 4, bias=False).parameters())) == 2


@every_kind
def test_dropout_lies_between_the_layers(kind):
    """It acts in training, on all layers but the last, repeatably; evaluation has none."""
    layer = LAYERS[kind](3, 4, num_layers=2, dropout=0.5, generator=np.random.default_rng(0))
    twin = copy.deepcopy(layer)
    x = np.ones((5, 2, 3), np.float32)
    first = layer(x)[0].data
    np.testing.assert_array_equal(twin(x)[0].data, first)
    assert not np.array_equal(layer(x)[0].data, first)
    np.testing.assert_array_equal(layer.eval()(x)[0].data, twin.eval()(x)[0].data)
    single = LAYERS[kind](3, 4, dropout=1.0)
    np.testing.assert_array_equal(single(x)[0].data, single.eval()(x)[0].data)
    nothing = LAYERS[kind](3, 4, num_layers=2, dropout=1.0, bias=False)
    assert not nothing(x)[0].data.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_kind
def test_extreme_input_is_survived(kind, dtype):
    """Numbers of ±10000 give finite outputs and gradients, without overflow warnings."""
    layer = LAYERS[kind](2, 3, dtype=dtype)
    x = tc.Tensor(np.array([[[1e4, -1e4]], [[-1e4, 1e4]]], dtype), requires_grad=True)
    output, _ = layer(x)
    output.sum().backward()
    assert np.isfinite(output.data).all()
    assert np.isfinite(x.grad).all()
    assert output.dtype == x.grad.dtype == dtype


@every_kind
def test_a_state_of_any_dtype_is_cast(kind):
    """A float64 state of a float32 layer stays out of the arithmetic, and is recorded."""
    layer = LAYERS[kind](2, 3)
    h = tc.Tensor(np.zeros((1, 4, 3)), requires_grad=True)
    state = (h, np.zeros((1, 4, 3))) if kind == "LSTM" else h
    output, _ = layer(np.ones((2, 4, 2)), state)
    output.sum().backward()
    assert output.dtype == np.float32
    assert h.grad.dtype == np.float64


def test_long_sequences_are_learned(rng):
    """A GRU learns in 60 steps to recall the first of eight numbers."""
    model = nn.GRU(1, 8, dtype=float, generator=np.random.default_rng(0))
    head = nn.Linear(8, 1, dtype=float, generator=np.random.default_rng(1))
    x = rng.choice([-1.0, 1.0], size=(8, 64, 1))
    optimizer = tc.optim.Adam([*model.parameters(), *head.parameters()], lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(head(model(x)[1][0]), x[0])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: nn.RNN(0, 3), ArgumentError, "RNN: input_size"),
        (lambda: nn.RNN(2, 3, nonlinearity="sin"), ArgumentError, "'tanh' or 'relu', got 'sin'"),
        (lambda: nn.RNNCell(2, 3, nonlinearity="sin"), ArgumentError, "RNNCell: nonlinearity"),
        (lambda: nn.GRU(2, 3, dropout=2.0), ArgumentError, "GRU: dropout=2.0"),
        (lambda: nn.LSTM(2, 3, proj_size=3), ArgumentError, "proj_size must lie between"),
        (
            lambda: nn.Sequential(nn.GRU(2, 3))(np.ones((4, 5, 3))),
            ShapeError,
            "gru in Sequential > GRU: expected x of shape (time, batch, 2) or (time, 2)",
        ),
        (
            lambda: nn.GRU(2, 3, batch_first=True)(np.ones(2)),
            ShapeError,
            "(batch, time, 2)",
        ),
        (lambda: nn.GRU(2, 3)(np.ones((0, 5, 2))), ShapeError, "at least one step"),
        (
            lambda: nn.GRU(2, 3)(np.ones((4, 5, 2)), np.ones((1, 3))),
            ShapeError,
            "state of shape (1, 5, 3) (layers and directions, batch, hidden_size), got (1, 3)",
        ),
        (lambda: nn.LSTM(2, 3)(np.ones((4, 5, 2)), np.ones((1, 5, 3))), ArgumentError, "(h, c)"),
        (lambda: nn.GRUCell(2, 3)(np.ones((4, 3))), ShapeError, "grucell in GRUCell: expected x"),
        (lambda: nn.LSTMCell(2, 3)(np.ones(2), np.ones(3)), ShapeError, "2 state(s) of shape (3,)"),
    ],
)
def test_what_does_not_fit_is_refused(call, kind, words):
    """The refusal names the layer, what came and what was expected."""
    with pytest.raises(kind, match=re.escape(words)):
        call()


def test_the_text_shows_the_options():
    """Sizes, and the options that are not the usual ones."""
    assert repr(nn.LSTM(2, 3)) == "LSTM(2, 3)"
    text = "RNN(2, 3, num_layers=2, nonlinearity='relu', bidirectional=True)"
    assert repr(nn.RNN(2, 3, 2, "relu", bidirectional=True)) == text
    assert repr(nn.GRUCell(2, 3, bias=False)) == "GRUCell(2, 3, bias=False)"
