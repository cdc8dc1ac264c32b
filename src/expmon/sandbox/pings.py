"""Client pings to rows of the live tables, as the ingestion pipeline makes them.

The rules are those of Mozilla's ingestion (the schemas of mozilla-pipeline-schemas; the
``normalized_*`` fields as in gcp-ingestion's NormalizeAttributes). A row has exactly the fields of
``event_v4`` or ``main_v4`` in every ping: records are always there, a missing array is empty, any
other missing value is None.
"""

from __future__ import annotations

import json
import re
import zlib
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from expmon.catalog import RELATIONS
from expmon.errors import PingError
from expmon.sandbox.documents import ReadPing, json_kind, read_documents
from expmon.sandbox.rows import row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from expmon.sandbox.rows import Cells

__all__ = ["EVENT_PINGS", "MAIN_PINGS", "ReadPing", "ping_cells", "ping_row", "read_documents"]

EVENT_PINGS = "telemetry_live.event_v4"
MAIN_PINGS = "telemetry_live.main_v4"

_VERSION = 4
_PROCESSES = ("content", "dynamic", "extension", "gpu", "parent", "socket")
_EVENT_LENGTHS = range(4, 7)
_INT64 = range(-(2**63), 2**63)
_SAMPLES = 100

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NOTHING: Mapping[str, Any] = MappingProxyType({})

_OTHER = "Other"
_APPS = frozenset({"Firefox", "Fennec"})
_CHANNELS = frozenset({"release", "esr", "beta", "aurora", "nightly"})
_OS_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}")


def ping_row(
    ping: Mapping[str, Any], submission_timestamp: datetime | None
) -> tuple[str, dict[str, Any]]:
    """The relation that the ping belongs to, and its row there.

    Args:
        ping: as a client sends it. A field ``submission_timestamp``, which the server adds, wins
            over the argument.
        submission_timestamp: when the server received it.

    Returns:
        ``telemetry_live.event_v4`` or ``telemetry_live.main_v4``, and the row; its
        ``submission_timestamp`` is in UTC.

    Raises:
        PingError: it is another kind of ping, has no ``id`` or no time, or something in it has the
            wrong shape; the message says where.
    """
    source, cells = ping_cells(ping, submission_timestamp)
    return source, row(RELATIONS[source], cells)


def ping_cells(ping: Mapping[str, Any], submission_timestamp: datetime | None) -> tuple[str, Cells]:
    """The same as `ping_row`, with the row as the cells of `Rows`; the time is the last one."""
    kind, version = ping.get("type"), ping.get("version")
    try:
        if kind not in ("event", "main") or version != _VERSION:
            raise PingError(
                f"a ping of type {_shown(kind)}, version {_shown(version)}; "
                f"only event and main pings of version {_VERSION} are read"
            )
        head, tail = _common_cells(ping, submission_timestamp)
        payload = _object(ping, "payload")
        if kind == "event":
            return EVENT_PINGS, (*head, *_event_payload(payload), *tail)
        return MAIN_PINGS, (*head, *_main_payload(payload), *tail)
    except RecursionError:
        raise PingError("nested too deeply") from None


def _common_cells(
    ping: Mapping[str, Any], submission_timestamp: datetime | None
) -> tuple[Cells, Cells]:
    """What comes before the payload, and what after it."""
    document_id = ping.get("id")
    if not (isinstance(document_id, str) and document_id):
        raise PingError("id is missing, empty or not a string")
    application = _object(ping, "application")
    environment = _object(ping, "environment")
    system = _object(environment, "system", "environment.")
    os = _object(system, "os", "environment.system.")
    client_id = _text(ping.get("clientId"))
    name, channel = _text(application.get("name")), _text(application.get("channel"))
    head = (
        # application
        _text(application.get("buildId")),
        channel,
        name,
        _text(application.get("version")),
        client_id,
        document_id,
        # environment
        _experiments(environment),
        # normalized_app_name, _channel, _country_code, _os and _os_version
        name if name is None or name in _APPS else _OTHER,
        _normalized_channel(channel),
        # The pipeline has it from the sender's address, which no ping has.
        None,
        _normalized_os(_text(os.get("name"))),
        _normalized_os_version(_text(os.get("version"))),
    )
    sample_id = (
        None if client_id is None else zlib.crc32(client_id.encode(errors="replace")) % _SAMPLES
    )
    return head, (sample_id, _received_at(ping.get("submission_timestamp"), submission_timestamp))


def _event_payload(payload: Mapping[str, Any]) -> Cells:
    events = _object(payload, "events", "payload.")
    return (
        *(_events(events.get(process), "payload.events.", process) for process in _PROCESSES),
        _integer(payload.get("lostEventsCount")),
        _integer(payload.get("processStartTimestamp")),
        _text(payload.get("reason")),
        _text(payload.get("sessionId")),
        _text(payload.get("subsessionId")),
    )


