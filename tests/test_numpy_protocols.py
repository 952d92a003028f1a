"""NumPy's functions on Tensors: recorded, refused with a cure, or plain; no object arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.errors import UnsupportedFunctionError


def leaf(data):
    return Tensor(np.array(data, dtype=float), requires_grad=True)


_MATRIX = np.array([[0.7, 1.9, 0.4], [1.3, 0.2, 1.1]])
_SQUARE = np.array([[2.0, 0.3], [0.5, 1.5]])
_OTHER = np.array([[0.5, 1.5, 2.5], [2.0, 1.0, 0.6]])

_RECORDED = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "square": np.square,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "abs": lambda t: np.abs(t - 1),
    "negative": np.negative,
    "add array": lambda t: np.add(t, _OTHER),
    "array first": lambda t: np.subtract(_OTHER, t),
    "multiply": lambda t: np.multiply(t, t),
    "divide": lambda t: np.divide(_OTHER, t),
    "power": lambda t: np.power(t, 1.5),
    "maximum": lambda t: np.maximum(t, _OTHER),
    "minimum": lambda t: np.minimum(_OTHER, t),
    "array @ tensor": lambda t: _SQUARE @ t,
    "tensor @ array": lambda t: t @ _OTHER.T,
    "array * tensor": lambda t: _OTHER * t,
    "array - tensor": lambda t: _OTHER[0] - t,
    "array / tensor": lambda t: _OTHER / t,
    "array ** tensor": lambda t: _OTHER**t,
    "scalar + tensor": lambda t: np.float64(2) + t,
    "scalar / tensor": lambda t: np.float64(2) / t,
    "0-d * tensor": lambda t: np.array(3.0) * t,
    "sum": np.sum,
    "sum axis": lambda t: np.sum(t, axis=0, keepdims=True),
    "mean": lambda t: np.mean(t, 1),
    "var": lambda t: np.var(t, axis=0, ddof=1),
    "max": lambda t: np.max(t, axis=1),
    "amax": np.amax,
    "min": lambda t: np.min(t, axis=0, keepdims=True),
    "add.reduce": np.add.reduce,
    "maximum.reduce": lambda t: np.maximum.reduce(t, axis=1),
    "concatenate": lambda t: np.concatenate([t, _OTHER, t * 2], axis=1),
    "concatenate flat": lambda t: np.concatenate((t, _OTHER), axis=None),
    "stack": lambda t: np.stack([_OTHER, t], axis=-1),
    "split": lambda t: np.split(t, [1], axis=1)[1],
    "where": lambda t: np.where(_MATRIX > 1, t, 0.5),
    "clip": lambda t: np.clip(t, 0.3, 1.2),
    "matmul": lambda t: np.matmul(t, _OTHER.T),
    "dot": lambda t: np.dot(t, _OTHER[0]),
    "transpose": np.transpose,
    "transpose axes": lambda t: np.transpose(t, (1, 0)),
    "swapaxes": lambda t: np.swapaxes(t, 0, 1),
    "reshape": lambda t: np.reshape(t, (3, -1)),
    "ravel": np.ravel,
    "expand_dims": lambda t: np.expand_dims(t, (0, 2)),
    "squeeze": lambda t: np.squeeze(t[:1]),
    "broadcast_to": lambda t: np.broadcast_to(t, (2, 2, 3)),
    "copy": np.copy,
    "inv": lambda t: np.linalg.inv(t[:, :2] + _SQUARE),
    "slogdet": lambda t: np.linalg.slogdet(t[:, :2] + _SQUARE)[1],
}


@pytest.mark.parametrize("name", _RECORDED)
def test_numpy_functions_record(name):
    """A NumPy function of a Tensor gives NumPy's value, and its gradient is the measured slope."""
    function = _RECORDED[name]
    x = leaf(_MATRIX)
    out = function(x)
    expected = function(_MATRIX)
    assert isinstance(out, Tensor)
    assert out.requires_grad
    np.testing.assert_allclose(out.data, expected, rtol=1e-14)
    rng = np.random.default_rng(0)
    g, direction = rng.standard_normal(np.shape(expected)), rng.standard_normal(_MATRIX.shape)
    out.backward(g)
    h = 1e-6
    slope = (function(_MATRIX + h * direction) - function(_MATRIX - h * direction)) / (2 * h)
    np.testing.assert_allclose((x.grad * direction).sum(), (slope * g).sum(), rtol=1e-7, atol=1e-8)


