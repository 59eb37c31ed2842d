"""The page in a real browser; skipped only where none is installed (./dev test installs it)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from report_pages import FITS, STUDIES, html, learns, studied

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const linear = (c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map((c) => linear(c / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const range = document.createRange();
    range.selectNodeContents(walk.currentNode);
    if (!walk.currentNode.data.trim() || !range.getClientRects().length) continue;
    const ink = rgb(getComputedStyle(element).color);
    const grounds = [];
    for (let at = element; at && !grounds.length; at = at.parentElement) {
      const [r, g, b, a = 1] = rgb(getComputedStyle(at).backgroundColor);
      if (a > 0) grounds.push([r, g, b]);
    }
    // In the flow, a tier's words stand on the columns of the requests that come to it.
    if (element.closest(".flow")) {
      grounds.push(rgb(getComputedStyle(document.querySelector(".fall i")).backgroundColor));
    }
    for (const ground of grounds) {
      found.push([contrast(light(ink), light(ground)), walk.currentNode.data.trim()]);
    }
  }
  return found;
}"""
SPILLED = """() => [...document.querySelectorAll("body *")].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map((e) => e.outerHTML.slice(0, 120))"""
# Of two texts beside an axis none may hide the other.
COVERED = """() => [...document.querySelectorAll(".plot")].flatMap((plot) =>
  [".x", ".y"].flatMap((side) => {
    const boxes = [...plot.querySelectorAll(side)].map((e) => e.getBoundingClientRect());
    return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) =>
      a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
    ).map((b) => `${plot.ariaLabel}: ${side} at ${a.left} and ${b.left}`));
  }))"""
PAGES = ("run", "learns", *STUDIES, *FITS)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install it")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


def written(name: str) -> str:
    if name == "run":
        return html(True)
    return learns()[1] if name == "learns" else studied(name)[1]


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("page")
    found = {}
    for name in PAGES:
        path = folder / f"{name}.html"
        path.write_text(written(name), encoding="utf-8")
        found[name] = path.as_uri()
    return found


@pytest.fixture
def opened(browser: Browser, addresses: dict[str, str]) -> Iterator[Any]:
    pages: list[Page] = []
    said: list[str] = []

    def opens(width: int = 1000, scheme: Any = "light", name: str = "run") -> Page:
        address = addresses[name]
        viewport: Any = {"width": width, "height": 800}
        page = browser.new_page(viewport=viewport, color_scheme=scheme)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request", lambda request: said.append(request.url) if request.url != address else None
        )
        page.goto(address)
        pages.append(page)
        return page

    yield opens
    for page in pages:
        page.close()
    assert [text for text in said if not text.startswith("data:")] == []


def shown(page: Page) -> dict[str, str]:
    names = ("verdict", "threshold", "cost_usd_mean", "quality", "escalation_rate", "pays_from")
    texts = {name: page.locator(f'[data-k="{name}"]').first.inner_text() for name in names}
    for name in ("flow", "latency"):
        texts[name] = page.locator(f"#{name}").inner_html()
    style = page.locator("#here").get_attribute("style") or ""
    texts["here"] = style.replace(" ", "").rstrip(";")
    texts["p95"] = page.locator('[data-k="sojourn_s_p95"]').inner_text()
    return texts


def test_the_slider_moves_every_figure_and_the_button_takes_it_back(opened: Any) -> None:
    page = opened()
    before = shown(page)
    slider = page.locator("#slider")
    slider.fill(slider.get_attribute("max"))
    after = shown(page)
    assert [name for name in before if before[name] == after[name]] == []
    assert after["threshold"] == "above every score"
    assert after["escalation_rate"] == "100.0\u00a0%"
    assert page.locator("#flow li").first.inner_text().count("ships 0.0") == 1
    page.locator("#back").click()
    assert shown(page) == before


def test_the_keyboard_is_enough(opened: Any) -> None:
    page = opened()
    before = shown(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "chooser"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "slider"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) != "none"
    page.keyboard.press("ArrowRight")
    once = shown(page)
    assert float(once["threshold"]) > float(before["threshold"])
    assert once["verdict"] in page.locator("#slider").get_attribute("aria-valuetext")
    page.keyboard.press("Home")
    assert shown(page)["escalation_rate"] == "0.0\u00a0%"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert shown(page) == before
    page.locator("#chooser").select_option("middle")
    assert page.locator("#who").inner_text() == "middle"
    assert shown(page)["threshold"] == "0.5"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(opened: Any, scheme: str, name: str) -> None:
    found = opened(scheme=scheme, name=name).evaluate(CONTRAST)
    assert len(found) > 80
    assert [pair for pair in found if pair[0] < 4.5] == []


@pytest.mark.parametrize("width", [360, 1000])
def test_nothing_is_wider_than_the_screen(opened: Any, width: int) -> None:
    page = opened(width)
    slider = page.locator("#slider")
    for position in ("0", slider.get_attribute("max")):
        slider.fill(position)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(SPILLED) == []


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [360, 700, 1000])
def test_no_page_is_wider_than_the_screen(opened: Any, width: int, name: str) -> None:
    page = opened(width, name=name)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SPILLED) == []
    assert page.evaluate(COVERED) == []


@pytest.mark.parametrize("name", PAGES)
def test_on_paper_there_is_no_slider_and_all_the_rest(
    opened: Any, tmp_path: Path, name: str
) -> None:
    page = opened(name=name)
    page.emulate_media(media="print")
    assert not page.locator("#slider").is_visible()
    assert page.locator("h1").is_visible()
    if name == "run":
        assert page.locator("#flow li").count() == 4
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").stat().st_size > 20_000
