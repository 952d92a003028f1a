"""Random functions: the generators that a function draws from, and starting them again."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_course.checking.subjects import Results, Subject
from tinygrad_course.random import generator as default_generator


@contextmanager
def same_randomness(*others: Any) -> Iterator[None]:
    """Rewind the generators of this library, of NumPy and of Python when the block ends."""
    generators = [default_generator(), *others]
    states = [g.bit_generator.state for g in generators]
    legacy, python = np.random.get_state(), random.getstate()  # noqa: NPY002 - users draw from it
    try:
        yield
    finally:
        for g, state in zip(generators, states, strict=True):
            g.bit_generator.state = state
        np.random.set_state(legacy)  # noqa: NPY002 - the same
        random.setstate(python)


def generators_of(f: Any) -> list[np.random.Generator]:
    """Return the random generators that a function reads under a name, or holds."""
    try:
        known = inspect.getclosurevars(f)
    except (TypeError, ValueError):  # no function, or not written in Python
        held = list(getattr(f, "__dict__", {}).values())
    else:
        held = [*known.globals.values(), *known.nonlocals.values()]
        held += list(getattr(f, "__defaults__", None) or ())
    found: list[np.random.Generator] = []
    for thing in held:
        if isinstance(thing, np.random.Generator):
            found.append(thing)
        elif callable(getattr(thing, "modules", None)):  # a module with dropout inside
            drawn = [getattr(m, "generator", None) for m in thing.modules()]
            found += [g for g in drawn if isinstance(g, np.random.Generator)]
    return found


class Frozen(Subject):
    """A subject whose every evaluation starts from the same random state."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.generators = generators_of(getattr(subject, "f", None))
        self.points = subject.points
        self.hand_written = subject.hand_written

    def values(self) -> Results:
        """Return the results, drawn as the first time."""
        with same_randomness(*self.generators):
            return self.subject.values()

    def gradient(self, weights: Results) -> dict[str, Any]:
        """Return the gradient, drawn as the first time."""
        with same_randomness(*self.generators):
            return self.subject.gradient(weights)

    def recorded(self) -> tuple[list[Any], dict[str, Any]] | None:
        """Return the recorded results, drawn as the first time."""
        with same_randomness(*self.generators):
            return self.subject.recorded()

    def upstream(self, rng: np.random.Generator, centre: Results) -> Results:
        """Return the upstream gradient that the subject wants."""
        return self.subject.upstream(rng, centre)


__all__ = ["Frozen", "same_randomness"]
