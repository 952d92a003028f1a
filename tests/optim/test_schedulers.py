"""Schedules: PyTorch's rates, the notes' formulas, and state that goes on exactly."""

from __future__ import annotations

import inspect
import json
import math
from importlib.util import find_spec

import numpy as np
import pytest
from reference import schedulers as reference
from reference.comparing import close

import tinygrad_course as tc
from tinygrad_course import optim
from tinygrad_course.errors import ArgumentError
from tinygrad_course.optim import lr_scheduler

ANSWERS = reference.answers()
SCHEDULES = pytest.mark.parametrize("name", reference.SCHEDULES)
OURS = {"InverseSqrtLR", "InverseTimeLR", "TableLR"}
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


def leaf():
    return tc.Tensor([1.0], requires_grad=True)


def one(lr=0.5, **options):
    return optim.SGD([leaf()], lr=lr, **options)


def two_groups(name):
    groups = [{"params": leaf(), "lr": rate} for rate in reference.RATES]
    kind = reference.kind_of_optimizer(name)
    return getattr(optim, kind)(groups, **({"momentum": 0.9} if kind == "SGD" else {}))


def rows(name, optimizer, schedule, start=0):
    found = []
    for epoch in range(start, reference.STEPS):
        found.append(reference.settings(optimizer))
        reference.advance(schedule, name, epoch)
    return np.array(found)


def rates(schedule, epochs):
    found = []
    for _ in range(epochs):
        found.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.step()
    return found


@SCHEDULES
def test_a_schedule_has_pytorchs_rates(name):
    """Rates and momenta of seventy epochs are PyTorch's, to 1e-14."""
    optimizer = two_groups(name)
    found = rows(name, optimizer, reference.SCHEDULES[name](lr_scheduler, optimizer))
    close(found, ANSWERS[name], name, rtol=1e-14)


@needs_torch
@SCHEDULES
def test_the_stored_rates_are_those_of_this_pytorch(name):
    """The installed PyTorch still gives the stored numbers."""
    close(reference.torch_run(name), ANSWERS[name], name, rtol=1e-14)


def test_every_schedule_is_in_the_table():
    """A new schedule cannot be forgotten here."""
    named = {name for name in lr_scheduler.__all__ if name != "LRScheduler"} - OURS
    for name in named:
        used = [make for make in reference.SCHEDULES.values() if name in make.__code__.co_names]
        assert used, name


@needs_torch
@pytest.mark.parametrize("kind", sorted(set(lr_scheduler.__all__) - OURS))
def test_arguments_have_pytorchs_names_order_and_defaults(kind):
    """Signatures agree, but for a plateau's `stop_at`."""
    import torch

    def arguments(namespace):
        found = inspect.signature(getattr(namespace, kind)).parameters
        return {k: p.default for k, p in found.items() if k != "stop_at"}

    theirs, ours = arguments(torch.optim.lr_scheduler), arguments(lr_scheduler)
    assert list(ours) == list(theirs)
    assert ours == theirs


@SCHEDULES
@pytest.mark.parametrize("stop", [0, 1, 17, 40])
def test_a_saved_schedule_goes_on_exactly(name, stop):
    """State through JSON into a fresh schedule and optimizer: the same rates, bit by bit."""
    optimizer = two_groups(name)
    schedule = reference.SCHEDULES[name](lr_scheduler, optimizer)
    for epoch in range(stop):
        reference.advance(schedule, name, epoch)
    text = json.dumps([schedule.state_dict(), optimizer.state_dict()], allow_nan=False)
    resumed = two_groups(name)
    again = reference.SCHEDULES[name](lr_scheduler, resumed)
    state, groups = json.loads(text)
    again.load_state_dict(state)
    resumed.load_state_dict(groups)
    rest = rows(name, optimizer, schedule, stop)
    np.testing.assert_array_equal(rows(name, resumed, again, stop), rest)
    close(rest, ANSWERS[name][stop:], name, rtol=1e-14)


def test_a_saved_state_is_a_copy():
    """Further epochs do not change a state that was taken before."""
    optimizer = one()
    schedule = lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.ExponentialLR(optimizer, 0.5) for _ in range(2)], [3]
    )
    saved = schedule.state_dict()
    before = json.dumps(saved)
    schedule.step()
    assert json.dumps(saved) == before


# ---- the formulas of the notes ---------------------------------------------------------------


def test_inverse_time():
    """α = α₀ / (1 + decay_rate · epoch): 0.2, 0.1, 0.067, 0.05 as in lesson 2.6."""
    found = rates(lr_scheduler.InverseTimeLR(one(0.2), 1.0), 4)
    np.testing.assert_allclose(found, [0.2, 0.1, 0.2 / 3, 0.05], rtol=1e-15)


