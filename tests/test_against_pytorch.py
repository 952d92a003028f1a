"""Layers, losses and optimizers have PyTorch's numbers: stored ones, and fresh ones with torch."""

from __future__ import annotations

import json
import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import tinygrad_course as tc

CASES = runpy.run_path(str(Path(__file__).with_name("pytorch_reference.py")))
ANSWERS = json.loads(CASES["FILE"].read_text(encoding="utf-8"))
RTOL = 1e-10

STORED = [pytest.param(None, id="stored")]
SOURCES = STORED + [pytest.param(s, id=f"torch-{s}") for s in (100, 101) if find_spec("torch")]


@pytest.fixture(autouse=True)
def double():
    """Compare in float64."""
    tc.set_default_dtype("float64")
    yield
    tc.set_default_dtype("float32")


def close(ours, theirs, what):
    """Assert equality up to rounding, relative to the largest element."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    scale = np.abs(theirs).max(initial=1e-300)
    # A gradient that is exactly 0, as of a bias before batch norm, is rounding on either side.
    np.testing.assert_allclose(ours, theirs, rtol=RTOL, atol=RTOL * scale + 1e-14, err_msg=what)


@pytest.mark.parametrize("seed", SOURCES)
@pytest.mark.parametrize("name", CASES["LAYERS"])
def test_a_layer_computes_what_pytorch_computes(name, seed):
    """Output, input gradient, parameter gradients and state agree in training and evaluation."""
    answer = ANSWERS["layers"][name] if seed is None else CASES["torch_layer"](name, seed)
    layer = CASES["LAYERS"][name][0](tc.nn)
    layer.load_state_dict(layer.state_dict() | {k: np.array(v) for k, v in answer["state"].items()})
    for number, run in enumerate(answer["runs"]):
        layer.train(run["mode"] == "train")
        x = tc.Tensor(np.array(run["x"]), requires_grad=True)
        layer.zero_grad()
        out = layer(x)
        out.backward(np.array(run["g"]))
        close(out.data, run["out"], f"run {number}: output")
        close(x.grad, run["dx"], f"run {number}: input gradient")
        grads = {key: p.grad for key, p in layer.named_parameters()}
        assert grads.keys() == run["grads"].keys()
        for key, grad in run["grads"].items():
            close(grads[key], grad, f"run {number}: gradient of {key}")
        state = layer.state_dict()
        assert state.keys() == run["state"].keys()
        for key, value in run["state"].items():
            close(state[key], value, f"run {number}: {key}")


@pytest.mark.parametrize("seed", SOURCES)
@pytest.mark.parametrize("name", CASES["LOSSES"])
def test_a_loss_computes_what_pytorch_computes(name, seed):
    """Value and derivative agree for every reduction."""
    answer = ANSWERS["losses"][name] if seed is None else CASES["torch_loss"](name, seed)
    x = tc.Tensor(np.array(answer["x"]), requires_grad=True)
    loss = CASES["LOSSES"][name][0](tc.nn)(x, np.array(answer["target"]))
    loss.backward(np.array(answer["g"]))
    close(loss.data, answer["out"], "value")
    close(x.grad, answer["dx"], "derivative")


@pytest.mark.parametrize("name", CASES["OPTIMIZERS"])
def test_an_optimizer_goes_where_pytorchs_goes(name):
    """A hundred steps of softmax regression pass through the same points."""
    kind, options = CASES["OPTIMIZERS"][name]
    x, y, *start = CASES["regression"]()
    weight, bias = (tc.Tensor(s, requires_grad=True) for s in start)
    optimizer = getattr(tc.optim, kind)([weight, bias], **options)
    points = []
    for step in range(CASES["STEPS"]):
        optimizer.zero_grad()
        tc.nn.functional.cross_entropy(tc.linear(x, weight, bias), y).backward()
        optimizer.step()
        if step % 10 == 9:
            points.append([weight.data.copy(), bias.data.copy()])
    for number, (point, answer) in enumerate(zip(points, ANSWERS["optimizers"][name], strict=True)):
        close(point[0], answer[0], f"weight after {10 * number + 10} steps")
        close(point[1], answer[1], f"bias after {10 * number + 10} steps")
