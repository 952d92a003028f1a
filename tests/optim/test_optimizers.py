"""Optimizers: PyTorch's trajectories, one rule on two carriers, one dtype throughout."""

from __future__ import annotations

import inspect
from importlib.util import find_spec

import numpy as np
import pytest
from reference import optimizers as reference
from reference.comparing import close

import tinygrad_course as tc
from tinygrad_course import nn, optim
from tinygrad_course.errors import ModifiedValueError

PROBLEM, ANSWERS = reference.answers()

OPTIMIZERS = pytest.mark.parametrize("name", reference.OPTIMIZERS)
RULES = pytest.mark.parametrize("name", reference.RULES)
ELEMENTWISE = sorted({kind for kind, _ in reference.RULES.values()})
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


def build(name, params, **changes):
    kind, options = reference.OPTIMIZERS[name]
    return getattr(optim, kind)(params, **(options | changes))


def options_of(optimizer):
    return {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}


def leaf(data, dtype=float):
    return tc.Tensor(np.array(data, dtype), requires_grad=True)


def descend(parameters, optimizer, steps):
    """Follow a loss whose gradient changes with every step and every element."""
    for _ in range(steps):
        optimizer.zero_grad()
        sum(((p - 3.0) ** 2 + tc.sin(p)).sum() for p in parameters).backward()
        optimizer.step()


def follow(name, problem, points):
    """Train the small network of the reference and compare every stored point."""
    params = {key: leaf(problem[key]) for key in reference.PARAMETERS}
    moved = reference.moved(reference.OPTIMIZERS[name][0], problem)
    optimizer = build(name, [params[key] for key in moved])

    def closure():
        optimizer.zero_grad()
        hidden = tc.tanh(tc.linear(problem["x"], params["w1"], params["b1"]))
        scores = tc.linear(hidden, params["w2"], params["b2"])
        loss = nn.functional.cross_entropy(scores, problem["y"])
        loss = loss + reference.PENALTY * sum((p * p).sum() for p in params.values())
        loss.backward()
        return loss

    for step in range(1, reference.STEPS + 1):
        loss = optimizer.step(closure)
        if str(step) in points:
            point = points[str(step)]
            close(loss.data, point["loss"], f"loss at step {step}")
            for key, p in params.items():
                close(p.data, point[key], f"{key} after step {step}")


@OPTIMIZERS
def test_an_optimizer_takes_the_stored_path_of_pytorch(name):
    """A hundred steps on a tanh network pass through PyTorch's points, to 1e-10."""
    assert [int(step) for step in ANSWERS[name]] == list(reference.STORED_STEPS)
    follow(name, PROBLEM, ANSWERS[name])


@needs_torch
@OPTIMIZERS
def test_an_optimizer_takes_pytorchs_path_on_a_fresh_problem(name):
    """The agreement does not depend on the stored problem."""
    problem = reference.classification(1002)
    follow(name, problem, reference.torch_trajectory(name, problem))


def test_every_optimizer_is_in_the_table():
    """A new optimizer cannot be forgotten here."""
    kinds = {kind for kind in vars(optim).values() if isinstance(kind, type)}
    ours = {kind.__name__ for kind in kinds if issubclass(kind, optim.Optimizer)}
    assert ours - {"Optimizer"} == set(reference.KINDS)


