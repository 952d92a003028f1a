"""The gradient checker on thousands of right gradients and on planted faults.

    python benchmarks/gradcheck_battery.py [--quick]

Right gradients: every registered primitive at its samples times scales from 1e-8 to 1e8, functions
that compute in float32, points near kinks, ill-conditioned places, pairs written by hand. Wrong
gradients: the same with one element or all of them off by 1e-4 and more; zero gradients of up to
10^7 elements; every registered primitive with a mutated rule; the faults of `gradcheck_faults`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_course as tc
from tinygrad_course.checking import gradcheck, gradcheck_pair
from tinygrad_course.checking.subjects import is_real, prepared
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES

sys.path.insert(0, str(Path(__file__).parent))

from gradcheck_faults import functions, pairs

COUNTING = ("special_polygamma", "special_zeta")
"""SciPy adds 1 to a very negative argument of these until it is positive: minutes for one value."""

SCALES = (1e-8, 1e-5, 1e-2, 1.0, 1e2, 1e5, 1e8)


# ---- right gradients -----------------------------------------------------------------------------


def _of_primitives(scales: tuple[float, ...], stride: int) -> Iterator[tuple[str, Any, tuple]]:
    rng = np.random.default_rng(0)
    number = 0
    for name, row in list(PRIMITIVES.items()):
        if not row.differentiable or row.effect:
            continue
        for i, (inputs, params) in enumerate(row.samples(rng)):
            for scale in scales:
                number += 1
                if number % stride or (name in COUNTING and scale > 1e5):
                    continue

                def f(*xs, name=name, params=params):
                    return FUNCTIONS[name](*xs, **params)

                given = tuple(x * scale if is_real(prepared(x)) else x for x in inputs)
                if any(is_real(prepared(x)) for x in given):
                    yield f"{name}[{i}] x{scale:g}", f, given


def _awkward(rng: np.random.Generator) -> Iterator[tuple[str, Any, tuple]]:
    x = rng.normal(size=(4, 3))
    for size in (1e-12, 1e-9, 1e-7, 1e-5, 1e-3):
        near = np.where(rng.random((4, 3)) < 0.5, size, -size) * (1 + rng.random((4, 3)))
        mixed = np.where(rng.random((4, 3)) < 0.5, near, x)
        for name in ("relu", "abs", "leaky_relu"):
            yield f"{name} at {size:g} from its kink", getattr(tc, name), (mixed,)
        yield f"maximum at {size:g}", tc.maximum, (x, x + mixed * size)
        yield f"clip at {size:g}", lambda t: tc.clip(t, -1, 1), (np.sign(x) * (1 + near),)
    for offset in (1e2, 1e4, 1e6, 1e8):
        yield f"offset {offset:g}", lambda t, o=offset: tc.sin(t) + o, (x,)
        yield f"sum with {offset:g}", lambda t, o=offset: (tc.exp(t) + o).sum(), (x,)
        yield f"cancels {offset:g}", lambda t, o=offset: ((t + o) - o) ** 2, (x,)
        yield f"logsumexp {offset:g}", lambda t, o=offset: tc.logsumexp(t + o, axis=1), (x,)
        yield f"softmax {offset:g}", lambda t, o=offset: tc.softmax(t * np.log10(o)), (x,)
        spread = np.geomspace(1 / offset, offset, 12).reshape(4, 3)
        yield f"spread {offset:g}", lambda t, s=spread: tc.tanh(t * s).sum(), (x / spread,)
        yield f"powers {offset:g}", lambda t: (t**3).sum(), (spread,)
    for condition in (1e2, 1e4, 1e6):
        q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
        a = q @ np.diag(np.geomspace(1, 1 / condition, 4)) @ q.T
        yield f"matmul cond {condition:g}", lambda t, a=a: a @ t, (rng.normal(size=(4, 2)),)
        yield (
            f"norm {condition:g}",
            lambda t, c=condition: tc.sqrt((t * t).sum()) * c,
            (x / condition,),
        )
        yield f"log {condition:g}", tc.log, (np.abs(x) / condition,)
        yield f"divide {condition:g}", lambda t: 1 / t, (x / condition,)


def _in_float32(rng: np.random.Generator) -> Iterator[tuple[str, Any, tuple]]:
    def coarse(function):
        return lambda t: function(t.astype(np.float32)).astype(np.float64)

    for name in ("tanh", "exp", "sin", "sigmoid", "softmax", "square", "arctan", "softplus"):
        for shape in ((3,), (2, 3), (4, 5)):
            yield f"float32 {name} {shape}", coarse(getattr(tc, name)), (rng.normal(size=shape),)
            yield (
                f"float32 {name} {shape} input",
                getattr(tc, name),
                (rng.normal(size=shape).astype(np.float32),),
            )


def right_tensor_cases(scales=SCALES, stride=1) -> Iterator[tuple[str, Any, tuple]]:
    """Yield (name, function of Tensors, inputs), all with right gradients."""
    rng = np.random.default_rng(1)
    yield from _awkward(rng)
    yield from _in_float32(rng)
    yield from _of_primitives(scales, stride)


def right_pairs(
    seeds: range, scales=(1e-3, 0.1, 1.0, 3.0)
) -> Iterator[tuple[str, Any, Any, tuple]]:
    """Yield (name, function, gradient, inputs) in plain NumPy, all right."""
    for seed in seeds:
        for name, f, gradient, inputs in functions(np.random.default_rng(seed)):
            for scale in scales:
                yield f"{name} x{scale:g}", f, gradient, tuple(v * scale for v in inputs)


def usable(f, inputs) -> bool:
    """Whether function and gradient are finite at a point, and it is no kink by construction."""
    report = gradcheck(f, *inputs, seed=0, max_elements=1)
    return report.verdict not in ("nonfinite", "kink", "missing")


def judge_right(scales=SCALES, stride=1, seeds=range(6), say=print) -> Counter:
    """Check right gradients; return the verdicts' counts."""
    verdicts: Counter = Counter()
    for name, f, inputs in right_tensor_cases(scales, stride):
        with np.errstate(all="ignore"):
            report = gradcheck(f, *inputs, seed=0)
        verdicts[report.verdict] += 1
        if report.verdict in (
            "fail",
            "inconclusive",
            "shape",
            "dtype",
            "random",
            "mutation",
            "missing",
        ):
            say(f"{name}: {report}")
    for name, f, gradient, inputs in right_pairs(seeds):
        report = gradcheck_pair(f, gradient, *inputs, seed=0)
        verdicts[report.verdict] += 1
        if not report:
            say(f"{name}: {report}")
    return verdicts


