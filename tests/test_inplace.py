"""Recording switched on and off, writing in place, and values that change before backward."""

import asyncio
import gc
import inspect
import threading

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import Tensor, buffers, nn, optim
from tinygrad_course.errors import DtypeError, GraphError, ModifiedValueError, ShapeError


def leaf(data, dtype=float):
    return Tensor(np.array(data, dtype=dtype), requires_grad=True)


def here(offset=0):
    """Return ``file:line`` of the caller, as messages write it."""
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno + offset}"


# ---- scopes ----------------------------------------------------------------------------------


def test_no_grad_as_context_manager():
    """Inside no_grad nothing is recorded; enable_grad records again; leaving restores both."""
    x = leaf([1.0])
    with tc.no_grad():
        assert not (x * 2).requires_grad
        with tc.enable_grad():
            assert (x * 2).requires_grad
        assert not tc.split(x, 1)[0].requires_grad
    with pytest.raises(KeyError), tc.no_grad():
        raise KeyError
    switch = tc.no_grad()
    with switch, switch:
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_no_grad_as_decorator():
    """A decorated function or coroutine runs without recording, and keeps its name and result."""
    x = leaf([1.0])

    @tc.no_grad()
    def plain(value):
        return value * 2

    @tc.no_grad()
    async def waits(value):
        await asyncio.sleep(0)
        return value * 2

    assert plain.__name__ == "plain"
    assert not plain(x).requires_grad
    assert not asyncio.run(waits(x)).requires_grad
    assert (x * 2).requires_grad


def test_no_grad_is_per_thread():
    """A no_grad block in one thread does not stop the recording in another."""
    x = leaf([1.0])
    inside, seen = threading.Event(), threading.Event()
    quiet = []

    def other():
        with tc.no_grad():
            inside.set()
            seen.wait(5)
            quiet.append((x * 2).requires_grad)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(5)
    loud = (x * 2).requires_grad
    seen.set()
    thread.join()
    assert (loud, quiet) == (True, [False])


def test_no_grad_is_per_task():
    """A no_grad block in one task does not stop the recording in another that runs meanwhile."""
    x = leaf([1.0])

    async def quiet(inside, done):
        with tc.no_grad():
            inside.set()
            await done.wait()
            return (x * 2).requires_grad

    async def both():
        inside, done = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(quiet(inside, done))
        await inside.wait()
        loud = (x * 2).requires_grad
        done.set()
        return loud, await task

    assert asyncio.run(both()) == (True, False)


# ---- updates without recording ---------------------------------------------------------------


def test_update_under_no_grad():
    """Under no_grad an update changes the leaf's own memory, and the next backward sees it."""
    w = leaf([1.0, 2.0])
    memory = w.data
    (w * w).sum().backward()
    with tc.no_grad():
        w -= 0.25 * w.grad
        w[0] = 5.0
        w *= 2
        w += 1
        w /= 2
    assert w.data is memory
    assert (w.is_leaf, w.requires_grad) == (True, True)
    np.testing.assert_array_equal(w.data, [5.5, 1.5])
    w.grad = None
    (w * w).sum().backward()
    np.testing.assert_array_equal(w.grad, 2 * w.data)


def test_update_of_a_number():
    """A leaf that holds one number is updated in place like any other."""
    w = Tensor(3.0, requires_grad=True)
    (w * w).backward()
    with tc.no_grad():
        w -= 0.5 * w.grad
    assert w.item() == 0.0
    assert w.requires_grad


def test_assign_to_a_number():
    """assign overwrites a Tensor that holds one number, also where that was never an array."""
    for t in (Tensor(1.0), Tensor([3.0, 4.0]).sum(), Tensor(np.array(1.0))):
        tc.assign(t, 2.0)
        assert t.item() == 2.0


def test_writes_into_plain_tensors():
    """Without gradients, writes go to the shared memory, through views too, and keep the dtype."""
    data = np.zeros(3)
    t = Tensor(data)
    t[1:] += 2
    view = t[:2]
    view += 1
    t[0] = 9
    np.testing.assert_array_equal(data, [9.0, 3.0, 2.0])
    whole = Tensor([1, 2])
    with pytest.raises(DtypeError, match="assign"):
        whole += 0.5
    with pytest.raises(ShapeError, match="assign"):
        t += np.ones((2, 3))
    with pytest.raises(ValueError, match="read-only"):
        tc.assign(Tensor(np.broadcast_to(1.0, (3,))), 2.0)


# ---- what is refused while recording ---------------------------------------------------------


def _add(t):
    t += 1


def _times(t):
    t *= 2


def _set(t):
    t[0] = 1.0


def _power(t):
    t **= 2


@pytest.mark.parametrize("write", [_add, _times, _set, _power])
def test_leaf_that_requires_grad_is_refused(write):
    """While recording, a leaf that requires grad is not overwritten; the message says the cure."""
    w = leaf([1.0, 2.0])
    with pytest.raises(GraphError, match=r"leaf.*new name.*no_grad\(\).*test_inplace\.py:\d+"):
        write(w)
    np.testing.assert_array_equal(w.data, [1.0, 2.0])


