"""How far live counts were from the final ones: for people, for programs, and for Prometheus."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

import click

from expmon.cli.common import FAILED, Options, as_of, counted, table_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from expmon.materialize.drift import CountDrift, DayDrift

    IsPast = Callable[[CountDrift], bool]

_SHOWN = 60
"""So many of the counts past the threshold are named."""
_MEANING = (
    "More live than final: documents that arrived twice. Fewer: documents that arrived after their "
    "hour was counted, or events of main pings, which only the final sources have. The final "
    "counts hold, and nothing has to be written anew."
)


@click.command(epilog=_MEANING)
@as_of
@click.option(
    "--days",
    type=click.IntRange(1, 13),
    default=7,
    show_default=True,
    help="Look at the final ones of so many days before the moment's own.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(min=0),
    default=10,
    show_default=True,
    metavar="PERCENT",
    help="Warn of counts that differ by more.",
)
@click.option(
    "--at-least",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="COUNT",
    help="Never warn of counts that are lower, live and final.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "prometheus"]),
    default="table",
    show_default=True,
    help="How to print it; prometheus has the latest day that is known.",
)
@click.pass_obj
@click.pass_context
def drift(
    context: click.Context,
    options: Options,
    as_of: datetime | None,
    days: int,
    threshold: float,
    at_least: int,
    form: str,
) -> None:
    """Compare live counts of final days with the final ones, per experiment.

    Live counts are those of the hourly table: a day is not known if an hour of it was never
    written. The exit status is 1 if a count is past the threshold.
    """

    def is_past(count: CountDrift) -> bool:
        return count.is_past(threshold, at_least=at_least)

    with options.monitor() as monitor:
        found = monitor.drift(as_of, days=days)
    click.echo(_FORMS[form](found, is_past), nl=False)
    if any(is_past(count) for day in found for count in day.counts):
        context.exit(FAILED)


def _table(found: Sequence[DayDrift], is_past: IsPast) -> str:
    """A line for each day, and one for each count that is past the threshold, the worst first."""
    if not found:
        return "none of these days is final\n"
    days = [
        (
            day.day,
            day.aggregates,
            *(
                (
                    len(day.counts),
                    sum(count.difference != 0 for count in day.counts),
                    sum(map(is_past, day.counts)),
                )
                if day.is_known
                else (None, None, f"not known: only {counted(day.hours, 'hour')} of 24 written")
            ),
        )
        for day in found
    ]
    text = table_text(("day", "aggregates", "counts", "that differ", "past the threshold"), days)
    past = [(day, count) for day in found for count in day.counts if is_past(count)]
    past.sort(key=lambda entry: -abs(entry[1].difference))
    rows = [
        (
            day.day,
            count.experiment,
            count.measure,
            count.live,
            count.final,
            count.difference,
            "none is final" if count.percent is None else f"{count.percent:+.1f} %",
        )
        for day, count in past[:_SHOWN]
    ]
    if not rows:
        return text
    columns = ("day", "experiment", "count", "live", "final", "difference", "of the final")
    text += table_text(columns, rows)
    if len(past) > _SHOWN:
        text += f"… and {len(past) - _SHOWN:,} more\n\n"
    return f"{text}{_MEANING}\n"


def _json(found: Sequence[DayDrift], is_past: IsPast) -> str:
    """A JSON object a line, for each day and aggregates."""
    return "".join(f"{json.dumps(_record(day, is_past))}\n" for day in found)


def _record(day: DayDrift, is_past: IsPast) -> dict[str, object]:
    counts = [
        {
            **asdict(count),
            "difference": count.difference,
            "percent": count.percent,
            "is_past": is_past(count),
        }
        for count in day.counts
    ]
    return {
        "aggregates": day.aggregates,
        "day": day.day.isoformat(),
        "hours": day.hours,
        "is_known": day.is_known,
        "counts": counts,
    }


def _prometheus(found: Sequence[DayDrift], is_past: IsPast) -> str:
    """Gauges of the latest day of either aggregates that is known."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()

    def gauge(name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"expmon_drift_{name}", about, ("aggregates", *labels), registry=registry)

    of_a_count = ("experiment", "measure")
    known = gauge("day_timestamp_seconds", "Start of the latest day that is known")
    past = gauge("past_counts", "Counts of that day that are past the threshold")
    live = gauge("live_count", "What was counted live on that day", *of_a_count)
    final = gauge("final_count", "What is final of that day", *of_a_count)
    latest = {day.aggregates: day for day in found if day.is_known}
    for name, day in latest.items():
        known.labels(name).set(datetime.combine(day.day, time(), UTC).timestamp())
        past.labels(name).set(sum(map(is_past, day.counts)))
        for count in day.counts:
            live.labels(name, count.experiment, count.measure).set(count.live)
            final.labels(name, count.experiment, count.measure).set(count.final)
    return generate_latest(registry).decode()


_FORMS: Mapping[str, Callable[[Sequence[DayDrift], IsPast], str]] = {
    "table": _table,
    "json": _json,
    "prometheus": _prometheus,
}

COMMANDS = (drift,)
