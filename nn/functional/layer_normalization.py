"""Normalization of each example by itself: layer, group, instance and root-mean-square."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn.functional.arrays import as_array
from tinygrad_course.nn.functional.sizes import whole
from tinygrad_course.tensor import Tensor


def trailing(name: str, normalized_shape: Any) -> tuple[int, ...]:
    """Return the sizes of the last axes, of which there may be one, as a tuple.

    Raises:
        ArgumentError: they are no positive whole numbers.
    """
    if whole(normalized_shape):
        normalized_shape = (normalized_shape,)
    sizes = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else ()
    if not sizes or not all(whole(n) and n > 0 for n in sizes):
        raise ArgumentError(
            f"{name}: normalized_shape must be a positive whole number, or some for the last axes, "
            f"got {normalized_shape!r}"
        )
    return tuple(int(n) for n in sizes)


def _flat(name: str, what: str, vector: Any, shape: tuple[int, ...]) -> Any:
    """Return a weight or bias of the normalized shape as a vector."""
    if vector is None:
        return None
    vector = as_array(vector)
    if vector.shape != shape:
        raise ShapeError(
            f"{name}{describe(SCOPE.get())}: {what} has shape {vector.shape}, expected {shape}"
        )
    return vector if len(shape) == 1 else functions.reshape(vector, (-1,))


def _normalized(
    name: str, x: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float, centred: bool
) -> Any:
    x = as_array(x)
    sizes = trailing(name, normalized_shape)
    cut = x.ndim - len(sizes)
    if cut < 0 or x.shape[cut:] != sizes:
        inner = ", ".join(str(n) for n in sizes)
        raise ShapeError(
            f"{name}{describe(SCOPE.get())}: expected x of shape (..., {inner}), got {x.shape}"
        )
    weight, bias = _flat(name, "weight", weight, sizes), _flat(name, "bias", bias, sizes)
    if len(sizes) == 1:
        return ops.normalize_rows(x, weight, bias, eps=eps, centred=centred)
    rows = functions.reshape(x, (*x.shape[:cut], prod(sizes)))
    y = ops.normalize_rows(rows, weight, bias, eps=eps, centred=centred)
    return functions.reshape(y, x.shape)


def layer_norm(
    x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Normalize over the last axes: y = (x - mean) / sqrt(var + eps) * weight + bias.

    The variance is the biased one. Source: Ba, Kiros and Hinton 2016.

    Args:
        x: shape (..., *normalized_shape).
        normalized_shape: sizes of the axes over which mean and variance are taken.
        weight: of this shape, or None.
        bias: of this shape, or None.
        eps: added to the variance.

    Raises:
        ShapeError: x does not end with these sizes, or weight or bias has another shape.
        ArgumentError: the sizes are no positive whole numbers.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.layer_norm(np.array([[1.0, 3.0], [5.0, 9.0]]), 2, eps=0.0)
        array([[-1.,  1.],
               [-1.,  1.]])
    """
    return _normalized("layer_norm", x, normalized_shape, weight, bias, float(eps), centred=True)


