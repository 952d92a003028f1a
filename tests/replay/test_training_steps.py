"""Compiled training steps do what eager steps do, to the bit, and change the same objects."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, optim
from tinygrad_course.errors import ModifiedValueError, TraceError
from tinygrad_course.replay.traced import Traced

OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.1}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "rmsprop": ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5}),
    "adam": ("Adam", {"lr": 0.01, "weight_decay": 0.01}),
}
BODIES = {
    "relu": lambda d: [nn.ReLU()],
    "batch norm": lambda d: [nn.BatchNorm1d(6, dtype=d), nn.Tanh()],
    "dropout": lambda d: [nn.Sigmoid(), nn.Dropout(0.4, generator=np.random.default_rng(7))],
}


def make(body="relu", optimizer="sgd", dtype=np.float32):
    """Return a small classifier, its optimizer and its training step, always the same."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Linear(5, 6, dtype=dtype, generator=rng),
        *BODIES[body](dtype),
        nn.Linear(6, 3, dtype=dtype, generator=rng),
    )
    kind, options = OPTIMIZERS[optimizer]
    opt = getattr(optim, kind)(model.parameters(), **options)
    criterion = nn.CrossEntropyLoss()

    def step(x, y):
        opt.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return model, opt, step


def batches(count=6, m=8, dtype=np.float32):
    rng = np.random.default_rng(1)
    return [(rng.normal(size=(m, 5)).astype(dtype), rng.integers(0, 3, m)) for _ in range(count)]


def assert_alike(ours, theirs):
    """Parameters, statistics and gradients of two models are equal to the bit."""
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert type(p.grad) is type(q.grad)
        if p.grad is not None:
            np.testing.assert_array_equal(p.grad, q.grad)
            assert p.grad.dtype == p.dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("body", BODIES)
def test_a_compiled_step_has_the_bits_of_an_eager_one(body, optimizer, dtype):
    """Losses, parameters, statistics and gradients agree over steps with a changing rate."""
    eager, eager_opt, eager_step = make(body, optimizer, dtype)
    model, opt, step = make(body, optimizer, dtype)
    compiled = tc.compile(step)
    for i, (x, y) in enumerate(batches(dtype=dtype)):
        for o in (eager_opt, opt):
            o.param_groups[0]["lr"] *= 0.9
        expected, found = eager_step(x, y), compiled(x, y)
        assert found.item() == expected.item(), f"step {i}"
        assert found.dtype == expected.dtype
        assert_alike(model, eager)


UPDATE_RULES = [
    name
    for name, kind in vars(optim).items()
    if isinstance(kind, type) and issubclass(kind, optim.Optimizer)
    if name not in ("Optimizer", "LBFGS")  # LBFGS looks at the loss to decide what to do
]


@pytest.mark.parametrize("kind", UPDATE_RULES)
def test_every_optimizer_can_be_compiled(kind):
    """Twelve steps of each update rule, with what it decides on the way, have the eager bits."""
    steps, weights = [], []
    for _ in range(2):
        rng = np.random.default_rng(0)
        w = tc.Tensor(rng.normal(size=(3, 4)), requires_grad=True)
        opt = getattr(optim, kind)([w], lr=0.01)

        def step(x, w=w, opt=opt):
            opt.zero_grad()
            loss = (tc.tanh(x @ w) ** 2).sum()
            loss.backward()
            opt.step()
            return loss

        steps.append(step)
        weights.append(w)
    compiled = tc.compile(steps[1])
    for x in np.random.default_rng(1).normal(size=(12, 5, 3)):
        assert compiled(x).item() == steps[0](x).item()
        np.testing.assert_array_equal(weights[1].data, weights[0].data)


@pytest.mark.parametrize("body", BODIES)
def test_eager_and_compiled_steps_may_alternate(body):
    """Both change the same parameters, statistics, optimizer state and random stream."""
    eager, _, eager_step = make(body, "adam")
    model, _, step = make(body, "adam")
    compiled = tc.compile(step)
    for i, (x, y) in enumerate(batches(8)):
        expected = eager_step(x, y)
        found = (step if i % 3 == 1 else compiled)(x, y)
        assert found.item() == expected.item()
        assert_alike(model, eager)


def test_a_step_is_replayed_and_not_run():
    """After the traces the function itself does not run any more."""
    _, _, step = make()
    calls = []

    def counted(x, y):
        calls.append(1)
        return step(x, y)

    compiled = tc.compile(counted)
    data = batches(6)
    for x, y in data[:2]:
        compiled(x, y)
    traced = len(calls)
    for x, y in data[2:]:
        compiled(x, y)
    assert len(calls) == traced


