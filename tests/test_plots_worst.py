from typing import Any

import pytest
from fallwise import plots
from fallwise.plots.worst import worst_case


def one(name: str, why: str = "", **seconds: float) -> dict[str, Any]:
    parts = [{"part": part, "seconds": s} for part, s in seconds.items()]
    total = None if why else sum(seconds.values())
    case = {"seconds": total, "unbounded": [why] if why else [], "parts": parts}
    return {"name": name, "worst_case": case, "budget": []}


def summary() -> dict[str, Any]:
    ones = [one("sequence", small=2.0, big=9.0), one("frontier-only", big=9.0)]
    return {
        "candidates": [*ones, one("open", "big has no timeout_s", small=2.0)],
        "assumptions": [],
    }


def test_a_bar_is_as_long_as_its_limits_together_and_a_part_has_one_look() -> None:
    (ax,) = worst_case(summary()).axes
    ends: dict[float, float] = {}
    for bar in ax.patches:
        y = bar.get_y() + bar.get_height() / 2  # type: ignore[attr-defined]
        ends[round(y)] = max(ends.get(round(y), 0.0), bar.get_x() + bar.get_width())  # type: ignore[attr-defined]
    assert ends == {0: pytest.approx(11.0), 1: pytest.approx(9.0)}
    assert len({bar.get_facecolor() for bar in ax.patches}) == 2
    assert ax.get_legend_handles_labels()[1] == ["small", "big"]
    said = [text.get_text() for text in ax.texts]
    assert said == ["11.0 s", "9.00 s", "no bound: big has no timeout_s"]


def test_the_title_says_who_is_bounded_lowest_and_how_many_are_not() -> None:
    figure = worst_case(summary())
    title = " ".join(text.get_text() for part in figure.subfigs for text in part.texts)
    words = "At worst frontier-only takes 9.00 s, sequence 11.0 s; 1 of 3 have no bound"
    assert words in title
    free = summary() | {"candidates": [one("open", "big has no timeout_s")]}
    figure = worst_case(free)
    title = " ".join(text.get_text() for part in figure.subfigs for text in part.texts)
    assert "Nothing here has a bound" in title


def test_compare_has_the_figure_where_anything_has_a_bound() -> None:
    one_row = {"of": "all", "sojourn_s_mean": {"value": 1.0}}
    names = ("cache", "router", "queue", "unused", "service", "retry_pauses", "verifier")
    row = one_row | {f"{name}_s_mean": {"value": 1.0} for name in names}
    ones = [x | {"budget": [row]} for x in summary()["candidates"]]
    whole = summary() | {"command": "compare", "differences": [], "candidates": ones}
    assert [name for name, _ in plots.answer(whole)] == ["latency-budget", "worst-case"]
    whole["candidates"] = ones[2:]
    assert [name for name, _ in plots.answer(whole)] == ["latency-budget"]
