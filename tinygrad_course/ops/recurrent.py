"""Gated recurrent cells: one step behind its matrix products, and all steps of a sequence.

As compositions these are a dozen small operations for every step; fused they are one, and over a
sequence the weights' gradient is one product instead of one for each step. The formula beside each
row is the cell's definition. Every σ(z) of the fast rules is (1 + tanh(z/2)) / 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_course.kernels import kernel
from tinygrad_course.ops.activations import relu as rectify
from tinygrad_course.ops.activations import sigmoid
from tinygrad_course.ops.joining import split_at, stack_all, unstack
from tinygrad_course.ops.samples import values
from tinygrad_course.ops.trigonometry import tanh
from tinygrad_course.primitive import Op, Sample, primitive


def _parts(gates: Any, count: int) -> tuple[Any, ...]:
    """Return the gates that lie side by side along the last axis."""
    size = gates.shape[-1] // count
    cuts = tuple(range(size, count * size, size))
    return split_at(gates, sections=cuts, axis=-1)  # type: ignore[no-any-return]


def _fit(gates: Any, count: int, state: Any) -> None:
    if gates.shape != (*state.shape[:-1], count * state.shape[-1]):
        raise ValueError(f"gates of shape {gates.shape} do not fit a state of shape {state.shape}")


def _zeros_for(missing: Any, like: Any) -> Any:
    return np.zeros(like.shape, like.dtype) if missing is None else missing


# ---- long short-term memory --------------------------------------------------------------------


def _lstm_step(gates: Any, c: Any) -> Any:
    _fit(gates, 4, c)
    size = c.shape[-1]
    gates = np.array(gates)
    first, last = gates[..., : 2 * size], gates[..., 3 * size :]
    first *= 0.5
    last *= 0.5
    np.tanh(gates, out=gates)
    first *= 0.5
    first += 0.5
    last *= 0.5
    last += 0.5
    i, f, g = first[..., :size], first[..., size:], gates[..., 2 * size : 3 * size]
    new = f * c
    new += i * g
    squashed = np.tanh(new)
    return (last * squashed, new), (i, f, g, last, squashed)


def _lstm_rule(
    g: Any,
    _ans: Any,
    _gates: Any,
    c: Any,
    *,
    residuals: Any,
    wanted: Any,  # noqa: ARG001 - at most the first memory is a constant
) -> Any:
    i, f, cell, o, squashed = residuals
    d_h, d_new = g
    d_h = _zeros_for(d_h, squashed)
    d_c = d_h * o * (1 - squashed * squashed)
    if d_new is not None:
        d_c += d_new
    parts = (
        d_c * cell * i * (1 - i),
        d_c * c * f * (1 - f),
        d_c * i * (1 - cell * cell),
        d_h * squashed * o * (1 - o),
    )
    return np.concatenate(parts, axis=-1), d_c * f


def _lstm_formula(gates: Any, c: Any) -> Any:
    i, f, g, o = _parts(gates, 4)
    new = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(new), new


def _lstm_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(3,), (2, 3), (2, 2, 1), (0, 2)]:
        gates = (*shape[:-1], 4 * shape[-1])
        yield (values(rng, gates, -2, 2), values(rng, shape, -2, 2)), {}


lstm_step: Op = primitive(
    "lstm_step",
    _lstm_step,
    _lstm_samples,
    joint=_lstm_rule,
    real=True,
    formula=_lstm_formula,
    residuals=True,
    outputs=2,
    expects="gates (..., 4 n) and a memory (..., n)",
    doc="""Return (h, c') of a long short-term memory.

    c' = σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c').

    The gates i, f, g, o lie side by side along the last axis, in PyTorch's order.
    Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import ops
        >>> h, c = ops.lstm_step(np.zeros(4), np.array([2.0]))
        >>> h.round(3), c
        (array([0.381]), array([1.]))
    """,
)


def _fit_sequence(gates: Any, count: int, weight: Any, *states: Any) -> None:
    wide, size = weight.shape
    shape = (*gates.shape[1:-1], size)
    fits = gates.ndim == 3 and gates.shape[0] and gates.shape[-1] == wide == count * size
    if not fits or any(state.shape != shape for state in states):
        shapes = ", ".join(str(state.shape) for state in states)
        raise ValueError(
            f"gates of shape {gates.shape}, weight {weight.shape} and states {shapes} do not fit"
        )


@kernel
def _run_lstm(gates: Any, h: Any, c: Any, weight: Any) -> Any:
    time, size = len(gates), weight.shape[1]
    factor = np.full(4 * size, 0.5, gates.dtype)
    factor[2 * size : 3 * size] = 1  # the candidate g is a hyperbolic tangent itself
    shift = 1 - factor
    acts = gates * factor
    turned = np.ascontiguousarray((weight * factor[:, None]).T)
    states = np.empty((time, *h.shape), acts.dtype)
    memory = np.empty((time + 1, *h.shape), acts.dtype)
    squashed = np.empty_like(states)
    memory[0] = c
    for t in range(time):
        a, new = acts[t], memory[t + 1]
        a += h @ turned
        np.tanh(a, out=a)
        a *= factor
        a += shift
        np.multiply(a[:, size : 2 * size], memory[t], out=new)
        new += a[:, :size] * a[:, 2 * size : 3 * size]
        np.tanh(new, out=squashed[t])
        h = np.multiply(a[:, 3 * size :], squashed[t], out=states[t])
    return (states, memory[-1].copy()), (acts, memory, squashed)


def _lstm_sequence(gates: Any, h: Any, c: Any, weight: Any) -> Any:
    _fit_sequence(gates, 4, weight, h, c)
    return _run_lstm(gates, h, c, weight)


@kernel
def _unwind_lstm(g_states: Any, g_memory: Any, weight: Any, residuals: Any) -> Any:
    """Return the gradients of gates, first state and first memory."""
    acts, memory, squashed = residuals
    time, batch, size = squashed.shape
    i, f, g, o = (acts[..., k * size : (k + 1) * size] for k in range(4))
    # What each gate's gradient is per gradient of the memory, and for o per that of the state.
    slopes = np.empty((time, batch, 4, size), acts.dtype)
    slopes[:, :, 0] = g * i * (1 - i)
    slopes[:, :, 1] = memory[:-1] * f * (1 - f)
    slopes[:, :, 2] = i * (1 - g * g)
    slopes[:, :, 3] = squashed * o * (1 - o)
    through = o * (1 - squashed * squashed)
    d_h = np.zeros((batch, size), acts.dtype)
    d_c = np.zeros((batch, size), acts.dtype) if g_memory is None else g_memory.copy()
    for t in range(time - 1, -1, -1):
        if g_states is not None:
            d_h += g_states[t]
        d_c += d_h * through[t]
        d_gates = slopes[t]
        d_gates[:, :3] *= d_c[:, None]
        d_gates[:, 3] *= d_h
        d_h = d_gates.reshape(batch, 4 * size) @ weight
        d_c *= f[t]
    return slopes.reshape(acts.shape), d_h, d_c


def _lstm_sequence_rule(
    g: Any,
    ans: Any,
    _gates: Any,
    h: Any,
    _c: Any,
    weight: Any,
    *,
    residuals: Any,
    wanted: Any,  # noqa: ARG001 - the loop gives all of them
) -> Any:
    d_gates, d_h, d_c = _unwind_lstm(g[0], g[1], weight, residuals)
    return d_gates, d_h, d_c, _weight_gradient(d_gates, h, ans[0])


def _weight_gradient(d_gates: Any, h: Any, states: Any) -> Any:
    """Return the gradient of the weights: the product of all steps' gates and earlier states."""
    earlier = np.concatenate((h[None], states[:-1]))
    rows = d_gates.reshape(-1, d_gates.shape[-1])
    return rows.T @ earlier.reshape(-1, earlier.shape[-1])


