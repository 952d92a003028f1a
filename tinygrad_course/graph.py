"""The recorded computation and the walk back through it.

A `Value` is what the user holds; a `Node` is one recorded operation. Nodes point to the nodes (or
leaf values) they came from and never forward, so there are no reference cycles and dropping a
result frees its graph. This module knows neither NumPy's functions nor the Tensor class.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar, Token
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np

from tinygrad_course.buffers import last_write, tick, user_line, write_after
from tinygrad_course.errors import (
    ArgumentError,
    FreedGraphError,
    GraphError,
    ModifiedValueError,
    ShapeError,
)

Array = Any
"""An ndarray, a NumPy scalar, or any array that speaks NumPy's protocols."""


class Observer:
    """Somebody who wants to know of every recorded node, and may check it before its backward."""

    replays = False
    """Whether what happens is noted for a replay, so that draws and updates must be told too."""

    def recorded(self, node: Node, inputs: tuple[Any, ...], result: Any) -> None:
        """Take note of a node that was just recorded, of its input arrays and its result."""

    def line(self, _node: Node) -> str:
        """Return the user's line that recorded a node, or an empty text."""
        return ""

    def check(self, node: Node) -> None:
        """Raise if a node must not be used for backward."""

    def drawn(self, function: Callable[..., Any], _text: str, keywords: dict[str, Any]) -> Any:
        """Draw random numbers; who replays notes that they are drawn anew each time."""
        return function(**keywords)

    def later(self, function: Callable[..., Any], args: Any, keywords: dict[str, Any]) -> None:
        """Do something in Python that is no computation; who replays does it after each replay."""
        function(*args, **keywords)


