"""A day and a morning of an experiment, in an embedded warehouse."""

from __future__ import annotations

import shutil
from datetime import date, timedelta

import pytest

import crashing
import expmon
import playing
from expmon.catalog.sources import EXPERIMENTS
from pings import event, event_ping, main_ping
from playing import at

START = date(2021, 1, 25)
NOW = at("2021-01-26T03:32")
METHODS = ("enroll", "enroll", "unenroll", "update", "exposure")


def traffic():
    """Enrollments and searches of a day and a morning, some of them twice."""
    moments = [at("2021-01-25T00:00") + n * timedelta(minutes=37) for n in range(48)]
    for number, moment in enumerate(moments):
        branch, text = "ab"[number % 2], moment.isoformat()
        yield event_ping(text, event(METHODS[number % 5], branch=branch), id=f"e{number % 40}")
        yield main_ping(text, {"exp": branch}, searches={"a": str(number)}, id=f"m{number % 40}")


@pytest.fixture(scope="session")
def pings():
    return list(traffic())


@pytest.fixture(scope="session")
def base_file(deployed_file, tmp_path_factory, pings):
    """A warehouse that has been watched until half past two of the second day."""
    place = tmp_path_factory.mktemp("base")
    path = shutil.copy(deployed_file, place / "base.duckdb")
    with expmon.connect(f"duckdb://{path}") as monitor:
        monitor.warehouse.load(EXPERIMENTS, [{"normandy_slug": "exp", "start_date": START}])
        playing.ingest(monitor, place / "pings.json", pings)
        monitor.run("hourly", at("2021-01-26T02:30"))
        monitor.run("live", at("2021-01-26T02:32"))
    return path


@pytest.fixture
def copied(base_file, tmp_path):
    """Makes copies of it, each in the place of the one before."""

    def copy():
        (tmp_path / "copy.duckdb.wal").unlink(missing_ok=True)
        return shutil.copy(base_file, tmp_path / "copy.duckdb")

    return copy


@pytest.fixture(scope="session")
def processes():
    with crashing.Processes() as made:
        yield made


@pytest.fixture
def exported(processes, base_file, tmp_path):
    """A directory with the files of half past two, and the file of a warehouse that has gone on."""
    directory, path = tmp_path / "exports", shutil.copy(base_file, tmp_path / "later.duckdb")
    first = processes.run(path, ("export", at("2021-01-26T02:32")), store=directory)
    then = processes.run(path, ("run", "daily", NOW), ("run", "hourly", NOW), ("run", "live", NOW))
    assert [*first.errors, *then.errors] == [None] * 4
    return directory, path
