"""What an update rule is made of: so that a whole training step can be recorded."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest

from tinygrad_course import optim
from tinygrad_course.optim import muon, rules
from tinygrad_course.primitive import FUNCTIONS

KINDS = [k for k in vars(optim).values() if isinstance(k, type) and hasattr(k, "update")]
RULES = [k for k in KINDS if issubclass(k, optim.Optimizer)]
PARTS = [getattr(rules, name) for name in rules.__all__ if name != "State"]
PARTS.append(muon.orthogonalized)
NUMBERS = {"max", "range", "state.get"}
ALIASES = {"absolute": "abs", "total": "sum"}
"""Names under which Python's own functions are not hidden."""


def calls(function):
    """Return the names that a function calls."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {ALIASES.get(name, name) for name in found}


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
def test_update_rules_are_written_in_registered_operations(kind):
    """Beside operators and looking up state, a rule calls only functions of the registry."""
    known = FUNCTIONS.keys() | {part.__name__ for part in PARTS} | NUMBERS
    assert calls(kind.update) <= known


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_the_parts_of_rules_are_so_too(part):
    """What several rules share is written in registered operations as well."""
    known = FUNCTIONS.keys() | {other.__name__ for other in PARTS} | NUMBERS
    assert calls(part) <= known


def test_every_optimizer_but_lbfgs_is_a_rule():
    """L-BFGS calls the loss again and again; all others can be replayed."""
    kinds = {k for k in vars(optim).values() if isinstance(k, type)}
    without = {k for k in kinds if issubclass(k, optim.Optimizer) and not hasattr(k, "update")}
    assert without == {optim.Optimizer, optim.LBFGS}
