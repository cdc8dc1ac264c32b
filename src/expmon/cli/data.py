"""Commands that load data, and give it out."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from expmon.cli.common import (
    FAILED,
    Moment,
    Options,
    as_of,
    counted,
    frame_format,
    in_one_line,
    print_frame,
)
from expmon.errors import ExportSuperseded

if TYPE_CHECKING:
    from expmon.ingest import Ingested

_SHOWN = 20
"""So many of the pings that can't be read are named."""


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--submission-timestamp",
    type=Moment(),
    help="When the server received pings that don't say it themselves.",
)
@click.option(
    "--recipes",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Load experiments from a file of Nimbus recipes; may be given several times.",
)
@click.pass_obj
@click.pass_context
def ingest(
    context: click.Context,
    options: Options,
    files: tuple[Path, ...],
    submission_timestamp: datetime | None,
    recipes: tuple[Path, ...],
) -> None:
    """Load client pings, and experiments, into an embedded warehouse.

    FILES hold one JSON document or one a line, plain or gzip: event and main pings of version 4.
    What can't be read is reported with its file and line, and skipped; the rest is loaded, and the
    exit status is 1.
    """
    if not files and not recipes:
        raise click.UsageError("give FILES of pings, or --recipes FILE")
    results: list[Ingested] = []
    with options.monitor() as monitor:
        if recipes:
            results.append(monitor.ingest_recipes(recipes))
        if files:
            results.append(monitor.ingest(files, submission_timestamp))
    for result in results:
        for source, rows in result.rows.items():
            click.echo(f"{counted(rows, 'row')} into {source}")
        if result.days:
            first, last = result.days[0], result.days[-1]
            click.echo(f"of {first}" if first == last else f"of {first} to {last}")
    skipped = [one for result in results for one in result.skipped]
    for one in skipped[:_SHOWN]:
        click.echo(f"skipped: {in_one_line(str(one))}", err=True)
    if len(skipped) > _SHOWN:
        click.echo(f"… and {len(skipped) - _SHOWN:,} more", err=True)
    if skipped:
        context.exit(FAILED)


@click.command()
@as_of
@frame_format
@click.pass_obj
def experiments(options: Options, as_of: datetime | None, form: str) -> None:
    """Print the active experiments: live, or ended at most 14 days ago."""
    with options.monitor() as monitor:
        frame = monitor.experiments(as_of)
    print_frame(frame, form)


@click.command()
@click.argument("dataset")
@click.argument("slug")
@click.option("--branch", help="Only this branch.")
@click.option("--start", type=Moment(day=True), help="Rows at or after this.")
@click.option("--end", type=Moment(day=True), help="Rows before this.")
@frame_format
@click.pass_obj
def fetch(
    options: Options,
    dataset: str,
    slug: str,
    branch: str | None,
    start: datetime | date | None,
    end: datetime | date | None,
    form: str,
) -> None:
    """Print the rows of an experiment in a dataset.

    `expmon datasets` lists the datasets.
    """
    with options.monitor() as monitor:
        frame = monitor.fetch_dataframe(dataset, slug, branch, start, end)
    print_frame(frame, form)


@click.command()
@click.argument("slugs", nargs=-1)
@click.option("--dataset", "datasets", multiple=True, help="Only this one of the eight datasets.")
@as_of
@click.pass_obj
def export(
    options: Options, slugs: tuple[str, ...], datasets: tuple[str, ...], as_of: datetime | None
) -> None:
    """Write the JSON files of the experiments named, or of all that are active."""
    if datasets and not slugs:
        raise click.UsageError(
            "--dataset needs SLUGS: all datasets of active experiments go together"
        )
    with options.monitor() as monitor:
        try:
            if slugs:
                done = monitor.export_experiments(slugs, datasets or None, as_of)
            else:
                done = monitor.export_active(as_of)
        except ExportSuperseded as newer:
            click.echo(f"Note: {newer}", err=True)
            return
        place = monitor.store.url if monitor.store else ""
    for slug in done.skipped:
        click.echo(f"skipped: {slug[:200]!r} can't be part of a file name", err=True)
    written, unchanged = counted(len(done.written), "file"), f"{len(done.unchanged):,} unchanged"
    experiments = counted(len(done.experiments), "experiment")
    click.echo(f"{experiments}: {written} written, {unchanged}, in {place}")
    if done.resting:
        left_out = counted(len(done.resting), "older experiment")
        click.echo(f"{left_out} left out until another half hour is over")


COMMANDS = (ingest, experiments, fetch, export)
