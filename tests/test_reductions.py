"""Reductions and running sums and products: NumPy's values, and gradients at awkward places."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_course as tc
from tinygrad_course import Tensor, functions
from tinygrad_course.errors import (
    ArgumentError,
    DtypeError,
    ShapeError,
    UnsupportedFunctionError,
)

NAN, INF = np.nan, np.inf


def leaf(x):
    return Tensor(np.array(x, dtype=float), requires_grad=True)


def gradient_of(function, *values, upstream=None):
    """Return the gradients of a function's result, each element weighted by `upstream`."""
    leaves = [leaf(v) for v in values]
    out = function(*leaves)
    weights = np.ones(out.shape) if upstream is None else np.asarray(upstream, dtype=float)
    found = tc.gradients(out, leaves, weights)
    return found[0] if len(found) == 1 else found


def distinct(seed, shape, low=0.3, high=2.0):
    """Return numbers that keep their distance, so that no difference crosses a tie."""
    size = int(np.prod(shape))
    order = np.random.default_rng(seed).permutation(size)
    return np.reshape(low + (high - low) * (order + 0.5) / max(size, 1), shape)


def check_slopes(function, *inputs, order=1):
    """The gradient agrees with two-sided differences."""
    report = tc.gradcheck(function, *inputs, order=order, seed=0)
    assert report, str(report)


# ---- every shape and axis, against NumPy ---------------------------------------------------


@st.composite
def lanes(draw):
    """Draw a shape, an axis argument that fits it, and keepdims."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    rank = len(shape)
    one = st.integers(-rank, rank - 1)
    several = st.lists(st.integers(0, rank - 1), unique=True, max_size=rank).map(tuple)
    axis = draw(st.none() | one | several)
    return shape, axis, draw(st.booleans())


REDUCTIONS = [
    np.sum,
    np.prod,
    np.mean,
    np.var,
    np.std,
    np.max,
    np.min,
    np.ptp,
    np.median,
    np.nansum,
    np.nanprod,
    np.nanmean,
    np.nanvar,
    np.nanstd,
    np.nanmax,
    np.nanmin,
    np.nanmedian,
    lambda x, axis, keepdims: np.quantile(x, [0.2, 0.7], axis, keepdims=keepdims),
    lambda x, axis, keepdims: np.nanpercentile(x, 35, axis, keepdims=keepdims),
]


@pytest.mark.parametrize("function", REDUCTIONS, ids=lambda f: f.__name__)
@settings(max_examples=40, deadline=None)
@given(lanes(), st.integers(0, 99), st.sampled_from([np.float64, np.float32, int]))
def test_reductions_have_numpys_values(function, lane, seed, dtype):
    """Value, shape and dtype are NumPy's, bit for bit, for every axis argument."""
    shape, axis, keepdims = lane
    x = (distinct(seed, shape) * (9 if dtype is int else 1)).astype(dtype)
    expected = function(x, axis=axis, keepdims=keepdims)
    found = function(Tensor(x), axis=axis, keepdims=keepdims)
    assert isinstance(found, Tensor)
    np.testing.assert_array_equal(found.data, expected, strict=np.ndim(expected) > 0)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize("function", REDUCTIONS, ids=lambda f: f.__name__)
@settings(max_examples=25, deadline=None)
@given(lanes(), st.integers(0, 99))
def test_reductions_have_the_measured_slope(function, lane, seed):
    """The gradient agrees with two-sided differences for every shape and axis argument."""
    shape, axis, keepdims = lane
    constant = function in (np.std, np.nanstd) and np.prod(shape) == np.size(
        np.sum(np.ones(shape), axis=axis)
    )
    if not constant:  # of one element each: a kink, whose gradient is 0
        check_slopes(lambda t: function(t, axis=axis, keepdims=keepdims), distinct(seed, shape))


MASKED = [np.sum, np.prod, np.mean, np.var, np.std, np.nansum, np.nanprod, np.nanmean, np.nanvar]
STARTED = [np.max, np.min, np.nanmax, np.nanmin, np.sum, np.prod, np.nansum, np.nanprod]


