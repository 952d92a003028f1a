"""SciPy's Bessel functions: each derivative is made of neighbouring orders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.constants import sign_of
from tinygrad_course.ops.samples import nonzeros, reals, values
from tinygrad_course.ops.special_rows import ordered_row, ufunc_row
from tinygrad_course.primitive import Op, Sample, Samples


def _orders(low: float, high: float, *orders: float) -> Samples:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for v in orders:
            yield (values(rng, (2, 3), low, high),), {"v": v}
        yield (values(rng, (2, 1), low, high),), {"v": np.array([0.0, 1.0, 2.0])}

    return samples


def _whole(low: float, high: float) -> Samples:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for n in (0.0, 1.0, 3.0):  # with an int SciPy computes in float64
            yield (values(rng, (2, 3), low, high),), {"n": n}

    return samples


# ---- first and second kind: J' = (J[v-1] - J[v+1]) / 2, and so for Y -------------------------

jv_of: Op = ordered_row(
    "jv",
    "v",
    _orders(0.5, 5.0, 0, 1, 2, 1.5),
    lambda g, _ans, x, *, v: g * ((jv_of(x, v=v - 1) - jv_of(x, v=v + 1)) * 0.5),
)

j0: Op = ufunc_row(
    "j0",
    reals(-5.0, 5.0),
    lambda g, _ans, x: -(g * j1(x)),
    doc="Return the Bessel function of the first kind of order 0: derivative -j1(x).",
    example=("tc.special.j0([0.0, 1.0]).round(3)", "array([1.   , 0.765])"),
)

j1: Op = ufunc_row(
    "j1",
    reals(-5.0, 5.0),
    lambda g, _ans, x: g * ((j0(x) - jv_of(x, v=2)) * 0.5),
    doc="Return the Bessel function of the first kind of order 1: derivative (j0 - jv(2, x)) / 2.",
    example=("tc.special.j1([0.0, 1.0]).round(3)", "array([0.  , 0.44])"),
)

yv_of: Op = ordered_row(
    "yv",
    "v",
    _orders(0.5, 5.0, 0, 1, 2, 1.5),
    lambda g, _ans, x, *, v: g * ((yv_of(x, v=v - 1) - yv_of(x, v=v + 1)) * 0.5),
)

yn_of: Op = ordered_row(
    "yn",
    "n",
    _whole(0.5, 5.0),
    lambda g, _ans, x, *, n: g * ((yn_of(x, n=n - 1) - yn_of(x, n=n + 1)) * 0.5),
)

y0: Op = ufunc_row(
    "y0",
    reals(0.5, 5.0),
    lambda g, _ans, x: -(g * y1(x)),
    doc="Return the Bessel function of the second kind of order 0: derivative -y1(x).",
    example=("tc.special.y0([1.0, 2.0]).round(3)", "array([0.088, 0.51 ])"),
)

y1: Op = ufunc_row(
    "y1",
    reals(0.5, 5.0),
    lambda g, _ans, x: g * ((y0(x) - yv_of(x, v=2)) * 0.5),
    doc="Return the Bessel function of the second kind of order 1: derivative (y0 - yv(2, x)) / 2.",
    example=("tc.special.y1([1.0, 2.0]).round(3)", "array([-0.781, -0.107])"),
)

# ---- modified, first kind: I' = (I[v-1] + I[v+1]) / 2 ----------------------------------------

iv_of: Op = ordered_row(
    "iv",
    "v",
    _orders(0.5, 3.0, 0, 1, 2, 1.5),
    lambda g, _ans, x, *, v: g * ((iv_of(x, v=v - 1) + iv_of(x, v=v + 1)) * 0.5),
)

modified_i0: Op = ufunc_row(
    "i0",
    reals(-3.0, 3.0),
    lambda g, _ans, x: g * i1(x),
    doc="Return the modified Bessel function of the first kind of order 0: derivative i1(x).",
    example=("tc.special.i0([0.0, 1.0]).round(3)", "array([1.   , 1.266])"),
)

i1: Op = ufunc_row(
    "i1",
    reals(-3.0, 3.0),
    lambda g, _ans, x: g * ((modified_i0(x) + iv_of(x, v=2)) * 0.5),
    doc="Return the modified Bessel function of order 1: derivative (i0 + iv(2, x)) / 2.",
    example=("tc.special.i1([0.0, 1.0]).round(3)", "array([0.   , 0.565])"),
)

# ---- the same times e**-|x|, whose slope is -sign(x), and 0 at 0 -----------------------------


def _scaled_rule(g: Any, ans: Any, x: Any, *, v: Any) -> Any:
    return g * ((ive_of(x, v=v - 1) + ive_of(x, v=v + 1)) * 0.5 - sign_of(x) * ans)


ive_of: Op = ordered_row("ive", "v", _orders(0.5, 3.0, 0, 1, 2, 1.5), _scaled_rule, real=True)

i0e: Op = ufunc_row(
    "i0e",
    nonzeros(),
    lambda g, ans, x: g * (i1e(x) - sign_of(x) * ans),
    doc="Return e**-|x| i0(x): derivative i1e(x) - sign(x) i0e(x).",
    example=("tc.special.i0e([0.0, 1.0]).round(3)", "array([1.   , 0.466])"),
)

i1e: Op = ufunc_row(
    "i1e",
    nonzeros(),
    lambda g, ans, x: g * ((i0e(x) + ive_of(x, v=2)) * 0.5 - sign_of(x) * ans),
    doc="Return e**-|x| i1(x): derivative (i0e + ive(2, x)) / 2 - sign(x) i1e(x).",
    example=("tc.special.i1e([0.0, 1.0]).round(3)", "array([0.   , 0.208])"),
)

# ---- modified, second kind: K' = -(K[v-1] + K[v+1]) / 2 --------------------------------------

kv_of: Op = ordered_row(
    "kv",
    "v",
    _orders(0.5, 3.0, 0, 1, 2, 1.5),
    lambda g, _ans, x, *, v: -(g * ((kv_of(x, v=v - 1) + kv_of(x, v=v + 1)) * 0.5)),
)

kve_of: Op = ordered_row(
    "kve",
    "v",
    _orders(0.5, 3.0, 0, 1, 2, 1.5),
    lambda g, ans, x, *, v: g * (ans - (kve_of(x, v=v - 1) + kve_of(x, v=v + 1)) * 0.5),
)

kn_of: Op = ordered_row(
    "kn",
    "n",
    _whole(0.5, 3.0),
    lambda g, _ans, x, *, n: -(g * ((kn_of(x, n=abs(n - 1)) + kn_of(x, n=n + 1)) * 0.5)),
)

k0: Op = ufunc_row(
    "k0",
    reals(0.5, 3.0),
    lambda g, _ans, x: -(g * k1(x)),
    doc="Return the modified Bessel function of the second kind of order 0: derivative -k1(x).",
    example=("tc.special.k0([1.0, 2.0]).round(3)", "array([0.421, 0.114])"),
)

k1: Op = ufunc_row(
    "k1",
    reals(0.5, 3.0),
    lambda g, _ans, x: -(g * ((k0(x) + kv_of(x, v=2)) * 0.5)),
    doc="Return the modified Bessel function of order 1: derivative -(k0 + kv(2, x)) / 2.",
    example=("tc.special.k1([1.0, 2.0]).round(3)", "array([0.602, 0.14 ])"),
)

__all__ = [
    "i0e",
    "i1",
    "i1e",
    "iv_of",
    "ive_of",
    "j0",
    "j1",
    "jv_of",
    "k0",
    "k1",
    "kn_of",
    "kv_of",
    "kve_of",
    "modified_i0",
    "y0",
    "y1",
    "yn_of",
    "yv_of",
]
