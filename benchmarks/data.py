"""Inputs and starting weights, the same for every implementation.

Every worker process makes these for itself from fixed seeds, so nothing large crosses the pipes.
"""

import gzip
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

CLASSES = 10
PIXELS = 28 * 28
BATCHES = 1_000
LEARNING_RATE = 0.1
ADAM_RATE = 0.001


@dataclass(frozen=True)
class ChainData:
    a: object
    b: object
    start: object
    links: int


@dataclass(frozen=True)
class NetworkData:
    """`batches` holds one row of image indices per step; `weights` pairs of W (n_in, n_out), b.

    The kernels of convolutions have shape (outputs, inputs, 5, 5).
    """

    images: np.ndarray
    labels: np.ndarray
    batches: np.ndarray
    weights: list
    learning_rate: float
    dropout: float = 0.0


@dataclass(frozen=True)
class AdamData:
    parameters: list
    gradients: list
    learning_rate: float


@dataclass(frozen=True)
class ImageData:
    """`upstream` is the gradient of the result; `kernels` are those of a convolution, or None."""

    x: np.ndarray
    upstream: np.ndarray
    kernels: np.ndarray | None
    padding: int


def make_data(workload, folder=None, *, quiet=False):
    """Return the inputs of a workload; `folder` holds MNIST, else the images are synthetic.

    With `quiet` nothing is random: dropout has probability 0.
    """
    rng = np.random.default_rng(1)
    if workload.kind == "chain":
        return _chain(workload)
    if workload.kind == "adam":
        return _adam(workload, rng)
    if workload.kind in ("convolution", "pooling", "batch_norm"):
        return _image(workload, rng)
    images, labels = read_mnist(folder) if folder else synthetic_images(workload.images)
    weights = _lenet(workload, rng) if workload.kind == "lenet" else _dense(workload.sizes, rng)
    batches = rng.integers(len(images), size=(BATCHES, workload.batch))
    if workload.kind != "dropout":
        return NetworkData(images, labels, batches, weights, LEARNING_RATE)
    probability = 0.0 if quiet else workload.probability
    return NetworkData(images, labels, batches, weights, ADAM_RATE, probability)


def _chain(workload):
    if workload.size is None:
        return ChainData(0.999, 0.002, 1.0, workload.links)
    a = np.linspace(0.998, 0.9995, workload.size)
    return ChainData(a, np.full_like(a, 0.002), np.ones_like(a), workload.links)


def _adam(workload, rng):
    parameters = [normal(rng, shape) for shape in workload.shapes]
    return AdamData(parameters, [normal(rng, p.shape) for p in parameters], ADAM_RATE)


def _image(workload, rng):
    kernels = None
    if workload.kind == "convolution":
        kernels = normal(rng, workload.kernels) * np.float32(0.1)
    x, upstream = normal(rng, workload.shape), normal(rng, workload.result)
    return ImageData(x, upstream, kernels, workload.padding)


def normal(rng, shape):
    return rng.standard_normal(shape, dtype=np.float32)


def _dense(sizes, rng):
    pairs = pairwise(sizes)
    return [_layer(rng, (n_in, n_out), n_in, n_out) for n_in, n_out in pairs]


def _lenet(workload, rng):
    one, two = workload.channels
    k = workload.kernel
    return [
        _layer(rng, (one, 1, k, k), k * k, one),
        _layer(rng, (two, one, k, k), one * k * k, two),
        _layer(rng, (two * 16, workload.hidden), two * 16, workload.hidden),
        _layer(rng, (workload.hidden, CLASSES), workload.hidden, CLASSES),
    ]


def _layer(rng, shape, n_in, n_out):
    """Return weights by He et al. and a bias of zeros."""
    weights = (rng.standard_normal(shape) * np.sqrt(2 / n_in)).astype(np.float32)
    return weights, np.zeros(n_out, np.float32)


def synthetic_images(count):
    """Return noisy copies of ten sparse patterns, one per class.

    A fifth of the labels are drawn at random: a task that can be solved exactly would drive the
    probabilities into denormal numbers, whose slowness would then be measured.
    """
    rng = np.random.default_rng(0)
    patterns = rng.random((CLASSES, PIXELS)) * (rng.random((CLASSES, PIXELS)) < 0.2)
    classes = rng.integers(CLASSES, size=count)
    noise = rng.random((count, PIXELS)) * (rng.random((count, PIXELS)) < 0.1)
    images = np.minimum(patterns[classes] + noise, 1).astype(np.float32)
    labels = np.where(rng.random(count) < 0.2, rng.integers(CLASSES, size=count), classes)
    return images, labels


def read_mnist(folder):
    """Return the training images in [0, 1] and labels from the two gzipped IDX files."""
    pixels = _read_idx(Path(folder) / "train-images-idx3-ubyte.gz", header=16)
    labels = _read_idx(Path(folder) / "train-labels-idx1-ubyte.gz", header=8)
    return pixels.reshape(-1, PIXELS).astype(np.float32) / 255, labels.astype(np.int64)


def _read_idx(path, header):
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)
