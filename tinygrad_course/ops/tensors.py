"""Products of arrays of any rank: sums over chosen axes, Kronecker's product, the cross product."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_course.ops.indexing import scatter_add
from tinygrad_course.ops.joining import concatenate_all
from tinygrad_course.ops.samples import listed
from tinygrad_course.ops.shaping import broadcast_to, moveaxis, reshape, transpose_axes
from tinygrad_course.primitive import Op, primitive


def returned(piece: Any, axis: int, rank: int) -> Any:
    """Move the last axis of a broadcast piece to where an input of `rank` axes has it."""
    if axis == -1:
        return piece
    return moveaxis(piece, source=-1, destination=axis % rank + piece.ndim - rank)


def _contracted(axes: Any, rank_a: int, rank_b: int) -> tuple[list[int], list[int]]:
    """Return the axes over which tensordot sums, counted from 0."""
    if np.ndim(axes) == 0:
        count = int(axes)
        return list(range(rank_a - count, rank_a)), list(range(count))
    first, second = axes
    return (
        [int(axis) % rank_a for axis in np.ravel(first)],
        [int(axis) % rank_b for axis in np.ravel(second)],
    )


def _free(axes: list[int], rank: int) -> list[int]:
    return [axis for axis in range(rank) if axis not in axes]


def _placed(piece: Any, places: list[int]) -> Any:
    """Give axis i of `piece` the place ``places[i]``."""
    if places == sorted(places):
        return piece
    return transpose_axes(piece, axes=tuple(places.index(i) for i in range(len(places))))


def _tensordot_left(g: Any, _ans: Any, a: Any, b: Any, *, axes: Any = 2) -> Any:
    rank = np.ndim(a)
    of_a, of_b = _contracted(axes, rank, np.ndim(b))
    rest, kept = _free(of_a, rank), _free(of_b, np.ndim(b))
    piece = tensordot(g, b, axes=(tuple(range(len(rest), np.ndim(g))), tuple(kept)))
    return _placed(piece, rest + [of_a[of_b.index(axis)] for axis in sorted(of_b)])


def _tensordot_right(g: Any, _ans: Any, a: Any, b: Any, *, axes: Any = 2) -> Any:
    rank = np.ndim(b)
    of_a, of_b = _contracted(axes, np.ndim(a), rank)
    rest, kept = _free(of_b, rank), _free(of_a, np.ndim(a))
    piece = tensordot(a, g, axes=(tuple(kept), tuple(range(len(kept)))))
    return _placed(piece, [of_b[of_a.index(axis)] for axis in sorted(of_a)] + rest)


tensordot: Op = primitive(
    "tensordot",
    lambda a, b, *, axes=2: np.tensordot(a, b, axes),
    listed(
        (((2, 3, 4), (3, 4, 2)), {}),
        (((2, 3), (3, 2)), {"axes": 1}),
        (((2,), (3,)), {"axes": 0}),
        (((2, 3, 4), (4, 3, 2)), {"axes": ((1, 2), (1, 0))}),
        (((2, 3, 4), (4, 3, 2)), {"axes": ((2, 0), (0, 2))}),
        (((3, 2), (2, 3)), {"axes": ((-2, -1), (-1, -2))}),
        (((3, 2), (2, 4)), {"axes": (1, 0)}),
        (((2, 3, 2), (2, 3, 2)), {"axes": np.array([[2, 0], [0, 2]])}),
        (((), (2, 3)), {"axes": 0}),
        (((), ()), {"axes": 0}),
        (((0, 3), (3, 2)), {"axes": 1}),
        (((2, 0), (0, 2)), {"axes": 1}),
    ),
    _tensordot_left,
    _tensordot_right,
    numpy=(np.tensordot,),
    expects="as many axes of the first as of the second, of equal lengths",
    doc="""Sum the products over pairs of axes: the last `axes` of a with the first of b, or lists.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.tensordot(np.ones((2, 3)), np.ones((4, 3)), axes=([1], [1])).shape
        (2, 4)
    """,
)


def einsum_terms(subscripts: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Spell out NumPy's subscripts: one label per axis of each operand, and of the result.

    An ellipsis becomes labels that are not in use, aligned to the right as in broadcasting. An
    output that is left out is what NumPy makes it: the ellipsis, then every label that occurs once
    in alphabetical order.
    """
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    widths = [
        rank - len(term) + 3 if "..." in term else 0
        for term, rank in zip(terms, ranks, strict=True)
    ]
    spare = "".join(c for c in string.ascii_letters if c not in text)[: max(widths, default=0)]
    if not arrow:
        output = "..." + "".join(
            sorted(c for c in set(inputs) if c.isalpha() and inputs.count(c) == 1)
        )
    spelled = [
        term.replace("...", spare[len(spare) - width :])
        for term, width in zip(terms, widths, strict=True)
    ]
    return spelled, output.replace("...", spare)


