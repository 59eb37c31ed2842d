"""What a careful reader would notice in a summary, in plain words, each with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fallwise.analysis.absences import absences
from fallwise.analysis.money import SECONDS_PER_MONTH, rent_usd_per_s
from fallwise.analysis.retried import retried
from fallwise.analysis.sample import FEWEST_BEYOND, Sample
from fallwise.analysis.tally import SURE, steps
from fallwise.scenario import Tier

__all__ = ["findings", "warnings"]

Summary = Mapping[str, Any]

BUSY = 0.7
"""So busy may a rented server be, as in `fallwise breakeven`."""

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
        *_baseline_refused(compared),
        *_missed(summary),
        *_dearer(sample, summary),
        *_at_stake(sample, summary),
        *_volume(sample, compared, summary),
        *_unanswered(sample),
        *absences(sample, summary),
        *retried(sample),
        *_frontier(summary),
        *_confident(sample, summary),
        *_false_hits(sample),
        *_slow_path(sample, summary),
        *_slower(sample, summary),
        *_too_few(sample, summary),
    ]


def warnings(sample: Sample) -> list[str]:
    """Return those of the findings that no number beside it can be read without."""
    return [*_overload(sample), *_unanswered(sample)]


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
    limits = (tier.timeout_s, tier.attempt_timeout_s, tier.queue_limit, tier.patience)
    return any(limit is not None for limit in limits)


def _servers(tier: Tier) -> str:
    mean, most = tier.servers_mean, tier.servers
    if mean != most:
        return f"{mean:.3g} servers on average"
    plural = f"{most} server{'s' if most != 1 else ''}"
    return plural if tier.autoscale is None else f"at most {plural}"


def _baseline_overload(compared: Mapping[str, Sample], said: list[str]) -> Iterator[str]:
    """Leave out what was said of the cascade itself, whose first tier is cheapest-only's."""
    for name in ("cheapest_only", "frontier_only"):
        for sentence in _overload(compared[name]) if name in compared else ():
            if sentence not in said:
                yield f"{name.replace('_', '-')}, for comparison: {sentence}"


def _baseline_refused(compared: Mapping[str, Sample]) -> Iterator[str]:
    for name, side in compared.items():
        refused, n = int(side.total["status.refused"]), int(side.total["n"])
        if name != "paired" and refused:
            yield (
                f"{name.replace('_', '-')}, for comparison, refuses {_percent(refused / n)} of the "
                "requests, which must stay local; they are quick there and cost nothing."
            )


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
        rented = rent_usd_per_s(scenario.tiers[scenario.frontier]) > 0
        why = _why(summary, name, rented)
        yield f"The cascade costs more than frontier-only, {both}, because {why}."
    elif saving["low"] is not None and saving["low"] <= 0:
        yield f"Whether the cascade costs less than frontier-only is open: {both}."


def _volume(sample: Sample, compared: Mapping[str, Sample], summary: Summary) -> Iterator[str]:
    """Rent and upkeep that more requests on the same capacity would pay for.

    So many more that rented servers were busy for BUSY of their time, if they are not yet.
    """
    scenario, baseline = sample.scenario, summary["baselines"].get("frontier_only")
    month = summary["cost_usd_per_month"]
    if "paired" not in compared or scenario.cheapest == scenario.frontier or month is None:
        return
    whole_month = baseline["cost_usd_per_month"]
    if (month["low"] or 0.0) <= whole_month["value"]:
        return
    calls, full = ([], [])
    for side in (sample, compared["paired"]):
        n = side.total["n"]
        rents = [side.rent_usd(k).sum() / n for k in range(len(scenario.tiers))]
        calls.append(side.column("cost_usd").sum() / n)
        full.append(calls[-1] + sum(r * _load(side, k) for k, r in enumerate(rents)))
    requests = (summary["rate_rps"]["value"] or 0) * SECONDS_PER_MONTH
    if full[0] < full[1] and calls[0] < calls[1]:
        fixed = month["value"] - whole_month["value"] + (calls[1] - calls[0]) * requests
        yield (
            f"The volume is too low: {requests:,.0f} requests a month save "
            f"{_usd((calls[1] - calls[0]) * requests)} on calls, and the cascade's rent and upkeep "
            f"cost {_usd(fixed)} a month. More requests on the same servers would pay for them; "
            "`fallwise breakeven` says from how many."
        )


