"""The figures of the commands that plan, made of nothing but their summaries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fallwise.plots.budget import latency_budget
from fallwise.plots.calibration import believed
from fallwise.plots.differences import differences
from fallwise.plots.fit import cascades, laws
from fallwise.plots.headroom import headroom
from fallwise.plots.money import what_was_tuned
from fallwise.plots.style import Summary
from fallwise.plots.tornado import shares_of_variance, tornado
from fallwise.plots.volume import cost_against_volume, with_wrong_answers
from fallwise.plots.worst import worst_case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["answer"]


def answer(summary: Summary) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a planning command's summary, with their names; of others, none."""
    if summary["command"] == "breakeven":
        yield "cost-volume", cost_against_volume(summary)
        if summary["with_wrong_answers"]:
            yield "cost-volume-with-wrong-answers", cost_against_volume(with_wrong_answers(summary))
    if summary["command"] == "compare":
        yield "latency-budget", latency_budget(summary)
        if any(one["worst_case"]["seconds"] is not None for one in summary["candidates"]):
            yield "worst-case", worst_case(summary)
        if summary["differences"]:
            yield "differences", differences(summary)
    if summary["command"] == "tune":
        yield "tuned", what_was_tuned(summary)
        if summary["calibration"]:
            yield "calibration", believed(summary)
    if summary["command"] == "fit":
        if summary["held"]["cascades"]:
            yield "cascades", cascades(summary)
        if summary["held"]["laid"]:
            yield "laws", laws(summary)
    if summary["command"] == "size" and summary["headroom"]:
        yield "headroom", headroom(summary)
    if summary["command"] == "size" and summary["grown"] and summary["grown"]["headroom"]:
        yield "headroom-grown", headroom({**summary, **summary["grown"]})
    if summary["command"] == "sensitivity":
        yield "tornado", tornado(summary)
        if summary["sobol"]:
            yield "shares-of-variance", shares_of_variance(summary)