@pytest.mark.parametrize("function", MASKED, ids=lambda f: f.__name__)
@settings(max_examples=25, deadline=None)
@given(lanes(), st.integers(0, 99))
def test_where_leaves_elements_out(function, lane, seed):
    """With where= the value is NumPy's, and what is left out has gradient 0, even if it is nan."""
    shape, axis, keepdims = lane
    mask = np.random.default_rng(seed).random(shape) < 0.7
    used = np.sum(mask, axis=axis)
    if (used < (2 if function is np.std else 1)).any():
        return
    x = np.where(mask, distinct(seed, shape), NAN)
    expected = function(x, axis=axis, keepdims=keepdims, where=mask)
    t = leaf(x)
    out = function(t, axis=axis, keepdims=keepdims, where=mask)
    np.testing.assert_array_equal(out.data, expected)
    found = tc.gradients(out, t, np.ones(out.shape))
    assert not found[~mask].any()

    def function_of_the_used(s):
        full = tc.where(mask, tc.broadcast_to(s, shape), NAN)
        return function(full, axis=axis, keepdims=keepdims, where=mask)

    check_slopes(function_of_the_used, np.where(mask, x, 1.0))


@pytest.mark.parametrize("function", STARTED, ids=lambda f: f.__name__)
@settings(max_examples=25, deadline=None)
@given(lanes(), st.integers(0, 99), st.sampled_from([-1.0, 0.7931, 5.0]))
def test_initial_takes_part(function, lane, seed, initial):
    """With initial= and where= the value is NumPy's, and the gradient the measured slope."""
    shape, axis, keepdims = lane
    mask = np.random.default_rng(seed).random(shape) < 0.7
    options = {"axis": axis, "keepdims": keepdims, "initial": initial, "where": mask}
    x = distinct(seed, shape)
    np.testing.assert_array_equal(function(Tensor(x), **options).data, function(x, **options))
    check_slopes(lambda t: function(t, **options), x)


@pytest.mark.parametrize("function", [np.sum, np.prod, np.mean, np.var, np.std, np.cumprod])
def test_dtype_is_what_the_result_is_computed_in(function):
    """dtype= gives NumPy's value in that dtype, and a gradient in the dtype of the input."""
    x = distinct(0, (5, 3)).astype(np.float32)
    t = Tensor(x, requires_grad=True)
    out = function(t, axis=0, dtype=np.float64)
    np.testing.assert_array_equal(out.data, function(x, axis=0, dtype=np.float64), strict=True)
    found = tc.gradients(out, t, np.ones(out.shape))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, gradient_of(lambda s: function(s, axis=0), x), rtol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 1000, 20_001])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64, complex])
def test_mean_is_numpys_bit_for_bit(dtype, size):
    """The short way of the mean changes no bit, for any dtype."""
    x = np.random.default_rng(0).normal(size=(size, 3)).astype(dtype)
    for axis in (None, 0, 1):
        found = np.mean(Tensor(x), axis=axis)
        np.testing.assert_array_equal(found.data, np.mean(x, axis=axis))
        assert found.dtype == np.mean(x, axis=axis).dtype


# ---- sums, variances -----------------------------------------------------------------------


def test_variance_of_complex_numbers_is_real():
    """var and std of complex numbers are NumPy's: the mean of |x - mean|², a real number."""
    z = np.array([1 + 2j, -1 + 0.5j, 0.3 - 1j])
    for function in (np.var, np.std):
        out = function(Tensor(z, requires_grad=True))
        assert out.data == function(z)
        assert out.dtype == np.float64
        check_slopes(function, z, order=2)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-300, 1e200, -7.3])
@pytest.mark.parametrize("shape", [(1,), (3,), (7, 2)])
def test_std_of_constants_has_gradient_zero(value, shape):
    """Where all elements are equal the gradient is 0, also where the mean is off by rounding."""
    x = np.full(shape, value)
    np.testing.assert_array_equal(gradient_of(np.std, x), np.zeros(shape))
    np.testing.assert_array_equal(gradient_of(np.nanstd, x), np.zeros(shape))
    t = leaf(x)
    slope = tc.gradients(np.std(t), t, create_graph=True)
    np.testing.assert_array_equal(tc.gradients((slope * slope).sum(), t), np.zeros(shape))


