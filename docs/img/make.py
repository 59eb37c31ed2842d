"""Make the README's picture: the head of a report page, as a browser shows it.

fallwise run scenarios/mmlu-4o-mini.yaml --out /tmp/mmlu && python docs/img/make.py /tmp/mmlu
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SIZE = {"width": 800, "height": 960}


def main(folder: Path) -> None:
    """Write report.png, of folder/report.html."""
    with sync_playwright() as playwright:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport=SIZE)
        page.goto((folder / "report.html").resolve().as_uri())
        page.screenshot(path=HERE / "report.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
