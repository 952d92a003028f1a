"""When memory was last overwritten: one clock, and the writes that the library itself made.

The clock also numbers the nodes of the graph, so "was this array written after that node saved it?"
is a comparison of two integers. Only writes cost anything: recording an operation never touches
this table, and a backward pass over a graph that is younger than the last write skips it whole.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from typing import Any, NamedTuple

import numpy as np

tick = itertools.count(1).__next__
"""Advance the clock of the process by one and return the new time."""


class Write(NamedTuple):
    """One overwrite of a buffer: when, by which operation, and on which line of the user's code."""

    time: int
    by: str
    line: str


_written: dict[int, tuple[Write, weakref.ref[Any]]] = {}
_last_write = 0


def owner(array: Any) -> Any:
    """Return the array at the end of the chain of bases: the one that views share."""
    base = getattr(array, "base", None)
    while isinstance(base, np.ndarray):
        array, base = base, base.base
    return array


def note_write(array: Any, by: str, line: str = "") -> None:
    """Remember that the memory behind `array` has just been overwritten by the operation `by`."""
    global _last_write
    root = owner(array)
    key = id(root)
    _last_write = tick()
    write = Write(_last_write, by, line)
    known = _written.get(key)
    # The weak reference forgets the entry with the array, because another array may get its id.
    reference = known[1] if known else weakref.ref(root, lambda _: _written.pop(key, None))
    _written[key] = (write, reference)


def name_line(array: Any) -> None:
    """Add the user's line to the latest noted write to `array`."""
    key = id(owner(array))
    write, reference = _written[key]
    _written[key] = (write._replace(line=user_line()), reference)


def last_write() -> int:
    """Return the time of the latest noted write, 0 if there was none."""
    return _last_write


def write_after(array: Any, time: int) -> Write | None:
    """Return the write that overwrote the memory of `array` after `time`, or None."""
    if not isinstance(array, np.ndarray):
        return None
    known = _written.get(id(owner(array)))
    return known[0] if known is not None and known[0].time > time else None


def user_line() -> str:
    """Return ``file:line`` of the nearest caller outside this package, for error messages."""
    frame = sys._getframe(1)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package != "tinygrad_course":
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]  # None ends the loop
    return "unknown line"
