"""A watched world in which much goes wrong: pings that come and runs that are due, with faults."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from soak_check import EXPORTS, PINGS, WAREHOUSE, Played

import expmon
import playing
import reference
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import ExportSuperseded, NotDeployed, SchemaMismatch, StoreError
from expmon.sandbox import simulate
from exporting import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

    from crashing import Processes
    from expmon.sandbox import Experiment, Traffic

Ping = dict[str, Any]
TICK = timedelta(minutes=5)
LIKELY = {
    "live": {"kill": 10, "break": 30, "skip": 40, "repeat": 10, "late": 15, "source": 10},
    "hourly": {"kill": 40, "break": 50, "skip": 50, "repeat": 20, "late": 50, "source": 20},
    "daily": {"kill": 150, "break": 150, "skip": 50, "repeat": 50, "late": 150, "source": 50},
    "export": {"kill": 40, "break": 50, "skip": 50, "repeat": 20, "late": 50, "refuse": 100},
}
"""What happens to a run that is due, so many times of a thousand."""
NAMES = {
    "kill": "kills",
    "break": "breaks",
    "skip": "skipped",
    "repeat": "run twice",
    "late": "out of order",
    "source": "broken sources",
    "refuse": "failing stores",
    "late ping": "late pings",
    "repeated ping": "repeated pings",
}
POINTS = {"live": 90, "hourly": 18, "daily": 30, "export": 120}
"""A run dies at one of its first so many statements or files; most have as many, some fewer."""
LATE_PINGS, REPEATED_PINGS = 0.04, 0.02
MINUTES_LATE = 20 * 60
BROKEN_SOURCES = [
    (
        "ALTER TABLE telemetry_live.event_v4 RENAME TO lost",
        "ALTER TABLE telemetry_live.lost RENAME TO event_v4",
    ),
    (
        "ALTER TABLE telemetry_live.main_v4 RENAME COLUMN environment TO lost",
        "ALTER TABLE telemetry_live.main_v4 RENAME COLUMN lost TO environment",
    ),
]
"""What breaks a source, and what mends it."""


class BrokenOff(BaseException):
    """A run ended in the middle: no handler of errors sees it."""


EXPECTED: dict[str, tuple[type[BaseException], ...]] = {
    "kill": (BrokenOff,),
    "break": (BrokenOff,),
    "source": (NotDeployed, SchemaMismatch),
    "refuse": (StoreError,),
}


class World:
    """An embedded warehouse with its pings and schedules, and a directory of exports.

    Attributes:
        faults: how often each happened.
    """

    def __init__(
        self,
        directory: Path,
        experiments: Sequence[Experiment],
        traffic: Traffic,
        *,
        processes: Processes,
        rng: Random,
    ) -> None:
        self.faults: Counter[str] = Counter()
        self._directory, self._experiments = directory, experiments
        self._processes, self._rng = processes, rng
        self._pings = Arrivals(iter(simulate(experiments, traffic)), rng, self.faults)
        self._schedules = playing.Schedules(traffic.start)
        self._due: set[str] = set()
        self._newest: dict[str, datetime] = {}
        # Of an hourly run that broke off it isn't known which hours are written.
        self._in_doubt = False
        self._kill_at: int | None = None
        self._before_write: Callable[[], None] = lambda: None
        connected = expmon.connect(f"duckdb://{directory / WAREHOUSE}", directory / EXPORTS)
        store: Any = Watched(connected.store, before=lambda _: self._before_write())
        self._monitor = expmon.Monitor(connected.warehouse, store, connected.settings)
        self._monitor.deploy()
        rows = [
            {"normandy_slug": slug, "start_date": start, "end_date": end}
            for slug, start, end in self._metadata()
        ]
        self._monitor.warehouse.load(EXPERIMENTS, rows, key="normandy_slug")

    def receive(self, now: datetime) -> None:
        """Load the pings that come until now."""
        pings = self._pings.until(now, with_late=not self._in_doubt)
        if not pings:
            return
        playing.ingest(self._monitor, self._directory / "arrived.jsonl", pings)
        with (self._directory / PINGS).open("a", encoding="utf-8") as file:
            for ping in pings:
                hour = reference.hour_of(reference.utc(ping["submission_timestamp"]))
                is_late = hour in self._schedules.hours
                known = {**ping, "came_after_its_hour_was_written": is_late}
                file.write(json.dumps(known) + "\n")

    def tick(self, now: datetime) -> None:
        """Whatever is due now, with faults; what breaks off is tried again five minutes later."""
        if now.minute == 30:
            self._due.add("hourly")
        if (now.hour, now.minute) == (3, 0):
            self._due.add("daily")
        if "hourly" in self._due:
            self._attempt("hourly", now)
        # The hours of a final day are not written any more: which ones are is to be known by then.
        if "daily" in self._due and not self._in_doubt:
            self._attempt("daily", now)
        self._attempt("live", now)
        if now.minute == 0:
            self._attempt("export", now)

    def settle(self, now: datetime) -> None:
        """Run everything once without faults, and leave it for the check."""
        for job in ("hourly", "daily", "live", "export"):
            self._do(job, now)
        self._due.clear()
        self._in_doubt = False
        self._monitor.close()
        Played(
            as_of=now.isoformat(),
            final_days=[day.isoformat() for day in self._schedules.final_days],
            written_hours=[hour.isoformat() for hour in self._schedules.hours],
            first_day=self._schedules.first_day.isoformat(),
            experiments=[
                (slug, start.isoformat(), end and end.isoformat())
                for slug, start, end in self._metadata()
            ],
        ).write(self._directory)

    def run(self, job: str, as_of: datetime) -> None:
        """A run or an export; in a process of its own if that is to be killed."""
        call = ("export", as_of) if job == "export" else ("run", job, as_of)
        if self._kill_at is not None:
            self._monitor.close()
            file, store = self._directory / WAREHOUSE, self._directory / EXPORTS
            ended = self._processes.run(file, call, store=store, kill_at=self._kill_at)
            if ended.was_killed:
                raise BrokenOff
            if ended.errors != [None]:
                raise RuntimeError(f"a process that was not killed failed: {ended.errors}")
        elif job == "export":
            self._monitor.export_active(as_of)
        else:
            self._monitor.run(job, as_of)
        self._newest[job] = as_of

    # What the methods above are made of

    def _metadata(self) -> Iterator[tuple[str, Any, Any]]:
        for experiment in self._experiments:
            end = experiment.end
            yield experiment.slug, experiment.start.date(), None if end is None else end.date()

    def _do(self, job: str, as_of: datetime) -> None:
        """Run it; of the final tiers, say what must have been written."""
        if job == "hourly":
            self._schedules.hourly(self, as_of)
        elif job == "daily":
            self._schedules.daily(self, as_of)
        else:
            self.run(job, as_of)

    def _attempt(self, job: str, now: datetime) -> None:
        fault = self._fault(job)
        if fault == "skip":
            self.faults[fault] += 1
            self._due.discard(job)
            return
        if fault == "late":
            self.faults[fault] += 1
            self._do_late(job, now - TICK * self._rng.randrange(1, 144))
        expected = EXPECTED.get(fault, ())
        try:
            with self._disturbed(job, fault):
                self._do(job, now)
        except expected:
            self.faults[fault] += 1
            self._in_doubt = self._in_doubt or job == "hourly"
            return
        if (job, fault) == ("live", "source"):
            raise RuntimeError("a source was broken, and a live run didn't see it")
        if fault == "repeat":
            self.faults[fault] += 1
            self._do(job, now)
        self._due.discard(job)
        self._in_doubt = self._in_doubt and job != "hourly"

    def _fault(self, job: str) -> str:
        """What is to happen to a run; nothing, most of the time."""
        luck = self._rng.randrange(1000)
        for fault, likely in LIKELY[job].items():
            if luck < likely:
                # A run that is in doubt is tried again and not forgotten.
                return "" if fault == "skip" and self._in_doubt else fault
            luck -= likely
        return ""

    def _do_late(self, job: str, as_of: datetime) -> None:
        """A run for an earlier moment, which must not undo what later ones have done."""
        if job in {"hourly", "daily"}:
            self._do(job, as_of)
            return
        newest = self._newest.get(job)
        try:
            written = job == "export" or self._monitor.run("live", as_of).written
            if job == "export":
                self._monitor.export_active(as_of)
        except ExportSuperseded:
            return
        if written and newest is not None and newest > as_of:
            raise RuntimeError(f"{job} as of {as_of} took the place of {newest}")

    @contextlib.contextmanager
    def _disturbed(self, job: str, fault: str) -> Iterator[None]:
        """Let it happen to what is run meanwhile."""
        number = self._rng.randrange(POINTS[job])
        with contextlib.ExitStack() as stack:
            if fault == "kill":
                self._kill_at = number
            elif fault == "refuse":
                self._before_write = _fails_at(number, StoreError("the store is full"))
            elif fault == "break" and job == "export":
                self._before_write = _fails_at(number, BrokenOff())
            elif fault == "break":
                stack.enter_context(self._broken_off_at(number))
            elif fault == "source":
                stack.enter_context(self._broken_source())
            try:
                yield
            finally:
                self._kill_at = None
                self._before_write = lambda: None

    @contextlib.contextmanager
    def _broken_off_at(self, number: int) -> Iterator[None]:
        """Break off before the statement of this number."""
        file = self._engine
        execute, failing = file.execute, _fails_at(number, BrokenOff())

        def counted(sql: str, *arguments: Any, **options: Any) -> None:
            if sql not in {"COMMIT", "ROLLBACK"} and not sql.startswith("RESET"):
                failing()
            execute(sql, *arguments, **options)

        file.execute = counted
        try:
            yield
        finally:
            del file.execute

    @contextlib.contextmanager
    def _broken_source(self) -> Iterator[None]:
        damage, repair = self._rng.choice(BROKEN_SOURCES)
        self._engine.execute(damage)
        try:
            yield
        finally:
            self._engine.execute(repair)

    @property
    def _engine(self) -> Any:
        """What lies below the monitor's public surface."""
        warehouse: Any = self._monitor.warehouse
        return warehouse._file  # noqa: SLF001 - faults come from below


