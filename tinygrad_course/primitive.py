"""One declaration per primitive, one registry of them all.

A row of the registry says everything about an operation: its value, its derivative, and samples at
which the derivative is checked; without samples it cannot be registered. `primitive` turns a row
into the function that people call: given arrays it computes, given Tensors it also records.

The conventions of a derivative rule ``vjp(g, ans, *inputs, **params)``:

* ``g`` is the gradient of the loss with respect to the result ``ans``; the rule returns g times the
  derivative, in the shape of the input or in the shape the input was broadcast to.
* The same rule runs on arrays (fast) and on Tensors (``create_graph=True``), so it is written in
  operators and in registered functions, and never changes what it is given.
* An argument spelled with a leading underscore is not read and therefore not kept alive.
* A keyword-only argument named `shapes` receives the input shapes, `residuals` what the forward
  function returned beside its result, `wanted` (joint rules) which inputs want a gradient.
* Complex numbers: the gradient of a real loss is ∂L/∂x - i ∂L/∂y, so a holomorphic function needs
  no conjugate anywhere: g f'(z) is right. For an input that is real the engine takes the real part.

A forward function's positional arguments are the inputs, its keyword-only arguments the parameters,
in NumPy's order: what a caller passes beyond the inputs is given to the parameters by position.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import numpy as np

from tinygrad_course.buffers import called_by_user, name_line, note_write, owner, tick
from tinygrad_course.errors import (
    ArgumentError,
    DtypeError,
    ShapeError,
    TinygradCourseError,
    TraceError,
    UnsupportedFunctionError,
)
from tinygrad_course.graph import SCOPE, Node, Scope, Value, describe, gradients_of

Sample = tuple[tuple[Any, ...], dict[str, Any]]
"""Inputs and parameters at which a primitive is checked."""

Op = Callable[..., Any]
"""A recording function: arrays to arrays, Tensors to Tensors."""

Pull = Callable[[Any, Node, tuple[Any, ...]], Sequence[Any]]
"""``pull(g, node, parents)``: one piece per input, None where the parent is None."""

Samples = Callable[["np.random.Generator"], Iterable[Sample]]  # quoted: np.random loads late

NUMPY_WORDS = {"dim": "axis", "keepdim": "keepdims", "input": "x", "unbiased": "ddof"}
"""What somebody may call an argument who comes from PyTorch, and what it is called here."""

ENGINE_KEYWORDS = frozenset({"shapes", "residuals", "wanted"})
"""Keyword-only arguments of a rule that the engine fills in."""


@dataclass(frozen=True, eq=False, slots=True)
class Primitive:
    """One row of the registry.

    Attributes:
        name: what errors, tables and pictures call it.
        forward: ``forward(*arrays, **params)``; returns an array, a tuple of arrays, or
            ``(result, residuals)`` for a row with residuals.
        vjps: one rule per input (None: no derivative there), or
        joint: one rule for all inputs, which returns one gradient or None per input.
        samples: ``samples(generator)`` yields ``(inputs, params)``.
        operator: Python's operator with the same value; on NumPy scalars it is several times
            faster than the ufunc.
        formula: the same function in differentiable operations. A fused row whose rule is not
            differentiable itself needs it when the backward pass is recorded; a row with neither
            rules nor `joint` is differentiated through it always.
        residuals: whether forward returns something for the rule beside the result.
        outputs: number of results for a row that returns a tuple of fixed length; -1 if it varies.
        constant_outputs: which of several results have no derivative.
        view: whether the result may share the memory of input 0.
        effect: what the row does besides computing: "write" overwrites input 0, "draw" advances
            a random generator.
        variadic: whether the row takes any number of inputs.
        optional: whether inputs may be None.
        real: whether only real numbers have a derivative here; complex ones are then refused
            where a gradient is wanted.
        expects: what fits, for the message when something does not.
        numpy: the NumPy functions that this row implements.
    """

    name: str
    forward: Callable[..., Any]
    samples: Samples
    vjps: tuple[Callable[..., Any] | None, ...] = ()
    joint: Callable[..., Any] | None = None
    operator: Callable[..., Any] | None = None
    formula: Callable[..., Any] | None = None
    residuals: bool = False
    outputs: int = 0
    constant_outputs: tuple[int, ...] = ()
    view: bool = False
    effect: str = ""
    variadic: bool = False
    optional: bool = False
    real: bool = False
    expects: str = ""
    numpy: tuple[Callable[..., Any], ...] = ()
    arity: int = field(init=False)
    words: tuple[str, ...] = field(init=False)
    keeps: tuple[bool, ...] = field(init=False)
    shaped: bool = field(init=False)
    pull: Pull = field(init=False)
    direct: tuple[Any, ...] | None = field(init=False)
    pull_recorded: Pull = field(init=False)

    def __post_init__(self) -> None:
        if self.residuals and self.formula is None:
            raise ArgumentError(
                f"primitive {self.name!r}: a row with residuals needs a formula, because residuals "
                f"are plain arrays and a recorded backward pass cannot differentiate them"
            )
        arguments = _arguments(self.forward)
        object.__setattr__(self, "arity", len(arguments.positional))
        object.__setattr__(self, "words", arguments.keywords)
        rules = [rule for rule in (*self.vjps, self.joint) if rule is not None]
        known = [_read_rule(rule) for rule in rules]
        width = max((len(kept) for kept, _ in known), default=1 + (self.arity or 1))
        # The last flag of a variadic row holds for all further inputs.
        keeps = tuple(any(i < len(k) and k[i] for k, _ in known) for i in range(width))
        if self.formula is not None:  # recomputing the formula needs every input
            keeps = (keeps[0], *([True] * (len(keeps) - 1)))
        object.__setattr__(self, "keeps", keeps)
        object.__setattr__(self, "shaped", any("shapes" in words for _, words in known))
        object.__setattr__(self, "pull", _make_pull(self))
        plain = len(self.vjps) == 2 and all(self.vjps) and not any(words for _, words in known)
        object.__setattr__(self, "direct", self.vjps if plain else None)
        object.__setattr__(self, "pull_recorded", _make_pull_recorded(self))

    @property
    def differentiable(self) -> bool:
        """Whether any input has a derivative."""
        rules = (*self.vjps, self.joint)
        return any(rule is not None for rule in rules) or (not rules[:-1] and bool(self.formula))


PRIMITIVES: dict[str, Primitive] = {}
"""Every registered primitive by name."""

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""The recording function of every primitive by name."""

