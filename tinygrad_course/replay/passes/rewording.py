"""Passes that say the same with the faster of NumPy's calls.

Most of a call on a small array is the way to its loop: ``np.dot`` is at BLAS sooner than
``np.matmul``, and a Python number becomes an array at every call while an array stays one. The
maximum of two arrays runs in vectors, that of an array and a number does not. Results keep every
bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_course.replay.program import (
    FIXED,
    OPTION,
    Layout,
    Note,
    Program,
    Step,
    Var,
    is_array,
    made,
    order,
)

_FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


def _rewritten(program: Program, rewrite: Callable[[Step], Iterator[Step]]) -> Program:
    return replace(program, steps=[new for step in program.steps for new in rewrite(step)])


def _is_matrix(x: Any) -> bool:
    """Whether this is a variable of a plain matrix of floats, without gaps in memory."""
    return _holds_floats(x) and x.example.ndim == 2 and bool(order(x.example))


def _is_vector(x: Any) -> bool:
    """Whether this is a variable of a vector of floats, one behind another in memory."""
    return _holds_floats(x) and x.example.ndim == 1 and bool(order(x.example))


def _holds_floats(x: Any) -> bool:
    return is_array(x) and 0 not in x.example.shape and x.example.dtype in _FLOATS


# ---- batches -------------------------------------------------------------------------------------


def take_rows(x: np.ndarray, index: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``x[index]``, written into `out`.

    NumPy's own check of an index makes ``take`` write into a copy of `out`. One pass over the index
    does as well: seen as unsigned numbers, negative ones are the largest of all.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.replay.passes.rewording import take_rows
        >>> take_rows(np.eye(3), np.array([2, -1]), np.empty((2, 3)))
        array([[0., 0., 1.],
               [0., 0., 1.]])
    """
    inside = np.maximum.reduce(index.view(np.uint64)) < len(x)
    return x.take(index, axis=0, out=out, mode="clip" if inside else "raise")


def with_gathered_rows(program: Program) -> Program:
    """Pick the rows of a batch straight into a buffer."""

    def rewrite(step: Step) -> Iterator[Step]:
        x, index = _gather(step)
        if index is not None and _holds_rows(x) and index.example.dtype == np.int64:
            yield replace(
                step,
                function=take_rows,
                form="call",
                text="take_rows",
                args=(x, index),
                keywords={},
            )
        else:
            yield step

    return _rewritten(program, rewrite)


def _holds_rows(x: Any) -> bool:
    """Whether this is a variable of an array whose rows lie one behind another, and hold much."""
    lies = is_array(x) and order(x.example) == "C"
    return lies and x.example.ndim >= 2 and 0 not in x.example.shape


def _gather(step: Step) -> tuple[Any, Any]:
    """Return x and index if this call is ``x[index]``."""
    key: Any = None
    if step.form == "getitem":
        x, key = step.args
        key = key[0] if isinstance(key, tuple) and len(key) == 1 else key
    elif step.text in {"np.take", "take"}:
        words = {"mode": "raise", **dict(zip(("axis", "out"), step.args[2:], strict=False))}
        words.update(step.keywords)
        if words in ({"axis": 0, "mode": "raise"}, {"axis": 0, "mode": "raise", "out": None}):
            x, key = step.args[:2]
    fits = is_array(key) and key.example.ndim == 1 and key.example.shape != (0,)
    return (x, key) if fits else (None, None)


# ---- products ------------------------------------------------------------------------------------


def with_plain_products(program: Program) -> Program:
    """Multiply matrices by ``np.dot``, which is at BLAS a little sooner than ``np.matmul``."""

    def rewrite(step: Step) -> Iterator[Step]:
        out = step.keywords.get("out", step.result)
        plain = step.function is np.matmul and step.keywords.keys() <= {"out"}
        if (
            plain
            and isinstance(out, Var)
            and _for_blas(step.args, out)
            and order(out.example) == "C"
        ):
            yield replace(step, function=np.dot, text="np.dot")
        else:
            yield step

    return _rewritten(program, rewrite)


def _for_blas(pair: tuple[Any, ...], out: Var) -> bool:
    """Whether BLAS multiplies these: matrices, or a matrix and a vector, of floats of one dtype."""
    matrices = [_is_matrix(x) for x in pair]
    if not any(matrices) or not all(map(_is_vector, (x for x in pair if not _is_matrix(x)))):
        return False
    return len({v.example.dtype for v in (*pair, out)}) == 1


# ---- numbers -------------------------------------------------------------------------------------

_WITH_NUMBERS = frozenset(
    {
        np.add,
        np.subtract,
        np.multiply,
        np.divide,
        np.maximum,
        np.minimum,
        np.greater,
        np.greater_equal,
        np.less,
        np.less_equal,
    }
)


def with_numbers_as_arrays(program: Program) -> Program:
    """Make an array of every number once: of a constant for good, of an option at every step."""
    constants = _Fixed(np.full, "np.full")
    zeros = _Fixed(np.zeros, "np.zeros")
    options: dict[Any, Var] = {}
    first: list[Step] = []  # what is known before the step begins

    def rewrite(step: Step) -> Iterator[Step]:
        position, array = _number_and_array(step)
        if array is None:
            yield step
            return
        number, dtype = step.args[position], array.example.dtype
        if isinstance(number, Var):
            if (number, dtype) not in options:
                known = options[number, dtype] = made(Layout(np.empty((), dtype)))
                note = Note(OPTION) if number.outside else step.note
                new = Step(np.array, "call", "np.array", (number, dtype), {}, known, note=note)
                if number.outside:
                    first.append(new)
                else:
                    yield new
            known = options[number, dtype]
        elif step.function in (np.maximum, np.minimum) and not number:
            known = zeros.variable(array.example.shape, dtype)
        else:
            known = constants.variable((), float(number), dtype)
        args = (known, array) if position == 0 else (array, known)
        yield replace(step, args=args)

    program = _rewritten(program, rewrite)
    program = replace(program, steps=[*first, *program.steps])
    return zeros.before(constants.before(program))


def _number_and_array(step: Step) -> tuple[int, Any]:
    """Return the place of the number in a call on it and an array of floats, and the array."""
    if step.function not in _WITH_NUMBERS or step.form != "call" or len(step.args) != 2:
        return 0, None
    for position in (0, 1):
        number, array = step.args[position], step.args[1 - position]
        if not is_array(array) or array.example.dtype not in _FLOATS:
            continue
        value = number.example if isinstance(number, Var) else number
        scalar = isinstance(number, np.generic) and number.dtype == array.example.dtype
        if scalar or type(value) in (int, float):
            return position, array
    return 0, None


class _Fixed:
    """Arrays that are filled once, each made where it is first asked for."""

    def __init__(self, function: Callable[..., np.ndarray], text: str) -> None:
        self.function = function
        self.text = text
        self.known: dict[Any, Step] = {}

    def variable(self, *args: Any) -> Var:
        """Return the variable of the array that these arguments make."""
        if args not in self.known:
            example = Layout(self.function(*args))
            note = Note(FIXED)
            self.known[args] = Step(
                self.function, "call", self.text, args, {}, made(example), note=note
            )
        result: Var = self.known[args].result
        return result

    def before(self, program: Program) -> Program:
        """Return the program with the calls that fill the arrays in front."""
        return replace(program, steps=[*self.known.values(), *program.steps])


__all__ = [
    "take_rows",
    "with_gathered_rows",
    "with_numbers_as_arrays",
    "with_plain_products",
]
