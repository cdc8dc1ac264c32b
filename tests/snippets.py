"""The code blocks of the README and the documentation: what they are, and trying them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from doctest import ELLIPSIS, OutputChecker
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    "README.md": ROOT / "README.md",
    **{
        path.relative_to(DOCS).as_posix(): path
        for path in sorted(DOCS.rglob("*.md"))
        if "_build" not in path.parts
    },
}
"""All pages, by their place below ``docs``."""

_DEMOS = {"make demo", "expmon demo"}


@dataclass(frozen=True, slots=True)
class Block:
    """A code block, or a directive.

    Attributes:
        page: as in `PAGES`.
        line: where it begins.
        language: as it says; empty if it doesn't.
        text: its lines.
        output: the ``text`` block right after it, if there is one.
        is_output: whether it is one.
    """

    page: str
    line: int
    language: str
    text: str
    output: str | None = None
    is_output: bool = False

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Of a console: each command with what it prints."""
        return re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n?)*)", self.text, re.MULTILINE)

    @property
    def shows_output(self) -> bool:
        """Of a console: whether it says what a command prints."""
        return any(told.strip() for _, told in self.steps)


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page, indented ones too."""
    tokens = MarkdownIt().parse(PAGES[page].read_text(encoding="utf-8"))
    before = False
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type in {"fence", "code_block"}:
            language = token.info.strip()
            is_followed = language == "python" and after is not None and after.info == "text"
            yield Block(
                page,
                token.map[0] + 1 if token.map else 0,
                language,
                token.content,
                output=after.content if is_followed and after is not None else None,
                is_output=before,
            )
            before = is_followed
        else:
            before = False


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who does what a page says, in a directory with a demo.

    Attributes:
        place: the directory.
        commands: where ``expmon`` and ``python`` are installed.
        demo_printed: what the command of the demo printed.
    """

    place: Path
    commands: Path
    demo_printed: str

    def settles(self) -> None:
        """Write the ``expmon.toml`` of the tutorial."""
        (settings,) = (block for block in blocks("tutorial.md") if block.language == "toml")
        (self.place / "expmon.toml").write_text(settings.text, encoding="utf-8")

    def follows(self, page: str) -> int:
        """Run what shows its output, and Python; how many blocks that were."""
        tried = 0
        for block in blocks(page):
            if block.language == "console" and block.shows_output:
                for command, told in block.steps:
                    wanted = told.strip("\n") + "\n" if told.strip() else ""
                    is_demo = command in _DEMOS
                    got = self.demo_printed if is_demo else self._printed("sh", "-c", command)
                    assert OutputChecker().check_output(wanted, got, ELLIPSIS), (
                        f"{page}:{block.line}: $ {command}\n{got}"
                    )
            elif block.language == "python":
                got = self._printed(self.commands / "python", "-c", block.text)
                assert got == (block.output or ""), f"{page}:{block.line}: {got}"
            else:
                continue
            tried += 1
        return tried

    def _printed(self, *command: str | Path) -> str:
        ours = ("EXPMON_", "PYTHON", "COV")
        surroundings = {name: v for name, v in os.environ.items() if not name.startswith(ours)}
        surroundings["PATH"] = f"{self.commands}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.place,
            env=surroundings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        return "".join(line.rstrip() + "\n" for line in done.stdout.strip("\n").splitlines())


def words(command: str) -> list[str]:
    """The words of a shell's line, without its comment."""
    return shlex.split(command, comments=True)
