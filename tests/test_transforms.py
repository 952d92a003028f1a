"""Transforms of functions: closed forms, finite differences, nesting, containers, refusals."""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_course as tc
from tinygrad_course import Tensor, calls, nn
from tinygrad_course.errors import (
    ArgumentError,
    DtypeError,
    FreedGraphError,
    ShapeError,
    UnsupportedFunctionError,
)
from tinygrad_course.nested import leaves
from tinygrad_course.transforms import (
    elementwise_grad,
    grad,
    gradients,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)

RNG = np.random.default_rng(0)
A, B, C = (RNG.normal(size=shape) for shape in [(3, 4), (4,), (3,)])


def differences(f, x, v, h=1e-3):
    """Return the derivative of f along v from values of f: four points, error of order h**4."""
    near, far = (f(x + s * h * v) - f(x - s * h * v) for s in (1, 2))
    return (8 * near - far) / (12 * h)


def is_plain(x):
    return type(x) is np.ndarray


def leaf(data):
    return Tensor(np.array(data, dtype=float), requires_grad=True)


# ---- closed forms ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "slope", "second"),
    [
        (lambda x: (x**3).sum(), lambda x: 3 * x**2, lambda x: np.diag(6 * x)),
        (
            np.prod,
            lambda x: np.prod(x) / x,
            lambda x: np.prod(x) / np.outer(x, x) * (1 - np.eye(4)),
        ),
        (
            lambda x: tc.log(tc.exp(x).sum()),
            lambda x: np.exp(x) / np.exp(x).sum(),
            lambda x: np.diag(_softmax(x)) - np.outer(_softmax(x), _softmax(x)),
        ),
        (lambda x: x @ (A.T @ A) @ x, lambda x: 2 * A.T @ A @ x, lambda x: 2 * A.T @ A),
        (
            lambda x: tc.sqrt((x * x).sum()),
            lambda x: x / np.linalg.norm(x),
            lambda x: np.eye(4) / np.linalg.norm(x) - np.outer(x, x) / np.linalg.norm(x) ** 3,
        ),
    ],
)
def test_gradient_hessian_and_product_have_their_closed_forms(f, slope, second):
    """grad, hessian and hvp give the formulas of a textbook, on arrays as arrays."""
    x = np.abs(B) + 0.5
    v = np.array([1.0, -2.0, 0.5, 3.0])
    value, gradient = value_and_grad(f)(x)
    for result in (value, gradient, hessian(f)(x), hvp(f)(x, v)):
        assert is_plain(result)
    np.testing.assert_allclose(value, f(x), rtol=1e-15)
    np.testing.assert_allclose(gradient, slope(x), rtol=1e-12)
    np.testing.assert_allclose(grad(f)(x), slope(x), rtol=1e-12)
    np.testing.assert_allclose(hessian(f)(x), second(x), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(hvp(f)(x, v), second(x) @ v, rtol=1e-11, atol=1e-12)


def _softmax(x):
    return np.exp(x) / np.exp(x).sum()


def test_elementwise_grad_is_the_derivative_at_every_element():
    """Elementwise functions give f'(x) in the shape of x; rows give each row's own gradient."""
    np.testing.assert_allclose(elementwise_grad(np.tanh)(A), 1 - np.tanh(A) ** 2, rtol=1e-13)
    np.testing.assert_allclose(
        elementwise_grad(elementwise_grad(np.sin))(A), -np.sin(A), rtol=1e-13
    )
    np.testing.assert_allclose(elementwise_grad(lambda x: (x**2).sum(axis=1))(A), 2 * A, rtol=1e-13)
    assert (
        elementwise_grad(lambda a, x: a * x, argnums=1)(2.0, A).tolist()
        == np.full((3, 4), 2).tolist()
    )


def test_jacobian_of_a_matrix_valued_function():
    """The shape is that of the result and then that of the argument, element by element."""
    x = RNG.normal(size=(2, 3))

    def outer(x):
        return tc.einsum("ij,k->kij", x, np.array([1.0, 2.0])) * x[0, 0]

    found = jacobian(outer)(x)
    assert found.shape == (2, 2, 3, 2, 3)
    for place in np.ndindex(2, 3):
        v = np.zeros((2, 3))
        v[place] = 1
        expected = differences(lambda x: np.asarray(outer(x)), x, v)
        np.testing.assert_allclose(found[(..., *place)], expected, atol=1e-9)


@pytest.mark.parametrize(("out", "into"), [((), ()), ((0,), (2,)), ((2,), (0,)), ((), (1, 1))])
def test_jacobian_of_unusual_shapes(out, into):
    """Numbers, and arrays without elements, have a Jacobian of the joined shape."""
    found = jacobian(lambda x: tc.broadcast_to(x.sum(), out))(np.ones(into))
    assert found.shape == out + into
    assert np.all(found == 1)


def test_jacobian_calls_the_function_once():
    """One forward pass serves all rows."""
    calls_made = []
    found = jacobian(lambda x: calls_made.append(1) or tc.sin(x))(B)
    assert len(calls_made) == 1
    np.testing.assert_allclose(found, np.diag(np.cos(B)), rtol=1e-14)


def test_third_order():
    """Transforms nest to the third order, in any mixture."""

    def f(x):
        return tc.sin(x) * x**2

    def third(x):
        return 6 * np.cos(x) - 6 * x * np.sin(x) - x**2 * np.cos(x)

    x = 0.7
    np.testing.assert_allclose(grad(grad(grad(f)))(x), third(x), rtol=1e-13)
    np.testing.assert_allclose(jacobian(hessian(f))(x), third(x), rtol=1e-13)
    np.testing.assert_allclose(grad(lambda x: hvp(f)(x, 1.0))(x), third(x), rtol=1e-13)
    along = jvp(lambda x: jvp(lambda x: jvp(f, (x,), (1.0,))[1], (x,), (1.0,))[1], (x,), (1.0,))
    np.testing.assert_allclose(along[1], third(x), rtol=1e-13)
    vector = np.array([0.3, -0.4])
    tensor = jacobian(hessian(lambda x: (x**4).sum() + x[0] ** 2 * x[1]))(vector)
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 0], expected[1, 1, 1] = 24 * vector
    expected[0, 0, 1] = expected[0, 1, 0] = expected[1, 0, 0] = 2
    np.testing.assert_allclose(tensor, expected, rtol=1e-12)


