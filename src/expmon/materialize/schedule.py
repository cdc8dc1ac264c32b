"""When the tiers are ready, and how far back a run looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from expmon.catalog.model import Names
from expmon.health_settings import STDOUT, HealthSettings


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a day and an hour are ready, and how far back a run looks.

    Attributes:
        day_lag: a day is ready so long after its end.
        hour_lag: an hour is ready so long after its end.
        source_horizon: a source's change is taken over up to this age.
        catch_up: an empty table begins at most this long ago.
        empty_sources: sources, by their names in the catalogue, that may rightly lack a day.
    """

    day_lag: timedelta = timedelta(hours=3)
    hour_lag: timedelta = timedelta(minutes=30)
    source_horizon: timedelta = timedelta(days=7)
    catch_up: timedelta = timedelta(days=14)
    empty_sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the tables lie, the schedule, the health checks, and where alerts go.

    Attributes:
        alerts_to: ``stdout``, a file's path, or the address of a webhook, which may be a secret.
    """

    names: Names = field(default_factory=Names)
    schedule: Schedule = field(default_factory=Schedule)
    health: HealthSettings = field(default_factory=HealthSettings)
    alerts_to: str = field(default=STDOUT, repr=False)
