"""A picture as DOT, the text that Graphviz and many editors draw.

Nodes are told apart by shape and border as well as by colour (a palette that colour-blind people
can tell apart). Every text is escaped here, and only here.
"""

from __future__ import annotations

import html
import textwrap
from collections import Counter
from collections.abc import Iterator

from tinygrad_course.viz.graph_walk import OUTSIDE
from tinygrad_course.viz.picture import GraphCluster, GraphEdge, GraphNode, Picture
from tinygrad_course.viz.wording import count_words, one_line

FONT = "Helvetica,Arial,sans-serif"
_INK, _FAINT, _ALARM = "#1f2933", "#5f6b7a", "#b00020"

_STYLES: dict[str, tuple[str, str, str, str]] = {
    # kind: fill, border, other attributes, words in the legend
    "operation": ("#e3eefa", "#2f6fab", 'shape=box style="rounded,filled"', "operation"),
    "parameter": (
        "#ffe3b8",
        "#b35900",
        'shape=ellipse margin="0.02,0.01" style="filled"',
        "parameter",
    ),
    "input": ("#d8f0e3", "#1b7f5c", 'shape=ellipse margin="0.02,0.01" style="filled"', "input"),
    "constant": (
        "#f4f5f7",
        "#7b8794",
        'shape=ellipse margin="0.02,0.01" style="filled,dashed"',
        "constant",
    ),
    "result": (
        "#efe0f3",
        "#7d3c98",
        'shape=ellipse margin="0.02,0.01" style="filled" peripheries=2',
        "result",
    ),
    "module": (
        "#dfe3e8",
        "#3e4c59",
        'shape=box style="rounded,filled" peripheries=2',
        "module, closed",
    ),
    "folded": ("#ffffff", "#3e4c59", 'shape=box style="rounded,filled,dashed"', "folded"),
}
_WEIGHTS = {"parameter": 1, "constant": 1, "input": 2}
_CLUSTER_FILLS = ("#f7f9fb", "#eef2f6")  # neighbours in depth differ


def quoted(text: str) -> str:
    """Return a DOT string that means exactly `text`; line breaks stay."""
    lines = [one_line(line) for line in text.split("\n")]
    plain = "\n".join(lines).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    # Graphviz copies what looks like an entity, such as &lt;, as it is.
    return f'"{plain.replace("&", "&amp;")}"'


def marked_up(text: str) -> str:
    """Return a text for the inside of one of DOT's HTML-like labels."""
    return html.escape(one_line(text)) or " "


def source_of(picture: Picture, *, title: str, direction: str) -> str:
    """Return the DOT text of a picture."""
    own = _own_tensors(picture)
    right = {(tensors[1], operation) for operation, tensors in own.items() if len(tensors) > 1}
    lines = [
        f"digraph {quoted(title)} {{",
        f"  rankdir={direction}; bgcolor=white; pad=0.2; nodesep=0.3; ranksep=0.35;",
        f'  fontname="{FONT}"; fontcolor="{_INK}"; labelloc=b; tooltip={quoted(title)};',
        f"  label={_legend(picture)};",
        f'  node [fontname="{FONT}" fontsize=12 fontcolor="{_INK}" margin="0.08,0.03" height=0.3];',
        f'  edge [fontname="{FONT}" fontsize=9 fontcolor="{_FAINT}" color="#7b8794" arrowsize=.6];',
        *_framed_nodes(picture, _rows(picture, own)),
        *_edges(picture, right),
        "}",
    ]
    return "\n".join(lines) + "\n"


# --------------------------------------------------------------------------------------------
# Nodes, frames and edges


def _framed_nodes(picture: Picture, rows: dict[int, list[str]]) -> Iterator[str]:
    """Yield the nodes inside the frames of their modules."""
    inside: dict[int, list[GraphNode]] = {}
    for node in picture.nodes:
        inside.setdefault(node.cluster, []).append(node)
    children: dict[int, list[int]] = {}
    for index, cluster in enumerate(picture.clusters):
        children.setdefault(cluster.parent, []).append(index)
    # A stack of what to write next: frames are opened here and closed by the text on the stack.
    stack: list[int | str] = [OUTSIDE]
    depth = 0
    while stack:
        step = stack.pop()
        if isinstance(step, str):
            depth -= 1
            yield "  " * depth + step
            continue
        if step != OUTSIDE:
            yield from _open_frame(picture.clusters[step], step, depth)
            stack.append("}")
        depth += 1
        yield from ("  " * depth + _node(node) for node in inside.get(step, ()))
        yield from ("  " * depth + row for row in rows.get(step, ()))
        stack.extend(reversed(children.get(step, ())))


def _open_frame(cluster: GraphCluster, index: int, depth: int) -> Iterator[str]:
    pad = "  " * depth
    fill = _CLUSTER_FILLS[depth % 2]
    yield f"{pad}subgraph cluster_{index} {{"
    yield f'{pad}  style="rounded,filled"; fillcolor="{fill}"; color="#9aa5b1"; penwidth=1;'
    yield f"{pad}  label=<<b>{marked_up(cluster.label)}</b>>; labelloc=t; labeljust=l; fontsize=11;"
    yield f'{pad}  fontcolor="#3e4c59"; margin=10; tooltip={quoted(cluster.tooltip)};'


