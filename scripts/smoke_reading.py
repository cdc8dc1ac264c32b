"""The smoke checks of reading, of views and who may use them, and of Cloud Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from google.api_core import exceptions
from google.cloud import bigquery, bigquery_storage
from smoke_project import (
    COLUMNS,
    RETRY,
    SECONDS,
    STREAM_RETRY,
    UPLOAD_RETRY,
    Answer,
    NotTried,
    Project,
    said,
)

if TYPE_CHECKING:
    from google.cloud import storage

MANY = 200_000
"""Rows enough for more than one answer of the Storage Read API."""


def view_by_storage_api(project: Project) -> Answer:
    """The Storage Read API reads no views: `fetch` has to read the result of a query."""
    table = project.filled("viewed_by_storage_api", "DAY")
    view = _view(project, "view_by_storage_api", table, project.dataset)
    try:
        _session(project, view.reference)
    except exceptions.GoogleAPICallError as error:
        return Answer(said(error), is_expected=True)
    return Answer("it was read", is_expected=False)


def ordered_result(project: Project) -> Answer:
    """The result of an ordered query comes in its order through one stream."""
    job = project.begin(
        "SELECT number, REPEAT('x', 100) AS text "
        f"FROM UNNEST(GENERATE_ARRAY(1, {MANY})) AS number ORDER BY number DESC"
    )
    job.result(retry=RETRY, timeout=SECONDS, job_retry=None, max_results=0)
    if job.destination is None:
        return Answer("the job has no table of its result", is_expected=False)
    session = _session(project, job.destination)
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    found: list[int] = []
    answers = 0
    for stream in session.streams:
        for answer in project.reader.read_rows(stream.name, retry=STREAM_RETRY, timeout=SECONDS):
            batch = pa.py_buffer(answer.arrow_record_batch.serialized_record_batch)
            found += pa.ipc.read_record_batch(batch, schema)["number"].to_pylist()
            answers += 1
    ordered = found == list(range(MANY, 0, -1))
    text = (
        f"{len(found)} rows in {answers} answers of {len(session.streams)} stream(s), "
        f"{'in order' if ordered else 'out of order'}"
    )
    return Answer(text, ordered)


def _session(project: Project, table: bigquery.TableReference) -> bigquery_storage.ReadSession:
    path = f"projects/{table.project}/datasets/{table.dataset_id}/tables/{table.table_id}"
    return project.reader.create_read_session(
        parent=f"projects/{project.client.project}",
        read_session=bigquery_storage.ReadSession(
            table=path, data_format=bigquery_storage.DataFormat.ARROW
        ),
        max_stream_count=1,
        retry=STREAM_RETRY,
        timeout=SECONDS,
    )


def _view(project: Project, name: str, table: str, dataset: str) -> bigquery.Table:
    view = bigquery.Table(f"{dataset}.{name}")
    view.view_query = f"SELECT {COLUMNS} FROM `{table}`"
    return project.client.create_table(view, retry=RETRY, timeout=SECONDS)


def stale_access(project: Project) -> Answer:
    """A dataset's access list is changed only as it was read, or an entry of others is lost."""
    table = project.filled("shared", "DAY")
    view = _view(project, "sharing", table, project.other_dataset)
    current, stale = _dataset(project), _dataset(project)
    _authorise(current, view)
    changed = project.client.update_dataset(
        current, ["access_entries"], retry=RETRY, timeout=SECONDS
    )
    _authorise(stale, _view(project, "sharing_too", table, project.other_dataset))
    try:
        project.client.update_dataset(stale, ["access_entries"], retry=RETRY, timeout=SECONDS)
        answer, refused = "the stale list was taken", False
    except exceptions.PreconditionFailed as error:
        answer, refused = f"{error.code} {said(error)}", True
    views = [e for e in _dataset(project).access_entries if e.entity_type == "view"]
    read = len(project.rows(f"SELECT {COLUMNS} FROM `{view.full_table_id.replace(':', '.')}`"))
    text = f"{answer}; {len(views)} view authorised; {read} rows through it"
    return Answer(text, refused and changed.etag != stale.etag and (len(views), read) == (1, 3))


def _dataset(project: Project) -> bigquery.Dataset:
    return project.client.get_dataset(project.dataset, retry=RETRY, timeout=SECONDS)


def _authorise(dataset: bigquery.Dataset, view: bigquery.Table) -> None:
    entry = bigquery.AccessEntry(None, "view", view.reference.to_api_repr())
    dataset.access_entries = [*dataset.access_entries, entry]


# Cloud Storage


def made_once(project: Project) -> Answer:
    """An object that must not be there yet is made once: so exports claim their turn."""
    _upload(_blob(project, "claim"), "first")
    try:
        _upload(_blob(project, "claim"), "second")
        answer, refused = "a second upload was taken", False
    except exceptions.PreconditionFailed as error:
        answer, refused = f"{error.code}", True
    text = _blob(project, "claim").download_as_text(retry=UPLOAD_RETRY, timeout=SECONDS)
    return Answer(f"{answer}; the object holds {text!r}", refused and text == "first")


def wrong_checksum(project: Project) -> Answer:
    """Content that was damaged on its way is refused."""
    blob = _blob(project, "damaged")
    blob.crc32c = "AAAAAA=="
    try:
        blob.upload_from_string("{}", checksum=None, retry=UPLOAD_RETRY, timeout=SECONDS)
        answer, refused = "it was taken", False
    except exceptions.BadRequest as error:
        answer, refused = f"{error.code} {said(error)}", True
    return Answer(
        answer, refused and not _blob(project, "damaged").exists(retry=RETRY, timeout=SECONDS)
    )


def soft_delete(project: Project) -> Answer:
    """For how long the bucket keeps, and bills, what exports have replaced."""
    bucket = _bucket(project)
    bucket.reload(retry=UPLOAD_RETRY, timeout=SECONDS)
    seconds = bucket.soft_delete_policy.retention_duration_seconds
    if seconds is None:
        raise NotTried("the bucket does not tell its soft delete policy")
    days = int(seconds) / (24 * 60 * 60)
    return Answer(f"kept for {days:g} days" if days else "off", is_expected=True)


def _bucket(project: Project) -> storage.Bucket:
    if project.bucket is None:
        raise NotTried("no --bucket was given")
    return project.bucket


def _blob(project: Project, name: str) -> storage.Blob:
    return _bucket(project).blob(f"{project.folder}{name}")


def _upload(blob: storage.Blob, text: str) -> None:
    blob.upload_from_string(text, if_generation_match=0, retry=UPLOAD_RETRY, timeout=SECONDS)
