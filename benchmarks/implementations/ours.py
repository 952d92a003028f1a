"""tinygrad_course, eager: its own modules, loss and optimizer."""

import numpy as np

import tinygrad_course as tc
from tinygrad_course import nn, optim

VERSION = f"tinygrad_course {tc.__version__}, numpy {np.__version__}"


def make(workload, data):
    return chain(data) if workload.kind == "chain" else network(data)


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
    X, Y, batches = data.images, data.labels, data.batches
    layers = []
    for W, b in data.weights:
        linear = nn.Linear(*W.shape, dtype=np.float32)
        linear.weight.data[...] = W.T
        linear.bias.data[...] = b
        layers += [linear, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=data.learning_rate)

    def step(i):
        index = batches[i % len(batches)]
        optimizer.zero_grad()
        loss = criterion(model(X[index]), Y[index])
        loss.backward()
        optimizer.step()
        return (float(loss),)

    return step


def chain_leaves():
    return (
        tc.Tensor(0.999, requires_grad=True),
        tc.Tensor(0.002, requires_grad=True),
        tc.Tensor(1.0),
    )
