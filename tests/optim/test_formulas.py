"""The notes' forms of momentum and weight decay, and where two forms are one."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, optim

GRADIENTS = np.random.default_rng(0).normal(size=(30, 4))
START = np.array([1.0, -2.0, 0.5, 3.0])


def steps(optimizer, p, gradients=GRADIENTS):
    for g in gradients:
        p.grad = g
        optimizer.step()
    return p.data


def leaf():
    return tc.Tensor(START.copy(), requires_grad=True)


def test_the_momentum_of_the_notes():
    """v ← β v + (1 - β) g from v = 0 is dampening=β with dampen_first."""
    p, v, w = leaf(), 0.0, START
    for g in GRADIENTS:
        v = 0.9 * v + 0.1 * g
        w = w - 0.3 * v
    found = steps(optim.SGD([p], lr=0.3, momentum=0.9, dampening=0.9, dampen_first=True), p)
    np.testing.assert_allclose(found, w, rtol=1e-13)


def test_pytorchs_first_step_differs_from_the_notes():
    """Without dampen_first the first velocity is g itself: ten times the notes' for β = 0.9."""
    moved = []
    for dampen_first in (False, True):
        p = leaf()
        optimizer = optim.SGD([p], lr=1.0, momentum=0.9, dampening=0.9, dampen_first=dampen_first)
        moved.append(START - steps(optimizer, p, GRADIENTS[:1]))
    np.testing.assert_allclose(moved[0], GRADIENTS[0], rtol=1e-12)
    np.testing.assert_allclose(moved[1], GRADIENTS[0] / 10, rtol=1e-12)


def test_the_momentum_of_nielsen():
    """v ← μ v - η ∇C, w ← w + v is momentum=μ at a constant rate."""
    p, v, w = leaf(), 0.0, START
    for g in GRADIENTS:
        v = 0.8 * v - 0.3 * g
        w = w + v
    np.testing.assert_allclose(steps(optim.SGD([p], lr=0.3, momentum=0.8), p), w, rtol=1e-13)


def test_decoupled_decay_is_l2_for_plain_gradient_descent_only():
    """(1 - ηλ) w - η g is w - η (g + λ w); momentum and Adam tell them apart."""
    for momentum, same in ((0.0, True), (0.9, False)):
        found = []
        for decoupled in (False, True):
            p = leaf()
            optimizer = optim.SGD(
                [p], 0.1, momentum, weight_decay=0.2, decoupled_weight_decay=decoupled
            )
            found.append(steps(optimizer, p))
        assert np.allclose(*found, rtol=1e-12) == same
    found = [
        steps(kind([p], lr=0.1, weight_decay=0.2), p)
        for kind in (optim.Adam, optim.AdamW)
        for p in (leaf(),)
    ]
    assert not np.allclose(*found)


def test_decoupled_decay_shrinks_by_its_factor():
    """With gradients of zero every weight is multiplied by 1 - lr λ, near exp(-lr λ)."""
    for make in (
        lambda p: optim.SGD([p], lr=0.1, weight_decay=0.01, decoupled_weight_decay=True),
        lambda p: optim.AdamW([p], lr=0.1, weight_decay=0.01),
        lambda p: optim.Lion([p], lr=0.1, weight_decay=0.01),
    ):
        p = leaf()
        found = steps(make(p), p, np.zeros((50, 4)))
        np.testing.assert_allclose(found, START * (1 - 0.001) ** 50, rtol=1e-13)
        np.testing.assert_allclose(found, START * np.exp(-0.001 * 50), rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_weight_decay_is_the_penalty_in_the_loss(options):
    """λ/(2m) ‖w‖² as a term of the loss, and weight_decay=λ/m on the weights: the same path."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.integers(0, 2, 20)
    ends = []
    for in_loss in (True, False):
        tc.seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(np.float64)
        penalty = nn.L2Penalty(lmbda=3.0, m=20)
        groups = model.parameters() if in_loss else nn.decay_groups(model, weight_decay=3.0 / 20)
        optimizer = optim.SGD(groups, lr=0.1, **options)
        for _ in range(30):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            (loss + penalty(model) if in_loss else loss).backward()
            optimizer.step()
        ends.append(np.concatenate([p.data.ravel() for p in model.parameters()]))
    np.testing.assert_allclose(*ends, rtol=1e-12)


def test_amsgrad_never_shrinks_its_denominator():
    """After one large gradient, small ones are divided by the large root for ever."""
    p = leaf()
    optimizer = optim.Adam([p], lr=0.1, betas=(0.0, 0.5), amsgrad=True)
    steps(optimizer, p, [np.full(4, 10.0)])
    largest = optimizer.state[p]["max_exp_avg_sq"].copy()
    steps(optimizer, p, np.full((20, 4), 0.1))
    np.testing.assert_array_equal(optimizer.state[p]["max_exp_avg_sq"], largest)
    assert (optimizer.state[p]["exp_avg_sq"] < 0.02).all()


def test_rprop_rests_after_a_change_of_sign():
    """The step shrinks, and the element moves again only with the next gradient."""
    p = tc.Tensor([0.0], requires_grad=True)
    optimizer = optim.Rprop([p], lr=1.0)
    seen = []
    for g in (1.0, 1.0, -1.0, -1.0):
        p.grad = np.array([g])
        optimizer.step()
        seen.append(round(p.item(), 12))
    assert seen == [-1.0, -2.2, -2.2, -1.6]


def test_asgd_averages_from_t0_on():
    """The average follows until t0 and is the mean of the points from then on."""
    p = leaf()
    optimizer = optim.ASGD([p], lr=0.1, lambd=0.0, t0=10)
    points = [steps(optimizer, p, [g]).copy() for g in GRADIENTS]
    np.testing.assert_allclose(optimizer.state[p]["ax"], np.mean(points[11:], axis=0), rtol=1e-12)