@needs_torch
@pytest.mark.parametrize("kind", sorted(set(reference.KINDS) - {"Lion"}))
def test_options_have_pytorchs_names_order_and_defaults(kind):
    """Every option is PyTorch's, but for those that only we have or only PyTorch has."""
    import torch

    theirs = inspect.signature(getattr(torch.optim, kind)).parameters
    ours = inspect.signature(getattr(optim, kind)).parameters
    left_out = {"foreach", "fused", "capturable", "differentiable"}
    assert set(ours) - set(theirs) == reference.EXTRA.get(kind, set())
    assert set(theirs) - set(ours) <= left_out
    shared = [key for key in theirs if key in ours]
    positional = [k for k in shared if ours[k].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert [k for k in ours if k in positional] == positional
    for key in shared:
        assert ours[key].default == theirs[key].default, key


RATES = {
    "ASGD": 0.1,
    "Adadelta": 20.0,
    "Adagrad": 1.0,
    "Adam": 0.1,
    "AdamW": 0.1,
    "Adamax": 0.3,
    "Lion": 0.1,
    "NAdam": 0.1,
    "RAdam": 0.3,
    "RMSprop": 0.1,
    "Rprop": 0.1,
    "SGD": 0.1,
}


@pytest.mark.parametrize("climb", [False, True])
@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_every_optimizer_descends_or_climbs(kind, climb):
    """A function of many scales is brought to its minimum, or its negative to its maximum."""
    target = np.array([3.0, -1.0, 0.5])
    parameter = leaf([0.0, 0.0, 0.0])
    options = {"weight_decay": 0.0} if kind == "AdamW" else {}
    optimizer = getattr(optim, kind)([parameter], lr=RATES[kind], maximize=climb, **options)
    for step in range(600):
        optimizer.param_groups[0]["lr"] = RATES[kind] * 0.99**step
        optimizer.zero_grad()
        loss = ((parameter - target) ** 2 * np.array([1.0, 2.0, 0.5])).sum()
        (-loss if climb else loss).backward()
        optimizer.step()
    np.testing.assert_allclose(parameter.data, target, atol=1e-2)


@pytest.mark.parametrize("kind", reference.KINDS)
def test_step_returns_the_loss_of_its_closure(kind):
    """The closure runs with recording on, before the step, and its result comes back."""
    p = leaf([[1.0, -2.0]])
    optimizer = getattr(optim, kind)([p], lr=0.01)
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        seen.append(p.data.copy())
        return loss

    with tc.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 5.0
    np.testing.assert_array_equal(seen[0], [[1.0, -2.0]])
    assert (p.data != seen[0]).all()
    if kind != "LBFGS":
        assert optimizer.step() is None


# ---- one rule, two carriers ------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 2), (4,), (1,)], ids=str)
@RULES
def test_a_rule_gives_the_same_bits_on_arrays_and_on_tensors(name, shape):
    """Parameter and state agree after every step, whichever carrier the rule runs on."""
    rng = np.random.default_rng(0)
    optimizer = build(name, [leaf([0.0])])
    hyper = options_of(optimizer)
    array, array_state = rng.normal(size=shape), {}
    tensor, tensor_state = tc.Tensor(array.copy()), {}
    memory = tensor.data
    for _ in range(5):
        g = rng.normal(size=shape)
        given = tc.Tensor(g.copy())
        optimizer.update(array, g.copy(), array_state, **hyper)
        with tc.no_grad():
            optimizer.update(tensor, given, tensor_state, **hyper)
        np.testing.assert_array_equal(array, tensor.data)
        np.testing.assert_array_equal(given.data, g)
        assert array_state.keys() == tensor_state.keys()
        for key, value in tensor_state.items():
            assert isinstance(value, tc.Tensor) == isinstance(array_state[key], np.ndarray)
            plain = value.data if isinstance(value, tc.Tensor) else value
            np.testing.assert_array_equal(plain, array_state[key], err_msg=key)
    assert tensor.data is memory


@RULES
def test_a_rule_runs_on_the_parameters_themselves(name):
    """Under no_grad the rule updates leaves that require grad, with the bits of step()."""
    stepped, ruled = leaf([1.0, -2.0]), leaf([1.0, -2.0])
    optimizer, state = build(name, [stepped]), {}
    for number in range(4):
        g = np.array([0.5, 0.25]) * (number + 1)
        stepped.grad = g
        optimizer.step()
        with tc.no_grad():
            optimizer.update(ruled, tc.Tensor(g), state, **options_of(optimizer))
    np.testing.assert_array_equal(ruled.data, stepped.data)
    assert ruled.requires_grad
    assert ruled.is_leaf


@RULES
def test_a_parameter_without_axes_is_like_one_of_one_element(name):
    """Shapes () and (1,) take the same path."""
    flat, scalar = leaf([1.0]), leaf(1.0)
    for p in (flat, scalar):
        descend([p], build(name, [p]), 8)
    assert scalar.shape == ()
    assert scalar.item() == flat.item()


@RULES
def test_gradients_are_read_and_not_changed(name):
    """step() leaves a gradient as it was, also one that several steps are made with."""
    p = leaf([1.0, -2.0])
    optimizer = build(name, [p])
    p.grad = np.array([0.5, 0.25])
    for _ in range(3):
        optimizer.step()
        assert p.grad.tolist() == [0.5, 0.25]


# ---- dtype -----------------------------------------------------------------------------------


def widened(options, scalar):
    return {
        key: tuple(map(scalar, value))
        if isinstance(value, tuple)
        else (value if isinstance(value, bool) else scalar(value))
        for key, value in options.items()
    }


NUMBERS = [
    pytest.param(name, scalar, id=f"{name}, {scalar.__name__}")
    for name in reference.RULES
    for scalar in (float, np.float64, np.float32, np.array)
]


@pytest.mark.parametrize(("name", "scalar"), NUMBERS)
def test_float32_parameters_stay_float32(name, scalar):
    """Whatever numbers the options are, parameter and state stay float32, with the same bits."""
    options = widened(reference.RULES[name][1], scalar)
    start = np.random.default_rng(0).normal(size=100) * 3
    parameter, plain = (leaf(start, np.float32) for _ in range(2))
    optimizer = build(name, [parameter], **options)
    descend([parameter], optimizer, 4)
    descend([plain], build(name, [plain], **widened(options, float)), 4)
    assert parameter.dtype == parameter.grad.dtype == np.float32
    kept = [v for v in optimizer.state.get(parameter, {}).values() if isinstance(v, np.ndarray)]
    assert {v.dtype for v in kept} <= {np.dtype(np.float32)}
    np.testing.assert_array_equal(parameter.data, plain.data)


@RULES
def test_a_schedule_of_numpy_scalars_does_not_upcast(name):
    """A float64 scalar written into the group changes no dtype and gives the float's bits."""
    first, second = leaf([1.0, 2.0], np.float32), leaf([1.0, 2.0], np.float32)
    for parameter, kind in ((first, np.float64), (second, float)):
        optimizer = build(name, [parameter])
        for rate in np.linspace(0.1, 0.01, 4):
            optimizer.param_groups[0]["lr"] = kind(rate)
            descend([parameter], optimizer, 1)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first.data, second.data)


