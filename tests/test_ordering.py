"""Sorting, quantiles, sets and places: NumPy's values, and equal elements sharing a gradient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.errors import DtypeError, ShapeError, UnsupportedFunctionError

NAN, INF = np.nan, np.inf

METHODS = [
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "linear",
    "median_unbiased",
    "normal_unbiased",
    "lower",
    "higher",
    "midpoint",
    "nearest",
]


def leaf(x):
    return Tensor(np.array(x, dtype=float), requires_grad=True)


def gradient_of(function, x, upstream=None):
    """Return the gradient of a function's result, each element weighted by `upstream`."""
    t = leaf(x)
    out = function(t)
    weights = np.ones(out.shape) if upstream is None else np.asarray(upstream, dtype=float)
    return tc.gradients(out, t, weights)


def few_values(shape):
    """Arrays of few different numbers, so that many are equal."""
    return hnp.arrays(float, shape, elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0]))


def averaged_over_ties(x, g):
    """Return g with each element replaced by the mean over the elements that x has equal."""
    return np.array([g[x == value].mean() for value in x])


# ---- sorting -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_sort_sends_the_gradient_back(data):
    """For every axis: NumPy's values, and per lane the inverse permutation, averaged over ties."""
    x = data.draw(few_values(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    g = np.random.default_rng(0).normal(size=x.shape)
    np.testing.assert_array_equal(np.sort(Tensor(x), axis=axis).data, np.sort(x, axis=axis))
    found = gradient_of(lambda t: np.sort(t, axis=axis), x, g)
    lanes = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    weights = np.moveaxis(g, axis, -1).reshape(lanes.shape)
    expected = []
    for lane, weight in zip(lanes, weights, strict=True):
        back = np.empty_like(weight)
        back[np.argsort(lane, kind="stable")] = weight
        expected.append(averaged_over_ties(lane, back))
    moved = np.moveaxis(x, axis, -1).shape
    expected = np.moveaxis(np.reshape(expected, moved), -1, axis)
    np.testing.assert_allclose(found, expected, atol=1e-14)


@settings(max_examples=60, deadline=None)
@given(few_values(st.integers(1, 12)), st.data())
def test_partition_agrees_with_sort_about_sums(x, data):
    """Whatever order partition leaves, a weight on equal values sends back what sort does."""
    kth = data.draw(st.integers(0, len(x) - 1))
    t = leaf(x)
    out = np.partition(t, kth)
    np.testing.assert_array_equal(out.data, np.partition(x, kth))
    weights = np.cos(3 * out.data)  # a function of the value, the same for equal elements
    np.testing.assert_allclose(tc.gradients(out, t, weights), np.cos(3 * x), atol=1e-14)


def test_partition_gives_each_element_its_own():
    """Without ties the weight of a place arrives at the element that stands there."""
    x = np.random.default_rng(0).permutation(200) + 0.5
    t = leaf(x)
    out = np.partition(t, [20, 77])
    g = np.arange(200.0)
    found = tc.gradients(out, t, g)
    for i in (0, 20, 77, 150):
        assert found[x == out.data[i]] == g[i]


def test_sort_with_nan():
    """NaN stand last, each for itself, and the others get their own."""
    found = gradient_of(np.sort, [NAN, 2.0, NAN, 1.0], [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(found[[1, 3]], [2, 1])
    assert sorted(found[[0, 2]]) == [3, 4]


def test_second_derivative_through_sort():
    """The square of the smallest: second derivative 2 there; shared ties share the slope too."""
    t = leaf([3.0, 1.0, 2.0])
    slope = tc.gradients((np.sort(t)[0]) ** 2, t, create_graph=True)
    np.testing.assert_array_equal(tc.gradients(slope.sum(), t), [0, 2, 0])
    t = leaf([1.0, 1.0, 2.0])
    slope = tc.gradients((np.sort(t)[0]) ** 2, t, create_graph=True)
    np.testing.assert_array_equal(slope.data, [1, 1, 0])
    np.testing.assert_array_equal(tc.gradients(slope.sum(), t), [1, 1, 0])


def test_complex_numbers_are_sorted_too():
    """sort and sort_complex only move elements, so complex ones have a gradient."""
    z = np.array([2 + 1j, 1 - 1j, 1.5 + 3j])
    np.testing.assert_array_equal(np.sort_complex(Tensor(z)).data, np.sort_complex(z))
    assert tc.gradcheck(lambda t: np.sort(t) * np.array([1, 2j, 3]), z)
    assert np.sort_complex(Tensor([2.0, 1.0])).dtype == np.complex128


CONSTANT = {
    "argsort": lambda t: np.argsort(t, axis=0, kind="stable"),
    "argpartition": lambda t: np.argpartition(t, 1, axis=None),
    "lexsort tuple": lambda t: np.lexsort((t[0], t[1])),
    "lexsort": np.lexsort,
    "lexsort mixed": lambda t: np.lexsort((t[0], np.array([1, 1, 0]))),
    "searchsorted": lambda t: np.searchsorted([0.0, 1.0], t, side="right"),
    "searchsorted in": lambda t: np.searchsorted(t[1], [0.2, 5.0], sorter=np.array([1, 2, 0])),
    "digitize": lambda t: np.digitize(t, [0.0, 1.0], right=True),
    "isin": lambda t: np.isin(t, [0.0, 3.0], invert=True),
    "unique counts": lambda t: np.unique(t, return_counts=True)[1],
    "unique inverse": lambda t: np.unique(t, return_inverse=True)[1],
    "unique index": lambda t: np.unique(t, return_index=True)[1],
    "unique_all": lambda t: np.unique_all(t).inverse_indices,
    "unique_counts": lambda t: np.unique_counts(t).counts,
    "unique_inverse": lambda t: np.unique_inverse(t).inverse_indices,
    "bincount": lambda t: np.bincount(np.array([0, 3, 3]) + 0 * t[0].astype(int)),
    "histogram": lambda t: np.histogram(t, bins=3)[0],
}


@pytest.mark.parametrize("name", CONSTANT)
def test_places_and_counts_have_no_derivative(name):
    """Indices and counts are NumPy's, in Tensors that do not require grad."""
    x = np.array([[0.0, 2.0, -1.0], [3.0, 0.0, 0.5]])
    found = CONSTANT[name](leaf(x))
    assert isinstance(found, Tensor)
    assert not found.requires_grad
    np.testing.assert_array_equal(found.data, CONSTANT[name](x))
    assert found.dtype == CONSTANT[name](x).dtype


# ---- quantiles -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([1, 1, 2, 2], [1 / 4] * 4),
        ([1, 2, 2, 3], [0, 1 / 2, 1 / 2, 0]),
        ([2, 2, 2, 3], [1 / 3] * 3 + [0]),
        ([1, 1, 2, 3], [1 / 4, 1 / 4, 1 / 2, 0]),
        ([5, 5, 5], [1 / 3] * 3),
        ([7], [1]),
        ([3, 1, 2], [0, 0, 1]),
    ],
)
def test_median_shares_ties(x, expected):
    """What arrives at a middle element is shared among all equal to it, in median and quantile."""
    for function in (
        np.median,
        np.nanmedian,
        lambda t: np.quantile(t, 0.5),
        lambda t: np.percentile(t, 50),
        lambda t: np.nanquantile(t, 0.5),
        lambda t: np.nanpercentile(t, 50),
    ):
        np.testing.assert_allclose(gradient_of(function, x), expected, rtol=1e-15)


def test_second_derivative_of_a_squared_median_with_ties():
    """The tie counts as constant: the Hessian of median² is 2 w wᵀ with the shares w."""
    t = leaf([1.0, 2.0, 2.0, 3.0])
    slope = tc.gradients(np.median(t) ** 2, t, create_graph=True)
    hessian = [tc.gradients(slope[i], t, retain_graph=True) for i in range(4)]
    w = np.array([0, 0.5, 0.5, 0])
    np.testing.assert_allclose(hessian, 2 * np.outer(w, w), rtol=1e-15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 9))
def test_quantile_is_the_mean_of_its_neighbours(method, dtype, size, q, seed):
    """The gradient holds the weights: with the elements they give the quantile, and sum to 1."""
    x = np.random.default_rng(seed).permutation(size).astype(dtype) ** 2
    t = Tensor(x, requires_grad=True)
    out = np.quantile(t, q, method=method)
    expected = np.quantile(x, q, method=method)
    assert out.data == expected
    assert out.dtype == expected.dtype
    found = tc.gradients(out, t)
    assert found.dtype == dtype
    assert np.count_nonzero(found) <= 2
    assert (found >= 0).all()
    tolerance = 1e-13 if dtype is np.float64 else 1e-5
    assert found.sum() == pytest.approx(1, abs=tolerance)
    assert (found * x).sum() == pytest.approx(expected, rel=tolerance, abs=tolerance * size**2)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_quantiles_over_every_kind_of_axis(data):
    """Any axes, keepdims, q of any shape, nan here and there: NumPy's values, measured slopes."""
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    axes = st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1).map(tuple)
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1) | axes)
    options = {"axis": axis, "keepdims": data.draw(st.booleans())}
    options["method"] = data.draw(st.sampled_from(METHODS))
    q = data.draw(st.sampled_from([0.3, [0.0, 0.71], [[0.2], [1.0]]]))
    size = int(np.prod(shape))
    x = np.random.default_rng(size).permutation(size).reshape(shape) * 1.0
    holes = np.random.default_rng(size + 1).random(shape) < 0.3
    assume(not np.all(holes, axis=axis).any())

    found = np.quantile(Tensor(x), q, **options)
    np.testing.assert_array_equal(found.data, np.quantile(x, q, **options))
    report = tc.gradcheck(lambda t: np.quantile(t, q, **options), x, seed=0)
    assert report, str(report)

    strewn = np.where(holes, NAN, x)
    found = np.nanquantile(Tensor(strewn), q, **options)
    expected = np.nanquantile(strewn, np.ravel(q), **options)  # see test_nanquantile_of_a_matrix_q
    np.testing.assert_array_equal(found.data, expected.reshape(found.shape))
    report = tc.gradcheck(
        lambda t: np.nanquantile(tc.where(holes, NAN, t), q, **options), x, seed=0
    )
    assert report, str(report)


