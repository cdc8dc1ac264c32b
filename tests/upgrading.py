"""Migrations of an expmon to come: one adds a column, one rewrites tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import sqlglot

import playing
import reference
from expmon.catalog import RELATIONS, bookkeeping
from expmon.catalog.bookkeeping import PARTITIONS
from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.model import Column, Statement
from expmon.statements import migrations
from expmon.statements.migrations import Change, Migration

if TYPE_CHECKING:
    import pytest

    from expmon import Monitor
    from expmon.catalog.model import Names, Relation

VERSION = bookkeeping.SCHEMA_VERSION + 2
NOTED = replace(PARTITIONS, columns=(*PARTITIONS.columns, Column("note", "STRING")))


def change(relation: Relation, text: str) -> Change:
    """A change by a statement, in which ``{}`` is the table."""

    def statement(names: Names) -> Statement:
        sql = text.format(f"`{names.of(relation)}`")
        return Statement(relation.name, sqlglot.parse_one(sql, dialect="bigquery"))

    return Change(relation, statement)


ADDS = Migration(
    "add a note",
    (
        change(NOTED, "ALTER TABLE {} ADD COLUMN IF NOT EXISTS note STRING"),
        change(NOTED, "UPDATE {} SET note = 'early' WHERE note IS NULL"),
    ),
)
REWRITES = Migration(
    "name what has no branch",
    tuple(
        change(relation, "UPDATE {} SET branch = 'null' WHERE branch IS NULL")
        for relation in (ENROLLMENT.daily, ENROLLMENT.hourly)
    ),
)


def install(patch: pytest.MonkeyPatch) -> None:
    """Let expmon be the one to come."""
    patch.setattr(bookkeeping, "SCHEMA_VERSION", VERSION)
    patch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, ADDS, REWRITES))
    patch.setitem(RELATIONS, PARTITIONS.name, NOTED)


def named(tables: dict[str, list[playing.Row]]) -> dict[str, list[playing.Row]]:
    """The rows of the tables with branches, none of which is NULL, as they are sorted then."""
    found = {}
    for name, rows in tables.items():
        if "branch" not in RELATIONS[name].column_names:
            continue
        place = RELATIONS[name].column_names.index("branch")
        cells = ((*row[:place], row[place] or "null", *row[place + 1 :]) for row in rows)
        found[name] = sorted(cells, key=reference.sort_key)
    return found


def assert_migrated(monitor: Monitor, played: reference.Played) -> None:
    """What was written before is noted and has no branch of NULL, and no row is another."""
    assert named(playing.tables(monitor)) == named(playing.expected_tables(played))
    rows = playing.rows(monitor, ENROLLMENT.daily.name, "branch", "window_start")
    before = {branch for branch, start in rows if start.date() == played.first_day}
    assert "null" in before
    assert None not in before
    assert ("early",) in playing.rows(monitor, PARTITIONS.name, "note")
    assert playing.rows(monitor, bookkeeping.SCHEMA.name) == [(VERSION,)]
