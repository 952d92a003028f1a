"""Reading and writing at positions: `getitem` and `scatter_add` are each the other's derivative."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.graph import Value
from tinygrad_course.ops.samples import values
from tinygrad_course.ops.shaping import reshape
from tinygrad_course.primitive import Op, Sample, primitive


def meets_once(key: Any) -> bool:
    """Whether a key can only meet different elements: slices, integers and masks, no lists."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, slice | int | np.integer | np.bool_)
        or (isinstance(part, np.ndarray) and (part.dtype.kind == "b" or part.ndim == 0))
        for part in parts
    )


def plain_key(key: Any) -> Any:
    """Return an index without Tensors or lists, of its own: the derivative may read it again."""
    if isinstance(key, tuple):
        return tuple([plain_key(part) for part in key])
    if isinstance(key, slice):
        bounds = (key.start, key.stop, key.step)
        if any(isinstance(bound, Value) for bound in bounds):
            return slice(*(int(b._data) if isinstance(b, Value) else b for b in bounds))
        return key
    if isinstance(key, Value):
        key = key._data
    if isinstance(key, np.ndarray):
        return np.array(key)
    return positions(key) if isinstance(key, list) else key


def positions(key: Any) -> Any:
    """Return a list of indices as an array; an empty one holds no floats, but no indices."""
    array = np.array(key)
    return array if array.size else array.astype(np.intp)


def _keys() -> Iterator[tuple[tuple[int, ...], Any]]:
    yield (4,), 1
    yield (4,), slice(None, None, -1)
    yield (3, 4), (slice(1, None), slice(None, None, 2))
    yield (3, 4), (Ellipsis, 0)
    yield (3, 4), (None, 2)
    yield (3, 4), (-1, -2)
    yield (4,), np.array([0, 2, 2, -1])
    yield (3, 4), np.array([[0, 1], [2, 0]])
    yield (3, 4), np.array([0, -1, 2, 2])
    yield (3, 4), (np.array([0, 2, 0]), np.array([1, 3, 1]))
    yield (3, 4), (np.array([[0], [-1]]), np.array([1, 1, -4]))
    yield (3, 4), (slice(None), np.array([1, 1, 0]))
    yield (2, 3, 2), (slice(None), np.array([[1, -1], [0, 1]]))
    yield (3, 4), (np.array([0, 2]), slice(None, 2))
    yield (2, 3, 4), (np.array([0, 1]), slice(None), np.array([3, 3]))
    yield (2, 3, 4), (np.array([0, 1, 1]), None, np.array([2, 2, 2]))
    yield (3,), np.array([True, False, True])
    yield (2, 3), np.array([[True, False, True], [False, False, True]])
    yield (2, 3), (slice(None), np.array([True, False, True]))
    yield (2, 3), (np.array([True, True]), np.array([0, 0]))
    yield (2, 3), np.array([False, True])
    yield (2, 3), [0, 0]
    yield (2, 3), ([0, 0, 1], [1, 1, 2])
    yield (2, 3), True
    yield (), ()
    yield (), (None, True)
    yield (3,), np.array(1)
    yield (3, 2), np.zeros((0,), np.intp)
    yield (3, 2), slice(0, 0)
    yield (0, 2), np.zeros((0, 2), bool)
    yield (3,), Ellipsis


