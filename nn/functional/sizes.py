"""What layers over images have in common: sizes for each direction, and the shape of the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, describe

NAMES = {1: "length", 2: "height, width"}


def whole(value: Any) -> bool:
    """Whether a value is a whole number, and not a truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def sizes(name: str, word: str, value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """Return one whole number for each direction from a number or a sequence.

    Raises:
        ArgumentError: it is neither, or a number is smaller than `least`.

    Example:
        >>> from tinygrad_course.nn.functional.sizes import sizes
        >>> sizes("conv2d", "stride", 2, 2), sizes("conv2d", "stride", [1, 2], 2)
        ((2, 2), (1, 2))
    """
    given = (value,) if whole(value) else tuple(value) if isinstance(value, Sequence) else ()
    if len(given) == 1:
        given *= rank
    if len(given) != rank or not all(whole(n) and n >= least for n in given):
        raise ArgumentError(
            f"{name}: {word} must be a whole number of at least {least}, or {rank} of them, "
            f"got {value!r}"
        )
    return tuple(int(n) for n in given)


def batched(name: str, x: Any, rank: int, channels: int | None = None) -> tuple[Any, bool]:
    """Return x with a batch axis, and whether it had one.

    Raises:
        ShapeError: x has another number of axes or of channels.
    """
    if not hasattr(x, "__array_function__"):
        x = np.asarray(x)
    fits = x.ndim in (rank + 1, rank + 2)
    if not fits or (channels is not None and x.shape[-rank - 1] != channels):
        wanted = "channels" if channels is None else channels
        raise ShapeError(
            f"{name}{describe(SCOPE.get())}: got x of shape {x.shape}, expected "
            f"(m, {wanted}, {NAMES[rank]}) or, for one example, ({wanted}, {NAMES[rank]})"
        )
    return (x, True) if x.ndim == rank + 2 else (x[None], False)


def flattened(x: Any) -> Any:
    """Return signals (m, channels, length) as images of height 1."""
    return x[:, :, None]


def window_count(name: str, shape: tuple[int, ...], padded: Sequence[int], reach: Any) -> None:
    """Refuse windows larger than the padded image.

    Raises:
        ShapeError: no window fits.
    """
    if any(n < r for n, r in zip(padded, reach, strict=True)):
        raise ShapeError(
            f"{name}{describe(SCOPE.get())}: got x of shape {shape}, whose padded size "
            f"{tuple(padded)} is smaller than the kernel's {tuple(reach)} (dilation included); "
            f"use a smaller kernel, more padding or larger images"
        )


__all__ = [
    "batched",
    "flattened",
    "sizes",
    "whole",
    "window_count",
]
