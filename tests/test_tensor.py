"""The Tensor itself: what it holds, who owns its gradient, and its manners as a Python object."""

import copy
import math
import pickle

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.errors import DtypeError, GraphError, ShapeError, UnsupportedFunctionError


def leaf(data, dtype=float):
    return Tensor(np.array(data, dtype=dtype), requires_grad=True)


# ---- construction ----------------------------------------------------------------------------


def test_construction_shares_arrays_and_keeps_dtypes():
    """An ndarray is shared with its dtype; lists become float64 or int64; dtype= converts."""
    for dtype in (np.float16, np.float32, np.float64, np.int8, np.int64, np.bool_, np.complex64):
        data = np.ones((2, 3), dtype)
        t = Tensor(data)
        assert t.data is data
        assert t.numpy() is data
        assert (t.dtype, t.shape, t.ndim, t.size) == (data.dtype, (2, 3), 2, 6)
    numbers = [1.0, 2.0]
    listed = Tensor(numbers)
    numbers[0] = 9.0
    np.testing.assert_array_equal(listed.data, [1.0, 2.0])
    assert listed.dtype == np.float64
    assert Tensor([1, 2]).dtype == np.int64
    assert Tensor(np.float32(2)).dtype == np.float32
    assert Tensor([1, 2], dtype="float32", requires_grad=True).dtype == np.float32
    assert Tensor(Tensor([1.0, 2.0])).shape == (2,)


def test_numbers_are_arrays_outside():
    """Publicly .data, .numpy() and .grad of a number are 0-d arrays, the same one at every call."""
    x = Tensor(3.0, requires_grad=True)
    y = x * x
    total = leaf([1.0, 2.0]).sum()
    y.backward()
    for array in (x.data, y.data, total.data, x.numpy(), x.grad, y.detach().data):
        assert type(array) is np.ndarray
        assert array.shape == ()
    assert x.data is x.data
    assert x.grad is x.grad
    assert (x.item(), y.item(), x.grad.item()) == (3.0, 9.0, 6.0)


def test_whole_numbers_cannot_require_grad():
    """requires_grad on whole numbers or booleans is a DtypeError that says dtype=float."""
    for data in ([1, 2], [True], np.zeros(2, np.uint8)):
        with pytest.raises(DtypeError, match="dtype=float"):
            Tensor(data, requires_grad=True)
    t = Tensor([1, 2])
    with pytest.raises(TypeError, match="decimal point"):
        t.requires_grad = True
    assert not t.requires_grad


@pytest.mark.parametrize(
    "data", ["abc", ["a", "b"], b"x", [object()], None, {}, object(), np.array([1, None])]
)
def test_data_that_are_not_numbers_are_refused(data):
    """Text, None and objects are refused with a DtypeError that names the dtype or type."""
    with pytest.raises(DtypeError, match="expected numbers"):
        Tensor(data)
    with pytest.raises(DtypeError, match="expected numbers"):
        tc.array(data)


def test_attributes():
    """.T, .name, .is_leaf, .item(), .tolist() and .detach() say what their names promise."""
    x = Tensor([[1.0, 2.0]], requires_grad=True, name="x")
    assert x.is_leaf
    assert x.name == "x"
    x.name = "other"
    assert "name='other'" in repr(x)
    y = x * 2
    assert not y.is_leaf
    np.testing.assert_array_equal(y.T.data, [[2.0], [4.0]])
    d = y.detach()
    assert d.data is y.data
    assert (d.is_leaf, d.requires_grad) == (True, False)
    assert y.tolist() == [[2.0, 4.0]]
    assert type(Tensor([[3]]).item()) is int
    with pytest.raises(ShapeError, match=r"\(1, 2\)"):
        y.item()
    with pytest.raises(GraphError, match=r"detach\(\)"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_setting_data_and_grad():
    """Assigning .data writes into the same memory; .grad is copied; both check the shape."""
    x = leaf([1.0, 2.0])
    memory = x.data
    x.data = [3.0, 4.0]
    assert x.data is memory
    np.testing.assert_array_equal(memory, [3.0, 4.0])
    given_grad = np.array([1, 1])
    x.grad = given_grad
    assert x.grad.dtype == np.float64
    given_grad[:] = 7
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])
    x.grad = None
    assert x.grad is None
    with pytest.raises(ShapeError, match=r"\(3,\), expected \(2,\)"):
        x.grad = np.ones(3)
    with pytest.raises(ShapeError, match=r"\(3,\), expected \(2,\)"):
        x.data = np.ones(3)
    with pytest.raises(GraphError, match="multiply"):
        (x * 2).grad = np.ones(2)


# ---- who owns a gradient ---------------------------------------------------------------------

