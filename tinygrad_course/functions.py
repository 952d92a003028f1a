"""NumPy's functions with NumPy's signatures, over the primitives.

Arrays give arrays, Tensors give recorded Tensors. Words are NumPy's (`axis`, `keepdims`);
``tinygrad_course.nn.functional`` speaks PyTorch's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np

from tinygrad_course import ops
from tinygrad_course.errors import ArgumentError, ShapeError, UnsupportedFunctionError
from tinygrad_course.graph import Value
from tinygrad_course.primitive import NUMPY_FUNCTIONS

F = TypeVar("F", bound=Callable[..., Any])

_NUMPY_WORDS = {"dim": "axis", "keepdim": "keepdims", "input": "x", "unbiased": "ddof"}


def speaks(language: str, words: dict[str, str]) -> Callable[[F], F]:
    """Refuse the other language's words for an argument, and say the right one.

    `words` maps the word that somebody may bring along to the one that belongs here.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def speak(*args: Any, **kwargs: Any) -> Any:
            for word in kwargs.keys() & words:
                name = function.__qualname__.removesuffix(".__init__")
                raise UnsupportedFunctionError(
                    f"{name}: unknown argument {word!r}; this function speaks {language}, where it "
                    f"is {words[word]!r}"
                )
            return function(*args, **kwargs)

        return cast("F", speak)

    return decorate


def implements(*numpy_functions: Callable[..., Any]) -> Callable[[F], F]:
    """Register a function as what `numpy_functions` do to Tensors, and explain PyTorch's words."""

    def decorate(function: F) -> F:
        speaker = speaks("NumPy", _NUMPY_WORDS)(function)
        for numpy_function in numpy_functions:
            NUMPY_FUNCTIONS[numpy_function] = speaker
        return speaker

    return decorate


Axis = int | tuple[int, ...] | None


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


# ---- reductions -----------------------------------------------------------------------------


