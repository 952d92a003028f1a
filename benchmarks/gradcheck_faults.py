"""Faults that people make in gradients by hand, each with the words its cause must contain.

`pairs()` yields ``(name, f, right, wrong, inputs, words)``: plain NumPy, as in an exercise. Every
word (a regular expression) of one fault must be found in the printed cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np


class Fault(NamedTuple):
    """A right and a wrong gradient of one function, and how the cause must read."""

    name: str
    f: Any
    right: Any
    wrong: Any
    inputs: tuple[Any, ...]
    words: str

    def explained(self, text: str) -> bool:
        """Whether a cause says what was done."""
        return re.search(self.words, text, re.IGNORECASE) is not None


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - np.max(z, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


ACTIVATIONS = {
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z)), lambda z: z * (1 - z)),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2, lambda z: 1 - z**2),
    "sin": (np.sin, np.cos, None),
    "softplus": (lambda z: np.log(1 + np.exp(z)), sigmoid, None),
    "swish": (lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * (1 - sigmoid(z))), None),
}


def _scaled(right, factor):
    def wrong(*given):
        found = right(*given)
        if isinstance(found, tuple):
            return tuple(None if g is None else g * factor for g in found)
        return found * factor

    return wrong


def _altered(right, change):
    def wrong(*given):
        found = right(*given)
        first = found[0] if isinstance(found, tuple) else found
        first = np.array(first)
        change(first)
        return (first, *found[1:]) if isinstance(found, tuple) else first

    return wrong


def functions(rng: np.random.Generator) -> Iterator[tuple[str, Any, Any, tuple[Any, ...]]]:
    """Yield right pairs: name, function, gradient, inputs."""
    x, w, b = rng.normal(size=(7, 4)), rng.normal(size=(4, 3)), rng.normal(size=3)
    y = rng.normal(size=(7, 3))
    for name, (act, slope, _) in ACTIVATIONS.items():

        def layer(x, w, b, act=act):
            return act(x @ w + b)

        def layer_gradient(x, w, b, g, slope=slope):
            dz = g * slope(x @ w + b)
            return dz @ w.T, x.T @ dz, dz.sum(axis=0)

        yield f"layer {name}", layer, layer_gradient, (x, w, b)
        yield name, act, lambda z, g, slope=slope: g * slope(z), (x,)

    def mse(w, b):
        return np.mean((x @ w + b - y) ** 2)

    def mse_gradient(w, b):
        d = 2 * (x @ w + b - y) / y.size
        return x.T @ d, d.sum(axis=0)

    yield "mse", mse, mse_gradient, (w, b)
    yield "softmax", softmax, _softmax_pull, (x,)
    labels = rng.integers(0, 3, 7)
    onehot = np.eye(3)[labels]

    def cross_entropy(z):
        return -np.sum(onehot * np.log(softmax(z))) / 7

    yield "cross entropy", cross_entropy, lambda z: (softmax(z) - onehot) / 7, (x @ w,)


def _softmax_pull(z, g):
    s = softmax(z)
    return s * (g - np.sum(g * s, axis=1, keepdims=True))


def pairs(seed: int = 0) -> Iterator[Fault]:
    """Yield the faults of the issue, on functions and shapes drawn from a seed."""
    rng = np.random.default_rng(seed)
    n, m, k = (int(v) for v in rng.permutation([5, 6, 7, 8, 9])[:3])
    for name, f, right, inputs in functions(rng):
        for words, factor in (("sign", -1.0), (r"\b2 times", 2.0), (r"0\.5 times", 0.5)):
            yield Fault(f"{name}: x{factor}", f, right, _scaled(right, factor), inputs, words)
        shape = inputs[0].shape

        def row(g):
            g[1] *= 1.5

        def column(g):
            g[:, -1] += 0.3

        def corner(g):
            g[-1, -1] *= -1

        for words, change in (
            ("row 1", row),
            (f"column {shape[1] - 1}", column),
            ("corner", corner),
        ):
            yield Fault(f"{name}: {words}", f, right, _altered(right, change), inputs, words)
    x, w, b = rng.normal(size=(m, n)), rng.normal(size=(n, k)), rng.normal(size=k)
    y = rng.normal(size=(m, k))
    yield from _batch(x, w, b, y, m, n, k)
    yield from _activations(x, w, b, rng, k)
    yield from _shapes(x, b, rng, n, m)
    yield from _graph(x, w, b, y, rng, n, m, k)
    yield from _couplings(x, rng, n)
    yield from _penalties(x, w, y, m)


def _batch(x, w, b, y, m, n, k):
    def cost(w, b):
        return np.sum((x @ w + b - y) ** 2) / (2 * m)

    def right(w, b):
        d = (x @ w + b - y) / m
        return x.T @ d, d.sum(axis=0)

    for words, factor in ((rf"{m}.*1/{m}", m), (rf"1/{m} too many|1/{m}", 1 / m)):
        yield Fault(f"m: x{factor:.3g}", cost, right, _scaled(right, factor), (w, b), words)

    def mean(x):
        return np.mean(np.tanh(x) * 3, axis=1)

    def mean_right(x, g):
        return g[:, None] * 3 * (1 - np.tanh(x) ** 2) / n

    yield Fault("N of a mean", mean, mean_right, _scaled(mean_right, n), (x,), rf"1/{n}")
    keep_prob = 0.8
    mask = np.random.default_rng(n).random((m, n)) < keep_prob

    def dropout(x):
        return np.tanh(x) * mask / keep_prob

    def dropout_right(x, g):
        return g * mask / keep_prob * (1 - np.tanh(x) ** 2)

    for factor in (keep_prob, 1 / keep_prob):
        yield Fault(
            f"keep_prob x{factor}",
            dropout,
            dropout_right,
            _scaled(dropout_right, factor),
            (x,),
            "0.8|keep_prob",
        )


def _activations(x, w, b, rng, k):
    for name, (act, slope, swapped) in ACTIVATIONS.items():

        def layer(x, w, b, act=act):
            return act(x @ w + b)

        def back(dz, x, w):
            return dz @ w.T, x.T @ dz, dz.sum(axis=0)

        def right(x, w, b, g, slope=slope):
            return back(g * slope(x @ w + b), x, w)

        def missing(x, w, b, g):
            return back(g, x, w)

        def at_output(x, w, b, g, slope=slope, act=act):
            return back(g * slope(act(x @ w + b)), x, w)

        def ignored(x, w, b, g, slope=slope):
            return back(slope(x @ w + b) + 0 * g, x, w)

        given = (x, w, b)
        yield Fault(f"{name} missing", layer, right, missing, given, "derivative of .*missing")
        yield Fault(f"{name} at output", layer, right, at_output, given, "at its output")
        yield Fault(f"{name} ignored", layer, right, ignored, given, "upstream gradient is ignored")
        if swapped is not None:

            def at_input(x, w, b, g, swapped=swapped):
                return back(g * swapped(x @ w + b), x, w)

            yield Fault(f"{name} swapped", layer, right, at_input, given, "taken at its input")


def _shapes(x, b, rng, n, m):
    s, t = rng.normal(size=(n, n)), rng.normal(size=(m, n))

    def product(s):
        return np.tanh(t @ s)

    def product_right(s, g):
        return t.T @ (g * (1 - np.tanh(t @ s) ** 2))

    yield Fault(
        "transposed square",
        product,
        product_right,
        lambda s, g: product_right(s, g).T,
        (s,),
        "transposed",
    )
    yield Fault(
        "transposed",
        np.sin,
        lambda x, g: g * np.cos(x),
        lambda x, g: (g * np.cos(x)).T,
        (x,),
        "transposed",
    )
    row = rng.normal(size=n)
    yield Fault(
        "unsummed",
        lambda r: x * r,
        lambda _r, g: (g * x).sum(axis=0),
        lambda _r, g: g * x,
        (row,),
        "broadcast.*summed",
    )
    yield Fault(
        "unsummed keepdims",
        lambda r: x * r,
        lambda _r, g: (g * x).sum(axis=1, keepdims=True),
        lambda _r, g: g * x,
        (rng.normal(size=(m, 1)),),
        "broadcast.*summed",
    )
    yield Fault(
        "one copy",
        lambda r: x * r,
        lambda _r, g: (g * x).sum(axis=0),
        lambda _r, g: (g * x)[0],
        (row,),
        "first of its copies",
    )
    yield Fault(
        "mean of copies",
        lambda r: x * r,
        lambda _r, g: (g * x).sum(axis=0),
        lambda _r, g: (g * x).mean(axis=0),
        (row,),
        rf"1/{m}|mean",
    )


def _graph(x, w, b, y, rng, n, m, k):
    def twice(x):
        return np.sin(x) * np.tanh(x)

    def twice_right(x, g):
        return g * (np.cos(x) * np.tanh(x) + np.sin(x) * (1 - np.tanh(x) ** 2))

    for wrong in (
        lambda x, g: g * np.cos(x) * np.tanh(x),
        lambda x, g: g * np.sin(x) * (1 - np.tanh(x) ** 2),
    ):
        yield Fault("path cut", twice, twice_right, wrong, (x,), "cut|overwritten")

    def residual(x, v):
        a = np.tanh(x @ v)
        return a + np.sin(a) * 2

    v = rng.normal(size=(n, n)) / n

    def residual_pull(local):
        def pull(x, v, g):
            a = np.tanh(x @ v)
            dz = g * local(a) * (1 - a**2)
            return dz @ v.T, x.T @ dz

        return pull

    yield Fault(
        "skip connection cut",
        residual,
        residual_pull(lambda a: 1 + 2 * np.cos(a)),
        residual_pull(lambda a: 2 * np.cos(a)),
        (x, v),
        "cut|overwritten",
    )
    yield Fault(
        "overwritten",
        residual,
        residual_pull(lambda a: 1 + 2 * np.cos(a)),
        residual_pull(lambda a: 1 + 0 * a),
        (x, v),
        "overwritten",
    )
    index = np.array([0, 2, 2, 1, 0, 2])

    def rows(x):
        return np.tanh(x[index])

    def rows_right(x, g):
        d = np.zeros_like(x)
        np.add.at(d, index, g * (1 - np.tanh(x[index]) ** 2))
        return d

    def rows_wrong(x, g):
        d = np.zeros_like(x)
        d[index] = g * (1 - np.tanh(x[index]) ** 2)
        return d

    yield Fault("duplicate index", rows, rows_right, rows_wrong, (x,), "duplicate index.*assigned")

    def taken(x):
        return np.take(x, index % n, axis=1) ** 2

    def taken_right(x, g):
        d = np.zeros_like(x)
        np.add.at(d, (slice(None), index % n), 2 * g * x[:, index % n])
        return d

    def taken_wrong(x, g):
        d = np.zeros_like(x)
        d[:, index % n] = 2 * g * x[:, index % n]
        return d

    yield Fault(
        "duplicate take", taken, taken_right, taken_wrong, (x,), "duplicate index.*assigned"
    )


def _couplings(x, rng, n):
    yield Fault(
        "softmax coupling",
        softmax,
        _softmax_pull,
        lambda z, g: g * softmax(z) * (1 - softmax(z)),
        (x,),
        "coupling",
    )
    target = np.abs(rng.normal(size=x.shape))

    def loss(z):
        return np.sum((softmax(z) - target) ** 2)

    yield Fault(
        "softmax in a loss",
        loss,
        lambda z: _softmax_pull(z, 2 * (softmax(z) - target)),
        lambda z: 2 * (softmax(z) - target) * softmax(z) * (1 - softmax(z)),
        (x,),
        "coupling",
    )
    eps = 1e-5
    gamma, beta = rng.normal(size=n), rng.normal(size=n)

    def norm(x, gamma, beta):
        mu, var = np.mean(x, axis=0), np.var(x, axis=0)
        return gamma * (x - mu) / np.sqrt(var + eps) + beta

    def norm_by_hand(x, gamma, beta):
        mu = np.sum(x, axis=0) / x.shape[0]
        centred = x - mu
        var = np.sum(centred**2, axis=0) / x.shape[0]
        return gamma * (centred / np.sqrt(var + eps)) + beta

    def pull(kind):
        def gradient(x, gamma, beta, g):
            std = np.sqrt(x.var(axis=0) + eps)
            hat = (x - x.mean(axis=0)) / std
            d = g * gamma
            dx = d
            if kind != "constant":
                dx = (
                    d
                    - d.mean(axis=0) * (kind != "mean")
                    - hat * (d * hat).mean(axis=0) * (kind != "variance")
                )
            return dx / std, (g * hat).sum(axis=0), g.sum(axis=0)

        return gradient

    for f in (norm, norm_by_hand):
        for kind, words in (
            ("constant", "statistics|constant"),
            ("mean", "mean.*constant"),
            ("variance", "var.*constant"),
        ):
            yield Fault(
                f"{f.__name__} {kind}", f, pull("right"), pull(kind), (x, gamma, beta), words
            )

    def normed_layer(x, gamma, beta):
        return np.tanh(norm(x, gamma, beta)) * 2

    def layer_pull(kind):
        def gradient(x, gamma, beta, g):
            return pull(kind)(x, gamma, beta, 2 * g * (1 - np.tanh(norm(x, gamma, beta)) ** 2))

        return gradient

    yield Fault(
        "batch norm inside",
        normed_layer,
        layer_pull("right"),
        layer_pull("constant"),
        (x, gamma, beta),
        "statistics|constant",
    )


def _penalties(x, w, y, m):
    lam = 0.7
    for word, penalty, slope in (
        (r"times w", lambda w: np.sum(w**2) / 2, lambda w: w),
        (r"sgn\(w\)", lambda w: np.sum(np.abs(w)), np.sign),
    ):

        def cost(w, penalty=penalty):
            return np.sum((np.tanh(x @ w) - y) ** 2) / m + lam / m * penalty(w)

        def pull(times, slope=slope):
            def gradient(w):
                a = np.tanh(x @ w)
                return x.T @ (2 * (a - y) * (1 - a**2)) / m + times * lam / m * slope(w)

            return gradient

        right = pull(1)
        yield Fault(
            "penalty missing", cost, right, pull(0), (w,), f"regularization.*missing.*{word}"
        )
        yield Fault("penalty twice", cost, right, pull(2), (w,), f"regularization.*twice.*{word}")


__all__ = ["ACTIVATIONS", "Fault", "functions", "pairs", "sigmoid", "softmax"]
