"""Averages, covariances, differences, integrals and interpolation: NumPy's values, and slopes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.errors import ArgumentError, DtypeError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5))
Y = RNG.normal(size=(2, 5))
LINE = RNG.normal(size=5)
POSITIVE = RNG.uniform(0.3, 2.0, size=5)
KNOTS = np.cumsum(RNG.uniform(0.5, 1.5, size=5))
COUNTS = np.array([1, 3, 1, 2, 1])


def leaf(x):
    return Tensor(np.array(x, dtype=float), requires_grad=True)


def gradient_of(function, *values, upstream=None):
    """Return the gradients of a function's result, each element weighted by `upstream`."""
    leaves = [leaf(v) for v in values]
    out = function(*leaves)
    weights = np.ones(out.shape) if upstream is None else np.asarray(upstream, dtype=float)
    found = tc.gradients(out, leaves, weights)
    return found[0] if len(found) == 1 else found


CALLS = {
    "average": (np.average, [X]),
    "average axis": (lambda x: np.average(x, 0, keepdims=True), [X]),
    "average weights": (lambda x, w: np.average(x, axis=1, weights=w), [X, POSITIVE]),
    "average all weights": (lambda x, w: np.average(x, weights=w), [X, np.exp(X)]),
    "average axes": (
        lambda x, w: np.average(x, axis=(1, 0), weights=w, keepdims=True),
        [X, np.exp(X.T)],
    ),
    "average returned": (
        lambda x, w: np.average(x, axis=1, weights=w, returned=True)[1],
        [X, POSITIVE],
    ),
    "cov": (np.cov, [X]),
    "cov of a vector": (np.cov, [LINE]),
    "cov of two": (np.cov, [X, Y]),
    "cov columns": (lambda x, y: np.cov(x, y, rowvar=False), [X.T, Y.T]),
    "cov columns, one row": (lambda x, y: np.cov(x, y, rowvar=False), [X.T, LINE[None]]),
    "cov bias": (lambda x: np.cov(x, bias=True), [X]),
    "cov ddof": (lambda x: np.cov(x, ddof=2), [X]),
    "cov fweights": (lambda x: np.cov(x, fweights=COUNTS), [X]),
    "cov aweights": (lambda x, w: np.cov(x, aweights=w), [X, POSITIVE]),
    "cov both weights": (
        lambda x, w: np.cov(x, fweights=COUNTS, aweights=w, ddof=0),
        [X, POSITIVE],
    ),
    "corrcoef": (np.corrcoef, [X]),
    "corrcoef of two": (np.corrcoef, [LINE, POSITIVE]),
    "corrcoef columns": (lambda x: np.corrcoef(x, rowvar=False), [X]),
    "diff": (np.diff, [X]),
    "diff twice": (lambda x: np.diff(x, 2, axis=0), [X]),
    "diff prepend": (lambda x, p: np.diff(x, prepend=p), [X, np.array(0.3)]),
    "diff append": (
        lambda x, p, a: np.diff(x, n=2, axis=0, prepend=p, append=a),
        [X, np.array(0.3), X[:2]],
    ),
    "ediff1d": (np.ediff1d, [X]),
    "ediff1d ends": (
        lambda x, e, b: np.ediff1d(x, to_begin=b, to_end=e),
        [X, Y, np.array(0.3)],
    ),
    "gradient": (np.gradient, [LINE]),
    "gradient of a matrix": (lambda x: np.gradient(x)[0], [X]),
    "gradient distances": (lambda x, a, b: np.gradient(x, a, b)[1], [X, np.array(0.7), KNOTS]),
    "gradient distance": (lambda x, a: np.gradient(x, a, axis=(1, 0))[0], [X, np.array(0.7)]),
    "gradient edges": (lambda x, a: np.gradient(x, a, edge_order=2), [LINE, KNOTS]),
    "trapezoid": (np.trapezoid, [X]),
    "trapezoid dx": (lambda y, dx: np.trapezoid(y, dx=dx, axis=0), [X, np.array(0.7)]),
    "trapezoid x": (np.trapezoid, [X, KNOTS]),
    "trapezoid x of all": (lambda y, x: np.trapezoid(y, x, axis=0), [X, np.cumsum(X**2, 0)]),
    "interp": (np.interp, [Y + 3, KNOTS, LINE]),
    "interp ends": (
        lambda x, xp, fp, a, b: np.interp(x, xp, fp, left=a, right=b),
        [5 * Y, KNOTS, LINE, np.array(0.3), np.array(0.5)],
    ),
    "interp period": (lambda x, xp, fp: np.interp(x, xp, fp, period=2.3), [5 * Y, KNOTS, LINE]),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_is_numpys_and_gradient_the_measured_slope(name):
    """Bit for bit NumPy's value, dtype and shape; first and second derivative of every input."""
    function, inputs = CALLS[name]
    expected = function(*inputs)
    found = function(*map(leaf, inputs))
    assert isinstance(found, Tensor)
    assert found.requires_grad
    np.testing.assert_array_equal(found.data, expected)
    assert (found.shape, found.dtype) == (np.shape(expected), expected.dtype)
    report = tc.gradcheck(function, *inputs, order=2, seed=0)
    assert report, str(report)


WHOLE = [name for name in CALLS if name not in ("gradient distances", "average returned")]
"""The calls whose result depends on every input."""


@pytest.mark.parametrize("name", WHOLE)
def test_dtypes_are_numpys(name):
    """float32 and whole numbers give the dtype that NumPy gives, and float32 gradients."""
    function, inputs = CALLS[name]
    for dtype in (np.float32, int):
        arrays = [np.asarray(x * (9 if dtype is int else 1)).astype(dtype) for x in inputs]
        expected = function(*arrays)
        leaves = [Tensor(x, requires_grad=dtype is np.float32) for x in arrays]
        found = function(*leaves)
        np.testing.assert_array_equal(found.data, expected)
        assert found.dtype == expected.dtype
        if dtype is np.float32:
            for g in tc.gradients(found, leaves, np.ones(found.shape)):
                assert g.dtype == np.float32


# ---- averages and covariances --------------------------------------------------------------


def test_gradients_of_a_weighted_average():
    """w / Σ w for the elements, (x - average) / Σ w for the weights."""
    x, w = np.array([1.0, 5.0, 2.0]), np.array([3.0, 1.0, 2.0])
    of_x, of_w = gradient_of(lambda a, b: np.average(a, weights=b), x, w)
    np.testing.assert_allclose(of_x, w / 6, rtol=1e-15)
    np.testing.assert_allclose(of_w, (x - np.average(x, weights=w)) / 6, rtol=1e-14)


def test_average_with_the_sum_of_the_weights():
    """returned= gives NumPy's pair, with weights and without."""
    for options in ({}, {"weights": POSITIVE}, {"weights": POSITIVE, "keepdims": True}):
        ours = np.average(Tensor(X), axis=1, returned=True, **options)
        theirs = np.average(X, axis=1, returned=True, **options)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a.data, b, strict=True)


