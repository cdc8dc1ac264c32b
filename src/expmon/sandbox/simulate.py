"""Simulated client traffic: raw pings as clients send them, in the order of their arrival.

Three stages, each fed by the one before: a plan of who sends what when, made a day at a time; the
pings of the plan; and pings that arrive a second time. Each draws from a generator of its own, so
that the same seed gives the same pings in every process and version of Python.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_right
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from expmon.errors import InvalidInput
from expmon.sandbox.clients import Client, Event, Trial, draw_uuid, ticks
from expmon.sandbox.payloads import document, event_payload, main_payload, other_event
from expmon.sandbox.scenario import Experiment, Traffic
from expmon.windows import WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Experiment", "Traffic", "simulate"]

_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_WINDOW = WINDOW // timedelta(microseconds=1)

_RHYTHM = (3, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 12, 13, 13, 13, 13, 14, 15, 16, 17, 16, 13, 9, 5)
"""How busy each hour of the day is, in UTC."""
_BUSY_BEFORE = tuple(itertools.accumulate(_RHYTHM))

_ACTIVE = 0.7
_EDGE = 0.004
_OTHER_EVENTS = 0.2
_EVENTS_IN_MAIN = 0.08
_DYNAMIC_EVENTS = 0.05
_REPEATED = 0.02
_LATEST_REPEAT = 6 * _HOUR


def simulate(experiments: Sequence[Experiment], traffic: Traffic) -> Iterator[dict[str, Any]]:
    """Pings as clients send them, with the ``submission_timestamp`` that the server adds.

    About three pings a day for every two clients. They come sorted by ``submission_timestamp``, all
    within the days of the traffic, and none in ``traffic.quiet_night``. Some lie on the edges of
    windows to the microsecond; about 2 % arrive again, at most hours later. Clients enroll with
    their first visit after an experiment's start, however long ago that was.

    Args:
        experiments: what the clients take part in.
        traffic: how much there is.

    Returns:
        The pings, made as they are asked for. They share parts with each other: don't change them.

    Raises:
        InvalidInput: two experiments have the same slug.
    """
    slugs = [experiment.slug for experiment in experiments]
    if len(set(slugs)) < len(slugs):
        raise InvalidInput(f"the slugs of simulated experiments must differ: {', '.join(slugs)}")
    clock = _Clock.of(traffic)
    trials = [Trial.of(experiment, traffic) for experiment in experiments]
    planner = _Planner(traffic, clock, _generator(traffic, 0), itertools.count())
    pings = _pings(planner.plan(trials), traffic)
    return _stamped(_with_repeats(pings, traffic, clock=clock), traffic)


@dataclass(frozen=True, slots=True)
class _Clock:
    """When pings arrive, on the clock of the traffic."""

    quiet_start: int
    quiet_end: int
    closes: int

    @classmethod
    def of(cls, traffic: Traffic) -> _Clock:
        start, end = traffic.quiet_night
        return cls(ticks(start, traffic), ticks(end, traffic), ticks(traffic.closes, traffic))

    def arrival(self, at: int, rng: Random) -> int:
        """When a ping meant for this time arrives.

        What falls into the quiet stretch arrives as much later as that is long. Some pings arrive
        exactly when a window starts, and some at the last microsecond of one.
        """
        if self.quiet_start <= at < self.quiet_end:
            at += self.quiet_end - self.quiet_start
        fate = rng.random()
        if fate < _EDGE:
            return at - at % _WINDOW
        if fate < 2 * _EDGE:
            return at - at % _WINDOW + _WINDOW - 1
        return at


class _Session(NamedTuple):
    """A visit of a client, and the experiments that it was in from then on."""

    client: Client
    session_id: str
    experiments: Mapping[str, Any]


class _Planned(NamedTuple):
    """A ping to be; of those at the same time the lower number comes first."""

    at: int
    number: int
    session: _Session
    kind: str
    events: Mapping[str, Sequence[Event]]


@dataclass(frozen=True, slots=True)
class _Planner:
    """Who sends what when."""

    traffic: Traffic
    clock: _Clock
    rng: Random
    numbers: Iterator[int]

    def plan(self, trials: Sequence[Trial]) -> Iterator[_Planned]:
        """All pings, sorted; held are those of one day."""
        count = self.traffic.clients
        clients = [Client.draw(trials, self.traffic, rng=self.rng) for _ in range(count)]
        planned: list[_Planned] = []
        for closes in range(_DAY, self.clock.closes + 1, _DAY):
            for client in clients:
                if self.rng.random() < _ACTIVE:
                    for at in self._visits(client, closes - _DAY):
                        planned += self._visit(client, at)
            planned.sort(key=attrgetter("at", "number"))
            # Main pings sent after midnight wait for those of the next day.
            due = bisect_right(planned, closes - 1, key=attrgetter("at"))
            yield from planned[:due]
            del planned[:due]

    def _visits(self, client: Client, day: int) -> list[int]:
        """When the client comes by on an active day, sorted."""
        random = self.rng.random
        times = []
        for _ in range(1 + int(3 * random() * random())):
            place = random() * _BUSY_BEFORE[-1]
            hour = bisect_right(_BUSY_BEFORE, place)
            left = (_BUSY_BEFORE[hour] - place) / _RHYTHM[hour]
            at = self.clock.arrival(
                day + (hour + 1) * _HOUR - 1 - int(left * (_HOUR - 1)), self.rng
            )
            if at >= client.first_seen:
                times.append(at)
        return sorted(times)

    def _visit(self, client: Client, at: int) -> Iterator[_Planned]:
        """A main ping within the hour, and an event ping at once if there is something to tell."""
        rng = self.rng
        about_experiments = client.visit(at, rng)
        in_main: list[Event] = []
        events: dict[str, list[Event]] = {}
        if about_experiments and rng.random() < _EVENTS_IN_MAIN:
            in_main = about_experiments
        elif about_experiments:
            process = "dynamic" if rng.random() < _DYNAMIC_EVENTS else "parent"
            events[process] = about_experiments
        if rng.random() < _OTHER_EVENTS:
            process, event = other_event(rng)
            events[process] = [*events.get(process, ()), event]
        session = _Session(client, draw_uuid(rng), client.experiments)
        if events:
            yield _Planned(at, next(self.numbers), session, "event", events)
        later = self.clock.arrival(at + _MINUTE + int(rng.random() * (_HOUR - _MINUTE)), rng)
        # The window's edge that the ping was moved to may lie before the visit.
        later = max(later, at)
        yield _Planned(later, next(self.numbers), session, "main", {"parent": in_main})


def _pings(plan: Iterable[_Planned], traffic: Traffic) -> Iterator[tuple[int, dict[str, Any]]]:
    rng = _generator(traffic, 1)
    for planned in plan:
        session = planned.session
        ping = document(
            planned.kind,
            document_id=draw_uuid(rng),
            client_id=session.client.client_id,
            device=session.client.device,
        )
        ping["environment"]["experiments"] = session.experiments
        if planned.kind == "main":
            ping["payload"] = main_payload(planned.events["parent"], session.session_id, rng=rng)
        else:
            ping["payload"] = event_payload(planned.events, session.session_id, rng=rng)
        yield planned.at, ping


def _with_repeats(
    pings: Iterable[tuple[int, dict[str, Any]]], traffic: Traffic, *, clock: _Clock
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The pings, and those that arrive again, in the order of their arrival."""
    rng = _generator(traffic, 2)
    repeats: list[tuple[int, int, dict[str, Any]]] = []
    for number, (at, ping) in enumerate(pings):
        while repeats and repeats[0][0] < at:
            due, _, repeat = heapq.heappop(repeats)
            yield due, repeat
        yield at, ping
        if rng.random() < _REPEATED:
            # Most come again within minutes, few after hours.
            delay = _SECOND + int(_LATEST_REPEAT * rng.random() * rng.random() * rng.random())
            again = clock.arrival(at + delay, rng)
            heapq.heappush(repeats, (max(again, at), number, ping))
    for due, _, repeat in sorted(repeats, key=lambda entry: entry[:2]):
        yield due, repeat


def _stamped(
    pings: Iterable[tuple[int, dict[str, Any]]], traffic: Traffic
) -> Iterator[dict[str, Any]]:
    """The pings of the traffic's days, each with the time of its arrival."""
    opens, closes = traffic.opens.replace(tzinfo=None), ticks(traffic.closes, traffic)
    for at, ping in pings:
        if at >= closes:
            return
        moment = opens + timedelta(microseconds=at)
        stamp = moment.isoformat(timespec="microseconds") + "Z"
        yield {**ping, "submission_timestamp": stamp}


def _generator(traffic: Traffic, stage: int) -> Random:
    # Random takes a seed's magnitude alone.
    seed = 2 * traffic.seed if traffic.seed >= 0 else -2 * traffic.seed - 1
    return Random(3 * seed + stage)  # noqa: S311 - simulated, and to be repeated
