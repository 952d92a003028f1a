import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tinygrad_course.replay.passes import PASSES

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
NETWORKS = ["s", "m", "l", "deep", "dropadam", "lenet"]
PARTS = ["adam_1m", "adam_10m", "conv_1", "conv_20", "conv_32", "conv_64", "pool", "norm"]
WORKLOADS = ["chain_scalar", "chain_10", *NETWORKS, *PARTS]
PEERS = ["ours", "compiled", "limit", "numpy"]


def peers_of(workload):
    """Return who runs a workload: nobody compiles chains, which have no limit either."""
    return ["ours", "numpy"] if workload.startswith("chain") else PEERS


def run(script, *arguments, smoke=True):
    fixed = ["--smoke", "--threads", "1"] if smoke else []
    return subprocess.run(
        [sys.executable, str(FOLDER / script), *fixed, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def load(name):
    """Import a module of the benchmarks by its path."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    file = tmp_path_factory.mktemp("benchmarks") / "result.json"
    done = run("run.py", "--peers", ",".join(PEERS), "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text(encoding="utf-8")), done.stdout, done.stderr


@pytest.fixture(scope="module")
def passes(tmp_path_factory):
    file = tmp_path_factory.mktemp("passes") / "passes.json"
    done = run("passes.py", "--only", "s,dropadam", "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return load("report")


def test_every_workload_has_a_positive_time_per_round_and_implementation(smoke):
    """Each workload of the smoke run holds one finite, positive time per round and peer."""
    result, _, _ = smoke
    assert list(result["workloads"]) == WORKLOADS
    for name, workload in result["workloads"].items():
        assert list(workload["seconds"]) == peers_of(name)
        for seconds in workload["seconds"].values():
            assert len(seconds) == result["settings"]["rounds"]
            assert all(math.isfinite(s) and s > 0 for s in seconds)


def test_ours_and_numpy_compute_the_same_numbers(smoke):
    """Losses, values, gradients and updated parameters agree with NumPy by hand."""
    result, _, _ = smoke
    for name, workload in result["workloads"].items():
        check = workload["check"]
        tolerance = 1e-9 if name.startswith("chain") else 1e-3 if name == "deep" else 1e-4
        for peer in {*peers_of(name)} - {"limit"}:
            for ours, by_hand in zip(check["values"][peer], check["values"]["numpy"], strict=True):
                assert ours == pytest.approx(by_hand, rel=tolerance), (name, peer)
        assert check["disagree"] == []


def test_losses_change_from_step_to_step(smoke):
    """The compared losses come from weights that were updated and from different batches."""
    result, _, _ = smoke
    for name in NETWORKS:
        losses = [loss for (loss,) in result["workloads"][name]["check"]["values"]["ours"]]
        assert len(set(losses)) == result["workloads"][name]["check"]["steps"] > 1


def test_dropout_is_compared_without_and_with_masks(smoke):
    """The mean loss with masks is another than without, and near that of NumPy by hand."""
    result, _, _ = smoke
    check = result["workloads"]["dropadam"]["check"]
    means = {peer: mean for peer, [[mean]] in check["in_the_mean"]["values"].items()}
    assert len({*means.values()}) == len(means) == 3  # all draw masks of their own
    for mean in means.values():
        assert mean == pytest.approx(means["numpy"], rel=0.1)
    assert check["in_the_mean"]["disagree"] == []


def test_adam_moves_all_parameters_in_every_step(smoke):
    """Two sums over each array are compared, and they change with each update."""
    result, _, _ = smoke
    steps = result["workloads"]["adam_1m"]["check"]["values"]["compiled"]
    assert all(len(set(numbers)) == 3 for numbers in zip(*steps, strict=True))


def test_result_says_where_and_how_it_was_measured(smoke):
    """The JSON names processor, versions, threads and date, and no problems."""
    result, _, _ = smoke
    assert result["format"] == 2
    assert result["date"]
    assert result["machine"].keys() >= {"cpu", "cores", "system", "python"}
    assert result["settings"]["threads"] == 1
    assert result["libraries"].keys() == set(PEERS)
    assert all(about["version"] for about in result["libraries"].values())
    assert result["left_out"] == result["problems"] == []


def test_tracing_is_timed_for_networks(smoke):
    """Only the peer that compiles has a time of tracing, one per round and network."""
    result, _, _ = smoke
    assert list(result["first"]) == ["s", "m", "l", "deep"]
    for found in result["first"].values():
        assert list(found) == ["compiled"]
        assert len(found["compiled"]) == result["settings"]["rounds"]
        assert min(found["compiled"]) >= 0


def test_memory_is_measured_or_said_to_be_unknown(smoke):
    """All that train the network report a growth, or None where the system does not tell."""
    result, _, _ = smoke
    assert list(result["memory"]) == ["ours", "compiled", "numpy"]
    for grown in result["memory"].values():
        assert grown is None or (len(grown) == 2 and min(grown) >= 0)


def test_graph_reports_times_per_node_for_ours(smoke):
    """The graph rows hold forward, backward and drop times per node for each round."""
    result, _, _ = smoke
    for rounds in result["graph"].values():
        assert len(rounds["ours"]) == result["settings"]["rounds"]
        for one in rounds["ours"]:
            assert one["forward"] > 0
            assert one["backward"] > 0
            assert one["drop"] >= 0


def test_table_fits_100_columns_and_says_smoke(smoke):
    """The printed report stays within 100 columns and warns that smoke times mean nothing."""
    _, output, progress = smoke
    assert max(map(len, output.splitlines())) <= 100
    assert "mean nothing" in output
    assert "round 1/2: ours numpy" in progress


def test_each_pass_is_switched_off_once(passes):
    """Every registered pass has its row, beside no passes, separate buffers and the eager step."""
    rows = ["all", *(f"without {name}" for name in PASSES)]
    rows += ["buffers not reused", "no passes", "eager"]
    assert list(passes["workloads"]) == ["s", "dropadam"]
    for workload in passes["workloads"].values():
        timed, same = workload["seconds"], workload["same_source"]
        assert [row for row in rows if row in timed or row in same] == rows
        assert not {*timed} & {*same}
        assert {"all", "no passes", "eager"} <= timed.keys()
        assert workload["check"]["disagree"] == []
    assert passes["workloads"]["s"]["same_source"]  # a dense network has no use for every pass


def test_page_and_picture_are_made_from_the_results(smoke, passes, tmp_path):
    """The page keeps its text around the tables, which name every workload; the SVG is drawn."""
    page = tmp_path / "benchmarks.md"
    text = "before\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nafter\n"
    page.write_text(text, encoding="utf-8")
    files = []
    for number, result in enumerate((smoke[0], passes)):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(result), encoding="utf-8")
    for _ in range(2):  # the second time replaces what the first wrote
        done = run("page.py", *files, "--docs", tmp_path, smoke=False)
        assert done.returncode == 0, done.stderr
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert "old" not in lines
    for name in WORKLOADS:
        tables = 1 if name.startswith("chain") else 2
        found = [line for line in lines if line.startswith(f"| {name} | ")]
        assert len(found) == tables + (name in ("s", "m", "l", "deep")), name
    for name in PASSES:
        assert sum(line.startswith(f"| without {name} | ") for line in lines) == 1
    drawn = ET.parse(tmp_path / "images" / "benchmarks.svg").getroot()
    assert drawn.tag.endswith("svg")


def test_unknown_peer_is_refused_by_name():
    """A misspelled peer ends the run with the list of those that exist."""
    done = run("run.py", "--peers", "ours,pytorch")
    assert done.returncode == 2
    assert "'pytorch' is not one of ours,compiled,limit,numpy" in done.stderr


def test_a_peer_that_disagrees_or_is_not_finite_is_found(report):
    """Values outside the tolerance, and NaNs, count as disagreement with the reference."""
    values = {
        "ours": [[2.0], [1.0]],
        "numpy": [[2.0], [1.00001]],
        "far": [[2.0], [1.1]],
        "lost": [[2.0], [math.nan]],
    }
    check = report.compare(values, "numpy", 1e-4)
    assert check["reference"] == "numpy"
    assert check["disagree"] == ["far", "lost"]


def test_a_wrong_element_sign_or_place_is_noticed(report, monkeypatch):
    """The two numbers that stand for an array differ from those of a spoiled one."""
    monkeypatch.syspath_prepend(str(FOLDER))
    digest = load("worker").digest
    right = [[1.0, -2.0, 3.0, -4.0]]
    for wrong in ([1.0, -2.0, 3.0, -4.1], [1.0, 2.0, 3.0, -4.0], [-2.0, 1.0, 3.0, -4.0]):
        check = report.compare(
            {"right": [digest(right)], "wrong": [digest([wrong])]}, "right", 1e-3
        )
        assert check["disagree"] == ["wrong"], wrong