NUMPY_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {}
"""From a NumPy function to ours: what ``np.exp(tensor)`` calls."""


class _Arguments(NamedTuple):
    """The names of a function's arguments."""

    positional: tuple[str, ...]
    variable: str | None
    keywords: tuple[str, ...]


def _arguments(function: Callable[..., Any]) -> _Arguments:
    """Return a function's arguments; a ufunc's are its inputs."""
    if isinstance(function, np.ufunc):
        return _Arguments(("x", "y", "z", "u")[: function.nin], None, ())
    function = getattr(function, "inner", function)  # of a kernel
    code = getattr(function, "__code__", None)
    if code is None:  # a function of NumPy's, perhaps written in C
        parameters = inspect.signature(function).parameters.values()
        plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return _Arguments(
            tuple(p.name for p in parameters if p.kind in plain and p.default is p.empty), None, ()
        )
    # Read from the code object: with hundreds of rows, inspect.signature takes 10 ms of the import.
    names, count, only = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    variable = names[count + only] if code.co_flags & inspect.CO_VARARGS else None
    return _Arguments(names[:count], variable, names[count : count + only])


def _read_rule(rule: Callable[..., Any]) -> tuple[tuple[bool, ...], set[str]]:
    """Return which of (ans, *inputs) a rule reads, and its keyword-only arguments."""
    positional, variable, keywords = _arguments(rule)
    inputs = (*positional[1:], *([variable] if variable else []))
    return tuple(not name.startswith("_") for name in inputs), set(keywords)


# --------------------------------------------------------------------------------------------
# From upstream gradient to one piece per input


class TupleGradient:
    """The upstream gradients of an operation with several results; None where none arrived."""

    __slots__ = ("pieces",)

    shape = None  # as the node of a tuple has, so that the walk needs no special case
    dtype = None

    def __init__(self, pieces: tuple[Any, ...]) -> None:
        self.pieces = pieces

    def __add__(self, other: TupleGradient) -> TupleGradient:
        return TupleGradient(
            tuple(
                a if b is None else b if a is None else a + b
                for a, b in zip(self.pieces, other.pieces, strict=True)
            )
        )


