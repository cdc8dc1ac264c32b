"""What the guides say about adding a dataset or a source, done to a copy of the sources."""

from __future__ import annotations

import shutil
import sys

import pytest

from snippets import ROOT, Reader, blocks

pytestmark = pytest.mark.slow


@pytest.fixture
def sources(tmp_path):
    """A copy of the package."""
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(ROOT / "src" / "expmon", tmp_path / "copy" / "expmon", ignore=ignored)


@pytest.fixture
def reader(demo_made, sources, tmp_path):
    """Somebody who follows a page with the copy in place of expmon."""
    made, printed = demo_made
    shutil.copytree(made / "demo", tmp_path / "demo")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, arguments in {"python": "", "expmon": "-m expmon "}.items():
        script = (
            f'#!/bin/sh\nPYTHONPATH="{sources.parent}" exec "{sys.executable}" {arguments}"$@"\n'
        )
        (commands / name).write_text(script)
        (commands / name).chmod(0o755)
    found = Reader(tmp_path, commands, printed)
    found.settles()
    return found


def declarations(page):
    """What the page says to write into the catalogue, without the captions."""
    found = [block.text for block in blocks(page) if block.language == "{code-block} python"]
    return [text.partition("\n\n")[2] for text in found]


def replace(path, old, new):
    """Replace something that a file has once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_dataset_is_one_declaration(reader, sources):
    (declaration,) = declarations("add-a-dataset.md")
    end = ")\n\nOTHER_EVENTS = "
    replace(sources / "catalog" / "derived.py", end, declaration + end)
    assert reader.follows("add-a-dataset.md") > 0


def test_a_source_is_one_declaration(reader, sources):
    tables, event_source = declarations("add-a-source.md")
    path = sources / "catalog" / "sources.py"
    replace(path, "RELATIONS = (\n", f"{tables}\nRELATIONS = (\n")
    replace(
        path, "    EVENTS_LIVE,\n)", "    EVENTS_LIVE,\n    MY_APP_LIVE,\n    MY_APP_EVENTS,\n)"
    )
    path = sources / "catalog" / "enrollment.py"
    replace(
        path, "EVENTS_LIVE, MAIN_EVENTS\n", "EVENTS_LIVE, MAIN_EVENTS, MY_APP_EVENTS, MY_APP_LIVE\n"
    )
    end = "EVENT_SOURCES: tuple[EventSource, ...] = (LEGACY_TELEMETRY"
    replace(path, f"{end},)", f"{event_source}\n\n{end}, MY_APP)")
    assert reader.follows("add-a-source.md") > 0