def test_weights_that_make_no_average():
    """Weights that sum to 0 raise what NumPy raises, and say so; wrong shapes too."""
    with pytest.raises(ZeroDivisionError, match="^average: the weights"):
        np.average(leaf([1.0, 2.0]), weights=[1.0, -1.0])
    with pytest.raises(DtypeError, match="^average: .*one for each place"):
        np.average(leaf(X), weights=POSITIVE)


def test_covariance_of_complex_numbers():
    """cov and corrcoef of complex numbers are NumPy's, with the conjugate of one side."""
    z = X + 1j * RNG.normal(size=X.shape)
    for function in (np.cov, np.corrcoef):
        np.testing.assert_array_equal(function(Tensor(z)).data, function(z))
        report = tc.gradcheck(function, z, order=2, seed=0)
        assert report, str(report)


def test_a_correlation_has_a_flat_diagonal():
    """A variable correlates with itself by 1 whatever it is: gradient 0 there."""
    found = gradient_of(np.corrcoef, X, upstream=np.eye(3))
    np.testing.assert_allclose(found, 0, atol=1e-15)


# ---- differences and integrals -------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5), st.data())
def test_differences_of_every_order(shape, data):
    """For any n, also beyond the length: NumPy's value, and the adjoint as gradient."""
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    n = data.draw(st.integers(0, 6))
    x = np.random.default_rng(1).normal(size=shape)
    out = np.diff(leaf(x), n, axis)
    np.testing.assert_array_equal(out.data, np.diff(x, n, axis))
    g = np.random.default_rng(2).normal(size=out.shape)
    found = gradient_of(lambda t: np.diff(t, n, axis), x, upstream=g)
    y = np.random.default_rng(3).normal(size=shape)
    # The function is linear, so <g, f(y)> = <gradient, y> for every y.
    np.testing.assert_allclose((g * np.diff(y, n, axis)).sum(), (found * y).sum(), atol=1e-11)


