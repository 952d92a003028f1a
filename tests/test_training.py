"""The training loop: it learns, it repeats itself bit for bit, and it survives an interruption."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tinygrad_course import nn
from tinygrad_course.data import ImageData, Split, digits
from tinygrad_course.errors import ArgumentError, DataError
from tinygrad_course.training import (
    OPTIMIZERS,
    Options,
    build,
    evaluate,
    fit,
    load_classifier,
)


def blobs(n, rng):
    """Three classes of 3×3 images, each with its own bright row."""
    y = rng.integers(0, 3, n)
    x = rng.normal(0, 0.3, (n, 3, 3))
    x[np.arange(n), y] += 1.5
    return Split(x.reshape(n, 9).astype(np.float32), y)


@pytest.fixture
def data():
    """A small data set that a linear model can learn."""
    rng = np.random.default_rng(0)
    return ImageData("blobs", (3, 3), 3, 0.0, 1.0, *(blobs(n, rng) for n in (97, 40, 40)))


def run(data, path, watch=lambda *_: None, **options):
    chosen = Options(**{"epochs": 8, "hidden": (8,), "batch_size": 16, **options})
    model = build(data, chosen)
    return model, fit(model, data, chosen, path, watch)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_every_optimizer_learns(data, tmp_path, optimizer):
    """With its own default rate each optimizer separates the classes."""
    model, record = run(data, tmp_path / "m.safetensors", optimizer=optimizer, epochs=15)
    assert evaluate(model, data.test).accuracy > 0.9
    assert record.train_cost[-1] < record.train_cost[0]
    assert len(record.dev_accuracy) == 15


def test_the_same_seed_gives_the_same_bits(data, tmp_path):
    """Two runs with one seed end with equal parameters, another seed with others."""
    first, _ = run(data, tmp_path / "a.safetensors", seed=3)
    second, _ = run(data, tmp_path / "b.safetensors", seed=3)
    other, _ = run(data, tmp_path / "c.safetensors", seed=4)
    for name, array in first.state_dict().items():
        np.testing.assert_array_equal(array, second.state_dict()[name])
    assert not np.array_equal(first.state_dict()["0.weight"], other.state_dict()["0.weight"])


def test_the_best_epoch_is_kept(data, tmp_path):
    """The returned model is the checkpoint, with the best development accuracy of all epochs."""
    model, record = run(data, tmp_path / "m.safetensors", epochs=6)
    assert evaluate(model, data.dev).accuracy == max(record.dev_accuracy)
    for name, array in nn.load(tmp_path / "m.safetensors").items():
        np.testing.assert_array_equal(array, model.state_dict()[name])


def test_an_interruption_keeps_the_last_checkpoint(data, tmp_path):
    """Ctrl-C in the third epoch returns the best model of the first two."""

    def interrupt(epoch, step, record):
        if epoch == 2 and step == 3:
            raise KeyboardInterrupt

    model, record = run(data, tmp_path / "m.safetensors", interrupt)
    assert record.interrupted
    assert len(record.train_cost) == 2
    assert evaluate(model, data.dev).accuracy == max(record.dev_accuracy)


def test_an_early_interruption_leaves_no_file(data, tmp_path):
    """Before the first epoch ends there is no model to keep."""

    def interrupt(*_):
        raise KeyboardInterrupt

    _, record = run(data, tmp_path / "m.safetensors", interrupt)
    assert record.interrupted
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value", "ignore:divide by zero")
def test_a_diverging_run_says_what_to_do(data, tmp_path):
    """A cost that is not finite stops the run with advice about the learning rate."""
    with pytest.raises(ArgumentError, match="smaller --lr"):
        run(data, tmp_path / "m.safetensors", optimizer="sgd", lr=1e30, dropout=0.0, epochs=3)


def test_a_batch_of_one_at_the_end_is_left_out(data, tmp_path):
    """97 examples in batches of 16 leave one over, on which batch norm could not train."""
    steps = []
    run(data, tmp_path / "m.safetensors", lambda e, s, r: steps.append(s), epochs=1)
    assert len(steps) == 6


def test_a_saved_classifier_predicts_as_before(data, tmp_path):
    """Architecture, normalization and parameters come back from the one file."""
    model, _ = run(data, tmp_path / "m.safetensors", hidden=(8, 5))
    classifier = load_classifier(tmp_path / "m.safetensors")
    probabilities = classifier.probabilities(data.test.x)
    np.testing.assert_array_equal(probabilities.argmax(1), evaluate(model, data.test).predicted)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_files_of_other_origin_are_refused(tmp_path):
    """A safetensors file without a description, or with a damaged one, is not a classifier."""
    path = tmp_path / "m.safetensors"
    nn.save({"w": np.zeros(2)}, path)
    with pytest.raises(DataError, match="not written by"):
        load_classifier(path)
    for text in ("{", "[1]", json.dumps({"options": {}})):
        nn.save({"w": np.zeros(2)}, path, {"tinygrad_course": text})
        with pytest.raises(DataError, match="damaged|does not describe"):
            load_classifier(path)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("epochs", 0, "--epochs"),
        ("batch_size", 1, "--batch-size"),
        ("hidden", (), "--hidden"),
        ("hidden", (5, 0), "--hidden"),
        ("dropout", 1.0, "--dropout"),
        ("lr", -1.0, "--lr"),
        ("lr", float("nan"), "--lr"),
        ("optimizer", "adagrad", "sgd, momentum, nesterov, rmsprop, adam"),
    ],
)
def test_impossible_options_are_named(option, value, words):
    """The message names the option and what it takes."""
    with pytest.raises(ArgumentError, match=words):
        Options(**{option: value})


def test_digits_are_read_well_with_the_defaults(tmp_path):
    """With default options the mean test accuracy over seeds 0 to 4 is at least 97 %."""
    data = digits()
    accuracies = []
    for seed in range(5):
        model = build(data, Options(seed=seed))
        fit(model, data, Options(seed=seed), tmp_path / "m.safetensors", lambda *_: None)
        accuracies.append(evaluate(model, data.test).accuracy)
    assert np.mean(accuracies) >= 0.97, accuracies
