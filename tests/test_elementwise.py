"""Elementwise functions: NumPy's values bit for bit, and derivatives where they are a choice."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_course as tc
from tinygrad_course import Tensor
from tinygrad_course.errors import ArgumentError, DtypeError, ShapeError, UnsupportedFunctionError
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES
from tinygrad_course.protocols import lookup

INF, NAN, PI = math.inf, math.nan, math.pi


def leaf(data, dtype=float):
    return Tensor(np.array(data, dtype=dtype), requires_grad=True)


def slopes(function, *points, dtype=float):
    """Return the gradients of the summed result, one per point."""
    with np.errstate(all="ignore"):
        leaves = [leaf(p, dtype) for p in points]
        out = function(*leaves)
        found = tc.gradients(out, leaves, np.ones(out.shape))
    return [np.zeros(x.shape) if g is None else g for g, x in zip(found, leaves, strict=True)]


def derivatives(function, point, count):
    """Return the derivatives of orders 0 to count of a function of one number."""
    x = leaf(point)
    with np.errstate(all="ignore"):
        found = [function(x)]
        for _ in range(count):
            g = tc.gradients(found[-1], x, create_graph=True) if found[-1].requires_grad else None
            found.append(Tensor(0.0) if g is None else g)
    return [float(f.data) for f in found]


# ---- every ufunc of NumPy --------------------------------------------------------------------

UFUNCS = sorted(
    {f for f in vars(np).values() if isinstance(f, np.ufunc) and f.signature is None},
    key=lambda f: f.__name__,
)


def test_every_ufunc_records_or_is_refused():
    """Every elementwise ufunc of NumPy has a row, except the one for dates."""
    assert [f.__name__ for f in UFUNCS if lookup(f) is None] == ["isnat"]
    with pytest.raises(UnsupportedFunctionError, match=r"np\.isnat .*dates"):
        np.isnat(Tensor([1.0]))


WHOLE = {f for f in UFUNCS if "d" not in "".join(f.types)}
WITHOUT = WHOLE | {
    *(np.ceil, np.floor, np.floor_divide, np.rint, np.sign, np.signbit, np.spacing, np.trunc),
    *(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal),
    *(np.logical_and, np.logical_or, np.logical_xor, np.logical_not),
    *(np.isfinite, np.isinf, np.isnan),
}


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
def test_what_requires_grad(ufunc):
    """A result requires grad exactly if the ufunc has a derivative with respect to an input."""
    if ufunc is np.isnat:
        return
    if ufunc is np.ldexp:
        out = np.ldexp(leaf([0.25, 0.5]), 2)
    elif ufunc in WHOLE:
        out = ufunc(*[Tensor(np.array([2, 3]))] * ufunc.nin)
    else:
        start = 1.0 if ufunc is np.arccosh else 0.25
        out = ufunc(*[leaf([start, 0.5 + start])] * ufunc.nin)
    first = out[0] if isinstance(out, tuple) else out
    expected = ufunc not in WITHOUT
    if ufunc is np.divmod:
        assert (out[0].requires_grad, out[1].requires_grad) == (False, True)
    elif ufunc in (np.modf, np.frexp):
        assert (out[0].requires_grad, out[1].requires_grad) == (True, False)
    else:
        assert first.requires_grad == expected


AWKWARD = {
    "float64": [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-320, 1e300, -1e300, INF, -INF, NAN],
    "float32": [0.0, -0.0, 1.0, -1.5, 2.5, 1e-42, 3e38, -3e38, INF, -INF, NAN],
    "float16": [0.0, -0.0, 1.0, -1.5, 6e-8, 65504.0, INF, NAN],
    "complex128": [0, 1, -1, 1j, -1j, 0.5 - 2j, -3 + 0.25j, 1e200 + 1e200j, complex(INF, NAN)],
    "complex64": [0, 1, -1, 1j, 0.5 - 2j, -3 + 0.25j],
    "int64": [0, 1, 2, 3, 7, 62],
    "int8": [0, 1, 2, 5, 7],
    "uint8": [0, 1, 2, 7],
    "bool": [False, True],
}


@pytest.mark.parametrize("dtype", AWKWARD)
@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
def test_values_and_dtypes_are_numpys(ufunc, dtype):
    """Over zeros, infinities, subnormals, nan and every dtype a Tensor gives NumPy's own bits."""
    if ufunc is np.isnat:
        return
    x = np.array(AWKWARD[dtype], dtype)
    inputs = (x,) if ufunc.nin == 1 else (x[:, None], x)
    with np.errstate(all="ignore"):
        try:
            expected = ufunc(*inputs)
        except TypeError:
            with pytest.raises(TypeError):
                ufunc(*map(Tensor, inputs))
            return
        found = ufunc(*map(Tensor, inputs))
    several = isinstance(expected, tuple)
    pairs = zip(found, expected, strict=True) if several else [(found, expected)]
    for ours, theirs in pairs:
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours.data, theirs)
        if theirs.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(ours.data), np.signbit(theirs))


