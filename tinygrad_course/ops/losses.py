"""Primitives of losses whose derivative is chosen, and not that of a composition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.ops.choices import maximum, where
from tinygrad_course.ops.exponentials import log, log1p
from tinygrad_course.ops.samples import values
from tinygrad_course.primitive import Op, Sample, primitive

_LOWEST = -100.0  # of the logarithms
_LEAST = float(np.exp(_LOWEST))
_FLAT = float.fromhex("0x1.1979980000000p-40")  # 1e-12 in float32, as which PyTorch has it


def _logit(p: Any) -> Any:
    """Return max(log p, -100) - max(log(1 - p), -100), differentiable."""
    never, always = p <= _LEAST, p >= 1
    yes = where(never, _LOWEST, log(where(never, 1.0, p)))
    no = where(always, _LOWEST, log1p(-where(always, 0.0, p)))
    return yes - no


def _binary_cross_entropy(p: Any, y: Any) -> Any:
    with np.errstate(divide="ignore"):
        yes, no = np.log(p), np.log1p(-p)
    return (y - 1) * np.maximum(no, _LOWEST) - y * np.maximum(yes, _LOWEST)


def _pairs(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(), (3,), (2, 3), (0,)]:
        yield (values(rng, shape, 0.1, 0.9), values(rng, shape, 0.0, 1.0)), {}


binary_cross_entropy: Op = primitive(
    "binary_cross_entropy",
    _binary_cross_entropy,
    _pairs,
    lambda g, _ans, p, y: g * (p - y) / maximum((1 - p) * p, _FLAT),
    lambda g, _ans, p, _y: -(g * _logit(p)),
    expects="probabilities and targets of one shape",
    real=True,
    doc="""Return the cross-entropy -y log p - (1 - y) log(1 - p) of probabilities p, elementwise.

    As in PyTorch the logarithms are at least -100, and the derivative is (p - y) / (p (1 - p)) with
    a denominator of at least 1e-12: a wrong certainty costs 100 and has a steep slope, not none.
    """,
)


__all__ = [
    "binary_cross_entropy",
]
