"""Products of vectors and matrices.

Each is linear in every input, so that its derivative is another product of the same kind.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.arithmetic import multiply
from tinygrad_course.ops.complexes import conjugate
from tinygrad_course.ops.samples import listed, values
from tinygrad_course.ops.shaping import moveaxis, reshape
from tinygrad_course.ops.tensors import returned, tensordot
from tinygrad_course.primitive import Op, Sample, primitive


def _rows(x: Any) -> Any:
    """Return `x` as one matrix: all axes but the last are counted through."""
    # Not -1 for the number of rows, which is not determined where a row is empty.
    return x if x.ndim == 2 else reshape(x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))


def _flat(x: Any) -> Any:
    return reshape(x, shape=(-1,))


def _conj(x: Any) -> Any:
    """Return the conjugate; real numbers are their own and are not copied."""
    return conjugate(x) if x.dtype.kind == "c" else x


# ---- matrices --------------------------------------------------------------------------------


def _matmul_left(g: Any, _ans: Any, x: Any, y: Any) -> Any:
    if y.ndim == 1:
        return multiply(reshape(g, shape=(*g.shape, 1)), y)
    if x.ndim == 1:
        return matmul(y, reshape(g, shape=(*g.shape, 1)))[..., 0]
    return matmul(g, y.swapaxes(-1, -2))


def _matmul_right(g: Any, _ans: Any, x: Any, y: Any) -> Any:
    if x.ndim == 1:
        if y.ndim == 1:
            return multiply(g, x)
        return multiply(reshape(x, shape=(-1, 1)), g[..., None, :])
    if y.ndim == 1:
        return matmul(x.swapaxes(-1, -2), reshape(g, shape=(*g.shape, 1)))[..., 0]
    if y.ndim == 2:  # one product over all batches instead of one per batch and a sum
        return matmul(_rows(x).T, _rows(g))
    return matmul(x.swapaxes(-1, -2), g)


matmul: Op = primitive(
    "matmul",
    np.matmul,
    listed(
        (((2, 3), (3, 4)), {}),
        (((3,), (3,)), {}),
        (((3,), (3, 2)), {}),
        (((2, 3), (3,)), {}),
        (((4, 2, 3), (3, 2)), {}),
        (((4, 2, 3), (4, 3, 2)), {}),
        (((2, 3), (4, 3, 2)), {}),
        (((4, 1, 2, 3), (2, 3, 2)), {}),
        (((4, 2, 3), (3,)), {}),
        (((3,), (4, 3, 2)), {}),
        (((0, 3), (3, 2)), {}),
        (((2, 0), (0, 2)), {}),
        (((1, 1), (1, 1)), {}),
    ),
    _matmul_left,
    _matmul_right,
    numpy=(np.matmul,),
    expects="(..., n, k) @ (..., k, m), where a vector is a row on the left, a column on the right",
    doc="""Multiply matrices, vectors and batches of them, as NumPy's ``@``: dX = G Yᵀ, dY = Xᵀ G.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.matmul([[1.0, 2.0]], [[3.0], [4.0]])
        array([[11.]])
    """,
)


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    ans = np.matmul(x, weight.T)
    if bias is not None:
        ans += bias
    return ans


@functools.lru_cache(maxsize=64)
def ones(n: int, dtype: Any) -> np.ndarray:
    """Return n ones that nobody may write: BLAS sums by a product with them, and faster."""
    vector = np.ones(n, dtype)
    vector.flags.writeable = False
    return vector


def column_sums(rows: Any) -> Any:
    """Return the sum of each column of a matrix, 1ᵀ rows."""
    return ones(len(rows), rows.dtype) @ rows


def _linears(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(2, 3), (3,), (2, 2, 3), (0, 3)]:
        x, weight, bias = (values(rng, s, -2, 2) for s in (shape, (4, 3), (4,)))
        yield (x, weight, bias), {}
        yield (x, weight, None), {}


linear: Op = primitive(
    "linear",
    _linear,
    _linears,
    lambda g, _ans, _x, weight, _bias: g @ weight,
    lambda g, _ans, x, _weight, _bias: _rows(g).T @ _rows(x),
    lambda g, _ans, _x, _weight, _bias: column_sums(_rows(g)),
    optional=True,
    expects="x (..., n_in), weight (n_out, n_in), bias (n_out,) or None",
    doc="""Apply an affine map: ans = x Wᵀ + b, with W of shape (n_out, n_in).

    Derivatives: dX = G W, dW = Gᵀ X, db = column sums of G.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([0.5]))
        array([[11.5]])
    """,
)

matvec: Op = primitive(
    "matvec",
    getattr(np, "matvec", lambda x, y: np.matmul(x, y[..., None])[..., 0]),  # new in NumPy 2.2
    listed(
        (((2, 3), (3,)), {}),
        (((4, 2, 3), (3,)), {}),
        (((2, 3), (4, 3)), {}),
        (((4, 1, 2, 3), (2, 3)), {}),
        (((0, 3), (3,)), {}),
        (((2, 0), (0,)), {}),
    ),
    lambda g, _ans, _x, y: g[..., None] * y[..., None, :],
    lambda g, _ans, x, _y: matvec(x.swapaxes(-1, -2), g),
    numpy=(np.matvec,) if hasattr(np, "matvec") else (),
    expects="matrices (..., m, n) and vectors (..., n)",
    doc="""Multiply matrices with vectors, batch by batch: ans = A x, dA = g xᵀ, dx = Aᵀ g.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.matvec(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, -1.0]))
        array([-1., -1.])
    """,
)

vecmat: Op = primitive(
    "vecmat",
    getattr(np, "vecmat", lambda x, y: np.matmul(np.conj(x)[..., None, :], y)[..., 0, :]),
    listed(
        (((3,), (3, 2)), {}),
        (((3,), (4, 3, 2)), {}),
        (((4, 3), (3, 2)), {}),
        (((2, 3), (4, 1, 3, 2)), {}),
        (((3,), (3, 0)), {}),
        (((0,), (0, 2)), {}),
    ),
    lambda g, _ans, _x, y: _conj(matvec(y, g)),
    lambda g, _ans, x, _y: _conj(x)[..., None] * g[..., None, :],
    numpy=(np.vecmat,) if hasattr(np, "vecmat") else (),
    expects="vectors (..., n) and matrices (..., n, m)",
    doc="""Multiply conjugated vectors with matrices, batch by batch: ans = xᴴ A.

    Derivatives: dx = conj(A g), dA = conj(x) gᵀ.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.vecmat(np.array([1.0, -1.0]), np.array([[1.0, 2.0], [3.0, 4.0]]))
        array([-2., -2.])
    """,
)


# ---- vectors ---------------------------------------------------------------------------------


def _dot_left(g: Any, _ans: Any, x: Any, y: Any) -> Any:
    rank = np.ndim(y)
    if not rank or not np.ndim(x):
        return g * y
    if rank == 1:
        return multiply(g[..., None], y)
    if rank == 2:
        return matmul(g, y.T)
    # Not as in matmul: every matrix of y meets every row of x.
    rest = (*range(rank - 2), rank - 1)
    return tensordot(g, y, axes=(tuple(range(x.ndim - 1, g.ndim)), rest))


def _dot_right(g: Any, _ans: Any, x: Any, y: Any) -> Any:
    rank = np.ndim(x)
    if not rank or not np.ndim(y) or (rank == 1 and y.ndim == 1):
        return g * x
    if y.ndim == 2 and rank > 1:
        return matmul(_rows(x).T, _rows(g))
    rows = tuple(range(rank - 1))
    piece = tensordot(x, g, axes=(rows, rows))
    return piece if y.ndim == 1 else moveaxis(piece, source=0, destination=-2)


dot: Op = primitive(
    "dot",
    lambda a, b: np.dot(a, b),  # noqa: PLW0108 - np.dot takes an `out` too
    listed(
        (((), ()), {}),
        (((), (2, 3)), {}),
        (((3,), ()), {}),
        (((3,), (3,)), {}),
        (((2, 3), (3,)), {}),
        (((3,), (3, 2)), {}),
        (((2, 3), (3, 4)), {}),
        (((2, 2, 3), (3,)), {}),
        (((2, 2, 3), (3, 2)), {}),
        (((3,), (2, 3, 2)), {}),
        (((2, 3), (2, 3, 2)), {}),
        (((2, 1, 3), (2, 2, 3, 2)), {}),
        (((0, 3), (3, 2)), {}),
        (((2, 0), (0, 2)), {}),
    ),
    _dot_left,
    _dot_right,
    numpy=(np.dot,),
    expects="the last axis of the first as long as the last but one (or only) of the second",
    doc="""Multiply as NumPy's dot: the sum over the last axis of a and the last but one of b.

    With a number it is the elementwise product. Beyond matrices every matrix of b meets every row
    of a; `matmul` treats leading axes as a batch instead.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.dot(tc.Tensor([1.0, 2.0]), [3.0, 4.0])
        Tensor(11.)
    """,
)


def _inner_rule(g: Any, other: Any, rows: int, rank: int) -> Any:
    """Contract g with the other factor; `rows` is where its axes begin in g."""
    if not rank or not np.ndim(other):
        return g * other
    count = other.ndim - 1
    axes = tuple(range(rows, rows + count)), tuple(range(count))
    return tensordot(g, other, axes=axes)


inner: Op = primitive(
    "inner",
    lambda a, b: np.inner(a, b),  # noqa: PLW0108 - so that its two arguments are seen
    listed(
        (((), ()), {}),
        (((), (2, 3)), {}),
        (((2, 3), ()), {}),
        (((3,), (3,)), {}),
        (((2, 3), (3,)), {}),
        (((3,), (2, 3)), {}),
        (((2, 3), (4, 3)), {}),
        (((2, 1, 3), (4, 3)), {}),
        (((2, 3), (2, 2, 3)), {}),
        (((0, 3), (2, 3)), {}),
    ),
    lambda g, _ans, a, b: _inner_rule(g, b, max(np.ndim(a) - 1, 0), np.ndim(a)),
    lambda g, _ans, a, b: _inner_rule(g, a, 0, np.ndim(b)),
    numpy=(np.inner,),
    expects="last axes of equal length",
    doc="""Sum the products over the last axes, each row of a with each row of b; no conjugate.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.inner(tc.Tensor([1.0, 2.0]), [3.0, 4.0])
        Tensor(11.)
    """,
)

outer: Op = primitive(
    "outer",
    lambda a, b: np.outer(a, b),  # noqa: PLW0108 - np.outer takes an `out` too
    listed(
        (((3,), (2,)), {}),
        (((), (2,)), {}),
        (((2, 2), (3,)), {}),
        (((1,), (2, 1, 2)), {}),
        (((0,), (2,)), {}),
    ),
    lambda g, _ans, a, b: reshape(matmul(g, _flat(b)), shape=np.shape(a)),
    lambda g, _ans, a, b: reshape(matmul(_flat(a), g), shape=np.shape(b)),
    numpy=(np.outer,),
    doc="""Multiply each element of a with each of b, both flattened: ans[i, j] = a[i] b[j].

    Example:
        >>> import tinygrad_course as tc
        >>> tc.outer(tc.Tensor([1.0, 2.0]), [3.0, 4.0])
        Tensor([[3., 4.],
                [6., 8.]])
    """,
)

vdot: Op = primitive(
    "vdot",
    lambda a, b: np.vdot(a, b),  # noqa: PLW0108 - so that its two arguments are seen
    listed(
        (((), ()), {}),
        (((3,), (3,)), {}),
        (((2, 3), (3, 2)), {}),
        (((1, 2), (2,)), {}),
        (((0,), (0,)), {}),
    ),
    lambda g, _ans, a, b: reshape(_conj(g * _flat(b)), shape=np.shape(a)),
    lambda g, _ans, a, b: reshape(g * _conj(_flat(a)), shape=np.shape(b)),
    numpy=(np.vdot,),
    expects="arrays with as many elements as each other",
    doc="""Sum the products conj(a) b of all elements, both arrays flattened.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.vdot(tc.Tensor([1j, 2.0]), [1j, 1.0])
        Tensor(3.+0.j)
    """,
)


def _vecdot_rule(g: Any, other: Any, axis: int, keepdims: bool, rank: int) -> Any:
    """Multiply g with the other factor along the axis that was summed."""
    if axis != -1:
        other = moveaxis(other, source=axis, destination=-1)
        g = moveaxis(g, source=axis, destination=-1) if keepdims else g
    return returned((g if keepdims else g[..., None]) * other, axis, rank)


_vecdot: Any = np.vecdot  # NumPy's types do not know its `axis`

vecdot_along: Op = primitive(
    "vecdot",
    lambda a, b, *, axis=-1, keepdims=False: _vecdot(a, b, axis=axis, keepdims=keepdims),
    listed(
        (((3,), (3,)), {}),
        (((2, 3), (3,)), {}),
        (((2, 1, 3), (4, 3)), {"axis": -1}),
        (((3, 2), (3, 2)), {"axis": 0}),
        (((4, 3, 2), (3, 2)), {"axis": -2}),
        (((3, 2), (3, 4, 2)), {"axis": 0}),
        (((2, 3), (2, 3)), {"axis": 1, "keepdims": True}),
        (((3, 2), (3, 4, 2)), {"axis": 0, "keepdims": True}),
        (((2, 0), (2, 0)), {}),
    ),
    lambda g, _ans, a, b, *, axis=-1, keepdims=False: _conj(
        _vecdot_rule(g, b, axis, keepdims, np.ndim(a))
    ),
    lambda g, _ans, a, b, *, axis=-1, keepdims=False: _vecdot_rule(
        g, _conj(a), axis, keepdims, np.ndim(b)
    ),
    expects="vectors of equal length along the axis, and leading axes that broadcast",
    doc="""Sum the products conj(a) b along an axis, batch by batch.""",
)

__all__ = [
    "dot",
    "inner",
    "linear",
    "matmul",
    "matvec",
    "outer",
    "vdot",
    "vecdot_along",
    "vecmat",
]
