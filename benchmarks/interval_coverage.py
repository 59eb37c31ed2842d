"""How often do the 95 % intervals hold the truth? Measured over many runs, none assumed.

    python benchmarks/interval_coverage.py                     the table of docs/validation.md
    python benchmarks/interval_coverage.py --runs 200 --requests 50000

Each run is drawn, decided and scheduled as `fallwise run` does it: it starts empty, and MSER-5 cuts
its beginning. M/M/1 has closed forms; the cascade's truth comes from 40 runs of a million requests.
"""

from __future__ import annotations

import argparse
import math
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from fallwise.analysis.intervals import Estimate, batch_mean, batch_quantile, mser5
from fallwise.draw import draw
from fallwise.engines import plan, simulate
from fallwise.policies import decide
from fallwise.scenario import Scenario, parse
from fallwise.tables import Floats

QUANTILES = {"p95": 0.95, "p99": 0.99, "p99.9": 0.999}
MODELS: dict[str, dict[str, Any]] = {
    "M/M/1, 80 % busy": {
        "rate_rps": 0.8,
        "tiers": [
            {
                "name": "only",
                "kind": "pool",
                "service": {"kind": "exponential", "mean_s": 1.0},
                "answers": {"accuracy": 0.9},
            }
        ],
    },
    "cascade, two tiers": {
        "rate_rps": 8.5,
        "tiers": [
            {
                "name": "small",
                "kind": "pool",
                "slots": 4,
                "service": {"kind": "lognormal", "p50_s": 0.35, "p99_s": 1.2},
                "timeout_s": 1.5,
                "threshold": 0.75,
                "answers": {"accuracy": 0.74, "loading": 0.7, "auroc": 0.8},
            },
            {
                "name": "big",
                "kind": "api",
                "concurrency": 8,
                "service": {"kind": "lognormal", "p50_s": 1.2, "p99_s": 6.0},
                "answers": {"accuracy": 0.85, "loading": 0.7, "auroc": 0.75},
            },
        ],
    },
}


def scenario(model: str) -> Scenario:
    given = MODELS[model]
    arrivals = {"kind": "poisson", "rate_rps": given["rate_rps"]}
    return parse(
        {
            "name": "coverage",
            "traffic": {"arrivals": arrivals},
            "answers": {"source": "synthetic"},
            "tiers": given["tiers"],
        }
    )


def sojourn_s(model: str, requests: int, seed: int) -> Floats:
    world = scenario(model)
    table = draw(world, seed, requests)
    return simulate(plan(world), table, decide(world, table)).sojourn_s


def long_run(model: str, seed: int) -> Floats:
    return sojourn_s(model, 1_000_000, 10_000_000 + seed)[20_000:]


def truth(model: str, pool: ProcessPoolExecutor) -> dict[str, float]:
    """Return the true mean and quantiles of the sojourn."""
    if model.startswith("M/M/1"):
        left = 1 - MODELS[model]["rate_rps"]
        return {"mean": 1 / left} | {name: -math.log(1 - q) / left for name, q in QUANTILES.items()}
    x = np.concatenate(list(pool.map(partial(long_run, model), range(40))))
    return {"mean": float(x.mean())} | {n: float(np.quantile(x, q)) for n, q in QUANTILES.items()}


def one_run(model: str, requests: int, seed: int) -> dict[str, Estimate]:
    x = sojourn_s(model, requests, seed)
    x = x[mser5(x) :]
    return {"mean": batch_mean(x)} | {n: batch_quantile(x, q) for n, q in QUANTILES.items()}


def row(name: str, true: float, found: list[Estimate]) -> str:
    """Return the row of a measure; an interval without a bound on one side reaches for ever."""
    low = np.mean([true < e.low for e in found])
    high = np.mean([true > e.high for e in found])
    wide = np.array([e.half_width for e in found])
    open_ended = np.isnan(wide).mean()
    half = f"{np.median(wide[~np.isnan(wide)]) / true:.1%}" if open_ended < 0.5 else "–"
    cells = [f"{1 - low - high:.1%}", f"{low:.1%}", f"{high:.1%}", half, f"{open_ended:.1%}"]
    return f"{name} | " + " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument(
        "--requests", type=int, nargs="+", default=[50_000, 100_000, 200_000, 400_000]
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    print("| model | requests | sojourn | held | truth below | above | half width | no bound |")
    print("|---|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(args.workers) as pool:
        for model in MODELS:
            true = truth(model, pool)
            for requests in args.requests:
                run = partial(one_run, model, requests)
                found = list(pool.map(run, range(args.runs), chunksize=10))
                for name, value in true.items():
                    cells = row(name, value, [each[name] for each in found])
                    print(f"| {model} | {requests:,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
