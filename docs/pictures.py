"""Draw the pictures of the documentation: ``python docs/pictures.py``."""

from pathlib import Path

import numpy as np

import tinygrad_course as tc
from tinygrad_course import nn, viz

IMAGES = Path(__file__).parent / "images"


def mlp() -> viz.Graph:
    """Return the graph of a small classifier's loss."""
    tc.seed(0)
    model = nn.Sequential(
        nn.Linear(64, 100), nn.BatchNorm(100), nn.ReLU(), nn.Dropout(0.2), nn.Linear(100, 10)
    )
    x, y = np.zeros((32, 64)), np.zeros(32, dtype=int)
    return viz.graph(nn.CrossEntropyLoss()(model(x), y), direction="LR")


if __name__ == "__main__":
    mlp().save(IMAGES / "mlp.svg")
