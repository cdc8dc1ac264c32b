"""How the tables of an earlier schema version become those of the catalogue, on both engines.

A statement changes a table in place (``ALTER TABLE``, ``UPDATE``, ``DELETE``), or fills a new one
from an old one (``INSERT``): tables that are missing are made before. BigQuery has no transaction
over all of a migration, and begins it anew where it was interrupted. So its statements must give
the same where they have run already: ``ADD COLUMN IF NOT EXISTS``, ``UPDATE … WHERE … IS NULL``, a
``DELETE`` before an ``INSERT``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from expmon.catalog import bookkeeping
from expmon.errors import WrongSchemaVersion

if TYPE_CHECKING:
    from collections.abc import Callable

    from expmon.catalog.model import Names, Relation, Statement


@dataclass(frozen=True, slots=True)
class Change:
    """A statement, and the table that it is about: it is left out where that isn't there.

    Attributes:
        relation: the table, which may be gone from the catalogue.
        statement: gives the statement, from where the tables lie.
    """

    relation: Relation
    statement: Callable[[Names], Statement]


@dataclass(frozen=True, slots=True)
class Migration:
    """A step from one schema version to the next.

    Attributes:
        summary: what it does, in a few words.
        changes: what changes tables, in this order; without any, runs go on before it, too.
    """

    summary: str
    changes: tuple[Change, ...] = ()


MIGRATIONS = (
    Migration("mark the tables with their version"),
    Migration("make room for the health of experiments and its alerts"),
    Migration("make room for the sums by the hour"),
)
"""The first leads from version 1, which no database knows of itself, to version 2, and so on."""


def pending(version: int) -> tuple[Migration, ...]:
    """The steps that lead from a version to the catalogue's.

    Raises:
        WrongSchemaVersion: the version is newer.
    """
    if version > bookkeeping.SCHEMA_VERSION:
        raise WrongSchemaVersion(version, bookkeeping.SCHEMA_VERSION)
    return MIGRATIONS[version - 1 :]


def sentences(version: int) -> list[str]:
    """The steps from a version on, for people; errors as of `pending`."""
    return [
        f"migrate from schema version {number} to {number + 1}: {migration.summary}"
        for number, migration in enumerate(pending(version), start=version)
    ]


def require(version: int) -> None:
    """Let nobody write to tables of another form than the catalogue's.

    Raises:
        WrongSchemaVersion: the version is newer, or a step from it on changes tables.
    """
    if any(migration.changes for migration in pending(version)):
        raise WrongSchemaVersion(version, bookkeeping.SCHEMA_VERSION)