NUMBERS = st.floats(-1e3, 1e3) | st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 0.5])
BINARY = [f for f in UFUNCS if f.nin == 2 and "dd->d" in f.types and f is not np.float_power]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3))
def test_broadcasting_pairs(data, shapes):
    """Inputs of any broadcasting shapes give NumPy's values, and gradients of their own shapes."""
    x, y = (data.draw(hnp.arrays(float, shape, elements=NUMBERS)) for shape in shapes.input_shapes)
    ufunc = data.draw(st.sampled_from(BINARY))
    a, b = leaf(x), leaf(y)
    with np.errstate(all="ignore"):
        out, expected = ufunc(a, b), ufunc(x, y)
        np.testing.assert_array_equal(out.data, expected)
        if out.requires_grad:
            out.backward(np.ones(out.shape))
            spread = slopes(ufunc, *np.broadcast_arrays(x, y))
    for t, g in zip((a, b), spread if out.requires_grad else (), strict=False):
        if t.grad is not None:
            assert t.grad.shape == t.shape
            if np.all(np.isfinite(g)):
                total = g.sum(axis=tuple(range(g.ndim - t.ndim)))
                axes = tuple(i for i, n in enumerate(t.shape) if n == 1)
                total = total.sum(axis=axes, keepdims=True)
                np.testing.assert_allclose(t.grad, total, rtol=1e-9, atol=1e-9 * np.abs(g).sum())


# ---- special places, first order -------------------------------------------------------------

