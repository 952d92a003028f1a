"""One recorded call of a user's function: how arguments go in, and how results come out.

The arguments that a derivative is taken at enter as new Tensors with nodes of their own, so that
the walk back ends at them whatever lies behind, and the function may change them in place. They
point to the Tensor that was given if that one is recorded: so transforms nest, and a later
`backward` finds its way out. Results come out as what was given, arrays or Tensors; only what
depends on a recorded Tensor of the caller's comes out recorded, always.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_course import nested
from tinygrad_course.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_course.graph import (
    SCOPE,
    Node,
    Value,
    accumulate,
    ancestors,
    enable_grad,
    gradients_of,
    tick,
    walk,
)
from tinygrad_course.primitive import Primitive, _child, _output, nothing
from tinygrad_course.tensor import Tensor

ARGUMENT = Primitive("argument", lambda x: x, nothing, (lambda g, _ans, _x: g,))
"""What an argument is inside: a node at which the walk back for this call ends."""

_open: set[int] = set()
"""The ids of the argument nodes whose functions are running: all that runs in them depends on
something outside itself, even where no Tensor of the caller's stands behind the argument."""


def differentiable(x: Any) -> bool:
    """Whether a leaf has a derivative: a floating or complex Tensor, array or Python number."""
    if isinstance(x, float | complex):
        return True
    if not (isinstance(x, Value | np.generic) or hasattr(x, "__array_function__")):
        return False
    return getattr(x, "dtype", np.dtype(object)).kind in {"f", "c"}


def is_complex(x: Any) -> bool:
    """Whether a leaf holds complex numbers."""
    return isinstance(x, complex) or getattr(x, "dtype", np.dtype(float)).kind == "c"


def shape_of(x: Any) -> tuple[int, ...]:
    """Return the shape of a leaf."""
    shape: tuple[int, ...] = x.shape if hasattr(x, "shape") else np.shape(x)
    return shape


def array_of(x: Any) -> Any:
    """Return the array, or the NumPy scalar, of a leaf that is a Tensor, an array or a number."""
    return x._data if isinstance(x, Value) else Tensor(x)._data


def entered(x: Any, recording: bool) -> Any:
    """Return a leaf as the Tensor that a function gets for it."""
    linked = recording and isinstance(x, Value) and x._needs
    return _child(ARGUMENT, array_of(x), (x._node or x) if linked else None, None)


def twin(tensor: Value) -> Any:
    """Return a second Tensor at the same place: the first may be changed in place."""
    return _output(tensor._data, tensor._node)


@contextmanager
def opened(tensors: Sequence[Value]) -> Iterator[None]:
    """Let what runs inside know that these argument nodes belong to a function that is running."""
    ids = {id(tensor._node) for tensor in tensors}
    _open.update(ids)
    try:
        yield
    finally:
        _open.difference_update(ids)


def depending(values: Sequence[Value], started: int) -> list[bool]:
    """Say of each value whether it depends on a recorded Tensor from outside a call.

    That is a leaf that requires grad, whatever was recorded before the call started, or the
    argument of another function that is still running.
    """
    order = ancestors((v._node for v in values if v._node is not None), started)
    known: set[int] = set()
    for node in reversed(order):  # oldest first: parents are decided before their children
        if id(node) in _open or any(
            parent is not None
            and (type(parent) is not Node or parent.time <= started or id(parent) in known)
            for parent in node.parents
        ):
            known.add(id(node))
    return [
        v._needs and (v._node is None or v._node.time <= started or id(v._node) in known)
        for v in values
    ]