# ---- wrong gradients -------------------------------------------------------------------------------


def spoiled(stride=1, seed=0) -> Iterator[tuple[str, Any, Any, tuple]]:
    """Yield (name, f, gradient, inputs) whose gradient is off by 1e-4 or more, relatively."""
    rng = np.random.default_rng(seed)
    for name, f, inputs in _of_primitives((1.0,), stride):
        if not any(np.size(x) for x in inputs):
            continue
        for size in (1e-4, 1e-2, 1.0):
            for kind in ("one", "all"):
                wrong = _spoiled_gradient(f, inputs, size, kind, rng)
                if wrong is not None:
                    yield f"{name} {kind} off by {size:g}", _plain(f), wrong, inputs


def _plain(f):
    """Return a function of Tensors as a function of arrays."""

    def plain(*xs):
        out = f(*[tc.Tensor(x) if is_real(prepared(x)) else x for x in xs])
        parts = [np.asarray(o.data) for o in (out if isinstance(out, tuple | list) else [out])]
        parts = [p for p in parts if p.dtype.kind == "f"]
        return tuple(parts) if isinstance(out, tuple | list) else parts[0]

    return plain


def _gradient(f, inputs, upstream):
    leaves = [tc.Tensor(x, requires_grad=True) if is_real(prepared(x)) else x for x in inputs]
    out = f(*leaves)
    outs = [o for o in (out if isinstance(out, tuple | list) else [out]) if o.dtype.kind == "f"]
    weights = list(upstream) if isinstance(upstream, tuple) else [upstream]
    used = [(o, w) for o, w in zip(outs, weights, strict=True) if o.requires_grad]
    targets = [x for x in leaves if isinstance(x, tc.Tensor)]
    found = iter(tc.gradients([o for o, _ in used], targets, [w for _, w in used]))
    return [next(found) if isinstance(x, tc.Tensor) else None for x in leaves]