def _load(sample: Sample, k: int) -> float:
    """Return which part of a tier's rent would be left to a request if it were as busy as BUSY."""
    servers = sample.scenario.tiers[k].servers
    if servers is None or not sample.total.get("gap_s"):
        return 0.0
    busy = sample.column(f"tier{k}.work_s").sum() / sample.column("gap_s").sum() / servers
    return float(min(1.0, busy / BUSY))


def _why(summary: Summary, frontier: str, rented: bool) -> str:
    """Return why a cascade is dearer than its frontier: sparing it saves less than the rest costs.

    The cascade costs its frontier's own part and the rest; frontier-only a call for every request.
    """
    tiers = {tier["name"]: tier for tier in summary["tiers"]}
    own = {name: tier["cost_usd_mean"]["value"] for name, tier in tiers.items()}
    call = summary["baselines"]["frontier_only"]["cost_usd_mean"]["value"]
    router = (summary["router_usd_mean"] or {"value": 0})["value"]
    rest = sum(own.values()) - own[frontier] + router
    kept, saved = 1 - tiers[frontier]["visit_share"]["value"], call - own[frontier]
    if rented and saved < 0.01 * call:
        return (
            f"{frontier} is rented and costs the same whether it is called or not; the rest of "
            f"the cascade costs {_usd(rest)} a request on top"
        )
    spared = f"{frontier} is spared {_percent(kept)} of the requests"
    if rest >= call:
        parts = {name: usd for name, usd in own.items() if name != frontier} | {"router": router}
        dearest = max(parts, key=lambda name: parts[name])
        return (
            f"all that is not {frontier} costs {_usd(rest)} a request by itself, most of it "
            f"{dearest} ({_usd(parts[dearest])})"
        )
    if not rented and kept < rest / call:
        return (
            f"{spared}, and the rest of the cascade costs {_percent(rest / call)} of one call to "
            f"{frontier}: so many must be spared to break even"
        )
    return (
        f"{spared}, which saves {_usd(saved)} a request, and the rest of the cascade costs "
        f"{_usd(rest)}"
    )


def _at_stake(sample: Sample, summary: Summary) -> Iterator[str]:
    """Say what wrong answers change about which of the two costs less."""
    saving, counted = summary["saving"], summary["saving_with_wrong_answers"]
    lost = summary["wrong_answers_usd_mean"]
    scenario = sample.scenario
    if not lost or not saving or not counted or scenario.cheapest == scenario.frontier:
        return
    theirs = summary["baselines"]["frontier_only"]
    if not (lost["value"] or theirs["cost_with_wrong_answers_usd_mean"]["value"]):
        return
    if None in (saving["low"], counted["low"], saving["value"], counted["value"]):
        return
    mine, whole = (x["cost_with_wrong_answers_usd_mean"]["value"] for x in (summary, theirs))
    both = f"{_usd(mine)} against {_usd(whole)} a request"
    if counted["high"] < 0 and not saving["high"] < 0:
        confident = summary["risk"]["confident_wrong_usd_mean"]["value"]
        yield (
            f"The cascade saves on calls and loses on wrong answers: counted at their stakes, "
            f"{both}; {_usd(confident)} of it for answers that passed every check and were wrong."
        )
    elif counted["high"] < 0:
        yield f"With wrong answers counted at their stakes, too, it is {both}."
    elif counted["low"] > 0 and not saving["low"] > 0:
        yield f"Counting wrong answers at their stakes, the cascade costs less: {both}."