def test_nanquantile_of_a_matrix_q():
    """A q of several axes over several axes gives what quantile gives, where NumPy mixes it up."""
    x, q = np.random.default_rng(0).normal(size=(2, 3, 4)), [[0.1], [0.8]]
    found = np.nanquantile(Tensor(x), q, axis=(0, 2))
    np.testing.assert_array_equal(found.data, np.quantile(x, q, axis=(0, 2)))
    found = np.nanpercentile(Tensor(x), [[10], [80]], axis=(0, 2), keepdims=True)
    np.testing.assert_array_equal(found.data, np.percentile(x, [[10], [80]], (0, 2), keepdims=True))


def test_a_nan_takes_the_gradient_of_a_median():
    """The result is nan because of it; the other lanes are not touched."""
    found = gradient_of(lambda t: np.median(t, axis=1), [[NAN, 3, 1], [1, 4, 2]])
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 1]])


def test_an_infinity_beside_the_quantile():
    """A neighbour of weight 0 does not spoil the gradient, even if it is infinite."""
    np.testing.assert_array_equal(gradient_of(np.median, [1.0, 2.0, INF]), [0, 1, 0])


def test_options_of_quantiles_that_are_refused():
    """weights=, a q that requires grad, a q out of range, and nothing to choose from."""
    t = leaf([1.0, 2.0])
    with pytest.raises(UnsupportedFunctionError, match="^percentile with weights=.*repeat"):
        np.percentile(t, 50, weights=[1, 1], method="inverted_cdf")
    with pytest.raises(UnsupportedFunctionError, match="argument q requires grad"):
        np.quantile(t, leaf(0.5))
    with pytest.raises(ShapeError, match="^quantile: .*q from 0 to 1"):
        np.quantile(t, 1.5)
    with pytest.raises(DtypeError, match="^median: has no derivative at complex"):
        np.median(Tensor([1j, 2.0], requires_grad=True))
    x = t.data.copy()
    np.median(t, overwrite_input=True)
    np.testing.assert_array_equal(t.data, x)
    np.testing.assert_array_equal(np.quantile(t, Tensor([0.5, 1.0])).data, [1.5, 2.0])


