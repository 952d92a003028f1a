"""Running a function once with stand-ins, and noting every NumPy call that it makes.

Every Tensor that is alive when the trace begins holds a stand-in for its array until the trace
ends. What the trace wrote into memory is put back, so tracing changes nothing; replays do.
"""

from __future__ import annotations

import functools
import gc
import operator
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from types import FrameType
from typing import Any, Self

import numpy as np

from tinygrad_course.buffers import owner, user_line
from tinygrad_course.errors import TraceError
from tinygrad_course.graph import SCOPE, Node, Observer, Scope, Value, walk
from tinygrad_course.nested import leaves, rebuilt
from tinygrad_course.primitive import TupleGradient
from tinygrad_course.replay.program import Effect, Guard, Note, Program, Step, Var, Wrapped, mapped
from tinygrad_course.replay.traced import Number, Traced, plain

_LOCK = threading.RLock()
"""Tensors hold stand-ins during a trace, which no second trace must see."""

_EVERYBODYS = frozenset({"tensor", "grad", "state", "number", "constant"})
"""Roles of values that other threads may know; the others they have from the step."""

PLAIN = (bool, int, float, complex, str, type(None))
"""What a step may take and return besides arrays and Tensors: a trace takes it as it is."""


class Trace(Observer):
    """The observer that notes a step: its calls, its numbers, and what it changes outside."""

    replays = True

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.outside: dict[tuple[int, int], Var] = {}
        self.guards: list[Guard] = []
        self.effects: list[Effect] = []
        self.options: list[tuple[Any, Any, Any]] = []
        self.tables: list[tuple[Any, Any, Any]] = []
        self.saved: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.generators: dict[int, tuple[Any, Any]] = {}
        self.kept: list[Any] = []  # nothing dies before the trace: ids stay unique
        self.states: dict[int, LiveState] = {}
        self.unlabelled = 0
        self.updated: Any = None
        self.closed = False
        self.thread = threading.get_ident()
        self.others = {thread.ident for thread in threading.enumerate()}
        self.foreign: dict[int, Any] = {}  # what older threads computed meanwhile
        self.refused: TraceError | None = None

    # ---- values ----------------------------------------------------------------------------

    def _root(self, value: Any) -> int:
        base = owner(value) if isinstance(value, np.ndarray) else value
        self.kept.append(base)
        return id(base)

    def from_outside(self, role: str, value: Any, source: Any = None) -> Var:
        """Return the variable of an array or number that exists before the step."""
        key = id(value), id(source)
        if role in ("constant", "tensor") and key in self.outside:
            return self.outside[key]
        if id(value) in self.foreign:
            raise _threads_inside()
        self.kept.append(value)
        var = Var(role, self._root(value), value, source)
        self.outside[key if role in ("constant", "tensor") else (id(var), 0)] = var
        return var

    def stand_in(self, role: str, value: Any, source: Any = None) -> Any:
        """Return a stand-in for something from outside."""
        var = self.from_outside(role, value, source)
        number = role == "number" or not isinstance(value, np.ndarray | np.generic)
        return Number(value, var, self) if number else Traced(value, var, self)

    def _argument(self, value: Any) -> Any:
        """Return what a step keeps of an argument: a variable, or the value itself."""
        if isinstance(value, Traced | Number):
            if value.recorder is not self:
                raise TraceError(
                    f"compile: at {user_line()} an array is used that belongs to an earlier trace; "
                    f"return values from the function instead of keeping them elsewhere"
                )
            return value.variable
        if isinstance(value, Value):
            return self._argument(value._data)
        if isinstance(value, np.ndarray):
            return self.from_outside("constant", value)
        return value

    def _wrap(self, value: Any) -> Any:
        """Return a result as a stand-in of a fresh variable."""
        if isinstance(value, np.ndarray | np.generic):
            self.kept.append(value)
            return Traced(value, Var("temporary", self._root(value), value), self)
        if isinstance(value, tuple | list):
            parts = [self._wrap(part) for part in value]
            return value._make(parts) if hasattr(value, "_make") else type(value)(parts)
        if isinstance(value, int | float | complex | bool):
            return Number(value, Var("temporary", id(value), value), self)
        if value is None:
            return None
        raise TraceError(
            f"compile: a call at {user_line()} returned {type(value).__name__}, which a replay "
            f"cannot hold; expected arrays"
        )

    # ---- the Recorder that stand-ins talk to ------------------------------------------------

    def call(
        self,
        function: Callable[..., Any],
        form: str,
        text: str,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        writes: tuple[Any, ...] = (),
    ) -> Any:
        """Compute, note, and return the traced result."""
        if self.closed:
            raise TraceError(
                f"compile: at {user_line()} an array is used that belongs to a trace that has "
                f"ended; return values from the function instead of keeping them elsewhere"
            )
        if threading.get_ident() != self.thread:
            return self._in_another_thread(function, args, keywords)
        step_args = mapped(args, self._argument)
        step_keywords = {key: mapped(value, self._argument) for key, value in keywords.items()}
        roots = self._written(writes)
        values = plain(mapped(args, _data)), plain(mapped(keywords, _data))
        result = self._wrap(function(*values[0], **values[1]))
        written = mapped(result, _var) if not writes else None
        step = Step(function, form, text, step_args, step_keywords, written, roots, self._note())
        self.steps.append(step)
        return result

    def close(self) -> None:
        """End the trace: no more calls are noted, and no values are held."""
        self.closed = True
        self.kept.clear()
        self.foreign.clear()
        for state in self.states.values():
            state.end()
        self.states.clear()

    def _in_another_thread(
        self, function: Callable[..., Any], args: Any, keywords: dict[str, Any]
    ) -> Any:
        """Compute plainly: others may use a model meanwhile, but the step may not use them."""
        operands = (_data(x) for x in leaves((args, keywords)))
        known = (x.variable.role in _EVERYBODYS for x in operands if isinstance(x, Traced | Number))
        if threading.get_ident() not in self.others or not all(known):
            self.refused = _threads_inside()  # for the thread that waits, if nobody hears this one
            raise self.refused
        result = function(*plain(args), **plain(keywords))
        if isinstance(result, np.ndarray):
            self.foreign[id(result)] = result
        return result

    def _written(self, targets: tuple[Any, ...]) -> frozenset[int]:
        """Return the roots that a call overwrites; keep a copy of memory from outside."""
        roots = set()
        for target in targets:
            if not isinstance(target, Traced):
                raise TraceError(
                    f"compile: a result is written into a plain array at {user_line()}, where a "
                    f"trace cannot follow it; write into an array made of the inputs, for instance "
                    f"with np.empty_like"
                )
            roots.add(target.variable.root)
            base = owner(target.value)
            if id(base) not in self.saved:
                self.saved[id(base)] = (base, base.copy())
        return frozenset(roots)

    def truth(self, number: Number, *, exact: bool) -> Any:
        """Return a number's value or truth, and note that the trace relies on it."""
        value = number.value if exact else bool(number.value)
        self.guards.append(Guard(number.variable, value))
        return value

    def outcome(self, x: Any, function: Callable[..., Any]) -> Any:
        """Return what a program knows of something that the function returned."""
        x, tensor = (x._data, x) if isinstance(x, Value) else (x, None)
        if id(x) in self.foreign:
            raise _threads_inside()
        if isinstance(x, Traced):
            return x.variable if tensor is None else Wrapped(x.variable)
        if isinstance(x, Number):
            return x.variable
        if tensor is None and not isinstance(x, (np.ndarray, np.generic, *PLAIN)):
            raise TraceError(
                f"compile: {_name(function)} returned {type(x).__name__}; a replay returns Tensors,"
                f" arrays, numbers, text and None, in tuples, lists, dicts and dataclasses"
            )
        return x if tensor is None else tensor

    # ---- what layers and optimizers tell ----------------------------------------------------

    def drawn(self, function: Callable[..., Any], text: str, keywords: dict[str, Any]) -> Any:
        """Note a random draw, whose generator goes back to its state after the trace."""
        generator = keywords["generator"]
        if id(generator) not in self.generators:
            self.generators[id(generator)] = (generator, generator.bit_generator.state)
        return self.call(function, "call", text, (), keywords)

    def kernel(
        self, function: Callable[..., Any], args: Any, keywords: dict[str, Any], name: str = ""
    ) -> Any:
        """Note a function as one call instead of looking into it."""
        name = name or function.__name__.lstrip("_")
        return self.call(function, "call", name, tuple(args), keywords)

    def number(self, table: dict[str, Any], key: str) -> Any:
        """Return the stand-in of a number in a dict, read anew at every replay."""
        value = table[key]
        if isinstance(value, tuple) and all(map(_is_number, value)):
            return tuple(
                self.stand_in("number", _python(part), (table, key, i))
                for i, part in enumerate(value)
            )
        if _is_number(value):
            return self.stand_in("number", _python(value), (table, key, None))
        self.options.append((table, key, value))
        return value

    def later(self, function: Callable[..., Any], args: Any, keywords: dict[str, Any]) -> None:
        """Note something in Python that every replay does at its end: a schedule's step."""
        if any(isinstance(_data(x), Traced | Number) for x in leaves((args, keywords))):
            raise TraceError(
                f"compile: the call at {user_line()} needs the value of an array, which is known "
                f"only when the step has run; take it out of the step, and give it what the step "
                f"returns"
            )
        self.effects.append(Effect("call", functools.partial(function, *args, **keywords), None))

    def state(self, optimizer: Any, p: Any) -> LiveState:
        """Return a stand-in for ``optimizer.state[p]``: arrays and numbers between steps."""
        self.updated = p
        table = optimizer.state.setdefault(p, {})
        if id(table) not in self.states:
            self.states[id(table)] = LiveState(table, self)
            self.tables.append((optimizer, p, table))
        return self.states[id(table)]

    # ---- the Observer that the engine talks to ----------------------------------------------

    def recorded(self, node: Node, _inputs: tuple[Any, ...], _result: Any) -> None:
        """Give the calls of a recorded operation its name."""
        modules = tuple(node.scope.modules())
        for step in self.steps[self.unlabelled :]:
            note = step.note
            if note.phase == "forward" and not note.operation and note.modules == modules:
                step.note = Note("forward", node.primitive.name, modules, step.note.line)
        self.unlabelled = len(self.steps)
        node.primitive = _Whole(node.primitive)

    def _note(self) -> Note:
        """Return what the call that is being noted belongs to."""
        node, phase = _running(sys._getframe(2))
        scope = node.scope if node is not None else SCOPE.get()
        operation = node.primitive.name if node is not None else ""
        parameter = self.updated if phase == "update" else None
        return Note(phase, operation, tuple(scope.modules()), user_line(), parameter)


