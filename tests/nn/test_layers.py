"""Every layer of the table: PyTorch's numbers, right gradients, one dtype throughout, its state."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from reference.cases import flat, numbered, torch_answer
from reference.comparing import close
from reference.layers import LAYERS, answers

import tinygrad_course as tc
from tinygrad_course import nn

ANSWERS = answers()
every_layer = pytest.mark.parametrize("name", LAYERS)
both_modes = pytest.mark.parametrize("mode", ["train", "eval"])
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


def build(name, dtype=np.float64):
    """Return our layer with the stored parameters."""
    layer = LAYERS[name].build(nn, np.dtype(dtype))
    layer.load_state_dict(ANSWERS[name]["parameters"], strict=False)
    return layer


def inputs(name, rng, dtype=np.float64):
    """Return one batch of arrays, the floating ones of a dtype."""
    drawn = LAYERS[name].draw(rng)
    return [x.astype(dtype) if x.dtype.kind == "f" else x for x in drawn]


def tensors(arrays):
    return [tc.Tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]


def weighted(outputs, rng):
    """Return a number that depends on every element of every output."""
    return sum((out * rng.normal(size=out.shape).astype(out.dtype)).sum() for out in flat(outputs))


def follow(name, answer):
    """Run our layer through PyTorch's runs and compare everything after each."""
    layer = LAYERS[name].build(nn, np.dtype(float))
    assert {k: p.shape for k, p in layer.named_parameters()} == {
        k: v.shape for k, v in answer["parameters"].items()
    }
    layer.load_state_dict(answer["parameters"], strict=False)
    for number, run in enumerate(answer["runs"]):
        layer.train(run["mode"] == "train").zero_grad()
        given = tensors(run["x"].values())
        outputs = flat(layer(*given))
        sum((out * g).sum() for out, g in zip(outputs, run["g"].values(), strict=True)).backward()
        ours = {
            "out": numbered(out.data for out in outputs),
            "dx": {str(i): x.grad for i, x in enumerate(given) if x.requires_grad},
            "grads": {key: p.grad for key, p in layer.named_parameters()},
            "buffers": {key: b.data for key, b in layer.named_buffers()},
        }
        for part, values in ours.items():
            assert values.keys() == run[part].keys()
            for key, value in values.items():
                close(value, run[part][key], f"run {number} ({run['mode']}): {part} {key}")


@every_layer
def test_a_layer_has_the_stored_numbers_of_pytorch(name):
    """Output, gradients and running averages are PyTorch's over three batches and evaluation."""
    follow(name, ANSWERS[name])


@needs_torch
@pytest.mark.parametrize("seed", [1001, 1002])
@every_layer
def test_a_layer_has_pytorchs_numbers_on_fresh_input(name, seed):
    """The agreement does not depend on the stored random numbers."""
    follow(name, torch_answer(LAYERS[name], seed))


def test_the_stored_answers_are_those_of_the_table():
    """Every case of the table is stored, and nothing else."""
    assert ANSWERS.keys() == LAYERS.keys()


@both_modes
@every_layer
def test_the_input_gradients_are_right(name, mode, rng):
    """The inputs' derivatives pass the check in both modes, smooth ones to second order."""
    layer = build(name).train(mode == "train")
    given = inputs(name, rng)
    floating = [i for i, x in enumerate(given) if x.dtype.kind == "f"]
    if not floating:
        pytest.skip("takes whole numbers only")
    weights = np.random.default_rng(1).bit_generator.state

    def loss(*xs):
        generator = np.random.default_rng()
        generator.bit_generator.state = weights
        full = list(given)
        for i, x in zip(floating, xs, strict=True):
            full[i] = x
        return weighted(layer(*full), generator)

    order = 2 if LAYERS[name].smooth else 1
    report = tc.gradcheck(loss, *(given[i] for i in floating), order=order, seed=0)
    assert report, str(report)


@both_modes
@pytest.mark.parametrize("name", [n for n, a in ANSWERS.items() if a["parameters"]])
def test_the_parameter_gradients_are_right(name, mode, rng):
    """Every parameter's derivative passes the gradient check, from float32 layers too."""
    layer = build(name, np.float32).train(mode == "train")
    given = inputs(name, rng)

    def loss(outputs):
        return weighted(outputs, np.random.default_rng(1))

    report = tc.gradcheck_module(Applied(layer, given), loss, given[0], seed=0)
    assert report, str(report)
    assert [row.name for row in report.rows] == [f"layer.{k}" for k, _ in layer.named_parameters()]


class Applied(nn.Module):
    """A layer of several inputs as a model of one: the others are fixed."""

    def __init__(self, layer, given):
        self.layer = layer
        self.rest = lambda: given[1:]

    def forward(self, x):
        """Return all outputs as a tuple."""
        return tuple(flat(self.layer(x, *self.rest())))


@both_modes
@every_layer
def test_float32_stays_float32(name, mode, rng):
    """A float32 layer has float32 outputs, gradients and averages."""
    layer = build(name, np.float32).train(mode == "train")
    given = tensors(inputs(name, rng, np.float32))
    outputs = flat(layer(*given))
    weighted(outputs, rng).backward()
    kinds = {out.dtype for out in outputs} | {x.grad.dtype for x in given if x.requires_grad}
    kinds |= {p.grad.dtype for p in layer.parameters()}
    kinds |= {b.dtype for key, b in layer.named_buffers() if not key.endswith("tracked")}
    assert kinds == {np.dtype(np.float32)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_layer
def test_the_state_goes_through_a_file(name, dtype, rng, tmp_path):
    """A layer that loads another's saved state gives the same bits."""
    first, second = build(name, dtype), LAYERS[name].build(nn, np.dtype(dtype))
    given = inputs(name, rng, dtype)
    first(*given)  # batch norm's averages move
    nn.save(first.state_dict(), tmp_path / "layer.safetensors")
    second.load_state_dict(nn.load(tmp_path / "layer.safetensors"))
    pairs = zip(flat(first.eval()(*given)), flat(second.eval()(*given)), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(b.data, a.data)


@every_layer
def test_a_layer_shows_its_options(name):
    """The text of a layer begins with its class and holds no Tensor."""
    layer = build(name)
    assert repr(layer).startswith(f"{type(layer).__name__}(")
    assert "array(" not in repr(layer)
