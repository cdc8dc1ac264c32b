"""What expmon remembers: what it has written, who is writing, and which version the tables have."""

from __future__ import annotations

from expmon.catalog.model import Column, Kind, Relation

SCHEMA_VERSION = 4
"""Of all tables together. `expmon.statements.migrations` leads to it from each earlier one."""

PARTITIONS = Relation(
    "telemetry_derived.expmon_partitions_v1",
    Kind.TABLE,
    "One row per partition or whole table that has been written",
    (
        Column("relation", "STRING", "dataset.table, by its name in the catalogue"),
        Column("partition", "STRING", "YYYYMMDD, YYYYMMDDHH, or empty for a whole table"),
        Column("job_id", "STRING", "The engine's job that wrote it"),
        Column("as_of", "TIMESTAMP", "Up to when the job looked at the data"),
        Column("started_at", "TIMESTAMP", "When the job began, before it read anything"),
        Column("rows", "INT64", "Rows written"),
        Column("bytes", "INT64", "Bytes read; NULL where the engine doesn't tell"),
        Column("modified_at", "TIMESTAMP", "When the partition was replaced"),
    ),
)
LEASE = Relation(
    "telemetry_derived.expmon_lease_v1",
    Kind.TABLE,
    "Which run may write at the moment; engines with a lock of their own leave it empty",
    (
        Column("run_id", "STRING", "The run that holds the lease"),
        Column("expires_at", "TIMESTAMP", "Until when, by the engine's clock"),
    ),
)
SCHEMA = Relation(
    "telemetry_derived.expmon_schema_v1",
    Kind.TABLE,
    "Which schema version the tables have; engines with labels have it there and leave this empty",
    (Column("version", "INT64", "The one row's: all tables are of it"),),
)
