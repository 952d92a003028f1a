"""What can be checked: points, a function of them, and a gradient for an upstream gradient.

A function of Tensors, a function in plain NumPy with its gradient written by hand, and a model with
its loss differ only here; everything else in this package works on a `Subject`.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_course.checking.differences import complex_step
from tinygrad_course.errors import ArgumentError
from tinygrad_course.graph import Value, enable_grad, no_grad
from tinygrad_course.random import generator as default_generator
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


def call(name: str, f: Callable[..., Any], *args: Any) -> Any:
    """Call the user's function; what it raises carries where the call came from."""
    try:
        return f(*args)
    except Exception as error:
        error.add_note(f"{name}: raised by the function that is checked")
        raise


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


# ---- functions in plain NumPy, with a gradient by hand ----------------------------------------


class HandWritten(Subject):
    """A function in plain NumPy, and its gradient as somebody derived it."""

    hand_written = True

    def __init__(
        self, f: Callable[..., Any], grad_f: Callable[..., Any], inputs: Sequence[Any]
    ) -> None:
        self.f, self.grad_f = f, grad_f
        self.inputs = [x.copy() if is_real(x) else x for x in inputs]
        self.places = [i for i, x in enumerate(self.inputs) if is_real(x)]
        self.points = {f"input {i}": self.inputs[i] for i in self.places}
        self.several = False
        self.takes_upstream: bool | None = None

    def values(self) -> Results:
        """Return the results of the function."""
        result = self.f(*self.inputs)
        self.several = isinstance(result, tuple | list)
        arrays = []
        for part in listed(result):
            array = np.asarray(part._data if isinstance(part, Value) else part)
            if array.dtype.kind not in "biuf":
                raise UnsuitableError(
                    f"gradcheck_pair: the function returned {type(part).__name__} "
                    f"({array.dtype}), expected real numbers or an array of them"
                )
            # A result that is the input itself would move with it.
            arrays.append(np.array(array, dtype=array.dtype if array.dtype.kind == "f" else float))
        return arrays

    def upstream(self, rng: np.random.Generator, centre: Results) -> Results:
        """Return a random upstream gradient, or 1 where the gradient function takes none."""
        weights = super().upstream(rng, centre)
        self.takes_upstream = self._takes_upstream(weights)
        return weights if self.takes_upstream else [np.ones(w.shape) for w in weights]

    def gradient(self, weights: Results) -> dict[str, Any]:
        """Return what the hand-written gradient gives for an upstream gradient."""
        upstream = tuple(weights) if self.several else weights[0]
        if self.takes_upstream is None:
            self.takes_upstream = self._takes_upstream(weights)
        if self.takes_upstream:
            given = self.grad_f(*self.inputs, upstream)
        else:
            given = self.grad_f(*self.inputs)
        found = self._per_input(given)
        if not self.takes_upstream:
            scale = weights[0].item()
            found = [g if g is None else np.asarray(g) * scale for g in found]
        return {f"input {i}": found[i] for i in self.places}

    def _takes_upstream(self, weights: Results) -> bool:
        """Whether the gradient function wants an upstream gradient after the inputs."""
        one_number = len(weights) == 1 and weights[0].size == 1
        try:
            signature = inspect.signature(self.grad_f)
        except ValueError:  # written in C: no signature
            return True
        if one_number and _binds(signature, *self.inputs):
            kinds = {p.kind for p in signature.parameters.values()}
            if inspect.Parameter.VAR_POSITIONAL not in kinds:
                return False  # what could take an upstream gradient has a default: an option
            try:
                self.grad_f(*[np.copy(x) if is_real(x) else x for x in self.inputs], weights[0])
            except TypeError:
                return False
        if _binds(signature, *self.inputs, None):
            return True
        if one_number:
            return False
        raise UnsuitableError(
            f"gradcheck_pair: the gradient function takes no upstream gradient, but the function "
            f"returns shape {weights[0].shape}; write grad_f(*inputs, upstream) with "
            f"{len(self.inputs) + 1} arguments"
        )

    def _per_input(self, given: Any) -> list[Any]:
        count = len(self.inputs)
        if count == 1 and not isinstance(given, tuple | list):
            given = [given]
        if len(self.places) == 1 and count > 1 and not isinstance(given, tuple | list):
            found: list[Any] = [None] * count  # one floating input among labels and the like
            found[self.places[0]] = given
            return found
        if not isinstance(given, tuple | list) or len(given) != count:
            if isinstance(given, tuple | list) and len(given) == len(self.places):
                found = [None] * count
                for i, g in zip(self.places, given, strict=True):
                    found[i] = g
                return found
            what = f"{len(given)} values" if isinstance(given, tuple | list) else "one value"
            raise UnsuitableError(
                f"gradcheck_pair: the gradient function returned {what} for {count} inputs; "
                f"return one gradient per input, None for one without derivative"
            )
        return list(given)

    def complex_step(self, name: str, direction: np.ndarray) -> Results | None:
        """Return the slopes that a step in the imaginary direction gives."""
        return complex_step(self.f, self.inputs, int(name.removeprefix("input ")), direction)

    def recorded(self) -> tuple[list[Any], dict[str, Any]] | None:
        """Run the NumPy function on Tensors, which NumPy's protocols allow; None if it refuses."""
        leaves = [Tensor(x.copy(), requires_grad=True) if is_real(x) else x for x in self.inputs]
        try:
            with enable_grad(), np.errstate(all="ignore"):
                outputs = listed(self.f(*leaves))
        except Exception:  # noqa: BLE001 - loops over floats, in-place writes, other libraries
            return None
        if not all(isinstance(out, Tensor) and out.dtype.kind == "f" for out in outputs):
            return None
        return outputs, {f"input {i}": leaves[i] for i in self.places}


