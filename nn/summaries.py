"""A table of a model: its layers, what comes out of them, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_course.buffers import owner
from tinygrad_course.errors import ArgumentError
from tinygrad_course.graph import SCOPE, Node, Observer, Scope
from tinygrad_course.nn.functional.sizes import whole
from tinygrad_course.nn.module import Module
from tinygrad_course.nn.parameter import default_dtype
from tinygrad_course.tensor import Tensor

WIDTH = 100
"""Columns that the text of a summary has at most."""


@dataclass(frozen=True)
class SummaryRow:
    """One module of a summary. Its numbers are its own, without the modules that it holds.

    Attributes:
        name: the dotted path in the model; empty for the model itself.
        kind: the class.
        options: what ``repr`` shows in the parentheses.
        depth: how many modules hold it.
        output_shape: shape of the output, a list for several, None if the module did not run.
        parameters: number of parameters.
        trainable: how many of them require grad.
        multiply_adds: pairs of a multiplication and an addition in products and convolutions.
        memory: bytes that its operations keep for the backward pass.
    """

    name: str
    kind: str
    options: str
    depth: int
    output_shape: Any
    parameters: int
    trainable: int
    multiply_adds: int
    memory: int


@dataclass(frozen=True, repr=False)
class Summary:
    """What `summary` returns: rows as data, and a table as text.

    Attributes:
        rows: one for each module, in the order of ``named_modules``.
        input_memory: bytes of the inputs.
        state_memory: bytes of parameters and buffers.
    """

    rows: tuple[SummaryRow, ...]
    input_memory: int
    state_memory: int

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """Number of parameters that require grad."""
        return sum(row.trainable for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one forward pass."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def memory(self) -> int:
        """Bytes kept for the backward pass, beside inputs, parameters and buffers."""
        return sum(row.memory for row in self.rows)

    def __str__(self) -> str:
        sizes = (self.state_memory, self.input_memory, self.memory)
        state, given, kept = map(_bytes, sizes)
        memory = f"memory: state {state}, input {given}, kept for backward {kept}"
        return "\n".join(
            (
                *_table(self.rows),
                f"parameters: {self.parameters:,}, of which {self.trainable:,} are trained",
                f"multiply-adds of a forward pass: {self.multiply_adds:,}",
                f"{memory}, together {_bytes(sum(sizes))}",
            )
        )

    __repr__ = __str__


def summary(model: Module, *inputs: Any) -> Summary:
    """Run a model once and return its layers, shapes, parameters, multiply-adds and memory.

    The model runs in evaluation mode and is left as it was. Multiply-adds are those of products of
    matrices and of convolutions; memory is what the recorded operations keep for the backward pass.

    Args:
        model: any module.
        *inputs: what the model is called with. A tuple of whole numbers stands for zeros of this
            shape, any other single tuple or list for several inputs.

    Raises:
        ArgumentError: `model` is no module.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> model = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))
        >>> nn.summary(model, np.zeros((64, 784), np.float32))
        layer                   output shape    parameters    multiply-adds        kept
        -------------------------------------------------------------------------------
        Sequential              (64, 10)
          0: Linear(784, 100)   (64, 100)           78,500        5,017,600
          1: ReLU               (64, 100)                                      25.0 KiB
          2: Linear(100, 10)    (64, 10)             1,010           64,000
        -------------------------------------------------------------------------------
        parameters: 79,510, of which 79,510 are trained
        multiply-adds of a forward pass: 5,081,600
        memory: state 310.6 KiB, input 196.0 KiB, kept for backward 25.0 KiB, together 531.6 KiB
    """
    if not isinstance(model, Module):
        raise ArgumentError(f"summary: expected a Module, got {type(model).__name__}")
    given = _given(inputs)
    state = [tensor for _, tensor in (*model.named_parameters(), *model.named_buffers())]
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    meter = _Meter([*state, *(x for x in given if isinstance(x, Tensor))])
    with _measured(model, meter):
        model(*given)
    rows = []
    owned = _owned(model)
    depths: dict[str, int] = {}
    for name, module in model.named_modules():
        depths[name] = 1 + depths[_holder(name, depths)] if name else 0
        cost = meter.costs.get(id(module), [0, 0])
        sizes = owned[id(module)]
        rows.append(
            SummaryRow(
                name,
                type(module).__name__,
                module.extra_repr(),
                depths[name],
                meter.shapes.get(id(module)),
                sum(sizes.values()),
                sum(size for key, size in sizes.items() if key in trainable),
                *cost,
            )
        )
    return Summary(
        tuple(rows),
        sum(x._data.nbytes for x in given if isinstance(x, Tensor)),
        sum(tensor._data.nbytes for tensor in state),
    )


def _given(inputs: tuple[Any, ...]) -> list[Any]:
    """Return the inputs with every floating array as a leaf, so that all operations record."""
    if len(inputs) == 1 and isinstance(inputs[0], tuple | list):
        sizes = isinstance(inputs[0], tuple) and bool(inputs[0]) and all(map(whole, inputs[0]))
        inputs = (np.zeros(inputs[0], default_dtype()),) if sizes else tuple(inputs[0])
    return [_leaf(x) for x in inputs]


def _leaf(x: Any) -> Any:
    if x is None:
        return None
    array = np.asarray(x._data if isinstance(x, Tensor) else x)
    return Tensor(array, requires_grad=array.dtype.kind == "f")


def _owned(model: Module) -> dict[int, dict[int, int]]:
    """Return the sizes of the parameters that each module is the first to hold."""
    seen: set[int] = set()
    owned = {}
    for module in model.modules():
        below = {id(p) for child in module.children() for p in child.parameters()}
        mine = {id(p): p.size for p in module.parameters() if id(p) not in below | seen}
        seen |= mine.keys()
        owned[id(module)] = mine
    return owned


def _holder(name: str, known: Iterable[str]) -> str:
    """Return the longest known path that a path goes on from."""
    return max((path for path in known if not path or name.startswith(f"{path}.")), key=len)


# ---- measuring -----------------------------------------------------------------------------------


class _Meter(Observer):
    """Takes note of every recorded operation: its multiply-adds, and what it keeps."""

    def __init__(self, free: Sequence[Tensor]) -> None:
        # Roots of memory that is there anyway, or counted already. They are kept alive, so that
        # no other array gets the id of one.
        self.roots = {id(root): root for root in (owner(t._data) for t in free)}
        self.costs: dict[int, list[int]] = {}
        self.shapes: dict[int, Any] = {}

    def recorded(self, node: Node, inputs: tuple[Any, ...], result: Any) -> None:
        """Add an operation to the account of the module that runs."""
        modules = node.scope.modules()
        if not modules:
            return
        cost = self.costs.setdefault(id(modules[-1]), [0, 0])
        count = _COUNTS.get(node.primitive.name)
        if count is not None:
            cost[0] += count(inputs, result, node.params or {})
        for array in _arrays(node.saved):
            root = owner(array)
            if id(root) not in self.roots:
                self.roots[id(root)] = root
                cost[1] += root.nbytes

    def finished(self, module: Module, _inputs: tuple[Any, ...], output: Any) -> None:
        """Take note of what came out of a module the first time."""
        self.shapes.setdefault(id(module), _shapes(output))


def _arrays(saved: Any) -> Iterator[Any]:
    if isinstance(saved, tuple | list):
        for part in saved:
            yield from _arrays(part)
    elif isinstance(saved, np.ndarray):
        yield saved


def _shapes(output: Any) -> Any:
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, tuple | list):
        return [_shapes(part) for part in output]
    return None if output is None else np.shape(output)


@contextmanager
def _measured(model: Module, meter: _Meter) -> Iterator[None]:
    """Let a model run in evaluation mode under a meter, with everything recorded."""
    modes = [(module, module.training) for module in model.modules()]
    frozen = [p for p in model.parameters() if not p.requires_grad]
    handles = [module.register_forward_hook(meter.finished) for module in model.modules()]
    token = SCOPE.set(Scope(recording=True, observer=meter))
    try:
        model.eval()
        for parameter in frozen:
            parameter.requires_grad = True
        yield
    finally:
        SCOPE.reset(token)
        for parameter in frozen:
            parameter.requires_grad = False
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode


def _along_rows(inputs: Any, result: Any, _params: Any) -> int:
    """Count a product in which each result is a sum over the last axis of the first input."""
    return int(np.size(result) * math.prod(np.shape(inputs[0])[-1:]))


def _contracted(inputs: Any, result: Any, _params: Any) -> int:
    """Count an m×k by k×n product, however its axes are arranged: √(mk · kn · mn) = mkn."""
    return math.isqrt(int(np.size(inputs[0])) * int(np.size(inputs[1])) * int(np.size(result)))


def _summed(inputs: Any, _result: Any, params: Any) -> int:
    """Count an einsum as one sum over all its labels."""
    if len(inputs) < 2:
        return 0
    sizes: dict[Any, int] = {}
    terms = params["subscripts"].replace(" ", "").partition("->")[0].split(",")
    for term, x in zip(terms, inputs, strict=True):
        head, dots, tail = term.partition("...")
        between = np.ndim(x) - len(head) - len(tail) if dots else 0
        labels = (*head, *range(-between, 0), *tail)
        for label, size in zip(labels, np.shape(x), strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return math.prod(sizes.values())


_COUNTS: dict[str, Callable[[Any, Any, Any], int]] = {
    **dict.fromkeys(
        ("linear", "matmul", "matvec", "vecmat", "vecdot", "dot", "inner"), _along_rows
    ),
    **dict.fromkeys(("outer", "kron"), lambda _inputs, result, _params: int(np.size(result))),
    "vdot": lambda inputs, _result, _params: int(np.size(inputs[0])),
    "tensordot": _contracted,
    "einsum": _summed,
    # Every result is a sum over one kernel; transposed, every input goes through one.
    "conv2d": lambda xs, result, _params: int(result.size) * math.prod(xs[1].shape[1:]),
    "conv2d_input": lambda xs, _result, _params: int(xs[0].size) * math.prod(xs[1].shape[1:]),
}
"""How many multiply-adds the primitives do that do them."""


# ---- text ----------------------------------------------------------------------------------------

_HEADS = ("layer", "output shape", "parameters", "multiply-adds", "kept")


def _table(rows: Sequence[SummaryRow]) -> list[str]:
    """Return the lines of the table, none longer than `WIDTH`."""
    names = [row.name for row in rows]
    cells: list[tuple[str, ...]] = [_HEADS]
    for row in rows:
        label = f"{row.kind}({row.options})" if row.options else row.kind
        if row.name:
            known = [name for name in names if name != row.name]
            label = f"{row.name.removeprefix(_holder(row.name, known)).lstrip('.')}: {label}"
        numbers = [f"{n:,}" if n else "" for n in (row.parameters, row.multiply_adds)]
        shape = "-" if row.output_shape is None else _shape_text(row.output_shape)
        kept = _bytes(row.memory) if row.memory else ""
        cells.append(("  " * row.depth + label, shape, *numbers, kept))
    widths = [max(len(line[k]) for line in cells) for k in range(len(_HEADS))]
    free = WIDTH - sum(widths[2:]) - 15
    widths[1] = min(widths[1], max(free // 3, free - widths[0]))
    widths[0] = min(widths[0], free - widths[1])
    lines = [_aligned(line, widths) for line in cells]
    rule = "-" * (sum(widths) + 15)
    return [lines[0], rule, *lines[1:], rule]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    texts = [f"{_cut(c, w):<{w}}" for c, w in zip(cells[:2], widths[:2], strict=True)]
    numbers = [f"{c:>{w}}" for c, w in zip(cells[2:], widths[2:], strict=True)]
    return ("   ".join(texts) + "".join(f"    {number}" for number in numbers)).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _shape_text(shape: Any) -> str:
    if isinstance(shape, list):
        return ", ".join(_shape_text(part) for part in shape if part is not None)
    return str(shape)


def _bytes(count: int) -> str:
    """Return a number of bytes as people read it."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{count} B" if unit == "B" else f"{size:,.1f} {unit}"


__all__ = [
    "Summary",
    "SummaryRow",
    "summary",
]
