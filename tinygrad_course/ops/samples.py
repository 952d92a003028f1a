"""Where primitives are checked: small arrays of every awkward layout, away from kinks and ties.

Every helper returns a function of a random generator that yields ``(inputs, params)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from tinygrad_course.primitive import Sample, Samples

Generator: TypeAlias = "np.random.Generator"  # quoted: NumPy loads np.random when it is used


def values(rng: Generator, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """Return distinct numbers in (low, high), none within 5 % of the range of another's neighbour.

    Distinct, evenly spread values keep maxima, medians and sorts away from ties.
    """
    size = int(np.prod(shape))
    spread = (np.arange(size) + 0.5 + 0.3 * rng.uniform(-1, 1, size)) / max(size, 1)
    shuffled: np.ndarray = rng.permutation(low + (high - low) * spread).reshape(shape)
    return shuffled


def nonzero(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers in ±(0.2, 2): the kinks of abs and relu lie at 0."""
    return np.asarray(values(rng, shape, 0.2, 2.0) * rng.choice([-1.0, 1.0], shape))


def layouts(
    make: Callable[[Generator, tuple[int, ...]], np.ndarray],
) -> Callable[[Generator], Iterator[np.ndarray]]:
    """Return a function that yields arrays of every layout: 0-d, strided, reversed, empty, …."""

    def arrays(rng: Generator) -> Iterator[np.ndarray]:
        yield make(rng, ())
        yield make(rng, (3,))
        yield make(rng, (2, 3))
        yield make(rng, (2, 1, 3))
        yield make(rng, (1, 1))
        yield make(rng, (0, 3))
        yield make(rng, (3, 2)).T
        yield make(rng, (4,))[::-1]
        yield make(rng, (3, 4))[:, ::2]

    return arrays


def reals(low: float = -2.0, high: float = 2.0) -> Samples:
    """Return samples with one input in (low, high)."""

    def samples(rng: Generator) -> Iterator[Sample]:
        for x in layouts(lambda r, shape: values(r, shape, low, high))(rng):
            yield (x,), {}

    return samples


def nonzeros(**params: Any) -> Samples:
    """Return samples with one input away from 0."""

    def samples(rng: Generator) -> Iterator[Sample]:
        for x in layouts(nonzero)(rng):
            yield (x,), dict(params)

    return samples


def pairs(low: float = -2.0, high: float = 2.0) -> Samples:
    """Return samples with two inputs in (low, high), of equal and of broadcasting shapes."""

    def samples(rng: Generator) -> Iterator[Sample]:
        shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
            ((), ()),
            ((3,), (3,)),
            ((2, 3), (2, 3)),
            ((2, 3), (3,)),
            ((3,), (2, 3)),
            ((2, 1), (1, 3)),
            ((), (2, 3)),
            ((2, 3), ()),
            ((1, 1), (2,)),
            ((0, 3), (3,)),
            ((2, 1, 3), (4, 1)),
        ]
        for first, second in shapes:
            size = int(np.prod(first)) + int(np.prod(second))
            both = values(rng, (size,), low, high)  # drawn together: no ties between the two
            cut = int(np.prod(first))
            yield (both[:cut].reshape(first), both[cut:].reshape(second)), {}
        x, y = values(rng, (3, 2), low, high), values(rng, (2, 3), low, high)
        yield (x.T, y[:, ::-1] * 1.01), {}

    return samples


def reductions(low: float = -2.0, high: float = 2.0, **params: Any) -> Samples:
    """Return samples with one input over every kind of axis, with and without keepdims."""

    def samples(rng: Generator) -> Iterator[Sample]:
        cases: list[tuple[tuple[int, ...], Any]] = [
            ((), None),
            ((3,), None),
            ((3,), 0),
            ((2, 3), None),
            ((2, 3), 0),
            ((2, 3), -1),
            ((2, 3, 4), (0, 2)),
            ((2, 3, 4), 1),
            ((1, 1), 1),
            ((2, 0, 3), 2),
        ]
        for shape, axis in cases:
            for keepdims in (False, True):
                x = values(rng, shape, low, high)
                yield (x,), {"axis": axis, "keepdims": keepdims, **params}
        yield (values(rng, (3, 2), low, high).T,), {"axis": 0, "keepdims": False, **params}

    return samples


def listed(*cases: tuple[tuple[Any, ...], dict[str, Any]]) -> Samples:
    """Return samples in which a tuple of ints stands for an input array of that shape.

    Anything else is passed on as it is; write labels and indices as arrays.
    """

    def samples(rng: Generator) -> Iterator[Sample]:
        for inputs, params in cases:
            arrays = tuple(values(rng, x, -2.0, 2.0) if isinstance(x, tuple) else x for x in inputs)
            yield arrays, dict(params)

    return samples
