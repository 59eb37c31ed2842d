from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario import Scenario, override, parse, read, schema

CASCADE = """\
name: two-tiers
traffic:
  arrivals: {kind: poisson, rate_rps: 5}
  segments:
    - {name: chat, share: 0.7}
    - {name: mail, share: 0.3, residency: local}
answers: {source: synthetic}
tiers:
  - name: cache
    kind: cache
    capacity: 100
    lookup_s: 0.001
    filled_by: [small]
  - name: small
    kind: pool
    local: true
    replicas: 2
    threshold: 0.8
    service: {kind: lognormal, p50_s: 0.1, p99_s: 0.5}
    answers: {accuracy: 0.8, auroc: 0.75}
  - name: big
    kind: api
    service: {kind: exponential, mean_s: 0.5}
    answers: {accuracy: 0.9}
targets:
  - {measure: sojourn_s_p99, at_most: 2}
assumptions:
  - {key: tiers.big.service, why: nobody measured it}
run: {requests: 1e4}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(CASCADE)
    return path


def problems(path: Path, text: str, **values: Any) -> list[Problem]:
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        read(path, values)
    return caught.value.problems


def data() -> dict[str, Any]:
    from ruamel.yaml import YAML

    return copy.deepcopy(dict(YAML(typ="safe", pure=True).load(CASCADE)))


def test_a_good_file_is_read_with_its_folder(file: Path) -> None:
    scenario = read(file)
    assert scenario.run.requests == 10_000
    assert scenario.path_of("t.csv") == file.parent / "t.csv"
    assert [tier.servers for tier in scenario.tiers] == [None, 2, None]


def test_yaml_is_version_1_2(file: Path) -> None:
    file.write_text(CASCADE.replace("two-tiers", "off").replace("rate_rps: 5", "rate_rps: 1e1"))
    scenario = read(file)
    assert scenario.name == "off"
    assert scenario.traffic.arrivals.rate_rps == 10  # type: ignore[union-attr]


def test_an_error_names_file_line_column_key_value_rule_and_remedy(file: Path) -> None:
    (problem,) = problems(file, CASCADE.replace("threshold: 0.8", "threshold: high"))
    assert str(problem) == (
        f"{file}:18:16: tiers[1].threshold: 'high': must be a number; write a number"
    )


def test_a_place_inside_a_union_has_no_name_of_a_branch(file: Path) -> None:
    (problem,) = problems(file, CASCADE.replace("p50_s: 0.1", "p50_s: -0.1"))
    assert problem.key == ("tiers", 1, "service", "p50_s")
    assert (problem.line, problem.column) == (19, 39)


def test_all_errors_of_a_file_come_at_once_in_its_order(file: Path) -> None:
    text = CASCADE.replace("rate_rps: 5", "rate_rps: -5").replace("share: 0.7", "share: 0.6")
    text = text.replace("exponential", "expnential").replace("sojourn_s_p99", "sojourn_s_p98")
    found = problems(file, text.replace("replicas: 2", "agents: 2"))
    assert [problem.key for problem in found] == [
        ("traffic", "arrivals", "rate_rps"),
        ("traffic", "segments"),
        ("tiers", 1, "agents"),
        ("tiers", 2, "service", "kind"),
        ("targets", 0, "measure"),
    ]


def test_no_rule_complains_about_the_consequence_of_another_error(file: Path) -> None:
    for right, wrong in [("share: 0.7", "share: x"), ("service: {kind: exp", "servce: {kind: exp")]:
        assert len(problems(file, CASCADE.replace(right, wrong))) == 1


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("timeout_ms: 200", "write timeout_s: 0.2"),
        ("timeout: 3", "did you mean timeout_s?"),
        ("timeout_min: 2", "write timeout_s: 120"),
        ("treshold: 3", "did you mean threshold?"),
        ("timeout_s: 200ms", "write 0.2"),
        ("timeout_s: 2 h", "write 7200"),
        ('timeout_s: "2"', "write 2, without quotes or signs"),
        ("timeout_s: true", "write a number"),
        ("cancel: off", "write true or false"),
    ],
)
def test_the_remedy_is_the_right_text(file: Path, written: str, remedy: str) -> None:
    text = CASCADE.replace("    replicas: 2\n", f"    replicas: 2\n    {written}\n")
    (problem,) = problems(file, text)
    assert problem.remedy == remedy
    assert problem.line == 18


def test_a_percentage_is_proposed_as_a_share(file: Path) -> None:
    (problem,) = problems(file, CASCADE.replace("accuracy: 0.9", "accuracy: 90%"))
    assert problem.remedy == "write 0.9"


BROKEN: list[tuple[str, Any, str, str]] = [
    ("traffic.segments.chat.share", 0.71, "traffic.segments", "add up to 1.01"),
    ("traffic.segments.mail.name", "chat", "traffic.segments[1].name", "taken"),
    ("tiers.big.name", "small", "tiers[2].name", "taken"),
    ("tiers.big.kind", "cache", "tiers[2].kind", "must be the first"),
    ("tiers.cache.capacity", None, "tiers[0].capacity", "missing"),
    ("tiers.cache.lookup_s", None, "tiers[0].lookup_s", "missing"),
    ("tiers.cache.filled_by", ["smal"], "tiers[0].filled_by[0]", "no tier"),
    ("tiers.cache.queue_limit", 3, "tiers[0].queue_limit", "this one is cache"),
    ("tiers.small.capacity", 3, "tiers[1].capacity", "belongs to cache tiers"),
    ("tiers.big.replicas", 3, "tiers[2].replicas", "belongs to rules and pool tiers"),
    ("tiers.big.agents", 3, "tiers[2].agents", "belongs to human tiers"),
    ("tiers.small.concurrency", 3, "tiers[1].concurrency", "belongs to api tiers"),
    ("tiers.big.service", None, "tiers[2].service", "missing"),
    ("tiers.big.threshold", 0.5, "tiers[2].threshold", "nobody to escalate to"),
    ("tiers.small.answers", None, "tiers[1].answers", "missing"),
    ("tiers.small.model", "m", "tiers[1].model", "replayed"),
    ("tiers.small.usd_column", "m", "tiers[1].usd_column", "replayed"),
    ("tiers.small.agree_with", "cache", "tiers[1].agree_with", "cache"),
    ("tiers.big.agree_with", "cache", "tiers[2].agree_with", "just before"),
    ("tiers.big.agree_with", "small", "tiers[2].agree_with", "both are local"),
    ("tiers.small.verifier", {"catch_rate": 0.5}, "tiers[1].verifier.false_alarm_rate", "missing"),
    ("tiers.small.verifier.column", "v", "tiers[1].verifier.column", "replayed"),
    ("tiers.small.answers.score_quantiles", [0, 0.5, 0.4], "tiers[1].answers.score_qu", "decrease"),
    ("tiers.small.answers.calibration.table", [[0.5, 0], [0, 1]], "tiers[1].answers.cal", "rising"),
    ("tiers.small.service", {"kind": "table"}, "tiers[1].service", "no evaluation table"),
    ("tiers.small.service.p99_s", 0.01, "tiers[1].service.p99_s", "below p50_s"),
    ("tiers.small.timeout_s", 1e10, "tiers[1].timeout_s", "more than 1e+09 seconds"),
    ("tiers.small.queue_limit", 1e200, "tiers[1].queue_limit", "is above"),
    ("traffic.segments.chat.prompt_tokens", {"kind": "trace"}, "traffic.segments[0].pr", "trace"),
    ("traffic.segments.chat.dataset", "d", "traffic.segments[0].dataset", "replayed"),
    ("answers.table", "t.csv", "answers.table", "replayed"),
    ("answers.source", "replay", "answers.table", "missing"),
    ("router", {"cuts": [0.5], "starts": ["small", "bi"]}, "router.starts[1]", "no tier"),
    ("targets[0].at_least", 1, "targets[0]", "one of at_most and at_least"),
    ("assumptions[0].key", "tiers.bug.service", "assumptions[0].key", "no such key: bug"),
    ("run.warmup", 1e4, "run.warmup", "takes all"),
    ("run.requests", 0, "run.requests", "at least 1"),
]


@pytest.mark.parametrize(("name", "value", "key", "rule"), BROKEN)
def test_a_rule_between_keys_is_held(name: str, value: Any, key: str, rule: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        override(parse(data()), {name: value})
    lines = str(caught.value).splitlines()
    assert any(key in line and rule in line for line in lines), lines


ROUTER = {"cuts": [0.2, 0.5], "starts": ["small", "small", "big"], "auroc": 0.7, "about": "small"}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"starts": ["small", "big"]}, "2 cuts need 3 starts"),
        ({"cuts": [0.5, 0.2]}, "cuts must ascend"),
        ({"cuts": [0.5, 0.5]}, "cuts must ascend"),
        ({"starts": ["cache", "small", "big"]}, "a router starts at no tier of this name"),
        ({"about": "cache"}, "no tier of this name answers"),
        ({"auroc": None}, "a router needs auroc and about"),
        ({"column": "c"}, "the column already says what the router sees"),
    ],
)
def test_a_router_has_its_rules(change: dict[str, Any], rule: str) -> None:
    scenario = override(parse(data()), {"router": ROUTER})
    with pytest.raises(ScenarioError, match=rule):
        override(scenario, {f"router.{name}": value for name, value in change.items()})


def test_a_pair_has_no_threshold_when_it_is_last_and_starts_no_request() -> None:
    pair = {"tiers.small.local": False, "tiers.big.agree_with": "small"}
    with pytest.raises(ScenarioError, match="nobody to escalate to"):
        override(parse(data()), pair)
    pair["tiers.small.threshold"] = None
    assert override(parse(data()), pair).tiers[2].agree_with == "small"
    with pytest.raises(ScenarioError, match="router starts at no tier of this name"):
        override(parse(data()), {**pair, "router": ROUTER})


def test_a_profile_that_is_always_zero_is_refused() -> None:
    profile = {"kind": "profile", "step_s": 60, "rates_rps": [0, 0]}
    with pytest.raises(ScenarioError, match="no request ever comes"):
        override(parse(data()), {"traffic.arrivals": profile})


def test_a_replayed_tier_has_a_model_or_answers_of_its_own() -> None:
    values = {"answers": {"source": "replay", "table": "t.csv"}, "tiers.small.answers": None}
    assert override(parse(data()), values).tiers[2].answers is not None
    with pytest.raises(ScenarioError, match=r"tiers\[2\].model"):
        override(parse(data()), {**values, "tiers.big.model": "big"})
    assert override(parse(data()), {**values, "tiers.big.answers": None}).answers.table == "t.csv"
    with pytest.raises(ScenarioError, match=r"tiers\[2\].verifier.column: 'v': .*own answers"):
        override(parse(data()), {**values, "tiers.big.verifier.column": "v"})


def test_tokens_from_a_table_name_their_column() -> None:
    values = {"answers": {"source": "replay", "table": "t.csv"}, "tiers.small.answers": None}
    values["traffic.segments.chat.output_tokens"] = {"kind": "table"}
    with pytest.raises(ScenarioError, match=r"output_tokens.column: .* tokens need it"):
        override(parse(data()), values)


def test_values_are_put_in_by_name_and_by_position(file: Path) -> None:
    values = {
        "tiers.small.threshold": 0.5,
        "tiers[2].usd_per_request": 1,
        "money.upkeep_usd_per_month": 500,
        "traffic.segments.chat.repeats": {"repeat_share": 0.5, "distinct_keys": 10},
        "router.cuts": [0.5],
        "router.starts": ["small", "big"],
        "router.auroc": 0.7,
        "router.about": "small",
    }
    for scenario in (read(file, values), override(read(file), values)):
        assert scenario.tiers[1].threshold == 0.5
        assert scenario.tiers[2].usd_per_request == 1
        assert scenario.money.upkeep_usd_per_month == 500
        assert scenario.router is not None
        assert scenario.folder == file.parent
    assert read(file).tiers[1].threshold == 0.8


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiers.smal.threshold", "did you mean small?"),
        ("tiers[7].threshold", "there are 3, counted from 0"),
        ("tiers.small.treshold", "did you mean threshold?"),
        ("moneyy.upkeep", "did you mean money?"),
        ("name.x", "the value before it has no keys"),
        ("tiers..x", "write it like tiers.small.threshold"),
        ("", "write it like tiers.small.threshold"),
    ],
)
def test_a_wrong_name_of_a_value_proposes_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        override(parse(data()), {name: 0.5})
    assert message in str(caught.value)
    assert str(caught.value).startswith("--set")


def test_the_value_from_the_command_line_mends_the_file(file: Path) -> None:
    file.write_text(CASCADE.replace("threshold: 0.8", "threshold: high"))
    assert read(file, {"tiers.small.threshold": 0.7}).tiers[1].threshold == 0.7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n  \n", "the file is empty"),
        (b"# nothing\n", "a scenario is a set of keys and values"),
        (b"- 1\n", "a scenario is a set of keys and values"),
        (b"PK\x03\x04\xff\xfe\x00", "is not UTF-8"),
        (CASCADE.encode("utf-16"), "UTF-16"),
        (b"name: \x00", "special characters are not allowed"),
        (b"name: [1\n", "expected"),
        (b"a: &x [*x]\n", "holds itself"),
        (b"[" * 5000, "nested too deeply"),
        (b"name: x\n" + b"#" * 1_100_000, "at most 1,000,000 bytes"),
        (
            b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + b"".join(
                b"%c: &%c [%s]\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 10))
                for c in range(97, 105)
            ),
            "more than 200,000 values",
        ),
        (b"name: x\nname: y\nrun: {seed: 1, seed: 2}\n", "the key stands twice, first in line 3"),
    ],
)
def test_a_file_that_is_no_scenario_gives_one_clear_message(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="no such file"):
        read(tmp_path / "none.yaml")
    with pytest.raises(ScenarioError, match="this is a folder"):
        read(tmp_path)


def test_the_schema_is_valid_and_accepts_a_good_scenario() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    assert not list(validator.iter_errors(data()))
    assert list(validator.iter_errors({**data(), "folder": "x"}))
    tier = schema()["$defs"]["Tier"]
    assert tier["properties"]["local"]["description"]


def test_the_hash_is_of_the_content(file: Path) -> None:
    scenario = read(file)
    assert (
        scenario.hash
        == parse(data()).hash
        == Scenario.model_validate(json.loads(scenario.model_dump_json())).hash
    )
    assert scenario.hash != override(scenario, {"tiers.small.threshold": 0.7}).hash