_CONSTANT = {
    "argmax": lambda t: np.argmax(t, axis=1),
    "argmin": np.argmin,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "rint": np.rint,
    "isnan": np.isnan,
    "isfinite": np.isfinite,
    "greater": lambda t: np.greater(t, 1),
    "array < tensor": lambda t: _OTHER[:] < t,
    "equal": lambda t: np.equal(_OTHER, t),
    "not_equal": lambda t: t != _OTHER,
    "less_equal": lambda t: np.less_equal(t, t),
    "logical_not": np.logical_not,
    "logical_and": lambda t: np.logical_and(t, _OTHER > 1),
    "all": lambda t: np.all(t, axis=0),
    "any": np.any,
}


@pytest.mark.parametrize("name", _CONSTANT)
def test_functions_without_derivative_give_constants(name):
    """A piecewise constant function of a Tensor is a Tensor that does not require grad."""
    out = _CONSTANT[name](leaf(_MATRIX))
    assert isinstance(out, Tensor)
    assert not out.requires_grad
    assert out.is_leaf
    np.testing.assert_array_equal(out.data, _CONSTANT[name](_MATRIX))


def test_descriptions_are_plain():
    """np.shape, ndim and size describe a Tensor in plain Python; *_like give constants."""
    t = leaf(_MATRIX)
    assert (np.shape(t), np.ndim(t), np.size(t)) == ((2, 3), 2, 6)
    assert type(np.shape(t)) is tuple
    assert not np.zeros_like(t).requires_grad
    np.testing.assert_array_equal(np.zeros_like(t).data, np.zeros((2, 3)))
    assert np.ones_like(t, dtype=int).dtype.kind == "i"
    assert np.allclose(t, _MATRIX)
    assert not np.array_equal(t, _OTHER)


def test_slogdet_sign_is_constant():
    """The sign of a determinant is a constant, beside the logarithm that is recorded."""
    sign, logdet = np.linalg.slogdet(leaf(-_SQUARE[:1, :1]))
    assert (sign.item(), sign.requires_grad, logdet.requires_grad) == (-1.0, False, True)


_X = leaf(_MATRIX)
_REFUSED = {
    "np.add.at": lambda: np.add.at(_MATRIX.copy(), [0], _X),
    "np.multiply.at": lambda: np.multiply.at(_X * 1.0, [0], 2.0),
    "np.add.reduceat": lambda: np.add.reduceat(_X, [0, 1]),
    "np.copyto": lambda: np.copyto(_MATRIX.copy(), _X),
    "np.exp with out=": lambda: np.exp(_X, out=np.zeros((2, 3))),
    "np.sum with out=": lambda: np.sum(_X, out=np.zeros(())),
    "np.concatenate with out=": lambda: np.concatenate([_X, _X], out=np.zeros((4, 3))),
    "np.add.reduce with out=": lambda: np.add.reduce(_X, out=np.zeros(3)),
    "np.subtract.reduce with initial=": lambda: np.subtract.reduce(_X, initial=9.0),
    "np.modf with where=": lambda: np.modf(_X, where=_MATRIX > 1),
    "np.matmul with axes=": lambda: np.matmul(_X, _X, axes=[(0, 1), (1, 0), (0, 1)]),
}


@pytest.mark.parametrize("name", _REFUSED)
def test_functions_without_a_rule_are_refused(name):
    """A function or option without a rule raises TypeError with its name and what to do."""
    with pytest.raises(UnsupportedFunctionError, match=rf"^{name}") as caught:
        _REFUSED[name]()
    assert isinstance(caught.value, TypeError)
    assert len(str(caught.value)) > len(name) + 30  # the cure


# ---- the methods and options of ufuncs -----------------------------------------------------

