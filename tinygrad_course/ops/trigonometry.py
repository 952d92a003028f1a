"""Circular and hyperbolic functions and their inverses, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course.ops.constants import equal
from tinygrad_course.ops.powers import hypot, sqrt
from tinygrad_course.ops.samples import pairs, reals
from tinygrad_course.primitive import Op, primitive

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

tan: Op = primitive(
    "tan",
    np.tan,
    reals(-1.2, 1.2),
    lambda g, ans, _x: g * (1 + ans * ans),
    numpy=(np.tan,),
    doc="""Take the tangent elementwise: derivative 1 + tan(x)².

    Example:
        >>> import tinygrad_course as tc
        >>> tc.tan([0.0, 1.0]).round(3)
        array([0.   , 1.557])
    """,
)

arcsin: Op = primitive(
    "arcsin",
    np.arcsin,
    reals(-0.9, 0.9),
    lambda g, _ans, x: g / sqrt((1 - x) * (1 + x)),
    numpy=(np.arcsin,),
    doc="""Invert the sine elementwise: derivative 1 / sqrt(1 - x²), inf at ±1.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.arcsin([0.0, 1.0]).round(3)
        array([0.   , 1.571])
    """,
)

arccos: Op = primitive(
    "arccos",
    np.arccos,
    reals(-0.9, 0.9),
    lambda g, _ans, x: -g / sqrt((1 - x) * (1 + x)),
    numpy=(np.arccos,),
    doc="""Invert the cosine elementwise: derivative -1 / sqrt(1 - x²), -inf at ±1.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.arccos([1.0, -1.0]).round(3)
        array([0.   , 3.142])
    """,
)

arctan: Op = primitive(
    "arctan",
    np.arctan,
    reals(),
    lambda g, _ans, x: g / (1 + x * x),
    numpy=(np.arctan,),
    doc="""Invert the tangent elementwise: derivative 1 / (1 + x²).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.arctan([0.0, 1.0]).round(3)
        array([0.   , 0.785])
    """,
)


def _over_square(a: Any, x: Any, y: Any) -> Any:
    """Return a / (x² + y²) without overflow, for |a| at most the root; 0 at the origin."""
    size = hypot(x, y)
    size = size + equal(size, 0)
    return a / size / size


arctan2: Op = primitive(
    "arctan2",
    np.arctan2,
    pairs(-2.1, 2.0),
    lambda g, _ans, y, x: g * _over_square(x, x, y),
    lambda g, _ans, y, x: -(g * _over_square(y, x, y)),
    numpy=(np.arctan2,),
    real=True,
    doc="""Return the angle of the point (x, y), given as arctan2(y, x).

    Derivatives x / (x² + y²) with respect to y and -y / (x² + y²) with respect to x; at the origin,
    which has no angle, 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.arctan2([1.0, 1.0], [1.0, -1.0]).round(3)
        array([0.785, 2.356])
    """,
)

sinh: Op = primitive(
    "sinh",
    np.sinh,
    reals(),
    lambda g, _ans, x: g * cosh(x),
    numpy=(np.sinh,),
    doc="""Take the hyperbolic sine elementwise: derivative cosh(x).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sinh([0.0, 1.0]).round(3)
        array([0.   , 1.175])
    """,
)

cosh: Op = primitive(
    "cosh",
    np.cosh,
    reals(),
    lambda g, _ans, x: g * sinh(x),
    numpy=(np.cosh,),
    doc="""Take the hyperbolic cosine elementwise: derivative sinh(x).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.cosh([0.0, 1.0]).round(3)
        array([1.   , 1.543])
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

arcsinh: Op = primitive(
    "arcsinh",
    np.arcsinh,
    reals(),
    lambda g, _ans, x: g / sqrt(x * x + 1),
    numpy=(np.arcsinh,),
    doc="""Invert the hyperbolic sine elementwise: derivative 1 / sqrt(x² + 1).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.arcsinh([0.0, 1.0]).round(3)
        array([0.   , 0.881])
    """,
)

arccosh: Op = primitive(
    "arccosh",
    np.arccosh,
    reals(1.2, 4.0),
    lambda g, _ans, x: g / (sqrt(x - 1) * sqrt(x + 1)),
    numpy=(np.arccosh,),
    doc="""Invert the hyperbolic cosine elementwise: derivative 1 / sqrt(x² - 1), inf at 1.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.arccosh([1.0, 2.0]).round(3)
        array([0.   , 1.317])
    """,
)

arctanh: Op = primitive(
    "arctanh",
    np.arctanh,
    reals(-0.9, 0.9),
    lambda g, _ans, x: g / ((1 - x) * (1 + x)),
    numpy=(np.arctanh,),
    doc="""Invert the hyperbolic tangent elementwise: derivative 1 / (1 - x²), inf at ±1.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.arctanh([0.0, 0.5]).round(3)
        array([0.   , 0.549])
    """,
)

deg2rad: Op = primitive(
    "deg2rad",
    np.deg2rad,
    reals(),
    lambda g, _ans, _x: deg2rad(g),
    numpy=(np.deg2rad,),
    real=True,
    doc="""Convert degrees to radians: x π / 180.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.deg2rad([180.0, 90.0]).round(3)
        array([3.142, 1.571])
    """,
)

radians: Op = primitive(
    "radians",
    np.radians,
    reals(),
    lambda g, _ans, _x: radians(g),
    numpy=(np.radians,),
    real=True,
    doc="""Convert degrees to radians: x π / 180.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.radians([180.0, 90.0]).round(3)
        array([3.142, 1.571])
    """,
)

rad2deg: Op = primitive(
    "rad2deg",
    np.rad2deg,
    reals(),
    lambda g, _ans, _x: rad2deg(g),
    numpy=(np.rad2deg,),
    real=True,
    doc="""Convert radians to degrees: x 180 / π.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.rad2deg([0.0, 3.0]).round(3)
        array([  0.   , 171.887])
    """,
)

degrees: Op = primitive(
    "degrees",
    np.degrees,
    reals(),
    lambda g, _ans, _x: degrees(g),
    numpy=(np.degrees,),
    real=True,
    doc="""Convert radians to degrees: x 180 / π.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.degrees([0.0, 3.0]).round(3)
        array([  0.   , 171.887])
    """,
)

__all__ = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "rad2deg",
    "radians",
    "sin",
    "sinh",
    "tan",
    "tanh",
]
