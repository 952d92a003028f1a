"""Update rules over blocks of large parameters: the same bits, whatever lies in memory how."""

from __future__ import annotations

import numpy as np
import pytest
from reference import optimizers as reference

import tinygrad_course as tc
from tinygrad_course import optim
from tinygrad_course.optim import blocks

RULES = pytest.mark.parametrize("name", reference.RULES)
LAYOUTS = {
    "one axis": lambda: np.zeros(150),
    "rows": lambda: np.zeros((13, 12)),
    "columns": lambda: np.zeros((12, 13)).T,
    "three axes": lambda: np.zeros((5, 4, 7)),
    "gaps": lambda: np.zeros((13, 24))[:, ::2],
    "float32": lambda: np.zeros((13, 12), np.float32),
    "complex": lambda: np.zeros((9, 8), complex),
}


def run(name, like, monkeypatch, block, steps=5):
    """Make steps with blocks of a size; return the parameter and its state."""
    monkeypatch.setattr(blocks, "BLOCK", block)
    monkeypatch.setattr("tinygrad_course.optim.optimizer.BLOCK", block)
    rng = np.random.default_rng(0)
    data = like()
    data[...] = rng.normal(size=data.shape)
    kind, options = reference.RULES[name]
    p = tc.Tensor(data, requires_grad=True)
    small = tc.Tensor(np.ones(3, data.dtype), requires_grad=True)
    optimizer = getattr(optim, kind)([p, small], **options)
    for _ in range(steps):
        p.grad = rng.normal(size=data.shape)
        small.grad = rng.normal(size=3)
        optimizer.step()
    return p, small, optimizer


@RULES
@pytest.mark.parametrize("layout", LAYOUTS)
def test_blocks_give_the_same_bits(name, layout, monkeypatch):
    """Parameter and state are those of one pass, and lie in memory as before."""
    whole, small, plain = run(name, LAYOUTS[layout], monkeypatch, 10**9)
    cut, beside, parted = run(name, LAYOUTS[layout], monkeypatch, 32)
    np.testing.assert_array_equal(cut.data, whole.data)
    np.testing.assert_array_equal(beside.data, small.data)
    assert cut.data.strides == whole.data.strides
    for one, other in ((whole, cut), (small, beside)):
        mine, theirs = plain.state.get(one, {}), parted.state.get(other, {})
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            np.testing.assert_array_equal(theirs[key], value, err_msg=key)
            if isinstance(value, np.ndarray):
                assert theirs[key].strides == value.strides


def test_state_that_begins_later_is_put_together(monkeypatch):
    """Momentum switched on in the middle starts in every block."""
    found = []
    for block in (32, 10**9):
        monkeypatch.setattr(blocks, "BLOCK", block)
        monkeypatch.setattr("tinygrad_course.optim.optimizer.BLOCK", block)
        p = tc.Tensor(np.linspace(-1, 1, 150), requires_grad=True)
        optimizer = optim.RMSprop([p], lr=0.1)
        for step in range(6):
            optimizer.param_groups[0]["momentum"] = 0.9 if step > 2 else 0.0
            p.grad = p.data * (step + 1)
            optimizer.step()
        found.append((p.data, optimizer.state[p]))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1].keys() == found[1][1].keys() >= {"momentum_buffer"}


def test_a_model_that_changes_its_dtype_keeps_its_state(monkeypatch):
    """State is converted with the parameter, in blocks as in one pass."""
    found = []
    for block in (32, 10**9):
        p, _, optimizer = run("adam", LAYOUTS["rows"], monkeypatch, block)
        p._data = p.data.astype(np.float32)
        p.grad = np.ones(p.shape)
        optimizer.step()
        assert optimizer.state[p]["exp_avg"].dtype == np.float32
        found.append(p.data)
    np.testing.assert_array_equal(*found)


def test_real_sizes_use_blocks_and_threads():
    """With the block size that is used, a large parameter ends with the bits of the plain rule."""
    rng = np.random.default_rng(1)
    data, g = (rng.normal(size=(1100, 1000)).astype(np.float32) for _ in range(2))
    p = tc.Tensor(data.copy(), requires_grad=True)
    optimizer = optim.Adam([p])
    state: dict = {}
    options = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
    for _ in range(3):
        p.grad = g
        optimizer.step()
        optimizer.update(data, g, state, **options)
    np.testing.assert_array_equal(p.data, data)
    np.testing.assert_array_equal(optimizer.state[p]["exp_avg_sq"], state["exp_avg_sq"])


def test_an_error_in_a_block_is_raised():
    """What goes wrong in a helping thread reaches the caller."""

    def rule(p, _g, _state):
        if p[0] > 0:
            raise ValueError("seen")

    p = np.zeros(blocks.BLOCK * 24)
    p[-blocks.BLOCK :] = 1
    with pytest.raises(ValueError, match="seen"):
        blocks.run(rule, [(p, p.copy(), {})])
