"""Dropout: the exact scale, one mask for both directions, repeatable draws."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError

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


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_the_expectation_is_kept(p):
    """The mean of many dropped ones is 1 within five standard errors."""
    out = nn.Dropout(p, generator=stream())(np.ones((500, 400)))
    error = np.sqrt(p / (1 - p) / out.size)
    assert abs(out.mean() - 1) < 5 * error


def test_elements_are_dropped_independently():
    """Neighbours along both axes are dropped together as often as chance has it."""
    kept = nn.Dropout(0.5, generator=stream())(np.ones((500, 400))) > 0
    for pair in (kept[1:] & kept[:-1], kept[:, 1:] & kept[:, :-1]):
        assert abs(pair.mean() - 0.25) < 0.005


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
