"""PyTorch, eager: tensors made beforehand, its own modules, loss and optimizer."""

import torch
from torch import nn

VERSION = f"torch {torch.__version__}"
set_threads = torch.set_num_threads


def make(workload, data):
    return {"chain": chain, "network": network, "deep": deep, "lenet": lenet}[workload.kind](data)


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


def network(data):
    layers = []
    for W, b in data.weights:
        layers += [dense(W, b), nn.ReLU()]
    return training(nn.Sequential(*layers[:-1]), data, data.images)


def deep(data):
    layers = []
    for W, b in data.weights:
        layers += [dense(W, b), nn.BatchNorm1d(W.shape[1]), nn.ReLU()]
    return training(nn.Sequential(*layers[:-2]), data, data.images)


def lenet(data):
    (K1, b1), (K2, b2), *rest = data.weights
    layers = []
    for K, b in ((K1, b1), (K2, b2)):
        conv = filled(nn.Conv2d(K.shape[1], K.shape[0], K.shape[2]), K, b)
        layers += [conv, nn.ReLU(), nn.MaxPool2d(2)]
    first, last = (dense(W, b) for W, b in rest)
    model = nn.Sequential(*layers, nn.Flatten(), first, nn.ReLU(), last)
    return training(model, data, data.images.reshape(-1, 1, 28, 28))


def dense(W, b):
    return filled(nn.Linear(*W.shape), W.T, b)


def filled(layer, weight, bias):
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def training(model, data, images):
    X, Y = torch.from_numpy(images), torch.from_numpy(data.labels)
    batches = list(torch.from_numpy(data.batches))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=data.learning_rate)

    def step(i):
        index = batches[i % len(batches)]
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(X[index]), Y[index])
        loss.backward()
        optimizer.step()
        return (loss.item(),)

    return step


def chain_leaves():
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.999, 0.002))
    return a, b, torch.tensor(1.0, dtype=torch.float64)
