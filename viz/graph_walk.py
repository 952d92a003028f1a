"""From a result to plain data: the operations, tensors and module calls behind it.

Nothing here knows a picture format or a budget. Everything is iterative and linear in the size of
the graph, and only `parents`, `shape`, `dtype`, `params` and `scope` of a node are needed, so that
a graph can still be read after backward has dropped the saved values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinygrad_course.graph import Node, Scope, Value, ancestors
from tinygrad_course.primitive import _ALIAS, _SELECT

OPERATION, PARAMETER, INPUT, CONSTANT, RESULT = (
    "operation",
    "parameter",
    "input",
    "constant",
    "result",
)
"""Kinds of items. A parameter is any leaf that requires grad and was not given as an input."""

OUTSIDE = -1
"""The cluster of what belongs to no module."""


@dataclass(slots=True)
class Item:
    """One operation or tensor.

    Attributes:
        kind: one of the kinds above.
        origin: the engine's Node of an operation, else the Value or array.
        cluster: index of the module call it belongs to, or `OUTSIDE`.
        name: what a tensor is called; empty for an operation.
        inputs: ``(index of an item, the select node passed through or None)`` in order.
        only: the select node of an operation with several results of which one has a derivative.
    """

    kind: str
    origin: Any
    cluster: int = OUTSIDE
    name: str = ""
    inputs: list[tuple[int, Node | None]] = field(default_factory=list)
    only: Node | None = None


@dataclass(slots=True)
class Cluster:
    """One call of a module.

    Attributes:
        module: the module that ran.
        parent: index of the call around it, or `OUTSIDE`.
        depth: 0 for a call that no other call surrounds.
        path: dotted path below the outermost module; empty for that module itself.
        call: 1 for the first call of this module, 2 for the second, ...
    """

    module: Any
    parent: int
    depth: int
    path: str = ""
    call: int = 1


@dataclass(slots=True)
class Walk:
    """Everything behind some results.

    Attributes:
        items: the operations oldest first, each after what it reads, then tensors and results.
        operations: how many of the items are operations.
        clusters: module calls; a call comes after the call around it.
        calls: how often each module (by id) was called.
        dropped: whether backward has dropped the values of inputs that need no gradient.
    """

    items: list[Item] = field(default_factory=list)
    operations: int = 0
    clusters: list[Cluster] = field(default_factory=list)
    calls: dict[int, int] = field(default_factory=dict)
    dropped: bool = False

    def lineage(self, cluster: int) -> list[int]:
        """Return a cluster and those around it, innermost first."""
        found = []
        while cluster != OUTSIDE:
            found.append(cluster)
            cluster = self.clusters[cluster].parent
        return found

    def common(self, first: int, second: int) -> int:
        """Return the innermost cluster that holds both."""
        while first != second:
            if OUTSIDE in (first, second):
                return OUTSIDE
            if self.clusters[first].depth >= self.clusters[second].depth:
                first = self.clusters[first].parent
            else:
                second = self.clusters[second].parent
        return first


class Names:
    """What modules and parameters are called, read from what modules offer about themselves."""

    def __init__(self, models: Iterable[Any]) -> None:
        self.paths: dict[int, str] = {}
        self.parameters: dict[int, str] = {}
        self.owners: dict[int, int] = {}
        self._alive: list[Any] = []  # an id is a name only as long as its object lives
        for model in models:
            self.add(model)

    def add(self, model: Any) -> None:
        """Read a model's ``named_modules()`` and ``named_parameters()``; known names stay."""
        if id(model) in self.paths:
            return
        self._alive.append(model)
        by_path: dict[str, int] = {"": id(model)}
        self.paths[id(model)] = ""
        for path, module in _offered(model, "named_modules"):
            self._alive.append(module)
            self.paths.setdefault(id(module), path)
            by_path[path] = id(module)
        for name, tensor in _offered(model, "named_parameters"):
            if isinstance(tensor, Value) and id(tensor) not in self.parameters:
                self._alive.append(tensor)
                self.parameters[id(tensor)] = name
                self.owners[id(tensor)] = _owner(name, by_path)


def _offered(model: Any, method: str) -> Iterable[tuple[str, Any]]:
    offer = getattr(model, method, None)
    return offer() if callable(offer) else ()


def _owner(name: str, by_path: dict[str, int]) -> int:
    """Return the module with the longest path that the parameter's name starts with."""
    path = name.rpartition(".")[0]
    while path and path not in by_path:  # weights in a list: "heads.0" is below module ""
        path = path.rpartition(".")[0]
    return by_path[path]


