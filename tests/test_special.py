"""scipy.special on Tensors: SciPy's values, right derivatives, and SciPy only when it is needed."""

import doctest
import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.special as sc

import tinygrad_course as tc
from tinygrad_course import Tensor, special
from tinygrad_course.checking import check_primitive, gradcheck
from tinygrad_course.errors import ShapeError, UnsupportedFunctionError
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES

INF, NAN, PI = math.inf, math.nan, math.pi
EULER = 0.5772156649015328606
ROWS = [name for name in PRIMITIVES if name.startswith("special_")]


def leaf(data, dtype=float):
    return Tensor(np.array(data, dtype=dtype), requires_grad=True)


def slopes(function, *points, dtype=float):
    """Return the gradients of the summed result, one per point."""
    leaves = [leaf(p, dtype) for p in points]
    with np.errstate(all="ignore"):
        out = function(*leaves)
        return tc.gradients(out, leaves, np.ones(out.shape))


@pytest.mark.parametrize("name", [name for name in ROWS if PRIMITIVES[name].differentiable])
def test_derivatives_match_differences(name):
    """First and second derivatives of every row agree with differences at its samples."""
    for report in check_primitive(name):
        assert report, str(report)


@pytest.mark.parametrize(
    "name", [n for n in ROWS if PRIMITIVES[n].differentiable and not PRIMITIVES[n].real]
)
def test_derivatives_match_differences_at_complex_numbers(name):
    """A row that takes complex numbers has right first and second derivatives there."""
    row, rng = PRIMITIVES[name], np.random.default_rng(0)
    for inputs, params in row.samples(rng):
        lifted = [np.asarray(x) + 1j * rng.uniform(0.1, 0.5, np.shape(x)) for x in inputs]

        def call(*xs, params=params):
            return FUNCTIONS[name](*xs, **params)

        report = gradcheck(call, *lifted, order=2, seed=0)
        assert report, str(report)


# ---- values -----------------------------------------------------------------------------------


def test_the_names_are_scipys():
    """Everything offered here has its name from SciPy, and every ufunc among them records."""
    for name in special.__all__:
        theirs = getattr(sc, name, None)
        assert theirs is not None or name == "softplus", name  # younger than our oldest SciPy
    assert len(set(special.__all__)) == len(special.__all__)


UNARY = [n for n in special.__all__ if getattr(getattr(sc, n, None), "nin", 0) == 1]
AWKWARD = [0.0, -0.0, 0.5, 1.0, -1.0, 2.5, -2.5, 30.0, -30.0, 1e-300, 1e300, INF, -INF, NAN]


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "?", "c8", "c16"])
@pytest.mark.parametrize("name", UNARY)
def test_unary_values_are_scipys(name, dtype):
    """SciPy's function of a Tensor, ours of a Tensor and ours of an array give SciPy's bits."""
    theirs, ours = getattr(sc, name), getattr(special, name)
    with np.errstate(all="ignore"):
        x = np.array([v for v in AWKWARD if dtype != "i8" or abs(v) < 99]).astype(dtype)
        try:
            expected = theirs(x)
        except TypeError:
            with pytest.raises(TypeError):
                theirs(Tensor(x))
            return
        for found in (theirs(Tensor(x)), ours(Tensor(x))):
            assert isinstance(found, Tensor)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found.data, expected)
        np.testing.assert_array_equal(ours(x), expected)


