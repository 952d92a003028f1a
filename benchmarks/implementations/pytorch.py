"""PyTorch, eager: tensors made beforehand, its own modules, loss and optimizer."""

import torch
from torch import nn

VERSION = f"torch {torch.__version__}"
set_threads = torch.set_num_threads


def make(workload, data):
    return chain(data) if workload.kind == "chain" else network(data)


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
    X, Y = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    batches = list(torch.from_numpy(data.batches))
    layers = []
    for W, b in data.weights:
        linear = nn.Linear(*W.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
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
