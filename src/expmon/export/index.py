"""What lies beside the exported files: the claim that keeps older exports out, and the index."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from expmon.errors import ExportSuperseded, StoreConflict
from expmon.export.rendering import ExportFile, json_bytes, time_text
from expmon.export.store import ABSENT, Blob, Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    """

    store: Store
    as_of: datetime
    run_id: str
    previous: str | None

    @classmethod
    def take(cls, store: Store, as_of: datetime, run_id: str) -> Claim:
        """Raise the ``as_of`` that the store is claimed for.

        Raises:
            ExportSuperseded: a newer export has claimed it.
            StoreConflict: others keep claiming it at the same moment.
        """
        data = json_bytes({"as_of": as_of.isoformat(), "run_id": run_id})
        previous = None
        for _ in range(_ATTEMPTS):
            there = store.read(CLAIM)
            holder = _parsed(there)
            # One's own claim is there if its answer was lost and the write repeated.
            if holder.get("run_id") != run_id:
                _refuse_older(holder, as_of)
                previous = holder.get("run_id")
                try:
                    store.write(CLAIM, data, generation=there.generation if there else ABSENT)
                except StoreConflict:
                    continue
            return cls(store, as_of, run_id, previous)
        raise StoreConflict(CLAIM, store.url)

    def check(self) -> None:
        """Make sure that no newer export has claimed the store meanwhile.

        Raises:
            ExportSuperseded: one has.
        """
        _refuse_older(_parsed(self.store.read(CLAIM)), self.as_of)


def known_checksums(claim: Claim) -> Mapping[str, str]:
    """The files' checksums: from the index, or from a listing if that can't be relied on.

    An export that broke off has written files that the index doesn't know.
    """
    index = _parsed(claim.store.read(INDEX))
    files = index.get("files")
    if not isinstance(files, dict) or index.get("run_id") != claim.previous:
        return claim.store.checksums()
    return {name: str(entry.get("crc32c")) for name, entry in files.items()}


def write_index(
    claim: Claim, files: Sequence[ExportFile], through: Mapping[str, datetime], *, is_named: bool
) -> None:
    """Enter the files into the index, and leave the entries of others.

    Args:
        claim: of this export.
        files: all that belong to it, changed or not.
        through: the start of the latest window of each dataset.
        is_named: an export of one experiment alone says nothing of the whole.

    Raises:
        StoreConflict: others keep writing the index at the same moment.
    """
    as_of = time_text(claim.as_of)
    for _ in range(_ATTEMPTS):
        there = claim.store.read(INDEX)
        index = _parsed(there)
        if index.get("run_id") == claim.run_id:
            return
        if not is_named or "as_of" not in index:
            index["as_of"] = as_of
            index["datasets"] = {name: {"through": time_text(t)} for name, t in through.items()}
        index["schema_version"] = SCHEMA_VERSION
        index["run_id"] = claim.run_id
        index["files"] = {**index.get("files", {}), **{f.name: _entry(f, as_of) for f in files}}
        order = ("schema_version", "as_of", "run_id", "datasets", "files")
        data = json.dumps({key: index[key] for key in order}, indent=1).encode()
        try:
            claim.store.write(INDEX, data, generation=there.generation if there else ABSENT)
        except StoreConflict:
            continue
        return
    raise StoreConflict(INDEX, claim.store.url)


def _entry(file: ExportFile, as_of: str) -> dict[str, Any]:
    return {
        "experiment": file.experiment,
        "dataset": file.dataset,
        "rows": file.rows,
        "crc32c": file.crc32c,
        "as_of": as_of,
    }


def _parsed(blob: Blob | None) -> dict[str, Any]:
    """The object's JSON; nothing if it is not there, or has been broken by hand."""
    if blob is None:
        return {}
    try:
        value = json.loads(blob.data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        log.warning("an index or claim that can't be read is made anew: %.200r", blob.data)
        return {}
    return value


def _refuse_older(holder: Mapping[str, Any], as_of: datetime) -> None:
    try:
        claimed = datetime.fromisoformat(str(holder.get("as_of")))
    except ValueError:
        return
    if claimed > as_of:
        raise ExportSuperseded(as_of, claimed)
