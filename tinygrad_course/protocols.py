"""What NumPy's own functions do when they meet a Tensor.

NumPy asks through two protocols: ``__array_ufunc__`` for ``np.exp`` and its kind, and
``__array_function__`` for everything else. Both end in a lookup of our function for theirs. What
has no rule is refused by name, so that no history is lost silently.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from tinygrad_course import ops
from tinygrad_course.buffers import name_line, note_write
from tinygrad_course.errors import ShapeError, UnsupportedFunctionError
from tinygrad_course.functions.refusals import IN_GENERAL, REFUSALS
from tinygrad_course.graph import Value
from tinygrad_course.inplace import records, write, write_array
from tinygrad_course.primitive import NUMPY_FUNCTIONS

Array = Any

_REDUCTIONS: dict[Any, Callable[..., Any]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
_ACCUMULATIONS: dict[Any, Callable[..., Any]] = {np.add: np.cumsum, np.multiply: np.cumprod}

_LATE = {"numpy.linalg": "tinygrad_course.linalg", "numpy.fft": "tinygrad_course.fft"}
"""Our modules that are imported when the first function of NumPy's module meets a Tensor."""


def lookup(function: Any) -> Callable[..., Any] | None:
    """Return our function for one of NumPy's or SciPy's, or None."""
    ours = NUMPY_FUNCTIONS.get(function)
    if ours is None:
        late = _LATE.get(getattr(function, "__module__", None) or "")
        if late is None and isinstance(function, np.ufunc) and "scipy.special" in sys.modules:
            late = "tinygrad_course.special"
        if late is not None and late not in sys.modules:
            import_module(late)
            ours = NUMPY_FUNCTIONS.get(function)
    return ours


def load_all() -> None:
    """Import every module with primitives of its own, for who wants to see the whole registry.

    SciPy's are left out where SciPy is not installed.
    """
    for late in _LATE.values():
        import_module(late)
    if find_spec("scipy") is not None:
        import_module("tinygrad_course.special")


def name_of(function: Any) -> str:
    """Return what people write: ``np.linalg.inv`` for the function of ``numpy.linalg``."""
    module = getattr(function, "__module__", None)
    if module is None:  # a ufunc of SciPy's, or an old NumPy's
        ours = getattr(np, function.__name__, None) is function
        module = "numpy" if ours else "scipy.special"
    return f"{module.replace('numpy', 'np', 1)}.{getattr(function, '__name__', function)}"


def refused(function: Any, method: str, options: dict[str, Any]) -> UnsupportedFunctionError:
    """Return the error for a NumPy function, or an option of it, that Tensors do not have."""
    name = name_of(function)
    shown = f" with {', '.join(f'{k}=' for k in options)}" if options else ""
    cure = "leave these options out" if options else REFUSALS.get(name, IN_GENERAL)
    return UnsupportedFunctionError(f"{name}{method}{shown} has no rule for Tensors: {cure}")


# ---- __array_ufunc__ ------------------------------------------------------------------------


def apply_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Do what ``ufunc.method(*inputs, **options)`` does, recorded.

    `out` may be a Tensor, which then holds the result and its history, or an array if nothing is
    recorded. With `where` the operation runs at the chosen places only, so that what happens
    elsewhere cannot spoil a gradient; the other places keep the value of `out`, or are 0.
    """
    if method == "at":
        return _at(ufunc, *inputs)
    methods: dict[str, Callable[..., Any]] = {
        "__call__": _call,
        "reduce": _reduce,
        "accumulate": _accumulate,
        "outer": _outer,
    }
    apply = methods.get(method)
    if apply is None:
        raise refused(ufunc, f".{method}", {})
    out = options.pop("out", (None,))
    options = {k: v for k, v in options.items() if not _idle(k, v)}
    if method == "__call__" and out[0] is not None and "where" in options:
        options["base"] = out[0]
    name = f"np.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
    return _deliver(name, apply(ufunc, *inputs, **options), out)


def _idle(option: str, value: Any) -> bool:
    """Whether an option has the value that changes nothing."""
    if option == "where":
        return value is True
    if option == "axis":  # None means all axes
        return False
    idle = {"order": "K", "subok": True}
    return value is None or value is np._NoValue or (option in idle and value == idle[option])


def _deliver(name: str, result: Any, out: tuple[Any, ...]) -> Any:
    """Write results to `out` as far as it is given, and return what the call returns."""
    several = isinstance(result, tuple)
    parts = list(result) if several else [result]
    for i, target in enumerate(out):
        if target is None:
            continue
        if isinstance(target, Value):
            write(f"{name} with out=", target, ops.astype(parts[i], dtype=target._data.dtype))
        else:
            write_array(f"{name} with out=", target, parts[i])
        parts[i] = target
    return tuple(parts) if several else parts[0]


def _call(ufunc: Any, *inputs: Any, base: Any = None, where: Any = True, **options: Any) -> Any:
    function = lookup(ufunc)
    if function is None:
        raise refused(ufunc, "", options)
    dtype, casting = options.pop("dtype", None), options.pop("casting", "same_kind")
    if dtype is not None:
        inputs = tuple(_converted(ufunc, x, np.dtype(dtype), casting) for x in inputs)
    if where is True and not options:
        return function(*inputs)
    if where is True:
        return _with_options(function, ufunc, inputs, options)
    if ufunc.signature is not None or ufunc.nout > 1 or options:
        raise refused(ufunc, "", {"where": where, **options})
    return _call_where(function, inputs, where, base)


def _with_options(ours: Callable[..., Any], theirs: Any, args: Any, options: dict[str, Any]) -> Any:
    """Call our function; an option that it does not have is refused under NumPy's name."""
    try:
        return ours(*args, **options)
    except TypeError as error:
        if "unexpected keyword" in str(error) or "positional" in str(error):
            raise refused(theirs, "", options) from error
        raise


