"""When memory was last overwritten: one clock, and the writes that the library itself made.

The clock also numbers the nodes of the graph, so "was this array written after that node saved it?"
is a comparison of two integers. Only writes cost anything: recording an operation never touches
this table, and a backward pass over a graph that is younger than the last write skips it whole.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

tick = itertools.count(1).__next__
"""Advance the clock of the process by one and return the new time."""


class Write(NamedTuple):
    """One overwrite of a buffer: when, by which operation, and on which line of the user's code."""

    time: int
    by: str
    line: str


_written: dict[int, tuple[int, str, str, weakref.ref[Any]]] = {}
_last_write = 0


def owner(array: Any) -> Any:
    """Return the array at the end of the chain of bases: the one that views share."""
    base = getattr(array, "base", None)
    while base is not None:
        if isinstance(base, np.ndarray):
            array = base
        base = getattr(base, "base", None)  # as_strided puts an object of its own in between
    return array


def note_write(array: Any, by: str) -> None:
    """Remember that the memory behind `array` has just been overwritten by the operation `by`."""
    global _last_write  # noqa: PLW0603 - one clock a process
    root = array if array.base is None else owner(array)
    key = id(root)
    _last_write = tick()
    known = _written.get(key)
    # The weak reference forgets the entry with the array, because another array may get its id.
    reference = known[3] if known else weakref.ref(root, lambda _: _written.pop(key, None))
    _written[key] = (_last_write, by, "", reference)


def name_line(array: Any) -> None:
    """Add the user's line to the latest noted write to `array`."""
    key = id(owner(array))
    time, by, _, reference = _written[key]
    _written[key] = (time, by, user_line(), reference)


def last_write() -> int:
    """Return the time of the latest noted write, 0 if there was none."""
    return _last_write


def write_after(array: Any, time: int) -> Write | None:
    """Return the write that overwrote the memory of `array` after `time`, or None."""
    if not isinstance(array, np.ndarray):
        return None
    known = _written.get(id(owner(array)))
    return Write(*known[:3]) if known is not None and known[0] > time else None


def user_line() -> str:
    """Return ``file:line`` of the nearest caller outside this package, NumPy and SciPy."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _inside(frame, "numpy", "scipy"):
        frame = frame.f_back
    return "unknown line" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def called_by_user() -> bool:
    """Whether the caller of the function that asks stands outside this package."""
    return not _inside(sys._getframe(2))


def _inside(frame: FrameType, *others: str) -> bool:
    module: str = frame.f_globals.get("__name__", "")
    return module.partition(".")[0] in ("tinygrad_course", *others)
