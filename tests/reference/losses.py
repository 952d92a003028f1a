"""The table of losses; ``cd tests && python -m reference.losses`` stores PyTorch's answers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reference.cases import numbered
from reference.comparing import write


@dataclass(frozen=True)
class Loss:
    """A loss as both make it, and what it is given.

    Options that are lists become arrays or PyTorch's tensors. Inputs are drawn in order; the first
    `wanted` of them are differentiated.
    """

    kind: str
    inputs: tuple[Callable[[np.random.Generator], np.ndarray], ...]
    options: dict[str, Any] = field(default_factory=dict)
    wanted: int = 1
    reductions: tuple[str, ...] = ("mean", "sum", "none")

    def build(self, nn: Any, array: Callable[[Any], Any], reduction: str) -> Any:
        """Return the loss of a namespace."""
        options = {k: array(v) if isinstance(v, list) else v for k, v in self.options.items()}
        return getattr(nn, self.kind)(**options, reduction=reduction)


def normal(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.normal(size=shape) * 2


def uniform(low: float, high: float, *shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.uniform(low, high, shape)


def labels(classes: int, *shape: int, holes: int | None = None) -> Callable[..., np.ndarray]:
    """Return labels; every third is the one to ignore, if there is one."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        drawn = rng.integers(0, classes, shape)
        if holes is not None:
            drawn.reshape(-1)[::3] = holes
        return drawn

    return draw


