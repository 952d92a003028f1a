"""What a function takes from its surroundings: its closure, its globals, the object it belongs to.

A replay has taken numbers as they were and arrays where they were. Should a name stand for another
number or another array later, the step must be traced again; so every replay looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from tinygrad_course.graph import Value

MOST = 64
"""Entries up to which a list or dict is looked into."""


class Captured(NamedTuple):
    """One value: what the user calls it, how it is read from `holder`, and what it is now."""

    name: str
    holder: Any
    read: str
    value: Any


def captured(function: Callable[..., Any]) -> list[Captured]:
    """Return what a function reads from outside, one level into containers and objects.

    Functions that it calls by name are looked into, too, unless they are of a library. `read` is an
    expression in which ``{}`` stands for the holder.

    Example:
        >>> from tinygrad_course.replay.captured import captured
        >>> def outer(scales):
        ...     return lambda x: x * scales[1]
        >>> [(c.name, c.read) for c in captured(outer([2.0, 3.0]))]
        [('scales[0]', '{}.cell_contents[0]'), ('scales[1]', '{}.cell_contents[1]')]
    """
    return list(_of_function(function, set()))


def _of_function(function: Any, seen: set[int]) -> Iterator[Captured]:
    owner = getattr(function, "__self__", None)
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None or id(function) in seen:
        return
    seen.add(id(function))
    names = _names(code)
    if owner is not None:
        yield from _inside(Captured("self", owner, "{}", owner), names, seen)
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # not filled yet
            continue
        yield from _inside(Captured(name, cell, "{}.cell_contents", value), names, seen)
    table = function.__globals__
    for name in sorted(names & table.keys()):
        yield from _inside(Captured(name, table, f"{{}}.get({name!r})", table[name]), names, seen)


def _names(code: CodeType) -> set[str]:
    """Return the globals and attributes that a function names, and the functions inside it."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _inside(known: Captured, names: set[str], seen: set[int]) -> Iterator[Captured]:
    name, holder, read, value = known
    if isinstance(value, FunctionType):
        library = value.__module__.partition(".")[0] in ("tinygrad_course", "numpy")
        yield from () if library else _of_function(value, seen)
    elif isinstance(value, dict):
        keys = [key for key in value if isinstance(key, str | int)][:MOST]
        for key in keys:
            yield Captured(f"{name}[{key!r}]", holder, f"{read}[{key!r}]", value[key])
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value[:MOST]):
            yield Captured(f"{name}[{i}]", holder, f"{read}[{i}]", part)
    elif isinstance(value, Value | np.ndarray | ModuleType | type) or not hasattr(
        value, "__dict__"
    ):
        yield known
    else:
        for key in sorted(names & vars(value).keys()):
            yield Captured(f"{name}.{key}", holder, f"{read}.{key}", vars(value)[key])


__all__ = ["Captured", "captured"]
