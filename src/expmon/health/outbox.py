"""Messages are kept until they are delivered: each is written before, and marked after.

What is delivered and not marked yet when a process dies is delivered again, with the same id.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from expmon.catalog.alerts import ALERTS
from expmon.errors import WarehouseError
from expmon.health.alerts import Key, Kind, Message, Standing, messages
from expmon.health.finding import Verdict
from expmon.statements import alerts
from expmon.warehouse.protocol import Write
from expmon.windows import DAY, HOUR, Partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from expmon.catalog.model import Statement
    from expmon.health.delivery import Deliver
    from expmon.materialize.schedule import Settings
    from expmon.warehouse.protocol import Warehouse

log = logging.getLogger(__name__)

FIRST_LOOK = HOUR
"""The first time, only so much of the past is looked at: what is an alarm now."""
LONGEST_LOOK = 7 * DAY
"""After a long pause, what is longer ago is not told any more."""
KEPT = 90 * DAY
DELIVERING = timedelta(minutes=2)
"""After so long no other delivery begins: the next time goes on."""
MARKING = timedelta(minutes=5)
"""So long the end of another run is waited for to mark what is delivered."""
CLAIM = timedelta(minutes=10)
"""Longer than delivering and marking take: meanwhile other processes leave the messages alone."""
_MARKED_EVERY = 10.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Alerts:
    """What became of the messages, in order.

    Attributes:
        delivered: those that were.
        waiting: those that are left for the next time.
    """

    delivered: tuple[Message, ...]
    waiting: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Outbox:
    """The messages of a warehouse.

    Attributes:
        as_of: up to then live runs are looked at.
        clock: tells now, for claims and marks.
    """

    warehouse: Warehouse
    settings: Settings
    as_of: datetime
    clock: Callable[[], datetime] = _now

    def waiting(self) -> Alerts:
        """What `send` would deliver; nothing is written. Three queries."""
        found = self._look()
        return Alerts((), (*found.claims, *found.fresh))

    def send(self, deliver: Deliver, wait: timedelta) -> Alerts:
        """Write the messages that are new, deliver those that wait, in order, and mark them.

        While they are delivered, other runs can have the warehouse. If another process is
        delivering, new messages are left to the next time, so that the order stays.

        Args:
            deliver: called with each message; if it raises, that one and those after it wait.
            wait: how long to wait for another run to end.

        Raises:
            DeliveryError: of ``deliver``.
            WarehouseLocked: another run has the warehouse, for longer than ``wait``; or than five
                minutes after a delivery, whose messages are then delivered again.
        """
        with self.warehouse.lease(wait):
            found = self._look()
            due, now = (*found.claims, *found.fresh), self.clock()
            is_claimed = any(until is not None and until > now for until in found.claims.values())
            changed = found.fresh if is_claimed else due
            until = None if is_claimed else now + CLAIM
            if changed or found.is_behind:
                self._write((_row(m, claimed_until=until) for m in changed), found.until)
        if is_claimed or not due:
            return Alerts((), due)
        return self._delivered(due, deliver, found.until)

    def _delivered(
        self, due: Sequence[Message], deliver: Deliver, looked_until: datetime
    ) -> Alerts:
        times: dict[Message, datetime] = {}
        began = marked = time.monotonic()
        self.warehouse.close()  # others can have the file while a receiver is slow
        try:
            for message in due:
                if time.monotonic() - began > DELIVERING.total_seconds():
                    break
                deliver(message)
                times[message] = self.clock()
                if time.monotonic() - marked > _MARKED_EVERY:
                    self._mark(dict(times), looked_until)
                    marked = time.monotonic()
        finally:
            # Those that are not delivered are claimed no longer.
            self._mark({m: times.get(m) for m in due}, looked_until)
        return Alerts(tuple(times), tuple(m for m in due if m not in times))

    def _mark(self, times: Mapping[Message, datetime | None], looked_until: datetime) -> None:
        try:
            with self.warehouse.lease(MARKING):
                self._write((_row(m, delivered_at=t) for m, t in times.items()), looked_until)
        except WarehouseError:
            number = sum(t is not None for t in times.values())
            log.warning(
                "%d alerts that were delivered could not be marked: they come again", number
            )
            raise
        self.warehouse.close()

    def _look(self) -> _Found:
        claims: dict[Message, datetime | None] = {}
        opened: dict[Key, Message] = {}
        rows = self._rows(alerts.unsettled(self.settings.names))
        for row in sorted(
            rows, key=lambda row: (row["time"], row["experiment"], row["check_name"])
        ):
            message = _message(row)
            opened.pop(message.key, None)
            if message.kind is Kind.STARTED:
                opened[message.key] = message
            if row["delivered_at"] is None:
                claims[message] = row["claimed_until"]
        ((looked,),) = (row.values() for row in self._rows(alerts.looked(self.settings.names)))
        rows = self._rows(
            alerts.standings(self.settings.names),
            start=max(looked or self.as_of - FIRST_LOOK, self.as_of - LONGEST_LOOK),
            end=self.as_of,
            opened=[{"experiment": slug, "check_name": check} for slug, check in opened],
        )
        standings = [_standing(row) for row in rows if row["experiment"] is not None]
        until = max((row["time"] for row in rows), default=None)
        return _Found(
            claims,
            tuple(messages(standings, opened, self.settings.health)),
            (until or looked or self.as_of).astimezone(UTC),
            is_behind=until is not None and (looked is None or until - looked > HOUR),
        )

    def _rows(self, statement: Statement, **parameters: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.warehouse.query(statement, parameters).to_pylist()
        return rows

    def _write(self, rows: Iterable[Mapping[str, Any]], looked_until: datetime) -> None:
        parameters = {"changed": list(rows), "oldest": self.as_of - KEPT}
        statement = alerts.written(self.settings.names)
        write = Write(ALERTS, Partition.whole(), statement, parameters, looked_until)
        list(self.warehouse.write([write]))


@dataclass(frozen=True, slots=True)
class _Found:
    """What there is to tell.

    Attributes:
        claims: the messages that are not delivered, in order, and until when each is claimed.
        fresh: those that are new, in order.
        until: the last live run that was looked at.
        is_behind: whether it is worth being remembered even if nothing is new.
    """

    claims: Mapping[Message, datetime | None]
    fresh: tuple[Message, ...]
    until: datetime
    is_behind: bool


def _row(
    message: Message, *, claimed_until: datetime | None = None, delivered_at: datetime | None = None
) -> dict[str, Any]:
    row = asdict(message)
    row["check_name"], row["kind"] = row.pop("check"), message.kind.value
    return {**row, "claimed_until": claimed_until, "delivered_at": delivered_at}


def _message(row: Mapping[str, Any]) -> Message:
    texts = {name: row[name] for name in ("id", "experiment", "branch", "sentence", "action")}
    return Message(
        kind=Kind(row["kind"]),
        check=row["check_name"],
        time=row["time"].astimezone(UTC),
        since=row["since"].astimezone(UTC),
        **texts,
    )


def _standing(row: Mapping[str, Any]) -> Standing:
    return Standing(
        time=row["time"].astimezone(UTC),
        experiment=row["experiment"],
        check=row["check_name"],
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        branch=row["branch"] or "",
        since=None if row["since"] is None else row["since"].astimezone(UTC),
        sentence=row["sentence"] or "",
        action=row["action"] or "",
        start_date=row["start_date"],
    )
