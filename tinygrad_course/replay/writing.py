"""Writing a program down as NumPy source that a person can read, and that Python can run.

The source is one function ``make``, given the arrays that live between steps. It takes the views
and buffers that every step needs once, and returns ``step``, the straight line itself.
"""

from __future__ import annotations

import builtins
import keyword
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_course.primitive import FUNCTIONS
from tinygrad_course.replay.liveness import buffers
from tinygrad_course.replay.passes.arenas import views
from tinygrad_course.replay.passes.blocks import Blocks
from tinygrad_course.replay.passes.rewording import take_rows
from tinygrad_course.replay.program import (
    FIXED,
    OPTION,
    Layout,
    Note,
    Program,
    Step,
    Var,
    shape_text,
)
from tinygrad_course.replay.traced import SYMBOLS
from tinygrad_course.threads import cut, spread

INDENT = "    "
_RESERVED = frozenset({*keyword.kwlist, *dir(builtins), "np", "make", "step"})
_VIEWING = frozenset(
    {"T", "mT", "real", "imag", "reshape", "transpose", "swapaxes", "view", "squeeze", "ravel"}
)


_NOUNS = {
    "add": "total",
    "subtract": "difference",
    "multiply": "product",
    "divide": "quotient",
    "matmul": "product",
    "dot": "product",
    "maximum": "largest",
    "minimum": "smallest",
    "greater": "mask",
    "copy": "copied",
    "reshape": "reshaped",
    "astype": "converted",
}
"""What the results of calls are called that have no better name."""

_DEFAULTS = {"dtype": None, "keepdims": False, "out": None}
"""Keywords that say nothing new at these values, whatever the function."""


