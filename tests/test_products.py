"""Products of vectors, matrices, arrays and polynomials: NumPy's values, exact derivatives."""

from __future__ import annotations

import itertools
import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given, settings

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.checking import gradcheck
from tinygrad_course.errors import ArgumentError, ShapeError, UnsupportedFunctionError
from tinygrad_course.ops.tensors import einsum_terms


def draw(*shape, complex_numbers=False, seed=0):
    rng = np.random.default_rng([seed, *shape])
    x = rng.uniform(-2, 2, shape)
    return x + 1j * rng.uniform(-2, 2, shape) if complex_numbers else x


def leaf(x):
    return Tensor(np.array(x), requires_grad=True)


def right(function, *inputs, order=2):
    """Assert that the derivatives of a function agree with differences."""
    report = gradcheck(function, *inputs, order=order, seed=0)
    assert report, str(report)


# ---- NumPy's values ----------------------------------------------------------------------------

A, B, V, W = draw(2, 3), draw(3, 4), draw(3), draw(3, seed=1)
CALLS = {
    "dot": np.dot,
    "tensordot by name": lambda a, b: np.tensordot(a=a, b=b, axes=1),
    "inner": lambda a, b: np.inner(a, b.T),
    "outer": np.outer,
    "vdot": lambda a, b: np.vdot(a, b[:, :2]),
    "matmul": lambda a, b: a @ b,
    "vecdot": lambda a, b: np.vecdot(a, b.T[:2]),
    "vecdot axis": lambda a, b: np.vecdot(a, b[:2, :3], axis=0),
    "vecdot keepdims": lambda a, b: np.vecdot(a, b[:2, :3], axis=0, keepdims=True),
    "tensordot": lambda a, b: np.tensordot(a, b, axes=1),
    "tensordot lists": lambda a, b: np.tensordot(a, b, axes=([1], [0])),
    "tensordot by position": lambda a, b: np.tensordot(a, b, ([-1], [-2])),
    "einsum": lambda a, b: np.einsum("ij,jk->ki", a, b),
    "einsum numbers": lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]),
    "einsum numbers without output": lambda a, b: np.einsum(a, [3, 1], b, [1, 2]),
    "einsum numbers and dots": lambda a, b: np.einsum(a, [..., 1], b, [1, 0], [..., 0]),
    "einsum optimized": lambda a, b: np.einsum("ij,jk->ik", a, b, optimize="optimal"),
    "einsum path": lambda a, b: np.einsum("ij,jk", a, b, optimize=["einsum_path", (0, 1)]),
    "kron": np.kron,
    "cross": lambda a, b: np.cross(a, b[:, 0]),
    "cross axes": lambda a, b: np.cross(a, b[:, :2], axisa=1, axisb=0, axisc=0),
    "convolve": lambda a, b: np.convolve(a[0], b[0]),
    "convolve same": lambda a, b: np.convolve(a[0], b[0], "same"),
    "correlate": lambda a, b: np.correlate(a[0], b[0]),
    "correlate full": lambda a, b: np.correlate(a[0], b[0], mode="full"),
    "polyval": lambda a, b: np.polyval(a[0], b),
    "polyadd": lambda a, b: np.polyadd(a[0], b[0]),
    "polysub": lambda a, b: np.polysub(a[0], b[0]),
    "polymul": lambda a, b: np.polymul(a[0], b[0]),
    "polyder": lambda a, b: np.polyder(a[0] * b[0, 0], 2),
    "polyint": lambda a, b: np.polyint(a[0] * b[0, 0], 2, [1.0, 2.0]),
    "polyint one constant": lambda a, b: np.polyint(a[0] * b[0, 0], m=2, k=3.0),
    "roots": lambda a, b: np.roots(a[0] * b[0, 0]),
    "linalg.matmul": np.linalg.matmul,
    "linalg.vecdot": lambda a, b: np.linalg.vecdot(a, b[:, 0]),
    "linalg.tensordot": lambda a, b: np.linalg.tensordot(a, b, axes=1),
    "linalg.outer": lambda a, b: np.linalg.outer(a[0], b[0]),
    "linalg.cross": lambda a, b: np.linalg.cross(a, b[:, 0]),
    "linalg.multi_dot": lambda a, b: np.linalg.multi_dot([a, b, b.T]),
}
if hasattr(np, "matvec"):
    CALLS["matvec"] = lambda a, b: np.matvec(a, b[:, 0])
    CALLS["vecmat"] = lambda a, b: np.vecmat(a[:, :2][0], b[:2])


