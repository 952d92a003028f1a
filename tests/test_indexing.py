"""Reading and writing with every kind of index that NumPy knows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.errors import DtypeError, ModifiedValueError, ShapeError


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
    if count.max(initial=0) <= 1:  # of several values for one element NumPy keeps any
        if number:
            assert v.grad == (weights * count).sum()
        else:
            np.testing.assert_array_equal(v.grad, weights[key])


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
