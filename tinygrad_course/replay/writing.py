"""Writing a program down as NumPy source that a person can read, and that Python can run.

The source is one function ``make``, given the arrays that live between steps. It takes the views
and buffers that every step needs once, and returns ``step``, the straight line itself.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_course.primitive import FUNCTIONS
from tinygrad_course.replay.liveness import buffers
from tinygrad_course.replay.program import Layout, Note, Program, Step, Var, shape_text
from tinygrad_course.replay.traced import SYMBOLS

INDENT = "    "
_RESERVED = frozenset({*keyword.kwlist, *dir(builtins), "np", "make", "step"})
_VIEWING = frozenset(
    {"T", "mT", "real", "imag", "reshape", "transpose", "swapaxes", "view", "squeeze", "ravel"}
)


_DEFAULTS = {"dtype": None, "keepdims": False, "out": None}
"""Keywords that say nothing new at these values, whatever the function."""


@dataclass(slots=True)
class Source:
    """A program as text.

    Attributes:
        text: the function ``make``.
        objects: what the text names besides NumPy: constants and kernels.
        bound: the variables that ``make`` is given, in order.
        passed: the variables that ``step`` is given, in order.
        returned: the variables that ``step`` returns, in order.
        buffers: bytes of the preallocated arrays.
    """

    text: str
    objects: dict[str, Any]
    bound: list[Var]
    passed: list[Var]
    returned: list[Var]
    buffers: int


def write(program: Program, names: dict[int, str], *, reuse: bool = True) -> Source:
    """Write a program; `names` says what values from outside are called, by id of their source."""
    return _Writer(program, names, reuse=reuse).source()


class _Writer:
    def __init__(self, program: Program, names: dict[int, str], *, reuse: bool) -> None:
        self.program = program
        self.names = names
        self.objects: dict[str, Any] = {}
        self.used: set[str] = set(_RESERVED)
        self.chosen = buffers(program, reuse=reuse)
        self.paths = _module_paths(program)

    # ---- the whole ---------------------------------------------------------------------------

    def source(self) -> Source:
        """Return the text and what belongs to it."""
        program = self.program
        bound, passed = self._outside()
        for var in (*passed, *bound):
            var.name = self._name(var)
        hoisted, steps = self._split(bound)
        for step in (*hoisted, *steps):
            for var in step.results():
                if not var.name:
                    var.name = self._unique(self._word(step))
        returned = program.outputs()
        lines = [f"def make({', '.join(v.name for v in bound)}):"]
        lines += [f"{INDENT}# {v.name}: {shape_text(v.example)}" for v in bound]
        lines += [INDENT + self._statement(step) for step in hoisted]
        memory: dict[int, Layout] = {}
        for step, index in self.chosen.items():
            memory.setdefault(index, step.result.example)
        for index, example in memory.items():
            lines.append(f"{INDENT}buffer_{index} = {_empty(example)}")
        lines += ["", f"{INDENT}def step({', '.join(v.name for v in passed)}):"]
        body = [*self._body(steps), f"return {_tuple([v.name for v in returned])}"]
        lines += [2 * INDENT + line if line else "" for line in body]
        lines += ["", f"{INDENT}return step", ""]
        size = sum(example.nbytes for example in memory.values())
        return Source("\n".join(lines), self.objects, bound, passed, returned, size)

    def _outside(self) -> tuple[list[Var], list[Var]]:
        """Return the variables bound once, and those passed at every step, that are read."""
        program = self.program
        read = dict.fromkeys(var for step in program.steps for var in step.reads())
        read.update(dict.fromkeys(program.outputs()))
        outside = [v for v in read if v.outside and v.role != "input"]
        bound = [v for v in outside if v.role not in ("grad", "number")]
        numbers = [v for v in outside if v.role in ("grad", "number")]
        return bound, [*program.inputs, *numbers]

    def _split(self, bound: list[Var]) -> tuple[list[Step], list[Step]]:
        """Part the views of what is bound, which are taken once, from the rest."""
        fixed = {*bound}
        hoisted, rest = [], []
        for step in self.program.steps:
            view = step.text in _VIEWING and isinstance(step.result, Var)
            reads = list(step.reads())
            if view and all(v in fixed for v in reads) and step.result.root == reads[0].root:
                hoisted.append(step)
                fixed.add(step.result)
            else:
                rest.append(step)
        return hoisted, rest

    def _body(self, steps: list[Step]) -> Iterator[str]:
        heading = None
        for step in steps:
            new = self._heading(step.note)
            if new != heading:
                if heading is not None:
                    yield ""
                yield from new
                heading = new
            comment = self._shapes(step)
            line = self._statement(step)
            yield f"{line:<60}  # {comment}" if comment else line
        if heading is not None:
            yield ""

    def _heading(self, note: Note) -> tuple[str, ...]:
        """Return comment lines that say what the following calls belong to."""
        path = self.paths.get(id(note.modules[-1]), "") if note.modules else ""
        layer = f" in {path} {note.modules[-1]!r}".splitlines()[0] if path else ""
        what = note.operation
        if note.phase == "backward":
            return (f"# backward of {what}{layer}",)
        if note.phase == "update":
            return (f"# update of {self.names.get(id(note.parameter), 'a parameter')}",)
        if not what:
            return (f"# computed{layer}",)
        doc = (FUNCTIONS[what].__doc__ or "").splitlines() if what in FUNCTIONS else []
        return (f"# {what}{layer}", *(f"#   {line}" for line in doc[:1]))

    def _shapes(self, step: Step) -> str:
        made = [shape_text(var.example) for var in step.results()]
        return ", ".join(made) if made and not isinstance(step.result, list) else ""

    # ---- names -------------------------------------------------------------------------------

    def _unique(self, word: str) -> str:
        word = re.sub(r"\W+", "_", word).strip("_") or "value"
        if word[0].isdigit():
            word = f"layer_{word}"
        name, number = word, 1
        while name in self.used:
            number += 1
            name = f"{word}_{number}"
        self.used.add(name)
        return name

    def _name(self, var: Var) -> str:
        if var.role == "number":
            table, key, index = var.source
            word = f"{self.names[id(table)]}_{key}" if id(table) in self.names else key
            return self._unique(word if index is None else f"{word}_{index + 1}")
        if var.role == "state":
            table, key = var.source
            return self._unique(f"{self.names.get(id(table), 'state')}_{key}")
        if var.role == "input":
            return self._unique(self.names.get(id(var), "x"))
        known = self.names.get(id(var.source)) or getattr(var.source, "_name", None)
        word = known or ("constant" if var.role == "constant" else "tensor")
        return self._unique(f"{word}_grad" if var.role == "grad" else word)

    def _word(self, step: Step) -> str:
        operation = step.note.operation
        if step.note.phase == "backward":
            return f"d_{operation}"
        if step.note.phase == "update":
            return "update"
        if step.form == "attribute" and isinstance(step.args[0], Var) and step.args[0].outside:
            return f"{step.args[0].name}_{step.text}"
        return operation or (step.text.rpartition(".")[2] if step.text.isidentifier() else "value")

    # ---- one call ----------------------------------------------------------------------------

    def _statement(self, step: Step) -> str:
        expression = self._expression(step)
        if step.result is None:
            return expression
        return f"{self._targets(step.result)} = {expression}"

    def _targets(self, tree: Any) -> str:
        if isinstance(tree, Var):
            return tree.name
        if isinstance(tree, tuple | list):
            return "(" + ", ".join(self._targets(part) for part in tree) + ",)"
        return "_"

    def _expression(self, step: Step) -> str:
        args = [self._text(arg, step) for arg in step.args]
        if step.form == "getitem":
            return f"{args[0]}[{self._key(step.args[1], step)}]"
        if step.form == "setitem":
            return f"{args[0]}[{self._key(step.args[1], step)}] = {args[2]}"
        if step.form == "attribute":
            return f"{args[0]}.{step.text}"
        if step.form == "operator":
            return _operation(step.text, args)
        return self._operator(step, args) or self._call(step, args)

    def _operator(self, step: Step, args: list[str]) -> str:
        """Return a ufunc as Python's operator, or nothing if it has more to say."""
        symbol = SYMBOLS.get(step.function) if isinstance(step.function, np.ufunc) else None
        if symbol is None or len(args) != 2 or step in self.chosen:
            return ""
        if not step.keywords:
            return _operation(symbol, args)
        out = step.keywords.get("out")
        # An operator like += makes a name local, so not for names of the function around.
        own = out is step.args[0] and not out.outside and len(step.keywords) == 1
        return f"{args[0]} {symbol}= {args[1]}" if own and symbol[-1] not in "<>=" else ""

    def _call(self, step: Step, args: list[str]) -> str:
        words = dict(step.keywords)
        if step in self.chosen:
            words["out"] = _Text(f"buffer_{self.chosen[step]}")
        given = [
            f"{key}={self._text(value, step)}"
            for key, value in words.items()
            if key not in _DEFAULTS or value is not _DEFAULTS[key]
        ]
        if step.form == "method":
            return f"{args[0]}.{step.text}({', '.join([*args[1:], *given])})"
        name = step.text if step.text.startswith("np.") else self._object(step.function, step.text)
        return f"{name}({', '.join([*args, *given])})"

    def _key(self, key: Any, step: Step) -> str:
        if isinstance(key, tuple) and key:
            text = ", ".join(self._index(part, step) for part in key)
            return text if len(key) > 1 else f"{text},"
        return self._index(key, step)

    def _index(self, key: Any, step: Step) -> str:
        if isinstance(key, slice):
            ends = ["" if end is None else self._text(end, step) for end in (key.start, key.stop)]
            stride = f":{self._text(key.step, step)}" if key.step is not None else ""
            return f"{ends[0]}:{ends[1]}{stride}"
        return "..." if key is Ellipsis else self._text(key, step)

    def _text(self, value: Any, step: Step) -> str:
        """Return an argument as source code."""
        if isinstance(value, Var):
            return value.name
        if isinstance(value, tuple | list):
            parts = [self._text(part, step) for part in value]
            return _tuple(parts) if isinstance(value, tuple) else f"[{', '.join(parts)}]"
        if isinstance(value, slice):
            ends = (self._text(end, step) for end in (value.start, value.stop, value.step))
            return f"slice({', '.join(ends)})"
        if isinstance(value, np.generic):
            return self._scalar(value, step)
        return _literal(value) or self._object(value, type(value).__name__.lower())

    def _scalar(self, value: np.generic, step: Step) -> str:
        """Return a NumPy scalar: as a Python number where that cannot change the result's dtype."""
        arrays = [v.example for v in step.reads() if isinstance(v.example, np.ndarray | Layout)]
        known = isinstance(step.function, np.ufunc)  # promotion is as for Python's numbers there
        if (
            known
            and value.dtype.kind == "f"
            and any(a.dtype == value.dtype and a.ndim for a in arrays)
        ):
            return _number(value.item())
        return self._object(value, "scalar")

    def _object(self, value: Any, word: str) -> str:
        for name, known in self.objects.items():
            if known is value:
                return name
        name = self._unique(word)
        self.objects[name] = value
        return name


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


