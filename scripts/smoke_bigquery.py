#!/usr/bin/env python3
"""Try on a real project what expmon rests on and no emulator shows; print a table of answers.

    scripts/smoke_bigquery.py --project my-project --bucket my-bucket

It makes two temporary datasets, runs the checks of `smoke_checks.py` one by one, and removes the
datasets. It takes about ten minutes and costs a few cents at most: the queries are tiny, a job that
would bill more than 200 MB is refused, and what was billed is printed. CONTRIBUTING.md says which
permissions it needs and how to read the table.

The exit status is 0 where every answer is as expected, 1 where one differs, 2 where the checks
could not begin, and 3 where none differs but one could not be tried; checks of Cloud Storage are
left out where there is no --bucket.

Where BIGQUERY_EMULATOR_HOST is set (and BIGQUERY_STORAGE_EMULATOR_HOST, as host:port, and
STORAGE_EMULATOR_HOST), it tries emulators instead, without credentials.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import grpc
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery, bigquery_storage, storage
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from smoke_checks import CHECKS
from smoke_project import NotTried, Project, said, tell, temporary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from smoke_project import Check

DOLLARS_PER_TIB = 6.25
"""Of BigQuery on demand in the US, before the free TiB of each month."""
OF_CLOUD_STORAGE = {"object made once", "wrong checksum", "soft delete"}


class Verdict(StrEnum):
    """What a check's answer means."""

    EXPECTED = "as expected"
    DIFFERS = "DIFFERS"
    NOT_TRIED = "could not be tried"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A check and its answer."""

    check: Check
    answer: str
    verdict: Verdict


def main(
    arguments: Sequence[str] | None = None,
    *,
    checks: Sequence[Check] = CHECKS,
    connect: Callable[[argparse.Namespace], contextlib.AbstractContextManager[Project]]
    | None = None,
) -> int:
    """Try the checks and print the table; the exit status."""
    options = _options(arguments)
    if options.bucket is None:
        checks = [check for check in checks if check.name not in OF_CLOUD_STORAGE]
    outcomes = []
    try:
        with (
            (connect or connected)(options) as project,
            temporary(project, location=options.location, keep=options.keep),
        ):
            for number, check in enumerate(checks, 1):
                outcomes.append(tried(check, project, f"{number}/{len(checks)}"))
    except (GoogleAuthError, exceptions.GoogleAPIError) as error:
        tell(f"smoke_bigquery: {said(error)}")  # of the datasets: a check raises nothing
        return 2
    show(outcomes, project, markdown=options.format == "markdown")
    verdicts = {outcome.verdict for outcome in outcomes}
    if Verdict.DIFFERS in verdicts:
        return 1
    return 3 if Verdict.NOT_TRIED in verdicts else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Try on a real project what expmon rests on and no emulator shows. "
        "It costs a few cents at most and takes about ten minutes."
    )
    parser.add_argument("--project", required=True, help="where jobs run and the datasets are made")
    parser.add_argument("--location", default="US", help="of the datasets; by default US")
    parser.add_argument(
        "--dataset",
        default=f"expmon_smoke_{uuid.uuid4().hex[:8]}",
        help="the temporary dataset, which must not be there yet; a second one is named after it",
    )
    parser.add_argument("--bucket", help="a bucket of Cloud Storage, to try that too")
    parser.add_argument(
        "--keep", action="store_true", help="leave the datasets; their tables expire after a day"
    )
    parser.add_argument("--format", choices=("table", "markdown"), default="table")
    return parser.parse_args(arguments)


@contextlib.contextmanager
def connected(options: argparse.Namespace) -> Iterator[Project]:
    """The clients, with the caller's own credentials, or of emulators."""
    is_emulated = "BIGQUERY_EMULATOR_HOST" in os.environ
    credentials = AnonymousCredentials() if is_emulated else None
    dataset = f"{options.project}.{options.dataset}"
    with contextlib.ExitStack() as closing:
        reader = _reader()
        closing.enter_context(reader)
        client = closing.enter_context(
            bigquery.Client(options.project, credentials, location=options.location)
        )
        bucket = None
        if options.bucket is not None:
            files = storage.Client(options.project, credentials)
            closing.callback(files.close)
            bucket = files.bucket(options.bucket)
        yield Project(
            client=client,
            reader=reader,
            dataset=dataset,
            other_dataset=f"{dataset}_other",
            bucket=bucket,
            folder=f"{options.dataset}/",
            today=datetime.now(UTC).date(),
        )


def _reader() -> bigquery_storage.BigQueryReadClient:
    """The client of the Storage Read API."""
    if target := os.environ.get("BIGQUERY_STORAGE_EMULATOR_HOST"):
        unlimited = [("grpc.max_receive_message_length", -1)]  # as of the client's own channels
        channel = grpc.insecure_channel(target, unlimited)
        transport = BigQueryReadGrpcTransport(channel=channel)
        return bigquery_storage.BigQueryReadClient(transport=transport)
    return bigquery_storage.BigQueryReadClient()


def tried(check: Check, project: Project, number: str) -> Outcome:
    """Ask a check, and go on whatever comes of it.

    What BigQuery or Cloud Storage refuses, where the check did not expect it, differs. Missing
    permissions, quotas, lost connections and mistakes of the check itself say nothing of either.
    """
    since = time.monotonic()
    try:
        answer = check.ask(project)
        verdict = Verdict.EXPECTED if answer.is_expected else Verdict.DIFFERS
        outcome = Outcome(check, answer.text, verdict)
    except NotTried as reason:
        outcome = Outcome(check, str(reason), Verdict.NOT_TRIED)
    except (exceptions.Forbidden, exceptions.Unauthorized, exceptions.TooManyRequests) as error:
        outcome = Outcome(check, said(error), Verdict.NOT_TRIED)
    except exceptions.ClientError as error:
        outcome = Outcome(check, said(error), Verdict.DIFFERS)
    except Exception as error:  # noqa: BLE001 - the others are to be tried all the same
        text = f"{type(error).__name__}: {said(error)}"
        outcome = Outcome(check, text, Verdict.NOT_TRIED)
    tell(f"{number} {check.name}: {outcome.verdict} ({time.monotonic() - since:.1f} s)")
    return outcome


def show(outcomes: Sequence[Outcome], project: Project, *, markdown: bool) -> None:
    """Print the table, what rests on the answers that are not as expected, and the cost."""
    rows = [(o.check.name, o.check.expected, o.answer, str(o.verdict)) for o in outcomes]
    header = ("check", "expected", "answer", "verdict")
    if markdown:
        for row in (header, ("---",) * len(header), *rows):
            print("|", " | ".join(cell.replace("|", "\\|") for cell in row), "|")
    else:
        _print_table(header, rows)
    print()
    for outcome in outcomes:
        if outcome.verdict is not Verdict.EXPECTED:
            print(f"{outcome.check.name}, {outcome.verdict}: {outcome.check.needed}")
    counts = [f"{sum(o.verdict is v for o in outcomes)} {v}" for v in Verdict]
    billed = sum(project.billed)
    dollars = billed / 2**40 * DOLLARS_PER_TIB
    print(f"{len(outcomes)} checks: {', '.join(counts)}.")
    print(f"{len(project.billed)} jobs, {billed / 2**20:.0f} MB billed: about ${dollars:.4f}.")


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=box.HORIZONTALS, show_lines=True)
    for title, ratio in zip(header, (2, 4, 5, None), strict=True):
        table.add_column(title, ratio=ratio, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    width = max(shutil.get_terminal_size((140, 24)).columns, 100)
    Console(width=width).print(table)


if __name__ == "__main__":
    sys.exit(main())
