"""From what the health checks found at live runs to messages: when an alarm starts, and ends."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from expmon.health.finding import Verdict
from expmon.windows import day_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    from expmon.health_settings import HealthSettings

SCHEMA_VERSION = 1
Key = tuple[str, str]
"""An experiment's slug, empty for all experiments, and a check's name."""

_ENDS = (None, Verdict.OK, Verdict.NOT_APPLICABLE)
_NAMESPACE = uuid.UUID("5b0c3ce3-6d0e-4b1c-9a53-6f7c1a1f0e6d")


class Kind(StrEnum):
    """What a message says."""

    STARTED = "started"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a check of an experiment stood at a live run.

    Attributes:
        time: the moment that the live run looked from.
        experiment: its slug; empty for what is about all experiments.
        verdict: None where the live run says nothing of it.
        start_date: of the experiment; None where it is not known.
    """

    time: datetime
    experiment: str
    check: str
    verdict: Verdict | None
    branch: str = ""
    since: datetime | None = None
    sentence: str = ""
    action: str = ""
    start_date: date | None = None

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.experiment, self.check


@dataclass(frozen=True, slots=True)
class Message:
    """An alarm that started, or is over.

    Attributes:
        id: the same start or end always has the same, and no other message has it.
        kind: ``started`` or ``over``.
        experiment: its slug; empty for what is about all experiments.
        check: the check's name.
        branch: which branch it is about most; empty where it is not about one.
        time: the live run that it was seen at.
        since: since when it is, or was, an alarm.
        sentence: what it means, for people.
        action: what to do; empty where there is nothing to do.
    """

    id: str
    kind: Kind
    experiment: str
    check: str
    branch: str
    time: datetime
    since: datetime
    sentence: str
    action: str

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.experiment, self.check

    @property
    def text(self) -> str:
        """All of it for people, in a line."""
        whose = self.experiment or "all experiments"
        since = f"{self.since:%Y-%m-%d %H:%M} UTC"
        if self.kind is Kind.OVER:
            return f"Over: {whose}, {self.check}. {self.sentence} It was an alarm since {since}."
        said = " ".join(part for part in (self.sentence, self.action) if part)
        return f"Alarm: {whose}, {self.check}. {said} Since {since}."

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON has it; times in ISO 8601, UTC."""
        return {
            "schema_version": SCHEMA_VERSION,
            **asdict(self),
            "time": self.time.isoformat(),
            "since": self.since.isoformat(),
            "text": self.text,
        }


def messages(
    standings: Iterable[Standing], opened: Mapping[Key, Message], settings: HealthSettings
) -> list[Message]:
    """What is to be told, in order of time.

    An alarm starts unless one of the same experiment and check is open, it is muted, or the
    experiment has just started. What is suspect keeps it open; what is ok, not applicable, or no
    longer reported, ends it; where there is not enough data, as when it is late, nothing changes.
    They can be looked at bit by bit: what has been told before is in ``opened``.

    Args:
        standings: of the live runs after the last one that was looked at.
        opened: the starts that are not over.
        settings: what is muted, and for how long new experiments are held back.
    """
    opened, found = dict(opened), []
    for standing in sorted(standings, key=lambda s: (s.time, s.key)):
        start = opened.get(standing.key)
        if start is not None and standing.verdict in _ENDS:
            found.append(_over(start, standing))
            del opened[standing.key]
        elif start is None and standing.verdict is Verdict.ALARM and _is_told(standing, settings):
            opened[standing.key] = _started(standing)
            found.append(opened[standing.key])
    return found


def _is_told(standing: Standing, settings: HealthSettings) -> bool:
    names = {standing.experiment, standing.check, f"{standing.experiment}:{standing.check}"}
    if names & settings.muted:
        return False
    start = standing.start_date
    return start is None or standing.time >= day_start(start) + settings.holding_back


def _started(standing: Standing) -> Message:
    return Message(
        _id(Kind.STARTED, standing.key, standing.time),
        Kind.STARTED,
        standing.experiment,
        standing.check,
        standing.branch,
        standing.time,
        standing.since or standing.time,
        standing.sentence,
        standing.action,
    )


def _over(start: Message, standing: Standing) -> Message:
    gone = "The experiment is no longer watched." if start.experiment else "It is so no longer."
    return Message(
        _id(Kind.OVER, start.key, start.time),
        Kind.OVER,
        start.experiment,
        start.check,
        start.branch,
        standing.time,
        start.since,
        gone if standing.verdict is None else standing.sentence,
        "",
    )


def _id(kind: Kind, key: Key, started: datetime) -> str:
    """Of the start that a message tells, or the end of."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps([kind, *key, started.isoformat()])))
