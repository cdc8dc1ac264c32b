"""Rows that tell engines apart: fixed, hand-made, for the relations of the catalogue.

Days around a leap day, the edges of windows, NULL wherever a column may be NULL, names that look
like SQL, histograms of all kinds. A column that a row does not have is NULL.
"""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from expmon.catalog.model import Tiers

Row = dict[str, Any]

LEAP_DAY = date(2020, 2, 29)
MIDNIGHT = datetime(2020, 2, 29, tzinfo=UTC)
DAY, HOUR, WINDOW = timedelta(days=1), timedelta(hours=1), timedelta(minutes=5)
TICK = timedelta(microseconds=1)

NAMES = [
    *("exp", "EXP", "exp ", " ", "", "null", "NULL", "undefined"),
    *("' OR '1'='1", '"', "`", "\\", "a'; DROP TABLE x; --", "@slug", "$slug", "%", "_", "{}"),
    *("a\nb", "a\tb", "a\0b", "ü", "u\u0308", "ünï", "日本", "😀", "￿", "ß", "SS", "İ", "i"),
    *("../x", "/etc/passwd", "C:\\x", "-rf", "--branch", "=1+1", "{{ jinja }}", "%(message)s"),
    *("$(id)", "`id`", "[red]x[/red]", "a,b", "\\n", "\\u0041", "1", "01", "NaN", "None", "true"),
    *("a\rb", "\r\n", "\x01\x1f\x7f", "\x1b[2J\x1b[31mx\x1b[0m", "\x9b31m", "a\x85b", "a\u2028b"),
    *("\u202egnp.exe", "\u2066x", "שלום", "\u200bexp", "\ufeffexp", "exp\u3000", "\U000e0041"),
    *("\u212b", "Å", "ﬁ", "fi", "👩\u200d👩\u200d👧", "👩👩👧", "x" * 1000, "x" * 999, "日" * 1000),
]
"""Of experiments and branches; no two are equal, in whatever order."""
SLUGS = {
    *("exp", "EXP", "null", "NULL", "undefined", "NaN", "None", "true"),
    *("SS", "i", "1", "01", "fi"),
}
"""Those of the names that may be part of a file's name."""

METHODS = [
    *("enroll", "enrollment", "unenroll", "unenrollment", "graduate", "update", "enrollFailed"),
    *("unenrollFailed", "updateFailed", "disqualification", "expose", "exposure"),
    *("validationFailed", "Enroll", "enroll ", "", "enrolled", None),
]
MOMENTS = [
    MIDNIGHT - DAY,
    MIDNIGHT - TICK,
    MIDNIGHT,
    MIDNIGHT + WINDOW - TICK,
    MIDNIGHT + timedelta(minutes=4, seconds=59, milliseconds=700),
    MIDNIGHT + WINDOW,
    MIDNIGHT + HOUR - TICK,
    MIDNIGHT + HOUR,
    MIDNIGHT + DAY - TICK,
    MIDNIGHT + DAY,
    datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1949, 12, 31, 23, 57, 0, 1, UTC),
    datetime(2262, 4, 12, 0, 0, 1, tzinfo=UTC),
]
HISTOGRAMS = [
    *("7", "4,7", "3;2;7;1,2;0:0,1:5,2:1", "3;2;7;1,2;", "0", "007", "999999999", "1000000000"),
    *("foo", "", " 7", "7 ", "7\n", "-7", "+7", "4,-7", "7.0", "1e3", "4,7,8", "3;2;7", "3;2;7;;"),
    *("3;2;7;a b;c", "٧", "0x7", "9" * 30, ",7", "4,", "7;"),  # noqa: RUF001 - an Arabic digit
    *('{"sum": 5}', '{"sum":"5"}', '{"sum":5.0}', '{"sum":5.5}', '{"sum":-5}', '{"sum":true}'),
    *('{"sum":null}', '{"sum":[5]}', '{"sum":{"sum":5}}', '{"Sum":5}', '{"x":{"sum":5}}', "{}"),
    *('{"sum":5', '{"sum":5}garbage', '{"sum":5,}', '{"sum":5,"x":NaN}', "{'sum':5}", "[5]"),
    *('{"sum":5}//c', '{"sum":5,"x":",}"}', '[{"sum":5}]', '{"sum":99999999999999999999999}'),
    *('{"sum":5,"sum":6}', '{"sum":1000000000}', ' {"sum":5} ', '{"sum":5,"x":1e300}', "null"),
    *('{"sum":5,"x":1000000000000000000000000001}', '{"sum":5,"x":0.12345678901234567890}'),
    *('{"s\\u0075m":5}', '{"sum":"\\u0035"}', '{"":1,"sum":5}', '"sum"', '{"sum":05}'),
    *('{"sum":5e0}', '{"sum":5,"x":"\\ud800"}', '{"sum":5,"x":"\t"}', "\ufeff7"),
    None,
]


