"""Optimizers with PyTorch's names, options and numbers."""

from tinygrad_course.optim.adaptive import Adam, RMSprop
from tinygrad_course.optim.optimizer import Optimizer
from tinygrad_course.optim.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer", "RMSprop"]
