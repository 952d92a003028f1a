"""NumPy's products of vectors, matrices and polynomials."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError, ShapeError, UnsupportedFunctionError
from tinygrad_course.functions.words import implements
from tinygrad_course.ops.contraction import (
    dot,
    inner,
    linear,
    matmul,
    matvec,
    outer,
    vdot,
    vecdot_along,
    vecmat,
)
from tinygrad_course.ops.joining import concatenate_all
from tinygrad_course.ops.polynomials import (
    convolve,
    correlate,
    polyadd,
    polymul,
    polysub,
    polyval,
    roots,
)
from tinygrad_course.ops.shaping import reshape
from tinygrad_course.ops.tensors import cross, einsum_all, kron, tensordot


def _label(number: Any) -> str:
    """Return the letter that stands for a number in NumPy's sublist form, or an ellipsis."""
    if number is Ellipsis:
        return "..."
    if not 0 <= number < 52:
        raise ArgumentError(f"einsum: got label {number}, expected whole numbers from 0 to 51")
    return chr(ord("A") + number) if number < 26 else chr(ord("a") + number - 26)


def _spelled(operands: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return subscripts as text, and the arrays: of both forms in which einsum is called."""
    if not operands:
        raise ArgumentError("einsum: got nothing, expected subscripts and arrays")
    if isinstance(operands[0], str):
        return operands[0], operands[1:]
    lists = ["".join(map(_label, labels)) for labels in operands[1::2]]
    text = ",".join(lists)
    if len(operands) % 2:
        text += "->" + "".join(map(_label, operands[-1]))
        operands = operands[:-1]
    return text, operands[::2]


@implements(np.einsum)
def einsum(*operands: Any, optimize: Any = False, **options: Any) -> Any:
    """Sum products over labelled axes, as NumPy's einsum: ``einsum("ij,jk->ik", a, b)``.

    Both forms are taken, subscripts as text or lists of numbers behind each array, with ellipses,
    repeated labels (diagonals) and outputs left out. The derivative is another einsum.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.einsum("ii", tc.Tensor([[1.0, 2.0], [3.0, 4.0]]))
        Tensor(5.)
    """
    wrong = {k: v for k, v in options.items() if (k, v) not in _IDLE}
    if wrong:
        raise UnsupportedFunctionError(
            f"einsum: has no {', '.join(wrong)} for Tensors; convert the arrays before (astype)"
        )
    subscripts, arrays = _spelled(operands)
    path = tuple(optimize) if isinstance(optimize, list) else optimize
    return einsum_all(*arrays, subscripts=subscripts, optimize=path)


@implements(np.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1, keepdims: bool = False) -> Any:
    """Sum the products conj(x1) x2 along an axis, batch by batch.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.vecdot(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 1.0]))
        array([3., 7.])
    """
    return vecdot_along(x1, x2, axis=axis, keepdims=keepdims)


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """Return the coefficients of the m-th derivative of a polynomial, highest power first.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.polyder(tc.Tensor([1.0, 2.0, 3.0]))
        Tensor([2., 2.])
    """
    if m < 0:
        raise ArgumentError(f"polyder: got m={m}, expected 0 or more; polyint integrates")
    p = reshape(p, shape=(-1,)) if np.ndim(p) == 0 else reshape(p, shape=np.shape(p))
    for _ in range(m):
        p = p[:-1] * np.arange(p.shape[0] - 1, 0, -1)
    return p


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """Return the coefficients of the m-th integral of a polynomial, with the constants k.

    The constants may be Tensors too.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.polyint(tc.Tensor([2.0, 2.0]))
        Tensor([1., 2., 0.])
    """
    if m < 0:
        raise ArgumentError(f"polyint: got m={m}, expected 0 or more; polyder differentiates")
    constants = reshape(np.zeros(m) if k is None else k, shape=(-1,))
    if constants.shape[0] == 1 and m > 1:
        constants = constants * np.ones(m)
    if constants.shape[0] < m:
        raise ShapeError(f"polyint: got {constants.shape[0]} constants, expected 1 or {m}")
    p = reshape(p, shape=(-1,)) if np.ndim(p) == 0 else reshape(p, shape=np.shape(p))
    for i in range(m):
        risen = p / np.arange(p.shape[0], 0, -1)
        p = concatenate_all(risen, constants[i : i + 1], axis=0)
    return p


_IDLE = (("dtype", None), ("order", "K"), ("casting", "safe"))


__all__ = [
    "convolve",
    "correlate",
    "cross",
    "dot",
    "einsum",
    "inner",
    "kron",
    "linear",
    "matmul",
    "matvec",
    "outer",
    "polyadd",
    "polyder",
    "polyint",
    "polymul",
    "polysub",
    "polyval",
    "roots",
    "tensordot",
    "vdot",
    "vecdot",
    "vecmat",
]
