"""Reading digits: the split, MNIST-format files, and what damaged files are told."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from tinygrad_course.data import Split, digits, minibatches, mnist, read_idx, read_images
from tinygrad_course.errors import ArgumentError, DataError


def write_idx(path, array, code=0x08, *, compress=False):
    """Write an array in IDX form, independently of the reader."""
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content) if compress else content)


@pytest.fixture
def folder(tmp_path):
    """A folder of MNIST-format files with 60 training and 12 test images of 4×4 pixels."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 60), ("t10k", 12)):
        images = rng.integers(0, 256, (n, 4, 4), dtype=np.uint8)
        labels = np.arange(n, dtype=np.uint8) % 3
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images, compress=True)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    return tmp_path


def test_digits_are_cut_the_same_way_every_time():
    """The parts are disjoint, complete, stratified, and do not depend on any state."""
    first, second = digits(), digits()
    np.testing.assert_array_equal(first.test.x, second.test.x)
    assert (len(first.train), len(first.dev), len(first.test)) == (1258, 180, 359)
    rows = np.concatenate([first.train.x, first.dev.x, first.test.x])
    assert rows.shape == (1797, 64)
    assert rows.dtype == np.float32
    for part in (first.train, first.dev, first.test):
        share = np.bincount(part.y, minlength=10) / len(part)
        assert share.min() > 0.08
        assert share.max() < 0.12


def test_the_training_set_alone_normalizes():
    """Training pixels get mean 0 and deviation 1; the other parts only nearly so."""
    data = digits()
    assert abs(data.train.x.mean()) < 1e-6
    assert abs(data.train.x.std() - 1) < 1e-6
    assert abs(data.test.x.mean()) > 1e-6


def test_mnist_files_are_read_plain_and_compressed(folder):
    """The last sixth of the training file becomes the development set."""
    data = mnist(folder)
    assert (len(data.train), len(data.dev), len(data.test)) == (50, 10, 12)
    assert data.image_shape == (4, 4)
    assert data.classes == 3
    raw = read_idx(folder / "t10k-images-idx3-ubyte.gz")
    np.testing.assert_allclose(
        data.test.x * data.std + data.mean, raw.reshape(12, 16), rtol=1e-5, atol=1e-3
    )


@pytest.mark.parametrize(("code", "dtype"), [(0x08, ">u1"), (0x0C, ">i4"), (0x0E, ">f8")])
def test_idx_dtypes_are_big_endian(tmp_path, code, dtype):
    """Numbers come back as written, whatever the byte order of the machine."""
    array = np.array([[1, 2, 3], [4, 5, 200]], dtype=dtype)
    write_idx(tmp_path / "file", array, code)
    np.testing.assert_array_equal(read_idx(tmp_path / "file"), array)


def test_a_missing_file_is_named(folder):
    """The message names the file and the folder."""
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte"):
        mnist(folder)
    with pytest.raises(DataError, match="no folder"):
        mnist(folder / "elsewhere")


@pytest.mark.parametrize("keep", [2, 10, 100])
def test_a_truncated_file_is_refused(folder, keep):
    """A file cut short anywhere gives an error and never wrong data."""
    path = folder / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[: -keep if keep < 10 else keep])
    if keep == 100:
        path.write_bytes(path.read_bytes()[:3])
    with pytest.raises(DataError, match="truncated|not an IDX"):
        mnist(folder)


def test_a_truncated_gzip_file_is_refused(folder):
    """Damage inside the compression is reported like any other."""
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="truncated"):
        mnist(folder)


def test_labels_must_belong_to_the_images(folder):
    """Different numbers of images and labels are refused."""
    write_idx(folder / "train-labels-idx1-ubyte", np.zeros(59, dtype=np.uint8))
    with pytest.raises(DataError, match=r"\(60, 4, 4\).*\(59,\)"):
        mnist(folder)


def test_images_to_classify_come_in_many_forms(tmp_path):
    """Arrays, text and pictures of the right size become rows of pixels."""
    image = np.arange(16.0).reshape(4, 4)
    np.save(tmp_path / "one.npy", image)
    np.save(tmp_path / "many.npy", np.stack([image, image]))
    np.savetxt(tmp_path / "rows.csv", image.reshape(1, -1), delimiter=",")
    write_idx(tmp_path / "idx", image.astype(np.uint8)[None])
    from PIL import Image

    Image.fromarray(image.astype(np.uint8)).save(tmp_path / "picture.png")
    for name, n in [
        ("one.npy", 1),
        ("many.npy", 2),
        ("rows.csv", 1),
        ("idx", 1),
        ("picture.png", 1),
    ]:
        pixels = read_images(tmp_path / name, (4, 4))
        assert pixels.shape == (n, 16)
        np.testing.assert_array_equal(pixels[0], image.ravel())


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01", b"not an array"])
def test_damaged_images_are_refused(tmp_path, content):
    """A file that is no array gives one clear error, and is never unpickled."""
    (tmp_path / "bad.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.npy"):
        read_images(tmp_path / "bad.npy", (4, 4))
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"object\.npy"):
        read_images(tmp_path / "object.npy", (4, 4))


def test_images_of_another_size_are_refused(tmp_path):
    """The message says both sizes."""
    np.save(tmp_path / "big.npy", np.zeros((28, 28)))
    with pytest.raises(DataError, match=r"\(28, 28\).*8×8"):
        read_images(tmp_path / "big.npy", (8, 8))


def test_minibatches_meet_every_example_once():
    """An epoch is a permutation; the short last batch is kept or dropped as asked."""
    data = Split(np.arange(10)[:, None], np.arange(10))
    rng = np.random.default_rng(0)
    batches = list(minibatches(data, 4, rng))
    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert sorted(np.concatenate([y for _, y in batches])) == list(range(10))
    assert all((x[:, 0] == y).all() for x, y in batches)
    assert [len(y) for _, y in minibatches(data, 4, rng, drop_last=True)] == [4, 4]
    assert list(np.concatenate([y for _, y in minibatches(data, 10, rng)])) != list(range(10))
    with pytest.raises(ArgumentError, match="at least 1"):
        next(minibatches(data, 0, rng))
