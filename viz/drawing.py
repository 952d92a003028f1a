"""`graph`: draw the computation behind a Tensor, or the one that a function carries out."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tinygrad_course.errors import ArgumentError
from tinygrad_course.files import write_atomically
from tinygrad_course.graph import Value, enable_grad
from tinygrad_course.tensor import Tensor
from tinygrad_course.viz.dot import source_of
from tinygrad_course.viz.graph_walk import walk_back
from tinygrad_course.viz.picture import GraphCluster, GraphEdge, GraphNode, Picture, picture_of
from tinygrad_course.viz.svg import render, svg_of

_DIRECTIONS = ("TB", "LR", "BT", "RL")


class Graph:
    """A drawn computation. Notebooks show it; elsewhere `save` it or read `source`.

    Attributes:
        source: the picture as DOT text; needs no Graphviz.
        nodes: the drawn nodes.
        edges: the arrows between them.
        clusters: the frames around them, one per call of a module.
        notes: sentences about what was folded or left out; empty if everything is drawn.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([1.0, 2.0], requires_grad=True, name="x")
        >>> picture = tc.viz.graph((x * x).sum())
        >>> [node.title for node in picture.nodes if node.kind == "operation"]
        ['multiply', 'sum']
        >>> print(picture)
        Graph of 2 operations: 4 nodes, 4 edges
    """

    def __init__(self, picture: Picture, title: str, direction: str) -> None:
        self.nodes: list[GraphNode] = picture.nodes
        self.edges: list[GraphEdge] = picture.edges
        self.clusters: list[GraphCluster] = picture.clusters
        self.notes: list[str] = picture.notes
        self.title = title
        self._operations = picture.operations
        self.source = source_of(picture, title=title, direction=direction)

    def svg(self) -> str:
        """Return the picture as a self-contained SVG.

        Raises:
            GraphError: neither the program ``dot`` nor the package pygraphviz is installed, or
                the layout failed.
        """
        return svg_of(self.source, self.title)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file: all of it, or nothing.

        Args:
            path: its suffix says the format: ``.svg``, ``.png``, ``.pdf``, or ``.dot`` and ``.gv``
                for DOT text.

        Raises:
            ArgumentError: another suffix.
            FileError: the folder is missing or cannot be written.
            GraphError: see `svg`.
        """
        target = Path(path)
        form = target.suffix.lower()
        if form == ".svg":
            data = ('<?xml version="1.0" encoding="UTF-8"?>\n' + self.svg()).encode()
        elif form in (".png", ".pdf"):
            data = render(self.source, form[1:])
        elif form in (".dot", ".gv"):
            data = self.source.encode()
        else:
            raise ArgumentError(
                f"Graph.save: {target.name!r} has the suffix {form!r}; expected .svg, .png, .pdf, "
                f".dot or .gv"
            )
        write_atomically(target, data)

    def _repr_svg_(self) -> str:
        """Return what a notebook shows."""
        return self.svg()

    def __str__(self) -> str:
        head = (
            f"Graph of {self._operations:,} operation{'s' * (self._operations != 1)}: "
            f"{len(self.nodes):,} nodes, {len(self.edges):,} edges"
        )
        return "\n".join([head, *(f"- {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"<{str(self).splitlines()[0]}>"


def graph(
    tensor_or_callable: Any,
    *inputs: Any,
    model: Any = None,
    budget: int = 400,
    direction: str = "TB",
    title: str | None = None,
    mark: Mapping[Any, str] | None = None,
) -> Graph:
    """Draw the computation behind a Tensor, or the one that a function carries out.

    Boxes are operations, with the shape and dtype of what they compute; ellipses are tensors.
    Parameters, that is leaves that require grad, bear their dotted names and stand in the frame of
    their module; each call of a module has its own frame. A Tensor that is used often is one node
    with many arrows. Inputs without gradient are drawn where the derivative keeps them, which
    `backward` ends. The time taken is linear in the number of operations, however many paths there
    are.

    Args:
        tensor_or_callable: a Tensor, a tuple, list or dict of Tensors, or a function or module
            that is called with `inputs` and returns one of these; or the `plan` of a compiled
            step, whose NumPy calls are then drawn.
        *inputs: what to call it with. Arrays and floats become Tensors, which require grad if
            their dtype can, so that they appear. A module is called in the mode that it is in:
            batch norm in training mode updates its averages.
        model: a module whose paths and parameter names to use; by default the outermost modules
            that ran are asked for theirs.
        budget: how many nodes to draw at most. Beyond it modules close to single boxes, deepest
            first; then repetitions fold; then the middle is left out. `Graph.notes` says what.
        direction: where the arrows lead: ``TB`` down, ``LR`` right, ``BT`` up, ``RL`` left.
        title: what the picture is called.
        mark: texts to show in red, by Tensor, Node, or name of a tensor. What was folded marks
            the box that it is in.

    Returns:
        A `Graph`.

    Raises:
        ArgumentError: there is no Tensor to draw, or an option is out of range.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> def loss(w, b):
        ...     return (tc.tanh(w * 2.0 + b) ** 2).mean()
        >>> picture = tc.viz.graph(loss, np.ones(3), np.zeros(3))
        >>> [node.title for node in picture.nodes]
        ['multiply(·, 2)', 'add', 'tanh', 'power(·, 2)', 'mean', 'loss', 'w', 'b']
        >>> picture.source.splitlines()[0]
        'digraph "Computation graph of loss" {'
    """
    _check_options(budget, direction)
    names: dict[int, str] = {}
    result, models, label = tensor_or_callable, [] if model is None else [model], ""
    if callable(tensor_or_callable) and not isinstance(tensor_or_callable, Value):
        if model is None and hasattr(tensor_or_callable, "named_parameters"):
            models = [tensor_or_callable]
        label = getattr(tensor_or_callable, "__name__", type(tensor_or_callable).__name__)
        inputs = tuple(_named_inputs(tensor_or_callable, inputs, names))  # alive as long as names
        with enable_grad():
            result = tensor_or_callable(*inputs)
    elif hasattr(tensor_or_callable, "as_values"):  # a compiled step's plan
        result = tensor_or_callable.as_values()
    elif inputs:
        raise ArgumentError(
            "graph: inputs were given, but the first argument is not a function to call with them"
        )
    results = list(_results(result, "" if label == "<lambda>" else label))
    if not results:
        raise ArgumentError(
            f"graph: got {type(result).__name__} without a Tensor in it; expected a Tensor, a "
            f"tuple, list or dict of Tensors, or a function that returns one"
        )
    picture = picture_of(walk_back(results, models, names), budget, mark)
    first = ", ".join(name for name, _ in results[:3] if name)
    heading = title or ("Computation graph" + (f" of {first}" if first else ""))
    return Graph(picture, heading, direction)


def _check_options(budget: int, direction: str) -> None:
    if isinstance(budget, bool) or not isinstance(budget, int | np.integer) or budget < 1:
        raise ArgumentError(f"graph: budget must be a positive whole number, got {budget!r}")
    if direction not in _DIRECTIONS:
        raise ArgumentError(
            f"graph: direction must be one of {', '.join(_DIRECTIONS)}, got {direction!r}"
        )


def _results(result: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the Tensors in a result with a name for each: its own, or its key or position."""
    if isinstance(result, Value):
        yield result._name or name, result
    elif isinstance(result, Mapping):
        for key, part in result.items():
            yield from _results(part, f"{name}.{key}" if name else str(key))
    elif isinstance(result, list | tuple):
        for i, part in enumerate(result):
            yield from _results(part, f"{name}[{i}]" if name else f"result[{i}]")


def _named_inputs(function: Callable[..., Any], inputs: Any, names: dict[int, str]) -> list[Any]:
    """Return the inputs to call with; `names` learns what the function calls each Tensor."""
    words = _argument_names(function, len(inputs))
    return [_as_input(x, word, names) for x, word in zip(inputs, words, strict=True)]


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    """Return the names of a function's positional arguments; a module's are those of forward."""
    try:
        known = inspect.signature(getattr(function, "forward", function)).parameters
    except (TypeError, ValueError):  # a function written in C need not tell
        known = MappingProxyType({})
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in known.values() if parameter.kind in kinds]
    return [names[i] if i < len(names) else f"input {i}" for i in range(count)]


def _as_input(x: Any, name: str, names: dict[int, str]) -> Any:
    """Return an input with its arrays and floats as Tensors, noting their names."""
    if isinstance(x, list | tuple) and not hasattr(x, "_fields"):
        return type(x)(_as_input(part, f"{name}[{i}]", names) for i, part in enumerate(x))
    if isinstance(x, dict):
        return {key: _as_input(part, f"{name}.{key}", names) for key, part in x.items()}
    if isinstance(x, float | complex | np.generic | np.ndarray):
        x = Tensor(x)
        x.requires_grad = x.dtype.kind in "fc"
    if isinstance(x, Value):
        names[id(x)] = names[id(x._data)] = x._name or name
    return x


__all__ = ["Graph", "graph"]
