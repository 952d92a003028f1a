"""What was measured, as text of at most 100 columns and as a dict for JSON."""

import datetime as dt
import math
import os
import platform
import statistics
import subprocess
from pathlib import Path

import workloads


def empty(options):
    """Return a result without measurements: when, where and how."""
    return {
        "format": 2,
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "environment": steering(),
            "load_before": os.getloadavg() if hasattr(os, "getloadavg") else None,
        },
        "settings": {
            "rounds": options.rounds,
            "block_seconds": options.block,
            "threads": options.threads,
            "images": "MNIST" if options.data else "synthetic",
            "smoke": options.smoke,
        },
        "libraries": {},
        "left_out": [],
        "problems": [],
        "workloads": {},
        "first": {},
        "memory": {},
        "graph": {},
    }


def steering():
    """Return the variables that make a numerical library choose other kernels than its own."""
    words = ("CORETYPE", "L2_SIZE", "CPU_TYPE", "ISA", "INSTRUCTIONS", "XLA_FLAGS")
    found = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("OPENBLAS_", "MKL_", "ONEDNN_", "ATEN_", "NPY_", "XLA_"))
        and any(word in name for word in words)
    }
    return dict(sorted(found.items()))


def cpu_model():
    system = platform.system()
    if system == "Linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    if system == "Darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def compare(values, reference, tolerance):
    """Return how far each implementation is from the reference, relative, at its worst number.

    The reference is the one without a library, or the first if that one does not take part.
    """
    reference = reference if reference in values else next(iter(values))
    deviation = {name: furthest(found, values[reference]) for name, found in values.items()}
    return {
        "reference": reference,
        "tolerance": tolerance,
        "values": values,
        "deviation": deviation,
        "disagree": [name for name, worst in deviation.items() if worst > tolerance],
    }


def furthest(found, expected):
    """Return the largest relative difference; infinity where a number is not finite."""
    pairs = [
        (x, y)
        for step, expected_step in zip(found, expected, strict=True)
        for x, y in zip(step, expected_step, strict=True)
    ]
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in pairs):
        return math.inf
    return max(abs(x - y) / max(abs(y), 1e-12) for x, y in pairs)


def ratios(found, base=None):
    """Return, per peer, base/peer of the medians and of each round; the first is the base."""
    base = base or next(iter(found["seconds"]))
    ours = found["seconds"][base]
    return {
        peer: {
            "of_medians": statistics.median(ours) / statistics.median(times),
            "rounds": [x / y for x, y in zip(ours, times, strict=True)],
        }
        for peer, times in found["seconds"].items()
        if peer != base
    }


def workload_table(name, found):
    check, times = found["check"], found["seconds"]
    compared_with = check["reference"]
    base = next(iter(times))
    compared = ratios(found)
    unit, scale = ("us", 1e6) if statistics.median(times[base]) < 1e-3 else ("ms", 1e3)
    rows = [("", f"{unit}/step", "(min .. max)", f"{base}/peer", "(per round)", "cores", "differs")]
    for peer, seconds in times.items():
        ratio = compared.get(peer)
        rows.append(
            (
                peer,
                number(statistics.median(seconds) * scale),
                f"({number(min(seconds) * scale)} .. {number(max(seconds) * scale)})",
                number(ratio["of_medians"]) if ratio else "",
                spread(ratio["rounds"]) if ratio else "",
                f"{statistics.median(found['busy_cores'][peer]):.1f}",
                difference(check, peer),
            )
        )
    text = (
        f"\n{name}: {found['title']}\n{aligned(rows)}"
        f"  differs: largest relative difference from {compared_with} in the first "
        f"{check['steps']} step(s)\n  (allowed {check['tolerance']:.0e}); "
        f"cores: processor time / time\n"
    )
    if "in_the_mean" in check:
        mean = check["in_the_mean"]["deviation"].values()
        text += f"  without dropout; with it, the mean losses differ by up to {max(mean):.0e}\n"
    return text


def difference(check, peer):
    if peer == check["reference"] or peer not in check["deviation"]:
        return ""
    return f"{check['deviation'][peer]:.0e}"