CHOICES = {
    # name: (function, points, one gradient per point)
    "power: x**y at x = 0": (
        lambda x: np.power(x, np.array([0.0, 1.0, 2.0, 0.5, 3.0])),
        [np.zeros(5)],
        [[0, 1, 0, INF, 0]],
    ),
    "power: Python exponents": (lambda x: x**0 + x**1 + x**2 + x**3, [[0.0, 2.0]], [[1, 17]]),
    "power: 0**y": (lambda y: np.power(0.0, y), [[0.0, 1.0, 2.5]], [[0, 0, 0]]),
    "power: 0**y, y < 0": (lambda y: np.power(0.0, y), [[-1.0]], [[-INF]]),
    "power: tiny base, y = 0": (lambda x: np.power(x, np.zeros(1)), [[1e-320]], [[0]]),
    "power: negative base": (np.power, [[-2.0, -2.0], [3.0, 2.0]], [[12, -4], [NAN, NAN]]),
    "power: whole base": (lambda y: np.power(2, y), [[0.0, 3.0]], [np.log(2) * np.array([1, 8])]),
    "power: base 0 and 1": (lambda y: np.power([0, 1], y), [[2.0, 5.0]], [[0, 0]]),
    "float_power at 0": (lambda x: np.float_power(x, [0, 1, 2]), [[0.0, 0.0, 0.0]], [[0, 1, 0]]),
    "sqrt": (np.sqrt, [[0.0, 0.25]], [[INF, 1]]),
    "cbrt": (np.cbrt, [[0.0, -8.0]], [[INF, 1 / 12]]),
    "reciprocal": (np.reciprocal, [[0.5, -2.0]], [[-4, -0.25]]),
    "abs": (np.abs, [[-2.0, 0.0, -0.0, 3.0]], [[-1, 0, 0, 1]]),
    "fabs": (np.fabs, [[-2.0, 0.0, -0.0, 3.0]], [[-1, 0, 0, 1]]),
    "copysign": (np.copysign, [[2.0, -2.0, 0.0, 3.0], [-1.0, -1.0, -1.0, -0.0]], [[-1, 1, 0, -1]]),
    "hypot": (
        np.hypot,
        [[0.0, 3.0, 1e200, 1e-200], [0.0, 4.0, 1e200, 0.0]],
        [[0, 0.6, 0.5**0.5, 1], [0, 0.8, 0.5**0.5, 0]],
    ),
    "arctan2": (
        np.arctan2,
        [[0.0, 1.0, 0.0, 2e-200], [0.0, 0.0, -2.0, 0.0]],
        [[0, 0, -0.5, 0], [0, -1, 0, -5e199]],
    ),
    "arcsin": (np.arcsin, [[0.0, 1.0, -1.0]], [[1, INF, INF]]),
    "arccos": (np.arccos, [[0.0, 1.0, -1.0]], [[-1, -INF, -INF]]),
    "arccosh": (np.arccosh, [[1.0, 2.0, 1e200]], [[INF, 3**-0.5, 1e-200]]),
    "arctanh": (np.arctanh, [[0.0, 1.0]], [[1, INF]]),
    "arctan": (np.arctan, [[0.0, 1.0, 1e100]], [[1, 0.5, 1e-200]]),
    "tan": (np.tan, [[0.0, PI / 4]], [[1, 2]]),
    "degrees": (np.degrees, [[1.0]], [[180 / PI]]),
    "deg2rad": (np.deg2rad, [[1.0]], [[PI / 180]]),
    "log1p": (np.log1p, [[0.0, 1e-20, -1.0]], [[1, 1, INF]]),
    "expm1": (np.expm1, [[0.0, -800.0]], [[1, 0]]),
    "exp2": (np.exp2, [[0.0, 1.0]], [[np.log(2), 2 * np.log(2)]]),
    "log2": (np.log2, [[0.5]], [[2 / np.log(2)]]),
    "log10": (np.log10, [[10.0]], [[0.1 / np.log(10)]]),
    "sigmoid": (tc.sigmoid, [[-1e4, 0.0, 1e4]], [[0, 0.25, 0]]),
    "logaddexp": (
        np.logaddexp,
        [[1e4, -1e4, 1e4, -INF, -INF, INF], [-1e4, 1e4, 1e4, -INF, 0.0, INF]],
        [[1, 0, 0.5, 0.5, 0, 0.5], [0, 1, 0.5, 0.5, 1, 0.5]],
    ),
    "logaddexp2": (
        np.logaddexp2,
        [[1e4, 1.0, -INF], [-1e4, 0.0, -INF]],
        [[1, 2 / 3, 0.5], [0, 1 / 3, 0.5]],
    ),
    "maximum": (np.maximum, [[1.0, 2.0, NAN], [2.0, 2.0, 1.0]], [[0, 0.5, 0], [1, 0.5, 0]]),
    "minimum": (np.minimum, [[1.0, 2.0, NAN], [2.0, 2.0, 1.0]], [[1, 0.5, 0], [0, 0.5, 0]]),
    "fmax": (
        np.fmax,
        [[1.0, 2.0, NAN, 1.0, NAN], [2.0, 2.0, 1.0, NAN, NAN]],
        [[0, 0.5, 0, 1, 1], [1, 0.5, 1, 0, 0]],
    ),
    "fmin": (
        np.fmin,
        [[1.0, 2.0, NAN, 1.0, NAN], [2.0, 2.0, 1.0, NAN, NAN]],
        [[1, 0.5, 0, 1, 1], [0, 0.5, 1, 0, 0]],
    ),
    "heaviside": (np.heaviside, [[-1.0, 0.0, 2.0], [0.5, 0.5, 0.5]], [[0, 0, 0], [0, 1, 0]]),
    "remainder": (np.remainder, [[5.5, -5.5, 1.0], [2.0, 2.0, 0.1]], [[1, 1, 1], [-2, 3, -9]]),
    "fmod": (np.fmod, [[5.5, -5.5, 1.0, 0.3], [2.0, 2.0, 0.1, 0.1]], [[1] * 4, [-2, 2, -9, -2]]),
    "ldexp": (lambda x: np.ldexp(x, [0, 3, -1]), [[1.0, 1.0, 1.0]], [[1, 8, 0.5]]),
    "nextafter": (lambda x: np.nextafter(x, 9.0), [[0.0, 1.0]], [[1, 1]]),
    "modf": (lambda x: np.modf(x)[0], [[1.5, -2.5, 0.0]], [[1, 1, 1]]),
    "frexp": (lambda x: np.frexp(x)[0], [[0.75, -6.0, 0.0]], [[1, 0.125, 1]]),
    "sinc": (np.sinc, [[0.0, 1.0, -2.0, 0.5]], [[0, -1, -0.5, -4 / PI]]),
    "nan_to_num": (np.nan_to_num, [[1.0, NAN, INF, -INF]], [[1, 0, 0, 0]]),
    "unwrap": (np.unwrap, [[0.0, 3.0, 6.5, 0.5]], [[1, 1, 1, 1]]),
    "clip": (lambda x: np.clip(x, -1, 1), [[-2.0, -1.0, 0.0, 1.0, 2.0]], [[0, 1, 1, 1, 0]]),
    "positive": (np.positive, [[-1.0]], [[1]]),
    "sign": (lambda x: x * np.sign(x), [[-2.0, 0.0, 2.0]], [[-1, 0, 1]]),
}


