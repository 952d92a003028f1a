"""Draw the pictures of the documentation: ``python docs/pictures.py``."""

from pathlib import Path

import numpy as np

import tinygrad_course as tc
from tinygrad_course import nn, optim, viz

IMAGES = Path(__file__).parent / "images"


def mlp() -> viz.Graph:
    """Return the graph of a small classifier's loss."""
    tc.seed(0)
    model = nn.Sequential(
        nn.Linear(64, 100), nn.BatchNorm(100), nn.ReLU(), nn.Dropout(0.2), nn.Linear(100, 10)
    )
    x, y = np.zeros((32, 64)), np.zeros(32, dtype=int)
    return viz.graph(nn.CrossEntropyLoss()(model(x), y), direction="LR")


def replay() -> viz.Graph:
    """Return the NumPy calls of a training step."""
    tc.seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    criterion, optimizer = nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1)

    @tc.compile
    def step(x: np.ndarray, y: np.ndarray) -> tc.Tensor:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step(np.ones((4, 2)), np.zeros((4, 1)))
    return viz.graph(step.plan, title="A training step")


if __name__ == "__main__":
    replay().save(IMAGES / "replay.svg")
    mlp().save(IMAGES / "mlp.svg")
