"""What a module holds: parameters that are trained, buffers that are only remembered."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course.errors import DtypeError
from tinygrad_course.tensor import Tensor

_default_dtype = np.dtype(np.float32)


def set_default_dtype(dtype: Any) -> None:
    """Choose the dtype of parameters that layers create from now on (float32 at first).

    Raises:
        DtypeError: the dtype is not a floating one.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.set_default_dtype("float64")
        >>> tc.nn.Linear(2, 1).weight.dtype
        dtype('float64')
        >>> tc.set_default_dtype("float32")
    """
    global _default_dtype  # noqa: PLW0603 - a setting of the process, as PyTorch's
    wanted = np.dtype(dtype)
    if wanted.kind != "f":
        raise DtypeError(f"set_default_dtype: needs a floating dtype, got {wanted}")
    _default_dtype = wanted


def default_dtype(given: Any = None) -> np.dtype[Any]:
    """Return the given dtype, or the one that layers use by default."""
    return _default_dtype if given is None else np.dtype(given)


class Parameter(Tensor):
    """A Tensor that a module trains. It copies its data and requires grad.

    Args:
        data: the initial values; whole numbers become the default dtype.
        requires_grad: False freezes the parameter.
        dtype: convert to this dtype.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Parameter(np.zeros(2)).requires_grad
        True
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True, dtype: Any = None) -> None:
        source = np.asarray(data._data if isinstance(data, Tensor) else data)
        kind = dtype if dtype is not None or source.dtype.kind in "fc" else default_dtype()
        super().__init__(np.array(source, dtype=kind), requires_grad=requires_grad)

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.name, self.data, self.requires_grad)


class Buffer(Tensor):
    """A Tensor that belongs to a module's state without being trained: running statistics.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Buffer(np.zeros(2)).requires_grad
        False
    """

    __slots__ = ()

    def __init__(self, data: Any, dtype: Any = None) -> None:
        super().__init__(np.array(data, dtype=dtype))

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.name, self.data)


def _rebuild(cls: Any, name: str | None, *arguments: Any) -> Any:
    tensor = cls(*arguments)
    tensor.name = name
    return tensor
