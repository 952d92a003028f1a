"""Derivatives against formulas to third order; the gradient check: what it passes and catches."""

import json

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import Tensor, nn
from tinygrad_course.checking import VERDICTS, ng_reading, norm_ratio
from tinygrad_course.errors import ArgumentError, GradientError
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES, primitive


def leaf(data):
    return Tensor(np.array(data, dtype=float), requires_grad=True)


@pytest.fixture
def register():
    """Register primitives for one test only."""
    names = []

    def add(name, forward, *vjps, **options):
        names.append(name)
        return primitive(name, forward, lambda _rng: iter(()), *vjps, doc="For a test.", **options)

    yield add
    for name in names:
        del PRIMITIVES[name], FUNCTIONS[name]


# ---- second and third order ------------------------------------------------------------------

_POINT = np.array([0.4, -1.3, 2.0])
_TANH = np.tanh(_POINT)
_DERIVATIVES = {
    "cube": (lambda x: x**3, [3 * _POINT**2, 6 * _POINT, np.full(3, 6.0)]),
    "sin": (tc.sin, [np.cos(_POINT), -np.sin(_POINT), -np.cos(_POINT)]),
    "exp": (tc.exp, [np.exp(_POINT)] * 3),
    "tanh": (
        tc.tanh,
        [
            1 - _TANH**2,
            -2 * _TANH * (1 - _TANH**2),
            (6 * _TANH**2 - 2) * (1 - _TANH**2),
        ],
    ),
}


@pytest.mark.parametrize("name", _DERIVATIVES)
def test_elementwise_functions_to_third_order(name):
    """Recorded gradients can be differentiated again, up to the third derivative and beyond."""
    function, expected = _DERIVATIVES[name]
    x = leaf(_POINT)
    y = function(x)
    for derivative in expected:
        y = tc.gradients(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(y.data, derivative, rtol=1e-12)
    assert x.grad is None


@pytest.mark.parametrize(
    "loss",
    [
        lambda z: tc.softmax_cross_entropy(z, np.array([2]), reduction="sum"),
        lambda z: -tc.log_softmax(z)[0, 2],
        lambda z: tc.logsumexp(z, axis=1).sum() - z[0, 2],
    ],
)
def test_cross_entropy_to_third_order(loss):
    """The first three derivatives of softmax cross-entropy are the cumulants of the softmax."""
    z = leaf([[0.3, -0.7, 1.1]])
    u, v = np.array([[1.0, -2.0, 0.5]]), np.array([[0.7, 0.2, -1.0]])
    p = np.exp(z.data[0]) / np.exp(z.data[0]).sum()
    first = tc.gradients(loss(z), z, create_graph=True)
    np.testing.assert_allclose(first.data[0], p - [0, 0, 1], atol=1e-14)
    second = tc.gradients((first * u).sum(), z, create_graph=True)
    mean_u, mean_v = p @ u[0], p @ v[0]
    np.testing.assert_allclose(second.data[0], p * (u[0] - mean_u), atol=1e-14)
    third = tc.gradients((second * v).sum(), z)
    du, dv = u[0] - mean_u, v[0] - mean_v
    np.testing.assert_allclose(third[0], p * (du * dv - p @ (du * dv)), atol=1e-14)


def _plain_batch_norm(x, weight, bias):
    centred = x - x.mean(axis=0)
    return centred / tc.sqrt((centred * centred).mean(axis=0) + 1e-3) * weight + bias


def test_batch_norm_to_third_order():
    """Batch norm agrees, value and three derivatives, with the formula in elementary operations."""
    rng = np.random.default_rng(0)
    data = [rng.standard_normal(shape) for shape in [(5, 2), (2,), (2,)]]
    direction = rng.standard_normal((5, 2))
    results = []
    for function in (lambda *t: tc.batch_norm(*t, eps=1e-3)[0], _plain_batch_norm):
        inputs = [leaf(d) for d in data]
        out = tc.tanh(function(*inputs))
        found = [out.data]
        for _ in range(3):
            out, *others = tc.gradients((out * direction).sum(), inputs, create_graph=True)
            found += [out.data, *(np.zeros(2) if g is None else g.data for g in others)]
        results.append(found)
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-11)