def test_integral_of_a_straight_line():
    """The trapezoidal rule: the ends count half, and moving a coordinate shifts two areas."""
    of_y, of_x = gradient_of(np.trapezoid, [1.0, 2.0, 4.0], [0.0, 1.0, 3.0])
    np.testing.assert_allclose(of_y, [0.5, 1.5, 1.0], rtol=1e-15)
    np.testing.assert_allclose(of_x, [-1.5, 1.5 - 3.0, 3.0], rtol=1e-15)


def test_uniform_coordinates_move_one_by_one():
    """At evenly spaced coordinates the slope for one of them is that of the uneven formula."""
    report = tc.gradcheck(
        lambda f, x: np.gradient(f, x, edge_order=2), LINE, np.arange(5.0), order=2
    )
    assert report, str(report)


def test_arguments_of_differences():
    """What does not fit is said with the name of the function."""
    with pytest.raises(ArgumentError, match="^diff: got n = -1"):
        np.diff(leaf(X), -1)
    with pytest.raises(ShapeError, match="^diff: got a number"):
        np.diff(leaf(1.0))
    with pytest.raises(ArgumentError, match="^gradient: got 3 distances for 2 axes"):
        np.gradient(leaf(X), 1.0, 2.0, 3.0)
    with pytest.raises(ArgumentError, match=r"^gradient: axis \(0, -2\) names an axis twice"):
        np.gradient(leaf(X), axis=(0, -2))
    with pytest.raises(np.exceptions.AxisError, match="^gradient: .*axis 5"):
        np.gradient(leaf(X), axis=5)
    with pytest.raises(ShapeError, match=r"^gradient: .*edge_order \+ 1"):
        np.gradient(leaf([1.0]))
    with pytest.raises(DtypeError, match="^ediff1d: to_begin is float64"):
        np.ediff1d(Tensor([1, 2]), to_begin=0.5)
    with pytest.raises(ShapeError, match="^interp: .*as many fp"):
        np.interp(leaf(1.0), [1.0, 2.0], [1.0])


# ---- interpolation -------------------------------------------------------------------------


def test_slopes_of_an_interpolation_at_its_knots():
    """At a knot the slope is the one to its right, 0 at the last one and outside."""
    x = [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0]
    found = gradient_of(lambda t: np.interp(t, [0.0, 1.0, 2.0], [0.0, 5.0, 20.0]), x)
    np.testing.assert_array_equal(found, [0, 5, 5, 15, 0, 0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.data())
def test_interpolation_is_linear_in_the_heights(size, data):
    """The gradient for fp, left and right gives the value back: they are its weights."""
    knots = np.cumsum(data.draw(hnp.arrays(float, size, elements=st.floats(0, 2, width=16))))
    heights = np.random.default_rng(size).normal(size=size)
    x = data.draw(st.floats(-1, 9))
    ends = (0.7, -1.3)
    value = np.interp(x, knots, heights, *ends)
    of_heights, of_left, of_right = gradient_of(
        lambda fp, a, b: np.interp(x, knots, fp, a, b), heights, *ends
    )
    total = (of_heights * heights).sum() + of_left * ends[0] + of_right * ends[1]
    assert total == pytest.approx(value, abs=1e-12)
    assert of_heights.sum() + of_left + of_right == pytest.approx(1)


def test_a_nan_interpolates_to_nan():
    """A nan among the places gives nan there, and the others keep their slopes."""
    t = leaf([np.nan, 0.5])
    out = np.interp(t, [0.0, 1.0], [0.0, 3.0])
    np.testing.assert_array_equal(out.data, [np.nan, 1.5])
    assert tc.gradients(out, t, np.ones(2))[1] == 3