@pytest.mark.parametrize("name", CHOICES)
def test_slope_at_special_places(name):
    """Kinks, ties, zeros, infinities: the slope is the documented one, in both carriers."""
    function, points, expected = CHOICES[name]
    found = slopes(function, *points)
    for g, e in zip(found, expected, strict=False):
        np.testing.assert_allclose(g, np.array(e, float), rtol=1e-12, atol=1e-300)
    leaves = [leaf(p) for p in points]
    with np.errstate(all="ignore"):
        out = function(*leaves)
        recorded = tc.gradients(out, leaves, np.ones(out.shape), create_graph=True)
    for g, r in zip(found, recorded, strict=True):
        if r is not None:
            np.testing.assert_allclose(r.data, g, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", CHOICES)
def test_small_floats_stay_small(name, dtype):
    """Gradients of float32 and float16 inputs have their dtype, also at special places."""
    function, points, _ = CHOICES[name]
    try:
        found = slopes(function, *points, dtype=dtype)
    except TypeError:
        assert name == "ldexp"  # NumPy has no loop for float16
    else:
        assert all(g.dtype == dtype or not g.any() for g in found)


def test_finite_choices_do_not_warn():
    """Where the derivative is a finite choice, no warning of a division by zero appears."""
    zero = [0.0]
    for function in (np.hypot, np.arctan2, np.logaddexp, np.power, np.fmax):
        leaves = [leaf(zero), leaf(zero)]
        out = function(*leaves)
        assert np.all(np.isfinite(tc.gradients(out, leaves, np.ones(1))))
    low = leaf([-INF])
    assert tc.gradients(np.logaddexp(low, low), low, np.ones(1)) == 1.0
    z = Tensor(np.zeros(2, complex), requires_grad=True)
    for function in (np.abs, np.angle):
        np.testing.assert_array_equal(tc.gradients(function(z), z, np.ones(2)), [0, 0])
    np.testing.assert_array_equal(tc.gradients(np.sign(z), z, np.ones(2)), [0, 0])
    np.testing.assert_array_equal(tc.gradients(np.sinc(leaf(zero)).sum(), leaf(zero)), None)


# ---- higher orders ---------------------------------------------------------------------------

TAYLOR = {
    # name: (function, point, derivatives of orders 0, 1, 2, ...)
    "x**0": (lambda x: x**0, 0.0, [1, 0, 0]),
    "x**1": (lambda x: x**1, 0.0, [0, 1, 0, 0]),
    "x**2": (lambda x: x**2, 0.0, [0, 0, 2, 0]),
    "x**3": (lambda x: x**3, 0.0, [0, 0, 0, 6]),
    "x**1.5": (lambda x: x**1.5, 0.0, [0, 0, INF]),
    "x**array": (lambda x: np.power(x, np.array([0, 1, 2, 3])).sum(), 0.0, [1, 1, 2, 6]),
    "x**-1": (lambda x: x**-1, 2.0, [0.5, -0.25, 0.25, -0.375]),
    "2**y": (lambda y: 2**y, 1.0, [2, 2 * np.log(2), 2 * np.log(2) ** 2, 2 * np.log(2) ** 3]),
    "0**y": (lambda y: np.power(0.0, y), 2.0, [0, 0, 0]),
    "float_power": (lambda x: np.float_power(x, 2), 0.0, [0, 0, 2]),
    "sinc": (np.sinc, 0.0, [1, 0, -(PI**2) / 3, 0, PI**4 / 5, 0, -(PI**6) / 7]),
    "sinc near 0": (np.sinc, 1e-9, [1, -(PI**2) / 3 * 1e-9, -(PI**2) / 3]),
    "i0": (np.i0, 0.0, [1, 0, 0.5, 0, 0.375, 0, 0.3125]),
    "tan": (np.tan, 0.0, [0, 1, 0, 2, 0, 16]),
    "arctan": (np.arctan, 0.0, [0, 1, 0, -2, 0, 24]),
    "arcsin": (np.arcsin, 0.0, [0, 1, 0, 1, 0, 9]),
    "arcsinh": (np.arcsinh, 0.0, [0, 1, 0, -1, 0, 9]),
    "arctanh": (np.arctanh, 0.0, [0, 1, 0, 2, 0, 24]),
    "sinh": (np.sinh, 0.0, [0, 1, 0, 1]),
    "expm1": (np.expm1, 0.0, [0, 1, 1, 1]),
    "log1p": (np.log1p, 0.0, [0, 1, -1, 2, -6]),
    "logaddexp": (lambda x: np.logaddexp(x, 0), 0.0, [np.log(2), 0.5, 0.25, 0, -0.125]),
    "logaddexp of -inf": (lambda x: np.logaddexp(x, -INF), 1.0, [1, 1, 0]),
    "cbrt": (np.cbrt, 1.0, [1, 1 / 3, -2 / 9, 10 / 27]),
    "abs": (np.abs, 0.0, [0, 0, 0]),
    "hypot": (lambda x: np.hypot(x, 1.0), 0.0, [1, 0, 1, 0, -3]),
    "frexp": (lambda x: np.frexp(x)[0] ** 2, 3.0, [0.5625, 0.375, 0.125]),
}


@pytest.mark.parametrize("name", TAYLOR)
def test_derivatives_of_higher_order(name):
    """Derivatives of every order have their closed forms, at 0 and elsewhere."""
    function, point, expected = TAYLOR[name]
    found = derivatives(function, point, len(expected) - 1)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_mixed_derivative_of_power_at_exponent_zero():
    """d²/dxdy x**y is 1/x at y = 0: the exponent 0 is no special case for the second order."""
    x, y = leaf([2.0, 0.5]), leaf([0.0, 0.0])
    over_x = tc.gradients((x**y).sum(), x, create_graph=True)
    np.testing.assert_array_equal(over_x.data, [0.0, 0.0])
    np.testing.assert_allclose(tc.gradients(over_x.sum(), y), [0.5, 2.0], rtol=1e-15)
    over_y = tc.gradients((x**y).sum(), y, create_graph=True)
    np.testing.assert_allclose(tc.gradients(over_y.sum(), x), [0.5, 2.0], rtol=1e-15)


# ---- complex numbers -------------------------------------------------------------------------

POINTS = np.array([0.3 + 0.4j, -1.2 + 0.5j, -0.7 - 1.9j, 2.5 - 0.1j, -3.0 + 0.01j, 0.2 - 2.0j])
HOLOMORPHIC = {
    # name: (function, its derivative)
    "add": (lambda z: z + 2j, np.ones_like),
    "multiply": (lambda z: z * (1 - 2j), lambda z: np.full_like(z, 1 - 2j)),
    "divide": (lambda z: (1 + 1j) / z, lambda z: -(1 + 1j) / z**2),
    "reciprocal": (np.reciprocal, lambda z: -1 / z**2),
    "positive": (np.positive, np.ones_like),
    "square": (np.square, lambda z: 2 * z),
    "sqrt": (np.sqrt, lambda z: 0.5 / np.sqrt(z)),
    "power": (lambda z: z ** (2 - 1j), lambda z: (2 - 1j) * z ** (1 - 1j)),
    "power, exponent": (lambda z: np.power(-2.0, z), lambda z: np.power(-2.0, z) * np.log(-2 + 0j)),
    "float_power": (lambda z: np.float_power(z, 3), lambda z: 3 * z**2),
    "exp": (np.exp, np.exp),
    "exp2": (np.exp2, lambda z: np.exp2(z) * np.log(2)),
    "expm1": (np.expm1, np.exp),
    "log": (np.log, lambda z: 1 / z),
    "log2": (np.log2, lambda z: 1 / z / np.log(2)),
    "log10": (np.log10, lambda z: 1 / z / np.log(10)),
    "log1p": (np.log1p, lambda z: 1 / (1 + z)),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda z: -np.sin(z)),
    "tan": (np.tan, lambda z: 1 / np.cos(z) ** 2),
    "sinh": (np.sinh, np.cosh),
    "cosh": (np.cosh, np.sinh),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    # each with the root of its own branch: 1/f'(w) of the inverse function at the result
    "arcsin": (np.arcsin, lambda z: 1 / np.cos(np.arcsin(z))),
    "arccos": (np.arccos, lambda z: -1 / np.sin(np.arccos(z))),
    "arctan": (np.arctan, lambda z: np.cos(np.arctan(z)) ** 2),
    "arcsinh": (np.arcsinh, lambda z: 1 / np.cosh(np.arcsinh(z))),
    "arccosh": (np.arccosh, lambda z: 1 / np.sinh(np.arccosh(z))),
    "arctanh": (np.arctanh, lambda z: np.cosh(np.arctanh(z)) ** 2),
    "sinc": (np.sinc, lambda z: (np.cos(PI * z) - np.sinc(z)) / z),
}


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_holomorphic_functions(name):
    """The gradient of Re f is f', and that of Im f is -i f', on every side of the branch cuts."""
    function, slope = HOLOMORPHIC[name]
    z = Tensor(POINTS, requires_grad=True)
    out = function(z)
    expected = slope(POINTS)
    np.testing.assert_allclose(tc.gradients(out.real.sum(), z), expected, rtol=1e-11)
    np.testing.assert_allclose(tc.gradients(function(z).imag.sum(), z), -1j * expected, rtol=1e-11)


