"""What a gradient check found, as text for a terminal, as JSON and as a page.

The verdict is one word; beside it stands Andrew Ng's norm ratio with his reading (lessons 12-14 of
the notes on gradient checking).
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_course.checking.pages import heat_map, listing, page_of, section, table
from tinygrad_course.errors import GradientError
from tinygrad_course.files import write_atomically

VERDICTS = (
    "nonfinite",
    "shape",
    "dtype",
    "missing",
    "random",
    "mutation",
    "kink",
    "fail",
    "inconclusive",
    "pass",
)
"""From the most to the least urgent: a report's verdict is the first that applies."""

WIDTH = 80
"""Columns of the terminal report."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        kind: a verdict, or "upstream ignored", "hidden state", "error".
        input: the input or parameter it is about.
        message: what is wrong, in words and numbers.
        index: the worst element, None for a whole direction.
        analytic: the derivative that was given there.
        numeric: the derivative that was measured.
        error: the measurement's own error.
        cause: the mistake that explains the numbers; printed only if it was proved.
    """

    kind: str
    input: str
    message: str
    index: tuple[int, ...] | None = None
    analytic: float | None = None
    numeric: float | None = None
    error: float | None = None
    cause: str | None = None


@dataclass(frozen=True)
class InputRow:
    """The comparison of one input: its norm ratio and its worst element."""

    name: str
    shape: tuple[int, ...]
    checked: int
    difference: float
    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    error: float
    verdict: str
    norms: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """‖analytic − numeric‖, ‖analytic‖ and ‖numeric‖ over the checked elements."""
    heat: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    """|analytic − numeric| relative to the largest derivative, for the picture on the page."""


@dataclass(frozen=True)
class Blame:
    """A recorded operation whose own derivative is wrong at the values it had.

    Attributes:
        op: the operation's name.
        position: its number in the order of the forward pass, from 0.
        line: the line of the user's code that called it.
        module: the modules that were running, outermost first.
        input: which input's derivative is wrong.
        difference: the relative size of the fault; nan if there is no derivative to compare.
        cause: the mistake that explains it, if one could be proved.
    """

    op: str
    position: int
    line: str
    module: str
    input: int
    difference: float
    cause: str | None = None

    def __str__(self) -> str:
        where = f" in {self.module}" if self.module else ""
        why = f": {self.cause}" if self.cause else ""
        what = f"operation {self.position}, {self.op}{where} at {self.line}"
        if not np.isfinite(self.difference):
            return what + why
        return (
            f"{what}: the derivative for its input {self.input} is off by {self.difference:.1e} of "
            f"its size{why}"
        )


@dataclass(frozen=True, repr=False)
class GradcheckReport:
    """What a gradient check found. Truthy only if it passed; ``str()`` is the terminal report.

    Attributes:
        verdict: one of `VERDICTS`.
        difference: Ng's norm ratio over everything that was checked; nan if nothing could be.
        rows: one comparison per input or parameter.
        findings: what is wrong, most urgent first.
        blind_spots: what these points did not test.
        notes: how the check was done, where that is not the usual way.
        blame: operations whose own derivative is wrong, in the order of the forward pass.
    """

    verdict: str
    difference: float
    rows: tuple[InputRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    blind_spots: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    blame: tuple[Blame, ...] = ()
    graph: Any = None
    """The recorded result, kept only if an operation in it is wrong."""
    wrong_nodes: tuple[Any, ...] = ()
    """The nodes that `blame` is about."""

    def __bool__(self) -> bool:
        return self.verdict == "pass"

    @property
    def reading(self) -> str:
        """Ng's reading of the norm ratio."""
        return ng_reading(self.difference)

    @property
    def marks(self) -> dict[Any, str]:
        """The wrong operations as marks: ``viz.graph(report.graph, mark=report.marks)``."""
        return {node: str(b) for node, b in zip(self.wrong_nodes, self.blame, strict=True)}

    def raise_if_failed(self) -> None:
        """Raise GradientError with the whole report unless the check passed."""
        if not self:
            raise GradientError(str(self))

    # ---- forms --------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        hidden = {"graph", "wrong_nodes"}
        plain = {k: getattr(self, k) for k in self.__dataclass_fields__ if k not in hidden}
        for name in ("rows", "findings", "blame"):
            plain[name] = [asdict(part) for part in plain[name]]
        return {**plain, "reading": self.reading}

    def to_json(self) -> str:
        """Return the report as JSON text; what is not a number is null."""
        return json.dumps(finite(self.to_dict()), indent=2)

    def to_html(self) -> str:
        """Return the report as a fragment of HTML with a heat map per input."""
        maps = "".join(heat_map(row.name, row.heat) for row in self.rows if row.heat)
        body = table(_table(self.rows), _HEAD) + listing(self._sentences()) + maps
        return section(self._headline(), body, good=bool(self))

    _repr_html_ = to_html

    def to_page(self, title: str = "Gradient check") -> str:
        """Return the report as a page of its own."""
        return page_of(title, [("", self.to_html())])

    def save(self, path: str | Path) -> None:
        """Write the report to ``.html``, ``.json`` or ``.txt``, by the file's ending.

        Raises:
            FileError: the file cannot be written.
        """
        path = Path(path)
        forms = {".html": self.to_page, ".json": self.to_json}
        write_atomically(path, forms.get(path.suffix, self.__str__)())

    def _headline(self) -> str:
        if not np.isfinite(self.difference):
            return f"gradcheck: {self.verdict.upper()}"
        return (
            f"gradcheck: {self.verdict.upper()}  difference {self.difference:.1e}: {self.reading}"
        )

    def _sentences(self) -> list[str]:
        said = [f"{f.kind}: {f.message}" for f in self.findings]
        causes: dict[str, list[str]] = {}
        for finding in self.findings:
            if finding.cause:
                causes.setdefault(finding.cause, []).append(finding.input)
        said += [f"cause ({', '.join(names)}): {text}" for text, names in causes.items()]
        said += [f"first wrong operation: {self.blame[0]}"] if self.blame else []
        said += [f"also wrong: {blame}" for blame in self.blame[1:]]
        said += [f"not tested: {spot}" for spot in self.blind_spots]
        return said + [f"note: {note}" for note in self.notes]

    def __repr__(self) -> str:
        return f"<{self._headline()}>"

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, colour: bool = False) -> str:
        """Return the report for a terminal of 80 columns, worst inputs first."""
        lines = folded(self._headline(), "")
        if colour:
            lines = [f"\033[{'32' if self else '31'}m{line}\033[0m" for line in lines]
        if self.rows:
            lines += _aligned([_HEAD, *_table(self.rows)])
        for sentence in self._sentences():
            lines += folded(sentence, "  ")
        return "\n".join(lines)


