"""The worker processes, seen from the runner."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


class WorkerError(Exception):
    """A worker raised, or ended without an answer."""


class LeftOutError(Exception):
    """A worker cannot do its work on this machine."""


class Worker:
    """A process that runs one implementation and answers one request at a time."""

    def __init__(self, name, module, threads, options=None):
        self.name = name
        self.settings = {"threads": threads, "options": options}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | thread_settings(threads),
            encoding="utf-8",
        )

    def greet(self):
        """Wait until the worker has imported its library."""
        self.about = self.ask("hello", **self.settings)

    def ask(self, request, **arguments):
        try:
            self.process.stdin.write(json.dumps({"do": request, **arguments}) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise WorkerError(f"{self.name} has ended") from None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"{self.name} ended during {request!r}")
        answer = json.loads(line)
        if "left out" in answer:
            raise LeftOutError(f"{self.name}: {answer['left out']}")
        if "error" in answer:
            raise WorkerError(f"{self.name} failed in {request!r}:\n{answer['error']}")
        return answer["ok"]

    def can(self, workload):
        return bool({workload.name, workload.kind} & set(self.about["makes"]))

    def close(self):
        self.process.kill()
        self.process.communicate()  # closes the pipes and waits


def thread_settings(threads):
    """Return the environment that holds every numerical library to `threads` threads."""
    number = str(threads)
    return {
        "OPENBLAS_NUM_THREADS": number,
        "OMP_NUM_THREADS": number,
        "MKL_NUM_THREADS": number,
        "VECLIB_MAXIMUM_THREADS": number,
        "PJRT_NPROC": number,  # XLA's thread pool; switching its threads off by flag is slower
        "NUM_CPU_THREADS": number,  # tinygrad
        "JAX_PLATFORMS": "cpu",
        "DEV": "CPU",  # tinygrad
        "PYTHONPATH": str(HERE),
    }


def start(wanted, threads, problems, left_out):
    """Start workers, given as (name, module, options); what cannot start is said and noted."""
    workers = [Worker(name, module, threads, options) for name, module, options in wanted]
    try:
        for worker in tuple(workers):
            try:
                worker.greet()
            except (WorkerError, LeftOutError) as error:
                notes = left_out if isinstance(error, LeftOutError) else problems
                notes.append(str(error))
                say(f"  not started: {error}")
                workers.remove(worker)
                worker.close()
    except BaseException:
        close(workers)
        raise
    return workers


def close(workers):
    for worker in workers:
        worker.close()


def in_turn(workers, round_number):
    """Begin each round with another worker, so that nobody always follows the same neighbour."""
    first = round_number % len(workers)
    return workers[first:] + workers[:first]


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)
