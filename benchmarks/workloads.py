"""What is measured: sizes, data and starting weights, the same for every implementation.

Every worker process makes these for itself from fixed seeds, so nothing large crosses the pipes.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLASSES = 10
PIXELS = 28 * 28
IMAGES = 10_000
BATCHES = 1_000
LEARNING_RATE = 0.1


@dataclass(frozen=True)
class Chain:
    """`links` times y = y*a + b, two operations each, on scalars or on vectors of `size`."""

    name: str
    links: int
    size: int | None

    kind = "chain"
    check_steps = 2  # a second step shows gradients that were not reset
    tolerance = 1e-9  # float64

    @property
    def title(self):
        what = "scalars" if self.size is None else f"vectors of {self.size}"
        return f"{2 * self.links} operations on {what}, float64, forward + backward"


@dataclass(frozen=True)
class Network:
    """One step of SGD on a ReLU network: gather a batch, loss value, backward, update."""

    name: str
    sizes: tuple[int, ...]
    batch: int
    images: int = IMAGES
    check_steps: int = 20

    kind = "network"
    tolerance = 1e-4  # float32, and each library adds up in its own order

    @property
    def title(self):
        return f"{list(self.sizes)}, batch {self.batch}, float32, one SGD step"


@dataclass(frozen=True)
class LeNet:
    """One step of SGD on two convolutions with pooling and two dense layers."""

    name: str
    batch: int
    channels: tuple[int, int] = (20, 40)
    hidden: int = 100
    images: int = IMAGES
    # Flat parts of an image give windows of equal elements, whose order rounding decides: from the
    # eighth step on, two libraries that are both right drift apart.
    check_steps: int = 5

    kind = "lenet"
    kernel = 5
    tolerance = 1e-4

    @property
    def title(self):
        one, two = self.channels
        return (
            f"LeNet: 5x5 convolutions to {one} and {two} channels, each with pooling, then "
            f"{self.hidden} and {CLASSES}, batch {self.batch}"
        )


@dataclass(frozen=True)
class Deep:
    """One step of SGD on many layers of equal size, each with batch normalization."""

    name: str
    layers: int
    size: int
    batch: int
    images: int = IMAGES
    # Such a net is chaotic: one rectifier that rounding switches moves the gradients of the first
    # layers by 3 %, so only the first loss can be compared.
    check_steps: int = 1

    kind = "deep"
    tolerance = 1e-3

    @property
    def sizes(self):
        return (PIXELS, *(self.size,) * self.layers, CLASSES)

    @property
    def title(self):
        return f"{self.layers} layers of {self.size} with batch norm, batch {self.batch}, float32"


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


FULL = (
    Chain("chain_scalar", 500, None),
    Chain("chain_10", 500, 10),
    Network("s", (PIXELS, 30, CLASSES), 10),
    Network("m", (PIXELS, 100, CLASSES), 64),
    Network("l", (PIXELS, 800, 800, CLASSES), 128),
    Deep("deep", 20, 100, 64),
    LeNet("lenet", 64),
)
SMOKE = (
    Chain("chain_scalar", 10, None),
    Chain("chain_10", 10, 10),
    Network("s", (PIXELS, 5, CLASSES), 4, images=100, check_steps=3),
    Network("m", (PIXELS, 8, CLASSES), 8, images=100, check_steps=3),
    Network("l", (PIXELS, 16, 16, CLASSES), 16, images=100, check_steps=3),
    Deep("deep", 2, 8, 8, images=100, check_steps=2),
    LeNet("lenet", 4, channels=(2, 3), hidden=5, images=100, check_steps=3),
)
GRAPH_NODES = (1_000, 10_000, 100_000, 1_000_000)
SMOKE_GRAPH_NODES = (100, 1_000)


def find(name, *, smoke):
    return next(w for w in (SMOKE if smoke else FULL) if w.name == name)


def make_data(workload, folder=None):
    """Return the inputs of a workload; `folder` holds MNIST, else the images are synthetic."""
    if workload.kind == "chain":
        return _chain_data(workload)
    rng = np.random.default_rng(1)
    images, labels = read_mnist(folder) if folder else synthetic_images(workload.images)
    if workload.kind == "lenet":
        one, two = workload.channels
        k = workload.kernel
        weights = [
            _layer(rng, (one, 1, k, k), k * k, one),
            _layer(rng, (two, one, k, k), one * k * k, two),
            _layer(rng, (two * 16, workload.hidden), two * 16, workload.hidden),
            _layer(rng, (workload.hidden, CLASSES), workload.hidden, CLASSES),
        ]
    else:
        pairs = zip(workload.sizes, workload.sizes[1:], strict=False)
        weights = [_layer(rng, (n_in, n_out), n_in, n_out) for n_in, n_out in pairs]
    batches = rng.integers(len(images), size=(BATCHES, workload.batch))
    return NetworkData(images, labels, batches, weights, LEARNING_RATE)


def _layer(rng, shape, n_in, n_out):
    """Return weights by He et al. and a bias of zeros."""
    weights = (rng.standard_normal(shape) * np.sqrt(2 / n_in)).astype(np.float32)
    return weights, np.zeros(n_out, np.float32)


def _chain_data(workload):
    if workload.size is None:
        return ChainData(0.999, 0.002, 1.0, workload.links)
    a = np.linspace(0.998, 0.9995, workload.size)
    return ChainData(a, np.full_like(a, 0.002), np.ones_like(a), workload.links)


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