def _unanswered(sample: Sample) -> Iterator[str]:
    total, scenario = sample.total, sample.scenario
    n = int(total["n"])
    refused = int(total["status.refused"])
    if refused:
        yield (
            f"{refused:,} of {n:,} requests ({_percent(refused / n)}) were refused: they must stay "
            "local, and no local tier was left for them."
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


def _confident(sample: Sample, summary: Summary) -> Iterator[str]:
    """Wrong answers with high scores; and thresholds that scores do not keep.

    Where scores are probabilities that mean what they say, answers at or above a threshold are
    right at least that often.
    """
    shares = {tier["name"]: tier for tier in summary["risk"]["tiers"]}
    for k, tier in enumerate(sample.scenario.tiers):
        wrong, sure, odd = (
            int(sample.total[f"tier{k}.{x}"]) for x in ("wrong", "wrong_but_sure", "no_probability")
        )
        at = tier.threshold
        if at is None or wrong < FEWEST or odd:
            continue
        looked = " and was passed by its verifier" if tier.verifier else ""
        quality = summary["tiers"][k]["quality"]
        if 0 < at < 1 and quality["high"] is not None and quality["high"] < at:
            share = shares[tier.name]["confident_wrong_share"]["value"]
            yield (
                f"{tier.name} is confidently wrong: of the answers that it shipped "
                f"{_percent(quality['value'])} are right, though each had a score of at least "
                f"{at:g}{looked}. {_percent(share)} of all requests get such a wrong answer."
            )
        elif at >= SURE:
            yield (
                f"{tier.name} shipped {wrong:,} wrong answers; each had a score of at least "
                f"{at:g}{looked}."
            )
        if at < SURE and sure >= wrong / 10:
            yield (
                f"At this threshold ({at:g}) {_percent(sure / wrong)} of the wrong answers that "
                f"{tier.name} shipped had a score above {SURE:g}."
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
    share = _escalated_above_p99(sample, summary)
    if share >= 0.8 and rate["value"] <= 0.5:
        yield (
            f"p99 ({p99['value']:.3g} s) is set by the escalated path: {_percent(share)} of the "
            f"requests above it were escalated, of all requests {_percent(rate['value'])}."
        )


def _escalated_above_p99(sample: Sample, summary: Summary) -> float:
    """Return which share of the requests above p99 were escalated; 0 where p99 is not known."""
    if summary["sojourn_s_p99"] is None:
        return 0.0
    above = {False: 0, True: 0}
    for name in sample.total:
        if name.startswith("path") and name.endswith(".n"):
            taken = sum(int(name[4:-2]) >> k & 1 for k in steps(sample.scenario))
            above[taken > 1] += sample.times.above(name[:-2], summary["sojourn_s_p99"]["value"])
    return above[True] / max(1, sum(above.values()))


def _slower(sample: Sample, summary: Summary) -> Iterator[str]:
    baseline, worse = summary["baselines"].get("frontier_only"), []
    if baseline and baseline["status"]["refused"]:  # Refused at once, they would make it quick.
        return
    for at in ("p95", "p99"):
        mine, other = summary[f"sojourn_s_{at}"], baseline and baseline[f"sojourn_s_{at}"]
        if not mine or not other or mine["low"] is None or other["high"] is None:
            continue
        if mine["low"] > other["high"]:
            worse.append(f"at {at} ({mine['value']:.3g} s against {other['value']:.3g} s)")
    if worse:
        escalated, why = _escalated_above_p99(sample, summary), ""
        if escalated >= max(0.5, summary["escalation_rate"]["value"]):
            why = (
                " Latency compounds: who is escalated waits for every tier on the way, and "
                f"{_percent(escalated)} of the requests above p99 were escalated."
            )
        yield f"The cascade is slower than frontier-only {' and '.join(worse)}.{why}"


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
