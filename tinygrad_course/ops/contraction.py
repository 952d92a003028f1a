"""Primitives that multiply matrices, and the linear algebra on top."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.elementwise import multiply
from tinygrad_course.ops.samples import listed, values
from tinygrad_course.ops.shaping import reshape
from tinygrad_course.primitive import Op, Sample, primitive


def _rows(x: Any) -> Any:
    """Return `x` as one matrix: all axes but the last are counted through."""
    return x if x.ndim == 2 else reshape(x, shape=(-1, x.shape[-1]))


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


def _linears(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(2, 3), (3,), (2, 2, 3), (0, 3)]:
        x, weight, bias = (values(rng, s, -2, 2) for s in (shape, (4, 3), (4,)))
        yield (x, weight, bias), {}
        yield (x, weight, None), {}


linear: Op = primitive(
    "linear",
    _linear,
    _linears,
    lambda g, _ans, _x, weight, _bias: matmul(g, weight),
    lambda g, _ans, x, _weight, _bias: matmul(_rows(g).T, _rows(x)),
    lambda g, _ans, _x, _weight, _bias: _rows(g).sum(axis=0),
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

# ---- linear algebra -----------------------------------------------------------------------


def _regular(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(1, 1), (2, 2), (3, 3), (2, 3, 3)]:
        size = shape[-1]
        yield (values(rng, shape, -1, 1) + 3 * np.eye(size),), {}
    yield (np.diag([2.0, -3.0, 0.5]) + 0.1 * values(rng, (3, 3), -1, 1),), {}


def _inverse_rule(g: Any, ans: Any, _x: Any) -> Any:
    transposed = ans.swapaxes(-1, -2)
    return -matmul(matmul(transposed, g), transposed)


inv: Op = primitive(
    "inv",
    np.linalg.inv,
    _regular,
    _inverse_rule,
    numpy=(np.linalg.inv,),
    expects="square, regular matrices (..., n, n)",
    doc="""Invert a square matrix, or a stack of them: d = -A⁻ᵀ G A⁻ᵀ.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.inv([[2.0, 0.0], [0.0, 4.0]])
        array([[0.5 , 0.  ],
               [0.  , 0.25]])
    """,
)


def _slogdet_rule(g: Any, _ans: Any, x: Any, *, wanted: Any) -> Any:  # noqa: ARG001
    _, upstream = g
    return [upstream[..., None, None] * inv(x).swapaxes(-1, -2)]


slogdet: Op = primitive(
    "slogdet",
    lambda x: tuple(np.linalg.slogdet(x)),
    _regular,
    joint=_slogdet_rule,
    outputs=2,
    constant_outputs=(0,),
    numpy=(np.linalg.slogdet,),
    expects="square matrices (..., n, n)",
    doc="""Return the sign and the logarithm of the absolute value of a determinant.

    d log|det A| = A⁻ᵀ; the sign of a real determinant is constant and has no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> sign, logdet = tc.slogdet([[2.0, 0.0], [0.0, 4.0]])
        >>> float(logdet.round(4))
        2.0794
    """,
)


__all__ = [
    "inv",
    "linear",
    "matmul",
    "slogdet",
]
