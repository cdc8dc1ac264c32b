"""Active clients per day, experiment and branch."""

from __future__ import annotations

from expmon.catalog.model import Cadence, Column, Kind, Partitioning, Relation
from expmon.catalog.sources import CLIENTS_DAILY

ACTIVE_CLIENTS = Relation(
    "telemetry_derived.experiments_daily_active_clients_v1",
    Kind.TABLE,
    "Active clients per day, experiment and branch",
    (
        Column("submission_date", "DATE", "Day on which the clients were active, UTC"),
        Column("experiment_id", "STRING", "Slug of the experiment"),
        Column("branch", "STRING", "Slug of the branch"),
        Column("active_clients", "INT64", "Clients with a main ping that day"),
    ),
    Partitioning("submission_date"),
    ("experiment_id", "branch"),
    Cadence.DAILY,
    (CLIENTS_DAILY.name,),
)