@RULES
def test_a_float32_model_trains_in_float32(name):
    """Through layers, loss and optimizer everything that is kept stays float32."""
    tc.seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = build(name, model.parameters(), lr=np.float64(0.01))
    x = np.random.default_rng(0).normal(size=(8, 3))
    for _ in range(3):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(x), np.arange(8) % 2)
        loss.backward()
        optimizer.step()
    assert loss.dtype == np.float32
    kept = [p.data for p in model.parameters()] + [p.grad for p in model.parameters()]
    kept += [v for s in optimizer.state.values() for v in s.values() if isinstance(v, np.ndarray)]
    assert {array.dtype for array in kept} == {np.dtype(np.float32)}


# ---- what an update touches ------------------------------------------------------------------


@RULES
def test_an_update_is_in_place(name):
    """The parameter keeps its array, so that views and recordings of it stay valid."""
    p = leaf([1.0, 2.0])
    memory = p.data
    descend([p], build(name, [p]), 2)
    assert p.data is memory


@RULES
def test_an_update_between_forward_and_backward_is_noticed(name):
    """Backward refuses to use a weight that a step changed, and names the step."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    optimizer = build(name, model.parameters())
    first, second = (model(np.ones((4, 2))).sum() for _ in range(2))
    first.backward()
    optimizer.step()
    step = f"{type(optimizer).__name__}\\.step\\(\\)"
    with pytest.raises(ModifiedValueError, match=f"linear.*{step}"):
        second.backward()


@RULES
def test_parameters_without_gradient_are_left_alone(name):
    """A parameter that took no part keeps its value and gets no state, also with weight decay."""
    used, unused = leaf([1.0]), leaf([1.0])
    optimizer = build(name, [unused, used])
    descend([used], optimizer, 2)
    assert unused.item() == 1.0
    assert unused not in optimizer.state
    assert used.item() != 1.0


def test_steps_are_counted_for_each_parameter():
    """Adam corrects the bias of a parameter by the steps that this parameter has made."""
    early, late = leaf([1.0]), leaf([1.0])
    optimizer = optim.Adam([early, late], lr=0.1)
    descend([early], optimizer, 5)
    descend([late], optimizer, 1)
    alone = leaf([1.0])
    descend([alone], optim.Adam([alone], lr=0.1), 1)
    assert late.item() == alone.item()
    assert [optimizer.state[p]["step"] for p in (early, late)] == [5, 1]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_complex_parameters_go_downhill(name):
    """A complex parameter moves as the pair of real parameters that it stands for."""
    target = np.array([1 - 2j, 0.5 + 1j])
    z = tc.Tensor(np.array([0.3 + 0.1j, -1 + 2j]), requires_grad=True)
    pair = tc.Tensor(np.stack([z.data.real, z.data.imag], -1), requires_grad=True)
    optimizers = [getattr(tc.optim, name)([p], lr=0.05) for p in (z, pair)]
    goal = np.stack([target.real, target.imag], -1)
    for _ in range(20):
        for optimizer in optimizers:
            optimizer.zero_grad()
        (np.abs(z - target) ** 2).sum().backward()
        ((pair - goal) ** 2).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
    np.testing.assert_allclose(z.data.real, pair.data[:, 0], rtol=1e-12)
    np.testing.assert_allclose(z.data.imag, pair.data[:, 1], rtol=1e-12)
    assert np.all(np.abs(z.data - target) < np.abs(np.array([0.3 + 0.1j, -1 + 2j]) - target))
