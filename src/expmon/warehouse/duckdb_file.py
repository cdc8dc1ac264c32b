"""One DuckDB file: opening it, running SQL in it, and its errors as expmon's."""

from __future__ import annotations

import contextlib
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from expmon.errors import NotDeployed, WarehouseError, WarehouseLocked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    import duckdb
    import pyarrow as pa

_PAUSE = 0.05
_STREAMING_MEMORY = "400MB"
_BATCH_ROWS = 100_000
NO_WAIT = timedelta(0)

_guards: dict[str, threading.RLock] = {}


class DuckDBFile:
    """A file that is opened with its first use, and locked for other processes until `close`.

    Args:
        path: the file; its directory must exist. Only `create` makes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self.is_in_transaction = False
        # One for all of this process: DuckDB fails a transaction that meets another's changes.
        self._guard = _guards.setdefault(str(self.path.resolve()), threading.RLock())

    def execute(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, name: str | None = None
    ) -> None:
        """Run a statement.

        Args:
            sql: one statement in DuckDB's dialect.
            parameters: for its ``$names``.
            name: what it is about, for errors.

        Raises:
            NotDeployed: a table or view is not there.
            WarehouseError: it failed otherwise.
        """
        with self._guard, self._translated(sql, name):
            self.opened().execute(sql, dict(parameters or {}))

    def arrow(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, name: str | None = None
    ) -> pa.Table:
        """The rows of a query; arguments and errors as of `execute`."""
        with self._guard, self._translated(sql, name):
            return self.opened().sql(sql, params=dict(parameters or {})).to_arrow_table()

    def batches(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, name: str | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a query as they come, of the moment when the first is asked for.

        Arguments and errors as of `execute`. What is sorted or grouped waits on disk, beside the
        file, where it would take more than 400 MB of memory: a limit that other queries of this
        process have meanwhile, too.
        """
        with self._translated(sql, name):
            with self._guard:
                connection = self._session(self.opened().cursor())
            try:
                connection.execute(f"SET memory_limit = '{_STREAMING_MEMORY}'")
                yield from connection.sql(sql, params=dict(parameters or {})).to_arrow_reader(
                    _BATCH_ROWS
                )
            finally:
                with contextlib.closing(connection):
                    connection.execute("RESET memory_limit")

    def row(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, name: str | None = None
    ) -> tuple[Any, ...]:
        """The only row of a query that has no timestamps; arguments and errors as of `execute`."""
        with self._guard, self._translated(sql, name):
            # All of them: DuckDB refuses other queries while a result has not been fetched.
            found = self.opened().execute(sql, dict(parameters or {})).fetchall()
        if len(found) != 1:
            raise WarehouseError(
                f"{name or self.path}: the query gave {len(found)} rows, not one", sql=sql
            )
        return tuple(found[0])

    def insert(self, target: str, batch: pa.Table) -> None:
        """Add rows to a table, by position."""
        with self._guard, self._translated(f"INSERT INTO {target}", target):
            self.opened().from_arrow(batch).insert_into(target)

    @contextlib.contextmanager
    def transaction(self, *, undo: bool = False) -> Iterator[None]:
        """All or nothing, or just to see what would happen; other threads wait.

        One within another is a part of it.
        """
        with self._guard:
            if self.is_in_transaction and not undo:
                yield
                return
            self.execute("BEGIN")
            self.is_in_transaction = True
            try:
                yield
            except BaseException:
                self.is_in_transaction = False
                if self._connection is not None:
                    self.execute("ROLLBACK")
                raise
            self.is_in_transaction = False
            self.execute("ROLLBACK" if undo else "COMMIT")

    @contextlib.contextmanager
    def variables(self, values: Mapping[str, datetime]) -> Iterator[None]:
        """Variables of the connection that are set meanwhile; other threads wait."""
        with self._guard:
            try:
                for name, value in values.items():
                    self.execute(f"SET VARIABLE {name} = TIMESTAMPTZ '{value}'")
                yield
            finally:
                for name in values if self._connection is not None else ():
                    self.execute(f"RESET VARIABLE {name}")

    def opened(self, wait: timedelta = NO_WAIT) -> duckdb.DuckDBPyConnection:
        """The connection; the file is opened if it isn't yet.

        Args:
            wait: for how long to wait while another process has the file.

        Raises:
            NotDeployed: it is not there.
            WarehouseLocked: another process has it.
            WarehouseError: it is no database.
        """
        with self._guard:
            if self._connection is None:
                if not self.path.exists():
                    raise NotDeployed(str(self.path))
                self._connection = self._open(wait)
            return self._connection

    def create(self) -> None:
        """Make the file, if it isn't there, and open it.

        Raises:
            WarehouseLocked: another process has it.
            WarehouseError: it can't be created, or is no database.
        """
        with self._guard:
            if self._connection is None:
                self._connection = self._open(NO_WAIT)

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self, wait: timedelta) -> duckdb.DuckDBPyConnection:
        import duckdb

        deadline = time.monotonic() + wait.total_seconds()
        while True:
            try:
                return self._attached()
            except duckdb.IOException as error:
                if not self.path.is_file():
                    raise WarehouseError(
                        f"{self.path} can't be created: does its directory exist, and may you "
                        f"write there? ({_shortened(error)})"
                    ) from error
                if not _is_database(self.path):
                    raise WarehouseError(
                        f"{self.path} is no DuckDB database; it was left as it is. "
                        "Name another file."
                    ) from error
                if time.monotonic() >= deadline:
                    raise WarehouseLocked(
                        f"{self.path} can't be opened: another process has it, or you may not "
                        "write to it. Close the other one, or try again later. "
                        f"({_shortened(error)})"
                    ) from error
                time.sleep(_PAUSE)
            except duckdb.Error as error:
                raise WarehouseError(f"{self.path} can't be opened: {error}") from error

    def _attached(self) -> duckdb.DuckDBPyConnection:
        """A connection to the file, shared by all of this process.

        The database is attached by a name of its own: by default it would have that of the file,
        and monitoring.duckdb would clash with the dataset monitoring.
        """
        import duckdb

        connection = duckdb.connect(f":memory:expmon {self.path.resolve()}")
        try:
            place = str(self.path).replace("'", "''")
            attach = f"ATTACH IF NOT EXISTS '{place}' AS warehouse"
            connection.execute(attach)
            try:
                self._session(connection)
            except duckdb.IOException:  # others of this process have it since before it failed
                connection.execute("DETACH DATABASE IF EXISTS warehouse")
                connection.execute(attach)
                self._session(connection)
            connection.execute(f"SET temp_directory = '{place}.tmp'")
        except BaseException:
            connection.close()
            raise
        return connection

    def _session(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """The connection itself, where names are those of the warehouse and times are in UTC."""
        connection.execute("USE warehouse")
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    @contextlib.contextmanager
    def _translated(self, sql: str, name: str | None) -> Iterator[None]:
        """DuckDB's errors as expmon's, by their types."""
        import duckdb

        try:
            yield
        except duckdb.CatalogException as error:
            raise NotDeployed(name or str(self.path), sql=sql) from error
        except (duckdb.IOException, duckdb.TransactionException) as error:
            # Once DuckDB couldn't write to the file itself, it wants to open it anew.
            self.close()
            raise WarehouseError(
                f"{self.path} can't be used: {_shortened(error)}. Make room if the disk is full, "
                "and try again: what was written before is kept.",
                sql=sql,
            ) from error
        except duckdb.Error as error:
            raise WarehouseError(f"{name or self.path}: {error}", sql=sql) from error


def _is_database(path: Path) -> bool:
    """Whether a file starts as DuckDB's do: after a checksum of eight bytes."""
    try:
        with path.open("rb") as file:
            return file.read(12)[8:] == b"DUCK"
    except OSError:
        return True


def _shortened(error: Exception) -> str:
    """What DuckDB says, without where to read more."""
    return str(error).partition(". See also")[0].strip()
