"""Remainders, and functions that take a number apart or change its bits."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.constants import floor_divide, rint, sign_of
from tinygrad_course.ops.samples import nonzeros, pairs, values
from tinygrad_course.primitive import Op, Sample, primitive


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
    real=True,
    doc="""Return x - y floor(x / y): derivatives 1 and -floor(x / y).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.remainder([5.0, -1.0], 3.0)
        array([2., 2.])
    """,
)

fmod: Op = primitive(
    "fmod",
    np.fmod,
    _fractions,
    lambda g, _ans, _x, _y: g,
    # From the result, not from x / y: the quotient may have been rounded up to a whole number.
    lambda g, ans, x, y: -(g * rint((x - ans) / y)),
    numpy=(np.fmod,),
    real=True,
    doc="""Return the remainder of x / y with the sign of x: derivatives 1 and -trunc(x / y).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.fmod([5.0, -1.0], 3.0)
        array([ 2., -1.])
    """,
)


def _divmod_rule(g: Any, _ans: Any, x: Any, y: Any, *, wanted: Any) -> Any:
    piece = g[1]
    return (
        piece if wanted[0] else None,
        -(piece * floor_divide(x, y)) if wanted[1] else None,
    )


divmod: Op = primitive(  # noqa: A001 - NumPy's name; this file does not use the builtin
    "divmod",
    np.divmod,
    _fractions,
    joint=_divmod_rule,
    outputs=2,
    constant_outputs=(0,),
    numpy=(np.divmod,),
    real=True,
    doc="""Return (floor_divide(x, y), remainder(x, y)); the quotient has no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.divmod([5.0, -1.0], 3.0)
        (array([ 1., -1.]), array([2., 2.]))
    """,
)


def _halves(rng: np.random.Generator) -> Iterator[Sample]:
    for (x, _), _ in _fractions(rng):
        yield (np.asarray(np.round(x) + 0.3 + 0.2 * np.sin(x)),), {}


modf: Op = primitive(
    "modf",
    np.modf,
    _halves,
    joint=lambda g, _ans, _x, *, wanted: (g[0],),  # noqa: ARG005 - there is one input
    outputs=2,
    constant_outputs=(1,),
    numpy=(np.modf,),
    real=True,
    doc="""Return (fraction, whole part), both with the sign of x; the fraction has slope 1.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.modf([1.25, -0.5])
        (array([ 0.25, -0.5 ]), array([ 1., -0.]))
    """,
)

frexp: Op = primitive(
    "frexp",
    np.frexp,
    _halves,
    joint=lambda g, ans, _x, *, wanted: (ldexp(g[0], -ans[1]),),  # noqa: ARG005 - the same
    outputs=2,
    constant_outputs=(1,),
    numpy=(np.frexp,),
    real=True,
    doc="""Return (m, e) with x = m 2**e, |m| in [0.5, 1): the slope of m is 2**-e, e is constant.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.frexp([3.0, -0.5])
        (array([ 0.75, -0.5 ]), array([2, 0], dtype=int32))
    """,
)


def _scaled(rng: np.random.Generator) -> Iterator[Sample]:
    whole = np.array([[-1, 0, 3], [2, 1, -4]], np.int8)
    for shape in [(2, 3), (3,), (2, 1), ()]:
        yield (values(rng, shape, -2.0, 2.0), whole), {}
    yield (values(rng, (2, 3), -2.0, 2.0), 3), {}


ldexp: Op = primitive(
    "ldexp",
    np.ldexp,
    _scaled,
    lambda g, _ans, _x, n: ldexp(g, n),
    None,
    numpy=(np.ldexp,),
    real=True,
    expects="whole numbers as the second input",
    doc="""Return x 2**n for whole n: derivative 2**n with respect to x.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.ldexp([0.75, -0.5], [2, 0])
        array([ 3. , -0.5])
    """,
)


def _signs(rng: np.random.Generator) -> Iterator[Sample]:
    # The second input has no derivative here: whole numbers are not moved by the check.
    whole = np.array([[-2, 1, 3], [2, -1, -4]], np.int8)
    for (x,), _ in nonzeros()(rng):
        if x.shape in {(), (3,), (2, 3), (2, 1, 3)}:
            yield (x, whole), {}


copysign: Op = primitive(
    "copysign",
    np.copysign,
    _signs,
    lambda g, _ans, x, y: g * sign_of(x) * copysign(1.0, y),
    None,
    numpy=(np.copysign,),
    real=True,
    doc="""Return |x| with the sign of y: derivative sign(x) sign(y) with respect to x, 0 at x = 0.

    With respect to y it is constant almost everywhere, so without derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.copysign([1.0, -2.0], [-1.0, 3.0])
        array([-1.,  2.])
    """,
)

nextafter: Op = primitive(
    "nextafter",
    np.nextafter,
    pairs(),
    lambda g, _ans, _x, _y: g,
    None,
    numpy=(np.nextafter,),
    real=True,
    doc="""Return the next number after x towards y: slope 1 with respect to x, 0 to y.

    Example:
        >>> import tinygrad_course as tc
        >>> float(tc.nextafter(1.0, 2.0))
        1.0000000000000002
    """,
)


def _windings(rng: np.random.Generator) -> Iterator[Sample]:
    yield (np.array([0.1, 3.0, -2.9, -1.0, 2.5]) + values(rng, (5,), -0.2, 0.2),), {}
    x = values(rng, (3, 4), -9.0, 9.0)
    yield (x,), {"axis": 0}
    yield (x[:, ::2],), {"axis": 1, "period": 4.0}
    yield (x.T,), {"discont": 4.0}
    yield (x[:, :1],), {}


unwrap: Op = primitive(
    "unwrap",
    lambda x, *, discont=None, axis=-1, period=2 * np.pi: np.unwrap(
        x, discont, axis, period=period
    ),
    _windings,
    lambda g, _ans, _x, **_options: g,
    numpy=(np.unwrap,),
    real=True,
    doc="""Add multiples of the period so that neighbours differ by at most half of it; slope 1.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.unwrap([0.0, 3.0, 6.0, 1.0], period=4.0)
        array([ 0., -1., -2., -3.])
    """,
)

__all__ = [
    "copysign",
    "divmod",
    "fmod",
    "frexp",
    "ldexp",
    "modf",
    "nextafter",
    "remainder",
    "unwrap",
]
