"""tinygrad_course, eager: its own modules, losses and optimizers."""

import numpy as np

import tinygrad_course as tc
from tinygrad_course import nn, optim

VERSION = f"tinygrad_course {tc.__version__}, numpy {np.__version__}"


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


# ---- networks ------------------------------------------------------------------------------------


def network(data):
    layers = []
    for W, b in data.weights:
        layers += [dense(W, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def dropout_network(data):
    layers = []
    for W, b in data.weights:
        layers += [dense(W, b), nn.ReLU(), nn.Dropout(data.dropout)]
    return nn.Sequential(*layers[:-2])


def deep(data):
    layers = []
    for W, b in data.weights:
        layers += [dense(W, b), nn.BatchNorm1d(W.shape[1]), nn.ReLU()]
    return nn.Sequential(*layers[:-2])


def lenet(data):
    (K1, b1), (K2, b2), *rest = data.weights
    layers = [nn.Unflatten(1, (1, 28, 28))]
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


MODELS = {"network": network, "deep": deep, "lenet": lenet, "dropout": dropout_network}
OPTIMIZERS = {"network": optim.SGD, "deep": optim.SGD, "lenet": optim.SGD, "dropout": optim.Adam}


def training(kind):
    """Return the maker of a training step of this kind of network."""

    def make(data):
        X, Y, batches = data.images, data.labels, data.batches
        model = MODELS[kind](data)
        criterion = nn.CrossEntropyLoss()
        optimizer = OPTIMIZERS[kind](model.parameters(), lr=data.learning_rate)

        def step(i):
            index = batches[i % len(batches)]
            optimizer.zero_grad()
            loss = criterion(model(X[index]), Y[index])
            loss.backward()
            optimizer.step()
            return (float(loss),)

        return step

    return make


# ---- parts ---------------------------------------------------------------------------------------


def as_it_is(function):
    return function


def adam(data, transform=as_it_is):
    parameters = [tc.Tensor(p, requires_grad=True) for p in data.parameters]
    for p, g in zip(parameters, data.gradients, strict=True):
        p.grad = g
    optimizer = optim.Adam(parameters, lr=data.learning_rate)

    @transform
    def update():
        optimizer.step()

    return (lambda _i: update()), lambda: [p.data for p in parameters]


def convolution(data, transform=as_it_is):
    K = tc.Tensor(data.kernels, requires_grad=True)
    return part(data, lambda x: nn.functional.conv2d(x, K, padding=data.padding), [K], transform)


def pooling(data, transform=as_it_is):
    return part(data, lambda x: nn.functional.max_pool2d(x, 2), [], transform)


def batch_norm(data, transform=as_it_is):
    layer = nn.BatchNorm2d(data.x.shape[1])
    return part(data, layer, list(layer.parameters()), transform)


def part(data, function, parameters, transform):
    """Return the step of a part of a network: its result and all gradients."""
    upstream = tc.Tensor(data.upstream)
    leaves = [tc.Tensor(data.x, requires_grad=True), *parameters]

    @transform
    def forward_and_backward():
        for leaf in leaves:
            leaf.grad = None
        y = function(leaves[0])
        y.backward(upstream)
        return y

    def step(_i):
        nonlocal y
        y = forward_and_backward()

    y = None
    return step, lambda: [y.data, *(leaf.grad for leaf in leaves)]


def chain_leaves():
    return (
        tc.Tensor(0.999, requires_grad=True),
        tc.Tensor(0.002, requires_grad=True),
        tc.Tensor(1.0),
    )


PARTS = {"adam": adam, "convolution": convolution, "pooling": pooling, "batch_norm": batch_norm}
MAKERS = {"chain": chain, **{kind: training(kind) for kind in MODELS}, **PARTS}
