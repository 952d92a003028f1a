"""Attention: definition, masks, heads, dropout; the encoder's two orders; refusals."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, DtypeError, ShapeError

F = nn.functional
attend = F.scaled_dot_product_attention


def qkv(rng, queries=3, keys=5, size=4, values=2):
    shapes = ((2, queries, size), (2, keys, size), (2, keys, values))
    return [rng.normal(size=shape) for shape in shapes]


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ---- scaled dot-product attention --------------------------------------------------------------


def test_the_definition_holds(rng):
    """softmax(Q Kᵀ / √E) V, with a scale of one's own too."""
    q, k, v = qkv(rng)
    scores = q @ k.swapaxes(1, 2)
    np.testing.assert_allclose(attend(q, k, v), softmax(scores / 2) @ v, rtol=1e-12)
    np.testing.assert_allclose(attend(q, k, v, scale=3.0), softmax(scores * 3) @ v, rtol=1e-12)


def test_a_mask_leaves_keys_out(rng):
    """A Boolean mask is the attention over the keys that are left; added -inf is the same."""
    q, k, v = qkv(rng)
    mask = np.array([True, False, True, True, False])
    expected = attend(q, k[:, mask], v[:, mask])
    np.testing.assert_allclose(attend(q, k, v, mask[None]), expected, rtol=1e-12)
    np.testing.assert_allclose(attend(q, k, v, tc.Tensor(mask[None])), expected, rtol=1e-12)
    added = np.where(mask, 0.0, -np.inf)[None]
    np.testing.assert_allclose(attend(q, k, v, added), expected, rtol=1e-12)


