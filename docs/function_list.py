"""Write docs/functions.md: what every function of NumPy does on a Tensor.

Run ``python docs/function_list.py`` after adding a function; a test holds the page up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_course.functions.refusals import REFUSALS
from tinygrad_course.primitive import NUMPY_FUNCTIONS
from tinygrad_course.protocols import DESCRIBING, load_all, name_of

PAGE = Path(__file__).with_name("functions.md")
MODULES = {"numpy": np, "numpy.linalg": np.linalg, "numpy.fft": np.fft}

HEAD = """# What NumPy's functions do on a Tensor

Every function below is called by NumPy's own name on a Tensor (`np.exp(t)`, `np.linalg.inv(t)`), or
as `tinygrad_course.<name>`, which takes arrays and Tensors alike. "ℝ" has a derivative at real
numbers, "ℝ ℂ" at complex ones too, to any order. This page is written by `docs/function_list.py`
from the registry; a test fails when it is out of date.

Methods of ufuncs: `reduce`, `accumulate`, `outer` and `at` (add and subtract while recording);
`out=`, `where=` and `dtype=` work as described in `tinygrad_course/protocols.py`.
"""


def dispatched(module: Any) -> dict[str, Callable[..., Any]]:
    """Return the functions of a NumPy module that ask a Tensor what to do."""
    found = {}
    for name in dir(module):
        function = getattr(module, name, None)
        asks = isinstance(function, np.ufunc) or "ArrayFunction" in type(function).__name__
        if asks and not name.startswith("_"):
            found[name] = function
    return found


def state(ours: Any, theirs: Any) -> str:
    """Return the word for how a function behaves."""
    if theirs in DESCRIBING:
        return "describes"
    row = getattr(ours, "primitive", None)
    if row is None:
        return getattr(ours, "derivative", "ℝ ℂ")
    if not row.differentiable:
        return "no derivative"
    return "ℝ" if row.real else "ℝ ℂ"


def says(ours: Any, theirs: Any) -> str:
    """Return the first sentence of our documentation."""
    if theirs in DESCRIBING:
        return "plain Python, or a plain array"
    text = " ".join((ours.__doc__ or "").split("\n\n")[0].split())
    return text.replace("|", "\\|").rstrip(".")


def tables() -> Iterator[str]:
    """Yield the page's parts."""
    load_all()
    refused = []
    for title, module in MODULES.items():
        lines: dict[Any, list[str]] = {}
        for name, function in dispatched(module).items():
            if function in NUMPY_FUNCTIONS:
                lines.setdefault(function, []).append(name)
            else:
                refused.append((f"{title.replace('numpy', 'np', 1)}.{name}", function))
        yield f"\n## {title}\n\n| function | derivative | what it does |\n|---|---|---|\n"
        for function, names in sorted(lines.items(), key=lambda item: item[1][0]):
            ours = NUMPY_FUNCTIONS[function]
            called = ", ".join(f"`{n}`" for n in names)
            yield f"| {called} | {state(ours, function)} | {says(ours, function)} |\n"
    yield from special()
    yield "\n## Refused\n\nEach raises TypeError with this advice.\n"
    yield "\n| function | instead |\n|---|---|\n"
    for name, function in sorted(refused):
        yield f"| `{name}` | {REFUSALS[name_of(function)]} |\n"


def special() -> Iterator[str]:
    """Yield the table of SciPy's special functions."""
    import scipy.special  # noqa: PLC0415 - needed for this table alone

    yield "\n## scipy.special\n"
    yield "\nWhere SciPy is installed; also as `tinygrad_course.special.<name>`.\n"
    yield "\n| function | derivative | what it does |\n|---|---|---|\n"
    for name in dir(scipy.special):
        function = getattr(scipy.special, name)
        if isinstance(function, np.ufunc) and function in NUMPY_FUNCTIONS:
            ours = NUMPY_FUNCTIONS[function]
            yield f"| `{name}` | {state(ours, function)} | {says(ours, function)} |\n"


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(tables())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    sys.stdout.write(f"{PAGE}\n")
