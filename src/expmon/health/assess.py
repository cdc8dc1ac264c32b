"""From the tables to a report: all experiments in a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.health import EVENTS, RATIOS
from expmon.catalog.search import SEARCH
from expmon.errors import UnknownExperiment
from expmon.health.checks import CHECKS
from expmon.health.evidence import onset
from expmon.health.observed import (
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
from expmon.health.totals import Span, Totals, as_counts, gaps, rows_of
from expmon.materialize.carried import carried_day, closing_day, first_day
from expmon.materialize.derived_days import by_hour_until
from expmon.materialize.status import status
from expmon.statements import health
from expmon.windows import DAY, WINDOW, Partition, day_start, floor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from expmon.catalog.model import Statement, Tiers
    from expmon.health.finding import HealthFinding
    from expmon.health.totals import Counted
    from expmon.health_settings import HealthSettings
    from expmon.materialize.schedule import Settings
    from expmon.warehouse.protocol import State, Warehouse

    Row = Mapping[str, Any]

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

    Takes nine queries at most, however many experiments there are.

    Raises:
        UnknownExperiment: of one of these there is neither metadata nor a recent event.
    """
    return Reading(warehouse, settings, as_of).report(slugs)


def judged(looked_at: Sequence[Observed], settings: HealthSettings) -> list[HealthFinding]:
    """What the checks say of each experiment, and of all together."""
    findings = [check(observed, settings) for observed in looked_at for check in CHECKS.values()]
    return told_once(findings, looked_at)


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


