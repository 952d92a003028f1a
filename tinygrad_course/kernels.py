"""Functions that a replay takes as one call instead of looking into them.

A replay (see `tinygrad_course.replay`) writes down the NumPy calls that a step makes. Where a
function branches on values, or fills memory that it made itself, there is no straight line to
write down; such a function is a kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Decorate a function of arrays so that a replay calls it as a whole.

    Example:
        >>> from tinygrad_course.kernels import kernel
        >>> @kernel
        ... def first_positive(x):
        ...     return x[x > 0][:1] if (x > 0).any() else x[:1]
        >>> import numpy as np
        >>> first_positive(np.array([-1.0, 2.0]))
        array([2.])
    """

    @functools.wraps(function)
    def run(*args: Any, **keywords: Any) -> Any:
        for x in args:
            if hasattr(x, "recorder"):
                return x.recorder.kernel(function, args, keywords)
        return function(*args, **keywords)

    run.inner = function  # type: ignore[attr-defined]  # whoever asks for its arguments looks here
    return run  # type: ignore[return-value]  # it has the function's own signature


__all__ = ["kernel"]