def test_functions_of_the_parts():
    """abs, angle, sign, conjugate, real and imag have the gradients of their formulas in x, y."""
    x, y = leaf(POINTS.real), leaf(POINTS.imag)
    z = Tensor(POINTS, requires_grad=True)
    radius = np.hypot(x, y)
    cases = [
        (np.abs(z), radius),
        (np.angle(z), np.arctan2(y, x)),
        (np.angle(z, deg=True), np.degrees(np.arctan2(y, x))),
        (np.sign(z).real, x / radius),
        (np.sign(z).imag, y / radius),
        (np.conjugate(z).imag, -y),
        (np.real(z), x),
        (np.imag(z), y),
        (np.real(z.conj() * z), x * x + y * y),
    ]
    for ours, formula in cases:
        np.testing.assert_allclose(ours.data, formula.data, rtol=1e-13)
        g = tc.gradients(ours.sum(), z)
        gx, gy = (
            np.zeros(6) if part is None else part
            for part in tc.gradients(formula.sum(), [x, y], retain_graph=True)
        )
        np.testing.assert_allclose(g, gx - 1j * gy, rtol=1e-11, atol=1e-15)


def test_real_numbers_have_no_angle_to_turn():
    """The angle of real numbers is constant, and the sign of real ones does not require grad."""
    np.testing.assert_array_equal(slopes(np.angle, [-2.0, 3.0])[0], [0, 0])
    assert not np.sign(leaf([1.0])).requires_grad
    assert np.sign(Tensor([1j], requires_grad=True)).requires_grad
    assert tc.gradcheck(lambda x, y: np.sign(x + 1j * y), POINTS.real, POINTS.imag, order=2)


