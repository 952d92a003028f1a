"""A pytest plugin: gradient checks whose failing message holds the whole story.

Installing the package brings the fixture ``gradcheck``, the marker ``@pytest.mark.gradcheck`` for
its options, and ``--gradcheck-report=FILE`` for a page (or JSON) of every check of the run.

    def test_my_op(gradcheck):
        gradcheck(my_op, np.array([0.5, -1.0]))
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_REPORTS: pytest.StashKey[list[dict[str, str]]] = pytest.StashKey()


class Gradcheck:
    """The fixture: checks, records the report, and fails the test unless it passed."""

    def __init__(self, options: dict[str, Any], reports: list[dict[str, str]], test: str) -> None:
        self._options, self._reports, self._test = options, reports, test

    def __call__(self, f: Any, *inputs: Any, **options: Any) -> Any:
        """Check a function of Tensors, as ``tinygrad_course.gradcheck`` does."""
        from tinygrad_course.checking import gradcheck  # noqa: PLC0415 - loads NumPy

        return self._judge(gradcheck(f, *inputs, **{**self._options, **options}))

    def pair(self, f: Any, grad_f: Any, *inputs: Any, **options: Any) -> Any:
        """Check a gradient by hand, as ``tinygrad_course.gradcheck_pair`` does."""
        from tinygrad_course.checking import gradcheck_pair  # noqa: PLC0415

        return self._judge(gradcheck_pair(f, grad_f, *inputs, **{**self._options, **options}))

    def module(self, model: Any, loss: Any, *batch: Any, **options: Any) -> Any:
        """Check a model, as ``tinygrad_course.gradcheck_module`` does."""
        from tinygrad_course.checking import gradcheck_module  # noqa: PLC0415

        return self._judge(gradcheck_module(model, loss, *batch, **{**self._options, **options}))

    def steps(self, forward: Any, backward: Any, *inputs: Any, **options: Any) -> Any:
        """Check a backward pass by steps, as ``tinygrad_course.gradcheck_steps`` does."""
        from tinygrad_course.checking import gradcheck_steps  # noqa: PLC0415

        return self._judge(gradcheck_steps(forward, backward, *inputs, **options))

    def _judge(self, report: Any) -> Any:
        self._reports.append(
            {"test": self._test, "json": report.to_json(), "html": report.to_html()}
        )
        if not report:
            pytest.fail(str(report), pytrace=False)
        return report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--gradcheck-report``."""
    group = parser.getgroup("gradcheck", "gradient checks (tinygrad_course)")
    group.addoption(
        "--gradcheck-report",
        metavar="FILE",
        default=None,
        help="write every gradient check of the run to this .html or .json file",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and make room for the reports."""
    config.addinivalue_line(
        "markers", "gradcheck(**options): options for the gradcheck fixture, such as order=2"
    )
    config.stash[_REPORTS] = []
    target = config.getoption("--gradcheck-report")
    if target is not None and Path(target).suffix not in (".html", ".json"):
        raise pytest.UsageError(f"--gradcheck-report={target}: expected a .html or .json file")
    if target is not None and not Path(target).resolve().parent.is_dir():
        raise pytest.UsageError(f"--gradcheck-report={target}: there is no such folder")


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Gradcheck:
    """Check gradients; a failing check fails the test with its report."""
    marker = request.node.get_closest_marker("gradcheck")
    options = {"seed": 0, **(marker.kwargs if marker else {})}
    return Gradcheck(options, request.config.stash[_REPORTS], request.node.nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:  # noqa: ARG001 - the hook's signature
    """Collect the reports of a worker of pytest-xdist."""
    node.config.stash[_REPORTS].extend(getattr(node, "workeroutput", {}).get("gradcheck", []))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the reports, or hand them to the process that does."""
    reports = session.config.stash[_REPORTS]
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["gradcheck"] = reports
        return
    target = session.config.getoption("--gradcheck-report")
    if target is not None:
        _write(Path(target), reports)


def _write(path: Path, reports: list[dict[str, str]]) -> None:
    from tinygrad_course.checking.pages import page_of  # noqa: PLC0415
    from tinygrad_course.files import write_atomically  # noqa: PLC0415

    if path.suffix == ".json":
        data = [{"test": r["test"], **json.loads(r["json"])} for r in reports]
        write_atomically(path, json.dumps(data, indent=1) + "\n")
    else:
        write_atomically(
            path, page_of("Gradient checks", [(r["test"], r["html"]) for r in reports])
        )