def rms_norm(x: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """Scale over the last axes: y = x / sqrt(mean(x²) + eps) * weight.

    Without `eps` it is the dtype's own, as in PyTorch. Source: Zhang and Sennrich 2019.

    Raises:
        ShapeError: x does not end with these sizes, or the weight has another shape.
        ArgumentError: the sizes are no positive whole numbers.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.rms_norm(np.array([[3.0, 3.0]]), 2)
        array([[1., 1.]])
    """
    x = as_array(x)
    if eps is None:
        eps = np.finfo(x.dtype if x.dtype.kind == "f" else float).eps
    return _normalized("rms_norm", x, normalized_shape, weight, None, float(eps), centred=False)


def _per_channel(name: str, y: Any, weight: Any, bias: Any) -> Any:
    """Return y times weight plus bias, one number for each channel (axis 1)."""
    along = (-1, *(1,) * (y.ndim - 2))
    if weight is not None:
        y = y * functions.reshape(_flat(name, "weight", weight, y.shape[1:2]), along)
    if bias is not None:
        y = y + functions.reshape(_flat(name, "bias", bias, y.shape[1:2]), along)
    return y


def group_norm(
    x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Normalize each example's groups of channels: y = (x - mean) / sqrt(var + eps) * w + b.

    Source: Wu and He 2018.

    Args:
        x: shape (m, channels, ...).
        num_groups: into how many groups the channels are cut.
        weight: shape (channels,), or None.
        bias: shape (channels,), or None.
        eps: added to the variance.

    Raises:
        ShapeError: x has fewer than two axes, or its channels make no equal groups.
        ArgumentError: `num_groups` is no positive whole number.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.group_norm(np.array([[1.0, 3.0, 5.0, 9.0]]), 2, eps=0.0)
        array([[-1.,  1., -1.,  1.]])
    """
    x = as_array(x)
    if not whole(num_groups) or num_groups < 1:
        raise ArgumentError(
            f"group_norm: num_groups must be a positive whole number, got {num_groups!r}"
        )
    if x.ndim < 2 or x.shape[1] % num_groups:
        raise ShapeError(
            f"group_norm{describe(SCOPE.get())}: expected x of shape (m, channels, ...) with a "
            f"multiple of {num_groups} channels, got {x.shape}"
        )
    size = prod(x.shape[1:]) // num_groups
    if size == 0:
        return x
    rows = functions.reshape(x, (x.shape[0], num_groups, size))
    y = functions.reshape(ops.normalize_rows(rows, None, None, eps=float(eps)), x.shape)
    return _per_channel("group_norm", y, weight, bias)


def instance_norm(
    x: Any,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize each channel of each example by itself, or with running statistics.

    y = (x - mean) / sqrt(var + eps) * weight + bias. With `use_input_stats` the running averages,
    if any, move towards the mean over the batch of the examples' means and unbiased variances.
    Source: Ulyanov et al. 2016.

    Raises:
        ShapeError: x has fewer than three axes, or one value per channel.
        ArgumentError: there are neither statistics of the input nor running ones.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.instance_norm(np.array([[[1.0, 3.0], [5.0, 9.0]]]), eps=0.0)
        array([[[-1.,  1.],
                [-1.,  1.]]])
    """
    x, eps, momentum = as_array(x), float(eps), float(momentum)
    if x.ndim < 3:
        raise ShapeError(
            f"instance_norm{describe(SCOPE.get())}: expected x of shape (m, channels, ...), "
            f"got {x.shape}"
        )
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "instance_norm: use_input_stats=False needs running_mean and running_var"
            )
        along = (-1, *(1,) * (x.ndim - 2))
        scale = functions.reshape(1.0 / ops.sqrt(running_var + eps), along)
        y = (x - functions.reshape(running_mean, along)) * scale
        return _per_channel("instance_norm", y, weight, bias)
    size = prod(x.shape[2:])
    if size < 2:
        raise ShapeError(
            f"instance_norm{describe(SCOPE.get())}: needs more than one value per channel and "
            f"example, got shape {x.shape}"
        )
    if running_mean is not None and running_var is not None:
        values = x._data if isinstance(x, Tensor) else x
        places = tuple(range(2, x.ndim))
        means = values.mean(axis=places).mean(axis=0)
        variances = values.var(axis=places, ddof=1).mean(axis=0)
        ops.move_average(running_mean, means, share=momentum)
        ops.move_average(running_var, variances, share=momentum)
    rows = functions.reshape(x, (*x.shape[:2], size))
    y = functions.reshape(ops.normalize_rows(rows, None, None, eps=eps), x.shape)
    return _per_channel("instance_norm", y, weight, bias)


__all__ = [
    "group_norm",
    "instance_norm",
    "layer_norm",
    "rms_norm",
]
