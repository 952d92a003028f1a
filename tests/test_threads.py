"""Pieces of work in several threads: each done once, errors raised, settings kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import memory, threads
from tinygrad_course.threads import cut, shares, spread


@pytest.fixture
def three(monkeypatch):
    """Three threads, whatever the machine has."""
    monkeypatch.setattr(threads, "_available", lambda: 3)


def test_every_piece_is_done_once_by_several_threads(three):
    """Pieces are shared among the threads, the caller's among them, and none is left out."""
    done, who = np.zeros(50, int), set()
    gate = threading.Barrier(3, timeout=20)

    def work(piece):
        if piece < 3:
            gate.wait()  # opens only if three threads are at work
        done[piece] += 1
        who.add(threading.get_ident())

    spread(work, range(50), seconds=1.0)
    np.testing.assert_array_equal(done, 1)
    assert len(who) == 3
    assert threading.get_ident() in who


def test_little_work_stays_in_one_thread(three):
    """Below the time that handing over takes, the caller does everything, in order."""
    seen = []
    spread(lambda piece: seen.append((piece, threading.get_ident())), range(5), seconds=1e-6)
    assert seen == [(piece, threading.get_ident()) for piece in range(5)]


@pytest.mark.parametrize("bad", [0, 1, 7])
def test_an_error_in_any_thread_is_raised(three, bad):
    """The caller sees the error of a piece, and later work is done as if nothing had been."""

    def work(piece):
        if piece == bad:
            raise KeyError(piece)

    with pytest.raises(KeyError, match=str(bad)):
        spread(work, range(8), seconds=1.0)
    done = []
    spread(done.append, range(8), seconds=1.0)
    assert sorted(done) == list(range(8))


def test_numpys_error_settings_hold_in_every_thread(three):
    """np.errstate around the call is in force where the pieces are computed."""
    gate = threading.Barrier(3, timeout=20)

    def work(_piece):
        gate.wait()
        np.float32(1.0) / np.zeros(1, np.float32)

    with np.errstate(divide="ignore"):
        spread(work, range(3), seconds=1.0)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        spread(work, range(3), seconds=1.0)


def test_work_within_work_stays_in_its_thread(monkeypatch):
    """A piece that spreads work of its own does it itself instead of waiting for busy threads."""
    monkeypatch.setattr(threads._here, "helping", True, raising=False)
    assert threads._available() == 1


@pytest.fixture
def blas(monkeypatch):
    """What counts BLAS's threads, over a pretended library that uses four."""
    counter = threads._Blas()
    setting = [4]
    counter._get, counter._set = lambda: setting[0], lambda count: setting.__setitem__(0, count)
    monkeypatch.setattr(threads, "_blas", counter)
    return counter


def test_blas_has_its_threads_back_after_work_in_one_thread(blas):
    """During the work BLAS has one thread; then as many as before, after errors too."""
    inside = []
    spread(lambda _: inside.append((blas._get(), blas.threads())), range(2), seconds=1e-6)
    assert inside == [(1, 4), (1, 4)]
    assert blas._get() == blas.threads() == 4
    with pytest.raises(ZeroDivisionError):
        spread(lambda _: 1 / 0, range(2), seconds=1e-6)
    assert blas._get() == 4


def test_blas_has_its_threads_back_a_while_after_work_in_several(blas, three):
    """BLAS's threads do not come between one piece of work and the next, but then they return."""
    for _ in range(3):
        spread(lambda _: None, range(4), seconds=1.0)
        assert blas._get() == 1
        assert blas.threads() == 4
    late = time.monotonic() + 20
    while blas._get() == 1 and time.monotonic() < late:
        time.sleep(0.01)
    assert blas._get() == 4
    blas.release()
    assert blas._get() == 4


def test_blas_has_its_threads_back_at_once_if_no_more_work_comes(blas, three):
    """After an optimizer's step the next layer's products run in as many threads as ever."""
    spread(lambda _: None, range(4), seconds=1.0, more=False)
    assert blas._get() == 4
    p = tc.Tensor(np.zeros(1 << 20), requires_grad=True)
    p.grad = np.ones(1 << 20)
    tc.optim.Adam([p]).step()
    assert blas._get() == 4
    assert p.data.max() < 0


def test_numpys_blas_is_found():
    """The OpenBLAS that NumPy's wheels bring along can be asked and set."""
    libraries = [name for name in map(str, _blas_files()) if "openblas" in name]
    assert (threads._Blas().threads() > 0) or not libraries


def _blas_files():
    folder = Path(np.__file__).parent
    return [*folder.parent.glob("numpy.libs/*"), *folder.glob(".dylibs/*")]


def test_cutting_covers_everything_in_nearly_equal_pieces():
    """The pieces follow one another, none is larger than asked or empty."""
    for count in (1, 2, 7, 64):
        for size in (1, 3, 100):
            pieces = cut(count, size)
            assert [p.start for p in pieces] == [0, *(p.stop for p in pieces[:-1])]
            assert pieces[-1].stop == count
            lengths = [p.stop - p.start for p in pieces]
            assert 0 < min(lengths) <= max(lengths) <= min(lengths) + 1 <= size + 1
    assert cut(0, 5) == [slice(0, 0)]


def test_shares_are_one_for_each_thread(three):
    """Work that is worth it is cut for the threads there are, other work is left whole."""
    assert len(shares(90, seconds=1.0)) == 3
    assert shares(90, seconds=0.0) == [slice(0, 90)]
    assert shares(0, seconds=1.0) == [slice(0, 0)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_starts_threads_of_its_own():
    """The child of a process that has used threads computes; it does not wait for the parent's."""
    program = (
        "import os, threading\n"
        "from tinygrad_course import threads\n"
        "threads._available = lambda: 2\n"
        "done = []\n"
        "threads.spread(done.append, range(4), 1.0)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    threads.spread(done.append, range(4), 1.0)\n"
        "    os._exit(0 if len(done) == 8 else 1)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=60, check=False)
    assert done.returncode == 0


def test_the_users_settings_of_the_allocator_are_left_alone(monkeypatch):
    """Where a variable sets the allocator already, nothing is set; elsewhere both once."""
    calls = []

    class Library:
        def __init__(self, _name):
            self.mallopt = lambda *options: calls.append(options)

    monkeypatch.setattr(memory.ctypes, "CDLL", Library)
    monkeypatch.setattr(memory, "_is_glibc", lambda: True)
    monkeypatch.setattr(memory, "_done", False)
    for name in memory._USERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "0")
    memory.keep_freed_memory()
    assert calls == []
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    monkeypatch.setattr(memory, "_done", False)
    memory.keep_freed_memory()
    memory.keep_freed_memory()
    assert calls == [(-1, memory.KEPT), (-3, memory.LARGEST)]
