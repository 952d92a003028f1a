"""Normalization of each example by itself: rows of a table are centred and scaled.

Layer, group and instance normalization differ only in what they call a row, and root-mean-square
normalization leaves the mean where it is. One primitive serves them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.arithmetic import multiply
from tinygrad_course.ops.powers import sqrt
from tinygrad_course.ops.reduction import reduce_mean
from tinygrad_course.ops.samples import values
from tinygrad_course.primitive import Op, Sample, primitive


def _means(table: Any) -> Any:
    """Return the mean of each row as a column; as a product it is several times faster."""
    n = table.shape[-1]
    return np.matmul(table, np.ones((n, 1), table.dtype)) / n


def _normalize(x: Any, weight: Any, bias: Any, *, eps: float, centred: bool = True) -> Any:
    if x.dtype.kind != "f":
        x = x.astype(float)
    table = x.reshape(-1, x.shape[-1])
    if centred:
        y = table - _means(table)
        power = _means(y * y)
    else:
        y = table
        power = _means(y * y)
    scale = 1 / np.sqrt(power + eps)
    y = y * scale
    ans = y if weight is None else y * weight
    if bias is not None:
        ans = np.add(ans, bias, out=None if weight is None else ans)
    return ans.reshape(x.shape), (y, scale)


def _normalize_rule(
    g: Any,
    _ans: Any,
    _x: Any,
    weight: Any,
    _bias: Any,
    *,
    eps: float,  # noqa: ARG001 - it stands in the residual `scale`
    centred: bool = True,
    residuals: Any,
    wanted: Any,
) -> Any:
    y, scale = residuals
    given = g.reshape(y.shape)
    d_bias = np.add.reduce(given, axis=0) if wanted[2] else None
    d_weight = np.add.reduce(given * y, axis=0) if wanted[1] else None
    if not wanted[0]:
        return None, d_weight, d_bias
    if weight is not None:
        given = given * weight
    # The scale, and with it every element of a row, depends on all elements of the row.
    d_x = given - y * _means(given * y)
    if centred:
        d_x -= _means(given)
    d_x *= scale
    return d_x.reshape(g.shape), d_weight, d_bias


def _normalize_formula(x: Any, weight: Any, bias: Any, *, eps: float, centred: bool = True) -> Any:
    if centred:
        x = x - reduce_mean(x, axis=-1, keepdims=True)
    ans = x / sqrt(reduce_mean(x * x, axis=-1, keepdims=True) + eps)
    if weight is not None:
        ans = multiply(ans, weight)
    return ans if bias is None else ans + bias


def _rows(rng: np.random.Generator) -> Iterator[Sample]:
    for centred in (True, False):
        for shape in [(4,), (3, 5), (2, 2, 3), (0, 3)]:
            x, weight, bias = (values(rng, s, -2, 2) for s in (shape, shape[-1:], shape[-1:]))
            yield (x, weight, bias), {"eps": 1e-2, "centred": centred}
        yield (values(rng, (2, 4), -2, 2), None, None), {"eps": 0.1, "centred": centred}
        yield (values(rng, (2, 4), -2, 2), values(rng, (4,), 1, 2), None), {"eps": 0.1}
        yield (values(rng, (2, 4), -2, 2), None, values(rng, (4,), 1, 2)), {"eps": 0.1}


normalize_rows: Op = primitive(
    "normalize_rows",
    _normalize,
    _rows,
    joint=_normalize_rule,
    real=True,
    formula=_normalize_formula,
    residuals=True,
    optional=True,
    expects="x (..., n), weight and bias (n,) or None",
    doc="""Normalize along the last axis: y = (x - mean) / sqrt(var + eps) * weight + bias.

    With ``centred=False`` no mean is subtracted: y = x / sqrt(mean(x²) + eps) * weight + bias.
    Sources: Ba, Kiros and Hinton 2016; Zhang and Sennrich 2019.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import ops
        >>> ops.normalize_rows(np.array([[1.0, 3.0], [5.0, 9.0]]), None, None, eps=0.0)
        array([[-1.,  1.],
               [-1.,  1.]])
    """,
)

__all__ = [
    "normalize_rows",
]
