"""What the README names is there; `documentation` runs what it shows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import expmon

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys):
    path = ROOT / "examples" / "quickstart.py"
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), {"__name__": "__main__"})
    assert "experiment" in capsys.readouterr().out


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_are_targets_of_make(target):
    assert f"- `make {target}`" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_citation_is_of_this_version_and_of_what_is_published():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited.keys() >= {"cff-version", "message", "title", "authors"}  # what must be there
    assert (cited["cff-version"], cited["type"]) == ("1.2.0", "software")
    assert (cited["title"], cited["version"]) == (project["name"], expmon.__version__)
    assert (cited["license"], cited["authors"]) == (project["license"], project["authors"])
    assert cited["keywords"] == project["keywords"]
