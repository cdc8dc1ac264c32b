"""How an export writes an experiment's files: all at the same time."""

from __future__ import annotations

import contextlib
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from expmon.export.store import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from expmon.export.index import Claim
    from expmon.export.rendering import ExportFile
    from expmon.export.store import Store

WORKERS = 16
"""How many files are written at once: as many as an experiment has."""


@contextlib.contextmanager
def upload_pool() -> Iterator[Executor]:
    """The threads of one export; when it ends, however it does, nothing is written any more."""
    pool = ThreadPoolExecutor(WORKERS, "expmon-upload")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def listed_generations(store: Store, prefixes: Iterable[str]) -> dict[str, int]:
    """The generations of the files whose names begin with one of the prefixes, by name."""
    found: dict[str, int] = {}
    for prefix in prefixes:
        found.update(store.generations(prefix))
    return found


def write_files(
    pool: Executor,
    claim: Claim,
    files: Sequence[ExportFile],
    *,
    generations: Mapping[str, int],
) -> None:
    """Replace files, and wait until they are there.

    Where one fails, those that have not begun are dropped, and those that have are waited for.

    Args:
        pool: where the uploads run.
        claim: of the export; it was checked after the generations were listed.
        files: one experiment's, so that no more than these are kept.
        generations: of what was there, by name.

    Raises:
        StoreError: the first failure; what else failed is in its notes.
    """
    uploads = [pool.submit(claim.write, f, generations.get(f.name, ABSENT)) for f in files]
    wait(uploads, return_when=FIRST_EXCEPTION)
    begun = [upload for upload in uploads if not upload.cancel()]
    failures = [error for upload in begun if (error := upload.exception()) is not None]
    if not failures:
        return
    first, *others = failures
    for other in others:
        first.add_note(f"Another upload of this export failed too: {other}")
    raise first
