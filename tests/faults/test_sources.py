"""Sources that are missing or of another shape: what is said, what is kept, and what comes next."""

from __future__ import annotations

import re

import pytest

import expmon
import playing
from expmon.errors import NotDeployed, SchemaMismatch
from playing import at

AS_OF = at("2021-01-26T03:32")
CADENCES = ("daily", "hourly", "live")
DEPLOY = (
    "{} does not exist. Create the tables and views first: `expmon deploy` or monitor.deploy()."
)
ALTER = (
    "{} has other columns than expmon's catalogue: {} is missing; {} is not in the catalogue. "
    "It was left as it is. Move it away or alter it, then deploy again."
)
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