def _node(node: GraphNode) -> str:
    fill, border, shape, _ = _STYLES[node.kind]
    rows = [f'<tr><td><font point-size="12"><b>{marked_up(node.title)}</b></font></td></tr>']
    rows += [_row(marked_up(line), _FAINT) for line in node.lines]
    tooltip, width = node.tooltip, 1.0
    if node.mark is not None:
        fill, border, width = "#ffd6d6", _ALARM, 2.5
        wrapped = textwrap.wrap(node.mark, 40, max_lines=4, placeholder=" …")
        rows += [_row(f"<b>{marked_up(line)}</b>", _ALARM) for line in wrapped]
        tooltip = f"{tooltip}\n{node.mark}"
    # A table, because lines of a plain label touch one another where font sizes differ.
    table = f'<table border="0" cellborder="0" cellspacing="0" cellpadding="1">{"".join(rows)}'
    return (
        f'{node.key} [label=<{table}</table>> {shape} fillcolor="{fill}" color="{border}"'
        f" penwidth={width} tooltip={quoted(tooltip)}];"
    )


def _row(text: str, color: str) -> str:
    return f'<tr><td><font point-size="10" color="{color}">{text}</font></td></tr>'


def _edges(picture: Picture, right: set[tuple[str, str]]) -> Iterator[str]:
    """Yield the edges; those from operation to operation are laid out short and straight."""
    weights = {node.key: _WEIGHTS.get(node.kind, 8) for node in picture.nodes}
    for edge in picture.edges:
        start, end = edge.source, edge.target
        options = [f"weight={weights[start]}"]
        if (start, end) in right:
            # Within a row, DOT's edges lead from left to right; dir=back turns the arrow round.
            start, end = end, start
            options.append("dir=back")
        if edge.label:
            options.append(f"label=<&#160;{marked_up(edge.label)}>")
        yield f"  {start} -> {end} [{' '.join(options)}];"


def _own_tensors(picture: Picture) -> dict[str, list[str]]:
    """Return, for each operation within a module, the tensors there that only it reads."""
    nodes = {node.key: node for node in picture.nodes}
    readers = Counter(edge.source for edge in picture.edges)
    own: dict[str, list[str]] = {}
    for edge in picture.edges:
        # A tensor that is read twice stays where Graphviz wants it: its place suits both readers.
        if readers[edge.source] == 1 and _held(nodes, edge):
            own.setdefault(edge.target, []).append(edge.source)
    for tensors in own.values():  # a constant may be data: let it come from above, if anything
        tensors.sort(key=lambda key: nodes[key].kind != "parameter")
    return own


def _rows(picture: Picture, own: dict[str, list[str]]) -> dict[int, list[str]]:
    """Return, by frame, which tensors stand to the left and right of the operation reading them.

    The operations then stand in one column; otherwise the frame of a layer would stand beside the
    one before. A row must be declared inside the frame that holds all of it.
    """
    clusters = {node.key: node.cluster for node in picture.nodes}
    rows: dict[int, list[str]] = {}
    for operation, tensors in own.items():
        row = "; ".join([tensors[0], operation, *tensors[1:2]])
        rows.setdefault(clusters[operation], []).append(f"{{rank=same; {row};}}")
    return rows


def _held(nodes: dict[str, GraphNode], edge: GraphEdge) -> bool:
    """Whether an edge leads from a leaf within a module to an operation in the same module."""
    source, target = nodes[edge.source], nodes[edge.target]
    leaf = source.kind in ("parameter", "constant")
    return leaf and source.cluster == target.cluster != OUTSIDE


# --------------------------------------------------------------------------------------------
# The legend


def _legend(picture: Picture) -> str:
    """Return a table below the drawing: what the colours mean, and the notes."""
    kinds = {node.kind for node in picture.nodes}
    chips = "".join(
        f'<td bgcolor="{fill}" color="{border}" border="1"'
        f' style="{"rounded" if "box" in shape else "radial"}">{words}</td>'
        for kind, (fill, border, shape, words) in _STYLES.items()
        if kind in kinds
    )
    total = count_words(picture.operations, "operation")
    table = '<table border="0" cellborder="0" cellspacing="6" cellpadding="3">'
    rows = [f"<tr><td>{table}<tr>{chips}<td>{total}</td></tr></table></td></tr>"]
    for note in picture.notes[:8]:
        rows += [
            f'<tr><td align="left">{marked_up(line)}</td></tr>' for line in textwrap.wrap(note, 80)
        ]
    if len(picture.notes) > 8:
        rows.append(f'<tr><td align="left">… and {len(picture.notes) - 8:,} more notes</td></tr>')
    return (
        f'<<font point-size="10" color="{_FAINT}"><table border="0" cellborder="0"'
        f' cellspacing="0" cellpadding="1">{"".join(rows)}</table></font>>'
    )