def shares(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Return probabilities whose sum over axis 1 (or the only axis) is 1."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        drawn = rng.uniform(0.1, 1, shape)
        return drawn / drawn.sum(axis=min(1, len(shape) - 1), keepdims=True)

    return draw


def logarithms(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: np.log(shares(*shape)(rng))


def signs(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.choice([-1.0, 1.0], shape)


def yes_or_no(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.integers(0, 2, shape).astype(float)


def lists_of_labels(rng: np.random.Generator) -> np.ndarray:
    """Return labels that end with -1, an empty list and a full one."""
    drawn = np.stack([rng.permutation(4) for _ in range(5)])
    for row, length in zip(drawn, (2, 0, 4, 1, 3), strict=True):
        row[length : length + 1] = -1
    return drawn


def counts(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 5, (5, 3)).astype(float)


W3 = [0.5, 1.5, 3.0]
SCORES = normal(6, 3)
IMAGES = normal(2, 3, 2, 4)
VECTORS = normal(5, 4)

CASES = {
    # of classes
    "cross-entropy": Loss("CrossEntropyLoss", (SCORES, labels(3, 6))),
    "cross-entropy, ignored": Loss("CrossEntropyLoss", (SCORES, labels(3, 6, holes=-100))),
    "cross-entropy, ignored class": Loss(
        "CrossEntropyLoss", (SCORES, labels(3, 6, holes=1)), {"ignore_index": 1}
    ),
    "cross-entropy, weights": Loss("CrossEntropyLoss", (SCORES, labels(3, 6)), {"weight": W3}),
    "cross-entropy, smoothed": Loss(
        "CrossEntropyLoss", (SCORES, labels(3, 6)), {"label_smoothing": 0.2}
    ),
    "cross-entropy, everything": Loss(
        "CrossEntropyLoss",
        (SCORES, labels(3, 6, holes=-7)),
        {"weight": W3, "label_smoothing": 0.3, "ignore_index": -7},
    ),
    "cross-entropy, one example": Loss("CrossEntropyLoss", (normal(3), labels(3))),
    "cross-entropy, one weighted example": Loss(
        "CrossEntropyLoss", (normal(3), labels(3)), {"weight": W3}
    ),
    "cross-entropy, images": Loss("CrossEntropyLoss", (IMAGES, labels(3, 2, 2, 4))),
    "cross-entropy, sequences": Loss("CrossEntropyLoss", (normal(2, 3, 4), labels(3, 2, 4))),
    "cross-entropy, images, ignored": Loss(
        "CrossEntropyLoss", (IMAGES, labels(3, 2, 2, 4, holes=-100))
    ),
    "cross-entropy, images, everything": Loss(
        "CrossEntropyLoss",
        (IMAGES, labels(3, 2, 2, 4, holes=2)),
        {"weight": W3, "label_smoothing": 0.3, "ignore_index": 2},
    ),
    "cross-entropy, probabilities": Loss("CrossEntropyLoss", (SCORES, shares(6, 3)), wanted=2),
    "cross-entropy, probabilities, options": Loss(
        "CrossEntropyLoss",
        (SCORES, shares(6, 3)),
        {"weight": W3, "label_smoothing": 0.25},
        wanted=2,
    ),
    "cross-entropy, probabilities of images": Loss(
        "CrossEntropyLoss", (IMAGES, shares(2, 3, 2, 4)), {"weight": W3}, wanted=2
    ),
    "cross-entropy, probabilities of one": Loss(
        "CrossEntropyLoss", (normal(3), shares(3)), {"label_smoothing": 0.1}, wanted=2
    ),
    "nll": Loss("NLLLoss", (logarithms(6, 3), labels(3, 6))),
    "nll, ignored and weights": Loss(
        "NLLLoss", (logarithms(6, 3), labels(3, 6, holes=-100)), {"weight": W3}
    ),
    "nll, images": Loss(
        "NLLLoss", (IMAGES, labels(3, 2, 2, 4, holes=0)), {"weight": W3, "ignore_index": 0}
    ),
    "nll, one example": Loss("NLLLoss", (logarithms(3), labels(3)), {"weight": W3}),
    "bce": Loss("BCELoss", (uniform(0.01, 0.99, 5, 3), uniform(0.1, 0.9, 5, 3)), wanted=2),
    "bce, weights": Loss("BCELoss", (uniform(0.01, 0.99, 5, 3), yes_or_no(5, 3)), {"weight": W3}),
    "bce, certain": Loss(
        "BCELoss",
        (lambda rng: np.array([0.0, 1.0, 0.0, 1.0]), lambda rng: np.array([0, 1, 1.0, 0])),
    ),
    "bce with logits": Loss("BCEWithLogitsLoss", (normal(5, 3), uniform(0.1, 0.9, 5, 3)), wanted=2),
    "bce with logits, yes or no": Loss("BCEWithLogitsLoss", (normal(5, 3), yes_or_no(5, 3))),
    "bce with logits, weights": Loss(
        "BCEWithLogitsLoss",
        (normal(5, 3), uniform(0.1, 0.9, 5, 3)),
        {"weight": [[1.0], [2.0], [0.5], [0.0], [3.0]], "pos_weight": W3},
        wanted=2,
    ),
    # of numbers
    "mse": Loss("MSELoss", (normal(5, 3), normal(5, 3)), wanted=2),
    "l1": Loss("L1Loss", (normal(5, 3), normal(5, 3)), wanted=2),
    "huber": Loss("HuberLoss", (normal(5, 3), normal(5, 3)), wanted=2),
    "huber, delta": Loss("HuberLoss", (normal(5, 3), normal(5, 3)), {"delta": 2.5}, wanted=2),
    "smooth l1": Loss("SmoothL1Loss", (normal(5, 3), normal(5, 3)), wanted=2),
    "smooth l1, beta": Loss("SmoothL1Loss", (normal(5, 3), normal(5, 3)), {"beta": 0.5}, wanted=2),
    "smooth l1, beta 0": Loss(
        "SmoothL1Loss", (normal(5, 3), normal(5, 3)), {"beta": 0.0}, wanted=2
    ),
    # of distributions
    "kl": Loss(
        "KLDivLoss",
        (logarithms(5, 3), shares(5, 3)),
        wanted=2,
        reductions=("mean", "sum", "none", "batchmean"),
    ),
    "kl, logarithms": Loss(
        "KLDivLoss",
        (logarithms(5, 3), logarithms(5, 3)),
        {"log_target": True},
        wanted=2,
        reductions=("mean", "sum", "none", "batchmean"),
    ),
    "kl, certain": Loss("KLDivLoss", (logarithms(5, 3), yes_or_no(5, 3))),
    "gaussian nll": Loss(
        "GaussianNLLLoss", (normal(5, 3), normal(5, 3), uniform(0.2, 3, 5, 3)), wanted=3
    ),
    "gaussian nll, full": Loss(
        "GaussianNLLLoss",
        (normal(5, 3), normal(5, 3), uniform(0.2, 3, 5, 1)),
        {"full": True},
        wanted=3,
    ),
    "gaussian nll, one variance a row": Loss(
        "GaussianNLLLoss", (normal(5, 3), normal(5, 3), uniform(0.2, 3, 5)), wanted=3
    ),
    "gaussian nll, limited": Loss(
        "GaussianNLLLoss", (normal(5, 3), normal(5, 3), uniform(0, 2, 5, 3)), {"eps": 1.0}, wanted=3
    ),
    "poisson nll": Loss("PoissonNLLLoss", (normal(5, 3), uniform(0, 4, 5, 3)), wanted=2),
    "poisson nll, full": Loss("PoissonNLLLoss", (normal(5, 3), counts), {"full": True}),
    "poisson nll, rates": Loss(
        "PoissonNLLLoss",
        (uniform(0.1, 3, 5, 3), uniform(0, 4, 5, 3)),
        {"log_input": False, "full": True, "eps": 1e-3},
    ),
    # with a margin
    "hinge embedding": Loss("HingeEmbeddingLoss", (normal(5, 3), signs(5, 3))),
    "hinge embedding, margin": Loss("HingeEmbeddingLoss", (normal(6), signs(6)), {"margin": 2.5}),
    "soft margin": Loss("SoftMarginLoss", (normal(5, 3), signs(5, 3))),
    "multi margin": Loss("MultiMarginLoss", (SCORES, labels(3, 6))),
    "multi margin, squared": Loss(
        "MultiMarginLoss", (SCORES, labels(3, 6)), {"p": 2, "margin": 2.0, "weight": W3}
    ),
    "multi margin, one example": Loss("MultiMarginLoss", (normal(3), labels(3)), {"margin": 9.0}),
    "multi-label margin": Loss("MultiLabelMarginLoss", (normal(5, 4), lists_of_labels)),
    "multi-label margin, one example": Loss(
        "MultiLabelMarginLoss", (normal(4), lambda rng: np.array([3, 0, -1, 1]))
    ),
    "multi-label soft margin": Loss("MultiLabelSoftMarginLoss", (normal(5, 3), yes_or_no(5, 3))),
    "multi-label soft margin, weights": Loss(
        "MultiLabelSoftMarginLoss", (normal(5, 3), yes_or_no(5, 3)), {"weight": W3}
    ),
    "cosine embedding": Loss("CosineEmbeddingLoss", (VECTORS, VECTORS, signs(5)), wanted=2),
    "cosine embedding, margin": Loss(
        "CosineEmbeddingLoss", (VECTORS, VECTORS, signs(5)), {"margin": -0.5}, wanted=2
    ),
    "cosine embedding, one pair": Loss(
        "CosineEmbeddingLoss", (normal(4), normal(4), signs()), wanted=2
    ),
    "margin ranking": Loss("MarginRankingLoss", (normal(7), normal(7), signs(7)), wanted=2),
    "margin ranking, margin": Loss(
        "MarginRankingLoss", (normal(3, 2), normal(3, 2), signs(3, 2)), {"margin": 1.5}, wanted=2
    ),
    "triplet": Loss("TripletMarginLoss", (VECTORS, VECTORS, VECTORS), wanted=3),
    "triplet, swap": Loss(
        "TripletMarginLoss", (VECTORS, VECTORS, VECTORS), {"swap": True, "margin": 3.0}, wanted=3
    ),
    "triplet, p and eps": Loss(
        "TripletMarginLoss",
        (VECTORS, VECTORS, VECTORS),
        {"p": 3.0, "eps": 0.1, "margin": 3.0},
        wanted=3,
    ),
    "triplet, distance": Loss(
        "TripletMarginWithDistanceLoss", (VECTORS, VECTORS, VECTORS), {"margin": 3.0}, wanted=3
    ),
    "triplet, sums": Loss(
        "TripletMarginLoss", (normal(4), normal(4), normal(4)), {"p": 1.0, "margin": 9.0}, wanted=3
    ),
}

LOSSES = {
    f"{name}, {reduction}": (case, reduction)
    for name, case in CASES.items()
    for reduction in case.reductions
}


def torch_loss(name: str, seed: int) -> dict:
    """Return a loss, its derivatives, and what it was taken of."""
    import torch

    case, reduction = LOSSES[name]
    rng = np.random.default_rng(seed)
    inputs = [draw(rng) for draw in case.inputs]
    given = [torch.tensor(x, requires_grad=i < case.wanted) for i, x in enumerate(inputs)]
    loss = case.build(torch.nn, lambda v: torch.tensor(v, dtype=torch.float64), reduction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what "mean" divides by in KLDivLoss
        out = loss(*given)
    g = rng.normal(size=tuple(out.shape))
    out.backward(torch.tensor(g))
    return {
        "x": numbered(inputs),
        "g": g,
        "out": out.detach().numpy(),
        "dx": numbered(x.grad.numpy() for x in given[: case.wanted]),
    }


if __name__ == "__main__":
    write("losses", {name: torch_loss(name, i) for i, name in enumerate(LOSSES)})
