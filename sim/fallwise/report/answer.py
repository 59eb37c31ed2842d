"""The page of a study that is no run: its verdict in a sentence, and what that rests on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fallwise.report.pieces import Study
from fallwise.report.rendering import assumed, templates
from fallwise.report.studies import breakeven, check, compare, fit, sensitivity, size
from fallwise.scenario import Scenario
from fallwise.tables import OutcomeTable

__all__ = ["answer"]

STUDIES: Final[dict[str, Callable[..., Study]]] = {
    "breakeven": breakeven,
    "check": check,
    "compare": compare,
    "fit": fit,
    "sensitivity": sensitivity,
    "size": size,
}


def answer(summary: dict[str, Any], scenario: Scenario, *tables: OutcomeTable) -> str:
    """Return the page of a planning command's summary, or of a check's.

    tables are a check's outcomes, predicted and measured.
    """
    study = STUDIES[summary["command"]](summary, *tables)
    template = templates().get_template("answer.html")
    return template.render(
        summary=summary, scenario=scenario, study=study, assumed=assumed(summary, scenario)
    )