# ---- sets ----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(few_values(hnp.array_shapes(max_dims=2, max_side=5)))
def test_unique_shares_among_equal_elements(x):
    """Each of n equal elements gets 1/n of what arrives at their value."""
    values, counts = np.unique(x, return_counts=True)
    g = np.arange(1.0, len(values) + 1)
    np.testing.assert_array_equal(np.unique(Tensor(x)).data, values)
    expected = (g / counts)[np.searchsorted(values, x)]
    np.testing.assert_allclose(gradient_of(np.unique, x, g), expected, rtol=1e-15)
    results = np.unique_all(Tensor(x))
    for ours, theirs in zip(results, np.unique_all(x), strict=True):
        np.testing.assert_array_equal(ours.data, theirs)
    assert type(results) is type(np.unique_all(x))


def test_unique_rows():
    """With an axis slices are compared, and equal ones share."""
    x = [[1.0, 2.0], [0.0, 5.0], [1.0, 2.0]]
    found = gradient_of(lambda t: np.unique(t, axis=0), x, [[1.0, 2.0], [4.0, 6.0]])
    np.testing.assert_array_equal(found, [[2, 3], [1, 2], [2, 3]])


def test_unique_with_nan_and_without_order():
    """NaN count as equal unless equal_nan=False; sorted=False may change the order alone."""
    x = [NAN, 1.0, NAN, 1.0]
    np.testing.assert_array_equal(gradient_of(np.unique, x, [1.0, 2.0]), [1, 0.5, 1, 0.5])
    found = gradient_of(lambda t: np.unique(t, equal_nan=False), x, [1.0, 2.0, 2.0])
    np.testing.assert_array_equal(found, [2, 0.5, 2, 0.5])
    np.testing.assert_array_equal(np.sort(np.unique_values(leaf([2.0, 1.0, 2.0])).data), [1, 2])
    if np.lib.NumpyVersion(np.__version__) >= "2.3.0":
        t = leaf([5.0, 3.0, 5.0, 4.0])
        out = np.unique(t, sorted=False)
        found = tc.gradients(out, t, out.data)
        np.testing.assert_array_equal(found, [2.5, 3, 2.5, 4])


