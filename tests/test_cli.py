"""The command line, run as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tinygrad_course import commands
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES, primitive

QUICK = ["--epochs", "2", "--hidden", "16", "--batch-size", "64"]


def command(*arguments, folder, **environment):
    """Run the command line in a process of its own and return it when it has ended."""
    return subprocess.run(
        [sys.executable, "-m", "tinygrad_course.cli", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100", **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run with default output."""
    folder = tmp_path_factory.mktemp("work")
    return folder, command("train", *QUICK, folder=folder)


def test_train_writes_the_run_folder(finished):
    """The run ends with its table and paths, and every promised file is whole."""
    folder, done = finished
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "digits-001"
    for name in ("graph.svg", "curves.svg"):
        assert ET.parse(run / name).getroot().tag.endswith("svg")
        assert name in done.stdout
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.5
    assert metrics["gradcheck"]["verdict"] == "pass"
    assert len(metrics["record"]["dev_cost"]) == 2
    assert f"{metrics['test']['accuracy']:.2%}" in done.stdout
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert "gradcheck: PASS" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    assert "gradcheck: PASS" in done.stdout


def test_a_log_gets_lines_instead_of_a_bar(finished):
    """Without a terminal each epoch is a line, and there are no control characters."""
    _, done = finished
    assert "epoch   1 of 2" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_predict_classifies_the_sample(finished):
    """The command printed at the end of the training works as printed."""
    folder, done = finished
    words = done.stdout.strip().splitlines()[-1].removeprefix("Next: tinygrad-course ").split()
    predicted = command(*words, folder=folder)
    assert predicted.returncode == 0, predicted.stderr
    assert len(predicted.stdout.strip().splitlines()) == 11


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--optimizer", "adagrad"], ["--optimizer", "adagrad", "momentum"]),
        (["train", "--hidden", "a,b"], ["--hidden", "128,64"]),
        (["train", "--dropout", "1.5"], ["--dropout", "1.5"]),
        (["train", "--data", "nowhere"], ["nowhere", "--data"]),
        (["predict", "nowhere", "x.npy"], ["nowhere", "model.safetensors"]),
    ],
)
def test_mistakes_get_one_clear_line(tmp_path, arguments, words):
    """A wrong option value names the option and what it takes, without a traceback."""
    done = command(*arguments, folder=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "runs").exists()


def test_an_unknown_option_is_named(tmp_path):
    """The usage error shows the option."""
    done = command("train", "--epoch", "3", folder=tmp_path)
    assert done.returncode == 2
    assert "--epoch" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_folder_is_never_overwritten(finished):
    """A folder that holds a run, or a file in its place, is refused before anything is computed."""
    folder, _ = finished
    again = command("train", *QUICK, "--out", "runs/digits-001", folder=folder)
    assert again.returncode == 1
    assert "earlier run" in again.stderr
    (folder / "file").write_text("x")
    assert "is a file" in command("train", *QUICK, "--out", "file", folder=folder).stderr


def test_an_unwritable_folder_is_found_before_training(tmp_path, monkeypatch):
    """The error comes at once and names the folder."""

    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(OSError, match="Permission denied") as caught:
        commands._run_folder(tmp_path / "run", "digits")
    assert "run" in str(caught.value)


def test_ctrl_c_keeps_the_checkpoint(tmp_path, monkeypatch, capsys):
    """An interrupted run writes its report from the best model so far and ends with status 130."""
    monkeypatch.chdir(tmp_path)
    real = commands.fit

    def interrupted(model, data, options, checkpoint, watch):
        def stop(epoch, step, record):
            watch(epoch, step, record)
            if epoch == 2:
                raise KeyboardInterrupt

        return real(model, data, options, checkpoint, stop)

    monkeypatch.setattr(commands, "fit", interrupted)
    monkeypatch.setattr(sys, "argv", ["tinygrad-course", "train", "--epochs", "9", "--hidden", "8"])
    assert commands.run() == 130
    metrics = json.loads((tmp_path / "runs/digits-001/metrics.json").read_text())
    assert metrics["record"]["interrupted"]
    assert len(metrics["record"]["train_cost"]) == 2
    assert (tmp_path / "runs/digits-001/model.safetensors").exists()
    assert "best model so far" in capsys.readouterr().out


def test_gradcheck_checks_every_primitive(capsys, monkeypatch):
    """The table lists each primitive with a derivative, and the status is 0 when all are right."""
    monkeypatch.setattr(sys, "argv", ["tinygrad-course", "gradcheck"])
    assert commands.run() == 0
    out = capsys.readouterr().out
    rows = [name for name, row in PRIMITIVES.items() if row.differentiable]
    for name in rows:
        assert f"\n{name} " in out
    assert f"{len(rows)} of {len(rows)} primitives right" in out


def test_gradcheck_fails_when_a_rule_is_wrong(capsys, monkeypatch):
    """A wrong derivative is named, shown with its worst element, and ends with status 1."""
    primitive(
        "wrong_exp",
        np.exp,
        lambda rng: [((rng.uniform(size=3),), {})],
        lambda g, ans, _x: g * ans * 1.01,
        doc="exp with a derivative that is one per cent off.",
    )
    try:
        monkeypatch.setattr(sys, "argv", ["tinygrad-course", "gradcheck"])
        assert commands.run() == 1
    finally:
        del PRIMITIVES["wrong_exp"], FUNCTIONS["wrong_exp"]
    out = capsys.readouterr().out
    assert "wrong_exp: gradcheck: FAIL" in out
    assert "analytic" in out


def test_a_wrong_model_is_not_trained(tmp_path, capsys, monkeypatch):
    """When the gradient check fails, the command says so and stops."""
    monkeypatch.chdir(tmp_path)
    row = PRIMITIVES["relu"]
    real = row.pull
    object.__setattr__(
        row, "pull", lambda g, node, parents: [2 * piece for piece in real(g, node, parents)]
    )
    try:
        monkeypatch.setattr(sys, "argv", ["tinygrad-course", "train", *QUICK])
        assert commands.run() == 1
    finally:
        object.__setattr__(row, "pull", real)
    assert "gradcheck: FAIL" in capsys.readouterr().out
    assert not (tmp_path / "runs/digits-001/metrics.json").exists()


def test_a_missing_extra_is_named(monkeypatch, capsys):
    """Without the packages of the extra the command prints the pip command that brings them."""
    from tinygrad_course import cli

    monkeypatch.setattr(cli, "NEEDED", {"no_such_package": "no-such-package"})
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert "no-such-package" in said
    assert "pip install 'tinygrad_course[course]'" in said
