"""tinygrad on the processor: its layers, its SGD, and the step under its jit."""

import shutil
from importlib.metadata import version

from implementations.unavailable import UnavailableError
from tinygrad import Context, Tensor, TinyJit
from tinygrad.nn.optim import SGD

VERSION = f"tinygrad {version('tinygrad')}"

if not shutil.which("clang"):
    raise UnavailableError("tinygrad compiles for the processor with clang")


def network(data):
    X, Y = Tensor(data.images).realize(), Tensor(data.labels).realize()
    batches = [Tensor(index).realize() for index in data.batches[:200]]
    layers = [(Tensor(W).realize(), Tensor(b).realize()) for W, b in data.weights]
    optimizer = SGD([p for layer in layers for p in layer], lr=data.learning_rate)

    @TinyJit
    def train(index):
        optimizer.zero_grad()
        x = X[index]
        for W, b in layers[:-1]:
            x = (x @ W + b).relu()
        W, b = layers[-1]
        loss = (x @ W + b).sparse_categorical_crossentropy(Y[index])
        loss.backward()
        with Context(TRAINING=1):
            return loss.realize(*optimizer.schedule_step())

    return lambda i: (train(batches[i % len(batches)]).item(),)


MAKERS = {"s": network, "m": network}  # 5 and 10 ms a step; with 800 units it takes seconds
