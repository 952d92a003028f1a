"""Nested arguments: dicts, lists, tuples, named tuples and dataclasses, with leaves inside.

Whatever is no such container is a leaf: a Tensor, an array, a number, None, anything. Leaves stand
in one fixed order, that of the containers themselves, so that a list of leaves and the containers
together say everything.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from tinygrad_course.errors import ArgumentError


def children(tree: Any) -> dict[Any, Any] | None:
    """Return what a container holds, by key, index or field name; None for a leaf."""
    if isinstance(tree, dict):
        return tree
    if isinstance(tree, list | tuple):
        return dict(enumerate(tree))
    names = getattr(type(tree), "__dataclass_fields__", ())
    return {n: getattr(tree, n) for n in names if hasattr(tree, n)} if names else None


def leaves(tree: Any) -> list[Any]:
    """Return the leaves of nested containers in order.

    Example:
        >>> from tinygrad_course.nested import leaves
        >>> leaves({"layers": [(1.0, None), (2.0, "tanh")], "scale": 3.0})
        [1.0, None, 2.0, 'tanh', 3.0]
    """
    inside = children(tree)
    if inside is None:
        return [tree]
    return [leaf for child in inside.values() for leaf in leaves(child)]


def rebuilt(tree: Any, fresh: Iterable[Any]) -> Any:
    """Return containers of the same kinds around other leaves, which are given in order.

    Subclasses of dict and dataclasses are copied, so that what they are besides their entries (a
    default factory, a field outside ``__init__``) stays; the originals are not touched.

    Example:
        >>> from tinygrad_course.nested import rebuilt
        >>> rebuilt({"w": [1.0, 2.0], "b": (3.0,)}, "xyz")
        {'w': ['x', 'y'], 'b': ('z',)}
    """
    return _filled(tree, iter(fresh))


def _filled(tree: Any, fresh: Iterator[Any]) -> Any:
    inside = children(tree)
    if inside is None:
        return next(fresh)
    parts = [_filled(child, fresh) for child in inside.values()]
    if isinstance(tree, tuple) and hasattr(tree, "_make"):
        return tree._make(parts)
    if isinstance(tree, list | tuple):
        return type(tree)(parts)
    filled = copy.copy(tree)
    for key, part in zip(inside, parts, strict=True):
        if isinstance(tree, dict):
            filled[key] = part
        else:
            object.__setattr__(filled, key, part)  # a frozen dataclass too
    return filled


def pairs(like: Any, tree: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield, for each leaf of `like`, its place in words, the leaf, and what `tree` has there.

    Dicts may be in another order and a list may stand for a tuple, but keys and lengths must agree.

    Raises:
        ArgumentError: `tree` lacks a container of `like`, or its keys differ; `where`, the name of
            `tree` in the caller's words, begins the message.
    """
    mine = children(like)
    if mine is None:
        yield where, like, tree
        return
    theirs = children(tree)
    if theirs is None or theirs.keys() != mine.keys():
        raise ArgumentError(
            f"{where}: got {_described(tree)}, expected {_described(like)}: the same nesting, key "
            f"for key"
        )
    dotted = not isinstance(like, dict | list | tuple)
    for key, child in mine.items():
        place = f"{where}.{key}" if dotted else f"{where}[{key!r}]"
        yield from pairs(child, theirs[key], place)


def _described(tree: Any) -> str:
    """Say what a container is and holds, for a message."""
    kind, inside = type(tree).__name__, children(tree)
    if inside is None:
        return kind
    if isinstance(tree, list | tuple):
        return f"a {kind} of {len(inside)}"
    return f"a {kind} with {', '.join(map(repr, inside)) or 'nothing'}"


__all__ = ["children", "leaves", "pairs", "rebuilt"]
