"""tinygrad_course, eager: its own modules, loss and optimizer."""

import numpy as np

import tinygrad_course as tc
from tinygrad_course import nn, optim

VERSION = f"tinygrad_course {tc.__version__}, numpy {np.__version__}"


def make(workload, data, compiled=lambda train: train):
    if workload.kind == "chain":
        return chain(data)
    model = {"network": network, "deep": deep, "lenet": lenet}[workload.kind](data)
    shape = (-1, 1, 28, 28) if workload.kind == "lenet" else (len(data.images), -1)
    return training(model, data, data.images.reshape(shape), compiled)


def chain(data):
    a, b = tc.Tensor(data.a, requires_grad=True), tc.Tensor(data.b, requires_grad=True)
    start = tc.Tensor(data.start)

    def step(_i):
        a.grad = b.grad = None
        y = start
        for _ in range(data.links):
            y = y * a + b
        y = y.sum() if y.ndim else y
        y.backward()
        return float(y), float(a.grad.sum()), float(b.grad.sum())

    return step


def network(data):
    layers = []
    for W, b in data.weights:
        layers += [dense(W, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def deep(data):
    layers = []
    for W, b in data.weights:
        layers += [dense(W, b), nn.BatchNorm1d(W.shape[1]), nn.ReLU()]
    return nn.Sequential(*layers[:-2])


def lenet(data):
    (K1, b1), (K2, b2), *rest = data.weights
    layers = []
    for K, b in ((K1, b1), (K2, b2)):
        conv = nn.Conv2d(K.shape[1], K.shape[0], K.shape[2])
        conv.weight.data[...], conv.bias.data[...] = K, b
        layers += [conv, nn.ReLU(), nn.MaxPool2d(2)]
    first, last = (dense(W, b) for W, b in rest)
    return nn.Sequential(*layers, nn.Flatten(), first, nn.ReLU(), last)


def dense(W, b):
    linear = nn.Linear(*W.shape, dtype=np.float32)
    linear.weight.data[...], linear.bias.data[...] = W.T, b
    return linear


def training(model, data, X, compiled):
    Y, batches = data.labels, data.batches
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=data.learning_rate)

    @compiled
    def train(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def step(i):
        index = batches[i % len(batches)]
        return (float(train(X[index], Y[index])),)

    return step


def chain_leaves():
    return (
        tc.Tensor(0.999, requires_grad=True),
        tc.Tensor(0.002, requires_grad=True),
        tc.Tensor(1.0),
    )
