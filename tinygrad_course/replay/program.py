"""A traced computation: values, and the NumPy calls that make them, one after another.

A `Program` is straight-line: no branches, no loops. Memory matters in it, because NumPy's results
may be views and its calls may write: two variables of one `root` share memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_course.nested import children


class Layout:
    """What is left of an array when its values do not matter: shape, dtype and order in memory."""

    __slots__ = ("c_contiguous", "dtype", "f_contiguous", "nbytes", "ndim", "owns", "shape")

    def __init__(self, array: np.ndarray) -> None:
        self.shape = array.shape
        self.dtype = array.dtype
        self.ndim = array.ndim
        self.nbytes = array.nbytes
        self.c_contiguous = array.flags.c_contiguous
        self.f_contiguous = array.flags.f_contiguous
        self.owns = array.base is None


@dataclass(eq=False, slots=True)
class Var:
    """One value of a program.

    Attributes:
        role: "input" (an argument of the step), "tensor" (data of a Tensor from outside), "grad"
            (its gradient), "state" (an entry of an optimizer's state), "arena" (such entries of
            several parameters, one behind another), "number" (a Python number read anew at every
            replay), "constant" (any other array), or "temporary".
        root: who owns the memory; equal for views of one buffer.
        example: the value that it had in the trace; of passing arrays only their `Layout`.
        source: where a value from outside comes from: depends on the role.
        name: what the source code calls it.
    """

    role: str
    root: int
    example: Any
    source: Any = None
    name: str = ""

    def forget(self) -> None:
        """Keep of an array that does not live between steps only its layout."""
        passing = self.role in ("temporary", "input", "grad")
        if passing and isinstance(self.example, np.ndarray):
            self.example = Layout(self.example)

    @property
    def outside(self) -> bool:
        """Whether the memory exists before the step and outlives it."""
        return self.role != "temporary"

    def current(self) -> Any:
        """Return the array that now stands where a variable came from; None if there is none."""
        if self.role == "tensor":
            return self.source._data
        if self.role == "state":
            table, key = self.source
            return table.get(key)
        if self.role == "arena":
            return self.source.line()
        return self.source._grad if self.role == "grad" else self.example


def made(example: Any) -> Var:
    """Return the variable of a result that a pass adds, with memory of its own."""
    var = Var("temporary", 0, example)
    var.root = -id(var)  # ids of arrays are positive, and those of the trace are free again
    return var


FIXED = "fixed"
"""The phase of calls whose results are the same at every replay: they run once."""

OPTION = "option"
"""The phase of calls that make an array of a number which is read anew at every replay."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a call belongs to: phase, operation, modules, the user's line, what is updated.

    `also` are modules whose calls it does besides.
    """

    phase: str = ""
    operation: str = ""
    modules: tuple[Any, ...] = ()
    line: str = ""
    parameter: Any = None
    also: tuple[Any, ...] = ()


@dataclass(eq=False, slots=True)
class Step:
    """One call.

    Attributes:
        function: what is called, with `Var`s in place of traced values in `args` and `keywords`.
        form: how it is written: "call", "method", "getitem", "setitem", "attribute" or "operator".
        text: what is written: ``np.add``, a method's name, an operator's symbol.
        result: a `Var`, or nested tuples and lists of them, or None.
        writes: roots that the call overwrites.
        note: what the call belongs to.
    """

    function: Callable[..., Any]
    form: str
    text: str
    args: tuple[Any, ...]
    keywords: dict[str, Any]
    result: Any
    writes: frozenset[int] = frozenset()
    note: Note = field(default_factory=Note)

    def reads(self) -> Iterator[Var]:
        """Yield the variables among the arguments."""
        yield from variables(self.args)
        yield from variables(self.keywords)

    def results(self) -> Iterator[Var]:
        """Yield the variables that the call makes."""
        yield from variables(self.result)


@dataclass(slots=True)
class Program:
    """All that a step does: its calls, and what is left when it has run.

    Attributes:
        steps: the calls in order.
        arguments: the leaves of the arguments: a `Var` for an array or Tensor, else the value.
        result: the leaves of what the function returned: `Var`s for arrays, `Wrapped` for Tensors.
        structure: the containers around those leaves.
        effects: what else changes: see `Effect`.
        guards: numbers whose truth, or value, the trace relied on.
        options: entries of dicts that are neither arrays nor numbers: (dict, key, value).
        tables: dicts that hold state between steps: (optimizer, parameter, dict).
        outside: every variable that comes from outside, in order of appearance.
        left: what the function returned and changed in the trace, if that was asked for.
        equal: pairs of numbers that a pass took for one another.
    """

    steps: list[Step]
    arguments: list[Any]
    result: list[Any]
    structure: Any
    effects: list[Effect]
    guards: list[Guard]
    options: list[tuple[Any, Any, Any]]
    tables: list[tuple[Any, Any, dict[str, Any]]]
    outside: list[Var]
    left: list[tuple[str, Any, Any]]
    equal: list[tuple[Var, Var]] = field(default_factory=list)

    @property
    def bare(self) -> bool:
        """Whether the function returned one leaf and no container."""
        return children(self.structure) is None

    @property
    def inputs(self) -> list[Var]:
        """The variables among the arguments."""
        return [leaf for leaf in self.arguments if isinstance(leaf, Var)]

    def outputs(self) -> list[Var]:
        """Return the variables that leave the program."""
        return [*variables(self.result), *(e.value for e in self.effects if e.value is not None)]


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A Tensor in the result of a step."""

    var: Var