class _Walker:
    """Builds a `Walk`; its dictionaries are keyed by objects that the graph keeps alive."""

    def __init__(self, names: Names, inputs: dict[int, str]) -> None:
        self.walk = Walk()
        self.names = names
        self.inputs = inputs
        self.places: dict[Any, tuple[int, Node | None]] = {}
        self.scopes: dict[Scope, int] = {}
        self.leaves: list[Item] = []
        self.leaf_index: dict[int, int] = {}

    # ---- module calls --------------------------------------------------------------------

    def cluster_of(self, scope: Scope) -> int:
        """Return the cluster of a scope, making those of the scopes around it as needed."""
        chain: list[Scope] = []
        inner: Scope | None = scope
        while inner is not None and inner not in self.scopes:
            chain.append(inner)
            inner = inner.parent
        cluster = OUTSIDE if inner is None else self.scopes[inner]
        for outer in reversed(chain):
            if outer.module is not None:
                cluster = self._new_cluster(outer.module, cluster)
            self.scopes[outer] = cluster
        return cluster

    def _new_cluster(self, module: Any, parent: int) -> int:
        walk = self.walk
        if parent == OUTSIDE:
            if id(module) not in self.names.paths:
                self.names.add(module)
            depth = 0
        else:
            depth = walk.clusters[parent].depth + 1
        call = walk.calls.get(id(module), 0) + 1
        walk.calls[id(module)] = call
        path = self.names.paths.get(id(module), "")
        walk.clusters.append(Cluster(module, parent, depth, path, call))
        return len(walk.clusters) - 1

    # ---- operations and tensors ----------------------------------------------------------

    def add_operations(self, order: Sequence[Node]) -> None:
        """Add operations, oldest first; rows that only keep the engine's books become edges."""
        for node in order:
            if node.primitive is _ALIAS:
                self.places[node] = self.place(node.parents[0])
            elif node.primitive is _SELECT:
                self.places[node] = self._one_result(node)
            else:
                self._add_operation(node)
        self.walk.operations = len(self.walk.items)

    def _one_result(self, node: Node) -> tuple[int, Node | None]:
        """Return the place of one of several results; batch norm's others are constants."""
        index = self.place(node.parents[0])[0]
        count = (node.params or {})["count"]
        item = self.walk.items[index]
        if count - len(item.origin.primitive.constant_outputs) > 1:
            return index, node
        item.only = node
        return index, None

    def _add_operation(self, node: Node) -> None:
        item = Item(OPERATION, node, self.cluster_of(node.scope))
        for i, parent in enumerate(node.parents):
            if parent is not None:
                item.inputs.append(self.place(parent))
            elif node.saved is None:
                self.walk.dropped = True
            else:
                self._add_constant(item, node.saved[i + 1] if i + 1 < len(node.saved) else None)
        self.places[node] = (len(self.walk.items), None)
        self.walk.items.append(item)

    def _add_constant(self, item: Item, array: Any) -> None:
        """Draw an input without gradient where the derivative happens to keep it; not a number."""
        if getattr(array, "shape", ()):
            item.inputs.append((self._leaf(array, array), None))

    def place(self, source: Any) -> tuple[int, Node | None]:
        """Return the item that a parent is drawn as; leaves get negative numbers for now."""
        if type(source) is Node:
            return self.places[source]
        return self._leaf(source, source._data), None

    def _leaf(self, origin: Any, array: Any) -> int:
        key = id(origin)
        if key not in self.leaf_index:
            self.leaves.append(self._new_leaf(origin, array))
            self.leaf_index[key] = -len(self.leaves)
        return self.leaf_index[key]

    def _new_leaf(self, origin: Any, array: Any) -> Item:
        own = origin._name if isinstance(origin, Value) else None
        given = self.inputs.get(id(origin)) or self.inputs.get(id(array))
        name = self.names.parameters.get(id(origin)) or own or given or ""
        if id(origin) in self.names.parameters:
            kind = PARAMETER
        elif given is not None:
            kind = INPUT
        else:
            kind = PARAMETER if isinstance(origin, Value) and origin._needs else CONSTANT
        return Item(kind, origin, name=name)

    def add_leaves(self) -> None:
        """Number the leaves after the operations and put each into its cluster."""
        walk, base = self.walk, len(self.walk.items) - 1
        places = self._leaf_clusters()
        for item in walk.items:
            if any(source < 0 for source, _ in item.inputs):
                item.inputs = [(base - s if s < 0 else s, via) for s, via in item.inputs]
        for leaf, cluster in zip(self.leaves, places, strict=True):
            leaf.cluster = self._home(leaf, cluster)
            walk.items.append(leaf)

    def _leaf_clusters(self) -> list[int]:
        """Return the innermost cluster around all readers of each leaf."""
        unread = -2
        found = [unread] * len(self.leaves)
        for item in self.walk.items:
            cluster = OUTSIDE if item.kind == RESULT else item.cluster
            for source, _ in item.inputs:
                if source < 0:
                    have = found[-source - 1]
                    found[-source - 1] = (
                        cluster if have == unread else self.walk.common(have, cluster)
                    )
        return found

    def _home(self, leaf: Item, cluster: int) -> int:
        """Return the cluster of a leaf: a parameter moves out to the module that owns it."""
        if leaf.kind == CONSTANT:
            return cluster
        owner = self.names.owners.get(id(leaf.origin))
        if owner is None:
            return OUTSIDE
        for outer in self.walk.lineage(cluster):
            if id(self.walk.clusters[outer].module) == owner:
                return outer
        return cluster


def walk_back(
    results: Sequence[tuple[str, Any]], models: Iterable[Any] = (), inputs: Any = None
) -> Walk:
    """Return everything that `results`, pairs of a name and a Tensor, were computed from.

    Args:
        results: what to start from.
        models: modules whose paths and parameter names come first; the outermost modules that ran
            are asked as well.
        inputs: names by ``id`` of Tensors or arrays that were given to the computation.
    """
    walker = _Walker(Names(models), dict(inputs or {}))
    order = ancestors(tensor._node for _, tensor in results if tensor._node is not None)
    walker.add_operations(order[::-1])
    for name, tensor in results:
        source = walker.place(tensor if tensor._node is None else tensor._node)
        walker.walk.items.append(Item(RESULT, tensor, name=name, inputs=[source]))
    # Leaves are numbered behind everything else, so that the places of items never move.
    walker.add_leaves()
    return walker.walk
