"""NumPy's elementwise functions that are composed of others, and its second names for some."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.functions.words import implements
from tinygrad_course.graph import Value

absolute = ops.abs
acos = ops.arccos
acosh = ops.arccosh
around = ops.round
asin = ops.arcsin
asinh = ops.arcsinh
atan = ops.arctan
atan2 = ops.arctan2
atanh = ops.arctanh
bitwise_invert = bitwise_not = ops.invert
bitwise_left_shift = ops.left_shift
bitwise_right_shift = ops.right_shift
conj = ops.conjugate
empty_like = ops.zeros_like
mod = ops.remainder
pow = ops.power  # noqa: A001 - NumPy's name
true_divide = ops.divide


def _raw(x: Any) -> Any:
    return x._data if isinstance(x, Value) else x


@implements(np.sign)
def sign(x: Any) -> Any:
    """Return the sign elementwise: -1, 0 or 1, constant for real numbers; z / |z| for complex ones.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sign(tc.Tensor([-2.0, 0.0, 5.0]))
        Tensor([-1.,  0.,  1.])
    """
    if isinstance(x, Value) and x._data.dtype.kind == "c":
        return ops.direction(x)
    return ops.sign_of(x)


@implements(np.float_power)
def float_power(x: Any, y: Any) -> Any:
    """Raise as `power` does, in float64 at least, so that whole numbers have negative powers too.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.float_power([1, 2], -1)
        array([1. , 0.5])
    """
    x, y = (v if isinstance(v, Value) else np.asarray(v) for v in (x, y))
    kind = np.result_type(np.float64, x.dtype, y.dtype)
    return ops.float_power_of(ops.astype(x, dtype=kind), ops.astype(y, dtype=kind))


@implements(np.real_if_close)
def real_if_close(a: Any, tol: float = 100) -> Any:
    """Return the real part if all imaginary parts are within `tol` roundings of 0, else all of it.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.real_if_close(tc.Tensor([1 + 1e-15j]))
        Tensor([1.])
    """
    data = np.asarray(_raw(a))
    if data.dtype.kind != "c":
        return a if isinstance(a, Value) else data
    if tol > 1:
        tol = float(np.finfo(data.dtype).eps) * tol
    close = np.all(np.abs(data.imag) < tol)
    return ops.real(a) if close else a if isinstance(a, Value) else data


@implements()
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """Return an array of the given shape filled with a value, which may carry a gradient.

    NumPy's own ``np.full`` does not ask its arguments, so that ``np.full(shape, tensor)`` cannot
    be recorded.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.full((2, 2), tc.Tensor(7.0))
        Tensor([[7., 7.],
                [7., 7.]])
    """
    if not isinstance(fill_value, Value):
        return np.full(shape, fill_value, dtype)
    sizes = (int(shape),) if np.ndim(shape) == 0 else tuple(int(n) for n in shape)
    pattern = np.empty(sizes, fill_value._data.dtype if dtype is None else dtype)
    return ops.full_like(pattern, fill_value)


__all__ = [
    "absolute",
    "acos",
    "acosh",
    "around",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_right_shift",
    "conj",
    "empty_like",
    "float_power",
    "full",
    "mod",
    "pow",
    "real_if_close",
    "sign",
    "true_divide",
]
