from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from expmon.catalog import sources
from expmon.errors import PingError
from expmon.sandbox import EVENT_PINGS, MAIN_PINGS, ping_row

DATA = Path(__file__).parents[1] / "data"
RECEIVED = datetime(2021, 1, 26, 0, 4, 59, 999999, tzinfo=UTC)
FIVE_PAST = datetime(2021, 1, 26, 0, 5, tzinfo=UTC)
PROCESSES = ("content", "dynamic", "extension", "gpu", "parent", "socket")
SCHEMAS = {"event": "event.4.pruned.bq", "main": "main.4.pruned.bq"}
RELATIONS = {"event": sources.EVENT_V4, "main": sources.MAIN_V4}
both = pytest.mark.parametrize("kind", ["event", "main"])
PYTHON = {"STRING": str, "INT64": int, "TIMESTAMP": datetime}

EVENT = [7, "normandy", "enroll", "nimbus_experiment", "slug", {"branch": "a", "n": 1}]
SCALARS = {"browser.search.ad_clicks": {"google": 2}, "browser.search.with_ads": {"google": 3}}


def ping_of(kind, **fields):
    return {"type": kind, "id": "id-1", "version": 4} | fields


def row_of(kind, **fields):
    return ping_row(ping_of(kind, **fields), RECEIVED)[1]


def nested(where, value):
    """The fields of a ping that has this value in this place, dots between the names."""
    for name in reversed(where.split(".")):
        value = {name: value}
    return value


def full_ping(kind):
    """A ping with something in every array of its row."""
    if kind == "event":
        payload = {"events": {process: [EVENT] for process in PROCESSES}}
    else:
        processes = {process: {"events": [EVENT]} for process in PROCESSES}
        processes["parent"]["keyedScalars"] = SCALARS
        payload = {"keyedHistograms": {"SEARCH_COUNTS": {"a": 1}}, "processes": processes}
    environment = {"experiments": {"slug": {"branch": "a", "type": "t", "enrollmentId": "e"}}}
    return ping_of(kind, clientId="c", environment=environment, payload=payload)


def deployed(fields):
    """BigQuery's JSON as names and types: a dict for a record, a list for an array."""
    shapes = {}
    for field in fields:
        shape = deployed(field["fields"]) if field["type"] == "RECORD" else field["type"]
        shapes[field["name"]] = [shape] if field["mode"] == "REPEATED" else shape
    return shapes


def declared(tokens):
    """The catalogue's text of a type in the same form; takes its tokens from the front."""
    word = tokens.pop(0)
    if word not in {"ARRAY", "STRUCT"}:
        return word
    shape = {}
    while tokens.pop(0) != ">":
        if word == "ARRAY":
            shape = [declared(tokens)]
        else:
            name = tokens.pop(0)
            shape[name] = declared(tokens)
    return shape


def faults(value, shape, where):
    """Every place in which a value is not of this shape."""
    match shape:
        case str():
            is_fine = value is None or type(value) is PYTHON[shape]
            return [] if is_fine else [f"{where} is {value!r}, no {shape}"]
        case [inner]:
            if not isinstance(value, list):
                return [f"{where} is no array"]
            return [fault for item in value for fault in faults(item, inner, f"{where}[]")]
    if sorted(value) != sorted(shape):
        return [f"{where} has {sorted(value)}, not {sorted(shape)}"]
    return [fault for key in shape for fault in faults(value[key], shape[key], f"{where}.{key}")]


def deployed_shape(kind):
    return deployed(json.loads((DATA / SCHEMAS[kind]).read_text()))


def declared_shape(kind):
    columns = RELATIONS[kind].columns
    return {column.name: declared(re.findall(r"[<>,]|\w+", column.type)) for column in columns}


@both
@pytest.mark.parametrize("shape_of", [deployed_shape, declared_shape])
@pytest.mark.parametrize("ping_of_kind", [full_ping, ping_of])
def test_a_row_has_exactly_the_fields_of_its_table(kind, shape_of, ping_of_kind):
    _, row = ping_row(ping_of_kind(kind), RECEIVED)
    assert faults(row, shape_of(kind), kind) == []


