"""One implementation in a process of its own: `python worker.py MODULE`, driven by run.py.

Each line on stdin is a request in JSON, each line on stdout its answer. Between requests the
process waits in a blocking read and takes no processor time from the others.
"""

import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import data
import numpy as np
import workloads


class Worker:
    """Answers the requests.

    A module of `implementations` has a table `MAKERS`, by the name of a workload or by its kind, of
    functions from data to a step: `step(i)` does one step and returns its numbers (loss or value
    and gradients). Where these are arrays, the maker returns `step, look` and `look()` gives them.
    """

    def __init__(self, name):
        self.module = importlib.import_module(f"implementations.{name}")
        self.steps_per_call = getattr(self.module, "STEPS_PER_CALL", 1)
        self.step = self.look = None
        self.count = 0

    def hello(self, threads, options):
        """Report what was loaded, and the threads and kernels of its numerical libraries."""
        if hasattr(self.module, "set_threads"):
            self.module.set_threads(threads)
        if options:
            self.module.configure(**options)
        return {
            "version": self.module.VERSION,
            "pools": thread_pools(),
            "makes": list(self.module.MAKERS),
            "checked": getattr(self.module, "CHECKED", True),
            "steps_per_call": self.steps_per_call,
            "compiles": getattr(self.module, "COMPILES", False),
        }

    def setup(self, workload, smoke, folder, quiet=False):
        chosen = workloads.find(workload, smoke=smoke)
        self.step = self.look = None  # drops the previous workload before the next takes memory
        gc.collect()
        makers = self.module.MAKERS
        make = makers.get(chosen.name) or makers[chosen.kind]
        made = make(data.make_data(chosen, folder, quiet=quiet))
        self.step, self.look = made if isinstance(made, tuple) else (made, None)
        self.count = 0

    def values(self, steps):
        """Run the first steps and report their results, for the comparison with the others."""
        found = []
        while len(found) < steps:
            result = self._run(1)[1]
            if self.steps_per_call > 1:
                found += result
            else:
                found.append(digest(self.look()) if self.look else result)
        return found[:steps]

    def source(self):
        """Return the source of a compiled step that has run."""
        return self.module.source()

    def calibrate(self, seconds):
        """Return how many calls take about `seconds`; this is the warm-up as well."""
        self._run(3)  # whoever compiles has then compiled
        steps = 1
        while (elapsed := self._run(steps)[0]) < seconds / 4:
            steps *= 2
        return max(1, round(steps * seconds / elapsed))

    def time(self, steps):
        """Time a block of calls; the processor time tells how many cores were busy."""
        busy = time.process_time()
        elapsed, _ = self._run(steps)
        each = elapsed / (steps * self.steps_per_call)
        return {"seconds": each, "busy": (time.process_time() - busy) / elapsed}

    def first(self, **workload):
        """Return the time of tracing or compiling: that of three first calls less three later ones.

        The first call need not be the only one: gradients that are None there are arrays in the
        second, which may be another program.
        """
        self.setup(**workload)
        return max(self._run(3)[0] - self._run(3)[0], 0.0)

    def memory(self, steps):
        """Return by how many bytes the process grew at its peak: in its first step, and later."""
        give_memory_back()  # or what loading the data left behind would serve the first step
        before = resident_bytes()
        grown = []
        for count in (1, steps):
            if before is None or not forget_peak():
                return None
            loss = self._run(count)[1][0]
            if not np.isfinite(loss):
                raise ValueError(f"the loss is {loss}")
            grown.append(peak_bytes() - before)
        return grown

    def graph(self, nodes, chains):
        """Build and walk `chains` chains of scalar operations; report the times per node.

        The memory is the growth of the process while the first chain is built, and means something
        only in a fresh process: later chains reuse what the allocators kept.
        """
        times = {"forward": 0.0, "backward": 0.0, "drop": 0.0}
        self._chain(100, dict(times))  # so that the first chain does not pay for first calls
        grown = [self._chain(nodes, times) for _ in range(chains)]
        answer = {name: seconds / (nodes * chains) for name, seconds in times.items()}
        return answer | {"bytes": grown[0] / nodes if grown[0] is not None else None}

    def _chain(self, nodes, times):
        a, b, y = self.module.chain_leaves()
        before = resident_bytes()
        t0 = time.perf_counter()
        for _ in range(nodes // 2):
            y = y * a + b
        t1 = time.perf_counter()
        after = resident_bytes()
        t2 = time.perf_counter()
        y.backward()
        t3 = time.perf_counter()
        del y
        t4 = time.perf_counter()
        times["forward"] += t1 - t0
        times["backward"] += t3 - t2
        times["drop"] += t4 - t3
        return None if before is None else after - before

    def _run(self, steps):
        step, first = self.step, self.count
        start = time.perf_counter()
        for i in range(first, first + steps):
            result = step(i)
        elapsed = time.perf_counter() - start
        self.count += steps
        return elapsed, result


def digest(arrays):
    """Return two numbers per array that notice wrong elements, signs and places."""
    numbers = []
    for array in arrays:
        flat = np.asarray(array, dtype=np.float64).ravel()
        weights = np.linspace(1, 2, flat.size)
        size = np.abs(flat).mean()
        numbers += [float(weights @ np.abs(flat)), float(weights @ np.abs(flat + size))]
    return numbers


def resident_bytes():
    """Return the memory of this process in RAM, or None where it cannot be read."""
    try:
        import psutil
    except ImportError:
        statm = Path("/proc/self/statm")
        if not statm.exists():
            return None
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return psutil.Process().memory_info().rss


def give_memory_back():
    """Return free memory to the system, where the C library is GNU's."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def forget_peak():
    """Let Linux begin anew to note the largest memory in RAM; False where this is not possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_bytes():
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def thread_pools():
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    # OpenBLAS also says for which processor its kernels were chosen: twice the speed, or half
    return [
        {"library": p["prefix"], "threads": p["num_threads"], "kernels": p.get("architecture")}
        for p in threadpool_info()
    ]


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends the workers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    worker = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            worker = worker or Worker(sys.argv[1])
            answer = {"ok": getattr(worker, request.pop("do"))(**request)}
        except Exception as error:  # noqa: BLE001 - the parent decides what an error means
            answer = {"error": traceback.format_exc()}
            if getattr(error, "left_out", False):
                answer = {"left out": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
