"""Fourier's transforms: NumPy's values, and gradients with cutting, filling and half spectra."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.checking import gradcheck
from tinygrad_course.errors import DtypeError, ShapeError

NORMS = [None, "backward", "ortho", "forward"]
ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
SEVERAL = ["fftn", "ifftn", "rfftn", "irfftn"]
TWO = ["fft2", "ifft2", "rfft2", "irfft2"]
REAL_INPUT = {"rfft", "ihfft", "rfftn", "rfft2"}
SINGLE = {np.dtype(np.float32), np.dtype(np.complex64)}


def draw(*shape, seed=0, name=""):
    """Return numbers for a transform: complex ones unless it takes real ones only."""
    rng = np.random.default_rng([seed, *shape])
    x = rng.uniform(-1, 1, shape)
    return x if name in REAL_INPUT else x + 1j * rng.uniform(-1, 1, shape)


def leaf(x):
    return Tensor(np.array(x), requires_grad=True)


def right(function, x, order=1):
    report = gradcheck(function, x, order=order, seed=0)
    assert report, str(report)


def agrees(function, x):
    """Assert NumPy's bits and dtype, and right derivatives."""
    theirs, ours = function(x), function(leaf(x))
    assert ours.requires_grad
    np.testing.assert_array_equal(ours.data, theirs)
    assert ours.dtype == theirs.dtype
    right(function, x)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ONE)
def test_every_length(name, norm):
    """Inputs of 2 to 5 numbers, cut or filled to any length from 1 to 7, have exact gradients."""
    transform = getattr(np.fft, name)
    for length, n in itertools.product(range(2, 6), [None, *range(1, 8)]):
        x = draw(length, name=name)
        agrees(lambda a, n=n: transform(a, n, norm=norm), x)


@pytest.mark.parametrize("name", ONE)
def test_real_numbers_and_axes(name):
    """Real input, any axis, strides and batches; the gradient of real input is real."""
    transform = getattr(np.fft, name)
    x = draw(3, 4, 2, name="rfft")
    for axis in (0, 1, -1):
        agrees(lambda a, axis=axis: transform(a, axis=axis), x)
        agrees(lambda a, axis=axis: transform(a, 3, axis, "ortho"), x[::-1, ::2])
    at = leaf(x)
    abs(transform(at, axis=1)).sum().backward()
    assert at.grad.dtype == np.float64


@pytest.mark.parametrize("name", SEVERAL + TWO)
def test_several_axes(name):
    """Shapes, axes and scalings of the transforms along several axes."""
    transform = getattr(np.fft, name)
    x = draw(3, 4, 2, name=name)
    cases = [{}, {"axes": (0, 1)}, {"axes": (2, 0)}, {"s": (4, 3), "axes": (-2, 0)}]
    cases += [{"s": (2, -1), "axes": (0, 1)}, {"s": (5, 5), "axes": (1, 2)}]
    cases += [{"s": [3, 3], "axes": [0, 1]}]
    for options, norm in itertools.product(cases, NORMS[1:]):
        agrees(lambda a, o=options, norm=norm: transform(a, norm=norm, **o), x)
    agrees(lambda a: transform(a, (2, 6), (1, 0), "forward"), x)


@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
def test_an_axis_that_is_named_twice(name):
    """NumPy transforms such an axis twice, and so does the gradient."""
    transform = getattr(np.fft, name)
    agrees(lambda a: transform(a, axes=(0, 0, 1)), draw(3, 4, name=name))
    if name != "rfftn":  # which of the two comes first has changed with NumPy's versions
        agrees(lambda a: transform(a, s=(2, 5, 4), axes=(0, 0, 1)), draw(3, 4, name=name))
    agrees(lambda a: transform(a, axes=(1, 0, 1)), draw(3, 4, name=name))


@pytest.mark.parametrize("name", ONE + SEVERAL + TWO)
def test_second_derivatives(name):
    """The derivative of the power in each frequency is right to the second order."""
    transform = getattr(np.fft, name)
    shape = (5,) if name in ONE else (3, 4)
    right(lambda a: abs(transform(a) + 3) ** 3, draw(*shape, name=name), order=2)


@pytest.mark.parametrize("kind", [np.float32, np.complex64])
@pytest.mark.parametrize("name", ONE + SEVERAL + TWO)
def test_single_precision_stays_single(name, kind):
    """Values and gradients of single-precision input are single, to the second order."""
    if kind is np.complex64 and name in REAL_INPUT:
        pytest.skip("real numbers only")
    x = leaf(draw(3, 4, name="rfft").astype(kind))
    for norm in NORMS:
        out = getattr(np.fft, name)(x, norm=norm)
        assert out.dtype in SINGLE
        slope = tc.gradients((abs(out) ** 2).sum(), x, create_graph=True)
        assert slope.dtype == kind
        assert tc.gradients((abs(slope) ** 2).sum(), x).dtype == kind


