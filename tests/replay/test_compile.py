"""What can be compiled, what is guarded, and what is refused with a cure."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn
from tinygrad_course.errors import ArgumentError, TraceError
from tinygrad_course.replay.passes import PASSES

RATE = 2.0


def network(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Linear(4, 5, dtype=float, generator=rng),
        nn.BatchNorm1d(5, dtype=float),
        nn.Tanh(),
        nn.Linear(5, 2, dtype=float, generator=rng),
    )


# ---- functions without effects -----------------------------------------------------------------


def test_arrays_stay_arrays_and_tensors_tensors():
    """A compiled function returns what the function returns, of the same kinds."""

    def both(x, t):
        return {"array": np.exp(x), "pair": (t * 2, 3.0)}

    x, t = np.array([0.5, 1.0]), tc.Tensor([1.0, 2.0])
    compiled = tc.compile(both)
    for _ in range(2):
        found = compiled(x, t)
        assert isinstance(found["array"], np.ndarray)
        assert isinstance(found["pair"][0], tc.Tensor)
        assert found["pair"][1] == 3.0
        np.testing.assert_array_equal(found["array"], np.exp(x))
        np.testing.assert_array_equal(found["pair"][0].data, [2.0, 4.0])


@pytest.mark.parametrize("transform", [tc.grad, tc.jacobian, tc.hessian])
def test_transforms_can_be_compiled(transform):
    """Gradients, Jacobians and Hessians of a function have the eager bits for new inputs."""

    def f(x):
        return (tc.sin(x) * x**2).sum()

    compiled = tc.compile(transform(f))
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.normal(size=4)
        np.testing.assert_allclose(compiled(x), transform(f)(x), rtol=1e-14)


@dataclass
class Point:
    """Two arrays and a number."""

    x: np.ndarray
    y: np.ndarray
    scale: float


def test_nested_arguments():
    """Dicts, lists and dataclasses of arrays may be arguments, by position and by name."""

    @tc.compile
    def f(point, *, others):
        return point.x * point.y * point.scale + others["a"][0]

    for k in range(3):
        point = Point(np.arange(3.0) + k, np.ones(3), 2.0)
        found = f(point, others={"a": [np.full(3, 5.0)]})
        np.testing.assert_array_equal(found, 2 * point.x + 5)


def test_numbers_among_the_arguments_choose_the_replay():
    """A Python number is part of the program, so another one is another program."""
    compiled = tc.compile(lambda x, n: x * n)
    for n in (2, 3, 2, 2.5):
        np.testing.assert_array_equal(compiled(np.ones(2), n), np.full(2, n))


def test_views_and_writes_keep_their_meaning():
    """Writing through a view of a result is seen in the result, as NumPy does."""

    def f(x):
        y = x * 2
        top = y[:1]
        top += 100
        y[1, 0] = -1
        z = y.copy()
        y[...] = 0
        return z, y

    x = np.arange(4.0).reshape(2, 2)
    compiled = tc.compile(f)
    for _ in range(2):
        for found, expected in zip(compiled(x), f(x), strict=True):
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(x, np.arange(4.0).reshape(2, 2))


def test_arrays_captured_by_the_function_are_read_where_they_are():
    """A mask that is changed in place between calls has its new values."""
    mask = np.ones(3)
    compiled = tc.compile(lambda x: x * mask)
    compiled(np.ones(3))
    mask[1] = 5
    np.testing.assert_array_equal(compiled(np.ones(3)), [1, 5, 1])
    assert "captured arrays" in compiled.explain()


def test_several_results_of_one_call():
    """Functions that return tuples are unpacked in the source."""
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    compiled = tc.compile(lambda a: tc.linalg.eigh(tc.Tensor(a)).eigenvectors)
    for _ in range(2):
        np.testing.assert_array_equal(compiled(a).data, np.linalg.eigh(a).eigenvectors)


def test_a_compiled_function_inside_another_is_part_of_it():
    """Calls of compiled functions are traced through."""
    inner = tc.compile(lambda x: x * 2)
    outer = tc.compile(lambda x: inner(x) + 1)
    np.testing.assert_array_equal(outer(np.ones(2)), [3, 3])
    assert "* 2" in outer.source or "multiply" in outer.source


# ---- what a replay relies on -------------------------------------------------------------------


def test_numbers_in_closures_are_guards():
    """Another value of a captured number makes a new trace."""
    scale = 2.0

    def f(x):
        return x * scale

    compiled = tc.compile(f)
    assert compiled(np.ones(1))[0] == 2
    scale = 3.0
    assert compiled(np.ones(1))[0] == 3
    assert "scale = 3.0" in compiled.explain()


def test_numbers_among_the_globals_are_guards(monkeypatch):
    """So are those of the module."""
    compiled = tc.compile(lambda x: x * RATE)
    assert compiled(np.ones(1))[0] == 2
    monkeypatch.setitem(globals(), "RATE", 7.0)
    assert compiled(np.ones(1))[0] == 7


def test_options_of_modules_are_guards():
    """A slope or a probability that is changed on the layer takes effect."""
    layer = nn.LeakyReLU(0.5)
    compiled = tc.compile(lambda x: layer(tc.Tensor(x)))
    assert compiled(np.array([-1.0])).item() == -0.5
    layer.negative_slope = 0.25
    assert compiled(np.array([-1.0])).item() == -0.25


def test_another_dtype_is_traced_anew():
    """float32 and float64 arguments have replays of their own."""
    compiled = tc.compile(lambda x: x + 1)
    for dtype in (np.float32, np.float64, np.float32, np.int64):
        assert compiled(np.ones(2, dtype)).dtype == np.ones(2, dtype).dtype


def test_whether_a_gradient_is_wanted_is_a_guard():
    """Freezing a parameter makes a new trace."""
    w = tc.Tensor([2.0], requires_grad=True)

    def f(x, t):
        y = (x * t).sum()
        return y.requires_grad

    compiled = tc.compile(f)
    assert compiled(np.ones(1), w) is True
    assert compiled(np.ones(1), tc.Tensor([2.0])) is False


# ---- refusals ------------------------------------------------------------------------------------


def square(x):
    return tc.Tensor(x) ** 2


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda x: float(square(x).sum()), "item\\(\\).*return the array"),
        (lambda x: square(x).sum().item(), "item\\(\\).*return the array"),
        (lambda x: int(x.sum()), "int\\(\\)"),
        (lambda x: x if square(x).sum() > 1 else -x, "a condition.*np.where"),
        (lambda x: [1, 2, 3][x.argmax()], "an index"),
        (lambda x: np.asarray(square(x)), "plain array"),
        (np.array, "plain array"),
        (lambda x: x.tolist(), "tolist"),
        (lambda x: 1.0 in x, "`in`"),
        (lambda x: np.exp(x, out=np.empty(3)), "written into a plain array.*empty_like"),
    ],
)
def test_values_must_not_leave_the_trace(step, words):
    """What needs a value while tracing is refused, with the user's line and a cure."""
    with pytest.raises(TraceError, match=words) as caught:
        tc.compile(step)(np.ones(3))
    assert "test_compile.py:" in str(caught.value)


