"""Write measured numbers into docs/benchmarks.md and draw its picture from the JSON of runs.

    python benchmarks/page.py benchmarks/results/*.json

Files of run.py with the same threads and kernels make one chapter; the picture shows the first.
"""

import argparse
import json
import statistics
from pathlib import Path

import report
import workloads
from picture import draw

DOCS = Path(__file__).resolve().parents[1] / "docs"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
ALL_PASSES = "all"
UNSTEADY = 4
"""Largest by smallest ratio within one round from which on the median says nothing."""

COMPILED = {  # heading: the peers that may stand below it
    "limit": ("limit",),
    "NumPy by hand": ("numpy",),
    "PyTorch": ("torch",),
    "PyTorch, tuned": ("torch_fused", "torch_channels_last"),
    "torch.compile": ("torch_compile",),
    "JAX": ("jax",),
    "JAX, scan": ("jax_scan",),
    "tinygrad": ("tinygrad",),
}
EAGER = {
    "NumPy by hand": ("numpy",),
    "PyTorch": ("torch",),
    "PyTorch, tuned": ("torch_fused", "torch_channels_last"),
    "autograd": ("autograd",),
    "MyGrad": ("mygrad",),
    "micrograd": ("micrograd",),
    "JAX": ("jax",),
}


def merged(results):
    """Return results of one setting as one."""
    first, *rest = results
    whole = json.loads(json.dumps(first))
    for other in rest:
        for part in ("libraries", "workloads", "first", "memory", "graph"):
            whole[part].update(other[part])
        for part in ("left_out", "problems"):
            whole[part] += [line for line in other[part] if line not in whole[part]]
    order = [name for name in workloads.NAMES if name in whole["workloads"]]
    return whole | {"workloads": {name: whole["workloads"][name] for name in order}}


def setting(result):
    """Return what makes two results comparable."""
    machine, settings = result["machine"], result["settings"]
    return (
        *(machine["cpu"], machine["python"], json.dumps(machine["environment"])),
        *(settings["threads"], settings["images"], is_of_passes(result)),
    )


def is_of_passes(result):
    return any(ALL_PASSES in one["seconds"] for one in result["workloads"].values())


def chapter(result):
    """Return the text of one setting."""
    threads = result["settings"]["threads"]
    forced = result["machine"]["environment"]
    kernels = ", ".join(report.openblas_kernels(result["libraries"])) or "unknown"
    chosen = "prescribed by the machine" if "OPENBLAS_CORETYPE" in forced else "NumPy's own choice"
    title = f"{threads} thread{'s' if threads > 1 else ''}, OpenBLAS kernels: {kernels} ({chosen})"
    if is_of_passes(result):
        title = f"What each pass brings ({title})"
    parts = [f"## {title}", about(result)]
    if is_of_passes(result):
        parts.append(passes(result["workloads"]))
    else:
        parts += ratios_of(result["workloads"], "compiled", COMPILED)
        parts += ratios_of(result["workloads"], "ours", EAGER)
        parts += [first_calls(result["first"])] if result["first"] else []
        parts += [memory(result["memory"])] if result["memory"] else []
        parts += [graphs(result["graph"])] if result["graph"] else []
    parts += [f"Left out: {line}." for line in result["left_out"]]
    parts += [f"**Problem**: {line.splitlines()[0]}." for line in result["problems"]]
    return "\n\n".join(parts)


def about(result):
    machine, settings = result["machine"], result["settings"]
    versions = {v for about in result["libraries"].values() for v in about["version"].split(", ")}
    forced = ", ".join(f"`{name}={value}`" for name, value in machine["environment"].items())
    return (
        f"{result['date'][:10]}, {machine['cpu']} with {machine['cores']} cores, Python "
        f"{machine['python']}; {', '.join(sorted(versions))}; {settings['images']} images, "
        f"{settings['rounds']} rounds of {settings['block_seconds']} s"
        f"{f'; set: {forced}' if forced else ''}."
    )