def test_the_gradient_of_a_transform_is_the_transform():
    """fft is a symmetric matrix: its pull is fft itself, without a conjugate."""
    g = draw(5, seed=1)
    matrix = np.fft.fft(np.eye(5))
    x = leaf(draw(5))
    np.fft.fft(x).backward(g)
    np.testing.assert_allclose(x.grad, matrix.T @ g, rtol=1e-13)
    np.testing.assert_allclose(x.grad, np.fft.fft(g), rtol=1e-13)


def test_parseval():
    """The energy is the same on both sides, so that its gradient passes a transform unchanged."""
    x = draw(6)
    at = leaf(x)
    (abs(np.fft.fft(at, norm="ortho")) ** 2).sum().backward()
    np.testing.assert_allclose(at.grad, 2 * np.conj(x), rtol=1e-13)


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_half_spectra_there_and_back(n):
    """irfft after rfft, and hfft after ihfft, have the identity as derivative."""
    g = np.random.default_rng(n).uniform(-1, 1, n)
    for there, back in [("rfft", "irfft"), ("ihfft", "hfft")]:
        for norm in NORMS:
            x = leaf(g[::-1])
            spectrum = getattr(np.fft, there)(x, norm=norm)
            getattr(np.fft, back)(spectrum, n, norm=norm).backward(g)
            np.testing.assert_allclose(x.grad, g, rtol=1e-12)


@pytest.mark.parametrize("name", ["irfft", "hfft"])
def test_what_half_a_spectrum_does_not_read(name):
    """The imaginary part of frequency 0, and of the last one for even n, has gradient 0."""
    for n in (6, 7):
        x = leaf(draw(4))
        (getattr(np.fft, name)(x, n) * np.arange(1.0, n + 1)).sum().backward()
        unread = x.grad.imag == 0
        np.testing.assert_array_equal(unread, [True, False, False, n == 6])


def test_convolution_through_frequencies():
    """The convolution theorem: value and gradients are those of np.convolve."""
    a, b = draw(5, name="rfft"), draw(3, name="rfft", seed=1)
    direct, through = [leaf(a), leaf(b)], [leaf(a), leaf(b)]
    first = np.convolve(*direct)
    second = np.fft.irfft(np.fft.rfft(through[0], 7) * np.fft.rfft(through[1], 7), 7)
    np.testing.assert_allclose(second.data, first.data, atol=1e-15)
    weights = np.arange(7.0)
    first.backward(weights)
    second.backward(weights)
    for x, y in zip(direct, through, strict=True):
        np.testing.assert_allclose(y.grad, x.grad, rtol=1e-12, atol=1e-13)


def test_shifts():
    """fftshift and ifftshift undo one another, in value and in gradient."""
    x = draw(4, 5)
    for axes in (None, 0, 1, (0, 1), [1]):
        agrees(lambda a, axes=axes: np.fft.fftshift(a, axes), x)
        agrees(lambda a, axes=axes: np.fft.ifftshift(a, axes=axes), x)
        at = leaf(x)
        np.testing.assert_array_equal(np.fft.ifftshift(np.fft.fftshift(at, axes), axes).data, x)


def test_differentiating_a_signal_in_frequencies():
    """Multiplying by 2πi f differentiates a periodic signal, through tc.fft throughout."""
    t = np.arange(8) / 8
    x = leaf(np.sin(2 * np.pi * t))
    slope = tc.fft.ifft(tc.fft.fft(x) * (2j * np.pi * tc.fft.fftfreq(8, 1 / 8))).real
    np.testing.assert_allclose(slope.data, 2 * np.pi * np.cos(2 * np.pi * t), atol=1e-13)
    slope[0].backward()
    assert abs(x.grad.sum()) < 1e-13  # a constant has slope 0
    assert tc.fft.rfftfreq(8).shape == (5,)


def test_what_is_refused():
    """Complex numbers where real ones belong, lengths, axes and scalings that do not exist."""
    for name in sorted(REAL_INPUT):
        with pytest.raises(DtypeError, match=f"{name}: got shapes .* real number|axes of the"):
            getattr(np.fft, name)(leaf(np.ones((2, 2), complex)))
    x = leaf(np.ones((2, 3)))
    for call, match in [
        (lambda: np.fft.fft(x, 0), "fft: got shapes .2, 3.*Invalid number of FFT data points"),
        (lambda: np.fft.fft(x, norm="other"), "Invalid norm value other"),
        (lambda: np.fft.fftn(x, (2,), (0, 1)), "fftn: .* one length for each of them"),
    ]:
        with pytest.raises(ShapeError, match=match):
            call()
    with pytest.raises(IndexError, match="rfft: got shapes"):
        np.fft.rfft(x, axis=2)


def test_out_receives_a_transform():
    """NumPy's out= takes a Tensor, which then holds result and history."""
    x, out = leaf(draw(4)), Tensor(np.zeros(4, complex))
    np.fft.fft(x, out=out)
    (abs(out) ** 2).sum().backward()
    np.testing.assert_allclose(x.grad, 8 * np.conj(x.data), rtol=1e-12)


def test_the_namespace_is_numpys():
    """tc.fft has every function of np.fft, under its name."""
    assert set(np.fft.__all__) <= set(tc.fft.__all__)
    for name in tc.fft.__all__:
        assert getattr(tc.fft, name).__doc__.strip(), name