@pytest.mark.parametrize("name", ["arctan2", "cbrt", "fabs", "fmod", "heaviside", "hypot", "i0"])
def test_real_functions_refuse_complex_numbers(name):
    """A function that NumPy has for real numbers only is a TypeError at complex ones."""
    z = Tensor([1 + 1j], requires_grad=True)
    function = getattr(np, name)
    with pytest.raises(TypeError):
        function(*[z] * getattr(function, "nin", 1))


def test_replaced_parts_of_complex_numbers():
    """nan_to_num replaces real and imaginary parts on their own, and so goes the gradient."""
    z = Tensor(np.array([1 + 2j, complex(NAN, 2), complex(1, INF)]), requires_grad=True)
    out = np.nan_to_num(z)
    (out.real * 0.25 + out.imag * 0.5).sum().backward()
    np.testing.assert_array_equal(z.grad, [0.25 - 0.5j, -0.5j, 0.25])


# ---- choices ---------------------------------------------------------------------------------

BOUNDS = st.none() | hnp.arrays(float, (3,), elements=st.sampled_from([-1.0, 0.0, 1.0, 2.0]))


@settings(max_examples=100, deadline=None)
@given(
    x=hnp.arrays(float, (2, 3), elements=st.sampled_from([-1.0, 0.0, 1.0, 2.0])),
    lo=BOUNDS,
    hi=BOUNDS,
)
def test_clip_with_bounds_that_require_grad(x, lo, hi):
    """Each element's gradient goes to x inside and at the bounds, else to the bound that it got."""
    t, low, high = (None if v is None else leaf(v) for v in (x, lo, hi))
    out = np.clip(t, low, high)
    np.testing.assert_array_equal(out.data, np.clip(x, lo, hi))
    weights = np.arange(1.0, 7.0).reshape(2, 3)
    out.backward(weights)
    below = np.full(x.shape, -INF) if lo is None else np.broadcast_to(lo, x.shape)
    above = np.full(x.shape, INF) if hi is None else np.broadcast_to(hi, x.shape)
    inside = (below <= x) & (x <= above)
    to_upper = ~inside & ((x > above) | (below > above))
    np.testing.assert_array_equal(t.grad, weights * inside)
    if high is not None:
        np.testing.assert_array_equal(high.grad, (weights * to_upper).sum(0))
    if low is not None:
        np.testing.assert_array_equal(low.grad, (weights * ~(inside | to_upper)).sum(0))


def test_clip_takes_all_of_numpys_words():
    """The bounds may be called a_min and a_max or min and max, stand alone, or be left out."""
    x = leaf([-2.0, 0.5, 2.0])
    for ours, theirs in [
        (np.clip(x, a_min=-1, a_max=1), np.clip(x.data, -1, 1)),
        (np.clip(x, min=-1, max=1), np.clip(x.data, -1, 1)),
        (np.clip(x, min=0), np.clip(x.data, 0, None)),
        (np.clip(x, None, 1), np.clip(x.data, None, 1)),
        (x.clip(-1), np.clip(x.data, -1, None)),
        (np.clip(x, Tensor([-1.0, 0.6, 0.0]), 1), np.clip(x.data, [-1.0, 0.6, 0.0], 1)),
    ]:
        np.testing.assert_array_equal(ours.data, theirs)
        assert ours.requires_grad
    assert np.clip(leaf([1.0], np.float32), -2.0, 0.5).dtype == np.float32
    with pytest.raises(ArgumentError, match="a bound is given twice"):
        np.clip(x, 0, 1, min=2)


def test_where_of_a_condition_alone():
    """np.where of one argument gives the indices that NumPy gives; of two it is refused."""
    t = leaf([[1.0, 0.0], [0.0, 2.0]])
    for ours, theirs in zip(np.where(t), np.where(t.data), strict=True):
        np.testing.assert_array_equal(ours.data, theirs)
        assert not ours.requires_grad
    np.testing.assert_array_equal(t[np.where(t)].data, [1.0, 2.0])
    with pytest.raises(ValueError, match="both x and y"):
        tc.where(t > 0, t)


def test_where_condition_has_no_derivative():
    """A condition that requires grad is only looked at."""
    c, x = leaf([1.0, 0.0]), leaf([3.0, 4.0])
    np.where(c, x, 0.0).sum().backward()
    assert c.grad is None
    np.testing.assert_array_equal(x.grad, [1.0, 0.0])


def test_select():
    """np.select has NumPy's value, dtype and shape; each element's gradient goes to its choice."""
    x = leaf([-2.0, -0.5, 0.5, 3.0])
    d = leaf(7.0)
    out = np.select([x < -1, x < 0, x > 2], [x * 10, -x, x * x], d)
    np.testing.assert_array_equal(out.data, [-20.0, 0.5, 7.0, 9.0])
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, [10.0, -1.0, 0.0, 6.0])
    assert d.grad == 1.0
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    for choices, default in [([a, 0], 0), ([a, np.int8(1)], 2.5), ([[1, 2, 3], a], 0), ([a], 0)]:
        conditions = [a > 3, a[:1] < 1][: len(choices)]
        expected = np.select(conditions, choices, default)
        found = np.select([Tensor(c) for c in conditions], choices, default)
        np.testing.assert_array_equal(found.data, expected)
        assert found.dtype == expected.dtype
    with pytest.raises(ArgumentError, match="got 1 conditions and 2 choices"):
        np.select([x > 0], [x, x])
    with pytest.raises(DtypeError, match="condition 0 has dtype float64; expected bool"):
        np.select([x], [x])


