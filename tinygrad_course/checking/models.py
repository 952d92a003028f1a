"""Checking a model: every parameter by name, and the first operation whose derivative is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_course.checking.blame import with_unrecorded_path, wrong_operations
from tinygrad_course.checking.coverage import blind_spots
from tinygrad_course.checking.randomness import same_randomness
from tinygrad_course.checking.report import GradcheckReport
from tinygrad_course.checking.subjects import Results, Subject, UnsuitableError
from tinygrad_course.checking.tape import taped
from tinygrad_course.checking.verdicts import Options, Progress, examine, stream
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import enable_grad, no_grad
from tinygrad_course.tensor import Tensor
from tinygrad_course.transforms import gradients


class Model(Subject):
    """A model and its loss as a function of the parameters."""

    def __init__(
        self, model: Any, loss: Callable[..., Any], batch: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        self.model, self.loss, self.batch, self.named = model, loss, batch, named
        self.points = {name: p._data for name, p in named.items() if p.requires_grad}

    def _value(self) -> Any:
        first, *rest = self.batch
        drawn = [m.generator for m in self.model.modules() if getattr(m, "generator", None)]
        with same_randomness(*drawn):
            result = self.loss(self.model(first), *rest)
        if not isinstance(result, Tensor) or result.size != 1:
            raise UnsuitableError("gradcheck_module: the loss must be a Tensor of one element")
        return result

    def upstream(self, rng: np.random.Generator, centre: Results) -> Results:  # noqa: ARG002
        """Return 1: the numbers of the report are those of the parameters' ``grad``."""
        return [np.ones(y.shape) for y in centre]

    def values(self) -> Results:
        """Return the loss."""
        with no_grad():
            return [np.asarray(self._value().data)]

    def gradient(self, weights: Results) -> dict[str, Any]:
        """Return the gradient of the loss for every parameter."""
        (outputs, leaves) = self.recorded()
        if not outputs[0].requires_grad:
            return dict.fromkeys(leaves)
        upstream = weights[0].reshape(outputs[0].shape)
        found = gradients(outputs, list(leaves.values()), [upstream])
        return dict(zip(leaves, found, strict=True))

    def recorded(self) -> tuple[list[Any], dict[str, Any]]:
        """Return the recorded loss and the parameters."""
        with enable_grad():
            result = self._value()
        return [result], {name: p for name, p in self.named.items() if p.requires_grad}


def gradcheck_module(
    model: Any,
    loss: Callable[..., Any],
    *batch: Any,
    seed: int | None = None,
    max_elements: int = 50,
    progress: Progress | None = None,
) -> GradcheckReport:
    """Check the derivative of a model's loss with respect to every parameter, by name.

    The parameters are those of ``model.named_parameters()``, in that order: the θ of the notes.
    Computation is in float64 on a copy of the state; parameters, running statistics and random
    generators are put back bit for bit. Dropout draws the same mask at every evaluation. Then each
    recorded operation is checked alone at the values it had, and the first wrong one is named with
    the line that called it; ``viz.graph(report.graph, mark=report.marks)`` shows it.

    Args:
        model: a module, in the mode (train or eval) in which it is to be checked.
        loss: called as ``loss(model(x), *rest)`` for ``batch = (x, *rest)``; a regularization term
            belongs in it.
        *batch: the inputs.
        seed: chooses which elements are checked.
        max_elements: per parameter; beyond it, that many random elements and three random
            directions through all of them are checked, and the report says so.
        progress: called with (done, total) elements.

    Raises:
        ArgumentError: the model has no parameters, or the loss is not one number.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.seed(0)
        >>> model = tc.nn.Linear(3, 2)
        >>> x, y = np.arange(12.0).reshape(4, 3), np.array([0, 1, 1, 0])
        >>> tc.gradcheck_module(model, tc.nn.CrossEntropyLoss(), x, y).verdict
        'pass'
    """
    if not callable(getattr(model, "named_parameters", None)):
        raise ArgumentError(f"gradcheck_module: {type(model).__name__} is not a module")
    if not callable(loss):
        raise ArgumentError(f"gradcheck_module: the loss is {type(loss).__name__}, not a function")
    named = dict(model.named_parameters())
    if not named:
        raise ArgumentError("gradcheck_module: the model has no parameters")
    if not batch:
        raise ArgumentError("gradcheck_module: pass the batch: gradcheck_module(model, loss, x, y)")
    rng = stream(seed)
    with _in_float64(model, named):
        subject = Model(model, loss, batch, named)
        report = examine(subject, rng, Options(max_elements, progress))
        if report.verdict in ("random", "mutation"):
            return report
        with taped() as tape, np.errstate(all="ignore"):
            try:
                outputs, _ = subject.recorded()
            except Exception:  # noqa: BLE001 - the report says already what the model raises
                return report
        report = replace(report, blind_spots=tuple(blind_spots(tape)))
        wrong = wrong_operations(tape, rng)
        if not wrong:
            return with_unrecorded_path(report)
        verdict = "fail" if report else report.verdict
        return replace(
            report,
            verdict=verdict,
            blame=tuple(blame for blame, _ in wrong),
            graph=outputs[0],
            wrong_nodes=tuple(step.node for _, step in wrong),
        )


