"""Passes for networks of images: rectifiers behind the maxima of windows, convolutions with them.

The rectified maximum of a window is the maximum of the rectified window: so a rectifier may work on
the few maxima instead of on all elements, forward and backward. And where only the maxima of what a
convolution makes are wanted, they are taken piece by piece, in the convolution's own threads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from tinygrad_course.ops import convolution, pooling
from tinygrad_course.ops.convolution import Pair
from tinygrad_course.replay.program import Note, Program, Step, Var, made

_CONV, _CONV_BACK = convolution._conv2d.inner, convolution._conv2d_backward.inner  # type: ignore[attr-defined]
_POOL, _POOL_BACK = pooling._max_pool2d.inner, pooling._max_pool2d_rule.inner  # type: ignore[attr-defined]
_LIMITS = {np.maximum: (0,), np.clip: (0, np.inf)}
"""How a rectifier is called: with these arguments after the first."""

Changes = dict[Step, list[Step]]
"""What comes in the place of some calls."""


class _Reading:
    """Who reads what in a program."""

    def __init__(self, program: Program) -> None:
        self.steps = program.steps
        self.place = {step: number for number, step in enumerate(program.steps)}
        self.readers: dict[int, list[Step]] = defaultdict(list)
        for step in program.steps:
            for root in {var.root for var in step.reads()}:
                self.readers[root].append(step)
        self.leaving = {var.root for var in program.outputs()}
        self.leaving |= {guard.var.root for guard in program.guards}

    def reader(self, var: Any, place: int, *functions: Any) -> Step | None:
        """Return the one call of these functions that has a variable in this place."""
        found = [
            step
            for step in (self.readers[var.root] if isinstance(var, Var) else ())
            if step.function in functions and not step.writes
            if len(step.args) > place and step.args[place] is var
        ]
        return found[0] if len(found) == 1 else None

    def only(self, var: Any, steps: Iterable[Step | None]) -> bool:
        """Whether a variable is read by these calls and by nobody else."""
        alone = isinstance(var, Var) and not var.outside and var.root not in self.leaving
        return alone and set(self.readers[var.root]) <= set(steps)

    def untouched(self, variables: Iterable[Var], first: Step, last: Step) -> bool:
        """Whether nobody writes to these variables between two calls."""
        roots = {var.root for var in variables}
        between = self.steps[self.place[first] : self.place[last]]
        return not any(step.writes & roots for step in between)

    @staticmethod
    def fresh(like: Var, dtype: Any = None, more: tuple[int, ...] = ()) -> Var:
        """Return a new variable with the layout of another, but of this dtype, with more axes."""
        example = copy(like.example)
        example.shape = (*more, *example.shape)
        example.ndim = len(example.shape)
        example.dtype = np.dtype(dtype or example.dtype)
        example.nbytes = prod(example.shape) * example.dtype.itemsize
        return made(example)


def _changed(program: Program, changes: Changes) -> Program:
    steps = [new for old in program.steps for new in changes.get(old, [old])]
    return replace(program, steps=steps)


# ---- rectifiers behind maxima -----------------------------------------------------------------


@dataclass(frozen=True)
class _Rectifier:
    """A rectifier's calls: ``max(x, 0)``, and backward ``g * (ans > 0)``; or only the first."""

    forward: Step
    mask: Step | None = None
    backward: Step | None = None

    @property
    def upstream(self) -> Any:
        """The gradient that the rectifier is given, if it is given one."""
        if self.mask is None or self.backward is None:
            return None
        left, right = self.backward.args
        return left if right is self.mask.result else right


def _rectifier(reading: _Reading, forward: Step | None) -> _Rectifier | None:
    """Return the rectifier whose forward call this is, if it is one."""
    if forward is None or forward.writes or forward.args[1:] != _LIMITS.get(forward.function):
        return None
    if getattr(forward.result, "outside", True) or forward.result.example.dtype.kind != "f":
        return None
    mask = reading.reader(forward.result, 0, np.greater)
    if mask is None:
        return _Rectifier(forward)
    backward = reading.reader(mask.result, 1, np.multiply)
    backward = backward or reading.reader(mask.result, 0, np.multiply)
    if backward is None or mask.args[1:] != (0,) or not reading.only(mask.result, [backward]):
        return None
    return _Rectifier(forward, mask, backward)


def with_late_rectifiers(program: Program) -> Program:
    """Rectify the maxima of windows instead of all elements.

    Every bit stays, of the gradient too: where the maximum of a window is not positive, nothing of
    it passes, and where it is, rectified elements are equal to it where they were before. Only a
    window with a NaN in it, whose gradient went to the last element, now has none.
    """
    reading = _Reading(program)
    changes: Changes = {}
    for step in program.steps:
        rectifier = _rectifier(reading, step)
        if rectifier is not None:
            changes |= _exchanged(reading, rectifier)
    return _changed(program, changes)