def test_batch_norm_first_order_formula():
    """The gradient of batch norm is the textbook formula with its two mean corrections."""
    rng = np.random.default_rng(1)
    x, w, b = leaf(rng.standard_normal((6, 2))), leaf([1.5, -0.5]), leaf([0.0, 1.0])
    g = rng.standard_normal((6, 2))
    tc.batch_norm(x, w, b, eps=1e-3)[0].backward(g)
    std = np.sqrt(x.data.var(axis=0) + 1e-3)
    hat = (x.data - x.data.mean(axis=0)) / std
    d_hat = g * w.data
    expected = (d_hat - d_hat.mean(axis=0) - hat * (d_hat * hat).mean(axis=0)) / std
    np.testing.assert_allclose(x.grad, expected, atol=1e-13)
    np.testing.assert_allclose(w.grad, (g * hat).sum(axis=0), atol=1e-13)
    np.testing.assert_allclose(b.grad, g.sum(axis=0), atol=1e-13)


# ---- right functions pass --------------------------------------------------------------------

_POINTS = np.random.default_rng(3).uniform(0.5, 1.5, (2, 3)) * [[1, -1, 1], [-1, 1, 1]]
_RIGHT = {
    "square": lambda x: (x * x).sum(),
    "several uses": lambda x: x * x.sum() - x,
    "matmul": lambda x: x @ x.T,
    "homogeneous": lambda x: tc.sqrt((x * x).sum()),
    "several outputs": lambda x: (x * 2, (x**3).sum()),
    "indexing": lambda x: x[:, [0, 0, 2]] * x[::-1],
    "linear": lambda x: x.T * 3 - 1,
}


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("name", _RIGHT)
def test_right_gradients_pass_at_every_scale(name, scale):
    """A right gradient passes whatever the scale of its input."""
    report = tc.gradcheck(_RIGHT[name], _POINTS * scale, seed=0)
    assert report.verdict == "pass", str(report)
    assert report
    assert report.difference < 1e-7
    assert report.reading == "great, the gradient is right"
    report.raise_if_failed()


def test_several_inputs_of_different_scale_pass():
    """Inputs twelve orders of magnitude apart are each checked at their own scale."""
    report = tc.gradcheck(lambda a, b, n: (a * 1e6 + b * 1e-6).sum() ** n, [1e-6], [2e6, 1e6], 2)
    assert report.verdict == "pass", str(report)
    assert [row.name for row in report.rows] == ["input 0", "input 1"]


def test_float32_inputs_are_checked_in_float64():
    """float32 inputs are checked in float64, so a right gradient passes as sharply."""
    report = tc.gradcheck(lambda x: tc.tanh(x) * x, np.array([0.3, -0.7], np.float32))
    assert report
    assert report.difference < 1e-8


@pytest.mark.parametrize(
    "function",
    [lambda x: tc.tanh(x) * x, tc.softmax, lambda x: x @ x.T, lambda x: x * 3],
)
def test_second_order_passes(function):
    """order=2 passes functions whose recorded gradient is right, and reports both orders."""
    report = tc.gradcheck(function, _POINTS, order=2, seed=1)
    assert report.verdict == "pass", str(report)
    assert [row.name for row in report.rows] == ["input 0", "input 0, 2nd order"]


# ---- planted faults --------------------------------------------------------------------------


def _one_wrong(g, _ans, x):
    factor = np.ones(x.shape)
    factor.flat[-1] = 1.01
    return g * (2 * x) * factor


_FAULTS = {
    "sign": lambda g, _ans, x: -(g * (2 * x)),
    "factor 2": lambda g, _ans, x: g * x,
    "1.001 times": lambda g, _ans, x: g * (2.002 * x),
    "1.00001 times": lambda g, _ans, x: g * (2.00002 * x),
    "one element": _one_wrong,
    "upstream ignored": lambda _g, _ans, x: 2 * x,
    "zero": lambda g, _ans, x: g * x * 0.0,
    "summed": lambda g, _ans, x: (g * 2 * x).sum() + 0 * x,
    "reversed": lambda g, _ans, x: g * (2 * x)[::-1],
}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("name", _FAULTS)
def test_planted_faults_are_caught(register, name, scale):
    """A wrong rule fails at every scale, with a finding that gives place and both values."""
    faulty = register("test_faulty", lambda x: x * x, _FAULTS[name])
    report = tc.gradcheck(faulty, _POINTS * scale, seed=0)
    assert report.verdict == "fail", str(report)
    assert not report
    finding = report.findings[0]
    kind = "upstream ignored" if name == "upstream ignored" else "fail"
    assert (finding.kind, finding.input) == (kind, "input 0")
    assert finding.index is not None
    assert abs(finding.analytic - finding.numeric) > 3 * finding.error