_X = np.array([[0.2, 0.5, 0.9], [0.3, 0.6, 0.1]])
_Y = np.array([[0.7], [2.5]])
SEVERAL = {
    "xlogy": (_X, _Y),
    "xlog1py": (_X, _Y),
    "rel_entr": (_X, _Y),
    "kl_div": (_X, _Y),
    "beta": (_X, _Y),
    "betaln": (_X, _Y),
    "betainc": (2.5, _Y, _X),
    "gammainc": (_Y, _X),
    "gammaincc": (0.5, _X),
    "jv": (_Y, _X),
    "jn": (2, _X),
    "yv": (1.5, _X),
    "yn": (2, _X),
    "iv": (_Y, _X),
    "ive": (_Y, _X),
    "kv": (_Y, _X),
    "kve": (0.5, _X),
    "kn": (3, _X),
    "polygamma": (2, _X),
    "multigammaln": (_X + 2.0, 3),
    "zeta": (2.5, _X),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_values_of_several_arguments_are_scipys(name):
    """Functions of several arguments take them in SciPy's order and give SciPy's values."""
    args = SEVERAL[name]
    theirs, ours = getattr(sc, name), getattr(special, name)
    expected = theirs(*args)
    place = next(i for i in reversed(range(len(args))) if np.shape(args[i]) == (2, 3))
    wrapped = [leaf(a) if i == place else a for i, a in enumerate(args)]
    np.testing.assert_array_equal(ours(*args), expected)
    found = ours(*wrapped)
    np.testing.assert_array_equal(found.data, expected)
    assert found.requires_grad
    if isinstance(theirs, np.ufunc):
        np.testing.assert_array_equal(theirs(*wrapped).data, expected)


def test_no_new_rule_is_needed_for_numpys_own():
    """sinc of SciPy is NumPy's, and softplus, softmax and their kind are the library's."""
    x = leaf([0.5, -1.0])
    np.testing.assert_array_equal(sc.sinc(x).data, np.sinc(x.data))
    np.testing.assert_allclose(special.softplus(x).data, np.log1p(np.exp(x.data)), rtol=1e-15)


@pytest.mark.parametrize("name", ROWS)
def test_the_example_of_a_row_runs(name):
    """The example in a row's documentation shows what really comes out."""
    test = doctest.DocTestParser().get_doctest(FUNCTIONS[name].__doc__ or "", {}, name, None, 0)
    said = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)


# ---- special places ---------------------------------------------------------------------------

ROOT = math.sqrt(PI)
CHOICES = {
    # name: (function, points, one gradient per point)
    "erf": (sc.erf, [[0.0, 30.0]], [[2 / ROOT, 0]]),
    "erfc": (sc.erfc, [[0.0, 10.0]], [[-2 / ROOT, -2 / ROOT * math.exp(-100)]]),
    "erfinv": (sc.erfinv, [[0.0, 1.0, -1.0]], [[ROOT / 2, INF, INF]]),
    "erfcinv": (sc.erfcinv, [[1.0, 2.0]], [[-ROOT / 2, -INF]]),
    "ndtr": (sc.ndtr, [[0.0, 40.0]], [[1 / math.sqrt(2 * PI), 0]]),
    "ndtri": (sc.ndtri, [[0.5]], [[math.sqrt(2 * PI)]]),
    "log_ndtr": (sc.log_ndtr, [[0.0, -1e4, 40.0]], [[math.sqrt(2 / PI), 1e4 + 1e-4, 0]]),
    "expit": (
        sc.expit,
        [[0.0, 40.0, -40.0, 1e4, -1e4]],
        [[0.25, math.exp(-40), math.exp(-40), 0, 0]],
    ),
    "logit": (sc.logit, [[0.5, 1e-300, 0.0, 1.0]], [[4, 1e300, INF, INF]]),
    "log_expit": (sc.log_expit, [[0.0, -1e4, 1e4]], [[0.5, 1, 0]]),
    "xlogy": (
        sc.xlogy,
        [[0.0, 0.0, 2.0], [math.e, 0.0, 4.0]],
        [[1, -INF, math.log(4)], [0, 0, 0.5]],
    ),
    "xlogy, constant first": (lambda y: sc.xlogy(0.0, y), [[0.0, 3.0]], [[0, 0]]),
    "xlog1py": (sc.xlog1py, [[0.0, 0.0], [math.e - 1, -1.0]], [[1, -INF], [0, 0]]),
    "entr": (sc.entr, [[0.0, 1.0]], [[INF, -1]]),
    "rel_entr": (sc.rel_entr, [[0.0, 1.0], [1.0, 1.0]], [[-INF, 1], [0, -1]]),
    "kl_div": (sc.kl_div, [[0.0, 1.0], [1.0, 1.0]], [[-INF, 0], [1, 0]]),
    "gamma": (sc.gamma, [[1.0, 2.0, 5.0]], [[-EULER, 1 - EULER, 24 * (25 / 12 - EULER)]]),
    "gammaln": (sc.gammaln, [[1.0, 1e10]], [[-EULER, math.log(1e10) - 5e-11]]),
    "rgamma": (sc.rgamma, [[0.0, -1.0, -2.0, -3.0, 1.0]], [[1, -1, 2, -6, EULER]]),
    "digamma": (sc.digamma, [[1.0]], [[PI**2 / 6]]),
    "beta": (sc.beta, [[1.0], [1.0]], [[-1], [-1]]),
    "betaln": (sc.betaln, [[1.0], [1.0]], [[-1], [-1]]),
    "gammainc": (lambda x: sc.gammainc([1.0, 2.0, 0.5], x), [[0.0] * 3], [[1, 0, INF]]),
    "betainc": (lambda x: sc.betainc([1.0, 2.0], 1.0, x), [[0.0, 1.0]], [[1, 2]]),
    "i0": (sc.i0, [[0.0]], [[0]]),
    "i1": (sc.i1, [[0.0]], [[0.5]]),
    "i0e": (sc.i0e, [[0.0]], [[0]]),
    "j0": (sc.j0, [[0.0]], [[0]]),
    "j1": (sc.j1, [[0.0]], [[0.5]]),
    "y0": (sc.y0, [[0.0]], [[INF]]),
    "cbrt": (sc.cbrt, [[0.0, -8.0]], [[INF, 1 / 12]]),
    "exp10": (sc.exp10, [[0.0]], [[math.log(10)]]),
    "softmax": (lambda x: special.softmax(x)[0], [[1e4, -1e4]], [[0, 0]]),
    "softmax, equal": (lambda x: special.softmax(x)[0], [[1e4, 1e4]], [[0.25, -0.25]]),
    "log_softmax": (lambda x: special.log_softmax(x)[0], [[1e4, -1e4]], [[0, 0]]),
    "logsumexp": (special.logsumexp, [[1e4, -1e4, 1e4]], [[0.5, 0, 0.5]]),
}


