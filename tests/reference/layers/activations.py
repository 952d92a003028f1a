"""Activations."""

from reference.cases import Case

CASES = {
    "relu": Case(lambda nn, d: nn.ReLU(), ((4, 3),), smooth=False),
    "leaky relu": Case(lambda nn, d: nn.LeakyReLU(), ((4, 3),), smooth=False),
    "leaky relu, slope": Case(lambda nn, d: nn.LeakyReLU(0.2), ((4, 3),), smooth=False),
    "relu6": Case(lambda nn, d: nn.ReLU6(), ((4, 3),), smooth=False),
    "prelu": Case(lambda nn, d: nn.PReLU(dtype=d), ((4, 3),), smooth=False),
    "prelu, a slope per channel": Case(
        lambda nn, d: nn.PReLU(3, dtype=d), ((2, 3, 4),), smooth=False
    ),
    "threshold": Case(lambda nn, d: nn.Threshold(0.3, -2.0), ((4, 3),), smooth=False),
    "elu": Case(lambda nn, d: nn.ELU(), ((4, 3),), smooth=False),
    "elu, alpha": Case(lambda nn, d: nn.ELU(0.4), ((4, 3),), smooth=False),
    "celu": Case(lambda nn, d: nn.CELU(2.0), ((4, 3),), smooth=False),
    "selu": Case(lambda nn, d: nn.SELU(), ((4, 3),), smooth=False),
    "sigmoid": Case(lambda nn, d: nn.Sigmoid(), ((4, 3),)),
    "tanh": Case(lambda nn, d: nn.Tanh(), ((4, 3),)),
    "softplus": Case(lambda nn, d: nn.Softplus(), ((4, 3),)),
    "softmax": Case(lambda nn, d: nn.Softmax(dim=1), ((4, 3),)),
    "softmax, first axis": Case(lambda nn, d: nn.Softmax(dim=0), ((4, 3),)),
    "log softmax": Case(lambda nn, d: nn.LogSoftmax(dim=-1), ((4, 3),)),
    "log softmax, middle axis": Case(lambda nn, d: nn.LogSoftmax(dim=1), ((2, 3, 2),)),
    "softplus, beta": Case(lambda nn, d: nn.Softplus(beta=0.6), ((4, 3),)),
    "softplus, threshold": Case(
        lambda nn, d: nn.Softplus(2.0, threshold=0.5), ((4, 3),), smooth=False
    ),
    "log sigmoid": Case(lambda nn, d: nn.LogSigmoid(), ((4, 3),)),
    "silu": Case(lambda nn, d: nn.SiLU(), ((4, 3),)),
    "gelu": Case(lambda nn, d: nn.GELU(), ((4, 5),)),
    "gelu, tanh": Case(lambda nn, d: nn.GELU(approximate="tanh"), ((4, 3),)),
    "mish": Case(lambda nn, d: nn.Mish(), ((4, 3),)),
    "softsign": Case(lambda nn, d: nn.Softsign(), ((4, 3),), smooth=False),
    "tanhshrink": Case(lambda nn, d: nn.Tanhshrink(), ((4, 3),)),
    "glu": Case(lambda nn, d: nn.GLU(), ((4, 6),)),
    "glu, first axis": Case(lambda nn, d: nn.GLU(dim=0), ((4, 3),)),
    "hardtanh": Case(lambda nn, d: nn.Hardtanh(), ((4, 3),), smooth=False),
    "hardtanh, bounds": Case(lambda nn, d: nn.Hardtanh(-0.5, 2.5), ((4, 3),), smooth=False),
    "hardswish": Case(lambda nn, d: nn.Hardswish(), ((4, 3),), smooth=False),
    "hardshrink": Case(lambda nn, d: nn.Hardshrink(0.8), ((4, 3),), smooth=False),
    "softshrink": Case(lambda nn, d: nn.Softshrink(0.8), ((4, 3),), smooth=False),
    "softmin": Case(lambda nn, d: nn.Softmin(dim=1), ((4, 3),)),
    "softmax of images": Case(lambda nn, d: nn.Softmax2d(), ((2, 3, 2, 2),)),
}
