"""What is asked of the workers, in which order, and what is made of the answers."""

import statistics

import report
import workloads
from processes import LeftOutError, WorkerError, close, in_turn, say, start


def measure(workload, workers, options, result):
    """Check that the workers agree, then time blocks of steps of each in turn."""
    ready, check = agreeing(workload, workers, options, result)
    if not ready:
        return None
    steps = {w.name: w.ask("calibrate", seconds=options.block) for w in ready}
    blocks = {w.name: [] for w in ready}
    for k in range(options.rounds):
        say(f"{workload.name}: round {k + 1}/{options.rounds}:", end="")
        for worker in in_turn(ready, k):
            say(f" {worker.name}", end="")
            blocks[worker.name].append(worker.ask("time", steps=steps[worker.name]))
        say("")
    return {
        "title": workload.title,
        "check": {"steps": workload.check_steps, **check},
        "steps_per_block": steps,
        "seconds": {name: [b["seconds"] for b in found] for name, found in blocks.items()},
        "busy_cores": {name: [b["busy"] for b in found] for name, found in blocks.items()},
    }


def agreeing(workload, workers, options, result):
    """Set the workers up; return those whose numbers agree, and how the numbers compare."""
    setting = {"workload": workload.name, "smoke": options.smoke, "folder": options.data}
    noisy = getattr(workload, "noisy_steps", 0)
    able, values, means = [], {}, {}
    for worker in workers:
        say(f"{workload.name}: checking {worker.name}")
        try:
            if worker.about["checked"]:
                worker.ask("setup", **setting, quiet=True)
                values[worker.name] = worker.ask("values", steps=workload.check_steps)
                if noisy:
                    worker.ask("setup", **setting)
                    losses = [loss for (loss,) in worker.ask("values", steps=noisy)]
                    means[worker.name] = [[statistics.fmean(losses)]]
            else:
                worker.ask("setup", **setting)
            able.append(worker)
        except LeftOutError as error:
            result["left_out"].append(f"{workload.name}: {error}")
            say(f"  left out: {error}")
        except WorkerError as error:
            result["problems"].append(f"{workload.name}: {error}")
            say(f"  error: {error}")
    if not values:
        return [], {}
    check = report.compare(values, "numpy", workload.tolerance)
    wrong = dict.fromkeys(check["disagree"], (check, workload.tolerance))
    if means:
        check["in_the_mean"] = report.compare(means, "numpy", workload.noisy_tolerance)
        for name in check["in_the_mean"]["disagree"]:
            wrong[name] = (check["in_the_mean"], workload.noisy_tolerance)
    for name, (one, allowed) in wrong.items():
        result["problems"].append(
            f"{workload.name}: {name} differs from {one['reference']} by "
            f"{one['deviation'][name]:.1e} (relative), allowed are {allowed:.0e}"
        )
        say(f"  error: {result['problems'][-1]}")
    return [w for w in able if w.name not in wrong], check


def measure_tracing(workers, options):
    """Time tracing or compiling of a step, made anew in each round; earlier imports are over."""
    able = [w for w in workers if w.about["compiles"]]
    found = {}
    for name in workloads.COMPILED_NETWORKS:
        setting = {"workload": name, "smoke": options.smoke, "folder": options.data}
        times = {w.name: [] for w in able}
        for k in range(options.rounds + 1):  # the first round warms up and does not count
            say(f"tracing {name}: round {k}/{options.rounds}")
            for worker in in_turn(able, k):
                times[worker.name].append(worker.ask("first", **setting))
        found[name] = {name: seconds[1:] for name, seconds in times.items()}
    return found


def measure_memory(wanted, options, result):
    """Measure in fresh processes by how much the first step and three others make them grow."""
    setting = {"workload": "memory", "smoke": options.smoke, "folder": options.data}
    found = {}
    for one in wanted:
        workers = start([one], options.threads, result["problems"], result["left_out"])
        try:
            for worker in workers:
                about = worker.about
                single = about["checked"] and about["steps_per_call"] == 1
                if single and worker.can(workloads.MEMORY):
                    say(f"memory: {worker.name}")
                    worker.ask("setup", **setting)
                    found[worker.name] = worker.ask("memory", steps=3)
        except WorkerError as error:
            result["problems"].append(f"memory: {error}")
            say(f"  error: {error}")
        finally:
            close(workers)
    return found


def measure_graphs(wanted, options, result):
    """Time chains of growing length, each length in fresh processes, so that memory is comparable.

    The first round of each process also says how much it grew while it built its first chain.
    """
    found = {}
    for nodes in workloads.SMOKE_GRAPH_NODES if options.smoke else workloads.GRAPH_NODES:
        chains = max(1, (1_000 if options.smoke else 50_000) // nodes)
        workers = start(wanted, options.threads, result["problems"], result["left_out"])
        try:
            rounds = {worker.name: [] for worker in workers}
            for k in range(options.rounds):
                say(f"graph {nodes}: round {k + 1}/{options.rounds}:", end="")
                for worker in in_turn(workers, k):
                    say(f" {worker.name}", end="")
                    rounds[worker.name].append(worker.ask("graph", nodes=nodes, chains=chains))
                say("")
        finally:
            close(workers)
        found[str(nodes)] = rounds
    return found