def _binds(signature: inspect.Signature, *given: Any) -> bool:
    try:
        signature.bind(*given)
    except TypeError:
        return False
    return True


class ComplexPair(HandWritten):
    """A pair with complex numbers, looked at through their real and imaginary parts.

    The points have a last axis of length 2; so have complex results. With weights a and b for the
    two parts of a result, the upstream gradient is a - ib, and a gradient p - iq means p and q.
    """

    def __init__(
        self, f: Callable[..., Any], grad_f: Callable[..., Any], inputs: Sequence[Any]
    ) -> None:
        self.complexes = {i for i, x in enumerate(inputs) if is_complex(x)}
        self.of_complex, self.gradient_of_complex = f, grad_f
        self.kinds: list[bool] = []
        given = [parts(x) if is_complex(x) else x for x in inputs]
        super().__init__(f, grad_f, given)

    def _joined(self) -> list[Any]:
        return [
            x[..., 0] + 1j * x[..., 1] if i in self.complexes else x
            for i, x in enumerate(self.inputs)
        ]

    def values(self) -> Results:
        """Return the results, complex ones as parts."""
        given = self._joined()
        result = self.of_complex(*given)
        self._write_back(given)
        self.several = isinstance(result, tuple | list)
        arrays = [np.asarray(part) for part in listed(result)]
        if not all(a.dtype.kind in "biufc" for a in arrays):
            raise UnsuitableError(
                "gradcheck_pair: the function must return numbers or arrays of them"
            )
        self.kinds = [a.dtype.kind == "c" for a in arrays]
        return [parts(a) if a.dtype.kind == "c" else np.array(a, dtype=float) for a in arrays]

    def _write_back(self, given: list[Any]) -> None:
        """Let a function that wrote into its complex input be seen to have done so."""
        for i in self.complexes:
            if not np.array_equal(parts(given[i]), self.inputs[i], equal_nan=True):
                self.inputs[i][...] = parts(given[i])

    def upstream(self, rng: np.random.Generator, centre: Results) -> Results:
        """Return random weights for the parts."""
        self.takes_upstream = self._takes_upstream(centre)
        if self.takes_upstream:
            return Subject.upstream(self, rng, centre)
        return [np.ones(y.shape) for y in centre]

    def gradient(self, weights: Results) -> dict[str, Any]:
        """Return what the hand-written gradient gives, as parts."""
        joined = [
            w[..., 0] - 1j * w[..., 1] if kind else w
            for w, kind in zip(weights, self.kinds, strict=True)
        ]
        given = self._joined()
        if self.takes_upstream:
            upstream = tuple(joined) if self.several else joined[0]
            found = self._per_input(self.grad_f(*given, upstream))
        else:
            found = self._per_input(self.grad_f(*given))
        self._write_back(given)
        return {
            f"input {i}": parts(np.conj(np.asarray(found[i], dtype=complex)))
            if i in self.complexes and found[i] is not None
            else found[i]
            for i in self.places
        }

    def complex_step(self, name: str, direction: np.ndarray) -> Results | None:  # noqa: ARG002
        """Return None: a step i h means nothing where i is taken."""
        return None

    def recorded(self) -> tuple[list[Any], dict[str, Any]] | None:
        """Return None: mistakes are acted out on real numbers."""
        return None


