"""What is measured: names and sizes."""

from dataclasses import dataclass
from itertools import pairwise

from data import CLASSES, PIXELS

IMAGES = 10_000


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
        hidden = len(self.sizes) - 2
        sizes = list(self.sizes) if hidden < 5 else f"{hidden} layers of {self.sizes[1]}"
        return f"{sizes}, batch {self.batch}, float32, one SGD step"


@dataclass(frozen=True)
class Dropout:
    """One step of Adam on a ReLU network with dropout.

    Every library draws other masks. So the exact comparison has dropout switched off, and with
    dropout the losses of `noisy_steps` steps are compared in the mean: the batches are the same.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    images: int = IMAGES
    check_steps: int = 10
    noisy_steps: int = 50
    probability: float = 0.5

    kind = "dropout"
    tolerance = 1e-4
    noisy_tolerance = 0.1

    @property
    def title(self):
        return (
            f"{list(self.sizes)}, dropout {self.probability}, batch {self.batch}, float32, "
            f"one Adam step"
        )


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
class Adam:
    """One step of Adam for parameters of these shapes, whose gradients are there already."""

    name: str
    shapes: tuple[tuple[int, ...], ...]

    kind = "adam"
    check_steps = 3
    tolerance = 1e-5

    @property
    def title(self):
        return f"Adam on {len(self.shapes)} float32 arrays, {self.count:,} elements in all"

    @property
    def count(self):
        return sum(product(shape) for shape in self.shapes)


@dataclass(frozen=True)
class Convolution:
    """Forward and both gradients of a convolution of images (m, channels, rows, columns)."""

    name: str
    shape: tuple[int, int, int, int]
    outputs: int
    size: int
    padding: int = 0

    kind = "convolution"
    check_steps = 2
    tolerance = 1e-4

    @property
    def kernels(self):
        return (self.outputs, self.shape[1], self.size, self.size)

    @property
    def result(self):
        m, _, *places = self.shape
        return (m, self.outputs, *(n + 2 * self.padding - self.size + 1 for n in places))

    @property
    def title(self):
        around = f", padding {self.padding}" if self.padding else ""
        return (
            f"convolution of {times(self.shape)} to {self.outputs} channels by "
            f"{self.size}x{self.size}{around}, forward + both gradients"
        )


@dataclass(frozen=True)
class Pooling:
    """Forward and backward of 2x2 max pooling."""

    name: str
    shape: tuple[int, int, int, int]

    kind = "pooling"
    padding = 0
    check_steps = 2
    tolerance = 1e-6

    @property
    def result(self):
        return (*self.shape[:2], *(n // 2 for n in self.shape[2:]))

    @property
    def title(self):
        return f"2x2 max pooling of {times(self.shape)}, forward + gradient"


@dataclass(frozen=True)
class BatchNorm:
    """Forward and backward of batch normalization of images in training."""

    name: str
    shape: tuple[int, int, int, int]

    kind = "batch_norm"
    padding = 0
    check_steps = 2
    tolerance = 1e-4

    @property
    def result(self):
        return self.shape

    @property
    def title(self):
        return f"batch normalization of {times(self.shape)}, forward + three gradients"


def product(numbers):
    result = 1
    for n in numbers:
        result *= n
    return result


def times(shape):
    return "x".join(map(str, shape))


def transformer(words, blocks, size):
    """Return the shapes of a transformer's parameters: 12 arrays a block, few of them large."""
    block = (
        *((3 * size, size), (3 * size,), (size, size), (size,)),
        *((4 * size, size), (4 * size,), (size, 4 * size), (size,)),
        *((size,),) * 4,
    )
    return ((words, size), *block * blocks)


def dense(*sizes):
    """Return the shapes of a dense network's parameters."""
    pairs = pairwise(sizes)
    return tuple(shape for n_in, n_out in pairs for shape in ((n_out, n_in), (n_out,)))


FULL = (
    Chain("chain_scalar", 500, None),
    Chain("chain_10", 500, 10),
    Network("s", (PIXELS, 30, CLASSES), 10),
    Network("m", (PIXELS, 100, CLASSES), 64),
    # From the twelfth step on JAX is 1e-4 away on MNIST, when rounding has switched a rectifier.
    Network("l", (PIXELS, 800, 800, CLASSES), 128, check_steps=10),
    Deep("deep", 20, 100, 64),
    Dropout("dropadam", (PIXELS, 800, CLASSES), 128),
    LeNet("lenet", 64),
    Adam("adam_1m", dense(784, 1024, 192, 10)),
    Adam("adam_10m", transformer(1024, 3, 512)),
    Convolution("conv_1", (64, 1, 28, 28), 20, 5),
    Convolution("conv_20", (64, 20, 12, 12), 40, 5),
    Convolution("conv_32", (64, 32, 28, 28), 64, 3),
    Convolution("conv_64", (128, 64, 14, 14), 64, 3),
    Pooling("pool", (64, 20, 24, 24)),
    BatchNorm("norm", (64, 20, 24, 24)),
)
SMOKE = (
    Chain("chain_scalar", 10, None),
    Chain("chain_10", 10, 10),
    Network("s", (PIXELS, 5, CLASSES), 4, images=100, check_steps=3),
    Network("m", (PIXELS, 8, CLASSES), 8, images=100, check_steps=3),
    Network("l", (PIXELS, 16, 16, CLASSES), 16, images=100, check_steps=3),
    Deep("deep", 2, 8, 8, images=100, check_steps=2),
    Dropout("dropadam", (PIXELS, 400, CLASSES), 32, images=100, check_steps=3),
    LeNet("lenet", 4, channels=(2, 3), hidden=5, images=100, check_steps=3),
    Adam("adam_1m", dense(784, 16, 10)),
    Adam("adam_10m", transformer(30, 2, 8)),
    Convolution("conv_1", (2, 1, 8, 8), 3, 5),
    Convolution("conv_20", (2, 3, 7, 6), 4, 5),
    Convolution("conv_32", (2, 3, 6, 6), 4, 3),
    Convolution("conv_64", (2, 4, 5, 5), 3, 3),
    Pooling("pool", (2, 3, 6, 4)),
    BatchNorm("norm", (3, 2, 4, 4)),
)
MEMORY = Network("memory", (PIXELS, *(512,) * 50, CLASSES), 512)
SMOKE_MEMORY = Network("memory", (PIXELS, *(8,) * 5, CLASSES), 8, images=100)
GRAPH_NODES = (1_000, 10_000, 100_000, 1_000_000)
SMOKE_GRAPH_NODES = (100, 1_000)
NAMES = tuple(w.name for w in FULL)
COMPILED_NETWORKS = ("s", "m", "l", "deep")  # whose first call is timed


def find(name, *, smoke):
    if name == "memory":
        return SMOKE_MEMORY if smoke else MEMORY
    return next(w for w in (SMOKE if smoke else FULL) if w.name == name)