def test_std_of_some_constant_lanes():
    """A constant lane has gradient 0, and the others theirs; so for what a mask leaves constant."""
    x = [[0.1, 0.1, 0.1], [1.0, 2.0, 3.0]]
    found = gradient_of(lambda t: np.std(t, axis=1), x)
    np.testing.assert_allclose(found, [[0, 0, 0], np.array([-1, 0, 1]) / np.sqrt(6)], atol=1e-15)
    mask = [True, True, False]
    np.testing.assert_array_equal(gradient_of(lambda t: np.std(t, where=mask), [0.1, 0.1, 5]), 0)


def test_variance_about_a_given_mean():
    """mean= may be a Tensor with a history; the second derivative then is that of the whole."""
    x = distinct(3, (2, 4))

    def centred(t):
        return np.var(t, axis=1, mean=np.mean(t, axis=1, keepdims=True), ddof=1)

    np.testing.assert_allclose(centred(Tensor(x)).data, np.var(x, axis=1, ddof=1), rtol=1e-15)
    check_slopes(centred, x, order=2)
    check_slopes(lambda t, m: np.std(t, axis=0, mean=m), x, np.full((1, 4), 0.7), order=2)


def test_correction_is_another_word_for_ddof():
    """correction= is NumPy's second name for ddof=."""
    x = distinct(1, (5,))
    for function in (np.var, np.std, np.nanvar, np.nanstd):
        assert function(Tensor(x), correction=1.5).data == function(x, ddof=1.5)
        np.testing.assert_array_equal(
            gradient_of(lambda t: function(t, correction=1.5), x),  # noqa: B023 - called here
            gradient_of(lambda t: function(t, ddof=1.5), x),  # noqa: B023
        )


@pytest.mark.filterwarnings("ignore:Degrees of freedom")
@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_variance_with_too_few_elements_is_nan():
    """With n <= ddof value and gradient are nan, and the backward pass does not raise."""
    assert np.isnan(gradient_of(lambda t: np.var(t, ddof=1), [3.0])).all()
    assert np.isnan(gradient_of(lambda t: np.var(t, ddof=1, axis=0, where=[True]), [3.0])).all()


def test_empty_inputs():
    """A sum of nothing is 0, a product 1, a maximum an error that says what is missing."""
    nothing = leaf(np.zeros((0, 2)))
    assert np.sum(nothing).data == 0
    assert np.prod(nothing).data == 1
    np.testing.assert_array_equal(np.sum(nothing, axis=0).data, [0, 0])
    assert tc.gradients(np.prod(nothing), nothing).shape == (0, 2)
    with pytest.raises(ShapeError, match=r"^max: got shapes \(0, 2\).*at least one element"):
        np.max(nothing)
    with pytest.raises(ShapeError, match=r"^argmin: got shapes \(0, 2\).*at least one number"):
        np.argmin(nothing)
    assert np.max(nothing, initial=3.0).data == 3
    with pytest.warns(RuntimeWarning) as caught:
        assert np.isnan(np.mean(nothing[:, 0], axis=0).data)
    assert "Mean of empty slice" in str(caught[0].message)
    assert tc.softmax(leaf(np.zeros((2, 0)))).shape == (2, 0)


