"""Functions that take PyTorch's words, and say so when they are given NumPy's."""

from __future__ import annotations

from tinygrad_course.functions import speaks

speaks_torch = speaks("PyTorch", {"axis": "dim", "keepdims": "keepdim"})