SETS = [np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d]


@pytest.mark.parametrize("function", SETS, ids=lambda f: f.__name__)
@settings(max_examples=40, deadline=None)
@given(few_values(st.integers(0, 5)), few_values(st.integers(0, 5)))
def test_sets_have_numpys_values(function, x, y):
    """The values of a union, intersection, and differences are NumPy's, for either argument."""
    expected = function(x, y)
    np.testing.assert_array_equal(function(Tensor(x), y).data, expected)
    np.testing.assert_array_equal(function(x, Tensor(y)).data, expected)


@pytest.mark.parametrize(
    ("function", "of_x", "of_y"),
    [
        (np.union1d, [1, 1 / 3, 1 / 3], [1 / 3, 1]),
        (np.intersect1d, [0, 1 / 4, 1 / 4], [1 / 2, 0]),
        (np.setdiff1d, [1, 0, 0], None),
        (np.setxor1d, [1, 0, 0], [0, 1]),
    ],
)
def test_sets_share_gradients(function, of_x, of_y):
    """A value belongs to every element that is equal to it, here the 2 in both arrays."""
    x, y = leaf([1.0, 2.0, 2.0]), leaf([2.0, 3.0])
    out = function(x, y)
    found = tc.gradients(out, [x, y], np.ones(out.shape))
    np.testing.assert_allclose(found[0], of_x, rtol=1e-15)
    if of_y is None:
        assert found[1] is None
    else:
        np.testing.assert_allclose(found[1], of_y, rtol=1e-15)


