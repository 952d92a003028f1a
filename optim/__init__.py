"""Optimizers and learning-rate schedules with PyTorch's names, options and numbers."""

from tinygrad_course.optim import lr_scheduler
from tinygrad_course.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from tinygrad_course.optim.adaptive import Adadelta, Adagrad, RMSprop
from tinygrad_course.optim.averages import EMA, ExponentialAverage
from tinygrad_course.optim.clipping import clip_grad_norm_, clip_grad_value_
from tinygrad_course.optim.lbfgs import LBFGS
from tinygrad_course.optim.lion import Lion
from tinygrad_course.optim.minimization import minimize
from tinygrad_course.optim.muon import Muon
from tinygrad_course.optim.optimizer import Optimizer
from tinygrad_course.optim.rprop import ASGD, Rprop
from tinygrad_course.optim.sgd import SGD

__all__ = [
    "ASGD",
    "EMA",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ExponentialAverage",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
    "minimize",
]
