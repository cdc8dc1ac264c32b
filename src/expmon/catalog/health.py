"""What health checks keep: the planned ratios as they were seen, totals, and every verdict."""

from __future__ import annotations

from expmon.catalog.derived import DERIVED
from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.model import Cadence, Column, Kind, Partitioning, Project, Relation
from expmon.catalog.search import SEARCH

POPULATION = next(
    d for d in DERIVED if d.name == "experiment_enrollment_cumulative_population_estimate"
)

RATIOS = Relation(
    "telemetry_derived.experiment_ratios_v1",
    Kind.TABLE,
    "The planned ratios of active experiments, each version from when it was first seen",
    (
        Column("experiment", "STRING", "Slug of the experiment"),
        Column("seen_at", "TIMESTAMP", "When the live run first saw these ratios"),
        Column("last_seen_at", "TIMESTAMP", "When a live run last saw them"),
        Column("branch", "STRING", "Slug of the branch"),
        Column("ratio", "INT64", "Its ratio; NULL where the metadata has none"),
    ),
    cadence=Cadence.LIVE,
    # It is read from the metadata, which is no input that the planner asks after.
)
EVENTS = (
    *("enroll", "unenroll", "graduate", "update"),
    *("enroll_failed", "unenroll_failed", "update_failed", "validation_failed"),
)
"""The events that are counted, each with a column ``…_count`` of the aggregates."""
TOTALS = Relation(
    "telemetry_derived.experiment_totals_v1",
    Kind.TABLE,
    "What was counted of the active experiments up to the end of a day, for what comes after it",
    (
        Column("day", "DATE", "The day, up to whose end it was counted"),
        Column("experiment", "STRING", "Slug of the experiment"),
        Column(
            "start", "TIMESTAMP", "Since when: the start of a phase, or of a time between phases"
        ),
        Column("finish", "TIMESTAMP", "Until when: its end, or that of the day"),
        Column("branch", "STRING", "Slug of the branch; NULL in a row that counts nothing"),
        Column("is_planned", "BOOL", "Whether the phase plans clients for the branch"),
        *(Column(f"{event}_count", "INT64", f"Number of events: {event}") for event in EVENTS),
        Column("compared", "INT64", "Unenrollments that are compared between the branches"),
        Column("expected", "INT64", "How many are expected of this branch, in billionths"),
        Column("log_null", "INT64", "Logarithm of the chance of so many, in billionths"),
    ),
    Partitioning("day", expiration_days=14),
    ("experiment",),
    Cadence.LIVE,
    (
        *(r.name for r in (ENROLLMENT.daily, ENROLLMENT.hourly, ENROLLMENT.recents)),
        POPULATION.table.name,
        RATIOS.name,
    ),
)
HEALTH = Relation(
    "telemetry_derived.experiment_health_v1",
    Kind.TABLE,
    "What the health checks found at each live run",
    (
        Column("time", "TIMESTAMP", "The moment that the live run looked from"),
        Column("experiment", "STRING", "Slug of the experiment; empty: all experiments"),
        Column("check_name", "STRING", "Name of the check"),
        Column("branch", "STRING", "Slug of the branch; empty where it is not about one"),
        Column("verdict", "STRING", "ok, not enough data, suspect, alarm or not applicable"),
        Column("since", "TIMESTAMP", "The first live run in a row with this verdict"),
        Column("log_e", "FLOAT64", "Natural logarithm of the e-value; NULL where there is none"),
        Column("value", "FLOAT64", "What was counted; NULL where nothing is"),
        Column("expected", "FLOAT64", "What was expected of it; NULL where nothing is"),
        Column("sentence", "STRING", "What it means, for people"),
        Column("action", "STRING", "What to do; empty where there is nothing to do"),
    ),
    Partitioning("time"),
    ("experiment", "check_name"),
    Cadence.LIVE,
    (
        *(r.name for t in (ENROLLMENT, SEARCH) for r in (t.daily, t.hourly, t.recents, t.by_hour)),
        POPULATION.table.name,
        RATIOS.name,
        TOTALS.name,
    ),
)
HEALTH_VIEW = Relation(
    "telemetry.experiment_health",
    Kind.VIEW,
    HEALTH.description,
    HEALTH.columns,
    inputs=(HEALTH.name,),
    project=Project.VIEWS,
)
