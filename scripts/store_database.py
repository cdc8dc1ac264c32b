"""Store a database of the present schema version, for the tests that upgrade it later.

`tests/data/stored/N` has what version N looks like, as nobody can make it any more once the schema
goes on: an embedded warehouse with the pings of `tests/stored.py` played, and of BigQuery the
tables and views that deploy makes, as its REST API gives them. What is there is never overwritten.

    .venv/bin/python scripts/store_database.py
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import expmon
import stored
import worlds
from emulators import launch
from expmon.catalog import RELATIONS
from expmon.catalog.bookkeeping import SCHEMA_VERSION
from expmon.catalog.model import Kind
from expmon.catalog.sources import EXPERIMENTS

DECLARED = (
    "clustering",
    "description",
    "labels",
    "requirePartitionFilter",
    "schema",
    "tableReference",
    "timePartitioning",
    "type",
    "view",
)
"""What a table is made with; the rest of a resource is what BigQuery adds."""


def main() -> None:
    """Store the pings, if there are none yet, and then both databases."""
    directory = stored.DIRECTORY / str(SCHEMA_VERSION)
    if directory.exists():
        sys.exit(f"{directory} is there already, and stays as it is")
    if not stored.PINGS.exists():
        lines = "".join(f"{json.dumps(ping)}\n" for ping in stored.simulated())
        stored.PINGS.write_bytes(gzip.compress(lines.encode(), mtime=0))
    file, text = embedded(), json.dumps(resources(), indent=1, sort_keys=True)
    directory.mkdir()
    (directory / stored.FILE).write_bytes(gzip.compress(file, mtime=0))
    (directory / stored.RESOURCES).write_text(f"{text}\n", encoding="utf-8")
    for path in sorted(directory.iterdir()):
        print(f"{path.stat().st_size:>9,} bytes  {path}")


def embedded() -> bytes:
    """The file of an embedded warehouse with the pings played."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        file = directory / "monitoring.duckdb"
        with expmon.connect(f"duckdb://{file}") as monitor:
            monitor.deploy()
            stored.describe(monitor, directory)
            stored.play(monitor, directory, stored.STORED)
        return file.read_bytes()


def resources() -> list[dict[str, Any]]:
    """The tables and views that deploy makes in a project, each after those that it reads."""
    with launch.bigquery(stored.PROJECT) as server:
        os.environ["BIGQUERY_EMULATOR_HOST"] = server.rest_url
        google = bigquery.Client(stored.PROJECT, AnonymousCredentials())
        url, settings = f"bigquery://{stored.PROJECT}?location=US", {"project": stored.PROJECT}
        with expmon.connect(url, settings=settings) as monitor:
            names = monitor.settings.names
            worlds.Cloud(monitor, None, google, None).prepare()
        made = [r for r in RELATIONS.values() if r.kind is not Kind.SOURCE or r == EXPERIMENTS]
        found = [google.get_table(str(names.of(relation))).to_api_repr() for relation in made]
    return [{key: table[key] for key in DECLARED if key in table} for table in found]


if __name__ == "__main__":
    main()
