"""How well a fitted scenario holds, and what was read off the user's own table or log."""

from __future__ import annotations

from typing import Any

from fallwise.report.pieces import (
    Cell,
    Line,
    Plot,
    Said,
    Section,
    Study,
    Table,
    linear,
    logarithmic,
)
from fallwise.report.words import between, dollars, number, seconds, share, thresholded, within

__all__ = ["fit"]

Json = dict[str, Any]


def fit(summary: Json) -> Study:
    """Return the page of a fit: to an evaluation table, or to a gateway log."""
    held = summary["held"]
    of_table = "questions" in summary
    cascades = [_cascades(held)] if held["cascades"] else []
    return Study(
        verdict=_of_table(summary) if of_table else _of_log(summary),
        more=_more(held),
        cards=_table_cards(summary) if of_table else _log_cards(summary),
        sections=[
            *cascades,
            *([_laws(held, of_table)] if held["laid"] else []),
            Section("What was fitted", [_models(summary) if of_table else _logged(summary)]),
            Section("What was read", [Said(_read(summary))]),
        ],
        how=_how(held, of_table),
    )


def _of_table(summary: Json) -> str:
    held, n = summary["held"], summary["questions"]
    rows = held["cascades"]
    if not rows:
        said = [f"{t['model']} is right in {_right(t)}" for t in summary["tiers"]]
        return f"Of {n:,} questions {', '.join(said)}; without scores there is no cascade to test."
    halves = [(row["high"] - row["low"]) / 2 for row in rows if row["low"] is not None]
    chance = ", too few to say what chance makes"
    if halves:
        inside = sum(_inside(row) for row in rows)
        chance = (
            f"; chance alone makes up to ± {100 * max(halves):.1f}, and {inside} of {len(rows)} "
        )
        chance += "predictions are inside it"
    return (
        f"Fitted to one half of {n:,} questions, the scenario predicts a cascade’s quality on the "
        f"other to {100 * held['error_mean']:.1f} points on average and "
        f"{100 * held['error_max']:.1f} at most{chance}."
    )


def _inside(row: Json) -> bool:
    return row["low"] is not None and bool(row["low"] <= row["predicted"] <= row["high"])


def _right(tier: Json) -> str:
    return within(_accuracy(tier), share)


def _accuracy(tier: Json) -> Json:
    low, high = tier["accuracy_within"]
    return {"value": tier["accuracy"], "low": low, "high": high}


def _of_log(summary: Json) -> str:
    traffic = summary["traffic"]
    worst = max(summary["held"]["laid"], key=lambda one: float(one["ks"]))
    low, high = traffic["rate_rps_low"], traffic["rate_rps_high"]
    rate = "" if None in (low, high) else f" ({low:.3g} to {high:.3g})"
    return (
        f"{summary['requests']:,} requests came at {traffic['rate_rps']:.3g} a second{rate}; the "
        f"fitted times of calls are {100 * worst['ks']:.1f} points off the logged distribution at "
        f"most ({worst['model']}), where chance alone makes up to {100 * worst['chance']:.1f}."
    )


def _more(held: Json) -> list[str]:
    pick = held["pick"]
    if not pick:
        return []
    said = []
    for name in ("quality", "saving"):
        one = pick[name]
        so = within(one | {"value": one["replayed"]}, share)
        said.append(f"{name} {share(one['predicted'])} predicted, {so} replayed")
    at = thresholded(pick["threshold"])
    return [f"At the threshold {at}, a point below the last model alone: {'; '.join(said)}."]


def _table_cards(summary: Json) -> list[tuple[str, str, str]]:
    held = summary["held"]
    cards = [("questions", f"{summary['questions']:,}", "")]
    for tier in summary["tiers"]:
        one = _accuracy(tier)
        cards.append((f"{tier['model']} is right", number(one, share), between(one, share)))
    if held["cascades"]:
        cards.append(("quality is off, on average", f"{100 * held['error_mean']:.2f} points", ""))
    off = [abs(row["replayed"] - row["predicted"]) for row in held["together"]]
    if off:
        cards.append(("two right together: off at most", f"{100 * max(off):.2f} points", ""))
    return cards


