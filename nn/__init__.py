"""Modules, layers, losses, initializers and their state, with PyTorch's names."""

from tinygrad_course.nn import (
    activations,
    attention,
    containers,
    convolution,
    dropout,
    embedding,
    functional,
    init,
    layer_normalization,
    linear,
    losses,
    margins,
    normalization,
    pooling,
    recurrent,
    regularization,
    summaries,
)
from tinygrad_course.nn.activations import *
from tinygrad_course.nn.attention import *
from tinygrad_course.nn.containers import *
from tinygrad_course.nn.convolution import *
from tinygrad_course.nn.dropout import *
from tinygrad_course.nn.embedding import *
from tinygrad_course.nn.layer_normalization import *
from tinygrad_course.nn.linear import *
from tinygrad_course.nn.losses import *
from tinygrad_course.nn.margins import *
from tinygrad_course.nn.module import Module
from tinygrad_course.nn.normalization import *
from tinygrad_course.nn.parameter import Buffer, Parameter, default_dtype, set_default_dtype
from tinygrad_course.nn.pooling import *
from tinygrad_course.nn.recurrent import *
from tinygrad_course.nn.regularization import *
from tinygrad_course.nn.state import load, load_metadata, save
from tinygrad_course.nn.summaries import *

__all__ = [
    *activations.__all__,
    *attention.__all__,
    *containers.__all__,
    *convolution.__all__,
    *dropout.__all__,
    *embedding.__all__,
    *layer_normalization.__all__,
    *linear.__all__,
    *losses.__all__,
    *margins.__all__,
    *normalization.__all__,
    *pooling.__all__,
    *recurrent.__all__,
    *regularization.__all__,
    *summaries.__all__,
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
