"""Reading and writing with every kind of index that NumPy knows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.errors import (
    ArgumentError,
    DtypeError,
    GraphError,
    ModifiedValueError,
    ShapeError,
    UnsupportedFunctionError,
)


def leaf(data):
    return Tensor(np.array(data, dtype=float), requires_grad=True)


_shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


@st.composite
def _mixed(draw, shape):
    """Draw a tuple that mixes integers, slices, newaxis, an ellipsis, index arrays and a mask."""
    broadcast = draw(st.sampled_from([(), (1,), (3,), (2, 1), (2, 3)]))
    key = []
    dots = draw(st.integers(0, len(shape)))
    skipped = draw(st.integers(0, len(shape) - dots)) if draw(st.booleans()) else 0
    axis = 0
    while axis < len(shape):
        if axis == dots and skipped:
            key.append(...)
            axis += skipped
            skipped = 0
            continue
        n = shape[axis]
        kind = draw(st.sampled_from(["int", "slice", "array", "mask", "list", "new"]))
        if kind == "new":
            key.append(None)
            continue
        if kind == "int":
            key.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            key.append(draw(st.slices(n)))
        elif kind == "array":
            sides = tuple(1 if draw(st.booleans()) else s for s in broadcast)
            key.append(draw(hnp.arrays(np.int64, sides, elements=st.integers(-n, n - 1))))
        elif kind == "list":
            width = broadcast[-1] if broadcast else 1
            key.append(draw(st.lists(st.integers(-n, n - 1), min_size=width, max_size=width)))
        else:
            chosen = draw(st.sampled_from([1, broadcast[-1] if broadcast else 1]))
            mask = np.zeros(n, bool)
            mask[: min(chosen, n)] = True
            key.append(mask)
        axis += 1
        if draw(st.integers(0, 5)) == 0:
            break
    return tuple(key)


def _keys(shape):
    masks = hnp.arrays(np.bool_, shape)
    leading = hnp.arrays(np.bool_, shape[:1])
    return st.one_of(
        hnp.basic_indices(shape, allow_newaxis=True, max_dims=6),
        hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=5)),
        masks,
        leading,
        st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=5),
        st.booleans(),
        _mixed(shape),
    )


def _taken(array, key):
    """Index an array; None where NumPy itself refuses the key."""
    try:
        return array[key]
    except IndexError:
        return None


@settings(max_examples=400, deadline=None)
@given(data=st.data(), shape=_shapes)
def test_reading_agrees_with_numpy_and_repeated_elements_add_up(data, shape):
    """Any index reads what NumPy reads; its gradient is np.add.at, to second order."""
    key = data.draw(_keys(shape))
    x = leaf(np.arange(np.prod(shape)).reshape(shape) + 1.0)
    expected = _taken(x.data, key)
    if expected is None:
        with pytest.raises(IndexError, match="getitem"):
            x[key]
        return
    out = x[key]
    assert out.shape == expected.shape
    np.testing.assert_array_equal(out.data, expected)
    g = np.arange(out.size, dtype=float).reshape(out.shape) - 2.5
    reference = np.zeros(shape)
    np.add.at(reference, key, g)
    start = leaf(g)
    recorded = tc.gradients(out, x, start, create_graph=True)
    out.backward(g)
    np.testing.assert_array_equal(x.grad, reference)
    np.testing.assert_array_equal(recorded.data, reference)
    back = tc.gradients((recorded * recorded).sum(), start)
    np.testing.assert_array_equal(back, 2 * reference[key])


@settings(max_examples=300, deadline=None)
@given(data=st.data(), shape=_shapes, number=st.booleans())
def test_writing_is_recorded(data, shape, number):
    """A recorded write gives NumPy's values; old elements get no gradient, new ones their own."""
    key = data.draw(_keys(shape))
    x = leaf(np.arange(np.prod(shape)).reshape(shape) + 1.0)
    count = np.zeros(shape)
    taken = _taken(x.data, key)
    if taken is None:
        return
    np.add.at(count, key, 1.0)
    v = leaf(-1.0 if number else -np.arange(1.0, taken.size + 1).reshape(taken.shape))
    t = x * 1
    t[key] = v
    expected = x.data.copy()
    expected[key] = v.data
    np.testing.assert_array_equal(t.data, expected)
    weights = np.arange(x.size, dtype=float).reshape(shape) + 0.5
    (t * weights).sum().backward()
    np.testing.assert_array_equal(x.grad, np.where(count > 0, 0.0, weights))
    # Of several values for one element one stays: the one whose number is found there.
    numbers = np.zeros(shape, int)
    numbers[key] = np.arange(1, taken.size + 1).reshape(taken.shape)
    stays = np.zeros(taken.size + 1)
    stays[numbers] = weights
    expected = stays[1:].reshape(taken.shape)
    np.testing.assert_array_equal(v.grad, expected.sum() if number else expected)


