"""Bad scenarios, tables and traces, through the command itself: said clearly, nothing written."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from fallwise.cli import main

SYNTHETIC = """\
name: bad
traffic:
  arrivals: {kind: poisson, rate_rps: 5}
answers: {source: synthetic}
tiers:
  - name: small
    kind: pool
    threshold: 0.8
    service: {kind: fixed, value_s: 0.1}
    answers: {accuracy: 0.8}
  - name: big
    kind: api
    service: {kind: fixed, value_s: 0.5}
    answers: {accuracy: 0.9}
run: {requests: 50}
"""
REPLAY = """\
name: bad
traffic:
  arrivals: {kind: poisson, rate_rps: 5}
answers: {source: replay, table: t.csv}
tiers:
  - {name: small, kind: pool, threshold: 0.8, service: {kind: fixed, value_s: 0.1}}
  - {name: big, kind: api, service: {kind: fixed, value_s: 0.5}}
run: {requests: 50}
"""
TABLE = """\
query_id,model,correct,confidence
1,small,1,0.9
1,big,1,0.8
2,small,0,0.4
2,big,1,0.7
"""
TRACED = SYNTHETIC.replace("{kind: poisson, rate_rps: 5}", "{kind: trace, file: t.csv}")
TRACE = "arrival_s,prompt_tokens\n0,10\n1.5,20\n3,5\n"

# What is wrong with the scenario: a text in it, what stands there instead, and the message.
SCENARIOS = {
    "a negative rate": ("rate_rps: 5", "rate_rps: -5", ":3:39: traffic.arrivals.rate_rps: -5: "),
    "a rate that is no number": ("rate_rps: 5", "rate_rps: .nan", "must be a finite number"),
    "a rate by the minute": ("rate_rps: 5", "rate_rpm: 300", "write rate_rps: 5"),
    "a time with its unit": ("value_s: 0.1", "value_s: 100ms", "must be a number; write 0.1"),
    "a wrong unit": ("    threshold: 0.8", "    timeout_ms: 20", "write timeout_s: 0.02"),
    "an unknown key": ("threshold", "treshold", "did you mean threshold?"),
    "an unknown law": ("kind: fixed", "kind: normal", "must be one of fixed, exponential"),
    "an unknown kind of tier": ("kind: pool", "kind: pol", "tiers[0].kind: 'pol'"),
    "an accuracy above 1": ("accuracy: 0.8", "accuracy: 80", "must be at most 1"),
    "shares that do not add up": (
        "rate_rps: 5}",
        "rate_rps: 5}\n  segments: [{name: a, share: 0.5}, {name: b, share: 0.4}]",
        "traffic.segments: the shares add up to 0.9, not 1",
    ),
    "two tiers of one name": ("name: big", "name: small", "the name is taken by tiers[0]"),
    "an unknown tier in a policy": (
        "run:",
        "router: {cuts: [0.5], starts: [small, bigg], auroc: 0.7, about: small}\nrun:",
        "router.starts[1]: 'bigg': a router starts at no tier of this name; did you mean big?",
    ),
    "a threshold at the end": (
        "  - name: big",
        "  - name: big\n    threshold: 0.5",
        "nobody to escalate to",
    ),
    "a key of another kind": ("kind: api", "kind: api\n    replicas: 3", "this one is api"),
    "no tier": (SYNTHETIC[SYNTHETIC.index("tiers:") :], "tiers: []\n", "must have at least 1"),
    "a missing key": ("    kind: api\n", "", "tiers[1].kind: this key is missing"),
    "a key twice": ("run:", "name: again\nrun:", "the key stands twice, first in line 1"),
    "a target on no measure": (
        "run:",
        "targets: [{measure: qualty, at_least: 1}]\nrun:",
        "did you mean quality?",
    ),
    "bad YAML": ("{source: synthetic}", "{source: synthetic", "mend the YAML"),
    "a million requests too many": ("requests: 50", "requests: 1e300", "run.requests"),
    "a wait of an age": ("    kind: api\n", "    kind: api\n    timeout_s: 1e12\n", "seconds"),
}

# What is wrong with the table or the trace.
TABLES = {
    "no table": (REPLAY, None, "t.csv: does not exist"),
    "an empty table": (REPLAY, "", "t.csv: is empty"),
    "a table without rows": (REPLAY, "query_id,model,correct,confidence\n", "has no rows"),
    "a missing column": (REPLAY, TABLE.replace("correct", "corect"), "did you mean corect?"),
    "a duplicate query": (REPLAY, TABLE + "2,big,1,0.7\n", "more than one row"),
    "a model without a query": (REPLAY, TABLE + "3,big,1,0.7\n", "has no row"),
    "an unknown model": (REPLAY.replace("name: big", "name: bigg"), TABLE, "'bigg'"),
    "a confidence that is no number": (REPLAY, TABLE.replace("0.4", "nan"), "confidence"),
    "an empty confidence": (REPLAY, TABLE.replace("0.4", ""), "query_id 2"),
    "a confidence in words": (REPLAY, TABLE.replace("0.4", "low"), "confidence"),
    "a grade of 2": (REPLAY, TABLE.replace("2,big,1", "2,big,2"), "must be from 0 to 1"),
    "an unknown dataset": (REPLAY.replace("t.csv", "t.csv, dataset: d"), TABLE, "dataset"),
    "no trace": (TRACED, None, "t.csv: does not exist"),
    "an unsorted trace": (TRACED, TRACE.replace("1.5", "9"), "must not be before the row above"),
    "a negative time": (TRACED, TRACE.replace("1.5", "-1.5"), "must not be negative"),
    "a time that is no number": (TRACED, TRACE.replace("1.5", "nan"), "arrival_s"),
    "a trace without times": (TRACED, TRACE.replace("arrival_s", "time"), "arrival_s"),
    "half a token": (TRACED, TRACE.replace("20", "20.5"), "must be a whole number of tokens"),
}


def refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str
) -> str:
    """Return what the command says on stderr; it must end with 2, and write nothing."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["fallwise", "run", *args])
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert "Traceback" not in said.err
    assert sorted(folder.rglob("*")) == before
    return said.err


