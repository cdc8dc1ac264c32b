"""The checks over history, as if they had run live: what would have been raised, and when.

All windows are read at once, and each moment is judged from those that had begun by then. The data
is as it is today, so nothing of it is late, and what came in twice is mended where days are final.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from expmon.catalog.health import EVENTS
from expmon.health.alerts import Message, Standing, messages
from expmon.health.assess import (
    Reading,
    counts_of,
    judged,
    life_of,
    phases_of,
    sum_of,
    utc_of,
)
from expmon.health.observed import HISTORY, Counts, Experiment, Feed, Observed, Phase
from expmon.health.totals import Span, gaps
from expmon.materialize.carried import first_day
from expmon.statements import health
from expmon.statements.health import BILLION
from expmon.statements.reading import EXPORTED_DAYS
from expmon.windows import DAY, HOUR, WINDOW, day_start, floor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date, datetime, timedelta

    import numpy as np

    from expmon.health.assess import Seen
    from expmon.materialize.schedule import Settings
    from expmon.warehouse.protocol import Warehouse


def replay(  # noqa: PLR0913 - a function with names
    warehouse: Warehouse,
    settings: Settings,
    start: datetime,
    end: datetime,
    *,
    slugs: Sequence[str] | None = None,
    every: timedelta = WINDOW,
    progress: Callable[[datetime], None] | None = None,
) -> list[Message]:
    """What would have been raised in ``[start, end]``, and when it would have been over.

    Args:
        warehouse: what has the history.
        settings: of the checks; muted experiments and first hours count here, too.
        start: the first moment.
        end: the last moment.
        slugs: only these experiments; else those that were active at the time.
        every: how often they would have been looked at.
        progress: called with each moment.
    """
    reading = Reading(warehouse, settings, end)
    histories = _histories(reading, _looked_at(reading, start, slugs))
    moments, first = _moments(start, end, every), first_day(warehouse.state())
    standings = _standings(histories, settings, moments, first=first, progress=progress)
    return messages(standings, {}, settings.health)


@dataclass(frozen=True, slots=True)
class History:
    """What was counted of an experiment, window by window.

    Attributes:
        versions: of its ratios, in order.
        windows: the start of each window that has a row, in order.
        running: by branch, how many of each of `EVENTS` there were before each of the windows, and
            after the last one.
        hours: the counts of each whole hour.
    """

    experiment: Experiment
    versions: Sequence[Seen]
    windows: Sequence[datetime]
    running: Mapping[str, np.ndarray]
    hours: Mapping[datetime, Counts]

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        versions: Sequence[Seen],
        rows: Iterable[Mapping[str, Any]],
    ) -> History:
        """From the rows of `expmon.statements.health.windows`."""
        import numpy as np

        counted: dict[str, dict[datetime, Counts]] = {}
        hours: dict[datetime, Counts] = {}
        for row in rows:
            window, counts = utc_of(row["window_start"]), counts_of(row)
            counted.setdefault(row["branch"], {})[window] = counts
            hour = floor(window, HOUR)
            hours[hour] = sum_of([hours.get(hour, Counts()), counts])
        windows = sorted({window for found in counted.values() for window in found})
        running = {}
        for branch, found in counted.items():
            matrix = np.zeros((len(windows) + 1, len(EVENTS)), dtype=np.int64)
            for place, window in enumerate(windows, start=1):
                if window in found:
                    matrix[place] = [getattr(found[window], name) for name in EVENTS]
            running[branch] = matrix.cumsum(axis=0)
        return cls(experiment, versions, windows, running, hours)

    def observed(self, as_of: datetime, settings: Settings, first: date | None) -> Observed:
        """What was known of it at a moment."""
        known = [replace(v, last=min(v.last, as_of)) for v in self.versions if v.first <= as_of]
        planned = phases_of(self.experiment, known, as_of, settings.health.settling)
        found = [self._counted(phase) for phase in planned]
        return Observed(
            self.experiment,
            as_of,
            tuple(found),
            self._between(found, as_of),
            self._hours_before(as_of),
            Feed(as_of, first_day=first),
            last := self._last_before(as_of),
            last,
        )

    def is_active(self, as_of: datetime) -> bool:
        """Whether a live run would have looked at it."""
        experiment, day = self.experiment, as_of.date()
        if experiment.start_date is None or experiment.start_date > day:
            return False
        return experiment.end_date is None or day - EXPORTED_DAYS * DAY <= experiment.end_date

    def _place(self, moment: datetime) -> int:
        return bisect_left(self.windows, moment)

    def _last_before(self, as_of: datetime) -> datetime | None:
        place = self._place(as_of)
        return self.windows[place - 1] if place else None

    def _within(self, branch: str, start: int, end: int) -> Counts:
        found = self.running[branch][end] - self.running[branch][start]
        return Counts(**dict(zip(EVENTS, found.tolist(), strict=True)))

    def _counted(self, phase: Phase) -> Phase:
        """The phase with its counts, unenrollments compared window by window."""
        import numpy as np

        start, end = self._place(phase.start), self._place(phase.finish)
        counts = {branch: self._within(branch, start, end) for branch in self.running}
        planned = [branch for branch in phase.ratios if branch in self.running]
        if planned:
            # Enrolled, unenrolled and graduated come first.
            own = np.stack([self.running[branch] for branch in planned])
            within = np.diff(own, axis=1)[:, start:end]
            left = within[:, :, 1]
            stayed = (own[:, :, 0] - own[:, :, 1] - own[:, :, 2])[:, start + 1 : end + 1]
            present = np.maximum(stayed + left + within[:, :, 2], left)
            together = present.sum(axis=0)
            is_told = (left.sum(axis=0) > 0) & (together > 0)
            shares = present[:, is_told] / together[is_told]
            left = left[:, is_told]
            logs = np.where(left > 0, left * np.log(np.where(left > 0, shares, 1)), 0)
            expected, logs = (
                np.rint(found * BILLION).sum(axis=1) / BILLION
                for found in (shares * left.sum(axis=0), logs)
            )
            for place, branch in enumerate(planned):
                counts[branch] = replace(
                    counts[branch],
                    compared=int(left[place].sum()),
                    expected=float(expected[place]),
                    log_null=float(logs[place]),
                )
        is_there = {branch: found for branch, found in counts.items() if found != Counts()}
        return replace(phase, counts=is_there)

    def _between(self, found: Sequence[Phase], as_of: datetime) -> Counts:
        """What lies outside of the phases."""
        if not found and self.experiment.start_date is None:
            return sum_of(self._hours_before(as_of).values())
        spans = gaps(map(Span.of, found), *life_of(self.experiment, as_of))
        places = [(self._place(span.start), self._place(span.finish)) for span in spans]
        return sum_of(self._within(branch, *of) for of in places for branch in self.running)

    def _hours_before(self, as_of: datetime) -> dict[datetime, Counts]:
        recently, current = day_start((as_of - HISTORY).date()), floor(as_of, HOUR)
        found = {h: counts for h, counts in self.hours.items() if recently <= h < current}
        start, end = self._place(current), self._place(as_of)
        if start < end:
            found[current] = sum_of([self._within(branch, start, end) for branch in self.running])
        return found


def _moments(start: datetime, end: datetime, every: timedelta) -> Iterator[datetime]:
    moment = start
    while moment <= end:
        yield moment
        moment += every


def _looked_at(reading: Reading, start: datetime, slugs: Sequence[str] | None) -> list[Experiment]:
    """The experiments that were active at some time, or these."""
    if slugs is not None:
        return reading.experiments(slugs)
    found: dict[str, Experiment] = {}
    day, last = start.date(), reading.as_of.date()
    # An experiment stays active for more than so many days.
    while True:
        found |= {e.slug: e for e in replace(reading, as_of=day_start(day)).experiments(None)}
        if day >= last:
            return [found[slug] for slug in sorted(found)]
        day = min(day + EXPORTED_DAYS * DAY, last)


def _histories(reading: Reading, experiments: Sequence[Experiment]) -> list[History]:
    versions = reading.versions
    rows: dict[str, list[Mapping[str, Any]]] = {}
    if experiments:
        begin = min(life_of(experiment, reading.as_of)[0] for experiment in experiments)
        statement = health.windows(reading.settings.names)
        slugs = [experiment.slug for experiment in experiments]
        for row in reading.rows(statement, slugs=slugs, start=begin, end=reading.as_of):
            rows.setdefault(row["experiment"], []).append(row)
    return [History.of(e, versions.get(e.slug, []), rows.get(e.slug, [])) for e in experiments]


def _standings(
    histories: Sequence[History],
    settings: Settings,
    moments: Iterable[datetime],
    *,
    first: date | None,
    progress: Callable[[datetime], None] | None,
) -> Iterator[Standing]:
    """How every check stood at each moment."""
    started = {h.experiment.slug: h.experiment.start_date for h in histories}
    before: dict[tuple[str, str], Standing] = {}
    for moment in moments:
        if progress is not None:
            progress(moment)
        looked_at = [h.observed(moment, settings, first) for h in histories if h.is_active(moment)]
        now: dict[tuple[str, str], Standing] = {}
        for finding in judged(looked_at, settings.health):
            key = finding.experiment, finding.check
            last = before.get(key)
            is_as_before = last is not None and last.verdict is finding.verdict
            now[key] = Standing(
                moment,
                *key,
                finding.verdict,
                finding.branch,
                last.since if last is not None and is_as_before else moment,
                finding.sentence,
                finding.action,
                started.get(finding.experiment),
            )
        yield from now.values()
        # Of what was said before and no longer is, nothing is known.
        yield from (
            replace(last, time=moment, verdict=None) for k, last in before.items() if k not in now
        )
        before = now