_METHODS = {
    "add.reduce": np.add.reduce,
    "add.reduce all": lambda t: np.add.reduce(t, axis=None),
    "add.reduce where": lambda t: np.add.reduce(t, axis=1, where=_MATRIX > 1),
    "multiply.reduce": lambda t: np.multiply.reduce(t, axis=1, keepdims=True),
    "maximum.reduce initial": lambda t: np.maximum.reduce(t, axis=0, initial=1.0),
    "subtract.reduce": lambda t: np.subtract.reduce(t, axis=1),
    "divide.reduce": lambda t: np.divide.reduce(t, axis=-1, keepdims=True),
    "logaddexp.reduce": lambda t: np.logaddexp.reduce(t, axis=0),
    "hypot.reduce": lambda t: np.hypot.reduce(t, axis=1),
    "add.accumulate": lambda t: np.add.accumulate(t, axis=1),
    "multiply.accumulate": np.multiply.accumulate,
    "maximum.accumulate": lambda t: np.maximum.accumulate(t, axis=1),
    "subtract.accumulate": lambda t: np.subtract.accumulate(t, axis=-1),
    "multiply.outer": lambda t: np.multiply.outer(t, _OTHER),
    "array first": lambda t: np.subtract.outer(_OTHER[0], t),
    "hypot.outer": lambda t: np.hypot.outer(t, t),
    "where": lambda t: (
        np.log(t - 0.5, where=_MATRIX > 0.5, out=np.zeros((2, 3)))
        if not isinstance(t, Tensor)
        else np.log(t - 0.5, where=_MATRIX > 0.5)
    ),
    "where two": lambda t: (
        np.divide(t, _OTHER, where=_MATRIX > 1, out=np.ones((2, 3)))
        if not isinstance(t, Tensor)
        else np.divide(t, _OTHER, where=_MATRIX > 1, out=Tensor(np.ones((2, 3))))
    ),
    "dtype": lambda t: np.add(t, 1, dtype=np.float64),
    "out": lambda t: (
        np.exp(t, out=np.zeros((2, 3)))
        if not isinstance(t, Tensor)
        else np.exp(t, out=Tensor(np.zeros((2, 3))))
    ),
}


@pytest.mark.parametrize("name", _METHODS)
def test_methods_and_options_of_ufuncs_record(name):
    """reduce, accumulate, outer, where=, dtype= and out= have NumPy's values and right slopes."""
    function = _METHODS[name]
    out = function(leaf(_MATRIX))
    assert out.requires_grad
    np.testing.assert_allclose(out.data, function(_MATRIX), rtol=1e-15)
    report = tc.gradcheck(function, _MATRIX, order=2, seed=0)
    assert report, str(report)


def test_where_keeps_what_is_not_chosen_out_of_the_gradient():
    """An infinite slope at a place that is not chosen does not spoil the gradient."""
    x = leaf([-1.0, 0.0, 4.0])
    np.sqrt(x, where=np.array([False, False, True])).sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 0.0, 0.25])


def test_dtype_of_a_ufunc_is_checked_as_numpy_does():
    """dtype= converts by NumPy's casting rule, and the gradient comes back in the old dtype."""
    x = leaf([1.0, 2.0])
    y = np.multiply(x, 3, dtype=np.float32)
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float64
    with pytest.raises(TypeError, match=r"np\.multiply: cannot cast complex128 to float64"):
        np.multiply(Tensor([1j]), 2, dtype=float)


def test_out_may_be_a_tensor_that_then_has_the_history():
    """out= of a Tensor replaces its value and history, and is what the call returns."""
    x, out = leaf([1.0, 2.0]), Tensor(np.zeros(2))
    assert np.multiply(x, x, out=out) is out
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])
    with pytest.raises(RuntimeError, match="leaf that requires grad"):
        np.exp(Tensor([0.0, 1.0]), out=x)


def test_out_may_be_an_array_where_nothing_is_recorded():
    """A constant result is written into a plain array, which the call returns."""
    array = np.zeros(2)
    assert np.exp(Tensor([0.0, 1.0]), out=array) is array
    np.testing.assert_array_equal(array, np.exp([0.0, 1.0]))
    with tc.no_grad():
        np.sum(leaf([[1.0, 2.0]]), axis=0, out=array)
    np.testing.assert_array_equal(array, [1.0, 2.0])


@pytest.mark.parametrize("ufunc", [np.add, np.subtract], ids=["add", "subtract"])
def test_ufunc_at_counts_repeated_indices(ufunc):
    """np.add.at on a Tensor counts every repetition, and its gradient does too."""
    v, start = leaf([1.0, 2.0, 3.0]), leaf([10.0, 20.0])
    t = start * 1.0
    ufunc.at(t, [0, 0, 1], v)
    expected = np.array([10.0, 20.0])
    ufunc.at(expected, [0, 0, 1], v.data)
    np.testing.assert_array_equal(t.data, expected)
    (t * [5.0, 7.0]).sum().backward()
    sign = 1 if ufunc is np.add else -1
    np.testing.assert_array_equal(v.grad, sign * np.array([5.0, 5.0, 7.0]))
    np.testing.assert_array_equal(start.grad, [5.0, 7.0])


