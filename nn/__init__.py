"""Modules, layers, losses, initializers and their state, with PyTorch's names."""

from tinygrad_course.nn import (
    activations,
    containers,
    dropout,
    functional,
    init,
    linear,
    losses,
    normalization,
)
from tinygrad_course.nn.activations import *
from tinygrad_course.nn.containers import *
from tinygrad_course.nn.dropout import *
from tinygrad_course.nn.linear import *
from tinygrad_course.nn.losses import *
from tinygrad_course.nn.module import Module
from tinygrad_course.nn.normalization import *
from tinygrad_course.nn.parameter import Buffer, Parameter, default_dtype, set_default_dtype
from tinygrad_course.nn.state import load, load_metadata, save

__all__ = [
    *activations.__all__,
    *containers.__all__,
    *dropout.__all__,
    *linear.__all__,
    *losses.__all__,
    *normalization.__all__,
    "Buffer",
    "Module",
    "Parameter",
    "default_dtype",
    "functional",
    "init",
    "load",
    "load_metadata",
    "save",
    "set_default_dtype",
]
