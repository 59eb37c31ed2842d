from typing import Any

import numpy as np
import pytest
from fallwise import plots
from fallwise.plots.headroom import headroom


def summary() -> dict[str, Any]:
    def row(factor: float, p95: float, quality: float) -> dict[str, Any]:
        def target(name: str, side: str, limit: float, value: float) -> dict[str, Any]:
            ends = {"value": value, "low": value - 0.01, "high": value + 0.01}
            return {"name": name, "side": side, "limit": limit, **ends}

        targets = [
            target("sojourn_s_p95", "at_most", 2.0, p95),
            target("quality", "at_least", 0.9, quality),
        ]
        return {"traffic_factor": factor, "targets": targets}

    curve = [row(1.0, 1.0, 0.95), row(1.25, 1.5, 0.95), row(1.5, 2.5, 0.94)]
    head = {"traffic_factor": 1.25, "breaks_at": 1.5, "breaks": ["p95"], "gives_way": "pool"}
    about: dict[str, Any] = {
        "command": "size",
        "assumptions": [],
        "pick": {"pool": 3},
        "grown": None,
    }
    return about | {"headroom": head | {"curve": curve}}


def test_a_line_says_how_much_of_a_limit_is_used() -> None:
    ax = headroom(summary()).axes[0]
    p95, quality = (np.asarray(line.get_ydata(), float) for line in ax.lines[:2])
    assert p95 == pytest.approx([50, 75, 125])
    # 5 % of wrong answers, where 10 % may be wrong.
    assert quality == pytest.approx([50, 50, 60])


def test_the_title_has_the_plan_and_what_gives_way() -> None:
    figure = headroom(summary())
    said = " ".join(text.get_text() for part in figure.subfigs for text in part.texts)
    assert "pool 3: holds up to 1.25 times the traffic; then pool gives way" in said
    assert [name for name, _ in plots.answer(summary())] == ["headroom"]
    assert list(plots.answer(summary() | {"headroom": None})) == []
