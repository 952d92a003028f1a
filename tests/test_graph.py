"""The recorded graph and the walk back through it: sums, memory, order, scopes and refusals."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.errors import ArgumentError, FreedGraphError, GraphError, ShapeError
from tinygrad_course.graph import Node, ancestors
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES, primitive


def leaf(data, dtype=float):
    return Tensor(np.array(data, dtype=dtype), requires_grad=True)


@pytest.fixture
def register():
    """Register primitives for one test only."""
    names = []

    def add(name, forward, *vjps, **options):
        names.append(name)
        return primitive(name, forward, lambda _rng: iter(()), *vjps, doc="For a test.", **options)

    yield add
    for name in names:
        del PRIMITIVES[name], FUNCTIONS[name]


@pytest.fixture
def no_collector():
    """Keep the cyclic collector out of a test, and start it from a clean table."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# ---- a value used several times --------------------------------------------------------------


def _diamond(x):
    left, right = tc.exp(x), tc.sin(x)
    return left * right + left


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda x: x * x + x, lambda x: 2 * x + 1),
        (lambda x: x + x, lambda x: 2.0 + 0 * x),
        (lambda x: x * x * x, lambda x: 3 * x**2),
        (_diamond, lambda x: np.exp(x) * (np.sin(x) + np.cos(x) + 1)),
        (
            lambda x: _diamond(_diamond(x) * 0 + x),
            lambda x: np.exp(x) * (np.sin(x) + np.cos(x) + 1),
        ),
    ],
)
def test_a_value_used_several_times_collects_every_path(function, slope):
    """The gradient of a value is the sum over all the paths that lead from it to the result."""
    x = leaf([0.3, -1.2])
    function(x).sum().backward()
    np.testing.assert_allclose(x.grad, slope(x.data), rtol=1e-13)


def _summed_to(gradient, shape):
    """Sum a gradient to a shape, one element after the other."""
    out = np.zeros(shape)
    for place in np.ndindex(gradient.shape):
        inner = place[gradient.ndim - len(shape) :]
        out[tuple(i if n != 1 else 0 for i, n in zip(inner, shape, strict=True))] += gradient[place]
    return out


_OPERATIONS = {
    "add": (tc.add, lambda g, x, y: (g + 0 * x, g + 0 * y)),
    "multiply": (tc.multiply, lambda g, x, y: (g * y, g * x)),
    "maximum": (tc.maximum, lambda g, x, y: (g * (x > y), g * (y > x))),
}


@pytest.mark.parametrize("name", _OPERATIONS)
@settings(max_examples=60, deadline=None)
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3),
    seed=st.integers(0, 1000),
)
def test_broadcasting_is_undone(name, shapes, seed):
    """Each input gets a gradient of its own shape: the sum over everywhere it was broadcast to."""
    function, rule = _OPERATIONS[name]
    rng = np.random.default_rng(seed)
    x, y = (leaf(rng.standard_normal(shape)) for shape in shapes.input_shapes)
    out = function(x, y)
    assert out.shape == shapes.result_shape
    g = rng.standard_normal(out.shape)
    recorded = tc.gradients(out, [x, y], g, create_graph=True)
    out.backward(g)
    for t, again, full in zip((x, y), recorded, rule(g, x.data, y.data), strict=True):
        expected = _summed_to(np.broadcast_to(full, out.shape), t.shape)
        assert t.grad.shape == t.shape
        np.testing.assert_allclose(t.grad, expected, atol=1e-13)
        np.testing.assert_allclose(again.data, expected, atol=1e-13)


# ---- size and memory -------------------------------------------------------------------------


@pytest.mark.parametrize("step", [lambda y: y * 0.99999, tc.tanh, lambda y: y.reshape(1)])
def test_a_long_chain_needs_no_recursion(step):
    """A chain of 10^5 operations runs forward, backward, and is freed, without recursion."""
    x = y = leaf([0.5])
    for _ in range(100_000):
        y = step(y)
    y.backward()
    assert np.isfinite(x.grad).all()
    assert x.grad.shape == (1,)
    del y


@pytest.mark.usefixtures("no_collector")
def test_a_million_operations():
    """A chain of a million operations runs forward and backward and gives the right gradient."""
    x = y = Tensor(1.0, requires_grad=True)
    for _ in range(1_000_000):
        y = y + 1.0
    y.backward(3.0)
    assert y.item() == 1_000_001
    assert x.grad == 3.0


@pytest.mark.parametrize("step", [lambda y: y + 1.0, lambda y: y * 1.000001, tc.tanh])
def test_bytes_per_node(step):
    """A recorded elementwise operation on one number takes at most 400 bytes."""
    count = 50_000
    y = Tensor(0.5, requires_grad=True)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(count):
            y = step(y)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used / count <= 400


