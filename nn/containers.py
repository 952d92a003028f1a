"""Modules that hold modules."""

from __future__ import annotations

from typing import Any

from tinygrad_course.errors import ArgumentError
from tinygrad_course.nn.module import Module


class Sequential(Module):
    """Modules applied one after the other.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        Sequential(
          (0): Linear(4, 3)
          (1): ReLU()
        )
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise ArgumentError(
                    f"Sequential: argument {i} is {type(layer).__name__}, not a Module; "
                    f"pass layers such as nn.ReLU() rather than functions"
                )
        self.layers = list(layers)

    def _members(self) -> Any:
        """Yield the layers by number, then what a subclass holds besides."""
        yield from ((str(i), layer) for i, layer in enumerate(self.layers))
        yield from ((n, m) for n, m in super()._members() if n.partition(".")[0] != "layers")

    def forward(self, x: Any) -> Any:
        """Pass x through all layers."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: Any) -> Any:
        """Return a layer, or for a slice a Sequential of the same layers."""
        found = self.layers[index]
        return Sequential(*found) if isinstance(index, slice) else found

    def __iter__(self) -> Any:
        return iter(self.layers)


__all__ = [
    "Sequential",
]
