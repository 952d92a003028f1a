"""Convolution layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tinygrad_course.errors import ArgumentError
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn import init
from tinygrad_course.nn.functional.convolution import PADDING_MODES, margins, pad_images
from tinygrad_course.nn.functional.sizes import sizes
from tinygrad_course.nn.module import Module, cast_input
from tinygrad_course.nn.options import positive
from tinygrad_course.nn.parameter import Parameter, default_dtype


class _Conv(Module):
    """What all convolutions have: sizes, a weight and a bias, and how they start."""

    rank: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        dtype: Any,
        generator: np.random.Generator | None,
    ) -> None:
        name, rank = type(self).__name__, self.rank
        positive(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"{name}: in_channels={in_channels} and out_channels={out_channels} must be "
                f"multiples of groups={groups}"
            )
        modes = ["zeros"] if self.transposed else list(PADDING_MODES)
        if padding_mode not in modes:
            raise ArgumentError(
                f"{name}: padding_mode must be one of {', '.join(modes)}, got {padding_mode!r}"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = sizes(name, "kernel_size", kernel_size, rank)
        self.stride = sizes(name, "stride", stride, rank)
        self.dilation = sizes(name, "dilation", dilation, rank)
        margins(name, padding, self.kernel_size, self.stride, self.dilation)  # or it refuses
        word = isinstance(padding, str)
        self.padding = padding if word else sizes(name, "padding", padding, rank, 0)
        self.groups, self.padding_mode = groups, padding_mode
        first, second = out_channels, in_channels // groups
        if self.transposed:
            first, second = in_channels, out_channels // groups
        kind = default_dtype(dtype)
        self.weight = Parameter(np.empty((first, second, *self.kernel_size), kind))
        init.kaiming_uniform_(self.weight, a=math.sqrt(5), generator=generator)
        self.bias = Parameter(np.empty(out_channels, kind)) if bias else None
        if self.bias is not None:
            bound = 1 / math.sqrt(second * math.prod(self.kernel_size))
            init.uniform_(self.bias, -bound, bound, generator)

    def _convolve(self, x: Any) -> Any:
        """Apply the convolution of `rank` directions, after padding by another mode than zeros."""
        x = cast_input(x, self.weight._data.dtype)
        padding = self.padding
        if self.padding_mode != "zeros":
            name = f"conv{self.rank}d"
            widths = margins(name, padding, self.kernel_size, self.stride, self.dilation)
            if x.ndim in (self.rank + 1, self.rank + 2):  # else the convolution says what is wrong
                x = pad_images(name, x, widths, self.padding_mode)
            padding = 0
        convolve = F.conv1d if self.rank == 1 else F.conv2d
        options = (self.stride, padding, self.dilation, self.groups)
        return convolve(x, self.weight, self.bias, *options)

    def extra_repr(self) -> str:
        """Return the sizes, and the options that are not the usual ones."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        usual: dict[str, Any] = {
            "padding": (0,) * self.rank,
            "dilation": (1,) * self.rank,
            "output_padding": (0,) * self.rank,
            "groups": 1,
        }
        for word, value in usual.items():
            if getattr(self, word, value) != value:
                text += f", {word}={getattr(self, word)}"
        text += "" if self.bias is not None else ", bias=False"
        return text + (
            "" if self.padding_mode == "zeros" else f", padding_mode={self.padding_mode}"
        )


class Conv1d(_Conv):
    """Convolve signals (m, in_channels, length), as `Conv2d` does images.

    Weight: (out_channels, in_channels / groups, kernel_size). The arguments are those of `Conv2d`.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Conv1d(3, 8, 5, padding="same")(np.zeros((4, 3, 20))).shape
        (4, 8, 20)
    """

    rank = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        options = (stride, padding, dilation, groups, bias, padding_mode, dtype, generator)
        super().__init__(in_channels, out_channels, kernel_size, *options)

    def forward(self, x: Any) -> Any:
        """Map (m, in_channels, length) to (m, out_channels, new length)."""
        return self._convolve(x)


