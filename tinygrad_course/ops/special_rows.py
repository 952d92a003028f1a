"""How a ufunc of SciPy becomes a row; SciPy itself is imported here, and only here.

`tinygrad_course.special` imports these modules when somebody first needs them: `ops` does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_course.primitive import Op, Samples, primitive

try:
    import scipy.special as sc
except ImportError as error:  # pragma: no cover - tests run with SciPy, see tests/test_special.py
    raise ImportError(
        "tinygrad_course.special differentiates SciPy's functions, and SciPy is not installed: run "
        "pip install 'tinygrad_course[course]'"
    ) from error


def ufunc_row(
    name: str,
    samples: Samples,
    *vjps: Callable[..., Any] | None,
    doc: str,
    example: tuple[str, str] = ("", ""),
    **options: Any,
) -> Op:
    """Register ``scipy.special.<name>``; without complex loops it is for real numbers alone."""
    ufunc = getattr(sc, name)
    options.setdefault("real", not any("D" in kinds for kinds in ufunc.types))
    if example[0]:
        doc += (
            f"\n\n    Example:\n        >>> import tinygrad_course as tc\n        >>> {example[0]}"
        )
        doc += f"\n        {example[1]}\n    "
    return primitive(f"special_{name}", ufunc, samples, *vjps, numpy=(ufunc,), doc=doc, **options)


def ordered_row(
    name: str, words: str, samples: Samples, rule: Callable[..., Any], **options: Any
) -> Op:
    """Register ``scipy.special.<name>(order, x)`` with the order as a parameter of the row.

    A parameter that requires grad is refused by name: no silent gradient of 0 comes out.
    """
    ufunc = getattr(sc, name)
    options.setdefault("real", not any("D" in kinds for kinds in ufunc.types))
    forward: Callable[..., Any]
    if words == "v":
        forward = lambda x, *, v: ufunc(v, x)  # noqa: E731 - a row reads the argument's name
    elif words == "n":
        forward = lambda x, *, n: ufunc(n, x)  # noqa: E731 - the same
    elif words == "a":
        forward = lambda x, *, a: ufunc(a, x)  # noqa: E731 - the same
    else:
        forward = lambda x, *, a, b: ufunc(a, b, x)  # noqa: E731 - the same
    doc = f"Return scipy.special.{name}({', '.join((*words, 'x'))}); see tinygrad_course.special."
    return primitive(f"special_{name}", forward, samples, rule, doc=doc, **options)


__all__ = ["ordered_row", "sc", "ufunc_row"]