# ---- against differences and against each other ----------------------------------------------

_STEPS = {
    "tanh": tc.tanh,
    "product": lambda x: x * x[::-1],
    "matrix": lambda x: tc.tanh(A.T @ (A @ x) / 4),
    "mean": lambda x: x - x.mean(),
    "softmax": lambda x: tc.softmax(x, axis=0),
    "quotient": lambda x: x / (1 + (x * x).sum()),
    "sort": lambda x: tc.concatenate([x[1:], x[:1]]),
}


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(_STEPS)), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_products_agree_with_differences_and_with_each_other(names, seed):
    """For chains of operations: jvp, vjp, jacobian, grad, hvp and hessian tell one story."""
    rng = np.random.default_rng(seed)
    x, v, u = (rng.normal(size=4) for _ in range(3))

    def f(x):
        for name in names:
            x = _STEPS[name](x)
        return x

    def loss(x):
        return (f(x) ** 2).sum()

    matrix = jacobian(f)(x)
    value, along = jvp(f, (x,), (v,))
    again, pull = vjp(f, x)
    expected = f(x)
    second = hessian(loss)(x)
    for found, wanted, error in [
        (value, expected, 0),
        (again, expected, 0),
        (along, matrix @ v, 1e-13),
        (pull(u)[0], u @ matrix, 1e-13),
        (grad(loss)(x), 2 * expected @ matrix, 1e-13),
        (second, second.T, 1e-12),
        (hvp(loss)(x, v), second @ v, 1e-12),
        (along, differences(f, x, v, 1e-4), 1e-7),
        (second @ v, differences(grad(loss), x, v, 1e-4), 1e-7),
    ]:
        scale = max(1.0, np.max(np.abs(second)), np.max(np.abs(matrix)))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=error * scale)


_MATRIX = A @ A.T + 3 * np.eye(3)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: tc.matmul(x, x.T), A),
        (np.linalg.inv, _MATRIX),
        (lambda x: np.linalg.slogdet(x)[1], _MATRIX),
        (lambda x: x.max(axis=1), A),
        (lambda x: tc.softmax_cross_entropy(x, np.array([0, 2, 1])), A),
        (lambda x: tc.batch_norm(x, B, None, eps=1e-5)[0], A),
        (lambda x: tc.where(x > 0, tc.exp(x), x), A),
        (lambda x: x[np.array([0, 0, 2])], A),
        (lambda x: x.astype(np.float32).astype(float), A.astype(np.float32).astype(float)),
        (lambda x: tc.linear(x, A, C), RNG.normal(size=(2, 4))),
    ],
)
def test_jvp_through_rows_of_every_kind(f, x):
    """Fused, joint, broadcasting, indexing and casting rows are linear in their upstream."""
    v = RNG.normal(size=x.shape)
    _, along = jvp(f, (x,), (v,))
    matrix = jacobian(f)(x)
    expected = np.tensordot(matrix, v, axes=x.ndim)
    np.testing.assert_allclose(along, expected, atol=1e-6 if "float32" in str(f) else 1e-7)
    assert along.shape == matrix.shape[: matrix.ndim - x.ndim]


def test_hvp_drives_newton_cg():
    """SciPy's Newton-CG takes grad and hvp as they are, and finds the minimum of Rosenbrock's."""
    optimize = pytest.importorskip("scipy.optimize")

    def rosenbrock(x):
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    start = np.array([-1.2, 1.0, 0.8])
    found = optimize.minimize(
        rosenbrock,
        start,
        method="Newton-CG",
        jac=grad(rosenbrock),
        hessp=hvp(rosenbrock),
        options={"xtol": 1e-10},
    )
    assert found.success
    np.testing.assert_allclose(found.x, 1, atol=1e-6)
    both = optimize.minimize(value_and_grad(rosenbrock), start, jac=True, method="BFGS")
    np.testing.assert_allclose(both.x, 1, atol=1e-4)


# ---- what comes in and what goes out ---------------------------------------------------------


