"""Modules: what they hold and under which names, their modes, copies, dtype and text."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import DtypeError


class Nested(nn.Module):
    """Parameters in attributes, lists, tuples, dicts and submodules, some of them twice."""

    def __init__(self):
        self.entry = nn.Linear(2, 2)
        self.scale = nn.Parameter([1.0, 2.0])
        self.blocks = [nn.Linear(2, 2), {"gate": nn.Linear(2, 1, bias=False)}]
        self.pair = (nn.Parameter([3.0]), nn.Parameter([4.0]))
        self.heads = {"a": nn.Sequential(nn.Sequential(nn.Linear(2, 1))), "b": nn.BatchNorm1d(2)}
        self.again = self.blocks[0]
        self.tied = self.scale
        self.size = 3
        self.note = "text"
        self.constant = tc.Tensor([1.0], requires_grad=True)

    def forward(self, x):
        return self.heads["a"](self.heads["b"](self.blocks[0](self.entry(x) * self.scale)))


NAMES = [
    "scale",
    "pair.0",
    "pair.1",
    "entry.weight",
    "entry.bias",
    "blocks.0.weight",
    "blocks.0.bias",
    "blocks.1.gate.weight",
    "heads.a.0.0.weight",
    "heads.a.0.0.bias",
    "heads.b.weight",
    "heads.b.bias",
]
BUFFERS = ["heads.b.running_mean", "heads.b.running_var", "heads.b.num_batches_tracked"]
COPIES = pytest.mark.parametrize(
    "duplicate",
    [
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda m: pickle.loads(pickle.dumps(m)), id="pickle"),
    ],
)


def test_names_follow_the_structure():
    """A module's own parameters come first, then its parts in the order they were set."""
    model = Nested()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert [name for name, _ in model.named_buffers()] == BUFFERS
    assert list(model.state_dict()) == NAMES + BUFFERS
    assert [id(p) for p in model.parameters()] == [id(p) for _, p in model.named_parameters()]


def test_a_prefix_goes_before_every_name():
    """named_parameters(prefix) puts the prefix and a dot before each name."""
    assert [n for n, _ in Nested().named_parameters("net")] == [f"net.{name}" for name in NAMES]


def test_what_is_held_twice_is_counted_once():
    """Shared modules and parameters appear once, under the name met first."""
    model = Nested()
    parameters = list(model.parameters())
    assert len(parameters) == len({id(p) for p in parameters}) == len(NAMES)
    layer = nn.Linear(2, 2)
    twice = nn.Sequential(layer, nn.Tanh(), layer)
    assert [name for name, _ in twice.named_parameters()] == ["0.weight", "0.bias"]
    twice(np.ones((1, 2))).sum().backward()
    assert layer.weight.grad is not None


def test_modules_are_listed_with_their_paths():
    """named_modules yields every module once, the outer before the inner."""
    paths = [path for path, _ in Nested().named_modules()]
    assert paths == [
        "",
        "entry",
        "blocks.0",
        "blocks.1.gate",
        "heads.a",
        "heads.a.0",
        "heads.a.0.0",
        "heads.b",
    ]
    assert [name for name, _ in Nested().named_children()][-1] == "again"


def test_a_module_that_holds_itself_is_walked_once():
    """A cycle of modules ends the walk instead of hanging it."""
    outer, inner = Nested(), nn.Linear(2, 2)
    inner.parent = outer
    outer.inner = inner
    names = [name for name, _ in outer.named_parameters()]
    assert sorted(names) == sorted([*NAMES, "inner.weight", "inner.bias"])


def test_parts_may_be_set_later():
    """Attributes set, replaced or deleted after construction count from then on."""
    model = nn.Sequential(nn.Linear(2, 2))
    model.layers.append(nn.Linear(2, 1, bias=False))
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.weight"]
    nested = Nested()
    del nested.heads
    nested.entry = nn.Identity()
    assert [n for n, _ in nested.named_parameters()] == [*NAMES[:3], *NAMES[5:8]]


def test_a_sequential_with_attributes_of_its_own_has_their_parameters():
    """A subclass of Sequential may hold parameters and modules beside its layers."""

    class Scaled(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(2, 2))
            self.scale = nn.Parameter(np.ones(2))

    assert "scale" in dict(Scaled().named_parameters())


def test_names_never_clash():
    """Parameters whose names come out equal are refused, or told apart."""
    model = nn.Module()
    model.parts = {1: nn.Parameter([1.0]), "1": nn.Parameter([2.0])}
    try:
        state = model.state_dict()
    except ValueError:
        return
    assert len(state) == 2


# ---- modes and gradients ---------------------------------------------------------------------


def test_modes_reach_every_module():
    """train and eval switch all modules below and return the module itself."""
    model = Nested()
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert model.train() is model
    assert all(module.training for module in model.modules())
    model.train(mode=False)
    assert not model.heads["b"].training


def test_modes_belong_to_the_object():
    """Switching one module leaves other modules of its class as they were."""
    first, second = nn.Dropout(), nn.Dropout()
    first.eval()
    assert second.training
    assert nn.Dropout().training


