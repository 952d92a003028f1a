"""Batch normalization, and the running averages that go with it.

The fast rule works on a table of one row per place and one column per channel. Of images whose
channels lie last in memory, as convolutions leave them, the table is a view. A large batch is gone
through block by block, so that what is computed from a block stays in the processor's cache: with
several places side by side in a row, since a vector as short as the channels is added slowly, or
with the places of one channel in a row where the images lie so.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from tinygrad_course.buffers import note_write
from tinygrad_course.kernels import kernel
from tinygrad_course.memory import keep_freed_memory
from tinygrad_course.ops.arithmetic import multiply
from tinygrad_course.ops.contraction import column_sums, ones
from tinygrad_course.ops.powers import sqrt
from tinygrad_course.ops.reduction import reduce_mean, reduce_var
from tinygrad_course.ops.samples import values
from tinygrad_course.primitive import Op, Sample, primitive
from tinygrad_course.threads import cut, spread

SMALL = 1 << 16
"""Elements up to which a table is worked on as a whole."""

BLOCK = 1 << 17
"""Elements of a block."""

WIDTH = 512
"""Elements that a row of a block has at least, if it can."""

PLACES = 64
"""Places of an image from which on a row holds those of one channel, if they lie so."""

SECONDS = 4e-10
"""About how long a core takes for an element in one pass."""


# ---- tables of places and channels ---------------------------------------------------------


def _order(x: Any) -> tuple[int, ...]:
    """Return the axes with the channels last, in the order of memory if they lie last there."""
    if x.ndim == 2:
        return (0, 1)
    order = tuple(sorted(range(x.ndim), key=lambda axis: -x.strides[axis]))
    if order[-1] == 1 and x.transpose(order).flags.c_contiguous:
        return order
    return (2, 0, 3, 1) if x.ndim == 4 else (0, *range(2, x.ndim), 1)


def _table(x: Any, order: tuple[int, ...]) -> Any:
    return x if x.ndim == 2 else x.transpose(order).reshape(-1, x.shape[1])


def _untabled(table: Any, x: Any, order: tuple[int, ...]) -> Any:
    """Return a table in the shape of x."""
    if x.ndim == 2:
        return table
    back = tuple(order.index(axis) for axis in range(x.ndim))
    return table.reshape([x.shape[axis] for axis in order]).transpose(back)


class _Blocks:
    """A large batch as a matrix whose rows are cut into blocks.

    Attributes:
        shape: of the matrix.
        parts: two places for what has been summed of each block.
    """

    shape: tuple[int, int]
    parts: Any

    def _cut(self) -> None:
        self.pieces = cut(self.shape[0], max(1, BLOCK // self.shape[1]))

    def each(self, work: Any) -> None:
        """Call ``work(number, rows)`` for every block."""
        numbered = list(enumerate(self.pieces))
        spread(lambda one: work(*one), numbered, self.shape[0] * self.shape[1] * SECONDS)


class _Beside(_Blocks):
    """Places in the rows, several side by side, each with all its channels."""

    def __init__(self, x: Any, order: tuple[int, ...]) -> None:
        self.order = order
        self.channels = x.shape[1]
        m = x.size // self.channels
        most = max(1, WIDTH // self.channels)
        self.times = next(n for n in range(most, 0, -1) if m % n == 0)
        self.shape = (m // self.times, self.channels * self.times)
        self._cut()
        self.parts = np.empty((2, len(self.pieces), self.shape[1]), x.dtype)

    def view(self, x: Any) -> Any:
        """Return images as the matrix."""
        return _table(x, self.order).reshape(self.shape)

    def images(self, matrix: Any, x: Any) -> Any:
        """Return the matrix in the shape of x."""
        return _untabled(matrix.reshape(-1, self.channels), x, self.order)

    def repeated(self, vector: Any) -> Any:
        """Return one number per channel as a matrix."""
        return np.broadcast_to(np.tile(vector, self.times), self.shape)

    def add(self, which: int, number: int, _rows: slice, block: Any) -> None:
        """Keep the sums of a block."""
        self.parts[which, number] = column_sums(block)

    def total(self, which: int = 0) -> Any:
        """Return the sum of each channel, in the order of memory."""
        whole = np.add.reduce(self.parts[which], axis=0)
        return np.add.reduce(whole.reshape(self.times, self.channels), axis=0)


class _Stacked(_Blocks):
    """All places of one channel of one image in a row."""

    def __init__(self, x: Any) -> None:
        self.count, self.channels = x.shape[:2]
        self.shape = (self.count * self.channels, prod(x.shape[2:]))
        self._cut()
        self.parts = np.empty((2, self.shape[0]), x.dtype)

    def view(self, x: Any) -> Any:
        """Return images as the matrix."""
        return x.reshape(self.shape)

    def images(self, matrix: Any, x: Any) -> Any:
        """Return the matrix in the shape of x."""
        return matrix.reshape(x.shape)

    def repeated(self, vector: Any) -> Any:
        """Return one number per channel as a matrix."""
        return np.broadcast_to(np.tile(vector, self.count)[:, None], self.shape)

    def add(self, which: int, _number: int, rows: slice, block: Any) -> None:
        """Keep the sums of a block."""
        np.dot(block, ones(self.shape[1], block.dtype), out=self.parts[which, rows])

    def total(self, which: int = 0) -> Any:
        """Return the sum of each channel, image by image."""
        return np.add.reduce(self.parts[which].reshape(self.count, self.channels), axis=0)


def _blocks(x: Any) -> Any:
    """Return the blocks that fit how x lies in memory."""
    keep_freed_memory()
    order = _order(x)
    if x.flags.c_contiguous and x.ndim > 2 and prod(x.shape[2:]) >= PLACES:
        return _Stacked(x)
    return _Beside(x, order)


# ---- forward and backward ------------------------------------------------------------------


def _batch_norm(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    if x.size > SMALL:
        y, mean, var, scale = _normalize_blocks(x, weight, bias, eps)
        return (y, mean, var), ((None, mean), scale)
    order = _order(x)
    table = _table(x, order)
    m = len(table)
    mean = column_sums(table) / m
    centred = table - mean
    var = column_sums(centred * centred) / m
    scale = 1 / np.sqrt(var + eps)
    y = centred * (scale if weight is None else scale * weight)
    if bias is not None:
        y += bias
    return (_untabled(y, x, order), mean, var), ((centred, mean), scale)


@kernel
def _normalize_blocks(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any, Any]:
    m = x.size // x.shape[1]
    blocks = _blocks(x)
    given, y = blocks.view(x), np.empty(blocks.shape, x.dtype)

    def add_up(number: int, rows: slice) -> None:
        blocks.add(0, number, rows, given[rows])

    blocks.each(add_up)
    mean = blocks.total() / m
    means = blocks.repeated(mean)

    def centre(number: int, rows: slice) -> None:
        centred = np.subtract(given[rows], means[rows], out=y[rows])
        blocks.add(0, number, rows, centred * centred)

    blocks.each(centre)
    var = blocks.total() / m
    scale = 1 / np.sqrt(var + eps)
    factor = blocks.repeated(scale if weight is None else scale * weight)
    shift = None if bias is None else blocks.repeated(bias)

    def stretch(_number: int, rows: slice) -> None:
        y[rows] *= factor[rows]
        if shift is not None:
            y[rows] += shift[rows]

    blocks.each(stretch)
    return blocks.images(y, x), mean, var, scale


def _batch_norm_rule(
    g: Any,
    _ans: Any,
    x: Any,
    weight: Any,
    _bias: Any,
    *,
    eps: float,  # noqa: ARG001 - it stands in the residual `scale`
    residuals: Any,
    wanted: Any,
) -> Any:
    upstream, g_mean, g_var = g
    (centred, mean), scale = residuals
    if upstream is None:
        upstream = np.zeros_like(x)
    if centred is None:
        return _rule_blocks(x, upstream, weight, mean, scale, g_mean, g_var, wanted)
    order = _order(x)
    given = _table(upstream, order)
    d_bias = column_sums(given)
    d_weight = column_sums(centred * given) * scale
    if not wanted[0]:
        return None, d_weight, d_bias
    factor = scale if weight is None else scale * weight
    slope, shift = _corrections(factor, scale, d_weight, d_bias, g_mean, g_var, len(given))
    d_x = given * factor
    d_x += centred * slope
    d_x += shift
    return _untabled(d_x, x, order), d_weight, d_bias


def _corrections(
    factor: Any, scale: Any, d_weight: Any, d_bias: Any, g_mean: Any, g_var: Any, m: int
) -> tuple[Any, Any]:
    """Return what the gradient has beside the upstream one: per distance to the mean, and always.

    Both because mean and variance depend on every element of the batch.
    """
    slope = factor * scale * d_weight / -m
    shift = factor * d_bias / -m
    if g_var is not None:
        slope = slope + g_var * (2 / m)
    if g_mean is not None:
        shift = shift + g_mean / m
    return slope, shift


@kernel
def _rule_blocks(
    x: Any, upstream: Any, weight: Any, mean: Any, scale: Any, g_mean: Any, g_var: Any, wanted: Any
) -> Any:
    blocks = _blocks(x)
    inputs, given = blocks.view(x), blocks.view(upstream)
    means = blocks.repeated(mean)

    def add_up(number: int, rows: slice) -> None:
        blocks.add(0, number, rows, given[rows])
        centred = inputs[rows] - means[rows]
        centred *= given[rows]
        blocks.add(1, number, rows, centred)

    blocks.each(add_up)
    d_bias, d_weight = blocks.total(0), blocks.total(1) * scale
    if not wanted[0]:
        return None, d_weight, d_bias
    factor = scale if weight is None else scale * weight
    m = x.size // x.shape[1]
    corrections = _corrections(factor, scale, d_weight, d_bias, g_mean, g_var, m)
    slope, shift, factor = (blocks.repeated(v) for v in (*corrections, factor))
    d_x = np.empty(blocks.shape, x.dtype)

    def combine(_number: int, rows: slice) -> None:
        part = np.subtract(inputs[rows], means[rows], out=d_x[rows])
        part *= slope[rows]
        part += shift[rows]
        part += given[rows] * factor[rows]

    blocks.each(combine)
    return blocks.images(d_x, x), d_weight, d_bias


def _batch_norm_formula(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    axes = (0, *range(2, x.ndim))
    along = (1, -1, *(1,) * (x.ndim - 2))
    mean = reduce_mean(x, axis=axes, keepdims=True)
    var = reduce_var(x, axis=axes, keepdims=True, ddof=0)
    ans = (x - mean) / sqrt(var + eps)
    if weight is not None:
        ans = multiply(ans, weight.reshape(along))
    if bias is not None:
        ans = ans + bias.reshape(along)
    channels = (x.shape[1],)
    return ans, mean.reshape(channels), var.reshape(channels)


def _batches(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(4, 3), (5, 1), (2, 3, 2), (2, 2, 2, 3)]:
        x, weight, bias = (values(rng, s, -2, 2) for s in (shape, (shape[1],), (shape[1],)))
        yield (x, weight, bias), {"eps": 1e-5}
        yield (x, None, None), {"eps": 1e-3}
    yield (values(rng, (4, 3), -2, 2), values(rng, (3,), -2, 2), None), {"eps": 1e-5}


batch_norm: Op = primitive(
    "batch_norm",
    _batch_norm,
    _batches,
    joint=_batch_norm_rule,
    real=True,
    formula=_batch_norm_formula,
    residuals=True,
    outputs=3,
    optional=True,
    expects="x (m, channels, ...), weight and bias (channels,) or None",
    doc="""Normalize each channel over the batch: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Returns (y, mean, var): the statistics, with the biased variance, feed the running averages.
    Source: Ioffe and Szegedy 2015; lesson 3.2 of the notes.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> y, mean, var = tc.batch_norm(np.array([[1.0], [3.0]]), None, None, eps=0.0)
        >>> y.ravel(), mean, var
        (array([-1.,  1.]), array([2.]), array([1.]))
    """,
)


# ---- running averages ------------------------------------------------------------------------


def _move_average(average: Any, value: Any, *, share: float, factor: float = 1.0) -> Any:
    average *= 1.0 - share
    average += (share * factor) * value
    return average


def _averages(rng: np.random.Generator) -> Iterator[Sample]:
    yield (np.zeros(3), values(rng, (3,), -2, 2)), {"share": 0.1}
    yield (np.ones(3), values(rng, (3,), -2, 2)), {"share": 0.5, "factor": 1.25}


move_average: Op = primitive(
    "move_average",
    _move_average,
    _averages,
    effect="write",
    expects="an average and a value of its shape",
    doc="""Move a running average towards ``factor * value``, in place; no gradient passes.

    average ← (1 - share) average + share factor value: the exponentially weighted average of the
    notes (lesson 2.4), with β = 1 - share.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.ops.move_average(tc.Tensor([10.0]), np.array([20.0]), share=0.1)
        Tensor([11.])
    """,
)


def _track_batch(
    running_mean: Any,
    running_var: Any,
    count: Any,
    mean: Any,
    var: Any,
    *,
    share: float,
    factor: float = 1.0,
) -> Any:
    _move_average(running_mean, mean, share=share)
    _move_average(running_var, var, share=share, factor=factor)
    count += 1
    note_write(running_var, "track_batch")
    note_write(count, "track_batch")
    return running_mean


def _tracked(rng: np.random.Generator) -> Iterator[Sample]:
    mean, var = values(rng, (3,), -2, 2), values(rng, (3,), 1, 2)
    yield (np.zeros(3), np.ones(3), np.array(0), mean, var), {"share": 0.1, "factor": 1.25}


track_batch: Op = primitive(
    "track_batch",
    _track_batch,
    _tracked,
    effect="write",
    expects="running mean and variance, the number of batches, and a batch's mean and variance",
    doc="""Move a layer's running mean and variance towards a batch's, and count the batch.

    Both move as in `move_average`; `factor` makes the variance of the batch the unbiased one.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> mean, var, count = tc.Tensor([0.0]), tc.Tensor([1.0]), tc.Tensor(0)
        >>> _ = tc.ops.track_batch(mean, var, count, np.array([2.0]), np.array([3.0]), share=0.5)
        >>> mean.data, var.data, int(count)
        (array([1.]), array([2.]), 1)
    """,
)

__all__ = [
    "batch_norm",
    "move_average",
    "track_batch",
]
