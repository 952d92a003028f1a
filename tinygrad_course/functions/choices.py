"""NumPy's functions that choose elementwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import UnsupportedFunctionError
from tinygrad_course.functions.words import implements
from tinygrad_course.graph import Value


@implements(np.clip)
def clip(x: Any, a_min: Any = None, a_max: Any = None) -> Any:
    """Limit to [a_min, a_max]; the slope is 1 inside and at the bounds.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.clip(tc.Tensor([-2.0, 0.5, 2.0]), -1.0, 1.0)
        Tensor([-1. ,  0.5,  1. ])
    """
    for bound in (a_min, a_max):
        if isinstance(bound, Value) and bound._needs:
            raise UnsupportedFunctionError(
                "clip: a bound requires grad, and clip has no derivative for bounds; "
                "write minimum(maximum(x, a_min), a_max)"
            )
    # Copies, because the derivative reads the bounds again.
    lower, upper = (
        b if b is None or np.isscalar(b) else np.array(b._data if isinstance(b, Value) else b)
        for b in (a_min, a_max)
    )
    return ops.clip_to(x, lower=lower, upper=upper)


__all__ = [
    "clip",
]
