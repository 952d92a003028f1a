"""Maxima and averages over the windows of images.

A window is a rectangle, so both are taken along the height first and then along the width, each by
one elementwise operation per place of the kernel. Images that lie in memory with their channels
last stay so.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

from tinygrad_course.kernels import kernel
from tinygrad_course.ops.convolution import Pair, reached
from tinygrad_course.ops.picking import sent_back
from tinygrad_course.ops.samples import values
from tinygrad_course.primitive import Op, Sample, primitive
from tinygrad_course.threads import shares, spread

ELEMENTS = 9e9
"""Elements that a core pools in a second and kernel place, to guess how long a call takes."""


class _Windows(NamedTuple):
    """Where the windows lie: the result's size, and for each kernel place what it reads.

    `high[i]` is ``(seen, at)``: the output rows whose i-th place lies in the image, and that place;
    `wide[j]` the same for columns.
    """

    out: Pair
    high: list[tuple[slice, slice]]
    wide: list[tuple[slice, slice]]


def _windows(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
) -> _Windows:
    out, places = [], []
    for n, k, s, (before, after), d in zip(size, kernel, stride, padding, dilation, strict=True):
        length = (n + before + after - d * (k - 1) - 1) // s + 1
        if length < 1:
            padded = tuple(n + sum(p) for n, p in zip(size, padding, strict=True))
            raise ValueError(f"an image of {padded}, padded, is smaller than the kernel")
        out.append(length)
        places.append([reached(i, n, length, s, d, before) for i in range(k)])
    return _Windows((out[0], out[1]), places[0], places[1])


def _tiled(
    size: Pair,
    windows: _Windows,
    *,
    kernel: Pair,
    stride: Pair,
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
) -> bool:
    """Say whether each element of the image belongs to exactly one window."""
    apart = kernel == stride and padding == ((0, 0), (0, 0)) and dilation == (1, 1)
    return apart and size == tuple(n * k for n, k in zip(windows.out, kernel, strict=True))


def _seconds(x: Any, windows: _Windows) -> float:
    return float(x.size * (len(windows.high) + len(windows.wide)) / 2 / ELEMENTS)


def _four_axes(x: Any) -> None:
    if x.ndim != 4:
        raise ValueError("images need four axes")


def _reduce(x: Any, windows: _Windows, ufunc: Any, initial: Any) -> Any:
    """Combine the elements of each window by a ufunc, first along the height."""
    n, channels, _, width = x.shape
    out = np.empty_like(x, shape=(n, channels, *windows.out))

    def along(source: Any, places: list[tuple[slice, slice]], target: Any, axis: int) -> None:
        before = (slice(None),) * axis
        full = target.shape[axis]
        if all(seen == slice(0, full) for seen, _ in places):
            first, *rest = [source[(*before, at)] for _, at in places]
            if not rest:
                target[...] = first
            for i, other in enumerate(rest):
                ufunc(target if i else first, other, out=target)
            return
        target[...] = initial
        for seen, at in places:
            part = target[(*before, seen)]
            ufunc(part, source[(*before, at)], out=part)

    def work(piece: slice) -> None:
        part = x[piece]
        lines = np.empty_like(part, shape=(len(part), channels, windows.out[0], width))
        along(part, windows.high, lines, 2)
        along(lines, windows.wide, out[piece], 3)

    seconds = _seconds(x, windows)
    spread(work, shares(n, seconds), seconds)
    return out


# ---- maxima ----------------------------------------------------------------------------------


@kernel
def _max_pool2d(
    x: Any,
    *,
    kernel: Pair,
    stride: Pair,
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
) -> Any:
    _four_axes(x)
    windows = _windows(x.shape[2:], kernel, stride, padding, dilation)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return _reduce(x, windows, np.maximum, lowest)


def _winners(x: Any, ans: Any, windows: _Windows) -> Iterator[tuple[Any, Any, Any]]:
    """Yield for every kernel place its outputs, its place in the image, and where it is the max.

    Each window has one winner: the first among equals, row by row.
    """
    free = np.ones_like(ans, dtype=bool)
    last = (len(windows.high) - 1, len(windows.wide) - 1)
    for i, (rows, at_rows) in enumerate(windows.high):
        for j, (columns, at_columns) in enumerate(windows.wide):
            seen = (slice(None), slice(None), rows, columns)
            at = (slice(None), slice(None), at_rows, at_columns)
            left = free[seen]
            if (i, j) == last:  # who has no winner yet has it here, even among NaNs
                yield seen, at, left
                return
            won = np.equal(x[at], ans[seen])
            won &= left
            left ^= won
            yield seen, at, won


@kernel
def _max_pool2d_indices(x: Any, **options: Any) -> Any:
    ans = _max_pool2d(x, **options)
    windows = _windows(x.shape[2:], **options)
    plane = np.arange(prod(x.shape[2:])).reshape(x.shape[2:])
    found = np.zeros_like(ans, dtype=np.int64)
    for seen, at, won in _winners(x, ans, windows):
        np.copyto(found[seen], plane[at[2:]], where=won)
    return found


@kernel
def _max_pool2d_rule(g: Any, ans: Any, x: Any, **options: Any) -> Any:
    if type(g) is not np.ndarray:
        n, channels, height, width = x.shape
        planes = np.arange(n * channels).reshape(n, channels, 1, 1) * (height * width)
        return sent_back(g, max_pool2d_indices(x, **options) + planes, x.shape)
    windows = _windows(x.shape[2:], **options)
    upstream = g
    if g.strides != ans.strides:  # products of two memory orders are slow
        upstream = np.empty_like(ans)
        upstream[...] = g
    tiled = _tiled(x.shape[2:], windows, **options)
    out = (np.empty_like if tiled else np.zeros_like)(x)

    def work(piece: slice) -> None:
        part, given = out[piece], upstream[piece]
        for seen, at, won in _winners(x[piece], ans[piece], windows):
            if tiled:
                part[at] = given[seen] * won
            else:
                part[at] += given[seen] * won

    seconds = 3 * _seconds(x, windows)
    spread(work, shares(len(x), seconds), seconds)
    return out


def _maxima(rng: np.random.Generator) -> Iterator[Sample]:
    def images(*shape: int, **options: Any) -> Sample:
        return (values(rng, shape, -2, 2),), options

    yield images(2, 3, 4, 6, kernel=(2, 2), stride=(2, 2))
    yield images(1, 2, 5, 4, kernel=(3, 2), stride=(2, 1), padding=((1, 1), (1, 0)))
    yield images(2, 1, 6, 5, kernel=(2, 3), stride=(1, 1), dilation=(3, 2))
    yield images(1, 1, 3, 4, kernel=(1, 1), stride=(2, 3))
    yield images(0, 2, 2, 2, kernel=(2, 2), stride=(2, 2))


max_pool2d: Op = primitive(
    "max_pool2d",
    _max_pool2d,
    _maxima,
    _max_pool2d_rule,
    real=True,
    expects="images (n, channels, height, width)",
    doc="""Return the maximum of every window; the gradient goes to the first of equal elements.

    Args:
        x: images (n, channels, height, width).
        kernel: height and width of a window.
        stride: steps between windows, along height and width.
        padding: how far windows reach over the edges, ((above, below), (left, right)); what lies
            outside never is the maximum.
        dilation: steps between the places of a window.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> x = np.arange(8.0).reshape(1, 1, 2, 4)
        >>> tc.ops.max_pool2d(x, kernel=(2, 2), stride=(2, 2))
        array([[[[5., 7.]]]])
    """,
)

max_pool2d_indices: Op = primitive(
    "max_pool2d_indices",
    _max_pool2d_indices,
    _maxima,
    doc="""Return where `max_pool2d` found its maxima: row * width + column, for every window.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> x = np.arange(8.0).reshape(1, 1, 2, 4)
        >>> tc.ops.max_pool2d_indices(x, kernel=(2, 2), stride=(2, 2))
        array([[[[5, 7]]]])
    """,
)

# ---- averages --------------------------------------------------------------------------------


def _divisor(
    size: Pair,
    windows: _Windows,
    kernel: Pair,
    stride: Pair,
    padding: tuple[Pair, Pair],
    count_padding: bool,
    divisor: int | None,
) -> Any:
    """Return by how much the sum of each window is divided: a number, or one for each output."""
    if divisor is not None:
        return float(divisor)
    counts = []
    for n, out, k, s, (before, after) in zip(
        size, windows.out, kernel, stride, padding, strict=True
    ):
        start = np.arange(out) * s - before
        low, high = (-before, n + after) if count_padding else (0, n)
        counts.append(np.minimum(start + k, high) - np.maximum(start, low))
    table = counts[0][:, None] * counts[1]
    return float(table.flat[0]) if table.min() == table.max() else table


@kernel
def _avg_pool2d(
    x: Any,
    *,
    kernel: Pair,
    stride: Pair,
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    over: Pair = (0, 0),
    count_padding: bool = True,
    divisor: int | None = None,
) -> Any:
    _four_axes(x)
    size = x.shape[2:]
    windows = _windows(size, kernel, stride, _reach(padding, over))
    total = _reduce(x, windows, np.add, 0)
    counts = _divisor(size, windows, kernel, stride, padding, count_padding, divisor)
    return np.divide(total, _of_kind(counts, total.dtype), out=total)


def _reach(padding: tuple[Pair, Pair], over: Pair) -> tuple[Pair, Pair]:
    """Return the padding with what the last windows may reach beyond it."""
    (top, bottom), (left, right) = padding
    return (top, bottom + over[0]), (left, right + over[1])


def _of_kind(counts: Any, dtype: Any) -> Any:
    return counts.astype(dtype) if isinstance(counts, np.ndarray) else counts


@kernel
def _avg_pool2d_input(
    g: Any,
    *,
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    over: Pair = (0, 0),
    count_padding: bool = True,
    divisor: int | None = None,
) -> Any:
    windows = _windows(size, kernel, stride, _reach(padding, over))
    counts = _divisor(size, windows, kernel, stride, padding, count_padding, divisor)
    each = np.divide(g, _of_kind(counts, g.dtype))
    n, channels = g.shape[:2]
    out = np.zeros_like(each, shape=(n, channels, *size))

    def work(piece: slice) -> None:
        part = each[piece]
        lines = np.zeros_like(part, shape=(len(part), channels, windows.out[0], size[1]))
        for seen, at in windows.wide:
            lines[..., at] += part[..., seen]
        target = out[piece]
        for seen, at in windows.high:
            target[:, :, at] += lines[:, :, seen]

    seconds = _seconds(out, windows)
    spread(work, shares(n, seconds), seconds)
    return out


def _averages(rng: np.random.Generator) -> Iterator[Sample]:
    def images(*shape: int, **options: Any) -> Sample:
        return (values(rng, shape, -2, 2),), options

    padded = {"kernel": (3, 2), "stride": (2, 1), "padding": ((1, 1), (1, 1))}
    yield images(2, 3, 4, 6, kernel=(2, 2), stride=(2, 2))
    yield images(1, 2, 5, 4, **padded)
    yield images(1, 2, 5, 4, **padded, count_padding=False)
    yield images(1, 1, 4, 4, kernel=(3, 3), stride=(2, 2), over=(1, 1))
    yield images(1, 1, 3, 4, kernel=(2, 2), stride=(1, 1), divisor=3)
    yield images(0, 2, 2, 2, kernel=(2, 2), stride=(2, 2))


def _spread_averages(rng: np.random.Generator) -> Iterator[Sample]:
    for (x,), options in _averages(rng):
        g = values(rng, _avg_pool2d(x, **options).shape, -2, 2)
        yield (g,), {"size": x.shape[2:], **options}


avg_pool2d: Op = primitive(
    "avg_pool2d",
    _avg_pool2d,
    _averages,
    lambda g, _ans, _x, *, shapes, **options: avg_pool2d_input(g, size=shapes[0][2:], **options),
    expects="images (n, channels, height, width)",
    doc="""Return the mean of every window.

    Args:
        x: images (n, channels, height, width).
        kernel: height and width of a window.
        stride: steps between windows, along height and width.
        padding: rows of zeros ((above, below), (left, right)).
        over: how far the last windows may reach beyond the padding; nothing is counted there.
        count_padding: whether the padding's zeros count in the mean.
        divisor: divide by this number instead of by the count.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> x = np.arange(8.0).reshape(1, 1, 2, 4)
        >>> tc.ops.avg_pool2d(x, kernel=(2, 2), stride=(2, 2))
        array([[[[2.5, 4.5]]]])
    """,
)

avg_pool2d_input: Op = primitive(
    "avg_pool2d_input",
    _avg_pool2d_input,
    _spread_averages,
    lambda g, _ans, _up, *, size, **options: avg_pool2d(g, **options),  # noqa: ARG005
    expects="the gradient of the result of avg_pool2d",
    doc="""Return the gradient of `avg_pool2d` with respect to images of height and width `size`.

    Every element of g is divided among the elements of its window.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> g = np.array([[[[4.0, 8.0]]]])
        >>> tc.ops.avg_pool2d_input(g, size=(2, 4), kernel=(2, 2), stride=(2, 2))
        array([[[[1., 1., 2., 2.],
                 [1., 1., 2., 2.]]]])
    """,
)

__all__ = [
    "avg_pool2d",
    "avg_pool2d_input",
    "max_pool2d",
    "max_pool2d_indices",
]
