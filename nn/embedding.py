"""Tables of vectors."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from tinygrad_course.errors import ShapeError
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn import init
from tinygrad_course.nn.functional.lookup import refuse_options, row_number
from tinygrad_course.nn.module import Module
from tinygrad_course.nn.options import positive
from tinygrad_course.nn.parameter import Parameter, default_dtype


class Embedding(Module):
    """A table of learned vectors, looked up by number: y[..., :] = weight[x[...], :].

    The vectors start standard normal, that of `padding_idx` at 0; it gets no gradient.

    Args:
        num_embeddings: number of vectors.
        embedding_dim: size of each.
        padding_idx: a row that is not trained.
        max_norm: not supported.
        norm_type: not supported.
        scale_grad_by_freq: not supported.
        sparse: not supported; gradients are dense.
        dtype: of the vectors; float32 by default.
        generator: draws the initial values.

    Raises:
        ArgumentError: a size is not a positive whole number, `padding_idx` is outside the table, or
            an option is not supported.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> nn.Embedding(10, 3)(np.array([[1, 2, 4, 5], [4, 3, 2, 9]])).shape
        (2, 4, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        refuse_options("Embedding", max_norm, norm_type, scale_grad_by_freq, sparse)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx
        if padding_idx is not None:
            self.padding_idx = row_number("Embedding", padding_idx, num_embeddings)
        self.weight = Parameter(np.empty((num_embeddings, embedding_dim), default_dtype(dtype)))
        init.normal_(self.weight, generator=generator)
        if self.padding_idx is not None:
            self.weight._data[self.padding_idx] = 0

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None
    ) -> Self:
        """Return a layer with given vectors, of shape (count, size), frozen unless told otherwise.

        Raises:
            ShapeError: the vectors make no table.

        Example:
            >>> import numpy as np
            >>> from tinygrad_course import nn
            >>> nn.Embedding.from_pretrained(np.eye(3))(np.array([1])).data
            array([[0., 1., 0.]])
        """
        vectors = np.asarray(getattr(embeddings, "_data", embeddings))
        if vectors.ndim != 2:
            raise ShapeError(
                f"Embedding.from_pretrained: expected vectors of shape (count, size), "
                f"got {vectors.shape}"
            )
        layer = cls(vectors.shape[0], vectors.shape[1], padding_idx)
        layer.weight = Parameter(vectors, requires_grad=not freeze)
        return layer

    def forward(self, x: Any) -> Any:
        """Map whole numbers of any shape to vectors: shape (*x.shape, embedding_dim)."""
        return F.embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """Return the sizes."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


__all__ = [
    "Embedding",
]