_VIEWS = {
    "getitem": lambda t: t[:1],
    "reshape": lambda t: t.reshape(2, 1),
    "transpose": lambda t: t.T,
    "detach": lambda t: t.detach(),
    "split": lambda t: tc.split(t, 2)[0],
    "broadcast_to": lambda t: tc.broadcast_to(t, (3, 2)),
    "view of a view": lambda t: t.reshape(1, 2)[0],
}


@pytest.mark.parametrize("name", _VIEWS)
def test_views_and_their_bases_are_refused(name):
    """While recording, neither a view nor a base with a live view can be overwritten."""
    base = leaf([1.0, 2.0]) * 1
    view = _VIEWS[name](base)
    assert np.shares_memory(view.data, base.data)
    with pytest.raises(GraphError, match=r"view of the same memory.*copy\(\)"):
        base += 1
    with pytest.raises(GraphError, match=r"view of the same memory.*copy\(\)"):
        view *= leaf(2.0)
    np.testing.assert_array_equal(base.data, [1.0, 2.0])
    del view
    base += 1
    np.testing.assert_array_equal(base.data, [2.0, 3.0])


_COPIES = {
    "index array": lambda t: t[[0, 1]],
    "mask": lambda t: t[np.array([True, False])],
    "one element": lambda t: t[0],
    "copy": lambda t: t.copy(),
    "transposed reshape": lambda t: t.reshape(2, 1, 1)[:, [0, 0]].T.reshape(-1),
}


@pytest.mark.parametrize("name", _COPIES)
def test_copies_do_not_stand_in_the_way(name):
    """A Tensor that shares no memory with another does not stop it from being overwritten."""
    base = leaf([1.0, 2.0]) * 1
    other = _COPIES[name](base)
    assert not np.shares_memory(other.data, base.data)
    base += 1
    np.testing.assert_array_equal(base.data, [2.0, 3.0])


# ---- what is recorded ------------------------------------------------------------------------


def _replace(t, v):
    t[1] = v
    return t


def _replace_row(t, v):
    t[..., 0] = v * v
    return t


def _plus(t, v):
    t += v
    return t


def _minus(t, v):
    t -= v * t
    return t


def _multiplied(t, v):
    t *= v
    return t


def _divided(t, v):
    t /= v
    return t


def _raised(t, v):
    t **= v
    return t


_CASES = [
    (_replace, lambda t, v: t * [[1, 1], [0, 0]] + v * [[0, 0], [1, 1]]),
    (_replace_row, lambda t, v: t * [[0, 1], [0, 1]] + v * v * [[1, 0], [1, 0]]),
    (_plus, lambda t, v: t + v),
    (_minus, lambda t, v: t - v * t),
    (_multiplied, lambda t, v: t * v),
    (_divided, lambda t, v: t / v),
    (_raised, lambda t, v: t**v),
]


@pytest.mark.parametrize(("write", "functional"), _CASES)
def test_recorded_writes_have_the_functional_gradient(write, functional):
    """A recorded write gives the value and the gradients of the same step as a function."""
    results = []
    for step in (write, functional):
        x, v = leaf([[1.5, 2.5], [0.5, 3.0]]), leaf(1.5)
        t = x * 2
        early = tc.exp(t)
        t = step(t, v)
        (t * t * [[1.0, 2.0], [3.0, 4.0]] + early).sum().backward()
        results.append((t.data, x.grad, v.grad))
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_recorded_write_into_a_plain_tensor():
    """Writing a value that requires grad puts a plain Tensor into the graph; its array stays."""
    memory = np.zeros(3)
    t, x = Tensor(memory), leaf([1.0, 2.0])
    same = t
    t[:2] = x
    t += t
    assert same is t
    assert not t.is_leaf
    (t * t).sum().backward()
    np.testing.assert_array_equal(x.grad, 8 * x.data)
    np.testing.assert_array_equal(memory, [0.0, 0.0, 0.0])


# ---- values that change before backward ------------------------------------------------------


def _by_index(x):
    x[...] = 5.0
    return here(-1)


def _by_add(x):
    x += 1.0
    return here(-1)


def _by_data(x):
    x.data = np.zeros(2)
    return here(-1)


def _by_assign(x):
    tc.assign(x, 0.0)
    return here(-1)


def _by_view(x):
    x[:1][0] = 7.0
    return here(-1)


def _by_detached(x):
    view = x.detach()
    view *= 0
    return here(-1)


def _by_other_tensor(x):
    other = Tensor(x.data[::-1])
    other[1:] = 3.0
    return here(-1)


