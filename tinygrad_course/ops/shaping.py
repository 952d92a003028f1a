"""Primitives that rearrange all elements: each one's derivative puts them back in one step."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course.ops.samples import listed
from tinygrad_course.primitive import Op, primitive


def _reshape(x: Any, *, shape: Any, order: Any = "C", copy: bool | None = None) -> Any:
    if copy is None:
        return np.reshape(x, shape, order)
    return np.reshape(x, shape, order, copy=copy)


reshape: Op = primitive(
    "reshape",
    _reshape,
    listed(
        (((6,),), {"shape": (2, 3)}),
        (((2, 3),), {"shape": (-1,)}),
        (((2, 3, 2),), {"shape": (3, -1)}),
        (((2, 3, 2),), {"shape": (4, 3), "order": "F"}),
        (((2, 3),), {"shape": (3, 2), "order": "C", "copy": True}),
        (((),), {"shape": (1, 1)}),
        (((1,),), {"shape": ()}),
        (((0, 3),), {"shape": (3, 0)}),
    ),
    lambda g, _ans, _x, *, shape, shapes, order="C", copy=None: reshape(  # noqa: ARG005
        g, shape=shapes[0], order=order
    ),
    view=True,
    doc="""Give the elements another shape; one size may be -1.

    `order` says in which order the elements are read and placed: "C" (the last axis runs fastest)
    or "F" (the first one does).

    Example:
        >>> from tinygrad_course.ops import reshape
        >>> reshape([1, 2, 3, 4], shape=(2, 2), order="F")
        array([[1, 3],
               [2, 4]])
    """,
)


# ---- axes ----------------------------------------------------------------------------------


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
    lambda g, _ans, _x, *, axes=None: transpose_axes(g, axes=_inverse(axes)),
    view=True,
    expects="each axis named once",
    doc="""Permute the axes; None reverses them.""",
)

swapaxes: Op = primitive(
    "swapaxes",
    lambda x, *, axis1, axis2: np.swapaxes(x, axis1, axis2),
    listed(
        (((2, 3),), {"axis1": 0, "axis2": 1}),
        (((2, 3, 4),), {"axis1": -1, "axis2": 0}),
        (((2, 3),), {"axis1": 1, "axis2": 1}),
        (((0, 3, 2),), {"axis1": 0, "axis2": 2}),
    ),
    lambda g, _ans, _x, *, axis1, axis2: swapaxes(g, axis1=axis1, axis2=axis2),
    view=True,
    numpy=(np.swapaxes,),
    doc="""Exchange two axes.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.swapaxes(tc.Tensor([[[1.0, 2.0]]]), 0, 2).shape
        (2, 1, 1)
    """,
)

moveaxis: Op = primitive(
    "moveaxis",
    lambda x, *, source, destination: np.moveaxis(x, source, destination),
    listed(
        (((2, 3, 4),), {"source": 0, "destination": -1}),
        (((2, 3, 4),), {"source": (0, 1), "destination": (2, 0)}),
        (((2, 3, 4, 5),), {"source": (-1, 0), "destination": (0, 1)}),
        (((2, 0),), {"source": 1, "destination": 0}),
        (((3,),), {"source": 0, "destination": 0}),
    ),
    lambda g, _ans, _x, *, source, destination: moveaxis(g, source=destination, destination=source),
    view=True,
    numpy=(np.moveaxis,),
    doc="""Move axes to new places; the others keep their order.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.moveaxis(tc.Tensor([[[1.0, 2.0]]]), -1, 0).shape
        (2, 1, 1)
    """,
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


# ---- order ---------------------------------------------------------------------------------

flip: Op = primitive(
    "flip",
    lambda x, *, axis=None: np.flip(x, axis),
    listed(
        (((4,),), {}),
        (((2, 3),), {"axis": None}),
        (((2, 3),), {"axis": -1}),
        (((2, 3, 2),), {"axis": (0, 2)}),
        (((2, 3),), {"axis": ()}),
        (((),), {}),
        (((0, 3),), {"axis": 0}),
    ),
    lambda g, _ans, _x, *, axis=None: flip(g, axis=axis),
    view=True,
    numpy=(np.flip,),
    doc="""Reverse the order of the elements along `axis`, or along all axes.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.flip(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)
        Tensor([[2., 1.],
                [4., 3.]])
    """,
)

rot90: Op = primitive(
    "rot90",
    lambda x, *, k=1, axes=(0, 1): np.rot90(x, k, axes),
    listed(
        (((2, 3),), {}),
        (((2, 3),), {"k": 2}),
        (((2, 3),), {"k": -1, "axes": (1, 0)}),
        (((2, 3, 4),), {"k": 3, "axes": (2, 1)}),
        (((2, 3),), {"k": 4}),
        (((0, 3),), {"k": 1}),
    ),
    lambda g, _ans, _x, *, k=1, axes=(0, 1): rot90(g, k=-k, axes=axes),
    view=True,
    numpy=(np.rot90,),
    doc="""Rotate by k quarter turns in the plane of two axes, from the first towards the second.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.rot90(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]))
        Tensor([[2., 4.],
                [1., 3.]])
    """,
)

roll: Op = primitive(
    "roll",
    lambda x, *, shift, axis=None: np.roll(x, shift, axis),
    listed(
        (((5,),), {"shift": 2}),
        (((2, 3),), {"shift": -1}),
        (((2, 3),), {"shift": 4, "axis": 1}),
        (((2, 3),), {"shift": (1, -1), "axis": (0, 1)}),
        (((2, 3),), {"shift": 1, "axis": (-1, -1)}),
        (((2, 3),), {"shift": np.array([1, 2])}),
        (((),), {"shift": 1}),
        (((0, 3),), {"shift": 1, "axis": 0}),
    ),
    lambda g, _ans, _x, *, shift, axis=None: roll(g, shift=np.negative(shift), axis=axis),
    numpy=(np.roll,),
    expects="as many shifts as axes",
    doc="""Shift the elements along `axis`; those that leave at one end come back at the other.

    Without an axis the array is rolled as if it were flat.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.roll(tc.Tensor([1.0, 2.0, 3.0]), 1)
        Tensor([3., 1., 2.])
    """,
)


# ---- triangles and tiles -------------------------------------------------------------------

_TRIANGLES = listed(
    (((3, 3),), {}),
    (((2, 4),), {"k": 1}),
    (((4, 2),), {"k": -1}),
    (((2, 3, 3),), {"k": 0}),
    (((2, 3),), {"k": 9}),
    (((0, 3),), {}),
)

tril: Op = primitive(
    "tril",
    lambda x, *, k=0: np.tril(x, k),
    _TRIANGLES,
    lambda g, _ans, _x, *, k=0: tril(g, k=k),
    numpy=(np.tril,),
    doc="""Keep the elements of each matrix on and below diagonal `k`, and set the others to 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.tril(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]))
        Tensor([[1., 0.],
                [3., 4.]])
    """,
)

triu: Op = primitive(
    "triu",
    lambda x, *, k=0: np.triu(x, k),
    _TRIANGLES,
    lambda g, _ans, _x, *, k=0: triu(g, k=k),
    numpy=(np.triu,),
    doc="""Keep the elements of each matrix on and above diagonal `k`, and set the others to 0.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.triu(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]), 1)
        Tensor([[0., 2.],
                [0., 0.]])
    """,
)


def _tile_rule(g: Any, _ans: Any, _x: Any, *, reps: Any, shapes: Any) -> Any:
    (shape,) = shapes
    times = [int(n) for n in np.ravel(reps)]
    rank = max(len(times), len(shape))
    times = [1] * (rank - len(times)) + times
    sizes = [1] * (rank - len(shape)) + list(shape)
    # Axis i of the result runs through the copies first, then through the elements of one copy.
    both = tuple(n for pair in zip(times, sizes, strict=True) for n in pair)
    return reshape(reshape(g, shape=both).sum(axis=tuple(range(0, 2 * rank, 2))), shape=shape)


tile: Op = primitive(
    "tile",
    lambda x, *, reps: np.tile(x, reps),
    listed(
        (((3,),), {"reps": 2}),
        (((2, 3),), {"reps": (2, 1)}),
        (((2, 3),), {"reps": 3}),
        (((3,),), {"reps": (2, 2)}),
        (((2, 1, 2),), {"reps": (2, 3)}),
        (((),), {"reps": (2, 2)}),
        (((2,),), {"reps": ()}),
        (((2,),), {"reps": 0}),
        (((0, 2),), {"reps": (2, 1)}),
    ),
    _tile_rule,
    numpy=(np.tile,),
    doc="""Put copies of the array side by side, `reps` along each axis; the gradients add up.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.tile(tc.Tensor([1.0, 2.0]), (2, 2))
        Tensor([[1., 2., 1., 2.],
                [1., 2., 1., 2.]])
    """,
)


__all__ = [
    "broadcast_to",
    "flip",
    "moveaxis",
    "reshape",
    "roll",
    "rot90",
    "swapaxes",
    "tile",
    "transpose_axes",
    "tril",
    "triu",
]
