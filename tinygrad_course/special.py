"""SciPy's special functions on Tensors: error functions, gamma, Bessel functions, entropies.

SciPy's own ufuncs record when they meet a Tensor: ``scipy.special.erf(t)`` and
``tinygrad_course.special.erf(t)`` are the same. Those that SciPy writes in Python (logsumexp,
softmax, polygamma, ...) do not ask their arguments; here are functions of the same name and
signature that record. Orders and shape parameters (the v of jv, the a of gammainc) are constants.

This module needs SciPy and is imported when it is first used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import UnsupportedFunctionError
from tinygrad_course.functions.words import implements
from tinygrad_course.graph import Value
from tinygrad_course.ops import special_bessel as bessel
from tinygrad_course.ops import special_gamma as gammas
from tinygrad_course.ops.special_bessel import i0e, i1, i1e, j0, j1, k0, k1, y0, y1
from tinygrad_course.ops.special_bessel import modified_i0 as i0
from tinygrad_course.ops.special_error import (
    cbrt,
    cosm1,
    dawsn,
    entr,
    erf,
    erfc,
    erfcinv,
    erfcx,
    erfi,
    erfinv,
    exp1,
    exp2,
    exp10,
    expi,
    expit,
    expm1,
    kl_div,
    log_expit,
    log_ndtr,
    logit,
    ndtr,
    ndtri,
    rel_entr,
    xlog1py,
    xlogy,
)
from tinygrad_course.ops.special_error import scipy_log1p as log1p
from tinygrad_course.ops.special_error import scipy_round as round  # noqa: A004 - SciPy's name
from tinygrad_course.ops.special_gamma import (
    beta,
    betaln,
    digamma,
    gamma,
    gammaln,
    gammasgn,
    loggamma,
    rgamma,
)
from tinygrad_course.ops.special_rows import sc

psi = digamma
softplus = ops.softplus
sinc = functions.sinc

# ---- orders and shape parameters first, as SciPy has them ------------------------------------


@implements(sc.jv)
def jv(v: Any, x: Any) -> Any:
    """Return the Bessel function of the first kind of order v: derivative (J[v-1] - J[v+1]) / 2.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.jv(2, [0.0, 1.0]).round(3)
        array([0.   , 0.115])
    """
    return bessel.jv_of(x, v=v)


jn = jv


@implements(sc.yv)
def yv(v: Any, x: Any) -> Any:
    """Return the Bessel function of the second kind of order v: derivative (Y[v-1] - Y[v+1]) / 2.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.yv(2, [1.0, 2.0]).round(3)
        array([-1.651, -0.617])
    """
    return bessel.yv_of(x, v=v)


@implements(sc.yn)
def yn(n: Any, x: Any) -> Any:
    """Return the Bessel function of the second kind of whole order n, as `yv`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.yn(2, [1.0, 2.0]).round(3)
        array([-1.651, -0.617])
    """
    return bessel.yn_of(x, n=n)


@implements(sc.iv)
def iv(v: Any, x: Any) -> Any:
    """Return the modified Bessel function of order v: derivative (I[v-1] + I[v+1]) / 2.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.iv(2, [0.0, 1.0]).round(3)
        array([0.   , 0.136])
    """
    return bessel.iv_of(x, v=v)


@implements(sc.ive)
def ive(v: Any, x: Any) -> Any:
    """Return iv times e**-|x|: derivative (Ie[v-1] + Ie[v+1]) / 2 - sign(x) Ie[v].

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.ive(2, [0.0, 1.0]).round(3)
        array([0.  , 0.05])
    """
    return bessel.ive_of(x, v=v)


@implements(sc.kv)
def kv(v: Any, x: Any) -> Any:
    """Return the modified Bessel function of the second kind: derivative -(K[v-1] + K[v+1]) / 2.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.kv(2, [1.0, 2.0]).round(3)
        array([1.625, 0.254])
    """
    return bessel.kv_of(x, v=v)


@implements(sc.kve)
def kve(v: Any, x: Any) -> Any:
    """Return kv times e**x: derivative Ke[v] - (Ke[v-1] + Ke[v+1]) / 2.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.kve(2, [1.0, 2.0]).round(3)
        array([4.417, 1.875])
    """
    return bessel.kve_of(x, v=v)


@implements(sc.kn)
def kn(n: Any, x: Any) -> Any:
    """Return the modified Bessel function of the second kind of whole order n, as `kv`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.kn(2, [1.0, 2.0]).round(3)
        array([1.625, 0.254])
    """
    return bessel.kn_of(x, n=n)


@implements(sc.betainc)
def betainc(a: Any, b: Any, x: Any) -> Any:
    """Return the regularized incomplete beta function: derivative x**(a-1) (1-x)**(b-1) / B(a, b).

    The derivatives with respect to a and b have no closed form; they are constants here.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.betainc(2.0, 3.0, [0.0, 0.5]).round(4)
        array([0.    , 0.6875])
    """
    return gammas.betainc_of(x, a=a, b=b)


@implements(sc.gammainc)
def gammainc(a: Any, x: Any) -> Any:
    """Return the regularized lower incomplete gamma function: slope x**(a-1) e**-x / gamma(a).

    The derivative with respect to a has no closed form; it is a constant here.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.gammainc(2.0, [0.0, 1.0]).round(3)
        array([0.   , 0.264])
    """
    return gammas.gammainc_of(x, a=a)


@implements(sc.gammaincc)
def gammaincc(a: Any, x: Any) -> Any:
    """Return 1 - gammainc(a, x), exact in its tail: derivative -x**(a-1) e**-x / gamma(a).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.gammaincc(2.0, [0.0, 1.0]).round(3)
        array([1.   , 0.736])
    """
    return gammas.gammaincc_of(x, a=a)


# ---- what SciPy writes in Python -------------------------------------------------------------


def polygamma(n: Any, x: Any) -> Any:
    """Return derivative n of digamma, whose slope is derivative n + 1; float32 stays float32.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.polygamma(1, tc.Tensor([1.0])).data.round(3)
        array([1.645])
    """
    return gammas.polygamma_of(x, n=n)


def multigammaln(a: Any, d: int) -> Any:
    """Return the logarithm of the gamma function of d dimensions: slope Σ digamma(a - i/2), i < d.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.multigammaln(tc.Tensor([2.0]), 2).data.round(3)
        array([0.452])
    """
    return gammas.multigammaln_of(a, d=int(d))


def zeta(x: Any, q: Any = None) -> Any:
    """Return Hurwitz' zeta function, the sum of (k + q)**-x over k: slope -x times that of x + 1.

    Without q it is Riemann's, whose derivative has no closed form.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.zeta(2.0, tc.Tensor([1.0])).data.round(3)
        array([1.645])
    """
    if q is not None:
        return gammas.zeta_of(q, x=x)
    if isinstance(x, Value) and x._needs:
        raise UnsupportedFunctionError(
            "zeta: Riemann's zeta function has no derivative here; pass x detached (.detach())"
        )
    return gammas.riemann_zeta(x)


def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """Return log(sum(b e**a)) over `axis`, shifted by the maximum so that nothing overflows.

    With `return_sign` the sum may be negative: the results are log(|sum|) and the sum's sign, which
    has no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.logsumexp(tc.Tensor([1000.0, 1000.0]), b=[1.0, 3.0])
        Tensor(1001.38629436)
    """
    if b is None and not return_sign:
        return functions.logsumexp(a, axis, keepdims=keepdims)
    b = 1.0 if b is None else b
    exponents, factors = np.broadcast_arrays(
        *(v._data if isinstance(v, Value) else v for v in (a, b))
    )
    # Where the factor is 0 nothing is added: such an exponent neither counts as the largest, nor
    # may it overflow.
    silent = factors == 0
    top = np.max(np.where(silent, -np.inf, exponents), axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(exponents.dtype, copy=False)
    terms = ops.multiply(b, ops.exp(ops.where(silent, -np.inf, ops.subtract(a, top))))
    total = functions.sum(terms, axis=axis, keepdims=keepdims)
    shift = top if keepdims else top.reshape(np.shape(total))
    if return_sign:
        return ops.add(ops.log(ops.abs(total)), shift), functions.sign(total)
    return ops.add(ops.log(total), shift)


def softmax(x: Any, axis: Any = None) -> Any:
    """Return e**x / sum(e**x), over all axes unless `axis` is given; nothing overflows.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.softmax(tc.Tensor([1e4, 1e4]))
        Tensor([0.5, 0.5])
    """
    return functions.softmax(x, axis)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """Return log(softmax(x)) without losing digits, over all axes unless `axis` is given.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.special.log_softmax(tc.Tensor([0.0, 1e4]))
        Tensor([-10000.,      0.])
    """
    return functions.log_softmax(x, axis)


__all__ = [
    "beta",
    "betainc",
    "betaln",
    "cbrt",
    "cosm1",
    "dawsn",
    "digamma",
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
    "gamma",
    "gammainc",
    "gammaincc",
    "gammaln",
    "gammasgn",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "iv",
    "ive",
    "j0",
    "j1",
    "jn",
    "jv",
    "k0",
    "k1",
    "kl_div",
    "kn",
    "kv",
    "kve",
    "log1p",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "loggamma",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "rel_entr",
    "rgamma",
    "round",
    "sinc",
    "softmax",
    "softplus",
    "xlog1py",
    "xlogy",
    "y0",
    "y1",
    "yn",
    "yv",
    "zeta",
]
