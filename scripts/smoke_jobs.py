"""The smoke checks of what jobs do: their end, the lease, the memo, and a few words of SQL."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from google.api_core import exceptions
from google.cloud import bigquery
from smoke_project import SECONDS, Answer, NotTried, Project, day_of, no_row, rows, said

if TYPE_CHECKING:
    from datetime import datetime

SHORT = 5.0
"""Seconds that the slow query has."""
GRACE = 30.0
"""Seconds after which a job that should have ended by itself is given up."""
SLOW = """
SELECT CURRENT_TIMESTAMP() AS window_start, 'a' AS branch, COUNTIF(MOD(a * b, 1009) = 7) AS count
FROM UNNEST(GENERATE_ARRAY(1, 300000)) AS a CROSS JOIN UNNEST(GENERATE_ARRAY(1, 300000)) AS b
"""
RUNNERS = 5


def job_timeout(project: Project) -> Answer:
    """A job that takes too long is ended by BigQuery, and writes nothing."""
    table = project.filled("job_timeout")
    since = time.monotonic()
    job = project.begin(SLOW, destination=table, seconds=SHORT)
    try:
        project.finish(job, GRACE)
    except TimeoutError:
        return Answer(f"still running after {GRACE:g} s", is_expected=False)
    except exceptions.GoogleAPICallError as error:
        waited = time.monotonic() - since
        counts = project.counts(table)
        text = f"ended after {waited:.1f} s of {SHORT:g}; {said(error)}; counts {counts}"
        return Answer(text, counts == [1, 2, 3])
    raise NotTried(f"the slow query was done in {time.monotonic() - since:.1f} s")


def lease(project: Project) -> Answer:
    """Several runs take the lease at once: one gets it."""
    schema = [
        bigquery.SchemaField("branch", "STRING"),  # what every table here is clustered by
        bigquery.SchemaField("run_id", "STRING"),
        bigquery.SchemaField("expires_at", "TIMESTAMP"),
    ]
    table = project.made("lease", schema=schema)
    project.rows(f"INSERT INTO `{table}` (run_id, expires_at) VALUES (NULL, NULL)")
    gate = threading.Barrier(RUNNERS)

    def take(number: int) -> int | str:
        gate.wait(SECONDS)
        try:
            return _taken(project, table, f"run {number}")
        except exceptions.GoogleAPICallError as error:
            return said(error)

    with ThreadPoolExecutor(RUNNERS) as pool:
        outcomes = list(pool.map(take, range(RUNNERS)))
    holder = project.rows(f"SELECT run_id FROM `{table}`")
    takers = [(f"run {number}",) for number, taken in enumerate(outcomes) if taken == 1]
    affected = sorted((taken for taken in outcomes if isinstance(taken, int)), reverse=True)
    refused = [taken for taken in outcomes if isinstance(taken, str)]
    text = f"changed rows: {affected}; failed: {len(refused)}"
    text += f" ({refused[0]})" if refused else ""
    return Answer(text, len(takers) == 1 and holder == takers and set(affected) <= {0, 1})


def _taken(project: Project, table: str, run: str) -> int | str:
    """How many rows a run changed by taking the lease."""
    job = project.begin(
        f"UPDATE `{table}` SET run_id = @run_id, "
        "expires_at = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL @seconds SECOND) "
        "WHERE run_id IS NULL OR run_id = @run_id OR expires_at <= CURRENT_TIMESTAMP()",
        parameters=[
            bigquery.ScalarQueryParameter("run_id", "STRING", run),
            bigquery.ScalarQueryParameter("seconds", "INT64", 900),
        ],
    )
    project.finish(job)
    affected = job.num_dml_affected_rows
    return "the job does not tell how many rows it changed" if affected is None else affected


def partitions_of_two(project: Project) -> Answer:
    """One query tells the partitions of tables of two datasets, and costs next to nothing."""
    project.filled("partitions_of_two", "DAY")
    project.filled("partitions_of_two", "DAY", dataset=project.other_dataset)
    query = " UNION ALL ".join(
        "SELECT table_schema, partition_id, total_rows, last_modified_time "
        f"FROM `{dataset}`.INFORMATION_SCHEMA.PARTITIONS "
        "WHERE table_name IN ('partitions_of_two', 'another')"
        for dataset in (project.dataset, project.other_dataset)
    )
    job = project.begin(query)
    found = {(row[0], row[1]): row[2] for row in project.finish(job)}
    expected = {
        (dataset.split(".")[1], f"{day:%Y%m%d}"): count
        for dataset in (project.dataset, project.other_dataset)
        for day, count in ((project.first_day, 2), (project.second_day, 1))
    }
    text = f"{len(found)} partitions of 2 datasets; {(job.total_bytes_billed or 0) / 2**20:g} MB"
    return Answer(text, found == expected and (job.total_bytes_billed or 0) <= 20 * 2**20)


def merge_with_partitions(project: Project) -> Answer:
    """The memo is merged from parameters joined with PARTITIONS; entries that expired go."""
    written = project.filled("merge_written", "DAY")
    project.write(no_row(), day_of(written, project.second_day))
    first, second = f"{project.first_day:%Y%m%d}", f"{project.second_day:%Y%m%d}"
    schema = [
        bigquery.SchemaField(name, kind)
        for name, kind in (
            *(("branch", "STRING"), ("partition", "STRING"), ("job_id", "STRING")),
            *(("rows", "INT64"), ("modified_at", "TIMESTAMP")),
        )
    ]
    memo = project.made("merge_memo", schema=schema)
    project.rows(
        f"INSERT INTO `{memo}` (`partition`, job_id, `rows`) "
        f"VALUES ('{first}', 'old', 1), ('20000101', 'old', 1), ('29990101', 'old', 1)"
    )
    entries = bigquery.ArrayQueryParameter(
        "written", "STRUCT", [_entry(first, 2), _entry(second, 0)]
    )
    project.finish(project.begin(_merge(memo, written), parameters=[entries]))
    found = project.rows(f"SELECT `partition`, job_id, modified_at FROM `{memo}` ORDER BY 1")
    times: dict[str, datetime] = {row[0]: row[2] for row in found if row[1] == "new"}
    kept = [(row[0], row[1]) for row in found]
    text = "; ".join(f"{partition} {job}" for partition, job in kept)
    is_right = kept == [(first, "new"), (second, "new"), ("29990101", "old")]
    modified = project.partitions(written)[first][1]
    return Answer(text, is_right and times[first] == modified)


def _entry(partition: str, count: int) -> bigquery.StructQueryParameter:
    return bigquery.StructQueryParameter(
        None,
        bigquery.ScalarQueryParameter("partition", "STRING", partition),
        bigquery.ScalarQueryParameter("job_id", "STRING", "new"),
        bigquery.ScalarQueryParameter("rows", "INT64", count),
    )


def _merge(memo: str, written: str) -> str:
    dataset, _, table = written.rpartition(".")
    return f"""
