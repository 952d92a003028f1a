"""HIPS autograd: a loss function in its NumPy, and value_and_grad."""

from importlib.metadata import version

import autograd.numpy as anp
from autograd import value_and_grad
from autograd.scipy.special import logsumexp

VERSION = f"autograd {version('autograd')}, numpy {version('numpy')}"


def chain(data):
    def total(a, b):
        y = data.start
        for _ in range(data.links):
            y = y * a + b
        return anp.sum(y) if anp.ndim(y) else y

    value_and_gradients = value_and_grad(total, argnum=(0, 1))

    def step(_i):
        y, (da, db) = value_and_gradients(data.a, data.b)
        return float(y), float(anp.sum(da)), float(anp.sum(db))

    return step


def network(data):
    X, Y, batches, lr = data.images, data.labels, data.batches, data.learning_rate
    layers = [(W.copy(), b.copy()) for W, b in data.weights]
    rows = anp.arange(batches.shape[1])

    def loss(layers, x, y):
        for W, b in layers[:-1]:
            x = anp.maximum(x @ W + b, 0)
        W, b = layers[-1]
        z = x @ W + b
        return anp.mean(logsumexp(z, axis=1) - z[rows, y])

    loss_and_gradients = value_and_grad(loss)

    def step(i):
        index = batches[i % len(batches)]
        value, gradients = loss_and_gradients(layers, X[index], Y[index])
        for (W, b), (dW, db) in zip(layers, gradients, strict=True):
            W -= lr * dW  # noqa: PLW2901 - in place
            b -= lr * db  # noqa: PLW2901
        return (float(value),)

    return step


MAKERS = {"chain": chain, "network": network}
