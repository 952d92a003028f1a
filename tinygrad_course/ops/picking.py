"""Primitives that pick, repeat, insert and leave out elements.

Most have no inverse of one line. But what NumPy's function does to the numbers 0, 1, 2, … tells
where each element of the result came from, and the gradient is added there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_course.ops.indexing import check_kept, getitem, inside, scatter_add
from tinygrad_course.ops.samples import listed
from tinygrad_course.ops.shaping import broadcast_to, reshape
from tinygrad_course.primitive import Op, primitive


def numbered(shape: tuple[int, ...]) -> Any:
    """Return the numbers 0, 1, 2, … in a shape."""
    return np.arange(math.prod(shape)).reshape(shape)


def sent_back(g: Any, origins: Any, shape: tuple[int, ...]) -> Any:
    """Add each element of g to the element of a new array that its origin names."""
    flat = scatter_add(reshape(g, shape=(-1,)), key=origins.reshape(-1), shape=(math.prod(shape),))
    return reshape(flat, shape=shape)


def _moved(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the derivative rule of a function that only moves elements."""

    def rule(g: Any, _ans: Any, _x: Any, *, shapes: Any, **params: Any) -> Any:
        return sent_back(g, forward(numbered(shapes[0]), **params), shapes[0])

    return rule


# ---- diagonals -----------------------------------------------------------------------------


