"""The databases of every schema version, as they were stored by `scripts/store_database.py`.

Each holds the same simulated pings up to `STORED`, and what was made of them: a final day, hours of
the next, recents, and all that is derived. The later pings are for who goes on from there.
"""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pings as client
import playing
import reference
from expmon.sandbox import Experiment, Traffic, simulate

if TYPE_CHECKING:
    from expmon import Monitor

DIRECTORY = Path(__file__).parent / "data" / "stored"
PINGS = DIRECTORY / "pings.jsonl.gz"
FIRST_DAY = date(2021, 1, 25)
STORED = datetime(2021, 1, 26, 10, 37, tzinfo=UTC)
LATER = datetime(2021, 1, 27, 5, 2, tzinfo=UTC)
FILE = "monitoring.duckdb.gz"
RESOURCES = "bigquery.json"
PROJECT = "stored-project"
"""What stands for the project in the resources of BigQuery."""
RECIPES = [
    {"slug": "exp", "startDate": "2021-01-25", "appName": "firefox_desktop"},
    {"slug": "roll", "startDate": "2021-01-20", "isRollout": True, "appName": "firefox_desktop"},
]


def simulated() -> list[dict[str, Any]]:
    """The pings, as they were made once: by now a simulation may give others."""
    start = datetime(2021, 1, 20, tzinfo=UTC)
    experiments = [
        Experiment("exp", start, None, (("a", 1), ("b", 1)), is_rollout=False, share=0.8),
        Experiment("roll", start, None, (("on", 1),), is_rollout=True, share=0.5),
    ]
    traffic = Traffic(start=FIRST_DAY, days=3, clients=200, seed=20210125)
    without_branch = client.event_ping("2021-01-25T12:00:00Z", client.event("enroll", "exp", None))
    found = [*simulate(experiments, traffic), without_branch]
    return [ping for ping in found if _received(ping) < LATER]


def pings() -> list[dict[str, Any]]:
    """The pings that every stored database was made of, and those that came later."""
    return [json.loads(line) for line in gzip.decompress(PINGS.read_bytes()).splitlines()]


def file_of(version: int, directory: Path) -> Path:
    """The embedded warehouse of a version, unpacked into a directory."""
    path = directory / "stored.duckdb"
    path.write_bytes(gzip.decompress((DIRECTORY / str(version) / FILE).read_bytes()))
    return path


def played(until: datetime) -> reference.Played:
    """What has been played, for the judge."""
    opens = reference.midnight(FIRST_DAY)
    hours = {opens + 24 * playing.HOUR + n * playing.HOUR for n in range(10)}
    final = {FIRST_DAY}
    if until == LATER:
        hours |= {opens + 48 * playing.HOUR + n * playing.HOUR for n in range(4)}
        final.add(FIRST_DAY + playing.DAY)
    some = [ping for ping in pings() if _received(ping) < until]
    return reference.Played(some, until, frozenset(final), frozenset(hours), FIRST_DAY)


def play(monitor: Monitor, directory: Path, until: datetime) -> None:
    """Load the pings up to `STORED`, or the later ones, and let all schedules run then."""
    since = datetime.min.replace(tzinfo=UTC) if until == STORED else STORED
    some = [ping for ping in pings() if since <= _received(ping) < until]
    playing.ingest(monitor, directory / f"{until:%Y%m%d}.jsonl", some)
    for cadence in ("daily", "hourly", "live"):
        monitor.run(cadence, until)


def describe(monitor: Monitor, directory: Path) -> None:
    """Let the experiments be known to the metadata."""
    path = directory / "recipes.json"
    path.write_text(json.dumps(RECIPES), encoding="utf-8")
    monitor.ingest_recipes(path)


def _received(ping: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(ping["submission_timestamp"])
