"""Linear algebra: NumPy's values, closed forms, and what happens where nothing is determined."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.checking import gradcheck
from tinygrad_course.errors import (
    ArgumentError,
    GraphError,
    ModifiedValueError,
    ShapeError,
    UnsupportedFunctionError,
)

INF = np.inf


def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape)


def complex_draw(*shape, seed=0):
    return draw(*shape, seed=seed) + 1j * draw(*shape, seed=seed + 100)


def leaf(x):
    return Tensor(np.array(x), requires_grad=True)


def gradient_of(function, x):
    """Return the gradient of a function's sum at one array."""
    at = leaf(x)
    function(at).sum().backward()
    return at.grad


def right(function, *inputs, order=2):
    """Assert that the derivatives of a function agree with differences."""

    def tensors(*xs):
        return [part for part in parts(function(*xs)) if isinstance(part, Tensor)]

    report = gradcheck(tensors, *inputs, order=order, seed=0)
    assert report, str(report)


def parts(result):
    return list(result) if isinstance(result, tuple | list) else [result]


SQUARE = draw(3, 3) + np.diag([2.0, 4.0, 6.0])
BATCH = draw(2, 3, 3) + np.diag([2.0, 4.0, 6.0])
TALL, WIDE = draw(4, 2) + 2 * np.eye(4, 2), draw(2, 4) + 2 * np.eye(2, 4)
POSITIVE = SQUARE @ SQUARE.T + np.eye(3)
RIGHT_SIDE = draw(3, 2, seed=1)

# ---- NumPy's values ----------------------------------------------------------------------------

CALLS = {
    "inv": (np.linalg.inv, SQUARE),
    "inv of a batch": (np.linalg.inv, BATCH),
    "solve": (lambda a: np.linalg.solve(a, RIGHT_SIDE.astype(a.dtype)), SQUARE),
    "solve a vector": (lambda a: np.linalg.solve(a, RIGHT_SIDE.astype(a.dtype)[:, 0]), BATCH),
    "solve for both": (lambda a: np.linalg.solve(a, a[..., :1] ** 2), BATCH),
    "tensorsolve": (lambda a: np.linalg.tensorsolve(a, np.ones((3, 2), a.dtype)), None),
    "tensorinv": (lambda a: np.linalg.tensorinv(a, ind=1), None),
    "det": (np.linalg.det, BATCH),
    "slogdet": (np.linalg.slogdet, BATCH),
    "pinv": (np.linalg.pinv, TALL),
    "pinv wide": (lambda a: np.linalg.pinv(a, rcond=1e-10), WIDE),
    "pinv hermitian": (lambda a: np.linalg.pinv(a, hermitian=True), POSITIVE),
    "pinv rtol": (lambda a: np.linalg.pinv(a, rtol=1e-10), BATCH),
    "cholesky": (np.linalg.cholesky, POSITIVE),
    "cholesky upper": (lambda a: np.linalg.cholesky(a, upper=True), POSITIVE),
    "qr": (np.linalg.qr, TALL),
    "qr complete": (lambda a: np.linalg.qr(a, "complete"), TALL),
    "qr r": (lambda a: np.linalg.qr(a, mode="r"), BATCH),
    "qr wide": (np.linalg.qr, WIDE),
    "eigh": (np.linalg.eigh, POSITIVE),
    "eigh upper": (lambda a: np.linalg.eigh(a, "U"), BATCH),
    "eigvalsh": (lambda a: np.linalg.eigvalsh(a, UPLO="U"), SQUARE),
    "eig": (np.linalg.eig, SQUARE),
    "eigvals": (np.linalg.eigvals, BATCH),
    "svd": (np.linalg.svd, TALL),
    "svd reduced": (lambda a: np.linalg.svd(a, full_matrices=False), WIDE),
    "svd values": (lambda a: np.linalg.svd(a, compute_uv=False), BATCH),
    "svd hermitian": (lambda a: np.linalg.svd(a, hermitian=True), SQUARE - 3 * np.eye(3)),
    "svd values hermitian": (
        lambda a: np.linalg.svd(a, compute_uv=False, hermitian=True),
        SQUARE - 3 * np.eye(3),
    ),
    "svdvals": (np.linalg.svdvals, TALL),
    "lstsq": (lambda a: np.linalg.lstsq(a, np.ones(4, a.dtype)), TALL),
    "lstsq matrix": (lambda a: np.linalg.lstsq(a, np.ones((2, 3), a.dtype), rcond=1e-9), WIDE),
    "cond": (np.linalg.cond, TALL),
    "cond 1": (lambda a: np.linalg.cond(a, 1).real, BATCH),  # complex in NumPy 2.0
    "matrix_power": (lambda a: np.linalg.matrix_power(a, 5), BATCH),
    "matrix_power -2": (lambda a: np.linalg.matrix_power(a, -2), SQUARE),
    "matrix_power 0": (lambda a: np.linalg.matrix_power(a, 0), SQUARE),
    "multi_dot": (lambda a: np.linalg.multi_dot([a, a.T, a, np.ones(4, a.dtype)]), WIDE),
    "diagonal": (lambda a: np.linalg.diagonal(a, offset=1), BATCH),
    "trace": (np.linalg.trace, BATCH),
    "matrix_transpose": (np.linalg.matrix_transpose, BATCH),
    "vector_norm": (np.linalg.vector_norm, BATCH),
    "vector_norm axes": (lambda a: np.linalg.vector_norm(a, axis=(0, 2), ord=3), BATCH),
    "vector_norm kept": (lambda a: np.linalg.vector_norm(a, axis=(0, 1), keepdims=True), BATCH),
    "vector_norm axis": (lambda a: np.linalg.vector_norm(a, axis=-1, keepdims=True, ord=1), BATCH),
    "matrix_norm": (np.linalg.matrix_norm, BATCH),
    "matrix_norm nuc": (lambda a: np.linalg.matrix_norm(a, ord="nuc", keepdims=True), BATCH),
}
TENSORS = {"tensorsolve": (draw(6, 6) + 4 * np.eye(6)).reshape(3, 2, 6)}
TENSORS["tensorinv"] = TENSORS["tensorsolve"].reshape(6, 3, 2)


