"""The shape that all aggregates share: three tables, the live view, and the sums by the hour."""

from __future__ import annotations

from expmon.catalog.model import Cadence, Column, Kind, Partitioning, Relation, Tiers, Unit

HOURLY_EXPIRATION_DAYS = 14


def tiers(  # noqa: PLR0913 - a declaration with names, made twice
    *,
    name: str,
    table: str,
    live: str,
    about: str,
    keys: tuple[Column, ...],
    measures: tuple[Column, ...],
    final_inputs: tuple[str, ...],
    live_inputs: tuple[str, ...],
    cumulative: bool = False,
) -> Tiers:
    """The declarations of one set of aggregates."""
    columns = (
        *keys,
        Column("window_start", "TIMESTAMP", "Start of the five-minute window, UTC"),
        Column("window_end", "TIMESTAMP", "End of the window, not part of it"),
        *measures,
    )
    running = tuple(
        Column(f"cumulative_{m.name}", "INT64", f"Running sum of {m.name} over windows")
        for m in measures
        if cumulative
    )
    grain = f"per {', '.join(k.name for k in keys)} and five-minute window"
    clustering = ("experiment", "branch")

    def tier(
        suffix: str, what: str, cadence: Cadence, partitioning: Partitioning | None
    ) -> Relation:
        return Relation(
            f"telemetry_derived.{table}{suffix}",
            Kind.TABLE,
            f"{about} {grain}: {what}",
            columns,
            partitioning,
            clustering,
            cadence,
            final_inputs if cadence is Cadence.DAILY else live_inputs,
        )

    daily = tier("_v1", "finished days", Cadence.DAILY, Partitioning("window_start"))
    hourly = tier(
        "_hourly_v1",
        "finished hours",
        Cadence.HOURLY,
        Partitioning("window_start", Unit.HOUR, HOURLY_EXPIRATION_DAYS),
    )
    recents = tier("_recents_v1", "since the last finished hour", Cadence.LIVE, None)
    view = Relation(
        f"telemetry_derived.{live}",
        Kind.VIEW,
        f"{about} {grain}: the three tiers as one, each window from exactly one of them",
        (*columns, *running),
        inputs=(daily.name, hourly.name, recents.name),
    )
    by_hour = Relation(
        f"telemetry_derived.{table}_by_hour_v1",
        Kind.TABLE,
        f"{about} per experiment and hour of days that are over, for later days to look back at",
        (
            Column("hour", "TIMESTAMP", "Start of the hour, UTC"),
            next(key for key in keys if key.name == "experiment"),
            *measures,
            Column("last_window", "TIMESTAMP", "Start of the last window of it that has a row"),
        ),
        Partitioning("hour"),
        ("experiment",),
        Cadence.LIVE,
        view.inputs,
    )
    return Tiers(
        name,
        daily,
        hourly,
        recents,
        view,
        by_hour,
        tuple(key.name for key in keys),
        tuple(measure.name for measure in measures),
        cumulative,
    )
