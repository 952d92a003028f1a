"""Replays beside PyTorch, in float64: whole training runs of the course's networks."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, optim

torch = pytest.importorskip("torch")

NETWORKS = {
    "dense": (lambda n: [n.Linear(20, 12), n.ReLU(), n.Linear(12, 4)], (16, 20), 50),
    "three layers": (
        lambda n: [n.Linear(20, 16), n.Tanh(), n.Linear(16, 16), n.Sigmoid(), n.Linear(16, 4)],
        (16, 20),
        50,
    ),
    "batch norm": (
        lambda n: [
            *(m for _ in range(5) for m in (n.Linear(20, 20), n.BatchNorm1d(20), n.ReLU())),
            n.Linear(20, 4),
        ],
        (16, 20),
        5,
    ),
    "images": (
        lambda n: [
            *(n.Conv2d(1, 3, 3), n.ReLU(), n.MaxPool2d(2)),
            *(n.Conv2d(3, 5, 3), n.ReLU(), n.MaxPool2d(2)),
            *(n.Flatten(), n.Linear(45, 4)),
        ],
        (6, 1, 18, 18),
        20,
    ),
}
OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "Adam": {"lr": 0.01},
    "RMSprop": {"lr": 0.01, "weight_decay": 0.01},
}


def ours(layers, optimizer, state):
    """Return the model and its compiled step."""
    model = nn.Sequential(*layers(nn)).to(np.float64)
    model.load_state_dict(state)
    opt = getattr(optim, optimizer)(model.parameters(), **OPTIMIZERS[optimizer])
    criterion = nn.CrossEntropyLoss()

    @tc.compile
    def step(x, y):
        opt.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return model, lambda x, y: step(x, y).item()


def theirs(layers, optimizer):
    """Return the same in PyTorch."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(*layers(torch.nn)).double()
    opt = getattr(torch.optim, optimizer)(model.parameters(), **OPTIMIZERS[optimizer])
    criterion = torch.nn.CrossEntropyLoss()

    def step(x, y):
        opt.zero_grad()
        loss = criterion(model(torch.from_numpy(x)), torch.from_numpy(y))
        loss.backward()
        opt.step()
        return loss.item()

    return model, step


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_compiled_run_is_pytorchs(network, optimizer):
    """Losses of every step, and in the end parameters, gradients and statistics."""
    layers, shape, steps = NETWORKS[network]
    reference, expected = theirs(layers, optimizer)
    state = {key: value.numpy().copy() for key, value in reference.state_dict().items()}
    model, step = ours(layers, optimizer, state)
    rng = np.random.default_rng(1)
    for _ in range(steps):
        x, y = rng.normal(size=shape), rng.integers(0, 4, shape[0])
        assert step(x, y) == pytest.approx(expected(x, y), rel=1e-9)
    found = model.state_dict()
    for key, value in reference.state_dict().items():
        np.testing.assert_allclose(found[key], value.numpy(), rtol=1e-7, atol=1e-9, err_msg=key)
    for p, q in zip(model.parameters(), reference.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-6, atol=1e-9)