def _make_pull(row: Primitive) -> Pull:
    """Return the function that applies the row's rules to arrays, in the form its arity allows."""
    if row.joint is not None:
        return lambda g, node, parents: _pull_joint(row, g, node, parents, node.saved)
    if not row.vjps and row.formula is not None:
        return lambda g, node, parents: _pull_formula(row, g, node, parents, _fresh(node))
    if len(row.vjps) == 1:
        (rule,) = row.vjps

        def pull_unary(g: Any, node: Node, _parents: tuple[Any, ...]) -> Sequence[Any]:
            ans, x = node.saved  # type: ignore[misc]  # the walk has checked it
            params = node.params
            return (rule(g, ans, x, **params) if params else rule(g, ans, x),)  # type: ignore[misc]

        return pull_unary
    if len(row.vjps) == 2:
        first, second = row.vjps

        def pull_binary(g: Any, node: Node, parents: tuple[Any, ...]) -> Sequence[Any]:
            ans, x, y = node.saved  # type: ignore[misc]
            left, right = parents
            params = node.params
            if params:
                return (
                    None if left is None else first(g, ans, x, y, **params),  # type: ignore[misc]
                    None if right is None else second(g, ans, x, y, **params),  # type: ignore[misc]
                )
            return (
                None if left is None else first(g, ans, x, y),  # type: ignore[misc]
                None if right is None else second(g, ans, x, y),  # type: ignore[misc]
            )

        return pull_binary
    if len(row.vjps) == 3 and not (row.words or row.shaped):
        rule_x, rule_y, rule_z = row.vjps

        def pull_ternary(g: Any, node: Node, parents: tuple[Any, ...]) -> Sequence[Any]:
            ans, x, y, z = node.saved  # type: ignore[misc]
            of_x, of_y, of_z = parents
            return (
                None if of_x is None else rule_x(g, ans, x, y, z),  # type: ignore[misc]
                None if of_y is None else rule_y(g, ans, x, y, z),  # type: ignore[misc]
                None if of_z is None else rule_z(g, ans, x, y, z),  # type: ignore[misc]
            )

        return pull_ternary
    return lambda g, node, parents: _pull_general(row, g, node, parents, node.saved)


def _pull_general(
    row: Primitive, g: Any, node: Node, parents: tuple[Any, ...], saved: Any
) -> Sequence[Any]:
    params = node.params or {}
    return [
        None if parent is None else rule(g, *saved, **params)  # type: ignore[misc]
        for parent, rule in zip(parents, row.vjps, strict=True)
    ]


def _pull_joint(
    row: Primitive, g: Any, node: Node, parents: tuple[Any, ...], saved: Any
) -> Sequence[Any]:
    if type(g) is TupleGradient:
        g = g.pieces
    wanted = [parent is not None for parent in parents]
    params = node.params or {}
    if row.residuals:
        *saved, residuals = saved
        params = {**params, "residuals": residuals}
    pieces = row.joint(g, *saved, wanted=wanted, **params)  # type: ignore[misc]  # it has one
    if sum(wanted) == 1:
        return [piece if want else None for piece, want in zip(pieces, wanted, strict=True)]
    return _distinct(pieces, wanted)


def _distinct(pieces: Sequence[Any], wanted: list[bool]) -> list[Any]:
    """Return the wanted pieces as different arrays, so that no two leaves end up with one."""
    seen: set[int] = set()
    result: list[Any] = []
    for piece, want in zip(pieces, wanted, strict=True):
        if not want:
            result.append(None)
        else:
            result.append(piece.copy() if id(piece) in seen else piece)
            seen.add(id(piece))
    return result


def _make_pull_recorded(row: Primitive) -> Pull:
    """Return the function that applies the same rules to Tensors, so that they are recorded."""
    if row.formula is not None:
        return lambda g, node, parents: _pull_formula(row, g, node, parents, None)
    if row.joint is not None:
        return lambda g, node, parents: _pull_joint(row, g, node, parents, _lift(node))
    return lambda g, node, parents: _pull_general(row, g, node, parents, _lift(node))


