"""What every table must hold, computed from raw client pings in plain Python.

An independent judge of the library: no SQL, no pandas, and nothing of `expmon` is imported here.
Each function names the section of DESIGN.md (or the table of data/README.md) whose rule it keeps.
Slow and literal on purpose: the cumulative series are summed up from their first window each time.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Ping = Any  # a JSON document: a mapping as a client sends it, plus `submission_timestamp`
Row = tuple[Any, ...]
Arrival = tuple[datetime, Ping]
Point = tuple[str, str, datetime]  # experiment, branch, window start
Counts = dict[str, int]

MICROSECOND = timedelta(microseconds=1)
WINDOW = timedelta(minutes=5)
BUCKET = timedelta(minutes=30)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
RECENTS_REACH = timedelta(hours=48)
AWAKE_DAYS = 14
EVERY_WINDOW_FOR = timedelta(days=14)

PROCESSES = ("content", "dynamic", "extension", "gpu", "parent")

ENROLLMENT_COUNTS = (
    "enroll_count",
    "unenroll_count",
    "graduate_count",
    "update_count",
    "enroll_failed_count",
    "unenroll_failed_count",
    "update_failed_count",
    "disqualification_count",
    "exposure_count",
    "validation_failed_count",
)
COLUMN_OF_METHOD = {
    "enroll": "enroll_count",
    "enrollment": "enroll_count",
    "unenroll": "unenroll_count",
    "unenrollment": "unenroll_count",
    "graduate": "graduate_count",
    "update": "update_count",
    "enrollFailed": "enroll_failed_count",
    "unenrollFailed": "unenroll_failed_count",
    "updateFailed": "update_failed_count",
    "disqualification": "disqualification_count",
    "expose": "exposure_count",
    "exposure": "exposure_count",
    "validationFailed": "validation_failed_count",
}
SEARCH_COUNTS = ("search_count", "search_with_ads_count", "ad_clicks_count")

COUNT_DATASETS = {
    "experiment_enrollment_overall": ("enroll_count",),
    "experiment_unenrollment_overall": ("unenroll_count",),
    "experiment_enrollment_other_events_overall": (
        "graduate_count",
        "update_count",
        "enroll_failed_count",
        "unenroll_failed_count",
        "update_failed_count",
    ),
}
POPULATION = "experiment_enrollment_cumulative_population_estimate"
DAILY_ACTIVE = "experiment_enrollment_daily_active_population"
SEARCH_DATASETS = {
    "experiment_cumulative_ad_clicks": "ad_clicks_count",
    "experiment_cumulative_search_count": "search_count",
    "experiment_cumulative_search_with_ads_count": "search_with_ads_count",
}
OTHER_EVENTS = "experiment_enrollment_other_events"
CUMULATIVE = (POPULATION, *SEARCH_DATASETS)
EIGHT = (*COUNT_DATASETS, POPULATION, DAILY_ACTIVE, *SEARCH_DATASETS)


@dataclass(frozen=True)
class Played:
    """What the schedules had done by this moment."""

    pings: Sequence[Mapping[str, Any]]  # all, also after as_of, duplicates included, in any order
    as_of: datetime  # of the last live tick (UTC, aware)
    final_days: frozenset[date]  # days the daily job has finalised
    written_hours: frozenset[datetime]  # hour starts the hourly job has written
    first_day: date  # where the derived tables begin

    def __post_init__(self) -> None:
        for moment in (self.as_of, *self.written_hours):
            if moment.utcoffset() != timedelta(0):
                raise ValueError(f"{moment} is not UTC")


# Time (section 2)


def utc(text: str) -> datetime:
    """An ISO-8601 timestamp with a zone, in UTC; one without a zone is an error."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return moment.astimezone(UTC)


def floor_minutes(moment: datetime, minutes: int) -> datetime:
    """The last multiple of so many minutes of the hour that is not after the moment."""
    return moment.replace(minute=moment.minute - moment.minute % minutes, second=0, microsecond=0)


def window_of(moment: datetime) -> datetime:
    """Section 2: the start of the five minutes `[start, end)` that a moment belongs to."""
    return floor_minutes(moment, 5)


def hour_of(moment: datetime) -> datetime:
    """The start of a moment's hour."""
    return floor_minutes(moment, 60)


