"""What is published: the wheel has the package and nothing else, and works on its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import expmon
from snippets import Reader

ROOT = Path(__file__).parents[1]
INFO = f"expmon-{expmon.__version__}.dist-info"
pytestmark = pytest.mark.slow


def run(*command, **surroundings):
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        **surroundings,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel_of(tmp_path_factory):
    """Builds a wheel of the sources here, or of a source distribution, each once."""
    built = {}

    def build(what):
        if what not in built:
            place = tmp_path_factory.mktemp(what)
            # Without the option, the wheel is made of the source distribution made before.
            option = ["--wheel"] if what == "sources" else []
            run(sys.executable, "-m", "build", *option, "--outdir", place, ROOT)
            (built[what],) = place.glob("*.whl")
        return built[what]

    return build


def content(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_has_the_package_and_nothing_else(wheel_of):
    source = ROOT / "src"
    package = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in (source / "expmon").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {"expmon/py.typed", "expmon/sandbox/recipes.json"} < package.keys()
    found = content(wheel_of("sources"))
    info = {name for name in found if name.startswith(f"{INFO}/")}
    assert {name: found[name] for name in found.keys() - info} == package
    assert {name.removeprefix(f"{INFO}/") for name in info} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }
    assert found[f"{INFO}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_the_source_distribution_builds_the_same_wheel(wheel_of):
    assert content(wheel_of("source-distribution")) == content(wheel_of("sources"))


def test_the_wheel_runs_the_demo_and_the_tutorial_where_nothing_else_is_installed(
    wheel_of, tmp_path
):
    run(sys.executable, "-m", "venv", tmp_path / "environment")
    commands = tmp_path / "environment" / "bin"
    pip = (commands / "python", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", wheel_of("sources"))
    here = tmp_path / "empty"
    here.mkdir()
    ours = {name for name in os.environ if name.startswith(("EXPMON_", "PYTHON", "COV"))}
    surroundings = {
        "cwd": here,
        "env": {name: value for name, value in os.environ.items() if name not in ours},
    }
    place = run(commands / "python", "-c", "import expmon; print(expmon.__file__)", **surroundings)
    assert Path(place.strip()).is_relative_to(tmp_path / "environment")
    printed = run(commands / "expmon", "demo", **surroundings)
    assert printed.startswith("Three days of experiments, as of 2025-03-26 00:00 UTC\n")
    (demo,) = here.iterdir()
    assert (demo / "monitoring.duckdb").stat().st_size > 0
    assert len(list((demo / "pings").glob("*.json.gz"))) > 0
    index = json.loads((demo / "exports" / "index.json").read_text())
    # Of five experiments, eight datasets, each in total and by branch, and the health.
    assert len(index["files"]) == 5 * (8 * 2 + 1)
    exported = {path.name for path in (demo / "exports").glob("*_*.json")}
    assert exported == index["files"].keys()
    run(*pip, "install", "--quiet", f"{wheel_of('sources')}[plot]")
    newcomer = Reader(here, commands, printed)
    newcomer.settles()
    assert newcomer.follows("tutorial.md") > 10
