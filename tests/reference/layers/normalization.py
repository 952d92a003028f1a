"""Layers that normalize."""

from reference.cases import Case

CASES = {
    "batch norm": Case(lambda nn, d: nn.BatchNorm1d(3, dtype=d), ((6, 3),)),
    "batch norm, 3-D input": Case(lambda nn, d: nn.BatchNorm1d(3, dtype=d), ((4, 3, 5),)),
    "batch norm, eps and momentum": Case(
        lambda nn, d: nn.BatchNorm1d(3, eps=0.1, momentum=0.3, dtype=d), ((6, 3),)
    ),
    "batch norm, momentum=None": Case(
        lambda nn, d: nn.BatchNorm1d(3, momentum=None, dtype=d), ((6, 3),)
    ),
    "batch norm, affine=False": Case(
        lambda nn, d: nn.BatchNorm1d(3, affine=False, dtype=d), ((6, 3),)
    ),
    "batch norm, no bias": Case(lambda nn, d: nn.BatchNorm1d(3, bias=False, dtype=d), ((6, 3),)),
    "batch norm, no running averages": Case(
        lambda nn, d: nn.BatchNorm1d(3, track_running_stats=False, dtype=d), ((6, 3),)
    ),
    "batch norm, no state at all": Case(
        lambda nn, d: nn.BatchNorm1d(3, affine=False, track_running_stats=False, dtype=d),
        ((6, 3),),
    ),
    "batch norm 2d": Case(lambda nn, d: nn.BatchNorm2d(3, dtype=d), ((2, 3, 2, 3),)),
    "batch norm 2d, eps and momentum": Case(
        lambda nn, d: nn.BatchNorm2d(2, eps=0.1, momentum=0.3, dtype=d), ((3, 2, 2, 2),)
    ),
    "batch norm 2d, momentum=None, no weights": Case(
        lambda nn, d: nn.BatchNorm2d(2, momentum=None, affine=False, dtype=d), ((1, 2, 3, 2),)
    ),
    "batch norm 2d after a convolution": Case(
        lambda nn, d: nn.Sequential(
            nn.Conv2d(1, 2, 2, bias=False, dtype=d), nn.BatchNorm2d(2, dtype=d), nn.Tanh()
        ),
        ((2, 1, 3, 4),),
    ),
}
