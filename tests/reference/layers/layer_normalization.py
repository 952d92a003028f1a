"""Layers that normalize each example by itself."""

from reference.cases import Case

CASES = {
    "layer norm": Case(lambda nn, d: nn.LayerNorm(5, dtype=d), ((4, 5),)),
    "layer norm, two axes": Case(lambda nn, d: nn.LayerNorm((3, 4), dtype=d), ((2, 3, 4),)),
    "layer norm, sequences": Case(lambda nn, d: nn.LayerNorm(4, 0.1, dtype=d), ((2, 3, 4),)),
    "layer norm, no bias": Case(lambda nn, d: nn.LayerNorm(5, bias=False, dtype=d), ((4, 5),)),
    "layer norm, not affine": Case(
        lambda nn, d: nn.LayerNorm(5, elementwise_affine=False), ((4, 5),)
    ),
    "rms norm": Case(lambda nn, d: nn.RMSNorm(5, dtype=d), ((4, 5),)),
    "rms norm, two axes and eps": Case(
        lambda nn, d: nn.RMSNorm([3, 4], eps=0.1, dtype=d), ((2, 3, 4),)
    ),
    "rms norm, not affine": Case(lambda nn, d: nn.RMSNorm(5, elementwise_affine=False), ((4, 5),)),
    "group norm": Case(lambda nn, d: nn.GroupNorm(2, 6, dtype=d), ((3, 6),)),
    "group norm, images": Case(lambda nn, d: nn.GroupNorm(2, 4, 0.1, dtype=d), ((2, 4, 3, 2),)),
    "group norm, no bias": Case(
        lambda nn, d: nn.GroupNorm(2, 4, bias=False, dtype=d), ((2, 4, 3),)
    ),
    "group norm, one group": Case(lambda nn, d: nn.GroupNorm(1, 3, dtype=d), ((2, 3, 4),)),
    "group norm, not affine": Case(lambda nn, d: nn.GroupNorm(3, 6, affine=False), ((3, 6, 2),)),
    "instance norm 1d": Case(lambda nn, d: nn.InstanceNorm1d(3), ((2, 3, 5),)),
    "instance norm 1d, one example": Case(
        lambda nn, d: nn.InstanceNorm1d(3, affine=True, dtype=d), ((3, 5),)
    ),
    "instance norm 2d": Case(
        lambda nn, d: nn.InstanceNorm2d(2, affine=True, dtype=d), ((2, 2, 3, 2),)
    ),
    "instance norm 2d, running averages": Case(
        lambda nn, d: nn.InstanceNorm2d(2, 0.1, 0.3, True, True, dtype=d), ((2, 2, 3, 2),)
    ),
}