def _converted(ufunc: Any, x: Any, dtype: np.dtype[Any], casting: Any) -> Any:
    have = x._data.dtype if isinstance(x, Value) else np.asarray(x).dtype
    if not np.can_cast(have, dtype, casting):
        raise UnsupportedFunctionError(
            f"np.{ufunc.__name__}: cannot cast {have} to {dtype} according to casting={casting!r}"
        )
    return ops.astype(x, dtype=dtype) if isinstance(x, Value) else np.asarray(x, dtype=dtype)


def _call_where(function: Callable[..., Any], inputs: Any, where: Any, base: Any) -> Any:
    """Compute at the chosen places alone: 0 times an infinite slope elsewhere would be nan."""
    mask = where._data if isinstance(where, Value) else np.asarray(where)
    shape = np.broadcast_shapes(mask.shape, *(np.shape(x) for x in inputs))
    mask = np.broadcast_to(mask, shape).copy()
    chosen = [ops.getitem(ops.broadcast_to(x, shape=shape), key=mask) for x in inputs]
    result = function(*chosen)
    if base is None:
        base = np.zeros(shape, result.dtype)
    return ops.replace_at(base, result, key=mask)


def _reduce(ufunc: Any, x: Any, axis: Any = 0, **options: Any) -> Any:
    theirs = _REDUCTIONS.get(ufunc)
    if theirs is not None:
        return apply_function(theirs, (x,), {"axis": axis, **options})
    keepdims = options.pop("keepdims", False)
    if options:
        raise refused(ufunc, ".reduce", options)
    parts, axis = _slices(ufunc, ".reduce", x, axis)
    if not parts:
        raise ShapeError(f"np.{ufunc.__name__}.reduce: axis {axis} has no elements to reduce")
    result = parts[0]
    for part in parts[1:]:
        result = _call(ufunc, result, part)
    return apply_function(np.expand_dims, (result, axis), {}) if keepdims else result


def _slices(ufunc: Any, method: str, x: Any, axis: Any) -> tuple[list[Any], int]:
    """Return the slices of x along one axis, in order, and the axis counted from 0."""
    shape = np.shape(x)
    if axis is None and len(shape) == 1:
        axis = 0
    if not isinstance(axis, int | np.integer) or ufunc.nin != 2 or ufunc.signature is not None:
        raise refused(ufunc, f"{method}(axis={axis})", {})
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"np.{ufunc.__name__}{method}: axis {axis} does not exist in {shape}")
    axis = int(axis) % len(shape)
    key = (slice(None),) * axis
    return [ops.getitem(x, key=(*key, i)) for i in range(shape[axis])], axis


def _accumulate(ufunc: Any, x: Any, axis: Any = 0, **options: Any) -> Any:
    theirs = _ACCUMULATIONS.get(ufunc)
    if theirs is not None:
        return apply_function(theirs, (x,), {"axis": axis, **options})
    if options:
        raise refused(ufunc, ".accumulate", options)
    parts, axis = _slices(ufunc, ".accumulate", x, axis)
    if not parts:
        return ops.copy(x)
    results = parts[:1]
    for part in parts[1:]:
        results.append(_call(ufunc, results[-1], part))
    return ops.stack_all(*results, axis=axis)


