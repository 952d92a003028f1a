"""Decompositions of matrices: eigenvalues, singular values, Cholesky's and the QR factors.

What a derivative means here, once for all of them:

* Eigenvectors and singular vectors of equal eigenvalues are not determined, and have no derivative.
  The rules raise GraphError that names the gap, but only if the loss depends on such vectors:
  eigenvalues alone, or vectors of other eigenvalues, have their gradients.
* A complex vector is determined up to a phase, which LAPACK fixes by making one component real. The
  rules differentiate that choice too. Where it cannot be seen from the result, a loss that
  depends on the phase is refused.
* NumPy reads one triangle of a symmetric matrix; that triangle receives the whole gradient.

In the convention of this library (no conjugate in a scalar product of gradient and change) a factor
that appears as Vᴴ dA V pulls back as conj(V) · Vᵀ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.errors import GraphError
from tinygrad_course.ops.choices import where
from tinygrad_course.ops.complexes import imag, real
from tinygrad_course.ops.contraction import matmul
from tinygrad_course.ops.inverses import (
    adjoint,
    conj,
    folded,
    inv,
    precision,
    raw,
    solve,
    transposed,
    triangle,
)
from tinygrad_course.ops.joining import concatenate_all
from tinygrad_course.ops.picking import diagonal
from tinygrad_course.ops.samples import Generator, values
from tinygrad_course.primitive import Op, Sample, Samples, primitive


def _on_diagonal(x: Any) -> Any:
    """Return square matrices with the vectors `x` on their diagonals."""
    return x[..., None] * np.eye(x.shape[-1], dtype=np.finfo(x.dtype).dtype)


def _weighted(left: Any, weights: Any, right: Any) -> Any:
    """Return left @ diag(weights) @ right."""
    return matmul(left * weights[..., None, :], right)


def _no_vectors(name: str, what: str, touched: Any, s: Any) -> GraphError:
    """Return the error for vectors that are not determined, with the first place where."""
    *batch, i, j = (int(k) for k in np.argwhere(touched)[0])
    i, j = min(i, j), max(i, j)
    of = f" of matrix {tuple(batch)}" if batch else ""
    first, second = s[(*batch, i)], s[(*batch, j)]
    return GraphError(
        f"backward: {name}{of}: {what} {i} and {j} are equal up to rounding ({first:.6g} and "
        f"{second:.6g}, gap {abs(first - second):.1e}). Their vectors are not determined and have "
        f"no derivative, and the loss depends on them; use the {what} alone, or separate them "
        f"by changing the matrix a little"
    )


def _gaps(name: str, what: str, s: Any, *columns: Any) -> Any:
    """Return 1 / (s_j - s_i), and 0 where the two are equal up to rounding.

    `columns` are gradients of vectors, one per column: none of an equal pair may occur in the loss.
    """
    gap = s[..., None, :] - s[..., :, None]
    size = s.shape[-1]
    same = abs(raw(gap)) <= size * precision(s) * _largest(s)[..., None, None]
    pairs = same & ~np.eye(size, dtype=bool)
    if pairs.any():
        used = np.any([(raw(g) != 0).any(axis=-2) for g in columns], axis=0)
        touched = pairs & (used[..., None, :] | used[..., :, None])
        if touched.any():
            raise _no_vectors(name, what, touched, raw(s))
    return where(same, 0.0, 1 / where(same, 1.0, gap))


def _largest(s: Any) -> Any:
    """Return the largest size among the numbers of each matrix."""
    return np.asarray(np.max(abs(raw(s)), axis=-1, initial=0.0))


# ---- phases ----------------------------------------------------------------------------------


def _turned(v: Any, g: Any) -> Any:
    """Return how the loss changes when each column of v is turned by a phase."""
    return imag((g * v).sum(axis=-2))


def _weight(g: Any) -> Any:
    """Return the size of each column, against which rounding is measured."""
    return abs(raw(g)).sum(axis=-2)


def _phase(name: str, v: Any, g: Any, rows: Any, turned: Any, weight: Any) -> Any:
    """Return g, corrected so that component `rows` of each column of v stays real.

    `turned` says how the loss depends on the phase, `weight` what of that is rounding. Where LAPACK
    made no component real, a loss that depends on it is refused.
    """
    rounding = precision(v) ** 0.5
    depends = abs(raw(turned)) > rounding * weight
    if not depends.any():
        return g
    part = np.take_along_axis(raw(v), rows[..., None, :], axis=-2)[..., 0, :]
    known = (abs(part.imag) <= 64 * precision(v)) & (abs(part.real) > rounding)
    if (depends & ~known).any():
        raise GraphError(
            f"backward: {name}: complex vectors are determined up to a phase, and the loss depends "
            f"on it; use what does not change with the phase, such as absolute values or v vᴴ"
        )
    chosen = np.arange(v.shape[-2])[:, None] == rows[..., None, :]
    component = (real(v) * chosen).sum(axis=-2)
    shift = where(depends, turned / where(known, component, 1.0), 0.0)
    return g - 1j * (chosen * shift[..., None, :])


def _rows(v: Any, row: int) -> Any:
    """Return the same row for each column of v."""
    return np.full((*v.shape[:-2], v.shape[-1]), row % max(v.shape[-2], 1))


# ---- eigenvalues of symmetric matrices -------------------------------------------------------


def _spectra(rng: Generator) -> Iterator[np.ndarray]:
    """Yield square matrices with well separated eigenvalues."""
    for shape in [(1, 1), (2, 2), (3, 3), (2, 3, 3), (2, 1, 2, 2), (0, 2, 2), (0, 0)]:
        size = shape[-1]
        yield values(rng, shape, -1, 1) + 3 * np.diag(np.arange(size) - 0.7)
    yield (values(rng, (3, 3), -1, 1) + np.diag([5.0, -3.0, 0.5])).T[::-1, ::-1]


def _triangles(rng: Generator) -> Iterator[Sample]:
    for x in _spectra(rng):
        yield (x,), {}
    yield (values(rng, (3, 3), -1, 1) + np.diag([4.0, 0.0, -3.0]),), {"UPLO": "U"}


def _eigh_rule(g: Any, ans: Any, _x: Any, *, UPLO: str = "L", **_options: Any) -> Any:
    of_w, of_v = g
    w, v = ans
    lower = UPLO.upper() == "L"
    if of_v is None:
        return [folded(_weighted(conj(v), of_w, transposed(v)), lower=lower)]
    if v.dtype.kind == "c":
        rows = _rows(v, 0 if lower else -1)
        of_v = _phase("eigh", v, of_v, rows, _turned(v, of_v), _weight(of_v))
    inner = matmul(transposed(v), of_v)
    inner = inner * _gaps("eigh", "eigenvalues", w, of_v)
    if of_w is not None:
        inner = inner + _on_diagonal(of_w)
    return [folded(matmul(matmul(conj(v), inner), transposed(v)), lower=lower)]


eigh_pair: Op = primitive(
    "eigh",
    lambda x, *, UPLO="L": tuple(np.linalg.eigh(x, UPLO)),
    _triangles,
    joint=_eigh_rule,
    outputs=2,
    expects="square matrices (..., n, n)",
    doc="""Return eigenvalues (ascending) and eigenvectors of symmetric or Hermitian matrices.""",
)

eigvalsh: Op = primitive(
    "eigvalsh",
    lambda x, *, UPLO="L": np.linalg.eigvalsh(x, UPLO),
    _triangles,
    lambda g, _ans, x, *, UPLO="L": folded(
        _weighted(conj(v := eigh_pair(x, UPLO=UPLO)[1]), g, transposed(v)),
        lower=UPLO.upper() == "L",
    ),
    numpy=(np.linalg.eigvalsh,),
    expects="square matrices (..., n, n)",
    doc="""Return the eigenvalues of symmetric or Hermitian matrices, in ascending order.

    dw = vᴴ dA v. Of equal eigenvalues the sum has this derivative; each alone has a kink.

    Example:
        >>> from tinygrad_course import linalg
        >>> linalg.eigvalsh([[2.0, 0.0], [0.0, 1.0]])
        array([1., 2.])
    """,
)


# ---- eigenvalues of any square matrix --------------------------------------------------------


def _check_basis(name: str, v: Any) -> None:
    """Raise where the eigenvectors do not span the space."""
    if not v.size:
        return
    with np.errstate(all="ignore"):
        reach = np.linalg.cond(raw(v)) * v.shape[-1] * precision(v)
    if not (reach < 1).all():
        raise GraphError(
            f"backward: {name}: a matrix is defective: equal eigenvalues (gap 0) share their "
            f"eigenvector, and neither has a derivative there; change the matrix a little"
        )


def _eig_rule(g: Any, ans: Any, _x: Any, **_options: Any) -> Any:
    of_w, of_v = g
    w, v = ans
    _check_basis("eig", v)
    if of_v is None:
        inner = _on_diagonal(of_w)
    else:
        used = of_v
        if v.dtype.kind == "c":
            sizes = np.where(raw(v).imag == 0, abs(raw(v)), -1.0)
            rows = sizes.argmax(axis=-2) if v.size else _rows(v, 0)
            of_v = _phase("eig", v, of_v, rows, _turned(v, of_v), _weight(of_v))
        # The columns keep their length 1.
        along = real((of_v * v).sum(axis=-2))
        of_v = of_v - conj(v) * along[..., None, :]
        inner = matmul(transposed(v), of_v)
        inner = inner * _gaps("eig", "eigenvalues", w, used)
        if of_w is not None:
            inner = inner + _on_diagonal(of_w)
    return [solve(transposed(v), matmul(inner, transposed(v)))]


def _general(rng: Generator) -> Iterator[Sample]:
    for x in _spectra(rng):
        yield (x,), {}


eig_pair: Op = primitive(
    "eig",
    lambda x: tuple(np.linalg.eig(x)),
    _general,
    joint=_eig_rule,
    outputs=2,
    expects="square matrices (..., n, n)",
    doc="""Return eigenvalues and eigenvectors of square matrices.""",
)


def _eigvals_rule(g: Any, ans: Any, x: Any) -> Any:
    w, v = eig_pair(x)
    _check_basis("eigvals", v)
    # Without eigenvectors LAPACK takes another way, on which eigenvalues may change places.
    distance = abs(raw(ans)[..., None, :] - raw(w)[..., :, None])
    size = w.shape[-1]
    nearest = distance.argmin(axis=-1) if size else np.zeros(w.shape, np.intp)
    if (np.sort(nearest, axis=-1) == np.arange(size)).all():
        batch = np.indices(w.shape)[:-1]
        g = g[(*batch, nearest)]
    return solve(transposed(v), g[..., :, None] * transposed(v))


eigvals: Op = primitive(
    "eigvals",
    np.linalg.eigvals,
    _general,
    _eigvals_rule,
    numpy=(np.linalg.eigvals,),
    expects="square matrices (..., n, n)",
    doc="""Return the eigenvalues of square matrices, complex where they have to be.

    dw = (V⁻¹ dA V) on the diagonal; a defective matrix is refused in backward.

    Example:
        >>> from tinygrad_course import linalg
        >>> linalg.eigvals([[2.0, 1.0], [0.0, 1.0]])
        array([2., 1.])
    """,
)


# ---- singular values -------------------------------------------------------------------------


def _null(s: Any, shape: tuple[int, int]) -> Any:
    """Say which singular values are 0 up to rounding."""
    tolerance = max(shape) * precision(s) * _largest(s)
    return abs(raw(s)) <= tolerance[..., None]


def _values_alone(g: Any, u: Any, s: Any, vh: Any) -> Any:
    """Return the gradient of singular values: conj(U) diag(g) V̅ᴴ, and 0 for values of 0."""
    null = _null(s, (u.shape[-2], vh.shape[-1]))
    return _weighted(conj(u), where(null, 0.0, g) if null.any() else g, conj(vh))


def _check_complement(name: str, basis: Any, g: Any) -> None:
    """Raise if the loss depends on which basis of the complement the extra vectors are."""
    basis, g = raw(basis), raw(g)
    inner = np.swapaxes(basis, -1, -2) @ g
    turned = inner - np.conj(np.swapaxes(inner, -1, -2))
    if abs(turned).max(initial=0.0) > precision(g) ** 0.5 * abs(g).max(initial=0.0):
        raise GraphError(
            f"backward: {name}: the extra vectors of a full matrix are determined up to a rotation "
            f"among themselves, and the loss depends on it; use what does not, such as the "
            f"product of these vectors with their adjoint, or take the reduced factors"
        )


def _divided(part: Any, s: Any, null: Any, used: Any, axis: int) -> Any:
    """Divide what belongs to each singular value by it; vectors in use must not belong to a 0."""
    touched = null & (used | (raw(part) != 0).any(axis=axis))
    if touched.any():
        *batch, k = (int(i) for i in np.argwhere(touched)[0])
        of = f" of matrix {tuple(batch)}" if batch else ""
        raise GraphError(
            f"backward: svd{of}: singular value {k} is 0 (gap {raw(s)[(*batch, k)]:.1e}), its "
            f"vectors are not determined and have no derivative, and the loss depends on them"
        )
    inverse = where(null, 0.0, 1 / where(null, 1.0, s))
    return part * (inverse[..., None, :] if axis == -2 else inverse[..., :, None])


def _svd_rule(g: Any, ans: Any, _x: Any, **_options: Any) -> Any:
    of_u, of_s, of_vh = g
    u, s, vh = ans
    k, shape = s.shape[-1], (u.shape[-2], vh.shape[-1])
    u1, vh1 = u[..., :k], vh[..., :k, :]
    if of_u is None and of_vh is None:
        return [_values_alone(of_s, u1, s, vh1)]
    zero = np.zeros((), s.dtype)
    g_u = zero * conj(u1) if of_u is None else of_u[..., :k]
    g_v = zero * transposed(vh1) if of_vh is None else adjoint(of_vh[..., :k, :])
    v1 = adjoint(vh1)
    if u.dtype.kind == "c":
        # Both vectors of a pair turn together; LAPACK makes the shorter one's first number real.
        turned, weight = _turned(u1, g_u) + _turned(v1, g_v), _weight(g_u) + _weight(g_v)
        if shape[0] >= shape[1]:
            g_v = _phase("svd", v1, g_v, _rows(v1, 0), turned, weight)
        else:
            g_u = _phase("svd", u1, g_u, _rows(u1, 0), turned, weight)
    in_u, in_v = matmul(transposed(u1), g_u), matmul(transposed(v1), g_v)
    gaps = _gaps("svd", "singular values", s, g_u, g_v)
    sums = s[..., None, :] + s[..., :, None]
    gaps = gaps / where(raw(sums) == 0, 1.0, sums)
    k_u, k_v = in_u * gaps, in_v * gaps
    core = (k_u + adjoint(k_u)) * s[..., None, :] + (k_v + adjoint(k_v)) * s[..., :, None]
    null = _null(s, shape)
    if of_s is not None:
        core = core + _on_diagonal(where(null, 0.0, of_s))
    if u.dtype.kind == "c":  # a change of phase between the two vectors of a pair
        between = imag(diagonal(in_u, axis1=-2, axis2=-1))
        noise = abs(raw(between)) <= precision(s) ** 0.5 * weight
        between = where(null & noise, 0.0, between)[..., None, :]
        core = core + _on_diagonal(1j * _divided(between, s, null, False, -2)[..., 0, :])
    result = matmul(matmul(conj(u1), core), conj(vh1))
    if shape[0] > k:
        outside = g_u - matmul(conj(u1), in_u)
        if of_u is not None and of_u.shape[-1] > k:
            u2, g_u2 = u[..., k:], of_u[..., k:]
            _check_complement("svd", u2, g_u2)
            outside = outside - matmul(conj(u2), adjoint(matmul(transposed(u1), g_u2)))
        result = result + matmul(
            _divided(outside, s, null, (raw(g_u) != 0).any(axis=-2), -2), conj(vh1)
        )
    if shape[1] > k:
        outside = adjoint(g_v) - matmul(adjoint(in_v), conj(vh1))
        if of_vh is not None and of_vh.shape[-2] > k:
            vh2, g_v2 = vh[..., k:, :], adjoint(of_vh[..., k:, :])
            _check_complement("svd", adjoint(vh2), g_v2)
            outside = outside - matmul(matmul(transposed(v1), g_v2), conj(vh2))
        result = result + matmul(
            conj(u1), _divided(outside, s, null, (raw(g_v) != 0).any(axis=-2), -1)
        )
    return [result]


def _spread_values(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return matrices with well separated singular values, none of them near 0."""
    steps: np.ndarray = np.eye(shape[-2], shape[-1]) * (2 * np.arange(shape[-1]) + 2)
    return np.asarray(values(rng, shape, -1, 1) + steps)


