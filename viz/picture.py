"""A picture as data: what each node, edge and frame says, before any format.

Other tools may read it, and may mark nodes in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinygrad_course.errors import ArgumentError
from tinygrad_course.graph import Node, Value
from tinygrad_course.viz.folding import (
    MODULE,
    REST,
    RUN,
    SINGLE,
    TENSORS,
    Folding,
    Unit,
    pattern_words,
)
from tinygrad_course.viz.graph_walk import (
    CONSTANT,
    OPERATION,
    OUTSIDE,
    PARAMETER,
    RESULT,
    Item,
    Walk,
)
from tinygrad_course.viz.wording import (
    count_words,
    cut,
    one_line,
    operation_words,
    option_words,
    shape_words,
    tensor_words,
)

FOLDED = "folded"
"""Kind of a drawn node that stands for several operations or tensors without being a module."""


@dataclass(slots=True)
class GraphNode:
    """One drawn node.

    Attributes:
        key: its name in the DOT text.
        kind: ``operation``, ``parameter``, ``input``, ``constant``, ``result``, ``module`` (a
            module drawn as one box) or ``folded`` (several operations or tensors).
        title: the first line: an operation's or a tensor's name.
        lines: further lines: shape and dtype, options, counts.
        tooltip: the whole text, nothing cut.
        cluster: index into the picture's clusters; -1 outside of all modules.
        count: how many operations and tensors it stands for.
        mark: the text it was marked with, or None.
        origin: the engine's Node, the Tensor or the array; None for what stands for several.
    """

    key: str
    kind: str
    title: str
    lines: tuple[str, ...] = ()
    tooltip: str = ""
    cluster: int = OUTSIDE
    count: int = 1
    mark: str | None = None
    origin: Any = None


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """An arrow from the node that gives a value to the node that reads it, by their keys."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class GraphCluster:
    """The frame around one call of a module; `parent` is the index of the frame around it."""

    label: str
    tooltip: str = ""
    parent: int = OUTSIDE


@dataclass(slots=True)
class Picture:
    """Everything that is drawn."""

    nodes: list[GraphNode] = field(default_factory=list)
    edges: list[GraphEdge] = field(default_factory=list)
    clusters: list[GraphCluster] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    operations: int = 0


def picture_of(walk: Walk, budget: int, mark: Mapping[Any, str] | None = None) -> Picture:
    """Return the picture of a walk, folded to at most about `budget` nodes.

    Raises:
        ArgumentError: `mark` names something that is not in the graph.
    """
    folding = Folding(walk, budget)
    keys = {id(unit): f"n{i}" for i, unit in enumerate(folding.units)}
    marks = _marks(walk, folding, mark or {})
    picture = Picture(notes=[*folding.notes, *_general_notes(walk)], operations=walk.operations)
    for unit in folding.units:
        node = _node_of(unit, folding)
        node.key = keys[id(unit)]
        if id(unit) in marks:
            node.mark = "; ".join(marks[id(unit)])
        picture.nodes.append(node)
    picture.edges = list(_edges(folding, keys))
    _frame(picture, walk)
    return picture


def _general_notes(walk: Walk) -> Iterator[str]:
    if not walk.operations:
        yield (
            "No operation was recorded: nothing here requires a gradient, or it was computed "
            "inside no_grad()."
        )
    if walk.dropped:
        yield (
            "Inputs that need no gradient are not drawn, because backward has dropped them; "
            "retain_graph=True keeps them."
        )


# --------------------------------------------------------------------------------------------
# Nodes


def _node_of(unit: Unit, folding: Folding) -> GraphNode:
    if unit.kind == SINGLE:
        item = folding.walk.items[unit.item]
        return _operation(item) if item.kind == OPERATION else _tensor(item)
    if unit.kind == MODULE:
        return _module(unit, folding)
    return _folded(unit, folding)


def _operation(item: Item) -> GraphNode:
    node: Node = item.origin
    result = item.only or node
    title, shape = operation_words(node), shape_words(result.shape, result.dtype)
    options = ", ".join(option_words(node))
    lines = [cut(line) for line in (options, shape) if line]
    tooltip = "\n".join(line for line in (f"operation {title}", options, shape) if line)
    return GraphNode("", OPERATION, cut(title), tuple(lines), tooltip, item.cluster, origin=node)


def _tensor(item: Item) -> GraphNode:
    shape, name = tensor_words(item.origin), one_line(item.name)
    title = name or (item.kind if item.kind in (RESULT, CONSTANT) else "tensor")
    lines = [shape, item.kind] if item.kind == RESULT and title != "result" else [shape]
    words = {PARAMETER: "parameter (a leaf that requires grad)"}.get(item.kind, item.kind)
    return GraphNode(
        "", item.kind, cut(title), tuple(lines), f"{words} {name}\n{shape}", item.cluster,
        origin=item.origin,
    )  # fmt: skip


def _module(unit: Unit, folding: Folding) -> GraphNode:
    walk, items = folding.walk, folding.items_in(unit)
    item = next(walk.items[i] for i in reversed(items) if walk.items[i].kind == OPERATION)
    last = item.only or item.origin
    title = _cluster_words(walk, unit.closed)
    lines = [shape_words(last.shape, last.dtype), _contents(walk, items)]
    lines = [line for line in lines if line]
    tooltip = "\n".join([f"module {title}", *lines])
    return GraphNode("", MODULE, cut(title, 48), tuple(lines), tooltip, unit.cluster, len(items))


