"""Tensor: an array that remembers how it was computed.

The operators are the primitives themselves; the methods are NumPy's functions with the Tensor as
first argument. Only what is public about a Tensor is written here.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from tinygrad_course import functions, inplace, ops
from tinygrad_course.buffers import name_line
from tinygrad_course.errors import (
    DtypeError,
    GraphError,
    ShapeError,
    UnsupportedFunctionError,
)
from tinygrad_course.graph import RETAIN, Value, backward
from tinygrad_course.primitive import NUMPY_FUNCTIONS, note_view, set_output_type
from tinygrad_course.protocols import apply_function, apply_ufunc


class Tensor(Value):
    """An array whose computation is recorded, so that derivatives can be taken through it.

    Args:
        data: anything NumPy makes an array of. An ndarray is shared, not copied; its dtype stays.
        requires_grad: whether `backward` should give this Tensor a ``.grad``.
        dtype: convert to this dtype.
        name: what pictures and tables call it.

    Raises:
        DtypeError: the data are not numbers, or `requires_grad` is asked of whole numbers.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor([1.0, 2.0], requires_grad=True, name="x")
        >>> y = (x * x).sum()
        >>> y.backward()
        >>> x.grad
        array([2., 4.])
    """

    __slots__ = ()

    def __init__(
        self, data: Any, *, requires_grad: bool = False, dtype: Any = None, name: str | None = None
    ) -> None:
        if isinstance(data, Value) and data._needs:
            raise GraphError(
                "Tensor: the data are a Tensor that requires grad, whose history would be lost; "
                "use detach() if that is meant, or array() for a recorded copy"
            )
        array = _as_array(data)
        if dtype is not None and array.dtype != np.dtype(dtype):
            array = array.astype(dtype)
        self._data = array
        self._node = None
        self._grad = None
        self._name = name
        self._views = None
        self._needs = False
        if requires_grad:
            self.requires_grad = True

    # ---- what it is ---------------------------------------------------------------------

    @property
    def data(self) -> Any:
        """The array itself. Writing into it is not noticed by the version check."""
        if isinstance(self._data, np.generic):
            self._data = np.asarray(self._data)  # results keep NumPy scalars, which are faster
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        array = _as_array(value)
        if array.shape != self.shape:
            raise ShapeError(f"Tensor.data: got shape {array.shape}, expected {self.shape}")
        ops.assign(self, array)
        name_line(self._data)

    @property
    def grad(self) -> Any:
        """The gradient that `backward` left here: an array of this Tensor's shape, or None."""
        if self._node is not None:
            kept = self._node.retained
            if kept is None or kept is RETAIN:
                return None
            self._node.retained = kept if isinstance(kept, np.ndarray) else np.array(kept)
            return self._node.retained
        if isinstance(self._grad, np.generic):
            self._grad = np.array(self._grad)
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if self._node is not None:
            raise GraphError(
                "Tensor.grad: only a leaf's gradient can be set; this Tensor is the result of "
                f"{self._node.primitive.name}"
            )
        if value is None:
            self._grad = None
            return
        array = value._data if isinstance(value, Value) else np.asarray(value)
        if np.shape(array) != self.shape:
            raise ShapeError(f"Tensor.grad: got shape {np.shape(array)}, expected {self.shape}")
        self._grad = np.array(array, dtype=self.dtype)

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this Tensor are recorded."""
        return self._needs

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if not wanted and self._node is not None:
            raise GraphError(
                "Tensor.requires_grad: cannot be switched off for a result of an operation; "
                "use detach()"
            )
        if wanted and self._data.dtype.kind not in "fc":
            raise DtypeError(
                f"Tensor: a gradient needs a floating or complex dtype, got {self._data.dtype}; "
                f"pass dtype=float, or write the numbers with a decimal point"
            )
        self._needs = bool(wanted)

    @property
    def name(self) -> str | None:
        """What pictures and tables call this Tensor."""
        return self._name

    @name.setter
    def name(self, value: str | None) -> None:
        self._name = value

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        shape: tuple[int, ...] = self._data.shape
        return shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._data.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(self._data.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the elements."""
        dtype: np.dtype[Any] = self._data.dtype
        return dtype

    @property
    def T(self) -> Tensor:  # noqa: N802 - NumPy's name
        """The Tensor with its axes reversed."""
        result: Tensor = ops.transpose_axes(self, axes=None)
        return result

    @property
    def mT(self) -> Tensor:  # noqa: N802 - NumPy's name
        """The Tensor with its last two axes exchanged."""
        result: Tensor = functions.matrix_transpose(self)
        return result

    @property
    def flat(self) -> Iterator[Any]:
        """The elements one after another."""
        return iter(functions.ravel(self))

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return int(self._data.itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return int(self._data.nbytes)

    @property
    def real(self) -> Any:
        """The real part."""
        return ops.real(self)

    @property
    def imag(self) -> Any:
        """The imaginary part; zeros for a real Tensor."""
        return ops.imag(self)

    @property
    def is_leaf(self) -> bool:
        """Whether this Tensor is not the result of a recorded operation."""
        return self._node is None

    def numpy(self) -> Any:
        """Return the array behind this Tensor; it shares memory and carries no history."""
        return self.data

    def item(self) -> Any:
        """Return the only element as a Python number."""
        if self._data.size != 1:
            raise ShapeError(f"Tensor.item: needs one element, got shape {self.shape}")
        return self._data.item()

    def tolist(self) -> Any:
        """Return the elements as nested Python lists."""
        return self._data.tolist()

    def detach(self) -> Tensor:
        """Return a Tensor with the same memory and no history."""
        out = Tensor(self.data, name=self._name)
        note_view(self, out)
        return out

    def retain_grad(self) -> None:
        """Ask backward to leave a gradient in ``.grad`` of this intermediate result too."""
        if not self._needs:
            raise GraphError("retain_grad: this Tensor does not require grad")
        if self._node is not None:
            self._node.retained = RETAIN

    def backward(self, gradient: Any = None, *, retain_graph: bool = False) -> None:
        """Add the derivative of this Tensor to the ``.grad`` of every leaf it depends on.

        Args:
            gradient: the upstream gradient, of this Tensor's shape; may be left out for a result
                of one element, where it is 1.
            retain_graph: keep the saved values, so that backward can run again.

        Raises:
            GraphError: nothing requires grad, the result has several elements and no `gradient`
                is given, the graph was freed, or a saved value was overwritten.
            ShapeError: `gradient` has another shape.
        """
        if not self._needs:
            raise GraphError(
                "backward: this Tensor does not require grad; create a leaf with "
                "requires_grad=True, and compute outside no_grad()"
            )
        data = self._data
        if gradient is None:
            if data.size != 1:
                raise GraphError(
                    f"backward: the result has shape {data.shape}; reduce it to one number "
                    f"(for instance .sum()) or pass gradient= with that shape"
                )
            if data.dtype.kind == "c":
                raise GraphError(
                    "backward: the result is complex, and a gradient needs a real one; take "
                    ".real, .imag or abs(), or pass gradient="
                )
            start = data.dtype.type(1) if data.ndim == 0 else np.ones_like(data)
        else:
            start = gradient._data if isinstance(gradient, Value) else gradient
            start = start if hasattr(start, "__array_function__") else np.asarray(start)
            if start.shape != data.shape:
                raise ShapeError(
                    f"backward: gradient has shape {start.shape}, expected {data.shape}"
                )
            start = start.astype(data.dtype)
        backward(self, start, retain_graph=retain_graph)

    # ---- arithmetic: the primitives themselves ------------------------------------------

    __add__ = ops.add
    __sub__ = ops.subtract
    __mul__ = ops.multiply
    __truediv__ = ops.divide
    __floordiv__ = ops.floor_divide
    __mod__ = ops.remainder
    __pow__ = ops.power
    __matmul__ = ops.matmul
    __neg__ = ops.negative
    __abs__ = ops.abs
    __eq__ = ops.equal
    __ne__ = ops.not_equal
    __lt__ = ops.less
    __le__ = ops.less_equal
    __gt__ = ops.greater
    __ge__ = ops.greater_equal
    __and__ = ops.bitwise_and
    __or__ = ops.bitwise_or
    __xor__ = ops.bitwise_xor
    __lshift__ = ops.left_shift
    __rshift__ = ops.right_shift
    __invert__ = ops.invert
    __divmod__ = ops.divmod
    __hash__ = object.__hash__

    def __radd__(self, other: Any) -> Any:
        return ops.add(other, self)

    def __rsub__(self, other: Any) -> Any:
        return ops.subtract(other, self)

    def __rmul__(self, other: Any) -> Any:
        return ops.multiply(other, self)

    def __rtruediv__(self, other: Any) -> Any:
        return ops.divide(other, self)

    def __rfloordiv__(self, other: Any) -> Any:
        return ops.floor_divide(other, self)

    def __rmod__(self, other: Any) -> Any:
        return ops.remainder(other, self)

    def __rdivmod__(self, other: Any) -> Any:
        return ops.divmod(other, self)

    def __rand__(self, other: Any) -> Any:
        return ops.bitwise_and(other, self)

    def __ror__(self, other: Any) -> Any:
        return ops.bitwise_or(other, self)

    def __rxor__(self, other: Any) -> Any:
        return ops.bitwise_xor(other, self)

    def __rlshift__(self, other: Any) -> Any:
        return ops.left_shift(other, self)

    def __rrshift__(self, other: Any) -> Any:
        return ops.right_shift(other, self)

    def __rpow__(self, other: Any) -> Any:
        return ops.power(other, self)

    def __rmatmul__(self, other: Any) -> Any:
        return ops.matmul(other, self)

    def __pos__(self) -> Tensor:
        return self

    # ---- methods: NumPy's functions ------------------------------------------------------

    all = functions.all
    any = functions.any
    argmax = functions.argmax
    argmin = functions.argmin
    argpartition = functions.argpartition
    argsort = functions.argsort
    choose = functions.choose
    clip = functions.clip
    conj = conjugate = functions.conjugate
    copy = functions.copy
    cumprod = functions.cumprod
    cumsum = functions.cumsum
    diagonal = functions.diagonal
    dot = functions.dot
    max = functions.max
    mean = functions.mean
    min = functions.min
    nonzero = functions.nonzero
    prod = functions.prod
    put = functions.put
    ravel = functions.ravel
    repeat = functions.repeat
    searchsorted = functions.searchsorted
    squeeze = functions.squeeze
    std = functions.std
    sum = functions.sum
    swapaxes = functions.swapaxes
    take = functions.take
    trace = functions.trace
    var = functions.var

    def compress(self, condition: Any, axis: int | None = None) -> Tensor:
        """Return the slices along `axis` for which the condition holds."""
        result: Tensor = functions.compress(condition, self, axis)
        return result

    def sort(self, axis: int = -1, **options: Any) -> None:
        """Sort in place, as ndarray.sort does; ``tc.sort`` and ``np.sort`` return a copy."""
        inplace.write("t.sort()", self, functions.sort(self, axis, **options))

    def partition(self, kth: Any, axis: int = -1, **options: Any) -> None:
        """Partition in place, as ndarray.partition does."""
        inplace.write("t.partition()", self, functions.partition(self, kth, axis, **options))

    def fill(self, value: Any) -> None:
        """Set every element to a value."""
        self[...] = value

    def reshape(self, *shape: Any, order: str = "C") -> Tensor:
        """Return the elements in another shape; one size may be -1."""
        sizes = shape[0] if len(shape) == 1 else shape
        result: Tensor = functions.reshape(self, sizes, order)
        return result

    def transpose(self, *axes: Any) -> Tensor:
        """Permute the axes; without arguments reverse them."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        result: Tensor = functions.transpose(self, order)
        return result

    def flatten(self, order: str = "C") -> Tensor:
        """Return a copy of the elements as a vector."""
        result: Tensor = ops.copy(functions.ravel(self, order))
        return result

    def astype(self, dtype: Any) -> Tensor:
        """Convert to another dtype; the gradient is converted back."""
        result: Tensor = ops.astype(self, dtype=np.dtype(dtype))
        return result

    def round(self, decimals: int = 0) -> Tensor:
        """Round to a number of decimals: constant almost everywhere, so without history."""
        result: Tensor = functions.round(self, decimals)
        return result

    # ---- indexing and writing in place ---------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        return ops.getitem(self, key=ops.plain_key(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        key = ops.plain_key(key)
        if inplace.records(self, value):
            inplace.become("t[key] = value", self, ops.replace_at(self, value, key=key))
        else:
            ops.assign_at(self, value, key=key)
            name_line(self._data)

    def __iadd__(self, other: Any) -> Self:  # type: ignore[misc]  # __add__ is a primitive
        return self._in_place("t += value", ops.add, other)

    def __isub__(self, other: Any) -> Self:  # type: ignore[misc]  # __add__ is a primitive
        return self._in_place("t -= value", ops.subtract, other)

    def __imul__(self, other: Any) -> Self:  # type: ignore[misc]  # __add__ is a primitive
        return self._in_place("t *= value", ops.multiply, other)

    def __itruediv__(self, other: Any) -> Self:  # type: ignore[misc]  # __add__ is a primitive
        return self._in_place("t /= value", ops.divide, other)

    def __ipow__(self, other: Any) -> Self:  # type: ignore[misc]  # __add__ is a primitive
        return self._in_place("t **= value", ops.power, other)

    def __ifloordiv__(self, other: Any) -> Self:  # type: ignore[misc]  # the same
        return self._in_place("t //= value", ops.floor_divide, other)

    def __imod__(self, other: Any) -> Self:  # type: ignore[misc]  # the same
        return self._in_place("t %= value", ops.remainder, other)

    def __imatmul__(self, other: Any) -> Self:  # type: ignore[misc]  # the same
        return self._in_place("t @= value", ops.matmul, other)

    def __iand__(self, other: Any) -> Self:  # type: ignore[misc]  # the same
        return self._in_place("t &= value", ops.bitwise_and, other)

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]  # the same
        return self._in_place("t |= value", ops.bitwise_or, other)

    def __ixor__(self, other: Any) -> Self:  # type: ignore[misc]  # the same
        return self._in_place("t ^= value", ops.bitwise_xor, other)

    def _in_place(self, what: str, function: Any, other: Any) -> Self:
        inplace.write(what, self, function(self, other))
        return self

    # ---- Python's protocols ---------------------------------------------------------------

    def __len__(self) -> int:
        if not self._data.shape:
            raise TypeError("len(): a Tensor without axes has no length")
        return int(self._data.shape[0])

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, item: Any) -> bool:
        return bool(np.any(self._data == (item._data if isinstance(item, Value) else item)))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        return operator.index(self._data)

    def __format__(self, spec: str) -> str:
        if not spec:
            return repr(self)
        if self._data.size != 1:
            raise TypeError(
                f"format {spec!r} applies to one number; this Tensor has shape {self.shape}"
            )
        return format(self.item(), spec)

    def __repr__(self) -> str:
        head = type(self).__name__ + "("
        text = np.array2string(np.asarray(self._data), separator=", ", prefix=head)
        name = f", name={self._name!r}" if self._name else ""
        dtype = "" if self.dtype in _PLAIN_DTYPES else f", dtype={self.dtype}"
        if self._node is not None:
            state = f", op={self._node.primitive.name}"
        else:
            state = ", requires_grad=True" if self._needs else ""
        return f"{head}{text}{dtype}{state}{name})"

    def __copy__(self) -> Tensor:
        """Copy as an array is copied; the copy of a result is recorded."""
        if self._node is not None:
            result: Tensor = ops.copy(self)
            return result
        return _rebuild(type(self), np.copy(self.data), self._needs, self._name)

    def __reduce__(self) -> Any:
        if self._node is not None:
            raise GraphError(
                f"a result of {self._node.primitive.name} cannot be copied or pickled with its "
                f"graph; take detach() first"
            )
        return _rebuild, (type(self), self.data, self._needs, self._name)

    # ---- NumPy's protocols ----------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self._needs:
            raise UnsupportedFunctionError(
                "this function would take a Tensor that requires grad as a plain array and lose "
                "its history: use .numpy() or .detach() if that is meant, or the function of the "
                "same name in tinygrad_course (tc.array, tc.special.logsumexp, ...)"
            )
        return np.array(self._data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            function = NUMPY_FUNCTIONS.get(ufunc)
            if function is not None:
                return function(*inputs)
        return apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, _types: Any, args: Any, kwargs: Any) -> Any:
        return apply_function(function, args, kwargs)


_PLAIN_DTYPES = (np.dtype(float), np.dtype(int), np.dtype(bool), np.dtype(complex))


def _as_array(data: Any) -> Any:
    if isinstance(data, Value):
        return data._data
    if not (isinstance(data, np.ndarray) or hasattr(data, "__array_function__")):
        data = np.asarray(data)
        if data.dtype.kind in "biufc":
            return data[()]  # a number stays a NumPy scalar: far faster than 0-d
    if data.dtype.kind not in "biufc":
        raise DtypeError(
            f"Tensor: cannot compute with dtype {data.dtype}; expected numbers or booleans"
        )
    return data


def _rebuild(cls: type[Tensor], data: Any, needs: bool, name: str | None) -> Tensor:
    tensor = cls.__new__(cls)
    Tensor.__init__(tensor, data, requires_grad=needs, name=name)
    return tensor


def array(data: Any, *, dtype: Any = None) -> Tensor:
    """Return a Tensor of new memory; nested lists may hold Tensors, whose history is recorded.

    Example:
        >>> import tinygrad_course as tc
        >>> a = tc.Tensor(2.0, requires_grad=True)
        >>> tc.array([[a, 1.0], [0.0, a * a]])
        Tensor([[2., 1.],
                [0., 4.]], op=stack)
    """
    result = _nested(data)
    if not isinstance(result, Value):
        result = Tensor(np.array(result))
    elif result is data:
        result = ops.copy(result)
    out: Tensor = result
    return out if dtype is None else out.astype(dtype)


def _nested(data: Any) -> Any:
    if isinstance(data, list | tuple) and _holds_tensor(data):
        return functions.stack([_nested(part) for part in data])
    return data


def _holds_tensor(data: Any) -> bool:
    if isinstance(data, list | tuple):
        return any(_holds_tensor(part) for part in data)
    return isinstance(data, Value)


set_output_type(Tensor)
