"""Activations with PyTorch's names and words.

`inplace` is PyTorch's advice about memory. It is understood everywhere and changes nothing: the
numbers are the same, and the input is left alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn.functional.arrays import as_array
from tinygrad_course.nn.functional.words import speaks_torch
from tinygrad_course.random import generator as default_generator

sigmoid = ops.sigmoid
tanh = ops.tanh

EXACT = 20.0
"""From which threshold on `softplus` keeps to its formula."""

SELU_ALPHA = 1.6732632423543772848170429916717
"""α of `selu`: with it, activations tend to mean 0 and variance 1."""

SELU_SCALE = 1.0507009873554804934193349852946
"""λ of `selu`."""


def _chosen(condition: Any, value: float, x: Any) -> Any:
    """Return `value` where the condition holds, and x elsewhere."""
    return ops.where(condition, value, x)


def _inside(x: Any, bound: float) -> Any:
    return functions.logical_and(x >= -bound, x <= bound)


# ---- rectifiers ----------------------------------------------------------------------------------


def relu(x: Any, inplace: bool = False) -> Any:  # noqa: ARG001 - see the module
    """Rectify: max(x, 0); the derivative at 0 is 0.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.relu([-1.0, 2.0])
        array([0., 2.])
    """
    return ops.relu(x)


def leaky_relu(x: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:  # noqa: ARG001
    """Rectify with a slope below 0.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.leaky_relu([-1.0, 2.0], 0.1)
        array([-0.1,  2. ])
    """
    return ops.leaky_relu(x, negative_slope=float(negative_slope))


def relu6(x: Any, inplace: bool = False) -> Any:  # noqa: ARG001 - see the module
    """Rectify and cut off at 6: min(max(x, 0), 6); the derivative at 0 and at 6 is 0.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.relu6([-1.0, 2.0, 8.0])
        array([0., 2., 6.])
    """
    return ops.hardtanh(x, min_val=0.0, max_val=6.0)


def prelu(x: Any, weight: Any) -> Any:
    """Rectify with a learned slope below 0: one for all of x, or one per channel (axis 1).

    Source: He et al. 2015.

    Raises:
        ShapeError: the number of slopes is neither 1 nor the number of channels.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.prelu(np.array([[-1.0, -1.0]]), np.array([0.1, 0.2]))
        array([[-0.1, -0.2]])
    """
    x, weight = as_array(x), as_array(weight)
    count = int(np.prod(weight.shape))
    channels = x.shape[1] if x.ndim > 1 else 1
    if count not in {1, channels} or weight.ndim > 1:
        raise ShapeError(
            f"prelu{describe(SCOPE.get())}: got {count} slopes of shape {weight.shape} for x of "
            f"shape {x.shape}; expected 1, or one per channel ({channels})"
        )
    if count > 1:
        weight = functions.reshape(weight, (1, -1, *(1,) * (x.ndim - 2)))
    elif weight.ndim > x.ndim:
        weight = functions.reshape(weight, ())
    return ops.where(x > 0, x, x * weight)


def rrelu(
    x: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,  # noqa: ARG001 - see the module
    generator: np.random.Generator | None = None,
) -> Any:
    """Rectify with a slope below 0 that is random in training, the mean slope in evaluation.

    Source: Xu et al. 2015.

    Raises:
        ArgumentError: `lower` is larger than `upper`.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.rrelu([-1.0, 2.0], lower=0.2, upper=0.4).round(3)
        array([-0.3,  2. ])
    """
    lower, upper = float(lower), float(upper)
    if not lower <= upper:
        raise ArgumentError(f"rrelu: lower={lower} must not be larger than upper={upper}")
    if not training:
        return ops.leaky_relu(x, negative_slope=(lower + upper) / 2)
    x = as_array(x)
    kind = x.dtype.name if x.dtype.kind == "f" else "float64"
    slopes = ops.random_uniform(
        generator=default_generator(generator), shape=x.shape, low=lower, high=upper, dtype=kind
    )
    return ops.where(x > 0, x, x * slopes)


def threshold(x: Any, threshold: float, value: float, inplace: bool = False) -> Any:  # noqa: ARG001
    """Return x where it is larger than `threshold`, and `value` elsewhere.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.threshold([0.5, 2.0], 1.0, -7.0)
        array([-7.,  2.])
    """
    x = as_array(x)
    return _chosen(x <= float(threshold), float(value), x)


# ---- exponential linear units --------------------------------------------------------------------


def elu(x: Any, alpha: float = 1.0, inplace: bool = False) -> Any:  # noqa: ARG001 - see the module
    """Return x above 0, and alpha (e**x - 1) elsewhere; at 0 the slope is alpha.

    Source: Clevert et al. 2016.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.elu([-1.0, 2.0]).round(3)
        array([-0.632,  2.   ])
    """
    return ops.elu(x, alpha=float(alpha))


def selu(x: Any, inplace: bool = False) -> Any:  # noqa: ARG001 - see the module
    """Return λ x above 0, and λ α (e**x - 1) elsewhere, with λ = 1.0507 and α = 1.6733.

    Source: Klambauer et al. 2017.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.selu([-1.0, 2.0]).round(3)
        array([-1.111,  2.101])
    """
    return ops.elu(x, alpha=SELU_ALPHA, scale=SELU_SCALE)


def celu(x: Any, alpha: float = 1.0, inplace: bool = False) -> Any:  # noqa: ARG001 - see the module
    """Return x above 0, and alpha (e**(x/alpha) - 1) elsewhere: smooth for every alpha.

    Source: Barron 2017.

    Raises:
        ArgumentError: alpha is 0.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.celu([-1.0, 2.0], alpha=2.0).round(3)
        array([-0.787,  2.   ])
    """
    if not alpha:
        raise ArgumentError("celu: alpha must not be 0, because x is divided by it")
    return ops.elu(x, alpha=float(alpha), input_scale=1.0 / float(alpha))


# ---- smooth gates --------------------------------------------------------------------------------


def silu(x: Any, inplace: bool = False) -> Any:  # noqa: ARG001 - see the module
    """Return x sigmoid(x), also called swish.

    Source: Elfwing et al. 2017.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.silu([0.0, 2.0]).round(3)
        array([0.   , 1.762])
    """
    return ops.silu(x)


def gelu(x: Any, approximate: str = "none") -> Any:
    """Return x Φ(x), with Φ the probability of a standard normal number below x.

    ``approximate="tanh"`` gives x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2 instead.
    Source: Hendrycks and Gimpel 2016.

    Raises:
        ArgumentError: `approximate` is neither "none" nor "tanh".

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.gelu([-1.0, 1.0]).round(4), F.gelu([-1.0, 1.0], "tanh").round(4)
        (array([-0.1587,  0.8413]), array([-0.1588,  0.8412]))
    """
    if approximate == "none":
        return ops.gelu(x)
    if approximate == "tanh":
        return ops.gelu_tanh(x)
    raise ArgumentError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")


def mish(x: Any, inplace: bool = False) -> Any:  # noqa: ARG001 - see the module
    """Return x tanh(softplus(x)).

    Source: Misra 2019.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.mish([0.0, 2.0]).round(3)
        array([0.   , 1.944])
    """
    x = as_array(x)
    return x * ops.tanh(ops.softplus(x))


def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """Return log(1 + e**(beta x)) / beta, a smooth rectifier; x itself where beta x > threshold.

    A threshold of 20 or more, as PyTorch's is without being asked, is not needed here: the formula
    does not overflow, and holds everywhere.

    Raises:
        ArgumentError: beta is 0.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.softplus([0.0, 1000.0]).round(3)
        array([6.93e-01, 1.00e+03])
    """
    beta, threshold = float(beta), float(threshold)
    if beta == 1.0 and threshold >= EXACT:
        return ops.softplus(x)
    if not beta:
        raise ArgumentError("softplus: beta must not be 0, because the result is divided by it")
    x = as_array(x)
    scaled = x * beta
    smooth = ops.softplus(scaled) / beta
    return smooth if threshold >= EXACT else ops.where(scaled > threshold, x, smooth)


def logsigmoid(x: Any) -> Any:
    """Return log(sigmoid(x)) without overflow.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.logsigmoid([0.0, -1000.0]).round(3)
        array([-6.93e-01, -1.00e+03])
    """
    return ops.log_sigmoid(x)


def softsign(x: Any) -> Any:
    """Return x / (1 + |x|).

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.softsign([-1.0, 3.0])
        array([-0.5 ,  0.75])
    """
    x = as_array(x)
    return x / (functions.abs(x) + 1)


def tanhshrink(x: Any) -> Any:
    """Return x - tanh(x).

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.tanhshrink([0.0, 2.0]).round(3)
        array([0.   , 1.036])
    """
    x = as_array(x)
    return x - ops.tanh(x)


@speaks_torch
def glu(x: Any, dim: int = -1) -> Any:
    """Return a sigmoid(b), where a and b are the halves of x along `dim`.

    Source: Dauphin et al. 2017.

    Raises:
        ShapeError: the axis has an odd size, or does not exist.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.glu([2.0, 4.0, 0.0, 0.0])
        array([1., 2.])
    """
    x = as_array(x)
    size = x.shape[_existing("glu", x, dim)]
    if size % 2:
        raise ShapeError(
            f"glu{describe(SCOPE.get())}: dim {dim} of shape {x.shape} must have an even size, "
            f"because it is cut in halves"
        )
    kept, gate = ops.split_at(x, sections=(size // 2,), axis=dim)
    return kept * ops.sigmoid(gate)


# ---- piecewise linear ----------------------------------------------------------------------------


def hardtanh(
    x: Any,
    min_val: float = -1.0,
    max_val: float = 1.0,
    inplace: bool = False,  # noqa: ARG001 - see the module
) -> Any:
    """Cut x off below `min_val` and above `max_val`; the derivative at the bounds is 0.

    Raises:
        ArgumentError: `min_val` is larger than `max_val`.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.hardtanh([-3.0, 0.5, 3.0])
        array([-1. ,  0.5,  1. ])
    """
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val={min_val} is larger than max_val={max_val}")
    return ops.hardtanh(x, min_val=float(min_val), max_val=float(max_val))


def hardsigmoid(x: Any, inplace: bool = False) -> Any:  # noqa: ARG001 - see the module
    """Return x / 6 + 1/2, cut off below 0 and above 1.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.hardsigmoid([-4.0, 0.0, 4.0])
        array([0. , 0.5, 1. ])
    """
    return ops.hardtanh(as_array(x) + 3, min_val=0.0, max_val=6.0) / 6


def hardswish(x: Any, inplace: bool = False) -> Any:  # noqa: ARG001 - see the module
    """Return x hardsigmoid(x).

    Source: Howard et al. 2019.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.hardswish([-4.0, 3.0, 6.0])
        array([-0.,  3.,  6.])
    """
    x = as_array(x)
    return x * hardsigmoid(x)


def hardshrink(x: Any, lambd: float = 0.5) -> Any:
    """Return 0 where -lambd <= x <= lambd, and x elsewhere.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.hardshrink([-1.0, 0.2, 1.0])
        array([-1.,  0.,  1.])
    """
    x = as_array(x)
    return _chosen(_inside(x, float(lambd)), 0.0, x)


def softshrink(x: Any, lambd: float = 0.5) -> Any:
    """Move x towards 0 by `lambd`, and what is closer to it onto it.

    Raises:
        ArgumentError: `lambd` is negative.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.softshrink([-2.0, 0.2, 2.0])
        array([-1.5,  0. ,  1.5])
    """
    lambd = float(lambd)
    if not lambd >= 0:
        raise ArgumentError(f"softshrink: lambd must not be negative, got {lambd}")
    x = as_array(x)
    moved = functions.where(x > 0, x - lambd, x + lambd)
    return _chosen(_inside(x, lambd), 0.0, moved)


# ---- along an axis -------------------------------------------------------------------------------


def _existing(name: str, x: Any, dim: int) -> int:
    rank = np.ndim(x)
    if not -rank <= dim < rank:
        raise ShapeError(
            f"{name}{describe(SCOPE.get())}: dim {dim} does not exist in shape {np.shape(x)}"
        )
    return dim


def _lane(x: Any, dim: int) -> bool:
    """Whether x is a single number and `dim` its only lane, which PyTorch lets it have."""
    return not np.ndim(x) and dim in {0, -1}


@speaks_torch
def softmax(x: Any, dim: int) -> Any:
    """Turn scores into probabilities along `dim`: e**x / sum(e**x).

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.softmax([[0.0, 0.0]], dim=1)
        array([[0.5, 0.5]])
    """
    if _lane(x, dim):
        return functions.softmax(functions.reshape(x, (1,)), axis=0)[0]
    return functions.softmax(x, axis=_existing("softmax", x, dim))


@speaks_torch
def softmin(x: Any, dim: int) -> Any:
    """Return softmax(-x) along `dim`.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.softmin([[0.0, 1000.0]], dim=1)
        array([[1., 0.]])
    """
    if _lane(x, dim):
        return softmax(x, dim)
    return functions.softmax(-as_array(x), axis=_existing("softmin", x, dim))


@speaks_torch
def log_softmax(x: Any, dim: int) -> Any:
    """Take log(softmax(x)) along `dim`.

    Example:
        >>> from tinygrad_course.nn import functional as F
        >>> F.log_softmax([[0.0, 0.0]], dim=1).round(4)
        array([[-0.6931, -0.6931]])
    """
    if _lane(x, dim):
        return functions.log_softmax(functions.reshape(x, (1,)), axis=0)[0]
    return functions.log_softmax(x, axis=_existing("log_softmax", x, dim))


__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]
