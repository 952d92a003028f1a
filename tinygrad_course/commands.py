"""The commands of ``tinygrad-course``: train, gradcheck, predict."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.checking import VERDICTS, GradcheckReport, gradcheck_module
from tinygrad_course.checking.pages import page_of
from tinygrad_course.data import ImageData, digits, mnist, read_images
from tinygrad_course.errors import ArgumentError, DataError, FileError, TinygradCourseError
from tinygrad_course.files import write_atomically
from tinygrad_course.primitive import PRIMITIVES
from tinygrad_course.protocols import load_all
from tinygrad_course.report import Run, curves_svg, facts, report_html
from tinygrad_course.targets import Check, Report, resolve
from tinygrad_course.training import (
    LEARNING_RATES,
    OPTIMIZERS,
    Evaluation,
    Options,
    Record,
    build,
    evaluate,
    fit,
    load_classifier,
)

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

app = typer.Typer(
    help="Train, check and draw networks on a computation graph in plain NumPy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def run() -> int:
    """Run the command line and return its exit status; known errors become one clear line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show × must not stop us
    try:
        status = app(standalone_mode=False)  # an Exit comes back as its status
    except (typer.Abort, KeyboardInterrupt):
        errors.print("Interrupted.", style="yellow")
        return INTERRUPTED
    except TinygradCourseError as error:
        errors.print(f"error: {error}", style="red", markup=False)
        return 1
    except Exception as error:
        # Typer's own usage errors know how to show themselves, whatever library they come from.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return int(error.exit_code)
        raise
    return status if isinstance(status, int) else 0


# ---- train ------------------------------------------------------------------------------------


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ArgumentError(
            f"--hidden takes layer sizes with commas between them, such as 128,64; got {text!r}"
        ) from error


def _run_folder(given: Path | None, data_name: str) -> Path:
    """Return a new or empty folder for the run, made ready for writing."""
    if given is None:
        number = 1
        while (folder := Path("runs") / f"{data_name}-{number:03d}").exists():
            number += 1
    else:
        folder = given
        if folder.is_file():
            raise FileError(f"--out {str(folder)!r} is a file; give a folder")
        if (folder / "metrics.json").exists() or (folder / "model.safetensors").exists():
            raise FileError(
                f"--out {str(folder)!r} holds an earlier run; choose another folder or remove it"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from error
    probe = folder / "options.json"
    write_atomically(probe, "{}\n")  # finds an unwritable folder now and not after the training
    return folder


def _bar(*columns: str) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        *(TextColumn(column) for column in columns),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        disable=not console.is_terminal,  # in a log, lines are printed instead
    )


