"""Rows that tell a right statement from a slightly wrong one, for `scripts/mutants.py`."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from expmon.catalog.sources import EXPERIMENTS
from expmon.sandbox import Experiment, Traffic, ping_row, simulate
from pings import event, event_ping, main_ping

FIRST_DAY = date(2021, 1, 5)
LAST_DAY = date(2021, 1, 31)
OVERLAP = datetime(2021, 1, 31, 21, 3, tzinfo=UTC)
"""When the last live run is: recents begin with a missing hour, and overlap those after it."""

RECIPES = json.dumps(
    [
        {
            "slug": "long",
            "startDate": "2021-01-05",
            "appName": "firefox_desktop",
            "branches": [{"slug": "a", "ratio": 1}, {"slug": "b", "ratio": 1}],
        },
        {"slug": "starts", "startDate": "2021-01-31", "channel": "release"},
        {"slug": "ended", "startDate": "2021-01-05", "endDate": "2021-01-21"},
        {"slug": "ended late", "startDate": "2021-01-05", "endDate": "2021-01-22"},
        {"slug": "sleeps", "startDate": "2021-01-06", "endDate": "2021-01-31"},
        {"slug": "tomorrow", "startDate": "2021-02-15"},
        {"slug": "undated"},
    ]
)


def _at(text: str) -> str:
    return f"2021-01-{text}Z"


@cache
def pings() -> list[dict[str, Any]]:
    """Two simulated days, and single pings at all borders."""
    opens = datetime(2021, 1, 30, tzinfo=UTC)
    experiments = [
        Experiment(
            "long", datetime(2021, 1, 5, tzinfo=UTC), None, (("a", 1), ("b", 1)), False, 0.8
        ),
        Experiment("starts", opens, None, (("a", 3), ("b", 1)), False, 0.8),
        Experiment("roll", opens, None, (("on", 1),), True, 0.5),
    ]
    traffic = Traffic(start=date(2021, 1, 30), days=2, clients=150, seed=11)
    single = [*_sleepers(), *_borders(), *_odd(), *_pairs(), *_later()]
    return [*simulate(experiments, traffic), *single]


def _sleepers() -> list[dict[str, Any]]:
    """One experiment that falls asleep after 14 days, one that stays awake by other events."""
    return [
        event_ping(_at("05T10:00:00"), event("enroll", "long"), event("enroll", "long", "b")),
        main_ping(_at("05T10:00:00"), {"long": "a"}, searches={"a": "3"}, ad_clicks={"a": 1}),
        event_ping(_at("06T00:00:00"), event("enroll", "sleeps"), event("enroll", "sleeps")),
        event_ping(
            _at("06T00:00:00"), event("unenroll", "sleeps"), event("enroll", "sleeps", None)
        ),
        main_ping(_at("06T00:00:00"), {"sleeps": "a"}, searches={"a": "2"}, with_ads={"a": 4}),
        event_ping(_at("17T23:59:59.999999"), event("update", "awake", "b")),
        event_ping(_at("05T23:55:00"), event("enroll", "awake"), event("graduate", "awake", "b")),
        event_ping(_at("18T00:00:00"), event("exposure", "awake")),
        # It wakes on the last day, in recents.
        event_ping(_at("31T12:11:00"), event("update", "sleeps")),
        main_ping(_at("31T12:11:00"), {"sleeps": "a"}),
        # Awake until 13 days after the first window of the last day, and no longer.
        event_ping(_at("31T00:00:00"), event("enroll", "edge"), event("enroll", "edge", "b")),
        main_ping(_at("31T00:00:00"), {"edge": "a"}, searches={"a": "3"}, ad_clicks={"a": 1}),
        # A final day whose only row is in its first window.
        event_ping(_at("25T00:00:00"), event("enroll", "early")),
        main_ping(_at("25T00:00:00"), {"early": "a"}, searches={"a": "3"}, with_ads={"a": 2}),
    ]


def _pairs() -> list[dict[str, Any]]:
    """What becomes one row of a derived dataset, and was two; and what makes no row."""
    found = []
    for moment in ("28T12:01:00", "30T12:01:00", "31T12:31:00", "31T20:31:00"):
        methods = ("enroll", "enroll", "enroll", "unenroll", "update", "update")
        both = [
            event(method, "pair", branch, kind=kind)
            for method in methods
            for branch, kind in ((None, "one"), ("null", "one"), ("a", "one"), ("a", "two"))
        ]
        found.append(event_ping(_at(moment), *both))
        found.append(event_ping(_at(moment), event("nothing", "pair", "c")))
        for branch, method in (("g", "graduate"), ("u", "unenroll"), ("n", "enroll")):
            found.append(event_ping(_at(moment), event(method, "pair", branch)))
        others = [event("enroll", "pair", "d", category="other"), event("nothing", "pair", "e")]
        found.append(main_ping(_at(moment), {}, events=others))
        found += [
            main_ping(
                _at(moment),
                {"pair": branch},
                searches={"a": "5"},
                with_ads={"a": 7},
                ad_clicks={"a": 3, "b": 10**9},
            )
            for branch in (None, "null")
        ]
    return found


def _later() -> list[dict[str, Any]]:
    """What recents have on both sides of a midnight, two weeks later."""
    found = []
    for moment in ("02-12T23:57:00", "02-13T00:00:00", "02-13T00:31:00", "02-12T12:00:00"):
        at = f"2021-{moment}Z"
        found.append(event_ping(at, *[event(m, "later") for m in ("enroll", "unenroll", "update")]))
        ads = {"with_ads": {"a": 7}, "ad_clicks": {"a": 3}}
        found.append(main_ping(at, {"later": "a"}, searches={"a": "5"}, **ads))
    return found


def more_experiments() -> list[dict[str, Any]]:
    """Several rows of one slug, and one of none."""
    empty = dict.fromkeys(column.name for column in EXPERIMENTS.columns) | {"branches": []}
    first, last = date(2021, 1, 2), date(2021, 1, 28)
    described = {"type": "a", "app_name": "a", "channel": "a", "enrollment_end_date": first}
    more = {"type": "b", "app_name": "b", "channel": "b", "enrollment_end_date": last}
    return [
        empty | {"start_date": first},
        empty | described | {"normandy_slug": "twice", "start_date": first, "end_date": first},
        empty | more | {"normandy_slug": "twice", "start_date": last, "end_date": last},
        empty | described | {"normandy_slug": "open", "start_date": first, "end_date": first},
        empty | more | {"normandy_slug": "open", "start_date": last},
        empty | {"normandy_slug": "begins", "start_date": date(2021, 2, 14), "end_date": None},
        empty | {"normandy_slug": "begins", "start_date": date(2021, 2, 4), "end_date": None},
    ]


def odd_rows() -> list[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Pings that no JSON can be: a key twice, and a key that is NULL; each with its row."""
    found = []
    for moment in ("28T13:01:00", "31T13:31:00", "31T20:41:00"):
        for kind in ("event", "main"):
            first = event("enroll", "twice", None)
            empty: dict[str, Any] = {"environment": {"experiments": {}}}
            ping = event_ping(_at(moment), first) | empty
            if kind == "main":
                ping = main_ping(_at(moment), {"twice": "a"}, events=[first], searches={"a": "5"})
            source, row = ping_row(ping, None)
            extras = [("other", "x"), ("branch", "z"), ("branch", "a")]
            first[5] = extras
            payload = row["payload"]
            events = payload["events"] if kind == "event" else payload["processes"]
            parent = events["parent"] if kind == "event" else events["parent"]["events"]
            parent[0]["f5_"] = [{"key": key, "value": value} for key, value in extras]
            ping["environment"]["experiments"][None] = {"branch": "n"}
            member = {"branch": "n", "enrollment_id": None, "type": None}
            row["environment"]["experiments"].append({"key": None, "value": member})
            found.append((ping, source, row))
    return found