def folded(text: str, indent: str) -> list[str]:
    """Return a text as lines of at most 80 columns; long words such as paths are broken."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )


def finite(value: Any) -> Any:
    """Return plain data in which nan and infinities are None, which JSON can hold."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


_HEAD = ("input", "shape", "difference", "worst at", "analytic", "numeric", "±", "verdict")
_SHOWN = 40
"""Rows of the terminal's table; a model may have thousands of parameters."""


def _table(rows: Sequence[InputRow]) -> list[tuple[str, ...]]:
    ordered = sorted(rows, key=lambda r: (VERDICTS.index(r.verdict), -r.difference))
    lines: list[tuple[str, ...]] = [
        (
            row.name,
            "×".join(map(str, row.shape)) or "scalar",
            f"{row.difference:.1e}",
            "-" if row.index is None else ",".join(map(str, row.index)) or "()",
            f"{row.analytic:.5g}",
            f"{row.numeric:.5g}",
            f"{row.error:.0e}",
            row.verdict,
        )
        for row in ordered[:_SHOWN]
    ]
    if len(ordered) > _SHOWN:
        lines.append((f"… {len(ordered) - _SHOWN} more", *[""] * (len(_HEAD) - 1)))
    return lines


_LEAST = 12
"""Columns that an input's name keeps."""

_DISPENSABLE = ("shape", "worst at", "±")
"""Columns that go, in this order, where a line would not fit."""


def _aligned(table: list[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table that fits the terminal."""
    kept = list(range(len(_HEAD)))
    widths = [max(len(line[i]) for line in table) for i in kept]
    for name in _DISPENSABLE:
        if _room(widths, kept) < min(widths[0], _LEAST):
            kept.remove(_HEAD.index(name))
    widths[0] = min(widths[0], _room(widths, kept))
    cells = [[_shortened(line[0], widths[0]), *(line[i] for i in kept[1:])] for line in table]
    return [
        "  " + "  ".join(c.ljust(widths[i]) for c, i in zip(line, kept, strict=True)).rstrip()
        for line in cells
    ]


def _room(widths: list[int], kept: list[int]) -> int:
    """Return how wide the first column may be beside the others."""
    return WIDTH - sum(widths[i] for i in kept[1:]) - 2 * len(kept)


def _shortened(name: str, room: int) -> str:
    return name if len(name) <= room else "…" + name[1 - room :]


# ---- Ng's numbers ----------------------------------------------------------------------------


def ng_reading(difference: float) -> str:
    """Return what the notes say about a norm ratio: ≤1e-7, ~1e-5, ≥1e-3.

    Example:
        >>> from tinygrad_course.checking.report import ng_reading
        >>> ng_reading(3e-9)
        'great, the gradient is right'
    """
    if difference <= 1e-7:
        return "great, the gradient is right"
    if difference <= 1e-5:
        return "probably right, look again"
    if difference < 1e-3:
        return "suspicious, look at the elements"
    return "wrong, there is a bug"


def norm_ratio(analytic: Any, numeric: Any) -> float:
    """Return ‖numeric − analytic‖ / (‖numeric‖ + ‖analytic‖), 0 if both vanish.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course.checking.report import norm_ratio
        >>> norm_ratio(np.array([1.0, 1.0]), np.array([2.0, 2.0])).__round__(4)
        0.3333
    """
    total = float(np.linalg.norm(numeric) + np.linalg.norm(analytic))
    return float(np.linalg.norm(numeric - analytic)) / total if total else 0.0


__all__ = [
    "VERDICTS",
    "Blame",
    "Finding",
    "GradcheckReport",
    "InputRow",
    "finite",
    "folded",
    "ng_reading",
    "norm_ratio",
]
