"""When people work: shifts of a week, and the steps that their number makes."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from fallwise.scenario.laws import Model

__all__ = ["DAYS", "WEEK_MINUTES", "Moment", "Shift", "minutes", "week"]

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 24 * 60
WEEK_MINUTES: Final = 7 * DAY_MINUTES

Clock = Annotated[str, Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
Moment = Annotated[str, Field(pattern=r"^(mon|tue|wed|thu|fri|sat|sun) ([01]\d|2[0-3]):[0-5]\d$")]


class Shift(Model):
    """On these days from this time to that one, the same every week; a night is two shifts."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    days: Annotated[list[Day], Field(min_length=1)]
    """Each of them."""
    opens: Clock = Field(alias="from")
    """Time of day, like "09:00"."""
    closes: Clock = Field(alias="to")
    """Time of day, at most "24:00". Whoever is served then is served to the end."""
    agents: Annotated[int, Field(ge=1)] | None = None
    """How many work in this shift; by default the tier's agents."""


def minutes(clock: str) -> int:
    """Return a time of day, or of the week, in minutes.

    >>> minutes("09:30"), minutes("tue 00:10")
    (570, 1450)
    """
    day, _, time = clock.rpartition(" ")
    hour, _, minute = time.partition(":")
    return (DAYS.index(day) * DAY_MINUTES if day else 0) + int(hour) * 60 + int(minute)


def week(shifts: list[Shift], agents: int, starts: str) -> list[tuple[int, int]]:
    """Return from which minute after `starts` how many agents work; the first minute is 0.

    After a week it begins again. Shifts that overlap would be added up.
    """
    number = [0] * WEEK_MINUTES
    for shift in shifts:
        for day in shift.days:
            begin = DAYS.index(day) * DAY_MINUTES
            for minute in range(begin + minutes(shift.opens), begin + minutes(shift.closes)):
                number[minute] += shift.agents or agents
    first = minutes(starts)
    turned = enumerate(number[first:] + number[:first])
    return [next((m, c) for m, c in same) for _, same in groupby(turned, key=lambda pair: pair[1])]
