"""Convolution in two dimensions, and the two products that are its derivatives.

The three rows are linear in each of their inputs, and each one's derivatives are the other two:
that makes them differentiable to any order.

Inside, an image batch lies in memory as (rows, images, columns, channels). The windows of an image
are *lowered* along its width only: for every column of the result, all rows with the channels of
the kernel's columns side by side. A row of the result is then one matrix product of a strided view
of that array, for all images at once, and the array is as many times larger than the image as the
kernel is wide, not as it is high and wide. Source: Cho and Brand 2017, "MEC: memory-efficient
convolution". Where each channel has a kernel of its own there is nothing to multiply as matrices,
and the image is gone through once for each place of the kernels. A large batch is worked on in
pieces, by several threads where there are several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinygrad_course.graph import Value
from tinygrad_course.kernels import kernel
from tinygrad_course.memory import keep_freed_memory
from tinygrad_course.ops.contraction import column_sums
from tinygrad_course.ops.samples import values
from tinygrad_course.primitive import Op, Sample, primitive
from tinygrad_course.threads import ENOUGH, cut, spread

PIECE_SECONDS = 2e-3
PIECE_ROWS = 256
"""A piece of a batch takes about so long and has so many windows in a row of the result: with fewer
the matrix products spend their time on the kernels, which each of them reads anew."""

FLOPS = 6e10
"""Additions and multiplications that a core does in a second, to guess how long a call takes."""

SINGLE_FLOPS = 5e9
"""The same where each channel has a kernel of its own, so that there are no matrix products."""

PIECE_ELEMENTS = 1 << 18
"""Elements of a piece of images in that case: what is read and written stays in the cache."""

WIDE = 64
"""Numbers in a row of a window from which on each kernel row is worth a matrix product."""

Pair = tuple[int, int]


class _Plan(NamedTuple):
    """The sizes of one convolution."""

    images: int
    size: Pair
    channels: int
    kernel: Pair
    outputs: int
    out: Pair
    stride: Pair
    padding: tuple[Pair, Pair]
    dilation: Pair
    groups: int

    @property
    def seconds(self) -> float:
        """Return about how long a core takes."""
        products = self.images * prod(self.out) * prod(self.kernel) * self.outputs
        rate = SINGLE_FLOPS if self.single else FLOPS
        return 2 * products * (self.channels // self.groups) / rate

    @property
    def single(self) -> bool:
        """Whether each channel has one kernel of its own, as in a depthwise convolution."""
        return 1 < self.groups == self.channels == self.outputs

    @property
    def pointwise(self) -> bool:
        """Whether every place of the result sees one place of the image, which needs no copy."""
        alone = self.kernel == self.stride == (1, 1) and self.groups == 1
        return alone and self.padding == ((0, 0), (0, 0))

    def pieces(self) -> list[slice]:
        """Return the pieces of the batch: a function of the sizes alone, whatever the machine."""
        if self.seconds < 2 * ENOUGH:
            return cut(self.images, self.images)
        if self.single:
            return cut(self.images, PIECE_ELEMENTS // (self.channels * prod(self.size)))
        most = min(self.seconds / PIECE_SECONDS, self.images * self.out[1] / PIECE_ROWS)
        return cut(self.images, -(-self.images // max(2, int(most))))


def _spread(work: Callable[[slice], None], plan: _Plan, pieces: list[slice]) -> None:
    """Do a convolution's work on every piece of its batch."""
    if len(pieces) > 1:
        keep_freed_memory()
    spread(work, pieces, plan.seconds)