def _lift(node: Node) -> tuple[Any, ...]:
    """Return the saved values of a node as Tensors that stand at their old place in the graph."""
    ans, *inputs = node.saved[: len(node.parents) + 1]  # type: ignore[index]  # the walk checked
    if type(ans) is tuple:
        ans = tuple(_select(ans, node, k) for k in range(len(ans)))
    elif ans is not None:
        ans = _output(ans, node)
    lifted = []
    for value, parent in zip(inputs, node.parents, strict=True):
        if value is None or parent is None:
            lifted.append(value)
        else:
            lifted.append(_output(value, parent) if type(parent) is Node else parent)
    return (ans, *lifted)


def _fresh(node: Node) -> list[Any]:
    """Return the saved inputs as new leaves where a gradient is wanted, else as they are."""
    _, *inputs = node.saved  # type: ignore[misc]  # the walk has checked it
    leaves = []
    for value, parent in zip(inputs, node.parents, strict=True):
        leaf = value if parent is None else _output(value, None)
        if parent is not None:
            leaf._needs = True
        leaves.append(leaf)
    return leaves


def _pull_formula(
    row: Primitive, g: Any, node: Node, parents: tuple[Any, ...], leaves: list[Any] | None
) -> Sequence[Any]:
    """Differentiate the row's formula; without `leaves` the backward pass is itself recorded."""
    create_graph = leaves is None
    inputs: list[Any] = _lift(node)[1:] if leaves is None else leaves  # type: ignore[assignment]
    if leaves is None:
        # Fresh names for the inputs: the walk then ends at them, however large the graph behind is.
        inputs = [
            _alias(x) if parent is not None else x
            for x, parent in zip(inputs, parents, strict=True)
        ]
    params = {k: v for k, v in (node.params or {}).items() if k not in ENGINE_KEYWORDS}
    token = SCOPE.set(Scope(recording=True, parent=SCOPE.get()))
    try:
        results = row.formula(*inputs, **params)  # type: ignore[misc]  # it has one
    finally:
        SCOPE.reset(token)
    several = type(g) is TupleGradient
    pairs = zip(results, g.pieces, strict=True) if several else [(results, g)]
    pairs = [(r, piece) for r, piece in pairs if piece is not None and isinstance(r, Value)]
    found = iter(
        gradients_of(
            [result for result, _ in pairs],
            [x for x, parent in zip(inputs, parents, strict=True) if parent is not None],
            [piece for _, piece in pairs],
            create_graph=create_graph,
            retain_graph=create_graph,
        )
    )
    return [None if parent is None else next(found) for parent in parents]


# --------------------------------------------------------------------------------------------
# From a call to a recorded node

_output_type: type[Value] = Value
_new: Callable[[type], Any] = object.__new__
_RAW = frozenset({float, int, bool, complex, np.float64, np.float32, np.int64, np.bool_})
_ARRAYS = _RAW | {np.ndarray}  # an array beside a Tensor is looked at: it might hold objects
_NUMBERS = "biufc"  # the kinds of dtype to compute with: never objects, never text


def set_output_type(cls: type[Value]) -> None:
    """Tell this module which subclass of `Value` the results of operations are."""
    global _output_type  # noqa: PLW0603 - set once, by the module above that defines Tensor
    _output_type = cls


def _output(data: Any, node: Any) -> Any:
    """Return a Tensor holding `data`; with a node it requires a gradient."""
    out = _new(_output_type)
    out._data = data
    out._node = node
    out._needs = node is not None
    out._grad = out._name = out._views = None
    return out


def operand(x: Any, name: str, *, optional: bool = False) -> Any:
    """Return `x` as something NumPy computes with, or raise TypeError naming the operation."""
    if (type(x) is np.ndarray and x.dtype.kind in _NUMBERS) or (x is None and optional):
        return x
    array = x if hasattr(x, "__array_function__") or isinstance(x, np.generic) else np.asarray(x)
    if array.dtype.kind not in _NUMBERS:
        raise DtypeError(
            f"{name}: got {x!r} of type {type(x).__name__}; expected a Tensor, an array or a number"
        )
    return array


def _rescue(
    row: Primitive,
    arrays: Sequence[Any],
    error: Exception,
    params: dict[str, Any] | None = None,
) -> Any:
    """Raise the error, unless a trace met values it cannot look into: then take the row whole."""
    if isinstance(error, TraceError):
        for array in arrays:
            if hasattr(array, "recorder"):
                return array.recorder.kernel(row.forward, arrays, params or {}, row.name)
    return _fail(row, arrays, error)


