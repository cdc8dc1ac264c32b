"""The command ``expmon``: the library's functions at the shell."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import click

from expmon import __version__
from expmon.cli import (
    alerts,
    calibrate,
    data,
    demo,
    doctor,
    drift,
    health,
    plot,
    replay,
    report,
    runs,
    statements,
)
from expmon.cli import config as configuration
from expmon.cli.common import Group, Options, in_one_line

__all__ = ["main"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="expmon")
@click.option(
    "--warehouse",
    metavar="URL",
    help="Where the tables are: duckdb://monitoring.duckdb or bigquery://project, for instance.",
)
@click.option(
    "--store", metavar="DIR", help="Where exported files go: a directory or gs://bucket/prefix."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A configuration file instead of ./expmon.toml.",
)
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting by its key in the file, like bigquery.location=US; may be given several times.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log every step.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to log, to stderr: lines for people, or a JSON object a line.",
)
@click.pass_context
def main(
    context: click.Context,
    warehouse: str | None,
    store: str | None,
    config: Path | None,
    pairs: tuple[str, ...],
    verbose: bool,  # noqa: FBT001 - click gives a flag by its name
    log_format: str,
) -> None:
    """Watch browser experiments while they run.

    The warehouse, the store and all other settings come from the options, else from the
    environment, like EXPMON_WAREHOUSE and EXPMON_STORE, else from expmon.toml: `expmon config`
    shows them. Start with: expmon demo
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that it can't encode ends no command
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(log_format))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("expmon").setLevel(logging.INFO if verbose else logging.WARNING)
    context.obj = Options(warehouse, store, config, _settings(pairs))


def _formatter(log_format: str) -> logging.Formatter:
    if log_format == "text":
        return _OneLine("%(asctime)s %(levelname)s %(message)s")
    from pythonjsonlogger.json import JsonFormatter

    renamed = {"levelname": "level", "name": "logger"}
    fields = "%(levelname)s %(name)s %(message)s"
    return JsonFormatter(fields, rename_fields=renamed, timestamp="time")


class _OneLine(logging.Formatter):
    """Log lines that no text in them can end, so that none is forged."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as it is called
        return in_one_line(super().formatMessage(record))


def _settings(pairs: tuple[str, ...]) -> dict[str, object]:
    settings: dict[str, object] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--set")
        settings[key.strip()] = value
    return settings


_MODULES = (
    *(demo, data, plot, report, runs, health, alerts, replay, calibrate, drift),
    *(statements, configuration, doctor),
)
for module in _MODULES:
    for command in module.COMMANDS:
        main.add_command(command)
