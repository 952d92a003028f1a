"""Layers and losses as functions, with PyTorch's names and words (`dim`, `reduction`)."""

from tinygrad_course.nn.functional import (
    activations,
    affine,
    attending,
    classification,
    convolution,
    distances,
    layer_normalization,
    lookup,
    losses,
    margins,
    noise,
    normalization,
    pooling,
)
from tinygrad_course.nn.functional.activations import *
from tinygrad_course.nn.functional.affine import *
from tinygrad_course.nn.functional.attending import *
from tinygrad_course.nn.functional.classification import *
from tinygrad_course.nn.functional.convolution import *
from tinygrad_course.nn.functional.distances import *
from tinygrad_course.nn.functional.layer_normalization import *
from tinygrad_course.nn.functional.lookup import *
from tinygrad_course.nn.functional.losses import *
from tinygrad_course.nn.functional.margins import *
from tinygrad_course.nn.functional.noise import *
from tinygrad_course.nn.functional.normalization import *
from tinygrad_course.nn.functional.pooling import *

__all__ = [
    *activations.__all__,
    *affine.__all__,
    *attending.__all__,
    *classification.__all__,
    *convolution.__all__,
    *distances.__all__,
    *layer_normalization.__all__,
    *lookup.__all__,
    *losses.__all__,
    *margins.__all__,
    *noise.__all__,
    *normalization.__all__,
    *pooling.__all__,
]
