"""The shape of the code itself: who imports whom, and what every test says."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "tinygrad_course": "tinygrad_course",
    "tinygrad_course.nn": "nn",
    "tinygrad_course.optim": "optim",
    "tinygrad_course.viz": "viz",
}

LAYERS = [
    {"errors"},
    {"buffers", "files", "kernels", "memory", "random", "threads"},
    {"graph"},
    {"primitive"},
    {"ops"},
    {"inplace"},
    {"functions"},
    {"linalg", "fft", "special"},
    {"protocols"},
    {"tensor"},
    {"debugging", "nested"},
    {"calls"},
    {"checkpointing", "transforms"},
    {"checking", "replay"},
    {"nn", "optim", "viz"},
    {"data"},
    {"training"},
    {"report", "targets", "pytest_plugin"},
    {"commands"},
    {"cli"},
]
"""A module imports from layers above its own in this list, never from below."""

FACADE_USERS = {"commands"}
LATE_IMPORTERS = {"tinygrad_course.cli", "tinygrad_course.pytest_plugin"}
"""They start before it is known whether the rest is needed, or even installed."""

SLOW_OR_OPTIONAL = {"sklearn", "matplotlib", "PIL", "safetensors", "pygraphviz", "scipy"}


def sources():
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            module = ".".join((package, *path.relative_to(ROOT / folder).with_suffix("").parts))
            yield module.removesuffix(".__init__"), path


def layer_of(module):
    part = module.split(".")[1]
    return next(i for i, names in enumerate(LAYERS) if part in names)


def imports(tree):
    """Yield (imported module, whether it happens inside a function)."""
    nested = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in nested
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import makes a second copy of a class"
            yield node.module, id(node) in nested
            if node.module == "tinygrad_course":
                for alias in node.names:
                    yield f"tinygrad_course.{alias.name}", id(node) in nested


@pytest.mark.parametrize(("module", "path"), [pytest.param(m, p, id=m) for m, p in sources()])
def test_imports_point_downward(module, path):
    """No module imports a layer above its own, a sibling of nn/optim/viz, or the façade."""
    if module == "tinygrad_course":
        return
    own = layer_of(module)
    for name, inside in imports(ast.parse(path.read_text(encoding="utf-8"))):
        if inside:
            allowed = name.split(".")[0] in SLOW_OR_OPTIONAL or module in LATE_IMPORTERS
            assert allowed, f"{name} is imported inside a function"
        if not name.startswith("tinygrad_course"):
            continue
        if name == "tinygrad_course":
            continue  # its names follow one by one
        part = name.split(".")[1]
        if not any(part in names for names in LAYERS):
            assert module.split(".")[1] in FACADE_USERS, f"{module} imports the façade"
            continue
        theirs = layer_of(name)
        same_package = module.split(".")[1] == part
        assert theirs < own or same_package, f"{module} imports {name}"


def test_no_module_is_named_like_a_function_of_the_facade():
    """Importing a submodule never overwrites a function of the same name."""
    import tinygrad_course as tc

    files = {path.stem for module, path in sources() if module.count(".") == 1}
    packages = {"errors", "fft", "linalg", "nn", "optim", "special", "viz"}
    assert not (files & set(tc.__all__)) - packages


def test_no_class_exists_twice():
    """nn, optim and viz are imported as parts of the package and not as top-level copies."""
    import tinygrad_course

    assert tinygrad_course.nn.Module.__module__ == "tinygrad_course.nn.module"
    for name in ("nn", "optim", "viz"):
        assert (
            name not in sys.modules or sys.modules[name] is sys.modules[f"tinygrad_course.{name}"]
        )


TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem) for p in TESTS])
def test_every_test_says_what_must_hold(path):
    """Each test function has a docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_the_changelog_names_the_version():
    """The version of the package has its section in the changelog."""
    import tinygrad_course

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{tinygrad_course.__version__}]" in text
    assert f'version = "{tinygrad_course.__version__}"' in (ROOT / "pyproject.toml").read_text()
