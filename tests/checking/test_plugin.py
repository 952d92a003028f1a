"""The pytest plugin and the command line, run as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from tinygrad_course import commands

TESTS = """
import numpy as np
import pytest
import tinygrad_course as tc

X = np.array([[0.5, -1.0], [2.0, 0.3]])

def test_right(gradcheck):
    assert gradcheck(tc.tanh, X).verdict == "pass"

def test_pair(gradcheck):
    gradcheck.pair(np.sin, lambda x, g: -g * np.cos(x), X)

@pytest.mark.gradcheck(order=2)
def test_second(gradcheck):
    assert len(gradcheck(tc.sin, X).rows) == 2

def test_module(gradcheck):
    gradcheck.module(tc.nn.Linear(2, 2), tc.nn.MSELoss(), X, X)

def test_steps(gradcheck):
    def forward(X, W):
        return {"Z": X @ W, "loss": np.sum((X @ W) ** 2)}
    gradcheck.steps(forward, lambda X, W, cache: {"dW": X.T @ (X @ W)}, X, X.copy())
"""

FUNCTIONS = """
import numpy as np
import tinygrad_course as tc

def good(x=np.array([1.0, 2.0])):
    return tc.sin(x)

def cut(x=np.array([1.0, 2.0])):
    return tc.Tensor(np.sin(x.data))

def argument(x):
    return tc.sin(x)

def report():
    return tc.gradcheck_pair(np.sin, lambda x, g: g * np.cos(x), np.array([0.5, 2.0]))

def steps():
    X = np.array([[0.5, -1.0], [2.0, 0.3]])
    def forward(X, W):
        return {"Z": X @ W, "loss": np.sum((X @ W) ** 2)}
    return tc.gradcheck_steps(forward, lambda X, W, cache: {"dW": X.T @ (X @ W)}, X, X.copy())

def nothing():
    return 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with tests and functions, which is the current one."""
    (tmp_path / "test_them.py").write_text(TESTS)
    (tmp_path / "them.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_tests(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )


def test_a_failing_check_fails_its_test_with_the_whole_story(folder):
    """The message holds verdict, table and cause, also for JUnit; the page has every check."""
    done = run_tests(folder, "--gradcheck-report=all.html", "--junitxml=junit.xml")
    assert "2 failed, 3 passed" in done.stdout, done.stdout
    for words in ("gradcheck: FAIL", "the sign is wrong", "the first wrong gradient is dW"):
        assert words in done.stdout
    assert "Traceback" not in done.stdout
    failures = ET.parse(folder / "junit.xml").getroot().findall(".//failure")
    assert "the sign is wrong" in failures[0].text
    assert (folder / "all.html").read_text(encoding="utf-8").count("<section") == 5


def test_the_report_gathers_the_checks_of_all_workers(folder):
    """Under pytest-xdist one file holds the checks of every worker."""
    pytest.importorskip("xdist")
    run_tests(folder, "-n", "2", "--gradcheck-report=all.json")
    checks = json.loads((folder / "all.json").read_text(encoding="utf-8"))
    found = {check["test"].partition("::")[2]: check["verdict"] for check in checks}
    assert found == {
        "test_right": "pass",
        "test_pair": "fail",
        "test_second": "pass",
        "test_module": "pass",
        "test_steps": "fail",
    }


@pytest.mark.parametrize("target", ["all.txt", "no/such/folder/all.html"])
def test_an_impossible_report_is_refused_before_the_tests_run(folder, target):
    """A file that cannot be written, or of no known form, is a usage error with words."""
    done = run_tests(folder, f"--gradcheck-report={target}")
    assert done.returncode == 4
    assert target in done.stderr
    assert "passed" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["them.py::good"], 0, "PASS"),
        (["them:good"], 0, "PASS"),
        (["them.py::report"], 0, "PASS"),
        (["tanh", "them.py::good"], 0, "2 of 2 right"),
        (["them.py::argument", "--shape", "2,3"], 0, "2×3"),
        (["them.py::cut"], 1, "no gradient arrived"),
        (["them.py::steps"], 1, "first wrong gradient is dW"),
        (["them.py::argument"], 1, "--shape"),
        (["them.py::nothing"], 1, "returned int"),
        (["them.py::nope"], 1, "it has good"),
        (["no_file.py::f"], 1, "no file"),
        (["no_module:f"], 1, "cannot import"),
        (["tanx"], 1, "tanh"),
    ],
)
def test_targets_of_the_command(folder, capsys, monkeypatch, arguments, status, words):
    """Primitives and functions of modules and files are checked; the status says the verdict."""
    monkeypatch.setattr(sys, "argv", ["tinygrad-course", "gradcheck", *arguments])
    assert commands.run() == status
    captured = capsys.readouterr()
    assert words in " ".join((captured.out + captured.err).split())


@pytest.mark.parametrize("form", ["html", "json"])
def test_the_command_writes_every_report(folder, capsys, monkeypatch, form):
    """--report writes the checks of functions and of steps to one file."""
    target = f"found.{form}"
    names = ["them.py::good", "them.py::steps", "--report", target]
    monkeypatch.setattr(sys, "argv", ["tinygrad-course", "gradcheck", *names])
    assert commands.run() == 1
    text = (folder / target).read_text(encoding="utf-8")
    assert "them.py::steps" in text
    assert "dW" in text
    assert "1 of 2 right" in capsys.readouterr().out
