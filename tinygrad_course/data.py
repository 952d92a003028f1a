"""Data sets of handwritten digits: scikit-learn's 8×8 digits, and MNIST-format files."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinygrad_course.errors import ArgumentError, DataError

SPLIT_SEED = 20170825
"""Fixes which digits are for testing, whatever the seed of the training run."""


@dataclass(frozen=True)
class Split:
    """Images as rows of floats, and their labels."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class ImageData:
    """A data set cut into training, development and test sets, normalized by the training set.

    ``x = (pixels - mean) / std``, with the mean and standard deviation over all training pixels;
    development and test sets use the same two numbers (lesson 9 of the notes).
    """

    name: str
    image_shape: tuple[int, int]
    classes: int
    mean: float
    std: float
    train: Split
    dev: Split
    test: Split


def digits() -> ImageData:
    """Return scikit-learn's 1,797 digits: 70 % for training, 10 % development, 20 % test.

    The cut is stratified by class and always the same.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415 - slow to import, and only in the extra `course`

    pixels, labels = load_digits(return_X_y=True)
    order = _stratified(labels, np.random.default_rng(SPLIT_SEED))
    first, second = round(0.7 * len(labels)), round(0.8 * len(labels))
    parts = [(pixels[i], labels[i]) for i in np.split(order, [first, second])]
    return _normalized("digits", (8, 8), parts)


def _stratified(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an order of the examples in which every stretch has all classes in proportion."""
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(place, kind="stable")


def _normalized(
    name: str, image_shape: tuple[int, int], parts: list[tuple[np.ndarray, np.ndarray]]
) -> ImageData:
    pixels = parts[0][0]
    mean, std = float(pixels.mean(dtype=np.float64)), float(pixels.std(dtype=np.float64))
    splits = [
        Split(((x.reshape(len(x), -1) - mean) / std).astype(np.float32), y.astype(np.int64))
        for x, y in parts
    ]
    classes = int(max(split.y.max() for split in splits)) + 1
    return ImageData(name, image_shape, classes, mean, std, *splits)


def mnist(folder: str | Path) -> ImageData:
    """Read MNIST-format files from a folder: IDX, plain or with .gz.

    The last sixth of the training file is the development set (for MNIST the last 10,000 of
    60,000, as in Nielsen's book).

    Raises:
        DataError: a file is missing, truncated, or does not belong to its labels.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"there is no folder {str(root)!r}; --data takes a folder of IDX files")
    found = {
        part: (_find(root, f"{part}-images-idx3-ubyte"), _find(root, f"{part}-labels-idx1-ubyte"))
        for part in ("train", "t10k")
    }
    train_x, train_y = _images_with_labels(*found["train"])
    test_x, test_y = _images_with_labels(*found["t10k"])
    if train_x.shape[1:] != test_x.shape[1:]:
        raise DataError(
            f"training images are {train_x.shape[1:]}, test images {test_x.shape[1:]} pixels"
        )
    cut = len(train_x) - max(len(train_x) // 6, 1)
    parts = [(train_x[:cut], train_y[:cut]), (train_x[cut:], train_y[cut:]), (test_x, test_y)]
    height, width = train_x.shape[1:]
    return _normalized("mnist", (int(height), int(width)), parts)


def _find(folder: Path, stem: str) -> Path:
    dotted = stem.replace("-idx", ".idx")  # the spelling that some archives unpack to
    names = [stem, f"{stem}.gz", dotted, f"{dotted}.gz"]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"folder {str(folder)!r} has no file {stem} (nor {stem}.gz)")


def _images_with_labels(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3 or y.ndim != 1 or len(x) != len(y) or not len(x):
        raise DataError(
            f"{images.name} has shape {x.shape} and {labels.name} {y.shape}; expected "
            f"(n, height, width) and (n,) with the same n > 0"
        )
    return x, y


_IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> np.ndarray:
    """Read one IDX file, plain or gzip: two zero bytes, dtype code, rank, sizes, then the data.

    Raises:
        DataError: the file is missing, truncated, or not in this format.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {str(file)!r}") from error
    except (OSError, EOFError) as error:  # gzip reports damage as either
        raise DataError(f"{file.name} cannot be read: {error}; it may be truncated") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_DTYPES:
        raise DataError(f"{file.name} is not an IDX file: it starts with {content[:4]!r}")
    dtype, rank = np.dtype(_IDX_DTYPES[content[2]]), content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(f"{file.name} is truncated inside its header")
    shape = struct.unpack(f">{rank}I", content[4:start])
    expected = start + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        raise DataError(
            f"{file.name} has {len(content)} bytes, but its header promises {expected} "
            f"for shape {shape}; it is {'truncated' if len(content) < expected else 'too long'}"
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def read_images(path: str | Path, image_shape: tuple[int, int]) -> np.ndarray:
    """Read images to classify: .npy, IDX, .csv or .txt (a flat image a row), or a picture file.

    Returns:
        Pixels of shape (n, height * width).

    Raises:
        DataError: the file is missing or damaged, or its images have another size.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"there is no file {str(file)!r}")
    suffix = file.suffix.lower()
    try:
        if suffix == ".npy":
            pixels: np.ndarray = np.load(file, allow_pickle=False)
        elif suffix in (".csv", ".txt"):
            pixels = np.loadtxt(file, delimiter="," if suffix == ".csv" else None, ndmin=2)
        elif suffix in (".png", ".jpg", ".jpeg", ".bmp"):
            from PIL import Image  # noqa: PLC0415 - only in the extra `course`, with Matplotlib

            with Image.open(file) as picture:
                pixels = np.asarray(picture.convert("L"))
        else:
            pixels = read_idx(file)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{file.name} cannot be read as images: {error}") from error
    height, width = image_shape
    if pixels.shape[-2:] == (height, width) and pixels.ndim in (2, 3):
        return pixels.reshape(-1, height * width)
    if pixels.shape[-1:] == (height * width,) and pixels.ndim in (1, 2):
        return pixels.reshape(-1, height * width)
    raise DataError(
        f"{file.name} has shape {pixels.shape}; this model classifies images of "
        f"{height}×{width} pixels: (n, {height}, {width}), ({height}, {width}) or "
        f"(n, {height * width})"
    )


def minibatches(
    data: Split, size: int, rng: np.random.Generator, *, drop_last: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the examples in random order, `size` at a time.

    Args:
        data: the examples.
        size: of a batch.
        rng: shuffles.
        drop_last: leave out a last, shorter batch.

    Raises:
        ArgumentError: the size is not positive.
    """
    if size < 1:
        raise ArgumentError(f"minibatches: the batch size must be at least 1, got {size}")
    order = rng.permutation(len(data))
    stop = len(data) - len(data) % size if drop_last else len(data)
    for start in range(0, stop, size):
        chosen = order[start : start + size]
        yield data.x[chosen], data.y[chosen]