def test_inverse_square_root():
    """α = k/√epoch α₀ where epochs count from 1."""
    found = rates(lr_scheduler.InverseSqrtLR(one(0.2), k=3.0), 50)
    expected = [3 / math.sqrt(epoch) * 0.2 for epoch in range(1, 51)]
    np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_exponential_and_staircase():
    """α = 0.95ᵉᵖᵒᶜʰ α₀, and a staircase that halves."""
    found = rates(lr_scheduler.ExponentialLR(one(0.2), 0.95), 30)
    np.testing.assert_allclose(found, [0.95**epoch * 0.2 for epoch in range(30)], rtol=1e-14)
    found = rates(lr_scheduler.StepLR(one(0.5), 3, gamma=0.5), 7)
    assert found == [0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_a_table_by_hand():
    """Each rate holds from its epoch on, in whatever order they are written."""
    assert rates(lr_scheduler.TableLR(one(0.5), {4: 0.01, 1: 0.2}), 6) == [
        0.5,
        *[0.2] * 3,
        *[0.01] * 2,
    ]


@pytest.mark.parametrize(("factor", "stop_at", "times"), [(0.5, 1 / 1024, 10), (0.1, 1 / 1000, 3)])
def test_training_stops_when_the_rate_has_fallen(factor, stop_at, times):
    """No improvement in ten: halve (or divide by ten), and stop at a 1024th (1000th)."""
    optimizer = one(0.3)
    schedule = lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=factor, patience=9, stop_at=stop_at, eps=0.0
    )
    epochs = 0
    while not schedule.finished:
        schedule.step(0.9)
        epochs += 1
    assert epochs == 1 + 10 * times
    assert math.isclose(optimizer.param_groups[0]["lr"], 0.3 * stop_at, rel_tol=1e-12)


def test_a_plateau_without_a_floor_never_finishes():
    """By default the rate falls for ever, as in PyTorch; with min_lr in every group it ends."""
    optimizer = one(1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, eps=0.0)
    for _ in range(50):
        schedule.step(1.0)
    assert not schedule.finished
    optimizer = two_groups("plateau")
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.1, 0.003])
    seen = []
    for _ in range(4):
        seen.append(schedule.finished)
        schedule.step(1.0)
    assert seen == [False, False, True, True]


def test_a_metric_that_is_no_number_is_no_progress():
    """A loss that has become nan counts as a bad epoch, also the first one."""
    schedule = lr_scheduler.ReduceLROnPlateau(one(1.0), patience=1)
    schedule.step(math.nan)
    schedule.step(tc.Tensor(math.nan))
    assert schedule.optimizer.param_groups[0]["lr"] == 0.1


# ---- other behaviour -------------------------------------------------------------------------


def test_a_rate_changed_by_hand_stays_changed():
    """As in PyTorch, schedules multiply the rate that they find."""
    optimizer = one(1.0)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.param_groups[0]["lr"] = 8.0
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == 4.0
    assert schedule.get_last_lr() == [4.0]


def test_restarts_take_broken_epochs():
    """step(epoch + i / batches) goes along the cosine within an epoch and across restarts."""
    optimizer = one(1.0)
    schedule = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    for epoch, wave in ((0.5, 0.25), (1.0, 0.5), (3.0, 0.25), (6.0, 0.0), (10.0, 0.5)):
        schedule.step(epoch)
        expected = (1 + math.cos(math.pi * wave)) / 2
        assert math.isclose(optimizer.param_groups[0]["lr"], expected)


def test_going_on_without_a_saved_state():
    """last_epoch=n takes the groups' initial_lr as the first rate and the present one as it is."""
    optimizer = one(0.25)
    optimizer.param_groups[0]["initial_lr"] = 1.0
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5, last_epoch=2)
    schedule.step()
    assert schedule.last_epoch == 4
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_the_text_shows_epoch_and_rates():
    """repr is enough to see where a schedule stands."""
    schedule = lr_scheduler.StepLR(one(0.5), 3)
    assert repr(schedule) == "StepLR(last_epoch=0, lr=[0.5])"


# ---- refusals --------------------------------------------------------------------------------

