"""Gradient checking: is a derivative right, how sure is that, what is wrong, and where.

`gradcheck` is for functions of Tensors, `gradcheck_pair` and `gradcheck_steps` for gradients by
hand in plain NumPy, `gradcheck_module` for models. Source: lessons 12-14 of the notes.
"""

from tinygrad_course.checking.functions import check_primitive, gradcheck, gradcheck_pair
from tinygrad_course.checking.models import (
    gradcheck_module,
    gradients_to_vector,
    parameters_to_vector,
    vector_to_parameters,
)
from tinygrad_course.checking.report import (
    VERDICTS,
    Blame,
    Finding,
    GradcheckReport,
    InputRow,
    ng_reading,
    norm_ratio,
)
from tinygrad_course.checking.steps import gradcheck_steps
from tinygrad_course.checking.steps_report import StepsReport
from tinygrad_course.checking.taylor import CurveReport, step_size_study, taylor_test

__all__ = [
    "VERDICTS",
    "Blame",
    "CurveReport",
    "Finding",
    "GradcheckReport",
    "InputRow",
    "StepsReport",
    "check_primitive",
    "gradcheck",
    "gradcheck_module",
    "gradcheck_pair",
    "gradcheck_steps",
    "gradients_to_vector",
    "ng_reading",
    "norm_ratio",
    "parameters_to_vector",
    "step_size_study",
    "taylor_test",
    "vector_to_parameters",
]