def _lstm_sequence_formula(gates: Any, h: Any, c: Any, weight: Any) -> Any:
    states = []
    for step in unstack(gates):
        h, c = _lstm_formula(step + h @ weight.T, c)
        states.append(h)
    return stack_all(*states), c


def _lstm_sequences(rng: np.random.Generator) -> Iterator[Sample]:
    for time, batch, size in [(1, 2, 1), (3, 2, 2), (2, 1, 3)]:
        shapes = ((time, batch, 4 * size), (batch, size), (batch, size), (4 * size, size))
        yield tuple(values(rng, shape, -1.5, 1.5) for shape in shapes), {}


lstm_sequence: Op = primitive(
    "lstm_sequence",
    _lstm_sequence,
    _lstm_sequences,
    joint=_lstm_sequence_rule,
    real=True,
    formula=_lstm_sequence_formula,
    residuals=True,
    outputs=2,
    expects="gates (time, batch, 4 n), h and c (batch, n), weight (4 n, n)",
    doc="""Return all states and the last memory of `lstm_step` over time.

    At each step the gates are those given plus h Vᵀ, where h is the state before and V the weight.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import ops
        >>> start = np.zeros((1, 1))
        >>> states, c = ops.lstm_sequence(np.ones((2, 1, 4)), start, start, np.ones((4, 1)))
        >>> states.ravel().round(3), c.round(3)
        (array([0.37 , 0.651]), array([[1.144]]))
    """,
)


