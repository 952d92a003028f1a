"""Fourier's transforms, as NumPy names and scales them.

A transform is a symmetric matrix: its derivative is the same transform of the gradient, cut or
filled with zeros to the input's length where the transform filled or cut. Where only half of a
spectrum is kept because the other half is its conjugate, the kept half counts twice, except for the
frequencies that have no partner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_course.ops.complexes import conjugate, real
from tinygrad_course.ops.joining import concatenate_all
from tinygrad_course.ops.samples import listed
from tinygrad_course.primitive import Op, Samples, primitive

_OTHER_WAY = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}
"""The scaling under which the inverse transform has the scale of this one."""


def _fitted(piece: Any, axis: int, length: int) -> Any:
    """Cut a piece along an axis, or fill it with zeros at the end."""
    have = piece.shape[axis]
    axis %= piece.ndim
    if have > length:
        return piece[(*[slice(None)] * axis, slice(length))]
    if have == length:
        return piece
    rest = (*piece.shape[:axis], length - have, *piece.shape[axis + 1 :])
    return concatenate_all(piece, np.zeros(rest, piece.dtype), axis=axis)


def _half_weights(g: Any, axis: int, n: int) -> Any:
    """Return how often each frequency of half a spectrum of n occurs in the whole one."""
    weights = np.full(n // 2 + 1, 2.0, g.dtype)
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    axis %= g.ndim
    return weights.reshape([-1 if i == axis else 1 for i in range(g.ndim)])


# What each transform along one axis makes of a gradient g. `n` is the transform's own length,
# `length` that of the input.


def _of_fft(g: Any, n: int, axis: int, norm: Any, length: int) -> Any:
    return _fitted(fft(g, n=n, axis=axis, norm=norm), axis, length)


def _of_ifft(g: Any, n: int, axis: int, norm: Any, length: int) -> Any:
    return _fitted(ifft(g, n=n, axis=axis, norm=norm), axis, length)


def _of_rfft(g: Any, n: int, axis: int, norm: Any, length: int) -> Any:
    return _fitted(real(fft(g, n=n, axis=axis, norm=norm)), axis, length)


def _of_irfft(g: Any, n: int, axis: int, norm: Any, length: int) -> Any:
    half = conjugate(rfft(g, n=n, axis=axis, norm=_OTHER_WAY[norm]))
    return _fitted(half * _half_weights(g, axis, n), axis, length)


def _of_hfft(g: Any, n: int, axis: int, norm: Any, length: int) -> Any:
    half = rfft(g, n=n, axis=axis, norm=norm)  # hfft is irfft of the conjugate, the other way
    return _fitted(half * _half_weights(g, axis, n), axis, length)


def _of_ihfft(g: Any, n: int, axis: int, norm: Any, length: int) -> Any:
    return _of_rfft(conjugate(g), n, axis, _OTHER_WAY[norm], length)


def _rule(pull: Callable[..., Any], natural: Callable[[int], int]) -> Callable[..., Any]:
    """Return the rule of a transform along one axis; `natural` is its length by default."""

    def rule(
        g: Any,
        _ans: Any,
        _x: Any,
        *,
        n: int | None = None,
        axis: int = -1,
        norm: Any = None,
        shapes: Any,
    ) -> Any:
        length = shapes[0][axis]
        return pull(g, natural(length) if n is None else int(n), axis, norm, length)

    return rule


def _whole(length: int) -> int:
    return length


def _doubled(length: int) -> int:
    return 2 * (length - 1)


_ALONG_ONE = listed(
    (((4,),), {}),
    (((5,),), {}),
    (((5,),), {"n": 5}),
    (((4,),), {"n": 7}),
    (((4,),), {"n": 6}),
    (((6,),), {"n": 4}),
    (((6,),), {"n": 3}),
    (((2,),), {"n": 1}),
    (((3, 2),), {"axis": 0}),
    (((2, 3, 2),), {"n": 4, "axis": 1, "norm": "ortho"}),
    (((2, 5),), {"axis": -1, "norm": "forward"}),
    (((2, 4),), {"n": 5, "norm": "backward"}),
    (((0, 3),), {"axis": 1}),
)


def _transform(theirs: Any, rule: Any, doc: str, *, real_input: bool = False) -> Op:
    def forward(a: Any, *, n: int | None = None, axis: int = -1, norm: Any = None) -> Any:
        return theirs(a, n, axis, norm)

    name = theirs.__name__
    return primitive(
        name,
        forward,
        _ALONG_ONE,
        rule,
        numpy=(theirs,),
        real=real_input,
        expects=f"at least one {'real ' if real_input else ''}number along the axis",
        doc=doc,
    )


fft: Op = _transform(
    np.fft.fft,
    _rule(_of_fft, _whole),
    """Transform to frequencies along an axis: ans[k] = sum of a[j] exp(-2πi jk/n).

    `n` cuts the input or fills it with zeros; `norm` is "backward", "ortho" or "forward".

    Example:
        >>> from tinygrad_course import fft
        >>> fft.fft([1.0, 0.0, 0.0, 0.0])
        array([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """,
)

ifft: Op = _transform(
    np.fft.ifft,
    _rule(_of_ifft, _whole),
    """Transform back from frequencies along an axis: ans[j] = sum of a[k] exp(2πi jk/n) / n.

    Example:
        >>> from tinygrad_course import fft
        >>> fft.ifft([4.0, 0.0, 0.0, 0.0])
        array([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """,
)

rfft: Op = _transform(
    np.fft.rfft,
    _rule(_of_rfft, _whole),
    """Transform real numbers along an axis; returns the half of the spectrum that is not redundant.

    Example:
        >>> from tinygrad_course import fft
        >>> fft.rfft([1.0, 0.0, 0.0, 0.0])
        array([1.+0.j, 1.+0.j, 1.+0.j])
    """,
    real_input=True,
)

irfft: Op = _transform(
    np.fft.irfft,
    _rule(_of_irfft, _doubled),
    """Transform half a spectrum back to n real numbers, by default an even count.

    The imaginary part of the first number, and of the last one for even n, is not read: its
    gradient is 0.

    Example:
        >>> from tinygrad_course import fft
        >>> fft.irfft([1.0, 1.0, 1.0])
        array([1., 0., 0., 0.])
    """,
)

hfft: Op = _transform(
    np.fft.hfft,
    _rule(_of_hfft, _doubled),
    """Transform half of a signal whose other half is its conjugate: the spectrum is real.

    Example:
        >>> from tinygrad_course import fft
        >>> fft.hfft([1.0, 1.0, 1.0])
        array([4., 0., 0., 0.])
    """,
)

ihfft: Op = _transform(
    np.fft.ihfft,
    _rule(_of_ihfft, _whole),
    """Transform a real spectrum back to half of a signal; the inverse of `hfft`.

    Example:
        >>> from tinygrad_course import fft
        >>> fft.ihfft([4.0, 0.0, 0.0, 0.0])
        array([1.-0.j, 1.-0.j, 1.-0.j])
    """,
    real_input=True,
)


# ---- several axes ----------------------------------------------------------------------------


class _Step(NamedTuple):
    """One of the transforms along one axis that make up a transform along several."""

    pull: Callable[..., Any]
    n: int
    axis: int
    length: int


def _lengths(shape: Sequence[int], s: Any, axes: Any, *, half: bool) -> list[tuple[int, int]]:
    """Return (axis, length of the transform) as NumPy reads `s` and `axes`."""
    if axes is None:
        axes = range(-len(shape if s is None else s), 0)
    axes = [int(axis) % len(shape) for axis in axes]
    if s is None:
        sizes = [shape[axis] for axis in axes]
        if half:
            sizes[-1] = 2 * (sizes[-1] - 1)
    else:
        sizes = [shape[a] if n == -1 else int(n) for a, n in zip(axes, s, strict=True)]
    return list(zip(axes, sizes, strict=True))


def _steps(
    kinds: tuple[Callable[..., Any], Callable[..., Any]], shape: Sequence[int], s: Any, axes: Any
) -> list[_Step]:
    """Return the transforms in the order in which NumPy does them."""
    usual, last = kinds
    pairs = _lengths(shape, s, axes, half=last is _of_irfft)
    kind = [usual] * (len(pairs) - 1) + [last]
    order = list(zip(kind, pairs, strict=True))
    if last is not _of_irfft:  # NumPy begins with the last axis, but half a spectrum comes last
        order.reverse()
    steps, sizes = [], list(shape)
    for pull, (axis, n) in order:
        steps.append(_Step(pull, n, axis, sizes[axis]))
        sizes[axis] = n // 2 + 1 if pull is _of_rfft else n
    return steps


def _rule_of_several(
    usual: Callable[..., Any], last: Callable[..., Any], default_axes: Any
) -> Callable[..., Any]:
    def rule(
        g: Any,
        _ans: Any,
        _x: Any,
        *,
        s: Any = None,
        axes: Any = default_axes,
        norm: Any = None,
        shapes: Any,
    ) -> Any:
        for step in reversed(_steps((usual, last), shapes[0], s, axes)):
            g = step.pull(g, step.n, step.axis, norm, step.length)
        return g

    return rule


_ALONG_TWO = listed(
    (((3, 4),), {}),
    (((4, 3),), {}),
    (((3, 4),), {"s": (4, 5)}),
    (((3, 4),), {"s": (2, 2)}),
    (((2, 3, 2),), {"axes": (0, 1)}),
    (((2, 3, 2),), {"s": (3, -1), "axes": (1, 2), "norm": "ortho"}),
    (((2, 5),), {"axes": (1, 0), "norm": "forward"}),
    (((0, 2, 3),), {}),
)
_ALONG_MANY = listed(
    (((4,),), {}),
    (((2, 3, 3),), {}),
    (((3, 2),), {"axes": (0,)}),
    (((2, 3, 2),), {"axes": (2, 0)}),
    (((2, 3, 2),), {"s": (3, 4), "axes": (0, 1)}),
    (((3, 4),), {"s": (2, 3), "axes": (-1, -2), "norm": "ortho"}),
    (((2, 3),), {"s": (-1, 4), "axes": (0, 1), "norm": "forward"}),
    (((3,),), {"axes": np.array([0])}),
)
_TWICE = (((3, 2),), {"axes": (0, 0, 1)})
"""NumPy transforms an axis that is named twice two times."""


def _transform_several(
    theirs: Any, pulls: tuple[Any, Any], doc: str, *, two: bool, real_input: bool = False
) -> Op:
    default = (-2, -1) if two else None

    def forward(a: Any, *, s: Any = None, axes: Any = default, norm: Any = None) -> Any:
        return theirs(a, s, axes, norm)

    def samples(rng: np.random.Generator) -> Any:
        yield from (_ALONG_TWO if two else _ALONG_MANY)(rng)
        if not two and pulls[1] in (_of_fft, _of_ifft):
            yield from listed(_TWICE)(rng)

    chosen: Samples = samples
    return primitive(
        theirs.__name__,
        forward,
        chosen,
        _rule_of_several(*pulls, default),
        numpy=(theirs,),
        real=real_input,
        expects="axes of the array, and one length for each of them",
        doc=doc,
    )


fftn: Op = _transform_several(
    np.fft.fftn,
    (_of_fft, _of_fft),
    """Transform to frequencies along all axes, or along `axes` with the lengths `s`.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import fft
        >>> fft.fftn(np.ones((2, 2))).real
        array([[4., 0.],
               [0., 0.]])
    """,
    two=False,
)

ifftn: Op = _transform_several(
    np.fft.ifftn,
    (_of_ifft, _of_ifft),
    """Transform back from frequencies along all axes, or along `axes` with the lengths `s`.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import fft
        >>> fft.ifftn(np.ones((2, 2))).real
        array([[1., 0.],
               [0., 0.]])
    """,
    two=False,
)

rfftn: Op = _transform_several(
    np.fft.rfftn,
    (_of_fft, _of_rfft),
    """Transform real numbers along several axes; of the last one, half the spectrum is returned.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import fft
        >>> fft.rfftn(np.ones((2, 4))).shape
        (2, 3)
    """,
    two=False,
    real_input=True,
)

irfftn: Op = _transform_several(
    np.fft.irfftn,
    (_of_ifft, _of_irfft),
    """Transform half a spectrum back to real numbers along several axes.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import fft
        >>> fft.irfftn(np.ones((2, 3))).shape
        (2, 4)
    """,
    two=False,
)

fft2: Op = _transform_several(
    np.fft.fft2,
    (_of_fft, _of_fft),
    """Transform to frequencies along the last two axes.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import fft
        >>> fft.fft2(np.ones((2, 2))).real
        array([[4., 0.],
               [0., 0.]])
    """,
    two=True,
)

ifft2: Op = _transform_several(
    np.fft.ifft2,
    (_of_ifft, _of_ifft),
    """Transform back from frequencies along the last two axes.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import fft
        >>> fft.ifft2(np.ones((2, 2))).real
        array([[1., 0.],
               [0., 0.]])
    """,
    two=True,
)

rfft2: Op = _transform_several(
    np.fft.rfft2,
    (_of_fft, _of_rfft),
    """Transform real numbers along the last two axes; of the last one, half is returned.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import fft
        >>> fft.rfft2(np.ones((2, 4))).shape
        (2, 3)
    """,
    two=True,
    real_input=True,
)

irfft2: Op = _transform_several(
    np.fft.irfft2,
    (_of_ifft, _of_irfft),
    """Transform half a spectrum back to real numbers along the last two axes.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import fft
        >>> fft.irfft2(np.ones((2, 3))).shape
        (2, 4)
    """,
    two=True,
)


# ---- order of frequencies --------------------------------------------------------------------

_SHIFTS = listed(
    (((4,),), {}),
    (((5,),), {}),
    (((3, 4),), {}),
    (((3, 4),), {"axes": 0}),
    (((3, 4),), {"axes": (0, -1)}),
    (((0, 3),), {"axes": 1}),
)

fftshift: Op = primitive(
    "fftshift",
    lambda x, *, axes=None: np.fft.fftshift(x, axes),
    _SHIFTS,
    lambda g, _ans, _x, *, axes=None: ifftshift(g, axes=axes),
    numpy=(np.fft.fftshift,),
    doc="""Move the frequency 0 from the beginning to the middle.

    Example:
        >>> from tinygrad_course import fft
        >>> fft.fftshift([0.0, 1.0, -2.0, -1.0])
        array([-2., -1.,  0.,  1.])
    """,
)

ifftshift: Op = primitive(
    "ifftshift",
    lambda x, *, axes=None: np.fft.ifftshift(x, axes),
    _SHIFTS,
    lambda g, _ans, _x, *, axes=None: fftshift(g, axes=axes),
    numpy=(np.fft.ifftshift,),
    doc="""Move the frequency 0 from the middle back to the beginning.

    Example:
        >>> from tinygrad_course import fft
        >>> fft.ifftshift([-2.0, -1.0, 0.0, 1.0])
        array([ 0.,  1., -2., -1.])
    """,
)


__all__ = [
    "fft",
    "fft2",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftn",
]
