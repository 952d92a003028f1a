"""tinygrad_course: the same training steps, replayed as straight-line NumPy by tc.compile."""

from implementations import ours

import tinygrad_course as tc

VERSION = ours.VERSION


def make(workload, data):
    return ours.make(workload, data, tc.compile)
