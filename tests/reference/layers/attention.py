"""Attention and the encoder of the transformer."""

from functools import partial

import numpy as np

from reference.cases import Case

HIDDEN = np.array([[False, True, False], [False, False, True]])
"""Where a key is left out, for two examples of three keys."""

BARRED = np.array([[False, True, True], [False, False, True], [True, False, False]])
"""Where a query must not see a key."""


def same(mask, rng):
    """Draw nothing: return the mask."""
    return mask


def attention(kind, *sizes, shapes, masks=(), options=None, **settings):
    """Return a case of a module that is called with inputs, then masks by name, then options."""

    def build(nn, d):
        layer = getattr(nn, kind)(*sizes, dtype=d, **settings)

        class Masked(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = layer

            def forward(self, *given):
                inputs, rest = given[: len(shapes)], given[len(shapes) :]
                if kind == "MultiheadAttention":
                    inputs = (*inputs, *inputs[-1:] * (3 - len(inputs)))
                named = dict(zip([name for name, _ in masks], rest, strict=True))
                return self.layer(*inputs, **named, **(options or {}))

        return Masked()

    fixed = [partial(same, mask) for _, mask in masks]
    smooth = settings.get("activation") == "gelu" or kind == "MultiheadAttention"
    return Case(build, (*shapes, *fixed), smooth=smooth)


class Product:
    """A namespace's scaled dot-product attention as a layer."""

    def __init__(self, **options):
        self.options = options

    def __call__(self, nn, d):
        options = self.options

        class Attention(nn.Module):
            def forward(self, q, k, v, *mask):
                mask = {"attn_mask": mask[0]} if mask else {}
                return nn.functional.scaled_dot_product_attention(q, k, v, **mask, **options)

        return Attention()


SQUARE = ((3, 2, 4),)
FIRST = {"batch_first": True}
CASES = {
    "dot product": Case(Product(), ((2, 3, 4), (2, 5, 4), (2, 5, 2))),
    "dot product, causal": Case(
        Product(is_causal=True), ((2, 2, 3, 4), (2, 2, 3, 4), (2, 2, 3, 2))
    ),
    "dot product, causal, fewer keys": Case(Product(is_causal=True), ((4, 2), (3, 2), (3, 2))),
    "dot product, mask": Case(
        Product(scale=0.7), ((2, 3, 4), (2, 3, 4), (2, 3, 2), lambda rng: ~BARRED)
    ),
    "dot product, added mask": Case(Product(), ((2, 3, 4), (2, 3, 4), (2, 3, 2), (3, 3))),
    "dot product, shared heads": Case(
        Product(enable_gqa=True), ((2, 4, 3, 2), (2, 2, 3, 2), (2, 2, 3, 2))
    ),
    "attention": attention("MultiheadAttention", 4, 2, shapes=SQUARE),
    "attention, three inputs": attention(
        "MultiheadAttention", 4, 2, shapes=((3, 2, 4), (5, 2, 4), (5, 2, 4)), bias=False
    ),
    "attention, sizes of their own": attention(
        "MultiheadAttention",
        4,
        2,
        shapes=((2, 3, 4), (2, 5, 3), (2, 5, 2)),
        kdim=3,
        vdim=2,
        **FIRST,
    ),
    "attention, no batch": attention(
        "MultiheadAttention", 4, 2, shapes=((3, 4),), options={"average_attn_weights": False}
    ),
    "attention, padding": attention(
        "MultiheadAttention",
        4,
        2,
        shapes=((2, 3, 4),),
        masks=[("key_padding_mask", HIDDEN)],
        **FIRST,
    ),
    "attention, both masks, no weights": attention(
        "MultiheadAttention",
        4,
        2,
        shapes=SQUARE,
        masks=[("key_padding_mask", HIDDEN), ("attn_mask", BARRED & (np.arange(3) > 0))],
        options={"need_weights": False},
    ),
    "attention, a mask for each head": attention(
        "MultiheadAttention", 4, 2, shapes=SQUARE, masks=[("attn_mask", np.stack([BARRED] * 4))]
    ),
    "attention, further keys": attention(
        "MultiheadAttention",
        4,
        2,
        shapes=SQUARE,
        masks=[("key_padding_mask", HIDDEN), ("attn_mask", BARRED)],
        add_bias_kv=True,
        add_zero_attn=True,
    ),
    "attention, a key of zeros": attention(
        "MultiheadAttention", 4, 2, shapes=((3, 4),), add_zero_attn=True
    ),
    "encoder layer": attention("TransformerEncoderLayer", 4, 2, 6, 0.0, shapes=SQUARE),
    "encoder layer, norm first, gelu": attention(
        "TransformerEncoderLayer",
        4,
        2,
        3,
        0.0,
        shapes=((2, 3, 4),),
        activation="gelu",
        norm_first=True,
        bias=False,
        masks=[("src_key_padding_mask", HIDDEN), ("src_mask", np.triu(np.ones((3, 3), bool), 1))],
        **FIRST,
    ),
    "encoder": Case(
        lambda nn, d: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(4, 2, 3, 0.0, batch_first=True, dtype=d),
            2,
            nn.LayerNorm(4, dtype=d),
        ),
        ((2, 3, 4),),
        smooth=False,
    ),
}
