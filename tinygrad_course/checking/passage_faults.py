"""Mistakes in passages: activations, softmax, normalization.

A passage computes a value from another one alone; a mistake in it is another function from the
gradient of its end to the gradient of its start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from tinygrad_course.checking.passages import Passage

Fault = tuple[str, Callable[[Any], Any]]


def passage_faults(passage: Passage) -> Iterator[Fault]:
    """Yield what goes wrong between a value and what is computed from it alone."""
    yield from _elementwise_faults(passage)
    yield from _softmax_faults(passage)
    yield from _normalization_faults(passage)


def _elementwise_faults(passage: Passage) -> Iterator[Fault]:
    if not passage.elementwise:
        return
    where = passage.text
    yield (
        f"the derivative of {where} is missing: the upstream gradient is passed on as it is",
        lambda g: g,
    )
    at_output = passage.slope(passage.output)
    if at_output is not None:
        yield (
            f"the derivative of {where} is taken at its output instead of its input",
            lambda g: g * at_output,
        )
    swapped = _slope_by_output(passage)
    if swapped is not None:
        yield (
            f"the derivative of {where} is written for its output but taken at its input",
            lambda g: g * swapped,
        )


def _slope_by_output(passage: Passage) -> Any:
    """Return the derivative's formula in terms of the output, evaluated at the input."""
    x, y = passage.input, passage.output
    with np.errstate(all="ignore"):
        for value, slope in (
            (1 / (1 + np.exp(-x)), x * (1 - x)),
            (np.tanh(x), 1 - x * x),
            (np.exp(x), x),
            (np.sqrt(x), 0.5 / x),
        ):
            if _close(y, value):
                return slope
    return None


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-12))


def _softmax_faults(passage: Passage) -> Iterator[Fault]:
    x, y = passage.input, passage.output
    if passage.elementwise or x.ndim == 0:
        return
    text = (
        f"the coupling between the elements of the softmax ({passage.text}) is left out: only the "
        f"diagonal of its Jacobian is used"
    )
    for axis in range(x.ndim):
        if x.shape[axis] < 2:
            continue
        e = np.exp(x - np.max(x, axis=axis, keepdims=True))
        soft = e / np.sum(e, axis=axis, keepdims=True)
        if _close(y, soft):
            yield text, lambda g: g * y * (1 - y)
            yield (
                f"the normalising sum of the softmax ({passage.text}) is treated as a constant",
                lambda g: g * y,
            )
        elif _close(y, np.log(soft)):
            yield text, partial(np.multiply, 1 - soft)
            yield (
                f"the normalising sum of the log-softmax ({passage.text}) is treated as a constant",
                lambda g: g,
            )


def _variance_fixed(scale: Any, mean: Any, g: Any) -> Any:
    """Return a normalization's gradient in which only the mean depends on the input."""
    return scale * (g - mean(g))


def _mean_fixed(scale: Any, mean: Any, true: Any, g: Any) -> Any:
    """Return a normalization's gradient in which only the variance depends on the input."""
    return true(g) + scale * mean(g)


def _normalization_faults(passage: Passage) -> Iterator[Fault]:
    """Yield what is left out where a value is centred and divided by its spread."""
    x, y = passage.input, passage.output
    if passage.elementwise or x.ndim == 0:
        return
    batch = tuple(k for k in range(x.ndim) if k != 1)  # batch norm of images
    for axes in {(k,) for k in range(x.ndim)} | {batch, tuple(range(x.ndim))}:
        spread, centred = np.std(x, axis=axes, keepdims=True), x - np.mean(x, axes, keepdims=True)
        if not np.all(spread > 0):
            continue
        # The scale may hold an ε and a weight, so it is read off the values; a shift is allowed.
        middle = y - np.mean(y, axes, keepdims=True)
        scale = np.sum(middle * centred, axes, keepdims=True) / np.sum(
            centred * centred, axes, keepdims=True
        )
        if not _close(middle, scale * centred):
            continue
        true = passage.slope_matrix_free()
        if true is None:
            continue
        where = passage.text
        constants = (
            f"the statistics (mean and variance) of the normalization ({where}) are treated as "
            f"constants: the coupling through the batch is left out"
        )
        yield constants, partial(np.multiply, scale)
        mean = partial(np.mean, axis=axes, keepdims=True)
        yield (
            f"the variance of the normalization ({where}) is treated as a constant",
            partial(_variance_fixed, scale, mean),
        )
        yield (
            f"the mean of the normalization ({where}) is treated as a constant",
            partial(_mean_fixed, scale, mean, true),
        )
        return


__all__ = ["passage_faults"]
