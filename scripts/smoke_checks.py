"""The smoke checks in their order: what expmon rests on, why, and the answer that it needs."""

from __future__ import annotations

import smoke_jobs as jobs
import smoke_partitions as partitions
import smoke_reading as reading
import smoke_statements as statements
from smoke_project import Check

CHECKS: tuple[Check, ...] = (
    Check(
        "day partition",
        "A step replaces exactly one partition, in one atomic job (DESIGN.md, 6).",
        "a job to t$YYYYMMDD (WRITE_TRUNCATE, CREATE_NEVER) replaces the day: counts [9, 3]",
        partitions.day_partition,
    ),
    Check(
        "hour partition",
        "The same of the hourly tables (DESIGN.md, 1 and 6).",
        "a job to t$YYYYMMDDHH replaces the hour: counts [1, 9, 3]",
        partitions.hour_partition,
    ),
    Check(
        "missing table",
        "A table that is not there is for `deploy` to make, with its partitions (DESIGN.md, 8).",
        "the job fails: notFound",
        partitions.missing_table,
    ),
    Check(
        "emptied partition",
        "An hour or a day that is truly empty is done: of an entry of the memo with 0 rows "
        "PARTITIONS must not say the contrary (DESIGN.md, 6).",
        "the rows are gone: counts [3]; PARTITIONS has no entry or says total_rows 0",
        partitions.emptied_partition,
    ),
    Check(
        "never written partition",
        "The same of an hour that never had a row (DESIGN.md, 6).",
        "the job is done; PARTITIONS has no entry or says total_rows 0",
        partitions.never_written_partition,
    ),
    Check(
        "foreign row",
        "A mistake of the planner's must not write a row elsewhere: a safety net (DESIGN.md, 10).",
        "the job fails, and nothing is written",
        partitions.foreign_row,
    ),
    Check(
        "required column",
        "Why every column of expmon's tables is NULLABLE (DESIGN.md, 10).",
        "the job fails: a query's columns are NULLABLE; nothing is written",
        partitions.required_column,
    ),
    Check(
        "kept description",
        "A job that writes a partition names no clustering or schema of its own (DESIGN.md, 10).",
        "the table's description, columns', clustering and labels are kept",
        partitions.kept_description,
    ),
    Check(
        "truncate data",
        "Recents are replaced as a whole, every five minutes (DESIGN.md, 10).",
        "WRITE_TRUNCATE_DATA replaces the rows alone: counts [9]; all that is said is kept",
        partitions.truncate_data,
    ),
    Check(
        "truncate",
        "Why WRITE_TRUNCATE_DATA is used; if nothing is lost, it need not be (DESIGN.md, 10).",
        "WRITE_TRUNCATE of a whole table loses the columns' descriptions",
        partitions.truncate,
    ),
    Check(
        "modified after start",
        "What is stale is told by comparing an input's time with a job's start (DESIGN.md, 6).",
        "a partition's time is not before the start of the job that wrote it",
        partitions.modified_after_start,
    ),
    Check(
        "visible at once",
        "The memo takes the partitions' times right after their jobs (DESIGN.md, 6).",
        "PARTITIONS shows a write in the first query after the job",
        partitions.visible_at_once,
    ),
    Check(
        "whole table",
        "Recents and the tables of metadata have an entry too (DESIGN.md, 6).",
        "one entry, whose partition_id is NULL",
        partitions.whole_table,
    ),
    Check(
        "same rows again",
        "A partition rewritten by hand makes what depends on it stale (DESIGN.md, 6).",
        "the time moves",
        partitions.same_rows_again,
    ),
    Check(
        "deleted rows",
        "Told, not needed: whether deletions for privacy make days stale (DESIGN.md, 6).",
        "total_rows 1; the time moves or stays (the documentation leaves it open)",
        partitions.deleted_rows,
    ),
    Check(
        "unchanged",
        "The memo holds while a partition's time stays; else every run would rewrite all "
        "(DESIGN.md, 6).",
        "the time of a partition that nobody writes stays, whatever is written beside it, and "
        "whatever its table is labelled",
        partitions.unchanged,
    ),
    Check(
        "job id twice",
        "A job sent again after a lost answer must not run twice (DESIGN.md, 6).",
        "409, and get_job finds the first, whose rows stay: counts [9, 3]",
        partitions.job_id_twice,
    ),
    Check(
        "lease",
        "The lease: one changed row means that it is taken (DESIGN.md, 6).",
        "of 5 UPDATEs at once one changes 1 row; the others change 0, or fail",
        jobs.lease,
    ),
    Check(
        "partitions of two datasets",
        "All partitions that a plan needs are read by one query (DESIGN.md, 6).",
        "a UNION ALL over two datasets, tables by name, is answered, for 20 MB at most",
        jobs.partitions_of_two,
    ),
    Check(
        "merge with partitions",
        "The memo is merged in one statement that reads PARTITIONS (DESIGN.md, 6).",
        "accepted: one entry updated, one made, one dropped, one kept; the time is PARTITIONS' own",
        jobs.merge_with_partitions,
    ),
    Check(
        "broken JSON",
        "Searches of a broken document don't count (docs/decisions/0005).",
        "SAFE.PARSE_JSON of broken documents is NULL, and rounds wide numbers",
        jobs.broken_json,
    ),
    Check(
        "truncated text",
        "Told, not needed: what JSON_VALUE would make of it unparsed (docs/decisions/0005).",
        "'7' or None: engines differ",
        jobs.truncated_text,
    ),
    Check(
        "bucket",
        "Windows are half open, to the microsecond (DESIGN.md, 2).",
        "TIMESTAMP_BUCKET puts 00:04:59.999999 into 00:00, and 00:05:00 into 00:05",
        jobs.bucket,
    ),
    Check(
        "qualify",
        "The last value of a half hour is chosen by QUALIFY (DESIGN.md, 7 and 10).",
        "QUALIFY without WHERE is accepted: counts [2]",
        jobs.qualify,
    ),
    Check(
        "view by Storage API",
        "`fetch` reads the result of a query, not the view (DESIGN.md, 10).",
        "a read session of a view is refused",
        reading.view_by_storage_api,
    ),
    Check(
        "ordered result",
        "`fetch_dataframe` gives rows in order, and reads them through one stream (DESIGN.md, 10).",
        "a query's result is read through one stream, in its order",
        reading.ordered_result,
    ),
    Check(
        "stale access list",
        "`deploy` lets the users' views read the tables; it must not undo what others change then.",
        "412 for a list that was read before another change; the authorised view reads 3 rows",
        reading.stale_access,
    ),
    Check(
        "statements accepted",
        "Tests run statements on Google's open-source engine, which takes some that BigQuery "
        "refuses (DESIGN.md, 10).",
        "a dry run of every statement is accepted; views are made",
        statements.accepted,
    ),
    Check(
        "statements run",
        "What a statement gives fits the partition that it is for (DESIGN.md, 6 and 10).",
        "every statement that computes a table runs into it",
        statements.run,
    ),
    Check(
        "bookkeeping run",
        "The memo, the lease and the table of experiments are kept by statements (DESIGN.md, 6).",
        "each of these statements runs",
        statements.bookkeeping_run,
    ),
    Check(
        "object made once",
        "An export claims its turn by an upload under a precondition (DESIGN.md, 7).",
        "412 for a second upload with if_generation_match=0; the object holds 'first'",
        reading.made_once,
    ),
    Check(
        "wrong checksum",
        "Files appear whole or not at all (DESIGN.md, 7).",
        "400, and no object",
        reading.wrong_checksum,
    ),
    Check(
        "soft delete",
        "Told, not needed: files are replaced every five minutes, and soft delete, which buckets "
        "have unless it is turned off, keeps and bills each of them.",
        "off, or so many days for which replaced files are kept",
        reading.soft_delete,
    ),
    # The last, since a server that does not end the job goes on with it.
    Check(
        "job timeout",
        "Jobs time out sooner than the lease (DESIGN.md, 6).",
        "a job with job_timeout_ms is ended soon after it; nothing is written",
        jobs.job_timeout,
    ),
)
