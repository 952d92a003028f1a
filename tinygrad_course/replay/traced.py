"""Stand-ins for arrays and numbers that note every NumPy call made with them.

A `Traced` array is what the engine calls an array of another library: it speaks NumPy's two
protocols, so that Tensors, derivative rules and update rules run on it as they are. It computes as
it goes, so that shapes and dtypes are known; only its values may not leave it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol

import numpy as np

from tinygrad_course.buffers import user_line
from tinygrad_course.errors import TraceError
from tinygrad_course.graph import Value
from tinygrad_course.replay.program import Var


class Recorder(Protocol):
    """Who notes the calls."""

    def call(
        self,
        function: Callable[..., Any],
        form: str,
        text: str,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        writes: tuple[Any, ...] = (),
    ) -> Any:
        """Compute, note, and return the traced result."""

    def kernel(
        self, function: Callable[..., Any], args: Any, keywords: dict[str, Any], name: str = ""
    ) -> Any:
        """Note a function as one call instead of looking into it."""

    def truth(self, number: Number, *, exact: bool) -> Any:
        """Return a number's value, and note that the trace relies on it."""


def name_of(function: Callable[..., Any]) -> str:
    """Return what source code calls a NumPy function, as ``np.linalg.inv``."""
    name = function.__name__
    if getattr(np, name, None) is function:
        return f"np.{name}"
    module = getattr(function, "__module__", None) or ""
    return f"{module.replace('numpy', 'np', 1)}.{name}" if module.startswith("numpy.") else name


def _leaves_the_trace(what: str, cure: str) -> NoReturn:
    raise TraceError(
        f"compile: {what} at {user_line()} needs the value of an array, which is known only when "
        f"the step runs; {cure}"
    )


DESCRIBING = frozenset(
    {
        np.shape,
        np.ndim,
        np.size,
        np.iscomplexobj,
        np.isrealobj,
        np.result_type,
        np.common_type,
        np.can_cast,
        np.min_scalar_type,
        np.may_share_memory,
        np.shares_memory,
    }
)
"""NumPy functions whose answer depends on shapes and dtypes only."""

_WRITERS = {
    np.copyto: 0,
    np.put: 0,
    np.place: 0,
    np.putmask: 0,
    np.put_along_axis: 0,
    np.fill_diagonal: 0,
}
"""NumPy functions that write into an argument, and which."""

_WRITING_METHODS = frozenset({"fill", "sort", "partition", "put", "itemset"})


