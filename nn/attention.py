"""Multi-head attention and the encoder of the transformer."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_course import functions, ops
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.graph import SCOPE, describe
from tinygrad_course.nn import functional as F  # noqa: N812 - PyTorch's habit
from tinygrad_course.nn import init
from tinygrad_course.nn.containers import ModuleList
from tinygrad_course.nn.dropout import Dropout
from tinygrad_course.nn.functional.attending import additive, attend, causal
from tinygrad_course.nn.layer_normalization import LayerNorm
from tinygrad_course.nn.linear import Linear
from tinygrad_course.nn.module import Module, cast_input
from tinygrad_course.nn.options import positive
from tinygrad_course.nn.parameter import Parameter, default_dtype


class MultiheadAttention(Module):
    """Attention in several heads at once: concat(head_1, ..., head_h) Wᵀ + b.

    Each head is softmax(Q Kᵀ / √d) V, with Q, K and V linear maps of query, key and value onto
    d = embed_dim / num_heads numbers. Source: Vaswani et al. 2017.

    Args:
        embed_dim: size of the queries and of the output.
        num_heads: number of heads; a divisor of `embed_dim`.
        dropout: probability of dropping a weight in training.
        bias: whether the linear maps have biases.
        add_bias_kv: whether a learned key and value stand behind the others.
        add_zero_attn: whether a key and a value of zeros stand behind the others.
        kdim: size of the keys; `embed_dim` by default.
        vdim: size of the values; `embed_dim` by default.
        batch_first: whether inputs have shape (batch, sequence, size).
        dtype: of the parameters; float32 by default.
        generator: draws the initial values and the dropped weights.

    Raises:
        ArgumentError: the heads do not divide `embed_dim`, or a size or probability makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> x = np.zeros((2, 5, 8))
        >>> output, weights = nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)
        >>> output.shape, weights.shape
        ((2, 5, 8), (2, 5, 5))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        name = "MultiheadAttention"
        positive(name, embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise ArgumentError(
                f"{name}: embed_dim={embed_dim} is no multiple of num_heads={num_heads}"
            )
        if not 0.0 <= dropout <= 1.0:
            raise ArgumentError(f"{name}: dropout={dropout!r} is not a probability in [0, 1]")
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        positive(name, kdim=self.kdim, vdim=self.vdim)
        self.dropout, self.batch_first, self.generator = float(dropout), batch_first, generator
        kind = default_dtype(dtype)
        sizes = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
        together = set(sizes.values()) == {embed_dim}
        self.in_proj_weight = Parameter(np.empty((3 * embed_dim, embed_dim), kind))
        if not together:
            self.in_proj_weight = None
        for letter, size in sizes.items():
            own = None if together else Parameter(np.empty((embed_dim, size), kind))
            setattr(self, f"{letter}_proj_weight", own)
        self.in_proj_bias = Parameter(np.zeros(3 * embed_dim, kind)) if bias else None
        for weight in self._projections():
            init.xavier_uniform_(weight, generator=generator)
        self.bias_k = Parameter(np.empty((1, 1, embed_dim), kind)) if add_bias_kv else None
        self.bias_v = Parameter(np.empty((1, 1, embed_dim), kind)) if add_bias_kv else None
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra, generator=generator)
        self.add_zero_attn = add_zero_attn
        self.out_proj = Linear(embed_dim, embed_dim, bias, kind, generator)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def _projections(self) -> list[Parameter]:
        """Return the weights that map the inputs: one, or one for each of the three."""
        found = (
            self.in_proj_weight,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
        )
        return [weight for weight in found if weight is not None]

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """Return the attended values, of the shape of the query, and the weights or None.

        Args:
            query: shape (L, batch, embed_dim), with `batch_first` (batch, L, embed_dim), or for one
                example (L, embed_dim).
            key: shape (S, batch, kdim), and so on.
            value: shape (S, batch, vdim), and so on.
            key_padding_mask: shape (batch, S), or (S,) for one example. Boolean, where True leaves
                a key out, or floating, and added to the scores.
            need_weights: whether to return the weights.
            attn_mask: shape (L, S) or (batch num_heads, L, S), of the same meaning.
            average_attn_weights: whether to average the weights over the heads: shape (batch, L, S)
                instead of (batch, num_heads, L, S).
            is_causal: whether query i sees the keys up to i only.
        """
        same = key is query and value is query
        kind = self.out_proj.weight._data.dtype
        query = cast_input(query, kind)
        key, value = (query, query) if same else (cast_input(key, kind), cast_input(value, kind))
        self._check(query, key, value)
        single = query.ndim == 2
        if single:
            query, key, value = (functions.expand_dims(x, 0) for x in (query, key, value))
        elif not self.batch_first:
            query, key, value = (functions.swapaxes(x, 0, 1) for x in (query, key, value))
        q, k, v = self._projected(query, key, value, same)
        sizes = (*q.shape[:2], k.shape[1])
        bias = self._bias(sizes, q.dtype, key_padding_mask, attn_mask, is_causal)
        k, v, bias = self._lengthened(k, v, bias)
        q, k, v = (self._heads(x) for x in (q, k, v))
        scale = 1 / math.sqrt(self.embed_dim // self.num_heads)
        p = self.dropout if self.training else 0.0
        y, weights = attend(q, k, v, bias, scale, p, self.generator)
        y = functions.reshape(functions.swapaxes(y, 1, 2), (*query.shape[:2], self.embed_dim))
        y = self.out_proj(y)
        if single:
            y = y[0]
        elif not self.batch_first:
            y = functions.swapaxes(y, 0, 1)
        if not need_weights:
            return y, None
        if average_attn_weights:
            weights = functions.mean(weights, axis=1)
        return y, weights[0] if single else weights

    def _check(self, query: Any, key: Any, value: Any) -> None:
        """Refuse shapes that do not fit together."""
        batch, time = (0, 1) if self.batch_first else (1, 0)
        fits = query.ndim == key.ndim == value.ndim and query.ndim in {2, 3}
        if fits and query.ndim == 3:
            fits = query.shape[batch] == key.shape[batch] == value.shape[batch]
        if fits:
            time = 0 if query.ndim == 2 else time
            fits = key.shape[time] == value.shape[time]
        sizes = (self.embed_dim, self.kdim, self.vdim)
        if not fits or (query.shape[-1], key.shape[-1], value.shape[-1]) != sizes:
            axes = "batch, sequence" if self.batch_first else "sequence, batch"
            raise ShapeError(
                f"multihead_attention{describe(SCOPE.get())}: got query {query.shape}, key "
                f"{key.shape}, value {value.shape}; expected ({axes}, size) or (sequence, size) "
                f"with sizes {', '.join(map(str, sizes))}, and as many keys as values"
            )

    def _projected(self, query: Any, key: Any, value: Any, same: bool) -> tuple[Any, Any, Any]:
        """Return the linear maps of query, key and value."""
        size = self.embed_dim
        cuts = (size, 2 * size)
        bias = self.in_proj_bias
        if same and self.in_proj_weight is not None:  # one product for the three
            joint = ops.linear(query, self.in_proj_weight, bias)
            return ops.split_at(joint, sections=cuts, axis=-1)  # type: ignore[no-any-return]
        weights: Any = self._projections()
        if self.in_proj_weight is not None:
            weights = ops.split_at(self.in_proj_weight, sections=cuts)
        biases = (None,) * 3 if bias is None else ops.split_at(bias, sections=cuts)
        triples = zip((query, key, value), weights, biases, strict=True)
        q, k, v = (ops.linear(x, weight, b) for x, weight, b in triples)
        return q, k, v

    def _heads(self, x: Any) -> Any:
        """Map (batch, sequence, embed_dim) to (batch, heads, sequence, size of a head)."""
        parted = functions.reshape(x, (*x.shape[:2], self.num_heads, -1))
        return functions.swapaxes(parted, 1, 2)

    def _lengthened(self, key: Any, value: Any, bias: Any) -> tuple[Any, Any, Any]:
        """Return keys and values (batch, sequence, size) with the further ones behind them."""
        shape = (key.shape[0], 1, self.embed_dim)
        extra: list[tuple[Any, Any]] = []
        if self.bias_k is not None:
            pair = (self.bias_k, self.bias_v)
            extra.append(tuple(functions.broadcast_to(x, shape) for x in pair))
        if self.add_zero_attn:
            extra.append((np.zeros(shape, key.dtype),) * 2)
        if not extra:
            return key, value, bias
        keys, values = zip(*extra, strict=True)
        key = functions.concatenate([key, *keys], axis=1)
        value = functions.concatenate([value, *values], axis=1)
        if bias is not None:  # nobody masks them
            free = np.zeros((*bias.shape[:-1], len(extra)), bias.dtype)
            bias = functions.concatenate([bias, free], axis=-1)
        return key, value, bias

    def _bias(
        self,
        sizes: tuple[int, int, int],
        dtype: Any,
        key_padding_mask: Any,
        attn_mask: Any,
        is_causal: bool,
    ) -> Any:
        """Return all masks as one array to add to the scores (batch, heads, L, S), or None."""
        name = f"multihead_attention{describe(SCOPE.get())}"
        batch, length, keys = sizes
        bias = causal(length, keys, dtype) if is_causal and attn_mask is None else None
        if attn_mask is not None:
            bias = additive(name, attn_mask, dtype, true_means_masked=True)
            shapes = {(length, keys), (batch * self.num_heads, length, keys)}
            if bias.shape not in shapes:
                raise ShapeError(
                    f"{name}: attn_mask has shape {bias.shape}, expected ({length}, {keys}) or "
                    f"({batch * self.num_heads}, {length}, {keys})"
                )
            if bias.ndim == 3:
                bias = functions.reshape(bias, (batch, self.num_heads, length, keys))
        if key_padding_mask is None:
            return bias
        padding = additive(name, key_padding_mask, dtype, true_means_masked=True)
        if padding.shape != (batch, keys) and not (batch == 1 and padding.shape == (keys,)):
            raise ShapeError(
                f"{name}: key_padding_mask has shape {padding.shape}, expected ({batch}, {keys})"
            )
        padding = functions.reshape(padding, (batch, 1, 1, keys))
        return padding if bias is None else bias + padding

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"


_ACTIVATIONS: dict[str, Callable[..., Any]] = {"relu": F.relu, "gelu": F.gelu}


class TransformerEncoderLayer(Module):
    """Self-attention and a two-layer network, each with dropout, a shortcut and layer norm.

    x = norm1(x + attention(x)), y = norm2(x + linear2(activation(linear1(x)))); with `norm_first`
    x = x + attention(norm1(x)), y = x + linear2(activation(linear1(norm2(x)))).
    Source: Vaswani et al. 2017; Xiong et al. 2020.

    Args:
        d_model: size of the inputs and outputs.
        nhead: number of heads.
        dim_feedforward: size of the hidden layer.
        dropout: probability of dropping.
        activation: "relu", "gelu", or a function or module.
        layer_norm_eps: added to the variances.
        batch_first: whether inputs have shape (batch, sequence, d_model).
        norm_first: whether to normalize before attention and network.
        bias: whether linear maps and normalizations have biases.
        dtype: of the parameters; float32 by default.
        generator: draws the initial values and the masks.

    Raises:
        ArgumentError: an option makes no sense.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
        >>> layer(np.zeros((2, 5, 8))).shape
        (2, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        if isinstance(activation, str):
            if activation not in _ACTIVATIONS:
                raise ArgumentError(
                    f"TransformerEncoderLayer: activation must be 'relu', 'gelu' or a function, "
                    f"got {activation!r}"
                )
            activation = _ACTIVATIONS[activation]
        self.self_attn = MultiheadAttention(
            d_model,
            nhead,
            dropout,
            bias,
            batch_first=batch_first,
            dtype=dtype,
            generator=generator,
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype, generator)
        self.dropout = Dropout(dropout, generator=generator)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype, generator)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1 = Dropout(dropout, generator=generator)
        self.dropout2 = Dropout(dropout, generator=generator)
        self.activation = activation

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:
        """Map src of shape (sequence, batch, d_model) to the same shape; masks as in attention."""
        x = cast_input(src, self.linear1.weight._data.dtype)
        masks = (src_mask, src_key_padding_mask, is_causal)
        if self.norm_first:
            x = x + self._attend(self.norm1(x), *masks)
            return x + self._feed_forward(self.norm2(x))
        x = self.norm1(x + self._attend(x, *masks))
        return self.norm2(x + self._feed_forward(x))

    def _attend(self, x: Any, mask: Any, padding: Any, is_causal: bool) -> Any:
        y, _ = self.self_attn(
            x,
            x,
            x,
            key_padding_mask=padding,
            need_weights=False,
            attn_mask=mask,
            is_causal=is_causal,
        )
        return self.dropout1(y)

    def _feed_forward(self, x: Any) -> Any:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerEncoder(Module):
    """Several copies of an encoder layer, one after the other. As in PyTorch, all start equal.

    Args:
        encoder_layer: the layer to copy.
        num_layers: how many copies.
        norm: a normalization at the end, or None.
        enable_nested_tensor: PyTorch's speed option; it changes nothing.
        mask_check: the same.

    Raises:
        ArgumentError: the number is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16)
        >>> nn.TransformerEncoder(layer, 3)(np.zeros((5, 2, 8))).shape
        (5, 2, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,  # noqa: ARG002 - PyTorch's signature
        mask_check: bool = True,  # noqa: ARG002 - the same
    ) -> None:
        positive("TransformerEncoder", num_layers=num_layers)
        # The copies share one generator: with a copy each, they would draw the same masks.
        drawn = (getattr(module, "generator", None) for module in encoder_layer.modules())
        shared = {id(g): g for g in drawn if g is not None}
        self.layers = ModuleList(
            copy.deepcopy(encoder_layer, dict(shared)) for _ in range(num_layers)
        )
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        src: Any,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Any:
        """Pass src through all layers, each with the same masks."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


__all__ = [
    "MultiheadAttention",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]