def _exchanged(reading: _Reading, rectifier: _Rectifier) -> Changes:
    """Return what comes in the place of some calls if a rectifier goes behind maxima."""
    forward, mask, backward = rectifier.forward, rectifier.mask, rectifier.backward
    large = forward.result
    pool, back = reading.reader(large, 0, _POOL), reading.reader(large, 2, _POOL_BACK)
    if pool is None or not reading.only(large, [pool, back, mask]):
        return {}
    (x, *limits), ans = forward.args, pool.result
    small = reading.fresh(ans)
    changes: Changes = {
        forward: [],
        pool: [
            replace(pool, args=(x,), result=small),
            replace(forward, args=(small, *limits), result=ans),
        ],
    }
    if mask is None or backward is None or back is None:
        one_way = mask is None and back is None and reading.untouched([x], forward, pool)
        return changes if one_way else {}
    g = back.args[0]
    if rectifier.upstream is not back.result or not reading.only(back.result, [backward]):
        return {}
    if not reading.untouched([x], forward, backward):
        return {}
    if not reading.untouched([g, ans], back, backward):
        return {}
    positive, given = reading.fresh(ans, bool), reading.fresh(ans)
    return changes | {
        mask: [],
        back: [],
        backward: [
            replace(mask, args=(ans, 0), result=positive),
            replace(backward, args=(g, positive), result=given),
            replace(back, args=(given, small, x), result=backward.result),
        ],
    }


# ---- convolutions with maxima -----------------------------------------------------------------


def conv_pool(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    pool: Pair,
    rectified: bool,
    winners: bool,
    **options: Any,
) -> Any:
    """Return the maxima of a convolution's windows, and which element of each window won.

    The rows of the matrix products are in the order of the windows, first those of all their first
    elements, so that the maxima are those of whole arrays; the bias is added to the maxima alone.
    ``won[i]`` says of each window whether its i-th element, row by row, is the first of the
    greatest.
    """
    plan = convolution._of_forward(x, weight, options)
    dtype, rows = np.result_type(x, weight), convolution._rows(x)
    kernels = weight.transpose(2, 3, 1, 0).reshape(-1, plan.outputs).astype(dtype, copy=False)
    lines, columns = plan.out[0] // pool[0], plan.out[1] // pool[1]
    ans = np.empty((lines, plan.images, columns, plan.outputs), dtype)
    won = np.empty((prod(pool) if winners else 0, *ans.shape), bool)
    shift = None if bias is None else np.tile(bias, columns).reshape(columns, -1)

    def work(piece: slice) -> None:
        part = ans[:, piece]
        products = np.matmul(_by_window(rows[:, piece], plan, pool, dtype), kernels)
        candidates = products.reshape(prod(pool), *part.shape)
        np.maximum.reduce(candidates, axis=0, out=part)
        if winners:
            _find_winners(candidates, part, won[:, :, piece])
        if shift is not None:
            part += shift
        if rectified:
            np.clip(part, 0, np.inf, out=part)

    convolution._spread(work, plan, plan.pieces())
    return convolution._images(ans), won


def _by_window(rows: Any, plan: Any, pool: Pair, dtype: Any) -> Any:
    """Return what each sum of a piece sees: (*place in its window, line, n * columns, kernel)."""
    windows = convolution._windows(convolution._lower(rows, plan, dtype), plan)
    high, wide = pool
    lines, columns = plan.out[0] // high, rows.shape[1] * plan.out[1] // wide
    split = windows.reshape(lines, high, columns, wide, windows.shape[-1])
    return split.transpose(1, 3, 0, 2, 4)


def _find_winners(candidates: Any, best: Any, won: Any) -> None:
    """Mark the first of equals in each window; the last of all if none is equal, among NaNs."""
    free = np.ones(best.shape, bool)
    for i, candidate in enumerate(candidates[:-1]):
        mark = np.equal(candidate, best, out=won[i])
        mark &= free
        free ^= mark
    won[-1] = free