def test_tracing_changes_nothing():
    """A step that fails while it is traced leaves parameters, state and generators as they were."""
    model, opt, step = make("dropout", "adam")
    x, y = batches(1)[0]
    step(x, y)
    generator = model[2].generator
    before = {k: v.copy() for k, v in model.state_dict().items()}
    state = [{k: np.copy(v) for k, v in own.items()} for own in opt.state.values()]
    stream = str(generator.bit_generator.state)

    def failing(x, y):
        step(x, y)
        raise RuntimeError("after the update")

    with pytest.raises(RuntimeError, match="after the update"):
        tc.compile(failing)(x, y)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    for own, saved in zip(opt.state.values(), state, strict=True):
        assert own.keys() == saved.keys()
        for key in own:
            np.testing.assert_array_equal(own[key], saved[key])
            assert isinstance(own[key], np.ndarray | int)
    assert str(generator.bit_generator.state) == stream
    assert step(x, y).item() > 0  # and everything still works


def test_another_batch_size_is_traced_anew():
    """The last short batch of an epoch has a replay of its own."""
    eager, _, eager_step = make("batch norm")
    model, _, step = make("batch norm")
    compiled = tc.compile(step)
    for m in (8, 5, 8, 5):
        x, y = batches(1, m)[0]
        assert compiled(x, y).item() == eager_step(x, y).item()
    assert_alike(model, eager)


@pytest.mark.parametrize("body", ["batch norm", "dropout"])
def test_evaluation_mode_is_noticed(body):
    """A compiled prediction follows model.eval(), and statistics that training moved on."""
    model, _, step = make(body)
    predict = tc.compile(model)
    x, y = batches(1)[0]
    for _ in range(2):
        step(x, y)
        model.eval()
        np.testing.assert_array_equal(predict(x).data, model(x).data)
        model.train()


def test_options_of_the_optimizer_are_read_at_every_step():
    """Momentum that is switched on later, and a rate given as a NumPy number, take effect."""
    eager, eager_opt, eager_step = make()
    model, opt, step = make()
    compiled = tc.compile(step)
    for i, (x, y) in enumerate(batches(8)):
        for o in (eager_opt, opt):
            o.param_groups[0]["momentum"] = 0.0 if i < 3 else 0.9
            o.param_groups[0]["lr"] = np.float64(0.1) / (i + 1)
            o.param_groups[0]["nesterov"] = i > 5
        assert compiled(x, y).item() == eager_step(x, y).item()
    assert_alike(model, eager)


@pytest.mark.parametrize("kind", ["StepLR", "CosineAnnealingWarmRestarts", "InverseTimeLR"])
def test_a_schedule_may_be_part_of_the_step(kind):
    """The schedule moves once for every replay, and not while the step is traced."""
    rates = []
    for compiled in (False, True):
        _, opt, train = make()
        options = {"StepLR": {"step_size": 2}, "CosineAnnealingWarmRestarts": {"T_0": 3}}
        schedule = getattr(optim.lr_scheduler, kind)(opt, **options.get(kind, {"decay_rate": 0.5}))

        def step(x, y, train=train, schedule=schedule):
            loss = train(x, y)
            schedule.step()
            return loss

        step = tc.compile(step) if compiled else step
        rates.append([])
        for x, y in batches(7):
            rates[-1].append((step(x, y).item(), opt.param_groups[0]["lr"]))
    assert rates[0] == rates[1]
    assert len({rate for _, rate in rates[0]}) > 2


def test_a_schedule_that_looks_at_the_loss_stands_outside():
    """ReduceLROnPlateau needs the value, so it is refused inside, with the cure."""
    _, opt, train = make()
    schedule = optim.lr_scheduler.ReduceLROnPlateau(opt)
    x, y = batches(1)[0]
    with pytest.raises(TraceError, match="take it out of the step"):
        tc.compile(lambda x, y: schedule.step(train(x, y)))(x, y)


def test_a_loaded_state_is_noticed():
    """load_state_dict of the optimizer puts new arrays into its state; the replay uses them."""
    eager, _, eager_step = make(optimizer="adam")
    model, opt, step = make(optimizer="adam")
    compiled = tc.compile(step)
    data = batches(6)
    for x, y in data[:3]:
        compiled(x, y)
        eager_step(x, y)
    saved, start = opt.state_dict(), {k: v.copy() for k, v in model.state_dict().items()}
    for x, y in data[3:]:
        compiled(x, y)
    opt.load_state_dict(saved)
    model.load_state_dict(start)
    for x, y in data[3:]:
        assert compiled(x, y).item() == eager_step(x, y).item()
    assert_alike(model, eager)