def first_table(first):
    rows = [("", "", "ms", "(min .. max)")]
    for name, found in first.items():
        for peer, seconds in found.items():
            cells = number(1e3 * statistics.median(seconds)), spread([1e3 * s for s in seconds])
            rows.append((name, peer, *cells))
    return (
        f"\nfirst: tracing or compiling a new step (three first calls less three later ones)\n"
        f"{aligned(rows)}"
    )


def memory_table(memory):
    rows = [("", "first step", "later")]
    for peer, grown in memory.items():
        cells = ("-", "-") if grown is None else tuple(f"{size / 2**20:.0f}" for size in grown)
        rows.append((peer, *cells))
    return (
        f"\nmemory: {workloads.MEMORY.title}:\nby how many MiB the process grew at its peak; the "
        f"activations of a layer take 1 MiB,\nthose of all layers 50, the gradients of the weights "
        f"50\n{aligned(rows)}"
    )


def graph_table(graph):
    rows = [("nodes", "", "forward", "(min .. max)", "backward", "(min .. max)", "drop", "bytes")]
    for nodes, rounds in graph.items():
        for name, found in rounds.items():
            cells = [nodes, name]
            for part in ("forward", "backward"):
                times = [1e9 * one[part] for one in found]
                cells.append(f"{statistics.median(times):.0f}")
                cells.append(f"({min(times):.0f} .. {max(times):.0f})")
            cells.append(f"{statistics.median(1e9 * one['drop'] for one in found):.0f}")
            # the growth of a process comes in pages and pools, which hide a small graph
            size = found[0]["bytes"]
            cells.append("-" if size is None or int(nodes) < 100_000 else f"{size:.0f}")
            rows.append(tuple(cells))
    return (
        f"\ngraph: chains of scalar operations, ns per node; drop: forgetting the result; "
        f"bytes: growth\nof the process per node after forward (first chain of a fresh process)\n"
        f"{aligned(rows)}"
    )


def summary(result):
    """Return one line per workload: base/peer for every peer, and what went wrong."""
    found = result["workloads"]
    machine, settings, libraries = result["machine"], result["settings"], result["libraries"]
    system = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}"
    lines = [
        f"\n{system}, {settings['threads']} thread(s), {settings['images']} images",
        *(f"  {name}: {about['version']}" for name, about in libraries.items()),
        *(f"  OpenBLAS uses its {kernels} kernels" for kernels in openblas_kernels(libraries)),
        *(f"  set: {name}={value}" for name, value in machine["environment"].items()),
    ]
    if found:
        longest_first = sorted(found.values(), key=lambda one: -len(one["seconds"]))
        peers = list(dict.fromkeys(peer for one in longest_first for peer in ratios(one)))
        lines += [f"\nratios of the medians of {settings['rounds']} rounds, lower is better:"]
        lines += [ratio_table(found, some) for some in fitting(peers)]
    lines += [f"left out: {text}" for text in result["left_out"]]
    lines += [f"ERROR: {text}" for text in result["problems"]]
    if settings["smoke"]:
        lines.append("smoke run: the times above mean nothing")
    return "\n".join(lines)


def fitting(peers, width=70):
    """Return the peers in groups whose names stand side by side on a line."""
    groups, used = [[]], 0
    for peer in peers:
        needed = max(len(peer), 7) + 2
        if groups[-1] and used + needed > width:
            groups.append([])
            used = 0
        groups[-1].append(peer)
        used += needed
    return groups


def ratio_table(found, peers):
    rows = [("", *peers)]
    for name, one in found.items():
        compared = ratios(one)
        cells = [number(compared[p]["of_medians"]) if p in compared else "-" for p in peers]
        rows.append((f"{name}: {next(iter(one['seconds']))} /", *cells))
    return aligned(rows)


def openblas_kernels(libraries):
    """Return the processors for which OpenBLAS chose its kernels: one, unless something is odd."""
    pools = [pool for about in libraries.values() for pool in about["pools"] or ()]
    return sorted({pool["kernels"] for pool in pools if pool["kernels"]})


def spread(values):
    return f"({number(min(values))} .. {number(max(values))})"


def number(value):
    """Return a positive number with three digits that matter."""
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{min(max(digits, 0), 4)}f}"


def aligned(rows):
    """Return the rows as lines, the first column to the left, the others to the right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  " + "  ".join([first.ljust(widths[0]), *cells]).rstrip() + "\n")
    return "".join(lines)