def case(name):
    function, x = CALLS[name]
    return function, TENSORS[name] if x is None else x


@pytest.mark.parametrize("kind", [float, np.float32, complex, np.complex64])
@pytest.mark.parametrize("name", CALLS)
def test_the_value_is_numpys(name, kind):
    """NumPy's call on a Tensor gives the bits, dtypes and named tuples of the call on an array."""
    function, x = case(name)
    x = x.astype(kind)
    if np.dtype(kind).kind == "c":
        x = x + kind(0.1j) * (x - np.conj(x.swapaxes(-1, -2)) if x.shape[-1] == x.shape[-2] else 1)
    theirs, ours = function(x), function(leaf(x))
    assert type(theirs) is type(ours) or isinstance(ours, Tensor)
    assert getattr(theirs, "_fields", None) == getattr(ours, "_fields", None)
    for a, b in zip(parts(theirs), parts(ours), strict=True):
        np.testing.assert_array_equal(b, a) if not isinstance(b, Tensor) else (
            np.testing.assert_array_equal(b.data, a)
        )
        assert b.dtype == a.dtype


@pytest.mark.parametrize("kind", [np.float32, np.complex64])
@pytest.mark.parametrize("name", CALLS)
def test_single_precision_stays_single(name, kind):
    """Gradients of single-precision matrices are single, to the second order."""
    function, x = case(name)
    x = leaf(x.astype(kind))
    outputs = [out for out in parts(function(x)) if isinstance(out, Tensor) and out.requires_grad]
    if "qr" in name or "svd" in name:
        outputs = outputs[-1:]  # their extra columns are determined up to a rotation
    total = sum((abs(out) ** 2).sum() for out in outputs)
    assert total.dtype == np.float32
    slope = tc.gradients(total, x, create_graph=True)
    assert slope.dtype == kind
    if slope.requires_grad:
        assert tc.gradients((abs(slope) ** 2).sum(), x).dtype == kind


def test_names_of_results():
    """Results have NumPy's classes, which can be unpacked and read by name."""
    w, v = np.linalg.eigh(leaf(POSITIVE))
    result = tc.linalg.eigh(leaf(POSITIVE))
    assert isinstance(result, tc.linalg.EighResult)
    np.testing.assert_array_equal(result.eigenvalues.data, w.data)
    np.testing.assert_array_equal(result.eigenvectors.data, v.data)
    assert np.linalg.svd(leaf(TALL)).U.shape == (4, 4)
    assert np.linalg.qr(leaf(TALL)).R.shape == (2, 2)
    assert np.linalg.slogdet(leaf(SQUARE)).logabsdet.requires_grad
    on_arrays = tc.linalg.svd(TALL, full_matrices=False)
    assert type(on_arrays.Vh) is np.ndarray
    assert type(on_arrays) is type(np.linalg.svd(TALL))


# ---- derivatives through NumPy's own names, real and complex -------------------------------------

WITHOUT_FREEDOM = [name for name in CALLS if name not in ("qr complete", "svd", "matrix_power 0")]


@pytest.mark.parametrize("name", WITHOUT_FREEDOM)
def test_derivatives_of_the_call(name):
    """First and second derivatives agree with differences."""
    function, x = case(name)
    right(function, x)


@pytest.mark.parametrize("name", WITHOUT_FREEDOM)
def test_derivatives_at_complex_matrices(name):
    """The same at complex matrices, in the phase that NumPy chose for vectors."""
    function, x = case(name)
    other = draw(*x.shape, seed=9)
    if name.startswith(("cholesky", "pinv hermitian")):
        other = 0.2 * (other - other.swapaxes(-1, -2))
    right(function, x + 0.3j * other)


