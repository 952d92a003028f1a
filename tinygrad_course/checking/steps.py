"""Checking a backward pass written step by step: which intermediate gradient is wrong first.

The exercises of the course compute dZ2, dW2, db2, dZ1, … by hand. Here the forward pass, in plain
NumPy, is run on Tensors, so that the right gradient of every named intermediate is known; whether
*that* is right is confirmed by differences. Each gradient by hand is compared in the order of the
backward pass, and one that is wrong only because an earlier one is wrong is told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain, islice
from typing import Any

import numpy as np

from tinygrad_course.checking.causes import Evidence, explain
from tinygrad_course.checking.differences import Comparison, Estimate
from tinygrad_course.checking.fitness import alone, raised
from tinygrad_course.checking.mistakes import mistakes
from tinygrad_course.checking.report import GradcheckReport, ng_reading, norm_ratio
from tinygrad_course.checking.steps_report import StepRow, StepsReport
from tinygrad_course.checking.subjects import (
    Results,
    Subject,
    UnsuitableError,
    checked_inputs,
    is_real,
)
from tinygrad_course.checking.tape import Tape, backward_with, taped
from tinygrad_course.checking.verdicts import Options, examine, stream
from tinygrad_course.errors import ArgumentError
from tinygrad_course.graph import Node, enable_grad
from tinygrad_course.tensor import Tensor

MOST_MISTAKES = 300
"""How many mistakes are acted out to explain one gradient."""

AGREE = 1e-8
"""Relative difference of two gradients that were both computed, not measured."""


class _Forward(Subject):
    """The forward pass as a function of its floating inputs, through Tensors."""

    def __init__(self, forward: Callable[..., Any], given: list[Any]) -> None:
        self.forward, self.inputs = forward, given
        self.places = [i for i, x in enumerate(given) if is_real(x)]
        self.points = {f"input {i}": given[i] for i in self.places}
        self.named: dict[str, Any] = {}

    def recorded(self) -> tuple[list[Any], dict[str, Any]]:
        leaves = [Tensor(x.copy(), requires_grad=True) if is_real(x) else x for x in self.inputs]
        with enable_grad():
            self.named = dict(self.forward(*leaves))
        loss = _loss(self.named)
        if not isinstance(loss, Tensor):
            raise UnsuitableError(
                "gradcheck_steps: the loss does not depend on the inputs through NumPy functions; "
                "compute it from the given arrays without float() or .item()"
            )
        return [loss], {f"input {i}": leaves[i] for i in self.places}

    def gradient(self, weights: Results) -> dict[str, Any]:
        outputs, leaves = self.recorded()
        return backward_with(outputs, [w.reshape(outputs[0].shape)[()] for w in weights], leaves)

    def values(self) -> Results:
        return [np.array(float(np.asarray(_loss(self.forward(*self.inputs)))))]


def _loss(named: Any) -> Any:
    if not isinstance(named, Mapping) or "loss" not in named:
        raise UnsuitableError(
            "gradcheck_steps: forward must return a dict of named intermediates with one called "
            "'loss'"
        )
    loss = named["loss"]
    if np.size(loss) != 1:
        raise UnsuitableError(
            f"gradcheck_steps: the loss has shape {np.shape(loss)}, not one number"
        )
    return loss


def gradcheck_steps(
    forward: Callable[..., Mapping[str, Any]],
    backward: Callable[..., Mapping[str, Any]],
    *inputs: Any,
    names: tuple[str, ...] | None = None,
    seed: int | None = None,
) -> StepsReport:
    """Check a forward and backward pass written in plain NumPy, gradient by gradient.

    Args:
        forward: ``forward(*inputs)`` returns a dict of named intermediates; the scalar cost is
            called ``"loss"``.
        backward: ``backward(*inputs, cache)`` gets that dict, with plain arrays, and returns a dict
            of gradients of the loss, each named after its value with a ``d`` in front: ``dZ2``.
        *inputs: arrays, labels, numbers.
        names: what the inputs are called in ``backward``'s dict (``("X", "W1", "b1")``: ``dW1``);
            by default the names of the arguments of `forward`.
        seed: of the differences that confirm the forward pass.

    Returns:
        A report that is truthy if all gradients are right; its ``first_wrong`` is the first wrong
        gradient in the order of the backward pass.

    Raises:
        ArgumentError: a function returns something else than described, or a gradient has no
            value of its name.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> def forward(X, W):
        ...     Z = X @ W
        ...     A = np.tanh(Z)
        ...     return {"Z": Z, "A": A, "loss": np.mean(A**2)}
        >>> def backward(X, W, cache):
        ...     dA = 2 * cache["A"] / cache["A"].size
        ...     dZ = dA * (1 - cache["A"])  # the square is missing
        ...     return {"dA": dA, "dZ": dZ, "dW": X.T @ dZ}
        >>> rng = np.random.default_rng(0)
        >>> report = tc.gradcheck_steps(forward, backward, rng.normal(size=(4, 3)), np.ones((3, 2)))
        >>> report.first_wrong, [row.status for row in report.rows]
        ('dZ', ['right', 'wrong', 'follows'])
    """
    for name, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise ArgumentError(
                f"gradcheck_steps: {name} is {type(function).__name__}, not a function"
            )
    given = checked_inputs("gradcheck_steps", inputs)
    subject = _Forward(forward, given)
    measured = examine(subject, stream(seed), Options(max_elements=200))
    if not measured and measured.verdict not in ("kink", "inconclusive"):
        return StepsReport(measured.verdict, None, (), measured)
    with taped() as tape:
        outputs, leaves = subject.recorded()
    values = _values_by_name(forward, subject, leaves, names)
    plain = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in subject.named.items()}
    by_hand = _by_hand(backward, given, plain)
    if isinstance(by_hand, GradcheckReport):
        return StepsReport(by_hand.verdict, None, (), by_hand)
    ordered = _in_backward_order(by_hand, values, tape)
    rows = _compare(ordered, values, tape, outputs, by_hand)
    first = next((row.name for row in rows if row.status == "wrong"), None)
    return StepsReport("fail" if first else "pass", first, tuple(rows), measured)


def _by_hand(
    backward: Callable[..., Any], given: list[Any], cache: dict[str, Any]
) -> Mapping[str, Any] | GradcheckReport:
    """Run the backward pass; return its gradients, or a report of what went wrong in it."""
    lent = {f"input {i}": x for i, x in enumerate(given) if isinstance(x, np.ndarray)}
    lent |= {f"cache[{k!r}]": v for k, v in cache.items() if isinstance(v, np.ndarray)}
    before = {name: x.copy() for name, x in lent.items()}
    try:
        found = backward(*given, cache)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
        return raised("backward", error, before)
    changed = [n for n, x in before.items() if not np.array_equal(lent[n], x, equal_nan=True)]
    if changed:
        said = f"backward changed {', '.join(changed)} in place: write to a copy"
        return alone("mutation", "mutation", said, changed[0])
    if not isinstance(found, Mapping) or not found:
        raise ArgumentError("gradcheck_steps: backward must return a dict of gradients such as dZ2")
    return found


def _values_by_name(
    forward: Callable[..., Any],
    subject: _Forward,
    leaves: dict[str, Any],
    names: tuple[str, ...] | None,
) -> dict[str, Any]:
    """Return the recorded value of every name: intermediates and inputs."""
    if names is None:
        code = getattr(forward, "__code__", None)
        names = code.co_varnames[: code.co_argcount] if code else ()
    values = {k: v for k, v in subject.named.items() if isinstance(v, Tensor)}
    for i, name in enumerate(names):
        leaf = leaves.get(f"input {i}")
        if leaf is not None:
            values.setdefault(name, leaf)
    return values


def _value_of(name: str, values: dict[str, Any]) -> str:
    for prefix in ("d", "d_", "grad_"):
        if name.startswith(prefix) and name.removeprefix(prefix) in values:
            return name.removeprefix(prefix)
    raise ArgumentError(
        f"gradcheck_steps: {name} does not name a gradient: it should be 'd' and one of "
        f"{', '.join(values)}"
    )


def _in_backward_order(by_hand: Mapping[str, Any], values: dict[str, Any], tape: Tape) -> list[str]:
    """Return the gradients' names in the order in which the backward pass can compute them."""
    last_use: dict[int, int] = {}
    for step in tape.steps:
        for parent in step.node.parents:
            last_use[id(parent)] = step.node.time

    def age(name: str) -> float:
        value = values[_value_of(name, values)]
        if value._node is not None:
            return -float(value._node.time)
        return 0.5 - last_use.get(id(value), 0)  # an input's gradient follows its last use's

    return sorted(by_hand, key=age)


