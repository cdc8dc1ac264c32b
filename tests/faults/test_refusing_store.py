"""A store that refuses to be written: nothing is lost, and the next export finishes the work."""

from __future__ import annotations

import shutil

import pytest

import expmon
from expmon.errors import StoreError
from exporting import CLAIM, INDEX, Watched, files_below
from playing import at

AS_OF = at("2021-01-26T03:32")
FILE = "exp_experiment_cumulative_ad_clicks.json"


@pytest.fixture
def undisturbed(exported, processes, tmp_path):
    """What an undisturbed export writes."""
    directory, path = exported
    place = shutil.copytree(directory, tmp_path / "undisturbed")
    assert processes.run(path, ("export", AS_OF), store=place).errors == [None]
    return files_below(place)


@pytest.mark.parametrize("name", [CLAIM, FILE, INDEX])
def test_a_store_that_refuses_a_write_keeps_what_it_has_and_gets_the_rest_with_the_next_export(
    exported, undisturbed, name
):
    directory, path = exported
    old = files_below(directory)

    def refuse(written):
        if written == name:
            raise StoreError(f"{name} is refused")

    with expmon.connect(f"duckdb://{path}", directory) as monitor:
        refusing = expmon.Monitor(monitor.warehouse, Watched(monitor.store, before=refuse))
        for _ in range(2):
            with pytest.raises(StoreError, match=f"^{name} is refused$"):
                refusing.export_active(AS_OF)
        found = files_below(directory)
        assert found.keys() == old.keys()
        assert found[name] == old[name]
        assert found[INDEX] == old[INDEX]
        monitor.export_active(AS_OF)
    assert files_below(directory) == undisturbed


def test_a_file_that_can_not_be_replaced_is_named_and_costs_no_other_one_its_place(
    exported, undisturbed
):
    directory, path = exported
    old = files_below(directory)
    (directory / FILE).unlink()
    (directory / FILE).mkdir()
    with expmon.connect(f"duckdb://{path}", directory) as monitor:
        says = (
            rf"can't be used for exports \({FILE}\): Is a directory\. Choose a directory that you"
        )
        with pytest.raises(StoreError, match=says):
            monitor.export_active(AS_OF)
        found = files_below(directory)
        assert found.keys() == old.keys() - {FILE}
        (directory / FILE).rmdir()
        monitor.export_active(AS_OF)
    assert files_below(directory) == undisturbed
