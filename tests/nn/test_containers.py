"""Sequential, ModuleList and ModuleDict: PyTorch's list and dict methods, names and refusals."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError


def parts():
    return [nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)]


def named():
    first, second, third = parts()
    return nn.Sequential(OrderedDict([("hidden", first), ("act", second), ("out", third)]))


def names(module):
    return [name for name, _ in module.named_parameters()]


# ---- Sequential ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_a_dict_names_the_layers(kind):
    """The keys are the names in the state, in the text and as attributes."""
    first, second, _ = parts()
    model = nn.Sequential(kind(hidden=first, act=second))
    assert names(model) == ["hidden.weight", "hidden.bias"]
    assert model.hidden is first
    assert model[1] is model.act is second
    assert "(hidden): Linear(2, 3)" in repr(model)
    np.testing.assert_array_equal(model(np.ones((1, 2))).data, second(first(np.ones((1, 2)))).data)


def test_a_named_sequential_is_copied_with_its_names():
    """deepcopy and pickle keep names, and an unknown name is an AttributeError."""
    model = named()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert names(other) == names(model)
        assert other.hidden is other[0]
        with pytest.raises(AttributeError, match="no layer 'missing'"):
            _ = other.missing


def test_layers_are_appended_inserted_and_removed():
    """append, extend and insert return the model; the numbers follow the order."""
    a, b, c = parts()
    model = nn.Sequential()
    assert model.append(a).extend([c]).insert(1, b) is model
    assert list(model) == [a, b, c]
    assert names(model) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert model.pop(0) is a
    assert names(model) == ["1.weight", "1.bias"]
    del model[0]
    assert list(model) == [c]
    model[0] = b
    assert list(model) == [b]
    assert b in model
    assert c not in model
    model.insert(-1, a).insert(2, c)
    assert list(model) == [a, b, c]


def test_names_follow_what_is_removed_and_appended():
    """A named model keeps the names of the layers that stay; an appended one has its number."""
    model = named()
    model.append(nn.Linear(1, 1))
    assert names(model)[-1] == "3.bias"
    del model[1]
    assert [n for n, _ in model.named_children()] == ["hidden", "out", "3"]
    assert [n for n, _ in model[1:].named_children()] == ["out", "3"]
    assert model[:1].hidden is model[0]


def test_sequentials_are_added():
    """The sum of two has the layers of both, shared."""
    left, right = nn.Sequential(*parts()), nn.Sequential(nn.Tanh())
    both = left + right
    assert list(both) == [*left, *right]
    assert len(left) == 3
    tail = [nn.Tanh()]
    with pytest.raises(TypeError):
        left + tail


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.Sequential(np.tanh), "argument 0 is ufunc, not a Module"),
        (lambda: nn.Sequential(nn.Tanh(), nn.ReLU), "argument 1 is ReLU, a class"),
        (lambda: nn.Sequential().append(3), "what is appended is int"),
        (lambda: nn.Sequential().insert(0, None), "what is inserted is NoneType"),
        (lambda: nn.Sequential().insert(1, nn.Tanh()), "no place 1 in 0 layers"),
        (lambda: named().insert(0, nn.Tanh()), "these layers have names"),
        (lambda: nn.ModuleList([nn.Tanh(), "x"]), "ModuleList: argument 1 is str"),
        (lambda: nn.ModuleDict({"a": 1.0}), "ModuleDict: 'a' is float"),
    ],
)
def test_what_is_no_module_is_refused(call, words):
    """The refusal names the container, the place and what came."""
    with pytest.raises(ArgumentError, match=words):
        call()


# ---- ModuleList ------------------------------------------------------------------------------


def test_a_module_list_is_a_list():
    """PyTorch's list methods do what lists do, and slices are ModuleLists."""
    a, b, c = parts()
    modules = nn.ModuleList([a])
    modules.append(c).extend([b])
    modules.insert(1, b)
    assert list(modules) == [a, b, c, b]
    assert modules.pop() is b
    assert modules[-1] is c
    assert isinstance(modules[1:], nn.ModuleList)
    assert list(modules[1:]) == [b, c]
    tail = [a]
    assert list(modules + tail) == [a, b, c, a]
    modules[1] = a
    del modules[0]
    assert list(modules) == [a, c]
    assert len(modules) == 2
    assert a in modules
    assert len(nn.ModuleList()) == 0


def test_the_modules_of_a_list_are_found():
    """Parameters have PyTorch's names, modes reach the modules, and a list has no forward."""

    class Net(nn.Module):
        def __init__(self):
            self.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Dropout()])

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return x

    net = Net().eval()
    assert names(net) == ["blocks.0.weight", "blocks.0.bias"]
    assert not net.blocks[1].training
    assert net(np.ones((1, 2))).shape == (1, 2)
    with pytest.raises(NotImplementedError, match="ModuleList defines no forward"):
        net.blocks(1.0)


# ---- ModuleDict ------------------------------------------------------------------------------


def test_a_module_dict_is_a_dict():
    """Keys stay in order; update, pop, clear and deletion do what those of a dict do."""
    a, b, c = parts()
    modules = nn.ModuleDict({"a": a})
    modules.update(nn.ModuleDict([("b", b)]))
    modules["c"] = c
    assert list(modules) == list(modules.keys()) == ["a", "b", "c"]
    assert list(modules.values()) == [a, b, c]
    assert dict(modules.items()) == {"a": a, "b": b, "c": c}
    assert modules.pop("b") is b
    assert "b" not in modules
    assert names(modules) == ["a.weight", "a.bias", "c.weight", "c.bias"]
    del modules["a"]
    assert len(modules) == 1
    modules.clear()
    assert names(modules) == []


def test_a_module_dict_keeps_keys_apart_from_its_methods():
    """A module may be called like a method or like anything else."""
    modules = nn.ModuleDict({"keys": nn.Linear(1, 1), "training": nn.ReLU()})
    assert list(modules.keys()) == ["keys", "training"]
    assert modules.training is True
    assert names(modules) == ["keys.weight", "keys.bias"]


def test_a_subclass_may_hold_more():
    """Parameters beside the modules are found, in lists and dicts as in Sequential."""

    class Scaled(nn.ModuleDict):
        def __init__(self):
            super().__init__({"a": nn.Linear(1, 1, bias=False)})
            self.scale = nn.Parameter([1.0])

    class ScaledList(nn.ModuleList):
        def __init__(self):
            super().__init__([nn.Linear(1, 1, bias=False)])
            self.scale = nn.Parameter([1.0])

    assert names(Scaled()) == ["scale", "a.weight"]
    assert names(ScaledList()) == ["scale", "0.weight"]