def _compare(
    ordered: list[str],
    values: dict[str, Any],
    tape: Tape,
    outputs: list[Any],
    by_hand: Mapping[str, Any],
) -> list[StepRow]:
    """Compare each gradient with the right one, and with what the wrong ones before it lead to."""
    right = _gradients(values, outputs, {})
    replaced: dict[int, np.ndarray] = {}
    rows = []
    for name in ordered:
        value = _value_of(name, values)
        want = right[value]
        want = np.zeros(values[value].shape) if want is None else np.asarray(want, dtype=float)
        given = _numbers(by_hand[name])
        if given is None or given.shape != want.shape:
            shape = () if given is None else given.shape
            what = (
                f"{type(by_hand[name]).__name__}, no array" if given is None else f"shape {shape}"
            )
            message = f"{what}, expected shape {want.shape}"
            rows.append(StepRow(name, shape, "wrong", float("nan"), message))
            continue
        ratio = norm_ratio(given, want)
        if _agree(given, want):
            rows.append(StepRow(name, given.shape, "right", ratio))
            continue
        followed = _gradients(values, outputs, replaced)[value] if replaced else None
        node = values[value]._node
        if followed is not None and _agree(given, np.asarray(followed, dtype=float)):
            message = "right for the wrong gradient that it starts from"
            rows.append(StepRow(name, given.shape, "follows", ratio, message))
        else:
            base = want if followed is None else np.asarray(followed, dtype=float)
            cause = _cause(values, value, given, base, tape, outputs, replaced)
            reading = "" if ratio >= 1e-3 else ng_reading(ratio)
            rows.append(StepRow(name, given.shape, "wrong", ratio, reading, cause))
        if node is not None:
            replaced[id(node)] = given
    return rows


