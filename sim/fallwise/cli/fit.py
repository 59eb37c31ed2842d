"""`fallwise fit`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallwise.cli.answers import deliver, page_of
from fallwise.cli.options import AsJson, Out
from fallwise.errors import Problem, TableError

if TYPE_CHECKING:
    from fallwise.scenario import Scenario

__all__ = ["fit"]


def fit(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE|LOG", help="Evaluation table, or log (.jsonl).")
    ],
    tiers: Annotated[
        str | None,
        typer.Option(help="Its models, cheapest first: small,big", show_default="a log's, by cost"),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Only its rows of this dataset.")] = None,
    split: Annotated[str | None, typer.Option(help="Only its rows of this split.")] = None,
    score_column: Annotated[str, typer.Option(help="What a policy sees.")] = "confidence",
    key: Annotated[
        str | None, typer.Option(help="A log's field that tells equal questions: messages.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the scenario to this file.")] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Fit a scenario to an evaluation table or a gateway log, and say how well it holds.

    A table: accuracy, a difficulty that all tiers share, scores with their atoms, times, prices. A
    log (JSON lines, LiteLLM's or OpenTelemetry's names): traffic, times, lengths, repeats, prices.
    """
    from fallwise.draw.logs import LOGS
    from fallwise.report import refuse
    from fallwise.tables.files import refuse_absent

    models = [name.strip() for name in (tiers or "").split(",") if name.strip()]
    if save is not None and save.exists():
        rule, remedy = "is there already", "name another file, or take it away"
        raise TableError(Problem(rule, remedy, value=str(save), file="--save"))
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(filter(None, (table.stem, dataset))))
    name = "fitted-" + stem.strip("-.").removesuffix(".jsonl")
    folder = out or Path("results") / f"{name}-fit"
    refuse(folder)
    if table.name.lower().endswith(LOGS):
        files, summary = _from_log(table, name, models, key, save)
        show = _show_log
    else:
        refuse_absent(table)
        if not models:
            rule, remedy = "says nothing", "name the table's models, cheapest first: small,big"
            raise TableError(Problem(rule, remedy, file="--tiers"))
        files, summary = _from_table(table, name, models, dataset, split, score_column, save)
        show = _show
    html = page_of(summary, _scenario(files))
    if save is not None:
        for path, text in files.items():
            _write(path, text)
    deliver(summary, folder, as_json, show, html)


def _scenario(files: dict[Path, str]) -> Scenario:
    """Return the scenario of the files, the first of which is its own, wherever they will be."""
    from tempfile import TemporaryDirectory

    from fallwise.scenario import read

    with TemporaryDirectory() as home:
        for path, text in files.items():
            (Path(home) / path.name).write_text(text, encoding="utf-8")
        return read(Path(home) / next(iter(files)).name)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        rule, remedy = f"cannot be written: {error.strerror}", "name another file"
        raise TableError(Problem(rule, remedy, value=str(path), file="--save")) from None


