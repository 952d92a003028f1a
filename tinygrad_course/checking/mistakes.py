"""Mistakes that people make in derivatives, acted out on the recorded graph.

A gradient that is wrong is compared with the gradients that known mistakes would give: a path left
out, a piece overwritten instead of added, a derivative forgotten or taken at the wrong value, a
matrix not transposed, a coupling between elements ignored. If one of them gives exactly the wrong
gradient, the mistake is proved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_course.checking.tape import Step, fitted
from tinygrad_course.graph import Node
from tinygrad_course.primitive import TupleGradient


class Mistake(NamedTuple):
    """A mistake in words, and how it changes the pieces of one node, or of several."""

    text: str
    change: Callable[[Node, Any, list[Any]], list[Any]]


_STATISTICS = {"mean", "var", "std"}
_COUPLED = {"softmax", "log_softmax"}
_ACTIVATIONS = {
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "softplus",
    "exp",
    "log",
    "square",
    "sqrt",
    "sin",
    "cos",
    "abs",
    "power",
    "maximum",
    "minimum",
}


def mistakes(steps: list[Step]) -> Iterator[Mistake]:
    """Yield the mistakes that could be made in a graph, the likeliest first."""
    statistics = [s for s in steps if s.name in _STATISTICS]
    if statistics:
        nodes = {id(s.node) for s in statistics}
        yield Mistake(
            "the statistics (mean, variance) are treated as constants, but they depend on the "
            "input",
            lambda node, _g, pieces: [None] * len(pieces) if id(node) in nodes else pieces,
        )
    for step in steps:
        yield from _at_step(step)
    yield from _repeated_uses(steps)


def _only(step: Step, change: Callable[[Any, list[Any]], list[Any]]) -> Any:
    """Return a change that applies to one node."""
    return lambda node, g, pieces: change(g, pieces) if node is step.node else pieces


def _at_step(step: Step) -> Iterator[Mistake]:
    where = f"{step.name} at {step.line}"
    if step.name in _COUPLED:
        yield Mistake(
            f"the coupling between the elements of {where} is left out: only the diagonal of its "
            f"Jacobian is used",
            _only(step, lambda g, _pieces: [_diagonal(step, g)]),
        )
    if step.name == "batch_norm":
        yield Mistake(
            f"the batch statistics of {where} are treated as constants",
            _only(step, lambda g, pieces: [_scaled_only(step, g), *pieces[1:]]),
        )
    if step.name == "getitem":
        yield Mistake(
            f"an element that {where} reads several times gets one of its gradients assigned "
            f"instead of all of them added",
            _only(step, lambda g, _pieces: [_assigned(step, g)]),
        )
    if step.name in _ACTIVATIONS:
        yield from _wrong_derivative(step, where)
    if step.name in ("matmul", "linear"):
        yield from _not_transposed(step, where)
    if step.name == "mean":
        yield Mistake(
            f"the 1/n of the mean in {where} is missing",
            _only(step, lambda _g, pieces: [p * _ratio(step) for p in pieces]),
        )
    if step.name == "sum":
        yield Mistake(
            f"the sum in {where} is differentiated as a mean",
            _only(step, lambda _g, pieces: [p / _ratio(step) for p in pieces]),
        )
    if len(step.node.parents) > 1 or step.name in ("sum", "mean", "getitem", "exp"):
        for i, parent in enumerate(step.node.parents):
            if parent is not None:
                yield Mistake(
                    f"the path into input {i} of {where} is cut, or overwritten by another one "
                    f"instead of added to it",
                    _only(step, lambda _g, pieces, i=i: _without(pieces, i)),
                )


def _without(pieces: list[Any], position: int) -> list[Any]:
    return [None if k == position else piece for k, piece in enumerate(pieces)]


def _ratio(step: Step) -> float:
    size = np.size(step.inputs[0])
    return size / max(np.size(step.result), 1)


def _diagonal(step: Step, g: Any) -> Any:
    a = step.result
    if step.name == "softmax":
        return g * a * (1 - a)
    return g * (1 - np.exp(a))


def _scaled_only(step: Step, g: Any) -> Any:
    """Return batch_norm's gradient with mean and variance held fixed: dz = g weight / std."""
    _, scale = step.node.saved[-1]  # type: ignore[index]  # the tape keeps the graph's values
    upstream = g.pieces[0] if isinstance(g, TupleGradient) else g
    factor = scale if step.inputs[1] is None else scale * step.inputs[1]
    return (
        None if upstream is None else upstream * factor.reshape(1, -1, *[1] * (upstream.ndim - 2))
    )


