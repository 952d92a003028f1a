"""Tables of vectors. (With padding the gradient is not the derivative: see test_embedding.py.)"""

from reference.cases import Case


def numbers(*shape):
    """Return a function that draws whole numbers from 0 to 6, some of them several times."""
    return lambda rng: rng.integers(0, 7, size=shape)


CASES = {
    "embedding": Case(lambda nn, d: nn.Embedding(7, 3, dtype=d), (numbers(8),)),
    "embedding, sequences": Case(lambda nn, d: nn.Embedding(7, 3, dtype=d), (numbers(4, 5),)),
    "embedding, one number": Case(lambda nn, d: nn.Embedding(7, 3, dtype=d), (numbers(),)),
}
