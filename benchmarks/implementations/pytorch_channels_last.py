"""PyTorch with images whose channels lie side by side in memory, as its tuning guide advises."""

from functools import partial

import torch
from implementations import pytorch

VERSION = pytorch.VERSION
set_threads = torch.set_num_threads


def channels_last(model):
    return model.to(memory_format=torch.channels_last)


MAKERS = {
    "lenet": pytorch.training("lenet", prepare=channels_last),
    **{kind: partial(make, layout=torch.channels_last) for kind, make in pytorch.PARTS.items()},
}