@pytest.mark.parametrize("name", CHOICES)
def test_slope_at_special_places(name):
    """In tails, at zeros and at poles the slope is the closed form or the documented choice."""
    function, points, expected = CHOICES[name]
    for g, e in zip(slopes(function, *points), expected, strict=True):
        np.testing.assert_allclose(g, np.array(e, float), rtol=1e-11, atol=1e-300)


TAYLOR = {
    # name: (function, point, derivatives of orders 0, 1, 2, ...)
    "erf": (sc.erf, 0.0, [0, 2 / ROOT, 0, -4 / ROOT, 0]),
    "dawsn": (sc.dawsn, 0.0, [0, 1, 0, -4, 0, 32]),
    "expit": (sc.expit, 0.0, [0.5, 0.25, 0, -0.125]),
    "xlogy": (lambda y: sc.xlogy(2.0, y), 1.0, [0, 2, -2, 4, -12]),
    "gammaln": (sc.gammaln, 1.0, [0, -EULER, PI**2 / 6, -2 * 1.2020569031595942, PI**4 / 15]),
    "rgamma": (
        sc.rgamma,
        0.0,
        [0, 1, 2 * EULER, 6 * (EULER**2 / 2 - PI**2 / 12)],
    ),
    "polygamma": (lambda x: special.polygamma(1, x), 1.0, [PI**2 / 6, -2.4041138063191885]),
    "zeta": (lambda q: special.zeta(2, q), 1.0, [PI**2 / 6, -2.4041138063191885, PI**4 / 15]),
    "j0": (sc.j0, 0.0, [1, 0, -0.5, 0, 0.375, 0, -0.3125]),
    "j1": (sc.j1, 0.0, [0, 0.5, 0, -0.375]),
    "jv": (lambda x: sc.jv(2, x), 0.0, [0, 0, 0.25, 0, -0.25]),
    "i0": (sc.i0, 0.0, [1, 0, 0.5, 0, 0.375, 0, 0.3125]),
    "i1": (sc.i1, 0.0, [0, 0.5, 0, 0.375]),
    "iv": (lambda x: sc.iv(2, x), 0.0, [0, 0, 0.25, 0, 0.25]),
    "k0": (sc.k0, 1.0, [sc.k0(1), -sc.k1(1), sc.k0(1) + sc.k1(1)]),
}