def test_third_derivatives():
    """Three derivatives, two of them recorded, agree with differences of the second one."""

    def slope(function):
        def first(x):
            with tc.enable_grad():
                x = x if x.requires_grad else Tensor(x.data, requires_grad=True)
                return tc.gradients(function(x), x, create_graph=True)

        return first

    for function, x in [
        (lambda x: (np.linalg.inv(x) ** 2).sum(), SQUARE),
        (np.linalg.det, SQUARE),
        (lambda x: np.linalg.slogdet(x)[1], SQUARE),
        (lambda x: (np.linalg.eigh(x)[1][0] ** 3).sum(), POSITIVE),
        (lambda x: (np.linalg.svd(x, full_matrices=False)[0] ** 3).sum(), TALL),
        (lambda x: (np.linalg.cholesky(x) ** 2).sum(axis=0)[0], POSITIVE),
    ]:
        right(slope(function), x)


# ---- closed forms --------------------------------------------------------------------------------


def test_slopes_of_determinants():
    """Jacobi's formula: d det A = det(A) A⁻ᵀ and d log|det A| = A⁻ᵀ, batch by batch."""
    inverse = np.linalg.inv(BATCH).swapaxes(-1, -2)
    volume = np.linalg.det(BATCH)[:, None, None]
    np.testing.assert_allclose(gradient_of(np.linalg.det, BATCH), volume * inverse, rtol=1e-12)
    slope = gradient_of(lambda x: np.linalg.slogdet(x)[1], BATCH)
    np.testing.assert_allclose(slope, inverse, rtol=1e-12)


def test_slope_of_the_trace_of_powers():
    """d tr(Aⁿ) = n (Aⁿ⁻¹)ᵀ, for positive and negative powers."""
    for n in (-2, -1, 1, 2, 5):
        found = gradient_of(lambda x, n=n: np.trace(np.linalg.matrix_power(x, n)), SQUARE)
        np.testing.assert_allclose(found, n * np.linalg.matrix_power(SQUARE, n - 1).T, rtol=1e-10)


def test_the_first_power_is_the_matrix_itself():
    """NumPy returns it uncopied, and a write into it is noticed as one into a view."""
    x = leaf(SQUARE)
    power = np.linalg.matrix_power(x * 1.0, 1)
    loss = (power**2).sum()
    with tc.no_grad():
        power += 1.0
    with pytest.raises(ModifiedValueError):
        loss.backward()
    base = Tensor(SQUARE.copy())
    with tc.no_grad():
        np.linalg.matrix_power(base, 1).__iadd__(1.0)
    np.testing.assert_array_equal(base.data, SQUARE + 1)


def test_log_det_through_cholesky_is_slogdet():
    """Twice the sum of log diag L is log det A; its gradient lies in the triangle that is read."""
    whole = np.linalg.inv(POSITIVE).T
    folded = np.tril(whole + whole.T) - np.diag(np.diag(whole))

    def by_cholesky(x):
        return 2 * np.log(np.linalg.diagonal(np.linalg.cholesky(x)))

    np.testing.assert_allclose(gradient_of(by_cholesky, POSITIVE), folded, rtol=1e-11, atol=1e-12)


def test_a_function_of_eigenvalues():
    """d tr f(A) = f'(A)ᵀ, in one triangle: here f = exp of a symmetric matrix."""
    symmetric = (SQUARE + SQUARE.T) / 4
    w, v = np.linalg.eigh(symmetric)
    whole = v @ np.diag(np.exp(w)) @ v.T
    lower = np.tril(2 * whole) - np.diag(np.diag(whole))
    found = gradient_of(lambda x: np.exp(np.linalg.eigvalsh(x)), symmetric)
    np.testing.assert_allclose(found, lower, rtol=1e-11, atol=1e-12)
    found = gradient_of(lambda x: np.exp(np.linalg.eigvalsh(x, "U")), symmetric)
    np.testing.assert_allclose(found, lower.T, rtol=1e-11, atol=1e-12)


def test_eigenvalues_both_ways():
    """eigvals of a symmetric matrix and eigvalsh have the same slope, once it is symmetrized."""
    general = gradient_of(lambda x: np.linalg.eigvals(x).real ** 3, POSITIVE)
    triangle = gradient_of(lambda x: np.linalg.eigvalsh(x) ** 3, POSITIVE)
    np.testing.assert_allclose(general + general.T, triangle + triangle.T, rtol=1e-10, atol=1e-10)


