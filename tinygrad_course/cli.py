"""The entry point of ``tinygrad-course``: says what is missing when the extra is not installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec

NEEDED = {"typer": "typer", "rich": "rich", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}


def main() -> None:
    """Run the command line."""
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        print(  # noqa: T201 - a command line talks; rich may be what is missing
            f"tinygrad-course needs {', '.join(missing)}, which the extra `course` brings:\n"
            f"    {sys.executable} -m pip install 'tinygrad_course[course]'\n"
            f"(in a clone of the repository: pip install -e '.[course]')",
            file=sys.stderr,
        )
        raise SystemExit(1)
    from tinygrad_course.commands import run  # noqa: PLC0415 - needs the packages that were just looked for

    raise SystemExit(run())


if __name__ == "__main__":
    main()
