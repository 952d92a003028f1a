"""The decorators that register a function for NumPy's and explain the other language's words."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from tinygrad_course.errors import UnsupportedFunctionError
from tinygrad_course.primitive import NUMPY_FUNCTIONS, NUMPY_WORDS

F = TypeVar("F", bound=Callable[..., Any])

Axis = int | tuple[int, ...] | None


def speaks(language: str, words: dict[str, str]) -> Callable[[F], F]:
    """Refuse the other language's words for an argument, and say the right one.

    `words` maps the word that somebody may bring along to the one that belongs here.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def speak(*args: Any, **kwargs: Any) -> Any:
            for word in kwargs.keys() & words:
                name = function.__qualname__.removesuffix(".__init__")
                raise UnsupportedFunctionError(
                    f"{name}: unknown argument {word!r}; this function speaks {language}, where it "
                    f"is {words[word]!r}"
                )
            return function(*args, **kwargs)

        return cast("F", speak)

    return decorate


def implements(*numpy_functions: Callable[..., Any]) -> Callable[[F], F]:
    """Register a function as what `numpy_functions` do to Tensors, and explain PyTorch's words."""

    def decorate(function: F) -> F:
        speaker = speaks("NumPy", NUMPY_WORDS)(function)
        for numpy_function in numpy_functions:
            NUMPY_FUNCTIONS[numpy_function] = speaker
        return speaker

    return decorate


def axes(axis: Any) -> Any:
    """Return a list of axes as the tuple that NumPy wants."""
    return tuple(axis) if isinstance(axis, list) else axis


__all__ = ["Axis", "axes", "implements", "speaks"]
