"""NumPy's reductions, running sums and products on Tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError
from tinygrad_course.functions.words import Axis, axes, implements
from tinygrad_course.ops.cumulative import cumprod, cumsum, nancumprod, nancumsum, prod
from tinygrad_course.ops.lanes import no_out
from tinygrad_course.ops.missing import (
    nanargmax,
    nanargmin,
    nanmax,
    nanmean,
    nanmin,
    nanprod,
    nanstd,
    nansum,
    nanvar,
)
from tinygrad_course.ops.reduction import (
    argmax,
    argmin,
    argwhere,
    count_nonzero,
    flatnonzero,
)

sum = ops.reduce_sum  # noqa: A001 - NumPy's name, as below
mean = ops.reduce_mean
max = amax = ops.reduce_max  # noqa: A001
min = amin = ops.reduce_min  # noqa: A001
all = ops.reduce_all  # noqa: A001
any = ops.reduce_any  # noqa: A001
nonzero = ops.nonzero_places


@implements(np.var)
def var(
    x: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """Take the variance over `axis`: sum(|x - mean|²) / (n - ddof).

    The derivative is 2 (x - mean) / (n - ddof). Instead of its own mean the function takes another
    one, in the shape that keepdims=True gives, which then has a gradient too.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.var(tc.Tensor([1.0, 3.0]))
        Tensor(1.)
    """
    inputs, row = ((x,), ops.reduce_var) if mean is None else ((x, mean), ops.var_about)
    return row(
        *inputs,
        axis=axis,
        dtype=dtype,
        out=out,
        ddof=ddof,
        keepdims=keepdims,
        where=where,
        correction=correction,
    )


@implements(np.std)
def std(
    x: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """Take the standard deviation over `axis`: sqrt(sum(|x - mean|²) / (n - ddof)).

    The derivative is (x - mean) / (std (n - ddof)), and 0 where all elements are equal. See `var`
    for `mean`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.std(tc.Tensor([1.0, 3.0]))
        Tensor(1.)
    """
    inputs, row = ((x,), ops.reduce_std) if mean is None else ((x, mean), ops.std_about)
    return row(
        *inputs,
        axis=axis,
        dtype=dtype,
        out=out,
        ddof=ddof,
        keepdims=keepdims,
        where=where,
        correction=correction,
    )


@implements(np.ptp)
def ptp(x: Any, axis: Axis = None, out: Any = None, keepdims: bool = False) -> Any:
    """Return the maximum minus the minimum over `axis`; ties share the gradient equally.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.ptp(tc.Tensor([1.0, 5.0, 2.0]))
        Tensor(4.)
    """
    no_out(out)
    highest = ops.reduce_max(x, axis=axis, keepdims=keepdims)
    return ops.subtract(highest, ops.reduce_min(x, axis=axis, keepdims=keepdims))


def _from_the_start(
    name: str, running: Any, first: float, x: Any, axis: Any, dtype: Any, include_initial: bool
) -> Any:
    if axis is None:
        if np.ndim(x) > 1:
            raise ArgumentError(
                f"{name}: got shape {np.shape(x)}; beyond one dimension an axis must be given"
            )
        axis = 0
    result = running(x, axis=axis, dtype=dtype)
    if not include_initial:
        return result
    shape = list(result.shape)
    shape[axis] = 1
    return ops.concatenate_all(np.full(shape, first, result.dtype), result, axis=axis)


@implements(*[np.cumulative_sum] if hasattr(np, "cumulative_sum") else [])
def cumulative_sum(
    x: Any,
    *,
    axis: int | None = None,
    dtype: Any = None,
    out: Any = None,
    include_initial: bool = False,
) -> Any:
    """Add up from the start of an axis, beginning with 0 if `include_initial`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.cumulative_sum(tc.Tensor([1.0, 2.0]), include_initial=True)
        Tensor([0., 1., 3.])
    """
    no_out(out)
    return _from_the_start("cumulative_sum", cumsum, 0, x, axis, dtype, include_initial)


@implements(*[np.cumulative_prod] if hasattr(np, "cumulative_prod") else [])
def cumulative_prod(
    x: Any,
    *,
    axis: int | None = None,
    dtype: Any = None,
    out: Any = None,
    include_initial: bool = False,
) -> Any:
    """Multiply from the start of an axis, beginning with 1 if `include_initial`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.cumulative_prod(tc.Tensor([3.0, 2.0]), include_initial=True)
        Tensor([1., 3., 6.])
    """
    no_out(out)
    return _from_the_start("cumulative_prod", cumprod, 1, x, axis, dtype, include_initial)


@implements()
def logsumexp(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Take log(sum(exp(x))) over `axis`, shifted by the maximum so that nothing overflows.

    Where all elements are -inf the result is -inf and the gradient 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.logsumexp(tc.Tensor([1000.0, 1000.0]))
        Tensor(1000.69314718)
    """
    return ops.logsumexp_over(x, axis=axes(axis), keepdims=keepdims)


@implements()
def softmax(x: Any, axis: Axis = -1) -> Any:
    """Turn scores into probabilities: e**x / sum(e**x) along `axis` (lesson 3.4 of the notes).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.softmax([5.0, 2.0, -1.0, 3.0]).round(3)
        array([0.842, 0.042, 0.002, 0.114])
    """
    return ops.softmax_along(x, axis=axes(axis))


@implements()
def log_softmax(x: Any, axis: Axis = -1) -> Any:
    """Take log(softmax(x)) along `axis` without losing digits.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.log_softmax([0.0, 1000.0])
        array([-1000.,     0.])
    """
    return ops.log_softmax_along(x, axis=axes(axis))


__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "argwhere",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "flatnonzero",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
    "nonzero",
    "prod",
    "ptp",
    "softmax",
    "std",
    "sum",
    "var",
]