@pytest.mark.parametrize(
    "index",
    [Tensor(2), Tensor([0, 2, 0]), Tensor([True, False, True]), (Tensor([1, 1]), None, Tensor(0))],
)
def test_tensors_are_indices(index):
    """Whole-number and Boolean Tensors index like the arrays that they hold."""
    x = leaf(np.arange(9.0).reshape(3, 3))
    plain = (
        tuple(i.data if isinstance(i, Tensor) else i for i in index)
        if isinstance(index, tuple)
        else index.data
    )
    out = x[index]
    np.testing.assert_array_equal(out.data, x.data[plain])
    out.sum().backward()
    reference = np.zeros((3, 3))
    np.add.at(reference, plain, 1.0)
    np.testing.assert_array_equal(x.grad, reference)


def test_a_mask_computed_from_the_tensor_selects():
    """x[x > 0] reads the chosen elements, and only they get a gradient."""
    x = leaf([-1.0, 2.0, -3.0, 4.0])
    (x[x > 0] * [10.0, 20.0]).sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 10.0, 0.0, 20.0])


@pytest.mark.parametrize("key", [3, (0, 5), [0, 9], "a", 1.5, np.array([True, False])])
def test_wrong_indices_are_index_errors(key):
    """An index out of range or of the wrong kind is an IndexError with getitem and the shape."""
    x = leaf(np.ones((3, 3)))
    with pytest.raises(IndexError, match=r"getitem.*\(3, 3\)"):
        x[key]


def test_reading_costs_no_copy():
    """Basic indices give views of the same memory."""
    x = leaf(np.ones((3, 3)))
    assert np.shares_memory(x[1:].data, x.data)
    assert np.shares_memory(x[::-1, None].data, x.data)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (1, 1, 1)])
def test_written_value_of_any_shape_gets_its_gradient(shape):
    """A value that broadcasts into its place gets a gradient of its own shape, of any rank."""
    t, v = Tensor(np.zeros((2, 3))), leaf(np.ones(shape))
    t[0] = v
    (t * [[1.0, 2.0, 3.0], [9.0, 9.0, 9.0]]).sum().backward()
    assert v.grad.shape == shape
    np.testing.assert_array_equal(v.grad.sum(), 6.0)


def test_a_write_that_would_lose_the_value_is_refused():
    """Writing a fraction that requires grad into whole numbers is an error, not a truncation."""
    t, v = Tensor([0, 0]), leaf(1.5)
    with pytest.raises(DtypeError):
        t[0] = v
    with pytest.raises(ShapeError, match=r"\(3, 2\), the Tensor \(2,\)"):
        t += leaf(np.ones((3, 2)))


@pytest.mark.parametrize(
    "read",
    [
        lambda x, i: x[i],
        lambda x, i: x[i, None],
        lambda x, i: tc.clip(x, i, None),
    ],
    ids=["index", "index in a tuple", "bound"],
)
def test_changed_index_or_bound_does_not_give_a_wrong_gradient(read):
    """Overwriting an index or bound after its use is an error, or leaves the gradient right."""
    x, i = leaf([0.0, 1.0, 2.0]), Tensor([1, 1, 0])
    expected = tc.gradients(read(x, i).sum(), x)
    y = read(x, i).sum()
    i[...] = 2
    try:
        y.backward()
    except ModifiedValueError:
        return
    np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize(
    "key",
    [
        [],
        [[]],
        ([], [1]),
        ([0, 1], slice(None), [2]),
        [True, False, True],
        ([True, False, True], [0, 1]),
        ((0, 1), (1, 2)),
        np.array(1),
        (np.array(1), None, [0, 0]),
        np.zeros((0,), int),
        np.zeros((3, 3, 3), bool),
        np.int8(-1),
        False,
        (..., True),
        (),
    ],
    ids=str,
)
def test_keys_of_every_spelling(key):
    """Lists, tuples of lists, masks, empty keys and 0-d arrays mean what they mean to NumPy."""
    x = leaf(np.arange(27.0).reshape(3, 3, 3))
    out = x[key]
    np.testing.assert_array_equal(out.data, x.data[key])
    numbers = np.arange(27).reshape(3, 3, 3)[key]
    w = np.arange(1.0, out.size + 1).reshape(out.shape)
    expected = np.zeros(27)
    np.add.at(expected, numbers.ravel(), w.ravel())
    np.testing.assert_array_equal(tc.gradients(out, x, w), expected.reshape(x.shape))


