"""A layer's case, and PyTorch's answer to it.

A case is written once, over a namespace ``nn`` that may be PyTorch's or ours. Every random number
is drawn with NumPy and stored, everything is float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """How a layer is made, and what it is given.

    An input is a shape, drawn normal, or a function of a generator that draws it. Floating inputs
    are differentiated. `smooth` says that second derivatives exist at random points.
    """

    build: Callable[[Any, Any], Any]
    inputs: tuple[tuple[int, ...] | Callable[[np.random.Generator], np.ndarray], ...]
    smooth: bool = True

    def draw(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Return one batch of inputs."""
        return [
            given(rng) if callable(given) else rng.normal(size=given) * 2 + 0.5
            for given in self.inputs
        ]


def flat(outputs) -> list:
    """Return the arrays or Tensors of a nested output in order; None is left out."""
    if isinstance(outputs, list | tuple):
        return [leaf for part in outputs for leaf in flat(part)]
    return [] if outputs is None else [outputs]


def numbered(items) -> dict[str, Any]:
    """Return a list as a dict, which JSON keeps apart from an array."""
    return {str(i): item for i, item in enumerate(items)}


def torch_answer(case: Case, seed: int) -> dict:
    """Run a layer on three batches in training and one in evaluation; return all that came out."""
    import torch

    rng = np.random.default_rng(seed)
    layer = case.build(torch.nn, torch.float64)
    start = {k: rng.normal(size=tuple(p.shape)) for k, p in layer.named_parameters()}
    layer.load_state_dict({k: torch.tensor(v) for k, v in start.items()}, strict=False)
    runs = []
    for mode in ("train", "train", "train", "eval"):
        layer.train(mode == "train")
        inputs = case.draw(rng)
        given = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
        outputs = flat(layer(*given))
        upstream = [rng.normal(size=tuple(out.shape)) for out in outputs]
        layer.zero_grad()
        torch.autograd.backward(outputs, [torch.tensor(g) for g in upstream])
        runs.append(
            {
                "mode": mode,
                "x": numbered(inputs),
                "g": numbered(upstream),
                "out": numbered(out.detach().numpy().copy() for out in outputs),
                "dx": {str(i): x.grad.numpy() for i, x in enumerate(given) if x.requires_grad},
                "grads": {k: p.grad.numpy() for k, p in layer.named_parameters()},
                "buffers": {k: b.numpy().copy() for k, b in layer.named_buffers()},
            }
        )
        if not runs[0]["buffers"]:
            break  # without running averages every run would repeat the first
    return {"parameters": start, "runs": runs}
