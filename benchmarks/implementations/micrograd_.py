"""micrograd: one Python object per number, so only the scalar chain."""

import sys
from importlib.metadata import version

from micrograd.engine import Value

VERSION = f"micrograd {version('micrograd')}"

sys.setrecursionlimit(10_000)  # its backward pass recurses once per node of the chain


def chain(data):
    a, b = Value(data.a), Value(data.b)

    def step(_i):
        a.grad = b.grad = 0
        y = Value(data.start)
        for _ in range(data.links):
            y = y * a + b
        y.backward()
        return y.data, a.grad, b.grad

    return step


MAKERS = {"chain_scalar": chain}
