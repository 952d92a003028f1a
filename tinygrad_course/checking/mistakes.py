"""Mistakes that people make in derivatives, acted out on the recorded graph.

A gradient that is wrong is compared with the gradients that known mistakes would give: a path left
out, a piece overwritten instead of added, a derivative forgotten or taken at the wrong value, a
matrix not transposed, a coupling between elements ignored. If one of them gives exactly the wrong
gradient, the mistake is proved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinygrad_course.checking.passages import Passage, passages
from tinygrad_course.checking.tape import Change, Redirect, Step, fitted
from tinygrad_course.graph import Node
from tinygrad_course.primitive import TupleGradient


class Mistake(NamedTuple):
    """A mistake in words, and how it changes the pieces of one node, or of several."""

    text: str
    change: Change


_REDUCTIONS = {"mean", "sum", "var", "std"}
_COPIES = {
    "getitem",
    "take",
    "take_along_axis",
    "repeat",
    "tile",
    "pad",
    "flip",
    "roll",
    "concatenate",
}

Pieces = list[Any]


def mistakes(steps: list[Step]) -> Iterator[Mistake]:
    """Yield the mistakes that could be made in a graph, the likeliest first."""
    for passage in passages(steps):
        yield from _in_passage(passage)
    yield from _constant_statistics(steps)
    for step in steps:
        for kind in (_at_norm, _at_copy, _at_product, _at_reduction, _at_broadcast, _cut):
            yield from kind(step, f"{step.name} at {step.line}")
    yield from _repeated_uses(steps)


def _only(step: Step, change: Callable[[Any, Pieces], Any]) -> Change:
    """Return a change that applies to one node."""
    return lambda node, g, pieces: change(g, pieces) if node is step.node else pieces


# ---- passages: from one value to another of the same shape ---------------------------------------


def _in_passage(passage: Passage) -> Iterator[Mistake]:
    """Yield what goes wrong between a value and what is computed from it alone."""
    for text, piece in (
        *_elementwise_faults(passage),
        *_softmax_faults(passage),
        *_normalization_faults(passage),
    ):
        yield Mistake(text, _redirected(passage, piece))


def _redirected(passage: Passage, piece: Callable[[Any], Any]) -> Change:
    """Return a change that sends another gradient through a passage."""

    def change(node: Node, g: Any, pieces: Pieces) -> Any:
        if node is not passage.end.node:
            return pieces
        upstream = g.pieces[0] if isinstance(g, TupleGradient) else g
        if upstream is None:
            return pieces
        kept: Pieces = [None] * len(pieces)
        if len(passage.steps) == 1:  # other inputs, such as a scale, keep theirs
            kept = [
                None if parent is passage.start else p
                for parent, p in zip(node.parents, pieces, strict=True)
            ]
        return Redirect(kept, passage.start, piece(upstream))

    return change


Fault = tuple[str, Callable[[Any], Any]]


def _elementwise_faults(passage: Passage) -> Iterator[Fault]:
    if not passage.elementwise:
        return
    where = passage.text
    yield (
        f"the derivative of {where} is missing: the upstream gradient is passed on as it is",
        lambda g: g,
    )
    at_output = passage.slope(passage.output)
    if at_output is not None:
        yield (
            f"the derivative of {where} is taken at its output instead of its input",
            lambda g: g * at_output,
        )
    swapped = _slope_by_output(passage)
    if swapped is not None:
        yield (
            f"the derivative of {where} is written for its output but taken at its input",
            lambda g: g * swapped,
        )


def _slope_by_output(passage: Passage) -> Any:
    """Return the derivative's formula in terms of the output, evaluated at the input."""
    x, y = passage.input, passage.output
    with np.errstate(all="ignore"):
        for value, slope in (
            (1 / (1 + np.exp(-x)), x * (1 - x)),
            (np.tanh(x), 1 - x * x),
            (np.exp(x), x),
            (np.sqrt(x), 0.5 / x),
        ):
            if _close(y, value):
                return slope
    return None


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-12))


def _softmax_faults(passage: Passage) -> Iterator[Fault]:
    x, y = passage.input, passage.output
    if passage.elementwise or x.ndim == 0:
        return
    text = (
        f"the coupling between the elements of the softmax ({passage.text}) is left out: only the "
        f"diagonal of its Jacobian is used"
    )
    for axis in range(x.ndim):
        if x.shape[axis] < 2:
            continue
        e = np.exp(x - np.max(x, axis=axis, keepdims=True))
        soft = e / np.sum(e, axis=axis, keepdims=True)
        if _close(y, soft):
            yield text, lambda g: g * y * (1 - y)
            yield (
                f"the normalising sum of the softmax ({passage.text}) is treated as a constant",
                lambda g: g * y,
            )
        elif _close(y, np.log(soft)):
            yield text, partial(np.multiply, 1 - soft)
            yield (
                f"the normalising sum of the log-softmax ({passage.text}) is treated as a constant",
                lambda g: g,
            )


def _variance_fixed(scale: Any, mean: Any, g: Any) -> Any:
    """Return a normalization's gradient in which only the mean depends on the input."""
    return scale * (g - mean(g))


