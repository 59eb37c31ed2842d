"""What a careful reader would notice in a summary, in plain words, each with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fallwise.analysis.absences import absences
from fallwise.analysis.sample import FEWEST_BEYOND, Sample
from fallwise.analysis.tally import SURE, steps
from fallwise.scenario import Tier

__all__ = ["findings"]

Summary = Mapping[str, Any]

FEWEST = 20
"""Fewer cases than this are not worth a sentence about their share."""


def findings(sample: Sample, compared: Mapping[str, Sample], summary: Summary) -> list[str]:
    """Return the sentences that apply, the most serious first.

    summary is the summary without its findings; compared is empty, or has the baselines' samples.
    """
    overload = list(_overload(sample))
    return [
        *overload,
        *_baseline_overload(compared, overload),
        *_missed(summary),
        *_dearer(sample, summary),
        *_unanswered(sample),
        *absences(sample, summary),
        *_frontier(summary),
        *_sure_but_wrong(sample),
        *_false_hits(sample),
        *_slow_path(sample, summary),
        *_slower(summary),
        *_too_few(sample, summary),
    ]


def _overload(sample: Sample) -> Iterator[str]:
    """Only the first tier that cannot keep up: it decides what reaches those after it."""
    for k, tier in enumerate(sample.scenario.tiers):
        servers = tier.servers_mean
        if servers is None:
            continue
        load = sample.ratio(f"tier{k}.work_s", "gap_s")
        if load is None or load["value"] is None:
            continue
        lowest = load["value"] if load["low"] is None else load["low"]
        offered = f"offered load {load['value']:.3g} erlangs on {_servers(tier)}"
        if lowest >= servers:
            if _bounded(tier):
                lost = sum(
                    int(sample.total[f"tier{k}.{name}"])
                    for name in ("timeouts", "abandoned", "turned_away")
                )
                visits = int(sample.total[f"tier{k}.visits"])
                yield (
                    f"{tier.name} cannot keep up: {offered}; {lost:,} of its {visits:,} visits "
                    "timed out, gave up or were turned away."
                )
            else:
                yield (
                    f"{tier.name}'s queue grows for ever: {offered}. Times depend on how long "
                    "the run was, and mean nothing; add servers, a timeout or a queue limit."
                )
            return
        if load["value"] > 0.95 * servers and not _bounded(tier):
            yield (
                f"{tier.name} is close to its limit: {offered}. Its waits swing so slowly that "
                "a longer run is needed before their intervals can be trusted."
            )


def _bounded(tier: Tier) -> bool:
    limits = (tier.timeout_s, tier.queue_limit, tier.patience)
    return any(limit is not None for limit in limits)


def _servers(tier: Tier) -> str:
    number = f"{tier.servers_mean:.3g}" if tier.elastic else f"{tier.servers}"
    plural = "" if number == "1" else "s"
    return f"{number} server{plural}" + (" on average" if tier.elastic else "")


def _baseline_overload(compared: Mapping[str, Sample], said: list[str]) -> Iterator[str]:
    """Leave out what was said of the cascade itself, whose first tier is cheapest-only's."""
    for name in ("cheapest_only", "frontier_only"):
        for sentence in _overload(compared[name]) if name in compared else ():
            if sentence not in said:
                yield f"{name.replace('_', '-')}, for comparison: {sentence}"


def _missed(summary: Summary) -> Iterator[str]:
    for target in summary["targets"]:
        if not target["met"]:
            side = target["side"].replace("_", " ")
            value = "not measured" if target["value"] is None else f"{target['value']:.4g}"
            yield f"Target missed: {target['name']} is {value}, wanted {side} {target['limit']:g}."


def _dearer(sample: Sample, summary: Summary) -> Iterator[str]:
    saving, baseline = summary["saving"], summary["baselines"].get("frontier_only")
    scenario = sample.scenario
    alone = scenario.cheapest == scenario.frontier
    if alone or saving is None or saving["value"] is None:
        return
    name = scenario.tiers[scenario.frontier].name
    cost, whole = (s["cost_usd_mean"]["value"] for s in (summary, baseline))
    both = f"{_usd(cost)} against {_usd(whole)} a request"
    if saving["high"] is not None and saving["high"] < 0:
        yield f"The cascade costs more than frontier-only, {both}, because {_why(summary, name)}."
    elif saving["low"] is not None and saving["low"] <= 0:
        yield f"Whether the cascade costs less than frontier-only is open: {both}."
    month, whole_month = (s["cost_usd_per_month"] for s in (summary, baseline))
    upkeep = scenario.money.upkeep_usd_per_month
    if upkeep and cost < whole and month and month["value"] > whole_month["value"]:
        yield (
            f"The cascade saves {_usd(whole - cost)} a request, but not its upkeep of "
            f"{_usd(upkeep)} a month: {_usd(month['value'])} a month against "
            f"{_usd(whole_month['value'])} for frontier-only."
        )