def _everything(x):
    """Return every transform's results at x, a vector."""

    def f(x):
        return (x**3).sum()

    ones = Tensor(np.ones(2)) if isinstance(x, Tensor) else np.ones(2)
    value, pull = vjp(lambda x: x * x, x)
    return [
        grad(f)(x),
        *value_and_grad(f)(x),
        *grad(lambda x: (f(x), x * 2), has_aux=True)(x),
        elementwise_grad(np.sin)(x),
        value,
        *pull(ones),
        *jvp(lambda x: x * x, (x,), (ones,)),
        jacobian(lambda x: x * x)(x),
        hessian(f)(x),
        hvp(f)(x, ones),
    ]


def test_arrays_give_arrays():
    """Every result for arrays is an array that shares no memory with the argument."""
    x = np.array([1.0, 2.0])
    for result in _everything(x):
        assert is_plain(result)
        assert not np.shares_memory(result, x)
    assert x.tolist() == [1.0, 2.0]


def test_gradients_own_their_memory():
    """No two gradients, and no gradient and upstream, share memory; all can be written into."""
    x = np.ones(3)
    results = list(grad(lambda a, b: (a + b).sum(), (0, 1))(x, x))
    upstream = np.ones(3)
    results += [upstream, *vjp(lambda a, b: a + b, x, x)[1](upstream)]
    results += [x, vjp(lambda a: a, x)[1](upstream)[0], jvp(lambda a: a, (x,), (upstream,))[1]]
    for k, result in enumerate(results):
        result[...] = k
    assert [result.tolist() for result in results] == [[k] * 3 for k in range(len(results))]


def test_tensors_give_tensors():
    """Tensors give Tensors; they are recorded if the argument is, and recording is on."""
    for result in _everything(Tensor([1.0, 2.0])):
        assert isinstance(result, Tensor)
        assert not result.requires_grad
        assert result.is_leaf
    for result in _everything(leaf([1.0, 2.0])):
        assert isinstance(result, Tensor)
        assert result.requires_grad
    with tc.no_grad():
        for result in _everything(leaf([1.0, 2.0])):
            assert isinstance(result, Tensor)
            assert not result.requires_grad


def test_numbers_give_arrays_without_axes():
    """Python floats and NumPy scalars give 0-d arrays; dtypes stay."""
    for x in (2.0, np.float64(2.0), np.array(2.0)):
        value, slope = value_and_grad(lambda x: x**3)(x)
        assert is_plain(value)
        assert is_plain(slope)
        assert (value.shape, float(slope)) == ((), 12.0)
    small = np.ones(2, dtype=np.float32)
    assert grad(lambda x: (x * A[0, :2]).sum())(small).dtype == np.float32
    assert jacobian(lambda x: x * 2)(small).dtype == np.float32
    assert jvp(lambda x: x * 2, (small,), (np.ones(2),))[1].dtype == np.float32


def test_inside_the_arguments_are_tensors():
    """What is differentiated is a Tensor in f; other arguments and keywords arrive untouched."""
    seen = {}

    def f(x, data, *, scale, labels):
        seen.update(x=x, data=data, scale=scale, labels=labels)
        return (x * scale).sum()

    data, labels = np.ones(2), [1, 2]
    assert grad(f)(np.ones(3), data, scale=4.0, labels=labels).tolist() == [4.0] * 3
    assert isinstance(seen["x"], Tensor)
    assert seen["data"] is data
    assert seen["labels"] is labels


def test_argnums():
    """An int gives one gradient, a tuple a tuple, in the order asked for."""

    def f(a, b, c):
        return a * b**2 * c**3

    assert grad(f, 1)(2.0, 3.0, 1.0) == 12
    assert [float(g) for g in grad(f, (2, 0))(2.0, 3.0, 1.0)] == [54, 9]
    assert isinstance(grad(f, (0,))(2.0, 3.0, 1.0), tuple)
    second = hessian(f, (0, 1))(2.0, 3.0, 1.0)
    assert [[float(h) for h in row] for row in second] == [[0, 6], [6, 4]]
    product = hvp(f, (0, 1))(2.0, 3.0, 1.0, (1.0, 10.0))
    assert [float(h) for h in product] == [60, 46]
    assert hvp(f, 1)(2.0, 3.0, 1.0, 10.0) == 40


def test_a_gradient_that_does_not_exist_is_zeros():
    """A result that does not depend on the argument, or on nothing, has zeros in its shape."""
    assert (
        grad(lambda x, y: y.sum(), argnums=0)(np.ones((2, 3)), np.ones(4)).tolist() == [[0] * 3] * 2
    )
    assert grad(lambda x: 3.0)(np.ones(2)).tolist() == [0, 0]
    assert grad(lambda x: Tensor(x.data).sum())(np.ones(2)).tolist() == [0, 0]
    assert jacobian(tc.zeros_like)(np.ones(2)).tolist() == [[0, 0], [0, 0]]
    assert jvp(lambda x: (x, 5.0), (2.0,), (1.0,))[1] == (1.0, 0.0)
    assert hessian(lambda x: x.sum())(np.ones(2)).tolist() == [[0, 0], [0, 0]]
    assert vjp(lambda x: 3.0, np.ones(2))[1](1.0)[0].tolist() == [0, 0]


