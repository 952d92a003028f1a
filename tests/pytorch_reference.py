"""Cases that PyTorch and this project compute alike, and the script that stores PyTorch's answers.

``python tests/pytorch_reference.py`` needs torch and writes ``pytorch_reference.json`` beside
itself. The tests need only that file; where torch is installed they also run it afresh.

A case is written once, over a namespace ``nn`` or ``optim`` that may be PyTorch's or ours.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("pytorch_reference.json")

LAYERS = {
    "linear": (lambda nn: nn.Linear(4, 3), (5, 4)),
    "linear without bias": (lambda nn: nn.Linear(4, 3, bias=False), (5, 4)),
    "linear on a batch of sequences": (lambda nn: nn.Linear(4, 3), (2, 5, 4)),
    "linear on one example": (lambda nn: nn.Linear(4, 3), (4,)),
    "batch norm": (lambda nn: nn.BatchNorm1d(3), (6, 3)),
    "batch norm of sequences": (lambda nn: nn.BatchNorm1d(3), (4, 3, 5)),
    "batch norm, options": (lambda nn: nn.BatchNorm1d(3, eps=0.1, momentum=0.3), (6, 3)),
    "batch norm, all batches": (lambda nn: nn.BatchNorm1d(3, momentum=None), (6, 3)),
    "batch norm, not affine": (lambda nn: nn.BatchNorm1d(3, affine=False), (6, 3)),
    "batch norm, batch only": (lambda nn: nn.BatchNorm1d(3, track_running_stats=False), (6, 3)),
    "relu": (lambda nn: nn.ReLU(), (4, 3)),
    "leaky relu": (lambda nn: nn.LeakyReLU(0.2), (4, 3)),
    "sigmoid": (lambda nn: nn.Sigmoid(), (4, 3)),
    "tanh": (lambda nn: nn.Tanh(), (4, 3)),
    "softplus": (lambda nn: nn.Softplus(), (4, 3)),
    "softmax": (lambda nn: nn.Softmax(dim=1), (4, 3)),
    "softmax, first axis": (lambda nn: nn.Softmax(dim=0), (4, 3)),
    "log softmax": (lambda nn: nn.LogSoftmax(dim=-1), (4, 3)),
    "flatten": (lambda nn: nn.Flatten(), (4, 3, 2)),
    "identity": (lambda nn: nn.Identity(), (4, 3)),
    "mlp": (
        lambda nn: nn.Sequential(
            nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2), nn.LogSoftmax(dim=1)
        ),
        (8, 4),
    ),
}
"""Name: (constructor, shape of the input)."""

LOSSES = {
    f"{name}, {reduction}": (
        lambda nn, loss=loss, reduction=reduction: getattr(nn, loss)(reduction=reduction),
        scores,
        target,
    )
    for reduction in ("mean", "sum", "none")
    for name, loss, scores, target in [
        ("cross-entropy of labels", "CrossEntropyLoss", (5, 3), ("labels", 3, (5,))),
        ("cross-entropy of probabilities", "CrossEntropyLoss", (5, 3), ("simplex", 3, (5, 3))),
        ("cross-entropy of images", "CrossEntropyLoss", (2, 3, 4), ("labels", 3, (2, 4))),
        ("logistic loss", "BCEWithLogitsLoss", (5, 3), ("unit", 0, (5, 3))),
        ("squared error", "MSELoss", (5, 3), ("real", 0, (5, 3))),
    ]
}
"""Name: (constructor, shape of the scores, (kind, classes, shape) of the target)."""

OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd, weight decay": ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    "sgd, momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd, dampening": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.9}),
    "sgd, nesterov": (
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ),
    "rmsprop": ("RMSprop", {"lr": 0.01}),
    "rmsprop, momentum": ("RMSprop", {"lr": 0.005, "momentum": 0.8, "alpha": 0.9}),
    "rmsprop, centered": ("RMSprop", {"lr": 0.005, "centered": True, "weight_decay": 0.1}),
    "adam": ("Adam", {"lr": 0.02}),
    "adam, options": (
        "Adam",
        {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1},
    ),
}
"""Name: (class, options)."""

STEPS = 100
"""Length of the optimizers' trajectories: softmax regression, smooth and well conditioned."""


