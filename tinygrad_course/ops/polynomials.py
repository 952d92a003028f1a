"""Sequences as polynomials: convolution, and what NumPy computes from coefficients.

Coefficients stand with the highest power first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.errors import ShapeError
from tinygrad_course.ops.complexes import conjugate
from tinygrad_course.ops.joining import concatenate_all, stack_all
from tinygrad_course.ops.samples import listed, values
from tinygrad_course.ops.shaping import flip, reshape
from tinygrad_course.primitive import Op, Sample, primitive


def _flat(x: Any) -> Any:
    return reshape(x, shape=(-1,))


def _widened(g: Any, m: int, n: int, mode: str, *, mirrored: bool = False) -> Any:
    """Return the gradient of the full sequence of m + n - 1 of which `mode` keeps a part."""
    short = min(m, n)
    before = {"f": 0, "s": (short - 1) // 2, "v": short - 1}[mode.lower()[0]]
    if mirrored:  # NumPy turns the result around where the second sequence is the longer one
        before = m + n - 1 - g.shape[0] - before
    after = m + n - 1 - g.shape[0] - before
    return concatenate_all(np.zeros(before, g.dtype), g, np.zeros(after, g.dtype), axis=0)


def _convolve_rule(g: Any, x: Any, other: Any, mode: str, *, mirrored: bool = False) -> Any:
    wide = _widened(g, np.size(x), np.size(other), mode, mirrored=mirrored)
    piece = convolve(wide, flip(_flat(other)), mode="valid")
    return reshape(piece, shape=np.shape(x))


_SEQUENCES = [
    (((5,), (3,)), {}),
    (((3,), (5,)), {}),
    (((4,), (2,)), {"mode": "full"}),
    (((5,), (3,)), {"mode": "same"}),
    (((5,), (4,)), {"mode": "same"}),
    (((4,), (5,)), {"mode": "same"}),
    (((3,), (3,)), {"mode": "same"}),
    (((5,), (3,)), {"mode": "valid"}),
    (((2,), (5,)), {"mode": "valid"}),
    (((1,), (1,)), {"mode": "valid"}),
]

convolve: Op = primitive(
    "convolve",
    lambda a, v, *, mode="full": np.convolve(a, v, mode),
    listed(*_SEQUENCES, (((), (3,)), {}), (((2,), ()), {"mode": "same"})),
    lambda g, _ans, a, v, *, mode="full": _convolve_rule(g, a, v, mode),
    lambda g, _ans, a, v, *, mode="full": _convolve_rule(g, v, a, mode),
    numpy=(np.convolve,),
    expects="two sequences with at least one element each",
    doc="""Convolve two sequences: ans[k] = sum of a[i] v[k - i] over i.

    `mode` keeps the full result, the middle that is as long as the longer sequence ("same"), or
    the part where both overlap completely ("valid").

    Example:
        >>> import tinygrad_course as tc
        >>> tc.convolve(tc.Tensor([1.0, 2.0, 3.0]), [1.0, -1.0])
        Tensor([ 1.,  1.,  1., -3.])
    """,
)


def _correlate_left(g: Any, _ans: Any, a: Any, v: Any, *, mode: str = "valid") -> Any:
    mirrored = np.size(v) > np.size(a)
    wanted = flip(conjugate(_flat(v)))  # correlating is convolving with this
    return _convolve_rule(g, a, wanted, mode, mirrored=mirrored)


def _correlate_right(g: Any, _ans: Any, a: Any, v: Any, *, mode: str = "valid") -> Any:
    mirrored = np.size(v) > np.size(a)
    piece = _convolve_rule(g, _flat(v), a, mode, mirrored=mirrored)
    return reshape(conjugate(flip(piece)), shape=np.shape(v))


correlate: Op = primitive(
    "correlate",
    lambda a, v, *, mode="valid": np.correlate(a, v, mode),
    listed(*_SEQUENCES, (((4,), (5,)), {"mode": "full"}), (((2,), (4,)), {"mode": "same"})),
    _correlate_left,
    _correlate_right,
    numpy=(np.correlate,),
    expects="two sequences with at least one element each",
    doc="""Correlate two sequences: ans[k] = sum of a[n + k] conj(v[n]) over n.

    `mode` is as in `convolve`.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.correlate(tc.Tensor([1.0, 2.0, 3.0]), [1.0, -1.0])
        Tensor([-1., -1.])
    """,
)


# ---- polynomials, highest power first --------------------------------------------------------


def _coefficients_rule(g: Any, x: Any, count: int) -> Any:
    """Sum g times each power of x, the highest first: the derivative for the coefficients."""
    if not count:
        return _flat(g)[:0]
    return stack_all(*[(g * x**k).sum() for k in reversed(range(count))], axis=0)


def _polyval(p: Any, x: Any) -> Any:
    if p.ndim > 1:
        raise ShapeError(f"polyval: got coefficients of shape {p.shape}, expected a vector")
    return np.polyval(p, x)


def _derived(p: Any) -> Any:
    return p[:-1] * np.arange(p.shape[0] - 1, 0, -1).astype(p.dtype)


polyval: Op = primitive(
    "polyval",
    _polyval,
    listed(
        (((3,), ()), {}),
        (((4,), (3,)), {}),
        (((2,), (2, 3)), {}),
        (((1,), (2,)), {}),
        (((3,), (0,)), {}),
    ),
    lambda g, _ans, p, x: _coefficients_rule(g, x, p.shape[0]),
    lambda g, _ans, p, x: g * polyval(_derived(p), x),
    numpy=(np.polyval,),
    expects="coefficients as a vector, highest power first",
    doc="""Evaluate a polynomial at x: p[0] x**(n-1) + ... + p[n-1].

    Derivatives: for x the derived polynomial, for the coefficients the powers of x.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.polyval(tc.Tensor([1.0, 0.0, -1.0]), 3.0)
        Tensor(8.)
    """,
)


def _lowest(g: Any, p: Any) -> Any:
    """Return the part of g that belongs to the coefficients p, which are the lowest powers."""
    return reshape(g[g.shape[0] - np.size(p) :], shape=np.shape(p))


_POLYNOMIALS = listed((((3,), (3,)), {}), (((2,), (4,)), {}), (((4,), (1,)), {}))

polyadd: Op = primitive(
    "polyadd",
    lambda a1, a2: np.polyadd(a1, a2),  # noqa: PLW0108 - so that its two arguments are seen
    _POLYNOMIALS,
    lambda g, _ans, a, _b: _lowest(g, a),
    lambda g, _ans, _a, b: _lowest(g, b),
    numpy=(np.polyadd,),
    doc="""Add two polynomials, aligned at the constant coefficient.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.polyadd(tc.Tensor([1.0, 2.0, 3.0]), [10.0])
        Tensor([ 1.,  2., 13.])
    """,
)

polysub: Op = primitive(
    "polysub",
    lambda a1, a2: np.polysub(a1, a2),  # noqa: PLW0108 - the same
    _POLYNOMIALS,
    lambda g, _ans, a, _b: _lowest(g, a),
    lambda g, _ans, _a, b: -_lowest(g, b),
    numpy=(np.polysub,),
    doc="""Subtract two polynomials, aligned at the constant coefficient.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.polysub(tc.Tensor([1.0, 2.0, 3.0]), [10.0])
        Tensor([ 1.,  2., -7.])
    """,
)


def _polymul_rule(g: Any, x: Any, other: Any) -> Any:
    count = max(np.size(x) + np.size(other) - 1, 0)
    # Leading coefficients of 0 are not in NumPy's result, but they have a derivative.
    g = concatenate_all(np.zeros(count - g.shape[0], g.dtype), g, axis=0)
    return _convolve_rule(g, x, other, "full")


polymul: Op = primitive(
    "polymul",
    lambda a1, a2: np.polymul(a1, a2),  # noqa: PLW0108 - the same
    _POLYNOMIALS,
    lambda g, _ans, a, b: _polymul_rule(g, a, b),
    lambda g, _ans, a, b: _polymul_rule(g, b, a),
    numpy=(np.polymul,),
    doc="""Multiply two polynomials; leading coefficients of 0 are dropped, as NumPy does.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.polymul(tc.Tensor([1.0, 1.0]), [1.0, -1.0])
        Tensor([ 1.,  0., -1.])
    """,
)


def _roots_rule(g: Any, ans: Any, p: Any) -> Any:
    # p(r) = 0 stays so: p'(r) dr + dp(r) = 0.
    weights = -g / polyval(_derived(p), ans)
    return _coefficients_rule(weights, ans, p.shape[0])


def _with_roots(rng: np.random.Generator) -> Iterator[Sample]:
    for size in (1, 2, 3, 4):  # real roots: complex ones would not stay floats
        yield (np.poly(values(rng, (size,), -2, 2)),), {}


roots: Op = primitive(
    "roots",
    np.roots,
    _with_roots,
    _roots_rule,
    numpy=(np.roots,),
    expects="coefficients as a vector, highest power first",
    doc="""Return the roots of a polynomial: dr = -dp(r) / p'(r), infinite at a multiple root.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.roots(tc.Tensor([1.0, -3.0, 2.0]))
        Tensor([2., 1.])
    """,
)


__all__ = [
    "convolve",
    "correlate",
    "polyadd",
    "polymul",
    "polysub",
    "polyval",
    "roots",
]