def _plan(
    images: int,
    size: Pair,
    channels: int,
    kernel: Pair,
    outputs: int,
    stride: Pair = (1, 1),
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> _Plan:
    out = tuple(
        (n + before + after - d * (k - 1) - 1) // s + 1
        for n, k, s, (before, after), d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1:
        padded = tuple(n + sum(p) for n, p in zip(size, padding, strict=True))
        reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
        raise ValueError(f"an image of {padded}, padded, is smaller than the kernel's {reach}")
    return _Plan(
        images,
        size,
        channels,
        kernel,
        outputs,
        out,  # type: ignore[arg-type]  # as long as `size`
        stride,
        padding,
        dilation,
        groups,
    )


def _rows(x: Any) -> Any:
    """Return images (n, channels, height, width) seen as (height, n, width, channels)."""
    return x.transpose(2, 0, 3, 1)


def _images(rows: Any) -> Any:
    """Return what `_rows` made of images."""
    return rows.transpose(1, 3, 0, 2)


def reached(k: int, n: int, out: int, stride: int, dilation: int, before: int) -> Any:
    """Return for one kernel position the outputs that see the image there, and what they see."""
    shift = k * dilation - before
    low = max(0, -(shift // stride))  # the first output whose position is not negative
    high = min(out, (n - 1 - shift) // stride + 1)
    if high <= low:
        return slice(0, 0), slice(0, 0)
    first = low * stride + shift
    return slice(low, high), slice(first, first + (high - low - 1) * stride + 1, stride)


def _lower(rows: Any, plan: _Plan, dtype: Any, *, rows_first: bool = False) -> Any:
    """Lower a piece (height, n, width, channels) to (groups, n, out width, padded height, K c).

    K are the kernel's columns, c the channels of a group. With `rows_first` each row of the images
    lies together in memory, otherwise each column.
    """
    top, bottom = plan.padding[0]
    height, n, width, channels = rows.shape
    if channels > 1 and rows.strides[2:] != (channels * rows.itemsize, rows.itemsize):
        rows = np.ascontiguousarray(rows)  # each place is read K times: gather its channels once
    if plan.pointwise and rows.strides[1] == width * rows.strides[2]:
        return rows.transpose(1, 2, 0, 3)[None].astype(dtype, copy=False)
    if bottom < 0:  # in the gradient of a transposed convolution with much output padding
        rows, height, bottom = rows[:bottom], height + bottom, 0
    lines, columns = height + top + bottom, plan.out[1]
    length = plan.kernel[1] * (channels // plan.groups)
    if rows_first:
        lowered = np.empty((plan.groups, lines, n, columns, length), dtype)
        lowered = lowered.transpose(0, 2, 3, 1, 4)
    else:
        lowered = np.empty((plan.groups, n, columns, lines, length), dtype)
    if top or bottom:
        lowered[:, :, :, :top] = 0
        lowered[:, :, :, top + height :] = 0
    _copy_windows(rows, lowered[:, :, :, top : top + height], plan)
    return lowered


def _copy_windows(rows: Any, lowered: Any, plan: _Plan) -> None:
    """Copy for every output column what it sees of the images; 0 where it sees their padding."""
    height, n, width, channels = rows.shape
    groups, _, columns, _, length = lowered.shape
    stride, (left, _) = plan.stride[1], plan.padding[1]
    places = [
        reached(j, width, columns, stride, plan.dilation[1], left) for j in range(plan.kernel[1])
    ]
    split = rows.reshape(height, n, width, groups, channels // groups).transpose(3, 1, 2, 0, 4)
    low, high = max(seen.start for seen, _ in places), min(seen.stop for seen, _ in places)
    if channels == 1 or groups > 1 or plan.dilation[1] > 1 or low >= high:
        _copy_places(split, lowered, places, slice(0, columns), stride)
        return
    # What an output column sees lies together in memory: it is copied at once, but at the edges.
    of_row, of_image, of_place, item = rows.strides
    lowered[0, :, low:high] = as_strided(
        rows[:, :, low * stride - left :],
        (n, high - low, height, length),
        (of_image, of_place * stride, of_row, item),
        writeable=False,
    )
    for edge in (slice(0, low), slice(high, columns)):
        if edge.start < edge.stop:
            _copy_places(split, lowered, places, edge, stride)


def _copy_places(split: Any, lowered: Any, places: Any, part: slice, stride: int) -> None:
    """Copy what some output columns see, kernel column by kernel column."""
    share = split.shape[4]
    for j, (seen, at) in enumerate(places):
        target = lowered[..., j * share : (j + 1) * share]
        first, last = max(seen.start, part.start), min(seen.stop, part.stop)
        if first >= last:
            target[:, :, part] = 0
            continue
        begin = at.start + (first - seen.start) * stride
        end = begin + (last - first - 1) * stride + 1
        target[:, :, first:last] = split[:, :, begin:end:stride]
        target[:, :, part.start : first] = 0
        target[:, :, last : part.stop] = 0


def _windows(lowered: Any, plan: _Plan) -> Any:
    """Return the windows of a lowered piece: (groups, out height, n * out width, kernel)."""
    groups, n, columns, _, length = lowered.shape
    of_group, _, of_column, of_row, item = lowered.strides
    windows = as_strided(
        lowered,
        (groups, plan.out[0], n * columns, plan.kernel[0], length),
        (of_group, of_row * plan.stride[0], of_column, of_row * plan.dilation[0], item),
        writeable=False,
    )
    # Without dilation the rows of a window are neighbours, and this is a view.
    return windows.reshape(groups, plan.out[0], n * columns, plan.kernel[0] * length)


def _grouped(rows: Any, groups: int) -> Any:
    """Return (height, n, width, channels) as (groups, height, n * width, channels of a group)."""
    height, n, width, channels = rows.shape
    split = rows.reshape(height, n * width, groups, channels // groups)
    return split.transpose(2, 0, 1, 3)


def _of_forward(x: Any, weight: Any, options: dict[str, Any]) -> _Plan:
    """Return the plan of a convolution of x with weight."""
    if x.ndim != 4 or weight.ndim != 4:
        raise ValueError("both need four axes")
    groups = options.get("groups", 1)
    if x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ValueError(
            f"{x.shape[1]} channels in {groups} group(s) do not fit a weight of {weight.shape}"
        )
    return _plan(x.shape[0], x.shape[2:], x.shape[1], weight.shape[2:], weight.shape[0], **options)


@kernel
def _conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Pair = (1, 1),
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Any:
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    plan = _of_forward(x, weight, options)
    dtype = np.result_type(x, weight)
    share = plan.outputs // groups
    kernel = weight.reshape(groups, share, -1, *plan.kernel).transpose(0, 3, 4, 2, 1)
    kernel = kernel.reshape(groups, 1, -1, share).astype(dtype, copy=False)
    rows = _rows(x)
    out = np.empty((plan.out[0], plan.images, plan.out[1], plan.outputs), dtype)
    pieces = plan.pieces()
    # A short vector is added slowly. As long as a row of the result it is added at full speed.
    largest = max(piece.stop - piece.start for piece in pieces) * plan.out[1]
    tile = None if bias is None else np.tile(bias.astype(dtype, copy=False), largest)

    def work(piece: slice) -> None:
        part = out[:, piece]
        if plan.single:
            _by_places(rows[:, piece], kernel, part, plan)
        else:
            windows = _windows(_lower(rows[:, piece], plan, dtype), plan)
            np.matmul(windows, kernel, out=_grouped(part, groups))
        if tile is not None:
            lines = part.reshape(plan.out[0], -1)
            lines += tile[: lines.shape[1]]

    _spread(work, plan, pieces)
    return _images(out)


def _send_back(
    given: Callable[[slice], Any],
    rows: Any,
    weight: Any,
    plan: _Plan,
    wanted: Any,
    dtype: Any,
    ways: Any = None,
) -> tuple[Any, Any, Any]:
    """Return the wanted ones of the gradients of images, weight and bias.

    `given(piece)` is the gradient of a piece's result, (out height, n, out width, outputs). What is
    not wanted is not looked at: `rows` are the images for the weight, `weight` is for the images.
    """
    of_x, of_weight, of_bias = wanted
    groups, pieces = plan.groups, plan.pieces()
    share, of_group = plan.channels // groups, plan.outputs // groups
    if of_x:
        # (groups, kernel rows, outputs of a group, kernel columns * channels of a group)
        kernels = weight.reshape(groups, of_group, share, *plan.kernel).transpose(0, 3, 1, 4, 2)
        kernels = kernels.reshape(*kernels.shape[:3], -1).astype(dtype, copy=False)
        out = np.empty((plan.size[0], plan.images, plan.size[1], plan.channels), dtype)
    back, correlate = ways or _ways_back(plan)
    parts: dict[int, Any] = {}
    sums: dict[int, Any] = {}

    def work(piece: slice) -> None:
        upstream = given(piece).astype(dtype, copy=False)
        if upstream.strides[-1] != upstream.itemsize:
            upstream = np.ascontiguousarray(upstream)
        if of_weight:
            parts[piece.start] = correlate(rows[:, piece], upstream, plan, dtype)
        if of_bias:
            sums[piece.start] = column_sums(upstream.reshape(-1, plan.outputs))
        if of_x:
            back(upstream, kernels, out[:, piece], plan)

    _spread(work, plan, pieces)

    def total(of_pieces: dict[int, Any]) -> Any:  # in the order of the batch, whoever was first
        first, *rest = [of_pieces[piece.start] for piece in pieces]
        for one in rest:
            first += one
        return first

    d_weight = None
    if of_weight:
        d_weight = np.empty((plan.outputs, share, *plan.kernel), dtype)
        split = d_weight.reshape(groups, of_group, share, *plan.kernel).transpose(0, 3, 4, 2, 1)
        split[...] = total(parts).reshape(split.shape)
    return _images(out) if of_x else None, d_weight, total(sums) if of_bias else None


def _ways_back(plan: _Plan) -> tuple[Callable[..., None], Callable[..., Any]]:
    """Return what computes a piece's gradient of the images, and of the kernels."""
    if plan.single:
        return _back_by_places, _correlate_places
    wide = plan.kernel[1] * (plan.channels // plan.groups) >= WIDE
    back = _back_by_windows if plan.dilation[0] == 1 else _back_by_rows
    return back, _correlate if wide else _correlate_rows


@kernel
def _conv2d_weight(
    x: Any,
    g: Any,
    *,
    size: Pair,
    stride: Pair = (1, 1),
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Any:
    plan = _plan(
        x.shape[0], x.shape[2:], x.shape[1], size, g.shape[1], stride, padding, dilation, groups
    )
    if g.shape != (plan.images, plan.outputs, *plan.out):
        raise ValueError(f"the gradient has shape {g.shape}, not that of the result")
    upstream = _rows(g)
    wanted, dtype = (False, True, False), np.result_type(x, g)
    return _send_back(lambda piece: upstream[:, piece], _rows(x), None, plan, wanted, dtype)[1]


def _correlate_rows(rows: Any, given: Any, plan: _Plan, dtype: Any) -> Any:
    """Return windowsᵀ given, (groups, kernel, outputs of a group): one product per output row."""
    windows = _windows(_lower(rows, plan, dtype), plan)
    products = np.matmul(windows.swapaxes(2, 3), _grouped(given, plan.groups))
    return np.add.reduce(products, axis=1)


def _correlate(rows: Any, given: Any, plan: _Plan, dtype: Any) -> Any:
    """Return the same by one product per kernel row: nothing to add up, if its rows are wide."""
    lowered = _lower(rows, plan, dtype, rows_first=True)
    groups, _, _, _, length = lowered.shape
    lines = lowered.transpose(0, 3, 1, 2, 4)
    split = given.reshape(-1, groups, plan.outputs // groups).transpose(1, 0, 2)
    result = np.empty((groups, plan.kernel[0], length, split.shape[2]), dtype)
    for i in range(plan.kernel[0]):
        first = i * plan.dilation[0]
        seen = lines[:, first : first + (plan.out[0] - 1) * plan.stride[0] + 1 : plan.stride[0]]
        columns = seen.reshape(groups, -1, length)
        np.matmul(columns.swapaxes(1, 2), split, out=result[:, i])
    return result


@kernel
def _conv2d_input(
    g: Any,
    weight: Any,
    *,
    size: Pair,
    stride: Pair = (1, 1),
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Any:
    outputs, share, *kernel = weight.shape
    if g.shape[1] != outputs or outputs % groups:
        raise ValueError(
            f"{g.shape[1]} channels in {groups} group(s) do not fit a weight of {weight.shape}"
        )
    options = (stride, padding, dilation, groups)
    plan = _plan(g.shape[0], size, share * groups, tuple(kernel), outputs, *options)
    if g.shape[2:] != plan.out:
        raise ValueError(f"the gradient has images of {g.shape[2:]}, the result of {plan.out}")
    upstream = _rows(g)
    wanted, dtype = (True, False, False), np.result_type(g, weight)
    return _send_back(lambda piece: upstream[:, piece], None, weight, plan, wanted, dtype)[0]


def _back_by_windows(given: Any, kernels: Any, out: Any, plan: _Plan) -> None:
    """Write the gradient of a piece of images: lowered first, (groups, height, n * out width, K c).

    Row i of the kernel saw row h of the padded image when it made row q - j of the result, where
    h = q * stride + phase and i = j * stride + phase. For each phase these rows lie side by side,
    as in the forward pass, and only at the two edges of the image are some of them missing.
    """
    height, stride, (top, bottom) = plan.size[0], plan.stride[0], plan.padding[0]
    rows, n, columns, outputs = given.shape
    share = outputs // plan.groups
    split = given.reshape(rows, n * columns, plan.groups, share).transpose(2, 1, 0, 3)
    lines = np.ascontiguousarray(split).reshape(plan.groups, n * columns, rows * share)
    make = np.empty if stride == 1 and bottom >= 0 else np.zeros  # else some rows are left out
    lowered = make((plan.groups, height, n * columns, kernels.shape[3]), given.dtype)
    for phase in range(min(stride, plan.kernel[0])):
        flipped = kernels[:, phase::stride][:, ::-1]
        reach = flipped.shape[1]
        flipped = flipped.reshape(plan.groups, reach * share, -1)
        first = max(0, -((phase - top) // stride))
        last = min(rows + reach - 2, (height - 1 + top - phase) // stride)
        inner = range(max(first, reach - 1), min(last, rows - 1) + 1)
        for q in range(first, last + 1):
            if q not in inner:
                low, high = max(0, q - reach + 1), min(rows, q + 1)
                skip = (reach - 1 - q) * share
                np.matmul(
                    lines[:, :, low * share : high * share],
                    flipped[:, low * share + skip : high * share + skip],
                    out=lowered[:, phase + q * stride - top],
                )
        if inner:
            of_group, of_line, item = lines.strides
            windows = as_strided(
                lines[:, :, (inner.start - reach + 1) * share :],
                (plan.groups, len(inner), n * columns, reach * share),
                (of_group, share * item, of_line, item),
                writeable=False,
            )
            start = phase + inner.start * stride - top
            stop = phase + inner[-1] * stride - top + 1
            np.matmul(windows, flipped[:, None], out=lowered[:, start:stop:stride])
    _add_columns(lowered, out, plan)


def _back_by_rows(given: Any, kernels: Any, out: Any, plan: _Plan) -> None:
    """Write the same for any dilation, kernel row by kernel row."""
    split = _grouped(given, plan.groups)
    shape = (plan.groups, plan.size[0], split.shape[2], kernels.shape[3])
    lowered = np.zeros(shape, given.dtype)
    for i in range(plan.kernel[0]):
        seen, at = reached(
            i, plan.size[0], plan.out[0], plan.stride[0], plan.dilation[0], plan.padding[0][0]
        )
        lowered[:, at] += np.matmul(split[:, seen], kernels[:, i, None])
    _add_columns(lowered, out, plan)


def _add_columns(lowered: Any, out: Any, plan: _Plan) -> None:
    """Add every window of a lowered gradient to the columns of the image it was read from."""
    height, n, width, channels = out.shape
    share = channels // plan.groups
    windows = lowered.reshape(plan.groups, height, n, plan.out[1], plan.kernel[1], share)
    out[...] = 0
    if channels > plan.groups == plan.dilation[1] == 1:  # a window's columns lie side by side
        stride, left = plan.stride[1], plan.padding[1][0]
        for i in range(plan.out[1]):
            first = i * stride - left
            low, high = max(first, 0), min(first + plan.kernel[1], width)
            if low < high:
                out[:, :, low:high] += windows[0, :, :, i, low - first : high - first]
        return
    split = out.reshape(height, n, width, plan.groups, share).transpose(3, 0, 1, 2, 4)
    for j in range(plan.kernel[1]):
        seen, at = reached(
            j, width, plan.out[1], plan.stride[1], plan.dilation[1], plan.padding[1][0]
        )
        split[:, :, :, at] += windows[:, :, :, seen, j]


# ---- one kernel for each channel -------------------------------------------------------------


def _places(plan: _Plan) -> Iterator[tuple[Pair, Any, Any]]:
    """Yield each place of a kernel, the outputs that see the image there, and what they see."""
    ways = zip(plan.size, plan.out, plan.stride, plan.dilation, plan.padding, strict=True)
    high, wide = (
        [reached(k, n, out, stride, dilation, before) for k in range(length)]
        for length, (n, out, stride, dilation, (before, _)) in zip(plan.kernel, ways, strict=True)
    )
    for i, (lines, at_lines) in enumerate(high):
        for j, (columns, at_columns) in enumerate(wide):
            every = slice(None)
            yield (i, j), (lines, every, columns), (at_lines, every, at_columns)


def _times(part: Any, factors: Any) -> Any:
    """Return (height, n, width, channels) times a number for each channel."""
    width = part.shape[2]
    return part * np.tile(factors, width).reshape(width, len(factors))  # a row at once


def _by_places(rows: Any, kernel: Any, out: Any, plan: _Plan) -> None:
    """Write the result of a piece: all that is seen through one place of the kernels at a time."""
    kernels = kernel.reshape(plan.channels, *plan.kernel)
    rows = np.ascontiguousarray(rows)
    out[...] = 0
    for (i, j), seen, at in _places(plan):
        out[seen] += _times(rows[at], kernels[:, i, j])


def _back_by_places(given: Any, kernels: Any, out: Any, plan: _Plan) -> None:
    """Write the gradient of a piece of images."""
    out[...] = 0
    for (i, j), seen, at in _places(plan):
        out[at] += _times(given[seen], kernels[:, i, 0, j])


def _correlate_places(rows: Any, given: Any, plan: _Plan, dtype: Any) -> Any:
    """Return the gradient of the kernels, (channels, kernel height, kernel width)."""
    rows = np.ascontiguousarray(rows)
    result = np.empty((plan.channels, *plan.kernel), dtype)
    for (i, j), seen, at in _places(plan):
        result[:, i, j] = column_sums((rows[at] * given[seen]).reshape(-1, plan.channels))
    return result


def _shared(options: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that all three rows have."""
    return {key: v for key, v in options.items() if key not in ("size", "shapes")}


@kernel
def _conv2d_backward(g: Any, x: Any, weight: Any, *, wanted: Any, **options: Any) -> Any:
    plan = _of_forward(x, weight, options)
    upstream, dtype = _rows(g), np.result_type(g, x, weight)
    return _send_back(lambda piece: upstream[:, piece], _rows(x), weight, plan, wanted, dtype)


def _conv2d_rule(
    g: Any, _ans: Any, x: Any, weight: Any, _bias: Any, *, wanted: Any, **options: Any
) -> Any:
    recorded = isinstance(g, Value)  # then by functions whose derivatives are known
    if not recorded:
        return _conv2d_backward(g, x, weight, wanted=wanted, **options)
    of_x, of_weight, of_bias = wanted
    return (
        conv2d_input(g, weight, size=x.shape[2:], **options) if of_x else None,
        conv2d_weight(x, g, size=weight.shape[2:], **options) if of_weight else None,
        g.sum(axis=(0, 2, 3)) if of_bias else None,
    )


def _images_and_kernels(rng: np.random.Generator) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    def pair(images: tuple[int, ...], kernel: tuple[int, ...], **options: Any) -> Any:
        return values(rng, images, -2, 2), values(rng, kernel, -2, 2), options

    yield pair((2, 1, 3, 3), (1, 1, 2, 2))
    yield pair((1, 2, 4, 3), (3, 2, 3, 2), padding=((1, 1), (0, 2)))
    yield pair((2, 2, 5, 4), (2, 1, 2, 2), stride=(2, 1), groups=2)
    yield pair((1, 1, 6, 5), (2, 1, 2, 2), dilation=(2, 3), padding=((1, 0), (1, 0)))
    yield pair((1, 1, 7, 6), (1, 1, 3, 2), stride=(2, 3))
    yield pair((1, 1, 5, 5), (1, 1, 2, 2), stride=(2, 3), dilation=(3, 2), padding=((2, 1), (1, 1)))
    yield pair((2, 3, 2, 3), (2, 3, 1, 1))
    yield pair((1, 1, 5, 1), (1, 1, 2, 1), stride=(3, 1))
    yield pair((0, 2, 3, 3), (2, 2, 2, 2))


def _convolved(rng: np.random.Generator) -> Iterator[Sample]:
    for i, (x, weight, options) in enumerate(_images_and_kernels(rng)):
        bias = values(rng, weight.shape[:1], -2, 2) if i % 2 == 0 else None
        yield (x, weight, bias), options


def _sent_back(rng: np.random.Generator) -> Iterator[Sample]:
    for x, weight, options in _images_and_kernels(rng):
        g = values(rng, _conv2d(x, weight, **options).shape, -2, 2)
        yield (g, weight), {"size": x.shape[2:], **options}


def _correlated(rng: np.random.Generator) -> Iterator[Sample]:
    for x, weight, options in _images_and_kernels(rng):
        g = values(rng, _conv2d(x, weight, **options).shape, -2, 2)
        yield (x, g), {"size": weight.shape[2:], **options}


conv2d: Op = primitive(
    "conv2d",
    _conv2d,
    _convolved,
    joint=_conv2d_rule,
    optional=True,
    expects="x (n, channels, height, width), weight (outputs, channels / groups, kernel height, "
    "kernel width), and bias (outputs,) or None",
    doc="""Correlate images with kernels, as every library of neural networks convolves.

    ans[n, o, i, j] = bias[o] + Σ weight[o, c, k, l] x[n, c, i*stride + k*dilation - padding, …],
    the sum over the channels c of o's group and the kernel's places (k, l); x is 0 outside the
    image.

    Args:
        x: images (n, channels, height, width).
        weight: kernels (outputs, channels / groups, kernel height, kernel width).
        bias: a number per output, or None.
        stride: steps between windows, along height and width.
        padding: rows of zeros ((above, below), (left, right)).
        dilation: steps between the places of a kernel.
        groups: into how many groups the channels are divided; each output sees one.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.ops.conv2d(np.arange(9.0).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2)), None)
        array([[[[ 8., 12.],
                 [20., 24.]]]])
    """,
)

conv2d_input: Op = primitive(
    "conv2d_input",
    _conv2d_input,
    _sent_back,
    lambda g, _ans, _g, weight, **options: conv2d(g, weight, None, **_shared(options)),
    lambda g, _ans, up, _weight, *, shapes, **options: conv2d_weight(
        g, up, size=shapes[1][2:], **_shared(options)
    ),
    expects="g (n, outputs, height, width) and weight (outputs, channels / groups, kernel height, "
    "kernel width)",
    doc="""Return the gradient of `conv2d` with respect to its images of height and width `size`.

    As a layer of its own it is the transposed convolution: every element of g adds a kernel, times
    itself, to the image. The other arguments are those of `conv2d`.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.ops.conv2d_input(np.ones((1, 1, 1, 2)), np.ones((1, 1, 2, 2)), size=(2, 3))
        array([[[[1., 2., 1.],
                 [1., 2., 1.]]]])
    """,
)

conv2d_weight: Op = primitive(
    "conv2d_weight",
    _conv2d_weight,
    _correlated,
    lambda g, _ans, _x, up, *, shapes, **options: conv2d_input(
        up, g, size=shapes[0][2:], **_shared(options)
    ),
    lambda g, _ans, x, _up, **options: conv2d(x, g, None, **_shared(options)),
    expects="x (n, channels, height, width) and g of the shape of the result",
    doc="""Return the gradient of `conv2d` with respect to its kernels of height and width `size`.

    The other arguments are those of `conv2d`.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.ops.conv2d_weight(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), size=(2, 2))
        array([[[[4., 4.],
                 [4., 4.]]]])
    """,
)

__all__ = [
    "conv2d",
    "conv2d_input",
    "conv2d_weight",
]
