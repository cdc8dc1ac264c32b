"""The script that tries a real project: its end on emulators, and what it does with the answers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from emulators import launch

SCRIPTS = Path(__file__).parents[1] / "scripts"
BUCKET = "smoke-bucket"

# What the emulators are known to answer otherwise than the real ones: the verdict and the answer.
KNOWN_DIFFERENCES = {
    # DuckDB's JSON has trailing commas, NaN, and numbers beyond FLOAT64 (docs/decisions/0005).
    "broken JSON": ("DIFFERS", "1e400"),
    # DuckDB reads a document as a whole before it looks for a value.
    "truncated text": ("DIFFERS", "Malformed JSON"),
    "job timeout": ("DIFFERS", "still running"),  # job_timeout_ms is ignored
}
KNOWN_OF_STORAGE = {
    "fake-gcs-server": {
        "wrong checksum": ("DIFFERS", "it was taken"),
        "soft delete": ("could not be tried", "does not tell"),
    },
    "gcp-storage-emulator": {
        "object made once": ("DIFFERS", "a second upload was taken"),
    },
}


@pytest.fixture
def smoke(monkeypatch):
    """The script, as a module."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import smoke_bigquery

    return smoke_bigquery


# On emulators


@pytest.fixture
def servers():
    with launch.required(launch.bigquery()) as warehouse, launch.required(launch.gcs()) as files:
        yield warehouse, files


