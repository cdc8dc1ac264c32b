"""The smoke checks of partitions: what replaces them, and what BigQuery then says of them."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from google.api_core import exceptions
from google.cloud import bigquery
from smoke_project import (
    COLUMNS,
    RETRY,
    SCHEMA,
    SECONDS,
    Answer,
    Project,
    day_of,
    no_row,
    rows,
    said,
)

if TYPE_CHECKING:
    from datetime import datetime

VISIBLE_WITHIN = 60.0
"""PARTITIONS is asked for so many seconds whether it shows a write."""


def day_partition(project: Project) -> Answer:
    """A day is replaced as a whole, and no other day touched."""
    table = project.filled("day_partition", "DAY")
    project.write(rows((project.at(12), 9)), day_of(table, project.first_day))
    counts = project.counts(table)
    return Answer(f"counts {counts}", counts == [9, 3])


def hour_partition(project: Project) -> Answer:
    """The same of an hour, whose decorator has ten digits."""
    table = project.filled("hour_partition", "HOUR")
    project.write(rows((project.at(23, 30), 9)), f"{table}${project.first_day:%Y%m%d}23")
    counts = project.counts(table)
    return Answer(f"counts {counts}", counts == [1, 9, 3])


def missing_table(project: Project) -> Answer:
    """A destination that is not there is not made: a job would make it without partitions."""
    table = f"{project.dataset}.missing_table"
    try:
        project.write(rows((project.at(12), 9)), day_of(table, project.first_day))
    except exceptions.NotFound as error:
        return Answer(said(error), is_expected=True)
    return Answer("the job did not fail", is_expected=False)


def emptied_partition(project: Project) -> Answer:
    """A partition that had rows and is replaced by none."""
    table = project.filled("emptied_partition", "DAY")
    project.write(no_row(), day_of(table, project.first_day))
    counts = project.counts(table)
    shown = _shown(project, table)
    return Answer(f"counts {counts}; PARTITIONS: {shown}", counts == [3] and shown in _EMPTY)


def never_written_partition(project: Project) -> Answer:
    """A partition that never was there and is replaced by no row."""
    table = project.made("never_written_partition", "DAY")
    project.write(no_row(), day_of(table, project.first_day))
    shown = _shown(project, table)
    return Answer(f"the job is done; PARTITIONS: {shown}", shown in _EMPTY)


_EMPTY = ("no entry", "total_rows 0")


def _shown(project: Project, table: str) -> str:
    """What PARTITIONS says of the first day."""
    found = project.partitions(table).get(f"{project.first_day:%Y%m%d}")
    return "no entry" if found is None else f"total_rows {found[0]}"


def foreign_row(project: Project) -> Answer:
    """A row of the day after among those for a day."""
    table = project.filled("foreign_row", "DAY")
    both = rows((project.at(12), 9), (project.at(0, day=project.second_day), 9))
    return _refused(project, table, both, [1, 2, 3])


def required_column(project: Project) -> Answer:
    """A query's columns are NULLABLE, whatever is in them."""
    schema = [*SCHEMA[:2], bigquery.SchemaField("count", "INT64", mode="REQUIRED")]
    table = project.made("required_column", "DAY", schema=schema)
    return _refused(project, table, rows((project.at(12), 9)), [])


def _refused(project: Project, table: str, sql: str, counts: list[int]) -> Answer:
    """Whether BigQuery refuses the rows for the first day and leaves the table as it was."""
    try:
        project.write(sql, day_of(table, project.first_day))
        answer = "the job did not fail"
    except exceptions.BadRequest as error:
        answer = said(error)
    found = project.counts(table)
    untouched = found == counts
    text = answer if untouched else f"{answer}; counts {found}"
    return Answer(text, untouched and answer != "the job did not fail")


def kept_description(project: Project) -> Answer:
    """What a job that writes one partition leaves of what is said about the table."""
    table = project.filled("kept_description", "DAY")
    before = described(project, table)
    project.write(rows((project.at(12), 9)), day_of(table, project.first_day))
    return _comparison(before, described(project, table))


def truncate_data(project: Project) -> Answer:
    """A whole table whose rows alone are replaced."""
    table = project.filled("truncate_data")
    before = described(project, table)
    project.write(rows((project.at(12), 9)), table, disposition="WRITE_TRUNCATE_DATA")
    counts = project.counts(table)
    answer = _comparison(before, described(project, table))
    return Answer(f"counts {counts}; {answer.text}", answer.is_expected and counts == [9])


def truncate(project: Project) -> Answer:
    """A whole table that is replaced with its schema: why WRITE_TRUNCATE_DATA is worth it."""
    table = project.filled("truncate")
    before = described(project, table)
    project.write(rows((project.at(12), 9)), table)
    after = described(project, table)
    return Answer(_comparison(before, after).text, after["columns"] != before["columns"])


def described(project: Project, table: str) -> dict[str, object]:
    """What is said about a table, beside its rows."""
    found = project.table(table)
    return {
        "description": found.description,
        "columns": [field.description for field in found.schema],
        "clustering": found.clustering_fields,
        "labels": found.labels,
    }


def _comparison(before: dict[str, object], after: dict[str, object]) -> Answer:
    lost = [name for name, value in before.items() if after[name] != value]
    kept = [name for name in before if name not in lost]
    parts = [f"kept: {', '.join(kept) or 'nothing'}"]
    parts += [f"lost: {', '.join(lost)}"] if lost else []
    return Answer("; ".join(parts), not lost)