def test_aux():
    """aux comes out beside the result: Tensors in it as what was given, all else as it is."""
    array = np.arange(3)

    def f(x):
        return (x * x).sum(), {"double": x * 2, "n": 3, "array": array, "none": None}

    gradient, aux = grad(f, has_aux=True)(np.ones(2))
    (value, _), _ = value_and_grad(f, has_aux=True)(np.ones(2))
    assert (gradient.tolist(), float(value)) == ([2, 2], 2.0)
    assert is_plain(aux["double"])
    assert aux["array"] is array
    assert (aux["double"].tolist(), aux["n"], aux["none"]) == ([2, 2], 3, None)
    assert len(vjp(f, np.ones(2), has_aux=True)) == 3
    assert jvp(f, (np.ones(2),), (np.ones(2),), has_aux=True)[2]["n"] == 3
    assert jacobian(f, has_aux=True)(np.ones(2))[1]["n"] == 3
    matrix, aux = hessian(f, has_aux=True)(np.ones(2))
    assert (matrix.tolist(), aux["double"].tolist()) == ([[2, 0], [0, 2]], [2, 2])
    _, aux = grad(f, has_aux=True)(Tensor(np.ones(2)))
    assert isinstance(aux["double"], Tensor)
    assert not aux["double"].requires_grad


def test_nothing_is_left_behind():
    """No .grad is written, no argument changed, and the functions that run are closed again."""
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    grad(lambda x: (x * w).sum())(x)
    assert x.grad is None
    assert w.grad is None
    assert not calls._open

    def fails(*_args):
        raise KeyError("inside")

    for call in (grad(fails), jacobian(fails), hvp(fails)):
        with pytest.raises(KeyError):
            call(1.0, 1.0)
    assert not calls._open
    assert (x * 2).requires_grad, "recording is as before"


# ---- containers ------------------------------------------------------------------------------


class Layer(NamedTuple):
    w: object
    b: object


@dataclass(frozen=True)
class Model:
    layers: list
    scale: float
    name: str


def _predict(model, x):
    for layer in model.layers:
        x = tc.tanh(x @ layer.w + layer.b)
    return x * model.scale


def _model():
    rng = np.random.default_rng(1)
    shapes = [(3, 2), (2, 2)]
    layers = [Layer(rng.normal(size=s), rng.normal(size=s[1])) for s in shapes]
    return Model(layers, 0.5, "net")


def test_gradients_have_the_nesting_of_the_argument():
    """Dataclasses, lists and named tuples come back with gradients in them, None for texts."""
    model, x = _model(), RNG.normal(size=(5, 3))

    def loss(model, x):
        assert model.name == "net"
        return (_predict(model, x) ** 2).sum()

    found = grad(loss)(model, x)
    assert type(found) is Model
    assert found.name is None
    assert [type(layer) for layer in found.layers] == [Layer, Layer]

    def moved(w):
        first, second = model.layers
        return loss(Model([Layer(w, first.b), second], model.scale, "net"), x)

    v = RNG.normal(size=(3, 2))
    expected = differences(moved, model.layers[0].w, v)
    np.testing.assert_allclose((found.layers[0].w * v).sum(), expected, rtol=1e-8)
    np.testing.assert_allclose(found.scale, 2 * loss(model, x) / model.scale, rtol=1e-12)
    assert all(is_plain(g) for g in leaves(found) if g is not None)


def test_leaves_without_derivative_pass_and_have_none():
    """Whole numbers, booleans, texts, None and integer arrays go in as they are."""
    argument = {
        "x": [1.0, np.float32(2), 3 + 4j, np.ones(2)],
        "rest": (1, True, "text", None, np.arange(2), Tensor([1, 2]), len),
    }

    def f(a):
        assert all(
            inside is given for inside, given in zip(a["rest"], argument["rest"], strict=True)
        )
        assert all(isinstance(x, Tensor) for x in a["x"])
        return a["x"][0] * a["x"][1] * tc.abs(a["x"][2]) ** 2 + a["x"][3].sum()

    found = grad(f)(argument)
    assert found["rest"] == (None,) * 7
    np.testing.assert_allclose([np.sum(g) for g in found["x"]], [50, 25, 12 - 16j, 2], rtol=1e-14)


def test_a_default_dict_stays_one():
    """Subclasses of dict keep what they are."""
    weights = defaultdict(float, a=1.0, b=2.0)
    found = grad(lambda w: w["a"] * w["b"] + w["c"])(weights)
    assert type(found) is defaultdict
    assert found["new"] == 0.0
    assert float(found["a"]) == 2


def test_products_take_and_give_nested_things():
    """vjp and jvp pair with each other through containers: <u, Jv> = <uJ, v>."""
    model, x = _model(), RNG.normal(size=(5, 3))

    def f(model, x):
        out = _predict(model, x)
        return {"out": out, "norms": [tc.sqrt((out**2).sum()), (out.mean(), None)]}

    rng = np.random.default_rng(5)
    v = Model(
        [Layer(rng.normal(size=a.shape), rng.normal(size=b.shape)) for a, b in model.layers],
        0.3,
        None,
    )
    dx = rng.normal(size=x.shape)
    u = {"norms": [0.7, (-1.0, None)], "out": rng.normal(size=(5, 2))}
    value, along = jvp(f, (model, x), (v, dx))
    again, pull = vjp(f, model, x)
    back = pull(u)
    assert along["norms"][1][1] is None
    assert type(back[0]) is Model
    for a, b in zip(leaves(value), leaves(again), strict=True):
        assert (a is None) or np.array_equal(a, b)

    def dot(a, b):
        return sum((np.asarray(p) * q).sum() for p, q in zip(a, b, strict=True) if p is not None)

    forward = dot([u["out"], *leaves(u["norms"])], [along["out"], *leaves(along["norms"])])
    np.testing.assert_allclose(forward, dot(leaves(back), leaves((v, dx))), rtol=1e-12)


