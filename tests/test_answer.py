"""The pages of the studies that are no runs say what their summaries say, and need nothing else."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from fallwise.report.pieces import Bars, forest, linear, logarithmic, stacked
from fallwise.report.studies import breakeven, compare, fit, sensitivity, size
from fallwise.report.studies.breakeven import pays
from fallwise.report.words import JOINED, dollars, seconds, share
from report_pages import FITS, STUDIES, checked, studied


def words(text: str) -> str:
    """Return what a reader sees of a page."""
    body = re.sub(r"<style.*?</style>|<[^>]+>", " ", text.partition("<body>")[2], flags=re.S)
    return " ".join(html.unescape(body).replace("\u00a0", " ").replace(JOINED, "").split())


def heading(text: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", text, re.S)
    assert found
    return words("<body>" + found[1])


@pytest.mark.parametrize("command", [*STUDIES, *FITS])
def test_a_page_needs_nothing_else_and_ends_with_assumptions_and_provenance(command: str) -> None:
    summary, text = studied(command)
    assert not re.search(
        r"https?:|//[a-z]|@import|url\(|<link (?!rel=\"icon\" href=\"data:,)|<script", text
    )
    assert len(text.encode()) < 200_000
    assert "</script><b>" not in text
    said = words(text)
    assumed = [(item["key"], item["why"]) for item in summary["assumptions"]]
    if command in STUDIES:
        assert ("tiers.big.usd_per_request", "a price list") in assumed
        assert "0.01" in said
    for what in (*(words for pair in assumed for words in pair), f"seed {summary['seed']}"):
        assert what in said
    assert said.index("Assumed, not measured") < said.index("How it was computed")
    assert "nan" not in re.findall(r"\w+", said.lower())


def test_breakeven_says_from_where_on_it_pays_with_its_interval() -> None:
    summary, text = studied("breakeven")
    found = summary["with_wrong_answers"]["requests_per_month"]
    low, value, high = (f"{found[end]:,.0f}" for end in ("low", "value", "high"))
    said = f"pays from {value} requests a month on ({low} to {high})."
    assert heading(text) == f"With wrong answers paid for, the cascade {said}"
    assert pays(summary, "Without them, it") in words(text)
    row = summary["monthly"][0]
    assert dollars(row["cascade_usd"]) in words(text)
    plots = breakeven(summary).sections[0].parts
    assert [getattr(part, "title") for part in plots] == [  # noqa: B009
        *("Wrong answers paid for", "Wrong answers left out")
    ]
    # Where the curves cross is where the sentence says that it pays.
    ours, theirs = (line.points for line in getattr(plots[0], "lines"))  # noqa: B009
    gains = [x for (x, a), (_, b) in zip(ours, theirs, strict=True) if a <= b]
    assert gains[0] == pytest.approx(found["value"], rel=0.05)


def test_a_cascade_that_never_pays_says_why() -> None:
    summary, _ = studied("breakeven")
    never = summary | {"requests_per_month": None, "why": "it costs more", "pays_in": []}
    page = breakeven(never | {"with_wrong_answers": None})
    assert page.verdict == "The cascade never pays: it costs more."
    assert page.cards[0] == ("pays from, requests a month", "never", "")


def row(cost: float, half: float) -> dict[str, Any]:
    known = {"value": cost, "low": cost - half, "high": cost + half, "variance_reduction": 3.0}
    names = ("cost_usd_mean", "cost_with_wrong_answers_usd_mean", "quality")
    times = dict.fromkeys(f"sojourn_s_{name}" for name in ("mean", "p95", "p99", "p999"))
    return {"a": "other", "b": "own"} | dict.fromkeys(names, known) | times


@pytest.mark.parametrize(
    ("difference", "sentence"),
    [
        (row(-0.02, 0.01), "other costs least: it saves $20.0 ($10.0 to $30.0) in 1,000"),
        (row(0.02, 0.01), "own costs least: the next, other, costs +$20.0 (+$10.0 to +$30.0)"),
        (row(0.02, 0.03), "None is seen to be cheaper than own: other differs by +$20.0 (−$10.0"),
    ],
)
def test_the_cheapest_is_named_no_surer_than_it_is_known(
    difference: dict[str, Any], sentence: str
) -> None:
    summary, _ = studied("compare")
    first, second = summary["candidates"][:2]
    two = [first | {"name": "own"}, second | {"name": "other"}]
    page = compare(summary | {"candidates": two, "differences": [difference]})
    assert page.verdict.replace(JOINED, "").startswith(sentence)


def test_compare_has_worst_cases_and_budgets_side_by_side() -> None:
    summary, text = studied("compare")
    said = words(text)
    for one in summary["candidates"]:
        bound = one["worst_case"]["seconds"]
        assert f"{one['name']} {seconds(bound)} = ".replace("\u00a0", " ") in said
    budget = next(s for s in compare(summary).sections if s.title == "Where the seconds went")
    bars = budget.parts[0]
    assert isinstance(bars, Bars)
    mean = {b.name: sum(width for *_, width in b.pieces) for b in bars.bars}
    told = {
        one["name"]: one["budget"][0]["sojourn_s_mean"]["value"] for one in summary["candidates"]
    }
    most = max(told.values())
    assert mean == pytest.approx({n: 100 * x / most for n, x in told.items()}, abs=0.1)


def test_size_says_the_plan_its_price_and_what_breaks() -> None:
    summary, text = studied("size")
    cost, head = summary["cost_usd_per_month"], summary["headroom"]
    plan = " and ".join(f"{units} × {name}" for name, units in summary["pick"].items())
    assert heading(text).startswith(
        f"{plan} for {dollars(cost['value'])} ({dollars(cost['low'])} to {dollars(cost['high'])})"
    )
    assert f"up to {head['traffic_factor']:g} times this traffic" in heading(text)
    assert "With 2 times this traffic" in words(text)
    none = {"pick": None, "why": "too slow", "grown": None, "offers": None, "headroom": None}
    assert size(summary | none).verdict == "No plan holds the targets: too slow."


def test_sensitivity_names_the_key_that_moves_most_and_its_interval() -> None:
    summary, text = studied("sensitivity")
    first = summary["tornado"]["cost_usd_mean"][0]
    assert first["key"] in heading(text)
    assert dollars(1000 * abs(first["swing"]["low"])) in heading(text)
    for index in summary["sobol"]["quality"]["indices"]:
        assert f"{index['total']['value']:.2f}".replace("-0.00", "0.00") in words(text)
    bars = sensitivity(summary).sections[0].parts[0]
    assert isinstance(bars, Bars)
    widths = [bar.pieces[0][2] for bar in bars.bars]
    assert widths == sorted(widths, reverse=True)


def test_a_check_shows_every_row_and_the_difference_that_says_most() -> None:
    summary, text = studied("check")
    assert heading(text).startswith("Prediction and deployment agree in all")
    slower, other = checked(1.5)
    wrong = next(row for row in slower["rows"] if row["agree"] is False)
    apart = [seconds(wrong["difference"][end]).replace("\u00a0", " ") for end in ("low", "high")]
    assert "differ in" in heading(other)
    assert f"(difference +{apart[0]} to +{apart[1]})" in heading(other)
    for said in (words(text), words(other)):
        assert all(f" {row['measure']} " in said for row in summary["rows"])
        assert "noise floor" in said
        assert "not judged: ttft_s".lower() in said.lower()
    assert words(other).count(" DIFFER ") == sum(r["agree"] is False for r in slower["rows"])


def test_a_fit_says_how_far_it_is_off_beside_what_chance_makes() -> None:
    summary, text = studied("fit")
    held = summary["held"]
    off, most = (f"{100 * held[name]:.1f}" for name in ("error_mean", "error_max"))
    said = heading(text)
    assert f"to {off} points on average and {most} at most; chance alone makes up to ±" in said
    rows = held["cascades"]
    inside = sum(row["low"] <= row["predicted"] <= row["high"] for row in rows)
    assert f"{inside} of {len(rows)} predictions are inside it." in said
    for one in held["laid"]:
        assert f"{one['model']}: {one['of']} of {one['n']:,} answers" in words(text)
    assert {one["of"] for one in held["laid"]} == {"score", "seconds"}
    tier = summary["tiers"][0]
    for end in (tier["accuracy"], *tier["accuracy_within"]):
        assert share(end).replace("\u00a0", " ") in words(text)
    alone = summary | {"held": held | {"cascades": [], "pick": None, "laid": []}}
    assert "without scores there is no cascade to test" in fit(alone).verdict


def test_a_fitted_log_says_its_traffic_and_its_worst_law() -> None:
    summary, text = studied("fit a log")
    traffic, worst = summary["traffic"], max(summary["held"]["laid"], key=lambda one: one["ks"])
    low, rate, high = (f"{traffic[f'rate_rps{end}']:.3g}" for end in ("_low", "", "_high"))
    said = heading(text)
    assert said.startswith(f"400 requests came at {rate} a second ({low} to {high});")
    assert traffic["rate_rps_low"] < traffic["rate_rps"] < traffic["rate_rps_high"]
    assert f"({worst['model']})" in said
    assert "log.jsonl" in words(text) and "Equal questions: by the field messages." in words(text)


def test_places_are_in_percent_of_their_box() -> None:
    axis = logarithmic([1.0, 1000.0], str)
    assert axis.at(31.6) == pytest.approx(50, abs=0.1)
    assert axis.at(0.0) == 0.0
    assert [text for _, text in axis.ticks] == ["1.0", "10.0", "100.0", "1000.0"]
    assert linear([0.0, 1.0], share).at(0.0) == 0.0
    one = {"value": -1.0, "low": -2.0, "high": 0.5}
    (bar,) = forest("", [("x", one)], str).bars
    assert bar.point == 26.0 and bar.span == (2.0, 62.0)
    bars = stacked("", [("x", "", [("p0", 1.0), ("p1", 3.0)]), ("y", "", [("p0", 2.0)])], ())
    assert [b.pieces for b in bars.bars] == [
        [("p0", 0.0, 25.0), ("p1", 25.0, 75.0)],
        [("p0", 0.0, 50.0)],
    ]
