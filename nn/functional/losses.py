# ruff: noqa: A002 - `input` is PyTorch's name
"""Losses of numbers: squared, absolute and robust errors, and negative log-likelihoods."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.nn.functional.reducing import (
    fitting,
    like,
    pair,
    positive_number,
    raw,
    reduced,
    weighted,
)


def mse_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Any:
    """Return the mean squared error: the mean of (x - y)², or Σ w (x - y)² / Σ w.

    Raises:
        ShapeError: the shapes differ; (n,) against (n, 1) is refused, not broadcast.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.mse_loss([1.0, 3.0], [1.0, 1.0]))
        2.0
    """
    x, y = pair("mse_loss", input, target)
    return _averaged("mse_loss", ops.square(ops.subtract(x, y)), weight, reduction)


def l1_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Any:
    """Return the mean absolute error: the mean of |x - y|, or Σ w |x - y| / Σ w.

    The derivative at 0 is 0.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.l1_loss([1.0, 3.0], [1.0, 1.0]))
        1.0
    """
    x, y = pair("l1_loss", input, target)
    return _averaged("l1_loss", functions.abs(ops.subtract(x, y)), weight, reduction)


def quadratic_cost(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """Return Nielsen's quadratic cost: ½ Σ (a - y)² of every example, averaged over the examples.

    The first axis counts the examples; reduction="none" gives one cost for each of them. It is half
    of `mse_loss` with reduction="batchmean". Source: lesson 004 of the notes.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.quadratic_cost([[1.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]))
        1.25
    """
    a, y = pair("quadratic_cost", input, target)
    outputs = tuple(range(1, a.ndim))
    costs = 0.5 * functions.sum(ops.square(ops.subtract(a, y)), axis=outputs)
    return reduced("quadratic_cost", costs, reduction)


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """Return ½ d² for differences |d| ≤ delta, delta (|d| - ½ delta) beyond (Huber 1964).

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: delta is not positive.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.huber_loss([0.5, 3.0], [0.0, 0.0], reduction="none")
        array([0.125, 2.5  ])
    """
    delta = positive_number("huber_loss", "delta", delta)
    x, y = pair("huber_loss", input, target)
    return reduced("huber_loss", weighted("huber_loss", _huber(x, y, delta), weight), reduction)


def smooth_l1_loss(input: Any, target: Any, *, reduction: str = "mean", beta: float = 1.0) -> Any:
    """Return ½ d² / beta for differences |d| < beta, |d| - ½ beta beyond (Girshick 2015).

    It is `huber_loss` divided by beta; with beta=0 it is `l1_loss`.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: beta is negative.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.smooth_l1_loss([0.5, 3.0], [0.0, 0.0], reduction="none", beta=2.0)
        array([0.0625, 2.    ])
    """
    name = "smooth_l1_loss"
    beta = positive_number(name, "beta", beta, zero=True)
    x, y = pair(name, input, target)
    losses = _huber(x, y, beta) / beta if beta else functions.abs(ops.subtract(x, y))
    return reduced(name, losses, reduction)


def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Any:
    """Return the Kullback-Leibler divergence y (log y - x) of log-probabilities x from y.

    The mathematical divergence is the sum over the classes: use reduction="batchmean". "mean"
    divides by the classes, too, as PyTorch's.

    Args:
        input: x, logarithms of probabilities.
        target: y, probabilities, of the shape of x; 0 log 0 counts as 0.
        reduction: "mean", "sum", "none", or "batchmean".
        log_target: whether the target is given as logarithms.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: a probability is negative.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> x, y = np.log([[0.5, 0.5]]), [[0.0, 1.0]]
        >>> float(F.kl_div(x, y, reduction="batchmean").round(4))
        0.6931
    """
    x, y = pair("kl_div", input, target)
    if log_target:
        return reduced("kl_div", functions.exp(y) * (y - x), reduction)
    if (raw(y) < 0).any():
        raise ArgumentError(
            "kl_div: a target is negative; probabilities are expected, or log_target=True"
        )
    return reduced("kl_div", y * (functions.log(functions.where(y > 0, y, 1.0)) - x), reduction)


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """Return the negative log-likelihood ½ (log v + (y - x)² / v) of a normal distribution.

    Args:
        input: x, the expected values.
        target: y, of the shape of x.
        var: v, the variances: a number, or of the shape of x, with a last axis of 1, or without it.
        full: whether to add the constant ½ log 2π.
        eps: the least variance. As PyTorch's the derivative ignores the limit, so that a variance
            that has become too small can grow again.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a variance is negative.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.gaussian_nll_loss([1.0], [3.0], [4.0]).round(4))
        1.1931
    """
    name = "gaussian_nll_loss"
    eps = positive_number(name, "eps", eps)
    x, y = pair(name, input, target)
    var = like(var, x)
    if var.ndim and var.shape == x.shape[:-1] != x.shape:
        var = functions.expand_dims(var, -1)
    var = fitting(name, var, x, "var")
    plain = raw(var)
    if (plain < 0).any():
        raise ArgumentError(f"{name}: a variance is negative")
    var = var + np.maximum(eps - plain, 0)  # max(var, eps), with the slope 1 everywhere
    losses = 0.5 * (functions.log(var) + ops.square(x - y) / var)
    return reduced(name, losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    """Return the negative log-likelihood exp(x) - y x of a Poisson distribution with rate exp(x).

    Args:
        input: x, the logarithm of the rate.
        target: y, the counts, of the shape of x.
        log_input: False: x is the rate itself, and the loss x - y log(x + eps).
        full: whether to add Stirling's y log y - y + ½ log(2π y) for counts above 1.
        eps: keeps the logarithm of a rate of 0 finite.
        reduction: "mean", "sum", "none", or "batchmean".

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> float(F.poisson_nll_loss([0.0], [2.0]))
        1.0
    """
    x, y = pair("poisson_nll_loss", input, target)
    if log_input:
        losses = functions.exp(x) - y * x
    else:
        losses = x - y * functions.log(x + positive_number("poisson_nll_loss", "eps", eps))
    if full:
        many = y > 1
        safe = functions.where(many, y, 1.0)
        log = functions.log(safe)
        stirling = safe * log - safe + 0.5 * (log + math.log(2 * math.pi))
        losses = losses + functions.where(many, stirling, 0.0)
    return reduced("poisson_nll_loss", losses, reduction)


# ---- parts --------------------------------------------------------------------------------------


def _averaged(name: str, losses: Any, weight: Any, reduction: str) -> Any:
    """Return losses reduced; a mean is divided by the sum of the weights, as PyTorch's."""
    if weight is None:
        return reduced(name, losses, reduction)
    weight = like(weight, losses)
    if weight.shape != losses.shape:
        raise ShapeError(
            f"{name}: weight has shape {weight.shape}; expected that of the input, {losses.shape}"
        )
    if reduction == "mean":
        return functions.sum(losses * weight) / functions.sum(weight)
    return reduced(name, losses * weight, reduction)


def _huber(x: Any, y: Any, delta: float) -> Any:
    """Return c (d - ½ c) with c = d limited to ±delta: ½ d² inside, linear beyond."""
    d = ops.subtract(x, y)
    c = functions.clip(d, -delta, delta)
    return c * (d - 0.5 * c)


__all__ = [
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "poisson_nll_loss",
    "quadratic_cost",
    "smooth_l1_loss",
]
