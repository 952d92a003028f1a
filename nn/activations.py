"""Activations as modules, over `functional`.

`inplace` is PyTorch's advice about memory: it is remembered, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn.functional.words import speaks_torch
from tinygrad_course.nn.module import Module, cast_input
from tinygrad_course.nn.options import positive
from tinygrad_course.nn.parameter import Parameter, default_dtype


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


class _Activation(Module):
    """A function of `functional`, and the attributes that are its options."""

    function: ClassVar[Callable[..., Any]]
    options: ClassVar[tuple[str, ...]] = ()

    def forward(self, x: Any) -> Any:
        """Apply the function."""
        return type(self).function(x, *[getattr(self, name) for name in self.options])

    def extra_repr(self) -> str:
        """Return the options."""
        return ", ".join(f"{name}={_shown(getattr(self, name))}" for name in self.options)


# ---- rectifiers ----------------------------------------------------------------------------------


class ReLU(Module):
    """max(x, 0); the derivative at 0 is 0.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.ReLU()([-1.0, 2.0])
        array([0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        """Apply elementwise."""
        return ops.relu(x)


class ReLU6(_Activation):
    """min(max(x, 0), 6); the derivative at 0 and at 6 is 0.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.ReLU6()([-1.0, 2.0, 8.0])
        array([0., 2., 6.])
    """

    function = F.relu6

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class LeakyReLU(Module):
    """x for x > 0, negative_slope x otherwise.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.LeakyReLU(0.1)([-1.0, 2.0])
        array([-0.1,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = float(negative_slope)
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        """Apply elementwise."""
        return ops.leaky_relu(x, negative_slope=self.negative_slope)

    def extra_repr(self) -> str:
        """Return the slope."""
        return f"negative_slope={self.negative_slope:g}"


class PReLU(Module):
    """x for x > 0, weight x otherwise, with a learned weight: one, or one per channel (axis 1).

    Args:
        num_parameters: 1, or the number of channels.
        init: initial value of the weight.
        dtype: of the weight; float32 by default.

    Raises:
        ArgumentError: the number is not a positive whole number.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.PReLU()([-1.0, 2.0]).data
        array([-0.25,  2.  ], dtype=float32)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: Any = None) -> None:
        positive("PReLU", num_parameters=num_parameters)
        self.num_parameters, self.init = num_parameters, float(init)
        self.weight = Parameter(np.full(num_parameters, self.init, default_dtype(dtype)))

    def forward(self, x: Any) -> Any:
        """Apply elementwise; x has shape (m, channels, ...) or any other with one weight."""
        return F.prelu(cast_input(x, self.weight._data.dtype), self.weight)

    def extra_repr(self) -> str:
        """Return the number of weights."""
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """x for x > 0, a x otherwise; a is random in [lower, upper], in evaluation their mean.

    Args:
        lower: smallest slope.
        upper: largest slope.
        inplace: see the module.
        generator: draws the slopes.

    Raises:
        ArgumentError: `lower` is larger than `upper`.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.RReLU(0.2, 0.4).eval()([-1.0, 2.0]).round(3)
        array([-0.3,  2. ])
    """

    def __init__(
        self,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        inplace: bool = False,
        generator: np.random.Generator | None = None,
    ) -> None:
        if not lower <= upper:
            raise ArgumentError(f"RReLU: lower={lower!r} must not be larger than upper={upper!r}")
        self.lower, self.upper, self.inplace = float(lower), float(upper), inplace
        self.generator = generator

    def forward(self, x: Any) -> Any:
        """Apply elementwise, with new random slopes in training."""
        return F.rrelu(x, self.lower, self.upper, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        """Return the bounds of the slopes."""
        return f"lower={self.lower:g}, upper={self.upper:g}"


class Threshold(_Activation):
    """x where it is larger than `threshold`, `value` elsewhere.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Threshold(1.0, -7.0)([0.5, 2.0])
        array([-7.,  2.])
    """

    function = F.threshold
    options = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self.threshold, self.value, self.inplace = float(threshold), float(value), inplace


# ---- exponential linear units --------------------------------------------------------------------


class ELU(_Activation):
    """x for x > 0, alpha (e**x - 1) otherwise.

    Source: Clevert et al. 2016.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.ELU()([-1.0, 2.0]).round(3)
        array([-0.632,  2.   ])
    """

    function = F.elu
    options = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha, self.inplace = float(alpha), inplace


class CELU(_Activation):
    """x for x > 0, alpha (e**(x/alpha) - 1) otherwise.

    Source: Barron 2017.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.CELU(2.0)([-1.0, 2.0]).round(3)
        array([-0.787,  2.   ])
    """

    function = F.celu
    options = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha, self.inplace = float(alpha), inplace


class SELU(_Activation):
    """λ x for x > 0, λ α (e**x - 1) otherwise, with λ = 1.0507 and α = 1.6733.

    Source: Klambauer et al. 2017.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.SELU()([-1.0, 2.0]).round(3)
        array([-1.111,  2.101])
    """

    function = F.selu

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


# ---- smooth gates --------------------------------------------------------------------------------


class Sigmoid(Module):
    """1 / (1 + e**-x).

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Sigmoid()([0.0, 2.0]).round(3)
        array([0.5  , 0.881])
    """

    def forward(self, x: Any) -> Any:
        """Apply elementwise."""
        return ops.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Tanh()([0.0, 2.0]).round(3)
        array([0.   , 0.964])
    """

    def forward(self, x: Any) -> Any:
        """Apply elementwise."""
        return ops.tanh(x)


class LogSigmoid(_Activation):
    """log(sigmoid(x)), without overflow.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.LogSigmoid()([0.0, -1000.0]).round(3)
        array([-6.93e-01, -1.00e+03])
    """

    function = F.logsigmoid


class SiLU(_Activation):
    """x sigmoid(x), also called swish.

    Source: Elfwing et al. 2017.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.SiLU()([0.0, 2.0]).round(3)
        array([0.   , 1.762])
    """

    function = F.silu

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class GELU(_Activation):
    """x Φ(x), with Φ the probability of a standard normal number below x.

    ``approximate="tanh"`` gives x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2 instead.
    Source: Hendrycks and Gimpel 2016.

    Raises:
        ArgumentError: `approximate` is neither "none" nor "tanh".

    Example:
        >>> from tinygrad_course import nn
        >>> nn.GELU()([-1.0, 1.0]).round(4)
        array([-0.1587,  0.8413])
    """

    function = F.gelu
    options = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in {"none", "tanh"}:
            raise ArgumentError(f"GELU: approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate


class Mish(_Activation):
    """x tanh(softplus(x)).

    Source: Misra 2019.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Mish()([0.0, 2.0]).round(3)
        array([0.   , 1.944])
    """

    function = F.mish

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class Softplus(_Activation):
    """log(1 + e**(beta x)) / beta, and x itself where beta x is above `threshold`.

    From 20 on the threshold, which PyTorch needs against overflow, is left aside.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Softplus()([0.0, 1000.0]).round(3)
        array([6.93e-01, 1.00e+03])
    """

    function = F.softplus
    options = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = float(beta), float(threshold)


class Softsign(_Activation):
    """x / (1 + |x|).

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Softsign()([-1.0, 3.0])
        array([-0.5 ,  0.75])
    """

    function = F.softsign


class Tanhshrink(_Activation):
    """x - tanh(x).

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Tanhshrink()([0.0, 2.0]).round(3)
        array([0.   , 1.036])
    """

    function = F.tanhshrink


class GLU(_Activation):
    """a sigmoid(b), where a and b are the halves of x along `dim`.

    Source: Dauphin et al. 2017.

    Raises:
        ShapeError: at the call, if the axis has an odd size.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.GLU()([2.0, 4.0, 0.0, 0.0])
        array([1., 2.])
    """

    function = F.glu
    options = ("dim",)

    @speaks_torch
    def __init__(self, dim: int = -1) -> None:
        self.dim = dim


# ---- piecewise linear ----------------------------------------------------------------------------


class Hardtanh(_Activation):
    """x, cut off below `min_val` and above `max_val`; the derivative at the bounds is 0.

    Raises:
        ArgumentError: `min_val` is not smaller than `max_val`.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Hardtanh()([-3.0, 0.5, 3.0])
        array([-1. ,  0.5,  1. ])
    """

    function = F.hardtanh
    options = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        if not min_val < max_val:
            raise ArgumentError(f"Hardtanh: needs min_val < max_val, got {min_val!r}, {max_val!r}")
        self.min_val, self.max_val, self.inplace = float(min_val), float(max_val), inplace


class Hardsigmoid(_Activation):
    """x / 6 + 1/2, cut off below 0 and above 1.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Hardsigmoid()([-4.0, 0.0, 4.0])
        array([0. , 0.5, 1. ])
    """

    function = F.hardsigmoid

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class Hardswish(_Activation):
    """x hardsigmoid(x).

    Source: Howard et al. 2019.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Hardswish()([-4.0, 3.0, 6.0])
        array([-0.,  3.,  6.])
    """

    function = F.hardswish

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class Hardshrink(_Activation):
    """0 where -lambd <= x <= lambd, x elsewhere.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Hardshrink()([-1.0, 0.2, 1.0])
        array([-1.,  0.,  1.])
    """

    function = F.hardshrink
    options = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = float(lambd)


class Softshrink(_Activation):
    """x moved towards 0 by `lambd`, and 0 for what is closer to it.

    Raises:
        ArgumentError: `lambd` is negative.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Softshrink()([-2.0, 0.2, 2.0])
        array([-1.5,  0. ,  1.5])
    """

    function = F.softshrink
    options = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        if not lambd >= 0:
            raise ArgumentError(f"Softshrink: lambd must not be negative, got {lambd!r}")
        self.lambd = float(lambd)


# ---- along an axis -------------------------------------------------------------------------------


class Softmax(_Activation):
    """e**x / sum(e**x) along `dim`.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Softmax(dim=0)([0.0, 0.0])
        array([0.5, 0.5])
    """

    function = F.softmax
    options = ("dim",)

    @speaks_torch
    def __init__(self, dim: int) -> None:
        self.dim = dim


class Softmin(_Activation):
    """softmax(-x) along `dim`.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Softmin(dim=0)([0.0, 1000.0])
        array([1., 0.])
    """

    function = F.softmin
    options = ("dim",)

    @speaks_torch
    def __init__(self, dim: int) -> None:
        self.dim = dim


class LogSoftmax(_Activation):
    """log(softmax(x)) along `dim`.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.LogSoftmax(dim=0)([0.0, 0.0]).round(4)
        array([-0.6931, -0.6931])
    """

    function = F.log_softmax
    options = ("dim",)

    @speaks_torch
    def __init__(self, dim: int) -> None:
        self.dim = dim


class Softmax2d(Module):
    """Softmax over the channels of images (m, channels, height, width), or of one image.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Softmax2d()(np.zeros((1, 4, 2, 2)))[0, :, 0, 0]
        array([0.25, 0.25, 0.25, 0.25])
    """

    def forward(self, x: Any) -> Any:
        """Turn the scores of each pixel into probabilities."""
        shape = np.shape(x)
        if len(shape) not in {3, 4}:
            raise ShapeError(
                f"Softmax2d{describe(SCOPE.get())}: expected (m, channels, height, width) or "
                f"(channels, height, width), got {shape}"
            )
        return F.softmax(x, -3)


__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]
