"""Primitives that fill an axis between, or with the powers of, what they are given."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_course.ops.samples import listed, values
from tinygrad_course.ops.shaping import moveaxis
from tinygrad_course.primitive import Op, Samples, primitive


def _along_axis(g: Any, axis: int, num: int, endpoint: bool, *, of_stop: bool) -> Any:
    """Sum g over the new axis, each place with its share of the stop or of the start."""
    share = np.arange(num) / max(num - 1 if endpoint else num, 1)
    weights = share if of_stop else 1 - share
    # A float64 array would turn a float32 gradient into float64.
    kind = g.real.dtype if g.dtype.kind == "c" else g.dtype
    return moveaxis(g, source=axis, destination=-1) @ weights.astype(kind)


def _ends(low: float, high: float) -> Samples:
    def samples(rng: np.random.Generator) -> Any:
        shapes: list[tuple[Any, Any, dict[str, Any]]] = [
            ((), (), {"num": 5}),
            ((), (), {"num": 4, "endpoint": False}),
            ((2,), (), {"num": 3}),
            ((2, 1), (3,), {"num": 3, "axis": -1}),
            ((2,), (2,), {"num": 3, "axis": 1, "endpoint": False}),
            ((2,), (), {"num": 1}),
            ((2,), (), {"num": 0}),
        ]
        for first, second, params in shapes:
            yield (values(rng, first, low, high), values(rng, second, low, high)), params

    return samples


linspace_between: Op = primitive(
    "linspace",
    lambda start, stop, *, num=50, endpoint=True, dtype=None, axis=0: np.linspace(
        start, stop, num, endpoint, dtype=dtype, axis=axis
    ),
    _ends(-2.0, 2.0),
    lambda g, _ans, _start, _stop, *, num=50, endpoint=True, dtype=None, axis=0: _along_axis(  # noqa: ARG005
        g, axis, num, endpoint, of_stop=False
    ),
    lambda g, _ans, _start, _stop, *, num=50, endpoint=True, dtype=None, axis=0: _along_axis(  # noqa: ARG005
        g, axis, num, endpoint, of_stop=True
    ),
    expects="ends that broadcast",
    doc="""Space numbers evenly: start + share · (stop - start), share from 0 to 1.""",
)


def _geomspace(
    start: Any, stop: Any, *, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    # np.geomspace makes float64 of float32; functions.geomspace asks for that itself.
    kind = np.result_type(start, stop, 1.0) if dtype is None else dtype
    return np.geomspace(start, stop, num, endpoint, dtype=kind, axis=axis)


geomspace_between: Op = primitive(
    "geomspace",
    _geomspace,
    _ends(0.5, 4.0),
    lambda g, ans, start, _stop, *, num=50, endpoint=True, dtype=None, axis=0: (  # noqa: ARG005
        _along_axis(g * ans, axis, num, endpoint, of_stop=False) / start
    ),
    lambda g, ans, _start, stop, *, num=50, endpoint=True, dtype=None, axis=0: (  # noqa: ARG005
        _along_axis(g * ans, axis, num, endpoint, of_stop=True) / stop
    ),
    expects="ends that broadcast, have one sign and are not 0",
    doc="""Space numbers by equal factors: start^(1 - share) · stop^share, share from 0 to 1.""",
)


def _powers(x: Any, *, N: int, increasing: bool = False) -> Any:
    # np.vander makes float64 of float32; functions.vander asks for that conversion itself.
    return np.vander(x, N, increasing).astype(x.dtype, copy=False)


def _powers_rule(g: Any, ans: Any, _x: Any, *, N: int, increasing: bool = False) -> Any:
    kind = g.real.dtype if g.dtype.kind == "c" else g.dtype
    degrees = np.arange(1, N, dtype=kind)
    if increasing:
        return (g[:, 1:] * ans[:, :-1] * degrees).sum(axis=1)
    return (g[:, :-1] * ans[:, 1:] * degrees[::-1]).sum(axis=1)


vander_matrix: Op = primitive(
    "vander",
    _powers,
    listed(
        (((3,),), {"N": 4}),
        (((3,),), {"N": 3, "increasing": True}),
        (((2,),), {"N": 1}),
        (((2,),), {"N": 0}),
        (((0,),), {"N": 3}),
    ),
    _powers_rule,
    expects="a vector",
    doc="""Return the matrix whose columns are powers of a vector, the constants last or first.""",
)


__all__ = [
    "geomspace_between",
    "linspace_between",
    "vander_matrix",
]