def test_eigenvalues_in_another_order(monkeypatch):
    """eigvals asks eig for vectors, and does not rely on the order in which that returns them."""
    weights = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    expected = gradient_of(lambda x: np.linalg.eigvals(x).real * weights, BATCH)
    usual = np.linalg.eig

    def turned(x):
        w, v = usual(x)
        order = [2, 0, 1]
        return w[..., order], v[..., order]

    monkeypatch.setattr(np.linalg, "eig", turned)
    found = gradient_of(lambda x: tc.linalg.eigvals(x).real * weights, BATCH)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_slopes_of_matrix_norms():
    """The nuclear norm has slope U Vᵀ, the spectral norm u₁ v₁ᵀ, Frobenius' A / ‖A‖."""
    u, _, vh = np.linalg.svd(TALL, full_matrices=False)
    found = gradient_of(lambda x: np.linalg.norm(x, "nuc"), TALL)
    np.testing.assert_allclose(found, u @ vh, rtol=1e-12)
    found = gradient_of(lambda x: np.linalg.norm(x, 2), TALL)
    np.testing.assert_allclose(found, np.outer(u[:, 0], vh[0]), rtol=1e-12)
    found = gradient_of(np.linalg.norm, TALL)
    np.testing.assert_allclose(found, TALL / np.linalg.norm(TALL), rtol=1e-14)


def test_least_squares_is_the_normal_equations():
    """lstsq has the gradients of (AᵀA)⁻¹Aᵀb, and its residuals those of ‖b - A x‖²."""
    b = draw(4, 3, seed=2)

    def by_hand(a, right_side):
        x = np.linalg.solve(a.T @ a, a.T @ right_side)
        return x, ((right_side - a @ x) ** 2).sum(axis=0)

    for k in (0, 1):
        ours, theirs = [leaf(TALL), leaf(b)], [leaf(TALL), leaf(b)]
        (np.linalg.lstsq(*ours)[k] ** 2).sum().backward()
        (by_hand(*theirs)[k] ** 2).sum().backward()
        for x, y in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(x.grad, y.grad, rtol=1e-10, atol=1e-12)


def test_results_of_lstsq():
    """The rank is a plain number; residuals are empty where NumPy's are; the values derive."""
    x, residuals, rank, s = np.linalg.lstsq(leaf(WIDE), leaf(np.ones(2)))
    assert not isinstance(rank, Tensor)
    assert rank == 2
    assert residuals.shape == (0,)
    s.sum().backward(retain_graph=True)
    x.sum().backward()
    right(lambda a: np.linalg.lstsq(a, np.ones(4))[3], TALL)


def test_the_cut_of_lstsq():
    """A negative rcond stands for the machine's precision, as in LAPACK."""
    x, b = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]), np.array([1.0, 0.0, 2.0])
    by_default = gradient_of(lambda a: np.linalg.lstsq(a, b)[0], x)
    np.testing.assert_array_equal(
        gradient_of(lambda a: np.linalg.lstsq(a, b, -1)[0], x), by_default
    )
    assert np.isfinite(by_default).all()


def test_tensorsolve_moves_axes():
    """`axes` go to the end before solving, as in NumPy."""
    a = np.moveaxis((draw(6, 6) + 4 * np.eye(6)).reshape(2, 3, 6), 2, 0)
    b = draw(2, 3)
    theirs = np.linalg.tensorsolve(a, b, axes=(0,))
    np.testing.assert_array_equal(np.linalg.tensorsolve(leaf(a), b, axes=(0,)).data, theirs)
    right(lambda x, y: np.linalg.tensorsolve(x, y, (0,)), a, b)


def test_chains_take_any_number_of_matrices():
    """multi_dot gives each factor its gradient; fewer than two factors are refused."""
    factors = [draw(2), draw(2, 3), draw(3, 4), draw(4, 2), draw(2, seed=1)]
    right(lambda *xs: np.linalg.multi_dot(xs), *factors)
    right(lambda *xs: tc.linalg.multi_dot(list(xs)), *factors[1:4])
    with pytest.raises(ArgumentError, match="multi_dot: got 1 matrices"):
        np.linalg.multi_dot([leaf(SQUARE)])


# ---- singular matrices ---------------------------------------------------------------------------


def cofactors(x):
    n = len(x)
    rest = [[k for k in range(n) if k != i] for i in range(n)]
    return np.array(
        [
            [(-1) ** (i + j) * np.linalg.det(x[np.ix_(rest[i], rest[j])]) for j in range(n)]
            for i in range(n)
        ]
    )


@pytest.mark.parametrize("rank", [4, 3, 2, 1, 0])
@pytest.mark.parametrize("kind", [float, complex])
def test_determinants_of_any_rank(rank, kind):
    """The gradient of det is the matrix of cofactors: rank one at rank n - 1, then 0."""
    make = complex_draw if kind is complex else draw
    x = make(4, rank) @ make(rank, 4, seed=1) if rank else np.zeros((4, 4), kind)
    at = leaf(x)
    np.linalg.det(at).backward(np.asarray(1.0, kind))
    np.testing.assert_allclose(at.grad, cofactors(x), rtol=1e-9, atol=1e-13)
    if rank < 3:
        np.testing.assert_allclose(at.grad, np.zeros((4, 4)), atol=1e-13)
    # Of the second derivatives one row: what is left without rows 0 and k, columns 1 and l.
    at = leaf(x)
    slope = tc.gradients(np.linalg.det(at), at, np.asarray(1.0, kind), create_graph=True)
    second = tc.gradients(slope[0, 1], at, np.asarray(1.0, kind))
    expected = np.zeros_like(x)
    expected[np.ix_([1, 2, 3], [0, 2, 3])] = -cofactors(x[1:][:, [0, 2, 3]])
    np.testing.assert_allclose(second, expected, rtol=1e-8, atol=1e-12)


