"""How much faster is a sweep on two cores than on one?

    python benchmarks/sweep.py

The same sweep, start of its processes included, by processes that may use one core and two, in
turn; of each the best of several rounds counts. The last line is JSON. Other work on the machine
makes the ratio smaller.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from time import perf_counter

from fallwise.planning.runs import Job, run_all
from fallwise.scenario import parse


def jobs(number: int, requests: int) -> list[Job]:
    """Return runs of a cascade of two tiers, each with another threshold."""
    pool = {"kind": "pool", "slots": 8, "service": {"kind": "lognormal", "p50_s": 0.3, "p99_s": 1}}
    small = {"answers": {"accuracy": 0.8, "auroc": 0.8, "loading": 0.7}, "threshold": 0.7}
    big = {"answers": {"accuracy": 0.9, "loading": 0.7}, "usd_per_request": 0.01}
    case = parse(
        {
            "name": "sweep",
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 15}},
            "answers": {"source": "synthetic"},
            "tiers": [{"name": "small", **pool, **small}, {"name": "big", **pool, **big}],
            "run": {"requests": requests},
        }
    )
    key = "tiers.small.threshold"
    return [Job(case, ((key, 0.5 + 0.4 * j / number),)) for j in range(number)]


def seconds(cores: int, number: int, requests: int) -> float:
    """Return how long the sweep takes in a process that may use so many cores."""
    words = ["--cores", str(cores), "--jobs", str(number), "--requests", str(requests)]
    command = [sys.executable, __file__, *words]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
        begin = perf_counter()
        run_all(jobs(given.jobs, given.requests))
        print(perf_counter() - begin)
        return
    best = {1: float("inf"), 2: float("inf")}
    for _ in range(given.rounds):
        for cores in best:
            best[cores] = min(best[cores], seconds(cores, given.jobs, given.requests))
    for cores, taken in best.items():
        rate = given.jobs * given.requests / taken
        print(f"{cores} core{'s' if cores > 1 else ' '} {taken:8.1f} s {rate:14,.0f} requests/s")
    print(json.dumps({"sweep_two_cores_vs_one": round(best[1] / best[2], 2)}))


if __name__ == "__main__":
    main()
