"""Differentiable functions with NumPy's names and signatures, written in the primitives.

Arrays give arrays, Tensors give recorded Tensors. Words are NumPy's (`axis`, `keepdims`);
``tinygrad_course.nn.functional`` speaks PyTorch's. A primitive whose own arguments are NumPy's
already is here as it is.
"""

from tinygrad_course.functions import choices, products, reductions, shapes
from tinygrad_course.functions.choices import *
from tinygrad_course.functions.products import *
from tinygrad_course.functions.reductions import *
from tinygrad_course.functions.shapes import *
from tinygrad_course.functions.words import speaks
from tinygrad_course.ops import elementwise
from tinygrad_course.ops.contraction import inv, linear, matmul, slogdet
from tinygrad_course.ops.effects import assign
from tinygrad_course.ops.elementwise import *
from tinygrad_course.ops.fused import batch_norm, logistic_loss, softmax_cross_entropy

PUBLIC = [
    *choices.__all__,
    *products.__all__,
    *reductions.__all__,
    *shapes.__all__,
    *(name for name in elementwise.__all__ if name != "clip_to"),
    "assign",
    "batch_norm",
    "inv",
    "linear",
    "logistic_loss",
    "matmul",
    "slogdet",
    "softmax_cross_entropy",
]
"""The names that the package itself offers."""

__all__ = [*PUBLIC, "speaks"]
