"""Primitives that act element by element and broadcast.

The engine sums over broadcast axes, so the rules below are the scalar derivatives.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.samples import nonzeros, pairs, reals, values
from tinygrad_course.primitive import Op, Sample, primitive

# ---- arithmetic ---------------------------------------------------------------------------

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


def _power_base(g: Any, _ans: Any, x: Any, y: Any) -> Any:
    if isinstance(y, int | float):  # a Python number leaves float32 as it is
        return g * (2 * x) if y == 2 else g * 0.0 if y == 0 else g * (y * x ** (y - 1))
    # d/dx x**0 is 0 everywhere, also at x = 0, where y * x**(y-1) would be 0 * inf.
    return g * (y * x ** where(equal(y, 0), 1.0, y - 1))


def _power_exponent(g: Any, ans: Any, x: Any, _y: Any) -> Any:
    # The logarithm in the precision of the result: x may be a float32 number beside float64.
    return g * ans * log(astype(where(equal(x, 0), 1.0, x), dtype=ans.dtype))


def _powers(rng: np.random.Generator) -> Iterator[Sample]:
    yield from pairs(0.5, 2.0)(rng)
    x = values(rng, (2, 3), 0.5, 2.0)
    for exponent in (0, 1, 2, 3, -1, 0.5, 2.0):
        yield (x, exponent), {}
    yield (values(rng, (3,), -2.0, 2.0), 3), {}


power: Op = primitive(
    "power",
    np.power,
    _powers,
    _power_base,
    _power_exponent,
    operator=operator.pow,
    numpy=(np.power,),
    doc="""Raise elementwise: ans = x**y, d/dx = y x**(y-1), d/dy = x**y log x.

    The derivative of x**0 is 0, and that of 0**y with respect to y is 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.power([1.0, 2.0, 3.0], 2)
        array([1., 4., 9.])
    """,
)

floor_divide: Op = primitive(
    "floor_divide",
    np.floor_divide,
    pairs(0.5, 2.0),
    None,
    None,
    operator=operator.floordiv,
    numpy=(np.floor_divide,),
    doc="""Return the whole number of times that y fits into x; without derivative.""",
)


def _fractions(rng: np.random.Generator) -> Iterator[Sample]:
    """Yield quotients away from whole numbers, where the remainder jumps."""
    for first, second in [((), ()), ((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((0,), ())]:
        y = values(rng, second, 1.0, 2.0)
        whole = rng.integers(-2, 3, np.broadcast_shapes(first, second))
        part = values(rng, np.broadcast_shapes(first, second), 0.2, 0.8)
        yield (np.asarray((whole + part) * y), y), {}


remainder: Op = primitive(
    "remainder",
    np.remainder,
    _fractions,
    lambda g, _ans, _x, _y: g,
    lambda g, _ans, x, y: -(g * floor_divide(x, y)),
    operator=operator.mod,
    numpy=(np.remainder,),
    doc="""Return x - y floor(x / y): derivatives 1 and -floor(x / y).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.remainder([5.0, -1.0], 3.0)
        array([2., 2.])
    """,
)

square: Op = primitive(
    "square",
    np.square,
    reals(),
    lambda g, _ans, x: g * (2 * x),
    numpy=(np.square,),
    doc="""Square elementwise: ans = x², derivative 2x.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.square([1.0, -3.0])
        array([1., 9.])
    """,
)

sqrt: Op = primitive(
    "sqrt",
    np.sqrt,
    reals(0.2, 3.0),
    lambda g, ans, _x: g / (2 * ans),
    numpy=(np.sqrt,),
    doc="""Take the square root elementwise: derivative 1 / (2 sqrt(x)), which is inf at 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sqrt([1.0, 4.0])
        array([1., 2.])
    """,
)

abs: Op = primitive(  # noqa: A001 - NumPy's name; this file does not use the builtin
    "abs",
    np.abs,
    nonzeros(),
    lambda g, _ans, x: g * sign(x),
    operator=operator.abs,
    numpy=(np.abs,),
    doc="""Take the absolute value elementwise; the derivative at 0 is 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.abs([1.0, -2.0])
        array([1., 2.])
    """,
)

# ---- exponentials and trigonometry --------------------------------------------------------

exp: Op = primitive(
    "exp",
    np.exp,
    reals(),
    lambda g, ans, _x: g * ans,
    numpy=(np.exp,),
    doc="""Exponentiate elementwise: ans = e**x, its own derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.exp([0.0, 1.0]).round(3)
        array([1.   , 2.718])
    """,
)

log: Op = primitive(
    "log",
    np.log,
    reals(0.2, 3.0),
    lambda g, _ans, x: g / x,
    numpy=(np.log,),
    doc="""Take the natural logarithm elementwise: derivative 1/x.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.log([1.0, 2.0]).round(3)
        array([0.   , 0.693])
    """,
)

sin: Op = primitive(
    "sin",
    np.sin,
    reals(),
    lambda g, _ans, x: g * cos(x),
    numpy=(np.sin,),
    doc="""Take the sine elementwise: derivative cos(x).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sin([0.0, 1.0]).round(3)
        array([0.   , 0.841])
    """,
)

cos: Op = primitive(
    "cos",
    np.cos,
    reals(),
    lambda g, _ans, x: -(g * sin(x)),
    numpy=(np.cos,),
    doc="""Take the cosine elementwise: derivative -sin(x).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.cos([0.0, 1.0]).round(3)
        array([1.  , 0.54])
    """,
)

tanh: Op = primitive(
    "tanh",
    np.tanh,
    reals(),
    lambda g, ans, _x: g * (1 - ans * ans),
    numpy=(np.tanh,),
    doc="""Take the hyperbolic tangent elementwise: derivative 1 - tanh(x)².

    Example:
        >>> import tinygrad_course as tc
        >>> tc.tanh([0.0, 1.0]).round(3)
        array([0.   , 0.762])
    """,
)


# ---- activations --------------------------------------------------------------------------


def _sigmoid(x: Any) -> Any:
    # exp of a non-positive number cannot overflow, and keeps the digits of both tails.
    e = np.exp(-np.abs(x))
    r = 1 / (1 + e)
    return np.where(x < 0, e * r, r)


sigmoid: Op = primitive(
    "sigmoid",
    _sigmoid,
    reals(-4.0, 4.0),
    lambda g, ans, _x: g * (ans * (1 - ans)),
    doc="""Squash elementwise: s = 1 / (1 + e**-x), derivative s (1 - s); exact in both tails.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sigmoid([0.0, 2.0]).round(3)
        array([0.5  , 0.881])
    """,
)

relu: Op = primitive(
    "relu",
    lambda x: np.maximum(x, 0),
    nonzeros(),
    lambda g, ans, _x: g * (ans > 0),
    doc="""Rectify elementwise: ans = max(x, 0); the derivative at 0 is 0, as PyTorch's.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.relu([-1.0, 2.0])
        array([0., 2.])
    """,
)

leaky_relu: Op = primitive(
    "leaky_relu",
    lambda x, *, negative_slope=0.01: np.where(x > 0, x, x * negative_slope),
    nonzeros(negative_slope=0.1),
    lambda g, _ans, x, *, negative_slope=0.01: where(x > 0, g, g * negative_slope),
    doc="""Rectify with a slope below 0: x for x > 0, negative_slope x otherwise.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.leaky_relu([-1.0, 2.0])
        array([-0.01,  2.  ])
    """,
)

softplus: Op = primitive(
    "softplus",
    lambda x: np.logaddexp(x, 0),
    reals(-4.0, 4.0),
    lambda g, _ans, x: g * sigmoid(x),
    doc="""Smooth the rectifier: ans = log(1 + e**x), derivative sigmoid(x); no overflow.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.softplus([0.0, 1000.0]).round(3)
        array([6.93e-01, 1.00e+03])
    """,
)

# ---- choices ------------------------------------------------------------------------------

maximum: Op = primitive(
    "maximum",
    np.maximum,
    pairs(),
    lambda g, _ans, x, y: where(greater(x, y), g, where(equal(x, y), g * 0.5, 0.0)),
    lambda g, _ans, x, y: where(greater(y, x), g, where(equal(x, y), g * 0.5, 0.0)),
    numpy=(np.maximum,),
    doc="""Take the larger elementwise; at a tie both share the gradient equally.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.maximum([1.0, 5.0], 3.0)
        array([3., 5.])
    """,
)

minimum: Op = primitive(
    "minimum",
    np.minimum,
    pairs(),
    lambda g, _ans, x, y: where(less(x, y), g, where(equal(x, y), g * 0.5, 0.0)),
    lambda g, _ans, x, y: where(less(y, x), g, where(equal(x, y), g * 0.5, 0.0)),
    numpy=(np.minimum,),
    doc="""Take the smaller elementwise; at a tie both share the gradient equally.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.minimum([1.0, 5.0], 3.0)
        array([1., 3.])
    """,
)


def _choices(rng: np.random.Generator) -> Iterator[Sample]:
    mask = np.array([[True, False, True], [False, False, True]])
    yield (mask, values(rng, (2, 3), -2, 2), values(rng, (2, 3), -2, 2)), {}
    yield (mask, values(rng, (3,), -2, 2), values(rng, (2, 1), -2, 2)), {}
    yield (mask[0], values(rng, (2, 3), -2, 2), values(rng, (), -2, 2)), {}
    yield (np.array(True), values(rng, (), -2, 2), values(rng, (2,), -2, 2)), {}


where: Op = primitive(
    "where",
    lambda condition, x, y: np.where(condition, x, y),  # noqa: PLW0108 - np.where takes one too
    _choices,
    None,
    lambda g, _ans, condition, _x, _y: where(condition, g, 0.0),
    lambda g, _ans, condition, _x, _y: where(condition, 0.0, g),
    numpy=(np.where,),
    doc="""Choose elementwise: x where the condition holds, y elsewhere.

    A gradient of 0 times an infinite derivative in the branch not taken is nan, as everywhere in
    IEEE arithmetic: make the argument safe before the function, not after it.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.where([True, False], [1.0, 2.0], 0.0)
        array([1., 0.])
    """,
)


def _clip(x: Any, *, lower: Any = None, upper: Any = None) -> Any:
    return np.clip(x, lower, upper)


def _inside(x: Any, lower: Any, upper: Any) -> Any:
    above = True if lower is None else greater_equal(x, lower)
    below = True if upper is None else less_equal(x, upper)
    return logical_and(above, below)


def _clips(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(), (3,), (2, 3), (0,)]:
        yield (values(rng, shape, -2.0, 2.0),), {"lower": -1.03, "upper": 0.97}
    yield (values(rng, (4,), -2.0, 2.0),), {"lower": 0.11}
    yield (values(rng, (2, 3), -2.0, 2.0),), {"upper": np.array([0.013, 0.511, 1.017])}


clip_to: Op = primitive(
    "clip",
    _clip,
    _clips,
    lambda g, _ans, x, *, lower=None, upper=None: where(_inside(x, lower, upper), g, 0.0),
    doc="""Limit to [lower, upper]; the slope is 1 inside and at a bound, 0 outside.""",
)

# ---- conversion ---------------------------------------------------------------------------

astype: Op = primitive(
    "astype",
    lambda x, *, dtype: x.astype(dtype),
    lambda rng: iter([((values(rng, (2, 3), -2, 2),), {"dtype": np.dtype(np.float64)})]),
    lambda g, _ans, _x, *, dtype: g,  # noqa: ARG005 - the engine casts back
    doc="""Convert to another dtype; the gradient is converted back.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.astype(np.array([1.5]), dtype=np.dtype("float32"))
        array([1.5], dtype=float32)
    """,
)

copy: Op = primitive(
    "copy",
    lambda x: x.copy(),
    reals(),
    lambda g, _ans, _x: g,
    numpy=(np.copy,),
    doc="""Copy to new memory; the gradient passes unchanged.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.copy([1.0])
        array([1.])
    """,
)

zeros_like: Op = primitive(
    "zeros_like",
    np.zeros_like,
    nonzeros(),
    None,
    numpy=(np.zeros_like,),
    doc="Return zeros of the shape and dtype of x; without derivative.",
)

ones_like: Op = primitive(
    "ones_like",
    np.ones_like,
    nonzeros(),
    None,
    numpy=(np.ones_like,),
    doc="Return ones of the shape and dtype of x; without derivative.",
)

# ---- without derivative -------------------------------------------------------------------


def _comparison(ufunc: Any, text: str) -> Any:
    return primitive(
        ufunc.__name__,
        ufunc,
        pairs(),
        None,
        None,
        numpy=(ufunc,),
        doc=f"Return whether {text}, elementwise; the result has no derivative.",
    )


equal: Op = _comparison(np.equal, "x == y")
not_equal: Op = _comparison(np.not_equal, "x != y")
less: Op = _comparison(np.less, "x < y")
less_equal: Op = _comparison(np.less_equal, "x <= y")
greater: Op = _comparison(np.greater, "x > y")
greater_equal: Op = _comparison(np.greater_equal, "x >= y")
logical_and: Op = _comparison(np.logical_and, "both x and y are true")
logical_or: Op = _comparison(np.logical_or, "x or y is true")


def _piecewise_constant(ufunc: Any, text: str) -> Any:
    return primitive(
        ufunc.__name__,
        ufunc,
        nonzeros(),
        None,
        numpy=(ufunc,),
        doc=f"Return {text}, elementwise; constant almost everywhere, so without derivative.",
    )


def _bits(ufunc: Any, text: str) -> Any:
    cases = [np.array([True, True, False, False]), np.array([True, False, True, False])]
    cases = cases[: ufunc.nin]
    return primitive(
        ufunc.__name__,
        ufunc,
        lambda _rng: [(tuple(cases), {}), (tuple(np.array(c, dtype=int) for c in cases), {})],
        *[None] * ufunc.nin,
        numpy=(ufunc,),
        doc=f"Return {text}, bit by bit, of booleans or whole numbers; without derivative.",
    )


bitwise_and: Op = _bits(np.bitwise_and, "x and y")
bitwise_or: Op = _bits(np.bitwise_or, "x or y")
invert: Op = _bits(np.invert, "not x")
sign: Op = _piecewise_constant(np.sign, "the sign of x")
floor: Op = _piecewise_constant(np.floor, "the largest whole number not above x")
ceil: Op = _piecewise_constant(np.ceil, "the smallest whole number not below x")
rint: Op = _piecewise_constant(np.rint, "the nearest whole number")
isnan: Op = _piecewise_constant(np.isnan, "whether x is not a number")
isfinite: Op = _piecewise_constant(np.isfinite, "whether x is finite")
logical_not: Op = _piecewise_constant(np.logical_not, "whether x is false")


__all__ = [
    "abs",
    "add",
    "astype",
    "bitwise_and",
    "bitwise_or",
    "ceil",
    "clip_to",
    "copy",
    "cos",
    "divide",
    "equal",
    "exp",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "invert",
    "isfinite",
    "isnan",
    "leaky_relu",
    "less",
    "less_equal",
    "log",
    "logical_and",
    "logical_not",
    "logical_or",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "ones_like",
    "power",
    "relu",
    "remainder",
    "rint",
    "sigmoid",
    "sign",
    "sin",
    "softplus",
    "sqrt",
    "square",
    "subtract",
    "tanh",
    "where",
    "zeros_like",
]
