"""NumPy's functions that move elements about: NumPy's values, exact gradients, to second order."""

from __future__ import annotations

import doctest

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
    ShapeError,
    TinygradCourseError,
    UnsupportedFunctionError,
)
from tinygrad_course.ops import indexing, joining, padding, picking, ranges, shaping

windows = np.lib.stride_tricks.sliding_window_view


def leaf(data, dtype=float):
    return Tensor(np.array(data, dtype=dtype), requires_grad=True)


def counted(shape, dtype=float):
    """Return 1, 2, 3, …: every element is known by its value."""
    return np.arange(1, np.prod(shape, dtype=int) + 1).reshape(shape).astype(dtype)


def parts(result):
    return list(result) if isinstance(result, tuple | list) else [result]


def weights(outputs):
    """Return whole numbers, so that sums are exact in whatever order they are taken."""
    rng = np.random.default_rng(0)
    return [rng.choice([-3.0, -2.0, -1.0, 1.0, 2.0, 4.0], np.shape(out)) for out in outputs]


def expected_gradients(arrays, outs, ws):
    """Return the gradient of sum(w * out): each w added where its element came from, else lost."""
    size = sum(a.size for a in arrays)
    total = np.zeros(size + 1)
    for out, w in zip(outs, ws, strict=True):
        np.add.at(total, np.asarray(out).astype(int).ravel(), np.ravel(w))
    cuts = np.cumsum([a.size for a in arrays])
    return [
        piece.reshape(a.shape)
        for piece, a in zip(np.split(total[1:], cuts[:-1]), arrays, strict=True)
    ]


def check_moves(call, *shapes):
    """Check a function that only moves elements, or adds zeros, in values and derivatives.

    Its inputs are numbered through, so that its result on arrays says where each element goes.
    """
    numbers = counted((sum(int(np.prod(s)) for s in shapes),))
    cuts = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
    arrays = [a.reshape(s) for a, s in zip(np.split(numbers, cuts), shapes, strict=True)]
    theirs = parts(call(*arrays))
    leaves = [leaf(a) for a in arrays]
    ours = parts(call(*leaves))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert isinstance(a, Tensor)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(a.data, b)
    ws = weights(theirs)
    expected = expected_gradients(arrays, theirs, ws)
    starts = [leaf(w) for w in ws]
    if not ours:
        return
    recorded = tc.gradients(ours, leaves, starts, create_graph=True, retain_graph=True)
    plain = tc.gradients(ours, leaves, ws)
    for g, r, e in zip(plain, recorded, expected, strict=True):
        np.testing.assert_array_equal(g, e)
        np.testing.assert_array_equal(r.data, e)
    # The gradient is linear in the weights; its own derivative moves forward again.
    directions = weights(arrays)
    back = tc.gradients(recorded, starts, directions)
    for b, e in zip(back, parts(call(*directions)), strict=True):
        np.testing.assert_array_equal(b, e)