def _spoiled_gradient(f, inputs, size, kind, rng):
    try:
        plain = _plain(f)(*inputs)
        ones = (
            tuple(np.ones(p.shape) for p in plain)
            if isinstance(plain, tuple)
            else np.ones(plain.shape)
        )
        right = _gradient(f, inputs, ones)
    except Exception:  # noqa: BLE001 - complex results and the like
        return None
    candidates = [
        (i, int(j))
        for i, g in enumerate(right)
        if g is not None and np.size(g)
        for j in np.flatnonzero(np.abs(g).ravel() > 1e-2 * np.max(np.abs(g)))
    ]
    if not candidates:
        return None
    which, element = candidates[rng.integers(len(candidates))]

    def gradient(*given):
        *xs, upstream = given
        found = [None if g is None else np.array(g, order="C") for g in _gradient(f, xs, upstream)]
        flat = found[which].reshape(-1)
        if kind == "one":
            # A random upstream gradient may leave nothing there to spoil.
            flat[element] += size * max(abs(flat[element]), 1e-2 * np.max(np.abs(flat)))
        else:
            flat *= 1 + size
        return found

    return gradient


def judge_spoiled(stride=1, say=print) -> Counter:
    """Check wrong gradients; return the verdicts' counts."""
    verdicts: Counter = Counter()
    for name, f, gradient, inputs in spoiled(stride):
        report = gradcheck_pair(f, gradient, *inputs, seed=1)
        verdicts[report.verdict] += 1
        if report:
            say(f"NOT FOUND {name}: {report}")
    return verdicts


def large_faults(sizes=(1_000, 10_000)) -> Iterator[tuple[str, Any, Any, tuple]]:
    """Yield gradients of many elements of which one is off by 1e-4 of itself."""
    for n in sizes:
        rng = np.random.default_rng(n)
        x, w = rng.normal(size=n), rng.normal(size=(n, 3)) / np.sqrt(n)
        at = int(rng.integers(n))

        def off(right, at=at):
            def gradient(*given):
                g = np.array(right(*given))
                g[at] *= 1 + 1e-4
                return g

            return gradient

        yield f"tanh {n}", np.tanh, off(lambda x, g: g * (1 - np.tanh(x) ** 2)), (x,)
        yield f"sum of squares {n}", lambda x: np.sum(x**2), off(lambda x: 2 * x), (x,)
        yield (
            f"layer {n}",
            lambda x, w=w: np.tanh(x @ w),
            off(lambda x, g, w=w: w @ (g * (1 - np.tanh(x @ w) ** 2))),
            (x,),
        )
        yield (
            f"normalized {n}",
            lambda x: x / np.sqrt(np.sum(x**2)),
            off(lambda x, g: g / np.linalg.norm(x) - x * (g @ x) / np.linalg.norm(x) ** 3),
            (x,),
        )


def faults_of_the_norm(sizes=(100_000, 1_000_000)) -> Iterator[tuple[str, Any, Any, tuple]]:
    """Yield gradients too large to go through, off by 1e-4 of their norm in one or all elements."""
    for n in sizes:
        rng = np.random.default_rng(n)
        x = rng.normal(size=n)
        at = int(rng.integers(n))

        def one(x, g, at=at):
            d = g * np.cos(x)
            d[at] += 1e-4 * np.linalg.norm(d)
            return d

        def spread(x, g):
            d = g * np.cos(x)
            u = np.cos(np.arange(d.size) ** 1.5)
            return d + u * (1e-4 * np.linalg.norm(d) / np.linalg.norm(u))

        yield f"one of {n}", np.sin, one, (x,)
        yield f"all of {n}", np.sin, spread, (x,)


# ---- mutated primitives ----------------------------------------------------------------------------


def _several(change):
    return lambda pieces: [None if p is None else change(p) for p in pieces]


def _one_element(p):
    p = np.array(p, dtype=np.result_type(p, float))
    if p.size:
        at = np.argmax(np.abs(p))
        p.flat[at] = p.flat[at] * 1.5 + (p.flat[at] == 0)
    return p


def _dropped(p):
    """Leave half of the elements out, as a forgotten term would."""
    p = np.array(p, dtype=np.result_type(p, float))
    at = np.argsort(-np.abs(p), axis=None)[::2]
    p.flat[at] = 0
    return p


def _swapped(pieces):
    places = [i for i, p in enumerate(pieces) if p is not None]
    if len(places) < 2:
        return None
    i, j = places[:2]
    if np.shape(pieces[i]) != np.shape(pieces[j]) or np.allclose(pieces[i], pieces[j]):
        return None
    found = list(pieces)
    found[i], found[j] = pieces[j], pieces[i]
    return found


