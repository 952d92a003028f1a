"""Linear algebra with NumPy's names: ``tc.linalg.solve`` is what ``np.linalg.solve`` calls.

The module is imported when it is first used. All functions take arrays and Tensors, matrices and
batches of them, real and complex, and can be differentiated to any order; results come as NumPy's
own named tuples. See `tinygrad_course.ops.decompositions` for what a derivative means where a
decomposition is not determined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from tinygrad_course.errors import ArgumentError, ShapeError, UnsupportedFunctionError
from tinygrad_course.functions import products, shapes
from tinygrad_course.functions.words import implements
from tinygrad_course.graph import Value
from tinygrad_course.ops import picking
from tinygrad_course.ops.arithmetic import abs as size_of
from tinygrad_course.ops.complexes import conjugate
from tinygrad_course.ops.constants import not_equal, sign_of
from tinygrad_course.ops.conversion import astype
from tinygrad_course.ops.decompositions import (
    cholesky,
    eig_pair,
    eigh_pair,
    eigvals,
    eigvalsh,
    qr_pair,
    qr_triangle,
    svd_triple,
    svdvals,
)
from tinygrad_course.ops.indexing import take_along_axis
from tinygrad_course.ops.inverses import (
    chain,
    det,
    inv,
    matrix_power,
    pinv,
    slogdet_complex,
    slogdet_real,
    solve,
    tensorinv,
    tensorsolve,
)
from tinygrad_course.ops.lanes import kept_shape
from tinygrad_course.ops.linalg import (
    cond,
    euclidean_norm,
    lstsq_parts,
    matrix_rank,
    norm_of_order,
)
from tinygrad_course.ops.reduction import reduce_sum
from tinygrad_course.ops.shaping import moveaxis, reshape

# NumPy's own classes; their names are public only as the types of results.
_ONE = np.ones((1, 1))
EigResult: Any = type(np.linalg.eig(_ONE))
EighResult: Any = type(np.linalg.eigh(_ONE))
QRResult: Any = type(np.linalg.qr(_ONE))
SVDResult: Any = type(np.linalg.svd(_ONE))
SlogdetResult: Any = type(np.linalg.slogdet(_ONE))


def _raw(x: Any) -> Any:
    return x._data if isinstance(x, Value) else np.asarray(x)


# ---- decompositions --------------------------------------------------------------------------


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Return eigenvalues (ascending) and eigenvectors of symmetric or Hermitian matrices.

    NumPy reads the triangle `UPLO` alone, and that triangle receives the whole gradient.
    dw = vᴴ dA v and dV = V (F ∘ Vᴴ dA V) with F = 1 / (w_j - w_i): vectors of equal eigenvalues
    have no derivative, and backward says so if the loss depends on them.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.eigh(tc.Tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
        Tensor([1., 2.])
    """
    return EighResult(*eigh_pair(a, UPLO=UPLO))


@implements(np.linalg.eig)
def eig(a: Any) -> Any:
    """Return eigenvalues and eigenvectors (columns of length 1) of square matrices.

    Complex where they have to be. dw = diag(V⁻¹ dA V), and dV = V (F ∘ V⁻¹ dA V) with F as in
    `eigh`, less what would change the length of a column or the phase that LAPACK chose.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.eig(tc.Tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
        Tensor([2., 1.])
    """
    return EigResult(*eig_pair(a))


@implements(np.linalg.svd)
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """Return U, the singular values S (descending) and Vᴴ of A = U diag(S) Vᴴ.

    Without `compute_uv` the singular values alone. The extra columns of `full_matrices` are
    determined up to a rotation: a loss that depends on it is refused in backward, and so is one
    that depends on the vectors of equal singular values.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.svd(tc.Tensor([[0.0, 2.0], [1.0, 0.0]])).S
        Tensor([2., 1.])
    """
    if hermitian:
        return _svd_hermitian(a, compute_uv)
    if not compute_uv:
        return svdvals(a)
    return SVDResult(*svd_triple(a, full_matrices=full_matrices))


def _svd_hermitian(a: Any, compute_uv: bool) -> Any:
    """Build singular values and vectors from eigenvalues, as NumPy does."""
    if not compute_uv:
        w = eigvalsh(a)
        order = np.argsort(abs(_raw(w)), axis=-1)[..., ::-1]
        return take_along_axis(size_of(w), indices=order, axis=-1)
    w, u = eigh_pair(a)
    order = np.argsort(abs(_raw(w)), axis=-1)[..., ::-1]
    signs = np.take_along_axis(_raw(sign_of(w)), order, axis=-1)
    s = take_along_axis(size_of(w), indices=order, axis=-1)
    everywhere = np.broadcast_to(order[..., None, :], np.shape(u))
    u = take_along_axis(u, indices=everywhere, axis=-1)
    vh = conjugate((u * signs[..., None, :]).swapaxes(-1, -2))
    return SVDResult(u, s, vh)


@implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """Factor A = Q R with orthonormal columns in Q and an upper triangle R.

    `mode` is "reduced", "complete" (Q square) or "r" (R alone). The columns of A must be
    independent, of a wide matrix the first ones; a loss that depends on which extra columns a
    complete Q has is refused in backward.

    Example:
        >>> import tinygrad_course as tc
        >>> abs(tc.linalg.qr(tc.Tensor([[3.0], [4.0]]), mode="r").data)
        array([[5.]])
    """
    if mode == "r":
        return qr_triangle(a)
    if mode not in ("reduced", "complete"):
        raise UnsupportedFunctionError(
            f'qr: has no mode {mode!r} for Tensors; expected "reduced", "complete" or "r"'
        )
    return QRResult(*qr_pair(a, mode=mode))


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """Return the sign and the logarithm of the absolute value of determinants.

    d log|det A| = A⁻ᵀ; the sign of a real determinant is constant and has no derivative, that of
    a complex one, e**(iθ), has.

    Example:
        >>> import tinygrad_course as tc
        >>> sign, logdet = tc.linalg.slogdet([[2.0, 0.0], [0.0, 4.0]])
        >>> float(logdet.round(4))
        2.0794
    """
    complex_numbers = _raw(a).dtype.kind == "c"
    return SlogdetResult(*(slogdet_complex if complex_numbers else slogdet_real)(a))


@implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Return the x that makes ‖b - A x‖ smallest, the squared residuals, rank and singular values.

    All but the rank have derivatives, as long as the rank stays the same; of several x it is the
    shortest. The residuals are empty unless the columns of A are independent and fewer than its
    rows.

    Example:
        >>> import tinygrad_course as tc
        >>> x, residuals, rank, s = tc.linalg.lstsq(tc.Tensor([[1.0], [1.0]]), [1.0, 3.0])
        >>> x.round(6), residuals.round(6), int(rank)
        (Tensor([2.]), Tensor([2.]), 1)
    """
    x, residuals, rank, s = lstsq_parts(a, b, rcond=rcond)
    return x, residuals, rank._data if isinstance(rank, Value) else rank, s


# ---- products and views ----------------------------------------------------------------------


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any]) -> Any:
    """Multiply several matrices in the order that takes the fewest operations.

    The first and the last may be vectors.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.multi_dot([tc.Tensor([1.0, 2.0]), [[1.0, 0.0], [0.0, 1.0]], [3.0, 4.0]])
        Tensor(11.)
    """
    return chain(*arrays)


@implements(np.linalg.matmul)
def matmul(x1: Any, x2: Any, /) -> Any:
    """Multiply matrices, vectors and batches of them: `tc.matmul`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.matmul([[1.0, 2.0]], [[3.0], [4.0]])
        array([[11.]])
    """
    return products.matmul(x1, x2)


@implements(np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Sum the products conj(x1) x2 along an axis, batch by batch: `tc.vecdot`.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.linalg.vecdot(np.ones((2, 3)), np.ones(3))
        array([3., 3.])
    """
    return products.vecdot(x1, x2, axis=axis)


@implements(np.linalg.tensordot)
def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Sum the products over pairs of axes: `tc.tensordot`.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> float(tc.linalg.tensordot(np.ones((2, 3)), np.ones((2, 3))))
        6.0
    """
    return products.tensordot(x1, x2, axes=axes)


@implements(np.linalg.outer)
def outer(x1: Any, x2: Any, /) -> Any:
    """Multiply each element of one vector with each of another: `tc.outer`, for vectors only.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.outer([1.0, 2.0], [3.0, 4.0])
        array([[3., 4.],
               [6., 8.]])
    """
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ShapeError(
            f"outer: got shapes {np.shape(x1)} and {np.shape(x2)}, expected two vectors; "
            f"np.outer flattens"
        )
    return products.outer(x1, x2)


@implements(np.linalg.cross)
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Multiply vectors of three components crosswise: `tc.cross`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
        array([0., 0., 1.])
    """
    sizes = np.shape(x1)[axis], np.shape(x2)[axis]
    if sizes != (3, 3):
        raise ShapeError(f"cross: got vectors of {sizes} components, expected 3 of both")
    return products.cross(x1, x2, axis=axis)


