"""PyTorch, eager: tensors made beforehand, its own modules, losses and optimizers."""

from functools import partial

import torch
from torch import nn

VERSION = f"torch {torch.__version__}"
set_threads = torch.set_num_threads


def chain(data):
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (data.a, data.b))
    start = torch.tensor(data.start, dtype=torch.float64)

    def step(_i):
        a.grad = b.grad = None
        y = start
        for _ in range(data.links):
            y = y * a + b
        y = y.sum() if y.ndim else y
        y.backward()
        return y.item(), a.grad.sum().item(), b.grad.sum().item()

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
        conv = filled(nn.Conv2d(K.shape[1], K.shape[0], K.shape[2]), K, b)
        layers += [conv, nn.ReLU(), nn.MaxPool2d(2)]
    first, last = (dense(W, b) for W, b in rest)
    return nn.Sequential(*layers, nn.Flatten(), first, nn.ReLU(), last)


def dense(W, b):
    return filled(nn.Linear(*W.shape), W.T, b)


def filled(layer, weight, bias):
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


MODELS = {"network": network, "deep": deep, "lenet": lenet, "dropout": dropout_network}
SGD, ADAM = torch.optim.SGD, torch.optim.Adam
OPTIMIZERS = {"network": SGD, "deep": SGD, "lenet": SGD, "dropout": ADAM}


def training(kind, optimizer_class=None, prepare=lambda model: model):
    """Return the maker of a training step of this kind of network."""
    optimizer_class = optimizer_class or OPTIMIZERS[kind]

    def make(data):
        X, Y = torch.from_numpy(data.images), torch.from_numpy(data.labels)
        batches = list(torch.from_numpy(data.batches))
        model = prepare(MODELS[kind](data))
        criterion = nn.CrossEntropyLoss()
        optimizer = optimizer_class(model.parameters(), lr=data.learning_rate)

        def step(i):
            index = batches[i % len(batches)]
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(X[index]), Y[index])
            loss.backward()
            optimizer.step()
            return (loss.item(),)

        return step

    return make


# ---- parts ---------------------------------------------------------------------------------------


def adam(data, optimizer_class=ADAM):
    parameters = [torch.tensor(p, requires_grad=True) for p in data.parameters]
    for p, g in zip(parameters, data.gradients, strict=True):
        p.grad = torch.from_numpy(g)
    optimizer = optimizer_class(parameters, lr=data.learning_rate)
    return (lambda _i: optimizer.step()), lambda: [p.detach().numpy() for p in parameters]


def convolution(data, layout=torch.contiguous_format):
    K = torch.tensor(data.kernels).contiguous(memory_format=layout).requires_grad_()
    function = partial(nn.functional.conv2d, weight=K, padding=data.padding)
    return part(data, function, [K], layout)


def pooling(data, layout=torch.contiguous_format):
    return part(data, partial(nn.functional.max_pool2d, kernel_size=2), [], layout)


def batch_norm(data, layout=torch.contiguous_format):
    layer = nn.BatchNorm2d(data.x.shape[1])
    return part(data, layer, list(layer.parameters()), layout)


def part(data, function, parameters, layout):
    """Return the step of a part of a network: its result and all gradients."""
    x, upstream = (
        torch.tensor(v).contiguous(memory_format=layout) for v in (data.x, data.upstream)
    )
    leaves = [x.requires_grad_(), *parameters]

    def step(_i):
        nonlocal y
        for leaf in leaves:
            leaf.grad = None
        y = function(x)
        y.backward(upstream)

    y = None
    return step, lambda: [y.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]


def chain_leaves():
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.999, 0.002))
    return a, b, torch.tensor(1.0, dtype=torch.float64)


PARTS = {"convolution": convolution, "pooling": pooling, "batch_norm": batch_norm}
MAKERS = {"chain": chain, **{kind: training(kind) for kind in MODELS}, "adam": adam, **PARTS}
