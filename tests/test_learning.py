"""What changes in the course of a run, counted here in another way; and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise import plots, report
from fallwise.analysis.learning import arrivals_of, cache_over_time
from fallwise.analysis.predict import predict
from fallwise.analysis.stream import summarise_stream
from fallwise.analysis.summary import summarise
from fallwise.draw import stream
from fallwise.scenario import Scenario, parse

CACHE = {"name": "cache", "kind": "cache", "capacity": 500, "lookup_s": 0.0, "filled_by": ["big"]}
REPEATS = {"repeat_share": 0.6, "distinct_keys": 300}


def cached(repeats: Any = REPEATS, **cache: Any) -> Scenario:
    arrivals = {"kind": "poisson", "rate_rps": 5.0}
    segments = [{"repeats": repeats} if repeats else {}]
    return scenario(
        [{**CACHE, **cache}, tier("big", usd_per_request=1.0)],
        traffic={"arrivals": arrivals, "segments": segments},
    )


def traced(folder: Path, times: Any, **law: Any) -> Scenario:
    (folder / "t.csv").write_text("arrival_s\n" + "\n".join(map(str, times)))
    case = scenario([tier("big")])
    data = case.model_dump(exclude_unset=True)
    data["traffic"] = {"arrivals": {"kind": "trace", "file": "t.csv", **law}}
    return parse(data, folder)


def about(found: list[str], word: str) -> list[str]:
    return [sentence for sentence in found if word in sentence]


def test_the_cache_gets_better_and_the_cascade_cheaper_part_by_part() -> None:
    prediction = predict(cached(), seed=3, n=20_000)
    curve = cache_over_time(prediction)
    assert [part["requests_to"] for part in curve[:-1]] == [p["requests_from"] for p in curve[1:]]
    assert (curve[0]["requests_from"], curve[-1]["requests_to"]) == (0, 20_000)
    hit = prediction.outcomes.hit_tier == 0
    for part in curve:
        share = hit[part["requests_from"] : part["requests_to"]].mean()
        assert part["hit_share"]["value"] == pytest.approx(share)
        # A miss costs a dollar, a hit nothing.
        assert part["cost_usd_mean"]["value"] == pytest.approx(1 - share)
        assert part["hit_share"]["low"] <= share <= part["hit_share"]["high"]
    values = [part["hit_share"]["value"] for part in curve]
    assert values[0] < 0.45 < values[-1] < 0.65
    summary = summarise(prediction)
    assert summary["cache_over_time"] == curve
    (sentence,) = about(summary["findings"], "learns")
    assert f"{100 * values[0]:.3g} % of the first 100 requests" in sentence
    assert json.dumps(summary)


def test_a_cache_that_is_warm_has_nothing_to_learn() -> None:
    found = summarise(predict(cached(warm_keys=300), seed=3, n=20_000))
    values = [part["hit_share"]["value"] for part in found["cache_over_time"]]
    assert abs(values[0] - 0.6) < 4.5 * np.sqrt(0.24 / 100)
    assert about(found["findings"], "learns") == []


def test_what_got_cheaper_without_the_cache_is_not_said_to_be_its_work(tmp_path: Path) -> None:
    def said(prompts: Any) -> str:
        n = len(prompts)
        # Every tenth question after the first 200 was asked before.
        keys = [5 if i > 200 and i % 10 == 0 else i for i in range(n)]
        rows = zip(range(0, 2 * n, 2), prompts, keys, strict=True)
        lines = ["arrival_s,prompt_tokens,key", *(",".join(map(str, row)) for row in rows)]
        (tmp_path / "t.csv").write_text("\n".join(lines))
        data = cached(None).model_dump(exclude_unset=True)
        data["traffic"] = {
            "arrivals": {"kind": "trace", "file": "t.csv"},
            "segments": [{"prompt_tokens": {"kind": "trace"}}],
        }
        data["tiers"][1] |= {"usd_per_request": 0.0, "prompt_usd_per_mtok": 1000.0}
        (sentence,) = about(summarise(predict(parse(data, tmp_path), n=n))["findings"], "learns")
        return sentence

    # $1 a miss at first; then $0.50, of which a tenth is saved.
    fell = said([1000] * 200 + [500] * 1800)
    assert "costs $1 at first and $0.45 in the end, but not by its hits alone" in fell
    assert "which would make that $0.9" in fell
    steady = said([1000] * 2000)
    assert "costs $1 at first and $0.9" in steady and "alone" not in steady


def test_several_runs_are_taken_together() -> None:
    case = cached()
    case = case.model_copy(update={"run": case.run.model_copy(update={"replications": 3})})
    prediction = predict(case, seed=3, n=1000)
    hits = [(run.outcomes.hit_tier[:100] == 0).mean() for run in prediction.runs]
    part = cache_over_time(prediction)[0]
    assert part["hit_share"]["value"] == pytest.approx(np.mean(hits))


def test_no_cache_and_short_runs_have_no_curve() -> None:
    assert cache_over_time(predict(scenario([tier("big")]), n=1000)) == []
    assert cache_over_time(predict(cached(), n=199)) == []
    assert len(cache_over_time(predict(cached(), n=200))) == 2


def test_a_cache_without_repeats_is_found() -> None:
    for found in (summarise(predict(cached(None), n=500)), summarise_stream(cached(None), n=500)):
        (sentence,) = about(found["findings"], "cache never hits")
        assert "repeats" in sentence
    assert about(summarise(predict(cached(), n=500))["findings"], "never hits") == []


def test_dispersion_of_arrivals_that_are_counted_by_hand() -> None:
    # Ten in every other second of 40: counts 10, 0, 10, 0, ... in windows of 1 s; 50 in 10 s.
    times = np.concatenate([2 * j + np.arange(10) / 10 for j in range(20)] + [np.array([40.0])])
    found = arrivals_of((times * 1e9).astype(np.int64))
    first = found["dispersion"][0]
    assert (first["window_s"], first["windows"]) == (1.0, 40)
    assert first["dispersion"] == pytest.approx(np.var([10, 0] * 20, ddof=1) / 5)
    assert len(found["dispersion"]) == 1  # four windows of 10 s are too few
    assert found["same_instant_share"] == 0
    assert found["gap_s_least"] == pytest.approx(0.1)


def test_bursts_of_a_trace_are_found_and_poisson_is_not(tmp_path: Path) -> None:
    rng = stream(1, "test")
    poisson = np.cumsum(rng.standard_exponential(2000)) / 5
    found = summarise(predict(traced(tmp_path, poisson), n=2000))
    assert about(found["findings"], "Poisson") == []
    assert about(found["findings"], "dither") == []
    swings = np.repeat([0.5, 9.5], 20)[np.arange(2000) // 60 % 40]
    found = summarise(
        predict(traced(tmp_path, np.cumsum(rng.standard_exponential(2000) / swings)), n=2000)
    )
    (sentence,) = about(found["findings"], "burstier than Poisson")
    row = [r for r in found["arrivals"]["dispersion"] if r["windows"] >= 30][-1]
    assert f"windows of {row['window_s']:g} s" in sentence
    assert f"{row['dispersion']:.3g}" in sentence


def test_coarse_stamps_are_found_unless_they_are_dithered(tmp_path: Path) -> None:
    stamps = np.repeat(np.arange(100) * 3.0, 10)
    (sentence,) = about(summarise(predict(traced(tmp_path, stamps), n=1000))["findings"], "dither")
    assert "in steps of 3 s" in sentence
    dithered = predict(traced(tmp_path, stamps, dither_s=3.0), n=1000)
    assert about(summarise(dithered)["findings"], "dither") == []


def test_the_figure_shows_the_curve(tmp_path: Path) -> None:
    prediction = predict(cached(), seed=3, n=5000)
    summary = summarise(prediction)
    figures = dict(report.figures(summary, prediction))
    hits, money = figures["cache-over-time"].axes
    for ax, name, scale in ((hits, "hit_share", 100), (money, "cost_usd_mean", 1)):
        drawn = [line.get_ydata()[0] for line in ax.lines]
        wanted = [scale * part[name]["value"] for part in summary["cache_over_time"]]
        np.testing.assert_allclose(drawn, wanted)
    plots.save(figures["cache-over-time"], tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 10_000
