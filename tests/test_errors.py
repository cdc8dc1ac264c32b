from __future__ import annotations

import builtins
import copy
import inspect
import pickle
import re
from datetime import UTC, date, datetime

import pytest

from expmon import errors
from expmon.errors import (
    ConfigError,
    DeliveryError,
    ExpmonError,
    ExportSuperseded,
    ExtraMissing,
    InvalidInput,
    InvalidSlug,
    InvalidTime,
    NotDeployed,
    NotExported,
    PartitionViolation,
    PingError,
    SchemaMismatch,
    SourceMissing,
    StoreConflict,
    StoreError,
    UnknownDataset,
    UnknownExperiment,
    UnsupportedSQL,
    WarehouseError,
    WarehouseLocked,
    WrongSchemaVersion,
)

EARLIER = datetime(2021, 1, 26, tzinfo=UTC)
LATER = datetime(2021, 1, 26, 0, 5, tzinfo=UTC)


def classes():
    """All classes of the module, from their definitions."""
    found = inspect.getmembers(errors, inspect.isclass)
    return {name: cls for name, cls in found if cls.__module__ == errors.__name__}


def drawing():
    """The drawing at the top of the module: each name with its parent and its builtin, if any."""
    entries = {}
    above = []
    for line in errors.__doc__.splitlines():
        drawn = re.fullmatch(r"((?:│   |    |├── |└── )*)(\w+)(?: +\((\w+)\))?(?: {2,}\S.*)?", line)
        if drawn:
            depth = len(drawn[1]) // 4
            assert depth <= len(above), line
            del above[depth:]
            entries[drawn[2]] = (above[-1] if above else None, drawn[3])
            above.append(drawn[2])
    return entries


def test_every_error_of_the_module_is_drawn_and_every_drawn_one_is_there():
    assert drawing().keys() == classes().keys()


@pytest.mark.parametrize("name", sorted(classes()))
def test_an_error_derives_from_what_the_drawing_says(name):
    parent, builtin = drawing()[name]
    expected = [classes()[parent]] if parent else [Exception]
    expected += [getattr(builtins, builtin)] if builtin else []
    assert classes()[name].__bases__ == tuple(expected)


@pytest.mark.parametrize("name", sorted(classes()))
def test_an_error_is_caught_as_every_builtin_on_its_way_to_the_root(name):
    entries = drawing()
    caught = set()
    step = name
    while step:
        step, builtin = entries[step]
        caught |= {getattr(builtins, builtin)} if builtin else set()
    assert issubclass(classes()[name], ExpmonError)
    assert {cls for cls in caught if not issubclass(classes()[name], cls)} == set()
    assert bool(caught) == (name != "ExpmonError")


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ConfigError("x"), ValueError),
        (ExtraMissing("plot", "matplotlib"), ImportError),
        (InvalidSlug("x"), ValueError),
        (InvalidTime("x"), ValueError),
        (UnknownDataset("x", []), LookupError),
        (UnknownExperiment("x"), LookupError),
        (PingError("x"), ValueError),
        (NotDeployed("a.x"), LookupError),
        (SourceMissing("a.x", date(2021, 1, 26), ["a.y"]), LookupError),
        (PartitionViolation("a.x", "20210126", 1, sql=""), RuntimeError),
        (WarehouseLocked("x"), TimeoutError),
        (UnsupportedSQL("x", "duckdb", "y"), RuntimeError),
        (ExportSuperseded(EARLIER, LATER), OSError),
        (StoreConflict("x", "y"), OSError),
        (DeliveryError("x", "y", "z"), OSError),
        (NotExported("x"), LookupError),
    ],
)
def test_who_knows_nothing_of_expmon_catches_a_builtin(error, builtin):
    with pytest.raises(builtin) as caught:
        raise error
    assert caught.value is error


