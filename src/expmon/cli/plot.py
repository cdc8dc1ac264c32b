"""The command that draws."""

from __future__ import annotations

from datetime import date, datetime
from io import BytesIO
from pathlib import Path

import click

from expmon.cli.common import Moment, Options, replace_file

_FORMS = (".png", ".svg")


@click.command()
@click.argument("slug")
@click.option("--dataset", help="Only this one of the eight datasets.")
@click.option("--branch", help="Only this branch.")
@click.option("--start", type=Moment(day=True), help="From when on.")
@click.option("--end", type=Moment(day=True), help="Until when.")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Where to write it: a file that ends in .png or .svg.",
)
@click.pass_obj
def plot(
    options: Options,
    slug: str,
    dataset: str | None,
    branch: str | None,
    start: datetime | date | None,
    end: datetime | date | None,
    file: Path,
) -> None:
    """Draw an experiment in all datasets, or in one: a line per branch.

    Marked are its start, the end of enrollment, and from when on counts are live. Needs matplotlib:
    pip install 'expmon[plot]'
    """
    if file.suffix.lower() not in _FORMS:
        raise click.BadParameter(f"{file} must end in .png or .svg", param_hint="-o")
    with options.monitor() as monitor:
        if dataset is None:
            figure = monitor.plot_experiment(slug, branch, start, end)
        else:
            figure = monitor.plot(dataset, slug, branch, start, end)
    drawn = BytesIO()
    figure.savefig(drawn, format=file.suffix[1:].lower())
    replace_file(file, drawn.getvalue())
    click.echo(f"written: {file}")


COMMANDS = (plot,)
