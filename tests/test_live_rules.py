"""The rules for the keys of a live deployment; a key or a password is never repeated."""

from __future__ import annotations

from typing import Any

import pytest
from fallwise.errors import ScenarioError
from fallwise.scenario import Scenario, parse, schema

SERVICE = {"kind": "fixed", "value_s": 0.1}
ANSWERS = {"accuracy": 0.8}
RATES = {"catch_rate": 0.9, "false_alarm_rate": 0.1}
SECRET = "hunter2"


def scenario(tier: dict[str, Any], **parts: Any) -> Scenario:
    own = {"name": "big", "kind": "api", "service": SERVICE, "answers": ANSWERS, **tier}
    cache = {"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0, "filled_by": ["big"]}
    return parse(
        {
            **{"name": "live", "answers": {"source": "synthetic"}},
            **{"traffic": {"arrivals": {"kind": "poisson", "rate_rps": 1}}},
            "tiers": [{**cache, **parts.pop("cache", {})}, own],
            **parts,
        }
    )


def upstream(**parts: Any) -> dict[str, Any]:
    return {"live": {"kind": "upstream", "url": "http://127.0.0.1:8001", **parts}}


def deployment(**parts: Any) -> dict[str, Any]:
    return {"deployment": {"host": "http://127.0.0.1:8000", **parts}}


@pytest.mark.parametrize(
    ("tier", "parts", "message"),
    [
        (upstream(url="127.0.0.1"), {}, r"tiers\[1\]\.live\.url: must be an http address"),
        (upstream(url=f"http://me:{SECRET}@there"), {}, "without a password"),
        (upstream(api_key_env=f"sk-{SECRET}"), {}, "must be the name of an environment variable"),
        ({"live": {"kind": "tickets"}}, {}, "this tier is api; choose another kind"),
        (upstream(), {"cache": {"url": "127.0.0.1"}}, "address of a Redis"),
        (upstream(), {"cache": {"url": f"redis://:{SECRET}@there"}}, "without a password"),
        (upstream(), {"cache": upstream()}, "live belongs to rules"),
        ({"url": "redis://there"}, {}, "url belongs to cache tiers"),
        (
            {**upstream(), "verifier": {**RATES, "live": {"kind": "arithmetic"}}},
            {},
            r"tiers\[1\]\.verifier\.live\.kind: 'arithmetic': this is a rule about invoices",
        ),
        (upstream(), deployment(), "needs one of tier_header and tier_from_model"),
        (
            upstream(),
            deployment(tier_header="x", tier_from_model={"gpt": "big"}),
            "needs one of tier_header and tier_from_model",
        ),
        (upstream(), deployment(tier_from_model={"gpt": "bog"}), "did you mean big"),
        (upstream(), deployment(tier_header="x", api_key_env=SECRET), "not the key"),
    ],
)
def test_a_broken_rule_is_named(tier: dict[str, Any], parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        scenario(tier, **parts)
    assert SECRET not in str(caught.value)


def test_what_keeps_the_rules_is_read() -> None:
    judge = {"live": {"kind": "upstream", "url": "https://there/judge"}}
    read = scenario(
        {**upstream(api_key_env="A_KEY", score="logprobs"), "verifier": {**RATES, **judge}},
        cache={"url": "redis://127.0.0.1:6379/1"},
        **deployment(tier_header="x-tier", api_key_env="A_KEY"),
    )
    assert read.deployment is not None and read.deployment.tier_header == "x-tier"
    assert "Upstream" in schema()["$defs"]