SLUG = InvalidSlug("a b")
UNKNOWN = UnknownDataset("experiment_enrolment", ["experiment_enrollment_overall", "other"])
LOST = UnknownDataset("x", [])
ABSENT = NotDeployed("telemetry_derived.x_v1", sql="SELECT 1")
MISMATCH = SchemaMismatch("telemetry_derived.x_v1", ["value is a STRING", "time is missing"])
VIOLATION = PartitionViolation("telemetry_derived.x_v1", "20210126", 3, sql="SELECT 1")
UNSUPPORTED = UnsupportedSQL("experiment_x", "duckdb", "no TIMESTAMP_BUCKET")
NOBODY = UnknownExperiment("my-experiment")
MISSING = SourceMissing("telemetry_derived.x_v1", date(2021, 1, 26), ["a.b", "c.d"])
NEWER, OLDER = WrongSchemaVersion(3, 2), WrongSchemaVersion(1, 2)
CONFLICT = StoreConflict("index.json", "gs://bucket/monitoring")
BARE = ExtraMissing("plot", "matplotlib")
UNDELIVERED = DeliveryError("example.com", "it answered 400", "Check the address.")
UNEXPORTED = NotExported("gs://bucket/monitoring", "my-experiment", ["my-other", "mine"])
SUPERSEDED = ExportSuperseded(EARLIER, LATER)


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (SLUG, {"slug": "a b"}),
        (
            UNKNOWN,
            {
                "dataset": "experiment_enrolment",
                "near": ("experiment_enrollment_overall", "other"),
            },
        ),
        (LOST, {"dataset": "x", "near": ()}),
        (WarehouseError("failed", sql="SELECT 1"), {"sql": "SELECT 1"}),
        (WarehouseLocked("busy"), {"sql": None}),
        (ABSENT, {"relation": "telemetry_derived.x_v1", "sql": "SELECT 1"}),
        (NotDeployed("a.b"), {"relation": "a.b", "sql": None}),
        (
            MISMATCH,
            {
                "relation": "telemetry_derived.x_v1",
                "differences": ("value is a STRING", "time is missing"),
                "sql": None,
            },
        ),
        (
            VIOLATION,
            {
                "relation": "telemetry_derived.x_v1",
                "partition": "20210126",
                "rows": 3,
                "sql": "SELECT 1",
            },
        ),
        (
            MISSING,
            {
                "relation": "telemetry_derived.x_v1",
                "day": date(2021, 1, 26),
                "sources": ("a.b", "c.d"),
                "sql": None,
            },
        ),
        (NEWER, {"found": 3, "known": 2, "sql": None}),
        (NOBODY, {"slug": "my-experiment"}),
        (BARE, {"extra": "plot"}),
        (CONFLICT, {"name": "index.json"}),
        (UNSUPPORTED, {"name": "experiment_x"}),
        (SUPERSEDED, {"as_of": EARLIER, "newer": LATER}),
        (UNDELIVERED, {"place": "example.com", "reason": "it answered 400"}),
        (UNEXPORTED, {"slug": "my-experiment", "near": ("my-other", "mine")}),
        (NotExported("exports"), {"slug": None, "near": ()}),
    ],
)
def test_an_error_carries_its_facts(error, facts):
    assert vars(error) == facts


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (SLUG, ["'a b' is not an experiment slug", "at most 150 characters", "query those"]),
        (
            UNKNOWN,
            [
                "no dataset 'experiment_enrolment'",
                "Did you mean experiment_enrollment_overall, other?",
            ],
        ),
        (LOST, ["no dataset 'x'", "expmon datasets` lists them all"]),
        (ABSENT, ["telemetry_derived.x_v1 does not exist", "`expmon deploy`", "monitor.deploy()"]),
        (
            MISMATCH,
            [
                "telemetry_derived.x_v1 has other columns",
                "value is a STRING; time is missing",
                "Move it away or alter it, then deploy again.",
            ],
        ),
        (NEWER, ["schema version 3", "works with 2", "pip install --upgrade expmon", "Nothing"]),
        (OLDER, ["schema version 1", "works with 2", "`expmon deploy`", "Nothing was written"]),
        (VIOLATION, ["3 rows for telemetry_derived.x_v1$20210126", "nothing was written", "bug"]),
        (
            MISSING,
            [
                "day 2021-01-26 of telemetry_derived.x_v1",
                "a.b, c.d",
                "Load that day first",
                "empty_sources",
            ],
        ),
        (NOBODY, ["no experiment 'my-experiment'", "`expmon experiments` lists"]),
        (BARE, ["matplotlib is not installed: pip install 'expmon[plot]'"]),
        (CONFLICT, ["index.json in gs://bucket/monitoring", "Export again"]),
        (UNSUPPORTED, ["experiment_x", "duckdb", "no TIMESTAMP_BUCKET"]),
        (SUPERSEDED, ["2021-01-26T00:00:00+00:00", "2021-01-26T00:05:00+00:00", "Nothing to do"]),
        (
            UNDELIVERED,
            [
                "could not be delivered to example.com: it answered 400. Check the address.",
                "It waits, and those after it: the next `expmon alerts`",
            ],
        ),
        (
            UNEXPORTED,
            [
                "my-experiment has not been exported to gs://bucket/monitoring",
                "Did you mean my-other, mine?",
                "`expmon export my-experiment`",
            ],
        ),
        (NotExported("exports"), ["nothing has been exported to exports", "`expmon export`"]),
    ],
)
def test_a_message_says_what_is_wrong_and_what_to_do(error, parts):
    assert [part for part in parts if part not in str(error)] == []


@pytest.mark.parametrize(
    "cls", [ConfigError, InvalidInput, InvalidTime, PingError, WarehouseLocked, StoreError]
)
def test_an_error_without_a_message_of_its_own_keeps_the_given_one(cls):
    assert str(cls("set EXPMON_STORE")) == "set EXPMON_STORE"


@pytest.mark.parametrize("error", [InvalidSlug("x" * 10_000), UnknownDataset("x" * 10_000, [])])
def test_a_message_stays_short_whatever_was_given(error):
    assert len(str(error)) < 400
    assert "x" * 80 in str(error)


def test_a_superseded_export_has_no_error_number():
    # OSError reads two arguments as a number and its text.
    assert (SUPERSEDED.errno, SUPERSEDED.strerror) == (None, None)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidSlug("a b"),
        errors.UnknownDataset("x", ["y"]),
        errors.NotDeployed("a.b", sql="SELECT 1"),
        errors.SchemaMismatch("a.b", ["c is missing"]),
        errors.WrongSchemaVersion(3, 2),
        errors.PartitionViolation("a.b", "20210101", 3, sql="SELECT 1"),
        errors.UnsupportedSQL("a", "duckdb", "no"),
        errors.ExportSuperseded(datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 1, 2, tzinfo=UTC)),
        errors.StoreConflict("index.json", "exports"),
        errors.DeliveryError("example.com", "it answered 400", "Check the address."),
        errors.NotExported("exports", "my-experiment", ["my-other"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_whole_out_of_other_processes(error):
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(same) is type(error)
        assert str(same) == str(error)
        assert vars(same) == vars(error)