_READS = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "x + x": lambda a, _b: a + a,
    "sum": lambda a, b: a.sum() + b.sum(),
    "reshape": lambda a, b: a.reshape(3, 2) + b.reshape(3, 2),
    "leaf": lambda a, _b: a,
    "transpose": lambda a, b: a.T + b.T,
    "getitem": lambda a, b: a[...] + b[:],
    "slice": lambda a, b: a[:, 1:] + b[:, :-1],
    "broadcast": lambda a, b: tc.broadcast_to(a, (4, 2, 3)) + b,
    "concatenate": lambda a, b: tc.concatenate([a, b, a]),
    "stack": lambda a, b: tc.stack([a, b]),
    "split": lambda a, b: tc.split(a, 2)[0] + b[:1],
    "copy": lambda a, b: a.copy() + b.copy(),
    "astype": lambda a, b: a.astype(float) + b,
    "multiply": lambda a, b: a * b,
    "exp": lambda a, b: tc.exp(a) + b * 1,
    "where": lambda a, b: tc.where(a > 0, a, b),
    "inverse": lambda a, b: tc.linalg.inv(a[:, :2]) + b[:, :2],
}


@pytest.mark.parametrize("name", _READS)
def test_grad_owns_its_memory(name):
    """A gradient is writable memory, shared with no other gradient, upstream or data."""
    rng = np.random.default_rng(0)
    a, b = leaf(rng.standard_normal((2, 3))), leaf(rng.standard_normal((2, 3)))
    out = _READS[name](a, b)
    upstream = rng.standard_normal(out.shape)
    kept = upstream.copy()
    out.backward(upstream)
    held = [t for t in (a, b) if t.grad is not None]
    others = [upstream, a.data, b.data, out.data]
    for t in held:
        assert type(t.grad) is np.ndarray
        assert t.grad.flags.writeable
        assert t.grad.flags.owndata
        assert t.grad.shape == t.shape
        rest = others + [u.grad for u in held if u is not t]
        assert not any(np.shares_memory(t.grad, array) for array in rest)
        t.grad[...] = 0
    np.testing.assert_array_equal(upstream, kept)


def test_a_given_gradient_is_copied_and_cast():
    """The gradient= that backward is given takes the result's dtype, in memory of its own."""
    y = leaf([1.0, 2.0], np.float32) * 1
    given = np.ones(2)
    y.retain_grad()
    y.backward(given, retain_graph=True)
    assert y.grad.dtype == np.float32
    z = leaf([1.0, 2.0]) * 1
    z.retain_grad()
    z.backward(given)
    assert not np.shares_memory(z.grad, given)


@pytest.mark.parametrize("finish", [lambda h: h.sum(), lambda h: (h + 1.0) * 2, lambda h: h.T])
def test_retained_gradients_own_their_memory(finish):
    """The gradient of an intermediate result is writable and shared with no other gradient."""
    x = leaf(np.ones((2, 2)))
    h = x * 2
    nxt = h + 1.0
    out = finish(nxt)
    for t in (h, nxt, out):
        t.retain_grad()
    out.backward(np.ones(out.shape))
    grads = [x.grad, h.grad, nxt.grad, out.grad]
    for i, g in enumerate(grads):
        assert g.flags.writeable
        assert not any(np.shares_memory(g, other) for j, other in enumerate(grads) if j != i)


def test_arrays_from_gradients_are_the_callers_own():
    """The arrays that gradients() returns are writable and share no memory with one another."""
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    start = np.ones(2)
    first, second = tc.gradients(a + b, [a, b], start)
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(first, start)
    assert tc.gradients(a.sum(), a).flags.writeable


def test_backward_accumulates():
    """Two backward passes add up in the memory that the leaf owns, also on a leaf itself."""
    x = leaf([1.0, 2.0])
    (x * 3).sum().backward()
    memory = x.grad
    (x * x).sum().backward()
    assert x.grad is memory
    np.testing.assert_array_equal(x.grad, [5.0, 7.0])
    x.backward(np.array([10, 20]))
    np.testing.assert_array_equal(x.grad, [15.0, 27.0])
    s = Tensor(2.0, requires_grad=True)
    for _ in range(3):
        (s * s).backward()
    assert s.grad == 12.0


