"""A deployment that says no more than a response does: who answered, tokens, seconds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fallwise.analysis.live import Drive, whole
from fallwise.analysis.money import call_usd
from fallwise.errors import Problem, TableError
from fallwise.scenario import Scenario
from fallwise.scenario.live import Deployment
from fallwise.tables import (
    ACCEPTED,
    ANSWERED,
    FAILED,
    Bools,
    OutcomeTable,
    RequestTable,
)

__all__ = ["from_responses", "nameable", "seen_of"]


def nameable(scenario: Scenario, deployment: Deployment) -> Bools:
    """Return (K,) True for the tiers that a response can name: by header, all of them."""
    known = deployment.tier_from_model
    named = [known is None or tier.name in known.values() for tier in scenario.tiers]
    return np.array(named, np.bool_)


def from_responses(
    scenario: Scenario, deployment: Deployment, requests: RequestTable, drive: Drive, first: int = 0
) -> OutcomeTable:
    """Return what the responses say happened to the requests, all of which are in the drive.

    Only the tier that answered is known: it is entered and begun when the request was sent and is
    done when the answer was there. The cost is what the response says by its cost header, otherwise
    its tokens at that tier's prices. No grade is known. TableError where a response names no tier
    of the scenario, or no tokens that its price needs: nothing is guessed.
    """
    whole(drive, len(requests), first)
    n, t0_ns = len(requests), int(drive.facts["t0_ns"])
    hit, cost = np.full(n, -1, np.int8), np.zeros(n)
    for i in np.flatnonzero(drive.http_status == 200):
        hit[i] = _tier_of(scenario, deployment, drive, int(i))
        cost[i] = _usd_of(scenario, deployment, drive, int(i), int(hit[i]))
    answered = hit >= 0
    visit = np.zeros((n, len(scenario.tiers)), np.int8, "F")
    since, until = (at - t0_ns for at in (drive.sent_ns, drive.end_ns))
    at_tier = {
        name: np.full(visit.shape, -1, np.int64, order="F")
        for name in ("enter_ns", "start_ns", "finish_ns")
    }
    busy, rows = np.zeros(visit.shape, np.int64, "F"), np.flatnonzero(answered)
    visit[rows, hit[rows]] = ACCEPTED
    for name, column in at_tier.items():
        column[rows, hit[rows]] = (until if name == "finish_ns" else since)[rows]
    busy[rows, hit[rows]] = (until - since)[rows]
    return OutcomeTable(
        request=np.arange(n),
        arrival_ns=drive.scheduled_ns - t0_ns,
        end_ns=until,
        status=np.where(answered, ANSWERED, FAILED).astype(np.int8),
        hit_tier=hit,
        answer_of=np.where(answered, np.arange(n), -1),
        answer_tier=hit,
        visit=visit,
        enter_ns=at_tier["enter_ns"],
        start_ns=at_tier["start_ns"],
        finish_ns=at_tier["finish_ns"],
        busy_ns=busy,
        cost_usd=cost,
        correct=np.zeros(n, np.float32),
    ).check()


def seen_of(
    scenario: Scenario,
    deployment: Deployment,
    requests: RequestTable,
    predicted: OutcomeTable,
) -> OutcomeTable:
    """Return a prediction as responses would tell it, to be compared with from_responses().

    Answers of tiers that responses do not name (a cache) count for the tier that made them. The
    cost is that of the call that answered, unless the deployment says what all of them cost.
    """
    seen = np.append(nameable(scenario, deployment), True)  # The last is -1: nobody answered.
    hit = np.where(seen[predicted.hit_tier], predicted.hit_tier, predicted.answer_tier)
    cost = predicted.cost_usd
    if deployment.cost_header is None:
        cost = np.zeros(len(predicted))
        for k, tier in enumerate(scenario.tiers):
            cost = np.where(hit == k, call_usd(tier, requests, k), cost)
    return replace(predicted, hit_tier=hit.astype(np.int8), cost_usd=cost)


def _tier_of(scenario: Scenario, deployment: Deployment, drive: Drive, i: int) -> int:
    reply, names = drive.replies[i], [tier.name for tier in scenario.tiers]
    if deployment.tier_from_model is None:
        said, where = reply.get("tier"), f"header {deployment.tier_header}"
        name, remedy = said, f"the tiers are {', '.join(names)}"
    else:
        said, where = reply.get("model"), "model"
        name = deployment.tier_from_model.get(said or "")
        remedy = "add it to deployment.tier_from_model"
    if name not in names:
        rule = f"response {i} says {said!r} in its {where}, which is no tier of the scenario"
        raise TableError(Problem(rule, remedy, ("deployment",)))
    return names.index(name)


def _usd_of(scenario: Scenario, deployment: Deployment, drive: Drive, i: int, k: int) -> float:
    reply, tier = drive.replies[i], scenario.tiers[k]
    if deployment.cost_header is not None:
        if "usd" not in reply:
            rule = f"response {i} has no number in its header {deployment.cost_header}"
            raise TableError(Problem(rule, "name another one", ("deployment", "cost_header")))
        return float(reply["usd"])
    prompt, output = tier.prompt_usd_per_mtok / 1e6, tier.output_usd_per_mtok / 1e6
    if (prompt or output) and "output_tokens" not in reply:
        rule = f"response {i} has no usage, and tier {tier.name} is paid by the token"
        raise TableError(Problem(rule, "let the deployment say it, or a cost_header", ()))
    tokens = reply.get("prompt_tokens", 0) * prompt + reply.get("output_tokens", 0) * output
    return float(tier.usd_per_request + tokens)
