"""Pooling: against loops, ties and their gradient, and what it refuses."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_course as tc
from tinygrad_course import nn, ops, threads
from tinygrad_course.errors import ArgumentError, ShapeError

F = nn.functional


def windows(x, kernel, stride, padding, dilation, out):
    """Yield for every window its index and the places of the image that it covers, row by row."""
    height, width = x.shape[2:]
    for n, c, i, j in np.ndindex(*x.shape[:2], *out):
        top, left = i * stride[0] - padding[0], j * stride[1] - padding[1]
        rows = [top + k * dilation[0] for k in range(kernel[0])]
        columns = [left + k * dilation[1] for k in range(kernel[1])]
        places = [(h, w) for h in rows for w in columns if 0 <= h < height and 0 <= w < width]
        yield (n, c, i, j), places


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def poolings(draw):
    """Draw the size of an image and the options of a pooling that fits."""
    kernel, stride = draw(pairs), draw(pairs)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(k + draw(st.integers(0, 4)) for k in kernel)
    return size, kernel, stride, padding, draw(st.booleans())


@settings(max_examples=150, deadline=None)
@given(poolings(), st.integers(0, 2**32 - 1))
def test_max_pooling_finds_the_first_maximum_of_every_window(drawn, seed):
    """Values, indices and gradients are those of a loop; most windows hold equal elements."""
    size, kernel, stride, padding, ceil_mode = drawn
    rng = np.random.default_rng(seed)
    x = tc.Tensor(rng.integers(0, 3, (2, 2, *size)).astype(float), requires_grad=True)
    y, indices = F.max_pool2d(x, kernel, stride, padding, 1, ceil_mode, True)
    g = rng.normal(size=y.shape)
    (y * g).sum().backward()
    expected = np.zeros(x.shape)
    for index, places in windows(x.data, kernel, stride, padding, (1, 1), y.shape[2:]):
        values = [x.data[(*index[:2], *place)] for place in places]
        h, w = places[int(np.argmax(values))]
        assert y.data[index] == max(values)
        assert indices.data[index] == h * size[1] + w
        expected[(*index[:2], h, w)] += g[index]
    np.testing.assert_allclose(x.grad, expected, atol=1e-14)


@settings(max_examples=100, deadline=None)
@given(poolings(), st.booleans(), st.integers(0, 2**32 - 1))
def test_average_pooling_is_the_mean_of_every_window(drawn, count_include_pad, seed):
    """Without ceil_mode every mean is that of a loop, with the padding counted or not."""
    size, kernel, stride, padding, _ = drawn
    x = np.random.default_rng(seed).normal(size=(2, 2, *size))
    y = F.avg_pool2d(x, kernel, stride, padding, count_include_pad=count_include_pad)
    for index, places in windows(x, kernel, stride, padding, (1, 1), y.shape[2:]):
        count = kernel[0] * kernel[1] if count_include_pad else len(places)
        total = sum(x[(*index[:2], *place)] for place in places)
        np.testing.assert_allclose(y[index], total / count, atol=1e-13)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 7)] * 2), st.tuples(*[st.integers(1, 5)] * 2))
def test_adaptive_pooling_covers_the_image(size, out):
    """Each window goes from the floor of i n / out to the ceiling of (i + 1) n / out."""
    x = np.random.default_rng(0).normal(size=(1, 2, *size))
    y = F.adaptive_avg_pool2d(x, out)
    assert y.shape == (1, 2, *out)
    for i, j in np.ndindex(out):
        rows = slice(i * size[0] // out[0], -(-(i + 1) * size[0] // out[0]))
        columns = slice(j * size[1] // out[1], -(-(j + 1) * size[1] // out[1]))
        means = x[:, :, rows, columns].mean(axis=(2, 3))
        np.testing.assert_allclose(y[:, :, i, j], means, atol=1e-14)


TIED = {
    "2x2": ((2, 3, 6, 6), (2,), {}),
    "overlapping": ((2, 3, 6, 7), (3, 2), {"padding": 1}),
    "dilation": ((2, 2, 6, 6), (2, 1), {"dilation": 2}),
    "ceil": ((2, 2, 5, 4), (3, 3), {"ceil_mode": True}),
}


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", TIED)
def test_ties_are_broken_as_pytorch_breaks_them(name, channels_last, rng):
    """Where a window holds equal elements, index and gradient are PyTorch's."""
    import torch

    shape, arguments, options = TIED[name]
    raw = rng.integers(0, 3, shape).astype(float)
    theirs = torch.tensor(raw, requires_grad=True)
    given = theirs.to(memory_format=torch.channels_last) if channels_last else theirs
    expected, places = torch.nn.functional.max_pool2d(
        given, *arguments, **options, return_indices=True
    )
    expected.sum().backward()
    ours = tc.Tensor(raw, requires_grad=True)
    y, indices = F.max_pool2d(ours, *arguments, **options, return_indices=True)
    y.sum().backward()
    np.testing.assert_array_equal(y.data, expected.detach().numpy())
    np.testing.assert_array_equal(indices.data, places.numpy())
    np.testing.assert_array_equal(ours.grad, theirs.grad.numpy())


