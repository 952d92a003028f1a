"""DOT text, SVG and files: escaping, engines with and without Graphviz, and saving."""

import importlib.util
import os
import shutil
import subprocess
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course.errors import ArgumentError, FileError, GraphError
from tinygrad_course.graph import SCOPE, Scope
from tinygrad_course.viz import svg

SVG = "{http://www.w3.org/2000/svg}"

NASTY = [
    'quote " and \\" and \\',
    "<b>bold</b> & &lt; &amp;amp; <br/>",
    "line\nbreak\r\n\ttab",
    "Ünïcödé 層 🙂 ∂L/∂x",
    "null \x00 escape \x1b lone \ud800 bad \uffff",
    "-> ; } { [ ] | \\n \\N \\G %s ${x}",
    "]]> <!-- --> ' `",
    "   ",
    "x" * 500,
]


def small(name="x"):
    x = tc.Tensor(np.ones((2, 3)), requires_grad=True, name=name)
    return tc.viz.graph((x * x).sum())


def texts(drawn):
    return ["".join(e.itertext()) for e in ET.fromstring(drawn).iter(f"{SVG}text")]


def test_the_svg_is_complete():
    """The SVG is one element with a title, the nodes' texts, tooltips and a legend."""
    drawn = small().svg()
    root = ET.fromstring(drawn)
    assert root.tag == f"{SVG}svg"
    titles = [e.text for e in root.iter(f"{SVG}title")]
    assert titles[0] == "Computation graph"
    assert any(title.startswith("operation multiply") for title in titles)
    assert {"multiply", "sum", "x", "2×3 f64", "operation", "parameter"} <= set(texts(drawn))


def test_the_svg_is_self_contained():
    """Nothing in the SVG points to another file or address, and it has no script."""
    drawn = small().svg()
    assert "href" not in drawn
    assert "<script" not in drawn
    assert "<!DOCTYPE" not in drawn


def test_notebooks_show_the_svg():
    """The representation for notebooks is the SVG."""
    picture = small()
    assert picture._repr_svg_() == picture.svg()


@pytest.mark.parametrize("name", NASTY)
def test_any_name_is_drawn(name):
    """No name of a tensor, mark or title breaks the DOT text or the SVG."""
    x = tc.Tensor(np.ones(2), requires_grad=True, name=name)
    picture = tc.viz.graph((x * x).sum(), title=name, mark={x: name})
    root = ET.fromstring(picture.svg())
    assert len([g for g in root.iter(f"{SVG}g") if g.get("class") == "node"]) == 4
    assert picture.source.encode()


def test_names_arrive_as_they_are():
    """What looks like markup or an escape is shown, not interpreted."""
    drawn = small('<i>a</i> & "b" \\n').svg()
    assert '<i>a</i> & "b" \\n' in texts(drawn)
    titles = [e.text for e in ET.fromstring(drawn).iter(f"{SVG}title")]
    assert any('<i>a</i> & "b" \\n' in title for title in titles)


def test_entities_in_tooltips_stay_text():
    """A name that looks like an entity is the same in the tooltip as on the picture."""
    drawn = small("&lt;").svg()
    assert "&lt;" in texts(drawn)
    titles = [e.text for e in ET.fromstring(drawn).iter(f"{SVG}title")]
    assert any("&lt;" in title for title in titles)


def test_nasty_module_names_are_drawn():
    """A module whose path holds markup is drawn."""
    scope_module = type('M<&">', (), {})()
    token = SCOPE.set(Scope(module=scope_module, parent=SCOPE.get()))
    y = tc.Tensor(1.0, requires_grad=True) * 2.0
    SCOPE.reset(token)
    assert 'M<&">' in texts(tc.viz.graph(y).svg())


