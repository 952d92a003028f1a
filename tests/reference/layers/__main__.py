"""Store PyTorch's answers: in ``tests/``, run ``python -m reference.layers [table ...]``."""

import sys

from reference.cases import torch_answer
from reference.comparing import write
from reference.layers import TABLES

for table in sys.argv[1:] or TABLES:
    cases = enumerate(TABLES[table].items())
    write(f"layers-{table}", {name: torch_answer(case, i) for i, (name, case) in cases})