class Traced:
    """An array in a trace: its value so far, and the variable that stands for it."""

    __slots__ = ("__weakref__", "recorder", "value", "variable")

    __array_priority__ = 100.0
    base = None  # it is asked for by the version check, whose business is memory outside a trace

    def __init__(self, value: Any, variable: Var, recorder: Recorder) -> None:
        self.value = value
        self.variable = variable
        self.recorder = recorder

    # ---- NumPy's protocols ---------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        if any(isinstance(x, Value) for x in inputs):
            return NotImplemented
        out = keywords.pop("out", ())
        if method == "at":
            text = f"{name_of(ufunc)}.at"
            return self.recorder.call(ufunc.at, "call", text, inputs, keywords, inputs[:1])
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        text = name_of(ufunc) + ("" if method == "__call__" else f".{method}")
        targets = tuple(target for target in out if target is not None)
        if targets:
            keywords["out"] = out if len(out) > 1 else out[0]
        result = self.recorder.call(function, "call", text, inputs, keywords, targets)
        return targets[0] if len(targets) == 1 and len(out) == 1 else result

    def __array_function__(
        self,
        function: Callable[..., Any],
        _types: Any,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> Any:
        if function in DESCRIBING:
            return function(*plain(args), **plain(keywords))
        writes = (args[_WRITERS[function]],) if function in _WRITERS else ()
        target = keywords.get("out")
        if target is not None:
            self.recorder.call(function, "call", name_of(function), args, keywords, (target,))
            return target
        return self.recorder.call(function, "call", name_of(function), args, keywords, writes)

    def __array__(self, *_args: Any, **_keywords: Any) -> NoReturn:
        _leaves_the_trace(
            "making a plain array",
            "use NumPy's functions on it directly, and copy() in place of np.asarray; to pick rows "
            "of a plain array, make it a Tensor before the step: x = tc.Tensor(x); libraries that "
            "want plain arrays, such as SciPy, belong before or after the step",
        )

    # ---- what it is ----------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self.value.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """The dtype of the elements."""
        return self.value.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.value.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(self.value.size)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return int(self.value.itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return int(self.value.nbytes)

    @property
    def flags(self) -> Any:
        """How the elements lie in memory."""
        return self.value.flags

    @property
    def strides(self) -> tuple[int, ...]:
        """The steps in bytes along each axis."""
        return self.value.strides  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<traced {self.shape} {self.dtype}>"

    # ---- what must not leave -------------------------------------------------------------

    def __bool__(self) -> NoReturn:  # noqa: PLE0304 - it raises
        _leaves_the_trace("a condition", "choose with np.where, or leave this test out of the step")

    def __float__(self) -> NoReturn:
        _leaves_the_trace("float()", "return the array and convert it outside")

    def __int__(self) -> NoReturn:
        _leaves_the_trace("int()", "return the array and convert it outside")

    def __complex__(self) -> NoReturn:
        _leaves_the_trace("complex()", "return the array and convert it outside")

    def __index__(self) -> NoReturn:  # noqa: PLE0305 - it raises
        _leaves_the_trace("an index", "index with the array itself, or take it out of the step")

    def __contains__(self, _element: Any) -> NoReturn:
        _leaves_the_trace("`in`", "compare with == and reduce with np.any")

    def item(self, *_args: Any) -> NoReturn:
        """Refuse: the value is not known while tracing."""
        _leaves_the_trace("item()", "return the array and convert it outside")

    def tolist(self) -> NoReturn:
        """Refuse: the values are not known while tracing."""
        _leaves_the_trace("tolist()", "return the array and convert it outside")

    def tobytes(self, *_args: Any) -> NoReturn:
        """Refuse: the values are not known while tracing."""
        _leaves_the_trace("tobytes()", "return the array and convert it outside")

    # ---- elements ------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        return self.recorder.call(operator.getitem, "getitem", "", (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        self.recorder.call(operator.setitem, "setitem", "", (self, key, value), {}, (self,))


class Number:
    """A Python number that is read anew at every replay: a learning rate, a count of steps."""

    __slots__ = ("recorder", "value", "variable")

    def __init__(self, value: Any, variable: Var, recorder: Recorder) -> None:
        self.value = value
        self.variable = variable
        self.recorder = recorder

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        if any(isinstance(x, Value) for x in inputs):
            return NotImplemented
        return Traced.__array_ufunc__(self, ufunc, method, *inputs, **keywords)  # type: ignore[arg-type]

    def __array_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> Any:
        return Traced.__array_function__(self, function, types, args, keywords)  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, ...]:
        """Nothing, as of a number."""
        return ()

    @property
    def ndim(self) -> int:
        """No axes, as of a number."""
        return 0

    @property
    def dtype(self) -> Any:
        """The dtype that NumPy gives such a number by itself."""
        return np.dtype(type(self.value))

    def __bool__(self) -> bool:
        return bool(self.recorder.truth(self, exact=False))

    def __float__(self) -> float:
        return float(self.recorder.truth(self, exact=True))

    def __int__(self) -> int:
        return int(self.recorder.truth(self, exact=True))

    def __index__(self) -> int:
        return operator.index(self.recorder.truth(self, exact=True))

    def __hash__(self) -> int:
        return hash(self.recorder.truth(self, exact=True))

    def __repr__(self) -> str:
        return f"<traced number {self.value!r}>"


def plain(tree: Any) -> Any:
    """Return nested arguments with the values in place of their stand-ins."""
    if isinstance(tree, Traced | Number):
        return tree.value
    if isinstance(tree, tuple | list):
        parts = [plain(part) for part in tree]
        return tree._make(parts) if hasattr(tree, "_make") else type(tree)(parts)
    if type(tree) is dict:
        return {key: plain(part) for key, part in tree.items()}
    if isinstance(tree, slice):
        return slice(plain(tree.start), plain(tree.stop), plain(tree.step))
    return tree


# ---- methods and operators -----------------------------------------------------------------


class Method:
    """``x.name(...)`` as a function; two of one name are equal."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, x: Any, *args: Any, **keywords: Any) -> Any:
        """Call the method of x."""
        return getattr(x, self.name)(*args, **keywords)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Method) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


class Attribute(Method):
    """``x.name`` as a function."""

    __slots__ = ()

    def __call__(self, x: Any, *_args: Any, **_keywords: Any) -> Any:
        """Return the attribute of x."""
        return getattr(x, self.name)


METHODS = (
    *("all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "choose", "clip"),
    *("compress", "conj", "conjugate", "copy", "cumprod", "cumsum", "diagonal", "dot", "fill"),
    *("flatten", "max", "mean", "min", "nonzero", "partition", "prod", "ptp", "put", "ravel"),
    *("repeat", "reshape", "round", "searchsorted", "sort", "squeeze", "std", "sum", "swapaxes"),
    *("take", "trace", "transpose", "var", "view"),
)

ATTRIBUTES = ("T", "mT", "real", "imag", "flat")

_BINARY = {
    "add": (np.add, operator.add, "+"),
    "sub": (np.subtract, operator.sub, "-"),
    "mul": (np.multiply, operator.mul, "*"),
    "truediv": (np.true_divide, operator.truediv, "/"),
    "floordiv": (np.floor_divide, operator.floordiv, "//"),
    "mod": (np.remainder, operator.mod, "%"),
    "pow": (np.power, operator.pow, "**"),
    "matmul": (np.matmul, operator.matmul, "@"),
    "and": (np.bitwise_and, operator.and_, "&"),
    "or": (np.bitwise_or, operator.or_, "|"),
    "xor": (np.bitwise_xor, operator.xor, "^"),
    "lshift": (np.left_shift, operator.lshift, "<<"),
    "rshift": (np.right_shift, operator.rshift, ">>"),
}
_COMPARING = {
    "lt": (np.less, operator.lt, "<"),
    "le": (np.less_equal, operator.le, "<="),
    "gt": (np.greater, operator.gt, ">"),
    "ge": (np.greater_equal, operator.ge, ">="),
    "eq": (np.equal, operator.eq, "=="),
    "ne": (np.not_equal, operator.ne, "!="),
}
_UNARY: dict[str, tuple[np.ufunc, Callable[..., Any], str]] = {
    "neg": (np.negative, operator.neg, "-"),
    "pos": (np.positive, operator.pos, "+"),
    "abs": (np.absolute, operator.abs, "abs"),
    "invert": (np.invert, operator.invert, "~"),
}

SYMBOLS = {ufunc: symbol for ufunc, _, symbol in (*_BINARY.values(), *_COMPARING.values())}
"""How source code writes a ufunc of two arrays."""


def _method(name: str) -> Callable[..., Any]:
    function = Method(name)

    def run(self: Traced, *args: Any, **keywords: Any) -> Any:
        writes = (self,) if name in _WRITING_METHODS else ()
        return self.recorder.call(function, "method", name, (self, *args), keywords, writes)

    return run


def _attribute(name: str) -> property:
    function = Attribute(name)
    return property(lambda self: self.recorder.call(function, "attribute", name, (self,), {}))


def _array_operator(ufunc: np.ufunc, run: Callable[..., Any], symbol: str, *, swap: bool) -> Any:
    def call(self: Traced, other: Any) -> Any:
        if isinstance(other, Value) or (not isinstance(other, Traced | Number) and _foreign(other)):
            return NotImplemented
        pair = (other, self) if swap else (self, other)
        if run is operator.pow:  # NumPy's operator has short cuts that its ufunc lacks
            return self.recorder.call(operator.pow, "operator", symbol, pair, {})
        return ufunc(*pair)

    return call


def _foreign(x: Any) -> bool:
    return not isinstance(x, np.ndarray | np.generic | int | float | complex | bool | list)


def _array_inplace(ufunc: np.ufunc) -> Any:
    def call(self: Traced, other: Any) -> Any:
        if isinstance(other, Value):
            return NotImplemented
        if isinstance(self.value, np.generic):
            return ufunc(self, other)
        return ufunc(self, other, out=(self,))

    return call


def _array_unary(ufunc: np.ufunc) -> Any:
    def call(self: Traced) -> Any:
        return ufunc(self)

    return call


def _number_unary(run: Callable[..., Any], symbol: str) -> Any:
    return lambda self: self.recorder.call(run, "operator", symbol, (self,), {})


def _number_operator(run: Callable[..., Any], symbol: str, *, swap: bool) -> Any:
    def call(self: Number, other: Any) -> Any:
        if not isinstance(other, Number | int | float | complex):
            return NotImplemented
        pair = (other, self) if swap else (self, other)
        return self.recorder.call(run, "operator", symbol, pair, {})

    return call


for _name, (_ufunc, _run, _symbol) in {**_BINARY, **_COMPARING}.items():
    setattr(Traced, f"__{_name}__", _array_operator(_ufunc, _run, _symbol, swap=False))
    setattr(Number, f"__{_name}__", _number_operator(_run, _symbol, swap=False))
    if _name in _BINARY:
        setattr(Traced, f"__r{_name}__", _array_operator(_ufunc, _run, _symbol, swap=True))
        setattr(Traced, f"__i{_name}__", _array_inplace(_ufunc))
        setattr(Number, f"__r{_name}__", _number_operator(_run, _symbol, swap=True))
for _name, (_ufunc, _only, _symbol) in _UNARY.items():
    setattr(Traced, f"__{_name}__", _array_unary(_ufunc))
    setattr(Number, f"__{_name}__", _number_unary(_only, _symbol))
for _name in METHODS:
    setattr(Traced, _name, _method(_name))
for _name in ATTRIBUTES:
    setattr(Traced, _name, _attribute(_name))


__all__ = ["DESCRIBING", "SYMBOLS", "Attribute", "Method", "Number", "Traced", "name_of", "plain"]