def _einsum_pull(
    g: Any, output: str, terms: list[str], xs: tuple[Any, ...], k: int, optimize: Any
) -> Any:
    """Return the gradient of operand k: the contraction of g with the other operands."""
    term, shape = terms[k], np.shape(xs[k])
    sizes: dict[str, int] = {}
    for labels, x in zip(terms, xs, strict=True):
        for label, size in zip(labels, np.shape(x), strict=True):
            sizes[label] = max(size, sizes.get(label, 0)) if size else 0
    own = dict(zip(term, shape, strict=True))
    others = [(labels, x) for i, (labels, x) in enumerate(zip(terms, xs, strict=True)) if i != k]
    elsewhere = output + "".join(labels for labels, _ in others)
    # Without the labels that broadcasting stretched, and those that only this operand has.
    found = "".join(c for c in own if own[c] == sizes[c] and c in elsewhere)
    subscripts = ",".join([output, *(labels for labels, _ in others)]) + "->" + found
    piece = einsum_all(g, *(x for _, x in others), subscripts=subscripts, optimize=optimize)
    have = dict(zip(found, np.shape(piece), strict=True))
    piece = reshape(piece, shape=tuple(have.get(c, 1) for c in own))
    piece = broadcast_to(piece, shape=tuple(own.values()))
    if len(own) == len(term):
        return piece
    # A repeated label reads a diagonal: the gradient goes there, and the rest stays 0.
    rank = len(own)
    steps = {
        c: np.arange(n).reshape([-1 if i == j else 1 for j in range(rank)])
        for i, (c, n) in enumerate(own.items())
    }
    return scatter_add(piece, key=tuple(steps[c] for c in term), shape=shape)


def _einsum_rule(
    g: Any, _ans: Any, *xs: Any, wanted: Any, subscripts: str, optimize: Any = False
) -> Any:
    terms, output = einsum_terms(subscripts, [np.ndim(x) for x in xs])
    if not isinstance(optimize, bool | str):
        optimize = True  # the path that the caller gave is one for the forward contraction
    return [
        _einsum_pull(g, output, terms, xs, k, optimize) if want else None
        for k, want in enumerate(wanted)
    ]


einsum_all: Op = primitive(
    "einsum",
    lambda *xs, subscripts, optimize=False: np.einsum(subscripts, *xs, optimize=optimize),
    listed(
        (((2, 3), (3, 4)), {"subscripts": "ij,jk->ik"}),
        (((2, 3), (3, 4)), {"subscripts": "ij,jk"}),
        (((3, 2), (3, 4)), {"subscripts": "ba,bc->ca"}),
        (((3,), (3,)), {"subscripts": "i,i"}),
        (((3,), (2,)), {"subscripts": "i,j->ji"}),
        (((2, 3),), {"subscripts": "ij->ji"}),
        (((2, 3),), {"subscripts": "ij->i"}),
        (((2, 3),), {"subscripts": "ij->"}),
        (((3, 3),), {"subscripts": "ii->i"}),
        (((3, 3),), {"subscripts": "ii"}),
        (((2, 3, 2),), {"subscripts": "iji->j"}),
        (((2, 2, 2),), {"subscripts": "iii->i"}),
        (((3, 3), (3,)), {"subscripts": "ii,i->i"}),
        (((2, 3), (2, 3), (2, 3)), {"subscripts": "ij,ij,ij->i"}),
        (((2, 3), (3, 4), (4, 2)), {"subscripts": "ij,jk,kl->il", "optimize": True}),
        (((2, 3), (3, 4), (4, 2)), {"subscripts": "ij,jk,ki", "optimize": "greedy"}),
        (
            ((2, 3), (3, 4), (4, 2)),
            {"subscripts": "ij,jk,kl->il", "optimize": ("einsum_path", (0, 1), (0, 1))},
        ),
        (((4, 2, 3), (4, 3, 2)), {"subscripts": "...ij,...jk->...ik"}),
        (((4, 2, 3), (3,)), {"subscripts": "...j,...j->..."}),
        (((4, 2, 3), (2, 1)), {"subscripts": "...,..."}),
        (((2, 3, 3),), {"subscripts": "...ii->..."}),
        (((2, 1), (2, 3)), {"subscripts": "ij,ij->ij"}),
        (((2, 1), (2, 3)), {"subscripts": "ij,ij->i"}),
        (((2, 1), (1, 3)), {"subscripts": "ij,ij->"}),
        (((1, 3), (2, 3)), {"subscripts": "ij,kj->k"}),
        (((2, 3), (4,)), {"subscripts": "ij,k->ik"}),
        (((), (3,)), {"subscripts": ",i->i"}),
        (((2, 0), (0, 3)), {"subscripts": "ij,jk->ik"}),
        (((0, 2),), {"subscripts": "ij->j"}),
        (((2, 3, 4), (3, 2)), {"subscripts": "abc, ba -> c"}),
    ),
    joint=_einsum_rule,
    variadic=True,
    view=True,
    expects="one term of subscripts for each operand, and equal sizes for equal labels",
    doc="""Sum products over labelled axes; the derivative is another einsum.""",
)


