"""Large graphs: what closes and folds, what the notes say, and that the time is linear."""

import sys

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course.graph import SCOPE, Scope


class Block:
    """A stand-in for a module that runs a function."""

    def __init__(self, run, **parts):
        self.run = run
        self.parts = parts

    def named_modules(self):
        yield "", self
        for name, part in self.parts.items():
            for path, module in part.named_modules():
                yield f"{name}.{path}".rstrip("."), module

    def named_parameters(self):
        return iter(())

    def __call__(self, x):
        token = SCOPE.set(Scope(module=self, parent=SCOPE.get()))
        try:
            return self.run(x)
        finally:
            SCOPE.reset(token)


class Inner(Block):
    pass


class Outer(Block):
    pass


def three(x):
    return tc.tanh(tc.exp(tc.sin(x)))


def stack_of(*modules):
    def run(x):
        for module in modules:
            x = module(x)
        return x

    return run


def scalar(name="x"):
    return tc.Tensor(1.0, requires_grad=True, name=name)


def operations_behind(picture):
    return sum(node.count for node in picture.nodes if node.kind in ("operation", "folded"))


def chain(length):
    x = scalar()
    y = x
    for _ in range(length // 2):
        y = y * 0.5
        y = y + x
    return y


def acyclic(picture):
    """Whether the drawn graph has no cycle."""
    below, count = {}, {node.key: 0 for node in picture.nodes}
    for edge in picture.edges:
        below.setdefault(edge.source, []).append(edge.target)
        count[edge.target] += 1
    ready = [key for key, n in count.items() if n == 0]
    for key in ready:
        for other in below.get(key, ()):
            count[other] -= 1
            if count[other] == 0:
                ready.append(other)
    return len(ready) == len(picture.nodes)


def test_within_the_budget_nothing_is_folded():
    """A small graph is drawn whole, without notes."""
    picture = tc.viz.graph(chain(100))
    assert len([node for node in picture.nodes if node.kind == "operation"]) == 100
    assert picture.notes == []


def test_modules_close_deepest_first_and_only_as_needed():
    """Inner modules close before the outer ones, which stay open if that is enough."""
    inner = [Inner(three) for _ in range(20)]
    outer = [Outer(stack_of(*inner[i : i + 4])) for i in range(0, 20, 4)]
    y = stack_of(*outer)(scalar())
    picture = tc.viz.graph(y, budget=30)
    closed = [node for node in picture.nodes if node.kind == "module"]
    assert len(closed) == 20
    assert all(node.title.startswith("Inner") for node in closed)
    assert len({node.cluster for node in closed}) == 5
    assert any("20 × Inner" in note for note in picture.notes)
    assert len(tc.viz.graph(y, budget=80).clusters) == 25
    assert not tc.viz.graph(y, budget=80).notes


def test_outer_modules_close_when_inner_ones_are_not_enough():
    """If the inner modules closed still exceed the budget, those around them close too."""
    outer = [Outer(stack_of(*[Inner(three) for _ in range(4)])) for _ in range(10)]
    picture = tc.viz.graph(stack_of(*outer)(scalar()), budget=20)
    assert [n.title for n in picture.nodes if n.kind == "module"] == ["Outer"] * 10


def test_closed_modules_say_what_they_hold():
    """A closed module shows its shape and how many operations are inside."""
    blocks = [Inner(three) for _ in range(20)]
    node = next(
        n for n in tc.viz.graph(stack_of(*blocks)(scalar()), budget=30).nodes if n.kind == "module"
    )
    assert node.lines == ("scalar f64", "3 operations")


def test_repeated_modules_fold():
    """A thousand equal layers in one module show the first, the last and one box for the others."""
    layers = [Inner(three) for _ in range(1000)]
    picture = tc.viz.graph(Outer(stack_of(*layers))(scalar()), budget=50)
    assert any("× Inner" in node.title for node in picture.nodes if node.kind == "folded")
    assert len(picture.nodes) <= 50
    assert picture.clusters[0].label == "Outer"
    assert all(n.cluster == 0 for n in picture.nodes if n.kind in ("module", "folded"))


def test_a_long_chain_folds():
    """100,000 chained operations give a small picture with a note, without recursion."""
    y = chain(100_000)
    picture = tc.viz.graph(y)
    assert len(picture.nodes) < 20
    (box,) = [node for node in picture.nodes if node.kind == "folded"]
    assert box.title == "… 49,996 × (multiply, add)"
    assert "49,996 × (multiply, add) is folded into one box." in picture.notes
    assert "49,996 × (multiply, add) is folded into one box." in picture.source
    assert operations_behind(picture) == 100_000
    assert all(edge.label == "" for edge in picture.edges)  # one arrow into the box from x
    assert acyclic(picture)


def test_exponentially_many_paths_are_no_matter():
    """30 doublings have 2**30 paths and 30 operations, with two arrows into each."""
    y = scalar()
    for _ in range(30):
        y = y + y
    picture = tc.viz.graph(y)
    assert len(picture.nodes) == 32
    assert len(picture.edges) == 61


def steps(function):
    """Return how many functions a call enters: a cost that no other process changes."""
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_the_work_is_linear():
    """Four times the operations take about four times the work, not sixteen times."""
    short, long = (steps(lambda n=n: tc.viz.graph(chain(n))) for n in (5_000, 20_000))
    assert long < 5 * short


def test_without_repetition_the_middle_is_left_out():
    """Irregular operations beyond the budget become one box between the first and last ones."""
    rng = np.random.default_rng(0)
    operations = [tc.sin, tc.cos, tc.tanh, tc.sigmoid, tc.relu, tc.abs, tc.negative]
    y = x = scalar()
    for k in rng.integers(0, len(operations), 3000):
        y = operations[k](y + x) if k % 2 else operations[k](y)
    picture = tc.viz.graph(y, budget=40)
    assert len(picture.nodes) <= 40
    assert sum(node.title.endswith("more operations") for node in picture.nodes) == 1
    assert any("left out" in note for note in picture.notes)
    assert by_result(picture) == y._node.primitive.name
    assert acyclic(picture)


def by_result(picture):
    """Return the title of the operation that gives the result."""
    titles = {node.key: node.title for node in picture.nodes}
    (result,) = [node.key for node in picture.nodes if node.kind == "result"]
    (source,) = [titles[edge.source] for edge in picture.edges if edge.target == result]
    return source


def test_leaves_of_folded_operations_fold_with_them():
    """A chain with a new leaf at each step folds the leaves that only folded steps read."""
    y = scalar()
    for i in range(5000):
        y = y * scalar(f"w{i}")
    picture = tc.viz.graph(y, budget=50)
    assert len(picture.nodes) <= 50
    (box,) = [node for node in picture.nodes if node.kind == "folded"]
    assert "parameters" in box.lines[0]


def test_closed_modules_do_not_swallow_what_they_are_given():
    """The input of a closed module stays visible, also where only that module reads it."""
    blocks = [Inner(three) for _ in range(20)]
    picture = tc.viz.graph(stack_of(*blocks)(scalar()), budget=30)
    assert [node.title for node in picture.nodes if node.kind == "parameter"] == ["x"]


def test_many_inputs_of_one_operation_fold():
    """An operation that reads thousands of tensors shows a few and one box for the others."""
    picture = tc.viz.graph(tc.stack([scalar(f"w{i}") for i in range(5000)]), budget=50)
    assert len(picture.nodes) <= 50
    assert any("more" in node.title for node in picture.nodes if node.kind == "folded")


def test_many_arrows_between_two_nodes_are_one():
    """Reading a tensor 5,000 times in one operation is one arrow that says so."""
    picture = tc.viz.graph(tc.stack([scalar()] * 5000))
    assert sorted(edge.label for edge in picture.edges) == ["", "5,000 ×"]


def test_dense_graphs_do_not_drown_in_arrows():
    """Where everything reads everything before it, the picture still has few arrows."""
    values = [scalar()]
    for _ in range(150):
        values.append(tc.stack(values).sum())
    picture = tc.viz.graph(values[-1])
    assert len(picture.edges) <= 2500


def test_deep_nesting_needs_no_recursion():
    """Modules nested 3,000 deep are drawn, the innermost closed."""
    y, scope = scalar(), SCOPE.get()
    for _ in range(3000):
        scope = Scope(module=Inner(None), parent=scope)
    token = SCOPE.set(scope)
    y = tc.sin(y)
    SCOPE.reset(token)
    picture = tc.viz.graph(y)
    assert picture.source.count("subgraph") <= 30


def test_marks_reach_into_boxes():
    """A marked operation that is folded marks its box and is named there."""
    y = x = scalar()
    marked = None
    for i in range(2000):
        y = y * x
        if i == 1000:
            marked = y
    picture = tc.viz.graph(y, budget=50, mark={marked: "first wrong gradient"})
    (node,) = [node for node in picture.nodes if node.mark]
    assert node.kind == "folded"
    assert node.mark == "multiply: first wrong gradient"


@pytest.mark.parametrize("budget", [1, 2, 5, 10, 17, 100])
def test_every_budget_gives_a_picture(budget):
    """However small the budget, there is a picture of the whole, with a result and no cycle."""
    layers = [Inner(three) for _ in range(30)]
    picture = tc.viz.graph(stack_of(*layers)(chain(100)), budget=budget)
    assert sum(node.kind == "result" for node in picture.nodes) == 1
    assert len(picture.nodes) <= max(budget, 8)
    assert acyclic(picture)


def test_str_tells_the_notes():
    """Printing a graph gives its size and what was folded."""
    text = str(tc.viz.graph(chain(5000)))
    assert text.startswith("Graph of 5,000 operations")
    assert "folded" in text
