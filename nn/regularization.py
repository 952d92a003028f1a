"""Penalties on large weights: terms of the loss, and a projection after the step.

A penalty is called with a module or with parameters, and its result is added to the loss::

    penalty = nn.L2Penalty(lmbda=5.0, m=50_000)
    loss = criterion(model(x), y) + penalty(model)

It is a part of the graph: backward gives its gradient, and so does ``gradcheck_module(model,
lambda out, y: criterion(out, y) + penalty(model), x, y)``.

Weights are the parameters of two or more axes whose name does not say "bias": biases and the
scales of normalization are left alone. With ``include_biases=True`` every parameter counts.

`m` is the size of the *training set*, not of the mini-batch; the notes write 1/m in front of the
whole cost. (They call it m or n; `lmbda` is Nielsen's word for λ.) For plain SGD an L2 penalty is
the same as ``weight_decay=lmbda / m`` in a parameter group of the weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError
from tinygrad_course.graph import no_grad
from tinygrad_course.nn.functional.reducing import positive_number
from tinygrad_course.nn.module import Module
from tinygrad_course.nn.options import positive
from tinygrad_course.tensor import Tensor

Target = Module | Tensor | Iterable[Tensor]
"""What is regularized."""

_ARRAYS = Tensor | np.ndarray  # arrays, so that a penalty fits into a check of plain NumPy


def weights(target: Target, *, include_biases: bool = False) -> list[Tensor]:
    """Return the weights of a module, or those among parameters: what a penalty counts.

    Args:
        target: a module, a parameter, or parameters.
        include_biases: whether to return every parameter.

    Raises:
        ArgumentError: there is no weight.

    Example:
        >>> from tinygrad_course import nn
        >>> from tinygrad_course.nn.regularization import weights
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm(3), nn.Linear(3, 2))
        >>> [w.shape for w in weights(model)]
        [(3, 4), (2, 3)]
        >>> len(weights(model, include_biases=True))
        6
    """
    named = _named(target)
    found = [p for name, p in named if include_biases or _is_weight(name, p)]
    if not found:
        raise ArgumentError(
            f"regularization: no weights among {len(named)} parameters: a weight has two or more "
            f"axes; include_biases=True takes every parameter"
        )
    return found


def decay_groups(target: Target, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameter groups for an optimizer: weights that decay, and all others, which do not.

    With SGD and ``weight_decay=lmbda / m`` this is the gradient of `L2Penalty`, without the graph.

    Args:
        target: a module, or parameters.
        weight_decay: of the weights.

    Raises:
        ArgumentError: there is no weight.

    Example:
        >>> from tinygrad_course import nn, optim
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> optimizer = optim.SGD(nn.decay_groups(model, weight_decay=5.0 / 50_000), lr=0.5)
        >>> [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups]
        [(2, 0.0001), (2, 0.0)]
    """
    decaying = weights(target)
    others = [p for name, p in _named(target) if not _is_weight(name, p)]
    groups = [{"params": decaying, "weight_decay": weight_decay}]
    return [*groups, {"params": others, "weight_decay": 0.0}] if others else groups


def _named(target: Target) -> list[tuple[str, Tensor]]:
    if isinstance(target, Module):
        return list(target.named_parameters())
    named: list[tuple[str, Any]]
    named = [("", p) for p in ([target] if isinstance(target, _ARRAYS) else target)]
    for _, p in named:
        if not isinstance(p, _ARRAYS):
            raise ArgumentError(
                f"regularization: expected a module or parameters, got {type(p).__name__}"
            )
    return named


def _is_weight(name: str, p: Tensor) -> bool:
    return p.ndim >= 2 and "bias" not in name.rpartition(".")[2]


class _Penalty(Module):
    """A term of the loss: λ/m times a sum over the weights."""

    def __init__(self, lmbda: float, m: int, *, include_biases: bool = False) -> None:
        name = type(self).__name__
        positive(name, m=m)
        self.lmbda = positive_number(name, "lmbda", lmbda, zero=True)
        self.m, self.include_biases = int(m), include_biases

    def cost(self, w: Tensor) -> Any:
        """Return the penalty of one array of weights for λ/m = 1."""
        raise NotImplementedError

    def forward(self, target: Target) -> Any:
        """Return the penalty of a module's weights, or of the weights among parameters."""
        first, *rest = weights(target, include_biases=self.include_biases)
        total = self.cost(first)
        for w in rest:
            total = total + self.cost(w)
        return total * (self.lmbda / self.m)

    def extra_repr(self) -> str:
        """Return the options."""
        return ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k != "training")


def _squares(w: Tensor) -> Any:
    return functions.sum(ops.square(w))


def _sizes(w: Tensor) -> Any:
    return functions.sum(functions.abs(w))


