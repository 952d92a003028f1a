"""Convolutions: against loops, in every memory order, in threads, and what they refuse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_course as tc
from tinygrad_course import nn, ops, threads
from tinygrad_course.errors import ArgumentError, ShapeError

F = nn.functional


def naive_conv2d(x, weight, bias, stride, padding, dilation, groups):
    """Convolve by the definition: a loop over every number that is multiplied."""
    (above, below), (left, right) = padding
    x = np.pad(x, ((0, 0), (0, 0), (above, below), (left, right)))
    m, channels, height, width = x.shape
    outputs, share, kernel_height, kernel_width = weight.shape
    rows = (height - dilation[0] * (kernel_height - 1) - 1) // stride[0] + 1
    columns = (width - dilation[1] * (kernel_width - 1) - 1) // stride[1] + 1
    y = np.zeros((m, outputs, rows, columns))
    for n, o, i, j in np.ndindex(y.shape):
        first = o // (outputs // groups) * (channels // groups)
        for c, k, q in np.ndindex(share, kernel_height, kernel_width):
            h, w = i * stride[0] + k * dilation[0], j * stride[1] + q * dilation[1]
            y[n, o, i, j] += weight[o, c, k, q] * x[n, first + c, h, w]
    return y if bias is None else y + bias[:, None, None]


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw, after=0):
    """Draw the shapes and options of a convolution that fits; at least `after` is padded behind."""
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    padding = tuple((draw(st.integers(0, 2)), draw(st.integers(after, 2))) for _ in range(2))
    groups = draw(st.integers(1, 2))
    least = [
        max(1, d * (k - 1) + 1 - sum(p)) for d, k, p in zip(dilation, kernel, padding, strict=True)
    ]
    size = tuple(n + draw(st.integers(0, 4)) for n in least)
    channels, outputs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    x = (draw(st.integers(1, 2)), channels, *size)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, (outputs, channels // groups, *kernel), options


@settings(max_examples=150, deadline=None)
@given(convolutions(), st.integers(0, 2**32 - 1))
def test_conv2d_is_the_sum_of_its_definition(drawn, seed):
    """Any stride, padding, dilation and number of groups gives the numbers of six nested loops."""
    x_shape, weight_shape, options = drawn
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=x_shape), rng.normal(size=weight_shape)
    bias = rng.normal(size=weight_shape[0])
    ours = ops.conv2d(x, weight, bias, **options)
    np.testing.assert_allclose(ours, naive_conv2d(x, weight, bias, **options), atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(convolutions(after=-2), st.integers(0, 2**32 - 1))
def test_the_three_products_of_a_convolution_are_adjoint(drawn, seed):
    """<conv(x, w), g> = <x, conv_input(g, w)> = <w, conv_weight(x, g)>, whatever the options."""
    x_shape, weight_shape, options = drawn
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=x_shape), rng.normal(size=weight_shape)
    y = ops.conv2d(x, weight, None, **options)
    g = rng.normal(size=y.shape)
    back = ops.conv2d_input(g, weight, size=x_shape[2:], **options)
    kernels = ops.conv2d_weight(x, g, size=weight_shape[2:], **options)
    assert back.shape == x_shape
    assert kernels.shape == weight_shape
    np.testing.assert_allclose([np.vdot(x, back), np.vdot(weight, kernels)], np.vdot(y, g))


LARGE = {
    "one channel": ((48, 1, 20, 20), (6, 1, 5, 5), {}),
    "channels": ((48, 12, 11, 11), (16, 12, 3, 3), {"padding": ((1, 1), (1, 1))}),
    "stride": ((40, 8, 24, 24), (16, 8, 4, 4), {"stride": (2, 3)}),
    "groups": ((32, 8, 24, 24), (16, 4, 3, 3), {"groups": 2}),
    "dilation": ((32, 8, 24, 24), (16, 8, 3, 3), {"dilation": (2, 2)}),
    "one kernel for each channel": (
        (32, 16, 24, 24),
        (16, 1, 3, 3),
        {"groups": 16, "padding": ((1, 0), (2, 1)), "stride": (1, 2)},
    ),
}


def products(x, weight, bias, g, options):
    return (
        ops.conv2d(x, weight, bias, **options),
        ops.conv2d_input(g, weight, size=x.shape[2:], **options),
        ops.conv2d_weight(x, g, size=weight.shape[2:], **options),
    )


@pytest.fixture(params=LARGE)
def large(request, rng):
    """A float32 convolution that is worked on in pieces: x, weight, bias, upstream, options."""
    x_shape, weight_shape, options = LARGE[request.param]
    x, weight, bias = (
        rng.normal(size=s).astype(np.float32) for s in (x_shape, weight_shape, weight_shape[:1])
    )
    g = rng.normal(size=ops.conv2d(x, weight, bias, **options).shape).astype(np.float32)
    return x, weight, bias, g, options


def test_a_large_batch_is_the_sum_of_its_examples(large):
    """What is cut into pieces for the cache and for threads adds up to what each example gives."""
    x, weight, bias, g, options = large
    y, back, kernels = products(*large)
    singles = [products(x[n, None], weight, bias, g[n, None], options) for n in range(len(x))]
    for whole, single in ((y, 0), (back, 1)):
        parts = np.concatenate([found[single] for found in singles])
        np.testing.assert_allclose(whole, parts, atol=2e-5)
    total = np.sum([found[2].astype(float) for found in singles], axis=0)
    np.testing.assert_allclose(kernels, total, rtol=1e-4, atol=1e-5 * np.abs(total).max())


def test_the_bits_do_not_depend_on_the_number_of_threads(large, monkeypatch):
    """One thread and three give the same bits: the pieces follow from the shapes alone."""
    found = []
    for count in (1, 3):
        monkeypatch.setattr(threads, "_available", lambda count=count: count)
        monkeypatch.setattr(threads, "ENOUGH", 0.0)
        found.append(products(*large))
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)


def test_the_gradients_of_one_backward_pass_are_the_three_products(large):
    """What a backward pass computes piece by piece at once is what its rows compute alone."""
    *arrays, g, options = large
    x, weight, bias = (tc.Tensor(array, requires_grad=True) for array in arrays)
    ops.conv2d(x, weight, bias, **options).backward(g)
    _, back, kernels = products(*large)
    np.testing.assert_array_equal(x.grad, back)
    np.testing.assert_array_equal(weight.grad, kernels)
    np.testing.assert_allclose(bias.grad, g.sum(axis=(0, 2, 3), dtype=float), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_of_memory_does_not_matter(order, rng):
    """Images and kernels that lie in memory in any order give the same numbers."""
    x, weight = rng.normal(size=(2, 3, 5, 4)), rng.normal(size=(2, 3, 2, 3))
    g = rng.normal(size=(2, 2, 4, 2))
    back = np.argsort(order)
    turned = [np.ascontiguousarray(a.transpose(order)).transpose(back) for a in (x, weight, g)]
    plain = products(x, weight, None, g, {})
    for a, b in zip(products(turned[0], turned[1], None, turned[2], {}), plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)


def test_a_chain_of_layers_keeps_channels_last_in_memory(rng):
    """Between convolution, relu and pooling nothing is copied into another order of memory."""
    x = tc.Tensor(rng.normal(size=(2, 3, 12, 12)), requires_grad=True)
    first, second = nn.Conv2d(3, 4, 3, dtype=float), nn.Conv2d(4, 5, 3, dtype=float)
    y = second(F.max_pool2d(F.relu(first(x)), 2))
    assert y.data.transpose(2, 0, 3, 1).flags.c_contiguous
    y.sum().backward()
    assert x.grad.shape == x.shape


def test_convolutions_are_right_to_third_order(rng):
    """Derivatives of derivatives of a nonlinear function of a convolution pass the check."""
    x, weight = rng.normal(size=(1, 1, 3, 3)), rng.normal(size=(1, 1, 2, 2))

    def curvature(x, weight):
        leaf = tc.Tensor(0.0, requires_grad=True)
        with tc.enable_grad():
            y = (F.conv2d(x * (1 + leaf), weight * (1 + leaf), padding=1) ** 3).sum()
            return tc.gradients(y, leaf, create_graph=True)

    report = tc.gradcheck(curvature, x, weight, order=2, seed=0)
    assert report, str(report)


def test_the_gradient_of_the_input_is_not_computed_for_data(rng, monkeypatch):
    """Images that need no gradient cost none in the first layer."""
    layer = nn.Conv2d(1, 2, 3)
    y = layer(rng.normal(size=(2, 1, 5, 5))).sum()
    asked = []
    monkeypatch.setattr(
        "tinygrad_course.ops.convolution.conv2d_input", lambda *a, **k: asked.append((a, k))
    )
    y.backward()
    assert asked == []
    assert layer.weight.grad.shape == layer.weight.shape


@pytest.mark.parametrize("kernel", [(2, 3), (4, 1), (2, 2)])
def test_same_padding_adds_an_odd_remainder_after(kernel, rng):
    """padding='same' keeps the size for kernels of even size too, with PyTorch's alignment."""
    x, weight = rng.normal(size=(1, 1, 5, 4)), rng.normal(size=(2, 1, *kernel))
    padding = tuple(((k - 1) // 2, k // 2) for k in kernel)
    expected = naive_conv2d(x, weight, None, (1, 1), padding, (1, 1), 1)
    ours = F.conv2d(x, weight, padding="same")
    assert ours.shape == (1, 2, 5, 4)
    np.testing.assert_allclose(ours, expected, atol=1e-13)


def test_an_empty_batch_gives_an_empty_batch():
    """No examples: the result is empty and the gradients of the parameters are zero."""
    layer = nn.Conv2d(2, 3, 2)
    y = layer(np.zeros((0, 2, 4, 4)))
    assert y.shape == (0, 3, 3, 3)
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad, np.zeros((3, 2, 2, 2)))


def test_a_list_is_taken_for_an_array():
    """Nested lists are images too."""
    y = F.conv2d([[[[1.0, 2.0], [3.0, 4.0]]]], [[[[1.0, 1.0]]]])
    np.testing.assert_array_equal(y, [[[[3.0], [7.0]]]])


def test_the_parameters_start_as_pytorchs():
    """Weights and biases are uniform in ±1/sqrt(fan-in); the transposed fan-in is the weight's."""
    for layer, fan in (
        (nn.Conv2d(8, 64, 3, groups=2), 4 * 9),
        (nn.Conv1d(8, 64, 5), 8 * 5),
        (nn.ConvTranspose2d(64, 16, 3), 16 * 9),
    ):
        bound = 1 / np.sqrt(fan)
        for parameter in (layer.weight, layer.bias):
            assert 0.8 * bound < np.abs(parameter.data).max() <= bound
        assert abs(layer.weight.data.mean()) < 0.05 * bound


def test_output_size_chooses_the_output_padding(rng):
    """A transposed convolution can be asked for a size, of one direction or of the whole result."""
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, dtype=float)
    x = rng.normal(size=(1, 2, 4, 4))
    np.testing.assert_array_equal(
        layer(x, output_size=(8, 7)).data,
        F.conv_transpose2d(x, layer.weight, layer.bias, 2, 1, (1, 0)).data,
    )
    assert layer(x, output_size=(1, 3, 7, 8)).shape == (1, 3, 7, 8)
    with pytest.raises(ArgumentError, match=r"between \(7, 7\) and \(8, 8\)"):
        layer(x, output_size=(9, 7))