# ---- gated recurrent unit ------------------------------------------------------------------------


def _gru_step(from_input: Any, from_state: Any, h: Any) -> Any:
    _fit(from_input, 3, h)
    _fit(from_state, 3, h)
    size = h.shape[-1]
    both = from_input[..., : 2 * size] + from_state[..., : 2 * size]
    both *= 0.5
    np.tanh(both, out=both)
    both *= 0.5
    both += 0.5
    r, z = both[..., :size], both[..., size:]
    n = np.tanh(from_input[..., 2 * size :] + r * from_state[..., 2 * size :])
    return n + z * (h - n), (r, z, n)


def _gru_rule(
    g: Any,
    _ans: Any,
    _from_input: Any,
    from_state: Any,
    h: Any,
    *,
    residuals: Any,
    wanted: Any,  # noqa: ARG001 - at most the first state is a constant
) -> Any:
    r, z, n = residuals
    size = h.shape[-1]
    d_h = g * z
    d_n = (g - d_h) * (1 - n * n)
    d_r = d_n * from_state[..., 2 * size :] * r * (1 - r)
    d_z = g * (h - n) * z * (1 - z)
    d_input = np.concatenate((d_r, d_z, d_n), axis=-1)
    d_state = np.concatenate((d_r, d_z, d_n * r), axis=-1)
    return d_input, d_state, d_h


def _gru_formula(from_input: Any, from_state: Any, h: Any) -> Any:
    input_r, input_z, input_n = _parts(from_input, 3)
    state_r, state_z, state_n = _parts(from_state, 3)
    z = sigmoid(input_z + state_z)
    n = tanh(input_n + sigmoid(input_r + state_r) * state_n)
    return (1 - z) * n + z * h


def _gru_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(3,), (2, 3), (2, 2, 1), (0, 2)]:
        gates = (*shape[:-1], 3 * shape[-1])
        yield tuple(values(rng, s, -2, 2) for s in (gates, gates, shape)), {}


gru_step: Op = primitive(
    "gru_step",
    _gru_step,
    _gru_samples,
    joint=_gru_rule,
    real=True,
    formula=_gru_formula,
    residuals=True,
    expects="two sets of gates (..., 3 n) and a state (..., n)",
    doc="""Return the next state of a gated recurrent unit: h' = (1 - z) n + z h.

    With the gates r, z, n side by side, in PyTorch's order: r = σ(r1 + r2), z = σ(z1 + z2) and
    n = tanh(n1 + r n2), where 1 comes from the input and 2 from the state. Source: Cho et al. 2014.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import ops
        >>> ops.gru_step(np.zeros(3), np.zeros(3), np.array([2.0]))
        array([1.])
    """,
)


