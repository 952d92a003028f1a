"""SciPy's error functions, normal distribution, logistic function, entropies and exponentials."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_course.ops.choices import where
from tinygrad_course.ops.constants import equal, logical_and
from tinygrad_course.ops.exponentials import LOG2, LOG10, exp, log, log1p
from tinygrad_course.ops.samples import nonzeros, pairs, reals, values
from tinygrad_course.ops.special_rows import ufunc_row
from tinygrad_course.ops.trigonometry import sin
from tinygrad_course.primitive import Op

TWO_BY_ROOT_PI = 2 / math.sqrt(math.pi)
HALF_ROOT_PI = math.sqrt(math.pi) / 2
ROOT_TWO_PI = math.sqrt(2 * math.pi)

# ---- error functions -------------------------------------------------------------------------

erf: Op = ufunc_row(
    "erf",
    reals(),
    lambda g, _ans, x: g * (TWO_BY_ROOT_PI * exp(-x * x)),
    doc="Return the error function: derivative 2/√π e**-x².",
    example=("tc.special.erf([0.0, 1.0]).round(3)", "array([0.   , 0.843])"),
)

erfc: Op = ufunc_row(
    "erfc",
    reals(),
    lambda g, _ans, x: g * (-TWO_BY_ROOT_PI * exp(-x * x)),
    doc="Return 1 - erf(x), exact in its tail: derivative -2/√π e**-x².",
    example=("tc.special.erfc([0.0, 10.0])", "array([1.00000000e+00, 2.08848758e-45])"),
)

FAR = 50.0
"""From here on slopes whose two terms cancel are taken from a series, good to 1e-14."""


def _far_series(x: Any, sign: int) -> Any:
    """Return the sum of (2k-1)!! (sign / 2x²)**k over k = 1...5."""
    small = sign * 0.5 / x**2
    return small * (1 + small * (3 + small * (15 + small * (105 + small * 945))))


def _erfcx_rule(g: Any, ans: Any, x: Any) -> Any:
    """Return g (2 x ans - 2/√π), by its series in 1/x² where the two terms cancel."""
    far = x > FAR
    series = TWO_BY_ROOT_PI * _far_series(where(far, x, FAR), -1)
    return g * where(far, series, 2 * x * ans - TWO_BY_ROOT_PI)


def _dawsn_rule(g: Any, ans: Any, x: Any) -> Any:
    """Return g (1 - 2 x ans), by its series in 1/x² where the two terms cancel."""
    far = abs(x) > FAR
    return g * where(far, -_far_series(where(far, x, FAR), 1), 1 - 2 * x * ans)


erfcx: Op = ufunc_row(
    "erfcx",
    reals(),
    _erfcx_rule,
    doc="Return e**x² erfc(x): derivative 2 x ans - 2/√π.",
    example=("tc.special.erfcx([0.0, 1.0]).round(3)", "array([1.   , 0.428])"),
)

erfi: Op = ufunc_row(
    "erfi",
    reals(),
    lambda g, _ans, x: g * (TWO_BY_ROOT_PI * exp(x * x)),
    doc="Return the imaginary error function -i erf(ix): derivative 2/√π e**x².",
    example=("tc.special.erfi([0.0, 1.0]).round(3)", "array([0.  , 1.65])"),
)

dawsn: Op = ufunc_row(
    "dawsn",
    reals(),
    _dawsn_rule,
    doc="Return Dawson's integral √π/2 e**-x² erfi(x): derivative 1 - 2 x ans.",
    example=("tc.special.dawsn([0.0, 1.0]).round(3)", "array([0.   , 0.538])"),
)

erfinv: Op = ufunc_row(
    "erfinv",
    reals(-0.9, 0.9),
    lambda g, ans, _x: g * (HALF_ROOT_PI * exp(ans * ans)),
    doc="Invert erf: derivative √π/2 e**ans², inf at ±1.",
    example=("tc.special.erfinv([0.0, 0.5]).round(3)", "array([0.   , 0.477])"),
)

erfcinv: Op = ufunc_row(
    "erfcinv",
    reals(0.1, 1.9),
    lambda g, ans, _x: g * (-HALF_ROOT_PI * exp(ans * ans)),
    doc="Invert erfc: derivative -√π/2 e**ans², -inf at 0 and 2.",
    example=("tc.special.erfcinv([0.1, 0.5]).round(3)", "array([1.163, 0.477])"),
)

# ---- normal distribution ---------------------------------------------------------------------

ndtr: Op = ufunc_row(
    "ndtr",
    reals(),
    lambda g, _ans, x: g * (exp(-0.5 * x * x) / ROOT_TWO_PI),
    doc="Return the probability of a normal variable below x: derivative e**(-x²/2) / √(2π).",
    example=("tc.special.ndtr([0.0, 1.0]).round(3)", "array([0.5  , 0.841])"),
)

ndtri: Op = ufunc_row(
    "ndtri",
    reals(0.05, 0.95),
    lambda g, ans, _x: g * (ROOT_TWO_PI * exp(0.5 * ans * ans)),
    doc="Invert ndtr: derivative √(2π) e**(ans²/2).",
    example=("tc.special.ndtri([0.5, 0.975]).round(3)", "array([0.  , 1.96])"),
)

log_ndtr: Op = ufunc_row(
    "log_ndtr",
    reals(-3.0, 2.0),
    # The quotient of density and probability, of which neither underflows in this form.
    lambda g, _ans, x: g * (math.sqrt(2 / math.pi) / erfcx(x * -math.sqrt(0.5))),
    doc="Return log(ndtr(x)) without underflow: derivative √(2/π) / erfcx(-x/√2).",
    example=("tc.special.log_ndtr([0.0, -4.0]).round(3)", "array([ -0.693, -10.36 ])"),
)

# ---- logistic function -----------------------------------------------------------------------

expit: Op = ufunc_row(
    "expit",
    reals(-4.0, 4.0),
    lambda g, ans, x: g * (ans * expit(-x)),  # 1 - ans would be 0 in the upper tail
    doc="Return 1 / (1 + e**-x): derivative expit(x) expit(-x), exact in both tails.",
    example=("tc.special.expit([0.0, 2.0]).round(3)", "array([0.5  , 0.881])"),
)

logit: Op = ufunc_row(
    "logit",
    reals(0.1, 0.9),
    lambda g, _ans, x: g / (x * (1 - x)),
    doc="Invert expit, log(x / (1 - x)): derivative 1 / (x (1 - x)), inf at 0 and 1.",
    example=("tc.special.logit([0.5, 0.9]).round(3)", "array([0.   , 2.197])"),
)

log_expit: Op = ufunc_row(
    "log_expit",
    reals(-4.0, 4.0),
    lambda g, _ans, x: g * expit(-x),
    doc="Return log(expit(x)) without underflow: derivative expit(-x).",
    example=("tc.special.log_expit([0.0, -1000.0]).round(3)", "array([-6.93e-01, -1.00e+03])"),
)

# ---- entropies -------------------------------------------------------------------------------


def _ratio(x: Any, y: Any) -> Any:
    """Return x / y, and 0 where both are 0."""
    return x / where(logical_and(equal(x, 0), equal(y, 0)), 1.0, y)


xlogy: Op = ufunc_row(
    "xlogy",
    pairs(0.5, 2.0),
    lambda g, _ans, _x, y: g * log(y),
    lambda g, _ans, x, y: g * _ratio(x, y),
    doc="""Return x log(y), 0 where x = 0: derivatives log(y) and x/y.

    At x = 0 the slope with respect to y is 0, also at y = 0; with respect to x it is log(y), which
    at y = 0 is -inf.""",
    example=("tc.special.xlogy([0.0, 2.0], [0.0, 1.0])", "array([0., 0.])"),
)

xlog1py: Op = ufunc_row(
    "xlog1py",
    pairs(-0.5, 2.0),
    lambda g, _ans, _x, y: g * log1p(y),
    lambda g, _ans, x, y: g * _ratio(x, 1 + y),
    doc="""Return x log(1 + y), 0 where x = 0: derivatives log1p(y) and x / (1 + y).

    At x = 0 the slope with respect to y is 0, also at y = -1; with respect to x it is log1p(y),
    which at y = -1 is -inf.""",
    example=("tc.special.xlog1py([0.0, 2.0], [-1.0, 0.0])", "array([0., 0.])"),
)

entr: Op = ufunc_row(
    "entr",
    reals(0.2, 3.0),
    lambda g, _ans, x: g * (-1 - log(x)),
    doc="Return the entropy -x log(x), 0 at 0: derivative -1 - log(x), inf at 0.",
    example=("tc.special.entr([0.0, 0.5]).round(3)", "array([0.   , 0.347])"),
)

rel_entr: Op = ufunc_row(
    "rel_entr",
    pairs(0.5, 2.0),
    lambda g, _ans, x, y: g * (log(x / y) + 1),
    lambda g, _ans, x, y: -(g * _ratio(x, y)),
    doc="Return the relative entropy x log(x/y), 0 at x = 0: derivatives log(x/y) + 1 and -x/y.",
    example=("tc.special.rel_entr([0.0, 1.0], [1.0, 1.0])", "array([0., 0.])"),
)

kl_div: Op = ufunc_row(
    "kl_div",
    pairs(0.5, 2.0),
    lambda g, _ans, x, y: g * log(x / y),
    lambda g, _ans, x, y: g * (1 - _ratio(x, y)),
    doc="Return x log(x/y) - x + y, y at x = 0: derivatives log(x/y) and 1 - x/y.",
    example=("tc.special.kl_div([0.0, 1.0], [1.0, 1.0])", "array([1., 0.])"),
)

# ---- exponentials, roots, integrals of them --------------------------------------------------

expm1: Op = ufunc_row(
    "expm1",
    reals(),
    lambda g, ans, _x: g * (ans + 1),
    doc="Return e**x - 1 without losing digits near 0: derivative e**x.",
    example=("tc.special.expm1([0.0, 1e-12])", "array([0.e+00, 1.e-12])"),
)

scipy_log1p: Op = ufunc_row(
    "log1p",
    reals(-0.6, 2.0),
    lambda g, _ans, x: g / (1 + x),
    doc="Return log(1 + x) without losing digits near 0: derivative 1 / (1 + x).",
    example=("tc.special.log1p([0.0, 1e-12])", "array([0.e+00, 1.e-12])"),
)

exp2: Op = ufunc_row(
    "exp2",
    reals(),
    lambda g, ans, _x: g * (ans * LOG2),
    doc="Raise 2 to the power x: derivative 2**x log(2).",
    example=("tc.special.exp2([0.0, 3.0])", "array([1., 8.])"),
)

exp10: Op = ufunc_row(
    "exp10",
    reals(),
    lambda g, ans, _x: g * (ans * LOG10),
    doc="Raise 10 to the power x: derivative 10**x log(10).",
    example=("tc.special.exp10([0.0, 2.0])", "array([  1., 100.])"),
)

cbrt: Op = ufunc_row(
    "cbrt",
    reals(0.2, 3.0),
    lambda g, ans, _x: g / (3 * ans * ans),
    doc="Take the real cube root: derivative 1 / (3 ans²), inf at 0.",
    example=("tc.special.cbrt([1.0, -8.0])", "array([ 1., -2.])"),
)

cosm1: Op = ufunc_row(
    "cosm1",
    reals(),
    lambda g, _ans, x: -(g * sin(x)),
    doc="Return cos(x) - 1 without losing digits near 0: derivative -sin(x).",
    example=("tc.special.cosm1([0.0, 1e-3]).round(9)", "array([ 0.e+00, -5.e-07])"),
)

expi: Op = ufunc_row(
    "expi",
    nonzeros(),
    lambda g, _ans, x: g * (exp(x) / x),
    doc="Return the exponential integral Ei: derivative e**x / x.",
    example=("tc.special.expi([1.0, -1.0]).round(3)", "array([ 1.895, -0.219])"),
)

exp1: Op = ufunc_row(
    "exp1",
    reals(0.2, 3.0),
    lambda g, _ans, x: -(g * (exp(-x) / x)),
    doc="Return the exponential integral E1: derivative -e**-x / x.",
    example=("tc.special.exp1([1.0, 2.0]).round(3)", "array([0.219, 0.049])"),
)

scipy_round: Op = ufunc_row(
    "round",
    lambda rng: [((values(rng, (2, 3), -9.0, 9.0),), {}), ((np.array([0.3, 2.6]),), {})],
    None,
    doc="Return the nearest whole number, the even one of two; without derivative.",
)

__all__ = [
    "cbrt",
    "cosm1",
    "dawsn",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfi",
    "erfinv",
    "exp1",
    "exp2",
    "exp10",
    "expi",
    "expit",
    "expm1",
    "kl_div",
    "log_expit",
    "log_ndtr",
    "logit",
    "ndtr",
    "ndtri",
    "rel_entr",
    "scipy_log1p",
    "scipy_round",
    "xlog1py",
    "xlogy",
]
