"""Each way in which a cascade fails is named by a run, and is not where its cause is removed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fallwise.analysis.predict import predict
from fallwise.analysis.summary import summarise
from fallwise.scenario import read
from fallwise.scenario.source import value_of
from fallwise.tables import ANSWERED

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "scenarios" / "failure-modes"
PAGE = (ROOT / "docs" / "failure-modes.md").read_text()

NAMED = {
    "no-saving": ["The cascade costs more than frontier-only"],
    "compounding-latency": ["The cascade is slower than frontier-only", "Latency compounds"],
    "confident-wrong": ["small is confidently wrong", "loses on wrong answers"],
    "low-volume": ["The volume is too low", "The cascade costs more than frontier-only"],
    "residency": ["were refused: they must stay local"],
    "retry-storm": ["the failure has stayed", "Retries make", "work that nobody waited for"],
}


def found(name: str, values: dict[str, object]) -> list[str]:
    path = FOLDER / f"{name}.yaml"
    sentences: list[str] = summarise(predict(read(path, values)))["findings"]
    return sentences


def section(name: str) -> str:
    """Return the page's part about a scenario."""
    parts = PAGE.split("\n## ")[1:]
    (part,) = [part for part in parts if f"scenarios/failure-modes/{name}.yaml" in part]
    return part


def test_every_scenario_has_a_test_and_a_part_of_the_page() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == NAMED.keys()
    assert len(PAGE.split("\n## ")) - 1 == len(NAMED)


@pytest.mark.parametrize("name", NAMED)
def test_a_failure_is_named_in_plain_words_and_as_the_page_says(name: str) -> None:
    sentences = found(name, {})
    quoted = re.findall(r"(?m)((?:^> .*\n)+)", section(name))
    for phrase in NAMED[name]:
        assert sum(phrase in sentence for sentence in sentences) == 1, phrase
        assert any(phrase in " ".join(re.split(r"\n?> ", text)) for text in quoted), phrase
    for text in quoted:
        assert " ".join(line[2:] for line in text.splitlines()) in sentences


@pytest.mark.parametrize("name", NAMED)
def test_it_is_not_found_where_its_cause_is_removed(name: str) -> None:
    (setting,) = re.findall(r"--set \"?([^`\"\n]+)\"?`", section(name))
    key, _, text = setting.partition("=")
    assert f"--set {setting}" in (FOLDER / f"{name}.yaml").read_text().replace('"', "")
    sentences = found(name, {key: value_of(text, "--set")})
    for phrase in NAMED[name]:
        assert not [sentence for sentence in sentences if phrase in sentence], phrase


def test_a_retry_storm_stays_when_its_cause_has_gone() -> None:
    def answered(values: dict[str, object]) -> tuple[float, float]:
        """Return the shares before the surge, and from five minutes after it on."""
        outcomes = predict(read(FOLDER / "retry-storm.yaml", values)).outcomes
        arrival_s, fine = outcomes.arrival_ns / 1e9, outcomes.status == ANSWERED
        return float(fine[arrival_s < 600].mean()), float(fine[arrival_s > 960].mean())

    before, after = answered({})
    assert before > 0.99 and after < 0.1
    assert min(answered({"tiers.own.retries.budget": 0.1})) > 0.99
    assert min(answered({"traffic.surges": []})) > 0.99