def test_backward_refuses_with_a_cure():
    """Backward of several elements, of a wrong gradient, or of a constant says what to do."""
    x = leaf([1.0, 2.0])
    with pytest.raises(GraphError, match=r"shape \(2,\).*\.sum\(\).*gradient="):
        (x * 2).backward()
    with pytest.raises(ShapeError, match=r"\(3,\), expected \(2,\)"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(GraphError, match=r"requires_grad=True.*no_grad"):
        Tensor([1.0]).backward()
    with pytest.raises(GraphError, match="does not require grad"):
        Tensor([1.0]).retain_grad()


def test_retain_grad():
    """An intermediate result keeps its gradient only if that was asked for; a leaf always does."""
    x = leaf([1.0, 2.0])
    h = x * 3
    plain = h * 1
    h.retain_grad()
    assert h.grad is None
    x.retain_grad()
    (plain * plain).sum().backward()
    np.testing.assert_array_equal(h.grad, 2 * h.data)
    np.testing.assert_array_equal(x.grad, 6 * h.data)
    assert plain.grad is None
    scalar = leaf(2.0) * 1
    scalar.retain_grad()
    (scalar * 5).backward()
    assert isinstance(scalar.grad, np.ndarray)
    assert scalar.grad == 5.0


# ---- Python's protocols ----------------------------------------------------------------------


def test_repr_shows_what_matters():
    """repr shows the values, an unusual dtype, the operation or requires_grad, and the name."""
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(leaf([1.0])) == "Tensor([1.], requires_grad=True)"
    assert repr(leaf([1.0]) * 2) == "Tensor([2.], op=multiply)"
    assert repr(Tensor(np.float32(1))) == "Tensor(1., dtype=float32)"
    assert repr(Tensor(2.5, name="w")) == "Tensor(2.5, name='w')"
    assert repr(Tensor([[1, 2], [3, 4]])) == "Tensor([[1, 2],\n        [3, 4]])"


def test_container_protocols():
    """len, iteration and `in` work along the first axis; a number has no length."""
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    first, second = x
    (first * 2 + second).sum().backward()
    np.testing.assert_array_equal(x.grad, [[2.0, 2.0], [1.0, 1.0]])
    assert 3.0 in x
    assert Tensor(4.0) in x
    assert 5.0 not in x
    with pytest.raises(TypeError, match="len"):
        len(Tensor(1.0))
    with pytest.raises(TypeError):
        iter(Tensor(1.0))


def test_number_protocols():
    """One element becomes a float, int, bool, index or formatted text; several elements do not."""
    one = leaf([2.75])
    assert (float(one), int(one), bool(one), math.floor(float(one))) == (2.75, 2, True, 2)
    assert f"{one.sum():.1f}" == "2.8"
    assert f"{one}" == repr(one)
    assert [10, 20, 30][Tensor(2)] == 30
    assert not Tensor(0.0)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Tensor([1.0, 2.0]))
    with pytest.raises(ValueError, match="one element"):
        float(Tensor([1.0, 2.0]))


def test_a_fraction_is_no_index():
    """A Tensor that holds a fraction is refused as an index with TypeError, as by NumPy."""
    with pytest.raises(TypeError):
        [10, 20, 30][Tensor(1.0)]


def test_hash_and_equality():
    """Tensors hash by identity and compare elementwise, without a gradient."""
    x, y = leaf([1.0, 2.0]), leaf([1.0, 3.0])
    assert {x: "x", y: "y"}[x] == "x"
    for result, expected in [
        (x == y, [True, False]),
        (x != y, [False, True]),
        (x < y, [False, True]),
        (x >= 2, [False, True]),
        (np.array([1.0, 9.0]) > x, [False, True]),
        ((x > 1) & (y > 1), [False, True]),
        (~(x > 1) | (y > 1), [True, True]),
        ((x > 0) & np.array([True, False]), [True, False]),
    ]:
        assert isinstance(result, Tensor)
        assert not result.requires_grad
        np.testing.assert_array_equal(result.data, expected)


def test_masks_combine_with_an_array_on_the_left():
    """An array of booleans combines with a Tensor of booleans on either side of & and |."""
    mask, chosen = np.array([True, False]), leaf([1.0, 2.0]) > 1
    np.testing.assert_array_equal(np.asarray(mask & chosen), [False, False])
    np.testing.assert_array_equal(np.asarray(mask | chosen), [True, True])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_of_leaves(duplicate):
    """pickle and deepcopy keep a leaf's data, dtype, name and requires_grad, in new memory."""
    x = Tensor(np.array([1.0, 2.0], np.float32), requires_grad=True, name="x")
    again = duplicate(x)
    assert type(again) is Tensor
    assert (again.name, again.requires_grad, again.dtype) == ("x", True, np.float32)
    np.testing.assert_array_equal(again.data, x.data)
    assert not np.shares_memory(again.data, x.data)
    assert not np.shares_memory(copy.copy(x).data, x.data)  # as of an array
    assert copy.copy(x).requires_grad


def test_a_copy_of_a_result_is_recorded():
    """copy.copy of a result is a copy like any other: its gradient arrives."""
    x = leaf([1.0, 2.0])
    copy.copy(x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickle.dumps])
def test_results_are_not_copied_with_their_graph(duplicate):
    """Copying or pickling a result of an operation is refused and says detach()."""
    with pytest.raises(GraphError, match=r"exp.*detach\(\)"):
        duplicate(tc.exp(leaf([1.0])))


