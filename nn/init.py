"""Initial values of weights, in place and with PyTorch's names.

Every function takes ``generator=`` (the library's default generator otherwise), changes the
Tensor it is given and returns it. For a weight of shape (n_out, n_in, ...) the fan-in is n_in
times the size of the trailing axes. `initialize` gives a whole model the notes' choices:

==========  ==========================  ============  ===========================================
rule        weights                     biases        what for
==========  ==========================  ============  ===========================================
"zeros"     0                           0             shows that hidden units then never differ
"large"     N(0, 1)                     N(0, 1)       saturates; Nielsen's large_weight_initializer
"small"     0.01 N(0, 1)                0             shallow nets
"lecun"     N(0, 1 / n_in)              0             tanh; the notes also call it Xavier's
"glorot"    N(0, 2 / (n_in + n_out))    0             tanh; "xavier" is the same
"he"        N(0, 2 / n_in)              0             ReLU; "kaiming" is the same
"nielsen"   N(0, 1 / n_in)              N(0, 1)       sigmoid; Nielsen's default
==========  ==========================  ============  ===========================================

>>> from tinygrad_course import nn
>>> layer = nn.Linear(3, 2)
>>> nn.init.xavier_uniform_(layer.weight).shape
(2, 3)
>>> nn.init.constant_(layer.bias, 0.5).data
array([0.5, 0.5], dtype=float32)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np

from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.nn.parameter import Parameter
from tinygrad_course.ops import assign
from tinygrad_course.random import generator as default_generator
from tinygrad_course.tensor import Tensor

Generator: TypeAlias = "np.random.Generator | None"  # quoted: np.random loads when it is used
Initializer = Callable[..., Tensor]
Model = TypeVar("Model")


def fans(tensor: Tensor) -> tuple[int, int]:
    """Return the fan-in and fan-out of a weight.

    Raises:
        ShapeError: the Tensor has fewer than two axes.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.init.fans(nn.Linear(4, 3).weight)
        (4, 3)
    """
    if tensor.ndim < 2:
        raise ShapeError(
            f"init: fan-in and fan-out need a weight of at least two axes, got {tensor.shape}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 0.75}
_GAINS |= {f"conv{kind}{n}d": 1.0 for kind in ("", "_transpose") for n in (1, 2, 3)}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor that keeps the variance of activations, by nonlinearity.

    Args:
        nonlinearity: "linear" (or a convolution's name), "sigmoid", "tanh", "relu", "leaky_relu" or
            "selu".
        param: the slope of leaky_relu, 0.01 by default.

    Raises:
        ArgumentError: the nonlinearity is unknown.

    Example:
        >>> from tinygrad_course.nn import init
        >>> round(init.calculate_gain("relu"), 4)
        1.4142
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float | np.number):
            raise ArgumentError(f"init.calculate_gain: the slope must be a number, got {slope!r}")
        return math.sqrt(2.0 / (1 + float(slope) ** 2))
    if nonlinearity not in _GAINS:
        raise ArgumentError(
            f"init.calculate_gain: unknown nonlinearity {nonlinearity!r}; "
            f"expected one of {', '.join(sorted((*_GAINS, 'leaky_relu')))}"
        )
    return _GAINS[nonlinearity]


# ---- fixed values -----------------------------------------------------------------------------


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Set every element to one value."""
    assign(tensor, val)
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """Set every element to 0: then hidden units never differ (lesson 11 of the notes)."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Set every element to 1."""
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """Set a matrix to the identity: a linear layer passes its input on.

    Raises:
        ShapeError: the Tensor is not a matrix.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.init.eye_(nn.Linear(3, 2).weight).data
        array([[1., 0., 0.],
               [0., 1., 0.]], dtype=float32)
    """
    _need("eye_", tensor, tensor.ndim == 2, "two axes")
    assign(tensor, np.eye(*tensor.shape, dtype=tensor.dtype))
    return tensor


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Set the filters of a convolution to unit impulses: it passes its channels on.

    Args:
        tensor: a weight (n_out, n_in / groups, ...) with one to three axes of space.
        groups: of the convolution.

    Raises:
        ShapeError: the Tensor has another number of axes.
        ArgumentError: n_out is not a multiple of groups.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.init.dirac_(nn.Parameter(np.zeros((2, 2, 3)))).data.tolist()
        [[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    _need("dirac_", tensor, tensor.ndim in (3, 4, 5), "three, four or five axes")
    n_out, n_in, *space = tensor.shape
    if groups < 1 or n_out % groups:
        raise ArgumentError(f"init.dirac_: {n_out} filters do not fall into {groups} groups")
    values = np.zeros(tensor.shape, tensor.dtype)
    channels = np.arange(n_out) % max(n_out // groups, 1)
    (filters,) = (channels < n_in).nonzero()
    impulses: Any = (filters, channels[filters], *(size // 2 for size in space))
    if values.size:
        values[impulses] = 1
    assign(tensor, values)
    return tensor


# ---- drawn values -----------------------------------------------------------------------------


def _draw(tensor: Tensor, values: Any) -> Tensor:
    assign(tensor, values.astype(tensor.dtype))
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator = None) -> Tensor:
    """Draw from U(a, b)."""
    return _draw(tensor, default_generator(generator).uniform(a, b, tensor.shape))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator = None
) -> Tensor:
    """Draw from N(mean, std²)."""
    return _draw(tensor, default_generator(generator).normal(mean, std, tensor.shape))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator = None,
) -> Tensor:
    """Draw from N(mean, std²) without what lies outside [a, b].

    What falls outside is drawn again. Where that would take long, because the interval lies far
    from the mean, uniform numbers are accepted with the probability of the bell above them.

    Raises:
        ArgumentError: a is not less than b, or std is not positive.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> w = nn.init.trunc_normal_(nn.Parameter(np.zeros(1000)), std=1.0, a=-1.0, b=3.0)
        >>> bool(w.data.min() >= -1)
        True
    """
    mean, std, a, b = float(mean), float(std), float(a), float(b)
    if not (a < b and std > 0):
        raise ArgumentError(
            f"init.trunc_normal_: needs a < b and a positive std, got a={a:g}, b={b:g}, std={std:g}"
        )
    rng = default_generator(generator)
    low, high = (math.erf((end - mean) / (std * math.sqrt(2))) for end in (a, b))
    peak = abs(min(max(mean, a), b) - mean) / std
    reach = std * math.sqrt(peak**2 + 80)  # beyond it the bell is e**-40 of its peak
    start, end = max(a, mean - reach), min(b, mean + reach)

    def candidates(size: int) -> tuple[Any, Any]:
        if high - low > 0.6:  # three of ten lie inside
            x = rng.normal(mean, std, size)
            return x, (x >= a) & (x <= b)
        x = rng.uniform(start, end, size)
        return x, rng.random(size) < np.exp((peak**2 - ((x - mean) / std) ** 2) / 2)

    values = np.empty(tensor.size)
    open_places = np.arange(tensor.size)
    while open_places.size:
        x, fits = candidates(open_places.size)
        values[open_places[fits]] = x[fits]
        open_places = open_places[~fits]
    # Rounding to float32 may step over a bound that float32 does not have.
    rounded = values.astype(tensor.dtype)
    return _draw(tensor, np.clip(rounded, a, b).reshape(tensor.shape))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator = None) -> Tensor:
    """Draw from U(-a, a) with a = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator = None) -> Tensor:
    """Draw from N(0, gain² 2 / (fan_in + fan_out)) (Glorot and Bengio 2010).

    Lesson 000 of the notes writes 2 / (n_in · n_out) for the variance: a slip.
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"init: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return fans(tensor)[mode == "fan_out"]


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
) -> Tensor:
    """Draw from U(-b, b) with b = gain sqrt(3 / fan) (He et al. 2015)."""
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / _fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
) -> Tensor:
    """Draw from N(0, gain² / fan): for ReLU the 2 / n_in of the notes (He et al. 2015)."""
    std = calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return normal_(tensor, 0.0, std, generator)


