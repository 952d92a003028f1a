"""Cases that PyTorch and this project must compute alike, and the script that stores the answers.

``python tests/reference/make_torch_reference.py`` needs torch and writes ``torch_reference.json``
beside itself. The tests need only that file; where torch is installed they also ask it anew.

A case is written once, over a namespace ``nn`` or ``optim`` that may be PyTorch's or ours. Every
random number is drawn with NumPy and stored, everything is float64.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("torch_reference.json")

TARGETS = {
    "labels": lambda rng: rng.integers(0, 3, 5),
    "probabilities": lambda rng: rng.dirichlet(np.ones(3), 5),
    "labels of images": lambda rng: rng.integers(0, 3, (2, 2, 4)),
    "probabilities of images": lambda rng: np.moveaxis(rng.dirichlet(np.ones(3), (2, 4)), -1, 1),
    "unit interval": lambda rng: rng.uniform(0, 1, (5, 3)),
    "yes and no": lambda rng: rng.integers(0, 2, (5, 3)).astype(float),
    "numbers": lambda rng: rng.normal(size=(5, 3)),
}

LOSSES = {
    f"{kind}, {target}, {reduction}": (kind, scores, target, reduction)
    for kind, scores, target in [
        ("CrossEntropyLoss", (5, 3), "labels"),
        ("CrossEntropyLoss", (5, 3), "probabilities"),
        ("CrossEntropyLoss", (2, 3, 2, 4), "labels of images"),
        ("CrossEntropyLoss", (2, 3, 4), "probabilities of images"),
        ("BCEWithLogitsLoss", (5, 3), "unit interval"),
        ("BCEWithLogitsLoss", (5, 3), "yes and no"),
        ("MSELoss", (5, 3), "numbers"),
    ]
    for reduction in ("mean", "sum", "none")
}
"""Name: (class, shape of the scores, kind of target, reduction)."""

OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.2}),
    "sgd, weight decay": ("SGD", {"lr": 0.2, "weight_decay": 0.05}),
    "sgd, momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd, dampening": ("SGD", {"lr": 0.2, "momentum": 0.9, "dampening": 0.5}),
    "sgd, nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "sgd, nesterov and decay": (
        "SGD",
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
    ),
    "rmsprop": ("RMSprop", {"lr": 0.02}),
    "rmsprop, alpha and eps": ("RMSprop", {"lr": 0.005, "alpha": 0.9, "eps": 1e-3}),
    "rmsprop, momentum": ("RMSprop", {"lr": 0.005, "momentum": 0.8}),
    "rmsprop, centered": ("RMSprop", {"lr": 0.01, "centered": True}),
    "rmsprop, weight decay": ("RMSprop", {"lr": 0.005, "weight_decay": 0.05}),
    "rmsprop, everything": (
        "RMSprop",
        {"lr": 0.005, "momentum": 0.5, "centered": True, "weight_decay": 0.05, "alpha": 0.95},
    ),
    "adam": ("Adam", {"lr": 0.02}),
    "adam, betas and eps": ("Adam", {"lr": 0.02, "betas": (0.7, 0.95), "eps": 1e-4}),
    "adam, weight decay": ("Adam", {"lr": 0.02, "weight_decay": 0.05}),
}
"""Name: (class, options)."""

STEPS = 60
STORED_STEPS = (1, 2, 5, 20, 60)


def classification(seed: int) -> dict[str, np.ndarray]:
    """Return the data and the starting point of a small tanh network with smooth loss."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20, 3))
    return {
        "x": x,
        "y": (x @ rng.normal(size=(3, 3))).argmax(axis=1),
        "w1": rng.normal(size=(4, 3)),
        "b1": rng.normal(size=4) * 0.1,
        "w2": rng.normal(size=(3, 4)),
        "b2": rng.normal(size=3) * 0.1,
    }


PARAMETERS = ("w1", "b1", "w2", "b2")


def close(ours, theirs, what: str, rtol: float = 1e-10) -> None:
    """Assert equality to `rtol`, relative to the largest element of the array.

    A single element can be the small difference of large ones; its own size is no measure then.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, PyTorch {theirs.shape}"
    scale = float(np.abs(theirs).max(initial=0.0))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=rtol * scale, err_msg=what)


def torch_loss(name: str, seed: int) -> dict:
    """Return a loss, its derivative by the scores, and what it was taken of."""
    import torch

    kind, shape, target_kind, reduction = LOSSES[name]
    rng = np.random.default_rng(seed)
    x, target = rng.normal(size=shape) * 3, TARGETS[target_kind](rng)
    given = torch.tensor(x, requires_grad=True)
    out = getattr(torch.nn, kind)(reduction=reduction)(given, torch.tensor(target))
    g = rng.normal(size=tuple(out.shape))
    out.backward(torch.tensor(g))
    return {
        "x": x,
        "target": target,
        "g": g,
        "out": out.detach().numpy(),
        "dx": given.grad.numpy(),
    }


def torch_trajectory(name: str, seed: int) -> dict:
    """Return the problem, and loss and parameters after some of the steps."""
    import torch

    kind, options = OPTIMIZERS[name]
    problem = classification(seed)
    x, y = torch.tensor(problem["x"]), torch.tensor(problem["y"])
    w1, b1, w2, b2 = params = [torch.tensor(problem[key], requires_grad=True) for key in PARAMETERS]
    optimizer = getattr(torch.optim, kind)(params, **options)
    points = {}
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        scores = torch.tanh(x @ w1.T + b1) @ w2.T + b2
        loss = torch.nn.functional.cross_entropy(scores, y)
        loss.backward()
        optimizer.step()
        if step in STORED_STEPS:
            values = {k: p.detach().numpy().copy() for k, p in zip(PARAMETERS, params, strict=True)}
            points[str(step)] = {"loss": loss.detach().numpy(), **values}
    return {"problem": problem, "points": points}


def plain(value):
    """Return nested arrays as lists, for JSON."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def arrays(value):
    """Return what `plain` made lists of as arrays again; runs stay lists."""
    if isinstance(value, dict):
        return {key: arrays(part) for key, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [arrays(part) for part in value]
    return value if isinstance(value, str) else np.array(value)


def read() -> dict:
    """Return the stored answers, with arrays."""
    return arrays(json.loads(FILE.read_text(encoding="utf-8")))


def main() -> None:
    """Write the file, one case a line."""
    import torch

    sections = {
        "losses": {name: torch_loss(name, i) for i, name in enumerate(LOSSES)},
        "optimizers": {name: torch_trajectory(name, i) for i, name in enumerate(OPTIMIZERS)},
    }
    lines = [f'{{"torch": {json.dumps(torch.__version__.split("+")[0])}']
    for title, cases in sections.items():
        rows = ",\n".join(f"{json.dumps(k)}: {json.dumps(plain(v))}" for k, v in cases.items())
        lines.append(f"{json.dumps(title)}: {{\n{rows}\n}}")
    FILE.write_text(",\n".join(lines) + "}\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