def test_causal_attention_does_not_see_the_future(rng):
    """Changing later keys and values leaves earlier results alone, in the gradient too."""
    x = rng.normal(size=(2, 5, 4))
    leaf = tc.Tensor(x, requires_grad=True)
    out = attend(leaf, leaf, leaf, is_causal=True)
    out[:, :3].sum().backward()
    assert not leaf.grad[:, 3:].any()
    other = x.copy()
    other[:, 3:] += 1
    changed = attend(other, other, other, is_causal=True)
    np.testing.assert_array_equal(changed[:, :3], out.data[:, :3])
    np.testing.assert_allclose(out.data[:, 0], x[:, 0], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_query_without_keys_gets_zeros(dtype, rng):
    """Where everything is masked, result and gradient are 0 and not nan."""
    q, k, v = (tc.Tensor(x.astype(dtype), requires_grad=True) for x in qkv(rng))
    mask = np.ones((3, 5), bool)
    mask[1] = False
    out = attend(q, k, v, mask)
    out.sum().backward()
    assert not out.data[:, 1].any()
    assert not q.grad[:, 1].any()
    for x in (out.data, q.grad, k.grad, v.grad):
        assert np.isfinite(x).all()
        assert x.dtype == dtype


def test_an_added_mask_is_trained(rng):
    """A floating mask that requires grad gets one: relative positions are learned so."""
    q, k, v = qkv(rng)
    report = tc.gradcheck(attend, q, k, v, rng.normal(size=(3, 5)), order=2, seed=0)
    assert report, str(report)


def test_extreme_scores_are_survived():
    """Scores 10⁸ apart choose one key, without overflow."""
    q = tc.Tensor(np.array([[1e4, -1e4]], np.float32), requires_grad=True)
    k = np.array([[1e4, 0.0], [0.0, 1e4]], np.float32)
    v = np.array([[1.0], [2.0]], np.float32)
    out = attend(q, k, v)
    out.sum().backward()
    assert out.data.tolist() == [[1.0]]
    assert np.isfinite(q.grad).all()


def test_dropped_weights_keep_the_expectation(rng):
    """The mean over many masks is the attention itself, within five standard errors."""
    q, k, v = (x[0] for x in qkv(rng))
    generator = np.random.default_rng(0)
    stacked = [np.broadcast_to(x, (4000, *x.shape)) for x in (q, k, v)]
    dropped = attend(*stacked, dropout_p=0.25, generator=generator)
    error = dropped.std(axis=0) / 4000**0.5
    assert (np.abs(dropped.mean(axis=0) - attend(q, k, v)) < 5 * error).all()


# ---- several heads -----------------------------------------------------------------------------


def test_one_head_with_identity_maps_is_plain_attention(rng):
    """With unit matrices for all maps, the module is the function."""
    layer = nn.MultiheadAttention(4, 1, bias=False, batch_first=True, dtype=float)
    layer.in_proj_weight.data = np.concatenate([np.eye(4)] * 3)
    layer.out_proj.weight.data = np.eye(4)
    q, k, v = qkv(rng, values=4)
    out, weights = layer(q, k, v)
    np.testing.assert_allclose(out.data, attend(q, k, v), rtol=1e-12)
    np.testing.assert_allclose(weights.data.sum(axis=-1), 1, rtol=1e-12)


def test_the_axes_may_be_in_either_order(rng):
    """batch_first turns inputs and outputs around; one example needs no batch."""
    first = nn.MultiheadAttention(4, 2, batch_first=True, dtype=float)
    last = nn.MultiheadAttention(4, 2, dtype=float)
    last.load_state_dict(first.state_dict())
    x = rng.normal(size=(3, 5, 4))
    out, weights = first(x, x, x)
    turned = x.swapaxes(0, 1)
    other, same = last(turned, turned, turned)
    np.testing.assert_allclose(other.data.swapaxes(0, 1), out.data, rtol=1e-12)
    np.testing.assert_allclose(same.data, weights.data, rtol=1e-12)
    one, single = first(x[0], x[0], x[0])
    np.testing.assert_allclose(one.data, out.data[0], rtol=1e-12)
    assert single.shape == (5, 5)


def test_self_attention_is_attention_with_three_equal_inputs(rng):
    """The one product for query, key and value gives what three products give."""
    layer = nn.MultiheadAttention(4, 2, dtype=float)
    x = rng.normal(size=(5, 3, 4))
    np.testing.assert_allclose(
        layer(x, x, x)[0].data, layer(x, x.copy(), x.copy())[0].data, rtol=1e-12
    )


def test_masks_of_the_module_mean_the_opposite(rng):
    """True leaves a key out, as in PyTorch; both masks and is_causal act together."""
    layer = nn.MultiheadAttention(4, 2, batch_first=True, dtype=float)
    x = rng.normal(size=(2, 4, 4))
    padding = np.array([[False, False, True, False]] * 2)
    shorter = x[:, ~padding[0]]
    expected = layer(x, shorter, shorter)[0].data
    np.testing.assert_allclose(layer(x, x, x, padding)[0].data, expected, rtol=1e-12)
    future = np.triu(np.ones((4, 4), bool), 1)
    causal = layer(x, x, x, is_causal=True)[0].data
    np.testing.assert_allclose(layer(x, x, x, attn_mask=future)[0].data, causal, rtol=1e-12)
    added = np.where(future, -np.inf, 0.0)
    np.testing.assert_allclose(layer(x, x, x, attn_mask=added)[0].data, causal, rtol=1e-12)
    per_head = np.stack([future] * 4)
    both = layer(x, x, x, padding, attn_mask=per_head)[0].data
    np.testing.assert_allclose(layer(x, x, x, padding, is_causal=True)[0].data, both, rtol=1e-12)


def test_weights_are_returned_as_asked(rng):
    """Averaged over the heads, one by one, or not at all."""
    layer = nn.MultiheadAttention(4, 2, dtype=float)
    x = rng.normal(size=(5, 3, 4))
    apart = layer(x, x, x, average_attn_weights=False)[1]
    assert apart.shape == (3, 2, 5, 5)
    np.testing.assert_allclose(layer(x, x, x)[1].data, apart.data.mean(axis=1), rtol=1e-12)
    assert layer(x, x, x, need_weights=False)[1] is None


def test_attention_drops_in_training_alone():
    """The masks follow the generator, and evaluation has none."""
    first, second = (
        nn.MultiheadAttention(4, 2, dropout=0.5, generator=np.random.default_rng(0))
        for _ in range(2)
    )
    x = np.ones((5, 3, 4), np.float32)
    out = first(x, x, x)[0].data
    np.testing.assert_array_equal(second(x, x, x)[0].data, out)
    assert not np.array_equal(first(x, x, x)[0].data, out)
    np.testing.assert_array_equal(first.eval()(x, x, x)[0].data, first(x, x, x)[0].data)


def test_maps_start_as_pytorchs():
    """Xavier-uniform for the maps inwards, jointly or one by one; biases 0."""
    joint = nn.MultiheadAttention(60, 2)
    bound = (6 / (60 + 180)) ** 0.5
    assert 0.98 * bound < np.abs(joint.in_proj_weight.data).max() <= bound
    apart = nn.MultiheadAttention(60, 2, kdim=30, vdim=90)
    names = [name for name, _ in apart.named_parameters()]
    assert names == [
        "q_proj_weight",
        "k_proj_weight",
        "v_proj_weight",
        "in_proj_bias",
        "out_proj.weight",
        "out_proj.bias",
    ]
    bound = (6 / (60 + 30)) ** 0.5
    assert 0.98 * bound < np.abs(apart.k_proj_weight.data).max() <= bound
    assert np.abs(apart.out_proj.weight.data).max() <= 60**-0.5
    assert not apart.in_proj_bias.data.any()
    assert not apart.out_proj.bias.data.any()


# ---- the encoder -------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_encoder_layer_is_its_formula(norm_first, rng):
    """Shortcuts around attention and network, normalized after or before."""
    layer = nn.TransformerEncoderLayer(4, 2, 6, 0.0, "gelu", norm_first=norm_first, dtype=float)
    x = rng.normal(size=(5, 3, 4))

    def attention(x):
        return layer.self_attn(x, x, x)[0]

    def network(x):
        return layer.linear2(F.gelu(layer.linear1(x)))

    if norm_first:
        y = x + attention(layer.norm1(x))
        y = y + network(layer.norm2(y))
    else:
        y = layer.norm1(x + attention(x))
        y = layer.norm2(y + network(y))
    np.testing.assert_allclose(layer(x).data, y.data, rtol=1e-12)


def test_any_activation_is_taken():
    """A function, a word or a module; the module's parameters are trained."""
    by_word = nn.TransformerEncoderLayer(4, 2, 6, 0.0, "relu")
    by_module = nn.TransformerEncoderLayer(4, 2, 6, 0.0, nn.PReLU())
    assert "activation.weight" in by_module.state_dict()
    assert "activation.weight" not in by_word.state_dict()
    by_function = nn.TransformerEncoderLayer(4, 2, 6, 0.0, F.relu)
    by_function.load_state_dict(by_word.state_dict())
    x = np.ones((5, 3, 4), np.float32)
    np.testing.assert_array_equal(by_function(x).data, by_word(x).data)


def test_the_layers_of_an_encoder_are_copies_with_masks_of_their_own():
    """They start equal, share no memory, and draw from one generator one after the other."""
    generator = np.random.default_rng(0)
    layer = nn.TransformerEncoderLayer(4, 2, 6, 0.5, generator=generator)
    encoder = nn.TransformerEncoder(layer, 2)
    first, second = encoder.layers
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
        assert not np.shares_memory(a.data, b.data)
    assert first.dropout.generator is second.dropout.generator is generator
    x = np.ones((5, 3, 4), np.float32)
    assert not np.array_equal(first(x).data, second(x).data)


def test_masks_reach_every_layer_of_an_encoder(rng):
    """Causal through two layers: what comes later changes nothing before."""
    layer = nn.TransformerEncoderLayer(4, 2, 6, 0.0, batch_first=True, dtype=float)
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4, dtype=float))
    x = rng.normal(size=(2, 5, 4))
    other = x.copy()
    other[:, 3:] += 1
    for options in ({"is_causal": True}, {"mask": np.triu(np.ones((5, 5), bool), 1)}):
        before, after = encoder(x, **options).data, encoder(other, **options).data
        np.testing.assert_array_equal(before[:, :3], after[:, :3])
        assert not np.array_equal(before[:, 3:], after[:, 3:])
    padding = np.array([[False] * 3 + [True] * 2] * 2)
    padded = encoder(x, src_key_padding_mask=padding).data[:, :3]
    np.testing.assert_allclose(padded, encoder(x[:, :3]).data, rtol=1e-11)


X = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: nn.MultiheadAttention(5, 2), ArgumentError, "embed_dim=5 is no multiple"),
        (lambda: nn.MultiheadAttention(4, 2, dropout=-1), ArgumentError, "dropout=-1"),
        (
            lambda: nn.Sequential(nn.TransformerEncoderLayer(6, 2, 3))(X),
            ShapeError,
            "multihead_attention in Sequential > TransformerEncoderLayer > MultiheadAttention: got",
        ),
        (lambda: nn.MultiheadAttention(4, 2)(X, X[:, :2], X[:, :2]), ShapeError, "got query"),
        (
            lambda: nn.MultiheadAttention(4, 2)(X, X, X, np.zeros((2, 3), bool)),
            ShapeError,
            "key_padding_mask has shape (2, 3), expected (3, 2)",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2)(X, X, X, attn_mask=np.zeros((3, 3), bool)),
            ShapeError,
            "attn_mask has shape (3, 3), expected (2, 2) or (6, 2, 2)",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2)(X, X, X, attn_mask=np.zeros((2, 2), int)),
            DtypeError,
            "a mask must be Boolean, or floating",
        ),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation="sin"), ArgumentError, "got 'sin'"),
        (lambda: nn.TransformerEncoder(nn.Linear(1, 1), 0), ArgumentError, "num_layers"),
        (lambda: attend(X, X[..., :3], X), ShapeError, "expected query (..., L, E)"),
        (lambda: attend(X, X[:, :2], X), ShapeError, "expected query (..., L, E)"),
        (lambda: attend(X[0, 0], X, X), ShapeError, "needs matrices"),
        (lambda: attend(X, X, X, np.ones((3, 3), bool), is_causal=True), ArgumentError, "not both"),
        (
            lambda: attend(X, X[:1].repeat(3, axis=0), X, enable_gqa=True),
            ShapeError,
            "a multiple of the others' (3, 3, 4)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, kind, words):
    """The refusal names the layer, what came and what was expected."""
    with pytest.raises(kind, match=re.escape(words)):
        call()