def test_determinants_of_a_mixed_batch():
    """Regular and singular matrices of one batch each have their gradients."""
    stack = np.stack([SQUARE, np.outer([1.0, 2.0, 3.0], [1.0, 0.0, -1.0]), np.zeros((3, 3))])
    stack[1] += np.outer([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    expected = np.stack([cofactors(x) for x in stack])
    np.testing.assert_allclose(gradient_of(np.linalg.det, stack), expected, rtol=1e-12, atol=1e-14)
    right(np.linalg.det, np.stack([SQUARE, np.diag([1.0, 2.0, 0.0]), np.zeros((3, 3))]))


def test_determinants_of_nearly_singular_matrices():
    """Where A⁻¹ has lost its digits, the cofactors have not."""
    x = np.diag([1.0, 2.0, 1e-14]) + 1e-3 * np.outer([1.0, 1.0, 0.0], [1.0, 1.0, 0.0])
    np.testing.assert_allclose(gradient_of(np.linalg.det, x), cofactors(x), rtol=1e-12, atol=1e-26)


def test_the_empty_determinant():
    """det of a 0 by 0 matrix is 1, and its gradient is empty."""
    x = leaf(np.zeros((2, 0, 0)))
    out = np.linalg.det(x)
    np.testing.assert_array_equal(out.data, [1.0, 1.0])
    out.sum().backward()
    assert x.grad.shape == (2, 0, 0)


def test_singular_matrices_are_named():
    """inv and solve refuse them at once, slogdet when its gradient is asked for."""
    singular = leaf(np.ones((2, 2)))
    with pytest.raises(np.linalg.LinAlgError, match=r"inv: got shapes \(2, 2\).*regular"):
        np.linalg.inv(singular)
    with pytest.raises(tc.linalg.LinAlgError, match="solve: got shapes"):
        np.linalg.solve(singular, np.ones(2))
    sign, log = np.linalg.slogdet(singular)
    assert (sign.data, log.data) == (0.0, -INF)
    with pytest.raises(GraphError, match="slogdet: a matrix is singular.*det has one"):
        log.backward()
    with pytest.raises(np.linalg.LinAlgError, match="cholesky.*positive definite"):
        np.linalg.cholesky(leaf(-np.eye(2)))
    with pytest.raises(np.linalg.LinAlgError, match="det: got shapes .2, 3.*square"):
        np.linalg.det(leaf(np.ones((2, 3))))


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3, 3)])
def test_pseudo_inverses_of_constant_rank(shape):
    """Along matrices of rank 2 pinv and lstsq have right derivatives, real and complex."""
    for make in (draw, complex_draw):
        left, other = make(shape[0], 2), make(2, shape[1], seed=1)
        b = make(shape[0], 2, seed=2)
        right(lambda x, y: np.linalg.pinv(x @ y, rcond=1e-10), left, other)
        right(lambda x, y, z: np.linalg.lstsq(x @ y, z, rcond=1e-10)[0], left, other, b)
    assert np.linalg.lstsq(leaf(left @ other), b, rcond=1e-10)[2] == 2


# ---- equal eigenvalues and singular values -------------------------------------------------------


def weigh(v):
    return (v * np.arange(1.0, 1.0 + v.size).reshape(v.shape)).sum()