def test_piecewise():
    """np.piecewise gives NumPy's values in all its forms, and every piece its own derivative."""
    a = np.array([[-2.0, -0.5], [0.5, 3.0]])
    forms = [
        lambda t: np.piecewise(t, [t < 0, t > 2], [lambda v: -v, lambda v: v**3, 7.0]),
        lambda t: np.piecewise(t, [t < 0, t < -1], [lambda v: v * v, lambda v: 5 * v]),
        lambda t: np.piecewise(t, [t < 0], [0, np.sqrt]),
        lambda t: np.piecewise(t[0], t[0] < -1, [1.0, lambda v, k: k * v], 3.0),
        lambda t: np.piecewise(t, [t > 99], [lambda _v: 1 / 0]),
        lambda t: np.piecewise(t[0, 0], t[0, 0] < 0, [lambda v: v * v, 1.0]),
    ]
    for form in forms:
        out = form(leaf(a))
        np.testing.assert_array_equal(out.data, form(a))
        if out.requires_grad:
            assert tc.gradcheck(form, a, order=2, seed=0)
    constant = leaf(2.0)
    np.piecewise(leaf(a), [a > 0], [constant]).sum().backward()
    assert constant.grad == 2.0
    with pytest.raises(ArgumentError, match="got 1 conditions and 3 functions"):
        np.piecewise(leaf(a), [a < 0], [1, 2, 3])
    with pytest.raises(ShapeError, match="a condition has shape"):
        np.piecewise(leaf(a), [np.ones(3, bool)], [1])


def test_divisions_with_a_remainder():
    """divmod, modf and frexp give NumPy's pairs; the whole parts are constants."""
    x, y = leaf([5.5, -5.5]), leaf([2.0, 2.0])
    quotient, rest = divmod(x, y)
    np.testing.assert_array_equal(quotient.data, [2.0, -3.0])
    assert not quotient.requires_grad
    (rest * [1.0, 10.0]).sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, 10.0])
    np.testing.assert_array_equal(y.grad, [-2.0, 30.0])
    mantissa, exponent = np.frexp(x)
    np.testing.assert_array_equal(np.ldexp(mantissa, exponent).data, x.data)
    assert exponent.dtype.kind == "i"


# ---- conversion and filling ------------------------------------------------------------------


def test_float_power_has_numpys_values():
    """float_power computes in float64 or complex128 as NumPy does, for every kind of input."""
    for x in (np.array([1, 2, 3]), np.array([0.5, 2], np.float32), np.array([1j, -2])):
        for y in (-1, 2, 0.5, np.array([2, 3][: len(x)][-1]), 1j):
            expected = np.float_power(x, y)
            found = np.float_power(Tensor(x), y)
            np.testing.assert_allclose(found.data, expected, rtol=1e-15)
            assert found.dtype == expected.dtype
    x = leaf([4.0], np.float32)
    np.float_power(x, 0.5).sum().backward()
    assert x.grad.dtype == np.float32


def test_full_and_full_like():
    """The value that fills an array gets the sum of the gradients of its places."""
    v, t = leaf(2.0), leaf([[1.0, 2.0, 3.0]])
    weights = np.arange(6.0).reshape(2, 3)
    (tc.full((2, 3), v) * weights).sum().backward()
    assert v.grad == 15.0
    row = leaf([1.0, 2.0, 3.0])
    (tc.full_like(weights, row) * weights).sum().backward()
    np.testing.assert_array_equal(row.grad, [3.0, 5.0, 7.0])
    assert not np.full_like(t, 3).requires_grad
    assert tc.full(3, Tensor(1.5), dtype=np.float32).dtype == np.float32
    assert tc.full(2, 7).dtype.kind == "i"
    for function in (np.zeros_like, np.ones_like, np.empty_like):
        out = function(t, int, shape=(4,))
        assert (out.shape, out.dtype, out.requires_grad) == ((4,), np.dtype(int), False)
    with pytest.raises(TypeError, match=r"lose (its|their) history"):
        np.full((2, 3), v)
    with pytest.raises(TypeError, match=r"lose (its|their) history"):
        np.full_like(weights, v)  # NumPy asks the pattern only
    (np.full_like(t, v) * [[1.0, 2.0, 4.0]]).sum().backward()
    assert v.grad == 22.0
    assert t.grad is None


def test_astype_by_numpys_name():
    """np.astype converts and the gradient comes back in the old dtype."""
    x = leaf([1.5, 2.5])
    y = np.astype(x, np.float32, copy=False)
    assert y.dtype == np.float32
    y.backward(np.array([1.0, 2.0], np.float32))
    np.testing.assert_array_equal(x.grad, [1.0, 2.0])
    assert x.grad.dtype == np.float64
    for dtype in (int, bool, np.uint8):
        whole = np.astype(x, dtype)
        np.testing.assert_array_equal(whole.data, x.data.astype(dtype))
        assert not whole.requires_grad
        assert not x.astype(dtype).requires_grad
    z = leaf([1.5])
    (np.astype(z, complex) * (2 - 3j)).real.sum().backward()
    np.testing.assert_array_equal(z.grad, [2.0])


