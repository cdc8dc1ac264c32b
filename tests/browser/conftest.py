from __future__ import annotations

import pytest
from playwright.sync_api import sync_playwright

import browsing
import reporting
from emulators import launch
from expmon import Monitor
from expmon.export.store import MemoryStore
from expmon.warehouse.fake import FakeWarehouse
from reporting import EMPTY, ENDED, HOSTILE, MANY, NOON, OLD, ROLLOUT, STALE, UNFINISHED, YOUNG

NOW = "2021-01-28T12:02:00Z"
"""The reader's clock: two minutes after the export."""


@pytest.fixture(scope="module")
def browser():
    """Chromium. Until the module ends, Playwright's event loop is the running one of the thread."""
    with sync_playwright() as playwright, launch.required(browsing.chromium(playwright)) as found:
        yield found


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A site of experiments of all kinds."""
    place = tmp_path_factory.mktemp("site")
    store = MemoryStore()
    reporting.write(
        store, YOUNG, MANY, ROLLOUT, EMPTY, STALE, OLD, ENDED, HOSTILE, UNFINISHED, as_of=NOON
    )
    for page in Monitor(FakeWarehouse(), store).report_all():
        (place / page.name).write_text(page.html, encoding="utf-8")
    return place


@pytest.fixture
def look(browser, folder):
    """Opens a page; in the end nothing may have gone wrong in it, or been asked of anybody."""
    contexts, complaints = [], []

    def open_page(name, *, width=1400, scheme="light", now=NOW, **options):
        viewport = {"width": width, "height": 900}
        context = browser.new_context(viewport=viewport, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: complaints.append(f"asked: {request.url}"))
        page.clock.set_fixed_time(now)
        address = (folder / f"{name}.html").as_uri()
        page.goto(address)
        complaints.remove(f"asked: {address}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