@both
def test_the_catalogue_declares_the_live_tables_as_they_are_deployed(kind):
    assert declared_shape(kind) == deployed_shape(kind)


@both
def test_no_array_of_a_full_ping_is_lost(kind):
    def arrays(value):
        inner = value.values() if isinstance(value, dict) else value
        own = [len(value)] if isinstance(value, list) else []
        return [*own, *(n for v in inner if isinstance(v, dict | list) for n in arrays(v))]

    _, row = ping_row(full_ping(kind), RECEIVED)
    assert min(arrays(row)) == 1


def test_a_ping_goes_to_the_live_table_of_its_type():
    assert ping_row(ping_of("event"), RECEIVED)[0] == EVENT_PINGS == "telemetry_live.event_v4"
    assert ping_row(ping_of("main"), RECEIVED)[0] == MAIN_PINGS == "telemetry_live.main_v4"


def entries(**pairs):
    return [{"key": key, "value": value} for key, value in pairs.items()]


def event_row(*values):
    return dict(zip(("f0_", "f1_", "f2_", "f3_", "f4_", "f5_"), values, strict=True))


def test_the_real_event_ping_becomes_its_row():
    ping = json.loads((DATA / "event.4.sample.json").read_text())
    relation, row = ping_row(ping, RECEIVED)
    close = entries(host="bottom", width="1300")
    leave = entries(panel_name="webconsole", next_panel="none", reason="toolbox_close")
    confirmation = entries(trigger="pref-change", contextReason="pref-change", attemptCount="1")
    confirmation += entries(results="+", time="900.170000", networkID="", captivePortal="0")
    dns = event_row(3484, "network.dns", "trrConfirmation", "context", "2", confirmation)
    enrollment_id = "01f4c3fe-05e2-4af5-a10e-8422639c3536"
    cohort = {"branch": "nov17-2", "enrollment_id": enrollment_id, "type": "high-population"}
    application = {"build_id": "20180509105613", "channel": "default"}
    application |= {"name": "Firefox", "version": "62.0a1"}
    assert relation == "telemetry_live.event_v4"
    assert row == {
        "application": application,
        "client_id": "ac69287d-2ebb-4cba-b3ec-558a677d0a5e",
        "document_id": "1c640570-51f7-48cc-9170-6ca93a5df178",
        "environment": {"experiments": [{"key": "searchCohort", "value": cohort}]},
        "normalized_app_name": "Firefox",
        "normalized_channel": "Other",
        "normalized_country_code": None,
        "normalized_os": "Linux",
        "normalized_os_version": "4.4.0",
        "payload": {
            "events": {
                **{process: [] for process in ("content", "dynamic", "extension", "gpu")},
                "parent": [
                    event_row(1572303, "devtools.main", "close", "tools", None, close),
                    event_row(1572307, "devtools.main", "exit", "webconsole", None, close + leave),
                ],
                "socket": [dns],
            },
            "lost_events_count": 0,
            "process_start_timestamp": 1527179580000,
            "reason": "shutdown",
            "session_id": "23929b57-04c3-4a6d-bcb6-150041eb4c54",
            "subsession_id": "cf96de8a-9307-49dc-9f52-b3b834296d68",
        },
        "sample_id": 56,  # CRC32 of the client's ID, 2936214656, modulo 100
        "submission_timestamp": RECEIVED,
    }


