"""The state of a model: loading with a clear difference, and files that are whole or not there."""

from __future__ import annotations

import io

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import (
    ArgumentError,
    DataError,
    FileError,
    ModifiedValueError,
    ShapeError,
)


def make(dtype=None):
    return nn.Sequential(
        nn.Linear(3, 2, dtype=dtype), nn.BatchNorm1d(2, dtype=dtype), nn.Linear(2, 1, dtype=dtype)
    )


def snapshot(model):
    return {name: array.copy() for name, array in model.state_dict().items()}


def same(first, second):
    """Assert that two states are equal bit for bit."""
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.dtype == second[name].dtype, name
        assert array.shape == second[name].shape, name
        assert array.tobytes() == second[name].tobytes(), name


@pytest.fixture
def model(rng):
    """A model whose running averages have moved."""
    model = make()
    model(rng.normal(size=(4, 3)))
    return model


def test_a_state_round_trip_is_bit_equal(model):
    """Another model that loads the state has the same bits, in memory of its own."""
    other = make()
    other.load_state_dict(model.state_dict())
    same(other.state_dict(), model.state_dict())
    for name, array in model.state_dict().items():
        assert not np.shares_memory(array, other.state_dict()[name])


def test_states_of_tensors_and_lists_load_too(model):
    """Values may be Tensors or nested lists; the dtype stays the model's."""
    state = {name: tc.Tensor(array) for name, array in snapshot(model).items()}
    state["0.weight"] = state["0.weight"].tolist()
    other = make(np.float64)
    other.load_state_dict(state)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)
    assert other[0].weight.dtype == np.float64


def test_loading_keeps_the_parameters_themselves(model):
    """The Parameter objects stay, so that optimizers made before go on with them."""
    other = make()
    before = list(other.parameters())
    other.load_state_dict(model.state_dict())
    assert all(a is b for a, b in zip(before, other.parameters(), strict=True))
    assert all(p.requires_grad for p in before)


def test_loading_between_forward_and_backward_is_noticed(model):
    """Backward refuses to use a weight that load_state_dict has overwritten."""
    out = model(np.ones((4, 3)) * np.arange(4)[:, None]).sum()
    model.load_state_dict(snapshot(make()))
    with pytest.raises(ModifiedValueError, match="linear"):
        out.backward()


@pytest.mark.parametrize(
    ("change", "error", "lines"),
    [
        (lambda s: s.pop("2.bias"), ArgumentError, ["missing      2.bias (1,)"]),
        (
            lambda s: s.update(extra=np.zeros((2, 1))),
            ArgumentError,
            ["not in model extra (2, 1)"],
        ),
        (
            lambda s: s.update({"0.weight": np.zeros((5, 3))}),
            ShapeError,
            ["other shape  0.weight: file (5, 3), model (2, 3)"],
        ),
        (
            lambda s: s.update(
                {"0.weight": np.zeros((2, 3, 1)), "x": np.zeros(1), "y": s.pop("2.bias")}
            ),
            ShapeError,
            [
                "other shape  0.weight: file (2, 3, 1), model (2, 3)",
                "missing      2.bias (1,)",
                "not in model x (1,)",
                "not in model y (1,)",
            ],
        ),
    ],
    ids=["missing", "extra", "misshapen", "all"],
)
def test_a_state_that_does_not_fit_changes_nothing(model, change, error, lines):
    """All differences are listed, a line each, and no value is touched."""
    before = snapshot(model)
    state = snapshot(make())
    change(state)
    with pytest.raises(error) as caught:
        model.load_state_dict(state)
    first, *rest = str(caught.value).splitlines()
    assert first == "Sequential.load_state_dict: the state does not fit the model:"
    assert [line.strip() for line in rest] == lines
    same(model.state_dict(), before)


@pytest.mark.parametrize("bad", [np.array(["a"]), np.array([None])])
def test_a_state_that_is_not_numbers_changes_nothing(model, bad):
    """An array that cannot become the parameter's dtype is refused before anything is written."""
    before = snapshot(model)
    with pytest.raises((ValueError, TypeError)):
        model.load_state_dict(snapshot(make()) | {"2.bias": bad})
    same(model.state_dict(), before)


def test_a_part_of_a_state_loads_when_that_is_meant(model):
    """strict=False takes the names that fit, leaves the others, and still refuses shapes."""
    before = snapshot(model)
    model.load_state_dict({"0.bias": np.array([7.0, 8.0]), "other": np.zeros(9)}, strict=False)
    assert model[0].bias.data.tolist() == [7, 8]
    same({**model.state_dict(), "0.bias": before["0.bias"]}, before)
    with pytest.raises(ShapeError, match=r"0\.bias: file \(3,\), model \(2,\)"):
        model.load_state_dict({"0.bias": np.zeros(3)}, strict=False)


# ---- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_keep_every_bit(model, dtype, tmp_path):
    """State and metadata come back as they were, including nan, infinities and -0."""
    model = make().to(dtype)
    model[0].weight.data[...] = [[np.nan, np.inf, -0.0], [np.pi, np.finfo(dtype).tiny, -np.inf]]
    path = tmp_path / "model.safetensors"
    metadata = {"note": "größer ≤ 1\n", "json": '{"a": [1, 2]}', "": ""}
    nn.save(model.state_dict(), path, metadata)
    same(nn.load(path), model.state_dict())
    assert nn.load_metadata(path) == metadata
    nn.save(model.state_dict(), str(path))
    assert nn.load_metadata(str(path)) == {}


