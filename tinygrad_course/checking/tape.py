"""A graph as it was recorded, with everything that looking at single operations needs.

The recorder keeps what the derivative reads; a `Tape` also keeps every input, the user's line and
the order, so that one operation can be evaluated again, and a backward pass can be run in which one
operation behaves differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from tinygrad_course.buffers import user_line
from tinygrad_course.graph import SCOPE, Node, Observer, Scope, Value, ancestors, cast, unbroadcast
from tinygrad_course.primitive import ENGINE_KEYWORDS, TupleGradient


class Step(NamedTuple):
    """One recorded operation."""

    node: Node
    inputs: tuple[Any, ...]
    result: Any
    line: str

    @property
    def name(self) -> str:
        """The operation's name."""
        name: str = self.node.primitive.name
        return name

    @property
    def params(self) -> dict[str, Any]:
        """The operation's own parameters."""
        given = self.node.params or {}
        return {k: v for k, v in given.items() if k not in ENGINE_KEYWORDS}

    @property
    def modules(self) -> str:
        """The modules that were running, outermost first."""
        return " > ".join(type(m).__name__ for m in self.node.scope.modules())


class Tape(Observer):
    """An observer that keeps every operation in the order of the forward pass."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def recorded(self, node: Node, inputs: tuple[Any, ...], result: Any) -> None:
        """Keep an operation that was just recorded."""
        self.steps.append(Step(node, inputs, result, user_line()))

    def line(self, node: Node) -> str:
        """Return the line of the user's code that recorded a node."""
        return next((step.line for step in self.steps if step.node is node), "")


@contextmanager
def taped() -> Iterator[Tape]:
    """Record, and keep what was recorded."""
    tape = Tape()
    token = SCOPE.set(Scope(recording=True, parent=SCOPE.get(), observer=tape))
    try:
        yield tape
    finally:
        SCOPE.reset(token)


class Redirect(NamedTuple):
    """Pieces for a node's inputs, and one more for a value further back."""

    pieces: list[Any]
    target: Any
    piece: Any


Change = Callable[[Node, Any, list[Any]], "list[Any] | Redirect"]
"""``change(node, upstream, pieces)`` returns the pieces that go to a node's inputs instead."""


def backward_with(
    outputs: Sequence[Value],
    weights: Sequence[Any],
    leaves: dict[str, Value],
    change: Change | None = None,
) -> dict[str, Any]:
    """Return the gradients for named leaves by a pass in which `change` may alter the pieces.

    The graph keeps its values, so that many such passes can follow one another.
    """
    walk = _Walk(leaves)
    for out, weight in zip(outputs, weights, strict=True):
        if out._needs:
            walk.add(out._node or out, weight)
    for node in ancestors(out._node for out in outputs if out._node is not None):
        g = walk.arrived.pop(id(node), None)
        if g is None:
            continue
        pieces: Any = list(node.primitive.pull(g, node, node.parents))
        if change is not None:
            pieces = change(node, g, pieces)
        if isinstance(pieces, Redirect):
            walk.give(pieces.target, pieces.piece)
            pieces = pieces.pieces
        for parent, piece in zip(node.parents, pieces, strict=True):
            walk.give(parent, piece)
    return walk.totals


class _Walk:
    """What has arrived where."""

    def __init__(self, leaves: dict[str, Value]) -> None:
        self.names = {id(leaf): name for name, leaf in leaves.items()}
        self.totals: dict[str, Any] = dict.fromkeys(leaves)
        self.arrived: dict[int, Any] = {}

    def give(self, parent: Any, piece: Any) -> None:
        """Bring a piece into its input's form and add it there."""
        if parent is not None and piece is not None:
            self.add(parent, piece if isinstance(piece, TupleGradient) else fitted(piece, parent))

    def add(self, target: Any, piece: Any) -> None:
        """Add a piece to what has arrived at a node or a leaf."""
        if isinstance(target, Node):
            have = self.arrived.get(id(target))
            self.arrived[id(target)] = piece if have is None else have + piece
        elif id(target) in self.names:
            name = self.names[id(target)]
            have = self.totals[name]
            self.totals[name] = piece if have is None else have + piece


def fitted(piece: Any, parent: Any) -> Any:
    """Return a piece in the shape and dtype of the input that it belongs to."""
    shape, dtype = (
        (parent.shape, parent.dtype)
        if isinstance(parent, Node)
        else (parent._data.shape, parent._data.dtype)
    )
    if shape is None:  # a node with several results
        return piece
    if np.shape(piece) != shape:
        piece = unbroadcast(np.asarray(piece), shape)
    return piece if piece.dtype == dtype else cast(piece, dtype)


__all__ = ["Change", "Redirect", "Step", "Tape", "backward_with", "fitted", "taped"]
