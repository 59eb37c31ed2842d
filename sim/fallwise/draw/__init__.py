"""From a scenario and a seed to the requests: the only place where chance lives."""

from fallwise.draw.evaluations import EvaluationTable, read_evaluations
from fallwise.draw.requests import blocks, draw, questions, table_of
from fallwise.draw.streams import stream

__all__ = [
    "EvaluationTable",
    "blocks",
    "draw",
    "questions",
    "read_evaluations",
    "stream",
    "table_of",
]