def _network():
    x, w, b = leaf(np.ones((4, 3))), leaf(np.eye(3)), leaf(np.zeros(3))
    return (tc.relu(x @ w + b)[0] * 2).mean()


def _normalized():
    x, w, b = leaf(np.arange(12.0).reshape(4, 3) ** 2), leaf(np.ones(3)), leaf(np.zeros(3))
    return (tc.batch_norm(x, w, b, eps=1e-5)[0] ** 2).sum()


def _determinant():
    return tc.linalg.slogdet(leaf([[2.0, 1.0], [0.5, 3.0]]))[1] * 2


def _parts():
    first, second = tc.split(leaf([1.0, 2.0, 3.0]), [1])
    return (first * second).sum()


def _classified():
    return tc.softmax_cross_entropy(leaf(np.eye(3)), np.array([0, 1, 2]), reduction="mean")


def _second_order():
    x = leaf([1.0, 2.0])
    return tc.gradients((x**3).sum(), x, create_graph=True).sum()


def _backward(out):
    out.backward()


def _twice(out):
    out.backward(retain_graph=True)
    out.backward()


_BUILDERS = [_network, _normalized, _determinant, _parts, _classified, _second_order]


@pytest.mark.parametrize("finish", [lambda _out: None, _backward, _twice])
@pytest.mark.parametrize("build", _BUILDERS)
@pytest.mark.usefixtures("no_collector")
def test_graphs_hold_no_reference_cycles(build, finish):
    """A dropped graph is freed at once, with or without backward: the collector finds nothing."""
    finish(build())
    gc.collect()
    out = build()
    node = weakref.ref(out)
    finish(out)
    del out
    assert node() is None
    assert gc.collect() == 0


@pytest.mark.parametrize("build", _BUILDERS)
@pytest.mark.usefixtures("no_collector")
def test_recorded_backward_passes_hold_no_reference_cycles(build):
    """A graph whose backward pass was recorded is freed at once when it is dropped."""

    def run():
        out = build()
        targets = [p for n in ancestors([out._node]) for p in n.parents if isinstance(p, Tensor)]
        tc.gradients(out, targets, create_graph=True)

    run()
    gc.collect()
    run()
    assert gc.collect() == 0


# ---- after backward --------------------------------------------------------------------------


@pytest.mark.parametrize("again", [lambda y, _x: y.backward(), tc.gradients])
def test_second_backward_says_retain_graph(again):
    """A second pass through dropped values says which argument the first pass lacked."""
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(FreedGraphError, match="retain_graph=True"):
        again(y, x)
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_retain_graph_keeps_the_values():
    """With retain_graph=True a second pass runs, and adds to the gradient of the first."""
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad, [4.0, 8.0])


def test_structure_survives_backward():
    """Backward drops the saved values of every node, and leaves parents, shapes and dtypes."""
    x = leaf(np.ones((2, 3)), np.float32)
    y = tc.exp(x * x).sum()
    nodes = ancestors([y._node])
    before = [(n.parents, n.shape, n.dtype, n.primitive.name) for n in nodes]
    y.backward()
    assert [name for *_, name in before] == ["sum", "exp", "multiply"]
    assert before[-1][:3] == ((x, x), (2, 3), np.float32)
    assert [(n.parents, n.shape, n.dtype, n.primitive.name) for n in ancestors([y._node])] == before
    assert [n.saved for n in nodes] == [None] * 3
    assert [n.grad for n in nodes] == [None] * 3


def test_saved_values_are_dropped_while_walking(register):
    """When the walk reaches a node, the arrays that later nodes had saved are gone already."""
    alive = []

    def rule(g, _ans, _x):
        alive.append(saved() is not None)
        return g

    probe = register("test_probe", lambda x: x + 0, rule)
    x = leaf([1.0, 2.0])
    big = tc.exp(probe(x))
    saved = weakref.ref(big._data)
    out = (big * 2).sum()
    del big
    assert saved() is not None
    out.backward()
    assert alive == [False]


# ---- which gradients are computed ------------------------------------------------------------


def test_unwanted_gradients_are_never_computed(register):
    """The rule of an input that does not require grad is not called."""
    called = []
    plain = register(
        "test_plain",
        lambda x, w: x * w,
        lambda g, _ans, _x, w: called.append("x") or g * w,
        lambda g, _ans, x, _w: called.append("w") or g * x,
    )
    with_option = register(
        "test_with_option",
        lambda x, w, *, scale=1.0: x * w * scale,
        lambda g, _ans, _x, w, *, scale=1.0: called.append("x") or g * w * scale,
        lambda g, _ans, x, _w, *, scale=1.0: called.append("w") or g * x * scale,
    )
    for product in (plain, with_option, lambda x, w: with_option(x, w, scale=2.0)):
        x, w = Tensor([2.0]), leaf([3.0])
        product(x, w).backward()
        product(leaf([2.0]), 5.0).backward()
        assert x.grad is None
    assert called == ["w", "x"] * 3


