"""Primitives with several inputs or results: joining takes apart what cutting joins."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from tinygrad_course.ops.samples import listed, values
from tinygrad_course.ops.shaping import reshape
from tinygrad_course.primitive import Op, Sample, primitive


def _concatenate(
    *xs: Any, axis: int | None = 0, dtype: Any = None, casting: Any = "same_kind"
) -> Any:
    if dtype is None and casting == "same_kind":
        return np.concatenate(xs, axis=axis)
    return np.concatenate(xs, axis=axis, dtype=dtype, casting=casting)


def _concatenate_rule(
    g: Any,
    _ans: Any,
    *_xs: Any,
    axis: int | None = 0,
    dtype: Any = None,  # noqa: ARG001 - the engine brings a gradient to its input's dtype
    casting: Any = None,  # noqa: ARG001
    shapes: Any,
    wanted: Any,  # noqa: ARG001 - a piece is a view and costs nothing
) -> Any:
    sizes = [int(np.prod(s)) if axis is None else s[axis] for s in shapes]
    ends = tuple(int(e) for e in np.cumsum(sizes))
    parts = split_at(g, sections=ends[:-1], axis=axis or 0)
    if axis is not None:
        return list(parts)
    return [reshape(part, shape=shape) for part, shape in zip(parts, shapes, strict=True)]


concatenate_all: Op = primitive(
    "concatenate",
    _concatenate,
    listed(
        (((2,), (3,)), {"axis": 0}),
        (((2, 3), (2, 1), (2, 2)), {"axis": 1}),
        (((2, 3),), {"axis": -1}),
        (((0, 2), (3, 2)), {"axis": 0}),
        (((2, 1, 2), (2, 1, 2)), {"axis": -2}),
        (((2, 3), (), (2,)), {"axis": None}),
    ),
    joint=_concatenate_rule,
    variadic=True,
    expects="arrays whose sizes agree except along the axis",
    doc="""Join any number of arrays along an axis; each takes its slice of the gradient.""",
)


def _stack(*xs: Any, axis: int = 0, dtype: Any = None, casting: Any = "same_kind") -> Any:
    if dtype is None and casting == "same_kind":
        return np.stack(xs, axis=axis)
    return np.stack(xs, axis=axis, dtype=dtype, casting=casting)


def _stack_rule(
    g: Any,
    _ans: Any,
    *_xs: Any,
    axis: int = 0,
    dtype: Any = None,  # noqa: ARG001 - see _concatenate_rule
    casting: Any = None,  # noqa: ARG001
    wanted: Any,  # noqa: ARG001
) -> Any:
    return list(unstack(g, axis=axis))


stack_all: Op = primitive(
    "stack",
    _stack,
    listed(
        (((3,), (3,)), {"axis": 0}),
        (((2, 3), (2, 3), (2, 3)), {"axis": 1}),
        (((2, 3), (2, 3)), {"axis": -1}),
        (((), ()), {"axis": 0}),
        (((0, 2), (0, 2)), {"axis": 2}),
    ),
    joint=_stack_rule,
    variadic=True,
    expects="arrays of one shape",
    doc="""Join any number of arrays of one shape along a new axis.""",
)


def _split(x: Any, *, sections: tuple[int, ...], axis: int = 0) -> tuple[Any, ...]:
    return tuple(np.split(x, sections, axis=axis))


def _split_rule(
    g: Any,
    _ans: Any,
    _x: Any,
    *,
    sections: Any,
    axis: int = 0,
    shapes: Any,
    wanted: Any,  # noqa: ARG001 - there is one input
) -> Any:
    (shape,) = shapes
    ends = (0, *sections, shape[axis])
    parts = []
    like = next(part for part in g if part is not None)
    for part, (start, stop) in zip(g, pairwise(ends), strict=True):
        size = list(shape)
        size[axis] = stop - start
        parts.append(np.zeros(size, like.dtype) if part is None else part)
    return [concatenate_all(*parts, axis=axis)]


def _splits(rng: np.random.Generator) -> Iterator[Sample]:
    yield (values(rng, (5,), -2, 2),), {"sections": (2, 3), "axis": 0}
    yield (values(rng, (2, 4), -2, 2),), {"sections": (1,), "axis": 1}
    yield (values(rng, (2, 4), -2, 2),), {"sections": (2,), "axis": -1}
    yield (values(rng, (3, 2), -2, 2),), {"sections": (0, 0, 3)}
    yield (values(rng, (3,), -2, 2),), {"sections": ()}


split_at: Op = primitive(
    "split",
    _split,
    _splits,
    joint=_split_rule,
    outputs=-1,
    view=True,
    doc="""Cut along an axis before each of the ascending `sections`; returns a tuple.""",
)


def _unstack(x: Any, *, axis: int = 0) -> tuple[Any, ...]:
    if not np.ndim(x):
        raise ValueError("an array without axes cannot be taken apart")
    return tuple(np.moveaxis(x, axis, 0))


def _unstack_rule(
    g: Any,
    _ans: Any,
    _x: Any,
    *,
    axis: int = 0,
    wanted: Any,  # noqa: ARG001 - there is one input
) -> Any:
    like = next(part for part in g if part is not None)
    nothing = np.zeros(like.shape, like.dtype)
    return [stack_all(*(nothing if part is None else part for part in g), axis=axis)]


unstack: Op = primitive(
    "unstack",
    _unstack,
    listed(
        (((3,),), {}),
        (((2, 3),), {"axis": 1}),
        (((2, 3, 2),), {"axis": -2}),
        (((2, 0),), {"axis": 0}),
    ),
    joint=_unstack_rule,
    outputs=-1,
    view=True,
    expects="at least one axis",
    numpy=(np.unstack,) if hasattr(np, "unstack") else (),  # since NumPy 2.1
    doc="""Take an array apart along an axis; returns a tuple.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.unstack(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]))
        (Tensor([1., 2.]), Tensor([3., 4.]))
    """,
)


__all__ = [
    "concatenate_all",
    "split_at",
    "stack_all",
    "unstack",
]
