"""The code around a step: what it relies on, what it reads anew, and what it leaves behind.

Every replay would ask dozens of small questions (is dropout still on? is this still the same
array?), so the answers are compiled into one function, as the step is. Nobody need read it.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from tinygrad_course import buffers
from tinygrad_course.buffers import owner
from tinygrad_course.graph import Value
from tinygrad_course.nested import rebuilt
from tinygrad_course.primitive import _output
from tinygrad_course.replay.captured import captured
from tinygrad_course.replay.program import Program, Var, Wrapped
from tinygrad_course.replay.trace import PLAIN
from tinygrad_course.replay.writing import Source

FAILURES = "(AttributeError, IndexError, KeyError, TypeError, ValueError)"

MISS = object()
"""What a driver returns when the replay is not the one for this call."""


class Driver:
    """The text of the function ``drive(given)`` under construction, and what it names."""

    def __init__(self, program: Program, source: Source, function: Callable[..., Any]) -> None:
        self.program = program
        self.source = source
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "MISS": MISS,
            "NUMBERS": frozenset({int, float}),
            "Value": Value,
            "_output": _output,
            "buffers": buffers,
            "tick": buffers.tick,
            "written": buffers._written,
        }
        self.relied: list[str] = []
        self.arrays: dict[str, Var] = {}
        self.writes: list[tuple[str, str, Var]] = []
        self._arguments()
        self._arrays()
        self._options(function)
        self._numbers()
        self._run()

    def compile(self) -> Callable[[Any], Any]:
        """Return the function; it returns `MISS` if the replay is not valid now."""
        text = "def drive(given):\n" + "".join(f"    {line}\n" for line in self.lines)
        code = builtins.compile(text, "<driver of a replay>", "exec")
        exec(code, self.names)  # noqa: S102 - our own text
        drive: Callable[[Any], Any] = self.names["drive"]
        return drive

    def bind(self, step: Callable[..., Any]) -> None:
        """Let the function call this step, made for the arrays that now stand outside."""
        self.names["step"] = step
        for name, var in self.arrays.items():
            self.names[name] = var.current()
        for key, reference, var in self.writes:
            base = owner(var.current())
            buffers.note_write(base, "a compiled step")
            self.names[key], self.names[reference] = id(base), buffers._written[id(base)][3]

    def _array(self, var: Var) -> str:
        name = self._named(None, "array")
        self.arrays[name] = var
        return name

    def _named(self, value: Any, word: str) -> str:
        name = f"{word}_{len(self.names)}"
        self.names[name] = value
        return name

    def _unless(self, condition: str) -> None:
        self.lines.append(f"if not ({condition}): return MISS")

    # ---- what must be so -----------------------------------------------------------------------

    def _arguments(self) -> None:
        """Take the leaves of the arguments apart, and compare arrays' shapes and dtypes."""
        kinds = self.program.arguments
        words = [f"a{i}" for i in range(len(kinds))]
        self.lines.append(f"if len(given) != {len(kinds)}: return MISS")
        if words:
            self.lines.append(f"{', '.join(words)}, = given")
        for word, kind in zip(words, kinds, strict=True):
            if isinstance(kind, Var):
                wanted = f"{kind.example.shape}"
                dtype = self._named(kind.example.dtype, "dtype")
                if isinstance(kind.source, Value):
                    needs = kind.source._needs
                    self._unless(f"isinstance({word}, Value) and {word}._needs is {needs}")
                    self.lines.append(f"{word} = {word}._data")
                else:
                    self._unless(f"not isinstance({word}, Value)")
                self._unless(f"getattr({word}, 'shape', None) == {wanted}")
                self._unless(f"{word}.dtype == {dtype}")
            else:
                value = self._named(kind, "value")
                same = f"type({word}) is type({value}) and {word} == {value}"
                self._unless(f"{word} is {value} or ({same})")
        self.inputs = [w for w, kind in zip(words, kinds, strict=True) if isinstance(kind, Var)]

    def _arrays(self) -> None:
        """Compare the arrays that live between steps with those that the step is bound to."""
        for var in self.source.bound:
            if var.role == "tensor":
                tensor = self._named(var.source, "tensor")
                self._unless(f"{tensor}._data is {self._array(var)}")
            elif var.role == "state":
                table, key = var.source
                table = self._named(table, "table")
                self._unless(f"{table}.get({key!r}) is {self._array(var)}")
            elif var.role == "arena":
                for member in var.source.members:
                    table, key = member.source
                    table = self._named(table, "table")
                    self._unless(f"{table}.get({key!r}) is {self._array(member)}")
        there = {id(v.source) for v in self.program.outside if v.role == "grad"}
        read = {id(v.source) for v in self.source.passed if v.role == "grad"}
        for effect in self.program.effects:
            if effect.kind == "grad" and id(effect.target) not in there - read:
                tensor = self._named(effect.target, "tensor")
                present = "is not" if id(effect.target) in there else "is"
                self._unless(f"{tensor}._grad {present} None")
        for optimizer, p, table in self.program.tables:
            where = f"{self._named(optimizer, 'optimizer')}.state.get({self._named(p, 'p')})"
            mine, keys = self._named(table, "table"), self._named(frozenset(table), "keys")
            self._unless(f"{where} is {mine} and {mine}.keys() == {keys}")

    def _options(self, function: Callable[..., Any]) -> None:
        """Compare the modules' modes and options, and the numbers that the function captured."""
        notes = [step.note for step in self.program.steps]
        modules = {id(m): m for note in notes for m in (*note.modules, *note.also)}
        known = self._used() | modules.keys()
        for module in modules.values():
            name = self._named(module, "module")
            for key, value in {"training": module.training, **vars(module)}.items():
                self._attribute(f"{name}.{key}", value, known)
        if modules:
            self.relied.append(f"the modes and options of {len(modules)} modules")
        for table, key, value in self.program.options:
            self._same(f"{self._named(table, 'table')}.get({key!r})", value)
        self._captured(function)

    def _used(self) -> set[int]:
        """Return the ids of the arrays and Tensors from outside that the program reads."""
        outside = self.program.outside
        arrays = {id(v.example) for v in outside if v.role == "constant"}
        return arrays | {id(v.source) for v in outside if v.role == "tensor"}

    def _attribute(self, place: str, value: Any, known: set[int]) -> None:
        """Compare an attribute of a module: options, and which parameters and layers it holds."""
        if isinstance(value, PLAIN):
            self._same(place, value)
        elif id(value) in known:
            self._unless(f"{place} is {self._named(value, 'value')}")
        elif isinstance(value, list | tuple) and any(id(part) in known for part in value):
            self._unless(f"len({place}) == {len(value)}")
            for i, part in enumerate(value):
                self._unless(f"{place}[{i}] is {self._named(part, 'value')}")

    def _captured(self, function: Callable[..., Any]) -> None:
        """Compare the numbers that the function captured, and look for its arrays."""
        used = self._used()
        start = len(self.lines)
        for name, holder, read, value in captured(function):
            place = read.format(self._named(holder, "holder"))
            if isinstance(value, PLAIN):
                self._same(place, value)
                self.relied.append(f"{name} = {value!r}")
            elif id(value) in used:
                self._unless(f"{place} is {self._named(value, 'value')}")
                self.relied.append(f"{name} is the same {type(value).__name__}")
        if self.lines[start:]:  # what it was read from may be of another kind by now
            self.lines[start:] = ["try:", *(f"    {line}" for line in self.lines[start:])]
            self.lines += [f"except {FAILURES}: return MISS"]

    def _same(self, read: str, value: Any) -> None:
        if value is None or isinstance(value, bool):
            self._unless(f"{read} is {value}")
        else:
            self._unless(f"{read} == {self._named(value, 'value')}")

    def _numbers(self) -> None:
        """Read the numbers anew, and compute those on which the trace relied."""
        values: dict[Var, str] = {}
        numbers = [v for v in self.program.outside if v.role == "number"]
        for var in numbers:
            table, key, index = var.source
            where = f"{self._named(table, 'table')}[{key!r}]"
            word = values[var] = f"n{len(values)}"
            self.lines.append(f"{word} = {where if index is None else f'{where}[{index}]'}")
            self.lines.append(f"if type({word}) not in NUMBERS: {word} = {word}.item()")
        self.values = values
        for one, other in self.program.equal:
            self._unless(f"{values[one]} == {values[other]}")
        guards = {(id(g.var), repr(g.value)): g for g in self.program.guards}.values()
        wanted = {guard.var for guard in guards}
        steps = []
        for step in reversed(self.program.steps):
            if step.form == "operator" and isinstance(step.result, Var) and step.result in wanted:
                steps.append(step)
                wanted |= set(step.reads())
        for step in reversed(steps):
            args = [values[a] if isinstance(a, Var) else repr(a) for a in step.args]
            word = values[step.result] = f"n{len(values)}"
            run = self._named(step.function, "function")
            self.lines.append(f"{word} = {run}({', '.join(args)})")
        for guard in guards:
            word = values[guard.var]
            if isinstance(guard.value, bool):
                self._unless(word if guard.value else f"not {word}")
            else:
                self._unless(f"{word} == {self._named(guard.value, 'value')}")
            what = guard.var.source[1] if guard.var.role == "number" else "a number"
            kind = {True: "not zero", False: "zero"}.get(guard.value, guard.value)
            self.relied.append(f"{what} is {kind}")

    # ---- running -------------------------------------------------------------------------------

    def _run(self) -> None:
        passed = list(self.inputs)
        for var in self.source.passed[len(self.program.inputs) :]:
            if var.role == "number":
                passed.append(self.values[var])
            else:
                passed.append(f"{self._named(var.source, 'tensor')}._grad")
        results = [f"r{i}" for i in range(len(self.source.returned))]
        call = f"step({', '.join(passed)})"
        self.lines.append(f"{', '.join(results)}, = {call}" if results else call)
        setters = [e for e in self.program.effects if e.value is not None]
        count = len(results) - len(setters)
        for effect, word in zip(setters, results[count:], strict=True):
            self.lines.append(f"{self._target(effect)} = {word}")
        for effect in self.program.effects:
            if effect.kind == "call":
                self.lines.append(f"{self._named(effect.target, 'call')}()")
            elif effect.value is None:
                self.lines.append(f"{self._target(effect)} = {self._named(effect.fixed, 'fixed')}")
        self._writes()
        self._return(results[:count])

    def _target(self, effect: Any) -> str:
        target = self._named(effect.target, "target")
        if effect.kind == "state":
            return f"{target}[{effect.key!r}]"
        return f"{target}._{effect.kind}"

    def _writes(self) -> None:
        """Note what was overwritten, so that an eager backward pass sees it."""
        roots = {root for step in self.program.steps for root in step.writes}
        written = {v.root: v for v in self.program.outside if v.root in roots and v.role != "grad"}
        if written:
            self.lines.append("buffers._last_write = now = tick()")
        for var in written.values():
            key, reference = self._named(None, "key"), self._named(None, "reference")
            self.writes.append((key, reference, var))
            self.lines.append(f"written[{key}] = (now, 'a compiled step', '', {reference})")

    def _return(self, words: list[str]) -> None:
        found = iter(words)
        fresh = []
        for leaf in self.program.result:
            if isinstance(leaf, Wrapped):
                word = next(found)
                outside = leaf.var.role == "tensor"
                fresh.append(
                    self._named(leaf.var.source, "tensor") if outside else f"_output({word}, None)"
                )
            else:
                fresh.append(next(found) if isinstance(leaf, Var) else self._named(leaf, "fixed"))
        if self.program.bare:
            self.lines.append(f"return {fresh[0]}")
        else:
            structure = self._named(self.program.structure, "structure")
            self.names["rebuilt"] = rebuilt
            self.lines.append(f"return rebuilt({structure}, [{', '.join(fresh)}])")


__all__ = ["MISS", "Driver"]