# ---- products ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
        ([0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
        ([5.0], [1.0]),
        ([0.0], [1.0]),
        ([1e-300, 1e-300], [1e-300, 1e-300]),  # the product itself is 0
        ([1e200, 1e-200, 1e200], [1.0, INF, 1.0]),
        ([[0.0, 2.0], [3.0, 4.0]], [[24.0, 0.0], [0.0, 0.0]]),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_product_of_the_others(x, expected):
    """An element's derivative is the product of all the others, zeros or not."""
    np.testing.assert_allclose(gradient_of(np.prod, x), expected, rtol=1e-15)


@pytest.mark.parametrize("x", [[2.0, 0.0, 3.0, -1.0], [0.0, 0.0, 3.0, 2.0], [0.0, 0.0, 0.0, 2.0]])
def test_second_derivative_of_a_product_with_zeros(x):
    """d²/dx_i dx_j is the product of the elements that remain."""
    t = leaf(x)
    slope = tc.gradients(np.prod(t), t, create_graph=True)
    for i in range(4):
        row = tc.gradients(slope[i], t, retain_graph=True)
        for j in range(4):
            rest = [x[k] for k in range(4) if k not in (i, j)]
            assert row[j] == (0.0 if i == j else np.prod(rest))


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(float, st.integers(1, 9), elements=st.sampled_from([0.0, 0.5, -1.0, 2.0])),
    hnp.arrays(float, 9, elements=st.sampled_from([0.0, 1.0, -2.0])),
)
def test_running_product_is_differentiated_exactly(x, upstream):
    """The gradient of cumprod is the sum over k of g_k times the product of the others up to k."""
    g = upstream[: len(x)]
    expected = [
        sum(g[k] * np.prod(np.delete(x[: k + 1], i)) for k in range(i, len(x)))
        for i in range(len(x))
    ]
    np.testing.assert_allclose(gradient_of(np.cumprod, x, upstream=g), expected, rtol=1e-12)


def test_third_derivative_of_a_running_product():
    """Three times differentiated, the last running product of a b c is 1."""
    t = leaf([0.0, 0.0, 5.0])
    first = tc.gradients(np.cumprod(t)[2], t, create_graph=True)
    second = tc.gradients(first[0], t, create_graph=True)
    np.testing.assert_array_equal(tc.gradients(second[1], t), [0, 0, 1])


@settings(max_examples=40, deadline=None)
@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), st.data())
def test_running_functions_have_numpys_values_and_slopes(shape, data):
    """cumsum, cumprod and those without nan, along every axis and flat."""
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    x = distinct(0, shape)
    holes = np.arange(x.size).reshape(shape) % 3 == 1
    for function in (np.cumsum, np.cumprod, np.nancumsum, np.nancumprod):
        found = function(Tensor(x), axis=axis)
        np.testing.assert_array_equal(found.data, function(x, axis=axis), strict=True)
        check_slopes(lambda t: function(t, axis=axis), x)  # noqa: B023 - called here
    for function in (np.nancumsum, np.nancumprod):
        y = np.where(holes, NAN, x)
        np.testing.assert_array_equal(function(Tensor(y), axis=axis).data, function(y, axis=axis))
        check_slopes(lambda t: function(tc.where(holes, NAN, t), axis=axis), x)  # noqa: B023


@pytest.mark.skipif(not hasattr(np, "cumulative_sum"), reason="since NumPy 2.1")
def test_the_array_standards_running_sums():
    """cumulative_sum and cumulative_prod have NumPy's values, with and without the beginning."""
    x = distinct(0, (2, 3))
    for function in (np.cumulative_sum, np.cumulative_prod):
        for options in ({"axis": 0}, {"axis": -1, "include_initial": True}):
            found = function(Tensor(x), **options)
            np.testing.assert_array_equal(found.data, function(x, **options), strict=True)
            check_slopes(lambda t: function(t, **options), x)  # noqa: B023 - called here
        assert function(Tensor(x[0])).shape == (3,)
        with pytest.raises(ArgumentError, match="an axis must be given"):
            function(Tensor(x))


# ---- extremes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (np.max, [3.0, 1.0, 3.0], [0.5, 0.0, 0.5]),
        (np.min, [1.0, 1.0, 1.0], [1 / 3] * 3),
        (np.ptp, [1.0, 1.0, 3.0], [-0.5, -0.5, 1.0]),
        (np.ptp, [2.0, 2.0], [0.0, 0.0]),
        (np.max, [1.0, NAN, 3.0, NAN], [0.0, 0.5, 0.0, 0.5]),
        (np.nanmax, [3.0, NAN, 3.0], [0.5, 0.0, 0.5]),
        (lambda t: np.max(t, initial=3.0), [3.0, 3.0, 1.0], [1 / 3, 1 / 3, 0.0]),
        (lambda t: np.max(t, initial=4.0), [3.0, 3.0], [0.0, 0.0]),
        (lambda t: np.max(t, initial=0.0, where=[True, False]), [1.0, 5.0], [1.0, 0.0]),
        (lambda t: np.min(t, axis=0), [[1.0, 2.0], [1.0, 3.0]], [[0.5, 1.0], [0.5, 0.0]]),
    ],
)
def test_extremes_share_ties(function, x, expected):
    """Elements that are the extreme share its gradient equally; a nan takes it."""
    np.testing.assert_allclose(gradient_of(function, x), expected, rtol=1e-15)


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.filterwarnings("ignore:Mean of empty")
@pytest.mark.filterwarnings("ignore:Degrees of freedom")
@pytest.mark.parametrize(
    "function",
    [np.nanmax, np.nanmin, np.nanmean, np.nansum, np.nanprod, np.nanmedian, np.nanstd, np.nanvar],
    ids=lambda f: f.__name__,
)
def test_a_lane_of_nan_alone_has_gradient_zero(function):
    """A nan gets no gradient, also where there is nothing else; the other lanes have theirs."""
    found = gradient_of(lambda t: function(t, axis=1), [[NAN, NAN], [1.0, 3.0]])
    whole = gradient_of(lambda t: function(t, axis=1), [[1.0, 3.0]])
    np.testing.assert_array_equal(found, [[0, 0], whole[0]])


