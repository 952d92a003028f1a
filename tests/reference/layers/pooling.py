"""Pooling."""

from reference.cases import Case


def kinked(build, *inputs):
    """Return a case that has no second derivatives everywhere."""
    return Case(build, inputs, smooth=False)


CASES = {
    "max pool 2d": kinked(lambda nn, d: nn.MaxPool2d(2), (2, 2, 4, 6)),
    "max pool 2d, one image": kinked(lambda nn, d: nn.MaxPool2d(2), (3, 4, 5)),
    "max pool 2d, overlapping": kinked(lambda nn, d: nn.MaxPool2d(3, 2), (2, 2, 7, 6)),
    "max pool 2d, padding": kinked(
        lambda nn, d: nn.MaxPool2d((3, 2), (2, 1), padding=(1, 1)), (2, 1, 5, 4)
    ),
    "max pool 2d, dilation": kinked(
        lambda nn, d: nn.MaxPool2d(2, 1, dilation=(2, 3)), (2, 1, 5, 6)
    ),
    "max pool 2d, ceil": kinked(lambda nn, d: nn.MaxPool2d(2, ceil_mode=True), (2, 1, 5, 3)),
    "max pool 2d, ceil, padding, stride": kinked(
        lambda nn, d: nn.MaxPool2d(3, 2, padding=1, ceil_mode=True), (1, 2, 6, 5)
    ),
    "max pool 2d, ceil, last window left out": kinked(
        lambda nn, d: nn.MaxPool2d(2, 3, padding=1, ceil_mode=True), (1, 1, 5, 7)
    ),
    "max pool 1d": kinked(lambda nn, d: nn.MaxPool1d(3, 2), (2, 2, 8)),
    "max pool 1d, padding, ceil": kinked(
        lambda nn, d: nn.MaxPool1d(2, 2, padding=1, ceil_mode=True), (2, 2, 6)
    ),
    "avg pool 2d": Case(lambda nn, d: nn.AvgPool2d(2), ((2, 2, 4, 6),)),
    "avg pool 2d, one image": Case(lambda nn, d: nn.AvgPool2d((2, 3)), ((3, 4, 6),)),
    "avg pool 2d, overlapping": Case(lambda nn, d: nn.AvgPool2d(3, 1), ((2, 1, 5, 4),)),
    "avg pool 2d, padding": Case(lambda nn, d: nn.AvgPool2d(3, 2, padding=1), ((2, 1, 5, 6),)),
    "avg pool 2d, padding not counted": Case(
        lambda nn, d: nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), ((2, 1, 5, 6),)
    ),
    "avg pool 2d, ceil": Case(
        lambda nn, d: nn.AvgPool2d(3, 2, padding=1, ceil_mode=True), ((2, 1, 6, 5),)
    ),
    "avg pool 2d, ceil, padding not counted": Case(
        lambda nn, d: nn.AvgPool2d(2, 2, padding=1, ceil_mode=True, count_include_pad=False),
        ((2, 1, 5, 4),),
    ),
    "avg pool 2d, divisor": Case(
        lambda nn, d: nn.AvgPool2d(2, divisor_override=3), ((2, 1, 4, 4),)
    ),
    "avg pool 1d": Case(lambda nn, d: nn.AvgPool1d(3, 2, padding=1), ((2, 2, 7),)),
    "avg pool 1d, ceil, padding not counted": Case(
        lambda nn, d: nn.AvgPool1d(3, 2, 1, ceil_mode=True, count_include_pad=False), ((2, 2, 6),)
    ),
    "adaptive avg pool 2d, to one": Case(lambda nn, d: nn.AdaptiveAvgPool2d(1), ((2, 3, 4, 5),)),
    "adaptive avg pool 2d, even": Case(lambda nn, d: nn.AdaptiveAvgPool2d((2, 3)), ((2, 2, 4, 6),)),
    "adaptive avg pool 2d, uneven": Case(
        lambda nn, d: nn.AdaptiveAvgPool2d((3, 2)), ((2, 2, 5, 7),)
    ),
    "adaptive avg pool 2d, larger than the image": Case(
        lambda nn, d: nn.AdaptiveAvgPool2d((None, 5)), ((1, 2, 3, 2),)
    ),
    "adaptive avg pool 2d, one image": Case(
        lambda nn, d: nn.AdaptiveAvgPool2d((2, 2)), ((2, 3, 5),)
    ),
    "adaptive avg pool 1d": Case(lambda nn, d: nn.AdaptiveAvgPool1d(3), ((2, 2, 8),)),
}
