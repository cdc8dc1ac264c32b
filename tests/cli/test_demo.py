from __future__ import annotations

import gzip
import json
import math
import re
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

import reference
from expmon.cli import main

SCRIPT = Path(sys.executable).with_name("expmon")
CLIENTS = 6_000
END = datetime(2025, 3, 26, tzinfo=UTC)
# As of the real recipes; of the clients so many are eligible.
STARTS = {
    "ios-dma-onboarding": date(2024, 3, 5),
    "long-term-holdback-2025-h1-growth-ios": date(2024, 12, 12),
    "new-onboarding-experience-experiment-phase-1-ios": date(2025, 2, 24),
    "new-onboarding-experience-experiment-phase-2-ios": date(2025, 3, 11),
    "new-onboarding-experience-experiment-phase-3-ios": date(2025, 3, 24),
}
SHARES = dict(zip(STARTS, (0.3, 0.5, 0.35, 0.4, 0.6), strict=True))
# Of the rollout's clients, three in ten don't say their branch.
BRANCHES = {
    "ios-dma-onboarding": {"control": 0.7, "null": 0.3},
    "long-term-holdback-2025-h1-growth-ios": {"delivery": 0.95, "holdback": 0.05},
    "new-onboarding-experience-experiment-phase-1-ios": {"control": 0.9, "treatment-a": 0.1},
    "new-onboarding-experience-experiment-phase-2-ios": {"control": 0.5, "treatment-a": 0.5},
    "new-onboarding-experience-experiment-phase-3-ios": {"control": 0.75, "treatment-a": 0.25},
}
# Of those eligible, about so many have enrolled after three days. At least: who is there from the
# beginning (85 %), comes on one of two days (91 %) and doesn't fail at first (95 %). At most: all,
# and 2 % of the pings count twice on the day that isn't final.
ENROLL_AT_LEAST, ENROLL_AT_MOST = 0.85 * 0.91 * 0.95, 1.02
SIGMAS = 5


def spread(count, probability):
    """How far a binomial count may be from its mean, but for once in a million times."""
    return SIGMAS * math.sqrt(count * probability * (1 - probability))


def demo(*arguments):
    return subprocess.run(
        [SCRIPT, "demo", *arguments], capture_output=True, text=True, check=False, timeout=600
    )


def table_of(text):
    """The printed table: (experiment, branch) to the four numbers."""
    number = r" +([\d,]+)"
    rows = re.findall(rf"^ *(\S+) +(\S+){number}{number}{number}{number} *$", text, re.MULTILINE)
    return {
        (slug, branch): [int(n.replace(",", "")) for n in numbers]
        for slug, branch, *numbers in rows
    }


def exported(directory):
    return {path.name: path.read_bytes() for path in (directory / "exports").glob("*.json")}


def without_run_id(files):
    index = json.loads(files["index.json"])
    assert index.pop("run_id")
    return {**files, "index.json": index}


