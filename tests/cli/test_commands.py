from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

import expmon
import pings
from expmon.catalog import RELATIONS
from expmon.cli import main

AS_OF = "2021-01-26T04:00Z"
RECIPES = [
    {
        "slug": "exp",
        "appName": "firefox_desktop",
        "channel": "release",
        "isRollout": False,
        "startDate": "2021-01-25",
        "enrollmentEndDate": None,
        "endDate": None,
        "branches": [{"slug": "a", "ratio": 1}, {"slug": "b", "ratio": 1}],
    },
    {"slug": "just-active", "isRollout": True, "startDate": "2021-01-01", "endDate": "2021-01-12"},
    {"slug": "over", "isRollout": True, "startDate": "2021-01-01", "endDate": "2021-01-11"},
]
PINGS = [
    pings.event_ping("2021-01-25T23:58:00Z", pings.event("enroll")),
    pings.event_ping(
        "2021-01-26T00:04:59.999999Z", pings.event("enroll"), pings.event("enroll", branch="b")
    ),
    pings.event_ping("2021-01-26T00:05:00Z", pings.event("unenroll")),
    pings.event_ping("2021-01-26T03:10:00Z", pings.event("exposure", branch=None)),
    pings.main_ping("2021-01-25T10:01:00Z", {"exp": "b"}, searches={"google": 2}),
]
HELP = {
    "demo": "[DIRECTORY]",
    "ingest": "[FILES]..., --submission-timestamp TIME, --recipes FILE",
    "experiments": "--as-of TIME, --format [table|csv|json]",
    "fetch": "DATASET SLUG, --branch TEXT, --start TIME|DATE, --end TIME|DATE, "
    "--format [table|csv|json]",
    "export": "[SLUGS]..., --dataset TEXT, --as-of TIME",
    "plot": "SLUG, --dataset TEXT, --branch TEXT, --start TIME|DATE, --end TIME|DATE, "
    "--output FILE",
    "report": "[SLUG], --all, --output PATH",
    "deploy": "--dry-run",
    "run": "{live|hourly|daily}, --as-of TIME, --wait SECONDS",
    "backfill": "START END, --as-of TIME, --wait SECONDS",
    "plan": "{live|hourly|daily}, --as-of TIME, --cost",
    "status": "--as-of TIME, --format [table|json|prometheus]",
    "health": "[SLUG], --active, --as-of TIME, --all, --rate FLOAT, --format [text|json|csv]",
    "alerts": "--as-of TIME, --to PLACE, --dry-run, --wait SECONDS, --format [text|json]",
    "replay": "--from TIME, --to TIME, --experiment SLUG, --every MINUTES, --format [text|json]",
    "calibrate": "--ratios N:N[:N…], --clients-per-window CLIENTS, --days INTEGER, --runs INTEGER, "
    "--effect EFFECT, --leaving PERCENT, --alpha FLOAT, --concentration CLIENTS, --seed INTEGER, "
    "--format [table|json]",
    "drift": "--as-of TIME, --days INTEGER, --threshold PERCENT, --at-least COUNT, "
    "--format [table|json|prometheus]",
    "sql": "[NAME], --out DIRECTORY",
    "datasets": "[NAME]",
    "grafana": "--out FILE",
    "config": "--tables, --format [table|json]",
    "doctor": "--format [table|json]",
}


def words(text):
    """Each line as its words."""
    return [line.split() for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="session")
def played_file(deployed_file, tmp_path_factory):
    """A warehouse with the pings and recipes above, all three schedules played as of 04:00."""
    folder = tmp_path_factory.mktemp("played")
    path = Path(shutil.copy(deployed_file, folder / "monitoring.duckdb"))
    (folder / "recipes.json").write_text(json.dumps(RECIPES))
    with expmon.connect(f"duckdb://{path}") as monitor:
        monitor.ingest(pings.write(folder / "pings.json", PINGS))
        monitor.ingest_recipes(folder / "recipes.json")
        for cadence in ("daily", "hourly", "live"):
            monitor.run(cadence, datetime(2021, 1, 26, 4, tzinfo=UTC))
    return path


@pytest.fixture
def run(tmp_path):
    """Runs the command on ``monitoring.duckdb`` and ``exports`` here; it must end with a status."""

    def invoke(*arguments, status=0):
        where = ("--warehouse", "duckdb://monitoring.duckdb", "--store", "exports")
        result = CliRunner().invoke(main, [*where, *map(str, arguments)])
        assert result.exit_code == status, result.output
        return result

    return invoke


