"""The public surface is a list, and the list is true."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tinygrad_course as tc


@pytest.mark.parametrize("module", [tc, tc.nn, tc.optim, tc.viz], ids=lambda m: m.__name__)
def test_all_is_complete(module):
    """Every name in __all__ exists, once."""
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize(
    "name", [n for n in tc.__all__ if not n.startswith("__") and callable(getattr(tc, n))]
)
def test_public_functions_are_documented(name):
    """Everything in the façade has a docstring with at least one full sentence."""
    assert len((getattr(tc, name).__doc__ or "").strip()) > 20


def test_slow_packages_load_only_when_used():
    """Importing the package does not import Graphviz, Matplotlib, safetensors or scikit-learn."""
    code = (
        "import sys, tinygrad_course;"
        "print([m for m in ('graphviz','pygraphviz','matplotlib','safetensors','sklearn','scipy',"
        "'rich','typer','tinygrad_course.linalg','tinygrad_course.fft','tinygrad_course.special',"
        "'tinygrad_course.checking','tinygrad_course.viz','numpy.random') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