@contextmanager
def _in_float64(model: Any, named: dict[str, Any]) -> Iterator[None]:
    """Lend a model float64 copies of its state; the original arrays come back untouched."""
    tensors = [*named.values(), *(b for _, b in model.named_buffers())]
    originals = [(t, t._data, t._grad) for t in tensors]
    try:
        for t in tensors:
            kind = np.float64 if t._data.dtype.kind == "f" else t._data.dtype
            t._data = np.array(t._data, dtype=kind, order="C")
        yield
    finally:
        for t, data, grad in originals:
            t._data, t._grad = data, grad


# ---- θ: all parameters as one vector, in a fixed order (lesson 13 of the notes) ----------------


def parameters_to_vector(model: Any) -> np.ndarray:
    """Return all parameters of a model as one vector θ, in the order of ``named_parameters()``.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.parameters_to_vector(tc.nn.Linear(3, 2)).shape
        (8,)
    """
    return np.concatenate([np.ravel(p.data) for _, p in model.named_parameters()])


def gradients_to_vector(model: Any) -> np.ndarray:
    """Return all gradients as one vector dθ in the order of θ; 0 where there is none.

    Example:
        >>> import tinygrad_course as tc
        >>> model = tc.nn.Linear(3, 1)
        >>> model(tc.Tensor([[1.0, 2.0, 3.0]])).sum().backward()
        >>> tc.gradients_to_vector(model).tolist()
        [1.0, 2.0, 3.0, 1.0]
    """
    return np.concatenate(
        [
            np.zeros(p.size, p.dtype) if p.grad is None else np.ravel(p.grad)
            for _, p in model.named_parameters()
        ]
    )


def vector_to_parameters(vector: Any, model: Any) -> None:
    """Write a vector θ back into a model's parameters.

    Raises:
        ShapeError: the vector has another length than the parameters together.

    Example:
        >>> import tinygrad_course as tc
        >>> model = tc.nn.Linear(1, 1)
        >>> tc.vector_to_parameters([2.0, 3.0], model)
        >>> model.weight.data.item(), model.bias.data.item()
        (2.0, 3.0)
    """
    named = list(model.named_parameters())
    values = np.asarray(vector)
    total = sum(p.size for _, p in named)
    if values.shape != (total,):
        raise ShapeError(
            f"vector_to_parameters: got shape {values.shape}, expected ({total},): the sizes of "
            f"the {len(named)} parameters together"
        )
    start = 0
    for _, p in named:
        p.data = values[start : start + p.size].reshape(p.shape).astype(p.dtype)
        start += p.size


__all__ = [
    "gradcheck_module",
    "gradients_to_vector",
    "parameters_to_vector",
    "vector_to_parameters",
]