def test_one_result_given_twice():
    """A Tensor that stands at two places of the result collects both upstream gradients."""

    def f(x):
        y = x * 2
        return {"a": y, "b": [y, x]}

    (found,) = vjp(f, 3.0)[1]({"a": 1.0, "b": [10.0, 100.0]})
    assert found == 122
    assert jvp(f, (3.0,), (1.0,))[1] == {"a": 2, "b": [2, 1]}


def test_jacobian_and_hessian_of_nested_things():
    """The nesting of the result, and in it that of the argument; the Hessian has it twice."""

    def f(p):
        return {"y": p["a"] * p["b"], "z": (p["a"].sum(), None)}

    p = {"a": np.array([1.0, 2.0]), "b": 3.0, "n": 4}
    found = jacobian(f)(p)
    assert found["y"]["a"].tolist() == [[3, 0], [0, 3]]
    assert found["y"]["b"].tolist() == [1, 2]
    assert found["z"][0]["a"].tolist() == [1, 1]
    assert found["z"][0]["b"] == 0
    assert found["z"][1] is None
    assert found["y"]["n"] is None
    second = hessian(lambda p: (p["a"] ** 2 * p["b"]).sum())(p)
    assert second["a"]["a"].tolist() == [[6, 0], [0, 6]]
    assert second["a"]["b"].tolist() == [2, 4]
    assert second["b"]["a"].tolist() == [2, 4]
    assert second["n"] is None
    product = hvp(lambda p: (p["a"] ** 2 * p["b"]).sum())(
        p, {"a": [1.0, 0.0], "b": 10.0, "n": None}
    )
    assert product["a"].tolist() == [26, 40]
    assert product["b"] == 2


# ---- one transform inside another, and backward around them ----------------------------------


def test_inner_and_outer_variables_are_not_confused():
    """d/dx (x · d/dy (x + y)) is 1, and its cousins: each walk ends at its own argument."""
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(2.0) == 1
    assert grad(lambda x: x * grad(lambda y: x * y)(x))(3.0) == 6
    assert grad(lambda x: grad(lambda y: x * y**2)(x) * x)(2.0) == 24
    assert grad(lambda x: jvp(lambda y: x * y, (x,), (x,))[1])(3.0) == 6
    assert grad(lambda x: jacobian(lambda y: y * x)(np.ones(2)).sum())(3.0) == 2


def test_an_inner_result_that_depends_on_an_outer_argument_is_recorded():
    """Given arrays, the inner transform still returns Tensors where an outer one needs them."""
    kinds = []

    def f(x):
        inner = value_and_grad(lambda y: (x * y * y).sum())
        value, slope = inner(np.ones(2))
        kinds.append((type(value), type(slope)))
        kinds.append(type(grad(lambda y: (y * y).sum())(np.ones(2))))
        return value + (slope * slope).sum()

    found = grad(f)(np.array([1.0, 3.0]))
    assert kinds == [(Tensor, Tensor), np.ndarray]
    assert found.tolist() == [1 + 8, 1 + 24]


def test_results_of_one_call_are_of_one_kind():
    """Where one result depends on a recorded Tensor, the others are Tensors too."""
    w = leaf([1.0, 2.0])
    value, slope = value_and_grad(lambda x: (x * x + w).sum())(np.ones(2))
    assert isinstance(value, Tensor)
    assert isinstance(slope, Tensor)
    assert value.requires_grad
    assert not slope.requires_grad
    value.backward()
    assert w.grad.tolist() == [1, 1]
    for captured in (w, w * 2):
        value, slope = value_and_grad(lambda x, c=captured: c[0])(1.0)
        assert value.requires_grad
        value, _ = vjp(lambda x, c=captured: c, 1.0)
        assert value is captured


def test_jacobian_inside_a_differentiated_function():
    """grad of a function that uses the whole Jacobian of another one."""

    def f(w):
        matrix = jacobian(lambda x: tc.tanh(A @ x) * w)(B)
        return (matrix**2).sum()

    v = np.array([1.0, -1.0, 0.5])
    np.testing.assert_allclose((grad(f)(C) * v).sum(), differences(f, C, v), rtol=1e-8)
    assert is_plain(grad(f)(C))


def test_backward_around_transforms():
    """A penalty on an input gradient reaches the parameters by backward, as if written out."""
    w, x = leaf(C), np.array([0.5, -1.0, 2.0])

    def score(x):
        return (tc.tanh(x * w) * w).sum()

    slope = grad(score)(x)
    assert isinstance(slope, Tensor)
    assert slope.requires_grad
    penalty = (slope**2).sum()
    penalty.backward()

    def by_hand(w):
        return ((w**2 * (1 - np.tanh(x * w) ** 2)) ** 2).sum()

    v = np.array([1.0, 2.0, -1.0])
    np.testing.assert_allclose((w.grad * v).sum(), differences(by_hand, C, v), rtol=1e-8)


