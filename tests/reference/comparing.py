"""Storing PyTorch's answers, and comparing ours with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

ANSWERS = Path(__file__).parent / "answers"


def close(ours, theirs, what: str, rtol: float = 1e-10) -> None:
    """Assert equality to `rtol`, relative to the largest element of the array.

    A single element can be the small difference of large ones; its own size is no measure then.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, PyTorch {theirs.shape}"
    scale = float(np.abs(theirs).max(initial=0.0))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=rtol * scale, err_msg=what)


def plain(value):
    """Return nested arrays as lists, for JSON."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def arrays(value):
    """Return what `plain` made lists of as arrays again; lists of dicts stay lists."""
    if isinstance(value, dict):
        return {key: arrays(part) for key, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [arrays(part) for part in value]
    return value if isinstance(value, str) else np.array(value)


def read(name: str) -> dict:
    """Return the stored answers of a table by case, with arrays."""
    return arrays(json.loads((ANSWERS / f"{name}.json").read_text(encoding="utf-8")))["cases"]


def write(name: str, cases: dict) -> None:
    """Write the answers of a table, one case a line, with the version of PyTorch."""
    import torch

    ANSWERS.mkdir(exist_ok=True)
    rows = ",\n".join(f"{json.dumps(k)}: {json.dumps(plain(v))}" for k, v in cases.items())
    head = f'{{"torch": {json.dumps(torch.__version__.split("+")[0])},\n"cases": {{\n'
    (ANSWERS / f"{name}.json").write_text(f"{head}{rows}\n}}}}\n", encoding="utf-8", newline="\n")