class Call:
    """A function's recorded results, and the way back from them to its arguments.

    Attributes:
        name: the transform, for messages.
        given: the arguments to differentiate, as they were given.
        targets: the Tensors that stand for their differentiable leaves inside.
        tensors: whether a Tensor was among the leaves: then results are Tensors.
        recording: whether operations were recorded where the transform was called.
        started: the time of the call.
        value: what the function returned, without `aux`.
        outputs: its leaves: Tensors, and None for what is None.
        aux: what else it returned.
        order: the operations between targets and outputs, newest first.
        closed: whether nothing among them leads out of the call.
        outer: whether results of the call are to be recorded outside.
    """

    __slots__ = (
        "aux",
        "closed",
        "given",
        "name",
        "order",
        "outer",
        "outputs",
        "recording",
        "started",
        "targets",
        "tensors",
        "value",
    )

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        chosen: Sequence[int],
        *,
        has_aux: bool = False,
    ) -> None:
        self.name = name
        self.recording = SCOPE.get().recording
        self.given = tuple(_argument(name, args, i) for i in chosen)
        self.started = tick()
        leaves = nested.leaves(self.given)
        places = [k for k, x in enumerate(leaves) if differentiable(x)]
        self.tensors = any(isinstance(leaves[k], Value) for k in places)
        with enable_grad():
            for k in places:
                leaves[k] = entered(leaves[k], self.recording)
            inner = list(args)
            for i, x in zip(chosen, nested.rebuilt(self.given, leaves), strict=True):
                inner[i] = x
            tensors = [leaves[k] for k in places]
            self.targets = [twin(t) for t in tensors]
            with opened(self.targets):
                result = function(*inner, **kwargs)
        self.value: Any = result
        self.aux: Any = None
        if has_aux:
            self.value, self.aux = _parted(name, result)
        self.outputs = [_result(name, leaf) for leaf in nested.leaves(self.value)]
        recorded = [out for out in self.outputs if out is not None and out._needs]
        nodes = [out._node for out in recorded]
        order = ancestors((n for n in nodes if n is not None), self.started)
        self.closed = not _leads_out(nodes, order, self.started)
        ends = {t._node for t in self.targets}
        self.order = [node for node in order if node not in ends]
        self.outer = self.recording and not self.closed

    def pull(self, starts: Sequence[Any], *, create: bool, retain: bool) -> list[Any]:
        """Return one gradient per target, zeros where nothing depends on it, as Tensors.

        Args:
            starts: Tensors that the outputs are weighted by; None for outputs that do not matter.
            create: record the walk.
            retain: keep what a further walk needs.
        """
        roots = [
            (out, start if create else start._data)
            for out, start in zip(self.outputs, starts, strict=True)
            if out is not None and out._needs and start is not None
        ]
        if self.closed and not create:
            return self._swept(roots, retain)
        found = gradients_of(
            [root for root, _ in roots],
            self.targets,
            [start for _, start in roots],
            create_graph=create,
            retain_graph=create or retain,
        )
        return [
            Tensor(np.zeros_like(t._data)) if g is None else g if create else Tensor(g)
            for t, g in zip(self.targets, found, strict=True)
        ]

    def _swept(self, roots: Sequence[tuple[Any, Any]], retain: bool) -> list[Any]:
        """Walk back as `backward` does: faster, and right where nothing leads out of the call."""
        nodes = [t._node for t in self.targets]
        try:
            for root, start in roots:
                have = root._node.grad
                root._node.grad = start if have is None else have + start
            walk(self.order, accumulate, retain_graph=retain)  # there are no leaves to add to
            # Copies, because what arrives may be shared.
            return [
                Tensor(np.zeros_like(t._data) if node.grad is None else node.grad.copy())
                for t, node in zip(self.targets, nodes, strict=True)
            ]
        finally:
            for node in (*self.order, *nodes):
                node.grad = None

    def structured(self, found: Sequence[Any]) -> tuple[Any, ...]:
        """Return one thing per target in the containers of the arguments, None at other leaves."""
        rest = iter(found)
        tree = [next(rest) if differentiable(x) else None for x in nested.leaves(self.given)]
        result: tuple[Any, ...] = nested.rebuilt(self.given, tree)
        return result

    def given_back(self, results: Sequence[Any], *, recording: bool) -> list[Any]:
        """Return results as what was given: arrays for arrays, Tensors for Tensors.

        Args:
            results: Tensors and arrays; anything else, such as a leaf of `aux`, stays as it is.
            recording: whether to give out Tensors, all of them, where one result depends on a
                recorded Tensor of the caller's.
        """
        # Where the value leads nowhere, only what stands beside it (in `aux`) may.
        closed = {id(out) for out in self.outputs} if self.closed else set()
        values = [r for r in results if isinstance(r, Value) and r._needs and id(r) not in closed]
        flags = depending(values, self.started) if recording else [False] * len(values)
        outer = {id(v) for v, flag in zip(values, flags, strict=True) if flag}
        tensors = self.tensors or bool(outer)
        return [_carried(r, tensors, id(r) in outer) for r in results]


def _leads_out(roots: Sequence[Node | None], order: Sequence[Node], started: int) -> bool:
    """Whether a recorded result depends on anything outside the call.

    As `depending`, for a function that has just returned: others still running are older.
    """
    if any(root is None or root.time <= started for root in roots):
        return True
    for node in order:
        for parent in node.parents:
            if parent is not None and (type(parent) is not Node or parent.time <= started):
                return True
    return False


