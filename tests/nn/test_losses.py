"""Losses: PyTorch's numbers, right gradients, one dtype throughout, and refusals that explain."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from reference.comparing import close, read
from reference.losses import LOSSES, torch_loss

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, ShapeError

ANSWERS = read("losses")

F = nn.functional
every_loss = pytest.mark.parametrize("name", LOSSES)
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")

FUNCTIONS = {
    "CrossEntropyLoss": F.cross_entropy,
    "NLLLoss": F.nll_loss,
    "BCELoss": F.binary_cross_entropy,
    "BCEWithLogitsLoss": F.binary_cross_entropy_with_logits,
    "MSELoss": F.mse_loss,
    "QuadraticCost": F.quadratic_cost,
    "L1Loss": F.l1_loss,
    "HuberLoss": F.huber_loss,
    "SmoothL1Loss": F.smooth_l1_loss,
    "KLDivLoss": F.kl_div,
    "GaussianNLLLoss": F.gaussian_nll_loss,
    "PoissonNLLLoss": F.poisson_nll_loss,
    "HingeEmbeddingLoss": F.hinge_embedding_loss,
    "SoftMarginLoss": F.soft_margin_loss,
    "MultiMarginLoss": F.multi_margin_loss,
    "MultiLabelMarginLoss": F.multilabel_margin_loss,
    "MultiLabelSoftMarginLoss": F.multilabel_soft_margin_loss,
    "CosineEmbeddingLoss": F.cosine_embedding_loss,
    "MarginRankingLoss": F.margin_ranking_loss,
    "TripletMarginLoss": F.triplet_margin_loss,
    "TripletMarginWithDistanceLoss": F.triplet_margin_with_distance_loss,
}

CHOSEN = {"bce, certain", "gaussian nll, limited"}
"""Here PyTorch's derivative, and so ours, is a choice and not the limit of differences."""

SMALL = [  # one call of every loss, at numbers that suit it
    pytest.param("CrossEntropyLoss", [np.ones((2, 3)), np.array([0, 2])]),
    pytest.param("NLLLoss", [-np.ones((2, 3)), np.array([0, 2])]),
    pytest.param("MultiMarginLoss", [np.ones((2, 3)), np.array([0, 2])]),
    pytest.param("MultiLabelMarginLoss", [np.ones((2, 3)), np.array([[0, -1, 0], [2, 1, -1]])]),
    *[
        pytest.param(kind, [np.full((2, 3), 0.5), np.ones((2, 3))])
        for kind in (
            "BCELoss",
            "BCEWithLogitsLoss",
            "MSELoss",
            "QuadraticCost",
            "L1Loss",
            "HuberLoss",
            "SmoothL1Loss",
            "KLDivLoss",
            "PoissonNLLLoss",
            "HingeEmbeddingLoss",
            "SoftMarginLoss",
            "MultiLabelSoftMarginLoss",
        )
    ],
    *[
        pytest.param(kind, [np.full((2, 3), 0.5), np.ones((2, 3)), np.ones((2, 3))])
        for kind in (
            "GaussianNLLLoss",
            "MarginRankingLoss",
            "TripletMarginLoss",
            "TripletMarginWithDistanceLoss",
        )
    ],
    pytest.param("CosineEmbeddingLoss", [np.ones((2, 3)), np.ones((2, 3)), np.ones(2)]),
]
one_of_each = pytest.mark.parametrize(("kind", "given"), SMALL)


def build(name):
    case, reduction = LOSSES[name]
    return case.build(nn, np.array, reduction)


def given(name, answer=None):
    """Return the stored inputs, and how many of them are differentiated."""
    return list((answer or ANSWERS[name])["x"].values()), LOSSES[name][0].wanted


def compare(name, answer):
    """Compare our loss and its derivatives with PyTorch's."""
    inputs, wanted = given(name, answer)
    xs = [tc.Tensor(x, requires_grad=True) for x in inputs[:wanted]]
    loss = build(name)(*xs, *inputs[wanted:])
    loss.backward(answer["g"])
    close(loss.data, answer["out"], "value")
    for i, x in enumerate(xs):
        close(x.grad, answer["dx"][str(i)], f"derivative by input {i}")