def _fail(row: Primitive, arrays: Sequence[Any], error: Exception) -> NoReturn:
    """Raise the error of a forward function as one that names operation, shapes and remedy."""
    if isinstance(error, TinygradCourseError):
        raise error
    if "unexpected keyword" in str(error) or "required keyword" in str(error):
        raise _misspoken(row, error) from error
    shapes = ", ".join(str(np.shape(a)) if a is not None else "None" for a in arrays)
    kinds = ", ".join(str(getattr(a, "dtype", type(a).__name__)) for a in arrays if a is not None)
    where = describe(SCOPE.get())
    expects = f"; expected {row.expects}" if row.expects else ""
    text = f"{row.name}{where}: got shapes {shapes} and dtypes {kinds}{expects} (NumPy: {error})"
    if isinstance(error, IndexError | np.linalg.LinAlgError):
        raise type(error)(text) from error
    raise (DtypeError if isinstance(error, TypeError) else ShapeError)(text) from error


def _misspoken(row: Primitive, error: Exception) -> UnsupportedFunctionError:
    """Return the error for an argument that the row does not know, or did not get."""
    given = str(error).rpartition("argument")[2].strip(" :s")
    ours = f"; this function speaks NumPy, where it is {NUMPY_WORDS[given[1:-1]]!r}"
    known = f"; it knows {', '.join(row.words)}" if row.words else "; it has no options"
    kind = "unknown" if "unexpected" in str(error) else "missing"
    return UnsupportedFunctionError(
        f"{row.name}: {kind} argument {given}{ours if given[1:-1] in NUMPY_WORDS else known}"
    )


def refuse_complex(row: Primitive) -> NoReturn:
    """Raise for a gradient through complex numbers where only real ones have a derivative."""
    raise DtypeError(
        f"{row.name}{describe(SCOPE.get())}: has no derivative at complex numbers; take .real, "
        f".imag or abs() first"
    )


_FORWARD_ERRORS = (ValueError, TypeError, IndexError)


class Views:
    """The Tensors that share one buffer, held weakly: in-place operations ask for them."""

    __slots__ = ("limit", "references")

    def __init__(self, value: Value) -> None:
        self.references = [weakref.ref(value)]
        self.limit = 16

    def add(self, value: Value) -> None:
        """Add one more Tensor, forgetting dead ones now and then."""
        self.references.append(weakref.ref(value))
        if len(self.references) > self.limit:
            self.references = [r for r in self.references if r() is not None]
            self.limit = 2 * len(self.references) + 16

    def others(self, value: Value) -> bool:
        """Whether another Tensor still looks at the buffer."""
        return any(r() is not None and r() is not value for r in self.references)


def note_view(base: Value, view: Value) -> None:
    """Remember that two Tensors look at the same memory."""
    family = base._views
    if family is None:
        family = base._views = Views(base)  # type: ignore[assignment]
    family.add(view)  # type: ignore[union-attr]
    view._views = family


def _make_unary(row: Primitive) -> Callable[..., Any]:
    """Return the recorder of a differentiable row with one input and no parameters."""
    forward = row.operator or row.forward
    keep_ans, keep_x = row.keeps
    name, real = row.name, row.real

    def record(x: Any) -> Any:
        if not isinstance(x, Value):
            data = x if type(x) in _ARRAYS else operand(x, name)
            try:
                return forward(data)
            except _FORWARD_ERRORS as error:
                _fail(row, (data,), error)
        data = x._data
        try:
            ans = forward(data)
        except _FORWARD_ERRORS as error:
            ans = _rescue(row, (data,), error)
        out = _new(_output_type)
        out._data = ans
        out._grad = out._name = out._views = None
        scope = SCOPE.get()
        if x._needs and scope.recording:
            if real and data.dtype.kind == "c":
                refuse_complex(row)
            node = _new(Node)
            node.primitive = row
            node.parents = (x._node or x,)
            node.saved = (ans if keep_ans else None, data if keep_x else None)
            node.params = node.grad = node.retained = None
            node.shape = ans.shape
            node.dtype = ans.dtype
            node.scope = scope
            node.time = tick()
            out._node = node
            out._needs = True
            if scope.observer is not None:
                scope.observer.recorded(node, (data,), ans)
        else:
            out._node = None
            out._needs = False
        return out

    return record