def lecun_normal_(tensor: Tensor, generator: Generator = None) -> Tensor:
    """Draw from N(0, 1 / n_in): the notes' choice for tanh, and Nielsen's default weights."""
    return normal_(tensor, 0.0, 1.0 / math.sqrt(fans(tensor)[0]), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator = None) -> Tensor:
    """Draw a random orthogonal matrix, all of them equally likely (Saxe et al. 2014).

    The trailing axes count as one. Rows are orthonormal where there are fewer of them than columns,
    columns otherwise; then everything is multiplied by gain.

    Raises:
        ShapeError: the Tensor has fewer than two axes.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> w = nn.init.orthogonal_(nn.Parameter(np.zeros((2, 5)))).data
        >>> np.allclose(w @ w.T, np.eye(2))
        True
    """
    _need("orthogonal_", tensor, tensor.ndim >= 2, "two or more axes")
    if not tensor.size:
        return tensor
    rows, columns = tensor.shape[0], tensor.size // tensor.shape[0]
    q, r = np.linalg.qr(
        default_generator(generator).normal(size=(max(rows, columns), min(rows, columns)))
    )
    q *= np.sign(np.diagonal(r))  # otherwise not uniform: Mezzadri 2007
    return _draw(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator = None
) -> Tensor:
    """Draw from N(0, std²), with a share of zeros in every column (Martens 2010).

    Args:
        tensor: a matrix (n_out, n_in).
        sparsity: the share of zeros, rounded up to whole elements.
        std: of the others.
        generator: draws values and places.

    Raises:
        ShapeError: the Tensor is not a matrix.
        ArgumentError: the share is outside [0, 1].

    Example:
        >>> from tinygrad_course import nn
        >>> w = nn.init.sparse_(nn.Linear(3, 10).weight, sparsity=0.25)
        >>> (w.data == 0).sum(axis=0)
        array([3, 3, 3])
    """
    _need("sparse_", tensor, tensor.ndim == 2, "two axes")
    if not 0 <= sparsity <= 1:
        raise ArgumentError(f"init.sparse_: sparsity must lie in [0, 1], got {sparsity!r}")
    rng = default_generator(generator)
    values = rng.normal(0.0, std, tensor.shape)
    order = rng.permuted(np.broadcast_to(np.arange(len(values))[:, None], values.shape), axis=0)
    values[order < math.ceil(sparsity * len(values))] = 0.0
    return _draw(tensor, values)


