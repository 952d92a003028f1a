"""Layer, group, instance and root-mean-square norm: formulas, large offsets, refusals."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, ShapeError

F = nn.functional


def standardized(x, axes, eps=1e-5):
    mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps)


def test_layers_start_as_their_formulas(rng):
    """With weight 1 and bias 0 each layer only normalizes what it should."""
    x = rng.normal(size=(3, 4, 5, 2)) * 3 + 1
    halves = x.reshape(3, 2, -1)
    expected = {
        nn.LayerNorm((5, 2), dtype=float): standardized(x, (2, 3)),
        nn.GroupNorm(2, 4, dtype=float): standardized(halves, 2).reshape(x.shape),
        nn.InstanceNorm2d(4): standardized(x, (2, 3)),
        nn.RMSNorm(2, eps=1e-5, dtype=float): x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5),
    }
    for layer, values in expected.items():
        out = layer(x)
        np.testing.assert_allclose(np.asarray(getattr(out, "data", out)), values, rtol=1e-12)


def test_group_norm_has_layer_and_instance_norm_as_its_ends(rng):
    """One group normalizes the whole example, as many groups as channels each channel."""
    x = rng.normal(size=(2, 3, 4, 4))
    np.testing.assert_allclose(F.group_norm(x, 1), F.layer_norm(x, x.shape[1:]), rtol=1e-12)
    np.testing.assert_allclose(F.group_norm(x, 3), F.instance_norm(x), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_numbers_are_normalized(dtype):
    """Rows around ±10000, and of numbers of size 10000, give finite, right results."""
    x = np.array([[1e4, 1e4 + 1, 1e4 + 2, 1e4 + 3], [-1e4, 1e4, -1e4, 1e4]], dtype)
    x = tc.Tensor(x, requires_grad=True)
    out = F.layer_norm(x, 4)
    out.backward(np.array([[1, 2, 3, 4], [4, 3, 2, 1]], dtype))
    expected = standardized(x.data.astype(float), 1)
    np.testing.assert_allclose(out.data, expected, rtol=1e-5 if dtype == np.float32 else 1e-9)
    assert np.isfinite(x.grad).all()


def test_a_constant_row_becomes_zero():
    """Without variance the result is 0 and the gradient finite; root-mean-square of 0 is 0."""
    x = tc.Tensor(np.full((1, 4), 7.0), requires_grad=True)
    out = F.layer_norm(x, 4)
    out.sum().backward()
    assert not out.data.any()
    assert np.isfinite(x.grad).all()
    assert not F.rms_norm(np.zeros((1, 3)), 3).any()


def test_the_normalized_row_does_not_feel_shift_and_scale(rng):
    """Layer norm's gradient is orthogonal to the ones and to x: shift and scale change nothing."""
    x = tc.Tensor(rng.normal(size=(5, 6)), requires_grad=True)
    F.layer_norm(x, 6, eps=0.0).backward(rng.normal(size=(5, 6)))
    np.testing.assert_allclose(x.grad.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose((x.grad * x.data).sum(axis=1), 0, atol=1e-12)


def test_the_default_eps_of_rms_norm_is_the_dtypes_own():
    """As in PyTorch, eps=None means the machine epsilon of the input's dtype."""
    for dtype in (np.float32, np.float64):
        eps = np.finfo(dtype).eps
        x = np.full((1, 2), np.sqrt(eps), dtype)
        np.testing.assert_allclose(nn.RMSNorm(2, dtype=dtype)(x).data, 0.5**0.5, rtol=1e-6)


def test_running_averages_of_instance_norm(rng):
    """Training moves them towards the mean over the examples, evaluation uses them."""
    layer = nn.InstanceNorm1d(2, momentum=0.5, track_running_stats=True, dtype=float)
    x = rng.normal(size=(3, 2, 7)) + 4
    layer(x)
    mean, var = x.mean(axis=(0, 2)), x.var(axis=2, ddof=1).mean(axis=0)
    np.testing.assert_allclose(layer.running_mean.data, 0.5 * mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.data, 0.5 + 0.5 * var, rtol=1e-12)
    out = layer.eval()(x)
    scale = np.sqrt(layer.running_var.data + 1e-5)[:, None]
    expected = (x - layer.running_mean.data[:, None]) / scale
    np.testing.assert_allclose(np.asarray(getattr(out, "data", out)), expected, rtol=1e-12)


def test_whole_numbers_and_empty_batches():
    """Pixels are normalized as floating numbers, and no examples give no results."""
    out = F.layer_norm(np.array([[1, 3]]), 2, eps=0.0)
    np.testing.assert_array_equal(out, [[-1.0, 1.0]])
    assert nn.LayerNorm(3)(np.zeros((0, 3))).shape == (0, 3)
    assert nn.GroupNorm(1, 3)(np.zeros((0, 3, 2))).shape == (0, 3, 2)


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (
            nn.LayerNorm(4),
            (3, 5),
            "layer_norm in Sequential > LayerNorm: expected x of shape (..., 4)",
        ),
        (nn.LayerNorm((2, 4)), (4,), "expected x of shape (..., 2, 4), got (4,)"),
        (nn.RMSNorm(4), (3, 5), "rms_norm in Sequential > RMSNorm"),
        (
            nn.GroupNorm(2, 4),
            (3, 6),
            "group_norm in Sequential > GroupNorm: expected x of shape (m, 4",
        ),
        (nn.GroupNorm(2, 4), (4,), "got (4,)"),
        (nn.InstanceNorm1d(4), (2, 4, 5, 5), "(m, 4, length) or (4, length), got (2, 4, 5, 5)"),
        (nn.InstanceNorm2d(4), (2, 3, 5, 5), "(m, 4, height, width)"),
        (nn.InstanceNorm2d(4), (2, 4, 1, 1), "more than one value per channel"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(layer, shape, words):
    """The refusal names function and layer, what came and what was expected."""
    with pytest.raises(ShapeError, match=re.escape(words)):
        nn.Sequential(layer)(np.zeros(shape))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: nn.LayerNorm(0), ArgumentError, "LayerNorm: normalized_shape"),
        (lambda: nn.LayerNorm((3, 2.5)), ArgumentError, "LayerNorm: normalized_shape"),
        (lambda: nn.RMSNorm(()), ArgumentError, "RMSNorm: normalized_shape"),
        (
            lambda: nn.GroupNorm(3, 4),
            ArgumentError,
            "num_channels=4 is no multiple of num_groups=3",
        ),
        (lambda: nn.GroupNorm(0, 4), ArgumentError, "num_groups must be a positive"),
        (lambda: nn.InstanceNorm1d(-1), ArgumentError, "InstanceNorm1d: num_features"),
        (lambda: F.layer_norm(np.ones((2, 3)), 3, np.ones(2)), ShapeError, "weight has shape (2,)"),
        (lambda: F.group_norm(np.ones((2, 3)), 2), ShapeError, "multiple of 2 channels"),
        (lambda: F.group_norm(np.ones((2, 3)), 0), ArgumentError, "num_groups must be"),
        (lambda: F.group_norm(np.ones((2, 3)), 3, np.ones(2)), ShapeError, "expected (3,)"),
        (lambda: F.instance_norm(np.ones((2, 3))), ShapeError, "(m, channels, ...)"),
        (
            lambda: F.instance_norm(np.ones((2, 3, 4)), use_input_stats=False),
            ArgumentError,
            "needs running_mean",
        ),
    ],
)
def test_options_without_sense_are_refused(call, kind, words):
    """The refusal names the layer or function and the option."""
    with pytest.raises(kind, match=re.escape(words)):
        call()