# ---- without derivative --------------------------------------------------------------------

CONSTANT = {
    "argmax": lambda t: np.argmax(t, axis=1, keepdims=True),
    "argmin": lambda t: np.argmin(t, 0),
    "nanargmax": lambda t: np.nanargmax(t, axis=0),
    "nanargmin": np.nanargmin,
    "all": lambda t: np.all(t, axis=1, where=[True, False, True]),
    "any": lambda t: np.any(t, axis=(0, 1), keepdims=True),
    "count_nonzero": np.count_nonzero,
    "count_nonzero axis": lambda t: np.count_nonzero(t, axis=0, keepdims=True),
    "argwhere": np.argwhere,
    "flatnonzero": np.flatnonzero,
    "nonzero": lambda t: np.nonzero(t)[1],
}


@pytest.mark.parametrize("name", CONSTANT)
def test_counts_and_places_have_no_derivative(name):
    """Places and counts are NumPy's, in Tensors that do not require grad."""
    x = np.array([[0.0, 2.0, -1.0], [3.0, 0.0, 0.5]])
    found = CONSTANT[name](leaf(x))
    assert isinstance(found, Tensor)
    assert not found.requires_grad
    np.testing.assert_array_equal(found.data, CONSTANT[name](x))
    assert found.dtype == np.asarray(CONSTANT[name](x)).dtype


def test_places_serve_as_an_index():
    """t[np.nonzero(t)] records: its gradient is 1 where t is not 0."""
    np.testing.assert_array_equal(gradient_of(lambda t: t[np.nonzero(t)], [0.0, 2.0]), [0, 1])


# ---- exponentials --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "value", "slope"),
    [
        ([1e4, -1e4, 1e4], 1e4 + np.log(2), [0.5, 0.0, 0.5]),
        ([-1e4, -1e4], -1e4 + np.log(2), [0.5, 0.5]),
        ([-INF, -INF], -INF, [0.0, 0.0]),
        ([-INF, 1.0], 1.0, [0.0, 1.0]),
        ([INF, 1.0, INF], INF, [0.5, 0.0, 0.5]),
    ],
)
def test_logsumexp_at_large_and_infinite_numbers(x, value, slope):
    """No overflow, and a gradient that sums to 1, or is 0 where nothing can move the result."""
    assert tc.logsumexp(leaf(x)).data == pytest.approx(value, rel=1e-15)
    np.testing.assert_allclose(gradient_of(tc.logsumexp, x), slope, rtol=1e-15)


def test_logsumexp_of_mixed_rows():
    """An infinite row does not spoil the gradient of the others, nor the second derivative."""
    x = np.array([[-INF, -INF], [0.3, 1.2]])
    t = leaf(x)
    slope = tc.gradients(tc.logsumexp(t, axis=1), t, np.ones(2), create_graph=True)
    p = np.exp(0.3) / (np.exp(0.3) + np.exp(1.2))
    np.testing.assert_allclose(slope.data, [[0, 0], [p, 1 - p]], rtol=1e-15)
    second = tc.gradients(slope[1, 0], t)
    np.testing.assert_allclose(second, [[0, 0], [p * (1 - p), -p * (1 - p)]], rtol=1e-14)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), (1, 2)])
