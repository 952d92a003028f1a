"""Refusals that layers share: options that make no sense."""

from __future__ import annotations

import numpy as np

from tinygrad_course.errors import ArgumentError


def positive(layer: str, **sizes: int) -> None:
    """Refuse sizes that are not positive whole numbers, naming layer and argument."""
    for name, size in sizes.items():
        whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if not whole or size < 1:
            raise ArgumentError(f"{layer}: {name} must be a positive whole number, got {size!r}")
