"""Dropout: the exact scale, one mask for both directions, repeatable draws."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, ShapeError

F = nn.functional


def stream(seed=0):
    return np.random.default_rng(seed)


def ones(shape, dtype=float):
    return tc.Tensor(np.ones(shape, dtype), requires_grad=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.1, 0.2, 1 / 3, 0.5, 0.8, 0.999])
def test_the_scale_is_one_over_the_real_keep_probability(p, dtype):
    """Kept elements are multiplied by exactly 1/keep, where keep is a multiple of 2**-16."""
    out = nn.Dropout(p, generator=stream())(ones((300, 100), dtype)).data
    keep = round((1 - p) * 2**16) / 2**16
    assert out.dtype == dtype
    assert set(np.unique(out)) == {dtype(0), dtype(1 / keep)}


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.8])
def test_the_expectation_is_kept(p):
    """The mean of many dropped ones is 1 within five standard errors."""
    out = nn.Dropout(p, generator=stream())(np.ones((500, 400)))
    error = np.sqrt(p / (1 - p) / out.size)
    assert abs(out.mean() - 1) < 5 * error


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5])
def test_elements_are_dropped_independently(p):
    """Neighbours, near and far, are kept together as often as chance has it."""
    kept = (nn.Dropout(p, generator=stream())(np.ones((500, 401))) > 0).reshape(-1)
    both = (1 - p) ** 2
    error = np.sqrt(both * (1 - both) / kept.size)
    for apart in (1, 2, 3, 7, 8, 9, 16, 64, 401):
        assert abs((kept[apart:] & kept[:-apart]).mean() - both) < 6 * error


def test_backward_uses_the_mask_of_forward():
    """The gradient has the zeros and the scale of the output."""
    x = ones((20, 20))
    out = nn.Dropout(0.4)(x)
    out.backward(np.full((20, 20), 3.0))
    assert 0 < np.count_nonzero(out.data) < 400
    np.testing.assert_array_equal(x.grad, 3 * out.data)


def test_every_call_draws_a_new_mask():
    """Two passes through one layer do not drop the same elements."""
    layer = nn.Dropout(generator=stream())
    x = np.ones(200)
    assert not np.array_equal(layer(x), layer(x))


def test_evaluation_and_p_zero_return_the_input():
    """Nothing is computed where nothing can be dropped, and no random number is used up."""
    generator = stream()
    before = generator.bit_generator.state
    x = ones((3, 3))
    assert nn.Dropout(0.9, generator=generator).eval()(x) is x
    assert nn.Dropout(0.0, generator=generator)(x) is x
    assert F.dropout(x, 0.9, training=False, generator=generator) is x
    assert generator.bit_generator.state == before


def test_p_one_drops_everything():
    """Output and gradient are zero, neither infinite nor nan."""
    x = ones((3, 3))
    out = nn.Dropout(1.0)(x)
    out.sum().backward()
    assert not out.data.any()
    assert not x.grad.any()


def test_keep_prob_is_another_word_for_one_minus_p():
    """keep_prob=0.75 is p=0.25, with the same mask."""
    by_keep = nn.Dropout(keep_prob=0.75, generator=stream())(np.ones(100))
    by_p = nn.Dropout(0.25, generator=stream())(np.ones(100))
    np.testing.assert_array_equal(by_keep, by_p)
    assert nn.Dropout(keep_prob=0.75).p == 0.25
    assert nn.Dropout().p == 0.5
    assert nn.Dropout(keep_prob=1.0).p == 0.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"p": 0.5, "keep_prob": 0.5}, "not both"),
        ({"p": 1.5}, "p=1.5"),
        ({"p": -0.1}, "p=-0.1"),
        ({"p": float("nan")}, "p=nan"),
        ({"keep_prob": -1}, "keep_prob=-1"),
        ({"keep_prob": 1.1}, "keep_prob=1.1"),
    ],
)
def test_what_is_no_probability_is_refused(options, words):
    """The refusal repeats the argument in the caller's words."""
    with pytest.raises(ArgumentError, match=f"Dropout: .*{re.escape(words)}"):
        nn.Dropout(**options)


def test_the_function_refuses_what_is_no_probability():
    """F.dropout names p and its range."""
    with pytest.raises(ArgumentError, match=r"dropout: p must lie in \[0, 1\], got 1\.5"):
        F.dropout(np.ones(3), 1.5)


def test_a_generator_makes_masks_repeatable():
    """Equal generators give equal masks, and the library's own generator is left alone."""
    tc.seed(7)
    untouched = tc.generator().bit_generator.state["state"]["state"].copy()
    first, second = (nn.Dropout(generator=stream(3))(np.ones(100)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(tc.generator().bit_generator.state["state"]["state"], untouched)


def test_a_seed_makes_masks_repeatable():
    """tc.seed restarts the masks of layers without a generator; another seed gives others."""

    def draw(seed):
        tc.seed(seed)
        return nn.Dropout()(np.ones(100))

    np.testing.assert_array_equal(draw(7), draw(7))
    assert not np.array_equal(draw(7), draw(8))


def test_numpys_global_generator_plays_no_part():
    """Masks neither follow np.random.seed nor advance its state."""
    np.random.seed(0)  # noqa: NPY002 - the global state is what is tested
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    tc.seed(1)
    nn.Dropout()(np.ones(100))
    nn.Linear(3, 2)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_gradient_passes_the_check(rng):
    """With a generator that restarts, dropout is the linear map that its mask says."""
    x = rng.normal(size=(5, 4))
    report = tc.gradcheck(lambda x: F.dropout(x, 0.3, generator=stream(1)), x, order=2, seed=0)
    assert report, str(report)
    model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3), nn.Linear(6, 2))
    assert tc.gradcheck_module(model, nn.MSELoss(), x, rng.normal(size=(5, 2)), seed=0)


