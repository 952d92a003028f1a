"""What L-BFGS and Muon do that the other optimizers do not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reference import optimizers as reference

import tinygrad_course as tc
from tinygrad_course import optim
from tinygrad_course.errors import ArgumentError, ModifiedValueError, ShapeError
from tinygrad_course.optim.line_search import strong_wolfe
from tinygrad_course.optim.muon import orthogonalized


def leaf(data, dtype=float):
    return tc.Tensor(np.array(data, dtype), requires_grad=True)


def closure_for(params, optimizer, calls=None):
    """Return a closure whose loss is smooth, convex and of several scales."""

    def closure():
        if calls is not None:
            calls.append(1)
        optimizer.zero_grad()
        loss = sum((tc.cosh(p - 1.0) * (i + 1.0)).sum() for i, p in enumerate(params))
        loss.backward()
        return loss

    return closure


CASES = [name for name, (kind, _) in reference.OPTIMIZERS.items() if kind == "LBFGS"]

# ---- L-BFGS ----------------------------------------------------------------------------------


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
@pytest.mark.parametrize("dtype", [float, np.float32])
def test_lbfgs_finds_a_minimum(line_search, dtype):
    """Over parameters of several shapes, also without axes; the dtype stays."""
    params = [leaf([[0.0, 2.0]], dtype), leaf(0.5, dtype), leaf([[3.0], [-1.0]], dtype)]
    rate = 1.0 if line_search else 0.5
    optimizer = optim.LBFGS(params, lr=rate, max_iter=60, line_search_fn=line_search)
    optimizer.step(closure_for(params, optimizer))
    for p in params:
        assert p.dtype == dtype
        np.testing.assert_allclose(p.data, 1.0, atol=1e-3)
    vectors = [v for v in optimizer.state[params[0]].values() if isinstance(v, np.ndarray)]
    assert {v.dtype for v in vectors} == {np.dtype(dtype)}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("stop", [1, 3])
def test_a_saved_lbfgs_goes_on_exactly(name, stop):
    """History and all continue bit by bit, and the state is a copy."""
    start = [[0.0, 5.0, -1.0], [[1.0], [-2.0]]]
    options = reference.OPTIMIZERS[name][1]
    first = [leaf(s) for s in start]
    optimizer = optim.LBFGS(first, **options)
    for _ in range(stop):
        optimizer.step(closure_for(first, optimizer))
    second = [leaf(p.data) for p in first]
    resumed = optim.LBFGS(second)
    saved = optimizer.state_dict()
    resumed.load_state_dict(saved)
    numbers = {k: v for k, v in saved["state"][0].items() if k in {"n_iter", "t", "ro", "H_diag"}}
    json.dumps([numbers, saved["param_groups"]])
    for _ in range(4):
        optimizer.step(closure_for(first, optimizer))
        resumed.step(closure_for(second, resumed))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_lbfgs_keeps_to_its_limits():
    """max_eval bounds the calls, tolerance_grad ends at a minimum at once."""
    for line_search in (None, "strong_wolfe"):
        p, calls = leaf([5.0, -3.0]), []
        optimizer = optim.LBFGS([p], lr=0.1, max_iter=50, max_eval=7, line_search_fn=line_search)
        optimizer.step(closure_for([p], optimizer, calls))
        assert 2 <= len(calls) <= 8  # a line search tries one length in any case
        assert optimizer.state[p]["func_evals"] == len(calls)
    p, calls = leaf([1.0, 1.0]), []
    optimizer = optim.LBFGS([p])
    optimizer.step(closure_for([p], optimizer, calls))
    assert len(calls) == 1
    assert p.data.tolist() == [1, 1]


def test_lbfgs_needs_a_closure_and_one_group_of_real_numbers():
    """The messages say what to write."""
    with pytest.raises(ArgumentError, match=r"LBFGS.step: needs a closure.*step\(closure\)"):
        optim.LBFGS([leaf([1.0])]).step()
    with pytest.raises(ArgumentError, match="one group"):
        optim.LBFGS([{"params": leaf([1.0])}, {"params": leaf([1.0])}])
    with pytest.raises(ArgumentError, match="must be real"):
        optim.LBFGS([leaf([1j], complex)])
    with pytest.raises(ArgumentError, match="'strong_wolfe', got 'wolfe'"):
        optim.LBFGS([leaf([1.0])], line_search_fn="wolfe")
    with pytest.raises(ArgumentError, match="LBFGS: tolerance_grad"):
        optim.LBFGS([leaf([1.0])], tolerance_grad=-1.0)
    p = leaf([1.0, 2.0])
    optimizer = optim.LBFGS([p])
    optimizer.step(closure_for([p], optimizer))
    with pytest.raises(ShapeError, match=r"shape \(2,\), all parameters together are 3 numbers"):
        optim.LBFGS([leaf([1.0, 2.0, 3.0])]).load_state_dict(optimizer.state_dict())


def test_lbfgs_notices_what_it_overwrites():
    """A graph from before the step cannot be walked after it."""
    p = leaf([3.0])
    optimizer = optim.LBFGS([p])
    loss = tc.cosh(p).sum() * p.sum()
    optimizer.step(closure_for([p], optimizer))
    with pytest.raises(ModifiedValueError, match=r"LBFGS.step\(\)"):
        loss.backward()


def test_a_parameter_without_gradient_counts_as_flat():
    """It stays where it is, as in PyTorch."""
    used, unused = leaf([3.0]), leaf([4.0])
    optimizer = optim.LBFGS([unused, used], line_search_fn="strong_wolfe")
    optimizer.step(closure_for([used], optimizer))
    assert unused.item() == 4.0
    np.testing.assert_allclose(used.data, 1.0, atol=1e-4)


@pytest.mark.parametrize("first", [1e-4, 0.01, 1.0, 50.0])
def test_a_line_search_fulfils_both_conditions(first):
    """Enough decrease and a flat slope, from first lengths that are much too short or too long."""
    direction = np.array([1.0])

    def along(t):
        slope = np.tanh(t - 2.0) + 0.02 * t
        return float(np.log(np.cosh(t - 2.0)) + 0.01 * t * t), np.array([slope])

    loss, slope = along(0.0)
    start = (loss, slope, slope.item())
    found, gradient, t = strong_wolfe(along, first, direction, start, tolerance=1e-9, most=25)
    assert found == along(t)[0] <= loss + 1e-4 * t * slope.item()
    assert abs(gradient.item()) <= -0.9 * slope.item()


# ---- Muon ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3)])
def test_the_iteration_makes_matrices_nearly_orthogonal(shape):
    """Singular values end between 0.6 and 1.25, the singular vectors stay."""
    x = np.random.default_rng(0).normal(size=shape)
    found = orthogonalized(x, (3.4445, -4.775, 2.0315), 5, 1e-7)
    u, _, v = np.linalg.svd(x, full_matrices=False)
    inside = u.T @ found @ v.T
    np.testing.assert_allclose(inside - np.diag(np.diag(inside)), 0, atol=1e-12)
    assert np.all((np.diag(inside) > 0.6) & (np.diag(inside) < 1.25))


def test_muon_does_not_change_what_it_is_given():
    """Gradients and the momentum's past stay as they are, float32 stays float32."""
    p = leaf(np.eye(3) + 0.5, np.float32)
    optimizer = optim.Muon([p], lr=0.1, nesterov=False)
    p.grad = np.arange(9.0).reshape(3, 3)
    optimizer.step()
    assert p.grad.tolist() == np.arange(9.0).reshape(3, 3).tolist()
    np.testing.assert_allclose(optimizer.state[p]["momentum_buffer"], 0.05 * p.grad, rtol=1e-6)
    assert p.dtype == optimizer.state[p]["momentum_buffer"].dtype == np.float32


