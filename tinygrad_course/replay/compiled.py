"""`compile`: a function that is traced once and replayed as straight-line NumPy."""

from __future__ import annotations

import builtins
import functools
import inspect
import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError, TraceError
from tinygrad_course.graph import SCOPE, Value
from tinygrad_course.nested import children, leaves
from tinygrad_course.replay.captured import captured
from tinygrad_course.replay.driver import MISS, Driver
from tinygrad_course.replay.nodes import results_of
from tinygrad_course.replay.passes import PASSES
from tinygrad_course.replay.program import Layout, Program, Step, Var, variables
from tinygrad_course.replay.trace import trace, what_is_left
from tinygrad_course.replay.writing import write

KEPT = 8
"""Replays that are kept for arguments of one kind; the oldest gives way."""


class Compiled:
    """A function that runs as straight-line NumPy: see `compile`."""

    def __init__(
        self,
        function: Callable[..., Any],
        passes: Iterable[str],
        *,
        reuse: bool = True,
        debug: bool = False,
    ) -> None:
        functools.update_wrapper(self, function)
        self.__name__: str = getattr(function, "__name__", type(function).__name__)
        self.function = function
        self.passes = tuple(passes)
        self.reuse = reuse
        self.debug = debug
        self._replays: dict[Any, list[Replay]] = {}
        self._latest: Replay | None = None
        self._running = threading.RLock()  # two threads would compute in the same buffers

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Run the step: replay it, or trace it first if it is new."""
        observer = SCOPE.get().observer
        if observer is not None and observer.replays:
            return self.function(*args, **keywords)  # inside another trace it is part of that
        with self._running:
            if self.debug:
                return self._compared(args, keywords)
            if self._latest is not None and not keywords:
                result = self._latest.drive(args)
                if result is not MISS:
                    return result
            return self._find(args, keywords)

    def _compared(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Run the step and hold what it leaves behind against the function itself."""
        expected = what_is_left(self.function, args, keywords)
        result = self._find(args, keywords)
        arrays = [getattr(x, "_data", x) for x in leaves(result)]
        for what, place, value in expected:
            index = int(what.split()[-1]) if place is None else -1
            found = arrays[index] if place is None else place[0](place[1])
            if not _close(found, value):
                raise TraceError(
                    f"compile: in debug mode, {what} differs between the replay of "
                    f"{self.__name__} and the function itself; something changed that a replay "
                    f"cannot see. Pass it as an argument, or call .clear() after changing it"
                )
        return result

    def _find(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Run the replay for these arguments, which is not the latest one, or make it."""
        given = leaves((args, keywords))
        known = self._replays.setdefault(_outline((args, keywords)), [])
        for replay in (r for moved in (False, True) for r in known if not moved or r.moved()):
            result = replay.drive(given)
            if result is not MISS:
                self._latest = replay
                return result
        first, second = trace(self.function, args, keywords, alike=_are_alike)
        _refuse_differences(first, second)
        replay = Replay(second, self.function, self.passes, reuse=self.reuse)
        del known[: max(0, len(known) - KEPT + 1)]
        known.append(replay)
        self._latest = replay
        result = replay.drive(given)
        if result is MISS:
            raise TraceError(
                f"compile: {self.__name__} changes what it relies on before it runs; this is a "
                f"fault of compile, please report it"
            )
        return result

    @property
    def source(self) -> str:
        """The NumPy source of the latest replay.

        Raises:
            ArgumentError: nothing was traced yet.
        """
        return self._last().source.text

    @property
    def plan(self) -> Plan:
        """The program of the latest replay; ``viz.graph(step.plan)`` draws it.

        Raises:
            ArgumentError: nothing was traced yet.
        """
        return Plan(self._last().program)

    def _last(self) -> Replay:
        if self._latest is None:
            raise ArgumentError(
                f"compile: {self.__name__} has not run yet; call it once, and the step is traced"
            )
        return self._latest

    def explain(self) -> str:
        """Say what was traced, what each pass did, how much memory is held, and what is relied on.

        Raises:
            ArgumentError: nothing was traced yet.
        """
        return self._last().explain(self.__name__)

    def clear(self) -> None:
        """Forget all replays; the next call traces again."""
        self._replays.clear()
        self._latest = None

    def __repr__(self) -> str:
        count = sum(map(len, self._replays.values()))
        return f"<compiled {self.__name__}: {count} {'replay' if count == 1 else 'replays'}>"


class Plan:
    """The program of a replay, to look at: its calls in order.

    Attributes:
        steps: the NumPy calls.
        program: everything: arguments, results, effects, guards.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.steps = program.steps

    def as_values(self) -> dict[str, Any]:
        """Return what the program returns and overwrites, with its calls as nodes behind it."""
        return dict(results_of(self.program))

    def __repr__(self) -> str:
        return f"<plan of {len(self.steps)} NumPy calls>"


class Replay:
    """One traced form of a step, for one combination of shapes and dtypes."""

    def __init__(
        self,
        program: Program,
        function: Callable[..., Any],
        passes: tuple[str, ...],
        *,
        reuse: bool,
    ) -> None:
        self.log = [("", len(program.steps))]
        for name in passes:
            program = PASSES[name](program)
            self.log.append((name, len(program.steps)))
        self.program = program
        self.function = function
        self.source = write(program, _names(program, function), reuse=reuse)
        namespace: dict[str, Any] = {}
        title = f"<replay of {getattr(function, '__name__', 'a function')}>"
        code = builtins.compile(self.source.text, title, "exec")
        exec(code, namespace)  # noqa: S102 - our own text
        self.make = namespace["make"]
        self.driver = Driver(program, self.source, function)
        self.bind()
        self.drive = self.driver.compile()

    def bind(self) -> None:
        """Give the source the arrays that now stand where those of the trace stood."""
        arrays = (var.current() for var in self.source.bound)
        self.driver.bind(self.make(*arrays, **self.source.objects))

    def moved(self) -> bool:
        """Bind again if Tensors or state have other arrays that fit, and say so."""
        arrays = [(v.current(), v.example) for v in self.source.bound if v.role != "constant"]
        fit = all(
            now is not None
            and now.shape == then.shape
            and now.dtype == then.dtype
            and now.strides == then.strides  # views of it are taken once
            for now, then in arrays
        )
        if fit:
            self.bind()
        return fit

    def explain(self, name: str) -> str:
        """Return what `Compiled.explain` prints."""
        steps = self.program.steps
        lines = [f"{name}: {len(steps)} NumPy calls"]
        for (_, before), (passed, after) in zip(self.log, self.log[1:], strict=False):
            lines.append(f"  {passed:<12} {before} calls -> {after}")
        made = sum(v.example.nbytes for s in steps for v in s.results() if _is_new(v, s))
        held = self.source.buffers
        lines.append(f"  {'buffers':<12} {held:,} bytes for {made:,} bytes of results")
        constants = [v for v in self.source.bound if v.role == "constant"]
        if constants:
            lines.append("  captured arrays, read where they are at every replay:")
            lines += [f"    {v.name} {v.example.shape} {v.example.dtype}" for v in constants]
        lines += ["  relied on:", *(f"    {text}" for text in self.driver.relied)]
        return "\n".join(lines)


def _is_new(var: Var, step: Step) -> bool:
    return isinstance(var.example, Layout) and var.root not in {v.root for v in step.reads()}


def _names(program: Program, function: Callable[..., Any]) -> dict[int, str]:
    """Return what the source may call things from outside, by id."""
    names: dict[int, str] = {}
    ran = (step.note.modules[0] for step in program.steps if step.note.modules)
    for module in {id(module): module for module in ran}.values():
        for path, tensor in (*module.named_parameters(), *module.named_buffers()):
            names.setdefault(id(tensor), path)
    for _, p, table in program.tables:
        names[id(table)] = names.setdefault(id(p), p._name or "parameter")
    for known in captured(function):
        if isinstance(known.value, Value | np.ndarray):
            names.setdefault(id(known.value), known.name)
    try:
        words = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        words = []
    if len(words) == len(program.arguments):
        leaves_by_word = zip(program.arguments, words, strict=True)
        names.update((id(leaf), word) for leaf, word in leaves_by_word if isinstance(leaf, Var))
    return names


def _close(x: Any, y: Any) -> bool:
    """Whether two arrays are equal up to the rounding of another order of the same sums."""
    eps = float(np.finfo(y.dtype).eps) if y.dtype.kind in "fc" else 0.0
    scale = float(np.abs(y).max(initial=0.0)) if y.dtype.kind in "fc" else 0.0
    return np.allclose(x, y, rtol=1e3 * eps, atol=1e2 * eps * scale, equal_nan=True)


# ---- two runs ------------------------------------------------------------------------------------


def _refuse_differences(first: Program, second: Program) -> None:
    """Raise if two traces of one step are not the same program."""
    if len(first.steps) != len(second.steps):
        longer = max(first, second, key=lambda p: len(p.steps)).steps
        line = longer[min(len(first.steps), len(second.steps))].note.line
        raise TraceError(
            f"compile: the function does not do the same twice: {len(first.steps)} calls, then "
            f"{len(second.steps)} (the first difference is near {line}); what it does must depend "
            f"on its arguments alone"
        )
    pairs: dict[Var, Var] = dict(zip(first.inputs, second.inputs, strict=True))
    for a, b in zip(first.steps, second.steps, strict=True):
        if a.text != b.text or not _alike((a.args, a.keywords), (b.args, b.keywords), pairs):
            raise TraceError(
                f"compile: at {b.note.line} the step computes with something that differs from one "
                f"run to the next; draw random numbers with nn.Dropout or a function of this "
                f"library, and pass what changes as an argument"
            )
        pairs.update(zip(variables(a.result), variables(b.result), strict=True))


def _are_alike(first: Program, second: Program) -> bool:
    """Whether two traces are one program and change the same things."""
    try:
        _refuse_differences(first, second)
    except TraceError:
        return False
    changes = (
        [(e.kind, id(e.target), e.key, e.value is None) for e in p.effects if e.kind != "call"]
        for p in (first, second)
    )
    return next(changes) == next(changes)


def _alike(x: Any, y: Any, pairs: dict[Var, Var]) -> bool:
    """Whether two nested arguments mean the same, where `pairs` says which variables do."""
    if isinstance(x, Var) and isinstance(y, Var):
        return _same_variable(x, y, pairs)
    if isinstance(x, slice) and isinstance(y, slice):
        x, y = (x.start, x.stop, x.step), (y.start, y.stop, y.step)
    inside, other = children(x), children(y)
    if inside is not None:
        if type(x) is not type(y) or other is None or inside.keys() != other.keys():
            return False
        return all(_alike(inside[key], other[key], pairs) for key in inside)
    if isinstance(x, float | complex | np.generic):
        return bool(x == y or (x != x and y != y))  # noqa: PLR0124 - nan equals nan here
    return x is y or (type(x) is type(y) and _plainly_equal(x, y))


def _same_variable(x: Var, y: Var, pairs: dict[Var, Var]) -> bool:
    if not x.outside:
        return pairs.get(x) is y
    if x.role != "constant" or y.role != "constant" or x.example is y.example:
        return x.role == y.role
    a, b = x.example, y.example
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


def _plainly_equal(x: Any, y: Any) -> bool:
    same = x == y
    return same if isinstance(same, bool) else False


# ---- arguments -----------------------------------------------------------------------------------


def _outline(tree: Any) -> Any:
    """Return the nesting of arguments, in a form that can be looked up."""
    inside = children(tree)
    if inside is None:
        return None
    return (type(tree), tuple((key, _outline(part)) for key, part in inside.items()))


def _refuse_unfinished(function: Callable[..., Any]) -> None:
    """Raise for functions that return before they have done anything."""
    kinds = {
        "a generator function; compile what it does between two values of yield": (
            inspect.isgeneratorfunction,
            inspect.isasyncgenfunction,
        ),
        "a coroutine function; compile the plain function that it awaits": (
            inspect.iscoroutinefunction,
        ),
    }
    for what, tests in kinds.items():
        if any(test(function) for test in tests):
            name = getattr(function, "__name__", "the function")
            raise ArgumentError(f"compile: {name} is {what}")


def compile(  # noqa: A001 - the word of the field
    function: Callable[..., Any] | None = None,
    *,
    passes: Iterable[str] = tuple(PASSES),
    reuse_buffers: bool = True,
    debug: bool = False,
) -> Any:
    """Trace a function once for each combination of shapes, and replay it as plain NumPy source.

    The function may be a whole training step: forward, ``loss.backward()``, ``optimizer.step()``.
    It runs twice with stand-ins for its arrays, which note every NumPy call of the forward pass, of
    the derivative rules and of the update; nothing changes meanwhile. The calls become the source
    of a function without the graph (``.source``), which then runs in its place, with results
    written into preallocated buffers. Parameters, optimizer state and statistics are the same
    objects as before, so eager and compiled steps may alternate.

    What is read anew at every replay: arrays and Tensors given as arguments, every Tensor that is
    alive when the trace begins, an optimizer's options and state. What a new trace is made for:
    other shapes or dtypes, another mode or option of a module, another Python number in the
    closure or among the globals of the function, a learning rate whose truth value changes.
    What cannot be seen: other Python objects that change, and Python's own side effects (a print,
    a counter), which happen while tracing only.

    Args:
        function: what to compile; left out, ``compile(...)`` is a decorator with options.
        passes: the passes to run, by name; all by default.
        reuse_buffers: whether results may share buffers when they are not needed at the same time.
        debug: at every call trace again, and compare what the replay leaves with what the function
            would have left: slow, and finds what a replay cannot see.

    Several threads may call one compiled function; they take turns.

    Raises:
        ArgumentError: a pass does not exist, or the function is a generator or a coroutine.
        TraceError: when called, if the function needs a value of an array while it is traced
            (``float(t)``, ``if t > 0``), computes in threads of its own, returns what is neither
            array, Tensor, number nor text, or does not do the same twice; with `debug` also if the
            replay and the function differ.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> w = tc.Tensor([1.0, -2.0], requires_grad=True)
        >>> @tc.compile
        ... def step(x):
        ...     w.grad = None
        ...     loss = ((x - w) ** 2).sum()
        ...     loss.backward()
        ...     with tc.no_grad():
        ...         w.data -= 0.1 * w.grad
        ...     return loss
        >>> step(np.array([3.0, 0.0])).item()
        8.0
        >>> w.data
        array([ 1.4, -1.6])
        >>> "def step(x):" in step.source
        True
    """
    chosen = tuple(passes)
    unknown = [name for name in chosen if name not in PASSES]
    if unknown:
        raise ArgumentError(f"compile: unknown passes {unknown}; expected some of {list(PASSES)}")
    if function is None:
        return functools.partial(compile, passes=chosen, reuse_buffers=reuse_buffers, debug=debug)
    if not callable(function):
        raise ArgumentError(f"compile: expected a function, got {type(function).__name__}")
    _refuse_unfinished(function)
    return Compiled(function, chosen, reuse=reuse_buffers, debug=debug)


__all__ = ["Compiled", "compile"]
