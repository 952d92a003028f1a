"""Where a derivative is a matter of choice: ties, kinks, zeros, infinities, degenerate matrices.

Each choice stands in the table of docs/conventions.md.
"""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.checking import gradcheck


def gradient_of(function, *values, upstream=None):
    """Return the gradients of the sum of a function's result."""
    leaves = [Tensor(np.array(v, dtype=float), requires_grad=True) for v in values]
    out = function(*leaves)
    weights = np.ones(out.shape) if upstream is None else np.asarray(upstream, dtype=float)
    found = tc.gradients(out, leaves, weights)
    return found[0] if len(found) == 1 else found


CHOICES = {
    # name: (function, inputs, gradient)
    "max": (np.max, [[1.0, 3.0, 3.0]], [0.0, 0.5, 0.5]),
    "min": (np.min, [[1.0, 1.0, 3.0]], [0.5, 0.5, 0.0]),
    "maximum": (lambda x: np.maximum(x, 2.0), [[1.0, 2.0, 3.0]], [0.0, 0.5, 1.0]),
    "minimum": (lambda x: np.minimum(x, 2.0), [[1.0, 2.0, 3.0]], [1.0, 0.5, 0.0]),
    "fmax": (lambda x: np.fmax(x, 2.0), [[1.0, 2.0, 3.0]], [0.0, 0.5, 1.0]),
    "sort": (lambda x: np.sort(x)[1:], [[2.0, 1.0, 2.0, 1.0]], [1.0, 0.5, 1.0, 0.5]),
    "median": (np.median, [[1.0, 2.0, 2.0, 3.0]], [0.0, 0.5, 0.5, 0.0]),
    "ptp": (np.ptp, [[1.0, 1.0, 3.0]], [-0.5, -0.5, 1.0]),
    "clip": (lambda x: np.clip(x, -1.0, 1.0), [[-2.0, -1.0, 0.0, 1.0, 2.0]], [0, 1, 1, 1, 0]),
    "abs": (np.abs, [[-2.0, 0.0, 2.0]], [-1.0, 0.0, 1.0]),
    "relu": (tc.relu, [[-1.0, 0.0, 1.0]], [0.0, 0.0, 1.0]),
    "sign": (lambda x: np.sign(x) * x, [[-1.0, 0.0, 1.0]], [-1.0, 0.0, 1.0]),
    "norm": (np.linalg.norm, [[0.0, 0.0]], [0.0, 0.0]),
    "norm of a row": (
        lambda x: np.linalg.norm(x, axis=1),
        [[[0.0, 0.0], [3.0, 4.0]]],
        [[0.0, 0.0], [0.6, 0.8]],
    ),
    "hypot": (np.hypot, [0.0, 0.0], (0.0, 0.0)),
    "std of constants": (np.std, [[2.0, 2.0, 2.0]], [0.0, 0.0, 0.0]),
    "var of constants": (np.var, [[2.0, 2.0]], [0.0, 0.0]),
    "sqrt": (np.sqrt, [[0.0, 4.0]], [np.inf, 0.25]),
    "cbrt": (np.cbrt, [[0.0, 8.0]], [np.inf, 1 / 12]),
    "x**0": (lambda x: x**0, [[0.0, 2.0]], [0.0, 0.0]),
    "x**1": (lambda x: x**1, [[0.0, 2.0]], [1.0, 1.0]),
    "x**2": (lambda x: x**2, [[0.0, 2.0]], [0.0, 4.0]),
    "x**0.5": (lambda x: x**0.5, [[0.0, 4.0]], [np.inf, 0.25]),
    "x**y at y = 0": (lambda x: np.power(x, np.zeros(2)), [[0.0, 2.0]], [0.0, 0.0]),
    "0**y": (lambda y: np.power(0.0, y), [[1.0, 2.0]], [0.0, 0.0]),
    "negative base": (lambda x: x**3, [[-2.0]], [12.0]),
    "prod, one zero": (np.prod, [[2.0, 0.0, 3.0]], [0.0, 6.0, 0.0]),
    "prod, two zeros": (np.prod, [[0.0, 0.0, 3.0]], [0.0, 0.0, 0.0]),
    "cumprod, a zero": (np.cumprod, [[2.0, 0.0, 3.0]], [1.0, 8.0, 0.0]),
    "logaddexp, large": (np.logaddexp, [1e4, -1e4], (1.0, 0.0)),
    "logaddexp, equal": (np.logaddexp, [1e4, 1e4], (0.5, 0.5)),
    "logsumexp": (tc.logsumexp, [[1e4, -1e4, 1e4]], [0.5, 0.0, 0.5]),
    "sigmoid": (tc.sigmoid, [[-1e4, 0.0, 1e4]], [0.0, 0.25, 0.0]),
    "softplus": (tc.softplus, [[-1e4, 0.0, 1e4]], [0.0, 0.5, 1.0]),
    "where": (lambda x: np.where(x > 0, x, 2 * x), [[-1.0, 1.0]], [2.0, 1.0]),
    "det of rank n-1": (np.linalg.det, [[[1.0, 2.0], [2.0, 4.0]]], [[4.0, -2.0], [-2.0, 1.0]]),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_documented_choice(name):
    """The gradient at a special place is the one that the table of conventions names."""
    function, inputs, expected = CHOICES[name]
    with np.errstate(all="ignore"):
        found = gradient_of(function, *inputs)
    if isinstance(expected, tuple):
        for g, e in zip(found, expected, strict=True):
            np.testing.assert_allclose(g, e, rtol=1e-12, atol=1e-12)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_softmax_far_apart():
    """softmax and log_softmax at ±1e4 are exact, and so are their gradients."""
    x = np.array([1e4, -1e4, 1e4])
    g = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(tc.softmax(x), [0.5, 0.0, 0.5])
    found = gradient_of(tc.softmax, x, upstream=g)
    np.testing.assert_allclose(found, [-0.5, 0.0, 0.5], atol=1e-15)
    found = gradient_of(tc.log_softmax, x, upstream=g)
    np.testing.assert_allclose(found, [-2.0, 2.0, 0.0], atol=1e-15)


@pytest.mark.parametrize(
    "function",
    [np.prod, lambda x: np.prod(x, axis=0), np.cumprod],
    ids=["prod", "prod axis", "cumprod"],
)
def test_products_with_zeros_to_second_order(function):
    """Products that contain zeros have right first and second derivatives."""
    for point in ([2.0, 0.0, 3.0, -1.0], [0.0, 0.0, 3.0, 2.0], [0.0, 0.0, 0.0, 2.0]):
        report = gradcheck(function, np.array(point), order=2, seed=0)
        assert report, str(report)


@pytest.mark.parametrize("name", ["eigh", "svd"])
def test_well_separated_decompositions(name):
    """Vectors of well separated eigenvalues or singular values have right derivatives."""
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    matrix = q @ np.diag([1.0, 2.0, 4.0, 8.0]) @ q.T
    report = gradcheck(lambda a: getattr(np.linalg, name)((a + a.T) / 2)[0], matrix, seed=0)
    assert report, str(report)


def test_degenerate_eigenvectors_are_told():
    """The derivative of eigenvectors that are not determined is an error or a warning."""
    x = Tensor(np.eye(3), requires_grad=True)
    with pytest.raises(Exception, match=r"(?i)degenerate|equal|repeated|gap"):
        (np.linalg.eigh(x)[1] * np.arange(9.0).reshape(3, 3)).sum().backward()


def test_eigenvalues_alone_are_right_where_they_are_equal():
    """The sum of equal eigenvalues has a derivative, the identity."""
    x = Tensor(np.eye(3), requires_grad=True)
    np.linalg.eigvalsh(x).sum().backward()
    np.testing.assert_allclose(x.grad, np.eye(3), atol=1e-12)