def test_random_numbers_of_ones_own_are_refused():
    """An array drawn inside the step would be the same at every replay."""
    rng = np.random.default_rng(0)
    with pytest.raises(TraceError, match="differs from one run to the next.*nn.Dropout"):
        tc.compile(lambda x: x * rng.random(3))(np.ones(3))


def test_a_counter_of_ones_own_is_refused():
    """A Python number that counts calls would stand still."""
    count = [0]

    def f(x):
        count[0] += 1
        return x * count[0]

    with pytest.raises(TraceError, match="differs from one run to the next"):
        tc.compile(f)(np.ones(3))


def test_a_step_that_does_other_things_each_time_is_refused():
    """The two traces must be one program."""
    seen = []

    def f(x):
        seen.append(1)
        return x + 1 if len(seen) % 2 else np.exp(np.exp(x))

    with pytest.raises(TraceError, match="does not do the same twice"):
        tc.compile(f)(np.ones(3))


def test_what_a_trace_left_elsewhere_is_refused_later():
    """A stand-in kept in a list is recognised, and the message says to return it."""
    kept = []

    def f(x):
        kept.append(np.exp(x))
        return x

    tc.compile(f)(np.ones(3))
    with pytest.raises(TraceError, match="return values from the function"):
        kept[0] + 1


def test_a_tensor_that_a_trace_left_behind_is_no_trouble():
    """It cannot be used, but later traces leave all others as they were."""
    kept = []

    def f(x):
        kept.append(tc.Tensor(x, requires_grad=True))
        return x * 2

    others = [tc.Tensor([1.0, 2.0], requires_grad=True) for _ in range(3)]
    for _ in range(2):
        tc.compile(f)(np.ones(2))
    assert len(kept) >= 4
    for other in others:
        assert isinstance(other.data, np.ndarray)
        assert other.grad is None