def test_the_table_has_every_loss():
    """Every loss of ours but Nielsen's is compared with PyTorch's, and every answer is used."""
    assert ANSWERS.keys() == LOSSES.keys()
    kinds = {name for name in nn.losses.__all__ + nn.margins.__all__ if name.endswith("Loss")}
    assert kinds == {case.kind for case, _ in LOSSES.values()}
    assert kinds == FUNCTIONS.keys() - {"QuadraticCost"}
    assert {param.values[0] for param in SMALL} == FUNCTIONS.keys()


@every_loss
def test_a_loss_has_the_stored_numbers_of_pytorch(name):
    """Value and derivatives are PyTorch's, for every reduction."""
    compare(name, ANSWERS[name])


@needs_torch
@pytest.mark.parametrize("seed", [1001, 1002])
@every_loss
def test_a_loss_has_pytorchs_numbers_on_fresh_input(name, seed):
    """The agreement does not depend on the stored random numbers."""
    compare(name, torch_loss(name, seed))


@every_loss
def test_the_derivatives_of_a_loss_are_right(name):
    """All that PyTorch differentiates passes the gradient check to second order."""
    if name.rpartition(",")[0] in CHOSEN:
        pytest.skip("the derivative is a choice")
    inputs, wanted = given(name)
    loss = build(name)
    report = tc.gradcheck(
        lambda *xs: loss(*xs, *inputs[wanted:]), *inputs[:wanted], order=2, seed=0
    )
    assert report, str(report)


@every_loss
def test_targets_may_be_tensors(name):
    """Arrays and Tensors as targets give the same bits."""
    inputs, _ = given(name)
    loss = build(name)
    first = tc.Tensor(inputs[0])
    expected = loss(first, *inputs[1:]).data
    np.testing.assert_array_equal(loss(first, *map(tc.Tensor, inputs[1:])).data, expected)


@every_loss
def test_arrays_give_arrays_of_the_same_bits(name):
    """Without a Tensor nothing is recorded, and the value is the same."""
    case, reduction = LOSSES[name]
    inputs, _ = given(name)
    options = {k: np.array(v) if isinstance(v, list) else v for k, v in case.options.items()}
    plain = FUNCTIONS[case.kind](*inputs, **options, reduction=reduction)
    assert not isinstance(plain, tc.Tensor)
    np.testing.assert_array_equal(build(name)(tc.Tensor(inputs[0]), *inputs[1:]).data, plain)


@every_loss
def test_float32_stays_float32(name):
    """Loss and gradient stay float32, whatever dtype targets, weights and variances have."""
    inputs, _ = given(name)
    x = tc.Tensor(inputs[0].astype(np.float32), requires_grad=True)
    loss = build(name)(x, *inputs[1:])
    loss.sum().backward()
    assert loss.dtype == x.grad.dtype == np.float32
    close(loss.data, ANSWERS[name]["out"], "value", rtol=1e-5)


@one_of_each
def test_the_mean_over_the_batch_is_the_sum_over_its_size(kind, given):
    """batchmean, PyTorch's word in KLDivLoss, is the sum over everything by the examples."""
    total = getattr(nn, kind)(reduction="sum")(*given)
    found = getattr(nn, kind)(reduction="batchmean")(*given)
    np.testing.assert_allclose(found, total / 2, rtol=1e-15)


@one_of_each
def test_losses_take_lists(kind, given):
    """Nested lists are numbers, too, and whole numbers are floating ones."""
    lists = [x.tolist() for x in given]
    np.testing.assert_array_equal(getattr(nn, kind)()(*lists), getattr(nn, kind)()(*given))


@one_of_each
def test_a_loss_shows_its_options(kind, given):
    """The text of a loss begins with its class and says how it reduces."""
    assert repr(getattr(nn, kind)(reduction="sum")).startswith(f"{kind}(reduction='sum'")


