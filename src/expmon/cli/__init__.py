"""The command ``expmon``: the library's functions at the shell."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from expmon import __version__
from expmon.cli import data, demo, runs, statements
from expmon.cli.common import Group, Options

__all__ = ["main"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="expmon")
@click.option(
    "--warehouse",
    metavar="URL",
    help="Where the tables are, for instance duckdb://monitoring.duckdb.",
)
@click.option("--store", metavar="DIR", help="Where exported files go.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A configuration file instead of ./expmon.toml.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log every step.")
@click.pass_context
def main(
    context: click.Context,
    warehouse: str | None,
    store: str | None,
    config: Path | None,
    verbose: bool,  # noqa: FBT001 - click gives a flag by its name
) -> None:
    """Watch browser experiments while they run.

    The warehouse and the store come from the options, else from EXPMON_WAREHOUSE and EXPMON_STORE,
    else from expmon.toml. Start with: expmon demo
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("expmon").setLevel(logging.INFO if verbose else logging.WARNING)
    context.obj = Options(warehouse, store, config)


for module in (demo, data, runs, statements):
    for command in module.COMMANDS:
        main.add_command(command)