class Arrivals:
    """Pings in the order in which they come: most at once, some late, some a second time."""

    def __init__(self, sent: Iterator[Ping], rng: Random, faults: Counter[str]) -> None:
        self._sent, self._rng, self._faults = sent, rng, faults
        self._next: Ping | None = None
        self._held: list[tuple[datetime, int, Ping]] = []
        self._numbers = itertools.count()

    def until(self, now: datetime, *, with_late: bool) -> list[Ping]:
        """Those that come until now, and did not before."""
        found = []
        while (ping := self._next or next(self._sent, None)) is not None:
            self._next = ping
            if reference.utc(ping["submission_timestamp"]) >= now:
                break
            self._next = None
            luck = self._rng.random()
            if luck >= LATE_PINGS:
                found.append(ping)
            if luck < LATE_PINGS + REPEATED_PINGS:
                self._hold(ping, now, "late ping" if luck < LATE_PINGS else "repeated ping")
        while with_late and self._held and self._held[0][0] <= now:
            found.append(heapq.heappop(self._held)[2])
        return found

    def _hold(self, ping: Ping, now: datetime, fault: str) -> None:
        self._faults[fault] += 1
        later = now + timedelta(minutes=5 + int(MINUTES_LATE * self._rng.random() ** 3))
        heapq.heappush(self._held, (later, next(self._numbers), ping))


def _fails_at(number: int, error: BaseException) -> Callable[[], None]:
    """Something to be called often: from this number of calls on, it fails."""
    numbers = itertools.count()

    def call() -> None:
        if next(numbers) >= number:
            raise error

    return call
