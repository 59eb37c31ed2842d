"""Every example of the README and of docs/ runs, and gives the numbers that stand below it."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from fallwise.cli.app import app
from fallwise.scenario import read
from ruamel.yaml import YAML
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = ("./dev ", "python ", "pip ", "pytest ")
"""What is no command of fallwise is not run here."""


class Block(NamedTuple):
    """A fenced block, and the comment in the line before it."""

    before: str
    language: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    found = re.finditer(
        r"(?:^<!-- (.*?) -->\n)?^```(\w*)\n(.*?)^```$",
        page.read_text(encoding="utf-8"),
        re.S | re.M,
    )
    for match in found:
        yield Block(match[1] or "", match[2], match[3])


def plain(text: str) -> str:
    return " ".join(text.split())


def run(line: str) -> str:
    words = shlex.split(line, comments=True)
    if words[0] == "cp":
        shutil.copy(*words[1:])
        return ""
    assert words[0] == "fallwise", f"{line}: mark the block <!-- not run: why -->"
    result = CliRunner().invoke(app, words[1:], catch_exceptions=False)
    assert result.exit_code == (1 if line.endswith("# ends with 1") else 0), result.output
    return plain(result.output)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_runs_and_its_numbers_are_so(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    # Pictures are looked at elsewhere, and take most of the time.
    monkeypatch.setattr("fallwise.report.figures", lambda *_: iter(()))
    for folder in ("docs", "scenarios"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for name in re.findall(
        r"^# (\S+\.yaml)$", (ROOT / "docs/what-to-do-tomorrow.md").read_text(), re.M
    ):
        (tmp_path / name).write_text(whole(ROOT / "docs/what-to-do-tomorrow.md", name))
    said = ""
    for block in blocks(page):
        if block.language == "yaml":
            YAML(typ="safe").load(block.text)
            if name := re.match(r"# (\S+\.yaml)\n", block.text):
                (tmp_path / name[1]).write_text(block.text, encoding="utf-8")
                read(Path(name[1]))
        elif block.language == "sh" and not block.before.startswith("not run: "):
            lines = [x for x in block.text.splitlines() if x and not x.startswith(ELSEWHERE)]
            said = " ".join(run(line) for line in lines)
        elif block.language == "text":
            for line in block.text.splitlines():
                assert plain(line) in said, f"{page.name}: {line!r} is not what was printed"


def whole(page: Path, name: str) -> str:
    return next(b.text for b in blocks(page) if b.text.startswith(f"# {name}\n"))


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", page.read_text()):
            assert not target or (page.parent / target).exists(), f"{page.name}: {target}"