def test_layers_show_pytorchs_text():
    """The text of a layer is PyTorch's."""
    assert repr(nn.Conv2d(1, 2, 3, 1, 2)) == (
        "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(2, 2))"
    )
    layer = nn.Conv2d(2, 4, 3, padding="same", dilation=2, groups=2, bias=False)
    assert repr(layer) == (
        "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding=same, dilation=(2, 2), groups=2, "
        "bias=False)"
    )
    assert repr(nn.ConvTranspose1d(1, 2, 3, 2, output_padding=1)) == (
        "ConvTranspose1d(1, 2, kernel_size=(3,), stride=(2,), output_padding=(1,))"
    )


# ---- refusals ----------------------------------------------------------------------------------


def test_images_that_do_not_fit_are_refused_by_the_path_of_the_layer():
    """The message names the layer within its model, the shape that came and the one expected."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(3, 2, 3))
    expected = r"conv2d in Sequential > Conv2d: got x of shape \(2, 4, 6, 6\), expected \(m, 3, "
    with pytest.raises(ShapeError, match=expected):
        model(np.zeros((2, 1, 8, 8)))
    with pytest.raises(ShapeError, match=r"expected \(m, 1, height, width\) or, for one example"):
        model(np.zeros((8, 8)))
    with pytest.raises(ShapeError, match=r"padded size \(2, 8\) is smaller than the kernel's"):
        model(np.zeros((2, 1, 2, 8)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride must be a whole number of at least 1, or 2 of them, got 0"),
        ({"stride": (1, 2, 3)}, "stride must be"),
        ({"padding": -1}, "padding must be a whole number of at least 0"),
        ({"padding": "full"}, "padding must be 'same', 'valid' or whole numbers, got 'full'"),
        ({"padding": "same", "stride": 2}, "padding='same' needs stride 1"),
        ({"dilation": 1.5}, "dilation must be"),
        ({"kernel_size": True}, "kernel_size must be"),
        ({"groups": 2}, "must be multiples of groups=2"),
        ({"groups": 0}, "groups must be a positive whole number"),
        ({"padding_mode": "mirror"}, "padding_mode must be one of zeros, reflect, replicate, circ"),
        ({"in_channels": 0}, "in_channels must be a positive whole number"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    """A layer that could never work is refused when it is made."""
    given = {"in_channels": 3, "out_channels": 4, "kernel_size": 3, **options}
    with pytest.raises(ArgumentError, match=f"Conv2d: .*{message}"):
        nn.Conv2d(**given)


def test_the_function_refuses_weights_and_biases_that_do_not_fit():
    """Kernels of too few axes, a bias of another length, too much mirroring."""
    x, weight = np.zeros((1, 2, 4, 4)), np.zeros((3, 2, 2, 2))
    with pytest.raises(ShapeError, match="got a weight of shape"):
        F.conv2d(x, weight[0])
    with pytest.raises(ShapeError, match=r"got a bias of shape \(2,\), expected \(3,\)"):
        F.conv2d(x, weight, np.zeros(2))
    with pytest.raises(ArgumentError, match="groups must be a positive whole number"):
        F.conv2d(x, weight, groups=0)
    with pytest.raises(ShapeError, match="'reflect' cannot add 4"):
        nn.Conv2d(2, 1, 3, padding=4, padding_mode="reflect")(x)
    with pytest.raises(ShapeError, match="'circular' cannot add 5"):
        nn.Conv2d(2, 1, 3, padding=5, padding_mode="circular")(x)
    with pytest.raises(ArgumentError, match="must be smaller than the stride"):
        F.conv_transpose2d(x, np.zeros((2, 1, 3, 3)), output_padding=1)
    with pytest.raises(ShapeError, match="use less padding"):
        F.conv_transpose2d(x, np.zeros((2, 1, 1, 1)), padding=2)
    with pytest.raises(ArgumentError, match="padding_mode must be one of zeros"):
        nn.ConvTranspose2d(1, 1, 1, padding_mode="reflect")
