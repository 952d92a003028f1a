"""Layers and losses as functions, with PyTorch's names and words (`dim`, `reduction`)."""

from tinygrad_course.nn.functional import activations, affine, losses, noise, normalization
from tinygrad_course.nn.functional.activations import *
from tinygrad_course.nn.functional.affine import *
from tinygrad_course.nn.functional.losses import *
from tinygrad_course.nn.functional.noise import *
from tinygrad_course.nn.functional.normalization import *

__all__ = [
    *activations.__all__,
    *affine.__all__,
    *losses.__all__,
    *noise.__all__,
    *normalization.__all__,
]
