"""What an update rule is made of: so that a whole training step can be recorded."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest

from tinygrad_course import optim
from tinygrad_course.primitive import FUNCTIONS

RULES = [optim.SGD, optim.RMSprop, optim.Adam]


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
def test_update_rules_are_written_in_registered_operations(kind):
    """Beside operators and looking up state, a rule calls only functions of the registry."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind.update)))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert called - {"buffer", "state.get"} <= FUNCTIONS.keys()
