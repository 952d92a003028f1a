"""SciPy's gamma and beta functions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.choices import where
from tinygrad_course.ops.constants import less
from tinygrad_course.ops.exponentials import exp
from tinygrad_course.ops.samples import nonzeros, pairs, reals, values
from tinygrad_course.ops.special_error import xlog1py, xlogy
from tinygrad_course.ops.special_rows import ordered_row, sc, ufunc_row
from tinygrad_course.ops.trigonometry import cos, sin
from tinygrad_course.primitive import Op, Sample, primitive


def _as_input(result: Any, x: Any) -> Any:
    """Return a result in the dtype of a floating input; SciPy's Python functions widen float32."""
    kind = np.asarray(x).dtype
    return np.asarray(result).astype(kind)[()] if kind.kind == "f" else np.asarray(result)[()]


# ---- digamma and its derivatives -------------------------------------------------------------


def _orders(rng: np.random.Generator) -> Iterator[Sample]:
    for n in (0, 1, 2, 3):
        yield (values(rng, (2, 3), 0.5, 3.0),), {"n": n}
    yield (values(rng, (3,), -0.8, -0.2),), {"n": 1}
    yield (values(rng, (2, 1), 0.5, 3.0),), {"n": np.array([0, 2])}


polygamma_of: Op = primitive(
    "special_polygamma",
    lambda x, *, n: _as_input(sc.polygamma(n, x), x),
    _orders,
    lambda g, _ans, x, *, n: g * polygamma_of(x, n=n + 1),
    real=True,
    doc="Return derivative n of digamma at x; its derivative is that of the next order.",
)

digamma: Op = ufunc_row(
    "psi",
    reals(0.3, 3.0),
    lambda g, _ans, x: g * polygamma_of(x, n=1),
    real=True,  # the derivative is
    doc="Return the derivative of log(gamma(x)): derivative polygamma(1, x).",
    example=("tc.special.digamma([1.0, 2.0]).round(3)", "array([-0.577,  0.423])"),
)

zeta_of: Op = primitive(
    "special_zeta",
    lambda q, *, x: sc.zeta(x, q),
    lambda rng: (((values(rng, (2, 3), 0.5, 3.0),), {"x": x}) for x in (2, 3.5)),
    lambda g, _ans, q, *, x: g * (-x * zeta_of(q, x=x + 1)),
    real=True,
    doc="Return Hurwitz' zeta function, the sum of (k + q)**-x: slope -x zeta(x + 1, q) to q.",
)

riemann_zeta: Op = primitive(
    "special_riemann_zeta",
    lambda x: sc.zeta(x),  # noqa: PLW0108 - SciPy's takes one more
    reals(1.5, 4.0),
    None,
    doc="Return Riemann's zeta function; a derivative is not known here, see special.zeta.",
)

# ---- gamma -----------------------------------------------------------------------------------

gamma: Op = ufunc_row(
    "gamma",
    lambda rng: (((np.where(x < 0, x % 1 - 1.5 - 0.1, x),), {}) for (x,), _ in nonzeros()(rng)),
    lambda g, ans, x: g * (ans * digamma(x)),
    real=True,
    doc="Return the gamma function: derivative gamma(x) digamma(x).",
    example=("tc.special.gamma([4.0, 0.5]).round(3)", "array([6.   , 1.772])"),
)

gammaln: Op = ufunc_row(
    "gammaln",
    reals(0.3, 3.0),
    lambda g, _ans, x: g * digamma(x),
    doc="Return log(|gamma(x)|): derivative digamma(x).",
    example=("tc.special.gammaln([1.0, 1000.0]).round(3)", "array([   0.  , 5905.22])"),
)

loggamma: Op = ufunc_row(
    "loggamma",
    reals(0.3, 3.0),
    lambda g, _ans, x: g * digamma(x),
    real=True,
    doc="Return log(gamma(x)): derivative digamma(x).",
    example=("tc.special.loggamma([1.0, 4.0]).round(3)", "array([0.   , 1.792])"),
)


