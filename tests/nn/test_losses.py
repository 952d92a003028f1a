"""Losses: PyTorch's numbers, right gradients, one dtype throughout, and refusals that explain."""

from __future__ import annotations

import runpy
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, ShapeError

SCRIPT = Path(__file__).resolve().parents[1] / "reference" / "make_torch_reference.py"
reference = SimpleNamespace(**runpy.run_path(str(SCRIPT)))
ANSWERS = reference.read()["losses"]

F = nn.functional
LOSSES = pytest.mark.parametrize("name", reference.LOSSES)
ELEMENTWISE = pytest.mark.parametrize("kind", [nn.MSELoss, nn.BCEWithLogitsLoss])
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


def build(name):
    kind, _, _, reduction = reference.LOSSES[name]
    return getattr(nn, kind)(reduction=reduction)


def compare(name, answer):
    """Compare our loss and its derivative with PyTorch's."""
    x = tc.Tensor(answer["x"], requires_grad=True)
    loss = build(name)(x, answer["target"])
    loss.backward(answer["g"])
    reference.close(loss.data, answer["out"], "value")
    reference.close(x.grad, answer["dx"], "derivative")


@LOSSES
def test_a_loss_has_the_stored_numbers_of_pytorch(name):
    """Value and derivative by the scores are PyTorch's, for every reduction."""
    assert ANSWERS.keys() == reference.LOSSES.keys()
    compare(name, ANSWERS[name])


@needs_torch
@pytest.mark.parametrize("seed", [1001, 1002])
@LOSSES
def test_a_loss_has_pytorchs_numbers_on_fresh_input(name, seed):
    """The agreement does not depend on the stored random numbers."""
    compare(name, reference.torch_loss(name, seed))


@LOSSES
def test_the_derivative_of_a_loss_is_right(name):
    """Scores pass the gradient check to second order, and so do targets that are numbers."""
    x, target = ANSWERS[name]["x"], ANSWERS[name]["target"]
    loss = build(name)
    report = tc.gradcheck(lambda x: loss(x, target), x, order=2, seed=0)
    assert report, str(report)
    if target.dtype.kind == "f":
        report = tc.gradcheck(loss, x, target, seed=0)
        assert report, str(report)


@LOSSES
def test_a_target_may_be_a_tensor(name):
    """Arrays and Tensors as targets give the same bits."""
    x, target = tc.Tensor(ANSWERS[name]["x"]), ANSWERS[name]["target"]
    loss = build(name)
    np.testing.assert_array_equal(loss(x, target).data, loss(x, tc.Tensor(target)).data)


@LOSSES
def test_the_function_is_the_module(name):
    """The function of nn.functional gives the same bits as the module."""
    kind, _, _, reduction = reference.LOSSES[name]
    function = {
        "CrossEntropyLoss": F.cross_entropy,
        "BCEWithLogitsLoss": F.binary_cross_entropy_with_logits,
        "MSELoss": F.mse_loss,
    }[kind]
    x, target = ANSWERS[name]["x"], ANSWERS[name]["target"]
    out = function(tc.Tensor(x), target, reduction=reduction)
    np.testing.assert_array_equal(out.data, build(name)(tc.Tensor(x), target).data)


@LOSSES
def test_float32_scores_give_a_float32_loss(name):
    """Loss and gradient stay float32 with a target of that dtype."""
    x = tc.Tensor(ANSWERS[name]["x"].astype(np.float32), requires_grad=True)
    target = ANSWERS[name]["target"]
    target = target.astype(np.float32) if target.dtype.kind == "f" else target
    loss = build(name)(x, target)
    loss.sum().backward()
    assert loss.dtype == x.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        pytest.param(nn.CrossEntropyLoss, np.full((2, 3), 1 / 3), id="probabilities"),
        pytest.param(nn.BCEWithLogitsLoss, np.zeros((2, 3)), id="logistic, float64"),
        pytest.param(nn.BCEWithLogitsLoss, tc.Tensor(np.zeros((2, 3), int)), id="logistic, int"),
        pytest.param(nn.MSELoss, np.zeros((2, 3)), id="squared error, float64"),
        pytest.param(nn.MSELoss, np.zeros((2, 3), int), id="squared error, int"),
        pytest.param(nn.MSELoss, [[0.0] * 3] * 2, id="squared error, list"),
    ],
)
def test_the_target_takes_the_dtype_of_the_scores(kind, target):
    """NumPy's usual float64 and int64 targets do not turn a float32 net's loss into float64."""
    scores = tc.Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    assert kind()(scores, target).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint32, np.int32, np.int64])
def test_labels_may_have_any_whole_dtype(dtype):
    """Small and unsigned labels pick the same classes."""
    scores = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, -1.0]])
    expected = F.cross_entropy(scores, np.array([2, 1]), reduction="none")
    found = F.cross_entropy(scores, np.array([2, 1], dtype), reduction="none")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.uint64, ">i8", ">i4"])
