"""The soak in small, and that it would see what differs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    """What a soak of six hours has printed, and its directory."""
    directory = tmp_path_factory.mktemp("soak")
    options = ["--days", "0.25", "--experiments", "3", "--seed", "18", "--directory", directory]
    done = subprocess.run(
        [sys.executable, SCRIPTS / "soak.py", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    return done, directory


@pytest.fixture
def soak(monkeypatch):
    """The script, as a module."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import soak

    return soak


@pytest.mark.slow
def test_six_hours_of_faults_leave_what_the_reference_says(soaked):
    done, _ = soaked
    assert (done.returncode, done.stderr) == (0, "")
    day, verdict = done.stdout.splitlines()
    assert day.startswith("2021-02-27: 72 ticks; ")
    assert day.endswith("; as it should be")
    counts = {what: int(n) for n, what in re.findall(r"(\d+) ([a-z ]+)[,;]", day)}
    # With this seed; whether a process gets as far as to be killed also depends on what it does.
    faults = ("skipped", "run twice", "out of order", "broken sources", "late pings")
    assert all(counts[fault] for fault in faults), day
    assert counts["kills"] + counts["breaks"] >= 2, day
    assert verdict.endswith(": all is well")


DAMAGES = {
    "a row that is gone": (
        "DELETE FROM {overall} WHERE time = (SELECT MAX(time) FROM {overall})",
        "{overall} lacks ",
    ),
    "a row too many": (
        "INSERT INTO {overall} SELECT * FROM {overall} LIMIT 1",
        "{overall} lacks 0 rows [] and has 1 rows ",
    ),
    "a value that is another": (
        "UPDATE {searches} SET search_count = search_count + 1",
        "{searches} lacks ",
    ),
    "a table that is no longer fresh": (
        "DELETE FROM telemetry_derived.expmon_partitions_v1 WHERE relation = '{searches}'",
        "{searches} is broken",
    ),
}
NAMES = {
    "overall": "telemetry_derived.experiment_enrollment_overall_v1",
    "searches": "telemetry_derived.experiment_search_aggregates_v1",
}


@pytest.mark.slow
@pytest.mark.parametrize(("sql", "says"), DAMAGES.values(), ids=DAMAGES)
def test_a_table_that_differs_is_named(soaked, soak, sql, says):
    from soak_check import WAREHOUSE, differences

    _, directory = soaked
    file = directory / WAREHOUSE
    whole = file.read_bytes()
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"ATTACH '{file}' AS warehouse; USE warehouse; SET TimeZone = 'UTC'")
            connection.execute(sql.format(**NAMES))
        lines = differences(directory)
    finally:
        file.write_bytes(whole)
    assert any(line.startswith(says.format(**NAMES)) for line in lines), lines


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["gone", "other", "stray"])
def test_a_file_that_differs_is_named(soaked, soak, damage):
    from soak_check import EXPORTS, differences

    _, directory = soaked
    name = "experiment-1_experiment_enrollment_overall.json"
    place = directory / EXPORTS / name
    whole = place.read_bytes()
    stray = directory / EXPORTS / "stray.json"
    try:
        if damage == "gone":
            place.unlink()
        elif damage == "other":
            place.write_bytes(json.dumps(json.loads(whole)[1:]).encode())
        else:
            stray.write_bytes(b"[]")
        lines = differences(directory)
    finally:
        place.write_bytes(whole)
        stray.unlink(missing_ok=True)
    assert lines == {
        "stray": ["stray.json is in the directory or in the index alone"],
    }.get(damage, [f"{name} is not there, or has other points"])


def day(soak, *, memory=100 * MIB, differences=""):
    return soak.Day(288, Counter(), 60.0, memory, differences)


@pytest.mark.parametrize(
    ("later", "status", "says"),
    [
        ({}, 0, "all is well"),
        ({"memory": 164 * MIB}, 0, "all is well"),
        ({"memory": 164 * MIB + 1}, 1, "WRONG: memory"),
        ({"differences": "x is broken\n"}, 1, "WRONG: tables and files"),
    ],
)
def test_a_day_that_differs_or_takes_more_memory_than_the_first_fails(
    soak, capsys, later, status, says
):
    assert soak.verdict([day(soak), day(soak, **later), day(soak)]) == status
    assert capsys.readouterr().out.rstrip().endswith(says)
