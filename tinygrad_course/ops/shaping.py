"""Primitives that move elements about: each one's derivative moves them back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from tinygrad_course.ops.samples import listed, values
from tinygrad_course.primitive import Op, Sample, primitive

reshape: Op = primitive(
    "reshape",
    lambda x, *, shape: np.reshape(x, shape),
    listed(
        (((6,),), {"shape": (2, 3)}),
        (((2, 3),), {"shape": (-1,)}),
        (((2, 3, 2),), {"shape": (3, -1)}),
        (((),), {"shape": (1, 1)}),
        (((1,),), {"shape": ()}),
        (((0, 3),), {"shape": (3, 0)}),
    ),
    lambda g, _ans, _x, *, shape, shapes: reshape(g, shape=shapes[0]),  # noqa: ARG005
    view=True,
    doc="""Give the elements, in C order, another shape; one size may be -1.""",
)


def _inverse(axes: tuple[int, ...] | None) -> tuple[int, ...] | None:
    return (
        None if axes is None else tuple(int(i) for i in np.argsort([a % len(axes) for a in axes]))
    )


transpose_axes: Op = primitive(
    "transpose",
    lambda x, *, axes=None: np.transpose(x, axes),
    listed(
        (((2, 3),), {"axes": None}),
        (((2, 3, 4),), {"axes": (2, 0, 1)}),
        (((2, 3, 4),), {"axes": (-1, 0, 1)}),
        (((3,),), {"axes": None}),
        (((),), {"axes": ()}),
    ),
    lambda g, _ans, _x, *, axes: transpose_axes(g, axes=_inverse(axes)),
    view=True,
    doc="""Permute the axes; None reverses them.""",
)

broadcast_to: Op = primitive(
    "broadcast_to",
    lambda x, *, shape: np.broadcast_to(x, shape),
    listed(
        (((3,),), {"shape": (2, 3)}),
        (((2, 1),), {"shape": (2, 3)}),
        (((),), {"shape": (2, 2)}),
        (((1, 3),), {"shape": (0, 3)}),
        (((2, 3),), {"shape": (2, 3)}),
    ),
    lambda g, _ans, _x, *, shape: g,  # noqa: ARG005 - the engine sums over the new axes
    view=True,
    doc="""Repeat along new axes and axes of size 1 without copying.""",
)


# ---- several inputs, several results -------------------------------------------------------


def _concatenate(*xs: Any, axis: int = 0) -> Any:
    return np.concatenate(xs, axis=axis)


def _pieces(g: Any, shapes: Any, axis: int) -> list[Any]:
    ends = np.cumsum([shape[axis] for shape in shapes])
    return list(split_at(g, sections=tuple(int(e) for e in ends[:-1]), axis=axis))


def _concatenate_rule(g: Any, _ans: Any, *_xs: Any, axis: int = 0, shapes: Any, wanted: Any) -> Any:  # noqa: ARG001
    return _pieces(g, shapes, axis)


concatenate_all: Op = primitive(
    "concatenate",
    _concatenate,
    listed(
        (((2,), (3,)), {"axis": 0}),
        (((2, 3), (2, 1), (2, 2)), {"axis": 1}),
        (((2, 3),), {"axis": -1}),
        (((0, 2), (3, 2)), {"axis": 0}),
        (((2, 1, 2), (2, 1, 2)), {"axis": -2}),
    ),
    joint=_concatenate_rule,
    variadic=True,
    expects="arrays whose sizes agree except along the axis",
    doc="""Join any number of arrays along an axis; each takes its slice of the gradient.""",
)


def _stack(*xs: Any, axis: int = 0) -> Any:
    return np.stack(xs, axis=axis)


def _stack_rule(g: Any, _ans: Any, *_xs: Any, axis: int = 0, shapes: Any, wanted: Any) -> Any:  # noqa: ARG001
    parts = split_at(g, sections=tuple(range(1, len(shapes))), axis=axis)
    return [reshape(part, shape=shape) for part, shape in zip(parts, shapes, strict=True)]


stack_all: Op = primitive(
    "stack",
    _stack,
    listed(
        (((3,), (3,)), {"axis": 0}),
        (((2, 3), (2, 3), (2, 3)), {"axis": 1}),
        (((2, 3), (2, 3)), {"axis": -1}),
        (((), ()), {"axis": 0}),
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
    axis: int,
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


split_at: Op = primitive(
    "split",
    _split,
    _splits,
    joint=_split_rule,
    outputs=-1,
    view=True,
    doc="""Cut along an axis before each of the ascending `sections`; returns a tuple.""",
)


__all__ = [
    "broadcast_to",
    "concatenate_all",
    "reshape",
    "split_at",
    "stack_all",
    "transpose_axes",
]
