"""What a check of a backward pass by steps found, as text, as JSON and as a page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from tinygrad_course.checking.pages import section, table
from tinygrad_course.checking.report import GradcheckReport, finite, folded
from tinygrad_course.errors import GradientError


@dataclass(frozen=True)
class StepRow:
    """One intermediate gradient: ``right``, ``wrong`` or ``follows`` from an earlier wrong one."""

    name: str
    shape: tuple[int, ...]
    status: str
    difference: float
    message: str = ""
    cause: str | None = None

    @property
    def size(self) -> str:
        """The shape as it is printed."""
        return "×".join(map(str, self.shape)) or "scalar"

    def __str__(self) -> str:
        said = f": {self.message}" if self.message else ""
        return f"{self.size:<10} {self.difference:8.1e}  {self.status}{said}"


@dataclass(frozen=True, repr=False)
class StepsReport:
    """What a check of a backward pass by steps found. Truthy if every gradient is right.

    Attributes:
        verdict: ``pass``, ``fail``, or what made a comparison meaningless, as in `gradcheck`.
        first_wrong: the name of the first wrong gradient in the order of the backward pass.
        rows: every gradient in that order.
        forward: the check of the forward pass by differences, or what went wrong before.
    """

    verdict: str
    first_wrong: str | None
    rows: tuple[StepRow, ...]
    forward: GradcheckReport

    def __bool__(self) -> bool:
        return self.verdict == "pass"

    def __repr__(self) -> str:
        return f"<gradcheck_steps: {self.verdict.upper()}, first wrong: {self.first_wrong}>"

    @property
    def difference(self) -> float:
        """The largest norm ratio of a gradient; nan if none could be compared."""
        return max((row.difference for row in self.rows), default=float("nan"))

    def raise_if_failed(self) -> None:
        """Raise GradientError with the whole report unless every gradient is right."""
        if not self:
            raise GradientError(str(self))

    def _headline(self) -> str:
        wrong = f"  the first wrong gradient is {self.first_wrong}" if self.first_wrong else ""
        return f"gradcheck_steps: {self.verdict.upper()}{wrong}"

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, colour: bool = False) -> str:
        """Return the report for a terminal of 80 columns, in the order of the backward pass."""
        head = self._headline()
        lines = [f"\033[{'32' if self else '31'}m{head}\033[0m" if colour else head]
        width = max([len(row.name) for row in self.rows], default=0)
        for row in self.rows:
            lines += folded(f"{row.name:<{width}}  {row}", "  ")
            lines += folded(f"cause: {row.cause}", "      ") if row.cause else []
        if self.verdict not in ("pass", "fail"):
            lines.append(str(self.forward))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "verdict": self.verdict,
            "first_wrong": self.first_wrong,
            "rows": [asdict(row) for row in self.rows],
            "forward": self.forward.to_dict(),
        }

    def to_json(self) -> str:
        """Return the report as JSON text; what is not a number is null."""
        return json.dumps(finite(self.to_dict()), indent=2)

    def to_html(self) -> str:
        """Return the report as a fragment of HTML."""
        rows = [
            (row.name, row.size, f"{row.difference:.1e}", row.status, row.cause or row.message)
            for row in self.rows
        ]
        body = table(rows, ("gradient", "shape", "difference", "status", "cause"))
        below = "" if self.verdict in ("pass", "fail") else self.forward.to_html()
        return section(self._headline(), body + below, good=bool(self))

    _repr_html_ = to_html


__all__ = ["StepRow", "StepsReport"]