def _svds(rng: Generator) -> Iterator[Sample]:
    for shape in [(1, 1), (2, 2), (3, 3), (3, 2), (2, 3), (4, 2), (2, 3, 2), (0, 2, 2)]:
        yield (_spread_values(rng, shape),), {"full_matrices": False}
    yield (_spread_values(rng, (3, 3)).T,), {}
    yield (_spread_values(rng, (2, 2, 2)),), {"full_matrices": True}


svd_triple: Op = primitive(
    "svd",
    lambda x, *, full_matrices=True: tuple(np.linalg.svd(x, full_matrices)),
    _svds,
    joint=_svd_rule,
    outputs=3,
    expects="matrices (..., m, n)",
    doc="""Return U, the singular values (descending) and Vᴴ of A = U diag(s) Vᴴ.""",
)


def _svdvals_rule(g: Any, _ans: Any, x: Any) -> Any:
    u, s, vh = svd_triple(x, full_matrices=False)
    return _values_alone(g, u, s, vh)


def _shapes(*shapes: tuple[int, ...]) -> Samples:
    def samples(rng: Generator) -> Iterator[Sample]:
        for shape in shapes:
            yield (_spread_values(rng, shape),), {}

    return samples


svdvals: Op = primitive(
    "svdvals",
    lambda x: np.linalg.svd(x, compute_uv=False),
    _shapes((1, 1), (3, 3), (3, 2), (2, 4), (2, 2, 3), (0, 2, 2)),
    _svdvals_rule,
    numpy=(np.linalg.svdvals,),
    expects="matrices (..., m, n)",
    doc="""Return the singular values of matrices, in descending order: ds = Re(uᴴ dA v).

    A value of 0 has gradient 0; equal values have a kink, and their sum has this derivative.

    Example:
        >>> from tinygrad_course import linalg
        >>> linalg.svdvals([[0.0, 2.0], [1.0, 0.0]])
        array([2., 1.])
    """,
)