def _make_binary(row: Primitive) -> Callable[..., Any]:  # noqa: PLR0915 - see _make_ternary
    """Return the recorder of a differentiable row with two inputs and no parameters."""
    forward = row.operator or row.forward
    keep_ans, keep_x, keep_y = row.keeps
    name, real = row.name, row.real

    def record(x: Any, y: Any) -> Any:
        if isinstance(x, Value):
            a = x._data
            left = (x._node or x) if x._needs else None
            if isinstance(y, Value):
                b = y._data
                right = (y._node or y) if y._needs else None
            else:
                b = y if type(y) in _RAW else operand(y, name)
                right = None
        elif isinstance(y, Value):
            a = x if type(x) in _RAW else operand(x, name)
            left = None
            b = y._data
            right = (y._node or y) if y._needs else None
        else:
            a = x if type(x) in _ARRAYS else operand(x, name)
            b = y if type(y) in _ARRAYS else operand(y, name)
            try:
                return forward(a, b)
            except _FORWARD_ERRORS as error:
                _fail(row, (a, b), error)
        try:
            ans = forward(a, b)
        except _FORWARD_ERRORS as error:
            ans = _rescue(row, (a, b), error)
        out = _new(_output_type)
        out._data = ans
        out._grad = out._name = out._views = None
        scope = SCOPE.get()
        if (left is not None or right is not None) and scope.recording:
            if real and ans.dtype.kind == "c":
                refuse_complex(row)
            node = _new(Node)
            node.primitive = row
            node.parents = (left, right)
            node.saved = (
                ans if keep_ans else None,
                a if keep_x else None,
                b if keep_y else None,
            )
            node.params = node.grad = node.retained = None
            node.shape = ans.shape
            node.dtype = ans.dtype
            node.scope = scope
            node.time = tick()
            out._node = node
            out._needs = True
            if scope.observer is not None:
                scope.observer.recorded(node, (a, b), ans)
        else:
            out._node = None
            out._needs = False
        return out

    return record


def _make_ternary(row: Primitive) -> Callable[..., Any]:  # noqa: C901 - a loop costs a microsecond
    """Return the recorder of a row with three inputs, the last perhaps absent."""
    forward, name = row.forward, row.name
    keep_ans, keep_x, keep_y, keep_z = row.keeps
    rule_x, rule_y, rule_z = (rule is not None for rule in row.vjps)
    optional = row.optional

    def record(x: Any, y: Any, z: Any = None) -> Any:  # noqa: C901 - the same
        traced = False
        of_x = of_y = of_z = None
        if isinstance(x, Value):
            traced = True
            of_x = (x._node or x) if rule_x and x._needs else None
            x = x._data
        elif type(x) not in _RAW:
            x = operand(x, name)
        if isinstance(y, Value):
            traced = True
            of_y = (y._node or y) if rule_y and y._needs else None
            y = y._data
        elif type(y) not in _RAW:
            y = operand(y, name)
        if isinstance(z, Value):
            traced = True
            of_z = (z._node or z) if rule_z and z._needs else None
            z = z._data
        elif type(z) not in _RAW:
            z = operand(z, name, optional=optional)
        try:
            ans = forward(x, y, z)
        except _FORWARD_ERRORS as error:
            ans = _rescue(row, (x, y, z), error)
        if not traced:
            return ans
        scope = SCOPE.get()
        parents = (of_x, of_y, of_z)
        if of_x is of_y is of_z is None or not scope.recording:
            return _output(ans, None)
        if row.real and ans.dtype.kind == "c":
            refuse_complex(row)
        node = _new(Node)
        node.primitive = row
        node.parents = parents
        node.saved = (
            ans if keep_ans else None,
            x if keep_x else None,
            y if keep_y else None,
            z if keep_z else None,
        )
        node.params = node.grad = node.retained = None
        node.shape = ans.shape
        node.dtype = ans.dtype
        node.scope = scope
        node.time = tick()
        if scope.observer is not None:
            scope.observer.recorded(node, (x, y, z), ans)
        return _output(ans, node)

    return record