def test_the_one_wrong_element_is_named(register):
    """Where a single element is wrong, the report shows that one and counts it."""
    faulty = register("test_faulty", lambda x: x * x, _one_wrong)
    report = tc.gradcheck(faulty, _POINTS, seed=0)
    assert report.findings[0].index == (1, 2)
    assert "1 of 6 elements" in report.findings[0].message
    assert report.rows[0].index == (1, 2)
    assert report.findings[0].analytic == pytest.approx(1.01 * report.findings[0].numeric, rel=1e-6)


def test_a_missing_sum_over_broadcast_axes_is_caught(register):
    """A rule that picks one slice where it should sum over the broadcast axis fails."""
    faulty = register(
        "test_faulty", lambda x, y: x + y, lambda g, _a, _x, _y: g, lambda g, _a, _x, _y: g[0]
    )
    report = tc.gradcheck(faulty, np.ones((3, 2)), np.array([0.5, 2.0]), seed=0)
    assert report.verdict == "fail"
    assert [(row.name, row.verdict) for row in report.rows] == [
        ("input 0", "pass"),
        ("input 1", "fail"),
    ]


def test_a_fault_of_second_order_only_is_caught_by_order_2(register):
    """A first derivative that is right but not differentiable passes order 1 and fails order 2."""
    cut = register(
        "test_cut",
        lambda x: x * x * x,
        lambda g, _ans, x: g * (3 * (x.detach() if isinstance(x, Tensor) else x) ** 2),
    )
    assert tc.gradcheck(cut, _POINTS, seed=0)
    report = tc.gradcheck(cut, _POINTS, order=2, seed=0)
    assert report.verdict in ("fail", "missing")
    assert "2nd order" in str(report)


def test_the_error_is_caught_where_the_right_gradient_is_zero(register):
    """A gradient that should vanish and does not is a failure, and two zeros agree."""
    faulty = register("test_faulty", lambda x: x * 0, lambda g, _ans, _x: g * 1e-3)
    assert tc.gradcheck(faulty, _POINTS, seed=0).verdict == "fail"
    assert tc.gradcheck(lambda x: x * 0 + 1, _POINTS, seed=0).verdict == "pass"


# ---- the other verdicts ----------------------------------------------------------------------


def test_random_functions_are_told():
    """A function that draws new random numbers at every call is `random`, also through dropout."""
    rng = np.random.default_rng(0)
    assert tc.gradcheck(lambda x: x * rng.standard_normal(3), np.ones(3)).verdict == "random"
    dropped = tc.gradcheck(lambda x: nn.functional.dropout(x, 0.5, training=True), np.ones(50))
    assert dropped.verdict == "random"
    assert "dropout" in dropped.findings[0].message


def test_mutating_functions_are_told():
    """A function that writes into its input is `mutation`, by the input's name."""

    def writes(x, y):
        y.data[0] += 1.0
        return x * y

    report = tc.gradcheck(writes, np.ones(2), np.ones(2))
    assert (report.verdict, report.findings[0].input) == ("mutation", "input 1")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_infinite_values_and_gradients_are_told():
    """A value or gradient that is not finite is `nonfinite`."""
    assert tc.gradcheck(tc.log, np.array([1.0, 0.0])).verdict == "nonfinite"
    assert tc.gradcheck(tc.sqrt, np.array([1.0, 0.0])).verdict == "nonfinite"
    assert tc.gradcheck(lambda x: x * np.nan, np.ones(2)).verdict == "nonfinite"


