"""The table of layers: every case that ours and PyTorch's must compute alike."""

from __future__ import annotations

from reference.cases import Case
from reference.comparing import read
from reference.layers import (
    activations,
    attention,
    convolution,
    dense,
    embedding,
    layer_normalization,
    normalization,
    pooling,
    recurrent,
)

TABLES: dict[str, dict[str, Case]] = {
    "activations": activations.CASES,
    "attention": attention.CASES,
    "convolution": convolution.CASES,
    "dense": dense.CASES,
    "embedding": embedding.CASES,
    "layer_normalization": layer_normalization.CASES,
    "normalization": normalization.CASES,
    "pooling": pooling.CASES,
    "recurrent": recurrent.CASES,
}

LAYERS: dict[str, Case] = {name: case for table in TABLES.values() for name, case in table.items()}


def answers() -> dict:
    """Return PyTorch's stored answers to all cases."""
    return {name: case for table in TABLES for name, case in read(f"layers-{table}").items()}