def test_a_module_captured_by_the_function():
    """What depends on a module's parameters is recorded where recording is on, and only there."""
    model = nn.Linear(3, 1, dtype=float)
    f = grad(lambda x: (model(x) ** 2).sum())
    with tc.no_grad():
        plain = f(np.ones((2, 3)))
    recorded = f(np.ones((2, 3)))
    assert is_plain(plain)
    np.testing.assert_array_equal(plain, recorded.data)
    recorded.sum().backward()
    assert np.all(np.isfinite(model.weight.grad))
    for parameter in model.parameters():
        parameter.requires_grad = False
    assert is_plain(f(np.ones((2, 3))))


def test_an_outer_graph_survives_what_happens_inside():
    """A walk ends at its own arguments: values recorded before are neither used up nor freed."""
    w = leaf([1.0, 2.0])
    y = w * w
    with tc.no_grad():
        assert grad(lambda x: (x * y).sum())(np.ones(2)).tolist() == [1, 4]
        assert grad(lambda x: (x * x).sum())(y).data.tolist() == [2, 8]
    found = grad(lambda x: (x * x * y).sum())(np.ones(2))
    found.sum().backward(retain_graph=True)
    assert w.grad.tolist() == [4, 8]
    w.grad = None
    y.sum().backward()
    assert w.grad.tolist() == [2, 4]


def test_pull_is_differentiable_in_its_upstream():
    """pull is linear in u; a transform around it sees that, also where no other Tensor is."""
    x = np.array([1.0, 2.0])
    value, pull = vjp(lambda x: x**3, x)
    found = grad(lambda u: (pull(u)[0] * np.array([1.0, 10.0])).sum())(np.array([5.0, 6.0]))
    assert found.tolist() == [3, 120]
    assert is_plain(pull(value)[0])
    u = leaf([1.0, 1.0])
    recorded = pull(u)[0]
    assert recorded.requires_grad
    recorded.sum().backward()
    assert u.grad.tolist() == [3, 12]
    assert pull(np.ones(2))[0].tolist() == [3, 12], "any number of times"


def test_derivatives_of_jvp():
    """The directional derivative can be differentiated, in the point and in the direction."""

    def f(x):
        return (x**3).sum() + x[0] * x[1]

    x, v, w = np.array([1.0, 2.0]), np.array([3.0, -1.0]), np.array([0.5, 4.0])
    second = np.array([[6.0, 1.0], [1.0, 12.0]])
    slope = np.array([3.0 + 2.0, 12.0 + 1.0])
    by_point = grad(lambda x: jvp(f, (x,), (v,))[1])(x)
    by_direction = grad(lambda v: jvp(f, (x,), (v,))[1])(v)
    np.testing.assert_allclose(by_point, second @ v, rtol=1e-13)
    np.testing.assert_allclose(by_direction, slope, rtol=1e-13)
    twice = jvp(lambda x: jvp(f, (x,), (v,))[1], (x,), (w,))
    np.testing.assert_allclose(twice, [slope @ v, w @ second @ v], rtol=1e-13)
    t = leaf(v)
    jvp(f, (x,), (t,))[1].backward()
    np.testing.assert_allclose(t.grad, slope, rtol=1e-13)


def test_functions_may_write_into_their_arguments():
    """In-place operations inside are recorded, and the caller's array stays as it was."""

    def f(x):
        x[0] = x[1] * 3
        x *= 2
        return (x**2).sum()

    x = np.array([1.0, 2.0])
    assert grad(f)(x).tolist() == [0, 2 * 4 * 9 * 2 + 2 * 4 * 2]
    assert x.tolist() == [1.0, 2.0]
    t = leaf([1.0, 2.0])
    assert grad(f)(t).data.tolist() == [0, 160]
    assert t.data.tolist() == [1.0, 2.0]


def test_gradients_inside_a_function():
    """Inside, an argument is a Tensor like any other: gradients works on it."""

    def f(x):
        y = (x**3).sum()
        return (gradients(y, x, create_graph=True) ** 2).sum()

    assert grad(f)(np.array([1.0, 2.0])).tolist() == [36, 288]


def test_transforms_can_be_checked_like_any_function():
    """gradcheck differentiates through grad and jvp, to second order."""
    report = tc.gradcheck(lambda x: grad(lambda y: (tc.sin(y) * x).sum())(x), B, order=2, seed=0)
    assert report.verdict == "pass", str(report)
    report = tc.gradcheck(lambda x, v: jvp(tc.exp, (x,), (v,))[1], B, B + 1, seed=0)
    assert report.verdict == "pass", str(report)


# ---- complex numbers -------------------------------------------------------------------------

Z = np.array([1 + 2j, -0.5 + 0.3j, 2 - 1j])


def test_the_gradient_of_a_real_loss_of_complex_arguments():
    """It is ∂f/∂x - i ∂f/∂y, as finite differences in both directions say."""

    def f(z):
        return (tc.abs(z * z + 1j * z.conj()) ** 2).sum()

    found = grad(f)(Z)
    for k in range(3):
        unit = np.eye(3)[k]
        expected = differences(f, Z, unit) - 1j * differences(f, Z, 1j * unit)
        np.testing.assert_allclose(found[k], expected, rtol=1e-8)
    assert grad(lambda z: tc.abs(z) ** 2)(1 + 2j) == 2 - 4j


