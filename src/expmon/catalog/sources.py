"""What ingestion gives us: raw pings, deduplicated events, daily clients and experiments."""

from __future__ import annotations

from expmon.catalog.model import Column, Kind, Partitioning, Project, Relation

_ENTRY = "ARRAY<STRUCT<key STRING, value STRING>>"
_EVENTS = f"ARRAY<STRUCT<f0_ INT64, f1_ STRING, f2_ STRING, f3_ STRING, f4_ STRING, f5_ {_ENTRY}>>"
_EXPERIMENTS = (
    "ARRAY<STRUCT<key STRING, value STRUCT<branch STRING, enrollment_id STRING, type STRING>>>"
)
_SCALAR = "ARRAY<STRUCT<key STRING, value INT64>>"

PROCESSES = ("content", "dynamic", "extension", "gpu", "parent")
"""The processes whose events are counted."""

_ARRAYS = ("content", "dynamic", "extension", "gpu", "parent", "socket")

_PING_HEAD = (
    Column(
        "application",
        "STRUCT<build_id STRING, channel STRING, name STRING, version STRING>",
        "The application that sent the ping",
    ),
    Column("client_id", "STRING", "The ID of the client's profile"),
    Column("document_id", "STRING", "The document ID that the client gave the ping"),
    Column(
        "environment",
        f"STRUCT<experiments {_EXPERIMENTS}>",
        "The experiments, with their branches, that the client was in",
    ),
    Column("normalized_app_name", "STRING", "Name of the application, as ingestion knows it"),
    Column("normalized_channel", "STRING", "Update channel, as ingestion knows it"),
    Column("normalized_country_code", "STRING", "Country of the client's address, two letters"),
    Column("normalized_os", "STRING", "Operating system, as ingestion knows it"),
    Column("normalized_os_version", "STRING", "Version of the operating system"),
)
_PING_TAIL = (
    Column("sample_id", "INT64", "Hash of client_id, 0 to 99"),
    Column("submission_timestamp", "TIMESTAMP", "When the server accepted the ping"),
)

_EVENT_PAYLOAD = (
    f"STRUCT<events STRUCT<{', '.join(f'{process} {_EVENTS}' for process in _ARRAYS)}>, "
    "lost_events_count INT64, process_start_timestamp INT64, reason STRING, session_id STRING, "
    "subsession_id STRING>"
)
_PARENT = (
    f"parent STRUCT<events {_EVENTS}, keyed_scalars STRUCT<browser_search_ad_clicks {_SCALAR}, "
    f"browser_search_with_ads {_SCALAR}>>"
)
_PROCESS_FIELDS = ", ".join(
    _PARENT if process == "parent" else f"{process} STRUCT<events {_EVENTS}>" for process in _ARRAYS
)
_MAIN_PAYLOAD = (
    f"STRUCT<keyed_histograms STRUCT<search_counts {_ENTRY}>, processes STRUCT<{_PROCESS_FIELDS}>>"
)

EVENT_COLUMNS = (
    Column("submission_date", "DATE", "Day of the submission, UTC"),
    Column("timestamp", "TIMESTAMP", "When the server accepted the event's ping"),
    Column("event_category", "STRING", "What the event is about: normandy, of those counted"),
    Column("event_method", "STRING", "What happened, like enroll"),
    Column("event_object", "STRING", "Of enrollment events: the kind of experiment"),
    Column("event_string_value", "STRING", "Of enrollment events: slug of the experiment"),
    Column("event_map_values", _ENTRY, "The event's extras, in their order"),
)

_BY_SUBMISSION = Partitioning("submission_timestamp")

EVENT_V4 = Relation(
    "telemetry_live.event_v4",
    Kind.SOURCE,
    "Event pings as they arrive; may hold a document twice",
    (*_PING_HEAD, Column("payload", _EVENT_PAYLOAD, "The events, by process"), *_PING_TAIL),
    _BY_SUBMISSION,
)
MAIN_V4 = Relation(
    "telemetry_live.main_v4",
    Kind.SOURCE,
    "Main pings as they arrive; may hold a document twice",
    (*_PING_HEAD, Column("payload", _MAIN_PAYLOAD, "Searches, and events by process"), *_PING_TAIL),
    _BY_SUBMISSION,
)
STABLE_MAIN_V4 = Relation(
    "telemetry_stable.main_v4",
    Kind.SOURCE,
    "Main pings, complete after midnight, each document once a day: its first arrival",
    MAIN_V4.columns,
    _BY_SUBMISSION,
    inputs=(MAIN_V4.name,),
)
EVENT_EVENTS = Relation(
    "telemetry_derived.event_events_v1",
    Kind.SOURCE,
    "One row per event of the event pings, deduplicated",
    EVENT_COLUMNS,
    Partitioning("submission_date"),
    inputs=(EVENT_V4.name,),
)
MAIN_EVENTS = Relation(
    "telemetry_derived.main_events_v1",
    Kind.SOURCE,
    "One row per event of the main pings, deduplicated",
    EVENT_COLUMNS,
    Partitioning("submission_date"),
    inputs=(STABLE_MAIN_V4.name,),
)
CLIENTS_DAILY = Relation(
    "telemetry.clients_daily",
    Kind.SOURCE,
    "One row per client with a main ping that day, with its experiments and branches",
    (
        Column("submission_date", "DATE", "Day on which the pings were accepted, UTC"),
        Column("client_id", "STRING", "The ID of the client's profile"),
        Column("experiments", _ENTRY, "Slugs of the experiments; the value is the branch"),
    ),
    Partitioning("submission_date"),
    inputs=(STABLE_MAIN_V4.name,),
    physical="telemetry_derived.clients_daily_v6",
)
EXPERIMENTS = Relation(
    "monitoring.experimenter_experiments_v1",
    Kind.SOURCE,
    "What Experimenter knows of each experiment",
    (
        Column("normandy_slug", "STRING", "Slug, as clients send it"),
        Column("experimenter_slug", "STRING", "Slug of its page in Experimenter"),
        Column("type", "STRING", "Kind of experiment"),
        Column("status", "STRING", "How far it is, like Live or Complete"),
        Column("start_date", "DATE", "First day, UTC"),
        Column("end_date", "DATE", "Day on which it ended; NULL while it is live"),
        Column(
            "enrollment_end_date", "DATE", "Day on which enrollment ends; NULL where it isn't known"
        ),
        Column("proposed_enrollment", "INT64", "For how many days clients are to be enrolled"),
        Column("reference_branch", "STRING", "Slug of the branch that others are compared with"),
        Column("is_rollout", "BOOL", "Whether it is a rollout, of one branch"),
        Column(
            "branches",
            "ARRAY<STRUCT<slug STRING, ratio INT64>>",
            "Branches with their relative sizes",
        ),
        Column("app_name", "STRING", "Application, like firefox_desktop"),
        Column("channel", "STRING", "Update channel, like release"),
    ),
    project=Project.EXPERIMENTS,
)
EVENTS_LIVE = Relation(
    "telemetry_derived.events_live",
    Kind.VIEW,
    "One row per event of the live event pings; the timestamp is the submission timestamp",
    EVENT_COLUMNS,
    inputs=(EVENT_V4.name,),
)

RELATIONS = (
    EVENT_V4,
    MAIN_V4,
    STABLE_MAIN_V4,
    EVENT_EVENTS,
    MAIN_EVENTS,
    CLIENTS_DAILY,
    EXPERIMENTS,
    EVENTS_LIVE,
)
