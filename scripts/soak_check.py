"""What a soak has left, beside what plain Python makes of the same pings: a process of its own.

    python scripts/soak_check.py DIRECTORY

Prints what differs; the exit status is 1 if anything does.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import expmon
import playing
import reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WAREHOUSE, EXPORTS, PINGS = "monitoring.duckdb", "exports", "pings.jsonl"
_PLAYED = "played.json"
_KEPT = timedelta(days=14)


@dataclass(frozen=True)
class Played:
    """What a soak says of itself, beside its pings.

    Attributes:
        as_of: of its last runs, all of which were undisturbed.
        final_days: that the daily schedule has made final.
        written_hours: that the hourly one has written.
        first_day: of the pings.
        experiments: slug, first day and last day of each, in ISO 8601; no last day means live.
    """

    as_of: str
    final_days: list[str]
    written_hours: list[str]
    first_day: str
    experiments: list[tuple[str, str, str | None]]

    def write(self, directory: Path) -> None:
        """Leave it for the check."""
        (directory / _PLAYED).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> Self:
        """What `write` left."""
        return cls(**json.loads((directory / _PLAYED).read_text(encoding="utf-8")))

    def for_reference(self, directory: Path) -> reference.Played:
        """The same for the reference, with the pings."""
        with (directory / PINGS).open(encoding="utf-8") as file:
            pings = [json.loads(line) for line in file]
        return reference.Played(
            pings,
            datetime.fromisoformat(self.as_of),
            frozenset(date.fromisoformat(day) for day in self.final_days),
            frozenset(datetime.fromisoformat(hour) for hour in self.written_hours),
            date.fromisoformat(self.first_day),
        )

    def exported(self) -> Iterator[tuple[str, date]]:
        """The experiments that are active, by DESIGN.md, section 7, each with its first day."""
        today = datetime.fromisoformat(self.as_of).astimezone(UTC).date()
        for slug, start, end in self.experiments:
            has_begun = date.fromisoformat(start) <= today
            if has_begun and (end is None or today <= date.fromisoformat(end) + _KEPT):
                yield slug, date.fromisoformat(start)


def differences(directory: Path) -> list[str]:
    """What differs, a line each; nothing if all is as the reference says."""
    said = Played.read(directory)
    played = said.for_reference(directory)
    with expmon.connect(f"duckdb://{directory / WAREHOUSE}") as monitor:
        tables = playing.tables(monitor)
        verdicts = {line.relation: line.verdict for line in monitor.status(played.as_of)}
    lines = [f"{name} is {verdict}" for name, verdict in verdicts.items() if verdict != "fresh"]
    for name, wanted in playing.expected_tables(played).items():
        lacking, extra = Counter(wanted), Counter(tables.pop(name))
        lacking, extra = lacking - extra, extra - lacking
        if lacking or extra:
            lines.append(f"{name} lacks {_some(lacking)} and has {_some(extra)}")
    lines += [f"{name} is no table of the reference's" for name in tables]
    derived, wanted_files = reference.derived(played), dict[str, Any]()
    for slug, start in said.exported():
        wanted_files |= reference.export_tables(derived, slug=slug, start=start, as_of=played.as_of)
    return lines + list(_files(directory / EXPORTS, wanted_files))


def _files(directory: Path, wanted: Mapping[str, Any]) -> Iterator[str]:
    """Whether the directory has these files, byte for byte, and an index of them, and no others."""
    found = {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()}
    entries = json.loads(found.pop("index.json", b'{"files": {}}'))["files"]
    for name, records in wanted.items():
        data = json.dumps(records, ensure_ascii=False, separators=(",", ":")).encode()
        if found.pop(name, None) != data:
            yield f"{name} is not there, or has other points"
        if entries.pop(name, {}).get("rows") != len(records):
            yield f"{name} has {len(records)} points, and the index doesn't say so"
    # Of experiments that are no longer active the files stay.
    left = found.keys() ^ entries.keys()
    yield from (f"{name} is in the directory or in the index alone" for name in left)


def _some(rows: Counter[Any]) -> str:
    return f"{rows.total()} rows {list(rows)[:3]}"


if __name__ == "__main__":
    FOUND = differences(Path(sys.argv[1]))
    for LINE in FOUND:
        print(LINE)
    sys.exit(1 if FOUND else 0)