def _running(frame: FrameType | None) -> tuple[Node | None, str]:
    """Return the node whose derivative rule runs, and the phase, as the call stack tells it."""
    while frame is not None:
        if frame.f_code is walk.__code__:
            return frame.f_locals.get("node"), "backward"
        if frame.f_code.co_name == "_note_group":
            return None, "update"
        frame = frame.f_back
    return None, "forward"


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) or (
        isinstance(value, np.generic) and value.dtype.kind in "iuf"
    )


def _python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _data(x: Any) -> Any:
    return x._data if isinstance(x, Value) else x


def _var(x: Any) -> Any:
    return x.variable if isinstance(x, Traced | Number) else x


class _Whole:
    """A row whose rules a trace looks into if it can, and takes as one call if it cannot."""

    direct = None  # so that the walk asks `pull`

    def __init__(self, row: Any) -> None:
        self.row = row

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)

    def pull(self, g: Any, node: Node, parents: tuple[Any, ...]) -> Any:
        """Apply the row's rules, as the walk does."""
        try:
            return self.row.pull(g, node, parents)
        except TraceError:
            return self._as_one_call(g, node, parents)

    def _as_one_call(self, g: Any, node: Node, parents: tuple[Any, ...]) -> Any:
        several = type(g) is TupleGradient
        upstream = g.pieces if several else g
        stand_in = next(x for x in _flat((upstream, node.saved)) if isinstance(x, Traced))
        row, params, wanted = self.row, node.params, tuple(p is not None for p in parents)

        def pieces(g: Any, saved: Any) -> Any:
            known = Node()
            known.primitive, known.saved, known.params = row, saved, params
            known.parents = tuple(known if want else None for want in wanted)
            return tuple(row.pull(TupleGradient(g) if several else g, known, known.parents))

        name = f"{row.name}_backward"
        return stand_in.recorder.kernel(pieces, (upstream, node.saved), {}, name)


