"""From the tables to a report: all experiments in a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.health import POPULATION, RATIOS
from expmon.errors import UnknownExperiment
from expmon.health.checks import CHECKS
from expmon.health.evidence import onset
from expmon.health.observed import (
    EVENTS,
    HISTORY,
    Counts,
    Experiment,
    Feed,
    Observed,
    Phase,
    planned,
)
from expmon.health.report import HealthReport
from expmon.health.together import told_once
from expmon.materialize.status import status
from expmon.statements import health
from expmon.windows import DAY, WINDOW, Partition, day_start, floor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from expmon.catalog.model import Statement
    from expmon.health.finding import HealthFinding
    from expmon.health_settings import HealthSettings
    from expmon.materialize.schedule import Settings
    from expmon.warehouse.protocol import State, Warehouse

    Row = Mapping[str, Any]

_WHOLE = -1
"""The number of the time from the start to now, beside those of the phases."""
_REMEMBERED = timedelta(days=2)
"""A verdict of a live run that is longer ago is not gone on with."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A version of an experiment's ratios, and when the first and the last live run saw it."""

    first: datetime
    last: datetime
    ratios: Mapping[str, int | None]


def report(
    warehouse: Warehouse, settings: Settings, as_of: datetime, slugs: Sequence[str] | None = None
) -> HealthReport:
    """What the checks find of the experiments that are active, or of these.

    Takes eight queries at most, however many experiments there are.

    Raises:
        UnknownExperiment: of one of these there is neither metadata nor a recent event.
    """
    reading = Reading(warehouse, settings, as_of)
    looked_at = reading.observed(slugs)
    for observed in looked_at:
        if not observed.experiment.is_known and not observed.hours:
            raise UnknownExperiment(observed.experiment.slug)
    findings = reading.with_onsets(judged(looked_at, settings.health), looked_at)
    return HealthReport(as_of, tuple(reading.with_times(findings)), settings.health.alpha)


def judged(looked_at: Sequence[Observed], settings: HealthSettings) -> list[HealthFinding]:
    """What the checks say of each experiment, and of all together."""
    findings = [check(observed, settings) for observed in looked_at for check in CHECKS.values()]
    return told_once(findings, looked_at)


def found(warehouse: Warehouse, settings: Settings, as_of: datetime) -> list[dict[str, Any]]:
    """The rows that a live run adds to the health table."""
    return [
        {
            "experiment": finding.experiment,
            "check_name": finding.check,
            "branch": finding.branch,
            "verdict": finding.verdict.value,
            "since": finding.since,
            "log_e": finding.log_e,
            "value": finding.value,
            "expected": finding.expected,
            "sentence": finding.sentence,
            "action": finding.action,
        }
        for finding in report(warehouse, settings, as_of).findings
    ]


def seen(warehouse: Warehouse, settings: Settings, as_of: datetime) -> list[dict[str, Any]]:
    """The rows that the table of ratios has after a live run: its own, and what is new."""
    reading = Reading(warehouse, settings, as_of)
    versions = reading.versions()
    for experiment in reading.experiments(None):
        if not experiment.ratios:
            continue
        known = versions.setdefault(experiment.slug, [])
        if known and known[-1].ratios == experiment.ratios:
            known[-1] = replace(known[-1], last=as_of)
        else:
            known.append(Seen(as_of, as_of, experiment.ratios))
    return [
        dict(
            zip(
                RATIOS.column_names,
                (slug, version.first, version.last, branch, ratio),
                strict=True,
            )
        )
        for slug, known in versions.items()
        for version in known
        for branch, ratio in version.ratios.items()
    ]