# ---- Cholesky and QR -------------------------------------------------------------------------


def _cholesky_rule(g: Any, ans: Any, _x: Any, *, upper: bool = False) -> Any:
    if upper:  # U = Lᴴ, of the matrix's other triangle
        g, ans = adjoint(g), adjoint(ans)
    inverse = inv(ans)
    inner = matmul(transposed(ans), g)
    inner = inner * triangle(inner, lower=True)
    full = matmul(matmul(transposed(inverse), inner), conj(inverse))
    return folded(full, lower=not upper)


def _positive(rng: Generator) -> Iterator[Sample]:
    for shape in [(1, 1), (2, 2), (3, 3), (2, 3, 3), (0, 2, 2), (0, 0)]:
        yield (values(rng, shape, -1, 1) + 4 * np.eye(shape[-1]),), {}
    yield (values(rng, (3, 3), -1, 1) + np.diag([4.0, 5.0, 6.0]),), {"upper": True}
    yield ((values(rng, (2, 3, 3), -1, 1) + np.diag([4.0, 5.0, 6.0])).swapaxes(1, 2),), {}


cholesky: Op = primitive(
    "cholesky",
    lambda x, *, upper=False: np.linalg.cholesky(x, upper=upper),
    _positive,
    _cholesky_rule,
    numpy=(np.linalg.cholesky,),
    expects="symmetric (Hermitian), positive definite matrices (..., n, n)",
    doc="""Factor A = L Lᴴ with a lower triangle L, or A = Uᴴ U with ``upper=True``.

    NumPy reads one triangle of A, and that triangle receives the whole gradient.

    Example:
        >>> from tinygrad_course import linalg
        >>> linalg.cholesky([[4.0, 2.0], [2.0, 2.0]])
        array([[2., 0.],
               [1., 1.]])
    """,
)