@kernel
def _run_gru(gates: Any, h: Any, weight: Any, bias: Any) -> Any:
    time, size = len(gates), weight.shape[1]
    turned = np.ascontiguousarray(weight.T)
    from_state = np.empty_like(gates)
    both = np.empty((*gates.shape[:-1], 2 * size), gates.dtype)
    states = np.empty((time, *h.shape), gates.dtype)
    candidates = np.empty_like(states)
    for t in range(time):
        u, a, n = from_state[t], both[t], candidates[t]
        np.matmul(h, turned, out=u)
        if bias is not None:
            u += bias
        np.add(gates[t, :, : 2 * size], u[:, : 2 * size], out=a)
        a *= 0.5
        np.tanh(a, out=a)
        a *= 0.5
        a += 0.5
        np.multiply(a[:, :size], u[:, 2 * size :], out=n)
        n += gates[t, :, 2 * size :]
        np.tanh(n, out=n)
        h = np.add(n, a[:, size:] * (h - n), out=states[t])
    return states, (both, candidates, from_state)


def _gru_sequence(gates: Any, h: Any, weight: Any, bias: Any) -> Any:
    _fit_sequence(gates, 3, weight, h)
    return _run_gru(gates, h, weight, bias)


@kernel
def _unwind_gru(g: Any, earlier: Any, weight: Any, residuals: Any) -> Any:
    """Return the gradients of the gates from the input, of those from the state, and of h."""
    both, n, from_state = residuals
    time, batch, size = n.shape
    r, z = both[..., :size], both[..., size:]
    # The gradients of z and n per gradient of the state, and that of r per gradient of n.
    slopes = np.empty((time, batch, 3, size), n.dtype)
    slopes[:, :, 0] = from_state[..., 2 * size :] * r * (1 - r)
    slopes[:, :, 1] = (earlier - n) * z * (1 - z)
    slopes[:, :, 2] = (1 - z) * (1 - n * n)
    inner = np.empty_like(slopes)
    d_h = np.zeros((batch, size), n.dtype)
    for t in range(time - 1, -1, -1):
        d_h = d_h + g[t]
        d_gates, d_inner = slopes[t], inner[t]
        d_gates[:, 1:] *= d_h[:, None]
        d_gates[:, 0] *= d_gates[:, 2]
        d_inner[:, :2] = d_gates[:, :2]
        np.multiply(d_gates[:, 2], r[t], out=d_inner[:, 2])
        d_h *= z[t]
        d_h += d_inner.reshape(batch, 3 * size) @ weight
    return slopes.reshape(from_state.shape), inner.reshape(from_state.shape), d_h


def _gru_sequence_rule(
    g: Any,
    ans: Any,
    _gates: Any,
    h: Any,
    weight: Any,
    _bias: Any,
    *,
    residuals: Any,
    wanted: Any,  # noqa: ARG001 - the loop gives all of them
) -> Any:
    earlier = np.concatenate((h[None], ans[:-1]))
    d_gates, d_inner, d_h = _unwind_gru(g, earlier, weight, residuals)
    d_bias = np.add.reduce(d_inner, axis=(0, 1))
    return d_gates, d_h, _weight_gradient(d_inner, h, ans), d_bias


def _gru_sequence_formula(gates: Any, h: Any, weight: Any, bias: Any) -> Any:
    states = []
    for step in unstack(gates):
        inner = h @ weight.T
        h = _gru_formula(step, inner if bias is None else inner + bias, h)
        states.append(h)
    return stack_all(*states)


def _gru_sequences(rng: np.random.Generator) -> Iterator[Sample]:
    for time, batch, size in [(1, 2, 1), (3, 2, 2), (2, 1, 3)]:
        shapes = ((time, batch, 3 * size), (batch, size), (3 * size, size), (3 * size,))
        gates, h, weight, bias = (values(rng, shape, -1.5, 1.5) for shape in shapes)
        yield (gates, h, weight, bias), {}
        yield (gates, h, weight, None), {}


