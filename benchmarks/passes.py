"""What each pass of tc.compile brings: `python benchmarks/passes.py --help`.

The compiled step with every pass, with each single pass switched off, with none, with buffers that
are not reused, and eager: each in a process of its own, timed in turn as in run.py. A pass without
which the source is the same is not timed: what it would show is noise.
"""

import argparse
import os
import re
import sys
import textwrap
from pathlib import Path

import report
import workloads
from measuring import measure
from processes import close, say, start
from run import completed, finish

from tinygrad_course.replay.passes import PASSES

KINDS = ("network", "deep", "dropout", "lenet", "adam", "convolution")
WORKLOADS = tuple(w.name for w in workloads.FULL if w.kind in KINDS)
DEFAULT = ("s", "m", "l", "deep", "dropadam", "lenet")


def variants():
    """Return the ways to compile: (name, module, options)."""
    every = list(PASSES)
    found = [("all", "ours_compiled", {"passes": every})]
    for name in every:
        rest = [other for other in every if other != name]
        found.append((f"without {name}", "ours_compiled", {"passes": rest}))
    buffers = {"passes": every, "reuse_buffers": False}
    found.append(("buffers not reused", "ours_compiled", buffers))
    found.append(("no passes", "ours_compiled", {"passes": []}))
    found.append(("eager", "ours", None))
    return found


def parse():
    parser = argparse.ArgumentParser(description="Time compiled steps without each single pass.")

    def names(text):
        for name in (chosen := text.split(",")):
            if name not in WORKLOADS:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {','.join(WORKLOADS)}")
        return chosen

    add = parser.add_argument
    default = ",".join(DEFAULT)
    add("--only", type=names, default=list(DEFAULT), help=f"of {','.join(WORKLOADS)} ({default})")
    add("--rounds", type=int, help="blocks per variant (7; smoke 2)")
    add("--json", type=Path, help="write every number to this file")
    add("--threads", type=int, default=os.cpu_count(), help="threads (number of cores)")
    add("--data", type=str, help="folder with MNIST's gzipped IDX files (synthetic images)")
    add("--block", type=float, help="seconds per block (0.3; smoke 0.002)")
    add("--smoke", action="store_true", help="tiny sizes: does it work? Its times mean nothing")
    return completed(parser.parse_args())


def run(options, result):
    workers = start(variants(), options.threads, result["problems"], result["left_out"])
    try:
        result["libraries"] = {worker.name: worker.about for worker in workers[:1]}
        for workload in workloads.SMOKE if options.smoke else workloads.FULL:
            if workload.name not in options.only:
                continue
            same = without_effect(workload, workers, options)
            others = [worker for worker in workers if worker.name not in same]
            found = measure(workload, others, options, result)
            if found:
                result["workloads"][workload.name] = found | {"same_source": same}
                print(report.workload_table(workload.name, found), end="")
                text = f"the same source: {', '.join(same) or 'none'}"
                indent = {"initial_indent": "  ", "subsequent_indent": "  "}
                print(textwrap.fill(text, 100, **indent), end="\n\n", flush=True)
    finally:
        close(workers)


def without_effect(workload, workers, options):
    """Return the variants whose source has the words of that of all passes.

    Their order may differ: gradients are returned in the order in which Python keeps the Tensors.
    """
    every, *rest = (w for w in workers if w.about["compiles"])
    setting = {"workload": workload.name, "smoke": options.smoke, "folder": options.data}
    sources = {}
    for worker in (every, *rest):
        say(f"{workload.name}: source of {worker.name}")
        worker.ask("setup", **setting)
        worker.ask("values", steps=3)  # in the first, gradients are still None
        sources[worker.name] = sorted(re.findall(r"\w+", worker.ask("source")))
    return [w.name for w in rest if sources[w.name] == sources[every.name]]


if __name__ == "__main__":
    sys.exit(finish(run, parse()))
