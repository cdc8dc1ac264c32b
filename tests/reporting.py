"""Exported files made by hand, by plain Python, and what a page must say of them."""

from __future__ import annotations

import json
import math
import random
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import google_crc32c

import tricky

if TYPE_CHECKING:
    from collections.abc import Mapping

    from expmon.export.store import Store

ENROLLED = "experiment_enrollment_overall"
UNENROLLED = "experiment_unenrollment_overall"
OTHER = "experiment_enrollment_other_events_overall"
POPULATION = "experiment_enrollment_cumulative_population_estimate"
ACTIVE = "experiment_enrollment_daily_active_population"
CLICKS = "experiment_cumulative_ad_clicks"
SEARCHES = "experiment_cumulative_search_count"
WITH_ADS = "experiment_cumulative_search_with_ads_count"
EIGHT = (ENROLLED, UNENROLLED, OTHER, POPULATION, ACTIVE, CLICKS, SEARCHES, WITH_ADS)
TITLES = {
    ENROLLED: "Enrollments",
    UNENROLLED: "Unenrollments",
    POPULATION: "Population",
    ACTIVE: "Daily active clients",
    OTHER: "Failures and other events",
    SEARCHES: "Searches",
    WITH_ADS: "Searches with ads",
    CLICKS: "Ad clicks",
}
WINDOW, HALF_HOUR, DAY = timedelta(minutes=5), timedelta(minutes=30), timedelta(days=1)

Points = dict[tuple[datetime, str], int]
"""The value of each time, as the file labels it, and branch."""


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


@dataclass
class Made:
    """An experiment as it was exported.

    Attributes:
        as_of: when.
        through: the start of the last window that there was data of.
        points: by dataset.
        health: what the health checks found, as the file has it; None: there is no file.
    """

    slug: str
    start: date
    as_of: datetime
    through: datetime
    points: dict[str, Points] = field(default_factory=lambda: {name: {} for name in EIGHT})
    health: list[dict[str, Any]] | None = None

    @property
    def last_day(self) -> datetime:
        """The midnight after the last day that there were daily clients of, known at 3 o'clock."""
        return midnight((self.through - timedelta(hours=3)).date())

    def branches(self) -> list[str]:
        found = {branch for points in self.points.values() for _, branch in points}
        return sorted(found - {"null"}) + sorted(found & {"null"})

    def total(self, dataset: str, *branches: str) -> int:
        """Counts added up, of all others the last one."""
        found = 0
        for wanted in branches:
            values = {t: v for (t, branch), v in self.points[dataset].items() if branch == wanted}
            if dataset in {ENROLLED, UNENROLLED, OTHER}:
                found += sum(values.values())
            elif dataset == ACTIVE:
                found += values.get(self.last_day, 0)
            elif values:
                found += values[max(values)]
        return found


def simulated(
    slug: str,
    branches: Mapping[str, float],
    *,
    start: date,
    until: datetime,
    as_of: datetime | None = None,
    seed: int = 1,
) -> Made:
    """An experiment that clients enroll in by day more than by night, as files would have it.

    Args:
        slug: of the experiment.
        branches: how many clients enroll in a branch in five minutes, some.
        start: its first day.
        until: up to when there is data, the end of a window.
        as_of: when it was exported; at once if not given.
        seed: of what is random.
    """
    dice = random.Random(seed)
    as_of = as_of or until
    made = Made(slug, start, as_of, until - WINDOW)
    is_coarse = as_of > midnight(start) + 14 * DAY
    for branch, rate in branches.items():
        sums = dict.fromkeys((POPULATION, SEARCHES, WITH_ADS, CLICKS), 0)
        window = midnight(start) + 9 * timedelta(hours=1)
        while window < until:
            by_day = 1 + math.sin((window.hour - 9) / 24 * 2 * math.pi)
            joined = round(dice.uniform(0, 2 * rate * by_day))
            left = round(dice.uniform(0, rate * by_day / 4))
            searched = round(sums[POPULATION] * dice.uniform(0, 0.05))
            sums[POPULATION] += joined - left
            sums[SEARCHES] += searched
            sums[WITH_ADS] += searched // 3
            sums[CLICKS] += searched // 11
            counts = {ENROLLED: joined, UNENROLLED: left, OTHER: int(dice.random() < 0.02)}
            label = window
            if is_coarse:
                label = window - (window - midnight(start)) % HALF_HOUR + HALF_HOUR
            if label <= as_of:
                for name, count in counts.items():
                    points = made.points[name]
                    points[label, branch] = points.get((label, branch), 0) + count
                for name, value in sums.items():
                    made.points[name][label, branch] = value
            window += WINDOW
            if window == midnight(window.date()) and window <= made.last_day:
                active = round(sums[POPULATION] * dice.uniform(0.6, 0.9))
                made.points[ACTIVE][window, branch] = active
    return made