MOVES = {
    "reshape": [
        (lambda x: np.reshape(x, (3, 2)), (2, 3)),
        (lambda x: np.reshape(x, 6), (2, 3)),
        (lambda x: np.reshape(x, [-1, 2], "F"), (2, 3)),
        (lambda x: np.reshape(x, (3, -1), order="A"), (2, 3)),
        (lambda x: np.reshape(x.T, (4, -1), order="A"), (2, 3, 2)),
        (lambda x: np.reshape(x.T, (4, -1), "A"), (6, 2)),
    ],
    "ravel": [
        *[(lambda x, o=o: np.ravel(x, o), (2, 3, 2)) for o in "CFAK"],
        *[(lambda x, o=o: np.ravel(np.transpose(x, (1, 2, 0)), o), (2, 3, 2)) for o in "CFAK"],
        *[(lambda x, o=o: np.ravel(x[::-1, ::2], order=o), (3, 4)) for o in "CFAK"],
        (np.ravel, ()),
    ],
    "transpose": [
        (np.transpose, (2, 3)),
        (lambda x: np.transpose(x, [1, 0, 2]), (2, 3, 4)),
        (lambda x: np.permute_dims(x, (2, 0, -2)), (2, 3, 4)),
        (np.matrix_transpose, (2, 3, 4)),
    ],
    "axes": [
        (lambda x: np.swapaxes(x, 0, -1), (2, 3, 4)),
        (lambda x: np.moveaxis(x, [0, 1], [-1, 0]), (2, 3, 4)),
        (lambda x: np.moveaxis(x, 2, 0), (2, 3, 4)),
        *[(lambda x, a=a, s=s: np.rollaxis(x, a, s), (2, 3, 4))
          for a in (0, -1) for s in (0, 2, 3)],
        (lambda x: np.rollaxis(x, 2, -1), (2, 3, 4)),
        (lambda x: np.expand_dims(x, (0, -1)), (2, 3)),
        (np.squeeze, (1, 3, 1)),
        (lambda x: np.squeeze(x, axis=-1), (1, 3, 1)),
        (lambda x: np.squeeze(x, (0, 2)), (1, 3, 1)),
    ],
    "atleast": [
        *[(f, s) for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d)
          for s in ((), (3,), (2, 3), (2, 3, 2), (1, 2, 1, 2))],
        (np.atleast_2d, (), (3,)),
    ],
    "broadcast": [
        (lambda x: np.broadcast_to(x, (2, 3)), (3,)),
        (lambda x: np.broadcast_to(x, 3), ()),
        (lambda x: np.broadcast_to(x, (0, 3)), (1, 3)),
        (np.broadcast_arrays, (2, 1), (3,)),
        (np.broadcast_arrays, (2,)),
    ],
    "flip": [
        (np.flip, (2, 3)),
        (lambda x: np.flip(x, (0, -1)), (2, 3, 2)),
        (np.fliplr, (2, 3)),
        (np.flipud, (3,)),
        *[(lambda x, k=k: np.rot90(x, k), (2, 3)) for k in range(-1, 5)],
        (lambda x: np.rot90(x, axes=(1, 2)), (2, 3, 2)),
    ],
    "roll": [
        (lambda x: np.roll(x, 2), (2, 3)),
        (lambda x: np.roll(x, (1, -1), axis=(0, 1)), (2, 3)),
        (lambda x: np.roll(x, [1, 1], axis=0), (3, 2)),
        (lambda x: np.roll(x, Tensor(1), 1), (2, 3)),
    ],
    "tile": [
        (lambda x: np.tile(x, 2), (2, 3)),
        (lambda x: np.tile(x, [2, 1, 2]), (2, 3)),
        (lambda x: np.tile(x, (0, 2)), (2, 3)),
        (lambda x: np.tile(x, ()), (2, 3)),
    ],
    "repeat": [
        (lambda x: np.repeat(x, 2), (2, 3)),
        (lambda x: np.repeat(x, [1, 0, 2], axis=1), (2, 3)),
        (lambda x: np.repeat(x, 2, -2), (2, 3)),
        (lambda x: np.repeat(x, [2], 0), (2, 3)),
        (lambda x: np.repeat(x, Tensor([1, 2]), 0), (2, 3)),
    ],
    "resize": [
        (lambda x: np.resize(x, (3, 4)), (5,)),
        (lambda x: np.resize(x, 2), (2, 3)),
    ],
    "concatenate": [
        (lambda x, y: np.concatenate([x, y]), (2, 3), (1, 3)),
        (lambda x, y: np.concatenate((x, y), -1), (2, 3), (2, 0)),
        (lambda x, y: np.concat([x, y, x], axis=None), (2, 3), ()),
        (np.concatenate, (2, 3)),
        (lambda x: np.concatenate(x, axis=1), (2, 3, 2)),
    ],
    "stack": [
        (lambda x, y: np.stack([x, y]), (2, 3), (2, 3)),
        (lambda x, y: np.stack((x, y), axis=-1), (2, 3), (2, 3)),
        (lambda x: np.stack(x, 1), (2, 3)),
        (lambda x, y: np.vstack([x, y]), (3,), (2, 3)),
        (lambda x, y: np.vstack((x, y)), (), (2, 1)),
        (lambda x, y: np.hstack([x, y]), (3,), ()),
        (lambda x, y: np.hstack([x, y]), (2, 1), (2, 3)),
        (lambda x, y: np.dstack([x, y]), (3,), (1, 3)),
        (lambda x, y: np.dstack([x, y]), (2, 3, 1), (2, 3)),
        (lambda x, y: np.column_stack([x, y]), (3,), (3, 2)),
        (lambda x, y: np.column_stack([x, y]), (), ()),
        (np.append, (2, 3), (2,)),
        (lambda x, y: np.append(x, y, axis=0), (2, 3), (1, 3)),
    ],
    "block": [
        (np.block, (2, 3)),
        (lambda x, y: np.block([x, y]), (2,), ()),
        (lambda x, y: np.block([[x, y], [y, x]]), (2, 2), (2, 2)),
        (lambda x, y: np.block([[x], [y]]), (3,), (2, 3)),
        (lambda x, y: np.block([[[x, y]], [[y, x]]]), (2, 2), (2, 2)),
        (lambda x, y: np.block([x, y]), (1, 2, 2), (2, 3)),
    ],
    "split": [
        (lambda x: np.split(x, 3), (6,)),
        (lambda x: np.split(x, [1, 1, 4], axis=-1), (2, 5)),
        (lambda x: np.split(x, [4, 2, 9, -1]), (6,)),
        (lambda x: np.split(x, np.array([2])), (3, 2)),
        (lambda x: np.array_split(x, 4), (6, 2)),
        (lambda x: np.array_split(x, 5, axis=1), (2, 3)),
        (lambda x: np.array_split(x, [1, 2]), (4,)),
        (lambda x: np.hsplit(x, 2), (4,)),
        (lambda x: np.hsplit(x, [1]), (2, 3)),
        (lambda x: np.vsplit(x, 2), (2, 3)),
        (lambda x: np.dsplit(x, 2), (1, 2, 4)),
        (lambda x: tc.unstack(x, axis=-1) if isinstance(x, Tensor) else
         tuple(np.moveaxis(x, -1, 0)), (2, 3)),
    ],
    "grid": [
        *[(lambda x, y, o=o: np.meshgrid(x, y, **o), (3,), (2,))
          for o in ({}, {"sparse": True}, {"indexing": "ij"}, {"copy": False})],
        (np.meshgrid, (3,)),
        (np.meshgrid, (2,), (2, 2), ()),
    ],
    "diagonal": [
        *[(lambda x, k=k: np.diag(x, k), (3, 4)) for k in (0, 1, -2, 7)],
        *[(lambda x, k=k: np.diag(x, k), (3,)) for k in (0, 1, -2)],
        (lambda x: np.diagflat(x, 1), (2, 2)),
        (np.diagonal, (3, 4)),
        (lambda x: np.diagonal(x, 1, 2, 0), (3, 2, 4)),
        (lambda x: np.diagonal(x, offset=-1, axis1=-2, axis2=-1), (3, 2, 4)),
        *[(lambda x, k=k: np.tril(x, k), (2, 3, 4)) for k in (0, 1, -1)],
        *[(lambda x, k=k: np.triu(x, k=k), (3, 3)) for k in (0, 1, -1)],
        (np.tril, (3,)),
    ],
    "take": [
        (lambda x: np.take(x, [0, 5, 0]), (2, 3)),
        (lambda x: np.take(x, [[0, -1], [1, 1]], 1), (2, 3)),
        (lambda x: np.take(x, 1, axis=0), (2, 3)),
        (lambda x: np.take(x, [], axis=1), (2, 3)),
        (lambda x: np.take(x, [7, -8], 1, None, "wrap"), (2, 3)),
        (lambda x: np.take(x, [7, -8], 1, mode="clip"), (2, 3)),
        (lambda x: np.take(x, Tensor([1, 1])), (3,)),
        (lambda x: np.take_along_axis(x, np.array([[0, 0, 2]]), 1), (1, 3)),
        (lambda x: np.take_along_axis(x, np.array([[1, 0, -1]]), axis=0), (2, 3)),
        (lambda x: np.take_along_axis(x, np.array([5, 5, 0]), axis=None), (2, 3)),
        (lambda x: np.compress([True, False, True], x, axis=1), (2, 3)),
        (lambda x: np.compress([False, True], x), (2, 3)),
        (lambda x: np.extract([[True, False, True]] * 2, x), (2, 3)),
        (lambda x, y: np.choose([[0, 1, 1], [1, 0, 0]], [x, y]), (2, 3), (3,)),
        (lambda x, y: np.choose([2, -1, 0], (x, y), mode="wrap"), (3,), ()),
        (lambda x: np.choose([1, 0], x, None, "clip"), (3, 2)),
    ],
    "insert": [
        (lambda x: np.delete(x, 1), (2, 3)),
        (lambda x: np.delete(x, [0, 2, 0], axis=1), (2, 3)),
        (lambda x: np.delete(x, []), (3,)),
        (lambda x: np.delete(x, slice(None, None, 2), -1), (2, 3)),
        (lambda x: np.delete(x, np.array([True, False]), 0), (2, 3)),
        (lambda x, y: np.insert(x, 1, y), (3,), ()),
        (lambda x, y: np.insert(x, [1, 1, 3], y), (3,), (3,)),
        (lambda x, y: np.insert(x, 2, y, axis=1), (2, 3), (2,)),
        (lambda x, y: np.insert(x, [0, -1], y, axis=1), (2, 3), (2, 2)),
        (lambda x, y: np.insert(x, [], y), (3,), (0,)),
        (lambda x, y: np.insert(x, slice(0, 2), y, 0), (2, 3), (3,)),
    ],
    "trim_zeros": [
        (lambda x: np.trim_zeros(x * [0, 0, 1, 0, 1, 0]), (6,)),
        (lambda x: np.trim_zeros(x * [0, 0, 1, 0, 1, 0], "f"), (6,)),
        (lambda x: np.trim_zeros(x * [0, 0, 1, 0, 1, 0], trim="B"), (6,)),
    ],
    "windows": [
        (lambda x: windows(x, 3), (5,)),
        (lambda x: windows(x, (2, 2)), (3, 4)),
        (lambda x: windows(x, [2], axis=1), (3, 4)),
    ],
    "pad": [
        (lambda x: np.pad(x, 2), (3,)),
        (lambda x: np.pad(x, ((1, 0), (2, 1)), "edge"), (2, 3)),
        (lambda x: np.pad(x, (0, 5), mode="wrap"), (2, 3)),
        (lambda x: np.pad(x, [(7, 5)], mode="reflect"), (4,)),
        (lambda x: np.pad(x, 4, mode="symmetric", reflect_type="even"), (2, 3)),
    ],
    "apply": [
        (lambda x: np.apply_along_axis(lambda v: v[::-1], 0, x), (2, 3)),
        (lambda x: np.apply_along_axis(lambda v: v[0], 1, x), (2, 3)),
        (lambda x: np.apply_along_axis(np.diag, -1, x), (2, 3)),
        (lambda x: np.apply_along_axis(lambda v, i, j=0: v[[i, j]], 1, x, 2, j=1), (2, 3, 2)),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "shapes"),
    [
        pytest.param(call, shapes, id=f"{name}-{i}")
        for name, cases in MOVES.items()
        for i, (call, *shapes) in enumerate(cases)
    ],
)
def test_elements_move_as_numpys_and_gradients_move_back(call, shapes):
    """Values are NumPy's; the gradient puts each weight back where its element came from."""
    check_moves(call, *shapes)