@pytest.mark.parametrize("name", TAYLOR)
def test_derivatives_of_higher_order(name):
    """Derivatives of every order have their closed forms."""
    function, point, expected = TAYLOR[name]
    x = leaf(point)
    found = [function(x)]
    for _ in expected[1:]:
        found.append(tc.gradients(found[-1], x, create_graph=True))
    np.testing.assert_allclose([float(f.data) for f in found], expected, rtol=1e-10, atol=1e-12)


def test_float32_stays_float32():
    """Gradients of float32 input are float32, and so are results where SciPy's are."""
    for name in UNARY:
        x = leaf([0.4, 0.6], np.float32)
        out = getattr(sc, name)(x)
        assert out.dtype == np.float32, name
        if out.requires_grad:
            out.sum().backward()
            assert x.grad.dtype == np.float32, name
    for name in ("polygamma", "zeta"):
        assert getattr(special, name)(2, leaf([0.4], np.float32)).dtype == np.float32
    assert special.multigammaln(leaf([4.0], np.float32), 2).dtype == np.float32
    assert special.logsumexp(leaf([4.0], np.float32), b=2.0).dtype == np.float32


def test_expected_value_of_a_distribution_with_zeros():
    """The entropy of probabilities, one of them a constant 0, has a finite gradient."""
    logits = leaf([0.0, 1.0, -1e4])
    p = special.softmax(logits)
    kl = sc.rel_entr(np.array([0.5, 0.5, 0.0]), p).sum()
    np.testing.assert_allclose(
        tc.gradients(kl, logits), p.data - np.array([0.5, 0.5, 0.0]), atol=1e-15
    )


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("special_jv", lambda v: sc.jv(v, 1.5)),
        ("special_jv", lambda v: sc.jv(v, leaf(1.5))),
        ("special_iv", lambda v: special.iv(v, leaf(1.5))),
        ("special_gammainc", lambda v: sc.gammainc(v, leaf(1.5))),
        ("special_betainc", lambda v: sc.betainc(2.0, v, leaf(0.5))),
        ("special_polygamma", lambda v: special.polygamma(v, leaf(1.5))),
        ("zeta", lambda v: special.zeta(v)),  # noqa: PLW0108 - one argument is the point
    ],
)
def test_orders_and_shapes_that_require_grad_are_refused(name, call):
    """No derivative with respect to an order or a shape is lost in silence."""
    with pytest.raises(UnsupportedFunctionError, match=rf"^{name}:.*detach"):
        call(leaf(2.0))
    call(Tensor(2.0))


def test_scipys_python_functions_are_refused_with_ours():
    """SciPy's own logsumexp would lose the history: the message names ours."""
    for function in (sc.logsumexp, sc.softmax, sc.log_softmax):
        with pytest.raises(TypeError, match=r"tc\.special\.logsumexp"):
            function(leaf([1.0, 2.0]))
    np.testing.assert_allclose(
        sc.logsumexp(Tensor([1.0, 2.0]).numpy()), special.logsumexp(Tensor([1.0, 2.0])).item()
    )


def test_a_ufunc_without_a_rule_is_refused():
    """A ufunc of SciPy that has no row is refused by name."""
    with pytest.raises(UnsupportedFunctionError, match="struve"):
        sc.struve(1.0, leaf([1.0]))


