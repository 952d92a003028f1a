"""The page that lists NumPy's functions, and that every one of them has an answer."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_course.functions.refusals import REFUSALS
from tinygrad_course.primitive import NUMPY_FUNCTIONS
from tinygrad_course.protocols import load_all, name_of

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def listing():
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("function_list", DOCS / "function_list.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    load_all()
    return module


def test_the_page_is_up_to_date(listing):
    """docs/functions.md is what its script writes (for the NumPy that wrote it)."""
    text = (DOCS / "functions.md").read_text(encoding="utf-8")
    missing = [name for name in ("matvec", "vecmat") if not hasattr(np, name)]
    if missing:
        pytest.skip(f"this NumPy has no {missing[0]}, and the page lists it")
    assert listing.page() == text, "run: python docs/function_list.py"


def test_every_function_of_numpy_has_an_answer(listing):
    """Each function that asks a Tensor what to do is supported, or refused with its own advice."""
    for module in listing.MODULES.values():
        for name, function in listing.dispatched(module).items():
            known = function in NUMPY_FUNCTIONS or name_of(function) in REFUSALS
            assert known, f"{module.__name__}.{name} has neither a rule nor a refusal"


def test_no_refusal_is_left_over(listing):
    """Nothing is both supported and refused."""
    offered = {name_of(f) for m in listing.MODULES.values() for f in listing.dispatched(m).values()}
    supported = {name_of(function) for function in NUMPY_FUNCTIONS}
    assert not set(REFUSALS) & supported
    unknown = {name for name in REFUSALS if name.startswith("np.")} - offered
    assert not unknown, sys.version