def _outer(ufunc: Any, x: Any, y: Any, **options: Any) -> Any:
    if ufunc.nin != 2 or ufunc.signature is not None:
        raise refused(ufunc, ".outer", {})
    left = ops.reshape(x, shape=(*np.shape(x), *[1] * np.ndim(y)))
    return _call(ufunc, left, y, **options)


def _at(ufunc: Any, target: Any, indices: Any, *values: Any) -> None:
    """Do ``ufunc.at(target, indices, value)``: unbuffered, so that repeated indices all count."""
    name = f"np.{ufunc.__name__}.at"
    key = ops.plain_key(indices)
    if not isinstance(target, Value):
        raise UnsupportedFunctionError(
            f"{name}: the target is a plain array and a value a Tensor; make the target a Tensor, "
            f"or pass the value's .numpy()"
        )
    if not records(target, *values):
        # In the shape of the index: NumPy 2.4's fast path reads past the end of shorter values.
        shape = np.empty(target._data.shape, dtype=bool)[key].shape
        plain = [np.broadcast_to(_raw(v), shape) for v in values]
        ufunc.at(target._data, key, *plain)
        note_write(target._data, name)
        name_line(target._data)
        return
    if ufunc not in (np.add, np.subtract):
        raise refused(ufunc, ".at while recording", {})
    shape = target._data.shape
    piece = np.empty(shape, dtype=bool)[key].shape
    spread = ops.broadcast_to(values[0], shape=piece)
    write(name, target, _call(ufunc, target, ops.scatter_add(spread, key=key, shape=shape)))


# ---- __array_function__ ---------------------------------------------------------------------


def apply_function(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do what ``function(*args, **kwargs)`` does, recorded; see `apply_ufunc` for `out`."""
    ours = lookup(function)
    if ours is None:
        raise refused(function, "", {})
    out = None
    if kwargs:
        kwargs = dict(kwargs)
        out = kwargs.pop("out", None)
        kwargs = {k: v for k, v in kwargs.items() if v is not np._NoValue}
        if not args:  # the inputs came by NumPy's names for them, which are not ours
            args, kwargs = _fitted(function, args, kwargs, refused(function, "", kwargs))
    try:
        result = ours(*args, **kwargs)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        args, kwargs = _fitted(function, args, kwargs, error)
        result = _with_options(ours, function, args, kwargs)
    if out is None:
        return result
    return _deliver(f"np.{function.__name__}", result, out if isinstance(out, tuple) else (out,))


def _fitted(
    function: Any, args: Any, kwargs: dict[str, Any], error: TypeError
) -> tuple[list[Any], dict[str, Any]]:
    """Return the same call without defaults, and with NumPy's own names given by position."""
    try:
        signature = inspect.signature(function)
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        raise error from None
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    by_position = True
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += bound.arguments.get(name, ())
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            keywords.update(bound.arguments.get(name, {}))
            continue
        given = name in bound.arguments
        value = bound.arguments.get(name)
        idle = not given or value is parameter.default
        if parameter.default is parameter.empty and by_position:
            positional.append(value)
        else:
            by_position = False
            if not idle:
                keywords[name] = value
    return positional, keywords


def _raw(x: Any) -> Any:
    return x._data if isinstance(x, Value) else x


def _described(function: Any) -> Callable[..., Any]:
    """Return a function of NumPy's that only describes: plain Python or arrays come back."""

    def describe(*args: Any, **kwargs: Any) -> Any:
        return function(*map(_raw, args), **{k: _raw(v) for k, v in kwargs.items()})

    return describe


DESCRIBING = (
    np.shape,
    np.ndim,
    np.size,
    np.array_equal,
    np.array_equiv,
    np.allclose,
    np.iscomplexobj,
    np.isrealobj,
    np.array_repr,
    np.array_str,
    np.array2string,
    np.may_share_memory,
    np.shares_memory,
    np.common_type,
    np.result_type,
    np.can_cast,
    np.min_scalar_type,
    np.isfortran,
    np.save,
    np.savetxt,
    np.diag_indices_from,
    np.tril_indices_from,
    np.triu_indices_from,
    np.ravel_multi_index,
    np.unravel_index,
)
NUMPY_FUNCTIONS.update({function: _described(function) for function in DESCRIBING})

__all__ = [
    "DESCRIBING",
    "apply_function",
    "apply_ufunc",
    "load_all",
    "lookup",
    "name_of",
    "refused",
]