def phases(
    experiment: Experiment,
    versions: Sequence[Seen],
    start: datetime,
    finish: datetime,
    settling: timedelta,
) -> list[Phase]:
    """The times with the same ratios, from the first version that was seen to those of today.

    A change happened at some time between two live runs, and clients take a while to hear of it:
    what they did from the one run until ``settling`` after the other belongs to no phase.
    """
    known = list(versions)
    if not known or known[-1].ratios != experiment.ratios:
        known.append(Seen(finish if known else start, finish, experiment.ratios))
    found = []
    for place, version in enumerate(known):
        begin = start if place == 0 else max(start, _window_after(version.first + settling))
        end = finish if version is known[-1] else min(floor(version.last, WINDOW), finish)
        ratios = planned(version.ratios)
        if begin < end and ratios:
            found.append(Phase(begin, end, ratios))
    return found


def phases_of(
    experiment: Experiment, versions: Sequence[Seen], as_of: datetime, settling: timedelta
) -> list[Phase]:
    """The phases of an experiment up to a moment; none where no branches are compared."""
    if not experiment.is_known or experiment.is_rollout:
        return []
    return phases(experiment, versions, *life_of(experiment, as_of), settling)


def life_of(experiment: Experiment, as_of: datetime) -> tuple[datetime, datetime]:
    """From 00:00 UTC of its start, or of the first day of the hours, to its end or to now."""
    start, finish = day_start((as_of - HISTORY).date()), as_of
    if experiment.start_date is not None:
        start = day_start(experiment.start_date)
    if experiment.end_date is not None and experiment.end_date < as_of.date():
        finish = day_start(experiment.end_date + DAY)
    return start, finish


def _window_after(moment: datetime) -> datetime:
    """The start of the first window that starts at or after the moment."""
    start = floor(moment, WINDOW)
    return start if start == moment else start + WINDOW


