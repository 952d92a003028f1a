"""SciPy's methods on the flat θ: exact derivatives, structure restored, errors that help."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, optim
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.optim.minimization import METHODS

pytest.importorskip("scipy.optimize")

A = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 2.0]])
B = np.array([1.0, -2.0, 0.5])


def quadratic(x):
    return 0.5 * x @ A @ x - B @ x


def bumpy(p):
    """Have one minimum, in containers of several shapes."""
    x, (y, z) = p["x"], p["rest"]
    return ((x - 1.0) ** 2).sum() + tc.cosh(y - 0.5).sum() + (z - 2.0) ** 4 + (z - 2.0) ** 2


def bowl(x):
    return tc.cosh(x - 1.0).sum()


START = {"x": np.zeros((2, 2)), "rest": [np.array([2.0]), 1.0]}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_minimum(method):
    """A convex quadratic has the minimum A⁻¹b."""
    found = optim.minimize(quadratic, np.array([3.0, 3.0, 3.0]), method=method)
    assert found.success, found.message
    np.testing.assert_allclose(found.x, np.linalg.solve(A, B), atol=1e-3)
    assert isinstance(found.fun, float | np.floating)


@pytest.mark.parametrize("method", [m for m, needs in METHODS.items() if "jac" in needs])
def test_containers_come_back(method):
    """x and jac have the nesting and the shapes of the start, theta is the vector."""
    found = optim.minimize(bumpy, START, method=method.upper())
    assert found.x.keys() == START.keys()
    np.testing.assert_allclose(found.x["x"], np.ones((2, 2)), atol=1e-3)
    assert found.x["rest"][0].shape == (1,)
    np.testing.assert_allclose(found.x["rest"][0], 0.5, atol=1e-3)
    np.testing.assert_allclose(found.x["rest"][1], 2.0, atol=1e-2)
    assert found.theta.shape == (6,)
    np.testing.assert_allclose(found.jac["x"], 2 * (found.x["x"] - 1), atol=1e-12)
    np.testing.assert_array_equal(START["x"], 0)


def test_newton_solves_a_quadratic_in_one_step():
    """Δθ = -H⁻¹∇C is exact there."""
    found = optim.minimize(quadratic, np.array([30.0, -7.0, 9.0]), method="newton")
    assert found.nit == 1
    np.testing.assert_allclose(found.x, np.linalg.solve(A, B), rtol=1e-12)


def test_newton_converges_quadratically_and_can_fail():
    """Few steps on a convex function; a singular Hessian and too few steps are said."""
    found = optim.minimize(bowl, np.array([0.0, 1.5]), method="newton")
    assert found.success
    assert found.nit <= 6
    np.testing.assert_allclose(found.x, 1.0, rtol=1e-10)
    found = optim.minimize(lambda x: (x[0] - 1.0) ** 2 + 0 * x[1], np.zeros(2), method="newton")
    assert not found.success
    assert found.message == "The Hessian is singular."
    found = optim.minimize(bowl, np.zeros(2), method="newton", options={"maxiter": 1})
    assert (found.success, found.nit) == (False, 1)


def model_and_loss(seed=0):
    tc.seed(seed)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)).to(np.float64)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    penalty = nn.L2Penalty(1.0, m=30)

    def loss():
        return nn.functional.cross_entropy(model(x), y) + penalty(model)

    return model, loss


@pytest.mark.parametrize("method", [m for m in METHODS if m.startswith(("trust", "New", "L", "B"))])
def test_a_model_is_trained(method):
    """The parameters hold the solution: loss as reported, gradient near zero, same arrays."""
    model, loss = model_and_loss()
    before = loss().item()
    memory = [p.data for p in model.parameters()]
    found = optim.minimize(loss, model, method=method, options={"maxiter": 500})
    assert all(p.data is array for p, array in zip(model.parameters(), memory, strict=True))
    assert found.fun == loss().item() < before
    assert all(p.grad is None for p in model.parameters())
    loss().backward()
    assert max(np.abs(p.grad).max() for p in model.parameters()) < 1e-3
    for x, p in zip(found.x, model.parameters(), strict=True):
        np.testing.assert_array_equal(x, p.data)


def test_a_model_and_a_function_take_the_same_path():
    """Two ways to say one problem end at the same bits."""
    w = tc.Tensor([3.0, 3.0, 3.0], requires_grad=True)
    model = optim.minimize(lambda: quadratic(w), [w], method="trust-krylov")
    function = optim.minimize(quadratic, np.array([3.0, 3.0, 3.0]), method="trust-krylov")
    np.testing.assert_array_equal(model.theta, function.theta)
    np.testing.assert_array_equal(w.data, model.theta)


def test_derivatives_are_exact():
    """The Hessian of the model's loss, column by column, is symmetric and that of differences."""
    model, loss = model_and_loss()
    from tinygrad_course.optim.minimization import _Model

    problem = _Model(loss, list(model.parameters()))
    theta = problem.start
    hessian = problem.hessian(theta)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-14)
    step = 1e-5
    for i in range(theta.size):
        unit = np.eye(theta.size)[i] * step
        slope = (problem.gradient(theta + unit) - problem.gradient(theta - unit)) / (2 * step)
        np.testing.assert_allclose(hessian[:, i], slope, atol=1e-8)


