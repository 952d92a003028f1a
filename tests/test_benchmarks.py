import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[1] / "benchmarks" / "run.py"
WORKLOADS = ["chain_scalar", "chain_10", "s", "m", "l", "deep", "lenet"]
NETWORKS = WORKLOADS[2:]
PEERS = ["ours", "compiled", "numpy"]


def peers_of(workload):
    """Return who runs a workload: compiled steps are for networks."""
    return [peer for peer in PEERS if workload in NETWORKS or peer != "compiled"]


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(RUN), "--smoke", "--threads", "1", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    file = tmp_path_factory.mktemp("benchmarks") / "result.json"
    done = run("--peers", ",".join(PEERS), "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text(encoding="utf-8")), done.stdout, done.stderr


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
    """Losses, and the chains' values and gradients, agree between the engine and NumPy by hand."""
    result, _, _ = smoke
    for name, workload in result["workloads"].items():
        check = workload["check"]
        tolerance = 1e-9 if name not in NETWORKS else 1e-3 if name == "deep" else 1e-4
        for peer in peers_of(name):
            for ours, by_hand in zip(check["values"][peer], check["values"]["numpy"], strict=True):
                assert ours == pytest.approx(by_hand, rel=tolerance), (name, peer)
        assert check["disagree"] == []


def test_losses_change_from_step_to_step(smoke):
    """The compared losses come from weights that were updated and from different batches."""
    result, _, _ = smoke
    for name in NETWORKS:
        losses = [loss for (loss,) in result["workloads"][name]["check"]["values"]["ours"]]
        assert len(set(losses)) == result["workloads"][name]["check"]["steps"] > 1


def test_result_says_where_and_how_it_was_measured(smoke):
    """The JSON names processor, versions, threads and date, and no problems."""
    result, _, _ = smoke
    assert result["format"] == 1
    assert result["date"]
    assert result["machine"].keys() >= {"cpu", "cores", "system", "python"}
    assert result["settings"]["threads"] == 1
    assert result["libraries"].keys() == set(PEERS)
    assert all(about["version"] for about in result["libraries"].values())
    assert result["left_out"] == result["problems"] == []


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


def test_unknown_peer_is_refused_by_name():
    """A misspelled peer ends the run with the list of those that exist."""
    done = run("--peers", "ours,pytorch")
    assert done.returncode == 2
    assert "'pytorch' is not one of ours,compiled,numpy" in done.stderr


def test_a_peer_that_disagrees_or_is_not_finite_is_found():
    """Values outside the tolerance, and NaNs, count as disagreement with the reference."""
    spec = importlib.util.spec_from_file_location("bench_report", RUN.with_name("report.py"))
    report = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(report)
    values = {
        "ours": [[2.0], [1.0]],
        "numpy": [[2.0], [1.00001]],
        "far": [[2.0], [1.1]],
        "lost": [[2.0], [math.nan]],
    }
    check = report.compare(values, "numpy", 1e-4)
    assert check["reference"] == "numpy"
    assert check["disagree"] == ["far", "lost"]
