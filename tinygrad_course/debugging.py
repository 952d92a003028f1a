"""A slower way to record, which notices what the fast way cannot see.

Inside `debug` every operation remembers the user's line and a checksum of what it saved, so that a
write through a raw array (``t.data[0] = 1``, or NumPy on an array that a Tensor shares) is found at
backward, with the line that had saved the value.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_course.buffers import user_line
from tinygrad_course.errors import ModifiedValueError
from tinygrad_course.graph import SCOPE, Node, Observer, Scope, describe, watch_saved_values


class _Witness(Observer):
    """Remembers where each node was recorded, and checksums of its saved arrays."""

    def __init__(self) -> None:
        # The node is kept too: otherwise another one might get its id.
        self.seen: dict[int, tuple[Node, str, list[int]]] = {}

    def recorded(self, node: Node, _inputs: tuple[Any, ...], _result: Any) -> None:
        """Take the checksums of a node that was just recorded."""
        self.seen[id(node)] = (node, user_line(), _checksums(node))

    def line(self, node: Node) -> str:
        """Return where a node was recorded, or an empty text."""
        known = self.seen.get(id(node))
        return known[1] if known else ""

    def check(self, node: Node) -> None:
        """Raise if a saved array is not what it was."""
        known = self.seen.get(id(node))
        if known is None or known[2] == _checksums(node):
            return
        raise ModifiedValueError(
            f"backward: a value that {node.primitive.name}{describe(node.scope)} saved at "
            f"{known[1]} was overwritten afterwards through its array, behind the Tensor's back. "
            f"Write to a copy, or call backward before the value changes"
        )


def _checksums(node: Node) -> list[int]:
    return [_checksum(array) for array in node.saved or ()]


def _checksum(array: Any) -> int:
    if not isinstance(array, np.ndarray):
        return 0  # numbers cannot be overwritten
    return zlib.crc32(array.tobytes())


@contextmanager
def debug() -> Iterator[None]:
    """Record with the user's line and a checksum per saved array; backward then checks them.

    Every operation takes longer, and graphs recorded inside live until the block ends.

    Raises:
        ModifiedValueError: by `backward`, when a saved array was overwritten in any way.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([1.0, 2.0], requires_grad=True)
        >>> with tc.debug():
        ...     y = (x * x).sum()
        ...     x.data[0] = 5.0
        ...     try:
        ...         y.backward()
        ...     except tc.errors.ModifiedValueError:
        ...         print("noticed")
        noticed
    """
    watch_saved_values()
    outer = SCOPE.get()
    token = SCOPE.set(Scope(outer.recording, parent=outer, observer=_Witness()))
    try:
        yield
    finally:
        SCOPE.reset(token)
