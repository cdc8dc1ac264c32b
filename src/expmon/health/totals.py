"""What was counted since experiments and their phases began: as stored up to a day, and after it.

The totals of a day are what was counted up to its end. Those of an experiment are gone on with if
they are of the very times and branches that are asked for; if not, it is counted from its start.
What is added up are whole numbers, so both come out the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from expmon.catalog.health import EVENTS
from expmon.health.observed import Counts
from expmon.statements.health import BILLION
from expmon.windows import DAY, day_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date, datetime

    from expmon.health.observed import Phase

    Row = Mapping[str, Any]

_MEASURES = (*(f"{event}_count" for event in EVENTS), "compared", "expected", "log_null")


@dataclass(frozen=True, slots=True)
class Span:
    """A time of which everything is counted.

    Attributes:
        start: the start of its first window.
        finish: the end of its last window.
        branches: those whose unenrollments are compared; without any, nothing is.
    """

    start: datetime
    finish: datetime
    branches: frozenset[str] = frozenset()

    @classmethod
    def of(cls, phase: Phase) -> Span:
        """That of a phase, whose planned branches are compared."""
        return cls(phase.start, phase.finish, frozenset(phase.ratios))

    def until(self, moment: datetime) -> Span | None:
        """What of it is before a moment."""
        return replace(self, finish=min(self.finish, moment)) if self.start < moment else None

    def since(self, moment: datetime) -> Span | None:
        """What of it is from a moment on."""
        return replace(self, start=max(self.start, moment)) if moment < self.finish else None


Counted = dict[Span, dict[str, Counter[str]]]
"""By span and branch how many of everything; of shares and logarithms, billionths."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What is stored of experiments, and what is still to be counted.

    Attributes:
        spans: by experiment the times of which everything is counted.
        stored: by experiment what is gone on with; of the others, nothing is.
        end: the end of the day up to which it was stored.
    """

    spans: Mapping[str, Sequence[Span]]
    stored: Mapping[str, Counted]
    end: datetime

    @classmethod
    def of(cls, spans: Mapping[str, Sequence[Span]], rows: Iterable[Row], day: date) -> Totals:
        """From the rows that are stored of a day."""
        end = day_start(day + DAY)
        asked = {slug: {b for s in own if (b := s.until(end))} for slug, own in spans.items()}
        stored = {slug: own for slug, own in _stored(rows).items() if own.keys() == asked.get(slug)}
        return cls(spans, stored, end)

    def remaining(self) -> list[dict[str, Any]]:
        """The times that are still to be counted, as the query takes them."""
        return [
            {
                "slug": slug,
                "number": number,
                "start": rest.start,
                "finish": rest.finish,
                "branch": branch,
            }
            for slug, own in self.spans.items()
            for number, span in enumerate(own)
            if (rest := span.since(self.end) if slug in self.stored else span)
            for branch in sorted(span.branches) or (None,)
        ]

    def completed(self, rows: Iterable[Row]) -> dict[str, Counted]:
        """Everything, with the rows of the query; branches without a count stay out."""
        found = {slug: {s: self._before(slug, s) for s in own} for slug, own in self.spans.items()}
        for row in rows:
            span = self.spans[row["experiment"]][row["number"]]
            _add(found[row["experiment"]][span], row)
        return found

    def _before(self, slug: str, span: Span) -> dict[str, Counter[str]]:
        before = span.until(self.end)
        if before is None or slug not in self.stored:
            return {}
        return {branch: Counter(of) for branch, of in self.stored[slug][before].items()}


def gaps(spans: Iterable[Span], start: datetime, finish: datetime) -> list[Span]:
    """What is in none of the spans, which come in order."""
    found = []
    for span in spans:
        if start < span.start:
            found.append(Span(start, span.start))
        start = max(start, span.finish)
    return [*found, Span(start, finish)] if start < finish else found


def rows_of(found: Mapping[str, Counted]) -> list[dict[str, Any]]:
    """The rows to be stored: each span has some, whether or not anything was counted of it."""
    return [
        {
            "experiment": slug,
            "start": span.start,
            "finish": span.finish,
            "branch": branch,
            "is_planned": branch in span.branches,
            **{name: of[name] for name in _MEASURES},
        }
        for slug, own in found.items()
        for span, counted in own.items()
        for branch, of in _branches(span, counted)
    ]


def _branches(
    span: Span, counted: Mapping[str, Counter[str]]
) -> Iterator[tuple[str | None, Counter[str]]]:
    if not span.branches:
        yield None, Counter()
    for branch in sorted(span.branches | counted.keys()):
        yield branch, counted.get(branch, Counter())


def as_counts(counted: Mapping[str, int]) -> Counts:
    """The same, not in billionths any more."""
    return Counts(
        **{event: counted[f"{event}_count"] for event in EVENTS},
        compared=counted["compared"],
        expected=counted["expected"] / BILLION,
        log_null=counted["log_null"] / BILLION,
    )


def _stored(rows: Iterable[Row]) -> dict[str, Counted]:
    together: dict[tuple[str, datetime, datetime], list[Row]] = {}
    for row in rows:
        times = (moment.astimezone(UTC) for moment in (row["start"], row["finish"]))
        together.setdefault((row["experiment"], *times), []).append(row)
    found: dict[str, Counted] = {}
    for (slug, start, finish), own in together.items():
        planned = frozenset(row["branch"] for row in own if row["is_planned"])
        counted = found.setdefault(slug, {}).setdefault(Span(start, finish, planned), {})
        for row in own:
            _add(counted, row)
    return found


def _add(counted: dict[str, Counter[str]], row: Row) -> None:
    if any(row[name] for name in _MEASURES):
        counted.setdefault(row["branch"], Counter()).update({n: row[n] for n in _MEASURES})