def _log_cards(summary: Json) -> list[tuple[str, str, str]]:
    traffic = summary["traffic"]
    low, high = traffic["rate_rps_low"], traffic["rate_rps_high"]
    rate = {"value": traffic["rate_rps"], "low": low, "high": high}

    def form(x: float) -> str:
        return f"{x:.3g}"

    cards = [
        ("requests", f"{summary['requests']:,}", f"in {seconds(traffic['seconds'])}"),
        ("a second", number(rate, form), between(rate, form)),
        ("spread of the gaps (Poisson: 1)", f"{traffic['cv']:.2f}", ""),
    ]
    for name, title in (
        ("repeat_share", "ask what was asked before"),
        ("cached_share", "answered by the gateway’s cache"),
        ("escalated_share", "called more than one model"),
    ):
        if traffic[name] is not None:
            cards.append((title, share(traffic[name]), ""))
    for window, x in traffic["dispersion"].items():
        title = f"variance of counts over mean, {window[:-2]} s (Poisson: 1)"
        cards.append((title, f"{x:.1f}", ""))
    return cards


def _cascades(held: Json) -> Section:
    rows = held["cascades"]
    replayed = [(100 * row["escalated"], 100 * row["replayed"]) for row in rows]
    said = [(100 * row["escalated"], 100 * row["predicted"]) for row in rows]
    band = [
        (100 * row["escalated"], 100 * row["low"], 100 * row["high"])
        for row in rows
        if row["low"] is not None
    ]
    ends = [y for _, y in (*replayed, *said)] + [y for _, *both in band for y in both]
    plot = Plot(
        title="",
        about="Quality of a cascade of the first and the last model by the share that is escalated",
        x=linear([0.0, 100.0], lambda t: f"{t:g} %"),
        y=linear(ends, lambda t: f"{t:g} %"),
        lines=[Line("l0", "predicted", said)],
        bands=[("l0", band)] if band else [],
        dots=replayed,
        note="Across: requests that go on to the last model. Up: right answers. ● replayed on the "
        "questions that were left out, band: where chance puts that, 95 %.",
    )
    cells: list[list[Cell]] = [
        [
            share(row["escalated"]),
            share(row["predicted"]),
            (share(row["replayed"]), between(row | {"value": row["replayed"]}, share)),
            "inside" if _inside(row) else "outside",
        ]
        for row in rows
    ]
    heads = ["escalated", "predicted", "replayed", ""]
    note = "The first model before the last one, at the thresholds that escalate so many."
    return Section(
        "A cascade, predicted and replayed", [plot, Table(heads, cells)], note, ["cascades"]
    )


def _laws(held: Json, of_table: bool) -> Section:
    whose = "questions that were left out" if of_table else "calls that they were fitted to"
    note = (
        f"Line: what the fitted law draws. Dots: the {whose}, 100 quantiles. Band: so far off "
        "chance puts such data at most, in 95 % of all cases."
    )
    plots: list[Plot | Table] = [_law(one) for one in held["laid"]]
    times = [one for one in held["laid"] if one["of"] == "seconds"]
    return Section(
        "Fitted laws against the data",
        [*plots, *([_quantiles(times)] if times else [])],
        note,
        ["laws"],
    )


def _quantiles(times: list[Json]) -> Table:
    rows: list[list[Cell]] = []
    for one in times:
        for row in one["quantiles"]:
            found = row["measured"]
            known = None not in (found["low"], found["high"])
            inside = known and _inside(found | {"predicted": row["fitted"]})
            rows.append(
                [
                    f"{one['model']}, p{100 * row['q']:.0f}",
                    seconds(row["fitted"]),
                    (number(found, seconds), between(found, seconds)),
                    "inside" if inside else "outside" if known else "too few to tell",
                ]
            )
    note = (
        "A law may be close to all values and off in its tail, which decides a p99. In brackets: "
        "95 % intervals, exact for answers that do not depend on each other."
    )
    return Table(["seconds of", "law", "measured", ""], rows, note)


