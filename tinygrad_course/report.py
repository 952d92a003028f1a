"""The pictures and the page that a training run leaves behind."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_course.checking import GradcheckReport
from tinygrad_course.data import ImageData
from tinygrad_course.training import Evaluation, Options, Record

TRAIN, DEV, ACCENT = "#0b6e99", "#d9730d", "#6b7280"


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import; pyplot would choose a window system

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _svg(figure: Any) -> str:
    import matplotlib as mpl  # noqa: PLC0415 - slow to import

    buffer = io.StringIO()
    # Text as paths looks the same everywhere; a fixed salt makes equal figures equal files.
    with mpl.rc_context({"svg.hashsalt": "tinygrad_course"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def curves_svg(record: Record) -> str:
    """Draw cost and accuracy by epoch, on training and development data."""
    figure, ((cost, accuracy),) = _figure(1, 2, (9.0, 3.4))
    epochs = np.arange(1, len(record.train_cost) + 1)
    panels = (
        (cost, "cost", record.train_cost, record.dev_cost),
        (
            accuracy,
            "accuracy (%)",
            *(100 * np.array(a) for a in (record.train_accuracy, record.dev_accuracy)),
        ),
    )
    for axes, label, train, dev in panels:
        axes.plot(epochs, train, color=TRAIN, label="training", linewidth=1.8)
        axes.plot(epochs, dev, color=DEV, label="development", linewidth=1.8)
        axes.axvline(record.best_epoch + 1, color=ACCENT, linestyle=":", linewidth=1.2)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
    cost.set_yscale("log")
    best = f"best epoch {record.best_epoch + 1}"
    accuracy.plot([], [], color=ACCENT, linestyle=":", label=best)
    accuracy.legend(loc="lower right", framealpha=1, edgecolor="none")
    return _svg(figure)


def mistakes_svg(data: ImageData, result: Evaluation) -> str:
    """Draw the confusion matrix of the test set, and the first digits that were misread."""
    figure, ((matrix, gallery),) = _figure(1, 2, (9.0, 3.9))
    counts = np.zeros((data.classes, data.classes), dtype=int)
    np.add.at(counts, (data.test.y, result.predicted), 1)
    shown = counts.astype(float)
    shown[np.diag_indices(data.classes)] = 0  # the diagonal would drown the mistakes
    matrix.imshow(shown, cmap="Oranges", vmin=0, vmax=max(shown.max(), 1))
    for true, guess in np.ndindex(counts.shape):
        if counts[true, guess]:
            dark = shown[true, guess] > shown.max() / 2
            colour = ACCENT if true == guess else "white" if dark else "black"
            matrix.text(
                guess, true, counts[true, guess], ha="center", va="center", size=7, color=colour
            )
    matrix.set(xlabel="predicted", ylabel="true", title="test set: true against predicted")
    ticks = range(data.classes)
    matrix.set_xticks(ticks)
    matrix.set_yticks(ticks)
    wrong = np.flatnonzero(result.predicted != data.test.y)
    gallery.set_axis_off()
    gallery.set_title(f"misread: {len(wrong)} of {len(data.test)}")
    columns, (height, width) = 6, data.image_shape
    for place, i in enumerate(wrong[: columns * 4]):
        row, column = divmod(place, columns)
        image = data.test.x[i].reshape(data.image_shape)
        extent = (column * 1.2, column * 1.2 + 1, -row * 1.6 - 1, -row * 1.6)
        gallery.imshow(image, cmap="gray_r", extent=extent, interpolation="nearest")
        caption = f"{data.test.y[i]} as {result.predicted[i]}"
        gallery.text(column * 1.2 + 0.5, -row * 1.6 - 1.05, caption, ha="center", va="top", size=8)
    rows = max(-(-min(len(wrong), columns * 4) // columns), 1)
    gallery.set_xlim(-0.1, columns * 1.2)
    gallery.set_ylim(-rows * 1.6, 0.1)
    gallery.set_aspect(height / width)
    return _svg(figure)


@dataclass(frozen=True)
class Run:
    """Everything that the page shows."""

    data: ImageData
    options: Options
    record: Record
    test: Evaluation
    check: GradcheckReport
    parameters: int
    seconds: float
    graph: str
    curves: str


def facts(run: Run) -> list[tuple[str, str]]:
    """Return the table at the end of a run: labels and values."""
    options, record = run.options, run.record
    best = record.best_epoch
    done = (
        f"{len(record.train_cost)} of {options.epochs}"
        if record.interrupted
        else str(options.epochs)
    )
    sizes = " → ".join(
        map(
            str,
            (run.data.image_shape[0] * run.data.image_shape[1], *options.hidden, run.data.classes),
        )
    )
    return [
        ("test accuracy", f"{run.test.accuracy:.2%}"),
        ("test cost", f"{run.test.cost:.4f}"),
        ("development accuracy", f"{record.dev_accuracy[best]:.2%} (epoch {best + 1})"),
        ("training accuracy", f"{record.train_accuracy[best]:.2%}"),
        ("gradient check", f"{run.check.verdict}, difference {run.check.difference:.0e}"),
        (
            "data",
            f"{run.data.name}: {len(run.data.train)} / {len(run.data.dev)} / {len(run.data.test)}",
        ),
        ("network", f"{sizes}, dropout {options.dropout:g}, {run.parameters:,} parameters"),
        (
            "optimizer",
            f"{options.optimizer}, lr {options.learning_rate:g}, batch {options.batch_size}",
        ),
        ("epochs", done),
        ("seed", str(options.seed)),
        ("time", f"{run.seconds:.1f} s"),
    ]


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.big { font-size: 2.6rem; font-weight: 650; color: #0b6e99; margin: 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: left; padding: .22rem 1rem .22rem 0; border-bottom: 1px solid #d8dee4; }
figure { margin: 0; overflow-x: auto; } svg { max-width: 100%; height: auto; }
figure.graph { border: 1px solid #d8dee4; border-radius: 6px; padding: .5rem; max-height: 44rem;
               overflow: auto; }
figure.graph svg { max-width: none; }
figcaption, .note { color: #57606a; font-size: .9rem; }
"""


def report_html(run: Run) -> str:
    """Return the page: result, curves, mistakes, gradient check and graph, in one file."""
    title = f"{run.data.name}: {run.test.accuracy:.2%} test accuracy"
    rows = "".join(
        f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in facts(run)
    )
    interrupted = (
        "<p><strong>The run was interrupted; the best model so far is shown.</strong></p>"
        if run.record.interrupted
        else ""
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body>
<h1>Training run on {html.escape(run.data.name)}</h1>
<p class="big">{run.test.accuracy:.2%}</p>
<p class="note">of {len(run.data.test)} test images that neither training nor the choice of the
epoch has seen</p>{interrupted}
<table>{rows}</table>
<h2>Cost and accuracy</h2>
<figure>{_inline(run.curves)}</figure>
<h2>What was misread</h2>
<figure>{_inline(mistakes_svg(run.data, run.test))}</figure>
<h2>Gradient check</h2>
<p class="note">Before training, every parameter's derivative was compared with two-sided
differences in float64; ± is the numeric side's own error.</p>
{run.check.to_html()}
<h2>Computation graph</h2>
<p class="note">One training step's loss, from the inputs at the top to the loss at the bottom.</p>
<figure class="graph">{_inline(run.graph)}</figure>
</body></html>
"""


def _inline(svg: str) -> str:
    """Return an SVG without the XML prologue, which HTML does not allow."""
    return svg[svg.index("<svg") :]