def test_ufunc_at_without_recording_writes_into_memory():
    """Any ufunc's at works on a Tensor that nothing records, and saved values notice it."""
    t = Tensor(np.array([1.0, 2.0]))
    w = leaf([1.0, 1.0])
    y = (w * t).sum()
    np.multiply.at(t, [0, 0], 3.0)
    np.testing.assert_array_equal(t.data, [9.0, 2.0])
    with pytest.raises(RuntimeError, match=r"overwritten afterwards by np\.multiply\.at"):
        y.backward()


def test_names_of_numpy_are_understood():
    """Arguments given by NumPy's own names reach our functions."""
    x = leaf(_MATRIX)
    np.testing.assert_array_equal(np.sum(a=x, axis=1).data, _MATRIX.sum(1))
    np.testing.assert_array_equal(np.swapaxes(x, axis1=0, axis2=1).data, _MATRIX.T)
    np.testing.assert_array_equal(np.flip(m=x, axis=1).data, _MATRIX[:, ::-1])
    np.testing.assert_array_equal(np.roll(a=x, shift=1).data, np.roll(_MATRIX, 1))
    np.testing.assert_array_equal(np.clip(a=x, a_min=0.5, a_max=None).data, _MATRIX.clip(0.5))
    np.testing.assert_array_equal(np.concatenate([x, x], axis=1, dtype=None).shape, (2, 6))


def test_einsum_is_recorded_or_refused():
    """np.einsum either records or raises TypeError with its name; it never loses the history."""
    try:
        out = np.einsum("ij,kj->ik", _X, _OTHER)
    except TypeError as error:
        assert "np.einsum" in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert out.requires_grad
        np.testing.assert_allclose(out.data, _MATRIX @ _OTHER.T)


def test_asarray():
    """np.asarray of a Tensor that requires grad is refused with the cure, otherwise the array."""
    t = leaf(_MATRIX)
    for convert in (
        np.asarray,
        np.array,
        np.ascontiguousarray,
        lambda x: np.asarray(x, np.float32),
    ):
        with pytest.raises(TypeError, match=r"\.numpy\(\) or \.detach\(\)"):
            convert(t)
        with pytest.raises(TypeError, match=r"\.numpy\(\) or \.detach\(\)"):
            convert(t.sum())
    plain = t.detach()
    assert np.shares_memory(np.asarray(plain), t.data)
    assert not np.shares_memory(np.array(plain), t.data)
    assert np.asarray(plain, dtype=np.float32).dtype == np.float32
    assert type(np.asarray(plain.sum())) is np.ndarray


_NESTED = {
    "np.array": lambda t: np.array([t, t]),
    "np.asarray": lambda t: np.asarray([t, t]),
    "nested": lambda t: np.array([[t[0], t[1]], [1.0, 2.0]]),
    "object dtype": lambda t: np.array([t, t], dtype=object),
    "beside an array": lambda t: np.array([t, np.ones(2)]),
    "beside None": lambda t: np.array([t[0], None]),
    "array + list": lambda t: np.add(np.ones(2), [t[0], t[1]]),
    "where None": lambda t: np.where(t > 1, t, None),
    "object operand": lambda t: t + np.array([1, 2], dtype=object),
    "object part": lambda t: np.concatenate([t, np.array([1, None])]),
    "None in a stack": lambda t: tc.stack([t[0], None]),
    "None in array()": lambda t: tc.array([[t[0], None]]),
    "text": lambda t: t + np.array(["a", "b"]),
}


@pytest.mark.parametrize("name", _NESTED)
def test_never_an_object_array(name):
    """Tensors among lists, None or objects are refused: no object array appears."""
    with pytest.raises(TypeError):
        _NESTED[name](leaf([1.0, 2.0]))


def test_lists_of_constants_become_number_arrays():
    """Tensors that do not require grad may be put into an array of numbers."""
    t = Tensor([1.0, 2.0])
    for array in (np.array([t, t]), np.asarray([t[0], 2.0]), np.asarray([[t], [t]])):
        assert array.dtype == np.float64