def test_weights_are_part_of_the_state():
    """Weights are saved and restored under PyTorch's names, and are not trained."""
    first = nn.BCEWithLogitsLoss(weight=[1.0, 2.0], pos_weight=tc.Tensor([3.0, 4.0]))
    assert list(first.parameters()) == []
    second = nn.BCEWithLogitsLoss(weight=[0.0, 0.0], pos_weight=[0.0, 0.0])
    second.load_state_dict(first.state_dict())
    assert {k: v.tolist() for k, v in second.state_dict().items()} == {
        "weight": [1.0, 2.0],
        "pos_weight": [3.0, 4.0],
    }


def test_weights_may_be_differentiated():
    """Weights that require grad get a gradient, which passes the check."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 3)), rng.uniform(0.5, 2, 3)
    labels = np.array([0, 2, 1, -100])
    for options in ({}, {"label_smoothing": 0.1}):
        report = tc.gradcheck(
            lambda x, w, options=options: F.cross_entropy(x, labels, w, **options), x, w, seed=0
        )
        assert report, str(report)


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


# ---- special places --------------------------------------------------------------------------


def test_nielsens_delta_of_the_cross_entropy():
    """The derivative of the summed cross-entropy by the scores is (a - y) / m (lesson 004)."""
    rng = np.random.default_rng(0)
    z, y = tc.Tensor(rng.normal(size=(4, 10)), requires_grad=True), np.eye(10)[[3, 1, 4, 1]]
    nn.BCEWithLogitsLoss(reduction="batchmean")(z, y).backward()
    a = 1 / (1 + np.exp(-z.data))
    np.testing.assert_allclose(z.grad, (a - y) / 4, rtol=1e-12)


def test_huge_and_certain_inputs_stay_finite():
    """Soft hinges and weighted logistic losses of ±10000 are exact, without overflow."""
    x = tc.Tensor([-1e4, 1e4], requires_grad=True)
    F.soft_margin_loss(x, [1.0, 1.0], reduction="sum").backward()
    assert x.grad.tolist() == [-1, 0]
    loss = F.binary_cross_entropy_with_logits(
        x, [1.0, 0.0], pos_weight=[3.0, 3.0], reduction="none"
    )
    assert loss.data.tolist() == [3e4, 1e4]


def test_ignored_labels_may_stand_at_impossible_scores():
    """An infinite logarithm costs nothing where the label is ignored, and has no gradient."""
    logs = tc.Tensor([[-np.inf, 0.0], [0.0, -np.inf]], requires_grad=True)
    loss = F.nll_loss(logs, np.array([-100, 0]), weight=[1.0, 2.0])
    loss.backward()
    assert loss.item() == 0
    assert logs.grad.tolist() == [[0, 0], [-1, 0]]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, [1.0, 1.0, 1.0]])
def test_ignored_rows_are_as_good_as_absent(reduction, weight):
    """Loss and gradient are those of the batch without them; both ways to compute agree."""
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(5, 3)), np.array([0, -100, 2, -100, 1])
    kept = labels >= 0
    whole, part = (tc.Tensor(s, requires_grad=True) for s in (scores, scores[kept]))
    loss = F.cross_entropy(whole, labels, weight, reduction=reduction)
    expected = F.cross_entropy(part, labels[kept], reduction=reduction)
    found = loss.data[kept] if reduction == "none" else loss.data
    np.testing.assert_allclose(found, expected.data, rtol=1e-14)
    (loss * loss).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(whole.grad[kept], part.grad, rtol=1e-13)
    assert not whole.grad[~kept].any()


def test_the_usual_cross_entropy_is_one_operation():
    """Scores (m, classes) with labels are one node, whatever the reduction: nothing slower."""
    scores = tc.Tensor(np.zeros((4, 3)), requires_grad=True)
    for reduction in ("mean", "sum", "none"):
        loss = nn.CrossEntropyLoss(reduction=reduction)(scores, np.array([0, 1, 2, 0]))
        assert loss._node.primitive.name == "softmax_cross_entropy"
        assert loss._node.parents[0] is scores


def test_a_robust_loss_is_continuous_where_it_bends():
    """At |d| = delta Huber's halves agree in value and slope, and at 0 the slope of |d| is 0."""
    x = tc.Tensor([-2.0, 2.0, 0.0], requires_grad=True)
    loss = F.huber_loss(x, np.zeros(3), reduction="none", delta=2.0)
    assert loss.data.tolist() == [2, 2, 0]
    loss.sum().backward()
    assert x.grad.tolist() == [-2, 2, 0]
    x.grad = None
    F.l1_loss(x, np.zeros(3), reduction="sum").backward()
    assert x.grad.tolist() == [-1, 1, 0]


