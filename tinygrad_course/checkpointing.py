"""Backward without kept values: a function runs once more instead.

`checkpoint` records a call as one node. The forward pass records what is connected with what, but
lets go of every value at once; that is how the Tensors are found which the function uses besides
its arguments, such as a module's parameters. The backward pass runs the function again, recorded in
full, walks back through it, and drops it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_course import nested
from tinygrad_course.calls import entered, opened, twin
from tinygrad_course.errors import ArgumentError, GraphError
from tinygrad_course.graph import (
    SCOPE,
    Node,
    Observer,
    Scope,
    Targets,
    Value,
    _fit,
    ancestors,
    describe,
    owned,
    tick,
    walk,
)
from tinygrad_course.primitive import Primitive, TupleGradient, _lift, _output, _select, nothing
from tinygrad_course.random import generator as default_generator
from tinygrad_course.tensor import Tensor


def checkpoint(
    f: Callable[..., Any], *, generators: Sequence[np.random.Generator] = ()
) -> Callable[..., Any]:
    """Return `f` in a form that keeps no intermediate values for backward, but runs twice.

    Only the arguments are kept. The backward pass calls `f` again, which takes the time of a second
    forward pass, and memory for the values of this call alone. Cut into k such pieces, a chain of n
    operations holds n/k + k values at a time instead of n.

    Arguments and results may be nested; gradients reach the arguments and every Tensor that `f`
    uses besides, such as the parameters of a module. It works inside `backward`, `gradients` and
    the transforms, to any order.

    Args:
        f: gives the same results when it is called again. What it does besides is done twice: a
            batch norm in training moves its running statistics twice.
        generators: random generators of the caller's that `f` draws from. They are rewound for the
            second call, like the library's own generator and those of the module that `f` is (or
            is a method of). Other sources of randomness are not.

    Returns:
        A function that takes what `f` takes and returns what `f` returns.

    Raises:
        ArgumentError: `f` is no function.
        GraphError: by the backward pass, if the second call went another way than the first.
        ModifiedValueError: by the backward pass, if an argument was overwritten meanwhile.
        FreedGraphError: `f` itself calls `backward` or `gradients` on what it computes. The
            transforms (`grad`, `vjp`, ...) are fine there; so are both under ``enable_grad()``.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([0.0, 1.0], requires_grad=True)
        >>> y = tc.checkpoint(lambda t: tc.tanh(tc.sin(tc.exp(t))))(x)
        >>> y
        Tensor([0.68658741, 0.38913586], op=checkpoint)
        >>> y.sum().backward()
        >>> x.grad.round(6)
        array([ 0.285603, -2.103061])

    Source: A. Griewank and A. Walther, "Algorithm 799: revolve", 2000; T. Chen et al., "Training
    deep nets with sublinear memory cost", 2016. The name is JAX's and PyTorch's.
    """
    if not callable(f):
        raise ArgumentError(
            f"checkpoint: the first argument is {type(f).__name__}, not a function; write "
            f"checkpoint(f)(x)"
        )

    def run(*args: Any, **kwargs: Any) -> Any:
        if not SCOPE.get().recording:
            return f(*args, **kwargs)
        return _record(_Again(f, generators), (args, kwargs))

    inner = getattr(f, "__name__", type(f).__name__)
    run.__name__ = run.__qualname__ = f"checkpoint({inner})"
    run.__doc__ = getattr(f, "__doc__", None)
    return run


class _Again:
    """What is needed to call a function once more: its arguments' nesting, its random numbers.

    Attributes:
        function: what is called.
        states: of the generators that it draws from, before the first call.
        tree: (args, kwargs) with None in the place of Tensors and arrays, which the node saves.
        places: where among the leaves these belong.
        kinds: for each, whether it requires grad, is another Tensor, or an array.
        results: the shapes of the results that were recorded.
        captured: what else they depend on.
    """

    __slots__ = (
        "captured",
        "function",
        "generators",
        "kinds",
        "places",
        "results",
        "states",
        "tree",
    )

    captured: tuple[Node | Value, ...]
    kinds: list[str]
    places: list[int]
    results: list[tuple[int, ...]]
    tree: Any

    def __init__(
        self, function: Callable[..., Any], generators: Sequence[np.random.Generator]
    ) -> None:
        self.function = function
        self.generators = generators
        self.states = [g.bit_generator.state for g in self.drawn_from()]

    def drawn_from(self) -> Iterator[np.random.Generator]:
        """Yield the generators that the function may draw from, as far as they can be known."""
        yield default_generator()
        yield from self.generators
        owner = getattr(self.function, "__self__", self.function)
        for module in owner.modules() if hasattr(owner, "modules") else ():
            own = getattr(module, "generator", None)
            if own is not None:
                yield own

    @contextmanager
    def rewound(self) -> Iterator[None]:
        """Put the generators back to where they were before the first call, for a while."""
        generators = list(self.drawn_from())
        now = [g.bit_generator.state for g in generators]
        _rewind(generators, self.states)
        try:
            yield
        finally:
            _rewind(generators, now)

    def take(self, tree: Any) -> list[Any]:
        """Remember the nesting of the arguments; return the Tensors and arrays among them."""
        leaves = nested.leaves(tree)
        self.places = [k for k, x in enumerate(leaves) if isinstance(x, Value | np.ndarray)]
        given = [leaves[k] for k in self.places]
        self.kinds = [
            ("wanted" if x._needs else "tensor") if isinstance(x, Value) else "array" for x in given
        ]
        for k in self.places:
            leaves[k] = None
        self.tree = nested.rebuilt(tree, leaves)
        return given

    def call(self, inputs: Sequence[Any], *, linked: bool) -> tuple[Any, list[Any]]:
        """Call the function; return its result and a Tensor for each input's node, or None.

        Args:
            inputs: what `take` returned, or the arrays of it.
            linked: whether the Tensors inside point to those that are given.
        """
        inside = [
            x if kind == "array" else Tensor(x) if not isinstance(x, Value) else x
            for x, kind in zip(inputs, self.kinds, strict=True)
        ]
        wanted = [kind == "wanted" for kind in self.kinds]
        inside = [entered(x, linked) if want else x for x, want in zip(inside, wanted, strict=True)]
        twins = [twin(x) if want else None for x, want in zip(inside, wanted, strict=True)]
        leaves = nested.leaves(self.tree)
        for place, x in zip(self.places, inside, strict=True):
            leaves[place] = x
        args, kwargs = nested.rebuilt(self.tree, leaves)
        with opened([t for t in twins if t is not None]):
            return self.function(*args, **kwargs), twins


def _rewind(generators: Sequence[np.random.Generator], states: Sequence[Any]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.bit_generator.state = state


# ---- the first call --------------------------------------------------------------------------


class _Forgetter(Observer):
    """An observer that lets nodes keep their connections only, and notes what lies outside."""

    def __init__(self, started: int) -> None:
        self.started = started
        self.arrays: dict[int, Any] = {}

    def recorded(self, node: Node, inputs: tuple[Any, ...], _result: Any) -> None:
        """Let go of the values of a node that was just recorded."""
        for parent, array in zip(node.parents, inputs, strict=False):
            if _lies_outside(parent, self.started):
                self.arrays[id(parent)] = array
        if self._at_once(node.scope):
            node.saved = None

    def _at_once(self, scope: Scope) -> bool:
        """Whether nobody will ask for a node's values before the function returns.

        In a scope that is no module's, such as that of a transform or of `enable_grad`, the
        function may itself differentiate. The nodes then keep their values until it returns.
        """
        while scope.parent is not None and scope.parent.observer is self:
            if scope.module is None:
                return False
            scope = scope.parent
        return True


def _lies_outside(parent: Any, started: int) -> bool:
    return parent is not None and (type(parent) is not Node or parent.time <= started)


def _record(again: _Again, tree: Any) -> Any:
    """Make the first call and record it as one node with one child per result."""
    outer = SCOPE.get()
    started = tick()
    given = again.take(tree)
    forgetter = _Forgetter(started)
    token = SCOPE.set(Scope(recording=True, parent=outer, observer=forgetter))
    try:
        result, _ = again.call(given, linked=False)
    finally:
        SCOPE.reset(token)
    leaves = nested.leaves(result)
    places = [k for k, leaf in enumerate(leaves) if _is_new(leaf, started)]
    if not places:
        return result
    order = ancestors((leaves[k]._node for k in places), started)
    again.captured = tuple(_outside(order, started).values())
    again.results = [leaves[k].shape for k in places]
    arrays = [forgetter.arrays.get(id(p), getattr(p, "_data", None)) for p in again.captured]
    node = _node(again, given, arrays)
    if isinstance(outer.observer, _Forgetter):
        outer.observer.recorded(node, tuple(node.saved or ())[1:-1], None)
    for k, out in zip(places, _results(node, [leaves[k]._data for k in places]), strict=True):
        leaves[k] = out
    return nested.rebuilt(result, leaves)


def _results(node: Node, parts: Sequence[Any]) -> list[Any]:
    """Return the Tensors that a call gives: the node's own, or one child each."""
    if len(parts) > 1:
        return [_select(tuple(parts), node, index) for index in range(len(parts))]
    (part,) = parts
    node.shape, node.dtype = part.shape, part.dtype
    return [_output(part, node)]


