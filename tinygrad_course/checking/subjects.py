"""What can be checked: points, a function of them, and a gradient for an upstream gradient.

A function of Tensors, a function in plain NumPy with its gradient written by hand, and a model with
its loss differ only here; everything else in this package works on a `Subject`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError
from tinygrad_course.graph import Value, enable_grad, no_grad
from tinygrad_course.tensor import Tensor
from tinygrad_course.transforms import gradients

Results = list[np.ndarray]


class UnsuitableError(ArgumentError):
    """What was given cannot be checked at all; not something that the checked function raised."""


class Subject:
    """Named points in float64, and what is computed from them.

    The numeric side changes `points` in place and calls `values`; `gradient` is called at the
    original point alone.
    """

    points: dict[str, np.ndarray]
    hand_written = False
    """Whether the gradient comes from outside, so that shapes and memory must be looked at."""

    def values(self) -> Results:
        """Return the results at the current points."""
        raise NotImplementedError

    def upstream(self, rng: np.random.Generator, centre: Results) -> Results:
        """Return a random upstream gradient: with ones, ignoring it would go unnoticed."""
        return [np.asarray(rng.standard_normal(y.shape)) for y in centre]

    def ones(self, centre: Results) -> Results:
        """Return the weights that stand for an upstream gradient of 1."""
        return [np.ones(y.shape) for y in centre]

    def gradient(self, weights: Results) -> dict[str, Any]:
        """Return the gradient of the weighted sum of the results for each point."""
        raise NotImplementedError

    def recorded(self) -> tuple[list[Any], dict[str, Any]] | None:
        """Return the results as recorded Tensors and the leaves by name, or None if impossible."""
        raise NotImplementedError

    def complex_step(self, name: str, direction: np.ndarray) -> Results | None:  # noqa: ARG002
        """Return the exact slopes along a direction, if a complex step gives them."""
        return None


def is_real(x: Any) -> bool:
    """Whether `x` is an array of real numbers with a fractional part."""
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def is_complex(x: Any) -> bool:
    """Whether `x` is an array of complex numbers."""
    return isinstance(x, np.ndarray) and x.dtype.kind == "c"


def prepared(x: Any) -> Any:
    """Return a floating input as a double-precision array of its own; anything else as it is."""
    raw = x._data if isinstance(x, Value) else x
    numbers = isinstance(raw, float | complex | list | np.ndarray | np.generic)
    array = np.asarray(raw) if numbers else None
    if array is None or array.dtype.kind not in "fc":
        return x
    return np.array(array, dtype=np.complex128 if array.dtype.kind == "c" else np.float64)


def checked_inputs(name: str, inputs: Sequence[Any]) -> list[Any]:
    """Return the inputs, floating ones as arrays of their own.

    Raises:
        ArgumentError: no input is floating.
    """
    given = [prepared(x) for x in inputs]
    floating = [i for i, x in enumerate(given) if is_real(x) or is_complex(x)]
    if not floating:
        raise UnsuitableError(
            f"{name}: no input is a floating array; whole numbers have no derivative, so write "
            f"them with a decimal point"
        )
    return given


def listed(result: Any) -> list[Any]:
    """Return one result or several as a list."""
    return list(result) if isinstance(result, list | tuple) else [result]


# ---- functions of Tensors --------------------------------------------------------------------


def real_outputs(result: Any) -> list[Tensor]:
    """Return the floating results; a complex one becomes its real and its imaginary part."""
    real = []
    for part in listed(result):
        if not isinstance(part, Tensor):
            raise UnsuitableError(
                f"gradcheck: the function returned {type(part).__name__}, not a Tensor; compute "
                f"with the Tensors that it is given"
            )
        if part.dtype.kind == "c":
            real += [part.real, part.imag]
        elif part.dtype.kind == "f":
            real.append(part)
    if not real:
        raise UnsuitableError(
            "gradcheck: the function returned nothing with a derivative: no floating Tensor"
        )
    return real


class TensorFunction(Subject):
    """A function built from this library's operations."""

    def __init__(self, f: Callable[..., Any], inputs: Sequence[Any]) -> None:
        self.f = f
        self.inputs = [x.copy() if is_real(x) else x for x in inputs]
        self.places = [i for i, x in enumerate(self.inputs) if is_real(x)]
        self.points = {f"input {i}": self.inputs[i] for i in self.places}

    def values(self) -> Results:
        """Return the results at the current points, unrecorded."""
        with no_grad():
            given = [Tensor(x) if is_real(x) else x for x in self.inputs]
            # Copies, because a result may be a view of a point that is about to move.
            return [np.array(out.data) for out in real_outputs(self.f(*given))]

    def recorded(self) -> tuple[list[Any], dict[str, Any]]:
        """Return the recorded results and the leaves."""
        leaves = [Tensor(x.copy(), requires_grad=True) if is_real(x) else x for x in self.inputs]
        with enable_grad():
            outputs = real_outputs(self.f(*leaves))
        return outputs, {f"input {i}": leaves[i] for i in self.places}

    def gradient(self, weights: Results) -> dict[str, Any]:
        """Return what the engine's backward pass gives."""
        outputs, leaves = self.recorded()
        pairs = [(out, w) for out, w in zip(outputs, weights, strict=True) if out.requires_grad]
        found = gradients([out for out, _ in pairs], list(leaves.values()), [w for _, w in pairs])
        for name, leaf in leaves.items():  # what a rule wrote into its input shows in the point
            if not np.array_equal(leaf.data, self.points[name], equal_nan=True):
                self.points[name][...] = leaf.data
        return dict(zip(leaves, found, strict=True))


def on_parts(f: Callable[..., Any], complexes: Sequence[int]) -> Callable[..., Any]:
    """Return `f` as a function of real and imaginary parts, in which all differences are real."""

    def function_of_parts(*tensors: Any) -> Any:
        given = list(tensors)
        for i in complexes:
            given[i] = given[i][..., 0] + 1j * given[i][..., 1]
        return f(*given)

    return function_of_parts


def parts(x: np.ndarray) -> np.ndarray:
    """Return a complex array as real and imaginary parts along a new last axis."""
    return np.stack([x.real, x.imag], axis=-1)


def slope_of(f: Callable[..., Any], places: Sequence[int], seed: int) -> Callable[..., Any]:
    """Return the function whose first derivative is the second derivative of `f`.

    Where it is only evaluated, by the numeric side, the plain backward pass is enough; it must
    agree with the recorded one, of which the derivative is checked.
    """

    def slope(*points: Any) -> Any:
        tensors = list(points)
        recorded = any(tensors[i].requires_grad for i in places)
        with enable_grad():
            for i in places:  # the numeric side brings Tensors that are not recorded
                if not tensors[i].requires_grad:
                    tensors[i] = Tensor(tensors[i].data, requires_grad=True)
            outputs = [out for out in real_outputs(f(*tensors)) if out.requires_grad]
            draw = np.random.default_rng(seed)
            weights = [draw.standard_normal(out.shape) for out in outputs]
            targets = [tensors[i] for i in places]
            found = gradients(outputs, targets, weights, create_graph=recorded)
        return tuple(
            Tensor(np.zeros(t.shape) if g is None else g) if g is None or not recorded else g
            for g, t in zip(found, targets, strict=True)
        )

    return slope


__all__ = [
    "Results",
    "Subject",
    "TensorFunction",
    "UnsuitableError",
    "checked_inputs",
    "is_complex",
    "is_real",
    "listed",
    "on_parts",
    "parts",
    "prepared",
    "real_outputs",
    "slope_of",
]
