"""Primitives that change something outside: memory that is overwritten, random numbers drawn.

They are rows of the registry like the others, so that a whole training step (updates of
parameters, running statistics, dropout masks) is a list of registered operations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError
from tinygrad_course.ops.samples import values
from tinygrad_course.primitive import Op, Sample, primitive

MASK_LEVELS = 1 << 16
"""A mask compares up to 16 random bits per element with a threshold."""


def _assign(target: Any, value: Any) -> Any:
    np.copyto(target, value, casting="same_kind")
    return target


def _assignments(rng: np.random.Generator) -> Iterator[Sample]:
    yield (np.zeros((2, 3)), values(rng, (2, 3), -2, 2)), {}
    yield (np.zeros((2, 3)), values(rng, (3,), -2, 2)), {}


assign: Op = primitive(
    "assign",
    _assign,
    _assignments,
    effect="write",
    expects="a value that broadcasts to the target",
    doc="""Overwrite `target` with `value`; no gradient passes, and saved values are guarded.

    Example:
        >>> import tinygrad_course as tc
        >>> t = tc.Tensor([1.0, 2.0])
        >>> tc.assign(t, 0.0)
        Tensor([0., 0.])
    """,
)


def _assign_at(target: Any, value: Any, *, key: Any) -> Any:
    target[key] = value
    return target


def _assignments_at(rng: np.random.Generator) -> Iterator[Sample]:
    yield (np.zeros((2, 3)), values(rng, (3,), -2, 2)), {"key": 1}
    yield (np.zeros((4,)), values(rng, (2,), -2, 2)), {"key": np.array([3, 0])}


assign_at: Op = primitive(
    "assign_at",
    _assign_at,
    _assignments_at,
    effect="write",
    expects="a value that broadcasts to the indexed positions",
    doc="""Overwrite the elements of `target` at `key` with `value`; no gradient passes.""",
)


def effective_keep(keep_prob: float) -> float:
    """Return the probability with which `random_mask` really keeps: a multiple of 2**-16."""
    if not 0.0 <= keep_prob <= 1.0:
        raise ArgumentError(f"random_mask: keep_prob must lie in [0, 1], got {keep_prob!r}")
    threshold = round(keep_prob * MASK_LEVELS)
    return threshold / MASK_LEVELS


def _random_mask(
    *, generator: np.random.Generator, shape: tuple[int, ...], keep_prob: float
) -> Any:
    threshold = round(effective_keep(keep_prob) * MASK_LEVELS)
    size = math.prod(shape)
    # The fewest bits that give this probability exactly: 1 for a half, 8 for quarters to 256ths.
    if threshold == MASK_LEVELS // 2:
        packed = np.frombuffer(generator.bytes(-(-size // 8)), dtype=np.uint8)
        return np.unpackbits(packed, count=size).view(bool).reshape(shape)
    coarse, fine = divmod(threshold, 256)
    if not fine:
        levels = np.frombuffer(generator.bytes(size), dtype=np.uint8)
        return (levels < coarse).reshape(shape)
    levels = np.frombuffer(generator.bytes(2 * size), dtype="<u2")
    return (levels < threshold).reshape(shape)


def _draws(rng: np.random.Generator) -> Iterator[Sample]:
    for keep_prob in (0.0, 0.3, 1.0):
        yield (), {"generator": rng, "shape": (2, 3), "keep_prob": keep_prob}


random_mask: Op = primitive(
    "random_mask",
    _random_mask,
    _draws,
    effect="draw",
    doc="""Draw a Boolean mask whose elements are true with probability `effective_keep(keep_prob)`.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.ops import random_mask
        >>> random_mask(generator=np.random.default_rng(0), shape=(3,), keep_prob=1.0)
        array([ True,  True,  True])
    """,
)


__all__ = [
    "assign",
    "assign_at",
    "effective_keep",
    "random_mask",
]