@pytest.mark.parametrize("function", [tc.softmax, tc.log_softmax, tc.logsumexp])
def test_normalizing_over_every_kind_of_axis(function, axis):
    """softmax, log_softmax and logsumexp take no axis, one, or several."""
    x = distinct(0, (2, 3, 2)) * 3
    total = np.log(np.exp(x).sum(axis=axis, keepdims=True))
    expected = {tc.softmax: np.exp(x - total), tc.log_softmax: x - total, tc.logsumexp: total}
    found = function(Tensor(x), axis=axis).data
    wanted = expected[function]
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-14, atol=1e-14)
    check_slopes(lambda t: function(t, axis=axis), x, order=2)


def test_softmax_with_excluded_scores():
    """A score of -inf has probability 0 and no gradient, as a mask wants."""
    x = np.array([[-INF, 1.0, 1.0], [1e4, 0.0, -1e4]])
    np.testing.assert_array_equal(tc.softmax(Tensor(x)).data, [[0, 0.5, 0.5], [1, 0, 0]])
    found = gradient_of(tc.softmax, x, upstream=[[5.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    np.testing.assert_allclose(found, [[0, -0.25, 0.25], [0, 0, 0]], atol=1e-15)


# ---- arguments -----------------------------------------------------------------------------


def test_positional_arguments_are_numpys():
    """NumPy's order of arguments holds, `out` included, which may stand there as None."""
    x = distinct(0, (2, 3))
    t = Tensor(x)
    np.testing.assert_array_equal(
        np.sum(t, 1, None, None, True).data, np.sum(x, 1, None, None, True)
    )
    np.testing.assert_array_equal(np.max(t, 1, None, True).data, np.max(x, 1, None, True))
    np.testing.assert_array_equal(np.var(t, 0, None, None, 1).data, np.var(x, 0, None, None, 1))
    np.testing.assert_array_equal(np.cumsum(t, 1, float).data, np.cumsum(x, 1, float))
    np.testing.assert_array_equal(np.ptp(a=t, axis=0).data, np.ptp(x, axis=0))


def test_out_by_position_is_refused():
    """An `out` that would be ignored is refused, with the spelling that works."""
    target = np.zeros(3)
    with pytest.raises(UnsupportedFunctionError, match=r"by name: write np.sum\(t, out=target\)"):
        np.sum(Tensor(np.ones((2, 3))), 0, None, target)
    np.sum(Tensor(np.ones((2, 3))), 0, out=target)
    np.testing.assert_array_equal(target, [2, 2, 2])


def test_wrong_arguments_are_explained():
    """The name of the function, and what is wrong, stand in the message."""
    t = leaf([1.0, 2.0])
    with pytest.raises(np.exceptions.AxisError, match=r"^sum: .*axis 3"):
        np.sum(t, axis=3)
    with pytest.raises(UnsupportedFunctionError, match=r"'dim'.*'axis'"):
        tc.prod(t, dim=0)
    with pytest.raises(UnsupportedFunctionError, match=r"leave it out.*mean=mean"):
        np.nanvar(t, mean=1.0)
    with pytest.raises(UnsupportedFunctionError, match="initial requires grad"):
        np.max(t, initial=leaf(1.0))
    with pytest.raises(ShapeError, match="initial="):
        np.max(t, where=[True, False])
    with pytest.raises(DtypeError, match="^median: has no derivative at complex numbers"):
        np.median(Tensor([1 + 2j], requires_grad=True))


def test_the_largest_complex_number_has_a_derivative():
    """max of complex numbers, in NumPy's order, hands its gradient to the element chosen."""
    x = Tensor([1 + 2j, 3 - 1j], requires_grad=True)
    np.max(x).real.backward()
    np.testing.assert_array_equal(x.grad, [0.0, 1.0])


@pytest.mark.parametrize("module", ["reductions", "ordering", "statistics"])
def test_the_examples_run(module):
    """The example of every function is what Python prints."""
    names = getattr(functions, module).__all__
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    for name in names:
        text = getattr(tc, name).__doc__
        example = parser.get_doctest(text, {}, name, None, None)
        assert example.examples, f"{name} has no example"
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