def midnight(day: date) -> datetime:
    """00:00 UTC of a day."""
    return datetime.combine(day, time(), tzinfo=UTC)


def latest_window(as_of: datetime) -> datetime:
    """Section 5: the last window that starts before `as_of`."""
    return window_of(as_of - MICROSECOND)


def windows_of_day(day: date) -> list[datetime]:
    """Section 2: the 288 windows that start on a day."""
    return [midnight(day) + number * WINDOW for number in range(DAY // WINDOW)]


def sort_key(row: Row) -> tuple[tuple[bool, Any], ...]:
    """A key to sort rows by, column by column, NULL first."""
    return tuple((cell is not None, cell) for cell in row)


# Pings (section 1 and data/README.md)


def dig(document: Any, *path: str) -> Any:
    """The value at a path of keys, None where there is none."""
    for key in path:
        if not hasattr(document, "get"):
            return None
        document = document.get(key)
    return document


def arrivals(played: Played, ping_type: str) -> list[Arrival]:
    """Section 1, `*_v4` live sources: all pings of a type by arrival, duplicates included."""
    found = [
        (utc(ping["submission_timestamp"]), ping)
        for ping in played.pings
        if ping.get("type") == ping_type and ping.get("version") == 4
    ]
    return sorted(found, key=lambda arrival: arrival[0])


def deduplicated(arrived: Iterable[Arrival]) -> list[Arrival]:
    """Section 1, stable sources: each document id once per UTC day, its first arrival.

    Expects them by arrival. A ping without an id is a document of its own.
    """
    seen: set[tuple[date, Any]] = set()
    kept = []
    for moment, ping in arrived:
        document = (moment.date(), ping.get("id"))
        if ping.get("id") is None or document not in seen:
            kept.append((moment, ping))
        seen.add(document)
    return kept


def experiments_of(ping: Ping) -> list[tuple[str, str | None]]:
    """(experiment, branch) of each of a ping's experiments that has a key."""
    experiments = dig(ping, "environment", "experiments") or {}
    return [(key, dig(value, "branch")) for key, value in experiments.items() if key is not None]


# Tiers (section 4)


def recents_start(played: Played) -> datetime:
    """Section 4: the first hour within the last 48 h for which no other tier has been written.

    Hours before the sources' first day have nothing that could be written.
    """
    hour = max(hour_of(played.as_of - RECENTS_REACH), midnight(played.first_day))
    while hour in played.written_hours or hour.date() in played.final_days:
        hour += HOUR
    return min(hour, played.as_of)


def of_final_days(played: Played, arrived: Iterable[Arrival]) -> list[Arrival]:
    """Section 4, the daily tier's share: deduplicated pings of the days that are final."""
    return [a for a in deduplicated(arrived) if a[0].date() in played.final_days]


def of_written_hours(played: Played, arrived: Iterable[Arrival]) -> list[Arrival]:
    """Section 4, the hourly tier's share: pings of the hours that are written.

    An hour stays as it was written (section 6): a ping that came later says so of itself.
    """
    found = [a for a in arrived if hour_of(a[0]) in played.written_hours]
    return [a for a in found if not a[1].get("came_after_its_hour_was_written")]


def of_recents(played: Played, arrived: Iterable[Arrival]) -> list[Arrival]:
    """Section 4, the share of recents: from their start to just before `as_of`."""
    start = recents_start(played)
    return [a for a in arrived if start <= a[0] < played.as_of]


def one_tier_each(
    daily: list[Row], hourly: list[Row], recents: list[Row], *, start: int
) -> list[Row]:
    """Section 4: a day's rows from daily if it has any, else an hour's from hourly, else recents.

    `start` is the position of window_start.
    """
    days = {row[start].date() for row in daily}
    hours = {hour_of(row[start]) for row in hourly}
    rows = list(daily)
    rows += [row for row in hourly if row[start].date() not in days]
    rows += [
        row for row in recents if row[start].date() not in days and hour_of(row[start]) not in hours
    ]
    return sorted(rows, key=sort_key)


# Enrollment (section 3)


class Enrollment(NamedTuple):
    """One event that counts, and the column that it counts in."""

    type: str | None
    experiment: str
    branch: str | None
    window: datetime
    column: str


def first_branch(extras: Any) -> str | None:
    """Section 3: of two `branch` extras the first counts; NULL where there is none.

    Extras are a JSON object or, where a key is to be there twice, a list of (key, value).
    """
    pairs = extras.items() if hasattr(extras, "items") else extras or ()
    return next((value for key, value in pairs if key == "branch"), None)


def enrollments(
    arrived: Iterable[Arrival], events_of: Callable[[Ping, str], Any]
) -> Iterator[Enrollment]:
    """Section 3: the events of category normandy that have an experiment and a known method."""
    for moment, ping in arrived:
        for process in PROCESSES:
            for event in events_of(ping, process) or ():
                _, category, method, object_, value, extras = (*event, None, None)[:6]
                if category == "normandy" and value is not None and method in COLUMN_OF_METHOD:
                    yield Enrollment(
                        type=object_,
                        experiment=value,
                        branch=first_branch(extras),
                        window=window_of(moment),
                        column=COLUMN_OF_METHOD[method],
                    )


def event_ping_events(ping: Ping, process: str) -> Any:
    """The events of an event ping."""
    return dig(ping, "payload", "events", process)


def main_ping_events(ping: Ping, process: str) -> Any:
    """The events of a main ping."""
    return dig(ping, "payload", "processes", process, "events")


def enrollment_rows(events: Iterable[Enrollment]) -> list[Row]:
    """Section 3: counts per type, experiment, branch and window."""
    groups: dict[Row, Counts] = defaultdict(lambda: dict.fromkeys(ENROLLMENT_COUNTS, 0))
    for event in events:
        groups[event.type, event.experiment, event.branch, event.window][event.column] += 1
    rows = [
        (type_name, experiment, branch, window, window + WINDOW, *counts.values())
        for (type_name, experiment, branch, window), counts in groups.items()
    ]
    return sorted(rows, key=sort_key)


def enrollment_daily(played: Played) -> list[Row]:
    """Section 3: final counts, of event pings and of main pings, deduplicated."""
    events = enrollments(of_final_days(played, arrivals(played, "event")), event_ping_events)
    main = enrollments(of_final_days(played, arrivals(played, "main")), main_ping_events)
    return enrollment_rows([*events, *main])


def enrollment_hourly(played: Played) -> list[Row]:
    """Sections 3 and 4: live counts of the written hours."""
    arrived = of_written_hours(played, arrivals(played, "event"))
    return enrollment_rows(enrollments(arrived, event_ping_events))


def enrollment_recents(played: Played) -> list[Row]:
    """Sections 3 and 4: live counts of what no other tier has been written for."""
    arrived = of_recents(played, arrivals(played, "event"))
    return enrollment_rows(enrollments(arrived, event_ping_events))


def enrollment_live(played: Played) -> list[Row]:
    """Section 4: the three tiers as one."""
    return one_tier_each(
        enrollment_daily(played), enrollment_hourly(played), enrollment_recents(played), start=3
    )


# Search (section 3)

COMPACT_HISTOGRAM = re.compile(r"\d+;\d+;(\d+);\d+,\d+;(?:\d+:\d+(?:,\d+:\d+)*)?", re.ASCII)
PAIR_HISTOGRAM = re.compile(r"\d+,(\d+)", re.ASCII)
DIGITS = re.compile(r"\d{1,9}", re.ASCII)
BILLION = 10**9


def plausible(value: Any) -> int:
    """A whole number of searches; 0 for anything else: signs, fractions, true, a billion."""
    return value if type(value) is int and 0 <= value < BILLION else 0


def first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of a key that is there twice, the first value."""
    return dict(reversed(pairs))


def refuse(constant: str) -> Any:
    """NaN and Infinity are not JSON."""
    raise ValueError(constant)


def histogram_sum(value: Any) -> int:
    """data/README.md: a histogram's sum in each of its encodings, 0 for anything else."""
    if isinstance(value, str) and value.strip().startswith("{"):
        try:
            value = json.loads(value, object_pairs_hook=first_of_each, parse_constant=refuse)
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
        except ValueError:
            return 0
    if hasattr(value, "get"):
        value = value.get("sum")
    elif isinstance(value, str):
        shape = COMPACT_HISTOGRAM.fullmatch(value) or PAIR_HISTOGRAM.fullmatch(value)
        value = shape[1] if shape else value
    if isinstance(value, str) and DIGITS.fullmatch(value):
        value = int(value)
    return plausible(value)


def searches_of(ping: Ping) -> tuple[int, int, int]:
    """Section 3: a ping's three sums, each taken separately."""
    histograms = dig(ping, "payload", "keyedHistograms", "SEARCH_COUNTS") or {}
    scalars = dig(ping, "payload", "processes", "parent", "keyedScalars")
    with_ads = dig(scalars, "browser.search.with_ads") or {}
    ad_clicks = dig(scalars, "browser.search.ad_clicks") or {}
    return (
        sum(histogram_sum(value) for value in histograms.values()),
        sum(plausible(value) for value in with_ads.values()),
        sum(plausible(value) for value in ad_clicks.values()),
    )


def search_rows(arrived: Iterable[Arrival]) -> list[Row]:
    """Section 3: sums per experiment, branch and window; a ping without searches makes a row."""
    groups: dict[Row, list[int]] = defaultdict(lambda: [0, 0, 0])
    for moment, ping in arrived:
        for experiment, branch in experiments_of(ping):
            sums = groups[experiment, branch, window_of(moment)]
            for position, searches in enumerate(searches_of(ping)):
                sums[position] += searches
    rows = [
        (experiment, branch, window, window + WINDOW, *sums)
        for (experiment, branch, window), sums in groups.items()
    ]
    return sorted(rows, key=sort_key)


def search_daily(played: Played) -> list[Row]:
    """Section 3: final sums, of deduplicated main pings."""
    return search_rows(of_final_days(played, arrivals(played, "main")))


def search_hourly(played: Played) -> list[Row]:
    """Sections 3 and 4: live sums of the written hours."""
    return search_rows(of_written_hours(played, arrivals(played, "main")))


def search_recents(played: Played) -> list[Row]:
    """Sections 3 and 4: live sums of what no other tier has been written for."""
    return search_rows(of_recents(played, arrivals(played, "main")))


def search_live(played: Played) -> list[Row]:
    """Section 4: the three tiers as one, with running sums per experiment and branch."""
    tiers = one_tier_each(
        search_daily(played), search_hourly(played), search_recents(played), start=2
    )
    running: dict[Row, list[int]] = defaultdict(lambda: [0, 0, 0])
    rows = []
    for row in tiers:  # sorted: the windows of an experiment and branch follow each other
        sums = running[row[:2]]
        for position, searches in enumerate(row[4:]):
            sums[position] += searches
        rows.append((*row, *sums))
    return rows


# Daily active clients (section 3)


def daily_active_clients(played: Played) -> list[Row]:
    """Section 3: clients per day, experiment and branch; one in two branches counts in both."""
    clients: dict[Row, set[str]] = defaultdict(set)
    for moment, ping in of_final_days(played, arrivals(played, "main")):
        if ping.get("clientId") is not None:
            for experiment, branch in experiments_of(ping):
                clients[moment.date(), experiment, branch].add(ping["clientId"])
    return sorted(((*key, len(ids)) for key, ids in clients.items()), key=sort_key)


# The derived datasets (section 5)


def named(branch: str | None) -> str:
    """Section 5: a NULL branch becomes the branch 'null'."""
    return "null" if branch is None else branch


def summed(entries: Iterable[tuple[Point, Counts]], as_of: datetime) -> dict[Point, Counts]:
    """Section 5: the live view's counts of windows before `as_of`, NULL branches named first."""
    points: dict[Point, Counts] = {}
    for (experiment, branch, window), counts in entries:
        if window < as_of:
            total = points.setdefault((experiment, branch, window), dict.fromkeys(counts, 0))
            for column, count in counts.items():
                total[column] += count
    return points


def enrollment_points(played: Played) -> dict[Point, Counts]:
    """Section 5: enrollment's counts per experiment, branch and window, over all types."""
    entries = (
        (
            (experiment, named(branch), window),
            dict(zip(ENROLLMENT_COUNTS, counts, strict=True)),
        )
        for _, experiment, branch, window, _, *counts in enrollment_live(played)
    )
    return summed(entries, played.as_of)


def search_points(played: Played) -> dict[Point, Counts]:
    """Section 5: search's counts per experiment, branch and window."""
    entries = (
        (
            (experiment, named(branch), window),
            dict(zip(SEARCH_COUNTS, counts[:3], strict=True)),
        )
        for experiment, branch, window, _, *counts in search_live(played)
    )
    return summed(entries, played.as_of)


def by_hour(played: Played, rows: Iterable[tuple[str, datetime, Sequence[int]]]) -> list[Row]:
    """The sums of each experiment and hour of the days before that of the latest window.

    Args:
        played: what has been played.
        rows: experiment, window and counts of each row of a live view.
    """
    found: dict[tuple[datetime, str], list[tuple[datetime, Sequence[int]]]] = defaultdict(list)
    for experiment, window, counts in rows:
        if window.date() < latest_window(played.as_of).date():
            found[hour_of(window), experiment].append((window, counts))
    return [
        (hour, experiment, *map(sum, zip(*(counts for _, counts in of), strict=True)), max(of)[0])
        for (hour, experiment), of in found.items()
    ]


def enrollment_by_hour(played: Played) -> list[Row]:
    """Of enrollment events."""
    rows = enrollment_live(played)
    return by_hour(played, ((slug, window, counts) for _, slug, _, window, _, *counts in rows))


def search_by_hour(played: Played) -> list[Row]:
    """Of main pings."""
    rows = search_live(played)
    return by_hour(played, ((slug, window, counts[:3]) for slug, _, window, _, *counts in rows))


def rows_from(first_day: date, rows: Iterable[Row]) -> list[Row]:
    """Rows from the day on that the derived tables begin, sorted; `time` is their first column."""
    return sorted(row for row in rows if row[0].date() >= first_day)


def count_rows(points: Mapping[Point, Counts], columns: Sequence[str]) -> Iterator[Row]:
    """Section 5: one row per point that the aggregates have, zeros included."""
    for (experiment, branch, window), counts in points.items():
        yield window, branch, experiment, sum(counts[column] for column in columns)


def other_event_rows(points: Mapping[Point, Counts]) -> Iterator[Row]:
    """Section 5: one row per count above zero other than those of enrolls and unenrolls."""
    for (experiment, branch, window), counts in points.items():
        for column, count in counts.items():
            if count > 0 and column not in {"enroll_count", "unenroll_count"}:
                yield window, branch, experiment, column.removesuffix("_count"), count


def days_with_rows(points: Iterable[Point]) -> dict[str, set[date]]:
    """The days on which the aggregates have a row of an experiment, in whatever branch."""
    days: dict[str, set[date]] = defaultdict(set)
    for experiment, _, window in points:
        days[experiment].add(window.date())
    return days


def windows_with_a_value(first: datetime, latest: datetime, days: set[date]) -> Iterator[datetime]:
    """Section 5: every window from a series' first to the latest; asleep, the day's last one.

    Asleep is a day on which, and in the 13 days before which, the experiment has no row (`days`).
    """
    day = first.date()
    while day <= latest.date():
        windows = [window for window in windows_of_day(day) if first <= window <= latest]
        awake = any(day - back * DAY in days for back in range(AWAKE_DAYS))
        yield from windows if awake else windows[-1:]
        day += DAY


def cumulative_rows(
    changes: Mapping[Point, int], days: Mapping[str, set[date]], as_of: datetime
) -> Iterator[Row]:
    """Section 5: running sums from each series' first change on, dense unless asleep."""
    series: dict[tuple[str, str], dict[datetime, int]] = defaultdict(dict)
    for (experiment, branch, window), change in changes.items():
        series[experiment, branch][window] = change
    for (experiment, branch), by_window in series.items():
        pending = sorted(by_window.items(), reverse=True)
        value = 0
        first = pending[-1][0]
        for window in windows_with_a_value(first, latest_window(as_of), days[experiment]):
            while pending and pending[-1][0] <= window:
                value += pending.pop()[1]
            yield window, branch, experiment, value


def population_changes(points: Mapping[Point, Counts]) -> dict[Point, int]:
    """Section 5: enroll - unenroll - graduate of the points that have one of the three."""
    of_interest = ("enroll_count", "unenroll_count", "graduate_count")
    return {
        point: counts["enroll_count"] - counts["unenroll_count"] - counts["graduate_count"]
        for point, counts in points.items()
        if any(counts[column] for column in of_interest)
    }


def daily_active_rows(played: Played) -> list[Row]:
    """Section 5: active clients at 00:00 of the day after, of each final day."""
    totals: Counts | dict[Row, int] = defaultdict(int)
    for day, experiment, branch, clients in daily_active_clients(played):
        totals[midnight(day + DAY), named(branch), experiment] += clients
    return [(*key, clients) for key, clients in totals.items()]


def derived(played: Played) -> dict[str, list[Row]]:
    """Section 5: the eight datasets (time, branch, experiment, value), and the other events."""
    enrollment, search = enrollment_points(played), search_points(played)
    tables: dict[str, Iterable[Row]] = {
        dataset: count_rows(enrollment, columns) for dataset, columns in COUNT_DATASETS.items()
    }
    tables[OTHER_EVENTS] = other_event_rows(enrollment)
    tables[DAILY_ACTIVE] = daily_active_rows(played)
    tables[POPULATION] = cumulative_rows(
        population_changes(enrollment), days_with_rows(enrollment), played.as_of
    )
    for dataset, column in SEARCH_DATASETS.items():
        changes = {point: counts[column] for point, counts in search.items()}
        tables[dataset] = cumulative_rows(changes, days_with_rows(search), played.as_of)
    return {dataset: rows_from(played.first_day, rows) for dataset, rows in tables.items()}


# Export (section 7)

Series = dict[tuple[datetime, str], int]  # value by time and branch


def half_hours(series: Series, as_of: datetime, *, cumulative: bool) -> Series:
    """Section 7: 30-minute buckets that are over, labelled with their end.

    Counts are added up, of cumulative values a bucket has each branch's last.
    """
    buckets: Series = {}
    for (moment, branch), value in sorted(series.items()):
        end = floor_minutes(moment, 30) + BUCKET
        if end <= as_of:
            before = 0 if cumulative else buckets.get((end, branch), 0)
            buckets[end, branch] = before + value
    return buckets


def over_branches(series: Series) -> dict[datetime, int]:
    """Section 7: all branches of a time added up."""
    totals: dict[datetime, int] = defaultdict(int)
    for (moment, _), value in series.items():
        totals[moment] += value
    return totals


def time_text(moment: datetime) -> str:
    """Section 7: a time as BigQuery's JSON export writes it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def total_records(series: Series) -> list[dict[str, str]]:
    """Section 7: the file of all branches together, newest first."""
    totals = sorted(over_branches(series).items(), reverse=True)
    return [{"time": time_text(moment), "value": str(value)} for moment, value in totals]


def branch_records(series: Series) -> list[dict[str, str]]:
    """Section 7: the file by branch, newest first, then by branch."""
    by_branch = sorted(series.items(), key=lambda item: item[0][1])
    newest_first = sorted(by_branch, key=lambda item: item[0][0], reverse=True)
    return [
        {"branch": branch, "time": time_text(moment), "value": str(value)}
        for (moment, branch), value in newest_first
    ]


def export_tables(
    tables: Mapping[str, list[Row]], *, slug: str, start: date, as_of: datetime
) -> dict[str, list[dict[str, str]]]:
    """Section 7: `export_files` of tables that `derived` gave, to export several experiments."""
    begin = midnight(start)
    files = {}
    for dataset in EIGHT:
        series: Series = {
            (moment, branch): value
            for moment, branch, experiment, value in tables[dataset]
            if experiment == slug and begin <= moment < as_of
        }
        if as_of > begin + EVERY_WINDOW_FOR and dataset != DAILY_ACTIVE:
            series = half_hours(series, as_of, cumulative=dataset in CUMULATIVE)
        files[f"{slug}_{dataset}.json"] = total_records(series)
        files[f"{slug}_{dataset}_by_branch.json"] = branch_records(series)
    return files


def export_files(
    played: Played, *, slug: str, start: date, as_of: datetime
) -> dict[str, list[dict[str, str]]]:
    """Section 7: the records of an experiment's files, two for each of the eight datasets."""
    return export_tables(derived(played), slug=slug, start=start, as_of=as_of)