def _is_new(leaf: Any, started: int) -> bool:
    """Whether a leaf of a result was recorded since `started`."""
    return isinstance(leaf, Value) and leaf._node is not None and leaf._node.time > started


def _outside(order: Sequence[Node], started: int) -> dict[int, Node | Value]:
    """Return what nodes point to that was there before they were, by its id."""
    return {
        id(parent): parent
        for node in reversed(order)
        for parent in node.parents
        if parent is not None and _lies_outside(parent, started)
    }


def _node(again: _Again, given: Sequence[Any], captured: Sequence[Any]) -> Node:
    node: Node = object.__new__(Node)
    node.primitive = CHECKPOINT
    inputs = [
        (x._node or x) if kind == "wanted" else None
        for x, kind in zip(given, again.kinds, strict=True)
    ]
    node.parents = (*inputs, *again.captured)
    arrays = [x._data if isinstance(x, Value) else x for x in given]
    node.saved = (None, *arrays, *captured, again)
    node.params = node.grad = node.retained = None
    node.shape = node.dtype = None
    node.scope = SCOPE.get()
    node.time = tick()
    return node


# ---- the second call -------------------------------------------------------------------------


def _pull(g: Any, node: Node, parents: tuple[Any, ...]) -> list[Any]:
    """Call the function again and walk back through it."""
    saved: tuple[Any, ...] = node.saved  # type: ignore[assignment]  # the walk has checked it
    return _second(g, node, parents, saved[1:-1], create_graph=False)


