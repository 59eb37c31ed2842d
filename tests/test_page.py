from __future__ import annotations

import html as escaping
import json
import re
from typing import Any

import pytest
from fallwise.planning.breakeven import breakeven
from fallwise.planning.thresholds import Thresholds
from fallwise.report import page
from fallwise.report.charts import flow, learning
from fallwise.report.pieces import Plot
from fallwise.report.verdict import bills, tuned_verdict, verdict
from fallwise.report.words import count
from report_pages import html, learns, made


def study(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="study">(.*?)</script>', text, re.S)
    assert found is not None
    return dict(json.loads(found[1]))


def estimate(value: float | None, half: float | None = None) -> dict[str, float | None]:
    if half is None or value is None:
        return {"value": value, "low": None, "high": None}
    return {"value": value, "low": value - half, "high": value + half}


def point(**keys: Any) -> dict[str, Any]:
    usual = {
        "saving": estimate(0.54, 0.03),
        "saving_with_upkeep": None,
        "upkeep_usd_mean": 0.0,
        "quality_difference": estimate(-0.006, 0.002),
        "pays_from": {"value": 210_000.0, "low": 190_000.0, "high": None},
        "saving_at_stake": None,
        "wrong_answers_usd_mean": None,
        "cost_usd_mean": estimate(0.002, 0.0001),
    }
    return usual | keys


def test_the_page_needs_nothing_else_and_has_the_same_bytes_every_time() -> None:
    scenario, prediction, summary = made()
    text = html()
    assert text == page(summary, scenario, prediction)
    assert not re.search(
        r"https?:|//[a-z]|@import|url\(|<link (?!rel=\"icon\" href=\"data:,)", text
    )
    assert not re.search(r"<(script|img|iframe)[^>]*\ssrc=", text)
    assert len(text.encode()) < 600_000


def test_what_the_user_wrote_is_text_and_no_part_of_the_page() -> None:
    text = html()
    assert "</script><b>" not in text
    assert escaping.escape("A case </script><b>& more.") in text


def test_the_page_says_what_the_summary_says() -> None:
    _, _, summary = made(stakes=True)
    text = html(True)
    own = study(text)["tiers"]["small"]
    words = own["points"][own["own"]]["words"]
    assert words["quality"] == f"{100 * summary['quality']['value']:.1f}\u00a0%"
    assert words["cost_usd_mean"] == f"${1000 * summary['cost_usd_mean']['value']:.2f}"
    for name in ("quality", "verdict", "bills", "pays_from", "sojourn_s_p95"):
        assert f'data-k="{name}">{escaping.escape(words[name], quote=False)}<' in text
    for sentence in summary["findings"]:
        assert escaping.escape(sentence).replace("&#x27;", "&#39;") in text
    for what in ("tiers.big.usd_per_request", "a price list", summary["version"], "seed 5"):
        assert what in text


def test_every_tier_with_a_threshold_can_be_moved() -> None:
    found = study(html())["tiers"]
    assert list(found) == ["small", "middle"]
    for tier in found.values():
        verdicts = {p["words"]["verdict"] for p in tier["points"]}
        assert len(verdicts) > 10
        assert tier["points"][tier["own"]]["words"] == found["small"]["points"][
            found["small"]["own"]
        ]["words"] | {"threshold": tier["points"][tier["own"]]["words"]["threshold"]}


def test_columns_of_the_flow_hold_every_request_once() -> None:
    _, prediction, summary = made()
    found = Thresholds(prediction, summary["warmup_requests"]).own()
    rows = flow(found, [tier.name for tier in prediction.scenario.tiers])
    ends = [part for row in rows for part in row["parts"] if part[0] != "on"]
    assert sum(width for _, _, width in ends) == pytest.approx(100, abs=0.2)
    right = sum(width for kind, _, width in ends if kind == "right")
    assert right == pytest.approx(100 * summary["quality"]["value"], abs=0.1)
    edge = 0.0
    for _, left, width in sorted(ends, key=lambda part: part[1]):
        assert left == pytest.approx(edge, abs=0.05)
        edge = left + width
    for row, tier in zip(rows, summary["tiers"], strict=True):
        fallen = sum(width for _, width in row["falls"])
        assert fallen == pytest.approx(100 * tier["visit_share"]["value"], abs=0.1)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {},
            "Pays from 210,000 requests a month (190,000 to never); with today’s 2.63 million "
            "it saves 54 ± 3 % against big alone, at −0.6 ± 0.2 points of quality.",
        ),
        (
            {"pays_from": estimate(0.0, 0.0)},
            "Pays at any volume: saves 54 ± 3 % against big alone, at −0.6 ± 0.2 points of "
            "quality.",
        ),
        (
            {"pays_from": estimate(None), "saving": estimate(-0.2, 0.01)},
            "Does not pay at any volume: costs 20.0 ± 1.0 % more than big alone, at −0.6 ± 0.2 "
            "points of quality.",
        ),
        (
            {"pays_from": estimate(None), "saving": estimate(-0.01, 0.05)},
            "Does not pay at any volume: costs what big alone costs (the difference is 1 ± 5 %), "
            "at −0.6 ± 0.2 points of quality.",
        ),
        (
            {"saving_at_stake": estimate(0.9, 0.04)},
            "With wrong answers paid for, it saves 90 ± 4 % against big alone, at −0.6 ± 0.2 "
            "points of quality.",
        ),
        (
            {"saving_with_upkeep": estimate(-0.45, 0.02)},
            "Pays from 210,000 requests a month (190,000 to never); with today’s 2.63 million it "
            "costs 45 ± 2 % more than big alone (upkeep counted), at −0.6 ± 0.2 points of quality.",
        ),
        (
            {"saving_at_stake": estimate(0.9, 0.04), "saving_with_upkeep": estimate(0.3, 0.02)},
            "With wrong answers and upkeep paid for, it saves 90 ± 4 % against big alone, at "
            "−0.6 ± 0.2 points of quality.",
        ),
        (
            {"saving": None},
            "No price is given. Quality: −0.6 ± 0.2 points against big alone.",
        ),
        (
            {"pays_from": estimate(None), "saving": estimate(-2.28, 0.03)},
            "Does not pay at any volume: costs 3.28 ± 0.03 times as much as big alone, at "
            "−0.6 ± 0.2 points of quality.",
        ),
    ],
)
def test_the_verdict_is_one_sentence(changed: dict[str, Any], sentence: str) -> None:
    assert verdict(point(**changed), "big", 1.0) == sentence