def _why(summary: Summary, frontier: str) -> str:
    """Return why a cascade is dearer than its frontier: too few kept, or a part that costs more."""
    tiers = {tier["name"]: tier for tier in summary["tiers"]}
    own = {name: tier["cost_usd_mean"]["value"] for name, tier in tiers.items()}
    before = [name for name in tiers if name != frontier]
    call = summary["baselines"]["frontier_only"]["cost_usd_mean"]["value"]
    extra = (
        sum(own[name] for name in before) + (summary["router_usd_mean"] or {"value": 0})["value"]
    )
    kept = 1 - tiers[frontier]["visit_share"]["value"]
    if call > 0 and kept < extra / call:
        if extra >= call:
            return f"all that is not {frontier} costs {_usd(extra)} a request by itself"
        return (
            f"{frontier} is spared {_percent(kept)} of the requests, and the rest of the cascade "
            f"costs {_percent(extra / call)} of a {frontier} call: so many must be spared to "
            "break even"
        )
    dearest = max(own, key=lambda name: own[name])
    return f"{dearest} alone costs {_usd(own[dearest])} a request"


def _unanswered(sample: Sample) -> Iterator[str]:
    total, scenario = sample.total, sample.scenario
    n = int(total["n"])
    refused = int(total["status.refused"])
    if refused:
        yield (
            f"{refused:,} of {n:,} requests were refused: they must stay local, and no local "
            "tier was left for them."
        )
    words = {"rejected": "rejected by the last check", "timed_out": "timed out"}
    words |= {"shed": "turned away by a full queue", "failed": "failed"}
    ends = [
        f"{int(total[f'status.{name}']):,} {what}"
        for name, what in words.items()
        if total[f"status.{name}"]
    ]
    if ends:
        yield (
            f"{int(n - total['answered'] - refused):,} of {n:,} requests to {scenario.name} got "
            f"no answer ({', '.join(ends)}); they count as wrong."
        )


def _frontier(summary: Summary) -> Iterator[str]:
    frontier = summary["frontier"]
    overall, sent = frontier["quality_overall"], frontier["quality_escalated"]
    if not sent or sent["high"] is None or overall["low"] is None:
        return
    if sent["high"] < overall["low"]:
        yield (
            f"{frontier['name']} is right on {_percent(overall['value'])} of all requests, but on "
            f"{_percent(sent['value'])} of those escalated to it: counting on the first number "
            "is the classic error."
        )


def _sure_but_wrong(sample: Sample) -> Iterator[str]:
    for k, tier in enumerate(sample.scenario.tiers):
        wrong, sure = (int(sample.total[f"tier{k}.{x}"]) for x in ("wrong", "wrong_but_sure"))
        if tier.threshold is None or wrong < FEWEST:
            continue
        if tier.threshold <= SURE and sure >= wrong / 10:
            yield (
                f"At this threshold ({tier.threshold:g}) {_percent(sure / wrong)} of the wrong "
                f"answers that {tier.name} shipped had a score above {SURE:g}."
            )
        elif tier.threshold > SURE:
            yield (
                f"{tier.name} shipped {wrong:,} wrong answers, each with a score of at least "
                f"{tier.threshold:g}."
            )


def _false_hits(sample: Sample) -> Iterator[str]:
    false = int(sample.total["false_hits"])
    if false:
        hits = int(sample.total["tier0.hits"])
        yield (
            f"The cache answered {false:,} requests with the answer to a different question, "
            f"{_percent(false / hits)} of its hits."
        )


def _slow_path(sample: Sample, summary: Summary) -> Iterator[str]:
    p99, rate = summary["sojourn_s_p99"], summary["escalation_rate"]
    if p99 is None or rate["value"] > 0.5:
        return
    above = {False: 0, True: 0}
    for name in sample.total:
        if name.startswith("path") and name.endswith(".n"):
            taken = sum(int(name[4:-2]) >> k & 1 for k in steps(sample.scenario))
            above[taken > 1] += sample.times.above(name[:-2], p99["value"])
    share = above[True] / max(1, sum(above.values()))
    if share >= 0.8:
        yield (
            f"p99 ({p99['value']:.3g} s) is set by the escalated path: {_percent(share)} of the "
            f"requests above it were escalated, of all requests {_percent(rate['value'])}."
        )


def _slower(summary: Summary) -> Iterator[str]:
    baseline = summary["baselines"].get("frontier_only")
    mine, other = summary["sojourn_s_p95"], baseline and baseline["sojourn_s_p95"]
    if not mine or not other or mine["low"] is None or other["high"] is None:
        return
    if mine["low"] > other["high"]:
        yield (
            f"The cascade is slower at p95 than frontier-only: {mine['value']:.3g} s against "
            f"{other['value']:.3g} s."
        )


def _too_few(sample: Sample, summary: Summary) -> Iterator[str]:
    n = int(sample.total["n"])
    for name, q in (("p95", 0.95), ("p99", 0.99), ("p999", 0.999)):
        if summary[f"sojourn_s_{name}"] is None:
            yield (
                f"{n:,} measured requests are too few for sojourn_s_{name} and all beyond it: "
                f"{round(FEWEST_BEYOND / (1 - q)):,} are needed."
            )
            break
    cut = sum(sample.cuts)
    if cut >= 0.4 * sample.requests and sample.requests > FEWEST:
        yield (
            f"{cut:,} of {sample.requests:,} requests were cut as warm-up: the run may not have "
            "settled; make it longer."
        )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _usd(value: float) -> str:
    return f"${value:,.0f}" if abs(value) >= 1000 else f"${value:.4g}"