@pytest.mark.parametrize(
    ("write", "by"),
    [
        (_by_index, "assign_at"),
        (_by_add, "assign"),
        (_by_data, "assign"),
        (_by_assign, "assign"),
        (_by_view, "assign_at"),
        (_by_detached, "assign"),
        (_by_other_tensor, "assign_at"),
    ],
)
def test_changed_value_is_an_error_that_names_both_places(write, by):
    """A value changed after it was saved is an error with the operation, the write and its line."""
    x = leaf([1.0, 2.0])
    y = tc.sin(x)
    with tc.no_grad():
        line = write(x)
    with pytest.raises(ModifiedValueError, match=r"shape \(2,\) that sin saved") as caught:
        y.sum().backward()
    assert f"overwritten afterwards by {by}" in str(caught.value)
    assert line in str(caught.value)
    assert x.grad is None


def test_changed_result_is_an_error():
    """A result that its own rule needs is guarded like an input."""
    y = tc.exp(leaf([1.0, 2.0]))
    with tc.no_grad():
        y += 1
    with pytest.raises(ModifiedValueError, match="exp saved"):
        y.sum().backward()


def _step(model):
    model.weight.grad = np.ones((2, 2))
    optim.SGD(model.parameters(), lr=0.1).step()


def _adam(model):
    model.weight.grad = np.ones((2, 2))
    optim.Adam(model.parameters()).step()


def _load(model):
    model.load_state_dict({name: array.copy() for name, array in model.state_dict().items()})


@pytest.mark.parametrize(
    ("change", "by"),
    [(_step, r"SGD\.step"), (_adam, r"Adam\.step"), (_load, r"test_inplace\.py:\d+")],
)
def test_changed_parameter_is_an_error(change, by):
    """An optimizer step or a loaded state before backward is an error that names the layer."""
    model = nn.Linear(2, 2, dtype=np.float64)
    y = model(leaf(np.ones((3, 2)))).sum()
    change(model)
    with pytest.raises(ModifiedValueError, match=f"linear in Linear saved.*{by}"):
        y.backward()


def test_values_that_nobody_saved_may_change():
    """A value that no rule needs may be overwritten, and so may one that was consumed already."""
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    total = (x + y).sum() * 2
    with tc.no_grad():
        x *= 0
    total.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 2.0])
    z = leaf([1.0, 2.0])
    with tc.no_grad():
        z += 1
    square = (z * z).sum()
    square.backward()
    with tc.no_grad():
        z += 1
    np.testing.assert_array_equal(z.grad, [4.0, 6.0])


def test_a_kept_product_allows_a_change_of_the_other_factor():
    """Only what the wanted rules read is guarded against writes."""
    x, mask = leaf([1.0, 2.0]), Tensor([1.0, 0.0])
    y = tc.exp(x) + mask
    mask += 1
    y.sum().backward()
    np.testing.assert_allclose(x.grad, np.exp(x.data))


def test_a_reused_memory_id_gives_no_false_alarm():
    """An array that gets the id of a dead, overwritten one is not taken for it."""
    used = set()
    for _ in range(200):
        t = Tensor(np.zeros(4))
        t += 1
        used.add(id(t.data))
        del t
        x = leaf(np.ones(4))
        y = (x * x).sum()
        scratch = Tensor(np.zeros(2))
        scratch += 1
        used.add(id(x.data))
        y.backward()
    assert len(used) < 400  # ids were reused, or the test shows nothing


def test_the_table_of_writes_forgets_dead_arrays():
    """Overwritten arrays that are gone leave nothing in the table of writes."""
    gc.collect()
    before = len(buffers._written)
    tensors = [Tensor(np.zeros(4)) for _ in range(50)]
    for target in tensors:
        tc.assign(target, 1.0)
    assert len(buffers._written) == before + 50
    del target, tensors
    assert len(buffers._written) == before


# ---- debug -----------------------------------------------------------------------------------


def test_debug_finds_writes_through_raw_arrays():
    """Inside debug() a write behind the Tensor's back is an error that names the saving line."""
    data = np.array([1.0, 2.0])
    x = Tensor(data, requires_grad=True)
    with tc.debug():
        y = (tc.sin(x) * 2).sum()
        data[0] = 7.0
        with pytest.raises(ModifiedValueError, match=r"sin saved at .*test_inplace\.py:\d+"):
            y.backward()
        z = (tc.sin(x) * 2).sum()
        z.backward()
    np.testing.assert_allclose(x.grad, 2 * np.cos(data))


def test_debug_adds_the_saving_line_to_noticed_writes():
    """A write that is noticed anyway is reported with both lines."""
    x = leaf([1.0, 2.0])
    with tc.debug():
        y = tc.sin(x).sum()
        with tc.no_grad():
            x += 1.0
        with pytest.raises(
            ModifiedValueError, match=r"derivative at .*test_inplace.*by assign at .*test_inplace"
        ):
            y.backward()


def test_outside_debug_raw_writes_are_not_noticed():
    """The fast mode trusts raw arrays: the gradient is then that of the new value."""
    x = leaf([1.0, 2.0])
    y = tc.sin(x).sum()
    x.data[0] = 0.0
    y.backward()
    np.testing.assert_allclose(x.grad, np.cos([0.0, 2.0]))
