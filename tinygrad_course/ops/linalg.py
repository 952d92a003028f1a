"""What stands on the decompositions: norms, condition numbers, ranks, least squares."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.arithmetic import abs as size_of
from tinygrad_course.ops.choices import where
from tinygrad_course.ops.constants import equal
from tinygrad_course.ops.contraction import matmul
from tinygrad_course.ops.decompositions import svd_triple, svdvals
from tinygrad_course.ops.inverses import adjoint, conj, inv, pinv, precision, raw, transposed
from tinygrad_course.ops.lanes import kept_shape, spread
from tinygrad_course.ops.reduction import reduce_max, reduce_min, reduce_sum
from tinygrad_course.ops.samples import nonzero, reductions, values
from tinygrad_course.ops.shaping import moveaxis, reshape
from tinygrad_course.primitive import Op, Sample, primitive

# ---- norms -----------------------------------------------------------------------------------


def _norm(x: Any, *, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002 - NumPy's name
    return np.linalg.norm(x, ord, axis, keepdims)


def _euclidean_rule(g: Any, ans: Any, x: Any, *, axis: Any = None, **_options: Any) -> Any:
    null = equal(raw(ans), 0)
    scale = where(null, 0.0, g / where(null, 1.0, ans))
    return spread(scale, x.shape, axis) * conj(x)


euclidean_norm: Op = primitive(
    "norm",
    _norm,
    lambda rng: ((a, p) for a, p in reductions(0.3, 2.0)(rng) if a[0].ndim or p["axis"] is None),
    _euclidean_rule,
    expects="one axis for vectors, two for matrices",
    doc="""Take the root of the sum of squares: derivative conj(x) / norm, 0 at a norm of 0.""",
)


def _p_norm(x: Any, p: float, axis: int, keepdims: bool) -> Any:
    """Take (sum of |x|**p)**(1/p), with gradient 0 where |x|**p or the root has none."""
    size = size_of(x)
    null = equal(raw(size), 0)
    powers = where(null, 0.0 if p > 0 else math.inf, where(null, 1.0, size) ** p)
    total = reduce_sum(powers, axis=axis, keepdims=keepdims)
    null = equal(raw(total), 0)
    return where(null, 0.0, where(null, 1.0, total) ** (1 / p))


def _vector_norm(x: Any, order: Any, axis: int, keepdims: bool) -> Any:
    if order == math.inf:
        return reduce_max(size_of(x), axis=axis, keepdims=keepdims)
    if order == -math.inf:
        return reduce_min(size_of(x), axis=axis, keepdims=keepdims)
    if order == 1:
        return reduce_sum(size_of(x), axis=axis, keepdims=keepdims)
    return _p_norm(x, float(order), axis, keepdims)


def _matrix_norm(x: Any, order: Any, rows: int, columns: int) -> Any:
    """Return a norm of matrices along two axes, which stay in the result with size 1."""
    if order in (2, -2, "nuc"):
        s = svdvals(moveaxis(x, source=(rows, columns), destination=(-2, -1)))
        reduce = {2: reduce_max, -2: reduce_min, "nuc": reduce_sum}[order]
        return reshape(reduce(s, axis=-1), shape=kept_shape(x.shape, (rows, columns)))
    first, last = (rows, columns) if abs(order) == 1 else (columns, rows)
    sums = reduce_sum(size_of(x), axis=first, keepdims=True)
    return (reduce_max if order > 0 else reduce_min)(sums, axis=last, keepdims=True)


def _norm_formula(x: Any, *, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002
    axes = tuple(range(x.ndim)) if axis is None else axis
    axes = axes if isinstance(axes, tuple) else (axes,)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    norms = _matrix_norm(x, ord, axes[0] % x.ndim, axes[1] % x.ndim)
    if keepdims:
        return norms
    axes = tuple(axis % x.ndim for axis in axes)
    return reshape(norms, shape=tuple(n for i, n in enumerate(norms.shape) if i not in axes))


def _norms(rng: np.random.Generator) -> Iterator[Sample]:
    for order in (1, 3, 1.5, 0.5, -1, -2, math.inf, -math.inf):
        yield (nonzero(rng, (4,)),), {"ord": order}
        yield (nonzero(rng, (3, 2)),), {"ord": order, "axis": 0, "keepdims": True}
    for name in (1, -1, 2, -2, math.inf, -math.inf, "nuc"):
        yield (nonzero(rng, (3, 2)),), {"ord": name}
        yield (nonzero(rng, (2, 2, 3)),), {"ord": name, "axis": (2, 0)}
        yield (nonzero(rng, (2, 2, 3)),), {"ord": name, "axis": (0, -1), "keepdims": True}


norm_of_order: Op = primitive(
    "norm_of_order",
    _norm,
    _norms,
    formula=_norm_formula,
    expects="one axis for vectors, two for matrices, and an order that NumPy knows",
    doc="""Take a norm that is not the root of the sum of squares.""",
)


# ---- condition and rank ----------------------------------------------------------------------


def _cond_formula(x: Any, *, p: Any = None) -> Any:
    if p is None or p in (2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    sizes = []
    for matrix in (x, inv(x)):
        if p == "fro":
            sizes.append(euclidean_norm(matrix, ord=p, axis=(-2, -1)))
        else:
            sizes.append(norm_of_order(matrix, ord=p, axis=(-2, -1)))
    return sizes[0] * sizes[1]


def _conds(rng: np.random.Generator) -> Iterator[Sample]:
    for p in (None, 2, -2, 1, -1, math.inf, -math.inf, "fro", "nuc"):
        yield (values(rng, (3, 3), -1, 1) + np.diag([2.0, 4.0, 6.0]),), {"p": p}
    yield (values(rng, (2, 3, 2), -1, 1) + np.eye(3, 2) * [2.0, 4.0],), {}
    yield (values(rng, (2, 2, 2), -1, 1) + np.diag([2.0, 4.0]),), {"p": 1}


cond: Op = primitive(
    "cond",
    lambda x, *, p=None: np.real(np.linalg.cond(x, p)),  # complex zeros come with NumPy 2.0
    _conds,
    formula=_cond_formula,
    numpy=(np.linalg.cond,),
    expects="matrices (..., m, n); square ones unless p is None, 2 or -2",
    doc="""Return the condition number: the norm of A times that of A⁻¹, p saying which norm.

    For p None, 2 and -2 it is the ratio of the extreme singular values. At a singular matrix it is
    infinite and has no derivative.

    Example:
        >>> from tinygrad_course import linalg
        >>> float(linalg.cond([[4.0, 0.0], [0.0, 2.0]]))
        2.0
    """,
)


def _rank(x: Any, *, tol: Any = None, hermitian: bool = False, rtol: Any = None) -> Any:
    return np.asarray(np.linalg.matrix_rank(x, tol, hermitian, rtol=rtol))[()]


matrix_rank: Op = primitive(
    "matrix_rank",
    _rank,
    lambda rng: iter([((values(rng, (2, 3, 2), -1, 1),), {}), ((np.ones((3, 3)),), {"tol": 0.1})]),
    None,
    numpy=(np.linalg.matrix_rank,),
    doc="""Return the number of singular values above a tolerance; it has no derivative.

    Example:
        >>> from tinygrad_course import linalg
        >>> int(linalg.matrix_rank([[1.0, 1.0], [1.0, 1.0]]))
        1
    """,
)


# ---- least squares ---------------------------------------------------------------------------


def _solution_pull(g: Any, a: Any, x: Any, residual: Any, rcond: Any, rank: int) -> Any:
    """Return the gradients of x = A⁺ b for A and b."""
    cut = max(a.shape) * precision(a) if rcond is None else rcond
    inverse = pinv(a, rtol=precision(a) if cut < 0 else cut)
    of_b = matmul(transposed(inverse), g)
    turned = matmul(conj(inverse), of_b)
    of_a = matmul(conj(residual), adjoint(turned)) - matmul(of_b, transposed(x))
    if rank < a.shape[1]:  # what A sends to 0 is kept out of x
        outside = np.eye(a.shape[1], dtype=a.dtype) - matmul(inverse, a)
        seen = matmul(transposed(inverse), conj(x))
        of_a = of_a + matmul(seen, adjoint(matmul(transposed(outside), g)))
    return of_a, of_b


def _lstsq_rule(g: Any, ans: Any, a: Any, b: Any, *, rcond: Any = None, **_options: Any) -> Any:
    of_x, of_residuals, _, of_s = g
    x, rank = ans[0], int(raw(ans[2]))
    columns = b if b.ndim == 2 else b[:, None]
    if b.ndim == 1:
        x = x[:, None]
        of_x = of_x if of_x is None else of_x[:, None]
    residual = columns - matmul(a, x)
    of_a, of_b = [], []
    if of_x is not None:
        pieces = _solution_pull(of_x, a, x, residual, rcond, rank)
        of_a.append(pieces[0])
        of_b.append(pieces[1])
    if of_residuals is not None and of_residuals.shape[0]:
        outward = 2 * conj(residual) * of_residuals
        of_a.append(-matmul(outward, transposed(x)))
        of_b.append(outward)
    if of_s is not None:
        u, _, vh = svd_triple(a, full_matrices=False)
        of_a.append(matmul(conj(u) * of_s, conj(vh)))
    zeros = [np.zeros(part.shape, part.dtype) for part in (a, columns)]
    first, second = (
        sum(parts[1:], parts[0]) if parts else zero
        for parts, zero in zip((of_a, of_b), zeros, strict=True)
    )
    return [first, second if b.ndim == 2 else second[:, 0]]


def _fits(rng: np.random.Generator) -> Iterator[Sample]:
    for first, second in [((4, 2), (4,)), ((4, 2), (4, 3)), ((3, 3), (3,)), ((2, 4), (2, 1))]:
        a = values(rng, first, -1, 1) + 2 * np.eye(*first)
        yield (a, values(rng, second, -2, 2)), {}
    yield (values(rng, (5, 2), -1, 1) + np.eye(5, 2), values(rng, (5,), -2, 2)), {"rcond": 1e-10}


lstsq_parts: Op = primitive(
    "lstsq",
    lambda a, b, *, rcond=None: tuple(np.linalg.lstsq(a, b, rcond)),
    _fits,
    joint=_lstsq_rule,
    outputs=4,
    constant_outputs=(2,),
    expects="a matrix (m, n) and a vector (m,) or matrix (m, k)",
    doc="""Return the least-squares solution, the squared residuals, the rank, singular values.""",
)


__all__ = [
    "cond",
    "euclidean_norm",
    "lstsq_parts",
    "matrix_rank",
    "norm_of_order",
]