def _mean_fixed(scale: Any, mean: Any, true: Any, g: Any) -> Any:
    """Return a normalization's gradient in which only the variance depends on the input."""
    return true(g) + scale * mean(g)


def _normalization_faults(passage: Passage) -> Iterator[Fault]:
    """Yield what is left out where a value is centred and divided by its spread."""
    x, y = passage.input, passage.output
    if passage.elementwise or x.ndim == 0:
        return
    batch = tuple(k for k in range(x.ndim) if k != 1)  # batch norm of images
    for axes in {(k,) for k in range(x.ndim)} | {batch, tuple(range(x.ndim))}:
        spread, centred = np.std(x, axis=axes, keepdims=True), x - np.mean(x, axes, keepdims=True)
        if not np.all(spread > 0):
            continue
        # The scale may hold an ε and a weight, so it is read off the values; a shift is allowed.
        middle = y - np.mean(y, axes, keepdims=True)
        scale = np.sum(middle * centred, axes, keepdims=True) / np.sum(
            centred * centred, axes, keepdims=True
        )
        if not _close(middle, scale * centred):
            continue
        true = passage.slope_matrix_free()
        if true is None:
            continue
        where = passage.text
        constants = (
            f"the statistics (mean and variance) of the normalization ({where}) are treated as "
            f"constants: the coupling through the batch is left out"
        )
        yield constants, partial(np.multiply, scale)
        mean = partial(np.mean, axis=axes, keepdims=True)
        yield (
            f"the variance of the normalization ({where}) is treated as a constant",
            partial(_variance_fixed, scale, mean),
        )
        yield (
            f"the mean of the normalization ({where}) is treated as a constant",
            partial(_mean_fixed, scale, mean, true),
        )
        return


# ---- statistics treated as constants ---------------------------------------------------------


def _constant_statistics(steps: list[Step]) -> Iterator[Mistake]:
    """Yield that reductions, which are used again together with their input, are constants."""
    used_later = [s for s in steps if s.name in _REDUCTIONS and s is not steps[-1]]
    if not used_later:
        return

    def cut(nodes: set[int]) -> Change:
        return lambda node, _g, pieces: [None] * len(pieces) if id(node) in nodes else pieces

    if len(used_later) > 1:
        yield Mistake(
            "the statistics (mean, variance, sums) are treated as constants, but they depend on "
            "the input",
            cut({id(s.node) for s in used_later}),
        )
    for step in used_later:
        yield Mistake(
            f"the {step.name} at {step.line} is treated as a constant, but it depends on the input",
            cut({id(step.node)}),
        )


# ---- single operations -------------------------------------------------------------------------


def _at_norm(step: Step, where: str) -> Iterator[Mistake]:
    if step.name != "batch_norm":
        return

    def scaled_only(g: Any, pieces: Pieces) -> Pieces:
        _, scale = step.node.saved[-1]  # type: ignore[index]  # the tape keeps the graph's values
        upstream = g.pieces[0] if isinstance(g, TupleGradient) else g
        if upstream is None:
            return pieces
        factor = scale if step.inputs[1] is None else scale * step.inputs[1]
        return [upstream * factor.reshape(1, -1, *[1] * (upstream.ndim - 2)), *pieces[1:]]

    yield Mistake(
        f"the batch statistics of {where} are treated as constants",
        _only(step, scaled_only),
    )


def _at_copy(step: Step, where: str) -> Iterator[Mistake]:
    """Yield, for what copies elements about, that copies of one element are not added."""
    if step.name not in _COPIES or step.node.parents[0] is None:
        return
    x = np.asarray(step.inputs[0])
    numbers = np.arange(1, x.size + 1, dtype=float).reshape(x.shape)
    others = [np.zeros(np.shape(v)) if i else numbers for i, v in enumerate(step.inputs)]
    if step.name == "take_along_axis":
        others = [numbers, *step.inputs[1:]]
    try:
        origin = np.asarray(step.node.primitive.forward(*others, **step.params))
    except Exception:  # noqa: BLE001 - not of this form: then nothing is acted out
        return
    places = origin.reshape(-1).astype(int) - 1
    real = places >= 0

    def assigned(g: Any, pieces: Pieces, *, first: bool) -> Pieces:
        found = np.zeros(x.size)
        order = slice(None, None, -1) if first else slice(None)
        found[places[real][order]] = np.asarray(g).reshape(-1)[real][order]
        return [found.reshape(x.shape), *pieces[1:]]

    for first, word in ((False, "last"), (True, "first")):
        yield Mistake(
            f"an element that {where} reads several times (a duplicate index) gets the {word} of "
            f"its gradients assigned instead of all of them added",
            _only(step, partial(assigned, first=first)),
        )