def test_joint_rules_are_told_what_is_wanted(register):
    """A joint rule hears which inputs want a gradient, and the others get none."""
    heard = []

    def rule(g, _ans, _x, _y, *, wanted):
        heard.append(wanted)
        return g, g

    both = register("test_both", lambda x, y: x + y, joint=rule)
    x, y = leaf([1.0]), Tensor([1.0])
    both(x, y).backward()
    assert [tuple(w) for w in heard] == [(True, False)]
    assert y.grad is None
    np.testing.assert_array_equal(x.grad, [1.0])


def test_a_rule_may_return_one_array_for_two_inputs(register):
    """Where a rule returns the same array for two leaves, each leaf still owns its gradient."""

    def rule(g, _ans, _x, _y, *, wanted):
        piece = g * 2
        return piece, piece

    both = register("test_both", lambda x, y: 2 * (x + y), joint=rule)
    x, y = leaf([1.0]), leaf([1.0])
    both(x, y).backward()
    assert not np.shares_memory(x.grad, y.grad)
    np.testing.assert_array_equal([x.grad, y.grad], [[2.0], [2.0]])


def test_one_part_of_several_results_is_enough():
    """Where only one of several results is used, the others count as constant."""
    x = leaf([1.0, 2.0, 3.0])
    first, _second = tc.split(x, [1])
    (first * 5).sum().backward()
    np.testing.assert_array_equal(x.grad, [5.0, 0.0, 0.0])
    batch = leaf([[1.0], [3.0]])
    _, mean, _ = tc.batch_norm(batch, None, None, eps=1e-5)
    mean.sum().backward(retain_graph=True)
    np.testing.assert_allclose(batch.grad, [[0.5], [0.5]])
    np.testing.assert_allclose(tc.gradients(mean.sum(), batch, create_graph=True).data, [[0.5]] * 2)
    matrix = leaf([[2.0, 1.0], [0.0, 4.0]])
    sign, logdet = tc.linalg.slogdet(matrix)
    assert not sign.requires_grad
    logdet.backward()
    np.testing.assert_allclose(matrix.grad, np.linalg.inv(matrix.data).T)


def test_unused_parts_stay_zero_beside_an_infinite_gradient():
    """An infinite gradient of one part of a split does not reach the elements of the others."""
    x = leaf([1.0, 2.0, 3.0])
    _first, second = tc.split(x, [1])
    second.backward(np.array([np.inf, 1.0]))
    np.testing.assert_array_equal(x.grad, [0.0, np.inf, 1.0])


def test_failed_backward_leaves_no_sums_behind(register):
    """A rule that raises ends the pass, and no node keeps a half-summed gradient."""

    def rule(_g, _ans, _x):
        raise ZeroDivisionError

    broken = register("test_broken", lambda x: x + 0, rule)
    for run in (lambda y, _x: y.backward(), tc.gradients):
        x = leaf([1.0])
        h = x * 2
        y = broken(h) + tc.exp(h)
        nodes = ancestors([y._node])
        assert len(nodes) == 4
        with pytest.raises(ZeroDivisionError):
            run(y, x)
        assert [n.grad for n in nodes] == [None] * 4


@pytest.mark.parametrize("wrong", [(3,), (2, 3), (4,), ()])
def test_a_rule_of_wrong_shape_is_named(register, wrong):
    """A rule whose result does not have the input's shape is an error that names the operation."""
    faulty = register("test_faulty", lambda x: x + 0, lambda _g, _ans, _x: np.ones(wrong))
    for x in (leaf([1.0, 2.0]), leaf([1.0, 2.0]) * 1):
        with pytest.raises(ShapeError, match="test_faulty"):
            faulty(x).sum().backward()


# ---- dtypes ----------------------------------------------------------------------------------


def test_gradients_have_the_dtype_of_their_value(register):
    """In a mixed computation each value's gradient has that value's own dtype, also half way."""
    met = []
    spy = register("test_spy", lambda x: x + 0, lambda g, _ans, _x: met.append(g.dtype) or g)
    single, double = leaf([1.0, 2.0], np.float32), leaf([3.0, 4.0])
    half_way = spy(single)
    half_way.retain_grad()
    y = (half_way * double).sum()
    assert y.dtype == np.float64
    recorded = tc.gradients(y, [single, double, half_way], create_graph=True)
    y.backward()
    assert [g.dtype for g in recorded] == [np.float32, np.float64, np.float32]
    assert (single.grad.dtype, double.grad.dtype) == (np.float32, np.float64)
    assert half_way.grad.dtype == np.float32
    assert set(met) == {np.dtype(np.float32)}
    assert isinstance(half_way._node, Node)