def _interleaved(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    return tuple(n for pair in zip(first, second, strict=True) for n in pair)


def _kron_rule(g: Any, a: Any, b: Any, *, left: bool) -> Any:
    """Read g as one small copy of b per element of a, and sum the products over one of them."""
    rank = max(np.ndim(a), np.ndim(b))
    of_a, of_b = ((1,) * (rank - len(shape)) + shape for shape in (np.shape(a), np.shape(b)))
    ones, cells = (1,) * rank, reshape(g, shape=_interleaved(of_a, of_b))
    if left:
        products = cells * reshape(b, shape=_interleaved(ones, of_b))
        return reshape(products.sum(axis=tuple(range(1, 2 * rank, 2))), shape=np.shape(a))
    products = cells * reshape(a, shape=_interleaved(of_a, ones))
    return reshape(products.sum(axis=tuple(range(0, 2 * rank, 2))), shape=np.shape(b))


kron: Op = primitive(
    "kron",
    lambda a, b: np.kron(a, b),  # noqa: PLW0108 - so that its two arguments are seen
    listed(
        (((2, 3), (3, 2)), {}),
        (((2,), (3,)), {}),
        (((), (2, 2)), {}),
        (((2,), ()), {}),
        (((2,), (2, 3)), {}),
        (((2, 1, 2), (2,)), {}),
        (((0, 2), (2, 2)), {}),
    ),
    lambda g, _ans, a, b: _kron_rule(g, a, b, left=True),
    lambda g, _ans, a, b: _kron_rule(g, a, b, left=False),
    numpy=(np.kron,),
    doc="""Put a copy of b, times each element of a, in that element's place: Kronecker's product.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.kron(tc.Tensor([1.0, 10.0]), [1.0, 2.0])
        Tensor([ 1.,  2., 10., 20.])
    """,
)


def _spatial(v: Any, axis: int) -> Any:
    """Return vectors along the last axis, with a third component of 0 if they have two."""
    if axis != -1:
        v = moveaxis(v, source=axis, destination=-1)
    if v.shape[-1] == 3:
        return v
    return concatenate_all(v, np.zeros((*v.shape[:-1], 3 - v.shape[-1]), v.dtype), axis=-1)


def _cross_rule(g: Any, a: Any, b: Any, axes: tuple[int, int, int], *, left: bool) -> Any:
    """Return b × g for the first factor, g × a for the second."""
    axis_a, axis_b, axis_c = axes
    if a.shape[axis_a] == b.shape[axis_b] == 2:  # the result is the third component alone
        g = concatenate_all(np.zeros((*g.shape, 2), g.dtype), g[..., None], axis=-1)
        axis_c = -1
    g = _spatial(g, axis_c)
    axis, x = (axis_a, a) if left else (axis_b, b)
    piece = cross(_spatial(b, axis_b), g) if left else cross(g, _spatial(a, axis_a))
    return returned(piece[..., : x.shape[axis]], axis, x.ndim)


def _cross_axes(axisa: int, axisb: int, axisc: int, axis: int | None) -> tuple[int, int, int]:
    return (axisa, axisb, axisc) if axis is None else (axis, axis, axis)


cross: Op = primitive(
    "cross",
    lambda a, b, *, axisa=-1, axisb=-1, axisc=-1, axis=None: np.cross(
        a, b, axisa, axisb, axisc, axis
    ),
    listed(
        (((3,), (3,)), {}),
        (((2, 3), (3,)), {}),
        (((3,), (2, 3)), {}),
        (((2, 1, 3), (4, 3)), {}),
        (((3, 2), (3, 2)), {"axis": 0}),
        (((3, 2), (2, 3)), {"axisa": 0}),
        (((3, 2), (2, 3)), {"axisa": 0, "axisb": 1, "axisc": 0}),
        (((3, 4), (2, 4, 3)), {"axisa": 0, "axisc": 1}),
        (((0, 3), (3,)), {}),
    ),
    lambda g, _ans, a, b, *, axisa=-1, axisb=-1, axisc=-1, axis=None: _cross_rule(
        g, a, b, _cross_axes(axisa, axisb, axisc, axis), left=True
    ),
    lambda g, _ans, a, b, *, axisa=-1, axisb=-1, axisc=-1, axis=None: _cross_rule(
        g, a, b, _cross_axes(axisa, axisb, axisc, axis), left=False
    ),
    numpy=(np.cross,),
    expects="vectors of three components along the axis",
    doc="""Multiply vectors of three components crosswise: da = b × g, db = g × a.

    Vectors of two components have a third one of 0; NumPy discourages them.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.cross(tc.Tensor([1.0, 0.0, 0.0]), [0.0, 1.0, 0.0])
        Tensor([0., 0., 1.])
    """,
)


__all__ = [
    "cross",
    "einsum_all",
    "einsum_terms",
    "kron",
    "returned",
    "tensordot",
]
