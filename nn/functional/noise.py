"""Dropout as a function."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError
from tinygrad_course.random import generator as default_generator


def dropout(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    generator: np.random.Generator | None = None,
) -> Any:
    """Zero each element with probability p and scale the others by 1/(1-p): inverted dropout.

    The probability is rounded to a multiple of 2**-16, and the scale is that of the rounded one.
    Source: lesson 6 of the notes; Srivastava et al. 2014.

    Raises:
        ArgumentError: p lies outside [0, 1].

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.dropout(np.ones(4), p=0.5, training=False)
        array([1., 1., 1., 1.])
    """
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout: p must lie in [0, 1], got {p!r}; it is 1 - keep_prob")
    if not training or p == 0.0:
        return x
    shape = np.shape(x)
    keep = ops.effective_keep(1.0 - p)
    mask = ops.random_mask(generator=default_generator(generator), shape=shape, keep_prob=keep)
    return ops.apply_mask(x, mask, scale=1.0 / keep if keep else 0.0)


__all__ = [
    "dropout",
]
