"""Hooks before and after forward, finding parts by path, and errors that name the layer."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, ShapeError


def model():
    return nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))


X = np.ones((4, 2), np.float32)

# ---- hooks -----------------------------------------------------------------------------------


def test_a_hook_sees_inputs_and_output():
    """A forward hook is called with the module, the tuple of inputs and the output."""
    net, seen = model(), []
    net[0].register_forward_hook(lambda *given: seen.append(given))
    out = net(X)
    ((module, inputs, output),) = seen
    assert module is net[0]
    assert inputs == (X,)
    assert output.shape == (4, 3)
    assert out.shape == (4, 1)


def test_what_a_hook_returns_takes_the_place_of_the_output():
    """None leaves the output alone, anything else replaces it, and is recorded."""
    layer = nn.Identity()
    layer.register_forward_hook(lambda _m, _xs, _y: None)
    layer.register_forward_hook(lambda _m, _xs, y: y * 2)
    layer.register_forward_hook(lambda _m, _xs, y: y + 1)
    x = tc.Tensor([1.0, 5.0], requires_grad=True)
    out = layer(x)
    out.sum().backward()
    assert out.data.tolist() == [3, 11]
    assert x.grad.tolist() == [2, 2]


def test_a_pre_hook_changes_the_inputs():
    """One value is one input, a tuple is all of them, None leaves them alone."""
    layer = nn.Bilinear(2, 2, 1)
    a, b = np.ones((1, 2), np.float32), np.full((1, 2), 2, np.float32)
    expected = layer(b, a).data
    layer.register_forward_pre_hook(lambda _m, _xs: None)
    handle = layer.register_forward_pre_hook(lambda _m, xs: (xs[1], xs[0]))
    np.testing.assert_array_equal(layer(a, b).data, expected)
    handle.remove()
    single = nn.ReLU()
    single.register_forward_pre_hook(lambda _m, xs: -xs[0])
    assert single(np.array([-1.0, 2.0])).tolist() == [1, 0]


def test_hooks_run_in_order_and_prepended_ones_first():
    """The order is that of registration; prepend goes before all."""
    layer, order = nn.Identity(), []
    for name in "ab":
        layer.register_forward_hook(lambda *_, name=name: order.append(name))
    layer.register_forward_hook(lambda *_: order.append("first"), prepend=True)
    layer.register_forward_pre_hook(lambda *_: order.append("before"))
    layer(X)
    assert order == ["before", "first", "a", "b"]


def test_hooks_may_take_the_keywords():
    """with_kwargs adds the keyword arguments, and a pre-hook may change them."""

    class Scaled(nn.Module):
        def forward(self, x, by=1.0):
            return x * by

    layer, seen = Scaled(), []
    layer.register_forward_pre_hook(lambda _m, xs, kw: (xs, {"by": kw["by"] + 1}), with_kwargs=True)
    layer.register_forward_hook(lambda _m, _xs, kw, y: seen.append((kw, y)), with_kwargs=True)
    assert layer(2.0, by=2.0) == 6.0
    assert seen == [({"by": 3.0}, 6.0)]


def test_a_handle_removes_its_hook_alone():
    """Removing twice does no harm; the same function registered twice is two hooks."""
    layer, seen = nn.Identity(), []
    first = layer.register_forward_hook(hook := lambda *_: seen.append(1))
    second = layer.register_forward_hook(hook)
    first.remove()
    first.remove()
    layer(X)
    assert len(seen) == 1
    second.remove()
    layer(X)
    assert len(seen) == 1
    assert layer._hooks is None
    with layer.register_forward_pre_hook(lambda *_: seen.append(2)):
        layer(X)
    layer(X)
    assert seen == [1, 2]
    handle = nn.Identity().register_forward_hook(hook)
    handle.remove()  # the module is gone


def test_a_hook_may_remove_itself_while_it_runs():
    """A hook that runs once is a common pattern."""
    layer, seen = nn.Identity(), []

    def once(*_):
        seen.append(1)
        handle.remove()

    handle = layer.register_forward_hook(once)
    layer.register_forward_hook(lambda *_: seen.append(2))
    layer(X)
    layer(X)
    assert seen == [1, 2, 2]


def test_hooks_are_neither_parameters_nor_text():
    """A hook that is itself a module, or holds Tensors, adds nothing to the state."""
    net = model()
    names, text = list(net.state_dict()), repr(net)
    probe = nn.Linear(3, 3)
    net[0].register_forward_hook(lambda _m, _xs, y: probe(y))
    net[0].register_forward_pre_hook(nn.Identity())
    assert list(net.state_dict()) == names
    assert repr(net) == text
    assert len(list(net.modules())) == 5


def test_a_copied_module_has_hooks_of_its_own():
    """Removing a hook of a copy leaves the original's."""
    layer, seen = nn.Identity(), []
    layer.register_forward_hook(lambda *_: seen.append(1))
    other = copy.deepcopy(layer)
    other(X)
    assert len(seen) == 1
    other._hooks.after.clear()
    layer(X)
    assert len(seen) == 2