def test_writing_into_an_array_in_place_is_refused():
    """``ndarray += tensor`` would lose history: it is an error, and leaves the array as it was."""
    array = np.ones(2)
    with pytest.raises(TypeError, match=r"np\.add with out=.*assign the result to a name"):
        array += leaf([1.0, 2.0])
    with pytest.raises(TypeError, match=r"np\.multiply with out="):
        array *= leaf([1.0, 2.0])
    np.testing.assert_array_equal(array, [1.0, 1.0])
    array += Tensor([1.0, 2.0])  # nothing is lost here
    np.testing.assert_array_equal(array, [2.0, 3.0])


def test_assigning_a_recorded_tensor_to_a_slice_of_an_array_is_refused():
    """``ndarray[:] = tensor`` would lose the history, and is refused for one that requires grad."""
    array = np.zeros(2)
    with pytest.raises((TypeError, ValueError)):
        array[:] = leaf([1.0, 2.0])
    array[:] = Tensor([1.0, 2.0])
    np.testing.assert_array_equal(array, [1.0, 2.0])


def test_at_with_fewer_values_than_indices():
    """np.add.at spreads its values over a table of indices, also where nothing is recorded."""
    t, table, v = Tensor(np.zeros(4)), np.array([[0, 1], [2, 1], [3, 0]]), np.array([1.0, 10.0])
    np.add.at(t, table, v)
    np.testing.assert_array_equal(t.data, [11.0, 20.0, 1.0, 1.0])


def test_our_functions_are_the_same_functions():
    """tinygrad_course's functions record on Tensors and compute plain arrays on arrays."""
    for name in ("exp", "sum", "concatenate", "where", "matmul", "reshape", "clip", "maximum"):
        arguments = {
            "concatenate": ([_MATRIX, _OTHER],),
            "where": (_MATRIX > 1, _MATRIX, _OTHER),
            "matmul": (_MATRIX, _OTHER.T),
            "reshape": (_MATRIX, (3, 2)),
            "clip": (_MATRIX, 0.3, 1.0),
            "maximum": (_MATRIX, _OTHER),
        }.get(name, (_MATRIX,))
        result = getattr(tc, name)(*arguments)
        assert not isinstance(result, Tensor)
        np.testing.assert_allclose(result, getattr(np, name)(*arguments), rtol=1e-14)


@pytest.mark.parametrize("used", ["all", "first", "last"])
@pytest.mark.parametrize("sections", [[-1], [1, 5], [0, 2], [3]])
def test_split_positions(sections, used):
    """np.split at any positions gives NumPy's parts, and the gradient of whichever part is used."""
    x = leaf([1.0, 2.0, 3.0])
    parts = np.split(x, sections)
    place = np.zeros(3)
    total = 0.0
    for k, where in enumerate(np.split(np.arange(3), sections)):
        np.testing.assert_array_equal(parts[k].data, x.data[where])
        if used == "all" or k == (0 if used == "first" else len(sections)):
            total = total + parts[k].sum() * (k + 1)
            place[where] += k + 1
    total.backward()
    np.testing.assert_array_equal(x.grad, place)


def test_overlapping_split_positions_give_no_wrong_gradient():
    """Positions that are not in order are refused at once, or every part has its own gradient."""
    x = leaf([1.0, 2.0, 3.0])
    try:
        first, _, last = np.split(x, [2, 1])
    except ValueError:
        return
    (first.sum() + 10 * last.sum()).backward()
    np.testing.assert_array_equal(x.grad, [1.0, 11.0, 10.0])


# ---- methods, functions and NumPy agree ------------------------------------------------------

_arrays = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=4),
    elements=st.floats(-4, 4, width=16),
)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), a=_arrays, keepdims=st.booleans())
def test_reductions_agree_with_numpy(data, a, keepdims):
    """sum, mean, var, max and min over any axes are NumPy's, as a method and as a function."""
    some = st.lists(
        st.integers(-a.ndim, a.ndim - 1), max_size=a.ndim, unique_by=lambda k: k % a.ndim
    )
    axis = data.draw(st.one_of(st.none(), st.integers(-a.ndim, a.ndim - 1), some.map(tuple)))
    for name in ("sum", "mean", "var", "max", "min"):
        expected = getattr(np, name)(a, axis=axis, keepdims=keepdims)
        for result in (
            getattr(Tensor(a), name)(axis=axis, keepdims=keepdims),
            getattr(tc, name)(Tensor(a), axis=axis, keepdims=keepdims),
        ):
            assert result.shape == expected.shape
            np.testing.assert_allclose(result.data, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            getattr(tc, name)(a, axis, keepdims=keepdims), expected, atol=1e-12
        )
    one = axis if isinstance(axis, int) else None
    np.testing.assert_array_equal(Tensor(a).argmax(axis=one).data, np.argmax(a, axis=one))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), a=_arrays)