Refused = Callable[..., str]


@pytest.fixture(name="refused")
def _refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Refused:
    return lambda *args: refused(tmp_path, capsys, monkeypatch, *args)


@pytest.mark.parametrize("case", SCENARIOS)
def test_a_bad_scenario_is_refused_with_one_clear_message(
    case: str, tmp_path: Path, refused: Refused
) -> None:
    right, wrong, message = SCENARIOS[case]
    assert right in SYNTHETIC
    (tmp_path / "s.yaml").write_text(SYNTHETIC.replace(right, wrong, 1))
    said = refused("s.yaml")
    (line,) = [line for line in said.splitlines() if message in line]
    assert line.startswith("s.yaml:")
    assert "; " in line, "the remedy"
    assert len(said.splitlines()) == 1, said


@pytest.mark.parametrize("case", TABLES)
def test_a_bad_table_or_trace_is_refused_with_one_clear_message(
    case: str, tmp_path: Path, refused: Refused
) -> None:
    scenario, table, message = TABLES[case]
    (tmp_path / "s.yaml").write_text(scenario)
    if table is not None:
        (tmp_path / "t.csv").write_text(table)
    said = refused("s.yaml")
    assert message in said
    assert "t.csv: " in said
    assert "; " in said, "the remedy"
    assert len(said.splitlines()) == 1, said


def test_a_file_that_claims_gigabytes_is_refused(tmp_path: Path, refused: Refused) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    nothing = pa.nulls(100_000, pa.float64())
    pq.write_table(pa.table({f"c{i}": nothing for i in range(2600)}), tmp_path / "t.parquet")
    (tmp_path / "s.yaml").write_text(REPLAY.replace("t.csv", "t.parquet"))
    assert (tmp_path / "t.parquet").stat().st_size < 10_000_000
    assert "its header claims 2,080,000,000 bytes" in refused("s.yaml")


def test_a_file_that_unpacks_without_end_is_refused(tmp_path: Path, refused: Refused) -> None:
    member = gzip.compress(b"query_id,model,correct\n" + b"0" * (1 << 24))
    (tmp_path / "t.csv.gz").write_bytes(member * 20)
    (tmp_path / "s.yaml").write_text(REPLAY.replace("t.csv", "t.csv.gz"))
    assert "it unpacks to more than" in refused("s.yaml")


def test_a_table_that_is_none_is_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and then nothing")
    (tmp_path / "s.yaml").write_text(REPLAY.replace("t.csv", "t.parquet"))
    assert "t.parquet: cannot be read as parquet" in refused("s.yaml")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.yaml"], "none.yaml: there is no such file"),
        (["."], ".: this is a folder"),
        (["empty.yaml"], "empty.yaml: the file is empty"),
        (["noise.yaml"], "noise.yaml: byte 0 is not UTF-8"),
        (["s.yaml", "--set", "tiers.smal.threshold=1"], "did you mean small?"),
        (["s.yaml", "--set", "tiers.small.threshold"], "this sets nothing"),
        (["s.yaml", "--set", "tiers.small.threshold=high"], "--set: tiers[0].threshold: 'high'"),
        (["s.yaml", "--set", "tiers.small.threshold=[1"], "--set:1:"),
        (["s.yaml", "--seed", "-1"], "--seed"),
        (["s.yaml", "--seed", "one"], "--seed"),
        (["s.yaml", "--requests", "0"], "--requests"),
        (["s.yaml", "--requests", "1000000000000000"], "must be at most 100,000,000,000"),
        (["s.yaml", "--engine", "fast"], "--engine"),
        (["s.yaml", "--out", "s.yaml"], "is a file, not a folder"),
        (["s.yaml", "--bogus"], "--bogus"),
        ([], "SCENARIO"),
    ],
)
def test_bad_arguments_are_refused(
    args: list[str], message: str, tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "s.yaml").write_text(SYNTHETIC)
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "noise.yaml").write_bytes(bytes(range(128, 256)))
    assert message in refused(*args)