def test_holomorphic_functions_have_their_complex_derivative():
    """With holomorphic=True the result is f'(z), its Jacobian and its second derivative."""
    assert grad(lambda z: z**3, holomorphic=True)(1 + 2j) == 3 * (1 + 2j) ** 2
    slopes = elementwise_grad(tc.exp, holomorphic=True)(Z)
    np.testing.assert_allclose(slopes, np.exp(Z), rtol=1e-14)
    matrix = jacobian(lambda z: z * z.sum(), holomorphic=True)(Z)
    np.testing.assert_allclose(matrix, Z[:, None] + np.eye(3) * Z.sum(), rtol=1e-14)
    second = hessian(lambda z: (z**3).sum(), holomorphic=True)(Z)
    np.testing.assert_allclose(second, np.diag(6 * Z), rtol=1e-14)


def test_jacobian_of_complex_results_of_real_arguments():
    """A Fourier matrix comes out of its own product with a real vector, whole."""
    fourier = np.exp(-2j * np.pi * np.outer(range(4), range(4)) / 4)
    np.testing.assert_allclose(jacobian(lambda x: fourier @ x)(B), fourier, atol=1e-15)
    nonlinear = jacobian(lambda x: tc.exp(1j * x))(B)
    np.testing.assert_allclose(nonlinear, np.diag(1j * np.exp(1j * B)), atol=1e-15)
    real = jacobian(lambda z: tc.abs(z) ** 2)(Z)
    np.testing.assert_allclose(real, np.diag(2 * Z.conj()), atol=1e-15)


@pytest.mark.parametrize(
    "f",
    [
        lambda z: z * z,
        lambda z: z * z.conj() + z,
        lambda z: z.real * (1 + 2j) + z.imag**2,
        tc.abs,
        lambda z: tc.exp(z) * z.imag,
    ],
)
def test_jvp_of_complex_functions(f):
    """Holomorphic or not, jvp is the change of f along v; and it pairs with vjp as Re Σ u·Jv."""
    v = np.array([0.3 - 1j, 1 + 1j, 2j])
    _, along = jvp(f, (Z,), (v,))
    np.testing.assert_allclose(along, differences(lambda z: np.asarray(f(z)), Z, v), rtol=1e-8)
    u = along.conj() * (1 + 0.5j) if along.dtype.kind == "c" else along + 1
    (back,) = vjp(f, Z)[1](u)
    np.testing.assert_allclose((u * along).sum().real, (back * v).sum().real, rtol=1e-12)


def test_jvp_between_real_and_complex():
    """A real argument may have a complex result and the other way round."""
    _, along = jvp(lambda x: tc.exp(1j * x), (B,), (B + 1,))
    np.testing.assert_allclose(along, 1j * np.exp(1j * B) * (B + 1), rtol=1e-13)
    _, along = jvp(lambda z: z.imag, (Z,), (1j * Z,))
    assert along.dtype == float
    np.testing.assert_allclose(along, Z.real, rtol=1e-13)


def test_hvp_of_a_real_loss_of_complex_arguments():
    """It is the change of the gradient along v."""

    def f(z):
        return (tc.abs(z * z + 1j * z.conj()) ** 2).sum()

    v = np.array([0.3 - 1j, 1 + 1j, 2j])
    np.testing.assert_allclose(hvp(f)(Z, v), differences(grad(f), Z, v), rtol=1e-7)


# ---- refusals --------------------------------------------------------------------------------

