"""The questions that the project's own live readers answer, with what is right.

    python loadtests/questions.py invoices questions.jsonl
    python loadtests/questions.py intents questions.jsonl --texts FOLDER    (banking77_test.csv.gz)

A line a question, {"id", "text", "answer"}: for `fallwise check --questions`. ids are the query_id
of the measured tables: scenarios/data/invoices.parquet, scenarios/data/support-intents.parquet.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scenarios" / "measure"))

Question = tuple[int, str, str]


def intents(texts: Path) -> Iterator[Question]:
    """Yield the test questions of bank customers."""
    import intents as measured

    yield from measured.questions(texts)


def invoices(_: Path) -> Iterator[Question]:
    """Yield the scanned invoices of both splits."""
    import invoices as measured
    from fallwise.gateway.invoices import BRIGHTEST, text_of

    scans = measured.scans()
    for first, split in ((0, "train"), (measured.INVOICES, "test")):
        digits, chosen = measured.compose(scans, split)
        for i, (nine, right) in enumerate(zip(chosen, digits, strict=True), first):
            said = "".join(map(str, right))
            answer = f"{said[:3]} + {said[3:5]} = {said[5:]}"
            yield i, text_of(scans.pixels[nine] * BRIGHTEST), answer


KINDS = {"invoices": invoices, "intents": intents}


def main() -> None:
    """Write the questions of a kind to a file."""
    parser = argparse.ArgumentParser(description="Questions for the project's own live readers.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("file", type=Path, help="JSON lines")
    default = ROOT.parent / "shared" / "data" / "text"
    parser.add_argument(
        "--texts", type=Path, default=default, help="folder of the customers' texts"
    )
    options = parser.parse_args()
    with options.file.open("w", encoding="utf-8") as lines:
        for name, text, answer in KINDS[options.kind](options.texts):
            lines.write(json.dumps({"id": name, "text": text, "answer": answer}) + "\n")


if __name__ == "__main__":
    main()
