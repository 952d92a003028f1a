"""States on disk: safetensors files, written atomically and never executed when read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_course.errors import DataError, DtypeError
from tinygrad_course.files import write_atomically


def save(
    state: Mapping[str, Any],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays to a safetensors file, with optional text beside them.

    The file appears whole or not at all: it is written beside its place and then moved there.

    Args:
        state: arrays or Tensors by name, for instance ``model.state_dict()``.
        path: the file to write.
        metadata: text by name, for instance the architecture as JSON.

    Raises:
        DtypeError: an entry is not numbers under a text name, or the metadata are not text.
        FileError: the file cannot be written.

    Example:
        >>> import tempfile, pathlib
        >>> from tinygrad_course import nn
        >>> model = nn.Linear(2, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder) / "model.safetensors"
        ...     nn.save(model.state_dict(), file)
        ...     model.load_state_dict(nn.load(file))
    """
    from safetensors.numpy import save as serialize  # noqa: PLC0415 - slow to import, and only here

    arrays = {}
    for name, value in state.items():
        # Files hold C order, whatever the order in memory.
        array = np.asarray(getattr(value, "_data", value), order="C")
        if not isinstance(name, str) or array.dtype.kind not in "biuf":
            raise DtypeError(
                f"save: the entry {name!r} of dtype {array.dtype} cannot be stored; a file holds "
                f"real numbers and booleans under names that are text"
            )
        arrays[name] = array
    texts = {**(metadata or {}), **_FORMAT}
    for name, text in texts.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise DtypeError(f"save: the metadata {name!r} is not text; use json.dumps")
    write_atomically(path, serialize(arrays, texts))


_FORMAT = {"format": "np"}  # a file needs some metadata: one without arrays is unreadable otherwise


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the arrays of a safetensors file.

    Raises:
        DataError: the file is missing, truncated, or not a safetensors file.
    """
    return _open(path)[0]


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the text that was saved beside the arrays.

    Raises:
        DataError: the file is missing, truncated, or not a safetensors file.
    """
    texts = _open(path)[1]
    return {name: text for name, text in texts.items() if name not in _FORMAT}


def _open(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - slow to import, needed here alone

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - not a dict
    except FileNotFoundError as error:
        raise DataError(f"load: there is no file {os.fspath(path)!r}") from error
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"load: {os.fspath(path)!r} is not a whole safetensors file ({error}); "
            f"it may be truncated or of another format"
        ) from error
