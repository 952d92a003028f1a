"""Batch normalization: its statistics, its dtype, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from reference.layers.normalization import CASES

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ShapeError

F = nn.functional


def tensor(array, dtype=None):
    return tc.Tensor(np.array(array, dtype), requires_grad=True)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2)])
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