def test_slices_between_tensors():
    """The bounds of a slice may be Tensors of whole numbers, which may change later."""
    x, start = leaf([1.0, 2.0, 3.0, 4.0]), Tensor(1)
    y = x[start : Tensor(3)]
    start[...] = 0
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 1.0, 1.0, 0.0])


# ---- functions that write into their first argument -------------------------------------------

# Each takes (target, values) and writes; every one is linear in the two.
WRITES = {
    "put": ((4,), lambda t, v: np.put(t, [0, 3, -1, 5], v)),
    "put, repeated index": ((4,), lambda t, v: np.put(t, [0, 3, 0, 3], v)),
    "put, too few values": ((2,), lambda t, v: np.put(t, [0, 3, 1], v)),
    "put, too many values": ((5,), lambda t, v: np.put(t, [1, 0], v)),
    "put, wrap": ((2,), lambda t, v: np.put(t, [-7, 20], v, mode="wrap")),
    "put, clip": ((), lambda t, v: np.put(t, Tensor([-7, 20]), v, "clip")),
    "put, nothing": ((3,), lambda t, v: np.put(t, [], v)),
    "place": ((4,), lambda t, v: np.place(t, np.arange(6).reshape(2, 3) % 3 > 0, v)),
    "place, too few values": ((2,), lambda t, v: np.place(t, np.ones((2, 3), bool), v)),
    "place, nothing": ((0,), lambda t, v: np.place(t, np.zeros((2, 3), bool), v)),
    "putmask": ((2, 3), lambda t, v: np.putmask(t, [[True, False, True]] * 2, v)),
    "putmask, repeated": ((4,), lambda t, v: np.putmask(t, np.ones((2, 3), bool), v)),
    "copyto": ((2, 3), np.copyto),
    "copyto, broadcast": ((3,), np.copyto),
    "copyto, where": ((2, 1), lambda t, v: np.copyto(t, v, where=[True, False, True])),
    "fill_diagonal": ((), np.fill_diagonal),
    "fill_diagonal, values": ((2,), np.fill_diagonal),
    "put_along_axis": ((2, 1), lambda t, v: np.put_along_axis(t, np.array([[2], [0]]), v, 1)),
    "put_along_axis, broadcast": (
        (),
        lambda t, v: np.put_along_axis(t, np.array([[1, 0, 1]]), v, axis=0),
    ),
    "add.at": ((4,), lambda t, v: np.add.at(t, ([0, 1, 0, 0], [2, 1, 2, 2]), v)),
    "add.at, rows": ((3,), lambda t, v: np.add.at(t, [1, 1], v)),
    "subtract.at": ((), lambda t, v: np.subtract.at(t, (slice(None), [0, 0]), v)),
    "setitem": ((3,), lambda t, v: t.__setitem__(0, v)),
    "setitem, repeated": ((2, 3), lambda t, v: t.__setitem__([1, 1], v)),
    "setitem, one value": ((), lambda t, v: t.__setitem__(([0, 0, 1], [1, 1, 2]), v)),
    "setitem, mask": ((), lambda t, v: t.__setitem__(np.array([False, True]), v)),
}


def transposed(write, shapes, weights):
    """Return the transpose of a linear function, applied to weights: run it on unit vectors."""
    results = []
    for i, shape in enumerate(shapes):
        size = int(np.prod(shape))
        columns = []
        for unit in np.eye(size):
            arrays = [np.zeros(s) for s in shapes]
            arrays[i] = unit.reshape(shape)
            columns.append((write(*arrays) * weights).sum())
        results.append(np.reshape(columns, shape))
    return results


