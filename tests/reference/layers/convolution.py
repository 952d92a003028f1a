"""Convolutions."""

from reference.cases import Case

CASES = {
    "conv2d": Case(lambda nn, d: nn.Conv2d(2, 3, 3, dtype=d), ((2, 2, 4, 5),)),
    "conv2d, one image": Case(lambda nn, d: nn.Conv2d(2, 3, 3, dtype=d), ((2, 5, 4),)),
    "conv2d, no bias": Case(lambda nn, d: nn.Conv2d(2, 2, 2, bias=False, dtype=d), ((1, 2, 3, 4),)),
    "conv2d, stride": Case(lambda nn, d: nn.Conv2d(1, 2, 3, stride=2, dtype=d), ((2, 1, 6, 7),)),
    "conv2d, wide kernel, two strides": Case(
        lambda nn, d: nn.Conv2d(2, 2, (1, 4), stride=(2, 3), dtype=d), ((1, 2, 4, 8),)
    ),
    "conv2d, padding": Case(
        lambda nn, d: nn.Conv2d(2, 2, 3, padding=(1, 2), dtype=d), ((1, 2, 3, 4),)
    ),
    "conv2d, same": Case(
        lambda nn, d: nn.Conv2d(1, 2, (3, 5), padding="same", dtype=d), ((1, 1, 4, 5),)
    ),
    "conv2d, same, dilation": Case(
        lambda nn, d: nn.Conv2d(1, 2, 3, padding="same", dilation=(1, 2), dtype=d), ((1, 1, 4, 5),)
    ),
    "conv2d, valid": Case(
        lambda nn, d: nn.Conv2d(1, 2, 2, stride=2, padding="valid", dtype=d), ((1, 1, 4, 5),)
    ),
    "conv2d, dilation": Case(
        lambda nn, d: nn.Conv2d(2, 2, 2, dilation=(2, 3), dtype=d), ((2, 2, 5, 5),)
    ),
    "conv2d, stride, padding and dilation": Case(
        lambda nn, d: nn.Conv2d(1, 2, 3, stride=(3, 2), padding=2, dilation=2, dtype=d),
        ((2, 1, 6, 5),),
    ),
    "conv2d, groups": Case(lambda nn, d: nn.Conv2d(4, 6, 2, groups=2, dtype=d), ((1, 4, 3, 4),)),
    "conv2d, depthwise": Case(
        lambda nn, d: nn.Conv2d(3, 6, 3, padding=1, groups=3, dtype=d), ((1, 3, 4, 3),)
    ),
    "conv2d, 1x1": Case(lambda nn, d: nn.Conv2d(3, 4, 1, dtype=d), ((2, 3, 3, 2),)),
    "conv2d, reflect": Case(
        lambda nn, d: nn.Conv2d(1, 2, 3, padding=(1, 2), padding_mode="reflect", dtype=d),
        ((1, 1, 4, 5),),
    ),
    "conv2d, replicate": Case(
        lambda nn, d: nn.Conv2d(1, 2, 3, padding=2, padding_mode="replicate", dtype=d),
        ((1, 1, 3, 4),),
    ),
    "conv2d, circular, same": Case(
        lambda nn, d: nn.Conv2d(1, 2, (2, 3), padding="same", padding_mode="circular", dtype=d),
        ((1, 1, 3, 4),),
    ),
    "conv1d": Case(lambda nn, d: nn.Conv1d(2, 3, 3, dtype=d), ((2, 2, 7),)),
    "conv1d, one signal": Case(lambda nn, d: nn.Conv1d(2, 3, 3, padding=1, dtype=d), ((2, 5),)),
    "conv1d, stride, same groups": Case(
        lambda nn, d: nn.Conv1d(4, 4, 3, stride=2, padding=1, groups=2, dtype=d), ((2, 4, 7),)
    ),
    "conv1d, reflect, dilation": Case(
        lambda nn, d: nn.Conv1d(1, 2, 2, padding=3, dilation=2, padding_mode="reflect", dtype=d),
        ((2, 1, 6),),
    ),
    "conv transpose 2d": Case(lambda nn, d: nn.ConvTranspose2d(2, 3, 3, dtype=d), ((2, 2, 3, 4),)),
    "conv transpose 2d, one image": Case(
        lambda nn, d: nn.ConvTranspose2d(2, 1, 2, bias=False, dtype=d), ((2, 3, 2),)
    ),
    "conv transpose 2d, stride and padding": Case(
        lambda nn, d: nn.ConvTranspose2d(2, 2, (3, 4), stride=(2, 3), padding=(1, 2), dtype=d),
        ((1, 2, 3, 3),),
    ),
    "conv transpose 2d, output padding": Case(
        lambda nn, d: nn.ConvTranspose2d(1, 2, 3, 2, 1, output_padding=1, dtype=d), ((1, 1, 3, 4),)
    ),
    "conv transpose 2d, groups and dilation": Case(
        lambda nn, d: nn.ConvTranspose2d(4, 2, 2, groups=2, dilation=(2, 1), dtype=d),
        ((1, 4, 2, 3),),
    ),
    "conv transpose 2d, output padding larger than the stride": Case(
        lambda nn, d: nn.ConvTranspose2d(1, 2, 2, output_padding=2, dilation=3, dtype=d),
        ((2, 1, 3, 2),),
    ),
    "conv transpose 1d": Case(
        lambda nn, d: nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1, dtype=d), ((2, 2, 4),)
    ),
}
