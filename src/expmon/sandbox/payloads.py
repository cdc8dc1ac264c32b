"""The JSON of simulated pings: the fields around what counts, and searches in all encodings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

_T = TypeVar("_T")

_BUILD, _VERSION = "20210118153634", "85.0"
_SYSTEMS = (
    {"name": "Windows_NT", "version": "10.0", "locale": "en-US", "windowsBuildNumber": 19042},
    {"name": "Windows_NT", "version": "6.1", "locale": "de-DE", "windowsBuildNumber": 7601},
    {"name": "Darwin", "version": "20.2.0", "locale": "fr-FR"},
    {"name": "Linux", "version": "5.10.0-1-amd64", "locale": "pt-BR"},
)
_CHANNELS = ("release", "release", "release", "beta")
_SOURCES = ("google-b-d.urlbar", "google-b-d.searchbar", "ddg.urlbar", "bing.urlbar-searchmode")
_REASONS = ("periodic", "shutdown", "max")
_OTHER_EVENTS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("parent", ("navigation", "search", "urlbar", "enter", {"engine": "google"})),
    ("parent", ("security.ui.protectionspopup", "open", "protectionspopup_cfr", "impression")),
    ("content", ("pictureinpicture", "create", "player")),
    ("socket", ("network.dns", "trrConfirmation", "context", "2", {"trigger": "pref-change"})),
)

# One scale of how a search histogram is written; what is left is broken.
_AS_OBJECT, _AS_PARTS, _AS_PAIR, _AS_NUMBER = 0.80, 0.86, 0.91, 0.95
_BROKEN = ("foo", "", '{"sum": 7, "values": {')
# One scale of a main ping's searches: a map with some, an empty map, no map at all.
_SEARCHES, _EMPTY_SEARCHES = 0.50, 0.55
_ADS, _EMPTY_ADS = 0.35, 0.40
_AD_CLICKS = 0.25


def document(kind: str, *, document_id: str, client_id: str, device: int) -> dict[str, Any]:
    """A ping without its payload, its experiments and its time.

    Args:
        kind: ``event`` or ``main``.
        document_id: a UUID.
        client_id: a UUID.
        device: any number; each stands for a kind of computer.
    """
    channel = _CHANNELS[device // len(_SYSTEMS) % len(_CHANNELS)]
    return {
        "type": kind,
        "id": document_id,
        "version": 4,
        "clientId": client_id,
        "application": {
            "architecture": "x86-64",
            "buildId": _BUILD,
            "name": "Firefox",
            "version": _VERSION,
            "vendor": "Mozilla",
            "channel": channel,
        },
        "environment": {
            "build": {"applicationName": "Firefox", "buildId": _BUILD, "version": _VERSION},
            "settings": {
                "telemetryEnabled": True,
                "defaultSearchEngine": "google-b-d",
                "update": {"channel": channel, "enabled": True},
            },
            "system": {
                "memoryMB": 4096 << (device & 3),
                "cpu": {"count": 8, "cores": 4, "vendor": "GenuineIntel"},
                "os": _SYSTEMS[device % len(_SYSTEMS)],
            },
        },
    }


def event_payload(events: Mapping[str, Sequence[Any]], session_id: str, *, rng: Random) -> Any:
    """The payload of an event ping, from the events of each process."""
    return {
        "reason": _pick(_REASONS, rng),
        "processStartTimestamp": 1_611_500_000_000 + rng.getrandbits(28),
        "sessionId": session_id,
        "subsessionId": session_id,
        "lostEventsCount": 0,
        "events": events,
    }


def main_payload(events: Sequence[Any], session_id: str, *, rng: Random) -> Any:
    """The payload of a main ping; searches and ads are drawn, and each may be missing."""
    parent: dict[str, Any] = {"scalars": {"browser.engagement.total_uri_count": rng.getrandbits(6)}}
    if events:
        parent["events"] = events
    scalars = _ads(rng)
    if scalars is not None:
        parent["keyedScalars"] = scalars
    return {
        "ver": 4,
        "info": {
            "reason": "shutdown",
            "sessionId": session_id,
            "subsessionLength": rng.getrandbits(12),
        },
        "keyedHistograms": _keyed_histograms(rng),
        "processes": {"parent": parent, "content": {"histograms": {}}},
    }


def other_event(rng: Random) -> tuple[str, list[Any]]:
    """An event that is no business of experiments, with the process that it comes from."""
    process, event = _pick(_OTHER_EVENTS, rng)
    return process, [int(rng.random() * 3_600_000), *event]


def _keyed_histograms(rng: Random) -> dict[str, Any]:
    fate = rng.random()
    if fate < _SEARCHES:
        sources = {_pick(_SOURCES, rng) for _ in range(1 + rng.getrandbits(1))}
        return {"SEARCH_COUNTS": {source: _histogram(rng) for source in sorted(sources)}}
    return {"SEARCH_COUNTS": {}} if fate < _EMPTY_SEARCHES else {}


def _histogram(rng: Random) -> object:
    """The sum of a search histogram in one of its encodings, or one that can't be read."""
    count = 1 + int(6 * rng.random() * rng.random())
    fate = rng.random()
    if fate < _AS_OBJECT:
        return {
            "bucket_count": 3,
            "histogram_type": 4,
            "sum": count,
            "range": [1, 2],
            "values": {"0": count, "1": 0},
        }
    if fate < _AS_PARTS:
        return f"3;2;{count};1,2;0:0,1:{count},2:0"
    if fate < _AS_PAIR:
        return f"{rng.getrandbits(3)},{count}"
    if fate < _AS_NUMBER:
        return count if rng.getrandbits(1) else str(count)
    return _pick(_BROKEN, rng)


def _ads(rng: Random) -> dict[str, Any] | None:
    fate = rng.random()
    if fate < _ADS:
        shown = 1 + rng.getrandbits(2)
        scalars: dict[str, Any] = {"browser.search.with_ads": {"google:sap": shown}}
        if rng.random() < _AD_CLICKS:
            scalars["browser.search.ad_clicks"] = {"google:sap": 1, "google:organic": shown}
        return scalars
    return {"browser.search.with_ads": {}} if fate < _EMPTY_ADS else None


def _pick(choices: Sequence[_T], rng: Random) -> _T:
    return choices[int(rng.random() * len(choices))]