def test_the_real_main_ping_becomes_its_row():
    ping = json.loads(gzip.decompress((DATA / "main.4.sample.json.gz").read_bytes()))
    relation, row = ping_row(ping, RECEIVED)
    (count,) = row["payload"]["keyed_histograms"]["search_counts"]
    processes = row["payload"]["processes"]
    brunch = {"branch": "brunch", "enrollment_id": None, "type": None}
    google, amazon = entries(engine="google"), entries(engine="amazondotcom")
    searches = [
        event_row(12141232, "navigation", "search", "searchbar", "enter", google),
        event_row(12144813, "navigation", "search", "searchbar", "oneoff", amazon),
        event_row(12152377, "navigation", "search", "urlbar", "enter", google),
    ]
    assert relation == "telemetry_live.main_v4"
    assert row["document_id"] == "0fdac909-d2ec-454c-b625-261a3e5d5c9b"
    assert row["environment"] == {"experiments": [{"key": "test_id123", "value": brunch}]}
    assert (row["normalized_channel"], row["normalized_os"]) == ("beta", "Mac")
    assert row["sample_id"] == 50  # CRC32 of the client's ID, 2947761950, modulo 100
    assert count["key"] == "google.urlbar"
    assert json.loads(count["value"])["sum"] == 5
    assert processes["parent"] == {
        "events": searches,
        "keyed_scalars": {"browser_search_ad_clicks": [], "browser_search_with_ads": []},
    }
    del processes["parent"]
    assert processes == {process: {"events": []} for process in PROCESSES if process != "parent"}


@pytest.mark.parametrize(
    ("histogram", "stored"),
    [
        ({"sum": 5, "range": [1, 2], "é": None}, '{"sum":5,"range":[1,2],"é":null}'),
        (7, "7"),
        (None, None),
        *((text, text) for text in ("3;2;7;1,2;0:0,1:5,2:1", "4,7", "7", "foo", "", '{"sum": 7')),
    ],
)
def test_a_histogram_is_stored_as_it_is_encoded(histogram, stored):
    row = row_of("main", payload={"keyedHistograms": {"SEARCH_COUNTS": {"google": histogram}}})
    assert row["payload"]["keyed_histograms"]["search_counts"] == entries(google=stored)


def test_ads_keep_their_keys_and_their_order():
    row = row_of("main", payload={"processes": {"parent": {"keyedScalars": SCALARS}}})
    assert row["payload"]["processes"]["parent"]["keyed_scalars"] == {
        "browser_search_ad_clicks": entries(google=2),
        "browser_search_with_ads": entries(google=3),
    }


@pytest.mark.parametrize(
    ("number", "stored"),
    [
        *((number, number) for number in (0, -1, 2**63 - 1, -(2**63))),
        *((number, None) for number in (2**63, -(2**63) - 1, 10**1000, 1.0, True, "1", None)),
    ],
)
def test_what_is_no_int64_is_null(number, stored):
    scalars = {"browser.search.with_ads": {"google": number}}
    row = row_of("main", payload={"processes": {"parent": {"keyedScalars": scalars}}})
    parent = row["payload"]["processes"]["parent"]
    assert parent["keyed_scalars"]["browser_search_with_ads"] == entries(google=stored)
    payload = row_of("event", payload={"lostEventsCount": number})["payload"]
    assert payload["lost_events_count"] == stored


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ([1, "a", "b", "c"], event_row(1, "a", "b", "c", None, [])),
        ([1, "a", "b", "c", None], event_row(1, "a", "b", "c", None, [])),
        ([1, "a", "b", "c", "d"], event_row(1, "a", "b", "c", "d", [])),
        ([1, "a", "b", "c", None, None], event_row(1, "a", "b", "c", None, [])),
        ([1, "a", "b", "c", "", {}], event_row(1, "a", "b", "c", "", [])),
        ([None, None, None, None], event_row(None, None, None, None, None, [])),
        (["1", 2, True, ["x"], {"y": 1}], event_row(None, "2", "true", '["x"]', '{"y":1}', [])),
        (
            [1, "a", "b", "c", "d", {"z": "é", "branch": None, "n": 1.5, "o": {"p": "ü"}}],
            event_row(1, "a", "b", "c", "d", entries(z="é", branch=None, n="1.5", o='{"p":"ü"}')),
        ),
    ],
)
def test_an_event_of_four_to_six_elements_becomes_a_struct(event, expected):
    events = row_of("event", payload={"events": {"gpu": [event]}})["payload"]["events"]
    assert events["gpu"] == [expected]
    processes = row_of("main", payload={"processes": {"gpu": {"events": [event]}}})["payload"]
    assert processes["processes"]["gpu"] == {"events": [expected]}