def _begun(name: str, table: Path, assumptions: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the keys that both summaries begin with."""
    from fallwise import __version__

    return {
        "scenario": name,
        "command": "fit",
        "seed": 1,
        "version": __version__,
        "engine": "compiled",
        "read": {"file": table.name},
        "assumptions": [{"key": key, "why": why} for key, why in assumptions],
    }


def _from_table(
    table: Path,
    name: str,
    models: list[str],
    dataset: str | None,
    split: str | None,
    score_column: str,
    save: Path | None,
) -> tuple[dict[Path, str], dict[str, Any]]:
    from fallwise.draw import read_evaluations
    from fallwise.planning.fit import fit as fitted_to
    from fallwise.planning.fitted import assumed, left_out, scenario_text

    rows = read_evaluations(table, models, dataset, split)
    found = fitted_to(rows, score_column)
    source = ", ".join(filter(None, (table.name, dataset, split)))
    text = scenario_text(name, source, len(rows), found)
    summary = _begun(name, table, assumed(found))
    summary["read"] |= {"dataset": dataset, "split": split, "score_column": score_column}
    summary |= {
        "questions": len(rows),
        "tiers": [
            vars(tier) | {"service": tier.service and tier.service._asdict()} for tier in found
        ],
        "held": _held(rows, name, score_column),
        "findings": left_out(found, len(rows)),
    }
    return {save or Path("scenario.yaml"): text}, summary


def _held(rows: Any, name: str, score_column: str) -> dict[str, Any]:
    """Return how well half of the questions predicts the other half."""
    from ruamel.yaml import YAML

    from fallwise.draw import stream
    from fallwise.planning.fit import fit as fitted_to
    from fallwise.planning.fitted import scenario_text
    from fallwise.planning.held import held
    from fallwise.scenario import parse

    order = stream(1, "fit.half").permutation(len(rows))
    one, other = (rows.take(order[i::2]) for i in range(2))
    found = fitted_to(one, score_column, fewest=1)
    text = scenario_text(name, "half", len(one), found)
    scenario = parse(YAML(typ="safe", pure=True).load(text))
    about = {"fitted_on": len(one), "compared_with": len(other)}
    return about | held(other, found, scenario, score_column, len(one))


def _from_log(
    path: Path, name: str, models: list[str], key: str | None, save: Path | None
) -> tuple[dict[Path, str], dict[str, Any]]:
    from fallwise.draw.logs import read_log
    from fallwise.planning.logfit import assumed, fit_log, log_text, trace_text

    log = read_log(path, key)
    found = fit_log(log, models or None)
    gap = found.gap_s.dict()
    summary = _begun(name, path, assumed(found))
    summary["read"] |= {"key": key}
    summary |= {
        "requests": len(found.arrival_s),
        "calls": len(log),
        "skipped": log.skipped,
        "traffic": {
            "seconds": float(found.arrival_s[-1]),
            "rate_rps": found.rate_rps,
            "rate_rps_low": None if gap["high"] is None else 1 / gap["high"],
            "rate_rps_high": 1 / gap["low"] if gap["low"] and gap["low"] > 0 else None,
            "cv": found.cv,
            "dispersion": {f"{window}_s": x for window, x in found.dispersion.items()},
            "repeat_share": found.repeat_share,
            "cached_share": found.cached_share,
            "escalated_share": found.escalated_share,
        },
        "tiers": [
            {
                "model": tier.model,
                "calls": tier.calls,
                "failed": tier.failed,
                "service": tier.service.law,
                "law": tier.service.words,
                "seconds_ks": tier.service.ks,
                "usd_per_mtok": None if tier.prices is None else list(tier.prices),
                "usd_per_request": tier.usd,
                "output_tokens_p50": tier.output_tokens,
            }
            for tier in found.tiers
        ],
        "held": {"laid": [tier.laid for tier in found.tiers], "cascades": [], "pick": None},
    }
    file = save or Path("scenario.yaml")
    trace = file.with_name(f"{file.stem}-requests.csv")
    if save is not None and trace.exists():
        rule, remedy = "is there already", "name another scenario file, or take it away"
        raise TableError(Problem(rule, remedy, value=str(trace), file="--save"))
    return {file: log_text(name, path.name, found, trace.name), trace: trace_text(found)}, summary


def _show_times(console: Any, held: dict[str, Any]) -> None:
    """Print the seconds' quantiles: a law may be close to all values and off in its tail."""
    from fallwise.cli.show import seconds, within

    times = [one for one in held["laid"] if one["of"] == "seconds"]
    if times:
        console.print(f"\n{'seconds of':<27}{'law':>10}  measured, 95 % interval")
    for one in times:
        for row in one["quantiles"]:
            name = f"{one['model'][:20]}, p{100 * row['q']:.0f}"
            said = within(row["measured"], seconds)
            console.print(f"{name:<27}{seconds(row['fitted']):>10}  {said}", markup=False)


def _show_log(console: Any, summary: dict[str, Any]) -> None:
    from fallwise.cli.show import percent, usd

    traffic = summary["traffic"]
    console.print(f"{summary['requests']:,} requests, {summary['calls']:,} calls of models.")
    if summary["skipped"]:
        console.print(f"{summary['skipped']:,} lines are no finished call of a model: left out.")
    spread = ", ".join(f"{x:.1f} at {w[:-2]} s" for w, x in traffic["dispersion"].items())
    console.print(f"{traffic['rate_rps']:.4g} requests a second, gaps with cv {traffic['cv']:.2f}.")
    if spread:
        console.print(f"Variance of counts over their mean (Poisson: 1): {spread}.")
    for name, words in (
        ("repeat_share", "ask what was asked before"),
        ("cached_share", "were answered by the gateway's cache"),
        ("escalated_share", "called more than one model"),
    ):
        if traffic[name] is not None:
            console.print(f"{percent(traffic[name])} {words}.")
    console.print(f"\n{'model':<26}{'calls':>9}{'failed':>8}{'KS':>7}  law of seconds")
    for tier in summary["tiers"]:
        row = f"{tier['model'][:25]:<26}{tier['calls']:>9,}{tier['failed']:>8,}"
        console.print(f"{row}{tier['seconds_ks']:>7.3f}  {tier['law']}", markup=False)
        price = tier["usd_per_mtok"]
        words = f"{usd(tier['usd_per_request'])} a call"
        if price is not None:
            words = f"{usd(price[0])} and {usd(price[1])} per million prompt and output tokens"
        console.print(f"  {words}")
    _show_times(console, summary["held"])
    console.print(
        "\nLogged seconds have the provider's own queueing in them: as service times of a tier "
        "with few servers they count the wait twice. Failed calls are counted, not fitted.\n"
    )


def _show(console: Any, summary: dict[str, Any]) -> None:
    from fallwise.cli.show import percent

    held = summary["held"]
    console.print(f"Fitted to {summary['questions']:,} questions.\n")
    console.print(f"{'model':<34}{'right':>9}{'loading':>9}{'AUROC':>8}{'KS':>7}{'KS of s':>9}")
    ks = {one["model"]: one["ks"] for one in held["laid"] if one["of"] == "score"}
    for tier in summary["tiers"]:
        area = "–" if tier["auroc"] is None else f"{tier['auroc']:.3f}"
        gap = f"{ks[tier['model']]:.3f}" if tier["model"] in ks else "–"
        times = "–" if tier["service"] is None else f"{tier['service']['ks']:.3f}"
        row = f"{tier['model'][:33]:<34}{percent(tier['accuracy']):>9}{tier['loading']:>9.2f}"
        console.print(row + f"{area:>8}{gap:>7}{times:>9}", markup=False)
    _show_times(console, held)
    console.print(
        f"\nTested: fitted to {held['fitted_on']:,} of them, compared with the"
        f" {held['compared_with']:,} others."
    )
    off = [abs(row["replayed"] - row["predicted"]) for row in held["together"]]
    if off:
        console.print(f"Both of two models right: {100 * max(off):.2f} points off at most.")
    if held["cascades"]:
        console.print(f"\n{'escalated':>11}{'replayed':>11}{'predicted':>11}")
        for row in held["cascades"]:
            cells = [percent(row[name]) for name in ("escalated", "replayed", "predicted")]
            console.print("".join(f"{cell:>11}" for cell in cells))
        mean, most = (100 * held[name] for name in ("error_mean", "error_max"))
        console.print(f"Predicted quality is {mean:.2f} points off on average, {most:.2f} at most.")
    if held["pick"]:
        at = held["pick"]["threshold"]
        words = "above every score" if at is None else f"{at:.5g}"
        console.print(f"\nAt the threshold {words}, a point below the last model alone:")
        for name in ("quality", "saving"):
            pair = [percent(held["pick"][name][x]) for x in ("predicted", "replayed")]
            console.print(f"  {name:<8} predicted {pair[0]}, replayed {pair[1]}")
    console.print()
    for said in summary["findings"]:
        console.print(f"• {said}", markup=False)