def _rgamma_rule(g: Any, _ans: Any, x: Any) -> Any:
    # At 0, -1, -2, ... 1/gamma is 0 and digamma infinite: on the left their product is taken from
    # the reflection 1/gamma(x) = sin(πx) gamma(1-x) / π instead. Each side has a safe argument.
    left = less(x, 0.5)
    below, above = where(left, x, 0.0), where(left, 1.0, x)
    slope = cos(math.pi * below) - sin(math.pi * below) * digamma(1 - below) / math.pi
    return g * where(left, gamma(1 - below) * slope, -(rgamma(above) * digamma(above)))


rgamma: Op = ufunc_row(
    "rgamma",
    reals(-2.5, 3.0),
    _rgamma_rule,
    real=True,
    doc="Return 1 / gamma(x), 0 at 0, -1, -2, ...: derivative -digamma(x) / gamma(x).",
    example=("tc.special.rgamma([4.0, -1.0]).round(3)", "array([0.167, 0.   ])"),
)

gammasgn: Op = ufunc_row(
    "gammasgn",
    nonzeros(),
    None,
    doc="Return the sign of gamma(x); constant between the poles, so without derivative.",
)

multigammaln_of: Op = primitive(
    "special_multigammaln",
    lambda a, *, d: _as_input(sc.multigammaln(a, d), a),
    lambda rng: (
        ((values(rng, shape, 2.0, 4.0),), {"d": d}) for d in (1, 3) for shape in [(), (2,)]
    ),
    lambda g, _ans, a, *, d: g * sum(digamma(a - 0.5 * i) for i in range(d)),
    real=True,
    expects="numbers above (d - 1) / 2",
    doc="Return the logarithm of the multivariate gamma function of dimension d.",
)

# ---- beta ------------------------------------------------------------------------------------

beta: Op = ufunc_row(
    "beta",
    pairs(0.5, 3.0),
    lambda g, ans, a, b: g * (ans * (digamma(a) - digamma(a + b))),
    lambda g, ans, a, b: g * (ans * (digamma(b) - digamma(a + b))),
    doc="""Return gamma(a) gamma(b) / gamma(a + b).

    Derivatives ans (digamma(a) - digamma(a + b)) with respect to a, and so for b.""",
    example=("tc.special.beta([1.0, 2.0], 3.0).round(3)", "array([0.333, 0.083])"),
)

betaln: Op = ufunc_row(
    "betaln",
    pairs(0.5, 3.0),
    lambda g, _ans, a, b: g * (digamma(a) - digamma(a + b)),
    lambda g, _ans, a, b: g * (digamma(b) - digamma(a + b)),
    doc="Return log(|beta(a, b)|): derivatives digamma(a) - digamma(a + b), and so for b.",
    example=("tc.special.betaln([1.0, 2.0], 3.0).round(3)", "array([-1.099, -2.485])"),
)


def _beta_density(g: Any, _ans: Any, x: Any, *, a: Any, b: Any) -> Any:
    return g * exp(xlogy(a - 1, x) + xlog1py(b - 1, -x) - sc.betaln(a, b))


def _two_shapes(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(), (3,), (2, 3)]:
        yield (values(rng, shape, 0.1, 0.9),), {"a": 2.0, "b": 3.5}
    yield (values(rng, (2, 1), 0.1, 0.9),), {"a": np.array([0.5, 1.0, 2.5]), "b": 1.0}


betainc_of: Op = ordered_row("betainc", "ab", _two_shapes, _beta_density)


def _gamma_density(x: Any, a: Any) -> Any:
    return exp(xlogy(a - 1, x) - x - sc.gammaln(a))


def _shapes(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(), (3,), (2, 3)]:
        yield (values(rng, shape, 0.2, 4.0),), {"a": np.array(2.5)}
    yield (values(rng, (2, 1), 0.2, 4.0),), {"a": np.array([0.5, 1.0, 3.0])}


gammainc_of: Op = ordered_row(
    "gammainc", "a", _shapes, lambda g, _ans, x, *, a: g * _gamma_density(x, a)
)
gammaincc_of: Op = ordered_row(
    "gammaincc", "a", _shapes, lambda g, _ans, x, *, a: -(g * _gamma_density(x, a))
)

__all__ = [
    "beta",
    "betainc_of",
    "betaln",
    "digamma",
    "gamma",
    "gammainc_of",
    "gammaincc_of",
    "gammaln",
    "gammasgn",
    "loggamma",
    "multigammaln_of",
    "polygamma_of",
    "rgamma",
    "riemann_zeta",
    "zeta_of",
]
