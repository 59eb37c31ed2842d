"""Predict what an LLM cascade costs, how good its answers are and how long people wait.

    scenario = fallwise.read("mine.yaml")           a file; parse() takes plain data
    prediction = fallwise.predict(scenario)         every request and what became of it
    summary = fallwise.summarise(prediction)        as `fallwise run --json` prints it
    fallwise.tune(scenario, fallwise.Goal(margin=0.01))
    fallwise.breakeven(prediction)
    dict(fallwise.figures(summary, prediction))     matplotlib figures by name
    fallwise.page(summary, scenario, prediction)    the report, as HTML

Each is imported when it is first used: `import fallwise` itself is quick.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from fallwise.analysis.predict import Prediction, predict
    from fallwise.analysis.summary import summarise
    from fallwise.planning.breakeven import breakeven
    from fallwise.planning.pick import Goal
    from fallwise.planning.tune import tune
    from fallwise.report.page import page
    from fallwise.report.pictures import figures
    from fallwise.scenario import Scenario, override, parse, read

__all__ = [
    "Goal",
    "Prediction",
    "Scenario",
    "__version__",
    "breakeven",
    "figures",
    "override",
    "page",
    "parse",
    "predict",
    "read",
    "summarise",
    "tune",
]

__version__ = "0.1.0"

_HOMES = {
    "analysis.predict": ("Prediction", "predict"),
    "analysis.summary": ("summarise",),
    "planning.breakeven": ("breakeven",),
    "planning.pick": ("Goal",),
    "planning.tune": ("tune",),
    "report.page": ("page",),
    "report.pictures": ("figures",),
    "scenario": ("Scenario", "override", "parse", "read"),
}


def __getattr__(name: str) -> typing.Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"fallwise.{home}"), name)
    raise AttributeError(f"module 'fallwise' has no attribute {name!r}")
