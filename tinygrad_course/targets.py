"""What `tinygrad-course gradcheck` is given: a primitive, a module's or a file's function."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_course.checking import GradcheckReport, StepsReport, check_primitive, gradcheck
from tinygrad_course.errors import ArgumentError, TinygradCourseError
from tinygrad_course.primitive import PRIMITIVES

Report = GradcheckReport | StepsReport

Check = Callable[[], Sequence[Report]]


def resolve(target: str, shapes: Sequence[tuple[int, ...]], seed: int) -> Check:
    """Return the check that a target stands for.

    A target is the name of a primitive, ``package.module:function`` or ``file.py::function``. A
    function that returns reports is run; any other is checked at inputs of the given `shapes`, or
    at the default values of its arguments.

    Raises:
        ArgumentError: there is no such thing, or nothing to check it at.
    """
    if target in PRIMITIVES:
        return lambda: check_primitive(target, seed=seed)
    if "::" in target:
        path, _, name = target.rpartition("::")
        module = _from_file(Path(path))
    elif ":" in target:
        path, _, name = target.rpartition(":")
        module = _imported(path)
    else:
        close = ", ".join(sorted(n for n in PRIMITIVES if n[:2] == target[:2])[:8])
        raise ArgumentError(
            f"gradcheck: there is no primitive {target!r}"
            + (f" (there is {close})" if close else "")
            + "; a function is written package.module:function or file.py::function"
        )
    function = module
    for part in name.split("."):
        if not hasattr(function, part):
            offered = [n for n, v in vars(module).items() if callable(v) and n[0] != "_"][:10]
            raise ArgumentError(f"gradcheck: {path} has no {name!r}; it has {', '.join(offered)}")
        function = getattr(function, part)
    if not callable(function):
        raise ArgumentError(f"gradcheck: {target} is {type(function).__name__}, not a function")
    return lambda: _run(target, function, shapes, seed)


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise ArgumentError(f"gradcheck: there is no file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"gradcheck: {str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    return _executed(path, lambda: spec.loader.exec_module(module), module)  # type: ignore[union-attr]


def _imported(name: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: modules of the current folder
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ArgumentError(f"gradcheck: cannot import {name!r}: {error}") from error
    except TinygradCourseError:
        raise
    except Exception as error:
        raise ArgumentError(
            f"gradcheck: {name!r} raised {type(error).__name__} when it was imported: {error}"
        ) from error


def _executed(path: Path, execute: Callable[[], None], module: Any) -> Any:
    try:
        execute()
    except TinygradCourseError:
        raise
    except Exception as error:
        raise ArgumentError(
            f"gradcheck: {path} raised {type(error).__name__} when it was run: {error}"
        ) from error
    return module


def _run(
    target: str, function: Callable[..., Any], shapes: Sequence[tuple[int, ...]], seed: int
) -> Sequence[Report]:
    row = getattr(function, "primitive", None)
    if row is not None and not shapes:
        return check_primitive(row.name, seed=seed)
    if shapes:
        rng = np.random.default_rng(seed)
        inputs: list[Any] = [rng.standard_normal(shape) for shape in shapes]
        return [gradcheck(function, *inputs, seed=seed)]
    parameters = inspect.signature(function).parameters.values()
    plain = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if any(p.default is p.empty for p in plain):
        needed = ", ".join(p.name for p in plain if p.default is p.empty)
        raise ArgumentError(
            f"gradcheck: {target} needs values for {needed}; pass one --shape for each argument "
            f"(--shape 4,3), or give the arguments default values"
        )
    result = None if plain else function()
    if isinstance(result, Report):
        return [result]
    if isinstance(result, list | tuple) and result and isinstance(result[0], Report):
        return list(result)
    if not plain:
        raise ArgumentError(
            f"gradcheck: {target} has no arguments and returned {type(result).__name__}; return a "
            f"report, or take arguments with default values"
        )
    return [gradcheck(function, *[p.default for p in plain], seed=seed)]


__all__ = ["Check", "Report", "resolve"]
