from __future__ import annotations

from pathlib import Path

from fallwise.scenario import schema
from fallwise.scenario.reference import reference

ROOT = Path(__file__).parent.parent


def test_the_reference_page_is_current() -> None:
    page = (ROOT / "docs" / "scenario-reference.md").read_text(encoding="utf-8")
    command = "fallwise schema --markdown > docs/scenario-reference.md"
    assert page == reference(schema()), f"make it again: {command}"


def test_every_key_says_what_it_is() -> None:
    cells = [line.split(" | ") for line in reference(schema()).splitlines() if line[:3] == "| `"]
    assert len(cells) > 100
    assert [row[0] for row in cells if not row[-1].strip(" |")] == []


def test_the_reference_has_every_key_with_its_type_and_rule() -> None:
    page = reference(schema())
    for name, part in {"Scenario": schema(), **schema()["$defs"]}.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert section, name
        for key in part.get("properties", {}):
            assert f"| `{key}` |" in section, (name, key)
    assert "| `timeout_s` | number, above 0 |" in page
    assert "[Lognormal](#lognormal) or [Gamma](#gamma)" in page
    assert "| `kind` | `poisson` | – | chooses this form |" in page
