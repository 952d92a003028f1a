"""The random numbers of the library: one generator that `seed` resets, and streams spawned from it.

Nothing here or elsewhere touches ``np.random``'s global state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_default: np.random.Generator | None = None  # made at first use: np.random is slow to load


def seed(n: int | Sequence[int]) -> None:
    """Restart the default generator from a number or several: the same seed gives the same bits.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.seed(0)
        >>> a = tc.generator().random()
        >>> tc.seed(0)
        >>> a == tc.generator().random()
        True
    """
    _restart(n)


def generator(given: np.random.Generator | None = None) -> np.random.Generator:
    """Return the given generator, or the default one."""
    if given is not None:
        return given
    return _restart(None) if _default is None else _default


def _restart(n: int | Sequence[int] | None) -> np.random.Generator:
    global _default  # noqa: PLW0603 - one default generator a process
    # SFC64 is NumPy's fastest generator; without a seed the operating system gives one.
    _default = np.random.Generator(np.random.SFC64(np.random.SeedSequence(n)))
    return _default