ONES = np.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: grad(lambda x: x * 2)(ONES), ShapeError, r"grad: .* shape \(3,\).*jacobian"),
        (lambda: hessian(lambda x: x)(ONES), ShapeError, r"hessian: .*one number"),
        (lambda: hvp(lambda x: x)(ONES, ONES), ShapeError, "hvp: .*one number"),
        (lambda: value_and_grad(lambda x: x)(ONES), ShapeError, "value_and_grad: "),
        (lambda: grad(lambda x: x)(3), DtypeError, r"argument 0 \(int\).*2\.0 for 2"),
        (lambda: grad(lambda x: x)(np.arange(3)), DtypeError, r"int64.*astype\(float\)"),
        (lambda: grad(lambda x: x)({"a": 1, "b": None}), DtypeError, r"argument 0 \(dict\)"),
        (lambda: grad(lambda x, y: x, argnums=1)(1.0, "y"), DtypeError, r"argument 1 \(str\)"),
        (lambda: vjp(lambda x, n: x, ONES, 2), DtypeError, "vjp: argument 1"),
        (lambda: grad(lambda x: x.argmax())(ONES), DtypeError, "int64.*argmax"),
        (lambda: grad(lambda x: x[0] > 0)(ONES), DtypeError, "bool"),
        (lambda: grad(lambda z: z[0])(Z), DtypeError, r"complex.*\.real.*holomorphic=True"),
        (lambda: elementwise_grad(tc.exp)(Z), DtypeError, "elementwise_grad: .*complex"),
        (lambda: grad(lambda x: x, holomorphic=True)(1.0), DtypeError, "needs complex arguments"),
        (lambda: grad(tc.abs, holomorphic=True)(1j), DtypeError, "needs complex arguments"),
        (lambda: jacobian(tc.sin, holomorphic=True)(1.0), DtypeError, "jacobian: holomorphic"),
        (lambda: jacobian(tc.exp)(Z), DtypeError, "jacobian: .*holomorphic=True"),
        (lambda: hessian(lambda z: tc.abs(z[0]) ** 2)(Z), DtypeError, "hessian: .*holomorphic"),
        (lambda: grad(lambda x: None)(1.0), ArgumentError, "returned NoneType, expected a Tensor"),
        (lambda: grad(lambda x: (x, 1.0))(1.0), ArgumentError, "returned tuple.*has_aux=True"),
        (lambda: grad(lambda x: [x])(1.0), ArgumentError, "returned list.*vjp and jacobian"),
        (lambda: jacobian(lambda x: [x, "a"])(1.0), ArgumentError, "returned str.*has_aux=True"),
        (
            lambda: grad(lambda x: x, has_aux=True)(1.0),
            ArgumentError,
            r"\(value, aux\), got Tensor",
        ),
        (lambda: grad(ONES), ArgumentError, "the first argument is ndarray, not a function"),
        (lambda: vjp(ONES, ONES), ArgumentError, "vjp: the first argument is ndarray"),
        (lambda: grad(tc.sin, ONES), ArgumentError, r"argnums must be.*grad\(f\)\(x\)"),
        (lambda: grad(tc.sin, -1), ArgumentError, "argnums must be the position.*-1"),
        (lambda: grad(tc.sin, (0, 0)), ArgumentError, "different ones"),
        (lambda: grad(tc.sin, ()), ArgumentError, "argnums must be"),
        (lambda: grad(tc.sin, argnums=1)(1.0), ArgumentError, "argument 1 .* 1 positional"),
        (lambda: grad(lambda x: x)(x=1.0), ArgumentError, "argument 0 .* 0 positional"),
        (lambda: hvp(lambda x: x)(1.0), ArgumentError, r"got 1 arguments.*hvp\(f\)\(x, v\)"),
        (hvp(lambda x: x), ArgumentError, "got 0 arguments"),
        (lambda: hvp(lambda x: x.sum())(ONES, np.ones(2)), ShapeError, r"vector: .*\(2,\).*\(3,\)"),
        (lambda: hvp(lambda x: x.sum())(ONES, 1j * ONES), DtypeError, "hvp: vector: got complex"),
        (lambda: vjp(tc.sin, ONES)[1](1.0), ShapeError, r"upstream gradient: .*\(\).*\(3,\)"),
        (lambda: vjp(tc.sin, ONES)[1](None), ArgumentError, "got None, expected an array"),
        (lambda: vjp(tc.sin, ONES)[1]("abc"), DtypeError, "cannot compute with dtype"),
        (lambda: vjp(tc.sin, ONES)[1](Z), DtypeError, "got complex numbers, expected real"),
        (lambda: vjp(lambda x: [x], ONES)[1](ONES), ArgumentError, "expected a list of 1"),
        (
            lambda: vjp(lambda x: (x, None), 1.0)[1]((1.0, 2.0)),
            ArgumentError,
            "got float, expected None",
        ),
        (lambda: jvp(tc.sin, ONES, ONES), ArgumentError, r"primals is ndarray.*jvp\(f, \(x,\)"),
        (lambda: jvp(tc.sin, (ONES,), ONES), ArgumentError, "tangents is ndarray"),
        (lambda: jvp(tc.sin, (ONES,), (ONES, ONES)), ArgumentError, "tangents: got a tuple of 2"),
        (lambda: jvp(tc.sin, (ONES,), (1.0,)), ShapeError, r"tangents\[0\]: got shape \(\)"),
        (lambda: jvp(tc.sin, (ONES,), (Z,)), DtypeError, r"tangents\[0\]: got complex"),
    ],
)
def test_what_cannot_be_differentiated_is_refused(call, error, words):
    """The message names the transform, what came, what was expected and what to do."""
    with pytest.raises(error, match=words):
        call()


def test_history_is_not_lost_inside_a_transform():
    """An argument cannot become a plain array unnoticed: that would give zeros for a gradient."""
    with pytest.raises(UnsupportedFunctionError, match="lose its history"):
        grad(lambda x: Tensor(np.asarray(x)).sum())(ONES)


def test_a_value_that_the_caller_used_up_is_named():
    """backward on the recorded value of vjp frees the graph that pull walks."""
    x = leaf([1.0, 2.0])
    value, pull = vjp(lambda x: tc.exp(x) * x, x)
    value.sum().backward()
    with pytest.raises(FreedGraphError, match="retain_graph=True"):
        pull(np.ones(2))


def test_a_transformed_function_has_a_name():
    """What a transform returns says what it is."""

    def loss(x):
        return x

    assert grad(loss).__name__ == "grad(loss)"
    assert hessian(loss).__name__ == "hessian(loss)"
    assert "loss" in jacobian(loss).__doc__
    assert hvp(nn.Tanh()).__name__ == "hvp(Tanh)"