def _flat(tree: Any) -> Any:
    if isinstance(tree, tuple | list):
        for part in tree:
            yield from _flat(part)
    else:
        yield tree


class LiveState(dict[str, Any]):
    """An optimizer's state in a trace: reads give stand-ins, writes become effects."""

    def __init__(self, table: dict[str, Any], trace: Trace) -> None:
        super().__init__()
        self.table = table
        self.trace = trace
        self.present = frozenset(table)
        self.written: dict[str, Any] = {}
        for key, value in table.items():
            number = type(value) in (int, float)
            if number or isinstance(value, np.ndarray):
                role = "number" if number else "state"
                source = (table, key, None) if number else (table, key)
                super().__setitem__(key, trace.stand_in(role, value, source))
            else:
                trace.options.append((table, key, value))
                super().__setitem__(key, value)

    def __setitem__(self, key: str, value: Any) -> None:
        self.written[key] = value
        super().__setitem__(key, value)

    def end(self) -> None:
        """Drop the stand-ins, which know the trace as it knows them."""
        self.clear()
        self.written.clear()

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return an entry, and set it first if there is none."""
        if key not in self:
            self[key] = default
        return self[key]


def trace(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    *,
    alike: Callable[[Program, Program], bool],
) -> tuple[Program, Program]:
    """Run a function twice with stand-ins for its arrays; return both programs. Nothing changes.

    In the second run every parameter has a gradient, as from an earlier step. If the program is the
    same, `alike` says, the step forgets old gradients and does not care; else it runs once more.

    Raises:
        TraceError: the function needs a value that is known only when the step runs.
    """
    with _LOCK:
        tensors = _tensors()
        first = _trace(function, args, keywords, tensors)
        bare = any(_may_have_a_gradient(t) and t._grad is None for t in tensors)
        with suppress(TraceError) if bare else nullcontext():
            second = _trace(function, args, keywords, tensors, with_gradients=True)
            if not bare or alike(first, second):
                return first, second
        return first, _trace(function, args, keywords, tensors)


def _tensors() -> list[Value]:
    """Return the Tensors that live, but for those that an earlier trace left behind."""
    alive = (x for x in gc.get_objects() if issubclass(type(x), Value))
    return [x for x in alive if not isinstance(x._data, Traced)]


def _may_have_a_gradient(tensor: Value) -> bool:
    return tensor._needs and tensor._node is None


def what_is_left(
    function: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]
) -> list[tuple[str, Any, Any]]:
    """Return what the function would return and change: in words, where it stands, its value."""
    with _LOCK:
        return _trace(function, args, keywords, _tensors(), compare=True).left


def _trace(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    tensors: list[Value],
    *,
    compare: bool = False,
    with_gradients: bool = False,
) -> Program:
    note = Trace()
    outer = SCOPE.get()
    given = leaves((args, keywords))
    with _StandIns(note, tensors, given, with_gradients=with_gradients) as stand_ins:
        fresh, arguments = stand_ins.arguments()
        call_args, call_keywords = rebuilt((args, keywords), fresh)
        token = SCOPE.set(Scope(outer.recording, parent=outer, observer=note))
        try:
            result = function(*call_args, **call_keywords)
        except RecursionError as error:
            raise TraceError(
                f"compile: {_name(function)} calls itself without an end, or too deeply for Python"
            ) from error
        finally:
            SCOPE.reset(token)
        if note.refused is not None:
            raise note.refused
        outcome = [note.outcome(x, function) for x in leaves(result)]
        stand_ins.note_effects()
        left = stand_ins.what_is_left(result) if compare else []
        structure = rebuilt(result, [None] * len(outcome))
    for var in (*note.outside.values(), *(v for step in note.steps for v in step.results())):
        var.forget()
    return Program(
        note.steps,
        arguments,
        outcome,
        structure,
        note.effects,
        note.guards,
        note.options,
        note.tables,
        [v for v in note.outside.values() if v.role != "input"],
        left,
    )


class _StandIns:
    """Puts stand-ins into all Tensors for a while, and everything back at the end."""

    def __init__(
        self, note: Trace, tensors: list[Value], given: list[Any], *, with_gradients: bool
    ) -> None:
        self.note = note
        self.tensors = tensors
        self.given = given
        self.with_gradients = with_gradients

    def __enter__(self) -> Self:
        self.before = [(t, t._data, t._grad, t._node, t._needs, t._views) for t in self.tensors]
        try:
            self._place()
        except BaseException:
            self.__exit__()
            raise
        self.placed = [(t, t._data, t._grad) for t in self.tensors]
        return self

    def _place(self) -> None:
        own = {id(x) for x in self.given}
        for tensor in self.tensors:
            role = "input" if id(tensor) in own else "tensor"
            data, tensor._data = tensor._data, self.note.stand_in(role, tensor._data, tensor)
            gradient = tensor._grad
            if gradient is None and self.with_gradients and _may_have_a_gradient(tensor):
                gradient = np.zeros_like(data)
            if gradient is not None:
                tensor._grad = self.note.stand_in("grad", gradient, tensor)

    def arguments(self) -> tuple[list[Any], list[Any]]:
        """Return the leaves of the call's arguments, and what the program knows of each."""
        fresh = [
            self.note.stand_in("input", x) if isinstance(x, np.ndarray | np.generic) else x
            for x in self.given
        ]
        known = [_data(x).variable if isinstance(_data(x), Traced) else x for x in fresh]
        return fresh, known

    def note_effects(self) -> None:
        """Note what the function left in Tensors and state from outside."""
        effects = self.note.effects
        found: list[Effect] = []
        for tensor, data, grad in self.placed:
            if tensor._data is not data:
                found.append(_effect("data", tensor, tensor._data))
            if tensor._grad is not grad:
                found.append(_effect("grad", tensor, tensor._grad))
        made = (var for step in self.note.steps for var in step.results())
        place = {var: number for number, var in enumerate(made)}
        effects += sorted(found, key=lambda effect: place.get(effect.value, -1))  # type: ignore[arg-type]
        for state in self.note.states.values():
            for key, value in state.written.items():
                effects.append(_effect("state", state.table, value, key))

    def what_is_left(self, result: Any) -> list[tuple[str, Any, Any]]:
        """Return what the function returned and changed: in words, where it stands, its value."""
        found: list[tuple[str, Any, Any]] = [
            (f"result {i}", None, _data(x).value.copy())
            for i, x in enumerate(leaves(result))
            if isinstance(_data(x), Traced)
        ]
        for effect in self.note.effects:
            if effect.value is not None and effect.kind != "state":
                where = operator.attrgetter(f"_{effect.kind}")
                value = where(effect.target).value.copy()
                found.append((f"the {effect.kind} of a Tensor", (where, effect.target), value))
        outside = self.note.outside.values()
        for var in outside:  # a replay may let state lie elsewhere
            if var.role == "state" and var.root in self.note.saved:
                table, key = var.source
                found.append((f"the state {key}", (table.get, key), var.example.copy()))
        roots = {var.root for var in outside if var.role != "state"}
        for array in (array for root, (array, _) in self.note.saved.items() if root in roots):
            what = f"an array of shape {array.shape} from outside"
            found.append((what, (lambda base: base, array), array.copy()))
        return found

    def __exit__(self, *_exception: object) -> None:
        for tensor, *fields in self.before:
            tensor._data, tensor._grad, tensor._node, tensor._needs, tensor._views = fields
        for array, copy in self.note.saved.values():
            array[...] = copy
        for generator, state in self.note.generators.values():
            generator.bit_generator.state = state
        self.note.close()


def _threads_inside() -> TraceError:
    return TraceError(
        f"compile: at {user_line()} another thread computes with arrays of the step; a replay is "
        f"one straight line in one thread, so let the step do without threads of its own"
    )


def _effect(kind: str, target: Any, value: Any, key: Any = None) -> Effect:
    if isinstance(value, Traced | Number):
        return Effect(kind, target, value.variable, key)
    return Effect(kind, target, None, key, value)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


__all__ = ["LiveState", "Trace", "trace", "what_is_left"]
