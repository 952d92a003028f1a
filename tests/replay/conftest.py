"""What the tests of replays share."""

import gc

import pytest


@pytest.fixture(scope="package", autouse=True)
def _small_heap():
    """Set aside what other tests left: a trace looks for Tensors among all objects that live."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
