"""Replaying a computation: traced once, then run as straight-line NumPy that a person can read."""

from tinygrad_course.replay.compiled import Compiled, compile  # noqa: A004 - the word of the field

__all__ = ["Compiled", "compile"]
