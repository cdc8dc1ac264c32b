"""Everything that expmon raises on purpose.

ExpmonError
├── ConfigError               (ValueError)      a setting is missing or makes no sense
├── ExtraMissing              (ImportError)     an optional dependency is not installed
├── InvalidInput              (ValueError)      an argument is refused before anything runs
│   ├── InvalidSlug                             not the slug of an experiment
│   ├── InvalidTime                             no zone, the future, an end before a start
│   ├── UnknownExperiment     (LookupError)     nothing is known of an experiment
│   └── UnknownDataset        (LookupError)     no dataset of that name
├── PingError                 (ValueError)      a ping or recipe that can't be read
├── WarehouseError            (RuntimeError)    the engine refused or failed
│   ├── NotDeployed           (LookupError)     a table or view is not there: deploy
│   ├── PermissionMissing     (PermissionError)  the credentials may not do that
│   ├── SchemaMismatch                          a table's columns differ from the catalogue
│   ├── WrongSchemaVersion                      the tables are newer or older than expmon
│   ├── PartitionViolation                      a step produced rows of another partition
│   ├── SourceMissing         (LookupError)     a day can't be counted: its sources lack it
│   └── WarehouseLocked       (TimeoutError)    another run or process has the warehouse
├── DeliveryError             (OSError)         an alert can't be delivered; it waits
├── UnsupportedSQL            (RuntimeError)    a statement has no form in the engine's dialect
└── StoreError                (OSError)         the export store can't be read or written
    ├── ExportSuperseded                        a newer export has claimed the store
    ├── NotExported           (LookupError)     there are no files to make a page of: export
    └── StoreConflict                           somebody else wrote the object meanwhile
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime


class ExpmonError(Exception):
    """The root of all errors that expmon raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors come whole out of other processes, whatever their initialisers take."""
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[ExpmonError], args: tuple[Any, ...], state: dict[str, Any]) -> ExpmonError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(ExpmonError, ValueError):
    """A setting is missing, unknown or makes no sense; the message names it."""


class ExtraMissing(ExpmonError, ImportError):
    """A library is not installed that only some need; the message says how to get it.

    Attributes:
        extra: the extra of expmon that has it.
    """

    def __init__(self, extra: str, library: str) -> None:
        self.extra = extra
        super().__init__(f"{library} is not installed: pip install 'expmon[{extra}]'")


class InvalidInput(ExpmonError, ValueError):
    """An argument is refused before anything runs."""


class InvalidSlug(InvalidInput):
    """The text can't be an experiment's slug.

    Attributes:
        slug: what was given.
    """

    def __init__(self, slug: str) -> None:
        self.slug = slug
        super().__init__(
            f"{slug[:80]!r} is not an experiment slug: letters, digits, '.', '_' and '-', the "
            "first a letter or digit, no '..', at most 150 characters. "
            "Experiments of other names are in the tables: query those directly."
        )


class InvalidTime(InvalidInput):
    """A time without a zone, out of range, in the future or not ready; an end before a start."""


class UnknownExperiment(InvalidInput, LookupError):
    """Neither the metadata nor any dataset has the experiment.

    Attributes:
        slug: what was given.
    """

    def __init__(self, slug: str) -> None:
        self.slug = slug
        super().__init__(
            f"there is no experiment {slug!r}: no metadata and no rows in any dataset. "
            "`expmon experiments` lists those that are active."
        )


class UnknownDataset(InvalidInput, LookupError):
    """No dataset has this name.

    Attributes:
        dataset: what was given.
        near: the names that come closest.
    """

    def __init__(self, dataset: str, near: Sequence[str]) -> None:
        self.dataset = dataset
        self.near = tuple(near)
        hint = f"Did you mean {', '.join(near)}?" if near else "`expmon datasets` lists them all."
        super().__init__(f"there is no dataset {dataset[:80]!r}. {hint}")


class PingError(ExpmonError, ValueError):
    """A ping or a recipe that can't be read; the message says what is wrong with it."""


class WarehouseError(ExpmonError, RuntimeError):
    """The engine refused or failed.

    Attributes:
        sql: the statement that was running, if any.
    """

    def __init__(self, message: str, *, sql: str | None = None) -> None:
        self.sql = sql
        super().__init__(message)


class NotDeployed(WarehouseError, LookupError):
    """A table or view is not there.

    Attributes:
        relation: the table or view.
    """

    def __init__(self, relation: str, *, sql: str | None = None, detail: str = "") -> None:
        self.relation = relation
        said = f" ({detail})" if detail else ""
        super().__init__(
            f"{relation} does not exist{said}. Create the tables and views first: "
            "`expmon deploy` or monitor.deploy().",
            sql=sql,
        )


class PermissionMissing(WarehouseError, PermissionError):
    """The credentials may not do that.

    Attributes:
        relation: the table, dataset or project that they lack a role on.
        role: which one.
    """

    def __init__(self, relation: str, role: str, detail: str, *, sql: str | None = None) -> None:
        self.relation = relation
        self.role = role
        super().__init__(
            f"no permission for {relation}: ask for the role {role} on it. ({detail})", sql=sql
        )


