"""The command that shows the configuration."""

from __future__ import annotations

import json
from typing import Any

import click

from expmon.cli.common import Options, print_table

_COLUMNS = ("setting", "value", "from")
_TABLE_COLUMNS = ("relation", "table", "behind it")


@click.command()
@click.option("--tables", is_flag=True, help="Also print where each table and view lies.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print it.",
)
@click.pass_obj
def config(options: Options, tables: bool, form: str) -> None:  # noqa: FBT001 - as click gives it
    """Print each setting and where it came from; nothing is connected to."""
    from expmon import api

    configured = api.configuration(
        options.warehouse, options.store, file=options.config, settings=options.settings
    )
    values = [(value.key, value.value, value.origin) for value in configured.values]
    places = [
        (name, str(place), None if behind == place else str(behind))
        for name, (place, behind) in (api.places(configured).items() if tables else ())
    ]
    if form == "json":
        printed = {"settings": _records(_COLUMNS, values)}
        if tables:
            printed["tables"] = _records(_TABLE_COLUMNS, places)
        click.echo(json.dumps(printed, indent=2, ensure_ascii=False))
        return
    print_table(_COLUMNS, [(key, _shown(value), origin) for key, value, origin in values])
    if tables:
        print_table(_TABLE_COLUMNS, places)


def _records(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _shown(value: object) -> str | None:
    if isinstance(value, tuple):
        return ", ".join(value)
    return None if value is None else str(value)


COMMANDS = (config,)
