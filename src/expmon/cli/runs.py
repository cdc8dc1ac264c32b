"""Commands that write tables, or say what is to be written."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import click

from expmon.cli.common import FAILED, Day, Options, as_of, counted, print_table, wait

if TYPE_CHECKING:
    from expmon.materialize.run import Run
    from expmon.materialize.step import Plan

_SHOWN = 60
"""Of more steps than these only the sums are printed."""

_cadence = click.argument("cadence", type=click.Choice(["live", "hourly", "daily"]))


@click.command()
@click.pass_obj
def deploy(options: Options) -> None:
    """Create the tables and views that are missing, and replace views that differ."""
    with options.monitor() as monitor:
        done = monitor.deploy()
    for sentence in done:
        click.echo(sentence)
    click.echo(counted(len(done), "change") if done else "nothing to do: everything is there")


@click.command()
@_cadence
@as_of
@wait
@click.pass_obj
def run(options: Options, cadence: str, as_of: datetime | None, wait: float) -> None:
    """Write what is missing or stale; running it again changes nothing."""
    with options.monitor() as monitor:
        _report(monitor.run(cadence, as_of, wait=timedelta(seconds=wait)))


@click.command()
@click.argument("start", type=Day())
@click.argument("end", type=Day())
@as_of
@wait
@click.pass_obj
def backfill(options: Options, start: date, end: date, as_of: datetime | None, wait: float) -> None:
    """Write the final days from START up to, but without, END anew.

    The next live run brings up to date what builds on them.
    """
    with options.monitor() as monitor:
        _report(monitor.backfill(start, end, as_of=as_of, wait=timedelta(seconds=wait)))


@click.command()
@_cadence
@as_of
@click.pass_obj
def plan(options: Options, cadence: str, as_of: datetime | None) -> None:
    """Print what a run would write and why, without running it."""
    with options.monitor() as monitor:
        planned = monitor.plan(cadence, as_of)
    rows = [(s.destination, s.write_disposition, s.reason) for s in planned.steps]
    if rows:
        print_table(("destination", "disposition", "because"), rows)
    _notes(planned)
    moment = planned.as_of.isoformat(timespec="seconds")
    click.echo(f"{counted(len(rows), 'step')} as of {moment}")


@click.command()
@as_of
@click.pass_obj
@click.pass_context
def status(context: click.Context, options: Options, as_of: datetime | None) -> None:
    """Print how fresh each table is; the exit status is 1 if one is late or empty."""
    with options.monitor() as monitor:
        lines = monitor.status(as_of)
    rows = [
        (
            line.relation.partition(".")[2],
            line.cadence,
            None if line.latest is None else str(line.latest),
            line.age_text,
            line.rows,
            line.verdict,
            line.reason,
        )
        for line in lines
    ]
    print_table(("table", "written", "latest", "age", "rows", "verdict", "why"), rows)
    if any(line.verdict != "fresh" for line in lines):
        context.exit(FAILED)


def _report(done: Run) -> None:
    steps = list(zip(done.plan.steps, done.written, strict=True))
    if len(steps) > _SHOWN:
        rows: dict[str, tuple[int, int]] = {}
        for step, written in steps:
            count, total = rows.get(step.relation.name, (0, 0))
            rows[step.relation.name] = (count + 1, total + written.rows)
        print_table(("written", "partitions", "rows"), [(name, *n) for name, n in rows.items()])
    elif steps:
        print_table(
            ("written", "rows", "because"),
            [(step.destination, written.rows, step.reason) for step, written in steps],
        )
    _notes(done.plan)
    click.echo(f"{counted(len(steps), 'partition')} or tables written")


def _notes(planned: Plan) -> None:
    for note in planned.notes:
        click.echo(f"Note: {note}", err=True)


COMMANDS = (deploy, run, backfill, plan, status)
