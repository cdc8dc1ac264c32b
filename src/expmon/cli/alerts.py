"""The command that tells whom it concerns."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from expmon.cli.common import FAILED, Options, as_of, counted, in_one_line, wait

if TYPE_CHECKING:
    from expmon.health.alerts import Message

_STDOUT = "stdout"


@click.command()
@as_of
@click.option(
    "--to",
    metavar="PLACE",
    help="stdout, a file, or the address of a webhook; alerts.to of the configuration if left out.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be delivered, and change nothing.")
@wait
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print to stdout; files and webhooks get JSON.",
)
@click.pass_obj
@click.pass_context
def alerts(
    context: click.Context,
    options: Options,
    as_of: datetime | None,
    to: str | None,
    dry_run: bool,  # noqa: FBT001 - click gives it by its name
    wait: float,
    form: str,
) -> None:
    """Tell which alarms have started, and which are over, each once.

    To be called after each live run: what can't be delivered is kept for the next time. The exit
    status is 1 if something waits.
    """

    def printed(message: Message) -> None:
        click.echo(json.dumps(message.to_dict()) if form == "json" else in_one_line(message.text))

    if to is not None:
        options = replace(options, settings={**options.settings, "alerts.to": to})
    with options.monitor() as monitor:
        place = monitor.settings.alerts_to
        done = monitor.alerts(
            as_of,
            deliver=printed if place == _STDOUT else None,
            dry_run=dry_run,
            wait=timedelta(seconds=wait),
        )
    if dry_run:
        for message in done.waiting:
            printed(message)
        return
    if place != _STDOUT:
        click.echo(f"{counted(len(done.delivered), 'alert')} delivered")
    if done.waiting:
        click.echo(f"Note: {counted(len(done.waiting), 'alert')} left for the next time", err=True)
        context.exit(FAILED)


COMMANDS = (alerts,)
