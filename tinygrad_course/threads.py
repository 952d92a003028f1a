"""Pieces of one computation on several cores.

NumPy lets other threads run while it computes, so that a batch cut into pieces can be worked on by
as many threads as there are cores. How the pieces are cut is up to the caller and must follow from
shapes alone: then the bits of a result do not depend on how many threads there are.

As many threads are used as NumPy's BLAS would use (``OMP_NUM_THREADS``, ``threadpoolctl``). While
they run BLAS itself is held to one thread, and usually for 20 ms after: OpenBLAS's own threads do
not sleep between two products but keep the other cores busy with waiting, and a step of LeNet takes
twice as long. With a BLAS other than OpenBLAS, which cannot be asked, the pieces are done one after
the other.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from itertools import pairwise
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import numpy as np

ENOUGH = 3e-4
"""Seconds of work from which on a second thread pays: handing over takes 0.05 ms."""

IDLE = 0.02
"""Seconds without work for these threads after which BLAS may use its own again."""


class _Blas:
    """The number of threads of NumPy's OpenBLAS; 0 where that library is another one."""

    def __init__(self) -> None:
        self._get, self._set = _find_functions()
        self._usual = 0
        self.reset()

    def reset(self) -> None:
        """Begin with nobody at work; a forked process has none of its parent's threads."""
        self._lock = threading.Lock()
        self._users = 0
        self._last = 0.0
        self._back(self._usual)

    def _back(self, count: int) -> None:
        """Set the number of threads, if there is something to set."""
        self._held = False
        if self._set is not None and count > 1:
            self._set(count)

    def threads(self) -> int:
        """Return how many threads BLAS uses when nobody holds it to one."""
        if self._get is None:
            return 0
        return self._usual if self._held else int(self._get())

    @contextmanager
    def alone(self, *, lasting: bool = False) -> Iterator[None]:
        """Hold BLAS to one thread inside; `lasting`: also afterwards, until `release`."""
        if self._get is None or self._set is None:
            yield
            return
        with self._lock:
            self._users += 1
            if not self._held:
                self._held, self._usual = True, int(self._get())
                if self._usual > 1:
                    self._set(1)
            if lasting:
                self._last = monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if lasting:
                    self._last = monotonic()
                if not self._users and not self._last:
                    self._back(self._usual)

    def release(self) -> None:
        """Give BLAS its threads back, unless somebody was at work just now."""
        with self._lock:
            if not self._users and self._last and monotonic() - self._last >= IDLE:
                self._last = 0.0
                self._back(self._usual)


def _find_functions() -> tuple[Callable[[], int] | None, Callable[[int], None] | None]:
    """Return OpenBLAS's functions that read and set the number of threads, or two Nones."""
    core = Path(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    bundled = [
        *(core.parents[2] / "numpy.libs").glob("*openblas*"),  # a wheel's, on Linux and Windows
        *(core.parents[1] / ".dylibs").glob("*openblas*"),  # macOS
    ]
    for path in (core, *bundled):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for prefix in ("scipy_openblas", "openblas"):
            for suffix in ("64_", ""):
                get = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
                put = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                if get is not None and put is not None:
                    get.argtypes, get.restype = [], ctypes.c_int
                    put.argtypes, put.restype = [ctypes.c_int], None
                    return get, put
    return None, None


class _Helpers:
    """Threads that wait for jobs; they end with the process."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._count = 0
        self._lock = threading.Lock()

    def start(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Run each job in a thread of its own."""
        with self._lock:
            while self._count < len(jobs):
                threading.Thread(target=self._serve, name="tinygrad_course", daemon=True).start()
                self._count += 1
        for job in jobs:
            self._jobs.put(job)

    def _serve(self) -> None:
        while True:
            self._jobs.get()()
            with suppress(Empty):
                while True:
                    self._jobs.get(timeout=1.5 * IDLE)()
            _shared_blas().release()


_blas: Any = None
_helpers = _Helpers()
_here = threading.local()


def _shared_blas() -> Any:
    global _blas  # noqa: PLW0603 - one library a process, looked for when it is first needed
    if _blas is None:
        _blas = _Blas()
    return _blas


def _after_fork() -> None:
    """Forget in a child process the parent's threads, which do not run there."""
    global _helpers  # noqa: PLW0603 - see above
    _helpers = _Helpers()
    if _blas is not None:
        _blas.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(
    work: Callable[[Any], None], pieces: Sequence[Any], seconds: float, *, more: bool = True
) -> None:
    """Call ``work(piece)`` for every piece, in several threads if there is enough to do.

    The pieces must write to different places. The first error is raised, after all have ended.

    Args:
        work: what to do with one piece.
        pieces: what to do it with.
        seconds: about how long all of it takes on one core.
        more: whether more such work comes soon, so that BLAS stays at one thread for a while; not
            so where large matrix products follow, which want all threads for themselves.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.threads import spread
        >>> x, y = np.arange(4.0), np.empty(4)
        >>> def halve(piece):
        ...     np.multiply(x[piece], 0.5, out=y[piece])
        >>> spread(halve, [slice(0, 2), slice(2, 4)], seconds=1e-6)
        >>> y
        array([0. , 0.5, 1. , 1.5])
    """
    if len(pieces) == 1:
        work(pieces[0])
        return
    count = min(len(pieces), _available()) if seconds >= ENOUGH else 1
    with _shared_blas().alone(lasting=more and count > 1):
        if count < 2:
            for piece in pieces:
                work(piece)
        else:
            _share(work, pieces, count)


def shares(count: int, seconds: float) -> list[slice]:
    """Return slices of ``range(count)``, as many as there are threads, if the work is worth it.

    Only for work on every element by itself, whose bits do not depend on how it is cut.

    Example:
        >>> from tinygrad_course.threads import shares
        >>> shares(100, seconds=1e-6)
        [slice(0, 100, None)]
    """
    threads = _available() if seconds >= ENOUGH else 1
    return cut(count, -(-count // max(threads, 1)))


def _available() -> int:
    """Return how many threads `spread` may use here; 0 where BLAS cannot be asked."""
    busy = getattr(_here, "helping", False)
    return 1 if busy else min(_shared_blas().threads(), _cores())


def _share(work: Callable[[Any], None], pieces: Sequence[Any], count: int) -> None:
    """Let `count` threads, this one among them, take pieces until none is left."""
    remaining = iter(pieces)
    taking = threading.Lock()
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def drain() -> None:
        _here.helping = True
        failure = None
        try:
            while True:
                with taking:
                    piece = next(remaining, None)
                if piece is None:
                    break
                work(piece)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            failure = error
        _here.helping = False
        ended.put(failure)

    # In copies of this thread's context, so that np.errstate holds there too.
    contexts = [copy_context() for _ in range(count - 1)]
    _helpers.start([partial(context.run, drain) for context in contexts])
    drain()
    failures = [ended.get() for _ in range(count)]
    for failure in failures:
        if failure is not None:
            raise failure


def cut(count: int, size: int) -> list[slice]:
    """Return slices that cover ``range(count)`` in nearly equal pieces of at most `size`.

    Example:
        >>> from tinygrad_course.threads import cut
        >>> cut(5, 2)
        [slice(0, 1, None), slice(1, 3, None), slice(3, 5, None)]
    """
    pieces = max(1, -(-count // max(size, 1)))
    bounds = [count * k // pieces for k in range(pieces + 1)]
    return [slice(a, b) for a, b in pairwise(bounds)]


__all__ = [
    "ENOUGH",
    "cut",
    "shares",
    "spread",
]
