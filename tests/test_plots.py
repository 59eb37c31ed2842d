"""Figures show the numbers of their tables, counted here in another way, and can be read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise import plots, report
from fallwise.analysis.predict import Prediction, predict
from fallwise.analysis.summary import summarise
from fallwise.plots.style import colours
from fallwise.tables import ANSWERED
from matplotlib.figure import Figure
from matplotlib.text import Text

CACHE = {"name": "cache", "kind": "cache", "capacity": 50, "lookup_s": 0.01, "filled_by": ["big"]}
ASSUMED = [
    {"key": "tiers.big.usd_per_request", "why": "a price list"},
    {"key": "tiers.small.service", "why": "a guess"},
]
Case = tuple[Prediction, dict[str, Any], dict[str, Figure]]


def graded(accuracy: float) -> dict[str, Any]:
    return {"accuracy": accuracy, "auroc": 0.8, "loading": 0.6}


def case(tiers: list[dict[str, Any]], n: int = 3000, **keys: Any) -> Case:
    assumptions = ASSUMED if len(tiers) > 1 else []
    prediction = predict(scenario(tiers, assumptions=assumptions, **keys), seed=3, n=n)
    summary = summarise(prediction)
    return prediction, summary, dict(report.figures(summary, prediction))


@pytest.fixture(scope="module")
def plain() -> Case:
    """Two tiers without queues, one of them rented."""
    small = {"threshold": 0.7, "answers": graded(0.6), "replica_usd_per_hour": 36.0}
    law = {"kind": "lognormal", "p50_s": 0.2, "p99_s": 0.9}
    return case(
        [
            tier("small", kind="pool", replicas=50, service=law, **small),
            tier("big", usd_per_request=0.05, answers=graded(0.9)),
        ]
    )


@pytest.fixture(scope="module")
def crowded() -> Case:
    """Many paths, long names, timeouts, and requests that nobody may answer."""
    names = ["small", "a-rather-long-model-name-v2", "middle", "big", "frontier-model-1106"]
    tiers: list[dict[str, Any]] = [CACHE]
    for k, name in enumerate(names):
        keys: dict[str, Any] = {"threshold": 0.7} if k < 4 else {}
        keys |= {"timeout_s": 2.0, "queue_limit": 2, "local": k in (0, 2)}
        law = {"kind": "lognormal", "p50_s": 0.3 * (k + 1), "p99_s": 2.0 * (k + 1)}
        cheap = {"usd_per_request": 0.001 * 4**k, "answers": graded(0.5 + 0.1 * k)}
        tiers.append(tier(name, kind="pool", replicas=2, service=law, **cheap, **keys))
    repeats = {"repeat_share": 0.3, "distinct_keys": 20}
    traffic = {
        "arrivals": {"kind": "poisson", "rate_rps": 2.0},
        "segments": [
            {"name": "a", "share": 0.7, "repeats": repeats},
            {"name": "b", "share": 0.3, "residency": "local"},
        ],
    }
    run = {"warmup": 100, "replications": 2}
    return case(tiers, traffic=traffic, run=run)


def words(figure: Figure) -> list[str]:
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return [artist.get_text() for artist in found]  # type: ignore[attr-defined]


def test_tier_bars_are_the_counts_of_the_outcomes(plain: Case, crowded: Case) -> None:
    for prediction, summary, drawn in (plain, crowded):
        cuts = summary["warmup_requests"]
        pairs = list(zip(prediction.runs, cuts, strict=True))
        status, hit, correct = (
            np.concatenate([getattr(run.outcomes, name)[cut:] for run, cut in pairs])
            for name in ("status", "hit_tier", "correct")
        )
        bars = [bar for bar in drawn["tier-hits"].axes[0].patches]
        widths = np.array([bar.get_width() for bar in bars])  # type: ignore[attr-defined]
        right, wrong = widths[:-1:3], widths[1:-1:3]
        for k in range(prediction.outcomes.tiers):
            assert right[k] == pytest.approx(100 * correct[hit == k].sum() / len(hit), abs=1e-4)
            assert right[k] + wrong[k] == pytest.approx(100 * (hit == k).mean())
        assert widths[-1] == pytest.approx(100 * (status != ANSWERED).mean())
        assert (right + wrong).sum() + widths[-1] == pytest.approx(100)


def test_latency_curves_are_the_distributions_of_the_paths(plain: Case) -> None:
    prediction, summary, drawn = plain
    cut = summary["warmup_requests"][0]
    outcomes = prediction.outcomes
    times = outcomes.sojourn_s[cut:]
    visited = outcomes.visit[cut:] != 0
    short = times[~visited[:, 1]]
    curves = {
        str(line.get_label()).rpartition("  ")[2]: np.asarray(line.get_xydata(), float)
        for line in drawn["latency"].axes[0].lines
        if not str(line.get_label()).startswith("_")
    }
    assert next(iter(curves)) == "all requests"
    assert set(curves) == {"all requests", "small", "small → big"}
    for name, sample in (("all requests", times), ("small", short)):
        for x, share in curves[name][5:]:
            # A logarithmic axis moves a number by some of its last digits.
            assert 100 * (sample <= x * (1 + 1e-12)).mean() >= share - 1e-9
            assert 100 * (sample < x * (1 - 1e-12)).mean() <= share + 1e-9


def test_marks_stand_where_the_summary_says(plain: Case) -> None:
    _, summary, drawn = plain
    marks = {
        tuple(np.asarray(line.get_xydata(), float)[0].tolist())
        for line in drawn["latency"].axes[0].lines
        if len(np.asarray(line.get_xydata())) == 1
    }
    rows = [summary, *summary["paths"]]
    shares = {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    known = {
        (row[f"sojourn_s_{at}"]["value"], share)
        for row in rows
        for at, share in shares.items()
        if row[f"sojourn_s_{at}"]
    }
    assert len(known) >= 8
    assert marks == known


def test_of_many_paths_the_rare_ones_are_one_curve(crowded: Case) -> None:
    _, summary, drawn = crowded
    labels = [str(line.get_label()) for line in drawn["latency"].axes[0].lines]
    named = [label for label in labels if not label.startswith("_")]
    assert len(summary["paths"]) > 6
    assert len(named) == 7
    share = 1 - sum(path["share"]["value"] for path in summary["paths"][:5])
    assert f"{100 * share:.1f} %  {len(summary['paths']) - 5} other paths" == named[-1]


def test_times_of_nothing_are_drawn_too() -> None:
    prediction, summary, _ = case([tier("small")], n=200)
    nothing = np.zeros(len(prediction.outcomes))
    figure = plots.latency_by_path(summary, nothing, prediction.outcomes.path)
    saved(figure)


def test_the_cascade_stands_on_its_curve_where_nobody_queues(plain: Case) -> None:
    _, summary, drawn = plain
    ax = drawn["quality-cost"].axes[0]
    many = 1000 if "1,000 requests" in ax.get_xlabel() else 1
    at = np.array([summary["cost_usd_mean"]["value"] * many, summary["quality"]["value"] * 100])
    star = next(line for line in ax.lines if line.get_marker() == "*")
    assert np.asarray(star.get_xydata())[0] == pytest.approx(at)
    curve = next(line for line in ax.lines if "threshold" in str(line.get_label()))
    x, y = np.asarray(curve.get_xydata(), float).T
    # Rent is in both. 500 of the curve's points are drawn, and the line runs straight between.
    assert summary["tiers"][0]["cost_usd_mean"]["value"] > 0.4
    assert np.interp(at[0], x, y) == pytest.approx(at[1], abs=0.3)
    alone = summary["baselines"]["frontier_only"]
    ends = np.asarray(ax.lines[1].get_xydata(), float)
    assert ends[1] == pytest.approx(
        [alone["cost_usd_mean"]["value"] * many, alone["quality"]["value"] * 100]
    )


def test_reliability_points_are_counted_by_hand(plain: Case) -> None:
    prediction, _, drawn = plain
    score = prediction.requests.score[:, 0]
    right = prediction.requests.correct[:, 0]
    above, below = drawn["reliability"].axes
    points = next(line for line in above.lines if line.get_marker() == "o")
    heights = [bar.get_height() for bar in below.patches]  # type: ignore[attr-defined]
    tenth = np.minimum((score * 10).astype(int), 9)
    there = np.unique(tenth)
    assert heights == pytest.approx([100 * (tenth == b).mean() for b in range(10)])
    assert np.asarray(points.get_ydata()) == pytest.approx(
        [100 * right[tenth == b].mean() for b in there], abs=1e-4
    )
    line = next(line for line in above.lines if line.get_linestyle() == ":")
    assert np.asarray(line.get_xdata()).tolist() == [0.7, 0.7]


def test_every_axis_has_a_label_with_its_unit(plain: Case, crowded: Case) -> None:
    for _, _, drawn in (plain, crowded):
        for name, figure in drawn.items():
            labels = [ax.get_xlabel() for ax in figure.axes] + [
                ax.get_ylabel() for ax in figure.axes
            ]
            said = [label for label in labels if label]
            assert len(said) >= 2
            for label in said:
                unit = (
                    "requests since",
                    "tiers, first to last",
                    "(%)",
                    "(US dollars)",
                    "(seconds",
                    "(0 to 1)",
                    "answered by",
                )
                assert any(word in label for word in unit), (name, label)


def test_what_is_assumed_is_said_and_prices_only_beside_money(plain: Case) -> None:
    for name, figure in plain[2].items():
        said = " ".join(words(figure)).replace("\n", " ")
        assert "small.service" in said, name
        assert ("big.usd_per_request" in said) == (name == "quality-cost")


def test_nothing_runs_out_of_the_picture(plain: Case, crowded: Case) -> None:
    for _, _, drawn in (plain, crowded):
        for name, figure in drawn.items():
            figure.draw_without_rendering()
            box = figure.get_tightbbox()
            width, height = figure.get_size_inches()
            assert 0 <= box.x0 < box.x1 <= width, name
            assert 0 <= box.y0 < box.y1 <= height, name


def test_names_of_points_do_not_cover_each_other(plain: Case, crowded: Case) -> None:
    for _, _, drawn in (plain, crowded):
        figure = drawn["quality-cost"]
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
        assert len(boxes) == 3
        for i, box in enumerate(boxes):
            assert box.count_overlaps(boxes[:i]) == 0


def test_a_tier_has_one_colour_in_all_figures_and_gets_darker(crowded: Case) -> None:
    _, summary, drawn = crowded
    of = colours(summary)
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in of.values()]
    assert light == sorted(light, reverse=True)
    bars = drawn["tier-hits"].axes[0].patches[:-1:3]
    assert [bar.get_facecolor()[:3] for bar in bars] == list(of.values())
    for ax in drawn["reliability"].axes[::2]:
        points = next(line for line in ax.lines if line.get_marker() == "o")
        assert points.get_color() == of[ax.get_title(loc="left").partition("\n")[0]]
    curves = [x for x in drawn["quality-cost"].axes[0].lines if "only" in str(x.get_label())]
    assert [x.get_color() for x in curves] == [of[t["tier"]] for t in summary["calibration"]]


@pytest.mark.parametrize(
    ("saving", "said"),
    [
        ({"value": 0.25, "low": 0.2, "high": 0.3}, "costs 25.0 % less than big alone"),
        ({"value": -0.25, "low": -0.3, "high": -0.2}, "costs 25.0 % more than big alone"),
        ({"value": -1.5, "low": -1.6, "high": -1.4}, "costs 2.5 times as much as big alone"),
        ({"value": 0.25, "low": -0.1, "high": 0.6}, "open whether the cascade costs less"),
        ({"value": 0.25, "low": None, "high": None}, "open whether the cascade costs less"),
    ],
)
def test_the_title_claims_no_more_than_the_interval(
    plain: Case, saving: dict[str, float | None], said: str
) -> None:
    figure = plots.quality_against_cost({**plain[1], "saving": saving}, {})
    assert any(said in text for text in words(figure))
    # What is drawn is the cost of a request, which has no upkeep in it.
    kept = {"saving": saving, "saving_with_upkeep": {"value": -2.0, "low": -2.1, "high": -1.9}}
    figure = plots.quality_against_cost({**plain[1], **kept}, {})
    left_out = any("Upkeep left out, the cascade" in text for text in words(figure))
    assert left_out == ("open" not in said)


def saved(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def test_drawing_leaves_pyplot_and_its_settings_alone(plain: Case) -> None:
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    ours = saved(plots.tier_hits(plain[1]))
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "lines.linewidth": 9}):
        assert saved(plots.tier_hits(plain[1])) == ours


def test_the_same_figure_gives_the_same_bytes(plain: Case, tmp_path: Path) -> None:
    for suffix in ("png", "svg"):
        paths = [tmp_path / f"{i}.{suffix}" for i in range(2)]
        for path in paths:
            plots.save(plots.tier_hits(plain[1]), path)
        first, second = (path.read_bytes() for path in paths)
        assert first == second
        assert b"dc:date" not in first
