"""The readers that are served against the measured table: the same models, the same answers."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fallwise.gateway.invoices import BRIGHTEST, TRAINING, Arithmetics, Reader, pixels_of, text_of
from fallwise.gateway.question import CallFailed, Question
from fallwise.scenario.live import Arithmetic, Invoices
from fallwise.tables.files import read_rows

pytest.importorskip("sklearn", reason="scikit-learn comes with the extra `measure`")
SCENARIOS = Path(__file__).parents[2] / "scenarios"


@pytest.fixture(scope="module")
def measure() -> Any:
    """The script that measured."""
    sys.path.insert(0, str(SCENARIOS / "measure"))
    try:
        return import_module("invoices")
    finally:
        sys.path.pop(0)


def test_the_readers_are_trained_on_the_scans_of_the_measurement(measure: Any) -> None:
    training = np.flatnonzero(np.unpackbits(np.frombuffer(TRAINING, np.uint8)))
    assert (training == np.sort(measure.scans().training)).all()


@pytest.mark.parametrize("model", ["naive-bayes", "logistic", "svc"])
def test_what_is_served_is_what_was_measured(model: str, measure: Any) -> None:
    table = read_rows(SCENARIOS / "data" / "invoices.parquet").to_pandas()
    measured = table[(table["model"] == model) & (table["split"] == "test")].head(200)
    known = measure.scans()
    _, chosen = measure.compose(known, "test")
    reader = Reader(Invoices(kind="invoices", model=model))  # type: ignore[arg-type]
    pixels = known.pixels[chosen[:200]] * BRIGHTEST
    answers = [reader.read(text_of(scan)) for scan in pixels]
    assert [int(answer.identity) for answer in answers] == measured["answer_id"].tolist()
    scores = np.array([answer.score for answer in answers], np.float64)
    assert np.allclose(scores, measured["confidence"], rtol=1e-4, atol=1e-7)
    for rule, column in (("sum", "rule_sum"), ("order", "rule_total_ge_subtotal")):
        verifier = Arithmetics(Arithmetic(kind="arithmetic", rule=rule))  # type: ignore[arg-type]
        verdicts = [asyncio.run(verifier(_asked(answer.text))).passes for answer in answers]
        assert verdicts == (measured[column] == 1).tolist()


def _asked(answer: str) -> Question:
    messages = [{"role": "user", "content": ""}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": "Is this answer right? Reply yes or no."})
    return Question({"messages": messages}, 0, 0, False, 0)


@pytest.mark.parametrize("text", ["", "abc", "r" * 576, "é" * 288])
def test_what_is_no_invoice_is_refused(text: str) -> None:
    with pytest.raises(CallFailed, match="576 letters"):
        pixels_of(text)