def _folded(unit: Unit, folding: Folding) -> GraphNode:
    walk, items = folding.walk, folding.items_in(unit)
    lines = [_contents(walk, items)]
    if unit.kind == RUN:
        title = f"… {unit.repeats:,} × {pattern_words(unit.pattern)}"
    elif unit.kind == REST:
        title = f"… {count_words(folding.operations_in(unit), 'more operation')}"
    else:
        title, lines = f"… {len(items):,} more", [f"{unit.token}s"]
    tooltip = "\n".join([title, *lines])
    return GraphNode("", FOLDED, cut(title, 60), tuple(lines), tooltip, unit.cluster, len(items))


def _contents(walk: Walk, items: list[int]) -> str:
    """Return how many operations, parameters and other tensors there are among the items."""
    kinds = Counter(walk.items[i].kind for i in items)
    counted = [
        count_words(kinds[OPERATION], "operation") if kinds[OPERATION] else "",
        count_words(kinds[PARAMETER], "parameter") if kinds[PARAMETER] else "",
    ]
    others = len(items) - kinds[OPERATION] - kinds[PARAMETER]
    counted.append(count_words(others, "other tensor") if others else "")
    return ", ".join(part for part in counted if part)


# --------------------------------------------------------------------------------------------
# Edges, frames and marks


def _edges(folding: Folding, keys: dict[int, str]) -> Iterator[GraphEdge]:
    """Yield the edges between units: parallel ones as such, many or folded ones as one."""
    counts: Counter[tuple[str, str, str]] = Counter()
    owner = folding.owner
    for index, item in enumerate(folding.walk.items):
        target = owner[index]
        for place, via in item.inputs:
            source = owner[place]
            if source is target:
                continue
            label = "" if via is None or source.kind != SINGLE else _output_words(via)
            key = keys[id(source)], keys[id(target)], label
            counts[key] += 1
            if source.kind != SINGLE or target.kind != SINGLE:
                counts[key] = 1
    for (start, end, label), count in counts.items():
        if count > 3:
            yield GraphEdge(start, end, f"{label} {count:,} ×".strip())
        else:
            yield from [GraphEdge(start, end, label)] * count


def _output_words(via: Node) -> str:
    return f"[{(via.params or {}).get('index', 0)}] {shape_words(via.shape, via.dtype)}"


def _frame(picture: Picture, walk: Walk) -> None:
    """Add the frames that hold a node at any depth, and number them anew."""
    used: set[int] = set()
    for node in picture.nodes:
        cluster = node.cluster
        while cluster != OUTSIDE and cluster not in used:
            used.add(cluster)
            cluster = walk.clusters[cluster].parent
    number = {cluster: i for i, cluster in enumerate(sorted(used))}
    number[OUTSIDE] = OUTSIDE
    for node in picture.nodes:
        node.cluster = number[node.cluster]
    for cluster in sorted(used):
        words, parent = _cluster_words(walk, cluster), number[walk.clusters[cluster].parent]
        picture.clusters.append(GraphCluster(cut(words, 60), f"module {words}", parent))


def _cluster_words(walk: Walk, index: int) -> str:
    """Return ``layers.0 · Linear``, and which call it is if there are several."""
    cluster = walk.clusters[index]
    kind, path = one_line(type(cluster.module).__name__), one_line(cluster.path)
    several = walk.calls[id(cluster.module)] > 1
    return (f"{path} · " if path else "") + kind + (f" (call {cluster.call})" if several else "")


def _marks(walk: Walk, folding: Folding, mark: Mapping[Any, str]) -> dict[int, list[str]]:
    """Return the texts to mark each unit with, by the unit's id."""
    if not mark:
        return {}
    by_origin: dict[int, int] = {}
    by_name: dict[str, int] = {}
    for index, item in enumerate(walk.items):
        by_origin.setdefault(id(item.origin), index)
        if item.name:
            by_name.setdefault(item.name, index)
    found: dict[int, list[str]] = {}
    for what, text in mark.items():
        place = by_name.get(what) if isinstance(what, str) else _index_of(what, by_origin)
        if place is None:
            raise ArgumentError(
                f"graph: mark={{{cut(repr(what), 80)}: ...}} is not in this graph; expected a "
                f"Tensor or Node of it, or the name of one of its tensors"
            )
        unit = folding.owner[place]
        inside = unit.kind not in (SINGLE, TENSORS) and walk.items[place].kind == OPERATION
        where = f"{walk.items[place].origin.primitive.name}: " if inside else ""
        found.setdefault(id(unit), []).append(one_line(f"{where}{text}"))
    return found


def _index_of(what: Any, by_origin: dict[int, int]) -> int | None:
    """Return the item of a Tensor or Node; a Tensor that was computed is found by its Node."""
    if isinstance(what, Value) and what._node is not None:
        what = what._node
    while isinstance(what, Node) and id(what) not in by_origin and len(what.parents) == 1:
        parent = what.parents[0]  # an alias, or one of several results
        if parent is None:
            return None
        what = parent
    return by_origin.get(id(what))