def _reads(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, key in _keys():
        yield (values(rng, shape, -2, 2),), {"key": key}


def _adds(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, key in _keys():
        g = np.empty(shape)[key]
        yield (values(rng, g.shape, -2, 2),), {"key": key, "shape": shape}


def _flat(key: Any, shape: tuple[int, ...]) -> Any:
    """Return where in the flat array a key of index arrays points, None for other keys.

    Two kinds of keys are common: one array behind full slices (rows of a table, `take`), and one
    array for each axis. `np.add.at` adds at flat positions several times faster.
    """
    parts = key if isinstance(key, tuple) else (key,)
    listed = [type(part) is np.ndarray and part.dtype.kind in "iu" for part in parts]
    if not listed or not listed[-1] or 0 in shape:
        return None
    if all(listed) and len(parts) == len(shape):
        return np.ravel_multi_index(parts, shape, mode="wrap").ravel()
    if not all(isinstance(part, slice) and part == slice(None) for part in parts[:-1]):
        return None
    axis = len(parts) - 1
    before, size, behind = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    index = parts[-1].astype(np.intp).ravel()
    index = np.where(index < 0, index + size, index)
    rows = np.arange(0, before * size, size)[:, None, None] + index[:, None]
    return (rows * behind + np.arange(behind)).ravel()


def _scatter_add(g: Any, *, key: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(g, np.generic):
        ans = np.zeros(shape, g.dtype)
    else:
        ans = np.zeros(shape, g.dtype, like=g)
    if meets_once(key):
        ans[key] = g
        return ans
    flat = _flat(key, shape) if type(ans) is np.ndarray else None
    if flat is None:
        np.add.at(ans, key, g)
    else:
        np.add.at(ans.reshape(-1), flat, g.ravel())
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


# ---- writing -------------------------------------------------------------------------------


def _replace_at(x: Any, value: Any, *, key: Any) -> Any:
    check_kept(x, value)
    ans = x.copy()
    ans[key] = value
    return ans


def check_kept(target: Any, value: Any) -> None:
    """Refuse to write fractions into whole numbers, or complex numbers into real ones."""
    kind = np.asarray(value).dtype
    if not np.can_cast(kind, target.dtype, "same_kind"):
        raise TypeError(f"{kind} does not fit into {target.dtype}")


def _value_rule(g: Any, _ans: Any, _x: Any, _v: Any, *, key: Any, shapes: Any) -> Any:
    piece = getitem(g, key=key)
    if not meets_once(key):
        # Of several values for one element only one stays. Which one, the same write tells.
        numbers = np.arange(piece.size).reshape(piece.shape)
        stays = np.zeros(shapes[0], np.intp)
        stays[key] = numbers
        kept = stays[key] == numbers
        if not kept.all():
            piece = scatter_add(getitem(piece, key=kept), key=kept, shape=piece.shape)
    extra = len(shapes[1]) - piece.ndim  # NumPy drops leading axes of size 1 of a value
    return reshape(piece, shape=(1,) * extra + piece.shape) if extra > 0 else piece


def _replaces(rng: np.random.Generator) -> Iterator[Sample]:
    yield (values(rng, (4,), -2, 2), values(rng, (2,), -2, 2)), {"key": slice(1, 3)}
    yield (values(rng, (3, 4), -2, 2), values(rng, (), -2, 2)), {"key": (slice(None), 1)}
    yield (values(rng, (3, 4), -2, 2), values(rng, (4,), -2, 2)), {"key": np.array([0, 2])}
    yield (values(rng, (3,), -2, 2), values(rng, (), -2, 2)), {"key": np.array([True, False, True])}
    yield (values(rng, (2, 3), -2, 2), values(rng, (1, 1, 3), -2, 2)), {"key": 0}
    yield (values(rng, (3,), -2, 2), values(rng, (), -2, 2)), {"key": np.array([0, 0, 2])}
    yield (values(rng, (3, 2), -2, 2), values(rng, (4, 2), -2, 2)), {"key": np.array([0, 1, 0, 0])}
    yield (values(rng, (2, 0), -2, 2), values(rng, (1, 0), -2, 2)), {"key": slice(None)}


replace_at: Op = primitive(
    "replace_at",
    _replace_at,
    _replaces,
    lambda g, _ans, _x, _v, *, key, shapes: replace_at(g, 0.0, key=key),  # noqa: ARG005
    _value_rule,
    expects="a value that broadcasts to the indexed positions",
    doc="""Return a copy of x with the elements at `key` replaced: what ``t[key] = v`` records.

    If `key` names an element several times, one of the values stays (NumPy's choice, in practice
    the last), and only that one gets a gradient.
    """,
)


# ---- along an axis -------------------------------------------------------------------------


def inside(index: Any, size: int, mode: str) -> Any:
    """Return indices as NumPy's `mode` reads them: "raise", "wrap" around or "clip"."""
    if mode == "wrap":
        return np.mod(index, max(size, 1))
    return np.clip(index, 0, max(size - 1, 0)) if mode == "clip" else np.asarray(index)


def _take_rule(
    g: Any, _ans: Any, _x: Any, *, indices: Any, axis: Any = None, mode: str = "raise", shapes: Any
) -> Any:
    (shape,) = shapes
    if axis is None:
        index = inside(indices, math.prod(shape), mode)
        flat = scatter_add(g, key=index, shape=(math.prod(shape),))
        return reshape(flat, shape=shape)
    axis %= len(shape)
    index = inside(indices, shape[axis], mode)
    return scatter_add(g, key=(*[slice(None)] * axis, index), shape=shape)


def _takes(rng: np.random.Generator) -> Iterator[Sample]:
    yield (values(rng, (4,), -2, 2),), {"indices": 2}
    yield (values(rng, (2, 3), -2, 2),), {"indices": np.array([5, 0, -1, 0])}
    yield (values(rng, (2, 3), -2, 2),), {"indices": np.array([2, 0, 2, -1]), "axis": 1}
    yield (values(rng, (2, 3), -2, 2),), {"indices": np.array([[1, 1], [0, 1]]), "axis": -2}
    yield (values(rng, (2, 3, 2), -2, 2),), {"indices": np.array([[1, 1], [0, 1]]), "axis": 1}
    yield (values(rng, (2, 3), -2, 2),), {"indices": 1, "axis": 0}
    yield (values(rng, (4,), -2, 2),), {"indices": np.array([-7, 4, 9]), "mode": "wrap"}
    yield (values(rng, (2, 3), -2, 2),), {"indices": np.array([-7, 9]), "axis": 1, "mode": "clip"}
    yield (values(rng, (2, 3), -2, 2),), {"indices": np.zeros((0,), np.intp), "axis": 1}
    yield (values(rng, (), -2, 2),), {"indices": np.array([0, 0])}
    yield (values(rng, (3, 2), -2, 2).T,), {"indices": np.array([1, 4, 4])}


take_from: Op = primitive(
    "take",
    lambda x, *, indices, axis=None, mode="raise": np.take(x, indices, axis, mode=mode),
    _takes,
    _take_rule,
    expects="whole-number indices inside the axis",
    doc="""Read the elements at `indices` along an axis, or of the flattened array.""",
)


def along(index: Any, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """Return the key for which ``x[key]`` is ``np.take_along_axis(x, index, axis)``."""
    axis %= len(shape)
    rank = len(shape)
    return tuple(
        index if i == axis else np.arange(n).reshape([-1 if j == i else 1 for j in range(rank)])
        for i, n in enumerate(shape)
    )


def _take_along_rule(
    g: Any, _ans: Any, _x: Any, *, indices: Any, axis: int | None = -1, shapes: Any
) -> Any:
    (shape,) = shapes
    if axis is None:
        flat = scatter_add(g, key=indices, shape=(math.prod(shape),))
        return reshape(flat, shape=shape)
    return scatter_add(g, key=along(indices, shape, axis), shape=shape)


def _takes_along(rng: np.random.Generator) -> Iterator[Sample]:
    yield (values(rng, (2, 3), -2, 2),), {"indices": np.array([[0, 2, 2, -1], [1, 0, 2, 1]])}
    yield (values(rng, (2, 3), -2, 2),), {"indices": np.array([[1, 0, -1]]), "axis": 0}
    yield (values(rng, (1, 3), -2, 2),), {"indices": np.array([[0], [2]]), "axis": 1}
    yield (values(rng, (2, 2), -2, 2),), {"indices": np.array([3, 3, 0]), "axis": None}
    yield (values(rng, (2, 3), -2, 2).T,), {"indices": np.array([[2, 0]]), "axis": -2}
    yield (values(rng, (2, 3), -2, 2),), {"indices": np.zeros((2, 0), np.intp), "axis": 1}


take_along_axis: Op = primitive(
    "take_along_axis",
    lambda x, *, indices, axis=-1: np.take_along_axis(x, indices, axis),
    _takes_along,
    _take_along_rule,
    numpy=(np.take_along_axis,),
    expects="whole-number indices with as many axes as the array",
    doc="""Read, in each vector along `axis`, the elements at that vector's own indices.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([[3.0, 1.0], [2.0, 4.0]])
        >>> tc.take_along_axis(x, np.argmin(x.data, axis=1, keepdims=True), axis=1)
        Tensor([[1.],
                [2.]])
    """,
)


__all__ = [
    "along",
    "check_kept",
    "getitem",
    "inside",
    "meets_once",
    "plain_key",
    "positions",
    "replace_at",
    "scatter_add",
    "take_along_axis",
    "take_from",
]
