"""Nested arguments: their leaves in order, the same containers around others, pairs by place."""

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_course import Tensor, nn
from tinygrad_course.errors import ArgumentError
from tinygrad_course.nested import children, leaves, pairs, rebuilt


class Point(NamedTuple):
    x: object
    y: object


@dataclass(frozen=True, slots=True)
class Frozen:
    left: object
    right: object


@dataclass
class Counted:
    value: object
    count: int = field(init=False, default=0)

    def __post_init__(self):
        assert self.value is not None, "a rebuilt dataclass is not checked again"


TREES = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), st.text(max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        st.builds(Point, inner, inner),
        st.builds(Frozen, inner, inner),
    ),
    max_leaves=12,
)


@given(TREES)
def test_leaves_and_containers_say_everything(tree):
    """A tree rebuilt around its own leaves equals it, in the same kinds of containers."""
    again = rebuilt(tree, leaves(tree))
    assert again == tree
    assert repr(again) == repr(tree)


@given(TREES)
def test_leaves_keep_their_places(tree):
    """Numbered leaves come back in order, and the pairs with the original meet at the same leaf."""
    found = leaves(tree)
    numbered = rebuilt(tree, range(len(found)))
    assert leaves(numbered) == list(range(len(found)))
    met = list(pairs(tree, numbered, "t"))
    assert [number for _, _, number in met] == list(range(len(found)))
    assert all(a is b for (_, a, _), b in zip(met, found, strict=True))
    assert len({place for place, _, _ in met}) == len(found)


@pytest.mark.parametrize(
    "leaf", [Tensor([1.0, 2.0]), np.ones(3), 1.0, None, "text", {1, 2}, range(3), Frozen, nn.Tanh()]
)
def test_what_is_no_container_is_a_leaf(leaf):
    """Arrays, sets, ranges, classes and modules are leaves, not containers of their elements."""
    assert children(leaf) is None
    (found,) = leaves(leaf)
    assert found is leaf


@pytest.mark.parametrize("empty", [{}, [], ()])
def test_an_empty_container_has_no_leaves_and_stays(empty):
    """Nothing is taken for an empty container, which keeps its kind."""
    assert leaves([empty, 1]) == [1]
    assert rebuilt([empty, 1], [2]) == [empty, 2]


def test_kinds_of_containers_stay():
    """Named tuples, ordered dicts, default factories, list subclasses and dataclasses survive."""

    class Stack(list):
        pass

    default = defaultdict(list, a=1)
    ordered = OrderedDict(b=1, a=2)
    counted = Counted(1)
    counted.count = 5
    tree = [Point(1, 2), default, ordered, Stack([1]), Frozen(1, 2), counted]
    result = rebuilt(tree, "abcdefghij")
    assert [type(part) for part in result] == [type(part) for part in tree]
    assert result[0] == Point("a", "b")
    assert result[1]["new"] == []
    assert list(result[2].items()) == [("b", "d"), ("a", "e")]
    assert result[4] == Frozen("g", "h")
    assert (result[5].value, result[5].count) == ("i", "j")
    assert rebuilt(Counted(1), [None, 0]).value is None
    assert default == {"a": 1}, "the original is not touched"
    assert tree[4] == Frozen(1, 2)
    assert counted.count == 5


def test_pairs_go_by_key():
    """Dicts may be in another order, lists may stand for tuples; a leaf may meet a container."""
    like = {"w": (1, 2), "b": Point(3, 4)}
    other = {"b": [30, [40, 41]], "w": [10, 20]}
    assert list(pairs(like, other, "v")) == [
        ("v['w'][0]", 1, 10),
        ("v['w'][1]", 2, 20),
        ("v['b'][0]", 3, 30),
        ("v['b'][1]", 4, [40, 41]),
    ]
    assert [place for place, _, _ in pairs(Frozen(1, [2]), Frozen(0, [0]), "v")] == [
        "v.left",
        "v.right[0]",
    ]


@pytest.mark.parametrize(
    ("like", "tree", "words"),
    [
        ({"w": 1, "b": 2}, {"w": 1}, "v: got a dict with 'w', expected a dict with 'w', 'b'"),
        ({"w": 1}, {"v": 1}, "v: got a dict with 'v', expected a dict with 'w'"),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, r"v\['a'\]: got a list of 3, expected a list of 2"),
        ([(1, 2)], [5], r"v\[0\]: got int, expected a tuple of 2"),
        ({}, {"a": 1}, "v: got a dict with 'a', expected a dict with nothing"),
        (Frozen(1, [2]), Frozen(1, 2), r"v\.right: got int, expected a list of 1"),
    ],
)
def test_another_nesting_is_refused_by_place(like, tree, words):
    """The error names the place, what stands there and what was expected."""
    with pytest.raises(ArgumentError, match=words):
        list(pairs(like, tree, "v"))