def _at_product(step: Step, where: str) -> Iterator[Mistake]:
    """Yield products with the other factor as it is: possible, and unnoticed, if it is square."""
    if step.name not in ("matmul", "dot", "linear"):
        return
    x, y = step.inputs[:2]
    if np.ndim(x) != 2 or np.ndim(y) != 2:
        return
    left, right = step.node.parents[:2]
    if y.shape[0] == y.shape[1] and left is not None:
        # linear multiplies by the transposed weight, so that its gradient does not.
        other = y.T if step.name == "linear" else y
        yield Mistake(
            f"the second factor of {where} is transposed wrongly in the gradient of the first",
            _only(step, lambda g, pieces: [g @ other, *pieces[1:]]),
        )
    if x.shape[0] == x.shape[1] and right is not None and step.name != "linear":
        yield Mistake(
            f"the first factor of {where} is not transposed in the gradient of the second",
            _only(step, lambda g, pieces: [pieces[0], x @ g]),
        )
    for i, parent in enumerate((left, right)):
        if parent is not None and len(set(np.shape(step.inputs[i]))) == 1:
            word = ("first", "second")[i]
            yield Mistake(
                f"the gradient of the {word} factor of {where} is transposed",
                _only(step, partial(_turned, parent, i)),
            )


def _turned(parent: Any, i: int, _g: Any, pieces: Pieces) -> Pieces:
    return [fitted(p, parent).T if k == i else p for k, p in enumerate(pieces)]


def _at_reduction(step: Step, where: str) -> Iterator[Mistake]:
    if step.name not in ("mean", "sum"):
        return
    ratio = np.size(step.inputs[0]) / max(np.size(step.result), 1)
    if step.name == "mean":
        yield Mistake(
            f"the 1/{ratio:g} of the mean in {where} (its N, the batch size m) is missing",
            _only(step, lambda _g, pieces: [p * ratio for p in pieces]),
        )
        return
    yield Mistake(
        f"the sum in {where} is differentiated as a mean: a 1/{ratio:g} too many",
        _only(step, lambda _g, pieces: [p / ratio for p in pieces]),
    )


def _at_broadcast(step: Step, where: str) -> Iterator[Mistake]:
    """Yield, for an input that was broadcast, that the copies' gradients are not summed."""
    for i, parent in enumerate(step.node.parents):
        shape = np.shape(step.inputs[i]) if parent is not None else None
        if shape is None or shape == np.shape(step.result) or not _broadcast(step):
            continue
        for index, word in ((0, "first"), (-1, "last")):
            yield Mistake(
                f"input {i} of {where} was broadcast, and gets the gradient of the {word} of its "
                f"copies instead of their sum",
                _only(step, partial(_one_copy, i, shape, np.shape(step.result), index)),
            )
        yield Mistake(
            f"input {i} of {where} was broadcast, and gets the mean over its copies instead of "
            f"their sum",
            _only(step, partial(_averaged, i, parent, np.size(step.result))),
        )


def _broadcast(step: Step) -> bool:
    shapes = [np.shape(x) for x in step.inputs if x is not None]
    try:
        return bool(np.broadcast_shapes(*shapes) == np.shape(step.result))
    except ValueError:
        return False


def _one_copy(
    i: int, shape: tuple[int, ...], whole: tuple[int, ...], index: int, _g: Any, pieces: Pieces
) -> Pieces:
    full = np.broadcast_to(pieces[i], whole)
    aligned = (1,) * (len(whole) - len(shape)) + shape
    for axis, n in enumerate(aligned):
        if n == 1:
            full = full.take([index], axis=axis)
    return [full.reshape(shape) if k == i else p for k, p in enumerate(pieces)]


def _averaged(i: int, parent: Any, size: int, _g: Any, pieces: Pieces) -> Pieces:
    summed = fitted(pieces[i], parent)
    return [summed * (np.size(summed) / size) if k == i else p for k, p in enumerate(pieces)]


def _cut(step: Step, where: str) -> Iterator[Mistake]:
    for i, parent in enumerate(step.node.parents):
        if parent is not None:
            yield Mistake(
                f"the path into input {i} of {where} is cut, or overwritten by another one "
                f"instead of added to it",
                _only(step, partial(_without, i)),
            )


def _without(i: int, _g: Any, pieces: Pieces) -> Pieces:
    return [None if k == i else piece for k, piece in enumerate(pieces)]


# ---- values used several times ---------------------------------------------------------------


def _repeated_uses(steps: list[Step]) -> Iterator[Mistake]:
    """Yield, for a value that several operations use, that only one use counts."""
    uses: dict[int, list[tuple[Step, int]]] = {}
    for step in steps:
        for i, parent in enumerate(step.node.parents):
            if parent is not None:
                uses.setdefault(id(parent), []).append((step, i))
    for places in uses.values():
        if len(places) < 2:
            continue
        for number, (step, i) in enumerate(places):
            word = {0: "first", len(places) - 1: "last"}.get(number, f"{number + 1}th")
            dropped = frozenset((id(s.node), k) for s, k in places) - {(id(step.node), i)}
            yield Mistake(
                f"a value that is used {len(places)} times gets the gradient of its {word} use "
                f"({step.name} at {step.line}) alone: the pieces must be added, not overwritten",
                partial(_all_but, dropped),
            )


def _all_but(dropped: frozenset[tuple[int, int]], node: Node, _g: Any, pieces: Pieces) -> Pieces:
    return [None if (id(node), i) in dropped else p for i, p in enumerate(pieces)]


__all__ = ["Mistake", "mistakes"]
