"""Modules, layers, losses, initializers and their state, with PyTorch's names."""

from tinygrad_course.nn import functional, init
from tinygrad_course.nn.layers import (
    BatchNorm,
    BatchNorm1d,
    Dropout,
    Flatten,
    Identity,
    LeakyReLU,
    Linear,
    LogSoftmax,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from tinygrad_course.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from tinygrad_course.nn.module import Module
from tinygrad_course.nn.parameter import Buffer, Parameter, default_dtype, set_default_dtype
from tinygrad_course.nn.state import load, load_metadata, save

__all__ = [
    "BCEWithLogitsLoss",
    "BatchNorm",
    "BatchNorm1d",
    "Buffer",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "default_dtype",
    "functional",
    "init",
    "load",
    "load_metadata",
    "save",
    "set_default_dtype",
]
