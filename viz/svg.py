"""DOT to SVG, PNG or PDF, on machines with and without Graphviz.

A program ``dot`` on the PATH is used if there is one. Otherwise pygraphviz draws: its wheels for
Linux, macOS and Windows contain Graphviz itself, one wheel serves every Python version (abi3), and
the NetworkX people maintain it. (graphviz-pure, the alternative, is a young project that starts a
13 MB program.) pygraphviz runs in a child process although it could run in this one: Graphviz is C
with global state that no two threads may enter, it cannot be stopped, and it writes warnings about
fonts to file descriptor 2, which cannot be taken from other threads.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree as ET

from tinygrad_course.errors import GraphError
from tinygrad_course.viz.wording import one_line

SECONDS = 120
"""How long a layout may take."""

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")

_CHILD = """
import sys, pygraphviz
text = sys.stdin.buffer.read().decode("utf-8")
drawn = pygraphviz.AGraph(string=text).draw(format=sys.argv[1], prog="dot")
sys.stdout.buffer.write(drawn)
"""


def engine() -> list[str]:
    """Return the command that reads DOT and takes a format as its last part.

    Raises:
        GraphError: neither Graphviz nor pygraphviz is installed.
    """
    program = shutil.which("dot")
    if program is not None:
        return [program, "-T"]
    if importlib.util.find_spec("pygraphviz") is not None and sys.executable:
        return [sys.executable, "-c", _CHILD, ""]
    raise GraphError(
        "graph: drawing needs Graphviz, and neither the program `dot` nor the package pygraphviz "
        "was found. Run `pip install pygraphviz` (its wheel contains Graphviz), or use .source, "
        "the DOT text, which needs neither"
    )


def render(source: str, form: str) -> bytes:
    """Return the drawing of a DOT text as ``svg``, ``png`` or ``pdf``.

    Raises:
        GraphError: no Graphviz is installed, or it failed or took too long.
    """
    *command, last = engine()
    # A child finds the packages that this process finds, and none in the current folder.
    places = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(  # noqa: S603 - our own command; the text goes through a pipe
            [*command, last + form],
            input=source.encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={**os.environ, "PYTHONPATH": places, "PYTHONSAFEPATH": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise GraphError(
            f"graph: Graphviz found no layout within {SECONDS} s; draw fewer nodes (budget=)"
        ) from error
    if done.returncode != 0 or not done.stdout:
        words = done.stderr.decode(errors="replace").strip()[-600:]
        raise GraphError(f"graph: Graphviz failed (exit status {done.returncode}): {words}")
    return done.stdout


def svg_of(source: str, title: str) -> str:
    """Return a self-contained SVG, with tooltips, of a DOT text.

    Raises:
        GraphError: no Graphviz is installed, or it failed or took too long.
    """
    root = ET.fromstring(render(source, "svg"))  # noqa: S314 - written by Graphviz from our text
    for group in root.iter(f"{_SVG}g"):
        kind = group.attrib.pop("class", "")
        group.attrib.pop("id", None)  # several pictures on one page would share their ids
        if kind in ("node", "cluster", "edge", "graph"):
            group.set("class", kind)
            _unlink(group, one_line(title) if kind == "graph" else None)
        if kind == "node":
            _recenter(group)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib.pop("{http://www.w3.org/XML/1998/namespace}space", None)
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "role": "img",
        "style": "max-width:100%;height:auto",
    }
    return ET.tostring(root, encoding="unicode") + "\n"


def _unlink(group: ET.Element, title: str | None) -> None:
    """Turn Graphviz's links without address into titles, which every viewer shows as tooltips."""
    own = group.find(f"{_SVG}title")
    for holder in list(group):
        link = holder.find(f"{_SVG}a") if holder.tag == f"{_SVG}g" else None
        if link is None:
            continue
        if own is not None and title is None:
            title = link.get(f"{_LINK}title", "")
        where = list(group).index(holder)
        group[where : where + 1] = list(link)
    if own is not None:
        if title is None:
            group.remove(own)  # Graphviz's own, such as n1->n2
        else:
            own.text = title


def _recenter(node: ET.Element) -> None:
    """Center each line of text on its node, whatever font the viewer has.

    Graphviz places the left end of a line by the width it has in the font of this machine.
    """
    shape = next((e for e in node if e.tag not in (f"{_SVG}title", f"{_SVG}text")), None)
    if shape is None:
        return
    if shape.get("cx") is not None:
        center = float(shape.get("cx", 0))
    else:
        xs = _NUMBER.findall(shape.get("points") or shape.get("d") or "")[::2]
        center = (min(map(float, xs)) + max(map(float, xs))) / 2
    for text in node.findall(f"{_SVG}text"):
        text.set("x", f"{center:.2f}")
        text.set("text-anchor", "middle")