def _law(one: Json) -> Plot:
    shares = [100 * (i + 0.5) / len(one["fitted"]) for i in range(len(one["fitted"]))]
    times = one["of"] == "seconds"
    fitted, measured = (
        [max(x, 1e-6) if times else x for x in one[of]] for of in ("fitted", "measured")
    )
    off = 100 * one["chance"]
    both = [*fitted, *measured]
    title = f"{one['model']}: {one['of']} of {one['n']:,} answers"
    return Plot(
        title=f"{title}, {100 * one['ks']:.1f} points apart at most (chance: {off:.1f})",
        about=f"Share of {one['of']} below a value, measured and fitted: {one['model']}",
        x=logarithmic(both, seconds) if times else linear(both, lambda t: f"{t:g}"),
        y=linear([0.0, 100.0], lambda t: f"{t:g} %"),
        lines=[Line("l0", "fitted", list(zip(fitted, shares, strict=True)))],
        bands=[
            (
                "l0",
                [
                    (at, max(0.0, y - off), min(100.0, y + off))
                    for at, y in zip(measured, shares, strict=True)
                ],
            )
        ],
        dots=list(zip(measured, shares, strict=True)),
        note=f"Across: {one['of']}{', logarithmic' if times else ''}. Up: answers below. "
        "● measured",
    )


def _models(summary: Json) -> Table:
    rows: list[list[Cell]] = []
    for tier in summary["tiers"]:
        service = tier["service"]
        one = _accuracy(tier)
        rows.append(
            [
                tier["model"],
                (number(one, share), between(one, share)),
                f"{tier['loading']:.2f}",
                "–" if tier["auroc"] is None else f"{tier['auroc']:.3f}",
                "–" if tier["usd"] is None else dollars(tier["usd"]),
                "not measured" if service is None else service["words"],
            ]
        )
    heads = ["model", "right", "loading", "AUROC", "a call", "law of seconds"]
    note = "Loading: how much a model’s right answers follow the difficulty that all models share."
    return Table(heads, rows, note)


def _logged(summary: Json) -> Table:
    rows: list[list[Cell]] = []
    for tier in summary["tiers"]:
        price, usd = tier["usd_per_mtok"], tier["usd_per_request"]
        tokens = tier["output_tokens_p50"]
        cost = "–" if usd is None else f"{dollars(usd)} a call"
        if price is not None:
            cost = f"{dollars(price[0])} and {dollars(price[1])} per million tokens in and out"
        rows.append(
            [
                tier["model"],
                f"{tier['calls']:,}",
                f"{tier['failed']:,}",
                tier["law"],
                "–" if tokens is None else f"{tokens:,.0f}",
                cost,
            ]
        )
    heads = ["model", "answered calls", "failed", "law of seconds", "output tokens, half", "price"]
    note = (
        "Logged seconds have the provider’s own queueing in them: as service times of a tier with "
        "few servers they count the wait twice. Failed calls are counted, not fitted."
    )
    return Table(heads, rows, note)


def _read(summary: Json) -> list[str]:
    source = summary["read"]
    if "questions" not in summary:
        key = source["key"]
        return [
            f"{source['file']}: {summary['calls']:,} calls of models, {summary['requests']:,} "
            "requests.",
            f"{summary['skipped']:,} lines are no finished call of a model and were left out.",
            "Equal questions: " + (f"by the field {key}." if key else "not told apart (--key)."),
        ]
    only = [f"{name} {source[name]}" for name in ("dataset", "split") if source[name]]
    tiers = summary["tiers"]
    told = {
        f"the score, from {source['score_column']}": all(t["auroc"] is None for t in tiers),
        "seconds": all(t["service"] is None for t in tiers),
        "cost_usd": all(t["usd"] is None for t in tiers),
        "output_tokens": all(t["output_tokens"] is None for t in tiers),
    }
    there = [name for name, missing in told.items() if not missing]
    absent = [name for name, missing in told.items() if missing]
    found = [
        f"{source['file']}{', only ' + ', '.join(only) if only else ''}: {summary['questions']:,} "
        f"questions that all {len(tiers)} models answered.",
        f"Of each answer: {', '.join(['correct', *there])}.",
        *summary["findings"],
    ]
    return found + ([f"Not there, or always the same: {', '.join(absent)}."] if absent else [])


def _how(held: Json, of_table: bool) -> str:
    if not of_table:
        return (
            "Arrivals, lengths and repeats are the log’s own, request by request. For each model "
            "the simplest law of seconds was taken that holds: a time to the first token and then "
            "so long a token, one lognormal, two of them, or the quantiles."
        )
    return (
        "Right answers come from one difficulty that all models share (tetrachoric correlations), "
        "scores keep their own distribution and AUROC, seconds the simplest law that holds. The "
        f"scenario has the numbers of all questions; tested was the same fit to "
        f"{held['fitted_on']:,} of them, drawn by lot, on the {held['compared_with']:,} others."
    )
