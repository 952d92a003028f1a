"""Parameter groups, options that change, state that is saved, and what is refused."""

from __future__ import annotations

import copy
import inspect
import json

import numpy as np
import pytest
from reference import optimizers as reference

import tinygrad_course as tc
from tinygrad_course import nn, optim
from tinygrad_course.errors import ArgumentError, ShapeError

OPTIMIZERS = pytest.mark.parametrize("name", reference.RULES)
ALL = [getattr(optim, kind) for kind in reference.KINDS]
KINDS = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
ELEMENTWISE = pytest.mark.parametrize(
    "kind", [kind for kind in ALL if kind.elementwise], ids=lambda kind: kind.__name__
)


def build(name, params):
    kind, options = reference.RULES[name]
    return getattr(optim, kind)(params, **options)


def leaf(data, dtype=float):
    return tc.Tensor(np.array(data, dtype), requires_grad=True)


def descend(parameters, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        sum(((p - 3.0) ** 2 + tc.sin(p)).sum() for p in parameters).backward()
        optimizer.step()


# ---- groups ----------------------------------------------------------------------------------


@OPTIMIZERS
def test_groups_are_optimizers_of_their_own(name):
    """Two groups with two rates move as two optimizers with these rates."""
    together, apart = ([leaf([1.0, 2.0]), leaf([[0.5]])] for _ in range(2))
    kind, options = reference.RULES[name]
    kind = getattr(optim, kind)
    joint = kind([{"params": together[:1]}, {"params": together[1], "lr": 0.003}], **options)
    assert [group["lr"] for group in joint.param_groups] == [options["lr"], 0.003]
    descend(together, joint, 5)
    descend(apart[:1], kind(apart[:1], **options), 5)
    descend(apart[1:], kind(apart[1:], **(options | {"lr": 0.003})), 5)
    for a, b in zip(together, apart, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize(
    "name", [n for n, (kind, _) in reference.RULES.items() if kind not in {"ASGD", "Rprop"}]
)
def test_a_changed_rate_counts_from_the_next_step(name):
    """lr=0 written into the group stops the parameter at once, and another value moves it again."""
    p = leaf([1.0, 2.0])
    optimizer = build(name, [p])
    descend([p], optimizer, 2)
    before = p.data.copy()
    optimizer.param_groups[0]["lr"] = 0.0
    descend([p], optimizer, 1)
    np.testing.assert_array_equal(p.data, before)
    optimizer.param_groups[0]["lr"] = 0.1
    descend([p], optimizer, 1)
    assert (p.data != before).all()


def test_a_changed_rate_has_exactly_its_effect():
    """Plain gradient descent moves by the rate of each step times the gradient."""
    p = leaf([1.0])
    optimizer = optim.SGD([p], lr=0.5)
    p.grad = np.array([1.0])
    seen = []
    for rate in (0.5, 0.25, 2.0):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        seen.append(p.item())
    assert seen == [0.5, 0.25, -1.75]


def test_a_group_can_be_added_later():
    """A new group takes the defaults it does not set, and its parameters move from then on."""
    first, second = leaf([1.0]), leaf([1.0])
    optimizer = optim.SGD([first], lr=0.5, weight_decay=0.25)
    optimizer.add_param_group({"params": second, "lr": 1.0})
    assert optimizer.param_groups[1]["weight_decay"] == 0.25
    first.grad = second.grad = np.array([0.0])
    optimizer.step()
    assert [first.item(), second.item()] == [0.875, 0.75]


@ELEMENTWISE
def test_the_text_shows_every_group(kind):
    """repr has the class, each group's options and its number of parameters."""
    optimizer = kind([{"params": [leaf([1.0])], "lr": 0.125}, {"params": [leaf(1.0), leaf(2.0)]}])
    text = repr(optimizer)
    assert text.startswith(f"{kind.__name__}(lr=0.125, ")
    assert "1 parameters; lr=" in text
    assert text.endswith("2 parameters)")


def test_zero_grad_forgets_or_fills():
    """Gradients become None; on request those that exist become zeros in place."""
    used, unused = leaf([1.0, 2.0]), leaf([1.0])
    optimizer = optim.SGD([{"params": [used]}, {"params": [unused]}])
    (used * used).sum().backward()
    memory = used.grad
    optimizer.zero_grad(set_to_none=False)
    assert used.grad is memory
    assert memory.tolist() == [0, 0]
    assert unused.grad is None
    optimizer.zero_grad()
    assert used.grad is None


def test_gradients_add_up_until_they_are_forgotten():
    """Without zero_grad a second backward adds to the first, as in PyTorch."""
    p = leaf([1.0])
    optimizer = optim.SGD([p], lr=1.0)
    for _ in range(2):
        (p * 3.0).sum().backward()
    optimizer.step()
    assert p.item() == -5.0


# ---- state -----------------------------------------------------------------------------------


@OPTIMIZERS
def test_a_saved_run_continues_bit_by_bit(name):
    """A run that is saved, loaded into a fresh optimizer and continued equals the unbroken one."""
    start = [[0.0, 5.0], [[1.0], [-2.0]]]
    whole = [leaf(s) for s in start]
    descend(whole, build(name, whole), 12)
    first = [leaf(s) for s in start]
    optimizer = build(name, first)
    descend(first, optimizer, 5)
    second = [leaf(p.data) for p in first]
    kind, _ = reference.RULES[name]
    resumed = getattr(optim, kind)(second, lr=99.0)
    resumed.load_state_dict(optimizer.state_dict())
    descend(first, optimizer, 3)  # neither run may disturb the other
    descend(second, resumed, 7)
    for a, b in zip(whole, second, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    descend(first, optimizer, 4)
    for a, b in zip(whole, first, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@OPTIMIZERS
def test_a_state_is_a_copy(name):
    """Steps after state_dict() do not change what it returned."""
    p = leaf([0.0, 5.0])
    optimizer = build(name, [p])
    descend([p], optimizer, 2)
    saved = optimizer.state_dict()
    before = copy.deepcopy(saved)
    descend([p], optimizer, 2)
    optimizer.param_groups[0]["lr"] = 7.0
    assert saved["param_groups"] == before["param_groups"]
    assert saved["state"].keys() == before["state"].keys()
    for key, value in saved["state"].get(0, {}).items():
        np.testing.assert_array_equal(value, before["state"][0][key], err_msg=key)


@OPTIMIZERS
def test_a_state_can_be_loaded_again_and_again(name):
    """Two optimizers that load one state go the same way, one after the other."""
    first, second, source = (leaf([0.0, 5.0]) for _ in range(3))
    optimizer = build(name, [source])
    descend([source], optimizer, 3)
    saved = optimizer.state_dict()
    for p in (first, second):
        resumed = build(name, [p])
        resumed.load_state_dict(saved)
        descend([p], resumed, 3)
    np.testing.assert_array_equal(first.data, second.data)


@OPTIMIZERS
def test_a_state_is_arrays_and_plain_values(name):
    """Options and numbering can be written as JSON, so that files need no pickle."""
    p = leaf([0.0, 5.0])
    optimizer = build(name, [p])
    descend([p], optimizer, 2)
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["params"] == [0]
    json.dumps(saved["param_groups"])
    for own in saved["state"].values():
        json.dumps({k: v for k, v in own.items() if not isinstance(v, np.ndarray)})


@ELEMENTWISE
def test_a_state_of_other_parameters_is_refused(kind):
    """Groups of another size and arrays of another shape do not load, and nothing changes."""
    a, b = leaf([1.0]), leaf([1.0, 2.0])
    source = kind([a], **({"momentum": 0.9} if kind is optim.SGD else {}))
    descend([a], source, 1)
    saved = source.state_dict()
    with pytest.raises(ArgumentError, match=rf"{kind.__name__}.*\[1\].*\[2\]"):
        kind([leaf([1.0]), leaf([1.0])]).load_state_dict(saved)
    with pytest.raises(ArgumentError, match=r"\[1\].*\[1, 1\]"):
        kind([{"params": leaf([1.0])}, {"params": leaf([1.0])}]).load_state_dict(saved)
    target = kind([b], lr=0.5)
    with pytest.raises(ShapeError, match=r"parameter 0 has shape \(1,\), the parameter \(2,\)"):
        target.load_state_dict(saved)
    assert not target.state
    assert target.param_groups[0]["lr"] == 0.5


def test_a_state_of_another_optimizer_is_refused():
    """Options that do not exist here are named, and nothing changes."""
    source, target = optim.Adam([leaf([1.0])]), optim.SGD([leaf([1.0])], lr=0.5)
    with pytest.raises(ArgumentError, match=r"group 0 of the state .*'betas'.*another optimizer"):
        target.load_state_dict(source.state_dict())
    assert target.param_groups[0]["lr"] == 0.5
    with pytest.raises(ArgumentError, match=r"\['param_groups'\] is missing"):
        target.load_state_dict({"state": {}})
    bad = target.state_dict()
    bad["param_groups"][0]["lr"] = -1.0
    with pytest.raises(ArgumentError, match="SGD: lr"):
        target.load_state_dict(bad)


@OPTIMIZERS
def test_a_state_can_pass_through_json(name):
    """What is not an array survives JSON, whose tuples are lists and whose keys are texts."""
    p, other = leaf([0.0, 5.0]), leaf([0.0, 5.0])
    optimizer, resumed = build(name, [p]), build(name, [other])
    descend([p], optimizer, 3)
    other.data[...] = p.data
    saved = optimizer.state_dict()
    arrays = {k: v for k, v in saved["state"].get(0, {}).items() if isinstance(v, np.ndarray)}
    numbers = {k: v for k, v in saved["state"].get(0, {}).items() if k not in arrays}
    text = json.dumps({"groups": saved["param_groups"], "numbers": numbers})
    read = json.loads(text)
    state = {"0": {**read["numbers"], **arrays}} if saved["state"] else {}
    resumed.load_state_dict({"state": state, "param_groups": read["groups"]})
    descend([p], optimizer, 3)
    descend([other], resumed, 3)
    np.testing.assert_array_equal(p.data, other.data)


def test_a_loaded_state_takes_the_dtype_of_its_parameter():
    """State that was saved in float64 serves a float32 parameter as float32."""
    wide, narrow = leaf([1.0]), leaf([1.0], np.float32)
    source = optim.Adam([wide])
    descend([wide], source, 2)
    target = optim.Adam([narrow])
    target.load_state_dict(source.state_dict())
    assert {target.state[narrow][key].dtype for key in ("exp_avg", "exp_avg_sq")} == {
        np.dtype(np.float32)
    }
    assert target.state[narrow]["step"] == 2


# ---- refusals --------------------------------------------------------------------------------


@KINDS
def test_parameters_must_be_leaves_that_require_grad(kind):
    """Everything else is refused with its number and the optimizer's name."""
    good, name = leaf([1.0]), kind.__name__
    for bad in (tc.Tensor([1.0]), leaf([1.0]) * 2.0, np.ones(2), 3.0, nn.Linear(2, 1)):
        with pytest.raises(ArgumentError, match=f"{name}: parameter 1 of group 0 is not a leaf"):
            kind([good, bad])
    with pytest.raises(ArgumentError, match=rf"{name}: .*pass a list"):
        kind(good)


@KINDS
def test_no_parameters_are_refused(kind):
    """An empty list, or a generator that is used up, is refused with that guess."""
    parameters = nn.Linear(2, 1).parameters()
    assert len(list(parameters)) == 2
    for nothing in ([], (), parameters):
        with pytest.raises(ArgumentError, match=rf"{kind.__name__}: got no parameters.*used up"):
            kind(nothing)


@ELEMENTWISE
def test_a_parameter_in_two_places_is_refused(kind):
    """One Tensor twice in a group, in two groups or in an added one would move twice."""
    p = leaf([1.0, 2.0])
    with pytest.raises(ArgumentError, match=r"1 of group 0 \(shape \(2,\)\) stands in two places"):
        kind([p, p])
    with pytest.raises(
        ArgumentError, match="0 of group 1 .* two places: .* parameter 0 of group 0"
    ):
        kind([{"params": [p]}, {"params": p}])
    optimizer = kind([p])
    with pytest.raises(ArgumentError, match="of group 1.*two places"):
        optimizer.add_param_group({"params": [p]})
    assert len(optimizer.param_groups) == 1


@KINDS
@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf")])
def test_rates_must_be_finite_and_not_negative(kind, value):
    """lr and weight_decay are refused by name, with their value."""
    known = inspect.signature(kind).parameters
    for option in {"lr", "weight_decay"} & set(known):
        with pytest.raises(ArgumentError, match=f"{kind.__name__}: {option} .* got {value!r}"):
            kind([leaf([1.0])], **{option: value})


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (optim.SGD, {"momentum": -0.1}, "SGD: momentum"),
        (optim.SGD, {"nesterov": True}, "SGD: nesterov needs momentum"),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "dampening = 0"),
        (optim.RMSprop, {"eps": -1.0}, "RMSprop: eps"),
        (optim.RMSprop, {"alpha": -0.1}, "RMSprop: alpha"),
        (optim.RMSprop, {"momentum": -0.1}, "RMSprop: momentum"),
        (optim.Adam, {"eps": -1.0}, "Adam: eps"),
        (optim.AdamW, {"eps": -1.0}, "AdamW: eps"),
        (optim.Adam, {"betas": 0.9}, "Adam: betas must be 2 numbers, got 0.9"),
        (optim.Adam, {"betas": ("a", 0.9)}, "Adam: betas must be 2 numbers"),
        (optim.Adagrad, {"lr_decay": -1.0}, "Adagrad: lr_decay"),
        (optim.Adagrad, {"initial_accumulator_value": -1.0}, "initial_accumulator_value"),
        (optim.Adadelta, {"rho": 1.5}, "Adadelta: rho must lie in .0, 1., got 1.5"),
        (optim.Adadelta, {"rho": -0.5}, "Adadelta: rho"),
        (optim.Adamax, {"betas": (0.9, 1.0)}, "Adamax: beta2"),
        (optim.NAdam, {"momentum_decay": -1.0}, "NAdam: momentum_decay"),
        (optim.RAdam, {"betas": (0.9, 1.0)}, "RAdam: beta2"),
        (optim.ASGD, {"t0": -1.0}, "ASGD: t0"),
        (optim.Rprop, {"etas": (1.2, 0.5)}, "Rprop: etas must be 0 < η⁻ < 1 < η⁺"),
        (optim.Rprop, {"step_sizes": (1.0, 0.1)}, "Rprop: step_sizes"),
        (optim.Rprop, {"step_sizes": (1.0,)}, "Rprop: step_sizes must be 2 numbers"),
        (optim.Lion, {"betas": (0.9, 1.0)}, "Lion: beta2"),
        (optim.Adam, {"betas": (1.0, 0.9)}, "Adam: beta1 .* got 1.0"),
        (optim.Adam, {"betas": (0.9, -0.1)}, "Adam: beta2 .* got -0.1"),
    ],
)
def test_impossible_options_are_named(kind, options, words):
    """Each refusal names the optimizer and the option."""
    with pytest.raises(ArgumentError, match=words):
        kind([leaf([1.0])], **options)


@KINDS
def test_unknown_options_of_a_group_are_named(kind):
    """A misspelt option of a group is refused beside the ones that exist."""
    with pytest.raises(ArgumentError, match=r"group 0 has unknown options \['rate'\].*'lr'"):
        kind([{"params": [leaf([1.0])], "rate": 1}])


@pytest.mark.parametrize(
    "make",
    [
        lambda: optim.SGD([{"lr": 0.1}]),
        lambda: optim.SGD([{"params": []}]),
        lambda: optim.SGD([{"params": [leaf([1.0])], "lr": -1.0}]),
        lambda: optim.Adam([{"params": [leaf([1.0])], "betas": (2.0, 0.9)}]),
        lambda: optim.SGD([leaf([1.0])], momentum=0.9, dampening=float("nan")),
        lambda: optim.Adam([leaf([1.0])], betas=(0.9,)),
        lambda: optim.SGD([leaf([1.0])], lr="0.1"),
        lambda: optim.SGD([{"params": [leaf([1.0])]}, leaf([1.0])]),
    ],
    ids=["none", "empty", "group lr", "group betas", "dampening", "one beta", "text", "mixed"],
)
def test_groups_and_options_that_cannot_work_are_refused(make):
    """What would fail or diverge later is refused where it is given."""
    with pytest.raises(ArgumentError):
        make()