def event(method: str | None, experiment: str | None, extras: Any, **changed: Any) -> Row:
    """An event as it stands in a ping's row; extras are (key, value)."""
    told = None if extras is None else [{"key": key, "value": value} for key, value in extras]
    row = {
        "f0_": 1,
        "f1_": "normandy",
        "f2_": method,
        "f3_": "nimbus_experiment",
        "f4_": experiment,
        "f5_": told,
    }
    return {**row, **changed}


def _events() -> list[Row]:
    extras = [
        None,
        [],
        [("branch", "a")],
        [("branch", "a"), ("branch", "b")],
        [("branch", None), ("branch", "late")],
        [("x", "y"), ("branch", "b"), ("z", None)],
        [(None, "b")],
        [("Branch", "b"), ("branch ", "b")],
        [("branch", "null")],
    ]
    found = [event("enroll", "exp", told) for told in extras]
    found += [event(method, "exp", [("branch", "a")]) for method in METHODS]
    found += [event("enroll", name, [("branch", name)]) for name in NAMES]
    found.append(event("enroll", None, [("branch", "a")]))
    for category in ("Normandy", "normandy ", "", None):
        found.append(event("enroll", "category", None, f1_=category))
    found += [event("enroll", "exp", [("branch", "a")], f3_=object_) for object_ in (None, "", "x")]
    return found


def event_payload(**events: Any) -> Row:
    """The payload of an event ping; a process that isn't named has NULL for its events."""
    return {"events": events}


_numbers = itertools.count()


def _event_ping(moment: datetime, payload: Any, **changed: Any) -> Row:
    row = {"document_id": f"e{next(_numbers)}", "submission_timestamp": moment, "payload": payload}
    return {**row, **changed}


def event_pings() -> list[Row]:
    """Rows of `event_v4`."""
    enroll = event("enroll", "edge", [("branch", "a")])
    pings = [
        _event_ping(MIDNIGHT + HOUR, event_payload(parent=_events(), content=[])),
        _event_ping(MIDNIGHT + HOUR, event_payload(socket=[event("enroll", "socket", None)])),
        _event_ping(MIDNIGHT, event_payload(content=[enroll], dynamic=[enroll, enroll], gpu=[])),
        _event_ping(MIDNIGHT, event_payload()),
        _event_ping(MIDNIGHT, {"events": None}),
        _event_ping(MIDNIGHT, None),
    ]
    pings += [_event_ping(at, event_payload(extension=[enroll], gpu=[enroll])) for at in MOMENTS]
    # The same document again: later, on the next day, and without a name.
    again = event_payload(parent=[event("unenroll", "again", [("branch", "a")])])
    late = MIDNIGHT + 3 * HOUR
    pings += [_event_ping(late + n * HOUR, again, document_id="twice") for n in (0, 1, 21)]
    pings += [_event_ping(late, again, document_id=None) for _ in range(2)]
    return pings


def scalars(*values: int | None) -> list[Row]:
    """A keyed scalar."""
    return [{"key": f"k{n}", "value": value} for n, value in enumerate(values)]