def _need(name: str, tensor: Tensor, fits: bool, what: str) -> None:
    if not fits:
        raise ShapeError(f"init.{name}: needs a weight of {what}, got {tensor.shape}")


# ---- whole models -----------------------------------------------------------------------------


def _small(tensor: Tensor, generator: Generator = None) -> Tensor:
    return normal_(tensor, 0.0, 0.01, generator)


def _nothing(tensor: Tensor, generator: Generator = None) -> Tensor:  # noqa: ARG001 - as the others
    return zeros_(tensor)


def _he(tensor: Tensor, generator: Generator = None) -> Tensor:
    return kaiming_normal_(tensor, nonlinearity="relu", generator=generator)


RULES: dict[str, tuple[Initializer, Initializer]] = {
    "zeros": (_nothing, _nothing),
    "large": (normal_, normal_),
    "small": (_small, _nothing),
    "lecun": (lecun_normal_, _nothing),
    "glorot": (xavier_normal_, _nothing),
    "xavier": (xavier_normal_, _nothing),
    "he": (_he, _nothing),
    "kaiming": (_he, _nothing),
    "nielsen": (lecun_normal_, normal_),
}
"""What weights and biases of a model get: see the table above."""


def initialize(model: Model, rule: str | Initializer, generator: Generator = None) -> Model:
    """Initialize all weights and biases of a model by a rule of the notes.

    Weights are the parameters of two or more axes; biases those whose name says "bias". All others,
    such as the scales of batch normalization, and the layers that have them, stay as they are.

    Args:
        model: a module; returned.
        rule: a name of the table above, or a function of this file for the weights, called with
            ``generator=`` (biases are then 0).
        generator: draws the values.

    Raises:
        ArgumentError: there is no such rule, or the model has no weights.

    Example:
        >>> from tinygrad_course import nn
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> model = nn.init.initialize(model, "he")
        >>> model[0].bias.data
        array([0., 0., 0.], dtype=float32)
    """
    if callable(rule):
        weight, bias = rule, _nothing
    elif rule in RULES:
        weight, bias = RULES[rule]
    else:
        raise ArgumentError(
            f"init.initialize: unknown rule {rule!r}; expected one of {', '.join(RULES)}, or a "
            f"function of nn.init"
        )
    found = False
    rng = default_generator(generator)
    for module in model.modules():  # type: ignore[attr-defined]  # a Module; init lies below it
        own = {n: p for n, p in module._members() if isinstance(p, Parameter)}
        weights = [p for n, p in own.items() if p.ndim >= 2 and "bias" not in n]
        if not weights:
            continue
        found = True
        for p in weights:
            weight(p, generator=rng)
        for p in (p for n, p in own.items() if "bias" in n):
            bias(p, generator=rng)
    if not found:
        raise ArgumentError(f"init.initialize: {type(model).__name__} has no weights")
    return model
