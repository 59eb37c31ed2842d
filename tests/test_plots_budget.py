from typing import Any

import pytest
from fallwise.plots.budget import latency_budget

PARTS = ("cache", "router", "queue", "unused", "service", "retry_pauses", "verifier")


def row(of: str, **seconds: float) -> dict[str, Any]:
    parts: dict[str, Any] = {f"{part}_s_mean": {"value": seconds.get(part, 0.0)} for part in PARTS}
    return {"of": of, "sojourn_s_mean": {"value": sum(seconds.values())}} | parts


def _end(bar: Any) -> float:
    return float(bar.get_x() + bar.get_width())


def summary() -> dict[str, Any]:
    short = [row("all", queue=1.0, service=2.0)]
    long = [row("all", unused=3.0, service=2.0), row("sojourn_s_p95", unused=6.0, service=3.0)]
    candidates = [{"name": "sequence", "budget": long}, {"name": "frontier-only", "budget": short}]
    return {"candidates": candidates, "assumptions": []}


def test_each_bar_is_as_long_as_the_mean_time() -> None:
    figure = latency_budget(summary())
    mean, slow = figure.axes
    ends = {y: max(_end(bar) for bar in mean.patches[y::2]) for y in (0, 1)}
    assert ends == {0: pytest.approx(5.0), 1: pytest.approx(3.0)}
    assert max(map(_end, slow.patches)) == pytest.approx(9.0)
    assert "too few" in [text.get_text() for text in slow.texts]
    assert [label.get_text() for label in mean.get_yticklabels()] == ["sequence", "frontier-only"]


def test_only_parts_that_took_time_are_drawn_and_the_title_says_who_is_quickest() -> None:
    figure = latency_budget(summary())
    names = figure.axes[0].get_legend_handles_labels()[1]
    assert names == ["queue", "answers not used", "answers shipped"]
    texts = [t.get_text() for part in figure.subfigs for t in part.texts if t.get_text()]
    title = " ".join(t.replace("\n", " ") for t in texts)
    assert (
        "frontier-only is the quickest on average (3.00 s), sequence the slowest (5.00 s)" in title
    )