def test_array_of_nested_tensors():
    """array() records nested Tensors, copies everything, and never makes an object array."""
    a, b = leaf(2.0), leaf([3.0, 4.0])
    t = tc.array([[a, 1.0], [a * a, 0.0], b])
    np.testing.assert_array_equal(t.data, [[2.0, 1.0], [4.0, 0.0], [3.0, 4.0]])
    (t * np.array([[1.0, 5.0], [10.0, 5.0], [7.0, 8.0]])).sum().backward()
    assert a.grad == 41.0
    np.testing.assert_array_equal(b.grad, [7.0, 8.0])
    data = np.ones(2)
    assert not np.shares_memory(tc.array(data).data, data)
    assert tc.array(b).requires_grad
    assert not np.shares_memory(tc.array(b).data, b.data)
    assert tc.array([a, 1], dtype="float32").dtype == np.float32
    with pytest.raises(ValueError, match="shape"):
        tc.array([b, [1.0, 2.0, 3.0]])


# ---- operators -------------------------------------------------------------------------------

_OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
}
_OTHERS = [
    np.array([1.5, 2.5]),
    np.float64(1.5),
    np.float32(1.5),
    np.array(2.0),
    np.int64(2),
    1.5,
    2,
    True,
    [1.5, 2.5],
]


@pytest.mark.parametrize("other", _OTHERS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("symbol", _OPERATORS)
def test_operators_on_either_side(symbol, other):
    """An operator with an array or number on either side gives NumPy's value and its gradient."""
    operate = _OPERATORS[symbol]
    raw = np.array([1.25, 2.25])
    plain = np.asarray(other) if isinstance(other, list) else other
    for left in (True, False):
        x = leaf(raw)
        result = operate(x, other) if left else operate(other, x)
        expected = operate(raw, plain) if left else operate(plain, raw)
        assert isinstance(result, Tensor)
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result.data, expected)
        result.sum().backward()
        h = 1e-6
        above, below = (
            operate(raw + d, plain) if left else operate(plain, raw + d) for d in (h, -h)
        )
        np.testing.assert_allclose(x.grad, (above - below) / (2 * h), rtol=1e-8)


def test_matmul_on_either_side():
    """@ works with an array or a list on either side."""
    m = np.arange(4.0).reshape(2, 2)
    x = leaf([1.0, 2.0])
    for result, expected in (
        (m @ x, m @ x.data),
        (x @ m, x.data @ m),
        ([[3.0, 4.0], [5.0, 6.0]] @ x, [11.0, 17.0]),
    ):
        assert isinstance(result, Tensor)
        np.testing.assert_array_equal(result.data, expected)
    (m @ x).sum().backward()
    np.testing.assert_array_equal(x.grad, m.sum(axis=0))
    assert abs(-x).data.tolist() == [1.0, 2.0]
    assert +x is x


def test_float32_stays_float32():
    """Python numbers on either side leave float32 values and their gradients as they are."""
    for function in (
        lambda t: 2 * t + 1.5,
        lambda t: 1 / t - t / 3,
        lambda t: t**2 + t**0.5 + 2**t,
        lambda t: tc.maximum(t, 1.5) + tc.clip(t, 0, 1.0),
        lambda t: tc.where(t > 1, t, 0.0),
        lambda t: tc.softmax(t) + tc.sigmoid(t) + tc.relu(t) + tc.leaky_relu(t),
        lambda t: t.mean() + t.var() + t.max() + tc.logsumexp(t),
    ):
        for data in ([1.0, 2.0], np.ones((2, 1))):
            t = leaf(data, np.float32)
            y = function(t)
            assert y.dtype == np.float32
            assert tc.gradients(y.sum(), t, create_graph=True).dtype == np.float32
            y.sum().backward()
            assert t.grad.dtype == np.float32


# ---- words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (lambda x: x.sum(dim=0), "axis"),
        (lambda x: tc.sum(x, dim=0), "axis"),
        (lambda x: x.mean(0, keepdim=True), "keepdims"),
        (lambda x: x.var(unbiased=False), "ddof"),
        (lambda x: tc.concatenate([x, x], dim=0), "axis"),
        (lambda x: tc.stack([x, x], dim=0), "axis"),
        (lambda x: tc.softmax(x, dim=0), "axis"),
        (lambda x: x.argmax(dim=0), "axis"),
        (lambda x: x.squeeze(dim=0), "axis"),
    ],
)
def test_pytorch_words_are_refused_with_numpys(call, right):
    """PyTorch's word for an argument is an error that gives NumPy's word."""
    with pytest.raises(UnsupportedFunctionError, match=f"NumPy, where it is '{right}'"):
        call(leaf([[1.0, 2.0]]))