def test_labels_of_unusual_whole_dtypes(dtype):
    """Labels of 64 unsigned bits, or in the byte order of other machines' files, are labels too."""
    found = F.cross_entropy(np.zeros((2, 3)), np.array([2, 1]).astype(dtype))
    np.testing.assert_allclose(found, np.log(3))


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_scores_in_every_layout(reduction):
    """Transposed scores, whose memory goes column by column, have the same loss and gradient."""
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(3, 4)), np.array([1, 0, 3])
    plain = tc.Tensor(scores, requires_grad=True)
    turned = tc.Tensor(scores.T.copy().T, requires_grad=True)
    losses = [F.cross_entropy(t, labels, reduction=reduction) for t in (plain, turned)]
    np.testing.assert_array_equal(losses[1].data, losses[0].data)
    for loss in losses:
        loss.sum().backward()
    np.testing.assert_array_equal(turned.grad, plain.grad)


def test_labels_in_every_layout():
    """Strided and reversed labels pick the classes that they name."""
    scores = np.arange(12.0).reshape(4, 3) ** 1.5
    labels = np.array([0, 9, 2, 9, 1, 9, 0, 9])[::2][::-1]
    expected = F.cross_entropy(scores, labels.copy(), reduction="none")
    np.testing.assert_array_equal(F.cross_entropy(scores, labels, reduction="none"), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_survive_extreme_scores(dtype):
    """Scores of ±10000 give the exact loss and gradient, without overflow."""
    x = tc.Tensor(np.array([[-1e4, 1e4]], dtype), requires_grad=True)
    loss = F.cross_entropy(x, np.array([0]))
    loss.backward()
    assert loss.item() == 2e4
    assert x.grad.tolist() == [[-1, 1]]
    x.grad = None
    loss = F.binary_cross_entropy_with_logits(x, np.array([[1, 0]]), reduction="sum")
    loss.backward()
    assert loss.item() == 2e4
    assert x.grad.tolist() == [[-1, 1]]


# ---- refusals --------------------------------------------------------------------------------


@ELEMENTWISE
@pytest.mark.parametrize(
    ("x", "target"), [((4,), (4, 1)), ((4, 1), (4,)), ((4, 3), (3,)), ((4,), ())]
)
def test_shapes_that_would_broadcast_are_refused(kind, x, target):
    """Unequal shapes are an error that shows both of them."""
    with pytest.raises(ShapeError) as caught:
        kind()(np.zeros(x), np.zeros(target))
    assert f"{x} and {target}" in str(caught.value)


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ([0, 3], ArgumentError, r"label 3 in row 1 is outside 0\.\.2.*3 columns"),
        ([-1, 0], ArgumentError, r"label -1 in row 0 is outside 0\.\.2"),
        ([[0], [1]], ShapeError, r"\(2, 1\).*labels\[:, 0\]"),
        ([0, 1, 2], ShapeError, r"\(2, 3\), \(3,\)"),
        ([[0, 1, 0], [1, 0, 0]], ShapeError, r"\(2, 3\), \(2, 3\).*int64"),
        ([True, False], ShapeError, "bool"),
        ([0.0, 1.0], ShapeError, r"\(2,\).*\(2, 3\).*whole numbers"),
        ([[0.0], [1.0]], ShapeError, r"\(2, 1\).*\(2, 3\).*whole numbers"),
    ],
)
def test_wrong_labels_are_explained(target, error, words):
    """Labels out of range, or of another shape or dtype, are refused with what they are."""
    scores = tc.Tensor(np.zeros((2, 3)), requires_grad=True)
    given = np.array(target)
    given = given.astype(np.int64) if given.dtype.kind == "i" else given
    with pytest.raises(error, match=words):
        nn.CrossEntropyLoss()(scores, given)


def test_labels_of_images_must_have_the_shape_of_the_images():
    """Scores (m, classes, a, b) need labels (m, a, b), and the message says so."""
    with pytest.raises(ShapeError, match=r"\(2, 3, 4, 5\) need labels of shape \(2, 4, 5\)"):
        F.cross_entropy(np.zeros((2, 3, 4, 5)), np.zeros((2, 3, 4), int))
    with pytest.raises(ArgumentError, match="label 7"):
        F.cross_entropy(np.zeros((2, 3, 4)), np.full((2, 4), 7))
    with pytest.raises(ShapeError, match=r"\(m, classes\), got \(3,\)"):
        F.cross_entropy(np.zeros(3), np.array(1))


@pytest.mark.parametrize("reduction", ["avg", "MEAN", None, True])
@pytest.mark.parametrize("kind", [nn.MSELoss, nn.BCEWithLogitsLoss, nn.CrossEntropyLoss])
def test_unknown_reductions_are_refused(kind, reduction):
    """Modules refuse them when made, functions when called, with the three that exist."""
    words = f"unknown reduction {reduction!r}; expected 'mean', 'sum' or 'none'"
    with pytest.raises(ArgumentError, match=words):
        kind(reduction=reduction)
    target = np.array([0, 1]) if kind is nn.CrossEntropyLoss else np.zeros((2, 3))
    with pytest.raises(ArgumentError, match=words):
        kind.function(np.zeros((2, 3)), target, reduction)
