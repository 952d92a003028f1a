"""One implementation in a process of its own: `python worker.py NAME`, driven by run.py.

Each line on stdin is a request in JSON, each line on stdout its answer. Between requests the
process waits in a blocking read and takes no processor time from the others.
"""

import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import workloads


class Worker:
    def __init__(self, name):
        self.module = importlib.import_module(f"implementations.{name}")
        self.step = None
        self.count = 0

    def hello(self, threads):
        """Report what was loaded, and the threads and kernels of its numerical libraries."""
        if hasattr(self.module, "set_threads"):
            self.module.set_threads(threads)
        return {"version": self.module.VERSION, "pools": thread_pools()}

    def setup(self, workload, smoke, folder):
        chosen = workloads.find(workload, smoke=smoke)
        self.step = None  # drops the previous workload before the next one takes memory
        gc.collect()
        self.step = self.module.make(chosen, workloads.make_data(chosen, folder))
        self.count = 0

    def values(self, steps):
        """Run the first steps and report their results, for the comparison with the others."""
        return [self._run(1)[1] for _ in range(steps)]

    def calibrate(self, seconds):
        """Return how many steps take about `seconds`; this is the warm-up as well."""
        self._run(3)  # whoever compiles has then compiled
        steps = 1
        while (elapsed := self._run(steps)[0]) < seconds / 4:
            steps *= 2
        return max(1, round(steps * seconds / elapsed))

    def time(self, steps):
        """Time a block of steps; the processor time tells how many cores were busy."""
        busy = time.process_time()
        elapsed, _ = self._run(steps)
        return {"seconds": elapsed / steps, "busy": (time.process_time() - busy) / elapsed}

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
        except Exception:  # noqa: BLE001 - the parent decides what an error means
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
