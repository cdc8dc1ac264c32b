"""Every code block of the README and the documentation is tried, in one way or another."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image, ImageChops

from expmon import config
from expmon.cli import main
from expmon.settings_table import MAPS, SETTINGS
from snippets import DOCS, PAGES, ROOT, Block, Reader, blocks, words

DIRECTIVES = {"catalogue", "eval-rst", "raw", "toctree"}
"""They show no code, but for what is made from ours."""
EXTENDING = "documentation/test_extending.py"
BY_OTHERS = {
    ("airflow.md", "python"): "airflow/test_parsing.py",
    ("alerts.md", "json"): "cli/test_alerts.py",
    ("reference/errors.md", "text"): "documentation/test_error_messages.py",
    **{
        (page, language): EXTENDING
        for page in ("add-a-dataset.md", "add-a-source.md")
        for language in ("console", "python", "{code-block} python")
    },
}
"""Blocks that a test of their own tries."""
VARIABLES = {setting.variable for setting in (*SETTINGS.values(), *MAPS.values())}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
TESTS, EXAMPLES = ROOT / "tests", ROOT / "examples"


@pytest.fixture
def parses(monkeypatch):
    """Whether click takes the words of a command; nothing is run."""
    for command in (main, *main.commands.values()):
        monkeypatch.setattr(command, "callback", lambda **_: None)

    def check(arguments):
        result = CliRunner().invoke(main, arguments)
        return result.exit_code == 0

    return check


def is_known(command, parses):
    """Whether a line of a shell is a command that there is, with the options that it has."""
    match words(command):
        case ["expmon", *arguments]:
            return parses(arguments)
        case ["export", *settings]:
            return {setting.partition("=")[0] for setting in settings} <= VARIABLES
        case ["make", target]:
            return target in TARGETS
        case ["gcloud", *_] | ["pip", "install", "--upgrade", "expmon"]:
            return True
        case ["pip", "install", what]:
            extra = re.fullmatch(r"(?:expmon|\.)(?:\[(\w+)\])?", what)
            return extra is not None and (extra[1] is None or extra[1] in EXTRAS)
    return False


def assert_tried(block, parses, tmp_path):
    """The block is of a kind that something tries, and what can be tried here is right."""
    where = f"{block.page}:{block.line}"
    directive = re.match(r"\{([\w-]+)\} *(.*)", block.language)
    if by := BY_OTHERS.get((block.page, block.language)):
        assert Path(block.page).name in (TESTS / by).read_text(), where
        assert block.language != "console" or block.shows_output, where
    elif directive and directive[1] == "literalinclude":
        file = (PAGES[block.page].parent / directive[2]).resolve()
        assert file.is_file(), where
        assert file.is_relative_to(EXAMPLES), where
        named = f'"{file.relative_to(EXAMPLES).parts[0]}"'
        tests = (path.read_text() for path in TESTS.rglob("*.py") if path != Path(__file__))
        assert any(named in text for text in tests), f"{where}: no test names {named}"
    elif directive:
        assert directive[1] in DIRECTIVES, where
        assert "code-block::" not in block.text, where
    elif block.language == "console":
        commands = [c for line, _ in block.steps for c in re.split(r" && | \| ", line)]
        unknown = [command for command in commands if not is_known(command, parses)]
        assert block.shows_output or (commands and not unknown), f"{where}: {unknown}"
    elif block.language in {"sh", "ini"}:  # lines of a scheduler's, or with other programs
        commands = re.findall(r"\bexpmon [a-z][^'\n;&|]*", block.text)
        assert commands, where
        assert [c for c in commands if not is_known(c, parses)] == [], where
    elif block.language == "toml":
        (tmp_path / "some.toml").write_text(block.text, encoding="utf-8")
        config.load(file=tmp_path / "some.toml")
    else:
        assert block.language == "python" or block.is_output, f"{where}: {block.language!r}"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_is_run_or_checked(page, parses, tmp_path):
    for block in blocks(page):
        assert_tried(block, parses, tmp_path)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("", "expmon run live"),
        ("sh", "*/5 * * * * sh -c 'expmon run lively'"),
        ("ini", "ExecStart=/opt/expmon/bin/run live"),
        ("sql", "SELECT 1"),
        ("text", "some output of nothing"),
        ("{code-block} python", "import expmon"),
        ("{literalinclude} ../examples/quickstart.p", ""),
        ("{literalinclude} ../pyproject.toml", ""),
        ("{eval-rst}", ".. code-block:: python\n\n   import expmon"),
        ("console", "expmon run live\n"),
        ("console", "$ expmon run lively\n"),
        ("console", "$ expmon run live --as-off 2021-01-26\n"),
        ("console", "$ expmon fetch experiment_enrollment_overall\n"),
        ("console", "$ export EXPMON_WAREHOSE=duckdb://monitoring.duckdb\n"),
        ("console", "$ pip install 'expmon[plots]'\n"),
        ("console", "$ make demos\n"),
        ("console", "$ expmon run live && expmon exports\n"),
        ("console", "$ rm -rf demo\n"),
        ("toml", 'warehose = "duckdb://monitoring.duckdb"\n'),
    ],
)
def test_a_block_that_nothing_tries_or_that_is_wrong_is_found(language, text, parses, tmp_path):
    with pytest.raises((AssertionError, config.ConfigError)):
        assert_tried(Block("index.md", 1, language, text), parses, tmp_path)


def commands_in(text):
    """The commands that stand between single backticks."""
    return re.findall(r"(?<!`)`expmon ([a-z][^`]*)`", text.replace("\n", " "))


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_have_the_options_that_it_names(page):
    for command in commands_in(PAGES[page].read_text(encoding="utf-8")):
        name, *rest = command.split()
        assert name in main.commands, command
        known = [o for p in main.commands[name].params for o in p.opts]
        named = [word.partition("=")[0] for word in rest if word.startswith("-")]
        assert set(named) <= set(known), command


@pytest.fixture
def reader(demo_made, tmp_path):
    """Somebody who has made the demo, and reads on."""
    place, printed = demo_made
    shutil.copytree(place / "demo", tmp_path / "demo")
    found = Reader(tmp_path, Path(sys.executable).parent, printed)
    found.settles()
    return found


def is_run(page):
    """Whether something of the page is run, and not only checked."""
    return any(
        (block.language == "python" or (block.language == "console" and block.shows_output))
        and (page, block.language) not in BY_OTHERS
        for block in blocks(page)
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if is_run(page)])
def test_what_a_page_shows_is_what_happens(page, reader):
    assert reader.follows(page) > 0


@pytest.mark.slow
def test_the_picture_of_the_documentation_is_the_one_that_its_command_draws(reader):
    reader.follows("plots.md")
    with Image.open(reader.place / "plots.png") as drawn, Image.open(DOCS / "plots.png") as shown:
        assert drawn.size == shown.size
        # But for what fonts make of the letters.
        differing = ImageChops.difference(drawn.convert("L"), shown.convert("L")).histogram()[64:]
        assert sum(differing) < 0.02 * drawn.width * drawn.height