@dataclass(frozen=True)
class Reading:
    """The queries of one moment; the metadata and the ratios are asked for once."""

    warehouse: Warehouse
    settings: Settings
    as_of: datetime

    def report(self, slugs: Sequence[str] | None = None) -> HealthReport:
        """What the checks find; arguments and errors as of `report`."""
        looked_at = self.observed(slugs)
        for observed in looked_at:
            if not observed.experiment.is_known and not observed.hours:
                raise UnknownExperiment(observed.experiment.slug)
        settings = self.settings.health
        findings = self.with_onsets(judged(looked_at, settings), looked_at)
        return HealthReport(self.as_of, tuple(self.with_times(findings)), settings.alpha)

    def seen(self) -> list[dict[str, Any]]:
        """The rows that the table of ratios has after a live run: its own, and what is new.

        What the run looks at after that knows what is new as well, without reading it again.
        """
        versions = self.versions
        for experiment in self.active:
            if not experiment.ratios:
                continue
            known = versions.setdefault(experiment.slug, [])
            if known and known[-1].ratios == experiment.ratios:
                known[-1] = replace(known[-1], last=self.as_of)
            else:
                known.append(Seen(self.as_of, self.as_of, experiment.ratios))
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

    def counted(self, day: date) -> list[dict[str, Any]]:
        """The rows that a live run stores of what was counted up to the end of a day."""
        before = carried_day(day, self.warehouse.state())
        return rows_of(self.totals(self.active, day=before, until=day_start(day + DAY)))

    def found(self) -> list[dict[str, Any]]:
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
            for finding in self.report().findings
        ]

    def rows(self, statement: Statement, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        rows: list[dict[str, Any]] = self.warehouse.query(statement, parameters).to_pylist()
        return rows

    @cached_property
    def active(self) -> list[Experiment]:
        """The active experiments."""
        return self.experiments(None)

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

    @cached_property
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
        experiments = self.active if slugs is None else self.experiments(slugs)
        state = self.warehouse.state()
        everyone = [experiment.slug for experiment in experiments]

        def within(tiers: Tiers, lately: timedelta) -> dict[str, Any]:
            start = (self.as_of - lately).date()
            since = by_hour_until(tiers, start, self.as_of, state)
            times = {"start": day_start(start), "since": day_start(since), "end": self.as_of}
            return {"slugs": everyone, **times}

        hours, last = self._hours(**within(ENROLLMENT, HISTORY))
        names, searching = self.settings.names, within(SEARCH, _REMEMBERED)
        searched = {
            row["experiment"]: utc_of(row["last_window"])
            for row in self.rows(health.searches(names), **searching)
        }
        day = carried_day(closing_day(self.as_of, state) + DAY, state)
        counted, feed = self.totals(experiments, day=day, until=self.as_of), self._feed(state)
        return [
            Observed(
                experiment,
                self.as_of,
                *self._compared(experiment, counted, hours),
                hours.get(experiment.slug, {}),
                feed,
                last.get(experiment.slug),
                searched.get(experiment.slug),
            )
            for experiment in experiments
        ]

    def _feed(self, state: State) -> Feed:
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
        """By experiment the counts of each hour, and the last window.

        There are some hundred rows an experiment, so it goes by columns, and makes each time once.
        """
        table = self.warehouse.query(health.hours(self.settings.names), parameters)
        encoded = table.column("hour").combine_chunks().dictionary_encode()
        times = [utc_of(time) for time in encoded.dictionary.to_pylist()]
        slugs, hours = table.column("experiment").to_pylist(), encoded.indices.to_pylist()
        counts = zip(*(table.column(f"{name}_count").to_pylist() for name in EVENTS), strict=True)
        found: dict[str, dict[datetime, Counts]] = {}
        last: dict[str, int] = {}
        for row, (slug, hour, own) in enumerate(zip(slugs, hours, counts, strict=True)):
            found.setdefault(slug, {})[times[hour]] = Counts(*own)
            if times[hour] >= times[hours[last.setdefault(slug, row)]]:
                last[slug] = row
        windows = table.column("last_window")
        return found, {slug: utc_of(windows[row].as_py()) for slug, row in last.items()}

    def totals(
        self, experiments: Sequence[Experiment], *, day: date | None, until: datetime
    ) -> dict[str, Counted]:
        """What was counted up to a moment, in the phases of each experiment and between them.

        Args:
            experiments: those without a start or phases are left out.
            day: whose totals are gone on with.
            until: the moment, at most that of the report.
        """
        spans: dict[str, list[Span]] = {}
        for experiment in experiments:
            own = [Span.of(phase) for phase in self._phases_of(experiment)]
            if own or experiment.start_date is not None:
                every = [*own, *gaps(own, *life_of(experiment, self.as_of))]
                spans[experiment.slug] = [s for span in every if (s := span.until(until))]
        spans = {slug: own for slug, own in spans.items() if own}
        if not spans:
            return {}
        names = self.settings.names
        stored = [] if day is None else self.rows(health.carried(names), day=day)
        totals = Totals.of(spans, stored, day or self.as_of.date())
        if not (rest := totals.remaining()):
            return totals.completed([])
        rows = self.rows(
            health.totals(names),
            phases=rest,
            slugs=sorted({time["slug"] for time in rest}),
            start=day_start(min(time["start"] for time in rest).date()),
            end=until,
        )
        return totals.completed(rows)

    def _compared(
        self,
        experiment: Experiment,
        counted: Mapping[str, Counted],
        hours: Mapping[str, Mapping[datetime, Counts]],
    ) -> tuple[tuple[Phase, ...], Counts]:
        """The phases with their counts, and what was counted outside of them."""
        if (found := counted.get(experiment.slug)) is None:
            return (), sum_of(hours.get(experiment.slug, {}).values())
        counts = {s: {b: as_counts(c) for b, c in of.items()} for s, of in found.items()}
        phases = self._phases_of(experiment)
        between = [c for span in counts if not span.branches for c in counts[span].values()]
        return tuple(replace(p, counts=counts[Span.of(p)]) for p in phases), sum_of(between)

    def _phases_of(self, experiment: Experiment) -> list[Phase]:
        versions = self.versions.get(experiment.slug, [])
        return phases_of(experiment, versions, self.as_of, self.settings.health.settling)

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


def counts_of(row: Row) -> Counts:
    """The counts of a row of one of the queries."""
    return Counts(**{name: row[f"{name}_count"] for name in EVENTS})


def sum_of(counts: Iterable[Counts]) -> Counts:
    """The events of all of them."""
    found = list(counts)
    return Counts(**{name: sum(getattr(c, name) for c in found) for name in EVENTS})


def utc_of(moment: datetime) -> datetime:
    """The same moment in UTC, as which Python compares it fast."""
    return moment.astimezone(UTC)