@pytest.mark.parametrize("name", ["apply", "block", "insert", "pad", "split", "take", "tile"])
def test_complex_numbers_and_single_precision_move_alike(name):
    """float32 stays float32 and complex stays complex, in results and in gradients."""
    for dtype in (np.float32, np.complex64, complex):
        for call, *shapes in MOVES[name]:
            leaves = [leaf(counted(s), dtype) for s in shapes]
            outs = [o for o in parts(call(*leaves)) if o.requires_grad]
            for got, want in zip(outs, parts(call(*[x.data for x in leaves])), strict=True):
                assert got.dtype == want.dtype
            gs = tc.gradients(outs, leaves, [np.ones(o.shape, o.dtype) for o in outs])
            assert {g.dtype for g in gs} == {np.dtype(dtype)}


# ---- chains --------------------------------------------------------------------------------


def _step(x):
    """Return a strategy of functions that rearrange an array like x."""
    rank = x.ndim
    shape = st.permutations(x.shape).map(tuple) | st.just((-1, 1))
    steps = [
        st.just(np.flip),
        st.just(np.squeeze),
        st.just(lambda a: a[..., ::-1] if a.ndim else a[None]),
        st.builds(lambda n: lambda a: np.roll(a, n), st.integers(-5, 5)),
        st.builds(lambda s, o: lambda a: np.reshape(a, s, o), shape, st.sampled_from("CFA")),
        st.builds(lambda o: lambda a: np.ravel(a, o), st.sampled_from("CFAK")),
        st.builds(lambda o: lambda a: np.transpose(a, o), st.permutations(range(rank))),
        st.builds(lambda i: lambda a: np.expand_dims(a, i), st.integers(-rank - 1, rank)),
    ]
    if rank:
        axis = st.integers(-rank, rank - 1)
        steps += [
            st.builds(lambda i, j: lambda a: np.swapaxes(a, i, j), axis, axis),
            st.builds(lambda i, j: lambda a: np.moveaxis(a, i, j), axis, axis),
            st.builds(lambda i: lambda a: np.repeat(a, 2, i), axis),
            st.builds(lambda i: lambda a: np.concatenate(np.array_split(a, 2, i)[::-1], i), axis),
        ]
    return st.one_of(steps)