class SchemaMismatch(WarehouseError):
    """A table's columns differ from the catalogue's; nothing was changed.

    Attributes:
        relation: the table.
        differences: one sentence per difference.
    """

    def __init__(self, relation: str, differences: Sequence[str]) -> None:
        self.relation = relation
        self.differences = tuple(differences)
        super().__init__(
            f"{relation} has other columns than expmon's catalogue: {'; '.join(differences)}. "
            "It was left as it is. Move it away or alter it, then deploy again."
        )


class WrongSchemaVersion(WarehouseError):
    """The tables have a schema version that this expmon doesn't work with; nothing was written.

    Attributes:
        found: the tables' version.
        known: the one that this expmon works with, the newest that it knows.
    """

    def __init__(self, found: int, known: int) -> None:
        self.found = found
        self.known = known
        todo = "Bring them up to date first: `expmon deploy` or monitor.deploy()"
        if found > known:
            todo = "A newer one has deployed them. Upgrade this one: pip install --upgrade expmon"
        super().__init__(
            f"the tables have schema version {found}, and this expmon works with {known}. "
            f"{todo}. Nothing was written."
        )


class PartitionViolation(WarehouseError):
    """A step produced rows that belong to another partition; nothing was written.

    Attributes:
        relation: the destination.
        partition: the partition the step was to replace.
        rows: how many rows belong elsewhere; None where the engine doesn't tell.
    """

    def __init__(self, relation: str, partition: str, rows: int | None = None, *, sql: str) -> None:
        self.relation = relation
        self.partition = partition
        self.rows = rows
        super().__init__(
            f"{'some' if rows is None else rows} rows for {relation}${partition} belong to another "
            "partition; nothing was written. This is a bug in the statement or in a source: "
            "a row's date column disagrees with its timestamp.",
            sql=sql,
        )


class SourceMissing(WarehouseError, LookupError):
    """A day can't be counted, since sources have no rows of it; nothing was written.

    Attributes:
        relation: the table that was to be written.
        day: which day of it.
        sources: the sources that lack it.
    """

    def __init__(self, relation: str, day: date, sources: Sequence[str]) -> None:
        self.relation = relation
        self.day = day
        self.sources = tuple(sources)
        super().__init__(
            f"day {day} of {relation} can't be counted: no rows of it in {', '.join(sources)}. "
            "Nothing was written, so that what is there is kept. Load that day first. A source "
            "that may rightly lack days belongs under empty_sources in the configuration."
        )


class WarehouseLocked(WarehouseError, TimeoutError):
    """Another run, or another process, has the warehouse."""


class UnsupportedSQL(ExpmonError, RuntimeError):
    """A statement has no form in the engine's dialect.

    Attributes:
        name: the dataset or relation that the statement is of.
    """

    def __init__(self, name: str, dialect: str, reason: str) -> None:
        self.name = name
        super().__init__(f"the statement of {name} can't be written for {dialect}: {reason}")


class DeliveryError(ExpmonError, OSError):
    """A message can't be delivered; it waits for the next time, and those after it.

    Attributes:
        place: the file, or the webhook's host.
        reason: what went wrong.
    """

    def __init__(self, place: str, reason: str, todo: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(
            f"an alert could not be delivered to {place}: {reason}. {todo} It waits, and those "
            "after it: the next `expmon alerts` goes on with them."
        )


class StoreError(ExpmonError, OSError):
    """The export store can't be read or written; the message names the place and the cause."""


class ExportSuperseded(StoreError):
    """A newer export has claimed the store, so this one stopped; the newer files stay.

    Attributes:
        as_of: of this export.
        newer: the ``as_of`` of the one that has claimed the store.
    """

    def __init__(self, as_of: datetime, newer: datetime) -> None:
        self.as_of = as_of
        self.newer = newer
        super().__init__(
            f"the export as of {as_of.isoformat()} stopped: one as of {newer.isoformat()} has "
            "claimed the same place. Nothing to do: its files are newer."
        )


class NotExported(StoreError, LookupError):
    """There are no exported files, or not all of an experiment's.

    Attributes:
        slug: of the experiment; None if nothing has been exported at all.
        near: the exported experiments that come closest.
    """

    def __init__(self, url: str, slug: str | None = None, near: Sequence[str] = ()) -> None:
        self.slug = slug
        self.near = tuple(near)
        what = "nothing has been exported" if slug is None else f"{slug} has not been exported"
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        command = "expmon export" if slug is None else f"expmon export {slug}"
        super().__init__(f"{what} to {url}, or its files are gone.{hint} Export first: `{command}`")


class StoreConflict(StoreError):
    """An object was written by somebody else since it was read; nothing was written.

    Attributes:
        name: of the object.
    """

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        super().__init__(
            f"{name} in {url} was written by somebody else meanwhile. "
            "Export again; if that goes on, find out what else exports to the same place."
        )