@pytest.mark.parametrize("kind", [float, np.float32, complex, np.complex64])
@pytest.mark.parametrize("name", CALLS)
def test_the_value_is_numpys(name, kind):
    """NumPy's call on Tensors gives the bits and the dtype of the call on arrays."""
    a, b = A.astype(kind), B.astype(kind)
    if np.dtype(kind).kind == "c":
        a, b = a + kind(0.5j) * a[::-1], b - kind(0.25j) * b[::-1]
    theirs = CALLS[name](a, b)
    for first, second in [(leaf(a), b), (a, leaf(b)), (leaf(a), leaf(b))]:
        ours = CALLS[name](first, second)
        assert isinstance(ours, Tensor), name
        assert ours.requires_grad, name
        np.testing.assert_array_equal(ours.data, theirs)
        assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("name", CALLS)
def test_derivatives_of_the_call(name):
    """First and second derivatives through NumPy's own name agree with differences."""
    right(CALLS[name], A, B)


@pytest.mark.parametrize("name", ["vdot", "vecdot", "correlate", "correlate full", "cross"])
def test_which_factor_is_conjugated(name):
    """Through complex numbers, the conjugated factor included, derivatives agree too."""
    right(CALLS[name], A + 1j * A[::-1], B - 0.5j * B[::-1])


# ---- dot and tensordot, all ranks --------------------------------------------------------------


@pytest.mark.parametrize("ranks", list(itertools.product(range(4), range(4))))
def test_dot_of_any_ranks(ranks):
    """np.dot has NumPy's value and right derivatives for every pair of ranks up to 3."""
    shapes = {0: (), 1: (3,), 2: (2, 3), 3: (2, 1, 3)}, {0: (), 1: (3,), 2: (3, 2), 3: (2, 3, 2)}
    a, b = draw(*shapes[0][ranks[0]]), draw(*shapes[1][ranks[1]], seed=1)
    np.testing.assert_array_equal(np.dot(leaf(a), b).data, np.dot(a, b))
    right(np.dot, np.asarray(a), np.asarray(b))


def test_dot_differs_from_matmul_beyond_matrices():
    """Every matrix of the second factor meets every row of the first."""
    a, b = leaf(draw(2, 1, 3)), leaf(draw(4, 3, 2))
    assert np.dot(a, b).shape == (2, 1, 4, 2)
    assert (a @ b[:2]).shape == (2, 1, 2)
    assert a.dot(b).shape == (2, 1, 4, 2)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_tensordot_over_any_axes(data):
    """Any choice of axes, in any order, has NumPy's value and right derivatives."""
    count = data.draw(st.integers(0, 3))
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
    shapes, axes = [], []
    for _ in range(2):
        free = data.draw(st.lists(st.integers(1, 2), max_size=2))
        order = data.draw(st.permutations(range(count + len(free))))
        both = [*sizes, *free]
        shapes.append(tuple(both[i] for i in order))
        axes.append([order.index(i) for i in range(count)])
    a, b = draw(*shapes[0]), draw(*shapes[1], seed=1)
    theirs = np.tensordot(a, b, axes)
    np.testing.assert_array_equal(np.tensordot(leaf(a), leaf(b), axes).data, theirs)
    right(lambda x, y: np.tensordot(x, y, tuple(axes)), np.asarray(a), np.asarray(b))


# ---- einsum ------------------------------------------------------------------------------------

SIZES = {"i": 2, "j": 3, "k": 1, "l": 2}


