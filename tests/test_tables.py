"""Tables: what is checked, how two are compared, what a file may claim."""

import gzip
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fallwise.errors import TableError
from fallwise.tables import (
    ANSWERED,
    DECLINED,
    LONGEST_NS,
    NOT_VISITED,
    OutcomeTable,
    Provenance,
    RequestTable,
    files,
)

DOCS = Path(__file__).parents[1] / "docs"


def requests(n: int = 6) -> RequestTable:
    rng = np.random.default_rng(5)
    wide = (n, 2)

    def tall(values: Any, dtype: Any) -> Any:
        return np.asfortranarray(np.asarray(values).astype(dtype))

    return RequestTable(
        arrival_ns=np.sort(rng.integers(0, 10**12, n)),
        segment=tall(rng.integers(0, 3, n), np.int16),
        key=np.arange(n),
        local=rng.random(n) < 0.5,
        prompt_tokens=tall(rng.integers(0, 99, n), np.int32),
        output_tokens=tall(rng.integers(0, 99, wide), np.int32),
        service_ns=tall(rng.integers(0, 10**9, wide), np.int64),
        score=tall(rng.random(wide), np.float64),
        answer=tall(rng.integers(0, 4, wide), np.int32),
        correct=tall(rng.random(wide), np.float32),
        passes=tall(rng.random(wide) < 0.5, np.bool_),
        false_hit=rng.random(n) < 0.5,
        router_score=rng.random(n),
        provenance=Provenance("0.1.0", "s", "ab12", 7),
    )


def outcomes() -> OutcomeTable:
    """Return two requests: one answered by tier 1 after tier 0 declined, one refused."""

    def ns(*rows: list[int]) -> Any:
        return np.asfortranarray(np.array(rows, np.int64))

    return OutcomeTable(
        request=np.arange(2),
        arrival_ns=np.array([10, 20]),
        end_ns=np.array([70, 20]),
        status=np.array([ANSWERED, 4], np.int8),
        hit_tier=np.array([1, -1], np.int8),
        answer_of=np.array([0, -1]),
        answer_tier=np.array([1, -1], np.int8),
        visit=np.array([[DECLINED, 1], [NOT_VISITED, NOT_VISITED]], np.int8),
        enter_ns=ns([10, 30], [-1, -1]),
        start_ns=ns([10, 40], [-1, -1]),
        finish_ns=ns([30, 70], [-1, -1]),
        busy_ns=ns([20, 30], [0, 0]),
    )


def put(table: Any, name: str, at: Any, value: Any) -> Any:
    values = getattr(table, name).copy(order="K")
    values[at] = value
    return replace(table, **{name: values})


@pytest.mark.parametrize("table", [requests(), requests(1), outcomes()])
def test_a_saved_table_comes_back_whole(table: Any, tmp_path: Path) -> None:
    table.save(tmp_path / "new" / "t.parquet")
    loaded = type(table).load(tmp_path / "new" / "t.parquet")
    assert loaded.difference(table) is None
    assert loaded.provenance == table.provenance
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["t.parquet"]
    for name, values in loaded.columns().items():
        assert values.flags.f_contiguous and values.flags.writeable, name


def test_a_difference_says_where() -> None:
    table = requests()
    assert table.equals(table.take(slice(None)))
    changed = put(put(table, "service_ns", ([2, 4], [1, 0]), [77, 88]), "key", 5, 9)
    was = int(table.service_ns[2, 1])
    assert table.difference(changed) == (
        "key differs in 1 of 6 rows, first in row 5: 5 against 9; "
        f"service_ns differs in 2 of 6 rows, first in row 2, tier 1: {was} against 77"
    )
    assert not table.equals(changed)
    assert table.difference(table.take([0])) == "rows x tiers differ: 6 x 2 against 1 x 2"
    assert (
        table.difference(replace(table, router_score=None)) == "router_score is only in the first"
    )


def test_rows_taken_apart_and_put_together_are_the_same() -> None:
    table = requests()
    parts = [table.take(slice(0, 1)), table.take([1, 2]), table.take(np.arange(6) > 2)]
    assert RequestTable.concat(parts).difference(table) is None


@pytest.mark.parametrize(
    ("name", "at", "value", "words"),
    [
        ("arrival_ns", 3, 0, ["arrival_ns.row 3: 0", "before the row above"]),
        ("arrival_ns", 0, -1, ["row 0: -1", f"from 0 to {LONGEST_NS}"]),
        ("service_ns", (4, 1), -5, ["service_ns.row 4.tier 1: -5"]),
        ("service_ns", (4, 1), LONGEST_NS + 1, [f"{LONGEST_NS + 1}", "row 4.tier 1"]),
        ("score", (2, 0), np.nan, ["score.row 2.tier 0: nan", "finite"]),
        ("score", (2, 0), -np.inf, ["-inf", "finite"]),
        ("router_score", 1, np.nan, ["router_score.row 1: nan"]),
        ("correct", (5, 1), 1.5, ["correct.row 5.tier 1: 1.5", "from 0 to 1"]),
        ("correct", (5, 1), np.nan, ["nan"]),
        ("segment", 0, -1, ["segment.row 0: -1"]),
        ("output_tokens", ([1, 3], [0, 0]), -1, ["output_tokens.row 1.tier 0", "2 of 6 rows"]),
    ],
)
def test_a_cell_that_breaks_a_rule_is_named(name: str, at: Any, value: Any, words: Any) -> None:
    table = requests()
    assert table.check() is table
    with pytest.raises(TableError) as error:
        put(table, name, at, value).check()
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"key": np.arange(6.0)}, "key: 'is float64': must be an array of int64"),
        ({"key": list(range(6))}, "is list"),
        ({"local": None}, "is NoneType"),
        ({"key": np.arange(5)}, "has shape (5,)"),
        ({"score": np.ones((6, 3))}, "has shape (6, 3)"),
        ({"score": np.ones(6)}, "must be (6, 2)"),
    ],
)
def test_a_column_of_another_form_is_named(columns: Any, words: str) -> None:
    with pytest.raises(TableError, match=re.escape(words)):
        replace(requests(), **columns).check()