def test_real_if_close():
    """Imaginary parts that are rounding disappear, others stay; real input is returned as it is."""
    z = Tensor(np.array([1 + 1e-15j, 2 - 1e-15j]), requires_grad=True)
    out = np.real_if_close(z)
    assert out.dtype == np.float64
    out.sum().backward()
    np.testing.assert_array_equal(z.grad, [1, 1])
    assert np.real_if_close(Tensor([1 + 1e-3j])).dtype == np.complex128
    assert np.real_if_close(Tensor([1 + 1e-3j]), tol=1e-2).dtype == np.float64
    x = leaf([1.0])
    assert np.real_if_close(x) is x


def test_nan_to_num_options():
    """The replacements are NumPy's, and writing into the input is refused with a reason."""
    a = np.array([NAN, INF, -INF, 2.0])
    out = np.nan_to_num(Tensor(a), nan=1.0, posinf=3.0, neginf=-3.0)
    np.testing.assert_array_equal(out.data, [1.0, 3.0, -3.0, 2.0])
    np.testing.assert_array_equal(np.nan_to_num(Tensor(a)).data, np.nan_to_num(a))
    with pytest.raises(UnsupportedFunctionError, match="copy=False would overwrite"):
        np.nan_to_num(leaf(a), copy=False)


def test_rounding_and_testing():
    """round, fix, isclose and their kind have NumPy's values and do not require grad."""
    a = np.array([-2.55, -0.5, 0.0, 0.5, 1.25, 127.5, INF, NAN])
    t, z = leaf(a), a[:6] * (1 + 1j)
    cases = [
        (np.round(t, 1), np.round(a, 1)),
        (np.around(t, decimals=-1), np.around(a, decimals=-1)),
        (np.fix(t), np.fix(a)),
        (np.isclose(t, a + 1e-9), np.isclose(a, a + 1e-9)),
        (np.isclose(t, a[::-1], 0.5, atol=1.0), np.isclose(a, a[::-1], 0.5, atol=1.0)),
        (np.isclose(t, t, equal_nan=True), np.isclose(a, a, equal_nan=True)),
        (np.isposinf(t), np.isposinf(a)),
        (np.isneginf(t), np.isneginf(a)),
        (np.isreal(Tensor(z, requires_grad=True)), np.isreal(z)),
        (np.iscomplex(t), np.iscomplex(a)),
        (np.spacing(t), np.spacing(a)),
    ]
    for ours, theirs in cases:
        np.testing.assert_array_equal(ours.data, theirs)
        assert ours.dtype == theirs.dtype
        assert not ours.requires_grad


def test_second_names():
    """NumPy's second names for a function are here too, and are the same functions."""
    from tinygrad_course.functions import elementwise

    shared = [n for n in elementwise.__all__ if hasattr(np, n) and n not in ("empty_like", "full")]
    assert len(shared) > 15
    for name in shared:
        assert lookup(getattr(np, name)) is getattr(tc, name)


# ---- Bessel functions behind i0 and sinc -----------------------------------------------------


def test_modified_bessel_functions_satisfy_their_recurrence():
    """I[n-1] - I[n+1] = 2n/x I[n], in the power series and the asymptotic one; I[0] is NumPy's."""
    x = np.concatenate([np.linspace(0.1, 60.0, 500), [29.999, 30.001, 300.0, -3.0, -40.0]])
    order = [FUNCTIONS["bessel_i"](x, order=n) for n in range(6)]
    np.testing.assert_allclose(order[0], np.i0(x), rtol=1e-14)
    for n in range(1, 5):
        left = order[n - 1] - order[n + 1]
        np.testing.assert_allclose(left, 2 * n / x * order[n], rtol=1e-10)


def test_slopes_of_sinc_are_an_integral():
    """Derivative n of sinc is the integral of (πt)**n cos(πxt + nπ/2) over t from 0 to 1."""
    t, w = np.polynomial.legendre.leggauss(80)
    t, w = (t + 1) / 2, w / 2
    x = np.linspace(-9.0, 9.0, 301)
    for n in range(1, 8):
        integral = (w * (PI * t) ** n * np.cos(PI * x[:, None] * t + n * PI / 2)).sum(axis=1)
        found = FUNCTIONS["sinc_slope"](x, order=n)
        np.testing.assert_allclose(found / PI**n, integral / PI**n, atol=1e-13)


# ---- documentation ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in PRIMITIVES if not n.startswith("special_")])
def test_the_example_of_a_row_runs(name):
    """The example in a row's documentation shows what really comes out."""
    test = doctest.DocTestParser().get_doctest(FUNCTIONS[name].__doc__ or "", {}, name, None, 0)
    said = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)
