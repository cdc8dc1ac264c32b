"""What the commands share: their options, times, tables and errors."""

from __future__ import annotations

import contextlib
import csv
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from expmon.errors import ConfigError, ExpmonError, InvalidInput, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from rich.console import Console

    from expmon.monitor import Monitor

_WIDE = 100_000
"""Where no terminal says otherwise, tables are as wide as they need to be."""
FAILED = 1
REFUSED = 2


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command itself."""

    warehouse: str | None
    store: str | None
    config: Path | None
    settings: Mapping[str, object]

    @contextlib.contextmanager
    def monitor(self) -> Iterator[Monitor]:
        """The monitor that they describe, closed at the end."""
        from expmon.connection import connect

        connected = connect(self.warehouse, self.store, file=self.config, settings=self.settings)
        with connected as monitor:
            yield monitor


class Group(click.Group):
    """Commands in the order of their use, and expmon's errors as a line for people."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """As they were added."""
        del ctx
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with its first sentence, whole."""
        del ctx
        rows = [
            (name, found.get_short_help_str(limit=200)) for name, found in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of expmon's ends it with its message and a status."""
        try:
            return super().invoke(ctx)
        except ExpmonError as error:
            refused = isinstance(error, (InvalidInput, ConfigError))
            click.echo(f"Error: {printable(str(error))}", err=True)
            ctx.exit(REFUSED if refused else FAILED)


class Moment(click.ParamType[datetime | date]):
    """A time with its zone, as ISO 8601; where it says so, also a day, for its 00:00 UTC."""

    def __init__(self, *, day: bool = False) -> None:
        self.name = "TIME|DATE" if day else "TIME"
        self._day = day

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | date:
        """The text as a time."""
        if isinstance(value, date):
            return value
        with contextlib.suppress(ValueError):
            if self._day and len(value) == len("2021-01-26"):
                return date.fromisoformat(value)
        likes = "2021-01-26T00:05Z" + (" or 2021-01-26" if self._day else "")
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time like {likes}", param, ctx)
        if moment.tzinfo is None:
            meant = moment.isoformat() + "Z"
            self.fail(f"{value!r} has no time zone: write {meant} for UTC", param, ctx)
        return moment.astimezone(UTC)


class Day(click.ParamType[date]):
    """A date."""

    name = "DATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The text as a date."""
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date like 2021-01-26", param, ctx)


as_of = click.option(
    "--as-of",
    type=Moment(),
    help="The moment to look from, like 2021-01-26T00:05Z; now if left out.",
)
wait = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0,
    metavar="SECONDS",
    help="How long to wait for another run or process to end.",
)
frame_format = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to print it.",
)


def console(*, error: bool = False) -> Console:
    """Where to print: as wide as the terminal, or as needed."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(stderr=error, width=width, highlight=False, soft_wrap=False)


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None
) -> None:
    """Rows under their columns; numbers to the right."""
    click.echo(table_text(columns, rows, title=title), nl=False)


def table_text(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None
) -> str:
    """The lines that `print_table` prints."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for place, column in enumerate(columns):
        is_number = bool(rows) and all(isinstance(row[place], int) for row in rows)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else _shown(cell)) for cell in row))
    printer = console()
    with printer.capture() as captured:
        printer.print(table)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def replace_file(file: Path, data: bytes) -> None:
    """Write the file whole or not at all."""
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(file)
    except OSError as error:
        raise StoreError(f"{file} can't be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def print_frame(frame: pd.DataFrame, form: str) -> None:
    """A DataFrame as a table, CSV or JSON lines; times in ISO 8601, UTC.

    Texts are as they are in CSV and JSON, in UTF-8 whatever the encoding is, but on a terminal.
    """
    days = frame.select_dtypes("datetime").columns
    frame = frame.assign(**{name: frame[name].dt.strftime("%Y-%m-%d") for name in days})
    if form == "table":
        rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
        print_table(list(frame.columns), rows)
        return
    if form == "csv":
        text = frame.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ", quoting=_quoting(frame))
    elif len(frame):
        text = frame.to_json(orient="records", lines=True, date_format="iso", date_unit="s")
    else:
        text = ""
    click.echo(printable(text) if sys.stdout.isatty() else text.encode(), nl=False)


def _quoting(frame: pd.DataFrame) -> Literal[0, 2]:
    """Those cells that must be quoted, or all texts: some Pythons forget carriage returns."""
    texts = [column for _, column in frame.items() if column.dtype == "str"]
    has_returns = any(column.str.contains("\r", regex=False).any() for column in texts)
    return csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL


def printable(text: str) -> str:
    """The text with everything that a terminal obeys or doesn't show escaped; its lines stay."""
    return "\n".join(map(in_one_line, text.split("\n")))


def in_one_line(text: str) -> str:
    """The text with everything that a terminal obeys or doesn't show escaped, line feeds too."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(number: int, thing: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _shown(cell: object) -> str:
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M}"
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    return in_one_line(str(cell))
