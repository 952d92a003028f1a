"""tinygrad_course: the same training steps, replayed as straight-line NumPy by tc.compile."""

from functools import partial

from implementations import ours

import tinygrad_course as tc
from tinygrad_course import nn

VERSION = ours.VERSION
COMPILES = True
OPTIONS = {}
latest = None


def configure(**options):
    """Choose the options of tc.compile; passes.py does."""
    OPTIONS.update(options)


def compiled(function):
    global latest  # noqa: PLW0603 - what passes.py asks about
    latest = tc.compile(function, **OPTIONS)
    return latest


def source():
    """Return what runs now, after some steps."""
    return latest.source


def training(kind):
    """Return the maker of a training step; the batch is gathered inside."""

    def make(data):
        X, Y, batches = tc.Tensor(data.images), tc.Tensor(data.labels), data.batches
        model = ours.MODELS[kind](data)
        criterion = nn.CrossEntropyLoss()
        optimizer = ours.OPTIMIZERS[kind](model.parameters(), lr=data.learning_rate)

        @compiled
        def train(index):
            optimizer.zero_grad()
            loss = criterion(model(X[index]), Y[index])
            loss.backward()
            optimizer.step()
            return loss

        return lambda i: (float(train(batches[i % len(batches)])),)

    return make


MAKERS = {kind: training(kind) for kind in ours.MODELS}
MAKERS |= {kind: partial(make, transform=compiled) for kind, make in ours.PARTS.items()}