# ---- gradients() -----------------------------------------------------------------------------


def test_gradients_of_leaves_and_intermediate_results():
    """gradients() takes leaves and intermediate results alike, and adds nothing to any .grad."""
    x, other = leaf([1.0, 2.0]), leaf(3.0)
    h = tc.exp(x)
    y = (h * h).sum()
    dx, dh, none = tc.gradients(y, (x, h, other))
    np.testing.assert_allclose(dx, 2 * np.exp(2 * x.data))
    np.testing.assert_allclose(dh, 2 * h.data)
    assert none is None
    assert (x.grad, h.grad, other.grad) == (None, None, None)
    assert tc.gradients(leaf([1.0]).sum(), x) is None
    np.testing.assert_array_equal(tc.gradients(x, x, [5.0, 6.0]), [5.0, 6.0])


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_leave_retained_gradients_alone(create_graph):
    """gradients() does not touch the .grad of an intermediate result that retains one."""
    x = leaf([1.0, 2.0])
    h = x * 3
    h.retain_grad()
    y = (h * h).sum()
    tc.gradients(y, x, retain_graph=True, create_graph=create_graph)
    assert h.grad is None
    y.backward()
    np.testing.assert_array_equal(h.grad, 2 * h.data)


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_an_intermediate_result_leave_nothing_behind(create_graph):
    """Asking for the gradient of an intermediate result does not change a later backward pass."""
    x = leaf(1.0)
    before = x * 2
    h = before * 3
    y = h * h
    found = tc.gradients(y, h, retain_graph=True, create_graph=create_graph)
    assert float(found) == 12.0
    assert before._node.grad is None
    y.backward()
    assert x.grad == 72.0


def test_gradients_of_an_intermediate_result_need_nothing_behind_it():
    """The gradient of an intermediate result runs no rule behind it, even where that was freed."""
    h = tc.exp(leaf([1.0, 2.0]))
    h.sum().backward()
    np.testing.assert_allclose(tc.gradients((h * h).sum(), h), 2 * h.data)


def test_gradients_of_several_outputs():
    """Several outputs count as their sum, each weighted by its own upstream gradient."""
    x = leaf([1.0, 2.0])
    a, b = x * x, x.sum()
    np.testing.assert_allclose(tc.gradients([a, b], x, [[1.0, 10.0], 3.0]), [5.0, 43.0])
    np.testing.assert_allclose(tc.gradients((y for y in [x.sum(), x.sum() * 2]), x), [3.0, 3.0])
    s = x.sum()
    np.testing.assert_allclose(tc.gradients([s, s], x, [1.0, 2.0], retain_graph=True), [3.0, 3.0])
    np.testing.assert_allclose(tc.gradients([s, s * 4], [s], [1.0, Tensor(2.0)])[0], 9.0)


def test_gradients_keep_the_graph_only_when_asked():
    """By default the saved values are dropped; create_graph or retain_graph keeps them."""
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    for options in ({"retain_graph": True}, {"create_graph": True}, {}):
        assert isinstance(
            tc.gradients(y, x, **options), Tensor if "create_graph" in options else np.ndarray
        )
    with pytest.raises(FreedGraphError):
        tc.gradients(y, x)
    z = (x * x).sum()
    tc.gradients(z, x, create_graph=True, retain_graph=False)
    with pytest.raises(FreedGraphError):
        z.backward()


def test_gradients_refuse_with_a_reason():
    """A wrong input, output or upstream gradient is named by its position."""
    x = leaf([1.0, 2.0])
    with pytest.raises(GraphError, match="input 1 is not a Tensor that requires grad"):
        tc.gradients(x.sum(), [x, Tensor(1.0)])
    with pytest.raises(GraphError, match=r"output 0 has shape \(2,\); pass grad_outputs"):
        tc.gradients(x * 2, x)
    with pytest.raises(ShapeError, match=r"grad_outputs\[0\] has shape \(3,\), expected \(2,\)"):
        tc.gradients(x * 2, x, np.ones(3))
    with pytest.raises(ArgumentError, match="2 grad_outputs for 1 outputs"):
        tc.gradients([x.sum()], x, [1.0, 2.0])
    with pytest.raises(ArgumentError, match="not a Tensor"):
        tc.gradients([1.0], x)
    with pytest.raises(ArgumentError, match="not a Tensor"):
        tc.gradients(1.0, x)


def test_a_rule_of_three_inputs_gets_its_parameters(register):
    """Options of an operation of three inputs reach its derivative rules."""

    def rule(g, _ans, _x, _y, _z, *, scale=1.0):
        return g * scale

    add = register("add_three", lambda x, y, z, *, scale=1.0: scale * (x + y + z), *[rule] * 3)
    x = leaf([1.0, 2.0])
    add(x, 1.0, 2.0, scale=3.0).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
