"""Commands that need no warehouse: the statements, the catalogue, and a dashboard."""

from __future__ import annotations

from pathlib import Path

import click

from expmon.cli.common import Options, print_table, replace_file
from expmon.errors import StoreError


@click.command()
@click.argument("name", required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write every statement into this directory, one a file.",
)
@click.pass_obj
def sql(options: Options, name: str | None, out: Path | None) -> None:
    """Print the SQL of a dataset, table or view, in BigQuery's dialect.

    The parameters of a statement stand above it, in comments.
    """
    from expmon import api

    if (name is None) == (out is None):
        raise click.UsageError("give either the NAME of one statement, or --out DIR for all")
    if name is not None:
        click.echo(api.sql(name, file=options.config, settings=options.settings), nl=False)
        return
    if out is None:  # which of the two is given has been settled above
        return
    written = api.statements(file=options.config, settings=options.settings)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for statement, text in written.items():
            (out / f"{statement}.sql").write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{out} can't be written: {error.strerror or error}") from error
    click.echo(f"{len(written)} statements in {out}")


@click.command()
@click.argument("name", required=False)
def datasets(name: str | None) -> None:
    """Print the catalogue, or what it has of one dataset, table or view."""
    from expmon import api

    if name is None:
        rows = [
            (r.name, r.kind.value, r.cadence.value if r.cadence else None, r.description)
            for r in api.relations().values()
        ]
        print_table(("relation", "kind", "written", "description"), rows)
        return
    relation, dataset = api.relation(name)
    partition = "none"
    if relation.partitioning:
        keeps = relation.partitioning.expiration_days
        kept = f", kept for {keeps} days" if keeps else ""
        partition = f"{relation.partitioning.unit.value} of {relation.partitioning.column}{kept}"
    facts = {
        "relation": relation.name,
        "kind": relation.kind.value,
        "description": relation.description,
        "written": relation.cadence.value if relation.cadence else "not by a schedule",
        "partitioned by": partition,
        "clustered by": ", ".join(relation.clustering) or "none",
        "inputs": ", ".join(relation.inputs) or "none",
    }
    if dataset is not None:
        facts["series"] = dataset.series.value
        facts["rolls up by"] = dataset.rollup.value.upper() if dataset.rollup else "nothing"
    for fact, value in facts.items():
        click.echo(f"{fact + ':':<16}{value}")
    print_table(
        ("column", "type", "description"),
        [(column.name, column.type, column.description) for column in relation.columns],
    )


@click.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it into this file, whole or not at all.",
)
@click.pass_obj
def grafana(options: Options, out: Path | None) -> None:
    """Print a dashboard for Grafana, over the user-facing views, as JSON.

    It takes Grafana's BigQuery data source, and pip install 'expmon[grafana]'.
    """
    from expmon import api

    text = api.grafana_dashboard(file=options.config, settings=options.settings)
    if out is None:
        click.echo(text, nl=False)
        return
    replace_file(out, text.encode())
    click.echo(f"the dashboard in {out}")


COMMANDS = (sql, datasets, grafana)
