"""A warehouse with two simulated days of two experiments, for the notebooks to look at."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import mkdtemp

import expmon
from expmon.sandbox import Experiment, Traffic, simulate

SLUG = "a-new-toolbar"
TRAFFIC = Traffic(start=date(2025, 3, 24), days=2, clients=2_000, seed=1)
AS_OF = TRAFFIC.closes
"""00:00 UTC after the second day: the first one is final."""
_BRANCHES = {SLUG: {"control": 1, "treatment": 1}, "a-calmer-start": {"on": 1}}


def connect() -> expmon.Monitor:
    """A monitor of a new warehouse in a temporary directory."""
    here = Path(mkdtemp(prefix="expmon-"))
    monitor = expmon.connect(f"duckdb://{here}/monitoring.duckdb", here / "exports")
    monitor.deploy()
    (here / "recipes.json").write_text(json.dumps(_recipes()), encoding="utf-8")
    monitor.ingest_recipes(here / "recipes.json")
    with (here / "pings.json").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(ping) + "\n" for ping in simulate(_experiments(), TRAFFIC))
    monitor.ingest(here / "pings.json")
    for cadence in ("daily", "hourly", "live"):
        monitor.run(cadence, AS_OF)
    return monitor


def _recipes() -> list[dict[str, object]]:
    return [
        {
            "slug": slug,
            "appName": "firefox_desktop",
            "channel": "release",
            "startDate": TRAFFIC.start.isoformat(),
            "isRollout": len(branches) == 1,
            "branches": [{"slug": name, "ratio": ratio} for name, ratio in branches.items()],
        }
        for slug, branches in _BRANCHES.items()
    ]


def _experiments() -> list[Experiment]:
    return [
        Experiment(
            slug=slug,
            start=datetime(2025, 3, 24, tzinfo=UTC),
            end=None,
            branches=tuple(branches.items()),
            is_rollout=len(branches) == 1,
            share=0.5,
        )
        for slug, branches in _BRANCHES.items()
    ]
