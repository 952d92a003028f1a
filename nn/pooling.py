"""Pooling layers."""

from __future__ import annotations

from typing import Any, ClassVar

from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn.functional.sizes import sizes
from tinygrad_course.nn.module import Module, cast_input


class _MaxPool(Module):
    """The maximum of windows, in `rank` directions."""

    rank: ClassVar[int]

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        name = type(self).__name__
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode
        for word in ("kernel_size", "stride", "padding", "dilation"):
            sizes(name, word, getattr(self, word), self.rank, 0 if word == "padding" else 1)

    def forward(self, x: Any) -> Any:
        """Return the maxima, with `return_indices` also where they were found."""
        pool = F.max_pool1d if self.rank == 1 else F.max_pool2d
        options = (self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)
        return pool(cast_input(x, None), self.kernel_size, *options)

    def extra_repr(self) -> str:
        """Return the options."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The maximum of every window of signals (m, channels, length).

    The arguments are those of `MaxPool2d`.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.MaxPool1d(2)(np.zeros((4, 3, 10))).shape
        (4, 3, 5)
    """

    rank = 1


class MaxPool2d(_MaxPool):
    """The maximum of every window of images (m, channels, height, width).

    Among equal elements the first one, row by row, gets the gradient.

    Args:
        kernel_size: size of a window; here and below a number, or (vertical, horizontal).
        stride: steps between windows; the kernel size if None.
        padding: how far windows reach over the edges; what lies outside never is the maximum.
        dilation: steps between the places of a window.
        return_indices: whether to return (y, indices).
        ceil_mode: whether a last window may reach beyond the padding.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.MaxPool2d(2)(np.zeros((4, 3, 10, 10))).shape
        (4, 3, 5, 5)
    """

    rank = 2


class AvgPool1d(Module):
    """The mean of every window of signals (m, channels, length).

    The arguments are those of `AvgPool2d`, without `divisor_override`.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.AvgPool1d(2)(np.zeros((4, 3, 10))).shape
        (4, 3, 5)
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size = sizes("AvgPool1d", "kernel_size", kernel_size, 1)
        self.stride = (
            self.kernel_size if stride is None else sizes("AvgPool1d", "stride", stride, 1)
        )
        self.padding = sizes("AvgPool1d", "padding", padding, 1, 0)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Any) -> Any:
        """Return the means."""
        options = (self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return F.avg_pool1d(cast_input(x, None), self.kernel_size, *options)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of every window of images (m, channels, height, width).

    Args:
        kernel_size: size of a window; here and below a number, or (vertical, horizontal).
        stride: steps between windows; the kernel size if None.
        padding: zeros around the image.
        ceil_mode: whether a last window may reach beyond the padding; nothing is counted there.
        count_include_pad: whether the padding's zeros count in the mean.
        divisor_override: divide by this number instead of by the count.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.AvgPool2d(2)(np.zeros((4, 3, 10, 10))).shape
        (4, 3, 5, 5)
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override
        for word in ("kernel_size", "stride", "padding"):
            sizes("AvgPool2d", word, getattr(self, word), 2, 0 if word == "padding" else 1)

    def forward(self, x: Any) -> Any:
        """Return the means."""
        options = (self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        x = cast_input(x, None)
        return F.avg_pool2d(x, self.kernel_size, *options, self.divisor_override)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AdaptiveAvgPool(Module):
    """Means over as many windows as are asked for."""

    def __init__(self, output_size: Any) -> None:
        self.output_size = output_size

    def extra_repr(self) -> str:
        """Return the size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of `output_size` windows of signals (m, channels, length) of any length.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.AdaptiveAvgPool1d(4)(np.zeros((2, 3, 10))).shape
        (2, 3, 4)
    """

    def forward(self, x: Any) -> Any:
        """Return the means."""
        return F.adaptive_avg_pool1d(cast_input(x, None), self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of as many windows as are asked for, for images of any size.

    Args:
        output_size: height and width of the result, or one number for both; None keeps x's.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.AdaptiveAvgPool2d((1, 1))(np.zeros((2, 3, 10, 7))).shape
        (2, 3, 1, 1)
    """

    def forward(self, x: Any) -> Any:
        """Return the means."""
        return F.adaptive_avg_pool2d(cast_input(x, None), self.output_size)


__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "MaxPool1d",
    "MaxPool2d",
]