def test_bad_arguments():
    """Something that is no function, and unknown passes, are refused."""
    with pytest.raises(ArgumentError, match="expected a function, got int"):
        tc.compile(3)
    with pytest.raises(ArgumentError, match="unknown passes.*'nothing'.*dead steps"):
        tc.compile(lambda x: x, passes=["nothing"])
    with pytest.raises(ArgumentError, match="has not run yet"):
        tc.compile(lambda x: x).source  # noqa: B018 - the property raises


def test_debug_mode_notices_what_a_replay_cannot_see():
    """An attribute of an ordinary object is no guard; with debug the difference is an error."""

    class Settings:
        scale = 2.0

    settings = Settings()
    compiled = tc.compile(lambda x: x * settings.scale, debug=True)
    np.testing.assert_array_equal(compiled(np.ones(2)), [2, 2])
    settings.scale = 3.0
    with pytest.raises(TraceError, match=r"debug mode, result 0 differs.*\.clear\(\)"):
        compiled(np.ones(2))
    compiled.clear()
    np.testing.assert_array_equal(compiled(np.ones(2)), [3, 3])


def test_debug_mode_lets_a_right_step_pass():
    """A training step in debug mode is the same step."""
    eager, eager_step = training_step()
    model, step = training_step()
    compiled = tc.compile(step, debug=True)
    x, y = data()
    for _ in range(3):
        np.testing.assert_allclose(compiled(x, y).item(), eager_step(x, y).item(), rtol=1e-13)
    for key, value in model.state_dict().items():
        np.testing.assert_allclose(value, eager.state_dict()[key], rtol=1e-12, err_msg=key)


# ---- source and passes -------------------------------------------------------------------------


def training_step():
    model = network()
    criterion = nn.CrossEntropyLoss()

    def step(x, y):
        for p in model.parameters():
            p.grad = None
        loss = criterion(model(x), y)
        loss.backward()
        with tc.no_grad():
            for p in model.parameters():
                p.data -= 0.1 * p.grad
        return loss

    return model, step


def data():
    rng = np.random.default_rng(3)
    return rng.normal(size=(6, 4)), rng.integers(0, 2, 6)


@pytest.mark.parametrize("passes", [(), *[(name,) for name in PASSES], tuple(PASSES)], ids=str)
@pytest.mark.parametrize("reuse", [True, False])
def test_every_pass_keeps_the_results(passes, reuse):
    """With any pass alone, with none and with all, three steps have the eager bits."""
    eager, eager_step = training_step()
    model, step = training_step()
    compiled = tc.compile(step, passes=passes, reuse_buffers=reuse)
    x, y = data()
    for _ in range(3):
        np.testing.assert_allclose(compiled(x, y).item(), eager_step(x, y).item(), rtol=1e-13)
    for key, value in model.state_dict().items():
        np.testing.assert_allclose(value, eager.state_dict()[key], rtol=1e-12, err_msg=key)


def test_what_nobody_reads_is_not_computed():
    """A result that goes nowhere is left out, a write into an argument is not."""

    def f(x, y):
        np.exp(x)
        y += 1
        return x + 1

    compiled, y = tc.compile(f), np.zeros(2)
    compiled(np.ones(2), y)
    assert "exp" not in compiled.source
    np.testing.assert_array_equal(y, [1, 1])


@pytest.mark.parametrize("name", ["copies", "assignments"])
def test_a_pass_leaves_out_calls(name):
    """Each of these passes makes the step shorter."""
    x, y = data()
    lengths = []
    for passes in ((), (name,)):
        _, step = training_step()
        compiled = tc.compile(step, passes=passes)
        compiled(x, y)
        lengths.append(len(compiled.plan.steps))
    assert lengths[1] < lengths[0]


def test_repetitions_are_computed_once():
    """The same call on the same values stands once in the source."""
    compiled = tc.compile(lambda x: np.exp(x) + np.exp(x))
    np.testing.assert_array_equal(compiled(np.ones(2)), 2 * np.exp(np.ones(2)))
    assert compiled.source.count("np.exp(") == 1


def test_memory_is_used_again():
    """Fewer bytes are held than results are made."""
    _, step = training_step()
    shared, apart = tc.compile(step), tc.compile(step, reuse_buffers=False)
    x, y = data()
    shared(x, y), apart(x, y)
    assert shared._latest.source.buffers < apart._latest.source.buffers