def test_an_error_in_a_hook_leaves_the_place_in_order():
    """After the error, operations are recorded outside of the module again."""
    layer = nn.Identity()
    handle = layer.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        layer(X)
    handle.remove()
    y = tc.Tensor([1.0], requires_grad=True) * 2
    assert y._node.scope.modules() == []


def test_what_cannot_be_called_is_no_hook():
    """The refusal names the module and what came."""
    with pytest.raises(ArgumentError, match="Identity: a hook must be a function, got 3"):
        nn.Identity().register_forward_hook(3)


# ---- parts by path ---------------------------------------------------------------------------


def test_parts_are_found_by_their_paths():
    """get_submodule, get_parameter and get_buffer take the names of named_* and of aliases."""

    class Net(nn.Module):
        def __init__(self):
            self.blocks = [nn.Linear(2, 2), {"norm": nn.BatchNorm1d(2)}]
            self.again = self.blocks[0]

    net = Net()
    for name, module in net.named_modules():
        assert net.get_submodule(name) is module
    for name, parameter in net.named_parameters():
        assert net.get_parameter(name) is parameter
    for name, buffer in net.named_buffers():
        assert net.get_buffer(name) is buffer
    assert net.get_parameter("again.weight") is net.blocks[0].weight
    assert list(net.children()) == [net.blocks[0], net.blocks[1]["norm"], net.again]
    assert len(list(net.buffers())) == 3


@pytest.mark.parametrize(
    ("method", "target", "words"),
    [
        ("get_submodule", "2", "Sequential: there is no module '2'; it holds 0, 1"),
        ("get_submodule", "0.weight", "Linear: there is no module 'weight'; it holds nothing"),
        (
            "get_parameter",
            "0.scale",
            "Linear: there is no parameter 'scale'; it holds weight, bias",
        ),
        ("get_parameter", "1", "there is no parameter '1'"),
        ("get_buffer", "0.weight", "there is no buffer 'weight'"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(method, target, words):
    """The message says where the path ended and what there is."""
    with pytest.raises(ArgumentError, match=words):
        getattr(model(), method)(target)


def test_parts_are_held_by_name():
    """PyTorch's methods for setting attributes do what setting them does."""
    net = nn.Module()
    net.add_module("layer", nn.Linear(1, 1))
    net.register_module("act", nn.ReLU())
    net.register_parameter("scale", nn.Parameter([1.0]))
    net.register_parameter("shift", None)
    net.register_buffer("count", np.zeros(1))
    net.register_buffer("cache", np.zeros(2), persistent=False)
    net.register_buffer("nothing", None)
    assert list(net.state_dict()) == ["scale", "layer.weight", "layer.bias", "count"]
    assert net.cache.shape == (2,)
    assert net.nothing is net.shift is None
    assert net.act is net.get_submodule("act")


# ---- errors name the layer -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "x", "words"),
    [
        (
            nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(4, 1))),
            X,
            r"^linear in Sequential > Sequential > Linear: .*\[layer 1\.1: Linear\(4, 1\)\]$",
        ),
        (
            nn.Sequential(nn.Flatten(3, 4)),
            X,
            r"^Flatten in Sequential > Flatten: .*\[layer 0: Flatten\(start_dim=3, end_dim=4\)\]$",
        ),
        (nn.Linear(3, 3), X, r"^linear in Linear: got shapes \(4, 2\)"),
    ],
)
def test_a_shape_error_names_the_layer_by_its_path(net, x, words):
    """Classes from outside in, then the path and the options; a layer alone has no path."""
    with pytest.raises(ShapeError, match=words) as caught:
        net(x)
    assert str(caught.value).count(f" in {type(net).__name__}") == 1
    assert str(caught.value).count("[layer") == (type(net) is nn.Sequential)


def test_an_error_of_the_models_own_is_completed():
    """A message without an operation in front gets the place at its end."""

    class Picky(nn.Module):
        def forward(self, x):
            raise ShapeError(f"please bring cake, not {np.shape(x)}")

    with pytest.raises(ShapeError) as caught:
        nn.Sequential(Picky())(X)
    expected = "please bring cake, not (4, 2) (in Sequential > Picky) [layer 0: Picky()]"
    assert str(caught.value) == expected


def test_an_error_outside_of_modules_names_none():
    """Without a module running, the message is the operation's alone."""
    with pytest.raises(ShapeError, match=r"^linear: got shapes"):
        nn.functional.linear(X, np.ones((3, 3)))