@st.composite
def _chains(draw):
    """Draw a shape and a chain of functions that rearrange arrays of it."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    steps, x = [], np.empty(shape)
    for _ in range(draw(st.integers(1, 5))):
        steps.append(draw(_step(x)))
        x = steps[-1](x)
    return shape, steps


@settings(max_examples=200, deadline=None)
@given(chain=_chains())
def test_chains_of_rearrangements(chain):
    """Any chain has NumPy's values, also in memory order, and gives exact gradients."""
    shape, steps = chain

    def call(x):
        for step in steps:
            x = step(x)
        return x

    check_moves(call, shape)


# ---- padding -------------------------------------------------------------------------------

_pad_options = st.sampled_from(
    [
        ("constant", {}),
        ("constant", {"constant_values": (3.0, -1.0)}),
        ("edge", {}),
        ("linear_ramp", {}),
        ("linear_ramp", {"end_values": ((5.0, -2.0),)}),
        ("mean", {}),
        ("mean", {"stat_length": 2}),
        ("mean", {"stat_length": ((1, 3),)}),
        ("reflect", {}),
        ("reflect", {"reflect_type": "odd"}),
        ("symmetric", {}),
        ("symmetric", {"reflect_type": "odd"}),
        ("wrap", {}),
    ]
)


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), kind=_pad_options
)
def test_padding_by_linear_modes(data, shape, kind):
    """Every linear mode has NumPy's values and the transpose of its Jacobian as derivative."""
    mode, options = kind
    widths = data.draw(st.lists(st.tuples(*[st.integers(0, 6)] * 2), min_size=len(shape),
                                max_size=len(shape)))  # fmt: skip
    x = leaf(counted(shape) ** 1.5)
    out = np.pad(x, widths, mode, **options)
    origin = np.pad(np.zeros(shape), widths, mode, **options)
    np.testing.assert_array_equal(out.data, np.pad(x.data, widths, mode, **options))
    w = weights([origin])[0]
    units = np.eye(x.size).reshape((x.size, *shape))
    columns = [np.pad(unit, widths, mode, **options) - origin for unit in units]
    expected = np.reshape([(column * w).sum() for column in columns], shape)
    recorded = tc.gradients(out, x, w, create_graph=True)
    np.testing.assert_allclose(recorded.data, expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(tc.gradients(out, x, w), recorded.data)


@pytest.mark.parametrize("mode", ["maximum", "minimum", "median"])
@pytest.mark.parametrize("length", [None, 2, ((1, 2), (3, 1))])
def test_padding_by_statistics(mode, length):
    """Maxima, minima and medians around an array send their gradient to where they were found."""
    x = np.random.default_rng(3).permutation(12).reshape(3, 4).astype(float)
    options = {} if length is None else {"stat_length": length}
    call = lambda a: np.pad(a, ((2, 1), (0, 3)), mode, **options)  # noqa: E731
    np.testing.assert_array_equal(call(leaf(x)).data, call(x))
    report = tc.gradcheck(lambda t: call(t) ** 2, x, order=2, seed=0)
    assert report, str(report)


def test_padding_shares_ties_and_leaves_room():
    """Tied maxima share the gradient equally; mode "empty" passes on what lies inside."""
    x = leaf([2.0, 2.0, 1.0])
    np.pad(x, (0, 1), "maximum").sum().backward()
    np.testing.assert_array_equal(x.grad, [1.5, 1.5, 1.0])
    y = leaf([1.0, 2.0])
    np.pad(y, 1, mode="empty")[1:-1].sum().backward()
    np.testing.assert_array_equal(y.grad, [1.0, 1.0])


# ---- sums and ranges -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "args", [(), (1,), (-1, 1, 2), (0, 2, 0)], ids=["plain", "offset", "axes", "outer axes"]
)
def test_trace(args):
    """trace is NumPy's, gives its gradient to the diagonal, and takes a dtype."""
    x = leaf(counted((3, 4, 3)))
    out = np.trace(x, *args)
    np.testing.assert_array_equal(out.data, np.trace(x.data, *args))
    (out * weights([out])[0]).sum().backward()
    spread = weights([out])[0][..., None] * np.ones(np.diagonal(x.data, *args).shape)
    expected = np.zeros(x.size)
    numbers = np.arange(x.size).reshape(x.shape)
    np.add.at(expected, np.diagonal(numbers, *args).ravel(), spread.ravel())
    np.testing.assert_array_equal(x.grad, expected.reshape(x.shape))
    single = np.trace(x, dtype=np.float32)
    assert single.dtype == np.float32
    assert tc.gradients(single.sum(), x).dtype == np.float64


