"""Evaluation tables: read whole, or refused; and replayed a whole row at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fallwise.draw import draw, read_evaluations
from fallwise.errors import FallwiseError, ScenarioError, TableError
from fallwise.scenario import Scenario, parse

EVALS = Path(__file__).parents[1].parent / "shared/data/evals"


def frame(queries: int = 40) -> pd.DataFrame:
    """Return a table in which every number tells its query and model."""
    rows = [
        {
            "query_id": q,
            "dataset": "easy" if q < queries // 2 else "hard",
            "split": "test" if q % 2 else "train",
            "model": model,
            "correct": float((q * 7 + j) % 3 == 0),
            "confidence": q / 100 + j,
            "seconds": 1 + q + j / 10,
            "cost_usd": q * 1e-3 + j,
            "prompt_tokens": 100 + q,
            "output_tokens": 1000 * (j + 1) + q,
            "verdict": (q + j) % 2,
            "route": q / 10,
            "answer_id": f"label {q % (3 + j)}",
        }
        for q in range(queries)
        for j, model in enumerate(("small", "big"))
    ]
    return pd.DataFrame(rows)


def write(rows: pd.DataFrame, folder: Path, name: str = "t.csv.gz") -> Path:
    path = folder / name
    rows.to_parquet(path) if path.suffix == ".parquet" else rows.to_csv(path, index=False)
    return path


def world(folder: Path, tiers: Any = None, segments: Any = None, **answers: Any) -> Scenario:
    table = {"kind": "table"}
    small = {
        "name": "small",
        "kind": "pool",
        "service": {**table, "column": "seconds"},
        "threshold": 0.2,
        "usd_column": "cost_usd",
        "verifier": {"column": "verdict"},
    }
    big = {"name": "big", "kind": "api", "service": {"kind": "fixed", "value_s": 1.0}}
    tokens: dict[str, Any] = {
        name: {**table, "column": name} for name in ("prompt_tokens", "output_tokens")
    }
    return parse(
        {
            "name": "w",
            "traffic": {
                "arrivals": {"kind": "poisson", "rate_rps": 1.0},
                "segments": segments or [tokens],
            },
            "answers": {"source": "replay", "table": "t.csv.gz", **answers},
            "tiers": tiers or [small, {**big, "output_token_factor": 0.5}],
            "router": {"column": "route", "cuts": [1.0], "starts": ["small", "big"]},
        },
        folder,
    )


PERSON = {
    "name": "people",
    "kind": "human",
    "agents": 1,
    "service": {"kind": "fixed", "value_s": 60.0},
    "answers": {"accuracy": 0.9},
}


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_a_table_is_read_whole_in_any_form_and_order(name: str, tmp_path: Path) -> None:
    shuffled = frame().sample(frac=1, random_state=3)
    table = read_evaluations(write(shuffled, tmp_path, name), ["big", "small"])
    assert table.models == ("big", "small") and table.datasets == ("easy", "hard")
    assert len(table) == 40 and table.query_id.tolist() == [str(q) for q in range(40)]
    q = np.arange(40)
    np.testing.assert_allclose(table.column("confidence", "small"), q / 100)
    np.testing.assert_allclose(table.column("confidence", "big"), q / 100 + 1)
    assert (table.correct == np.stack([(q * 7 + 1) % 3 == 0, q * 7 % 3 == 0], axis=1)).all()
    assert table.answer is not None
    same = frame().pivot(index="query_id", columns="model", values="answer_id")
    assert ((table.answer[:, 0] == table.answer[:, 1]) == (same.big == same.small)).all()
    half = table.take(table.dataset == 1)
    assert len(half) == 20 and half.column("seconds", "big")[0] == 21.1


def test_dataset_split_and_models_choose_rows(tmp_path: Path) -> None:
    path = write(frame(), tmp_path)
    assert len(read_evaluations(path, dataset="hard")) == 20
    assert len(read_evaluations(path, dataset=["easy", "hard"], split="test")) == 20
    assert read_evaluations(path).models == ("big", "small")
    assert read_evaluations(path, ["small", "small"]).correct.shape == (40, 1)


def spoil(column: str, at: Any, value: Any) -> Any:
    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rows[column] = rows[column].astype(object)
        rows.loc[at, column] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="correct"), "correct: column is missing"),
        (
            lambda t: t.rename(columns={"query_id": "queryid"}),
            r"did you mean queryid\?",
        ),
        (
            lambda t: pd.concat([t, t[:3]]),
            "small.query_id 0: has more than one row for 2 of 40",
        ),
        (lambda t: t.drop(index=[3, 5]), "model.big.query_id 1: has no row for 2 of 40 queries"),
        (spoil("correct", 6, 1.5), "correct.model small.query_id 3: 1.5: must be from 0 to 1"),
        (spoil("correct", 6, None), "query_id 3: nan: must be from 0 to 1"),
        (spoil("correct", 6, "yes"), "correct.query_id 3: 'yes': is no number; all cells must be"),
        (spoil("confidence", 7, "n/a?"), "confidence.query_id 3: 'n/a\\?': is no number"),
        (spoil("seconds", 6, "1,5"), "seconds.query_id 3: '1,5': is no number"),
        (spoil("seconds", 6, "1_000"), "seconds.query_id 3: '1_000': is no number"),
        (spoil("seconds", 6, "٣"), "seconds.query_id 3: '٣': is no number"),
        (spoil("query_id", 6, None), "query_id.row 6: is empty"),
        (
            spoil("confidence", 6, None),
            "model small.query_id 3: nan: is no number for 1",
        ),
        (spoil("confidence", 6, np.inf), "confidence.*inf: is no number"),
        (lambda t: t.drop(columns="confidence"), "confidence: column is missing"),
        (
            lambda t: t.replace("small", "smal1"),
            r"is no model .*did you mean smal1\?",
        ),
        (lambda t: t.drop(columns="seconds"), "seconds: column is missing"),
        (spoil("seconds", 6, -1), "draws a time that is negative"),
        (spoil("verdict", 6, None), "verdict.model small.query_id 3"),
        (
            spoil("route", 6, 0.5),
            r"route.query_id 3: must be the same for .*\(1 are not",
        ),
        (lambda t: t[:0], "has no rows"),
    ],
)
def test_bad_tables_are_refused(change: Any, words: str, tmp_path: Path) -> None:
    write(change(frame()), tmp_path)
    with pytest.raises(FallwiseError, match=words):
        draw(world(tmp_path), 1, 2000)


def test_words_in_a_column_that_nobody_asks_for_are_left_alone(tmp_path: Path) -> None:
    path = write(frame().assign(note="fine", told=[["a"]] * 80), tmp_path, "t.parquet")
    table = read_evaluations(path)
    assert sorted(table.others) == ["note", "told"]
    with pytest.raises(TableError, match=r"note.query_id 0: 'fine': is no number"):
        table.column("note", "small")
    with pytest.raises(TableError, match=r"told: is list<.*; must be numbers"):
        table.column("told", "small")


def test_however_text_is_stored_its_first_cell_that_is_no_number_is_named(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = pa.table(frame().drop(columns="seconds"))
    cells = pa.array(["0.5", None, "2", *["1_000"] * 77])
    plain, path = pa.string(), tmp_path / "t.parquet"
    for kind in (pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), plain), plain):
        parquet.write_table(rows.append_column("seconds", cells.cast(kind)), path)
        with pytest.raises(TableError, match=r"seconds\.query_id 1: '1_000': is no number"):
            read_evaluations(path).column("seconds", "small")


def test_scores_that_nothing_is_decided_by_are_not_asked_for(tmp_path: Path) -> None:
    rows = frame()
    rows.loc[[1, 7], "confidence"] = np.nan, np.inf
    write(rows, tmp_path)
    table = draw(world(tmp_path), 1, 400)
    assert (table.score[:, 1] == 1).all() and (table.score[:, 0] < 1).all()
    tiers: Any = world(tmp_path).model_dump(exclude_unset=True)["tiers"]
    write(rows.assign(confidence="high"), tmp_path)
    unscored = [{**tiers[0], "threshold": None}, tiers[1]]
    assert (draw(world(tmp_path, tiers=unscored), 1, 400).score == 1).all()
    with pytest.raises(TableError, match="'high': is no number"):
        draw(world(tmp_path), 1, 400)


def test_names_and_labels_are_no_columns_of_numbers_though_they_are_numbers(tmp_path: Path) -> None:
    path = write(frame().assign(split=1, answer_id=7), tmp_path, "t.parquet")
    table = read_evaluations(path)
    assert not {"query_id", "split", "answer_id"} & {*table.columns, *table.others}
    assert table.answer is not None and (table.answer == 0).all()


def test_what_lacks_in_a_column_is_told_apart_from_a_column_that_lacks(tmp_path: Path) -> None:
    rows = frame()
    rows.loc[rows["model"] == "big", "confidence"] = np.nan
    table = read_evaluations(write(rows, tmp_path))
    assert table.find("confidence", "big") is None and table.find("nothing", "big") is None
    found = table.find("confidence", "small")
    assert found is not None and len(found) == 40
    rows.loc[4, "confidence"] = np.nan
    table = read_evaluations(write(rows, tmp_path))
    with pytest.raises(TableError, match="query_id 2: nan: is no number for 1 of 40 queries"):
        table.find("confidence", "small")


def test_short_numbers_are_the_decimals_that_they_stand_for(tmp_path: Path) -> None:
    """0.9 as float32 is 0.89999998: below a threshold of 0.9, it would be sent further up."""
    rows = frame().assign(confidence=0.9)
    for kind in (np.float32, np.float16):
        short = rows.astype({"confidence": kind, "cost_usd": kind})
        table = read_evaluations(write(short, tmp_path, "t.parquet"))
        assert (table.columns["confidence"] == 0.9).all()
        np.testing.assert_array_equal(
            table.column("cost_usd", "small"), short["cost_usd"][::2].astype(str).astype(float)
        )


def test_tables_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for text, words in (
        ("query_id,model,correct\nx,caf\xe9,1\n", "model: is not UTF-8; must be text"),
        ("query_id,model,correct,correct\nx,m,1,0\n", "correct: 2 columns have this name"),
    ):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(TableError, match=words):
            read_evaluations(path)
    listed = frame().assign(answer_id=[["a"]] * 80)
    with pytest.raises(TableError, match=r"answer_id: is list<.*: string>; must be text"):
        read_evaluations(write(listed, tmp_path, "t.parquet"))


def test_unknown_names_propose_the_nearest(tmp_path: Path) -> None:
    path = write(frame(), tmp_path)
    for asked, words in (
        ({"models": ["bigg"]}, "did you mean big"),
        ({"dataset": "hrad"}, "did you mean hard"),
        ({"split": "dev"}, "there are: test, train"),
    ):
        with pytest.raises(TableError, match=words):
            read_evaluations(path, **asked)
    with pytest.raises(ScenarioError, match="there are: easy, hard"):
        segments = [{"name": "a", "share": 0.5, "dataset": "x"}, {"name": "b", "share": 0.5}]
        draw(world(tmp_path, segments=segments), 1, 5)


def test_each_request_is_one_query_of_the_table_in_all_its_columns(tmp_path: Path) -> None:
    write(frame(), tmp_path)
    table = draw(world(tmp_path), 1, 5000)
    q = table.prompt_tokens.astype(np.int64) - 100
    assert table.router_score is not None and table.call_usd is not None
    np.testing.assert_allclose(table.score, np.stack([q / 100, q / 100 + 1], axis=1))
    assert (table.output_tokens == np.stack([1000 + q, np.rint((2000 + q) / 2)], axis=1)).all()
    assert (table.correct == np.stack([q * 7 % 3 == 0, (q * 7 + 1) % 3 == 0], axis=1)).all()
    assert (table.service_ns == np.stack([(1 + q) * 10**9, np.full(5000, 10**9)], axis=1)).all()
    assert (table.passes == np.stack([q % 2 == 1, np.ones(5000)], axis=1)).all()
    np.testing.assert_allclose(table.router_score, q / 10)
    np.testing.assert_allclose(table.call_usd, np.stack([q * 1e-3, np.zeros(5000)], axis=1))
    # Every query equally often: chi-square with 39 degrees of freedom is below 93 in all but 3e-6.
    counts = np.bincount(q, minlength=40)
    assert ((counts - 125) ** 2 / 125).sum() < 93


def test_each_once_asks_every_query_of_the_segments_once_and_ends(tmp_path: Path) -> None:
    write(frame(), tmp_path)
    prompt = {"kind": "table", "column": "prompt_tokens"}
    segments = [
        {"name": name, "share": share, "dataset": name, "prompt_tokens": prompt}
        for name, share in (("hard", 0.9), ("easy", 0.1))
    ]
    scenario = world(tmp_path, segments=segments, sample="each_once")
    table = draw(scenario, 1, 1000)
    q = table.prompt_tokens.astype(np.int64) - 100
    assert sorted(q) == list(range(40)) and q.tolist() != sorted(q)
    assert (table.segment == np.where(q >= 20, 0, 1)).all()
    assert draw(scenario, 1, 7).take(slice(7)).key.tolist() == list(range(7))
    segments[1]["dataset"] = "hard"
    with pytest.raises(ScenarioError, match="segments share their queries"):
        draw(world(tmp_path, segments=segments, sample="each_once"), 1, 5)
    again = [{"repeats": {"repeat_share": 0.1, "distinct_keys": 5}}]
    once = world(tmp_path, segments=again, sample="each_once")
    with pytest.raises(ScenarioError, match="each_once cannot ask a query again"):
        draw(once, 1, 5)


def test_segments_take_the_rows_of_their_dataset(tmp_path: Path) -> None:
    write(frame(), tmp_path)
    prompt = {"kind": "table", "column": "prompt_tokens"}
    segments = [
        {"name": "h", "share": 0.25, "dataset": "hard", "prompt_tokens": prompt},
        {"name": "all", "share": 0.75, "prompt_tokens": prompt},
    ]
    table = draw(world(tmp_path, segments=segments), 1, 4000)
    q = table.prompt_tokens.astype(np.int64) - 100
    assert q[table.segment == 0].min() == 20 and q[table.segment == 1].min() == 0
    assert abs((table.segment == 0).mean() - 0.25) < 4.5 * np.sqrt(0.25 * 0.75 / 4000)


def test_people_beside_the_table_are_right_by_themselves(tmp_path: Path) -> None:
    write(frame(), tmp_path)
    tiers = [*world(tmp_path).model_dump(exclude_unset=True)["tiers"], PERSON]
    table = draw(world(tmp_path, tiers=tiers), 1, 40_000)
    right = table.correct[:, 2]
    for at in (table.correct[:, 0] == 1, table.correct[:, 0] == 0):
        assert abs(right[at].mean() - 0.9) < 4.5 * 0.3 / np.sqrt(at.sum())
    assert (table.output_tokens[:, 2] == 0).all()
    before = draw(world(tmp_path), 1, 40_000)
    assert (table.correct[:, :2] == before.correct).all()
    paid = {**PERSON, "output_usd_per_mtok": 1.0}
    with pytest.raises(ScenarioError, match="not from a table"):
        draw(world(tmp_path, tiers=[*tiers[:2], paid]), 1, 5)
    compared = {**PERSON, "agree_with": "big"}
    with pytest.raises(ScenarioError, match="cannot be compared"):
        draw(world(tmp_path, tiers=[*tiers[:2], compared]), 1, 5)


def test_agreement_needs_answer_ids_and_scores_may_be_absent_without_a_threshold(
    tmp_path: Path,
) -> None:
    rows = frame()
    rows.loc[rows.model == "big", "confidence"] = np.nan
    write(rows, tmp_path)
    assert (draw(world(tmp_path), 1, 9).score[:, 1] == 1).all()
    tiers: Any = world(tmp_path).model_dump(exclude_unset=True)["tiers"]
    tiers[1]["agree_with"], tiers[0]["threshold"] = "small", None
    data = world(tmp_path).model_dump(exclude_unset=True)
    data = {**data, "tiers": tiers, "answers": {"source": "replay", "table": "t.csv.gz"}}
    scenario = parse({k: v for k, v in data.items() if k != "router"}, tmp_path)
    table = draw(scenario, 1, 400)
    q = table.prompt_tokens.astype(np.int64) - 100
    assert ((table.answer[:, 0] == table.answer[:, 1]) == (q % 3 == q % 4)).all()
    write(rows.drop(columns="answer_id"), tmp_path)
    with pytest.raises(TableError, match="answer_id: column is missing"):
        draw(scenario, 1, 9)


real = pytest.mark.skipif(not EVALS.exists(), reason="needs ../shared/data/evals")


@real
def test_frugalml_rows_stay_whole() -> None:
    path = EVALS / "frugalml_sentiment.parquet"
    service = {"kind": "fixed", "value_s": 0.1}
    models = list(read_evaluations(path, dataset="yelp").models)
    tiers = [
        {"name": f"t{j}", "model": m, "kind": "api", "service": service, "usd_column": "cost_usd"}
        for j, m in enumerate(models)
    ]
    data = {
        "name": "w",
        "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 1.0}},
        "answers": {"source": "replay", "table": path.name, "dataset": "yelp"},
        "tiers": tiers,
    }
    data["answers"]["sample"] = "each_once"  # type: ignore[index]
    table = draw(parse(data, EVALS), 1, 10**6)
    assert len(table) == 20_000 and table.call_usd is not None
    rows = pd.read_parquet(path).query("dataset == 'yelp'")
    short = {c: rows[c].astype(str).astype(float) for c in ("confidence", "cost_usd")}
    wide = rows.assign(**short).pivot(index="query_id", columns="model")
    ours = np.column_stack([table.correct, table.score, table.call_usd])
    theirs = np.column_stack([wide[c][models] for c in ("correct", "confidence", "cost_usd")])
    theirs = theirs.astype(ours.dtype)
    assert (ours[np.lexsort(ours.T)] == theirs[np.lexsort(theirs.T)]).all()
    agree = wide["answer_id"][models[0]] == wide["answer_id"][models[1]]
    assert (table.answer[:, 0] == table.answer[:, 1]).sum() == agree.sum()


@real
@pytest.mark.parametrize(
    ("dataset", "n", "weak", "strong", "either"),
    [("mmlu", 14037, 0.6809, 0.8059, 0.8587), ("gsm8k", 1307, 0.6373, 0.8577, 0.9296)],
)
def test_routellm_has_its_published_accuracies(
    dataset: str, n: int, weak: float, strong: float, either: float
) -> None:
    path = EVALS / "routellm_mmlu_gsm8k_mtbench.parquet"
    models = ["Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"]
    table = read_evaluations(path, models, dataset)
    table = table.take(table.columns["contaminated"][:, 0] == 0)
    assert len(table) == n
    np.testing.assert_allclose(table.correct.mean(axis=0), [weak, strong], atol=5e-5)
    assert abs(table.correct.max(axis=1).mean() - either) < 5e-5


@real
def test_nine_models_and_a_split() -> None:
    path = EVALS / "llmrouter_9models.parquet"
    table = read_evaluations(path, dataset="llmrouter_mix", split="test")
    assert table.correct.shape == (500, 9)
    assert read_evaluations(path).correct.shape == (6108, 9)
