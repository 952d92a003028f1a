"""Reductions that leave nan out.

Each is its plain counterpart with a mask, and so is its derivative: a nan gets the gradient 0, as
does every element of a lane that has nothing but nan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_course.errors import UnsupportedFunctionError
from tinygrad_course.ops.cumulative import prod_rule
from tinygrad_course.ops.lanes import no_out, raw
from tinygrad_course.ops.reduction import (
    extreme_rule,
    mean_rule,
    place,
    std_rule,
    sum_rule,
    var_rule,
)
from tinygrad_course.ops.samples import values
from tinygrad_course.primitive import Op, Sample, Samples, primitive


def _present(x: Any, where: Any) -> Any:
    """Return the mask of the elements that take part."""
    there = ~np.isnan(raw(x))
    return there if where is True else there & where


def _masked(rule: Callable[..., Any], *, shaped: bool = False) -> Callable[..., Any]:
    """Return the rule of a reduction, for the elements that are not nan."""
    if shaped:

        def masked(
            g: Any, ans: Any, x: Any, *, shapes: Any, where: Any = True, **params: Any
        ) -> Any:
            return rule(g, ans, x, shapes=shapes, where=_present(x, where), **params)

        return masked
    return lambda g, ans, x, *, where=True, **params: rule(
        g, ans, x, where=_present(x, where), **params
    )


def _cases(*more: dict[str, Any]) -> Samples:
    """Return samples over every kind of axis; those with nan are in the tests."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        cases: list[tuple[tuple[int, ...], dict[str, Any]]] = [
            ((4,), {"axis": 0}),
            ((3, 4), {}),
            ((3, 4), {"axis": 0, "keepdims": True}),
            ((2, 3, 4), {"axis": (0, 2)}),
            *[((3, 4), case) for case in more],
        ]
        for shape, case in cases:
            yield (values(rng, shape, -2.0, 2.0),), case
        yield (values(rng, (3, 2), -2.0, 2.0).T[:, ::-1],), {"axis": 1}

    return samples


_MASK = np.array([[True, True, True, False], [True, False, True, True], [True, True, False, True]])


def _sums(function: Any) -> Any:
    """Return np.nansum or np.nanprod as the forward function of a row."""

    def forward(
        x: Any,
        *,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        options = {} if initial is None else {"initial": initial}
        if where is not True:
            options["where"] = where
        return function(x, axis, dtype, no_out(out), keepdims, **options)

    return forward


nansum: Op = primitive(
    "nansum",
    _sums(np.nansum),
    _cases({"axis": 0, "where": _MASK}, {"initial": 2.0}),
    _masked(sum_rule, shaped=True),
    numpy=(np.nansum,),
    doc="""Sum over `axis` without the nan: the derivative of every other element is 1.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nansum(tc.Tensor([1.0, np.nan, 3.0]))
        Tensor(4.)
    """,
)

nanprod: Op = primitive(
    "nanprod",
    _sums(np.nanprod),
    _cases({"axis": 0, "where": _MASK}, {"initial": 2.0}),
    _masked(prod_rule),
    numpy=(np.nanprod,),
    doc="""Multiply over `axis` without the nan; right where elements are 0, as `prod` is.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nanprod(tc.Tensor([2.0, np.nan, 3.0]))
        Tensor(6.)
    """,
)

nanmean: Op = primitive(
    "nanmean",
    lambda x, *, axis=None, dtype=None, out=None, keepdims=False, where=True: np.nanmean(
        x, axis, dtype, no_out(out), keepdims, where=where
    ),
    _cases({"axis": 0, "where": _MASK}),
    _masked(mean_rule, shaped=True),
    numpy=(np.nanmean,),
    doc="""Average over `axis` without the nan: 1/n for each of the n other elements.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nanmean(tc.Tensor([1.0, np.nan, 3.0]))
        Tensor(2.)
    """,
)


def _deviations(function: Any) -> Any:
    """Return np.nanvar or np.nanstd as the forward function of a row."""

    def forward(
        x: Any,
        *,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        where: Any = True,
        mean: Any = None,
        correction: Any = None,
    ) -> Any:
        if mean is not None:
            name = function.__name__
            raise UnsupportedFunctionError(
                f"{name}: mean= has no rule for Tensors; leave it out, or write "
                f"{name.removeprefix('nan')}(x, where=~isnan(x), mean=mean)"
            )
        ddof = ddof if correction is None else correction
        return function(x, axis, dtype, no_out(out), ddof, keepdims, where=where)

    return forward


nanvar: Op = primitive(
    "nanvar",
    _deviations(np.nanvar),
    _cases({"axis": 0, "where": _MASK, "ddof": 0.5}, {"axis": 1, "correction": 1}),
    _masked(var_rule),
    numpy=(np.nanvar,),
    doc="""Take the variance over `axis` without the nan.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nanvar(tc.Tensor([1.0, np.nan, 3.0]))
        Tensor(1.)
    """,
)

nanstd: Op = primitive(
    "nanstd",
    _deviations(np.nanstd),
    _cases({"axis": 1, "where": _MASK, "ddof": 0.5}),
    _masked(std_rule),
    numpy=(np.nanstd,),
    doc="""Take the standard deviation over `axis` without the nan; of equal numbers gradient 0.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nanstd(tc.Tensor([1.0, np.nan, 3.0]))
        Tensor(1.)
    """,
)


def _extreme(function: Any) -> Any:
    """Return np.nanmax or np.nanmin as the forward function of a row."""

    def forward(
        x: Any,
        *,
        axis: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        options = {} if initial is None else {"initial": initial}
        if where is not True:
            options["where"] = where
        return function(x, axis, no_out(out), keepdims, **options)

    return forward


nanmax: Op = primitive(
    "nanmax",
    _extreme(np.nanmax),
    _cases({"axis": 1, "where": _MASK, "initial": 0.01}),
    _masked(extreme_rule),
    numpy=(np.nanmax,),
    real=True,
    expects="at least one element to choose from, or initial=",
    doc="""Take the maximum over `axis` without the nan; ties share the gradient equally.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nanmax(tc.Tensor([1.0, np.nan, 3.0]))
        Tensor(3.)
    """,
)

nanmin: Op = primitive(
    "nanmin",
    _extreme(np.nanmin),
    _cases({"axis": 1, "where": _MASK, "initial": 0.01}),
    _masked(extreme_rule),
    numpy=(np.nanmin,),
    real=True,
    expects="at least one element to choose from, or initial=",
    doc="""Take the minimum over `axis` without the nan; ties share the gradient equally.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.nanmin(tc.Tensor([1.0, np.nan, 3.0]))
        Tensor(1.)
    """,
)

nanargmax: Op = place(np.nanargmax, "maximum, nan left out,")

nanargmin: Op = place(np.nanargmin, "minimum, nan left out,")


__all__ = [
    "nanargmax",
    "nanargmin",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]
