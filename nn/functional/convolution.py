"""Convolutions as functions, with PyTorch's arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn.functional.sizes import batched, flattened, sizes, whole, window_count

PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""PyTorch's words for the ways to pad, and NumPy's."""

Margins = tuple[tuple[int, int], ...]


def margins(
    name: str, padding: Any, kernel: tuple[int, ...], stride: Any, dilation: Any
) -> Margins:
    """Return how much is added before and after each direction.

    "valid" adds nothing, "same" so much that the result has the size of the input, an odd remainder
    after.

    Raises:
        ArgumentError: the word is unknown, or "same" is asked for with steps larger than 1.
    """
    if not isinstance(padding, str):
        return tuple((p, p) for p in sizes(name, "padding", padding, len(kernel), 0))
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding != "same":
        raise ArgumentError(
            f"{name}: padding must be 'same', 'valid' or whole numbers, got {padding!r}"
        )
    if set(stride) != {1}:
        raise ArgumentError(f"{name}: padding='same' needs stride 1, got stride {stride}")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def pad_images(name: str, x: Any, widths: Margins, mode: str) -> Any:
    """Return x padded in its last axes by PyTorch's mode.

    Raises:
        ShapeError: more is asked for than can be mirrored or repeated.
    """
    most = {"reflect": 1, "circular": 0}
    for (before, after), n in zip(widths, x.shape[-len(widths) :], strict=True):
        if mode in most and max(before, after) > n - most[mode]:
            raise ShapeError(
                f"{name}{describe(SCOPE.get())}: padding_mode {mode!r} cannot add "
                f"{max(before, after)} to x of shape {x.shape}; use less padding or larger images"
            )
    pairs = ((0, 0),) * (x.ndim - len(widths)) + widths
    return ops.pad_linear(x, pad_width=pairs, mode=PADDING_MODES[mode])


def _array(x: Any) -> Any:
    return x if hasattr(x, "__array_function__") else np.asarray(x)


def _check(name: str, weight: Any, bias: Any, rank: int, outputs: int, groups: Any) -> None:
    where = describe(SCOPE.get())
    if not whole(groups) or groups < 1:
        raise ArgumentError(f"{name}: groups must be a positive whole number, got {groups!r}")
    if weight.ndim != rank + 2 or weight.shape[0] % groups:
        raise ShapeError(
            f"{name}{where}: got a weight of shape {weight.shape}, expected {rank + 2} axes, the "
            f"first of them a multiple of groups={groups}"
        )
    if bias is not None and np.shape(bias) != (outputs,):
        raise ShapeError(
            f"{name}{where}: got a bias of shape {np.shape(bias)}, expected ({outputs},): one "
            f"number for each of the outputs of the weight {weight.shape}"
        )


