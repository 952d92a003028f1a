"""The exponentially weighted average of the notes, and averaged weights."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, optim
from tinygrad_course.errors import ArgumentError, ModifiedValueError, ShapeError

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
VALUES = np.random.default_rng(0).normal(size=(20, 3)) + 5


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("correction", [True, False])
def test_the_average_is_the_weighted_sum(beta, correction):
    """v = (1 - β) Σ βᵗ⁻ⁱ θᵢ, divided by 1 - βᵗ with correction."""
    average = optim.ExponentialAverage(beta, correction)
    for t in range(1, len(VALUES) + 1):
        found = average.update(VALUES[t - 1])
        weights = (1 - beta) * beta ** np.arange(t - 1.0, -1.0, -1.0)
        expected = weights @ VALUES[:t] / (1 - beta**t if correction else 1.0)
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        np.testing.assert_array_equal(average.value, found)
    assert average.steps == len(VALUES)


def test_a_constant_is_its_own_corrected_average():
    """Without correction the average starts near 0; with it at the value."""
    assert optim.ExponentialAverage(0.98).update(40.0) == pytest.approx(40.0, rel=1e-14)
    plain = optim.ExponentialAverage(0.98, bias_correction=False)
    assert plain.update(40.0) == pytest.approx(0.8)


def test_the_window():
    """β = 0.9 is about ten days, 0.98 about fifty."""
    assert optim.ExponentialAverage(0.9).window == pytest.approx(10)
    assert optim.ExponentialAverage(0.98).window == pytest.approx(50)


def test_numbers_stay_numbers_and_pass_through_json():
    """The state of an average of numbers is plain, and goes on exactly."""
    average = optim.ExponentialAverage(0.9)
    for x in VALUES[:5, 0].tolist():
        assert type(average.update(x)) is float
    again = optim.ExponentialAverage(0.5, bias_correction=False)
    again.load_state_dict(json.loads(json.dumps(average.state_dict())))
    for x in VALUES[5:, 0].tolist():
        assert again.update(x) == average.update(x)


def test_arrays_and_tensors_are_copied():
    """The average shares no memory with what it was given or gave away."""
    x = tc.Tensor(np.ones(3, np.float32), requires_grad=True)
    average = optim.ExponentialAverage(0.0)
    found = average.update(x)
    assert found.dtype == np.float32
    found[...] = 7
    x.data[...] = 9
    saved = average.state_dict()
    average.update(x)
    assert saved["sum"].tolist() == [1, 1, 1]


def test_averages_refuse_what_cannot_be():
    """β of 1, an average of nothing, and another shape."""
    for beta in (1.0, -0.1, float("nan")):
        with pytest.raises(ArgumentError, match="ExponentialAverage: beta"):
            optim.ExponentialAverage(beta)
    average = optim.ExponentialAverage(0.9)
    with pytest.raises(ArgumentError, match="no value yet"):
        _ = average.value
    average.update(np.ones(3))
    with pytest.raises(ShapeError, match=r"got shape \(2,\), before it was \(3,\)"):
        average.update(np.ones(2))


# ---- weights ---------------------------------------------------------------------------------


def walk(p, ema, values):
    for value in values:
        p.data[...] = value
        ema.update()


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_first_update_takes_the_weights(decay):
    """From then on w̄ ← decay w̄ + (1 - decay) w."""
    p = tc.Tensor(np.zeros(3), requires_grad=True)
    ema = optim.EMA([p], decay)
    walk(p, ema, VALUES)
    expected = VALUES[0]
    for value in VALUES[1:]:
        expected = decay * expected + (1 - decay) * value
    np.testing.assert_allclose(ema.averages[0], expected, rtol=1e-13)


@needs_torch
@pytest.mark.parametrize("decay", [0.9, None])
def test_averages_are_pytorchs(decay):
    """AveragedModel with an exponential average, and with its default, the mean."""
    import torch

    p = tc.Tensor(np.zeros(3), requires_grad=True)
    ema = optim.EMA([p], decay)
    model = torch.nn.Linear(3, 1, bias=False, dtype=torch.float64)
    function = None if decay is None else torch.optim.swa_utils.get_ema_multi_avg_fn(decay)
    averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=function)
    for value in VALUES:
        p.data[...] = value
        ema.update()
        with torch.no_grad():
            model.weight[...] = torch.tensor(value)
        averaged.update_parameters(model)
    theirs = averaged.module.weight.detach().numpy()[0]
    np.testing.assert_allclose(ema.averages[0], theirs, rtol=1e-13)


def test_the_mean_of_all_updates():
    """decay=None is stochastic weight averaging."""
    p = tc.Tensor(np.zeros(3), requires_grad=True)
    ema = optim.EMA([p], decay=None)
    walk(p, ema, VALUES)
    np.testing.assert_allclose(ema.averages[0], VALUES.mean(axis=0), rtol=1e-13)


def test_averages_are_applied_and_taken_back():
    """Inside the model computes with the averages, outside with its own bits, also after errors."""
    tc.seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    ema = optim.EMA(model, decay=0.5)
    ema.update()
    own = [p.data.copy() for p in model.parameters()]
    memory = [p.data for p in model.parameters()]
    for p in model.parameters():
        p.data[...] += 1

    def fail_inside():
        with ema.applied():
            for p, before in zip(model.parameters(), own, strict=True):
                np.testing.assert_array_equal(p.data, before)
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    for p, before, array in zip(model.parameters(), own, memory, strict=True):
        np.testing.assert_array_equal(p.data, before + 1)
        assert p.data is array
        assert p.dtype == np.float32


def test_swapped_weights_are_noticed():
    """A backward pass whose weights were swapped is refused."""
    w = tc.Tensor([2.0], requires_grad=True)
    ema = optim.EMA([w])
    loss = (w * w).sum()
    ema.swap()
    with pytest.raises(ModifiedValueError, match=r"EMA.swap\(\)"):
        loss.backward()


def test_saved_averages_go_on_exactly():
    """State is a copy, and a fresh object continues bit by bit."""
    p = tc.Tensor(np.zeros(3), requires_grad=True)
    ema = optim.EMA([p], 0.9)
    walk(p, ema, VALUES[:7])
    saved = ema.state_dict()
    q = tc.Tensor(np.zeros(3), requires_grad=True)
    again = optim.EMA([q], 0.1)
    again.load_state_dict(saved)
    walk(p, ema, VALUES[7:])
    walk(q, again, VALUES[7:])
    np.testing.assert_array_equal(again.averages[0], ema.averages[0])
    assert saved["updates"] == 7
    with pytest.raises(ShapeError, match=r"\(3,\).*\(2,\)"):
        optim.EMA([tc.Tensor([1.0, 2.0])]).load_state_dict(saved)


def test_weights_refuse_what_cannot_be():
    """Decay of 1, no parameters, and things that are none."""
    with pytest.raises(ArgumentError, match="EMA: decay must lie in .0, 1. or be None, got 1.0"):
        optim.EMA([tc.Tensor([1.0])], 1.0)
    with pytest.raises(ArgumentError, match="EMA: got no parameters"):
        optim.EMA([])
    with pytest.raises(ArgumentError, match="EMA: parameter 0 is ndarray"):
        optim.EMA([np.ones(2)])