def _assigned(step: Step, g: Any) -> Any:
    ans = np.zeros(np.shape(step.inputs[0]))
    ans[step.params["key"]] = g
    return ans


def _wrong_derivative(step: Step, where: str) -> Iterator[Mistake]:
    count = len(step.node.parents)
    rules = step.node.primitive.vjps
    for i, parent in enumerate(step.node.parents):
        if parent is None or np.shape(step.result) != np.shape(step.inputs[i]):
            continue
        yield Mistake(
            f"the derivative of {where} is missing: the upstream gradient is passed on as it is",
            _only(step, lambda g, pieces, i=i: [g if k == i else p for k, p in enumerate(pieces)]),
        )
        if count > 1 or not rules or rules[i] is None:
            continue
        rule, x, ans = rules[i], step.inputs[i], step.result
        params = step.params
        yield Mistake(
            f"the derivative of {where} is taken at its output instead of its input",
            _only(step, lambda g, _p: [_tried(rule, g, step.node.primitive, ans, params)]),
        )
        yield Mistake(
            f"the derivative of {where} is written for its output but taken at its input",
            _only(step, lambda g, _p: [_tried_swapped(rule, g, x, params)]),
        )


def _tried(rule: Any, g: Any, row: Any, at: Any, params: dict[str, Any]) -> Any:
    """Return g times the derivative at another point."""
    with np.errstate(all="ignore"):
        return rule(g, row.forward(at, **params), at, **params)


def _tried_swapped(rule: Any, g: Any, x: Any, params: dict[str, Any]) -> Any:
    """Return the rule with the input where it expects the output."""
    with np.errstate(all="ignore"):
        return rule(g, x, x, **params)


def _not_transposed(step: Step, where: str) -> Iterator[Mistake]:
    """Yield products with the other factor as it is: possible, and unnoticed, if it is square."""
    x, y = step.inputs[:2]
    if np.ndim(x) != 2 or np.ndim(y) != 2:
        return
    if y.shape[0] == y.shape[1] and step.node.parents[0] is not None:
        # linear multiplies by the transposed weight, so that its gradient does not.
        wrong = y.T if step.name == "linear" else y
        yield Mistake(
            f"the second factor of {where} is transposed wrongly in the gradient of the first",
            _only(step, lambda g, pieces: [g @ wrong, *pieces[1:]]),
        )
    if step.node.parents[1] is not None:
        for text, give in (
            (
                f"the gradient of the second factor of {where} is transposed",
                lambda pieces: fitted(pieces[1], step.node.parents[1]).T,
            ),
        ):
            if y.shape[0] == y.shape[1]:
                yield Mistake(
                    text,
                    _only(
                        step, lambda _g, pieces, give=give: [pieces[0], give(pieces), *pieces[2:]]
                    ),
                )


def _repeated_uses(steps: list[Step]) -> Iterator[Mistake]:
    """Yield, for a value that several operations use, that only the last or first use counts."""
    uses: dict[int, list[tuple[Step, int]]] = {}
    for step in steps:
        for i, parent in enumerate(step.node.parents):
            if parent is not None:
                uses.setdefault(id(parent), []).append((step, i))
    for places in uses.values():
        if len(places) < 2:
            continue
        for kept, word in ((places[-1], "last"), (places[0], "first")):
            dropped = {(id(s.node), i) for s, i in places if (s.node, i) != (kept[0].node, kept[1])}

            def change(node: Node, _g: Any, pieces: list[Any], dropped: Any = dropped) -> list[Any]:
                return [None if (id(node), i) in dropped else p for i, p in enumerate(pieces)]

            yield Mistake(
                f"a value that is used {len(places)} times gets the gradient of its {word} use "
                f"({kept[0].name} at {kept[0].line}) alone: the pieces must be added, not "
                f"overwritten",
                change,
            )


__all__ = ["Mistake", "mistakes"]
