"""What both measurements share: seconds of one call, and a table that says where it comes from."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

__all__ = ["DATA", "ROOT", "provenance", "save", "timed"]

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "scenarios" / "data"
PASSES = 3
A, R = TypeVar("A"), TypeVar("R")


def timed(function: Callable[[A], R], arguments: list[A]) -> tuple[list[R], list[float]]:
    """Return the results, and the least seconds of three calls for each argument.

    One call at a time, as a server meets requests. The least of three passes over all arguments,
    minutes apart if there are many: what other programs on the machine take is not the model's.
    """
    for argument in arguments[:50]:  # warm
        function(argument)
    results: list[R] = []
    seconds = [math.inf] * len(arguments)
    for _ in range(PASSES):
        results = []
        for i, argument in enumerate(arguments):
            start = time.perf_counter()
            results.append(function(argument))
            seconds[i] = min(seconds[i], time.perf_counter() - start)
    return results, seconds


def provenance(seed: int, packages: list[str], **more: str) -> dict[str, str]:
    """Return how, with what and on which machine a table was made."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    cpu = platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2] for line in info.read_text().splitlines() if "name" in line]
        cpu = names[0].strip() if names else cpu
    return {
        "command": f"python {Path(sys.argv[0]).resolve().relative_to(ROOT).as_posix()}",
        "commit": commit.stdout.strip(),
        "seed": str(seed),
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
        "machine": f"{cpu}, BLAS on one thread",
        "seconds": f"perf_counter, one request at a time, warm, least of {PASSES}",
        **more,
    }


def save(name: str, about: str, rows: pd.DataFrame, made: dict[str, str]) -> None:
    """Write data/<name>.parquet with its provenance inside, and data/<name>.md beside it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    DATA.mkdir(exist_ok=True)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    table = table.replace_schema_metadata({"provenance": json.dumps(made)})
    pq.write_table(table, DATA / f"{name}.parquet", compression="zstd")
    lines = [f"# {name}.parquet", "", about, "", "| | |", "| --- | --- |"]
    lines += [f"| {key} | {value} |" for key, value in made.items()]
    lines += ["", "## What was measured", "", *_measured(rows), ""]
    (DATA / f"{name}.md").write_text("\n".join(lines))


def _measured(rows: pd.DataFrame) -> list[str]:
    """Return a table of each split and model; a rule's catch is its share of the wrong answers."""
    rules = [column for column in rows if column.startswith("rule_")]
    head = ["split", "model", "n", "right", "mean score", "at >= .9", "of those wrong"]
    head += ["ms p50", "ms p99", *(f"{rule} catches" for rule in rules)]
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for (split, _, model), group in rows.groupby(["split", "tier_order", "model"]):
        wrong, sure = group["correct"] == 0, group["confidence"] >= 0.9
        values: list[Any] = [split, model, len(group), f"{group['correct'].mean():.3f}"]
        values += [f"{group['confidence'].mean():.3f}", f"{sure.mean():.3f}"]
        values.append(f"{wrong[sure].mean():.3f}" if sure.any() else "-")
        values += [f"{group['seconds'].quantile(q) * 1e3:.2f}" for q in (0.5, 0.99)]
        values += [f"{(group.loc[wrong, rule] == 0).mean():.4f}" for rule in rules]
        lines.append("| " + " | ".join(map(str, values)) + " |")
    return lines