def test_two_classes_of_the_multi_margin_loss_are_a_hinge():
    """Scores (x/2, -x/2) give half of max(0, 1 - y x), the hinge of support vector machines."""
    x, y = np.array([0.3, -0.2, 2.0]), np.array([1, 1, -1])
    scores = np.stack([x / 2, -x / 2], axis=1)
    found = F.multi_margin_loss(scores, (y < 0).astype(int), reduction="none")
    np.testing.assert_allclose(2 * found, np.maximum(0, 1 - y * x), rtol=1e-15)


def test_targets_may_leave_the_unit_interval_by_rounding():
    """A mixture of ones can be a little more than 1 in float32, and is accepted as a target."""
    y = np.full((2, 3), 1 + 2e-7, np.float32)
    for function in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits):
        assert np.isfinite(function(np.full((2, 3), 0.5, np.float32), y))


@pytest.mark.parametrize("labels", [[0, 2], [1, -100]])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "batchmean"])
def test_places_are_rows(labels, reduction):
    """Scores (m, classes, places) cost what their places cost one by one."""
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(2, 3, 2)), np.array([labels, [2, 1]])
    rows, flat = np.moveaxis(scores, 1, 2).reshape(-1, 3), labels.reshape(-1)
    found = F.cross_entropy(scores, labels, reduction=reduction)
    expected = F.cross_entropy(rows, flat, reduction=reduction)
    if reduction == "batchmean":
        expected = expected * 2  # four rows, but two examples
    np.testing.assert_allclose(np.ravel(found), np.ravel(expected), rtol=1e-14)


@pytest.mark.parametrize("swap", [False, True])
def test_a_distance_of_ones_own(swap):
    """Triplets are compared by the function that is given, with and without the swap."""
    rng = np.random.default_rng(0)
    given = [rng.normal(size=(5, 4)) for _ in range(3)]
    own = nn.TripletMarginWithDistanceLoss(
        distance_function=nn.PairwiseDistance(p=3.0, eps=0.1), margin=2.0, swap=swap
    )
    usual = nn.TripletMarginLoss(p=3.0, eps=0.1, margin=2.0, swap=swap)
    assert own(*given) == usual(*given)


# ---- distances -------------------------------------------------------------------------------


DISTANCES = {
    "cosine": lambda F, x, y: F.cosine_similarity(x, y),
    "cosine, last axis": lambda F, x, y: F.cosine_similarity(x, y, dim=-1, eps=0.1),
    "distance": lambda F, x, y: F.pairwise_distance(x, y),
    "distance, options": lambda F, x, y: F.pairwise_distance(x, y, p=3.0, eps=0.1, keepdim=True),
    "distance, sum": lambda F, x, y: F.pairwise_distance(x, y, p=1),
    "distance, largest": lambda F, x, y: F.pairwise_distance(x, y, p=float("inf")),
    "distance, smallest": lambda F, x, y: F.pairwise_distance(x, y, p=-float("inf")),
    "distance, negative": lambda F, x, y: F.pairwise_distance(x, y, p=-1.5),
    "cosine, broadcast": lambda F, x, y: F.cosine_similarity(x[:1], y, dim=1),
    "normalize, count": lambda F, x, y: F.normalize(x, p=0) * y,
    "normalize": lambda F, x, y: F.normalize(x) * y,
    "normalize, options": lambda F, x, y: F.normalize(x, p=1.5, dim=0, eps=5.0) * y,
}
every_distance = pytest.mark.parametrize("name", DISTANCES)