@st.composite
def subscripts(draw_from):
    """Draw subscripts with repeated labels, ellipses and chosen outputs, and shapes that fit."""
    terms, shapes = [], []
    widest = draw_from(st.integers(0, 2))
    for _ in range(draw_from(st.integers(1, 3))):
        labels = draw_from(st.lists(st.sampled_from("ijkl"), max_size=3))
        shape = [SIZES[c] for c in labels]
        if draw_from(st.booleans()) and labels and labels.count(labels[0]) == 1:
            shape[0] = 1  # a size that is stretched
        term = "".join(labels)
        if widest and draw_from(st.booleans()):
            at = draw_from(st.integers(0, len(labels)))
            dots = [(3, 2)[i] if draw_from(st.booleans()) else 1 for i in range(widest)]
            dots = dots[draw_from(st.integers(0, widest)) :]
            term = term[:at] + "..." + term[at:]
            shape = [*shape[:at], *dots, *shape[at:]]
        terms.append(term)
        shapes.append(tuple(shape))
    text = ",".join(terms)
    if draw_from(st.booleans()):
        used = sorted(set(text) & set("ijkl"))
        chosen = draw_from(st.lists(st.sampled_from(used), unique=True)) if used else []
        text += "->" + ("..." if "..." in text else "") + "".join(chosen)
    return text, shapes


@given(subscripts(), st.sampled_from([False, True, "greedy"]))
@settings(max_examples=150, deadline=None)
def test_einsum_of_anything(case, optimize):
    """Whatever NumPy's einsum takes has its value, and right derivatives of both orders."""
    text, shapes = case
    arrays = [np.asarray(draw(*shape, seed=i)) for i, shape in enumerate(shapes)]
    try:
        theirs = np.einsum(text, *arrays, optimize=optimize)
    except ValueError:
        assume(False)  # subscripts that NumPy does not take either
    ours = np.einsum(text, *map(leaf, arrays), optimize=optimize)
    np.testing.assert_array_equal(ours.data, theirs)
    right(lambda *xs: np.einsum(text, *xs, optimize=optimize), *arrays)


@pytest.mark.parametrize(
    ("text", "ranks", "terms", "output"),
    [
        ("ij,jk", [2, 2], ["ij", "jk"], "ik"),
        ("ba,ac", [2, 2], ["ba", "ac"], "bc"),
        (" i j , j -> i ", [2, 1], ["ij", "j"], "i"),
        ("...j,jk...->...", [3, 3], ["abj", "jkb"], "ab"),
        ("ii", [2], ["ii"], ""),
        ("Zi...", [4], ["Ziab"], "abZi"),
    ],
)
def test_subscripts_are_spelled_out(text, ranks, terms, output):
    """Ellipses get labels from the right; outputs left out are NumPy's."""
    assert einsum_terms(text, ranks) == (terms, output)


def test_einsum_puts_the_gradient_of_a_diagonal_on_the_diagonal():
    """Reading a diagonal leaves the other elements with gradient 0, even beside infinities."""
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    np.einsum("ii->i", x).backward(np.array([np.inf, 5.0]))
    np.testing.assert_array_equal(x.grad, [[np.inf, 0.0], [0.0, 5.0]])


def test_einsum_of_one_array_is_a_view():
    """What NumPy returns as a view is one here too, and noticed when something is written."""
    x = Tensor(np.zeros((2, 2)))
    diagonal = np.einsum("ii->i", x)
    assert np.shares_memory(diagonal, x)
    with tc.no_grad():
        diagonal += 1.0
    np.testing.assert_array_equal(x.data, np.eye(2))


def test_einsum_says_what_is_wrong():
    """Wrong subscripts, labels and options are refused in words."""
    x = leaf(np.ones((2, 2)))
    with pytest.raises(ShapeError, match=r"einsum: got shapes \(2, 2\), \(2,\).*one term"):
        np.einsum("ij,jk", x, np.ones(2))
    with pytest.raises(UnsupportedFunctionError, match="no dtype.*astype"):
        np.einsum("ij", x, dtype=np.float32)
    assert np.einsum("ij", x, dtype=None, order="K", casting="safe").shape == (2, 2)
    with pytest.raises(ArgumentError, match="label 60"):
        np.einsum(x, [0, 60])
    with pytest.raises(ArgumentError, match="got nothing"):
        tc.einsum()