@pytest.mark.parametrize("function", [tc.relu, tc.abs, lambda x: 3 * tc.leaky_relu(x)])
def test_kinks_are_told(function):
    """A point exactly at a kink is `kink` with its place; a point beside it passes."""
    report = tc.gradcheck(function, np.array([1.0, 0.0, -2.0]), seed=0)
    assert report.verdict == "kink", str(report)
    assert not report
    assert report.findings[0].index == (1,)
    assert tc.gradcheck(function, np.array([1.0, 0.1, -2.0]), seed=0).verdict == "pass"


def test_cut_paths_are_missing():
    """An input whose path is cut by detach() is `missing`; one that does not matter is not."""
    report = tc.gradcheck(lambda x, y: x * y.detach(), np.ones(2), np.ones(2), seed=0)
    assert report.verdict == "missing"
    assert (report.findings[0].kind, report.findings[0].input) == ("missing", "input 1")
    assert "no gradient arrived" in report.findings[0].message
    assert tc.gradcheck(lambda x, y: x * 2, np.ones(2), np.ones(2)).verdict == "pass"
    whole = tc.gradcheck(lambda x: Tensor(x.data * 2), np.ones(2), seed=0)
    assert whole.verdict == "missing"


def test_wrong_arguments_are_refused():
    """What cannot be checked is an ArgumentError that says what to pass."""
    with pytest.raises(ArgumentError, match="decimal point"):
        tc.gradcheck(lambda x: x * 2, np.array([1, 2]), 3)
    with pytest.raises(ArgumentError, match="ndarray, not a function"):
        tc.gradcheck(np.ones(2), np.ones(2))
    with pytest.raises(ArgumentError, match="returned ndarray, not a Tensor"):
        tc.gradcheck(lambda x: x.data * 2, np.ones(2))
    with pytest.raises(ArgumentError, match="order must be 1 or 2"):
        tc.gradcheck(tc.exp, np.ones(2), order=3)


# ---- the report ------------------------------------------------------------------------------


def test_the_report_can_be_read(register):
    """A report is truthy only for `pass`; its text and JSON give the worst element."""
    faulty = register("test_faulty", lambda x: x * x, _one_wrong)
    report = tc.gradcheck(faulty, _POINTS, seed=0)
    text = str(report)
    assert text.splitlines()[0].startswith("gradcheck: FAIL")
    assert "worst at" in text
    assert "[1, 2]" in text
    assert "2×3" in text
    with pytest.raises(GradientError, match="FAIL") as caught:
        report.raise_if_failed()
    assert isinstance(caught.value, AssertionError)
    read = json.loads(report.to_json())
    assert (read["verdict"], read["findings"][0]["index"]) == ("fail", [1, 2])
    for verdict in VERDICTS:
        assert bool(type(report)(verdict, 0.0)) is (verdict == "pass")
    good = tc.gradcheck(tc.exp, _POINTS)
    assert "PASS" in str(good)
    assert json.loads(good.to_json())["findings"] == []


def test_html_escapes():
    """Names in the HTML report are escaped."""
    model = nn.Sequential(nn.Linear(2, 1))
    model.named_parameters = lambda: [("<b>&", model[0].weight)]
    page = tc.gradcheck_module(model, nn.MSELoss(), np.ones((3, 2)), np.zeros((3, 1))).to_html()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&" not in page


def test_ngs_reading_and_the_norm_ratio():
    """The norm ratio is ‖a − n‖ / (‖a‖ + ‖n‖), read as the notes read it."""
    assert norm_ratio(np.array([3.0, 0.0]), np.array([0.0, 4.0])) == pytest.approx(5 / 7)
    assert norm_ratio(np.zeros(2), np.zeros(2)) == 0.0
    words = [ng_reading(d) for d in (1e-8, 1e-6, 1e-4, 1e-2)]
    assert [w.split(",")[0] for w in words] == ["great", "probably right", "suspicious", "wrong"]


