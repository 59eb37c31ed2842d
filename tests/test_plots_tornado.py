from typing import Any

import pytest
from fallwise import plots
from fallwise.plots.tornado import shares_of_variance, tornado


def summary(**changes: Any) -> dict[str, Any]:
    """Two keys; the second is seen to move nothing."""

    def row(key: str, low: float, high: float, half: float) -> dict[str, Any]:
        swing = {"value": high - low, "low": high - low - half, "high": high - low + half}
        return {"key": key, "at_low": low, "at_high": high, "swing": swing}

    rows = [row("tiers.a.price", 0.4, 0.8, 0.01), row("traffic", 0.5, 0.52, 0.1)]
    share = {"value": 0.9, "low": 0.8, "high": 1.0}
    index = {"key": "tiers.a.price", "first": share | {"value": 0.6}, "total": share}
    both = [{"keys": ["tiers.a.price", "traffic"], "share": 0.3}]
    nothing = dict.fromkeys(("quality", "sojourn_s_p95"))
    return {
        "command": "sensitivity",
        "assumptions": [],
        "ranges": {
            "tiers.a.price": {"low": 1.0, "high": 2.0, "times": False},
            "traffic": {"low": 0.5, "high": 2.0, "times": True},
        },
        "base": {"cost_usd_mean": {"value": 0.5, "low": 0.5, "high": 0.5}, **nothing},
        "tornado": {"cost_usd_mean": rows, "quality": [], "sojourn_s_p95": []},
        "sobol": {"cost_usd_mean": {"indices": [index], "together": both}, **nothing},
    } | changes


def bars(ax: Any) -> list[Any]:
    return list(ax.patches)


def title(figure: Any) -> str:
    return " ".join(text.get_text() for part in figure.subfigs for text in part.texts)


def test_a_bar_goes_from_one_end_to_the_other_through_the_base() -> None:
    figure = tornado(summary())
    (ax,) = figure.axes
    ends = sorted(x for bar in bars(ax)[:2] for x in (bar.get_x(), bar.get_x() + bar.get_width()))
    assert ends == pytest.approx([400, 500, 500, 800])
    assert "a.price" in title(figure)
    assert ax.get_yticklabels()[1].get_text() == "traffic\n×0.5 to ×2"


def test_the_title_names_no_key_that_is_not_seen_to_move_anything() -> None:
    rows = summary()["tornado"]["cost_usd_mean"][1:]
    quiet = summary(tornado={"cost_usd_mean": rows, "quality": [], "sojourn_s_p95": []})
    assert "None of these keys" in title(tornado(quiet))


def test_keys_that_act_together_are_named() -> None:
    figure = shares_of_variance(summary())
    assert "a.price and traffic act together: 30 %" in title(figure)
    widths = sorted(bar.get_width() for bar in bars(figure.axes[0]))
    assert widths == pytest.approx([0.6, 0.9])


def test_the_command_has_its_figures() -> None:
    assert [name for name, _ in plots.answer(summary())] == ["tornado", "shares-of-variance"]
    assert [name for name, _ in plots.answer(summary(sobol=None))] == ["tornado"]