@implements(np.sum)
def sum(x: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Any:  # noqa: A001 - NumPy's name
    """Sum over `axis` (all axes by default).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.sum(tc.Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
        Tensor([4., 6.])
    """
    if dtype is not None:
        x = ops.astype(x, dtype=np.dtype(dtype))
    return ops.reduce_sum(x, axis=_axes(axis), keepdims=keepdims)


@implements(np.mean)
def mean(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Average over `axis`; every element's derivative is 1/n.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.mean(tc.Tensor([1.0, 2.0, 6.0]))
        Tensor(3.)
    """
    return ops.reduce_mean(x, axis=_axes(axis), keepdims=keepdims)


@implements(np.var)
def var(x: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """Take the variance over `axis`: sum((x - mean)²) / (n - ddof).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.var(tc.Tensor([1.0, 3.0]))
        Tensor(1.)
    """
    return ops.reduce_var(x, axis=_axes(axis), ddof=ddof, keepdims=keepdims)


@implements(np.max, np.amax)
def max(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:  # noqa: A001 - NumPy's name
    """Take the maximum over `axis`; tied elements share the gradient equally.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.max(tc.Tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1)
        Tensor([5., 3.])
    """
    return ops.reduce_max(x, axis=_axes(axis), keepdims=keepdims)


@implements(np.min, np.amin)
def min(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:  # noqa: A001 - NumPy's name
    """Take the minimum over `axis`; tied elements share the gradient equally.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.min(tc.Tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1)
        Tensor([1., 2.])
    """
    return ops.reduce_min(x, axis=_axes(axis), keepdims=keepdims)


@implements(np.argmax)
def argmax(x: Any, axis: int | None = None) -> Any:
    """Return the index of the maximum along `axis`; it has no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.argmax(tc.Tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1)
        Tensor([1, 0])
    """
    return ops.argmax(x, axis=axis)


@implements(np.argmin)
def argmin(x: Any, axis: int | None = None) -> Any:
    """Return the index of the minimum along `axis`; it has no derivative.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.argmin(tc.Tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1)
        Tensor([0, 1])
    """
    return ops.argmin(x, axis=axis)


@implements(np.all)
def all(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:  # noqa: A001 - NumPy's name
    """Return whether all elements along `axis` are true.

    Example:
        >>> import tinygrad_course as tc
        >>> bool(tc.all(tc.Tensor([1.0, 2.0]) > 0))
        True
    """
    return ops.reduce_all(x, axis=_axes(axis), keepdims=keepdims)


@implements(np.any)
def any(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:  # noqa: A001 - NumPy's name
    """Return whether any element along `axis` is true.

    Example:
        >>> import tinygrad_course as tc
        >>> bool(tc.any(tc.Tensor([1.0, 2.0]) > 5))
        False
    """
    return ops.reduce_any(x, axis=_axes(axis), keepdims=keepdims)


@implements()
def logsumexp(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Take log(sum(exp(x))) over `axis`, shifted by the maximum so that nothing overflows.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.logsumexp(tc.Tensor([1000.0, 1000.0]))
        Tensor(1000.69314718)
    """
    return ops.logsumexp_over(x, axis=_axes(axis), keepdims=keepdims)


@implements()
def softmax(x: Any, axis: Axis = -1) -> Any:
    """Turn scores into probabilities: e**x / sum(e**x) along `axis` (lesson 3.4 of the notes).

    Example:
        >>> import tinygrad_course as tc
        >>> tc.softmax([5.0, 2.0, -1.0, 3.0]).round(3)
        array([0.842, 0.042, 0.002, 0.114])
    """
    return ops.softmax_along(x, axis=_axes(axis))


@implements()
def log_softmax(x: Any, axis: Axis = -1) -> Any:
    """Take log(softmax(x)) along `axis` without losing digits.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.log_softmax([0.0, 1000.0])
        array([-1000.,     0.])
    """
    return ops.log_softmax_along(x, axis=_axes(axis))


# ---- shapes ---------------------------------------------------------------------------------


def _shape(shape: Any) -> tuple[int, ...]:
    return (int(shape),) if np.ndim(shape) == 0 else tuple(int(n) for n in shape)


@implements(np.reshape)
def reshape(x: Any, shape: Any) -> Any:
    """Give the elements another shape; one size may be -1.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.reshape(tc.Tensor([1.0, 2.0, 3.0, 4.0]), (2, -1))
        Tensor([[1., 2.],
                [3., 4.]])
    """
    return ops.reshape(x, shape=_shape(shape))


@implements(np.ravel)
def ravel(x: Any) -> Any:
    """Return the elements as a vector.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.ravel(tc.Tensor([[1.0], [2.0]]))
        Tensor([1., 2.])
    """
    return ops.reshape(x, shape=(-1,))


@implements(np.transpose)
def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """Permute the axes; without `axes` reverse them.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.transpose(tc.Tensor([[1.0, 2.0]])).shape
        (2, 1)
    """
    return ops.transpose_axes(x, axes=None if axes is None else tuple(int(a) for a in axes))


@implements(np.swapaxes)
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.swapaxes(tc.Tensor([[[1.0, 2.0]]]), 0, 2).shape
        (2, 1, 1)
    """
    order = list(range(np.ndim(x)))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return ops.transpose_axes(x, axes=tuple(order))


@implements(np.expand_dims)
def expand_dims(x: Any, axis: Axis) -> Any:
    """Insert axes of size 1 so that they stand at `axis` in the result.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.expand_dims(tc.Tensor([1.0, 2.0]), 0).shape
        (1, 2)
    """
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    rank = np.ndim(x) + len(axes)
    places = {a % rank for a in axes if a is not None and -rank <= a < rank}
    if len(places) != len(axes):
        raise ShapeError(
            f"expand_dims: axis {axis} does not name {len(axes)} different axes of a result "
            f"with {rank}; expected values from {-rank} to {rank - 1}"
        )
    sizes = iter(np.shape(x))
    return ops.reshape(x, shape=tuple(1 if i in places else next(sizes) for i in range(rank)))


@implements(np.squeeze)
def squeeze(x: Any, axis: Axis = None) -> Any:
    """Remove axes of size 1: all of them, or those named.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.squeeze(tc.Tensor([[1.0, 2.0]])).shape
        (2,)
    """
    shape = np.shape(x)
    if axis is None:
        return ops.reshape(x, shape=tuple(n for n in shape if n != 1))
    given = axis if isinstance(axis, tuple) else (axis,)
    outside = [a for a in given if not -len(shape) <= a < len(shape)]
    if outside:
        raise ShapeError(f"squeeze: axis {outside[0]} does not exist in shape {shape}")
    axes = {a % len(shape) for a in given}
    wrong = [a for a in axes if shape[a] != 1]
    if wrong:
        raise ShapeError(
            f"squeeze: axis {wrong[0]} of shape {shape} has size {shape[wrong[0]]}; "
            f"only axes of size 1 can be removed"
        )
    return ops.reshape(x, shape=tuple(n for i, n in enumerate(shape) if i not in axes))


@implements(np.broadcast_to)
def broadcast_to(x: Any, shape: Any) -> Any:
    """Repeat along new axes and axes of size 1, without copying.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.broadcast_to(tc.Tensor([1.0, 2.0]), (3, 2)).shape
        (3, 2)
    """
    return ops.broadcast_to(x, shape=_shape(shape))


def _several(name: str, xs: Any) -> tuple[Any, ...]:
    xs = list(xs)
    if not xs:
        raise ArgumentError(f"{name}: got no arrays; expected a sequence of at least one")
    return tuple(xs)


@implements(np.concatenate)
def concatenate(xs: Sequence[Any], axis: int | None = 0) -> Any:
    """Join arrays along an axis; None joins them flattened.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.concatenate([tc.Tensor([1.0]), [2.0, 3.0]])
        Tensor([1., 2., 3.])
    """
    parts = _several("concatenate", xs)
    if axis is None:
        parts, axis = tuple(ravel(part) for part in parts), 0
    return ops.concatenate_all(*parts, axis=axis)


@implements(np.stack)
def stack(xs: Sequence[Any], axis: int = 0) -> Any:
    """Join arrays of one shape along a new axis.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.stack([tc.Tensor([1.0, 2.0]), [3.0, 4.0]]).shape
        (2, 2)
    """
    return ops.stack_all(*_several("stack", xs), axis=axis)


@implements(np.split)
def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> Any:
    """Cut into equal sections, or before each of the given indices; returns a tuple.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.split(tc.Tensor([1.0, 2.0, 3.0, 4.0]), 2)
        (Tensor([1., 2.]), Tensor([3., 4.]))
    """
    if np.ndim(indices_or_sections) == 0:
        size, sections = np.shape(x)[axis], int(cast("int", indices_or_sections))
        if sections < 1 or size % sections:
            raise ShapeError(
                f"split: {size} elements along axis {axis} do not divide by {sections}"
            )
        step = size // sections
        indices: tuple[int, ...] = tuple(range(step, size, step))
    else:
        indices = tuple(int(i) for i in cast("Sequence[int]", indices_or_sections))
    ends = (0, *indices, np.shape(x)[axis])
    if list(ends) != sorted(ends):
        return tuple(_slice(x, axis, start, stop) for start, stop in pairwise((*ends[:-1], None)))
    return ops.split_at(x, sections=indices, axis=axis)


def _slice(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """Cut as NumPy's split does where its sections overlap, go backwards or leave the range."""
    key = [slice(None)] * np.ndim(x)
    key[axis] = slice(start, stop)
    return ops.getitem(x, key=tuple(key))


@implements(np.clip)
def clip(x: Any, a_min: Any = None, a_max: Any = None) -> Any:
    """Limit to [a_min, a_max]; the slope is 1 inside and at the bounds.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.clip(tc.Tensor([-2.0, 0.5, 2.0]), -1.0, 1.0)
        Tensor([-1. ,  0.5,  1. ])
    """
    for bound in (a_min, a_max):
        if isinstance(bound, Value) and bound._needs:
            raise UnsupportedFunctionError(
                "clip: a bound requires grad, and clip has no derivative for bounds; "
                "write minimum(maximum(x, a_min), a_max)"
            )
    # Copies, because the derivative reads the bounds again.
    lower, upper = (
        b if b is None or np.isscalar(b) else np.array(b._data if isinstance(b, Value) else b)
        for b in (a_min, a_max)
    )
    return ops.clip_to(x, lower=lower, upper=upper)


@implements(np.dot)
def dot(x: Any, y: Any) -> Any:
    """Multiply as NumPy's dot: scalars elementwise, otherwise the sum over adjacent axes.

    Raises:
        UnsupportedFunctionError: both have more than two axes, where dot and matmul differ.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.dot(tc.Tensor([1.0, 2.0]), [3.0, 4.0])
        Tensor(11.)
    """
    ranks = np.ndim(x), np.ndim(y)
    if 0 in ranks:
        return ops.multiply(x, y)
    if ranks[1] > 2:
        raise UnsupportedFunctionError(
            f"dot: got {ranks[0]} and {ranks[1]} axes; beyond matrices write matmul, which "
            f"treats leading axes as a batch"
        )
    return ops.matmul(x, y)


_DESCRIBING: dict[Any, Any] = {
    np.shape: lambda x: np.shape(x._data),
    np.ndim: lambda x: x._data.ndim,
    np.size: lambda x: x._data.size,
    np.array_equal: lambda a, b: bool(np.array_equal(_raw(a), _raw(b))),
    np.allclose: lambda a, b, **k: bool(np.allclose(_raw(a), _raw(b), **k)),
}
NUMPY_FUNCTIONS.update(_DESCRIBING)  # these only describe: plain Python or arrays come back


def _raw(x: Any) -> Any:
    return x._data if isinstance(x, Value) else x