class Conv2d(_Conv):
    """Convolve images: y[o] = bias[o] + Σ over channels c of weight[o, c] ⋆ x[c].

    ⋆ is the cross-correlation that PyTorch calls convolution; see `functional.conv2d`. Weights and
    biases start uniform in ±1/sqrt(fan_in), fan_in = in_channels / groups · kernel height · width.

    Args:
        in_channels: channels of x.
        out_channels: channels of y.
        kernel_size: size of the kernels; here and below a number, or (vertical, horizontal).
        stride: steps between windows.
        padding: how much is added at each edge; "same" keeps the size, "valid" adds nothing.
        dilation: steps between the places of a kernel.
        groups: into how many groups the channels are divided; each output sees one.
        bias: whether to add a bias.
        padding_mode: what is added: "zeros", "reflect", "replicate" or "circular".
        dtype: of the parameters; float32 by default.
        generator: draws the initial values.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> layer = nn.Conv2d(1, 20, 5)
        >>> layer
        Conv2d(1, 20, kernel_size=(5, 5), stride=(1, 1))
        >>> layer(np.zeros((64, 1, 28, 28))).shape
        (64, 20, 24, 24)
    """

    rank = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        options = (stride, padding, dilation, groups, bias, padding_mode, dtype, generator)
        super().__init__(in_channels, out_channels, kernel_size, *options)

    def forward(self, x: Any) -> Any:
        """Map (m, in_channels, height, width) to (m, out_channels, new height, new width)."""
        return self._convolve(x)


class _ConvTranspose(_Conv):
    """What transposed convolutions have beyond the others: the size of their result is a choice."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        name = type(self).__name__
        if isinstance(padding, str):
            raise ArgumentError(f"{name}: padding must be whole numbers, got {padding!r}")
        options = (stride, padding, dilation, groups, bias, padding_mode, dtype, generator)
        super().__init__(in_channels, out_channels, kernel_size, *options)
        self.output_padding = sizes(name, "output_padding", output_padding, self.rank, 0)

    def forward(self, x: Any, output_size: Sequence[int] | None = None) -> Any:
        """Map (m, in_channels, ...) to (m, out_channels, ...), of a given size if there is one."""
        x = cast_input(x, self.weight._data.dtype)
        extra = self.output_padding if output_size is None else self._extra(x, output_size)
        transpose = F.conv_transpose1d if self.rank == 1 else F.conv_transpose2d
        options = (self.stride, self.padding, extra, self.groups, self.dilation)
        return transpose(x, self.weight, self.bias, *options)

    def _extra(self, x: Any, output_size: Sequence[int]) -> tuple[int, ...]:
        """Return the output padding that leads to a size."""
        wanted = tuple(output_size)[-self.rank :]
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                x.shape[-self.rank :],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        ]
        extra = tuple(w - n for w, n in zip(wanted, least, strict=False))
        if len(wanted) != self.rank or not all(
            0 <= e < s for e, s in zip(extra, self.stride, strict=True)
        ):
            most = tuple(n + s - 1 for n, s in zip(least, self.stride, strict=True))
            raise ArgumentError(
                f"{type(self).__name__}: output_size {tuple(output_size)} is not possible for x of "
                f"shape {x.shape}; the last {self.rank} numbers must lie between {tuple(least)} "
                f"and {most}"
            )
        return extra


class ConvTranspose1d(_ConvTranspose):
    """Transpose a convolution of signals, as `ConvTranspose2d` does of images.

    Weight: (in_channels, out_channels / groups, kernel_size). The arguments are those of
    `ConvTranspose2d`.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.ConvTranspose1d(8, 3, 4, stride=2, padding=1)(np.zeros((4, 8, 10))).shape
        (4, 3, 20)
    """

    rank = 1


class ConvTranspose2d(_ConvTranspose):
    """Transpose a convolution: the layer whose forward pass is the backward pass of `Conv2d`.

    Weight: (in_channels, out_channels / groups, kernel height, kernel width).

    Args:
        in_channels: channels of x.
        out_channels: channels of y.
        kernel_size: size of the kernels; here and below a number, or (vertical, horizontal).
        stride: steps between the places where kernels are added.
        padding: how much of the result is cut off at each edge.
        output_padding: how much is added to the result at the end.
        groups: into how many groups the channels are divided.
        bias: whether to add a bias.
        dilation: steps between the places of a kernel.
        padding_mode: only "zeros".
        dtype: of the parameters; float32 by default.
        generator: draws the initial values.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> layer = nn.ConvTranspose2d(8, 3, 3, stride=2, padding=1)
        >>> x = np.zeros((4, 8, 10, 10))
        >>> layer(x).shape, layer(x, output_size=(20, 20)).shape
        ((4, 3, 19, 19), (4, 3, 20, 20))
    """

    rank = 2


__all__ = [
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
]
