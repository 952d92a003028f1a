"""What a check did not test: branches no element took, ties, zeros, equal elements, dead units.

A function with a branch has one derivative on each side, and a check sees only the side that its
points are on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_course.checking.subjects import TensorFunction, is_real
from tinygrad_course.checking.tape import Step, Tape, taped

Spot = Callable[[Step], str | None]


def blind_spots(tape: Tape) -> list[str]:
    """Return what the recorded values leave untested, one sentence each."""
    found = []
    for step in tape.steps:
        look = _LOOKS.get(step.name)
        said = look(step) if look is not None and np.size(step.result) else None
        if said:
            found.append(f"{step.name} at {step.line}: {said}")
    return list(dict.fromkeys(found))


def _sides(x: np.ndarray, at: Any = 0.0) -> tuple[bool, bool, bool]:
    """Return whether elements lie below, at and above a value."""
    return bool(np.any(x < at)), bool(np.any(x == at)), bool(np.any(x > at))


def _about_zero(step: Step) -> str | None:
    x = np.asarray(step.inputs[0])
    if x.dtype.kind == "c":
        return None
    below, at, above = _sides(x)
    said = []
    if not below:
        said.append("no input below 0")
    if not above:
        said.append("no input above 0")
    if at:
        said.append(f"{int(np.sum(x == 0))} inputs exactly at the kink, 0")
    dead = _dead(x) if step.name == "relu" else 0
    if dead:
        said.append(f"{dead} of {x.shape[-1]} units are dead (never above 0)")
    return ", ".join(said) or None


def _dead(x: np.ndarray) -> int:
    if x.ndim < 2 or x.shape[0] < 2:
        return 0
    return int(np.sum(np.all(x.reshape(-1, x.shape[-1]) <= 0, axis=0)))


def _between_two(step: Step) -> str | None:
    x, y = (np.asarray(v) for v in step.inputs[:2])
    if "c" in (x.dtype.kind, y.dtype.kind):
        return None
    below, ties, above = _sides(x - y)
    said = []
    if not above:
        said.append("the first input is never the larger")
    if not below:
        said.append("the second input is never the larger")
    if ties:
        said.append(f"{int(np.sum(x == y))} ties")
    return ", ".join(said) or None


def _chosen(step: Step) -> str | None:
    condition = np.asarray(step.inputs[0], dtype=bool)
    if condition.all():
        return "the condition is true everywhere"
    return None if condition.any() else "the condition is false everywhere"


def _clipped(step: Step) -> str | None:
    x, params = np.asarray(step.inputs[0]), step.params
    bounds = [*step.inputs[1:3], None, None][:2]
    lower = params.get("lower", params.get("a_min", bounds[0]))
    upper = params.get("upper", params.get("a_max", bounds[1]))
    said = []
    if lower is not None and not np.any(x < lower):
        said.append("no element below the lower bound")
    if upper is not None and not np.any(x > upper):
        said.append("no element above the upper bound")
    inside = (True if lower is None else x >= lower) & (True if upper is None else x <= upper)
    if not np.any(inside):
        said.append("no element inside the bounds")
    return ", ".join(said) or None


def _ties(step: Step) -> str | None:
    x = np.asarray(step.inputs[0])
    repeated = x.size - np.unique(x).size
    return f"{repeated} equal elements (ties)" if repeated else None


_LOOKS: dict[str, Spot] = {
    "relu": _about_zero,
    "leaky_relu": _about_zero,
    "abs": _about_zero,
    "absolute": _about_zero,
    "fabs": _about_zero,
    "maximum": _between_two,
    "minimum": _between_two,
    "fmax": _between_two,
    "fmin": _between_two,
    "where": _chosen,
    "clip": _clipped,
    "max": _ties,
    "min": _ties,
    "sort": _ties,
    "median": _ties,
    "partition": _ties,
    "quantile": _ties,
    "percentile": _ties,
}


def degenerate_inputs(points: dict[str, np.ndarray]) -> list[str]:
    """Return what makes the inputs themselves a poor test: zeros, ones, equal elements."""
    found = []
    for name, x in points.items():
        if not x.size:
            found.append(f"{name} has no elements: nothing is compared")
        elif x.size > 1 and np.all(x == x.flat[0]):
            found.append(
                f"all elements of {name} are {x.flat[0]:g}: a transposed or permuted gradient "
                f"looks right there"
            )
        elif np.any(x == 0):
            found.append(
                f"{int(np.sum(x == 0))} elements of {name} are 0: factors of them go untested"
            )
        if x.size and np.all(x == 1):
            found.append(f"{name} is 1 everywhere: a missing factor or power goes unnoticed")
    return found


def points_that_reach(
    f: Callable[..., Any],
    given: Sequence[Any],
    spots: Sequence[str],
    rng: np.random.Generator,
    *,
    most: int = 4,
) -> Iterator[tuple[str, list[Any]]]:
    """Yield points at which some of the untested is tested: the proposals, best first."""
    left = set(spots)
    for name, point in _proposals(given, rng):
        if not left or most == 0:
            return
        try:
            with taped() as tape, np.errstate(all="ignore"):
                TensorFunction(f, point).recorded()
        except Exception:  # noqa: BLE001, S112 - the function need not be defined everywhere
            continue
        reached = left - set(blind_spots(tape))
        if reached:
            left -= reached
            most -= 1
            yield name, point


def _proposals(given: Sequence[Any], rng: np.random.Generator) -> Iterator[tuple[str, list[Any]]]:
    def moved(change: Callable[[np.ndarray], np.ndarray]) -> list[Any]:
        return [change(x) if is_real(x) else x for x in given]

    yield "the inputs with the opposite sign", moved(lambda x: -x)
    yield "the inputs times 4", moved(lambda x: 4 * x)
    yield "the inputs divided by 4", moved(lambda x: x / 4)
    for i, x in enumerate(given):
        if is_real(x):
            point = list(given)
            point[i] = -3 * x
            yield f"input {i} times -3", point
    for scale in (1.0, 5.0):

        def noisy(x: np.ndarray, scale: float = scale) -> np.ndarray:
            spread = float(np.std(x)) or 1.0
            return np.asarray(x + scale * spread * rng.standard_normal(x.shape))

        yield f"the inputs with random noise ({scale:g} standard deviations)", moved(noisy)


__all__ = ["blind_spots", "degenerate_inputs", "points_that_reach"]
