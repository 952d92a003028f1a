"""What the tests of layers, losses and modules share."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def rng():
    """A generator of its own for every test, always with the same numbers."""
    return np.random.default_rng(20240)