def conv_pool_backward(
    g: Any,
    ans: Any,
    won: Any,
    x: Any,
    weight: Any,
    *,
    pool: Pair,
    rectified: bool,
    wanted: Any,
    **options: Any,
) -> Any:
    """Return the gradients of images, weight and bias of `conv_pool`."""
    plan = convolution._of_forward(x, weight, options)
    dtype = np.result_type(g, x, weight)
    upstream, maxima = convolution._rows(g), convolution._rows(ans)
    back, correlate = convolution._ways_back(plan)
    by_window = not wanted[0] and correlate is convolution._correlate_rows

    def given(piece: slice) -> Any:
        """Return the gradient of what a convolution of this piece would have made."""
        part = upstream[:, piece]
        if rectified:
            part = part * (maxima[:, piece] > 0)
        spread = (part * won[:, :, piece]).reshape(*pool, *part.shape)
        if by_window:
            return spread
        shape = (plan.out[0], part.shape[1], plan.out[1], plan.outputs)
        return spread.transpose(2, 0, 3, 4, 1, 5).reshape(shape)

    def correlate_by_window(rows: Any, spread: Any, *_: Any) -> Any:
        """Return the gradient of the kernels, in whatever order the sums come."""
        windows = _by_window(rows, plan, pool, dtype)
        table = spread.reshape(*windows.shape[:-1], plan.outputs)
        return np.add.reduce(np.matmul(windows.swapaxes(-1, -2), table), axis=(0, 1, 2))

    ways = (back, correlate_by_window if by_window else correlate)
    return convolution._send_back(given, convolution._rows(x), weight, plan, wanted, dtype, ways)


def with_pooled_convolutions(program: Program) -> Program:
    """Take a convolution, the maxima of its windows and their rectifier as one call.

    The same backward. The bits may be others: the rows of the products come in another order.
    """
    reading = _Reading(program)
    changes: Changes = {}
    for step in program.steps:
        if step.function is _CONV:
            changes |= _pooled(reading, step)
    return _changed(program, changes)


def _pooled(reading: _Reading, conv: Step) -> Changes:
    """Return what comes in the place of some calls if a convolution's maxima go with it."""
    large = conv.result
    pool, back = reading.reader(large, 0, _POOL), reading.reader(large, 2, _POOL_BACK)
    if pool is None or not _tiles(conv, pool) or not reading.only(large, [pool, back]):
        return {}
    inside, outside = [conv, pool], [] if back is None else [back]
    g: Any = back.args[0] if back is not None else None
    rectifier = _rectifier(reading, reading.reader(pool.result, 0, *_LIMITS))
    if rectifier is not None and _stands_between(reading, rectifier, pool, back):
        inside.append(rectifier.forward)
        if rectifier.mask is not None and rectifier.backward is not None:
            outside, g = [rectifier.mask, rectifier.backward, *outside], rectifier.upstream
    ans = inside[-1].result
    kernel = pool.keywords["kernel"]
    won = reading.fresh(pool.result, bool, (prod(kernel),))
    options = {**conv.keywords, "pool": kernel, "rectified": len(inside) == 3}
    changes: Changes = {step: [] for step in (*inside, *outside)}
    words = {**options, "winners": back is not None}
    changes[conv] = [_instead(inside, conv_pool, conv.args, words, (ans, won))]
    if back is None:
        return changes
    last = reading.reader(back.result, 0, _CONV_BACK)
    if last is None or not reading.only(back.result, [last]):
        return {}
    if not reading.untouched([g, ans], outside[0], last):
        return {}
    words = {**options, "wanted": last.keywords["wanted"]}
    args = (g, ans, won, *last.args[1:])
    changes[last] = [_instead([last, *outside[::-1]], conv_pool_backward, args, words, last.result)]
    return changes


def _tiles(conv: Step, pool: Step) -> bool:
    """Whether each element of what a convolution makes belongs to exactly one window."""
    example, words = conv.result.example, pool.keywords
    kernel = words["kernel"]
    apart = words["stride"] == kernel and words.get("dilation", (1, 1)) == (1, 1)
    apart = apart and words.get("padding", ((0, 0), (0, 0))) == ((0, 0), (0, 0))
    whole = all(n % k == 0 for n, k in zip(example.shape[2:], kernel, strict=True))
    return apart and whole and example.dtype.kind == "f" and conv.keywords.get("groups", 1) == 1


def _stands_between(
    reading: _Reading, rectifier: _Rectifier, pool: Step, back: Step | None
) -> bool:
    """Whether a rectifier stands between maxima and everybody else, forward and backward."""
    if not reading.only(pool.result, [rectifier.forward, back]):
        return False
    if rectifier.backward is None or back is None:
        return rectifier.backward is back is None
    given = rectifier.backward.result
    return back.args[0] is given and reading.only(given, [back])


def _instead(steps: list[Step], function: Any, args: Any, words: Any, result: Any) -> Step:
    """Return a call that does what these calls do."""
    note: Note = steps[0].note
    others = dict.fromkeys(module for step in steps[1:] for module in step.note.modules)
    note = replace(note, also=tuple(m for m in others if m not in note.modules))
    name = function.__name__
    return Step(function, "call", name, tuple(args), words, result, note=note)


__all__ = ["with_late_rectifiers", "with_pooled_convolutions"]
