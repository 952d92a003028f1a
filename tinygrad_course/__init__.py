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
from tinygrad_course.functions import (
    all,  # noqa: A004 - NumPy's names, on purpose
    any,  # noqa: A004
    argmax,
    argmin,
    broadcast_to,
    clip,
    concatenate,
    dot,
    expand_dims,
    log_softmax,
    logsumexp,
    max,  # noqa: A004
    mean,
    min,  # noqa: A004
    ravel,
    reshape,
    softmax,
    split,
    squeeze,
    stack,
    sum,  # noqa: A004
    swapaxes,
    transpose,
    var,
)
from tinygrad_course.graph import enable_grad, no_grad
from tinygrad_course.nn import set_default_dtype
from tinygrad_course.numerical import gradcheck, gradcheck_module
from tinygrad_course.ops import (
    abs,  # noqa: A004
    add,
    assign,
    astype,
    batch_norm,
    ceil,
    copy,
    cos,
    divide,
    equal,
    exp,
    floor,
    floor_divide,
    greater,
    greater_equal,
    inv,
    isfinite,
    isnan,
    leaky_relu,
    less,
    less_equal,
    linear,
    log,
    logical_and,
    logical_not,
    logical_or,
    logistic_loss,
    matmul,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    ones_like,
    power,
    relu,
    remainder,
    rint,
    sigmoid,
    sign,
    sin,
    slogdet,
    softmax_cross_entropy,
    softplus,
    sqrt,
    square,
    subtract,
    tanh,
    where,
    zeros_like,
)
from tinygrad_course.random import generator, seed
from tinygrad_course.tensor import Tensor, array
from tinygrad_course.transforms import gradients

if _TYPE_CHECKING:
    from tinygrad_course import viz

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import `viz` when it is first used: it takes a fifth of the import time."""
    if name == "viz":
        return _import_module("tinygrad_course.viz")
    raise AttributeError(f"module 'tinygrad_course' has no attribute {name!r}")


__all__ = [
    "Tensor",
    "__version__",
    "abs",
    "add",
    "all",
    "any",
    "argmax",
    "argmin",
    "array",
    "assign",
    "astype",
    "batch_norm",
    "broadcast_to",
    "ceil",
    "clip",
    "concatenate",
    "copy",
    "cos",
    "debug",
    "divide",
    "dot",
    "enable_grad",
    "equal",
    "errors",
    "exp",
    "expand_dims",
    "floor",
    "floor_divide",
    "generator",
    "gradcheck",
    "gradcheck_module",
    "gradients",
    "greater",
    "greater_equal",
    "inv",
    "isfinite",
    "isnan",
    "leaky_relu",
    "less",
    "less_equal",
    "linear",
    "log",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logistic_loss",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "multiply",
    "negative",
    "nn",
    "no_grad",
    "not_equal",
    "ones_like",
    "optim",
    "power",
    "ravel",
    "relu",
    "remainder",
    "reshape",
    "rint",
    "seed",
    "set_default_dtype",
    "sigmoid",
    "sign",
    "sin",
    "slogdet",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "subtract",
    "sum",
    "swapaxes",
    "tanh",
    "transpose",
    "var",
    "viz",
    "where",
    "zeros_like",
]