def _pull_recorded(g: Any, node: Node, parents: tuple[Any, ...]) -> list[Any]:
    """Do the same on Tensors, so that the walk back is itself recorded."""
    return _second(g, node, parents, _lift(node)[1:], create_graph=True)


def _second(
    g: Any, node: Node, parents: tuple[Any, ...], inputs: Sequence[Any], *, create_graph: bool
) -> list[Any]:
    again: _Again = node.saved[-1]  # type: ignore[index]  # the walk has checked it
    count = len(again.kinds)
    started = tick()
    # No observer: the operations were recorded once, and nobody should hear of them twice.
    token = SCOPE.set(Scope(recording=True, parent=node.scope))
    try:
        with again.rewound():
            result, twins = again.call(inputs[:count], linked=create_graph)
    finally:
        SCOPE.reset(token)
    made = [leaf for leaf in nested.leaves(result) if _is_new(leaf, started)]
    order = ancestors((leaf._node for leaf in made), started)
    _check_same(node, again, made, order, twins, started)
    targets: list[Any] = [
        None if parent is None else entry
        for parent, entry in zip(parents[:count], twins, strict=True)
    ]
    targets += [
        _output(None, parent) if type(parent) is Node else parent for parent in parents[count:]
    ]
    pieces = g.pieces if type(g) is TupleGradient else (g,)
    starts = [(leaf._node, s) for leaf, s in zip(made, pieces, strict=True) if s is not None]
    return _walked(order, starts, targets, create_graph=create_graph)


