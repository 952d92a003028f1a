"""Every registered primitive, at its own samples."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from tinygrad_course import Tensor, gradients
from tinygrad_course.checking import gradcheck
from tinygrad_course.errors import ArgumentError
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES, primitive
from tinygrad_course.protocols import load_all

load_all()

CASES = [
    pytest.param(name, inputs, params, id=f"{name}-{i}")
    for name, row in PRIMITIVES.items()
    for i, (inputs, params) in enumerate(row.samples(np.random.default_rng(0)))
]
DIFFERENTIABLE = [case for case in CASES if PRIMITIVES[case.values[0]].differentiable]
COMPLEX = [case for case in DIFFERENTIABLE if not PRIMITIVES[case.values[0]].real]
PURE = [case for case in CASES if not PRIMITIVES[case.values[0]].effect]


WIDENING = {"bincount", "corrcoef", "cov", "histogram", "interp", "sort_complex"}
"""NumPy's own functions give float64 (or complex numbers) for float32 here."""


def is_floating(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def tensors(inputs, dtype=None):
    return [
        Tensor(np.array(x, dtype=dtype), requires_grad=True) if is_floating(x) else x
        for x in inputs
    ]


def parts(result):
    return list(result) if isinstance(result, tuple) else [result]


def upstream(outputs, dtype=float):
    rng = np.random.default_rng(1)
    return [rng.standard_normal(np.shape(out)).astype(dtype) for out in outputs]


def wanted(name, leaves):
    row = PRIMITIVES[name]
    return [
        x
        for i, x in enumerate(leaves)
        if isinstance(x, Tensor) and (not row.vjps or row.vjps[i] is not None)
    ]


@pytest.mark.parametrize(("name", "inputs", "params"), DIFFERENTIABLE)
def test_derivative_matches_differences_to_second_order(name, inputs, params):
    """First and second derivatives agree with two-sided differences at every sample."""
    report = gradcheck(lambda *xs: FUNCTIONS[name](*xs, **params), *inputs, order=2, seed=0)
    assert report, str(report)


@pytest.mark.parametrize(("name", "inputs", "params"), COMPLEX)
def test_derivative_matches_differences_at_complex_numbers(name, inputs, params):
    """A row that takes complex numbers has right first and second derivatives there."""
    rng = np.random.default_rng(2)
    lifted = [x + 1j * rng.uniform(0.1, 0.5, x.shape) if is_floating(x) else x for x in inputs]
    if not any(map(np.iscomplexobj, lifted)):
        pytest.skip("this sample has no floating input")
    report = gradcheck(lambda *xs: FUNCTIONS[name](*xs, **params), *lifted, order=2, seed=0)
    assert report, str(report)


@pytest.mark.parametrize(("name", "inputs", "params"), DIFFERENTIABLE)
def test_rule_gives_the_same_on_arrays_and_on_tensors(name, inputs, params):
    """A recorded backward pass has the values of the plain one; fused rows match their formula."""
    leaves = tensors(inputs)
    targets = wanted(name, leaves)
    outputs = [out for out in parts(FUNCTIONS[name](*leaves, **params)) if out.requires_grad]
    weights = upstream(outputs)
    plain = gradients(outputs, targets, weights, retain_graph=True)
    recorded = gradients(outputs, targets, weights, create_graph=True)
    for a, b in zip(plain, recorded, strict=True):
        np.testing.assert_allclose(a, b.data, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("name", "inputs", "params"), DIFFERENTIABLE)
def test_float32_stays_float32(name, inputs, params):
    """float32 inputs give float32 results and float32 gradients."""
    if "dtype" in params:
        pytest.skip("astype is there to change the dtype")
    leaves = tensors(inputs, np.float32)
    params = {k: v.astype(np.float32) if is_floating(v) else v for k, v in params.items()}
    outputs = [out for out in parts(FUNCTIONS[name](*leaves, **params)) if out.requires_grad]
    if name not in WIDENING:
        assert {out.dtype for out in outputs} <= {np.dtype(np.float32), np.dtype(np.complex64)}
    targets = wanted(name, leaves)
    weights = [w.astype(out.dtype) for w, out in zip(upstream(outputs), outputs, strict=True)]
    for g in gradients(outputs, targets, weights):
        assert g.dtype == np.float32


@pytest.mark.parametrize(("name", "inputs", "params"), PURE)
def test_tensors_and_arrays_give_the_same_value(name, inputs, params):
    """A recorded call computes exactly what the call on arrays computes."""
    on_arrays = parts(FUNCTIONS[name](*inputs, **params))
    leaves = [Tensor(x, requires_grad=True) if is_floating(x) else x for x in inputs]
    on_tensors = parts(FUNCTIONS[name](*leaves, **params))
    for a, t in zip(on_arrays, on_tensors, strict=True):
        np.testing.assert_array_equal(a, t.data)


@pytest.mark.parametrize(("name", "inputs", "params"), DIFFERENTIABLE)
def test_memory_order_does_not_matter(name, inputs, params):
    """Inputs whose memory goes column by column have the same gradients."""
    turned = [np.array(x, order="F") if is_floating(x) else x for x in inputs]
    found = []
    for given in (inputs, turned):
        leaves = [Tensor(x, requires_grad=True) if is_floating(x) else x for x in given]
        outputs = [out for out in parts(FUNCTIONS[name](*leaves, **params)) if out.requires_grad]
        found.append(gradients(outputs, wanted(name, leaves), upstream(outputs)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("name", "inputs", "params"), DIFFERENTIABLE)
def test_inputs_and_upstream_are_left_alone(name, inputs, params):
    """Neither the forward function nor the rule writes into what it is given."""
    before = [np.copy(x) if is_floating(x) else x for x in inputs]
    leaves = tensors(inputs)
    outputs = [out for out in parts(FUNCTIONS[name](*leaves, **params)) if out.requires_grad]
    weights = upstream(outputs)
    kept = [w.copy() for w in weights]
    gradients(outputs, wanted(name, leaves), weights)
    for x, y in zip(leaves, before, strict=True):
        if isinstance(x, Tensor):
            np.testing.assert_array_equal(x.data, y)
    for w, k in zip(weights, kept, strict=True):
        np.testing.assert_array_equal(w, k)


@pytest.mark.parametrize("name", [n for n, row in PRIMITIVES.items() if row.differentiable])
def test_a_primitive_leaves_no_reference_cycle(name):
    """Graphs are freed by reference counts alone, also when the backward pass was recorded."""
    samples = list(PRIMITIVES[name].samples(np.random.default_rng(0)))
    gc.collect()
    gc.disable()
    try:
        for inputs, params in samples:
            leaves = tensors(inputs)
            results = parts(FUNCTIONS[name](*leaves, **params))
            outputs = [out for out in results if out.requires_grad]
            found = gradients(outputs, wanted(name, leaves), upstream(outputs), create_graph=True)
            del leaves, results, outputs, found
        assert gc.collect() == 0
    finally:
        gc.enable()


NUMPYS = [case for case in PURE if PRIMITIVES[case.values[0]].numpy]


@pytest.mark.parametrize(("name", "inputs", "params"), NUMPYS)
def test_value_is_numpys(name, inputs, params):
    """A primitive that stands for a function of NumPy has its value and dtype, bit for bit."""
    row = PRIMITIVES[name]
    ours = FUNCTIONS[name](*inputs, **params)
    theirs = row.numpy[0](inputs, **params) if row.variadic else row.numpy[0](*inputs, **params)
    theirs = tuple(theirs) if isinstance(theirs, list) else theirs
    for a, b in zip(parts(ours), parts(theirs), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype


def test_every_kind_of_row_is_registered():
    """The registry holds a row of every kind that later parts build on."""
    rows = PRIMITIVES.values()
    assert any(row.outputs and row.constant_outputs for row in rows)  # slogdet
    assert any(row.variadic for row in rows)  # concatenate
    assert any(row.residuals and row.formula and row.joint for row in rows)  # batch_norm
    assert {row.effect for row in rows} == {"", "write", "draw"}  # assign, random_mask
    x, weight = Tensor(np.ones((2, 3)), requires_grad=True), np.ones((4, 3))
    FUNCTIONS["linear"](x, weight, None).sum().backward()  # an optional input
    np.testing.assert_array_equal(x.grad, np.full((2, 3), 4.0))


def test_every_row_has_samples_and_documentation():
    """No row escapes the checks above for want of samples, and each says what it does."""
    for name, row in PRIMITIVES.items():
        assert sum(1 for _ in row.samples(np.random.default_rng(0))) >= 1, name
        assert (FUNCTIONS[name].__doc__ or "").strip(), name


def test_a_row_without_samples_is_refused():
    """A primitive cannot be registered without samples, or under a name that is taken."""
    with pytest.raises(ArgumentError, match="samples"):
        primitive("unsampled", np.exp, None, lambda g, _ans, _x: g, doc="")
    with pytest.raises(ArgumentError, match="registered already"):
        primitive("exp", np.exp, lambda rng: [], lambda g, _ans, _x: g, doc="")
    assert "unsampled" not in PRIMITIVES


def test_only_what_a_rule_reads_is_kept():
    """An argument spelled with an underscore is not saved for backward."""
    x = Tensor(np.ones(3), requires_grad=True)
    assert [part is None for part in (x + 1.0)._node.saved] == [True, True, True]
    assert [part is None for part in FUNCTIONS["exp"](x)._node.saved] == [False, True]
    assert [part is None for part in FUNCTIONS["sin"](x)._node.saved] == [True, False]