def write(store: Store, *experiments: Made, as_of: datetime | None = None) -> None:
    """Write the files of the experiments and the index, as an export leaves them."""
    files: dict[str, Any] = {}

    def put(made: Made, dataset: str, name: str, records: list[Any], through: datetime) -> None:
        data = json.dumps(records, separators=(",", ":")).encode()
        store.write(name, data)
        files[name] = {
            "experiment": made.slug,
            "dataset": dataset,
            "start": made.start.isoformat(),
            "rows": len(records),
            "crc32c": b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode(),
            "as_of": text(made.as_of),
            "through": text(through),
        }

    for made in experiments:
        if made.health is not None:
            put(made, "health", f"{made.slug}_health.json", made.health, made.as_of)
        for dataset, points in made.points.items():
            through = made.last_day if dataset == ACTIVE else made.through
            totals: dict[datetime, int] = {}
            for (moment, _), value in points.items():
                totals[moment] = totals.get(moment, 0) + value
            order = sorted(points, key=lambda key: (-key[0].timestamp(), key[1]))
            by_branch = [
                {"branch": branch, "time": text(moment), "value": str(points[moment, branch])}
                for moment, branch in order
            ]
            total = [
                {"time": text(moment), "value": str(totals[moment])}
                for moment in sorted(totals, reverse=True)
            ]
            for suffix, records in (("", total), ("_by_branch", by_branch)):
                put(made, dataset, f"{made.slug}_{dataset}{suffix}.json", records, through)
    newest = as_of or max(made.as_of for made in experiments)
    index = {
        "schema_version": 1,
        "as_of": text(newest),
        "run_id": "x",
        "datasets": {},
        "files": files,
    }
    store.write("index.json", json.dumps(index).encode())


NOON = datetime(2021, 1, 28, 12, tzinfo=UTC)
YOUNG = simulated(
    "young-experiment", {"control": 3, "treatment-a": 2}, start=date(2021, 1, 26), until=NOON
)
"""Three days old, two branches, up to date."""
MANY = simulated(
    "many-branches",
    {f"branch-{n:02}-with-a-rather-long-name": 1 + n / 4 for n in range(13)},
    start=date(2021, 1, 26),
    until=NOON,
)
MANY.health = [
    {
        "experiment": experiment,
        "check": check,
        "branch": "",
        "verdict": verdict,
        "since": "2021-01-28 11:35:00 UTC",
        "log_e": None,
        "value": 1,
        "expected": None,
        "sentence": sentence,
        "action": action,
    }
    for experiment, check, verdict, sentence, action in (
        ("", "freshness", "suspect", f"All <b>{'experiments' * 20}</b> are late.", "Wait & see."),
        ("many-branches", "split", "alarm", "Far too few are in branch-00.", "Look at it."),
        ("many-branches", "leaving", "ok", "As many leave as always.", ""),
    )
]
"""One of them has a word that is longer than a phone is wide."""
ROLLOUT = simulated("a-rollout", {"null": 5}, start=date(2021, 1, 27), until=NOON)
EMPTY = Made("nothing-yet", date(2021, 1, 28), NOON, NOON - WINDOW)
STALE = simulated(
    "stale-data",
    {"control": 3, "treatment": 3},
    start=date(2021, 1, 26),
    until=NOON - timedelta(hours=9),
    as_of=NOON,
)
OLD = simulated(
    "an-older-experiment", {"control": 3, "treatment": 2}, start=date(2020, 12, 20), until=NOON
)
"""With a point for every half hour."""
UNFINISHED = Made("in-a-window", date(2021, 1, 28), NOON + timedelta(minutes=2), NOON)
"""Exported two minutes into its third window."""
for number, name in enumerate(("a", "b")):
    for window in range(3):
        UNFINISHED.points[ENROLLED][NOON + (window - 2) * WINDOW, name] = 10 * window + number
        UNFINISHED.points[POPULATION][NOON + (window - 2) * WINDOW, name] = 100 * window + number
ENDED = simulated(
    "ended-experiment",
    {"control": 2, "treatment": 2},
    start=date(2020, 12, 1),
    until=datetime(2020, 12, 20, tzinfo=UTC),
)
"""No longer exported."""
HOSTILE_BRANCHES = [
    *("</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!--", "]]>"),
    *('"><b>', "' onfocus='alert(1)", "&lt;", "{{7*7}}", "${7*7}", "javascript:alert(1)"),
    *(name for name in tricky.NAMES if name != "null"),
]
HOSTILE = Made("hostile-names", date(2021, 1, 28), NOON, NOON - WINDOW)
for number, name in enumerate(HOSTILE_BRANCHES):
    HOSTILE.points[ENROLLED][NOON - WINDOW, name] = 1000 + number
    HOSTILE.points[POPULATION][NOON - WINDOW, name] = 2000 + number
