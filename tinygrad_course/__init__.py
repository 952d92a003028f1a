"""Automatic differentiation that hides nothing: a computation graph on plain NumPy.

Every computation on a `Tensor` is recorded as a graph that you can walk, draw, check and
differentiate, to any order. ``nn``, ``optim`` and ``viz`` build on it.
"""

from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _find_spec("tinygrad_course.nn") is None:
    raise ImportError(
        "tinygrad_course: this is the source folder, without its parts nn, optim and viz beside "
        "it. Run `pip install -e .` in the repository, or start Python in another folder if the "
        "package is installed."
    )

from tinygrad_course import errors, nn, optim
from tinygrad_course.debugging import debug
from tinygrad_course.functions import *
from tinygrad_course.functions import PUBLIC as _PUBLIC
from tinygrad_course.graph import enable_grad, no_grad
from tinygrad_course.nn import set_default_dtype
from tinygrad_course.random import generator, seed
from tinygrad_course.tensor import Tensor, array

if _TYPE_CHECKING:
    from tinygrad_course import fft, linalg, special, viz
    from tinygrad_course.checking import (
        gradcheck,
        gradcheck_module,
        gradcheck_pair,
        gradcheck_steps,
        gradients_to_vector,
        parameters_to_vector,
        step_size_study,
        taylor_test,
        vector_to_parameters,
    )
    from tinygrad_course.checkpointing import checkpoint
    from tinygrad_course.replay import compile  # noqa: A004 - the word of the field
    from tinygrad_course.transforms import (
        elementwise_grad,
        grad,
        gradients,
        hessian,
        hvp,
        jacobian,
        jvp,
        value_and_grad,
        vjp,
    )

__version__ = "0.1.0"


_PARTS = ("fft", "linalg", "special", "viz")
_LATE = {
    "checking": (
        "gradcheck",
        "gradcheck_module",
        "gradcheck_pair",
        "gradcheck_steps",
        "gradients_to_vector",
        "parameters_to_vector",
        "step_size_study",
        "taylor_test",
        "vector_to_parameters",
    ),
    "checkpointing": ("checkpoint",),
    "replay": ("compile",),
    "transforms": (
        "elementwise_grad",
        "grad",
        "gradients",
        "hessian",
        "hvp",
        "jacobian",
        "jvp",
        "value_and_grad",
        "vjp",
    ),
}
_MODULES = {name: module for module, names in _LATE.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a part when it is first used: together they would take half of the import time."""
    if name in _PARTS:
        return _import_module(f"tinygrad_course.{name}")
    if name in _MODULES:
        return getattr(_import_module(f"tinygrad_course.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'tinygrad_course' has no attribute {name!r}")


__all__ = [
    *_PARTS,
    *_MODULES,
    *_PUBLIC,
    "Tensor",
    "__version__",
    "array",
    "debug",
    "enable_grad",
    "errors",
    "generator",
    "nn",
    "no_grad",
    "optim",
    "seed",
    "set_default_dtype",
]
