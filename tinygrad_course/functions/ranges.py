"""NumPy's functions that space numbers between two ends, or take powers of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.functions.shapes import expand_dims
from tinygrad_course.functions.words import implements
from tinygrad_course.graph import Value


def _raw(x: Any) -> Any:
    return x._data if isinstance(x, Value) else np.asarray(x)


def _is_whole(dtype: Any) -> bool:
    return dtype is not None and np.dtype(dtype).kind in "iub"


def _constant(x: Any) -> Any:
    return x.detach() if isinstance(x, Value) else x  # type: ignore[attr-defined]  # a Tensor


def _options(name: str, num: int, endpoint: bool, dtype: Any, axis: int) -> dict[str, Any]:
    if num < 0:
        raise ArgumentError(f"{name}: got num={num}; the number of samples cannot be negative")
    options: dict[str, Any] = {"num": num, "endpoint": endpoint, "axis": axis}
    return options if dtype is None else {**options, "dtype": np.dtype(dtype)}


@implements(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: str | None = None,  # noqa: ARG001 - NumPy knows one device
) -> Any:
    """Space `num` numbers evenly from start to stop, which may be arrays that broadcast.

    The gradient of each number goes to both ends in proportion to how near it is. A whole-number
    dtype rounds, and the result does not require grad.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.linspace(tc.Tensor(0.0), 1.0, 5)
        Tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    if _is_whole(dtype):
        start, stop = _constant(start), _constant(stop)
    result = ops.linspace_between(start, stop, **_options("linspace", num, endpoint, dtype, axis))
    if not retstep:
        return result
    intervals = num - 1 if endpoint else num
    step = ops.divide(ops.subtract(stop, start), intervals) if intervals > 0 else np.nan
    return result, step


@implements(np.logspace)
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Space numbers evenly in the exponent, from base^start to base^stop.

    The base may be a Tensor too; its derivative needs a positive base.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.logspace(tc.Tensor(0.0), 2.0, 3)
        Tensor([  1.,  10., 100.])
    """
    if _is_whole(dtype):
        start, stop, base = map(_constant, (start, stop, base))
    if np.ndim(base):
        rank = max(np.ndim(start), np.ndim(stop), np.ndim(base))
        start, stop, base = (
            ops.reshape(x, shape=(1,) * (rank - np.ndim(x)) + np.shape(x))
            for x in (start, stop, base)
        )
        base = expand_dims(base, axis)
    result = ops.power(
        base, ops.linspace_between(start, stop, **_options("logspace", num, endpoint, None, axis))
    )
    return result if dtype is None else ops.astype(result, dtype=np.dtype(dtype))


@implements(np.geomspace)
def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """Space numbers by equal factors from start to stop, which have one sign and are not 0.

    As in NumPy the result has double precision unless `dtype` says otherwise.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.geomspace(tc.Tensor(1.0), 4.0, 3)
        Tensor([1., 2., 4.])
    """
    if _is_whole(dtype):
        start, stop = _constant(start), _constant(stop)
    if dtype is None:
        dtype = np.result_type(*(_raw(x) for x in (start, stop)), np.float64)
    return ops.geomspace_between(start, stop, **_options("geomspace", num, endpoint, dtype, axis))


@implements(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Return the matrix of the powers of a vector, the highest first unless `increasing`.

    As in NumPy the result has at least the precision of whole numbers: float32 becomes float64.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.vander(tc.Tensor([2.0, 3.0]), 3)
        Tensor([[4., 2., 1.],
                [9., 3., 1.]])
    """
    if np.ndim(x) != 1:
        raise ShapeError(f"vander: got shape {np.shape(x)}, expected a vector")
    data = _raw(x)
    dtype = np.promote_types(data.dtype, int)
    exact = x if data.dtype == dtype else ops.astype(x, dtype=dtype)
    return ops.vander_matrix(exact, N=len(data) if N is None else int(N), increasing=increasing)


__all__ = [
    "geomspace",
    "linspace",
    "logspace",
    "vander",
]
