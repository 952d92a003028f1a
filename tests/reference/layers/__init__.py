"""The table of layers: every case that ours and PyTorch's must compute alike."""

from __future__ import annotations

from reference.cases import Case
from reference.comparing import read
from reference.layers import activations, dense, normalization

TABLES: dict[str, dict[str, Case]] = {
    "activations": activations.CASES,
    "dense": dense.CASES,
    "normalization": normalization.CASES,
}

LAYERS: dict[str, Case] = {name: case for table in TABLES.values() for name, case in table.items()}


def answers() -> dict:
    """Return PyTorch's stored answers to all cases."""
    return {name: case for table in TABLES for name, case in read(f"layers-{table}").items()}
