from typing import Any

import pytest
from fallwise.plots.differences import differences
from report_pages import studied


def test_each_difference_is_a_dot_on_its_interval() -> None:
    summary, _ = studied("compare")
    figure = differences(summary)
    drawn = {str(ax.get_xlabel()): ax for ax in figure.axes if ax.axison}
    assert len(drawn) == 6
    for label, name, scale in (
        ("points of quality more", "quality", 100),
        ("the same, wrong answers paid for", "cost_with_wrong_answers_usd_mean", 1000),
    ):
        lines: dict[str, list[Any]] = {"dots": [], "spans": []}
        for line in drawn[label].lines:
            if line.get_marker() == "o":
                lines["dots"].append(float(line.get_xdata()[0]))  # type: ignore[index, arg-type]
            elif line.get_color() == "black":
                lines["spans"].append(list(line.get_xdata()))  # type: ignore[arg-type]
        rows = [row[name] for row in summary["differences"]]
        assert lines["dots"] == pytest.approx([scale * row["value"] for row in rows])
        for span, row in zip(lines["spans"], rows, strict=True):
            assert span == pytest.approx([scale * row["low"], scale * row["high"]])


def test_without_stakes_they_are_not_drawn_twice() -> None:
    summary, _ = studied("compare")
    rows = [
        row | {"cost_with_wrong_answers_usd_mean": row["cost_usd_mean"]}
        for row in summary["differences"]
    ]
    figure = differences(summary | {"differences": rows})
    assert sum(ax.axison for ax in figure.axes) == 5