def modified_after_start(project: Project) -> Answer:
    """The time of a written partition lies after the start of the job that wrote it."""
    table = project.filled("modified_after_start", "DAY")
    job = project.write(rows((project.at(12), 9)), day_of(table, project.first_day))
    started, ended = job.started, job.ended
    if started is None or ended is None:
        return Answer("the job does not tell when it started and ended", is_expected=False)
    _, modified = project.partitions(table)[f"{project.first_day:%Y%m%d}"]
    offsets = [f"{(modified - moment).total_seconds():+.3f} s" for moment in (started, ended)]
    whole = "milliseconds" if modified.microsecond % 1000 == 0 else "microseconds"
    text = f"{offsets[0]} from the job's start, {offsets[1]} from its end; in {whole}"
    return Answer(text, modified >= started)


def visible_at_once(project: Project) -> Answer:
    """A write shows in the first query after its job: the memo is merged right then."""
    table = project.filled("visible_at_once", "DAY")
    partition = f"{project.first_day:%Y%m%d}"
    old = _settled(project, table, partition)
    job = project.write(rows((project.at(12), 9)), day_of(table, project.first_day))
    since = time.monotonic()
    for look in range(1, 1000):
        count, modified = project.partitions(table).get(partition, (None, old))
        if count == 1 and modified > old:
            waited = time.monotonic() - since
            text = f"in query {look} after the job, {waited:.1f} s after it was done"
            return Answer(text, look == 1)
        if time.monotonic() - since > VISIBLE_WITHIN:
            break
        time.sleep(1)
    return Answer(f"not within {VISIBLE_WITHIN:g} s after job {job.job_id}", is_expected=False)


def whole_table(project: Project) -> Answer:
    """A table without partitions has one entry, whose partition_id is NULL."""
    table = project.filled("whole_table")
    found = {partition: count for partition, (count, _) in project.partitions(table).items()}
    return Answer(f"partition_id to total_rows: {found}", found == {None: 3})


def same_rows_again(project: Project) -> Answer:
    """A partition rewritten with the rows that it has gets a new time."""
    table = project.filled("same_rows_again", "DAY")
    partition, destination = f"{project.first_day:%Y%m%d}", day_of(table, project.first_day)
    project.write(rows((project.at(12), 9)), destination)
    before = _settled(project, table, partition)
    project.write(rows((project.at(12), 9)), destination)
    after = _settled(project, table, partition)
    return Answer(f"moved by {(after - before).total_seconds():.3f} s", after > before)


def deleted_rows(project: Project) -> Answer:
    """Whether deleting rows moves the time; the documentation does not promise it."""
    table = project.filled("deleted_rows", "DAY")
    partition = f"{project.first_day:%Y%m%d}"
    before = _settled(project, table, partition)
    day = f"{project.second_day:%Y-%m-%d}"
    project.rows(f"DELETE FROM `{table}` WHERE count = 2 AND window_start < '{day}'")
    after = _settled(project, table, partition)
    count = project.partitions(table)[partition][0]
    moved = "moved" if after > before else "stayed"
    return Answer(f"the time {moved}; total_rows {count}", count == 1)


def unchanged(project: Project) -> Answer:
    """Nobody writes, so that no time moves, and neither reading nor a label is writing."""
    table = project.filled("unchanged", "DAY")
    _settled(project, table, f"{project.first_day:%Y%m%d}")
    before = project.partitions(table)
    project.rows(f"SELECT {COLUMNS} FROM `{table}`")
    project.label(table, "relabelled")
    other_day = rows((project.at(12, day=project.second_day), 9))
    project.write(other_day, day_of(table, project.second_day))
    time.sleep(5)
    after = project.partitions(table)
    first, second = f"{project.first_day:%Y%m%d}", f"{project.second_day:%Y%m%d}"
    stayed, moved = after[first] == before[first], after[second] != before[second]
    text = (
        f"the one left alone {'stayed' if stayed else 'moved'}, "
        f"its written neighbour {'moved' if moved else 'stayed'}"
    )
    return Answer(text, stayed and moved)


def _settled(project: Project, table: str, partition: str) -> datetime:
    """The time of a partition, once PARTITIONS says the same twice."""
    _, known = project.partitions(table)[partition]
    for _ in range(30):
        time.sleep(1)
        _, now = project.partitions(table)[partition]
        if now == known:
            break
        known = now
    return known


def job_id_twice(project: Project) -> Answer:
    """A job's id is taken once, and whoever was too late finds the job."""
    table = project.filled("job_id_twice", "DAY")
    job_id = f"expmon_smoke_{uuid.uuid4().hex}"
    destination = day_of(table, project.first_day)
    first = project.begin(rows((project.at(12), 9)), destination=destination, job_id=job_id)
    since = time.monotonic()
    try:
        project.begin(rows((project.at(13), 8)), destination=destination, job_id=job_id)
        answer, refused = "a second job was taken", False
    except exceptions.Conflict as error:
        answer, refused = f"{error.code} {said(error)}", True
    found = project.client.get_job(job_id, retry=RETRY, timeout=SECONDS)
    waited = time.monotonic() - since
    project.finish(first)
    counts = project.counts(table)
    text = f"{answer}; get_job: {found.state}, {waited:.1f} s after the first; counts {counts}"
    return Answer(text, refused and counts == [9, 3])