def _conv(
    name: str,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    weight = _array(weight)
    rank = int(name[-2])
    _check(name, weight, bias, rank, weight.shape[0], groups)
    x, batch = batched(name, x, rank, weight.shape[1] * groups)
    kernel = weight.shape[2:]
    stride = sizes(name, "stride", stride, rank)
    dilation = sizes(name, "dilation", dilation, rank)
    pads = margins(name, padding, kernel, stride, dilation)
    padded = [n + sum(pair) for n, pair in zip(x.shape[2:], pads, strict=True)]
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    window_count(name, x.shape, padded, reach)
    if rank == 1:
        x, weight = flattened(x), flattened(weight)
        stride, dilation, pads = (1, *stride), (1, *dilation), ((0, 0), *pads)
    y = ops.conv2d(
        x, weight, bias, stride=stride, padding=pads, dilation=dilation, groups=int(groups)
    )
    y = y[:, :, 0] if rank == 1 else y
    return y if batch else y[0]


def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Correlate signals (m, channels, length) with kernels (outputs, channels / groups, k).

    As `conv2d` in one direction.

    Raises:
        ShapeError: the channels, the bias or the length do not fit.
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.conv1d(np.array([[[1.0, 2.0, 4.0]]]), np.array([[[1.0, 1.0]]]))
        array([[[3., 6.]]])
    """
    return _conv("conv1d", x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Correlate images with kernels: PyTorch's convolution.

    y[m, o, i, j] = bias[o] + Σ weight[o, c, k, l] x[m, c, i·stride + k·dilation - padding, …].

    Args:
        x: images (m, channels, height, width), or one image (channels, height, width).
        weight: kernels (outputs, channels / groups, kernel height, kernel width).
        bias: one number for each output, or None.
        stride: steps between windows; here and below a number, or one for each direction.
        padding: zeros around the image; "same" keeps its size, "valid" adds none.
        dilation: steps between the places of a kernel.
        groups: into how many groups the channels are divided; each output sees one.

    Raises:
        ShapeError: the channels, the bias or the size do not fit.
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
        >>> F.conv2d(x, np.ones((1, 1, 2, 2)), stride=1, padding="valid")
        array([[[[ 8., 12.],
                 [20., 24.]]]])
    """
    return _conv("conv2d", x, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    name: str,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    weight = _array(weight)
    rank = int(name[-2])
    outputs = weight.shape[1] * groups if weight.ndim > 1 else 0
    _check(name, weight, bias, rank, outputs, groups)
    x, batch = batched(name, x, rank, weight.shape[0])
    kernel = weight.shape[2:]
    stride = sizes(name, "stride", stride, rank)
    padding = sizes(name, "padding", padding, rank, 0)
    dilation = sizes(name, "dilation", dilation, rank)
    extra = sizes(name, "output_padding", output_padding, rank, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ArgumentError(
            f"{name}: output_padding {extra} must be smaller than the stride {stride} or the "
            f"dilation {dilation}"
        )
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(
            x.shape[2:], stride, padding, dilation, kernel, extra, strict=True
        )
    )
    if min(size) < 1:
        raise ShapeError(
            f"{name}{describe(SCOPE.get())}: got x of shape {x.shape}; with padding {padding} the "
            f"result would have the size {size}; use less padding"
        )
    # What output_padding adds at the end was not padding of the convolution that this transposes.
    pads: Margins = tuple((p, p - e) for p, e in zip(padding, extra, strict=True))
    if rank == 1:
        x, weight = flattened(x), flattened(weight)
        size, stride, dilation = (1, *size), (1, *stride), (1, *dilation)
        pads = ((0, 0), *pads)
    y = ops.conv2d_input(
        x, weight, size=size, stride=stride, padding=pads, dilation=dilation, groups=int(groups)
    )
    if bias is not None:
        y = y + _array(bias).reshape((-1, 1, 1))
    y = y[:, :, 0] if rank == 1 else y
    return y if batch else y[0]


def conv_transpose1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Transpose a convolution of signals: weight (channels, outputs / groups, k).

    As `conv_transpose2d` in one direction.

    Raises:
        ShapeError: the channels, the bias or the length do not fit.
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.conv_transpose1d(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0]]]), stride=2)
        array([[[ 1., 10.,  2., 20.]]])
    """
    return _conv_transpose(
        "conv_transpose1d", x, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Transpose a convolution: every element of x adds its kernels, times itself, to the result.

    It is the gradient of `conv2d` with respect to its input: images of (size - 1)·stride -
    2·padding + dilation·(kernel - 1) + output_padding + 1 elements in each direction.

    Args:
        x: images (m, channels, height, width), or one image (channels, height, width).
        weight: kernels (channels, outputs / groups, kernel height, kernel width).
        bias: one number for each output, or None.
        stride: steps between windows; here and below a number, or one for each direction.
        padding: how much of the result is cut off at each edge.
        output_padding: how much is added to the result at the end: with steps larger than 1,
            images of several sizes have a convolution of one size.
        groups: into how many groups the channels are divided.
        dilation: steps between the places of a kernel.

    Raises:
        ShapeError: the channels, the bias or the size do not fit.
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.conv_transpose2d(np.ones((1, 1, 1, 2)), np.ones((1, 1, 2, 2)))
        array([[[[1., 2., 1.],
                 [1., 2., 1.]]]])
    """
    return _conv_transpose(
        "conv_transpose2d", x, weight, bias, stride, padding, output_padding, groups, dilation
    )


__all__ = [
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
]