RANGES = [
    (lambda a, b: np.linspace(a, b, 5), (), ()),
    (lambda a, b: np.linspace(a, b, 4, endpoint=False), (2,), ()),
    (lambda a, b: np.linspace(a, b, 3, axis=-1), (2, 1), (3,)),
    (lambda a, b: np.linspace(a, b, 1), (2,), ()),
    (lambda a, b: np.linspace(a, b, 0), (2,), ()),
    (np.linspace, (), ()),
    (lambda a, b: np.logspace(a, b, 4), (), (2,)),
    (lambda a, b: np.logspace(a, b, 4, False, 2.0), (), ()),
    (lambda a, b: np.logspace(a, 2.0, 3, base=b, axis=1), (2,), (2,)),
    (lambda a, b: np.logspace(a, 2.0, 3, base=b), (2,), ()),
    (lambda a, b: np.geomspace(a, b, 4), (), (2,)),
    (lambda a, b: np.geomspace(a, b, 3, endpoint=False, axis=1), (2,), (2,)),
    (lambda a, b: np.geomspace(-a, -b, 3), (), ()),
    (lambda a, b: np.vander(a, 4) * b, (3,), ()),
    (lambda a, b: np.vander(a, increasing=True) * b, (3,), ()),
]


@pytest.mark.parametrize(("call", "first", "second"), RANGES)
def test_ranges_between_tensors(call, first, second):
    """linspace and its kind have NumPy's values, bit for bit, and derivatives for both ends."""
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0.5, 1.5, first), rng.uniform(1.6, 3.0, second)
    expected = call(a, b)
    for left, right in ((leaf(a), leaf(b)), (leaf(a), b), (a, leaf(b))):
        out = call(left, right)
        np.testing.assert_array_equal(out.data, expected)
        assert out.dtype == expected.dtype
    report = tc.gradcheck(call, a, b, order=2, seed=0)
    assert report, str(report)