@pytest.mark.parametrize("name", WRITES)
def test_functions_that_write_are_recorded(name):
    """NumPy's writing functions have NumPy's values and the transposed derivative, twice."""
    shape, write = WRITES[name]

    def result(target, values):
        target = target * 1
        write(target, values)
        return target

    start = np.arange(1.0, 7.0).reshape(2, 3)
    values = -np.arange(1.0, np.prod(shape, dtype=int) + 1).reshape(shape)
    weights = leaf(np.array([[2.0, -3.0, 5.0], [7.0, 11.0, -13.0]]))
    expected = transposed(result, [start.shape, shape], weights.data)
    for x, v in ((leaf(start), leaf(values)), (leaf(start), values), (Tensor(start), leaf(values))):
        out = result(x, v)
        np.testing.assert_array_equal(out.data, result(start, values))
        sources = [(a, e) for a, e in zip((x, v), expected, strict=True)
                   if isinstance(a, Tensor) and a.requires_grad]  # fmt: skip
        gs = tc.gradients(out, [a for a, _ in sources], weights, create_graph=True)
        for g, (_, e) in zip(gs, sources, strict=True):
            np.testing.assert_array_equal(g.data, e)
        # The gradient is linear in the weights; its derivative is the write itself.
        back = tc.gradients(gs, weights, [np.ones(g.shape) for g in gs])
        ones = [np.ones(a.shape) if isinstance(a, Tensor) and a.requires_grad
                else np.zeros(np.shape(a)) for a in (x, v)]  # fmt: skip
        np.testing.assert_array_equal(back, result(*ones))


@pytest.mark.parametrize("name", WRITES)
def test_functions_that_write_without_recording(name):
    """Where nothing is recorded the Tensor's memory is written, and saved values are guarded."""
    shape, write = WRITES[name]
    values = -np.arange(1.0, np.prod(shape, dtype=int) + 1).reshape(shape)
    expected = np.arange(1.0, 7.0).reshape(2, 3)
    write(expected, values)
    t = Tensor(np.arange(1.0, 7.0).reshape(2, 3))
    memory = t.data
    write(t, values)
    assert t.data is memory
    np.testing.assert_array_equal(memory, expected)
    x = leaf(np.arange(1.0, 7.0).reshape(2, 3))
    y = (x * x).sum()
    with tc.no_grad():
        write(x, leaf(values))
    np.testing.assert_array_equal(x.data, expected)
    assert x.is_leaf
    with pytest.raises(ModifiedValueError, match=r"test_indexing.py"):
        y.backward()


@pytest.mark.parametrize("name", WRITES)
def test_functions_that_write_refuse_what_would_lose_a_history(name):
    """Leaves that require grad, bases of views and plain arrays are not written while recording."""
    shape, write = WRITES[name]
    values = leaf(np.ones(shape))
    x = leaf(np.ones((2, 3)))
    with pytest.raises(GraphError, match="leaf"):
        write(x, values)
    t = x * 1
    view = t.T
    with pytest.raises(GraphError, match="view"):
        write(t, values)
    del view
    array = np.ones((2, 3))
    with pytest.raises(UnsupportedFunctionError, match=r"plain array|history"):
        write(array, values)
    np.testing.assert_array_equal(array, np.ones((2, 3)))


def test_plain_targets_take_tensors_without_history():
    """A Tensor that does not require grad is written into an array like the array that it holds."""
    array = np.zeros((2, 2))
    np.put(array, [0], Tensor([5.0]))
    np.copyto(array, Tensor([1.0, 2.0]), where=[[False, False], [True, True]])
    np.place(array, Tensor([[False, True], [False, False]]), Tensor([7.0]))
    np.testing.assert_array_equal(array, [[5.0, 7.0], [1.0, 2.0]])
    with tc.no_grad():
        np.put(array, [0], leaf([9.0]))
    assert array[0, 0] == 9.0


