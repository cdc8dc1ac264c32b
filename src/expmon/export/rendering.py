"""The exported files' contents: an experiment's points as JSON, as BigQuery's own export has it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from expmon.export.store import crc32c

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

HEALTH_FILE = "health"
"""What the index calls the files of the health checks, beside those of the datasets."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Points:
    """An experiment's points of a dataset, column by column, newest first, then by branch.

    Attributes:
        times: in microseconds since 1970, UTC.
    """

    times: Sequence[int] = ()
    branches: Sequence[str] = ()
    values: Sequence[int] = ()

    @classmethod
    def of(cls, points: pa.StructArray) -> Points:
        """From an array of structs of ``time``, ``branch`` and ``value``."""
        import pyarrow as pa

        times = points.field("time").cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        return cls(
            times.to_pylist(), points.field("branch").to_pylist(), points.field("value").to_pylist()
        )


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file as it is to be.

    Attributes:
        rows: how many points it has.
        crc32c: its checksum, as Cloud Storage writes it.
        data: its content; empty once it is no longer needed.
    """

    name: str
    experiment: str
    dataset: str
    rows: int
    crc32c: str
    data: bytes


def files(experiment: str, dataset: str, points: Points) -> tuple[ExportFile, ExportFile]:
    """The file of all branches added up, and the one by branch.

    Args:
        experiment: its slug, which has been checked.
        dataset: its name.
        points: of all branches.
    """
    totals: dict[int, int] = {}
    for time, value in zip(points.times, points.values, strict=True):
        totals[time] = totals.get(time, 0) + value
    total = [f'{{"time":"{_text(time)}","value":"{value}"}}' for time, value in totals.items()]
    names = {branch: json_bytes(branch).decode() for branch in set(points.branches)}
    by_branch = [
        f'{{"branch":{names[branch]},"time":"{_text(time)}","value":"{value}"}}'
        for time, branch, value in zip(points.times, points.branches, points.values, strict=True)
    ]
    of_all, of_each = file_names(experiment, dataset)
    return (
        _file(of_all, experiment, dataset, total),
        _file(of_each, experiment, dataset, by_branch),
    )


def health_file(experiment: str, findings: Sequence[Mapping[str, Any]]) -> ExportFile:
    """The file of what the health checks found of an experiment, and of all together.

    Args:
        experiment: its slug, which has been checked.
        findings: rows of ``experiment_health_v1``.
    """
    records = [
        json_bytes(
            {
                "experiment": row["experiment"],
                "check": row["check_name"],
                "branch": row["branch"],
                "verdict": row["verdict"],
                "since": time_text(row["since"].astimezone(UTC)),
                **{name: row[name] for name in ("log_e", "value", "expected")},
                "sentence": row["sentence"],
                "action": row["action"],
            }
        ).decode()
        for row in findings
    ]
    return _file(health_file_name(experiment), experiment, HEALTH_FILE, records)


def health_file_name(experiment: str) -> str:
    """What the file of an experiment's health is called."""
    return f"{experiment}_{HEALTH_FILE}.json"


def file_names(experiment: str, dataset: str) -> tuple[str, str]:
    """What the two files are called."""
    return f"{experiment}_{dataset}.json", f"{experiment}_{dataset}_by_branch.json"


def time_text(moment: datetime) -> str:
    """A time as BigQuery's JSON has it: ``2021-01-26 00:05:00 UTC``."""
    fraction = f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} UTC"


def json_bytes(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@lru_cache(maxsize=100_000)
def _text(time: int) -> str:
    """The same few thousand times stand in every file of an export."""
    return time_text(_EPOCH + timedelta(microseconds=time))


def _file(name: str, experiment: str, dataset: str, records: Sequence[str]) -> ExportFile:
    data = f"[{','.join(records)}]".encode()
    return ExportFile(name, experiment, dataset, len(records), crc32c(data), data)