def test_large_inputs_are_sampled(register):
    """Of 10^5 elements some are sampled, all go into one direction, and the report says so."""
    zero = register("test_zero", lambda x: x * x, lambda g, _ans, x: g * x * 0.0)
    x = np.random.default_rng(0).standard_normal(100_000)
    report = tc.gradcheck(zero, x, max_elements=50, seed=0)
    assert report.verdict == "fail"
    good = tc.gradcheck(lambda t: t * t, x, max_elements=50, seed=0)
    assert good.verdict == "pass", str(good)
    (note,) = good.notes
    assert note in " ".join(str(good).split())
    for word in ("50 ", "100000", "3 random directions"):
        assert word in note
    assert tc.gradcheck(lambda t: t * t, x[:50], max_elements=50).notes == ()


def test_sampling_misses_no_single_fault(register):
    """One wrong element in ten thousand is found by the direction through all of them."""
    faulty = register("test_faulty", lambda x: x * x, _one_wrong)
    x = np.random.default_rng(0).standard_normal(10_000) + 3
    report = tc.gradcheck(faulty, x, max_elements=20, seed=0)
    assert report.verdict == "fail", str(report)


# ---- whole models ----------------------------------------------------------------------------


def _model():
    tc.seed(5)
    return nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm(5), nn.Tanh(), nn.Dropout(0.4), nn.Linear(5, 3)
    )


_X = np.random.default_rng(0).standard_normal((6, 4))
_LABELS = np.array([0, 1, 2, 0, 1, 2])


def _snapshot(model):
    arrays = {name: (id(a), a.copy()) for name, a in model.state_dict().items()}
    grads = [(id(p.grad), None if p.grad is None else p.grad.copy()) for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    return arrays, grads, modes, tc.generator().bit_generator.state


def test_gradcheck_module_passes_a_network_and_restores_it():
    """A network with batch norm and dropout passes in training, and comes back bit for bit."""
    model = _model()
    loss = nn.CrossEntropyLoss()
    loss(model(_X), _LABELS).backward()
    model[3].training = True
    model[2].training = False
    before = _snapshot(model)
    report = tc.gradcheck_module(model, loss, _X, _LABELS, seed=0)
    after = _snapshot(model)
    assert report.verdict == "pass", str(report)
    assert [row.name for row in report.rows] == [name for name, _ in model.named_parameters()]
    np.testing.assert_equal(after, before)
    assert model[0].weight.dtype == np.float32


def test_gradcheck_module_finds_a_planted_fault_and_names_the_parameter(register):
    """A wrong rule for one parameter fails under its name, and the model is restored."""
    faulty = register(
        "test_scaled",
        lambda x, w: x * w,
        lambda g, _a, _x, w: g * w,
        lambda g, _a, x, _w: g * x * 1.01,
    )

    class Scaled(nn.Module):
        def __init__(self):
            self.first = nn.Linear(4, 3, dtype=np.float64)
            self.scale = nn.Parameter(np.array([1.0, 2.0, 3.0]))

        def forward(self, x):
            return faulty(self.first(x), self.scale)

    model = Scaled()
    report = tc.gradcheck_module(model, nn.CrossEntropyLoss(), _X, _LABELS, seed=0)
    assert report.verdict == "fail"
    assert {f.input for f in report.findings} == {"scale"}
    assert {row.name: row.verdict for row in report.rows}["first.weight"] == "pass"
    np.testing.assert_array_equal(model.scale.data, [1.0, 2.0, 3.0])


def test_gradcheck_module_restores_after_an_error():
    """An exception in the loss leaves the model as it was."""
    model = _model()
    before = _snapshot(model)

    def loss(_out, _labels):
        raise ZeroDivisionError

    report = tc.gradcheck_module(model, loss, _X, _LABELS)
    assert (report.verdict, report.findings[0].kind) == ("nonfinite", "error")
    assert "ZeroDivisionError" in str(report)
    np.testing.assert_equal(_snapshot(model), before)
    with pytest.raises(ArgumentError, match="one element"):
        tc.gradcheck_module(model, lambda out, _y: out, _X, _LABELS)
    np.testing.assert_equal(_snapshot(model), before)
    with pytest.raises(ArgumentError, match="no parameters"):
        tc.gradcheck_module(nn.ReLU(), nn.MSELoss(), _X, _X)
    with pytest.raises(ArgumentError, match="pass the batch"):
        tc.gradcheck_module(model, nn.CrossEntropyLoss())
