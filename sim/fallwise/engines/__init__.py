"""Who waits, who is served when, who times out. Knows no confidence, quality or money."""

from fallwise.engines.engine import simulate
from fallwise.engines.plan import Plan, plan

__all__ = ["Plan", "plan", "simulate"]
