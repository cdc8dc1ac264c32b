"""What is written and who is writing, on BigQuery: its partitions, the memo and the lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from expmon.catalog.bookkeeping import LEASE, PARTITIONS
from expmon.catalog.model import Parameter, Statement
from expmon.statements.build import (
    DIALECT,
    expression,
    noted,
    select,
    table,
    union_all,
    unnested,
    where,
    with_steps,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from expmon.catalog.model import Names, Relation, TableName

RUN_ID = Parameter("run_id", "STRING")
SECONDS = Parameter("seconds", "INT64")
WRITTEN = Parameter(
    "written",
    "ARRAY<STRUCT<place STRING, relation STRING, `partition` STRING, job_id STRING, "
    "as_of TIMESTAMP, started_at TIMESTAMP, ended_at TIMESTAMP, `rows` INT64, bytes INT64>>",
)
EXPIRING = Parameter("expiring", "ARRAY<STRING>")
OLDEST = Parameter("oldest", "STRING")

_NO_PARTITION = "COALESCE(partition_id, '') NOT IN ('__NULL__', '__UNPARTITIONED__')"


def partitions(names: Names, places: Iterable[TableName]) -> Statement:
    """What the memo holds, and what is there: a row for each entry and for each partition.

    Rows of the memo have a ``relation``; those of partitions have a ``place``, which is
    ``project.dataset.table``. The partition of a whole table is an empty text.
    """
    memo = select(
        "relation",
        "CAST(NULL AS STRING) AS place",
        "`partition`",
        "`rows`",
        "modified_at",
        "started_at",
        "as_of",
    ).from_(table(PARTITIONS, names))
    there = select(
        "CAST(NULL AS STRING) AS relation",
        "place",
        "`partition`",
        "`rows`",
        "modified_at",
        "CAST(NULL AS TIMESTAMP) AS started_at",
        "CAST(NULL AS TIMESTAMP) AS as_of",
    ).from_("there")
    query = with_steps(union_all([memo, there]), {"there": _there(places)})
    return Statement("partitions", query)


def partitions_of(places: Iterable[TableName]) -> Statement:
    """The partitions of the tables that are there: ``place``, ``partition``, ``rows`` and so on."""
    return Statement("partitions_of", _there(places))


def remember(names: Names, places: Iterable[TableName]) -> Statement:
    """Enter what a level of a plan has written into the memo, and drop entries that expired.

    Args:
        names: where the tables lie.
        places: where those lie that the level has written.
    """
    fresh = select(
        "written.relation",
        "written.`partition`",
        "written.job_id",
        "written.as_of",
        "written.started_at",
        "written.`rows`",
        "written.bytes",
        # Of what has no rows nothing need be there: the job's own end is all there is to know.
        "IF(written.`rows` = 0, written.ended_at, there.modified_at) AS modified_at",
    ).from_(unnested("@written", "written"))
    fresh = fresh.join(
        "there",
        on=expression("there.place = written.place AND there.`partition` = written.`partition`"),
        join_type="left",
    )
    remembered = with_steps(fresh, {"there": _there(places)})
    columns = PARTITIONS.column_names
    updates = ", ".join(f"`{name}` = fresh.`{name}`" for name in columns[2:])
    tree = exp.merge(
        f"WHEN MATCHED THEN UPDATE SET {updates}",
        _insert_fresh(columns),
        "WHEN NOT MATCHED BY SOURCE AND memo.relation IN UNNEST(@expiring) "
        "AND memo.`partition` < @oldest THEN DELETE",
        into=exp.alias_(table(PARTITIONS, names), "memo", table=True),
        using=remembered.subquery("fresh"),
        on="memo.relation = fresh.relation AND memo.`partition` = fresh.`partition`",
        dialect=DIALECT,
    )
    return Statement("remember", tree, (WRITTEN, EXPIRING, OLDEST))


def lease_row(names: Names) -> Statement:
    """Add the one row of the lease, if it isn't there yet."""
    tree = exp.merge(
        "WHEN NOT MATCHED THEN INSERT (run_id, expires_at) VALUES (NULL, NULL)",
        into=exp.alias_(table(LEASE, names), "lease", table=True),
        using=select("1 AS number").subquery("one"),
        on="TRUE",
        dialect=DIALECT,
    )
    return Statement("lease_row", tree)


