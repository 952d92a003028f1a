"""What makes a program shorter, faster and smaller: small passes, each with a name.

A pass takes a program's steps and returns other steps of the same meaning. All of them respect
memory: a call that writes into a buffer stands before every later call that reads the buffer.
"""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_course.replay.passes.arenas import with_arenas
from tinygrad_course.replay.passes.blocks import in_blocks
from tinygrad_course.replay.passes.images import with_late_rectifiers, with_pooled_convolutions
from tinygrad_course.replay.passes.rewording import (
    with_gathered_rows,
    with_numbers_as_arrays,
    with_plain_products,
)
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
    "late rectifiers": with_late_rectifiers,
    "pooled convolutions": with_pooled_convolutions,
    "reductions": with_plain_reductions,
    "assignments": without_assignments,
    "arenas": with_arenas,
    "blocks": in_blocks,
    "gathers": with_gathered_rows,
    "products": with_plain_products,
    "numbers": with_numbers_as_arrays,
}
"""The passes by name, in the order in which they run."""

__all__ = ["PASSES"]
