"""From each earlier version of the schema to the present one, and from none that is newer."""

from __future__ import annotations

import pytest

import expmon
import playing
import stored

VERSIONS = (1,)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_stored_is_what_the_pings_make(tmp_path, version):
    with expmon.connect(f"duckdb://{stored.file_of(version, tmp_path)}") as monitor:
        playing.assert_as_expected(monitor, stored.played(stored.STORED))
