"""Inverses, determinants, powers and products of square matrices.

In the convention of this library the gradient g of a result meets its change without a conjugate,
dL = Re(sum of g · change). So A⁻¹ and other holomorphic functions need no conjugates; where a
change is conjugated on its way, as in Aᴴ, the piece is conjugated back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError, GraphError
from tinygrad_course.graph import Value
from tinygrad_course.ops.complexes import conjugate, imag
from tinygrad_course.ops.contraction import matmul
from tinygrad_course.ops.samples import listed, values
from tinygrad_course.ops.shaping import reshape, transpose_axes
from tinygrad_course.primitive import Op, Sample, primitive


def raw(x: Any) -> Any:
    """Return the array of a Tensor; decisions are made on values, not on the graph."""
    return x._data if isinstance(x, Value) else x


def conj(x: Any) -> Any:
    """Return the conjugate; real numbers are their own and are not copied."""
    return conjugate(x) if x.dtype.kind == "c" else x


def transposed(x: Any) -> Any:
    """Exchange the last two axes."""
    return x.swapaxes(-1, -2)


def adjoint(x: Any) -> Any:
    """Exchange the last two axes and conjugate."""
    return conj(x.swapaxes(-1, -2))


def precision(x: Any) -> float:
    """Return the relative rounding of numbers of this dtype."""
    return float(np.finfo(x.dtype).eps)


def triangle(x: Any, *, lower: bool) -> Any:
    """Return a mask of one triangle of square matrices like `x`, with half the diagonal."""
    size = x.shape[-1]
    mask = np.tril(np.ones((size, size)), -1) + 0.5 * np.eye(size)
    return (mask if lower else mask.T).astype(np.finfo(x.dtype).dtype)


def folded(full: Any, *, lower: bool) -> Any:
    """Return the gradient for one triangle of a Hermitian matrix, from that for all of it."""
    return (full + adjoint(full)) * triangle(full, lower=lower)


# ---- inverses --------------------------------------------------------------------------------


def _regular(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(1, 1), (2, 2), (3, 3), (2, 3, 3), (0, 2, 2), (0, 0)]:
        yield (values(rng, shape, -1, 1) + 3 * np.eye(shape[-1]),), {}
    yield (np.diag([2.0, -3.0, 0.5]) + 0.1 * values(rng, (3, 3), -1, 1),), {}
    yield ((values(rng, (4, 3, 3), -1, 1) + 3 * np.eye(3)).swapaxes(1, 2)[::2],), {}


def _inverse_rule(g: Any, ans: Any, _x: Any) -> Any:
    inverse = transposed(ans)
    return -matmul(matmul(inverse, g), inverse)


inv: Op = primitive(
    "inv",
    np.linalg.inv,
    _regular,
    _inverse_rule,
    numpy=(np.linalg.inv,),
    expects="square, regular matrices (..., n, n)",
    doc="""Invert a square matrix, or a stack of them: dA = -A⁻ᵀ G A⁻ᵀ.

    Example:
        >>> from tinygrad_course import linalg
        >>> linalg.inv([[2.0, 0.0], [0.0, 4.0]])
        array([[0.5 , 0.  ],
               [0.  , 0.25]])
    """,
)


def _solve_rule(g: Any, ans: Any, a: Any, b: Any, *, wanted: Any) -> Any:
    if b.ndim == 1:  # one vector for all matrices
        g, ans = g[..., None], ans[..., None]
    of_b = solve(transposed(a), g)
    of_a = -matmul(of_b, transposed(ans)) if wanted[0] else None
    return [of_a, of_b[..., 0] if b.ndim == 1 else of_b]


def _systems(rng: np.random.Generator) -> Iterator[Sample]:
    for first, second in [
        ((1, 1), (1,)),
        ((3, 3), (3,)),
        ((3, 3), (3, 2)),
        ((2, 3, 3), (3,)),
        ((2, 3, 3), (2, 3, 1)),
        ((3, 3), (2, 3, 2)),
        ((2, 1, 3, 3), (4, 3, 2)),
        ((2, 2), (2, 0)),
        ((0, 2, 2), (2, 1)),
    ]:
        yield (values(rng, first, -1, 1) + 3 * np.eye(first[-1]), values(rng, second, -2, 2)), {}


solve: Op = primitive(
    "solve",
    np.linalg.solve,
    _systems,
    joint=_solve_rule,
    numpy=(np.linalg.solve,),
    expects="square, regular matrices (..., n, n) and a vector (n,) or matrices (..., n, k)",
    doc="""Solve A x = b: db = A⁻ᵀ g, dA = -db xᵀ.

    `b` is one vector, or matrices whose columns are solved one by one, batch by batch.

    Example:
        >>> from tinygrad_course import linalg
        >>> linalg.solve([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0])
        array([0.5 , 0.25])
    """,
)


def _tensorsolve(a: Any, b: Any, *, axes: Any = None) -> Any:
    """Solve a tensor equation: the last axes of a, as many as fit to x, are summed with x."""
    order = list(range(a.ndim))
    for axis in () if axes is None else axes:
        order.remove(axis)
        order.append(axis)
    a = transpose_axes(a, axes=tuple(order))
    shape = a.shape[b.ndim :]
    size = math.prod(shape)
    return reshape(solve(reshape(a, shape=(size, size)), reshape(b, shape=(-1,))), shape=shape)


def _tensor_systems(rng: np.random.Generator) -> Iterator[Sample]:
    square = values(rng, (6, 6), -1, 1) + 4 * np.eye(6)
    yield (square.reshape(2, 3, 6), values(rng, (2, 3), -2, 2)), {}
    yield (square.reshape(6, 2, 3), values(rng, (6,), -2, 2)), {"axes": None}
    turned = np.moveaxis(square.reshape(2, 3, 2, 3), 3, 0)
    yield (turned, values(rng, (2, 3), -2, 2)), {"axes": (0,)}


tensorsolve: Op = primitive(
    "tensorsolve",
    lambda a, b, *, axes=None: np.linalg.tensorsolve(a, b, axes),
    _tensor_systems,
    formula=_tensorsolve,
    numpy=(np.linalg.tensorsolve,),
    expects="an a of the shape of b followed by that of x, with as many elements in both",
    doc="""Solve ``tensordot(a, x, x.ndim) = b`` for x; `axes` of a are moved to its end before.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import linalg
        >>> linalg.tensorsolve(np.eye(6).reshape(2, 3, 6), np.ones((2, 3))).shape
        (6,)
    """,
)


def _tensorinv(a: Any, *, ind: int = 2) -> Any:
    shape = a.shape[ind:] + a.shape[:ind]
    return reshape(inv(reshape(a, shape=(math.prod(a.shape[:ind]), -1))), shape=shape)


def _tensor_matrices(rng: np.random.Generator) -> Iterator[Sample]:
    square = values(rng, (6, 6), -1, 1) + 4 * np.eye(6)
    yield (square.reshape(2, 3, 6),), {}
    yield (square.reshape(6, 3, 2),), {"ind": 1}
    yield (square.reshape(2, 3, 3, 2),), {"ind": 2}


tensorinv: Op = primitive(
    "tensorinv",
    lambda a, *, ind=2: np.linalg.tensorinv(a, ind),
    _tensor_matrices,
    formula=_tensorinv,
    numpy=(np.linalg.tensorinv,),
    expects="first `ind` axes with as many elements as the others",
    doc="""Invert a tensor as a matrix from its last axes to its first `ind` axes.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import linalg
        >>> linalg.tensorinv(np.eye(6).reshape(2, 3, 6)).shape
        (6, 2, 3)
    """,
)


def _pinv_rule(g: Any, ans: Any, x: Any, *, hermitian: bool = False, **_options: Any) -> Any:
    if hermitian:  # NumPy reads the lower triangle alone
        half = x * triangle(x, lower=True)
        x = half + adjoint(half)
    m, n = x.shape[-2:]
    inverse = transposed(ans)
    full = -matmul(matmul(inverse, g), inverse)
    # The projections on what A does not reach, and on what it sends to 0.
    left = np.eye(m, dtype=x.dtype) - matmul(x, ans)
    right = np.eye(n, dtype=x.dtype) - matmul(ans, x)
    turned = transposed(g)
    full = full + conj(matmul(matmul(left, turned), matmul(ans, adjoint(ans))))
    full = full + conj(matmul(matmul(adjoint(ans), matmul(ans, turned)), right))
    return folded(full, lower=True) if hermitian else full


def _pseudo(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(1, 1), (3, 3), (4, 2), (2, 4), (2, 3, 2), (0, 3)]:
        yield (values(rng, shape, -1, 1) + 2 * np.eye(shape[-2], shape[-1]),), {}
    yield (values(rng, (3, 3), -1, 1) + 2 * np.eye(3),), {"rcond": 1e-12}
    yield (values(rng, (3, 3), -1, 1) + 3 * np.eye(3),), {"hermitian": True}


pinv: Op = primitive(
    "pinv",
    lambda x, *, rcond=None, hermitian=False, rtol=np._NoValue: np.linalg.pinv(
        x, rcond, hermitian, rtol=rtol
    ),
    _pseudo,
    _pinv_rule,
    numpy=(np.linalg.pinv,),
    expects="matrices (..., m, n)",
    doc="""Return the pseudo-inverse A⁺ (Moore and Penrose) of matrices.

    The derivative holds while the rank stays the same: dA⁺ = -A⁺ dA A⁺ + A⁺A⁺ᴴ dAᴴ (1 - A A⁺)
    + (1 - A⁺A) dAᴴ A⁺ᴴ A⁺. Singular values at or below `rtol` times the largest count as 0.

    Example:
        >>> from tinygrad_course import linalg
        >>> linalg.pinv([[2.0], [0.0]])
        array([[0.5, 0. ]])
    """,
)


# ---- determinants ----------------------------------------------------------------------------


def _inverse_if_regular(x: Any, digits: float) -> Any:
    """Return the inverse of arrays, or None if a matrix would cost it this share of its digits."""
    try:
        inverse = np.linalg.inv(x)
    except np.linalg.LinAlgError:
        return None
    condition = np.linalg.norm(x, 1, axis=(-2, -1)) * np.linalg.norm(inverse, 1, axis=(-2, -1))
    return inverse if (condition < precision(x) ** -digits).all() else None


def _cofactors(x: Any) -> Any:
    """Return the cofactors of arrays, exact for singular matrices too.

    From A = U diag(s) Vᴴ: cof A = det(U) det(Vᴴ) conj(U) diag(products of the other s) conj(Vᴴ).
    """
    u, s, vh = np.linalg.svd(x)
    ones = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([ones, s[..., :-1]], axis=-1), axis=-1)
    behind = np.cumprod(np.concatenate([ones, s[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
    signs = np.linalg.det(u) * np.linalg.det(vh)
    weights = signs[..., None] * before * behind
    return np.matmul(np.conj(u) * weights[..., None, :], np.conj(vh))


def _minors(x: Any) -> Any:
    """Return the cofactors as determinants of what is left without a row and a column."""
    size = x.shape[-1]
    rest = np.array([[k for k in range(size) if k != i] for i in range(size)], dtype=np.intp)
    rest = rest.reshape(size, size - 1)
    left = x[..., rest[:, None, :, None], rest[None, :, None, :]]
    signs = (-1.0) ** np.add.outer(np.arange(size), np.arange(size))
    return det(left) * signs.astype(np.finfo(x.dtype).dtype)


def _det_rule(g: Any, ans: Any, x: Any) -> Any:
    if not x.shape[-1]:
        return x * 0.0
    if isinstance(x, Value):
        # Singular vectors would not do here: equal singular values have no second derivative.
        regular = _inverse_if_regular(raw(x), 0.75) is not None
        cofactors = ans[..., None, None] * transposed(inv(x)) if regular else _minors(x)
    else:
        inverse = _inverse_if_regular(x, 0.5)
        regular = inverse is not None
        cofactors = ans[..., None, None] * transposed(inverse) if regular else _cofactors(x)
    return g[..., None, None] * cofactors


def _squares(rng: np.random.Generator) -> Iterator[Sample]:
    yield from _regular(rng)
    yield (np.array([[1.0, 2.0], [2.0, 4.0]]),), {}
    yield (np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [5.0, 7.0, 9.0]]),), {}
    yield (np.array([[[1.0, 2.0], [0.5, -1.0]], [[0.0, 0.0], [0.0, 0.0]]]),), {}


det: Op = primitive(
    "det",
    np.linalg.det,
    _squares,
    _det_rule,
    numpy=(np.linalg.det,),
    expects="square matrices (..., n, n)",
    doc="""Return the determinant of square matrices: d det A = det(A) A⁻ᵀ, the cofactors.

    For singular matrices the cofactors come from singular vectors: right at rank n - 1, and 0 at a
    lower rank. The second derivative at a singular matrix takes n² determinants of size n - 1.

    Example:
        >>> from tinygrad_course import linalg
        >>> round(float(linalg.det([[2.0, 0.0], [0.0, 4.0]])), 6)
        8.0
    """,
)


def _slogdet_slope(x: Any) -> Any:
    try:
        return transposed(inv(x))
    except np.linalg.LinAlgError as error:
        raise GraphError(
            "backward: slogdet: a matrix is singular, where log|det| is -inf and has no "
            "derivative; det has one there"
        ) from error


def _slogdet_rule(g: Any, _ans: Any, x: Any, **_options: Any) -> Any:
    _, upstream = g
    return [upstream[..., None, None] * _slogdet_slope(x)]


slogdet_real: Op = primitive(
    "slogdet",
    lambda x: tuple(np.linalg.slogdet(x)),
    _regular,
    joint=_slogdet_rule,
    outputs=2,
    constant_outputs=(0,),
    real=True,
    expects="square matrices (..., n, n)",
    doc="""Return the sign and the logarithm of the absolute value of real determinants.""",
)


def _slogdet_complex_rule(g: Any, ans: Any, x: Any, **_options: Any) -> Any:
    of_sign, of_log = g
    weight = of_log
    if of_sign is not None:  # the sign is e**(iθ), and dθ = Im tr(A⁻¹ dA)
        turned = imag(of_sign * ans[0]) * 1j
        weight = turned if of_log is None else of_log + turned
    return [weight[..., None, None] * _slogdet_slope(x)]


slogdet_complex: Op = primitive(
    "slogdet_complex",
    lambda x: tuple(np.linalg.slogdet(x)),
    _regular,
    joint=_slogdet_complex_rule,
    outputs=2,
    expects="square matrices (..., n, n)",
    doc="""Return the sign e**(iθ) and log of the size of complex determinants; both derive.""",
)


# ---- powers and chains -----------------------------------------------------------------------


def _power(a: Any, *, n: int) -> Any:
    """Multiply by repeated squaring."""
    if n == 0:
        return a * 0.0 + np.eye(a.shape[-1], dtype=a.dtype)
    square, result = inv(a) if n < 0 else a, None
    n = abs(n)
    while n:
        n, bit = divmod(n, 2)
        if bit:
            result = square if result is None else matmul(result, square)
        square = matmul(square, square) if n else square
    return result


def _powers(rng: np.random.Generator) -> Iterator[Sample]:
    for n in (0, 1, 2, 3, 6, -1, -3):
        yield (values(rng, (2, 2), -1, 1) + 2 * np.eye(2),), {"n": n}
    yield (values(rng, (2, 3, 3), -1, 1),), {"n": 5}


matrix_power: Op = primitive(
    "matrix_power",
    lambda a, *, n: np.linalg.matrix_power(a, n),
    _powers,
    formula=_power,
    view=True,  # the first power is the matrix itself
    numpy=(np.linalg.matrix_power,),
    expects="square matrices (..., n, n), regular ones for a negative power",
    doc="""Multiply a square matrix with itself n times; a negative power inverts it first.

    Example:
        >>> from tinygrad_course import linalg
        >>> linalg.matrix_power([[1.0, 1.0], [0.0, 1.0]], 3)
        array([[1., 3.],
               [0., 1.]])
    """,
)


def _chain(*xs: Any) -> Any:
    if len(xs) < 2:
        raise ArgumentError(f"multi_dot: got {len(xs)} matrices, expected at least two")
    return np.linalg.multi_dot(xs)


def _chain_rule(g: Any, _ans: Any, *xs: Any, wanted: Any) -> Any:
    matrices = list(xs)
    if xs[0].ndim == 1:
        matrices[0] = reshape(xs[0], shape=(1, -1))
    if xs[-1].ndim == 1:
        matrices[-1] = reshape(xs[-1], shape=(-1, 1))
    g = reshape(g, shape=(matrices[0].shape[0], matrices[-1].shape[1]))
    turned = [transposed(x) for x in matrices]
    pieces: list[Any] = [None] * len(xs)
    for k, want in enumerate(wanted):
        if want:  # (A₀ … Aₖ₋₁)ᵀ G (Aₖ₊₁ …)ᵀ, in the order that takes the fewest products
            piece = chain(*turned[:k][::-1], g, *turned[k + 1 :][::-1])
            pieces[k] = reshape(piece, shape=xs[k].shape)
    return pieces


chain: Op = primitive(
    "multi_dot",
    _chain,
    listed(
        (((2, 3), (3, 4)), {}),
        (((2, 3), (3, 4), (4, 2)), {}),
        (((5, 2), (2, 3), (3, 1), (1, 4)), {}),
        (((3,), (3, 2), (2,)), {}),
        (((3,), (3, 2)), {}),
        (((2, 3), (3, 2), (2,)), {}),
    ),
    joint=_chain_rule,
    variadic=True,
    expects="matrices whose inner sizes agree; the first and the last may be vectors",
    doc="""Multiply several matrices in the order that takes the fewest operations.""",
)


__all__ = [
    "adjoint",
    "chain",
    "conj",
    "det",
    "folded",
    "inv",
    "matrix_power",
    "pinv",
    "precision",
    "raw",
    "slogdet_complex",
    "slogdet_real",
    "solve",
    "tensorinv",
    "tensorsolve",
    "transposed",
    "triangle",
]
