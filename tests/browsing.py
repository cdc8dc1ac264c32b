"""The Chromium of this machine, for the tests that look at pages as people do."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from emulators.launch import Missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """Run it, headless.

    Raises:
        Missing: where it is not installed.
    """
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        raise Missing("No Chromium is installed: `make browser` does it, or says what to do.")
    # What root runs in a container has no sandbox of its own; it opens no page but ours.
    browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
    try:
        yield browser
    finally:
        browser.close()