@pytest.mark.parametrize("kernel", [2, 3])
def test_a_large_batch_is_pooled_alike_by_any_number_of_threads(kernel, rng, monkeypatch):
    """The pieces that threads work on give the bits of the whole, forward and backward."""
    raw = rng.normal(size=(40, 8, 48, 48)).astype(np.float32)
    g = rng.normal(size=F.max_pool2d(raw, kernel, 2).shape).astype(np.float32)
    found = []
    for count in (1, 3):
        monkeypatch.setattr(threads, "_available", lambda count=count: count)
        monkeypatch.setattr(threads, "ENOUGH", 0.0)
        x = tc.Tensor(raw, requires_grad=True)
        y, mean = F.max_pool2d(x, kernel, 2), F.avg_pool2d(x, kernel, 2)
        ((y + mean) * g).sum().backward()
        found.append((y.data, mean.data, x.grad))
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)


def test_upstream_in_another_order_of_memory_is_no_other_gradient(rng):
    """Images with their channels last and a gradient with its channels first fit together."""
    raw = rng.normal(size=(4, 6, 2, 3)).transpose(1, 3, 0, 2)
    g = rng.normal(size=(6, 3, 2, 1))
    plain, last = (tc.Tensor(a, requires_grad=True) for a in (raw.copy(order="C"), raw))
    for x in (plain, last):
        F.max_pool2d(x, 2).backward(g)
    np.testing.assert_array_equal(plain.grad, last.grad)


def test_not_a_number_stays_one():
    """A window that holds nan has the maximum nan, and its gradient reaches one of its elements."""
    x = tc.Tensor([[[[1.0, np.nan], [3.0, 2.0]]]], requires_grad=True)
    y = F.max_pool2d(x, 2)
    assert np.isnan(y.data).all()
    y.backward(np.ones_like(y.data))
    assert np.count_nonzero(x.grad) == 1


def test_the_second_derivative_follows_the_winners(rng):
    """The curvature of a function of maxima is right to second order, also through the indices."""
    x = rng.permutation(24.0 + np.arange(24)).reshape(1, 1, 4, 6) / 10

    def f(x):
        return (F.max_pool2d(x, 3, 1) ** 3).sum()

    report = tc.gradcheck(f, x, order=2, seed=0)
    assert report, str(report)


def test_whole_numbers_have_maxima():
    """Images of whole numbers are pooled without being converted, padding never wins."""
    y = ops.max_pool2d(-np.ones((1, 1, 2, 2), int), kernel=(2, 2), stride=(1, 1), padding=ONE)
    np.testing.assert_array_equal(y, -np.ones((1, 1, 3, 3), int))


ONE = ((1, 1), (1, 1))


def test_layers_show_pytorchs_text():
    """The text of a layer is PyTorch's."""
    assert repr(nn.MaxPool2d(2)) == (
        "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    )
    assert repr(nn.AvgPool2d((2, 1), 1)) == "AvgPool2d(kernel_size=(2, 1), stride=1, padding=0)"
    assert repr(nn.AvgPool1d(2)) == "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))"
    assert repr(nn.AdaptiveAvgPool2d((1, None))) == "AdaptiveAvgPool2d(output_size=(1, None))"


def test_indices_come_with_the_layer(rng):
    """return_indices gives the pair, for one example without the axis of the batch."""
    x = rng.normal(size=(3, 4, 4))
    y, indices = nn.MaxPool2d(2, return_indices=True)(x)
    assert y.shape == indices.shape == (3, 2, 2)
    np.testing.assert_array_equal(x.reshape(3, 16)[np.arange(3)[:, None, None], indices], y)
    y, indices = nn.MaxPool1d(2, return_indices=True)(x)
    np.testing.assert_array_equal(np.take_along_axis(x, indices, 2), y)


# ---- refusals ----------------------------------------------------------------------------------


def test_images_that_do_not_fit_are_refused_by_the_path_of_the_layer():
    """The message names the layer within its model and the shape that came."""
    model = nn.Sequential(nn.Identity(), nn.MaxPool2d(2))
    with pytest.raises(ShapeError, match=r"max_pool2d in Sequential > MaxPool2d: got x of shape"):
        model(np.zeros((4, 4)))
    with pytest.raises(ShapeError, match=r"padded size \(1, 4\) is smaller than the kernel's"):
        model(np.zeros((2, 3, 1, 4)))
    with pytest.raises(ShapeError, match="which is empty"):
        nn.AdaptiveAvgPool2d(2)(np.zeros((2, 3, 0, 4)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.MaxPool2d(0), "MaxPool2d: kernel_size must be a whole number of at least 1"),
        (lambda: nn.MaxPool2d(2, stride=(1, 0)), "MaxPool2d: stride must be"),
        (lambda: nn.MaxPool2d(2, padding=-1), "MaxPool2d: padding must be"),
        (lambda: nn.MaxPool1d((2, 2)), "MaxPool1d: kernel_size must be"),
        (lambda: nn.AvgPool2d("2"), "AvgPool2d: kernel_size must be"),
        (lambda: F.max_pool2d(np.zeros((1, 1, 4, 4)), 2, padding=2), "must be at most half"),
        (lambda: F.avg_pool2d(np.zeros((1, 1, 4, 4)), 2, divisor_override=0), "divisor_override"),
        (lambda: F.adaptive_avg_pool2d(np.zeros((1, 1, 4, 4)), (1, 2, 3)), "needs 2 numbers"),
        (lambda: F.adaptive_avg_pool2d(np.zeros((1, 1, 4, 4)), 0), "output_size must be"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, message):
    """Each message names the layer and the option."""
    with pytest.raises(ArgumentError, match=message):
        make()
