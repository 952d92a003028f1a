"""Affine layers, those that only rearrange, and containers."""

from collections import OrderedDict

from reference.cases import Case

CASES = {
    "linear": Case(lambda nn, d: nn.Linear(4, 3, dtype=d), ((5, 4),)),
    "linear, no bias": Case(lambda nn, d: nn.Linear(4, 3, bias=False, dtype=d), ((5, 4),)),
    "linear, 3-D input": Case(lambda nn, d: nn.Linear(4, 3, dtype=d), ((2, 5, 4),)),
    "linear, 3-D input, no bias": Case(
        lambda nn, d: nn.Linear(4, 3, bias=False, dtype=d), ((2, 5, 4),)
    ),
    "flatten": Case(lambda nn, d: nn.Flatten(), ((3, 2, 2),)),
    "flatten, some axes": Case(lambda nn, d: nn.Flatten(0, 1), ((3, 2, 2),)),
    "unflatten": Case(lambda nn, d: nn.Unflatten(1, (2, -1)), ((3, 6),)),
    "unflatten, first axis": Case(lambda nn, d: nn.Unflatten(-3, (2, 2)), ((4, 3, 2),)),
    "bilinear": Case(lambda nn, d: nn.Bilinear(4, 3, 2, dtype=d), ((5, 4), (5, 3))),
    "bilinear, 3-D input, no bias": Case(
        lambda nn, d: nn.Bilinear(2, 3, 2, bias=False, dtype=d), ((2, 3, 2), (2, 3, 3))
    ),
    "identity": Case(lambda nn, d: nn.Identity(), ((4, 3),)),
    "sequential": Case(
        lambda nn, d: nn.Sequential(
            nn.Linear(4, 6, bias=False, dtype=d),
            nn.BatchNorm1d(6, dtype=d),
            nn.Tanh(),
            nn.Sequential(nn.Linear(6, 2, dtype=d), nn.LogSoftmax(dim=1)),
        ),
        ((8, 4),),
    ),
    "sequential, named": Case(
        lambda nn, d: nn.Sequential(
            OrderedDict(
                hidden=nn.Linear(4, 3, dtype=d), act=nn.Tanh(), out=nn.Linear(3, 2, dtype=d)
            )
        ),
        ((5, 4),),
    ),
}