def test_gradients_are_forgotten_and_parameters_frozen():
    """zero_grad sets every gradient to None; a frozen parameter gets none."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    assert model[0].requires_grad_(requires_grad=False) is model[0]
    model(np.ones((3, 2))).sum().backward()
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    model.requires_grad_()
    model(np.ones((3, 2))).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_apply_calls_every_module():
    """apply visits each module once and returns the module itself."""
    model, seen = Nested(), []
    assert model.apply(seen.append) is model
    assert seen == list(model.modules())


# ---- dtype -----------------------------------------------------------------------------------


def test_to_converts_the_floating_state():
    """to(dtype) converts parameters and averages in place, forgets gradients, keeps counters."""
    model = Nested()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    identities = [id(p) for p in model.parameters()]
    model(np.ones((3, 2))).sum().backward()
    model = model.to("float64")
    assert [id(p) for p in model.parameters()] == identities
    assert all(p.grad is None for p in model.parameters())
    state = model.state_dict()
    assert state.pop("heads.b.num_batches_tracked").dtype == np.int64
    assert {array.dtype for array in state.values()} == {np.dtype(np.float64)}
    for name in NAMES:
        np.testing.assert_array_equal(state[name], before[name])
    assert model(np.ones((3, 2), np.float32)).dtype == np.float64
    assert {p.requires_grad for p in model.parameters()} == {True}


@pytest.mark.parametrize("dtype", [np.int32, bool, "U3"])
def test_to_refuses_what_has_no_derivative(dtype):
    """Whole numbers and text are no dtype for a model, which stays as it was."""
    model = nn.Linear(2, 2)
    with pytest.raises(DtypeError, match="Linear.to: needs a floating dtype"):
        model.to(dtype)
    assert model.weight.dtype == np.float32


def test_the_default_dtype_decides_what_layers_create():
    """set_default_dtype counts from the next layer on, dtype= goes before it."""
    tc.set_default_dtype("float64")
    try:
        for layer in (nn.Linear(2, 2), nn.BatchNorm1d(2)):
            assert {p.dtype for p in layer.parameters()} == {np.dtype(np.float64)}
        assert nn.BatchNorm1d(2).running_var.dtype == np.float64
        assert nn.Linear(2, 2, dtype=np.float32).weight.dtype == np.float32
        assert nn.Parameter([1, 2]).dtype == np.float64
    finally:
        tc.set_default_dtype("float32")
    assert nn.Linear(2, 2).weight.dtype == nn.Parameter([1, 2]).dtype == np.float32
    with pytest.raises(DtypeError, match="int64"):
        tc.set_default_dtype(np.int64)


def test_a_parameter_copies_its_data():
    """Later writes to the array it was made from do not reach a Parameter or a Buffer."""
    source = np.ones(3)
    parameter, buffer = nn.Parameter(source), nn.Buffer(source)
    source[0] = 5
    assert parameter.data.tolist() == buffer.data.tolist() == [1, 1, 1]
    assert parameter.requires_grad
    assert not buffer.requires_grad
    assert not nn.Parameter(source, requires_grad=False).requires_grad


# ---- copies and text -------------------------------------------------------------------------


@COPIES
def test_a_copy_is_equal_and_independent(duplicate):
    """A copied model has equal state in memory of its own, in the same modes and sharings."""
    model = Nested()
    model(np.ones((3, 2)))
    model.heads["a"].eval()
    model.pair[0].requires_grad = False
    other = duplicate(model)
    assert [n for n, _ in other.named_parameters()] == NAMES
    assert repr(other) == repr(model)
    assert other.again is other.blocks[0]
    assert other.tied is other.scale
    assert [m.training for m in other.modules()] == [m.training for m in model.modules()]
    assert [p.requires_grad for p in other.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]
    for name, array in model.state_dict().items():
        mine = other.state_dict()[name]
        np.testing.assert_array_equal(mine, array, err_msg=name)
        assert mine.dtype == array.dtype
        assert not np.shares_memory(mine, array)
    assert {type(p) for p in other.parameters()} == {nn.Parameter}
    x = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(other.eval()(x).data, model.eval()(x).data)


@COPIES
def test_a_copied_generator_goes_on_by_itself(duplicate):
    """A copied dropout layer draws the masks that the original would have drawn."""
    layer = nn.Dropout(generator=np.random.default_rng(0))
    other = duplicate(layer)
    x = np.ones(100)
    np.testing.assert_array_equal(layer(x), other(x))


def test_the_text_shows_the_structure():
    """repr nests the modules with their names and options."""
    model = nn.Sequential(
        nn.Linear(4, 3, bias=False),
        nn.Sequential(nn.BatchNorm1d(3, momentum=None), nn.LeakyReLU(0.2)),
        nn.Dropout(0.25),
        nn.Softmax(dim=1),
    )
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Linear(4, 3, bias=False)\n"
        "  (1): Sequential(\n"
        "    (0): BatchNorm1d(3, eps=1e-05, momentum=None, affine=True, track_running_stats=True)\n"
        "    (1): LeakyReLU(negative_slope=0.2)\n"
        "  )\n"
        "  (2): Dropout(p=0.25)\n"
        "  (3): Softmax(dim=1)\n"
        ")"
    )
    assert "(heads.b): BatchNorm1d(2, " in repr(Nested())


def test_sequential_is_a_list_of_its_layers():
    """Length, indexing and iteration give the layers in order."""
    layers = [nn.Linear(2, 2), nn.ReLU(), nn.Tanh()]
    model = nn.Sequential(*layers)
    assert len(model) == 3
    assert model[0] is layers[0]
    assert model[-1] is layers[2]
    assert list(model) == layers
    x = np.ones((2, 2))
    assert nn.Sequential()(x) is x


def test_a_module_without_forward_says_so():
    """Calling a module that defines no forward names its class."""

    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty defines no forward"):
        Empty()(1.0)