def _qr_tall(g_q: Any, g_r: Any, q: Any, r: Any) -> Any:
    """Return the gradient of A = Q R with as many columns in Q as in A."""
    parts = []
    if g_r is not None:
        parts.append(matmul(g_r, transposed(r)))
    if g_q is not None:
        parts.append(-matmul(transposed(q), g_q))
    inner = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    inner = inner * triangle(inner, lower=False)
    full = matmul(conj(q), inner + adjoint(inner))
    if g_q is not None:
        full = full + g_q
    return transposed(solve(r, transposed(full)))


def _qr_pull(g_q: Any, g_r: Any, q: Any, r: Any, x: Any) -> Any:
    m, n = x.shape[-2:]
    k = min(m, n)
    pivots = abs(diagonal(raw(r), axis1=-2, axis2=-1))
    small = max(m, n) * precision(r) * pivots.max(axis=-1, initial=0.0, keepdims=True)
    if (pivots <= small).any():
        *batch, column = (int(i) for i in np.argwhere(pivots <= small)[0])
        of = f" of matrix {tuple(batch)}" if batch else ""
        raise GraphError(
            f"backward: qr{of}: column {column} depends on the columns before it, and its factor "
            f"is not determined and has no derivative"
        )
    if q.shape[-1] > k:
        q2 = q[..., k:]
        q = q[..., :k]
        r, g_r = r[..., :k, :], None if g_r is None else g_r[..., :k, :]
        if g_q is not None:
            extra, g_q = g_q[..., k:], g_q[..., :k]
            _check_complement("qr", q2, extra)
            g_q = g_q - matmul(conj(q2), adjoint(matmul(transposed(q), extra)))
    if m >= n:
        return _qr_tall(g_q, g_r, q, r)
    if g_r is None:
        return concatenate_all(
            _qr_tall(g_q, None, q, r[..., :k]), np.zeros_like(raw(x)[..., k:]), axis=-1
        )
    # The columns on the right are R2 = Qᴴ A2.
    of_r2 = g_r[..., k:]
    through = matmul(conj(x[..., k:]), adjoint(of_r2))
    g_q = through if g_q is None else g_q + through
    return concatenate_all(
        _qr_tall(g_q, g_r[..., :k], q, r[..., :k]), matmul(conj(q), of_r2), axis=-1
    )