def ratios_of(workloads, base, columns):
    """Return a heading and the table of base / other, or nothing if there is nothing."""
    found = {name: one for name, one in workloads.items() if base in one["seconds"]}
    present = {peer for one in found.values() for peer in one["seconds"]}
    columns = {head: peers for head, peers in columns.items() if present & set(peers)}
    if not found:
        return []
    rows = []
    for name, one in found.items():
        compared = report.ratios(one, base)
        cells = [name, duration(one["seconds"][base])]
        for peers in columns.values():
            ratio = next((compared[p] for p in peers if p in compared), None)
            cells.append(with_spread(ratio["of_medians"], ratio["rounds"]) if ratio else "")
        rows.append(cells)
    what = {"compiled": "`tc.compile`", "ours": "Eager"}[base]
    return [
        f"{what}: time of a step, and that time divided by the other's",
        table(["", "time", *columns], rows),
    ]


def passes(workloads):
    rows = [
        ["time with all", *(duration(one["seconds"][ALL_PASSES]) for one in workloads.values())]
    ]
    names = [(*one["seconds"], *one["same_source"]) for one in workloads.values()]
    variants = dict.fromkeys(name for some in names for name in some if name != ALL_PASSES)
    for variant in sorted(variants, key=lambda name: not name.startswith("without")):
        cells = [variant]
        for one in workloads.values():
            every, times = one["seconds"][ALL_PASSES], one["seconds"].get(variant)
            if times:
                rounds = [x / y for x, y in zip(times, every, strict=True)]
                ratio = statistics.median(times) / statistics.median(every)
                cells.append(with_spread(ratio, rounds))
            else:
                cells.append("same" if variant in one["same_source"] else "")
        rows.append(cells)
    text = (
        "Times divided by the time with all passes: above 1, the pass pays. Same: the source is "
        "the same without it."
    )
    return f"{text}\n\n{table(['', *workloads], rows)}"


def first_calls(first):
    peers = list(dict.fromkeys(peer for found in first.values() for peer in found))
    rows = []
    for name, found in first.items():
        times = [found.get(peer) for peer in peers]
        rows.append([name, *(duration(t) if t else "" for t in times)])
    text = "Tracing or compiling a new step: its three first calls less three later ones"
    return f"{text}\n\n{table(['', *peers], rows)}"


def memory(grown):
    rows = [
        [peer, *(f"{size / 2**20:.0f}" for size in sizes or ())] for peer, sizes in grown.items()
    ]
    return (
        "Memory: by how many MiB the process grows at its peak while it trains 50 layers of 512, "
        "batch 512;\nthe activations take 50, the gradients of the weights 50\n\n"
        f"{table(['', 'first step', 'later'], rows)}"
    )


def graphs(graph):
    rows = []
    for nodes, rounds in graph.items():
        for peer, found in rounds.items():
            times = [[1e9 * one[part] for one in found] for part in ("forward", "backward")]
            cells = [f"{statistics.median(t):.0f} ({min(t):.0f}–{max(t):.0f})" for t in times]
            size = found[0]["bytes"]
            known = size is not None and int(nodes) >= 100_000
            rows.append([f"{int(nodes):,}", peer, *cells, f"{size:.0f}" if known else ""])
    head = ["nodes", "", "forward", "backward", "bytes"]
    return f"Chains of scalar operations, ns per node, bytes per node\n\n{table(head, rows)}"


def duration(seconds):
    median = statistics.median(seconds)
    unit, scale = ("µs", 1e6) if median < 1e-3 else ("ms", 1e3)
    return f"{report.number(median * scale)} {unit}"


def with_spread(value, rounds):
    spread = f"({min(rounds):.2f}–{max(rounds):.2f})"
    return f"unsteady {spread}" if max(rounds) > UNSTEADY * min(rounds) else f"{value:.2f} {spread}"


def table(head, rows):
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main():
    parser = argparse.ArgumentParser(description="Write docs/benchmarks.md from the JSON of runs.")
    parser.add_argument("files", nargs="+", type=Path, help="what run.py and passes.py wrote")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of benchmarks.md")
    options = parser.parse_args()
    groups = {}
    for file in options.files:
        result = json.loads(file.read_text(encoding="utf-8"))
        groups.setdefault(setting(result), []).append(result)
    results = [merged(group) for group in groups.values()]
    page = options.docs / "benchmarks.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    text = "\n\n".join(map(chapter, results))
    page.write_text(f"{before}{BEGIN}\n{text}\n\n{END}{after}", encoding="utf-8")
    measured = next(r for r in results if not is_of_passes(r))
    (options.docs / "images").mkdir(exist_ok=True)
    draw(measured["workloads"], options.docs / "images" / "benchmarks.svg")


if __name__ == "__main__":
    main()
