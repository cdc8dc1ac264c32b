"""Exports of made-up answers into a store in memory: no engine takes part."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from expmon import Monitor
from expmon.warehouse.fake import FakeWarehouse

OVERALL = "experiment_enrollment_overall"
EIGHT = (
    OVERALL,
    "experiment_unenrollment_overall",
    "experiment_enrollment_other_events_overall",
    "experiment_enrollment_cumulative_population_estimate",
    "experiment_enrollment_daily_active_population",
    "experiment_cumulative_ad_clicks",
    "experiment_cumulative_search_count",
    "experiment_cumulative_search_with_ads_count",
)
CLAIM, INDEX = "_expmon/claim.json", "index.json"
T1 = datetime(2021, 1, 26, 1, tzinfo=UTC)
T2, T3, T4 = (T1 + n * timedelta(minutes=5) for n in (1, 2, 3))

METADATA = pa.schema(
    [
        ("slug", pa.string()),
        ("start_date", pa.date32()),
        ("relation", pa.string()),
        ("latest_partition", pa.string()),
        ("as_of", pa.timestamp("us", "UTC")),
        ("past_as_of", pa.timestamp("us", "UTC")),
        ("time", pa.timestamp("us", "UTC")),
        ("experiment", pa.string()),
        ("check_name", pa.string()),
        ("branch", pa.string()),
    ]
)
POINT = pa.struct(
    [("time", pa.timestamp("us", "UTC")), ("branch", pa.string()), ("value", pa.int64())]
)
SERIES = pa.schema(
    [("dataset", pa.string()), ("experiment", pa.string()), ("points", pa.list_(POINT))]
)


def monitor(store, values, *, as_of=T1):
    """A monitor of these experiments, each with one point of this value in every dataset."""
    experiments = [{"slug": slug, "start_date": date(2021, 1, 20)} for slug in values]
    derived = [
        {"relation": f"telemetry_derived.{d}_v1", "latest_partition": "20210126", "as_of": as_of}
        for d in EIGHT
    ]
    point = {"time": datetime(2021, 1, 26, tzinfo=UTC), "branch": "a"}
    series = [
        {"dataset": d, "experiment": slug, "points": [{**point, "value": value}]}
        for slug, value in values.items()
        for d in EIGHT
    ]
    answers = {
        "export_metadata": pa.Table.from_pylist(experiments + derived, schema=METADATA),
        "export_series": pa.Table.from_pylist(series, schema=SERIES),
    }
    return Monitor(FakeWarehouse(answers=answers), store)


def contents(values):
    """The files that an export of these experiments must leave."""
    time = "2021-01-26 00:00:00 UTC"
    return {
        f"{slug}_{dataset}{suffix}.json": [{**branch, "time": time, "value": str(value)}]
        for slug, value in values.items()
        for dataset in EIGHT
        for suffix, branch in (("", {}), ("_by_branch", {"branch": "a"}))
    }


def exported(store):
    """The files that are there, helpers and index left out."""
    return {
        name: json.loads(store.read(name).data) for name in store.generations() if name != INDEX
    }


def index_of(store):
    return json.loads(store.read(INDEX).data)


class Watched:
    """A store that calls `before` and `after` around each write with the name.

    Files are written by several threads, and so these are called.
    """

    def __init__(self, inner, before=lambda _: None, after=lambda _: None):
        self.inner, self.before, self.after = inner, before, after
        self.url, self.read, self.checksums = inner.url, inner.read, inner.checksums
        self.generations, self.close = inner.generations, inner.close

    def write(self, name, data, *, generation=None, as_of=None):
        self.before(name)
        self.inner.write(name, data, generation=generation, as_of=as_of)
        self.after(name)


def once(name, act):
    """A hook that acts at the first write of that name."""
    waiting = [act]

    def hook(written):
        if written == name and waiting:
            waiting.pop()()

    return hook


def files_below(directory):
    """Every file below the directory but the lock, without the names of the runs that wrote it."""
    found = {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != "lock"
    }
    for name in {"index.json", "_expmon/claim.json"} & found.keys():
        found[name] = re.sub(rb'"run_id": ?"\w+"', b"", found[name])
    return found