def test_a_loaded_state_can_be_written_to(tmp_path):
    """Loaded arrays are writable memory of their own."""
    path = tmp_path / "a.safetensors"
    nn.save({"w": np.ones(3)}, path)
    first, second = nn.load(path)["w"], nn.load(path)["w"]
    first[0] = 5
    assert second.tolist() == [1, 1, 1]
    path.unlink()
    assert first.tolist() == [5, 1, 1]


def test_arrays_of_any_layout_and_dtype_can_be_saved(tmp_path):
    """Transposed, strided, reversed, broadcast, empty and 0-d arrays come back in C order."""
    grid = np.arange(12.0).reshape(3, 4)
    arrays = {
        "transposed": grid.T,
        "fortran": np.asfortranarray(grid),
        "strided": grid[::2, 1::2],
        "reversed": grid[::-1, ::-1],
        "broadcast": np.broadcast_to(np.arange(3.0), (2, 3)),
        "empty": np.zeros((0, 3)),
        "scalar": np.array(7),
        "half": grid.astype(np.float16),
        "bytes": grid.astype(np.uint8),
        "truth": grid > 5,
        "swapped": grid.astype(">f8"),
        "tensor": tc.Tensor(grid).T,
    }
    nn.save(arrays, tmp_path / "a.safetensors")
    loaded = nn.load(tmp_path / "a.safetensors")
    assert loaded.keys() == arrays.keys()
    for name, array in loaded.items():
        expected = arrays[name].data if name == "tensor" else arrays[name]
        np.testing.assert_array_equal(array, expected, err_msg=name)
        assert array.flags.c_contiguous
        assert array.dtype == expected.dtype.newbyteorder("=")


def test_the_order_in_memory_does_not_reach_the_file(tmp_path):
    """Models whose weights lie differently in memory write identical bytes."""
    weight = np.arange(6.0).reshape(2, 3)
    for name, array in {"c": weight, "f": np.asfortranarray(weight)}.items():
        nn.save({"w": array}, tmp_path / name)
    assert (tmp_path / "c").read_bytes() == (tmp_path / "f").read_bytes()


def test_a_missing_file_is_named(tmp_path):
    """load and load_metadata say which file is not there."""
    for read in (nn.load, nn.load_metadata):
        with pytest.raises(DataError, match=r"no file .*gone\.safetensors"):
            read(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 8, 60, -1], ids="keep {}".format)
def test_a_truncated_file_is_refused(tmp_path, keep):
    """Whatever part of the file is missing, load names the file and gives nothing."""
    path = tmp_path / "model.safetensors"
    nn.save({"w": np.ones((10, 10))}, path)
    path.write_bytes(path.read_bytes()[:keep])
    for read in (nn.load, nn.load_metadata):
        with pytest.raises(DataError, match=r"model\.safetensors.*truncated"):
            read(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 something else", b"\x80\x04\x95pickle" * 9])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    """Zip archives and pickles are not opened as states."""
    path = tmp_path / "model.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"model\.npz.*another format"):
        nn.load(path)


def fail(*_arguments):
    raise OSError(28, "No space left on device")


class FullDisk(io.FileIO):
    write = fail


@pytest.mark.parametrize(
    ("step", "replacement"), [("os.fdopen", FullDisk), ("pathlib.Path.replace", fail)]
)
def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch, step, replacement):
    """Wherever the disk refuses, the old file is whole and no draft stays behind."""
    path = tmp_path / "model.safetensors"
    nn.save({"w": np.ones(3)}, path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(step, replacement)
        with pytest.raises(FileError, match="No space left"):
            nn.save({"w": np.zeros(3)}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    """Control-C while the file is moved into place leaves the old one and no draft."""
    path = tmp_path / "model.safetensors"
    nn.save({"w": np.ones(3)}, path)

    def interrupt(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            nn.save({"w": np.zeros(3)}, path)
    assert nn.load(path)["w"].tolist() == [1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    """Saving into a missing folder is an error of the file system with the folder's name."""
    with pytest.raises(FileError, match="nowhere"):
        nn.save({"w": np.ones(3)}, tmp_path / "nowhere" / "model.safetensors")


@pytest.mark.parametrize(
    "value", [np.ones(2) + 1j, np.array([None]), np.array(["a"])], ids=["complex", "object", "text"]
)
def test_what_a_file_cannot_hold_leaves_the_old_file(tmp_path, value):
    """An array that safetensors has no dtype for does not touch what was saved before."""
    path = tmp_path / "model.safetensors"
    nn.save({"w": np.ones(3)}, path)
    with pytest.raises(Exception, match="complex128|object|<U1|str"):
        nn.save({"w": value}, path)
    assert nn.load(path)["w"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("state", "metadata"),
    [
        ({"w": np.ones(2) + 1j}, None),
        ({"w": np.array([None])}, None),
        ({1: np.ones(2)}, None),
        ({"w": np.ones(2)}, {"epoch": 3}),
    ],
    ids=["complex", "object", "name", "metadata"],
)
def test_what_a_file_cannot_hold_is_explained(tmp_path, state, metadata):
    """The refusal is one of the project's errors and says which entry it is about."""
    with pytest.raises(tc.errors.TinygradCourseError):
        nn.save(state, tmp_path / "a.safetensors", metadata)


def test_an_empty_state_can_be_saved(tmp_path):
    """The state of a model without parameters comes back empty."""
    nn.save(nn.ReLU().state_dict(), tmp_path / "a.safetensors")
    assert nn.load(tmp_path / "a.safetensors") == {}