def test_other_memory_for_a_parameter_is_noticed():
    """model.to(float64) and back gives the parameters new arrays; the replay finds them."""
    eager, _, eager_step = make()
    model, _, step = make()
    compiled = tc.compile(step)
    (x, y), (x2, y2) = batches(2)
    for _ in range(2):
        compiled(x, y), eager_step(x, y)
    for m in (model, eager):
        m.to(np.float64).to(np.float32)
        for p in m.parameters():
            p.grad = np.zeros(p.shape)
    assert compiled(x2, y2).item() == eager_step(x2, y2).item()
    assert_alike(model, eager)


def test_gradients_add_up_if_they_are_not_forgotten():
    """Two backward passes without zero_grad between them accumulate, as in eager steps."""
    w = tc.Tensor([1.0, 2.0], requires_grad=True)

    @tc.compile
    def accumulate(x):
        (w * x).sum().backward()

    for _ in range(4):
        accumulate(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(w.grad, [4.0, 40.0])


def test_results_of_earlier_steps_stay_as_they_are():
    """Buffers are used again, but never those of something that was returned."""
    model, _, _ = make()
    predict = tc.compile(model)
    (x, _), (x2, _) = batches(2)
    first = predict(x)
    copy = first.data.copy()
    second = predict(x2)
    assert not np.shares_memory(first.data, second.data)
    np.testing.assert_array_equal(first.data, copy)


def test_an_eager_backward_notices_that_a_replay_overwrote_what_it_saved():
    """The version check covers writes by compiled steps too."""
    model, _, step = make()
    compiled = tc.compile(step)
    x, y = batches(1)[0]
    compiled(x, y), compiled(x, y)
    loss = nn.functional.cross_entropy(model(x), y)
    compiled(x, y)
    with pytest.raises(ModifiedValueError, match="a compiled step"):
        loss.backward()


def test_a_bad_label_is_refused_by_the_replay_too():
    """What the loss checks while it runs is checked at every replay, and nothing changes then."""
    model, _, step = make()
    compiled = tc.compile(step)
    x, y = batches(1)[0]
    for _ in range(3):
        compiled(x, y)
    before = {k: v.copy() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match="label 7"):
        compiled(x, np.full(len(y), 7))
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_a_step_that_forgets_its_gradients_is_traced_once():
    """The first step has no old gradients, the second has: it is the same replay."""
    model, _, step = make()
    compiled = tc.compile(step)
    for x, y in batches(3):
        compiled(x, y)
    assert repr(compiled) == "<compiled step: 1 replay>"
    for p in model.parameters():
        p.grad = None
    compiled(*batches()[0])
    assert repr(compiled) == "<compiled step: 1 replay>"


def test_a_step_that_adds_to_its_gradients_is_traced_with_and_without_them():
    """Without zero_grad the first step starts the gradients, and later ones add to them."""
    models = [nn.Linear(5, 3, dtype=float, generator=np.random.default_rng(0)) for _ in range(2)]

    def step(model, x):
        (model(x) ** 2).sum().backward()

    compiled = tc.compile(lambda x: step(models[0], x))
    for x, _ in batches(3, dtype=float):
        compiled(x)
        step(models[1], x)
        np.testing.assert_array_equal(models[0].weight.grad, models[1].weight.grad)
    assert repr(compiled).endswith("2 replays>")


def test_finished_traces_hold_no_memory():
    """What was computed while tracing is gone without the help of Python's cycle collector."""
    _, _, step = make()
    gc.collect()
    gc.disable()
    try:
        alive = sum(isinstance(x, Traced) for x in gc.get_objects())
        compiled = tc.compile(step)
        compiled(*batches()[0])
        assert sum(isinstance(x, Traced) for x in gc.get_objects()) == alive
    finally:
        gc.enable()


def test_an_upstream_gradient_may_be_an_argument():
    """``y.backward(g)`` takes a plain array that is an argument of the step."""
    w = tc.Tensor([1.0, 2.0], requires_grad=True)

    @tc.compile
    def step(x, g):
        w.grad = None
        (w * x).backward(g)

    for x, g in (([1.0, 2.0], [3.0, 4.0]), ([5.0, 6.0], [7.0, 8.0])):
        step(np.array(x), np.array(g))
        np.testing.assert_array_equal(w.grad, np.multiply(x, g))
