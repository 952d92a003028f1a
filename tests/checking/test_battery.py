"""The checker is checked: right gradients pass, spoiled ones fail, causes are named, rules killed.

The whole battery is `benchmarks/gradcheck_battery.py`; here a part of it runs.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_course.checking import gradcheck, gradcheck_pair
from tinygrad_course.primitive import PRIMITIVES

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def script(name):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


faults = script("gradcheck_faults")
battery = script("gradcheck_battery")

FAULTS = list(faults.pairs(0))
ACCUSED = ("fail", "shape", "dtype", "missing", "random", "mutation")


@pytest.mark.parametrize(
    "fault", [pytest.param(f, id=f"{i} {f.name}") for i, f in enumerate(FAULTS)]
)
def test_a_fault_is_found_and_its_cause_named(fault):
    """The right gradient passes; the wrong one does not, and the cause says what was done."""
    right = gradcheck_pair(fault.f, fault.right, *fault.inputs, seed=3)
    assert right.verdict == "pass", str(right)
    report = gradcheck_pair(fault.f, fault.wrong, *fault.inputs, seed=3)
    assert not report
    assert fault.explained(" ".join(f.cause or "" for f in report.findings)), str(report)


def test_right_gradients_pass_at_every_scale_and_place():
    """No right gradient is accused, and hardly one is left undecided."""
    verdicts = []
    for name, f, inputs in battery.right_tensor_cases(stride=25):
        with np.errstate(all="ignore"):
            report = gradcheck(f, *inputs, seed=0, diagnose=False)
        assert report.verdict not in ACCUSED, f"{name}: {report}"
        verdicts.append(report.verdict)
    assert len(verdicts) > 400
    assert verdicts.count("inconclusive") <= len(verdicts) / 100


def test_right_pairs_pass_at_every_scale():
    """Gradients by hand in plain NumPy pass, whatever the size of the inputs."""
    for name, f, gradient, inputs in battery.right_pairs(range(2)):
        report = gradcheck_pair(f, gradient, *inputs, seed=0)
        assert report.verdict == "pass", f"{name}: {report}"


def test_no_spoiled_gradient_passes():
    """One element or all of them off by 1e-4 and more: never a pass."""
    count = 0
    for name, f, gradient, inputs in battery.spoiled(stride=20):
        report = gradcheck_pair(f, gradient, *inputs, seed=1, diagnose=False)
        assert not report, f"{name}: {report}"
        count += 1
    assert count > 400


def test_one_element_of_ten_thousand_is_found():
    """One element off by 1e-4 of itself among up to 10,000 others is found."""
    for name, f, gradient, inputs in battery.large_faults():
        report = gradcheck_pair(f, gradient, *inputs, seed=2, diagnose=False)
        assert report.verdict == "fail", f"{name}: {report}"


def test_faults_of_the_norm_and_zero_gradients_of_large_inputs_are_found():
    """Beyond that, a fault of 1e-4 of the norm is found, and a zero gradient."""
    for name, f, gradient, inputs in battery.faults_of_the_norm((50_000,)):
        report = gradcheck_pair(f, gradient, *inputs, seed=2, diagnose=False)
        assert report.verdict == "fail", f"{name}: {report}"
    x = np.random.default_rng(0).standard_normal(300_000)
    report = gradcheck_pair(np.sin, lambda x, _g: 0 * x, x, diagnose=False)
    assert report.verdict == "fail"


MUTATED = [name for name, row in PRIMITIVES.items() if row.differentiable]


@pytest.mark.parametrize("part", range(8))
def test_every_mutation_of_a_primitive_is_killed(part):
    """Sign, ×2, 1e-3, one element, dropped terms, swapped inputs, no sum: none survives."""
    survived = []
    killed, total = battery.mutation_score(MUTATED[part::8], most=None, say=survived.append)
    sys.stdout.write(f"killed {killed} of {total} mutations\n")
    assert (killed, survived) == (total, [])
    assert total > len(MUTATED[part::8])
