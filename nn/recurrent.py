"""Recurrent layers and their cells, with PyTorch's parameters and order of gates.

The product of the input with its weights is one for all time steps; what remains in the loop over
time is the product of the state with its weights and the cell itself.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn import init
from tinygrad_course.nn.module import Module, cast_input
from tinygrad_course.nn.options import positive
from tinygrad_course.nn.parameter import Parameter, default_dtype

_NONLINEARITIES = {"tanh": ops.tanh, "relu": ops.relu}


def _check_nonlinearity(name: str, nonlinearity: str) -> None:
    if nonlinearity not in _NONLINEARITIES:
        raise ArgumentError(f"{name}: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")


class _Steps:
    """How a kind of network goes on: its gates, the parts of its state, one step and a sequence."""

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1
    nonlinearity: str = "tanh"

    def _step(self, from_input: Any, from_hidden: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the next state; its first part is the output."""
        del state  # the others read it
        return (_NONLINEARITIES[self.nonlinearity](from_input + from_hidden),)

    def _sequence(
        self, x: Any, state: tuple[Any, ...], weights: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the outputs for x (time, batch, size), and the last state."""
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        gates = ops.linear(x, weight_ih, None if bias_ih is None else bias_ih + bias_hh)
        relu = self.nonlinearity == "relu"
        output = ops.rnn_sequence(gates, state[0], weight_hh, relu=relu)
        return output, (output[-1],)


class _LSTMSteps(_Steps):
    gates = 4
    states = 2

    def _step(self, from_input: Any, from_hidden: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        return ops.lstm_step(from_input + from_hidden, state[1])  # type: ignore[no-any-return]

    def _sequence(
        self, x: Any, state: tuple[Any, ...], weights: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        weight_ih, weight_hh, bias_ih, bias_hh, *projection = weights
        bias = None if bias_ih is None else bias_ih + bias_hh
        gates = ops.linear(x, weight_ih, bias)
        h, c = state
        if not projection:
            output, c = ops.lstm_sequence(gates, h, c, weight_hh)
            return output, (output[-1], c)
        outputs = []
        for from_input in ops.unstack(gates):
            wide, c = ops.lstm_step(from_input + ops.linear(h, weight_hh), c)
            h = ops.linear(wide, *projection)
            outputs.append(h)
        return functions.stack(outputs), (h, c)


class _GRUSteps(_Steps):
    gates = 3

    def _step(self, from_input: Any, from_hidden: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        return (ops.gru_step(from_input, from_hidden, state[0]),)

    def _sequence(
        self, x: Any, state: tuple[Any, ...], weights: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        gates = ops.linear(x, weight_ih, bias_ih)
        output = ops.gru_sequence(gates, state[0], weight_hh, bias_hh)
        return output, (output[-1],)


def _weights(
    owner: Module,
    suffix: str,
    sizes: tuple[int, int, int],
    bias: bool,
    dtype: Any,
    generator: np.random.Generator | None,
    projected: int = 0,
) -> None:
    """Give a module the parameters of one layer and direction, uniform in ±1/sqrt(hidden)."""
    gates, inputs, hidden = sizes
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih": (gates * hidden, inputs),
        "weight_hh": (gates * hidden, projected or hidden),
        "bias_ih": (gates * hidden,),
        "bias_hh": (gates * hidden,),
    }
    if projected:
        shapes["weight_hr"] = (projected, hidden)
    bound = 1 / math.sqrt(hidden)
    for name, shape in shapes.items():
        parameter = None
        if bias or name.startswith("weight"):
            parameter = Parameter(np.empty(shape, default_dtype(dtype)))
            init.uniform_(parameter, -bound, bound, generator)
        setattr(owner, name + suffix, parameter)


# ---- layers over time ----------------------------------------------------------------------------


class _Recurrent(_Steps, Module):
    """What RNN, LSTM and GRU share: the layers, the directions and the loop over time."""

    proj_size: int = 0

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        dtype: Any,
        generator: np.random.Generator | None,
    ) -> None:
        name = type(self).__name__
        positive(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if not 0.0 <= dropout <= 1.0:
            raise ArgumentError(f"{name}: dropout={dropout!r} is not a probability in [0, 1]")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout, self.generator = float(dropout), generator
        self._directions = ("", "_reverse") if bidirectional else ("",)
        width = (self.proj_size or hidden_size) * len(self._directions)
        for layer in range(num_layers):
            sizes = (self.gates, width if layer else input_size, hidden_size)
            for direction in self._directions:
                suffix = f"_l{layer}{direction}"
                _weights(self, suffix, sizes, bias, dtype, generator, self.proj_size)

    def forward(self, x: Any, state: Any = None) -> Any:
        """Run over x of shape (time, batch, input_size), or without batch (time, input_size).

        With `batch_first` the shape is (batch, time, input_size). Returns the outputs of the last
        layer, of the shape of x with the size of the state at the end, and the last state of every
        layer and direction.
        """
        x = cast_input(x, self.weight_ih_l0._data.dtype)  # type: ignore[attr-defined]
        single = x.ndim == 2
        if x.ndim not in {2, 3} or x.shape[-1] != self.input_size or 0 in x.shape[:-1]:
            axes = "batch, time" if self.batch_first else "time, batch"
            raise ShapeError(
                f"{self._label()}: expected x of shape ({axes}, {self.input_size}) or "
                f"(time, {self.input_size}), with at least one step, got {x.shape}"
            )
        if single:
            x = functions.expand_dims(x, 1)
        elif self.batch_first:
            x = functions.transpose(x, (1, 0, 2))
        start = self._start(state, x, single)
        last: list[tuple[Any, ...]] = []
        for layer in range(self.num_layers):
            if layer:
                x = F.dropout(x, self.dropout, self.training, generator=self.generator)
            runs = [
                self._run(x, start[len(last) + k], f"_l{layer}{direction}")
                for k, direction in enumerate(self._directions)
            ]
            last += [end for _, end in runs]
            outputs = [output for output, _ in runs]
            x = outputs[0] if len(outputs) == 1 else functions.concatenate(outputs, axis=-1)
        if single:
            x = x[:, 0]
        elif self.batch_first:
            x = functions.transpose(x, (1, 0, 2))
        ends = [functions.stack([end[k] for end in last]) for k in range(self.states)]
        if single:
            ends = [end[:, 0] for end in ends]
        return x, ends[0] if self.states == 1 else tuple(ends)

    def _label(self) -> str:
        return f"{type(self).__name__.lower()}{describe(SCOPE.get())}"

    def _start(self, state: Any, x: Any, single: bool) -> list[tuple[Any, ...]]:
        """Return the first state of every layer and direction."""
        count, batch = self.num_layers * len(self._directions), x.shape[1]
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)[: self.states]
        if state is None:
            return [tuple(np.zeros((batch, size), x.dtype) for size in sizes)] * count
        given = state if isinstance(state, tuple | list) else (state,)
        if len(given) != self.states:
            wanted = "the pair (h, c)" if self.states == 2 else "one array h"
            raise ArgumentError(
                f"{self._label()}: the state must be {wanted}, got {len(given)} parts"
            )
        parts = [cast_input(part, x.dtype) for part in given]
        for part, size in zip(parts, sizes, strict=True):
            shape = (count, size) if single else (count, batch, size)
            if part.shape != shape:
                raise ShapeError(
                    f"{self._label()}: expected a state of shape {shape} (layers and directions, "
                    f"{'' if single else 'batch, '}hidden_size), got {part.shape}"
                )
        if single:
            parts = [functions.expand_dims(part, 1) for part in parts]
        return list(zip(*(ops.unstack(part) for part in parts), strict=True))

    def _run(self, x: Any, state: tuple[Any, ...], suffix: str) -> tuple[Any, tuple[Any, ...]]:
        """Return the outputs of all steps of one layer in one direction, and the last state."""
        names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        if self.proj_size:
            names.append("weight_hr")
        weights = tuple(getattr(self, name + suffix) for name in names)
        if not suffix.endswith("_reverse"):
            return self._sequence(x, state, weights)
        output, last = self._sequence(x[::-1], state, weights)
        return output[::-1], last

    def extra_repr(self) -> str:
        """Return the sizes, and the options that are not the usual ones."""
        text = f"{self.input_size}, {self.hidden_size}"
        usual = {
            "num_layers": 1,
            "nonlinearity": "tanh",
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "proj_size": 0,
        }
        for name, value in usual.items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)!r}"
        return text


class RNN(_Recurrent):
    """A simple recurrent network: h' = tanh(W x + b + V h + c), or with relu.

    Args:
        input_size: size of x at one step.
        hidden_size: size of the state.
        num_layers: how many networks stand above each other.
        nonlinearity: "tanh" or "relu".
        bias: whether to add b and c.
        batch_first: whether x has shape (batch, time, input_size).
        dropout: probability of dropout between the layers, in training.
        bidirectional: whether a second network reads backwards; the outputs stand side by side.
        dtype: of the parameters; float32 by default.
        generator: draws the initial values and the masks.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> output, h = nn.RNN(3, 5)(np.zeros((7, 2, 3)))
        >>> output.shape, h.shape
        ((7, 2, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        _check_nonlinearity("RNN", nonlinearity)
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
            generator,
        )


class LSTM(_LSTMSteps, _Recurrent):
    """Long short-term memory: c' = σ(f) c + σ(i) tanh(g), h' = σ(o) tanh(c').

    The gates i, f, g, o are W x + b + V h + c, in this order along the rows of W and V. The state
    is the pair (h, c). Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000.

    Args:
        input_size: size of x at one step.
        hidden_size: size of the state.
        num_layers: how many networks stand above each other.
        bias: whether to add b and c.
        batch_first: whether x has shape (batch, time, input_size).
        dropout: probability of dropout between the layers, in training.
        bidirectional: whether a second network reads backwards; the outputs stand side by side.
        proj_size: size to which a linear map brings h, if it is not 0; smaller than `hidden_size`.
        dtype: of the parameters; float32 by default.
        generator: draws the initial values and the masks.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> output, (h, c) = nn.LSTM(3, 5, num_layers=2)(np.zeros((7, 2, 3)))
        >>> output.shape, h.shape, c.shape
        ((7, 2, 5), (2, 2, 5), (2, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        if not 0 <= proj_size < hidden_size:
            raise ArgumentError(
                f"LSTM: proj_size must lie between 0 and hidden_size={hidden_size}, got {proj_size}"
            )
        self.proj_size = proj_size
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
            generator,
        )


class GRU(_GRUSteps, _Recurrent):
    """Gated recurrent unit: h' = (1 - z) n + z h, with n = tanh(W x + b + r (V h + c)).

    The gates r = σ(...) and z = σ(...) and the candidate n lie in this order along the rows of W
    and V. Source: Cho et al. 2014.

    Args:
        input_size: size of x at one step.
        hidden_size: size of the state.
        num_layers: how many networks stand above each other.
        bias: whether to add b and c.
        batch_first: whether x has shape (batch, time, input_size).
        dropout: probability of dropout between the layers, in training.
        bidirectional: whether a second network reads backwards; the outputs stand side by side.
        dtype: of the parameters; float32 by default.
        generator: draws the initial values and the masks.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> output, h = nn.GRU(3, 5, bidirectional=True)(np.zeros((7, 2, 3)))
        >>> output.shape, h.shape
        ((7, 2, 10), (2, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
            generator,
        )


# ---- single steps --------------------------------------------------------------------------------


class _Cell(_Steps, Module):
    """One step of a recurrent network, as a layer of its own."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        positive(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        _weights(self, "", (self.gates, input_size, hidden_size), bias, dtype, generator)

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def forward(self, x: Any, state: Any = None) -> Any:
        """Return the next state for x of shape (batch, input_size) or (input_size,)."""
        kind = self.weight_ih._data.dtype
        x = cast_input(x, kind)
        if x.ndim not in {1, 2} or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"{self._label()}: expected x of shape (batch, {self.input_size}) or "
                f"({self.input_size},), got {x.shape}"
            )
        shape = (*x.shape[:-1], self.hidden_size)
        if state is None:
            state = (np.zeros(shape, kind),) * self.states
        given = state if isinstance(state, tuple | list) else (state,)
        if len(given) != self.states or any(np.shape(part) != shape for part in given):
            raise ShapeError(
                f"{self._label()}: expected {self.states} state(s) of shape {shape}, got "
                f"{', '.join(str(np.shape(part)) for part in given)}"
            )
        parts = tuple(cast_input(part, kind) for part in given)
        from_input = ops.linear(x, self.weight_ih, self.bias_ih)
        new = self._step(from_input, ops.linear(parts[0], self.weight_hh, self.bias_hh), parts)
        return new[0] if self.states == 1 else new

    def _label(self) -> str:
        return f"{type(self).__name__.lower()}{describe(SCOPE.get())}"

    def extra_repr(self) -> str:
        """Return the sizes."""
        relu = ", nonlinearity='relu'" if self.nonlinearity == "relu" else ""
        return f"{self.input_size}, {self.hidden_size}{'' if self.bias else ', bias=False'}{relu}"


class RNNCell(_Cell):
    """One step of `RNN`: h' = tanh(W x + b + V h + c), or with relu.

    Args:
        input_size: size of x.
        hidden_size: size of the state.
        bias: whether to add b and c.
        nonlinearity: "tanh" or "relu".
        dtype: of the parameters; float32 by default.
        generator: draws the initial values.

    Raises:
        ArgumentError: a size or the nonlinearity makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.RNNCell(3, 5)(np.zeros((2, 3))).shape
        (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        _check_nonlinearity("RNNCell", nonlinearity)
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, dtype, generator)


class LSTMCell(_LSTMSteps, _Cell):
    """One step of `LSTM`; takes and returns the pair (h, c).

    Args:
        input_size: size of x.
        hidden_size: size of the state.
        bias: whether to add biases.
        dtype: of the parameters; float32 by default.
        generator: draws the initial values.

    Raises:
        ArgumentError: a size is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> h, c = nn.LSTMCell(3, 5)(np.zeros((2, 3)))
        >>> h.shape, c.shape
        ((2, 5), (2, 5))
    """


class GRUCell(_GRUSteps, _Cell):
    """One step of `GRU`.

    Args:
        input_size: size of x.
        hidden_size: size of the state.
        bias: whether to add biases.
        dtype: of the parameters; float32 by default.
        generator: draws the initial values.

    Raises:
        ArgumentError: a size is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.GRUCell(3, 5)(np.zeros((2, 3))).shape
        (2, 5)
    """


__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
]