def pings_of(directory):
    for path in sorted((directory / "pings").glob("*.json.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)


def expected_tables(directory):
    """The derived tables after the three days, by the plain-Python reference."""
    last = END - timedelta(days=1)
    played = reference.Played(
        pings=list(pings_of(directory)),
        as_of=END,
        final_days=frozenset({date(2025, 3, 23), date(2025, 3, 24)}),
        written_hours=frozenset(last + timedelta(hours=hour) for hour in range(23)),
        first_day=date(2025, 3, 23),
    )
    return reference.derived(played)


def summary_of(tables):
    """What the printed table must say: enrolled in all, and the last of three other series."""
    enrolled: dict[tuple[str, str], int] = defaultdict(int)
    for _, branch, slug, value in tables["experiment_enrollment_overall"]:
        enrolled[slug, branch] += value
    lasts = []
    for name in (
        reference.POPULATION,
        reference.DAILY_ACTIVE,
        "experiment_cumulative_search_count",
    ):
        last = {(slug, branch): value for _, branch, slug, value in sorted(tables[name])}
        lasts.append(last)
    rows = {key: [count, *(last.get(key, 0) for last in lasts)] for key, count in enrolled.items()}
    return {key: values for key, values in rows.items() if any(values)}


def assert_plausible(table):
    """Branches by ratio, and as many clients as can have enrolled."""
    by_slug: dict[str, dict[str, int]] = defaultdict(dict)
    for (slug, branch), (enrolled, population, _, _) in table.items():
        by_slug[slug][branch] = enrolled
        assert 0 < population <= enrolled
    assert by_slug.keys() == STARTS.keys()
    for slug, counts in by_slug.items():
        total = sum(counts.values())
        share = SHARES[slug]
        slack = spread(CLIENTS, share)
        assert CLIENTS * share * ENROLL_AT_LEAST - slack < total
        assert total < CLIENTS * share * ENROLL_AT_MOST + slack
        assert counts.keys() == BRANCHES[slug].keys()
        for branch, ratio in BRANCHES[slug].items():
            assert abs(counts[branch] - total * ratio) < spread(total, ratio), (slug, branch)


def assert_totals_are_sums(files):
    """The file of all branches has at each time what the one by branch adds up to."""
    totals = [name for name in files if not name.endswith(("_by_branch.json", "index.json"))]
    assert len(totals) == 5 * 8
    for name in totals:
        sums: dict[str, int] = defaultdict(int)
        for point in json.loads(files[name.replace(".json", "_by_branch.json")]):
            sums[point["time"]] += int(point["value"])
        found = json.loads(files[name])
        assert [(p["time"], int(p["value"])) for p in found] == list(sums.items())
        assert found == sorted(found, key=lambda point: point["time"], reverse=True)


@pytest.mark.slow
def test_the_demo_shows_and_exports_exactly_what_its_pings_say_and_again_the_same(tmp_path):
    done = demo()
    assert done.returncode == 0, done.stderr
    directory = tmp_path / "demo"
    files = exported(directory)
    records = {name: json.loads(data) for name, data in files.items()}
    index = records.pop("index.json")
    health = {slug: records.pop(f"{slug}_health.json") for slug in STARTS}
    assert all(len(findings) == 8 for findings in health.values())
    series = {name: data for name, data in files.items() if not name.endswith("_health.json")}

    table = table_of(done.stdout)
    assert_plausible(table)
    assert len(records) == 5 * 8 * 2
    assert_totals_are_sums(series)
    assert "demo/exports/*.json (85)" in done.stdout

    tables = expected_tables(directory)
    assert table == summary_of(tables)
    wanted = {}
    for slug, start in STARTS.items():
        wanted |= reference.export_tables(tables, slug=slug, start=start, as_of=END)
    assert records == wanted
    assert index["as_of"] == "2025-03-26 00:00:00 UTC"
    assert {n: f["rows"] for n, f in index["files"].items()} == {
        **{name: len(points) for name, points in wanted.items()},
        **{f"{slug}_health.json": 8 for slug in STARTS},
    }

    proposed = re.findall(r"^  (\S*expmon .+)$", done.stdout, re.MULTILINE)
    fetched, status = (
        subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        for line in proposed
    )
    rows = tables["experiment_enrollment_overall"]
    assert len([line for line in fetched.stdout.splitlines() if "2025-03-" in line]) == len(
        [row for row in rows if row[2] == list(STARTS)[-1]]
    )
    assert len([line for line in status.stdout.splitlines() if "_v1 " in line]) == 21
    assert status.returncode == 0

    (directory / "a note").write_text("of mine")
    again = demo("demo")
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout
    assert without_run_id(exported(directory)) == without_run_id(files)
    assert (directory / "a note").read_text() == "of mine"


@pytest.mark.parametrize("file", ["thesis.tex", ".hidden", "exports/mine.json", "pings/mine.json"])
def test_a_directory_with_other_files_is_refused_and_left_untouched(tmp_path, file):
    mine = tmp_path / "work" / file
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    result = CliRunner().invoke(main, ["demo", "work"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "Error: work is not empty, and no demo made it: choose another one\n"
    assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "years of work"


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_place_that_can_not_be_a_directory_is_an_error_that_names_it(tmp_path, name):
    (tmp_path / "file").write_text("years of work")
    result = CliRunner().invoke(main, ["demo", name])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"Error: {name} can't be used: Not a directory\n"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["years of work"]