def test_put_along_a_flat_array():
    """put_along_axis with axis=None writes into the flattened target, recorded or not."""
    v = leaf([1.0, 2.0])
    for t in (Tensor(np.zeros((2, 3))), leaf(np.zeros((2, 3))) * 1):
        tc.put_along_axis(t, np.array([4, 0]), v, axis=None)
        np.testing.assert_array_equal(t.data, [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    plain = Tensor(np.zeros((2, 3)))
    tc.put_along_axis(plain, np.array([4, 0]), [1.0, 2.0], axis=None)
    np.testing.assert_array_equal(plain.data, [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (3, 3, 3)])
@pytest.mark.parametrize("wrap", [False, True])
def test_fill_diagonal_of_tall_matrices_and_cubes(shape, wrap):
    """The diagonal may begin again in tall matrices, and may run through more than two axes."""
    expected = np.zeros(shape)
    np.fill_diagonal(expected, [1.0, 2.0], wrap)
    t, v = leaf(np.zeros(shape)) * 1, leaf([1.0, 2.0])
    np.fill_diagonal(t, v, wrap)
    np.testing.assert_array_equal(t.data, expected)
    np.testing.assert_array_equal(
        tc.gradients(t.sum(), v), [(expected == 1).sum(), (expected == 2).sum()]
    )


@pytest.mark.parametrize(
    ("write", "error", "text"),
    [
        (lambda t, v: np.put(t, [6], v), IndexError, "np.put.*outside.*6 elements"),
        (lambda t, v: np.put(t, [1], v[:0]), ArgumentError, "np.put.*no values"),
        (lambda t, v: np.place(t, [True], v), ShapeError, r"np.place.*\(1,\).*\(2, 3\)"),
        (lambda t, v: np.putmask(t, [True], v), ShapeError, r"np.putmask.*\(1,\).*\(2, 3\)"),
        (np.copyto, ShapeError, "broadcasts"),
        (lambda t, v: np.copyto(t, v[0], "no", [True] * 2), ShapeError, r"where.*\(2,\)"),
        (lambda t, v: np.copyto(Tensor([1, 2]), v), DtypeError, "np.copyto.*does not fit"),
        (lambda t, v: np.fill_diagonal(t[0], v), ShapeError, r"np.fill_diagonal.*\(3,\)"),
        (
            lambda t, v: np.put_along_axis(t, np.array([0]), v, 1),
            ShapeError,
            r"np.put_along_axis.*\(1,\)",
        ),
        (lambda t, v: np.put_along_axis(t, np.array([[0.0]]), v, 1), ShapeError, "whole numbers"),
        (lambda t, v: np.put_along_axis(t, np.array([[0]]), v, 2), ShapeError, "axis 2"),
        (lambda t, v: np.multiply.at(t, [0], v), UnsupportedFunctionError, "np.multiply.at"),
    ],
)
def test_wrong_writes_are_errors(write, error, text):
    """A write that makes no sense is an error that names the function, and changes nothing."""
    t = leaf(np.ones((2, 3))) * 1
    with pytest.raises(error, match=text):
        write(t, leaf([1.0, 2.0]))
    np.testing.assert_array_equal(t.data, np.ones((2, 3)))


@st.composite
def _programs(draw):
    """Draw a shape, and writes into an array of it with the shapes of their values."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=3))
    array, steps = np.zeros(shape), []
    for _ in range(draw(st.integers(1, 4))):
        key = draw(_keys(shape))
        taken = _taken(array, key)
        if taken is None:
            continue
        kind = draw(st.sampled_from(["set", "set one", "add.at", "put", "copyto"]))
        step, size = {
            "set": (lambda t, v, k=key: t.__setitem__(k, v), taken.shape),
            "set one": (lambda t, v, k=key: t.__setitem__(k, v), ()),
            # Not broadcast: for a table of indices NumPy 2.4 reads past the end of a vector.
            "add.at": (lambda t, v, k=key: np.add.at(t, k, v), taken.shape),
            "put": (lambda t, v: np.put(t, [0, -1, 0], v), (2,)),
            "copyto": (lambda t, v: np.copyto(t, v, where=np.arange(shape[-1]) > 0), shape[-1:]),
        }[kind]
        steps.append((step, size))
    return shape, steps


@settings(max_examples=200, deadline=None)
@given(program=_programs())
def test_chains_of_writes(program):
    """Any chain of writes has NumPy's result; its gradient is the transpose of the chain."""
    shape, steps = program

    def run(target, *values):
        target = target * 1
        for (step, _), v in zip(steps, values, strict=True):
            step(target, v)
        return target

    shapes = [shape, *(size for _, size in steps)]
    arrays = [
        np.arange(1.0, np.prod(s, dtype=int) + 1).reshape(s) + i for i, s in enumerate(shapes)
    ]
    leaves = [leaf(a) for a in arrays]
    out = run(*leaves)
    np.testing.assert_array_equal(out.data, run(*arrays))
    weights = np.random.default_rng(0).integers(-9, 10, shape).astype(float)
    expected = transposed(run, shapes, weights)
    for g, e in zip(tc.gradients(out, leaves, weights), expected, strict=True):
        np.testing.assert_array_equal(g, e)