def answers(text):
    """The rows of the table in Markdown: check to verdict and answer."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]
    assert cells[0] == ["check", "expected", "answer", "verdict"]
    return {name: (verdict, answer) for name, _, answer, verdict in cells[2:]}


@pytest.mark.slow
@pytest.mark.enable_socket
def test_every_check_is_answered_as_expected_but_for_the_known_differences(servers, smoke):
    warehouse, files = servers
    with contextlib.closing(client_of(files)) as client:
        client.create_bucket(BUCKET, timeout=20)
        done = run(warehouse, files)
        left_over = [blob.name for blob in client.list_blobs(BUCKET, timeout=20)]
    found = answers(done.stdout)
    assert list(found) == [check.name for check in smoke.CHECKS], done.stderr
    others = {name: found[name] for name in found if found[name][0] != "as expected"}
    known = {**KNOWN_DIFFERENCES, **KNOWN_OF_STORAGE[files.kind]}
    assert {name: verdict for name, (verdict, _) in others.items()} == {
        name: verdict for name, (verdict, _) in known.items()
    }
    assert [name for name in known if known[name][1] not in others[name][1]] == []
    assert done.returncode == 1
    assert left_over == []
    assert [name for name in datasets(warehouse) if "smoke" in name] == []


def client_of(files):
    return storage.Client(
        project="expmon-test",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": files.url},
    )


def run(warehouse, files):
    """The script in a process of its own, as people run it."""
    environment = {
        **os.environ,
        "BIGQUERY_EMULATOR_HOST": warehouse.rest_url,
        "BIGQUERY_STORAGE_EMULATOR_HOST": warehouse.grpc_target,
        "STORAGE_EMULATOR_HOST": files.url,
    }
    command = [sys.executable, str(SCRIPTS / "smoke_bigquery.py"), "--project", warehouse.project]
    return subprocess.run(
        [*command, "--bucket", BUCKET, "--format", "markdown"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def datasets(warehouse):
    with bigquery.Client(
        project=warehouse.project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": warehouse.rest_url},
    ) as client:
        return [entry.dataset_id for entry in client.list_datasets(timeout=20)]


# With a fake client


class Datasets:
    """A client that makes and deletes datasets, and runs nothing."""

    def __init__(self, there=(), *, deletes=True):
        self.there = list(there)
        self.made = []
        self.deletes = deletes

    def create_dataset(self, dataset, retry, timeout):
        if dataset.dataset_id in self.there:
            raise exceptions.Conflict(f"Already Exists: {dataset.dataset_id}")
        self.there.append(dataset.dataset_id)
        self.made.append(dataset)

    def delete_dataset(self, name, *, delete_contents, not_found_ok, retry, timeout):
        assert delete_contents
        if not self.deletes:
            raise exceptions.Forbidden("Permission bigquery.datasets.delete denied")
        self.there.remove(name.split(".")[1])


@pytest.fixture
def try_checks(smoke, capsys):
    """Run the script with some checks on a fake; its exit status, and what it printed."""

    def try_them(checks, client, *arguments):
        @contextlib.contextmanager
        def connect(options):
            dataset = f"{options.project}.{options.dataset}"
            yield smoke.Project(
                client=client,
                reader=None,
                dataset=dataset,
                other_dataset=f"{dataset}_other",
                bucket=None,
                folder="",
                today=date(2021, 1, 26),
            )

        command = ["--project", "p", "--dataset", "temporary", *arguments]
        status = smoke.main(command, checks=checks, connect=connect)
        return status, *capsys.readouterr()

    return try_them


@pytest.fixture
def check(smoke):
    """A check with a given answer, or which raises."""
    from smoke_project import Answer, Check

    def of(name, text="7", *, is_expected=True, error=None):
        def ask(project):
            if error is not None:
                raise error
            return Answer(text, is_expected)

        return Check(name, f"what rests on {name}", "7", ask)

    return of


def test_all_as_expected_gives_status_0(try_checks, check):
    status, out, _ = try_checks([check("first"), check("second")], Datasets())
    assert status == 0
    assert "2 checks: 2 as expected, 0 DIFFERS, 0 could not be tried." in out
    assert "what rests on" not in out


@pytest.mark.parametrize("format_", ["table", "markdown"])
def test_an_answer_that_differs_gives_status_1_and_is_shown(try_checks, check, format_):
    checks = [check("right"), check("wrong", "8 | 9", is_expected=False)]
    status, out, err = try_checks(checks, Datasets(), "--format", format_)
    assert status == 1
    row = next(line for line in out.splitlines() if "wrong" in line)
    assert "DIFFERS" in row
    assert ("8 \\| 9" if format_ == "markdown" else "8 | 9") in row
    assert "wrong, DIFFERS: what rests on wrong" in out
    assert "2/2 wrong: DIFFERS" in err


@pytest.mark.parametrize(
    ("error", "verdict", "status"),
    [
        (exceptions.BadRequest("Syntax error"), "DIFFERS", 1),
        (exceptions.NotFound("Not found: Table"), "DIFFERS", 1),
        (exceptions.Forbidden("Access Denied"), "could not be tried", 3),
        (exceptions.ServiceUnavailable("later"), "could not be tried", 3),
        (TimeoutError("still running"), "could not be tried", 3),
        (KeyError("20210126"), "could not be tried", 3),
    ],
)
def test_a_check_that_raises_is_reported_and_the_others_go_on(
    try_checks, check, error, verdict, status
):
    client = Datasets()
    found, out, _ = try_checks(
        [check("broken", error=error), check("next")], client, "--format", "markdown"
    )
    rows = answers(out)
    assert found == status
    assert rows["broken"][0] == verdict
    assert str(error.args[0]) in rows["broken"][1]
    assert rows["next"] == ("as expected", "7")
    assert client.there == []


def test_the_datasets_are_deleted_even_when_the_script_is_interrupted(try_checks, check):
    client = Datasets()
    with pytest.raises(KeyboardInterrupt):
        try_checks([check("slow", error=KeyboardInterrupt())], client)
    assert len(client.made) == 2
    assert client.there == []


def test_tables_expire_after_a_day_if_nobody_deletes_them(try_checks, check):
    client = Datasets()
    try_checks([check("first")], client, "--location", "EU")
    assert [(d.default_table_expiration_ms, d.location) for d in client.made] == [
        (24 * 60 * 60 * 1000, "EU")
    ] * 2


def test_what_can_not_be_deleted_is_told_and_the_answers_are_shown(try_checks, check):
    status, out, err = try_checks([check("first")], Datasets(deletes=False))
    assert status == 0
    assert "1 as expected" in out
    assert "p.temporary is left over" in err
    assert "p.temporary_other is left over" in err


@pytest.mark.parametrize("name", ["temporary", "temporary_other"])
def test_a_dataset_that_was_there_is_refused_and_stays(try_checks, check, name):
    client = Datasets([name])
    status, out, err = try_checks([check("first")], client)
    assert status == 2
    assert out == ""
    assert f"Already Exists: {name}" in err
    assert client.there == [name]


def test_the_datasets_stay_where_asked(try_checks, check):
    client = Datasets()
    try_checks([check("first")], client, "--keep")
    assert client.there == ["temporary", "temporary_other"]


def test_checks_of_cloud_storage_are_left_out_without_a_bucket(try_checks, check):
    checks = [check("first"), check("wrong checksum", is_expected=False)]
    status, out, _ = try_checks(checks, Datasets(), "--format", "markdown")
    assert status == 0
    assert list(answers(out)) == ["first"]


def test_what_was_billed_is_added_up(smoke, check, capsys):
    outcome = smoke.Outcome(check("first"), "7", smoke.Verdict.EXPECTED)
    project = smoke.Project(None, None, "p.d", "p.o", None, "", date(2021, 1, 26))
    project.billed.extend([10 * 2**20, 0, 20 * 2**20])
    smoke.show([outcome], project, markdown=True)
    assert "3 jobs, 30 MB billed: about $0.0002." in capsys.readouterr().out


def test_checks_have_names_of_their_own_and_say_what_rests_on_them(smoke):
    assert len({check.name for check in smoke.CHECKS}) == len(smoke.CHECKS)
    assert {check.name for check in smoke.CHECKS} > smoke.OF_CLOUD_STORAGE
    assert [check.name for check in smoke.CHECKS if not (check.needed and check.expected)] == []


def test_an_error_is_said_in_one_line_with_its_reason(smoke):
    from smoke_project import said

    error = exceptions.BadRequest(
        "GET https://bigquery/v2/projects/p/queries/j?prettyPrint=false: Some rows\nbelong "
        "elsewhere; reason: invalid, message: Some rows belong elsewhere\n\nLocation: US",
        errors=[{"reason": "invalid"}],
    )
    assert said(error) == "invalid: Some rows belong elsewhere"
    assert said(exceptions.InvalidArgument("no view", errors=[object()])) == "no view"
    assert said(TimeoutError()) == "TimeoutError"
    given_up = exceptions.RetryError("Timeout of 60.0s exceeded", ConnectionError("refused"))
    assert said(given_up) == "Timeout of 60.0s exceeded refused"
