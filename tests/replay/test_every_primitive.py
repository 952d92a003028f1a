"""Every row of the registry can be compiled, with its derivative."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course.primitive import FUNCTIONS, PRIMITIVES
from tinygrad_course.protocols import load_all

load_all()
SAMPLES = 2
"""Samples of each row; every further one would take the suite a minute."""

ROWS = [name for name, row in PRIMITIVES.items() if not row.effect]


def flat(result):
    """Return the leaves of nested results."""
    if isinstance(result, tuple | list):
        return [leaf for part in result for leaf in flat(part)]
    return [result]


def samples(name):
    """Return some samples of a row, from all over its list, with arrays for numbers."""
    every = list(PRIMITIVES[name].samples(np.random.default_rng(0)))
    for inputs, params in itertools.islice(every[:: max(1, len(every) // SAMPLES)], SAMPLES):
        yield [np.asarray(x) if isinstance(x, float | np.generic) else x for x in inputs], params


def step_of(name, params):
    """Return a function that gives the row's results and the gradients of a loss of them."""
    row, function = PRIMITIVES[name], FUNCTIONS[name]

    def step(*arrays):
        tensors = [
            tc.Tensor(x, requires_grad=row.differentiable and x.dtype.kind in "fc")
            if hasattr(x, "dtype")
            else x
            for x in arrays
        ]
        results = flat(function(*tensors, **params))
        wanted = [r for r in results if isinstance(r, tc.Tensor) and r.requires_grad]
        if wanted:
            sum((weights(r.shape) * tc.real(r)).sum() for r in wanted).backward()
        grads = [t.grad for t in tensors if isinstance(t, tc.Tensor)]
        return [r.detach() if isinstance(r, tc.Tensor) else r for r in results], grads

    return step


def weights(shape):
    return np.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_replayed_with_its_derivative(name):
    """Values and gradients of the second replay are the eager ones, within the last digits."""
    for arrays, params in samples(name):
        step = step_of(name, params)
        with np.errstate(all="ignore"):
            try:
                expected = step(*arrays)
            except (ValueError, TypeError, ArithmeticError):
                continue  # a sample at which this loss has no derivative
            compiled = tc.compile(step)
            compiled(*arrays)
            found = compiled(*arrays)
        for ours, theirs in zip(flat(list(found)), flat(list(expected)), strict=True):
            if theirs is None:
                assert ours is None
                continue
            a, b = (
                np.asarray(getattr(ours, "data", ours)),
                np.asarray(getattr(theirs, "data", theirs)),
            )
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-300)