@pytest.mark.parametrize(
    ("name", "at", "value", "words"),
    [
        ("status", 0, 6, "status.row 0: 6"),
        ("status", 0, 1, "hit_tier.row 0: 1: must be -1"),
        ("hit_tier", 0, 2, "must be below 2"),
        ("end_ns", 0, 9, "not be before arrival_ns"),
        ("visit", (1, 1), 11, "visit.row 1.tier 1: 11"),
        ("enter_ns", (0, 1), -1, "enter_ns.row 0.tier 1"),
        ("finish_ns", (1, 0), 5, "finish_ns.row 1.tier 0"),
        ("start_ns", (1, 0), 5, "start_ns.row 1.tier 0"),
        ("enter_ns", (0, 0), 9, "order arrival, enter, start, finish"),
        ("start_ns", (0, 1), 29, "start_ns.row 0.tier 1: 29"),
        ("finish_ns", (0, 1), 39, "finish_ns.row 0.tier 1: 39"),
        ("busy_ns", (0, 1), -1, "busy_ns.row 0.tier 1: -1"),
    ],
)
def test_an_impossible_outcome_is_named(name: str, at: Any, value: int, words: str) -> None:
    table = outcomes()
    assert table.check() is table
    with pytest.raises(TableError, match=re.escape(words)):
        put(table, name, at, value).check()


def test_seconds_and_paths_of_outcomes() -> None:
    table = outcomes()
    assert table.sojourn_s.tolist() == [60e-9, 0]
    assert table.wait_s.tolist() == [[0, 10e-9], [0, 0]]
    assert table.path.tolist() == [3, 0]


def save(path: Path, rows: pa.Table) -> None:
    pq.write_table(rows, path)


def test_files_that_are_no_table_are_refused(tmp_path: Path) -> None:
    good = tmp_path / "good.parquet"
    requests().save(good)
    rows = pq.read_table(good)
    cut = good.read_bytes()[:-200]
    makers: dict[str, Any] = {
        "does not exist": lambda p: None,
        "is empty": lambda p: p.write_bytes(b""),
        "is a folder": lambda p: p.mkdir(),
        "cannot be read as parquet": lambda p: p.write_bytes(cut),
        "cannot be read as parquet: ": lambda p: p.write_text("arrival_ns\n1\n"),
        "does not say that it is a RequestTable": lambda p: save(p, pa.table({"a": [1]})),
        "score_1: is missing": lambda p: save(p, rows.drop_columns(["score_1"])),
        "router_ns": lambda p: save(p, rows.append_column("router_ns", pa.array(["x"] * 6))),
        "key: 'is float64'": lambda p: save(
            p, rows.set_column(2, "key", pa.array([1, None, 3, 4, 5, 6]))
        ),
        "has no rows": lambda p: save(p, rows.slice(0, 0)),
        "arrival_ns.row 1": lambda p: save(p, rows.take([5, 0])),
    }
    for i, (words, make) in enumerate(makers.items()):
        path = tmp_path / f"{i}.parquet"
        make(path)
        with pytest.raises(TableError, match=re.escape(words)) as error:
            RequestTable.load(path)
        assert str(path) in str(error.value)
    with pytest.raises(TableError, match="does not say that it is a OutcomeTable"):
        OutcomeTable.load(good)


def test_a_small_file_cannot_claim_a_large_table(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    save(path, pa.table({"zeros": pa.array(np.zeros(40_000_000, np.int8))}))
    with pytest.raises(TableError, match="header claims 320,000,000 bytes"):
        RequestTable.load(path)


def test_a_small_archive_cannot_unpack_to_a_large_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROOM", 100_000)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"0\n" * 1_000_000))
    with pytest.raises(TableError, match=r"unpacks to more than [\d,]+ bytes"):
        files.read_rows(path)
    path.write_bytes(b"a\n1\n")
    with pytest.raises(TableError, match="cannot be read as CSV"):
        files.read_rows(path)


def test_a_damaged_file_is_refused_or_the_same_and_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    requests().save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    pool, refused = pa.default_memory_pool(), 0
    before = pool.max_memory()
    for at in rng.integers(4, len(whole) - 4, 400):
        damaged = bytearray(whole)
        damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            RequestTable.load(path)
        except TableError:
            refused += 1
    assert refused > 100
    assert pool.max_memory() - before < 2**28


def test_a_failed_save_leaves_the_old_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    requests().save(path)

    def full(rows: Any, half: Path, **_: Any) -> None:
        half.write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(TableError, match="No space left on device"):
        requests(3).save(path)
    assert RequestTable.load(path).equals(requests())
    assert [f.name for f in tmp_path.iterdir()] == ["t.parquet"]


def test_every_column_is_described() -> None:
    page = (DOCS / "data-model.md").read_text()
    for table in (RequestTable, OutcomeTable):
        for f in table._fields():
            assert re.search(rf"^\| `{f.name}` ", page, re.M), f.name
            assert re.search(rf"^    {f.name} ", table.__doc__ or "", re.M), f.name
