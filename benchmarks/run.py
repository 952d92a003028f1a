"""Compare tinygrad_course with other libraries: `python benchmarks/run.py --help`.

Every implementation runs in its own process; this one asks them in turn, round after round, so
that a slow minute of the machine falls on all of them.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import report
import workloads

HERE = Path(__file__).resolve().parent

IMPLEMENTATIONS = {  # name: (module in implementations/, package that must be installed)
    "ours": ("ours", "tinygrad_course"),
    "compiled": ("ours_compiled", "tinygrad_course"),
    "numpy": ("numpy_by_hand", "numpy"),
    "torch": ("pytorch", "torch"),
    "autograd": ("hips_autograd", "autograd"),
    "mygrad": ("mygrad_", "mygrad"),
    "micrograd": ("micrograd_", "micrograd"),
    "jax": ("jax_", "jax"),
}
ONLY_SCALARS = {"micrograd"}
ONLY_NETWORKS = {"compiled"}
LAYERS = {"ours", "compiled", "numpy", "torch"}  # those with batch norm and convolutions
BUILD_GRAPHS = ("ours", "torch")  # those whose leaves and backward() the graph workload can use
GROUPS = {"chain": ("chain_scalar", "chain_10")}
ONLY = ("chain", "chain_scalar", "chain_10", "s", "m", "l", "deep", "lenet", "graph")


class WorkerError(Exception):
    """A worker raised, or ended without an answer."""


class Worker:
    """A process that runs one implementation and answers one request at a time."""

    def __init__(self, name, threads):
        self.name = name
        module, _package = IMPLEMENTATIONS[name]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | thread_settings(threads),
            encoding="utf-8",
        )
        try:
            self.about = self.ask("hello", threads=threads)
        except BaseException:
            self.close()
            raise

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
        if "error" in answer:
            raise WorkerError(f"{self.name} failed in {request!r}:\n{answer['error']}")
        return answer["ok"]

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
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(HERE),
    }


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


def start(names, threads, problems):
    """Start the workers that can be started; the others are problems, not the end of the run."""
    workers = []
    try:
        for name in names:
            try:
                workers.append(Worker(name, threads))
            except WorkerError as error:
                problems.append(str(error))
                say(f"  error: {error}")
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


def measure(workload, workers, options, problems):
    """Check that the workers agree, then time blocks of steps of each in turn."""
    values = {}
    for worker in workers:
        say(f"{workload.name}: checking {worker.name}")
        try:
            worker.ask("setup", workload=workload.name, smoke=options.smoke, folder=options.data)
            values[worker.name] = worker.ask("values", steps=workload.check_steps)
        except WorkerError as error:
            problems.append(f"{workload.name}: {error}")
            say(f"  error: {error}")
    if not values:
        return None
    check = report.compare(values, "numpy", workload.tolerance)
    for name in check["disagree"]:
        problems.append(
            f"{workload.name}: {name} differs from {check['reference']} by "
            f"{check['deviation'][name]:.1e} (relative), allowed are {workload.tolerance:.0e}"
        )
        say(f"  error: {problems[-1]}")
    agreed = [w for w in workers if w.name in values and w.name not in check["disagree"]]
    if not agreed:
        return None

    steps = {w.name: w.ask("calibrate", seconds=options.block) for w in agreed}
    blocks = {w.name: [] for w in agreed}
    for k in range(options.rounds):
        say(f"{workload.name}: round {k + 1}/{options.rounds}:", end="")
        for worker in in_turn(agreed, k):
            say(f" {worker.name}", end="")
            blocks[worker.name].append(worker.ask("time", steps=steps[worker.name]))
        say("")
    return {
        "title": workload.title,
        "check": {"steps": workload.check_steps, **check},
        "steps_per_block": steps,
        "seconds": {name: [b["seconds"] for b in found] for name, found in blocks.items()},
        "busy_cores": {name: [b["busy"] for b in found] for name, found in blocks.items()},
    }


def measure_graphs(names, options, problems):
    """Time chains of growing length, each length in fresh processes, so that memory is comparable.

    The first round of each process also says how much it grew while it built its first chain.
    """
    found = {}
    for nodes in workloads.SMOKE_GRAPH_NODES if options.smoke else workloads.GRAPH_NODES:
        chains = max(1, (1_000 if options.smoke else 50_000) // nodes)
        workers = start(names, options.threads, problems)
        try:
            rounds = {worker.name: [] for worker in workers}
            for k in range(options.rounds):
                say(f"graph {nodes}: round {k + 1}/{options.rounds}:", end="")
                for worker in in_turn(workers, k):
                    say(f" {worker.name}", end="")
                    rounds[worker.name].append(worker.ask("graph", nodes=nodes, chains=chains))
                say("")
        finally:
            close(workers)
        found[str(nodes)] = rounds
    return found


def parse():
    parser = argparse.ArgumentParser(
        description="Compare tinygrad_course with other libraries; see benchmarks/README.md."
    )

    def names(allowed):
        def split(text):
            chosen = text.split(",")
            for name in chosen:
                if name not in allowed:
                    raise argparse.ArgumentTypeError(f"{name!r} is not one of {','.join(allowed)}")
            return chosen

        return split

    add = parser.add_argument
    add("--rounds", type=int, help="blocks per implementation and workload (7; smoke 2)")
    add("--only", type=names(ONLY), help=f"workloads, of {','.join(ONLY)} (all)")
    add(
        "--peers",
        type=names(IMPLEMENTATIONS),
        default=list(IMPLEMENTATIONS),
        help=f"implementations, of {','.join(IMPLEMENTATIONS)} (all); ratios are first/other",
    )
    add("--json", type=Path, help="write every number to this file")
    add("--threads", type=int, default=os.cpu_count(), help="threads of each (number of cores)")
    add("--data", type=str, help="folder with MNIST's gzipped IDX files (synthetic images)")
    add("--block", type=float, help="seconds per block (0.3; smoke 0.002)")
    add("--smoke", action="store_true", help="tiny sizes: does it work? Its times mean nothing")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.smoke else 7)
    options.block = options.block or (0.002 if options.smoke else 0.3)
    chosen = options.only or ONLY
    options.only = {part for name in chosen for part in GROUPS.get(name, (name,))}
    if options.data:
        options.data = str(Path(options.data).resolve())
    return options


def run(options, result):
    """Fill `result` workload by workload, so that an interrupted run can print what it has."""
    problems = result["problems"]
    names = []
    for name in options.peers:
        package = IMPLEMENTATIONS[name][1]
        if importlib.util.find_spec(package):
            names.append(name)
        else:
            result["left_out"].append(f"{name}: the package {package} is not installed")
            say(f"left out: {result['left_out'][-1]}")

    say(f"starting {', '.join(names)} with {options.threads} thread(s) each")
    workers = start(names, options.threads, problems)
    try:
        result["libraries"] = {worker.name: worker.about for worker in workers}
        for workload in workloads.SMOKE if options.smoke else workloads.FULL:
            able = [w for w in workers if w.name not in ONLY_SCALARS]
            if workload.name == "chain_scalar":
                able = workers
            if workload.kind == "chain":
                able = [w for w in able if w.name not in ONLY_NETWORKS]
            if workload.kind in ("deep", "lenet"):
                able = [w for w in workers if w.name in LAYERS]
            if workload.name in options.only and able:
                found = measure(workload, able, options, problems)
                if found:
                    result["workloads"][workload.name] = found
                    print(report.workload_table(workload.name, found), flush=True)
    finally:
        close(workers)
    able = [name for name in names if name in BUILD_GRAPHS]
    if "graph" in options.only and able:
        result["graph"] = measure_graphs(able, options, problems)
        print(report.graph_table(result["graph"]), flush=True)


def main():
    options = parse()
    result = report.empty(options)
    interrupted = False
    try:
        run(options, result)
    except KeyboardInterrupt:
        interrupted = True
        result["problems"].append("interrupted: not everything was measured")
        say("\ninterrupted: the workers are ended, what was finished follows")
    except WorkerError as error:
        result["problems"].append(str(error))
        say(f"\nerror: {error}")
    print(report.summary(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        say(f"wrote {options.json}")
    if interrupted:
        return 130
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