def _make_general(row: Primitive) -> Callable[..., Any]:  # noqa: C901 - the same
    """Return the recorder of any other row: parameters, optional inputs, several results, ...."""
    forward, name, residual = row.forward, row.name, row.residuals
    rules = () if row.variadic else row.vjps
    shaped, differentiable, optional = row.shaped, row.differentiable, row.optional
    limit = 1 << 30 if row.variadic else row.arity

    def record(*inputs: Any, **params: Any) -> Any:  # noqa: C901 - the same
        if len(inputs) > limit:
            inputs = _bind(row, inputs, params)
        for word, value in params.items():
            if type(value) not in _FIXED:
                params[word] = _constant(value, name, word)
        arrays, parents, traced, wanted = _receive(inputs, rules, name, optional)
        try:
            ans = forward(*arrays, **params)
        except _FORWARD_ERRORS as error:
            ans = _rescue(row, arrays, error, params)
        kept: tuple[Any, ...] = ()
        if residual:
            ans, *kept = ans
        if not traced:
            return ans
        scope = SCOPE.get()
        if not (wanted and differentiable and scope.recording):
            if type(ans) is tuple:
                return tuple([_seen(row, inputs[0], _output(part, None)) for part in ans])
            return _seen(row, inputs[0], _output(ans, None))
        if row.real and any(map(np.iscomplexobj, arrays)):
            refuse_complex(row)
        if shaped:
            params["shapes"] = tuple([np.shape(a) for a in arrays])
        node = _new(Node)
        node.primitive = row
        node.parents = tuple(parents)
        node.saved = _keep(row, ans, arrays, kept)
        node.params = params
        node.grad = node.retained = None
        node.scope = scope
        node.time = tick()
        several = type(ans) is tuple
        node.shape, node.dtype = (None, None) if several else (ans.shape, ans.dtype)
        if scope.observer is not None:
            scope.observer.recorded(node, tuple(arrays), ans)
        if several:
            return tuple([_seen(row, inputs[0], _select(ans, node, k)) for k in range(len(ans))])
        return _seen(row, inputs[0], _output(ans, node))

    return record