def _main_ping(moment: datetime, experiments: Any, **payload: Any) -> Row:
    number = next(_numbers)
    return {
        "document_id": f"m{number}",
        "client_id": f"c{number % 7}",
        "submission_timestamp": moment,
        "environment": {"experiments": experiments},
        "payload": {
            "keyed_histograms": {"search_counts": payload.get("searches")},
            "processes": {
                "parent": {
                    "events": payload.get("events"),
                    "keyed_scalars": {
                        "browser_search_with_ads": payload.get("with_ads"),
                        "browser_search_ad_clicks": payload.get("ad_clicks"),
                    },
                }
            },
        },
    }


def members(*pairs: tuple[str | None, str | None]) -> list[Row]:
    """The experiments of a ping, with their branches."""
    return [{"key": key, "value": {"branch": branch}} for key, branch in pairs]


def main_pings() -> list[Row]:
    """Rows of a `main_v4`."""
    one = members(("exp", "a"))
    histograms = [{"key": "k", "value": value} for value in HISTOGRAMS]
    pings = [
        _main_ping(MIDNIGHT, members((f"h{n}", "a")), searches=[entry], with_ads=[])
        for n, entry in enumerate(histograms)
    ]
    pings += [_main_ping(at, one, searches=histograms[:3], ad_clicks=scalars(2)) for at in MOMENTS]
    pings += [_main_ping(MIDNIGHT, members((name, name))) for name in NAMES]
    some = scalars(3, -1, 0, None, 2**63 - 1, -(2**63), 10**9, 10**9 - 1)
    pings += [
        _main_ping(MIDNIGHT, one, searches=histograms, with_ads=some, ad_clicks=some),
        _main_ping(MIDNIGHT, members(("exp", "b"), ("two", "a"), ("exp", None), (None, "a"))),
        _main_ping(MIDNIGHT, [{"key": "exp", "value": None}], ad_clicks=scalars(1)),
        _main_ping(MIDNIGHT, [], ad_clicks=scalars(1)),
        _main_ping(MIDNIGHT, None, ad_clicks=scalars(1)),
        _main_ping(MIDNIGHT, one, events=_events()),
        {"submission_timestamp": MIDNIGHT, "client_id": "c1", "document_id": "bare"},
        {**_main_ping(MIDNIGHT, one), "payload": None, "client_id": None},
    ]
    twice = _main_ping(MIDNIGHT + HOUR, members(("exp", "twice")), searches=histograms[:1])
    pings += [{**twice, "submission_timestamp": MIDNIGHT + n * HOUR} for n in (1, 2, 25)]
    pings += [{**twice, "document_id": None} for _ in range(2)]
    return pings


def final_events() -> list[Row]:
    """Rows of an `events_v1` source, or of `events_live`."""
    columns = {"f1_": "category", "f2_": "method", "f3_": "object", "f4_": "string_value"}
    columns["f5_"] = "map_values"
    moments = itertools.cycle(MOMENTS[:10])
    rows = []
    for told, moment in zip(_events(), moments, strict=False):
        row = {f"event_{new}": told[old] for old, new in columns.items()}
        rows.append({"submission_date": moment.date(), "timestamp": moment, **row})
    return rows


def daily_clients() -> list[Row]:
    """Rows of `clients_daily`."""
    some = [{"key": key, "value": branch} for key, branch in zip(NAMES, NAMES[::-1], strict=True)]
    several = [
        *({"key": "exp", "value": branch} for branch in ("a", "b", None)),
        {"key": None, "value": "a"},
        {"key": "exp", "value": "a"},
    ]
    return [
        {"submission_date": LEAP_DAY + shift * DAY, "client_id": client, "experiments": experiments}
        for shift in (-1, 0, 1)
        for client in ("c1", "c2", "c2", "ü", "", None)
        for experiments in (some, several, [], None)
    ]


# What the tables hold


def _aggregates(measures: Sequence[str], moments: Iterable[datetime], *, typed: bool) -> list[Row]:
    """A row for each type, experiment, branch and window, with numbers that all differ."""
    rows = []
    for number, (window, (experiment, branch)) in enumerate(
        itertools.product(moments, SERIES_NAMES)
    ):
        key = {"experiment": experiment, "branch": branch}
        window_columns = {"window_start": window, "window_end": window + WINDOW}
        counts = {m: (number * 7 + place * 3) % 11 for place, m in enumerate(measures)}
        if number % 5 == 0:
            counts = dict.fromkeys(measures, 0)
        types = ({"type": "x"}, {"type": None}) if typed and number % 3 == 0 else ({"type": "x"},)
        rows += [{**(t if typed else {}), **key, **window_columns, **counts} for t in types]
    return rows


