"""How a pool's replicas fail, and how their number follows the load."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fallwise.scenario.laws import Model, NotNegative, Positive

__all__ = ["Autoscale", "Failures"]


class Failures(Model):
    """Each replica fails by itself, after exponential times; what it serves then is lost.

    The visits that are lost end with an error, and go on as after any other failure. A replica that
    is down is paid for.
    """

    mean_between_s: Positive
    """Mean time from the repair of a replica to its next failure."""
    mean_repair_s: NotNegative
    """Mean time that a replica is down."""


class Autoscale(Model):
    """The number of replicas follows the load: in service and waiting, per slot.

    New replicas serve after their cold start, and are paid for from its beginning. One that is let
    go serves what it has to the end, and is paid for until then.
    """

    min_replicas: Annotated[int, Field(ge=0)]
    """There are at least so many; 0 lets the tier go to sleep."""
    max_replicas: Annotated[int, Field(ge=1)]
    """There are at most so many."""
    target_utilisation: Annotated[float, Field(ge=0.01, le=100)]
    """In service and waiting for each slot: so many replicas are wanted that it is at most this."""
    interval_s: Positive
    """How often it looks."""
    cold_start_s: NotNegative
    """How long a new replica takes until it serves."""
    scale_down_after_s: NotNegative
    """Fewer replicas must have been wanted for so long before any goes."""