DEGENERATE = {
    "eigh": (lambda x: np.linalg.eigh(x)[1], np.diag([1.0, 2.0, 2.0])),
    "eigh rounding": (lambda x: np.linalg.eigh(x)[1], np.diag([1.0, 2.0, 2.0 + 4e-16])),
    "eig": (lambda x: np.linalg.eig(x)[1], np.diag([2.0, 1.0, 2.0])),
    "svd u": (lambda x: np.linalg.svd(x)[0], np.diag([3.0, 1.0, 3.0])),
    "svd vh": (lambda x: np.linalg.svd(x)[2], np.diag([3.0, 1.0, -3.0])),
    "svd hermitian": (lambda x: np.linalg.svd(x, hermitian=True).U, np.eye(3)),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_vectors_of_equal_values_are_refused(name):
    """Backward names the pair and the gap if the loss depends on undetermined vectors."""
    function, x = DEGENERATE[name]
    loss = weigh(function(leaf(x)))
    with pytest.raises(GraphError, match=r"values \d and \d are equal up to rounding .*, gap \d"):
        loss.backward()


def test_the_matrix_of_a_batch_is_named():
    """In a batch the message says which matrix it is."""
    x = leaf(np.stack([np.diag([1.0, 2.0, 3.0]), np.eye(3)]))
    with pytest.raises(GraphError, match=r"eigh of matrix \(1,\): eigenvalues 0 and 1"):
        weigh(np.linalg.eigh(x)[1]).backward()


def test_values_alone_have_gradients_where_they_are_equal():
    """Sums over equal eigenvalues and singular values are differentiable, and right."""
    for function in (np.linalg.eigvalsh, np.linalg.eigvals, lambda x: np.linalg.eigh(x)[0]):
        np.testing.assert_allclose(gradient_of(function, 2 * np.eye(3)), np.eye(3), atol=1e-15)
    for function in (np.linalg.svdvals, lambda x: np.linalg.svd(x)[1]):
        np.testing.assert_allclose(gradient_of(function, 2 * np.eye(3)), np.eye(3), atol=1e-15)


def test_vectors_of_other_values_have_gradients():
    """One well separated vector is fine beside others that are not: the first principal axis."""
    spread = np.diag([5.0, 1.0, 1.0, 1.0]) + 0.5 * np.outer([1.0, 0, 0, 0], [1.0, 0, 0, 0])

    def leading(x):
        return np.linalg.eigh((x + x.T) / 2)[1][:, -1] ** 2

    right(leading, spread, order=1)
    data = np.outer(draw(5), draw(3))  # one direction, and two singular values of 0
    right(lambda x: np.linalg.svd(x, full_matrices=False)[2][0] ** 2, data, order=1)


def test_singular_values_of_zero():
    """They have gradient 0 by choice, and their vectors are refused."""
    x = np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(gradient_of(np.linalg.svdvals, x), [[1, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(
        gradient_of(lambda a: np.linalg.norm(a, "nuc"), np.zeros((2, 2))), np.zeros((2, 2))
    )
    loss = weigh(np.linalg.svd(leaf(x), full_matrices=False)[0] ** 2)
    with pytest.raises(GraphError, match="singular value 1 is 0 .gap"):
        loss.backward()


def test_defective_matrices_are_refused():
    """A Jordan block has no derivatives of eigenvalues, and backward says why."""
    jordan = np.array([[1.0, 1.0], [0.0, 1.0]])
    for function in (np.linalg.eigvals, lambda x: np.linalg.eig(x)[0]):
        with pytest.raises(GraphError, match=r"defective.*gap 0"):
            function(leaf(jordan)).sum().backward()


# ---- freedom of vectors --------------------------------------------------------------------------


def products_of_extra(extra):
    """A function of extra columns that does not depend on which basis they are."""
    product = extra @ np.conj(extra.swapaxes(-1, -2))
    return [product.real, product.imag]


@pytest.mark.parametrize("make", [draw, complex_draw])
def test_extra_columns_through_what_is_determined(make):
    """The projection on the extra columns of full svd and qr has right derivatives."""
    tall, wide = make(4, 2), make(2, 4)
    right(lambda x: products_of_extra(np.linalg.svd(x)[0][:, 2:]), tall)
    right(lambda x: products_of_extra(np.conj(np.linalg.svd(x)[2][2:].T)), wide)
    right(lambda x: products_of_extra(np.linalg.qr(x, "complete")[0][:, 2:]), tall)
    mixed = [  # parts of the projection that see both kinds of columns
        lambda x: abs(np.linalg.svd(x)[0][0, :2]) * abs(np.linalg.svd(x)[0][1, 2:] ** 2).sum(),
        lambda x: abs(np.linalg.qr(x, "complete")[0][0, :2]) ** 2 * np.linalg.qr(x)[1].real[1, 1],
    ]
    for function in mixed:
        right(function, tall)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.linalg.svd(x)[0],
        lambda x: np.linalg.svd(x.T)[2],
        lambda x: np.linalg.qr(x, "complete")[0],
    ],
)
def test_extra_columns_alone_are_refused(function):
    """A loss that depends on the basis of the extra columns has no gradient."""
    loss = weigh(function(leaf(draw(4, 2))))
    with pytest.raises(GraphError, match="extra vectors .* up to a rotation"):
        loss.backward()


def test_one_extra_real_column_is_determined():
    """With one extra column only its sign is free, and real derivatives are right."""
    right(lambda x: np.linalg.svd(x)[0], draw(3, 2))
    right(lambda x: np.linalg.svd(x)[2], draw(2, 3))
    right(lambda x: np.linalg.qr(x, "complete"), draw(3, 2))


@pytest.mark.parametrize("shape", [(3, 3), (5, 2), (2, 5), (2, 3), (1, 4)])
def test_the_phase_of_complex_singular_vectors(shape):
    """Derivatives follow the phase that LAPACK chose, also for very wide matrices."""
    right(lambda x: list(np.linalg.svd(x, full_matrices=False)), complex_draw(*shape))


def test_a_phase_that_cannot_be_seen_is_refused():
    """If no component shows which phase was chosen, a loss that depends on it is refused."""
    x = leaf(np.diag([1.0, 2.0 + 0j]))  # the vector of 2 has 0 where LAPACK makes it real
    loss = np.linalg.eigh(x)[1].imag.sum()
    with pytest.raises(GraphError, match="determined up to a phase"):
        loss.backward()
    y = leaf(np.diag([1.0, 2.0 + 0j]))
    (abs(np.linalg.eigh(y)[1]) ** 2).sum().backward()
    np.testing.assert_allclose(y.grad, np.zeros((2, 2)), atol=1e-15)


def test_eigenvectors_of_real_matrices_with_complex_eigenvalues():
    """Vectors of length 1 with a real largest component: both choices are differentiated."""
    x = np.array([[0.8, -0.7], [0.5, 0.9]])
    right(lambda a: list(np.linalg.eig(a)), x)
    mixed = draw(5, 5)
    assert {True, False} == set(np.isreal(np.linalg.eigvals(mixed)).tolist())
    right(lambda a: list(np.linalg.eig(a)), mixed)
    right(lambda a: np.linalg.eig(a)[1].imag, mixed)


def test_sign_of_complex_determinants():
    """It is e**(iθ) and has a derivative; that of a real determinant is constant."""
    x = complex_draw(3, 3)
    right(lambda a: np.linalg.slogdet(a)[0], x)
    right(lambda a: list(np.linalg.slogdet(a)), x)
    assert not np.linalg.slogdet(leaf(SQUARE)).sign.requires_grad


# ---- triangles -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "lower"),
    [
        (lambda x: np.linalg.eigh(x)[1], True),
        (lambda x: np.linalg.eigh(x, "U")[0], False),
        (lambda x: np.linalg.eigvalsh(x, "l"), True),
        (np.linalg.cholesky, True),
        (lambda x: np.linalg.cholesky(x, upper=True), False),
        (lambda x: np.linalg.pinv(x, hermitian=True), True),
        (lambda x: np.linalg.svd(x, hermitian=True)[1], True),
    ],
)
def test_only_the_triangle_that_is_read_has_a_gradient(function, lower):
    """The other triangle, which NumPy does not look at, has gradient 0."""
    found = gradient_of(lambda x: weigh(function(x) ** 3), POSITIVE)
    other = np.triu(found, 1) if lower else np.tril(found, -1)
    np.testing.assert_array_equal(other, np.zeros((3, 3)))
    assert (found[1, 0] if lower else found[0, 1]) != 0


# ---- qr ------------------------------------------------------------------------------------------


def test_qr_needs_independent_columns():
    """Backward names the column that depends on those before it; other modes are refused."""
    dependent = np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 1.0], [0.0, 0.0, 1.0]])
    for mode in ("reduced", "r"):
        out = np.linalg.qr(leaf(dependent), mode)
        with pytest.raises(GraphError, match="qr: column 1 depends on the columns before it"):
            (out[-1] ** 2).sum().backward()
    batch = leaf(np.stack([SQUARE, dependent]))
    with pytest.raises(GraphError, match=r"qr of matrix \(1,\): column 1"):
        (np.linalg.qr(batch)[0] ** 2).sum().backward()
    for mode in ("raw", "full", "nonsense"):
        with pytest.raises(UnsupportedFunctionError, match=f"qr: has no mode '{mode}'"):
            np.linalg.qr(leaf(SQUARE), mode)


