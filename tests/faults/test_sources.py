"""Sources that are missing or of another shape: what is said, what is kept, and what comes next."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

import expmon
import playing
from expmon.errors import NotDeployed, SchemaMismatch
from pings import event, event_ping
from playing import HOUR, at

AS_OF = at("2021-01-26T03:32")
CADENCES = ("daily", "hourly", "live")
DEPLOY = (
    "{} does not exist. Create the tables and views first: `expmon deploy` or monitor.deploy()."
)
ALTER = (
    "{} has other columns than expmon's catalogue: {} is missing; {} is not in the catalogue. "
    "It was left as it is. Move it away or alter it, then deploy again."
)
EVENTS_RECENTS = "telemetry_derived.experiment_enrollment_aggregates_recents_v1"
SEARCH_HOURLY = "telemetry_derived.experiment_search_aggregates_hourly_v1"
EVENTS, MAIN = "telemetry_live.event_v4", "telemetry_live.main_v4"


def renamed(source, column):
    """A column under another name, what is said of it, and what makes it good."""
    change = f"ALTER TABLE {source} RENAME COLUMN {{}} TO {{}}"
    return (
        change.format(column, "other"),
        SchemaMismatch,
        ALTER.format(source, column, "other"),
        change.format("other", column),
    )


def missing(source):
    """A source under another name."""
    return (
        f"ALTER TABLE {source} RENAME TO elsewhere",
        NotDeployed,
        DEPLOY.format(source),
        f"ALTER TABLE telemetry_live.elsewhere RENAME TO {source.partition('.')[2]}",
    )


# What is done to a source, and which schedules can't do without what is gone.
BROKEN = {
    "no events": (missing(EVENTS), CADENCES),
    "no main pings": (missing(MAIN), CADENCES),
    "events without payload": (renamed(EVENTS, "payload"), CADENCES),
    "events without time": (renamed(EVENTS, "submission_timestamp"), CADENCES),
    "main pings without environment": (renamed(MAIN, "environment"), CADENCES),
    "main pings without document": (renamed(MAIN, "document_id"), ("daily",)),
    "main pings without client": (renamed(MAIN, "client_id"), ("daily",)),
}


def played(monitor):
    for cadence in CADENCES:
        monitor.run(cadence, AS_OF)
    return playing.tables(monitor)


@pytest.fixture(scope="module")
def wanted(base_file, tmp_path_factory):
    """What the tables hold where nothing is broken."""
    path = tmp_path_factory.mktemp("wanted") / "wanted.duckdb"
    path.write_bytes(base_file.read_bytes())
    with expmon.connect(f"duckdb://{path}") as monitor:
        return played(monitor)


@pytest.mark.parametrize(("fault", "concerned"), BROKEN.values(), ids=BROKEN)
def test_a_broken_source_is_named_and_once_it_is_mended_the_next_runs_make_up(
    copied, wanted, fault, concerned
):
    damage, error, sentence, repair = fault
    with expmon.connect(f"duckdb://{copied()}") as monitor:
        before = playing.tables(monitor)
        monitor.warehouse._file.execute(damage)
        for cadence in concerned:
            with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
                monitor.run(cadence, AS_OF)
        found = playing.tables(monitor)
        assert all(found[name] in (before[name], wanted[name]) for name in found)
        monitor.warehouse._file.execute(repair)
        assert played(monitor) == wanted


def test_a_table_of_ours_or_a_view_that_is_missing_is_named_by_whatever_needs_it(copied):
    with expmon.connect(f"duckdb://{copied()}", "exports") as monitor:
        for kind, name, use in (
            ("VIEW", "telemetry_derived.events_live", lambda: monitor.run("live", AS_OF)),
            (
                "TABLE",
                "telemetry_derived.experiment_enrollment_overall_v1",
                lambda: monitor.export_active(AS_OF),
            ),
            (
                "TABLE",
                "monitoring.experimenter_experiments_v1",
                lambda: monitor.export_active(AS_OF),
            ),
            (
                "TABLE",
                "telemetry_derived.experiment_search_aggregates_v1",
                lambda: monitor.status(AS_OF),
            ),
        ):
            monitor.warehouse._file.execute(f"DROP {kind} {name}")
            with pytest.raises(NotDeployed, match=f"^{re.escape(DEPLOY.format(name))}$") as caught:
                use()
            assert caught.value.relation == name
            assert monitor.deploy() == [f"create {kind.lower()} {name}"]


def test_an_empty_source_counts_as_nothing_and_what_comes_into_it_is_taken_over(
    deployed_file, tmp_path, pings, wanted
):
    """No event ping is there until after the first day has become final."""
    path = tmp_path / "empty.duckdb"
    path.write_bytes(deployed_file.read_bytes())
    events = [ping for ping in pings if ping["type"] == "event"]
    main = [ping for ping in pings if ping["type"] == "main"]
    with expmon.connect(f"duckdb://{path}") as monitor:
        playing.ingest(monitor, tmp_path / "main.json", main)
        for cadence in ("daily", "live"):
            monitor.run(cadence, at("2021-01-26T03:00"))
        found = playing.tables(monitor)
        of_main = {n for n in wanted if any(word in n for word in ("search", "clicks", "active"))}
        assert {name for name, rows in found.items() if rows} == of_main - {SEARCH_HOURLY}
        playing.ingest(monitor, tmp_path / "events.json", events)
        reasons = {step.reason for step in monitor.plan("daily", AS_OF).steps}
        assert reasons == {
            "day 2021-01-25 of telemetry_derived.event_events_v1 has changed since it was counted"
        }
        found = played(monitor)
    for name in wanted:  # the hours of a day that is final before they were written stay out
        assert name.endswith("hourly_v1") or found[name] == wanted[name], name


def test_a_source_that_stops_is_said_to_be_late_while_its_series_are_carried_forward(
    monitor, tmp_path
):
    now = datetime.now(UTC)
    ping = event_ping((now - 5 * HOUR).isoformat(), event("enroll"))
    playing.ingest(monitor, tmp_path / "pings.json", [ping])
    monitor.run("live", now)
    assert {line.verdict for line in monitor.status(now) if line.cadence == "live"} == {"fresh"}
    population = "experiment_enrollment_cumulative_population_estimate"
    values = monitor.fetch_dataframe(population, "exp")["value"].tolist()
    assert values == [1] * len(values)
    assert len(values) in {60, 61}
    # Let it have come four hours ago, and a bit, since some time has passed since.
    monitor.warehouse._file.execute(
        "UPDATE telemetry_derived.expmon_partitions_v1 SET modified_at = modified_at "
        f"- INTERVAL 241 MINUTE WHERE relation = '{EVENTS}'"
    )
    late = {line.relation: line.reason for line in monitor.status(now) if line.verdict == "late"}
    assert late == {
        EVENTS_RECENTS: f"{EVENTS} got no pings for 4 h 0 min: see what has become of its ingestion"
    }