def _diagonal(x: Any, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return np.diagonal(x, offset, axis1, axis2)


_DIAGONALS = listed(
    (((3, 3),), {}),
    (((2, 4),), {"offset": 1}),
    (((4, 2),), {"offset": -2}),
    (((2, 3, 3),), {"axis1": 1, "axis2": 2}),
    (((3, 2, 4),), {"offset": 1, "axis1": -1, "axis2": 0}),
    (((2, 3),), {"offset": 5}),
    (((0, 3),), {}),
)

diagonal: Op = primitive(
    "diagonal",
    _diagonal,
    _DIAGONALS,
    _moved(_diagonal),
    view=True,
    numpy=(np.diagonal,),
    expects="at least two axes",
    doc="""Read the diagonal of each matrix that two axes span; it becomes the last axis.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.diagonal(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]))
        Tensor([1., 4.])
    """,
)


def _trace_rule(
    g: Any,
    _ans: Any,
    _x: Any,
    *,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: Any = None,  # noqa: ARG001 - the engine brings a gradient to its input's dtype
    shapes: Any,
) -> Any:
    origins = np.diagonal(numbered(shapes[0]), offset, axis1, axis2)
    spread = broadcast_to(reshape(g, shape=(*g.shape, 1)), shape=origins.shape)
    return sent_back(spread, origins, shapes[0])


trace: Op = primitive(
    "trace",
    lambda x, *, offset=0, axis1=0, axis2=1, dtype=None: np.trace(x, offset, axis1, axis2, dtype),
    _DIAGONALS,
    _trace_rule,
    numpy=(np.trace,),
    expects="at least two axes",
    doc="""Sum the diagonal of each matrix that two axes span.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.trace(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]))
        Tensor(5.)
    """,
)

diagflat: Op = primitive(
    "diagflat",
    lambda x, *, k=0: np.diagflat(x, k),
    listed(
        (((3,),), {}),
        (((3,),), {"k": 1}),
        (((2, 2),), {"k": -2}),
        (((),), {}),
        (((0,),), {}),
    ),
    lambda g, _ans, _x, *, k=0, shapes: reshape(diagonal(g, offset=k), shape=shapes[0]),
    numpy=(np.diagflat,),
    doc="""Return a square matrix with the elements on diagonal `k`, and zeros elsewhere.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.diagflat(tc.Tensor([1.0, 2.0]))
        Tensor([[1., 0.],
                [0., 2.]])
    """,
)


# ---- repeating and leaving out -------------------------------------------------------------


def _repeat(x: Any, *, repeats: Any, axis: int | None = None) -> Any:
    return np.repeat(x, repeats, axis)


def _repeat_rule(
    g: Any, _ans: Any, _x: Any, *, repeats: Any, axis: int | None = None, shapes: Any
) -> Any:
    (shape,) = shapes
    if np.size(repeats) != 1:
        return sent_back(g, _repeat(numbered(shape), repeats=repeats, axis=axis), shape)
    (times,) = np.ravel(repeats).tolist()
    flat = (math.prod(shape),) if axis is None else shape
    place = axis % len(flat) + 1 if axis is not None else 1
    split = reshape(g, shape=(*flat[:place], times, *flat[place:]))
    return reshape(split.sum(axis=place), shape=shape)


repeat: Op = primitive(
    "repeat",
    _repeat,
    listed(
        (((3,),), {"repeats": 2}),
        (((2, 3),), {"repeats": 2}),
        (((2, 3),), {"repeats": 3, "axis": 1}),
        (((2, 3),), {"repeats": np.array([2]), "axis": -2}),
        (((2, 3),), {"repeats": np.array([1, 0, 2]), "axis": -1}),
        (((3,),), {"repeats": np.array([0, 3, 1])}),
        (((2, 3),), {"repeats": 0, "axis": 0}),
        (((),), {"repeats": 3}),
        (((0, 2),), {"repeats": 2, "axis": 0}),
    ),
    _repeat_rule,
    numpy=(np.repeat,),
    expects="one count, or one for each element along the axis",
    doc="""Repeat each element, `repeats` times or as often as its own entry says; gradients add up.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.repeat(tc.Tensor([1.0, 2.0]), [1, 2])
        Tensor([1., 2., 2.])
    """,
)


def _resize(x: Any, *, new_shape: Any) -> Any:
    return np.resize(x, new_shape)


resize: Op = primitive(
    "resize",
    _resize,
    listed(
        (((3,),), {"new_shape": (2, 4)}),
        (((2, 3),), {"new_shape": 4}),
        (((2, 3),), {"new_shape": (3, 2)}),
        (((),), {"new_shape": (2,)}),
        (((2,),), {"new_shape": (0, 2)}),
    ),
    _moved(_resize),
    numpy=(np.resize,),
    doc="""Fill an array of a new shape with the elements, from the beginning again at the end.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.resize(tc.Tensor([1.0, 2.0, 3.0]), (2, 2))
        Tensor([[1., 2.],
                [3., 1.]])
    """,
)


def _windows(x: Any, *, window_shape: Any, axis: Any = None) -> Any:
    return np.lib.stride_tricks.sliding_window_view(x, window_shape, axis)


sliding_windows: Op = primitive(
    "sliding_window_view",
    _windows,
    listed(
        (((5,),), {"window_shape": 3}),
        (((3, 4),), {"window_shape": (2, 2)}),
        (((3, 4),), {"window_shape": 2, "axis": 1}),
        (((3, 4),), {"window_shape": (2, 2), "axis": (0, 0)}),
        (((2,),), {"window_shape": 2}),
    ),
    _moved(_windows),
    view=True,
    expects="windows no larger than the array",
    doc="""Look at every window of a shape; the window's axes come last.""",
)


def _delete(x: Any, *, obj: Any, axis: int | None = None) -> Any:
    return np.delete(x, obj, axis)


delete_from: Op = primitive(
    "delete",
    _delete,
    listed(
        (((4,),), {"obj": 1}),
        (((2, 3),), {"obj": np.array([0, -1, 0]), "axis": 1}),
        (((2, 3),), {"obj": slice(None, None, 2), "axis": -1}),
        (((2, 3),), {"obj": np.array([True, False, False]), "axis": 1}),
        (((2, 3),), {"obj": np.array([4, 0])}),
        (((3,),), {"obj": np.zeros((0,), np.intp)}),
    ),
    _moved(_delete),
    expects="whole-number indices, a slice or a mask inside the axis",
    doc="""Leave out the elements at `obj` along an axis, or of the flattened array.""",
)


def _insert(x: Any, new: Any, *, obj: Any, axis: int | None = None) -> Any:
    x = np.asarray(x)
    check_kept(x, new)
    return np.insert(x, obj, new, axis)


def _insert_old_rule(
    g: Any, _ans: Any, _x: Any, _new: Any, *, obj: Any, axis: int | None = None, shapes: Any
) -> Any:
    old = np.insert(np.ones(shapes[0], bool), obj, np.zeros(shapes[1], bool), axis)
    return reshape(getitem(g, key=old), shape=shapes[0])


def _insert_new_rule(
    g: Any, _ans: Any, _x: Any, _new: Any, *, obj: Any, axis: int | None = None, shapes: Any
) -> Any:
    origins = np.insert(np.full(shapes[0], -1), obj, numbered(shapes[1]), axis)
    new = origins >= 0
    return sent_back(getitem(g, key=new), origins[new], shapes[1])


insert_into: Op = primitive(
    "insert",
    _insert,
    listed(
        (((4,), ()), {"obj": 1}),
        (((4,), (3,)), {"obj": 2}),
        (((4,), (2,)), {"obj": np.array([0, -1])}),
        (((4,), ()), {"obj": np.array([3, 0, 3])}),
        (((2, 3), (2,)), {"obj": 1, "axis": 1}),
        (((2, 3), (2, 2)), {"obj": np.array([0, 2]), "axis": 1}),
        (((2, 3), (2, 1)), {"obj": np.array([0, 2]), "axis": -1}),
        (((2, 3), ()), {"obj": slice(0, 2), "axis": 0}),
        (((2, 3), (2,)), {"obj": 6}),
        (((0,), (2,)), {"obj": 0}),
    ),
    _insert_old_rule,
    _insert_new_rule,
    expects="values that fit between the elements at the given indices",
    doc="""Insert values before the elements at `obj` along an axis, or of the flattened array.""",
)


def _choose(*choices: Any, indices: Any, mode: Any = "raise") -> Any:
    return np.choose(indices, choices, mode=mode)


def _choose_rule(
    g: Any, _ans: Any, *choices: Any, indices: Any, mode: str = "raise", wanted: Any
) -> list[Any]:
    chosen = np.broadcast_to(inside(indices, len(choices), mode), g.shape)
    pieces = []
    for k, want in enumerate(wanted):
        mask = chosen == k
        pieces.append(scatter_add(getitem(g, key=mask), key=mask, shape=g.shape) if want else None)
    return pieces


choose_from: Op = primitive(
    "choose",
    _choose,
    listed(
        (((3,), (3,)), {"indices": np.array([0, 1, 1])}),
        (((3,), (), (2, 1)), {"indices": np.array([[0, 1, 2], [2, 2, 0]])}),
        (((3,), (3,)), {"indices": np.array([-1, 5, 2]), "mode": "wrap"}),
        (((3,), (3,)), {"indices": np.array([-1, 5, 1]), "mode": "clip"}),
        (((2, 3), (2, 3)), {"indices": 1}),
    ),
    joint=_choose_rule,
    variadic=True,
    expects="choices that broadcast with the indices, and indices that count them from 0",
    doc="""Take each element from the choice that its index names.""",
)


__all__ = [
    "choose_from",
    "delete_from",
    "diagflat",
    "diagonal",
    "insert_into",
    "numbered",
    "repeat",
    "resize",
    "sent_back",
    "sliding_windows",
    "trace",
]
