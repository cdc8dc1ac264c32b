"""Names are data, whatever they look like: counted as they are, refused as the name of a file."""

from __future__ import annotations

import contextlib
import logging
from datetime import date

import pytest

import playing
import reference
from expmon.errors import WarehouseError
from pings import event, event_ping, main_ping
from playing import HOUR, at
from tricky import NAMES, SLUGS
from worlds import Cloud, assert_exported, describe

OVERALL = "experiment_enrollment_overall"
DAY = date(2021, 1, 26)
NOW = at("2021-01-27T03:04")
TIMES = ("2021-01-26T23:57:00Z", "2021-01-27T00:02:00Z", "2021-01-27T03:01:00Z")
"""The last window of a day that becomes final, an hour that is written, and recents."""


def traffic():
    """Each name as experiment, branch, type, extra and source of searches; one name's numbers."""
    for moment in TIMES:
        for number, name in enumerate(NAMES):
            enroll = event("enroll", name, name, kind=name, extras={name: name})
            graduate = event("graduate", "one", name, kind=name)
            events = [enroll] * (number % 3 + 1) + [event("enroll", "one", name), graduate]
            yield event_ping(moment, *events)
            counts = {"searches": {name: str(number)}, "with_ads": {name: 2 * number}}
            yield main_ping(moment, {name: name, "one": name}, **counts, ad_clicks={name: number})


PLAYED = reference.Played(
    list(traffic()),
    NOW,
    frozenset({DAY}),
    frozenset(at("2021-01-27T00:00") + n * HOUR for n in range(3)),
    DAY,
)


def never_looked_up(world, name):
    """BigQuery's emulator alone can't compare a column with a text that has a NUL."""
    if isinstance(world, Cloud) and "\0" in name:
        return pytest.raises(WarehouseError, match="DuckLake: unterminated quoted string")
    return contextlib.nullcontext()


def test_names_are_counted_described_fetched_and_exported_as_they_are(world, caplog):
    monitor = world.monitor
    world.ingest(PLAYED.pings)
    for cadence in ("daily", "hourly", "live"):
        monitor.run(cadence, NOW)
    playing.assert_as_expected(monitor, PLAYED)

    described = {name: dict.fromkeys(("type", "app_name", "channel"), name) for name in NAMES}
    rows = [{"normandy_slug": n, "start_date": DAY, **texts} for n, texts in described.items()]
    describe(world, *rows)
    describe(world, *rows[::2])  # again, in the place of their own and of no others
    found = monitor.experiments(NOW)[["slug", "type", "app_name", "channel"]]
    assert found.to_numpy().tolist() == [[name] * 4 for name in sorted(NAMES)]

    of_one = [row for row in reference.derived(PLAYED)[OVERALL] if row[2] == "one"]
    for branch in NAMES:
        with never_looked_up(world, branch):
            frame = monitor.fetch_dataframe(OVERALL, "one", branch)
            rows = [row for row in of_one if row[1] == branch]
            assert list(frame.itertuples(index=False, name=None)) == rows

    with caplog.at_level(logging.WARNING, logger="expmon"):
        done = monitor.export_active(NOW)
    assert_exported(world, PLAYED, NOW, dict.fromkeys(SLUGS, DAY))
    assert set(done.experiments) == SLUGS
    assert set(done.skipped) == set(NAMES) - SLUGS
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("expmon")]
    assert len(lines) == len(NAMES) - len(SLUGS)
    assert all(line.isprintable() for line in lines)