gru_sequence: Op = primitive(
    "gru_sequence",
    _gru_sequence,
    _gru_sequences,
    joint=_gru_sequence_rule,
    real=True,
    formula=_gru_sequence_formula,
    residuals=True,
    optional=True,
    expects="gates (time, batch, 3 n), h (batch, n), weight (3 n, n), bias (3 n,) or None",
    doc="""Return all states of `gru_step` over time.

    At each step the gates from the state are h Vᵀ + d, where h is the state before, V the weight
    and d the bias.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import ops
        >>> states = ops.gru_sequence(np.ones((2, 1, 3)), np.zeros((1, 1)), np.ones((3, 1)), None)
        >>> states.ravel().round(3)
        array([0.205, 0.347])
    """,
)


# ---- simple recurrent network --------------------------------------------------------------------


@kernel
def _run_rnn(gates: Any, h: Any, weight: Any, *, relu: bool) -> Any:
    turned = np.ascontiguousarray(weight.T)
    states = np.array(gates)
    for t in range(len(states)):
        state = states[t]
        state += h @ turned
        h = np.maximum(state, 0, out=state) if relu else np.tanh(state, out=state)
    return states


def _rnn_sequence(gates: Any, h: Any, weight: Any, *, relu: bool = False) -> Any:
    _fit_sequence(gates, 1, weight, h)
    return _run_rnn(gates, h, weight, relu=relu)


@kernel
def _unwind_rnn(g: Any, states: Any, weight: Any, *, relu: bool) -> Any:
    """Return the gradients of the gates and of the first state."""
    slopes = (states > 0).astype(states.dtype) if relu else 1 - states * states
    d_h = np.zeros(states.shape[1:], states.dtype)
    for t in range(len(states) - 1, -1, -1):
        slopes[t] *= g[t] + d_h
        d_h = slopes[t] @ weight
    return slopes, d_h


def _rnn_sequence_rule(
    g: Any,
    ans: Any,
    _gates: Any,
    h: Any,
    weight: Any,
    *,
    relu: bool = False,
    wanted: Any,  # noqa: ARG001 - the loop gives all of them
) -> Any:
    d_gates, d_h = _unwind_rnn(g, ans, weight, relu=relu)
    return d_gates, d_h, _weight_gradient(d_gates, h, ans)


def _rnn_sequence_formula(gates: Any, h: Any, weight: Any, *, relu: bool = False) -> Any:
    states = []
    for step in unstack(gates):
        h = step + h @ weight.T
        h = rectify(h) if relu else tanh(h)
        states.append(h)
    return stack_all(*states)


def _rnn_sequences(rng: np.random.Generator) -> Iterator[Sample]:
    for relu in (False, True):
        for time, batch, size in [(1, 2, 1), (3, 2, 2), (2, 1, 3)]:
            shapes = ((time, batch, size), (batch, size), (size, size))
            yield tuple(values(rng, shape, -1.5, 1.5) for shape in shapes), {"relu": relu}


rnn_sequence: Op = primitive(
    "rnn_sequence",
    _rnn_sequence,
    _rnn_sequences,
    joint=_rnn_sequence_rule,
    real=True,
    formula=_rnn_sequence_formula,
    expects="gates (time, batch, n), h (batch, n), weight (n, n)",
    doc="""Return all states of a recurrent network: h' = tanh(gates + h Vᵀ), or with relu.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import ops
        >>> states = ops.rnn_sequence(np.ones((2, 1, 1)), np.zeros((1, 1)), np.ones((1, 1)))
        >>> states.ravel().round(3)
        array([0.762, 0.943])
    """,
)

__all__ = [
    "gru_sequence",
    "gru_step",
    "lstm_sequence",
    "lstm_step",
    "rnn_sequence",
]