def test_intersection_with_indices():
    """return_indices= gives NumPy's places beside the values."""
    x, y = np.array([3.0, 1.0, 3.0, 2.0]), np.array([2.0, 3.0])
    for assume_unique in (False, True):
        a = x[1:] if assume_unique else x
        ours = np.intersect1d(Tensor(a), y, assume_unique, return_indices=True)
        for found, expected in zip(
            ours, np.intersect1d(a, y, assume_unique, return_indices=True), strict=True
        ):
            np.testing.assert_array_equal(found.data, expected)


# ---- bins ----------------------------------------------------------------------------------


def test_bincount_has_a_gradient_for_the_weights():
    """Each weight gets what arrives at its bin; without weights whole numbers are counted."""
    found = gradient_of(lambda w: np.bincount([0, 2, 2], w, 4), [1.0, 2.0, 3.0], [5, 6, 7, 8])
    np.testing.assert_array_equal(found, [5, 7, 7])
    weights = np.array([1, 2, 3], np.float32)
    assert np.bincount([0, 2, 2], Tensor(weights)).dtype == np.bincount([0, 2, 2], weights).dtype
    with pytest.raises(DtypeError, match=r"^bincount: .*whole numbers"):
        np.bincount(leaf([0.5, 1.0]))


HISTOGRAMS = {
    "three bins": {"bins": 3},
    "range": {"bins": 4, "range": (-1, 2)},
    "given edges": {"bins": [-1.0, 0.5, 1.0, 7.0]},
    "density": {"bins": 3, "density": True},
    "density of a range": {"bins": 3, "range": (0, 2), "density": True},
    "automatic": {"bins": "auto"},
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", HISTOGRAMS)
def test_histogram_is_numpys(name, weighted):
    """Counts and edges are NumPy's, and their gradients the measured slopes."""
    options = HISTOGRAMS[name]
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=9), rng.uniform(0.5, 1.5, 9)
    given_weights = w if weighted else None
    if name == "automatic" and weighted:
        with pytest.raises(DtypeError, match="not supported for weighted data"):
            np.histogram(Tensor(x), weights=w, **options)
        return
    for found, expected in zip(
        np.histogram(Tensor(x), weights=given_weights, **options),
        np.histogram(x, weights=given_weights, **options),
        strict=True,
    ):
        assert isinstance(found, Tensor)
        np.testing.assert_array_equal(found.data, expected)
        assert found.dtype == expected.dtype
    if weighted:
        report = tc.gradcheck(lambda v: np.histogram(x, weights=v, **options)[0], w, seed=0)
        assert report, str(report)
    if options.get("density") and "range" not in options:
        # Bins whose inner edges pass no element when the outermost elements move.
        y = np.array([0.0, 0.4, 1.4, 1.6, 2.8, 3.0])

        def heights(t, v):
            return np.histogram(t, weights=v, **options)[0]

        report = tc.gradcheck(heights, y, np.linspace(1, 2, 6), seed=0, order=2)
        assert report, str(report)


def test_edges_of_bins_depend_on_the_extremes():
    """The edges move with the least and the greatest element, ties sharing; a range is constant."""
    found = gradient_of(lambda t: np.histogram_bin_edges(t, 2), [1.0, 3.0, 3.0], [1.0, 2.0, 4.0])
    np.testing.assert_array_equal(found, [2.0, 2.5, 2.5])
    found = gradient_of(lambda t: np.histogram_bin_edges(t, 2), [1.0, 1.0], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(found, [3.0, 3.0])
    assert not np.histogram_bin_edges(leaf([1.0, 2.0]), 2, (0, 1)).requires_grad
    edges = np.histogram(leaf([1.0, 2.0]), bins=leaf([0.0, 1.5, 2.0]))[1]
    assert edges.requires_grad
    plain = tc.histogram(np.array([1.0, 2.0]), bins=2)
    assert all(type(part) is np.ndarray for part in plain)
