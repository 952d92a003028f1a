"""Activations that are worth a row of their own: each would be many operations, or lose digits.

The rest (hardshrink, mish, ...) are compositions; see `tinygrad_course.nn.functional`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_course.kernels import kernel
from tinygrad_course.ops.activations import sigmoid
from tinygrad_course.ops.choices import minimum, where
from tinygrad_course.ops.constants import greater, less, logical_and
from tinygrad_course.ops.exponentials import exp
from tinygrad_course.ops.samples import Generator, layouts, nonzeros, reals, values
from tinygrad_course.primitive import Op, Samples, primitive

# ---- exponential linear units ----------------------------------------------------------------


def _elu(x: Any, *, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    below = np.expm1(np.minimum(x, 0) * input_scale) * (alpha * scale)
    return np.where(x > 0, x * scale, below)


def _elu_rule(
    g: Any, _ans: Any, x: Any, *, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> Any:
    slope = exp(minimum(x, 0.0) * input_scale) * (alpha * scale * input_scale)
    return g * where(greater(x, 0.0), scale, slope)


elu: Op = primitive(
    "elu",
    _elu,
    lambda rng: (
        *nonzeros()(rng),
        *nonzeros(alpha=0.5, scale=1.5, input_scale=2.0)(rng),
    ),
    _elu_rule,
    real=True,
    doc="""Return scale x above 0, and scale alpha (e**(input_scale x) - 1) elsewhere.

    The derivative at 0 is that of the left side, as PyTorch's. Source: Clevert et al. 2016.

    Example:
        >>> from tinygrad_course import ops
        >>> ops.elu([-1.0, 2.0]).round(3)
        array([-0.632,  2.   ])
    """,
)


# ---- sigmoid and its relatives -----------------------------------------------------------------


def _silu(x: Any) -> Any:
    s = sigmoid(x)
    return x * s, s


def _silu_rule(g: Any, ans: Any, _x: Any, *, residuals: Any, wanted: Any) -> Any:  # noqa: ARG001
    return (g * (residuals + ans * (1 - residuals)),)


silu: Op = primitive(
    "silu",
    _silu,
    reals(-4.0, 4.0),
    joint=_silu_rule,
    formula=lambda x: x * sigmoid(x),
    residuals=True,
    real=True,
    doc="""Weigh x by its sigmoid: ans = x sigmoid(x), also called swish.

    With s = sigmoid(x) the derivative is s + ans (1 - s). Source: Elfwing et al. 2017.

    Example:
        >>> from tinygrad_course import ops
        >>> ops.silu([0.0, 2.0]).round(3)
        array([0.   , 1.762])
    """,
)


def _log_sigmoid(x: Any) -> Any:
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


log_sigmoid: Op = primitive(
    "log_sigmoid",
    _log_sigmoid,
    reals(-4.0, 4.0),
    lambda g, _ans, x: g * sigmoid(-x),
    real=True,
    doc="""Take log(sigmoid(x)) without overflow: derivative sigmoid(-x).

    Example:
        >>> from tinygrad_course import ops
        >>> ops.log_sigmoid([0.0, -1000.0]).round(3)
        array([-6.93e-01, -1.00e+03])
    """,
)


# ---- between two bounds ------------------------------------------------------------------------


def _away_from(*kinks: float, **params: Any) -> Samples:
    """Return samples with one input around some kinks, and at least 0.1 away from each."""

    def make(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
        x = values(rng, shape, min(kinks) - 2, max(kinks) + 2)
        for kink in kinks:
            x = np.where(np.abs(x - kink) < 0.1, kink + 0.2, x)
        return x

    return lambda rng: (((x,), dict(params)) for x in layouts(make)(rng))


def _hardtanh_rule(
    g: Any, _ans: Any, x: Any, *, min_val: float = -1.0, max_val: float = 1.0
) -> Any:
    return where(logical_and(greater(x, min_val), less(x, max_val)), g, 0.0)


hardtanh: Op = primitive(
    "hardtanh",
    lambda x, *, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
    lambda rng: (
        *_away_from(-1.0, 1.0)(rng),
        *_away_from(0.0, 6.0, min_val=0.0, max_val=6.0)(rng),
    ),
    _hardtanh_rule,
    real=True,
    doc="""Cut off below `min_val` and above `max_val`; the derivative at the bounds is 0.

    Example:
        >>> from tinygrad_course import ops
        >>> ops.hardtanh([-3.0, 0.5, 3.0])
        array([-1. ,  0.5,  1. ])
    """,
)


# ---- the normal distribution, and x times it -----------------------------------------------------

# The coefficients of W. J. Cody's rational approximations (Mathematics of Computation 23, 1969),
# highest power first. Their relative error is below 6e-19.
_ERF_TOP = (
    1.85777706184603153e-1,
    3.16112374387056560e00,
    1.13864154151050156e02,
    3.77485237685302021e02,
    3.20937758913846947e03,
)
_ERF_BOTTOM = (
    1.0,
    2.36012909523441209e01,
    2.44024637934444173e02,
    1.28261652607737228e03,
    2.84423683343917062e03,
)
_NEAR_TOP = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e00,
    6.61191906371416295e01,
    2.98635138197400131e02,
    8.81952221241769090e02,
    1.71204761263407058e03,
    2.05107837782607147e03,
    1.23033935479799725e03,
)
_NEAR_BOTTOM = (
    1.0,
    1.57449261107098347e01,
    1.17693950891312499e02,
    5.37181101862009858e02,
    1.62138957456669019e03,
    3.29079923573345963e03,
    4.36261909014324716e03,
    3.43936767414372164e03,
    1.23033935480374942e03,
)
_FAR_TOP = (
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
)
_FAR_BOTTOM = (
    1.0,
    2.56852019228982242e00,
    1.87295284992346047e00,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
)
_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)
_ROOT_PI_INVERSE = 1 / math.sqrt(math.pi)


def _ratio(x: Any, top: tuple[float, ...], bottom: tuple[float, ...]) -> Any:
    """Return the quotient of two polynomials, by Horner's rule."""
    above, below = top[0] * x, bottom[0] * x
    for a, b in zip(top[1:-1], bottom[1:-1], strict=True):
        above += a
        above *= x
        below += b
        below *= x
    return (above + top[-1]) / (below + bottom[-1])