def test_ranges_with_their_options():
    """The step is differentiable; whole numbers, dtypes and powers of float32 are NumPy's."""
    a, b = leaf(1.0), leaf(7.0)
    samples, step = np.linspace(a, b, 4, retstep=True)
    assert float(step) == np.linspace(1.0, 7.0, 4, retstep=True)[1]
    np.testing.assert_allclose(tc.gradients(step, [a, b]), [-1 / 3, 1 / 3])
    assert samples.requires_grad
    whole = np.linspace(a, b, 5, dtype=int)
    np.testing.assert_array_equal(whole.data, np.linspace(1.0, 7.0, 5, dtype=int))
    assert not whole.requires_grad
    assert np.isnan(np.linspace(a, b, 1, retstep=True)[1])
    assert not np.logspace(a, 2, 3, dtype=int).requires_grad
    assert not np.geomspace(a, b, 3, dtype=np.int32).requires_grad
    x = leaf([0.5, 2.0, 3.0], np.float32)
    for call in (
        np.vander,
        lambda v: np.geomspace(v, 2.0, 3),
        lambda v: np.linspace(v, 2.0, 3),
        lambda v: np.linspace(v, 2.0, 3, dtype=np.float16),
        lambda v: np.logspace(v, 2.0, 3),
        lambda v: np.logspace(v, 2.0, 3, dtype=np.float32),
        lambda v: np.geomspace(v, 2.0, 3, dtype=np.float32),
    ):
        out = call(x)
        np.testing.assert_array_equal(out.data, call(x.data))
        assert out.dtype == call(x.data).dtype
        assert tc.gradients(out.sum(), x).dtype == np.float32


# ---- what else NumPy promises --------------------------------------------------------------


def test_joining_converts():
    """dtype= converts what is joined, casting= says what is allowed, and out= receives it."""
    x, y = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    for join in (np.concatenate, np.stack, np.vstack, np.hstack):
        out = join([x, y], dtype=np.float32)
        np.testing.assert_array_equal(out.data, join([x.data, y], dtype=np.float32))
        assert out.dtype == np.float32
        assert tc.gradients(out.sum(), x).dtype == np.float64
    assert np.concatenate([x, y], dtype=int, casting="unsafe").dtype == int
    with pytest.raises(DtypeError, match="concatenate.*safe"):
        np.concatenate([x, y], dtype=np.float32, casting="safe")
    target = Tensor(np.zeros(4))
    np.concatenate([x, y], out=target)
    (target * [1.0, 2.0, 3.0, 4.0]).sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, 2.0])
    with pytest.raises(UnsupportedFunctionError, match="concatenate: out="):
        tc.concatenate([x, y], 0, target)


def test_plain_arrays_may_stand_among_tensors():
    """Arrays, lists and numbers join with Tensors, and Tensors without gradient stay without."""
    x, plain = leaf([1.0, 2.0]), Tensor([5.0, 6.0])
    assert np.hstack([x, [3], 4.0]).requires_grad
    assert not np.stack([plain, [1.0, 2.0]]).requires_grad
    first, second = np.broadcast_arrays(x, np.ones((3, 1)))
    assert first.requires_grad
    assert isinstance(second, np.ndarray)
    rows, columns = np.ix_(Tensor([True, False, True]), [0, 1])
    np.testing.assert_array_equal(rows, [[0], [2]])
    assert columns.shape == (1, 2)
    assert np.ix_([], Tensor([1]))[0].dtype == np.intp
    assert np.atleast_1d(x) is x
    assert isinstance(tc.atleast_2d([1.0]), np.ndarray)


def test_zeros_at_the_ends_of_every_axis_are_trimmed():
    """trim_zeros keeps the box of what is not zero, along all or some axes."""
    data = np.zeros((4, 5))
    data[1, 2], data[2, 3] = 1.0, np.nan
    x = leaf(data)
    assert tc.trim_zeros(x).shape == (2, 2)
    assert tc.trim_zeros(x, axis=0).shape == (2, 5)
    assert tc.trim_zeros(x, "f", axis=(0, -1)).shape == (3, 3)
    assert tc.trim_zeros(x, axis=()).shape == (4, 5)
    assert tc.trim_zeros(leaf(np.zeros(3))).shape == (0,)
    tc.trim_zeros(x).sum().backward()
    expected = np.zeros((4, 5))
    expected[1:3, 2:4] = 1.0
    np.testing.assert_array_equal(x.grad, expected)


def test_functions_applied_along_axes():
    """apply_along_axis and apply_over_axes give NumPy's shapes and differentiate what they call."""
    x = leaf(counted((2, 3, 4)))
    out = np.apply_along_axis(lambda v: np.stack([v.sum(), v[0] * v[1]]), 1, x)
    expected = np.apply_along_axis(lambda v: np.stack([v.sum(), v[0] * v[1]]), 1, x.data)
    np.testing.assert_array_equal(out.data, expected)
    out.sum().backward()
    gradient = np.ones((2, 3, 4))
    gradient[:, 0] += x.data[:, 1]
    gradient[:, 1] += x.data[:, 0]
    np.testing.assert_array_equal(x.grad, gradient)
    for axes in ((0, 2), -1, [1, 0]):
        total = np.apply_over_axes(np.sum, x, axes)
        np.testing.assert_array_equal(total.data, np.apply_over_axes(np.sum, x.data, axes))
        np.testing.assert_array_equal(tc.gradients(total.sum(), x), np.ones(x.shape))


