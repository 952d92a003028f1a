"""Keeping a picture readable: modules become boxes, repetitions fold, the middle is left out.

The walk's items are grouped into units, each drawn as one node. Three steps, each only as far as
the budget demands: modules close, deepest first; runs of repeated units fold; at last the middle
of the computation becomes one box. Units are kept in the order of recording and only neighbours in
that order are joined, so the folded graph has no cycles that the whole one has not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinygrad_course.viz.graph_walk import OPERATION, OUTSIDE, RESULT, Walk
from tinygrad_course.viz.wording import count_words, cut, one_line, shape_words

SINGLE, MODULE, RUN, REST, TENSORS = "single", "module", "run", "rest", "tensors"
"""Kinds of units: one item, a closed module, a folded run, the rest, several tensors."""

_LONGEST_PERIOD = 64  # units that repeat together: a large layer, not a whole network
_DEEPEST = 24  # levels of modules drawn inside one another
_FEWEST = 8  # closing modules leaves this many nodes, and a run hides as many: else no gain
_EDGES_PER_NODE = 5  # beyond that no layout is readable, or finished in time


@dataclass(slots=True, eq=False)
class Unit:
    """What is drawn as one node.

    Attributes:
        kind: one of the kinds above.
        cluster: the module call it is drawn in.
        token: equal for units that look the same, which is what a repetition consists of.
        item: the item of a single unit.
        closed: the cluster that a module box stands for.
        parts: the units that were joined into this one.
        repeats: how often a run's pattern repeats.
        pattern: the words of the units that a run repeats.
    """

    kind: str
    cluster: int
    token: str
    item: int = -1
    closed: int = OUTSIDE
    parts: list[Unit] = field(default_factory=list)
    repeats: int = 0
    pattern: tuple[str, ...] = ()


class Folding:
    """The units of a walk within a budget, and sentences about what was folded.

    Attributes:
        owner: for each item the unit that it is drawn as or within.
        units: the units to draw, in the order of recording, tensors last.
        notes: what was left out.
    """

    def __init__(self, walk: Walk, budget: int) -> None:
        self.walk = walk
        self.budget = budget
        self.notes: list[str] = []
        self.closed = [OUTSIDE] * len(walk.clusters)
        """For each cluster the outermost closed cluster around it or itself, if any."""
        size = len(walk.items)
        shut = self._modules_to_close(size)
        self._close(shut)
        self.sequence = self._first_units()
        self.owner: list[Unit] = [Unit(SINGLE, OUTSIDE, "")] * size
        self._own(self.sequence)
        self.readers = self._readers()
        self._own_leaves()
        if self._size() > budget:
            self._fold_runs()
        if self._size() > budget or self._too_many_edges():
            self._keep_the_ends()
        if self._size() > budget:
            self._gather_tensors()
        self.units = self._all_units()

    # ---- modules -------------------------------------------------------------------------

    def _modules_to_close(self, size: int) -> set[int]:
        """Return the clusters to draw as single boxes: deepest first, one type at a time."""
        clusters = self.walk.clusters
        visible = [0] * len(clusters)
        for item in self.walk.items:
            if item.cluster != OUTSIDE:
                visible[item.cluster] += 1
        levels: dict[int, list[int]] = defaultdict(list)
        for index, cluster in enumerate(clusters):
            levels[cluster.depth].append(index)
        shut: set[int] = set()
        for depth in sorted(levels, reverse=True):
            size -= self._close_level(levels[depth], visible, size, shut, depth)
            for index in levels[depth]:
                if clusters[index].parent != OUTSIDE:
                    visible[clusters[index].parent] += visible[index]
        return shut

    def _close_level(
        self, level: Sequence[int], visible: list[int], size: int, shut: set[int], depth: int
    ) -> int:
        """Close clusters of one depth until the rest fits; return how many nodes that saves."""
        groups: dict[str, list[int]] = defaultdict(list)
        for index in level:
            groups[type(self.walk.clusters[index].module).__name__].append(index)
        gains = {name: sum(visible[i] - 1 for i in group) for name, group in groups.items()}
        fewest = min(_FEWEST, max(1, self.budget // 2))
        saved = 0
        for name in sorted(groups, key=lambda name: -gains[name]):
            needed = size - saved > self.budget and gains[name] > 0
            if depth > _DEEPEST or (needed and size - saved - gains[name] >= fewest):
                saved += gains[name]
                for index in groups[name]:
                    shut.add(index)
                    visible[index] = 1
        return saved

    def _close(self, shut: set[int]) -> None:
        closed, clusters = self.closed, self.walk.clusters
        for index, cluster in enumerate(clusters):  # a call comes after the call around it
            outer = OUTSIDE if cluster.parent == OUTSIDE else closed[cluster.parent]
            closed[index] = outer if outer != OUTSIDE else (index if index in shut else OUTSIDE)
        boxes = Counter(
            one_line(type(clusters[index].module).__name__)
            for index in shut
            if closed[index] == index
        )
        if boxes:
            names = ", ".join(f"{n:,} × {cut(name)}" for name, n in boxes.most_common(5))
            more = ", …" if len(boxes) > 5 else ""
            self.notes.append(
                f"{count_words(boxes.total(), 'module is', 'modules are')} drawn as one box each: "
                f"{names}{more}."
            )

    # ---- units ---------------------------------------------------------------------------

    def _first_units(self) -> list[Unit]:
        """Return one unit per operation or closed module, in the order of recording."""
        units: list[Unit] = []
        boxes: dict[int, Unit] = {}
        clusters = self.walk.clusters
        for index, item in enumerate(self.walk.items[: self.walk.operations]):
            shut = OUTSIDE if item.cluster == OUTSIDE else self.closed[item.cluster]
            if shut == OUTSIDE:
                unit = Unit(SINGLE, item.cluster, item.origin.primitive.name, item=index)
                units.append(unit)
                continue
            if shut not in boxes:
                token = type(clusters[shut].module).__name__
                boxes[shut] = Unit(MODULE, clusters[shut].parent, token, closed=shut)
                units.append(boxes[shut])
            boxes[shut].parts.append(Unit(SINGLE, item.cluster, "", item=index))
        return units

    def _own(self, units: Iterable[Unit]) -> None:
        """Note for every item in or below the given units that they draw it."""
        for unit in units:
            below = [unit]
            while below:
                part = below.pop()
                if part.item >= 0:
                    self.owner[part.item] = unit
                below.extend(part.parts)

    def _readers(self) -> dict[int, list[int]]:
        """Return the items that read each tensor."""
        found: dict[int, list[int]] = {i: [] for i in self._tensors()}
        for index, item in enumerate(self.walk.items):
            for source, _ in item.inputs:
                if source in found:
                    found[source].append(index)
        return found

    def _tensors(self) -> range:
        return range(self.walk.operations, len(self.walk.items))

    def _own_leaves(self) -> None:
        """Give each tensor a unit, or the joined unit that alone reads it."""
        for index in self._tensors():
            item = self.walk.items[index]
            self.owner[index] = Unit(SINGLE, item.cluster, item.kind, item=index)
        self._absorb()

    def _absorb(self) -> None:
        """Let a joined unit take in the tensors that nothing else reads."""
        for index, readers in self.readers.items():
            units = {self.owner[reader] for reader in readers}
            if len(units) == 1:
                (unit,) = units
                if self.owner[index] is not unit and self._takes_in(unit, index):
                    self.owner[index] = unit
                    unit.parts.append(Unit(SINGLE, OUTSIDE, "", item=index))

    def _takes_in(self, unit: Unit, index: int) -> bool:
        """Whether a tensor disappears in the only unit that reads it."""
        cluster = self.walk.items[index].cluster
        if unit.kind == MODULE:  # a module hides its own parameters, not what it is given
            return cluster != OUTSIDE and self.closed[cluster] == unit.closed
        return unit.kind != SINGLE

    def _size(self) -> int:
        tensors = sum(self.owner[index].kind == SINGLE for index in self._tensors())
        return len(self.sequence) + tensors

    # ---- runs ----------------------------------------------------------------------------

    def _fold_runs(self) -> None:
        """Fold repetitions of one unit, then of two together, ... until the rest fits."""
        for period in range(1, _LONGEST_PERIOD + 1):
            runs = self._runs(period)
            if runs:
                self._join_runs(runs, period)
                if self._size() <= self.budget:
                    return

    def _runs(self, period: int) -> list[tuple[int, int]]:
        """Return where the sequence repeats itself with a period: start and number of repeats."""
        numbers: dict[tuple[str, int], int] = {}
        codes = np.array(
            [numbers.setdefault((u.token, u.cluster), len(numbers)) for u in self.sequence]
        )
        if len(codes) <= period:
            return []
        same = np.concatenate(([False], codes[period:] == codes[:-period], [False]))
        changes = np.flatnonzero(same[1:] != same[:-1])
        starts, lengths = changes[::2], changes[1::2] - changes[::2]
        repeats = lengths // period + 1
        hidden = repeats - 2 * _shown(period)
        enough = (hidden >= 2) & (hidden * period >= _FEWEST)  # less is not worth a box
        return list(zip(starts[enough].tolist(), repeats[enough].tolist(), strict=True))

    def _join_runs(self, runs: Sequence[tuple[int, int]], period: int) -> None:
        """Replace the middle of each run by one unit; the first and last repeats stay."""
        kept: list[Unit] = []
        position, shown = 0, _shown(period)
        for start, repeats in runs:
            first, last = start + shown * period, start + (repeats - shown) * period
            parts = self.sequence[first:last]
            pattern = tuple(self._words(unit) for unit in parts[:period])
            token = f"{repeats} × ({', '.join(unit.token for unit in parts[:period])})"
            run = Unit(RUN, parts[0].cluster, token, parts=parts)
            run.repeats, run.pattern = repeats - 2 * shown, pattern
            self._own([run])
            kept += [*self.sequence[position:first], run]
            position = last
            self.notes.append(f"{run.repeats:,} × {pattern_words(pattern)} is folded into one box.")
        self.sequence = kept + self.sequence[position:]
        self._absorb()

    def _words(self, unit: Unit) -> str:
        if unit.kind == RUN:
            return f"{unit.repeats:,} × {pattern_words(unit.pattern)}"
        return one_line(unit.token)

    # ---- the middle ----------------------------------------------------------------------

    def _keep_the_ends(self) -> None:
        """Leave the operations nearest the leaves and the result, and one box for the others."""
        whole, owner = self.sequence, self.owner
        keep = min(max(self.budget, 2), len(whole) - 2)
        if keep < 2:
            return
        self._leave_out(whole, keep)
        while keep > 2 and (self._size() > self.budget or self._too_many_edges()):
            keep = max(2, keep * 3 // 4)
            self.owner = owner.copy()
            self._leave_out(whole, keep)
        hidden = sum(self.operations_in(unit) for unit in self.sequence if unit.kind == REST)
        left = "is" if hidden == 1 else "are"
        self.notes.append(
            f"{count_words(hidden, 'operation')} in the middle of the computation {left} left out."
        )

    def _leave_out(self, whole: list[Unit], keep: int) -> None:
        """Keep that many of all units, half of them the oldest, half the newest."""
        oldest = keep // 2
        end = len(whole) - (keep - oldest)
        middle = whole[oldest:end]
        cluster = middle[0].cluster
        for unit in middle:
            cluster = self.walk.common(cluster, unit.cluster)
        rest = Unit(REST, cluster, "rest", parts=middle)
        self._own([rest])
        self.sequence = [*whole[:oldest], rest, *whole[end:]]
        self._absorb()

    def _too_many_edges(self) -> bool:
        pairs = {
            (id(self.owner[source]), id(self.owner[index]))
            for index, item in enumerate(self.walk.items)
            for source, _ in item.inputs
        }
        return len(pairs) > _EDGES_PER_NODE * max(self.budget, 20)

    # ---- tensors -------------------------------------------------------------------------

    def _gather_tensors(self) -> None:
        """Join tensors of one kind that are read by the same unit, then any of one kind."""
        alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for index in self._loose_tensors():
            item = self.walk.items[index]
            readers = frozenset(id(self.owner[reader]) for reader in self.readers[index])
            shape = "" if item.kind == RESULT else _leaf_words(item.origin)
            alike[item.kind, item.cluster, readers, shape].append(index)
        for group in alike.values():
            self._join_tensors(group, 4)
        if self._size() <= self.budget:
            return
        kinds: dict[str, list[int]] = defaultdict(list)
        for index in self._loose_tensors():
            kinds[self.walk.items[index].kind].append(index)
        room = max(1, self.budget - len(self.sequence)) // len(kinds)
        for group in kinds.values():
            self._join_tensors(group, room)

    def _loose_tensors(self) -> list[int]:
        return [index for index in self._tensors() if self.owner[index].kind == SINGLE]

    def _join_tensors(self, group: Sequence[int], keep: int) -> None:
        """Draw the first `keep` tensors of a group, and one box for the others."""
        hidden = group[keep:]
        if len(hidden) < 2:
            return
        item = self.walk.items[hidden[0]]
        cluster = item.cluster
        for index in hidden:
            cluster = self.walk.common(cluster, self.walk.items[index].cluster)
        box = Unit(TENSORS, cluster, item.kind)
        box.parts = [self.owner[index] for index in hidden]
        self._own([box])
        what = {RESULT: "result", "constant": "constant"}.get(item.kind, "tensor")
        self.notes.append(f"{count_words(len(hidden), what)} are drawn as one box.")

    def _all_units(self) -> list[Unit]:
        """Return each unit once, tensors after the operations."""
        tensors = (self.owner[index] for index in self._tensors())
        return list(dict.fromkeys([*self.sequence, *tensors]))

    # ---- what a unit holds ---------------------------------------------------------------

    def items_in(self, unit: Unit) -> list[int]:
        """Return the items that a unit stands for, in the order of recording."""
        found, below = [], [unit]
        while below:
            part = below.pop()
            if part.item >= 0:
                found.append(part.item)
            below.extend(part.parts)
        return sorted(found)

    def operations_in(self, unit: Unit) -> int:
        """Return how many operations a unit stands for."""
        return sum(self.walk.items[i].kind == OPERATION for i in self.items_in(unit))


def _shown(period: int) -> int:
    """Return how many repeats of a run stay visible at either end."""
    return 2 if period <= 2 else 1


def _leaf_words(origin: object) -> str:
    array = getattr(origin, "_data", origin)
    return shape_words(array.shape, array.dtype)  # type: ignore[attr-defined]  # a leaf is an array


def pattern_words(pattern: Sequence[str]) -> str:
    """Return the words of a run's pattern, those of a long one cut."""
    words = ", ".join(pattern[:6]) + (", …" if len(pattern) > 6 else "")
    return words if len(pattern) == 1 else f"({words})"
