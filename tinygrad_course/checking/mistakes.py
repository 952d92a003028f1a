"""Mistakes that people make in derivatives, acted out on the recorded graph.

A gradient that is wrong is compared with the gradients that known mistakes would give: a path left
out, a piece overwritten instead of added, a derivative forgotten or taken at the wrong value, a
matrix not transposed, a coupling between elements ignored. If one of them gives exactly the wrong
gradient, the mistake is proved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tinygrad_course.checking.passage_faults import passage_faults
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
    for passage in _possible(passages(steps)):
        yield from _possible(_in_passage(passage))
    yield from _possible(_constant_statistics(steps))
    for step in steps:
        for kind in (_at_norm, _at_copy, _at_product, _at_reduction, _at_broadcast, _cut):
            yield from _possible(kind(step, f"{step.name} at {step.line}"))
    yield from _possible(_repeated_uses(steps))
    yield from _possible(_repeated_reads(steps))


Item = TypeVar("Item")


def _possible(found: Iterator[Item]) -> Iterator[Item]:
    """Yield what there is until something cannot be acted out: then nobody made that mistake."""
    with suppress(Exception):
        yield from found


def _only(step: Step, change: Callable[[Any, Pieces], Any]) -> Change:
    """Return a change that applies to one node."""
    return lambda node, g, pieces: change(g, pieces) if node is step.node else pieces


# ---- passages: from one value to another of the same shape ---------------------------------------


def _in_passage(passage: Passage) -> Iterator[Mistake]:
    """Yield what goes wrong between a value and what is computed from it alone."""
    for text, piece in passage_faults(passage):
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


def _places_read(step: Step) -> np.ndarray:
    """Return which element of its input each element of a copy was read from, -1 for none."""
    x = np.asarray(step.inputs[0])
    numbers = np.arange(1, x.size + 1, dtype=float).reshape(x.shape)
    others = [np.zeros(np.shape(v)) if i else numbers for i, v in enumerate(step.inputs)]
    if step.name == "take_along_axis":
        others = [numbers, *step.inputs[1:]]
    origin = np.asarray(step.node.primitive.forward(*others, **step.params))
    return origin.reshape(-1).astype(int) - 1


def _at_copy(step: Step, where: str) -> Iterator[Mistake]:
    """Yield, for what copies elements about, that copies of one element are not added."""
    if step.name not in _COPIES or step.node.parents[0] is None:
        return
    x = np.asarray(step.inputs[0])
    places = _places_read(step)
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


def _repeated_reads(steps: list[Step]) -> Iterator[Mistake]:
    """Yield, for a value that is indexed several times, that the later pieces are assigned."""
    reads: dict[int, list[Step]] = {}
    for step in steps:
        if step.name in ("getitem", "take") and step.node.parents[0] is not None:
            reads.setdefault(id(step.node.parents[0]), []).append(step)
    for uses in reads.values():
        shape, later, kept = np.shape(uses[0].inputs[0]), np.zeros(0, int), {}
        for step in reversed(uses):
            places = _places_read(step)
            mask = np.zeros(int(np.prod(shape)), bool)
            mask[np.setdiff1d(places, later)] = True
            kept[id(step.node)] = mask.reshape(shape)
            later = np.union1d(later, places)
        if len(uses) > 1:
            yield Mistake(
                f"elements that are read several times, first by {uses[0].name} at "
                f"{uses[0].line}, (a duplicate index) get the last of their gradients assigned "
                f"instead of all of them added",
                partial(_only_marked, kept),
            )


def _only_marked(kept: dict[int, Any], node: Node, _g: Any, pieces: Pieces) -> Any:
    mask = kept.get(id(node))
    return pieces if mask is None else [pieces[0] * mask, *pieces[1:]]


def _all_but(dropped: frozenset[tuple[int, int]], node: Node, _g: Any, pieces: Pieces) -> Pieces:
    return [None if (id(node), i) in dropped else p for i, p in enumerate(pieces)]


__all__ = ["Mistake", "mistakes"]
