"""The table of schedules; ``cd tests && python -m reference.schedulers`` stores PyTorch's answers.

A case makes a schedule of a namespace (PyTorch's ``lr_scheduler`` or ours) for an optimizer with
two groups, whose first rates are 0.5 and 0.03.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from reference.comparing import read, write

SCHEDULES = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda epoch: 0.95**epoch),
    "lambda, one a group": lambda s, o: s.LambdaLR(
        o, [lambda epoch: 1 / (1 + epoch), lambda epoch: 0.9 ** (epoch // 7)]
    ),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 1 - 0.5 / (1 + epoch)),
    "step": lambda s, o: s.StepLR(o, 7),
    "step, gamma": lambda s, o: s.StepLR(o, step_size=11, gamma=0.6),
    "multi step": lambda s, o: s.MultiStepLR(o, [3, 20, 20, 41], 0.7),
    "constant": lambda s, o: s.ConstantLR(o),
    "constant, factor": lambda s, o: s.ConstantLR(o, factor=0.7, total_iters=12),
    "linear": lambda s, o: s.LinearLR(o),
    "linear, down": lambda s, o: s.LinearLR(o, 0.9, 0.1, total_iters=40),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.93),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 13),
    "cosine, eta_min": lambda s, o: s.CosineAnnealingLR(o, T_max=50, eta_min=0.01),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 9),
    "restarts, longer": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, T_mult=3, eta_min=1e-3),
    "polynomial": lambda s, o: s.PolynomialLR(o),
    "polynomial, power": lambda s, o: s.PolynomialLR(o, total_iters=50, power=2.5),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, 0.2, step_size_up=8),
    "cyclic, triangular2": lambda s, o: s.CyclicLR(
        o, [0.01, 0.02], [0.2, 0.4], 4, 9, "triangular2", base_momentum=0.5, max_momentum=0.8
    ),
    "cyclic, exp_range": lambda s, o: s.CyclicLR(
        o, 0.01, 0.2, 6, mode="exp_range", gamma=0.97, cycle_momentum=False
    ),
    "cyclic, own height": lambda s, o: s.CyclicLR(
        o, 0.01, 0.2, 6, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations"
    ),
    "one cycle": lambda s, o: s.OneCycleLR(o, 0.8, total_steps=70),
    "one cycle, linear": lambda s, o: s.OneCycleLR(
        o, [0.8, 0.1], epochs=7, steps_per_epoch=11, pct_start=0.4, anneal_strategy="linear"
    ),
    "one cycle, three phases": lambda s, o: s.OneCycleLR(
        o, 0.8, 80, three_phase=True, div_factor=10.0, final_div_factor=50.0, base_momentum=0.7
    ),
    "plateau": lambda s, o: s.ReduceLROnPlateau(o, patience=2),
    "plateau, max": lambda s, o: s.ReduceLROnPlateau(
        o, "max", factor=0.5, patience=1, threshold=0.05, cooldown=3, min_lr=[0.1, 0.001]
    ),
    "plateau, abs": lambda s, o: s.ReduceLROnPlateau(
        o, factor=0.3, patience=0, threshold=0.3, threshold_mode="abs", eps=1e-3
    ),
    "plateau, max and abs": lambda s, o: s.ReduceLROnPlateau(
        o, mode="max", patience=4, threshold=0.01, threshold_mode="abs"
    ),
    "sequence": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, total_iters=6), s.ExponentialLR(o, 0.9), s.StepLR(o, 5)], [6, 30]
    ),
    "sequence, cosines": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 9), s.CosineAnnealingLR(o, 20), s.PolynomialLR(o, 30)], [10, 35]
    ),
    "sequence in a sequence": lambda s, o: s.SequentialLR(
        o,
        [
            s.SequentialLR(o, [s.ConstantLR(o, 0.5, 3), s.MultiStepLR(o, [4, 8])], [5]),
            s.CosineAnnealingWarmRestarts(o, 6),
        ],
        [20],
    ),
    "chain": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.2, 10), s.ExponentialLR(o, 0.95), s.StepLR(o, 20)]
    ),
    "chain, cosine": lambda s, o: s.ChainedScheduler(
        [s.CosineAnnealingLR(o, 70), s.MultiplicativeLR(o, lambda _: 0.99)], optimizer=o
    ),
}
"""Name: ``make(namespace, optimizer)``."""

STEPS = 70
RATES = (0.5, 0.03)


def metric(epoch: int) -> float:
    """Return what a plateau looks at: falling, flat, and falling again."""
    return 2.0 + math.sin(epoch / 9) * math.exp(-epoch / 40)


def kind_of_optimizer(name: str) -> str:
    """Return which optimizer a case is for: one with betas for every second cycle."""
    return "Adam" if name in {"cyclic, triangular2", "one cycle, linear"} else "SGD"


def advance(schedule, name: str, epoch: int) -> None:
    """Make the step of a schedule after an epoch."""
    schedule.step(*([metric(epoch)] if name.startswith("plateau") else []))


def settings(optimizer) -> list[float]:
    """Return rate and momentum of both groups; momentum only where it moves."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    if "max_momentum" not in optimizer.param_groups[0]:
        return rates
    group = optimizer.param_groups[0]
    return [*rates, float(group["betas"][0] if "betas" in group else group["momentum"])]


def torch_run(name: str) -> np.ndarray:
    """Return the settings of every epoch, one row each."""
    import torch

    params = [torch.zeros(1, requires_grad=True) for _ in RATES]
    groups = [{"params": [p], "lr": rate} for p, rate in zip(params, RATES, strict=True)]
    options = {"momentum": 0.9} if kind_of_optimizer(name) == "SGD" else {}
    optimizer = getattr(torch.optim, kind_of_optimizer(name))(groups, **options)
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # schedules are stepped without the optimizer
        schedule = SCHEDULES[name](torch.optim.lr_scheduler, optimizer)
        for epoch in range(STEPS):
            rows.append(settings(optimizer))
            advance(schedule, name, epoch)
    return np.array(rows)


def answers() -> dict[str, np.ndarray]:
    """Return the stored settings by case."""
    return read("schedulers")


if __name__ == "__main__":
    write("schedulers", {name: torch_run(name) for name in SCHEDULES})
