"""The command that makes pages of what has been exported."""

from __future__ import annotations

from pathlib import Path

import click

from expmon.cli.common import Options, counted, replace_file
from expmon.errors import StoreError


@click.command()
@click.argument("slug", required=False)
@click.option(
    "--all", "is_all", is_flag=True, help="Every exported experiment, and a list of them."
)
@click.option(
    "-o",
    "--output",
    "place",
    type=click.Path(path_type=Path),
    required=True,
    help="Where to write it: a file, or with --all a directory.",
)
@click.pass_obj
def report(
    options: Options,
    slug: str | None,
    is_all: bool,  # noqa: FBT001 - click gives it by its name
    place: Path,
) -> None:
    """Make a page of an experiment, or a site of all, from the exported files.

    A page is one file that needs no other: charts, totals by branch, and how fresh they are. It
    reads the store that `expmon export` has written to, and asks no warehouse.
    """
    if is_all == (slug is not None):
        raise click.UsageError("give either a SLUG or --all")
    with options.monitor() as monitor:
        if slug is not None:
            if place.is_dir():
                raise click.BadParameter(f"{place} is a directory: name a file", param_hint="-o")
            replace_file(place, monitor.report(slug).encode())
            click.echo(f"written: {place}")
            return
        count = 0
        for page in monitor.report_all():
            _make(place)
            replace_file(place / page.name, page.html.encode())
            count += 1
    click.echo(
        f"written: {counted(count, 'page')} in {place}, of which index.html lists the others"
    )


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{directory} can't be made: {error.strerror or error}. Choose another directory"
        ) from error


COMMANDS = (report,)
