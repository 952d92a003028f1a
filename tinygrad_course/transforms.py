"""Derivatives as functions of Tensors: what `backward` does, without touching any ``.grad``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError, GraphError, ShapeError
from tinygrad_course.graph import Value, gradients_of
from tinygrad_course.tensor import Tensor


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> Any:
    """Return the gradient of the sum of the outputs with respect to each input.

    Args:
        outputs: one Tensor or several.
        inputs: one Tensor or several, leaves or intermediate results, that require grad.
        grad_outputs: one upstream gradient per output; may be left out for outputs of one element.
        retain_graph: keep the saved values; by default as `create_graph`.
        create_graph: record the backward pass, so that the results can be differentiated again.

    Returns:
        One gradient for one input, a tuple for a sequence of inputs; an array, or a Tensor with
        `create_graph`; None for an input that no output depends on.

    Raises:
        GraphError: an input does not require grad, or an output of several elements has no
            upstream gradient.
        ShapeError: an upstream gradient does not have its output's shape.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor(2.0, requires_grad=True)
        >>> slope = tc.gradients(x**3, x, create_graph=True)
        >>> curvature = tc.gradients(slope, x)
        >>> float(slope), float(curvature)
        (12.0, 12.0)
    """
    roots, targets = _listed("outputs", outputs), _listed("inputs", inputs)
    for i, target in enumerate(targets):
        if not isinstance(target, Value) or not target._needs:
            raise GraphError(f"gradients: input {i} is not a Tensor that requires grad")
    if grad_outputs is None:
        given: list[Any] = [None] * len(roots)
    else:
        given = (
            [grad_outputs] if isinstance(outputs, Value) else _listed("grad_outputs", grad_outputs)
        )
    if len(given) != len(roots):
        raise ArgumentError(
            f"gradients: got {len(given)} grad_outputs for {len(roots)} outputs; give one each"
        )
    starts = [
        _start(i, root, start, create_graph)
        for i, (root, start) in enumerate(zip(roots, given, strict=True))
    ]
    found = gradients_of(
        roots,
        targets,
        starts,
        create_graph=create_graph,
        retain_graph=create_graph if retain_graph is None else retain_graph,
    )
    if not create_graph:
        found = [np.asarray(g) if isinstance(g, np.generic) else g for g in found]
    return found[0] if isinstance(inputs, Value) else tuple(found)


def _listed(name: str, given: Any) -> list[Any]:
    if isinstance(given, Value):
        return [given]
    if not isinstance(given, Iterable):
        raise ArgumentError(
            f"gradients: {name} is {type(given).__name__}, not a Tensor or a list of Tensors"
        )
    return list(given)


def _start(index: int, root: Tensor, start: Any, create_graph: bool) -> Any:
    """Return the upstream gradient of output `index` as the carrier that the walk needs."""
    if not isinstance(root, Value):
        raise ArgumentError(f"gradients: output {index} is {type(root).__name__}, not a Tensor")
    if start is None:
        if root.size != 1:
            raise GraphError(f"gradients: output {index} has shape {root.shape}; pass grad_outputs")
        start = np.ones(root.shape, root.dtype)[()]
    elif np.shape(start) != root.shape:
        raise ShapeError(
            f"gradients: grad_outputs[{index}] has shape {np.shape(start)}, expected {root.shape}"
        )
    if create_graph:
        return start if isinstance(start, Tensor) else Tensor(start, dtype=root.dtype)
    raw = start._data if isinstance(start, Value) else np.asarray(start)[()]
    return raw.astype(root.dtype)
