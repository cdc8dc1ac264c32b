"""Enrollment: which events are counted, where they come from, and the tables they are in."""

from __future__ import annotations

from dataclasses import dataclass

from expmon.catalog.model import Column, Relation, Tiers
from expmon.catalog.sources import EVENT_EVENTS, EVENTS_LIVE, MAIN_EVENTS
from expmon.catalog.tiers import tiers

METHODS = {
    "enroll_count": ("enroll", "enrollment"),
    "unenroll_count": ("unenroll", "unenrollment"),
    "graduate_count": ("graduate",),
    "update_count": ("update",),
    "enroll_failed_count": ("enrollFailed",),
    "unenroll_failed_count": ("unenrollFailed",),
    "update_failed_count": ("updateFailed",),
    "disqualification_count": ("disqualification",),
    "exposure_count": ("expose", "exposure"),
    "validation_failed_count": ("validationFailed",),
}
"""Which event methods each column counts. Methods are compared exactly; others make no row."""


@dataclass(frozen=True, slots=True)
class EventSource:
    """Where enrollment events come from, and how to get at what is counted.

    The texts are expressions of BigQuery's dialect over the relations' columns.

    Attributes:
        live: the relations of the live tiers, read by ``timestamp``.
        final: the relations of a finished day, read by ``day``.
        timestamp: when the event's ping was accepted; its bare column prunes partitions.
        day: the DATE that the final relations are partitioned by.
        where: which of the rows are enrollment events.
    """

    name: str
    live: tuple[Relation, ...]
    final: tuple[Relation, ...]
    timestamp: str
    day: str
    type: str
    experiment: str
    branch: str
    method: str
    where: str


LEGACY_TELEMETRY = EventSource(
    name="legacy_telemetry",
    live=(EVENTS_LIVE,),
    final=(EVENT_EVENTS, MAIN_EVENTS),
    timestamp="timestamp",
    day="submission_date",
    type="event_object",
    experiment="event_string_value",
    # An event counts once, however many extras it has: of two branches the first counts.
    branch=(
        "(SELECT extra.value FROM UNNEST(event_map_values) AS extra WITH OFFSET AS position "
        "WHERE extra.key = 'branch' ORDER BY position LIMIT 1)"
    ),
    method="event_method",
    where="event_category = 'normandy'",
)

EVENT_SOURCES: tuple[EventSource, ...] = (LEGACY_TELEMETRY,)
"""Every application's source, one beside the other."""


def _relations(final: bool) -> tuple[str, ...]:  # noqa: FBT001 - private, called with a word below
    found = (r for s in EVENT_SOURCES for r in (s.final if final else s.live))
    return tuple(dict.fromkeys(relation.name for relation in found))


ENROLLMENT: Tiers = tiers(
    name="enrollment",
    table="experiment_enrollment_aggregates",
    live="experiment_enrollment_aggregates_live",
    about="Enrollment events",
    keys=(
        Column("type", "STRING", "Object of the event: the kind of experiment"),
        Column("experiment", "STRING", "Slug of the experiment"),
        Column("branch", "STRING", "Slug of the branch; NULL where the event has none"),
    ),
    measures=tuple(
        Column(name, "INT64", f"Events of method {' or '.join(methods)}")
        for name, methods in METHODS.items()
    ),
    final_inputs=_relations(final=True),
    live_inputs=_relations(final=False),
)
