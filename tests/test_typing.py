from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PUBLIC_API = Path(__file__).parent / "typing" / "api.py"
WRONG = """
from typing import assert_type

import expmon

expmon.sql(3)
assert_type(expmon.datasets(), list[str])
expmon.sql("events_live")  # type: ignore[arg-type]
"""


@pytest.fixture
def mypy(pytestconfig, tmp_path):
    """Runs mypy --strict on a file, from a directory that is not the project's."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    cache = pytestconfig.cache.mkdir(f"expmon-mypy-{worker}")

    def run(file):
        settings = ["--strict", f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={cache}"]
        return subprocess.run(
            [sys.executable, "-m", "mypy", *settings, str(file)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    return run


def test_public_types_are_what_the_pinned_file_says(mypy):
    done = mypy(PUBLIC_API)
    assert done.stdout == "Success: no issues found in 1 source file\n"
    assert done.stderr == ""
    assert done.returncode == 0


def test_users_of_expmon_get_its_types_and_a_wrong_use_is_refused(mypy, tmp_path):
    file = tmp_path / "wrong.py"
    file.write_text(WRONG, encoding="utf-8")
    done = mypy(file)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split(":")[1] for line in lines[:-1]] == ["6", "7", "8"]
    assert "[arg-type]" in lines[0]
    assert "[assert-type]" in lines[1]
    assert "[unused-ignore]" in lines[2]
