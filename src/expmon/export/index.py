"""What lies beside the exported files: the claim that keeps older exports out, and the index."""

from __future__ import annotations

import contextlib
import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from expmon.errors import ExportSuperseded, StoreConflict
from expmon.export.rendering import ExportFile, json_bytes, time_text
from expmon.export.store import ABSENT, Blob, Store
from expmon.windows import utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

log = logging.getLogger(__name__)

INDEX = "index.json"
CLAIM = "_expmon/claim.json"
SCHEMA_VERSION = 1
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Claim:
    """An export's hold on a store: while it lasts, no older one writes there.

    Attributes:
        run_id: of this export.
        previous: the ``run_id`` of the export before, None if there was none.
        is_clean: whether that one has finished, so that nothing of it is still to be written.
    """

    store: Store
    as_of: datetime
    run_id: str
    previous: str | None
    is_clean: bool

    @classmethod
    def take(cls, store: Store, as_of: datetime, run_id: str) -> Claim:
        """Raise the ``as_of`` that the store is claimed for.

        Raises:
            ExportSuperseded: a newer export has claimed it.
            StoreConflict: others keep claiming it at the same moment.
        """
        data = _claim_data(as_of, run_id, is_finished=False)
        previous: dict[str, Any] = {}
        for _ in range(_ATTEMPTS):
            there = store.read(CLAIM)
            holder = _parsed(there)
            # One's own claim is there if its answer was lost and the write repeated.
            if holder.get("run_id") != run_id:
                _refuse_older(holder, as_of)
                previous = holder
                generation = there.generation if there else ABSENT
                try:
                    store.write(CLAIM, data, generation=generation, as_of=as_of.isoformat())
                except StoreConflict:
                    continue
            is_clean = previous.get("is_finished", not previous) is True
            return cls(store, as_of, run_id, previous.get("run_id"), is_clean)
        raise StoreConflict(CLAIM, store.url)

    def finish(self) -> None:
        """Say that everything has been written, unless another export holds the store by now."""
        there = self.store.read(CLAIM)
        if there is None or _parsed(there).get("run_id") != self.run_id:
            return
        data = _claim_data(self.as_of, self.run_id, is_finished=True)
        with contextlib.suppress(StoreConflict):
            self.store.write(CLAIM, data, generation=there.generation, as_of=self.as_of.isoformat())

    def write(self, file: ExportFile, generation: int) -> None:
        """Replace a file, unless a newer export has claimed the store.

        A newer export claims first and writes then. So either the check of the claim saw it, or it
        writes the file after the generation was looked up, and then this write's precondition
        fails; or this write comes first, and the newer export's own precondition fails.

        Args:
            file: as it is to be.
            generation: of what is there, looked up before the claim was last checked.

        Raises:
            ExportSuperseded: a newer export has claimed it.
            StoreConflict: others keep writing the file at the same moment.
        """
        for _ in range(_ATTEMPTS):
            try:
                self.store.write(
                    file.name, file.data, generation=generation, as_of=self.as_of.isoformat()
                )
            except StoreConflict:
                there = self.store.read(file.name)
                # It was written, and the answer lost; or it is no matter who wrote it.
                if there is not None and there.data == file.data:
                    return
                generation = there.generation if there else ABSENT
                self.check()
            else:
                return
        raise StoreConflict(file.name, self.store.url)

    def check(self) -> None:
        """Make sure that no newer export has claimed the store meanwhile.

        Raises:
            ExportSuperseded: one has.
        """
        _refuse_older(_parsed(self.store.read(CLAIM)), self.as_of)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the files that are there.

    Attributes:
        checksums: by name.
        as_of: of each file; nothing where the index can't be relied on, and so the others.
        exported: when all were last exported.
        through: the latest window that each dataset had then.
    """

    checksums: Mapping[str, str] = field(default_factory=dict)
    as_of: Mapping[str, datetime] = field(default_factory=dict)
    exported: datetime | None = None
    through: Mapping[str, datetime] = field(default_factory=dict)


def known_files(claim: Claim) -> Known:
    """What is known of the files, as far as it can be relied on.

    It is in the index; where there is none, a listing has the checksums. An export that has claimed
    the store and not finished may still be writing: then nothing is known, and writing all files
    anew makes its late writes fail on their preconditions.
    """
    if not claim.is_clean:
        return Known()
    index = _index(claim.store)
    if not index or index.get("run_id") != claim.previous:
        return Known(claim.store.checksums())
    files, datasets = index["files"], index["datasets"]
    return Known(
        {name: str(entry.get("crc32c")) for name, entry in files.items()},
        _times({name: entry.get("as_of") for name, entry in files.items()}),
        _times({INDEX: index["as_of"]}).get(INDEX),
        _times({name: d.get("through") for name, d in datasets.items() if isinstance(d, dict)}),
    )


def _times(texts: Mapping[str, object]) -> dict[str, datetime]:
    """The times that `time_text` wrote; what is none is left out."""
    found = {}
    for name, text in texts.items():
        with contextlib.suppress(ValueError):
            time = datetime.fromisoformat(str(text).replace(" UTC", "+00:00"))
            found[name] = time.astimezone(UTC)
    return found


def write_index(
    claim: Claim,
    files: Sequence[ExportFile],
    *,
    starts: Mapping[str, date],
    through: Mapping[str, datetime],
    is_named: bool,
) -> None:
    """Enter the files into the index, and leave the entries of others.

    Args:
        claim: of this export.
        files: all that belong to it, changed or not.
        starts: the start date of each experiment.
        through: the start of the latest window of each dataset.
        is_named: an export of one experiment alone says nothing of the whole.

    Raises:
        ExportSuperseded: a newer export has claimed the store.
        StoreConflict: others keep writing the index at the same moment.
    """
    as_of, until = time_text(claim.as_of), {name: time_text(t) for name, t in through.items()}
    entries = {
        file.name: {
            "experiment": file.experiment,
            "dataset": file.dataset,
            "start": starts[file.experiment].isoformat(),
            "rows": file.rows,
            "crc32c": file.crc32c,
            "as_of": as_of,
            "through": until.get(file.dataset),
        }
        for file in files
    }
    for _ in range(_ATTEMPTS):
        there = claim.store.read(INDEX)
        index = _index(claim.store, there)
        if index.get("run_id") == claim.run_id:
            return
        # After the index was read: what a newer export writes later fails the precondition.
        claim.check()
        if not is_named or not index:
            index["as_of"] = as_of
            index["datasets"] = {name: {"through": text} for name, text in until.items()}
        index["schema_version"] = SCHEMA_VERSION
        index["run_id"] = claim.run_id
        index["files"] = {**index.get("files", {}), **entries}
        order = ("schema_version", "as_of", "run_id", "datasets", "files")
        data = json.dumps({key: index[key] for key in order}, indent=1).encode()
        generation = there.generation if there else ABSENT
        try:
            claim.store.write(INDEX, data, generation=generation, as_of=claim.as_of.isoformat())
        except StoreConflict:
            continue
        return
    raise StoreConflict(INDEX, claim.store.url)


def _claim_data(as_of: datetime, run_id: str, *, is_finished: bool) -> bytes:
    claim = {"as_of": as_of.isoformat(), "run_id": run_id, "is_finished": is_finished}
    return json_bytes(claim)


def _index(store: Store, blob: Blob | None = None) -> dict[str, Any]:
    """The index; nothing if it is not there, or has lost its shape."""
    index = _parsed(blob or store.read(INDEX))
    files = index.get("files")
    has_files = isinstance(files, dict) and all(isinstance(e, dict) for e in files.values())
    if not (has_files and isinstance(index.get("datasets"), dict) and "as_of" in index):
        return {}
    return index


def _parsed(blob: Blob | None) -> dict[str, Any]:
    """The object's JSON; nothing if it is not there, or has been broken by hand."""
    if blob is None:
        return {}
    try:
        value = json.loads(blob.data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        log.warning("an index or claim that can't be read is made anew: %.200r", blob.data)
        return {}
    return value


def _refuse_older(holder: Mapping[str, Any], as_of: datetime) -> None:
    try:
        claimed = utc(datetime.fromisoformat(str(holder.get("as_of"))), "the claim's as_of")
    except ValueError:  # no time, or one without a zone
        return
    if claimed > as_of:
        raise ExportSuperseded(as_of, claimed)