def test_a_gradient_of_zero_is_no_step():
    """The norm is bounded from below by eps."""
    p = leaf(np.eye(2))
    p.grad = np.zeros((2, 2))
    optim.Muon([p], lr=0.1, weight_decay=0.0).step()
    np.testing.assert_array_equal(p.data, np.eye(2))


def test_a_saved_muon_goes_on_exactly():
    """Bit by bit, with a state that is a copy."""
    first = leaf(np.random.default_rng(0).normal(size=(3, 2)))
    optimizer = optim.Muon([first], lr=0.05)
    for _ in range(3):
        optimizer.step(closure_for([first], optimizer))
    second = leaf(first.data)
    resumed = optim.Muon([second])
    resumed.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        optimizer.step(closure_for([first], optimizer))
        resumed.step(closure_for([second], resumed))
    np.testing.assert_array_equal(first.data, second.data)


def test_muon_runs_on_tensors_with_the_same_bits():
    """The rule is one of arrays and of Tensors."""
    rng = np.random.default_rng(0)
    array, g = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    tensor, states = tc.Tensor(array.copy()), ({}, {})
    optimizer = optim.Muon([leaf(np.eye(2))], lr=0.1)
    options = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
    for _ in range(3):
        optimizer.update(array, g, states[0], **options)
        with tc.no_grad():
            optimizer.update(tensor, tc.Tensor(g), states[1], **options)
    np.testing.assert_array_equal(tensor.data, array)


def test_muon_refuses_what_it_cannot_move():
    """Biases, kernels and complex matrices belong to another optimizer."""
    for bad in (leaf([1.0]), leaf(np.ones((2, 2, 2))), leaf(np.eye(2), complex)):
        with pytest.raises(ShapeError, match="Muon: parameter 1 has shape .* AdamW"):
            optim.Muon([leaf(np.eye(2)), bad])
    for options, words in [
        ({"adjust_lr_fn": "best"}, "adjust_lr_fn must be one of .*, got 'best'"),
        ({"ns_steps": 100}, "ns_steps must be a whole number below 100"),
        ({"ns_steps": 2.5}, "ns_steps"),
        ({"ns_coefficients": (1.0, 2.0)}, "ns_coefficients must be 3 numbers"),
        ({"momentum": -0.1}, "Muon: momentum"),
    ]:
        with pytest.raises(ArgumentError, match=words):
            optim.Muon([leaf(np.eye(2))], **options)
