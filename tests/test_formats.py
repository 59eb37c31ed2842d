"""Traces in the forms in which they are published."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from fallwise.draw import draw
from fallwise.errors import TableError
from fallwise.scenario import parse
from fallwise.tables import RequestTable

TRACES = Path(__file__).parents[1].parent / "shared/data/traces"

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:47.0000000,879,55
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00.017335+00:00,2399,6
"""
MOONCAKE = """{"timestamp": 0, "input_length": 6755, "output_length": 500, "hash_ids": [0, 1, 2]}
{"timestamp": 3000, "input_length": 7322, "output_length": 490, "hash_ids": [0, 3]}
{"timestamp": 6000, "input_length": 6755, "output_length": 12, "hash_ids": [0, 1, 2]}
"""
BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
118.5,GPT-4,417,276,693,API log
"""
TIDY = "arrival_s,prompt_tokens,output_tokens,repeat_of\n0,1,2,\n1,1,2,0\n2,3,4,\n3,1,2,1\n"


def drawn(folder: Path, n: int, **law: Any) -> RequestTable:
    tier = {"name": "a", "kind": "api", "service": {"kind": "fixed", "value_s": 1.0}}
    recorded = {"kind": "trace"}
    scenario = {
        "name": "w",
        "traffic": {
            "arrivals": {"kind": "trace", **law},
            "segments": [{"prompt_tokens": recorded, "output_tokens": recorded}],
        },
        "answers": {"source": "synthetic"},
        "tiers": [{**tier, "answers": {"accuracy": 1.0}}],
    }
    return draw(parse(scenario, folder), 1, n)


@pytest.mark.parametrize(
    ("name", "text", "arrival_ns", "prompt", "output"),
    [
        # To the last digit of the stamps; the row that came second is put second.
        ("a.csv", AZURE, [0, 319_410_000, 4_314_579_000], [374, 879, 396], [44, 55, 109]),
        ("a.csv", AZURE_2024, [0, 7_405_000], [2162, 2399], [5, 6]),
        ("m.jsonl", MOONCAKE, [0, 3 * 10**9, 6 * 10**9], [6755, 7322, 6755], [500, 490, 12]),
        (
            "b.csv",
            BURSTGPT,
            [5 * 10**9, 45 * 10**9, 118_500_000_000],
            [472, 1087, 417],
            [18, 0, 276],
        ),
    ],
    ids=["azure", "azure-2024", "mooncake", "burstgpt"],
)
def test_published_traces_are_read_as_they_are(
    name: str, text: str, arrival_ns: Any, prompt: Any, output: Any, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    for file in (name, packed.name):
        table = drawn(tmp_path, len(prompt), file=file)
        assert table.arrival_ns.tolist() == arrival_ns
        assert table.prompt_tokens.tolist() == prompt
        assert table.output_tokens[:, 0].tolist() == output


def test_the_same_question_is_told_by_blocks_and_by_rows(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(MOONCAKE)
    (tmp_path / "t.csv").write_text(TIDY)
    first, second, third = drawn(tmp_path, 3, file="m.jsonl").key.tolist()
    assert first == third != second
    keys = drawn(tmp_path, 8, file="t.csv").key.tolist()
    assert keys[0] == keys[1] == keys[3] != keys[2]
    assert not set(keys[:4]) & set(keys[4:])  # asked anew when the trace begins again


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", AZURE.replace("2023-11-16 18", "yesterday 18"), "TIMESTAMP.*not a date and time"),
        (
            "a.csv",
            AZURE.replace("2023-11-16 18:15:47.0000000", ""),
            "TIMESTAMP.row 2: nan: must be",
        ),
        ("a.csv", AZURE.replace(",396,", ",many,"), "ContextTokens.*must be numbers"),
        ("a.csv", AZURE.replace(",109", ",-1"), r"GeneratedTokens.row 1: -1.0: must be a whole"),
        ("a.csv", AZURE.replace("ContextTokens", "Context"), "arrival_s: column is missing"),
        ("m.jsonl", MOONCAKE.replace("3000", '"3 s"'), "cannot be read as JSON lines"),
        ("m.jsonl", MOONCAKE.replace("3000", "-3000"), "timestamp.row 1: -3.0: must not be neg"),
        ("m.jsonl", '{"timestamp": 1', "cannot be read as JSON lines"),
        ("m.jsonl", "", "is empty"),
        ("b.csv", BURSTGPT.replace("\n45,", "\n,"), "Timestamp.row 1: nan: must be a number"),
        (
            "t.csv",
            TIDY.replace("1,1,2,0", "1,1,2,3"),
            "repeat_of.row 1: 3.0: must be the number of",
        ),
    ],
)
def test_bad_published_traces_are_refused(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TableError, match=words) as error:
        drawn(tmp_path, 3, file=name)
    assert str(tmp_path / name) in str(error.value)


@pytest.mark.skipif(not TRACES.exists(), reason="needs ../shared/data/traces")
def test_the_repeats_of_the_mooncake_trace_are_those_of_its_readme() -> None:
    table = drawn(TRACES, 12031, file="mooncake_conversation.csv.gz", dither_s=3.0)
    repeats = 1 - len(set(table.key.tolist())) / 12031
    assert repeats == pytest.approx(0.0098, abs=0.0001)
