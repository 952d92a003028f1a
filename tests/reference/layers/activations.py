"""Activations."""

from reference.cases import Case

CASES = {
    "relu": Case(lambda nn, d: nn.ReLU(), ((4, 3),), smooth=False),
    "leaky relu": Case(lambda nn, d: nn.LeakyReLU(), ((4, 3),), smooth=False),
    "leaky relu, slope": Case(lambda nn, d: nn.LeakyReLU(0.2), ((4, 3),), smooth=False),
    "sigmoid": Case(lambda nn, d: nn.Sigmoid(), ((4, 3),)),
    "tanh": Case(lambda nn, d: nn.Tanh(), ((4, 3),)),
    "softplus": Case(lambda nn, d: nn.Softplus(), ((4, 3),)),
    "softmax": Case(lambda nn, d: nn.Softmax(dim=1), ((4, 3),)),
    "softmax, first axis": Case(lambda nn, d: nn.Softmax(dim=0), ((4, 3),)),
    "log softmax": Case(lambda nn, d: nn.LogSoftmax(dim=-1), ((4, 3),)),
    "log softmax, middle axis": Case(lambda nn, d: nn.LogSoftmax(dim=1), ((2, 3, 2),)),
}
