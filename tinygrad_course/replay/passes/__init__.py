"""What makes a program shorter, faster and smaller: small passes, each with a name.

A pass takes a program's steps and returns other steps of the same meaning. All of them respect
memory: a call that writes into a buffer stands before every later call that reads the buffer.
"""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_course.replay.passes.shortening import (
    with_plain_reductions,
    without_assignments,
    without_copies,
    without_dead_steps,
    without_repetitions,
)
from tinygrad_course.replay.program import Program

PASSES: dict[str, Callable[[Program], Program]] = {
    "dead steps": without_dead_steps,
    "repetitions": without_repetitions,
    "copies": without_copies,
    "reductions": with_plain_reductions,
    "assignments": without_assignments,
}
"""The passes by name, in the order in which they run."""

__all__ = ["PASSES"]
