"""The notebooks run as they are, and show what they say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snippets import ROOT

NOTEBOOKS = ROOT / "examples" / "notebooks"
PICTURES = {
    "monitor-one-experiment": 2,
    "compare-branches": 2,
    "enrollment-by-day": 2,
    "custom-dataset": 1,
}


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def run_notebook(tmp_path_factory):
    """The outputs of a notebook's cells of code, once it has been run in a kernel of its own."""
    place = tmp_path_factory.mktemp("notebooks")
    shutil.copy(NOTEBOOKS / "sample.py", place)
    # Jupyter's kernel answers at a port, so that it is asked from outside of this process.
    surroundings = {name: v for name, v in os.environ.items() if not name.startswith("EXPMON_")}
    surroundings |= {"TMPDIR": str(place), "IPYTHONDIR": str(place), "HOME": str(place)}

    def run(name):
        path = Path(shutil.copy(NOTEBOOKS / f"{name}.ipynb", place))
        done = subprocess.run(
            [Path(sys.executable).with_name("jupyter-execute"), "--inplace", path.name],
            cwd=place,
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return [cell["outputs"] for cell in cells(path) if cell["cell_type"] == "code"]

    return run


def test_these_are_all_notebooks_and_they_are_kept_without_outputs():
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    assert {path.stem for path in paths} == PICTURES.keys()
    for path in paths:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        assert text == json.dumps(content, indent=1, ensure_ascii=False) + "\n", path.name
        for cell in content["cells"]:
            assert (cell.get("outputs", []), cell.get("execution_count")) == ([], None)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_a_notebook_runs_and_draws_its_pictures(name, run_notebook):
    outputs = [output for cell in run_notebook(name) for output in cell]
    shown = [output["data"].keys() for output in outputs if "data" in output]
    assert sum("image/png" in kinds for kinds in shown) == PICTURES[name]
    assert any("text/html" in kinds for kinds in shown)
    assert [output for output in outputs if output["output_type"] in {"stream", "error"}] == []