S = lr_scheduler


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda o: S.StepLR(o, 0), "StepLR: step_size must be a positive whole number, got 0"),
        (lambda o: S.StepLR(o, 2.5), "StepLR: step_size"),
        (lambda o: S.StepLR(o, 2, gamma=-1), "StepLR: gamma must be a number ≥ 0"),
        (lambda _: S.StepLR(0.1, 2), "StepLR: float is not an optimizer"),
        (lambda o: S.LambdaLR(o, 0.5), "LambdaLR: lr_lambda must be a function, got float"),
        (lambda o: S.LambdaLR(o, [abs, abs]), "LambdaLR: lr_lambda has 2 entries, .* 1 groups"),
        (lambda o: S.MultiStepLR(o, [1.5]), "MultiStepLR: milestones must be whole"),
        (lambda o: S.ConstantLR(o, 0.0), r"ConstantLR: factor must lie in \(0, 1\], got 0.0"),
        (lambda o: S.LinearLR(o, start_factor=2.0), "LinearLR: start_factor"),
        (lambda o: S.LinearLR(o, end_factor=2.0), "LinearLR: end_factor .* between 0.0 and 1.0"),
        (lambda o: S.ExponentialLR(o, math.nan), "ExponentialLR: gamma .* got nan"),
        (lambda o: S.PolynomialLR(o, 0), "PolynomialLR: total_iters"),
        (lambda o: S.CosineAnnealingLR(o, 0), "CosineAnnealingLR: T_max"),
        (lambda o: S.CosineAnnealingWarmRestarts(o, 3, 0), "CosineAnnealingWarmRestarts: T_mult"),
        (lambda o: S.CyclicLR(o, 0.1, 0.2, mode="square"), "CyclicLR: mode must be .* 'square'"),
        (lambda o: S.CyclicLR(o, [0.1, 0.2], 0.2), "CyclicLR: base_lr has 2 entries"),
        (lambda o: S.CyclicLR(o, 0.1, 0.2, scale_mode="x"), "CyclicLR: scale_mode"),
        (lambda o: S.OneCycleLR(o, 0.1), "OneCycleLR: give total_steps, or epochs and"),
        (lambda o: S.OneCycleLR(o, 0.1, 10, pct_start=2.0), "OneCycleLR: pct_start"),
        (lambda o: S.OneCycleLR(o, 0.1, 10, anneal_strategy="x"), "OneCycleLR: anneal_strategy"),
        (lambda o: S.ReduceLROnPlateau(o, "best"), "ReduceLROnPlateau: mode must be 'min' or"),
        (lambda o: S.ReduceLROnPlateau(o, factor=1.0), "ReduceLROnPlateau: factor must be below 1"),
        (lambda o: S.ReduceLROnPlateau(o, threshold_mode="x"), "threshold_mode must be"),
        (lambda o: S.ReduceLROnPlateau(o, min_lr=[0, 0]), "min_lr has 2 entries"),
        (lambda o: S.ReduceLROnPlateau(o, stop_at=2.0), "stop_at"),
        (lambda o: S.SequentialLR(o, [], []), "SequentialLR: got no schedulers"),
        (lambda o: S.SequentialLR(o, [S.StepLR(o, 1)], [3]), "1 schedulers need 0 milestones"),
        (lambda o: S.SequentialLR(o, [S.StepLR(one(), 1)], []), "belongs to another optimizer"),
        (lambda o: S.ChainedScheduler([S.ReduceLROnPlateau(o)]), "step.. needs no metric"),
        (lambda o: S.TableLR(o, {3: -0.1}), r"TableLR: table\[3\] must be a number ≥ 0"),
        (lambda o: S.InverseTimeLR(o, -1.0), "InverseTimeLR: decay_rate"),
        (lambda o: S.StepLR(o, 2, last_epoch=3), "group 0 has no 'initial_lr'"),
    ],
)
def test_wrong_arguments_are_named(make, words):
    """Each refusal names the schedule, the argument and what came."""
    with pytest.raises(ArgumentError, match=words):
        make(one(momentum=0.9))


def test_an_optimizer_without_momentum_needs_the_switch():
    """The message says which argument turns the momentum off."""
    optimizer = optim.Adagrad([leaf()])
    with pytest.raises(ArgumentError, match=r"Adagrad has neither .* cycle_momentum=False"):
        S.CyclicLR(optimizer, 0.1, 0.2)
    with pytest.raises(ArgumentError, match=r"Adagrad has neither .* cycle_momentum=False"):
        S.OneCycleLR(optimizer, 1.0, total_steps=9)


def test_a_cycle_that_is_over_is_refused():
    """OneCycleLR says how many steps it was made for."""
    schedule = S.OneCycleLR(one(momentum=0.9), 1.0, total_steps=3)
    for _ in range(3):
        schedule.step()
    with pytest.raises(ArgumentError, match="step 4 of 3"):
        schedule.step()


def test_states_that_do_not_fit_are_refused():
    """The state of another schedule, of more groups or of another number of parts."""
    saved = S.StepLR(one(), 3).state_dict()
    with pytest.raises(ArgumentError, match=r"ExponentialLR.*'step_size'.*another schedule"):
        S.ExponentialLR(one(), 0.5).load_state_dict(saved)
    with pytest.raises(ArgumentError, match="the state is of 1 groups, the optimizer has 2"):
        S.StepLR(two_groups("step"), 3).load_state_dict(saved)
    o = one()
    both = S.ChainedScheduler([S.StepLR(o, 3), S.StepLR(o, 4)])
    with pytest.raises(ArgumentError, match="the state is of 1 schedules, these are 2"):
        both.load_state_dict(S.ChainedScheduler([S.StepLR(o, 3)]).state_dict())
    with pytest.raises(ArgumentError, match="leave `epoch` out"):
        S.SequentialLR(o, [S.StepLR(o, 3)], []).step(5)