@pytest.fixture
def empty(warehouse_file, run):
    return run


@pytest.fixture
def played(played_file, tmp_path, run):
    shutil.copy(played_file, tmp_path / "monitoring.duckdb")
    return run


@pytest.mark.parametrize(("command", "flags"), HELP.items())
def test_a_commands_help_says_what_it_takes(run, command, flags):
    text = run(command, "--help").stdout
    flags = flags.split(", ")
    for flag in [*flags, "-h, --help"]:
        assert re.search(rf"(?<!\S){re.escape(flag)}(?!\S)", text), flag
    assert run(command, "-h").stdout == text
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)
    assert [o for o in options if o != "--help"] == [f.split()[0] for f in flags if f[:2] == "--"]


def test_the_help_lists_every_command_and_option(run):
    text = run("--help").stdout
    commands = re.findall(r"^  (\w+)  +\S", text.partition("Commands:")[2], re.MULTILINE)
    assert commands == list(HELP)
    options = ("--version", "--warehouse URL", "--store DIR", "--config FILE", "--set KEY=VALUE")
    for option in (*options, "-v, --verbose", "--log-format [text|json]"):
        assert option in text
    assert "EXPMON_WAREHOUSE" in text
    assert "EXPMON_STORE" in text
    assert "expmon.toml" in text


def test_the_version_is_printed(run):
    assert run("--version").stdout == f"expmon, version {expmon.__version__}\n"


def test_deploy_says_what_it_created_and_then_that_there_is_nothing_to_do(run):
    lines = run("deploy").stdout.splitlines()
    assert len(lines) == 48
    assert "create table telemetry_derived.experiment_enrollment_overall_v1" in lines
    assert "create view telemetry.experiment_enrollment_overall" in lines
    assert lines[-1] == "47 changes"
    assert run("deploy").stdout == "nothing to do: everything is there\n"


def test_a_dry_run_of_deploy_lists_the_changes_and_makes_none(run, tmp_path):
    dry = run("deploy", "--dry-run").stdout.splitlines()
    assert dry[-1] == "47 changes, not made"
    assert list(tmp_path.rglob("*.duckdb*")) == []
    assert run("deploy").stdout.splitlines()[:-1] == dry[:-1]
    assert run("deploy", "--dry-run").stdout == "nothing to do: everything is there\n"


def test_ingest_says_what_was_loaded_and_of_which_days(empty, tmp_path):
    (tmp_path / "recipes.json").write_text(json.dumps(RECIPES))
    result = empty(
        "ingest", pings.write(tmp_path / "a", [*PINGS, PINGS[-1]]), "--recipes", "recipes.json"
    )
    assert result.stdout.splitlines() == [
        "3 rows into monitoring.experimenter_experiments_v1",
        "4 rows into telemetry_live.event_v4",
        "2 rows into telemetry_live.main_v4",
        "of 2021-01-25 to 2021-01-26",
    ]
    assert result.stderr == ""


def test_ingest_stamps_pings_that_have_no_time_of_their_own(empty, tmp_path):
    ping = {k: v for k, v in PINGS[0].items() if k != "submission_timestamp"}
    with gzip.open(tmp_path / "ping.json.gz", "wt") as file:
        file.write(f"{json.dumps(ping)}\n" * 2)
    stamp = ("--submission-timestamp", "2021-03-01T00:30+01:00")
    result = empty("ingest", "ping.json.gz", *stamp)
    assert result.stdout == "2 rows into telemetry_live.event_v4\nof 2021-02-28\n"


def test_a_plan_says_what_a_run_writes_and_writes_nothing(empty, tmp_path):
    empty("ingest", pings.write(tmp_path / "pings.json", PINGS))
    first = empty("plan", "daily", "--as-of", AS_OF)
    destination = "telemetry_derived.experiment_enrollment_aggregates_v1$20210125"
    because = ["day", "2021-01-25", "is", "missing"]
    assert [destination, "WRITE_TRUNCATE", *because] in words(first.stdout)
    assert first.stdout.endswith("3 steps as of 2021-01-26T04:00:00+00:00\n")
    assert empty("plan", "daily", "--as-of", AS_OF).stdout == first.stdout
    written = empty("run", "daily", "--as-of", AS_OF).stdout
    assert [destination, "1", *because] in words(written)
    assert written.endswith("3 partitions or tables written\n")
    after = empty("plan", "daily", "--as-of", AS_OF)
    assert after.stdout == "0 steps as of 2021-01-26T04:00:00+00:00\n"


