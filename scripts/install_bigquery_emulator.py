#!/usr/bin/env python3
"""Install the BigQuery emulator that the tests run against into `.venv-bigquery`.

The emulator, local-bigquery, needs Python 3.13 or later, while the library and its tests run on
any Python from 3.11 on. So it gets a virtual environment of its own and runs as a server.

Doing it again costs nothing: a stamp in the environment says which versions it holds. The exit
status is 3 where no suitable interpreter is found, so that `make` can go on without the emulator;
the tests that need it then skip with a reason, and fail on CI.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 13)
NO_INTERPRETER = 3
ADVICE = (
    "The BigQuery emulator needs a Python 3.13 or later, and none was found: install one "
    "(`uv python install 3.13`, `pyenv install 3.13`, or your system's packages), or name it: "
    "scripts/install_bigquery_emulator.py --python /path/to/python3.13."
)
# Two steps, because local-bigquery asks for a DuckDB whose extensions are not packaged: pip
# refuses both in one command, takes the second after the first, and warns.
STEPS = (
    ("local-bigquery==0.4.0",),
    (
        "duckdb==1.5.5",
        "duckdb-extensions==1.5.5",
        "duckdb-extension-icu==1.5.5",
        "duckdb-extension-ducklake==1.5.5",
        "duckdb-extension-avro==1.5.5",
    ),
)
STAMP = ".expmon-installed"
# A pyenv shim is there and executable but only prints an error, and Debian ships a Python
# without ensurepip: so a candidate has to say its version, and that it can make environments.
PROBE = "import ensurepip, sys, venv; print(*sys.version_info[:2])"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the environment, or leave it be if it is right; the exit status."""
    parser = argparse.ArgumentParser(description="Install the BigQuery emulator for the tests.")
    parser.add_argument("--python", help="the interpreter to use, Python 3.13 or later")
    parser.add_argument("--into", type=Path, default=ROOT / ".venv-bigquery", help="where to")
    options = parser.parse_args(arguments)
    python = options.into / "bin" / "python"
    if is_installed(options.into) and version_of(str(python)) >= OLDEST:
        (options.into / STAMP).touch()  # newer than this file, as make wants it
        return 0
    interpreter = find_interpreter([options.python] if options.python else candidates())
    if interpreter is None:
        sys.stderr.write(f"{ADVICE}\n")
        return NO_INTERPRETER
    install(interpreter, options.into)
    return 0


def is_installed(environment: Path) -> bool:
    """Whether the stamp in `environment` names the versions wanted now."""
    try:
        return bool(json.loads((environment / STAMP).read_text()) == [list(s) for s in STEPS])
    except (OSError, ValueError):
        return False


def install(interpreter: str, environment: Path) -> None:
    """Make `environment` anew with `interpreter`, and stamp it once everything is in."""
    sys.stderr.write(f"Installing the BigQuery emulator into {environment} ({interpreter})\n")
    run([interpreter, "-m", "venv", "--clear", str(environment)])
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    for step in STEPS:
        run([*pip, "install", "--quiet", *step])
    (environment / STAMP).write_text(json.dumps(STEPS))


def find_interpreter(found: Iterator[str] | Sequence[str]) -> str | None:
    """The first of `found` that runs and is recent enough."""
    return next((candidate for candidate in found if version_of(candidate) >= OLDEST), None)


def candidates() -> Iterator[str]:
    """Names and paths of what may be a suitable interpreter, the likeliest first."""
    yield from ("python3.13", "python3.14", sys.executable, "python3", "python")
    home = Path.home()
    pyenv = output_of(["pyenv", "root"]) or os.environ.get("PYENV_ROOT") or str(home / ".pyenv")
    uv = output_of(["uv", "python", "dir"]) or str(home / ".local" / "share" / "uv" / "python")
    for folder, pattern in (
        (Path(pyenv) / "versions", "3.1[3-9]*/bin/python"),
        (Path(uv), "cpython-3.1[3-9]*/bin/python3"),
        (Path("/opt/homebrew/bin"), "python3.1[34]"),
        (Path("/usr/local/bin"), "python3.1[34]"),
        (Path("/opt/python"), "*3.1[34]*/bin/python3"),
    ):
        yield from (str(path) for path in sorted(folder.glob(pattern)))
    # Last, since it stops at a shim that only prints an error.
    yield output_of(["uv", "python", "find", ">=3.13"])


def version_of(interpreter: str) -> tuple[int, ...]:
    """The version that `interpreter` says it has when it is run; () if it can't be used."""
    said = output_of([interpreter, "-c", PROBE]) if interpreter else ""
    return tuple(int(part) for part in said.split())


def output_of(command: list[str]) -> str:
    """What `command` prints; nothing where it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603 - our own words
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def run(command: list[str]) -> None:
    """Run `command`, or end with its exit status and what it said."""
    done = subprocess.run(  # noqa: S603 - our own words
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
