"""Reading and writing at positions: `getitem` and `scatter_add` are each the other's derivative."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.graph import Value
from tinygrad_course.ops.samples import values
from tinygrad_course.ops.shaping import reshape
from tinygrad_course.primitive import Op, Sample, primitive


def is_basic(key: Any) -> bool:
    """Whether a key uses only slices and integers, so that no element is met twice."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        part is None or part is Ellipsis or isinstance(part, slice | int | np.integer)
        for part in parts
        if not isinstance(part, bool)
    ) and not any(isinstance(part, bool) for part in parts)


def plain_key(key: Any) -> Any:
    """Return an index with its Tensors replaced by arrays, which the derivative may read again."""
    if isinstance(key, tuple):
        return tuple(plain_key(part) for part in key)
    if isinstance(key, Value):
        key = key._data
    return np.array(key) if isinstance(key, np.ndarray | list) else key


def _keys() -> Iterator[tuple[tuple[int, ...], Any]]:
    yield (4,), 1
    yield (4,), slice(None, None, -1)
    yield (3, 4), (slice(1, None), slice(None, None, 2))
    yield (3, 4), (Ellipsis, 0)
    yield (3, 4), (None, 2)
    yield (3, 4), (-1, -2)
    yield (4,), np.array([0, 2, 2, -1])
    yield (3, 4), np.array([[0, 1], [2, 0]])
    yield (3, 4), (np.array([0, 2, 0]), np.array([1, 3, 1]))
    yield (3, 4), (slice(None), np.array([1, 1, 0]))
    yield (3, 4), (np.array([0, 2]), slice(None, 2))
    yield (2, 3, 4), (np.array([0, 1]), slice(None), np.array([3, 3]))
    yield (3,), np.array([True, False, True])
    yield (2, 3), np.array([[True, False, True], [False, False, True]])
    yield (2, 3), (slice(None), np.array([True, False, True]))
    yield (2, 3), [0, 0]
    yield (3, 2), slice(0, 0)
    yield (3,), Ellipsis


def _reads(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, key in _keys():
        yield (values(rng, shape, -2, 2),), {"key": key}


def _adds(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, key in _keys():
        g = np.empty(shape)[key]
        yield (values(rng, g.shape, -2, 2),), {"key": key, "shape": shape}


def _scatter_add(g: Any, *, key: Any, shape: tuple[int, ...]) -> Any:
    ans = (
        np.zeros(shape, g.dtype) if isinstance(g, np.generic) else np.zeros(shape, g.dtype, like=g)
    )
    if is_basic(key):
        ans[key] = g
    else:
        np.add.at(ans, key, g)
    return ans


getitem: Op = primitive(
    "getitem",
    lambda x, *, key: x[key],
    _reads,
    lambda g, _ans, _x, *, key, shapes: scatter_add(g, key=key, shape=shapes[0]),
    view=True,
    expects="an index inside the array",
    doc="""Read elements with any of NumPy's indices; gradients of repeated elements add up.""",
)

scatter_add: Op = primitive(
    "scatter_add",
    _scatter_add,
    _adds,
    lambda g, _ans, _x, *, key, shape: getitem(g, key=key),  # noqa: ARG005
    doc="""Add values into an array of zeros at the given positions.""",
)


def _replace_at(x: Any, value: Any, *, key: Any) -> Any:
    _check_kept(x, value)
    ans = x.copy()
    ans[key] = value
    return ans


def _check_kept(target: Any, value: Any) -> None:
    """Refuse to write fractions into whole numbers, or complex numbers into real ones."""
    kind = np.asarray(value).dtype
    if not np.can_cast(kind, target.dtype, "same_kind"):
        raise TypeError(f"{kind} does not fit into {target.dtype}")


def _value_rule(g: Any, _ans: Any, _x: Any, _v: Any, *, key: Any, shapes: Any) -> Any:
    piece = getitem(g, key=key)
    extra = len(shapes[1]) - piece.ndim  # NumPy drops leading axes of size 1 of a value
    return reshape(piece, shape=(1,) * extra + piece.shape) if extra > 0 else piece


def _replaces(rng: np.random.Generator) -> Iterator[Sample]:
    yield (values(rng, (4,), -2, 2), values(rng, (2,), -2, 2)), {"key": slice(1, 3)}
    yield (values(rng, (3, 4), -2, 2), values(rng, (), -2, 2)), {"key": (slice(None), 1)}
    yield (values(rng, (3, 4), -2, 2), values(rng, (4,), -2, 2)), {"key": np.array([0, 2])}
    yield (values(rng, (3,), -2, 2), values(rng, (), -2, 2)), {"key": np.array([True, False, True])}
    yield (values(rng, (2, 3), -2, 2), values(rng, (1, 1, 3), -2, 2)), {"key": 0}


replace_at: Op = primitive(
    "replace_at",
    _replace_at,
    _replaces,
    lambda g, _ans, _x, _v, *, key, shapes: replace_at(g, 0.0, key=key),  # noqa: ARG005
    _value_rule,
    expects="a value that broadcasts to the indexed positions",
    doc="""Return a copy of x with the elements at `key` replaced: what ``t[key] = v`` records.

    If `key` names an element twice, which of the values stays is NumPy's choice, and the
    gradient goes to both.
    """,
)


__all__ = [
    "getitem",
    "plain_key",
    "replace_at",
    "scatter_add",
]
