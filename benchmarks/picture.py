"""The bar chart of docs/benchmarks.md: ratios of medians, with the spread over the rounds."""

import report

PANELS = {  # whose time is divided by that of whom; gray and hatching also work in print
    "compiled": (
        "tc.compile",
        {
            "numpy": ("NumPy by hand", "0.9", ""),
            "torch": ("PyTorch", "0.35", ""),
            "jax": ("JAX, jitted", "0.7", "////"),
        },
    ),
    "ours": (
        "eager",
        {
            "numpy": ("NumPy by hand", "0.9", ""),
            "torch": ("PyTorch", "0.35", ""),
            "mygrad": ("MyGrad", "0.7", "--"),
        },
    ),
}


def draw(workloads, file):
    """Draw one panel for the compiled and one for the eager steps."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same numbers give the same file, and text stays text.
    mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    names = [n for n, one in workloads.items() if set(PANELS) & set(one["seconds"])]
    height = 1.2 + 0.42 * len(names)
    figure, axes = plt.subplots(1, 2, figsize=(9, height), sharey=True, layout="constrained")
    for axis, (base, (title, peers)) in zip(axes, PANELS.items(), strict=True):
        panel(axis, workloads, names, base, peers)
        axis.set_title(f"{title}: time / time of the other")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def panel(axis, workloads, names, base, peers):
    """Draw a bar from 1, equal speed, to each ratio."""
    width = 0.8 / len(peers)
    for k, (peer, (label, gray, hatch)) in enumerate(peers.items()):
        places, values, spreads = [], [], ([], [])
        for row, name in enumerate(names):
            seconds = workloads[name]["seconds"]
            if base not in seconds or peer not in seconds:
                continue
            ratio = report.ratios(workloads[name], base)[peer]
            value = ratio["of_medians"]
            places.append(row + (k - (len(peers) - 1) / 2) * width)
            values.append(value)
            spreads[0].append(max(value - min(ratio["rounds"]), 0))
            spreads[1].append(max(max(ratio["rounds"]) - value, 0))
        axis.barh(
            *(places, [value - 1 for value in values], width),
            left=1,
            xerr=spreads,
            label=label,
            color=gray,
            hatch=hatch,
            edgecolor="black",
            linewidth=0.6,
            error_kw={"elinewidth": 0.8, "capsize": 1.5},
        )
    axis.set_xscale("log")
    ticks = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20]
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.axvline(1, color="black", linewidth=1)
    axis.grid(axis="x", color="0.85", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_xlabel("below 1: tinygrad_course is faster")
    axis.margins(y=0.02)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3, fontsize=8, frameon=False)