def test_the_source_is_numpy_that_runs_by_itself():
    """The text, given the arrays it names, computes what the function computes."""
    w = tc.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="weight")
    compiled = tc.compile(lambda x: tc.tanh(x @ w))
    x = np.array([[0.1, 0.2]])
    expected = compiled(x)
    namespace = {"np": np}
    exec(compiled.source, namespace)
    (found,) = namespace["make"](w.data)(x)
    np.testing.assert_array_equal(found, expected.data)


def test_the_source_names_what_the_person_named():
    """Arguments, parameters, layers and operations stand in the source by name."""
    _, step = training_step()
    compiled = tc.compile(step)
    compiled(*data())
    source = compiled.source
    for text in (
        "def step(x, y)",
        "layer_0_weight",
        "Linear(4, 5)",
        "backward of linear",
        "softmax_cross_entropy",
        "(6, 5) float64",
    ):
        assert text in source


def test_explain_says_what_was_done():
    """The passes with their effect, the buffers and the guards."""
    _, step = training_step()
    compiled = tc.compile(step)
    compiled(*data())
    text = compiled.explain()
    for words in ("NumPy calls", *PASSES, "buffers", "modes and options of"):
        assert words in text


def test_the_plan_can_be_drawn():
    """The calls of a training step are drawn in the frames of their modules, phase by phase."""
    _, step = training_step()
    compiled = tc.compile(step)
    compiled(*data())
    picture = tc.viz.graph(compiled.plan)
    titles = [node.title for node in picture.nodes]
    products = [s for s in compiled.plan.steps if s.text == "np.dot" and s.note.phase == "forward"]
    assert sum(s.note.operation == "linear" for s in products) == 2
    assert sum("dot (forward)" in title for title in titles) == len(products)
    assert any("backward" in title for title in titles)
    assert "layer_0_weight" in titles
    assert picture.svg().rstrip().endswith("</svg>")


def test_clear_forgets_the_replays():
    """After clear() the next call traces again."""
    calls = []

    def f(x):
        calls.append(1)
        return x + 1

    compiled = tc.compile(f)
    compiled(np.ones(1))
    traced = len(calls)
    compiled.clear()
    compiled(np.ones(1))
    assert len(calls) == 2 * traced
    assert repr(compiled) == "<compiled f: 1 replay>"


# ---- what cannot be one straight line ------------------------------------------------------------


def test_functions_that_return_before_they_work_are_refused():
    """A generator or a coroutine has done nothing yet when it returns."""

    def values(x):
        yield x

    async def later(x):
        return x

    async def stream(x):
        yield x

    for function, what in ((values, "generator"), (later, "coroutine"), (stream, "generator")):
        with pytest.raises(ArgumentError, match=f"{function.__name__} is a {what} function"):
            tc.compile(function)


@pytest.mark.parametrize(
    "result",
    [object(), {1.0}, range(3), iter([1.0])],
    ids=["object", "set", "range", "iterator"],
)
def test_a_result_that_a_replay_cannot_make_is_refused(result):
    """Every call would return the same object, which the function may have made anew."""
    with pytest.raises(
        TraceError, match=rf"returned {type(result).__name__}; a replay returns Ten"
    ):
        tc.compile(lambda x: result)(np.ones(2))


@pytest.mark.parametrize("result", [None, 2.5, "done", True, np.float32(1)], ids=repr)
def test_plain_results_are_returned_as_they_are(result):
    """A step may return nothing, a number or a word."""
    compiled = tc.compile(lambda x: result)
    assert [compiled(np.ones(2)) for _ in range(2)] == [result, result]


def test_recursion_with_an_end_is_a_straight_line():
    """A function that calls itself, compiled or not, becomes one line of calls."""

    @tc.compile
    def power(x, n=3):
        return power(x, n - 1) * x if n else x

    x = np.array([2.0, 3.0])
    for _ in range(2):
        np.testing.assert_array_equal(power(x), x**4)
    assert len(power.plan.steps) == 3


def test_recursion_without_an_end_is_named():
    """It is refused with the function's name, and the next call of another function works."""

    @tc.compile
    def endless(x):
        return endless(x * 2)

    with pytest.raises(TraceError, match="endless calls itself without an end"):
        endless(np.ones(2))
    assert tc.compile(lambda x: x + 1)(np.ones(1)) == 2