def test_each_schedule_writes_its_tables_and_the_final_ones_only_once(empty, tmp_path):
    empty("ingest", pings.write(tmp_path / "pings.json", PINGS))
    rows = {}
    for cadence in ("daily", "hourly", "live"):
        lines = words(empty("run", cadence, "--as-of", AS_OF).stdout)
        rows |= {line[0]: line[1] for line in lines if "." in line[0]}
    prefix = "telemetry_derived.experiment_enrollment"
    assert rows[f"{prefix}_aggregates_v1$20210125"] == "1"
    assert rows[f"{prefix}_aggregates_hourly_v1$2021012600"] == "3"
    assert rows[f"{prefix}_aggregates_hourly_v1$2021012601"] == "0"
    assert rows[f"{prefix}_aggregates_recents_v1"] == "1"
    assert rows[f"{prefix}_overall_v1$20210126"] == "4"
    assert rows["telemetry_derived.experiment_cumulative_search_count_v1$20210125"] == "168"
    for cadence in ("daily", "hourly"):
        again = empty("run", cadence, "--as-of", AS_OF)
        assert again.stdout == "0 partitions or tables written\n"


def test_a_live_run_that_comes_too_late_does_nothing_and_says_so(played):
    result = played("run", "live", "--as-of", "2021-01-26T03:00Z")
    assert result.stdout == "0 partitions or tables written\n"
    assert result.stderr.startswith("Note: nothing to do: a live run as of 2021-01-26T04:00:00")


def test_status_is_fresh_after_the_runs(played):
    lines = [line for line in words(played("status", "--as-of", AS_OF).stdout) if "_v1" in line[0]]
    assert len(lines) == 21
    assert {line[-1] for line in lines} == {"fresh"}
    overall = ["experiment_enrollment_overall_v1", "live", "day", "2021-01-26"]
    assert [*overall, "0", "min", "0", "0", "5", "fresh"] in lines


def test_status_says_what_is_late_and_which_command_helps(played):
    text = played("status", "--as-of", "2021-01-26T05:00Z", status=1).stdout
    by_table = {line[0]: " ".join(line) for line in words(text)}
    hourly = by_table["experiment_enrollment_aggregates_hourly_v1"]
    assert hourly.endswith("late hour 2021-01-26T03 is missing: expmon run hourly")
    assert "1 h 0 min" in hourly
    live = by_table["experiment_enrollment_overall_v1"]
    assert re.search(r" late the last live run is .+ old: expmon run live$", live)
    assert by_table["experiment_enrollment_aggregates_v1"].endswith("fresh")


def test_status_is_given_to_programs_as_json(played):
    text = played("status", "--as-of", "2021-01-26T05:00Z", "--format", "json", status=1).stdout
    records = {record["relation"]: record for record in map(json.loads, text.splitlines())}
    assert len(records) == 21
    hourly = records["telemetry_derived.experiment_enrollment_aggregates_hourly_v1"]
    assert hourly == {
        "relation": "telemetry_derived.experiment_enrollment_aggregates_hourly_v1",
        "cadence": "hourly",
        "latest": "2021012602",
        "last_window": "2021-01-26T02:55:00+00:00",
        "as_of": "2021-01-26T04:00:00+00:00",
        "age": 3600.0,
        "rows": 3,
        "missing": 1,
        "stale": 0,
        "verdict": "late",
        "reason": "hour 2021-01-26T03 is missing: expmon run hourly",
    }


def test_status_is_given_to_prometheus_in_its_text_format(played):
    text = played("status", "--as-of", "2021-01-26T05:00Z", "--format", "prometheus", status=1)
    samples = {
        (sample.name, sample.labels["table"], sample.labels.get("verdict")): sample.value
        for family in text_string_to_metric_families(text.stdout)
        for sample in family.samples
    }
    table = "telemetry_derived.experiment_enrollment_aggregates_hourly_v1"
    found = {
        (name, verdict): value for (name, of, verdict), value in samples.items() if of == table
    }
    window = datetime(2021, 1, 26, 2, 55, tzinfo=UTC).timestamp()
    looked = datetime(2021, 1, 26, 4, tzinfo=UTC).timestamp()
    assert found == {
        ("expmon_table_last_window_timestamp_seconds", None): window,
        ("expmon_table_as_of_timestamp_seconds", None): looked,
        ("expmon_table_rows", None): 3.0,
        ("expmon_table_missing_partitions", None): 1.0,
        ("expmon_table_stale_partitions", None): 0.0,
        ("expmon_table_verdict", "fresh"): 0.0,
        ("expmon_table_verdict", "late"): 1.0,
        ("expmon_table_verdict", "stale"): 0.0,
        ("expmon_table_verdict", "broken"): 0.0,
    }


