"""The command that says what is missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from expmon.cli.common import FAILED, Options, console, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expmon.findings import Finding


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print it.",
)
@click.pass_obj
@click.pass_context
def doctor(context: click.Context, options: Options, form: str) -> None:
    """Check that all that is needed is there and may be used, and say what to do where it isn't.

    Nothing is changed. The exit status is 1 if something is missing.
    """
    with options.monitor() as monitor, console(error=True).status("looking at everything"):
        found = monitor.examine()
    if form == "json":
        click.echo(json.dumps({"findings": [_record(one) for one in found]}, indent=2))
    else:
        _print(found)
    if any(one.verdict == "missing" for one in found):
        context.exit(FAILED)


def _record(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.subject,
        "verdict": finding.verdict,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }


def _print(found: Sequence[Finding]) -> None:
    """A table, and then what to do, each thing once."""
    rows = [(one.subject, one.verdict, one.detail) for one in found]
    print_table(("check", "verdict", "detail"), rows)
    remedies = dict.fromkeys(one.remedy for one in found if one.remedy)
    if remedies:
        click.echo("What to do, and then look again:")
    for number, remedy in enumerate(remedies, start=1):
        click.echo(f"{number:>2}. {remedy}")
    if remedies:
        click.echo()
    counts = [
        f"{number} {verdict}"
        for verdict in ("missing", "warning", "unknown")
        if (number := sum(one.verdict == verdict for one in found))
    ]
    click.echo(", ".join(counts) or "nothing is missing")


COMMANDS = (doctor,)
