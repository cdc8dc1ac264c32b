#!/usr/bin/env python3
"""Take docs/report.png anew: the page of one of the demo's experiments, as Chromium shows it.

`make picture` runs the demo and then this. The reader's clock stands two minutes after the export,
so that the picture is of a page that is looked at in time.
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import expmon

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import browsing  # noqa: E402 - the tests say how a browser is found

SLUG = "new-onboarding-experience-experiment-phase-3-ios"
PICTURE = ROOT / "docs" / "report.png"
NOW = "2025-03-26T00:02:00Z"
WIDTH, HEIGHT = 1400, 1420
COLOURS = 96


def main() -> None:
    """Make the page, look at it, and keep the picture."""
    with expmon.connect(store=ROOT / "demo" / "exports") as monitor:
        html = monitor.report(SLUG)
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        page_file = Path(directory) / "page.html"
        page_file.write_text(html, encoding="utf-8")
        with browsing.chromium(playwright) as browser:
            page = browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light"
            )
            page.clock.set_fixed_time(NOW)
            page.goto(page_file.as_uri())
            taken = page.screenshot()
    with Image.open(BytesIO(taken)) as picture:
        picture.convert("RGB").quantize(COLOURS).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
