"""NumPy's products of vectors and matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import UnsupportedFunctionError
from tinygrad_course.functions.words import implements


@implements(np.dot)
def dot(x: Any, y: Any) -> Any:
    """Multiply as NumPy's dot: scalars elementwise, otherwise the sum over adjacent axes.

    Raises:
        UnsupportedFunctionError: both have more than two axes, where dot and matmul differ.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.dot(tc.Tensor([1.0, 2.0]), [3.0, 4.0])
        Tensor(11.)
    """
    ranks = np.ndim(x), np.ndim(y)
    if 0 in ranks:
        return ops.multiply(x, y)
    if ranks[1] > 2:
        raise UnsupportedFunctionError(
            f"dot: got {ranks[0]} and {ranks[1]} axes; beyond matrices write matmul, which "
            f"treats leading axes as a batch"
        )
    return ops.matmul(x, y)


__all__ = [
    "dot",
]