def test_labels_beyond_26_are_lower_case():
    """Labels given as numbers keep their order, as in NumPy."""
    x, y = draw(2, 3), draw(3, 2)
    theirs = np.einsum(x, [30, 2], y, [2, 26])
    np.testing.assert_array_equal(tc.einsum(leaf(x), [30, 2], y, [2, 26]).data, theirs)


# ---- sequences and polynomials -----------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_convolution_of_all_lengths(name, mode):
    """Every pair of lengths up to 5 has right derivatives, whichever sequence is longer."""
    function = getattr(np, name)
    for m, n in itertools.product(range(1, 6), repeat=2):
        a, b = draw(m, complex_numbers=True), draw(n, complex_numbers=True, seed=1)
        np.testing.assert_array_equal(function(leaf(a), leaf(b), mode).data, function(a, b, mode))
        right(lambda x, y: function(x, y, mode=mode), a, b, order=1)


def test_polynomials_with_leading_zeros():
    """polymul drops leading zeros; the coefficients that were 0 have a gradient all the same."""
    a, b = leaf([0.0, 1.0, 2.0]), leaf([3.0, 4.0])
    product = np.polymul(a, b)
    assert product.shape == (3,)
    product.sum().backward()
    # a0 multiplies b1 into the highest power that is left; a0 b0 would be one power more.
    np.testing.assert_array_equal(a.grad, [4.0, 7.0, 7.0])
    np.testing.assert_array_equal(b.grad, [3.0, 3.0])


def test_polyval_against_the_derived_polynomial():
    """The slope in x is np.polyder's polynomial; in the coefficients it is a power of x."""
    p, x = np.array([2.0, -1.0, 3.0, 5.0]), np.array([0.5, -2.0])
    coefficients, points = leaf(p), leaf(x)
    np.polyval(coefficients, points).sum().backward()
    np.testing.assert_allclose(points.grad, np.polyval(np.polyder(p), x))
    np.testing.assert_allclose(coefficients.grad, [(x**k).sum() for k in (3, 2, 1, 0)])
    with pytest.raises(ShapeError, match="polyval.*expected a vector"):
        np.polyval(leaf(np.ones((2, 2))), 1.0)


def test_constants_of_integration_have_a_gradient():
    """polyint passes gradients to the constants too."""
    k = leaf([1.0, 2.0])
    tc.polyint(np.array([3.0]), 2, k).sum().backward()  # NumPy does not look at its k
    np.testing.assert_array_equal(k.grad, [1.0, 1.0])
    for wrong, match in [({"m": -1}, "polyder"), ({"m": 3, "k": [1.0, 2.0]}, "constants")]:
        with pytest.raises((ArgumentError, ShapeError), match=match):
            np.polyint(leaf([1.0]), **wrong)
    with pytest.raises(ArgumentError, match="polyint"):
        np.polyder(leaf([1.0]), -1)