def _argument(name: str, args: Sequence[Any], index: int) -> Any:
    """Return an argument to differentiate, or say why there is no derivative with respect to it."""
    if index >= len(args):
        raise ArgumentError(
            f"{name}: argument {index} is to be differentiated, but the function was called with "
            f"{len(args)} positional arguments; pass it by position, or choose another with "
            f"argnums="
        )
    x = args[index]
    if any(differentiable(leaf) for leaf in nested.leaves(x)):
        return x
    kind = f"{type(x).__name__} of dtype {x.dtype}" if hasattr(x, "dtype") else type(x).__name__
    raise DtypeError(
        f"{name}: argument {index} ({kind}) holds no floating or complex number, and only those "
        f"have a derivative; write 2.0 for 2, convert an array with .astype(float), or choose "
        f"another argument with argnums="
    )


def _parted(name: str, result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise ArgumentError(
            f"{name}: with has_aux=True the function must return (value, aux), got "
            f"{type(result).__name__}"
        )
    return result


def _result(name: str, leaf: Any) -> Any:
    """Return a leaf of a function's value as a Tensor; None stays."""
    if leaf is None or isinstance(leaf, Value):
        return leaf
    if isinstance(leaf, int | float | complex | np.generic) or hasattr(leaf, "__array_function__"):
        return Tensor(leaf)
    raise ArgumentError(
        f"{name}: the function returned {type(leaf).__name__}, which is no Tensor, array or "
        f"number; return what is not to be differentiated as aux, with has_aux=True"
    )


def _carried(result: Any, tensors: bool, recorded: bool) -> Any:
    if isinstance(result, Value):
        if recorded:
            return result
        data = result.data  # type: ignore[attr-defined]  # every Value is a Tensor above `tensor`
        return Tensor(data) if tensors else data
    return result


def argument_places(name: str, function: Any, argnums: Any) -> tuple[int, ...]:
    """Return `argnums` as a tuple, after a look at what a transform was given.

    Raises:
        ArgumentError: `function` cannot be called, or `argnums` is not an int or several.
    """
    if not callable(function):
        raise ArgumentError(
            f"{name}: the first argument is {type(function).__name__}, not a function; write "
            f"{name}(f)(x)"
        )
    several = argnums if isinstance(argnums, tuple | list) else (argnums,)
    try:
        places = tuple(operator.index(i) for i in several)
    except TypeError:
        places = (-1,)
    if not places or min(places) < 0 or len(set(places)) < len(places):
        raise ArgumentError(
            f"{name}: argnums must be the position of an argument, 0 for the first, or a tuple of "
            f"different ones, got {argnums!r}; arguments go to what is returned: {name}(f)(x)"
        )
    return places


def upstream(like: Any, given: Any, where: str) -> list[Any]:
    """Return the leaves of `given` that stand for the leaves of `like`, checked, in their dtypes.

    None stands where `like` has a leaf without derivative.

    Raises:
        ArgumentError: the nesting differs.
        ShapeError: a shape differs.
        DtypeError: something is no number, or complex where `like` is real.
    """
    return [_weight(*pair) for pair in nested.pairs(like, given, where)]


def _weight(place: str, like: Any, given: Any) -> Any:
    if not differentiable(like):
        if given is not None:
            raise ArgumentError(
                f"{place}: got {type(given).__name__}, expected None, because there is no "
                f"derivative at this place"
            )
        return None
    wanted = shape_of(like)
    if given is None:
        raise ArgumentError(f"{place}: got None, expected an array of shape {wanted}")
    weight = given if isinstance(given, Value) else Tensor(given)
    shape = weight._data.shape
    if shape != wanted:
        raise ShapeError(f"{place}: got shape {shape}, expected {wanted}")
    if is_complex(weight) and not is_complex(like):
        raise DtypeError(f"{place}: got complex numbers, expected real ones")
    dtype = array_of(like).dtype
    return weight if weight.dtype == dtype else weight.astype(dtype)  # type: ignore[attr-defined]


__all__ = [
    "ARGUMENT",
    "Call",
    "argument_places",
    "array_of",
    "depending",
    "differentiable",
    "entered",
    "is_complex",
    "opened",
    "shape_of",
    "twin",
    "upstream",
]
