"""Running sums and products, products, and differences along an axis.

No rule here divides by an element: the product of all the others is the product of those before
times the product of those behind, which is right where elements are 0 or the product underflows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.choices import where as choose
from tinygrad_course.ops.constants import isnan
from tinygrad_course.ops.conversion import astype
from tinygrad_course.ops.joining import concatenate_all
from tinygrad_course.ops.lanes import from_lanes, no_out, spread, to_lanes
from tinygrad_course.ops.samples import listed, nonzero, reductions, values
from tinygrad_course.ops.shaping import broadcast_to, flip, reshape, swapaxes
from tinygrad_course.primitive import Op, Sample, Samples, primitive


def _along_last(x: Any, axis: int | None) -> Any:
    """Bring the axis to the end; None, or a number, means the flattened array."""
    if axis is None or not x.ndim:
        return reshape(x, shape=(-1,))
    return swapaxes(x, axis1=axis, axis2=-1)


def _back(x: Any, shape: tuple[int, ...], axis: int | None) -> Any:
    if axis is None or not shape:
        return reshape(x, shape=shape)
    return swapaxes(x, axis1=axis, axis2=-1)


def _running(*more: tuple[tuple[Any, ...], dict[str, Any]]) -> Samples:
    """Return samples of running sums and products, over every axis."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        cases: list[tuple[tuple[int, ...], dict[str, Any]]] = [
            ((), {}),
            ((1,), {}),
            ((4,), {"axis": 0}),
            ((5,), {"axis": -1}),
            ((2, 3), {}),
            ((2, 3), {"axis": 0}),
            ((2, 3, 2), {"axis": 1}),
            ((0, 3), {"axis": 0}),
            ((2, 0), {"axis": -1}),
        ]
        for shape, params in cases:
            yield (nonzero(rng, shape),), params
        yield (nonzero(rng, (3, 4))[:, ::-2],), {"axis": 1}
        yield from listed(*more)(rng)

    return samples


# ---- sums ----------------------------------------------------------------------------------


def _cumsum_rule(
    g: Any, _ans: Any, _x: Any, *, shapes: Any, axis: int | None = None, **_options: Any
) -> Any:
    end = 0 if axis is None or not shapes[0] else axis
    tails = flip(cumsum(flip(g, axis=end), axis=end), axis=end)
    return tails if tails.shape == shapes[0] else reshape(tails, shape=shapes[0])


cumsum: Op = primitive(
    "cumsum",
    lambda x, *, axis=None, dtype=None, out=None: np.cumsum(x, axis, dtype, no_out(out)),
    _running(),
    _cumsum_rule,
    numpy=(np.cumsum,),
    doc="""Add up from the start of an axis: y_k = Σ_{j ≤ k} x_j; the gradient adds up from the end.

    Without an axis the array is taken as if it were flat.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.cumsum(tc.Tensor([1.0, 2.0, 3.0]))
        Tensor([1., 3., 6.])
    """,
)


# ---- products ------------------------------------------------------------------------------


def _before(running: Any) -> Any:
    """Return the products of the elements before each one, from the running products."""
    ones = np.ones((*running.shape[:-1], 1), running.dtype)
    return concatenate_all(ones, running[..., :-1], axis=-1) if running.shape[-1] else running


def _weighted_tails(g: Any, x: Any) -> Any:
    """Return s with s_i = g_i + x_{i+1} s_{i+1} along the last axis.

    In log2(n) steps: after a step of length d, s_i holds the terms up to g_{i+d-1}, and `factor`
    the product of the d elements behind i.
    """
    total, factor, step, size = g, x[..., 1:], 1, x.shape[-1]
    while step < size:
        carried = total[..., :-step] + factor * total[..., step:]
        total = concatenate_all(carried, total[..., -step:], axis=-1)
        if 2 * step < size:
            factor = factor[..., :-step] * factor[..., step:]
        step *= 2
    return total


def _cumprod_rule(
    g: Any, ans: Any, x: Any, *, axis: int | None = None, dtype: Any = None, **_options: Any
) -> Any:
    if dtype is not None:
        x = astype(x, dtype=ans.dtype)
    running = _along_last(ans, axis)
    tails = _weighted_tails(_along_last(g, axis), _along_last(x, axis))
    return _back(_before(running) * tails, x.shape, axis)


cumprod: Op = primitive(
    "cumprod",
    lambda x, *, axis=None, dtype=None, out=None: np.cumprod(x, axis, dtype, no_out(out)),
    _running(
        ((np.array([1.5, 0.0, -0.5, 2.0]),), {}),
        ((np.array([[0.0, 0.7], [1.3, 0.0], [0.0, 0.0], [2.0, 1.1]]),), {"axis": 0}),
    ),
    _cumprod_rule,
    numpy=(np.cumprod,),
    doc="""Multiply from the start of an axis: y_k = Π_{j ≤ k} x_j.

    dy_k/dx_i = Π_{j ≤ k, j ≠ i} x_j for i ≤ k, computed without division: zeros are no exception,
    to any order. Without an axis the array is taken as if it were flat.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([2.0, 0.0, 3.0], requires_grad=True)
        >>> tc.cumprod(x)
        Tensor([2., 0., 0.], op=cumprod)
        >>> tc.cumprod(x).backward([1.0, 1.0, 1.0])
        >>> x.grad
        array([1., 8., 0.])
    """,
)


