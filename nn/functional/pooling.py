"""Pooling as functions, with PyTorch's arguments."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn.functional.sizes import batched, flattened, sizes, whole, window_count


def _over(
    name: str,
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
) -> tuple[int, ...]:
    """Return how far the last windows reach beyond the padding, after checking that any fits."""
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(2 * p > r for p, r in zip(padding, reach, strict=True)):
        raise ArgumentError(
            f"{name}: padding {padding} must be at most half of the kernel's size {tuple(reach)} "
            f"(dilation included): a window of nothing but padding has no value"
        )
    size = shape[2:]
    padded = [n + 2 * p for n, p in zip(size, padding, strict=True)]
    over = []
    for n, p, r, s, full in zip(size, padding, reach, stride, padded, strict=True):
        rest = full - r
        steps = -(-rest // s) if ceil_mode else rest // s
        if ceil_mode and steps * s >= n + p:  # a window must begin in the image or before it
            steps -= 1
        over.append(max(0, steps * s - rest))
    window_count(name, shape, [n + o for n, o in zip(padded, over, strict=True)], reach)
    return tuple(over)


def _max_pool(
    name: str,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    rank = int(name[-2])
    x, batch = batched(name, x, rank)
    kernel = sizes(name, "kernel_size", kernel_size, rank)
    stride = kernel if stride is None else sizes(name, "stride", stride, rank)
    padding = sizes(name, "padding", padding, rank, 0)
    dilation = sizes(name, "dilation", dilation, rank)
    over = _over(name, x.shape, kernel, stride, padding, dilation, ceil_mode)
    pads = tuple((p, p + o) for p, o in zip(padding, over, strict=True))
    if rank == 1:
        x = flattened(x)
        kernel, stride, dilation = (1, *kernel), (1, *stride), (1, *dilation)
        pads = ((0, 0), *pads)
    options = {"kernel": kernel, "stride": stride, "padding": pads, "dilation": dilation}
    found = [ops.max_pool2d(x, **options)]
    if return_indices:
        found.append(ops.max_pool2d_indices(x, **options))
    found = [y[:, :, 0] if rank == 1 else y for y in found]
    found = [y if batch else y[0] for y in found]
    return tuple(found) if return_indices else found[0]


def max_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the maximum of every window of signals (m, channels, length); see `max_pool2d`.

    Raises:
        ShapeError: x has another number of axes, or no window fits.
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.max_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
        array([[[3., 2.]]])
    """
    options = (stride, padding, dilation, ceil_mode, return_indices)
    return _max_pool("max_pool1d", x, kernel_size, *options)


def max_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the maximum of every window of images (m, channels, height, width).

    Among equal elements the first one, row by row, gets the gradient.

    Args:
        x: images, or one image (channels, height, width).
        kernel_size: size of a window; here and below a number, or one for each direction.
        stride: steps between windows; the kernel size if None.
        padding: how far windows reach over the edges; what lies outside never is the maximum.
        dilation: steps between the places of a window.
        ceil_mode: whether a last window may reach beyond the padding.
        return_indices: whether to return (y, indices), where an index counts the elements of an
            image row by row.

    Raises:
        ShapeError: x has another number of axes, or no window fits.
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.max_pool2d(np.arange(8.0).reshape(1, 1, 2, 4), 2)
        array([[[[5., 7.]]]])
    """
    options = (stride, padding, dilation, ceil_mode, return_indices)
    return _max_pool("max_pool2d", x, kernel_size, *options)


def _avg_pool(
    name: str,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    rank = int(name[-2])
    x, batch = batched(name, x, rank)
    kernel = sizes(name, "kernel_size", kernel_size, rank)
    stride = kernel if stride is None else sizes(name, "stride", stride, rank)
    padding = sizes(name, "padding", padding, rank, 0)
    if divisor_override is not None and not (whole(divisor_override) and divisor_override):
        raise ArgumentError(
            f"{name}: divisor_override must be a whole number and not 0, got {divisor_override!r}"
        )
    over = _over(name, x.shape, kernel, stride, padding, (1,) * rank, ceil_mode)
    pads = tuple((p, p) for p in padding)
    if rank == 1:
        x, kernel, stride = flattened(x), (1, *kernel), (1, *stride)
        pads, over = ((0, 0), *pads), (0, *over)
    y = ops.avg_pool2d(
        x,
        kernel=kernel,
        stride=stride,
        padding=pads,
        over=over,
        count_padding=bool(count_include_pad),
        divisor=divisor_override,
    )
    y = y[:, :, 0] if rank == 1 else y
    return y if batch else y[0]


def avg_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Return the mean of every window of signals (m, channels, length); see `avg_pool2d`.

    Raises:
        ShapeError: x has another number of axes, or no window fits.
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.avg_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
        array([[[2., 1.]]])
    """
    options = (stride, padding, ceil_mode, count_include_pad, None)
    return _avg_pool("avg_pool1d", x, kernel_size, *options)


