"""The summary of a run: what `summary.json` holds and `--json` prints.

Every estimate is {"value", "low", "high"} with a 95 % interval; low and high are None where the run
is too short to know, and the whole is None where there is nothing to measure. Shares, rates and
means are of all requests after the warm-up, unless a line below says otherwise.

    cost_usd_mean         a request: calls, verifiers, router, and rented capacity spread over the
                          requests that came while it was rented
    cost_usd_per_month    the same at the rate of the run for 365.25 / 12 days, and the upkeep
    saving                share of frontier-only's cost_usd_mean that is saved
    saving_with_upkeep    the same of a month at the rate of the run; None where there is no upkeep
    quality               mean grade; a request without an answer counts as wrong
    quality_answered      mean grade of the answers that were shipped
    escalation_rate       requests that the tier they began at did not end (a cache is not counted)
    sojourn_s_*           arrival to end, whichever way a request ended
    wrong_answers_usd_mean  a request: wrong answers that were shipped times their segment's stakes
    cost_with_wrong_answers_usd_mean  cost_usd_mean and wrong_answers_usd_mean together; no other
                          cost has stakes in it
    warnings              those findings that no number can be read without: queues that grow for
                          ever, requests without an answer
    risk                  wrong answers that had passed every check: analysis/risk.py
    tiers: visit_share, hit_share     visits, shipped answers
           cost_usd_mean              a request, rent included: tiers and router add up to the total
           visit_cost_usd_mean, wait_s_*, service_s_mean     a visit; service of those served,
                                      without the pauses before retries
           utilisation                servers held / servers, by the clock; None without limit.
                                      Where servers come and go, of those that were there
           replicas_mean, agents_mean   rented on average, where they come and go; else None
           offered_load               erlangs: work that came in a second; of a tier that batches
                                      with all its slots taken
           timeouts, abandoned, turned_away, retries, rate_limited,
           errors, hedges, cut_short                                   counts
           quality                    of the answers that it shipped
    segments              of each segment, where there are several
    arrivals              of the first run, warm-up too: gap_cv, dispersion by window (1 is Poisson)
    cache_over_time       hit_share, cost_usd_mean of calls; parts of the run, warm-up too
    paths: cost_usd_mean  without rented capacity; quality counts a missing answer as wrong
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from fallwise import __version__
from fallwise.analysis.aftermath import stayed
from fallwise.analysis.baselines import alone
from fallwise.analysis.calibration import auroc, brier, ece
from fallwise.analysis.findings import findings, warnings
from fallwise.analysis.learning import arrivals_of, cache_over_time, changes
from fallwise.analysis.money import SECONDS_PER_MONTH, upkeep_usd_per_s
from fallwise.analysis.predict import Prediction
from fallwise.analysis.questions import by_question, widened
from fallwise.analysis.risk import risk
from fallwise.analysis.sample import QUANTILES, Json, Sample, collect, estimate, warmup
from fallwise.scenario import Scenario
from fallwise.tables import STATUSES, Floats, RequestTable

__all__ = ["SCORED", "baselines_of", "calibrate", "describe", "in_time", "summarise"]

Summary = dict[str, Any]

CALLS: Final = ("errors", "hedges", "cut_short")
"""What happened to the calls of a tier, besides retries and limits."""
SCORED: Final = 100_000
"""Requests from which a score's calibration is taken; more would tell nothing new."""


