"""What functions of arrays take besides arrays and Tensors."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_array(x: Any) -> Any:
    """Return a Tensor or array as it is, and a list or a number as an array.

    Example:
        >>> from tinygrad_course.nn.functional.arrays import as_array
        >>> as_array([1.0, 2.0])
        array([1., 2.])
    """
    return x if hasattr(x, "__array_function__") else np.asarray(x)


__all__ = ["as_array"]