def test_errors_name_the_function():
    """Bad shapes and values are reported under the name of the row."""
    with pytest.raises(ShapeError, match="special_xlogy"):
        sc.xlogy(leaf([1.0, 2.0]), leaf([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match=r"special_multigammaln.*above \(d - 1\) / 2"):
        special.multigammaln(leaf([0.1]), 3)
    with pytest.raises(TypeError, match="complex"):
        sc.gamma(Tensor([1 + 1j], requires_grad=True))


# ---- logsumexp --------------------------------------------------------------------------------

_A = np.array([[1.0, -2.0, 0.5], [800.0, 799.0, -INF]])
_B = np.array([[1.0, 2.0, 0.0], [0.5, -0.25, 3.0]])
LOGSUMEXP = [
    {},
    {"axis": 0},
    {"axis": 1, "keepdims": True},
    {"b": _B},
    {"axis": 1, "b": _B},
    {"axis": (0, 1), "b": 2.0, "keepdims": True},
    {"axis": 1, "b": _B[0]},
    {"axis": -1, "b": -_B, "return_sign": True},
    {"return_sign": True},
]


@pytest.mark.parametrize("options", LOGSUMEXP, ids=str)
def test_logsumexp_agrees_with_scipy(options):
    """logsumexp with weights, signs, axes and infinities gives SciPy's values."""
    with np.errstate(divide="ignore"):
        expected = sc.logsumexp(_A, **options)
        found = special.logsumexp(leaf(_A), **options)
    if options.get("return_sign"):
        np.testing.assert_array_equal(found[1].data, expected[1])
        assert not found[1].requires_grad
        found, expected = found[0], expected[0]
    np.testing.assert_allclose(found.data, expected, rtol=1e-14)
    assert np.shape(found.data) == np.shape(expected)


def test_logsumexp_derivatives():
    """The derivatives of logsumexp with respect to exponents and weights are right to order 2."""
    a = np.array([[1.0, -2.0, 0.5], [8.0, 7.0, 6.0]])
    b = np.array([[1.0, 2.0, 0.3], [0.5, -0.25, 3.0]])
    for function in (
        lambda x, y: special.logsumexp(x, axis=1, b=y),
        lambda x, y: special.logsumexp(x, b=y, keepdims=True),
        lambda x, y: special.logsumexp(x, axis=0, b=-y, return_sign=True)[0],
        lambda x, y: special.logsumexp(x, axis=0, b=y[0]),
    ):
        report = gradcheck(function, a, b, order=2, seed=0)
        assert report, str(report)
    x = leaf([0.0, 1e5])
    special.logsumexp(x, b=[1.0, 0.0]).backward()
    np.testing.assert_array_equal(x.grad, [1.0, 0.0])


def test_softmax_over_all_axes():
    """SciPy's softmax and log_softmax normalize over all axes unless one is named."""
    t = leaf(_A[:1])
    np.testing.assert_allclose(special.softmax(t).data, sc.softmax(_A[:1]), rtol=1e-14)
    np.testing.assert_allclose(special.softmax(t, 0).data, sc.softmax(_A[:1], 0), rtol=1e-14)
    np.testing.assert_allclose(special.log_softmax(t).data, sc.log_softmax(_A[:1]), rtol=1e-14)


# ---- SciPy is imported when it is needed ------------------------------------------------------


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    return done.stdout.strip(), done.stderr.strip()


def test_scipy_is_imported_only_when_it_is_used():
    """The package imports without SciPy, and SciPy's ufuncs find their rows by themselves."""
    out, err = run(
        "import sys, tinygrad_course as tc; print('scipy' in sys.modules)\n"
        "import scipy.special as sc\n"
        "t = tc.Tensor([0.5], requires_grad=True); sc.erf(t).sum().backward(); print(t.grad[0] > 0)"
    )
    assert (out.split(), err) == (["False", "True"], "")


def test_without_scipy_the_missing_command_is_named():
    """Where SciPy is not installed, the package works and tc.special says what to install."""
    out, err = run(
        "import sys; sys.modules['scipy'] = sys.modules['scipy.special'] = None\n"
        "import tinygrad_course as tc; print(float(tc.exp(tc.Tensor(0.0))))\n"
        "import tinygrad_course.special"
    )
    assert out == "1.0"
    assert err.splitlines()[-1].startswith("ImportError: tinygrad_course.special")
    assert "pip install 'tinygrad_course[course]'" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("function", "leading"),
    [(tc.special.erfcx, -1 / np.sqrt(np.pi)), (tc.special.dawsn, -0.5)],
    ids=["erfcx", "dawsn"],
)
@pytest.mark.parametrize("x", [1e6, 1e8, 1e12])
def test_slopes_far_out_keep_their_digits(function, leading, x):
    """Where two large terms cancel, the derivative is still that of the asymptotic series."""
    slope = tc.elementwise_grad(function)(np.array([x]))
    np.testing.assert_allclose(slope * x**2, leading, rtol=1e-11)
