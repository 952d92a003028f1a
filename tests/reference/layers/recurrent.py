"""Recurrent layers and cells."""

from reference.cases import Case


def sequences(kind, *sizes, state=1, shape=(3, 2, 2), start=None, **options):
    """Return a case of a recurrent layer, with an initial state of a shape if one is given."""
    inputs = (shape,) if start is None else (shape, *(start,) * state)

    def build(nn, d):
        layer = getattr(nn, kind)(*sizes, dtype=d, **options)
        return layer if start is None or state == 1 else paired(nn, layer)

    return Case(build, inputs, smooth=options.get("nonlinearity") != "relu")


def paired(nn, layer):
    """Return a module that takes x, h and c one by one."""

    class Paired(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x, h, c):
            return self.layer(x, (h, c))

    return Paired()


CASES = {
    "rnn": sequences("RNN", 2, 3),
    "rnn, relu": sequences("RNN", 2, 3, nonlinearity="relu"),
    "rnn, no bias": sequences("RNN", 2, 3, bias=False),
    "rnn, two layers, both directions, state": sequences(
        "RNN", 2, 2, num_layers=2, bidirectional=True, start=(4, 2, 2)
    ),
    "lstm": sequences("LSTM", 2, 3),
    "lstm, batch first": sequences("LSTM", 2, 3, batch_first=True, shape=(2, 4, 2)),
    "lstm, no batch": sequences("LSTM", 2, 3, shape=(4, 2)),
    "lstm, two layers, no bias": sequences("LSTM", 2, 2, num_layers=2, bias=False),
    "lstm, both directions, state": sequences(
        "LSTM", 2, 2, state=2, bidirectional=True, start=(2, 2, 2)
    ),
    "lstm, no batch, state": sequences("LSTM", 2, 2, state=2, shape=(3, 2), start=(1, 2)),
    "lstm, projected": sequences("LSTM", 2, 3, num_layers=2, proj_size=2, bidirectional=True),
    "lstm, projected, no bias, no batch": sequences(
        "LSTM", 2, 3, proj_size=1, bias=False, shape=(3, 2)
    ),
    "gru": sequences("GRU", 2, 3),
    "gru, no bias": sequences("GRU", 2, 3, bias=False),
    "gru, two layers, both directions": sequences(
        "GRU", 2, 2, num_layers=2, bidirectional=True, batch_first=True
    ),
    "gru, state": sequences("GRU", 2, 3, start=(1, 2, 3)),
    "gru, no batch, state": sequences("GRU", 2, 3, shape=(3, 2), start=(1, 3)),
    "rnn cell": sequences("RNNCell", 2, 3, shape=(4, 2)),
    "rnn cell, relu, state": sequences(
        "RNNCell", 2, 3, nonlinearity="relu", shape=(4, 2), start=(4, 3)
    ),
    "lstm cell": sequences("LSTMCell", 2, 3, shape=(4, 2)),
    "lstm cell, state": sequences("LSTMCell", 2, 3, state=2, shape=(4, 2), start=(4, 3)),
    "gru cell, no bias": sequences("GRUCell", 2, 3, bias=False, shape=(4, 2)),
    "gru cell, one example": sequences("GRUCell", 2, 3, shape=(2,), start=(3,)),
}
