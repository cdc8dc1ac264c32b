"""The exported files' contents: an experiment's points as JSON, as BigQuery's own export has it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expmon.export.store import crc32c

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

Point = tuple["datetime", str, int]
"""Time in UTC, branch, value."""


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file as it is to be.

    Attributes:
        rows: how many points it has.
    """

    name: str
    experiment: str
    dataset: str
    rows: int
    data: bytes

    @property
    def crc32c(self) -> str:
        """Its checksum, as Cloud Storage writes it."""
        return crc32c(self.data)


def files(experiment: str, dataset: str, points: Sequence[Point]) -> tuple[ExportFile, ExportFile]:
    """The file of all branches added up, and the one by branch.

    Args:
        experiment: its slug, which has been checked.
        dataset: its name.
        points: newest first, then by branch.
    """
    totals: dict[datetime, int] = {}
    for time, _, value in points:
        totals[time] = totals.get(time, 0) + value
    total = [{"time": time_text(time), "value": str(value)} for time, value in totals.items()]
    by_branch = [
        {"branch": branch, "time": time_text(time), "value": str(value)}
        for time, branch, value in points
    ]
    return (
        _file(f"{experiment}_{dataset}.json", experiment, dataset, total),
        _file(f"{experiment}_{dataset}_by_branch.json", experiment, dataset, by_branch),
    )


def time_text(moment: datetime) -> str:
    """A time as BigQuery's JSON has it: ``2021-01-26 00:05:00 UTC``."""
    fraction = f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} UTC"


def json_bytes(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _file(
    name: str, experiment: str, dataset: str, records: Iterable[dict[str, str]]
) -> ExportFile:
    rows = list(records)
    return ExportFile(name, experiment, dataset, len(rows), json_bytes(rows))