MERGE INTO `{memo}` AS memo
USING (
  WITH there AS (
    SELECT COALESCE(partition_id, '') AS `partition`, last_modified_time AS modified_at
    FROM `{dataset}`.INFORMATION_SCHEMA.PARTITIONS
    WHERE table_name IN ('{table}')
  )
  SELECT written.`partition`, written.job_id, written.`rows`,
    IF(written.`rows` = 0, CURRENT_TIMESTAMP(), there.modified_at) AS modified_at
  FROM UNNEST(@written) AS written
  LEFT JOIN there ON there.`partition` = written.`partition`
) AS fresh
ON memo.`partition` = fresh.`partition`
WHEN MATCHED THEN UPDATE SET
  job_id = fresh.job_id, `rows` = fresh.`rows`, modified_at = fresh.modified_at
WHEN NOT MATCHED THEN INSERT (`partition`, job_id, `rows`, modified_at)
  VALUES (fresh.`partition`, fresh.job_id, fresh.`rows`, fresh.modified_at)
WHEN NOT MATCHED BY SOURCE AND memo.`partition` < '20010101' THEN DELETE
"""


DOCUMENTS = {
    '{"sum": 7}': "7",
    '{"sum": 7, "x": ': None,
    '{"sum": 7,}': None,
    '{"sum": 7, "x": NaN}': None,
    '{"sum": 7, "x": 1e400}': None,
    '{"sum": 7, "x": 0.12345678901234567890123}': "7",
    "7": None,
    "": None,
}
"""Documents and the sums that count (decision 0005)."""


def broken_json(project: Project) -> Answer:
    """Of a broken document nothing counts, whatever stands before the break."""
    documents = bigquery.ArrayQueryParameter("documents", "STRING", list(DOCUMENTS))
    found = dict(
        project.rows(
            "SELECT document, JSON_VALUE(SAFE.PARSE_JSON(document, wide_number_mode => 'round'), "
            "'$.sum') FROM UNNEST(@documents) AS document",
            documents,
        )
    )
    wrong = {document: found[document] for document in DOCUMENTS if _differs(found, document)}
    text = f"otherwise: {wrong}" if wrong else f"all {len(DOCUMENTS)} documents so"
    return Answer(text, not wrong)


def _differs(found: dict[str, str | None], document: str) -> bool:
    return found[document] != DOCUMENTS[document]


def truncated_text(project: Project) -> Answer:
    """What the decision avoids: JSON_VALUE of the text itself counts what precedes the break."""
    text = bigquery.ScalarQueryParameter("text", "STRING", '{"sum": 7, "x": ')
    [(value,)] = project.rows("SELECT JSON_VALUE(@text, '$.sum')", text)
    return Answer(f"{value!r}", value in {"7", None})


def bucket(project: Project) -> Answer:
    """A window holds the microsecond before its end, and not its end."""
    [row] = project.rows(
        "SELECT FORMAT_TIMESTAMP('%H:%M:%E6S', TIMESTAMP_BUCKET(TIMESTAMP "
        "'2021-01-26 00:04:59.999999+00', INTERVAL 5 MINUTE)), FORMAT_TIMESTAMP('%H:%M:%E6S', "
        "TIMESTAMP_BUCKET(TIMESTAMP '2021-01-26 00:05:00+00', INTERVAL 5 MINUTE))"
    )
    return Answer(" and ".join(row), row == ("00:00:00.000000", "00:05:00.000000"))


def qualify(project: Project) -> Answer:
    """QUALIFY needs no WHERE beside it."""
    found = project.rows(
        f"SELECT count FROM ({rows((project.at(0), 1), (project.at(1), 2))}) "
        "QUALIFY ROW_NUMBER() OVER (PARTITION BY branch ORDER BY window_start DESC) = 1"
    )
    return Answer(f"counts {[row[0] for row in found]}", found == [(2,)])
