"""What is refused, and that nothing half-done is left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

import pings
import playing
import tricky
from expmon import Monitor, connect
from expmon.errors import (
    InvalidInput,
    InvalidSlug,
    InvalidTime,
    NotDeployed,
    UnknownDataset,
    WarehouseError,
    WarehouseLocked,
)
from expmon.export.store import MemoryStore
from expmon.warehouse.fake import FakeWarehouse
from playing import at

OVERALL = "experiment_enrollment_overall"
NOW = at("2021-01-26T05:00")
NAIVE = datetime(2021, 1, 26, 5)  # noqa: DTZ001 - it is to be refused
DAY, NEXT = date(2021, 1, 25), date(2021, 1, 26)


@pytest.fixture
def fake():
    return Monitor(FakeWarehouse(), MemoryStore())


def is_untouched(fake):
    """Whether nothing has been asked of the warehouse, or written to it or the store."""
    warehouse = fake.warehouse
    return not (warehouse.queries or warehouse.writes or fake.store.written)


SLUGS = {
    "empty": "",
    "way up": "../x",
    "dots": "..",
    "dots inside": "a..b",
    "leading dot": ".hidden",
    "leading dash": "-rf",
    "quote": "a'b",
    "slash": "a/b",
    "backslash": "a\\b",
    "space": "a b",
    "NUL": "a\0b",
    "newline at the end": "exp\n",
    "151 characters": "a" * 151,
    "300 characters": "a" * 300,
    "no ASCII": "Ünicode",
    "digits of another script": "a٣",
    "no text": 5,
    "nothing": None,
    **{ascii(name)[:40]: name for name in tricky.NAMES if name not in tricky.SLUGS},
}


@pytest.mark.parametrize("slug", SLUGS.values(), ids=SLUGS)
@pytest.mark.parametrize(
    "use",
    [lambda m, slug: m.fetch_dataframe(OVERALL, slug), lambda m, slug: m.export_experiment(slug)],
    ids=["fetch", "export"],
)
def test_what_is_no_slug_is_refused_before_anything_runs(fake, use, slug):
    with pytest.raises(InvalidSlug, match="is not an experiment slug") as caught:
        use(fake, slug)
    assert caught.value.slug == str(slug)
    assert len(str(caught.value)) < 400
    assert is_untouched(fake)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("experiment_enrollment_overal", "experiment_enrollment_overall"),
        ("experiment_cumulative_clicks", "experiment_cumulative_ad_clicks"),
        ("Experiment_Enrollment_Overall", "experiment_enrollment_overall"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        lambda m, name: m.fetch_dataframe(name, "exp"),
        lambda m, name: m.export_experiment("e", [name]),
    ],
    ids=["fetch", "export"],
)
def test_an_unknown_dataset_lists_the_near_ones(fake, use, name, near):
    with pytest.raises(UnknownDataset, match=f"'{name}'. Did you mean .*{near}") as caught:
        use(fake, name)
    assert (caught.value.dataset, near in caught.value.near) == (name, True)
    assert is_untouched(fake)


@pytest.mark.parametrize("name", ["", "zzz", "a" * 10_000, "telemetry.experiment'; --", "日本"])
def test_a_dataset_like_no_other_points_to_the_list(fake, name):
    with pytest.raises(UnknownDataset) as caught:
        fake.fetch_dataframe(name, "exp")
    assert caught.value.near or "`expmon datasets` lists them all" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert is_untouched(fake)


TIMED = {
    "plan": lambda m, moment: m.plan("live", moment),
    "run": lambda m, moment: m.run("live", moment),
    "backfill": lambda m, moment: m.backfill(DAY, NEXT, as_of=moment),
    "status": lambda m, moment: m.status(moment),
    "experiments": lambda m, moment: m.experiments(moment),
    "export_experiment": lambda m, moment: m.export_experiment("exp", as_of=moment),
    "export_active": lambda m, moment: m.export_active(moment),
}
MOMENTS = {
    "fetch from": lambda m, moment: m.fetch_dataframe(OVERALL, "exp", start=moment),
    "fetch until": lambda m, moment: m.fetch_dataframe(OVERALL, "exp", end=moment),
    "ingest": lambda m, moment: m.ingest("p.jsonl", moment),
}


@pytest.mark.parametrize("moment", [NAIVE, "2021-01-26T05:00:00Z", 1_611_637_200])
@pytest.mark.parametrize("use", {**TIMED, **MOMENTS}.values(), ids={**TIMED, **MOMENTS})
def test_a_time_without_a_zone_is_refused_before_anything_runs(fake, use, moment):
    with pytest.raises(InvalidTime):
        use(fake, moment)
    assert is_untouched(fake)


@pytest.mark.parametrize("use", TIMED.values(), ids=TIMED)
def test_a_date_is_no_as_of(fake, use):
    with pytest.raises(InvalidTime, match="as_of must be a datetime"):
        use(fake, NEXT)
    assert is_untouched(fake)


@pytest.mark.parametrize("use", TIMED.values(), ids=TIMED)
def test_an_as_of_in_the_future_is_refused_before_anything_runs(fake, use):
    with pytest.raises(InvalidTime, match="in the future"):
        use(fake, datetime.now(UTC) + timedelta(minutes=10))
    assert is_untouched(fake)


@pytest.mark.parametrize("cadence", ["", "weekly", "LIVE", "live ", None, 5])
@pytest.mark.parametrize("use", [Monitor.plan, Monitor.run], ids=["plan", "run"])
def test_an_unknown_cadence_lists_the_three(fake, use, cadence):
    with pytest.raises(InvalidInput, match="choose one of live, hourly, daily"):
        use(fake, cadence, NOW)
    assert is_untouched(fake)


@pytest.mark.parametrize(
    ("start", "end"),
    [(NOW, NOW - timedelta(microseconds=1)), (NEXT, DAY), (NEXT, at("2021-01-25T23:59"))],
)
def test_an_end_before_the_start_is_refused_before_anything_is_fetched(fake, start, end):
    with pytest.raises(InvalidTime, match="is before start"):
        fake.fetch_dataframe(OVERALL, "exp", start=start, end=end)
    assert is_untouched(fake)


@pytest.mark.parametrize("end", [DAY, DAY - timedelta(days=1)], ids=["empty", "backwards"])
def test_a_backfill_of_nothing_is_refused(fake, end):
    with pytest.raises(InvalidTime, match="nothing to backfill"):
        fake.backfill(DAY, end, as_of=NOW)
    assert is_untouched(fake)


@pytest.mark.parametrize("moment", [NOW, NAIVE, "2021-01-25", 20210125, None])
@pytest.mark.parametrize("is_end", [False, True], ids=["start", "end"])
def test_a_backfill_takes_dates_alone(fake, moment, is_end):
    days = (DAY, moment) if is_end else (moment, NEXT)
    with pytest.raises(InvalidTime, match=f"{'end' if is_end else 'start'} must be a date"):
        fake.backfill(*days, as_of=NOW)
    assert is_untouched(fake)


def test_a_backfill_of_a_day_that_is_not_ready_says_when_it_will_be(fake):
    with pytest.raises(InvalidTime, match="not ready before 2021-01-27 03:00"):
        fake.backfill(DAY, date(2021, 1, 27), as_of=NOW)
    assert is_untouched(fake)


def ping_file():
    return pings.write(Path("p.jsonl"), [pings.event_ping("2021-01-26T00:01:00Z")])


def recipe_file():
    path = Path("recipes.json")
    path.write_text('{"slug": "exp", "startDate": "2021-01-01"}')
    return path


USES = {
    "plan": lambda m: m.plan("live", NOW),
    "run": lambda m: m.run("live", NOW),
    "backfill": lambda m: m.backfill(DAY, NEXT, as_of=NOW),
    "status": lambda m: m.status(NOW),
    "ingest": lambda m: m.ingest(ping_file()),
    "ingest_recipes": lambda m: m.ingest_recipes(recipe_file()),
    "experiments": lambda m: m.experiments(NOW),
    "fetch_dataframe": lambda m: m.fetch_dataframe(OVERALL, "exp"),
    "export_experiment": lambda m: m.export_experiment("exp", as_of=NOW),
    "export_active": lambda m: m.export_active(NOW),
}
WITH_DEPLOY = {"deploy": lambda m: m.deploy(), **USES}


def exported_files():
    return list(Path("exports").glob("*.json"))


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("place", ["new.duckdb", "no/such/place.duckdb"])
def test_a_file_that_is_not_there_is_named_and_not_made(use, place):
    monitor = connect(f"duckdb://{place}", "exports")
    with pytest.raises(NotDeployed, match=rf"{place} .*`expmon deploy` or monitor\.deploy\(\)"):
        use(monitor)
    assert not Path(place).exists()
    assert not Path(place).parent.joinpath("no").exists()
    assert exported_files() == []


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_database_that_was_never_deployed_says_deploy_and_stays_empty(use):
    duckdb.connect("new.duckdb").close()
    with connect("duckdb://new.duckdb", "exports") as monitor, pytest.raises(NotDeployed) as caught:
        use(monitor)
    assert "`expmon deploy` or monitor.deploy()" in str(caught.value)
    with duckdb.connect("new.duckdb") as connection:
        assert connection.execute("SELECT COUNT(*) FROM duckdb_tables()").fetchone() == (0,)
    assert exported_files() == []


@pytest.mark.parametrize("use", WITH_DEPLOY.values(), ids=WITH_DEPLOY)
@pytest.mark.parametrize("content", [b"no database at all", b"PK\x03\x04" + b"\0" * 5000])
def test_a_file_that_is_no_database_is_left_as_it_is(use, content):
    Path("mine.duckdb").write_bytes(content)
    monitor = connect("duckdb://mine.duckdb", "exports")
    with pytest.raises(WarehouseError, match="is no DuckDB database; it was left as it is"):
        use(monitor)
    assert Path("mine.duckdb").read_bytes() == content
    assert exported_files() == []


def test_a_file_is_not_deployed_into_a_directory_that_does_not_exist():
    with pytest.raises(WarehouseError, match=r"no/such/place\.duckdb can't be created"):
        connect("duckdb://no/such/place.duckdb").deploy()
    assert not Path("no").exists()


def test_a_directory_in_the_files_place_is_refused():
    Path("place.duckdb").mkdir()
    with pytest.raises(WarehouseError, match=r"place\.duckdb can't be created"):
        connect("duckdb://place.duckdb").deploy()
    assert list(Path("place.duckdb").iterdir()) == []


HOLDER = """
import sys, expmon
with expmon.connect(sys.argv[1]) as monitor:
    monitor.experiments()
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(warehouse_file):
    """Another process that has the warehouse; it lets go once its input is closed."""
    command = [sys.executable, "-c", HOLDER, f"duckdb://{warehouse_file}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().strip() == b"open"
        yield process


def test_a_database_that_another_process_has_is_locked_for_everything(
    other_process, warehouse_file
):
    before = warehouse_file.read_bytes()
    with connect(f"duckdb://{warehouse_file}", "exports") as monitor:
        for name, use in WITH_DEPLOY.items():
            with pytest.raises(WarehouseLocked, match="another process has it") as caught:
                use(monitor)
            assert isinstance(caught.value, TimeoutError), name
        with pytest.raises(WarehouseLocked):
            monitor.run("live", NOW, wait=timedelta(milliseconds=200))
    assert warehouse_file.read_bytes() == before
    assert exported_files() == []


def test_a_run_waits_until_the_other_process_lets_go(other_process, warehouse_file, tmp_path):
    letting_go = threading.Timer(0.5, other_process.stdin.close)
    with connect(f"duckdb://{warehouse_file}") as monitor:
        letting_go.start()
        run = monitor.run("live", NOW, wait=timedelta(seconds=60))
        letting_go.join()
        assert len(run.written) == len(run.plan.steps) > 0
        playing.ingest(monitor, tmp_path / "p.jsonl", [pings.event_ping("2021-01-26T00:01:00Z")])


def test_a_database_that_a_crashed_process_had_is_free_again(other_process, warehouse_file):
    other_process.kill()
    other_process.wait()
    with connect(f"duckdb://{warehouse_file}") as monitor:
        assert monitor.experiments(NOW).empty


@pytest.mark.parametrize("content", [b"", b"hello", b"x" * 8])
def test_a_short_file_that_is_no_database_is_not_said_to_be_locked(content):
    Path("mine.duckdb").write_bytes(content)
    with pytest.raises(WarehouseError, match="is no DuckDB database"):
        connect("duckdb://mine.duckdb").deploy()
    assert Path("mine.duckdb").read_bytes() == content


def test_times_and_waits_out_of_range_are_refused(fake):
    with pytest.raises(InvalidTime, match="too long ago"):
        fake.plan("daily", datetime(1, 1, 1, tzinfo=UTC))
    for wait in (timedelta(seconds=-1), timedelta(seconds=-5)):
        with pytest.raises(InvalidInput, match="wait must not be negative"):
            fake.run("live", NOW, wait=wait)
    assert is_untouched(fake)


def test_a_branch_that_is_no_text_at_all_is_refused(fake):
    with pytest.raises(InvalidInput, match="branch must be a text"):
        fake.fetch_dataframe(OVERALL, "exp", "\ud800")
    assert is_untouched(fake)