class Scope:
    """What is in force where an operation is recorded: the module that runs, and whether to record.

    Scopes form a chain through `parent`; each node keeps the one it was recorded in, which is how a
    picture knows the modules and an error message knows the layer.
    """

    __slots__ = ("module", "observer", "parent", "recording")

    def __init__(
        self,
        recording: bool = True,
        module: Any = None,
        parent: Scope | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.recording = recording
        self.module = module
        self.parent = parent
        self.observer = observer

    def modules(self) -> list[Any]:
        """Return the running modules, outermost first."""
        found: list[Any] = []
        scope: Scope | None = self
        while scope is not None:
            if scope.module is not None:
                found.append(scope.module)
            scope = scope.parent
        return found[::-1]


SCOPE: ContextVar[Scope] = ContextVar("SCOPE", default=Scope())  # noqa: B039 - never changed
"""The scope of the current thread or task."""


class _Recording:
    """Switch recording on or off: a context manager and a decorator, also of coroutines."""

    recording: ClassVar[bool]

    def __init__(self) -> None:
        self._tokens: list[Token[Scope]] = []

    def __enter__(self) -> None:
        outer = SCOPE.get()
        self._tokens.append(SCOPE.set(Scope(self.recording, parent=outer, observer=outer.observer)))

    def __exit__(self, *_exception: object) -> None:
        SCOPE.reset(self._tokens.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ArgumentError(
                f"{type(self).__name__}: {function.__name__} is a generator, whose body runs after "
                f"the call returns; write `with {type(self).__name__}():` inside it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with type(self)():
                    return await function(*args, **kwargs)

            return run_async

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return run


class no_grad(_Recording):  # noqa: N801 - PyTorch's name
    """Do not record operations inside: a context manager and a decorator, per thread and task.

    Example:
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0, 2.0], requires_grad=True)
        >>> with tc.no_grad():
        ...     w -= 0.5
        >>> w.data
        array([0.5, 1.5])
    """

    recording = False


class enable_grad(_Recording):  # noqa: N801 - PyTorch's name
    """Record operations again inside a `no_grad` block.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor(3.0, requires_grad=True)
        >>> with tc.no_grad(), tc.enable_grad():
        ...     y = x * x
        >>> y.requires_grad
        True
    """

    recording = True


class Value:
    """Data with a place in the graph. `Tensor` adds the arithmetic and everything public.

    `_data` is an array or NumPy scalar; `_node` the operation that made it (None for a leaf);
    `_needs` whether a gradient is wanted; `_grad` a leaf's gradient; `_views` see `note_view`.
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_name", "_needs", "_node", "_views")

    _data: Array
    _grad: Array | None
    _name: str | None
    _needs: bool
    _node: Node | None
    _views: list[Any] | None


class Node:
    """One recorded operation: what ran, on what, and what its derivative will need.

    `parents[i]` is the node, or the leaf Value, behind input i; None where no gradient is wanted.
    `saved` is ``(result, *inputs)`` with None for what the rule does not read; backward replaces it
    by None, but the structure (parents, shape, dtype, scope) stays and can still be drawn.
    """

    __slots__ = (
        "dtype",
        "grad",
        "params",
        "parents",
        "primitive",
        "retained",
        "saved",
        "scope",
        "shape",
        "time",
    )

    dtype: Any
    grad: Any
    params: dict[str, Any] | None
    parents: tuple[Node | Value | None, ...]
    primitive: Any
    retained: Any
    saved: tuple[Any, ...] | None
    scope: Scope
    shape: Any
    time: int

    def __repr__(self) -> str:
        return f"<Node {self.primitive.name} {self.shape} {self.dtype}>"


RETAIN = object()
"""Stands in `Node.retained` until backward replaces it by the gradient that was asked for."""

_by_time = attrgetter("time")


def ancestors(roots: Iterable[Node], not_before: int = -1) -> list[Node]:
    """Return every node that `roots` depend on, newest first: a reverse topological order.

    Iterative, and linear in the size of the graph up to the sort, which meets runs that are
    already in order. Nodes older than the time `not_before` are left out.
    """
    found = [root for root in set(roots) if root.time > not_before]
    seen = set(found)
    for node in found:  # the list grows while it is read
        for parent in node.parents:
            if type(parent) is Node and parent not in seen and parent.time > not_before:
                seen.add(parent)
                found.append(parent)
    found.sort(key=_by_time, reverse=True)
    return found


def unbroadcast(gradient: Any, shape: tuple[int, ...], name: str = "backward") -> Any:
    """Sum a gradient over the axes along which an input of the given shape was broadcast."""
    have = gradient.shape
    extra = len(have) - len(shape)
    fits = extra >= 0 and all(n in (1, m) for n, m in zip(shape, have[extra:], strict=False))
    if not fits:
        raise ShapeError(
            f"{name}: its derivative rule returned shape {have} for an input of shape {shape}; "
            f"a rule returns the input's shape, or the shape that the input was broadcast to"
        )
    axes = tuple(range(extra)) + tuple(
        axis + extra for axis, n in enumerate(shape) if n == 1 and have[axis + extra] != 1
    )
    return gradient.sum(axis=axes).reshape(shape)


def cast(gradient: Any, dtype: Any) -> Any:
    """Bring a gradient to the dtype of its input; a real input keeps the real part."""
    if gradient.dtype.kind == "c" and dtype.kind != "c":
        gradient = gradient.real
    return gradient.astype(dtype)


_watching = False


def watch_saved_values() -> None:
    """From now on let observers check nodes before their backward, as `debug` wants."""
    global _watching  # noqa: PLW0603 - a switch of the process, so that the hot loop asks once
    _watching = True


def _check_unmodified(node: Node) -> None:
    observer = node.scope.observer
    for array in node.saved or ():
        write = write_after(array, node.time)
        if write is not None:
            where = f" at {write.line}" if write.line else ""
            line = observer.line(node) if observer is not None else ""
            saved = f"saved for its derivative{f' at {line}' if line else ''}"
            raise ModifiedValueError(
                f"backward: a value of shape {array.shape} that {node.primitive.name}"
                f"{describe(node.scope)} {saved} was overwritten afterwards by "
                f"{write.by}{where}. Write to a copy, or call backward before the value changes"
            )
    if observer is not None:
        observer.check(node)


def describe(scope: Scope) -> str:
    """Return `` in Outer > Inner`` for the modules of a scope, or an empty text."""
    modules = scope.modules()
    return f" in {' > '.join(type(m).__name__ for m in modules)}" if modules else ""


def _freed(node: Node) -> FreedGraphError:
    return FreedGraphError(
        f"backward: the values saved by {node.primitive.name}{describe(node.scope)} were dropped "
        f"by an earlier backward pass. Pass retain_graph=True to the earlier pass, or run the "
        f"forward pass again"
    )


Deposit = Callable[[Value, Any, "Node | None", Any, tuple[Any, ...]], None]
"""``deposit(leaf, piece, node, upstream, saved)`` keeps a piece of a leaf's gradient."""


def walk(  # noqa: C901, PLR0912, PLR0915 - the hot loop, see below
    order: Sequence[Node],
    deposit: Deposit,
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
    targets: Targets | None = None,
) -> None:
    """Carry gradients from the newest node of `order` to the oldest.

    The caller puts the starting gradients into ``node.grad``. Each node's rule gives one piece per
    wanted input; this loop sums a piece over broadcast axes, adds it to what the parent has, and
    hands the pieces of leaves to ``deposit(leaf, piece, node, upstream, saved)``. With `targets`
    only what leads to one of them is computed.

    The two inputs of most operations are spelled out: through the general loop below them, with
    its tuple and its extra call, the backward pass of a scalar graph takes half as long again.
    """
    check = order and (_watching or last_write() > order[-1].time)
    for node in order:
        g = node.grad
        if g is None:
            continue
        node.grad = None
        parents = node.parents
        if targets is not None:
            parents = targets.reach(node, g)
            if not parents:
                continue
        elif node.retained is not None:
            # A copy, because what arrives may be shared; later passes add up, as for leaves.
            node.retained = g.copy() if node.retained is RETAIN else node.retained + g
        saved = node.saved
        if saved is None:
            raise _freed(node)
        if check:
            _check_unmodified(node)
        primitive = node.primitive
        direct = primitive.direct
        if direct is not None and not create_graph:
            if not retain_graph:
                node.saved = None
            ans, x, y = saved
            parent, other = parents
            if parent is not None:
                piece = direct[0](g, ans, x, y)
                if type(parent) is Node:
                    if piece.shape != parent.shape or parent.dtype is not node.dtype:
                        piece = _fit(piece, parent.shape, parent.dtype, node)
                    parent.grad = piece if parent.grad is None else parent.grad + piece
                else:
                    deposit(parent, piece, node, g, saved)  # type: ignore[arg-type]
            if other is not None:
                piece = direct[1](g, ans, x, y)
                if type(other) is Node:
                    if piece.shape != other.shape or other.dtype is not node.dtype:
                        piece = _fit(piece, other.shape, other.dtype, node)
                    other.grad = piece if other.grad is None else other.grad + piece
                else:
                    deposit(other, piece, node, g, saved)  # type: ignore[arg-type]
            ans = x = y = None  # the walk keeps nothing alive that it has passed
            continue
        pull = primitive.pull_recorded if create_graph else primitive.pull
        pieces = pull(g, node, parents)
        if not retain_graph:
            node.saved = None
        for parent, piece in zip(parents, pieces):  # noqa: B905 - as long by construction
            if piece is None or parent is None:
                continue
            if type(parent) is Node:
                if piece.shape != parent.shape or parent.dtype is not node.dtype:
                    piece = _fit(piece, parent.shape, parent.dtype, node)  # noqa: PLW2901
                parent.grad = piece if parent.grad is None else parent.grad + piece
            else:
                deposit(parent, piece, node, g, saved)  # type: ignore[arg-type]


def _fit(piece: Any, shape: Any, dtype: Any, node: Node) -> Any:
    """Bring a piece to the shape and dtype of the input that it belongs to."""
    if piece.shape != shape:
        piece = unbroadcast(piece, shape, node.primitive.name)
    return piece if piece.dtype == dtype else cast(piece, dtype)


class Targets:
    """What a walk is for: the nodes and leaves whose gradients are asked for.

    `useful` holds the ids of all nodes and leaves from which a target can be reached.
    """

    __slots__ = ("found", "useful")

    def __init__(self, targets: Sequence[Value], order: Sequence[Node]) -> None:
        self.found: dict[int, Any] = {id(t._node or t): None for t in targets}
        self.useful = set(self.found)
        for node in reversed(order):  # oldest first: parents are decided before their children
            if any(parent is not None and id(parent) in self.useful for parent in node.parents):
                self.useful.add(id(node))

    def reach(self, node: Node, g: Any) -> tuple[Any, ...]:
        """Note the gradient of a target; return the node's parents without those of no use."""
        if id(node) in self.found:
            self.found[id(node)] = g
        parents = tuple(p if p is not None and id(p) in self.useful else None for p in node.parents)
        return parents if any(p is not None for p in parents) else ()


def _clear(order: Sequence[Node]) -> None:
    for node in order:
        node.grad = None


def owned(piece: Any, upstream: Any, saved: tuple[Any, ...]) -> bool:
    """Say whether nobody else can see the memory of `piece`, so that a leaf may keep it.

    A rule may hand on its upstream gradient (add), a view of it (reshape), or a saved array.
    """
    if type(piece) is not np.ndarray or piece.base is not None or piece is upstream:
        return False
    for array in saved:
        if piece is array:
            return False
    return bool(piece.flags.writeable)


def accumulate(
    leaf: Value, piece: Any, node: Node | None, upstream: Any, saved: tuple[Any, ...]
) -> None:
    """Add `piece` to the gradient that `leaf` owns, in place once there is one."""
    have = leaf._grad
    if type(piece) is type(have) and type(have) is not np.ndarray:
        leaf._grad = have + piece  # type: ignore[operator]  # two NumPy scalars
        return
    data = leaf._data
    if node is not None and (piece.shape != data.shape or piece.dtype is not data.dtype):
        piece = _fit(piece, data.shape, data.dtype, node)
    if have is None:
        if owned(piece, upstream, saved):
            leaf._grad = piece
        else:
            leaf._grad = piece.copy()
    elif type(have) is np.ndarray and have.ndim:
        np.add(have, piece, out=have, casting="unsafe")
    else:  # a NumPy scalar, or an array of another library
        leaf._grad = cast(have + piece, data.dtype) if piece.dtype != data.dtype else have + piece


def backward(root: Value, gradient: Any, *, retain_graph: bool = False) -> None:
    """Add d(root)/d(leaf), times `gradient`, to the gradient of every leaf behind `root`."""
    node = root._node
    if node is None:
        accumulate(root, gradient, None, gradient, ())
        return
    order = ancestors((node,))
    node.grad = gradient
    try:
        walk(order, accumulate, retain_graph=retain_graph)
    except BaseException:
        _clear(order)  # a failed pass leaves no half-summed gradients behind in the nodes
        raise


def gradients_of(
    roots: Sequence[Value],
    targets: Sequence[Value],
    starts: Sequence[Any],
    *,
    create_graph: bool,
    retain_graph: bool,
) -> list[Any]:
    """Return one gradient per target of the sum of the roots, each weighted by its start.

    None stands for a target that no root depends on. Nothing is added to any ``.grad``.
    """
    nodes = [target._node for target in targets if target._node is not None]
    # Ancestors of a node are older than it: nothing before the oldest target can matter.
    all_nodes = len(nodes) == len(targets)
    not_before = min((node.time for node in nodes), default=0) - 1 if all_nodes else -1
    order = ancestors((r._node for r in roots if r._node is not None), not_before)
    wanted = Targets(targets, order)

    def deposit(
        leaf: Value, piece: Any, node: Node | None, upstream: Any, saved: tuple[Any, ...]
    ) -> None:
        key = id(leaf)
        if key not in wanted.found:
            return
        if node is not None:
            piece = _fit(piece, leaf._data.shape, leaf._data.dtype, node)
        if not create_graph and not owned(piece, upstream, saved):
            piece = piece.copy()
        have = wanted.found[key]
        wanted.found[key] = piece if have is None else have + piece

    reached = {id(node) for node in order}
    for root, start in zip(roots, starts, strict=True):
        if root._node is None:
            deposit(root, start, None, start, ())
        elif id(root._node) in reached:
            have = root._node.grad
            root._node.grad = start if have is None else have + start
    token = SCOPE.set(Scope(recording=True, parent=SCOPE.get())) if create_graph else None
    try:
        walk(order, deposit, create_graph=create_graph, retain_graph=retain_graph, targets=wanted)
    finally:
        _clear(order)
        if token is not None:
            SCOPE.reset(token)
    found = wanted.found
    copied = not create_graph
    return [
        found[id(t._node)].copy()  # may be shared with gradients that went further
        if copied and t._node is not None and found[id(t._node)] is not None
        else found[id(t._node or t)]
        for t in targets
    ]


def refuse(message: str) -> GraphError:
    """Return a GraphError that ends with the user's line."""
    return GraphError(f"{message} (at {user_line()})")


__all__ = [
    "RETAIN",
    "SCOPE",
    "Array",
    "Node",
    "Scope",
    "Value",
    "accumulate",
    "ancestors",
    "backward",
    "cast",
    "describe",
    "enable_grad",
    "gradients_of",
    "no_grad",
    "refuse",
    "tick",
    "unbroadcast",
    "walk",
]