def summarise(
    prediction: Prediction,
    command: str = "run",
    baselines: bool = True,
    cuts: Sequence[int] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Summary:
    """Return the summary of a prediction, ready for JSON.

    The baselines are the cheapest tier and the frontier alone, on the same requests. Without the
    first cuts[r] requests of run r; by default the scenario's warm-up. progress is told which part
    is done, of how many: the cascade, each baseline, and the numbers, which take about as long.
    """
    scenario = prediction.scenario
    beside = baselines_of(scenario) if baselines else {}
    parts = 2 + len(beside)
    progress(0, parts)
    cuts = warmup(prediction) if cuts is None else cuts
    sample = collect(prediction, cuts)
    compared: dict[str, Sample] = {}
    grouped = by_question(prediction, cuts, sample)
    others: dict[str, Sample] = {}
    progress(1, parts)
    for i, (name, k) in enumerate(beside.items()):
        other = alone(prediction, k)
        own = [max(pair) for pair in zip(cuts, warmup(other), strict=True)]
        compared[name] = collect(other, own)
        if name == "frontier_only":
            same = list(cuts) == own
            compared["paired"] = compared[name] if same else collect(other, cuts)
        for key in compared.keys() - others.keys() if grouped else ():
            at = own if key == name else cuts
            found = by_question(other, at, compared[key])
            assert found is not None
            others[key] = found
        progress(2 + i, parts)
    about = {
        "scenario": scenario.name,
        "command": command,
        "seed": prediction.seed,
        "engine": prediction.engine,
    }
    summary: Summary = about | describe(sample, compared, (grouped, others) if grouped else None)
    summary["calibration"] = calibrate(scenario, prediction.requests)
    summary = in_time(summary, scenario, prediction.requests, cache_over_time(prediction))
    summary["findings"][:0] = stayed(prediction)
    progress(parts, parts)
    return summary


def in_time(
    summary: Summary, scenario: Scenario, requests: RequestTable, cache: list[Summary]
) -> Summary:
    """Return the summary with what changes in the course of the run, in numbers and in words."""
    summary["arrivals"] = arrivals_of(requests.arrival_ns)
    summary["cache_over_time"] = cache
    summary["findings"] += changes(scenario, summary)
    return summary


def describe(
    sample: Sample,
    compared: dict[str, Sample],
    grouped: tuple[Sample, dict[str, Sample]] | None = None,
) -> Summary:
    """Return the summary of a sample, beside those of the baselines.

    compared has `cheapest_only` and `frontier_only`, and as `paired` frontier-only on exactly the
    sample's own requests, from which the saving is taken; or it is empty. grouped has the same
    requests by question: no interval is narrower than theirs.
    """
    scenario = sample.scenario
    summary = _numbers(sample, compared)
    if grouped is not None:
        summary = widened(summary, _numbers(*grouped))
    summary["targets"] = _targets(scenario, summary)
    summary["findings"] = findings(sample, compared, summary)
    summary["warnings"] = warnings(sample)
    return summary


def _numbers(sample: Sample, compared: dict[str, Sample]) -> Summary:
    scenario = sample.scenario
    paired = compared.get("paired")
    return {
        "version": __version__,
        "requests": sample.requests,
        "requests_measured": int(sample.total["n"]),
        "warmup_requests": list(sample.cuts),
        "replications": len(sample.cuts),
        "seconds_simulated": sample.seconds_simulated,
        **_point(sample),
        "quality_answered": sample.share("correct", "answered"),
        "answered_share": sample.share("answered", "n"),
        "shed_share": sample.share("status.shed", "n"),
        "escalation_rate": sample.share("escalated", "n"),
        "wrong_answers_usd_mean": sample.ratio("stakes_usd", "n"),
        "risk": risk(sample),
        "rate_rps": sample.ratio("n", "gap_s"),
        "frontier": {
            "name": scenario.tiers[scenario.frontier].name,
            "quality_overall": sample.share("frontier.correct", "n"),
            "quality_escalated": sample.share("frontier.sent_correct", "frontier.sent"),
        },
        "router_usd_mean": sample.ratio("router_usd", "n"),
        "tiers": [_tier(sample, k) for k in range(len(scenario.tiers))],
        "paths": _paths(sample),
        "segments": _segments(sample),
        "baselines": {
            name: _baseline(compared[name], k)
            for name, k in baselines_of(scenario).items()
            if name in compared
        },
        "saving": _saving(sample, paired) if paired else None,
        "saving_with_upkeep": _saving(sample, paired, upkeep=True)
        if paired and scenario.money.upkeep_usd_per_month
        else None,
        "saving_with_wrong_answers": _saving(sample, paired, "stakes_usd") if paired else None,
        "assumptions": [item.model_dump() for item in scenario.assumptions],
    }


def _cost_usd(sample: Sample) -> Floats:
    """Return (batches,) what was paid: by the call, and for what is rented."""
    rents = (sample.rent_usd(k) for k in range(len(sample.scenario.tiers)))
    return sample.column("cost_usd") + sum(rents)


def _point(sample: Sample) -> Summary:
    """Return what the cascade and the baselines have in common."""
    cost = _cost_usd(sample)
    monthly = estimate(cost * SECONDS_PER_MONTH, sample.column("gap_s"))
    upkeep = sample.scenario.money.upkeep_usd_per_month
    return {
        "cost_usd_mean": estimate(cost, sample.column("n")),
        "cost_with_wrong_answers_usd_mean": estimate(
            cost + sample.column("stakes_usd"), sample.column("n")
        ),
        "cost_usd_per_month": monthly
        and {name: None if x is None else x + upkeep for name, x in monthly.items()},
        "quality": sample.share("correct", "n"),
        **_sojourn(sample, "sojourn", QUANTILES),
        "status": {name: int(sample.total[f"status.{name}"]) for name in STATUSES},
    }


def _sojourn(sample: Sample, name: str, quantiles: dict[str, float]) -> dict[str, Json | None]:
    return {f"sojourn_s_{at}": sample.times.quantile(name, q) for at, q in quantiles.items()}


def _tier(sample: Sample, k: int) -> Summary:
    tier = sample.scenario.tiers[k]

    def ratio(over: str, under: str) -> Json | None:
        under = under if under in ("n", "gap_s") else f"tier{k}.{under}"
        return sample.ratio(f"tier{k}.{over}", under)

    def count(name: str) -> int:
        return int(sample.total.get(f"tier{k}.{name}", 0))

    rented_s = sample.rented_s(k)
    cost = sample.column(f"tier{k}.cost_usd") + sample.rent_usd(k)
    mean = estimate(rented_s, sample.column("gap_s")) if tier.elastic else None
    seen = tier.servers and f"tier{k}.held_s" in sample.total
    return {
        "name": tier.name,
        "kind": tier.kind,
        "servers": tier.servers,
        "visit_share": sample.share(f"tier{k}.visits", "n"),
        "hit_share": sample.share(f"tier{k}.hits", "n"),
        "replicas_mean": None if tier.kind == "human" else mean,
        "agents_mean": mean if tier.kind == "human" else None,
        "utilisation": estimate(sample.column(f"tier{k}.held_s"), rented_s * (tier.slots or 1))
        if seen
        else None,
        "offered_load": ratio("work_s", "gap_s"),
        "wait_s_mean": ratio("wait_s", "visits"),
        "wait_s_p99": sample.times.quantile(f"wait{k}", 0.99),
        "service_s_mean": ratio("service_s", "served"),
        "cost_usd_mean": estimate(cost, sample.column("n")),
        "visit_cost_usd_mean": ratio("cost_usd", "visits"),
        "quality": sample.share(f"tier{k}.correct", f"tier{k}.hits"),
        "timeouts": count("timeouts"),
        "abandoned": count("abandoned"),
        "turned_away": count("turned_away"),
        **{name: count(name) for name in ("retries", "rate_limited", *CALLS)},
    }


def _paths(sample: Sample) -> list[Summary]:
    """Return the paths, the most frequent first."""
    counts = {
        int(name[4:-2]): n
        for name, n in sample.total.items()
        if name.startswith("path") and name.endswith(".n")
    }
    names = [tier.name for tier in sample.scenario.tiers]
    return [
        {
            "path": [name for k, name in enumerate(names) if bits >> k & 1],
            "requests": int(n),
            "share": sample.share(f"path{bits}.n", "n"),
            "cost_usd_mean": sample.ratio(f"path{bits}.cost_usd", f"path{bits}.n"),
            "quality": sample.share(f"path{bits}.correct", f"path{bits}.n"),
            **_sojourn(sample, f"path{bits}", QUANTILES),
        }
        for bits, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _segments(sample: Sample) -> list[Summary]:
    """Return the segments in the scenario's order; none where there is one only."""
    segments = sample.scenario.traffic.segments
    if len(segments) == 1:
        return []
    of = {"quality": "correct", "escalation_rate": "escalated"}
    of |= {"answered_share": "answered", "shed_share": "shed"}
    return [
        {
            "name": segment.name,
            "share": sample.share(f"segment{j}.n", "n"),
            **{name: sample.share(f"segment{j}.{x}", f"segment{j}.n") for name, x in of.items()},
            **_sojourn(sample, f"segment{j}", QUANTILES),
        }
        for j, segment in enumerate(segments)
    ]


def baselines_of(scenario: Scenario) -> dict[str, int]:
    """Return the baselines, and the tier that each has."""
    return {"cheapest_only": scenario.cheapest, "frontier_only": scenario.frontier}


def _baseline(sample: Sample, k: int) -> Summary:
    tier = _tier(sample, k)
    kept = ("servers", "utilisation", "offered_load")
    return {"tier": tier["name"]} | _point(sample) | {name: tier[name] for name in kept}


def _saving(sample: Sample, paired: Sample, *more: str, upkeep: bool = False) -> Json | None:
    """Return the share of frontier-only's cost that the cascade saves."""
    cost, whole = (
        sum((side.column(name) for name in more), _cost_usd(side)) for side in (sample, paired)
    )
    if upkeep:
        cost = cost + sample.column("gap_s") * upkeep_usd_per_s(sample.scenario)
    return estimate(whole - cost, whole)


def _targets(scenario: Scenario, summary: Summary) -> list[Summary]:
    """Return each target; one on a number that could not be measured is not met."""
    found = []
    segments = {segment["name"]: segment for segment in summary["segments"]}
    for target in scenario.targets:
        name = target.measure
        measured = summary[name] if target.segment is None else None
        if target.segment is not None:
            name = f"{name} of {target.segment}"
            measured = segments.get(target.segment, summary)[target.measure]
        ends = measured or dict.fromkeys(("value", "low", "high"))
        limit = target.at_most if target.at_least is None else target.at_least
        value = ends["value"]
        assert limit is not None
        met = value is not None and (value >= limit if target.at_most is None else value <= limit)
        side = "at_least" if target.at_most is None else "at_most"
        found.append({"name": name, "side": side, "limit": limit, **ends, "met": met})
    return found


def calibrate(scenario: Scenario, requests: RequestTable) -> list[Summary]:
    """Return how far each tier's score can be trusted, over all requests that it might have had."""
    found = []
    for k, tier in enumerate(scenario.tiers):
        score, correct = requests.score[:SCORED, k], requests.correct[:SCORED, k]
        if tier.threshold is None or not len(score) or score.min() < 0 or score.max() > 1:
            continue
        found.append(
            {
                "tier": tier.name,
                "requests": len(score),
                "score_mean": float(score.mean()),
                "quality": float(correct.mean()),
                "ece": ece(score, correct),
                "ece_equal_width": ece(score, correct, equal="width"),
                "brier": brier(score, correct),
                "auroc": auroc(score, correct),
            }
        )
    return found
