"""What the machine allows: the matrix products of a step alone, and the copying of its memory.

A step on NumPy cannot be faster than its matrix products, nor one of Adam than 28 bytes per
parameter: reading parameter, gradient and both averages, and writing all but the gradient. Memory
is copied by as many threads as everybody has. Products of equal shape share their operands, which
helps deep networks: this is how fast BLAS multiplies, not how fast it reads what it multiplies.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from data import normal

VERSION = f"numpy {np.__version__}"
CHECKED = False  # there is nothing to compare

pool = None
count = 1


def set_threads(threads):
    global pool, count
    pool, count = ThreadPoolExecutor(threads), threads


def products(shapes):
    """Return a function that multiplies matrices of these shapes (m, k, n), as they lie best."""
    rng = np.random.default_rng(0)
    shapes = list(shapes)
    operands = {
        (m, k, n): (normal(rng, (m, k)), normal(rng, (k, n)), np.empty((m, n), np.float32))
        for m, k, n in set(shapes)
    }
    ready = [operands[shape] for shape in shapes]

    def run(_i):
        for a, b, out in ready:
            np.matmul(a, b, out=out)
        return (0.0,)

    return run


def of_layers(rows, weights, *, first=True):
    """Return the products of dense layers: forward, weights, and inputs but those of the first."""
    for k, W in enumerate(weights):
        n_in, n_out = W.shape
        yield rows, n_in, n_out
        yield n_in, rows, n_out
        if k or not first:
            yield rows, n_out, n_in


def of_kernels(x_shape, kernels, padding=0, *, first=False):
    """Return the products of a convolution as of a dense layer over all windows, image by image.

    A matrix of all windows would be as many times larger than the images as a kernel has places,
    and reading it is work that another algorithm need not do.
    """
    m, _, *places = x_shape
    outputs, _, size, _ = kernels.shape
    windows = np.prod([n + 2 * padding - size + 1 for n in places])
    W = kernels.reshape(outputs, -1).T
    return list(of_layers(int(windows), [W], first=first)) * m


def network(data):
    return products(of_layers(data.batches.shape[1], [W for W, _ in data.weights]))


def lenet(data):
    (K1, _), (K2, _), *rest = data.weights
    m = data.batches.shape[1]
    shapes = of_kernels((m, 1, 28, 28), K1, first=True) + of_kernels((m, len(K1), 12, 12), K2)
    return products([*shapes, *of_layers(m, [W for W, _ in rest], first=False)])


def dropout(data):
    multiply = network(data)
    copy = copying(28 * sum(p.size for layer in data.weights for p in layer))

    def run(i):
        copy(i)
        return multiply(i)

    return run


def convolution(data):
    return products(of_kernels(data.x.shape, data.kernels, data.padding))


def copying(traffic):
    """Return a function that reads and writes so many bytes together, among four equal arrays."""
    size = traffic // 28  # of the elements of each array; 3.5 copies of 4 bytes
    p, g, m, v = (np.zeros(size, np.float32) for _ in range(4))
    cuts = [slice(k * size // count, (k + 1) * size // count) for k in range(count)]

    def piece(s):
        np.copyto(m[s], p[s])
        np.copyto(v[s], g[s])
        np.copyto(p[s], m[s])
        middle = slice(s.start, (s.start + s.stop) // 2)
        np.copyto(v[middle], m[middle])

    def run(_i):
        if count == 1:
            piece(cuts[0])
        else:
            list(pool.map(piece, cuts))

    return run


def adam(data):
    return copying(28 * sum(p.size for p in data.parameters))


def pooling(data):
    """Read x and the gradient of the result, write the result and the gradient of x."""
    return copying(2 * (data.x.nbytes + data.upstream.nbytes))


def batch_norm(data):
    """Read x and write the result; read x and the gradient of the result, write that of x."""
    return copying(5 * data.x.nbytes)


MAKERS = {
    "network": network,
    "deep": network,
    "dropout": dropout,
    "lenet": lenet,
    "adam": adam,
    "convolution": convolution,
    "pooling": pooling,
    "batch_norm": batch_norm,
}
