"""A warehouse in a temporary directory, a handful of made-up pings, and what became of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import expmon

SLUG = "a-new-toolbar"
NOON = datetime(2025, 3, 24, 12, tzinfo=UTC)


def enrollment(number: int, method: str, branch: str) -> dict[str, object]:
    """An event ping as a client sends it, received two minutes after the one before."""
    return {
        "type": "event",
        "version": 4,
        "id": f"document-{number}",
        "clientId": f"client-{number}",
        "submission_timestamp": (NOON + timedelta(minutes=2 * number)).isoformat(),
        "payload": {
            "events": {
                "parent": [
                    [1000, "normandy", method, "nimbus_experiment", SLUG, {"branch": branch}]
                ]
            }
        },
    }


def main() -> None:
    happened = ["enroll control", "enroll treatment", "enroll control", "unenroll control"]
    pings = [enrollment(number, *what.split()) for number, what in enumerate(happened)]
    as_of = NOON + timedelta(minutes=15)
    with TemporaryDirectory() as directory:
        here = Path(directory)
        (here / "pings.json").write_text("\n".join(map(json.dumps, pings)), encoding="utf-8")
        with expmon.connect(f"duckdb://{here}/monitoring.duckdb", here / "exports") as monitor:
            print(f"deployed: {len(monitor.deploy())} tables and views")
            ingested = monitor.ingest(here / "pings.json")
            print(f"ingested: {ingested.rows}, {len(ingested.skipped)} skipped")
            run = monitor.run("live", as_of)
            print(f"live run: {len(run.written)} partitions and tables written")
            exported = monitor.export_experiment(SLUG, as_of=as_of)
            print(f"exported: {len(exported.written)} files, such as {exported.written[0]}")
            population = "experiment_enrollment_cumulative_population_estimate"
            print(monitor.fetch_dataframe(population, SLUG))


if __name__ == "__main__":
    main()
