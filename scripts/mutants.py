"""Mutation test of the statements: each small change of a query must change what it gives.

Every statement is changed in one place at a time (a comparison, an aggregate, a condition, an
interval, a join, an order …) and run on rows that were chosen to tell right from wrong. A mutant is
killed if it fails, or gives other rows than the statement itself, whose rows the tests judge by the
plain-Python reference. What survives is printed: either the rows tell too little, or the change
means the same.

    make mutants
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlglot import exp

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import expmon
import playing
import reference
from expmon.catalog import DATASETS, EXPORTED, FETCHABLE, RELATIONS, TIERS
from expmon.catalog.alerts import ALERTS
from expmon.catalog.health import EVENTS, HEALTH, RATIOS, TOTALS
from expmon.catalog.model import Kind, Names, Statement
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import ExpmonError
from expmon.statements import alerts, health, materialization, reading, view
from expmon.windows import Partition, day_start
from mutant_rows import FIRST_DAY, LAST_DAY, OVERLAP, RECIPES, more_experiments, odd_rows, pings
from scans import clusters, scanned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Parameters = dict[str, Any]
Mutant = tuple[str, Statement]
GOAL = 0.95
NAMES = Names()
LATER = datetime(2021, 2, 13, 0, 33, tzinfo=UTC)
TODAYS = (FIRST_DAY, LAST_DAY, date(2021, 2, 4), date(2021, 2, 5), date(2021, 2, 14))
MOMENTS = tuple(OVERLAP + timedelta(minutes=n) for n in (-24, -23, 0, 1))
"""At, just before and just after the two live runs."""


MESSAGES = [
    {
        "id": f"{slug}{n}",
        "kind": kind,
        "experiment": slug,
        "check_name": "split",
        "branch": "a",
        "time": OVERLAP - timedelta(hours=hours),
        "since": OVERLAP - timedelta(hours=hours),
        "sentence": "s",
        "action": "a",
        "claimed_until": None,
        "delivered_at": OVERLAP if is_delivered else None,
    }
    for n, (slug, kind, hours, is_delivered) in enumerate(
        [
            ("long", "started", 30, True),
            ("long", "over", 20, True),
            ("long", "started", 10, True),
            ("pair", "started", 9, True),
            ("pair", "over", 8, False),
        ]
    )
]
"""What has been said of two experiments."""


def main() -> int:
    """Print the survivors of each statement and the share of the killed; 0 if it is high enough."""
    total = 0
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        with expmon.connect(f"duckdb://{place / 'monitoring.duckdb'}") as monitor:
            _play(monitor, place)
            survivors = []
            for statement, cases in _cases(_leavings(monitor)):
                mutants = list(_mutants(statement))
                total += len(mutants)
                survivors += _surviving(monitor, statement, mutants, cases)
            # Two weeks later, when most is asleep, and a day that recents still have becomes final.
            monitor.run("live", LATER)
            left = []
            monitor.run("daily", day_start(LATER.date()) + timedelta(hours=3))
            for statement, cases in _cases_later():
                own = [m for m in survivors if m[1].name == statement.name]
                left += _surviving(monitor, statement, own, cases)
                survivors = [m for m in survivors if m[1].name != statement.name]
    survivors += left
    for what, mutant in survivors:
        print(f"survived: {mutant.name}: {what}")
    killed = total - len(survivors)
    print(f"{killed} of {total} mutants killed: {killed / total:.1%}")
    return 0 if killed >= GOAL * total else 1


def _surviving(
    monitor: expmon.Monitor, statement: Statement, mutants: list[Mutant], cases: list[Parameters]
) -> list[Mutant]:
    """The mutants that give and read the same as the statement, in every case."""
    expected = [_rows(monitor, statement, case) for case in cases]
    read = _read(statement, cases[0])
    return [
        (what, mutant)
        for what, mutant in mutants
        if not _is_killed(monitor, mutant, cases, expected) and _read(mutant, cases[0]) == read
    ]


def _read(statement: Statement, case: Parameters) -> Any:
    """What the statement scans: the promise that a run reads its own days alone."""
    return scanned(statement, case, FIRST_DAY - timedelta(days=30), 90), clusters(statement.tree)


def _play(monitor: expmon.Monitor, place: Path) -> None:
    """Every tier with something, a gap between hours, and recents that overlap an hour."""
    monitor.deploy()
    (place / "recipes.json").write_text(RECIPES, encoding="utf-8")
    monitor.ingest_recipes(place / "recipes.json")
    monitor.warehouse.load(EXPERIMENTS, more_experiments())
    playing.ingest(monitor, place / "pings.json", pings())
    for _, source, row in odd_rows():
        monitor.warehouse.load(RELATIONS[source], [row])
    # A first day, for catch-up to reach back to.
    monitor.run("daily", day_start(FIRST_DAY) + timedelta(hours=27))
    # Hours of days that are final later.
    monitor.run("hourly", day_start(LAST_DAY) - timedelta(hours=1))
    monitor.run("daily", day_start(LAST_DAY) + timedelta(hours=3))
    monitor.run("hourly", day_start(LAST_DAY) + timedelta(hours=20, minutes=30))
    gap = day_start(LAST_DAY) + timedelta(hours=10)
    for name in ("enrollment", "search"):
        relation = f"telemetry_derived.experiment_{name}_aggregates_hourly_v1"
        monitor.warehouse._file.execute(  # noqa: SLF001 - no command makes a gap
            f"DELETE FROM {relation} WHERE window_start >= $start AND window_start < $end",
            {"start": gap, "end": gap + timedelta(hours=1)},
        )
        monitor.warehouse._file.execute(  # noqa: SLF001 - as above
            "DELETE FROM telemetry_derived.expmon_partitions_v1 "
            'WHERE relation = $name AND "partition" = $partition',
            {"name": relation, "partition": Partition.of_hour(gap).id},
        )
    monitor.run("live", OVERLAP - timedelta(minutes=23))
    monitor.run("live", OVERLAP)
    monitor.warehouse.load(ALERTS, MESSAGES)
    hours = {day_start(LAST_DAY) + timedelta(hours=n) for n in range(20)} - {gap}
    days = frozenset(FIRST_DAY + timedelta(days=n) for n in range((LAST_DAY - FIRST_DAY).days))
    # Hours are written 13 days back, and expire after 14.
    hour = day_start(LAST_DAY) - timedelta(days=13, hours=4)
    while hour < day_start(LAST_DAY) - timedelta(hours=2):
        hours.add(hour)
        hour += timedelta(hours=1)
    everything = [*pings(), *(ping for ping, _, _ in odd_rows())]
    played = reference.Played(everything, OVERLAP, days, frozenset(hours), FIRST_DAY)
    playing.assert_as_expected(monitor, played)


def _leavings(monitor: expmon.Monitor) -> list[datetime]:
    """The windows in which clients left an experiment of two branches."""
    frame = monitor.fetch_dataframe("experiment_enrollment_aggregates_live", "long")
    return sorted({t.to_pydatetime() for t in frame[frame["unenroll_count"] > 0]["window_start"]})


def _cases(left: list[datetime]) -> Iterator[tuple[Statement, list[Parameters]]]:
    days = [FIRST_DAY, FIRST_DAY + timedelta(days=13), FIRST_DAY + timedelta(days=14)]
    days += [date(2021, 1, 25), LAST_DAY - timedelta(days=1)]
    days += [LAST_DAY, LAST_DAY + timedelta(days=1)]
    hours = [day_start(LAST_DAY) + timedelta(hours=n) for n in (0, 10, 12)]
    for relation in RELATIONS.values():
        if relation.kind is Kind.VIEW:
            yield view(relation, NAMES), [{}]
        elif relation.cadence is not None:
            statement = materialization(relation, NAMES)
            wanted = {parameter.name for parameter in statement.parameters}
            if relation in {RATIOS, TOTALS, HEALTH}:
                yield statement, _computed(wanted)
            elif "start" in wanted:
                spans = [(hour, hour + timedelta(hours=1)) for hour in hours]
                spans.append((hours[0], OVERLAP))
                yield statement, [{"start": start, "end": end} for start, end in spans]
            elif "latest_window" in wanted:
                moments = [(10, 25), (12, 55), (21, 0)]
                latest = [day_start(LAST_DAY) + timedelta(hours=h, minutes=m) for h, m in moments]
                more = [{"day": LAST_DAY, "latest_window": window} for window in latest]
                yield statement, [*(_day(day, wanted) for day in days), *more]
            else:
                yield statement, [_day(day, wanted) for day in days]
    yield from _reading_cases()
    yield from _health_cases(left)
    yield from _alert_cases()


def _cases_later() -> Iterator[tuple[Statement, list[Parameters]]]:
    days = [LATER.date() - timedelta(days=1), LATER.date()]
    latest = [day_start(LATER.date()) - timedelta(minutes=5), reference.latest_window(LATER)]
    for relation in RELATIONS.values():
        if relation.kind is Kind.VIEW:
            yield view(relation, NAMES), [{}]
        elif relation.table in {d.table.table for d in DATASETS.values()}:
            statement = materialization(relation, NAMES)
            cases = [{"day": d, "latest_window": w} for d, w in zip(days, latest, strict=True)]
            wanted = {parameter.name for parameter in statement.parameters}
            yield statement, [{name: case[name] for name in wanted} for case in cases]


def _day(day: date, wanted: set[str]) -> Parameters:
    last = day_start(day) + timedelta(hours=23, minutes=55)
    latest = min(last, max(reference.latest_window(OVERLAP), day_start(day)))
    return {name: {"day": day, "latest_window": latest}[name] for name in wanted}


def _reading_cases() -> Iterator[tuple[Statement, list[Parameters]]]:
    span = {
        "start": day_start(LAST_DAY) - timedelta(hours=6),
        "end": day_start(LAST_DAY) + timedelta(hours=10, minutes=35),
    }
    days = {"start": day_start(date(2021, 1, 6)), "end": day_start(LAST_DAY)}
    filters = (reading.BRANCH, reading.START, reading.END)
    for relation in FETCHABLE.values():
        cases = [("long", "a", span), ("starts", "b", span), ("pair", "null", days)]
        cases.append(("long", "a", days))
        yield (
            reading.fetch(relation, NAMES, filters),
            [{"slug": slug, "branch": branch, **given} for slug, branch, given in cases],
        )
        yield reading.fetch(relation, NAMES, ()), [{"slug": "pair"}, {"slug": "long"}]
    yield reading.active_experiments(NAMES), [{"today": today} for today in TODAYS]
    ends = [OVERLAP, OVERLAP - timedelta(minutes=23), OVERLAP - timedelta(minutes=24)]
    looked = [{"start": end - timedelta(days=2), "end": end} for end in ends]
    looked += [{"start": ends[1], "end": ends[1]}, {"start": ends[0], "end": ends[0]}]
    given = [{"today": t, **span} for t, span in zip(TODAYS, looked, strict=True)]
    yield reading.export_metadata(NAMES, is_named=False), given
    named = {"slugs": ["long", "twice", "nobody"]}
    yield reading.export_metadata(NAMES, is_named=True), [{**case, **named} for case in given]
    yield reading.plot_metadata(NAMES), [{"slug": slug} for slug in ("long", "twice", "nobody")]
    yield reading.first_time(NAMES, EXPORTED), [{"slug": "long"}, {"slug": "sleeps"}]
    for tiers in TIERS:
        final = [date(2021, 1, 25), LAST_DAY - timedelta(days=1)]
        yield reading.drift(tiers, NAMES), [_drift(day) for day in (*final, LAST_DAY)]
    starts = {
        "long": datetime(2021, 1, 5, tzinfo=UTC),
        "starts": datetime(2021, 1, 30, tzinfo=UTC),
        "sleeps": datetime(2021, 1, 6, tzinfo=UTC),
    }
    yield (
        reading.export_series(NAMES, EXPORTED),
        [
            {
                "experiments": [{"slug": slug, "start": start} for slug, start in chosen.items()],
                "slugs": list(chosen),
                "earliest_start": min(chosen.values()),
                "as_of": as_of,
            }
            for chosen in (
                starts,
                {"long": OVERLAP - timedelta(days=14), "sleeps": starts["sleeps"]},
                {"long": OVERLAP - timedelta(days=14, hours=3)},
                {"long": day_start(date(2021, 1, 30)), "sleeps": starts["sleeps"]},
            )
            for as_of in (
                OVERLAP,
                datetime(2021, 1, 31, 10, 30, tzinfo=UTC),
                day_start(LAST_DAY),
            )
        ],
    )


def _computed(wanted: set[str]) -> list[Parameters]:
    """For what has its rows from a parameter; the times are those of the last live run."""
    row = {"experiment": "long", "branch": "a"}
    seen = {**row, "seen_at": OVERLAP, "last_seen_at": OVERLAP, "ratio": 1}
    counted = {**row, "start": day_start(FIRST_DAY), "finish": OVERLAP, "is_planned": True}
    counted |= {f"{event}_count": place for place, event in enumerate(EVENTS)}
    counted |= {"compared": 3, "expected": 5, "log_null": -7}
    found = {**row, "check_name": "split", "verdict": "ok", "since": OVERLAP, "log_e": 0.5}
    found |= {"value": 1.0, "expected": None, "sentence": "s", "action": "a"}
    values = {"day": LAST_DAY, "seen": [seen], "counted": [counted], "found": [found]}
    times = [OVERLAP, OVERLAP + timedelta(minutes=5), OVERLAP + timedelta(days=1)]
    return [{name: {**values, "time": time}[name] for name in wanted} for time in times]


def _health_cases(left: list[datetime]) -> Iterator[tuple[Statement, list[Parameters]]]:
    yield health.metadata(NAMES, is_named=False), [{"today": today} for today in TODAYS]
    yield health.metadata(NAMES, is_named=True), [{"slugs": ["long", "twice", "nobody"]}]
    yield health.ratios(NAMES), [{}]
    days = [LAST_DAY - timedelta(days=n) for n in range(3)]
    yield health.carried(NAMES), [{"day": day} for day in days]
    slugs = ["long", "pair", "starts"]
    spans = [
        {"start": day_start(day), "end": end}
        for day in (FIRST_DAY, LAST_DAY - timedelta(days=1), LAST_DAY)
        for end in (day_start(LAST_DAY) + timedelta(hours=10), OVERLAP, left[-1])
    ]
    spans += [{"start": left[n], "end": left[n] + timedelta(hours=1)} for n in (0, -1)]
    given = [{**span, "slugs": some} for span in spans for some in (slugs, slugs[:1])]
    yield health.windows(NAMES), given
    middle = day_start(LAST_DAY - timedelta(days=5))
    sinces = [
        {**span, "since": since}
        for span in given
        for since in {max(span["start"], middle), span["start"]}
    ]
    for statement in (health.hours(NAMES), health.searches(NAMES)):
        yield statement, sinces
    yield health.totals(NAMES), list(_totals(left))
    pairs = [(start, end) for start in MOMENTS for end in MOMENTS if start <= end]
    yield health.previous(NAMES), [{"start": start, "end": end} for start, end in pairs]


def _totals(left: list[datetime]) -> Iterator[Parameters]:
    """Phases with borders at windows in which clients left, and phases of such a window alone."""
    first, slugs = day_start(FIRST_DAY), ["long", "starts", "pair"]
    given = {"start": first, "end": OVERLAP}
    for time in (left[0], left[len(left) // 3], left[len(left) // 2], left[-1]):
        after = time + timedelta(minutes=5)
        for spans in ([(first, time), (time, OVERLAP)], [(first, after), (time, after)]):
            phases = [
                {"slug": slug, "number": n, "start": start, "finish": finish, "branch": branch}
                for slug in slugs
                for n, (start, finish) in enumerate(spans)
                for branch in ("a", "b")
            ]
            yield {"slugs": slugs, "phases": phases, **given}
            yield {"slugs": slugs[:1], "phases": phases[:3], **given}
    yield {"slugs": slugs, "phases": phases, "start": day_start(LAST_DAY), "end": left[-1]}


def _alert_cases() -> Iterator[tuple[Statement, list[Parameters]]]:
    yield alerts.looked(NAMES), [{}]
    yield alerts.unsettled(NAMES), [{}]
    opened = [{"experiment": "long", "check_name": "split"}]
    yield (
        alerts.standings(NAMES),
        [
            {"start": start, "end": end, "opened": some}
            for start in MOMENTS
            for end in MOMENTS
            if start <= end
            for some in ([], opened)
        ],
    )
    row = dict.fromkeys((column.name for column in ALERTS.columns), "x")
    row |= {"time": OVERLAP, "since": OVERLAP, "claimed_until": None, "delivered_at": OVERLAP}
    changed = [[], [row], [{**row, "id": told["id"]} for told in MESSAGES[:1]]]
    oldest = [OVERLAP, OVERLAP - timedelta(days=1)]
    yield (
        alerts.written(NAMES),
        [{"changed": some, "oldest": time} for some in changed for time in oldest],
    )


def _drift(day: date) -> Parameters:
    """The day, of it and those before and after it."""
    spans = {name: day_start(day) + timedelta(days=n) for name, n in (("start", -1), ("end", 2))}
    return {**spans, "days": [day]}


def _rows(monitor: expmon.Monitor, statement: Statement, case: Parameters) -> Any:
    """The rows with their types, as a multiset; a list where the statement orders them."""
    found = monitor.warehouse.query(statement, case)
    types = tuple(map(str, found.schema.types))
    rows = [repr((types, tuple(row.values()))) for row in found.to_pylist()]
    return rows if statement.tree.args.get("order") else Counter(rows)


def _is_killed(
    monitor: expmon.Monitor,
    mutant: Statement,
    cases: list[Parameters],
    expected: list[Any],
) -> bool:
    try:
        return any(
            _rows(monitor, mutant, case) != rows for case, rows in zip(cases, expected, strict=True)
        )
    except ExpmonError:
        return True


def _mutants(statement: Statement) -> Iterator[Mutant]:
    """The statement, changed in one place at a time."""
    for place, node in enumerate(statement.tree.walk()):
        for what, change in _changes(node):
            copy = statement.tree.copy()
            target = next(n for p, n in enumerate(copy.walk()) if p == place)
            changed = change(target)
            tree = changed if target is copy and isinstance(changed, exp.Query) else copy
            mutant = Statement(statement.name, tree, statement.parameters)
            yield f"{what}: {node.sql('bigquery')[:110]}", mutant


_SWAPPED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.GTE,
    exp.GTE: exp.GT,
    exp.LT: exp.LTE,
    exp.LTE: exp.LT,
    exp.EQ: exp.NEQ,
    exp.Add: exp.Sub,
    exp.Sub: exp.Add,
    exp.Sum: exp.Max,
    exp.Max: exp.Min,
    exp.Min: exp.Max,
    exp.Or: exp.And,
    exp.LogicalOr: exp.LogicalAnd,
}


def _changes(  # noqa: C901, PLR0912 - a list of cases
    node: exp.Expr,
) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """What can be changed at a node, each with the change."""
    if (other := _SWAPPED.get(type(node))) is not None:
        yield f"{node.key} to {other.key}", lambda n: n.replace(other(**n.args))
    if isinstance(node, exp.And):
        yield "left condition dropped", lambda n: n.replace(n.expression)
        yield "right condition dropped", lambda n: n.replace(n.this)
    if isinstance(node, exp.Where):
        yield "WHERE dropped", lambda n: n.pop()
    if isinstance(node, exp.Not):
        yield "NOT dropped", lambda n: n.replace(n.this)
    if isinstance(node, exp.Distinct) and isinstance(node.parent, exp.Count):
        yield "DISTINCT dropped", lambda n: n.replace(n.expressions[0])
    if isinstance(node, exp.Union):
        yield "left of UNION alone", lambda n: n.replace(_alone(n, n.left))
        yield "right of UNION alone", lambda n: n.replace(_alone(n, n.right))
    if isinstance(node, exp.Coalesce) and len(node.expressions) == 1:
        yield "COALESCE dropped", lambda n: n.replace(n.this)
    if isinstance(node, exp.Coalesce) and len(node.expressions) > 1:
        yield "first of COALESCE dropped", lambda n: n.set("this", exp.null())
    if isinstance(node, exp.Join) and node.side == "LEFT":
        yield "LEFT JOIN to JOIN", lambda n: n.set("side", None)
    if isinstance(node, exp.Ordered):
        yield "order turned", lambda n: n.set("desc", not n.args.get("desc"))
    if isinstance(node, exp.If):
        yield "IF swapped", _swap_if
    if isinstance(node, exp.Literal) and not node.is_string:
        yield "number plus one", lambda n: n.replace(exp.Literal.number(int(n.this) + 1))
    if isinstance(node, exp.Literal) and node.is_string and node.this.isdigit():
        yield "number plus one", lambda n: n.replace(exp.Literal.string(str(int(n.this) + 1)))
    elif isinstance(node, exp.Literal) and node.is_string:
        yield "another text", lambda n: n.replace(exp.Literal.string(f"{n.this}x"))
    partition = node.args.get("partition_by") if isinstance(node, exp.Window) else None
    for place in range(len(partition or [])):
        yield "PARTITION BY less one", lambda n, p=place: n.args["partition_by"].pop(p)


def _swap_if(node: exp.If) -> None:
    true, false = node.args["true"], node.args.get("false") or exp.null()
    node.set("true", false.copy())
    node.set("false", true.copy())


def _alone(union: exp.Union, side: exp.Query) -> exp.Query:
    side = side.copy()
    if union.args.get("with_"):
        side.set("with_", union.args["with_"].copy())
    return side


if __name__ == "__main__":
    sys.exit(main())