@pytest.mark.parametrize("direction", ["TB", "LR", "BT", "RL"])
def test_every_direction_is_drawn(direction):
    """Each direction gives an SVG."""
    x = tc.Tensor(np.ones(2), requires_grad=True)
    picture = tc.viz.graph(x * x, direction=direction)
    assert f"rankdir={direction}" in picture.source
    assert picture.svg().startswith("<svg")


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        (".svg", b"<?xml"),
        (".dot", b"digraph"),
        (".gv", b"digraph"),
        (".png", b"\x89PNG"),
        (".pdf", b"%PDF"),
        (".SVG", b"<?xml"),
    ],
)
def test_the_suffix_says_the_format(tmp_path, suffix, start):
    """Each suffix writes its format, and nothing else is left in the folder."""
    path = tmp_path / f"graph{suffix}"
    small().save(path)
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [f"graph{suffix}"]


def test_other_suffixes_are_refused(tmp_path):
    """An unknown suffix raises an error that lists the known ones and writes nothing."""
    with pytest.raises(ArgumentError, match=r"\.svg, \.png"):
        small().save(tmp_path / "graph.docx")
    assert list(tmp_path.iterdir()) == []


def test_missing_folders_are_named(tmp_path):
    """A folder that does not exist raises a FileError, an OSError, that names the file."""
    with pytest.raises(FileError, match="nowhere"):
        small().save(tmp_path / "nowhere" / "graph.dot")


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    """If replacing fails, the old file is whole and no draft is left."""
    target = tmp_path / "graph.dot"
    target.write_text("old")

    def fail(_self, _target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(FileError, match="Permission denied"):
        small().save(target)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["graph.dot"]


def test_a_failed_drawing_keeps_the_old_file(tmp_path, monkeypatch):
    """If Graphviz fails, the old file is untouched."""
    target = tmp_path / "graph.svg"
    target.write_text("old")
    monkeypatch.setattr(
        svg, "engine", lambda: [sys.executable, "-c", "import sys; sys.exit(3)", ""]
    )
    with pytest.raises(GraphError, match="exit status 3"):
        small().save(target)
    assert target.read_text() == "old"


def test_a_program_on_the_path_comes_first(monkeypatch):
    """Where there is a program `dot`, it is the engine."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/somewhere/{name}")
    assert svg.engine() == ["/somewhere/dot", "-T"]


def test_without_a_program_pygraphviz_draws(monkeypatch, capfd):
    """With nothing on the PATH the SVG comes from pygraphviz, and nothing is printed."""
    monkeypatch.setenv("PATH", "")
    assert svg.engine()[0] == sys.executable
    assert "multiply" in texts(small().svg())
    assert capfd.readouterr() == ("", "")


def test_without_any_engine_the_error_says_what_to_do(monkeypatch):
    """Without Graphviz the source is still there, and the error gives the pip command."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    picture = small()
    assert picture.source.startswith("digraph")
    with pytest.raises(GraphError, match="pip install pygraphviz.*\n?.*source"):
        picture.svg()


def test_a_layout_without_end_is_stopped(monkeypatch):
    """A layout that takes too long is stopped with advice."""
    monkeypatch.setattr(svg, "SECONDS", 0.2)
    monkeypatch.setattr(
        svg, "engine", lambda: [sys.executable, "-c", "import time; time.sleep(9)", ""]
    )
    with pytest.raises(GraphError, match="budget="):
        small().svg()


def test_importing_is_cheap():
    """Importing the package loads no drawing library."""
    code = "import sys, tinygrad_course; print({'graphviz', 'pygraphviz'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.sep
    )
    assert done.stdout.strip() == "set()"


def test_texts_stay_inside_their_nodes():
    """Each line of a node is centered on it, whatever font the viewer has."""
    root = ET.fromstring(small().svg())
    for group in root.iter(f"{SVG}g"):
        if group.get("class") == "node":
            lines = group.findall(f"{SVG}text")
            assert {line.get("text-anchor") for line in lines} == {"middle"}
            assert len({line.get("x") for line in lines}) == 1
