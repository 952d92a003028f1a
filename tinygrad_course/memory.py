"""Memory that the next step of a training can have at once.

A step of a convolutional network makes and drops arrays of megabytes. GNU's C library gives such
memory back to the system, and the system fills every page with zeros when it hands it out again: a
third of the time of a step of LeNet, more than the arithmetic of its backward pass costs. So
memory that was freed is kept for the next array.

This is a setting of the whole process. It is made when the first large convolution, normalization
or update runs, not by importing, and not where the user has made it already: by the variables
MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_ or GLIBC_TUNABLES.
"""

from __future__ import annotations

import ctypes
import os

KEPT = 1 << 28
"""Bytes of freed memory from which on they go back to the system."""

LARGEST = 1 << 25
"""Bytes of the largest array whose memory is kept: more is not possible."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # the names of mallopt's settings in malloc.h
_USERS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")

_done = False


def keep_freed_memory() -> None:
    """Let GNU's C library keep what is freed; elsewhere, and the second time, do nothing.

    Example:
        >>> from tinygrad_course.memory import keep_freed_memory
        >>> keep_freed_memory()
    """
    global _done  # noqa: PLW0603 - a setting of the process
    if _done:
        return
    _done = True
    if any(name in os.environ for name in _USERS) or not _is_glibc():
        return
    set_option = ctypes.CDLL(None).mallopt
    set_option(_TRIM_THRESHOLD, KEPT)
    set_option(_MMAP_THRESHOLD, LARGEST)


def _is_glibc() -> bool:
    try:
        return "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (AttributeError, ValueError, OSError):  # another system, or another C library
        return False


__all__ = [
    "keep_freed_memory",
]