def _numbers(given: Any) -> np.ndarray | None:
    """Return a gradient as an array of real numbers, None if it is none."""
    try:
        array = np.asarray(given)
    except ValueError:  # rows of different lengths
        return None
    return array.astype(float) if array.dtype.kind in "biuf" else None


def _agree(given: np.ndarray, want: np.ndarray) -> bool:
    scale = float(np.max(np.abs(want), initial=0.0))
    return bool(np.all(np.abs(given - want) <= AGREE * scale + 1e-300))


def _gradients(
    values: dict[str, Any], outputs: list[Any], replaced: dict[int, np.ndarray]
) -> dict[str, Any]:
    """Return the gradient of every named value, where some values' gradients are replaced."""
    found: dict[str, Any] = {}
    by_node: dict[int, list[str]] = {}
    for name, value in values.items():
        if value._node is not None:
            by_node.setdefault(id(value._node), []).append(name)

    def change(node: Node, g: Any, pieces: list[Any]) -> Any:
        for name in by_node.get(id(node), ()):
            found[name] = g
        given = replaced.get(id(node))
        if given is None:
            return pieces
        return node.primitive.pull(given if given.ndim else given[()], node, node.parents)

    leaves = {name: value for name, value in values.items() if value._node is None}
    one = np.ones(outputs[0].shape)[()]
    totals = backward_with(outputs, [one], leaves, change)
    return {name: totals[name] if name in totals else found.get(name) for name in values}


class _Local(Subject):
    """A named value's gradient as a subject, so that its fault can be explained on the graph."""

    hand_written = False

    def __init__(self, name: str, point: np.ndarray, outputs: list[Any], value: Any) -> None:
        self.points = {name: point}
        self.outputs, self.value, self.name = outputs, value, name

    def recorded(self) -> tuple[list[Any], dict[str, Any]] | None:
        return None


def _cause(
    values: dict[str, Any],
    name: str,
    given: np.ndarray,
    want: np.ndarray,
    tape: Tape,
    outputs: list[Any],
    replaced: dict[int, np.ndarray],
) -> str | None:
    """Explain a wrong gradient: by a repair of its numbers, or by a mistake in the next step."""
    from_tape = _acted(values, name, given, tape, outputs, replaced)
    point = np.asarray(values[name].data, dtype=float)
    comparisons = [
        Comparison(
            place,
            float(given[place]),
            Estimate(float(want[place]), 1e-12 * abs(float(want[place])), 0.0, kink=False),
            "fail" if not np.isclose(given[place], want[place], rtol=1e-8) else "pass",
        )
        for place in np.ndindex(given.shape)
    ]
    subject = _Local(name, point, outputs, values[name])
    evidence = Evidence(name, point, given, comparisons)
    by_numbers = explain(subject, [evidence], [np.ones(())], {name: given}).get(name)
    return " OR ".join(dict.fromkeys([t for t in (by_numbers, from_tape) if t])) or None


def _acted(
    values: dict[str, Any],
    name: str,
    given: np.ndarray,
    tape: Tape,
    outputs: list[Any],
    replaced: dict[int, np.ndarray],
) -> str | None:
    node = values[name]._node
    leaf = values[name]
    target = node if node is not None else leaf
    # First the operations that read the value, then all, because a mistake may span several.
    nearby = [step for step in tape.steps if any(p is target for p in step.node.parents)]
    for mistake in islice(chain(mistakes(nearby), mistakes(tape.steps)), MOST_MISTAKES):
        arrived: dict[str, Any] = {}

        def change(
            at: Node, g: Any, pieces: list[Any], mistake: Any = mistake, arrived: Any = arrived
        ) -> Any:
            if at is node:
                arrived["g"] = g
            if id(at) in replaced:
                g = replaced[id(at)]
                g = g if g.ndim else g[()]
                pieces = list(at.primitive.pull(g, at, at.parents))
            return mistake.change(at, g, pieces)

        try:
            with np.errstate(all="ignore"):
                one = np.ones(outputs[0].shape)[()]
                leaves = {} if node is not None else {name: leaf}
                totals = backward_with(outputs, [one], leaves, change)
        except Exception:  # noqa: BLE001, S112 - nobody can have made this mistake here
            continue
        result = arrived.get("g") if node is not None else totals[name]
        if (
            result is not None
            and np.shape(result) == given.shape
            and _agree(np.asarray(result, dtype=float), given)
        ):
            return mistake.text
    return None


__all__ = ["StepRow", "StepsReport", "gradcheck_steps"]
