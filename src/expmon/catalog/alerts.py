"""What `expmon alerts` keeps: its messages, until they are delivered and after."""

from __future__ import annotations

from expmon.catalog.model import Column, Kind, Relation

ALERTS = Relation(
    "telemetry_derived.experiment_alerts_v1",
    Kind.TABLE,
    "The messages about changes of verdict, delivered or not",
    (
        Column("id", "STRING", "The message's own; the same start or end always has the same"),
        Column("kind", "STRING", "started or over"),
        Column("experiment", "STRING", "Slug of the experiment; empty: all experiments"),
        Column("check_name", "STRING", "Name of the check"),
        Column("branch", "STRING", "Slug of the branch; empty where it is not about one"),
        Column("time", "TIMESTAMP", "The live run that it was seen at"),
        Column("since", "TIMESTAMP", "Since when it is, or was, an alarm"),
        Column("sentence", "STRING", "What it means, for people"),
        Column("action", "STRING", "What to do; empty where there is nothing to do"),
        Column("claimed_until", "TIMESTAMP", "Until then a process is delivering it; NULL: none"),
        Column("delivered_at", "TIMESTAMP", "When it was delivered; NULL: not yet"),
    ),
)
