from typing import Any

import numpy as np
import pytest
from fallwise import plots
from fallwise.plots.volume import cost_against_volume


def summary(**changes: Any) -> dict[str, Any]:
    """A pool at 10 + 50 a unit of 60 requests, against a frontier at 1 a request."""
    rented = [{"name": "pool", "usd_per_month": 50.0, "requests_per_month": 60.0}]
    sides = {
        "cascade": {"usage_usd": 0.0, "upkeep_usd_per_month": 10.0, "rented": rented},
        "frontier_only": {"usage_usd": 1.0, "upkeep_usd_per_month": 0.0, "rented": []},
    }
    return {
        "command": "breakeven",
        "assumptions": [],
        "frontier": "big",
        "utilisation": 0.7,
        "sides": sides,
        "monthly": [{"requests_per_month": 10.0}, {"requests_per_month": 1000.0}],
        "pays_in": [{"from": 110.0, "to": 120.0}, {"from": 310.0, "to": None}],
        "requests_per_month": {"value": 310.0, "low": 250.0, "high": None},
        "requests_per_month_now": 130.0,
        "with_wrong_answers": None,
    } | changes


def test_every_step_of_whole_replicas_is_drawn_at_its_volume() -> None:
    ax = cost_against_volume(summary()).axes[0]
    x, y = (np.asarray(cells, float) for cells in ax.lines[0].get_data())
    for units in range(1, 16):
        inside = (x > 60 * (units - 1)) & (x <= 60 * units)
        assert y[inside] == pytest.approx(10 + 50 * units)


def test_the_title_says_where_it_pays_or_that_it_never_does() -> None:
    def title(**changes: Any) -> str:
        figure = cost_against_volume(summary(**changes))
        return " ".join(t.get_text() for part in figure.subfigs for t in part.texts if t.get_text())

    said = title()
    assert "from 310 requests a month on" in said
    assert "$160" in said and "$130" in said, "what it is now: 3 units and upkeep, against calls"
    assert "no volume" in title(requests_per_month=None)
    assert "first request" in title(requests_per_month={"value": 0.0, "low": 0.0, "high": 0.0})


def test_two_amounts_in_a_title_are_no_formula() -> None:
    figure = cost_against_volume(summary())
    titles = [text for part in figure.subfigs for text in part.texts if "$" in text.get_text()]
    assert titles and titles[0].get_text().count("$") == 2
    assert not any(text.get_parse_math() for text in titles)


def test_wrong_answers_that_are_paid_for_have_a_figure_of_their_own() -> None:
    staked = {
        "wrong_answers_usd": {"cascade": 0.2, "frontier_only": 0.5},
        "requests_per_month": {"value": 20.0, "low": 15.0, "high": 30.0},
        "pays_in": [{"from": 20.0, "to": None}],
    }
    both = dict(plots.answer(summary(with_wrong_answers=staked)))
    assert list(both) == ["cost-volume", "cost-volume-with-wrong-answers"]
    lines = both["cost-volume-with-wrong-answers"].axes[0].lines
    (volume, ours), (_, theirs) = (np.asarray(line.get_data(), float) for line in lines[:2])
    assert theirs == pytest.approx(1.5 * volume)
    units = np.maximum(1, np.ceil(volume / 60 - 1e-9))
    # At a step the curve has both ends.
    assert (np.abs(ours - 10 - 50 * units - 0.2 * volume) < 51).all()
    assert np.median(np.abs(ours - 10 - 50 * units - 0.2 * volume)) < 1e-6


def test_a_command_has_its_figure() -> None:
    assert [name for name, _ in plots.answer(summary())] == ["cost-volume"]
    assert list(plots.answer({"command": "schema"})) == []
