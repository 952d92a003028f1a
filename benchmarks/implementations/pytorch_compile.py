"""PyTorch with torch.compile for loss and update, which needs a C++ compiler."""

import shutil

import torch
from implementations import pytorch
from implementations.unavailable import UnavailableError
from torch import nn

VERSION = pytorch.VERSION
set_threads = torch.set_num_threads

if not (shutil.which("g++") or shutil.which("clang++")):
    raise UnavailableError("torch.compile needs a C++ compiler")


def training(kind):
    def make(data):
        torch._dynamo.reset()  # each network is compiled as in a fresh process
        X, Y = torch.from_numpy(data.images), torch.from_numpy(data.labels)
        batches = list(torch.from_numpy(data.batches))
        model = pytorch.MODELS[kind](data)
        criterion = nn.CrossEntropyLoss()
        optimizer = pytorch.OPTIMIZERS[kind](model.parameters(), lr=data.learning_rate)

        @torch.compile
        def loss_of(index):
            return criterion(model(X[index]), Y[index])

        update = torch.compile(optimizer.step)

        def step(i):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(batches[i % len(batches)])
            loss.backward()
            update()
            return (loss.item(),)

        return step

    return make


MAKERS = {kind: training(kind) for kind in pytorch.MODELS}