def _operation(symbol: str, args: list[str]) -> str:
    if len(args) == 1:
        return f"abs({args[0]})" if symbol == "abs" else f"{symbol}{args[0]}"
    left = f"({args[0]})" if args[0].startswith("-") else args[0]
    return f"{left} {symbol} {args[1]}"


def _literal(value: Any) -> str:
    """Return a value as Python writes it, or nothing if it must have a name."""
    if isinstance(value, _Text):
        return value.text
    if value is None or value is Ellipsis or isinstance(value, bool | int | str):
        return "..." if value is Ellipsis else repr(value)
    if isinstance(value, float | complex):
        return _number(value)
    if isinstance(value, np.dtype) and value.isbuiltin == 1:
        return f"np.{value.type.__name__}"
    if isinstance(value, type) and issubclass(value, np.generic):
        return f"np.{value.__name__}"
    return ""


def _number(value: complex) -> str:
    text = repr(value)
    return {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}.get(text, text)


def _tuple(parts: list[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _empty(example: Layout) -> str:
    order = "" if example.c_contiguous else ', order="F"'
    return f"np.empty({example.shape}, np.{example.dtype.type.__name__}{order})"


def _module_paths(program: Program) -> dict[int, str]:
    """Return the dotted path of every module that ran, below the outermost one."""
    paths: dict[int, str] = {}
    for step in program.steps:
        if step.note.modules and id(step.note.modules[0]) not in paths:
            for path, module in step.note.modules[0].named_modules():
                paths.setdefault(id(module), path)
    return paths


__all__ = ["Source", "write"]
