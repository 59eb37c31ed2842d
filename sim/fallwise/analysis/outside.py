"""A deployment that says no more than a response does: who answered, tokens, seconds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fallwise.analysis.live import Drive, unanswered, whole
from fallwise.analysis.money import call_usd
from fallwise.errors import Problem, TableError
from fallwise.scenario import Scenario
from fallwise.scenario.live import Deployment
from fallwise.tables import (
    ACCEPTED,
    ANSWERED,
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
    out = unanswered(drive, requests, len(scenario.tiers))
    assert out.cost_usd is not None
    since_ns = drive.sent_ns - int(drive.facts["t0_ns"])
    for i in np.flatnonzero(drive.http_status == 200).tolist():
        k = _tier_of(scenario, deployment, drive, i)
        out.cost_usd[i] = _usd_of(scenario, deployment, drive, i, k)
        out.status[i], out.answer_of[i] = ANSWERED, i
        out.hit_tier[i] = out.answer_tier[i] = k
        out.visit[i, k] = ACCEPTED
        out.enter_ns[i, k] = out.start_ns[i, k] = since_ns[i]
        out.finish_ns[i, k] = out.end_ns[i]
        out.busy_ns[i, k] = out.end_ns[i] - since_ns[i]
    return out.check()


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
