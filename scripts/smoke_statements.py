"""The smoke checks of expmon's own statements, over empty tables of the real schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.api_core import exceptions
from google.cloud import bigquery
from smoke_project import Answer, Project, day_of, said
from sqlglot import exp

from expmon.catalog import EXPORTED, FETCHABLE, RELATIONS
from expmon.catalog.model import Kind, Names, Unit
from expmon.catalog.sources import EXPERIMENTS
from expmon.statements import bookkeeping, grafana, health, reading, render, statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from expmon.catalog.model import Relation, Statement

Parameter = (
    bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter | bigquery.StructQueryParameter
)


def accepted(project: Project) -> Answer:
    """BigQuery takes every statement: the open-source engine takes some that it refuses."""
    names = _deployed(project)
    trials = [(statement, _destination(name, names, project)) for name, statement in _all(names)]
    wrong = _refusals(project, trials, _dry_run)
    return _answer(len(trials), wrong)


def run(project: Project) -> Answer:
    """What a statement gives fits the table that it is for, column by column."""
    names = _names(project)
    trials = [
        (statement, destination)
        for name, statement in statements(names).items()
        if (destination := _destination(name, names, project))
    ]
    wrong = _refusals(project, trials, _write)
    return _answer(len(trials), wrong)


def bookkeeping_run(project: Project) -> Answer:
    """The memo, the lease and the table of experiments are read and written, one after another."""
    names = _names(project)
    places = [names.of(r) for r in RELATIONS.values() if r.kind is not Kind.VIEW]
    trials = (
        bookkeeping.remember(names, places),
        bookkeeping.partitions(names, places),
        bookkeeping.lease_row(names),
        bookkeeping.take_lease(names),
        bookkeeping.lease_holder(names),
        bookkeeping.give_lease_back(names),
        bookkeeping.replace_rows(EXPERIMENTS, names, key="normandy_slug"),
    )
    wrong = _refusals(project, [(statement, None) for statement in trials], _write)
    return _answer(len(trials), wrong)


def _answer(tried: int, wrong: list[str]) -> Answer:
    text = f"{tried - len(wrong)} of {tried} accepted"
    return Answer("; ".join([text, *wrong]), not wrong)


def _refusals(
    project: Project,
    trials: Sequence[tuple[Statement, str | None]],
    attempt: Callable[[Project, Statement, str | None], None],
) -> list[str]:
    found = []
    for statement, destination in trials:
        try:
            attempt(project, statement, destination)
        except exceptions.GoogleAPICallError as error:
            found.append(f"{statement.name}: {said(error)}")
    return found


def _dry_run(project: Project, statement: Statement, destination: str | None) -> None:
    job = project.begin(
        render(statement.tree, name=statement.name),
        destination=destination,
        parameters=_parameters(project, statement),
        dry_run=True,
    )
    if isinstance(statement.tree, exp.Create):  # the views that read this one need it
        project.rows(job.query)


def _write(project: Project, statement: Statement, destination: str | None) -> None:
    project.finish(
        project.begin(
            render(statement.tree, name=statement.name),
            destination=destination,
            parameters=_parameters(project, statement),
        )
    )


def _all(names: Names) -> Iterator[tuple[str | None, Statement]]:
    """Every statement, with the relation whose rows it computes, if it does that; inputs first."""
    for name, statement in statements(names).items():
        yield (None if RELATIONS[name].kind is Kind.VIEW else name), statement
    filters = (reading.BRANCH, reading.START, reading.END)
    for view in FETCHABLE.values():
        yield None, reading.fetch(view, names, filters)
    yield None, reading.active_experiments(names)
    for is_named in (False, True):
        yield None, reading.export_metadata(names, is_named=is_named)
    yield None, reading.first_time(names, EXPORTED)
    yield None, reading.export_series(names, EXPORTED)
    for asked_by_checks in health.queries(names):
        yield None, asked_by_checks
    for dataset in EXPORTED:
        yield None, grafana.chart(dataset, names)
    for asked in (grafana.experiments, grafana.branches, grafana.freshness):
        yield None, asked(names)


def _names(project: Project) -> Names:
    """Every relation in the temporary dataset, its own dataset's name before its name."""
    owner = project.client.project
    places = {name: f"{project.dataset}.{name.replace('.', '__')}" for name in RELATIONS}
    return Names(data=owner, views=owner, experiments=owner, renamed=places)


def _deployed(project: Project) -> Names:
    """The names, with an empty table at that of each source and table."""
    names = _names(project)
    for relation in RELATIONS.values():
        if relation.kind is not Kind.VIEW:
            project.rows(_create_table(relation, names))
    return names


def _create_table(relation: Relation, names: Names) -> str:
    columns = ", ".join(f"`{column.name}` {column.type}" for column in relation.columns)
    lines = [f"CREATE TABLE `{names.of(relation)}` ({columns})"]
    if partitioning := relation.partitioning:
        types = {column.name: column.type for column in relation.columns}
        key = f"DATE({partitioning.column})"
        if partitioning.unit is Unit.HOUR:
            key = f"TIMESTAMP_TRUNC({partitioning.column}, HOUR)"
        elif types[partitioning.column] == "DATE":
            key = partitioning.column
        lines.append(f"PARTITION BY {key}")
    if relation.clustering:
        lines.append(f"CLUSTER BY {', '.join(relation.clustering)}")
    return " ".join(lines)


def _destination(name: str | None, names: Names, project: Project) -> str | None:
    """Where a statement's rows go: a partition or a whole table; None: nowhere."""
    if name is None or RELATIONS[name].kind is Kind.VIEW:
        return None
    relation = RELATIONS[name]
    table = str(names.of(relation))
    if relation.partitioning is None:
        return table
    day = day_of(table, project.first_day)
    return f"{day}12" if relation.partitioning.unit is Unit.HOUR else day


def _parameters(project: Project, statement: Statement) -> list[Parameter]:
    """A value for each parameter: any will do over empty tables, NULL for most too."""
    noon = project.at(12)
    values: dict[str, Any] = {
        "day": project.first_day,
        "today": project.today,
        "latest_window": noon,
        "start": noon,
        "end": project.at(13),
        "earliest_start": noon,
        "as_of": noon,
        "time": noon,
        "slug": "a-slug",
        "branch": "a-branch",
        "slugs": ["a-slug"],
        "experiment": "a-slug",
        "branches": ["a-branch"],
        "minutes": 5,
        "experiments": [{"slug": "a-slug", "start": noon}],
    }
    return [
        _parameter(entry.name, exp.DataType.build(entry.type, dialect="bigquery"), values)
        for entry in statement.parameters
    ]


def _parameter(name: str | None, kind: exp.DataType, values: dict[str, Any]) -> Parameter:
    value = values.get(name or "")
    if kind.is_type("array"):
        (element,) = kind.expressions
        if element.is_type("struct"):
            structs = [_struct(element, entry) for entry in value or [{}]]
            return bigquery.ArrayQueryParameter(name, "STRUCT", structs)
        return bigquery.ArrayQueryParameter(name, element.sql("bigquery"), value or [])
    return bigquery.ScalarQueryParameter(name, kind.sql("bigquery"), value)


def _struct(kind: exp.DataType, values: dict[str, Any]) -> bigquery.StructQueryParameter:
    fields = [_parameter(field.name, field.args["kind"], values) for field in kind.expressions]
    return bigquery.StructQueryParameter(None, *fields)
