"""Affine maps as functions."""

from __future__ import annotations

from tinygrad_course import ops

linear = ops.linear

__all__ = [
    "linear",
]