SERIES_NAMES = [("exp", "a"), ("exp", None), ("exp", "null"), ("ü", "\\'"), ("", "")]
_TIERS = {
    "days": [
        MIDNIGHT - 14 * DAY,
        MIDNIGHT - 13 * DAY,
        MIDNIGHT - WINDOW,
        MIDNIGHT - DAY + 17 * HOUR,
    ],
    "the day": [MIDNIGHT, MIDNIGHT + HOUR, MIDNIGHT + DAY - WINDOW],
    "hours": [
        MIDNIGHT - 2 * HOUR,
        MIDNIGHT + WINDOW,
        MIDNIGHT + HOUR - WINDOW,
        MIDNIGHT + 5 * HOUR,
        MIDNIGHT + DAY - HOUR,
        MIDNIGHT + DAY,
    ],
    "recents": [
        MIDNIGHT - WINDOW,
        MIDNIGHT,
        MIDNIGHT + HOUR,
        MIDNIGHT + 5 * HOUR + WINDOW,
        MIDNIGHT + 17 * HOUR + 4 * WINDOW,
        MIDNIGHT + 17 * HOUR + 5 * WINDOW,
        MIDNIGHT + DAY,
        MIDNIGHT + DAY + HOUR,
    ],
}
TIER_SETS = [
    frozenset(chosen)
    for size in range(len(_TIERS) + 1)
    for chosen in itertools.combinations(_TIERS, size)
]
"""Which of the tiers have rows: finished days before the leap day, that day, hours, recents."""
ALL_TIERS = frozenset(_TIERS) - {"the day"}
"""The leap day is not finished."""


def tier_rows(tiers: Tiers, present: frozenset[str]) -> dict[str, list[Row]]:
    """Rows of the three tables; windows are in several of them."""

    def rows(*parts: str) -> list[Row]:
        moments = [moment for part in parts if part in present for moment in _TIERS[part]]
        return _aggregates(tiers.measures, moments, typed="type" in tiers.keys)

    return {
        tiers.daily.name: rows("days", "the day"),
        tiers.hourly.name: rows("hours"),
        tiers.recents.name: rows("recents"),
        tiers.by_hour.name: _by_hour(tiers.measures) if "days" in present else [],
    }


def _by_hour(measures: Sequence[str]) -> list[Row]:
    """One experiment just within 13 days of the leap day, one just not, one on the day before."""
    hours = {"exp": -13 * DAY, "ü": -13 * DAY - HOUR, "": -HOUR}
    return [
        {"hour": hour, "experiment": experiment, "last_window": hour + n * WINDOW}
        | {measure: n + place for place, measure in enumerate(measures)}
        for n, (experiment, shift) in enumerate(hours.items())
        for hour in (MIDNIGHT + shift, MIDNIGHT + shift - 2 * DAY)
    ]


def series_rows(*columns: str) -> list[Row]:
    """Rows of a derived table: around the leap day, every name in the order of its branches."""
    moments = [MIDNIGHT - 14 * DAY, MIDNIGHT - 2 * WINDOW, MIDNIGHT - WINDOW, MIDNIGHT]
    moments += [MIDNIGHT + n * WINDOW for n in (1, 5, 6, 11, 12, 144, 287, 288)]
    keys = [*itertools.product(moments, [("exp", "a"), ("asleep", "a"), ("ü", "\\'")])]
    keys += itertools.product(moments[3:5], [("exp", name) for name in NAMES])
    return [
        {"time": time, "branch": branch, "experiment": experiment, "value": number - 20}
        | ({"event": told} if told else {})
        for number, (time, (experiment, branch)) in enumerate(keys)
        for told in (("update", "graduate") if "event" in columns else (None,))
    ]
