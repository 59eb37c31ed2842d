"""What the user writes: traffic, answers, tiers, prices, decisions; from YAML 1.2, checked."""

from fallwise.scenario.read import override, parse, read, schema
from fallwise.scenario.study import Scenario
from fallwise.scenario.tiers import Router, Tier

__all__ = ["Router", "Scenario", "Tier", "override", "parse", "read", "schema"]
