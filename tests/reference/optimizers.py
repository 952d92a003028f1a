"""The table of optimizers; ``cd tests && python -m reference.optimizers`` stores PyTorch's answers.

A case is a class and its options; all train one small network whose loss is smooth. Muon's answer
is that of PyTorch's code without its rounding to bfloat16, Lion's that of the paper's program.
"""

from __future__ import annotations

from unittest import mock

import numpy as np

from reference.comparing import read, write

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
    "sgd, maximize": ("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True, "weight_decay": 0.3}),
    "rmsprop": ("RMSprop", {"lr": 0.02}),
    "rmsprop, alpha and eps": ("RMSprop", {"lr": 0.003, "alpha": 0.9, "eps": 0.1}),
    "rmsprop, momentum": ("RMSprop", {"lr": 0.005, "momentum": 0.8}),
    "rmsprop, centered": ("RMSprop", {"lr": 0.01, "centered": True}),
    "rmsprop, weight decay": ("RMSprop", {"lr": 0.002, "weight_decay": 0.05}),
    "rmsprop, everything": (
        "RMSprop",
        {
            "lr": 0.002,
            "momentum": 0.5,
            "centered": True,
            "weight_decay": 0.05,
            "alpha": 0.95,
            "maximize": True,
        },
    ),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad, everything": (
        "Adagrad",
        {
            "lr": 0.05,
            "lr_decay": 0.02,
            "weight_decay": 0.05,
            "initial_accumulator_value": 0.1,
            "eps": 1e-3,
            "maximize": True,
        },
    ),
    "adadelta": ("Adadelta", {"lr": 1.0}),
    "adadelta, everything": (
        "Adadelta",
        {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.05, "maximize": True},
    ),
    "adam": ("Adam", {"lr": 0.02}),
    "adam, betas and eps": ("Adam", {"lr": 0.02, "betas": (0.7, 0.95), "eps": 1e-4}),
    "adam, weight decay": ("Adam", {"lr": 0.02, "weight_decay": 0.05}),
    "adam, amsgrad": ("Adam", {"lr": 0.05, "betas": (0.8, 0.9), "amsgrad": True}),
    "adam, maximize": ("Adam", {"lr": 0.005, "maximize": True, "weight_decay": 0.1}),
    "adam, decoupled": (
        "Adam",
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
    "adamw": ("AdamW", {"lr": 0.02}),
    "adamw, everything": (
        "AdamW",
        {
            "lr": 0.01,
            "weight_decay": 0.2,
            "betas": (0.8, 0.9),
            "eps": 1e-5,
            "amsgrad": True,
            "maximize": True,
        },
    ),
    "nadam": ("NAdam", {"lr": 0.02}),
    "nadam, everything": (
        "NAdam",
        {
            "lr": 0.01,
            "betas": (0.8, 0.95),
            "eps": 1e-4,
            "weight_decay": 0.05,
            "momentum_decay": 0.1,
            "maximize": True,
        },
    ),
    "nadam, decoupled": (
        "NAdam",
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
    "radam": ("RAdam", {"lr": 0.05}),
    "radam, everything": (
        "RAdam",
        {
            "lr": 0.02,
            "betas": (0.8, 0.95),
            "eps": 1e-4,
            "weight_decay": 0.05,
            "maximize": True,
        },
    ),
    "radam, decoupled": (
        "RAdam",
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
    "adamax": ("Adamax", {"lr": 0.02}),
    "adamax, everything": (
        "Adamax",
        {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.05, "maximize": True},
    ),
    "asgd": ("ASGD", {"lr": 0.2}),
    "asgd, everything": (
        "ASGD",
        {"lr": 0.3, "lambd": 0.02, "alpha": 0.6, "t0": 20, "weight_decay": 0.05},
    ),
    "asgd, maximize": ("ASGD", {"lr": 0.01, "lambd": 0.1, "maximize": True}),
    "rprop": ("Rprop", {"lr": 0.01}),
    "rprop, everything": (
        "Rprop",
        {"lr": 0.02, "etas": (0.6, 1.1), "step_sizes": (1e-3, 0.05), "maximize": True},
    ),
    "lion": ("Lion", {"lr": 0.01}),
    "lion, everything": (
        "Lion",
        {"lr": 0.005, "betas": (0.8, 0.95), "weight_decay": 0.3, "maximize": True},
    ),
    "muon": ("Muon", {"lr": 0.005}),
    "muon, everything": (
        "Muon",
        {
            "lr": 0.02,
            "weight_decay": 0.3,
            "momentum": 0.8,
            "nesterov": False,
            "ns_coefficients": (3.0, -3.2, 1.2),
            "eps": 0.3,
            "ns_steps": 3,
            "adjust_lr_fn": "match_rms_adamw",
        },
    ),
    "muon, original": ("Muon", {"lr": 0.005, "momentum": 0.9, "adjust_lr_fn": "original"}),
    "lbfgs": ("LBFGS", {"lr": 0.1, "max_iter": 1}),
    "lbfgs, history": ("LBFGS", {"lr": 0.3, "max_iter": 2, "history_size": 3}),
    "lbfgs, strong wolfe": (
        "LBFGS",
        {"max_iter": 2, "max_eval": 4, "history_size": 5, "line_search_fn": "strong_wolfe"},
    ),
}
"""Name: (class, options)."""

RULES = {name: case for name, case in OPTIMIZERS.items() if case[0] not in {"Muon", "LBFGS"}}
"""The cases whose update rule works on every element by itself."""

KINDS = sorted({kind for kind, _ in OPTIMIZERS.values()})
EXTRA = {"SGD": {"dampen_first", "decoupled_weight_decay"}}
"""Options that PyTorch does not have."""

PENALTY = 0.1
"""So often the squares of all parameters are added to the loss: they make it well conditioned."""

STEPS = 100
STORED_STEPS = (1, 2, 10, 100)
PARAMETERS = ("w1", "b1", "w2", "b2")


def classification(seed: int) -> dict[str, np.ndarray]:
    """Return the data and the starting point of a small tanh network with smooth loss."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 2))
    return {
        "x": x,
        "y": (x @ rng.normal(size=(2, 2)) + rng.normal(size=(12, 2))).argmax(axis=1),
        "w1": rng.normal(size=(3, 2)),
        "b1": rng.normal(size=3) * 0.1,
        "w2": rng.normal(size=(2, 3)),
        "b2": rng.normal(size=2) * 0.1,
    }


def moved(kind: str, problem: dict[str, np.ndarray]) -> list[str]:
    """Return the parameters that are given to an optimizer: Muon takes matrices only."""
    return [name for name in PARAMETERS if kind != "Muon" or problem[name].ndim == 2]


def torch_trajectory(name: str, problem: dict[str, np.ndarray]) -> dict:
    """Return the loss and the parameters after some of the steps."""
    import torch

    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # NAdam and ASGD keep numbers in the default dtype
    try:
        with mock.patch.object(torch.Tensor, "bfloat16", lambda tensor: tensor.clone()):
            return _torch_points(torch, name, problem)
    finally:
        torch.set_default_dtype(usual)


def _torch_points(torch, name: str, problem: dict[str, np.ndarray]) -> dict:
    kind, options = OPTIMIZERS[name]
    x, y = torch.tensor(problem["x"]), torch.tensor(problem["y"])
    params = {key: torch.tensor(problem[key], requires_grad=True) for key in PARAMETERS}
    make = _lion(torch) if kind == "Lion" else getattr(torch.optim, kind)
    optimizer = make([params[key] for key in moved(kind, problem)], **options)

    def closure():
        optimizer.zero_grad()
        scores = torch.tanh(x @ params["w1"].T + params["b1"]) @ params["w2"].T + params["b2"]
        loss = torch.nn.functional.cross_entropy(scores, y)
        loss = loss + PENALTY * sum((p * p).sum() for p in params.values())
        loss.backward()
        return loss

    points = {}
    for step in range(1, STEPS + 1):
        loss = optimizer.step(closure)
        if step in STORED_STEPS:
            values = {key: p.detach().numpy().copy() for key, p in params.items()}
            points[str(step)] = {"loss": loss.detach().numpy(), **values}
    return points


def _lion(torch):
    """Return Lion as a class of PyTorch's: Chen et al. 2023, program 1."""

    class Lion(torch.optim.Optimizer):
        def __init__(self, params, **options):
            super().__init__(params, {"weight_decay": 0.0, "betas": (0.9, 0.99), **options})

        @torch.no_grad()
        def step(self, closure):
            with torch.enable_grad():
                loss = closure()
            for group in self.param_groups:
                beta1, beta2 = group["betas"]
                for p in group["params"]:
                    gradient = -p.grad if group.get("maximize") else p.grad
                    m = self.state[p].get("m", torch.zeros_like(p))
                    update = torch.sign(gradient * (1 - beta1) + m * beta1)
                    self.state[p]["m"] = gradient * (1 - beta2) + m * beta2
                    p.sub_(group["lr"] * (update + group["weight_decay"] * p))
            return loss

    return Lion


def answers() -> tuple[dict[str, np.ndarray], dict]:
    """Return the stored problem, and what PyTorch made of it by case."""
    cases = read("optimizers")
    return cases.pop("problem"), cases


if __name__ == "__main__":
    stored = classification(0)
    runs = {case: torch_trajectory(case, stored) for case in OPTIMIZERS}
    write("optimizers", {"problem": stored, **runs})