def test_roots_follow_the_coefficients():
    """Complex, zero and leading-zero cases of np.roots have right derivatives; doubles none."""
    right(np.roots, np.array([1.0, 0.3, 2.0, -0.7, 1.1]))
    right(np.roots, np.array([1.0 + 1j, 3.0, 0.5 - 2j, 1.0]))
    p = leaf([0.0, 1.0, -3.0, 2.0, 0.0])
    found = np.roots(p)
    np.testing.assert_allclose(found.data, [2.0, 1.0, 0.0], atol=1e-15)
    found[0].backward()
    np.testing.assert_allclose(p.grad, -(2.0 ** np.arange(4, -1, -1)) / 2, rtol=1e-12)
    double = leaf([1.0, 0.0, 0.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        np.roots(double)[0].backward()
    assert not np.isfinite(double.grad).all()


# ---- cross -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(2, 2), (2, 3), (3, 2)])
def test_vectors_in_the_plane(sizes):
    """Where NumPy still takes vectors of two components, their derivatives are right."""
    a, b = draw(4, sizes[0]), draw(4, sizes[1], seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            theirs = np.cross(a, b)
        except ValueError:
            pytest.skip("this NumPy takes vectors of three components only")
        np.testing.assert_array_equal(np.cross(leaf(a), b).data, theirs)
        right(np.cross, a, b)
        right(lambda x, y: np.cross(x, y, axisa=0, axisc=0), a.T, b)


def test_cross_is_the_determinant():
    """a · (b × c) is det(a, b, c), and so are all its derivatives."""
    a, b, c = (leaf(draw(3, seed=k)) for k in range(3))
    np.dot(a, np.cross(b, c)).backward()
    cofactors = np.linalg.inv(np.stack([a.data, b.data, c.data])).T
    volume = np.linalg.det(np.stack([a.data, b.data, c.data]))
    np.testing.assert_allclose(np.stack([a.grad, b.grad, c.grad]), volume * cofactors, rtol=1e-12)


# ---- options and words -------------------------------------------------------------------------


def test_options_of_generalized_ufuncs_are_refused_by_name():
    """What matmul and its kin do not have on Tensors is said with NumPy's name."""
    x = leaf(np.ones((2, 2)))
    for name in ("matmul", "vecdot", "matvec", "vecmat"):
        if hasattr(np, name):
            with pytest.raises(UnsupportedFunctionError, match=f"np.{name} with axes"):
                getattr(np, name)(x, x, axes=[(0,), (0,), ()])


def test_shapes_are_named_where_they_do_not_fit():
    """Errors say the operation, the shapes that came and what was expected."""
    x = leaf(np.ones((2, 3)))
    for call, match in [
        (lambda: np.dot(x, np.ones(2)), r"dot: got shapes \(2, 3\), \(2,\).*last axis"),
        (lambda: np.inner(x, np.ones(2)), "inner: got shapes.*equal length"),
        (lambda: np.tensordot(x, np.ones((2, 3)), 1), "tensordot: got shapes.*equal lengths"),
        (lambda: np.vdot(x, np.ones(5)), "vdot: got shapes.*as many elements"),
        (lambda: np.cross(x, np.ones(4)), "cross: got shapes.*three components"),
        (lambda: np.convolve(x[0], np.ones(0)), "convolve: got shapes.*at least one"),
        (lambda: np.linalg.outer(x, x), "outer: got shapes.*two vectors"),
        (lambda: np.linalg.cross(x[:, :2], x[:, :2]), "cross: got vectors of .2, 2. components"),
    ]:
        with pytest.raises(ShapeError, match=match):
            call()


def test_out_receives_products():
    """`out=` of NumPy's products takes a Tensor, which then holds result and history."""
    a, out = leaf(A), Tensor(np.zeros((2, 4)))
    np.dot(a, B, out=out)
    out.sum().backward()
    np.testing.assert_allclose(a.grad, np.broadcast_to(B.sum(axis=1), (2, 3)))
    target = Tensor(np.zeros((2, 4)))
    np.einsum("ij,jk", a, B, out=target)
    np.testing.assert_array_equal(target.data, np.einsum("ij,jk", A, B))


def test_the_products_of_the_facade():
    """tc.<name> takes arrays, lists and Tensors, and agrees with NumPy."""
    for name in ("dot", "inner", "outer", "vdot", "kron", "convolve", "cross", "polyadd"):
        theirs = getattr(np, name)(V, W)
        np.testing.assert_array_equal(getattr(tc, name)(V, W), theirs)
        np.testing.assert_array_equal(getattr(tc, name)(V.tolist(), leaf(W)).data, theirs)
    np.testing.assert_array_equal(tc.matvec(A, V), A @ V)
    np.testing.assert_array_equal(tc.vecmat(V, B), V @ B)