def test_either_factor_alone():
    """Q alone, R alone, and of a wide matrix each of them, have right derivatives."""
    for x in (TALL, WIDE, SQUARE, complex_draw(2, 4), complex_draw(4, 2)):
        right(lambda a: np.linalg.qr(a)[0], x)
        right(lambda a: np.linalg.qr(a)[1], x)
        right(lambda a: np.linalg.qr(a, "r"), x)


# ---- norms ---------------------------------------------------------------------------------------

VECTOR_ORDERS = [None, 0, 1, 2, 3, 1.5, 0.5, -1, -2, INF, -INF]
MATRIX_ORDERS = [None, "fro", "f", "nuc", 1, -1, 2, -2, INF, -INF]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("kind", [float, complex, np.float32])
def test_every_norm_is_numpys(kind, keepdims):
    """All orders over one and two axes have NumPy's bits, and right derivatives."""
    x = draw(2, 3, 4).astype(kind)
    if kind is complex:
        x = complex_draw(2, 3, 4)
    cases = [(order, axis) for order in VECTOR_ORDERS for axis in (0, -1, (1,))]
    cases += [(order, axes) for order in MATRIX_ORDERS for axes in [(0, 1), (-1, 0)]]
    for order, axis in [*cases, (None, None)]:
        options = {"ord": order, "axis": axis, "keepdims": keepdims}
        theirs, ours = np.linalg.norm(x, **options), np.linalg.norm(leaf(x), **options)
        np.testing.assert_array_equal(ours.data, theirs)
        assert ours.dtype == theirs.dtype
        assert ours.requires_grad == (order != 0)
        if kind is not np.float32 and order != 0:
            right(lambda a, o=options: np.linalg.norm(a, **o), x, order=1)