def _check_same(
    node: Node,
    again: _Again,
    made: Sequence[Any],
    order: Sequence[Node],
    twins: Sequence[Any],
    started: int,
) -> None:
    """Raise if the second call computed something else than the first, as far as can be seen."""
    entries = {id(t._node) for t in twins if t is not None}
    now = _outside([n for n in order if id(n) not in entries], started)
    before = {id(p) for p in again.captured}
    leaves = [sum(type(p) is not Node for p in ps) for ps in (now.values(), again.captured)]
    # A leaf may have been made by the function itself, anew in each call: so these are counted.
    strange = any(type(p) is Node and key not in before for key, p in now.items())
    shapes = [leaf.shape for leaf in made]
    if shapes == again.results and not strange and leaves[0] == leaves[1]:
        return
    what = (
        f"recorded results of shapes {again.results}, then {shapes}"
        if shapes != again.results
        else "used other Tensors from outside at the second call"
    )
    name = getattr(again.function, "__name__", type(again.function).__name__)
    raise GraphError(
        f"checkpoint{describe(node.scope)}: {name} {what}; the backward pass calls it again, so it "
        f"must do the same each time: pass what changes as an argument"
    )


def _walked(
    order: Sequence[Node],
    starts: Sequence[tuple[Node, Any]],
    targets: Sequence[Any],
    *,
    create_graph: bool,
) -> list[Any]:
    """Walk back through `order` only; return one gradient per target that is not None.

    The walk leaves what it brings to an older node there. That node may be waiting for its turn in
    the walk around this one, so what it has by then is put aside meanwhile.
    """
    wanted = Targets([t for t in targets if t is not None], order)
    inside = set(order)
    older = {t._node for t in targets if t is not None and t._node is not None} - inside

    def deposit(leaf: Value, piece: Any, node: Any, upstream: Any, saved: Any) -> None:
        if id(leaf) not in wanted.found:
            return
        piece = _fit(piece, leaf._data.shape, leaf._data.dtype, node)
        if not create_graph and not owned(piece, upstream, saved):
            piece = piece.copy()
        have = wanted.found[id(leaf)]
        wanted.found[id(leaf)] = piece if have is None else have + piece

    aside = [(node, node.grad) for node in older]
    for node in older:
        node.grad = None
    try:
        for node, start in starts:
            node.grad = start if node.grad is None else node.grad + start
        walk(order, deposit, create_graph=create_graph, retain_graph=create_graph, targets=wanted)
        for node in older:
            wanted.found[id(node)] = node.grad
    finally:
        for node in order:
            node.grad = None
        for node, grad in aside:
            node.grad = grad
    found = [None if t is None else wanted.found[id(t._node or t)] for t in targets]
    if create_graph:
        return found
    # What arrived at a node may be shared with gradients that went further.
    return [
        g.copy() if g is not None and t._node is not None else g
        for g, t in zip(found, targets, strict=True)
    ]


CHECKPOINT = Primitive("checkpoint", lambda *arrays: arrays, nothing, variadic=True)
"""The row of a checkpointed call. Its derivative needs the node and not only what it saved."""
object.__setattr__(CHECKPOINT, "pull", _pull)
object.__setattr__(CHECKPOINT, "pull_recorded", _pull_recorded)

__all__ = ["checkpoint"]
