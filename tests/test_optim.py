"""Optimizers: one update rule on arrays and Tensors, groups, state, and refusals."""

from __future__ import annotations

import ast
import inspect
import textwrap

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, optim
from tinygrad_course.errors import ArgumentError, ModifiedValueError, ShapeError

OPTIMIZERS = {
    "sgd": (optim.SGD, {"lr": 0.1}),
    "momentum": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "nesterov": (
        optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ),
    "rmsprop": (optim.RMSprop, {"lr": 0.01}),
    "rmsprop, all": (
        optim.RMSprop,
        {"lr": 0.01, "momentum": 0.5, "centered": True, "weight_decay": 0.1},
    ),
    "adam": (optim.Adam, {"lr": 0.01}),
    "adam, decay": (optim.Adam, {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}),
}
CASES = pytest.mark.parametrize(("kind", "options"), OPTIMIZERS.values(), ids=OPTIMIZERS)


def leaf(data, dtype=float):
    return tc.Tensor(np.array(data, dtype), requires_grad=True)


def descend(parameter, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        ((parameter - 3.0) ** 2).sum().backward()
        optimizer.step()


@CASES
def test_a_rule_gives_the_same_on_arrays_and_tensors(kind, options):
    """The update runs on Tensors too, with the same bits: a step can be recorded."""
    rng = np.random.default_rng(0)
    optimizer = kind([leaf([0.0])], **options)
    hyper = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
    p, p_state = rng.normal(size=(3, 2)), {}
    t, t_state = tc.Tensor(p.copy()), {}
    for _ in range(5):
        g = rng.normal(size=p.shape)
        kind.update(p, g, p_state, **hyper)
        with tc.no_grad():
            kind.update(t, tc.Tensor(g), t_state, **hyper)
    np.testing.assert_array_equal(p, t.data)
    assert p_state.keys() == t_state.keys()


@CASES
def test_rules_are_written_in_registered_operations(kind, options):
    """Outside of creating state, an update rule calls only functions of the registry."""
    del options
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind.update)))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)} - {
        "staticmethod"
    }
    assert called <= {"sqrt", "copy", "_buffer", "state.get"}


@CASES
def test_float32_parameters_stay_float32(kind, options):
    """Parameters and state keep the dtype, even with NumPy scalars as options."""
    parameter = leaf([1.0, 2.0], np.float32)
    wide = {k: np.float64(v) if isinstance(v, float) else v for k, v in options.items()}
    optimizer = kind([parameter], **wide)
    descend(parameter, optimizer, 3)
    assert parameter.dtype == np.float32
    arrays = [v for v in optimizer.state[parameter].values() if isinstance(v, np.ndarray)]
    assert all(array.dtype == np.float32 for array in arrays)


@CASES
def test_state_comes_back_bit_by_bit(kind, options):
    """A run that is saved and continued elsewhere equals one that was not interrupted."""
    whole = leaf([0.0, 5.0])
    descend(whole, kind([whole], **options), 10)
    first = leaf([0.0, 5.0])
    optimizer = kind([first], **options)
    descend(first, optimizer, 4)
    second = leaf(first.data)
    resumed = kind([second], lr=99.0)
    resumed.load_state_dict(optimizer.state_dict())
    descend(first, optimizer, 3)  # the saved state is a copy: this must not matter
    descend(second, resumed, 6)
    np.testing.assert_array_equal(second.data, whole.data)


@CASES
def test_every_optimizer_descends(kind, options):
    """A quadratic is brought close to its minimum."""
    parameter = leaf([0.0, 1.0])
    steps = 2000 if options["lr"] < 0.05 else 200
    descend(parameter, kind([parameter], **{**options, "weight_decay": 0.0}), steps)
    np.testing.assert_allclose(parameter.data, 3.0, atol=0.05)


def test_groups_have_options_of_their_own():
    """Each group uses its own rate, and a changed rate counts from the next step."""
    a, b = leaf([1.0]), leaf([1.0])
    optimizer = optim.SGD([{"params": a}, {"params": [b], "lr": 0.5}], lr=0.1)
    (a + b).sum().backward()
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item()], [0.9, 0.5])
    optimizer.param_groups[0]["lr"] = 0.2
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item()], [0.7, 0.0])


def test_parameters_without_gradient_are_left_alone():
    """A parameter that took no part keeps its value and gets no state."""
    a, b = leaf([1.0]), leaf([1.0])
    optimizer = optim.Adam([a, b])
    (a * 2.0).sum().backward()
    optimizer.step()
    assert b.item() == 1.0
    assert b not in optimizer.state


def test_zero_grad_forgets_or_fills():
    """By default gradients become None; on request they become zeros."""
    a = leaf([1.0, 2.0])
    optimizer = optim.SGD([a])
    (a * a).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(a.grad, [0.0, 0.0])
    optimizer.zero_grad()
    assert a.grad is None


def test_scalars_can_be_optimized():
    """A Tensor without axes is a parameter like any other."""
    a = leaf(1.0)
    descend(a, optim.SGD([a], lr=0.25), 30)
    assert abs(a.item() - 3.0) < 1e-6


def test_an_update_between_forward_and_backward_is_noticed():
    """Backward refuses to use a parameter that a step has changed since."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    first, second = (model(np.ones((4, 2))).sum() for _ in range(2))
    first.backward()
    optimizer.step()
    with pytest.raises(ModifiedValueError, match=r"linear.*SGD\.step\(\)"):
        second.backward()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: optim.SGD([]), "no parameters"),
        (lambda: optim.SGD(leaf([1.0])), "pass a list"),
        (lambda: optim.SGD([tc.Tensor([1.0])]), "requires grad"),
        (lambda: optim.SGD([leaf([1.0]) * 2]), "leaf"),
        (lambda: optim.SGD([np.ones(2)]), "not a leaf Tensor"),
        (lambda: optim.SGD([leaf([1.0])], lr=-1), "lr"),
        (lambda: optim.SGD([leaf([1.0])], lr=float("nan")), "lr"),
        (lambda: optim.SGD([leaf([1.0])], nesterov=True), "nesterov"),
        (lambda: optim.Adam([leaf([1.0])], betas=(1.0, 0.9)), "beta1"),
        (lambda: optim.RMSprop([leaf([1.0])], eps=-1.0), "eps"),
        (lambda: optim.SGD([{"params": [leaf([1.0])], "rate": 1}]), "rate"),
    ],
)
def test_impossible_options_are_named(make, words):
    """Each refusal names the optimizer and the argument."""
    with pytest.raises(ArgumentError, match=words):
        make()


def test_a_parameter_in_two_places_is_refused():
    """The same Tensor twice, in one group or in two, would be updated twice."""
    a = leaf([1.0])
    for params in ([a, a], [{"params": [a]}, {"params": [a]}]):
        with pytest.raises(ArgumentError, match="two places"):
            optim.SGD(params)


def test_a_state_of_other_parameters_is_refused():
    """Groups of another size, and arrays of another shape, do not load."""
    a, b = leaf([1.0]), leaf([1.0, 2.0])
    optimizer = optim.Adam([a])
    (a * 2.0).sum().backward()
    optimizer.step()
    with pytest.raises(ArgumentError, match=r"\[1\].*\[2\]"):
        optim.Adam([a, b]).load_state_dict(optimizer.state_dict())
    with pytest.raises(ShapeError, match="exp_avg"):
        optim.Adam([b]).load_state_dict(optimizer.state_dict())
