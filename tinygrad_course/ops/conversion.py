"""Copies, conversions to another dtype, and new arrays made after the pattern of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.errors import UnsupportedFunctionError
from tinygrad_course.ops.choices import where
from tinygrad_course.ops.constants import isfinite
from tinygrad_course.ops.samples import nonzeros, reals, values
from tinygrad_course.primitive import NUMPY_FUNCTIONS, Op, Sample, primitive

# float to complex is the conversion that also makes sense for the complex variant of a sample
astype_number: Op = primitive(
    "astype",
    lambda x, *, dtype: x.astype(dtype),
    lambda rng: iter([((values(rng, (2, 3), -2, 2),), {"dtype": np.dtype(np.complex128)})]),
    lambda g, _ans, _x, *, dtype: g,  # noqa: ARG005 - the engine casts back
    doc="Convert to a floating or complex dtype; the gradient is converted back.",
)

astype_whole: Op = primitive(
    "astype_whole",
    lambda x, *, dtype: x.astype(dtype),
    lambda rng: (
        ((values(rng, (2, 3), -9, 9),), {"dtype": np.dtype(kind)}) for kind in (int, bool)
    ),
    None,
    doc="Convert to whole numbers or booleans; constant almost everywhere, so without derivative.",
)


def astype(x: Any, dtype: Any, *, copy: bool = True, device: Any = None) -> Any:  # noqa: ARG001
    """Convert to another dtype, in new memory; the gradient is converted back.

    Whole numbers and booleans are constant almost everywhere: they do not require grad.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.astype(np.array([1.5]), dtype=np.dtype("float32"))
        array([1.5], dtype=float32)
    """
    kind = np.dtype(dtype)
    return (astype_number if kind.kind in "fc" else astype_whole)(x, dtype=kind)


NUMPY_FUNCTIONS[np.astype] = astype

copy: Op = primitive(
    "copy",
    lambda x: x.copy(),
    reals(),
    lambda g, _ans, _x: g,
    numpy=(np.copy,),
    doc="""Copy to new memory; the gradient passes unchanged.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.copy([1.0])
        array([1.])
    """,
)


def _filled(function: Any, text: str, *others: Any) -> Any:
    def forward(
        x: Any,
        *,
        dtype: Any = None,
        order: Any = "K",
        subok: bool = True,
        shape: Any = None,
        device: Any = None,
    ) -> Any:
        return function(x, dtype, order, subok, shape, device=device)

    return primitive(
        function.__name__,
        forward,
        nonzeros(),
        None,
        numpy=(function, *others),
        doc=f"Return {text}, of the shape and dtype of x unless given; without derivative.",
    )


# What np.empty_like holds is left open: zeros are as good as anything, and the same every time.
zeros_like: Op = _filled(np.zeros_like, "zeros", np.empty_like)
ones_like: Op = _filled(np.ones_like, "ones")


def _patterns(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, fill in [((), ()), ((3,), ()), ((2, 3), (3,)), ((2, 3), (2, 1)), ((0, 2), (2,))]:
        yield (values(rng, shape, -2, 2), values(rng, fill, -2, 2)), {}
    yield (values(rng, (2,), -2, 2), values(rng, (3,), -2, 2)), {"shape": (2, 3)}


full_like: Op = primitive(
    "full_like",
    lambda x, fill_value, *, dtype=None, order="K", subok=True, shape=None, device=None: (
        np.full_like(x, fill_value, dtype, order, subok, shape, device=device)
    ),
    _patterns,
    None,
    lambda g, _ans, _x, _fill_value, **_options: g,
    numpy=(np.full_like,),
    doc="""Return an array of the shape and dtype of x filled with a value.

    The derivative is 0 with respect to x and 1 with respect to the value.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.full_like([1.0, 2.0], 7)
        array([7., 7.])
    """,
)


def _nan_to_num(
    x: Any, *, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    if not copy:
        raise UnsupportedFunctionError(
            "nan_to_num: copy=False would overwrite the input, whose old values the derivatives of "
            "others may read; leave it out and use the result"
        )
    return np.nan_to_num(x, copy=True, nan=nan, posinf=posinf, neginf=neginf)


def _nan_to_num_rule(g: Any, _ans: Any, x: Any, **_options: Any) -> Any:
    if x.dtype.kind != "c":
        return where(isfinite(x), g, 0.0)
    # NumPy replaces real and imaginary parts on their own.
    real, imag = where(isfinite(x.real), g.real, 0.0), where(isfinite(x.imag), g.imag, 0.0)
    return real + imag * 1j


nan_to_num: Op = primitive(
    "nan_to_num",
    _nan_to_num,
    nonzeros(nan=1.0, posinf=2.0),
    _nan_to_num_rule,
    numpy=(np.nan_to_num,),
    doc="""Replace nan and infinities by numbers; the slope is 1 at numbers, 0 where replaced.

    Example:
        >>> import tinygrad_course as tc
        >>> tc.nan_to_num([1.0, float("nan"), float("inf")], nan=0.0, posinf=9.0)
        array([1., 0., 9.])
    """,
)

__all__ = [
    "astype",
    "astype_number",
    "astype_whole",
    "copy",
    "full_like",
    "nan_to_num",
    "ones_like",
    "zeros_like",
]