@dataclass(slots=True)
class Source:
    """A program as text.

    Attributes:
        text: a module with the function ``make``.
        objects: what ``make`` is given by name: kernels, and constants that are no arrays.
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
        self.locals: dict[tuple[str, int], str] = {}
        self.chosen = buffers(program, reuse=reuse)
        self.paths = _module_paths(program)
        self.described: set[str] = set()
        self.enclosing: set[Var] = set()

    # ---- the whole ---------------------------------------------------------------------------

    def source(self) -> Source:
        """Return the text and what belongs to it."""
        program = self.program
        bound, passed = self._outside()
        for var in (*passed, *bound):
            var.name = self._name(var)
        hoisted, steps = self._split(bound)
        self.enclosing = {var for step in hoisted for var in step.results()}
        inlined = _views_used_once(program, steps)
        self._name_results(hoisted, steps, inlined)
        steps = [step for step in steps if step not in inlined]
        returned = program.outputs()
        lines = [INDENT + line for line in _listed(bound)]
        lines += [INDENT + self._statement(step) for step in hoisted]
        memory: dict[int, Layout] = {}
        for step, index in self.chosen.items():
            memory.setdefault(index, step.result.example)
        lines += [INDENT + line for line in _allocations(memory)]
        lines += ["", f"{INDENT}def step({', '.join(v.name for v in passed)}):"]
        names = [v.name for v in returned]
        body = [*self._body(steps), *_wrapped("return (", names, ",)" if len(names) == 1 else ")")]
        lines += [2 * INDENT + line if line else "" for line in body]
        lines += ["", f"{INDENT}return step", ""]
        given = [v.name for v in bound] + (["*", *self.objects] if self.objects else [])
        lines = ["import numpy as np", "", "", *_wrapped("def make(", given, "):"), *lines]
        size = sum(example.nbytes for example in memory.values())
        loops = (step.function for step in steps if isinstance(step.function, Blocks))
        size += sum(array.nbytes for loop in loops for array in loop.memory.arrays)
        size += sum(s.result.example.nbytes for s in hoisted if s.function is np.empty)
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
            if step.note.phase == FIXED:
                hoisted.append(step)
            elif view and all(v in fixed for v in reads) and step.result.root == reads[0].root:
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
                yield new
                yield from self._description(step.note)
                heading = new
            if isinstance(step.function, Blocks):
                yield from self._blocks(step.function, step)
                heading = None
                continue
            comment = self._shapes(step)
            line = self._statement(step)
            yield f"{line:<60}  # {comment}" if comment else line
        if heading is not None:
            yield ""

    def _blocks(self, loop: Blocks, step: Step) -> Iterator[str]:
        """Write a loop over blocks: a plain one, or the function that threads are given."""
        words: dict[str, int] = {}
        for var in (*loop.slices.values(), *loop.scratch):
            words[var.name] = words.get(var.name, 0) + 1
            var.name = self._local(var.name, words[var.name])
        blocks = f"{self._object(cut, 'cut')}({loop.size}, {loop.block})"
        if not loop.seconds:
            block = self._local("block", 1)
            yield f"for {block} in {blocks}:"
        else:
            block = "block"
            what = self.names.get(id(step.note.parameter), "parameter")
            function = self._unique(f"update_{what}")
            yield f"def {function}({block}):"
        for whole, part in loop.slices.items():
            yield f"{INDENT}{part.name} = {whole.name}[{block}]"
        if loop.scratch:
            memory = self._object(loop.memory, "scratch")
            first = next(iter(loop.slices.values())).name
            spare = "".join(f"{var.name}, " for var in loop.scratch).rstrip()
            yield f"{INDENT}({spare}) = {memory}({first}.size)"
        yield from (INDENT + self._statement(inner) for inner in loop.steps)
        if loop.seconds:
            call = self._object(spread, "spread")
            yield ""
            yield f"{call}({function}, {blocks}, {loop.seconds:.1g}, more=False)"
        yield ""

    def _local(self, word: str, number: int) -> str:
        """Return the name of the first, second … array of a kind in a loop, the same in all."""
        if (word, number) not in self.locals:
            self.locals[word, number] = self._unique(word)
        return self.locals[word, number]

    def _heading(self, note: Note) -> str:
        """Return a comment that says what the following calls belong to."""
        path = self.paths.get(id(note.modules[-1]), "") if note.modules else ""
        layer = f" in {path} {note.modules[-1]!r}".splitlines()[0] if path else ""
        if note.phase == OPTION:
            return "# options, in the dtype of the arrays"
        if note.phase == "update":
            return "# update"
        if note.phase == "backward":
            return f"# backward of {note.operation}{layer}"
        return f"# {note.operation or 'computed'}{layer}"

    def _description(self, note: Note) -> Iterator[str]:
        """Yield what an operation does, in its own words, where it is first met."""
        what = note.operation
        if note.phase == "forward" and what in FUNCTIONS and what not in self.described:
            self.described.add(what)
            yield from (f"#   {x}" for x in (FUNCTIONS[what].__doc__ or "").splitlines()[:1])
        if note.phase == "forward":
            taken = [m for m in note.also if id(m) in self.paths]
            yield from (f"#   with {self.paths[id(m)]} {m!r}".splitlines()[0] for m in taken)

    def _shapes(self, step: Step) -> str:
        made = [shape_text(var.example) for var in step.results()]
        if not made or isinstance(step.result, list):
            return ""
        updated = self.names.get(id(step.note.parameter)) if step.note.phase == "update" else None
        return ", ".join([updated, *made] if updated else made)

    # ---- names -------------------------------------------------------------------------------

    def _name_results(self, hoisted: list[Step], steps: list[Step], inlined: set[Step]) -> None:
        """Name every result; one that is only looked at by one reader is written there."""
        for step in steps:  # first, so that a kernel is called what it is called
            if step.form == "call" and "." not in step.text:
                self._object(step.function, step.text)
        for effect in self.program.effects:
            what = self.names.get(id(effect.target))
            if (
                effect.kind == "grad"
                and effect.value is not None
                and what
                and not effect.value.name
            ):
                effect.value.name = self._unique(f"{what}_grad")
        finals = _final_results(steps)
        for step in (*hoisted, *steps):
            for var in step.results():
                if step in inlined:
                    var.name = self._expression(step)
                elif not var.name:
                    final = var.root in finals
                    var.name = self._unique(step.note.operation if final else self._word(step))

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
        source = var.example if var.role == "constant" else var.source
        known = self.names.get(id(source)) or getattr(source, "_name", None)
        word = known or (_constant_word(var.example) if var.role == "constant" else "tensor")
        return self._unique(f"{word}_grad" if var.role == "grad" else word)

    def _word(self, step: Step) -> str:
        """Return what a result is called: what the call does, or what it belongs to."""
        note, first = step.note, step.args[0] if step.args else None
        source = first.name if isinstance(first, Var) else ""
        added = _word_of_a_pass(step, source)
        if added:
            return added
        if note.phase == "backward":
            return f"d_{note.operation}"
        if note.phase == "update":
            return f"{source}_flat" if step.text == "reshape" else "update"
        if step.form == "attribute" and isinstance(first, Var) and first.outside:
            return f"{source}_{step.text}"
        call = step.text.removesuffix(".reduce").rpartition(".")[2].removeprefix("check_")
        word = "picked" if step.form == "getitem" else _NOUNS.get(call, call)
        return word if word.isidentifier() else "value"

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
            parts = [
                f"({self._targets(x)})" if isinstance(x, tuple | list) else self._targets(x)
                for x in tree
            ]
            return ", ".join(parts) if len(parts) > 1 else f"{parts[0]},"
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
        own = out is step.args[0] and not out.outside and out not in self.enclosing
        own = own and len(step.keywords) == 1 and symbol[-1] not in "<>="
        return f"{args[0]} {symbol}= {args[1]}" if own else ""

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


def _word_of_a_pass(step: Step, source: str) -> str:
    """Return what the result of a call is called that stands in no step but was added to it."""
    if step.text == "np.array":
        return f"{source}_{step.result.example.dtype}"
    if step.function is views:
        return source
    if step.function is take_rows:
        return "batch"
    if step.note.phase == FIXED and step.text == "np.full":
        return f"number_{step.args[1]:g}"
    return "spare" if step.note.phase == FIXED and step.text == "np.empty" else ""


def _allocations(memory: dict[int, Layout]) -> Iterator[str]:
    """Yield the lines that make the buffers, one for all that are alike."""
    alike: dict[str, list[str]] = {}
    for index, example in memory.items():
        alike.setdefault(_empty(example), []).append(f"buffer_{index}")
    for call, names in alike.items():
        several = f"({call} for _ in range({len(names)}))"
        yield f"{', '.join(names)} = {call if len(names) == 1 else several}"


def _wrapped(start: str, names: list[str], end: str) -> list[str]:
    """Return a line that lists names, or several if it is long."""
    line = start + ", ".join(names) + end
    if len(line) <= 88:
        return [line]
    inside = textwrap.wrap(
        ", ".join(names) + ",", 84, initial_indent=INDENT, subsequent_indent=INDENT
    )
    return [start, *inside, end.lstrip(",")]


def _listed(bound: list[Var]) -> list[str]:
    """Return comment lines that list what `make` is given, with shapes and dtypes."""
    words = [f"{var.name} {shape_text(var.example)}" for var in bound]
    return textwrap.wrap("; ".join(words), 92, initial_indent="# ", subsequent_indent="#   ")


def _constant_word(array: np.ndarray) -> str:
    """Return what an array made while tracing is called."""
    return "ones" if 0 < array.size <= 1 << 16 and (array == 1).all() else "constant"


def _final_results(steps: list[Step]) -> set[int]:
    """Return the roots of what each operation, in each module, has made in the end."""
    last: dict[Any, Step] = {}
    for step in steps:
        if step.note.phase == "forward" and step.note.operation:
            last[step.note.operation, step.note.modules] = step
    made = {var.root for step in last.values() for var in step.results()}
    return made.union(*(step.writes for step in last.values()))


def _views_used_once(program: Program, steps: list[Step]) -> set[Step]:
    """Return the calls that only look at memory in another way, for one reader: it can say so."""
    uses = Counter(var for step in steps for var in step.reads())
    uses.update(dict.fromkeys(program.outputs(), 2))
    return {step for step in steps if _is_view(step) and uses[step.result] == 1}


def _is_view(step: Step) -> bool:
    if not isinstance(step.result, Var) or not step.args or not isinstance(step.args[0], Var):
        return False
    looks = step.text in _VIEWING or step.form == "getitem"
    return looks and step.result.root == step.args[0].root


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
