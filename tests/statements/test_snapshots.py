"""Every statement is what was reviewed: `make snapshots` writes them anew, to be read like code."""

from __future__ import annotations

import pytest

from statement_set import SNAPSHOTS, statements

STATEMENTS = statements()


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_is_the_one_that_was_reviewed(name):
    reviewed = (SNAPSHOTS / f"{name}.sql").read_text(encoding="utf-8")
    assert STATEMENTS[name] == reviewed, f"{name} is another: make snapshots, and read the change"


def test_there_is_no_snapshot_of_what_is_no_longer_there():
    assert {path.stem for path in SNAPSHOTS.glob("*.sql")} == STATEMENTS.keys()
