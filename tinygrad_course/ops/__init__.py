"""The primitives, one statement each; importing this package fills the registry."""

from tinygrad_course.ops.activations import *
from tinygrad_course.ops.arithmetic import *
from tinygrad_course.ops.bessel import *
from tinygrad_course.ops.choices import *
from tinygrad_course.ops.complexes import *
from tinygrad_course.ops.constants import *
from tinygrad_course.ops.contraction import *
from tinygrad_course.ops.conversion import *
from tinygrad_course.ops.cumulative import *
from tinygrad_course.ops.effects import *
from tinygrad_course.ops.exponentials import *
from tinygrad_course.ops.fused import *
from tinygrad_course.ops.indexing import *
from tinygrad_course.ops.joining import *
from tinygrad_course.ops.missing import *
from tinygrad_course.ops.ordering import *
from tinygrad_course.ops.padding import *
from tinygrad_course.ops.parts import *
from tinygrad_course.ops.picking import *
from tinygrad_course.ops.powers import *
from tinygrad_course.ops.ranges import *
from tinygrad_course.ops.reduction import *
from tinygrad_course.ops.shaping import *
from tinygrad_course.ops.statistics import *
from tinygrad_course.ops.trigonometry import *