MUTATIONS = {
    "sign": _several(lambda p: -p),
    "x2": _several(lambda p: p * 2),
    "off by 1e-3": _several(lambda p: p * (1 + 1e-3)),
    "one element": _several(_one_element),
    "dropped term": _several(_dropped),
    "swapped inputs": _swapped,
    "no un-broadcast": None,
}


def mutated(
    name: str, kinds=tuple(MUTATIONS), most: int | None = None
) -> Iterator[tuple[str, bool]]:
    """Yield for each mutation of a primitive's rule whether some sample exposes it."""
    from tinygrad_course.checking import tape as tapes  # noqa: F401
    from tinygrad_course.graph import Node

    row = PRIMITIVES[name]
    samples = [
        (inputs, params)
        for inputs, params in row.samples(np.random.default_rng(0))
        if any(is_real(prepared(x)) and np.size(x) for x in inputs)
    ]
    samples.sort(key=lambda s: -max(np.size(x) for x in s[0] if x is not None))
    real = row.pull
    for kind in kinds:
        applied = killed = False

        def pull(g, node, parents, kind=kind):
            nonlocal applied
            pieces = list(real(g, node, parents))
            found = (
                _no_unbroadcast(pieces, parents)
                if kind == "no un-broadcast"
                else MUTATIONS[kind](pieces)
            )
            if found is None:
                return pieces
            if any(
                a is not None and (np.shape(a) != np.shape(b) or not np.array_equal(a, b))
                for a, b in zip(pieces, found, strict=True)
            ):
                applied = True
            return found

        object.__setattr__(row, "pull", pull)
        try:
            for inputs, params in samples[:most]:
                report = gradcheck(
                    lambda *xs, params=params: FUNCTIONS[name](*xs, **params),
                    *inputs,
                    seed=0,
                    diagnose=False,
                )
                if applied and not report:
                    killed = True
                    break
        finally:
            object.__setattr__(row, "pull", real)
        if applied:
            yield kind, killed
    del Node


def _no_unbroadcast(pieces, parents):
    """Return, for an input that was broadcast, one copy's gradient instead of the copies' sum."""
    found, changed = [], False
    for piece, parent in zip(pieces, parents, strict=True):
        shape = None if parent is None else parent.shape
        if piece is None or shape is None or np.shape(piece) == shape:
            found.append(piece)
            continue
        extra = np.ndim(piece) - len(shape)
        key = (0,) * extra + tuple(slice(0, 1) if n == 1 else slice(None) for n in shape)
        found.append(np.asarray(piece)[key])
        changed = True
    return found if changed else None


def mutation_score(names=None, most=None, say=print) -> tuple[int, int]:
    """Return how many mutations of the registered primitives were found, and how many there were."""
    killed = total = 0
    for name in names or [n for n, row in PRIMITIVES.items() if row.differentiable]:
        for kind, found in mutated(name, most=most):
            total += 1
            killed += found
            if not found:
                say(f"SURVIVED {name}: {kind}")
    return killed, total


# ---- everything --------------------------------------------------------------------------------------


def main() -> None:
    quick = "--quick" in sys.argv
    from tinygrad_course.protocols import load_all

    load_all()
    stride = 10 if quick else 1

    def timed(what, run):
        start = time.perf_counter()
        print(f"{what}: {run()}  ({time.perf_counter() - start:.1f} s)", flush=True)

    timed("right gradients", lambda: dict(judge_right(stride=stride)))
    timed("spoiled gradients", lambda: dict(judge_spoiled(stride=stride)))
    for cases in (large_faults(), faults_of_the_norm()):
        for name, f, gradient, inputs in cases:
            timed(name, lambda f=f, g=gradient, i=inputs: gradcheck_pair(f, g, *i, seed=2).verdict)
    for n in (100_000, 10_000_000):
        x = np.random.default_rng(0).normal(size=n)
        timed(
            f"zero gradient of {n}",
            lambda x=x: gradcheck_pair(np.sin, lambda x, _g: 0 * x, x).verdict,
        )
    timed("mutations killed", lambda: "{} of {}".format(*mutation_score(most=3 if quick else None)))

    def explained() -> str:
        found = passed = total = 0
        for seed in range(1 if quick else 5):
            for fault in pairs(seed):
                report = gradcheck_pair(fault.f, fault.wrong, *fault.inputs, seed=seed)
                total += 1
                passed += bool(report)
                found += fault.explained(" ".join(f.cause or "" for f in report.findings))
        return f"{found} of {total} causes named, {passed} faults passed"

    timed("faults by hand", explained)


if __name__ == "__main__":
    main()
