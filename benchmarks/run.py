"""Compare tinygrad_course with other libraries: `python benchmarks/run.py --help`.

Every implementation runs in its own process; this one asks them in turn, round after round, so
that a slow minute of the machine falls on all of them.
"""

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path

import report
import workloads
from measuring import measure, measure_graphs, measure_memory, measure_tracing
from processes import WorkerError, close, say, start

PEERS = {  # name: (module in implementations/, package that must be installed)
    "ours": ("ours", "tinygrad_course"),
    "compiled": ("ours_compiled", "tinygrad_course"),
    "limit": ("limit", "numpy"),
    "numpy": ("numpy_by_hand", "numpy"),
    "torch": ("pytorch", "torch"),
    "torch_fused": ("pytorch_fused", "torch"),
    "torch_channels_last": ("pytorch_channels_last", "torch"),
    "torch_compile": ("pytorch_compile", "torch"),
    "jax": ("jax_", "jax"),
    "jax_scan": ("jax_scan", "jax"),
    "autograd": ("hips_autograd", "autograd"),
    "mygrad": ("mygrad_", "mygrad"),
    "micrograd": ("micrograd_", "micrograd"),
    "tinygrad": ("tinygrad_", "tinygrad"),
}
BUILD_GRAPHS = ("ours", "torch")  # those whose leaves and backward() the graph workload can use
GROUPS = {
    "chain": ("chain_scalar", "chain_10"),
    "networks": ("s", "m", "l", "deep", "dropadam", "lenet"),
    "adam": ("adam_1m", "adam_10m"),
    "conv": ("conv_1", "conv_20", "conv_32", "conv_64"),
}
EXTRA = ("first", "memory", "graph")
ONLY = (*workloads.NAMES, *EXTRA)


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
    allowed = (*GROUPS, *ONLY)
    add("--only", type=names(allowed), help=f"workloads, of {','.join(allowed)} (all)")
    add(
        "--peers",
        type=names(PEERS),
        default=list(PEERS),
        help=f"implementations, of {','.join(PEERS)} (all); ratios are first/other",
    )
    add("--json", type=Path, help="write every number to this file")
    add("--threads", type=int, default=os.cpu_count(), help="threads of each (number of cores)")
    add("--data", type=str, help="folder with MNIST's gzipped IDX files (synthetic images)")
    add("--block", type=float, help="seconds per block (0.3; smoke 0.002)")
    add("--smoke", action="store_true", help="tiny sizes: does it work? Its times mean nothing")
    return completed(parser.parse_args())


def completed(options):
    """Fill in the defaults that depend on other options."""
    options.rounds = options.rounds or (2 if options.smoke else 7)
    options.block = options.block or (0.002 if options.smoke else 0.3)
    chosen = options.only or ONLY
    options.only = {part for name in chosen for part in GROUPS.get(name, (name,))}
    if options.data:
        options.data = str(Path(options.data).resolve())
    return options


def installed(names, result):
    """Return (name, module, options) of the peers that can be imported."""
    wanted = []
    for name in names:
        module, package = PEERS[name]
        if importlib.util.find_spec(package):
            wanted.append((name, module, None))
        else:
            result["left_out"].append(f"{name}: the package {package} is not installed")
            say(f"left out: {result['left_out'][-1]}")
    return wanted


def run(options, result):
    """Fill `result` workload by workload, so that an interrupted run can print what it has."""
    wanted = installed(options.peers, result)
    say(f"starting {', '.join(w[0] for w in wanted)} with {options.threads} thread(s) each")
    workers = start(wanted, options.threads, result["problems"], result["left_out"])
    try:
        result["libraries"] = {worker.name: worker.about for worker in workers}
        for workload in workloads.SMOKE if options.smoke else workloads.FULL:
            able = [w for w in workers if w.can(workload)]
            if workload.name in options.only and able:
                found = measure(workload, able, options, result)
                if found:
                    result["workloads"][workload.name] = found
                    print(report.workload_table(workload.name, found), flush=True)
        if "first" in options.only and any(w.about["compiles"] for w in workers):
            result["first"] = measure_tracing(workers, options)
            print(report.first_table(result["first"]), flush=True)
    finally:
        close(workers)
    started = [one for one in wanted if one[0] in result["libraries"]]
    if "memory" in options.only:
        result["memory"] = measure_memory(started, options, result)
        print(report.memory_table(result["memory"]), flush=True)
    able = [one for one in started if one[0] in BUILD_GRAPHS]
    if "graph" in options.only and able:
        result["graph"] = measure_graphs(able, options, result)
        print(report.graph_table(result["graph"]), flush=True)


def finish(fill, options):
    """Let `fill` measure, print the summary, write the JSON; return the exit status."""
    result = report.empty(options)
    interrupted = False
    try:
        fill(options, result)
    except KeyboardInterrupt:
        interrupted = True
        result["problems"].append("interrupted: not everything was measured")
        say("\ninterrupted: the workers are ended, what was finished follows")
    except WorkerError as error:
        result["problems"].append(str(error))
        say(f"\nerror: {error}")
    print(report.summary(result))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        say(f"wrote {options.json}")
    if interrupted:
        return 130
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(finish(run, parse()))