def _qr_rule(g: Any, ans: Any, x: Any, **_options: Any) -> Any:
    (of_q, of_r), (q, r) = g, ans
    return [_qr_pull(of_q, of_r, q, r, x)]


def _qrs(rng: Generator) -> Iterator[Sample]:
    for shape in [(1, 1), (3, 3), (3, 2), (4, 2), (2, 4), (2, 3, 2), (2, 2, 3), (0, 2, 2)]:
        yield (_spread_values(rng, shape),), {}
    yield (_spread_values(rng, (3, 3)).T,), {"mode": "complete"}
    yield (_spread_values(rng, (2, 3)),), {"mode": "complete"}


qr_pair: Op = primitive(
    "qr",
    lambda x, *, mode="reduced": tuple(np.linalg.qr(x, mode)),
    _qrs,
    joint=_qr_rule,
    outputs=2,
    expects="matrices (..., m, n)",
    doc="""Factor A = Q R with orthonormal columns in Q and an upper triangle R.""",
)


def _triangle_rule(g: Any, _ans: Any, x: Any) -> Any:
    q, r = qr_pair(x)
    return _qr_pull(None, g, q, r, x)


qr_triangle: Op = primitive(
    "qr_r",
    lambda x: np.linalg.qr(x, "r"),
    _shapes((1, 1), (3, 3), (4, 2), (2, 4), (2, 3, 2)),
    _triangle_rule,
    expects="matrices (..., m, n)",
    doc="""Return the triangle R of A = Q R alone.""",
)


__all__ = [
    "cholesky",
    "eig_pair",
    "eigh_pair",
    "eigvals",
    "eigvalsh",
    "qr_pair",
    "qr_triangle",
    "svd_triple",
    "svdvals",
]