def take_lease(names: Names) -> Statement:
    """Take the lease for ``@seconds``, if it is free or one's own; one changed row: taken."""
    tree = exp.update(
        table(LEASE, names),
        {
            "run_id": expression("@run_id"),
            "expires_at": expression(
                "TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL @seconds SECOND)"
            ),
        },
        where=expression("run_id IS NULL OR run_id = @run_id OR expires_at <= CURRENT_TIMESTAMP()"),
    )
    return Statement("take_lease", tree, (RUN_ID, SECONDS))


def give_lease_back(names: Names) -> Statement:
    """Free the lease, if it is still one's own."""
    tree = exp.update(
        table(LEASE, names),
        {"run_id": exp.null(), "expires_at": exp.null()},
        where=expression("run_id = @run_id"),
    )
    return Statement("give_lease_back", tree, (RUN_ID,))


def lease_holder(names: Names) -> Statement:
    """Who has the lease, until when, and whether that is to come, by the engine's clock."""
    columns = ("run_id", "expires_at", "expires_at > CURRENT_TIMESTAMP() AS is_held")
    return Statement("lease_holder", select(*columns).from_(table(LEASE, names)))


def replace_rows(relation: Relation, names: Names, *, key: str) -> Statement:
    """Put ``@fresh`` rows in the place of those that have one of their keys, in one statement."""
    columns = ", ".join(f"`{column.name}` {column.type}" for column in relation.columns)
    tree = exp.merge(
        f"WHEN NOT MATCHED BY SOURCE AND present.{key} IN UNNEST(@keys) THEN DELETE",
        _insert_fresh(relation.column_names),
        into=exp.alias_(table(relation, names), "present", table=True),
        using=select(*(f"fresh.`{name}`" for name in relation.column_names))
        .from_(unnested("@fresh", "fresh"))
        .subquery("fresh"),
        on="FALSE",
        dialect=DIALECT,
    )
    parameters = (
        Parameter("fresh", f"ARRAY<STRUCT<{columns}>>"),
        Parameter("keys", "ARRAY<STRING>"),
    )
    return Statement(relation.name, tree, parameters)


def _insert_fresh(columns: Iterable[str]) -> str:
    """The clause of a MERGE that adds the rows of ``fresh`` that nothing there matches."""
    names = ", ".join(f"`{name}`" for name in columns)
    values = ", ".join(f"fresh.`{name}`" for name in columns)
    return f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"  # noqa: S608 - the catalogue's


def _there(places: Iterable[TableName]) -> exp.Query:
    """A row for each partition of the tables: its place, rows and time of modification."""
    datasets: dict[tuple[str, str], list[str]] = {}
    for place in dict.fromkeys(places):
        datasets.setdefault((place.project, place.dataset), []).append(place.table)
    return union_all(_of_dataset(*names, tables) for names, tables in datasets.items())


def _of_dataset(project: str, dataset: str, tables: list[str]) -> exp.Select:
    of_dataset = exp.Literal.string(f"{project}.{dataset}.")
    schema = exp.Table(
        this=exp.to_identifier("PARTITIONS"),
        db=exp.to_identifier("INFORMATION_SCHEMA"),
        catalog=exp.Dot.build(
            [exp.to_identifier(project, quoted=True), exp.to_identifier(dataset)]
        ),
    )
    query = select(
        exp.alias_(exp.func("CONCAT", of_dataset, exp.column("table_name")), "place"),
        "COALESCE(partition_id, '') AS `partition`",
        "total_rows AS `rows`",
        "last_modified_time AS modified_at",
    ).from_(schema)
    query = query.where(exp.column("table_name").isin(*map(exp.Literal.string, tables)))
    return noted(
        where(query, _NO_PARTITION), "the tables by name: without them all partitions are read"
    )