def test_shapes_agree_with_numpy(data, a):
    """Chains of transpose, expand_dims, reshape and squeeze move elements as NumPy does."""
    order = data.draw(st.permutations(range(a.ndim)))
    axis = data.draw(st.integers(-a.ndim - 1, a.ndim))
    x = leaf(a)
    t = tc.expand_dims(x.transpose(*order), axis)
    expected = np.expand_dims(a.transpose(order), axis)
    np.testing.assert_array_equal(t.data, expected)
    np.testing.assert_array_equal(t.T.reshape(-1).data, expected.T.reshape(-1))
    np.testing.assert_array_equal(tc.squeeze(t).data, np.squeeze(expected))
    np.testing.assert_array_equal(t.squeeze(axis).data, expected.squeeze(axis))
    np.testing.assert_array_equal(tc.swapaxes(t, 0, -1).data, expected.swapaxes(0, -1))
    weights = np.arange(a.size, dtype=float).reshape(t.T.reshape(-1).shape)
    (t.T.reshape(-1) * weights).sum().backward()
    place = np.expand_dims(np.arange(a.size).reshape(a.shape).transpose(order), axis).T.reshape(-1)
    back = np.empty(a.size)
    back[place] = weights
    np.testing.assert_array_equal(x.grad, back.reshape(a.shape))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), a=_arrays, b=st.floats(-2, 2))
def test_joining_and_cutting_agree_with_numpy(data, a, b):
    """concatenate, stack, split, clip and where give NumPy's values along any axis."""
    axis = data.draw(st.integers(-a.ndim, a.ndim - 1))
    cut = sorted(data.draw(st.lists(st.integers(0, a.shape[axis]), max_size=3)))
    t = Tensor(a)
    for ours, theirs in [
        (tc.concatenate([t, a, t], axis), np.concatenate([a, a, a], axis)),
        (tc.stack([t, a], axis), np.stack([a, a], axis)),
        (t.clip(b - 1, b), a.clip(b - 1, b)),
        (tc.where(t > b, t, b), np.where(a > b, a, b)),
        *zip(tc.split(t, cut, axis), np.split(a, cut, axis), strict=True),
    ]:
        np.testing.assert_array_equal(ours.data, theirs)


def test_axes_that_do_not_exist_are_refused():
    """squeeze and expand_dims refuse an axis that NumPy refuses, instead of wrapping it around."""
    t = Tensor(np.ones((1, 2, 1)))
    for call in (lambda: t.squeeze(3), lambda: t.squeeze(-4), lambda: tc.expand_dims(t, 4)):
        with pytest.raises((ValueError, IndexError)):
            call()


def test_expand_dims_takes_a_list():
    """expand_dims takes its axes as an int, a tuple or a list, as NumPy's does."""
    t = Tensor(np.ones((2, 3)))
    for axes in (0, (0, -1), [0, 1]):
        assert tc.expand_dims(t, axes).shape == np.expand_dims(t.data, axes).shape


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3,), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3,)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 2)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 2)),
    ],
)
def test_matmul_agrees_with_numpy(left, right):
    """matmul gives NumPy's value for every case of shapes, and its gradient."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(left), rng.standard_normal(right)
    x, y = leaf(a), leaf(b)
    out = x @ y
    expected = a @ b
    np.testing.assert_array_equal(out.data, expected)
    g = rng.standard_normal(expected.shape)
    out.backward(g)
    for t, along in ((x, lambda d: d @ b), (y, lambda d: a @ d)):
        direction = rng.standard_normal(t.shape)
        np.testing.assert_allclose(
            (t.grad * direction).sum(), (g * along(direction)).sum(), atol=1e-12
        )
        assert t.grad.shape == t.shape
