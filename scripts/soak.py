"""Simulated days of experiments at full schedule, with faults all the time.

    make soak
    .venv/bin/python scripts/soak.py [--days 7] [--seed 1] [--experiments 20] [--directory DIR]

An embedded warehouse gets pings and a live run every five minutes, an hourly run at :30, a daily
one at 03:00 and an export every hour. Meanwhile processes are killed with kill -9, runs break off,
are skipped, made twice or for an earlier moment, sources are broken, stores fail, and pings come
late or twice. All of it follows from the seed. At the end of each day everything runs once
undisturbed, and then every table and live view must be what the plain-Python reference of the tests
makes of the same pings, every exported file too, byte for byte, and every verdict of status fresh.

A line per day says what was run, what went wrong, how long it took and how much memory there was
at most. The memory may not grow: see `MOST_GROWTH`. The exit status is 1 if something differs or
memory has grown.
"""

from __future__ import annotations

import argparse
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from soak_faults import NAMES, TICK, World

from crashing import Processes
from expmon.sandbox import Experiment, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPENS = datetime.combine(date(2021, 2, 27), time_of_day(2), UTC)
"""The first tick comes five minutes later; pings are sent from the day before on.

A day ends at two in the morning: then the date before has all its hours, and is not final yet.
"""
DAY = timedelta(days=1)
CLIENTS = 600
MIB = 1024 * 1024
MOST_GROWTH = 64 * MIB
"""More than this no later day may take than the first.

That one has loaded the code and filled the caches. What grows from then on is DuckDB's cache of the
file, by the few MiB that a day adds to it, and what allocators keep. Of a leak, 40 KiB a tick are
found within seven days.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the days; 0 if all is as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=float, default=7, help="how many, or what part of one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--experiments", type=int, default=20)
    parser.add_argument("--directory", type=Path, help="an empty one, to be kept")
    options = parser.parse_args(arguments)
    logging.getLogger("expmon").setLevel(logging.ERROR)  # that late runs do nothing is no news
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        days = list(played(directory, options.days, options.experiments, options.seed))
    return verdict(days)


@dataclass(frozen=True)
class Day:
    """What a day came to.

    Attributes:
        memory: at most, in bytes, at the end of a tick.
        differences: from the reference, a line each.
    """

    ticks: int
    faults: Counter[str]
    seconds: float
    memory: int
    differences: str

    def __str__(self) -> str:
        """What happened, and the figures."""
        faults = ", ".join(f"{self.faults[fault]} {name}" for fault, name in NAMES.items())
        judged = "DIFFERS" if self.differences else "as it should be"
        return (
            f"{self.ticks} ticks; {faults}; {self.seconds:.0f} s; "
            f"{self.memory / MIB:.0f} MiB; {judged}"
        )


def played(directory: Path, days: float, experiments: int, seed: int) -> Iterator[Day]:
    """The days, each printed when it is over."""
    closes = OPENS + round(days * (DAY / TICK)) * TICK
    first = (OPENS - DAY).date()
    traffic = Traffic(first, (closes.date() - first).days + 1, CLIENTS, seed)
    rng = Random(seed)  # noqa: S311 - faults that are to be repeated
    with Processes() as processes:
        world = World(directory, described(experiments), traffic, processes=processes, rng=rng)
        now = OPENS
        world.receive(now)
        while now < closes:
            ends = min(now + DAY, closes)
            day = one_day(world, directory, now, ends)
            print(f"{now:%Y-%m-%d}: {day}", flush=True)
            print(day.differences, end="", flush=True)
            yield day
            now = ends


def one_day(world: World, directory: Path, starts: datetime, ends: datetime) -> Day:
    """Play the ticks of a day, and check what they have left."""
    began, faults, memory = time.monotonic(), Counter(world.faults), 0
    now = starts
    while now < ends:
        now += TICK
        world.receive(now)
        if now < ends:
            world.tick(now)
            memory = max(memory, resident())
    world.settle(ends)
    check = Path(__file__).with_name("soak_check.py")
    found = subprocess.run(  # noqa: S603 - a script of ours, on what we have made
        [sys.executable, check, directory], capture_output=True, text=True, check=False
    )
    return Day(
        ticks=(ends - starts) // TICK,
        faults=world.faults - faults,
        seconds=time.monotonic() - began,
        memory=memory,
        differences=found.stdout + found.stderr if found.returncode else "",
    )


def described(number: int) -> list[Experiment]:
    """Experiments of all ages, some of which begin or end meanwhile; every fifth is a rollout."""
    found = []
    for n in range(number):
        is_rollout = n % 5 == 4
        branches = (("on", 1),) if is_rollout else (("control", 1), ("treatment", 1))
        start = OPENS + timedelta(days=2 - 7 * n % 33)
        end = OPENS + timedelta(days=3, hours=n) if n % 4 == 3 else None
        found.append(Experiment(f"experiment-{n}", start, end, branches, is_rollout, 0.3))
    return found


def verdict(days: Sequence[Day]) -> int:
    """Print it; 0 if all is as it should be."""
    faults = sum((day.faults for day in days), Counter[str]())
    grown = max(day.memory for day in days) - days[0].memory
    judged = {
        "tables and files": any(day.differences for day in days),
        "memory": grown > MOST_GROWTH,
    }
    wrong = [name for name, is_wrong in judged.items() if is_wrong]
    print(
        f"{sum(day.ticks for day in days)} ticks, {faults.total()} faults, "
        f"{sum(day.seconds for day in days):.0f} s, memory grew by {grown / MIB:.0f} MiB of "
        f"{MOST_GROWTH / MIB:.0f}: {'WRONG: ' + ' and '.join(wrong) if wrong else 'all is well'}"
    )
    return 1 if wrong else 0


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