def _check_model(model: nn.Module, data: ImageData) -> GradcheckReport:
    """Check the derivative of the loss on a small batch, dropout drawing one fixed mask."""
    x, y = data.train.x[:32], data.train.y[:32]
    with _bar() as progress:
        task = progress.add_task("gradient check", total=None)
        report = gradcheck_module(
            model,
            nn.CrossEntropyLoss(),
            x,
            y,
            seed=0,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    style = "green" if report else "bold red"
    console.print(f"[{style}]{str(report).splitlines()[0]}[/]")
    if not report:
        console.print(str(report).partition("\n")[2], markup=False, soft_wrap=True)
        raise GradientFailed
    checked = sum(row.checked for row in report.rows)
    console.print(
        f"  {len(report.rows)} parameters, {checked} elements and all directions compared with "
        f"two-sided differences in float64",
        style="dim",
    )
    return report


class GradientFailed(typer.Exit):
    """The model's gradient is wrong: training would be pointless."""

    def __init__(self) -> None:
        super().__init__(1)


@contextmanager
def _watching(options: Options, steps: int) -> Iterator[tuple[object, ...]]:
    """Yield the function that shows the training's progress, on a terminal or in a log."""
    stride = max(options.epochs // 10, 1)
    shown = 0

    def say(record: Record) -> str:
        return (
            f"cost {record.train_cost[-1]:.4f}  accuracy {record.train_accuracy[-1]:.1%}, "
            f"development {record.dev_accuracy[-1]:.1%}"
        )

    with _bar("{task.fields[said]}") as progress:
        first = f"epoch 1/{options.epochs}"
        task = progress.add_task(first, total=options.epochs * steps, said="")

        def watch(epoch: int, step: int, record: Record) -> None:
            nonlocal shown
            done = len(record.train_cost)
            if done > shown:
                shown = done
                now = f"epoch {min(done + 1, options.epochs)}/{options.epochs}"
                progress.update(task, description=now, said=say(record))
                if not console.is_terminal and done % stride == 0:
                    console.print(f"epoch {done:3d} of {options.epochs}  {say(record)}")
            progress.update(task, completed=epoch * steps + step + 1)

        yield (watch,)


def _count(model: nn.Module) -> int:
    return sum(parameter.size for parameter in model.parameters())


@app.command()
def train(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of MNIST-format IDX files, plain or .gz; default: 8×8 digits."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = Options.epochs,
    hidden: Annotated[
        str, typer.Option(help="Sizes of the hidden layers, with commas between them.")
    ] = ",".join(map(str, Options.hidden)),
    lr: Annotated[
        float | None,
        typer.Option(help=f"Learning rate; default by optimizer: {LEARNING_RATES}."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Examples per step.")] = Options.batch_size,
    optimizer: Annotated[
        str, typer.Option(help=f"One of {', '.join(OPTIMIZERS)}.")
    ] = Options.optimizer,
    dropout: Annotated[
        float, typer.Option(help="Probability with which a hidden unit is dropped.")
    ] = Options.dropout,
    seed: Annotated[int, typer.Option(help="Same seed, same bits.")] = Options.seed,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; default: a new one under runs/.")
    ] = None,
) -> None:
    """Train a classifier of handwritten digits, after checking its gradient, and report on it."""
    options = Options(epochs, _sizes(hidden), lr, batch_size, optimizer, dropout, seed)
    images = digits() if data is None else mnist(data)
    folder = _run_folder(out, images.name)
    write_atomically(folder / "options.json", json.dumps(asdict(options), indent=1) + "\n")
    model = build(images, options)
    sizes = f"{len(images.train)} training, {len(images.dev)} development, {len(images.test)} test"
    console.print(f"{images.name}: {sizes} images; {_count(model):,} parameters")
    check = _check_model(model, images)
    graph = _draw(model, images)
    graph.save(folder / "graph.svg")
    started = time.perf_counter()
    steps = -(-len(images.train) // options.batch_size)
    with _watching(options, steps) as (watch,):
        record = fit(model, images, options, folder / "model.safetensors", watch)  # type: ignore[arg-type]
    seconds = time.perf_counter() - started
    if not record.train_cost:
        errors.print(
            "Interrupted before the first epoch ended: no model was saved.", style="yellow"
        )
        raise typer.Exit(INTERRUPTED)
    result = evaluate(model, images.test)
    finished = Run(
        images,
        options,
        record,
        result,
        check,
        _count(model),
        seconds,
        graph.svg(),
        curves_svg(record),
    )
    _write(folder, finished)
    _conclude(folder, finished)
    if record.interrupted:
        raise typer.Exit(INTERRUPTED)


def _draw(model: nn.Module, data: ImageData) -> tc.viz.Graph:
    """Draw one training step's loss; the drawing leaves no trace in the model."""
    buffers = {name: np.copy(b.data) for name, b in model.named_buffers()}
    loss = nn.CrossEntropyLoss()(model(data.train.x[:32]), data.train.y[:32])
    for name, tensor in model.named_buffers():
        tensor.data = buffers[name]
    return tc.viz.graph(loss, model=model)


def _write(folder: Path, finished: Run) -> None:
    """Write the numbers, the pictures and the page."""
    test: Evaluation = finished.test
    metrics = {
        "test": {"accuracy": test.accuracy, "cost": test.cost, "examples": len(finished.data.test)},
        "record": asdict(finished.record),
        "options": asdict(finished.options) | {"lr": finished.options.learning_rate},
        "gradcheck": {"verdict": finished.check.verdict, "difference": finished.check.difference},
        "parameters": finished.parameters,
        "seconds": finished.seconds,
        "versions": {
            "tinygrad_course": tc.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    write_atomically(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    write_atomically(folder / "curves.svg", finished.curves)
    write_atomically(folder / "report.html", report_html(finished))
    pixels = finished.data.test.x[:10] * finished.data.std + finished.data.mean
    np.save(folder / "sample.npy", np.rint(pixels).reshape(-1, *finished.data.image_shape))


def _conclude(folder: Path, finished: Run) -> None:
    """Print the final table, the paths, and what to try next."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for label, value in facts(finished):
        table.add_row(label, f"[bold green]{value}[/]" if label == "test accuracy" else value)
    console.print()
    if finished.record.interrupted:
        console.print("Interrupted; this is the best model so far.", style="yellow")
    console.print(table)
    console.print()
    notes = {
        "report.html": "everything on one page",
        "graph.svg": "the computation graph",
        "curves.svg": "cost and accuracy by epoch",
        "metrics.json": "the numbers",
        "model.safetensors": "the trained model",
    }
    for name, note in notes.items():
        console.print(f"{folder / name}  [dim]{note}[/]", soft_wrap=True)
    console.print(
        f"\nNext: tinygrad-course predict {folder} {folder / 'sample.npy'}", soft_wrap=True
    )


# ---- gradcheck ----------------------------------------------------------------------------------


@app.command()
def gradcheck(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Primitives, package.module:function or file.py::function. None: all primitives."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All primitives.")] = False,
    shape: Annotated[
        list[str] | None,
        typer.Option(help="Check a function at random inputs of these shapes: --shape 4,3"),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write all reports to this .html or .json file.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of inputs and upstream gradients.")] = 0,
) -> None:
    """Check derivatives: of every primitive over its samples, or of your own functions."""
    shapes = [_shape(text) for text in shape or ()]
    names = list(targets or ())
    load_all()
    if everything or not names:
        names += [row.name for row in PRIMITIVES.values() if row.differentiable]
    checks = [(name, resolve(name, shapes, seed)) for name in names]
    started = time.perf_counter()
    table, reports = _check_all(checks)
    console.print(table)
    if everything or not targets:
        without = [row.name for row in PRIMITIVES.values() if not row.differentiable]
        console.print(f"Without derivative: {', '.join(without)}.", style="dim")
    elif len(reports) == 1:
        console.print(Text.from_ansi(reports[0][1].to_text(colour=True)), soft_wrap=True)
    failed = [(name, found) for name, found in reports if not found]
    for name, found in failed if len(reports) > 1 else ():
        console.print(f"\n{name}: {found}", markup=False, soft_wrap=True)
    if report is not None:
        _write_reports(report, reports)
    seconds = time.perf_counter() - started
    passed = len(checks) - len({name for name, _ in failed})
    colour = "red" if failed else "green"
    what = "primitives right to second order" if everything or not targets else "right"
    console.print(f"[{colour}]{passed} of {len(checks)} {what}[/] in {seconds:.1f} s")
    if failed:
        raise typer.Exit(1)


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(",") if part.strip())
    except ValueError as error:
        raise ArgumentError(f"--shape {text!r}: expected sizes such as 4,3") from error


def _check_all(checks: list[tuple[str, Check]]) -> tuple[Table, list[tuple[str, Report]]]:
    """Run the checks with a progress bar; return the table and every report by name."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("function", "samples", "difference", "verdict"):
        table.add_column(heading, justify="right" if heading == "samples" else "left")
    found = []
    with _bar("{task.fields[said]}") as progress:
        task = progress.add_task("checking", total=len(checks), said="")
        for name, check in checks:
            progress.update(task, said=name)
            reports = check()
            verdict = min((r.verdict for r in reports), key=VERDICTS.index)
            worst = float(np.max([r.difference for r in reports]))
            style = "green" if verdict == "pass" else "bold red"
            table.add_row(name, str(len(reports)), f"{worst:.1e}", f"[{style}]{verdict}[/]")
            found += [(name, report) for report in reports]
            progress.advance(task)
    return table, found


def _write_reports(path: Path, reports: list[tuple[str, Report]]) -> None:
    if path.suffix == ".json":
        data = [{"name": name, **json.loads(report.to_json())} for name, report in reports]
        text = json.dumps(data, indent=1) + "\n"
    else:
        text = page_of("Gradient checks", [(name, r.to_html()) for name, r in reports])
    write_atomically(path, text)
    console.print(f"{path}  [dim]every report[/]", soft_wrap=True)


# ---- predict ------------------------------------------------------------------------------------


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder of `train`, or its model.safetensors.")],
    file: Annotated[
        Path, typer.Argument(help="Images: .npy, IDX (.gz), .csv, .txt, or a picture.")
    ],
    limit: Annotated[int, typer.Option(help="Show at most this many images.")] = 20,
) -> None:
    """Classify images with a trained model."""
    if not run.exists():
        raise DataError(f"there is no {str(run)!r}; give a run folder, or its model.safetensors")
    classifier = load_classifier(run / "model.safetensors" if run.is_dir() else run)
    pixels = read_images(file, classifier.image_shape)
    probabilities = classifier.probabilities(pixels)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("image", "class", "probability", "next"):
        table.add_column(heading, justify="right")
    for i, row in enumerate(probabilities[:limit]):
        best, second = np.argsort(row)[::-1][:2]
        table.add_row(
            str(i), f"[bold]{best}[/]", f"{row[best]:.1%}", f"{second} ({row[second]:.1%})"
        )
    console.print(table)
    if len(probabilities) > limit:
        console.print(f"… and {len(probabilities) - limit} more; raise --limit to see them")