def test_a_free_running_mask_is_recognized(rng):
    """gradcheck says that a function with changing masks is random, and does not call it wrong."""
    report = tc.gradcheck(nn.Dropout(0.5), rng.normal(size=(5, 4)), seed=0)
    assert report.verdict == "random"


def test_pixels_can_be_dropped():
    """Whole-number input, as the raw pixels of images, is dropped and scaled as floating input."""
    out = nn.Dropout(0.5, generator=stream())(np.ones((4, 4), np.uint8))
    expected = nn.Dropout(0.5, generator=stream())(np.ones((4, 4)))
    np.testing.assert_array_equal(np.asarray(out, float), expected)


# ---- the original form -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_original_form_scales_in_evaluation(dtype):
    """Training keeps what is kept as it is; evaluation multiplies by the real keep probability."""
    layer = nn.Dropout(0.3, inverted=False, generator=stream())
    keep = round(0.7 * 2**16) / 2**16
    out = layer(ones((300, 100), dtype)).data
    assert set(np.unique(out)) == {0, 1}
    assert abs(out.mean() - keep) < 5 * np.sqrt(keep * (1 - keep) / out.size)
    x = ones((3, 2), dtype)
    out = layer.eval()(x)
    out.sum().backward()
    assert out.dtype == dtype
    np.testing.assert_array_equal(out.data, dtype(keep))
    np.testing.assert_array_equal(x.grad, dtype(keep))


def test_the_original_form_is_halving_the_outgoing_weights(rng):
    """Nielsen's recipe, evaluation with half the weights behind the layer, is evaluation here."""
    x, w = rng.normal(size=(5, 4)), rng.normal(size=(4, 3))
    out = nn.Dropout(0.5, inverted=False).eval()(x) @ w
    np.testing.assert_allclose(out, x @ (w / 2), rtol=1e-14)


def test_both_forms_draw_the_same_mask():
    """One is the other divided by the keep probability, in training and in evaluation."""
    x = np.arange(1.0, 101.0)
    for training in (True, False):
        inverted, original = (
            F.dropout(x, 0.25, training, generator=stream(2), inverted=form)
            for form in (True, False)
        )
        np.testing.assert_allclose(inverted * 0.75, original, rtol=1e-15)


# ---- channels, and SELU's form -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.Dropout1d, (40, 30, 5)), (nn.Dropout2d, (40, 30, 3, 2))]
)
def test_channels_are_dropped_as_a_whole(kind, shape):
    """Each channel of each example is zero or scaled by 1/keep; the gradient follows the mask."""
    layer = kind(0.25, generator=stream())
    x = ones(shape)
    out = layer(x)
    out.sum().backward()
    flat = out.data.reshape(40, 30, -1)
    np.testing.assert_array_equal(flat, flat[:, :, :1] * np.ones(flat.shape[2]))
    assert set(np.unique(flat)) == {0.0, 4 / 3}
    assert abs((flat[:, :, 0] > 0).mean() - 0.75) < 0.05
    np.testing.assert_array_equal(x.grad, out.data)
    assert layer.eval()(x) is x
    one = kind(0.5, generator=stream())(np.ones(shape[1:]))
    assert set(np.unique(one)) == {0.0, 2.0}


def test_channels_need_images_or_signals():
    """Two-dimensional input has no places to drop together; the layer and its path are named."""
    with pytest.raises(ShapeError, match=r"dropout2d in Sequential > Dropout2d: .*\(4, 3\)"):
        nn.Sequential(nn.Dropout2d())(np.ones((4, 3)))
    with pytest.raises(ShapeError, match="dropout1d: expected x of shape"):
        F.dropout1d(np.ones(3))


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(p):
    """Of standard normal numbers, mean 0 and variance 1 stay within five standard errors."""
    x = np.random.default_rng(0).normal(size=400_000)
    out = nn.AlphaDropout(p, generator=stream())(x)
    assert abs(out.mean()) < 5 / np.sqrt(out.size)
    assert abs(out.var() - 1) < 5 * np.sqrt(3 / out.size)


def test_alpha_dropout_has_the_formula_of_its_paper():
    """Dropped elements become a α' + b, the others a x + b; evaluation changes nothing."""
    x = tc.Tensor(np.linspace(-1, 1, 200), requires_grad=True)
    out = F.alpha_dropout(x, 0.25, training=True, generator=stream(1))
    out.sum().backward()
    floor = -1.7580993408473766
    a = (0.75 * (1 + 0.25 * floor**2)) ** -0.5
    b = -a * 0.25 * floor
    kept = x.grad != 0
    assert 0 < kept.sum() < 200
    expected = a * np.where(kept, x.data, floor) + b
    np.testing.assert_allclose(out.data, expected, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(x.grad[kept], a, rtol=1e-15)
    assert nn.AlphaDropout(0.5).eval()(x) is x
    assert nn.AlphaDropout(0.5)(np.ones(3, np.float32)).dtype == np.float32
    assert not F.alpha_dropout(np.ones(3), 1.0, training=True).any()


@pytest.mark.parametrize("kind", [nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout])
def test_every_form_takes_the_words_of_dropout(kind):
    """keep_prob, inplace and refusals are those of Dropout, by the layer's own name."""
    assert kind(keep_prob=0.75).p == 0.25
    assert kind(0.3, True).inplace
    with pytest.raises(ArgumentError, match=rf"{kind.__name__}: p=2"):
        kind(2)