def _main_payload(payload: Mapping[str, Any]) -> Cells:
    histograms = _object(payload, "keyedHistograms", "payload.")
    counts = _object(histograms, "SEARCH_COUNTS", "payload.keyedHistograms.")
    processes = _object(payload, "processes", "payload.")
    events = []
    for name in _PROCESSES:
        process = _object(processes, name, "payload.processes.")
        events.append(_events(process.get("events"), "payload.processes.", name, ".events"))
    parent = _object(processes, "parent", "payload.processes.")
    scalars = _object(parent, "keyedScalars", "payload.processes.parent.")
    clicks = _keyed_scalar(scalars, "browser.search.ad_clicks")
    with_ads = _keyed_scalar(scalars, "browser.search.with_ads")
    # The scalars belong to the process before the last.
    *up_to_parent, socket = events
    return (_text_map(counts), *up_to_parent, clicks, with_ads, socket)


def _experiments(environment: Mapping[str, Any]) -> tuple[Cells, ...]:
    rows = []
    for slug, entry in _object(environment, "experiments", "environment.").items():
        fields = entry if isinstance(entry, dict) else {}
        branch, kind = _text(fields.get("branch")), _text(fields.get("type"))
        rows.append((slug, branch, _text(fields.get("enrollmentId")), kind))
    return tuple(rows)


def _events(events: object, *where: str) -> tuple[Cells, ...]:
    """The events at this place, which is given in parts: it is put together for errors alone."""
    if events is None:
        return ()
    place = "".join(where)
    if not isinstance(events, list):
        raise PingError(f"{place} must be an array, not {json_kind(events)}")
    return tuple([_event(event, place, index) for index, event in enumerate(events)])


def _event(event: object, place: str, index: int) -> Cells:
    """``[time, category, method, object, value, extras]``, the last two optional."""
    if not isinstance(event, list):
        raise PingError(f"{place}[{index}] must be an array, not {json_kind(event)}")
    if len(event) not in _EVENT_LENGTHS:
        raise PingError(f"{place}[{index}] must have 4 to 6 elements, not {len(event)}")
    time, category, method, obj, value, extras, *_ = (*event, None, None)
    if not (extras is None or isinstance(extras, dict)):
        raise PingError(f"{place}[{index}][5] must be an object, not {json_kind(extras)}")
    return (
        _integer(time),
        _text(category),
        _text(method),
        _text(obj),
        _text(value),
        _text_map(extras) if extras else (),
    )


def _text_map(values: Mapping[str, Any]) -> tuple[Cells, ...]:
    return tuple([(key, _text(value)) for key, value in values.items()])


def _keyed_scalar(scalars: Mapping[str, Any], name: str) -> tuple[Cells, ...]:
    values = _object(scalars, name, "payload.processes.parent.keyedScalars.")
    return tuple([(key, _integer(value)) for key, value in values.items()])


def _object(parent: Mapping[str, Any], key: str, where: str = "") -> Mapping[str, Any]:
    """The object under this key, an empty one where it is missing or null."""
    value = parent.get(key)
    if value is None:
        return _NOTHING
    if not isinstance(value, dict):
        raise PingError(f"{where}{key} must be an object, not {json_kind(value)}")
    return value


def _text(value: object) -> str | None:
    """A string as it is, anything else but null as compact JSON."""
    if value is None or isinstance(value, str):
        return value
    return _COMPACT(value)


def _integer(value: object) -> int | None:
    """An INT64; None for whatever is none, true and 1.0 too."""
    # A range compares the value itself, so type() keeps bool, a kind of int, out.
    return value if type(value) is int and value in _INT64 else None


def _received_at(own: object, given: datetime | None) -> datetime:
    moment = given if own is None else _parsed(own)
    if moment is None:
        raise PingError("it has no field submission_timestamp: give --submission-timestamp")
    if moment.tzinfo is UTC:
        return moment
    if moment.utcoffset() is None:
        raise PingError(
            f"submission_timestamp {moment.isoformat()} has no time zone: add one, for instance Z, "
            "or leave the field out and give --submission-timestamp"
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PingError(f"submission_timestamp {moment.isoformat()} is out of range") from None


def _parsed(moment: object) -> datetime:
    """ISO 8601, or as BigQuery prints it: ``2021-01-26 00:05:00.000001 UTC``."""
    if isinstance(moment, str):
        try:
            return datetime.fromisoformat(
                moment.removesuffix(" UTC") + "+00:00" if moment.endswith(" UTC") else moment
            )
        except ValueError:
            pass
    raise PingError(
        f"submission_timestamp {_shown(moment)} is not a time like 2021-01-26T00:05:00.000001Z: "
        "correct it, or leave the field out and give --submission-timestamp"
    )


def _normalized_channel(channel: str | None) -> str | None:
    if channel is None or channel in _CHANNELS:
        return channel
    for prefix, name in (("nightly-cck-", "nightly"), ("beta", "beta")):
        if channel.startswith(prefix):
            return name
    return _OTHER


def _normalized_os(name: str | None) -> str | None:
    if name is None:
        return None
    if name.startswith(("Windows", "WINNT")):
        return "Windows"
    if name.startswith("Darwin"):
        return "Mac"
    if any(part in name for part in ("Linux", "BSD", "SunOS")):
        return "Linux"
    return _OTHER


def _normalized_os_version(version: str | None) -> str | None:
    if version is None:
        return None
    match = _OS_VERSION.match(version)
    return match.group() if match else ""


def _shown(value: object) -> str:
    """A value for a message: short, whatever a client sent."""
    text = repr(value) if isinstance(value, str) else str(_text(value))
    return text if len(text) <= 60 else f"{text[:60]}…"
