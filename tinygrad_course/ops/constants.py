"""Functions that are constant almost everywhere: comparisons, signs, rounding, bits.

They have no derivative, and what they return does not require grad.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.samples import nonzeros, pairs, values
from tinygrad_course.primitive import Op, Sample, primitive


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
logical_xor: Op = _comparison(np.logical_xor, "exactly one of x and y is true")


def _closeness(rng: np.random.Generator) -> Iterator[Sample]:
    x = values(rng, (2, 3), -2.0, 2.0)
    yield (x, x + 1e-9), {}
    yield (x, x[0]), {"rtol": 0.5, "atol": 0.0}
    yield (np.array([np.nan, 1.0]), np.array([np.nan, np.inf])), {"equal_nan": True}


isclose: Op = primitive(
    "isclose",
    lambda x, y, *, rtol=1e-5, atol=1e-8, equal_nan=False: np.isclose(x, y, rtol, atol, equal_nan),
    _closeness,
    None,
    None,
    numpy=(np.isclose,),
    doc="""Return whether |x - y| <= atol + rtol |y|, elementwise; the result has no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.isclose([1.0, 2.0], [1.0 + 1e-9, 2.1])
        array([ True, False])
    """,
)


def _constant(function: Any, text: str, name: str = "") -> Any:
    return primitive(
        name or function.__name__,
        function,
        nonzeros(),
        None,
        numpy=(function,),
        doc=f"Return {text}, elementwise; constant almost everywhere, so without derivative.",
    )


sign_of: Op = _constant(np.sign, "the sign of x")
signbit: Op = _constant(np.signbit, "whether the sign bit of x is set")
floor: Op = _constant(np.floor, "the largest whole number not above x")
ceil: Op = _constant(np.ceil, "the smallest whole number not below x")
trunc: Op = _constant(np.trunc, "the whole number next to x towards 0")
fix: Op = _constant(np.fix, "the whole number next to x towards 0")
rint: Op = _constant(np.rint, "the nearest whole number, the even one of two")
spacing: Op = _constant(np.spacing, "the distance from x to the next number of its dtype")
isnan: Op = _constant(np.isnan, "whether x is not a number")
isinf: Op = _constant(np.isinf, "whether x is infinite")
isposinf: Op = _constant(np.isposinf, "whether x is inf")
isneginf: Op = _constant(np.isneginf, "whether x is -inf")
isfinite: Op = _constant(np.isfinite, "whether x is finite")
isreal: Op = _constant(np.isreal, "whether the imaginary part of x is 0")
iscomplex: Op = _constant(np.iscomplex, "whether the imaginary part of x is not 0")
logical_not: Op = _constant(np.logical_not, "whether x is false")


def _rounded(rng: np.random.Generator) -> Iterator[Sample]:
    for (x,), _ in nonzeros()(rng):
        yield (x,), {}
    yield (values(rng, (2, 3), -20.0, 20.0),), {"decimals": 1}
    yield (values(rng, (3,), -200.0, 200.0),), {"decimals": -1}


round: Op = primitive(  # noqa: A001 - NumPy's name; this file does not use the builtin
    "round",
    lambda x, *, decimals=0: np.round(x, decimals),
    _rounded,
    None,
    numpy=(np.round, np.around),
    doc="""Round to a number of decimals, halves to even; without derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.round([0.5, 1.26, -2.74], 1)
        array([ 0.5,  1.3, -2.7])
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
    doc="Return the whole number of times that y fits into x; without derivative.",
)


def _bits(ufunc: Any, text: str, *, booleans: bool = True) -> Any:
    cases = (np.array([True, True, False, False]), np.array([True, False, True, False]))
    whole = (np.array([[12, 7, 0], [1, 30, 5]]), np.array([4, 3, 2]))
    samples: list[Sample] = [(whole[: ufunc.nin], {})]
    if booleans:
        samples.append((cases[: ufunc.nin], {}))
    return primitive(
        ufunc.__name__,
        ufunc,
        lambda _rng: samples,
        *[None] * ufunc.nin,
        numpy=(ufunc,),
        doc=f"Return {text}; for {'booleans or ' * booleans}whole numbers, without derivative.",
    )


bitwise_and: Op = _bits(np.bitwise_and, "x and y, bit by bit")
bitwise_or: Op = _bits(np.bitwise_or, "x or y, bit by bit")
bitwise_xor: Op = _bits(np.bitwise_xor, "the bits in which x and y differ")
invert: Op = _bits(np.invert, "not x, bit by bit")
bitwise_count: Op = _bits(np.bitwise_count, "the number of bits set in |x|", booleans=False)
left_shift: Op = _bits(np.left_shift, "x with its bits shifted left by y", booleans=False)
right_shift: Op = _bits(np.right_shift, "x with its bits shifted right by y", booleans=False)
gcd: Op = _bits(np.gcd, "the greatest common divisor of x and y", booleans=False)
lcm: Op = _bits(np.lcm, "the least common multiple of x and y", booleans=False)

__all__ = [
    "bitwise_and",
    "bitwise_count",
    "bitwise_or",
    "bitwise_xor",
    "ceil",
    "equal",
    "fix",
    "floor",
    "floor_divide",
    "gcd",
    "greater",
    "greater_equal",
    "invert",
    "isclose",
    "iscomplex",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "lcm",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "right_shift",
    "rint",
    "round",
    "sign_of",
    "signbit",
    "spacing",
    "trunc",
]