def test_events_of_a_process_that_the_table_does_not_have_are_left_out():
    events = {"utility": [EVENT], "parent": [EVENT, EVENT], "content": None}
    row = row_of("event", payload={"events": events})
    counts = {process: len(found) for process, found in row["payload"]["events"].items()}
    assert counts == dict.fromkeys(PROCESSES, 0) | {"parent": 2}


def test_an_experiment_whose_entry_is_no_object_keeps_its_slug():
    experiments = {"a": "branch", "b": {"branch": 3}, "": {}}
    row = row_of("event", environment={"experiments": experiments})
    nothing = {"branch": None, "enrollment_id": None, "type": None}
    assert row["environment"]["experiments"] == [
        {"key": "a", "value": nothing},
        {"key": "b", "value": nothing | {"branch": "3"}},
        {"key": "", "value": nothing},
    ]


@pytest.mark.parametrize(
    ("kind", "where", "value", "reason"),
    [
        ("event", "application", [], "must be an object, not an array"),
        ("event", "environment", "x", "must be an object, not a string"),
        ("event", "environment.system", 1, "must be an object, not a number"),
        ("event", "environment.system.os", True, "must be an object, not a boolean"),
        ("event", "environment.experiments", [], "must be an object, not an array"),
        ("event", "payload.events", [], "must be an object, not an array"),
        ("event", "payload.events.parent", {}, "must be an array, not an object"),
        ("event", "payload.events.gpu", [EVENT, {}], "[1] must be an array, not an object"),
        ("event", "payload.events.gpu", [[]], "[0] must have 4 to 6 elements, not 0"),
        ("event", "payload.events.gpu", [EVENT[:3]], "[0] must have 4 to 6 elements, not 3"),
        ("event", "payload.events.gpu", [[*EVENT, 1]], "[0] must have 4 to 6 elements, not 7"),
        ("event", "payload.events.gpu", [[*EVENT[:5], []]], "[0][5] must be an object"),
        ("main", "payload.processes.gpu", [], "must be an object, not an array"),
        ("main", "payload.processes.gpu.events", "", "must be an array, not a string"),
        ("main", "payload.processes.parent.keyedScalars", 1, "must be an object, not a number"),
        ("main", "payload.keyedHistograms", [], "must be an object, not an array"),
        ("main", "payload.keyedHistograms.SEARCH_COUNTS", [], "must be an object, not an array"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_with_its_place(kind, where, value, reason):
    with pytest.raises(PingError) as refusal:
        row_of(kind, **nested(where, value))
    gap = "" if reason.startswith("[") else " "
    assert str(refusal.value).startswith(f"{where}{gap}{reason}")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"type": "crash"}, "type 'crash', version 4"),
        ({"type": None}, "version 4"),
        ({"type": ["event"]}, 'type ["event"], version 4'),
        ({"version": 5}, "type 'event', version 5"),
        ({"version": "4"}, "version '4'"),
        ({"type": "x" * 1000}, "x…"),
    ],
)
def test_other_types_and_versions_are_refused(fields, shown):
    with pytest.raises(PingError, match="only event and main pings of version 4") as refusal:
        ping_row(ping_of("event") | fields, RECEIVED)
    assert shown in str(refusal.value)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("fields", [{}, {"id": None}, {"id": ""}, {"id": 5}, {"id": ["a"]}])
def test_a_ping_without_an_id_is_refused(fields):
    with pytest.raises(PingError, match="id is missing, empty or not a string"):
        ping_row({"type": "event", "version": 4} | fields, RECEIVED)


