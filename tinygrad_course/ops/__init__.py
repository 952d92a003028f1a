"""The primitives, one statement each; importing this package fills the registry."""

from tinygrad_course.ops.complexes import *
from tinygrad_course.ops.contraction import *
from tinygrad_course.ops.effects import *
from tinygrad_course.ops.elementwise import *
from tinygrad_course.ops.fused import *
from tinygrad_course.ops.indexing import *
from tinygrad_course.ops.reduction import *
from tinygrad_course.ops.shaping import *
