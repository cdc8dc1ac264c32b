"""Commands that write tables, or say what is to be written."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import click

from expmon.cli.common import FAILED, Day, Options, as_of, counted, print_table, wait
from expmon.cli.freshness import FORMS

if TYPE_CHECKING:
    from expmon.materialize.run import Run
    from expmon.materialize.step import Plan

_SHOWN = 60
"""Of more steps than these only the sums are printed."""

_cadence = click.argument("cadence", type=click.Choice(["live", "hourly", "daily"]))


@click.command()
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@click.pass_obj
def deploy(options: Options, dry_run: bool) -> None:  # noqa: FBT001 - click gives it by its name
    """Create the tables and views that are missing, and bring up to date what differs."""
    with options.monitor() as monitor:
        changes = monitor.deploy(dry_run=dry_run)
    for change in changes:
        click.echo(change)
    if not changes:
        click.echo("nothing to do: everything is there")
    else:
        click.echo(counted(len(changes), "change") + (", not made" if dry_run else ""))


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
@click.option("--cost", is_flag=True, help="How many bytes each step would read at most.")
@click.pass_obj
def plan(
    options: Options,
    cadence: str,
    as_of: datetime | None,
    cost: bool,  # noqa: FBT001 - click gives it by its name
) -> None:
    """Print what a run would write and why, without running it."""
    with options.monitor() as monitor:
        planned = monitor.plan(cadence, as_of)
        costs = monitor.costs(planned) if cost else ()
    columns = ["destination", "disposition", "because"]
    rows = [(s.destination, s.write_disposition, s.reason) for s in planned.steps]
    if rows and cost:
        print_table(
            (*columns[:2], "bytes at most", "because"),
            [(*r[:2], c, r[2]) for r, c in zip(rows, costs, strict=True)],
        )
    elif rows:
        print_table(columns, rows)
    _notes(planned)
    if None in costs:
        click.echo("an embedded warehouse can't tell what a step will read")
    elif cost:
        click.echo(
            f"{sum(c or 0 for c in costs):,} bytes at most; clustering and caches may spare some"
        )
    moment = planned.as_of.isoformat(timespec="seconds")
    click.echo(f"{counted(len(rows), 'step')} as of {moment}")


@click.command()
@as_of
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "prometheus"]),
    default="table",
    show_default=True,
    help="How to print it; prometheus is for a node exporter's text collector.",
)
@click.pass_obj
@click.pass_context
def status(context: click.Context, options: Options, as_of: datetime | None, form: str) -> None:
    """Print how fresh each table is; the exit status is 1 if one is late or broken.

    What is stale the next run writes anew.
    """
    with options.monitor() as monitor:
        lines = monitor.status(as_of)
    click.echo(FORMS[form](lines), nl=False)
    if any(line.verdict in {"late", "broken"} for line in lines):
        context.exit(FAILED)


def _report(done: Run) -> None:
    steps = list(zip(done.plan.steps, done.written, strict=True))
    if len(steps) > _SHOWN:
        rows: dict[str, tuple[int, int]] = {}
        for step, written in steps:
            count, total = rows.get(step.relation.name, (0, 0))
            rows[step.relation.name] = (count + 1, total + written.rows)
        print_table(("written", "partitions", "rows"), [(name, *n) for name, n in rows.items()])
    elif any(written.bytes_read is not None for _, written in steps):
        print_table(
            ("written", "rows", "bytes read", "slot time", "because"),
            [
                (step.destination, w.rows, w.bytes_read, _seconds(w.slot_time), step.reason)
                for step, w in steps
            ],
        )
    elif steps:
        print_table(
            ("written", "rows", "because"),
            [(step.destination, written.rows, step.reason) for step, written in steps],
        )
    _notes(done.plan)
    click.echo(f"{counted(len(steps), 'partition')} or tables written")


def _seconds(length: timedelta | None) -> str:
    return "" if length is None else f"{length.total_seconds():.1f} s"


def _notes(planned: Plan) -> None:
    for note in planned.notes:
        click.echo(f"Note: {note}", err=True)


COMMANDS = (deploy, run, backfill, plan, status)