# ---- randomness --------------------------------------------------------------------------------


@contextmanager
def same_randomness(*others: Any) -> Iterator[None]:
    """Rewind the generators of this library, of NumPy and of Python when the block ends."""
    generators = [default_generator(), *others]
    states = [g.bit_generator.state for g in generators]
    legacy, python = np.random.get_state(), random.getstate()  # noqa: NPY002 - users draw from it
    try:
        yield
    finally:
        for g, state in zip(generators, states, strict=True):
            g.bit_generator.state = state
        np.random.set_state(legacy)  # noqa: NPY002 - the same
        random.setstate(python)


def generators_of(f: Any) -> list[np.random.Generator]:
    """Return the random generators that a function reads under a name, or holds."""
    try:
        known = inspect.getclosurevars(f)
    except (TypeError, ValueError):  # no function, or not written in Python
        held = list(getattr(f, "__dict__", {}).values())
    else:
        held = [*known.globals.values(), *known.nonlocals.values()]
        held += list(getattr(f, "__defaults__", None) or ())
    found: list[np.random.Generator] = []
    for thing in held:
        if isinstance(thing, np.random.Generator):
            found.append(thing)
        elif callable(getattr(thing, "modules", None)):  # a module with dropout inside
            drawn = [getattr(m, "generator", None) for m in thing.modules()]
            found += [g for g in drawn if isinstance(g, np.random.Generator)]
    return found


class Frozen(Subject):
    """A subject whose every evaluation starts from the same random state."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.generators = generators_of(getattr(subject, "f", None))
        self.points = subject.points
        self.hand_written = subject.hand_written

    def values(self) -> Results:
        """Return the results, drawn as the first time."""
        with same_randomness(*self.generators):
            return self.subject.values()

    def gradient(self, weights: Results) -> dict[str, Any]:
        """Return the gradient, drawn as the first time."""
        with same_randomness(*self.generators):
            return self.subject.gradient(weights)

    def recorded(self) -> tuple[list[Any], dict[str, Any]] | None:
        """Return the recorded results, drawn as the first time."""
        with same_randomness(*self.generators):
            return self.subject.recorded()

    def upstream(self, rng: np.random.Generator, centre: Results) -> Results:
        """Return the upstream gradient that the subject wants."""
        return self.subject.upstream(rng, centre)


__all__ = [
    "ComplexPair",
    "Frozen",
    "HandWritten",
    "Results",
    "Subject",
    "TensorFunction",
    "UnsuitableError",
    "call",
    "checked_inputs",
    "is_complex",
    "is_real",
    "listed",
    "on_parts",
    "parts",
    "prepared",
    "real_outputs",
    "same_randomness",
    "slope_of",
]