def test_norms_at_zero():
    """Every norm of zeros has gradient 0, and so have single zeros inside."""
    for order in (None, 1, 2, 3, 1.5, 0.5, INF, -INF, -1):
        at = leaf(np.array([0.0, 3.0, -4.0]))
        with np.errstate(divide="ignore"):  # NumPy's own for -1
            found = gradient_of(lambda x, o=order: np.linalg.norm(x, o), np.zeros(3))
            np.linalg.norm(at, order).backward()
        np.testing.assert_array_equal(found, np.zeros(3))
        assert np.isfinite(at.grad).all()
        assert at.grad[0] == 0
    for order in MATRIX_ORDERS:
        found = gradient_of(lambda x, o=order: np.linalg.norm(x, o, axis=(0, 1)), np.zeros((2, 3)))
        np.testing.assert_array_equal(found, np.zeros((2, 3)))
    rows = gradient_of(lambda x: np.linalg.norm(x, axis=1), [[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(rows, [[0.0, 0.0], [0.6, 0.8]], rtol=1e-15)


def test_second_derivative_of_the_norm_at_zero():
    """It is 0 by choice, not nan."""
    for order in (None, 3, 1.5, INF):
        x = leaf([0.0, 0.0])
        slope = tc.gradients(np.linalg.norm(x, order), x, create_graph=True)
        found = tc.gradients(slope.sum(), x) if slope.requires_grad else None
        np.testing.assert_array_equal(np.zeros(2) if found is None else found, [0.0, 0.0])


def test_ties_share_the_gradient():
    """Elements, sums or singular values that tie for an extreme share the gradient equally."""
    found = gradient_of(lambda x: np.linalg.norm(x, INF), [3.0, -3.0, 1.0])
    np.testing.assert_array_equal(found, [0.5, -0.5, 0.0])
    found = gradient_of(lambda x: np.linalg.norm(x, 1), [[1.0, -2.0], [2.0, 1.0]])
    np.testing.assert_array_equal(found, [[0.5, -0.5], [0.5, 0.5]])
    found = gradient_of(lambda x: np.linalg.norm(x, 2), 3 * np.eye(2))
    np.testing.assert_allclose(found, np.eye(2) / 2)


def test_norms_say_what_is_wrong():
    """Orders and axes that do not fit are refused in words."""
    x = leaf(np.ones((2, 3, 4)))
    for call, match in [
        (lambda: np.linalg.norm(x, 2), r"got shapes \(2, 3, 4\).*one axis for vectors"),
        (lambda: np.linalg.norm(x[0], "frob"), "an order that NumPy knows"),
        (lambda: np.linalg.norm(x, axis=3), r"norm: axis 3 does not exist in shape \(2, 3, 4\)"),
    ]:
        with pytest.raises(ShapeError, match=match):
            call()
    with pytest.raises(ArgumentError, match="matrix_norm: got shape"):
        np.linalg.matrix_norm(x[0, 0])


def test_condition_numbers():
    """Every order derives at regular matrices; at singular ones the value is NumPy's infinity."""
    for p in (None, 1, -1, 2, -2, INF, -INF, "fro"):
        right(lambda x, p=p: np.linalg.cond(x, p), SQUARE)
    assert np.linalg.cond(leaf(np.ones((2, 2)) * [[1.0, 2.0]]), 1).data == INF


def test_the_rank_has_no_derivative():
    """matrix_rank returns Tensors that do not require grad."""
    for x, options in [(TALL, {}), (BATCH, {"tol": 0.1}), (np.ones(3), {}), (BATCH, {"rtol": 0.1})]:
        out = np.linalg.matrix_rank(leaf(x), **options)
        assert not out.requires_grad
        np.testing.assert_array_equal(out.data, np.linalg.matrix_rank(x, **options))


# ---- the namespace -------------------------------------------------------------------------------


def test_the_namespace_is_numpys():
    """tc.linalg has every function of np.linalg, under its name."""
    import tinygrad_course.linalg

    missing = {n for n in np.linalg.__all__ if n not in tinygrad_course.linalg.__all__}
    assert not missing
    for name in tinygrad_course.linalg.__all__:
        if not name.endswith(("Result", "Error")):
            assert getattr(tc.linalg, name).__doc__.strip(), name


def test_it_loads_when_it_is_used():
    """Importing the package, and computing with it, loads no linear algebra; np.linalg does."""
    code = (
        "import sys, numpy as np, tinygrad_course as tc\n"
        "t = tc.Tensor([[2.0]], requires_grad=True)\n"
        "np.exp(t @ t).sum().backward()\n"
        "late = ['linalg', 'fft', 'ops.linalg', 'ops.fourier', 'ops.decompositions']\n"
        "assert not [n for n in late if 'tinygrad_course.' + n in sys.modules]\n"
        "assert np.linalg.inv(t).requires_grad\n"
        "assert 'tinygrad_course.fft' not in sys.modules\n"
        "assert np.fft.fft(t).requires_grad\n"
        "assert tc.linalg.det(t).data == 2\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