class L2Penalty(_Penalty):
    """λ/(2m) Σ ‖W‖²_F over all weights: every step shrinks them, by the factor 1 - ηλ/m with SGD.

    Source: lessons 000 and 004 of the notes. (Lesson 002 leaves out m and the square: a slip.)

    Args:
        lmbda: λ, the strength.
        m: number of examples of the whole training set.
        include_biases: whether biases, and all other parameters, count, too.

    Raises:
        ArgumentError: λ is negative, or m is not a positive whole number.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.nn.Parameter([[3.0, -4.0]])
        >>> penalty = tc.nn.L2Penalty(lmbda=0.2, m=10)(w)
        >>> penalty.backward()
        >>> penalty.item(), w.grad.round(3).tolist()
        (0.25, [[0.06, -0.08]])
    """

    def cost(self, w: Tensor) -> Any:
        """Return ½ Σ w²."""
        return 0.5 * _squares(w)


class L1Penalty(_Penalty):
    """λ/m Σ |w| over all weights: pulls each towards 0 with the same force, and makes many 0.

    The derivative is λ/m sgn(w), with sgn(0) = 0. Source: lesson 004 of the notes. Lessons 000 and
    001 write λ/(2m) instead: that is ``coefficient=0.5``.

    Args:
        lmbda: λ, the strength.
        m: number of examples of the whole training set.
        coefficient: of λ/m.
        include_biases: whether biases, and all other parameters, count, too.

    Raises:
        ArgumentError: λ or the coefficient is negative, or m is not a positive whole number.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.nn.Parameter([[3.0, 0.0, -4.0]])
        >>> penalty = tc.nn.L1Penalty(lmbda=0.5, m=10)(w)
        >>> penalty.backward()
        >>> penalty.item(), w.grad.tolist()
        (0.35000000000000003, [[0.05, 0.0, -0.05]])
    """

    def __init__(
        self, lmbda: float, m: int, *, coefficient: float = 1.0, include_biases: bool = False
    ) -> None:
        super().__init__(lmbda, m, include_biases=include_biases)
        self.coefficient = positive_number("L1Penalty", "coefficient", coefficient, zero=True)

    def cost(self, w: Tensor) -> Any:
        """Return Σ |w| times the coefficient."""
        return self.coefficient * _sizes(w)


class ElasticNetPenalty(_Penalty):
    """λ/m (r Σ |w| + (1 - r)/2 Σ w²): L1 for r = 1, L2 for r = 0, a mixture between.

    Source: Zou and Hastie 2005; r is called `l1_ratio`, as in scikit-learn.

    Args:
        lmbda: λ, the strength.
        m: number of examples of the whole training set.
        l1_ratio: r, the share of L1.
        include_biases: whether biases, and all other parameters, count, too.

    Raises:
        ArgumentError: λ is negative, r is outside [0, 1], or m is not a positive whole number.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.nn.Parameter([[3.0, -4.0]])
        >>> tc.nn.ElasticNetPenalty(lmbda=1.0, m=2, l1_ratio=0.5)(w).item()
        4.875
    """

    def __init__(
        self, lmbda: float, m: int, *, l1_ratio: float = 0.5, include_biases: bool = False
    ) -> None:
        super().__init__(lmbda, m, include_biases=include_biases)
        self.l1_ratio = float(l1_ratio)
        if not 0 <= self.l1_ratio <= 1:
            raise ArgumentError(f"ElasticNetPenalty: l1_ratio must lie in [0, 1], got {l1_ratio!r}")

    def cost(self, w: Tensor) -> Any:
        """Return r Σ |w| + (1 - r)/2 Σ w²."""
        return self.l1_ratio * _sizes(w) + 0.5 * (1 - self.l1_ratio) * _squares(w)


class MaxNorm:
    """Limit ‖w‖₂ ≤ c for the incoming weights w of every unit: call it after each step.

    A unit's weights are a row of W (n_out, n_in), or a filter of a convolution; longer ones are
    scaled to length c, shorter ones stay. This is no term of the loss but a projection: it changes
    the weights in place. Source: Srivastava et al. 2014 (dropout), section 5.1.

    Args:
        c: the largest length.
        include_biases: whether biases, and all other parameters, are limited, too: each to ±c.

    Raises:
        ArgumentError: c is not positive.

    Example:
        >>> import tinygrad_course as tc
        >>> layer = tc.nn.Linear(2, 2)
        >>> layer.weight.data[...] = [[3.0, 4.0], [0.3, 0.4]]
        >>> limit = tc.nn.MaxNorm(c=1.0)
        >>> limit(layer)
        >>> layer.weight.data.round(3)
        array([[0.6, 0.8],
               [0.3, 0.4]], dtype=float32)
    """

    def __init__(self, c: float = 3.0, *, include_biases: bool = False) -> None:
        self.c, self.include_biases = positive_number("MaxNorm", "c", c), include_biases

    @no_grad()
    def __call__(self, target: Target) -> None:
        """Limit the weights of a module, or those among parameters."""
        for w in weights(target, include_biases=self.include_biases):
            rest = tuple(range(1, w.ndim))
            length = functions.sqrt(functions.sum(ops.square(w), axis=rest, keepdims=True))
            ops.assign(w, w * (self.c / ops.maximum(length, self.c)))

    def __repr__(self) -> str:
        return f"MaxNorm(c={self.c!r}, include_biases={self.include_biases!r})"


__all__ = [
    "ElasticNetPenalty",
    "L1Penalty",
    "L2Penalty",
    "MaxNorm",
    "decay_groups",
]
