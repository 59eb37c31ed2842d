"""Invoices as requests: the bodies that a replay sends to live readers, and what is right.

    python loadtests/invoices.py requests.parquet --bodies bodies.jsonl --truth truth.parquet

Row i asks for the measured invoice number `key modulo 2,000` of the split, so that equal keys are
the same invoice. truth holds, by row, that invoice (its query_id in the measured table,
scenarios/data/invoices.parquet) and the text of the right answer. The bodies are for
`locust -f loadtests/replay.py --bodies-file bodies.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from fallwise.gateway.invoices import BRIGHTEST, text_of
from fallwise.tables import RequestTable
from fallwise.tables.files import write_parquet

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios" / "measure"))
import invoices as measured  # isort: skip


def main() -> None:
    """Write the bodies and the truth of a table of requests."""
    parser = argparse.ArgumentParser(description="Invoices as requests.")
    parser.add_argument("requests", type=Path, help="RequestTable (parquet)")
    parser.add_argument("--split", choices=["train", "test"], default="test")
    parser.add_argument("--bodies", type=Path, required=True, help="JSON lines, one a request")
    parser.add_argument("--truth", type=Path, required=True, help="what is right (parquet)")
    options = parser.parse_args()
    number = RequestTable.load(options.requests).key % measured.INVOICES
    scans = measured.scans()
    digits, chosen = measured.compose(scans, options.split)
    texts = [text_of(scans.pixels[nine] * BRIGHTEST) for nine in chosen]
    right = ["".join(map(str, nine)) for nine in digits]
    with options.bodies.open("w", encoding="utf-8") as lines:
        for i in number:
            body = {"model": "cascade", "messages": [{"role": "user", "content": texts[i]}]}
            lines.write(json.dumps(body) + "\n")
    answers = np.array([f"{right[i][:3]} + {right[i][3:5]} = {right[i][5:]}" for i in number])
    first = 0 if options.split == "train" else measured.INVOICES
    write_parquet(options.truth, {"query_id": number + first, "answer": answers}, "")


if __name__ == "__main__":
    main()
