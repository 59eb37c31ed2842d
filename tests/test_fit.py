"""Fitting: numbers that were put in come out again, and the scenario reads back."""

from __future__ import annotations

import csv
import json
from math import asin, pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise.cli.app import app
from fallwise.draw import draw, read_evaluations, stream
from fallwise.errors import TableError
from fallwise.planning.fit import fit, tetrachoric
from fallwise.planning.fitted import scenario_text
from fallwise.planning.held import held
from fallwise.planning.laid import laid
from fallwise.scenario import parse, read
from typer.testing import CliRunner

EVALS = Path(__file__).parents[2] / "shared/data/evals/frugalml_sentiment.parquet"
QUANTILES = [0.2, 0.5, 0.5, 0.5, 0.8, 0.9, 1.0, 1.0, 1.0]


def table(path: Path, n: int, loadings: tuple[float, ...] = (0.7, 0.85)) -> Path:
    """Write answers that were drawn with these loadings."""
    tiers: list[dict[str, Any]] = [
        {"accuracy": 0.7, "auroc": 0.8, "score_quantiles": QUANTILES, "score_loading": 0.3},
        *({"accuracy": 0.85} for _ in loadings[1:]),
    ]
    case = scenario(
        [
            tier(f"m{k}", answers={**answers, "loading": loading}, threshold=0.5 if not k else None)
            for k, (answers, loading) in enumerate(zip(tiers, loadings, strict=True))
        ],
        run={"requests": n, "seed": 11},
    )
    requests = draw(case)
    with open(path, "w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["query_id", "model", "correct", "confidence", "seconds", "cost_usd"])
        for k in range(len(loadings)):
            for i in range(n):
                right, score = requests.correct[i, k], requests.score[i, k]
                write.writerow([i, f"org/m{k}", right, score, 1 + i % 10, 0.25 * (k + 1)])
    return path


def test_tetrachoric_correlation_meets_the_closed_form_at_the_medians() -> None:
    # P(both above their medians) = 1/4 + asin(r) / (2 pi) (Sheppard, 1899).
    n = 1_000_000
    for r in (-0.5, 0.0, 0.3, 0.8):
        both = round(n * (0.25 + asin(r) / (2 * pi)))
        a = np.arange(n) < n // 2
        b = np.zeros(n, bool)
        b[:both] = True
        b[n // 2 : n // 2 + n // 2 - both] = True
        assert tetrachoric(a, b) == pytest.approx(r, abs=1e-4)


def test_the_numbers_that_were_put_in_come_out(tmp_path: Path) -> None:
    n = 20_000
    first, other = fit(read_evaluations(table(tmp_path / "t.csv", n)))
    # Four to five standard errors of a share, an AUROC and a tetrachoric correlation.
    assert first.accuracy == pytest.approx(0.7, abs=0.015)
    assert other.accuracy == pytest.approx(0.85, abs=0.012)
    assert first.auroc == pytest.approx(0.8, abs=0.015)
    assert first.loading * other.loading == pytest.approx(0.7 * 0.85, abs=0.06)
    assert first.score_loading is not None and other.score_quantiles is None
    # Two models cannot be told apart: what their product leaves open is in both.
    assert first.score_loading * other.loading == pytest.approx(0.3 * 0.85, abs=0.07)
    assert first.usd == 0.25 and other.usd == 0.5
    # Ten values, each as often: no law but the quantiles holds that.
    assert first.service is not None and first.service.words == "quantiles"
    assert np.mean(first.service.law["values_s"]) == pytest.approx(5.5, abs=0.05)


def test_three_models_show_each_its_own_loading(tmp_path: Path) -> None:
    found = fit(read_evaluations(table(tmp_path / "t.csv", 20_000, (0.4, 0.8, 0.9))))
    for one, loading in zip(found, (0.4, 0.8, 0.9), strict=True):
        assert one.loading == pytest.approx(loading, abs=0.07)


def test_the_fitted_scenario_predicts_the_replayed_cascade(tmp_path: Path) -> None:
    rows = read_evaluations(table(tmp_path / "t.csv", 20_000))
    found = fit(rows)
    text = scenario_text("again", "t.csv", len(rows), found)
    (tmp_path / "s.yaml").write_text(text)
    case = read(tmp_path / "s.yaml")
    checked = held(rows, found, case, "confidence")
    assert len(checked["cascades"]) == 9
    (both,) = checked["together"]
    assert both["predicted"] == pytest.approx(both["replayed"], abs=0.015)
    picked = checked["pick"]
    assert picked["quality"]["predicted"] == pytest.approx(picked["quality"]["replayed"], abs=0.01)
    assert picked["saving"]["predicted"] == pytest.approx(picked["saving"]["replayed"], abs=0.02)
    assert checked["error_max"] < 0.015
    # Kolmogorov's 99.99 % point at 20,000 against 200,000, and one step of the quantiles.
    (score,) = (one for one in checked["laid"] if one["of"] == "score")
    assert score["model"] == "org/m0" and score["ks"] < 0.017 + 1 / 200


def test_the_command_writes_a_scenario_that_reads_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = table(tmp_path / "t.csv", 400)
    call = ["fit", str(path), "--tiers", "org/m0,org/m1", "--save", "s.yaml"]
    result = CliRunner().invoke(app, [*call, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert json.loads(Path("results/fitted-t-fit/summary.json").read_text()) == summary
    case = read(tmp_path / "s.yaml")
    assert [t.name for t in case.tiers] == ["m0", "m1"]
    assert {item.key for item in case.assumptions} == {x["key"] for x in summary["assumptions"]}
    with pytest.raises(TableError, match="already"):
        CliRunner().invoke(app, call, catch_exceptions=False)


def test_half_of_the_questions_is_known_no_surer_than_it_is(tmp_path: Path) -> None:
    """Predictions from one half are inside what chance allows the other half about so often."""
    rows = read_evaluations(table(tmp_path / "t.csv", 4000))
    inside, chance = [], []
    for seed in range(12):
        order = stream(seed, "half").permutation(len(rows))
        one, other = rows.take(order[::2]), rows.take(order[1::2])
        found = fit(one)
        (tmp_path / "s.yaml").write_text(scenario_text("half", "t.csv", len(one), found))
        checked = held(other, found, read(tmp_path / "s.yaml"), "confidence", len(one))
        inside += [row["low"] <= row["predicted"] <= row["high"] for row in checked["cascades"]]
        chance += [one["ks"] <= one["chance"] + 1 / 200 for one in checked["laid"]]
    assert np.mean(inside) > 0.8 and np.mean(chance) > 0.9
    widths = [row["high"] - row["low"] for row in checked["cascades"]]
    # 2,000 against 2,000 at a quality of about 0.8: 3.9 standard errors, of both halves.
    assert np.mean(widths) == pytest.approx(3.92 * np.sqrt(2 * 0.16 / 2000), rel=0.35)


def test_a_score_that_parts_all_answers_and_one_that_lacks_a_cell(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    right = rng.random(400) < 0.7
    score = np.round(0.5 * right + 0.4 * rng.random(400), 3).astype(str)

    def read_with(cell: str) -> Any:
        with (tmp_path / "t.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["query_id", "model", "correct", "confidence"])
            out.writerows((q, "m", int(right[q]), [*score[:-1], cell][q]) for q in range(400))
        return read_evaluations(tmp_path / "t.csv")

    (one,) = fit(read_with("0.9" if right[-1] else "0.1"))
    assert one.auroc is not None and 0.99 < one.auroc < 1
    for cell, words in (("", "is no number for 1 of 400"), ("?", "399: '\\?': is no number")):
        with pytest.raises(TableError, match=words):
            fit(read_with(cell))


def test_what_one_model_lacks_is_said_of_this_model(tmp_path: Path) -> None:
    from ruamel.yaml import YAML

    path = tmp_path / "t.csv"
    head = "query_id,model,correct,seconds,cost_usd\n"
    path.write_text(head + '0,a,1,1,2\n1,a,0,1,2\n0,"b: {é}",0,,\n1,"b: {é}",1,,\n')
    text = scenario_text("lacks", "t.csv", 2, fit(read_evaluations(path)))
    case = parse(YAML(typ="safe", pure=True).load(text))
    assert {item.key: item.why for item in case.assumptions if "tiers.b" in item.key} == {
        "tiers.b.service.value_s": "the table has no seconds of b: {é}",
        "tiers.b.usd_per_request": "the table has no cost_usd of b: {é}",
    }
    path.write_text("query_id,model,correct\n0,a,1\n1,a,0\n")
    text = scenario_text("lacks", "t.csv", 2, fit(read_evaluations(path)))
    assert "the table has no column seconds" in text and "no column cost_usd" in text


def gapped(path: Path, n: int, gaps: dict[tuple[str, str], range]) -> Path:
    """Write a table with lengths, and without the cells of these columns, models and questions."""
    with table(path, n).open() as file:
        rows = list(csv.DictReader(file))
    chance = stream(5, "gapped")
    for row in rows:
        tokens = chance.integers(100, 600)
        row["output_tokens"] = str(tokens)
        row["seconds"] = str(chance.lognormal(0, 0.3) + tokens / 100)
        for (column, model), missing in gaps.items():
            if row["model"] == model and int(row["query_id"]) in missing:
                row[column] = ""
    with path.open("w", newline="") as file:
        write = csv.DictWriter(file, list(rows[0]))
        write.writeheader()
        write.writerows(rows)
    return path


def test_questions_without_a_number_are_left_out_of_that_fit_alone(tmp_path: Path) -> None:
    gaps = {
        ("cost_usd", "org/m0"): range(100, 400),
        ("seconds", "org/m1"): range(50),
        ("output_tokens", "org/m1"): range(20, 70),
        ("confidence", "org/m1"): range(399, 400),
    }
    whole = fit(read_evaluations(gapped(tmp_path / "w.csv", 400, {})))
    found = fit(read_evaluations(gapped(tmp_path / "t.csv", 400, gaps)))
    assert [tier.gaps for tier in found] == [
        {"cost_usd": 300},
        {"confidence": 1, "seconds": 50, "output_tokens": 50},
    ]
    for one, other in zip(found, whole, strict=True):
        # Each price is the same. What is left tells the same laws, as far as 320 of 400 do.
        assert (one.accuracy, one.loading, one.usd) == (other.accuracy, other.loading, other.usd)
        assert one.service is not None and other.service is not None
        assert one.service.words == other.service.words == "first token, then per token"
        assert one.service.law["tpot_s"] == pytest.approx(0.01, rel=0.05)
        assert one.output_tokens == pytest.approx(other.output_tokens, rel=0.1)
    assert found[0].score_quantiles == whole[0].score_quantiles


def test_what_was_left_out_is_said_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gapped(tmp_path / "t.csv", 400, {("cost_usd", "org/m1"): range(40)})
    call = ["fit", "t.csv", "--tiers", "org/m0,org/m1", "--save", "s.yaml"]
    result = CliRunner().invoke(app, call, catch_exceptions=False)
    said = "40 of 400 questions have no cost_usd of org/m1: "
    summary = json.loads(Path("results/fitted-t-fit/summary.json").read_text())
    assert summary["findings"] == [f"{said}what is read off that column is of the other 360."]
    page = Path("results/fitted-t-fit/report.html").read_text()
    for text in (result.stdout, Path("s.yaml").read_text(), page):
        assert said in " ".join(text.split())
    saving = summary["held"]["pick"]["saving"]
    assert saving["low"] < saving["predicted"] < saving["high"]


def test_gaps_that_leave_too_little_or_that_decide_are_refused(tmp_path: Path) -> None:
    for column, model, missing, words in (
        ("seconds", "org/m1", range(81), r"seconds\.model org/m1: has numbers for 19 of 100 quer"),
        ("confidence", "org/m0", range(7, 8), r"confidence\.model org/m0\.query_id 7: nan: is no"),
        ("correct", "org/m1", range(7, 8), r"correct\.model org/m1\.query_id 7: nan: must be"),
    ):
        path = gapped(tmp_path / "t.csv", 100, {(column, model): missing})
        with pytest.raises(TableError, match=words):
            fit(read_evaluations(path))


def test_quantiles_of_a_law_stand_beside_the_exact_intervals_of_the_data() -> None:
    from scipy.stats import binom

    measured = np.random.default_rng(3).permutation(np.arange(1.0, 1001.0))
    found = laid("m", "seconds", measured, 2 * measured)["quantiles"]
    assert [row["q"] for row in found] == [0.5, 0.95, 0.99]
    for row in found:
        q, known = row["q"], row["measured"]
        assert row["fitted"] == pytest.approx(2 * known["value"])
        # The k-th of 1,000 is k. Conover (1999): between these two in at least 95 % of all samples.
        low, high = binom.ppf([0.025, 0.975], 1000, q)
        assert (known["low"], known["high"]) == pytest.approx((low, high + 1), abs=1.01)
        inside = binom.cdf(known["high"] - 1, 1000, q) - binom.cdf(known["low"] - 1, 1000, q)
        assert 0.95 <= inside < 0.98


def test_odd_models_are_refused_or_renamed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("query_id,model,correct\n0,a,1\n1,a,1\n0,b,0\n1,b,1\n")
    with pytest.raises(TableError, match="model a"):
        fit(read_evaluations(path))
    path.write_text(path.read_text().replace(",a,1\n1,a,1", ",7 x/(y)!,1\n1,7 x/(y)!,0"))
    text = scenario_text("odd", "t.csv", 2, fit(read_evaluations(path)))
    from ruamel.yaml import YAML

    assert [t.name for t in parse(YAML(typ="safe", pure=True).load(text)).tiers] == ["y", "b"]


def test_real_tables_are_predicted_within_the_published_error() -> None:
    if not EVALS.exists():
        pytest.skip("needs the evaluation tables in ../shared/data")
    from ruamel.yaml import YAML

    errors = []
    for dataset, models in (("yelp", ["Amazon", "Google"]), ("imdb", ["Amazon", "Google"])):
        whole = read_evaluations(EVALS, models, dataset)
        chosen = stream(1, dataset).permutation(len(whole))
        half, other = whole.take(chosen[::2]), whole.take(chosen[1::2])
        text = scenario_text("real", dataset, len(half), fit(half))
        case = parse(YAML(typ="safe", pure=True).load(text))
        # Fitted to one half, compared with the other.
        errors.append(held(other, fit(half), case, "confidence")["error_max"])
    # The model has come within 0.9 points on average of the maximum; a point is promised.
    assert np.mean(errors) < 0.01
