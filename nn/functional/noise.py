"""Dropout in its forms, as functions.

`inplace` is PyTorch's advice about memory. It is understood and changes nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.random import generator as default_generator

SELU_FLOOR = -1.7580993408473766
"""What `selu` tends to on the left, -λ α: the value that `alpha_dropout` puts in."""


def _check_probability(name: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{name}: p must lie in [0, 1], got {p!r}; it is 1 - keep_prob")


def _masked(
    x: Any,
    p: float,
    shape: tuple[int, ...],
    generator: np.random.Generator | None,
    *,
    inverted: bool = True,
) -> Any:
    """Return x under a random mask of a shape that broadcasts to that of x."""
    keep = ops.effective_keep(1.0 - p)
    mask = ops.random_mask(generator=default_generator(generator), shape=shape, keep_prob=keep)
    scale = 1.0 / keep if inverted and keep else 1.0
    return ops.apply_mask(x, mask, scale=scale if keep else 0.0)


def dropout(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,  # noqa: ARG001 - see the module
    *,
    generator: np.random.Generator | None = None,
    inverted: bool = True,
) -> Any:
    """Zero each element with probability p and scale the others by 1/(1-p): inverted dropout.

    With ``inverted=False`` it is the original form: nothing is scaled in training, and evaluation
    multiplies by 1-p instead. The probability is rounded to a multiple of 2**-16, and the scale is
    that of the rounded one.
    Source: lesson 6 of the notes; Srivastava et al. 2014; Nielsen, chapter 3.

    Raises:
        ArgumentError: p lies outside [0, 1].

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.dropout(np.ones(4), p=0.5, training=False)
        array([1., 1., 1., 1.])
        >>> F.dropout(np.ones(4), p=0.5, training=False, inverted=False)
        array([0.5, 0.5, 0.5, 0.5])
    """
    _check_probability("dropout", p)
    if p == 0.0:
        return x
    if training:
        return _masked(x, p, np.shape(x), generator, inverted=inverted)
    if inverted:
        return x
    return ops.apply_mask(x, np.array(True), scale=ops.effective_keep(1.0 - p))


def _channels(
    name: str, rank: int, x: Any, p: float, training: bool, generator: np.random.Generator | None
) -> Any:
    _check_probability(name, p)
    shape = np.shape(x)
    if len(shape) not in {rank + 1, rank + 2}:
        axes = ", ".join(("length",) if rank == 1 else ("height", "width"))
        raise ShapeError(
            f"{name}{describe(SCOPE.get())}: expected x of shape (m, channels, {axes}) or "
            f"(channels, {axes}), got {shape}"
        )
    if not training or p == 0.0:
        return x
    return _masked(x, p, (*shape[:-rank], *(1,) * rank), generator)


def dropout1d(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,  # noqa: ARG001 - see the module
    *,
    generator: np.random.Generator | None = None,
) -> Any:
    """Zero whole channels of signals (m, channels, length) with probability p, scale the others.

    Source: Tompson et al. 2015.

    Raises:
        ArgumentError: p lies outside [0, 1].
        ShapeError: x has another number of axes.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.dropout1d(np.ones((1, 1, 3)), training=False)
        array([[[1., 1., 1.]]])
    """
    return _channels("dropout1d", 1, x, p, training, generator)


def dropout2d(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,  # noqa: ARG001 - see the module
    *,
    generator: np.random.Generator | None = None,
) -> Any:
    """Zero whole channels of images (m, channels, height, width) with probability p, scale others.

    Source: Tompson et al. 2015.

    Raises:
        ArgumentError: p lies outside [0, 1].
        ShapeError: x has another number of axes.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.dropout2d(np.ones((1, 1, 1, 3)), training=False)
        array([[[[1., 1., 1.]]]])
    """
    return _channels("dropout2d", 2, x, p, training, generator)


def alpha_dropout(
    x: Any,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,  # noqa: ARG001 - see the module
    *,
    generator: np.random.Generator | None = None,
) -> Any:
    """Set elements to the left limit of `selu` with probability p, then restore mean and variance.

    y = a (x or α') + b, with α' = -1.7581, a = 1 / sqrt((1-p) (1 + p α'²)), b = -a p α'.
    Source: Klambauer et al. 2017.

    Raises:
        ArgumentError: p lies outside [0, 1].

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.nn import functional as F
        >>> F.alpha_dropout(np.ones(3), training=False)
        array([1., 1., 1.])
    """
    _check_probability("alpha_dropout", p)
    if not training or p == 0.0:
        return x
    keep = ops.effective_keep(1.0 - p)
    shape = np.shape(x)
    mask = ops.random_mask(generator=default_generator(generator), shape=shape, keep_prob=keep)
    if keep == 0.0:
        return ops.apply_mask(x, mask, scale=0.0)
    drop = 1.0 - keep
    a = 1.0 / math.sqrt(keep * (1.0 + drop * SELU_FLOOR**2))
    b = -a * drop * SELU_FLOOR
    return ops.where(mask, x, SELU_FLOOR) * a + b


__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
]