@dataclass(frozen=True, slots=True)
class Reading:
    """The queries of one report."""

    warehouse: Warehouse
    settings: Settings
    as_of: datetime

    def rows(self, statement: Statement, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        rows: list[dict[str, Any]] = self.warehouse.query(statement, parameters).to_pylist()
        return rows

    def experiments(self, slugs: Sequence[str] | None) -> list[Experiment]:
        """Those that are active, or these, known or not."""
        statement = health.metadata(self.settings.names, is_named=slugs is not None)
        if slugs is None:
            rows = self.rows(statement, today=self.as_of.date())
        else:
            rows = self.rows(statement, slugs=list(slugs))
        ratios: dict[str, dict[str, int | None]] = {}
        for row in sorted(rows, key=lambda row: row["branch"] or ""):
            if row["branch"] is not None:
                ratios.setdefault(row["slug"], {})[row["branch"]] = row["ratio"]
        known = {
            row["slug"]: Experiment(
                slug=row["slug"],
                ratios=ratios.get(row["slug"], {}),
                is_rollout=bool(row["is_rollout"]),
                app_name=row["app_name"],
                proposed_enrollment=row["proposed_enrollment"],
                start_date=row["start_date"],
                enrollment_end_date=row["enrollment_end_date"],
                end_date=row["end_date"],
            )
            for row in rows
            if row["branch"] is None
        }
        if slugs is None:
            return [known[slug] for slug in sorted(known)]
        return [known.get(slug, Experiment(slug, is_known=False)) for slug in slugs]

    def versions(self) -> dict[str, list[Seen]]:
        """The ratios of each experiment that live runs have seen, in order."""
        found: dict[str, dict[datetime, Seen]] = {}
        rows = self.rows(health.ratios(self.settings.names))
        for row in sorted(rows, key=lambda row: (row["seen_at"], row["branch"])):
            first, last = utc_of(row["seen_at"]), utc_of(row["last_seen_at"])
            # What a run of a later moment has seen is not known yet.
            if first > self.as_of:
                continue
            of = found.setdefault(row["experiment"], {})
            version = of.setdefault(first, Seen(first, min(last, self.as_of), {}))
            of[first] = replace(version, ratios={**version.ratios, row["branch"]: row["ratio"]})
        return {slug: list(of.values()) for slug, of in found.items()}

    def observed(self, slugs: Sequence[str] | None) -> list[Observed]:
        """Everything that the checks look at."""
        experiments = self.experiments(slugs)
        recently = day_start((self.as_of - HISTORY).date())
        everyone = [experiment.slug for experiment in experiments]
        within = {"slugs": everyone, "end": self.as_of}
        hours, last = self._hours(**within, start=recently)
        searched = {
            row["experiment"]: utc_of(row["last_window"])
            for row in self.rows(
                health.searches(self.settings.names),
                **within,
                start=day_start((self.as_of - _REMEMBERED).date()),
            )
        }
        compared = self._phases(experiments)
        feed = self._feed()
        return [
            Observed(
                experiment,
                self.as_of,
                tuple(compared[experiment.slug][0]),
                compared[experiment.slug][1],
                hours.get(experiment.slug, {}),
                feed,
                last.get(experiment.slug),
                searched.get(experiment.slug),
            )
            for experiment in experiments
        ]

    def _feed(self) -> Feed:
        state = self.warehouse.state()
        run = state.partitions(ENROLLMENT.recents).get(Partition.whole())
        (recents,) = (
            line
            for line in status(self.as_of, state=state, settings=self.settings)
            if line.relation == ENROLLMENT.recents.name
        )
        problem = recents.reason if recents.verdict in {"late", "broken"} else ""
        return Feed(run.as_of if run else None, problem, first_day(state))

    def _hours(
        self, **parameters: Any
    ) -> tuple[dict[str, dict[datetime, Counts]], dict[str, datetime]]:
        hours: dict[str, dict[datetime, Counts]] = {}
        last: dict[str, datetime] = {}
        for row in self.rows(health.hours(self.settings.names), **parameters):
            slug = row["experiment"]
            hours.setdefault(slug, {})[utc_of(row["hour"])] = counts_of(row)
            window = utc_of(row["last_window"])
            last[slug] = max(window, last.get(slug, window))
        return hours, last

    def _phases(self, experiments: Sequence[Experiment]) -> dict[str, tuple[list[Phase], Counts]]:
        """The phases of each experiment with their counts, and what lies between them."""
        versions = self.versions()
        planned = {
            experiment.slug: phases_of(
                experiment,
                versions.get(experiment.slug, []),
                self.as_of,
                self.settings.health.settling,
            )
            for experiment in experiments
        }
        compared = {slug: found for slug, found in planned.items() if found}
        lives = {e.slug: life_of(e, self.as_of) for e in experiments}
        counts = self._totals(compared, lives) if compared else {}
        everything = {slug: sum_of(counts.get((slug, _WHOLE), {}).values()) for slug in compared}
        found = {
            slug: [replace(p, counts=counts.get((slug, n), {})) for n, p in enumerate(phases)]
            for slug, phases in planned.items()
        }
        return {
            slug: (own, less(everything[slug], own) if own else Counts())
            for slug, own in found.items()
        }

    def _totals(
        self,
        planned: Mapping[str, Sequence[Phase]],
        lives: Mapping[str, tuple[datetime, datetime]],
    ) -> dict[tuple[str, int], dict[str, Counts]]:
        """By slug and number of the phase what was counted in each branch."""
        spans = [
            {
                "slug": slug,
                "number": number,
                "start": phase.start,
                "finish": phase.finish,
                "branch": branch,
            }
            for slug, found in planned.items()
            for number, phase in enumerate(found)
            for branch in phase.ratios
        ]
        spans += [
            {
                "slug": slug,
                "number": _WHOLE,
                "start": lives[slug][0],
                "finish": lives[slug][1],
                "branch": None,
            }
            for slug in planned
        ]
        rows = self.rows(
            health.totals(self.settings.names),
            phases=spans,
            slugs=list(planned),
            start=day_start(min(lives[slug][0] for slug in planned).date()),
            end=self.as_of,
        )
        counts: dict[tuple[str, int], dict[str, Counts]] = {}
        for row in rows:
            # In which order an engine adds floats up is its own: the last digits differ.
            counts.setdefault((row["experiment"], row["number"]), {})[row["branch"]] = replace(
                counts_of(row),
                compared=row["compared"],
                expected=round(row["expected"], 9),
                log_null=round(row["log_null"], 9),
            )
        return counts

    def with_onsets(
        self, findings: Sequence[HealthFinding], looked_at: Sequence[Observed]
    ) -> list[HealthFinding]:
        """Splits that look wrong with the time from which on they do."""
        wrong = {f.experiment for f in findings if f.check == "split" and f.verdict.is_bad}
        watched = {o.experiment.slug: o for o in looked_at if o.experiment.slug in wrong}
        if not watched:
            return list(findings)
        start = min(observed.phases[0].start for observed in watched.values())
        rows = self.rows(
            health.windows(self.settings.names),
            slugs=list(watched),
            start=day_start(start.date()),
            end=self.as_of,
        )
        series: dict[str, list[Row]] = {}
        for row in rows:
            series.setdefault(row["experiment"], []).append(row)
        return [
            self._with_onset(finding, watched[finding.experiment], series[finding.experiment])
            if finding.check == "split" and finding.experiment in watched
            else finding
            for finding in findings
        ]

    def _with_onset(
        self, finding: HealthFinding, observed: Observed, rows: Iterable[Row]
    ) -> HealthFinding:
        phase = next(
            p
            for p in observed.phases
            if [(b, p.of(b).enroll) for b in p.ratios]
            == [(share.branch, share.value) for share in finding.shares]
        )
        windows: dict[datetime, dict[str, int]] = {}
        for row in rows:
            if phase.start <= (time := utc_of(row["window_start"])) < phase.finish:
                windows.setdefault(time, {})[row["branch"]] = row["enroll_count"]
        times = sorted(windows)
        counts = [[windows[time].get(branch, 0) for branch in phase.ratios] for time in times]
        concentration = self.settings.health.concentration
        began = times[onset(counts, list(phase.shares.values()), concentration)]
        text = (
            f"{finding.sentence} What was counted is explained best if it began about "
            f"{began:%Y-%m-%d %H:%M} UTC."
        )
        return replace(finding, onset=began, sentence=text)

    def with_times(self, findings: Iterable[HealthFinding]) -> list[HealthFinding]:
        """Each finding with the first live run in a row that had its verdict, or now."""
        rows = self.rows(
            health.previous(self.settings.names), start=self.as_of - _REMEMBERED, end=self.as_of
        )
        before = {
            (row["experiment"], row["check_name"], row["verdict"]): utc_of(row["since"])
            for row in rows
        }
        return [
            replace(f, since=before.get((f.experiment, f.check, f.verdict.value), self.as_of))
            for f in findings
        ]


def first_day(state: State) -> date | None:
    """The first day that anything was counted of."""
    tables = (ENROLLMENT.daily, ENROLLMENT.hourly, POPULATION.table)
    return min((d for t in tables if (d := state.first_day(t)) is not None), default=None)


def counts_of(row: Row) -> Counts:
    """The counts of a row of one of the queries."""
    return Counts(**{name: row[f"{name}_count"] for name in EVENTS})


def sum_of(counts: Iterable[Counts]) -> Counts:
    """The events of all of them."""
    found = list(counts)
    return Counts(**{name: sum(getattr(c, name) for c in found) for name in EVENTS})


def less(everything: Counts, found: Iterable[Phase]) -> Counts:
    """The events that are in none of the phases."""
    inside = sum_of(counts for phase in found for counts in phase.counts.values())
    return Counts(**{name: getattr(everything, name) - getattr(inside, name) for name in EVENTS})


def utc_of(moment: datetime) -> datetime:
    """The same moment in UTC, as which Python compares it fast."""
    return moment.astimezone(UTC)