def test_a_table_that_was_never_written_has_no_times_in_prometheus(empty):
    text = empty("status", "--format", "prometheus", status=1).stdout
    assert 'verdict="broken"} 1.0' in text
    assert "timestamp_seconds{" not in text


def test_experiments_are_those_that_ended_at_most_14_days_ago(played):
    lines = words(played("experiments", "--as-of", AS_OF).stdout)
    assert lines[0][:5] == ["slug", "type", "app_name", "channel", "start_date"]
    assert lines[2:] == [
        ["just-active", "rollout", "2021-01-01", "2021-01-12"],
        ["exp", "experiment", "firefox_desktop", "release", "2021-01-25"],
    ]


def test_experiments_are_given_to_programs_as_csv_and_json(played):
    text = played("experiments", "--as-of", AS_OF, "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["slug"] for row in rows] == ["just-active", "exp"]
    assert rows[0]["app_name"] == ""
    assert rows[1]["start_date"].startswith("2021-01-25")
    lines = played("experiments", "--as-of", AS_OF, "--format", "json").stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["slug"] for record in records] == ["just-active", "exp"]
    assert records[0]["app_name"] is None
    assert records[1]["end_date"] is None


def test_fetch_prints_a_table_for_people(played):
    lines = words(played("fetch", "experiment_enrollment_overall", "exp").stdout)
    assert lines[0] == ["time", "branch", "experiment", "value"]
    assert lines[2:] == [
        ["2021-01-25", "23:55", "a", "exp", "1"],
        ["2021-01-26", "00:00", "a", "exp", "1"],
        ["2021-01-26", "00:00", "b", "exp", "1"],
        ["2021-01-26", "00:05", "a", "exp", "0"],
        ["2021-01-26", "03:10", "null", "exp", "0"],
    ]


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ([], ["25T23:55:00Z,a,exp,1", "26T00:00:00Z,a,exp,1", "26T00:00:00Z,b,exp,1"]),
        (["--branch", "b"], ["26T00:00:00Z,b,exp,1"]),
        (["--branch", "nobody"], []),
        (["--start", "2021-01-26"], ["26T00:00:00Z,a,exp,1", "26T00:00:00Z,b,exp,1"]),
        (
            ["--start", "2021-01-26T00:55+01:00", "--branch", "a"],
            [
                "25T23:55:00Z,a,exp,1",
                "26T00:00:00Z,a,exp,1",
            ],
        ),
        (["--start", "2021-01-25T23:55:00.000001Z", "--branch", "a"], ["26T00:00:00Z,a,exp,1"]),
        (["--end", "2021-01-26"], ["25T23:55:00Z,a,exp,1"]),
        (["--start", "2021-01-26", "--end", "2021-01-26"], []),
    ],
)
def test_fetch_prints_csv_of_the_rows_asked_for(played, filters, rows):
    end = [] if "--end" in filters else ["--end", "2021-01-26T00:05Z"]
    command = ("fetch", "experiment_enrollment_overall", "exp", "--format", "csv")
    text = played(*command, *filters, *end).stdout
    assert text.splitlines() == ["time,branch,experiment,value", *(f"2021-01-{r}" for r in rows)]


def test_fetch_prints_a_json_object_for_each_row(played):
    text = played("fetch", "experiment_enrollment_other_events", "exp", "--format", "json").stdout
    assert [json.loads(line) for line in text.splitlines()] == [
        {
            "time": "2021-01-26T03:10:00Z",
            "branch": "null",
            "experiment": "exp",
            "event": "exposure",
            "value": 1,
        }
    ]


def test_fetch_reads_the_live_views_as_well(played):
    command = ("fetch", "experiment_search_aggregates_live", "exp", "--format", "csv")
    header, row = played(*command).stdout.splitlines()
    record = dict(zip(header.split(","), row.split(","), strict=True))
    assert record["window_start"] == "2021-01-25T10:00:00Z"
    assert record["branch"] == "b"
    assert record["search_count"] == record["cumulative_search_count"] == "2"


