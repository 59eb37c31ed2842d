"""Replicas that serve in steps, for the engine to be read: rule 21 of docs/engine.md."""

from __future__ import annotations

from collections.abc import Iterator

from fallwise.engines.fleet import FAIL, LEAVING, UP, WHAT, Fleet
from fallwise.engines.places import Place, Scheduled
from fallwise.engines.plan import Plan
from fallwise.engines.replicas import Replicas
from fallwise.tables import RequestTable

__all__ = ["Batches", "places_of"]


class Batches(Replicas):
    """The replicas of one tier, each with its batch; step after step."""

    def __init__(self, plan: Plan, fleet: Fleet, k: int, requests: RequestTable):
        super().__init__(fleet, k)
        m = fleet.tier.tolist().index(k)
        columns = (fleet.step_ns, fleet.each_ns, fleet.prefill_ns)
        self.step_ns, self.each_ns, self.prefill_ns = (int(column[m]) for column in columns)
        self.prompt, self.output = plan.prompt_tokens(requests, k), requests.output_tokens[:, k]
        self.ends: list[int | None] = [None for _ in self.replicas]
        """When the step under way ends."""
        self.left: dict[int, int] = {}
        """Tokens to come, of those who have been in a step."""

    def at(self, i: int) -> int:
        """Return the replica at which a request is in service."""
        return next(r for r, replica in enumerate(self.replicas) if i in replica.members)

    def change(self, step: int, now: int) -> Iterator[tuple[int, int]]:
        """Take a step; where a replica fails, its batch's step is over."""
        if step >> WHAT == FAIL:
            self.ends[step & ((1 << WHAT) - 1)] = None
        yield from super().change(step, now)

    def step(self, r: int, now: int) -> int | None:
        """Begin a step at replica r; return how long it lasts, None where none begins."""
        replica = self.replicas[r]
        if self.ends[r] is not None or not replica.members or replica.is_ not in (UP, LEAVING):
            return None
        new = [i for i in replica.members if i not in self.left]
        self.left |= {i: max(1, int(self.output[i])) for i in new}
        prompts = sum(int(self.prompt[i]) for i in new)
        lasts = self.step_ns + len(replica.members) * self.each_ns + prompts * self.prefill_ns
        self.ends[r] = now + lasts
        return lasts

    def round(self, r: int, now: int) -> list[int] | None:
        """End the step that ends now; return who is done, None where none ends."""
        if self.ends[r] != now:
            return None
        self.ends[r] = None
        there = [i for i in self.replicas[r].members if i in self.left]
        for i in there:
            self.left[i] -= 1
        return [i for i in there if self.left[i] == 0]


def places_of(plan: Plan, requests: RequestTable) -> list[Place]:
    """Return what stands at each tier."""
    places = [Place(int(servers)) for servers in plan.servers]
    for k in [] if plan.hours is None else set(plan.hours.tier.tolist()):
        assert plan.hours is not None
        places[k] = Scheduled(plan.hours, k)
    for k in [] if plan.fleet is None else plan.fleet.tier.tolist():
        assert plan.fleet is not None
        steps = plan.fleet.step_ns[plan.fleet.tier == k].any()
        places[k] = Batches(plan, plan.fleet, k, requests) if steps else Replicas(plan.fleet, k)
    return places
