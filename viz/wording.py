"""The words in a picture: shapes, dtypes, options and names, each short enough to read."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_course.graph import Node, Value

LONGEST = 36
"""Characters of one line before it is cut; the tooltip has the whole text."""

_short = reprlib.Repr()
_short.maxtuple = _short.maxlist = 4
_short.maxdict = 3
_short.maxstring = _short.maxother = 24
_short.maxlevel = 3


def cut(text: str, longest: int = LONGEST) -> str:
    """Return a text of at most `longest` characters, ending in … if some were lost."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def one_line(text: str) -> str:
    """Return a text without line breaks and without characters that XML cannot hold."""
    joined = " ".join(text.split())
    return "".join(c if _in_xml(c) else "\N{REPLACEMENT CHARACTER}" for c in joined)


def _in_xml(c: str) -> bool:
    """Whether XML 1.0 can hold a character: no control codes, surrogates or non-characters."""
    return c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff"


def dtype_words(dtype: Any) -> str:
    """Return f32 for float32, i64 for int64, c128 for complex128, u8 for uint8, bool for bool."""
    dtype = np.dtype(dtype)
    if dtype.kind in "fciu":
        return f"{dtype.kind}{8 * dtype.itemsize}"
    return str(dtype)


def shape_words(shape: tuple[int, ...] | None, dtype: Any) -> str:
    """Return a shape and dtype such as ``64×10 f32``; a shape without axes is a scalar."""
    if shape is None:
        return ""
    sizes = "×".join(map(str, shape)) if shape else "scalar"
    return f"{sizes} {dtype_words(dtype)}"


def tensor_words(origin: Any) -> str:
    """Return the shape and dtype of a Value or array."""
    array = origin._data if isinstance(origin, Value) else origin
    return shape_words(array.shape, array.dtype)


def option_words(node: Node) -> list[str]:
    """Return the options of an operation that say something, such as ``axis=0``."""
    params = node.params or {}
    found = []
    for key, value in params.items():
        if key == "shapes" or value is None or value is False:
            continue  # the engine's own note, or an option that is not used
        found.append(f"{key}={_value_words(value)}")
    return found


def _value_words(value: Any) -> str:
    if isinstance(value, tuple):
        some = ", ".join(_value_words(part) for part in value[:4])
        return f"({some}{', …' if len(value) > 4 else ',' if len(value) == 1 else ''})"
    for kind, words in _WORDS:
        if isinstance(value, kind):
            return words(value)
    return "..." if value is Ellipsis else one_line(_short.repr(value))


def _slice_words(key: slice) -> str:
    start, stop = ("" if end is None else str(end) for end in (key.start, key.stop))
    return f"{start}:{stop}" + (f":{key.step}" if key.step is not None else "")


_WORDS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (float | np.floating, lambda value: f"{float(value):.4g}"),
    (np.ndarray | Value, lambda value: f"array {tensor_words(value)}"),
    (slice, _slice_words),
    (np.dtype, dtype_words),
    (np.integer, lambda value: str(int(value))),
)
"""How to write the values of options that ``repr`` writes at length."""


def operation_words(node: Node) -> str:
    """Return an operation's name, with the plain numbers among its inputs: ``power(·, 2)``."""
    name = one_line(str(node.primitive.name))
    saved = node.saved
    if saved is None or len(node.parents) > 3 or len(saved) <= len(node.parents):
        return name
    numbers = [
        None if parent is not None or array is None or np.shape(array) else array
        for parent, array in zip(node.parents, saved[1:], strict=False)
    ]
    if all(number is None for number in numbers):
        return name
    return f"{name}({', '.join('·' if n is None else _number_words(n) for n in numbers)})"


def _number_words(number: Any) -> str:
    return f"{number.item() if hasattr(number, 'item') else number:.4g}"


def count_words(count: int, one: str, many: str = "") -> str:
    """Return ``1 operation`` or ``12,000 operations``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
