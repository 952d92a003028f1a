"""Passes that say the same with faster calls: what they change, what they leave, and every bit."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, optim
from tinygrad_course.replay.passes import PASSES
from tinygrad_course.replay.passes.rewording import take_rows


@pytest.fixture
def images():
    """Data from which a step picks its batch."""
    return tc.Tensor(np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32))


def without(*names):
    return [name for name in PASSES if name not in names]


def both_ways(function, name, *args):
    """Return the source with and without a pass, whose results must be the same bits."""
    with_it, without_it = tc.compile(function), tc.compile(function, passes=without(name))
    found, expected = with_it(*args), without_it(*args)
    np.testing.assert_array_equal(
        getattr(found, "data", found), getattr(expected, "data", expected)
    )
    assert found.dtype == expected.dtype
    return with_it.source, without_it.source


# ---- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "gather",
    [
        lambda x, i: x[i] * 2,
        lambda x, i: np.take(x, i, axis=0) * 2,
        lambda x, i: tc.take(x, i, axis=0) * 2,
    ],
    ids=["key", "numpy", "take"],
)
def test_rows_are_gathered_into_a_buffer(gather, images):
    """A batch is picked from the data inside the step: by a key or by take, as NumPy does it."""
    index = np.array([3, 0, 3, -1])
    source, plain = both_ways(lambda i: gather(images, i), "gathers", index)
    assert "take_rows(" in source
    assert "take_rows(" not in plain
    compiled = tc.compile(lambda i: gather(images, i))
    for index in (np.array([1, 2, 4, 5]), np.array([-20, 19, 0, -1])):
        np.testing.assert_array_equal(np.asarray(compiled(index)), images.data[index] * 2)


@pytest.mark.parametrize("bad", [20, -21])
def test_a_row_that_is_not_there_is_an_index_error(bad, images):
    """A replay reads the index of its own call, and does not clip it."""
    compiled = tc.compile(lambda i: images[i] * 2)
    compiled(np.array([0, 1]))
    with pytest.raises(IndexError, match=f"{bad} is out of bounds"):
        compiled(np.array([0, bad]))


def test_rows_without_a_buffer(images):
    """What leaves the step is no buffer of its own."""
    compiled = tc.compile(lambda i: np.take(images, i, axis=0))
    first = compiled(np.array([1, 2]))
    compiled(np.array([3, 4]))
    np.testing.assert_array_equal(first, images.data[[1, 2]])
    np.testing.assert_array_equal(take_rows(images.data, np.array([-1])), images.data[-1:])


@pytest.mark.parametrize(
    "pick",
    [
        lambda x, i: x[i, 1:],
        lambda x, i: x[:, i],
        lambda x, i: np.take(x, i, axis=1),
        lambda x, i: np.take(x, i, axis=0, mode="wrap"),
        lambda x, i: x[i > 2],
    ],
    ids=["columns cut", "columns", "other axis", "wrapped", "mask"],
)
def test_other_ways_of_picking_stay_as_they_are(pick):
    """Only whole rows by one vector of whole numbers are gathered; the rest is NumPy's."""
    x, index = np.random.default_rng(1).normal(size=(6, 6)), np.array([0, 5, 3, 1, 2, 4])
    source, _ = both_ways(lambda x: pick(x, index), "gathers", x)
    assert "take_rows" not in source


# ---- products ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [((4, 3), (3, 2)), ((3,), (3, 2)), ((4, 3), (3,))])
def test_products_of_matrices_go_to_dot(shapes):
    """A product that BLAS does at once is written as np.dot, in every layout, to the bit."""
    rng = np.random.default_rng(2)
    x, y = (rng.normal(size=shape) for shape in shapes)
    source, plain = both_ways(lambda x, y: x @ y + 1, "products", x, y)
    assert "np.dot(" in source
    assert "np.matmul(" in plain
    source, _ = both_ways(lambda x, y: x @ y + 1, "products", x, np.asfortranarray(y))
    assert "np.dot(" in source


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.ones((2, 4, 3)), np.ones((3, 2))),
        (np.ones((4, 3), int), np.ones((3, 2), int)),
        (np.ones((4, 3), np.float32), np.ones((3, 2))),
        (np.ones(3), np.ones(3)),
        (np.ones((0, 3)), np.ones((3, 2))),
    ],
    ids=["batches", "whole numbers", "two dtypes", "vectors", "nothing"],
)
def test_other_products_stay_matmul(x, y):
    """What np.dot means otherwise, or does not hand to BLAS, is left alone."""
    source, _ = both_ways(lambda x, y: np.matmul(x, y) + 1, "products", x, y)
    assert "np.dot(" not in source


# ---- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_are_arrays_with_the_bits_of_numbers(dtype):
    """Python's numbers keep the array's dtype and value, special values and zeros' signs too."""
    x = np.array([[-0.0, 0.0, np.nan, -np.inf, np.inf, 1e-40, -3.7, 0.1]] * 3, dtype)

    def f(x):
        low, high = np.maximum(x, 0), np.minimum(0.0, x)
        return np.stack([low, high, x * 0.1, 3 - x, x / 7, (x > 0) * x, (x >= 0.1) * x + low])

    with np.errstate(invalid="ignore"):
        source, plain = both_ways(f, "numbers", x)
        found = tc.compile(f)(x)
        expected = f(x)
    assert found.tobytes() == expected.tobytes()
    assert "np.zeros((3, 8)" in source
    assert "np.full((), 0.1" in source
    assert "np.full" not in plain


def test_a_number_with_an_array_of_whole_numbers_stays():
    """Only floats: a number with whole numbers, or another dtype, decides the result's dtype."""
    source, _ = both_ways(lambda x: x * 2 + np.multiply(x, 0.5), "numbers", np.arange(4))
    assert "np.full" not in source
    x = np.ones(3, np.float32)
    source, _ = both_ways(lambda x: np.multiply(x, np.float64(0.1)) + 0, "numbers", x)
    assert "np.full((), 0.1" not in source


def test_options_are_read_anew_though_they_are_arrays():
    """A learning rate that changes between steps changes the next replay, in the arrays' dtype."""
    models = [nn.Linear(3, 2, generator=np.random.default_rng(3)) for _ in range(2)]
    optimizers = [optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in models]

    def step(model, opt, x):
        opt.zero_grad()
        (model(x) ** 2).sum().backward()
        opt.step()

    x = np.random.default_rng(4).normal(size=(4, 3)).astype(np.float32)
    compiled = tc.compile(lambda x: step(models[0], optimizers[0], x))
    for rate in (0.1, 0.01, 0.3, 1):
        for opt in optimizers:
            opt.param_groups[0]["lr"] = rate
        compiled(x)
        step(models[1], optimizers[1], x)
        np.testing.assert_array_equal(models[0].weight.data, models[1].weight.data)
    assert "# options, in the dtype of the arrays" in compiled.source


# ---- copies --------------------------------------------------------------------------------------


def test_a_copy_into_another_order_is_kept():
    """A copy of a transpose is made to be read row by row; one that changes nothing is not."""
    x = np.random.default_rng(5).normal(size=(5, 3))
    turned = tc.compile(lambda x: np.maximum.reduce((x * 2).T.copy(), axis=0) + 1)
    same = tc.compile(lambda x: np.maximum.reduce((x * 2).copy(), axis=0) + 1)
    np.testing.assert_array_equal(turned(x), (x * 2).max(axis=1) + 1)
    np.testing.assert_array_equal(same(x), (x * 2).max(axis=0) + 1)
    assert ".copy()" in turned.source
    assert ".copy()" not in same.source
