"""Batch normalization: its statistics, its dtype, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from reference.layers.normalization import CASES

import tinygrad_course as tc
from tinygrad_course import nn, threads
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.ops import batch_normalization

F = nn.functional


def tensor(array, dtype=None):
    return tc.Tensor(np.array(array, dtype), requires_grad=True)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2), (2, 3, 2, 2)])
def test_batch_norm_is_right_to_second_order_in_everything(shape, rng):
    """Input, weight and bias of batch normalization pass the check of second derivatives."""

    def normalize(x, weight, bias):
        return F.batch_norm(x, None, None, weight, bias, training=True)

    given = [rng.normal(size=s) for s in (shape, 3, 3)]
    report = tc.gradcheck(normalize, *given, order=2, seed=0)
    assert report, str(report)


@pytest.mark.parametrize("training", [True, False])
def test_numpy_scalars_as_options_of_the_function_do_not_upcast(training, rng):
    """batch_norm as a function keeps float32 too, whatever eps and momentum are."""
    x = tensor(rng.normal(size=(6, 3)), np.float32)
    mean, var = (nn.Buffer(np.ones(3, np.float32)) for _ in range(2))
    options = {"eps": np.float64(1e-5), "momentum": np.float64(0.1)}
    out = F.batch_norm(x, mean, var, training=training, **options)
    out.sum().backward()
    assert out.dtype == x.grad.dtype == mean.dtype == var.dtype == np.float32


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


@pytest.mark.parametrize("name", CASES)
def test_evaluation_leaves_the_averages_alone(name, rng):
    """In evaluation mode no buffer changes."""
    layer = CASES[name].build(nn, np.dtype(float))
    (shape,) = CASES[name].inputs
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


def test_the_right_weight_and_bias_make_the_layer_the_identity(rng):
    """γ = √(σ² + ε) and β = μ undo the normalization, as the notes say."""
    x = rng.normal(size=(8, 3, 4, 4)) * 3 + 5
    layer = nn.BatchNorm2d(3, dtype=float)
    layer.weight.data = np.sqrt(x.var(axis=(0, 2, 3)) + layer.eps)
    layer.bias.data = x.mean(axis=(0, 2, 3))
    np.testing.assert_allclose(layer(x).data, x, rtol=0, atol=1e-13)


def test_beta_is_the_weight_of_the_old_average(rng):
    """The notes' β = 0.9 is PyTorch's momentum 0.1: an exponentially weighted average."""
    layers = nn.BatchNorm1d(2, beta=0.9, dtype=float), nn.BatchNorm1d(2, momentum=0.1, dtype=float)
    average = np.zeros(2)
    for batch in rng.normal(size=(4, 6, 2)):
        for layer in layers:
            layer(batch)
        average = 0.9 * average + 0.1 * batch.mean(axis=0)
    for layer in layers:
        np.testing.assert_allclose(layer.running_mean.data, average, rtol=1e-12)
    with pytest.raises(ArgumentError, match="give momentum or beta, not both"):
        nn.BatchNorm1d(2, momentum=0.2, beta=0.9)
    with pytest.raises(ArgumentError, match=r"beta must lie in \[0, 1\], got 1.5"):
        nn.BatchNorm1d(2, beta=1.5)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.BatchNorm1d(3), (4, 3, 2, 2), r"\(m, 3\) or \(m, 3, length\)"),
        (nn.BatchNorm2d(3), (4, 3, 2), r"\(m, 3, height, width\)"),
        (nn.BatchNorm2d(3), (4, 2, 3, 3), r"\(m, 3, height, width\)"),
        (nn.BatchNorm(3), (3,), r"\(m, 3, ...\)"),
    ],
)
def test_input_of_another_rank_or_size_is_refused_by_the_path_of_the_layer(layer, shape, expected):
    """The message names the layer within its model, what came and what was expected."""
    model = nn.Sequential(nn.Identity(), layer)
    path = f"batch_norm in Sequential > {type(layer).__name__}: expected x of shape {expected}"
    with pytest.raises(ShapeError, match=path):
        model(np.zeros(shape))


def layouts(shape, rng):
    """Yield the same numbers in the orders of memory that images and tables come in."""
    x = rng.normal(size=shape).astype(np.float32) * 2 + 1
    yield x
    for order in {2: [(1, 0)], 3: [(0, 2, 1)], 4: [(2, 0, 3, 1), (0, 2, 3, 1)]}[len(shape)]:
        yield np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))


@pytest.mark.parametrize("shape", [(1500, 50), (70, 13, 80), (40, 5, 21, 20), (3, 700, 6, 6)])
def test_a_large_batch_has_the_numbers_of_the_formula(shape, rng):
    """What is worked on in blocks has the formula's value and gradients, in any memory order."""
    weight, bias = rng.normal(size=shape[1]), rng.normal(size=shape[1])
    g = rng.normal(size=shape)
    axes = (0, *range(2, len(shape)))
    for raw in layouts(shape, rng):
        found = []
        for kind, formula in ((np.float32, False), (float, True)):
            x, w, b = (tensor(a, kind) for a in (raw, weight, bias))
            normalize = batch_normalization._batch_norm_formula if formula else tc.batch_norm
            y, mean, var = normalize(x, w, b, eps=1e-5)
            ((y * g).sum() + mean.sum() + (var * 2).sum()).backward()
            found.append((y.data, mean.data, var.data, x.grad, w.grad, b.grad))
        np.testing.assert_allclose(found[0][1], raw.mean(axis=axes, dtype=float), rtol=1e-5)
        for ours, exact in zip(*found, strict=True):
            np.testing.assert_allclose(ours, exact, rtol=1e-4, atol=2e-5 * np.abs(exact).max())


def test_the_bits_do_not_depend_on_the_number_of_threads(rng, monkeypatch):
    """One thread and three give the same bits: the blocks follow from the shape alone."""
    raw, g = (rng.normal(size=(64, 20, 24, 24)).astype(np.float32) for _ in range(2))
    found = []
    for count in (1, 3):
        monkeypatch.setattr(threads, "_available", lambda count=count: count)
        monkeypatch.setattr(threads, "ENOUGH", 0.0)
        x, layer = tensor(raw, np.float32), nn.BatchNorm2d(20)
        y = layer(x)
        y.backward(g)
        found.append((y.data, x.grad, layer.weight.grad, layer.bias.grad, layer.running_var.data))
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)
