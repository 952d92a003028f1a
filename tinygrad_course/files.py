"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tinygrad_course.errors import FileError


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file so that nobody ever sees half of it: beside its place, then moved there.

    Text is written as UTF-8 with newlines as they are.

    Raises:
        FileError: the folder does not exist or cannot be written to.
    """
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise FileError(
            f"cannot write {target.name} into folder {str(target.parent)!r}: {error.strerror}"
        ) from error
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        beside.chmod(0o644)  # mkstemp's 0600 would hide the result from everybody else
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise FileError(f"cannot write {str(target)!r}: {error.strerror}") from error
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