def prod_rule(
    g: Any,
    _ans: Any,
    x: Any,
    *,
    axis: Any = None,
    dtype: Any = None,
    initial: Any = None,
    where: Any = True,
    **_options: Any,
) -> Any:
    """Return g times the product of all other elements of the lane."""
    if dtype is not None:
        x = astype(x, dtype=g.dtype)
    factors = x if where is True else choose(where, x, 1.0)
    lanes = to_lanes(factors, axis)
    behind = flip(_before(cumprod(flip(lanes, axis=1), axis=1)), axis=1)
    others = from_lanes(_before(cumprod(lanes, axis=1)) * behind, x.shape, axis)
    if initial is not None:
        g = g * g.dtype.type(initial)
    piece = spread(g, x.shape, axis) * others
    return piece if where is True else choose(where, piece, 0.0)


def _prod(
    x: Any,
    *,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    options: dict[str, Any] = {"keepdims": keepdims, "where": where}
    if initial is not None:
        options["initial"] = initial
    return np.multiply.reduce(x, axis, dtype, no_out(out), **options)


def _products(rng: np.random.Generator) -> Iterator[Sample]:
    yield from reductions(0.3, 2.0)(rng)
    yield (np.array([1.5, 0.0, -0.5, 2.0]),), {}
    yield (np.array([1.5, 0.0, -0.5, 0.0]),), {}
    yield (np.array([[0.0, 0.7, 2.0], [1.3, 0.0, 0.0]]),), {"axis": 1, "keepdims": True}
    yield (np.array([[0.0, 0.7, 2.0], [1.3, 0.0, 0.0]]),), {"axis": (0, 1), "initial": -1.5}
    mask = np.array([[True, False, True], [False, False, True]])
    yield (np.array([[0.0, 0.6, 2.0], [1.3, 0.0, 1.5]]),), {"axis": 0, "where": mask}
    yield (nonzero(rng, (2, 3)),), {"where": mask, "initial": 2.0}


prod: Op = primitive(
    "prod",
    _prod,
    _products,
    prod_rule,
    numpy=(np.prod,),
    doc="""Multiply over `axis`; an element's derivative is the product of all the others.

    It is the product of those before times those behind, so that zeros are no exception, to any
    order. With `where` only the chosen elements count; `initial` is one more factor.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([2.0, 0.0, 3.0], requires_grad=True)
        >>> tc.prod(x).backward()
        >>> x.grad
        array([0., 6., 0.])
    """,
)


# ---- without nan ---------------------------------------------------------------------------


def _nancumprod_rule(g: Any, ans: Any, x: Any, **params: Any) -> Any:
    missing = isnan(x)
    return choose(missing, 0.0, _cumprod_rule(g, ans, choose(missing, 1.0, x), **params))


nancumsum: Op = primitive(
    "nancumsum",
    lambda x, *, axis=None, dtype=None, out=None: np.nancumsum(x, axis, dtype, no_out(out)),
    _running(),
    lambda g, ans, x, *, shapes, **params: choose(
        isnan(x), 0.0, _cumsum_rule(g, ans, x, shapes=shapes, **params)
    ),
    numpy=(np.nancumsum,),
    doc="""Add up from the start of an axis, with 0 in place of nan, whose gradient is 0.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nancumsum(tc.Tensor([1.0, np.nan, 3.0]))
        Tensor([1., 1., 4.])
    """,
)

nancumprod: Op = primitive(
    "nancumprod",
    lambda x, *, axis=None, dtype=None, out=None: np.nancumprod(x, axis, dtype, no_out(out)),
    _running(((np.array([1.5, 0.0, -0.3, 2.0]),), {})),
    _nancumprod_rule,
    numpy=(np.nancumprod,),
    doc="""Multiply from the start of an axis, with 1 in place of nan, whose gradient is 0.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nancumprod(tc.Tensor([2.0, np.nan, 3.0]))
        Tensor([2., 2., 6.])
    """,
)


# ---- differences ---------------------------------------------------------------------------


def _diff_rule(g: Any, _ans: Any, _x: Any, *, shapes: Any, n: int = 1, axis: int = -1) -> Any:
    (shape,) = shapes
    if not n:
        return g
    if not g.shape[axis]:  # nothing arrives: zeros of the right shape
        return broadcast_to(g.sum(axis=axis, keepdims=True), shape=shape)
    # Each difference is taken again from the other side, with zeros beyond the ends.
    ends = list(g.shape)
    ends[axis] = n
    zeros = np.zeros(ends, g.dtype)
    again = diff_along(concatenate_all(zeros, g, zeros, axis=axis), n=n, axis=axis)
    return -again if n % 2 else again


diff_along: Op = primitive(
    "diff",
    lambda x, *, n=1, axis=-1: np.diff(x, n, axis),
    listed(
        (((5,),), {}),
        (((5,),), {"n": 2}),
        (((5,),), {"n": 3, "axis": 0}),
        (((2, 4),), {"axis": 0}),
        (((2, 4),), {"n": 2, "axis": -1}),
        (((3, 2, 2),), {"n": 2, "axis": 0}),
        (((3,),), {"n": 0}),
        (((2,),), {"n": 4}),
        (((1,),), {}),
        (((0, 3),), {"axis": 1}),
        (((0, 3),), {"axis": 0}),
    ),
    _diff_rule,
    expects="at least one axis, and n of 0 or more",
    doc="""Take the n-th difference along an axis: for n = 1 x[i + 1] - x[i].""",
)


def _edge(f: Any, steps: Any, order: int) -> Any:
    """Return the one-sided slope at the start, from two points or a parabola through three."""
    first, second = (steps[:1], steps[1:2]) if np.ndim(steps) else (steps, steps)
    slope = (f[..., 1:2] - f[..., :1]) / first
    if order == 1:
        return slope
    beyond = (f[..., 2:3] - f[..., 1:2]) / second
    return slope + (slope - beyond) * first / (first + second)


def _gradient_formula(f: Any, spacing: Any = None, *, axis: int, edge_order: int = 1) -> Any:
    steps: Any = 1.0 if spacing is None else spacing
    f = swapaxes(f, axis1=axis, axis2=-1)
    if np.ndim(steps):
        steps = steps[1:] - steps[:-1]
        left, right = steps[:-1], steps[1:]
    else:
        left = right = steps
    before, here, behind = f[..., :-2], f[..., 1:-1], f[..., 2:]
    # The slopes to the left and to the right, the shorter step counting more.
    inner = ((here - before) / left * right + (behind - here) / right * left) / (left + right)
    first = _edge(f, steps, edge_order)
    last = -_edge(f[..., ::-1], steps[::-1] if np.ndim(steps) else steps, edge_order)
    return swapaxes(concatenate_all(first, inner, last, axis=-1), axis1=axis, axis2=-1)


def _spaced(*cases: tuple[tuple[int, ...], Any, dict[str, Any]]) -> Samples:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shape, spacing, params in cases:
            f = values(rng, shape, -2.0, 2.0)
            if isinstance(spacing, int):  # so many coordinates, unevenly spaced
                yield (f, np.cumsum(values(rng, (spacing,), 0.5, 1.5))), params
            else:
                yield (f, spacing), params

    return samples


gradient_along: Op = primitive(
    "gradient",
    lambda f, spacing=None, *, axis, edge_order=1: np.gradient(
        f, 1.0 if spacing is None else spacing, axis=axis, edge_order=edge_order
    ),
    _spaced(
        ((4,), None, {"axis": 0}),
        ((2,), 2, {"axis": 0}),
        ((5,), 0.5, {"axis": -1, "edge_order": 2}),
        ((3,), np.array(0.7), {"axis": 0, "edge_order": 2}),
        ((5,), 5, {"axis": 0}),
        ((5,), 5, {"axis": 0, "edge_order": 2}),
        ((3, 4), 3, {"axis": 0, "edge_order": 2}),
        ((2, 3), 3, {"axis": 1}),
        ((2, 3, 2), None, {"axis": 1, "edge_order": 2}),
        ((4,), np.arange(4.0), {"axis": 0}),
    ),
    formula=_gradient_formula,
    optional=True,
    expects="at least edge_order + 1 elements along the axis, and one coordinate for each",
    doc="""Estimate the slope along one axis from central differences, one-sided at the ends.""",
)


def _trapezoid_formula(y: Any, x: Any = None, dx: Any = 1.0, *, axis: int = -1) -> Any:
    y = swapaxes(y, axis1=axis, axis2=-1)
    if x is None:
        width = dx
    else:
        x = swapaxes(x, axis1=axis, axis2=-1) if np.ndim(x) > 1 else x
        width = x[..., 1:] - x[..., :-1]
    return (width * (y[..., 1:] + y[..., :-1])).sum(axis=-1) * 0.5


trapezoid_along: Op = primitive(
    "trapezoid",
    lambda y, x=None, dx=1.0, *, axis=-1: np.trapezoid(y, x, dx, axis),
    listed(
        (((4,), None, 1.0), {}),
        (((4,), None, ()), {"axis": 0}),
        (((4,), (4,), 1.0), {}),
        (((2, 4), None, 0.5), {}),
        (((4, 2), (4,), 1.0), {"axis": 0}),
        (((3, 2), (3, 2), 1.0), {"axis": 0}),
        (((2, 3, 2), None, 0.5), {"axis": 1}),
        (((1,), (1,), 1.0), {}),
        (((0, 3), None, 1.0), {}),
    ),
    formula=_trapezoid_formula,
    optional=True,
    expects="y, and x of the same shape or with one coordinate for each element along the axis",
    doc="""Integrate along an axis by the trapezoidal rule.""",
)


__all__ = [
    "cumprod",
    "cumsum",
    "diff_along",
    "gradient_along",
    "nancumprod",
    "nancumsum",
    "prod",
    "trapezoid_along",
]
