"""Arithmetic, element by element and with broadcasting.

The engine sums over broadcast axes, so the rules below are the scalar derivatives.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_course.ops.constants import equal, sign_of
from tinygrad_course.ops.samples import nonzeros, pairs, reals
from tinygrad_course.primitive import Op, primitive

add: Op = primitive(
    "add",
    np.add,
    pairs(),
    lambda g, _ans, _x, _y: g,
    lambda g, _ans, _x, _y: g,
    operator=operator.add,
    numpy=(np.add,),
    expects="equal shapes, or sizes that are equal or 1 from the right",
    doc="""Add elementwise with broadcasting: ans = x + y.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.add([1.0, 2.0], 3.0)
        array([4., 5.])
    """,
)

subtract: Op = primitive(
    "subtract",
    np.subtract,
    pairs(),
    lambda g, _ans, _x, _y: g,
    lambda g, _ans, _x, _y: -g,
    operator=operator.sub,
    numpy=(np.subtract,),
    expects="equal shapes, or sizes that are equal or 1 from the right",
    doc="""Subtract elementwise with broadcasting: ans = x - y.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.subtract([1.0, 2.0], 3.0)
        array([-2., -1.])
    """,
)

multiply: Op = primitive(
    "multiply",
    np.multiply,
    pairs(),
    lambda g, _ans, _x, y: g * y,
    lambda g, _ans, x, _y: g * x,
    operator=operator.mul,
    numpy=(np.multiply,),
    expects="equal shapes, or sizes that are equal or 1 from the right",
    doc="""Multiply elementwise with broadcasting: ans = x y, d/dx = y, d/dy = x.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.multiply([1.0, 2.0], 3.0)
        array([3., 6.])
    """,
)

divide: Op = primitive(
    "divide",
    np.divide,
    pairs(0.5, 2.0),
    lambda g, _ans, _x, y: g / y,
    lambda g, ans, _x, y: -(g * ans) / y,
    operator=operator.truediv,
    numpy=(np.divide,),
    expects="equal shapes, or sizes that are equal or 1 from the right",
    doc="""Divide elementwise with broadcasting: ans = x / y, d/dx = 1/y, d/dy = -x/y².

    Example:
        >>> import tinygrad_course as tc
        >>> tc.divide([1.0, 2.0], 4.0)
        array([0.25, 0.5 ])
    """,
)

negative: Op = primitive(
    "negative",
    np.negative,
    reals(),
    lambda g, _ans, _x: -g,
    operator=operator.neg,
    numpy=(np.negative,),
    doc="""Change the sign elementwise: ans = -x.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.negative([1.0, -2.0])
        array([-1.,  2.])
    """,
)

positive: Op = primitive(
    "positive",
    np.positive,
    reals(),
    lambda g, _ans, _x: g,
    operator=operator.pos,
    numpy=(np.positive,),
    doc="""Return a copy: ans = +x.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.positive([1.0, -2.0])
        array([ 1., -2.])
    """,
)

reciprocal: Op = primitive(
    "reciprocal",
    np.reciprocal,
    nonzeros(),
    lambda g, ans, _x: -(g * ans) * ans,
    numpy=(np.reciprocal,),
    doc="""Divide 1 by x, elementwise: derivative -1/x².

    Example:
        >>> import tinygrad_course as tc
        >>> tc.reciprocal([1.0, -4.0])
        array([ 1.  , -0.25])
    """,
)


def _abs_rule(g: Any, _ans: Any, x: Any) -> Any:
    if x.dtype.kind != "c":
        return g * sign_of(x)
    size = abs(x)
    return g * (x.conj() / (size + equal(size, 0)))


abs: Op = primitive(  # noqa: A001 - NumPy's name; on Tensors it is what the builtin calls
    "abs",
    np.abs,
    nonzeros(),
    _abs_rule,
    operator=operator.abs,
    numpy=(np.abs,),
    doc="""Take the absolute value elementwise: slope sign(x), conj(x) / |x| if complex, 0 at 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.abs([1.0, -2.0])
        array([1., 2.])
    """,
)

fabs: Op = primitive(
    "fabs",
    np.fabs,
    nonzeros(),
    lambda g, _ans, x: g * sign_of(x),
    numpy=(np.fabs,),
    real=True,
    doc="""Take the absolute value of real numbers elementwise; the derivative at 0 is 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.fabs([1.0, -2.0])
        array([1., 2.])
    """,
)

__all__ = [
    "abs",
    "add",
    "divide",
    "fabs",
    "multiply",
    "negative",
    "positive",
    "reciprocal",
    "subtract",
]
