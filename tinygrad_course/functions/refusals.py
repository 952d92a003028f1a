"""NumPy functions that Tensors refuse, each with what to do instead."""

from __future__ import annotations

from typing import Any

REFUSALS: dict[str, str] = {}
"""From ``module.name`` to the cure."""

_GENERAL = (
    "write it in supported functions (docs/functions.md lists them), register it as a primitive, "
    "or use .numpy() if no derivative is wanted"
)


def reason(function: Any) -> str:
    """Return what to do instead of calling a NumPy function on a Tensor."""
    module = getattr(function, "__module__", None) or "numpy"
    return REFUSALS.get(f"{module}.{getattr(function, '__name__', function)}", _GENERAL)