def target_values(rng: np.random.Generator, kind: str, classes: int, shape: tuple[int, ...]):
    """Return labels, probabilities, numbers in [0, 1] or any numbers."""
    if kind == "labels":
        return rng.integers(0, classes, shape)
    if kind == "simplex":
        return rng.dirichlet(np.ones(classes), shape[0])
    return rng.uniform(0, 1, shape) if kind == "unit" else rng.normal(size=shape)


def regression() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, labels, and the weight and bias from which the trajectories start."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(30, 4))
    y = (x @ rng.normal(size=(4, 3))).argmax(axis=1)
    return x, y, rng.normal(size=(3, 4)), rng.normal(size=3)


def torch_layer(name: str, seed: int) -> dict:
    """Run a layer three times in training and once in evaluation; return all that came out."""
    import torch

    build, shape = LAYERS[name]
    rng = np.random.default_rng(seed)
    torch.set_default_dtype(torch.float64)
    layer = build(torch.nn)
    state = {}
    for key, value in layer.state_dict().items():
        if value.dtype == torch.float64 and "running" not in key:
            state[key] = rng.normal(size=tuple(value.shape))
    layer.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    runs = []
    for mode in ("train", "train", "train", "eval"):
        layer.train(mode == "train")
        x = rng.normal(size=shape)
        given = torch.tensor(x, requires_grad=True)
        out = layer(given)
        g = rng.normal(size=tuple(out.shape))
        layer.zero_grad()
        out.backward(torch.tensor(g))
        runs.append(
            {
                "mode": mode,
                "x": x,
                "g": g,
                "out": out.detach().numpy(),
                "dx": given.grad.numpy(),
                "grads": {k: p.grad.numpy() for k, p in layer.named_parameters()},
                "state": {k: v.numpy().copy() for k, v in layer.state_dict().items()},
            }
        )
    return {"state": state, "runs": runs}


def torch_loss(name: str, seed: int) -> dict:
    """Return a loss, its derivative, and what it was taken of."""
    import torch

    build, shape, (kind, classes, target_shape) = LOSSES[name]
    rng = np.random.default_rng(seed)
    x, target = rng.normal(size=shape) * 3, target_values(rng, kind, classes, target_shape)
    given = torch.tensor(x, requires_grad=True)
    out = build(torch.nn)(given, torch.tensor(target))
    g = rng.normal(size=tuple(out.shape))
    out.backward(torch.tensor(g))
    return {
        "x": x,
        "target": target,
        "g": g,
        "out": out.detach().numpy(),
        "dx": given.grad.numpy(),
    }


def torch_trajectory(name: str) -> list:
    """Return weight and bias after every tenth step."""
    import torch

    kind, options = OPTIMIZERS[name]
    x, y, *start = (torch.tensor(a) for a in regression())
    weight, bias = (s.requires_grad_() for s in start)
    optimizer = getattr(torch.optim, kind)([weight, bias], **options)
    points = []
    for step in range(STEPS):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(x @ weight.T + bias, y).backward()
        optimizer.step()
        if step % 10 == 9:
            points.append([weight.detach().numpy().copy(), bias.detach().numpy().copy()])
    return points


def plain(value):
    """Return nested arrays as lists, for JSON."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return np.asarray(value).tolist() if isinstance(value, np.ndarray | np.generic) else value


def main() -> None:
    """Write the file."""
    import torch

    answers = {
        "torch": torch.__version__,
        "layers": {name: torch_layer(name, i) for i, name in enumerate(LAYERS)},
        "losses": {name: torch_loss(name, i) for i, name in enumerate(LOSSES)},
        "optimizers": {name: torch_trajectory(name) for name in OPTIMIZERS},
    }
    FILE.write_text(json.dumps(plain(answers)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