def test_a_parameter_that_takes_no_part_stays():
    """Its gradient is zero."""
    used, unused = (tc.Tensor([2.0], requires_grad=True) for _ in range(2))

    def loss():
        return ((used - 1.0) ** 2).sum()

    found = optim.minimize(loss, [used, unused], method="newton-cg")
    assert found.success
    np.testing.assert_allclose(used.data, 1.0, atol=1e-6)
    assert unused.item() == 2.0


def test_float32_parameters_stay_float32():
    """SciPy's vector is float64, the parameters keep their dtype."""
    model = nn.Linear(2, 1)
    x = np.random.default_rng(0).normal(size=(20, 2))

    def loss():
        return ((model(x) - 1.0) ** 2).mean()

    optim.minimize(loss, model, options={"maxiter": 5})
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("method", ["CG", "BFGS", "L-BFGS-B", "trust-ncg", "newton", "nelder-mead"])
def test_the_callback_sees_every_iteration_and_can_stop(method):
    """It gets number, loss and parameters in their nesting; true stops."""
    seen = []

    def callback(state):
        assert state.x.keys() == START.keys()
        seen.append((state.nit, state.fun))
        return len(seen) == 3

    found = optim.minimize(bumpy, START, method=method, callback=callback)
    assert [nit for nit, _ in seen] == [1, 2, 3]
    assert not found.success
    assert seen[0][1] >= seen[2][1]


def test_options_and_bounds_reach_scipy():
    """What SciPy knows can be said."""
    found = optim.minimize(quadratic, np.ones(3), "L-BFGS-B", bounds=[(0.5, 2.0)] * 3)
    assert found.x.min() == 0.5
    assert optim.minimize(bumpy, START, "CG", options={"maxiter": 1}).nit == 1
    rough, fine = (optim.minimize(quadratic, np.ones(3), tol=tol) for tol in (1e-1, 1e-10))
    assert rough.nit < fine.nit


def test_an_error_leaves_the_model_as_it_was():
    """The weights at the start come back."""
    model, loss = model_and_loss()
    before = [p.data.copy() for p in model.parameters()]
    calls = []

    def fails():
        calls.append(1)
        if len(calls) == 4:
            raise KeyError
        return loss()

    with pytest.raises(KeyError):
        optim.minimize(fails, model)
    for p, b in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, b)


def test_wrong_arguments_are_named():
    """An unknown method lists those that exist; whole numbers cannot be moved."""
    with pytest.raises(ArgumentError, match="method 'adam' is unknown; there are .*BFGS.*newton"):
        optim.minimize(quadratic, np.ones(3), method="adam")
    with pytest.raises(ArgumentError, match="parameter 0 has dtype int64"):
        optim.minimize(quadratic, np.ones(3, int))
    with pytest.raises(ArgumentError, match="got no parameters"):
        optim.minimize(quadratic, [])
    w = tc.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ShapeError, match="one element, got Tensor of shape"):
        optim.minimize(lambda: w * w, [w])
    with pytest.raises(ShapeError, match="one number"):
        optim.minimize(lambda x: x * x, np.ones(2))


def test_without_scipy_the_message_says_how_to_install_it(monkeypatch):
    """The command is part of the error."""
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_course\[course\]'"):
        optim.minimize(quadratic, np.ones(3))