def test_a_ping_nested_too_deeply_is_refused():
    deep = nested(".".join("a" * 200_000), 1)
    with pytest.raises(PingError, match="nested too deeply"):
        row_of("event", payload={"reason": deep})
    with pytest.raises(PingError, match="nested too deeply"):
        row_of("event", type=deep)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2021-01-26T00:04:59.999999Z", RECEIVED),
        ("2021-01-26 00:04:59.999999 UTC", RECEIVED),
        ("2021-01-25T20:04:59.999999-04:00", RECEIVED),
        ("2021-01-26 00:05:00 UTC", FIVE_PAST),
        ("2021-01-26 00:05:00+00", FIVE_PAST),
        ("2021-01-26T05:35:00+05:30", FIVE_PAST),
    ],
)
def test_a_ping_that_has_its_time_keeps_it_in_utc(written, expected):
    for given in (None, datetime(2020, 2, 2, tzinfo=UTC)):
        ping = ping_of("event", submission_timestamp=written)
        received = ping_row(ping, given)[1]["submission_timestamp"]
        assert received == expected
        assert received.tzinfo is UTC


def test_a_ping_without_a_time_takes_the_given_one_in_utc():
    given = datetime(2021, 1, 25, 20, 5, tzinfo=timezone(timedelta(hours=-4)))
    for ping in (ping_of("main"), ping_of("main", submission_timestamp=None)):
        received = ping_row(ping, given)[1]["submission_timestamp"]
        assert received == FIVE_PAST
        assert received.tzinfo is UTC


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        *((naive, "has no time zone: add one") for naive in ("2021-01-26T00:05:00", "2021-01-26")),
        *((text, "is not a time like 2021-01-26T00:05:00") for text in ("", " UTC", "x" * 1000)),
        *((value, "is not a time like") for value in ("2021-02-30T00:00:00Z", 1611619500, [])),
        ("0001-01-01T00:00:00+10:00", "is out of range"),
        ("9999-12-31T23:59:59-10:00", "is out of range"),
    ],
)
def test_a_wrong_time_is_refused_even_where_one_is_given(written, reason):
    with pytest.raises(PingError, match=reason) as refusal:
        row_of("event", submission_timestamp=written)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "give --submission-timestamp"),
        (RECEIVED.replace(tzinfo=None), "has no time zone"),
    ],
)
def test_a_ping_without_an_instant_is_refused(given, reason):
    with pytest.raises(PingError, match=reason):
        ping_row(ping_of("event"), given)


# What the tests of gcp-ingestion expect of desktop pings (NormalizeAttributes).
NORMALIZED = {
    ("application.name", "normalized_app_name"): "Firefox=Firefox asdf=Other",
    ("application.channel", "normalized_channel"): "release=release esr=esr beta=beta "
    "aurora=aurora nightly=nightly nightly-cck-ubuntu=nightly beta-cdntest=beta betastop=beta "
    "esr52=Other Release=Other",
    ("environment.system.os.name", "normalized_os"): "Windows=Windows WINNT=Windows "
    "Windows_NT=Windows Darwin=Mac Linux=Linux GNU/kFreeBSD=Linux SunOS=Linux AIX=Other",
    ("environment.system.os.version", "normalized_os_version"): "10.10.3=10.10.3 10.3=10.3 10=10 "
    "10.10.3.4.1=10.10.3 3.10.0-957.el7.x86_644.15.0=3.10.0 hi-13.1.3=",
}


@pytest.mark.parametrize(
    ("where", "column", "raw", "normalized"),
    [(*names, *pair.split("=")) for names, pairs in NORMALIZED.items() for pair in pairs.split()],
)
def test_values_are_normalized_as_ingestion_does(where, column, raw, normalized):
    assert row_of("event", **nested(where, raw))[column] == normalized


@pytest.mark.parametrize(("where", "column"), NORMALIZED)
def test_what_a_ping_does_not_have_is_not_normalized(where, column):
    assert row_of("event", **nested(where, None))[column] is None


@pytest.mark.parametrize(("client_id", "sample"), [("123456789", 62), ("", 0), (None, None)])
def test_the_sample_is_the_crc_of_the_client(client_id, sample):
    # 0xCBF43926 = 3421780262 is the check value by which CRC-32 is catalogued.
    assert row_of("event", clientId=client_id)["sample_id"] == sample