VIEWS = {
    "reshape": lambda t: np.reshape(t, (4, 3)),
    "ravel": np.ravel,
    "transpose": np.transpose,
    "matrix_transpose": np.matrix_transpose,
    "swapaxes": lambda t: np.swapaxes(t, 0, 1),
    "moveaxis": lambda t: np.moveaxis(t, 0, 1),
    "rollaxis": lambda t: np.rollaxis(t, 1),
    "expand_dims": lambda t: np.expand_dims(t, 0),
    "squeeze": np.squeeze,
    "atleast_3d": np.atleast_3d,
    "broadcast_to": lambda t: np.broadcast_to(t, (2, 3, 4)),
    "broadcast_arrays": lambda t: np.broadcast_arrays(t, np.ones((2, 1, 1)))[0],
    "flip": np.flip,
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    "rot90": np.rot90,
    "diagonal": np.diagonal,
    "diag": np.diag,
    "split": lambda t: np.split(t, 3)[1],
    "overlapping split": lambda t: np.split(t, [2, 1])[2],
    "array_split": lambda t: np.array_split(t, 2)[0],
    "hsplit": lambda t: np.hsplit(t, 2)[0],
    "unstack": lambda t: tc.unstack(t)[0],
    "meshgrid": lambda t: np.meshgrid(t[0], copy=False)[0],
    "trim_zeros": lambda t: tc.trim_zeros(t, axis=0),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_known(name):
    """What shares memory stands in the way of a write, whether or not it was recorded."""
    x = leaf(counted((3, 4)))
    for recorded in (x * 1, Tensor(counted((3, 4)))):
        view = VIEWS[name](recorded)
        assert np.shares_memory(view.data, recorded.data)
        assert recorded._views is not None
        assert recorded._views.others(recorded)
        del view
        assert not recorded._views.others(recorded)


def test_copies_are_no_views():
    """What NumPy copies does not stand in the way of a write."""
    for call in (
        lambda t: np.roll(t, 1),
        lambda t: np.repeat(t, 2),
        lambda t: np.tile(t, 2),
        lambda t: np.diag(np.ravel(t)[:3].copy()),
        lambda t: np.reshape(t, (4, 3), copy=True),
        lambda t: np.reshape(t, (4, 3), "F"),
        lambda t: np.take(t, [0]),
    ):
        t = leaf(counted((3, 4))) * 1
        copy = call(t)
        assert not np.shares_memory(copy.data, t.data)
        t += 1.0
        assert t.data[0, 0] == 2.0


def test_copying_reshape_is_asked_for():
    """copy=False fails where a copy is needed, and copy=True makes one."""
    x = leaf(counted((2, 3)))
    assert np.shares_memory(np.reshape(x, (3, 2), copy=False).data, x.data)
    with pytest.raises(ShapeError, match="reshape"):
        np.reshape(np.transpose(x), 6, copy=False)


ERRORS = [
    (lambda x: np.reshape(x, (4, 2)), ShapeError, r"reshape.*\(2, 3\)"),
    (lambda x: np.reshape(x, 6, "Q"), ArgumentError, "reshape.*'Q'.*\"F\""),
    (lambda x: np.ravel(x, "Q"), ArgumentError, "ravel.*'Q'"),
    (lambda x: np.transpose(x, (0, 0)), ShapeError, r"transpose.*\(2, 3\).*once"),
    (lambda x: np.matrix_transpose(x[0]), ShapeError, r"matrix_transpose.*\(3,\).*two axes"),
    (lambda x: np.swapaxes(x, 0, 2), (ShapeError, IndexError), r"swapaxes.*\(2, 3\)"),
    (lambda x: np.moveaxis(x, 0, 5), (ShapeError, IndexError), r"moveaxis.*\(2, 3\)"),
    (lambda x: np.moveaxis(x, (0, 1), 0), ShapeError, "moveaxis"),
    (lambda x: np.rollaxis(x, 2), ShapeError, r"rollaxis: axis 2.*\(2, 3\)"),
    (lambda x: np.squeeze(x, 1), ShapeError, "squeeze.*size 3"),
    (lambda x: np.expand_dims(x, 7), ShapeError, "expand_dims: axis 7"),
    (lambda x: np.broadcast_to(x, (3, 3)), ShapeError, r"broadcast_to.*\(2, 3\)"),
    (lambda x: np.broadcast_arrays(x, np.ones(4)), ShapeError, r"broadcast_arrays.*\(4,\)"),
    (lambda x: np.flip(x, 2), (ShapeError, IndexError), r"flip.*\(2, 3\)"),
    (lambda x: np.roll(x, (1, 2, 3), axis=(0, 1)), ShapeError, "roll.*as many shifts as axes"),
    (lambda x: np.repeat(x, [1, 2, 3], 0), ShapeError, "repeat.*one count"),
    (lambda x: np.repeat(x, -1), ShapeError, "repeat"),
    (lambda x: np.concatenate([x, x[0]]), ShapeError, r"concatenate.*\(2, 3\), \(3,\)"),
    (lambda x: np.concatenate([x, np.ones((2, 2))]), ShapeError, "sizes agree"),
    (lambda x: tc.concatenate([]), ArgumentError, "concatenate.*no arrays"),
    (lambda x: np.stack([x, x[:, :2]]), ShapeError, "stack.*one shape"),
    (lambda x: np.block([[x], x]), ArgumentError, "block.*nested 1 deep.*0 deep"),
    (lambda x: np.block([[x], []]), ArgumentError, "block.*empty list"),
    (lambda x: tc.block([(x, x)]), ArgumentError, "block.*tuple"),
    (lambda x: np.split(x, 4, axis=1), ShapeError, "split: 3 elements.*4"),
    (lambda x: np.array_split(x, 0), ShapeError, "array_split"),
    (lambda x: np.split(x, 1, axis=2), ShapeError, r"split: axis 2.*\(2, 3\)"),
    (lambda x: np.vsplit(x[0], 3), (ShapeError, ValueError), "vsplit"),
    (lambda x: np.dsplit(x, 1), (ShapeError, ValueError), "dsplit"),
    (lambda x: tc.unstack(Tensor(1.0)), ShapeError, "unstack.*at least one axis"),
    (lambda x: np.meshgrid(x, indexing="yx"), ArgumentError, "meshgrid.*'yx'"),
    (lambda x: np.ix_(Tensor([[1]])), ShapeError, r"ix_.*\(1, 1\).*vectors"),
    (lambda x: np.diag(x[None]), ShapeError, r"diag.*\(1, 2, 3\)"),
    (lambda x: np.diagonal(x[0]), ShapeError, r"diagonal.*two axes"),
    (lambda x: np.trace(x[0]), ShapeError, r"trace.*two axes"),
    (lambda x: np.take(x, [6]), IndexError, r"take.*\(2, 3\)"),
    (lambda x: np.take(x, [0.5]), (DtypeError, IndexError), "take.*whole-number"),
    (lambda x: np.take(x, x), UnsupportedFunctionError, "take.*indices.*requires grad"),
    (lambda x: np.take_along_axis(x, np.array([0]), 0), ShapeError, "take_along_axis"),
    (lambda x: np.compress(np.ones((2, 3)), x), ShapeError, "compress.*vector"),
    (lambda x: np.choose([0, 5, 1], [x[0], x[1]]), ShapeError, "choose.*count them from 0"),
    (lambda x: tc.choose([0], Tensor(np.ones((0, 2)))), ArgumentError, "choose.*no choices"),
    (lambda x: np.delete(x, 9), IndexError, "delete.*inside"),
    (lambda x: np.insert(x, 9, 1.0), IndexError, "insert.*indices"),
    (lambda x: np.insert(Tensor([1, 2]), 0, x[0, 0]), DtypeError, "insert.*does not fit"),
    (lambda x: np.trim_zeros(x[0], "x"), ArgumentError, "trim_zeros.*'x'"),
    (lambda x: tc.trim_zeros(x, axis=2), ShapeError, "trim_zeros: axis 2"),
    (lambda x: windows(x, 9, 0), ShapeError, "sliding_window_view.*no larger"),
    (lambda x: windows(x, 1, 0, writeable=True), UnsupportedFunctionError, "writeable"),
    (lambda x: np.pad(x, 1, "mirror"), ShapeError, "pad.*'mirror'"),
    (lambda x: np.pad(x, 1, "edge", end_values=1), ShapeError, "pad.*end_values"),
    (lambda x: np.pad(x, 1, lambda *_: None), UnsupportedFunctionError, "pad.*concatenate"),
    (lambda x: np.pad(x, 1, constant_values=x[0, 0]), UnsupportedFunctionError, "constant_values"),
    (lambda x: np.linspace(x, 1.0, -1), ArgumentError, "linspace.*num=-1"),
    (lambda x: np.linspace(x, np.ones(2)), ShapeError, r"linspace.*\(2, 3\), \(2,\)"),
    (lambda x: np.geomspace(x, 0.0), ShapeError, "geomspace.*not 0"),
    (np.vander, ShapeError, r"vander.*\(2, 3\).*vector"),
    (lambda x: np.apply_along_axis(np.sum, 0, x[:, :0]), ShapeError, "apply_along_axis"),
    (lambda x: np.apply_over_axes(lambda a, i: a.sum(), x, 0), ShapeError, "apply_over_axes"),
    (np.packbits, TinygradCourseError, "packbits"),
    (np.lib.stride_tricks.as_strided, TinygradCourseError, "lose its history"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors_name_the_function_and_what_is_wrong(call, error, text):
    """A call that makes no sense is an error that names the function and what came."""
    with pytest.raises(error, match=text):
        call(leaf(counted((2, 3))))


@pytest.mark.parametrize("module", [shaping, joining, padding, picking, indexing, ranges])
def test_examples_of_the_primitives_run(module):
    """The examples in the docstrings of the primitives are true."""
    for name in module.__all__:
        text = getattr(module, name).__doc__
        test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
        assert not doctest.DocTestRunner().run(test).failed, name


def test_views_of_leaves_cannot_be_written():
    """Writing into a view of a leaf that requires grad is refused."""
    x = leaf(counted((2, 3)))
    view = np.flip(x)
    with pytest.raises(GraphError, match="view"):
        view += 1.0
