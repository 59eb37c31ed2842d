"""Every figure of a page stands beside it too, as PNG and as SVG."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fallwise.report import figures
from fallwise.report.words import share
from report_pages import ARGS, FITS, checked, folder, learns, made


def headings(html: str) -> dict[str, list[str]]:
    """Return the headings of a page below which there are figures, and the files that they name."""
    found = {}
    for part in html.partition("<body>")[2].split("<h2")[1:]:
        attributes, _, rest = part.partition(">")
        named = re.search(r'data-figure="([^"]+)"', attributes)
        if "<figure" in rest or named:
            found[rest.partition("<")[0]] = named[1].split() if named else []
    return found


def beside(html: str, names: set[str]) -> None:
    """Hold that each heading with figures names a file, and that just these files are there."""
    found = headings(html)
    assert found
    assert [title for title, files in found.items() if not files] == []
    missing = {title: files for title, files in found.items() if not set(files) <= names}
    assert missing == {}


@pytest.mark.parametrize("command", ["run", "tune", *ARGS, *FITS])
def test_every_figure_of_a_page_is_in_its_folder_as_png_and_svg(command: str) -> None:
    _, html, files = folder(command)
    names = {Path(name).stem for name in files}
    assert files == sorted(f"{name}.{end}" for name in names for end in ("png", "svg"))
    beside(html, names)


def test_what_a_run_assumed_and_how_its_cache_learns_are_drawn_too() -> None:
    titles = headings(folder("run")[1])
    assert {"Quality against cost", "Where requests end", "What moves it"} <= set(titles)
    summary, html = learns()
    assert "How the cache learns" in headings(html)
    names = {name for name, _ in figures(summary, None)}
    assert set(headings(html)["How the cache learns"]) <= names


def test_a_check_has_two_figures() -> None:
    names = {"Times, laid over each other": ["check"], "Over time": ["check-over-time"]}
    assert headings(checked()[1]) == names


def test_figures_of_the_flow_have_the_numbers_of_the_page() -> None:
    _, prediction, summary = made()
    ax = dict(figures(summary, prediction))["flow"].axes[0]
    # What ends has a border, what goes on has none.
    ends = [float(bar.get_width()) for bar in ax.patches if bar.get_edgecolor()[3] == 1]
    assert sum(ends) == pytest.approx(100, abs=0.2)
    said = [text.get_text() for text in ax.texts]
    for tier, words in zip(summary["tiers"], said, strict=True):
        asked, ships = (share(tier[name]["value"]) for name in ("visit_share", "hit_share"))
        assert words.startswith(f"{tier['name']} gets {asked} and ships {ships}")
