"""Gradient clipping: PyTorch's meaning of norm and value."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, optim
from tinygrad_course.errors import ArgumentError

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
ORDERS = [(p, dtype) for p in (0.5, 1, 2, 3, math.inf, -math.inf) for dtype in (float, complex)]


def parameters(*gradients, dtype=float):
    made = []
    for g in gradients:
        p = tc.Tensor(np.zeros(np.shape(g), dtype), requires_grad=True)
        p.grad = np.array(g)
        made.append(p)
    return made


def test_the_norm_is_that_of_all_gradients_together():
    """3, 4 and 12 have the norm 13; all shrink by one factor, in place."""
    ps = parameters([3.0, 4.0], [[12.0]])
    memory = [p.grad for p in ps]
    unused = tc.Tensor([1.0], requires_grad=True)
    assert optim.clip_grad_norm_([*ps, unused], 6.5) == 13.0
    assert all(p.grad is m for p, m in zip(ps, memory, strict=True))
    factor = 6.5 / (13 + 1e-6)
    np.testing.assert_allclose(ps[0].grad, [3 * factor, 4 * factor], rtol=1e-15)
    np.testing.assert_allclose(ps[1].grad, [[12 * factor]], rtol=1e-15)
    assert unused.grad is None


def test_small_gradients_keep_their_bits():
    """Below the limit nothing changes; without gradients the norm is 0."""
    (p,) = parameters([0.3, 0.4])
    assert optim.clip_grad_norm_(p, 1.0) == 0.5
    assert p.grad.tolist() == [0.3, 0.4]
    assert optim.clip_grad_norm_([tc.Tensor([1.0], requires_grad=True)], 1.0) == 0.0


@needs_torch
@pytest.mark.parametrize(("order", "dtype"), [*ORDERS, (0, float)])
def test_norms_are_pytorchs(order, dtype):
    """For every order, real and complex: the norm and the gradients after it."""
    import torch

    rng = np.random.default_rng(0)
    given = [rng.normal(size=s) + 1j * rng.normal(size=s) for s in [(3, 2), (4,), ()]]
    given = [np.asarray(g if dtype is complex else g.real) for g in given]
    ours = parameters(*given, dtype=dtype)
    theirs = [torch.zeros_like(torch.tensor(g)) for g in given]
    for p, g in zip(theirs, given, strict=True):
        p.grad = torch.tensor(g)
    norm = optim.clip_grad_norm_(ours, 0.7, norm_type=order)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.7, norm_type=order)
    np.testing.assert_allclose(norm, expected.item(), rtol=1e-14)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-13)


def test_norms_that_are_not_finite():
    """By default they scale the gradients, as in PyTorch; on request they are refused."""
    (p,) = parameters([1.0, math.inf])
    with pytest.raises(ArgumentError, match="norm of the gradients is inf"):
        optim.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert p.grad.tolist() == [1.0, math.inf]
    with np.errstate(invalid="ignore"):
        assert optim.clip_grad_norm_([p], 1.0) == math.inf
    assert p.grad[0] == 0
    (p,) = parameters([1.0, math.nan])
    assert math.isnan(optim.clip_grad_norm_([p], 1.0))
    assert np.isnan(p.grad).all()


def test_values_are_limited_on_both_sides():
    """Every element ends in [-limit, limit], float32 stays float32."""
    (p,) = parameters([-3.0, 0.5, 7.0], dtype=np.float32)
    memory = p.grad
    optim.clip_grad_value_(p, np.float64(1.5))
    assert p.grad is memory
    assert p.grad.dtype == np.float32
    assert p.grad.tolist() == [-1.5, 0.5, 1.5]


def test_a_float32_gradient_stays_float32():
    """The factor is a Python number."""
    (p,) = parameters([3.0, 4.0], dtype=np.float32)
    assert type(optim.clip_grad_norm_(p, 1.0)) is float
    assert p.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: optim.clip_grad_norm_([], -1.0), "max_norm must be a number ≥ 0, got -1.0"),
        (lambda: optim.clip_grad_norm_([], math.nan), "max_norm"),
        (lambda: optim.clip_grad_value_([], -1.0), "clip_value must be ≥ 0, got -1.0"),
        (lambda: optim.clip_grad_norm_([np.ones(2)], 1.0), "parameter 0 is ndarray, not a Tensor"),
        (lambda: optim.clip_grad_value_(parameters(1j, dtype=complex), 1.0), "no order"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    """Negative limits and things that are no parameters."""
    with pytest.raises(ArgumentError, match=words):
        call()


def test_a_step_after_clipping_is_bounded():
    """Gradient descent then moves by at most lr times the limit."""
    tc.seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    before = [p.data.copy() for p in model.parameters()]
    (model(np.full((3, 4), 100.0)) ** 2).sum().backward()
    optim.clip_grad_norm_(model.parameters(), 1.0)
    optim.SGD(model.parameters(), lr=0.1).step()
    moved = sum(((p.data - b) ** 2).sum() for p, b in zip(model.parameters(), before, strict=True))
    np.testing.assert_allclose(math.sqrt(moved), 0.1, rtol=1e-4)