@kernel
def _normal_cdf(x: Any) -> Any:
    """Return the probability of a standard normal number below x, exact in both tails."""
    shape = np.shape(x)
    z = np.atleast_1d(x) * _ROOT_HALF
    y = np.abs(z)
    half = y * y
    np.exp(np.negative(half, out=half), out=half)
    half *= 0.5
    # Half of erfc(y) = e**-y² erfcx(y). The approximation between the bounds serves everywhere at
    # first: below them it is right to 5e-12, which is all that float32 can see.
    tail = half * _ratio(np.minimum(y, 4.0), _NEAR_TOP, _NEAR_BOTTOM)
    far = y > 4.0
    if far.any():
        part = np.minimum(y[far], 1e4)
        inverse = 1 / (part * part)
        series = inverse * _ratio(inverse, _FAR_TOP, _FAR_BOTTOM)
        tail[far] = half[far] * (_ROOT_PI_INVERSE - series) / part
    ans = np.where(z < 0, tail, 1 - tail)
    if ans.dtype.itemsize > 4:
        small = y < 0.46875
        part = z[small]
        ans[small] = 0.5 + 0.5 * part * _ratio(part * part, _ERF_TOP, _ERF_BOTTOM)
    return ans.reshape(shape)


normal_cdf: Op = primitive(
    "normal_cdf",
    lambda x: _normal_cdf(x),  # noqa: PLW0108 - a row reads the names of its arguments
    reals(-4.0, 4.0),
    lambda g, _ans, x: g * (exp(x * x * -0.5) * _DENSITY),
    real=True,
    doc="""Return the probability Φ(x) of a standard normal number below x.

    The derivative is the density e**(-x²/2) / √(2π).

    Example:
        >>> from tinygrad_course import ops
        >>> ops.normal_cdf([0.0, 1.0]).round(4)
        array([0.5   , 0.8413])
    """,
)


def _gelu(x: Any) -> Any:
    below = _normal_cdf(x)
    return x * below, below


def _gelu_rule(g: Any, _ans: Any, x: Any, *, residuals: Any, wanted: Any) -> Any:  # noqa: ARG001
    return (g * (residuals + x * (np.exp(x * x * -0.5) * _DENSITY)),)


gelu: Op = primitive(
    "gelu",
    _gelu,
    reals(-4.0, 4.0),
    joint=_gelu_rule,
    formula=lambda x: x * normal_cdf(x),
    residuals=True,
    real=True,
    doc="""Weigh x by the probability of a normal number below it: ans = x Φ(x).

    Source: Hendrycks and Gimpel 2016.

    Example:
        >>> from tinygrad_course import ops
        >>> ops.gelu([-1.0, 0.0, 1.0]).round(4)
        array([-0.1587,  0.    ,  0.8413])
    """,
)

_GELU_SLOPE = math.sqrt(8 / math.pi)
_GELU_CUBE = 0.044715


def _gelu_argument(x: Any) -> Any:
    return x * (x * x * (_GELU_SLOPE * _GELU_CUBE) + _GELU_SLOPE)


def _gelu_tanh_rule(g: Any, ans: Any, x: Any) -> Any:
    s = sigmoid(_gelu_argument(x))
    return g * (s + ans * (1 - s) * (x * x * (3 * _GELU_SLOPE * _GELU_CUBE) + _GELU_SLOPE))


gelu_tanh: Op = primitive(
    "gelu_tanh",
    lambda x: x * sigmoid(_gelu_argument(x)),
    reals(-4.0, 4.0),
    _gelu_tanh_rule,
    real=True,
    doc="""Approximate `gelu`: ans = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.

    It is computed as x sigmoid(√(8/π) (x + 0.044715 x³)), which keeps the digits of the left tail.

    Example:
        >>> from tinygrad_course import ops
        >>> ops.gelu_tanh([-1.0, 0.0, 1.0]).round(4)
        array([-0.1588,  0.    ,  0.8412])
    """,
)


# ---- random slopes -------------------------------------------------------------------------------


def _random_uniform(
    *, generator: np.random.Generator, shape: tuple[int, ...], low: float, high: float, dtype: str
) -> Any:
    return generator.uniform(low, high, shape).astype(dtype)


random_uniform: Op = primitive(
    "random_uniform",
    _random_uniform,
    lambda rng: [
        ((), {"generator": rng, "shape": (2, 3), "low": 0.1, "high": 0.3, "dtype": "float32"})
    ],
    effect="draw",
    doc="""Draw numbers uniformly between `low` and `high`.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import ops
        >>> generator = np.random.default_rng(0)
        >>> ops.random_uniform(generator=generator, shape=(2,), low=0.0, high=0.0, dtype="f4")
        array([0., 0.], dtype=float32)
    """,
)

__all__ = [
    "elu",
    "gelu",
    "gelu_tanh",
    "hardtanh",
    "log_sigmoid",
    "normal_cdf",
    "random_uniform",
    "silu",
]
