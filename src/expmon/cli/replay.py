"""The health checks over history."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import click

from expmon.cli.common import Moment, Options, counted, in_one_line


@click.command()
@click.option(
    "--from",
    "start",
    type=Moment(),
    required=True,
    help="The first moment to look from, like 2021-01-26T00:05Z.",
)
@click.option("--to", "end", type=Moment(), required=True, help="The last one.")
@click.option(
    "--experiment",
    "slugs",
    metavar="SLUG",
    multiple=True,
    help="Only this experiment; may be given several times. All that were active if left out.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    default=5,
    show_default=True,
    metavar="MINUTES",
    help="How long from one moment to the next.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print it.",
)
@click.pass_obj
def replay(
    options: Options,
    start: datetime,
    end: datetime,
    slugs: tuple[str, ...],
    every: float,
    form: str,
) -> None:
    """List what the health checks would have raised, and when.

    They look at history as it is today: nothing is late, and final days are mended. What was really
    raised at the time is in experiment_health_v1.
    """
    with options.monitor() as monitor:
        found = monitor.replay(
            start, end, slugs=slugs or None, every=timedelta(minutes=every), progress=None
        )
    for message in found:
        if form == "json":
            click.echo(json.dumps(message.to_dict()))
        else:
            click.echo(f"{message.time:%Y-%m-%d %H:%M} UTC  {in_one_line(message.text)}")
    if form == "text":
        alarms = sum(message.kind == "started" for message in found)
        click.echo(f"{counted(alarms, 'alarm')} from {start.isoformat()} to {end.isoformat()}")


COMMANDS = (replay,)