def _bind(row: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
    """Give what stands beyond a row's inputs to its parameters, in order; return the inputs."""
    given = inputs[row.arity :]
    if len(given) > len(row.words):
        raise ArgumentError(
            f"{row.name}: got {len(inputs)} arguments, expected at most "
            f"{row.arity + len(row.words)}"
        )
    params.update(zip(row.words, given, strict=False))
    return inputs[: row.arity]


_FIXED = frozenset({bool, float, int, str, tuple, type(None)})
"""Kinds of parameters that nobody can change after the call."""


def _constant(value: Any, name: str, word: str) -> Any:
    """Return a parameter as the node may keep it: the derivative reads it again."""
    if isinstance(value, Value):
        if value._needs:
            raise UnsupportedFunctionError(
                f"{name}: argument {word} requires grad, but {name} has no derivative for it; "
                f"pass it detached (.detach())"
            )
        value = value._data
    return np.array(value) if isinstance(value, np.ndarray | list) else value


def _receive(
    inputs: tuple[Any, ...], rules: Sequence[Any], name: str, optional: bool
) -> tuple[list[Any], list[Any], bool, bool]:
    """Return the arrays, the parents, whether a Tensor is among them and whether one is wanted."""
    arrays, parents = [], []
    traced = wanted = False
    for i, x in enumerate(inputs):
        parent = None
        if isinstance(x, Value):
            arrays.append(x._data)
            traced = True
            if x._needs and (not rules or rules[i] is not None):
                parent = x._node or x
                wanted = True
        else:
            arrays.append(x if type(x) in _RAW else operand(x, name, optional=optional))
        parents.append(parent)
    return arrays, parents, traced, wanted


def _keep(row: Primitive, ans: Any, arrays: list[Any], residuals: Sequence[Any]) -> tuple[Any, ...]:
    """Return what the derivative will read: the result, the inputs, and residuals at the end."""
    keep_ans, *keeps = row.keeps
    if row.variadic:  # the last flag holds for all further inputs
        keeps += [keeps[-1]] * (len(arrays) - len(keeps))
    saved = [a if keep else None for a, keep in zip(arrays, keeps, strict=False)]
    return (ans if keep_ans else None, *saved, *residuals)


def _seen(row: Primitive, base: Any, out: Any) -> Any:
    """Return `out`, noted as a view if the row makes views and this one shares memory."""
    if row.view and isinstance(base, Value) and owner(out._data) is owner(base._data):
        note_view(base, out)
    return out


def _make_effect(row: Primitive) -> Callable[..., Any]:
    """Return the caller of a row that overwrites input 0 or draws random numbers."""
    forward, name = row.forward, row.name

    def run(*inputs: Any, **params: Any) -> Any:
        for x in inputs if row.effect == "write" else ():
            if isinstance(x, Value) and isinstance(x._data, np.generic):
                x._data = np.asarray(x._data)  # a NumPy scalar cannot be written into
        arrays = [x._data if isinstance(x, Value) else operand(x, name) for x in inputs]
        if row.effect == "draw":
            observer = SCOPE.get().observer
            if observer is not None and observer.replays:
                return observer.drawn(forward, name, params)
        try:
            ans = forward(*arrays, **params)
        except _FORWARD_ERRORS as error:
            _fail(row, arrays, error)
        if row.effect == "write":
            note_write(arrays[0], name)
            if called_by_user():
                name_line(arrays[0])
            return inputs[0]
        return ans

    return run


def primitive(
    name: str,
    forward: Callable[..., Any],
    samples: Samples,
    *vjps: Callable[..., Any] | None,
    doc: str,
    **options: Any,
) -> Callable[..., Any]:
    """Register a row and return the function that computes and records it.

    Args:
        name: the row's name, unique in the registry.
        forward: ``forward(*arrays, **params)``.
        samples: inputs and parameters at which the derivative is checked.
        *vjps: one derivative rule per input; None for an input without derivative.
        doc: the function's docstring: formula, shapes, example.
        **options: the other fields of `Primitive`.

    Raises:
        ArgumentError: the name is taken, or there is no samples function.
    """
    if name in PRIMITIVES:
        raise ArgumentError(f"primitive: the name {name!r} is registered already")
    if not callable(samples):
        raise ArgumentError(
            f"primitive {name!r}: samples must be a function of a random generator that yields "
            f"(inputs, params); a primitive without samples would escape the gradient check"
        )
    row = Primitive(name, forward, samples, tuple(vjps), **options)
    arguments = row.arity + len(row.words)
    if row.effect:
        function = _make_effect(row)
    elif arguments == len(vjps) == 1 and all(vjps) and not row.view:
        function = _make_unary(row)
    elif arguments == len(vjps) == 2 and all(vjps):
        function = _make_binary(row)
    elif arguments == len(vjps) == 3 and not row.joint:
        function = _make_ternary(row)
    else:
        function = _make_general(row)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__module__ = "tinygrad_course.ops"
    function.primitive = row  # type: ignore[attr-defined]
    PRIMITIVES[name] = row
    FUNCTIONS[name] = function
    for numpy_function in row.numpy:
        NUMPY_FUNCTIONS[numpy_function] = function
    return function


def nothing(_generator: np.random.Generator) -> Iterator[Sample]:
    """Yield no samples: for the two rows that only the engine itself records."""
    yield from ()


def _select_rule(g: Any, _ans: Any, _x: Any, *, index: int, count: int) -> TupleGradient:
    return TupleGradient(tuple(g if k == index else None for k in range(count)))


_SELECT = Primitive("select", tuple.__getitem__, nothing, (_select_rule,))
_ALIAS = Primitive("alias", lambda x: x, nothing, (lambda g, _ans, _x: g,))


def _child(row: Primitive, data: Any, parent: Any, params: dict[str, Any] | None) -> Any:
    node = _new(Node)
    node.primitive = row
    node.parents = (parent,)
    node.saved = (None, None)
    node.params = params
    node.grad = node.retained = None
    node.shape, node.dtype = data.shape, data.dtype
    node.scope = SCOPE.get()
    node.time = tick()
    return _output(data, node)


def _select(parts: tuple[Any, ...], node: Node, index: int) -> Any:
    """Return result `index` of a node with several results, recorded unless it is a constant."""
    if index in node.primitive.constant_outputs:
        return _output(parts[index], None)
    params = {"index": index, "count": len(parts)}
    return _child(_SELECT, parts[index], node, params)


def _alias(x: Value) -> Any:
    return _child(_ALIAS, x._data, x._node or x, None)


__all__ = [
    "FUNCTIONS",
    "NUMPY_FUNCTIONS",
    "PRIMITIVES",
    "Op",
    "Primitive",
    "Sample",
    "Samples",
    "Scope",
    "TupleGradient",
    "note_view",
    "operand",
    "primitive",
    "set_output_type",
]
