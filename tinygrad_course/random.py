"""The random numbers of the library: one generator that `seed` resets, and streams spawned from it.

Nothing here or elsewhere touches ``np.random``'s global state.
"""

from __future__ import annotations

import numpy as np

_default = np.random.Generator(np.random.SFC64(np.random.SeedSequence()))


def seed(n: int) -> None:
    """Restart the default generator: the same seed gives the same bits.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.seed(0)
        >>> a = tc.generator().random()
        >>> tc.seed(0)
        >>> a == tc.generator().random()
        True
    """
    global _default  # noqa: PLW0603 - one default generator a process
    _default = np.random.Generator(np.random.SFC64(np.random.SeedSequence(n)))


def generator(given: np.random.Generator | None = None) -> np.random.Generator:
    """Return the given generator, or the default one."""
    return _default if given is None else given