@needs_torch
@every_distance
def test_a_distance_has_pytorchs_numbers(name):
    """Value and derivatives are those of the installed PyTorch."""
    import torch

    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(4, 3, 5)) for _ in range(2)]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    ours = [tc.Tensor(a, requires_grad=True) for a in arrays]
    wanted = DISTANCES[name](torch.nn.functional, *theirs)
    found = DISTANCES[name](F, *ours)
    close(found.data, wanted.detach().numpy(), "value")
    g = rng.normal(size=found.shape)
    wanted.backward(torch.tensor(g))
    found.backward(g)
    for t, x in zip(theirs, ours, strict=True):
        close(x.grad, t.grad.numpy(), "derivative")


@every_distance
def test_the_derivatives_of_a_distance_are_right(name):
    """Distances pass the gradient check to second order."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    report = tc.gradcheck(lambda x, y: DISTANCES[name](F, x, y), x, y, order=2, seed=0)
    assert report, str(report)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, float("inf")])
def test_vectors_of_zeros_have_a_finite_gradient(p):
    """Normalizing zeros gives zeros, and the slope of the quotient by eps."""
    x = tc.Tensor(np.zeros((1, 3)), requires_grad=True)
    F.normalize(x, p=p, eps=0.5).sum().backward()
    assert x.grad.tolist() == [[2, 2, 2]]
    x.grad = None
    F.cosine_similarity(x, np.ones((1, 3)), eps=0.5).sum().backward()
    assert np.isfinite(x.grad).all()


def test_the_modules_of_distances_are_their_functions():
    """CosineSimilarity and PairwiseDistance pass their options on, and show them."""
    x, y = np.random.default_rng(0).normal(size=(2, 4, 3))
    np.testing.assert_array_equal(
        nn.CosineSimilarity(dim=0, eps=2.0)(x, y), F.cosine_similarity(x, y, 0, 2.0)
    )
    distance = nn.PairwiseDistance(p=3, eps=0.1, keepdim=True)
    np.testing.assert_array_equal(distance(x, y), F.pairwise_distance(x, y, 3, 0.1, True))
    assert repr(distance) == "PairwiseDistance(p=3, eps=0.1, keepdim=True)"
    assert repr(nn.CosineSimilarity()) == "CosineSimilarity(dim=1, eps=1e-08)"
    with pytest.raises(TypeError, match="'axis'.*'dim'"):
        F.normalize(x, axis=1)


def test_one_hot_rows_are_probabilities():
    """Cross-entropy of labels and of their rows of one 1 agree, value and derivative."""
    rng = np.random.default_rng(0)
    x, labels = tc.Tensor(rng.normal(size=(4, 3)), requires_grad=True), np.array([0, 2, 2, 1])
    rows = F.one_hot(labels, 3).astype(float)
    by_labels, by_rows = (tc.gradients(F.cross_entropy(x, y), x) for y in (labels, rows))
    np.testing.assert_allclose(by_rows, by_labels, rtol=1e-12)


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "BCELoss",
        "BCEWithLogitsLoss",
        "MSELoss",
        "QuadraticCost",
        "L1Loss",
        "HuberLoss",
        "SmoothL1Loss",
        "KLDivLoss",
        "PoissonNLLLoss",
        "HingeEmbeddingLoss",
        "SoftMarginLoss",
        "MultiLabelSoftMarginLoss",
    ],
)
@pytest.mark.parametrize(
    ("x", "target"), [((4,), (4, 1)), ((4, 1), (4,)), ((4, 3), (3,)), ((4,), ())]
)
def test_shapes_that_would_broadcast_are_refused(kind, x, target):
    """Unequal shapes are an error that shows both of them."""
    with pytest.raises(ShapeError) as caught:
        getattr(nn, kind)()(np.zeros(x), np.zeros(target))
    assert f"{x} and {target}" in str(caught.value)


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ([0, 3], ArgumentError, r"label 3 in row 1 is outside 0\.\.2"),
        ([-1, 0], ArgumentError, r"label -1 in row 0 is outside 0\.\.2"),
        ([[0], [1]], ShapeError, r"\(2, 1\).*labels\[:, 0\]"),
        ([0, 1, 2], ShapeError, r"\(2, 3\).*\(3,\)"),
        ([[0, 1, 0], [1, 0, 0]], ShapeError, r"\(2, 3\).*\(2, 3\)"),
        ([True, False], ShapeError, "bool"),
        ([0.0, 1.0], ShapeError, r"whole numbers"),
    ],
)
@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(nn.CrossEntropyLoss(), id="cross-entropy"),
        pytest.param(nn.CrossEntropyLoss([1.0, 1.0, 1.0]), id="weights"),
        pytest.param(nn.CrossEntropyLoss(label_smoothing=0.1), id="smoothed"),
        pytest.param(nn.NLLLoss(), id="nll"),
        pytest.param(nn.MultiMarginLoss(), id="hinge"),
    ],
)
def test_wrong_labels_are_explained(loss, target, error, words):
    """Labels out of range, or of another shape or dtype, are refused with what they are."""
    scores = tc.Tensor(np.zeros((2, 3)), requires_grad=True)
    labels = np.array(target)
    labels = labels.astype(np.int64) if labels.dtype.kind == "i" else labels
    with pytest.raises(error, match=words):
        loss(scores, labels)


def test_labels_of_images_must_have_the_shape_of_the_images():
    """Scores (m, classes, a, b) need labels (m, a, b), and the message says so."""
    with pytest.raises(ShapeError, match=r"\(2, 3, 4, 5\) need labels of shape \(2, 4, 5\)"):
        F.cross_entropy(np.zeros((2, 3, 4, 5)), np.zeros((2, 3, 4), int))
    with pytest.raises(ArgumentError, match="label 7"):
        F.cross_entropy(np.zeros((2, 3, 4)), np.full((2, 4), 7))
    for function in (F.cross_entropy, F.nll_loss):
        with pytest.raises(ShapeError, match="single number"):
            function(1.0, np.array(1))
        with pytest.raises(
            ShapeError, match=r"\(3,\) are one example.*one label, got shape \(2,\)"
        ):
            function(np.zeros(3), np.array([1, 2]))


@pytest.mark.parametrize("reduction", ["avg", "MEAN", None, True])
@one_of_each
def test_unknown_reductions_are_refused(kind, given, reduction):
    """Modules refuse them when made, functions when called, with those that exist."""
    words = f"unknown reduction {reduction!r}; expected 'mean', 'sum', 'none' or 'batchmean'"
    with pytest.raises(ArgumentError, match=f"{kind}: {words}"):
        getattr(nn, kind)(reduction=reduction)
    with pytest.raises(ArgumentError, match=words):
        FUNCTIONS[kind](*given, reduction=reduction)


@pytest.mark.parametrize("reduction", ["mean", "batchmean"])
@one_of_each
def test_the_mean_of_an_empty_batch_is_refused(kind, given, reduction):
    """The mean of nothing is not a number; the sum is 0."""
    empty = [x[:0] for x in given]
    with pytest.raises(ShapeError, match="empty"):
        getattr(nn, kind)(reduction=reduction)(*empty)
    assert float(getattr(nn, kind)(reduction="sum")(*empty)) == 0


Z = np.full((2, 3), 0.5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: F.cross_entropy(Z, [-100, -100]), ArgumentError, "every label is ignore_index"),
        (lambda: F.nll_loss(Z, [-100, -100]), ArgumentError, "every label .* ignore_index"),
        (lambda: F.nll_loss(Z, [0, 0], [0.0, 1, 1]), ArgumentError, "weight 0"),
        (lambda: F.cross_entropy(Z, [0, 0], [1.0, 2]), ShapeError, r"\(2,\).*\(3,\), one weight"),
        (lambda: F.cross_entropy(Z, Z, [1.0, 2]), ShapeError, r"\(2,\).*\(3,\), one weight"),
        (lambda: F.cross_entropy(Z, Z + 1), ArgumentError, r"probabilities.*\[0, 1\], got 1\.5"),
        (lambda: F.cross_entropy(Z, -Z), ArgumentError, r"probabilities.*\[0, 1\], got -0\.5"),
        (lambda: F.cross_entropy(Z, Z, ignore_index=0), ArgumentError, "ignore_index"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=1.5)(Z, [0, 0]), ArgumentError, "smoothing"),
        (lambda: F.binary_cross_entropy(Z + 1, Z), ArgumentError, "probabilities.*got 1.5"),
        (lambda: F.binary_cross_entropy(Z * np.nan, Z), ArgumentError, "probabilities.*got nan"),
        (lambda: F.binary_cross_entropy(Z, -Z), ArgumentError, "targets.*got -0.5"),
        (lambda: nn.BCEWithLogitsLoss()(Z, Z * 4), ArgumentError, "targets.*got 2"),
        (lambda: nn.BCEWithLogitsLoss([1.0, 2])(Z, Z), ShapeError, r"weight.*\(2,\).*\(2, 3\)"),
        (
            lambda: nn.BCEWithLogitsLoss(pos_weight=np.ones((4, 2, 3)))(Z, Z),
            ShapeError,
            r"pos_weight.*\(4, 2, 3\).*\(2, 3\)",
        ),
        (lambda: F.mse_loss(Z, Z, weight=np.ones(3)), ShapeError, r"weight.*\(3,\).*\(2, 3\)"),
        (lambda: nn.HuberLoss(delta=0.0), ArgumentError, "HuberLoss: delta.*positive"),
        (lambda: nn.SmoothL1Loss(beta=-1.0), ArgumentError, "SmoothL1Loss: beta.*at least 0"),
        (lambda: F.kl_div(Z, -Z), ArgumentError, "negative.*log_target"),
        (lambda: F.gaussian_nll_loss(Z, Z, -Z), ArgumentError, "variance is negative"),
        (lambda: F.gaussian_nll_loss(Z, Z, np.ones(2)[:, None, None]), ShapeError, "var"),
        (lambda: F.hinge_embedding_loss(Z, Z), ArgumentError, "1 or -1, got 0.5"),
        (lambda: nn.MarginRankingLoss()(Z, Z, [1, 1]), ShapeError, r"\(2, 3\) and \(2,\)"),
        (lambda: nn.SoftMarginLoss()(Z, Z * 0), ArgumentError, "1 or -1, got 0"),
        (lambda: F.cosine_embedding_loss(Z, Z, [1, 0]), ArgumentError, "1 or -1, got 0"),
        (lambda: nn.CosineEmbeddingLoss()(Z, Z, [1]), ShapeError, r"\(2, 3\) and \(1,\)"),
        (lambda: nn.TripletMarginLoss(margin=0.0), ArgumentError, "margin.*positive"),
        (lambda: nn.TripletMarginLoss()(Z, Z, Z[0]), ShapeError, r"\(2, 3\) and \(3,\)"),
        (lambda: nn.MultiMarginLoss(p=3), ArgumentError, "p must be 1 or 2, got 3"),
        (lambda: F.multi_margin_loss(Z, [0, 0], p=3), ArgumentError, "p must be 1 or 2, got 3"),
        (lambda: F.multi_margin_loss(Z, [0, 0], weight=[1.0]), ShapeError, "one weight per class"),
        (lambda: F.multi_margin_loss(Z[None], [0]), ShapeError, r"\(m, classes\)"),
        (lambda: F.multilabel_margin_loss(Z, [[0, 3, -1]] * 2), ArgumentError, "label 3"),
        (lambda: F.multilabel_margin_loss(Z, [0, 1]), ShapeError, r"\(2, 3\).*\(2,\)"),
    ],
)
def test_what_makes_no_sense_is_explained(call, error, words):
    """Every other wrong argument is refused by name, with what came."""
    with pytest.raises(error, match=words):
        call()


def test_weighted_errors_are_averaged_by_weight():
    """The weight= of mse_loss and l1_loss divides by the sum of the weights, that of Huber not."""
    x, w = np.array([1.0, 2.0]), np.array([3.0, 1.0])
    assert F.mse_loss(x, np.zeros(2), weight=w) == 7 / 4
    assert F.l1_loss(x, np.zeros(2), weight=w) == 5 / 4
    assert F.huber_loss(x, np.zeros(2), weight=w, delta=9.0) == 3.5 / 2
    assert F.mse_loss(x, np.zeros(2), weight=w, reduction="sum") == 7
