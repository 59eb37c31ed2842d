"""One function a figure. Each returns a matplotlib Figure and changes nothing else.

A tier has one colour through all figures, the cheapest the lightest; a path has the colour of the
last tier on it. Titles say what the figure shows; what was assumed stands below it.
"""

from fallwise.plots.answer import answer
from fallwise.plots.calibration import Scored, reliability_diagram
from fallwise.plots.check import predicted_and_measured
from fallwise.plots.flow import where_requests_end
from fallwise.plots.latency import latency_by_path
from fallwise.plots.learning import cache_over_time
from fallwise.plots.money import quality_against_cost
from fallwise.plots.over_time import shape_over_time
from fallwise.plots.shares import tier_hits
from fallwise.plots.style import save
from fallwise.plots.tornado import tornado

__all__ = [
    "Scored",
    "answer",
    "cache_over_time",
    "latency_by_path",
    "predicted_and_measured",
    "quality_against_cost",
    "reliability_diagram",
    "save",
    "shape_over_time",
    "tier_hits",
    "tornado",
    "where_requests_end",
]