def test_where_wrong_answers_have_a_price_the_bills_are_told_apart() -> None:
    at_stake = point(wrong_answers_usd_mean=estimate(0.003))
    assert bills(at_stake, "big", None, 0.02, 1000) == (
        "1,000 requests come to $5.00 instead of $20.0. Wrong answers left out: pays from 210,000 "
        "requests a month (190,000 to never); saves 54 ± 3 % against big alone."
    )
    assert bills(point(), "big", None, 0.02, 1000) == ""
    at_stake |= {"saving_with_upkeep": estimate(0.24, 0.03), "upkeep_usd_mean": 0.001}
    said = bills(at_stake, "big", None, 0.02, 1000)
    assert said.startswith("1,000 requests come to $6.00 (upkeep counted) instead of $20.0. ")
    assert said.endswith("saves 24 ± 3 % against big alone (upkeep counted).")


def test_a_tuned_verdict_has_the_numbers_of_the_other_half() -> None:
    pick = {
        "policy": "cascade",
        "threshold": 0.75,
        "saving": estimate(0.3, 0.04),
        "saving_with_upkeep": None,
        "quality_difference": estimate(-0.01, 0.004),
        "met": False,
    }
    tuned = {
        "pick": pick,
        "tier": "small",
        "labels": {"tuned_on": 2000, "reported_on": 1990},
        "frontier_only": {"tier": "big"},
        "goal": {"words": "the least cost"},
    }
    assert tuned_verdict(tuned) == (
        "The threshold 0.75 of small saves 30 ± 4 % against big alone, at −1.0 ± 0.4 points of "
        "quality: chosen on 2,000 questions, measured on 1,990 others. The goal was missed there."
    )
    assert tuned_verdict(tuned | {"pick": None}) == "Nothing gives the least cost."
    kept = pick | {"saving_with_upkeep": estimate(0.1, 0.04)}
    words = "saves 10 ± 4 % against big alone (upkeep counted), at"
    assert words in tuned_verdict(tuned | {"pick": kept})


def test_a_run_without_tables_has_a_page_without_a_slider() -> None:
    scenario, _, summary = made()
    text = page(summary, scenario)
    assert study(text) == {"tiers": {}}
    assert 'id="slider"' not in text
    assert f"{100 * summary['quality']['value']:.1f}\u00a0%" in text


def test_the_page_shows_how_the_cache_learns() -> None:
    summary, text = learns()
    parts = summary["cache_over_time"]
    section = learning(summary)
    hits, money = (part for part in section.parts if isinstance(part, Plot))
    ends = [part["requests_to"] for part in parts]
    for plot, name in ((hits, "hit_share"), (money, "cost_usd_mean")):
        assert [y for _, y in plot.lines[0].points[1::2]] == [p[name]["value"] for p in parts]
        assert [x for x, _ in plot.lines[0].points[1::2]] == ends
    assert "How the cache learns" in text
    assert f"{100 * parts[-1]['hit_share']['value']:.1f}" in section.note
    assert "How the cache learns" not in html()


def test_the_volume_from_which_it_pays_has_its_interval() -> None:
    _, prediction, _ = made()
    found = breakeven(prediction)["requests_per_month"]
    words = study(html())["tiers"]["small"]
    own = words["points"][words["own"]]["words"]
    assert own["pays_from"] == count(found["value"])
    assert own["pays_from_in"] == f"{found['low']:,.0f} to {found['high']:,.0f}"
    assert found["low"] < found["value"] < found["high"]
    assert f"a month ({own['pays_from_in']})" in own["verdict"]