def _borders() -> list[dict[str, Any]]:
    """A ping at, and one just before, the start of days, hours, half hours and windows."""
    found = []
    for moment in (
        *("30T00:00:00", "30T23:59:59.999999", "31T00:00:00", "31T00:04:59.999999"),
        *("31T00:05:00", "31T09:59:59.999999", "31T10:00:00", "31T10:59:59.999999"),
        *("31T11:00:00", "31T12:00:00", "31T12:59:59.999999", "31T13:00:00"),
        *("31T19:59:59.999999", "31T20:00:00", "31T21:00:00", "31T21:02:59.999999"),
        *("31T21:03:00", "31T10:29:59.999999", "31T10:30:00", "31T10:35:00"),
        *("29T23:55:00", "30T18:00:00", "30T17:59:59.999999"),
    ):
        events = [event(method, "long", "a") for method in ("enroll", "unenroll", "update")]
        events += [event("enroll", "starts", "b"), event("graduate", "long", "b")]
        found.append(event_ping(_at(moment), *events, id=f"border-{moment}"))
        searches = {"long": "a", "starts": "b", "roll": None}
        found.append(
            main_ping(
                _at(moment),
                searches,
                searches={"a": "5", "b": "foo"},
                with_ads={"a": 7, "b": 2},
                ad_clicks={"a": 3, "b": -4},
                id=f"main-border-{moment}",
            )
        )
    return found


def _odd() -> list[dict[str, Any]]:
    """Every method, process and encoding, and documents that arrive again."""
    methods = ("enroll", "enrollment", "unenroll", "unenrollment", "graduate", "update")
    methods += ("enrollFailed", "unenrollFailed", "updateFailed", "disqualification")
    methods += ("expose", "exposure", "validationFailed", "other")
    found = []
    for moment in ("29T12:01:00", "31T10:12:00", "31T12:12:00", "31T20:52:00"):
        found += [
            event_ping(_at(moment), event(method, "long", "a"), process=process)
            for method, process in zip(methods, _PROCESSES * 3, strict=False)
        ]
        found += [event_ping(_at(moment), event(method, "long", "b")) for method in methods]
        found.append(event_ping(_at(moment), event("enroll", None), event("enroll", "long", None)))
        found.append(event_ping(_at(moment), event("enroll", "long", category="other")))
        found += [
            main_ping(_at(moment), {"long": "a"}, searches={"a": histogram}, with_ads=ads)
            for histogram, ads in (
                ({"sum": 5}, None),
                ("3;2;7;1,2;0:0,1:5,2:1", {}),
                ("4,11", {"a": 10**9}),
                ("13", {"a": 999_999_999}),
                ("", {"a": 0, "b": -1}),
                ("1234567890", {"a": 1}),
                ('{"sum":17', None),
            )
        ]
        found.append(main_ping(_at(moment), {"long": "a"}, client="again"))
        found.append(main_ping(_at(moment), {"long": "a"}, client="again"))
        found.append(main_ping(_at(moment), {"long": "b"}, client="again"))
        found += [event_ping(_at(moment), event("enroll", "long"), id=f"twice-{moment}")] * 2
    return found


_PROCESSES = ("content", "dynamic", "extension", "gpu", "parent")
