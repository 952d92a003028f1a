"""Embedding: repeated rows, padding, refusals; one_hot."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, DtypeError, ShapeError

F = nn.functional


def test_gradients_of_repeated_rows_add_up():
    """Row 2, read three times, gets the sum of three gradients; unread rows get 0."""
    layer = nn.Embedding(5, 2, dtype=float)
    out = layer([[2, 0], [2, 2]])
    g = np.arange(8.0).reshape(2, 2, 2)
    out.backward(g)
    expected = np.zeros((5, 2))
    expected[2] = g[0, 0] + g[1, 0] + g[1, 1]
    expected[0] = g[0, 1]
    np.testing.assert_array_equal(layer.weight.grad, expected)
    np.testing.assert_array_equal(out.data, layer.weight.data[[[2, 0], [2, 2]]])


def test_one_hot_rows_times_the_table_are_the_same(rng):
    """Looking up is a product with one-hot rows, in value and gradient."""
    numbers = rng.integers(0, 6, size=20)
    table = tc.Tensor(rng.normal(size=(6, 3)), requires_grad=True)
    g = rng.normal(size=(20, 3))
    found = F.embedding(numbers, table)
    found.backward(g)
    np.testing.assert_array_equal(found.data, F.one_hot(numbers, 6) @ table.data)
    np.testing.assert_allclose(table.grad, F.one_hot(numbers, 6).T @ g, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("padding", [3, -2])
def test_the_padding_row_starts_at_zero_and_is_not_trained(padding):
    """Its value is read like any other and its gradient is 0, as in PyTorch."""
    layer = nn.Embedding(5, 2, padding, dtype=float)
    assert layer.padding_idx == 3
    assert layer.weight.data[3].tolist() == [0, 0]
    assert layer.weight.data[:3].all()
    layer.weight.data = np.arange(10.0).reshape(5, 2)
    out = layer(np.array([3, 1, 3]))
    out.backward(np.ones((3, 2)))
    assert out.data.tolist() == [[6, 7], [2, 3], [6, 7]]
    assert layer.weight.grad.tolist() == [[0, 0], [1, 1], [0, 0], [0, 0], [0, 0]]
    assert layer(np.array(3)).data.tolist() == [6, 7]
    plain = F.embedding([3, 1], layer.weight.data, padding)
    np.testing.assert_array_equal(plain, layer.weight.data[[3, 1]])


def test_vectors_start_standard_normal():
    """Mean 0 and variance 1 within five standard errors, and a generator repeats them."""
    first, second = (
        nn.Embedding(300, 100, generator=np.random.default_rng(1)).weight.data for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert abs(first.mean()) < 5 / first.size**0.5
    assert abs(first.var() - 1) < 5 * (2 / first.size) ** 0.5


def test_given_vectors_are_copied_and_frozen():
    """from_pretrained keeps dtype and values, trains only if told to."""
    vectors = np.arange(6.0).reshape(3, 2)
    layer = nn.Embedding.from_pretrained(vectors)
    vectors[:] = 0
    assert layer(np.array([2])).data.tolist() == [[4, 5]]
    assert not layer.weight.requires_grad
    assert layer.weight.dtype == float
    assert nn.Embedding.from_pretrained(vectors, freeze=False).weight.requires_grad


@pytest.mark.parametrize("kind", ["list", "Tensor", "uint8", "int32", "0-d", "empty"])
def test_numbers_of_any_kind_are_taken(kind):
    """Lists, Tensors and whole numbers of all sizes look up the same rows."""
    layer = nn.Embedding(4, 2)
    given, plain = {
        "list": ([1, 3], [1, 3]),
        "Tensor": (tc.Tensor([1, 3]), [1, 3]),
        "uint8": (np.array([1, 3], np.uint8), [1, 3]),
        "int32": (np.array([[1], [3]], np.int32), [[1], [3]]),
        "0-d": (np.int64(2), 2),
        "empty": ([], np.zeros(0, int)),
    }[kind]
    np.testing.assert_array_equal(layer(given).data, layer.weight.data[plain])


def test_later_writes_into_the_numbers_do_no_harm():
    """The gradient goes to the rows that were read, whatever becomes of the array of numbers."""
    layer, numbers = nn.Embedding(3, 1, dtype=float), np.array([0, 1])
    out = layer(numbers)
    numbers[:] = 2
    out.sum().backward()
    assert layer.weight.grad.ravel().tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda: nn.Embedding(4, 2)([4]),
            ArgumentError,
            "embedding in Embedding: index 4 is outside",
        ),
        (lambda: nn.Embedding(4, 2)([-1]), ArgumentError, "index -1 is outside 0..3"),
        (lambda: nn.Embedding(4, 2)([1.0]), DtypeError, "whole numbers, got dtype float64"),
        (lambda: nn.Embedding(4, 2)([True]), DtypeError, "whole numbers, got dtype bool"),
        (lambda: nn.Embedding(0, 2), ArgumentError, "num_embeddings"),
        (lambda: nn.Embedding(4, 2, padding_idx=4), ArgumentError, "padding_idx=4"),
        (lambda: nn.Embedding(4, 2, max_norm=1.0), ArgumentError, "max_norm is not supported"),
        (lambda: nn.Embedding(4, 2, sparse=True), ArgumentError, "sparse is not supported"),
        (lambda: nn.Embedding.from_pretrained([1.0]), ShapeError, "(count, size), got (1,)"),
        (lambda: F.embedding([1], np.ones(3)), ShapeError, "(count, size), got (3,)"),
        (lambda: F.embedding([1], np.ones((3, 1)), 7), ArgumentError, "padding_idx=7 is outside"),
        (lambda: F.one_hot([3], 3), ArgumentError, "one_hot: index 3 is outside 0..2"),
        (lambda: F.one_hot([]), ArgumentError, "one_hot: of no labels"),
        (lambda: F.one_hot([0.5]), DtypeError, "one_hot: needs whole numbers"),
    ],
)
def test_what_cannot_be_looked_up_is_refused(call, kind, words):
    """The refusal names the layer, the number and the size of the table."""
    with pytest.raises(kind, match=re.escape(words)):
        call()


def test_one_hot_finds_the_number_of_classes():
    """Without num_classes it is one more than the largest label; any shape is taken."""
    assert F.one_hot([[0, 2]]).tolist() == [[[1, 0, 0], [0, 0, 1]]]
    assert F.one_hot(tc.Tensor([1]), 2).tolist() == [[0, 1]]
    assert F.one_hot(np.zeros(0, int), 3).shape == (0, 3)