def test_export_writes_all_files_of_what_is_active_and_only_once(played, tmp_path):
    wanted = "2 experiments: 34 files written, 0 unchanged, in exports\n"
    assert played("export", "--as-of", AS_OF).stdout == wanted
    files = {path.name for path in (tmp_path / "exports").glob("*.json")}
    assert len(files) == 35
    assert "index.json" in files
    total = tmp_path / "exports" / "exp_experiment_enrollment_overall.json"
    assert json.loads(total.read_text())[-2:] == [
        {"time": "2021-01-26 00:00:00 UTC", "value": "2"},
        {"time": "2021-01-25 23:55:00 UTC", "value": "1"},
    ]
    again = "1 experiment: 0 files written, 18 unchanged, in exports\n"
    left_out = "1 older experiment left out until another half hour is over\n"
    assert played("export", "--as-of", AS_OF).stdout == again + left_out


def test_export_of_named_experiments_takes_those_and_the_datasets_named(played, tmp_path):
    played("export", "exp", "over", "--as-of", AS_OF)
    names = {path.name for path in (tmp_path / "exports").glob("*.json")}
    assert {name.split("_")[0] for name in names} == {"exp", "over", "index.json"}
    chosen = (
        "--dataset",
        "experiment_enrollment_overall",
        "--dataset",
        "experiment_cumulative_ad_clicks",
    )
    shutil.rmtree(tmp_path / "exports")
    played("export", "exp", *chosen, "--as-of", AS_OF)
    assert {path.name for path in (tmp_path / "exports").glob("*.json")} == {
        "exp_experiment_enrollment_overall.json",
        "exp_experiment_enrollment_overall_by_branch.json",
        "exp_experiment_cumulative_ad_clicks.json",
        "exp_experiment_cumulative_ad_clicks_by_branch.json",
        "index.json",
    }


def test_backfill_writes_the_days_from_start_to_just_before_end(played):
    text = played("backfill", "2021-01-25", "2021-01-26", "--as-of", AS_OF).stdout
    written = {line[0] for line in words(text) if "." in line[0]}
    assert len(written) == 14
    assert "telemetry_derived.experiment_enrollment_aggregates_v1$20210125" in written
    assert "telemetry_derived.experiment_enrollment_daily_active_population_v1$20210126" in written
    assert text.endswith("14 partitions or tables written\n")


def test_sql_prints_the_statement_with_its_parameters_above_it(run):
    text = run("sql", "experiment_enrollment_daily_active_population").stdout
    assert text.splitlines()[:3] == [
        "-- telemetry_derived.experiment_enrollment_daily_active_population_v1",
        "-- @day DATE",
        "WITH clients AS (",
    ]
    assert "experiments_daily_active_clients_v1" in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_datasets_prints_the_whole_catalogue(run):
    lines = [" ".join(line) for line in words(run("datasets").stdout)]
    for relation in RELATIONS.values():
        written = f" {relation.cadence.value}" if relation.cadence else ""
        start = f"{relation.name} {relation.kind.value}{written} {relation.description[:60]}"
        assert any(line.startswith(start) for line in lines), relation.name


def test_datasets_prints_all_of_one_relation(run):
    lines = words(run("datasets", "experiment_cumulative_ad_clicks").stdout)
    table, tiers = "telemetry_derived.experiment_search_aggregates", ("", "_hourly", "_recents")
    facts = [
        ["relation:", "telemetry_derived.experiment_cumulative_ad_clicks_v1"],
        ["kind:", "table"],
        ["written:", "live"],
        ["partitioned", "by:", "DAY", "of", "time"],
        ["clustered", "by:", "experiment,", "branch"],
        ["inputs:", *(f"{table}{t}_v1," for t in tiers), f"{table}_by_hour_v1"],
        ["series:", "cumulative"],
        ["rolls", "up", "by:", "LAST"],
    ]
    assert [line for line in lines if line in facts] == facts
    columns = [line[:2] for line in lines[lines.index(["column", "type", "description"]) + 2 :]]
    assert columns == [
        ["time", "TIMESTAMP"],
        ["branch", "STRING"],
        ["experiment", "STRING"],
        ["value", "INT64"],
    ]
    hourly = run("datasets", "experiment_enrollment_aggregates_hourly_v1").stdout
    assert "HOUR of window_start, kept for 14 days" in hourly