@dataclass(frozen=True, slots=True)
class Effect:
    """A change that a replay makes outside, besides writing into memory.

    `kind` is "grad" or "data" (of the Tensor `target`), "state" (the entry `key` of the dict
    `target`) or "call" (of the function `target`). What is not computed by the program stands in
    `fixed`: a gradient of None, a flag.
    """

    kind: str
    target: Any
    value: Var | None
    key: Any = None
    fixed: Any = None


@dataclass(frozen=True, slots=True)
class Guard:
    """A number on which the trace relied: its truth, or with `exact` its value."""

    var: Var
    value: Any


def variables(tree: Any) -> Iterator[Var]:
    """Yield the variables in nested arguments, in order."""
    if isinstance(tree, Var):
        yield tree
    elif isinstance(tree, Wrapped):
        yield tree.var
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from variables(part)
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from variables(part)
    elif isinstance(tree, slice):
        yield from variables((tree.start, tree.stop, tree.step))


def mapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """Return nested arguments with every leaf replaced by `change(leaf)`."""
    if isinstance(tree, tuple):
        parts = [mapped(part, change) for part in tree]
        return tree._make(parts) if hasattr(tree, "_make") else tuple(parts)
    if isinstance(tree, list):
        return [mapped(part, change) for part in tree]
    if type(tree) is dict:
        return {key: mapped(part, change) for key, part in tree.items()}
    if isinstance(tree, slice):
        return slice(*(mapped(part, change) for part in (tree.start, tree.stop, tree.step)))
    return change(tree)


def is_array(x: Any) -> bool:
    """Whether this is a variable of an array with axes, not a number."""
    return isinstance(x, Var) and bool(getattr(x.example, "ndim", 0))


def order(example: Any) -> str:
    """Return "C" or "F" for an array without gaps, else nothing."""
    flags = example if isinstance(example, Layout) else example.flags
    return "C" if flags.c_contiguous else "F" if flags.f_contiguous else ""


def shape_text(example: Any) -> str:
    """Return ``(10, 30) float32`` for an array, the type's name for a number."""
    if isinstance(example, np.ndarray | np.generic | Layout):
        return f"{example.shape} {example.dtype}"
    return type(example).__name__


__all__ = [
    "FIXED",
    "OPTION",
    "Effect",
    "Guard",
    "Layout",
    "Note",
    "Program",
    "Step",
    "Var",
    "Wrapped",
    "is_array",
    "made",
    "mapped",
    "order",
    "shape_text",
    "variables",
]
