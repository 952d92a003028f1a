"""PyTorch with its fused Adam: one pass over all arrays, in C++."""

from functools import partial

import torch
from implementations import pytorch

VERSION = pytorch.VERSION
set_threads = torch.set_num_threads

fused = partial(torch.optim.Adam, fused=True)

MAKERS = {
    "dropout": pytorch.training("dropout", fused),
    "adam": partial(pytorch.adam, optimizer_class=fused),
}