def avg_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Return the mean of every window of images (m, channels, height, width).

    Args:
        x: images, or one image (channels, height, width).
        kernel_size: size of a window; here and below a number, or one for each direction.
        stride: steps between windows; the kernel size if None.
        padding: zeros around the image.
        ceil_mode: whether a last window may reach beyond the padding; nothing is counted there.
        count_include_pad: whether the padding's zeros count in the mean.
        divisor_override: divide by this number instead of by the count.

    Raises:
        ShapeError: x has another number of axes, or no window fits.
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.avg_pool2d(np.arange(8.0).reshape(1, 1, 2, 4), 2)
        array([[[[2.5, 4.5]]]])
    """
    options = (stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _avg_pool("avg_pool2d", x, kernel_size, *options)


def _shares(n: int, out: int, dtype: Any) -> Any:
    """Return the matrix (out, n) that takes the means of `out` windows over n elements.

    Window i goes from the floor of i n / out to the ceiling of (i + 1) n / out.
    """
    i, place = np.arange(out)[:, None], np.arange(n)
    inside = (place >= i * n // out) & (place < -(-(i + 1) * n // out))
    return (inside / inside.sum(axis=1, keepdims=True)).astype(dtype)


def _adaptive_avg_pool(name: str, x: Any, output_size: Any) -> Any:
    rank = int(name[-2])
    x, batch = batched(name, x, rank)
    size = x.shape[2:]
    given = output_size if isinstance(output_size, list | tuple) else (output_size,) * rank
    kept = [n if out is None else out for n, out in zip(size, given, strict=False)]
    if len(given) != rank:
        raise ArgumentError(f"{name}: output_size needs {rank} numbers, got {output_size!r}")
    wanted = sizes(name, "output_size", kept, rank)
    if not prod(size):
        raise ShapeError(f"{name}{describe(SCOPE.get())}: got x of shape {x.shape}, which is empty")
    if set(wanted) == {1}:
        y = functions.mean(x, axis=tuple(range(2, rank + 2)), keepdims=True)
        return y if batch else y[0]
    if all(n % out == 0 for n, out in zip(size, wanted, strict=True)):
        kernel = tuple(n // out for n, out in zip(size, wanted, strict=True))
        y = _avg_pool(name, x, kernel, None, 0, False, True, None)
        return y if batch else y[0]
    y = ops.matmul(x, _shares(size[-1], wanted[-1], x.dtype).T)
    if rank == 2:
        y = ops.matmul(_shares(size[0], wanted[0], x.dtype), y)
    return y if batch else y[0]


def adaptive_avg_pool1d(x: Any, output_size: Any) -> Any:
    """Return the means of `output_size` windows of signals (m, channels, length).

    Raises:
        ShapeError: x has another number of axes, or is empty.
        ArgumentError: the size is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.adaptive_avg_pool1d(np.array([[[1.0, 3.0, 2.0]]]), 2)
        array([[[2. , 2.5]]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool1d", x, output_size)


def adaptive_avg_pool2d(x: Any, output_size: Any) -> Any:
    """Return the means of as many windows as are asked for, for images of any size.

    Window i of `out` goes from floor(i·n / out) to ceil((i + 1)·n / out).

    Args:
        x: images (m, channels, height, width), or one image (channels, height, width).
        output_size: height and width of the result, or one number for both; None keeps x's.

    Raises:
        ShapeError: x has another number of axes, or is empty.
        ArgumentError: a size is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.adaptive_avg_pool2d(np.arange(6.0).reshape(1, 1, 2, 3), (1, 2))
        array([[[[2., 3.]]]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", x, output_size)


__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "max_pool1d",
    "max_pool2d",
]
