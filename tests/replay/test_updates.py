"""Updates in a replay, block by block or several at once: they have the bits of the eager ones."""

from __future__ import annotations

import time

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course import nn, optim, threads
from tinygrad_course.buffers import owner
from tinygrad_course.errors import ArgumentError
from tinygrad_course.replay.passes import PASSES, arenas, blocks

RULES = [
    name
    for name, kind in vars(optim).items()
    if isinstance(kind, type) and issubclass(kind, optim.Optimizer)
    if kind.elementwise
]
WITH_STATE = {
    "SGD": {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True, "weight_decay": 0.01},
}
LAYOUTS = {
    "rows": lambda: np.zeros((7, 6)),
    "columns": lambda: np.zeros((6, 7)).T,
    "one axis": lambda: np.zeros(42),
    "three axes": lambda: np.zeros((3, 7, 2)),
    "gaps": lambda: np.zeros((7, 12))[:, ::2],
    "float32": lambda: np.zeros((7, 6), np.float32),
    "complex": lambda: np.zeros((7, 6), complex),
}


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of at most ten elements, for parameters of forty."""
    monkeypatch.setattr(blocks, "BLOCK", 10)
    monkeypatch.setattr(arenas, "ARENA", 10)


def pair(kind, like, **options):
    """Return two equal steps with their parameters and optimizers."""
    made = []
    for _ in range(2):
        data = like()
        data[...] = np.random.default_rng(0).normal(size=data.shape)
        w = tc.Tensor(data, requires_grad=True)
        b = tc.Tensor(np.ones(3, data.dtype), requires_grad=True)
        opt = getattr(optim, kind)([w, b], lr=0.01, **options)

        def step(x, w=w, b=b, opt=opt):
            opt.zero_grad()
            loss = (tc.abs(w * x) ** 2).sum() + tc.abs(b).sum()
            loss.backward()
            opt.step()
            return loss

        made.append((step, w, opt))
    return made


def check(kind, like, steps=4, **options):
    """Compiled steps end with the bits of eager ones; return the compiled step."""
    (eager, w, opt), (step, compiled_w, compiled_opt) = pair(kind, like, **options)
    compiled = tc.compile(step)
    rng = np.random.default_rng(1)
    for _ in range(steps):
        x = np.empty_like(w.data.real)  # so that the gradient lies as the parameter does
        x[...] = rng.normal(size=x.shape)
        assert compiled(x).item() == eager(x).item()
        np.testing.assert_array_equal(compiled_w.data, w.data)
        assert compiled_w.data.strides == w.data.strides
        np.testing.assert_array_equal(compiled_w.grad, w.grad)
    mine, theirs = compiled_opt.state_dict()["state"], opt.state_dict()["state"]
    assert mine.keys() == theirs.keys()
    for number, own in theirs.items():
        assert mine[number].keys() == own.keys()
        for key, value in own.items():
            np.testing.assert_array_equal(mine[number][key], value, err_msg=key)
    return compiled


# ---- blocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", RULES)
def test_blocks_have_the_bits_of_the_eager_update(kind, layout, small_blocks):
    """Every rule, for parameters that lie in memory in every way."""
    check(kind, LAYOUTS[layout])


@pytest.mark.parametrize("kind", WITH_STATE)
def test_blocks_with_more_state(kind, small_blocks):
    """Momentum, the largest square so far, decay: the loop holds all of it."""
    source = check(kind, LAYOUTS["rows"], **WITH_STATE[kind]).source
    assert "for block in cut(42, 10):" in source


@pytest.mark.parametrize("layout", ["rows", "one axis", "three axes", "complex"])
def test_a_large_parameter_is_updated_in_blocks(layout, small_blocks):
    """The source has the rule once, for a block; a small parameter is updated in one piece."""
    source = check("Adam", LAYOUTS[layout]).source
    count = 84 if layout == "complex" else 42
    loop = source[source.index(f"for block in cut({count}, 10):") :].splitlines()[1:]
    body = [line.strip() for line in loop[: loop.index("")]]
    assert body[-1] == "p -= spare"
    assert "exp_avg_sq *= betas_2" in body
    assert sum("spare" in line and "out=" in line for line in body) == 4
    assert source.count("for block in") == 1
    assert "np.sqrt(tensor" not in source


def test_temporary_arrays_are_as_small_as_a_block():
    """A replay with blocks holds less memory by one parameter than one without."""
    held = []
    for passes in (PASSES, PASSES.keys() - {"blocks"}):
        w = tc.Tensor(np.ones(4 * blocks.BLOCK), requires_grad=True)
        opt = optim.Adam([w])

        @tc.compile(passes=[name for name in PASSES if name in passes])
        def step(x, w=w, opt=opt):
            opt.zero_grad()
            loss = (w * x).sum()
            loss.backward()
            opt.step()
            return loss

        step(np.ones(1))
        held.append(step._latest.source.buffers)
    assert held[1] - held[0] == 8 * (4 * blocks.BLOCK - blocks.BLOCK)


def test_blocks_follow_the_order_of_memory(small_blocks):
    """Columns are cut where they lie one behind another; what lies otherwise is left whole."""
    source = check("Adam", LAYOUTS["columns"]).source
    loop = source[source.index("for block in cut(42, 10):") :]
    assert "p -= spare" in loop
    assert "            g = " not in loop  # the gradient lies in rows


def test_a_result_that_is_wanted_elsewhere_is_not_cut(small_blocks):
    """An update whose parts leave the step is done as a whole."""
    w = tc.Tensor(np.ones(42), requires_grad=True)

    class Kept(optim.SGD):
        """Descent that keeps the last step."""

        @staticmethod
        def update(p, g, state, *, lr, **_others):
            state["last"] = lr * g
            p -= state["last"]

    opt = Kept([w], lr=0.5)

    @tc.compile
    def step(x):
        opt.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        opt.step()
        return loss

    for scale in (1.0, 3.0):
        step(np.full(42, scale))
        np.testing.assert_array_equal(opt.state[w]["last"], 0.5 * scale)
    np.testing.assert_array_equal(w.data, 1 - 0.5 - 1.5)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop", "Rprop"])
def test_threads_share_the_blocks(kind, small_blocks, monkeypatch):
    """With several threads at work, each in memory of its own, the bits stay the same."""
    monkeypatch.setattr(blocks, "BUSY", 0.0)
    monkeypatch.setattr(threads, "ENOUGH", 0.0)
    monkeypatch.setattr(threads, "_available", lambda: 3)
    names = set()
    known = blocks.Scratch.__call__

    def noted(self, size):
        names.add(id(self.arrays))
        time.sleep(1e-4)  # or one thread may have done all before the others begin
        return known(self, size)

    monkeypatch.setattr(blocks.Scratch, "__call__", noted)
    compiled = check(kind, lambda: np.zeros((100, 90)), steps=3)
    assert "def update_parameter(block):" in compiled.source
    assert "spread(update_parameter, cut(9000, 10), " in compiled.source
    assert len(names) > 1 or "scratch" not in compiled.source


def test_numbers_are_read_anew(small_blocks):
    """A rate that changes between steps changes what the loop does."""
    w = tc.Tensor(np.zeros(42), requires_grad=True)
    opt = optim.SGD([w], lr=1.0)

    @tc.compile
    def step(x):
        opt.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        opt.step()
        return loss

    step(np.ones(42))
    opt.param_groups[0]["lr"] = 0.25
    step(np.ones(42))
    np.testing.assert_array_equal(w.data, -1.25)


@pytest.mark.parametrize("layout", ["rows", "columns", "gaps"])
def test_a_parameter_that_moves_is_followed(layout, small_blocks):
    """Other memory for a parameter, in another order or with gaps, is what is updated then."""
    (eager, w, _), (step, compiled_w, _) = pair("SGD", LAYOUTS["rows"])
    compiled, x = tc.compile(step), np.ones((7, 6))
    for moved in (False, True):
        if moved:
            for p in (w, compiled_w):
                fresh = LAYOUTS[layout]()
                fresh[...] = p.data
                p.data = fresh
        assert compiled(x).item() == eager(x).item()
        np.testing.assert_array_equal(compiled_w.data, w.data)


def test_real_sizes():
    """With the sizes that are used, a layer of a million weights has the eager bits."""
    found = []
    for compiled in (False, True):
        rng = np.random.default_rng(0)
        model = nn.Linear(1200, 1000, generator=rng)
        opt = optim.Adam(model.parameters())

        def step(x, model=model, opt=opt):
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            return loss

        run = tc.compile(step) if compiled else step
        for _ in range(3):
            run(rng.normal(size=(2, 1200)).astype(np.float32))
        found.append(model.weight.data)
    assert "def update_weight(block):" in run.source
    np.testing.assert_array_equal(*found)


def test_the_pass_can_be_left_out(small_blocks):
    """By name, as every pass; a name that does not exist is refused."""
    _, (step, _, _) = pair("Adam", LAYOUTS["rows"])
    compiled = tc.compile(step, passes=[name for name in PASSES if name != "blocks"])
    compiled(np.ones((7, 6)))
    assert "for block in" not in compiled.source
    with pytest.raises(ArgumentError, match="unknown passes"):
        tc.compile(step, passes=["block"])


# ---- arenas --------------------------------------------------------------------------------------


def tensors(dtype=float):
    """Return parameters of several shapes, one of them of another dtype."""
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (4,), (2, 1, 3), (4, 3), ()]
    made = [tc.Tensor(rng.normal(size=s).astype(dtype), requires_grad=True) for s in shapes]
    return [*made, tc.Tensor(rng.normal(size=4).astype(np.float32), requires_grad=True)]


def stepper(opt, params, unused=()):
    """Return a step whose loss depends on all parameters but those of some numbers."""

    def step(x):
        opt.zero_grad()
        used = (p for i, p in enumerate(params) if i not in unused)
        loss = sum(tc.astype(tc.tanh(p * x), float).sum() for p in used)
        loss.backward()
        opt.step()
        return loss

    return step


def small(kind, **options):
    params = tensors()
    opt = getattr(optim, kind)(params, lr=0.01, **options)
    return params, opt


def assert_same(ours, theirs):
    """Parameters, gradients and state are equal to the bit."""
    (params, opt), (others, other) = ours, theirs
    for p, q in zip(params, others, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
        np.testing.assert_array_equal(p.grad, q.grad)
        assert opt.state.get(p, {}).keys() == other.state.get(q, {}).keys()
        for key, value in other.state.get(q, {}).items():
            np.testing.assert_array_equal(opt.state[p][key], value, err_msg=key)
            assert np.shape(opt.state[p][key]) == np.shape(value)


def share(opt, params, key="exp_avg"):
    """Whether the state of all float64 parameters with axes lies in one array."""
    lines = {id(owner(opt.state[p][key])) for p in params if p.ndim and p.dtype == float}
    return len(lines) == 1


SCALES = [1.0, -0.5, 2.0, 0.25, 1.5, -1.0, 0.75, 3.0]


@pytest.mark.parametrize("kind", RULES)
def test_arenas_have_the_bits_of_the_eager_updates(kind):
    """Every rule, for parameters of several shapes; eager and compiled steps alternate."""
    ours, theirs = small(kind), small(kind)
    step, eager = stepper(ours[1], ours[0]), stepper(theirs[1], theirs[0])
    compiled = tc.compile(step)
    for i, scale in enumerate(SCALES):
        run = step if i in (3, 6) else compiled
        assert run(np.array(scale)).item() == eager(np.array(scale)).item()
        assert_same(ours, theirs)


@pytest.mark.parametrize("kind", WITH_STATE)
def test_arenas_with_more_state(kind):
    """Momentum, the largest square so far and the mean gradient lie in arenas, too."""
    ours, theirs = small(kind, **WITH_STATE[kind]), small(kind, **WITH_STATE[kind])
    compiled, eager = tc.compile(stepper(ours[1], ours[0])), stepper(theirs[1], theirs[0])
    for scale in SCALES:
        compiled(np.array(scale)), eager(np.array(scale))
        assert_same(ours, theirs)
    for key, value in ours[1].state[ours[0][0]].items():
        if isinstance(value, np.ndarray):
            assert share(ours[1], ours[0], key)
            assert f"out={key})" in compiled.source


def test_one_call_updates_the_state_of_all():
    """The rule stands once in the source; gradients and parameters have calls of their own."""
    params, opt = small("Adam")
    lengths = {}
    for name in ("arenas", ""):
        compiled = tc.compile(
            stepper(opt, params), passes=[p for p in PASSES if p in (name, "assignments")]
        )
        compiled(np.array(1.0)), compiled(np.array(1.0))
        update = compiled.source[compiled.source.index("# update") :]
        lengths[name] = update.count("np.sqrt(")
    assert lengths == {"arenas": 3, "": 6}  # float64, without axes, float32
    assert "views" not in compiled.source


def test_descent_without_state_stays_as_it_is():
    """What reads gradients only has nothing to lie in an arena."""
    params, opt = small("SGD")
    compiled = tc.compile(stepper(opt, params))
    compiled(np.array(1.0))
    assert "views(" not in compiled.source


def test_full_arenas_begin_a_new_one(monkeypatch):
    """State that does not fit into one arena lies in several, and what is alone stays there."""
    monkeypatch.setattr(arenas, "ARENA", 24)
    ours, theirs = small("Adam"), small("Adam")
    compiled, eager = tc.compile(stepper(ours[1], ours[0])), stepper(theirs[1], theirs[0])
    for scale in SCALES[:4]:
        compiled(np.array(scale)), eager(np.array(scale))
        assert_same(ours, theirs)
    a, b, c, d = (owner(ours[1].state[p]["exp_avg"]) for p in ours[0][:4])
    assert a is b is c is not d or a is b is not c
    assert a.size <= 24


@pytest.mark.parametrize("what", ["saved and loaded", "replaced", "a view", "another dtype"])
def test_state_from_elsewhere_is_taken_over(what):
    """State that was loaded or replaced between two steps is what the next step begins with."""
    ours, theirs = small("Adam"), small("Adam")
    compiled, eager = tc.compile(stepper(ours[1], ours[0])), stepper(theirs[1], theirs[0])
    for scale in SCALES:
        compiled(np.array(scale)), eager(np.array(scale))
        for params, opt in (ours, theirs):
            own = opt.state[params[0]]
            if what == "saved and loaded":
                saved = opt.state_dict()
                saved["state"][0]["exp_avg"] *= 2
                opt.load_state_dict(saved)
            elif what == "replaced":
                own["exp_avg"] = own["exp_avg"] * 2
            elif what == "a view":
                own["exp_avg"] = np.repeat(own["exp_avg"], 2, axis=0)[::2]
            else:
                own["exp_avg"] = own["exp_avg"].astype(np.float32)
        assert_same(ours, theirs)


def test_parameters_without_a_gradient_are_left_alone():
    """A parameter that stays out of a step keeps its state, and its count of steps."""
    ours, theirs = small("Adam"), small("Adam")
    runs = []
    for params, opt in (ours, theirs):
        few = stepper(opt, params, unused=[1])
        runs.append((few, stepper(opt, params)))
    compiled = [tc.compile(step) for step in runs[0]]
    for i, scale in enumerate(SCALES):
        which = i % 3 == 0
        compiled[which](np.array(scale)), runs[1][which](np.array(scale))
        assert_same(ours, theirs)
    assert ours[1].state[ours[0][0]]["step"] != ours[1].state[ours[0][1]]["step"]


def test_counts_of_steps_that_part_are_noticed():
    """Parameters that have made equally many steps may cease to have."""
    ours, theirs = small("Adam"), small("Adam")
    compiled, eager = tc.compile(stepper(ours[1], ours[0])), stepper(theirs[1], theirs[0])
    for i, scale in enumerate(SCALES):
        if i == 4:
            for params, opt in (ours, theirs):
                opt.state[params[2]]["step"] = 100
        compiled(np.array(scale)), eager(np.array(scale))
        assert_same(ours, theirs)
    assert ours[1].state[ours[0][2]]["step"] == 104


def test_replays_share_their_arenas():
    """A second replay, of another shape, finds the state where the first one put it."""
    params, opt = small("Adam")
    compiled = tc.compile(stepper(opt, params))
    for _ in range(3):
        compiled(np.array(1.0))
    assert share(opt, params)
    before = [opt.state[p]["exp_avg"] for p in params]
    compiled(np.ones(1))
    compiled(np.array(1.0))
    assert repr(compiled).endswith("3 replays>")  # the first one began without state
    assert all(opt.state[p]["exp_avg"] is m for p, m in zip(params, before, strict=True))


def test_debug_mode_follows_the_state():
    """Comparing a replay with the function itself looks for the state where it lies then."""
    ours, theirs = small("Adam"), small("Adam")
    compiled = tc.compile(stepper(ours[1], ours[0]), debug=True)
    eager = stepper(theirs[1], theirs[0])
    for scale in SCALES[:4]:
        compiled(np.array(scale)), eager(np.array(scale))
        assert_same(ours, theirs)
    assert share(*ours[::-1])


def test_what_stands_between_two_updates_keeps_its_place():
    """Updates are not moved behind a call that looks at the parameters, or changes them again."""
    found = []
    for compiled in (False, True):
        params = tensors()[:3]
        opt = optim.SGD(params, lr=0.1, momentum=0.9)

        def step(x, params=params, opt=opt):
            opt.zero_grad()
            loss = sum((p * p * x).sum() for p in params)
            loss.backward()
            opt.step()
            between = sum((p * x).sum() for p in params)
            opt.step()
            return loss, between

        run = tc.compile(step) if compiled else step
        found.append([[y.item() for y in run(np.array(scale))] for scale in SCALES])
    assert found[0] == found[1]


def test_a_network_with_many_layers_trains_alike():
    """Twenty steps of a deep network with batch norm have the eager bits."""
    states = []
    for compiled in (False, True):
        rng = np.random.default_rng(0)
        layers = [
            layer
            for _ in range(4)
            for layer in (nn.Linear(6, 6, generator=rng), nn.BatchNorm1d(6), nn.Tanh())
        ]
        model = nn.Sequential(*layers, nn.Linear(6, 3, generator=rng))
        opt, criterion = optim.AdamW(model.parameters(), lr=0.01), nn.CrossEntropyLoss()

        def step(x, y, model=model, opt=opt, criterion=criterion):
            opt.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            opt.step()
            return loss

        run = tc.compile(step) if compiled else step
        for _ in range(20):
            run(rng.normal(size=(8, 6)).astype(np.float32), rng.integers(0, 3, 8))
        states.append(model.state_dict())
    assert "arenas" in run.explain()
    assert run.source.count("np.sqrt(exp_avg_sq") == 1
    for key, value in states[0].items():
        np.testing.assert_array_equal(states[1][key], value, err_msg=key)