@implements(np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """Exchange the last two axes: `tc.matrix_transpose`.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.linalg.matrix_transpose(np.ones((4, 2, 3))).shape
        (4, 3, 2)
    """
    return shapes.matrix_transpose(x)


@implements(np.linalg.diagonal)
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Read the diagonal of each matrix in the last two axes.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.diagonal(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]))
        Tensor([1., 4.])
    """
    return picking.diagonal(x, offset=offset, axis1=-2, axis2=-1)


@implements(np.linalg.trace)
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """Sum the diagonal of each matrix in the last two axes.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.trace(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]))
        Tensor(5.)
    """
    return picking.trace(x, offset=offset, axis1=-2, axis2=-1, dtype=dtype)


# ---- norms -----------------------------------------------------------------------------------


def _axes(name: str, x: Any, axis: Any) -> tuple[int, ...]:
    """Return the axes of a norm, counted from 0."""
    rank = np.ndim(x)
    if axis is None:
        return tuple(range(rank))
    given = tuple(int(a) for a in (axis if isinstance(axis, tuple | list) else (axis,)))
    for a in given:
        if not -rank <= a < rank:
            raise ShapeError(f"{name}: axis {a} does not exist in shape {np.shape(x)}")
    return tuple(a % rank for a in given)


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002 - NumPy's name
    """Return a norm of vectors (one axis) or matrices (two axes).

    Vectors: None and 2 (the length), 1, inf, -inf, 0 (how many are not 0; no derivative), any p.
    Matrices: None and "fro" (as a long vector), 2, -2 and "nuc" (of the singular values), 1, -1,
    inf, -inf (of sums over columns or rows).

    A norm of 0 has gradient 0, and elements that tie for a maximum share it.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.norm(tc.Tensor([[3.0, 4.0], [6.0, 8.0]]), axis=1)
        Tensor([ 5., 10.])
    """
    axes = _axes("norm", x, axis)
    if isinstance(axis, list):
        axis = tuple(axis)
    if ord is None or (len(axes) == 1 and ord == 2) or (len(axes) == 2 and ord in ("fro", "f")):
        return euclidean_norm(x, ord=ord, axis=axis, keepdims=keepdims)
    if len(axes) == 1 and ord == 0:
        found = astype(not_equal(x, 0), dtype=_raw(x).real.dtype)
        return reduce_sum(found, axis=axes[0], keepdims=keepdims)
    return norm_of_order(x, ord=ord, axis=axis, keepdims=keepdims)


@implements(np.linalg.vector_norm)
def vector_norm(
    x: Any,
    /,
    *,
    axis: Any = None,
    keepdims: bool = False,
    ord: Any = 2,  # noqa: A002 - NumPy's name
) -> Any:
    """Return a norm of vectors along `axis`; several axes, or all (None), make one long vector.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.vector_norm(tc.Tensor([[3.0, 0.0], [0.0, 4.0]]))
        Tensor(5.)
    """
    shape = np.shape(x)
    axes = _axes("vector_norm", x, axis)
    if axis is None:
        flat = reshape(x, shape=(-1,))
    elif len(axes) > 1:
        rest = [n for i, n in enumerate(shape) if i not in axes]
        flat = moveaxis(x, source=axes, destination=tuple(range(len(axes))))
        flat = reshape(flat, shape=(math.prod(shape[a] for a in axes), *rest))
    else:
        return norm(x, ord, axis=axes[0], keepdims=keepdims)
    result = norm(flat, ord, axis=0)
    return reshape(result, shape=kept_shape(shape, axes)) if keepdims else result


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:  # noqa: A002 - NumPy's name
    """Return a norm of the matrices in the last two axes; see `norm` for the orders.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linalg.matrix_norm(tc.Tensor([[3.0, 0.0], [0.0, 4.0]]), ord="nuc")
        Tensor(7.)
    """
    if np.ndim(x) < 2:
        raise ArgumentError(f"matrix_norm: got shape {np.shape(x)}, expected at least two axes")
    return norm(x, ord, axis=(-2, -1), keepdims=keepdims)


__all__ = [
    "EigResult",
    "EighResult",
    "LinAlgError",
    "QRResult",
    "SVDResult",
    "SlogdetResult",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]
