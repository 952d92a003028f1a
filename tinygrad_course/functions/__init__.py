"""Differentiable functions with NumPy's names and signatures, written in the primitives.

Arrays give arrays, Tensors give recorded Tensors. Words are NumPy's (`axis`, `keepdims`);
``tinygrad_course.nn.functional`` speaks PyTorch's. A primitive whose own arguments are NumPy's
already is here as it is.
"""

from tinygrad_course.functions import (
    choices,
    elementwise,
    joining,
    ordering,
    picking,
    products,
    ranges,
    reductions,
    shapes,
    statistics,
    writing,
)
from tinygrad_course.functions.choices import *
from tinygrad_course.functions.elementwise import *
from tinygrad_course.functions.joining import *
from tinygrad_course.functions.ordering import *
from tinygrad_course.functions.picking import *
from tinygrad_course.functions.products import *
from tinygrad_course.functions.ranges import *
from tinygrad_course.functions.reductions import *
from tinygrad_course.functions.shapes import *
from tinygrad_course.functions.statistics import *
from tinygrad_course.functions.words import speaks
from tinygrad_course.functions.writing import *
from tinygrad_course.ops import (
    activations,
    arithmetic,
    bessel,
    complexes,
    constants,
    conversion,
    exponentials,
    parts,
    powers,
    trigonometry,
)
from tinygrad_course.ops.activations import *
from tinygrad_course.ops.arithmetic import *
from tinygrad_course.ops.batch_normalization import batch_norm
from tinygrad_course.ops.bessel import *
from tinygrad_course.ops.choices import fmax, fmin, heaviside, maximum, minimum
from tinygrad_course.ops.complexes import *
from tinygrad_course.ops.constants import *
from tinygrad_course.ops.conversion import *
from tinygrad_course.ops.effects import assign
from tinygrad_course.ops.exponentials import *
from tinygrad_course.ops.fused import logistic_loss, softmax_cross_entropy
from tinygrad_course.ops.parts import *
from tinygrad_course.ops.powers import *
from tinygrad_course.ops.trigonometry import *

_PARTS = {
    "astype_number",
    "astype_whole",
    "bessel_i",
    "direction",
    "float_power_of",
    "sign_of",
    "sinc_slope",
}
"""Rows that only other functions call."""

_ROWS = (
    activations,
    arithmetic,
    bessel,
    complexes,
    constants,
    conversion,
    exponentials,
    parts,
    powers,
    trigonometry,
)

PUBLIC = [
    *choices.__all__,
    *elementwise.__all__,
    *joining.__all__,
    *ordering.__all__,
    *picking.__all__,
    *products.__all__,
    *ranges.__all__,
    *reductions.__all__,
    *shapes.__all__,
    *statistics.__all__,
    *writing.__all__,
    *(name for module in _ROWS for name in module.__all__ if name not in _PARTS),
    "assign",
    "batch_norm",
    "fmax",
    "fmin",
    "heaviside",
    "logistic_loss",
    "maximum",
    "minimum",
    "softmax_cross_entropy",
]
"""The names that the package itself offers."""

__all__ = [*PUBLIC, "speaks"]
