"""Training a classifier: the loop, its record, and a checkpoint that survives an interruption."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_course import nn, optim
from tinygrad_course import random as randomness
from tinygrad_course.data import ImageData, Split, minibatches
from tinygrad_course.errors import ArgumentError, DataError
from tinygrad_course.graph import no_grad

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": optim.SGD,
    "momentum": lambda params, lr: optim.SGD(params, lr=lr, momentum=0.9),
    "nesterov": lambda params, lr: optim.SGD(params, lr=lr, momentum=0.9, nesterov=True),
    "rmsprop": optim.RMSprop,
    "adam": optim.Adam,
}
"""What ``--optimizer`` can name."""

LEARNING_RATES = {"sgd": 0.1, "momentum": 0.03, "nesterov": 0.03, "rmsprop": 1e-3, "adam": 2e-3}
"""The learning rate of each optimizer when none is given."""


@dataclass(frozen=True)
class Options:
    """Everything that defines a training run besides the data."""

    epochs: int = 40
    hidden: tuple[int, ...] = (128, 64)
    lr: float | None = None
    batch_size: int = 32
    optimizer: str = "adam"
    dropout: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ArgumentError(
                f"--optimizer {self.optimizer!r} is unknown; choose one of {', '.join(OPTIMIZERS)}"
            )
        if self.epochs < 1:
            raise ArgumentError(f"--epochs must be at least 1, got {self.epochs}")
        if self.batch_size < 2:
            raise ArgumentError(
                f"--batch-size must be at least 2, because batch normalization compares the "
                f"examples of a batch; got {self.batch_size}"
            )
        if not self.hidden or min(self.hidden) < 1:
            raise ArgumentError(f"--hidden needs layer sizes of at least 1, got {self.hidden}")
        if not 0 <= self.dropout < 1:
            raise ArgumentError(f"--dropout must lie in [0, 1), got {self.dropout}")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise ArgumentError(f"--lr must be a positive number, got {self.lr}")

    @property
    def learning_rate(self) -> float:
        """The given learning rate, or the optimizer's usual one."""
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr


def mlp(n_in: int, hidden: tuple[int, ...], classes: int, dropout: float) -> nn.Sequential:
    """Return the classifier: per hidden layer Linear, BatchNorm, ReLU and Dropout, then Linear."""
    layers: list[nn.Module] = []
    for n_out in hidden:
        layers += [nn.Linear(n_in, n_out), nn.BatchNorm(n_out), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        n_in = n_out
    return nn.Sequential(*layers, nn.Linear(n_in, classes))


@dataclass
class Record:
    """The four lists of the notes, one entry an epoch, and where the best epoch was."""

    train_cost: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    dev_cost: list[float] = field(default_factory=list)
    dev_accuracy: list[float] = field(default_factory=list)
    best_epoch: int = 0
    interrupted: bool = False


@dataclass(frozen=True)
class Evaluation:
    """Mean cost, accuracy and the predicted class of every example."""

    cost: float
    accuracy: float
    predicted: np.ndarray


def evaluate(model: nn.Module, data: Split) -> Evaluation:
    """Evaluate a classifier with dropout off and running statistics; its mode is put back."""
    was_training = model.training
    model.eval()
    try:
        with no_grad():
            scores = model(data.x)
            cost = nn.functional.cross_entropy(scores, data.y).item()
    finally:
        model.train(was_training)
    predicted = scores.data.argmax(axis=1)
    return Evaluation(cost, float(np.mean(predicted == data.y)), predicted)


Watch = Callable[[int, int, Record], None]
"""Called as ``watch(epoch, step, record)`` after every step."""


def fit(
    model: nn.Module, data: ImageData, options: Options, checkpoint: Path, watch: Watch
) -> Record:
    """Train with mini-batches; keep the model of the best development accuracy.

    The checkpoint is written whole after every epoch that is at least as good as all before, so
    an interruption loses at most the epochs since. On Ctrl-C the record says so, and the model
    holds the best state so far. At equal accuracy the lower development cost is better.
    """
    criterion = nn.CrossEntropyLoss()
    optimizer = OPTIMIZERS[options.optimizer](model.parameters(), lr=options.learning_rate)
    # Streams of their own: a run depends on its options alone, not on what was drawn before.
    rng = np.random.default_rng([options.seed, 1])
    randomness.seed([options.seed, 2])
    record = Record()
    best: tuple[float, float] | None = None
    metadata = describe(data, options)
    lonely = len(data.train) % options.batch_size == 1  # batch norm cannot train on one example
    try:
        for epoch in range(options.epochs):
            batches = minibatches(data.train, options.batch_size, rng, drop_last=lonely)
            for step, (x, y) in enumerate(batches):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                watch(epoch, step, record)
            _note(record, evaluate(model, data.train), evaluate(model, data.dev))
            if not math.isfinite(record.train_cost[-1]):
                raise ArgumentError(
                    f"the cost became {record.train_cost[-1]} in epoch {epoch + 1}; "
                    f"try a smaller --lr than {options.learning_rate:g}"
                )
            score = (record.dev_accuracy[-1], -record.dev_cost[-1])
            if best is None or score >= best:
                best, record.best_epoch = score, epoch
                nn.save(model.state_dict(), checkpoint, metadata)
    except KeyboardInterrupt:
        record.interrupted = True
    if best is not None:
        model.load_state_dict(nn.load(checkpoint))
    return record


def _note(record: Record, train: Evaluation, dev: Evaluation) -> None:
    record.train_cost.append(train.cost)
    record.train_accuracy.append(train.accuracy)
    record.dev_cost.append(dev.cost)
    record.dev_accuracy.append(dev.accuracy)


def build(data: ImageData, options: Options) -> nn.Sequential:
    """Return the classifier for a data set, initialized from the seed of the options."""
    randomness.seed(options.seed)
    height, width = data.image_shape
    return mlp(height * width, options.hidden, data.classes, options.dropout)


def describe(data: ImageData, options: Options) -> dict[str, str]:
    """Return what a saved model needs beside its arrays, as text a person can read."""
    facts = {
        "data": data.name,
        "image_shape": data.image_shape,
        "classes": data.classes,
        "mean": data.mean,
        "std": data.std,
        "options": asdict(options),
    }
    return {"tinygrad_course": json.dumps(facts, indent=1)}


@dataclass(frozen=True)
class Classifier:
    """A trained model together with the normalization of its inputs."""

    model: nn.Module
    image_shape: tuple[int, int]
    mean: float
    std: float

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probability of each class for images of shape (n, height * width)."""
        x = ((pixels - self.mean) / self.std).astype(np.float32)
        with no_grad():
            result: np.ndarray = nn.functional.softmax(self.model.eval()(x), dim=1).data
        return result


def load_classifier(path: Path) -> Classifier:
    """Load a model that `fit` saved.

    Raises:
        DataError: the file is missing, damaged, or was not written by `fit`.
    """
    facts = _facts(path)
    try:
        options = facts["options"]
        hidden = tuple(int(n) for n in options["hidden"])
        height, width = (int(n) for n in facts["image_shape"])
        model = mlp(height * width, hidden, int(facts["classes"]), float(options["dropout"]))
        mean, std = float(facts["mean"]), float(facts["std"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{str(path)!r} does not describe a classifier: {error!r}") from error
    model.load_state_dict(nn.load(path))
    return Classifier(model, (height, width), mean, std)


def _facts(path: Path) -> Mapping[str, Any]:
    text = nn.load_metadata(path).get("tinygrad_course")
    if text is None:
        raise DataError(f"{str(path)!r} was not written by `tinygrad-course train`")
    try:
        facts = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{str(path)!r} has a damaged description: {error}") from error
    if not isinstance(facts, dict):
        raise DataError(f"{str(path)!r} has a damaged description")
    return facts
