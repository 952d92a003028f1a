"""Functions in plain NumPy with a gradient that somebody derived by hand."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_course.checking.differences import complex_step
from tinygrad_course.checking.subjects import (
    Results,
    Subject,
    UnsuitableError,
    is_complex,
    is_real,
    listed,
    parts,
)
from tinygrad_course.graph import Value, enable_grad
from tinygrad_course.tensor import Tensor


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
        if not arrays:
            raise UnsuitableError("gradcheck_pair: the function returned an empty list of results")
        return arrays

    def upstream(self, rng: np.random.Generator, centre: Results) -> Results:
        """Return a random upstream gradient, or 1 where the gradient function takes none."""
        weights = super().upstream(rng, centre)
        self.takes_upstream = self._takes_upstream(weights)
        return weights if self.takes_upstream else self.ones(centre)

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
        self.of_complex = f
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
        return self.ones(centre)

    def ones(self, centre: Results) -> Results:
        """Return weights for 1 - 0i where a result is complex."""
        return [
            parts(np.ones(y.shape[:-1], complex)) if kind else np.ones(y.shape)
            for y, kind in zip(centre, self.kinds, strict=True)
        ]

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
            scale = weights[0].item()
            found = self._per_input(self.grad_f(*given))
            found = [g if g is None else np.asarray(g) * scale for g in found]
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


__all__ = ["ComplexPair", "HandWritten"]
