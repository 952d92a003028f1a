"""Reports as pages: fragments of HTML, and the page that holds them."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}th,td{padding:.2rem .6rem;text-align:left;"
    "border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}"
    "figure{display:inline-block;margin:.5rem 1rem .5rem 0}figcaption{font-size:13px}"
)


def page_of(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return an HTML page of named fragments."""
    body = "".join(
        (f"<h2>{html.escape(name)}</h2>" if name else "") + fragment for name, fragment in sections
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>{body}"
        f"</body></html>\n"
    )


def section(headline: str, body: str, *, good: bool) -> str:
    """Return a report's fragment: its headline, green or red, and what follows."""
    colour = "#1a7f37" if good else "#b42318"
    return (
        f'<section class="gradcheck"><p style="color:{colour}"><strong>'
        f"{html.escape(headline)}</strong></p>{body}</section>"
    )


def table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    """Return a table of texts."""
    heads = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"


def listing(sentences: Sequence[str]) -> str:
    """Return sentences as a list."""
    return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in sentences) + "</ul>"


def heat_map(name: str, heat: Sequence[Sequence[float]]) -> str:
    """Draw |analytic − numeric|: white agrees, red is off by the largest derivative or more."""
    side = 12
    width, height = side * len(heat[0]), side * len(heat)
    cells = []
    for i, line in enumerate(heat):
        for j, value in enumerate(line):
            if not np.isfinite(value):
                fill = "#ddd"  # not among the elements that were checked
            else:
                # A logarithmic scale from 1e-9 to 1: faults of every size are seen.
                share = min(max((np.log10(max(value, 1e-12)) + 9) / 9, 0.0), 1.0)
                fill = f"rgb(255,{round(255 - 215 * share)},{round(255 - 225 * share)})"
            cells.append(
                f'<rect x="{j * side}" y="{i * side}" width="{side}" height="{side}" '
                f'fill="{fill}"><title>[{i}, {j}] {value:.1e}</title></rect>'
            )
    return (
        f'<figure><svg width="{width}" height="{height}" role="img" '
        f'aria-label="heat map">{"".join(cells)}<rect width="{width}" height="{height}" '
        f'fill="none" stroke="#888"/></svg><figcaption>{html.escape(name)}: '
        f"|analytic − numeric| / largest</figcaption></figure>"
    )


__all__ = ["heat_map", "listing", "page_of", "section", "table"]
