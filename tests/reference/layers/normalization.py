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
    "batch norm, no running averages": Case(
        lambda nn, d: nn.BatchNorm1d(3, track_running_stats=False, dtype=d), ((6, 3),)
    ),
    "batch norm, no state at all": Case(
        lambda nn, d: nn.BatchNorm1d(3, affine=False, track_running_stats=False, dtype=d),
        ((6, 3),),
    ),
}
