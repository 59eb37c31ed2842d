"""Speed, side by side, in one run: `./dev bench`, or `python -m benchmarks.run [--full]`.

The two-tier cascade of others.py: Poisson arrivals, lognormal work, 30 % escalate, a timeout on the
first tier, 80 % of the servers busy. Every engine gets the same drawn requests (Ciw draws its own).
Of every measurement the best of several rounds counts; the rounds take turns, so that all see the
same machine. The last line is JSON; `everything_vs_reference` is of the cascade of everything.py.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from fallwise.analysis.predict import Prediction
from fallwise.analysis.settle import settle
from fallwise.analysis.stream import summarise_stream
from fallwise.analysis.summary import summarise
from fallwise.draw import draw
from fallwise.engines import compiled, plan, reference
from fallwise.policies import decide
from fallwise.scenario import Scenario, parse

from benchmarks import others
from benchmarks.everything import everything

ROUNDS = 7


def scenario() -> Scenario:
    """Return the cascade of others.py."""

    def tier(name: str, k: int, **keys: Any) -> dict[str, Any]:
        p50, p99 = others.MEDIAN_S[k], others.MEDIAN_S[k] * float(np.exp(2.3263479 * others.SIGMA))
        law = {"kind": "lognormal", "p50_s": p50, "p99_s": p99}
        answers = {"accuracy": 0.8 + 0.1 * k, "loading": 0.7, "auroc": 0.75}
        answers["score_quantiles"] = [0.0, 1.0]
        slots = others.SERVERS[k]
        return dict(name=name, kind="pool", slots=slots, service=law, answers=answers, **keys)

    first = tier("small", 0, threshold=others.ESCALATED, timeout_s=others.TIMEOUT_S)
    arrivals = {"kind": "poisson", "rate_rps": others.RATE_RPS}
    return parse(
        {
            "name": "bench",
            "traffic": {"arrivals": arrivals},
            "answers": {"source": "synthetic"},
            "tiers": [first, tier("big", 1, usd_per_request=0.01)],
            "run": {"warmup": 10_000},
        }
    )


def best(rates: dict[str, float], name: str, n: int, work: Callable[[], Any]) -> Any:
    """Do the work, keep the best of its rates so far in requests a second; return its result."""
    begin = perf_counter()
    result = work()
    rates[name] = max(rates.get(name, 0.0), n / (perf_counter() - begin))
    return result


def end_to_end(case: Scenario, n: int) -> None:
    """Draw, decide, schedule, settle and summarise, as `fallwise run` does."""
    requests = draw(case, 1, n)
    decisions = decide(case, requests)
    outcomes = compiled.simulate(plan(case), requests, decisions)
    settled = settle(case, requests, decisions, outcomes)
    prediction = Prediction(case, requests, decisions, settled, 1, "compiled")
    summarise(prediction, baselines=False)


def drawn_and_read(case: Scenario, n: int) -> None:
    """Draw the columns and read every one once: no engine can be faster than that."""
    for column in draw(case, 1, n).columns().values():
        column.max()


def measure(n: int) -> dict[str, float]:
    """Return requests per second of everything."""
    case = scenario()
    requests, decisions = _world(case, n)
    world = plan(case), requests, decisions
    few, fewer = min(n, 50_000), min(n, 5_000)
    cascade, short = _lists(requests, decisions, few), _lists(requests, decisions, fewer)
    start = world[0], requests.take(slice(0, few)), _first(decisions, few)
    rates: dict[str, float] = {}
    compiled.simulate(*world, way="loop"), compiled.simulate(*world, way="pass")
    for round_ in range(ROUNDS):
        sojourn = best(rates, "simpy", few, lambda: others.simpy(cascade))
        for _ in range(3):
            loop = best(rates, "loop", n, lambda: compiled.simulate(*world, way="loop"))
            swept = best(rates, "pass", n, lambda: compiled.simulate(*world, way="pass"))
            best(rates, "end_to_end", n, lambda: end_to_end(case, n))
            best(rates, "draw_and_read", n, lambda: drawn_and_read(case, n))
        if round_ < 2:
            slow = best(rates, "reference", few, lambda: reference.simulate(*start))
            best(rates, "ciw", fewer, lambda: others.ciw(short))
            best(rates, "salabim", fewer, lambda: others.salabim(short))
    assert loop.equals(swept)
    assert slow.equals(compiled.simulate(*start))
    # SimPy's clock is a float: the same model, but for ties in the last digits.
    apart = np.abs(slow.sojourn_s - np.array(sojourn)) > 1e-6
    assert apart.mean() < 0.001, f"SimPy's model differs in {apart.mean():.1%} of the requests"
    return rates


def with_everything(n: int) -> float:
    """Return how many times as fast as the reference the compiled engine is, with everything on."""
    case = everything()
    world = plan(case), *_world(case, n)
    rates: dict[str, float] = {}
    fast = compiled.simulate(*world)
    for round_ in range(ROUNDS):
        best(rates, "fast", n, lambda: compiled.simulate(*world))
        if round_ < 2:
            slow = best(rates, "slow", n, lambda: reference.simulate(*world))
    assert slow.equals(fast)
    return rates["fast"] / rates["slow"]


def _world(case: Scenario, n: int) -> tuple[Any, Any]:
    requests = draw(case, 1, n)
    return requests, decide(case, requests)


def _first(decisions: Any, n: int) -> Any:
    accept, verify = (np.asfortranarray(c[:n]) for c in (decisions.accept, decisions.verify))
    return type(decisions)(decisions.start[:n], accept, verify)


def _lists(requests: Any, decisions: Any, n: int) -> others.Cascade:
    service = [(requests.service_ns[:n, k] / 1e9).tolist() for k in range(2)]
    arrival = (requests.arrival_ns[:n] / 1e9).tolist()
    return others.Cascade(arrival, (service[0], service[1]), decisions.accept[:n, 0].tolist())


def child(*words: str, **env: str) -> str:
    """Return what a fresh process of this program prints."""
    command = [sys.executable, "-m", "benchmarks.run", *words]
    done = subprocess.run(command, env={**os.environ, **env}, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().strip()


def first_use(way: compiled.Way) -> float:
    """Return the seconds that the first run takes which goes this way."""
    case = scenario()
    world = plan(case), *_world(case, 100)
    begin = perf_counter()
    compiled.simulate(*world, way=way)
    return perf_counter() - begin


def growth(n: int) -> str:
    """Return seconds and peak MiB of a whole run in blocks."""
    begin = perf_counter()
    summarise_stream(scenario(), 1, n, baselines=False)
    seconds = perf_counter() - begin
    return f"{seconds} {peak_mib()}"


def peak_mib() -> float:
    """Return the most memory that this process has had; Linux counts its parent's in ru_maxrss."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    words = status.read_text().split()
    return int(words[words.index("VmHWM:") + 1]) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--full", action="store_true", help="growth to 10^8 requests")
    parser.add_argument("--grow", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--first-use", choices=("loop", "pass"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.grow:
        print(growth(given.grow))
        return
    if given.first_use:
        print(first_use(given.first_use))
        return
    for way in ("loop", "pass"):  # A run has to compile the way that it goes.
        with tempfile.TemporaryDirectory() as kept:
            first, then = (float(child("--first-use", way, NUMBA_CACHE_DIR=kept)) for _ in range(2))
        print(f"{way}: compiled in {first:.1f} s on first use, loaded in {then:.2f} s after")
    rates = measure(given.requests)
    print(f"\n{'':24}{'requests/s':>14}{'x SimPy':>10}")
    for name, rate in sorted(rates.items(), key=lambda item: item[1]):
        print(f"{name:24}{rate:14,.0f}{rate / rates['simpy']:10.2f}")
    print(f"\n{'requests':>14}{'seconds':>10}{'requests/s':>14}{'peak MiB':>10}   draw to summary")
    for n in [10**digits for digits in range(4, 9 if given.full else 8)]:
        seconds, peak = (float(word) for word in child("--grow", str(n)).split())
        print(f"{n:14,}{seconds:10.1f}{n / seconds:14,.0f}{peak:10.0f}", flush=True)
    ratios: dict[str, float] = {
        f"{name}_vs_simpy": round(rates[name] / rates["simpy"], 1)
        for name in ("loop", "pass", "end_to_end")
    }
    ratios["everything_vs_reference"] = round(with_everything(given.requests // 20), 1)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