def test_a_compiled_function_in_a_compiled_function_is_part_of_it():
    """Also if it has a replay for these shapes already."""
    inner = tc.compile(lambda x: np.exp(x) * 2)
    x = np.array([0.5, 1.0])
    inner(x)
    outer = tc.compile(lambda x: inner(x) + 1)
    for _ in range(2):
        np.testing.assert_array_equal(outer(x), np.exp(x) * 2 + 1)
    assert "np.exp" in outer.source


def test_libraries_of_plain_arrays_are_refused_with_a_cure():
    """The line is the user's, and the message says where such a call belongs."""
    linalg = pytest.importorskip("scipy.linalg")
    with pytest.raises(TraceError, match=r"test_compile\.py:\d+ needs .* SciPy, belong before or"):
        tc.compile(linalg.expm)(np.eye(2))


@pytest.mark.parametrize("older", [False, True], ids=["new", "older"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_threads_inside_a_step_are_refused(older):
    """What another thread computes for the step would be frozen at its first value."""
    with ThreadPoolExecutor(2) as pool:
        if older:
            list(pool.map(lambda _: time.sleep(0.05), range(2)))  # now its threads are there

        weight = tc.Tensor([3.0, 4.0])

        def of_the_argument(x):
            return sum(pool.map(lambda k: x * k, range(4)))

        def of_a_tensor(x):
            return x + next(pool.map(lambda k: weight.data * k, [2]))

        for step in (of_the_argument, of_a_tensor):
            with pytest.raises(TraceError, match="another thread computes with arrays of the"):
                tc.compile(step)(tc.Tensor([1.0, 2.0]))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_nobody_listens_to_is_refused():
    """An error in a thread reaches nobody, so the one who called the step gets it."""

    def step(x):
        thread = threading.Thread(target=lambda: x * 3)
        thread.start()
        thread.join()
        return x * 2

    with pytest.raises(TraceError, match="another thread computes"):
        tc.compile(step)(np.ones(2))


def test_another_thread_may_use_the_model_while_it_is_traced():
    """Only the step itself must stay in one thread."""
    layer = nn.Linear(3, 2, dtype=float)
    x = np.random.default_rng(0).normal(size=(4, 3))
    expected = layer(x).data
    asked, answered, found = threading.Event(), threading.Event(), []

    def serve():
        asked.wait(20)
        found.append(layer(x).data)
        answered.set()

    server = threading.Thread(target=serve)
    server.start()

    def step(x):
        asked.set()
        assert answered.wait(20)
        return layer(x)

    np.testing.assert_allclose(tc.compile(step)(x).data, expected, rtol=1e-14)
    server.join()
    np.testing.assert_allclose(np.asarray(found[0]), expected, rtol=1e-14)


def test_threads_take_turns():
    """Two threads that call one compiled function do not compute in each other's buffers."""
    layer = nn.Sequential(nn.Linear(80, 80, dtype=float), nn.Tanh(), nn.Linear(80, 80, dtype=float))
    compiled = tc.compile(lambda x: (layer(x) ** 2).sum())
    inputs = [np.random.default_rng(i).normal(size=(60, 80)) for i in range(2)]
    expected = [compiled(x).item() for x in inputs]
    assert expected[0] != expected[1]

    def work(i):
        return {compiled(inputs[i]).item() for _ in range(300)}

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [{value} for value in expected]


# ---- what the function takes from its surroundings -----------------------------------------------

FACTOR = 2.0
MASK = np.ones(3)


class Holder:
    """Something with attributes, and a method that reads them."""

    def __init__(self):
        self.scale, self.mask, self.unused = 2.0, np.ones(3), np.ones(3)

    def step(self, x):
        return x * self.mask * self.scale


def with_globals(x):
    return x * MASK * FACTOR


def places():
    """Yield for every place: a function that reads a number and an array there, and a setter."""
    values = {"scale": 2.0, "mask": np.ones(3)}
    pair = [2.0, np.ones(3)]
    scale, mask = 2.0, np.ones(3)

    def set_cells(number, array):
        nonlocal scale, mask
        scale, mask = number, array

    def set_globals(number, array):
        globals().update(FACTOR=number, MASK=array)

    def set_list(number, array):
        pair[:] = [number, array]

    holder = Holder()

    def set_attributes(number, array):
        holder.scale, holder.mask = number, array

    tensor = [tc.Tensor(np.ones(3))]

    yield "cells", lambda x: x * mask * scale, set_cells
    yield "globals", with_globals, set_globals
    yield "helper", lambda x: with_globals(x) * 1, set_globals
    yield (
        "dict",
        lambda x: x * values["mask"] * values["scale"],
        lambda n, a: values.update(scale=n, mask=a),
    )
    yield "list", lambda x: x * pair[1] * pair[0], set_list
    yield "object", lambda x: x * holder.mask * holder.scale, set_attributes
    yield "method", holder.step, set_attributes
    yield (
        "tensor",
        lambda x: (x * tensor[0]).data * pair[0],
        lambda n, a: (
            tensor.__setitem__(0, tc.Tensor(a)),
            pair.__setitem__(0, n),
        ),
    )


@pytest.mark.parametrize("place", [name for name, _, _ in places()])
def test_what_is_replaced_outside_is_noticed(place):
    """Another number or another array under a name that the function reads makes a new trace."""
    function, put = next((f, put) for name, f, put in places() if name == place)
    x, zeros, ones = np.array([1.0, 2.0, 3.0]), np.zeros(3), np.ones(3)
    put(2.0, ones)
    compiled = tc.compile(function)
    for number, array in ((2.0, ones), (2.0, zeros), (3.0, zeros), (3.0, ones), (2.0, ones)):
        put(number, array)
        np.testing.assert_array_equal(compiled(x), x * array * number)
    count = 5 if place == "tensor" else 4  # each time another Tensor
    assert repr(compiled).endswith(f": {count} replays>")
    ones[1] = 5.0  # the array itself is read where it is
    np.testing.assert_array_equal(compiled(x), x * [1.0, 5.0, 1.0] * 2.0)
    assert repr(compiled).endswith(f": {count} replays>")


def test_what_is_replaced_but_not_used_makes_no_new_trace():
    """Only arrays that the program reads are looked for."""
    holder = Holder()
    compiled = tc.compile(lambda x: x * holder.mask if holder.unused is not None else x)
    for _ in range(3):
        compiled(np.ones(3))
        holder.unused = np.zeros(3)
    assert repr(compiled).endswith(": 1 replay>")


def test_a_place_that_is_gone_makes_a_new_trace():
    """The function then says itself what it misses."""
    values = {"scale": 2.0}
    compiled = tc.compile(lambda x: x * values["scale"])
    compiled(np.ones(3))
    del values["scale"]
    with pytest.raises(KeyError, match="scale"):
        compiled(np.ones(3))


def test_explain_names_what_was_captured():
    """Numbers with their values, arrays by the names that the user gave them."""
    mask, scale = np.ones(3), 2.0
    compiled = tc.compile(lambda x: x * mask * scale)
    compiled(np.ones(3))
    text = compiled.explain()
    for words in ("mask (3,) float64", "mask is the same ndarray", "scale = 2.0"):
        assert words in text


def test_only_so_many_replays_are_kept():
    """A step that is traced anew at every call does not fill the memory."""
    numbers = [0.0]
    compiled = tc.compile(lambda x: x * numbers[0])
    for number in range(20):
        numbers[0] = float(number)
        np.testing.assert_array_equal(compiled(np.ones(2)), [number, number])
    assert repr(compiled).endswith(": 8 replays>")


class Masked(nn.Module):
    """A layer with an array that is no parameter."""

    def __init__(self):
        super().__init__()
        self.mask, self.linear = np.ones(3), nn.Linear(3, 2, dtype=float)

    def forward(self, x):
        return self.linear(x * self.mask)


@pytest.mark.parametrize("what", ["array", "parameter", "layer", "layer of a sequence", "more"])
def test_what_is_replaced_inside_a_model_is_noticed(what):
    """Arrays, parameters and layers that a module holds may be exchanged between steps."""
    model = nn.Sequential(Masked(), nn.Tanh())
    compiled = tc.compile(model)
    x = np.random.default_rng(0).normal(size=(4, 3))
    compiled(x)
    if what == "array":
        model[0].mask = np.array([1.0, 0.0, 2.0])
    elif what == "parameter":
        model[0].linear.weight = nn.Parameter(np.ones((2, 3)))
    elif what == "layer":
        model[0].linear = nn.Linear(3, 2, dtype=float)
    elif what == "layer of a sequence":
        model[1] = nn.ReLU()
    else:
        model.append(nn.Sigmoid())
    np.testing.assert_allclose(compiled(x).data, model(x).data, rtol=1e-14)
