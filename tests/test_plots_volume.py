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


def test_a_command_has_its_figure() -> None:
    assert [name for name, _ in plots.answer(summary())] == ["cost-volume"]
    assert list(plots.answer({"command": "schema"})) == []
